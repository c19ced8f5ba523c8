// net_tls_ctx.c: TLS contexts: certificates, authorities, what we speak.
// SPDX-License-Identifier: Apache-2.0
#include "loop/net_tls_priv.h"

#include "base/alloc.h"

#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const unsigned char tls_alpn[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};

const char *net_tls_why(char *buf, size_t size)
{
    unsigned long code = 0, it;
    while ((it = ERR_get_error()) != 0) // the first is the nearest to the cause
        code = code ? code : it;
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    (void)snprintf(buf, size, "%s", reason ? reason : "unknown reason");
    return buf;
}

static int tls_alpn_select(SSL *ssl, const unsigned char **out, unsigned char *out_n,
                           const unsigned char *in, unsigned in_n, void *arg)
{
    unsigned char *picked;
    (void)ssl;
    (void)arg;
    if (SSL_select_next_proto(&picked, out_n, tls_alpn, sizeof tls_alpn, in, in_n) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK; // a client without http/1.1 in its list may still speak it
    *out = picked;
    return SSL_TLSEXT_ERR_OK;
}

static int tls_load(const struct net_tls *t, SSL_CTX *ctx, struct err *e)
{
    char why[160];
    if (t->cert_file != NULL && SSL_CTX_use_certificate_chain_file(ctx, t->cert_file) != 1)
        return err_set(e, E_CONFIG, "certificate %s: %s", t->cert_file,
                       net_tls_why(why, sizeof why));
    if (t->key_file != NULL && SSL_CTX_use_PrivateKey_file(ctx, t->key_file, SSL_FILETYPE_PEM) != 1)
        return err_set(e, E_CONFIG, "key %s: %s", t->key_file, net_tls_why(why, sizeof why));
    if (t->cert_file != NULL && SSL_CTX_check_private_key(ctx) != 1)
        return err_set(e, E_CONFIG, "key %s does not belong to certificate %s", t->key_file,
                       t->cert_file);
    if (t->ca_file != NULL && SSL_CTX_load_verify_locations(ctx, t->ca_file, NULL) != 1)
        return err_set(e, E_CONFIG, "authorities %s: %s", t->ca_file, net_tls_why(why, sizeof why));
    if (t->server && t->ca_file != NULL)
        SSL_CTX_set_client_CA_list(ctx, SSL_load_client_CA_file(t->ca_file));
    if (!t->server && t->ca_file == NULL && !t->insecure)
        (void)SSL_CTX_set_default_verify_paths(
            ctx); // without any, each peer is refused, and said so
    return 0;
}

static void tls_settings(const struct net_tls *t, SSL_CTX *ctx)
{
    int verify = SSL_VERIFY_NONE;
    (void)SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    // Many streams wait long: no buffers, no sessions, no tickets are kept for them.
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION |
                                       SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_num_tickets(ctx, 0);
    if (t->server) {
        SSL_CTX_set_alpn_select_cb(ctx, tls_alpn_select, NULL);
        if (t->ca_file != NULL)
            verify = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    } else {
        (void)SSL_CTX_set_alpn_protos(ctx, tls_alpn, sizeof tls_alpn);
        verify = t->insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER;
    }
    SSL_CTX_set_verify(ctx, verify, NULL);
}

int net_tls_ready(struct net_tls *t, struct err *e)
{
    if (t->ctx != NULL)
        return 0;
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(t->server ? TLS_server_method() : TLS_client_method());
    if (ctx == NULL)
        return err_set(e, E_NOMEM, "TLS: out of memory");
    tls_settings(t, ctx);
    int rc = tls_load(t, ctx, e);
    if (rc < 0) {
        SSL_CTX_free(ctx);
        return rc;
    }
    t->ctx = ctx;
    return 0;
}

static int tls_copy(char **ret, const char *path, struct err *e)
{
    if (path == NULL)
        return 0;
    if (access(path, R_OK) < 0)
        return err_errno(e, errno, "TLS: %s", path);
    *ret = mem_str(path);
    return *ret ? 0 : err_set(e, E_NOMEM, "TLS: out of memory");
}

int net_tls_new(struct net_tls **ret, const struct net_tls_args *args, struct err *e)
{
    if (args->server && (args->cert_file == NULL || args->key_file == NULL))
        return err_set(e, E_CONFIG, "TLS: a server needs a certificate and its key");
    if ((args->cert_file == NULL) != (args->key_file == NULL))
        return err_set(e, E_CONFIG, "TLS: certificate and key belong together");
    struct net_tls *t = mem_new(struct net_tls);
    if (t == NULL)
        return err_set(e, E_NOMEM, "TLS: out of memory");
    t->refs = 1;
    t->server = args->server;
    t->insecure = args->insecure;
    int rc = tls_copy(&t->cert_file, args->cert_file, e);
    if (rc == 0)
        rc = tls_copy(&t->key_file, args->key_file, e);
    if (rc == 0)
        rc = tls_copy(&t->ca_file, args->ca_file, e);
    if (rc == 0 && t->server) // a listener will need it; clients' contexts wait for a first use
        rc = net_tls_ready(t, e);
    if (rc < 0) {
        net_tls_free(t);
        return rc;
    }
    *ret = t;
    return 0;
}

void net_tls_ref(struct net_tls *t)
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
    if (t->ctx != NULL)
        SSL_CTX_free(t->ctx);
    mem_free(t->cert_file);
    mem_free(t->key_file);
    mem_free(t->ca_file);
    mem_free(t);
}
