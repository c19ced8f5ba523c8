// auth_test.c: Digest and tokens, against a server that checks each answer on its own.
// SPDX-License-Identifier: Apache-2.0
#include "acts/acts_rig.h"
#include "base/rng.h"
#include "crypto/base64url.h"
#include "crypto/hash.h"
#include "crypto/hmac.h"
#include "crypto/md5.h"

// ---- Digest ------------------------------------------------------------------------------------

// A parameter of "Digest a=b, c=\"d\"".
static const char *param(const char *header, const char *name, char out[256])
{
    char key[64];
    (void)snprintf(key, sizeof key, " %s=", name);
    const char *at = strstr(header, key);
    if (!at)
        return NULL;
    at += strlen(key);
    if (*at == '"')
        (void)snprintf(out, 256, "%.*s", (int)strcspn(at + 1, "\""), at + 1);
    else
        (void)snprintf(out, 256, "%.*s", (int)strcspn(at, ","), at);
    return out;
}

static void sum(bool sha, const char *text, char hex[65])
{
    uint8_t bytes[32];
    if (sha)
        sha256_sum(bytes_of(text), bytes);
    else
        crypto_md5(bytes_of(text), bytes);
    crypto_hex(bytes, sha ? 32 : 16, hex);
}

// RFC 7616, section 3.4, written down once more.
static bool digest_fits(struct seen *s, bool sha, bool session, const char *qop)
{
    char uri[256], nc[256], cnonce[256], response[256], nonce[256], user[256], said[256];
    char a1[65], a2[65], want[65], body[65], text[2048];
    static char header[2048];
    (void)snprintf(header, sizeof header, "%s", seen_header(s, "Authorization"));
    if (strncmp(header, "Digest ", 7) != 0 || !param(header, "uri", uri) ||
        !param(header, "response", response) || !param(header, "nonce", nonce) ||
        !param(header, "username", user) || strcmp(nonce, "abc\\") != 0)
        return false;
    if (strcmp(uri, s->target) != 0 || strcmp(user, "Mufasa") != 0)
        return false;
    sum(sha, "Mufasa:the realm:Circle of Life", a1);
    if (session) {
        if (!param(header, "cnonce", cnonce))
            return false;
        (void)snprintf(text, sizeof text, "%s:%s:%s", a1, "abc\"", cnonce);
        sum(sha, text, a1);
    }
    if (qop && strcmp(qop, "auth-int") == 0) {
        sum(sha, buf_cstr(&s->body), body);
        (void)snprintf(text, sizeof text, "%s:%s:%s", s->method, uri, body);
    } else {
        (void)snprintf(text, sizeof text, "%s:%s", s->method, uri);
    }
    sum(sha, text, a2);
    if (qop) {
        if (!param(header, "nc", nc) || !param(header, "cnonce", cnonce) ||
            !param(header, "qop", said) || strcmp(said, qop) != 0)
            return false;
        (void)snprintf(text, sizeof text, "%s:%s:%s:%s:%s:%s", a1, "abc\"", nc, cnonce, qop, a2);
    } else {
        (void)snprintf(text, sizeof text, "%s:%s:%s", a1, "abc\"", a2);
    }
    sum(sha, text, want);
    return strcmp(want, response) == 0 && strstr(header, "opaque=\"op\"");
}

// The nonce has a quote inside: abc" travels as "abc\"".
#define CHALLENGE "realm=\"the realm\", nonce=\"abc\\\"\", opaque=\"op\""

static void answer_digest(struct rig *r, struct http_exchange *x, struct seen *s)
{
    static const struct {
        const char *path, *lines, *qop;
        bool sha, session;
    } cases[] = {
        {"/old", "WWW-Authenticate: Digest " CHALLENGE "\r\n", NULL, false, false},
        {"/md5", "WWW-Authenticate: Digest " CHALLENGE ", qop=\"auth\", algorithm=MD5\r\n", "auth",
         false, false},
        {"/sha",
         "WWW-Authenticate: Digest " CHALLENGE ", qop=\"auth,auth-int\", algorithm=MD5\r\n"
         "WWW-Authenticate: Basic realm=\"x, Digest\", Digest algorithm=SHA-256, "
         "qop=\"auth-int, auth\", " CHALLENGE ", Bearer\r\n",
         "auth", true, false},
        {"/int", "WWW-Authenticate: Digest " CHALLENGE ", qop=auth-int, algorithm=SHA-256-sess\r\n",
         "auth-int", true, true},
        {"/none", "WWW-Authenticate: Digest algorithm=SHA-512-256, " CHALLENGE "\r\n", NULL, false,
         false},
    };
    (void)r;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (strncmp(s->target, cases[i].path, strlen(cases[i].path)) != 0)
            continue;
        if (digest_fits(s, cases[i].sha, cases[i].session, cases[i].qop))
            rig_json(x, 200, "\"in\"");
        else
            http_reply(x, 401, "text/plain", bytes_of(cases[i].lines), BYTES("who?"));
        return;
    }
    rig_json(x, 404, "{}");
}

