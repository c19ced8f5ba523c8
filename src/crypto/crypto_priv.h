// crypto_priv.h: what the parts that use OpenSSL share.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_CRYPTO_CRYPTO_PRIV_H
#define PLEXUS_CRYPTO_CRYPTO_PRIV_H

#include "crypto/sign.h"
#include <openssl/evp.h>
#include <openssl/x509.h>

struct crypto_key {
    EVP_PKEY *pkey;
    bool rsa;
};

// "context: OpenSSL's first reason", and empties OpenSSL's queue, which TLS would stumble over.
int crypto_fail(struct err *e, int code, const char *context);
// Takes pkey in every case. E_UNSUPPORTED for other kinds than sign.h names.
int crypto_key_wrap(struct crypto_key **ret, EVP_PKEY *pkey, struct err *e);
// The whole text as one certificate. NULL: it is none (queue emptied).
X509 *crypto_x509(struct bytes der);

#define CRYPTO_AUTO(type, free_)                                                                   \
    static inline void type##_cleanup(type **p)                                                    \
    {                                                                                              \
        free_(*p);                                                                                 \
    }
CRYPTO_AUTO(X509, X509_free)
CRYPTO_AUTO(X509_REQ, X509_REQ_free)
CRYPTO_AUTO(EVP_PKEY, EVP_PKEY_free)
CRYPTO_AUTO(EVP_PKEY_CTX, EVP_PKEY_CTX_free)
CRYPTO_AUTO(EVP_MD_CTX, EVP_MD_CTX_free)
CRYPTO_AUTO(BIO, BIO_free_all)
#define OSSL_AUTO(type) __attribute__((cleanup(type##_cleanup))) type *

#endif
