// grant.h: what the authority lets a node be: signed JSON that goes with each of the node's sheets.
// And removals, which end grants. Texts are sealed as svid.h says.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TRUST_GRANT_H
#define PLEXUS_TRUST_GRANT_H

#include "base/arena.h"
#include "trust/svid.h"

#define GRANT_TEXT_MAX 4096
#define GRANT_ROLES_MAX 16
#define GRANT_WORD_MAX 63 // a role, an environment

// One membership of one node. Epochs are unique in a trust domain and grow; a node that joins again
// gets a new one.
struct grant { // strings live in the arena of grant_open
    const char *domain, *node;
    uint8_t ed25519[ED25519_PUBLIC_LEN]; // signs the node's sheets
    const char *const *roles; // NULL-terminated
    const char *environment; // "dev", "staging", "prod"
    const char *clearance; // label text, "" when none was given
    uint64_t epoch;
    int64_t issued_ms; // wall
};
int grant_open(struct grant *ret, struct arena *a, const struct spiffe_bundle *b, struct bytes text,
               struct err *e); // E_PARSE, E_SECURITY, E_NOMEM
int grant_make(const struct grant *g, const struct crypto_key *authority, struct buf *out,
               struct err *e);

// "Every grant and certificate of node up to this epoch is void."
struct grant_removal {
    char node[SPIFFE_NODE_MAX + 1];
    uint64_t epoch;
    int64_t issued_ms; // wall
};
int grant_removal_open(struct grant_removal *ret, const struct spiffe_bundle *b, struct bytes text,
                       struct err *e);
int grant_removal_make(const struct grant_removal *r, const char *domain,
                       const struct crypto_key *authority, struct buf *out, struct err *e);

// Removals known here: at most GRANT_REMOVALS_MAX.
#define GRANT_REMOVALS_MAX 4096
struct grant_removals;
struct grant_removals *grant_removals_new(void);
void grant_removals_free(struct grant_removals *r);
// Copies the checked text. 1: news, 0: known, E_FULL, E_NOMEM.
int grant_removals_add(struct grant_removals *r, const struct grant_removal *removal,
                       struct bytes text, struct err *e);
// By name up to the removed epoch, and by exactly that epoch for IDs that name no node (agents,
// flows that the node hosted). node may be empty.
bool grant_removals_hit(const struct grant_removals *r, struct bytes node, uint64_t epoch);
bool grant_removals_each(const struct grant_removals *r, size_t *at, struct grant_removal *ret,
                         struct bytes *ret_text); // *at from 0

#endif
