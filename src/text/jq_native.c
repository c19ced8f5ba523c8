// jq_native.c: functions of jq written here: on values of all kinds, and numbers.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "text/jq_priv.h"
#include <math.h>
#include <string.h>

static struct val *swap(struct val *v, struct val *result)
{
    val_unref(v);
    return result;
}

// Fails about v, which is let go of: fmt has %s (%s): kind and text.
#define FAIL_ABOUT(x, v, fmt)                                                                      \
    do {                                                                                           \
        char text_[JQ_SHORT];                                                                      \
        (void)jq_fail(x, "%s (%s) " fmt, jq_kind_name(v), jq_short(v, text_));                     \
        return swap(v, NULL);                                                                      \
    } while (0)

#define NATIVE(name) static struct val *name(struct jq_run *x, struct val *in, struct val **args)
#define UNUSED_ARGS (void)args

NATIVE(do_not)
{
    (void)x, UNUSED_ARGS;
    return swap(in, val_bool(!val_truthy(in)));
}

NATIVE(do_type)
{
    UNUSED_ARGS;
    return swap(in, jq_made(x, val_cstr(jq_kind_name(in))));
}

NATIVE(do_length)
{
    UNUSED_ARGS;
    double n = (double)val_len(in);
    if (in->kind == JSON_BOOL)
        FAIL_ABOUT(x, in, "has no length");
    if (in->kind == JSON_NUM)
        n = fabs(val_d(in));
    else if (in->kind == JSON_STR)
        n = (double)jq_points(val_bytes(in));
    return swap(in, jq_num(x, n));
}

static struct val *keys_of(struct jq_run *x, struct val *in, bool sorted)
{
    if (in->kind != JSON_ARR && in->kind != JSON_OBJ)
        FAIL_ABOUT(x, in, "has no keys");
    AUTO_MEM uint32_t *order = in->kind == JSON_OBJ && sorted ? val_sorted(in) : NULL;
    size_t n = val_len(in);
    struct val *v = jq_charge(x, n * 16 + 32) ? jq_made(x, val_arr_room(n)) : NULL;
    for (size_t i = 0; v && i < n; i++) {
        struct val *key = in->kind == JSON_ARR
                              ? jq_num(x, (double)i)
                              : val_keep(&val_as_obj(in)->members[order ? order[i] : i].key->v);
        v = jq_made(x, val_push(v, key));
    }
    return swap(in, v);
}

NATIVE(do_keys)
{
    UNUSED_ARGS;
    return keys_of(x, in, true);
}

NATIVE(do_keys_unsorted)
{
    UNUSED_ARGS;
    return keys_of(x, in, false);
}

NATIVE(do_has)
{
    struct val *key = args[0];
    if (in->kind == JSON_OBJ && key->kind == JSON_STR)
        return swap(in, val_bool(val_get(in, val_bytes(key)) != NULL));
    if (in->kind == JSON_ARR && key->kind == JSON_NUM) {
        double at = val_d(key);
        return swap(in, val_bool(at >= 0 && at < (double)val_len(in)));
    }
    if (in->kind == JSON_NULL && (key->kind == JSON_STR || key->kind == JSON_NUM))
        return swap(in, val_bool(false));
    (void)jq_fail(x, "Cannot check whether %s has a %s key", jq_kind_name(in), jq_kind_name(key));
    return swap(in, NULL);
}

static bool holds(const struct val *a, const struct val *b)
{
    if (a->kind == JSON_OBJ && b->kind == JSON_OBJ) {
        for (size_t i = 0; i < val_len(b); i++) {
            const struct val_member *m = &val_as_obj(b)->members[i];
            const struct val *part = val_get(a, (struct bytes){m->key->p, m->key->n});
            if (!part || !holds(part, m->value))
                return false;
        }
        return true;
    }
    if (a->kind == JSON_ARR && b->kind == JSON_ARR) {
        for (size_t i = 0; i < val_len(b); i++) {
            bool found = false;
            for (size_t k = 0; k < val_len(a) && !found; k++)
                found = holds(val_at(a, k), val_at(b, i));
            if (!found)
                return false;
        }
        return true;
    }
    if (a->kind == JSON_STR && b->kind == JSON_STR)
        return val_bytes(b).n == 0 || bytes_find(val_bytes(a), val_bytes(b)) >= 0;
    return val_equal(a, b);
}

