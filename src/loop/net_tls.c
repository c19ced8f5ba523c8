// net_tls.c: TLS as a filter: an outer stream for the owner over an inner one to the peer.
// SPDX-License-Identifier: Apache-2.0
//
// OpenSSL reads from the ciphertext that just came and writes into a buffer of the loop, through a
// BIO that holds no memory; both are empty between two events. A stream that waits costs what its
// SSL object costs. Ciphertext is kept for a stream only while its owner does not read.
#include "loop/net_tls_priv.h"

#include "base/alloc.h"

#include <assert.h>
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>

static struct tls_stream *tls_of(const struct net_stream *s)
{
    return (struct tls_stream *)(uintptr_t)s;
}

// ---- the stream's ends

static void tls_end(struct tls_stream *s, int status)
{
    if (status < 0)
        s->flags |= TLS_BROKEN;
    if (s->flags & (TLS_ENDED | TLS_CLOSING))
        return;
    s->flags |= TLS_ENDED;
    if (s->base.handler->on_end != NULL)
        s->base.handler->on_end(&s->base, status);
}

// The handshake did not work. The owner of a dialed stream hears why; an accepted one has none yet,
// so that the context's owner hears it.
static void tls_fail(struct tls_stream *s, const struct err *e)
{
    struct net_tls *t = s->tls;
    s->flags &= (uint16_t)~TLS_SHAKING;
    s->flags |= TLS_BROKEN;
    timer_stop(net_tls_timers(s), &s->timer);
    net_tls_because(s, e->code, e->text);
    if (s->on_accept == NULL) {
        s->base.handler->on_open(&s->base, e->code, e);
        return;
    }
    s->flags |= TLS_CLOSING;
    if (t->on_refused != NULL) {
        struct net_peer peer;
        net_peer(&s->base, &peer);
        if (s->from != NULL) // a socket that the peer has reset does not know it any more
            (void)snprintf(peer.text, sizeof peer.text, "%s", s->from);
        t->on_refused(t->user, &peer, e);
    }
    net_close(s->inner, false); // the alert goes out first
}

void net_tls_late(struct timer *t)
{
    struct tls_stream *s = container_of(t, struct tls_stream, timer);
    struct err e = {0};
    if (!(s->flags & TLS_SHAKING))
        return;
    (void)err_set(&e, E_TIMEOUT, "TLS handshake took too long");
    tls_fail(s, &e);
}

// ---- input

int net_tls_step(struct tls_stream *s, struct err *e)
{
    ERR_clear_error();
    int rc = SSL_do_handshake(s->ssl);
    int why = rc == 1 ? 0 : SSL_get_error(s->ssl, rc);
    net_tls_flush(s);
    if (rc == 1)
        return net_tls_insist(s, e) < 0 ? e->code : 1;
    if (why == SSL_ERROR_WANT_READ)
        return 0;
    net_tls_say_why(s, e);
    return e->code;
}

// False: not done (yet).
static bool tls_shake(struct tls_stream *s)
{
    struct err e = {0};
    int rc = net_tls_step(s, &e);
    if (rc < 0)
        tls_fail(s, &e);
    if (rc <= 0)
        return false;
    s->flags &= (uint16_t)~TLS_SHAKING;
    s->flags |= TLS_OPEN;
    mem_free(steal(&s->from));
    timer_stop(net_tls_timers(s), &s->timer);
    if (s->on_accept != NULL)
        s->on_accept(s->accept_user, &s->base, (s->flags & TLS_OVER_LIMIT) != 0);
    else
        s->base.handler->on_open(&s->base, 0, NULL);
    return !(s->flags & TLS_CLOSING);
}

static void tls_read_records(struct tls_stream *s)
{
    struct net_tls_bufs *bufs = s->net->tls_bufs;
    while ((s->flags & TLS_READ) && !(s->flags & (TLS_CLOSING | TLS_ENDED))) {
        ERR_clear_error();
        int n = SSL_read(s->ssl, bufs->plain, sizeof bufs->plain);
        if (n > 0) {
            net_tls_flush(s); // the callback may write to another TLS stream by the same buffer
            s->base.handler->on_data(&s->base, bufs->plain, (size_t)n);
            continue;
        }
        int why = SSL_get_error(s->ssl, n);
        net_tls_flush(s); // an alert, a key update
        if (why == SSL_ERROR_ZERO_RETURN) {
            tls_end(s, 0);
        } else if (why != SSL_ERROR_WANT_READ) { // with TLS 1.3 also a refusal of our certificate
            char text[160];
            net_tls_because(s, E_IO, net_tls_why(text, sizeof text));
            tls_end(s, E_IO);
        }
        ERR_clear_error();
        return;
    }
}

