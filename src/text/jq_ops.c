// jq_ops.c: operators of jq on values, and how they fail.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "text/jq_priv.h"
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

// ---- failures and limits ----

struct val *jq_stop(struct jq_run *x, int code)
{
    if (x->flow != JQ_FAILED) { // the first failure is the one that counts
        val_unref(x->error);
        x->error = NULL;
        x->status = code;
        x->flow = JQ_FAILED;
    }
    return NULL;
}

struct val *jq_fail_val(struct jq_run *x, struct val *takes_message)
{
    if (!takes_message)
        return jq_stop(x, E_NOMEM);
    val_unref(x->error);
    x->error = takes_message;
    x->status = E_INVALID;
    x->flow = JQ_FAILED;
    return NULL;
}

struct val *jq_fail(struct jq_run *x, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return jq_fail_val(x, val_cstr(text));
}

bool jq_charge(struct jq_run *x, size_t bytes)
{
    if (bytes > x->bytes) {
        (void)jq_stop(x, E_TOOBIG);
        return false;
    }
    x->bytes -= bytes;
    return true;
}

const char *jq_kind_name(const struct val *v)
{
    static const char *const names[] = {"null", "boolean", "number", "string", "array", "object"};
    return names[v->kind];
}

// jq shows at most 14 bytes of a value in its messages.
const char *jq_short(const struct val *v, char out[JQ_SHORT])
{
    struct buf text;
    buf_init(&text, 4096);
    if (v->kind == JSON_STR)
        (void)buf_json_str(&text, bytes_first(val_bytes(v), 32));
    else
        (void)val_write(&text, v);
    size_t n = text.n < 14 ? text.n : 14;
    if (n > 0)
        memcpy(out, text.p, n);
    out[n] = 0;
    if (text.n > 14)
        memcpy(out + 11, "...", 4);
    buf_fini(&text);
    return out;
}

// ---- making ----

struct val *jq_num(struct jq_run *x, double n)
{
    if (!isfinite(n))
        x->not_finite = true;
    return jq_made(x, val_real(n));
}

struct val *jq_str(struct jq_run *x, struct bytes text)
{
    return jq_charge(x, text.n + 32) ? jq_made(x, val_str(text)) : NULL;
}

struct val *jq_buf(struct jq_run *x, struct buf *takes)
{
    struct val *v = takes->failed ? jq_stop(x, takes->failed) : jq_str(x, buf_bytes(takes));
    buf_fini(takes);
    return v;
}

static bool charge_copy(struct jq_run *x, const struct val *v)
{
    return val_sole(v) || jq_charge(x, 32 + val_len(v) * (v->kind == JSON_OBJ ? 16 : 8));
}

struct val *jq_push(struct jq_run *x, struct val *takes_arr, struct val *takes_item)
{
    if (charge_copy(x, takes_arr) && jq_charge(x, 16)) {
        // Too deep fails like no memory; both stop the run.
        struct val *v = val_push(takes_arr, takes_item);
        return v ? v : jq_stop(x, E_TOOBIG);
    }
    val_unref(takes_arr);
    val_unref(takes_item);
    return NULL;
}

struct val *jq_put(struct jq_run *x, struct val *takes_obj, struct val *takes_key,
                   struct val *takes_value)
{
    char text[JQ_SHORT];
    if (takes_key->kind != JSON_STR)
        (void)jq_fail(x, "Cannot use %s (%s) as object key", jq_kind_name(takes_key),
                      jq_short(takes_key, text));
    else if (charge_copy(x, takes_obj) && jq_charge(x, 32)) {
        struct val *v = val_put_key(takes_obj, takes_key, takes_value);
        return v ? v : jq_stop(x, E_TOOBIG);
    }
    val_unref(takes_obj);
    val_unref(takes_key);
    val_unref(takes_value);
    return NULL;
}

// ---- reading parts ----

static struct val *swap(struct val *of, struct val *part) // gives part, lets of go
{
    struct val *v = part ? val_keep(part) : val_null();
    val_unref(of);
    return v;
}

struct val *jq_field(struct jq_run *x, struct val *of, const struct val *name)
{
    if (of->kind == JSON_OBJ)
        return swap(of, val_get(of, val_bytes(name)));
    if (of->kind == JSON_NULL)
        return of;
    (void)jq_fail(x, "Cannot index %s with string \"%s\"", jq_kind_name(of), val_text(name, ""));
    val_unref(of);
    return NULL;
}

