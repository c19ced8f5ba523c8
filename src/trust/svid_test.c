// svid_test.c: X.509-SVIDs: the certificates of the standard's Go library, made anew here, and more
// that are wrong.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "crypto/base64url.h"
#include "crypto/x509_rig.h"
#include "text/json.h"
#include "trust/svid.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DOMAIN "example.org"
#define ID "spiffe://" DOMAIN "/workload-1"

static struct buf made(void)
{
    struct buf b;
    buf_init(&b, 64 * 1024);
    return b;
}

static struct rig_cert signing(const struct rig_cert *issuer, const char *uri, const char *basic,
                               const char *usage)
{
    return rig_make(&(struct rig_args){
        .name = "middle", .uris = {uri}, .basic = basic, .usage = usage, .issuer = issuer});
}

#define CA "critical,CA:TRUE"
#define CERT_SIGN "critical,keyCertSign"

static struct spiffe_bundle *bundle(const struct rig_cert *root)
{
    struct buf pem = made();
    struct spiffe_bundle *b = NULL;
    struct err e = {0};
    rig_pem(root, &pem);
    if (spiffe_bundle_open(&b, BYTES(DOMAIN), buf_bytes(&pem), &e) != 0)
        fail_msg("%s", e.text);
    buf_fini(&pem);
    return b;
}

static int check(const struct spiffe_bundle *b, const struct rig_cert *leaf,
                 const struct rig_cert *through, int64_t now, char *id, uint64_t *epoch,
                 struct err *e)
{
    struct buf x = made(), y = made();
    rig_der(leaf, &x);
    if (through)
        rig_der(through, &y);
    struct bytes chain[2] = {buf_bytes(&x), buf_bytes(&y)};
    int rc = spiffe_x509_check(b, chain, through ? 2 : 1, now, id, epoch, e);
    buf_fini(&x);
    buf_fini(&y);
    return rc;
}

static void test_leaves(void **state)
{
    (void)state;
    struct rig_cert root = rig_authority("root", "spiffe://" DOMAIN);
    struct rig_cert foreign = rig_authority("foreign", "spiffe://other.org");
    struct {
        struct rig_args args;
        const char *why; // NULL: good
    } rows[] = {
        {{.uris = {ID}, .issuer = &root}, NULL},
        {{.uris = {ID}, .extended = "serverAuth,clientAuth", .issuer = &root}, NULL},
        {{.uris = {ID}, .usage = "digitalSignature,keyEncipherment,keyAgreement", .issuer = &root},
         NULL},
        {{.uris = {ID}, .dns = "workload-1.example", .issuer = &root}, NULL},
        {{.uris = {ID}, .basic = RIG_NO_EXTENSION, .issuer = &root}, NULL},
        {{.uris = {ID}, .key = EVP_RSA_gen(2048), .issuer = &root}, NULL},
        {{.uris = {ID}, .key = EVP_EC_gen("P-384"), .issuer = &root}, NULL},
        // the Go library's wrong ones
        {{.uris = {ID}, .basic = CA, .issuer = &root}, "an authority's (CA)"},
        {{.uris = {ID}, .usage = "critical,digitalSignature,keyCertSign", .issuer = &root},
         "keyCertSign"},
        {{.uris = {ID}, .usage = "critical,digitalSignature,cRLSign", .issuer = &root}, "cRLSign"},
        {{.uris = {""}, .issuer = &root}, "no SPIFFE ID: a SPIFFE ID is never empty"},
        {{.uris = {ID}, .usage = "critical,keyAgreement", .issuer = &root}, "digitalSignature"},
        {{.uris = {ID, "spiffe://" DOMAIN "/workload-2"}, .issuer = &root}, "2 URI names"},
        // more
        {{.uris = {ID}, .usage = RIG_NO_EXTENSION, .issuer = &root}, "digitalSignature"},
        {{.uris = {NULL}, .issuer = &root}, "no URI name"},
        {{.uris = {NULL}, .dns = "workload-1.example", .issuer = &root}, "no URI name"},
        {{.uris = {ID, "https://example.org"}, .issuer = &root}, "2 URI names"},
        {{.uris = {"https://example.org/workload-1"}, .issuer = &root}, "no SPIFFE ID"},
        {{.uris = {"spiffe://example.org/%61"}, .issuer = &root}, "no SPIFFE ID"},
        {{.uris = {"spiffe://" DOMAIN}, .issuer = &root}, "no path"},
        {{.uris = {"spiffe://other.org/x"}, .issuer = &root}, "foreign trust domain other.org"},
        {{.uris = {"spiffe://other.org/x"}, .issuer = &foreign}, "foreign trust domain other.org"},
        {{.uris = {ID}, .issuer = &foreign}, "authority that is not ours"},
        {{.uris = {ID}, .name = "me"}, "self-signed"},
        {{.uris = {ID}, .extended = "clientAuth", .issuer = &root}, "lacks server or client"},
        {{.uris = {ID}, .extended = "serverAuth", .issuer = &root}, "lacks server or client"},
        {{.uris = {ID}, .extended = "codeSigning", .issuer = &root}, "lacks server or client"},
        {{.uris = {ID},
          .issuer = &root,
          .not_before_ms = RIG_NOW_MS - 2 * RIG_HOUR_MS,
          .not_after_ms = RIG_NOW_MS - RIG_HOUR_MS},
         "expired at 2027-01-15T07:00:00"},
        {{.uris = {ID},
          .issuer = &root,
          .not_before_ms = RIG_NOW_MS + RIG_HOUR_MS,
          .not_after_ms = RIG_NOW_MS + 2 * RIG_HOUR_MS},
         "is not valid before 2027-01-15T09:00:00.000Z: is a clock wrong?"},
    };
    struct spiffe_bundle *b = bundle(&root);
    assert_string_equal(spiffe_bundle_domain(b), DOMAIN);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig_cert leaf = rig_make(&rows[i].args);
        struct err e = {0};
        char id[SPIFFE_ID_MAX + 1] = "";
        uint64_t epoch = 9;
        int rc = check(b, &leaf, NULL, RIG_NOW_MS, id, &epoch, &e);
        if (rc != (rows[i].why ? E_SECURITY : 0) || (rows[i].why && !strstr(e.text, rows[i].why)))
            fail_msg("row %zu: %d \"%s\", expected \"%s\"", i, rc, e.text,
                     rows[i].why ? rows[i].why : "");
        assert_string_equal(id, rows[i].why ? "" : ID);
        assert_int_equal(epoch, rows[i].why ? 9 : 0);
        rig_free(&leaf);
    }
    spiffe_bundle_free(b);
    rig_free(&root);
    rig_free(&foreign);
}

