// x509_look.c: what certificates say, and whether a chain of them holds.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "base/time.h"
#include "crypto/crypto_priv.h"
#include "crypto/hash.h"
#include "crypto/x509.h"
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>

#define AUTH_LEVEL 2 // 112 bits at least: no SHA-1, no RSA below 2048

// ---- PEM ----

int x509_pem_put(struct buf *out, const char *label, struct bytes der)
{
    char *text = NULL;
    OSSL_AUTO(BIO) bio = BIO_new(BIO_s_mem());
    if (!bio || PEM_write_bio(bio, label, "", (const uint8_t *)der.p, (long)der.n) <= 0)
        return crypto_fail(NULL, E_NOMEM, "");
    long n = BIO_get_mem_data(bio, &text);
    return buf_add(out, text, (size_t)n);
}

int x509_pem_next(struct bytes *rest, const char *label, struct buf *der, struct err *e)
{
    if (rest->n > INT32_MAX)
        return err_set(e, E_TOOBIG, "PEM: too long");
    while (rest->n > 0) {
        char *name = NULL, *head = NULL, *left = NULL;
        uint8_t *data = NULL;
        long n = 0;
        OSSL_AUTO(BIO) bio = BIO_new_mem_buf(rest->p, (int)rest->n);
        int got = bio ? PEM_read_bio(bio, &name, &head, &data, &n) : 0;
        if (got != 1) {
            bool end = bio && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
            *rest = BYTES_NONE;
            return end ? (ERR_clear_error(), 0) : crypto_fail(e, E_PARSE, "PEM");
        }
        long more = BIO_get_mem_data(bio, &left);
        *rest = bytes_from(*rest, rest->n - (size_t)more);
        int rc = 0;
        if (strcmp(name, label) == 0) {
            buf_clear(der);
            rc = *head ? err_set(e, E_PARSE, "PEM: %s with headers", label)
                 : buf_add(der, data, (size_t)n) != 0 ? err_set(e, der->failed, "PEM: too long")
                                                      : 1;
        }
        OPENSSL_free(name);
        OPENSSL_free(head);
        OPENSSL_clear_free(data, (size_t)n);
        if (rc != 0)
            return rc;
    }
    return 0;
}

// ---- facts ----

X509 *crypto_x509(struct bytes der)
{
    const uint8_t *at = (const uint8_t *)der.p;
    if (der.n == 0 || der.n > X509_DER_MAX)
        return NULL;
    X509 *cert = d2i_X509(NULL, &at, (long)der.n);
    if (cert && at == (const uint8_t *)der.p + der.n)
        return cert;
    X509_free(cert);
    ERR_clear_error();
    return NULL;
}

static bool time_ms(const ASN1_TIME *t, int64_t *ret)
{
    static const struct tm epoch = {.tm_year = 70, .tm_mday = 1};
    struct tm at;
    int days = 0, seconds = 0;
    if (ASN1_TIME_to_tm(t, &at) != 1 || OPENSSL_gmtime_diff(&days, &seconds, &epoch, &at) != 1)
        return false;
    *ret = ((int64_t)days * 86400 + seconds) * 1000;
    return true;
}

static void uris(X509 *cert, struct x509_info *ret)
{
    int critical = 0;
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, &critical, NULL);
    if (!names && critical >= 0) // there, but broken or twice
        ret->uri_count = -1;
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_URI || ret->uri_count++ > 0)
            continue;
        const uint8_t *text = ASN1_STRING_get0_data(name->d.uniformResourceIdentifier);
        size_t n = (size_t)ASN1_STRING_length(name->d.uniformResourceIdentifier);
        if (n < sizeof ret->uri && !memchr(text, 0, n)) {
            memcpy(ret->uri, text, n);
            ret->uri[n] = 0;
        }
    }
    GENERAL_NAMES_free(names);
}

