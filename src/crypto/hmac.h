// hmac.h: HMAC-SHA256 (RFC 2104, FIPS 198-1), our own, on hash.h.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_CRYPTO_HMAC_H
#define PLEXUS_CRYPTO_HMAC_H

#include "crypto/hash.h"

#define HMAC_LEN SHA256_LEN

// A key made ready: two compressions less for each text.
struct hmac_key {
    struct sha256 inner, outer;
};
void hmac_key_init(struct hmac_key *k, struct bytes secret); // any length
void hmac_key_fini(struct hmac_key *k);                      // wipes
void hmac_with(const struct hmac_key *k, struct bytes text, uint8_t ret[HMAC_LEN]);
void hmac_sum(struct bytes secret, struct bytes text, uint8_t ret[HMAC_LEN]);
// mac may be cut to its first bytes (at least 16, RFC 2104 section 5); constant time.
bool hmac_fits(const struct hmac_key *k, struct bytes text, struct bytes mac);

#endif
