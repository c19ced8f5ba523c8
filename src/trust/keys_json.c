// keys_json.c: the table of keys as JSON text, version 1. Numbers of milliseconds are wall time; a
// missing expires_ms means never, missing models mean all, a missing clearance restricted:*.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "base/time.h"
#include "trust/keys_priv.h"
#include <string.h>

#define VERSION 1

static void save_label(struct json_w *w, const struct label_names *names, const char *name,
                       struct label l)
{
    struct buf text;
    buf_init(&text, LABEL_TEXT_MAX);
    label_put(&text, names, l);
    json_w_str(w, name, buf_bytes(&text));
    buf_fini(&text);
}

static void save_key(struct json_w *w, const struct label_names *names, const struct key *key)
{
    char hash[SHA256_LEN * 2 + 1];
    struct buf scopes;
    crypto_hex(key->hash, sizeof key->hash, hash);
    buf_init(&scopes, 64);
    scope_put(&scopes, key->scopes);
    json_w_obj(w, NULL);
    json_w_cstr(w, "id", key->id);
    json_w_cstr(w, "name", key->name);
    json_w_cstr(w, "hash", hash);
    json_w_cstr(w, "scopes", buf_cstr(&scopes));
    if (key->models)
        json_w_arr(w, "models");
    for (const char **m = key->models; m && *m; m++)
        json_w_cstr(w, NULL, *m);
    if (key->models)
        json_w_end(w);
    json_w_i64(w, "created_ms", key->created_ms);
    if (key->expires_ms != TIME_NEVER)
        json_w_i64(w, "expires_ms", key->expires_ms);
    json_w_i64(w, "used_ms", key->used_ms);
    json_w_u64(w, "requests", key->requests);
    json_w_u64(w, "tokens", key->tokens);
    if (key->cost_nano)
        json_w_u64(w, "cost_nano", key->cost_nano);
    json_w_u64(w, "requests_per_minute", key->requests_per_minute);
    json_w_u64(w, "tokens_per_minute", key->tokens_per_minute);
    if (!label_dominates(key->clearance, LABEL_ALL))
        save_label(w, names, "clearance", key->clearance);
    if (key->has_label)
        save_label(w, names, "label", key->label);
    json_w_end(w);
    buf_fini(&scopes);
}

int keys_save(const struct keys *k, struct buf *out)
{
    struct json_w w;
    json_w_init(&w, out);
    json_w_obj(&w, NULL);
    json_w_i64(&w, "version", VERSION);
    json_w_arr(&w, "keys");
    for (size_t i = 0; i < k->count; i++)
        save_key(&w, k->names, k->list[i]);
    json_w_end(&w);
    json_w_end(&w);
    (void)buf_chr(out, '\n');
    return out->failed;
}

// ---- loading ----

static int bad(size_t at, struct err *e, const char *what)
{
    return err_set(e, E_INVALID, "keys[%zu]: %s", at, what);
}

// Absent: fallback; present: a whole number from 0 to max, else false.
static bool count(const struct json *v, const char *name, uint64_t max, uint64_t fallback,
                  uint64_t *ret)
{
    const struct json *n = json_get(v, name);
    int64_t x = json_i64(n, -1);
    *ret = n ? (uint64_t)x : fallback;
    return !n || (json_is(n, JSON_NUM) && x >= 0 && (uint64_t)x <= max);
}

static bool counts(struct key *key, const struct json *v)
{
    uint64_t created, expires, used, requests;
    bool ok = count(v, "created_ms", INT64_MAX, 0, &created) &&
              count(v, "expires_ms", INT64_MAX, INT64_MAX, &expires) &&
              count(v, "used_ms", INT64_MAX, 0, &used) &&
              count(v, "requests", INT64_MAX, 0, &key->requests) &&
              count(v, "tokens", INT64_MAX, 0, &key->tokens) &&
              count(v, "cost_nano", INT64_MAX, 0, &key->cost_nano) &&
              count(v, "requests_per_minute", UINT32_MAX, 0, &requests) &&
              count(v, "tokens_per_minute", INT64_MAX, 0, &key->tokens_per_minute);
    if (!ok)
        return false;
    key->created_ms = (int64_t)created;
    key->expires_ms = (int64_t)expires;
    key->used_ms = (int64_t)used;
    key->requests_per_minute = (uint32_t)requests;
    return true;
}

static int labels(struct key *key, struct label_names *names, const struct json *v, size_t at,
                  struct err *e)
{
    const struct json *clearance = json_get(v, "clearance"), *label = json_get(v, "label");
    if ((clearance && !json_is(clearance, JSON_STR)) || (label && !json_is(label, JSON_STR)))
        return bad(at, e, "expected labels such as confidential:eng");
    int rc = key_set_labels(key, names, json_str(clearance), json_str(label), e);
    return rc == 0 ? 0 : err_wrap(e, "keys[%zu]", at);
}

