// val.c: life and making of values: scalars, strings, arrays, and what all kinds share.
// SPDX-License-Identifier: Apache-2.0
#include "text/val.h"
#include "base/alloc.h"
#include "text/val_priv.h"
#include <float.h>
#include <math.h>
#include <string.h>

// Values nest as deep as JSON text may: so what can be made can be written and read again, and
// recursion over a value is bounded.
#define DEPTH_MAX JSON_DEPTH_MAX

#define CONSTANT(k, s) {.refs = VAL_IMMORTAL, .kind = (k), .sub = (s)}
const struct val val_null_const = CONSTANT(JSON_NULL, 0);
const struct val val_false_const = CONSTANT(JSON_BOOL, 0);
const struct val val_true_const = CONSTANT(JSON_BOOL, 1);

// ---- life ----

struct val *val_ref(struct val *v)
{
    return v ? val_keep(v) : NULL;
}

static void val_end(struct val *v)
{
    if (v->kind == JSON_ARR) {
        struct val_arr *a = val_as_arr(v);
        for (uint32_t i = 0; i < a->n; i++)
            val_unref(a->items[i]);
        if (a->items != a->first)
            mem_free(a->items);
    } else if (v->kind == JSON_OBJ) {
        struct val_obj *o = val_as_obj(v);
        for (uint32_t i = 0; i < o->n; i++) {
            val_unref(&o->members[i].key->v);
            val_unref(o->members[i].value);
        }
        if (o->members != o->first)
            mem_free(o->members);
        mem_free(o->slots);
    }
    mem_free(v);
}

void val_unref(struct val *v)
{
    if (v && v->refs != VAL_IMMORTAL && --v->refs == 0)
        val_end(v);
}

void val_auto(struct val **v)
{
    val_unref(*v);
}

// ---- scalars ----

struct val *val_null(void)
{
    return &val_null_;
}

struct val *val_bool(bool b)
{
    return b ? &val_true_ : &val_false_;
}

static struct val_num *num_new(uint8_t sub)
{
    struct val_num *v = mem_alloc(sizeof *v);
    if (v)
        v->v = (struct val){.refs = 1, .kind = JSON_NUM, .sub = sub};
    return v;
}

struct val *val_int(int64_t n)
{
    struct val_num *v = num_new(0);
    if (!v)
        return NULL;
    v->i = n;
    return &v->v;
}

// Whole numbers that a double holds exactly are integers, so that equal numbers look equal.
struct val *val_real(double n)
{
    if (n > -0x1p53 && n < 0x1p53 && (double)(int64_t)n == n && (n != 0 || !signbit(n)))
        return val_int((int64_t)n);
    struct val_num *v = num_new(1);
    if (!v)
        return NULL;
    v->d = n;
    return &v->v;
}

struct val *val_num(double n)
{
    if (isnan(n))
        return val_null();
    return val_real(n > DBL_MAX ? DBL_MAX : n < -DBL_MAX ? -DBL_MAX : n);
}

struct val *val_str_room(size_t n)
{
    if (n > SIZE_MAX - sizeof(struct val_str) - 1)
        return NULL;
    struct val_str *v = mem_alloc(sizeof *v + n + 1);
    if (!v)
        return NULL;
    v->v = (struct val){.refs = 1, .kind = JSON_STR};
    v->n = n;
    v->p[n] = 0;
    return &v->v;
}

struct val *val_str(struct bytes text)
{
    struct val *v = val_str_room(text.n);
    if (v && text.n)
        memcpy(val_as_str(v)->p, text.p, text.n);
    return v;
}

struct val *val_cstr(const char *text)
{
    return val_str(bytes_of(text));
}

// ---- depth ----

// Removals leave a depth that is too large. Counted anew only where it would refuse something.
static uint16_t depth_renew(struct val *v)
{
    if (v->depth == 0)
        return 0;
    size_t at = 0;
    struct bytes key;
    struct val *item;
    unsigned deepest = 0;
    while (val_each(v, &at, &key, &item)) {
        unsigned depth = depth_renew(item);
        deepest = depth > deepest ? depth : deepest;
    }
    return v->depth = (uint16_t)(deepest + 1);
}

