// client.c: HTTP client: a pool of connections to one address, one call at a time on each.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "http/http.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>

#define SWEEP_MS 250
// More of a request's body is handed over when this much went out.
#define BODY_SLICE_BYTES ((size_t)256 * 1024)
#define QUEUE_BYTES_MAX (2 * BODY_SLICE_BYTES + 65536)

struct link { // one connection
    struct net_stream *stream;
    struct http_pool *pool;
    struct http_call *call; // NULL: idle
    struct list node;       // pool->idle or pool->busy
    struct buf in;          // an answer's head in pieces
    struct http1 parser;
    int64_t idle_since_ms;
    bool dialing, open, closed, reading, has_head, keep, until_close, seen_bytes;
};

struct http_call {
    struct http_pool *pool;
    struct link *link;
    struct list node; // pool->calls
    const struct http_call_handler *handler;
    void *user;
    struct buf head;  // the request's head, until it is written
    struct bytes body[2];
    int body_count, body_at;
    size_t body_offset;
    int64_t first_byte_ms, silence_ms, due_ms;
    bool handed, sent, has_head, reused, retried, held, ending;
    bool head_only; // HEAD: its answer names a length and has no body
    bool queued; // for a connection: one that gets free, or its turn to make one
    int status;
    struct err err;
    struct timer later;
};

struct http_pool {
    struct http_pool_args args;
    char *host_header, *server_name;
    struct list idle, busy, calls;
    size_t idle_count, links, dialing;
    size_t ends; // calls whose on_end is running
    struct timer sweep;
    struct http1_fields fields;
    bool sweeping, ending, freed;
};

static void on_open(struct net_stream *s, int status, const struct err *e);
static void on_data(struct net_stream *s, char *p, size_t n);
static void on_end(struct net_stream *s, int status);
static void on_drain(struct net_stream *s);
static void on_closed(struct net_stream *s);
static int call_connect(struct http_call *c, struct err *e);
static int call_dial(struct http_call *c, int64_t timeout_ms, struct err *e);
static void link_dialed(struct link *l);

static const struct net_handler handler = {.on_open = on_open,
                                           .on_data = on_data,
                                           .on_end = on_end,
                                           .on_drain = on_drain,
                                           .on_closed = on_closed};

static void pool_sweep(struct timer *t);

static void pool_wake(struct http_pool *p)
{
    if (!p->sweeping && !p->freed) {
        p->sweeping = true;
        (void)timer_start(p->args.timers, &p->sweep, SWEEP_MS);
    }
}

int http_pool_new(struct http_pool **ret, const struct http_pool_args *args, struct err *e)
{
    struct http_pool *p = mem_new(struct http_pool);
    char host[300];
    if (args->addr.unix_socket)
        (void)snprintf(host, sizeof(host), "localhost");
    else
        (void)snprintf(host, sizeof(host), strchr(args->addr.host, ':') ? "[%s]:%u" : "%s:%u",
                       args->addr.host, args->addr.port);
    if (p)
        p->host_header = mem_str(args->host_header ? args->host_header : host);
    if (p && args->server_name)
        p->server_name = mem_str(args->server_name);
    if (!p || !p->host_header || (args->server_name && !p->server_name)) {
        if (p)
            mem_free(p->host_header);
        mem_free(p);
        return err_set(e, E_NOMEM, "HTTP client: out of memory");
    }
    p->args = *args;
    if (!p->args.idle_max)
        p->args.idle_max = 64;
    if (!p->args.idle_ms)
        p->args.idle_ms = 60000;
    if (!p->args.connect_ms)
        p->args.connect_ms = 10000;
    if (!p->args.head_bytes)
        p->args.head_bytes = 64 << 10;
    list_init(&p->idle);
    list_init(&p->busy);
    list_init(&p->calls);
    p->sweep.fn = pool_sweep;
    p->sweep.user = p;
    *ret = p;
    return 0;
}

