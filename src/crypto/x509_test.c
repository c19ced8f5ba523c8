// x509_test.c: certificates made, looked at, and chains of them refused.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "crypto/hash.h"
#include "crypto/x509.h"
#include "crypto/x509_rig.h"
#include <openssl/err.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct buf made(void)
{
    struct buf b;
    buf_init(&b, 64 * 1024);
    return b;
}

static void clean(void)
{
    assert_int_equal(ERR_peek_error(), 0);
}

static void test_pem(void **state)
{
    (void)state;
    struct rig_cert r = rig_authority("a", "spiffe://x");
    struct buf der = made(), pem = made(), one = made();
    struct err e = {0};
    rig_der(&r, &der);
    assert_int_equal(buf_str(&pem, "some words\n"), 0);
    assert_int_equal(x509_pem_put(&pem, "CERTIFICATE", buf_bytes(&der)), 0);
    assert_int_equal(x509_pem_put(&pem, "OTHER", BYTES("abc")), 0);
    assert_int_equal(x509_pem_put(&pem, "CERTIFICATE", BYTES("second")), 0);
    struct bytes rest = buf_bytes(&pem);
    assert_int_equal(x509_pem_next(&rest, "CERTIFICATE", &one, NULL), 1);
    assert_true(bytes_eq(buf_bytes(&one), buf_bytes(&der)));
    assert_int_equal(x509_pem_next(&rest, "CERTIFICATE", &one, NULL), 1);
    assert_true(bytes_is(buf_bytes(&one), "second"));
    assert_int_equal(x509_pem_next(&rest, "CERTIFICATE", &one, NULL), 0);
    clean();
    rest = BYTES("");
    assert_int_equal(x509_pem_next(&rest, "CERTIFICATE", &one, NULL), 0);
    rest = bytes_first(buf_bytes(&pem), 200); // cut off
    assert_int_equal(x509_pem_next(&rest, "CERTIFICATE", &one, &e), E_PARSE);
    pem.p[100] = '*';
    rest = buf_bytes(&pem);
    assert_int_equal(x509_pem_next(&rest, "CERTIFICATE", &one, &e), E_PARSE);
    clean();
    buf_fini(&der);
    buf_fini(&pem);
    buf_fini(&one);
    rig_free(&r);
}

static void test_csr(void **state)
{
    (void)state;
    struct crypto_key *key = NULL, *open = NULL;
    struct buf csr = made();
    struct err e = {0};
    assert_int_equal(crypto_key_make(&key, NULL), 0);
    assert_int_equal(x509_csr_make(key, &csr, NULL), 0);
    assert_int_equal(x509_csr_open(buf_bytes(&csr), &open, NULL), 0);
    assert_true(crypto_key_same(key, open));
    crypto_key_free(open);
    open = NULL;
    // Every byte changed in turn: refused, or (in the signature's encoding) nothing.
    for (size_t i = 0; i < csr.n; i++) {
        csr.p[i] ^= 0x01;
        if (x509_csr_open(buf_bytes(&csr), &open, &e) == 0)
            fail_msg("byte %zu of %zu does not matter", i, csr.n);
        clean();
        csr.p[i] ^= 0x01;
    }
    for (size_t n = 0; n < csr.n; n++)
        assert_int_equal(x509_csr_open(bytes_first(buf_bytes(&csr), n), &open, &e), E_PARSE);
    assert_int_equal(buf_chr(&csr, 0), 0); // bytes behind it
    assert_int_equal(x509_csr_open(buf_bytes(&csr), &open, &e), E_PARSE);
    crypto_key_free(key);
    buf_fini(&csr);

    EVP_PKEY *rsa = EVP_RSA_gen(2048);
    X509_REQ *req = X509_REQ_new();
    uint8_t *der = NULL;
    X509_REQ_set_pubkey(req, rsa);
    X509_REQ_sign(req, rsa, EVP_sha256());
    int n = i2d_X509_REQ(req, &der);
    assert_int_equal(x509_csr_open((struct bytes){(char *)der, (size_t)n}, &open, &e),
                     E_UNSUPPORTED);
    OPENSSL_free(der);
    X509_REQ_free(req);
    EVP_PKEY_free(rsa);
    clean();
}

struct authority {
    struct crypto_key *key;
    struct buf der;
    struct x509_signer *signer;
    struct x509_roots *roots;
};

