// schema_array.c: the rules for arrays, strings and numbers.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "text/schema_priv.h"
#include <math.h>
#include <stdlib.h>

// ---- unique items ----

#define PAIRS_MAX 16 // up to so many items are compared pair by pair

// Equal values have equal hashes: numbers by their double, objects without order.
// Recursion is bounded by JSON_DEPTH_MAX.
static uint64_t mix(uint64_t h)
{
    h ^= h >> 33;
    h *= 0xff51afd7ed558ccdu; // MurmurHash3's finalizer
    h ^= h >> 33;
    h *= 0xc4ceb9fe1a85ec53u;
    return h ^ h >> 33;
}

static uint64_t hash_of(const struct json *v, uint64_t *work)
{
    enum json_kind kind = json_kind(v);
    uint64_t h = (uint64_t)kind + 1;
    if (*work > 0)
        (*work)--;
    switch (kind) {
    case JSON_NULL: return mix(h);
    case JSON_BOOL: return mix(h + 16 + json_bool(v, false));
    case JSON_NUM: {
        union {
            double d;
            uint64_t u;
        } bits = {.d = json_num(v, 0) + 0.0}; // -0 + 0 is 0
        return mix(h ^ bits.u);
    }
    case JSON_STR: return mix(h ^ bytes_hash(json_str(v)));
    case JSON_ARR:
    case JSON_OBJ: break;
    }
    struct json_iter it = {0};
    struct bytes key;
    const struct json *item;
    while (json_each(v, &it, &key, &item)) {
        uint64_t inner = hash_of(item, work);
        h = kind == JSON_ARR ? mix(h ^ inner) : h + mix(inner ^ mix(bytes_hash(key)));
    }
    return mix(h);
}

struct hashed {
    uint64_t hash;
    const struct json *item;
};

static int hashed_cmp(const void *a, const void *b)
{
    const struct hashed *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return x->item < y->item ? -1 : x->item > y->item;
}

static int unique_few(struct schema_run *r, const struct schema_node *n, const struct json *v)
{
    const struct json *item = json_first(v);
    for (size_t i = 0; i < json_len(v); i++, item = json_next(item)) {
        const struct json *other = json_first(v);
        for (size_t k = 0; k < i; k++, other = json_next(other)) {
            int rc = json_equal_work(item, other, &r->work);
            if (rc != 0)
                return rc < 0 ? rc : schema_fail(r, KW_UNIQUE_ITEMS, n, item, other);
        }
    }
    return 1;
}

static int unique_many(struct schema_run *r, const struct schema_node *n, const struct json *v)
{
    size_t count = json_len(v);
    AUTO_MEM struct hashed *all = mem_array(count, sizeof *all);
    if (!all)
        return E_NOMEM;
    const struct json *item = json_first(v);
    for (size_t i = 0; i < count; i++, item = json_next(item))
        all[i] = (struct hashed){hash_of(item, &r->work), item};
    if (r->work == 0)
        return E_TOOBIG;
    qsort(all, count, sizeof *all, hashed_cmp);
    for (size_t i = 1; i < count; i++)
        for (size_t k = i; k > 0 && all[k - 1].hash == all[i].hash; k--) {
            int rc = json_equal_work(all[k - 1].item, all[i].item, &r->work);
            if (rc != 0)
                return rc < 0 ? rc
                              : schema_fail(r, KW_UNIQUE_ITEMS, n, all[i].item, all[k - 1].item);
        }
    return 1;
}

// ---- arrays ----

static int check_contains(struct schema_run *r, const struct schema_node *n, const struct json *v,
                          struct schema_seen *seen)
{
    const struct schema_arr *a = n->arr;
    uint64_t found = 0;
    size_t i = 0;
    const struct json *item = json_first(v);
    for (; i < json_len(v); i++, item = json_next(item)) {
        int rc = schema_check_child(r, a->contains, item);
        if (rc < 0)
            return rc;
        if (rc == 1 && a->contains_marks)
            schema_seen_mark(seen, i);
        found += rc == 1;
        if (found > a->max_contains)
            return schema_fail(r, KW_MAX_CONTAINS, n, v, NULL);
        if (found >= a->min_contains && a->max_contains == UINT64_MAX && !seen)
            return 1;
    }
    if (found >= a->min_contains)
        return 1;
    return schema_fail(r, a->min_contains == 1 ? KW_CONTAINS : KW_MIN_CONTAINS, n, v, NULL);
}

int schema_check_arr(struct schema_run *r, const struct schema_node *n, const struct json *v,
                     struct schema_seen *seen)
{
    const struct schema_arr *a = n->arr;
    size_t count = json_len(v), i = 0;
    if (count < a->min || count > a->max)
        return schema_fail(r, count < a->min ? KW_MIN_ITEMS : KW_MAX_ITEMS, n, v, NULL);
    const struct json *item = json_first(v);
    for (; i < count && i < a->prefix_count; i++, item = json_next(item)) {
        int rc = schema_check_child(r, a->prefix[i], item);
        if (rc != 1)
            return rc;
        schema_seen_mark(seen, i);
    }
    if (a->items && seen && count > 0)
        seen->all = true;
    if (a->items && a->items->verdict == NODE_FALSE && i < count)
        return schema_fail(r, a->items_kw ? a->items_kw : KW_ITEMS, n, item, NULL);
    if (a->items && a->items->verdict == NODE_CHECK)
        for (; i < count; i++, item = json_next(item)) {
            int rc = schema_check_child(r, a->items, item);
            if (rc != 1)
                return rc;
        }
    if (a->unique && count > 1) {
        int rc = count <= PAIRS_MAX ? unique_few(r, n, v) : unique_many(r, n, v);
        if (rc != 1)
            return rc;
    }
    return a->contains ? check_contains(r, n, v, seen) : 1;
}