NATIVE(do_contains)
{
    char left[JQ_SHORT], right[JQ_SHORT];
    struct val *b = args[0];
    bool same = in->kind == b->kind; // true and false are two kinds to jq
    if (same && (in->kind != JSON_BOOL || in == b))
        return swap(in, val_bool(holds(in, b)));
    (void)jq_fail(x, "%s (%s) and %s (%s) cannot have their containment checked", jq_kind_name(in),
                  jq_short(in, left), jq_kind_name(b), jq_short(b, right));
    return swap(in, NULL);
}

NATIVE(do_add)
{
    UNUSED_ARGS;
    struct val *sum = val_null();
    if (in->kind != JSON_ARR && in->kind != JSON_OBJ) {
        char text[JQ_SHORT];
        (void)jq_fail(x, "Cannot iterate over %s (%s)", jq_kind_name(in), jq_short(in, text));
        return swap(in, NULL);
    }
    for (size_t i = 0; sum && i < val_len(in); i++)
        sum = jq_binary(x, BIN_ADD, sum, val_keep(val_at(in, i)));
    return swap(in, sum);
}

NATIVE(do_sort)
{
    UNUSED_ARGS;
    return jq_sort(x, in);
}

static struct val *by_itself(struct jq_run *x, struct val *in, enum jq_by by)
{
    if (in->kind != JSON_ARR)
        FAIL_ABOUT(x, in, "cannot be sorted, as it is not an array");
    return jq_by_keys(x, by, in, val_keep(in));
}

NATIVE(do_unique)
{
    UNUSED_ARGS;
    return by_itself(x, in, BY_UNIQUE);
}

NATIVE(do_min)
{
    UNUSED_ARGS;
    return by_itself(x, in, BY_MIN);
}

NATIVE(do_max)
{
    UNUSED_ARGS;
    return by_itself(x, in, BY_MAX);
}

// ---- entries ----

NATIVE(do_to_entries)
{
    UNUSED_ARGS;
    struct val *keys = keys_of(x, val_keep(in), false);
    struct val *v = keys ? jq_made(x, val_arr_room(val_len(keys))) : NULL;
    for (size_t i = 0; v && i < val_len(keys); i++) {
        struct val *entry =
            val_put_cstr(val_put_cstr(val_obj_room(2), "key", val_keep(val_at(keys, i))), "value",
                         val_keep(val_at(in, i)));
        if (entry && jq_charge(x, 160)) {
            v = jq_push(x, v, entry);
        } else {
            val_unref(entry);
            v = swap(v, entry ? NULL : jq_stop(x, E_TOOBIG));
        }
    }
    val_unref(keys);
    return swap(in, v);
}

static struct val *entry_part(struct jq_run *x, struct val *entry, const char *const *names)
{
    struct val *part = NULL;
    for (; *names; names++) {
        struct val *name = jq_made(x, val_cstr(*names));
        val_unref(part);
        part = name ? jq_field(x, val_keep(entry), name) : NULL;
        val_unref(name);
        if (!part || val_truthy(part))
            return part;
    }
    return part;
}

NATIVE(do_from_entries)
{
    static const char *const keys[] = {"key", "Key", "name", "Name", NULL};
    UNUSED_ARGS;
    if (in->kind != JSON_ARR && in->kind != JSON_OBJ) {
        char text[JQ_SHORT];
        (void)jq_fail(x, "Cannot iterate over %s (%s)", jq_kind_name(in), jq_short(in, text));
        return swap(in, NULL);
    }
    struct val *v = jq_made(x, val_obj());
    for (size_t i = 0; v && i < val_len(in); i++) {
        struct val *entry = val_at(in, i);
        struct val *key = entry_part(x, entry, keys);
        if (!key) {
            v = swap(v, NULL);
            break;
        }
        struct val *value = val_get_cstr(entry, "value");
        if (!value && entry->kind == JSON_OBJ)
            value = val_get_cstr(entry, "Value");
        v = jq_put(x, v, key, val_keep(value ? value : VAL_NULL));
    }
    return swap(in, v);
}

static struct val *flat(struct jq_run *x, struct val *v, const struct val *in, double depth)
{
    for (size_t i = 0; v && i < val_len(in); i++) {
        struct val *item = val_at(in, i);
        v = item->kind == JSON_ARR && depth != 0 ? flat(x, v, item, depth - 1)
                                                 : jq_push(x, v, val_keep(item));
    }
    return v;
}

static struct val *flatten(struct jq_run *x, struct val *in, double depth)
{
    if (in->kind != JSON_ARR && in->kind != JSON_OBJ) {
        char text[JQ_SHORT];
        (void)jq_fail(x, "Cannot iterate over %s (%s)", jq_kind_name(in), jq_short(in, text));
        return swap(in, NULL);
    }
    struct val *v = jq_made(x, val_arr());
    return swap(in, v ? flat(x, v, in, depth) : NULL);
}

