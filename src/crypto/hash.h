// hash.h: SHA-256 (FIPS 180-4) and SipHash-2-4 with 128 bits (Aumasson, Bernstein 2012), our own, so
// that a node without TLS never loads a crypto library's tables.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_CRYPTO_HASH_H
#define PLEXUS_CRYPTO_HASH_H

#include "base/bytes.h"

#define HASH_SHA256_LEN 32

struct hash_sha256 {
    uint32_t state[8];
    uint64_t bytes; // fed so far
    uint8_t block[64];
};
void hash_sha256_init(struct hash_sha256 *h);
void hash_sha256_add(struct hash_sha256 *h, const void *p, size_t n);
void hash_sha256_end(struct hash_sha256 *h, uint8_t ret[HASH_SHA256_LEN]); // wipes h
void hash_sha256(struct bytes text, uint8_t ret[HASH_SHA256_LEN]);

// A keyed hash: who does not know the key cannot make two texts that meet, nor guess a value.
// For short-lived tables inside one process.
#define HASH_SIP_LEN 16
struct hash_sip_key {
    uint64_t a, b;
};
void hash_sip128(const struct hash_sip_key *key, struct bytes text, uint8_t ret[HASH_SIP_LEN]);

// Lower-case hex of n bytes, 2 n characters and a NUL.
void hash_hex(const uint8_t *p, size_t n, char *ret);
// Exactly 2 n hex digits of either case; false else.
bool hash_unhex(struct bytes text, uint8_t *ret, size_t n);

#endif