static void pool_release(struct http_pool *p)
{
    if (!p->freed || p->links || p->ends || !list_empty(&p->calls))
        return;
    mem_free(p->host_header);
    mem_free(p->server_name);
    mem_free(p);
}

static void link_close(struct link *l, bool abort)
{
    if (l->closed)
        return;
    l->closed = true;
    list_del(&l->node);
    net_close(l->stream, abort);
    link_dialed(l);
}

void http_pool_drop_idle(struct http_pool *p)
{
    list_each_safe (it, &p->idle)
        link_close(container_of(it, struct link, node), false);
    p->idle_count = 0;
}

void http_pool_tls(struct http_pool *p, struct net_tls *tls)
{
    p->args.tls = tls;
    http_pool_drop_idle(p);
}

void http_pool_free(struct http_pool *p)
{
    if (!p || p->freed)
        return;
    p->ending = true;
    http_pool_drop_idle(p);
    list_each_safe (it, &p->calls)
        http_call_cancel(container_of(it, struct http_call, node));
    timer_stop(p->args.timers, &p->sweep);
    p->freed = true;
    pool_release(p);
}

// ---- the end of a call -------------------------------------------------------------------------

static void call_free(struct http_call *c)
{
    struct http_pool *p = c->pool;
    list_del(&c->node);
    buf_fini(&c->head);
    mem_free(c);
    pool_release(p);
}

static void call_finish(struct http_call *c, int status, const struct err *e)
{
    timer_stop(c->pool->args.timers, &c->later);
    c->ending = true; // a cancel from inside on_end, also by freeing the pool, is harmless
    list_del(&c->node);
    c->pool->ends++;
    c->handler->on_end(c, status, e);
    c->pool->ends--;
    call_free(c);
}

static void call_later(struct timer *t)
{
    struct http_call *c = t->user;
    struct err e = c->err;
    call_finish(c, c->status, c->status ? &e : NULL);
}

// Ends the call in a later round, so that nothing ends inside its own start or cancel.
static void call_end_later(struct http_call *c, int status, const struct err *e)
{
    if (c->ending)
        return;
    c->ending = true;
    c->status = status;
    if (e)
        c->err = *e;
    c->later.fn = call_later;
    c->later.user = c;
    (void)timer_start(c->pool->args.timers, &c->later, 0);
}

// The link's call is over: by its end, an error or a timeout. Called from the link's callbacks
// only.
static void link_fail(struct link *l, int status, const struct err *e)
{
    struct http_call *c = l->call;
    bool stale = c && c->reused && !c->retried && !l->seen_bytes && status == E_CLOSED;
    l->call = NULL;
    link_close(l, true);
    if (!c)
        return;
    c->link = NULL;
    if (stale && !c->ending) {
        // The server closed this kept connection before it saw the request: once more on a new one.
        struct err again = {0};
        c->retried = true;
        c->sent = false;
        c->body_at = 0;
        c->body_offset = 0;
        if (call_connect(c, &again) == 0)
            return;
        call_end_later(c, again.code, &again);
        return;
    }
    if (!c->ending)
        call_finish(c, status, e);
}

static struct http_call *first_queued(struct http_pool *p)
{
    list_each (it, &p->calls) {
        struct http_call *c = container_of(it, struct http_call, node);
        if (c->queued && !c->ending)
            return c;
    }
    return NULL;
}

static void link_take(struct link *l, struct http_call *c);

static void link_idle(struct link *l)
{
    struct http_pool *p = l->pool;
    struct http_call *next = first_queued(p);
    l->call = NULL;
    l->has_head = false;
    l->seen_bytes = false;
    if (next && l->keep) {
        link_take(l, next);
        return;
    }
    list_del(&l->node);
    if (!l->keep || p->freed || p->idle_count >= p->args.idle_max) {
        list_add_tail(&p->busy, &l->node);
        link_close(l, false);
        return;
    }
    l->idle_since_ms = timers_now_ms(p->args.timers);
    list_add_tail(&p->idle, &l->node);
    p->idle_count++;
    if (!l->reading) {
        l->reading = true;
        net_read(l->stream, true);
    }
    pool_wake(p);
}

