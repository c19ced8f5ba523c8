// mcpd.c: the MCP server's life: limits, the tick that looks after streams, sessions and tasks, and
// what is told to those who listen. SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "toolbox/mcpd_priv.h"

static void set(int64_t *v, int64_t fallback)
{
    if (*v == 0)
        *v = fallback;
}

static void set_size(size_t *v, size_t fallback)
{
    if (*v == 0)
        *v = fallback;
}

static void defaults(struct mcpd_limits *l)
{
    set_size(&l->sessions_max, 1000);
    set_size(&l->sessions_each_max, 64);
    set_size(&l->calls_max, 1024);
    set_size(&l->calls_each_max, 64);
    set_size(&l->listens_max, 1024);
    set_size(&l->kept_bytes, (size_t)256 << 10);
    set_size(&l->page, 250);
    set_size(&l->page_bytes, (size_t)1 << 20);
    set_size(&l->subscriptions_max, 256);
    set_size(&l->tasks_max, 256);
    if (l->body_bytes == 0)
        l->body_bytes = (uint64_t)16 << 20;
    set(&l->session_idle_ms, (int64_t)30 * 60 * 1000);
    set(&l->kept_ms, 60000);
    set(&l->quiet_ms, 500);
    set(&l->hold_ms, (int64_t)5 * 60 * 1000);
    set(&l->ask_ms, (int64_t)10 * 60 * 1000);
    set(&l->call_ms, (int64_t)3600 * 1000);
    set(&l->state_ms, (int64_t)15 * 60 * 1000);
    set(&l->task_ms, (int64_t)3600 * 1000);
    set(&l->task_poll_ms, 1000);
}

// ---- the tick ----------------------------------------------------------------------------------

static bool anything(const struct mcpd *m)
{
    return !list_empty(&m->sessions) || !list_empty(&m->outs) || !list_empty(&m->calls) ||
           !list_empty(&m->tasks);
}

static void look_at_lists(struct mcpd *m)
{
    const struct mcpd_more *more = m->args.more;
    uint64_t tools = m->args.tools->epoch;
    if (tools != m->tools_epoch)
        mcpd_notify(m, "notifications/tools/list_changed", BYTES_NONE);
    if (more && more->resources_epoch != m->resources_epoch)
        mcpd_notify(m, "notifications/resources/list_changed", BYTES_NONE);
    if (more && more->prompts_epoch != m->prompts_epoch)
        mcpd_notify(m, "notifications/prompts/list_changed", BYTES_NONE);
    m->tools_epoch = tools;
    if (more) {
        m->resources_epoch = more->resources_epoch;
        m->prompts_epoch = more->prompts_epoch;
    }
}

// A long call becomes a task, when its client can take one.
static void long_calls(struct mcpd *m, int64_t now_ms)
{
    list_each_safe (it, &m->calls) {
        struct mcpd_call *c = container_of(it, struct mcpd_call, all);
        if (c->modern && !c->task && c->out && c->state == CALL_RUNS &&
            c->method == MCP_M_TOOLS_CALL && list_empty(&c->asks) &&
            now_ms - c->began_ms >= m->args.task_after_ms)
            (void)mcpd_task_make(c, 0);
    }
}

static void on_tick(struct timer *t)
{
    struct mcpd *m = t->user;
    int64_t now_ms = timers_now_ms(m->args.timers);
    m->ticking = false;
    look_at_lists(m);
    long_calls(m, now_ms);
    list_each_safe (it, &m->outs)
        (void)mcpd_out_tick(container_of(it, struct mcpd_out, link), now_ms);
    mcpd_session_tick(m, now_ms);
    mcpd_tasks_tick(m, now_ms);
    mcpd_wake(m);
}

void mcpd_wake(struct mcpd *m)
{
    if (m->ticking || m->closing || !anything(m))
        return;
    // Without memory for a timer the next request tries again.
    m->ticking = timer_start(m->args.timers, &m->tick, MCPD_TICK_MS) == 0;
}

static void on_soon(struct timer *t)
{
    struct mcpd *m = t->user;
    while (!list_empty(&m->soon)) { // those that come meanwhile: in the next round
        struct list *it = m->soon.next;
        list_del(it);
        list_add_tail(&m->now, it);
    }
    while (!list_empty(&m->now)) {
        struct mcpd_call *c = container_of(m->now.next, struct mcpd_call, soon);
        list_del(&c->soon);
        mcpd_asks_look(c);
    }
}

void mcpd_soon(struct mcpd_call *c)
{
    struct mcpd *m = c->m;
    list_del(&c->soon);
    list_add_tail(&m->soon, &c->soon);
    (void)timer_start(m->args.timers, &m->soon_timer, 0);
}

// ---- telling -----------------------------------------------------------------------------------

static bool wants(const struct mcpd_out *o, const char *method, struct bytes uri)
{
    struct bytes what = bytes_of(method);
    if (uri.n)
        return o->uris && map_get(o->uris, uri);
    return (o->tools && bytes_is(what, "notifications/tools/list_changed")) ||
           (o->prompts && bytes_is(what, "notifications/prompts/list_changed")) ||
           (o->resources && bytes_is(what, "notifications/resources/list_changed"));
}

