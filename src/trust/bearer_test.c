// bearer_test.c: access tokens of an issuer outside: what is taken and what is refused, and why.
// SPDX-License-Identifier: Apache-2.0
#include "base/buf.h"
#include "crypto/base64url.h"
#include "crypto/sign.h"
#include "trust/bearer.h"
#include "trust/trust.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define NOW ((int64_t)1795622400000)
#define ISSUER "https://login.example.org"
#define HERE "https://node.example.org/mcp"

struct rig {
    struct crypto_key *key, *other;
    struct bearer *bearer;
};

static void put_part(struct buf *out, const void *p, size_t n)
{
    (void)base64url_put(out, (struct bytes){p, n});
}

static void rig_up(struct rig *r)
{
    uint8_t x[32], y[32];
    struct buf jwks;
    assert_int_equal(crypto_key_make(&r->key, NULL), 0);
    assert_int_equal(crypto_key_make(&r->other, NULL), 0);
    assert_int_equal(crypto_key_xy(r->key, x, y, NULL), 0);
    buf_init(&jwks, 4096);
    (void)buf_str(&jwks,
                  "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"AA\"},"
                  "{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"one\",\"use\":\"sig\",\"x\":\"");
    put_part(&jwks, x, sizeof x);
    (void)buf_str(&jwks, "\",\"y\":\"");
    put_part(&jwks, y, sizeof y);
    (void)buf_str(&jwks, "\"}]}");
    assert_int_equal(bearer_open(&r->bearer, BYTES(ISSUER), BYTES(HERE), buf_bytes(&jwks), NULL),
                     0);
    buf_fini(&jwks);
}

static void rig_down(struct rig *r)
{
    bearer_free(r->bearer);
    crypto_key_free(r->key);
    crypto_key_free(r->other);
}

static void make(struct buf *out, const struct crypto_key *k, const char *header,
                 const char *claims)
{
    uint8_t sign[CRYPTO_SIGN_LEN];
    buf_init(out, 16384);
    put_part(out, header, strlen(header));
    (void)buf_chr(out, '.');
    put_part(out, claims, strlen(claims));
    assert_int_equal(crypto_key_sign(k, buf_bytes(out), sign, NULL), 0);
    (void)buf_chr(out, '.');
    put_part(out, sign, sizeof sign);
}

#define HEAD "{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":\"one\"}"
#define BODY(rest) "{\"iss\":\"" ISSUER "\",\"sub\":\"ann\",\"exp\":1795622500" rest "}"
#define AUD ",\"aud\":[\"x\",\"" HERE "\"]"

static void test_tokens(void **state)
{
    (void)state;
    static const struct {
        const char *header, *claims, *why; // why NULL: it is taken
        bool other;
        unsigned scopes;
    } rows[] = {
        {HEAD, BODY(AUD), NULL, false, 0},
        {HEAD, BODY(AUD ",\"scope\":\"openid models\""), NULL, false, SCOPE_MODELS},
        {HEAD, BODY(",\"aud\":\"" HERE "\",\"scope\":\"admin models\""), NULL, false,
         SCOPE_MODELS | SCOPE_ADMIN},
        {"{\"alg\":\"ES256\"}", BODY(AUD), NULL, false, 0},
        {HEAD, BODY(AUD), "not signed by a key", true, 0},
        {"{\"alg\":\"ES256\",\"kid\":\"two\"}", BODY(AUD), "not signed by a key", false, 0},
        {"{\"alg\":\"none\"}", BODY(AUD), "neither ES256", false, 0},
        {"{\"alg\":\"HS256\"}", BODY(AUD), "neither ES256", false, 0},
        {"{\"alg\":\"ES256\",\"typ\":\"dpop+jwt\"}", BODY(AUD), "typ", false, 0},
        {"{\"alg\":\"ES256\",\"crit\":[\"b64\"]}", BODY(AUD), "extension", false, 0},
        {HEAD, BODY(""), "another audience", false, 0},
        {HEAD, BODY(",\"aud\":\"https://elsewhere.example.org/mcp\""), "another audience", false,
         0},
        {HEAD, "{\"iss\":\"https://evil.example.org\",\"sub\":\"a\",\"exp\":1795622500" AUD "}",
         "another issuer", false, 0},
        {HEAD, "{\"iss\":\"" ISSUER "\",\"exp\":1795622500" AUD "}", "no sub", false, 0},
        {HEAD, "{\"iss\":\"" ISSUER "\",\"sub\":\"a\"" AUD "}", "no exp", false, 0},
        {HEAD, "{\"iss\":\"" ISSUER "\",\"sub\":\"a\",\"exp\":1795622399" AUD "}", "expired", false,
         0},
        {HEAD, "{\"iss\":\"" ISSUER "\",\"sub\":\"a\",\"exp\":1896622399" AUD "}", "too far ahead",
         false, 0},
        {HEAD, BODY(AUD ",\"nbf\":1795622490"), "not valid yet", false, 0},
        {HEAD, "[]", "another issuer", false, 0},
        {HEAD, "{", "not JSON", false, 0},
    };
    struct rig r;
    rig_up(&r);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf token;
        struct bearer_said said = {0};
        struct err e = {0};
        make(&token, rows[i].other ? r.other : r.key, rows[i].header, rows[i].claims);
        int rc = bearer_check(r.bearer, buf_bytes(&token), NOW, &said, &e);
        if ((rc == 0) != !rows[i].why || (rows[i].why && !strstr(e.text, rows[i].why)))
            fail_msg("row %zu: %d \"%s\"", i, rc, e.text);
        assert_int_equal(said.scopes, rows[i].scopes);
        if (rc == 0)
            assert_string_equal(said.who, "ann");
        else
            assert_int_equal(rc, E_UNAUTH);
        buf_fini(&token);
    }
    rig_down(&r);
}

static void test_names(void **state)
{
    (void)state;
    struct rig r;
    struct buf token;
    rig_up(&r);
    make(&token, r.other, HEAD, BODY(AUD));
    assert_true(bearer_names(r.bearer, buf_bytes(&token)));
    buf_fini(&token);
    make(&token, r.other, HEAD, "{\"iss\":\"else\"}");
    assert_false(bearer_names(r.bearer, buf_bytes(&token)));
    buf_fini(&token);
    assert_false(bearer_names(r.bearer, BYTES("plx_x")));
    assert_string_equal(bearer_issuer(r.bearer), ISSUER);
    rig_down(&r);
}

static void test_sets(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "{",
        "{}",
        "{\"keys\":[]}",
        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-384\"}]}",
        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"}]}",
        "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}"};
    struct bearer *b = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_true(bearer_open(&b, BYTES(ISSUER), BYTES(HERE), bytes_of(bad[i]), NULL) < 0);
    assert_null(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_tokens), cmocka_unit_test(test_names),
                                       cmocka_unit_test(test_sets)};
    return cmocka_run_group_tests_name("bearer", tests, NULL, NULL);
}
