// member_join.c: what a node says to the authority, and what it takes from it.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "crypto/base64url.h"
#include "trust/member_priv.h"
#include <string.h>

#define PAPERS_ARENA (2 * GRANT_TEXT_MAX + 4096)

// ---- papers ----

void member_papers_free(struct member_papers *p)
{
    if (!p)
        return;
    mem_free(p->svid_pem);
    mem_free(p->bundle_pem);
    mem_free(p->grant_text);
    arena_free(p->arena);
    spiffe_bundle_free(p->bundle);
    member_seen_fini(p);
    mem_free(p);
}

// The PEM's certificates, leaf first; a count or an error.
static int chain_of(struct bytes pem, struct arena *a, struct bytes der[X509_CHAIN_MAX],
                    struct err *e)
{
    struct buf one;
    int n = 0, rc = 0;
    buf_init(&one, X509_DER_MAX);
    while (n < X509_CHAIN_MAX && (rc = x509_pem_next(&pem, "CERTIFICATE", &one, e)) == 1) {
        der[n] = arena_dup(a, buf_bytes(&one));
        if (!der[n++].p) {
            rc = err_set(e, E_NOMEM, "no memory for certificates");
            break;
        }
    }
    buf_fini(&one);
    return rc < 0 ? rc : n;
}

static int leaf_check(const struct member *m, const struct crypto_key *key, struct bytes svid_pem,
                      int64_t wall_ms, struct member_papers *p, struct err *e)
{
    struct bytes der[X509_CHAIN_MAX];
    struct crypto_key *theirs = NULL;
    struct spiffe_id id;
    uint64_t epoch = 0;
    AUTO(arena) a = arena_new(X509_CHAIN_MAX * (X509_DER_MAX + 64));
    if (!a)
        return err_set(e, E_NOMEM, "no memory for certificates");
    int n = chain_of(svid_pem, a, der, e);
    if (n <= 0)
        return n < 0 ? n : err_set(e, E_PARSE, "no certificate came");
    int rc = x509_info(der[0], &p->leaf, e);
    if (rc == 0)
        rc = spiffe_x509_check(p->bundle, der, n,
                               wall_ms >= 0 ? wall_ms : p->leaf.not_after_ms - 1000, p->id, &epoch,
                               e);
    if (rc == 0)
        rc = x509_key(der[0], &theirs, e);
    if (rc != 0)
        return rc;
    bool ours = crypto_key_same(theirs, key);
    crypto_key_free(theirs);
    (void)spiffe_parse(&id, bytes_of(p->id), NULL); // was checked
    if (!ours)
        return err_set(e, E_SECURITY, "the certificate that came is for another key");
    if (!bytes_is(spiffe_node(&id), m->node) || id.path.n != strlen(m->node) + strlen("/node/"))
        return err_set(e, E_SECURITY, "the certificate that came is for %s, not for node %s", p->id,
                       m->node);
    return epoch == p->grant.epoch
               ? 0
               : err_set(e, E_SECURITY, "certificate and grant have different epochs");
}

static int papers_fill(const struct member *m, const char *domain, struct bytes bundle_pem,
                       struct bytes grant_text, struct member_papers *p, struct err *e)
{
    int rc = spiffe_bundle_open(&p->bundle, bytes_of(domain), bundle_pem, e);
    if (rc == 0)
        rc = grant_open(&p->grant, p->arena, p->bundle, grant_text, e);
    if (rc != 0)
        return rc;
    if (strcmp(p->grant.node, m->node) != 0)
        return err_set(e, E_SECURITY, "the grant that came is for node %s, not for %s",
                       p->grant.node, m->node);
    if (memcmp(p->grant.ed25519, m->ed25519, sizeof m->ed25519) != 0)
        return err_set(e, E_SECURITY, "the grant that came is for another key");
    if (!bytes_is(grant_environment(bytes_of(m->context)), p->grant.environment))
        return err_set(e, E_SECURITY, "the grant that came is for environment %s, this is %s",
                       p->grant.environment, m->context);
    return 0;
}

