// jq_parts.c: nodes made of parts, each of which may have several outputs: all combinations.
// SPDX-License-Identifier: Apache-2.0
#include "text/jq_priv.h"
#include <assert.h>
#include <math.h>

static struct val *drop(struct val *v) // gives NULL
{
    val_unref(v);
    return NULL;
}

// Parts in the order in which jq varies them, the slowest first.
static size_t parts_of(const struct jq_node *n, const struct jq_node **parts)
{
    size_t count = 0;
    switch (n->op) {
    case J_BINARY:
    case J_INDEX:
        parts[count++] = n->b;
        parts[count++] = n->a;
        break;
    case J_SLICE:
        if (n->b)
            parts[count++] = n->b;
        if (n->c)
            parts[count++] = n->c;
        parts[count++] = n->a;
        break;
    case J_RANGE:
        parts[count++] = n->a;
        parts[count++] = n->b;
        if (n->c)
            parts[count++] = n->c;
        break;
    case J_STRING:
        for (size_t i = n->kid_count; i-- > 0;)
            parts[count++] = n->kids[i];
        break;
    case J_OBJ:
        for (size_t i = 0; i < n->kid_count; i++)
            parts[count++] = n->kids[i];
        break;
    case J_NATIVE:
        for (size_t i = n->kid_count; i-- > 0;)
            parts[count++] = n->kids[i];
        break;
    case J_ASSIGN:
    case J_UPDATE:
    case J_ALTSET: parts[count++] = n->b; break;
    default: parts[count++] = n->a; break; // J_FIELD, J_NEG, J_ERROR, J_GETPATH, J_LIMIT
    }
    return count;
}

static struct val *string_of(struct jq_run *x, const struct jq_node *n, struct val **vals)
{
    struct buf out;
    buf_init(&out, x->bytes + 64);
    for (size_t i = 0; i < n->kid_count; i++) {
        struct val *v = vals[n->kid_count - 1 - i];
        vals[n->kid_count - 1 - i] = NULL;
        if (n->kids[i]->op != J_LIT || n->kids[i]->sub != JQ_LIT_TEXT)
            v = jq_format(x, (enum jq_format)n->sub, v);
        if (!v) {
            buf_fini(&out);
            return NULL;
        }
        (void)buf_put(&out, val_bytes(v));
        val_unref(v);
    }
    return jq_buf(x, &out);
}

static struct val *object_of(struct jq_run *x, const struct jq_node *n, struct val **vals)
{
    struct val *obj = jq_made(x, val_obj_room(n->kid_count / 2u));
    for (size_t i = 0; obj && i + 1 < n->kid_count; i += 2) {
        obj = jq_put(x, obj, vals[i], vals[i + 1]);
        vals[i] = vals[i + 1] = NULL;
    }
    return obj;
}

// The node's result from its parts' results. Takes in; takes out of vals what it uses.
static struct val *apply(struct jq_run *x, const struct jq_node *n, const struct jq_env *env,
                         struct val *in, struct val **vals)
{
    struct val *a = vals[0], *b = NULL, *of;
    size_t k = 0;
    switch (n->op) {
    case J_BINARY:
        b = vals[1];
        vals[0] = vals[1] = NULL;
        val_unref(in);
        return jq_binary(x, (enum jq_bin)n->sub, b, a);
    case J_INDEX:
        of = vals[1];
        vals[0] = vals[1] = NULL;
        val_unref(in);
        return jq_index(x, of, a);
    case J_SLICE:
        a = n->b ? vals[k++] : NULL;
        b = n->c ? vals[k++] : NULL;
        of = vals[k];
        vals[0] = vals[1] = vals[k] = NULL;
        val_unref(in);
        return jq_slice(x, of, a, b);
    case J_FIELD:
        vals[0] = NULL;
        val_unref(in);
        return jq_field(x, a, n->lit);
    case J_NEG:
        assert(a);
        val_unref(in);
        if (val_is(a, JSON_NUM))
            return jq_num(x, -val_d(a));
        char text[JQ_SHORT];
        return jq_fail(x, "%s (%s) cannot be negated", jq_kind_name(a), jq_short(a, text));
    case J_ERROR:
        vals[0] = NULL;
        val_unref(in);
        return jq_fail_val(x, a);
    case J_GETPATH: vals[0] = NULL; return jq_get_path(x, in, a);
    case J_STRING: val_unref(in); return string_of(x, n, vals);
    case J_OBJ: val_unref(in); return object_of(x, n, vals);
    case J_NATIVE: {
        struct val *args[JQ_ARGS_MAX];
        for (; k < n->kid_count; k++)
            args[k] = vals[n->kid_count - 1 - k];
        return n->fn(x, in, args);
    }
    case J_ASSIGN:
    case J_UPDATE:
    case J_ALTSET: vals[0] = NULL; return jq_assign(x, n, env, in, a);
    default: break;
    }
    assert(!"a node without parts");
    return drop(in);
}

struct product {
    struct jq_run *x;
    const struct jq_node *n;
    const struct jq_env *env;
    struct val *in;
    jq_out_fn *out;
    void *arg;
    int (*end)(struct product *p); // instead of apply
    const struct jq_node **parts;
    struct val **vals;
    size_t count;
};
struct product_level {
    struct product *p;
    size_t i;
};

static int product_next(struct product *p, size_t i);

