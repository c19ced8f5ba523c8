// server.c: listeners, limits, deadlines and draining of the HTTP server.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "http/http_priv.h"
#include <assert.h>

#define SWEEP_MS 250

static int64_t wait_ms(const struct http_limits *l, enum conn_wait wait)
{
    switch (wait) {
    case WAIT_IDLE: return l->idle_ms;
    case WAIT_HEAD: return l->head_ms;
    case WAIT_BODY: return l->body_ms;
    case WAIT_WRITE: return l->write_ms;
    case WAIT_NONE:
    case WAIT_KINDS: break;
    }
    return TIME_NEVER;
}

// A connection waits for one thing at a time; with the same length of time for all in a list, the
// list is in order of its deadlines.
void conn_wait_for(struct conn *c, enum conn_wait wait)
{
    struct http_server *s = c->server;
    assert(wait < WAIT_KINDS);
    list_del(&c->wait_link);
    c->wait = wait;
    if (wait == WAIT_NONE)
        return;
    int64_t ms = wait_ms(&s->limits, wait), now = timers_now_ms(s->timers);
    c->due_ms = ms > TIME_NEVER - now ? TIME_NEVER : now + ms;
    list_add_tail(&s->waits[wait], &c->wait_link);
    if (!s->sweeping)
        s->sweeping = timer_start(s->timers, &s->sweep, SWEEP_MS) == 0;
}

static void conn_overdue(struct conn *c)
{
    if (c->wait == WAIT_HEAD)
        conn_refuse(c, E_REQ_TIMEOUT, "the request's head came too slowly");
    else if (c->wait == WAIT_BODY && c->state == CONN_BODY)
        conn_refuse(c, E_REQ_TIMEOUT, "the request's body came too slowly");
    else
        conn_close(c, c->wait == WAIT_WRITE);
}

static void on_sweep(struct timer *t)
{
    struct http_server *s = t->user;
    int64_t now = timers_now_ms(s->timers);
    bool any = false;
    for (int w = WAIT_IDLE; w < WAIT_KINDS; w++) {
        while (!list_empty(&s->waits[w])) {
            struct conn *c = container_of(s->waits[w].next, struct conn, wait_link);
            if (c->due_ms > now)
                break;
            enum conn_wait before = c->wait;
            int64_t due = c->due_ms;
            conn_overdue(c);
            if (!list_empty(&s->waits[w]) && s->waits[w].next == &c->wait_link &&
                c->wait == before && c->due_ms == due)
                conn_close(c, true); // whatever happened, it must not stay due
        }
        any |= !list_empty(&s->waits[w]);
    }
    s->sweeping = any;
    if (any)
        (void)timer_start(s->timers, t, SWEEP_MS);
}

static void put_default_size(size_t *field, size_t value)
{
    if (*field == 0)
        *field = value;
}
static void put_default_u64(uint64_t *field, uint64_t value)
{
    if (*field == 0)
        *field = value;
}
static void put_default_ms(int64_t *field, int64_t value)
{
    if (*field == 0)
        *field = value;
}

void http_server_limits(struct http_server *s, const struct http_limits *limits)
{
    s->limits = *limits;
    put_default_size(&s->limits.head_bytes, 64 << 10);
    put_default_u64(&s->limits.body_bytes, 32u << 20);
    put_default_u64(&s->limits.budget_bytes, 256u << 20);
    put_default_ms(&s->limits.head_ms, 10000);
    put_default_ms(&s->limits.body_ms, 30000);
    put_default_ms(&s->limits.idle_ms, 75000);
    put_default_ms(&s->limits.write_ms, 600000);
}

int http_server_new(struct http_server **ret, const struct http_server_args *args, struct err *e)
{
    struct http_server *s = mem_new(struct http_server);
    if (!s)
        return err_set(e, E_NOMEM, "HTTP server: out of memory");
    s->net = args->net;
    s->timers = args->timers;
    s->routes = args->routes;
    http_server_limits(s, &args->limits);
    list_init(&s->conns);
    list_init(&s->listeners);
    for (int w = 0; w < WAIT_KINDS; w++)
        list_init(&s->waits[w]);
    s->sweep.fn = on_sweep;
    s->sweep.user = s;
    *ret = s;
    return 0;
}

