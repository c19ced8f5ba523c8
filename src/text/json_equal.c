// json_equal.c: order of numbers and equality of values, as JSON Schema has them.
// SPDX-License-Identifier: Apache-2.0
#include "text/json_priv.h"
#include <math.h>
#include <string.h>

static int cmp_real_u64(double d, uint64_t u)
{
    if (d < 0)
        return -1;
    if (d >= 0x1p64)
        return 1;
    uint64_t whole = (uint64_t)d;
    if (whole != u)
        return whole < u ? -1 : 1;
    return d > floor(d) ? 1 : 0;
}

static int cmp_real_i64(double d, int64_t i) // i is negative
{
    if (d >= 0)
        return 1;
    if (d < -0x1p63)
        return -1;
    int64_t whole = (int64_t)ceil(d);
    if (whole != i)
        return whole < i ? -1 : 1;
    return d < ceil(d) ? -1 : 0;
}

static int cmp_real(double a, double b)
{
    return a < b ? -1 : a > b;
}

// Two integers of any length as digits.
static int cmp_digits(struct bytes a, struct bytes b)
{
    bool minus = a.p[0] == '-';
    if (minus != (b.p[0] == '-'))
        return minus ? -1 : 1;
    int order = a.n != b.n ? (a.n < b.n ? -1 : 1) : memcmp(a.p, b.p, a.n);
    return minus ? -order : order;
}

static bool all_digits(struct bytes raw)
{
    return bytes_chr(raw, '.') < 0 && bytes_chr(raw, 'e') < 0 && bytes_chr(raw, 'E') < 0;
}

int json_num_cmp(const struct json_num *a, const struct json_num *b)
{
    if (a->kind == JSON_NUM_RAW && b->kind == JSON_NUM_RAW && all_digits(a->raw) &&
        all_digits(b->raw))
        return cmp_digits(a->raw, b->raw);
    // A raw number lies outside 64 bits. Against a double: as exact as a double is.
    if (a->kind == JSON_NUM_RAW && b->kind < JSON_NUM_REAL)
        return a->d < 0 ? -1 : 1;
    if (b->kind == JSON_NUM_RAW && a->kind < JSON_NUM_REAL)
        return b->d < 0 ? 1 : -1;
    if (a->kind == JSON_NUM_RAW || b->kind == JSON_NUM_RAW)
        return cmp_real(a->d, b->d);
    if (a->kind == JSON_NUM_REAL && b->kind == JSON_NUM_REAL)
        return cmp_real(a->d, b->d);
    if (a->kind == JSON_NUM_REAL)
        return b->kind == JSON_NUM_U64 ? cmp_real_u64(a->d, b->u) : cmp_real_i64(a->d, b->i);
    if (b->kind == JSON_NUM_REAL)
        return a->kind == JSON_NUM_U64 ? -cmp_real_u64(b->d, a->u) : -cmp_real_i64(b->d, a->i);
    if (a->kind != b->kind)
        return a->kind == JSON_NUM_I64 ? -1 : 1;
    if (a->kind == JSON_NUM_U64)
        return a->u < b->u ? -1 : a->u > b->u;
    return a->i < b->i ? -1 : a->i > b->i;
}

static bool spend(uint64_t *work)
{
    if (*work == 0)
        return false;
    (*work)--;
    return true;
}

static int equal_arrays(const struct json *a, const struct json *b, uint64_t *work)
{
    const struct json *x = json_first(a), *y = json_first(b);
    for (size_t n = json_len(a); n > 0; n--, x = json_next(x), y = json_next(y)) {
        int rc = json_equal_work(x, y, work);
        if (rc != 1)
            return rc;
    }
    return 1;
}

// Looks for each key of a in b, beginning where the last one was found: equal objects mostly have
// equal order, so that one step each is enough.
static int equal_objects(const struct json *a, const struct json *b, uint64_t *work)
{
    size_t n = json_len(a);
    const struct json *x = json_first(a), *y = json_first(b);
    size_t at = 0;
    for (size_t i = 0; i < n; i++, x = json_next(json_value_of(x))) {
        struct bytes key = json_str(x);
        bool found = false;
        for (size_t tries = 0; tries < n && !found; tries++) {
            if (!spend(work))
                return E_TOOBIG;
            found = bytes_eq(key, json_str(y));
            const struct json *value = json_value_of(y);
            if (found) {
                int rc = json_equal_work(json_value_of(x), value, work);
                if (rc != 1)
                    return rc;
            }
            y = ++at == n ? json_first(b) : json_next(value);
            at = at == n ? 0 : at;
        }
        if (!found)
            return 0;
    }
    return 1;
}

// Recursion is bounded by JSON_DEPTH_MAX.
int json_equal_work(const struct json *a, const struct json *b, uint64_t *work)
{
    if (!spend(work))
        return E_TOOBIG;
    enum json_kind kind = json_kind(a);
    if (kind != json_kind(b))
        return 0;
    switch (kind) {
    case JSON_NULL: return 1;
    case JSON_BOOL: return json_bool(a, false) == json_bool(b, false);
    case JSON_NUM: {
        struct json_num x = json_number(a), y = json_number(b);
        return json_num_cmp(&x, &y) == 0;
    }
    case JSON_STR: return bytes_eq(json_str(a), json_str(b));
    case JSON_ARR: return json_len(a) == json_len(b) ? equal_arrays(a, b, work) : 0;
    case JSON_OBJ: return json_len(a) == json_len(b) ? equal_objects(a, b, work) : 0;
    }
    return 0;
}

bool json_equal(const struct json *a, const struct json *b)
{
    if (!a || !b)
        return a == b;
    uint64_t work = UINT64_MAX;
    return json_equal_work(a, b, &work) == 1;
}
