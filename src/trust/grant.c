// grant.c: grants and removals as signed JSON.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "crypto/base64url.h"
#include "trust/grant_priv.h"
#include <string.h>

// ---- small things ----

bool grant_word_ok(struct bytes word)
{
    bool good = word.n > 0 && word.n <= GRANT_WORD_MAX;
    for (size_t i = 0; good && i < word.n; i++) {
        char c = word.p[i], lower = (char)(c | 0x20);
        good = (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
               c == '_';
    }
    return good;
}

struct bytes grant_environment(struct bytes context)
{
    struct bytes first = bytes_cut(&context, '.');
    return grant_word_ok(first) ? first : BYTES_NONE;
}

int grant_words(struct arena *a, const struct json *v, const char *const **ret, struct err *e)
{
    size_t n = json_len(v);
    if (v && (!json_is(v, JSON_ARR) || n > GRANT_ROLES_MAX))
        return err_set(e, E_PARSE, "expected a list of at most %d roles", GRANT_ROLES_MAX);
    const char **list = arena_zalloc(a, (n + 1) * sizeof *list);
    for (size_t i = 0; list && i < n; i++) {
        struct bytes word = json_str(json_at(v, i));
        if (!grant_word_ok(word))
            return err_set(e, E_PARSE, "a role is of " GRANT_WORDS);
        list[i] = arena_str(a, word);
        if (!list[i])
            list = NULL;
    }
    if (!list)
        return err_set(e, E_NOMEM, "no memory for roles");
    *ret = list;
    return 0;
}

void grant_put_words(struct json_w *w, const char *key, const char *const *words)
{
    json_w_arr(w, key);
    for (; words && *words; words++)
        json_w_cstr(w, NULL, *words);
    json_w_end(w);
}

void grant_put64(struct json_w *w, const char *key, const void *p, size_t n)
{
    struct buf text;
    buf_init(&text, 2 * n + 4);
    int rc = base64url_put(&text, (struct bytes){p, n});
    if (rc != 0 && !w->out->failed)
        w->out->failed = rc;
    json_w_str(w, key, buf_bytes(&text));
    buf_fini(&text);
}

bool grant_get64(const struct json *v, void *ret, size_t n)
{
    struct buf raw;
    buf_init(&raw, n);
    bool good = base64url_parse(&raw, json_str(v)) == 0 && raw.n == n && n > 0;
    if (good)
        memcpy(ret, raw.p, n);
    buf_fini(&raw);
    return good;
}

void grant_fini_secret(struct buf *b)
{
    if (b->p)
        mem_wipe(b->p, b->cap);
    buf_fini(b);
}

static void put_digest(struct buf *out, struct bytes data)
{
    uint8_t hash[SHA256_LEN];
    sha256_sum(data, hash);
    (void)buf_add(out, hash, sizeof hash);
}

int grant_join_text(struct buf *out, struct bytes csr, const uint8_t token[8],
                    const uint8_t ed25519[ED25519_PUBLIC_LEN], struct bytes node,
                    struct bytes context)
{
    (void)buf_str(out, "plexus join 1\n");
    put_digest(out, csr);
    (void)buf_add(out, token, 8);
    (void)buf_add(out, ed25519, ED25519_PUBLIC_LEN);
    (void)buf_put(out, node);
    (void)buf_chr(out, '\n');
    return buf_put(out, context);
}

int grant_renew_text(struct buf *out, struct bytes csr, struct bytes node, uint64_t epoch,
                     int64_t wall_ms)
{
    (void)buf_str(out, "plexus renew 1\n");
    put_digest(out, csr);
    (void)buf_put(out, node);
    return buf_fmt(out, "\n%llu\n%lld", (unsigned long long)epoch, (long long)wall_ms);
}

// ---- grants ----

int grant_make(const struct grant *g, const struct crypto_key *authority, struct buf *out,
               struct err *e)
{
    struct json_w w;
    struct buf text;
    buf_init(&text, GRANT_TEXT_MAX);
    json_w_init(&w, &text);
    json_w_obj(&w, NULL);
    json_w_cstr(&w, "domain", g->domain);
    json_w_cstr(&w, "node", g->node);
    grant_put64(&w, "ed25519", g->ed25519, sizeof g->ed25519);
    grant_put_words(&w, "roles", g->roles);
    json_w_cstr(&w, "environment", g->environment);
    json_w_cstr(&w, "clearance", g->clearance);
    json_w_u64(&w, "epoch", g->epoch);
    json_w_i64(&w, "issued_ms", g->issued_ms);
    json_w_end(&w);
    int rc = text.failed ? err_set(e, text.failed, "the grant is too long")
                         : spiffe_seal(authority, "grant", buf_bytes(&text), out, e);
    buf_fini(&text);
    return rc;
}

// The members that grants and removals have in common.
static int head(const struct json *root, const struct spiffe_bundle *b, struct bytes *ret_node,
                uint64_t *ret_epoch, int64_t *ret_issued_ms, struct err *e)
{
    int64_t epoch = json_i64(json_get(root, "epoch"), 0);
    *ret_node = json_str(json_get(root, "node"));
    *ret_issued_ms = json_i64(json_get(root, "issued_ms"), -1);
    *ret_epoch = (uint64_t)epoch;
    if (!bytes_is(json_str(json_get(root, "domain")), spiffe_bundle_domain(b)))
        return err_set(e, E_SECURITY, "foreign trust domain %.*s: ours is %s",
                       BYTES_FMT(json_str(json_get(root, "domain"))), spiffe_bundle_domain(b));
    if (epoch <= 0 || *ret_issued_ms < 0 || spiffe_node_check(*ret_node, NULL) != 0)
        return err_set(e, E_PARSE, "expected node, epoch and issued_ms");
    return 0;
}

static int fill(struct grant *g, struct arena *a, const struct spiffe_bundle *b,
                const struct json *root, struct err *e)
{
    struct bytes node, environment = json_str(json_get(root, "environment"));
    const struct json *clearance = json_get(root, "clearance");
    int rc = head(root, b, &node, &g->epoch, &g->issued_ms, e);
    if (rc == 0)
        rc = grant_words(a, json_get(root, "roles"), &g->roles, e);
    if (rc != 0)
        return rc;
    if (!grant_get64(json_get(root, "ed25519"), g->ed25519, sizeof g->ed25519) ||
        !grant_word_ok(environment) || (clearance && !json_is(clearance, JSON_STR)))
        return err_set(e, E_PARSE, "expected ed25519, environment and clearance");
    g->domain = arena_str(a, bytes_of(spiffe_bundle_domain(b)));
    g->node = arena_str(a, node);
    g->environment = arena_str(a, environment);
    g->clearance = arena_str(a, json_str(clearance));
    return g->domain && g->node && g->environment && g->clearance
               ? 0
               : err_set(e, E_NOMEM, "no memory for a grant");
}

// The payload of a sealed text as JSON.
static int open_json(const struct spiffe_bundle *b, const char *purpose, struct bytes text,
                     struct json_doc **ret, struct err *e)
{
    struct buf payload;
    if (text.n > GRANT_TEXT_MAX)
        return err_set(e, E_PARSE, "a %s has at most %d bytes", purpose, GRANT_TEXT_MAX);
    buf_init(&payload, GRANT_TEXT_MAX);
    int rc = spiffe_sealed_open(b, purpose, text, &payload, e);
    if (rc == 0)
        rc = json_parse(ret, buf_bytes(&payload), JSON_UNIQUE, e);
    buf_fini(&payload);
    return rc;
}

int grant_open(struct grant *ret, struct arena *a, const struct spiffe_bundle *b, struct bytes text,
               struct err *e)
{
    struct json_doc *doc = NULL;
    struct grant g = {0};
    int rc = open_json(b, "grant", text, &doc, e);
    if (rc == 0)
        rc = fill(&g, a, b, json_root(doc), e);
    json_free(doc);
    if (rc != 0)
        return err_wrap(e, "grant"), rc;
    *ret = g;
    return 0;
}

// ---- removals ----

int grant_removal_make(const struct grant_removal *r, const char *domain,
                       const struct crypto_key *authority, struct buf *out, struct err *e)
{
    struct json_w w;
    struct buf text;
    buf_init(&text, GRANT_TEXT_MAX);
    json_w_init(&w, &text);
    json_w_obj(&w, NULL);
    json_w_cstr(&w, "domain", domain);
    json_w_cstr(&w, "node", r->node);
    json_w_u64(&w, "epoch", r->epoch);
    json_w_i64(&w, "issued_ms", r->issued_ms);
    json_w_end(&w);
    int rc = text.failed ? err_set(e, text.failed, "no room for a removal")
                         : spiffe_seal(authority, "removal", buf_bytes(&text), out, e);
    buf_fini(&text);
    return rc;
}

int grant_removal_open(struct grant_removal *ret, const struct spiffe_bundle *b, struct bytes text,
                       struct err *e)
{
    struct json_doc *doc = NULL;
    struct grant_removal r = {0};
    struct bytes node = BYTES_NONE;
    int rc = open_json(b, "removal", text, &doc, e);
    if (rc == 0)
        rc = head(json_root(doc), b, &node, &r.epoch, &r.issued_ms, e);
    if (rc == 0) {
        memcpy(r.node, node.p, node.n);
        *ret = r;
    } else {
        (void)err_wrap(e, "removal");
    }
    json_free(doc);
    return rc;
}