// What OpenSSL was not asked to read stays with the stream until its owner reads again.
static int tls_keep(struct tls_stream *s, const char *p, size_t n)
{
    char *kept = NULL;
    if (n > 0) {
        kept = mem_alloc(n);
        if (kept == NULL)
            return E_NOMEM;
        memcpy(kept, p, n);
    }
    mem_free(s->kept);
    s->kept = kept;
    s->kept_n = n;
    return 0;
}

static void tls_deliver(struct tls_stream *s, const char *p, size_t n)
{
    struct net_tls_bufs *bufs = s->net->tls_bufs;
    bufs->reader = s;
    bufs->in = p;
    bufs->in_n = n;
    s->flags |= TLS_DELIVERING;
    if (!(s->flags & TLS_SHAKING) || tls_shake(s))
        tls_read_records(s);
    s->flags &= (uint16_t)~TLS_DELIVERING;
    p = bufs->in;
    n = bufs->in_n;
    bufs->in_n = 0;
    bufs->reader = NULL;
    if (s->flags & (TLS_CLOSING | TLS_BROKEN | TLS_ENDED))
        n = 0;
    if (tls_keep(s, p, n) < 0) {
        mem_free(s->kept);
        s->kept = NULL;
        s->kept_n = 0;
        tls_end(s, E_NOMEM);
    }
    if (!(s->flags & (TLS_CLOSING | TLS_BROKEN | TLS_SHAKING)))
        net_read(s->inner, (s->flags & TLS_READ) && s->kept_n == 0);
}

static void tls_deliver_kept(struct timer *t)
{
    struct tls_stream *s = container_of(t, struct tls_stream, timer);
    if (s->kept != NULL && (s->flags & TLS_READ))
        tls_deliver(s, s->kept, s->kept_n);
}

static void tls_inner_data(struct net_stream *inner, char *p, size_t n)
{
    tls_deliver(inner->user, p, n);
}

static void tls_inner_end(struct net_stream *inner, int status)
{
    struct tls_stream *s = inner->user;
    struct err e = {0};
    if (s->flags & TLS_SHAKING) {
        (void)err_set(&e, E_CLOSED, "the peer closed the connection in the TLS handshake");
        tls_fail(s, &e);
        return;
    }
    // Without the peer's close_notify nobody can tell an end from a cut.
    tls_end(s, status == 0 ? E_CLOSED : status);
}

static void tls_inner_drain(struct net_stream *inner)
{
    struct tls_stream *s = inner->user;
    if ((s->flags & TLS_OPEN) && !(s->flags & TLS_CLOSING) && s->base.handler->on_drain != NULL)
        s->base.handler->on_drain(&s->base);
}

static void tls_inner_closed(struct net_stream *inner)
{
    struct tls_stream *s = inner->user;
    timer_stop(net_tls_timers(s), &s->timer);
    list_del(&s->link);
    if (s->base.handler != NULL && s->base.handler->on_closed != NULL)
        s->base.handler->on_closed(&s->base);
    SSL_free(s->ssl);
    net_tls_free(s->tls);
    mem_free(s->why);
    mem_free(s->from);
    mem_free(s->id);
    mem_free(s->kept);
    mem_free(s);
}

void net_tls_begin(struct tls_stream *s)
{
    s->flags |= TLS_SHAKING;
    net_read(s->inner, true);
    if (!s->tls->server)
        (void)tls_shake(s);
}

static void tls_inner_open(struct net_stream *inner, int status, const struct err *e)
{
    struct tls_stream *s = inner->user;
    if (status < 0) {
        s->flags |= TLS_BROKEN;
        s->base.handler->on_open(&s->base, status, e);
        return;
    }
    net_tls_begin(s);
}

