// authority_join.c: a node comes in, and renews its certificate.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "base/time.h"
#include "crypto/base64url.h"
#include "trust/authority_priv.h"
#include <string.h>

#define RENEW_SKEW_MS (5 * 60 * 1000)

// ---- issuing ----

int authority_issue(const struct authority *a, const struct crypto_key *key, const char *uri,
                    uint64_t epoch, int64_t ttl_ms, int64_t wall_ms, struct buf *der, struct err *e)
{
    int64_t end =
        (wall_ms + ttl_ms + 999) / 1000 * 1000; // whole seconds, never less than asked for
    if (end > a->ca_not_after_ms)
        end = a->ca_not_after_ms;
    const struct x509_issue_args args = {
        .key = key,
        .uri = uri,
        .not_before_ms = wall_ms - AUTHORITY_BACKDATE_MS,
        .not_after_ms = end,
        .epoch = epoch,
    };
    return x509_issue(a->signer, &args, der, e);
}

int authority_chain_pem(const struct authority *a, struct bytes leaf_der, struct buf *out)
{
    int rc = x509_pem_put(out, "CERTIFICATE", leaf_der);
    return rc ? rc : buf_str(out, a->ca_pem);
}

// ---- bodies ----

struct body { // of a join or a renewal; slices of the document
    struct json_doc *doc;
    struct bytes node, context, token;
    struct buf csr;
    uint8_t ed25519[ED25519_PUBLIC_LEN], sign[ED25519_SIGN_LEN];
    uint64_t epoch;
    int64_t wall_ms;
};

static void body_fini(struct body *b)
{
    buf_fini(&b->csr);
    json_free(b->doc);
}

static int body_parse(struct body *b, struct bytes text, bool join, struct err *e)
{
    *b = (struct body){0};
    buf_init(&b->csr, X509_DER_MAX);
    if (text.n > AUTHORITY_BODY_MAX)
        return err_set(e, E_TOOBIG, "a request has at most %d bytes", AUTHORITY_BODY_MAX);
    int rc = json_parse(&b->doc, text, JSON_UNIQUE, e);
    if (rc != 0)
        return rc;
    const struct json *root = json_root(b->doc);
    b->node = json_str(json_get(root, "node"));
    b->context = json_str(json_get(root, "context"));
    b->token = json_str(json_get(root, "token"));
    b->epoch = (uint64_t)json_i64(json_get(root, "epoch"), 0);
    b->wall_ms = json_i64(json_get(root, "wall_ms"), -1);
    if (base64url_parse(&b->csr, json_str(json_get(root, "csr"))) != 0 || b->csr.n == 0 ||
        !grant_get64(json_get(root, "sign"), b->sign, sizeof b->sign) ||
        (join && !grant_get64(json_get(root, "ed25519"), b->ed25519, sizeof b->ed25519)))
        return err_set(e, E_PARSE, "expected csr, ed25519 and sign in base64url");
    rc = spiffe_node_check(b->node, e);
    if (rc == 0 && join && (b->context.n > 255 || grant_environment(b->context).n == 0))
        rc = err_set(e, E_INVALID, "a context is like dev.aipc.node1");
    return rc;
}

static int sign_check(const struct body *b, const uint8_t key[ED25519_PUBLIC_LEN], struct buf *text,
                      struct err *e)
{
    struct bytes sign = {(const char *)b->sign, sizeof b->sign};
    int rc = text->failed;
    if (rc != 0)
        rc = err_set(e, rc, "no memory for a request");
    else if (!ed25519_verify(key, buf_bytes(text), sign))
        rc = err_set(e, E_SECURITY, "node %.*s does not prove that it holds its key",
                     BYTES_FMT(b->node));
    buf_fini(text);
    return rc;
}

// ---- the answer ----

static void put_removals(struct json_w *w, const struct grant_removals *removals)
{
    struct grant_removal r;
    struct bytes text;
    size_t at = 0;
    json_w_arr(w, "removals");
    while (grant_removals_each(removals, &at, &r, &text))
        json_w_str(w, NULL, text);
    json_w_end(w);
}