static void next_digest(struct rig *r, unsigned round)
{
#define AUTH(path, password)                                                                       \
    "{\"method\":\"post\",\"body\":{\"a\":1},\"endpoint\":{\"uri\":\"%B" path                      \
    "\",\"authentication\":{\"digest\":{\"username\":\"Mufasa\",\"password\":\"" password "\"}}}}"
    static const char *const with[] = {
        AUTH("/old", "Circle of Life"),  AUTH("/md5?a=b", "Circle of Life"),
        AUTH("/sha", "Circle of Life"),  AUTH("/int", "Circle of Life"),
        AUTH("/none", "Circle of Life"), AUTH("/md5", "wrong word"),
    };
    if (round < sizeof with / sizeof *with)
        (void)rig_do(r, "http", with[round], 0);
    else
        rig_done(r);
}

static void test_digest(void **state)
{
    (void)state;
    static struct rig r;
    r.answer = answer_digest;
    rig_run(&r, next_digest);
    for (int i = 0; i < 4; i++)
        gave(&r.ones[i], "\"in\"");
    assert_string_equal(buf_cstr(&r.seen[7].body), "{\"a\":1}"); // sent again, whole
    failed(&r.ones[4], "authentication", 401, true, "no Digest challenge");
    failed(&r.ones[5], "communication", 401, true, "who?");
    hidden(&r.ones[5], "wrong word");
    assert_int_equal(r.requests, 4 * 2 + 1 + 2);
    rig_fini(&r);
}

