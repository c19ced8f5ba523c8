// grpc.c: a channel: calls wait for a connection, have deadlines, end once and later.
// SPDX-License-Identifier: Apache-2.0
#include "grpc/grpc_priv.h"

#include "base/alloc.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PAUSES_MAX 32 // times the first pause

static const struct {
    const char *name;
    int error;
} codes[] = {
    {"OK", 0},
    {"CANCELLED", E_CANCELLED},
    {"UNKNOWN", E_UPSTREAM},
    {"INVALID_ARGUMENT", E_INVALID},
    {"DEADLINE_EXCEEDED", E_TIMEOUT},
    {"NOT_FOUND", E_NOTFOUND},
    {"ALREADY_EXISTS", E_EXISTS},
    {"PERMISSION_DENIED", E_FORBIDDEN},
    {"RESOURCE_EXHAUSTED", E_RATE},
    {"FAILED_PRECONDITION", E_CONFLICT},
    {"ABORTED", E_BUSY},
    {"OUT_OF_RANGE", E_INVALID},
    {"UNIMPLEMENTED", E_UNSUPPORTED},
    {"INTERNAL", E_UPSTREAM},
    {"UNAVAILABLE", E_UNAVAILABLE},
    {"DATA_LOSS", E_UPSTREAM},
    {"UNAUTHENTICATED", E_UNAUTH},
};
#define CODES ((int)(sizeof codes / sizeof *codes))

int grpc_error(int code)
{
    return code >= 0 && code < CODES ? codes[code].error : E_UPSTREAM;
}

const char *grpc_code_name(int code)
{
    return code >= 0 && code < CODES ? codes[code].name : "UNKNOWN";
}

// ---- the end of calls ---------------------------------------------------------------------------

static void soon(struct grpc *g)
{
    (void)timer_start(g->args.timers, &g->soon, 0);
}

void grpc_call_end(struct grpc_call *c, int code, int status, const char *fmt, ...)
{
    struct grpc *g = c->channel;
    va_list ap;
    char text[ERR_TEXT_MAX];
    if (c->state == GRPC_CALL_ENDS)
        return;
    c->code = code;
    c->status = status;
    if (status) {
        va_start(ap, fmt);
        (void)vsnprintf(text, sizeof text, fmt, ap);
        va_end(ap);
        (void)err_set(&c->err, status, "%s", text);
        g->stats.failures++;
    }
    timer_stop(g->args.timers, &c->timer);
    c->state = GRPC_CALL_ENDS;
    c->conn = NULL;
    list_del(&c->link);
    list_add_tail(&g->ended, &c->link);
    soon(g);
}

static void free_call(struct grpc_call *c)
{
    buf_fini(&c->out);
    buf_fini(&c->in);
    mem_free(c->head);
    c->head = NULL;
    c->state = 0;
}

static void free_channel(struct grpc *g)
{
    timer_stop(g->args.timers, &g->soon);
    timer_stop(g->args.timers, &g->retry);
    mem_free(g->server_name);
    mem_free(g->authority);
    mem_free(g->meta);
    mem_free(g);
}

static void finish_close(struct grpc *g)
{
    if (!g->closing || !list_empty(&g->conns) || !list_empty(&g->ended))
        return;
    void (*closed)(void *user) = g->closed;
    void *user = g->closed_user;
    free_channel(g);
    if (closed)
        closed(user);
}

static void begin_close(struct grpc *g)
{
    list_each_safe (it, &g->waiting)
        grpc_call_end(container_of(it, struct grpc_call, link), 1, E_CANCELLED, "cancelled");
    list_each_safe (it, &g->conns) {
        struct grpc_conn *c = container_of(it, struct grpc_conn, link);
        list_each_safe (at, &c->calls)
            grpc_call_end(container_of(at, struct grpc_call, link), 1, E_CANCELLED, "cancelled");
        if (!c->dead)
            grpc_conn_fail(c, E_CANCELLED, "the channel is closed");
    }
}

