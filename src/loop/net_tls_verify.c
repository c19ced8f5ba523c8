// net_tls_verify.c: who the TLS peer is, as net_tls_args.verify says, and why a handshake failed.
// SPDX-License-Identifier: Apache-2.0
//
// A context with verify gives OpenSSL no authorities: the certificates go to the owner as they
// came, and what it says is the result. A handshake in which it was not asked does not count as
// done.
#include "loop/net_tls_priv.h"

#include "base/alloc.h"

#include <openssl/err.h>
#include <openssl/tls1.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

enum {
    TLS_CHAIN_MAX = 8,
    TLS_CHAIN_BYTES_MAX = 32 << 10, // before anybody is known
    TLS_ALERT_CODES = 256,
};
#ifndef SSL_AD_CERTIFICATE_REQUIRED
#define SSL_AD_CERTIFICATE_REQUIRED TLS13_AD_CERTIFICATE_REQUIRED
#endif

// ---- reasons

const char *net_tls_why(char *buf, size_t size)
{
    unsigned long code = 0, it;
    while ((it = ERR_get_error()) != 0) // the first is the nearest to the cause
        code = code ? code : it;
    int alert = ERR_GET_REASON(code) - SSL_AD_REASON_OFFSET;
    if (code != 0 && ERR_GET_LIB(code) == ERR_LIB_SSL && alert >= 0 && alert < TLS_ALERT_CODES) {
        // Older tables of names end before this one.
        const char *name = alert == SSL_AD_CERTIFICATE_REQUIRED ? "certificate required"
                                                                : SSL_alert_desc_string_long(alert);
        (void)snprintf(buf, size, "the peer refused: %s", name);
        return buf;
    }
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    (void)snprintf(buf, size, "%s", reason ? reason : "unknown reason");
    return buf;
}

void net_tls_because(struct tls_stream *s, int code, const char *text)
{
    if (s->why != NULL)
        return;
    s->why = mem_str(text); // without memory there is no text, the code stays
    s->why_code = code;
}

void net_tls_say_why(struct tls_stream *s, struct err *e)
{
    char why[160];
    long verify = SSL_get_verify_result(s->ssl);
    const struct net_tls *t = s->tls;
    if (s->why_code < 0) // one of the callbacks below
        (void)err_set(e, s->why_code, "%s", s->why ? s->why : "TLS handshake: refused");
    else if (t->verify != NULL)
        (void)err_set(e, E_UPSTREAM, "TLS handshake: %s", net_tls_why(why, sizeof why));
    else if (!t->server && verify == X509_V_ERR_HOSTNAME_MISMATCH)
        (void)err_set(e, E_UPSTREAM, "TLS: the certificate is for another host name");
    else if (!t->server && verify == X509_V_ERR_IP_ADDRESS_MISMATCH)
        (void)err_set(e, E_UPSTREAM, "TLS: the certificate is for another address");
    else if ((t->server ? t->ca_file != NULL : !t->insecure) && verify != X509_V_OK)
        (void)err_set(e, E_UPSTREAM, "TLS: the certificate is not trusted: %s",
                      X509_verify_cert_error_string(verify));
    else
        (void)err_set(e, E_UPSTREAM, "TLS handshake: %s", net_tls_why(why, sizeof why));
    ERR_clear_error();
}

// ---- verify

static int tls_ask(struct tls_stream *s, const struct bytes *der, int count)
{
    char id[NET_ID_MAX] = "";
    struct err e = {0};
    s->epoch = 0;
    int rc = s->tls->verify(s->tls->user, der, count, id, &s->epoch, &e);
    if (rc == 0 && id[0] != '\0') {
        mem_free(s->id);
        s->id = mem_str(id);
        if (s->id == NULL)
            rc = err_set(&e, E_NOMEM, "TLS: out of memory");
    }
    if (rc == 0)
        s->flags |= TLS_VERIFIED;
    else
        net_tls_because(s, rc, e.code ? e.text : err_info(rc)->text);
    return rc;
}

// What the peer reads in its alert (RFC 8446, 6.2), as net.h says.
static int tls_verdict(int code)
{
    switch (code) {
    case 0: return X509_V_OK;
    case E_TIMEOUT: return X509_V_ERR_CERT_HAS_EXPIRED;
    case E_FORBIDDEN: return X509_V_ERR_CERT_REVOKED;
    case E_NOTFOUND: return X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY;
    case E_UNSUPPORTED: return X509_V_ERR_INVALID_PURPOSE;
    case E_NOMEM:
    case E_INTERNAL: return X509_V_ERR_OUT_OF_MEM;
    default: return X509_V_ERR_CERT_REJECTED;
    }
}

