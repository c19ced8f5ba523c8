// node.c: one simulated node: the object graph that app/node_start.c makes, on a simulated host.
// SPDX-License-Identifier: Apache-2.0
#include "sim/play_priv.h"

#include "base/alloc.h"

#include <string.h>

enum { TICK_MS = 500, MEMORY = 2500, QUEUE_MAX = 40 };

int64_t play_now_ms(const struct play_node *n)
{
    return timers_now_ms(sim_timers(n->host));
}

// ---- models and their engines

static struct play_engine *engine_of(struct model *m)
{
    return model_user(m);
}

static void carry_out(struct play_node *n, const struct model_effect *f)
{
    switch (f->kind) {
    case MODEL_START: play_engine_start(engine_of(f->model)); break;
    case MODEL_STOP: play_engine_stop(engine_of(f->model)); break;
    case MODEL_GRANT: gate_granted(n->gate, f->ticket); break;
    case MODEL_REFUSE: gate_refused(n->gate, f->ticket, &f->err); break;
    case MODEL_CHANGED: play_tell(n); break;
    case MODEL_CLOSE_STREAMS: gate_close(n->gate, f->model, E_BUSY, "the model is unloaded"); break;
    case MODEL_GONE: break;
    }
}

void play_models_run(struct play_node *n)
{
    struct model_effect f;
    if (n->effects)
        return;
    n->effects = true;
    while (models_effect(n->models, &f))
        carry_out(n, &f);
    n->effects = false;
    int64_t next = models_next_ms(n->models), now = play_now_ms(n);
    if (next != TIME_NEVER)
        (void)timer_start(sim_timers(n->host), &n->models_due, next > now ? next - now : 0);
}

static void models_due(struct timer *t)
{
    struct play_node *n = t->user;
    models_tick(n->models, play_now_ms(n));
    play_models_run(n);
}

static void on_tick(struct timer *t)
{
    struct play_node *n = t->user;
    uint64_t budget = models_memory_budget(n->models), used = models_memory_used(n->models);
    struct gate_totals totals;
    gate_totals(n->gate, &totals);
    if (n->mesh != NULL)
        mesh_load(n->mesh, (uint32_t)totals.active, 0, budget > used ? budget - used : 0);
    play_tell(n);
    (void)timer_start(sim_timers(n->host), t, TICK_MS);
}

static int put_models(struct play_node *n, struct err *e)
{
    for (unsigned k = 0; k < n->engine_count; k++) {
        struct play_engine *x = &n->engines[k];
        struct model_spec s = {.name = x->name,
                               .kind = "chat",
                               .engine = "simulated",
                               .memory_bytes = 1000,
                               .context = 4096,
                               .idle_ms = 4000,
                               .slots = 4,
                               .queue_max = QUEUE_MAX,
                               .restarts_max = 3,
                               .restart_pause_ms = 100,
                               .failed_pause_ms = 1000,
                               .load_timeout_ms = 20000,
                               .drain_ms = 2000,
                               .preload = k == 0};
        int rc = models_put(n->models, &s, play_now_ms(n), e);
        if (rc < 0)
            return rc;
        x->m = models_find(n->models, bytes_of(x->name));
        model_set_user(x->m, x);
    }
    return 0;
}

// ---- what the gate asks for

static void after(void *user)
{
    play_models_run(user);
}

static bool upstream(void *user, struct model *m, struct gate_upstream *ret)
{
    (void)user;
    return play_engine_upstream(engine_of(m), ret);
}

static bool other(void *user, struct http_exchange *x, unsigned scopes)
{
    struct play_node *n = user;
    (void)scopes;
    return n->links != NULL && links_handle(n->links, x);
}

static bool ready(void *user)
{
    return !((struct play_node *)user)->leaving;
}

static int make_gate(struct play_node *n, struct err *e)
{
    static const struct gate_door doors[] = {
        [TAG_CLIENTS] = {.keys_required = false},
        [TAG_MESH] = {.mesh = true},
    };
    struct http_server_args server = {
        .net = sim_net(n->host), .timers = sim_timers(n->host), .routes = gate_routes(&n->slot)};
    int rc = http_server_new(&n->server, &server, e);
    if (rc < 0)
        return rc;
    struct gate_args args = {.server = n->server,
                             .timers = sim_timers(n->host),
                             .work = sim_work(n->host),
                             .models = n->models,
                             .keys = n->keys,
                             .meter = n->meter,
                             .after = after,
                             .upstream = upstream,
                             .other = other,
                             .ready = ready,
                             .user = n};
    play_gate_args(&args);
    rc = gate_new(&n->gate, &args, e);
    n->slot = n->gate;
    if (rc < 0)
        return rc;
    gate_doors(n->gate, doors, 2);
    gate_labels(n->gate, &(struct gate_labels){.names = n->names,
                                               .standard = {.level = LABEL_INTERNAL},
                                               .own = LABEL_ALL});
    return 0;
}

