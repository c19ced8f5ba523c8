// authority_svid.c: identities other than a node's own: workers, agents, flows, users.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "base/time.h"
#include "trust/authority_priv.h"
#include "trust/trust.h"
#include <string.h>

// The node behind a requester's checked ID; NULL and an error when it may ask for nothing.
static const struct authority_grant *requester_of(const struct authority *a,
                                                  const struct authority_svid_args *args,
                                                  struct spiffe_id *ret_id, struct err *e)
{
    if (spiffe_parse(ret_id, bytes_of(args->requester), NULL) != 0)
        return err_set(e, E_FORBIDDEN, "whoever asks has no SPIFFE ID"), NULL;
    struct bytes node = spiffe_node(ret_id);
    const struct authority_grant *g = authority_grant_find(a, node);
    if (!bytes_is(ret_id->domain, a->domain) || node.n == 0 ||
        ret_id->path.n != node.n + strlen("/node/"))
        return err_set(e, E_FORBIDDEN, "%s is no node of this mesh", args->requester), NULL;
    if (!g || g->grant.epoch != args->requester_epoch)
        return err_set(e, E_FORBIDDEN, "%s is no longer in this mesh", args->requester), NULL;
    return g;
}

// Whose membership the identity ends with.
static int owner_epoch(const struct authority *a, const struct authority_svid_args *args,
                       const struct spiffe_id *id, uint64_t *ret_epoch, struct err *e)
{
    struct bytes node = spiffe_node(id), kind = spiffe_kind(id);
    struct spiffe_id requester;
    if (!args->requester) { // the admin
        const struct authority_grant *g = node.n > 0 ? authority_grant_find(a, node) : NULL;
        if (node.n > 0 && !g)
            return err_set(e, E_NOTFOUND, "no node %.*s in this mesh", BYTES_FMT(node));
        *ret_epoch = g ? g->grant.epoch : 0;
        return 0;
    }
    const struct authority_grant *g = requester_of(a, args, &requester, e);
    if (!g)
        return E_FORBIDDEN;
    bool hosted = bytes_is(kind, "agent") || bytes_is(kind, "flow");
    if (!spiffe_below(id, &requester) && (!hosted || id->path.n <= kind.n + 2))
        return err_set(e, E_FORBIDDEN, "%s may not have %.*s", args->requester,
                       BYTES_FMT(id->text));
    if (args->scopes & ~(unsigned)SCOPE_MODELS)
        return err_set(e, E_FORBIDDEN,
                       "%s may give the scope models only; more is given by the admin, on the "
                       "authority's node",
                       args->requester);
    *ret_epoch = g->grant.epoch;
    return 0;
}

static int wanted(const struct authority *a, const struct authority_svid_args *args, struct buf *id,
                  uint64_t *ret_epoch, struct err *e)
{
    struct spiffe_id parsed;
    buf_init(id, SPIFFE_ID_MAX);
    int rc = spiffe_put(id, bytes_of(a->domain), bytes_of(args->id), e);
    if (rc == 0)
        rc = spiffe_parse(&parsed, (struct bytes){buf_cstr(id), id->n}, e);
    if (rc == 0 && parsed.path.n == 0)
        rc = err_set(e, E_INVALID, "an identity needs a path, such as agent/x");
    return rc == 0 ? owner_epoch(a, args, &parsed, ret_epoch, e) : rc;
}

static int key_for(const struct authority_svid_args *args, struct crypto_key **key, struct buf *pem,
                   struct err *e)
{
    if (args->csr_der.n > 0)
        return x509_csr_open(args->csr_der, key, e);
    int rc = crypto_key_make(key, e);
    return rc == 0 ? crypto_key_pem(*key, pem, e) : rc;
}

