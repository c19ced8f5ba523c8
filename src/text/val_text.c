// val_text.c: values from JSON text and documents, and back.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "text/json_priv.h"
#include "text/val.h"
#include "text/val_priv.h"
#include <float.h>
#include <math.h>
#include <string.h>

// ---- in ----

static struct val *number_of(const struct json *v)
{
    struct json_num n = json_number(v);
    switch (n.kind) {
    case JSON_NUM_U64: return n.u <= INT64_MAX ? val_int((int64_t)n.u) : val_real(n.d);
    case JSON_NUM_I64: return val_int(n.i);
    case JSON_NUM_REAL:
    case JSON_NUM_RAW: break;
    }
    return val_num(n.d);
}

static struct val *array_of(const struct json *v)
{
    size_t n = json_len(v);
    struct val *arr = val_arr_room(n);
    const struct json *at = json_first(v);
    for (; arr && n > 0; n--, at = n ? json_next(at) : NULL)
        arr = val_push(arr, val_of_json(at));
    return arr;
}

static struct val *object_of(const struct json *v)
{
    size_t n = json_len(v);
    struct val *obj = val_obj_room(n);
    const struct json *key = json_first(v);
    while (obj && n > 0) {
        const struct json *value = json_value_of(key);
        obj = val_put(obj, json_str(key), val_of_json(value));
        key = --n ? json_next(value) : NULL;
    }
    return obj;
}

// Recursion is bounded by JSON_DEPTH_MAX.
struct val *val_of_json(const struct json *v)
{
    switch (json_kind(v)) {
    case JSON_NULL: return val_null();
    case JSON_BOOL: return val_bool(json_bool(v, false));
    case JSON_NUM: return number_of(v);
    case JSON_STR: return val_str(json_str(v));
    case JSON_ARR: return array_of(v);
    case JSON_OBJ: return object_of(v);
    }
    return NULL;
}

int val_parse(struct val **ret, struct bytes text, struct err *e)
{
    AUTO(json_doc) doc = NULL;
    int rc = json_parse(&doc, text, 0, e);
    if (rc < 0)
        return rc;
    struct val *v = val_of_json(json_root(doc));
    if (!v)
        return err_set(e, E_NOMEM, "no memory for the values of %zu bytes of JSON", text.n);
    *ret = v;
    return 0;
}

// ---- out ----

// As jq: plain digits while the number stays short, else with an exponent of two digits or more.
static size_t real_text(double d, char text[VAL_NUM_MAX])
{
    char digits[JSON_REAL_MAX];
    int point = 0;
    int n = json_real_digits(d, digits, &point);
    if (n < 0)
        return 0;
    size_t k = 0;
    if (signbit(d))
        text[k++] = '-';
    if (d == 0) {
        text[k++] = '0';
    } else if (point <= -4 || point > n + 15) {
        int exponent = point - 1;
        text[k++] = digits[0];
        if (n > 1)
            text[k++] = '.';
        for (int i = 1; i < n; i++)
            text[k++] = digits[i];
        text[k++] = 'e';
        text[k++] = exponent < 0 ? '-' : '+';
        exponent = exponent < 0 ? -exponent : exponent;
        if (exponent >= 100)
            text[k++] = (char)('0' + exponent / 100);
        text[k++] = (char)('0' + exponent / 10 % 10);
        text[k++] = (char)('0' + exponent % 10);
    } else {
        if (point <= 0) {
            text[k++] = '0';
            text[k++] = '.';
        }
        for (int i = point; i < 0; i++)
            text[k++] = '0';
        for (int i = 0; i < n || i < point; i++) {
            if (i == point && i > 0)
                text[k++] = '.';
            text[k++] = i < n ? digits[i] : '0';
        }
    }
    return k;
}