static int answer_put(const struct authority *a, struct bytes leaf_der,
                      const struct authority_grant *g, struct buf *out, struct err *e)
{
    struct json_w w;
    struct buf pem;
    buf_init(&pem, 4 * X509_DER_MAX);
    int rc = authority_chain_pem(a, leaf_der, &pem);
    json_w_init(&w, out);
    json_w_obj(&w, NULL);
    json_w_cstr(&w, "domain", a->domain);
    json_w_str(&w, "svid", buf_bytes(&pem));
    json_w_cstr(&w, "bundle", a->ca_pem);
    json_w_cstr(&w, "grant", g->text);
    put_removals(&w, a->removals);
    json_w_end(&w);
    buf_fini(&pem);
    rc = rc ? rc : out->failed;
    return rc ? err_set(e, rc, "no room for the answer") : 0;
}

static int node_leaf(const struct authority *a, const struct crypto_key *key, struct bytes node,
                     uint64_t epoch, int64_t wall_ms, struct buf *der, struct err *e)
{
    struct buf path;
    buf_init(&path, SPIFFE_ID_MAX);
    (void)buf_fmt(&path, "spiffe://%s/node/%.*s", a->domain, BYTES_FMT(node));
    int rc = path.failed
                 ? err_set(e, path.failed, "no memory for a name")
                 : authority_issue(a, key, buf_cstr(&path), epoch, a->svid_ttl_ms, wall_ms, der, e);
    buf_fini(&path);
    return rc;
}

// ---- join ----

static int token_check(const struct authority *a, const struct body *b, int64_t wall_ms,
                       struct authority_token **ret, struct err *e)
{
    struct authority_token_parts parts;
    uint8_t hash[SHA256_LEN];
    char when[TIME_TEXT_LEN + 1];
    int rc = authority_token_parse(&parts, b->token, e);
    if (rc != 0)
        return rc;
    sha256_sum((struct bytes){(const char *)parts.secret, sizeof parts.secret}, hash);
    mem_wipe(parts.secret, sizeof parts.secret);
    struct authority_token *t = authority_token_find(a, parts.id);
    // Which of these three it is, only who holds the token's secret learns further down.
    if (!t || t->revoked ||
        !bytes_eq_const_time((struct bytes){(const char *)hash, sizeof hash},
                             (struct bytes){(const char *)t->hash, sizeof t->hash}))
        return err_set(e, E_UNAUTH, "no such join token: make one with `plexus token new`");
    time_text(t->expires_ms, when);
    if (t->expires_ms <= wall_ms)
        return err_set(e, E_UNAUTH, "the join token expired at %s: make a new one", when);
    if (t->used_by[0])
        return err_set(e, E_UNAUTH, "the join token was used before, by node %s: make a new one",
                       t->used_by);
    *ret = t;
    return 0;
}

static int may_join(const struct authority *a, const struct body *b,
                    const struct authority_token *t, struct err *e)
{
    struct bytes environment = grant_environment(b->context);
    if (t->node && !bytes_is(b->node, t->node))
        return err_set(e, E_FORBIDDEN, "the join token is for node %s, not for %.*s", t->node,
                       BYTES_FMT(b->node));
    if (t->environment && !bytes_is(environment, t->environment))
        return err_set(e, E_FORBIDDEN, "the join token is for environment %s, the node is of %.*s",
                       t->environment, BYTES_FMT(environment));
    if (!t->node && authority_grant_find(a, b->node))
        return err_set(e, E_EXISTS,
                       "node %.*s is in the mesh already: take another name, remove that node, or "
                       "make a token for this name",
                       BYTES_FMT(b->node));
    return 0;
}

static int grant_new(struct authority *a, const struct body *b, const struct authority_token *t,
                     int64_t wall_ms, struct authority_grant *ret, struct err *e)
{
    struct buf text;
    char node[SPIFFE_NODE_MAX + 1] = {0}, environment[GRANT_WORD_MAX + 1] = {0};
    struct bytes first = grant_environment(b->context);
    memcpy(node, b->node.p, b->node.n);
    memcpy(environment, first.p, first.n);
    struct grant g = {
        .domain = a->domain,
        .node = node,
        .roles = t->roles,
        .environment = environment,
        .clearance = t->clearance ? t->clearance : "",
        .epoch = authority_next_epoch(a),
        .issued_ms = wall_ms,
    };
    memcpy(g.ed25519, b->ed25519, sizeof g.ed25519);
    buf_init(&text, GRANT_TEXT_MAX);
    int rc = grant_make(&g, a->key, &text, e);
    if (rc == 0)
        rc = authority_grant_read(a, buf_bytes(&text), ret, e);
    buf_fini(&text);
    return rc;
}

