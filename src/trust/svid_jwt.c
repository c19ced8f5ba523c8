// svid_jwt.c: JWT-SVIDs (JWT-SVID standard; RFC 7515, 7519) and the bundle as JWKS (RFC 7517).
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "crypto/base64url.h"
#include "text/json.h"
#include "trust/jws_priv.h"
#include "trust/svid_priv.h"
#include "trust/trust.h"
#include <string.h>

#define AUDIENCES_MAX 16

void spiffe_kid(const uint8_t hash[SHA256_LEN], char ret[SPIFFE_KID_MAX])
{
    struct buf text;
    buf_init(&text, SPIFFE_KID_MAX);
    (void)base64url_put(&text, (struct bytes){(const char *)hash, SHA256_LEN});
    memcpy(ret, buf_cstr(&text), text.n + 1); // no memory: empty, which no key has
    buf_fini(&text);
}

// ---- making ----

static void put_scope(struct json_w *w, unsigned scopes)
{
    struct buf text;
    buf_init(&text, 64);
    scope_put(&text, scopes);
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] == ',')
            text.p[i] = ' '; // RFC 8693, section 4.2
    json_w_str(w, "scope", buf_bytes(&text));
    buf_fini(&text);
}

static void put_claims(struct buf *out, const struct spiffe_jwt_args *args)
{
    struct json_w w;
    json_w_init(&w, out);
    json_w_obj(&w, NULL);
    json_w_cstr(&w, "sub", args->id);
    json_w_arr(&w, "aud");
    for (const char *const *a = args->audience; *a; a++)
        json_w_cstr(&w, NULL, *a);
    json_w_end(&w);
    json_w_i64(&w, "iat", args->wall_ms / 1000);
    json_w_i64(&w, "exp", (args->wall_ms + args->ttl_ms) / 1000);
    if (args->scopes)
        put_scope(&w, args->scopes);
    if (args->epoch)
        json_w_u64(&w, "plexus_epoch", args->epoch);
    json_w_end(&w);
}

static int make_check(const struct spiffe_jwt_args *args, struct err *e)
{
    struct spiffe_id id;
    size_t n = 0;
    while (args->audience && args->audience[n])
        if (!args->audience[n++][0] || n > AUDIENCES_MAX)
            return err_set(e, E_INVALID, "a token has 1 to %d audiences, none empty",
                           AUDIENCES_MAX);
    if (n == 0)
        return err_set(e, E_INVALID, "a token needs an audience");
    if (args->ttl_ms < 1000 || args->ttl_ms > SPIFFE_JWT_TTL_MAX_MS)
        return err_set(e, E_INVALID, "a token lives 1 second to %lld hours",
                       SPIFFE_JWT_TTL_MAX_MS / 3600000);
    return spiffe_parse(&id, bytes_of(args->id), e);
}

int spiffe_jwt_make(const struct crypto_key *k, const struct spiffe_jwt_args *args, struct buf *out,
                    struct err *e)
{
    uint8_t hash[SHA256_LEN], sign[CRYPTO_SIGN_LEN];
    char kid[SPIFFE_KID_MAX];
    struct buf part, text;
    int rc = make_check(args, e);
    if (rc == 0)
        rc = crypto_key_hash(k, hash, e);
    if (rc != 0)
        return rc;
    spiffe_kid(hash, kid);
    buf_init(&part, SPIFFE_JWT_MAX);
    buf_init(&text, SPIFFE_JWT_MAX);
    (void)buf_fmt(&part, "{\"alg\":\"ES256\",\"kid\":\"%s\",\"typ\":\"JWT\"}", kid);
    (void)base64url_put(&text, buf_bytes(&part));
    (void)buf_chr(&text, '.');
    buf_clear(&part);
    put_claims(&part, args);
    (void)base64url_put(&text, buf_bytes(&part));
    rc = part.failed ? part.failed : text.failed;
    rc = rc ? err_set(e, rc, "no room for a token") : crypto_key_sign(k, buf_bytes(&text), sign, e);
    if (rc == 0) {
        (void)buf_chr(&text, '.');
        (void)base64url_put(&text, (struct bytes){(const char *)sign, sizeof sign});
        if (text.failed || buf_put(out, buf_bytes(&text)) != 0)
            rc = err_set(e, text.failed ? text.failed : out->failed, "no room for a token");
    }
    buf_fini(&part);
    buf_fini(&text);
    return rc;
}

// ---- checking ----

static int refuse(struct err *e, const char *why)
{
    return err_set(e, E_UNAUTH, "the token is not valid: %s", why);
}

// The key of the kid, of the kind that alg needs; without kid each of that kind is tried.
static bool signed_by(const void *user, const struct jws *p, struct bytes kid, bool rsa)
{
    const struct spiffe_bundle *b = user;
    char name[SPIFFE_KID_MAX];
    for (int i = 0; i < b->count; i++) {
        const struct spiffe_authority *a = &b->list[i];
        if (!a->key || crypto_key_is_rsa(a->key) != rsa)
            continue;
        spiffe_kid(a->hash, name);
        if ((!kid.p || bytes_is(kid, name)) &&
            crypto_key_verify(a->key, p->signing_input, buf_bytes(&p->sign)))
            return true;
    }
    return false;
}

