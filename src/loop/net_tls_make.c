// net_tls_make.c: the making of TLS streams: dialed, accepted, put over an open plain one.
// SPDX-License-Identifier: Apache-2.0
#include "loop/net_tls_priv.h"

#include "base/alloc.h"

#include <assert.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

enum {
    TLS_INNER_EXTRA = 128 << 10, // the inner queue also holds records' heads and a full out buffer
    TLS_HANDSHAKE_MS = 10000,
};

static const struct net_handler tls_no_handler = {.on_data = NULL};

// Who we think we talk to: the certificate must be for it, unless somebody else decides about it.
static int tls_expect(struct tls_stream *s, const char *name, struct err *e)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(s->ssl);
    struct net_addr a = {.port = 0};
    struct sockaddr_storage ip;
    socklen_t n;
    bool ok;
    if (s->tls->insecure || (s->tls->verify != NULL && name == NULL))
        return 0;
    if (name == NULL)
        return err_set(e, E_INVALID, "TLS: the server's name is not known");
    (void)snprintf(a.host, sizeof a.host, "%s", name);
    bool numeric = net_parse_ip(&a, &ip, &n) == 0;
    if (s->tls->verify != NULL) {
        ok = numeric || SSL_set_tlsext_host_name(s->ssl, name) == 1;
    } else if (numeric) {
        ok = X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1;
    } else {
        X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
        ok = SSL_set_tlsext_host_name(s->ssl, name) == 1 && SSL_set1_host(s->ssl, name) == 1;
    }
    return ok ? 0 : err_set(e, E_INVALID, "TLS: \"%s\" cannot be a server's name", name);
}

static struct tls_stream *tls_make(struct net *n, struct net_tls *t, size_t queue_bytes_max)
{
    if (net_tls_ready(t, NULL) < 0 || net_tls_bufs_make(n) < 0)
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
    (void)SSL_set_app_data(s->ssl, s); // for the callbacks of the handshake
    BIO_set_init(bio, 1);
    SSL_set_bio(s->ssl, bio, bio);
    if (t->server)
        SSL_set_accept_state(s->ssl);
    else
        SSL_set_connect_state(s->ssl);
    net_tls_ref(t);
    s->tls = t;
    s->net = n;
    s->base.ops = &net_tls_ops;
    s->queue_max = queue_bytes_max ? (uint32_t)queue_bytes_max : 256 << 10;
    s->timer.fn = net_tls_late;
    list_add_tail(&n->tls_streams, &s->link);
    return s;
}

static void tls_unmake(struct tls_stream *s)
{
    timer_stop(net_tls_timers(s), &s->timer);
    list_del(&s->link);
    SSL_free(s->ssl);
    net_tls_free(s->tls);
    mem_free(s->why);
    mem_free(s->from);
    mem_free(s->id);
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
    rc = tls_expect(s, args->server_name ? args->server_name : args->addr.host, e);
    if (rc == 0)
        rc = timer_start(net_tls_timers(s), &s->timer, args->timeout_ms);
    struct net_connect_args inner = *args;
    inner.tls = NULL;
    inner.handler = &net_tls_inner_handler;
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

void net_tls_accept(struct net_tls *t, struct net_stream *inner, const struct net_listen_args *args,
                    bool over_limit)
{
    struct net *n = ((struct sock *)(void *)inner)->net;
    struct tls_stream *s = NULL;
    inner->handler = &tls_no_handler;
    if (!over_limit || n->spare_fd >= 0) // else there is no time for a handshake
        s = tls_make(n, t, args->queue_bytes_max);
    int64_t ms = args->handshake_ms ? args->handshake_ms : TLS_HANDSHAKE_MS;
    if (s == NULL || timer_start(net_tls_timers(s), &s->timer, ms) < 0) {
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
    inner->handler = &net_tls_inner_handler;
    inner->user = s;
    if (t->on_refused != NULL) {
        struct net_peer peer;
        net_peer(inner, &peer);
        s->from = mem_str(peer.text);
    }
    net_tls_begin(s);
}

void net_tls_unaccept(struct net *n, const struct net_listen_args *args)
{
    list_each_safe (it, &n->tls_streams) {
        struct tls_stream *s = container_of(it, struct tls_stream, link);
        if (!(s->flags & TLS_SHAKING) || s->on_accept != args->on_accept ||
            s->accept_user != args->user)
            continue;
        s->flags &= (uint16_t)~TLS_SHAKING;
        s->flags |= TLS_BROKEN | TLS_CLOSING;
        timer_stop(net_tls_timers(s), &s->timer);
        net_close(s->inner, true);
    }
}

// Its memory is that of a plain stream until here, so that a failure leaves nothing to tell.
static struct tls_stream *tls_over(struct net *n, struct sock *k, struct net_tls *t,
                                   const char *server_name, struct err *e)
{
    int rc = net_tls_ready(t, e);
    if (rc < 0)
        return NULL;
    struct tls_stream *s = tls_make(n, t, k->queue_max);
    if (s == NULL) {
        (void)err_set(e, E_NOMEM, "TLS: out of memory");
        return NULL;
    }
    if (tls_expect(s, server_name, e) < 0) {
        tls_unmake(s);
        return NULL;
    }
    s->inner = &k->base;
    s->base.handler = k->base.handler;
    s->base.user = k->base.user;
    return s;
}

int net_upgrade(struct net *n, struct net_stream *plain, struct net_tls *t, const char *server_name,
                int64_t timeout_ms, struct net_stream **ret, struct err *e)
{
    struct sock *k = (struct sock *)(void *)plain;
    struct err why = {0};
    struct tls_stream *s = NULL;
    assert(net_is_sock(plain) && !t->server);
    assert(plain->handler->on_open != NULL && !(k->flags & (SOCK_DIALING | SOCK_CLOSING)));
    int rc = 0;
    if (k->flags & (SOCK_EOF | SOCK_BROKEN)) // its end was told already: nobody would tell it again
        rc = err_set(&why, E_CLOSED, "the connection was closed before TLS began");
    else if ((s = tls_over(n, k, t, server_name, &why)) == NULL)
        rc = why.code;
    if (rc == 0)
        rc = timer_start(net_tls_timers(s), &s->timer, timeout_ms);
    if (rc == 0) {
        s->flags |= TLS_SHAKING;
        rc = net_tls_step(s, &why); // the first flight goes out; an answer cannot be here yet
        if (rc == 0 && (s->flags & TLS_BROKEN))
            rc = err_set(&why, E_CLOSED, "the connection was closed before TLS began");
    }
    if (rc < 0) {
        plain->handler = &tls_no_handler;
        net_close(plain, true);
        if (s != NULL)
            tls_unmake(s);
        return err_set(e, rc, "%s", why.code ? why.text : "TLS: out of memory");
    }
    k->queue_max = s->queue_max + s->queue_max / 64 + TLS_INNER_EXTRA;
    plain->handler = &net_tls_inner_handler;
    plain->user = s;
    net_read(plain, true);
    *ret = &s->base;
    return 0;
}

void net_tls_stop(struct net *n)
{
    list_each_safe (it, &n->tls_streams) {
        struct tls_stream *s = container_of(it, struct tls_stream, link);
        if (!(s->flags & TLS_CLOSING))
            net_close(&s->base, true);
    }
}