static int product_part(void *arg, struct val *value)
{
    struct product_level *level = arg;
    struct product *p = level->p;
    val_unref(p->vals[level->i]);
    p->vals[level->i] = value;
    if (level->i + 1 < p->count)
        return product_next(p, level->i + 1);
    if (p->end)
        return p->end(p);
    // Values that another round needs stay; apply gets its own references.
    struct val *vals[JQ_PARTS_MAX] = {NULL};
    for (size_t k = 0; k < p->count; k++)
        vals[k] = val_keep(p->vals[k]);
    struct val *v = apply(p->x, p->n, p->env, val_keep(p->in), vals);
    for (size_t k = 0; k < p->count; k++)
        val_unref(vals[k]);
    if (v)
        return p->out(p->arg, v);
    (void)jq_skipped(p->x, p->n);
    return p->x->flow;
}

static int product_next(struct product *p, size_t i)
{
    struct product_level level = {p, i};
    return jq_many(p->x, p->parts[i], p->env, val_keep(p->in), product_part, &level);
}

static int range_end(struct product *p)
{
    struct val **v = p->vals;
    for (size_t i = 0; i < p->count; i++)
        if (v[i]->kind != JSON_NUM) {
            (void)jq_fail(p->x, "Range bounds must be numeric");
            return p->x->flow;
        }
    double from = val_d(v[0]), to = val_d(v[1]), by = p->count == 3 ? val_d(v[2]) : 1;
    int flow = 0;
    double at = from;
    while (flow == 0 && (by > 0 ? at < to : by < 0 && at > to)) {
        struct val *item = p->x->steps > 0 ? jq_num(p->x, at) : jq_stop(p->x, E_TOOBIG);
        p->x->steps -= p->x->steps > 0;
        flow = item ? p->out(p->arg, item) : p->x->flow;
        at += by;
    }
    return flow;
}

struct limited {
    struct jq_run *x;
    jq_out_fn *out;
    void *arg;
    double left;
    bool outside;
};

static int limited_value(void *arg, struct val *value)
{
    struct limited *l = arg;
    l->left -= 1;
    int flow = l->out(l->arg, value);
    return flow || l->left > 0 ? flow : jq_break_to(l->x, l);
}

static int limit_end(struct product *p)
{
    const struct val *n = p->vals[0];
    double count = n->kind == JSON_NUM  ? val_d(n)
                   : n->kind < JSON_NUM ? -1
                                        : INFINITY; // by the order of kinds
    if (count == 0)
        return 0;
    if (!(count > 0))
        return jq_many(p->x, p->n->b, p->env, val_keep(p->in), p->out, p->arg);
    struct limited l = {p->x, p->out, p->arg, count, false};
    int flow = jq_many(p->x, p->n->b, p->env, val_keep(p->in), limited_value, &l);
    return jq_broken_to(p->x, &l) ? 0 : flow;
}

static __attribute__((noinline)) int product_run(struct product *p)
{
    const struct jq_node *parts[JQ_PARTS_MAX];
    struct val *vals[JQ_PARTS_MAX] = {NULL};
    p->parts = parts;
    p->vals = vals;
    p->count = parts_of(p->n, parts);
    int flow = p->count ? product_next(p, 0) : 0;
    for (size_t i = 0; i < p->count; i++)
        val_unref(vals[i]);
    val_unref(p->in);
    p->parts = NULL;
    p->vals = NULL;
    return flow;
}

int jq_many_parts(struct jq_run *x, const struct jq_node *n, const struct jq_env *env,
                  struct val *in, jq_out_fn *out, void *arg)
{
    struct product p = {x, n, env, in, out, arg, .end = NULL};
    if (n->op == J_RANGE)
        p.end = range_end;
    if (n->op == J_LIMIT)
        p.end = limit_end;
    return product_run(&p);
}

// All parts have one output. Takes in.
__attribute__((noinline)) struct val *jq_one_parts(struct jq_run *x, const struct jq_node *n,
                                                   const struct jq_env *env, struct val *in)
{
    const struct jq_node *parts[JQ_PARTS_MAX];
    struct val *vals[JQ_PARTS_MAX] = {NULL};
    size_t count = parts_of(n, parts), i = 0;
    bool needs_in =
        n->op >= J_GETPATH || n->op == J_ASSIGN || n->op == J_UPDATE || n->op == J_ALTSET;
    for (; i < count; i++) {
        bool last = i + 1 == count && !needs_in;
        vals[i] = jq_one(x, parts[i], env, last ? in : val_keep(in));
        if (last)
            in = VAL_NULL;
        if (!vals[i])
            break;
    }
    struct val *v = i == count ? apply(x, n, env, in, vals) : drop(in);
    if (i == count && !v)
        (void)jq_skipped(x, n);
    while (i-- > 0)
        val_unref(vals[i]);
    return v;
}

// Objects may have many parts: one after the other.
struct val *jq_one_object(struct jq_run *x, const struct jq_node *n, const struct jq_env *env,
                          struct val *in)
{
    struct val *obj = jq_made(x, val_obj_room(n->kid_count / 2u));
    for (size_t i = 0; obj && i + 1 < n->kid_count; i += 2) {
        struct val *key = jq_one(x, n->kids[i], env, val_keep(in));
        struct val *value = key ? jq_one(x, n->kids[i + 1], env, val_keep(in)) : NULL;
        if (!value) {
            val_unref(key);
            obj = drop(obj);
        } else {
            obj = jq_put(x, obj, key, value);
        }
    }
    val_unref(in);
    return obj;
}
