// jws.c: signed tokens in their compact form (RFC 7515, 7519).
// SPDX-License-Identifier: Apache-2.0
#include "crypto/base64url.h"
#include "trust/jws_priv.h"
#include "trust/trust.h"

#define PARTS_MAX (2 * (size_t)JWS_MAX)
#define SKEW_MS 60000 // clocks may differ by this much where a token begins

static int refuse(struct err *e, const char *why)
{
    return err_set(e, E_UNAUTH, "the token is not valid: %s", why);
}

int jws_open(struct jws *p, struct bytes token, struct err *e)
{
    struct bytes rest = token;
    buf_init(&p->header, PARTS_MAX);
    buf_init(&p->claims, PARTS_MAX);
    buf_init(&p->sign, PARTS_MAX);
    if (token.n > JWS_MAX)
        return refuse(e, "it is too long");
    struct bytes header = bytes_cut(&rest, '.'), claims = bytes_cut(&rest, '.'), sign = rest;
    if (!sign.p || bytes_chr(sign, '.') >= 0)
        return refuse(e, "it has not three parts");
    p->signing_input = bytes_first(token, header.n + 1 + claims.n);
    if (base64url_parse(&p->header, header) != 0 || base64url_parse(&p->claims, claims) != 0 ||
        base64url_parse(&p->sign, sign) != 0)
        return refuse(e, "its parts are not base64url");
    return 0;
}

void jws_fini(struct jws *p)
{
    buf_fini(&p->header);
    buf_fini(&p->claims);
    buf_fini(&p->sign);
}

static bool is_one(const char *const *list, struct bytes text)
{
    for (; *list; list++)
        if (bytes_is(text, *list))
            return true;
    return false;
}

int jws_head(const struct jws *p, const char *const *types, jws_signed_fn fn, const void *user,
             const char *nobody, struct err *e)
{
    struct json_doc *doc = NULL;
    if (json_parse(&doc, buf_bytes(&p->header), JSON_UNIQUE, NULL) != 0)
        return refuse(e, "its header is not JSON");
    const struct json *root = json_root(doc), *typ = json_get(root, "typ"),
                      *kid = json_get(root, "kid");
    struct bytes alg = json_str(json_get(root, "alg"));
    bool ec = bytes_is(alg, "ES256"), rsa = bytes_is(alg, "RS256");
    int rc = 0;
    if (!ec && !rsa)
        rc = refuse(e, "its alg is neither ES256 nor RS256");
    else if (typ && !is_one(types, json_str(typ)))
        rc = refuse(e, "its typ is neither JWT nor JOSE");
    else if (json_get(root, "crit"))
        rc = refuse(e, "it needs an extension that is not known here");
    else if (kid && !json_is(kid, JSON_STR))
        rc = refuse(e, "its kid is not a text");
    else if (!fn(user, p, kid ? json_str(kid) : BYTES_NONE, rsa))
        rc = refuse(e, nobody);
    json_free(doc);
    return rc;
}

bool jws_audience(const struct json *aud, struct bytes audience)
{
    if (json_is(aud, JSON_STR))
        return bytes_eq(json_str(aud), audience);
    for (size_t i = 0; json_is(aud, JSON_ARR) && i < json_len(aud); i++)
        if (bytes_eq(json_str(json_at(aud, i)), audience))
            return true;
    return false;
}

// NumericDate (RFC 7519, section 2) in milliseconds; false: no sane number.
static bool date_ms(const struct json *v, int64_t *ret)
{
    double seconds = json_is(v, JSON_NUM) ? json_num(v, -1) : -1;
    if (!(seconds >= 0 && seconds < 1e11)) // the year 5138
        return false;
    *ret = (int64_t)(seconds * 1000);
    return true;
}

int jws_times(const struct json *claims, int64_t wall_ms, int64_t most_ms, int64_t *ret_expires,
              struct err *e)
{
    static const char *const starts[] = {"nbf", "iat"};
    int64_t ms;
    if (!date_ms(json_get(claims, "exp"), &ms))
        return refuse(e, "it has no exp");
    if (ms <= wall_ms)
        return refuse(e, "it is expired");
    if (ms > wall_ms + most_ms + SKEW_MS)
        return refuse(e, "its exp is too far ahead");
    *ret_expires = ms;
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
        const struct json *v = json_get(claims, starts[i]);
        if (v && !date_ms(v, &ms))
            return refuse(e, "a time in it is no number");
        if (v && ms > wall_ms + SKEW_MS)
            return refuse(e, "it is not valid yet: is a clock wrong?");
    }
    return 0;
}

unsigned jws_scopes(const struct json *scope)
{
    struct bytes text = json_str(scope);
    unsigned scopes = 0, one;
    while (text.n > 0) {
        struct bytes word = bytes_cut(&text, ' ');
        if (word.n > 0 && scope_parse(word, &one, NULL) == 0)
            scopes |= one; // words that another service understands pass
    }
    return scopes;
}
