// mcpd_out.c: where answers go: one JSON object, or a stream of events that a client of a revision
// with sessions may come back for (2025-11-25, "Resumability and Redelivery").
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "toolbox/mcpd_priv.h"
#include <stdio.h>
#include <string.h>

#define PIECE ((size_t)64 << 10) // of an event, handed to a connection at once
#define KEPT_STREAMS 32          // of a session, that are over
#define KEPT_UNREAD ((size_t)64 << 10) // for a session that nobody listens to

static void out_push(struct mcpd_out *o);

// ---- replies without a stream ------------------------------------------------------------------

void mcpd_reply(struct http_exchange *x, int http, const char *extra, struct val *takes_message)
{
    struct buf text;
    buf_init(&text, MCPD_MESSAGE_MAX);
    int rc = takes_message ? val_write(&text, takes_message) : E_NOMEM;
    val_unref(takes_message);
    if (rc < 0 || text.failed)
        http_reply(x, 500, "application/json", BYTES_NONE,
                   BYTES("{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32603,\"message\":"
                         "\"the answer is too large\"}}"));
    else
        http_reply(x, http, "application/json", bytes_of(extra), buf_bytes(&text));
    buf_fini(&text);
}

void mcpd_refuse(struct http_exchange *x, int http, int code, struct val *id, struct bytes text,
                 struct val *takes_data, const char *extra)
{
    mcpd_reply(x, http, extra, jsonrpc_error(id ? val_ref(id) : NULL, code, text, takes_data));
}

// ---- life --------------------------------------------------------------------------------------

static void on_drain(struct http_exchange *x, void *user)
{
    struct mcpd_out *o = user;
    (void)x;
    o->held = false;
    out_push(o);
}

// Of a modern request this is its cancellation; else its client may come back.
static void on_gone(struct http_exchange *x, void *user, int status)
{
    struct mcpd_out *o = user;
    (void)x;
    (void)status;
    o->x = NULL;
    o->held = false;
    if (!o->s) {
        o->over = true;
        mcpd_calls_of_out_cancel(o);
        mcpd_out_free(o);
    } else if (!o->begun && o->kind == OUT_ANSWERS) {
        o->json = o->sse = false; // what comes now is for nobody
    }
}

struct mcpd_out *mcpd_out_new(struct mcpd *m, struct mcpd_session *s, struct http_exchange *x,
                              enum mcpd_out_kind kind)
{
    struct mcpd_out *o = mem_new(struct mcpd_out);
    if (!o)
        return NULL;
    o->m = m;
    o->s = s;
    o->kind = kind;
    o->rev = s ? s->rev : MCP_REV_MODERN;
    o->opened_ms = o->said_ms = timers_now_ms(m->args.timers);
    list_init(&o->events);
    list_init(&o->calls);
    list_add_tail(s ? &s->outs : &m->outs, &o->link);
    if (s)
        o->id = s->next_out++;
    o->x = x;
    if (x)
        http_own(x, o, on_drain, on_gone);
    m->stats.streams++;
    mcpd_wake(m);
    return o;
}

static void events_drop(struct mcpd_out *o)
{
    list_each_safe (it, &o->events) {
        list_del(it);
        mem_free(container_of(it, struct mcpd_event, link));
    }
    o->bytes = 0;
}

void mcpd_out_free(struct mcpd_out *o)
{
    if (!o)
        return;
    list_each_safe (it, &o->calls) {
        struct mcpd_call *c = container_of(it, struct mcpd_call, link);
        list_del(it);
        c->out = NULL;
    }
    mcpd_task_out_gone(o->m, o);
    if (o->x) {
        struct http_exchange *x = o->x;
        o->x = NULL;
        if (o->begun)
            http_finish(x);
        else
            http_reply(x, 503, NULL, BYTES_NONE, BYTES_NONE);
    }
    events_drop(o);
    if (o->s && o->s->own == o)
        o->s->own = NULL;
    if (o->kind == OUT_LISTEN)
        o->m->listen_count--;
    list_del(&o->link);
    val_unref(o->batch);
    val_unref(o->listen_id);
    map_free(o->uris);
    map_free(o->tasks);
    o->m->stats.streams--;
    mem_free(o);
}

// ---- events ------------------------------------------------------------------------------------

static bool resumable(const struct mcpd_out *o)
{
    return o->s != NULL;
}

