// mcpd_token.c: access tokens of OAuth 2.1 authorization servers: JWTs by their issuer's keys.
// SPDX-License-Identifier: Apache-2.0
#include "toolbox/mcpd_token.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "crypto/base64url.h"
#include "crypto/sign.h"
#include "text/val.h"
#include <stdio.h>
#include <string.h>

#define JWKS_MAX ((size_t)256 << 10)

struct issuer_key {
    struct crypto_key *key;
    char id[128]; // kid, or ""
};
struct issuer {
    char *name, *audience;
    struct issuer_key keys[MCPD_ISSUER_KEYS_MAX];
    size_t count;
};
struct mcpd_tokens {
    struct issuer issuers[MCPD_ISSUERS_MAX];
    size_t count;
};

struct mcpd_tokens *mcpd_tokens_new(void)
{
    return mem_new(struct mcpd_tokens);
}

static void issuer_fini(struct issuer *s)
{
    for (size_t i = 0; i < s->count; i++)
        crypto_key_free(s->keys[i].key);
    mem_free(s->name);
    mem_free(s->audience);
    *s = (struct issuer){0};
}

void mcpd_tokens_free(struct mcpd_tokens *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->count; i++)
        issuer_fini(&t->issuers[i]);
    mem_free(t);
}

// ---- keys --------------------------------------------------------------------------------------

static int member(struct buf *to, const struct val *jwk, const char *name)
{
    struct bytes text = val_bytes(val_get_cstr(jwk, name));
    buf_init(to, 2048);
    return text.n ? base64url_parse(to, text) : E_PARSE;
}

static int key_of(const struct val *jwk, struct crypto_key **ret)
{
    struct bytes kind = val_bytes(val_get_cstr(jwk, "kty"));
    bool ec = bytes_is(kind, "EC") && bytes_is(val_bytes(val_get_cstr(jwk, "crv")), "P-256");
    struct buf a, b;
    int rc = E_UNSUPPORTED;
    buf_init(&a, 1);
    buf_init(&b, 1);
    if (ec && member(&a, jwk, "x") == 0 && member(&b, jwk, "y") == 0)
        rc = crypto_key_ec(ret, buf_bytes(&a), buf_bytes(&b), NULL);
    else if (bytes_is(kind, "RSA") && member(&a, jwk, "n") == 0 && member(&b, jwk, "e") == 0)
        rc = crypto_key_rsa(ret, buf_bytes(&a), buf_bytes(&b), NULL);
    buf_fini(&a);
    buf_fini(&b);
    return rc;
}

static void take_keys(struct issuer *s, const struct val *list)
{
    for (size_t i = 0; i < val_len(list) && s->count < MCPD_ISSUER_KEYS_MAX; i++) {
        const struct val *jwk = val_at(list, i);
        const struct val *use = val_get_cstr(jwk, "use");
        struct bytes id = val_bytes(val_get_cstr(jwk, "kid"));
        struct issuer_key *k = &s->keys[s->count];
        if ((use && !bytes_is(val_bytes(use), "sig")) || id.n >= sizeof(k->id) ||
            key_of(jwk, &k->key) < 0)
            continue;
        (void)snprintf(k->id, sizeof(k->id), "%.*s", BYTES_FMT(id));
        s->count++;
    }
}

int mcpd_tokens_add(struct mcpd_tokens *t, const char *issuer, const char *audience,
                    struct bytes jwks, struct err *e)
{
    AUTO(val) set = NULL;
    struct issuer *s = &t->issuers[t->count];
    if (t->count == MCPD_ISSUERS_MAX)
        return err_set(e, E_FULL, "more than %d issuers", MCPD_ISSUERS_MAX);
    if (jwks.n > JWKS_MAX)
        return err_set(e, E_TOOBIG, "%s: its keys are over %zu bytes", issuer, JWKS_MAX);
    int rc = val_parse(&set, jwks, e);
    if (rc < 0)
        return err_wrap(e, "%s: its keys", issuer);
    *s = (struct issuer){.name = mem_str(issuer), .audience = mem_str(audience)};
    take_keys(s, val_get_cstr(set, "keys"));
    if (!s->name || !s->audience)
        rc = err_set(e, E_NOMEM, "out of memory");
    else if (s->count == 0)
        rc = err_set(e, E_INVALID, "%s: no P-256 or RSA key for signatures among its keys", issuer);
    if (rc < 0)
        issuer_fini(s);
    else
        t->count++;
    return rc;
}

// ---- tokens ------------------------------------------------------------------------------------

struct parts {
    struct bytes text; // what is signed
    struct buf header_text, claims_text, sign;
    struct val *header, *claims;
};

static void parts_fini(struct parts *p)
{
    buf_fini(&p->header_text);
    buf_fini(&p->claims_text);
    buf_fini(&p->sign);
    val_unref(p->header);
    val_unref(p->claims);
}

static bool parts_of(struct parts *p, struct bytes token)
{
    struct bytes rest = token, header = bytes_cut(&rest, '.'), claims = bytes_cut(&rest, '.');
    *p = (struct parts){.text = {token.p, header.n + 1 + claims.n}};
    buf_init(&p->header_text, MCPD_TOKEN_MAX);
    buf_init(&p->claims_text, MCPD_TOKEN_MAX);
    buf_init(&p->sign, 2048);
    return token.n <= MCPD_TOKEN_MAX && rest.n && bytes_chr(rest, '.') < 0 &&
           base64url_parse(&p->header_text, header) == 0 &&
           base64url_parse(&p->claims_text, claims) == 0 && base64url_parse(&p->sign, rest) == 0 &&
           val_parse(&p->header, buf_bytes(&p->header_text), NULL) == 0 &&
           val_parse(&p->claims, buf_bytes(&p->claims_text), NULL) == 0 &&
           val_is(p->header, JSON_OBJ) && val_is(p->claims, JSON_OBJ);
}

