// net_tls.c: TLS as a filter: an outer stream for the owner over an inner one to the peer.
// SPDX-License-Identifier: Apache-2.0
//
// OpenSSL reads from the ciphertext that just came and writes into a buffer of the loop, through a
// BIO that holds no memory; both are empty between two events. A stream that waits costs what its
// SSL object costs. Ciphertext is kept for a stream only while its owner does not read.
#include "loop/net_tls_priv.h"

#include "base/alloc.h"

#include <assert.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

enum {
    TLS_RECORD_MAX = 16384, // RFC 8446, 5.1
    TLS_OUT_BYTES = 64 << 10,
    TLS_INNER_EXTRA = 128 << 10, // the inner queue also holds records' heads and a full out buffer
    TLS_HANDSHAKE_MS = 10000,
};

enum tls_flag {
    TLS_READ = 1 << 0,
    TLS_SHAKING = 1 << 1, // the handshake runs
    TLS_OPEN = 1 << 2, // it is done
    TLS_CLOSING = 1 << 3, // net_close was called
    TLS_ENDED = 1 << 4, // on_end was told
    TLS_BROKEN = 1 << 5, // nothing can be written
    TLS_OVER_LIMIT = 1 << 6,
    TLS_DELIVERING = 1 << 7, // inside tls_deliver
};

struct net_tls_bufs { // shared by all TLS streams of a loop
    BIO_METHOD *method;
    const struct tls_stream *reader; // whose ciphertext `in` is
    const char *in; // not read yet
    size_t in_n;
    size_t out_n;
    char out[TLS_OUT_BYTES];
    char plain[TLS_RECORD_MAX];
    char stage[TLS_RECORD_MAX]; // small slices become one record
};

struct tls_stream {
    struct net_stream base; // first
    struct net_stream *inner;
    struct net *net;
    struct net_tls *tls;
    SSL *ssl;
    struct list link;
    uint16_t flags;
    uint32_t queue_max;
    char *kept; // ciphertext that came while the owner did not read
    size_t kept_n;
    struct timer timer; // handshake deadline, then delivery of what was kept
    void (*on_accept)(void *user, struct net_stream *s, bool over_limit);
    void *accept_user;
};

static struct tls_stream *tls_of(const struct net_stream *s)
{
    return (struct tls_stream *)(uintptr_t)s;
}

static struct timers *tls_timers(struct tls_stream *s)
{
    return &s->net->loop->timers.base;
}

// ---- the BIO: no memory of its own

static int tls_bio_read(BIO *b, char *p, int n)
{
    struct tls_stream *s = BIO_get_data(b);
    struct net_tls_bufs *bufs = s->net->tls_bufs;
    BIO_clear_retry_flags(b);
    if (bufs->in_n == 0 || bufs->reader != s) {
        BIO_set_retry_read(b);
        return -1;
    }
    size_t k = (size_t)n < bufs->in_n ? (size_t)n : bufs->in_n;
    memcpy(p, bufs->in, k);
    bufs->in += k;
    bufs->in_n -= k;
    return (int)k;
}

static void tls_flush(struct tls_stream *s)
{
    struct net_tls_bufs *bufs = s->net->tls_bufs;
    struct bytes v = {bufs->out, bufs->out_n};
    bufs->out_n = 0;
    if (v.n > 0 && net_write(s->inner, &v, 1) < 0)
        s->flags |= TLS_BROKEN;
}

static int tls_bio_write(BIO *b, const char *p, int n)
{
    struct tls_stream *s = BIO_get_data(b);
    struct net_tls_bufs *bufs = s->net->tls_bufs;
    for (size_t at = 0; at < (size_t)n;) {
        size_t k = (size_t)n - at;
        if (k > sizeof bufs->out - bufs->out_n)
            k = sizeof bufs->out - bufs->out_n;
        memcpy(bufs->out + bufs->out_n, p + at, k);
        bufs->out_n += k;
        at += k;
        if (bufs->out_n == sizeof bufs->out)
            tls_flush(s);
    }
    return n;
}

static long tls_bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
    (void)b;
    (void)num;
    (void)ptr;
    return cmd == BIO_CTRL_FLUSH ? 1 : 0;
}

static int tls_bufs_make(struct net *n)
{
    if (n->tls_bufs != NULL)
        return 0;
    struct net_tls_bufs *bufs = mem_alloc(sizeof *bufs); // not zeroed: pages come when touched
    if (bufs == NULL)
        return E_NOMEM;
    bufs->reader = NULL;
    bufs->in_n = bufs->out_n = 0;
    bufs->method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "plexus");
    if (bufs->method == NULL) {
        mem_free(bufs);
        return E_NOMEM;
    }
    (void)BIO_meth_set_read(bufs->method, tls_bio_read);
    (void)BIO_meth_set_write(bufs->method, tls_bio_write);
    (void)BIO_meth_set_ctrl(bufs->method, tls_bio_ctrl);
    n->tls_bufs = bufs;
    return 0;
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

