// schema_compile.c: keywords to plan nodes. References are followed by a to-do list, not by
// recursion, so that a node may lead to itself.
// SPDX-License-Identifier: Apache-2.0
#include "text/schema_priv.h"
#include <assert.h>
#include <math.h>
#include <string.h>

// What a handler works with.
struct job {
    struct schema *s;
    struct schema_node *node;
    struct schema_resource *resource;
    struct err *e;
    const struct json *required; // "required", joined with the properties at the end
};

static int bad(const struct job *j, const struct json *at, const char *what)
{
    char pointer[256];
    const struct schema_resource *r = j->resource;
    (void)schema_pointer(r->doc, at, pointer, sizeof pointer);
    return err_set(j->e, E_SCHEMA, "schema %.*s#%s: %s", BYTES_FMT(bytes_first(r->doc_uri, 200)),
                   pointer, what);
}

static int too_big(const struct job *j)
{
    return err_set(j->e, E_TOOBIG, "the schema is too large (%zu MiB, %d subschemas at most)",
                   SCHEMA_PLAN_MAX >> 20, SCHEMA_NODES_MAX);
}

static int child(const struct job *j, const struct json *v, struct schema_node **ret)
{
    if (json_kind(v) != JSON_OBJ && !json_is(v, JSON_BOOL))
        return bad(j, v, "a schema must be an object or a boolean");
    struct schema_place *place = schema_place_of(j->s, v);
    *ret = place ? schema_need(j->s, place) : NULL;
    return *ret ? 0 : too_big(j);
}

static int child_list(const struct job *j, const struct json *v, struct schema_node ***ret,
                      size_t *ret_count)
{
    size_t n = json_len(v);
    if (json_kind(v) != JSON_ARR)
        return bad(j, v, "must be an array of schemas");
    struct schema_node **nodes = arena_zalloc(j->s->arena, (n + 1) * sizeof *nodes);
    if (!nodes)
        return too_big(j);
    struct json_iter it = {0};
    const struct json *item;
    for (size_t i = 0; json_each(v, &it, NULL, &item); i++) {
        int rc = child(j, item, &nodes[i]);
        if (rc < 0)
            return rc;
    }
    *ret = nodes;
    *ret_count = n;
    return 0;
}

static int count_of(const struct job *j, const struct json *v, uint64_t *ret)
{
    struct json_num n = json_is(v, JSON_NUM) ? json_number(v) : (struct json_num){.d = -1};
    if (n.d < 0 || !json_is_int(v))
        return bad(j, v, "must be a whole number, not negative");
    *ret = n.kind == JSON_NUM_U64 ? n.u : n.d < 0x1p63 ? (uint64_t)n.d : UINT64_MAX;
    return 0;
}

// The groups of rules are made when their first keyword comes.
#define GROUP(field, ...)                                                                          \
    do {                                                                                           \
        if (!(field)) {                                                                            \
            (field) = arena_zalloc(j->s->arena, sizeof *(field));                                  \
            if (!(field))                                                                          \
                return too_big(j);                                                                 \
            *(field) = (__typeof__(*(field))){__VA_ARGS__};                                        \
        }                                                                                          \
    } while (0)

// ---- types and values ----

