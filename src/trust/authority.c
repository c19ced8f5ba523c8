// authority.c: the authority's state: its key, the grants it gave, what it removed.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "trust/authority_priv.h"
#include <string.h>

#define YEARS_10_MS (3653 * 24 * 3600 * 1000LL)

// ---- making ----

static int fill(struct authority *a, struct bytes ca_pem, struct err *e)
{
    struct buf der;
    struct x509_info info;
    struct bytes rest = ca_pem;
    a->removals = grant_removals_new();
    a->ca_pem = mem_dup(ca_pem.p, ca_pem.n);
    if (!a->removals || !a->ca_pem)
        return err_set(e, E_NOMEM, "no memory for an authority");
    int rc = spiffe_bundle_open(&a->bundle, bytes_of(a->domain), ca_pem, e);
    if (rc != 0)
        return rc;
    buf_init(&der, X509_DER_MAX);
    rc = x509_pem_next(&rest, "CERTIFICATE", &der, e); // there: the bundle has it
    rc = rc < 0 ? rc : x509_info(buf_bytes(&der), &info, e);
    if (rc == 0)
        rc = x509_signer_new(&a->signer, a->key, buf_bytes(&der), e);
    buf_fini(&der);
    if (rc != 0)
        return rc;
    memcpy(a->fingerprint, info.key_hash, sizeof a->fingerprint);
    a->ca_not_after_ms = info.not_after_ms;
    return 0;
}

int authority_new(struct authority **ret, struct bytes domain, struct crypto_key *key,
                  struct bytes ca_pem, struct err *e)
{
    struct authority *a = mem_new(struct authority);
    if (!a) {
        crypto_key_free(key);
        return err_set(e, E_NOMEM, "no memory for an authority");
    }
    a->key = key;
    int rc = spiffe_domain_check(domain, e);
    if (rc == 0) {
        memcpy(a->domain, domain.p, domain.n);
        a->svid_ttl_ms = AUTHORITY_SVID_TTL_MS;
        rc = fill(a, ca_pem, e);
    }
    if (rc != 0) {
        authority_free(a);
        return rc;
    }
    *ret = a;
    return 0;
}

int authority_make(struct authority **ret, struct bytes domain, int64_t svid_ttl_ms,
                   int64_t wall_ms, struct err *e)
{
    struct buf uri, der, pem;
    struct crypto_key *key = NULL;
    if (svid_ttl_ms == 0)
        svid_ttl_ms = AUTHORITY_SVID_TTL_MS;
    if (svid_ttl_ms < AUTHORITY_SVID_TTL_MIN_MS || svid_ttl_ms > AUTHORITY_SVID_TTL_MAX_MS)
        return err_set(e, E_INVALID, "a certificate lives 2 seconds to 24 hours");
    buf_init(&uri, SPIFFE_ID_MAX);
    buf_init(&der, X509_DER_MAX);
    buf_init(&pem, 2 * X509_DER_MAX);
    int rc = spiffe_put(&uri, domain, BYTES_NONE, e);
    if (rc == 0)
        rc = crypto_key_make(&key, e);
    if (rc == 0)
        rc = x509_authority(key, buf_cstr(&uri), wall_ms - AUTHORITY_BACKDATE_MS,
                            wall_ms + YEARS_10_MS, &der, e);
    if (rc == 0 && x509_pem_put(&pem, "CERTIFICATE", buf_bytes(&der)) != 0)
        rc = err_set(e, E_NOMEM, "no memory for an authority");
    if (rc == 0)
        rc = authority_new(ret, domain, steal(&key), buf_bytes(&pem), e);
    if (rc == 0)
        (*ret)->svid_ttl_ms = svid_ttl_ms;
    crypto_key_free(key);
    buf_fini(&uri);
    buf_fini(&der);
    buf_fini(&pem);
    return rc;
}

void authority_free(struct authority *a)
{
    if (!a)
        return;
    while (a->token_count > 0)
        authority_token_drop(a, a->token_count - 1);
    for (size_t i = 0; i < a->grant_count; i++)
        authority_grant_fini(&a->grants[i]);
    mem_free(a->tokens);
    mem_free(a->grants);
    mem_free(a->ca_pem);
    crypto_key_free(a->key);
    x509_signer_free(a->signer);
    spiffe_bundle_free(a->bundle);
    grant_removals_free(a->removals);
    mem_free(a);
}

// ---- looking ----

const char *authority_domain(const struct authority *a)
{
    return a->domain;
}

void authority_fingerprint(const struct authority *a, uint8_t ret[32])
{
    memcpy(ret, a->fingerprint, sizeof a->fingerprint);
}

int authority_bundle_pem(const struct authority *a, struct buf *out)
{
    return buf_str(out, a->ca_pem);
}

