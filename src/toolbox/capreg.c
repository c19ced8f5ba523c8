// capreg.c: which registry an address means, and what a package must be before anybody gets it.
// SPDX-License-Identifier: Apache-2.0
#include "toolbox/capreg_priv.h"

#include "crypto/hash.h"
#include "toolbox/caps_priv.h"

#include <string.h>

void capreg_hash(struct bytes data, char ret[MANIFEST_HASH_LEN + 1])
{
    uint8_t sum[SHA256_LEN];
    sha256_sum(data, sum);
    crypto_hex(sum, sizeof sum, ret);
}

bool capreg_is_hash(struct bytes text)
{
    for (size_t i = 0; i < text.n; i++)
        if (!((text.p[i] >= '0' && text.p[i] <= '9') || (text.p[i] >= 'a' && text.p[i] <= 'f')))
            return false;
    return text.n == MANIFEST_HASH_LEN;
}

static int promoted(const struct manifest_pack *p, const struct manifest *m, struct err *e)
{
    struct crystal *c = NULL;
    int rc = crystal_open(&c, p->promotion, e);
    if (!rc)
        rc = crystal_check(c, m->urn, m->text, p->evidence, e);
    crystal_free(c);
    return rc;
}

int capreg_check(const struct manifest_pack *p, struct bytes urn, const char *const *publishers,
                 struct err *e)
{
    struct manifest *m = NULL;
    int rc = manifest_open(&m, p->manifest, 0, e);
    if (rc)
        return rc;
    if (bytes_starts(urn, BYTES(CAPREG_HASH_PREFIX))) {
        if (!bytes_is(bytes_from(urn, strlen(CAPREG_HASH_PREFIX)), m->hash))
            rc = err_set(e, E_MANIFEST, "the registry gave a manifest with the hash %s, not %.*s",
                         m->hash, BYTES_FMT(urn));
    } else if (urn.n && !bytes_eq(urn, m->urn)) {
        rc = err_set(e, E_MANIFEST, "the registry gave %.*s, not %.*s", BYTES_FMT(m->urn),
                     BYTES_FMT(urn));
    }
    if (!rc && !m->is_signed)
        rc = err_set(e, E_SECURITY, "%.*s is not signed: `plexus tool build` signs",
                     BYTES_FMT(m->urn));
    if (!rc && !caps_is_publisher(publishers, m->key))
        rc = err_set(e, E_SECURITY, "%.*s: its publisher's key %.*s is not taken here",
                     BYTES_FMT(m->urn), BYTES_FMT(m->key));
    if (!rc)
        rc = manifest_code_check(m, p->code, e);
    if (!rc && p->promotion.n)
        rc = promoted(p, m, e);
    manifest_free(m);
    return rc;
}

int capreg_new(struct capreg **ret, const struct capreg_args *args, struct err *e)
{
    struct capreg_args a = *args;
    a.timeout_ms = a.timeout_ms ? a.timeout_ms : CAPREG_MS;
    if (bytes_starts(a.url, BYTES("file://")))
        return capreg_folder_new(ret, &a, e);
    if (bytes_starts(a.url, BYTES("oci://")))
        return capreg_oci_new(ret, &a, e);
    if (bytes_starts(a.url, BYTES("http://")) || bytes_starts(a.url, BYTES("https://")))
        return capreg_http_new(ret, &a, e);
    return err_set(e, E_INVALID,
                   "%.*s: a registry is http://HOST:PORT, https://..., oci://HOST/PREFIX or "
                   "file:///FOLDER",
                   BYTES_FMT(a.url));
}

void capreg_free(struct capreg *g)
{
    if (g)
        g->ops->free(g);
}