int member_papers_open(const struct member *m, const struct crypto_key *key, const char *domain,
                       struct bytes svid_pem, struct bytes bundle_pem, struct bytes grant_text,
                       int64_t wall_ms, struct member_papers **ret, struct err *e)
{
    struct member_papers *p = mem_new(struct member_papers);
    if (p) {
        p->svid_pem = mem_dup(svid_pem.p, svid_pem.n);
        p->bundle_pem = mem_dup(bundle_pem.p, bundle_pem.n);
        p->grant_text = mem_dup(grant_text.p, grant_text.n);
        p->arena = arena_new(PAPERS_ARENA);
    }
    int rc = p && p->svid_pem && p->bundle_pem && p->grant_text && p->arena
                 ? papers_fill(m, domain, bundle_pem, grant_text, p, e)
                 : err_set(e, E_NOMEM, "no memory for an identity");
    if (rc == 0)
        rc = leaf_check(m, key, svid_pem, wall_ms, p, e);
    if (rc != 0) {
        member_papers_free(p);
        return rc;
    }
    *ret = p;
    return 0;
}

// ---- bodies ----

static int csr_of(const struct crypto_key *key, struct buf *csr, struct err *e)
{
    buf_init(csr, X509_DER_MAX);
    return x509_csr_make(key, csr, e);
}

int member_join_body(struct member *m, struct bytes token, struct buf *out, struct err *e)
{
    struct authority_token_parts t;
    struct buf csr, text;
    struct json_w w;
    uint8_t sign[ED25519_SIGN_LEN];
    int rc = authority_token_parse(&t, token, e);
    if (rc != 0)
        return rc;
    buf_init(&text, 1024);
    rc = csr_of(m->key, &csr, e);
    if (rc == 0) {
        rc = grant_join_text(&text, buf_bytes(&csr), t.id, m->ed25519, bytes_of(m->node),
                             bytes_of(m->context));
        rc = rc ? err_set(e, rc, "no memory to join")
                : ed25519_sign(m->seed, buf_bytes(&text), sign, e);
    }
    if (rc == 0) {
        json_w_init(&w, out);
        json_w_obj(&w, NULL);
        json_w_cstr(&w, "node", m->node);
        json_w_cstr(&w, "context", m->context);
        grant_put64(&w, "csr", csr.p, csr.n);
        grant_put64(&w, "ed25519", m->ed25519, sizeof m->ed25519);
        json_w_str(&w, "token", token);
        grant_put64(&w, "sign", sign, sizeof sign);
        json_w_end(&w);
        rc = out->failed ? err_set(e, out->failed, "no memory to join") : 0;
    }
    mem_wipe(&t, sizeof t);
    buf_fini(&csr);
    buf_fini(&text);
    return rc;
}

int member_renew_body(struct member *m, int64_t wall_ms, struct buf *out, struct err *e)
{
    struct buf csr, text;
    struct json_w w;
    uint8_t sign[ED25519_SIGN_LEN];
    struct crypto_key *key = NULL;
    if (!m->papers)
        return err_set(e, E_UNAVAILABLE, "this node is in no mesh");
    int rc = crypto_key_make(&key, e);
    if (rc != 0)
        return rc;
    crypto_key_free(m->next_key);
    m->next_key = key;
    buf_init(&text, 1024);
    rc = csr_of(key, &csr, e);
    if (rc == 0) {
        rc = grant_renew_text(&text, buf_bytes(&csr), bytes_of(m->node), m->papers->grant.epoch,
                              wall_ms);
        rc = rc ? err_set(e, rc, "no memory to renew")
                : ed25519_sign(m->seed, buf_bytes(&text), sign, e);
    }
    if (rc == 0) {
        json_w_init(&w, out);
        json_w_obj(&w, NULL);
        json_w_cstr(&w, "node", m->node);
        json_w_u64(&w, "epoch", m->papers->grant.epoch);
        grant_put64(&w, "csr", csr.p, csr.n);
        json_w_i64(&w, "wall_ms", wall_ms);
        grant_put64(&w, "sign", sign, sizeof sign);
        json_w_end(&w);
        rc = out->failed ? err_set(e, out->failed, "no memory to renew") : 0;
    }
    buf_fini(&csr);
    buf_fini(&text);
    return rc;
}

// ---- answers ----