const struct spiffe_bundle *authority_bundle(const struct authority *a)
{
    return a->bundle;
}

uint64_t authority_epoch(const struct authority *a)
{
    return a->counter << AUTHORITY_COPY_BITS | a->copy;
}

const char *authority_standby(const struct authority *a)
{
    return a->standby;
}

const struct grant_removals *authority_removals(const struct authority *a)
{
    return a->removals;
}

uint64_t authority_next_epoch(struct authority *a)
{
    a->counter++;
    return authority_epoch(a);
}

void authority_saw_epoch(struct authority *a, uint64_t epoch)
{
    if (epoch >> AUTHORITY_COPY_BITS > a->counter)
        a->counter = epoch >> AUTHORITY_COPY_BITS;
}

// ---- grants ----

struct authority_grant *authority_grant_find(const struct authority *a, struct bytes node)
{
    for (size_t i = 0; i < a->grant_count; i++)
        if (bytes_is(node, a->grants[i].grant.node))
            return &a->grants[i];
    return NULL;
}

int authority_grant_room(struct authority *a, struct err *e)
{
    if (a->grant_count == AUTHORITY_NODES_MAX)
        return err_set(e, E_FULL, "more than %d nodes", AUTHORITY_NODES_MAX);
    if (a->grant_count < a->grant_room)
        return 0;
    size_t room = a->grant_room ? 2 * a->grant_room : 8;
    struct authority_grant *list = mem_realloc(a->grants, room * sizeof *list);
    if (!list)
        return err_set(e, E_NOMEM, "no memory for a grant");
    a->grants = list;
    a->grant_room = room;
    return 0;
}

int authority_grant_read(const struct authority *a, struct bytes text, struct authority_grant *ret,
                         struct err *e)
{
    struct authority_grant g = {.arena = arena_new(AUTHORITY_GRANT_ARENA)};
    int rc = g.arena ? grant_open(&g.grant, g.arena, a->bundle, text, e)
                     : err_set(e, E_NOMEM, "no memory for a grant");
    if (rc == 0 && !(g.text = arena_str(g.arena, text)))
        rc = err_set(e, E_NOMEM, "no memory for a grant");
    if (rc == 0)
        *ret = g;
    else
        authority_grant_fini(&g);
    return rc;
}

void authority_grant_put(struct authority *a, struct authority_grant *g)
{
    struct authority_grant *at = authority_grant_find(a, bytes_of(g->grant.node));
    if (at)
        authority_grant_fini(at);
    else
        at = &a->grants[a->grant_count++];
    *at = *g;
    authority_saw_epoch(a, g->grant.epoch);
}

void authority_grant_fini(struct authority_grant *g)
{
    arena_free(g->arena);
    *g = (struct authority_grant){0};
}

void authority_grant_drop(struct authority *a, struct authority_grant *g)
{
    size_t at = (size_t)(g - a->grants);
    authority_grant_fini(g);
    a->grant_count--;
    memmove(g, g + 1, (a->grant_count - at) * sizeof *g);
}

int authority_end(struct authority *a, struct authority_grant *g, int64_t wall_ms, struct buf *out,
                  struct err *e)
{
    struct grant_removal r = {.epoch = g->grant.epoch, .issued_ms = wall_ms};
    struct buf text;
    buf_init(&text, GRANT_TEXT_MAX);
    memcpy(r.node, g->grant.node, strlen(g->grant.node) + 1);
    int rc = grant_removal_make(&r, a->domain, a->key, &text, e);
    if (rc == 0 && out && buf_put(out, buf_bytes(&text)) != 0)
        rc = err_set(e, out->failed, "no room for a removal");
    if (rc == 0)
        rc = grant_removals_add(a->removals, &r, buf_bytes(&text), e);
    buf_fini(&text);
    if (rc < 0)
        return rc;
    authority_grant_drop(a, g);
    return 0;
}

int authority_remove(struct authority *a, struct bytes node, int64_t wall_ms,
                     struct buf *ret_removal, struct err *e)
{
    struct authority_grant *g = authority_grant_find(a, node);
    if (!g)
        return err_set(e, E_NOTFOUND, "no node %.*s in this mesh",
                       BYTES_FMT(bytes_first(node, SPIFFE_NODE_MAX)));
    return authority_end(a, g, wall_ms, ret_removal, e);
}

bool authority_node_each(const struct authority *a, size_t *at, struct grant *ret)
{
    if (*at >= a->grant_count)
        return false;
    *ret = a->grants[(*at)++].grant;
    return true;
}

bool authority_node(const struct authority *a, struct bytes node, struct grant *ret)
{
    const struct authority_grant *g = authority_grant_find(a, node);
    if (g)
        *ret = g->grant;
    return g != NULL;
}
