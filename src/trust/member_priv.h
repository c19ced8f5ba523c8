// member_priv.h: a member from inside.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TRUST_MEMBER_PRIV_H
#define PLEXUS_TRUST_MEMBER_PRIV_H

#include "crypto/hash.h"
#include "trust/authority.h"
#include "trust/grant_priv.h"
#include "trust/member.h"

#define MEMBER_SEEN_MAX 128 // chains; as many nodes and more

struct member_seen { // a chain that was good: member_seen.c
    uint8_t hash[SHA256_LEN];
    char *id; // NULL: none
    uint64_t epoch;
    int64_t from_ms, until_ms; // of the wall clock
};

// What came from the authority. It is made whole and checked, then it takes the old one's place.
struct member_papers {
    char *svid_pem, *bundle_pem, *grant_text;
    struct arena *arena; // of grant
    struct grant grant;
    struct spiffe_bundle *bundle;
    struct x509_info leaf;
    char id[SPIFFE_ID_MAX + 1];
    struct member_seen seen[MEMBER_SEEN_MAX];
};
struct member {
    char *node, *context;
    struct crypto_key *key, *next_key; // next_key: of a renewal under way
    char *key_pem;
    uint8_t seed[ED25519_SEED_LEN], ed25519[ED25519_PUBLIC_LEN];
    struct member_papers *papers; // NULL before the join
    struct grant_removals *removals;
    char *authority;
    char *addresses[MEMBER_ADDRESSES_MAX + 1];
};

struct member *member_new(struct bytes node, struct bytes context, struct err *e);
int member_set_key(struct member *m, struct crypto_key *key, struct err *e); // takes key
// Checks that certificate and grant are for key and m's name. wall_ms < 0: times are not looked at.
int member_papers_open(const struct member *m, const struct crypto_key *key, const char *domain,
                       struct bytes svid_pem, struct bytes bundle_pem, struct bytes grant_text,
                       int64_t wall_ms, struct member_papers **ret, struct err *e);
void member_papers_free(struct member_papers *p);

void member_chain_hash(const struct bytes *der, int count, uint8_t ret[SHA256_LEN]);
const struct member_seen *member_seen_find(struct member_papers *p, const uint8_t hash[SHA256_LEN],
                                           int64_t wall_ms); // NULL: look at the chain
// The chain was good at wall_ms. Without memory it is only not remembered.
void member_seen_put(struct member_papers *p, const uint8_t hash[SHA256_LEN],
                     const struct bytes *der, int count, int64_t wall_ms, const char *id,
                     uint64_t epoch);
void member_seen_fini(struct member_papers *p);

#endif
