// stream.c: connections as the process sees them: port/net.h over tcp.c. The rules are those of
// loop/net_uv.c and loop/net_dial.c: same errors, same order of callbacks.
// SPDX-License-Identifier: Apache-2.0
#include "sim/sim_priv.h"

#include "base/alloc.h"

#include <arpa/inet.h>
#include <assert.h>
#include <string.h>

enum {
    READ_BYTES = 64 << 10, // as loop_args.read_bytes
    READS_MAX = 4,
    QUEUE_DEFAULT = 256 << 10,
    DRAIN_BYTES_MAX = 256 << 10,
    DRAIN_MS = 1000,
    LOOKUP_MS = 2,
    UNIX_PATH_MAX_ = 107,
};

static struct sock *sock_of(const struct net_stream *s)
{
    return (struct sock *)(uintptr_t)s;
}

static struct sim *world(const struct sock *s)
{
    return s->net->host->w;
}

static void sock_destroy(struct sock *s, bool abort);

void sim_sock_wake(struct sock *s)
{
    if (s->input.index == 0)
        sim_event_at(world(s), &s->input, world(s)->now);
}

// ---- output

static size_t queued(const struct net_stream *base)
{
    return sock_of(base)->queue.n;
}

static bool no_more(const struct sock *s)
{
    return (s->flags & (SOCK_BROKEN | SOCK_CLOSING)) || s->net->host->muted ||
           (s->end != NULL && s->end->error != 0);
}

static int sock_write(struct net_stream *base, const struct bytes *v, int count)
{
    struct sock *s = sock_of(base);
    size_t total = 0, sent = 0;
    if (no_more(s))
        return E_CLOSED;
    for (int i = 0; i < count; i++)
        total += v[i].n;
    if (s->queue.n + total > s->queue_max)
        return E_FULL;
    if (s->queue.n == 0 && !(s->flags & SOCK_DIALING))
        sent = sim_end_send(s->end, v, count, 0);
    s->net->st.bytes_out += sent;
    if (sent == total)
        return s->queue.n > 0 ? 1 : 0;
    for (int i = 0; i < count; i++) {
        struct bytes part = bytes_from(v[i], sent);
        sent -= v[i].n - part.n;
        if (buf_put(&s->queue, part) < 0) {
            s->flags |= SOCK_BROKEN;
            return E_CLOSED;
        }
    }
    if (s->queue.n > world(s)->counts.queue_bytes_max)
        world(s)->counts.queue_bytes_max = s->queue.n;
    return 1;
}

static void sock_linger_over(struct timer *t)
{
    sock_destroy(container_of(t, struct sock, timer), true);
}

static void sock_linger(struct sock *s, int64_t ms)
{
    s->timer.fn = sock_linger_over;
    if (timer_start(&s->net->host->timers.base, &s->timer, ms) < 0)
        sock_destroy(s, true);
}

// All is sent: FIN, then what the peer still sends is thrown away.
static void sock_shut(struct sock *s)
{
    if (s->flags & (SOCK_EOF | SOCK_BROKEN)) {
        sock_destroy(s, false);
        return;
    }
    s->flags |= SOCK_SHUT;
    sim_end_fin(s->end);
    sock_linger(s, DRAIN_MS);
    sim_sock_wake(s);
}

static void sock_end(struct sock *s, int status)
{
    if (s->flags & SOCK_BROKEN)
        status = status == 0 ? E_CLOSED : status;
    s->flags |= status == 0 ? SOCK_EOF : SOCK_EOF | SOCK_BROKEN;
    if (s->flags & SOCK_CLOSING) {
        if (s->queue.n == 0 || status < 0)
            sock_destroy(s, false);
        return;
    }
    if (status < 0)
        buf_clear(&s->queue);
    if (s->base.handler->on_end != NULL)
        s->base.handler->on_end(&s->base, status);
}