static struct http_call *overdue(struct http_pool *p, int64_t now)
{
    list_each (it, &p->calls) {
        struct http_call *c = container_of(it, struct http_call, node);
        if (c->due_ms <= now && !c->held && (c->link || c->queued) && !c->ending)
            return c;
    }
    return NULL;
}

static void pool_sweep(struct timer *t)
{
    struct http_pool *p = t->user;
    int64_t now = timers_now_ms(p->args.timers);
    p->sweeping = false;
    while (!list_empty(&p->idle)) {
        struct link *l = container_of(p->idle.next, struct link, node);
        if (now - l->idle_since_ms < p->args.idle_ms)
            break;
        p->idle_count--;
        link_close(l, false);
    }
    // The end of a call may start or end others, and free the pool: each time from the beginning.
    struct http_call *c;
    p->ends++;
    while (!p->freed && (c = overdue(p, now)) != NULL) {
        struct err e = {0};
        if (c->queued) {
            (void)err_set(&e, E_TIMEOUT, "no connection after %lld ms",
                          (long long)p->args.connect_ms);
            call_finish(c, E_TIMEOUT, &e);
            continue;
        }
        (void)err_set(&e, E_TIMEOUT,
                      c->has_head ? "the answer stalled for %lld ms" : "no answer after %lld ms",
                      (long long)(c->has_head ? c->silence_ms : c->first_byte_ms));
        link_fail(c->link, E_TIMEOUT, &e);
    }
    p->ends--;
    if (!list_empty(&p->idle) || !list_empty(&p->calls))
        pool_wake(p);
    pool_release(p);
}

// ---- requests ----------------------------------------------------------------------------------

static int64_t due(struct http_pool *p, int64_t ms)
{
    int64_t now = timers_now_ms(p->args.timers);
    return ms > TIME_NEVER - now ? TIME_NEVER : now + ms;
}

// Hands over the next part of the request; a body beyond a slice waits for on_drain.
static int call_send(struct http_call *c)
{
    struct bytes parts[3];
    assert(c->body_at >= 0 && c->body_count <= 2);
    for (;;) {
        int n = 0;
        size_t total = 0;
        if (!c->sent && c->body_at == 0 && c->body_offset == 0)
            parts[n++] = buf_bytes(&c->head);
        while (c->body_at < c->body_count && total < BODY_SLICE_BYTES) {
            struct bytes rest = bytes_from(c->body[c->body_at], c->body_offset);
            struct bytes part = bytes_first(rest, BODY_SLICE_BYTES - total);
            total += part.n;
            c->body_offset += part.n;
            if (part.n == rest.n) {
                c->body_at++;
                c->body_offset = 0;
            }
            if (part.n)
                parts[n++] = part;
        }
        c->sent = c->body_at == c->body_count;
        c->due_ms = due(c->pool, c->first_byte_ms);
        int status = n ? net_write(c->link->stream, parts, n) : 0;
        c->handed = c->handed || status >= 0;
        if (status != 0 || c->sent)
            return status < 0 ? status : 0;
    }
}

static void link_attach(struct link *l, struct http_call *c)
{
    l->call = c;
    c->link = l;
    list_del(&l->node);
    list_add_tail(&l->pool->busy, &l->node);
}

// A kept connection serves this call.
static void link_take(struct link *l, struct http_call *c)
{
    c->queued = false;
    c->reused = true;
    link_attach(l, c);
    if (!l->reading && l->open) {
        l->reading = true;
        net_read(l->stream, true);
    }
    // A dead kept connection shows when its end is read: the retry is made there.
    int sent = call_send(c);
    if (sent < 0 && sent != E_CLOSED) {
        c->link = NULL;
        l->call = NULL;
        link_close(l, true);
        call_end_later(c, sent, NULL);
    }
}

