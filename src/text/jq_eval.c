// jq_eval.c: evaluation. Most nodes have at most one output: jq_one gives it, here. The others hand
// each output to a function (jq_many.c): so generators nest on the C stack, whose depth is limited.
// SPDX-License-Identifier: Apache-2.0
#include "text/jq_priv.h"

static struct val *drop(struct val *v) // gives NULL
{
    val_unref(v);
    return NULL;
}

// ---- collecting and choosing ----

struct collect {
    struct jq_run *x;
    struct val *arr;
};

static int collect_value(void *arg, struct val *value)
{
    struct collect *c = arg;
    c->arr = jq_push(c->x, c->arr, value);
    return c->arr ? 0 : c->x->flow;
}

struct val *jq_collect(struct jq_run *x, const struct jq_node *n, const struct jq_env *env,
                       struct val *in)
{
    struct collect c = {x, jq_made(x, val_arr())};
    if (!c.arr)
        return drop(in);
    return jq_many(x, n, env, in, collect_value, &c) == 0 ? c.arr : drop(c.arr);
}

struct choice { // first, last, any, all
    struct jq_run *x;
    const struct jq_node *n;
    const struct jq_env *env;
    struct val *found;
};

int jq_break_to(struct jq_run *x, const void *whom)
{
    x->broken = whom;
    return x->flow = JQ_BROKEN;
}

bool jq_broken_to(struct jq_run *x, const void *whom)
{
    if (x->flow != JQ_BROKEN || x->broken != whom)
        return false;
    x->flow = JQ_GO_ON;
    return true;
}

static int first_value(void *arg, struct val *value)
{
    struct choice *c = arg;
    c->found = value;
    return jq_break_to(c->x, c);
}

static int last_value(void *arg, struct val *value)
{
    struct choice *c = arg;
    val_unref(c->found);
    c->found = value;
    return 0;
}

static int test_value(void *arg, struct val *value)
{
    struct choice *c = arg;
    bool wanted = c->n->op == J_ANY, truth = val_truthy(value);
    val_unref(value);
    if (truth != wanted)
        return 0;
    c->found = val_bool(wanted);
    return jq_break_to(c->x, c);
}

static int test_each(void *arg, struct val *value)
{
    struct choice *c = arg;
    return jq_many(c->x, c->n->b, c->env, value, test_value, c);
}

static struct val *choose(struct jq_run *x, const struct jq_node *n, const struct jq_env *env,
                          struct val *in)
{
    struct choice c = {x, n, env, NULL};
    jq_out_fn *take = n->op == J_FIRST ? first_value : n->op == J_LAST ? last_value : test_each;
    int flow = jq_many(x, n->a, env, in, take, &c);
    if (jq_broken_to(x, &c))
        return c.found;
    if (flow)
        return drop(c.found);
    if (n->op == J_LAST)
        return c.found ? c.found : val_null();
    return n->op == J_FIRST ? NULL : val_bool(n->op == J_ALL);
}

// ---- errors ----

// The message of an error that may be caught, and the run goes on. NULL: none such.
struct val *jq_caught(struct jq_run *x)
{
    if (x->flow != JQ_FAILED || x->status != E_INVALID)
        return NULL;
    struct val *message = x->error;
    x->error = NULL;
    x->flow = JQ_GO_ON;
    x->status = 0;
    return message;
}

static struct val *one_try(struct jq_run *x, const struct jq_node *n, const struct jq_env *env,
                           struct val *in)
{
    struct val *v = jq_one(x, n->a, env, in);
    struct val *message = v ? NULL : jq_caught(x);
    if (!message)
        return v;
    return n->b ? jq_one(x, n->b, env, message) : drop(message);
}

static struct val *one_alt(struct jq_run *x, const struct jq_node *n, const struct jq_env *env,
                           struct val *in)
{
    struct val *v = jq_one(x, n->a, env, val_keep(in));
    if (v && val_truthy(v)) {
        val_unref(in);
        return v;
    }
    val_unref(v);
    return x->flow ? drop(in) : jq_one(x, n->b, env, in);
}

static struct val *fail_loudly(struct jq_run *x, const struct jq_node *n, const struct jq_env *env,
                               struct val *in)
{
    struct val *message = n->a ? jq_one(x, n->a, env, in) : in;
    return message ? jq_fail_val(x, message) : NULL;
}

// ---- one output ----

static struct val *one_logic(struct jq_run *x, const struct jq_node *n, const struct jq_env *env,
                             struct val *in)
{
    struct val *a = jq_one(x, n->a, env, val_keep(in));
    if (!a)
        return drop(in);
    bool truth = val_truthy(a);
    val_unref(a);
    if (truth == (n->op == J_OR)) {
        val_unref(in);
        return val_bool(truth);
    }
    struct val *b = jq_one(x, n->b, env, in);
    truth = val_truthy(b);
    val_unref(b);
    return b ? val_bool(truth) : NULL;
}

static struct val *one_if(struct jq_run *x, const struct jq_node *n, const struct jq_env *env,
                          struct val *in)
{
    struct val *cond = jq_one(x, n->a, env, val_keep(in));
    if (!cond)
        return drop(in);
    const struct jq_node *then = val_truthy(cond) ? n->b : n->c;
    val_unref(cond);
    return then ? jq_one(x, then, env, in) : in;
}