int http_server_listen(struct http_server *s, const struct net_listen_args *args, int tag,
                       struct net_listener **ret, struct err *e)
{
    struct listener *l = mem_new(struct listener);
    if (!l)
        return err_set(e, E_NOMEM, "HTTP server: out of memory");
    l->server = s;
    l->tag = tag;
    struct net_listen_args mine = *args;
    mine.on_accept = conn_accept;
    mine.user = l;
    int status = net_listen(s->net, &mine, &l->net, e);
    if (status < 0) {
        mem_free(l);
        return status;
    }
    list_add_tail(&s->listeners, &l->link);
    if (ret)
        *ret = l->net;
    return 0;
}

// The door of these connections is gone, and its tag may soon mean another one.
static void leave_door(struct http_server *s, int tag)
{
    list_each_safe (it, &s->conns) {
        struct conn *c = container_of(it, struct conn, link);
        if (c->tag != tag || c->state == CONN_CLOSED)
            continue;
        c->tag = -1;
        if (c->x)
            c->x->close_after = true;
        else if (c->in.n == 0)
            conn_close(c, false);
    }
}

void http_server_unlisten(struct http_server *s, struct net_listener *n)
{
    list_each_safe (it, &s->listeners) {
        struct listener *l = container_of(it, struct listener, link);
        if (l->net == n) {
            int tag = l->tag;
            net_listener_close(n);
            list_del(&l->link);
            mem_free(l);
            leave_door(s, tag);
        }
    }
}

void http_server_tls(struct http_server *s, struct net_listener *n, struct net_tls *tls)
{
    list_each (it, &s->listeners)
        if (container_of(it, struct listener, link)->net == n)
            net_listener_tls(n, tls);
}

void server_check_drained(struct http_server *s)
{
    if (!s->draining || s->active || !s->drained)
        return;
    void (*done)(void *) = s->drained;
    s->drained = NULL;
    done(s->drained_user);
}

static void close_listeners(struct http_server *s)
{
    list_each_safe (it, &s->listeners) {
        struct listener *l = container_of(it, struct listener, link);
        net_listener_close(l->net);
        list_del(&l->link);
        mem_free(l);
    }
}

void http_server_drain(struct http_server *s, void (*done)(void *user), void *user)
{
    s->draining = true;
    s->drained = done;
    s->drained_user = user;
    close_listeners(s);
    // A connection in the middle of a head or body goes on: what it sends next is answered.
    list_each_safe (it, &s->conns) {
        struct conn *c = container_of(it, struct conn, link);
        if (c->state == CONN_READY && c->in.n == 0)
            conn_close(c, false);
    }
    server_check_drained(s);
}

void http_server_abort(struct http_server *s)
{
    list_each_safe (it, &s->conns) {
        struct conn *c = container_of(it, struct conn, link);
        conn_close(c, false);
    }
}

size_t http_server_close_peer(struct http_server *s, struct bytes id)
{
    size_t count = 0;
    list_each_safe (it, &s->conns) {
        struct conn *c = container_of(it, struct conn, link);
        struct net_peer peer = {0};
        if (c->state == CONN_CLOSED)
            continue;
        net_peer(c->stream, &peer);
        if (!peer.id || !bytes_is(id, peer.id))
            continue;
        conn_close(c, true);
        count++;
    }
    return count;
}

void http_server_free(struct http_server *s)
{
    if (!s)
        return;
    close_listeners(s);
    timer_stop(s->timers, &s->sweep);
    list_each_safe (it, &s->conns)
        list_del(it);
    mem_free(s);
}

void http_server_stats(const struct http_server *s, struct http_server_stats *ret)
{
    *ret =
        (struct http_server_stats){s->requests, s->refused, s->active, s->connections, s->buffered};
}