static struct val *indices_of(struct jq_run *x, struct val *of, struct val *part)
{
    struct val *list = jq_made(x, val_arr());
    size_t n = val_len(of), m = val_len(part);
    for (size_t i = 0; list && m > 0 && i + m <= n; i++) {
        size_t k = 0;
        while (k < m && val_equal(val_at(of, i + k), val_at(part, k)))
            k++;
        if (k == m)
            list = jq_push(x, list, jq_num(x, (double)i));
    }
    val_unref(of);
    val_unref(part);
    return list;
}

// The place that a number means in an array of n items; -1: none.
ptrdiff_t jq_place(double index, size_t n)
{
    if (isnan(index) || index >= (double)n || index < -(double)n)
        return -1;
    ptrdiff_t at = (ptrdiff_t)index;
    return index <= -1 ? at + (ptrdiff_t)n : at;
}

struct val *jq_index(struct jq_run *x, struct val *of, struct val *key)
{
    struct val *v = NULL;
    if (of->kind == JSON_OBJ && key->kind == JSON_STR) {
        v = swap(of, val_get(of, val_bytes(key)));
    } else if (of->kind == JSON_ARR && key->kind == JSON_NUM) {
        ptrdiff_t at = jq_place(val_d(key), val_len(of));
        v = swap(of, at < 0 ? NULL : val_at(of, (size_t)at));
    } else if (of->kind == JSON_NULL &&
               (key->kind == JSON_STR || key->kind == JSON_NUM || key->kind == JSON_OBJ)) {
        v = of;
    } else if (key->kind == JSON_OBJ && (of->kind == JSON_ARR || of->kind == JSON_STR)) {
        struct val *from = val_get_cstr(key, "start"), *to = val_get_cstr(key, "end");
        v = jq_slice(x, of, val_keep(from ? from : VAL_NULL), val_keep(to ? to : VAL_NULL));
    } else if (of->kind == JSON_ARR && key->kind == JSON_ARR) {
        return indices_of(x, of, key);
    } else {
        if (key->kind == JSON_STR && of->kind != JSON_OBJ)
            (void)jq_fail(x, "Cannot index %s with string \"%s\"", jq_kind_name(of),
                          val_text(key, ""));
        else
            (void)jq_fail(x, "Cannot index %s with %s", jq_kind_name(of), jq_kind_name(key));
        val_unref(of);
    }
    val_unref(key);
    return v;
}

// Where a slice of n items begins and ends. false: not numbers.
bool jq_slice_ends(const struct val *from, const struct val *to, size_t n, size_t *ret_from,
                   size_t *ret_to)
{
    double length = (double)n;
    if ((from && from->kind != JSON_NUM && from->kind != JSON_NULL) ||
        (to && to->kind != JSON_NUM && to->kind != JSON_NULL))
        return false;
    double a = val_dbl(from, 0), b = val_dbl(to, length);
    if (isnan(a))
        a = 0;
    if (isnan(b))
        b = length;
    a += a < 0 ? length : 0;
    b += b < 0 ? length : 0;
    a = a < 0 ? 0 : a > length ? length : a;
    b = b > length ? length : b < a ? a : b;
    *ret_from = (size_t)a;
    *ret_to = (size_t)ceil(b);
    return true;
}

size_t jq_points(struct bytes s) // code points
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += ((unsigned char)s.p[i] & 0xC0) != 0x80;
    return n;
}

static size_t byte_of_point(struct bytes s, size_t point)
{
    size_t i = 0;
    for (; i < s.n; i++)
        if (((unsigned char)s.p[i] & 0xC0) != 0x80 && point-- == 0)
            break;
    return i;
}

struct val *jq_slice(struct jq_run *x, struct val *of, struct val *from, struct val *to)
{
    size_t a = 0, b = 0;
    struct val *v = NULL;
    size_t n = of->kind == JSON_STR ? jq_points(val_bytes(of)) : val_len(of);
    if (of->kind == JSON_NULL)
        v = val_null();
    else if (of->kind != JSON_ARR && of->kind != JSON_STR)
        (void)jq_fail(x, "Cannot index %s with object", jq_kind_name(of));
    else if (!jq_slice_ends(from, to, n, &a, &b))
        (void)jq_fail(x, "Start and end indices of an array slice must be numbers");
    else if (of->kind == JSON_ARR)
        v = jq_charge(x, 32 + (b - a) * 8) ? jq_made(x, val_slice(of, a, b)) : NULL;
    else {
        struct bytes s = val_bytes(of);
        size_t i = byte_of_point(s, a), k = byte_of_point(s, b);
        v = jq_str(x, (struct bytes){s.p + i, k - i});
    }
    val_unref(of);
    val_unref(from);
    val_unref(to);
    return v;
}

