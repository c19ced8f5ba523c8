// jq_many.c: evaluation of what has several outputs: each goes to a function, one after the other.
// SPDX-License-Identifier: Apache-2.0
#include "text/jq_priv.h"

struct guarded { // try, and //
    struct jq_run *x;
    jq_out_fn *out;
    void *arg;
    bool outside; // what follows ended it, not the guarded part
    bool found;
};

static int guarded_value(void *arg, struct val *value)
{
    struct guarded *g = arg;
    int flow = g->out(g->arg, value);
    g->outside = flow != 0;
    return flow;
}

static int guarded_truth(void *arg, struct val *value)
{
    struct guarded *g = arg;
    if (!val_truthy(value)) {
        val_unref(value);
        return 0;
    }
    g->found = true;
    return guarded_value(arg, value);
}

static int many_try(struct jq_run *x, const struct jq_node *n, const struct jq_env *env,
                    struct val *in, jq_out_fn *out, void *arg)
{
    struct guarded g = {x, out, arg, false, false};
    int flow = jq_many(x, n->a, env, in, guarded_value, &g);
    struct val *message = flow && !g.outside ? jq_caught(x) : NULL;
    if (!message)
        return flow;
    if (n->b)
        return jq_many(x, n->b, env, message, out, arg);
    val_unref(message);
    return 0;
}

static int many_alt(struct jq_run *x, const struct jq_node *n, const struct jq_env *env,
                    struct val *in, jq_out_fn *out, void *arg)
{
    struct guarded g = {x, out, arg, false, false};
    int flow = jq_many(x, n->a, env, val_keep(in), guarded_truth, &g);
    if (flow || g.found) {
        val_unref(in);
        return flow;
    }
    return jq_many(x, n->b, env, in, out, arg);
}

struct piped {
    struct jq_run *x;
    const struct jq_node *n;
    const struct jq_env *env;
    struct val *in; // kept for each output: if, and, or
    jq_out_fn *out;
    void *arg;
};

static int piped_value(void *arg, struct val *value)
{
    struct piped *p = arg;
    return jq_many(p->x, p->n->b, p->env, value, p->out, p->arg);
}

static int if_value(void *arg, struct val *cond)
{
    struct piped *p = arg;
    const struct jq_node *then = val_truthy(cond) ? p->n->b : p->n->c;
    val_unref(cond);
    if (!then)
        return p->out(p->arg, val_keep(p->in));
    return jq_many(p->x, then, p->env, val_keep(p->in), p->out, p->arg);
}

static int truth_value(void *arg, struct val *value)
{
    struct piped *p = arg;
    bool truth = val_truthy(value);
    val_unref(value);
    return p->out(p->arg, val_bool(truth));
}

static int logic_value(void *arg, struct val *value)
{
    struct piped *p = arg;
    bool truth = val_truthy(value);
    val_unref(value);
    if (truth == (p->n->op == J_OR))
        return p->out(p->arg, val_bool(truth));
    return jq_many(p->x, p->n->b, p->env, val_keep(p->in), truth_value, p);
}

// All items of an array or object. Takes v.
static int each_item(struct val *v, jq_out_fn *out, void *arg)
{
    int flow = 0;
    for (size_t i = 0, n = val_len(v); i < n && flow == 0; i++)
        flow = out(arg, val_keep(val_at(v, i)));
    val_unref(v);
    return flow;
}

static int iter_value(void *arg, struct val *value)
{
    struct piped *p = arg;
    if (value->kind == JSON_ARR || value->kind == JSON_OBJ)
        return each_item(value, p->out, p->arg);
    char text[JQ_SHORT];
    (void)jq_fail(p->x, "Cannot iterate over %s (%s)", jq_kind_name(value), jq_short(value, text));
    val_unref(value);
    (void)jq_skipped(p->x, p->n);
    return p->x->flow;
}

