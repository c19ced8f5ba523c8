// keys.c: the table of API keys. It knows only their hashes.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "base/rng.h"
#include "base/time.h"
#include "crypto/base64url.h"
#include "trust/keys_priv.h"
#include <string.h>

struct keys *keys_new(void)
{
    struct keys *k = mem_new(struct keys);
    if (!k)
        return NULL;
    k->by_hash = map_new(KEYS_MAX);
    if (!k->by_hash) {
        mem_free(k);
        return NULL;
    }
    rng_bytes(&k->sip, sizeof k->sip);
    return k;
}

struct key *key_new(const uint8_t hash[SHA256_LEN])
{
    struct key *key = mem_new(struct key);
    if (!key)
        return NULL;
    memcpy(key->hash, hash, sizeof key->hash);
    crypto_hex(hash, KEY_ID_LEN / 2, key->id);
    key->expires_ms = TIME_NEVER;
    key->clearance = LABEL_ALL;
    return key;
}

struct key *key_guest_new(const char *name, struct label clearance)
{
    static const uint8_t none[SHA256_LEN];
    struct key *key = key_new(none);
    if (!key || !(key->name = mem_str(name))) {
        key_free(key);
        return NULL;
    }
    key->scopes = SCOPE_ALL; // its token's scopes are checked before
    key->clearance = clearance;
    return key;
}

void key_guest_free(struct key *key)
{
    key_free(key);
}

static void free_models(const char **models)
{
    for (size_t i = 0; models && models[i]; i++)
        mem_free((char *)(uintptr_t)models[i]);
    mem_free(models);
}

void key_free(struct key *key)
{
    if (!key)
        return;
    mem_free(key->name);
    free_models(key->models);
    mem_free(key);
}

void keys_free(struct keys *k)
{
    if (!k)
        return;
    for (size_t i = 0; i < k->count; i++)
        key_free(k->list[i]);
    while (k->removed) {
        struct key *next = k->removed->next;
        key_free(k->removed);
        k->removed = next;
    }
    mem_free(k->list);
    map_free(k->by_hash);
    mem_wipe(k, sizeof *k);
    mem_free(k);
}

int key_fill(struct key *key, struct bytes name, const char *const *models)
{
    size_t n = 0;
    key->name = mem_dup(name.p, name.n);
    if (!key->name)
        return E_NOMEM;
    while (models && models[n])
        n++;
    if (!models)
        return 0;
    key->models = mem_array(n + 1, sizeof *key->models);
    for (size_t i = 0; key->models && i < n; i++) {
        key->models[i] = mem_str(models[i]);
        if (!key->models[i])
            return E_NOMEM; // key_free stops here too
    }
    return key->models ? 0 : E_NOMEM;
}

const char *key_name_wrong(struct bytes name)
{
    uint8_t id[KEY_ID_LEN / 2];
    if (!name.n || name.n > KEY_NAME_MAX)
        return "expected 1 to 64 characters";
    if (!bytes_is_utf8(name))
        return "expected UTF-8";
    for (size_t i = 0; i < name.n; i++)
        if ((unsigned char)name.p[i] < ' ' || name.p[i] == 0x7f)
            return "a control character does not belong there";
    if (crypto_unhex(name, id, sizeof id))
        return "12 hex digits are an id, not a name";
    return NULL;
}

static struct key *find(const struct keys *k, struct bytes id_or_name, size_t *ret_at)
{
    for (int by_name = 0; by_name < 2; by_name++) // ids first
        for (size_t i = 0; i < k->count; i++)
            if (bytes_is(id_or_name, by_name ? k->list[i]->name : k->list[i]->id)) {
                *ret_at = i;
                return k->list[i];
            }
    return NULL;
}

// "plx_" and 256 random bits. The text goes to its owner only.
static void make_text(char ret_key[KEY_TEXT_MAX])
{
    uint8_t random[32];
    struct buf text;
    buf_init(&text, KEY_TEXT_MAX);
    rng_bytes(random, sizeof random);
    memset(ret_key, 0, KEY_TEXT_MAX);
    if (buf_str(&text, "plx_") == 0 &&
        base64url_put(&text, (struct bytes){(const char *)random, sizeof random}) == 0)
        memcpy(ret_key, text.p, text.n);
    if (text.p)
        mem_wipe(text.p, text.cap);
    mem_wipe(random, sizeof random);
    buf_fini(&text);
}

