// svid_priv.h: a trust bundle from inside.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TRUST_SVID_PRIV_H
#define PLEXUS_TRUST_SVID_PRIV_H

#include "crypto/hash.h"
#include "trust/svid.h"

struct spiffe_authority {
    uint8_t hash[SHA256_LEN]; // of its SPKI
    struct crypto_key *key;   // NULL: of a kind that signs certificates only, as far as we know
    struct buf der;
};
struct spiffe_bundle {
    char domain[SPIFFE_DOMAIN_MAX + 1];
    struct x509_roots *roots;
    struct spiffe_authority list[X509_ROOTS_MAX];
    int count;
};

#define SPIFFE_KID_MAX 48 // base64url of a SHA-256 has 43
void spiffe_kid(const uint8_t hash[SHA256_LEN], char ret[SPIFFE_KID_MAX]);

#endif
