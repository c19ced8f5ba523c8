// sign.c: ES256 and RS256.
// SPDX-License-Identifier: Apache-2.0
#include "crypto/crypto_priv.h"
#include <openssl/ec.h>
#include <openssl/err.h>

#define COORDINATE 32
#define ECDSA_DER_MAX 80 // two INTEGERs of 33 bytes with their heads, and a SEQUENCE's: 72

int crypto_key_sign(const struct crypto_key *k, struct bytes text, uint8_t ret[CRYPTO_SIGN_LEN],
                    struct err *e)
{
    uint8_t der[ECDSA_DER_MAX];
    size_t n = sizeof der;
    OSSL_AUTO(EVP_MD_CTX) ctx = EVP_MD_CTX_new();
    if (k->rsa)
        return err_set(e, E_UNSUPPORTED, "only P-256 keys sign here");
    if (!ctx || EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, k->pkey) != 1 ||
        EVP_DigestSign(ctx, der, &n, (const uint8_t *)text.p, text.n) != 1)
        return crypto_fail(e, E_INTERNAL, "signing");
    const uint8_t *at = der;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long)n);
    bool good = sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), ret, COORDINATE) == COORDINATE &&
                BN_bn2binpad(ECDSA_SIG_get0_s(sig), ret + COORDINATE, COORDINATE) == COORDINATE;
    ECDSA_SIG_free(sig);
    return good ? 0 : crypto_fail(e, E_INTERNAL, "signing");
}

// The pair as DER: bytes used, or 0.
static size_t ecdsa_der(struct bytes sign, uint8_t ret[ECDSA_DER_MAX])
{
    const uint8_t *p = (const uint8_t *)sign.p;
    ECDSA_SIG *sig = sign.n == CRYPTO_SIGN_LEN ? ECDSA_SIG_new() : NULL;
    BIGNUM *r = sig ? BN_bin2bn(p, COORDINATE, NULL) : NULL;
    BIGNUM *s = r ? BN_bin2bn(p + COORDINATE, COORDINATE, NULL) : NULL;
    int n = 0;
    if (s && ECDSA_SIG_set0(sig, r, s) == 1) { // takes both
        n = i2d_ECDSA_SIG(sig, &ret);
    } else {
        BN_free(r);
        BN_free(s);
    }
    ECDSA_SIG_free(sig);
    return n > 0 ? (size_t)n : 0;
}

bool crypto_key_verify(const struct crypto_key *k, struct bytes text, struct bytes sign)
{
    uint8_t der[ECDSA_DER_MAX];
    if (!k->rsa) {
        sign.n = ecdsa_der(sign, der);
        sign.p = (const char *)der;
    }
    OSSL_AUTO(EVP_MD_CTX) ctx = EVP_MD_CTX_new();
    bool good =
        sign.n > 0 && ctx && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, k->pkey) == 1 &&
        EVP_DigestVerify(ctx, (const uint8_t *)sign.p, sign.n, (const uint8_t *)text.p, text.n) ==
            1;
    ERR_clear_error();
    return good;
}
