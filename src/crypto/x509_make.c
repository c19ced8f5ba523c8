// x509_make.c: requests, authorities and certificates are made.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "base/rng.h"
#include "crypto/crypto_priv.h"
#include "crypto/hash.h"
#include "crypto/x509.h"
#include <openssl/x509v3.h>
#include <string.h>

#define FIXED_EXTENSIONS 4

struct x509_signer {
    EVP_PKEY *key;
    X509 *ca;
    X509_NAME *subject; // of every leaf
    X509_EXTENSION *fixed[FIXED_EXTENSIONS];
};

// ---- requests ----

static int put_der(struct buf *out, int n, uint8_t *der, struct err *e)
{
    if (n <= 0)
        return crypto_fail(e, E_INTERNAL, "certificate: encoding");
    int rc = buf_add(out, der, (size_t)n);
    OPENSSL_free(der);
    return rc == 0 ? 0 : err_set(e, rc, "certificate: the buffer is too small");
}

int x509_csr_make(const struct crypto_key *k, struct buf *out_der, struct err *e)
{
    uint8_t *der = NULL;
    OSSL_AUTO(X509_REQ) req = X509_REQ_new();
    if (!req || X509_REQ_set_version(req, X509_REQ_VERSION_1) != 1 ||
        X509_REQ_set_pubkey(req, k->pkey) != 1 || X509_REQ_sign(req, k->pkey, EVP_sha256()) <= 0)
        return crypto_fail(e, E_INTERNAL, "certificate request");
    int n = i2d_X509_REQ(req, &der);
    return put_der(out_der, n, der, e);
}

int x509_csr_open(struct bytes der, struct crypto_key **ret_public, struct err *e)
{
    const uint8_t *at = (const uint8_t *)der.p;
    if (der.n == 0 || der.n > X509_DER_MAX)
        return err_set(e, E_PARSE, "certificate request: expected 1 to %d bytes", X509_DER_MAX);
    OSSL_AUTO(X509_REQ) req = d2i_X509_REQ(NULL, &at, (long)der.n);
    if (!req || at != (const uint8_t *)der.p + der.n)
        return crypto_fail(e, E_PARSE, "certificate request: not one in DER");
    struct crypto_key *key = NULL;
    EVP_PKEY *pkey = X509_REQ_get_pubkey(req);
    if (!pkey)
        return crypto_fail(e, E_PARSE, "certificate request: no public key");
    int rc = crypto_key_wrap(&key, pkey, e);
    if (rc == 0 && key->rsa)
        rc = err_set(e, E_UNSUPPORTED, "key: expected P-256");
    if (rc == 0 && X509_REQ_verify(req, key->pkey) != 1)
        rc = crypto_fail(e, E_SECURITY, "not signed by the key that it names");
    if (rc != 0) {
        crypto_key_free(key);
        (void)err_wrap(e, "certificate request");
        return rc;
    }
    *ret_public = key;
    return 0;
}

// ---- parts of certificates ----

static X509_NAME *subject_new(const char *common)
{
    X509_NAME *name = X509_NAME_new();
    const uint8_t organisation[] = "plexus";
    if (name &&
        X509_NAME_add_entry_by_NID(name, NID_organizationName, MBSTRING_UTF8, organisation,
                                   sizeof organisation - 1, -1, 0) == 1 &&
        (!common || X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8,
                                               (const uint8_t *)common, -1, -1, 0) == 1))
        return name;
    X509_NAME_free(name);
    return NULL;
}

static bool add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool good = ext && X509_add_ext(cert, ext, -1) == 1;
    X509_EXTENSION_free(ext);
    return good;
}

// A SAN of exactly this URI: not through a configuration text, whose commas would mean something.
static bool add_uri(X509 *cert, const char *uri)
{
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    GENERAL_NAME *name = names ? GENERAL_NAME_new() : NULL;
    ASN1_IA5STRING *text = name ? ASN1_IA5STRING_new() : NULL;
    bool good = text && ASN1_STRING_set(text, uri, (int)strlen(uri)) == 1;
    if (good)
        GENERAL_NAME_set0_value(name, GEN_URI, text); // takes text
    else
        ASN1_IA5STRING_free(text);
    if (good && sk_GENERAL_NAME_push(names, name) > 0)
        name = NULL;
    else
        good = false;
    good = good && X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) == 1;
    GENERAL_NAME_free(name);
    GENERAL_NAMES_free(names);
    return good;
}

// 16 bytes: the epoch, then random ones. Positive and never zero (RFC 5280, section 4.1.2.2).
static bool set_serial(X509 *cert, uint64_t epoch)
{
    uint8_t serial[16];
    rng_bytes(serial, sizeof serial);
    for (int i = 0; i < 8; i++)
        serial[i] = (uint8_t)(epoch >> (56 - 8 * i));
    serial[15] |= 1;
    BIGNUM *number = BN_bin2bn(serial, sizeof serial, NULL);
    bool good = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL;
    BN_free(number);
    return good;
}