static void usages(X509 *cert, struct x509_info *ret)
{
    uint32_t flags = X509_get_extension_flags(cert), use = X509_get_key_usage(cert);
    ret->ca = flags & EXFLAG_CA; // by basic constraints alone: X509_check_ca looks at the usage too
    ret->self_signed = flags & EXFLAG_SS;
    ret->has_usage = flags & EXFLAG_KUSAGE;
    if (ret->has_usage)
        ret->usage = (use & KU_DIGITAL_SIGNATURE ? X509_USE_SIGN : 0u) |
                     (use & KU_KEY_CERT_SIGN ? X509_USE_CERT_SIGN : 0u) |
                     (use & KU_CRL_SIGN ? X509_USE_CRL_SIGN : 0u) |
                     (use & ~(uint32_t)(KU_DIGITAL_SIGNATURE | KU_KEY_CERT_SIGN | KU_CRL_SIGN)
                          ? X509_USE_OTHER
                          : 0u);
    ret->has_extended = flags & EXFLAG_XKUSAGE;
    uint32_t extended = ret->has_extended ? X509_get_extended_key_usage(cert) : 0;
    ret->server = extended & XKU_SSL_SERVER;
    ret->client = extended & XKU_SSL_CLIENT;
}

static bool serial(X509 *cert, struct x509_info *ret)
{
    uint8_t whole[16] = {0};
    BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(cert), NULL);
    int n = number && !BN_is_negative(number) ? BN_num_bytes(number) : X509_SERIAL_MAX + 1;
    if (n <= X509_SERIAL_MAX)
        ret->serial_n = BN_bn2bin(number, ret->serial);
    if (n <= (int)sizeof whole && BN_bn2binpad(number, whole, sizeof whole) > 0)
        for (int i = 0; i < 8; i++)
            ret->epoch = ret->epoch << 8 | whole[i];
    BN_free(number);
    return n <= X509_SERIAL_MAX;
}

static bool key_hash(X509 *cert, uint8_t ret[32])
{
    uint8_t *der = NULL;
    int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
    if (n > 0)
        sha256_sum((struct bytes){(const char *)der, (size_t)n}, ret);
    OPENSSL_free(der);
    return n > 0;
}

int x509_info(struct bytes der, struct x509_info *ret, struct err *e)
{
    OSSL_AUTO(X509) cert = crypto_x509(der);
    struct x509_info info = {0};
    if (!cert)
        return err_set(e, E_PARSE, "not a certificate in DER");
    if (X509_get_extension_flags(cert) & EXFLAG_INVALID)
        return crypto_fail(e, E_PARSE, "a certificate with broken extensions");
    uris(cert, &info);
    usages(cert, &info);
    if (info.uri_count < 0)
        return crypto_fail(e, E_PARSE, "a certificate with broken names");
    if (!time_ms(X509_get0_notBefore(cert), &info.not_before_ms) ||
        !time_ms(X509_get0_notAfter(cert), &info.not_after_ms) || !serial(cert, &info) ||
        !key_hash(cert, info.key_hash))
        return crypto_fail(e, E_PARSE, "a certificate with broken times, serial number or key");
    ERR_clear_error();
    *ret = info;
    return 0;
}

int x509_key(struct bytes der, struct crypto_key **ret_public, struct err *e)
{
    OSSL_AUTO(X509) cert = crypto_x509(der);
    EVP_PKEY *pkey = cert ? X509_get_pubkey(cert) : NULL;
    return pkey ? crypto_key_wrap(ret_public, pkey, e)
                : crypto_fail(e, E_PARSE, "not a certificate with a public key");
}

// ---- chains ----

struct x509_roots {
    X509_STORE *store;
};

