// x509_fuzz.c: any bytes as a certificate, a chain, a request for one, keys, PEM.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "crypto/x509.h"
#include <stdlib.h>
#include <string.h>

#define NOW 1800000000000LL

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct x509_roots *roots;
static struct crypto_key *root_key;

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void set_up(void)
{
    struct buf der;
    buf_init(&der, X509_DER_MAX);
    must(crypto_key_make(&root_key, NULL) == 0);
    must(x509_authority(root_key, "spiffe://example.org", NOW - 1000, NOW + 1000, &der, NULL) == 0);
    struct bytes one = buf_bytes(&der);
    must(x509_roots_new(&roots, &one, 1, NULL) == 0);
    buf_fini(&der);
}

static void try_certificate(struct bytes text)
{
    static struct x509_info info;
    struct crypto_key *key = NULL;
    struct err e = {0}, f = {0};
    struct bytes rest = text, first = bytes_cut(&rest, '\n');
    struct bytes chain[2] = {text, text}, two[2] = {first, rest};
    int rc = x509_info(text, &info, &e);
    must(rc == 0 || (rc == E_PARSE && e.code == rc && e.n > 0));
    if (rc == 0)
        must(info.serial_n <= X509_SERIAL_MAX && info.uri_count >= 0 &&
             strlen(info.uri) < X509_URI_MAX);
    must(x509_chain(roots, chain, 2, NOW, &f) < 0 && f.n > 0); // nobody has the root's key
    must(x509_chain(roots, two, 2, NOW, &f) < 0);
    if (x509_key(text, &key, NULL) == 0)
        crypto_key_free(key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes text = {(const char *)data, size}, rest = text;
    struct crypto_key *key = NULL;
    struct err e = {0};
    struct buf der;
    int rc;
    if (!roots)
        set_up();
    try_certificate(text);
    rc = x509_csr_open(text, &key, &e);
    must((rc == 0) == (key != NULL) && (rc == 0 || e.n > 0));
    crypto_key_free(key);
    key = NULL;
    rc = crypto_key_open(&key, text, NULL);
    must((rc == 0) == (key != NULL));
    crypto_key_free(key);
    key = NULL;
    rc = crypto_key_public(&key, text, NULL);
    must((rc == 0) == (key != NULL));
    crypto_key_free(key);
    buf_init(&der, X509_DER_MAX);
    for (size_t left = size + 1; (rc = x509_pem_next(&rest, "CERTIFICATE", &der, NULL)) == 1;) {
        must(rest.n < left); // it goes on
        left = rest.n;
        try_certificate(buf_bytes(&der));
    }
    must(rc == 0 || rc == E_PARSE || rc == E_TOOBIG);
    must(!crypto_key_verify(root_key, BYTES("text"), text)); // nor a signature of it
    buf_fini(&der);
    return 0;
}
