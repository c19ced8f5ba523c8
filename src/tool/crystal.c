// crystal.c: EpistemicPromotionEvent: a signed statement that something passed its evaluation,
// linked by hashes to what it is, to the evidence, and to the node's promotion before.
// SPDX-License-Identifier: Apache-2.0
#include "tool/tool_priv.h"

#include <string.h>

#define TYPE "EpistemicPromotionEvent"

int crystal_make(struct buf *out, const struct crystal_args *args, const struct manifest_key *key,
                 struct err *e)
{
    char evidence[MANIFEST_HASH_LEN + 1];
    struct val *v = val_obj(), *subject = val_obj(), *seen = val_obj();
    if (!args->cases)
        goto none;
    tool_hash(args->evidence, evidence);
    subject = val_put_cstr(subject, "kind", val_cstr(args->kind));
    subject = val_put_cstr(subject, "urn", val_str(args->urn));
    subject = val_put_cstr(subject, "sha256", val_str(args->hash));
    seen = val_put_cstr(seen, "sha256", val_cstr(evidence));
    seen = val_put_cstr(seen, "cases", val_int((int64_t)args->cases));
    seen = val_put_cstr(seen, "passed", val_int((int64_t)args->cases));
    v = val_put_cstr(v, "type", val_cstr(TYPE));
    v = val_put_cstr(v, "version", val_int(1));
    v = val_put_cstr(v, "subject", subject);
    v = val_put_cstr(v, "evidence", seen);
    v = val_put_cstr(v, "node", val_str(args->node));
    v = val_put_cstr(v, "at", val_int(args->at_ms));
    v = val_put_cstr(v, "previous", args->previous.n ? val_str(args->previous) : val_null());
    v = val_put_cstr(v, "key", val_cstr(key->public_text));
    return tool_sign(out, v, key, e);
none:
    val_unref(v);
    val_unref(subject);
    val_unref(seen);
    return err_set(e, E_INVALID, "%.*s: it has no evaluation: add cases to its manifest first",
                   BYTES_FMT(args->urn));
}

static int take(struct crystal *c, struct err *e)
{
    const struct val *subject = val_get_cstr(c->root, "subject"),
                     *evidence = val_get_cstr(c->root, "evidence");
    c->kind = val_bytes(val_get_cstr(subject, "kind"));
    c->urn = val_bytes(val_get_cstr(subject, "urn"));
    c->hash = val_bytes(val_get_cstr(subject, "sha256"));
    c->evidence = val_bytes(val_get_cstr(evidence, "sha256"));
    c->node = val_bytes(val_get_cstr(c->root, "node"));
    c->previous = val_bytes(val_get_cstr(c->root, "previous"));
    c->key = val_bytes(val_get_cstr(c->root, "key"));
    c->at_ms = val_i64(val_get_cstr(c->root, "at"), -1);
    int64_t cases = val_i64(val_get_cstr(evidence, "cases"), 0);
    struct urn u;
    c->cases = cases > 0 ? (uint64_t)cases : 0;
    if (!bytes_is(val_bytes(val_get_cstr(c->root, "type")), TYPE) ||
        val_i64(val_get_cstr(c->root, "version"), 0) != 1)
        return err_set(e, E_MANIFEST, "not an " TYPE " of version 1");
    if (!tool_is_hash(c->hash) || !tool_is_hash(c->evidence) ||
        (c->previous.n && !tool_is_hash(c->previous)) || c->at_ms < 0 ||
        (!bytes_is(c->kind, "capability") && !bytes_is(c->kind, "flow")))
        return err_set(e, E_MANIFEST,
                       TYPE ": subject, evidence, previous or at is not well-formed");
    if (!c->cases || val_i64(val_get_cstr(evidence, "passed"), -1) != cases)
        return err_set(e, E_MANIFEST, TYPE ": what did not pass all its cases is not promoted");
    if (urn_parse(&u, c->urn, e)) {
        (void)err_wrap(e, TYPE);
        if (e)
            e->code = E_MANIFEST;
        return E_MANIFEST;
    }
    return tool_verify(c->root, c->key, val_bytes(val_get_cstr(c->root, "signature")), e);
}

int crystal_open(struct crystal **ret, struct bytes text, struct err *e)
{
    struct json_doc *doc = NULL;
    struct crystal *c = mem_new(struct crystal);
    struct buf canonical;
    buf_init(&canonical, MANIFEST_BYTES_MAX);
    int rc = c ? json_parse(&doc, text, JSON_UNIQUE, e) : err_set(e, E_NOMEM, "out of memory");
    if (rc == E_PARSE || (!rc && !json_is(json_root(doc), JSON_OBJ)))
        rc = err_set(e, E_MANIFEST, "not an " TYPE);
    if (!rc && !(c->root = val_of_json(json_root(doc))))
        rc = err_set(e, E_NOMEM, "out of memory");
    if (!rc)
        rc = crystal_canonical(&canonical, c->root, c->id, e);
    if (!rc)
        rc = take(c, e);
    if (rc)
        crystal_free(c);
    else
        *ret = c;
    json_free(doc);
    buf_fini(&canonical);
    return rc;
}

void crystal_free(struct crystal *c)
{
    if (!c)
        return;
    val_unref(c->root);
    mem_free(c);
}

int crystal_check(const struct crystal *c, struct bytes urn, struct bytes subject,
                  struct bytes evidence, struct err *e)
{
    char hash[MANIFEST_HASH_LEN + 1];
    if (!bytes_eq(c->urn, urn))
        return err_set(e, E_SECURITY, TYPE ": it is about %.*s, not %.*s", BYTES_FMT(c->urn),
                       BYTES_FMT(urn));
    tool_hash(subject, hash);
    if (!bytes_is(c->hash, hash))
        return err_set(e, E_SECURITY, TYPE ": what was promoted had another hash");
    tool_hash(evidence, hash);
    if (!bytes_is(c->evidence, hash))
        return err_set(e, E_SECURITY, TYPE ": this is not its evidence: the hash is another");
    return 0;
}