int x509_roots_new(struct x509_roots **ret, const struct bytes *der, int count, struct err *e)
{
    struct x509_roots *r = mem_new(struct x509_roots);
    int rc = count > 0 && count <= X509_ROOTS_MAX
                 ? 0
                 : err_set(e, E_INVALID, "expected 1 to %d authorities", X509_ROOTS_MAX);
    if (r)
        r->store = X509_STORE_new();
    if (!r || !r->store)
        rc = err_set(e, E_NOMEM, "no memory for authorities");
    for (int i = 0; rc == 0 && i < count; i++) {
        OSSL_AUTO(X509) cert = crypto_x509(der[i]);
        if (!cert)
            rc = err_set(e, E_PARSE, "authority %d: not a certificate in DER", i + 1);
        else if (X509_STORE_add_cert(r->store, cert) != 1)
            rc = crypto_fail(e, E_INTERNAL, "authority");
    }
    if (rc != 0) {
        x509_roots_free(r);
        return rc;
    }
    *ret = r;
    return 0;
}

void x509_roots_free(struct x509_roots *r)
{
    if (r)
        X509_STORE_free(r->store);
    mem_free(r);
}

// The reason in our words where the time or the origin is it, else in OpenSSL's.
static int refuse(X509_STORE_CTX *ctx, int64_t now_ms, struct err *e)
{
    int code = X509_STORE_CTX_get_error(ctx), depth = X509_STORE_CTX_get_error_depth(ctx);
    X509 *cert = X509_STORE_CTX_get_current_cert(ctx);
    const char *what = depth > 0 ? "the authority's certificate" : "the certificate";
    char text[TIME_TEXT_LEN + 1] = "?", now[TIME_TEXT_LEN + 1];
    int64_t ms = 0;
    bool late = code == X509_V_ERR_CERT_HAS_EXPIRED, early = code == X509_V_ERR_CERT_NOT_YET_VALID;
    if ((late || early) && cert &&
        time_ms(late ? X509_get0_notAfter(cert) : X509_get0_notBefore(cert), &ms))
        time_text(ms, text);
    time_text(now_ms, now);
    ERR_clear_error();
    switch (code) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return err_set(e, E_SECURITY, "%s expired at %s, and this machine's clock says %s", what,
                       text, now);
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return err_set(e, E_SECURITY,
                       "%s is not valid before %s: is a clock wrong? This machine's says %s", what,
                       text, now);
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        return err_set(e, E_SECURITY, "the certificate is self-signed");
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
        return err_set(e, E_SECURITY, "the certificate comes from an authority that is not ours");
    default: return err_set(e, E_SECURITY, "%s: %s", what, X509_verify_cert_error_string(code));
    }
}

int x509_chain(const struct x509_roots *r, const struct bytes *der, int count, int64_t now_ms,
               struct err *e)
{
    if (count < 1 || count > X509_CHAIN_MAX)
        return err_set(e, E_SECURITY, "expected 1 to %d certificates, not %d", X509_CHAIN_MAX,
                       count);
    OSSL_AUTO(X509) leaf = crypto_x509(der[0]);
    STACK_OF(X509) *others = sk_X509_new_null();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    int rc = !others || !ctx ? err_set(e, E_NOMEM, "no memory for certificates")
             : leaf          ? 0
                             : err_set(e, E_PARSE, "not a certificate in DER");
    for (int i = 1; rc == 0 && i < count; i++) {
        X509 *cert = crypto_x509(der[i]);
        if (!cert)
            rc = err_set(e, E_PARSE, "certificate %d: not one in DER", i + 1);
        else if (sk_X509_push(others, cert) <= 0) {
            X509_free(cert);
            rc = err_set(e, E_NOMEM, "no memory for certificates");
        }
    }
    if (rc == 0 && X509_STORE_CTX_init(ctx, r->store, leaf, others) != 1)
        rc = crypto_fail(e, E_NOMEM, "no memory for certificates");
    if (rc == 0) {
        X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
        X509_VERIFY_PARAM_set_time(param, (time_t)(now_ms / 1000));
        X509_VERIFY_PARAM_set_auth_level(param, AUTH_LEVEL);
        (void)X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN);
        if (X509_verify_cert(ctx) != 1)
            rc = refuse(ctx, now_ms, e);
    }
    X509_STORE_CTX_free(ctx);
    sk_X509_pop_free(others, X509_free);
    ERR_clear_error();
    return rc;
}