// A connection was made, or was not: the next call that waits has its turn.
static void link_dialed(struct link *l)
{
    struct http_pool *p = l->pool;
    struct http_call *c;
    if (!l->dialing)
        return;
    l->dialing = false;
    p->dialing--;
    while (!p->ending && p->dialing < p->args.dials_max && (c = first_queued(p)) != NULL) {
        struct err e = {0};
        int64_t left = c->due_ms - timers_now_ms(p->args.timers);
        c->queued = false;
        if (left < p->args.connect_ms / 10) {
            (void)err_set(&e, E_TIMEOUT, "no connection after %lld ms",
                          (long long)p->args.connect_ms);
            call_end_later(c, E_TIMEOUT, &e);
        } else if (call_dial(c, left, &e) < 0) {
            call_end_later(c, e.code, &e);
        }
    }
}

static int call_dial(struct http_call *c, int64_t timeout_ms, struct err *e)
{
    struct http_pool *p = c->pool;
    struct link *l = mem_new(struct link);
    if (!l)
        return err_set(e, E_NOMEM, "HTTP client: out of memory");
    list_init(&l->node);
    l->pool = p;
    buf_init(&l->in, p->args.head_bytes);
    struct net_connect_args args = {.addr = p->args.addr,
                                    .tls = p->args.tls,
                                    .server_name = p->server_name,
                                    .timeout_ms = timeout_ms,
                                    .queue_bytes_max = QUEUE_BYTES_MAX,
                                    .handler = &handler,
                                    .user = l};
    int status = net_connect(p->args.net, &args, &l->stream, e);
    if (status < 0) {
        mem_free(l);
        return status;
    }
    p->links++;
    p->dialing++;
    l->dialing = true;
    c->due_ms = TIME_NEVER; // the connection has its own deadline
    c->reused = false;
    link_attach(l, c);
    return 0;
}

static int call_connect(struct http_call *c, struct err *e)
{
    struct http_pool *p = c->pool;
    if (!p->args.dials_max || p->dialing < p->args.dials_max)
        return call_dial(c, p->args.connect_ms, e);
    c->queued = true;
    c->due_ms = due(p, p->args.connect_ms);
    return 0;
}

static int call_head(struct http_call *c, const struct http_call_args *args)
{
    struct buf *b = &c->head;
    size_t length = 0;
    c->head_only = bytes_is(args->method, "HEAD");
    for (int i = 0; i < args->body_count; i++)
        length += args->body[i].n;
    (void)buf_put(b, args->method);
    (void)buf_chr(b, ' ');
    (void)buf_put(b, args->target);
    (void)buf_put(b, BYTES(" HTTP/1.1\r\nHost: "));
    (void)buf_str(b, c->pool->host_header);
    (void)buf_put(b, BYTES("\r\n"));
    if (length || !bytes_is(args->method, "GET")) {
        (void)buf_put(b, BYTES("Content-Length: "));
        (void)buf_u64(b, length);
        (void)buf_put(b, BYTES("\r\n"));
    }
    (void)buf_put(b, args->headers);
    (void)buf_put(b, BYTES("\r\n"));
    return b->failed;
}