// RFC 1321, section A.5.
static void test_md5(void **state)
{
    static const char *const cases[][2] = {
        {"", "d41d8cd98f00b204e9800998ecf8427e"},
        {"abc", "900150983cd24fb0d6963f7d28e17f72"},
        {"message digest", "f96b697d7cb7938d525a2f31aaf161d0"},
        {"12345678901234567890123456789012345678901234567890123456789012345678901234567890",
         "57edf4a22be3c955ac49da2e2107b67a"},
        {"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
         "d174ab98d277d9f5a5611c2c9f419d9f"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char hex[65];
        sum(false, cases[i][0], hex);
        assert_string_equal(hex, cases[i][1]);
    }
}

// Any bytes as a challenge: an answer or an error, never more. The pieces make hits likely.
static void test_hostile(void **state)
{
    static const char *const pieces[] = {"Digest ",
                                         "Basic ",
                                         "realm=",
                                         "nonce=",
                                         "qop=",
                                         "algorithm=",
                                         "\"",
                                         "\\",
                                         ",",
                                         " ",
                                         "=",
                                         "MD5",
                                         "SHA-256-sess",
                                         "auth",
                                         "auth-int",
                                         "opaque=\"o\"",
                                         "userhash=true",
                                         "\xff",
                                         "a"};
    struct rng rng;
    unsigned answered = 0;
    (void)state;
    rng_init(&rng, 5);
    for (int round = 0; round < 20000; round++) {
        char text[400];
        size_t n = 0;
        for (uint64_t left = rng_below(&rng, 25); left > 0; left--)
            n += (size_t)snprintf(text + n, sizeof text - n, "%s",
                                  pieces[rng_below(&rng, sizeof pieces / sizeof *pieces)]);
        char *exact = mem_dup(text, n); // so that a byte too far is seen
        struct act_header header = {BYTES("WWW-Authenticate"), {exact, n}};
        struct act_fetch f = {.headers = &header, .header_count = 1};
        struct act_auth x = {0};
        struct err e = {0};
        buf_init(&x.user, 64);
        buf_init(&x.password, 64);
        (void)buf_str(&x.user, "u");
        (void)buf_str(&x.password, "p");
        int rc = act_digest(&x, &f, BYTES("GET"), BYTES("/"), BYTES("body"), &e);
        assert_true(rc == 0 || rc == E_UNSUPPORTED);
        answered += rc == 0;
        act_auth_fini(&x);
        mem_free(exact);
    }
    assert_in_range(answered, 100, 19000);
    assert_int_equal(mem_live(), 0);
}

// ---- tokens ------------------------------------------------------------------------------------

static unsigned tokens;

static bool jwt_fits(struct rig *r, const struct bytes form)
{
    ptrdiff_t at = bytes_find(form, BYTES("client_assertion="));
    struct bytes rest = bytes_from(form, (size_t)at + 17), jwt = bytes_cut(&rest, '&'), claims;
    struct bytes tail = jwt;
    uint8_t mac[HMAC_LEN];
    struct buf text, want;
    struct bytes head = bytes_cut(&tail, '.');
    claims = bytes_cut(&tail, '.');
    hmac_sum(BYTES("s3cret"), bytes_first(jwt, head.n + 1 + claims.n), mac);
    buf_init(&want, 100);
    buf_init(&text, 4096);
    (void)base64url_put(&want, (struct bytes){(const char *)mac, sizeof mac});
    (void)base64url_parse(&text, claims);
    char audience[200];
    (void)snprintf(audience, sizeof audience, "\"aud\":\"%s/jwt/oauth2/token\"", r->base);
    bool good = bytes_eq(tail, buf_bytes(&want)) && strstr(buf_cstr(&text), "\"iss\":\"me\"") &&
                strstr(buf_cstr(&text), audience);
    buf_fini(&want);
    buf_fini(&text);
    return good;
}

static bool has(struct seen *s, const char *part)
{
    return strstr(buf_cstr(&s->body), part) != NULL;
}

static void answer_token(struct rig *r, struct http_exchange *x, struct seen *s)
{
    char json[512];
    bool good = true;
    if (strcmp(s->target, "/oidc/.well-known/openid-configuration") == 0) {
        (void)snprintf(json, sizeof json, "{\"token_endpoint\":\"%s/oidc/tokens\"}", r->base);
        rig_json(x, 200, json);
        return;
    }
    if (strncmp(s->target, "/api", 4) == 0) {
        char want[64];
        (void)snprintf(want, sizeof want, "Bearer token-%u", tokens);
        good = strcmp(seen_header(s, "Authorization"), want) == 0 &&
               (!strstr(s->target, "twice") || tokens > 2);
        rig_json(x, good ? 200 : 401, good ? "\"in\"" : "\"out\"");
        return;
    }
    if (strstr(s->target, "/basic/"))
        good = strcmp(seen_header(s, "Authorization"), "Basic bWUlM0E6czNjcmV0") ==
                   0 && // "me%3A:s3cret"
               !has(s, "client_secret");
    else if (strstr(s->target, "/jwt/"))
        good = jwt_fits(r, buf_bytes(&s->body));
    else if (strstr(s->target, "/password"))
        good =
            has(s, "grant_type=password") && has(s, "username=bob") && has(s, "password=pa%20ss");
    else if (strstr(s->target, "/json/"))
        good = has(s, "{\"grant_type\":\"client_credentials\"") && has(s, "\"client_id\":\"me\"");
    else if (strstr(s->target, "/exchange/"))
        good = has(s, "token-exchange") && has(s, "subject_token=st") && has(s, "actor_token=at");
    else if (strstr(s->target, "/refresh/"))
        good = has(s, "grant_type=refresh_token") && has(s, "refresh_token=rt");
    else if (strstr(s->target, "/refused/"))
        good = false;
    else
        good = has(s, "grant_type=client_credentials") && has(s, "client_id=me") &&
               has(s, "client_secret=s3cret") && has(s, "scope=a%20b") && has(s, "audience=c");
    (void)snprintf(json, sizeof json,
                   good ? "{\"access_token\":\"token-%u\",\"token_type\":\"bearer\",\"expires_in\":"
                          "3600}"
                        : "{\"error\":\"invalid_client\",\"error_description\":\"not s3cret, %u\"}",
                   ++tokens);
    rig_json(x, good ? 200 : 401, json);
}

#define CALL(path, kind, policy)                                                                   \
    "{\"method\":\"get\",\"endpoint\":{\"uri\":\"%B" path "\",\"authentication\":{\"" kind         \
    "\":" policy "}}}"
#define CLIENT "\"client\":{\"id\":\"me\",\"secret\":\"s3cret\"}"
#define POST_POLICY                                                                                \
    "{\"authority\":\"%B/realm/\",\"grant\":\"client_credentials\"," CLIENT                        \
    ",\"scopes\":[\"a\",\"b\"],\"audiences\":[\"c\"]}"

static const char *const token_calls[] = {
    CALL("/api", "oauth2", POST_POLICY), // 0: asks
    CALL("/api", "oauth2", POST_POLICY), // 1: kept
    CALL("/api", "oauth2",
         "{\"authority\":\"%B/basic\",\"grant\":\"client_credentials\",\"client\":{\"id\":\"me:\","
         "\"secret\":\"s3cret\",\"authentication\":\"client_secret_basic\"}}"),
    CALL("/api/twice", "oauth2", POST_POLICY), // 3: the kept one is refused, a new one is good
    CALL("/api", "oauth2",
         "{\"authority\":\"%B/jwt\",\"grant\":\"client_credentials\",\"client\":{\"id\":\"me\","
         "\"secret\":\"s3cret\",\"authentication\":\"client_secret_jwt\"}}"),
    CALL("/api", "oauth2",
         "{\"authority\":\"%B/x\",\"endpoints\":{\"token\":\"/password\"},\"grant\":\"password\","
         "\"username\":\"bob\",\"password\":\"pa ss\"," CLIENT "}"),
    CALL("/api", "oauth2",
         "{\"authority\":\"%B/json\",\"grant\":\"client_credentials\",\"request\":{\"encoding\":"
         "\"application/json\"}," CLIENT "}"),
    CALL("/api", "oauth2",
         "{\"authority\":\"%B/exchange\",\"grant\":\"urn:ietf:params:oauth:grant-type:token-"
         "exchange\",\"subject\":{\"token\":\"st\",\"type\":\"t\"},\"actor\":{\"token\":\"at\","
         "\"type\":\"t\"}," CLIENT "}"),
    CALL("/api", "oauth2",
         "{\"authority\":\"%B/refresh\",\"grant\":\"refresh_token\",\"subject\":{\"token\":\"rt\","
         "\"type\":\"t\"},\"client\":{\"id\":\"me\",\"authentication\":\"none\"}}"),
    CALL("/api", "oidc",
         "{\"authority\":\"%B/oidc\",\"grant\":\"client_credentials\"," CLIENT
         ",\"scopes\":[\"a\",\"b\"],\"audiences\":[\"c\"]}"),
    CALL("/api", "oauth2",
         "{\"authority\":\"%B/refused\",\"grant\":\"client_credentials\"," CLIENT "}"),
    CALL("/api", "oauth2", "{\"authority\":\"%B\",\"grant\":\"authorization_code\"," CLIENT "}"),
    CALL("/api", "oauth2", "{\"grant\":\"client_credentials\"," CLIENT "}"),
    CALL("/api", "oauth2", "{\"authority\":\"%B\",\"grant\":\"client_credentials\"}"),
    CALL("/api", "oauth2",
         "{\"authority\":\"%B/realm\",\"grant\":\"client_credentials\"," CLIENT
         ",\"scopes\":[\"a\",\"b\"],\"audiences\":[\"c\"],\"issuers\":[\"https://other\"]}"),
    CALL("/api", "oidc",
         "{\"authority\":\"http://127.0.0.1:1\",\"grant\":\"password\"," CLIENT "}"),
};

static void next_token(struct rig *r, unsigned round)
{
    if (round < sizeof token_calls / sizeof *token_calls)
        (void)rig_do(r, "http", token_calls[round], 0);
    else
        rig_done(r);
}

static void test_tokens(void **state)
{
    (void)state;
    static struct rig r;
    tokens = 0;
    r.answer = answer_token;
    rig_run(&r, next_token);
    for (int i = 0; i < 10; i++)
        gave(&r.ones[i], "\"in\"");
    assert_string_equal(r.seen[0].target, "/realm/oauth2/token");
    assert_string_equal(r.seen[1].target, "/api");
    assert_string_equal(r.seen[2].target, "/api"); // the second asked for no token
    failed(&r.ones[10], "authentication", 401, true, "invalid_client not ***");
    failed(&r.ones[11], "configuration", 400, true, "person at a browser");
    failed(&r.ones[12], "configuration", 400, true, "authority");
    failed(&r.ones[13], "configuration", 400, true, "client.id");
    failed(&r.ones[14], "authentication", 401, true, "none of the policy's issuers");
    failed(&r.ones[15], "communication", 500, false, "127.0.0.1:1");
    rig_fini(&r);
}

static int tests(void)
{
    const struct CMUnitTest all[] = {
        cmocka_unit_test(test_md5),
        cmocka_unit_test(test_digest),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_tokens),
    };
    return cmocka_run_group_tests_name("auth", all, NULL, NULL);
}

int main(int argc, char **argv)
{
    return rig_main(argc, argv, tests);
}