// ---- strings ----

static uint64_t code_points(struct bytes text)
{
    uint64_t n = 0;
    for (size_t i = 0; i < text.n; i++)
        n += ((unsigned char)text.p[i] & 0xC0) != 0x80;
    return n;
}

int schema_check_str(struct schema_run *r, const struct schema_node *n, const struct json *v)
{
    const struct schema_str *s = n->str;
    struct bytes text = json_str(v);
    // A code point has 1 to 4 bytes, so most lengths need no count.
    if (text.n / 4 < s->min || text.n > s->max) {
        uint64_t length = code_points(text);
        if (length < s->min || length > s->max)
            return schema_fail(r, length < s->min ? KW_MIN_LENGTH : KW_MAX_LENGTH, n, v, NULL);
    }
    if (s->pattern) {
        int rc = schema_pattern_match(s->pattern, text);
        if (rc != 1)
            return rc < 0 ? rc : schema_fail(r, KW_PATTERN, n, v, NULL);
    }
    if (s->format >= 0 && !schema_format_check(s->format, text))
        return schema_fail(r, KW_FORMAT, n, v, NULL);
    return 1;
}

// ---- numbers ----

// A number as its decimal digits (no zeros at the end) and a power of ten.
struct decimal {
    char digits[JSON_REAL_MAX];
    struct bytes all; // digits, or those of a longer integer
    int64_t power;
};

static int decimal_of(const struct json_num *n, struct decimal *ret)
{
    ret->power = 0;
    if (n->kind == JSON_NUM_RAW && !isinf(n->d)) { // digits only: an integer over 64 bits
        ret->all = bytes_from(n->raw, n->raw.p[0] == '-');
    } else if (n->kind == JSON_NUM_REAL) {
        int point, count = json_real_digits(n->d, ret->digits, &point);
        if (count < 0)
            return count;
        ret->all = (struct bytes){ret->digits, (size_t)count};
        ret->power = (int64_t)point - count;
    } else {
        uint64_t u = n->kind == JSON_NUM_U64 ? n->u : (uint64_t)0 - (uint64_t)n->i;
        size_t at = sizeof ret->digits;
        do
            ret->digits[--at] = (char)('0' + u % 10);
        while (u /= 10);
        ret->all = (struct bytes){ret->digits + at, sizeof ret->digits - at};
    }
    while (ret->all.n > 1 && ret->all.p[ret->all.n - 1] == '0') {
        ret->all.n--;
        ret->power++;
    }
    return 0;
}

static uint64_t mul_mod(uint64_t a, uint64_t b, uint64_t m)
{
    __extension__ unsigned __int128 wide = (unsigned __int128)a * b;
    return (uint64_t)(wide % m);
}

// Decimal arithmetic, as people read the digits: 0.0075 is a multiple of 0.0001.
// a = A 10^x and b = B 10^y, where neither A nor B ends in 0: a / b is whole when A 10^(x-y) is a
// multiple of B. With x < y it never is, since 10 does not divide A.
static int is_multiple(const struct json_num *value, const struct json_num *of)
{
    struct decimal a = {0}, b = {0};
    uint64_t divisor, rest = 0, ten = 10;
    if (value->d == 0)
        return 1;
    if (isinf(value->d))
        return 0;
    int rc = decimal_of(value, &a);
    if (rc == 0)
        rc = decimal_of(of, &b);
    if (rc < 0)
        return rc;
    if (!bytes_u64(b.all, &divisor) || divisor == 0)
        return fmod(value->d, of->d) == 0;
    if (a.power < b.power)
        return 0;
    for (size_t i = 0; i < a.all.n; i++)
        rest = (mul_mod(rest, 10, divisor) + (uint64_t)(a.all.p[i] - '0') % divisor) % divisor;
    ten %= divisor;
    for (uint64_t p = (uint64_t)(a.power - b.power); p > 0; p >>= 1) {
        if (p & 1)
            rest = mul_mod(rest, ten, divisor);
        ten = mul_mod(ten, ten, divisor);
    }
    return rest == 0;
}

int schema_check_num(struct schema_run *r, const struct schema_node *n, const struct json *v)
{
    const struct schema_num *g = n->num;
    struct json_num x = json_number(v);
    if (g->has_min && json_num_cmp(&x, &g->min) < 0)
        return schema_fail(r, KW_MINIMUM, n, v, NULL);
    if (g->has_max && json_num_cmp(&x, &g->max) > 0)
        return schema_fail(r, KW_MAXIMUM, n, v, NULL);
    if (g->has_above && json_num_cmp(&x, &g->above) <= 0)
        return schema_fail(r, KW_EXCLUSIVE_MINIMUM, n, v, NULL);
    if (g->has_below && json_num_cmp(&x, &g->below) >= 0)
        return schema_fail(r, KW_EXCLUSIVE_MAXIMUM, n, v, NULL);
    if (!g->has_multiple)
        return 1;
    int rc = is_multiple(&x, &g->multiple);
    return rc == 0 ? schema_fail(r, KW_MULTIPLE_OF, n, v, NULL) : rc;
}