static struct authority authority(void)
{
    struct authority a = {.der = made()};
    assert_int_equal(crypto_key_make(&a.key, NULL), 0);
    assert_int_equal(x509_authority(a.key, "spiffe://example.org", RIG_NOW_MS - RIG_HOUR_MS,
                                    RIG_NOW_MS + 10 * RIG_HOUR_MS, &a.der, NULL),
                     0);
    assert_int_equal(x509_signer_new(&a.signer, a.key, buf_bytes(&a.der), NULL), 0);
    struct bytes der = buf_bytes(&a.der);
    assert_int_equal(x509_roots_new(&a.roots, &der, 1, NULL), 0);
    return a;
}

static void authority_fini(struct authority *a)
{
    crypto_key_free(a->key);
    buf_fini(&a->der);
    x509_signer_free(a->signer);
    x509_roots_free(a->roots);
}

static void test_authority(void **state)
{
    (void)state;
    struct authority a = authority();
    struct x509_info info;
    uint8_t hash[32];
    assert_int_equal(x509_info(buf_bytes(&a.der), &info, NULL), 0);
    assert_true(info.ca);
    assert_true(info.self_signed);
    assert_true(info.has_usage);
    assert_int_equal(info.usage, X509_USE_CERT_SIGN | X509_USE_CRL_SIGN);
    assert_false(info.has_extended);
    assert_int_equal(info.uri_count, 1);
    assert_string_equal(info.uri, "spiffe://example.org");
    assert_int_equal(info.not_before_ms, RIG_NOW_MS - RIG_HOUR_MS);
    assert_int_equal(info.not_after_ms, RIG_NOW_MS + 10 * RIG_HOUR_MS);
    assert_int_equal(info.epoch, 0);
    assert_int_equal(crypto_key_hash(a.key, hash, NULL), 0);
    assert_memory_equal(hash, info.key_hash, 32);
    struct crypto_key *other = NULL;
    struct x509_signer *none = NULL;
    struct err e = {0};
    assert_int_equal(crypto_key_make(&other, NULL), 0);
    assert_int_equal(x509_signer_new(&none, other, buf_bytes(&a.der), &e), E_INVALID);
    assert_int_equal(x509_signer_new(&none, other, BYTES("x"), &e), E_PARSE);
    struct x509_roots *roots = NULL;
    struct bytes bad = BYTES("x");
    assert_int_equal(x509_roots_new(&roots, &bad, 1, &e), E_PARSE);
    assert_int_equal(x509_roots_new(&roots, &bad, 0, &e), E_INVALID);
    struct bytes many[X509_ROOTS_MAX + 1];
    for (int i = 0; i <= X509_ROOTS_MAX; i++)
        many[i] = buf_bytes(&a.der);
    assert_int_equal(x509_roots_new(&roots, many, X509_ROOTS_MAX + 1, &e), E_INVALID);
    assert_int_equal(x509_roots_new(&roots, many, X509_ROOTS_MAX, NULL), 0);
    x509_roots_free(roots);
    struct buf small;
    buf_init(&small, 20);
    assert_int_equal(x509_csr_make(a.key, &small, &e), E_TOOBIG);
    assert_int_equal(x509_pem_put(&small, "CERTIFICATE", many[0]), E_TOOBIG);
    buf_fini(&small);
    clean();
    crypto_key_free(other);
    authority_fini(&a);
}