static int grow(struct keys *k)
{
    if (k->count < k->room)
        return 0;
    size_t room = k->room ? k->room * 2 : 8;
    struct key **list = mem_realloc(k->list, room * sizeof *list);
    if (!list)
        return E_NOMEM;
    k->list = list;
    k->room = room;
    return 0;
}

static int check_args(const struct keys *k, const struct key_args *args, struct err *e)
{
    size_t at, models = 0;
    const char *wrong = args->name ? key_name_wrong(bytes_of(args->name)) : NULL;
    if (wrong)
        return err_set(e, E_INVALID, "name of the key: %s", wrong);
    if (args->scopes & ~(unsigned)SCOPE_ALL)
        return err_set(e, E_INVALID, "unknown scope");
    if (args->expires_ms < 0)
        return err_set(e, E_INVALID, "the key would have expired already");
    while (args->models && args->models[models])
        if (!args->models[models++][0] || models > KEY_MODELS_MAX)
            return err_set(e, E_INVALID, "models of the key: expected up to %d names",
                           KEY_MODELS_MAX);
    if (args->name && find(k, bytes_of(args->name), &at))
        return err_set(e, E_EXISTS, "there is a key named %s already", args->name);
    if (k->count >= KEYS_MAX)
        return err_set(e, E_FULL, "there are %d keys already", KEYS_MAX);
    return 0;
}

int keys_make(struct keys *k, const struct key_args *args, int64_t wall_ms,
              char ret_key[KEY_TEXT_MAX], const char **ret_id, struct err *e)
{
    uint8_t hash[SHA256_LEN];
    char text[KEY_TEXT_MAX];
    int rc = check_args(k, args, e);
    if (rc != 0)
        return rc;
    make_text(text);
    sha256_sum(bytes_of(text), hash);
    struct key *key = text[0] ? key_new(hash) : NULL;
    if (key) {
        key->scopes = args->scopes ? args->scopes : SCOPE_MODELS;
        key->created_ms = wall_ms;
        key->expires_ms = args->expires_ms ? args->expires_ms : TIME_NEVER;
        key->requests_per_minute = args->requests_per_minute;
        key->tokens_per_minute = args->tokens_per_minute;
    }
    if (key && (rc = key_set_labels(key, k->names, args->clearance, args->label, e)) != 0) {
        key_free(key);
        mem_wipe(text, sizeof text);
        return rc;
    }
    if (!key || key_fill(key, bytes_of(args->name ? args->name : key->id), args->models) != 0 ||
        grow(k) != 0 ||
        map_put(k->by_hash, (struct bytes){(const char *)hash, sizeof hash}, key, NULL) != 0) {
        key_free(key);
        mem_wipe(text, sizeof text);
        return err_set(e, E_NOMEM, "no memory for a key");
    }
    k->list[k->count++] = key;
    memcpy(ret_key, text, KEY_TEXT_MAX);
    mem_wipe(text, sizeof text);
    if (ret_id)
        *ret_id = key->id;
    return 0;
}

int keys_remove(struct keys *k, struct bytes id_or_name, struct err *e)
{
    size_t at;
    struct key *key = find(k, id_or_name, &at);
    if (!key)
        return err_set(e, E_NOTFOUND, "there is no key with this id or name");
    (void)map_del(k->by_hash, (struct bytes){(const char *)key->hash, sizeof key->hash});
    memmove(k->list + at, k->list + at + 1, (k->count - at - 1) * sizeof *k->list);
    k->count--;
    key->next = k->removed;
    k->removed = key;
    keys_forget_cache(k);
    return 0;
}

size_t keys_count(const struct keys *k)
{
    return k->count;
}

bool keys_each(const struct keys *k, size_t *at, struct key_view *ret)
{
    if (*at >= k->count)
        return false;
    key_view(k->list[(*at)++], ret);
    return true;
}

void key_view(const struct key *key, struct key_view *ret)
{
    *ret = (struct key_view){
        .id = key->id,
        .name = key->name,
        .scopes = key->scopes,
        .models = key->models,
        .created_ms = key->created_ms,
        .expires_ms = key->expires_ms,
        .used_ms = key->used_ms,
        .requests = key->requests,
        .tokens = key->tokens,
        .cost_nano = key->cost_nano,
        .requests_per_minute = key->requests_per_minute,
        .tokens_per_minute = key->tokens_per_minute,
        .clearance = key->clearance,
        .label = key->label,
        .has_label = key->has_label,
    };
}