static void on_soon(struct timer *t)
{
    struct grpc *g = t->user;
    if (g->closing)
        begin_close(g);
    struct list now;
    list_init(&now);
    while (!list_empty(&g->ended)) { // only those that have ended before this round
        struct list *it = g->ended.next;
        list_del(it);
        list_add_tail(&now, it);
    }
    while (!list_empty(&now)) {
        struct grpc_call *c = container_of(now.next, struct grpc_call, link);
        list_del(&c->link);
        free_call(c);
        struct err e = c->err;
        int status = c->status;
        c->done(c, status, status ? &e : NULL);
    }
    finish_close(g);
}

// ---- calls begin --------------------------------------------------------------------------------

static void flush_waiting(struct grpc *g)
{
    if (g->closing || list_empty(&g->waiting))
        return;
    if (g->now && g->now->up && !nghttp2_session_check_request_allowed(g->now->session))
        grpc_conn_leave(g->now);
    if (!g->now && !g->resting) {
        struct err e = {0};
        int rc = grpc_conn_open(g, &e);
        if (!rc)
            return;
        list_each_safe (it, &g->waiting)
            grpc_call_end(container_of(it, struct grpc_call, link), 14, rc, "%s", e.text);
    }
    if (!g->now || !g->now->up)
        return;
    struct grpc_conn *now = g->now; // it may break meanwhile
    while (g->now == now && !list_empty(&g->waiting))
        grpc_conn_submit(now, container_of(g->waiting.next, struct grpc_call, link));
}

static void on_retry(struct timer *t)
{
    struct grpc *g = t->user;
    g->resting = false;
    flush_waiting(g);
}

void grpc_conn_up(struct grpc_conn *c)
{
    struct grpc *g = c->g;
    g->stats.connections++;
    g->stats.up = true;
    g->stats.why[0] = 0;
    g->pause_ms = 0;
    flush_waiting(g);
}

void grpc_conn_down(struct grpc_conn *c, const struct err *e)
{
    struct grpc *g = c->g;
    if (g->now == c)
        g->now = NULL;
    g->stats.up = g->now && g->now->up;
    if (g->closing)
        return;
    if (e)
        (void)snprintf(g->stats.why, sizeof g->stats.why, "%.250s", e->text);
    if (!c->up) { // it did not come about: who waits is told, who comes waits for the next try
        int64_t first = g->args.retry_ms;
        g->pause_ms = g->pause_ms ? g->pause_ms * 2 : first;
        if (g->pause_ms > first * PAUSES_MAX)
            g->pause_ms = first * PAUSES_MAX;
        g->resting = true;
        (void)timer_start(g->args.timers, &g->retry, g->pause_ms);
        list_each_safe (it, &g->waiting)
            grpc_call_end(container_of(it, struct grpc_call, link), 14, E_UNAVAILABLE, "%s",
                          e ? e->text : "no connection");
    } else
        flush_waiting(g);
}

void grpc_conn_gone(struct grpc *g)
{
    if (g->closing)
        soon(g);
}

static bool is_meta(const char *name, const char *value)
{
    size_t n = 0;
    for (; name[n]; n++)
        if (!((name[n] >= 'a' && name[n] <= 'z') || (name[n] >= '0' && name[n] <= '9') ||
              name[n] == '-' || name[n] == '_' || name[n] == '.'))
            return false;
    for (const char *v = value; *v; v++)
        if (*v < 0x20 || *v > 0x7e)
            return false;
    return n > 0;
}

static int meta_text(struct buf *b, const struct grpc_meta *meta, size_t count, struct err *e)
{
    for (size_t i = 0; i < count; i++) {
        if (!meta[i].name || !meta[i].value || !is_meta(meta[i].name, meta[i].value))
            return err_set(e, E_INVALID, "metadata %s cannot be sent",
                           meta[i].name ? meta[i].name : "without a name");
        (void)buf_fmt(b, "%s\n%s\n", meta[i].name, meta[i].value);
    }
    return b->failed ? err_set(e, b->failed, "the metadata is too large") : 0;
}

static void on_deadline(struct timer *t)
{
    struct grpc_call *c = t->user;
    struct grpc_conn *conn = c->conn;
    if (c->state == GRPC_CALL_SENT)
        grpc_conn_reset(conn, c);
    grpc_call_end(c, 4, E_TIMEOUT, "%s: no answer in time", c->path);
}

