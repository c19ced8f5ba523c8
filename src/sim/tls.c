// tls.c: TLS of the simulator: a filter over a stream, as loop/net_tls.c is. The whole handshake of
// TLS 1.3 with its round trips, real certificates for both verify callbacks, ALPN, alerts and
// close_notify; but the bytes are not enciphered.
// SPDX-License-Identifier: Apache-2.0
//
// A client's handshake ends before the server has looked at its certificate (RFC 8446, 2): so a
// client may hear that all is well and then the alert. Records: kind, length (4 bytes), content.
#include "sim/sim_priv.h"

#include "base/alloc.h"

#include <assert.h>
#include <string.h>

enum {
    RECORD_MAX = 16384, // RFC 8446, 5.1
    HEAD = 5,
    HANDSHAKE_MS = 10000,
    CERTS_MAX = 10,
    CERT_BYTES_MAX = 64 << 10,
    INNER_EXTRA = 128 << 10,
};
enum record { CLIENT_HELLO = 1, SERVER_HELLO, CLIENT_FINISHED, ALERT, DATA, CLOSE };
enum tls_flag {
    TLS_READ = 1 << 0,
    TLS_SHAKING = 1 << 1,
    TLS_OPEN = 1 << 2,
    TLS_CLOSING = 1 << 3,
    TLS_ENDED = 1 << 4,
    TLS_BROKEN = 1 << 5,
    TLS_OVER_LIMIT = 1 << 6,
    TLS_DELIVERING = 1 << 7,
};

struct net_tls {
    unsigned refs;
    bool server, insecure;
    int (*verify)(void *user, const struct bytes *der, int count, char *ret_id, uint64_t *ret_epoch,
                  struct err *e);
    void *user;
    void (*on_refused)(void *user, const struct net_peer *peer, const struct err *e);
    char *alpn; // NULL: http/1.1, not insisted on
    struct buf certs; // as they go over the wire: count, then length and DER each
};

struct tls_stream {
    struct net_stream base; // first
    struct net_stream *inner;
    struct net *net;
    struct net_tls *tls;
    struct list link;
    unsigned flags;
    size_t queue_max;
    struct buf in;
    char server_name[256];
    struct timer timer; // the handshake's deadline, then delivery of what was kept
    void (*on_accept)(void *user, struct net_stream *s, bool over_limit);
    void *accept_user;
    char *id;
    uint64_t epoch;
};

static struct tls_stream *tls_of(const struct net_stream *s)
{
    return (struct tls_stream *)(uintptr_t)s;
}

static struct timers *tls_timers(struct tls_stream *s)
{
    return &s->net->host->timers.base;
}

// ---- records

static void put_u32(char *p, size_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (char)(v >> (24 - 8 * i));
}

static size_t get_u32(const char *p)
{
    size_t v = 0;
    for (int i = 0; i < 4; i++)
        v = v << 8 | (unsigned char)p[i];
    return v;
}

