// schema_check.c: the plan over an instance: types, objects, references, logic.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "text/schema_priv.h"
#include <assert.h>
#include <string.h>

int schema_fail(struct schema_run *r, enum schema_kw kw, const struct schema_node *n,
                const struct json *at, const struct json *extra)
{
    r->fail.kw = kw;
    r->fail.node = n;
    r->fail.at = at;
    r->fail.level = r->level;
    r->fail.extra = extra;
    r->fail.types = kw == KW_TYPE ? n->types : 0;
    r->fail.options_count = 0;
    return 0;
}

static int spend(struct schema_run *r, uint64_t steps)
{
    if (r->work < steps)
        return E_TOOBIG;
    r->work -= steps;
    return 1;
}

static struct bytes key_of(const struct json *key)
{
    return json_str(key);
}

// ---- what was evaluated ----

static int seen_init(struct schema_seen *s, const struct json *v)
{
    *s = (struct schema_seen){.n = json_len(v)};
    s->bits = &s->few;
    if (s->n > 64) {
        s->bits = mem_array((s->n + 63) / 64, sizeof *s->bits);
        if (!s->bits)
            return E_NOMEM;
    }
    return 0;
}

static void seen_fini(struct schema_seen *s)
{
    if (s->bits != &s->few)
        mem_free(s->bits);
}

static void seen_merge(struct schema_seen *to, const struct schema_seen *from)
{
    assert(to->n == from->n);
    to->all |= from->all;
    for (size_t i = 0; i < (to->n + 63) / 64; i++)
        to->bits[i] |= from->bits[i]; // NOLINT(clang-analyzer-security.ArrayBound): sizes as above
}

// A subschema on the same value: what it evaluated counts only when it fits.
static int in_place(struct schema_run *r, const struct schema_node *n, const struct json *v,
                    struct schema_seen *seen)
{
    if (!seen)
        return schema_check_node(r, n, v, NULL);
    struct schema_seen own;
    int rc = seen_init(&own, v);
    if (rc < 0)
        return rc;
    rc = schema_check_node(r, n, v, &own);
    if (rc == 1)
        seen_merge(seen, &own);
    seen_fini(&own);
    return rc;
}

// ---- values ----

static int check_const(struct schema_run *r, const struct schema_node *n, const struct json *v)
{
    int rc = json_equal_work(n->constant, v, &r->work);
    return rc == 0 ? schema_fail(r, KW_CONST, n, v, NULL) : rc;
}

static int check_enum(struct schema_run *r, const struct schema_node *n, const struct json *v)
{
    const struct json *choice = json_first(n->choices);
    struct bytes text = json_str(v);
    for (size_t left = json_len(n->choices); left > 0; left--, choice = json_next(choice)) {
        int rc = text.p && json_is(choice, JSON_STR) ? bytes_eq(text, json_str(choice))
                                                     : json_equal_work(choice, v, &r->work);
        if (rc != 0)
            return rc;
    }
    return schema_fail(r, KW_ENUM, n, v, NULL);
}

// ---- objects ----

static int check_dependents(struct schema_run *r, const struct schema_node *n, const struct json *v,
                            struct schema_seen *seen)
{
    const struct schema_obj *o = n->obj;
    for (size_t i = 0; i < o->deps_count; i++) {
        const struct schema_dep *d = &o->deps[i];
        int rc = spend(r, json_len(v) * (1 + json_len(d->required)));
        if (rc < 0)
            return rc;
        if (!json_get_bytes(v, d->key))
            continue;
        struct json_iter it = {0};
        const struct json *key;
        while (json_each(d->required, &it, NULL, &key))
            if (!json_get_bytes(v, key_of(key)))
                return schema_fail(r, d->kw, n, v, key);
        rc = d->node ? in_place(r, d->node, v, seen) : 1;
        if (rc != 1)
            return rc;
    }
    return 1;
}

