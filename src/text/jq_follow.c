// jq_follow.c: expressions followed as paths: each output with the path that leads to it.
// SPDX-License-Identifier: Apache-2.0
#include "text/jq_priv.h"

struct walk {
    struct jq_run *x;
    const struct jq_node *n;
    const struct jq_env *env;
    struct val *path, *in; // kept for what comes again
    struct val *key;
    jq_path_fn *out;
    void *arg;
    bool outside, found;
};

static void walk_end(struct walk *w)
{
    val_unref(w->path);
    val_unref(w->in);
}

// One step with key from value. Takes path, key, value.
static int step(struct walk *w, struct val *path, struct val *key, struct val *value)
{
    struct val *part = jq_index(w->x, value, val_keep(key));
    if (!part) {
        val_unref(path);
        val_unref(key);
        (void)jq_skipped(w->x, w->n);
        return w->x->flow;
    }
    path = jq_push(w->x, path, key);
    if (path)
        return w->out(w->arg, path, part);
    val_unref(part);
    return w->x->flow;
}

static int field_at(void *arg, struct val *path, struct val *value)
{
    struct walk *w = arg;
    return step(w, path, val_keep(w->n->lit), value);
}

static int key_at(void *arg, struct val *path, struct val *value)
{
    struct walk *w = arg;
    return step(w, path, val_keep(w->key), value);
}

static int key_value(void *arg, struct val *key)
{
    struct walk *w = arg;
    struct walk at = *w;
    at.key = key;
    int flow = jq_paths(w->x, w->n->a, w->env, val_keep(w->path), val_keep(w->in), key_at, &at);
    val_unref(key);
    return flow;
}

static int slice_to(void *arg, struct val *to)
{
    struct walk *w = arg;
    struct val *key = val_put_cstr(val_put_cstr(val_obj(), "start", val_keep(w->key)), "end", to);
    return key ? key_value(w, key) : (jq_stop(w->x, E_NOMEM), w->x->flow);
}

static int slice_from(void *arg, struct val *from)
{
    struct walk *w = arg;
    struct walk at = *w;
    at.key = from;
    int flow = w->n->c ? jq_many(w->x, w->n->c, w->env, val_keep(w->in), slice_to, &at)
                       : slice_to(&at, val_null());
    val_unref(from);
    return flow;
}

static int each_at(void *arg, struct val *path, struct val *value)
{
    struct walk *w = arg;
    char text[JQ_SHORT];
    int flow = 0;
    if (value->kind != JSON_ARR && value->kind != JSON_OBJ) {
        (void)jq_fail(w->x, "Cannot iterate over %s (%s)", jq_kind_name(value),
                      jq_short(value, text));
        (void)jq_skipped(w->x, w->n);
        flow = w->x->flow;
    }
    for (size_t i = 0; flow == 0 && i < val_len(value); i++) {
        struct val *key = value->kind == JSON_ARR ? jq_num(w->x, (double)i)
                                                  : val_keep(&val_as_obj(value)->members[i].key->v);
        struct val *longer = key ? jq_push(w->x, val_keep(path), key) : NULL;
        flow = longer ? w->out(w->arg, longer, val_keep(val_at(value, i))) : w->x->flow;
    }
    val_unref(path);
    val_unref(value);
    return flow;
}

static int recurse_at(void *arg, struct val *path, struct val *value)
{
    struct walk *w = arg;
    if (!jq_enter(w->x)) {
        val_unref(path);
        val_unref(value);
        return w->x->flow;
    }
    int flow = w->out(w->arg, val_keep(path), val_keep(value));
    if (flow == 0 && w->n->a) {
        flow = jq_paths(w->x, w->n->a, w->env, path, value, recurse_at, w);
    } else if (flow == 0 && (value->kind == JSON_ARR || value->kind == JSON_OBJ)) {
        struct walk next = *w;
        next.out = recurse_at;
        next.arg = w;
        flow = each_at(&next, path, value);
    } else {
        val_unref(path);
        val_unref(value);
    }
    w->x->depth--;
    return flow;
}

static int piped_at(void *arg, struct val *path, struct val *value)
{
    struct walk *w = arg;
    return jq_paths(w->x, w->n->b, w->env, path, value, w->out, w->arg);
}

static int cond_value(void *arg, struct val *cond)
{
    struct walk *w = arg;
    const struct jq_node *then = val_truthy(cond) ? w->n->b : w->n->c;
    val_unref(cond);
    struct val *path = val_keep(w->path), *in = val_keep(w->in);
    return then ? jq_paths(w->x, then, w->env, path, in, w->out, w->arg) : w->out(w->arg, path, in);
}

static int guarded_at(void *arg, struct val *path, struct val *value)
{
    struct walk *w = arg;
    if (w->n->op == J_ALT && !val_truthy(value)) {
        val_unref(path);
        val_unref(value);
        return 0;
    }
    w->found = true;
    int flow = w->out(w->arg, path, value);
    w->outside = flow != 0;
    return flow;
}

