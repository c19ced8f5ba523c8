// net_tls_ctx.c: TLS contexts: certificates, authorities, what we speak.
// SPDX-License-Identifier: Apache-2.0
#include "loop/net_tls_priv.h"

#include "base/alloc.h"

#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

// Encrypted keys are for people: nobody is here to be asked.
static int tls_no_password(char *buf, int size, int writing, void *arg)
{
    (void)buf;
    (void)size;
    (void)writing;
    (void)arg;
    return 0;
}

static BIO *tls_text(struct bytes pem)
{
    return pem.n > 0 && pem.n <= INT32_MAX ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
}

// The leaf, then what stands between it and its authority.
static bool tls_use_chain(SSL_CTX *ctx, BIO *text)
{
    int count = 0;
    for (;;) {
        X509 *x = PEM_read_bio_X509(text, NULL, tls_no_password, NULL);
        if (x == NULL)
            break;
        bool ok = count++ == 0 ? SSL_CTX_use_certificate(ctx, x) == 1
                               : SSL_CTX_add1_chain_cert(ctx, x) == 1;
        X509_free(x);
        if (!ok)
            return false;
    }
    if (count == 0 || ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        return false;
    ERR_clear_error(); // the text's end
    return true;
}

// OpenSSL keeps the key and wipes it when the context is freed; the text stays the caller's.
static int tls_load_pem(SSL_CTX *ctx, const struct net_tls_args *args, struct err *e)
{
    char why[160];
    int rc = 0;
    BIO *cert = tls_text(args->cert_pem), *text = tls_text(args->key_pem);
    if (cert == NULL || !tls_use_chain(ctx, cert))
        rc = err_set(e, E_CONFIG, "TLS: certificate: %s", net_tls_why(why, sizeof why));
    EVP_PKEY *key = NULL;
    if (rc == 0 && text != NULL)
        key = PEM_read_bio_PrivateKey(text, NULL, tls_no_password, NULL);
    if (rc == 0 && key == NULL)
        rc = err_set(e, E_CONFIG, "TLS: key: %s", net_tls_why(why, sizeof why));
    if (rc == 0 && (SSL_CTX_use_PrivateKey(ctx, key) != 1 || SSL_CTX_check_private_key(ctx) != 1))
        rc = err_set(e, E_CONFIG, "TLS: the key does not belong to the certificate");
    EVP_PKEY_free(key);
    BIO_free(text);
    BIO_free(cert);
    ERR_clear_error();
    return rc;
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
    if (!t->server && t->ca_file == NULL && !t->insecure && t->verify == NULL)
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
        if (t->ca_file != NULL)
            verify = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
        else if (t->verify != NULL)
            verify = SSL_VERIFY_PEER; // asks for one; whether one must come, t->verify says
    } else {
        verify = t->insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER;
    }
    SSL_CTX_set_verify(ctx, verify, NULL);
    net_tls_judge(t, ctx);
}

static int tls_context(struct net_tls *t, const struct net_tls_args *pem, struct err *e)
{
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(t->server ? TLS_server_method() : TLS_client_method());
    if (ctx == NULL)
        return err_set(e, E_NOMEM, "TLS: out of memory");
    tls_settings(t, ctx);
    int rc = tls_load(t, ctx, e);
    if (rc == 0 && pem != NULL)
        rc = tls_load_pem(ctx, pem, e);
    if (rc < 0) {
        SSL_CTX_free(ctx);
        return rc;
    }
    t->ctx = ctx;
    return 0;
}

int net_tls_ready(struct net_tls *t, struct err *e)
{
    return t->ctx != NULL ? 0 : tls_context(t, NULL, e);
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

static int tls_check(const struct net_tls_args *a, struct err *e)
{
    bool pem = a->cert_pem.n > 0, files = a->cert_file != NULL;
    if (pem != (a->key_pem.n > 0) || files != (a->key_file != NULL))
        return err_set(e, E_CONFIG,
                       a->server && !pem && !files ? "TLS: a server needs a certificate and its key"
                                                   : "TLS: certificate and key belong together");
    if (a->server && !pem && !files)
        return err_set(e, E_CONFIG, "TLS: a server needs a certificate and its key");
    if (pem && files)
        return err_set(e, E_CONFIG, "TLS: the certificate is a text or a file, not both");
    if (a->verify != NULL && (a->ca_file != NULL || a->insecure))
        return err_set(e, E_CONFIG, "TLS: only one may decide about the peer's certificates");
    if (a->alpn != NULL && (a->alpn[0] == '\0' || strlen(a->alpn) >= TLS_ALPN_MAX))
        return err_set(e, E_INVALID, "TLS: a protocol's name has 1 to %d bytes", TLS_ALPN_MAX - 1);
    return 0;
}

int net_tls_new(struct net_tls **ret, const struct net_tls_args *args, struct err *e)
{
    int rc = tls_check(args, e);
    if (rc < 0)
        return rc;
    struct net_tls *t = mem_new(struct net_tls);
    if (t == NULL)
        return err_set(e, E_NOMEM, "TLS: out of memory");
    t->refs = 1;
    t->server = args->server;
    t->insecure = args->insecure;
    t->verify = args->verify;
    t->on_refused = args->on_refused;
    t->user = args->user;
    const char *alpn = args->alpn ? args->alpn : "http/1.1";
    t->alpn[0] = (unsigned char)strlen(alpn);
    memcpy(t->alpn + 1, alpn, t->alpn[0]);
    t->alpn_n = (unsigned char)(t->alpn[0] + 1);
    t->alpn_insist = args->alpn != NULL;
    rc = tls_copy(&t->cert_file, args->cert_file, e);
    if (rc == 0)
        rc = tls_copy(&t->key_file, args->key_file, e);
    if (rc == 0)
        rc = tls_copy(&t->ca_file, args->ca_file, e);
    if (rc == 0 && args->cert_pem.n > 0) // the texts are not kept
        rc = tls_context(t, args, e);
    else if (rc == 0 &&
             t->server) // a listener will need it; clients' contexts wait for a first use
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
