// authority_json.c: the authority as JSON text, version 1. The key is in it: its file is its
// owner's alone.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "trust/authority_priv.h"
#include <string.h>

#define VERSION 1

// ---- saving ----

static void put_token(struct json_w *w, const struct authority_token *t)
{
    json_w_obj(w, NULL);
    grant_put64(w, "id", t->id, sizeof t->id);
    grant_put64(w, "hash", t->hash, sizeof t->hash);
    if (t->node)
        json_w_cstr(w, "node", t->node);
    if (t->environment)
        json_w_cstr(w, "environment", t->environment);
    if (t->clearance)
        json_w_cstr(w, "clearance", t->clearance);
    grant_put_words(w, "roles", t->roles);
    json_w_i64(w, "created_ms", t->created_ms);
    json_w_i64(w, "expires_ms", t->expires_ms);
    if (t->used_by[0]) {
        json_w_cstr(w, "used_by", t->used_by);
        json_w_u64(w, "used_epoch", t->used_epoch);
    }
    if (t->revoked)
        json_w_bool(w, "revoked", true);
    json_w_end(w);
}

static void put_lists(struct json_w *w, const struct authority *a)
{
    struct grant_removal r;
    struct bytes text;
    size_t at = 0;
    json_w_arr(w, "tokens");
    for (size_t i = 0; i < a->token_count; i++)
        put_token(w, &a->tokens[i]);
    json_w_end(w);
    json_w_arr(w, "grants");
    for (size_t i = 0; i < a->grant_count; i++)
        json_w_cstr(w, NULL, a->grants[i].text);
    json_w_end(w);
    json_w_arr(w, "removals");
    while (grant_removals_each(a->removals, &at, &r, &text))
        json_w_str(w, NULL, text);
    json_w_end(w);
}

int authority_save_as(const struct authority *a, uint16_t copy, struct buf *out)
{
    struct json_w w;
    struct buf key;
    buf_init(&key, CRYPTO_PEM_MAX);
    int rc = crypto_key_pem(a->key, &key, NULL);
    json_w_init(&w, out);
    json_w_obj(&w, NULL);
    json_w_i64(&w, "version", VERSION);
    json_w_cstr(&w, "domain", a->domain);
    json_w_str(&w, "key", buf_bytes(&key));
    json_w_cstr(&w, "certificate", a->ca_pem);
    json_w_i64(&w, "svid_ttl_ms", a->svid_ttl_ms);
    json_w_u64(&w, "counter", a->counter);
    json_w_u64(&w, "copy", copy);
    json_w_arr(&w, "copies");
    for (int i = 0; i < a->copy_count; i++) {
        json_w_obj(&w, NULL);
        json_w_cstr(&w, "node", a->copies[i].node);
        json_w_u64(&w, "copy", a->copies[i].number);
        json_w_end(&w);
    }
    json_w_end(&w);
    json_w_cstr(&w, "standby", a->standby);
    put_lists(&w, a);
    json_w_end(&w);
    (void)buf_chr(out, '\n');
    grant_fini_secret(&key);
    return rc ? rc : out->failed;
}

int authority_save(const struct authority *a, struct buf *out)
{
    return authority_save_as(a, a->copy, out);
}

// ---- loading ----

static bool text_in(const struct json *v, char *ret, size_t size) // absent: ""
{
    struct bytes text = json_str(v);
    if ((v && !json_is(v, JSON_STR)) || text.n >= size || memchr(text.p ? text.p : "", 0, text.n))
        return false;
    memcpy(ret, text.p ? text.p : "", text.n);
    ret[text.n] = 0;
    return true;
}

static int load_token(struct authority *a, const struct json *v, struct err *e)
{
    const char *environment = json_cstr(json_get(v, "environment"), NULL);
    const char *node = json_cstr(json_get(v, "node"), NULL);
    struct authority_token t = {
        .node = node,
        .environment = environment,
        .clearance = json_cstr(json_get(v, "clearance"), NULL),
        .created_ms = json_i64(json_get(v, "created_ms"), -1),
        .expires_ms = json_i64(json_get(v, "expires_ms"), -1),
        .used_epoch = (uint64_t)json_i64(json_get(v, "used_epoch"), 0),
        .revoked = json_bool(json_get(v, "revoked"), false),
    };
    if (!grant_get64(json_get(v, "id"), t.id, sizeof t.id) ||
        !grant_get64(json_get(v, "hash"), t.hash, sizeof t.hash) || t.created_ms < 0 ||
        t.expires_ms < 0 || !text_in(json_get(v, "used_by"), t.used_by, sizeof t.used_by) ||
        (node && spiffe_node_check(bytes_of(node), NULL) != 0) ||
        (environment && !grant_word_ok(bytes_of(environment))))
        return err_set(e, E_PARSE, "a join token is broken");
    if (authority_token_find(a, t.id))
        return err_set(e, E_PARSE, "a join token stands there twice");
    AUTO(arena) words = arena_new(AUTHORITY_TOKEN_ARENA);
    int rc = words ? grant_words(words, json_get(v, "roles"), &t.roles, e)
                   : err_set(e, E_NOMEM, "no memory for a token");
    return rc == 0 ? authority_token_copy(a, &t, e) : rc;
}