size_t val_num_text(const struct val *num, char text[VAL_NUM_MAX])
{
    if (num->sub) {
        double d = val_as_num(num)->d;
        if (isnan(d)) {
            memcpy(text, "null", 4);
            return 4;
        }
        return real_text(d > DBL_MAX ? DBL_MAX : d < -DBL_MAX ? -DBL_MAX : d, text);
    }
    int64_t i = val_as_num(num)->i;
    uint64_t u = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
    char reversed[VAL_NUM_MAX];
    size_t n = 0, k = 0;
    do {
        reversed[n++] = (char)('0' + u % 10);
        u /= 10;
    } while (u);
    if (i < 0)
        text[k++] = '-';
    while (n > 0)
        text[k++] = reversed[--n];
    return k;
}

// As buf_json_str, quicker for what needs no escape, and DEL is escaped, as jq does.
static void put_str(struct buf *out, struct bytes s)
{
    size_t plain = 0;
    while (plain < s.n) {
        unsigned char c = (unsigned char)s.p[plain];
        if (c < 0x20 || c == '"' || c == '\\' || c >= 0x7f)
            break;
        plain++;
    }
    char *p = plain == s.n ? buf_room(out, s.n + 2) : NULL;
    if (p) {
        p[0] = '"';
        if (s.n)
            memcpy(p + 1, s.p, s.n);
        p[s.n + 1] = '"';
        out->n += s.n + 2;
        return;
    }
    size_t from = out->n;
    (void)buf_json_str(out, s);
    if (out->failed || bytes_chr(s, 0x7f) < 0)
        return;
    size_t n = out->n - from;
    AUTO_MEM char *copy = mem_dup(out->p + from, n);
    if (!copy) {
        out->failed = E_NOMEM;
        return;
    }
    out->n = from;
    for (size_t i = 0; i < n; i++)
        (void)(copy[i] == 0x7f ? buf_str(out, "\\u007f") : buf_chr(out, copy[i]));
}

static void put_value(struct buf *out, const struct val *v, bool sorted);

static void put_members(struct buf *out, const struct val *v, bool sorted)
{
    const struct val_obj *o = val_as_obj(v);
    AUTO_MEM uint32_t *order = NULL;
    if (sorted && o->n > 1) {
        order = val_sorted(v);
        if (!order) {
            out->failed = E_NOMEM;
            return;
        }
    }
    (void)buf_chr(out, '{');
    for (uint32_t i = 0; i < o->n; i++) {
        const struct val_member *m = &o->members[order ? order[i] : i];
        if (i > 0)
            (void)buf_chr(out, ',');
        put_str(out, (struct bytes){m->key->p, m->key->n});
        (void)buf_chr(out, ':');
        put_value(out, m->value, sorted);
    }
    (void)buf_chr(out, '}');
}

// Recursion is bounded by JSON_DEPTH_MAX.
static void put_value(struct buf *out, const struct val *v, bool sorted)
{
    char number[VAL_NUM_MAX];
    switch (val_kind(v)) {
    case JSON_NULL: (void)buf_str(out, "null"); return;
    case JSON_BOOL: (void)buf_str(out, v->sub ? "true" : "false"); return;
    case JSON_NUM: (void)buf_add(out, number, val_num_text(v, number)); return;
    case JSON_STR: put_str(out, val_bytes(v)); return;
    case JSON_OBJ: put_members(out, v, sorted); return;
    case JSON_ARR: break;
    }
    const struct val_arr *a = val_as_arr(v);
    (void)buf_chr(out, '[');
    for (uint32_t i = 0; i < a->n && !out->failed; i++) {
        if (i > 0)
            (void)buf_chr(out, ',');
        put_value(out, a->items[i], sorted);
    }
    (void)buf_chr(out, ']');
}

int val_write(struct buf *out, const struct val *v)
{
    put_value(out, v, false);
    return out->failed;
}

int val_write_sorted(struct buf *out, const struct val *v)
{
    put_value(out, v, true);
    return out->failed;
}

int val_to_json(struct json_doc **ret, const struct val *v, struct err *e)
{
    struct buf out;
    buf_init(&out, SIZE_MAX / 4);
    int rc = val_write(&out, v);
    rc = rc < 0 ? err_set(e, rc, "no memory for a value as JSON")
                : json_parse(ret, buf_bytes(&out), 0, e);
    buf_fini(&out);
    return rc;
}