const struct net_handler net_tls_inner_handler = {
    .on_open = tls_inner_open,
    .on_data = tls_inner_data,
    .on_end = tls_inner_end,
    .on_drain = tls_inner_drain,
    .on_closed = tls_inner_closed,
};

// ---- output

static size_t tls_queued(const struct net_stream *base)
{
    return net_queued(tls_of(base)->inner);
}

static bool tls_put(struct tls_stream *s, const char *p, size_t n)
{
    while (n > 0) {
        size_t done = 0;
        if (SSL_write_ex(s->ssl, p, n, &done) != 1) {
            s->flags |= TLS_BROKEN; // the BIO takes all: this is a broken session
            ERR_clear_error();
            return false;
        }
        p += done;
        n -= done;
    }
    return true;
}

static int tls_write(struct net_stream *base, const struct bytes *v, int count)
{
    struct tls_stream *s = tls_of(base);
    struct net_tls_bufs *bufs = s->net->tls_bufs;
    size_t total = 0, staged = 0;
    if ((s->flags & (TLS_CLOSING | TLS_BROKEN)) || !(s->flags & TLS_OPEN))
        return E_CLOSED;
    for (int i = 0; i < count; i++)
        total += v[i].n;
    if (tls_queued(base) + total > s->queue_max)
        return E_FULL;
    ERR_clear_error();
    bool ok = true;
    for (int i = 0; ok && i < count; i++) {
        if (staged + v[i].n > sizeof bufs->stage) {
            ok = tls_put(s, bufs->stage, staged);
            staged = 0;
        }
        if (v[i].n > sizeof bufs->stage || (count == 1 && v[i].n > 0)) {
            ok = ok && tls_put(s, v[i].p, v[i].n);
        } else if (v[i].n > 0) {
            memcpy(bufs->stage + staged, v[i].p, v[i].n);
            staged += v[i].n;
        }
    }
    ok = ok && tls_put(s, bufs->stage, staged);
    net_tls_flush(s);
    if (!ok || (s->flags & TLS_BROKEN))
        return E_CLOSED;
    return net_queued(s->inner) > 0 ? 1 : 0;
}

static void tls_read(struct net_stream *base, bool on)
{
    struct tls_stream *s = tls_of(base);
    if (s->flags & TLS_CLOSING)
        return;
    s->flags = (uint16_t)(on ? s->flags | TLS_READ : s->flags & ~TLS_READ);
    if ((s->flags & TLS_DELIVERING) || !(s->flags & TLS_OPEN) || (s->flags & TLS_BROKEN))
        return; // tls_deliver looks at the flag when the callback returns
    if (on && s->kept != NULL) { // in order: first what was kept, never from inside
        s->timer.fn = tls_deliver_kept;
        if (timer_start(net_tls_timers(s), &s->timer, 0) == 0)
            return;
        tls_end(s, E_NOMEM);
        return;
    }
    net_read(s->inner, on);
}

static void tls_close(struct net_stream *base, bool abort)
{
    struct tls_stream *s = tls_of(base);
    assert(!(s->flags & TLS_CLOSING));
    timer_stop(net_tls_timers(s), &s->timer);
    if (!abort && (s->flags & TLS_OPEN) && !(s->flags & TLS_BROKEN)) {
        ERR_clear_error();
        (void)SSL_shutdown(s->ssl); // close_notify
        net_tls_flush(s);
        ERR_clear_error();
    }
    s->flags |= TLS_CLOSING;
    net_close(s->inner, abort);
}

const struct net_stream_ops net_tls_ops = {
    .write = tls_write,
    .read = tls_read,
    .close = tls_close,
    .queued = tls_queued,
};

struct net_stream *net_tls_inner(const struct net_stream *s)
{
    return s->ops == &net_tls_ops ? tls_of(s)->inner : NULL;
}

const char *net_tls_peer(const struct net_stream *s, uint64_t *ret_epoch)
{
    if (s->ops != &net_tls_ops || tls_of(s)->id == NULL)
        return NULL;
    *ret_epoch = tls_of(s)->epoch;
    return tls_of(s)->id;
}

const char *net_why(const struct net_stream *s)
{
    return s->ops == &net_tls_ops && tls_of(s)->why != NULL ? tls_of(s)->why : "";
}
