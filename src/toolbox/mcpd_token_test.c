// mcpd_token_test.c: access tokens: the good one, and each way in which one can be wrong.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "base/buf.h"
#include "crypto/base64url.h"
#include "crypto/sign.h"
#include "toolbox/mcpd_token.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define NOW 1800000000000LL // wall, ms

static struct crypto_key *key, *other;
static struct mcpd_tokens *tokens;

static void put_jwk(struct buf *out, const struct crypto_key *k, const char *more)
{
    uint8_t x[32], y[32];
    assert_int_equal(crypto_key_xy(k, x, y, NULL), 0);
    (void)buf_str(out, "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"");
    (void)base64url_put(out, (struct bytes){(const char *)x, sizeof x});
    (void)buf_str(out, "\",\"y\":\"");
    (void)base64url_put(out, (struct bytes){(const char *)y, sizeof y});
    (void)buf_fmt(out, "\"%s}", more);
}

static int set_up(void **state)
{
    struct buf jwks;
    (void)state;
    buf_init(&jwks, 8192);
    assert_int_equal(crypto_key_make(&key, NULL), 0);
    assert_int_equal(crypto_key_make(&other, NULL), 0);
    (void)buf_str(&jwks, "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"},");
    put_jwk(&jwks, other, ",\"use\":\"enc\",\"kid\":\"k1\"");
    (void)buf_str(&jwks, ",");
    put_jwk(&jwks, key, ",\"use\":\"sig\",\"kid\":\"k1\"");
    (void)buf_str(&jwks, "]}");
    tokens = mcpd_tokens_new();
    assert_non_null(tokens);
    assert_int_equal(mcpd_tokens_add(tokens, "https://login.example.org", "https://me/mcp",
                                     buf_bytes(&jwks), NULL),
                     0);
    buf_fini(&jwks);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    mcpd_tokens_free(tokens);
    crypto_key_free(key);
    crypto_key_free(other);
    assert_int_equal(mem_live(), 0);
    return 0;
}

static void sign(struct buf *out, const struct crypto_key *by, const char *header,
                 const char *claims)
{
    uint8_t mac[CRYPTO_SIGN_LEN];
    buf_init(out, 65536);
    (void)base64url_put(out, bytes_of(header));
    (void)buf_chr(out, '.');
    (void)base64url_put(out, bytes_of(claims));
    assert_int_equal(crypto_key_sign(by, buf_bytes(out), mac, NULL), 0);
    (void)buf_chr(out, '.');
    (void)base64url_put(out, (struct bytes){(const char *)mac, sizeof mac});
}

#define HEADER "{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":\"k1\"}"
#define ISS "\"iss\":\"https://login.example.org\""
#define AUD "\"aud\":\"https://me/mcp\""
#define SUB "\"sub\":\"ada\""
#define EXP "\"exp\":1800000100"

static void test_tokens(void **state)
{
    (void)state;
    static const struct {
        const char *header, *claims, *why; // why NULL: good
        bool foreign;
    } rows[] = {
        {HEADER, "{" ISS "," AUD "," SUB "," EXP "}", NULL, false},
        {"{\"alg\":\"ES256\"}", "{" ISS ",\"aud\":[\"x\",\"https://me/mcp\"]," SUB "," EXP "}", NULL,
         false},
        {"{\"alg\":\"ES256\",\"typ\":\"JWT\"}",
         "{" ISS "," AUD "," SUB ",\"exp\":1800000000.5,\"nbf\":1800000050,\"iat\":1799999999}", NULL,
         false},
        {HEADER, "{" ISS "," AUD "," SUB "," EXP "}", "signature", true},
        {"{\"alg\":\"none\"}", "{" ISS "," AUD "," SUB "," EXP "}", "signature", false},
        {"{\"alg\":\"HS256\",\"kid\":\"k1\"}", "{" ISS "," AUD "," SUB "," EXP "}", "signature", false},
        {"{\"alg\":\"RS256\",\"kid\":\"k1\"}", "{" ISS "," AUD "," SUB "," EXP "}", "signature", false},
        {"{\"alg\":\"ES256\",\"kid\":\"k2\"}", "{" ISS "," AUD "," SUB "," EXP "}", "signature", false},
        {"{\"alg\":\"ES256\",\"typ\":\"secevent+jwt\"}", "{" ISS "," AUD "," SUB "," EXP "}", "kind",
         false},
        {"{\"alg\":\"ES256\",\"crit\":[\"x\"]}", "{" ISS "," AUD "," SUB "," EXP "}", "kind", false},
        {HEADER, "{\"iss\":\"https://login.example.org/\"," AUD "," SUB "," EXP "}", "issuer", false},
        {HEADER, "{" AUD "," SUB "," EXP "}", "issuer", false},
        {HEADER, "{" ISS ",\"aud\":\"https://other/mcp\"," SUB "," EXP "}", "another server", false},
        {HEADER, "{" ISS ",\"aud\":[]," SUB "," EXP "}", "another server", false},
        {HEADER, "{" ISS "," SUB "," EXP "}", "another server", false},
        {HEADER, "{" ISS "," AUD "," EXP "}", "who", false},
        {HEADER, "{" ISS "," AUD ",\"sub\":7," EXP "}", "who", false},
        {HEADER, "{" ISS "," AUD ",\"sub\":\"a\\u0000b\"," EXP "}", "who", false},
        {HEADER, "{" ISS "," AUD "," SUB "}", "no time", false},
        {HEADER, "{" ISS "," AUD "," SUB ",\"exp\":\"1800000100\"}", "no time", false},
        {HEADER, "{" ISS "," AUD "," SUB ",\"exp\":-1}", "no time", false},
        {HEADER, "{" ISS "," AUD "," SUB ",\"exp\":1e300}", "no time", false},
        {HEADER, "{" ISS "," AUD "," SUB ",\"exp\":1800000000}", "expired", false},
        {HEADER, "{" ISS "," AUD "," SUB "," EXP ",\"nbf\":1800000061}", "not yet", false},
        {HEADER, "{" ISS "," AUD "," SUB "," EXP ",\"iat\":\"x\"}", "not yet", false},
        {HEADER, "[]", "no such", false},
        {"7", "{" ISS "," AUD "," SUB "," EXP "}", "no such", false},
        {"{", "{" ISS "," AUD "," SUB "," EXP "}", "no such", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct mcpd_token ret;
        struct buf text;
        struct err e = {0};
        sign(&text, rows[i].foreign ? other : key, rows[i].header, rows[i].claims);
        int rc = mcpd_tokens_check(tokens, buf_bytes(&text), NOW, &ret, &e);
        if ((rc == 0) != !rows[i].why || (rows[i].why && !strstr(e.text, rows[i].why)))
            fail_msg("row %zu: %d %s, wanted %s", i, rc, e.text, rows[i].why ? rows[i].why : "good");
        if (rc == 0)
            assert_string_equal(ret.subject, "ada");
        assert_int_equal(rc, rows[i].why ? E_UNAUTH : 0);
        buf_fini(&text);
    }
}

static void test_scopes(void **state)
{
    (void)state;
    struct mcpd_token ret;
    struct buf text;
    sign(&text, key, HEADER, "{" ISS "," AUD "," SUB "," EXP ",\"scope\":\"tools files\"}");
    assert_int_equal(mcpd_tokens_check(tokens, buf_bytes(&text), NOW, &ret, NULL), 0);
    assert_string_equal(ret.issuer, "https://login.example.org");
    assert_int_equal(ret.expires_ms, 1800000100000LL);
    assert_true(mcpd_token_has(&ret, "tools") && mcpd_token_has(&ret, "files"));
    assert_false(mcpd_token_has(&ret, "tool") || mcpd_token_has(&ret, "") ||
                 mcpd_token_has(&ret, "tools files"));
    // Every byte of it counts.
    for (size_t i = 0; i < text.n; i++) {
        char was = text.p[i];
        text.p[i] = was == 'A' ? 'B' : 'A';
        if (text.p[i] != was)
            assert_int_equal(mcpd_tokens_check(tokens, buf_bytes(&text), NOW, &ret, NULL), E_UNAUTH);
        text.p[i] = was;
    }
    static const char *const bad[] = {"", ".", "..", "a.b", "a.b.c", "....", "eyJ.eyJ.eyJ.eyJ"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(mcpd_tokens_check(tokens, bytes_of(bad[i]), NOW, &ret, NULL), E_UNAUTH);
    buf_fini(&text);
}

static void test_issuers(void **state)
{
    (void)state;
    struct err e = {0};
    assert_int_equal(mcpd_tokens_add(tokens, "i", "a", BYTES("{"), &e), E_PARSE);
    assert_int_equal(mcpd_tokens_add(tokens, "i", "a", BYTES("{\"keys\":[]}"), &e), E_INVALID);
    assert_int_equal(mcpd_tokens_add(tokens, "i", "a",
                                     BYTES("{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\","
                                           "\"y\":\"AA\"}]}"),
                                     &e),
                     E_INVALID);
    struct buf jwks;
    buf_init(&jwks, 8192);
    (void)buf_str(&jwks, "{\"keys\":[");
    put_jwk(&jwks, other, "");
    (void)buf_str(&jwks, "]}");
    for (int i = 1; i < MCPD_ISSUERS_MAX; i++)
        assert_int_equal(mcpd_tokens_add(tokens, "i", "a", buf_bytes(&jwks), &e), 0);
    assert_int_equal(mcpd_tokens_add(tokens, "i", "a", buf_bytes(&jwks), &e), E_FULL);
    buf_fini(&jwks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_tokens, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_scopes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_issuers, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("mcpd_token", tests, NULL, NULL);
}