static struct mcpd_event *event_new(struct mcpd_out *o, const struct val *message)
{
    char id[48];
    struct buf text;
    int n =
        resumable(o) ? snprintf(id, sizeof(id), "%u-%llu", o->id, (unsigned long long)o->next) : 0;
    buf_init(&text, MCPD_MESSAGE_MAX);
    struct mcpd_event *ev = NULL;
    if (mcp_event_put(&text, (struct bytes){id, (size_t)n}, message) == 0)
        ev = mem_alloc(sizeof(*ev) + text.n);
    if (ev) {
        *ev = (struct mcpd_event){.n = text.n, .seq = o->next};
        memcpy(ev->text, text.p, text.n);
    }
    buf_fini(&text);
    return ev;
}

// Notifications that nobody took go first; what was handed out goes before what was not.
static void make_room(struct mcpd_out *o, size_t n, size_t limit)
{
    for (int round = 0; round < 2 && o->bytes + n > limit; round++)
        list_each_safe (it, &o->events) {
            struct mcpd_event *ev = container_of(it, struct mcpd_event, link);
            bool begun = ev->seq == o->unsent && o->part > 0;
            if (o->bytes + n <= limit)
                break;
            if (begun || (ev->seq >= o->unsent && (round == 0 || !ev->lossy)))
                continue;
            o->bytes -= ev->n;
            list_del(it);
            mem_free(ev);
        }
}

static void add_event(struct mcpd_out *o, const struct val *message, bool lossy)
{
    struct mcpd_event *ev = event_new(o, message);
    size_t limit = o->m->lim.kept_bytes;
    if (!ev)
        return;
    if (o->kind == OUT_SESSION && !o->x && limit > KEPT_UNREAD)
        limit = KEPT_UNREAD;
    ev->lossy = lossy;
    make_room(o, ev->n, limit);
    if (lossy && o->bytes + ev->n > limit) {
        mem_free(ev);
        return;
    }
    o->next++;
    o->bytes += ev->n;
    list_add_tail(&o->events, &ev->link);
}

// What a session keeps of streams that are over is bounded: the oldest go.
static void keep_few(struct mcpd_session *s)
{
    size_t bytes = 0, count = 0;
    for (struct list *it = s->outs.prev, *before = it->prev; it != &s->outs;
         it = before, before = it->prev) {
        struct mcpd_out *old = container_of(it, struct mcpd_out, link);
        if (!old->over || old->x)
            continue;
        bytes += old->bytes;
        if (++count <= KEPT_STREAMS && bytes <= 2 * s->m->lim.kept_bytes)
            continue;
        mcpd_out_free(old);
    }
}

static void out_finish(struct mcpd_out *o)
{
    struct http_exchange *x = o->x;
    o->x = NULL;
    if (x)
        http_finish(x);
    if (!resumable(o))
        mcpd_out_free(o);
    else
        keep_few(o->s);
}

// In pieces that the connection's queue takes. true: it is whole.
static bool event_send(struct mcpd_out *o, const struct mcpd_event *ev)
{
    while (o->part < ev->n) {
        struct bytes text = bytes_first((struct bytes){ev->text + o->part, ev->n - o->part}, PIECE);
        int rc = o->x && !o->held ? http_send(o->x, &text, 1) : -1;
        if (rc < 0) // slow, or on_gone comes
            return false;
        o->part += text.n;
        o->held = rc == 1;
    }
    o->part = 0;
    return true;
}

static void out_push(struct mcpd_out *o)
{
    list_each_safe (it, &o->events) {
        struct mcpd_event *ev = container_of(it, struct mcpd_event, link);
        if (ev->seq < o->unsent)
            continue;
        if (!o->x || o->held || !event_send(o, ev))
            return;
        o->unsent = ev->seq + 1;
        o->said_ms = timers_now_ms(o->m->args.timers);
        if (!resumable(o)) {
            o->bytes -= ev->n;
            list_del(it);
            mem_free(ev);
        }
    }
    if (o->over && o->x && !o->held)
        out_finish(o);
}

void mcpd_out_open(struct mcpd_out *o)
{
    struct buf extra;
    if (o->begun || !o->x)
        return;
    buf_init(&extra, 512);
    (void)buf_str(&extra, "Cache-Control: no-cache\r\nX-Accel-Buffering: no\r\n");
    (void)buf_str(&extra, o->extra);
    o->begun = true;
    http_begin(o->x, 200, "text/event-stream", buf_bytes(&extra), HTTP_CHUNKED);
    buf_fini(&extra);
    if (resumable(o) && o->rev >= MCP_2025_11_25)
        add_event(o, NULL, false); // so that the client has an ID to come back with
    out_push(o);
}