static struct val *one_binary(struct jq_run *x, const struct jq_node *n, const struct jq_env *env,
                              struct val *in)
{
    struct val *b = jq_one(x, n->b, env, val_keep(in));
    struct val *a = b ? jq_one(x, n->a, env, in) : drop(in);
    if (a)
        return jq_binary(x, (enum jq_bin)n->sub, a, b);
    return drop(b);
}

static struct val *one_until(struct jq_run *x, const struct jq_node *n, const struct jq_env *env,
                             struct val *in)
{
    while (in) {
        struct val *cond = jq_one(x, n->a, env, val_keep(in));
        bool truth = val_truthy(cond);
        val_unref(cond);
        if (!cond)
            return drop(in);
        if (truth)
            return in;
        in = jq_one(x, n->b, env, in);
    }
    return NULL;
}

static struct val *one_by(struct jq_run *x, const struct jq_node *n, const struct jq_env *env,
                          struct val *in)
{
    char text[JQ_SHORT];
    if (in->kind != JSON_ARR) {
        if (in->kind != JSON_OBJ)
            (void)jq_fail(x, "Cannot iterate over %s (%s)", jq_kind_name(in), jq_short(in, text));
        else
            (void)jq_fail(x, "%s (%s) cannot be sorted, as it is not an array", jq_kind_name(in),
                          jq_short(in, text));
        return drop(in);
    }
    struct val *keys = jq_made(x, val_arr_room(val_len(in)));
    for (size_t i = 0; keys && i < val_len(in); i++) {
        struct val *key = jq_collect(x, n->a, env, val_keep(val_at(in, i)));
        keys = key ? jq_push(x, keys, key) : drop(keys);
    }
    return keys ? jq_by_keys(x, (enum jq_by)n->sub, in, keys) : drop(in);
}

static struct val *one_label(struct jq_run *x, const struct jq_node *n, const struct jq_env *env,
                             struct val *in)
{
    struct jq_env slot = {.up = env};
    struct val *v = jq_one(x, n->a, &slot, in);
    if (!v)
        (void)jq_broken_to(x, &slot);
    return v;
}

static struct val *one_rare(struct jq_run *x, const struct jq_node *n, const struct jq_env *env,
                            struct val *in)
{
    switch (n->op) {
    case J_REDUCE: return jq_reduce(x, n, env, in);
    case J_BIND: return jq_bind_one(x, n, env, in);
    case J_DEF: return jq_one(x, n->a, &(struct jq_env){.up = env}, in);
    case J_CALL: return jq_call_one(x, n, env, in);
    case J_OBJ: return jq_one_object(x, n, env, in);
    case J_FORMAT: return jq_format(x, (enum jq_format)n->sub, in);
    case J_EMPTY: return drop(in);
    case J_ERROR: return fail_loudly(x, n, env, in);
    case J_LABEL: return one_label(x, n, env, in);
    case J_BREAK: (void)jq_break_to(x, jq_up(env, n->index)); return drop(in);
    case J_MODIFY: return jq_modify(x, n, env, in);
    case J_DEL: return jq_delete(x, n, env, in);
    case J_FIRST:
    case J_LAST:
    case J_ANY:
    case J_ALL: return choose(x, n, env, in);
    case J_UNTIL: return one_until(x, n, env, in);
    case J_BY: return one_by(x, n, env, in);
    case J_TRY: return one_try(x, n, env, in);
    case J_ALT: return one_alt(x, n, env, in);
    case J_ARR: return n->a ? jq_collect(x, n->a, env, in) : (val_unref(in), jq_made(x, val_arr()));
    default: return jq_one_parts(x, n, env, in);
    }
}

struct val *jq_one(struct jq_run *x, const struct jq_node *n, const struct jq_env *env,
                   struct val *in)
{
    struct val *v;
    if (!jq_enter(x))
        return drop(in);
    for (; n->op == J_PIPE; n = n->b) {
        in = jq_one(x, n->a, env, in);
        if (!in) {
            x->depth--;
            return NULL;
        }
    }
    switch (n->op) {
    case J_DOT: v = in; break;
    case J_LIT:
        val_unref(in);
        v = val_keep(n->lit);
        break;
    case J_VAR:
        v = val_keep(jq_up(env, n->index)->value);
        val_unref(in);
        break;
    case J_GLOBAL:
        val_unref(in);
        v = val_keep(x->globals[n->index]);
        break;
    case J_FIELD:
        v = n->a->op == J_DOT ? in : jq_one(x, n->a, env, in);
        if (!v)
            break;
        v = jq_field(x, v, n->lit);
        if (!v)
            (void)jq_skipped(x, n);
        break;
    case J_BINARY: v = one_binary(x, n, env, in); break;
    case J_IF: v = one_if(x, n, env, in); break;
    case J_AND:
    case J_OR: v = one_logic(x, n, env, in); break;
    default: v = one_rare(x, n, env, in); break;
    }
    x->depth--;
    return v;
}