int http_call_start(struct http_pool *p, const struct http_call_args *args, struct http_call **ret,
                    struct err *e)
{
    struct http_call *c = mem_new(struct http_call);
    if (!c)
        return err_set(e, E_NOMEM, "HTTP client: out of memory");
    list_init(&c->node);
    c->pool = p;
    c->handler = args->handler;
    c->user = args->user;
    c->first_byte_ms = args->first_byte_ms;
    c->silence_ms = args->silence_ms;
    c->due_ms = TIME_NEVER;
    buf_init(&c->head, 256 * 1024);
    assert(args->body_count >= 0 && args->body_count <= 2);
    for (int i = 0; i < args->body_count; i++)
        c->body[c->body_count++] = args->body[i];
    int status = call_head(c, args);
    if (status < 0)
        (void)err_set(e, status, "the request's head is too large");
    list_add_tail(&p->calls, &c->node);
    if (status == 0 && !list_empty(&p->idle)) {
        struct link *l = container_of(p->idle.prev, struct link, node); // the one used last
        p->idle_count--;
        link_take(l, c);
    } else if (status == 0) {
        status = call_connect(c, e);
    }
    if (status < 0) {
        call_free(c);
        return status;
    }
    pool_wake(p);
    *ret = c;
    return 0;
}

void *http_call_user(const struct http_call *c)
{
    return c->user;
}

bool http_call_reused(const struct http_call *c)
{
    return c->reused;
}

bool http_call_handed(const struct http_call *c)
{
    return c->handed;
}

void http_call_read(struct http_call *c, bool on)
{
    struct link *l = c->link;
    c->held = !on;
    if (on && c->has_head)
        c->due_ms = due(c->pool, c->silence_ms);
    if (!l || l->closed || l->reading == on || !l->open)
        return;
    l->reading = on;
    net_read(l->stream, on);
}

void http_call_cancel(struct http_call *c)
{
    struct link *l = c->link;
    struct err e = {0};
    (void)err_set(&e, E_CANCELLED, "cancelled");
    if (c->ending) { // its end waits for the next round: it says so then, whatever it was
        c->status = E_CANCELLED;
        c->err = e;
        return;
    }
    c->link = NULL;
    if (l) {
        l->call = NULL;
        link_close(l, true);
    }
    call_end_later(c, E_CANCELLED, &e);
}

// ---- a connection's events ---------------------------------------------------------------------

static void on_open(struct net_stream *s, int status, const struct err *e)
{
    struct link *l = s->user;
    link_dialed(l);
    if (status < 0) {
        link_fail(l, status, e);
        return;
    }
    const struct http_pool_args *args = &l->pool->args;
    if (args->check) {
        struct net_peer peer = {0};
        struct err refused = {0};
        net_peer(s, &peer);
        status = args->check(args->user, &peer, &refused);
        if (status < 0) {
            link_fail(l, status, &refused);
            return;
        }
    }
    l->open = true;
    l->reading = true;
    net_read(s, true);
    if (l->call && call_send(l->call) < 0)
        link_fail(l, E_CLOSED, NULL);
}

static void on_drain(struct net_stream *s)
{
    struct link *l = s->user;
    int status = l->call && !l->call->sent && !l->has_head ? call_send(l->call) : 0;
    if (status < 0 && status != E_CLOSED) // for that on_end follows
        link_fail(l, status, NULL);
}

static void answer_whole(struct link *l)
{
    struct http_call *c = l->call;
    c->link = NULL;
    if (!c->sent)
        l->keep = false; // it answered before it had read the request
    link_idle(l);
    call_finish(c, 0, NULL);
}

// Body bytes; false when the link has no call any more.
static bool link_body(struct link *l, struct bytes data)
{
    size_t used = 0;
    for (;;) {
        struct err e = {0};
        struct bytes part = BYTES_NONE;
        size_t n = 0;
        int event = http1_body(&l->parser, bytes_from(data, used), &n, &part, &e);
        used += n;
        if (event < 0) {
            (void)err_wrap(&e, "the answer's body is broken");
            link_fail(l, E_UPSTREAM, &e);
            return false;
        }
        if (event == HTTP1_BODY) {
            struct http_call *c = l->call;
            c->handler->on_body(c, part.p, part.n);
            if (l->call != c)
                return false;
        }
        if (event == HTTP1_END) {
            if (used < data.n)
                l->keep = false; // bytes that nobody asked for
            answer_whole(l);
            return false;
        }
        if (event == HTTP1_MORE)
            return true;
    }
}