// Removals in an answer: unreadable ones refuse it, since one that is missed would let somebody in.
static int take_removals(struct member *m, const struct spiffe_bundle *b, const struct json *list,
                         struct err *e)
{
    struct grant_removal r;
    for (size_t i = 0; i < json_len(list); i++) {
        struct bytes text = json_str(json_at(list, i));
        int rc = grant_removal_open(&r, b, text, e);
        if (rc == 0)
            rc = grant_removals_add(m->removals, &r, text, e);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int accept_answer(struct member *m, struct bytes answer, const uint8_t *fingerprint,
                         int64_t wall_ms, struct err *e)
{
    struct json_doc *doc = NULL;
    struct member_papers *p = NULL;
    struct crypto_key *key = m->next_key ? m->next_key : m->key;
    int rc = json_parse(&doc, answer, JSON_UNIQUE, e);
    if (rc != 0)
        return err_wrap(e, "the authority's answer"), rc;
    const struct json *root = json_root(doc);
    rc = member_papers_open(m, key, json_cstr(json_get(root, "domain"), ""),
                            json_str(json_get(root, "svid")), json_str(json_get(root, "bundle")),
                            json_str(json_get(root, "grant")), wall_ms, &p, e);
    if (rc == 0 && fingerprint && !spiffe_bundle_has(p->bundle, fingerprint))
        rc = err_set(e, E_SECURITY, "that is not the authority that the token names");
    if (rc == 0 && !fingerprint && strcmp(p->grant.domain, m->papers->grant.domain) != 0)
        rc = err_set(e, E_SECURITY, "the answer is of another trust domain");
    if (rc == 0)
        rc = take_removals(m, p->bundle, json_get(root, "removals"), e);
    if (rc == 0 && m->next_key) {
        m->next_key = NULL;
        rc = member_set_key(m, key, e);
    }
    if (rc == 0) {
        member_papers_free(m->papers);
        m->papers = steal(&p);
    }
    member_papers_free(p);
    json_free(doc);
    return rc < 0 ? (err_wrap(e, "the authority's answer"), rc) : 0;
}

int member_join_accept(struct member *m, struct bytes token, struct bytes answer, int64_t wall_ms,
                       struct err *e)
{
    struct authority_token_parts t;
    int rc = authority_token_parse(&t, token, e);
    if (rc != 0)
        return rc;
    if (m->next_key) { // a renewal that was under way is over
        crypto_key_free(m->next_key);
        m->next_key = NULL;
    }
    rc = accept_answer(m, answer, t.fingerprint, wall_ms, e);
    mem_wipe(&t, sizeof t);
    return rc;
}

int member_renew_accept(struct member *m, struct bytes answer, int64_t wall_ms, struct err *e)
{
    if (!m->papers || !m->next_key)
        return err_set(e, E_CONFLICT, "no renewal is under way");
    return accept_answer(m, answer, NULL, wall_ms, e);
}

int64_t member_renew_at(const struct member *m)
{
    const struct member_papers *p = m->papers;
    if (!p)
        return INT64_MAX;
    int64_t start = p->leaf.not_before_ms + AUTHORITY_BACKDATE_MS;
    return start + (p->leaf.not_after_ms - start) / 2;
}

bool member_renew_due(const struct member *m, int64_t wall_ms)
{
    return m->papers && (wall_ms >= member_renew_at(m) || wall_ms < m->papers->leaf.not_before_ms);
}

// ---- the peer of a joiner ----

int member_join_peer(struct bytes token, const struct bytes *der, int count, int64_t wall_ms,
                     char *ret_id, uint64_t *ret_epoch, struct err *e)
{
    struct authority_token_parts t;
    struct x509_info info;
    struct spiffe_id id;
    struct buf pem;
    struct spiffe_bundle *bundle = NULL;
    int rc = authority_token_parse(&t, token, e), at = 0;
    mem_wipe(t.secret, sizeof t.secret);
    if (rc != 0)
        return rc;
    if (count > X509_CHAIN_MAX)
        count = X509_CHAIN_MAX;
    for (int i = 1; i < count && at == 0; i++)
        if (x509_info(der[i], &info, NULL) == 0 &&
            memcmp(info.key_hash, t.fingerprint, sizeof t.fingerprint) == 0)
            at = i;
    if (at == 0)
        return err_set(e, E_SECURITY,
                       "the node at that address is not of the mesh that the token names");
    if (spiffe_parse(&id, bytes_of(info.uri), NULL) != 0)
        return err_set(e, E_SECURITY, "the authority's certificate names no trust domain");
    buf_init(&pem, 2 * X509_DER_MAX);
    rc = x509_pem_put(&pem, "CERTIFICATE", der[at]);
    rc = rc != 0 ? err_set(e, rc, "no memory for a certificate")
                 : spiffe_bundle_open(&bundle, id.domain, buf_bytes(&pem), e);
    if (rc == 0)
        rc = spiffe_x509_check(bundle, der, count, wall_ms, ret_id, ret_epoch, e);
    spiffe_bundle_free(bundle);
    buf_fini(&pem);
    return rc;
}
