// jwt_fuzz.c: any bytes as a token, and as header and claims of a token that is signed.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "crypto/base64url.h"
#include "trust/svid.h"
#include "trust/trust.h"
#include <stdlib.h>
#include <string.h>

#define NOW 1800000000000LL

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct crypto_key *key;
static struct spiffe_bundle *bundle;

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void set_up(void)
{
    struct buf der, pem;
    buf_init(&der, X509_DER_MAX);
    buf_init(&pem, X509_DER_MAX);
    must(crypto_key_make(&key, NULL) == 0);
    must(x509_authority(key, "spiffe://example.org", NOW - 1000, NOW + 1000, &der, NULL) == 0);
    must(x509_pem_put(&pem, "CERTIFICATE", buf_bytes(&der)) == 0);
    must(spiffe_bundle_open(&bundle, BYTES("example.org"), buf_bytes(&pem), NULL) == 0);
    buf_fini(&der);
    buf_fini(&pem);
}

static bool check(struct bytes token)
{
    static struct spiffe_jwt jwt;
    struct err e = {0};
    int rc = spiffe_jwt_check(bundle, token, BYTES("plexus"), NOW, &jwt, &e);
    if (rc != 0)
        must(rc == E_UNAUTH && e.code == rc && e.n > 0);
    else
        must(jwt.expires_ms > NOW && !(jwt.scopes & ~(unsigned)SCOPE_ALL) &&
             strncmp(jwt.id, "spiffe://example.org/", 21) == 0);
    return rc == 0;
}

// The first line is a header, the rest are claims; both are signed. Unsigned it is never taken.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes rest = {(const char *)data, size}, text = rest, header = bytes_cut(&rest, '\n');
    uint8_t sign[CRYPTO_SIGN_LEN];
    struct buf token;
    if (!bundle)
        set_up();
    must(!check(text));
    buf_init(&token, 1 << 20);
    (void)base64url_put(&token, header);
    (void)buf_chr(&token, '.');
    (void)base64url_put(&token, rest);
    if (!token.failed && crypto_key_sign(key, buf_bytes(&token), sign, NULL) == 0) {
        (void)buf_chr(&token, '.');
        must(!check(buf_bytes(&token))); // an empty signature
        (void)base64url_put(&token, (struct bytes){(const char *)sign, sizeof sign});
        if (check(buf_bytes(&token))) {
            must(bytes_find(header, BYTES("256")) >= 0 || bytes_find(header, BYTES("\\u")) >= 0);
            token.p[token.n - 2] ^= 1; // inside the signature
            must(!check(buf_bytes(&token)));
        }
    }
    buf_fini(&token);
    return 0;
}