static void test_issue(void **state)
{
    (void)state;
    static const uint64_t epochs[] = {0, 1, 0xff, 0x0102030405060708, INT64_MAX};
    struct authority a = authority();
    struct crypto_key *key = NULL, *theirs = NULL;
    struct err e = {0};
    uint8_t serial[X509_SERIAL_MAX] = {0};
    assert_int_equal(crypto_key_make(&key, NULL), 0);
    for (size_t i = 0; i < sizeof epochs / sizeof *epochs; i++) {
        struct buf der = made();
        struct x509_info info;
        struct x509_issue_args args = {key, "spiffe://example.org/a,URI:b", RIG_NOW_MS - 60000,
                                       RIG_NOW_MS + 1000, epochs[i]};
        assert_int_equal(x509_issue(a.signer, &args, &der, NULL), 0);
        assert_int_equal(x509_info(buf_bytes(&der), &info, NULL), 0);
        assert_false(info.ca);
        assert_false(info.self_signed);
        assert_int_equal(info.usage, X509_USE_SIGN | X509_USE_OTHER);
        assert_true(info.has_usage && info.has_extended && info.server && info.client);
        assert_int_equal(info.uri_count, 1); // a comma ends nothing
        assert_string_equal(info.uri, "spiffe://example.org/a,URI:b");
        assert_int_equal(info.not_before_ms, RIG_NOW_MS - 60000);
        assert_int_equal(info.not_after_ms, RIG_NOW_MS + 1000);
        assert_true(info.epoch == epochs[i]);
        assert_memory_not_equal(serial, info.serial, sizeof serial);
        memcpy(serial, info.serial, sizeof serial);
        assert_int_equal(x509_key(buf_bytes(&der), &theirs, NULL), 0);
        assert_true(crypto_key_same(key, theirs));
        crypto_key_free(theirs);
        struct bytes chain[2] = {buf_bytes(&der), buf_bytes(&a.der)};
        assert_int_equal(x509_chain(a.roots, chain, 1, RIG_NOW_MS, NULL), 0);
        assert_int_equal(x509_chain(a.roots, chain, 2, RIG_NOW_MS, NULL), 0);
        for (size_t at = 0; at < der.n; at++) { // no byte can be changed
            der.p[at] ^= 0x01;
            if (x509_chain(a.roots, chain, 1, RIG_NOW_MS, &e) == 0)
                fail_msg("byte %zu of %zu does not matter", at, der.n);
            der.p[at] ^= 0x01;
        }
        clean();
        buf_fini(&der);
    }
    struct buf der = made();
    struct x509_issue_args args = {key, "spiffe://x/y", RIG_NOW_MS, RIG_NOW_MS,
                                   (uint64_t)INT64_MAX + 1};
    assert_int_equal(x509_issue(a.signer, &args, &der, &e), E_INVALID);
    buf_fini(&der);
    crypto_key_free(key);
    authority_fini(&a);
}

// What the chain check says about each kind of wrong.
static void test_chain(void **state)
{
    (void)state;
    struct rig_cert root = rig_authority("root", "spiffe://x"), foreign = rig_authority("f", NULL);
    struct rig_cert same_name = rig_authority("root", "spiffe://x");
    struct rig_cert middle = rig_make(&(struct rig_args){.name = "middle",
                                                         .basic = "critical,CA:TRUE",
                                                         .usage = "critical,keyCertSign",
                                                         .issuer = &root});
    struct rig_cert no_ca = rig_make(
        &(struct rig_args){.name = "no ca", .usage = "critical,keyCertSign", .issuer = &root});
    struct rig_cert old = rig_make(&(struct rig_args){.name = "old",
                                                      .basic = "critical,CA:TRUE",
                                                      .usage = "critical,keyCertSign",
                                                      .not_before_ms = RIG_NOW_MS - 3 * RIG_HOUR_MS,
                                                      .not_after_ms = RIG_NOW_MS - 2 * RIG_HOUR_MS,
                                                      .issuer = &root});
    struct {
        struct rig_args args;
        const struct rig_cert *through;
        const char *why; // NULL: good
    } rows[] = {
        {{.issuer = &root}, NULL, NULL},
        {{.issuer = &middle}, &middle, NULL},
        {{.issuer = &middle}, NULL, "from an authority that is not ours"},
        {{.issuer = &foreign}, NULL, "from an authority that is not ours"},
        {{.issuer = &foreign}, &foreign, "from an authority that is not ours"},
        {{.issuer = &same_name}, NULL, "not ours"},
        {{.name = "me"}, NULL, "self-signed"},
        {{.issuer = &no_ca}, &no_ca, "invalid CA certificate"},
        {{.issuer = &old}, &old, "the authority's certificate expired at 2027-01-15T06:00:00"},
        {{.issuer = &root,
          .not_before_ms = RIG_NOW_MS - 2 * RIG_HOUR_MS,
          .not_after_ms = RIG_NOW_MS - RIG_HOUR_MS},
         NULL,
         "the certificate expired at 2027-01-15T07:00:00"},
        {{.issuer = &root,
          .not_before_ms = RIG_NOW_MS + RIG_HOUR_MS,
          .not_after_ms = RIG_NOW_MS + 2 * RIG_HOUR_MS},
         NULL,
         "not valid before 2027-01-15T09:00:00.000Z: is a clock wrong?"},
        {{.issuer = &root, .unknown = "1.3.6.1.4.1.99999.1"}, NULL, "critical extension"},
        {{.issuer = &root, .digest = EVP_sha1()}, NULL, "too weak"},
        {{.issuer = &root, .key = EVP_RSA_gen(1024)}, NULL, "too"},
    };
    struct buf root_der = made();
    struct x509_roots *roots = NULL;
    rig_der(&root, &root_der);
    struct bytes root_bytes = buf_bytes(&root_der);
    assert_int_equal(x509_roots_new(&roots, &root_bytes, 1, NULL), 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig_cert leaf = rig_make(&rows[i].args);
        struct buf a = made(), b = made();
        struct err e = {0};
        rig_der(&leaf, &a);
        if (rows[i].through)
            rig_der(rows[i].through, &b);
        struct bytes chain[2] = {buf_bytes(&a), buf_bytes(&b)};
        int rc = x509_chain(roots, chain, rows[i].through ? 2 : 1, RIG_NOW_MS, &e);
        if (rc != (rows[i].why ? E_SECURITY : 0) || (rows[i].why && !strstr(e.text, rows[i].why)))
            fail_msg("row %zu: %d \"%s\", expected \"%s\"", i, rc, e.text,
                     rows[i].why ? rows[i].why : "");
        clean();
        buf_fini(&a);
        buf_fini(&b);
        rig_free(&leaf);
    }
    struct err e = {0};
    struct bytes junk[2] = {root_bytes, BYTES("junk")};
    assert_int_equal(x509_chain(roots, junk + 1, 1, RIG_NOW_MS, &e), E_PARSE);
    assert_int_equal(x509_chain(roots, junk, 2, RIG_NOW_MS, &e), E_PARSE);
    assert_int_equal(x509_chain(roots, junk, 0, RIG_NOW_MS, &e), E_SECURITY);
    assert_int_equal(x509_chain(roots, junk, X509_CHAIN_MAX + 1, RIG_NOW_MS, &e), E_SECURITY);
    x509_roots_free(roots);
    buf_fini(&root_der);
    rig_free(&root);
    rig_free(&foreign);
    rig_free(&same_name);
    rig_free(&middle);
    rig_free(&no_ca);
    rig_free(&old);
}