bool val_deepen(struct val *v, struct val *item)
{
    if (item->depth >= DEPTH_MAX && depth_renew(item) >= DEPTH_MAX)
        return false;
    if (item->depth >= v->depth)
        v->depth = (uint16_t)(item->depth + 1);
    return true;
}

unsigned val_depth(const struct val *v)
{
    return v ? v->depth : 0;
}

// ---- arrays ----

struct val *val_arr_room(size_t n)
{
    if (n > UINT32_MAX / 2)
        return NULL;
    struct val_arr *a = mem_alloc(sizeof *a + n * sizeof(struct val *));
    if (!a)
        return NULL;
    a->v = (struct val){.refs = 1, .kind = JSON_ARR, .depth = 1};
    a->n = 0;
    a->cap = (uint32_t)n;
    a->items = a->first;
    return &a->v;
}

struct val *val_arr(void)
{
    return val_arr_room(2);
}

static bool arr_grow(struct val_arr *a)
{
    if (a->cap > UINT32_MAX / 4)
        return false;
    uint32_t cap = a->cap < 4 ? 8 : a->cap * 2;
    struct val **items = mem_realloc(a->items == a->first ? NULL : a->items, cap * sizeof *items);
    if (!items)
        return false;
    if (a->items == a->first)
        memcpy(items, a->first, a->n * sizeof *items);
    a->items = items;
    a->cap = cap;
    return true;
}

struct val *val_slice(const struct val *arr, size_t from, size_t to)
{
    const struct val_arr *a = val_as_arr(arr);
    struct val *copy = val_arr_room(to - from);
    if (!copy)
        return NULL;
    struct val_arr *b = val_as_arr(copy);
    for (size_t i = from; i < to; i++)
        b->items[b->n++] = val_keep(a->items[i]);
    copy->depth = a->v.depth;
    return copy;
}

// The array to change: itself when it has one owner, else a copy. Takes arr.
static struct val *arr_own(struct val *arr, size_t more)
{
    if (val_sole(arr))
        return arr;
    const struct val_arr *a = val_as_arr(arr);
    struct val *copy = val_arr_room(a->n + more);
    if (copy) {
        struct val_arr *b = val_as_arr(copy);
        for (uint32_t i = 0; i < a->n; i++)
            b->items[i] = val_keep(a->items[i]);
        b->n = a->n;
        copy->depth = arr->depth;
    }
    val_unref(arr);
    return copy;
}

static struct val *refuse(struct val *a, struct val *b)
{
    val_unref(a);
    val_unref(b);
    return NULL;
}

struct val *val_set_at(struct val *takes_arr, size_t i, struct val *takes_item)
{
    if (!takes_arr || !takes_item || takes_arr->kind != JSON_ARR || i > val_as_arr(takes_arr)->n)
        return refuse(takes_arr, takes_item);
    struct val *arr = arr_own(takes_arr, 1);
    if (!arr || !val_deepen(arr, takes_item))
        return refuse(arr, takes_item);
    struct val_arr *a = val_as_arr(arr);
    if (i == a->n) {
        if (a->n == a->cap && !arr_grow(a))
            return refuse(arr, takes_item);
        a->n++;
    } else {
        val_unref(a->items[i]);
    }
    a->items[i] = takes_item;
    return arr;
}

struct val *val_push(struct val *takes_arr, struct val *takes_item)
{
    return val_set_at(takes_arr, val_len(takes_arr), takes_item);
}

struct val *val_lift_at(struct val *arr, size_t i)
{
    struct val_arr *a = val_as_arr(arr);
    struct val *item = a->items[i];
    a->items[i] = &val_null_;
    return item;
}

// ---- reading ----

enum json_kind val_kind(const struct val *v)
{
    return v ? (enum json_kind)v->kind : JSON_NULL;
}

bool val_is(const struct val *v, enum json_kind kind)
{
    return v && v->kind == kind;
}

bool val_truthy(const struct val *v)
{
    return v && v->kind != JSON_NULL && v != &val_false_;
}

bool val_bool_of(const struct val *v, bool fallback)
{
    return val_is(v, JSON_BOOL) ? v->sub : fallback;
}

