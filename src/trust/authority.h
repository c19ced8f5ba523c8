// authority.h: who may be in the mesh: join tokens, grants, certificates, removals. Pure but for
// the making of keys: no clock, no file; saved as JSON text, which its owner keeps in a file of
// mode 0600 (it holds the authority's key). After every call that returns 0 and says "saves", save
// it before the answer is given out. SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TRUST_AUTHORITY_H
#define PLEXUS_TRUST_AUTHORITY_H

#include "trust/grant.h"

#define AUTHORITY_TOKENS_MAX 1000
#define AUTHORITY_NODES_MAX 4096 // grants
#define AUTHORITY_SVID_TTL_MS (3600 * 1000LL) // default
#define AUTHORITY_SVID_TTL_MIN_MS 2000
#define AUTHORITY_SVID_TTL_MAX_MS (24 * 3600 * 1000LL)
#define AUTHORITY_BACKDATE_MS 60000 // certificates begin this much before they are made: skew
#define AUTHORITY_TOKEN_TTL_MS (600 * 1000LL) // default
#define AUTHORITY_TOKEN_TTL_MAX_MS (30 * 24 * 3600 * 1000LL)
#define AUTHORITY_BODY_MAX (64 * 1024) // a request of a joiner
#define AUTHORITY_TEXT_MAX (8 << 20)   // saved

struct authority;
// A new trust domain: key, certificate (10 years), no node yet. svid_ttl_ms 0: default.
int authority_make(struct authority **ret, struct bytes domain, int64_t svid_ttl_ms,
                   int64_t wall_ms, struct err *e);
int authority_load(struct authority **ret, struct bytes json_text, struct err *e);
int authority_save(const struct authority *a, struct buf *out);
void authority_free(struct authority *a);
const char *authority_domain(const struct authority *a);
void authority_fingerprint(const struct authority *a, uint8_t ret[32]); // SHA-256 of its key's SPKI
int authority_bundle_pem(const struct authority *a, struct buf *out);
const struct spiffe_bundle *authority_bundle(const struct authority *a);
uint64_t authority_epoch(const struct authority *a); // the highest given so far

// ---- join tokens ----

// "plxj_" + base64url(id 8 | secret 16 | SHA-256 of the authority's SPKI 32)
#define AUTHORITY_TOKEN_TEXT_MAX 96
struct authority_token_parts {
    uint8_t id[8], secret[16], fingerprint[32];
};
int authority_token_parse(struct authority_token_parts *ret, struct bytes text, struct err *e);

struct authority_token_args {
    int64_t ttl_ms; // 0: default
    const char *node; // NULL: the joiner chooses. Also lets it take over a name in use
    const char *const *roles; // NULL-terminated or NULL
    const char *environment; // NULL: the joiner's own, from its context
    const char *clearance; // label text, checked by the caller; NULL: none
};
struct authority_token_view {
    char id[17]; // hex: its name
    const char *node, *environment, *clearance; // NULL as above
    const char *const *roles;
    int64_t created_ms, expires_ms;
    const char *used_by; // node, NULL: unused
};
// The text is given this once; only a hash of the secret is kept. Saves.
int authority_token_new(struct authority *a, const struct authority_token_args *args,
                        int64_t wall_ms, char ret_text[AUTHORITY_TOKEN_TEXT_MAX], char ret_id[17],
                        struct err *e);
int authority_token_remove(struct authority *a, struct bytes id,
                           struct err *e); // E_NOTFOUND; saves
// Unused ones that live, and used ones until their time is over. *at from 0.
bool authority_token_each(const struct authority *a, int64_t wall_ms, size_t *at,
                          struct authority_token_view *ret);

// ---- nodes ----
// Bodies are JSON, made by member.h and read there:
// {"node","context","csr","ed25519","token","sign"}, answers
// {"domain","svid","bundle","grant","removals":[...]}.

// The joiner proves that it holds both keys and the token. Saves. E_UNAUTH (token unknown, used,
// expired), E_FORBIDDEN (token is for another name or environment), E_EXISTS (name in use),
// E_SECURITY (proof), E_PARSE, E_INVALID, E_FULL.
// ret_removed (may be NULL) gets the text of a removal when the name was taken over: spread it.
int authority_join(struct authority *a, struct bytes body, int64_t wall_ms, struct buf *answer,
                   struct buf *ret_removed, struct err *e);
// Signed by the node's Ed25519 key within 5 minutes of wall_ms, so that it also works when its
// certificate is expired. Changes nothing. E_UNAUTH, E_SECURITY (removed, proof, clock).
int authority_renew(const struct authority *a, struct bytes body, int64_t wall_ms,
                    struct buf *answer, struct err *e);
// Ends the node's membership: gives the removal's text to be spread. E_NOTFOUND. Saves.
int authority_remove(struct authority *a, struct bytes node, int64_t wall_ms,
                     struct buf *ret_removal, struct err *e);
bool authority_node_each(const struct authority *a, size_t *at, struct grant *ret); // borrowed
bool authority_node(const struct authority *a, struct bytes node, struct grant *ret);
const struct grant_removals *authority_removals(const struct authority *a);

// ---- other identities ----

struct authority_svid_args {
    // Who asks: the peer's checked ID and epoch. NULL: this node's own admin, who may have any ID.
    // A node gets IDs below its own, and /agent/..., /flow/...; they end with its membership.
    const char *requester;
    uint64_t requester_epoch;
    const char *id; // "agent/x", "/agent/x" or whole
    int64_t ttl_ms; // 0: the default; at most the authority's for X.509 by others than admin
    struct bytes csr_der; // X.509: empty: a key is made here and given
    const char *const *audience; // JWT
    unsigned scopes; // JWT: SCOPE_*; a node may ask for models only
};
// {"id","serial","not_before","expires","cert_pem","key_pem"?,"bundle_pem"}. E_FORBIDDEN,
// E_INVALID.
int authority_svid_x509(const struct authority *a, const struct authority_svid_args *args,
                        int64_t wall_ms, struct buf *answer, struct err *e);
// {"id","token","expires"}
int authority_svid_jwt(const struct authority *a, const struct authority_svid_args *args,
                       int64_t wall_ms, struct buf *answer, struct err *e);

// ---- standby ----
// A standby is a copy of all, also of the key. An epoch is counter * 65536 + the copy's number (the
// first authority has 0, a standby a random one), so that two that do not hear each other do not
// give the same one. A standby should answer joins only while the authority is not heard: a token
// that both take is seen at the merge only.

// The text for that node (a secret: only over its mTLS link). The same node keeps its number.
// Saves.
int authority_export(struct authority *a, struct bytes node, struct buf *out, struct err *e);
// What another copy knows: tokens (used wins), grants (the higher epoch wins), removals. A token
// that was used at both for two nodes: the membership with the higher epoch is removed. 1:
// something was new (saves), 0: nothing. E_SECURITY: another authority's.
int authority_merge(struct authority *a, struct bytes json_text, int64_t wall_ms, struct err *e);
// Which node is standby, "" when none.
const char *authority_standby(const struct authority *a);

#endif
