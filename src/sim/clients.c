// clients.c: the clients of a play: requests to every node, whole and streamed, slow readers,
// clients that leave; each answer is kept and looked at when it has ended.
// SPDX-License-Identifier: Apache-2.0
#include "sim/play_priv.h"

#include "base/alloc.h"

#include <string.h>

enum { FIRST_BYTE_MS = 40000, SILENCE_MS = 30000, GOT_MAX = 256 << 10 };

static void on_head(struct http_call *c, const struct http_head *head)
{
    struct play_request *r = http_call_user(c);
    struct bytes who = http_header(head, "X-Engine");
    uint64_t engine = 0;
    r->code = head->status;
    r->sse = bytes_starts(http_header(head, "Content-Type"), BYTES("text/event-stream"));
    r->engine = bytes_u64(who, &engine) ? (int)engine : -1;
}

static void read_again(struct timer *t)
{
    struct play_request *r = t->user;
    if (!r->ended)
        http_call_read(r->call, true);
}

static void on_body(struct http_call *c, const char *p, size_t n)
{
    struct play_request *r = http_call_user(c);
    struct sim *w = r->play->w;
    if (buf_add(&r->got, p, n) < 0)
        sim_fail(w, "request %u: an answer without an end", r->id);
    if (r->cancel && r->got.n > 200) {
        http_call_cancel(c);
    } else if (r->slow && rng_below(&w->chance, 4) == 0) {
        http_call_read(c, false);
        r->again = (struct timer){.fn = read_again, .user = r};
        (void)timer_start(sim_timers(r->play->client), &r->again, 50);
    }
}

static void on_end(struct http_call *c, int status, const struct err *e)
{
    struct play_request *r = http_call_user(c);
    struct play *p = r->play;
    (void)c;
    if (r->ended)
        sim_fail(p->w, "request %u ended twice", r->id);
    timer_stop(sim_timers(p->client), &r->again);
    r->ended = true;
    r->status = status;
    r->ended_at = sim_now(p->w);
    p->ended++;
    sim_say(p->w, "request %u for m%u to %s: %d, status %d %s, %zu bytes from engine %d %s", r->id,
            r->model, p->nodes[r->entry].name, r->code, status, e ? e->text : "", r->got.n,
            r->engine, r->code >= 400 ? buf_cstr(&r->got) : "");
    sim_mix(p->w, (uint64_t)r->id << 32 | (uint32_t)r->code);
    sim_mix(p->w, (uint64_t)(int64_t)status << 32 | r->got.n);
    play_check_answer(r);
    buf_fini(&r->got);
    buf_init(&r->got, GOT_MAX);
}

static const struct http_call_handler handler = {on_head, on_body, on_end};

static void begin(struct sim *w, void *user)
{
    struct play_request *r = user;
    struct play *p = r->play;
    struct buf b, extra;
    buf_init(&b, 4096);
    buf_init(&extra, 1024);
    (void)buf_fmt(&b,
                  "{\"model\":\"m%u\",\"messages\":[{\"role\":\"user\",\"content\":\"%u %u\"}]%s}",
                  r->model, r->id, r->tokens, r->stream ? ",\"stream\":true" : "");
    (void)buf_str(&extra, "Content-Type: application/json\r\n");
    if (r->label != NULL)
        (void)buf_fmt(&extra, "X-Plexus-Label: %s\r\n", r->label);
    r->body = sim_must(buf_take(&b));
    struct bytes body = bytes_of(r->body);
    struct http_call_args a = {.method = BYTES("POST"),
                               .target = BYTES("/v1/chat/completions"),
                               .headers = buf_bytes(&extra),
                               .body = &body,
                               .body_count = 1,
                               .first_byte_ms = FIRST_BYTE_MS,
                               .silence_ms = SILENCE_MS,
                               .handler = &handler,
                               .user = r};
    r->began = true;
    r->began_at = sim_now(w);
    r->entry_life = (unsigned)p->nodes[r->entry].boots;
    struct sim_host *outer = sim_enter(p->client);
    struct err e = {0};
    if (http_call_start(p->pools[r->entry], &a, &r->call, &e) < 0)
        sim_fail(w, "request %u does not start: %s", r->id, e.text);
    (void)sim_enter(outer);
    buf_fini(&extra);
}

void play_request_at(struct play *p, uint64_t at, unsigned entry, bool quiet)
{
    struct rng *g = &p->rng;
    if (p->request_count == PLAY_REQUESTS_MAX)
        return;
    struct play_request *r = &p->requests[p->request_count];
    *r = (struct play_request){.play = p, .id = p->request_count++, .entry = entry, .quiet = quiet};
    const struct play_node *has = &p->nodes[rng_below(g, p->count)]; // mostly what somebody has
    r->model = (unsigned)rng_below(g, PLAY_MODELS);
    if (has->engine_count > 0 && rng_below(g, 8) != 0)
        r->model = has->engines[rng_below(g, has->engine_count)].model;
    r->tokens = 1 + (unsigned)rng_below(g, rng_below(g, 8) ? 40 : 400);
    r->stream = rng_below(g, 4) != 0;
    r->cancel = !quiet && rng_below(g, 20) == 0;
    r->slow = rng_below(g, 10) == 0;
    if (rng_below(g, 4) == 0)
        r->label = rng_below(g, 2) ? "confidential" : "public";
    r->engine = -1;
    buf_init(&r->got, GOT_MAX);
    (void)sim_after(p->w, at - sim_now(p->w), begin, r);
}

void play_clients_up(struct play *p)
{
    static const struct sim_link link = {.delay_ns = 100000, .jitter_ns = 50000};
    p->client = sim_host_new(p->w, "clients", "10.9.0.1");
    for (unsigned i = 0; i < p->count; i++) {
        sim_link_set(p->w, p->client, p->nodes[i].host, &link); // the clients' side is never bad
        sim_link_set(p->w, p->nodes[i].host, p->client, &link);
        struct http_pool_args a = {.net = sim_net(p->client),
                                   .timers = sim_timers(p->client),
                                   .addr = {.port = PLAY_CLIENT_PORT},
                                   .connect_ms = 20000};
        (void)snprintf(a.addr.host, sizeof a.addr.host, "%s", sim_host_address(p->nodes[i].host));
        if (http_pool_new(&p->pools[i], &a, NULL) < 0)
            sim_fail(p->w, "no pool");
    }
}

void play_clients_down(struct play *p)
{
    if (p->client == NULL)
        return;
    sim_down(p->client, SIM_EXIT);
    struct sim_host *outer = sim_enter(p->client);
    for (unsigned i = 0; i < p->count; i++)
        http_pool_free(p->pools[i]);
    (void)sim_enter(outer);
    sim_settle(p->client);
    for (unsigned i = 0; i < p->request_count; i++) {
        mem_free(p->requests[i].body);
        buf_fini(&p->requests[i].got);
    }
}
