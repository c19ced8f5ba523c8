// tools_shape.c: arguments and answers against the tools' own JSON Schemas, each compiled once.
// SPDX-License-Identifier: Apache-2.0
#include "text/schema.h"
#include "toolbox/tools_priv.h"

#include <string.h>

struct tools_shape {
    struct val *said; // what it was compiled from
    struct json_doc *doc;
    struct schema *schema; // NULL: it is none
    char why[200];
};

static void shape_free(struct tools_shape *s)
{
    if (!s)
        return;
    schema_free(s->schema);
    json_free(s->doc);
    val_unref(s->said);
    mem_free(s);
}

void tools_shapes_free(struct tools_all *t)
{
    size_t at = 0;
    struct bytes key;
    void *s;
    while (map_each(t->shapes, &at, &key, &s))
        shape_free(s);
    map_free(t->shapes);
}

static int shape_new(struct tools_shape **ret, const struct val *said, struct err *e)
{
    struct tools_shape *s = mem_new(struct tools_shape);
    struct err mine = {0};
    if (!s)
        return err_set(e, E_NOMEM, "out of memory");
    s->said = val_ref((struct val *)(uintptr_t)said);
    int status = val_to_json(&s->doc, said, &mine);
    // MCP, 2025-11-25: without $schema it is 2020-12, which is the first of the drafts here.
    if (status == 0)
        status = schema_new(&s->schema, &(struct schema_args){.doc = json_root(s->doc)}, &mine);
    if (status < 0)
        (void)err_wrap(&mine, "its schema cannot be used");
    if (status == E_NOMEM || status == E_TOOBIG) { // perhaps only now: not kept
        shape_free(s);
        return err_set(e, status == E_NOMEM ? E_NOMEM : E_MANIFEST, "%s", mine.text);
    }
    memcpy(s->why, mine.text, strnlen(mine.text, sizeof s->why - 1));
    *ret = s;
    return 0;
}

static int shape_of(struct tools_all *t, struct bytes key, const struct val *said,
                    struct tools_shape **ret, struct err *e)
{
    struct tools_shape *s = map_get(t->shapes, key);
    int status = 0;
    if (s && (s->said == said || val_equal(s->said, said))) {
        *ret = s;
        return 0;
    }
    if (s)
        shape_free(map_del(t->shapes, key));
    if ((status = shape_new(&s, said, e)) < 0)
        return status;
    if ((status = map_put(t->shapes, key, s, NULL)) < 0) {
        shape_free(s);
        return err_set(e, status, "schemas of tools: %s", err_info(status)->text);
    }
    *ret = s;
    return 0;
}

int tools_shape(struct tools_all *t, struct bytes name, enum tools_side side,
                const struct val *schema, const struct val *v, struct err *e)
{
    char key[TOOL_NAME_MAX + 2];
    struct schema_error fault = {.message = ""};
    AUTO(json_doc) doc = NULL;
    key[0] = side == TOOLS_INPUT ? 'i' : 'o';
    memcpy(key + 1, name.p, name.n); // found: at most TOOL_NAME_MAX
    struct tools_shape *s = NULL;
    int status = shape_of(t, (struct bytes){key, name.n + 1}, schema, &s, e);
    if (status < 0)
        return status;
    if (!s->schema)
        return err_set(e, E_MANIFEST, "%.*s: %s", BYTES_FMT(name), s->why);
    status = val_to_json(&doc, v, e);
    if (status < 0)
        return status;
    status = schema_check(s->schema, json_root(doc), &fault);
    if (status == 0)
        return 0;
    return err_set(e, side == TOOLS_INPUT ? E_INVALID : E_MANIFEST, "the %s of %.*s%s%s%s: %s",
                   side == TOOLS_INPUT ? "arguments" : "answer", BYTES_FMT(name),
                   *fault.instance ? " at " : "", fault.instance,
                   status == E_SCHEMA ? "" : " are too much work to check", // E_TOOBIG
                   status == E_SCHEMA ? fault.message : err_info(status)->text);
}
