// key.c: P-256 keys, made, read and written, and RSA public keys.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "crypto/crypto_priv.h"
#include "crypto/hash.h"
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <string.h>

#define COORDINATE 32 // bytes of a P-256 field element
#define RSA_BITS_MIN 2048
#define RSA_BITS_MAX 8192

int crypto_fail(struct err *e, int code, const char *context)
{
    unsigned long first = 0, it;
    while ((it = ERR_get_error()) != 0) // the first is the nearest to the cause
        first = first ? first : it;
    const char *reason = first ? ERR_reason_error_string(first) : NULL;
    if (first && ERR_GET_REASON(first) == ERR_R_MALLOC_FAILURE)
        code = E_NOMEM;
    return reason ? err_set(e, code, "%s: %s", context, reason) : err_set(e, code, "%s", context);
}

int crypto_key_wrap(struct crypto_key **ret, EVP_PKEY *pkey, struct err *e)
{
    char group[32] = "";
    size_t n;
    int kind = EVP_PKEY_get_base_id(pkey), bits = EVP_PKEY_get_bits(pkey);
    bool rsa = kind == EVP_PKEY_RSA && bits >= RSA_BITS_MIN && bits <= RSA_BITS_MAX;
    bool ec = kind == EVP_PKEY_EC && EVP_PKEY_get_group_name(pkey, group, sizeof group, &n) == 1 &&
              strcmp(group, "prime256v1") == 0;
    struct crypto_key *k = rsa || ec ? mem_new(struct crypto_key) : NULL;
    if (!k) {
        EVP_PKEY_free(pkey);
        return rsa || ec ? err_set(e, E_NOMEM, "no memory for a key")
                         : crypto_fail(e, E_UNSUPPORTED,
                                       "key: expected P-256, or RSA of 2048 to 8192 bits");
    }
    k->pkey = pkey;
    k->rsa = rsa;
    *ret = k;
    return 0;
}

int crypto_key_make(struct crypto_key **ret, struct err *e)
{
    EVP_PKEY *pkey = EVP_EC_gen("P-256");
    return pkey ? crypto_key_wrap(ret, pkey, e) : crypto_fail(e, E_INTERNAL, "making a key");
}

int crypto_key_open(struct crypto_key **ret, struct bytes pem, struct err *e)
{
    if (pem.n > CRYPTO_PEM_MAX)
        return err_set(e, E_TOOBIG, "key: over %d bytes", CRYPTO_PEM_MAX);
    OSSL_AUTO(BIO) bio = BIO_new_mem_buf(pem.p ? pem.p : "", (int)pem.n);
    // An empty password stands for "none": a key with one is refused, nobody is asked.
    EVP_PKEY *pkey = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, (void *)(uintptr_t)"") : NULL;
    if (!pkey)
        return crypto_fail(e, E_PARSE, "key: not a private key in PEM");
    return crypto_key_wrap(ret, pkey, e);
}

int crypto_key_public(struct crypto_key **ret, struct bytes spki_der, struct err *e)
{
    const uint8_t *at = (const uint8_t *)spki_der.p;
    EVP_PKEY *pkey = spki_der.n > 0 && spki_der.n <= CRYPTO_PEM_MAX
                         ? d2i_PUBKEY(NULL, &at, (long)spki_der.n)
                         : NULL;
    if (pkey && at == (const uint8_t *)spki_der.p + spki_der.n)
        return crypto_key_wrap(ret, pkey, e);
    EVP_PKEY_free(pkey);
    return crypto_fail(e, E_PARSE, "key: not a public key in DER");
}

static int key_of(struct crypto_key **ret, const char *kind, OSSL_PARAM_BLD *parts, struct err *e)
{
    EVP_PKEY *pkey = NULL;
    OSSL_PARAM *params = parts ? OSSL_PARAM_BLD_to_param(parts) : NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, kind, NULL);
    if (ctx && params && EVP_PKEY_fromdata_init(ctx) == 1)
        (void)EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params);
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    return pkey ? crypto_key_wrap(ret, pkey, e) : crypto_fail(e, E_PARSE, "key: not a public key");
}

int crypto_key_ec(struct crypto_key **ret, struct bytes x, struct bytes y, struct err *e)
{
    uint8_t point[1 + 2 * COORDINATE] = {4}; // uncompressed (SEC 1, section 2.3.3)
    if (x.n != COORDINATE || y.n != COORDINATE)
        return err_set(e, E_PARSE, "key: expected two coordinates of %d bytes", COORDINATE);
    memcpy(point + 1, x.p, COORDINATE);
    memcpy(point + 1 + COORDINATE, y.p, COORDINATE);
    OSSL_PARAM_BLD *parts = OSSL_PARAM_BLD_new();
    if (parts) {
        (void)OSSL_PARAM_BLD_push_utf8_string(parts, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0);
        (void)OSSL_PARAM_BLD_push_octet_string(parts, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point);
    }
    int rc = key_of(ret, "EC", parts, e); // a point off the curve is refused there
    OSSL_PARAM_BLD_free(parts);
    return rc;
}