static const struct issuer *issuer_of(const struct mcpd_tokens *t, const struct val *claims)
{
    struct bytes name = val_bytes(val_get_cstr(claims, "iss"));
    for (size_t i = 0; i < t->count; i++)
        if (bytes_is(name, t->issuers[i].name))
            return &t->issuers[i];
    return NULL;
}

static bool signed_by(const struct issuer *s, const struct parts *p)
{
    struct bytes id = val_bytes(val_get_cstr(p->header, "kid"));
    struct bytes alg = val_bytes(val_get_cstr(p->header, "alg"));
    bool rsa = bytes_is(alg, "RS256");
    if (!rsa && !bytes_is(alg, "ES256"))
        return false;
    for (size_t i = 0; i < s->count; i++) {
        const struct issuer_key *k = &s->keys[i];
        if ((!id.n || bytes_is(id, k->id)) && crypto_key_is_rsa(k->key) == rsa &&
            crypto_key_verify(k->key, p->text, buf_bytes(&p->sign)))
            return true;
    }
    return false;
}

static bool typ_fits(const struct val *header)
{
    const struct val *typ = val_get_cstr(header, "typ");
    struct bytes text = val_bytes(typ);
    return !typ || bytes_iis(text, "at+jwt") || bytes_iis(text, "application/at+jwt") ||
           bytes_iis(text, "JWT");
}

static bool made_for(const struct val *aud, const char *audience)
{
    if (val_is(aud, JSON_STR))
        return bytes_is(val_bytes(aud), audience);
    for (size_t i = 0; i < val_len(aud) && val_is(aud, JSON_ARR); i++)
        if (bytes_is(val_bytes(val_at(aud, i)), audience))
            return true;
    return false;
}

// NumericDate: seconds since 1970, also with a fraction. false: not there, or no such number.
static bool time_of(const struct val *claims, const char *name, int64_t *ret_ms)
{
    const struct val *v = val_get_cstr(claims, name);
    double seconds = val_dbl(v, -1);
    if (!val_is(v, JSON_NUM) || !(seconds >= 0 && seconds < 1e11))
        return false;
    *ret_ms = (int64_t)(seconds * 1000);
    return true;
}

static const char *time_fault(const struct val *claims, int64_t wall_ms, int64_t *ret_expires_ms)
{
    static const char *const begins[] = {"nbf", "iat"};
    for (size_t i = 0; i < sizeof(begins) / sizeof(begins[0]); i++) {
        int64_t at_ms;
        if (!val_get_cstr(claims, begins[i]))
            continue;
        if (!time_of(claims, begins[i], &at_ms) || at_ms > wall_ms + MCPD_TOKEN_SKEW_MS)
            return "the token is not yet valid";
    }
    if (!time_of(claims, "exp", ret_expires_ms))
        return "the token has no time when it expires";
    return *ret_expires_ms <= wall_ms ? "the token has expired" : NULL;
}

static const char *fault(const struct mcpd_tokens *t, const struct parts *p, int64_t wall_ms,
                         struct mcpd_token *ret)
{
    const struct issuer *s = issuer_of(t, p->claims);
    struct bytes subject = val_bytes(val_get_cstr(p->claims, "sub"));
    struct bytes scope = val_bytes(val_get_cstr(p->claims, "scope"));
    int64_t expires_ms = 0;
    if (!s)
        return "the token's issuer is not known here";
    if (!typ_fits(p->header) || val_get_cstr(p->header, "crit"))
        return "the token is of another kind";
    if (!signed_by(s, p))
        return "the token's signature does not fit";
    if (!made_for(val_get_cstr(p->claims, "aud"), s->audience))
        return "the token was made for another server";
    const char *why = time_fault(p->claims, wall_ms, &expires_ms);
    if (why)
        return why;
    if (subject.n == 0 || subject.n >= sizeof(ret->subject) || scope.n >= sizeof(ret->scope) ||
        strlen(s->name) >= sizeof(ret->issuer) || memchr(subject.p, 0, subject.n))
        return "the token says not who it is of";
    *ret = (struct mcpd_token){.expires_ms = expires_ms};
    (void)snprintf(ret->issuer, sizeof(ret->issuer), "%s", s->name);
    (void)snprintf(ret->subject, sizeof(ret->subject), "%.*s", BYTES_FMT(subject));
    (void)snprintf(ret->scope, sizeof(ret->scope), "%.*s", BYTES_FMT(scope));
    return NULL;
}

int mcpd_tokens_check(const struct mcpd_tokens *t, struct bytes token, int64_t wall_ms,
                      struct mcpd_token *ret, struct err *e)
{
    struct parts p;
    const char *why = parts_of(&p, token) ? fault(t, &p, wall_ms, ret) : "no such token";
    parts_fini(&p);
    return why ? err_set(e, E_UNAUTH, "%s", why) : 0;
}

bool mcpd_token_has(const struct mcpd_token *k, const char *scope)
{
    struct bytes rest = bytes_of(k->scope);
    while (rest.n)
        if (bytes_is(bytes_cut(&rest, ' '), scope))
            return true;
    return false;
}
