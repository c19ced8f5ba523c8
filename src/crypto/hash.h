// hash.h: SHA-256 (FIPS 180-4) and SipHash-2-4 with 128 bits (Aumasson, Bernstein 2012), our own,
// so that a node without TLS never loads a crypto library's tables. SPDX-License-Identifier:
// Apache-2.0
#ifndef PLEXUS_CRYPTO_HASH_H
#define PLEXUS_CRYPTO_HASH_H

#include "base/bytes.h"

#define SHA256_LEN 32

struct sha256 {
    uint32_t state[8];
    uint64_t bytes; // fed so far
    uint8_t block[64];
};
void sha256_init(struct sha256 *h);
void sha256_add(struct sha256 *h, const void *p, size_t n);
void sha256_end(struct sha256 *h, uint8_t ret[SHA256_LEN]); // wipes h
void sha256_sum(struct bytes text, uint8_t ret[SHA256_LEN]);

// A keyed hash: who does not know the key cannot make two texts that meet, nor guess a value.
// For short-lived tables inside one process.
#define CRYPTO_SIP_LEN 16
struct crypto_sip_key {
    uint64_t a, b;
};
void crypto_sip128(const struct crypto_sip_key *key, struct bytes text,
                   uint8_t ret[CRYPTO_SIP_LEN]);

// Lower-case hex of n bytes, 2 n characters and a NUL.
void crypto_hex(const uint8_t *p, size_t n, char *ret);
// Exactly 2 n hex digits of either case; false else.
bool crypto_unhex(struct bytes text, uint8_t *ret, size_t n);

#endif