// ---- arithmetic ----

static struct val *cannot(struct jq_run *x, struct val *a, struct val *b, const char *what)
{
    char left[JQ_SHORT], right[JQ_SHORT];
    (void)jq_fail(x, "%s (%s) and %s (%s) cannot be %s", jq_kind_name(a), jq_short(a, left),
                  jq_kind_name(b), jq_short(b, right), what);
    val_unref(a);
    val_unref(b);
    return NULL;
}

static struct val *done(struct val *a, struct val *b, struct val *result)
{
    val_unref(a);
    val_unref(b);
    return result;
}

// To a string with one owner, in place. Its room grows by powers of two, which sub tells: so that
// adding piece by piece costs what the pieces cost. Takes a.
static struct val *append(struct jq_run *x, struct val *a, struct bytes t)
{
    struct val_str *s = val_as_str(a);
    size_t need = s->n + t.n + 1;
    if (need > (a->sub ? (size_t)1 << a->sub : s->n + 1)) {
        uint8_t bits = 5;
        while ((size_t)1 << bits < need)
            bits++;
        s = mem_realloc(a, sizeof *s + ((size_t)1 << bits));
        if (!s)
            return done(a, NULL, jq_stop(x, E_NOMEM));
        s->v.sub = bits;
    }
    memcpy(s->p + s->n, t.p, t.n);
    s->n += t.n;
    s->p[s->n] = 0;
    return &s->v;
}

static struct val *add_strings(struct jq_run *x, struct val *a, struct val *b)
{
    struct bytes s = val_bytes(a), t = val_bytes(b);
    if (t.n == 0)
        return done(b, NULL, a);
    if (val_sole(a)) {
        if (jq_charge(x, t.n))
            a = append(x, a, t);
        else
            a = done(a, NULL, NULL);
        return done(b, NULL, a);
    }
    struct val *v = jq_charge(x, s.n + t.n + 32) ? jq_made(x, val_str_room(s.n + t.n)) : NULL;
    if (v) {
        memcpy(val_as_str(v)->p, s.p, s.n);
        memcpy(val_as_str(v)->p + s.n, t.p, t.n);
    }
    return done(a, b, v);
}

static struct val *add_all(struct jq_run *x, struct val *a, struct val *b)
{
    size_t n = val_len(b);
    if (b->kind == JSON_ARR) {
        for (size_t i = 0; i < n && a; i++)
            a = jq_push(x, a, val_keep(val_at(b, i)));
    } else {
        for (size_t i = 0; i < n && a; i++) {
            const struct val_member *m = &val_as_obj(b)->members[i];
            a = jq_put(x, a, val_keep(&m->key->v), val_keep(m->value));
        }
    }
    return done(b, NULL, a);
}

static struct val *add(struct jq_run *x, struct val *a, struct val *b)
{
    if (a->kind == JSON_NULL)
        return b;
    if (b->kind == JSON_NULL)
        return a;
    if (a->kind != b->kind || a->kind == JSON_BOOL)
        return cannot(x, a, b, "added");
    if (a->kind == JSON_NUM)
        return done(a, b, jq_num(x, val_d(a) + val_d(b)));
    return a->kind == JSON_STR ? add_strings(x, a, b) : add_all(x, a, b);
}

static struct val *subtract(struct jq_run *x, struct val *a, struct val *b)
{
    if (a->kind == JSON_NUM && b->kind == JSON_NUM)
        return done(a, b, jq_num(x, val_d(a) - val_d(b)));
    if (a->kind != JSON_ARR || b->kind != JSON_ARR)
        return cannot(x, a, b, "subtracted");
    struct val *v = jq_made(x, val_arr());
    for (size_t i = 0; v && i < val_len(a); i++) {
        bool there = false;
        for (size_t k = 0; k < val_len(b) && !there; k++)
            there = val_equal(val_at(a, i), val_at(b, k));
        if (!there)
            v = jq_push(x, v, val_keep(val_at(a, i)));
    }
    return done(a, b, v);
}

static struct val *merge(struct jq_run *x, struct val *a, struct val *b)
{
    for (size_t i = 0; i < val_len(b) && a; i++) {
        const struct val_member *m = &val_as_obj(b)->members[i];
        struct val *value = val_keep(m->value);
        struct val *old = val_get(a, (struct bytes){m->key->p, m->key->n});
        if (old && old->kind == JSON_OBJ && value->kind == JSON_OBJ)
            value = merge(x, val_keep(old), value);
        a = value ? jq_put(x, a, val_keep(&m->key->v), value) : done(a, NULL, NULL);
    }
    return done(b, NULL, a);
}