static int say(struct tls_stream *s, enum record kind, const struct bytes *v, int count)
{
    struct bytes all[6];
    char head[HEAD] = {(char)kind};
    size_t n = 0;
    assert(count < 6);
    all[0] = (struct bytes){head, HEAD};
    for (int i = 0; i < count; i++) {
        all[i + 1] = v[i];
        n += v[i].n;
    }
    put_u32(head + 1, n);
    int rc = net_write(s->inner, all, count + 1);
    if (rc < 0)
        s->flags |= TLS_BROKEN;
    return rc;
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
    s->flags &= ~(unsigned)TLS_SHAKING;
    s->flags |= TLS_BROKEN;
    timer_stop(tls_timers(s), &s->timer);
    if (s->on_accept == NULL) {
        s->base.handler->on_open(&s->base, e->code, e);
        return;
    }
    struct net_peer peer;
    net_peer(&s->base, &peer);
    s->flags |= TLS_CLOSING;
    if (s->tls->on_refused != NULL)
        s->tls->on_refused(s->tls->user, &peer, e);
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

static void tls_alert(struct tls_stream *s, const struct err *e, const char *alert)
{
    struct bytes v = bytes_of(alert);
    (void)say(s, ALERT, &v, 1);
    tls_fail(s, e);
}

static void tls_opened(struct tls_stream *s)
{
    s->flags &= ~(unsigned)TLS_SHAKING;
    s->flags |= TLS_OPEN;
    timer_stop(tls_timers(s), &s->timer);
    if (s->on_accept != NULL)
        s->on_accept(s->accept_user, &s->base, (s->flags & TLS_OVER_LIMIT) != 0);
    else
        s->base.handler->on_open(&s->base, 0, NULL);
}

// ---- the handshake

// The peer's certificates in front of this side's judge.
static int tls_judge(struct tls_stream *s, struct bytes certs, struct err *e)
{
    struct net_tls *t = s->tls;
    struct bytes der[CERTS_MAX];
    char id[NET_ID_MAX] = "";
    int count = 0;
    while (certs.n >= 4 && count < CERTS_MAX) {
        size_t n = get_u32(certs.p);
        der[count++] = bytes_first(bytes_from(certs, 4), n);
        certs = bytes_from(certs, 4 + n);
    }
    if (t->verify == NULL) {
        if (t->server || t->insecure)
            return 0;
        return err_set(e, E_UPSTREAM, "TLS: the certificate is not trusted");
    }
    int rc = t->verify(t->user, der, count, id, &s->epoch, e);
    if (rc == 0 && id[0] != 0)
        s->id = sim_must(mem_str(id));
    return rc;
}

static bool alpn_fits(const struct net_tls *own, struct bytes other)
{
    struct bytes mine = own->alpn ? bytes_of(own->alpn) : BYTES("http/1.1");
    return own->alpn == NULL || bytes_eq(mine, other);
}

static void shake_client_hello(struct tls_stream *s, struct bytes v)
{
    struct err e = {0};
    struct bytes alpn = bytes_cut(&v, 0);
    if (!alpn_fits(s->tls, alpn)) {
        (void)err_set(&e, E_UPSTREAM, "TLS handshake: no application protocol");
        tls_alert(s, &e, "no application protocol");
        return;
    }
    char wants = s->tls->verify != NULL;
    struct bytes out[3] = {
        bytes_of(s->tls->alpn ? s->tls->alpn : "http/1.1"), {&wants, 1}, buf_bytes(&s->tls->certs)};
    struct bytes parts[4] = {out[0], {"", 1}, out[1], out[2]};
    (void)say(s, SERVER_HELLO, parts, 4);
}

static void shake_server_hello(struct tls_stream *s, struct bytes v)
{
    struct err e = {0};
    struct bytes alpn = bytes_cut(&v, 0);
    if (!alpn_fits(s->tls, alpn)) {
        (void)err_set(&e, E_UPSTREAM, "TLS handshake: no application protocol");
        tls_alert(s, &e, "no application protocol");
        return;
    }
    bool wants = v.n > 0 && v.p[0];
    if (tls_judge(s, bytes_from(v, 1), &e) < 0) {
        tls_alert(s, &e, "bad certificate");
        return;
    }
    struct bytes certs = wants ? buf_bytes(&s->tls->certs) : BYTES_NONE;
    (void)say(s, CLIENT_FINISHED, &certs, 1);
    tls_opened(s);
}

static void shake_client_finished(struct tls_stream *s, struct bytes v)
{
    struct err e = {0};
    if (tls_judge(s, v, &e) < 0)
        tls_alert(s, &e, "bad certificate");
    else
        tls_opened(s);
}

static void tls_shake(struct tls_stream *s, enum record kind, struct bytes v)
{
    struct err e = {0};
    if (kind == ALERT) {
        (void)err_set(&e, E_UPSTREAM, "TLS handshake: alert: %.*s", BYTES_FMT(v));
        tls_fail(s, &e);
    } else if (kind == CLIENT_HELLO && s->tls->server) {
        shake_client_hello(s, v);
    } else if (kind == SERVER_HELLO && !s->tls->server) {
        shake_server_hello(s, v);
    } else if (kind == CLIENT_FINISHED && s->tls->server) {
        shake_client_finished(s, v);
    } else {
        (void)err_set(&e, E_UPSTREAM, "TLS handshake: unexpected message");
        tls_alert(s, &e, "unexpected message");
    }
}

// ---- input

static bool wants_more(const struct tls_stream *s)
{
    if (s->flags & (TLS_CLOSING | TLS_BROKEN | TLS_ENDED))
        return false;
    return (s->flags & (TLS_SHAKING | TLS_READ)) != 0;
}

static void tls_record(struct tls_stream *s, enum record kind, struct bytes v)
{
    if (s->flags & TLS_SHAKING)
        tls_shake(s, kind, v);
    else if (kind == DATA)
        s->base.handler->on_data(&s->base, (char *)(uintptr_t)v.p, v.n);
    else
        tls_end(s, kind == CLOSE ? 0 : E_IO);
}

static void tls_deliver(struct tls_stream *s)
{
    s->flags |= TLS_DELIVERING;
    while (wants_more(s) && s->in.n >= HEAD && s->in.n - HEAD >= get_u32(s->in.p + 1)) {
        size_t n = get_u32(s->in.p + 1);
        enum record kind = (enum record)s->in.p[0];
        char *copy = sim_must(mem_dup(s->in.p + HEAD, n));
        buf_drop(&s->in, HEAD + n);
        tls_record(s, kind, (struct bytes){copy, n});
        mem_free(copy);
    }
    s->flags &= ~(unsigned)TLS_DELIVERING;
    if (!(s->flags & (TLS_CLOSING | TLS_BROKEN | TLS_SHAKING)))
        net_read(s->inner, (s->flags & TLS_READ) != 0);
}

static void tls_inner_data(struct net_stream *inner, char *p, size_t n)
{
    struct tls_stream *s = inner->user;
    if (buf_add(&s->in, p, n) < 0)
        tls_end(s, E_NOMEM);
    else
        tls_deliver(s);
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
    tls_end(s, status == 0 ? E_CLOSED : status);
}

static void tls_inner_drain(struct net_stream *inner)
{
    struct tls_stream *s = inner->user;
    if ((s->flags & TLS_OPEN) && !(s->flags & TLS_CLOSING) && s->base.handler->on_drain != NULL)
        s->base.handler->on_drain(&s->base);
}

static void tls_free(struct tls_stream *s)
{
    timer_stop(tls_timers(s), &s->timer);
    list_del(&s->link);
    net_tls_free(s->tls);
    buf_fini(&s->in);
    mem_free(s->id);
    mem_free(s);
}

static void tls_inner_closed(struct net_stream *inner)
{
    struct tls_stream *s = inner->user;
    timer_stop(tls_timers(s), &s->timer);
    if (s->base.handler != NULL && s->base.handler->on_closed != NULL)
        s->base.handler->on_closed(&s->base);
    tls_free(s);
}

static void tls_begin(struct tls_stream *s)
{
    s->flags |= TLS_SHAKING;
    net_read(s->inner, true);
    if (s->tls->server)
        return;
    struct bytes v[3] = {
        bytes_of(s->tls->alpn ? s->tls->alpn : "http/1.1"), {"", 1}, bytes_of(s->server_name)};
    (void)say(s, CLIENT_HELLO, v, 3);
}

static void tls_inner_open(struct net_stream *inner, int status, const struct err *e)
{
    struct tls_stream *s = inner->user;
    if (status < 0) {
        s->flags |= TLS_BROKEN;
        timer_stop(tls_timers(s), &s->timer);
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

static int tls_write(struct net_stream *base, const struct bytes *v, int count)
{
    struct tls_stream *s = tls_of(base);
    size_t total = 0;
    if ((s->flags & (TLS_CLOSING | TLS_BROKEN)) || !(s->flags & TLS_OPEN))
        return E_CLOSED;
    for (int i = 0; i < count; i++)
        total += v[i].n;
    if (tls_queued(base) + total > s->queue_max)
        return E_FULL;
    for (int i = 0; i < count; i++) {
        for (size_t at = 0; at < v[i].n; at += RECORD_MAX) {
            struct bytes part = bytes_first(bytes_from(v[i], at), RECORD_MAX);
            if (say(s, DATA, &part, 1) < 0)
                return E_CLOSED;
        }
    }
    return net_queued(s->inner) > 0 ? 1 : 0;
}

static void tls_deliver_kept(struct timer *t)
{
    struct tls_stream *s = container_of(t, struct tls_stream, timer);
    if (s->flags & TLS_READ)
        tls_deliver(s);
}

static void tls_read(struct net_stream *base, bool on)
{
    struct tls_stream *s = tls_of(base);
    if (s->flags & TLS_CLOSING)
        return;
    s->flags = on ? s->flags | TLS_READ : s->flags & ~(unsigned)TLS_READ;
    if ((s->flags & TLS_DELIVERING) || !(s->flags & TLS_OPEN) || (s->flags & TLS_BROKEN))
        return;
    if (on && s->in.n > 0) { // in order: first what was kept, never from inside
        s->timer.fn = tls_deliver_kept;
        (void)timer_start(tls_timers(s), &s->timer, 0);
        return;
    }
    net_read(s->inner, on);
}

static void tls_close(struct net_stream *base, bool abort)
{
    struct tls_stream *s = tls_of(base);
    assert(!(s->flags & TLS_CLOSING));
    timer_stop(tls_timers(s), &s->timer);
    if (!abort && (s->flags & TLS_OPEN) && !(s->flags & TLS_BROKEN))
        (void)say(s, CLOSE, NULL, 0);
    s->flags |= TLS_CLOSING;
    net_close(s->inner, abort);
}

static const struct net_stream_ops tls_ops = {
    .write = tls_write, .read = tls_read, .close = tls_close, .queued = tls_queued};

const struct net_stream *sim_tls_inner(const struct net_stream *s, struct net_peer *ret)
{
    if (s->ops != &tls_ops)
        return NULL;
    ret->id = tls_of(s)->id;
    ret->epoch = tls_of(s)->epoch;
    return tls_of(s)->inner;
}

// ---- making

static struct tls_stream *tls_make(struct net *n, struct net_tls *t, size_t queue_bytes_max)
{
    struct tls_stream *s = sim_must(mem_new(struct tls_stream));
    sim_tls_ref(t);
    s->base.ops = &tls_ops;
    s->tls = t;
    s->net = n;
    s->queue_max = queue_bytes_max ? queue_bytes_max : 256 << 10;
    s->timer.fn = tls_late;
    buf_init(&s->in, SIM_BUF_MAX);
    list_add_tail(&n->tls_streams, &s->link);
    return s;
}

static size_t inner_queue(const struct tls_stream *s)
{
    return s->queue_max + s->queue_max / 8 + INNER_EXTRA;
}

int sim_tls_dial(struct net *n, const struct net_connect_args *args, struct net_stream **ret,
                 struct err *e)
{
    struct tls_stream *s = tls_make(n, args->tls, args->queue_bytes_max);
    (void)snprintf(s->server_name, sizeof s->server_name, "%s",
                   args->server_name ? args->server_name : args->addr.host);
    struct net_connect_args inner = *args;
    inner.tls = NULL;
    inner.handler = &tls_inner_handler;
    inner.user = s;
    inner.queue_bytes_max = inner_queue(s);
    int rc = sim_dial(n, &inner, &s->inner, e);
    if (rc == 0)
        rc = timer_start(tls_timers(s), &s->timer, args->timeout_ms);
    if (rc < 0) {
        tls_free(s);
        return rc;
    }
    s->base.handler = args->handler;
    s->base.user = args->user;
    *ret = &s->base;
    return 0;
}

void sim_tls_accept(struct net_tls *t, struct net_stream *inner, const struct net_listen_args *a,
                    bool over_limit)
{
    struct tls_stream *s = tls_make(((struct sock *)(void *)inner)->net, t, a->queue_bytes_max);
    ((struct sock *)(void *)inner)->queue_max = inner_queue(s);
    s->inner = inner;
    s->on_accept = a->on_accept;
    s->accept_user = a->user;
    if (over_limit)
        s->flags |= TLS_OVER_LIMIT;
    inner->handler = &tls_inner_handler;
    inner->user = s;
    (void)timer_start(tls_timers(s), &s->timer, a->handshake_ms ? a->handshake_ms : HANDSHAKE_MS);
    tls_begin(s);
}

void sim_tls_unaccept(struct net *n, const struct net_listen_args *a)
{
    list_each_safe (it, &n->tls_streams) {
        struct tls_stream *s = container_of(it, struct tls_stream, link);
        if (!(s->flags & TLS_SHAKING) || s->on_accept != a->on_accept || s->accept_user != a->user)
            continue;
        s->flags &= ~(unsigned)TLS_SHAKING;
        s->flags |= TLS_BROKEN | TLS_CLOSING;
        timer_stop(tls_timers(s), &s->timer);
        net_close(s->inner, true);
    }
}

int net_upgrade(struct net *n, struct net_stream *plain, struct net_tls *tls,
                const char *server_name, int64_t timeout_ms, struct net_stream **ret, struct err *e)
{
    struct sock *k = (struct sock *)(void *)plain;
    struct tls_stream *s = tls_make(n, tls, k->queue_max);
    (void)e;
    (void)snprintf(s->server_name, sizeof s->server_name, "%s", server_name);
    k->queue_max = inner_queue(s);
    s->inner = plain;
    s->base.handler = plain->handler;
    s->base.user = plain->user;
    plain->handler = &tls_inner_handler;
    plain->user = s;
    (void)timer_start(tls_timers(s), &s->timer, timeout_ms);
    tls_begin(s);
    *ret = &s->base;
    return 0;
}

void sim_tls_stop(struct net *n)
{
    list_each_safe (it, &n->tls_streams) {
        struct tls_stream *s = container_of(it, struct tls_stream, link);
        if (!(s->flags & TLS_CLOSING))
            net_close(&s->base, true);
    }
}

// ---- contexts

static int base64_digit(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

// One certificate's text between its lines (RFC 7468).
static int put_der(struct buf *out, struct bytes text, struct err *e)
{
    unsigned bits = 0, have = 0;
    size_t at = out->n;
    if (buf_add(out, "\0\0\0\0", 4) < 0)
        return err_set(e, E_CONFIG, "TLS: certificates are too large");
    for (size_t i = 0; i < text.n; i++) {
        int digit = base64_digit(text.p[i]);
        if (digit < 0)
            continue; // a line's end, or '='
        bits = bits << 6 | (unsigned)digit;
        have += 6;
        if (have >= 8) {
            have -= 8;
            (void)buf_chr(out, (char)(bits >> have));
        }
    }
    put_u32(out->p + at, out->n - at - 4);
    return out->failed;
}

static int load_certs(struct net_tls *t, struct bytes pem, struct err *e)
{
    static const struct bytes begin = {"-----BEGIN CERTIFICATE-----", 27},
                              end = {"-----END CERTIFICATE-----", 25};
    ptrdiff_t from;
    while ((from = bytes_find(pem, begin)) >= 0) {
        pem = bytes_from(pem, (size_t)from + begin.n);
        ptrdiff_t to = bytes_find(pem, end);
        if (to < 0)
            return err_set(e, E_CONFIG, "TLS: a certificate has no end");
        int rc = put_der(&t->certs, bytes_first(pem, (size_t)to), e);
        if (rc < 0)
            return rc;
        pem = bytes_from(pem, (size_t)to + end.n);
    }
    return 0;
}

int net_tls_new(struct net_tls **ret, const struct net_tls_args *args, struct err *e)
{
    if (args->cert_file != NULL || args->key_file != NULL || args->ca_file != NULL)
        return err_set(e, E_UNSUPPORTED, "TLS: the simulator takes certificates as texts");
    if (args->server && args->cert_pem.n == 0)
        return err_set(e, E_CONFIG, "TLS: a server needs a certificate and its key");
    if ((args->cert_pem.n == 0) != (args->key_pem.n == 0))
        return err_set(e, E_CONFIG, "TLS: certificate and key belong together");
    struct net_tls *t = sim_must(mem_new(struct net_tls));
    t->refs = 1;
    t->server = args->server;
    t->insecure = args->insecure;
    t->verify = args->verify;
    t->user = args->user;
    t->on_refused = args->on_refused;
    t->alpn = mem_str(args->alpn);
    buf_init(&t->certs, CERT_BYTES_MAX);
    int rc = load_certs(t, args->cert_pem, e);
    if (rc == 0 && args->cert_pem.n > 0 && t->certs.n == 0)
        rc = err_set(e, E_CONFIG, "TLS: no certificate in the text");
    if (rc < 0) {
        net_tls_free(t);
        return rc;
    }
    *ret = t;
    return 0;
}

void sim_tls_ref(struct net_tls *t)
{
    t->refs++;
}

void net_tls_free(struct net_tls *t)
{
    if (t == NULL)
        return;
    assert(t->refs > 0);
    if (--t->refs > 0)
        return;
    buf_fini(&t->certs);
    mem_free(t->alpn);
    mem_free(t);
}