int crypto_key_rsa(struct crypto_key **ret, struct bytes n, struct bytes exponent, struct err *e)
{
    if (n.n < RSA_BITS_MIN / 8 || n.n > RSA_BITS_MAX / 8 || exponent.n < 1 || exponent.n > 8)
        return err_set(e, E_UNSUPPORTED, "key: expected RSA of 2048 to 8192 bits");
    BIGNUM *modulus = BN_bin2bn((const uint8_t *)n.p, (int)n.n, NULL);
    BIGNUM *power = BN_bin2bn((const uint8_t *)exponent.p, (int)exponent.n, NULL);
    OSSL_PARAM_BLD *parts = OSSL_PARAM_BLD_new();
    if (parts && modulus && power) {
        (void)OSSL_PARAM_BLD_push_BN(parts, OSSL_PKEY_PARAM_RSA_N, modulus);
        (void)OSSL_PARAM_BLD_push_BN(parts, OSSL_PKEY_PARAM_RSA_E, power);
    }
    int rc = key_of(ret, "RSA", parts, e);
    OSSL_PARAM_BLD_free(parts);
    BN_free(modulus);
    BN_free(power);
    return rc;
}

void crypto_key_free(struct crypto_key *k)
{
    if (k)
        EVP_PKEY_free(k->pkey);
    mem_free(k);
}

void crypto_key_auto(struct crypto_key **k)
{
    crypto_key_free(*k);
}

bool crypto_key_is_rsa(const struct crypto_key *k)
{
    return k->rsa;
}

int crypto_key_pem(const struct crypto_key *k, struct buf *out, struct err *e)
{
    char *text = NULL;
    OSSL_AUTO(BIO) bio = BIO_new(BIO_s_secmem()); // wiped when freed
    if (!bio || PEM_write_bio_PKCS8PrivateKey(bio, k->pkey, NULL, NULL, 0, NULL, NULL) != 1)
        return crypto_fail(e, E_INVALID, "key: it has no private half");
    long n = BIO_get_mem_data(bio, &text);
    return buf_add(out, text, (size_t)n) == 0 ? 0 : err_set(e, out->failed, "key: too long");
}

int crypto_key_spki(const struct crypto_key *k, struct buf *out, struct err *e)
{
    int n = i2d_PUBKEY(k->pkey, NULL);
    uint8_t *at = n > 0 ? (uint8_t *)buf_room(out, (size_t)n) : NULL;
    if (n <= 0)
        return crypto_fail(e, E_INTERNAL, "key");
    if (!at)
        return err_set(e, out->failed, "key: too long");
    (void)i2d_PUBKEY(k->pkey, &at);
    out->n += (size_t)n;
    return 0;
}

int crypto_key_hash(const struct crypto_key *k, uint8_t ret[32], struct err *e)
{
    struct buf spki;
    buf_init(&spki, CRYPTO_PEM_MAX);
    int rc = crypto_key_spki(k, &spki, e);
    if (rc == 0)
        sha256_sum(buf_bytes(&spki), ret);
    buf_fini(&spki);
    return rc;
}

int crypto_key_xy(const struct crypto_key *k, uint8_t ret_x[32], uint8_t ret_y[32], struct err *e)
{
    BIGNUM *x = NULL, *y = NULL;
    bool good = !k->rsa && EVP_PKEY_get_bn_param(k->pkey, OSSL_PKEY_PARAM_EC_PUB_X, &x) == 1 &&
                EVP_PKEY_get_bn_param(k->pkey, OSSL_PKEY_PARAM_EC_PUB_Y, &y) == 1 &&
                BN_bn2binpad(x, ret_x, COORDINATE) == COORDINATE &&
                BN_bn2binpad(y, ret_y, COORDINATE) == COORDINATE;
    BN_free(x);
    BN_free(y);
    return good ? 0 : crypto_fail(e, E_UNSUPPORTED, "key: not P-256");
}

bool crypto_key_same(const struct crypto_key *a, const struct crypto_key *b)
{
    bool same = EVP_PKEY_eq(a->pkey, b->pkey) == 1;
    ERR_clear_error();
    return same;
}