static void sock_output(struct sock *s)
{
    struct bytes v = buf_bytes(&s->queue);
    size_t n = sim_end_send(s->end, &v, 1, 0);
    s->net->st.bytes_out += n;
    buf_drop(&s->queue, n);
    if (s->queue.n > 0 || n == 0)
        return;
    buf_fini(&s->queue);
    buf_init(&s->queue, SIM_BUF_MAX);
    if (s->flags & SOCK_CLOSING)
        sock_shut(s);
    else if (s->base.handler->on_drain != NULL)
        s->base.handler->on_drain(&s->base);
}

// ---- input

static void sock_take(struct sock *s, size_t n)
{
    static char buf[READ_BYTES]; // shared, as a loop's
    memcpy(buf, s->end->in.p + s->end->in_at, n);
    sim_end_took(s->end, n);
    s->net->st.bytes_in += n;
    if (!(s->flags & SOCK_SHUT)) {
        s->base.handler->on_data(&s->base, buf, n);
        return;
    }
    s->drained += n;
    if (s->drained > DRAIN_BYTES_MAX)
        sock_destroy(s, true);
}

static bool sock_reads(const struct sock *s)
{
    return s->end != NULL && !(s->flags & SOCK_EOF) && (s->flags & (SOCK_READ | SOCK_SHUT));
}

static void sock_input(struct sock *s)
{
    struct rng *chance = &world(s)->chance;
    for (int i = 0; i < READS_MAX && sock_reads(s); i++) {
        size_t n = sim_end_readable(s->end);
        if (n == 0)
            break;
        if (n > READ_BYTES)
            n = READ_BYTES;
        if (rng_below(chance, 8) == 0) // no parser may rely on how bytes come together
            n = 1 + (size_t)rng_below(chance, n);
        sock_take(s, n);
    }
    if (!sock_reads(s))
        return;
    if (sim_end_readable(s->end) > 0)
        sim_sock_wake(s); // the others get a turn
    else if (s->end->error != 0)
        sock_end(s, s->end->error);
    else if (s->end->fin_in)
        sock_end(s, 0);
}

static void dial_event(struct sock *s);

static void sock_event(struct sim_event *ev)
{
    struct sock *s = container_of(ev, struct sock, input);
    if (s->flags & SOCK_DIALING) {
        dial_event(s);
        return;
    }
    if (s->end == NULL)
        return;
    if (s->queue.n > 0 && s->end->error == 0)
        sock_output(s);
    if (sock_reads(s))
        sock_input(s);
    else if (s->end != NULL && s->end->error != 0 && !(s->flags & SOCK_EOF))
        sock_end(s, s->end->error); // a reset is told also to who does not read
}

static void sock_read(struct net_stream *base, bool on)
{
    struct sock *s = sock_of(base);
    if (s->flags & SOCK_CLOSING)
        return;
    s->flags = on ? s->flags | SOCK_READ : s->flags & ~(unsigned)SOCK_READ;
    const struct sim_end *e = s->end;
    if (on && !(s->flags & (SOCK_DIALING | SOCK_EOF)) && e != NULL &&
        (sim_end_readable(e) > 0 || e->fin_in || e->error != 0))
        sim_sock_wake(s);
}

// ---- closing

static void sock_closed(struct sim_event *ev)
{
    struct sock *s = container_of(ev, struct sock, closed);
    list_del(&s->link);
    if (s->base.handler != NULL && s->base.handler->on_closed != NULL)
        s->base.handler->on_closed(&s->base);
    buf_fini(&s->queue);
    mem_free(s);
}

static void sock_destroy(struct sock *s, bool abort)
{
    struct net *n = s->net;
    s->flags |= SOCK_CLOSING;
    s->flags &= ~(unsigned)(SOCK_READ | SOCK_DIALING);
    timer_stop(&n->host->timers.base, &s->timer);
    sim_event_stop(n->host->w, &s->input);
    if (s->end != NULL)
        sim_end_close(s->end, abort);
    s->end = NULL;
    if (s->flags & SOCK_COUNTED)
        n->st.connections--;
    s->flags &= ~(unsigned)SOCK_COUNTED;
    if (n->paused)
        (void)timer_start(&n->host->timers.base, &n->retry, 0);
    sim_event_at(n->host->w, &s->closed, n->host->w->now);
}

