// svid_jwt_test.c: JWT-SVIDs: made and taken, and every attack on them refused.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "crypto/base64url.h"
#include "crypto/hmac.h"
#include "crypto/x509_rig.h"
#include "trust/svid.h"
#include "trust/svid_priv.h"
#include "trust/trust.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DOMAIN "example.org"
#define ID "spiffe://" DOMAIN "/user/ann"
#define NOW (RIG_NOW_MS / 1000)

static struct {
    struct rig_cert ec, rsa;
    struct crypto_key *key, *stranger;
    struct spiffe_bundle *bundle;
    char kid[SPIFFE_KID_MAX];
} rig;

static int setup(void **state)
{
    (void)state;
    struct buf pem;
    struct err e = {0};
    uint8_t hash[32];
    buf_init(&pem, 64 * 1024);
    rig.ec = rig_authority("ec", "spiffe://" DOMAIN);
    rig.rsa = rig_make(&(struct rig_args){.name = "rsa",
                                          .basic = "critical,CA:TRUE",
                                          .usage = "critical,keyCertSign",
                                          .key = EVP_RSA_gen(2048)});
    rig_key_pem(rig.ec.key, &pem);
    if (crypto_key_open(&rig.key, buf_bytes(&pem), &e) != 0 ||
        crypto_key_make(&rig.stranger, &e) != 0 || crypto_key_hash(rig.key, hash, &e) != 0)
        return -1;
    spiffe_kid(hash, rig.kid);
    buf_clear(&pem);
    rig_pem(&rig.ec, &pem);
    rig_pem(&rig.rsa, &pem);
    int rc = spiffe_bundle_open(&rig.bundle, BYTES(DOMAIN), buf_bytes(&pem), &e);
    buf_fini(&pem);
    return rc;
}

static int teardown(void **state)
{
    (void)state;
    rig_free(&rig.ec);
    rig_free(&rig.rsa);
    crypto_key_free(rig.key);
    crypto_key_free(rig.stranger);
    spiffe_bundle_free(rig.bundle);
    return 0;
}

// ---- tokens of any kind ----

enum how { ES, STRANGER, RS, HS_PEM, HS_SPKI, EMPTY, ZERO };

static void add_sign(struct buf *text, enum how how)
{
    uint8_t sign[512] = {0};
    size_t n = CRYPTO_SIGN_LEN;
    struct buf secret;
    buf_init(&secret, 64 * 1024);
    if (how == ES || how == STRANGER)
        assert_int_equal(
            crypto_key_sign(how == ES ? rig.key : rig.stranger, buf_bytes(text), sign, NULL), 0);
    if (how == RS) {
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        n = sizeof sign;
        assert_int_equal(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, rig.rsa.key), 1);
        assert_int_equal(EVP_DigestSign(ctx, sign, &n, (uint8_t *)text->p, text->n), 1);
        EVP_MD_CTX_free(ctx);
    }
    if (how == HS_PEM || how == HS_SPKI) { // what is public as the secret
        if (how == HS_PEM)
            rig_pem(&rig.ec, &secret);
        else
            assert_int_equal(crypto_key_spki(rig.key, &secret, NULL), 0);
        hmac_sum(buf_bytes(&secret), buf_bytes(text), sign);
        n = HMAC_LEN;
    }
    (void)buf_chr(text, '.');
    if (how != EMPTY)
        (void)base64url_put(text, (struct bytes){(const char *)sign, n});
    buf_fini(&secret);
}

static struct buf token(const char *header, const char *claims, enum how how)
{
    struct buf text;
    buf_init(&text, 64 * 1024);
    (void)base64url_put(&text, bytes_of(header));
    (void)buf_chr(&text, '.');
    (void)base64url_put(&text, bytes_of(claims));
    add_sign(&text, how);
    return text;
}

static void expect(const char *what, struct bytes text, const char *why)
{
    struct spiffe_jwt jwt = {.scopes = 77};
    struct err e = {0};
    int rc = spiffe_jwt_check(rig.bundle, text, BYTES("plexus"), RIG_NOW_MS, &jwt, &e);
    if (rc != (why ? E_UNAUTH : 0) || (why && !strstr(e.text, why)))
        fail_msg("%s: %d \"%s\", expected \"%s\"", what, rc, e.text, why ? why : "");
    if (why)
        assert_int_equal(jwt.scopes, 77);
    if (text.n > 20) // texts never repeat the token
        assert_null(strstr(e.text, "eyJ"));
}