NATIVE(do_flatten)
{
    UNUSED_ARGS;
    return flatten(x, in, -1);
}

NATIVE(do_flatten_to)
{
    if (args[0]->kind != JSON_NUM || val_d(args[0]) < 0) {
        (void)jq_fail(x, "flatten depth must not be negative");
        return swap(in, NULL);
    }
    return flatten(x, in, val_d(args[0]));
}

NATIVE(do_setpath)
{
    return jq_set_path(x, in, val_keep(args[0]), val_keep(args[1]));
}

NATIVE(do_delpaths)
{
    return jq_del_paths(x, in, val_keep(args[0]));
}

// ---- numbers ----

#define MATH(name, what)                                                                           \
    NATIVE(do_##name)                                                                              \
    {                                                                                              \
        UNUSED_ARGS;                                                                               \
        if (in->kind != JSON_NUM)                                                                  \
            FAIL_ABOUT(x, in, "number required");                                                  \
        double d = val_d(in);                                                                      \
        return swap(in, jq_num(x, what));                                                          \
    }
MATH(floor, floor(d))
MATH(ceil, ceil(d))
MATH(round, round(d))
MATH(trunc, trunc(d))
MATH(fabs, fabs(d))
MATH(sqrt, sqrt(d))
MATH(exp, exp(d))
MATH(exp2, exp2(d))
MATH(log, log(d))
MATH(log2, log2(d))
MATH(log10, log10(d))

NATIVE(do_pow)
{
    if (args[0]->kind != JSON_NUM || args[1]->kind != JSON_NUM) {
        struct val *v = val_keep(args[0]->kind != JSON_NUM ? args[0] : args[1]);
        val_unref(in);
        FAIL_ABOUT(x, v, "number required");
    }
    return swap(in, jq_num(x, pow(val_d(args[0]), val_d(args[1]))));
}

#define TEST(name, what)                                                                           \
    NATIVE(do_##name)                                                                              \
    {                                                                                              \
        (void)x, UNUSED_ARGS;                                                                      \
        double d = in->kind == JSON_NUM ? val_d(in) : 0;                                           \
        return swap(in, val_bool(what));                                                           \
    }
TEST(isnan, isnan(d))
TEST(isinfinite, isinf(d))
TEST(isnormal, isnormal(d))

NATIVE(do_nan)
{
    UNUSED_ARGS;
    return swap(in, jq_num(x, (double)NAN));
}

NATIVE(do_infinite)
{
    UNUSED_ARGS;
    return swap(in, jq_num(x, (double)INFINITY));
}

NATIVE(do_now)
{
    UNUSED_ARGS;
    return swap(in, jq_num(x, (double)x->now_ms / 1000));
}

#define ROW(n, a, f) {n, a, KNOWN_NATIVE, f, NULL, 0}
const struct jq_name jq_names_values[] = {
    ROW("not", 0, do_not),
    ROW("type", 0, do_type),
    ROW("length", 0, do_length),
    ROW("keys", 0, do_keys),
    ROW("keys_unsorted", 0, do_keys_unsorted),
    ROW("has", 1, do_has),
    ROW("contains", 1, do_contains),
    ROW("add", 0, do_add),
    ROW("sort", 0, do_sort),
    ROW("unique", 0, do_unique),
    ROW("min", 0, do_min),
    ROW("max", 0, do_max),
    ROW("to_entries", 0, do_to_entries),
    ROW("from_entries", 0, do_from_entries),
    ROW("flatten", 0, do_flatten),
    ROW("flatten", 1, do_flatten_to),
    ROW("setpath", 2, do_setpath),
    ROW("delpaths", 1, do_delpaths),
    ROW("floor", 0, do_floor),
    ROW("ceil", 0, do_ceil),
    ROW("round", 0, do_round),
    ROW("trunc", 0, do_trunc),
    ROW("fabs", 0, do_fabs),
    ROW("sqrt", 0, do_sqrt),
    ROW("exp", 0, do_exp),
    ROW("exp2", 0, do_exp2),
    ROW("log", 0, do_log),
    ROW("log2", 0, do_log2),
    ROW("log10", 0, do_log10),
    ROW("pow", 2, do_pow),
    ROW("isnan", 0, do_isnan),
    ROW("isinfinite", 0, do_isinfinite),
    ROW("isnormal", 0, do_isnormal),
    ROW("nan", 0, do_nan),
    ROW("infinite", 0, do_infinite),
    ROW("now", 0, do_now),
    {0},
};
