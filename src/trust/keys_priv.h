// keys_priv.h: the table of keys, shared by its parts: keys.c (the table), keys_check.c (the check
// on the request path), keys_json.c (loading and saving), keys_label.c (labels and clearances),
// scope.c. SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TRUST_KEYS_PRIV_H
#define PLEXUS_TRUST_KEYS_PRIV_H

#include "base/map.h"
#include "crypto/hash.h"
#include "trust/trust.h"

#define KEY_ID_LEN 12
#define KEY_NAME_MAX 64
#define KEY_MODELS_MAX 1000
#define KEY_TEXT_LEN 47 // "plx_" and 43 characters
#define KEYS_CACHE 64   // keys in use at one moment; more only cost a SHA-256 now and then

// A bucket holds what a minute allows and is refilled evenly.
struct key_bucket {
    double level; // may be below zero
    int64_t at_ms;
    bool begun;
};

struct key {
    uint8_t hash[SHA256_LEN];
    char id[KEY_ID_LEN + 1];
    char *name;
    const char **models; // NULL: all
    unsigned scopes;
    int64_t created_ms, expires_ms, used_ms;
    uint64_t requests, tokens, cost_nano;
    uint32_t requests_per_minute;
    uint64_t tokens_per_minute;
    struct label clearance, label;
    bool has_label;
    struct key_bucket request_bucket, token_bucket;
    struct key *next; // among the removed ones
};

struct keys_cache_row {
    uint8_t mac[CRYPTO_SIP_LEN];
    struct key *key; // NULL: empty
};

struct keys {
    struct label_names *names; // borrowed; NULL: no labels
    struct key **list; // oldest first
    size_t count, room;
    struct map *by_hash;
    struct key *removed; // handles may still be out
    struct crypto_sip_key sip;
    struct keys_cache_row cache[KEYS_CACHE];
};

struct key *key_new(const uint8_t hash[SHA256_LEN]); // with its id; NULL: no memory
void key_free(struct key *key);
// Copies; NULL models: all. E_NOMEM.
int key_fill(struct key *key, struct bytes name, const char *const *models);
// Texts (p NULL: the defaults) to labels; E_INVALID, E_FULL.
int key_set_labels(struct key *key, struct label_names *names, struct bytes clearance,
                   struct bytes label, struct err *e);
// Why a name is not allowed, or NULL.
const char *key_name_wrong(struct bytes name);
void keys_forget_cache(struct keys *k);

#endif