static void sock_close(struct net_stream *base, bool abort)
{
    struct sock *s = sock_of(base);
    assert(!(s->flags & SOCK_CLOSING));
    s->flags |= SOCK_CLOSING;
    s->flags &= ~(unsigned)SOCK_READ;
    if (abort || s->end == NULL || (s->flags & (SOCK_DIALING | SOCK_BROKEN)))
        sock_destroy(s, abort);
    else if (s->queue.n > 0)
        sock_linger(s, s->net->linger_ms);
    else
        sock_shut(s);
}

static const struct net_stream_ops sock_ops = {
    .write = sock_write, .read = sock_read, .close = sock_close, .queued = queued};

static struct sock *sock_new(struct net *n, size_t queue_bytes_max)
{
    struct sock *s = sim_must(mem_new(struct sock));
    s->base.ops = &sock_ops;
    s->net = n;
    s->queue_max = queue_bytes_max ? queue_bytes_max : QUEUE_DEFAULT;
    s->flags = SOCK_COUNTED;
    buf_init(&s->queue, SIM_BUF_MAX);
    sim_event_init(&s->input, n->host, SIM_PROCESS, sock_event);
    sim_event_init(&s->closed, n->host, SIM_PROCESS, sock_closed);
    n->st.connections++;
    list_add_tail(&n->socks, &s->link);
    return s;
}

void net_peer(const struct net_stream *stream, struct net_peer *ret)
{
    struct net_peer tls = {.id = NULL};
    const struct net_stream *inner = sim_tls_inner(stream, &tls);
    *ret = sock_of(inner ? inner : stream)->peer;
    ret->id = tls.id;
    ret->epoch = tls.epoch;
}

void net_stats(const struct net *n, struct net_stats *ret)
{
    *ret = n->st;
}

// ---- dialing

static void peer_of(struct net_peer *ret, const struct net_addr *a, const char *address,
                    uint16_t port, unsigned host)
{
    *ret = (struct net_peer){.uid = UINT32_MAX, .pid = UINT32_MAX};
    if (a->unix_socket) {
        (void)snprintf(ret->text, sizeof ret->text, "unix");
        ret->uid = 1000;
        ret->pid = host + 1;
    } else {
        (void)snprintf(ret->text, sizeof ret->text, "%.40s:%u", address, (unsigned)port);
    }
    ret->loopback = a->unix_socket || strncmp(address, "127.", 4) == 0;
}

static void dial_fail(struct sock *s, int code, const char *why)
{
    const struct net_addr *a = &s->addr;
    if (a->unix_socket)
        (void)err_set(&s->err, code, "connect to %s: %s", a->host, why);
    else
        (void)err_set(&s->err, code, "connect to %s:%u: %s", a->host, (unsigned)a->port, why);
    s->flags &= ~(unsigned)SOCK_DIALING;
    s->flags |= SOCK_BROKEN;
    timer_stop(&s->net->host->timers.base, &s->timer);
    if (s->end != NULL)
        sim_end_close(s->end, true);
    s->end = NULL;
    s->base.handler->on_open(&s->base, code, &s->err);
}

static void dial_late(struct timer *t)
{
    dial_fail(container_of(t, struct sock, timer), E_TIMEOUT, "Connection timed out");
}

static bool numeric(const char *host)
{
    unsigned char ip[16];
    return inet_pton(AF_INET, host, ip) == 1 || inet_pton(AF_INET6, host, ip) == 1;
}

static void dial_begin(struct sock *s, const char *address)
{
    const struct net_addr *a = &s->addr;
    peer_of(&s->peer, a, address, a->port, s->net->host->index);
    struct sim_conn *c = sim_conn_new(s, address, a->port, a->unix_socket);
    s->end = &c->end[0];
}

void sim_sock_opened(struct sock *s, int status)
{
    s->open_due = true;
    s->open_status = status;
    sim_sock_wake(s);
}

