// bus_link.c: a connection that comes back.
// SPDX-License-Identifier: Apache-2.0
#include "adapters/bus_link.h"
#include "text/url.h"
#include <string.h>

static void again_later(struct bus_link *l)
{
    (void)timer_start(l->timers, &l->retry, l->pause_ms);
    l->pause_ms = l->pause_ms * 2 < l->retry_ms * 8 ? l->pause_ms * 2 : l->retry_ms * 8;
    l->addr_at = l->addr_count ? (l->addr_at + 1) % l->addr_count : 0;
}

// The stream is given up; what was not sent goes with it.
static void lose(struct bus_link *l, const struct err *e)
{
    struct net_stream *s = l->s;
    if (!s)
        return;
    l->s = NULL;
    l->open = l->up = l->held = l->upgraded = false;
    l->epoch++;
    s->user = NULL;
    net_close(s, true);
    buf_clear(&l->out);
    timer_stop(l->timers, &l->flush);
    l->flushing = false;
    if (l->closing)
        return;
    again_later(l);
    l->ops->down(l, e);
}

void bus_link_fail(struct bus_link *l, int code, const char *why)
{
    struct err e = {0};
    (void)err_set(&e, code, "%s", why);
    lose(l, &e);
}

// ---- input --------------------------------------------------------------------------------------

// Pieces out of in; how much was used. The link may be gone when it returns (another epoch).
static size_t feed(struct bus_link *l, struct bytes in)
{
    unsigned epoch = l->epoch;
    size_t used = 0;
    while (used < in.n) {
        struct err e = {0};
        int64_t n = l->ops->input(l, bytes_from(in, used), &e);
        if (l->epoch != epoch)
            return in.n;
        if (n < 0) {
            lose(l, &e);
            return in.n;
        }
        if (!n)
            break;
        used += (size_t)n;
    }
    return used;
}

static void on_data(struct net_stream *s, char *p, size_t n)
{
    struct bus_link *l = s->user;
    struct bytes data = {p, n};
    if (!l)
        return;
    unsigned epoch = l->epoch;
    bool rest = l->in.n > 0; // of what came before
    if (!rest) {
        data = bytes_from(data, feed(l, data));
        if (l->epoch != epoch)
            return;
    }
    if (data.n && buf_put(&l->in, data)) {
        bus_link_fail(l, E_TOOBIG, "a piece of the server's answer is over the limit");
        return;
    }
    if (!rest)
        return; // it was looked at
    size_t used = feed(l, buf_bytes(&l->in));
    if (l->epoch == epoch)
        buf_drop(&l->in, used);
}

static void on_end(struct net_stream *s, int status)
{
    struct bus_link *l = s->user;
    struct err e = {0};
    if (!l)
        return;
    (void)err_set(&e, status ? status : E_CLOSED, "the server closed the connection");
    lose(l, &e);
}

// ---- output -------------------------------------------------------------------------------------

static void flush_now(struct bus_link *l)
{
    if (!l->s || !l->open || l->held || !l->out.n)
        return;
    struct bytes v = buf_bytes(&l->out);
    int rc = net_write(l->s, &v, 1);
    if (rc == E_FULL) { // what is queued there goes first
        l->held = true;
        return;
    }
    if (rc < 0) {
        bus_link_fail(l, rc, "the connection broke");
        return;
    }
    l->held = rc == 1;
    buf_clear(&l->out);
    if (!l->held)
        l->ops->drain(l);
}

static void on_flush(struct timer *t)
{
    struct bus_link *l = t->user;
    l->flushing = false;
    if (l->out.failed) {
        bus_link_fail(l, l->out.failed, "the output queue is over its limit");
        return;
    }
    flush_now(l);
}

static void on_drain(struct net_stream *s)
{
    struct bus_link *l = s->user;
    if (!l)
        return;
    l->held = false;
    if (l->out.n)
        flush_now(l);
    else
        l->ops->drain(l);
}

struct buf *bus_link_out(struct bus_link *l)
{
    return &l->out;
}

void bus_link_flush(struct bus_link *l)
{
    if (l->flushing || !l->s)
        return;
    l->flushing = timer_start(l->timers, &l->flush, 0) == 0;
}

size_t bus_link_queued(const struct bus_link *l)
{
    return l->out.n + (l->s && l->open ? net_queued(l->s) : 0);
}

// ---- life ---------------------------------------------------------------------------------------

static void on_open(struct net_stream *s, int status, const struct err *e)
{
    struct bus_link *l = s->user;
    if (!l)
        return;
    if (status) {
        lose(l, e);
        return;
    }
    l->open = true;
    net_read(s, true);
    l->ops->open(l);
}

static void on_closed(struct net_stream *s)
{
    (void)s;
}

static const struct net_handler handler = {.on_open = on_open,
                                           .on_data = on_data,
                                           .on_end = on_end,
                                           .on_drain = on_drain,
                                           .on_closed = on_closed};