static bool set_head(X509 *cert, uint64_t epoch, int64_t not_before_ms, int64_t not_after_ms)
{
    return X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert, epoch) &&
           ASN1_TIME_set(X509_getm_notBefore(cert), (time_t)(not_before_ms / 1000)) &&
           ASN1_TIME_set(X509_getm_notAfter(cert), (time_t)(not_after_ms / 1000));
}

// ---- the authority ----

int x509_authority(const struct crypto_key *k, const char *uri, int64_t not_before_ms,
                   int64_t not_after_ms, struct buf *out_der, struct err *e)
{
    uint8_t hash[SHA256_LEN], *der = NULL;
    char common[32 + SHA256_LEN] = "authority "; // two authorities never have one name
    int rc = crypto_key_hash(k, hash, e);
    if (rc != 0)
        return rc;
    crypto_hex(hash, 8, common + strlen(common));
    OSSL_AUTO(X509) cert = X509_new();
    X509_NAME *name = subject_new(common);
    bool good = cert && name && set_head(cert, 0, not_before_ms, not_after_ms) &&
                X509_set_subject_name(cert, name) == 1 && X509_set_issuer_name(cert, name) == 1 &&
                X509_set_pubkey(cert, k->pkey) == 1 &&
                add_extension(cert, cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
                add_extension(cert, cert, NID_key_usage, "critical,keyCertSign,cRLSign") &&
                add_extension(cert, cert, NID_subject_key_identifier, "hash") &&
                add_uri(cert, uri) && X509_sign(cert, k->pkey, EVP_sha256()) > 0;
    X509_NAME_free(name);
    if (!good)
        return crypto_fail(e, E_INTERNAL, "making an authority's certificate");
    int n = i2d_X509(cert, &der);
    return put_der(out_der, n, der, e);
}

static bool signer_fill(struct x509_signer *s)
{
    static const struct {
        int nid;
        const char *value;
    } rows[FIXED_EXTENSIONS] = {
        {NID_basic_constraints, "critical,CA:FALSE"},
        {NID_key_usage, "critical,digitalSignature,keyAgreement"},
        {NID_ext_key_usage, "serverAuth,clientAuth"},
        {NID_authority_key_identifier, "keyid:always"},
    };
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, s->ca, NULL, NULL, NULL, 0);
    for (int i = 0; i < FIXED_EXTENSIONS; i++) {
        s->fixed[i] = X509V3_EXT_conf_nid(NULL, &ctx, rows[i].nid, rows[i].value);
        if (!s->fixed[i])
            return false;
    }
    s->subject = subject_new(NULL);
    return s->subject != NULL;
}

int x509_signer_new(struct x509_signer **ret, const struct crypto_key *k, struct bytes ca_der,
                    struct err *e)
{
    struct x509_signer *s = mem_new(struct x509_signer);
    if (!s)
        return err_set(e, E_NOMEM, "no memory for an authority");
    int rc = 0;
    s->ca = crypto_x509(ca_der);
    if (!s->ca)
        rc = err_set(e, E_PARSE, "authority: not a certificate");
    else if (X509_check_private_key(s->ca, k->pkey) != 1)
        rc = crypto_fail(e, E_INVALID, "authority: key and certificate do not belong together");
    else if (EVP_PKEY_up_ref(k->pkey) == 1 && (s->key = k->pkey) && !signer_fill(s))
        rc = crypto_fail(e, E_INTERNAL, "authority");
    if (rc != 0) {
        x509_signer_free(s);
        return rc;
    }
    *ret = s;
    return 0;
}

void x509_signer_free(struct x509_signer *s)
{
    if (!s)
        return;
    EVP_PKEY_free(s->key);
    X509_free(s->ca);
    X509_NAME_free(s->subject);
    for (int i = 0; i < FIXED_EXTENSIONS; i++)
        X509_EXTENSION_free(s->fixed[i]);
    mem_free(s);
}

int x509_issue(const struct x509_signer *s, const struct x509_issue_args *args, struct buf *out_der,
               struct err *e)
{
    uint8_t *der = NULL;
    if (args->epoch > INT64_MAX)
        return err_set(e, E_INVALID, "certificate: epoch %llu is too large",
                       (unsigned long long)args->epoch);
    OSSL_AUTO(X509) cert = X509_new();
    bool good = cert && set_head(cert, args->epoch, args->not_before_ms, args->not_after_ms) &&
                X509_set_subject_name(cert, s->subject) == 1 &&
                X509_set_issuer_name(cert, X509_get_subject_name(s->ca)) == 1 &&
                X509_set_pubkey(cert, args->key->pkey) == 1;
    for (int i = 0; good && i < FIXED_EXTENSIONS; i++)
        good = X509_add_ext(cert, s->fixed[i], -1) == 1; // copies
    if (!good || !add_uri(cert, args->uri) || X509_sign(cert, s->key, EVP_sha256()) <= 0)
        return crypto_fail(e, E_INTERNAL, "making a certificate");
    int n = i2d_X509(cert, &der);
    return put_der(out_der, n, der, e);
}