void mcpd_out_say(struct mcpd_out *o, struct val *takes_message, bool lossy)
{
    bool stream = !o->batch && !o->over && (o->begun || (o->sse && o->x) || o->kind != OUT_ANSWERS);
    if (takes_message && stream) {
        mcpd_out_open(o);
        add_event(o, takes_message, lossy);
        out_push(o);
    }
    val_unref(takes_message);
}

void mcpd_out_end(struct mcpd_out *o)
{
    if (o->over)
        return;
    o->over = true;
    o->over_ms = timers_now_ms(o->m->args.timers);
    if (!o->begun && o->kind == OUT_ANSWERS) { // answered whole, or nobody is there
        struct http_exchange *x = o->x;
        o->x = NULL;
        if (x)
            http_reply(x, 202, NULL, BYTES_NONE, BYTES_NONE);
        mcpd_out_free(o);
        return;
    }
    if (o->x)
        out_push(o);
    else if (!resumable(o))
        mcpd_out_free(o);
}

void mcpd_out_batch_end(struct mcpd_out *o)
{
    struct http_exchange *x = o->x;
    o->x = NULL;
    if (x && o->batch && val_len(o->batch) == 0)
        http_reply(x, 202, NULL, BYTES_NONE, BYTES_NONE); // all were cancelled
    else if (x)
        mcpd_reply(x, 200, o->extra, steal(&o->batch));
    mcpd_out_end(o);
}

void mcpd_out_answer(struct mcpd_out *o, struct val *takes_message, int http)
{
    o->pending--;
    if (val_get_cstr(takes_message, "error"))
        o->m->stats.errors++;
    if (o->batch) {
        o->batch = val_push(o->batch, takes_message);
        if (o->pending == 0)
            mcpd_out_batch_end(o);
        return;
    }
    if (!o->begun && o->x && o->json) {
        struct http_exchange *x = o->x;
        o->x = NULL;
        mcpd_reply(x, http, o->extra, takes_message);
    } else if (o->begun || (o->x && o->sse)) {
        mcpd_out_open(o);
        add_event(o, takes_message, false);
        val_unref(takes_message);
    } else {
        val_unref(takes_message);
    }
    if (o->pending == 0)
        mcpd_out_end(o);
    else
        out_push(o);
}

void mcpd_out_skip(struct mcpd_out *o)
{
    if (--o->pending > 0)
        return;
    if (o->batch) {
        mcpd_out_batch_end(o);
        return;
    }
    if (o->x && !o->begun && o->sse)
        mcpd_out_open(o);
    mcpd_out_end(o);
}

void mcpd_out_attach(struct mcpd_out *o, struct http_exchange *x, uint64_t after)
{
    if (o->x)
        mcpd_out_detach(o, false);
    o->x = x;
    o->begun = false;
    o->held = false;
    o->part = 0;
    o->opened_ms = timers_now_ms(o->m->args.timers);
    http_own(x, o, on_drain, on_gone);
    if (after != UINT64_MAX)
        o->unsent = after + 1 > o->next ? o->next : after + 1;
    mcpd_out_open(o);
}

void mcpd_out_detach(struct mcpd_out *o, bool retry)
{
    struct http_exchange *x = o->x;
    if (!x)
        return;
    o->x = NULL;
    if (retry) {
        char line[40];
        int n = snprintf(line, sizeof(line), "retry: %d\n\n", MCPD_RETRY_MS);
        struct bytes text = {line, (size_t)n};
        (void)http_send(x, &text, 1);
    }
    http_finish(x);
}

static bool out_idle(const struct mcpd_out *o, int64_t now_ms)
{
    return o->over && !o->x && now_ms - o->over_ms >= o->m->lim.kept_ms;
}

bool mcpd_out_tick(struct mcpd_out *o, int64_t now_ms)
{
    struct mcpd_limits *lim = &o->m->lim;
    if (out_idle(o, now_ms)) {
        mcpd_out_free(o);
        return true;
    }
    if (!o->x || o->batch || o->held)
        return false;
    if (!o->begun && o->sse && o->pending && now_ms - o->opened_ms >= lim->quiet_ms) {
        mcpd_out_open(o);
        (void)http_flush(o->x);
    } else if (o->begun && o->kind == OUT_ANSWERS && resumable(o) && o->rev >= MCP_2025_11_25 &&
               now_ms - o->opened_ms >= lim->hold_ms)
        mcpd_out_detach(o, true);
    else if (o->begun && now_ms - o->said_ms >= MCPD_ALIVE_MS) {
        struct bytes alive = BYTES(":\n\n");
        o->said_ms = now_ms;
        if (http_send(o->x, &alive, 1) == 1)
            o->held = true;
    }
    return false;
}
