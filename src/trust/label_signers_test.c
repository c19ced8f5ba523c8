// label_signers_test.c: declassifications under real Ed25519 signatures.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "crypto/base64url.h"
#include "crypto/hash.h"
#include "crypto/sign.h"
#include "trust/label.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define NOW_S 1800000000

// RFC 8032, section 7.1, test 1: seed and public key.
static const char seed_hex[] = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
static const char public_hex[] = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

static void public_text(struct buf *out)
{
    uint8_t key[ED25519_PUBLIC_LEN];
    assert_true(crypto_unhex(bytes_of(public_hex), key, sizeof key));
    buf_init(out, 64);
    assert_int_equal(base64url_put(out, (struct bytes){(const char *)key, sizeof key}), 0);
}

static void sign(const struct label_names *n, const struct label_declass *d, struct buf *out)
{
    uint8_t seed[ED25519_SEED_LEN];
    struct buf secret;
    struct err e = {0};
    assert_true(crypto_unhex(bytes_of(seed_hex), seed, sizeof seed));
    buf_init(&secret, 64);
    buf_init(out, LABEL_DECLASS_TEXT_MAX);
    assert_int_equal(base64url_put(&secret, (struct bytes){(const char *)seed, sizeof seed}), 0);
    if (label_declass_sign(out, n, d, BYTES("data"), buf_bytes(&secret), &e) != 0)
        fail_msg("%s", e.text);
    assert_int_equal(label_declass_sign(out, n, d, BYTES("data"), BYTES("AAAA"), &e), E_INVALID);
    buf_fini(&secret);
}

static void test_made_keys(void **state)
{
    (void)state;
    struct label_names *n = label_names_new();
    struct label_signers *s = label_signers_new();
    struct label_declass d = {.from = {3, 0},
                              .who = "a",
                              .reason = "r",
                              .at_s = NOW_S,
                              .expires_s = NOW_S + 1},
                         got;
    struct err e = {0};
    struct buf secret, key, text;
    buf_init(&secret, 64);
    buf_init(&key, 64);
    buf_init(&text, LABEL_DECLASS_TEXT_MAX);
    assert_int_equal(label_signer_make(&secret, &key, &e), 0);
    assert_int_equal(secret.n, 43);
    assert_int_equal(label_signers_add(s, BYTES("a"), buf_bytes(&key), LABEL_ALL, &e), 0);
    assert_int_equal(label_declass_sign(&text, n, &d, BYTES("x"), buf_bytes(&secret), &e), 0);
    struct label_declass_args args = {d.from, BYTES("x"), (int64_t)NOW_S * 1000,
                                      label_signers_verify, s};
    assert_int_equal(label_declass_check(n, buf_bytes(&text), &args, &got, &e), 0);
    buf_fini(&secret);
    buf_fini(&key);
    buf_fini(&text);
    label_signers_free(s);
    label_names_free(n);
}

static void test_signed(void **state)
{
    (void)state;
    struct label_names *n = label_names_new();
    struct label_signers *s = label_signers_new();
    struct label_declass d = {.from = {LABEL_CONFIDENTIAL, 0},
                              .to = {LABEL_PUBLIC, 0},
                              .who = "officer",
                              .reason = "a test",
                              .at_s = NOW_S,
                              .expires_s = NOW_S + 10},
                         got;
    struct err e = {0};
    struct buf text, key;
    public_text(&key);
    sign(n, &d, &text);
    struct label_declass_args args = {d.from, BYTES("data"), (int64_t)NOW_S * 1000,
                                      label_signers_verify, s};
    assert_int_equal(label_declass_check(n, buf_bytes(&text), &args, &got, &e), E_SECURITY);
    assert_non_null(strstr(e.text, "there is no key officer"));
    const struct label low = {LABEL_INTERNAL, 0};
    assert_int_equal(label_signers_add(s, BYTES("officer"), buf_bytes(&key), low, &e), 0);
    assert_int_equal(label_declass_check(n, buf_bytes(&text), &args, &got, &e), E_SECURITY);
    assert_non_null(strstr(e.text, "the key that signed has the clearance internal"));
    label_signers_free(s);
    args.user = s = label_signers_new();
    assert_int_equal(label_signers_add(s, BYTES("other"), buf_bytes(&key), LABEL_ALL, &e), 0);
    assert_int_equal(label_signers_add(s, BYTES("officer"), buf_bytes(&key), LABEL_ALL, &e), 0);
    assert_int_equal(label_declass_check(n, buf_bytes(&text), &args, &got, &e), 0);
    assert_int_equal(got.to.level, LABEL_PUBLIC);
    text.p[text.n - 9] = text.p[text.n - 9] == 'A' ? 'B' : 'A';
    assert_int_equal(label_declass_check(n, buf_bytes(&text), &args, &got, &e), E_SECURITY);
    assert_non_null(strstr(e.text, "confidential may not be lowered to public: this is not the "
                                   "signature of the key officer"));
    buf_fini(&text);
    buf_fini(&key);
    label_signers_free(s);
    label_names_free(n);
}

static void test_wrong_keys(void **state)
{
    (void)state;
    struct label_signers *s = label_signers_new();
    struct err e = {0};
    struct buf key;
    char name[LABEL_DECLASS_WHO_MAX + 2];
    public_text(&key);
    memset(name, 'x', sizeof name);
    const struct {
        struct bytes name, key;
        int code;
    } rows[] = {
        {BYTES(""), buf_bytes(&key), E_INVALID},
        {{name, sizeof name - 1}, buf_bytes(&key), E_INVALID},
        {{"a\0b", 3}, buf_bytes(&key), E_INVALID},
        {BYTES("a"), BYTES(""), E_INVALID},
        {BYTES("a"), BYTES("AAAA"), E_INVALID},
        {BYTES("a"), {key.p, key.n - 1}, E_INVALID},
        {BYTES("a"), buf_bytes(&key), 0},
        {BYTES("a"), buf_bytes(&key), E_EXISTS},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(label_signers_add(s, rows[i].name, rows[i].key, LABEL_ALL, &e),
                         rows[i].code);
    for (int i = 1; i < LABEL_SIGNERS_MAX; i++) {
        (void)snprintf(name, sizeof name, "key %d", i);
        assert_int_equal(label_signers_add(s, bytes_of(name), buf_bytes(&key), LABEL_ALL, &e), 0);
    }
    assert_int_equal(label_signers_add(s, BYTES("more"), buf_bytes(&key), LABEL_ALL, &e), E_FULL);
    buf_fini(&key);
    label_signers_free(s);
    label_signers_free(NULL);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_signed),
        cmocka_unit_test(test_made_keys),
        cmocka_unit_test(test_wrong_keys),
    };
    return cmocka_run_group_tests_name("label_signers", tests, NULL, NULL);
}
