// jq_scope.c: what opens scopes: variables, reduce and foreach, calls of functions. Scopes lie in
// the frames of the evaluation, each knows the one around it.
// SPDX-License-Identifier: Apache-2.0
#include "text/jq_priv.h"

const struct jq_env *jq_up(const struct jq_env *env, uint32_t index)
{
    while (index-- > 0)
        env = env->up;
    return env;
}

static struct val *drop(struct val *v) // gives NULL
{
    val_unref(v);
    return NULL;
}

// ---- variables ----

// Binds value by the pattern to slots[*used ...]. Takes value. false: failed.
static bool bind(struct jq_run *x, const struct jq_pattern *p, const struct jq_env *outer,
                 struct val *value, struct jq_env *slots, size_t *used)
{
    if (p->kind == PATTERN_VAR) {
        slots[*used] = (struct jq_env){.up = *used ? &slots[*used - 1] : outer, .value = value};
        ++*used;
        return true;
    }
    bool good = true;
    for (size_t i = 0; i < p->n && good; i++) {
        struct val *key = p->kind == PATTERN_ARR ? jq_num(x, (double)i)
                                                 : jq_one(x, p->keys[i], outer, val_keep(value));
        struct val *part = NULL;
        if (key && p->kind == PATTERN_OBJ && key->kind != JSON_STR)
            (void)jq_fail(x, "Cannot index %s with %s", jq_kind_name(value), jq_kind_name(key));
        else if (key)
            part = jq_index(x, val_keep(value), val_keep(key));
        val_unref(key);
        good = part != NULL;
        if (good && p->binds_key[i]) {
            slots[*used] =
                (struct jq_env){.up = *used ? &slots[*used - 1] : outer, .value = val_keep(part)};
            ++*used;
        }
        if (good && p->parts[i])
            good = bind(x, p->parts[i], outer, part, slots, used);
        else
            val_unref(part);
    }
    val_unref(value);
    return good;
}

static void unbind(struct jq_env *slots, size_t used)
{
    while (used-- > 0)
        val_unref(slots[used].value);
}

static __attribute__((noinline)) int bound_many(struct jq_run *x, const struct jq_pattern *p,
                                                const struct jq_env *env, struct val *value,
                                                jq_body_fn *body, void *arg)
{
    struct jq_env slots[JQ_VARS_MAX];
    size_t used = 0;
    int flow = JQ_FAILED;
    if (bind(x, p, env, value, slots, &used))
        flow = body(arg, used ? &slots[used - 1] : env);
    else
        flow = x->flow;
    unbind(slots, used);
    return flow;
}

// Runs body with the pattern's variables bound. Takes value.
int jq_bound(struct jq_run *x, const struct jq_pattern *p, const struct jq_env *env,
             struct val *value, jq_body_fn *body, void *arg)
{
    if (p->kind != PATTERN_VAR)
        return bound_many(x, p, env, value, body, arg);
    struct jq_env slot = {.up = env, .value = value};
    int flow = body(arg, &slot);
    val_unref(value);
    return flow;
}

struct binding {
    struct jq_run *x;
    const struct jq_node *n;
    const struct jq_env *env;
    struct val *in;
    jq_out_fn *out; // NULL: one result, in result
    void *arg;
    struct val *result;
};

static int binding_body(void *arg, const struct jq_env *env)
{
    struct binding *b = arg;
    if (b->out)
        return jq_many(b->x, b->n->b, env, val_keep(b->in), b->out, b->arg);
    struct val *in = b->in;
    b->in = VAL_NULL;
    b->result = jq_one(b->x, b->n->b, env, in);
    return b->x->flow;
}

static int binding_value(void *arg, struct val *value)
{
    struct binding *b = arg;
    return jq_bound(b->x, b->n->pattern, b->env, value, binding_body, b);
}

struct val *jq_bind_one(struct jq_run *x, const struct jq_node *n, const struct jq_env *env,
                        struct val *in)
{
    struct binding b = {x, n, env, in, NULL, NULL, NULL};
    struct val *value = jq_one(x, n->a, env, val_keep(in));
    if (value)
        (void)binding_value(&b, value);
    val_unref(b.in);
    return b.result;
}

int jq_bind_many(struct jq_run *x, const struct jq_node *n, const struct jq_env *env,
                 struct val *in, jq_out_fn *out, void *arg)
{
    struct binding b = {x, n, env, in, out, arg, NULL};
    int flow = jq_many(x, n->a, env, val_keep(in), binding_value, &b);
    val_unref(in);
    return flow;
}

// ---- reduce and foreach ----

struct fold {
    struct jq_run *x;
    const struct jq_node *n;
    const struct jq_env *env, *inner;
    struct val *state;
    jq_out_fn *out;
    void *arg;
};

static struct val *fold_take(struct fold *f) // null stays
{
    struct val *state = f->state;
    f->state = VAL_NULL;
    return state;
}

static int fold_updated(void *arg, struct val *value)
{
    struct fold *f = arg;
    val_unref(f->state);
    f->state = value;
    if (!f->out)
        return 0;
    if (!f->n->d)
        return f->out(f->arg, val_keep(value));
    return jq_many(f->x, f->n->d, f->inner, val_keep(value), f->out, f->arg);
}

static int fold_body(void *arg, const struct jq_env *env)
{
    struct fold *f = arg;
    const struct jq_env *before = f->inner;
    f->inner = env;
    int flow;
    if (f->n->c->one && !f->out) {
        struct val *v = jq_one(f->x, f->n->c, env, fold_take(f));
        f->state = v ? v : f->state;
        flow = v ? 0 : f->x->flow;
    } else {
        flow = jq_many(f->x, f->n->c, env, fold_take(f), fold_updated, f);
    }
    f->inner = before;
    return flow;
}