#define CLAIMS "{\"sub\":\"" ID "\",\"aud\":[\"plexus\"],\"exp\":1800000060,\"iat\":1800000000}"

static void test_headers(void **state)
{
    (void)state;
    char with_kid[200], other_kid[200];
    (void)snprintf(with_kid, sizeof with_kid, "{\"alg\":\"ES256\",\"kid\":\"%s\"}", rig.kid);
    (void)snprintf(other_kid, sizeof other_kid, "{\"alg\":\"ES256\",\"kid\":\"x%s\"}", rig.kid);
    const struct {
        const char *header;
        enum how how;
        const char *why;
    } rows[] = {
        {"{\"alg\":\"ES256\"}", ES, NULL},
        {"{\"alg\":\"ES256\",\"typ\":\"JWT\"}", ES, NULL},
        {"{\"alg\":\"ES256\",\"typ\":\"JOSE\"}", ES, NULL},
        {with_kid, ES, NULL},
        {"{\"alg\":\"RS256\"}", RS, NULL},
        {other_kid, ES, "not signed"},
        {"{\"alg\":\"ES256\",\"kid\":\"\"}", ES, "not signed"},
        {"{\"alg\":\"ES256\",\"kid\":7}", ES, "kid is not a text"},
        {"{\"alg\":\"ES256\"}", STRANGER, "not signed"},
        {"{\"alg\":\"ES256\"}", EMPTY, "not signed"},
        {"{\"alg\":\"ES256\"}", ZERO, "not signed"},
        {"{\"alg\":\"ES256\"}", RS, "not signed"},
        {"{\"alg\":\"RS256\"}", ES, "not signed"},
        {"{\"alg\":\"none\"}", EMPTY, "neither ES256 nor RS256"},
        {"{\"alg\":\"none\"}", ES, "neither ES256 nor RS256"},
        {"{\"alg\":\"None\"}", EMPTY, "neither ES256 nor RS256"},
        {"{\"alg\":\"\"}", EMPTY, "neither ES256 nor RS256"},
        {"{\"alg\":null}", EMPTY, "neither ES256 nor RS256"},
        {"{\"alg\":[\"ES256\"]}", ES, "neither ES256 nor RS256"},
        {"{}", ES, "neither ES256 nor RS256"},
        {"{\"alg\":\"HS256\"}", HS_PEM, "neither ES256 nor RS256"},
        {"{\"alg\":\"HS256\"}", HS_SPKI, "neither ES256 nor RS256"},
        {"{\"alg\":\"RS256\"}", HS_PEM, "not signed"},
        {"{\"alg\":\"ES256\"}", HS_SPKI, "not signed"},
        {"{\"alg\":\"PS256\"}", RS, "neither ES256 nor RS256"},
        {"{\"alg\":\"es256\"}", ES, "neither ES256 nor RS256"},
        {"{\"alg\":\"HS256\",\"alg\":\"ES256\"}", ES, "header is not JSON"},
        {"{\"alg\":\"ES256\",\"typ\":\"at+jwt\"}", ES, "typ is neither"},
        {"{\"alg\":\"ES256\",\"typ\":\"jwt\"}", ES, "typ is neither"},
        {"{\"alg\":\"ES256\",\"typ\":1}", ES, "typ is neither"},
        {"{\"alg\":\"ES256\",\"crit\":[\"b64\"],\"b64\":false}", ES, "extension"},
        {"[\"ES256\"]", ES, "neither ES256 nor RS256"},
        {"", ES, "header is not JSON"},
        {"{\"alg\":\"ES256\"", ES, "header is not JSON"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf t = token(rows[i].header, CLAIMS, rows[i].how);
        expect(rows[i].header, buf_bytes(&t), rows[i].why);
        buf_fini(&t);
    }
}

static void test_claims(void **state)
{
    (void)state;
#define SUB "\"sub\":\"" ID "\""
#define AUD "\"aud\":[\"plexus\"]"
#define EXP "\"exp\":1800000060"
    static const struct {
        const char *claims, *why;
    } rows[] = {
        {"{" SUB "," AUD "," EXP "}", NULL},
        {"{" SUB ",\"aud\":\"plexus\"," EXP "}", NULL},
        {"{" SUB ",\"aud\":[\"other\",\"plexus\"]," EXP "}", NULL},
        {"{" SUB "," AUD ",\"exp\":1800000000.5}", NULL},
        {"{" SUB "," AUD "," EXP ",\"nbf\":1799999999,\"iat\":1800000059}", NULL},
        {"{" SUB "," AUD ",\"exp\":1800086460}", NULL}, // a day and the skew
        {"{" AUD "," EXP "}", "sub is not"},
        {"{\"sub\":\"ann\"," AUD "," EXP "}", "sub is not"},
        {"{\"sub\":\"spiffe://example.org\"," AUD "," EXP "}", "sub is not"},
        {"{\"sub\":\"spiffe://example.org/a/../b\"," AUD "," EXP "}", "sub is not"},
        {"{\"sub\":[\"" ID "\"]," AUD "," EXP "}", "sub is not"},
        {"{\"sub\":\"" ID "\\u0000x\"," AUD "," EXP "}", "sub is not"},
        {"{\"sub\":\"spiffe://other.org/user/ann\"," AUD "," EXP "}", "foreign trust domain"},
        {"{" SUB "," EXP "}", "another audience"},
        {"{" SUB ",\"aud\":\"other\"," EXP "}", "another audience"},
        {"{" SUB ",\"aud\":[]," EXP "}", "another audience"},
        {"{" SUB ",\"aud\":[\"plexus2\",\"plexu\"]," EXP "}", "another audience"},
        {"{" SUB ",\"aud\":{\"plexus\":1}," EXP "}", "another audience"},
        {"{" SUB ",\"aud\":[[\"plexus\"]]," EXP "}", "another audience"},
        {"{" SUB "," AUD "}", "no exp"},
        {"{" SUB "," AUD ",\"exp\":\"1800000060\"}", "no exp"},
        {"{" SUB "," AUD ",\"exp\":-1}", "no exp"},
        {"{" SUB "," AUD ",\"exp\":1e300}", "no exp"},
        {"{" SUB "," AUD ",\"exp\":99999999999999999999999}", "no exp"},
        {"{" SUB "," AUD ",\"exp\":1800000000}", "expired"},
        {"{" SUB "," AUD ",\"exp\":0}", "expired"},
        {"{" SUB "," AUD ",\"exp\":1800086461}", "too far ahead"},
        {"{" SUB "," AUD "," EXP ",\"nbf\":1800000061}", "not valid yet"},
        {"{" SUB "," AUD "," EXP ",\"iat\":1800000061}", "not valid yet"},
        {"{" SUB "," AUD "," EXP ",\"nbf\":\"x\"}", "no number"},
        {"{" SUB "," SUB "," AUD "," EXP "}", "claims are not JSON"},
        {"{" SUB "," AUD "," EXP, "claims are not JSON"},
        {"[]", "sub is not"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf t = token("{\"alg\":\"ES256\"}", rows[i].claims, ES);
        expect(rows[i].claims, buf_bytes(&t), rows[i].why);
        buf_fini(&t);
    }
    struct spiffe_jwt jwt;
    struct err e = {0};
    struct buf t = token("{\"alg\":\"ES256\"}", "{" SUB ",\"aud\":\"\"," EXP "}", ES);
    assert_int_equal(spiffe_jwt_check(rig.bundle, buf_bytes(&t), BYTES(""), RIG_NOW_MS, &jwt, &e),
                     E_UNAUTH);
    buf_fini(&t);
}

static void test_shapes(void **state)
{
    (void)state;
    struct buf good = token("{\"alg\":\"ES256\"}", CLAIMS, ES);
    static char big[SPIFFE_JWT_MAX + 2];
    expect("empty", BYTES(""), "three parts");
    expect("one", BYTES("abc"), "three parts");
    expect("two", BYTES("abc.def"), "three parts");
    expect("four", BYTES("e30.e30.e30.e30"), "three parts");
    expect("signs", BYTES("e30=.e30.e30"), "base64url");
    expect("dots", BYTES(".."), "not JSON");
    memset(big, 'A', sizeof big);
    expect("long", (struct bytes){big, sizeof big}, "too long");
    for (size_t i = 0; i < good.n; i++) { // no character can be changed
        struct spiffe_jwt jwt;
        struct err e = {0};
        char c = good.p[i];
        good.p[i] = c == 'A' ? 'B' : 'A';
        if (spiffe_jwt_check(rig.bundle, buf_bytes(&good), BYTES("plexus"), RIG_NOW_MS, &jwt, &e) !=
            E_UNAUTH)
            fail_msg("character %zu does not matter", i);
        good.p[i] = c;
    }
    expect("good", buf_bytes(&good), NULL);
    (void)buf_chr(&good, '.');
    expect("dot", buf_bytes(&good), "three parts");
    buf_fini(&good);
}

static void test_made(void **state)
{
    (void)state;
    static const char *const audience[] = {"web", "plexus", NULL};
    struct spiffe_jwt_args args = {.id = ID,
                                   .audience = audience,
                                   .scopes = SCOPE_MODELS | SCOPE_READ,
                                   .epoch = 1ULL << 60,
                                   .wall_ms = RIG_NOW_MS,
                                   .ttl_ms = 60000};
    struct buf t;
    struct spiffe_jwt jwt = {0};
    struct err e = {0};
    buf_init(&t, SPIFFE_JWT_MAX);
    assert_int_equal(spiffe_jwt_make(rig.key, &args, &t, NULL), 0);
    assert_int_equal(
        spiffe_jwt_check(rig.bundle, buf_bytes(&t), BYTES("plexus"), RIG_NOW_MS, &jwt, &e), 0);
    assert_string_equal(jwt.id, ID);
    assert_int_equal(jwt.scopes, SCOPE_MODELS | SCOPE_READ);
    assert_true(jwt.epoch == 1ULL << 60);
    assert_int_equal(jwt.expires_ms, RIG_NOW_MS + 60000);
    assert_int_equal(
        spiffe_jwt_check(rig.bundle, buf_bytes(&t), BYTES("plexus"), RIG_NOW_MS + 60000, &jwt, &e),
        E_UNAUTH);
    buf_clear(&t);
    args.scopes = 0;
    args.epoch = 0;
    assert_int_equal(spiffe_jwt_make(rig.key, &args, &t, NULL), 0);
    assert_int_equal(
        spiffe_jwt_check(rig.bundle, buf_bytes(&t), BYTES("web"), RIG_NOW_MS, &jwt, &e), 0);
    assert_int_equal(jwt.scopes, 0);
    assert_int_equal(jwt.epoch, 0);
    buf_fini(&t);
    // words of others in the scope pass, known ones count
    t = token("{\"alg\":\"ES256\"}", "{" SUB "," AUD "," EXP ",\"scope\":\"openid  read x\"}", ES);
    assert_int_equal(
        spiffe_jwt_check(rig.bundle, buf_bytes(&t), BYTES("plexus"), RIG_NOW_MS, &jwt, &e), 0);
    assert_int_equal(jwt.scopes, SCOPE_READ);
    buf_clear(&t);
    static const char *const none[] = {NULL}, *const empty[] = {"", NULL};
    struct spiffe_jwt_args bad[] = {args, args, args, args, args, args};
    bad[0].audience = none;
    bad[1].audience = empty;
    bad[2].audience = NULL;
    bad[3].ttl_ms = 999;
    bad[4].ttl_ms = SPIFFE_JWT_TTL_MAX_MS + 1;
    bad[5].id = "user/ann";
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(spiffe_jwt_make(rig.key, &bad[i], &t, &e), E_INVALID);
    assert_int_equal(t.n, 0);
    buf_fini(&t);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_claims),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_made),
    };
    return cmocka_run_group_tests_name("JWT-SVIDs", tests, setup, teardown);
}
