// yaml_scalar.c: what a scalar means: the core schema of YAML 1.2 (section 10.3).
// SPDX-License-Identifier: Apache-2.0
#include "text/json_priv.h"
#include "text/yaml_priv.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TAG "tag:yaml.org,2002:"
#define FLOAT_MAX 400 // characters of a float

static bool is_null(struct bytes s)
{
    return s.n == 0 || bytes_is(s, "~") || bytes_is(s, "null") || bytes_is(s, "Null") ||
           bytes_is(s, "NULL");
}

static bool is_true(struct bytes s)
{
    return bytes_is(s, "true") || bytes_is(s, "True") || bytes_is(s, "TRUE");
}

static bool is_false(struct bytes s)
{
    return bytes_is(s, "false") || bytes_is(s, "False") || bytes_is(s, "FALSE");
}

static size_t run_of_digits(struct bytes s)
{
    size_t n = 0;
    while (n < s.n && s.p[n] >= '0' && s.p[n] <= '9')
        n++;
    return n;
}

// 0x1F and 0o17; false: not of this form.
static bool based(struct bytes s, uint64_t *ret, bool *ret_fits)
{
    unsigned base = bytes_starts(s, BYTES("0x")) ? 16 : bytes_starts(s, BYTES("0o")) ? 8 : 0;
    if (base == 0 || s.n < 3)
        return false;
    uint64_t value = 0;
    *ret_fits = true;
    for (size_t i = 2; i < s.n; i++) {
        char c = s.p[i];
        unsigned d = 99;
        if (c >= '0' && c <= '9')
            d = (unsigned)(c - '0');
        else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
            d = (unsigned)((c | 0x20) - 'a') + 10;
        if (d >= base)
            return false;
        if (value > (UINT64_MAX - d) / base)
            *ret_fits = false;
        value = value * base + d;
    }
    *ret = value;
    return true;
}

static bool is_int(struct bytes s)
{
    if (s.n > 0 && (s.p[0] == '-' || s.p[0] == '+'))
        s = bytes_from(s, 1);
    return s.n > 0 && run_of_digits(s) == s.n;
}

static bool is_float(struct bytes s)
{
    if (s.n > 0 && (s.p[0] == '-' || s.p[0] == '+'))
        s = bytes_from(s, 1);
    size_t whole = run_of_digits(s), fraction = 0;
    s = bytes_from(s, whole);
    if (s.n > 0 && s.p[0] == '.') {
        s = bytes_from(s, 1);
        fraction = run_of_digits(s);
        s = bytes_from(s, fraction);
    }
    if (whole + fraction == 0)
        return false;
    if (s.n > 0 && (s.p[0] | 0x20) == 'e') {
        s = bytes_from(s, 1);
        if (s.n > 0 && (s.p[0] == '-' || s.p[0] == '+'))
            s = bytes_from(s, 1);
        size_t digits = run_of_digits(s);
        return digits > 0 && digits == s.n;
    }
    return s.n == 0;
}

static bool is_special(struct bytes s) // .inf, .nan
{
    if (s.n > 0 && (s.p[0] == '-' || s.p[0] == '+'))
        s = bytes_from(s, 1);
    return bytes_is(s, ".inf") || bytes_is(s, ".Inf") || bytes_is(s, ".INF") ||
           bytes_is(s, ".nan") || bytes_is(s, ".NaN") || bytes_is(s, ".NAN");
}

static int put_int(struct buf *out, struct bytes s)
{
    bool minus = s.p[0] == '-';
    if (minus || s.p[0] == '+')
        s = bytes_from(s, 1);
    while (s.n > 1 && s.p[0] == '0')
        s = bytes_from(s, 1);
    if (minus)
        (void)buf_chr(out, '-');
    return buf_put(out, s);
}

static int put_float(struct buf *out, const struct yaml_node *n, struct err *e)
{
    char text[FLOAT_MAX + 1], shortest[JSON_REAL_MAX];
    if (n->value.n > FLOAT_MAX)
        return yaml_fail(n->pos, e, "a number of too many digits");
    memcpy(text, n->value.p, n->value.n);
    text[n->value.n] = '\0';
    double d = strtod(text, NULL);
    if (!isfinite(d))
        return yaml_fail(n->pos, e, "a number over the range of a double");
    int length = json_real_text(d, shortest);
    return length < 0 ? length : buf_add(out, shortest, (size_t)length);
}

// Returns 1 when written, 0 when the text has no such form.
static int put_number(struct buf *out, const struct yaml_node *n, bool ints, struct err *e)
{
    uint64_t value;
    bool fits;
    int rc;
    if (ints && based(n->value, &value, &fits)) {
        if (!fits)
            return yaml_fail(n->pos, e, "a number over 64 bits");
        rc = buf_u64(out, value);
    } else if (ints && is_int(n->value)) {
        rc = put_int(out, n->value);
    } else if (is_float(n->value)) {
        rc = put_float(out, n, e);
    } else if (is_special(n->value)) {
        return yaml_fail(n->pos, e, "JSON has no such number");
    } else {
        return 0;
    }
    return rc < 0 ? rc : 1;
}

static int put_tagged(struct buf *out, const struct yaml_node *n, struct bytes tag, struct err *e)
{
    struct bytes s = n->value;
    int rc = 0;
    if (bytes_is(tag, "str"))
        return buf_json_str(out, s);
    if (bytes_is(tag, "null") && is_null(s))
        return buf_str(out, "null");
    if (bytes_is(tag, "bool") && (is_true(s) || is_false(s)))
        return buf_str(out, is_true(s) ? "true" : "false");
    if (bytes_is(tag, "int") && (is_int(s) || !is_float(s)))
        rc = put_number(out, n, true, e);
    else if (bytes_is(tag, "float"))
        rc = put_number(out, n, false, e);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    return yaml_fail(n->pos, e, "the value does not fit its tag");
}

int yaml_put_scalar(struct buf *out, const struct yaml_node *n, struct err *e)
{
    if (bytes_is(n->tag, "!")) // "not specific": a string
        return buf_json_str(out, n->value);
    if (bytes_starts(n->tag, BYTES(TAG)))
        return put_tagged(out, n, bytes_from(n->tag, sizeof TAG - 1), e);
    if (n->tag.p)
        return yaml_fail(n->pos, e, "an unknown tag");
    if (!n->plain)
        return buf_json_str(out, n->value);
    if (is_null(n->value))
        return buf_str(out, "null");
    if (is_true(n->value) || is_false(n->value))
        return buf_str(out, is_true(n->value) ? "true" : "false");
    int rc = put_number(out, n, true, e);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    return buf_json_str(out, n->value);
}