// The name was looked up, or the connection was made or refused.
static void dial_event(struct sock *s)
{
    if (s->net->host->muted)
        return;
    if (s->end == NULL) {
        const char *address = sim_lookup(world(s), s->addr.host);
        if (address == NULL)
            dial_fail(s, E_UNAVAILABLE, "unknown node or service");
        else
            dial_begin(s, address);
        return;
    }
    if (!s->open_due)
        return;
    if (s->open_status < 0) {
        dial_fail(s, s->open_status,
                  s->addr.unix_socket ? "No such file or directory" : "Connection refused");
        return;
    }
    s->flags &= ~(unsigned)SOCK_DIALING;
    timer_stop(&s->net->host->timers.base, &s->timer);
    s->base.handler->on_open(&s->base, 0, NULL);
    if (s->end != NULL)
        sim_sock_wake(s); // what waits goes out
}

int sim_dial(struct net *n, const struct net_connect_args *args, struct net_stream **ret,
             struct err *e)
{
    const struct net_addr *a = &args->addr;
    assert(args->handler != NULL && args->handler->on_open != NULL);
    if (n->host->muted)
        return err_set(e, E_UNAVAILABLE, "connect: the process has ended");
    if (n->st.connections >= n->st.connections_max + n->reserve / 2)
        return err_set(e, E_FULL, "connect: all %llu connections are in use",
                       (unsigned long long)n->st.connections_max);
    if (a->unix_socket && strlen(a->host) > UNIX_PATH_MAX_)
        return err_set(e, E_INVALID, "unix socket path must have 1 to %d bytes: \"%s\"",
                       UNIX_PATH_MAX_, a->host);
    struct sock *s = sock_new(n, args->queue_bytes_max);
    s->addr = *a;
    s->flags |= SOCK_DIALING;
    s->base.handler = args->handler;
    s->base.user = args->user;
    s->timer.fn = dial_late;
    (void)timer_start(&n->host->timers.base, &s->timer, args->timeout_ms);
    if (a->unix_socket || numeric(a->host))
        dial_begin(s, a->host);
    else
        sim_event_at(n->host->w, &s->input, n->host->w->now + LOOKUP_MS * SIM_MS);
    *ret = &s->base;
    return 0;
}

int net_connect(struct net *n, const struct net_connect_args *args, struct net_stream **ret,
                struct err *e)
{
    return args->tls ? sim_tls_dial(n, args, ret, e) : sim_dial(n, args, ret, e);
}

// ---- accepting (the listeners are in listen.c)

void sim_sock_accept(struct net_listener *l, struct sim_conn *c)
{
    struct net *n = l->net;
    uint64_t most =
        l->args.yields ? n->st.connections_max / 4 * 3 : (uint64_t)n->st.connections_max;
    bool over = n->st.connections >= most;
    struct sock *s = sock_new(n, l->args.queue_bytes_max);
    struct sim_end *e = &c->end[1];
    e->stream = s;
    s->end = e;
    peer_of(&s->peer, &l->args.addr, sim_peer(e)->address, sim_peer(e)->port, e->host->index);
    n->st.accepted++;
    if (over)
        n->st.refused_over_limit++;
    if (l->args.tls != NULL)
        sim_tls_accept(l->args.tls, &s->base, &l->args, over);
    else
        l->args.on_accept(l->args.user, &s->base, over);
    assert(s->base.handler != NULL);
}

// ---- the end of the process

void sim_net_cut(struct sim_host *h, bool power)
{
    list_each (it, &h->net.listeners)
        sim_listener_refuse(container_of(it, struct net_listener, link));
    if (power)
        sim_conns_power(h);
    list_each (it, &h->net.socks) { // as a kernel does for a process that ends
        struct sock *s = container_of(it, struct sock, link);
        if (s->end != NULL)
            sim_end_close(s->end, false);
        s->end = NULL;
    }
}

void sim_net_stop(struct sim_host *h)
{
    struct net *n = &h->net;
    list_each_safe (it, &n->listeners)
        net_listener_close(container_of(it, struct net_listener, link));
    sim_tls_stop(n);
    list_each_safe (it, &n->socks) {
        struct sock *s = container_of(it, struct sock, link);
        if (!(s->flags & SOCK_CLOSING))
            net_close(&s->base, true);
        else if (s->closed.index == 0)
            sock_destroy(s, true);
    }
    timer_stop(&h->timers.base, &n->retry);
    n->paused = false;
}
