// jq_path.c: values at paths: read, set, deleted, assigned to.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "text/jq_priv.h"
#include <math.h>

static struct val *drop(struct val *v) // gives NULL
{
    val_unref(v);
    return NULL;
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

// Notes in gone which items of an array the key means.
static bool mark(struct jq_run *x, const struct val *of, const struct val *key, char *gone)
{
    size_t n = val_len(of), from = 0, to = 0;
    if (key->kind == JSON_NUM) {
        double at = trunc(isnan(val_d(key)) ? (double)n : val_d(key));
        at += at < 0 ? (double)n : 0;
        if (at >= 0 && at < (double)n)
            gone[(size_t)at] = 1;
        return true;
    }
    if (key->kind != JSON_OBJ) {
        (void)jq_fail(x, "Cannot delete field at object index of array");
        return false;
    }
    if (!jq_slice_ends(val_get_cstr(key, "start"), val_get_cstr(key, "end"), n, &from, &to)) {
        (void)jq_fail(x, "Start and end indices of an array slice must be numbers");
        return false;
    }
    for (; from < to; from++)
        gone[from] = 1;
    return true;
}

static struct val *del_items(struct jq_run *x, struct val *of, const struct val *keys)
{
    size_t n = val_len(of);
    AUTO_MEM char *gone = mem_zalloc(n + 1);
    if (!gone) {
        val_unref(of);
        return jq_stop(x, E_NOMEM);
    }
    bool good = jq_charge(x, n * 8 + 32);
    for (size_t i = 0; good && i < val_len(keys); i++)
        good = mark(x, of, val_at(keys, i), gone);
    struct val *v = good ? jq_made(x, val_arr_room(n)) : NULL;
    for (size_t i = 0; v && i < n; i++)
        if (!gone[i])
            v = jq_made(x, val_push(v, val_keep(val_at(of, i))));
    val_unref(of);
    return v;
}

// All keys at once: what each means is seen in the value as it was. Takes of.
static struct val *del_keys(struct jq_run *x, struct val *of, const struct val *keys)
{
    if (of->kind == JSON_NULL || val_len(keys) == 0)
        return of;
    if (of->kind == JSON_ARR)
        return del_items(x, of, keys);
    if (of->kind != JSON_OBJ) {
        (void)jq_fail(x, "Cannot delete fields from %s", jq_kind_name(of));
        return drop(of);
    }
    for (size_t i = 0; of && i < val_len(keys); i++) {
        const struct val *key = val_at(keys, i);
        if (key->kind != JSON_STR) {
            (void)jq_fail(x, "Cannot delete field at array index of object");
            return drop(of);
        }
        size_t copy = val_sole(of) ? 0 : val_len(of) * 16 + 32;
        of = jq_charge(x, copy) ? jq_made(x, val_del(of, val_bytes(key))) : drop(of);
    }
    return of;
}

static struct val *del_sorted(struct jq_run *x, struct val *of, const struct val *paths,
                              size_t from, size_t to, size_t depth);

// Paths from..to begin with the same key and go on behind it. Takes of.
static struct val *del_below(struct jq_run *x, struct val *of, const struct val *paths, size_t from,
                             size_t to, size_t depth)
{
    struct val *key = val_at(val_at(paths, from), depth);
    struct val *part = jq_index(x, val_keep(of), val_keep(key));
    bool none = part && part->kind == JSON_NULL;
    val_unref(part);
    if (!part || none || !jq_enter(x))
        return none ? of : drop(of);
    part = lift(x, of, key);
    part = part ? del_sorted(x, part, paths, from, to, depth + 1) : NULL;
    x->depth--;
    return part ? set_key(x, of, key, part) : drop(of);
}

// Paths from..to of the sorted paths, all longer than depth and equal up to there. Takes of.
static struct val *del_sorted(struct jq_run *x, struct val *of, const struct val *paths,
                              size_t from, size_t to, size_t depth)
{
    struct val *keys = jq_made(x, val_arr());
    while (of && keys && from < to) {
        const struct val *path = val_at(paths, from);
        struct val *key = val_at(path, depth);
        size_t next = from + 1;
        while (next < to && val_equal(key, val_at(val_at(paths, next), depth)))
            next++;
        if (val_len(path) == depth + 1) // all of it, so the longer ones do not matter
            keys = jq_push(x, keys, val_keep(key));
        else
            of = del_below(x, of, paths, from, next, depth);
        from = next;
    }
    if (of)
        of = keys ? del_keys(x, of, keys) : drop(of);
    val_unref(keys);
    return of;
}

struct val *jq_del_paths(struct jq_run *x, struct val *of, struct val *paths)
{
    bool good = paths->kind == JSON_ARR;
    if (!good)
        (void)jq_fail(x, "Paths must be specified as an array");
    for (size_t i = 0; good && i < val_len(paths); i++) {
        good = val_at(paths, i)->kind == JSON_ARR;
        if (!good)
            (void)jq_fail(x, "Path must be specified as array, not %s",
                          jq_kind_name(val_at(paths, i)));
    }
    if (!good) {
        val_unref(paths);
        return drop(of);
    }
    paths = jq_sort(x, paths);
    if (!paths)
        return drop(of);
    if (val_len(paths) > 0 && val_len(val_at(paths, 0)) == 0) { // the whole value
        val_unref(of);
        of = val_null();
    } else {
        of = del_sorted(x, of, paths, 0, val_len(paths), 0);
    }
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