static struct val *repeat(struct jq_run *x, struct val *text, struct val *times)
{
    double n = val_d(times);
    struct bytes s = val_bytes(text);
    n = trunc(n);
    if (!(n > 0))
        return done(text, times, val_null());
    if (n * (double)(s.n + 1) > (double)x->bytes)
        return done(text, times, jq_stop(x, E_TOOBIG));
    struct buf out;
    buf_init(&out, x->bytes);
    for (size_t i = (size_t)n; i > 0 && s.n > 0; i--)
        (void)buf_put(&out, s);
    return done(text, times, jq_buf(x, &out));
}

static struct val *multiply(struct jq_run *x, struct val *a, struct val *b)
{
    if (a->kind == JSON_NUM && b->kind == JSON_NUM)
        return done(a, b, jq_num(x, val_d(a) * val_d(b)));
    if (a->kind == JSON_STR && b->kind == JSON_NUM)
        return repeat(x, a, b);
    if (a->kind == JSON_NUM && b->kind == JSON_STR)
        return repeat(x, b, a);
    if (a->kind == JSON_OBJ && b->kind == JSON_OBJ)
        return merge(x, a, b);
    return cannot(x, a, b, "multiplied");
}

struct val *jq_split(struct jq_run *x, struct bytes s, struct bytes by)
{
    struct val *v = jq_made(x, val_arr());
    if (s.n == 0)
        return v;
    while (v && by.n == 0 && s.n > 0) { // into code points
        size_t n = 1;
        while (n < s.n && ((unsigned char)s.p[n] & 0xC0) == 0x80)
            n++;
        struct val *part = jq_str(x, bytes_first(s, n));
        v = part ? jq_push(x, v, part) : done(v, NULL, NULL);
        s = bytes_from(s, n);
    }
    while (v && by.n > 0) {
        ptrdiff_t at = bytes_find(s, by);
        struct val *part = jq_str(x, at < 0 ? s : bytes_first(s, (size_t)at));
        v = part ? jq_push(x, v, part) : done(v, NULL, NULL);
        if (at < 0)
            break;
        s = bytes_from(s, (size_t)at + by.n);
    }
    return v;
}

static struct val *divide(struct jq_run *x, struct val *a, struct val *b)
{
    if (a->kind == JSON_NUM && b->kind == JSON_NUM) {
        if (val_d(b) == 0)
            return cannot(x, a, b, "divided because the divisor is zero");
        return done(a, b, jq_num(x, val_d(a) / val_d(b)));
    }
    if (a->kind == JSON_STR && b->kind == JSON_STR)
        return done(a, b, jq_split(x, val_bytes(a), val_bytes(b)));
    return cannot(x, a, b, "divided");
}

static intmax_t whole(double d)
{
    return d < -0x1p63 ? INTMAX_MIN : d >= 0x1p63 ? INTMAX_MAX : (intmax_t)d;
}

static struct val *modulo(struct jq_run *x, struct val *a, struct val *b)
{
    if (a->kind != JSON_NUM || b->kind != JSON_NUM)
        return cannot(x, a, b, "divided");
    if (isnan(val_d(a)) || isnan(val_d(b)))
        return done(a, b, jq_num(x, NAN));
    intmax_t n = whole(val_d(a)), by = whole(val_d(b));
    if (by == 0)
        return cannot(x, a, b, "divided (remainder) because the divisor is zero");
    uintmax_t u = n < 0 ? 0 - (uintmax_t)n : (uintmax_t)n;
    u %= by < 0 ? 0 - (uintmax_t)by : (uintmax_t)by;
    return done(a, b, jq_num(x, n < 0 ? -(double)u : (double)u));
}

struct val *jq_binary(struct jq_run *x, enum jq_bin op, struct val *a, struct val *b)
{
    bool truth = false;
    switch (op) {
    case BIN_ADD: return add(x, a, b);
    case BIN_SUB: return subtract(x, a, b);
    case BIN_MUL: return multiply(x, a, b);
    case BIN_DIV: return divide(x, a, b);
    case BIN_MOD: return modulo(x, a, b);
    case BIN_EQ: truth = val_equal(a, b); break;
    case BIN_NE: truth = !val_equal(a, b); break;
    case BIN_LT: truth = val_cmp(a, b) < 0; break;
    case BIN_LE: truth = val_cmp(a, b) <= 0; break;
    case BIN_GT: truth = val_cmp(a, b) > 0; break;
    case BIN_GE: truth = val_cmp(a, b) >= 0; break;
    }
    return done(a, b, val_bool(truth));
}