// All that can fail comes first; then the token is used and the grant stands.
static int admit(struct authority *a, const struct body *b, struct authority_token *t,
                 const struct crypto_key *key, int64_t wall_ms, struct buf *answer,
                 struct buf *ret_removed, struct err *e)
{
    struct authority_grant g = {0};
    struct buf der;
    buf_init(&der, X509_DER_MAX);
    int rc = authority_grant_room(a, e);
    struct authority_grant *old = authority_grant_find(a, b->node);
    if (rc == 0)
        rc = grant_new(a, b, t, wall_ms, &g, e);
    if (rc == 0)
        rc = node_leaf(a, key, b->node, g.grant.epoch, wall_ms, &der, e);
    if (rc == 0 && old)
        rc = authority_end(a, old, wall_ms, ret_removed, e);
    if (rc == 0)
        rc = answer_put(a, buf_bytes(&der), &g, answer, e);
    if (rc == 0) {
        memcpy(t->used_by, g.grant.node, strlen(g.grant.node) + 1);
        t->used_epoch = g.grant.epoch;
        authority_grant_put(a, &g);
    } else {
        authority_grant_fini(&g);
    }
    buf_fini(&der);
    return rc;
}

int authority_join(struct authority *a, struct bytes body, int64_t wall_ms, struct buf *answer,
                   struct buf *ret_removed, struct err *e)
{
    struct body b;
    struct authority_token *t = NULL;
    struct crypto_key *key = NULL;
    struct buf text;
    int rc = body_parse(&b, body, true, e);
    if (rc == 0)
        rc = token_check(a, &b, wall_ms, &t, e);
    if (rc == 0) {
        buf_init(&text, 1024);
        (void)grant_join_text(&text, buf_bytes(&b.csr), t->id, b.ed25519, b.node, b.context);
        rc = sign_check(&b, b.ed25519, &text, e);
    }
    if (rc == 0)
        rc = x509_csr_open(buf_bytes(&b.csr), &key, e);
    if (rc == 0)
        rc = may_join(a, &b, t, e);
    if (rc == 0)
        rc = admit(a, &b, t, key, wall_ms, answer, ret_removed, e);
    crypto_key_free(key);
    body_fini(&b);
    return rc < 0 ? (err_wrap(e, "join"), rc) : 0;
}

// ---- renewal ----

static int may_renew(const struct authority *a, const struct body *b, int64_t wall_ms,
                     const struct authority_grant **ret, struct err *e)
{
    const struct authority_grant *g = authority_grant_find(a, b->node);
    struct buf text;
    if (grant_removals_hit(a->removals, b->node, b->epoch))
        return err_set(e, E_SECURITY, "node %.*s was removed from the mesh: join it anew",
                       BYTES_FMT(b->node));
    if (!g || g->grant.epoch != b->epoch)
        return err_set(e, E_UNAUTH, "node %.*s is not in this mesh: join it", BYTES_FMT(b->node));
    buf_init(&text, 1024);
    (void)grant_renew_text(&text, buf_bytes(&b->csr), b->node, b->epoch, b->wall_ms);
    int rc = sign_check(b, g->grant.ed25519, &text, e);
    if (rc != 0)
        return rc;
    if (b->wall_ms < wall_ms - RENEW_SKEW_MS || b->wall_ms > wall_ms + RENEW_SKEW_MS)
        return err_set(e, E_SECURITY,
                       "the clocks of node %.*s and of the authority are %lld s apart, at most %d "
                       "are taken: set them",
                       BYTES_FMT(b->node), (long long)(b->wall_ms - wall_ms) / 1000,
                       RENEW_SKEW_MS / 1000);
    *ret = g;
    return 0;
}

int authority_renew(const struct authority *a, struct bytes body, int64_t wall_ms,
                    struct buf *answer, struct err *e)
{
    struct body b;
    struct crypto_key *key = NULL;
    const struct authority_grant *g = NULL;
    struct buf der;
    buf_init(&der, X509_DER_MAX);
    int rc = body_parse(&b, body, false, e);
    if (rc == 0)
        rc = may_renew(a, &b, wall_ms, &g, e);
    if (rc == 0)
        rc = x509_csr_open(buf_bytes(&b.csr), &key, e);
    if (rc == 0)
        rc = node_leaf(a, key, b.node, g->grant.epoch, wall_ms, &der, e);
    if (rc == 0)
        rc = answer_put(a, buf_bytes(&der), g, answer, e);
    crypto_key_free(key);
    body_fini(&b);
    buf_fini(&der);
    return rc < 0 ? (err_wrap(e, "renewal"), rc) : 0;
}