// The answer's head; returns the bytes used, or -1 when the link has no call any more.
static ptrdiff_t link_head(struct link *l, struct bytes data)
{
    struct http_call *c = l->call;
    struct http_pool *p = l->pool;
    struct http_head head;
    struct err e = {0};
    size_t used = 0;
    int event = http1_response(&l->parser, &p->fields, data, &head, &used, &e);
    if (event == HTTP1_MORE && data.n >= p->args.head_bytes)
        event = err_set(&e, E_UPSTREAM, "the answer's head is too large");
    if (event < 0) {
        struct err told = {0};
        (void)err_set(&told, E_UPSTREAM, "the engine's answer is not HTTP: %s", e.text);
        link_fail(l, E_UPSTREAM, &told);
        return -1;
    }
    if (event == HTTP1_MORE)
        return 0;
    if (head.status >= 100 && head.status < 200 && head.status != 101)
        return (ptrdiff_t)used; // an interim answer: the real one follows
    if (c->head_only) {
        http1_no_body(&l->parser);
        head.until_close = false;
    }
    l->has_head = true;
    l->keep = head.keep_alive && !head.until_close && !head.upgrade;
    l->until_close = head.until_close;
    c->has_head = true;
    c->handler->on_head(c, &head);
    return l->call == c ? (ptrdiff_t)used : -1;
}

static void link_data(struct link *l, struct bytes data)
{
    while (!l->has_head) {
        ptrdiff_t used = link_head(l, data);
        if (used <= 0) {
            if (used == 0 && buf_put(&l->in, data) != 0)
                link_fail(l, E_NOMEM, NULL);
            return;
        }
        data = bytes_from(data, (size_t)used);
        if (!l->has_head && data.n == 0)
            return;
    }
    (void)link_body(l, data);
}

static void on_data(struct net_stream *s, char *p, size_t n)
{
    struct link *l = s->user;
    struct http_call *c = l->call;
    if (!c) { // an idle connection has nothing to say
        l->pool->idle_count--;
        link_close(l, true);
        return;
    }
    l->seen_bytes = true;
    c->due_ms = due(l->pool, c->silence_ms);
    if (l->has_head) {
        (void)link_body(l, (struct bytes){p, n});
        return;
    }
    if (l->in.n == 0) {
        link_data(l, (struct bytes){p, n});
        return;
    }
    struct buf whole = l->in;
    buf_init(&l->in, l->pool->args.head_bytes);
    whole.max += n;
    if (buf_add(&whole, p, n) == 0)
        link_data(l, buf_bytes(&whole));
    else
        link_fail(l, E_NOMEM, NULL);
    buf_fini(&whole);
}

static void on_end(struct net_stream *s, int status)
{
    struct link *l = s->user;
    if (!l->call) {
        if (!l->closed)
            l->pool->idle_count--;
        link_close(l, status != 0);
        return;
    }
    if (status == 0 && l->has_head && http1_eof(&l->parser) == HTTP1_END) {
        l->keep = false;
        answer_whole(l);
        return;
    }
    struct err e = {0};
    const char *why = net_why(s); // TLS 1.3: our certificate was refused
    (void)err_set(&e, E_CLOSED, "the connection ended %s%s%s",
                  l->has_head ? "in the middle of the answer" : "before the answer",
                  why[0] ? ": " : "", why);
    link_fail(l, E_CLOSED, &e);
}

static void on_closed(struct net_stream *s)
{
    struct link *l = s->user;
    struct http_pool *p = l->pool;
    if (!l->closed) { // the loop ended, and its streams with it
        if (l->call)
            l->call->link = NULL;
        else
            p->idle_count--;
        list_del(&l->node);
    }
    buf_fini(&l->in);
    mem_free(l);
    p->links--;
    pool_release(p);
}