int grpc_start(struct grpc *g, struct grpc_call *c, struct err *e)
{
    struct buf head;
    char frame[5] = {0, (char)(c->message.n >> 24), (char)(c->message.n >> 16),
                     (char)(c->message.n >> 8), (char)c->message.n};
    if (g->closing)
        return err_set(e, E_CLOSED, "the channel is closed");
    buf_init(&head, 64 << 10);
    int rc = meta_text(&head, c->meta, c->meta_count, e);
    buf_init(&c->out, (size_t)UINT32_MAX);
    buf_init(&c->in, g->args.message_bytes_max + 5);
    (void)buf_add(&c->out, frame, sizeof frame);
    (void)buf_put(&c->out, c->message);
    if (!rc && c->out.failed)
        rc = err_set(e, c->out.failed, "no memory for a call");
    if (!rc && !(c->head = mem_str(buf_cstr(&head))))
        rc = err_set(e, E_NOMEM, "no memory for a call");
    buf_fini(&head);
    c->timer = (struct timer){.fn = on_deadline, .user = c};
    if (!rc && c->timeout_ms != TIME_NEVER && timer_start(g->args.timers, &c->timer, c->timeout_ms))
        rc = err_set(e, E_NOMEM, "no memory for a call");
    if (rc) {
        free_call(c);
        return rc;
    }
    c->channel = g;
    c->conn = NULL;
    c->state = GRPC_CALL_WAITS;
    c->sent = 0;
    c->code = c->http = c->status = 0;
    c->got_status = c->got_type = false;
    c->err = (struct err){0};
    list_add_tail(&g->waiting, &c->link);
    g->stats.calls++;
    flush_waiting(g);
    return 0;
}

void grpc_cancel(struct grpc_call *c)
{
    if (c->state == GRPC_CALL_SENT)
        grpc_conn_reset(c->conn, c);
    if (c->state)
        grpc_call_end(c, 1, E_CANCELLED, "cancelled");
}

// ---- the channel --------------------------------------------------------------------------------

int grpc_new(struct grpc **ret, const struct grpc_args *args, struct err *e)
{
    struct buf b;
    char authority[300];
    struct grpc *g = mem_new(struct grpc);
    if (!g)
        return err_set(e, E_NOMEM, "no memory for a channel");
    g->args = *args;
    g->args.connect_ms = args->connect_ms ? args->connect_ms : 10000;
    g->args.keepalive_ms = args->keepalive_ms ? args->keepalive_ms : 30000;
    g->args.retry_ms = args->retry_ms ? args->retry_ms : 250;
    g->args.message_bytes_max =
        args->message_bytes_max ? args->message_bytes_max : (size_t)64 << 20;
    g->args.meta = NULL;
    list_init(&g->conns);
    list_init(&g->waiting);
    list_init(&g->ended);
    g->soon = (struct timer){.fn = on_soon, .user = g};
    g->retry = (struct timer){.fn = on_retry, .user = g};
    buf_init(&b, 64 << 10);
    int rc = meta_text(&b, args->meta, args->meta_count, e);
    if (args->addr.unix_socket)
        (void)snprintf(authority, sizeof authority, "localhost");
    else
        (void)snprintf(authority, sizeof authority, "%s:%u",
                       args->server_name ? args->server_name : args->addr.host, args->addr.port);
    g->meta = mem_str(buf_cstr(&b));
    g->authority = mem_str(authority);
    g->server_name = mem_str(args->server_name ? args->server_name : args->addr.host);
    buf_fini(&b);
    if (!rc && (!g->meta || !g->authority || !g->server_name))
        rc = err_set(e, E_NOMEM, "no memory for a channel");
    if (rc) {
        free_channel(g);
        return rc;
    }
    *ret = g;
    return 0;
}

void grpc_close(struct grpc *g, void (*closed)(void *user), void *user)
{
    g->closing = true;
    g->closed = closed;
    g->closed_user = user;
    soon(g);
}

void grpc_stats(const struct grpc *g, struct grpc_stats *ret)
{
    *ret = g->stats;
}