static int header_check(const struct spiffe_bundle *b, const struct jws *p, struct err *e)
{
    static const char *const types[] = {"JWT", "JOSE", NULL};
    return jws_head(p, types, signed_by, b, "it is not signed by this trust domain's authority", e);
}

static int claims_check(const struct spiffe_bundle *b, const struct json *claims,
                        struct bytes audience, int64_t wall_ms, struct spiffe_jwt *ret,
                        struct err *e)
{
    struct spiffe_id id;
    struct bytes sub = json_str(json_get(claims, "sub"));
    if (spiffe_parse(&id, sub, NULL) != 0 || id.path.n == 0)
        return refuse(e, "its sub is not a SPIFFE ID with a path");
    if (!bytes_is(id.domain, b->domain))
        return refuse(e, "it is of a foreign trust domain");
    if (audience.n == 0 || !jws_audience(json_get(claims, "aud"), audience))
        return refuse(e, "it is meant for another audience");
    int rc = jws_times(claims, wall_ms, SPIFFE_JWT_TTL_MAX_MS, &ret->expires_ms, e);
    if (rc != 0)
        return rc;
    int64_t epoch = json_i64(json_get(claims, "plexus_epoch"), 0);
    ret->epoch = epoch > 0 ? (uint64_t)epoch : 0;
    ret->scopes = jws_scopes(json_get(claims, "scope"));
    memcpy(ret->id, sub.p, sub.n);
    ret->id[sub.n] = 0;
    return 0;
}

int spiffe_jwt_check(const struct spiffe_bundle *b, struct bytes token, struct bytes audience,
                     int64_t wall_ms, struct spiffe_jwt *ret, struct err *e)
{
    struct jws p;
    struct json_doc *doc = NULL;
    struct spiffe_jwt found = {0};
    int rc = jws_open(&p, token, e);
    if (rc == 0)
        rc = header_check(b, &p, e);
    if (rc == 0 && json_parse(&doc, buf_bytes(&p.claims), JSON_UNIQUE, NULL) != 0)
        rc = refuse(e, "its claims are not JSON");
    if (rc == 0)
        rc = claims_check(b, json_root(doc), audience, wall_ms, &found, e);
    if (rc == 0)
        *ret = found;
    json_free(doc);
    jws_fini(&p);
    return rc;
}

// ---- JWKS ----

static void put_b64(struct json_w *w, const char *name, const uint8_t *p, size_t n)
{
    struct buf text;
    buf_init(&text, 64);
    (void)base64url_put(&text, (struct bytes){(const char *)p, n});
    json_w_str(w, name, buf_bytes(&text));
    buf_fini(&text);
}

// x5c is base64 with padding (RFC 7517, section 4.7): the lines of PEM without its frame.
static int put_x5c(struct json_w *w, const struct spiffe_authority *a)
{
    struct buf pem, one;
    buf_init(&pem, 2 * X509_DER_MAX);
    buf_init(&one, 2 * X509_DER_MAX);
    int rc = x509_pem_put(&pem, "CERTIFICATE", buf_bytes(&a->der));
    for (struct bytes rest = buf_bytes(&pem); rc == 0 && rest.n > 0;) {
        struct bytes line = bytes_cut(&rest, '\n');
        if (!bytes_starts(line, BYTES("-----")))
            rc = buf_put(&one, line);
    }
    json_w_arr(w, "x5c");
    json_w_str(w, NULL, buf_bytes(&one));
    json_w_end(w);
    buf_fini(&pem);
    buf_fini(&one);
    return rc;
}

static int put_key(struct json_w *w, const struct spiffe_authority *a, bool x509)
{
    uint8_t x[32], y[32];
    char kid[SPIFFE_KID_MAX];
    int rc = crypto_key_xy(a->key, x, y, NULL);
    if (rc != 0)
        return rc;
    json_w_obj(w, NULL);
    json_w_cstr(w, "use", x509 ? "x509-svid" : "jwt-svid");
    json_w_cstr(w, "kty", "EC");
    json_w_cstr(w, "crv", "P-256");
    put_b64(w, "x", x, sizeof x);
    put_b64(w, "y", y, sizeof y);
    spiffe_kid(a->hash, kid);
    if (x509)
        rc = put_x5c(w, a);
    else
        json_w_cstr(w, "kid", kid);
    json_w_end(w);
    return rc;
}

int spiffe_bundle_jwks(const struct spiffe_bundle *b, uint64_t sequence, struct buf *out)
{
    struct json_w w;
    int rc = 0;
    json_w_init(&w, out);
    json_w_obj(&w, NULL);
    json_w_arr(&w, "keys");
    for (int i = 0; rc == 0 && i < b->count; i++) {
        if (!b->list[i].key || crypto_key_is_rsa(b->list[i].key))
            continue; // ours are P-256
        rc = put_key(&w, &b->list[i], true);
        if (rc == 0)
            rc = put_key(&w, &b->list[i], false);
    }
    json_w_end(&w);
    json_w_u64(&w, "spiffe_sequence", sequence);
    json_w_i64(&w, "spiffe_refresh_hint", 300);
    json_w_end(&w);
    return rc ? rc : out->failed;
}
