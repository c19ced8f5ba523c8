// member.c: a node's identity: made, looked at, and used on peers and sheets.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "crypto/base64url.h"
#include "trust/member_priv.h"
#include <string.h>

// ---- making ----

struct member *member_new(struct bytes node, struct bytes context, struct err *e)
{
    if (spiffe_node_check(node, e) != 0)
        return NULL;
    if (grant_environment(context).n == 0 || context.n > 255) {
        (void)err_set(e, E_INVALID, "a context is like dev.aipc.node1, not \"%.*s\"",
                      BYTES_FMT(bytes_first(context, 255)));
        return NULL;
    }
    struct member *m = mem_new(struct member);
    if (m) {
        m->node = mem_dup(node.p, node.n);
        m->context = mem_dup(context.p, context.n);
        m->removals = grant_removals_new();
    }
    if (m && m->node && m->context && m->removals)
        return m;
    member_free(m);
    (void)err_set(e, E_NOMEM, "no memory for an identity");
    return NULL;
}

int member_set_key(struct member *m, struct crypto_key *key, struct err *e)
{
    struct buf pem;
    buf_init(&pem, CRYPTO_PEM_MAX);
    int rc = crypto_key_pem(key, &pem, e);
    char *text = rc == 0 ? buf_take(&pem) : NULL;
    grant_fini_secret(&pem);
    if (rc == 0 && !text)
        rc = err_set(e, E_NOMEM, "no memory for a key");
    if (rc != 0) {
        crypto_key_free(key);
        return rc;
    }
    if (m->key_pem)
        mem_wipe(m->key_pem, strlen(m->key_pem));
    mem_free(m->key_pem);
    crypto_key_free(m->key);
    m->key = key;
    m->key_pem = text;
    return 0;
}

int member_make(struct member **ret, struct bytes node, struct bytes context, struct err *e)
{
    struct err why = {0};
    struct crypto_key *key = NULL;
    struct member *m = member_new(node, context, &why);
    if (!m)
        return err_set(e, why.code, "%s", why.text);
    int rc = crypto_key_make(&key, e);
    if (rc == 0)
        rc = member_set_key(m, key, e);
    if (rc == 0)
        rc = ed25519_make(m->seed, m->ed25519, e);
    if (rc != 0) {
        member_free(m);
        return rc;
    }
    *ret = m;
    return 0;
}

void member_free(struct member *m)
{
    if (!m)
        return;
    if (m->key_pem)
        mem_wipe(m->key_pem, strlen(m->key_pem));
    mem_wipe(m->seed, sizeof m->seed);
    mem_free(m->key_pem);
    mem_free(m->node);
    mem_free(m->context);
    mem_free(m->authority);
    for (int i = 0; i < MEMBER_ADDRESSES_MAX; i++)
        mem_free(m->addresses[i]);
    crypto_key_free(m->key);
    crypto_key_free(m->next_key);
    grant_removals_free(m->removals);
    member_papers_free(m->papers);
    mem_free(m);
}

// ---- looking ----

bool member_joined(const struct member *m)
{
    return m->papers != NULL;
}

void member_view(const struct member *m, struct member_view *ret)
{
    const struct member_papers *p = m->papers;
    *ret = (struct member_view){
        .node = m->node,
        .context = m->context,
        .domain = "",
        .id = "",
        .key_pem = bytes_of(m->key_pem),
    };
    if (!p)
        return;
    ret->domain = p->grant.domain;
    ret->id = p->id;
    ret->grant = &p->grant;
    ret->cert_pem = bytes_of(p->svid_pem);
    ret->bundle_pem = bytes_of(p->bundle_pem);
    ret->grant_text = bytes_of(p->grant_text);
    ret->epoch = p->grant.epoch;
    crypto_hex(p->leaf.serial, (size_t)p->leaf.serial_n, ret->serial);
    ret->not_before_ms = p->leaf.not_before_ms;
    ret->not_after_ms = p->leaf.not_after_ms;
}

const struct spiffe_bundle *member_bundle(const struct member *m)
{
    return m->papers ? m->papers->bundle : NULL;
}

