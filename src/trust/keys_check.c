// keys_check.c: the check of a key on the request path.
// SPDX-License-Identifier: Apache-2.0
#include "trust/keys_priv.h"
#include <string.h>

#define MINUTE_MS 60000.0

void keys_forget_cache(struct keys *k)
{
    memset(k->cache, 0, sizeof k->cache);
}

// The key with this text, or NULL. Nothing of the text stays in memory: the cache holds a keyed
// hash of 128 bits, which nobody outside can aim at.
static struct key *find(struct keys *k, struct bytes text)
{
    uint8_t mac[CRYPTO_SIP_LEN], hash[SHA256_LEN];
    crypto_sip128(&k->sip, text, mac);
    struct keys_cache_row *row = &k->cache[mac[0] % KEYS_CACHE];
    struct bytes seen = {(const char *)row->mac, sizeof row->mac};
    if (row->key && bytes_eq_const_time(seen, (struct bytes){(const char *)mac, sizeof mac}))
        return row->key;
    sha256_sum(text, hash);
    struct bytes digest = {(const char *)hash, sizeof hash};
    struct key *key = map_get(k->by_hash, digest);
    if (!key ||
        !bytes_eq_const_time((struct bytes){(const char *)key->hash, sizeof key->hash}, digest))
        return NULL;
    memcpy(row->mac, mac, sizeof mac);
    row->key = key;
    return key;
}

// Fills the bucket up to now.
static void refill(struct key_bucket *b, double per_minute, int64_t now_ms)
{
    if (!b->begun) {
        *b = (struct key_bucket){per_minute, now_ms, true};
        return;
    }
    if (now_ms > b->at_ms) { // a clock that steps back fills nothing
        b->level += (double)(now_ms - b->at_ms) * per_minute / MINUTE_MS;
        b->at_ms = now_ms;
    }
    if (b->level > per_minute)
        b->level = per_minute;
}

// Milliseconds until the bucket holds least, at least one.
static int64_t wait_for(const struct key_bucket *b, double least, double per_minute)
{
    double ms = (least - b->level) * MINUTE_MS / per_minute;
    return ms < 1 ? 1 : ms > 1e15 ? (int64_t)1e15 : (int64_t)ms + 1;
}

static int take(struct key *key, int64_t now_ms, int64_t *ret_retry_ms, struct err *e)
{
    double requests = key->requests_per_minute, tokens = (double)key->tokens_per_minute;
    if (requests > 0) {
        refill(&key->request_bucket, requests, now_ms);
        if (key->request_bucket.level < 1) {
            *ret_retry_ms = wait_for(&key->request_bucket, 1, requests);
            return err_set(e, E_RATE, "the key %s may make %u requests a minute", key->name,
                           key->requests_per_minute);
        }
    }
    if (tokens > 0) {
        refill(&key->token_bucket, tokens, now_ms);
        if (key->token_bucket.level <= 0) {
            *ret_retry_ms = wait_for(&key->token_bucket, 1, tokens);
            return err_set(e, E_RATE, "the key %s may use %llu tokens a minute", key->name,
                           (unsigned long long)key->tokens_per_minute);
        }
    }
    if (requests > 0)
        key->request_bucket.level -= 1;
    return 0;
}

static int may_now(const struct key *key, unsigned scope, int64_t wall_ms, struct err *e)
{
    if (key->expires_ms <= wall_ms)
        return err_set(e, E_FORBIDDEN, "the key %s has expired", key->name);
    if ((key->scopes & scope) != scope) {
        struct buf missing;
        buf_init(&missing, 64);
        scope_put(&missing, scope & ~key->scopes);
        (void)err_set(e, E_FORBIDDEN, "the key %s lacks the scope %s", key->name,
                      buf_cstr(&missing));
        buf_fini(&missing);
        return E_FORBIDDEN;
    }
    return 0;
}

int keys_as(struct keys *k, struct bytes id, unsigned scope, int64_t wall_ms, struct key **ret_key,
            struct err *e)
{
    for (size_t i = 0; i < k->count; i++)
        if (bytes_is(id, k->list[i]->id)) {
            int status = may_now(k->list[i], scope, wall_ms, e);
            if (status == 0)
                *ret_key = k->list[i];
            return status;
        }
    return err_set(e, E_UNAUTH, "this API key is not known here any more");
}

int keys_check(struct keys *k, struct bytes text, unsigned scope, int64_t now_ms, int64_t wall_ms,
               struct key **ret_key, int64_t *ret_retry_ms, struct err *e)
{
    if (!text.n)
        return err_set(e, E_UNAUTH, "no API key: send the header Authorization: Bearer plx_...");
    struct key *key = text.n == KEY_TEXT_LEN ? find(k, text) : NULL;
    if (!key)
        return err_set(e, E_UNAUTH, "this API key is not known here");
    int may = may_now(key, scope, wall_ms, e);
    if (may < 0)
        return may;
    int64_t retry_ms = 0;
    int rc = take(key, now_ms, &retry_ms, e);
    if (rc != 0) {
        if (ret_retry_ms)
            *ret_retry_ms = retry_ms;
        return rc;
    }
    key->requests++;
    key->used_ms = wall_ms;
    *ret_key = key;
    return 0;
}

int key_model(const struct key *key, struct bytes model, struct err *e)
{
    for (const char *const *m = key->models; m && *m; m++) {
        struct bytes allowed = bytes_of(*m);
        bool start = bytes_ends(allowed, BYTES("*"));
        if (start ? bytes_starts(model, bytes_first(allowed, allowed.n - 1))
                  : bytes_eq(model, allowed))
            return 0;
    }
    if (!key->models)
        return 0;
    return err_set(e, E_FORBIDDEN, "the key %s may not use the model %.*s", key->name,
                   BYTES_FMT(bytes_first(model, 128)));
}

void key_cost(struct key *key, uint64_t nano)
{
    if (__builtin_add_overflow(key->cost_nano, nano, &key->cost_nano) || key->cost_nano > INT64_MAX)
        key->cost_nano = INT64_MAX; // as much as the file holds
}

void key_used(struct key *key, uint64_t tokens, int64_t now_ms)
{
    double per_minute = (double)key->tokens_per_minute;
    if (__builtin_add_overflow(key->tokens, tokens, &key->tokens))
        key->tokens = UINT64_MAX;
    if (per_minute > 0) {
        refill(&key->token_bucket, per_minute, now_ms);
        key->token_bucket.level -= (double)tokens;
    }
}
