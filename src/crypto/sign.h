// sign.h: signatures: Ed25519 (RFC 8032) with raw keys, ECDSA P-256 (ES256) and, to verify only,
// RS256 (RFC 7518). By OpenSSL, which nothing here touches before its first use.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_CRYPTO_SIGN_H
#define PLEXUS_CRYPTO_SIGN_H

#include "base/buf.h"
#include "base/err.h"

#define ED25519_SEED_LEN 32
#define ED25519_PUBLIC_LEN 32
#define ED25519_SIGN_LEN 64

int ed25519_make(uint8_t ret_seed[ED25519_SEED_LEN], uint8_t ret_public[ED25519_PUBLIC_LEN],
                 struct err *e); // from the kernel's random bytes
int ed25519_public(const uint8_t seed[ED25519_SEED_LEN], uint8_t ret_public[ED25519_PUBLIC_LEN],
                   struct err *e);
int ed25519_sign(const uint8_t seed[ED25519_SEED_LEN], struct bytes text,
                 uint8_t ret_sign[ED25519_SIGN_LEN], struct err *e);
// False for every wrong key, length or signature.
bool ed25519_verify(const uint8_t public_key[ED25519_PUBLIC_LEN], struct bytes text,
                    struct bytes sign);

// A key made ready: P-256 with or without its private half, or an RSA public key (2048 to 8192
// bits). Other curves and kinds are refused: E_UNSUPPORTED.
struct crypto_key;
#define CRYPTO_SIGN_LEN 64 // ES256: r and s, 32 bytes each (RFC 7518, section 3.4)
#define CRYPTO_PEM_MAX 16384

int crypto_key_make(struct crypto_key **ret, struct err *e); // P-256
int crypto_key_open(struct crypto_key **ret, struct bytes pem, struct err *e); // PKCS#8 or SEC 1
int crypto_key_public(struct crypto_key **ret, struct bytes spki_der, struct err *e);
int crypto_key_ec(struct crypto_key **ret, struct bytes x, struct bytes y,
                  struct err *e); // a JWK's members, big-endian
int crypto_key_rsa(struct crypto_key **ret, struct bytes n, struct bytes exponent, struct err *e);
void crypto_key_free(struct crypto_key *k);
void crypto_key_auto(struct crypto_key **k);

bool crypto_key_is_rsa(const struct crypto_key *k);
int crypto_key_pem(const struct crypto_key *k, struct buf *out, struct err *e); // PKCS#8: a secret
int crypto_key_spki(const struct crypto_key *k, struct buf *out, struct err *e); // DER
// SHA-256 of the SubjectPublicKeyInfo: what a join token pins, and what names a key (kid).
int crypto_key_hash(const struct crypto_key *k, uint8_t ret[32], struct err *e);
int crypto_key_xy(const struct crypto_key *k, uint8_t ret_x[32], uint8_t ret_y[32],
                  struct err *e); // P-256
bool crypto_key_same(const struct crypto_key *a, const struct crypto_key *b); // public halves

int crypto_key_sign(const struct crypto_key *k, struct bytes text, uint8_t ret[CRYPTO_SIGN_LEN],
                    struct err *e); // SHA-256 and ECDSA
// P-256: a signature of CRYPTO_SIGN_LEN; RSA: PKCS #1 v1.5 with SHA-256.
bool crypto_key_verify(const struct crypto_key *k, struct bytes text, struct bytes sign);

#endif