int member_set_authority(struct member *m, struct bytes node, const char *const *addresses,
                         struct err *e)
{
    char *list[MEMBER_ADDRESSES_MAX] = {0}, *name = mem_dup(node.p, node.n);
    size_t n = 0;
    bool good = name != NULL;
    for (; good && n < MEMBER_ADDRESSES_MAX && addresses && addresses[n]; n++)
        good = (list[n] = mem_str(addresses[n])) != NULL;
    if (good) {
        char *old = m->authority;
        m->authority = name;
        name = old;
    }
    for (size_t i = 0; i < MEMBER_ADDRESSES_MAX; i++) {
        mem_free(good ? m->addresses[i] : list[i]);
        if (good)
            m->addresses[i] = list[i];
    }
    mem_free(name);
    return good ? 0 : err_set(e, E_NOMEM, "no memory for addresses");
}

const char *member_authority(const struct member *m)
{
    return m->authority ? m->authority : "";
}

const char *const *member_authority_addresses(const struct member *m)
{
    return (const char *const *)m->addresses;
}

// ---- peers ----

static int joined(const struct member *m, struct err *e)
{
    return m->papers ? 0 : err_set(e, E_UNAVAILABLE, "this node is in no mesh");
}

bool member_removed(const struct member *m, struct bytes id, uint64_t epoch)
{
    struct spiffe_id parsed;
    return spiffe_parse(&parsed, id, NULL) == 0 &&
           grant_removals_hit(m->removals, spiffe_node(&parsed), epoch);
}

int member_check_peer(const struct member *m, const struct bytes *der, int count, int64_t wall_ms,
                      char *ret_id, uint64_t *ret_epoch, struct err *e)
{
    char id[SPIFFE_ID_MAX + 1];
    uint64_t epoch = 0;
    uint8_t hash[SHA256_LEN];
    const struct member_seen *seen = NULL;
    int rc = joined(m, e);
    if (rc == 0) {
        member_chain_hash(der, count, hash);
        seen = member_seen_find(m->papers, hash, wall_ms);
    }
    if (seen) {
        memcpy(id, seen->id, strlen(seen->id) + 1);
        epoch = seen->epoch;
    } else if (rc == 0) {
        rc = spiffe_x509_check(m->papers->bundle, der, count, wall_ms, id, &epoch, e);
        if (rc == 0)
            member_seen_put(m->papers, hash, der, count, wall_ms, id, epoch);
    }
    if (rc == 0 && member_removed(m, bytes_of(id), epoch))
        rc = err_set(e, E_SECURITY, "%s was removed from the mesh (epoch %llu)", id,
                     (unsigned long long)epoch);
    if (rc != 0)
        return rc;
    memcpy(ret_id, id, strlen(id) + 1);
    *ret_epoch = epoch;
    return 0;
}

int member_removal_add(struct member *m, struct bytes text, struct grant_removal *ret,
                       struct err *e)
{
    struct grant_removal r;
    int rc = joined(m, e);
    if (rc == 0)
        rc = grant_removal_open(&r, m->papers->bundle, text, e);
    if (rc == 0)
        rc = grant_removals_add(m->removals, &r, text, e);
    if (rc >= 0 && ret)
        *ret = r;
    return rc;
}

const struct grant_removals *member_removals(const struct member *m)
{
    return m->removals;
}

int member_jwt_check(const struct member *m, struct bytes token, struct bytes audience,
                     int64_t wall_ms, struct spiffe_jwt *ret, struct err *e)
{
    struct spiffe_jwt found;
    int rc = joined(m, e);
    if (rc == 0)
        rc = spiffe_jwt_check(m->papers->bundle, token, audience, wall_ms, &found, e);
    if (rc == 0 && found.epoch && member_removed(m, bytes_of(found.id), found.epoch))
        rc = err_set(e, E_UNAUTH, "the token is not valid: the node it came from was removed");
    if (rc == 0)
        *ret = found;
    return rc;
}

// ---- sheets ----

static const char sheet_line[] = "plexus sheet 1\n";

int member_sheet_sign(const struct member *m, struct bytes payload, struct buf *out, struct err *e)
{
    uint8_t sign[ED25519_SIGN_LEN];
    struct buf text;
    int rc = joined(m, e);
    if (rc != 0)
        return rc;
    buf_init(&text, MEMBER_SHEET_MAX);
    (void)buf_str(&text, sheet_line);
    (void)base64url_put(&text, payload);
    (void)buf_chr(&text, '.');
    rc = buf_str(&text, m->papers->grant_text);
    rc = rc != 0 ? err_set(e, rc, "the sheet is too long")
                 : ed25519_sign(m->seed, buf_bytes(&text), sign, e);
    if (rc == 0) {
        buf_drop(&text, sizeof sheet_line - 1);
        (void)buf_chr(&text, '.');
        (void)base64url_put(&text, (struct bytes){(const char *)sign, sizeof sign});
        if (text.failed || buf_put(out, buf_bytes(&text)) != 0)
            rc = err_set(e, text.failed ? text.failed : out->failed, "the sheet is too long");
    }
    buf_fini(&text);
    return rc;
}

