// member_json.c: an identity as JSON text, version 1. Keys are in it: its file is its owner's
// alone. SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "trust/member_priv.h"

#define VERSION 1

int member_save(const struct member *m, struct buf *out)
{
    struct json_w w;
    struct grant_removal r;
    struct bytes text;
    size_t at = 0;
    json_w_init(&w, out);
    json_w_obj(&w, NULL);
    json_w_i64(&w, "version", VERSION);
    json_w_cstr(&w, "node", m->node);
    json_w_cstr(&w, "context", m->context);
    json_w_cstr(&w, "key", m->key_pem);
    grant_put64(&w, "ed25519_seed", m->seed, sizeof m->seed);
    if (m->papers) {
        json_w_cstr(&w, "domain", m->papers->grant.domain);
        json_w_cstr(&w, "svid", m->papers->svid_pem);
        json_w_cstr(&w, "bundle", m->papers->bundle_pem);
        json_w_cstr(&w, "grant", m->papers->grant_text);
    }
    json_w_arr(&w, "removals");
    while (grant_removals_each(m->removals, &at, &r, &text))
        json_w_str(&w, NULL, text);
    json_w_end(&w);
    json_w_cstr(&w, "authority", member_authority(m));
    grant_put_words(&w, "authority_addresses", member_authority_addresses(m));
    json_w_end(&w);
    (void)buf_chr(out, '\n');
    return out->failed;
}

static int load_keys(struct member *m, const struct json *root, struct err *e)
{
    struct crypto_key *key = NULL;
    int rc = crypto_key_open(&key, json_str(json_get(root, "key")), e);
    if (rc != 0)
        return rc;
    if (crypto_key_is_rsa(key)) {
        crypto_key_free(key);
        return err_set(e, E_UNSUPPORTED, "key: expected P-256");
    }
    rc = member_set_key(m, key, e);
    if (rc != 0)
        return rc;
    if (!grant_get64(json_get(root, "ed25519_seed"), m->seed, sizeof m->seed))
        return err_set(e, E_PARSE, "expected ed25519_seed");
    return ed25519_public(m->seed, m->ed25519, e);
}

static int load_papers(struct member *m, const struct json *root, struct err *e)
{
    const struct json *list = json_get(root, "removals");
    if (!json_get(root, "svid"))
        return 0;
    int rc = member_papers_open(
        m, m->key, json_cstr(json_get(root, "domain"), ""), json_str(json_get(root, "svid")),
        json_str(json_get(root, "bundle")), json_str(json_get(root, "grant")), -1, &m->papers, e);
    for (size_t i = 0; rc >= 0 && i < json_len(list); i++)
        rc = member_removal_add(m, json_str(json_at(list, i)), NULL, e);
    return rc < 0 ? rc : 0;
}

static int load_authority(struct member *m, const struct json *root, struct err *e)
{
    const struct json *list = json_get(root, "authority_addresses");
    const char *addresses[MEMBER_ADDRESSES_MAX + 1] = {0};
    for (size_t i = 0; i < json_len(list) && i < MEMBER_ADDRESSES_MAX; i++) {
        addresses[i] = json_cstr(json_at(list, i), NULL);
        if (!addresses[i])
            return err_set(e, E_PARSE, "expected a list of addresses");
    }
    return member_set_authority(m, json_str(json_get(root, "authority")), addresses, e);
}

int member_load(struct member **ret, struct bytes json_text, struct err *e)
{
    struct json_doc *doc = NULL;
    struct err why = {0};
    struct member *m = NULL;
    int rc = json_parse(&doc, json_text, JSON_UNIQUE, e);
    if (rc != 0)
        return err_wrap(e, "identity"), rc;
    const struct json *root = json_root(doc);
    int64_t version = json_i64(json_get(root, "version"), -1);
    if (version > VERSION)
        rc = err_set(e, E_UNSUPPORTED, "it was written by a newer plexus (version %lld)",
                     (long long)version);
    else if (version != VERSION)
        rc = err_set(e, E_PARSE, "expected {\"version\":1,...}");
    else if (!(m = member_new(json_str(json_get(root, "node")), json_str(json_get(root, "context")),
                              &why)))
        rc = err_set(e, why.code, "%s", why.text);
    if (rc == 0)
        rc = load_keys(m, root, e);
    if (rc == 0)
        rc = load_papers(m, root, e);
    if (rc == 0)
        rc = load_authority(m, root, e);
    json_free(doc);
    if (rc != 0) {
        member_free(m);
        return err_wrap(e, "identity"), rc;
    }
    *ret = m;
    return 0;
}
