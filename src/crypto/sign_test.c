// sign_test.c: HMAC, Ed25519, ES256 and RS256 against the standards' vectors, and keys that are
// refused. SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "crypto/base64url.h"
#include "crypto/hash.h"
#include "crypto/hmac.h"
#include "crypto/sign.h"
#include "crypto/x509_rig.h"
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct bytes unhex(const char *text, uint8_t *ret)
{
    size_t n = strlen(text) / 2;
    assert_true(crypto_unhex(bytes_of(text), ret, n));
    return (struct bytes){(const char *)ret, n};
}

// Nothing may be left in OpenSSL's queue: TLS would take it for its own.
static void clean(void)
{
    assert_int_equal(ERR_peek_error(), 0);
}

// RFC 4231.
static void test_hmac(void **state)
{
    (void)state;
    char aa[263], dd[101], cd[101];
    memset(aa, 'a', 262);
    aa[262] = 0;
    for (int i = 0; i < 50; i++) {
        memcpy(dd + 2 * i, "dd", 3);
        memcpy(cd + 2 * i, "cd", 3);
    }
    static const char counting[] = "0102030405060708090a0b0c0d0e0f10111213141516171819";
    const struct {
        const char *key, *text, *mac;
    } rows[] = {
        {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "4869205468657265",
         "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
        {"4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
         "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", dd,
         "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
        {counting, cd, "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
        {aa,
         "54657374205573696e67204c6172676572205468616e20426c6f636b2d53697a65204b6579202d20486173"
         "68204b6579204669727374",
         "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t key[200], text[200], mac[HMAC_LEN];
        char hex[2 * HMAC_LEN + 1];
        struct bytes k = unhex(rows[i].key, key), t = unhex(rows[i].text, text);
        hmac_sum(k, t, mac);
        crypto_hex(mac, sizeof mac, hex);
        assert_string_equal(hex, rows[i].mac);
        struct hmac_key ready;
        hmac_key_init(&ready, k);
        struct bytes m = {(const char *)mac, sizeof mac};
        assert_true(hmac_fits(&ready, t, m));
        assert_true(hmac_fits(&ready, t, bytes_first(m, 16)));
        assert_false(hmac_fits(&ready, t, bytes_first(m, 15)));
        assert_false(hmac_fits(&ready, t, BYTES_NONE));
        mac[15] ^= 1;
        assert_false(hmac_fits(&ready, t, bytes_first(m, 16)));
        mac[15] ^= 1;
        char longer[HMAC_LEN + 1] = {0};
        memcpy(longer, mac, HMAC_LEN);
        assert_false(hmac_fits(&ready, t, (struct bytes){longer, sizeof longer}));
        hmac_key_fini(&ready);
    }
}

// Every length of a key around the block's size, against another implementation.
static void test_hmac_keys(void **state)
{
    (void)state;
    char secret[140];
    for (size_t i = 0; i < sizeof secret; i++)
        secret[i] = (char)(i * 11 + 1);
    for (size_t n = 0; n <= sizeof secret; n++) {
        uint8_t mac[HMAC_LEN], theirs[HMAC_LEN];
        unsigned size = 0;
        hmac_sum((struct bytes){secret, n}, BYTES("text"), mac);
        assert_non_null(
            HMAC(EVP_sha256(), secret, (int)n, (const uint8_t *)"text", 4, theirs, &size));
        assert_memory_equal(mac, theirs, sizeof mac);
    }
    static const struct hmac_key none;
    struct hmac_key key;
    memset(&key, 0, sizeof key);
    hmac_key_init(&key, BYTES("secret"));
    assert_memory_not_equal(&key, &none, sizeof key);
    hmac_key_fini(&key);
    assert_memory_equal(&key, &none, sizeof key);
}

// RFC 8032, section 7.1, tests 1 to 3.
static void test_ed25519(void **state)
{
    (void)state;
    static const struct {
        const char *seed, *public_key, *text, *sign;
    } rows[] = {
        {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
         "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
         "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701"
         "cf9b46bd25bf5f0595bbe24655141438e7a100b"},
        {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
         "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
         "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d"
         "0f11d8c387b2eaeb4302aeeb00d291612bb0c00"},
        {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
         "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
         "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760"
         "984dc6594a7c15e9716ed28dc027beceea1ec40a"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t seed[32], text[2], public_key[32], sign[64];
        char hex[129];
        struct bytes t = unhex(rows[i].text, text);
        (void)unhex(rows[i].seed, seed);
        assert_int_equal(ed25519_public(seed, public_key, NULL), 0);
        crypto_hex(public_key, 32, hex);
        assert_string_equal(hex, rows[i].public_key);
        assert_int_equal(ed25519_sign(seed, t, sign, NULL), 0);
        crypto_hex(sign, 64, hex);
        assert_string_equal(hex, rows[i].sign);
        struct bytes s = {(const char *)sign, 64};
        assert_true(ed25519_verify(public_key, t, s));
        assert_false(ed25519_verify(public_key, BYTES("other"), s));
        assert_false(ed25519_verify(public_key, t, bytes_first(s, 63)));
        assert_false(ed25519_verify(public_key, t, BYTES_NONE));
        sign[0] ^= 1;
        assert_false(ed25519_verify(public_key, t, s));
        sign[0] ^= 1;
        public_key[0] ^= 1;
        assert_false(ed25519_verify(public_key, t, s));
        clean();
    }
    uint8_t a[32], b[32], pa[32], pb[32];
    assert_int_equal(ed25519_make(a, pa, NULL), 0);
    assert_int_equal(ed25519_make(b, pb, NULL), 0);
    assert_memory_not_equal(a, b, 32);
    assert_memory_not_equal(pa, pb, 32);
}

static struct bytes parsed(const char *text, struct buf *b)
{
    buf_init(b, 4096);
    assert_int_equal(base64url_parse(b, bytes_of(text)), 0);
    return buf_bytes(b);
}

// RFC 7515, appendix A.3 (ES256) and A.2 (RS256): the texts and keys as they stand there.
static const char jws_input_es[] =
    "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNv"
    "bS9pc19yb290Ijp0cnVlfQ";
static const char jws_sign_es[] =
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
static const char jws_x[] = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
static const char jws_y[] = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";

static void test_es256(void **state)
{
    (void)state;
    struct buf x, y, sign, spki;
    uint8_t got_x[32], got_y[32], hash[32], again_hash[32];
    struct crypto_key *key = NULL, *again = NULL;
    (void)parsed(jws_x, &x);
    (void)parsed(jws_y, &y);
    (void)parsed(jws_sign_es, &sign);
    assert_int_equal(crypto_key_ec(&key, buf_bytes(&x), buf_bytes(&y), NULL), 0);
    assert_false(crypto_key_is_rsa(key));
    assert_true(crypto_key_verify(key, BYTES(jws_input_es), buf_bytes(&sign)));
    assert_int_equal(crypto_key_xy(key, got_x, got_y, NULL), 0);
    assert_memory_equal(got_x, x.p, 32);
    assert_memory_equal(got_y, y.p, 32);
    sign.p[63] ^= 1;
    assert_false(crypto_key_verify(key, BYTES(jws_input_es), buf_bytes(&sign)));
    sign.p[63] ^= 1;
    assert_false(crypto_key_verify(key, BYTES("x"), buf_bytes(&sign)));
    assert_false(crypto_key_verify(key, BYTES(jws_input_es), bytes_first(buf_bytes(&sign), 63)));
    assert_false(crypto_key_verify(key, BYTES(jws_input_es), BYTES_NONE));
    char zero[64] = {0}; // r = s = 0 verified once in other people's code
    assert_false(crypto_key_verify(key, BYTES(jws_input_es), (struct bytes){zero, 64}));
    clean();
    buf_init(&spki, 4096);
    assert_int_equal(crypto_key_spki(key, &spki, NULL), 0);
    assert_int_equal(crypto_key_public(&again, buf_bytes(&spki), NULL), 0);
    assert_true(crypto_key_same(key, again));
    assert_int_equal(crypto_key_hash(key, hash, NULL), 0);
    sha256_sum(buf_bytes(&spki), again_hash);
    assert_memory_equal(hash, again_hash, 32);
    uint8_t out[CRYPTO_SIGN_LEN]; // no private half
    struct err e = {0};
    assert_int_not_equal(crypto_key_sign(key, BYTES("x"), out, &e), 0);
    struct buf pem;
    buf_init(&pem, 4096);
    assert_int_not_equal(crypto_key_pem(key, &pem, &e), 0);
    clean();
    y.p[31] ^= 1; // off the curve
    crypto_key_free(again);
    again = NULL;
    assert_int_equal(crypto_key_ec(&again, buf_bytes(&x), buf_bytes(&y), &e), E_PARSE);
    assert_int_equal(crypto_key_ec(&again, bytes_first(buf_bytes(&x), 31), buf_bytes(&y), &e),
                     E_PARSE);
    buf_clear(&spki);
    assert_int_equal(crypto_key_public(&again, BYTES("0"), &e), E_PARSE);
    clean();
    crypto_key_free(key);
    buf_fini(&x);
    buf_fini(&y);
    buf_fini(&sign);
    buf_fini(&spki);
    buf_fini(&pem);
}

static void test_keys(void **state)
{
    (void)state;
    struct crypto_key *a = NULL, *b = NULL;
    struct buf pem;
    struct err e = {0};
    uint8_t sign[CRYPTO_SIGN_LEN];
    struct bytes s = {(const char *)sign, sizeof sign};
    assert_int_equal(crypto_key_make(&a, NULL), 0);
    buf_init(&pem, CRYPTO_PEM_MAX);
    assert_int_equal(crypto_key_pem(a, &pem, NULL), 0);
    assert_true(bytes_starts(buf_bytes(&pem), BYTES("-----BEGIN PRIVATE KEY-----\n")));
    struct buf small;
    buf_init(&small, 20);
    assert_int_equal(crypto_key_pem(a, &small, &e), E_TOOBIG);
    buf_clear(&small);
    assert_int_equal(crypto_key_spki(a, &small, &e), E_TOOBIG);
    buf_fini(&small);
    assert_int_equal(crypto_key_open(&b, buf_bytes(&pem), NULL), 0);
    assert_true(crypto_key_same(a, b));
    for (int i = 0; i < 64; i++) { // short r and s are padded
        assert_int_equal(crypto_key_sign(b, bytes_first(buf_bytes(&pem), (size_t)i), sign, NULL),
                         0);
        assert_true(crypto_key_verify(a, bytes_first(buf_bytes(&pem), (size_t)i), s));
    }
    crypto_key_free(b);
    b = NULL;
    assert_int_equal(crypto_key_make(&b, NULL), 0);
    assert_false(crypto_key_same(a, b));
    assert_false(crypto_key_verify(b, BYTES("x"), s));
    crypto_key_free(b);
    crypto_key_free(a);
    a = NULL;
    assert_int_equal(crypto_key_open(&a, BYTES(""), &e), E_PARSE);
    assert_int_equal(crypto_key_open(&a, bytes_first(buf_bytes(&pem), 60), &e), E_PARSE);
    pem.p[40] = '!';
    assert_int_equal(crypto_key_open(&a, buf_bytes(&pem), &e), E_PARSE);
    clean();
    buf_fini(&pem);
    static const char *const curves[] = {"P-384", "secp256k1"};
    for (int i = 0; i < 2; i++) { // another curve is told from a broken text
        EVP_PKEY *other = EVP_EC_gen(curves[i]);
        buf_init(&pem, CRYPTO_PEM_MAX);
        rig_key_pem(other, &pem);
        assert_int_equal(crypto_key_open(&a, buf_bytes(&pem), &e), E_UNSUPPORTED);
        buf_fini(&pem);
        EVP_PKEY_free(other);
    }
    EVP_PKEY *weak = EVP_RSA_gen(1024);
    buf_init(&pem, CRYPTO_PEM_MAX);
    rig_key_pem(weak, &pem);
    assert_int_equal(crypto_key_open(&a, buf_bytes(&pem), &e), E_UNSUPPORTED);
    assert_null(a);
    clean();
    buf_fini(&pem);
    EVP_PKEY_free(weak);
}

static void test_rs256(void **state)
{
    (void)state;
    EVP_PKEY *rsa = EVP_RSA_gen(2048), *other = EVP_RSA_gen(2048);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t sign[256];
    char n[256], exponent[4];
    size_t size = sizeof sign;
    BIGNUM *number = NULL, *power = NULL;
    struct crypto_key *key = NULL;
    assert_int_equal(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, rsa), 1);
    assert_int_equal(EVP_DigestSign(ctx, sign, &size, (const uint8_t *)"text", 4), 1);
    EVP_PKEY_get_bn_param(rsa, "n", &number);
    EVP_PKEY_get_bn_param(rsa, "e", &power);
    struct bytes nn = {n, (size_t)BN_bn2bin(number, (uint8_t *)n)};
    struct bytes ee = {exponent, (size_t)BN_bn2bin(power, (uint8_t *)exponent)};
    assert_int_equal(crypto_key_rsa(&key, nn, ee, NULL), 0);
    assert_true(crypto_key_is_rsa(key));
    struct bytes s = {(const char *)sign, size};
    assert_true(crypto_key_verify(key, BYTES("text"), s));
    assert_false(crypto_key_verify(key, BYTES("texT"), s));
    assert_false(crypto_key_verify(key, BYTES("text"), bytes_first(s, 255)));
    uint8_t out[CRYPTO_SIGN_LEN], x[32];
    struct err e = {0};
    assert_int_equal(crypto_key_sign(key, BYTES("x"), out, &e), E_UNSUPPORTED);
    assert_int_equal(crypto_key_xy(key, x, x, &e), E_UNSUPPORTED);
    crypto_key_free(key);
    key = NULL;
    assert_int_equal(crypto_key_rsa(&key, bytes_first(nn, 128), ee, &e), E_UNSUPPORTED);
    assert_int_equal(crypto_key_rsa(&key, nn, BYTES_NONE, &e), E_UNSUPPORTED);
    assert_null(key);
    clean();
    BN_free(number);
    BN_free(power);
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(other);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hmac),    cmocka_unit_test(test_hmac_keys),
        cmocka_unit_test(test_ed25519), cmocka_unit_test(test_es256),
        cmocka_unit_test(test_keys),    cmocka_unit_test(test_rs256),
    };
    return cmocka_run_group_tests_name("signatures", tests, NULL, NULL);
}