static int fold_value(void *arg, struct val *value)
{
    struct fold *f = arg;
    return jq_bound(f->x, f->n->pattern, f->env, value, fold_body, f);
}

// Takes in. reduce: the state, or NULL.
static struct val *fold_run(struct fold *f, struct val *in)
{
    f->state = jq_one(f->x, f->n->b, f->env, val_keep(in));
    if (!f->state)
        return drop(in);
    int flow = jq_many(f->x, f->n->a, f->env, in, fold_value, f);
    if (flow == 0 && !f->out)
        return f->state;
    return drop(f->state);
}

struct val *jq_reduce(struct jq_run *x, const struct jq_node *n, const struct jq_env *env,
                      struct val *in)
{
    return fold_run(&(struct fold){.x = x, .n = n, .env = env}, in);
}

int jq_foreach(struct jq_run *x, const struct jq_node *n, const struct jq_env *env, struct val *in,
               jq_out_fn *out, void *arg)
{
    (void)fold_run(&(struct fold){.x = x, .n = n, .env = env, .out = out, .arg = arg}, in);
    return x->flow;
}

// ---- calls ----

struct call {
    struct jq_run *x;
    const struct jq_node *n;
    const struct jq_env *env;
    struct val *in;
    jq_out_fn *out;
    void *arg;
    struct val *path;     // followed as a path: out and arg are
    jq_path_fn *path_out; // these instead
    size_t used;
    const struct jq_env *inner; // of the body
    struct jq_env slots[1 + 2 * JQ_ARGS_MAX];
};
struct call_level {
    struct call *c;
    unsigned param;
};

// Scopes as the parser has them: the function, its parameters as closures, those with $ as values.
static void call_begin(struct call *c)
{
    const struct jq_func *f = c->n->func;
    const struct jq_env *home = NULL;
    if (c->n->index == UINT32_MAX) {
        c->slots[c->used++] = (struct jq_env){.up = NULL};
        home = &c->slots[0];
    } else {
        home = jq_up(c->env, c->n->index);
    }
    for (unsigned i = 0; i < f->params; i++) {
        c->slots[c->used] = (struct jq_env){
            .up = home,
            .closure = c->n->kids[i],
            .closure_env = c->env,
        };
        home = &c->slots[c->used++];
    }
    for (unsigned i = 0; i < f->params; i++)
        if (f->param_is_var[i]) {
            c->slots[c->used] = (struct jq_env){.up = home, .value = VAL_NULL};
            home = &c->slots[c->used++];
        }
    c->inner = home;
}

static size_t call_values(const struct call *c) // slots before those of the values
{
    return c->n->func->params + (c->n->index == UINT32_MAX);
}

static int call_next(struct call *c, unsigned param);

static int call_value(void *arg, struct val *value)
{
    struct call_level *level = arg;
    struct call *c = level->c;
    size_t at = call_values(c);
    for (unsigned i = 0; i < level->param; i++)
        at += c->n->func->param_is_var[i];
    val_unref(c->slots[at].value);
    c->slots[at].value = value;
    return call_next(c, level->param + 1);
}

static int call_next(struct call *c, unsigned param)
{
    const struct jq_func *f = c->n->func;
    struct call_level level = {c, param};
    while (level.param < f->params && !f->param_is_var[level.param])
        level.param++;
    if (level.param == f->params)
        return c->path ? jq_paths(c->x, f->body, c->inner, val_keep(c->path), val_keep(c->in),
                                  c->path_out, c->arg)
                       : jq_many(c->x, f->body, c->inner, val_keep(c->in), c->out, c->arg);
    return jq_many(c->x, c->n->kids[level.param], c->env, val_keep(c->in), call_value, &level);
}

static void call_end(struct call *c)
{
    for (size_t i = call_values(c); i < c->used; i++)
        val_unref(c->slots[i].value);
    val_unref(c->in);
}

__attribute__((noinline)) int jq_call_many(struct jq_run *x, const struct jq_node *n,
                                           const struct jq_env *env, struct val *in, jq_out_fn *out,
                                           void *arg)
{
    struct call c = {.x = x, .n = n, .env = env, .in = in, .out = out, .arg = arg};
    call_begin(&c);
    int flow = call_next(&c, 0);
    call_end(&c);
    return flow;
}

int jq_call_paths(struct jq_run *x, const struct jq_node *n, const struct jq_env *env,
                  struct val *path, struct val *in, jq_path_fn *out, void *arg)
{
    struct call c = {.x = x, .n = n, .env = env, .in = in, .path = path, .arg = arg};
    c.path_out = out;
    call_begin(&c);
    int flow = call_next(&c, 0);
    call_end(&c);
    val_unref(path);
    return flow;
}

__attribute__((noinline)) struct val *jq_call_one(struct jq_run *x, const struct jq_node *n,
                                                  const struct jq_env *env, struct val *in)
{
    struct call c = {.x = x, .n = n, .env = env, .in = VAL_NULL};
    const struct jq_func *f = n->func;
    call_begin(&c);
    size_t at = call_values(&c);
    struct val *v = in;
    for (unsigned i = 0; i < f->params && v; i++)
        if (f->param_is_var[i]) {
            v = c.slots[at++].value = jq_one(x, n->kids[i], env, val_keep(in));
        }
    v = v ? jq_one(x, f->body, c.inner, in) : drop(in);
    call_end(&c);
    return v;
}