static int build(struct play_node *n, struct err *e)
{
    struct net_listen_args door = {.addr = {.host = "0.0.0.0", .port = PLAY_CLIENT_PORT}};
    n->names = sim_must(label_names_new());
    n->keys = sim_must(keys_new());
    keys_names(n->keys, n->names);
    n->meter = sim_must(meter_new());
    n->models = sim_must(models_new(&(struct models_args){.memory_bytes = MEMORY}));
    int rc = make_gate(n, e);
    if (rc == 0)
        rc = put_models(n, e);
    if (rc == 0)
        rc = http_server_listen(n->server, &door, TAG_CLIENTS, NULL, e);
    return rc;
}

void play_node_up(struct play_node *n)
{
    struct sim *w = n->play->w;
    struct err e = {0};
    if (!sim_is_up(n->host))
        sim_up(n->host);
    struct sim_host *outer = sim_enter(n->host);
    buf_init(&n->hop, 4096);
    n->models_due = (struct timer){.fn = models_due, .user = n};
    n->tick = (struct timer){.fn = on_tick, .user = n};
    n->telling = n->leaving = n->effects = false;
    n->up_at = sim_now(w);
    n->boots++;
    memset(n->heard, 0, sizeof n->heard);
    if (build(n, &e) < 0)
        sim_fail(w, "%s does not start: %s", n->name, e.text);
    n->running = true;
    play_models_run(n);
    play_mesh_load(n);
    (void)timer_start(sim_timers(n->host), &n->tick, TICK_MS);
    (void)sim_enter(outer);
}

static void stop_timers(struct play_node *n)
{
    struct timers *t = sim_timers(n->host);
    timer_stop(t, &n->models_due);
    timer_stop(t, &n->tick);
    timer_stop(t, &n->tell);
    timer_stop(t, &n->join_again);
    timer_stop(t, &n->ending);
}

// The process is gone (muted): its objects are freed as at the end of a node.
void play_node_down(struct play_node *n, enum sim_how how)
{
    struct sim *w = n->play->w;
    if (!n->running)
        return;
    n->running = false;
    n->down_since = sim_now(w);
    sim_down(n->host, how);
    for (unsigned k = 0; k < n->engine_count; k++) {
        n->engines[k].wanted = false;
        play_engine_kill(&n->engines[k], how);
    }
    struct sim_host *outer = sim_enter(n->host);
    models_stopping(n->models, play_now_ms(n));
    gate_close(n->gate, NULL, E_BUSY, "the node is stopping");
    play_mesh_end(n);
    http_server_drain(n->server, NULL, NULL);
    http_server_abort(n->server);
    for (unsigned k = 0; k < n->engine_count; k++)
        play_engine_forget(&n->engines[k]);
    stop_timers(n);
    sim_settle(n->host);
    stop_timers(n);
    for (unsigned k = 0; k < n->engine_count; k++)
        play_engine_forget(&n->engines[k]);
    links_free(n->links);
    mesh_free(n->mesh);
    links_free(n->old_links);
    mesh_free(n->old_mesh);
    struct http_server_stats st;
    http_server_stats(n->server, &st);
    if (st.body_bytes_buffered != 0 || st.active != 0)
        sim_fail(w, "%s ended with %llu bytes of bodies and %llu requests", n->name,
                 (unsigned long long)st.body_bytes_buffered, (unsigned long long)st.active);
    http_server_free(n->server);
    gate_free(n->gate);
    models_free(n->models);
    keys_free(n->keys);
    meter_free(n->meter);
    member_free(n->member);
    authority_free(n->authority);
    label_names_free(n->names);
    buf_fini(&n->hop);
    n->links = n->old_links = NULL;
    n->mesh = n->old_mesh = NULL;
    n->gate = NULL;
    n->models = NULL;
    n->member = NULL;
    n->authority = NULL;
    (void)sim_enter(outer);
}