void mcpd_notify(struct mcpd *m, const char *method, struct bytes uri)
{
    list_each_safe (it, &m->outs) {
        struct mcpd_out *o = container_of(it, struct mcpd_out, link);
        if (o->kind != OUT_LISTEN || o->over || !wants(o, method, uri))
            continue;
        struct val *p = mcp_with_meta(NULL, MCP_META_SUBSCRIPTION, val_ref(o->listen_id));
        if (uri.n)
            p = val_put_cstr(p, "uri", val_str(uri));
        mcpd_out_say(o, jsonrpc_notification(method, p), true);
    }
    list_each_safe (it, &m->sessions) {
        struct mcpd_session *s = container_of(it, struct mcpd_session, link);
        if (!s->own || (uri.n && !(s->uris && map_get(s->uris, uri))))
            continue;
        struct val *p = uri.n ? val_put_cstr(val_obj(), "uri", val_str(uri)) : NULL;
        mcpd_out_say(s->own, jsonrpc_notification(method, p), true);
    }
}

void mcpd_updated(struct mcpd *m, struct bytes uri)
{
    mcpd_notify(m, "notifications/resources/updated", uri);
}

void mcpd_changed(struct mcpd *m)
{
    look_at_lists(m);
}

void mcpd_stats(const struct mcpd *m, struct mcpd_stats *ret)
{
    *ret = m->stats;
    ret->sessions = m->session_count;
    ret->running = m->call_count;
    ret->tasks = m->task_count;
}

// ---- life --------------------------------------------------------------------------------------

int mcpd_new(struct mcpd **ret, const struct mcpd_args *args, struct err *e)
{
    uint8_t secret[32];
    struct mcpd *m = mem_new(struct mcpd);
    if (!m)
        return err_set(e, E_NOMEM, "out of memory");
    m->args = *args;
    if (!m->args.path)
        m->args.path = "/mcp";
    if (m->args.task_after_ms == 0)
        m->args.task_after_ms = 20000;
    m->lim = args->limits;
    defaults(&m->lim);
    m->by_id = map_new(m->lim.sessions_max + 1);
    if (!m->by_id) {
        mem_free(m);
        return err_set(e, E_NOMEM, "out of memory");
    }
    list_init(&m->sessions);
    list_init(&m->outs);
    list_init(&m->calls);
    list_init(&m->soon);
    list_init(&m->now);
    list_init(&m->tasks);
    m->tick = (struct timer){.fn = on_tick, .user = m};
    m->soon_timer = (struct timer){.fn = on_soon, .user = m};
    rng_bytes(secret, sizeof(secret));
    hmac_key_init(&m->state_key, (struct bytes){(const char *)secret, sizeof(secret)});
    mem_wipe(secret, sizeof(secret));
    m->tools_epoch = args->tools->epoch;
    if (args->more) {
        m->resources_epoch = args->more->resources_epoch;
        m->prompts_epoch = args->more->prompts_epoch;
    }
    *ret = m;
    return 0;
}

void mcpd_maybe_gone(struct mcpd *m)
{
    if (!m->may_go || !list_empty(&m->calls))
        return;
    timer_stop(m->args.timers, &m->soon_timer);
    map_free(m->by_id);
    hmac_key_fini(&m->state_key);
    mem_free(m);
}

// A listener is told that this is the end (2026-07-28, "Graceful Closure").
static void listen_end(struct mcpd_out *o)
{
    struct val *r = mcp_with_meta(NULL, MCP_META_SUBSCRIPTION, val_ref(o->listen_id));
    r = val_put_cstr(r, "resultType", val_cstr("complete"));
    mcpd_out_say(o, jsonrpc_result(val_ref(o->listen_id), r), false);
}

void mcpd_drain(struct mcpd *m)
{
    if (!m)
        return;
    m->draining = true;
    list_each_safe (it, &m->outs) {
        struct mcpd_out *o = container_of(it, struct mcpd_out, link);
        if (o->kind != OUT_LISTEN)
            continue;
        if (o->x)
            listen_end(o);
        mcpd_out_free(o);
    }
    list_each (it, &m->sessions)
        mcpd_out_detach(container_of(it, struct mcpd_session, link)->own, false);
}

void mcpd_free(struct mcpd *m)
{
    if (!m)
        return;
    m->closing = true;
    timer_stop(m->args.timers, &m->tick);
    while (!list_empty(&m->tasks))
        mcpd_task_free(container_of(m->tasks.next, struct mcpd_task, link));
    while (!list_empty(&m->sessions))
        mcpd_session_end(container_of(m->sessions.next, struct mcpd_session, link));
    while (!list_empty(&m->outs)) {
        struct mcpd_out *o = container_of(m->outs.next, struct mcpd_out, link);
        if (o->kind == OUT_LISTEN && o->x)
            listen_end(o);
        mcpd_calls_of_out_cancel(o);
        mcpd_out_free(o);
    }
    list_each_safe (it, &m->calls)
        mcpd_call_cancel(container_of(it, struct mcpd_call, all), true);
    m->may_go = true;
    mcpd_maybe_gone(m);
}
