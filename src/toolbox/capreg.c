// capreg.c: which registry an address means, and what a package must be before anybody gets it.
// SPDX-License-Identifier: Apache-2.0
#include "toolbox/capreg_priv.h"

#include "crypto/hash.h"
#include "toolbox/caps_priv.h"

#include <stdio.h>
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

int capreg_name(const struct manifest_pack *p, char ret_urn[URN_MAX + 1],
                char ret_hash[MANIFEST_HASH_LEN + 1], struct err *e)
{
    struct json_doc *doc = NULL;
    struct urn u;
    int rc = json_parse(&doc, p->manifest, 0, e);
    struct bytes urn = json_str(json_get(json_root(doc), "urn"));
    if (!rc && !(rc = urn_parse(&u, urn, e)))
        (void)snprintf(ret_urn, URN_MAX + 1, "%.*s", BYTES_FMT(urn));
    capreg_hash(p->manifest, ret_hash);
    json_free(doc);
    return rc;
}

// What speaks for a flow is its promotion: signed, and about this very document.
static int flow(const struct manifest_pack *p, struct bytes asked, const char *const *publishers,
                struct err *e)
{
    char urn[URN_MAX + 1], hash[MANIFEST_HASH_LEN + 1];
    struct crystal *c = NULL;
    int rc = capreg_name(p, urn, hash, e);
    bool by_hash = bytes_starts(asked, BYTES(CAPREG_HASH_PREFIX));
    if (!rc && asked.n &&
        !(by_hash ? bytes_is(bytes_from(asked, strlen(CAPREG_HASH_PREFIX)), hash)
                  : bytes_is(asked, urn)))
        rc = err_set(e, E_MANIFEST, "the registry gave %s, not %.*s", urn, BYTES_FMT(asked));
    if (!rc && (p->code.n || !p->promotion.n))
        rc = err_set(e, E_MANIFEST, "%s: a flow has a promotion, and no code", urn);
    if (!rc)
        rc = crystal_open(&c, p->promotion, e);
    if (!rc && !bytes_is(c->kind, "flow"))
        rc = err_set(e, E_SECURITY, "%s: its promotion is not one of a flow", urn);
    if (!rc && !caps_is_publisher(publishers, c->key))
        rc = err_set(e, E_SECURITY, "%s: who promoted it, %.*s, is not taken here", urn,
                     BYTES_FMT(c->key));
    if (!rc)
        rc = crystal_check(c, bytes_of(urn), p->manifest, p->evidence, e);
    crystal_free(c);
    return rc;
}

bool capreg_is_flow(struct bytes manifest)
{
    struct json_doc *doc = NULL;
    bool yes = json_parse(&doc, manifest, 0, NULL) == 0 &&
               json_i64(json_get(json_root(doc), "plexus_flow"), 0) == 1 &&
               json_str(json_get(json_root(doc), "document")).n > 0;
    json_free(doc);
    return yes;
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
    if (capreg_is_flow(p->manifest))
        return flow(p, urn, publishers, e);
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