// The handshake did not work. The owner of a dialed stream hears why; an accepted one has none yet.
static void tls_fail(struct tls_stream *s, const struct err *e)
{
    s->flags &= (uint16_t)~TLS_SHAKING;
    s->flags |= TLS_BROKEN;
    timer_stop(tls_timers(s), &s->timer);
    if (s->on_accept == NULL) {
        s->base.handler->on_open(&s->base, e->code, e);
        return;
    }
    s->flags |= TLS_CLOSING;
    net_close(s->inner, false); // the alert goes out first
}

static void tls_late(struct timer *t)
{
    struct tls_stream *s = container_of(t, struct tls_stream, timer);
    struct err e = {0};
    if (!(s->flags & TLS_SHAKING))
        return;
    (void)err_set(&e, E_TIMEOUT, "TLS handshake took too long");
    tls_fail(s, &e);
}

static void tls_say_why(struct tls_stream *s, struct err *e)
{
    char why[160];
    long verify = SSL_get_verify_result(s->ssl);
    if (!s->tls->server && verify == X509_V_ERR_HOSTNAME_MISMATCH)
        (void)err_set(e, E_UPSTREAM, "TLS: the certificate is for another host name");
    else if (!s->tls->server && verify == X509_V_ERR_IP_ADDRESS_MISMATCH)
        (void)err_set(e, E_UPSTREAM, "TLS: the certificate is for another address");
    else if (!s->tls->server && !s->tls->insecure && verify != X509_V_OK)
        (void)err_set(e, E_UPSTREAM, "TLS: the certificate is not trusted: %s",
                      X509_verify_cert_error_string(verify));
    else
        (void)err_set(e, E_UPSTREAM, "TLS handshake: %s", net_tls_why(why, sizeof why));
    ERR_clear_error();
}

// ---- input

// False: not done (yet).
static bool tls_shake(struct tls_stream *s)
{
    ERR_clear_error();
    int rc = SSL_do_handshake(s->ssl);
    int why = rc == 1 ? 0 : SSL_get_error(s->ssl, rc);
    tls_flush(s);
    if (rc != 1) {
        struct err e = {0};
        if (why == SSL_ERROR_WANT_READ)
            return false;
        tls_say_why(s, &e);
        tls_fail(s, &e);
        return false;
    }
    s->flags &= (uint16_t)~TLS_SHAKING;
    s->flags |= TLS_OPEN;
    timer_stop(tls_timers(s), &s->timer);
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
            tls_flush(s); // the callback may write to another TLS stream by the same buffer
            s->base.handler->on_data(&s->base, bufs->plain, (size_t)n);
            continue;
        }
        int why = SSL_get_error(s->ssl, n);
        tls_flush(s); // an alert, a key update
        if (why == SSL_ERROR_ZERO_RETURN)
            tls_end(s, 0);
        else if (why != SSL_ERROR_WANT_READ)
            tls_end(s, E_IO);
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
    timer_stop(tls_timers(s), &s->timer);
    list_del(&s->link);
    if (s->base.handler != NULL && s->base.handler->on_closed != NULL)
        s->base.handler->on_closed(&s->base);
    SSL_free(s->ssl);
    net_tls_free(s->tls);
    mem_free(s->kept);
    mem_free(s);
}

static void tls_begin(struct tls_stream *s)
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
    tls_begin(s);
}

static const struct net_handler tls_inner_handler = {
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
    tls_flush(s);
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
        if (timer_start(tls_timers(s), &s->timer, 0) == 0)
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
    timer_stop(tls_timers(s), &s->timer);
    if (!abort && (s->flags & TLS_OPEN) && !(s->flags & TLS_BROKEN)) {
        ERR_clear_error();
        (void)SSL_shutdown(s->ssl); // close_notify
        tls_flush(s);
        ERR_clear_error();
    }
    s->flags |= TLS_CLOSING;
    net_close(s->inner, abort);
}

static const struct net_stream_ops tls_ops = {
    .write = tls_write,
    .read = tls_read,
    .close = tls_close,
    .queued = tls_queued,
};

struct net_stream *net_tls_inner(const struct net_stream *s)
{
    return s->ops == &tls_ops ? tls_of(s)->inner : NULL;
}

// ---- making

