// jq_path.c: paths: following expressions as paths, and changing values at them.
// SPDX-License-Identifier: Apache-2.0
#include "text/jq_priv.h"
#include <math.h>

static struct val *drop(struct val *v) // gives NULL
{
    val_unref(v);
    return NULL;
}

// ---- following ----

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
    int flow =
        jq_paths(w->x, w->n->a, w->env, val_keep(w->path), val_keep(w->in), key_at, &at);
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
        flow = w->x->flow;
    }
    for (size_t i = 0; flow == 0 && i < val_len(value); i++) {
        struct val *key = value->kind == JSON_ARR
                              ? jq_num(w->x, (double)i)
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
    return then ? jq_paths(w->x, then, w->env, path, in, w->out, w->arg)
                : w->out(w->arg, path, in);
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
    int flow =
        jq_paths(w->x, w->n->a, w->env, val_keep(w->path), val_keep(w->in), guarded_at, w);
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

// ---- at a path ----

struct val *jq_get_path(struct jq_run *x, struct val *of, struct val *path)
{
    if (path->kind != JSON_ARR) {
        (void)jq_fail(x, "Path must be specified as an array");
        val_unref(path);
        return drop(of);
    }
    for (size_t i = 0; of && of->kind != JSON_NULL && i < val_len(path); i++)
        of = jq_index(x, of, val_keep(val_at(path, i)));
    val_unref(path);
    return of;
}

static struct val *set_slice(struct jq_run *x, struct val *of, const struct val *key,
                             struct val *value)
{
    size_t from = 0, to = 0, n = val_len(of);
    struct val *v = NULL;
    if (!jq_slice_ends(val_get_cstr(key, "start"), val_get_cstr(key, "end"), n, &from, &to))
        (void)jq_fail(x, "Start and end indices of an array slice must be numbers");
    else if (value->kind != JSON_ARR)
        (void)jq_fail(x, "A slice of an array can only be assigned another array");
    else
        v = jq_made(x, val_arr());
    for (size_t i = 0; v && i < from; i++)
        v = jq_push(x, v, val_keep(val_at(of, i)));
    for (size_t i = 0; v && i < val_len(value); i++)
        v = jq_push(x, v, val_keep(val_at(value, i)));
    for (size_t i = to; v && i < n; i++)
        v = jq_push(x, v, val_keep(val_at(of, i)));
    val_unref(of);
    val_unref(value);
    return v;
}

#define INDEX_MAX 536870911 // jq's own limit

static struct val *set_item(struct jq_run *x, struct val *of, double index, struct val *value)
{
    size_t n = val_len(of);
    double at = trunc(isnan(index) ? 0 : index);
    at += at < 0 ? (double)n : 0;
    if (at < 0)
        (void)jq_fail(x, "Out of bounds negative array index");
    else if (at > INDEX_MAX)
        (void)jq_fail(x, "Array index too large");
    else if (at >= (double)n && !jq_charge(x, ((size_t)at + 1 - n) * 16))
        at = -1;
    if (at < 0 || at > INDEX_MAX) {
        val_unref(value);
        return drop(of);
    }
    struct val *v = of->kind == JSON_ARR ? of : jq_made(x, val_arr());
    while (v && val_len(v) < (size_t)at)
        v = jq_made(x, val_push(v, val_null()));
    if (v && !jq_charge(x, val_sole(v) ? 8 : 32 + n * 8))
        v = drop(v);
    if (v)
        return jq_made(x, val_set_at(v, (size_t)at, value));
    val_unref(value);
    return NULL;
}

// Takes of and value.
static struct val *set_key(struct jq_run *x, struct val *of, struct val *key, struct val *value)
{
    bool none = of->kind == JSON_NULL;
    if (key->kind == JSON_STR && (none || of->kind == JSON_OBJ)) {
        of = none ? jq_made(x, val_obj()) : of;
        if (of)
            return jq_put(x, of, val_keep(key), value);
        val_unref(value);
        return NULL;
    }
    if (key->kind == JSON_NUM && (none || of->kind == JSON_ARR))
        return set_item(x, of, val_d(key), value);
    if (key->kind == JSON_OBJ && (none || of->kind == JSON_ARR))
        return set_slice(x, of, key, value);
    if (key->kind == JSON_OBJ)
        (void)jq_fail(x, "Cannot update field at object index of %s", jq_kind_name(of));
    else
        (void)jq_fail(x, "Cannot index %s with %s", jq_kind_name(of), jq_kind_name(key));
    val_unref(value);
    return drop(of);
}

// A change at the end of a path: gives the new value there. Takes old.
struct change {
    struct jq_run *x;
    const struct val *path;
    struct val *(*at_end)(struct change *c, struct val *old);
    const struct jq_node *n;
    const struct jq_env *env;
    struct val *value;
    bool none; // nothing came: to be deleted
};

// The part at key, so that it is changed in place where that goes: null stands there meanwhile.
static struct val *lift(struct jq_run *x, struct val *of, struct val *key)
{
    struct val *part = NULL;
    if (val_sole(of) && of->kind == JSON_OBJ && key->kind == JSON_STR) {
        part = val_lift(of, val_bytes(key));
        return part ? part : val_null();
    }
    if (val_sole(of) && of->kind == JSON_ARR && key->kind == JSON_NUM && !isnan(val_d(key))) {
        double at = trunc(val_d(key));
        at += at < 0 ? (double)val_len(of) : 0;
        if (at >= 0 && at < (double)val_len(of))
            return val_lift_at(of, (size_t)at);
    }
    return jq_index(x, val_keep(of), val_keep(key));
}

static struct val *change_at(struct change *c, struct val *of, size_t at)
{
    if (at == val_len(c->path))
        return c->at_end(c, of);
    if (!jq_enter(c->x))
        return drop(of);
    struct val *key = val_at(c->path, at);
    struct val *part = lift(c->x, of, key);
    bool was_null = part && part->kind == JSON_NULL;
    part = part ? change_at(c, part, at + 1) : NULL;
    c->x->depth--;
    if (part && c->none && was_null)
        return of; // nothing comes to where nothing is
    return part ? set_key(c->x, of, key, part) : drop(of);
}

static struct val *set_end(struct change *c, struct val *old)
{
    val_unref(old);
    return val_keep(c->value);
}

struct val *jq_set_path(struct jq_run *x, struct val *of, struct val *path, struct val *value)
{
    struct change c = {.x = x, .path = path, .at_end = set_end, .value = value};
    if (path->kind == JSON_ARR) {
        of = change_at(&c, of, 0);
    } else {
        (void)jq_fail(x, "Path must be specified as an array");
        of = drop(of);
    }
    val_unref(path);
    val_unref(value);
    return of;
}

// ---- deleting ----

static struct val *del_item(struct jq_run *x, struct val *of, struct val *key)
{
    size_t n = val_len(of), from, to;
    if (key->kind == JSON_NUM) {
        double at = trunc(isnan(val_d(key)) ? (double)n : val_d(key));
        at += at < 0 ? (double)n : 0;
        if (at < 0 || at >= (double)n)
            return of;
        from = (size_t)at;
        to = from + 1;
    } else if (!jq_slice_ends(val_get_cstr(key, "start"), val_get_cstr(key, "end"), n, &from,
                              &to)) {
        (void)jq_fail(x, "Start and end indices of an array slice must be numbers");
        return drop(of);
    }
    struct val *v = jq_charge(x, n * 8 + 32) ? jq_made(x, val_slice(of, 0, from)) : NULL;
    for (size_t i = to; v && i < n; i++)
        v = jq_made(x, val_push(v, val_keep(val_at(of, i))));
    val_unref(of);
    return v;
}

static struct val *del_key(struct jq_run *x, struct val *of, struct val *key)
{
    if (of->kind == JSON_NULL)
        return of;
    if (of->kind == JSON_OBJ && key->kind == JSON_STR) {
        size_t copy = val_sole(of) ? 0 : val_len(of) * 16 + 32;
        return jq_charge(x, copy) ? jq_made(x, val_del(of, val_bytes(key))) : drop(of);
    }
    if (of->kind == JSON_ARR && (key->kind == JSON_NUM || key->kind == JSON_OBJ))
        return del_item(x, of, key);
    if (of->kind == JSON_ARR || of->kind == JSON_OBJ)
        (void)jq_fail(x, "Cannot delete field at %s index of %s",
                      key->kind == JSON_STR ? "object" : "array", jq_kind_name(of));
    else
        (void)jq_fail(x, "Cannot delete field at %s index of %s",
                      key->kind == JSON_STR ? "object" : "array", jq_kind_name(of));
    return drop(of);
}

static struct val *del_path(struct jq_run *x, struct val *of, const struct val *path, size_t at)
{
    size_t n = val_len(path);
    if (n == 0) {
        val_unref(of);
        return val_null();
    }
    struct val *key = val_at(path, at);
    if (at + 1 == n)
        return del_key(x, of, key);
    if (of->kind == JSON_NULL)
        return of;
    struct val *part = jq_index(x, val_keep(of), val_keep(key));
    if (!part || part->kind == JSON_NULL)
        return part ? (val_unref(part), of) : drop(of);
    val_unref(part);
    part = lift(x, of, key);
    if (!part || !jq_enter(x)) {
        val_unref(part);
        return drop(of);
    }
    part = del_path(x, part, path, at + 1);
    x->depth--;
    return part ? set_key(x, of, key, part) : drop(of);
}

struct val *jq_del_paths(struct jq_run *x, struct val *of, struct val *paths)
{
    if (paths->kind != JSON_ARR) {
        (void)jq_fail(x, "Paths must be specified as an array");
        val_unref(paths);
        return drop(of);
    }
    paths = jq_sort(x, paths);
    for (size_t i = val_len(paths); of && paths && i-- > 0;) {
        const struct val *path = val_at(paths, i);
        if (path->kind == JSON_ARR) {
            of = del_path(x, of, path, 0);
        } else {
            (void)jq_fail(x, "Path must be specified as an array");
            of = drop(of);
        }
    }
    if (!paths)
        of = drop(of);
    val_unref(paths);
    return of;
}

// ---- assignments ----

struct gather {
    struct jq_run *x;
    struct val *paths;
};

static int gather_path(void *arg, struct val *path, struct val *value)
{
    struct gather *g = arg;
    val_unref(value);
    g->paths = jq_push(g->x, g->paths, path);
    return g->paths ? 0 : g->x->flow;
}

static struct val *all_paths(struct jq_run *x, const struct jq_node *n, const struct jq_env *env,
                             struct val *in)
{
    struct gather g = {x, jq_made(x, val_arr())};
    struct val *start = g.paths ? jq_made(x, val_arr()) : NULL;
    if (start && jq_paths(x, n, env, start, val_keep(in), gather_path, &g) == 0)
        return g.paths;
    return drop(g.paths);
}

// The change at all paths. Takes in and paths.
static struct val *change_all(struct change *c, struct val *in, struct val *paths)
{
    struct val *gone = NULL;
    for (size_t i = 0; in && i < val_len(paths); i++) {
        c->path = val_at(paths, i);
        c->none = false;
        in = change_at(c, in, 0);
        if (!in || !c->none)
            continue;
        gone = gone ? gone : jq_made(c->x, val_arr());
        gone = gone ? jq_push(c->x, gone, val_keep(val_at(paths, i))) : NULL;
        in = gone ? in : drop(in);
    }
    val_unref(paths);
    if (!in || !gone)
        return in ? in : drop(gone);
    return jq_del_paths(c->x, in, gone);
}

static struct val *update_end(struct change *c, struct val *old)
{
    struct val *value = val_keep(c->value);
    if (c->n->op == J_UPDATE)
        return jq_binary(c->x, (enum jq_bin)c->n->sub, old, value);
    struct val *v = val_truthy(old) ? old : value;
    val_unref(v == old ? value : old);
    return v;
}

struct val *jq_assign(struct jq_run *x, const struct jq_node *n, const struct jq_env *env,
                      struct val *in, struct val *right)
{
    struct change c = {.x = x, .n = n, .value = right};
    c.at_end = n->op == J_ASSIGN ? set_end : update_end;
    struct val *paths = all_paths(x, n->a, env, in);
    in = paths ? change_all(&c, in, paths) : drop(in);
    val_unref(right);
    return in;
}

static int first_value(void *arg, struct val *value)
{
    struct change *c = arg;
    c->value = value;
    return jq_break_to(c->x, c);
}

static struct val *modify_end(struct change *c, struct val *old)
{
    struct jq_run *x = c->x;
    c->value = NULL;
    if (c->n->b->one) {
        c->value = jq_one(x, c->n->b, c->env, old);
    } else {
        (void)jq_many(x, c->n->b, c->env, old, first_value, c);
        (void)jq_broken_to(x, c);
    }
    if (c->value || x->flow)
        return c->value;
    c->none = true; // null stands there until it is deleted
    return val_null();
}

struct val *jq_modify(struct jq_run *x, const struct jq_node *n, const struct jq_env *env,
                      struct val *in)
{
    struct change c = {.x = x, .n = n, .env = env, .at_end = modify_end};
    struct val *paths = all_paths(x, n->a, env, in);
    return paths ? change_all(&c, in, paths) : drop(in);
}

struct val *jq_delete(struct jq_run *x, const struct jq_node *n, const struct jq_env *env,
                      struct val *in)
{
    struct val *paths = all_paths(x, n->a, env, in);
    return paths ? jq_del_paths(x, in, paths) : drop(in);
}
