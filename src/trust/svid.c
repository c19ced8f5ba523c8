// svid.c: trust bundles, X.509-SVIDs, and texts that an authority sealed.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "crypto/base64url.h"
#include "text/json.h"
#include "trust/svid_priv.h"
#include <string.h>

// ---- bundles ----

// What a signing certificate must be (X509-SVID, sections 4.1 and 4.3), in a bundle or a chain.
static int signing_check(const struct x509_info *info, const char *domain, struct err *e)
{
    struct spiffe_id id;
    if (!info->ca)
        return err_set(e, E_SECURITY, "an authority's certificate lacks the CA flag");
    if (info->has_usage && !(info->usage & X509_USE_CERT_SIGN))
        return err_set(e, E_SECURITY, "an authority's certificate lacks key usage keyCertSign");
    if (!info->has_usage)
        return err_set(e, E_SECURITY, "an authority's certificate says no key usage");
    if (info->uri_count == 0)
        return 0;
    if (info->uri_count > 1)
        return err_set(e, E_SECURITY, "an authority's certificate has %d URI names",
                       info->uri_count);
    if (spiffe_parse(&id, bytes_of(info->uri), e) != 0) {
        (void)err_wrap(e, "an authority's certificate");
        return err_set(e, E_SECURITY, "an authority's certificate has no SPIFFE ID as its URI");
    }
    if (id.path.n > 0)
        return err_set(e, E_SECURITY, "an authority's SPIFFE ID has a path");
    if (!bytes_is(id.domain, domain))
        return err_set(e, E_SECURITY, "an authority of the foreign trust domain %.*s",
                       BYTES_FMT(id.domain));
    return 0;
}

static int bundle_add(struct spiffe_bundle *b, struct bytes der, struct err *e)
{
    struct x509_info info;
    struct err ignored;
    if (b->count == X509_ROOTS_MAX)
        return err_set(e, E_INVALID, "more than %d authorities", X509_ROOTS_MAX);
    struct spiffe_authority *a = &b->list[b->count++];
    buf_init(&a->der, X509_DER_MAX);
    int rc = x509_info(der, &info, e);
    if (rc == 0)
        rc = signing_check(&info, b->domain, e);
    if (rc == 0 && buf_put(&a->der, der) != 0)
        rc = err_set(e, a->der.failed, "a certificate is too long");
    if (rc != 0)
        return rc;
    memcpy(a->hash, info.key_hash, sizeof a->hash);
    rc = x509_key(der, &a->key, &ignored);
    return rc == E_NOMEM ? err_set(e, rc, "no memory for a trust bundle") : 0;
}

static int bundle_fill(struct spiffe_bundle *b, struct bytes pem, struct err *e)
{
    struct buf der;
    struct bytes list[X509_ROOTS_MAX];
    int rc;
    buf_init(&der, X509_DER_MAX);
    while ((rc = x509_pem_next(&pem, "CERTIFICATE", &der, e)) == 1)
        if ((rc = bundle_add(b, buf_bytes(&der), e)) != 0)
            break;
    buf_fini(&der);
    for (int i = 0; i < b->count; i++)
        list[i] = buf_bytes(&b->list[i].der);
    return rc == 0 ? x509_roots_new(&b->roots, list, b->count, e) : rc;
}

int spiffe_bundle_open(struct spiffe_bundle **ret, struct bytes domain, struct bytes pem,
                       struct err *e)
{
    int rc = spiffe_domain_check(domain, e);
    if (rc != 0)
        return rc;
    struct spiffe_bundle *b = mem_new(struct spiffe_bundle);
    if (!b)
        return err_set(e, E_NOMEM, "no memory for a trust bundle");
    memcpy(b->domain, domain.p, domain.n);
    rc = bundle_fill(b, pem, e);
    if (rc != 0) {
        spiffe_bundle_free(b);
        (void)err_wrap(e, "trust bundle");
        return rc;
    }
    *ret = b;
    return 0;
}

void spiffe_bundle_free(struct spiffe_bundle *b)
{
    for (int i = 0; b && i < b->count; i++) {
        crypto_key_free(b->list[i].key);
        buf_fini(&b->list[i].der);
    }
    if (b)
        x509_roots_free(b->roots);
    mem_free(b);
}

const char *spiffe_bundle_domain(const struct spiffe_bundle *b)
{
    return b->domain;
}

bool spiffe_bundle_has(const struct spiffe_bundle *b, const uint8_t key_hash[32])
{
    for (int i = 0; i < b->count; i++)
        if (memcmp(b->list[i].hash, key_hash, SHA256_LEN) == 0)
            return true;
    return false;
}

// ---- X.509-SVID ----