static void test_middles(void **state)
{
    (void)state;
    struct rig_cert root = rig_authority("root", "spiffe://" DOMAIN);
    struct {
        const char *uri, *basic, *usage, *why;
    } rows[] = {
        {NULL, CA, CERT_SIGN, NULL},
        {"spiffe://" DOMAIN, CA, CERT_SIGN, NULL},
        {NULL, CA, "critical,digitalSignature,keyCertSign,cRLSign", NULL},
        {NULL, "critical,CA:FALSE", CERT_SIGN, "lacks the CA flag"},
        {NULL, RIG_NO_EXTENSION, CERT_SIGN, "lacks the CA flag"},
        {NULL, CA, "critical,cRLSign", "lacks key usage keyCertSign"},
        {NULL, CA, RIG_NO_EXTENSION, "no key usage"},
        {"spiffe://" DOMAIN "/path", CA, CERT_SIGN, "has a path"},
        {"spiffe://other.org", CA, CERT_SIGN, "foreign trust domain other.org"},
        {"https://example.org", CA, CERT_SIGN, "no SPIFFE ID"},
    };
    struct spiffe_bundle *b = bundle(&root);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig_cert middle = signing(&root, rows[i].uri, rows[i].basic, rows[i].usage);
        struct rig_cert leaf =
            rig_make(&(struct rig_args){.uris = {ID}, .issuer = &middle, .serial = "05"});
        struct err e = {0};
        char id[SPIFFE_ID_MAX + 1] = "";
        uint64_t epoch = 9;
        int rc = check(b, &leaf, &middle, RIG_NOW_MS, id, &epoch, &e);
        if (rc != (rows[i].why ? E_SECURITY : 0) || (rows[i].why && !strstr(e.text, rows[i].why)))
            fail_msg("row %zu: %d \"%s\", expected \"%s\"", i, rc, e.text,
                     rows[i].why ? rows[i].why : "");
        assert_int_equal(check(b, &leaf, NULL, RIG_NOW_MS, id, &epoch, &e), E_SECURITY);
        rig_free(&leaf);
        rig_free(&middle);
    }
    struct err e = {0};
    char id[SPIFFE_ID_MAX + 1];
    uint64_t epoch;
    struct bytes junk[X509_CHAIN_MAX + 1] = {BYTES("junk")};
    assert_int_equal(spiffe_x509_check(b, junk, 1, RIG_NOW_MS, id, &epoch, &e), E_PARSE);
    assert_int_equal(spiffe_x509_check(b, junk, 0, RIG_NOW_MS, id, &epoch, &e), E_SECURITY);
    assert_int_equal(spiffe_x509_check(b, junk, X509_CHAIN_MAX + 1, RIG_NOW_MS, id, &epoch, &e),
                     E_SECURITY);
    spiffe_bundle_free(b);
    rig_free(&root);
}