// ---- equality and order ----

static int num_cmp(const struct val *a, const struct val *b)
{
    if (!a->sub && !b->sub) {
        int64_t x = val_as_num(a)->i, y = val_as_num(b)->i;
        return x < y ? -1 : x > y;
    }
    double x = val_d(a), y = val_d(b);
    if (isnan(x)) // below all numbers, itself among them
        return -1;
    return x < y ? -1 : x == y ? 0 : 1;
}

static bool members_equal(const struct val_obj *a, const struct val_obj *b)
{
    for (uint32_t i = 0; i < a->n; i++) {
        struct bytes key = {a->members[i].key->p, a->members[i].key->n};
        const struct val_str *same = b->members[i].key; // mostly both have one order
        bool here = bytes_eq(key, (struct bytes){same->p, same->n});
        ptrdiff_t at = here ? (ptrdiff_t)i : val_find(b, key);
        if (at < 0 || !val_equal(a->members[i].value, b->members[at].value))
            return false;
    }
    return true;
}

bool val_equal(const struct val *a, const struct val *b)
{
    enum json_kind kind = val_kind(a);
    if (kind != val_kind(b))
        return false;
    switch (kind) {
    case JSON_NULL: return true;
    case JSON_BOOL: return a == b;
    case JSON_NUM: return num_cmp(a, b) == 0;
    case JSON_STR: return bytes_eq(val_bytes(a), val_bytes(b));
    case JSON_OBJ:
        return a == b || (val_len(a) == val_len(b) && members_equal(val_as_obj(a), val_as_obj(b)));
    case JSON_ARR: break;
    }
    if (val_len(a) != val_len(b))
        return false;
    for (size_t i = 0; i < val_len(a); i++)
        if (!val_equal(val_as_arr(a)->items[i], val_as_arr(b)->items[i]))
            return false;
    return true;
}

static struct bytes key_at(const struct val_obj *o, uint32_t i)
{
    return (struct bytes){o->members[i].key->p, o->members[i].key->n};
}

// First the sorted keys as arrays, then the values by key.
static int obj_cmp(const struct val_obj *a, const struct val_obj *b)
{
    AUTO_MEM uint32_t *x = val_sorted(&a->v), *y = val_sorted(&b->v);
    if (!x || !y)
        return 0;
    uint32_t n = a->n < b->n ? a->n : b->n;
    for (uint32_t i = 0; i < n; i++) {
        int order = bytes_cmp(key_at(a, x[i]), key_at(b, y[i]));
        if (order)
            return order;
    }
    if (a->n != b->n)
        return a->n < b->n ? -1 : 1;
    for (uint32_t i = 0; i < n; i++) {
        int order = val_cmp(a->members[x[i]].value, b->members[y[i]].value);
        if (order)
            return order;
    }
    return 0;
}

int val_cmp(const struct val *a, const struct val *b)
{
    enum json_kind kind = val_kind(a);
    if (kind != val_kind(b))
        return kind < val_kind(b) ? -1 : 1;
    switch (kind) {
    case JSON_NULL: return 0;
    case JSON_BOOL: return (int)a->sub - (int)b->sub;
    case JSON_NUM: return num_cmp(a, b);
    case JSON_STR: return bytes_cmp(val_bytes(a), val_bytes(b));
    case JSON_OBJ: return obj_cmp(val_as_obj(a), val_as_obj(b));
    case JSON_ARR: break;
    }
    size_t n = val_len(a) < val_len(b) ? val_len(a) : val_len(b);
    for (size_t i = 0; i < n; i++) {
        int order = val_cmp(val_as_arr(a)->items[i], val_as_arr(b)->items[i]);
        if (order)
            return order;
    }
    return val_len(a) == val_len(b) ? 0 : val_len(a) < val_len(b) ? -1 : 1;
}