static int tls_verify(X509_STORE_CTX *store, void *arg)
{
    const SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls_stream *s = SSL_get_app_data(ssl);
    STACK_OF(X509) *chain = X509_STORE_CTX_get0_untrusted(store); // all that came, leaf first
    unsigned char *der[TLS_CHAIN_MAX] = {NULL};
    struct bytes v[TLS_CHAIN_MAX] = {BYTES_NONE};
    int count = sk_X509_num(chain), rc = 0;
    (void)arg;
    if (count < 1 || count > TLS_CHAIN_MAX) {
        rc = E_UNSUPPORTED;
        net_tls_because(s, rc, "TLS: the peer sent too many certificates");
    }
    for (int i = 0; rc == 0 && i < count; i++) {
        int n = i2d_X509(sk_X509_value(chain, i), &der[i]);
        v[i] = (struct bytes){(const char *)der[i], n > 0 ? (size_t)n : 0};
        if (n <= 0) {
            rc = E_NOMEM;
            net_tls_because(s, rc, "TLS: out of memory");
        }
    }
    if (rc == 0)
        rc = tls_ask(s, v, count);
    for (int i = 0; i < TLS_CHAIN_MAX; i++)
        OPENSSL_free(der[i]);
    X509_STORE_CTX_set_error(store, tls_verdict(rc));
    return rc == 0;
}

// OpenSSL asks nobody about a client that sends no certificate, only whether it must send one. So
// the empty message is looked at before OpenSSL does (RFC 8446, 4.4.2: type, length of 3 bytes, an
// empty context, a list of 0 bytes).
static void tls_message(int sent, int version, int type, const void *p, size_t n, SSL *ssl,
                        void *arg)
{
    static const char none[] = {SSL3_MT_CERTIFICATE, 0, 0, 4, 0, 0, 0, 0};
    struct tls_stream *s = SSL_get_app_data(ssl);
    (void)version;
    (void)arg;
    if (sent || type != SSL3_RT_HANDSHAKE || n != sizeof none || memcmp(p, none, n) != 0 ||
        !(s->flags & TLS_SHAKING))
        return;
    if (tls_ask(s, NULL, 0) < 0)
        SSL_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
}

// ---- the protocol inside

static void tls_no_alpn(struct tls_stream *s)
{
    char text[TLS_ALPN_MAX + 64];
    (void)snprintf(text, sizeof text, "TLS: the peer does not speak %.*s", s->tls->alpn_n - 1,
                   (const char *)s->tls->alpn + 1);
    net_tls_because(s, E_UPSTREAM, text);
}

static int tls_alpn_select(SSL *ssl, const unsigned char **out, unsigned char *out_n,
                           const unsigned char *in, unsigned in_n, void *arg)
{
    const struct net_tls *t = arg;
    unsigned char *picked;
    if (SSL_select_next_proto(&picked, out_n, t->alpn, t->alpn_n, in, in_n) ==
        OPENSSL_NPN_NEGOTIATED) {
        *out = picked;
        return SSL_TLSEXT_ERR_OK;
    }
    if (!t->alpn_insist)
        return SSL_TLSEXT_ERR_NOACK; // a client without http/1.1 in its list may still speak it
    tls_no_alpn(SSL_get_app_data(ssl));
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

// A client that names no protocol at all never comes to tls_alpn_select.
static int tls_hello(SSL *ssl, int *alert, void *arg)
{
    const unsigned char *p;
    size_t n;
    (void)arg;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation, &p,
                                  &n) == 1)
        return SSL_CLIENT_HELLO_SUCCESS;
    tls_no_alpn(SSL_get_app_data(ssl));
    *alert = SSL_AD_NO_APPLICATION_PROTOCOL;
    return SSL_CLIENT_HELLO_ERROR;
}

void net_tls_judge(const struct net_tls *t, SSL_CTX *ctx)
{
    if (t->server)
        SSL_CTX_set_alpn_select_cb(ctx, tls_alpn_select, (void *)(uintptr_t)t);
    else
        (void)SSL_CTX_set_alpn_protos(ctx, t->alpn, t->alpn_n);
    if (t->server && t->alpn_insist)
        SSL_CTX_set_client_hello_cb(ctx, tls_hello, NULL);
    if (t->verify == NULL)
        return;
    (void)SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_NO_AUTO_CHAIN); // what was given is what is sent
    SSL_CTX_set_max_cert_list(ctx, TLS_CHAIN_BYTES_MAX);
    SSL_CTX_set_cert_verify_callback(ctx, tls_verify, NULL);
    if (t->server)
        SSL_CTX_set_msg_callback(ctx, tls_message);
}

int net_tls_insist(struct tls_stream *s, struct err *e)
{
    const struct net_tls *t = s->tls;
    const unsigned char *p;
    unsigned n;
    if (t->verify != NULL && !(s->flags & TLS_VERIFIED))
        return err_set(e, E_SECURITY, "TLS: the peer's certificates were not looked at");
    if (t->verify != NULL)
        SSL_set_msg_callback(s->ssl, NULL); // one call for each record less
    if (!t->alpn_insist)
        return 0;
    SSL_get0_alpn_selected(s->ssl, &p, &n);
    if (n + 1 == t->alpn_n && memcmp(p, t->alpn + 1, n) == 0)
        return 0;
    tls_no_alpn(s);
    return err_set(e, E_UPSTREAM, "%s", s->why ? s->why : "TLS: another protocol");
}