static void test_info(void **state)
{
    (void)state;
    struct rig_cert r = rig_make(&(struct rig_args){
        .name = "x",
        .uris = {"spiffe://a/b", "https://c"},
        .dns = "d.example",
        .extended = "clientAuth",
        .serial = "0102030405060708090a0b0c0d0e0f1011121314"}); // 20 bytes: another authority's
    struct rig_cert bare = rig_make(&(struct rig_args){
        .basic = RIG_NO_EXTENSION, .usage = RIG_NO_EXTENSION, .not_before_ms = -1000});
    struct buf der = made(), bare_der = made();
    struct x509_info info;
    struct err e = {0};
    rig_der(&r, &der);
    assert_int_equal(x509_info(buf_bytes(&der), &info, NULL), 0);
    assert_int_equal(info.uri_count, 2);
    assert_string_equal(info.uri, "spiffe://a/b");
    assert_true(info.has_extended && info.client && !info.server);
    assert_int_equal(info.usage, X509_USE_SIGN);
    assert_int_equal(info.serial_n, 20);
    assert_int_equal(info.epoch, 0);
    for (size_t n = 0; n < der.n; n++)
        assert_int_equal(x509_info(bytes_first(buf_bytes(&der), n), &info, &e), E_PARSE);
    assert_int_equal(buf_chr(&der, 0), 0);
    assert_int_equal(x509_info(buf_bytes(&der), &info, &e), E_PARSE);
    rig_der(&bare, &bare_der);
    assert_int_equal(x509_info(buf_bytes(&bare_der), &info, NULL), 0);
    assert_false(info.ca || info.has_usage || info.has_extended);
    assert_int_equal(info.usage, 0);
    assert_int_equal(info.uri_count, 0);
    assert_string_equal(info.uri, "");
    assert_int_equal(info.not_before_ms, -1000);
    clean();
    buf_fini(&der);
    buf_fini(&bare_der);
    rig_free(&r);
    rig_free(&bare);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pem),       cmocka_unit_test(test_csr),
        cmocka_unit_test(test_authority), cmocka_unit_test(test_issue),
        cmocka_unit_test(test_chain),     cmocka_unit_test(test_info),
    };
    return cmocka_run_group_tests_name("certificates", tests, NULL, NULL);
}