static int leaf_check(const struct spiffe_bundle *b, const struct x509_info *leaf,
                      struct spiffe_id *id, struct err *e)
{
    if (leaf->uri_count == 0)
        return err_set(e, E_SECURITY, "the certificate has no URI name");
    if (leaf->uri_count > 1)
        return err_set(e, E_SECURITY, "the certificate has %d URI names, an identity has one",
                       leaf->uri_count);
    struct err why = {0};
    if (spiffe_parse(id, bytes_of(leaf->uri), &why) != 0)
        return err_set(e, E_SECURITY, "the certificate's URI name is no SPIFFE ID: %s", why.text);
    if (id->path.n == 0)
        return err_set(e, E_SECURITY, "the certificate's SPIFFE ID has no path");
    if (!bytes_is(id->domain, b->domain))
        return err_set(e, E_SECURITY, "foreign trust domain %.*s: ours is %s",
                       BYTES_FMT(id->domain), b->domain);
    if (leaf->ca)
        return err_set(e, E_SECURITY, "the certificate is an authority's (CA), not an identity's");
    if (!leaf->has_usage || !(leaf->usage & X509_USE_SIGN))
        return err_set(e, E_SECURITY, "the certificate lacks key usage digitalSignature");
    if (leaf->usage & X509_USE_CERT_SIGN)
        return err_set(e, E_SECURITY, "the certificate has key usage keyCertSign");
    if (leaf->usage & X509_USE_CRL_SIGN)
        return err_set(e, E_SECURITY, "the certificate has key usage cRLSign");
    if (leaf->has_extended && (!leaf->server || !leaf->client))
        return err_set(e, E_SECURITY,
                       "the certificate's extended usage lacks server or client authentication");
    return 0;
}

int spiffe_x509_check(const struct spiffe_bundle *b, const struct bytes *der, int count,
                      int64_t wall_ms, char *ret_id, uint64_t *ret_epoch, struct err *e)
{
    struct x509_info leaf, info;
    struct spiffe_id id = {0};
    if (count < 1)
        return err_set(e, E_SECURITY, "no certificate was shown");
    if (count > X509_CHAIN_MAX)
        return err_set(e, E_SECURITY, "%d certificates were shown, at most %d are taken", count,
                       X509_CHAIN_MAX);
    int rc = x509_info(der[0], &leaf, e);
    if (rc == 0)
        rc = leaf_check(b, &leaf, &id, e);
    for (int i = 1; rc == 0 && i < count; i++) {
        rc = x509_info(der[i], &info, e);
        if (rc == 0)
            rc = signing_check(&info, b->domain, e);
    }
    if (rc == 0)
        rc = x509_chain(b->roots, der, count, wall_ms, e);
    if (rc != 0)
        return rc;
    memcpy(ret_id, id.text.p, id.text.n);
    ret_id[id.text.n] = 0;
    *ret_epoch = leaf.epoch;
    return 0;
}

// ---- sealed texts ----

static int sealed_text(const char *purpose, struct bytes first, struct buf *ret)
{
    (void)buf_fmt(ret, "plexus %s 1\n", purpose);
    return buf_put(ret, first);
}

int spiffe_seal(const struct crypto_key *k, const char *purpose, struct bytes payload,
                struct buf *out, struct err *e)
{
    uint8_t sign[CRYPTO_SIGN_LEN];
    struct buf text;
    size_t before = out->n;
    buf_init(&text, out->max);
    int rc = base64url_put(out, payload);
    if (rc == 0)
        rc = sealed_text(purpose, bytes_from(buf_bytes(out), before), &text);
    rc = rc == 0 ? crypto_key_sign(k, buf_bytes(&text), sign, e)
                 : err_set(e, rc, "no room for a %s", purpose);
    if (rc == 0) {
        (void)buf_chr(out, '.');
        rc = base64url_put(out, (struct bytes){(const char *)sign, sizeof sign});
        rc = rc == 0 ? 0 : err_set(e, rc, "no room for a %s", purpose);
    }
    buf_fini(&text);
    return rc;
}

static bool sealed_by(const struct spiffe_bundle *b, struct bytes text, struct bytes sign)
{
    for (int i = 0; i < b->count; i++)
        if (b->list[i].key && !crypto_key_is_rsa(b->list[i].key) &&
            crypto_key_verify(b->list[i].key, text, sign))
            return true;
    return false;
}

int spiffe_sealed_open(const struct spiffe_bundle *b, const char *purpose, struct bytes text,
                       struct buf *ret_payload, struct err *e)
{
    struct bytes sign = text, first = bytes_cut(&sign, '.');
    struct buf whole, raw;
    buf_init(&whole, text.n + 64);
    buf_init(&raw, text.n + 1);
    int rc = 0;
    if (first.n == 0 || base64url_parse(&raw, sign) != 0 ||
        base64url_parse(ret_payload, first) != 0)
        rc = err_set(e, E_PARSE, "not the text of a %s", purpose);
    else if (sealed_text(purpose, first, &whole) != 0)
        rc = err_set(e, E_NOMEM, "no memory for a %s", purpose);
    else if (!sealed_by(b, buf_bytes(&whole), buf_bytes(&raw)))
        rc = err_set(e, E_SECURITY, "the %s is not signed by the authority of %s", purpose,
                     b->domain);
    buf_fini(&whole);
    buf_fini(&raw);
    return rc;
}
