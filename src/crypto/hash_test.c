// hash_test.c: the vectors of FIPS 180-4, of SipHash's authors and of RFC 4648.
// SPDX-License-Identifier: Apache-2.0
#include "base/err.h"
#include "crypto/base64url.h"
#include "crypto/hash.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_sha256(void **state)
{
    (void)state;
    static const struct {
        const char *text, *hash;
    } rows[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
        {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqr"
         "lmnopqrsmnopqrstnopqrstu",
         "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
    };
    uint8_t hash[SHA256_LEN];
    char hex[SHA256_LEN * 2 + 1];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        sha256_sum(bytes_of(rows[i].text), hash);
        crypto_hex(hash, sizeof hash, hex);
        assert_string_equal(hex, rows[i].hash);
    }
    struct sha256 h; // a million times "a", in parts of every size
    sha256_init(&h);
    char part[200];
    memset(part, 'a', sizeof part);
    for (size_t left = 1000000, n = 0; left > 0; n = (n + 1) % sizeof part) {
        size_t take = n < left ? n : left;
        sha256_add(&h, part, take);
        left -= take;
    }
    sha256_end(&h, hash);
    crypto_hex(hash, sizeof hash, hex);
    assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

// Every length around the block's edges: in one piece and byte by byte it is the same.
static void test_edges(void **state)
{
    (void)state;
    char text[200];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)(i * 7);
    for (size_t n = 0; n <= sizeof text; n++) {
        uint8_t a[SHA256_LEN], b[SHA256_LEN];
        struct sha256 h;
        sha256_sum((struct bytes){text, n}, a);
        sha256_init(&h);
        for (size_t i = 0; i < n; i++)
            sha256_add(&h, text + i, 1);
        sha256_end(&h, b);
        assert_memory_equal(a, b, sizeof a);
    }
}

static void test_sip(void **state)
{
    (void)state;
    // Key 00 01 ... 0f, text of n bytes 00 01 ...
    static const struct {
        size_t n;
        const char *hash;
    } rows[] = {
        {0, "a3817f04ba25a8e66df67214c7550293"},  {1, "da87c1d86b99af44347659119b22fc45"},
        {7, "a1f1ebbed8dbc153c0b84aa61ff08239"},  {8, "3b62a9ba6258f5610f83e264f31497b4"},
        {15, "5493e99933b0a8117e08ec0f97cfc3d9"}, {63, "5150d1772f50834a503e069a973fbd7c"},
    };
    struct crypto_sip_key key = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
    char text[64], hex[CRYPTO_SIP_LEN * 2 + 1];
    uint8_t hash[CRYPTO_SIP_LEN];
    for (int i = 0; i < 64; i++)
        text[i] = (char)i;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        crypto_sip128(&key, (struct bytes){text, rows[i].n}, hash);
        crypto_hex(hash, sizeof hash, hex);
        assert_string_equal(hex, rows[i].hash);
    }
}

static void test_hex(void **state)
{
    (void)state;
    uint8_t out[2];
    assert_true(crypto_unhex(BYTES("0aFf"), out, 2));
    assert_int_equal(out[0], 0x0a);
    assert_int_equal(out[1], 0xff);
    assert_false(crypto_unhex(BYTES("0aF"), out, 2));
    assert_false(crypto_unhex(BYTES("0aFff"), out, 2));
    assert_false(crypto_unhex(BYTES("0g00"), out, 2));
    assert_false(crypto_unhex(BYTES("@@@@"), out, 2));
}

static void test_base64url(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"", ""},           {"f", "Zg"},          {"fo", "Zm8"},          {"foo", "Zm9v"},
        {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}, {"\xfb\xff\xfe", "-__-"},
    };
    static const char *const bad[] = {"Z",    "Zg=",  "Zg==", "Zh",  "Zm9",
                                      "Zm+v", "Zm/v", "Zm v", "Zg\n"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf text, back;
        buf_init(&text, 100);
        buf_init(&back, 100);
        assert_int_equal(base64url_put(&text, bytes_of(rows[i][0])), 0);
        assert_string_equal(buf_cstr(&text), rows[i][1]);
        assert_int_equal(base64url_parse(&back, buf_bytes(&text)), 0);
        assert_string_equal(buf_cstr(&back), rows[i][0]);
        buf_fini(&text);
        buf_fini(&back);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct buf back;
        buf_init(&back, 100);
        if (base64url_parse(&back, bytes_of(bad[i])) != E_PARSE)
            fail_msg("%s was taken", bad[i]);
        buf_fini(&back);
    }
    struct buf small;
    buf_init(&small, 1);
    assert_int_equal(base64url_put(&small, BYTES("foo")), E_TOOBIG);
    buf_fini(&small);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha256), cmocka_unit_test(test_edges),     cmocka_unit_test(test_sip),
        cmocka_unit_test(test_hex),    cmocka_unit_test(test_base64url),
    };
    return cmocka_run_group_tests_name("hashes", tests, NULL, NULL);
}
