// pack.c: a manifest and its code in one JSON text, as they travel.
// SPDX-License-Identifier: Apache-2.0
#include "tool/tool_priv.h"

#include "text/cloudevent.h"

int manifest_pack_put(struct buf *out, const struct manifest_pack *p, struct err *e)
{
    (void)buf_str(out, "{\"manifest\":");
    (void)buf_put(out, p->manifest);
    if (p->code.n) {
        (void)buf_str(out, ",\"wasm\":\"");
        (void)cloudevent_put_base64(out, p->code);
        (void)buf_chr(out, '"');
    }
    if (p->promotion.n) {
        (void)buf_str(out, ",\"promotion\":");
        (void)buf_put(out, p->promotion);
        (void)buf_str(out, ",\"evidence\":");
        (void)buf_put(out, p->evidence);
    }
    (void)buf_chr(out, '}');
    return out->failed ? err_set(e, out->failed, "the package is over %zu bytes", out->max) : 0;
}

static int part(struct bytes *ret, struct arena *a, const struct json *v, struct err *e)
{
    struct buf text;
    if (!v)
        return 0;
    buf_init(&text, MANIFEST_BYTES_MAX);
    int rc = json_canonical(&text, v, e);
    if (!rc && text.failed)
        rc = err_set(e, E_MANIFEST, "a part of the package is over %zu bytes", MANIFEST_BYTES_MAX);
    if (!rc) {
        *ret = arena_dup(a, buf_bytes(&text));
        rc = ret->p ? 0 : err_set(e, E_NOMEM, "out of memory");
    }
    buf_fini(&text);
    return rc;
}

int manifest_pack_open(struct manifest_pack *ret, struct arena *a, struct bytes text, struct err *e)
{
    struct json_doc *doc = NULL;
    struct manifest_pack p = {.code = BYTES_NONE};
    int rc = json_parse(&doc, text, JSON_UNIQUE, e);
    if (rc && rc != E_NOMEM) {
        struct err why = e ? *e : (struct err){.code = rc};
        rc = err_set(e, E_MANIFEST, "the package: %s", why.text);
    }
    const struct json *root = json_root(doc), *code = json_get(root, "wasm"),
                      *promotion = json_get(root, "promotion"),
                      *evidence = json_get(root, "evidence");
    if (!rc && (!json_is(json_get(root, "manifest"), JSON_OBJ) || (code && !json_str(code).p) ||
                !promotion != !evidence))
        rc = err_set(e, E_MANIFEST,
                     "a package is {\"manifest\":{...},\"wasm\":\"base64\"}, and promotion and "
                     "evidence or neither");
    if (!rc)
        rc = part(&p.manifest, a, json_get(root, "manifest"), e);
    if (!rc && code && (rc = cloudevent_base64(&p.code, a, json_str(code), e)) == E_INVALID)
        rc = err_set(e, E_MANIFEST, "the package: /wasm: not base64");
    if (!rc)
        rc = part(&p.promotion, a, promotion, e);
    if (!rc)
        rc = part(&p.evidence, a, evidence, e);
    if (!rc)
        *ret = p;
    json_free(doc);
    return rc;
}