// One member: its property, patterns, else additionalProperties. 1 also when nothing cares;
// *ret_seen: something did.
static int check_member(struct schema_run *r, const struct schema_node *n, const struct json *key,
                        const struct schema_prop *prop, bool *ret_seen)
{
    const struct schema_obj *o = n->obj;
    const struct json *value = json_value_of(key);
    int rc = 1;
    bool matched = false;
    if (prop && prop->node) {
        matched = true;
        if (prop->node->verdict == NODE_FALSE)
            return schema_fail(r, KW_FALSE, prop->node, key, NULL);
        rc = schema_check_child(r, prop->node, value);
    }
    for (size_t i = 0; rc == 1 && i < o->pats_count; i++) {
        int hit = schema_pattern_match(o->pats[i].pattern, key_of(key));
        rc = hit < 0 ? hit : spend(r, 16);
        if (rc < 0 || hit == 0)
            continue;
        matched = true;
        rc = o->pats[i].node->verdict == NODE_FALSE
                 ? schema_fail(r, KW_FALSE, o->pats[i].node, key, NULL)
                 : schema_check_child(r, o->pats[i].node, value);
    }
    if (rc == 1 && !matched && o->additional) {
        matched = true;
        if (o->additional->verdict == NODE_FALSE)
            return schema_fail(r, KW_ADDITIONAL_PROPERTIES, n, key, NULL);
        rc = schema_check_child(r, o->additional, value);
    }
    if (rc == 1 && o->names)
        rc = schema_check_child(r, o->names, key);
    *ret_seen = matched;
    return rc;
}

static int check_required(struct schema_run *r, const struct schema_node *n, const struct json *v,
                          const uint64_t *have)
{
    const struct schema_obj *o = n->obj;
    uint32_t count = 0;
    for (uint32_t i = 0; i < o->required_count; i++)
        count += have[i / 64] >> (i % 64) & 1;
    if (count == o->required_count && json_len(o->required) <= SCHEMA_REQUIRED_FAST)
        return 1;
    struct json_iter it = {0};
    const struct json *key;
    while (json_each(o->required, &it, NULL, &key)) {
        int rc = spend(r, json_len(v));
        if (rc < 0)
            return rc;
        if (!json_get_bytes(v, key_of(key)))
            return schema_fail(r, KW_REQUIRED, n, v, key);
    }
    return 1;
}

static int check_obj(struct schema_run *r, const struct schema_node *n, const struct json *v,
                     struct schema_seen *seen)
{
    const struct schema_obj *o = n->obj;
    size_t count = json_len(v);
    uint64_t have[SCHEMA_REQUIRED_FAST / 64] = {0};
    if (count < o->min || count > o->max)
        return schema_fail(r, count < o->min ? KW_MIN_PROPERTIES : KW_MAX_PROPERTIES, n, v, NULL);
    int rc = spend(r, count);
    const struct json *key = json_first(v);
    for (size_t i = 0; rc >= 0 && i < count; i++, key = json_next(json_value_of(key))) {
        const struct schema_prop *prop = schema_props_find(&o->props, key_of(key));
        if (prop && prop->required >= 0)
            have[prop->required / 64] |= UINT64_C(1) << (prop->required % 64);
        bool matched = false;
        rc = check_member(r, n, key, prop, &matched);
        if (rc != 1)
            return rc;
        if (matched)
            schema_seen_mark(seen, i);
    }
    if (rc >= 0 && o->required)
        rc = check_required(r, n, v, have);
    if (rc == 1 && o->deps_count)
        rc = check_dependents(r, n, v, seen);
    return rc;
}

// ---- logic ----

// How telling a branch's failure is: 0 when the branch is for another type, 1 when it is for
// another constant (a tag such as "type"), more the deeper it went.
static size_t telling(const struct schema_run *r, const struct json *v)
{
    const struct schema_fail *f = &r->fail;
    if (f->at == v && (f->kw == KW_TYPE || (f->kw == KW_ANY_OF && f->types)))
        return 0;
    bool tag = (f->kw == KW_CONST || f->kw == KW_ENUM) && f->level <= r->level + 1;
    return tag ? 1 : (size_t)2 + f->level;
}

// The failures of branches joined into one: of different types, or of different constants.
struct joined {
    struct schema_fail best;
    size_t score;
    bool any;
    unsigned types;
};