struct sheet_parts {
    struct bytes signed_text, payload, grant, sign;
};

static bool sheet_cut(struct bytes text, struct sheet_parts *ret)
{
    struct bytes rest = text;
    ret->payload = bytes_cut(&rest, '.');
    struct bytes first = bytes_cut(&rest, '.'), second = bytes_cut(&rest, '.');
    ret->sign = rest;
    ret->grant = bytes_first(bytes_from(text, ret->payload.n + 1), first.n + 1 + second.n);
    ret->signed_text = bytes_first(text, ret->payload.n + 1 + ret->grant.n);
    return rest.p && bytes_chr(rest, '.') < 0;
}

static int sheet_sign_check(const struct sheet_parts *p, const struct grant *g, struct err *e)
{
    struct buf text, sign;
    buf_init(&text, MEMBER_SHEET_MAX + sizeof sheet_line);
    buf_init(&sign, ED25519_SIGN_LEN);
    (void)buf_str(&text, sheet_line);
    int rc = buf_put(&text, p->signed_text);
    if (rc != 0)
        rc = err_set(e, rc, "no memory for a sheet");
    else if (base64url_parse(&sign, p->sign) != 0 ||
             !ed25519_verify(g->ed25519, buf_bytes(&text), buf_bytes(&sign)))
        rc = err_set(e, E_SECURITY, "the sheet is not signed by node %s", g->node);
    buf_fini(&text);
    buf_fini(&sign);
    return rc;
}

// What the payload says of itself must be what the grant says.
static int sheet_payload_check(struct bytes payload, const struct grant *g, struct err *e)
{
    struct json_doc *doc = NULL;
    int rc = json_parse(&doc, payload, JSON_UNIQUE, e);
    if (rc != 0)
        return rc;
    struct bytes node = json_str(json_get(json_root(doc), "node"));
    struct bytes context = json_str(json_get(json_root(doc), "context"));
    if (!bytes_is(node, g->node))
        rc = err_set(e, E_SECURITY, "node %s says that it is %.*s", g->node,
                     BYTES_FMT(bytes_first(node, SPIFFE_NODE_MAX)));
    else if (!bytes_is(grant_environment(context), g->environment))
        rc = err_set(e, E_SECURITY, "node %s is of environment %s, its sheet says %.*s", g->node,
                     g->environment, BYTES_FMT(bytes_first(context, 64)));
    json_free(doc);
    return rc;
}

static int sheet_payload(struct bytes part, struct arena *a, struct bytes *ret, struct err *e)
{
    struct buf payload;
    buf_init(&payload, MEMBER_SHEET_MAX);
    int rc = base64url_parse(&payload, part);
    if (rc == 0) {
        *ret = arena_dup(a, buf_bytes(&payload));
        rc = ret->p ? 0 : err_set(e, E_NOMEM, "no memory for a sheet");
    } else {
        rc = err_set(e, E_PARSE, "the sheet is not base64url");
    }
    buf_fini(&payload);
    return rc;
}

int member_sheet_open(const struct member *m, struct bytes text, struct arena *a,
                      struct bytes *ret_payload, struct grant *ret_grant, struct err *e)
{
    struct sheet_parts p;
    struct grant g;
    struct bytes payload = BYTES_NONE;
    int rc = joined(m, e);
    if (rc == 0 && (text.n > MEMBER_SHEET_MAX || !sheet_cut(text, &p)))
        rc = err_set(e, E_PARSE, "not the text of a sheet");
    if (rc == 0)
        rc = grant_open(&g, a, m->papers->bundle, p.grant, e);
    if (rc == 0 && grant_removals_hit(m->removals, bytes_of(g.node), g.epoch))
        rc = err_set(e, E_SECURITY, "node %s was removed from the mesh (epoch %llu)", g.node,
                     (unsigned long long)g.epoch);
    if (rc == 0)
        rc = sheet_sign_check(&p, &g, e);
    if (rc == 0)
        rc = sheet_payload(p.payload, a, &payload, e);
    if (rc == 0)
        rc = sheet_payload_check(payload, &g, e);
    if (rc != 0)
        return rc;
    *ret_payload = payload;
    *ret_grant = g;
    return 0;
}