static int put_x509(const struct authority *a, const char *id, struct bytes der, struct bytes key,
                    struct buf *out, struct err *e)
{
    struct x509_info info;
    struct json_w w;
    struct buf pem;
    char text[TIME_TEXT_LEN + 1], serial[2 * X509_SERIAL_MAX + 1];
    int rc = x509_info(der, &info, e);
    if (rc != 0)
        return rc;
    buf_init(&pem, 4 * X509_DER_MAX);
    rc = authority_chain_pem(a, der, &pem);
    json_w_init(&w, out);
    json_w_obj(&w, NULL);
    json_w_cstr(&w, "id", id);
    crypto_hex(info.serial, (size_t)info.serial_n, serial);
    json_w_cstr(&w, "serial", serial);
    time_text(info.not_before_ms, text);
    json_w_cstr(&w, "not_before", text);
    time_text(info.not_after_ms, text);
    json_w_cstr(&w, "expires", text);
    json_w_str(&w, "cert_pem", buf_bytes(&pem));
    if (key.n > 0)
        json_w_str(&w, "key_pem", key);
    json_w_cstr(&w, "bundle_pem", a->ca_pem);
    json_w_end(&w);
    buf_fini(&pem);
    rc = rc ? rc : out->failed;
    return rc ? err_set(e, rc, "no room for the answer") : 0;
}

int authority_svid_x509(const struct authority *a, const struct authority_svid_args *args,
                        int64_t wall_ms, struct buf *answer, struct err *e)
{
    struct buf id, der, pem;
    struct crypto_key *key = NULL;
    uint64_t epoch = 0;
    int64_t ttl = args->ttl_ms ? args->ttl_ms : a->svid_ttl_ms;
    int64_t longest = args->requester ? a->svid_ttl_ms : AUTHORITY_SVID_TTL_MAX_MS;
    if (ttl < 1000 || ttl > longest)
        return err_set(e, E_INVALID, "this certificate may live 1 second to %lld seconds",
                       (long long)longest / 1000);
    buf_init(&der, X509_DER_MAX);
    buf_init(&pem, CRYPTO_PEM_MAX);
    int rc = wanted(a, args, &id, &epoch, e);
    if (rc == 0)
        rc = key_for(args, &key, &pem, e);
    if (rc == 0)
        rc = authority_issue(a, key, buf_cstr(&id), epoch, ttl, wall_ms, &der, e);
    if (rc == 0)
        rc = put_x509(a, buf_cstr(&id), buf_bytes(&der), buf_bytes(&pem), answer, e);
    crypto_key_free(key);
    buf_fini(&id);
    buf_fini(&der);
    grant_fini_secret(&pem);
    return rc;
}

int authority_svid_jwt(const struct authority *a, const struct authority_svid_args *args,
                       int64_t wall_ms, struct buf *answer, struct err *e)
{
    struct buf id, token;
    struct json_w w;
    char text[TIME_TEXT_LEN + 1];
    struct spiffe_jwt_args jwt = {
        .audience = args->audience,
        .scopes = args->scopes,
        .wall_ms = wall_ms,
        .ttl_ms = args->ttl_ms ? args->ttl_ms : a->svid_ttl_ms,
    };
    buf_init(&token, SPIFFE_JWT_MAX);
    int rc = wanted(a, args, &id, &jwt.epoch, e);
    if (rc == 0) {
        jwt.id = buf_cstr(&id);
        rc = spiffe_jwt_make(a->key, &jwt, &token, e);
    }
    if (rc == 0) {
        time_text((wall_ms + jwt.ttl_ms) / 1000 * 1000, text);
        json_w_init(&w, answer);
        json_w_obj(&w, NULL);
        json_w_cstr(&w, "id", jwt.id);
        json_w_str(&w, "token", buf_bytes(&token));
        json_w_cstr(&w, "expires", text);
        json_w_end(&w);
        rc = answer->failed ? err_set(e, answer->failed, "no room for the answer") : 0;
    }
    buf_fini(&id);
    grant_fini_secret(&token);
    return rc;
}