static void add_options(struct schema_fail *to, const struct schema_fail *from)
{
    for (size_t i = 0; i < from->options_count && to->options_count < SCHEMA_OPTIONS_MAX; i++) {
        to->option_is_list[to->options_count] = from->option_is_list[i];
        to->options[to->options_count++] = from->options[i];
    }
}

static void join(struct joined *j, struct schema_run *r, const struct json *v)
{
    size_t score = telling(r, v);
    struct schema_fail *f = &r->fail;
    if (score == 0)
        j->types |= f->types;
    if (score == 1 && f->options_count == 0) {
        f->options[0] = f->kw == KW_CONST ? f->node->constant : f->node->choices;
        f->option_is_list[0] = f->kw == KW_ENUM;
        f->options_count = 1;
    }
    if (j->any && score == 1 && j->score == 1 && j->best.at == f->at)
        add_options(&j->best, f);
    else if (!j->any || score > j->score) {
        j->best = *f;
        j->score = score;
    }
    j->any = true;
}

static int join_end(const struct joined *j, struct schema_run *r, enum schema_kw kw,
                    const struct schema_node *n, const struct json *v)
{
    if (r->explain && j->any && j->score > 0) {
        r->fail = j->best;
        return 0;
    }
    (void)schema_fail(r, kw, n, v, NULL);
    r->fail.types = j->types;
    return 0;
}

static int check_any(struct schema_run *r, const struct schema_node *n, const struct json *v,
                     struct schema_seen *seen)
{
    const struct schema_list *any = &n->logic->any;
    struct joined j;
    bool fits = false;
    j.any = false;
    j.types = 0;
    for (size_t i = 0; i < any->count; i++) {
        int rc = in_place(r, any->nodes[i], v, seen);
        if (rc < 0)
            return rc;
        fits |= rc == 1;
        if (fits && !seen)
            return 1;
        if (rc == 0 && r->explain)
            join(&j, r, v);
    }
    return fits ? 1 : join_end(&j, r, KW_ANY_OF, n, v);
}

static int check_one(struct schema_run *r, const struct schema_node *n, const struct json *v,
                     struct schema_seen *seen)
{
    const struct schema_list *one = &n->logic->one;
    struct joined j;
    size_t fits = 0;
    j.any = false;
    j.types = 0;
    for (size_t i = 0; i < one->count && fits < 2; i++) {
        int rc = in_place(r, one->nodes[i], v, seen);
        if (rc < 0)
            return rc;
        fits += rc == 1;
        if (rc == 0 && r->explain)
            join(&j, r, v);
    }
    if (fits == 1)
        return 1;
    return fits ? schema_fail(r, KW_ONE_OF, n, v, v) : join_end(&j, r, KW_ONE_OF, n, v);
}

static int check_if(struct schema_run *r, const struct schema_node *n, const struct json *v,
                    struct schema_seen *seen)
{
    const struct schema_logic *g = n->logic;
    int rc = in_place(r, g->if_, v, seen);
    if (rc < 0)
        return rc;
    const struct schema_node *next = rc == 1 ? g->then_ : g->else_;
    return next ? in_place(r, next, v, seen) : 1;
}

// $dynamicRef: the outermost resource of the dynamic scope that has the anchor.
static const struct schema_node *dynamic_target(const struct schema_run *r,
                                                const struct schema_logic *g)
{
    const struct schema_node *target = g->dynamic;
    if (!g->dynamic_name.p)
        return target;
    for (const struct schema_scope *s = r->scope; s; s = s->up)
        for (const struct schema_anchor *a = s->resource->anchors; a; a = a->next)
            if (a->dynamic && bytes_eq(a->name, g->dynamic_name))
                target = a->node;
    return target;
}

static int check_logic(struct schema_run *r, const struct schema_node *n, const struct json *v,
                       struct schema_seen *seen)
{
    const struct schema_logic *g = n->logic;
    int rc = g->ref ? in_place(r, g->ref, v, seen) : 1;
    if (rc == 1 && g->dynamic)
        rc = in_place(r, dynamic_target(r, g), v, seen);
    for (size_t i = 0; rc == 1 && i < g->all.count; i++)
        rc = in_place(r, g->all.nodes[i], v, seen);
    if (rc == 1 && g->any.nodes)
        rc = check_any(r, n, v, seen);
    if (rc == 1 && g->one.nodes)
        rc = check_one(r, n, v, seen);
    if (rc == 1 && g->not_) {
        rc = schema_check_node(r, g->not_, v, NULL);
        if (rc >= 0)
            rc = rc == 1 ? schema_fail(r, KW_NOT, n, v, NULL) : 1;
    }
    if (rc == 1 && g->if_)
        rc = check_if(r, n, v, seen);
    return rc;
}