static int type_bit(const struct job *j, const struct json *v, unsigned *types)
{
    static const struct {
        const char *name;
        unsigned bit;
    } names[] = {
        {"null", 1u << JSON_NULL},  {"boolean", 1u << JSON_BOOL}, {"number", 1u << JSON_NUM},
        {"string", 1u << JSON_STR}, {"array", 1u << JSON_ARR},    {"object", 1u << JSON_OBJ},
        {"integer", TYPE_INTEGER},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (bytes_is(json_str(v), names[i].name)) {
            *types |= names[i].bit;
            return 0;
        }
    return bad(j, v, "unknown type");
}

static int on_value(const struct job *j, enum schema_kw kw, const struct json *v)
{
    struct schema_node *n = j->node;
    if (kw == KW_CONST) {
        n->constant = v;
        return 0;
    }
    if (kw == KW_ENUM) {
        n->choices = v;
        return json_kind(v) == JSON_ARR ? 0 : bad(j, v, "must be an array");
    }
    unsigned types = 0;
    if (json_kind(v) != JSON_ARR) {
        int rc = type_bit(j, v, &types);
        n->types = types;
        return rc;
    }
    struct json_iter it = {0};
    const struct json *item;
    int rc = 0;
    while (rc == 0 && json_each(v, &it, NULL, &item))
        rc = type_bit(j, item, &types);
    n->types = types;
    return rc;
}

static int on_number(const struct job *j, enum schema_kw kw, const struct json *v)
{
    struct schema_node *n = j->node;
    GROUP(n->num, .has_min = false);
    if (!json_is(v, JSON_NUM))
        return bad(j, v, "must be a number");
    struct json_num x = json_number(v);
    struct schema_num *g = n->num;
    if (kw == KW_MINIMUM) {
        g->has_min = true;
        g->min = x;
    } else if (kw == KW_MAXIMUM) {
        g->has_max = true;
        g->max = x;
    } else if (kw == KW_EXCLUSIVE_MINIMUM) {
        g->has_above = true;
        g->above = x;
    } else if (kw == KW_EXCLUSIVE_MAXIMUM) {
        g->has_below = true;
        g->below = x;
    } else {
        if (!(x.d > 0) || isinf(x.d))
            return bad(j, v, "must be greater than 0");
        g->has_multiple = true;
        g->multiple = x;
    }
    return 0;
}

static int on_string(const struct job *j, enum schema_kw kw, const struct json *v)
{
    struct schema_node *n = j->node;
    if (kw == KW_FORMAT) {
        int format = schema_format_find(json_str(v));
        if (format < 0 || !(j->s->assert_format || (j->resource->vocab & VOCAB_FORMAT)))
            return 0;
        GROUP(n->str, .max = UINT64_MAX, .format = -1);
        n->str->format = format;
        return 0;
    }
    GROUP(n->str, .max = UINT64_MAX, .format = -1);
    if (kw == KW_MIN_LENGTH)
        return count_of(j, v, &n->str->min);
    if (kw == KW_MAX_LENGTH)
        return count_of(j, v, &n->str->max);
    struct err why = {0};
    if (!json_is(v, JSON_STR))
        return bad(j, v, "must be a string");
    int rc = schema_pattern_new(&n->str->pattern, &j->s->patterns, json_str(v), &why);
    return rc < 0 ? bad(j, v, why.text) : 0;
}

// ---- arrays ----

static int on_array(const struct job *j, enum schema_kw kw, const struct json *v)
{
    struct schema_node *n = j->node;
    GROUP(n->arr, .max = UINT64_MAX, .max_contains = UINT64_MAX, .min_contains = 1);
    struct schema_arr *g = n->arr;
    g->contains_marks = j->resource->dialect == DIALECT_2020;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wswitch-enum"
    switch (kw) {
    case KW_MIN_ITEMS: return count_of(j, v, &g->min);
    case KW_MAX_ITEMS: return count_of(j, v, &g->max);
    case KW_MIN_CONTAINS: return count_of(j, v, &g->min_contains);
    case KW_MAX_CONTAINS: return count_of(j, v, &g->max_contains);
    case KW_UNIQUE_ITEMS:
        g->unique = json_bool(v, false);
        return json_is(v, JSON_BOOL) ? 0 : bad(j, v, "must be true or false");
    case KW_CONTAINS: return child(j, v, &g->contains);
    case KW_UNEVALUATED_ITEMS: n->tracks = true; return child(j, v, &g->unevaluated);
    case KW_ADDITIONAL_ITEMS: return child(j, v, &g->additional);
    case KW_PREFIX_ITEMS: return child_list(j, v, &g->prefix, &g->prefix_count);
    default: // items
        g->items_is_list = json_kind(v) == JSON_ARR && j->resource->dialect != DIALECT_2020;
        g->items_kw = KW_ITEMS;
        if (g->items_is_list)
            return child_list(j, v, &g->prefix, &g->prefix_count);
        return child(j, v, &g->items);
    }
#pragma GCC diagnostic pop
}

// ---- objects ----

static int strings(const struct job *j, const struct json *v)
{
    struct json_iter it = {0};
    const struct json *item;
    if (json_kind(v) != JSON_ARR)
        return bad(j, v, "must be an array of strings");
    while (json_each(v, &it, NULL, &item))
        if (!json_is(item, JSON_STR))
            return bad(j, item, "must be a string");
    return 0;
}

static int on_properties(const struct job *j, const struct json *v)
{
    struct schema_props *p = &j->node->obj->props;
    size_t n = json_len(v);
    if (n > UINT32_MAX / 8)
        return too_big(j);
    p->rows = arena_zalloc(j->s->arena, (n + 1) * sizeof *p->rows);
    if (!p->rows)
        return too_big(j);
    struct json_iter it = {0};
    const struct json *value;
    struct bytes key;
    for (p->count = 0; json_each(v, &it, &key, &value); p->count++) {
        p->rows[p->count] = (struct schema_prop){.key = key, .required = -1};
        int rc = child(j, value, &p->rows[p->count].node);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int on_patterns(const struct job *j, const struct json *v)
{
    struct schema_obj *g = j->node->obj;
    g->pats = arena_zalloc(j->s->arena, (json_len(v) + 1) * sizeof *g->pats);
    if (!g->pats)
        return too_big(j);
    struct json_iter it = {0};
    const struct json *value;
    struct bytes key;
    for (g->pats_count = 0; json_each(v, &it, &key, &value); g->pats_count++) {
        struct schema_pat *p = &g->pats[g->pats_count];
        struct err why = {0};
        int rc = schema_pattern_new(&p->pattern, &j->s->patterns, key, &why);
        if (rc < 0)
            return bad(j, value, why.text);
        rc = child(j, value, &p->node);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int on_dependents(const struct job *j, enum schema_kw kw, const struct json *v)
{
    struct schema_obj *g = j->node->obj;
    size_t count = g->deps_count;
    struct schema_dep *deps = arena_zalloc(j->s->arena, (count + json_len(v) + 1) * sizeof *deps);
    if (!deps)
        return too_big(j);
    if (count)
        memcpy(deps, g->deps, count * sizeof *deps);
    struct json_iter it = {0};
    const struct json *value;
    struct bytes key;
    while (json_each(v, &it, &key, &value)) {
        struct schema_dep *d = &deps[count++];
        bool list =
            kw == KW_DEPENDENT_REQUIRED || (kw == KW_DEPENDENCIES && json_kind(value) == JSON_ARR);
        *d = (struct schema_dep){.kw = kw, .key = key, .required = list ? value : NULL};
        int rc = list ? strings(j, value) : child(j, value, &d->node);
        if (rc < 0)
            return rc;
    }
    g->deps = deps;
    g->deps_count = count;
    return 0;
}

static int on_object(struct job *j, enum schema_kw kw, const struct json *v)
{
    struct schema_node *n = j->node;
    GROUP(n->obj, .max = UINT64_MAX);
    struct schema_obj *g = n->obj;
    if (schema_holds(kw, v) == HOLDS_MAP || kw == KW_DEPENDENT_REQUIRED)
        if (json_kind(v) != JSON_OBJ)
            return bad(j, v, "must be an object");
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wswitch-enum"
    switch (kw) {
    case KW_MIN_PROPERTIES: return count_of(j, v, &g->min);
    case KW_MAX_PROPERTIES: return count_of(j, v, &g->max);
    case KW_REQUIRED: g->required = v; return strings(j, v);
    case KW_PROPERTIES: return on_properties(j, v);
    case KW_PATTERN_PROPERTIES: return on_patterns(j, v);
    case KW_ADDITIONAL_PROPERTIES: return child(j, v, &g->additional);
    case KW_PROPERTY_NAMES: return child(j, v, &g->names);
    case KW_UNEVALUATED_PROPERTIES: n->tracks = true; return child(j, v, &g->unevaluated);
    default: return on_dependents(j, kw, v);
    }
#pragma GCC diagnostic pop
}

// ---- references and logic ----

static int on_reference(const struct job *j, enum schema_kw kw, const struct json *v)
{
    struct schema_logic *g = j->node->logic;
    struct schema_place *place = NULL;
    struct schema_anchor *anchor = NULL;
    if (!json_is(v, JSON_STR))
        return bad(j, v, "must be a string");
    struct err why = {0};
    int rc = schema_resolve(j->s, j->resource, json_str(v), &place, &anchor, &why);
    if (rc < 0)
        return bad(j, v, why.text);
    struct schema_node *target = schema_need(j->s, place);
    if (!target)
        return too_big(j);
    if (kw == KW_REF) {
        g->ref = target;
        return 0;
    }
    g->dynamic = target;
    if (kw == KW_DYNAMIC_REF && anchor && anchor->dynamic)
        g->dynamic_name = anchor->name;
    // $recursiveRef "#": dynamic when the place it leads to says $recursiveAnchor.
    if (kw == KW_RECURSIVE_REF && json_bool(json_get(place->at, "$recursiveAnchor"), false))
        g->dynamic_name = BYTES("");
    return 0;
}

static int on_logic(const struct job *j, enum schema_kw kw, const struct json *v)
{
    struct schema_node *n = j->node;
    GROUP(n->logic, .ref = NULL);
    struct schema_logic *g = n->logic;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wswitch-enum"
    switch (kw) {
    case KW_ALL_OF: return child_list(j, v, &g->all.nodes, &g->all.count);
    case KW_ANY_OF: return child_list(j, v, &g->any.nodes, &g->any.count);
    case KW_ONE_OF: return child_list(j, v, &g->one.nodes, &g->one.count);
    case KW_NOT: return child(j, v, &g->not_);
    case KW_IF: return child(j, v, &g->if_);
    case KW_THEN: return child(j, v, &g->then_);
    case KW_ELSE: return child(j, v, &g->else_);
    default: return on_reference(j, kw, v);
    }
#pragma GCC diagnostic pop
}

static int on_keyword(struct job *j, enum schema_kw kw, const struct json *v)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wswitch-enum"
    switch (kw) {
    case KW_TYPE:
    case KW_CONST:
    case KW_ENUM: return on_value(j, kw, v);
    case KW_MINIMUM:
    case KW_MAXIMUM:
    case KW_EXCLUSIVE_MINIMUM:
    case KW_EXCLUSIVE_MAXIMUM:
    case KW_MULTIPLE_OF: return on_number(j, kw, v);
    case KW_MIN_LENGTH:
    case KW_MAX_LENGTH:
    case KW_PATTERN:
    case KW_FORMAT: return on_string(j, kw, v);
    case KW_ADDITIONAL_ITEMS:
    case KW_CONTAINS:
    case KW_ITEMS:
    case KW_MAX_CONTAINS:
    case KW_MAX_ITEMS:
    case KW_MIN_CONTAINS:
    case KW_MIN_ITEMS:
    case KW_PREFIX_ITEMS:
    case KW_UNEVALUATED_ITEMS:
    case KW_UNIQUE_ITEMS: return on_array(j, kw, v);
    case KW_ADDITIONAL_PROPERTIES:
    case KW_DEPENDENCIES:
    case KW_DEPENDENT_REQUIRED:
    case KW_DEPENDENT_SCHEMAS:
    case KW_MAX_PROPERTIES:
    case KW_MIN_PROPERTIES:
    case KW_PATTERN_PROPERTIES:
    case KW_PROPERTIES:
    case KW_PROPERTY_NAMES:
    case KW_REQUIRED:
    case KW_UNEVALUATED_PROPERTIES: return on_object(j, kw, v);
    case KW_ALL_OF:
    case KW_ANY_OF:
    case KW_ONE_OF:
    case KW_NOT:
    case KW_IF:
    case KW_THEN:
    case KW_ELSE:
    case KW_REF:
    case KW_DYNAMIC_REF:
    case KW_RECURSIVE_REF: return on_logic(j, kw, v);
    default: return 0; // $id, $anchor, $defs, ...: the index has seen them
    }
#pragma GCC diagnostic pop
}

// ---- joining ----

static struct schema_prop *row_of(struct schema_props *p, uint32_t count, struct bytes key)
{
    for (uint32_t i = 0; i < count; i++)
        if (bytes_eq(p->rows[i].key, key))
            return &p->rows[i];
    return NULL;
}

// Joins the required keys with the properties, drops earlier ones of equal keys, makes the table.
static int finish_object(const struct job *j, struct schema_obj *g)
{
    struct schema_props all = {0};
    size_t most = g->props.count + json_len(g->required);
    if (most == 0)
        return 0;
    if (most > UINT32_MAX / 8)
        return too_big(j);
    all.rows = arena_zalloc(j->s->arena, most * sizeof *all.rows);
    if (!all.rows)
        return too_big(j);
    // The table of the properties alone finds equal keys and required ones in linear time.
    for (uint32_t i = 0; i < g->props.count; i++) {
        struct schema_prop *same =
            most <= 64 ? row_of(&all, all.count, g->props.rows[i].key) : NULL;
        if (same)
            same->node = g->props.rows[i].node;
        else
            all.rows[all.count++] = g->props.rows[i];
    }
    struct json_iter it = {0};
    const struct json *item;
    if (schema_props_build(j->s->arena, &all) < 0)
        return too_big(j);
    struct schema_props found = all;
    assert(found.rows);
    while (json_each(g->required, &it, NULL, &item) && g->required_count < SCHEMA_REQUIRED_FAST) {
        const struct schema_prop *row = schema_props_find(&found, json_str(item));
        struct schema_prop *to = row ? &all.rows[row - found.rows] : NULL;
        if (!to)
            to = row_of(&all, all.count, json_str(item));
        if (!to) {
            to = &all.rows[all.count++];
            *to = (struct schema_prop){.key = json_str(item), .required = -1};
        }
        if (to->required < 0)
            to->required = (int32_t)g->required_count++;
    }
    g->props = all;
    return schema_props_build(j->s->arena, &g->props) < 0 ? too_big(j) : 0;
}

static int finish(const struct job *j)
{
    struct schema_node *n = j->node;
    if (n->arr && j->resource->dialect != DIALECT_2020 && n->arr->items_is_list) {
        n->arr->items = n->arr->additional;
        n->arr->items_kw = KW_ADDITIONAL_ITEMS;
    }
    if (n->logic && !n->logic->if_)
        n->logic->then_ = n->logic->else_ = NULL;
    bool empty = n->types == TYPES_ANY && !n->constant && !n->choices && !n->num && !n->str &&
                 !n->arr && !n->obj && !n->logic;
    n->verdict = empty ? NODE_TRUE : NODE_CHECK;
    return n->obj ? finish_object(j, n->obj) : 0;
}

static int compile_one(struct schema *s, struct schema_place *place, struct err *e)
{
    struct schema_node *n = place->node;
    struct job j = {.s = s, .node = n, .resource = place->resource, .e = e};
    n->types = TYPES_ANY;
    if (json_is(place->at, JSON_BOOL)) {
        n->verdict = json_bool(place->at, true) ? NODE_TRUE : NODE_FALSE;
        return 0;
    }
    if (json_kind(place->at) != JSON_OBJ)
        return bad(&j, place->at, "a schema must be an object or a boolean");
    const struct json *ref = json_get(place->at, "$ref");
    if (ref && j.resource->dialect == DIALECT_7) { // draft 7: what stands beside $ref is ignored
        int rc = on_logic(&j, KW_REF, ref);
        return rc < 0 ? rc : finish(&j);
    }
    struct json_iter it = {0};
    struct bytes key;
    const struct json *value;
    while (json_each(place->at, &it, &key, &value)) {
        enum schema_kw kw = schema_kw_of(key, j.resource->dialect);
        if (kw == KW_NONE || !(schema_kw_vocab(kw) & j.resource->vocab))
            continue;
        int rc = on_keyword(&j, kw, value);
        if (rc < 0)
            return rc;
    }
    return finish(&j);
}

int schema_compile(struct schema *s, struct schema_place *place, struct err *e)
{
    s->root = schema_need(s, place);
    if (!s->root)
        return err_set(e, E_NOMEM, "no memory for the schema");
    while (s->todo_count > 0) {
        int rc = compile_one(s, s->todo[--s->todo_count], e);
        if (rc < 0)
            return rc;
    }
    return 0;
}