static int load_grant(struct authority *a, const struct json *v, struct err *e)
{
    struct authority_grant g;
    int rc = authority_grant_room(a, e);
    if (rc == 0)
        rc = authority_grant_read(a, json_str(v), &g, e);
    if (rc != 0)
        return rc;
    if (authority_grant_find(a, bytes_of(g.grant.node))) {
        authority_grant_fini(&g);
        return err_set(e, E_PARSE, "a node stands there twice");
    }
    authority_grant_put(a, &g);
    return 0;
}

static int load_removal(struct authority *a, const struct json *v, struct err *e)
{
    struct grant_removal r;
    int rc = grant_removal_open(&r, a->bundle, json_str(v), e);
    if (rc == 0)
        rc = grant_removals_add(a->removals, &r, json_str(v), e);
    if (rc >= 0)
        authority_saw_epoch(a, r.epoch);
    return rc < 0 ? rc : 0;
}

static int load_copy(struct authority *a, const struct json *v, struct err *e)
{
    struct authority_copy *c = &a->copies[a->copy_count];
    int64_t number = json_i64(json_get(v, "copy"), -1);
    if (a->copy_count == AUTHORITY_COPIES_MAX || number < 0 || number > UINT16_MAX ||
        !text_in(json_get(v, "node"), c->node, sizeof c->node))
        return err_set(e, E_PARSE, "the list of copies is broken");
    c->number = (uint16_t)number;
    a->copy_count++;
    return 0;
}

static int load_list(struct authority *a, const struct json *list,
                     int (*load)(struct authority *, const struct json *, struct err *),
                     struct err *e)
{
    struct json_iter it = {0};
    struct bytes none;
    const struct json *v;
    int rc = 0;
    while (rc == 0 && json_each(list, &it, &none, &v))
        rc = load(a, v, e);
    return rc;
}

static int load_rest(struct authority *a, const struct json *root, struct err *e)
{
    int64_t counter = json_i64(json_get(root, "counter"), -1);
    int64_t copy = json_i64(json_get(root, "copy"), -1);
    a->svid_ttl_ms = json_i64(json_get(root, "svid_ttl_ms"), -1);
    if (counter < 0 || counter > INT64_MAX >> AUTHORITY_COPY_BITS || copy < 0 ||
        copy > UINT16_MAX || a->svid_ttl_ms < AUTHORITY_SVID_TTL_MIN_MS ||
        a->svid_ttl_ms > AUTHORITY_SVID_TTL_MAX_MS ||
        !text_in(json_get(root, "standby"), a->standby, sizeof a->standby))
        return err_set(e, E_PARSE, "expected counter, copy, svid_ttl_ms and standby");
    a->counter = (uint64_t)counter;
    a->copy = (uint16_t)copy;
    int rc = load_list(a, json_get(root, "copies"), load_copy, e);
    if (rc == 0)
        rc = load_list(a, json_get(root, "tokens"), load_token, e);
    if (rc == 0)
        rc = load_list(a, json_get(root, "removals"), load_removal, e);
    return rc == 0 ? load_list(a, json_get(root, "grants"), load_grant, e) : rc;
}

int authority_load(struct authority **ret, struct bytes json_text, struct err *e)
{
    struct json_doc *doc = NULL;
    struct authority *a = NULL;
    struct crypto_key *key = NULL;
    int rc = json_parse(&doc, json_text, JSON_UNIQUE, e);
    if (rc != 0)
        return err_wrap(e, "authority"), rc;
    const struct json *root = json_root(doc);
    int64_t version = json_i64(json_get(root, "version"), -1);
    if (version > VERSION)
        rc = err_set(e, E_UNSUPPORTED, "it was written by a newer plexus (version %lld)",
                     (long long)version);
    else if (version != VERSION)
        rc = err_set(e, E_PARSE, "expected {\"version\":1,...}");
    if (rc == 0)
        rc = crypto_key_open(&key, json_str(json_get(root, "key")), e);
    if (rc == 0)
        rc = authority_new(&a, json_str(json_get(root, "domain")), key,
                           json_str(json_get(root, "certificate")), e);
    if (rc == 0)
        rc = load_rest(a, root, e);
    json_free(doc);
    if (rc != 0) {
        authority_free(a);
        return err_wrap(e, "authority"), rc;
    }
    *ret = a;
    return 0;
}