static void dial(struct timer *t)
{
    struct bus_link *l = t->user;
    struct err e = {0};
    if (l->closing) {
        buf_fini(&l->in);
        buf_fini(&l->out);
        l->ops->closed(l);
        return;
    }
    struct net_connect_args args = {.addr = l->addrs[l->addr_at],
                                    .tls = l->tls,
                                    .timeout_ms = l->connect_ms,
                                    .queue_bytes_max = l->queue_bytes_max + BUS_LINK_SLACK,
                                    .handler = &handler,
                                    .user = l};
    buf_clear(&l->in);
    buf_clear(&l->out);
    l->epoch++;
    if (net_connect(l->net, &args, &l->s, &e)) {
        l->s = NULL;
        again_later(l);
        l->ops->down(l, &e);
    }
}

void bus_link_start(struct bus_link *l)
{
    l->pause_ms = l->retry_ms;
    buf_init(&l->in, l->in_bytes_max);
    buf_init(&l->out, l->queue_bytes_max + BUS_LINK_SLACK);
    l->retry = (struct timer){.fn = dial, .user = l};
    l->flush = (struct timer){.fn = on_flush, .user = l};
    (void)timer_start(l->timers, &l->retry, 0);
}

void bus_link_good(struct bus_link *l)
{
    l->up = true;
    l->pause_ms = l->retry_ms;
}

int bus_link_upgrade(struct bus_link *l, struct net_tls *tls, struct err *e)
{
    struct net_stream *s = l->s;
    l->open = false;
    l->upgraded = true;
    l->epoch++; // nothing more of the plain input
    return net_upgrade(l->net, s, tls, l->addrs[l->addr_at].host, l->connect_ms, &l->s, e);
}

void bus_link_close(struct bus_link *l)
{
    l->closing = true;
    flush_now(l);
    if (l->s) {
        l->s->user = NULL;
        net_close(l->s, false); // what was written still leaves
        l->s = NULL;
    }
    l->open = l->up = false;
    l->epoch++;
    timer_stop(l->timers, &l->flush);
    (void)timer_start(l->timers, &l->retry, 0); // tells closed; input may be read by our caller
}

// ---- addresses ----------------------------------------------------------------------------------

bool bus_link_add(struct bus_link *l, struct bytes text, uint16_t port)
{
    struct url_addr a;
    struct net_addr to = {.port = port};
    struct buf with;
    buf_init(&with, 512);
    (void)buf_put(&with, text);
    bool bare = text.n && *text.p == '[' ? bytes_ends(text, BYTES("]")) : bytes_chr(text, ':') < 0;
    if (bare)
        (void)buf_fmt(&with, ":%u", port);
    bool good = !with.failed && url_addr_parse(&a, buf_bytes(&with), NULL) == 0 && !a.unix_socket &&
                *a.host && l->addr_count < BUS_LINK_ADDRS;
    buf_fini(&with);
    if (!good)
        return false;
    memcpy(to.host, a.host, sizeof to.host);
    to.port = a.port;
    for (size_t i = 0; i < l->addr_count; i++)
        if (l->addrs[i].port == to.port && !strcmp(l->addrs[i].host, to.host))
            return false;
    l->addrs[l->addr_count++] = to;
    return true;
}

int bus_link_url(struct bus_link *l, const char *url, const char *const *schemes, uint16_t port,
                 struct bus_url *ret, struct err *e)
{
    struct bytes rest = bytes_of(url);
    bool known = false;
    *ret = (struct bus_url){.tls = false};
    for (; *schemes && !known; schemes++) {
        size_t n = strlen(*schemes);
        if (!bytes_starts(rest, bytes_of(*schemes)))
            continue;
        known = true;
        ret->tls = bytes_is(bytes_first(rest, n), "tls://") ||
                   bytes_ends(bytes_first(rest, n), BYTES("s://"));
        if (bytes_is(bytes_first(rest, n), "nats://") || bytes_is(bytes_first(rest, n), "redis://"))
            ret->tls = false;
        rest = bytes_from(rest, n);
    }
    if (!known)
        return err_set(e, E_INVALID, "bus.url: it begins with %s, not \"%.20s\"", schemes[-1], url);
    ptrdiff_t slash = bytes_chr(rest, '/');
    if (slash >= 0) {
        ret->path = bytes_from(rest, (size_t)slash + 1);
        rest = bytes_first(rest, (size_t)slash);
    }
    while (rest.n) {
        struct bytes one = bytes_trim(bytes_cut(&rest, ','));
        ptrdiff_t at = bytes_chr(one, '@');
        if (at >= 0) {
            ret->password = bytes_first(one, (size_t)at);
            ret->user = bytes_cut(&ret->password, ':');
            one = bytes_from(one, (size_t)at + 1);
        }
        size_t before = l->addr_count;
        if (bytes_starts(one, BYTES("nats://")))
            one = bytes_from(one, 7);
        if (one.n && !bus_link_add(l, one, port) && l->addr_count == before && !l->addr_count)
            return err_set(e, E_INVALID, "bus.url: \"%.*s\" is no host:port", BYTES_FMT(one));
    }
    return l->addr_count ? 0 : err_set(e, E_INVALID, "bus.url: it names no server");
}