// Who we think we talk to: the certificate must be for it.
static bool tls_expect(struct tls_stream *s, const char *name)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(s->ssl);
    struct net_addr a = {.port = 0};
    struct sockaddr_storage ip;
    socklen_t n;
    (void)snprintf(a.host, sizeof a.host, "%s", name);
    if (net_parse_ip(&a, &ip, &n) == 0)
        return X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1;
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set_tlsext_host_name(s->ssl, name) == 1 && SSL_set1_host(s->ssl, name) == 1;
}

static struct tls_stream *tls_make(struct net *n, struct net_tls *t, size_t queue_bytes_max)
{
    if (net_tls_ready(t, NULL) < 0 || tls_bufs_make(n) < 0)
        return NULL;
    struct tls_stream *s = mem_new(struct tls_stream);
    if (s == NULL)
        return NULL;
    s->ssl = SSL_new(t->ctx);
    BIO *bio = s->ssl ? BIO_new(n->tls_bufs->method) : NULL;
    if (bio == NULL) {
        SSL_free(s->ssl);
        mem_free(s);
        ERR_clear_error();
        return NULL;
    }
    BIO_set_data(bio, s);
    BIO_set_init(bio, 1);
    SSL_set_bio(s->ssl, bio, bio);
    if (t->server)
        SSL_set_accept_state(s->ssl);
    else
        SSL_set_connect_state(s->ssl);
    net_tls_ref(t);
    s->tls = t;
    s->net = n;
    s->base.ops = &tls_ops;
    s->queue_max = queue_bytes_max ? (uint32_t)queue_bytes_max : 256 << 10;
    s->timer.fn = tls_late;
    list_add_tail(&n->tls_streams, &s->link);
    return s;
}

static void tls_unmake(struct tls_stream *s)
{
    timer_stop(tls_timers(s), &s->timer);
    list_del(&s->link);
    SSL_free(s->ssl);
    net_tls_free(s->tls);
    mem_free(s);
}

int net_tls_dial(struct net *n, const struct net_connect_args *args, struct net_stream **ret,
                 struct err *e)
{
    int rc = net_tls_ready(args->tls, e);
    if (rc < 0)
        return rc;
    struct tls_stream *s = tls_make(n, args->tls, args->queue_bytes_max);
    if (s == NULL)
        return err_set(e, E_NOMEM, "connect: out of memory");
    const char *name = args->server_name ? args->server_name : args->addr.host;
    if (!args->tls->insecure && !tls_expect(s, name))
        rc = err_set(e, E_INVALID, "TLS: \"%s\" cannot be a server's name", name);
    if (rc == 0)
        rc = timer_start(tls_timers(s), &s->timer, args->timeout_ms);
    struct net_connect_args inner = *args;
    inner.tls = NULL;
    inner.handler = &tls_inner_handler;
    inner.user = s;
    inner.queue_bytes_max = s->queue_max + s->queue_max / 64 + TLS_INNER_EXTRA;
    if (rc == 0)
        rc = net_dial_start(n, &inner, &s->inner, e);
    if (rc < 0) {
        tls_unmake(s);
        return rc;
    }
    s->base.handler = args->handler;
    s->base.user = args->user;
    *ret = &s->base;
    return 0;
}

static const struct net_handler tls_no_handler = {.on_data = NULL};

void net_tls_accept(struct net_tls *t, struct net_stream *inner, const struct net_listen_args *args,
                    bool over_limit)
{
    struct net *n = ((struct sock *)(void *)inner)->net;
    struct tls_stream *s = NULL;
    inner->handler = &tls_no_handler;
    if (!over_limit || n->spare_fd >= 0) // else there is no time for a handshake
        s = tls_make(n, t, args->queue_bytes_max);
    int64_t ms = args->handshake_ms ? args->handshake_ms : TLS_HANDSHAKE_MS;
    if (s == NULL || timer_start(tls_timers(s), &s->timer, ms) < 0) {
        if (s != NULL)
            tls_unmake(s);
        net_close(inner, true);
        return;
    }
    ((struct sock *)(void *)inner)->queue_max = s->queue_max + s->queue_max / 64 + TLS_INNER_EXTRA;
    s->inner = inner;
    s->on_accept = args->on_accept;
    s->accept_user = args->user;
    if (over_limit)
        s->flags |= TLS_OVER_LIMIT;
    inner->handler = &tls_inner_handler;
    inner->user = s;
    tls_begin(s);
}

void net_tls_stop(struct net *n)
{
    list_each_safe (it, &n->tls_streams) {
        struct tls_stream *s = container_of(it, struct tls_stream, link);
        if (!(s->flags & TLS_CLOSING))
            net_close(&s->base, true);
    }
}

void net_tls_fini(struct net *n)
{
    if (n->tls_bufs == NULL)
        return;
    BIO_meth_free(n->tls_bufs->method);
    mem_free(n->tls_bufs);
    n->tls_bufs = NULL;
}