static int recurse_value(void *arg, struct val *value)
{
    struct piped *p = arg;
    struct jq_run *x = p->x;
    if (!jq_enter(x)) {
        val_unref(value);
        return x->flow;
    }
    int flow = 0;
    if (!p->n->a) { // ..
        flow = p->out(p->arg, val_keep(value));
        if (flow == 0 && (value->kind == JSON_ARR || value->kind == JSON_OBJ))
            flow = each_item(val_keep(value), recurse_value, p);
    } else if (p->n->a->one) {
        while (flow == 0 && value) {
            flow = p->out(p->arg, val_keep(value));
            if (flow)
                break;
            value = jq_one(x, p->n->a, p->env, value);
            flow = value ? 0 : x->flow;
        }
    } else {
        flow = p->out(p->arg, val_keep(value));
        if (flow == 0)
            flow = jq_many(x, p->n->a, p->env, val_keep(value), recurse_value, p);
    }
    val_unref(value);
    x->depth--;
    return flow;
}

static int until_value(void *arg, struct val *value);

static int until_cond(void *arg, struct val *cond)
{
    struct piped *p = arg;
    bool truth = val_truthy(cond);
    val_unref(cond);
    if (truth)
        return p->out(p->arg, val_keep(p->in));
    struct piped next = *p;
    return jq_many(p->x, p->n->b, p->env, val_keep(p->in), until_value, &next);
}

static int until_value(void *arg, struct val *value)
{
    struct piped *p = arg;
    struct piped here = *p;
    here.in = value;
    int flow = jq_many(p->x, p->n->a, p->env, val_keep(value), until_cond, &here);
    val_unref(value);
    return flow;
}

static int path_value(void *arg, struct val *path, struct val *value)
{
    struct piped *p = arg;
    val_unref(value);
    return p->out(p->arg, path);
}

static int many_path(struct piped *p)
{
    struct val *path = jq_made(p->x, val_arr());
    if (!path) {
        val_unref(p->in);
        return p->x->flow;
    }
    return jq_paths(p->x, p->n->a, p->env, path, p->in, path_value, p);
}

static int many_label(struct piped *p)
{
    struct jq_env slot = {.up = p->env};
    int flow = jq_many(p->x, p->n->a, &slot, p->in, p->out, p->arg);
    return jq_broken_to(p->x, &slot) ? 0 : flow;
}

static int many_kept(struct piped *p, jq_out_fn *each) // p->in stays until the end
{
    int flow = jq_many(p->x, p->n->a, p->env, val_keep(p->in), each, p);
    val_unref(p->in);
    return flow;
}

static int many_rare(struct jq_run *x, const struct jq_node *n, const struct jq_env *env,
                     struct val *in, jq_out_fn *out, void *arg)
{
    struct piped p = {x, n, env, in, out, arg};
    const struct jq_env *up;
    int flow;
    switch (n->op) {
    case J_PIPE: return jq_many(x, n->a, env, in, piped_value, &p);
    case J_ITER: return jq_many(x, n->a, env, in, iter_value, &p);
    case J_COMMA:
        flow = jq_many(x, n->a, env, val_keep(in), out, arg);
        if (flow == 0)
            return jq_many(x, n->b, env, in, out, arg);
        val_unref(in);
        return flow;
    case J_IF: return many_kept(&p, if_value);
    case J_AND:
    case J_OR: return many_kept(&p, logic_value);
    case J_TRY: return many_try(x, n, env, in, out, arg);
    case J_ALT: return many_alt(x, n, env, in, out, arg);
    case J_BIND: return jq_bind_many(x, n, env, in, out, arg);
    case J_FOREACH: return jq_foreach(x, n, env, in, out, arg);
    case J_DEF: return jq_many(x, n->a, &(struct jq_env){.up = env}, in, out, arg);
    case J_CALL: return jq_call_many(x, n, env, in, out, arg);
    case J_PARAM:
        up = jq_up(env, n->index);
        return jq_many(x, up->closure, up->closure_env, in, out, arg);
    case J_RECURSE: return recurse_value(&p, in);
    case J_UNTIL: return until_value(&p, in);
    case J_LABEL: return many_label(&p);
    case J_PATH: return many_path(&p);
    default: return jq_many_parts(x, n, env, in, out, arg);
    }
}

int jq_many(struct jq_run *x, const struct jq_node *n, const struct jq_env *env, struct val *in,
            jq_out_fn *out, void *arg)
{
    if (n->one) {
        struct val *v = jq_one(x, n, env, in);
        return v ? out(arg, v) : x->flow;
    }
    if (!jq_enter(x)) {
        val_unref(in);
        return x->flow;
    }
    int flow = many_rare(x, n, env, in, out, arg);
    x->depth--;
    return flow;
}
