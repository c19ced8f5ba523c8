// x509_rig.h: for tests: certificates of any kind, also such as x509.h would never make, by
// OpenSSL. SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_CRYPTO_X509_RIG_H
#define PLEXUS_CRYPTO_X509_RIG_H

#include "base/buf.h"
#include <assert.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>

#define RIG_NOW_MS 1800000000000LL // 2027-01-15T08:00:00Z
#define RIG_HOUR_MS 3600000LL
#define RIG_NO_EXTENSION "-"

struct rig_cert {
    EVP_PKEY *key;
    X509 *cert;
};
struct rig_args {
    const char *name;              // common name; NULL: no subject
    const char *uris[3];           // URI SANs; none: no SAN at all
    const char *dns;               // a DNS SAN as well
    const char *basic;             // NULL: "critical,CA:FALSE"; RIG_NO_EXTENSION
    const char *usage;             // NULL: "critical,digitalSignature"; RIG_NO_EXTENSION
    const char *extended;          // NULL: none
    const char *unknown;           // OID of a critical extension that nobody knows
    int64_t not_before_ms, not_after_ms; // 0: an hour around RIG_NOW_MS
    const struct rig_cert *issuer; // NULL: itself
    EVP_PKEY *key;                 // NULL: a new P-256 one; else taken
    const EVP_MD *digest;          // NULL: SHA-256
    const char *serial;            // hex; NULL: 1
};

static inline void rig_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    if (!value || strcmp(value, RIG_NO_EXTENSION) == 0)
        return;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert(ext);
    assert(X509_add_ext(cert, ext, -1) == 1);
    X509_EXTENSION_free(ext);
}

static inline void rig_names(X509 *cert, const struct rig_args *args)
{
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    for (int i = 0; i < 4; i++) {
        const char *text = i < 3 ? args->uris[i] : args->dns;
        if (!text)
            continue;
        GENERAL_NAME *name = GENERAL_NAME_new();
        ASN1_IA5STRING *value = ASN1_IA5STRING_new();
        assert(ASN1_STRING_set(value, text, -1) == 1);
        GENERAL_NAME_set0_value(name, i < 3 ? GEN_URI : GEN_DNS, value);
        assert(sk_GENERAL_NAME_push(names, name) > 0);
    }
    if (sk_GENERAL_NAME_num(names) > 0)
        assert(X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, 0) == 1);
    GENERAL_NAMES_free(names);
}

static inline void rig_unknown(X509 *cert, const char *oid)
{
    if (!oid)
        return;
    ASN1_OBJECT *object = OBJ_txt2obj(oid, 1);
    ASN1_OCTET_STRING *data = ASN1_OCTET_STRING_new();
    assert(ASN1_OCTET_STRING_set(data, (const unsigned char *)"\x05", 2) == 1); // NULL
    X509_EXTENSION *ext = X509_EXTENSION_create_by_OBJ(NULL, object, 1, data);
    assert(X509_add_ext(cert, ext, -1) == 1);
    X509_EXTENSION_free(ext);
    ASN1_OCTET_STRING_free(data);
    ASN1_OBJECT_free(object);
}

static inline struct rig_cert rig_make(const struct rig_args *args)
{
    struct rig_cert r = {args->key ? args->key : EVP_EC_gen("P-256"), X509_new()};
    const struct rig_cert *issuer = args->issuer ? args->issuer : &r;
    int64_t from = args->not_before_ms ? args->not_before_ms : RIG_NOW_MS - RIG_HOUR_MS;
    int64_t to = args->not_after_ms ? args->not_after_ms : RIG_NOW_MS + RIG_HOUR_MS;
    BIGNUM *serial = NULL;
    assert(r.key && r.cert);
    assert(X509_set_version(r.cert, X509_VERSION_3) == 1);
    assert(BN_hex2bn(&serial, args->serial ? args->serial : "1") > 0);
    assert(BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(r.cert)));
    BN_free(serial);
    ASN1_TIME_set(X509_getm_notBefore(r.cert), (time_t)(from / 1000));
    ASN1_TIME_set(X509_getm_notAfter(r.cert), (time_t)(to / 1000));
    if (args->name)
        assert(X509_NAME_add_entry_by_txt(X509_get_subject_name(r.cert), "CN", MBSTRING_UTF8,
                                          (const unsigned char *)args->name, -1, -1, 0) == 1);
    assert(X509_set_issuer_name(r.cert, X509_get_subject_name(issuer->cert)) == 1);
    assert(X509_set_pubkey(r.cert, r.key) == 1);
    rig_extension(r.cert, issuer->cert, NID_basic_constraints,
                  args->basic ? args->basic : "critical,CA:FALSE");
    rig_extension(r.cert, issuer->cert, NID_key_usage,
                  args->usage ? args->usage : "critical,digitalSignature");
    rig_extension(r.cert, issuer->cert, NID_ext_key_usage, args->extended);
    rig_extension(r.cert, issuer->cert, NID_subject_key_identifier, "hash");
    rig_extension(r.cert, issuer->cert, NID_authority_key_identifier, "keyid");
    rig_names(r.cert, args);
    rig_unknown(r.cert, args->unknown);
    assert(X509_sign(r.cert, issuer->key, args->digest ? args->digest : EVP_sha256()) > 0);
    return r;
}

static inline struct rig_cert rig_authority(const char *name, const char *uri)
{
    return rig_make(&(struct rig_args){.name = name,
                                       .uris = {uri},
                                       .basic = "critical,CA:TRUE",
                                       .usage = "critical,keyCertSign,cRLSign"});
}

static inline void rig_free(struct rig_cert *r)
{
    EVP_PKEY_free(r->key);
    X509_free(r->cert);
    *r = (struct rig_cert){0};
}

static inline void rig_der(const struct rig_cert *r, struct buf *out)
{
    unsigned char *der = NULL;
    int n = i2d_X509(r->cert, &der);
    assert(n > 0);
    assert(buf_add(out, der, (size_t)n) == 0);
    OPENSSL_free(der);
}

static inline void rig_pem(const struct rig_cert *r, struct buf *out)
{
    char *text = NULL;
    BIO *bio = BIO_new(BIO_s_mem());
    assert(PEM_write_bio_X509(bio, r->cert) == 1);
    long n = BIO_get_mem_data(bio, &text);
    assert(buf_add(out, text, (size_t)n) == 0);
    BIO_free(bio);
}

// The private key as PKCS #8.
static inline void rig_key_pem(EVP_PKEY *key, struct buf *out)
{
    char *text = NULL;
    BIO *bio = BIO_new(BIO_s_mem());
    assert(PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1);
    long n = BIO_get_mem_data(bio, &text);
    assert(buf_add(out, text, (size_t)n) == 0);
    BIO_free(bio);
}

#endif
