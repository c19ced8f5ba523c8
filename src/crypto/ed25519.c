// ed25519.c: Ed25519 with raw keys.
// SPDX-License-Identifier: Apache-2.0
#include "base/rng.h"
#include "crypto/crypto_priv.h"

int ed25519_public(const uint8_t seed[ED25519_SEED_LEN], uint8_t ret_public[ED25519_PUBLIC_LEN],
                   struct err *e)
{
    size_t n = ED25519_PUBLIC_LEN;
    OSSL_AUTO(EVP_PKEY)
    key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, ED25519_SEED_LEN);
    if (!key || EVP_PKEY_get_raw_public_key(key, ret_public, &n) != 1)
        return crypto_fail(e, E_INTERNAL, "Ed25519");
    return 0;
}

int ed25519_make(uint8_t ret_seed[ED25519_SEED_LEN], uint8_t ret_public[ED25519_PUBLIC_LEN],
                 struct err *e)
{
    rng_bytes(ret_seed, ED25519_SEED_LEN);
    return ed25519_public(ret_seed, ret_public, e);
}

int ed25519_sign(const uint8_t seed[ED25519_SEED_LEN], struct bytes text,
                 uint8_t ret_sign[ED25519_SIGN_LEN], struct err *e)
{
    size_t n = ED25519_SIGN_LEN;
    OSSL_AUTO(EVP_PKEY)
    key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, ED25519_SEED_LEN);
    OSSL_AUTO(EVP_MD_CTX) ctx = EVP_MD_CTX_new();
    if (!key || !ctx || EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) != 1 ||
        EVP_DigestSign(ctx, ret_sign, &n, (const uint8_t *)text.p, text.n) != 1)
        return crypto_fail(e, E_INTERNAL, "Ed25519");
    return 0;
}

bool ed25519_verify(const uint8_t public_key[ED25519_PUBLIC_LEN], struct bytes text,
                    struct bytes sign)
{
    if (sign.n != ED25519_SIGN_LEN)
        return false;
    OSSL_AUTO(EVP_PKEY)
    key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key, ED25519_PUBLIC_LEN);
    OSSL_AUTO(EVP_MD_CTX) ctx = EVP_MD_CTX_new();
    bool good = key && ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1 &&
                EVP_DigestVerify(ctx, (const uint8_t *)sign.p, sign.n, (const uint8_t *)text.p,
                                 text.n) == 1;
    if (!good)
        (void)crypto_fail(NULL, E_SECURITY, "");
    return good;
}