static int fill(struct key *key, struct label_names *names, const struct json *v, size_t at,
                struct err *e)
{
    const struct json *models = json_get(v, "models");
    struct bytes name = json_str(json_get(v, "name"));
    const char *wrong = bytes_is(name, key->id) ? NULL : key_name_wrong(name);
    if (wrong)
        return err_set(e, E_INVALID, "keys[%zu].name: %s", at, wrong);
    if (!bytes_is(json_str(json_get(v, "id")), key->id))
        return bad(at, e, "the id is not the start of the hash");
    if (scope_parse(json_str(json_get(v, "scopes")), &key->scopes, e) != 0)
        return bad(at, e, "expected scopes such as \"models,read\"");
    if (!counts(key, v))
        return bad(at, e, "expected whole numbers for times, counts and limits");
    int rc = labels(key, names, v, at, e);
    if (rc != 0)
        return rc;
    size_t n = json_len(models);
    if (models && (!json_is(models, JSON_ARR) || n > KEY_MODELS_MAX))
        return bad(at, e, "expected a list of models");
    const char **list = models ? mem_array(n + 1, sizeof *list) : NULL;
    if (models && !list)
        return err_set(e, E_NOMEM, "no memory for the keys");
    for (size_t i = 0; list && i < n; i++) {
        list[i] = json_cstr(json_at(models, i), "");
        if (!list[i][0])
            rc = bad(at, e, "expected a list of models");
    }
    if (rc == 0 && key_fill(key, name, list) != 0)
        rc = err_set(e, E_NOMEM, "no memory for the keys");
    mem_free(list);
    return rc;
}

static int load_key(struct keys *to, struct map *names, const struct json *v, struct err *e)
{
    uint8_t hash[SHA256_LEN];
    struct bytes digest = {(const char *)hash, sizeof hash};
    size_t at = to->count;
    if (!crypto_unhex(json_str(json_get(v, "hash")), hash, sizeof hash))
        return bad(at, e, "expected a hash of 64 hex digits");
    if (map_get(to->by_hash, digest))
        return bad(at, e, "the same key stands there twice");
    struct key *key = key_new(hash);
    if (!key)
        return err_set(e, E_NOMEM, "no memory for the keys");
    to->list[to->count++] = key; // keys_free of the half-made table takes it
    int rc = fill(key, to->names, v, at, e);
    if (rc != 0)
        return rc;
    if (map_get(names, bytes_of(key->name)))
        return bad(at, e, "the same name stands there twice");
    if (map_put(names, bytes_of(key->name), key, NULL) != 0 ||
        map_put(to->by_hash, digest, key, NULL) != 0)
        return err_set(e, E_NOMEM, "no memory for the keys");
    return 0;
}

static int load_all(struct keys *to, const struct json *root, struct err *e)
{
    const struct json *list = json_get(root, "keys");
    int64_t version = json_i64(json_get(root, "version"), -1);
    if (version > VERSION)
        return err_set(e, E_UNSUPPORTED, "the keys were written by a newer plexus (version %lld)",
                       (long long)version);
    if (version != VERSION || !json_is(list, JSON_ARR))
        return err_set(e, E_INVALID, "expected {\"version\":1,\"keys\":[...]}");
    if (json_len(list) > KEYS_MAX)
        return err_set(e, E_FULL, "more than %d keys", KEYS_MAX);
    struct map *names = map_new(KEYS_MAX);
    to->room = json_len(list) + 1;
    to->list = mem_array(to->room, sizeof *to->list);
    int rc = names && to->list ? 0 : err_set(e, E_NOMEM, "no memory for the keys");
    struct json_iter it = {0};
    struct bytes none;
    const struct json *v;
    while (rc == 0 && json_each(list, &it, &none, &v))
        rc = load_key(to, names, v, e);
    map_free(names);
    return rc;
}

// A key that stays keeps its place in memory (handles are out), its buckets, the larger counters.
static void keep(struct key *old, struct key *new)
{
    struct key was = *old;
    *old = *new;
    old->request_bucket = was.request_bucket;
    old->token_bucket = was.token_bucket;
    if (was.requests_per_minute != old->requests_per_minute)
        old->request_bucket.begun = false;
    if (was.tokens_per_minute != old->tokens_per_minute)
        old->token_bucket.begun = false;
    old->requests = was.requests > new->requests ? was.requests : new->requests;
    old->tokens = was.tokens > new->tokens ? was.tokens : new->tokens;
    old->cost_nano = was.cost_nano > new->cost_nano ? was.cost_nano : new->cost_nano;
    old->used_ms = was.used_ms > new->used_ms ? was.used_ms : new->used_ms;
    new->name = was.name; // freed with it
    new->models = was.models;
}

int keys_load(struct keys *k, struct bytes json_text, struct err *e)
{
    struct json_doc *doc = NULL;
    struct keys *to = keys_new();
    if (!to)
        return err_set(e, E_NOMEM, "no memory for the keys");
    to->names = k->names;
    int rc = json_parse(&doc, json_text, JSON_UNIQUE, e);
    if (rc == 0)
        rc = load_all(to, json_root(doc), e);
    json_free(doc);
    if (rc != 0) {
        keys_free(to);
        return rc;
    }
    for (size_t i = 0; i < to->count; i++) { // from here on nothing can fail
        struct bytes digest = {(const char *)to->list[i]->hash, SHA256_LEN};
        struct key *old = map_del(k->by_hash, digest), *new = to->list[i];
        if (!old)
            continue;
        keep(old, new);
        void *replaced = NULL;
        (void)map_put(to->by_hash, digest, old, &replaced); // replaces: needs no memory
        to->list[i] = old;
        key_free(new);
    }
    for (size_t i = 0; i < k->count; i++) {
        struct key *old = k->list[i];
        if (map_del(k->by_hash, (struct bytes){(const char *)old->hash, SHA256_LEN})) {
            old->next = k->removed;
            k->removed = old;
        }
    }
    struct keys old = *k;
    k->list = to->list;
    k->count = to->count;
    k->room = to->room;
    k->by_hash = to->by_hash;
    keys_forget_cache(k);
    to->list = old.list;
    to->count = 0; // its keys are in the table or among the removed ones
    to->by_hash = old.by_hash;
    keys_free(to);
    return 0;
}