static int open_bundle(struct bytes pem, struct err *e)
{
    struct spiffe_bundle *b = NULL;
    int rc = spiffe_bundle_open(&b, BYTES(DOMAIN), pem, e);
    spiffe_bundle_free(b);
    return rc;
}

static void test_bundles(void **state)
{
    (void)state;
    struct rig_cert root = rig_authority("root", "spiffe://" DOMAIN);
    struct rig_cert second = rig_authority("second", "spiffe://" DOMAIN);
    struct rig_cert odd = rig_make(&(struct rig_args){
        .name = "odd", .basic = CA, .usage = CERT_SIGN, .key = EVP_EC_gen("P-384")});
    struct rig_cert foreign = rig_authority("foreign", "spiffe://other.org");
    struct rig_cert leaf = rig_make(&(struct rig_args){.uris = {ID}, .issuer = &root});
    struct rig_cert of_odd = rig_make(&(struct rig_args){.uris = {ID}, .issuer = &odd});
    struct buf pem = made();
    struct err e = {0};
    assert_int_equal(open_bundle(BYTES(""), &e), E_INVALID);
    assert_int_equal(open_bundle(BYTES("no PEM"), &e), E_INVALID);
    rig_pem(&root, &pem);
    rig_pem(&second, &pem);
    rig_pem(&odd, &pem); // a key that we do not sign with is fine in a bundle
    struct spiffe_bundle *b = NULL;
    assert_int_equal(spiffe_bundle_open(&b, BYTES(DOMAIN), buf_bytes(&pem), NULL), 0);
    char id[SPIFFE_ID_MAX + 1];
    uint64_t epoch;
    assert_int_equal(check(b, &leaf, NULL, RIG_NOW_MS, id, &epoch, NULL), 0);
    assert_int_equal(check(b, &of_odd, NULL, RIG_NOW_MS, id, &epoch, NULL), 0);

    struct buf der = made(), jwks = made();
    struct x509_info info;
    rig_der(&second, &der);
    assert_int_equal(x509_info(buf_bytes(&der), &info, NULL), 0);
    assert_true(spiffe_bundle_has(b, info.key_hash));
    info.key_hash[0] ^= 1;
    assert_false(spiffe_bundle_has(b, info.key_hash));

    assert_int_equal(spiffe_bundle_jwks(b, 7, &jwks), 0);
    struct json_doc *doc = NULL;
    assert_int_equal(json_parse(&doc, buf_bytes(&jwks), JSON_UNIQUE, &e), 0);
    const struct json *keys = json_get(json_root(doc), "keys"), *key = json_at(keys, 2);
    assert_int_equal(json_len(keys), 4); // two of each P-256 authority
    assert_int_equal(json_i64(json_get(json_root(doc), "spiffe_sequence"), 0), 7);
    assert_string_equal(json_cstr(json_get(key, "use"), ""), "x509-svid");
    assert_string_equal(json_cstr(json_get(json_at(keys, 3), "use"), ""), "jwt-svid");
    assert_string_equal(json_cstr(json_get(key, "kty"), ""), "EC");
    char frame[32 * 1024]; // x5c is the certificate
    (void)snprintf(frame, sizeof frame, "%s", json_cstr(json_at(json_get(key, "x5c"), 0), ""));
    unsigned char raw[16 * 1024];
    int n = EVP_DecodeBlock(raw, (unsigned char *)frame, (int)strlen(frame));
    assert_true(n >= (int)der.n && n < (int)der.n + 3);
    assert_memory_equal(raw, der.p, der.n);
    struct crypto_key *jwk = NULL, *right = NULL; // x and y are its key
    struct buf x = made(), y = made();
    assert_int_equal(base64url_parse(&x, json_str(json_get(key, "x"))), 0);
    assert_int_equal(base64url_parse(&y, json_str(json_get(key, "y"))), 0);
    assert_int_equal(crypto_key_ec(&jwk, buf_bytes(&x), buf_bytes(&y), NULL), 0);
    assert_int_equal(x509_key(buf_bytes(&der), &right, NULL), 0);
    assert_true(crypto_key_same(jwk, right));
    crypto_key_free(jwk);
    crypto_key_free(right);
    json_free(doc);
    spiffe_bundle_free(b);

    pem.p[300] = '*'; // corrupt PEM
    assert_int_equal(open_bundle(buf_bytes(&pem), &e), E_PARSE);
    buf_clear(&pem);
    rig_pem(&foreign, &pem);
    assert_int_equal(open_bundle(buf_bytes(&pem), &e), E_SECURITY);
    assert_non_null(strstr(e.text, "other.org"));
    buf_clear(&pem);
    rig_pem(&leaf, &pem);
    assert_int_equal(open_bundle(buf_bytes(&pem), &e), E_SECURITY);
    buf_clear(&pem);
    for (int i = 0; i <= X509_ROOTS_MAX; i++)
        rig_pem(&root, &pem);
    assert_int_equal(open_bundle(buf_bytes(&pem), &e), E_INVALID);
    assert_int_equal(spiffe_bundle_open(&b, BYTES("Bad"), buf_bytes(&pem), &e), E_INVALID);
    buf_fini(&pem);
    buf_fini(&der);
    buf_fini(&jwks);
    buf_fini(&x);
    buf_fini(&y);
    rig_free(&root);
    rig_free(&second);
    rig_free(&odd);
    rig_free(&foreign);
    rig_free(&leaf);
    rig_free(&of_odd);
}

