// trust.h: who may do what: API keys, their scopes and labels.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TRUST_TRUST_H
#define PLEXUS_TRUST_TRUST_H

#include "base/buf.h"
#include "base/err.h"
#include "text/json.h"
#include "trust/label.h"

enum {
    SCOPE_MODELS = 1,
    SCOPE_READ = 2,
    SCOPE_ADMIN = 4
}; // use models; see state, logs, metrics; change things
#define SCOPE_ALL (SCOPE_MODELS | SCOPE_READ | SCOPE_ADMIN)
int scope_parse(struct bytes text, unsigned *ret_scopes,
                struct err *e); // "models,read", "all"; E_INVALID
void scope_put(struct buf *out, unsigned scopes);

#define KEY_TEXT_MAX 64 // "plx_" + 43 characters of base64url (256 random bits)

#define KEYS_MAX 10000 // one more is E_FULL

struct keys; // the table: pure, loaded from and saved as JSON text by its owner
struct key_view {
    const char *id;      // 12 hex digits: the start of the hash: safe to show
    const char *name;
    unsigned scopes;
    const char *const *models; // NULL: all; "name", or "start*" for all that begin so
    int64_t created_ms, expires_ms, used_ms; // wall; TIME_NEVER; 0 = never used
    uint64_t requests, tokens;
    uint64_t cost_nano; // of its requests, in 10^-9 of the configured currency
    uint32_t requests_per_minute; // 0: no limit
    uint64_t tokens_per_minute;
    struct label clearance; // of what its owner may read
    struct label label;     // of its requests that bring none, when has_label
    bool has_label;
};

struct keys *keys_new(void);
void keys_free(struct keys *k);
// The node's names of compartments, borrowed as long as k: before keys_load. Without them keys have
// no labels: E_INVALID.
void keys_names(struct keys *k, struct label_names *names);
const struct label_names *keys_names_of(const struct keys *k);
// Replaces all, or changes nothing. Keys that stay keep their buckets and the larger counters.
// E_PARSE, E_INVALID, E_UNSUPPORTED (written by a newer plexus), E_FULL, E_NOMEM.
int keys_load(struct keys *k, struct bytes json_text, struct err *e);
int keys_save(const struct keys *k, struct buf *out);                 // hashes only, never keys
struct key_args {
    const char *name;          // NULL: its id. 1 to 64 printable characters, not 12 hex digits
    unsigned scopes;           // 0: SCOPE_MODELS
    const char *const *models;
    int64_t expires_ms;        // wall; 0 and TIME_NEVER: never
    uint32_t requests_per_minute;
    uint64_t tokens_per_minute;
    struct bytes clearance; // text; p NULL: restricted:*
    struct bytes label;     // text; p NULL: the configuration's. Not above the clearance
};
// Makes a key; its text is given this once. E_EXISTS (name), E_INVALID, E_FULL, E_NOMEM.
int keys_make(struct keys *k, const struct key_args *args, int64_t wall_ms,
              char ret_key[KEY_TEXT_MAX], const char **ret_id, struct err *e);
int keys_remove(struct keys *k, struct bytes id_or_name, struct err *e); // E_NOTFOUND
size_t keys_count(const struct keys *k);
bool keys_each(const struct keys *k, size_t *at, struct key_view *ret); // *at from 0; oldest first

// The check on the request path (SHA-256 of the text, one map lookup, constant-time compare; a
// small cache by a keyed 128-bit hash of the text skips the SHA-256 of a key seen before). 0:
// *ret_key is a handle, good until keys_free also when the key is removed meanwhile. The request
// counts and takes one from the bucket of requests. E_UNAUTH (none, unknown), E_FORBIDDEN (scope,
// expired), E_RATE (*ret_retry_ms: until the bucket has enough). Texts never repeat the key.
struct key;
int keys_check(struct keys *k, struct bytes text, unsigned scope, int64_t now_ms, int64_t wall_ms,
               struct key **ret_key, int64_t *ret_retry_ms, struct err *e);
// The key of this id, for a request that its owner makes by way of the node itself: nothing is
// counted. E_UNAUTH (removed), E_FORBIDDEN (scope, expired).
int keys_as(struct keys *k, struct bytes id, unsigned scope, int64_t wall_ms, struct key **ret_key,
            struct err *e);
// What its owner may read; the label of a request that brings none: the key's own, else standard,
// but of what the owner may not know no more than the clearance holds.
// A handle that is in no table: for callers that prove themselves by a token of the mesh instead.
struct key *key_guest_new(const char *name, struct label clearance); // NULL: no memory
void key_guest_free(struct key *key);
struct label key_clearance(const struct key *key);
struct label key_label(const struct key *key, struct label standard);
bool key_has_labels(const struct key *key); // one of the two was given
// May it use this model (the configured name, not an alias)? 0 or E_FORBIDDEN.
int key_model(const struct key *key, struct bytes model, struct err *e);
// Tokens are known after the answer: the bucket may go below zero, and the next request waits.
void key_used(struct key *key, uint64_t tokens, int64_t now_ms);
void key_cost(struct key *key, uint64_t nano); // what they cost
void key_view(const struct key *key, struct key_view *ret); // texts live until the table changes

#endif