static int guarded(struct walk *w)
{
    int flow = jq_paths(w->x, w->n->a, w->env, val_keep(w->path), val_keep(w->in), guarded_at, w);
    bool mine = flow && !w->outside && w->n->op == J_TRY;
    struct val *message = mine ? jq_caught(w->x) : NULL;
    if (message)
        flow = 0;
    bool other = w->n->op == J_ALT ? flow == 0 && !w->found : message && w->n->b;
    if (other) {
        struct val *in = val_keep(w->n->op == J_ALT ? w->in : message);
        flow = jq_paths(w->x, w->n->b, w->env, val_keep(w->path), in, w->out, w->arg);
    }
    val_unref(message);
    return flow;
}

static int first_at(void *arg, struct val *path, struct val *value)
{
    struct walk *w = arg;
    int flow = w->out(w->arg, path, value);
    return flow ? flow : jq_break_to(w->x, w);
}

static int first_of(struct walk *w)
{
    int flow = jq_paths(w->x, w->n->a, w->env, val_keep(w->path), val_keep(w->in), first_at, w);
    return jq_broken_to(w->x, w) ? 0 : flow;
}

static int bound_body(void *arg, const struct jq_env *env)
{
    struct walk *w = arg;
    return jq_paths(w->x, w->n->b, env, val_keep(w->path), val_keep(w->in), w->out, w->arg);
}

static int bound_value(void *arg, struct val *value)
{
    struct walk *w = arg;
    return jq_bound(w->x, w->n->pattern, w->env, value, bound_body, w);
}

static int getpath_value(void *arg, struct val *more)
{
    struct walk *w = arg;
    struct val *path = val_keep(w->path);
    for (size_t i = 0; path && more->kind == JSON_ARR && i < val_len(more); i++)
        path = jq_push(w->x, path, val_keep(val_at(more, i)));
    if (!path) {
        val_unref(more);
        return w->x->flow;
    }
    struct val *value = jq_get_path(w->x, val_keep(w->in), more);
    if (value)
        return w->out(w->arg, path, value);
    val_unref(path);
    return w->x->flow;
}

static int label(struct walk *w)
{
    struct jq_env slot = {.up = w->env};
    int flow = jq_paths(w->x, w->n->a, &slot, val_keep(w->path), val_keep(w->in), w->out, w->arg);
    return jq_broken_to(w->x, &slot) ? 0 : flow;
}

static int follow(struct walk *w);

// What keeps path and in for several uses.
static int follow_kept(struct walk *w)
{
    struct jq_run *x = w->x;
    const struct jq_node *n = w->n;
    int flow;
    switch (n->op) {
    case J_INDEX: return jq_many(x, n->b, w->env, val_keep(w->in), key_value, w);
    case J_SLICE:
        if (!n->b)
            return slice_from(w, val_null());
        return jq_many(x, n->b, w->env, val_keep(w->in), slice_from, w);
    case J_COMMA:
        flow = jq_paths(x, n->a, w->env, val_keep(w->path), val_keep(w->in), w->out, w->arg);
        if (flow)
            return flow;
        return jq_paths(x, n->b, w->env, val_keep(w->path), val_keep(w->in), w->out, w->arg);
    case J_IF: return jq_many(x, n->a, w->env, val_keep(w->in), cond_value, w);
    case J_ALT:
    case J_TRY: return guarded(w);
    case J_BIND: return jq_many(x, n->a, w->env, val_keep(w->in), bound_value, w);
    case J_FIRST: return first_of(w);
    case J_GETPATH: return jq_many(x, n->a, w->env, val_keep(w->in), getpath_value, w);
    case J_LABEL: return label(w);
    default: // J_EMPTY, J_ERROR, J_BREAK: no output
        return jq_many(x, n, w->env, val_keep(w->in), NULL, NULL);
    }
}

static int follow(struct walk *w)
{
    const struct jq_node *n = w->n;
    const struct jq_env *up;
    struct val *path = w->path, *in = w->in;
    switch (n->op) {
    case J_DOT: return w->out(w->arg, path, in);
    case J_FIELD: return jq_paths(w->x, n->a, w->env, path, in, field_at, w);
    case J_ITER: return jq_paths(w->x, n->a, w->env, path, in, each_at, w);
    case J_PIPE: return jq_paths(w->x, n->a, w->env, path, in, piped_at, w);
    case J_RECURSE: return recurse_at(w, path, in);
    case J_DEF:
        return jq_paths(w->x, n->a, &(struct jq_env){.up = w->env}, path, in, w->out, w->arg);
    case J_CALL: return jq_call_paths(w->x, n, w->env, path, in, w->out, w->arg);
    case J_PARAM:
        up = jq_up(w->env, n->index);
        return jq_paths(w->x, up->closure, up->closure_env, path, in, w->out, w->arg);
    default: break;
    }
    int flow = follow_kept(w);
    walk_end(w);
    return flow;
}

int jq_paths(struct jq_run *x, const struct jq_node *n, const struct jq_env *env, struct val *path,
             struct val *in, jq_path_fn *out, void *arg)
{
    struct walk w = {x, n, env, path, in, NULL, out, arg, false, false};
    if (!jq_enter(x)) {
        walk_end(&w);
        return x->flow;
    }
    int flow = follow(&w);
    x->depth--;
    return flow;
}
