// authority_priv.h: the authority from inside.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TRUST_AUTHORITY_PRIV_H
#define PLEXUS_TRUST_AUTHORITY_PRIV_H

#include "trust/authority.h"
#include "trust/grant_priv.h"

#define AUTHORITY_COPY_BITS 16 // of an epoch: which copy gave it
#define AUTHORITY_TOKEN_ARENA 8192
#define AUTHORITY_GRANT_ARENA (2 * GRANT_TEXT_MAX + 4096)

struct authority_token {
    uint8_t id[8], hash[SHA256_LEN]; // hash of the secret
    struct arena *arena;             // of the texts
    const char *node, *environment, *clearance; // NULL: not said
    const char *const *roles;
    int64_t created_ms, expires_ms;
    char used_by[SPIFFE_NODE_MAX + 1]; // "": unused
    uint64_t used_epoch;
    bool revoked;
};
struct authority_grant {
    struct arena *arena;
    struct grant grant;
    const char *text;
};
struct authority_copy { // standbys that were made
    char node[SPIFFE_NODE_MAX + 1];
    uint16_t number;
};
#define AUTHORITY_COPIES_MAX 64

struct authority {
    char domain[SPIFFE_DOMAIN_MAX + 1];
    struct crypto_key *key;
    struct x509_signer *signer;
    struct spiffe_bundle *bundle;
    char *ca_pem;
    uint8_t fingerprint[SHA256_LEN];
    int64_t ca_not_after_ms, svid_ttl_ms;
    uint64_t counter; // of epochs
    uint16_t copy;    // this one's number; 0: the first
    struct authority_copy copies[AUTHORITY_COPIES_MAX];
    int copy_count;
    char standby[SPIFFE_NODE_MAX + 1];
    struct authority_token *tokens;
    size_t token_count, token_room;
    struct authority_grant *grants;
    size_t grant_count, grant_room;
    struct grant_removals *removals;
};

// Takes key. Domain, bundle, signer from a certificate in PEM.
int authority_new(struct authority **ret, struct bytes domain, struct crypto_key *key,
                  struct bytes ca_pem, struct err *e);
uint64_t authority_next_epoch(struct authority *a);
void authority_saw_epoch(struct authority *a, uint64_t epoch);

struct authority_token *authority_token_find(const struct authority *a, const uint8_t id[8]);
// A zeroed row with an arena at the list's end; authority_token_drop takes the last one back.
int authority_token_add(struct authority *a, struct authority_token **ret, struct err *e);
void authority_token_drop(struct authority *a, size_t at);
int authority_token_copy(struct authority *a, const struct authority_token *from, struct err *e);

struct authority_grant *authority_grant_find(const struct authority *a, struct bytes node);
// Makes room for one more, so that authority_grant_put cannot fail for want of it.
int authority_grant_room(struct authority *a, struct err *e);
int authority_grant_read(const struct authority *a, struct bytes text, struct authority_grant *ret,
                         struct err *e);
void authority_grant_put(struct authority *a, struct authority_grant *g); // takes; replaces by name
void authority_grant_fini(struct authority_grant *g);
void authority_grant_drop(struct authority *a, struct authority_grant *g);
// Ends that membership and drops the grant. out may be NULL.
int authority_end(struct authority *a, struct authority_grant *g, int64_t wall_ms, struct buf *out,
                  struct err *e);

int authority_issue(const struct authority *a, const struct crypto_key *key, const char *uri,
                    uint64_t epoch, int64_t ttl_ms, int64_t wall_ms, struct buf *der,
                    struct err *e);
// Leaf and authority as PEM.
int authority_chain_pem(const struct authority *a, struct bytes leaf_der, struct buf *out);
int authority_save_as(const struct authority *a, uint16_t copy, struct buf *out);

#endif
