// schema.c: JSON Schema: sets of documents, compiling, checking.
// SPDX-License-Identifier: Apache-2.0
#include "text/schema.h"
#include "base/alloc.h"
#include "text/schema_priv.h"
#include <stdio.h>

#define DOCS_MAX 4096

struct schema_set *schema_set_new(void)
{
    struct schema_set *s = mem_new(struct schema_set);
    if (!s)
        return NULL;
    s->docs = map_new(DOCS_MAX);
    if (!s->docs) {
        mem_free(s);
        return NULL;
    }
    return s;
}

void schema_set_free(struct schema_set *s)
{
    if (!s)
        return;
    map_free(s->docs);
    mem_free(s);
}

int schema_set_add(struct schema_set *s, struct bytes uri, const struct json *doc, struct err *e)
{
    struct bytes fragment;
    (void)url_cut_fragment(&uri, &fragment);
    if (uri.n == 0)
        return err_set(e, E_INVALID, "a schema document needs an absolute address");
    if (json_kind(doc) != JSON_OBJ && !json_is(doc, JSON_BOOL))
        return err_set(e, E_SCHEMA, "%.*s: a schema must be an object or a boolean",
                       BYTES_FMT(bytes_first(uri, 300)));
    // The map takes values that are not const; they are only read again.
    int rc = map_put(s->docs, uri, (void *)(uintptr_t)doc, NULL);
    return rc < 0 ? err_set(e, rc, "%.*s cannot be added", BYTES_FMT(bytes_first(uri, 300))) : 0;
}

static int build(struct schema *s, const struct schema_args *args, struct err *e)
{
    struct schema_place *root = NULL;
    int rc = schema_index_root(s, args, &root, e);
    if (rc == 0)
        rc = schema_compile(s, root, e);
    // Only the plan stays.
    map_free(s->resources);
    map_free(s->places);
    mem_free(s->todo);
    s->resources = s->places = NULL;
    s->todo = NULL;
    return rc;
}

int schema_new(struct schema **ret, const struct schema_args *args, struct err *e)
{
    struct schema *s = mem_new(struct schema);
    if (!s)
        return err_set(e, E_NOMEM, "no memory for the schema");
    s->set = args->set;
    s->doc = args->doc;
    s->assert_format = args->assert_format;
    s->arena = arena_new(SCHEMA_PLAN_MAX);
    s->resources = map_new(SCHEMA_NODES_MAX);
    s->places = map_new(SCHEMA_NODES_MAX);
    int rc = s->arena && s->resources && s->places
                 ? build(s, args, e)
                 : err_set(e, E_NOMEM, "no memory for the schema");
    if (rc < 0) {
        schema_free(s);
        return rc;
    }
    *ret = s;
    return 0;
}

void schema_free(struct schema *s)
{
    if (!s)
        return;
    map_free(s->resources);
    map_free(s->places);
    mem_free(s->todo);
    schema_patterns_free(s->patterns);
    arena_free(s->arena);
    mem_free(s);
}

static int run(const struct schema *s, const struct json *instance, struct schema_run *r)
{
    size_t values = 1; // the values of a container lie in one row
    if (json_kind(instance) == JSON_ARR || json_kind(instance) == JSON_OBJ)
        values = json_index(instance, json_next(instance));
    r->schema = s;
    r->root = instance;
    r->scope = NULL;
    r->work = SCHEMA_WORK_BASE + (uint64_t)values * SCHEMA_WORK_PER_VALUE;
    r->depth = r->level = 0;
    return schema_check_node(r, s->root, instance, NULL);
}

int schema_check(const struct schema *s, const struct json *instance,
                 struct schema_error *ret_error)
{
    struct schema_run r;
    r.explain = false;
    int rc = instance ? run(s, instance, &r) : E_INVALID;
    if (rc == 1)
        return 0;
    if (ret_error)
        *ret_error = (struct schema_error){.instance = ""};
    if (rc == 0 && ret_error) {
        r.explain = true; // once more, to find the most telling failure
        rc = run(s, instance, &r);
        if (rc == 0)
            schema_say(&r, ret_error);
    }
    if (rc < 0 && ret_error)
        (void)snprintf(ret_error->message, sizeof ret_error->message, "%s",
                       rc == E_TOOBIG ? "too much work or too deep to check" : err_info(rc)->text);
    return rc < 0 ? rc : E_SCHEMA;
}
