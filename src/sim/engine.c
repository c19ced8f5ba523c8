// engine.c: a simulated engine: loads for a while, answers whole or token by token, hangs, dies.
// SPDX-License-Identifier: Apache-2.0
#include "sim/play_priv.h"

#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

enum { SLOTS = 4, ANSWER_MAX = 256 << 10 };

struct answer {
    struct list link;
    struct play_engine *x;
    struct http_exchange *ex;
    unsigned id, tokens, sent;
    size_t half; // of the present event: what went out already
    bool stream;
    struct timer timer;
};

// ---- the process

static void answer_free(struct answer *a)
{
    timer_stop(sim_timers(a->x->host), &a->timer);
    list_del(&a->link);
    mem_free(a);
}

static void answer_gone(struct http_exchange *ex, void *user, int status)
{
    (void)ex;
    (void)status;
    answer_free(user);
}

static void answer_whole(struct answer *a)
{
    struct buf b;
    buf_init(&b, ANSWER_MAX);
    (void)buf_fmt(&b,
                  "{\"id\":\"%u\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
                  "\"content\":\"",
                  a->id);
    for (unsigned k = 0; k < a->tokens; k++)
        (void)buf_fmt(&b, "%u.%u ", a->id, k);
    (void)buf_fmt(&b, "\"}}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":%u}}", a->tokens);
    char extra[64];
    (void)snprintf(extra, sizeof extra, "X-Engine: %u\r\n",
                   a->x->node->index * PLAY_ENGINES_MAX + (unsigned)(a->x - a->x->node->engines));
    http_reply(a->ex, 200, "application/json", bytes_of(extra), buf_bytes(&b));
    buf_fini(&b);
    answer_free(a);
}

unsigned play_frame(unsigned id, unsigned k, char ret[96])
{
    return (unsigned)snprintf(ret, 96,
                              "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":"
                              "\"%u.%u\"}}]}\n\n",
                              id, k);
}

static void answer_pause(struct answer *a)
{
    struct rng *r = &a->x->play->w->chance;
    (void)timer_start(sim_timers(a->x->host), &a->timer, 1 + (int64_t)rng_below(r, 30));
}

static void answer_tokens(struct answer *a)
{
    char frame[96];
    if (a->x->hangs)
        return;
    while (a->sent < a->tokens) {
        struct bytes whole = {frame, play_frame(a->id, a->sent, frame)};
        struct bytes v = bytes_from(whole, a->half);
        if (a->half == 0 && rng_below(&a->x->play->w->chance, 4) == 0) // in two parts
            v = bytes_first(v, 1 + (size_t)rng_below(&a->x->play->w->chance, v.n - 1));
        int rc = http_send(a->ex, &v, 1);
        if (rc < 0)
            return;
        a->half += v.n;
        if (a->half == whole.n) {
            a->half = 0;
            a->sent++;
        }
        if (rc == 1)
            return; // drain comes
        if (rng_below(&a->x->play->w->chance, 2) == 0) {
            answer_pause(a);
            return;
        }
    }
    struct bytes done = BYTES("data: [DONE]\n\n");
    (void)http_send(a->ex, &done, 1);
    http_finish(a->ex);
    answer_free(a);
}

static void answer_timer(struct timer *t)
{
    struct answer *a = t->user;
    if (a->x->hangs)
        return;
    if (!a->stream) {
        answer_whole(a);
        return;
    }
    if (!http_answered(a->ex)) {
        char extra[64];
        (void)snprintf(extra, sizeof extra, "X-Engine: %u\r\n",
                       a->x->node->index * PLAY_ENGINES_MAX +
                           (unsigned)(a->x - a->x->node->engines));
        http_begin(a->ex, 200, "text/event-stream", bytes_of(extra), HTTP_CHUNKED);
    }
    answer_tokens(a);
}

static void answer_drain(struct http_exchange *ex, void *user)
{
    struct answer *a = user;
    (void)ex;
    if (a->timer.node == NULL)
        answer_pause(a);
}

static void on_request(void *user, struct http_exchange *ex)
{
    struct play_engine *x = user;
    struct json_doc *doc = NULL;
    struct bytes body = http_body(ex);
    unsigned id = 0, tokens = 0;
    if (json_parse(&doc, body, 0, NULL) == 0) {
        const struct json *root = json_root(doc);
        const struct json *m = json_at(json_get(root, "messages"), 0);
        (void)sscanf(json_cstr(json_get(m, "content"), ""), "%u %u", &id, &tokens);
    }
    struct answer *a = sim_must(mem_new(struct answer));
    *a = (struct answer){.x = x, .ex = ex, .id = id, .tokens = tokens};
    a->stream = json_bool(json_get(json_root(doc), "stream"), false);
    a->timer = (struct timer){.fn = answer_timer, .user = a};
    json_free(doc);
    play_check_asked(x, id);
    list_add_tail(&x->answers, &a->link);
    http_own(ex, a, answer_drain, answer_gone);
    answer_pause(a);
}

static int on_head(void *user, struct http_exchange *ex)
{
    (void)user;
    (void)ex;
    return 0;
}

static void on_refused(void *user, const struct net_peer *peer, int code, const char *why)
{
    (void)user;
    (void)peer;
    (void)code;
    (void)why;
}

