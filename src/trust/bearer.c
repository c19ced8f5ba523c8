// bearer.c: access tokens of an authorization server outside (RFC 9068, RFC 7517, RFC 7519).
// SPDX-License-Identifier: Apache-2.0
#include "trust/bearer.h"
#include "base/alloc.h"
#include "crypto/base64url.h"
#include "crypto/sign.h"
#include "trust/jws_priv.h"
#include <stdio.h>
#include <string.h>

#define AHEAD_MS ((int64_t)24 * 3600 * 1000)
#define KID_MAX 128
#define TEXT_MAX 512

struct bearer_key {
    struct crypto_key *key;
    char kid[KID_MAX + 1]; // "": none
};
struct bearer {
    char issuer[TEXT_MAX], audience[TEXT_MAX];
    struct bearer_key keys[BEARER_KEYS_MAX];
    size_t count;
};

// ---- the keys -----------------------------------------------------------------------------------

static int member(const struct json *jwk, const char *name, struct buf *out)
{
    struct bytes text = json_str(json_get(jwk, name));
    return text.n ? base64url_parse(out, text) : E_INVALID;
}

static int open_key(const struct json *jwk, struct crypto_key **ret)
{
    struct bytes kty = json_str(json_get(jwk, "kty"));
    bool ec = bytes_is(kty, "EC") && bytes_is(json_str(json_get(jwk, "crv")), "P-256");
    struct buf a, b;
    buf_init(&a, 2048);
    buf_init(&b, 2048);
    int rc = ec || bytes_is(kty, "RSA") ? 0 : E_UNSUPPORTED;
    if (rc == 0 && (member(jwk, ec ? "x" : "n", &a) || member(jwk, ec ? "y" : "e", &b)))
        rc = E_INVALID;
    if (rc == 0)
        rc = ec ? crypto_key_ec(ret, buf_bytes(&a), buf_bytes(&b), NULL)
                : crypto_key_rsa(ret, buf_bytes(&a), buf_bytes(&b), NULL);
    buf_fini(&a);
    buf_fini(&b);
    return rc;
}

static void take_keys(struct bearer *b, const struct json *keys)
{
    for (size_t i = 0; i < json_len(keys) && b->count < BEARER_KEYS_MAX; i++) {
        const struct json *jwk = json_at(keys, i);
        struct bytes kid = json_str(json_get(jwk, "kid")), use = json_str(json_get(jwk, "use"));
        struct bearer_key *k = &b->keys[b->count];
        if (kid.n > KID_MAX || (use.n && !bytes_is(use, "sig")) || open_key(jwk, &k->key) != 0)
            continue;
        if (kid.n)
            memcpy(k->kid, kid.p, kid.n);
        b->count++;
    }
}

int bearer_open(struct bearer **ret, struct bytes issuer, struct bytes audience, struct bytes jwks,
                struct err *e)
{
    struct json_doc *doc = NULL;
    if (!issuer.n || issuer.n >= TEXT_MAX || !audience.n || audience.n >= TEXT_MAX)
        return err_set(e, E_INVALID, "issuer and audience have 1 to %d bytes", TEXT_MAX - 1);
    int rc = json_parse(&doc, jwks, JSON_UNIQUE, e);
    if (rc != 0)
        return rc;
    struct bearer *b = mem_new(struct bearer);
    if (b) {
        memcpy(b->issuer, issuer.p, issuer.n);
        memcpy(b->audience, audience.p, audience.n);
        take_keys(b, json_get(json_root(doc), "keys"));
    }
    json_free(doc);
    if (!b)
        return err_set(e, E_NOMEM, "out of memory");
    if (!b->count) {
        bearer_free(b);
        return err_set(e, E_INVALID, "no key in the set is of kind EC P-256 or RSA");
    }
    *ret = b;
    return 0;
}

void bearer_free(struct bearer *b)
{
    for (size_t i = 0; b && i < b->count; i++)
        crypto_key_free(b->keys[i].key);
    mem_free(b);
}

const char *bearer_issuer(const struct bearer *b)
{
    return b->issuer;
}

// ---- a token ------------------------------------------------------------------------------------

static bool signed_by(const void *user, const struct jws *p, struct bytes kid, bool rsa)
{
    const struct bearer *b = user;
    for (size_t i = 0; i < b->count; i++) {
        const struct bearer_key *k = &b->keys[i];
        bool named = !kid.p || !k->kid[0] || bytes_is(kid, k->kid);
        if (named && crypto_key_is_rsa(k->key) == rsa &&
            crypto_key_verify(k->key, p->signing_input, buf_bytes(&p->sign)))
            return true;
    }
    return false;
}

bool bearer_names(const struct bearer *b, struct bytes token)
{
    struct jws p;
    struct json_doc *doc = NULL;
    bool is = jws_open(&p, token, NULL) == 0 &&
              json_parse(&doc, buf_bytes(&p.claims), JSON_UNIQUE, NULL) == 0 &&
              bytes_is(json_str(json_get(json_root(doc), "iss")), b->issuer);
    json_free(doc);
    jws_fini(&p);
    return is;
}

static int claims_check(const struct bearer *b, const struct json *claims, int64_t wall_ms,
                        struct bearer_said *ret, struct err *e)
{
    struct bytes sub = json_str(json_get(claims, "sub"));
    if (!bytes_is(json_str(json_get(claims, "iss")), b->issuer))
        return err_set(e, E_UNAUTH, "the token is not valid: it is of another issuer");
    if (!jws_audience(json_get(claims, "aud"), bytes_of(b->audience)))
        return err_set(e, E_UNAUTH, "the token is not valid: it is meant for another audience");
    int rc = jws_times(claims, wall_ms, AHEAD_MS, &ret->expires_ms, e);
    if (rc != 0)
        return rc;
    if (!sub.n || sub.n > BEARER_WHO_MAX)
        return err_set(e, E_UNAUTH, "the token is not valid: it has no sub");
    ret->scopes = jws_scopes(json_get(claims, "scope"));
    memcpy(ret->who, sub.p, sub.n);
    ret->who[sub.n] = 0;
    return 0;
}

int bearer_check(const struct bearer *b, struct bytes token, int64_t wall_ms,
                 struct bearer_said *ret, struct err *e)
{
    static const char *const types[] = {"at+jwt", "application/at+jwt", "JWT", NULL};
    struct jws p;
    struct json_doc *doc = NULL;
    struct bearer_said found = {0};
    int rc = jws_open(&p, token, e);
    if (rc == 0)
        rc = jws_head(&p, types, signed_by, b, "it is not signed by a key of its issuer", e);
    if (rc == 0 && json_parse(&doc, buf_bytes(&p.claims), JSON_UNIQUE, NULL) != 0)
        rc = err_set(e, E_UNAUTH, "the token is not valid: its claims are not JSON");
    if (rc == 0)
        rc = claims_check(b, json_root(doc), wall_ms, &found, e);
    if (rc == 0)
        *ret = found;
    json_free(doc);
    jws_fini(&p);
    return rc;
}