// ---- nodes ----

static int check_body(struct schema_run *r, const struct schema_node *n, const struct json *v,
                      struct schema_seen *seen)
{
    enum json_kind kind = json_kind(v);
    int rc = 1;
    if (!(n->types & 1u << kind) &&
        !(kind == JSON_NUM && (n->types & TYPE_INTEGER) && json_is_int(v)))
        return schema_fail(r, KW_TYPE, n, v, NULL);
    if (n->constant)
        rc = check_const(r, n, v);
    if (rc == 1 && n->choices)
        rc = check_enum(r, n, v);
    if (rc != 1)
        return rc;
    if (kind == JSON_OBJ && n->obj)
        rc = check_obj(r, n, v, seen);
    else if (kind == JSON_ARR && n->arr)
        rc = schema_check_arr(r, n, v, seen);
    else if (kind == JSON_STR && n->str)
        rc = schema_check_str(r, n, v);
    else if (kind == JSON_NUM && n->num)
        rc = schema_check_num(r, n, v);
    return rc == 1 && n->logic ? check_logic(r, n, v, seen) : rc;
}

static int check_unevaluated(struct schema_run *r, const struct schema_node *n,
                             const struct json *v, struct schema_seen *seen)
{
    bool object = json_kind(v) == JSON_OBJ;
    const struct schema_node *rest =
        object ? (n->obj ? n->obj->unevaluated : NULL) : (n->arr ? n->arr->unevaluated : NULL);
    if (!rest)
        return 1;
    const struct json *at = json_first(v);
    for (size_t i = 0; i < json_len(v); i++) {
        const struct json *value = object ? json_value_of(at) : at;
        if (!schema_seen_has(seen, i)) {
            if (rest->verdict == NODE_FALSE)
                return schema_fail(r, object ? KW_UNEVALUATED_PROPERTIES : KW_UNEVALUATED_ITEMS, n,
                                   at, NULL);
            int rc = schema_check_child(r, rest, value);
            if (rc != 1)
                return rc;
        }
        at = json_next(value);
    }
    seen->all = true;
    return 1;
}

// A node that needs to know what was evaluated keeps its own record, and reports it upwards.
static int check_tracking(struct schema_run *r, const struct schema_node *n, const struct json *v,
                          struct schema_seen *seen)
{
    struct schema_seen own;
    int rc = seen_init(&own, v);
    if (rc < 0)
        return rc;
    rc = spend(r, json_len(v) + 1);
    if (rc == 1)
        rc = check_body(r, n, v, &own);
    if (rc == 1)
        rc = check_unevaluated(r, n, v, &own);
    if (rc == 1 && seen)
        seen_merge(seen, &own);
    seen_fini(&own);
    return rc;
}

int schema_check_node(struct schema_run *r, const struct schema_node *n, const struct json *v,
                      struct schema_seen *seen)
{
    if (n->verdict == NODE_TRUE)
        return 1;
    if (n->verdict == NODE_FALSE)
        return schema_fail(r, KW_FALSE, n, v, NULL);
    if (r->work == 0 || r->depth >= SCHEMA_NEST_MAX)
        return E_TOOBIG;
    r->work--;
    r->depth++;
    const struct schema_scope *scope = r->scope;
    struct schema_scope here = {scope, n->resource};
    if (!scope || scope->resource != n->resource)
        r->scope = &here;
    bool tracks = n->tracks && (json_kind(v) == JSON_OBJ || json_kind(v) == JSON_ARR);
    int rc = tracks ? check_tracking(r, n, v, seen) : check_body(r, n, v, seen);
    r->scope = scope;
    r->depth--;
    return rc;
}