bool val_is_int(const struct val *v)
{
    return val_is(v, JSON_NUM) && (!v->sub || floor(val_as_num(v)->d) == val_as_num(v)->d);
}

int64_t val_i64(const struct val *v, int64_t fallback)
{
    if (!val_is(v, JSON_NUM))
        return fallback;
    if (!v->sub)
        return val_as_num(v)->i;
    double d = val_as_num(v)->d; // 2^63 is the first double out of range above
    return floor(d) == d && d >= -0x1p63 && d < 0x1p63 ? (int64_t)d : fallback;
}

double val_dbl(const struct val *v, double fallback)
{
    return val_is(v, JSON_NUM) ? val_d(v) : fallback;
}

struct bytes val_bytes(const struct val *v)
{
    if (!val_is(v, JSON_STR))
        return BYTES_NONE;
    return (struct bytes){val_as_str(v)->p, val_as_str(v)->n};
}

const char *val_text(const struct val *v, const char *fallback)
{
    return val_is(v, JSON_STR) ? val_as_str(v)->p : fallback;
}

size_t val_len(const struct val *v)
{
    if (val_is(v, JSON_ARR))
        return val_as_arr(v)->n;
    return val_is(v, JSON_OBJ) ? val_as_obj(v)->n : 0;
}

struct val *val_at(const struct val *v, size_t i)
{
    if (i >= val_len(v))
        return NULL;
    return v->kind == JSON_ARR ? val_as_arr(v)->items[i] : val_as_obj(v)->members[i].value;
}

bool val_each(const struct val *v, size_t *at, struct bytes *ret_key, struct val **ret_value)
{
    if (*at >= val_len(v))
        return false;
    size_t i = (*at)++;
    if (v->kind == JSON_ARR) {
        *ret_key = BYTES_NONE;
        *ret_value = val_as_arr(v)->items[i];
        return true;
    }
    const struct val_member *m = &val_as_obj(v)->members[i];
    *ret_key = (struct bytes){m->key->p, m->key->n};
    *ret_value = m->value;
    return true;
}

struct val *val_ptr(const struct val *v, struct bytes pointer)
{
    char key[256];
    const struct val *at = v ? v : &val_null_;
    while (at && pointer.n > 0) {
        if (pointer.p[0] != '/')
            return NULL;
        pointer = bytes_from(pointer, 1);
        ptrdiff_t end = bytes_chr(pointer, '/');
        struct bytes part = end < 0 ? pointer : bytes_first(pointer, (size_t)end);
        pointer = bytes_from(pointer, part.n);
        uint64_t i;
        if (at->kind == JSON_ARR) {
            bool good = bytes_u64(part, &i) && (part.n == 1 || part.p[0] != '0');
            at = good ? val_at(at, i) : NULL;
            continue;
        }
        size_t n = 0;
        bool escaped = bytes_chr(part, '~') >= 0;
        for (size_t k = 0; escaped && k < part.n; k++, n++) {
            bool tilde = part.p[k] == '~';
            if (n == sizeof key ||
                (tilde && (k + 1 == part.n || part.p[k + 1] < '0' || part.p[k + 1] > '1')))
                return NULL;
            key[n] = tilde ? (part.p[++k] == '0' ? '~' : '/') : part.p[k];
        }
        at = val_get(at, escaped ? (struct bytes){key, n} : part);
    }
    return (struct val *)(uintptr_t)at;
}

size_t val_size(const struct val *v)
{
    size_t at = 0, sum = sizeof(struct val_num);
    struct bytes key;
    struct val *item;
    if (val_is(v, JSON_STR))
        return sizeof(struct val_str) + val_as_str(v)->n + 1;
    if (val_is(v, JSON_ARR))
        sum = sizeof(struct val_arr) + val_as_arr(v)->cap * sizeof(struct val *);
    if (val_is(v, JSON_OBJ))
        sum = sizeof(struct val_obj) + val_as_obj(v)->cap * sizeof(struct val_member) +
              (val_as_obj(v)->slots ? (val_as_obj(v)->mask + (size_t)1) * sizeof(uint32_t) : 0);
    while (val_each(v, &at, &key, &item))
        sum += val_size(item) + (key.p ? sizeof(struct val_str) + key.n + 1 : 0);
    return sum;
}