static void test_sealed(void **state)
{
    (void)state;
    struct rig_cert root = rig_authority("root", NULL);
    struct buf pem = made(), text = made(), back = made();
    struct crypto_key *key = NULL, *other = NULL;
    struct err e = {0};
    rig_key_pem(root.key, &pem);
    assert_int_equal(crypto_key_open(&key, buf_bytes(&pem), NULL), 0);
    assert_int_equal(crypto_key_make(&other, NULL), 0);
    struct spiffe_bundle *b = bundle(&root);
    assert_int_equal(spiffe_seal(key, "grant", BYTES("{\"a\":1}"), &text, NULL), 0);
    assert_int_equal(spiffe_sealed_open(b, "grant", buf_bytes(&text), &back, NULL), 0);
    assert_string_equal(buf_cstr(&back), "{\"a\":1}");
    assert_int_equal(spiffe_sealed_open(b, "removal", buf_bytes(&text), &back, &e), E_SECURITY);
    for (size_t i = 0; i < text.n; i++) { // no character can be changed
        char c = text.p[i];
        text.p[i] = c == 'A' ? 'B' : 'A';
        int rc = spiffe_sealed_open(b, "grant", buf_bytes(&text), &back, &e);
        assert_true(rc == E_SECURITY || rc == E_PARSE);
        text.p[i] = c;
    }
    for (size_t n = 0; n < text.n; n++)
        assert_int_not_equal(
            spiffe_sealed_open(b, "grant", bytes_first(buf_bytes(&text), n), &back, &e), 0);
    buf_clear(&text);
    assert_int_equal(spiffe_seal(other, "grant", BYTES("{}"), &text, NULL), 0);
    assert_int_equal(spiffe_sealed_open(b, "grant", buf_bytes(&text), &back, &e), E_SECURITY);
    struct buf small;
    buf_init(&small, 20);
    assert_int_equal(spiffe_seal(key, "grant", BYTES("{}"), &small, &e), E_TOOBIG);
    buf_fini(&small);
    crypto_key_free(key);
    crypto_key_free(other);
    spiffe_bundle_free(b);
    buf_fini(&pem);
    buf_fini(&text);
    buf_fini(&back);
    rig_free(&root);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_leaves),
        cmocka_unit_test(test_middles),
        cmocka_unit_test(test_bundles),
        cmocka_unit_test(test_sealed),
    };
    return cmocka_run_group_tests_name("X.509-SVIDs", tests, NULL, NULL);
}