static void boot(struct sim *w, void *user)
{
    struct play_engine *x = user;
    if (!x->wanted || sim_is_up(x->host) || sim_is_up(x->node->host) == false)
        return;
    sim_up(x->host);
    struct sim_host *outer = sim_enter(x->host);
    struct http_server_args a = {.net = sim_net(x->host),
                                 .timers = sim_timers(x->host),
                                 .routes = {on_head, on_request, on_refused, x}};
    struct net_listen_args l = {.addr = {.host = "0.0.0.0", .port = PLAY_ENGINE_PORT}};
    x->hangs = false;
    x->life++;
    if (http_server_new(&x->http, &a, NULL) < 0 ||
        http_server_listen(x->http, &l, 0, NULL, NULL) < 0)
        sim_fail(w, "%s does not start", sim_host_name(x->host));
    (void)sim_enter(outer);
}

void play_engine_kill(struct play_engine *x, enum sim_how how)
{
    struct sim *w = x->play->w;
    if (!sim_is_up(x->host))
        return;
    sim_down(x->host, how);
    struct sim_host *outer = sim_enter(x->host);
    http_server_drain(x->http, NULL, NULL);
    http_server_abort(x->http);
    sim_settle(x->host);
    http_server_free(x->http);
    (void)sim_enter(outer);
    x->http = NULL;
    if (!list_empty(&x->answers))
        sim_fail(w, "an answer outlives its engine");
    if (x->node->running)
        sim_event_at(w, &x->died, w->now + SIM_MS);
}

static void kill_now(struct sim *w, void *user)
{
    struct play_engine *x = user;
    (void)w;
    if (!x->wanted)
        play_engine_kill(x, SIM_EXIT);
}

// ---- its node's side

static void pool_retire(struct play_engine *x)
{
    if (x->pool == NULL)
        return;
    http_pool_drop_idle(x->pool);
    if (x->old_count == sizeof x->old / sizeof x->old[0])
        http_pool_free(x->old[--x->old_count]);
    x->old[x->old_count++] = x->pool;
    x->pool = NULL;
}

static void died(struct sim_event *ev)
{
    struct play_engine *x = container_of(ev, struct play_engine, died);
    bool asked = !x->wanted;
    timer_stop(sim_timers(x->node->host), &x->load);
    x->wanted = false;
    pool_retire(x);
    models_down(x->node->models, x->m, asked ? BYTES_NONE : BYTES("killed"), play_now_ms(x->node));
    play_models_run(x->node);
}

static void loaded(struct timer *t)
{
    struct play_engine *x = t->user;
    struct http_pool_args a = {.net = sim_net(x->node->host),
                               .timers = sim_timers(x->node->host),
                               .addr = {.port = PLAY_ENGINE_PORT}};
    if (!sim_is_up(x->host)) { // it was killed while it loaded
        if (x->died.index == 0)
            sim_event_at(x->play->w, &x->died, x->play->w->now);
        return;
    }
    (void)snprintf(a.addr.host, sizeof a.addr.host, "%s", sim_host_address(x->host));
    if (http_pool_new(&x->pool, &a, NULL) < 0)
        return;
    models_memory(x->node->models, x->m, 1000, play_now_ms(x->node));
    models_up(x->node->models, x->m, play_now_ms(x->node));
    play_models_run(x->node);
}

void play_engine_start(struct play_engine *x)
{
    x->wanted = true;
    x->load = (struct timer){.fn = loaded, .user = x};
    (void)timer_start(sim_timers(x->node->host), &x->load, x->load_ms);
    (void)sim_after(x->play->w, (uint64_t)x->load_ms * SIM_MS / 2, boot, x);
}

void play_engine_stop(struct play_engine *x)
{
    struct sim *w = x->play->w;
    x->wanted = false;
    timer_stop(sim_timers(x->node->host), &x->load);
    pool_retire(x);
    (void)sim_after(w, 0, kill_now, x);
    if (!sim_is_up(x->host)) // it has not even begun
        sim_event_at(w, &x->died, w->now + SIM_MS);
}

void play_engine_forget(struct play_engine *x)
{
    x->wanted = false;
    timer_stop(sim_timers(x->node->host), &x->load);
    sim_event_stop(x->play->w, &x->died);
    http_pool_free(x->pool);
    x->pool = NULL;
    while (x->old_count > 0)
        http_pool_free(x->old[--x->old_count]);
    x->m = NULL;
}

bool play_engine_upstream(const struct play_engine *x, struct gate_upstream *ret)
{
    if (x->pool == NULL)
        return false;
    *ret = (struct gate_upstream){
        .pool = x->pool, .auth = "", .base_path = "/v1", .first_byte_ms = 3000, .silence_ms = 2000};
    return true;
}

void play_engine_init(struct play_engine *x, struct play_node *n, unsigned k, unsigned model)
{
    struct sim *w = n->play->w;
    char name[40], address[24];
    (void)snprintf(name, sizeof name, "%s.m%u", n->name, model);
    (void)snprintf(address, sizeof address, "10.1.%u.%u", n->index, k + 1);
    *x = (struct play_engine){.node = n, .play = n->play, .model = model};
    (void)snprintf(x->name, sizeof x->name, "m%u", model);
    x->host = sim_host_new(w, name, address);
    x->load_ms = 20 + (int64_t)rng_below(&n->play->rng, 600);
    list_init(&x->answers);
    sim_event_init(&x->died, n->host, SIM_PROCESS, died);
    static const struct sim_link near = {.delay_ns = 20000};
    sim_link_set(w, n->host, x->host, &near);
    sim_link_set(w, x->host, n->host, &near);
    sim_down(x->host, SIM_EXIT); // not started yet
    sim_settle(x->host);
}
