// jcs.c: the canonical form of JSON, RFC 8785: no spaces, members sorted by UTF-16 code units,
// numbers as ECMAScript writes them.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "text/json.h"
#include "text/json_priv.h"
#include <math.h>
#include <stdlib.h>

// ---- numbers: ECMA-262, Number::toString ----

static int put_number(struct buf *out, double d)
{
    char digits[JSON_REAL_MAX];
    int point;
    if (d == 0)
        return buf_chr(out, '0'); // also -0
    int n = json_real_digits(d, digits, &point);
    if (n < 0)
        return n;
    if (d < 0)
        (void)buf_chr(out, '-');
    if (point > 0 && point <= 21) {
        for (int i = 0; i < point || i < n; i++) {
            if (i == point)
                (void)buf_chr(out, '.');
            (void)buf_chr(out, i < n ? digits[i] : '0');
        }
        return out->failed;
    }
    if (point > -6 && point <= 0) {
        (void)buf_str(out, "0.");
        for (int i = point; i < 0; i++)
            (void)buf_chr(out, '0');
        return buf_add(out, digits, (size_t)n);
    }
    (void)buf_chr(out, digits[0]);
    if (n > 1) {
        (void)buf_chr(out, '.');
        (void)buf_add(out, digits + 1, (size_t)n - 1);
    }
    return buf_fmt(out, "e%c%d", point > 0 ? '+' : '-', abs(point - 1));
}

// ---- strings: only what must be escaped is, in the shortest form ----

static int put_string(struct buf *out, struct bytes s)
{
    (void)buf_chr(out, '"');
    size_t from = 0;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        (void)buf_add(out, s.p + from, i - from);
        from = i + 1;
        (void)buf_chr(out, '\\');
        switch (c) {
        case '"':
        case '\\': (void)buf_chr(out, (char)c); break;
        case '\b': (void)buf_chr(out, 'b'); break;
        case '\t': (void)buf_chr(out, 't'); break;
        case '\n': (void)buf_chr(out, 'n'); break;
        case '\f': (void)buf_chr(out, 'f'); break;
        case '\r': (void)buf_chr(out, 'r'); break;
        default: (void)buf_fmt(out, "u%04x", c);
        }
    }
    (void)buf_add(out, s.p + from, s.n - from);
    return buf_chr(out, '"');
}

// ---- members ----

struct member {
    struct bytes key;
    const struct json *value;
    size_t at;
};

// UTF-16 order is UTF-8 order but for one thing: code points from U+10000 (lead byte F0 and up) are
// surrogates D800-DFFF in UTF-16, hence before U+E000-U+FFFF (lead bytes EE and EF).
static unsigned weight(unsigned char c)
{
    return c == 0xEE || c == 0xEF ? c + 0x10u : c;
}

static int member_cmp(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    size_t n = x->key.n < y->key.n ? x->key.n : y->key.n;
    for (size_t i = 0; i < n; i++) {
        unsigned cx = (unsigned char)x->key.p[i], cy = (unsigned char)y->key.p[i];
        if (cx != cy)
            return weight((unsigned char)cx) < weight((unsigned char)cy) ? -1 : 1;
    }
    if (x->key.n != y->key.n)
        return x->key.n < y->key.n ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

static int put_value(struct buf *out, const struct json *v, struct err *e);

static int put_object(struct buf *out, const struct json *v, struct err *e)
{
    size_t n = json_len(v);
    AUTO_MEM struct member *members = NULL;
    if (n > 0 && !(members = mem_array(n, sizeof *members)))
        return err_set(e, E_NOMEM, "no memory for %zu members", n);
    struct json_iter it = {0};
    for (size_t i = 0; i < n; i++) {
        (void)json_each(v, &it, &members[i].key, &members[i].value);
        members[i].at = i;
    }
    if (n > 1)
        qsort(members, n, sizeof *members, member_cmp);
    (void)buf_chr(out, '{');
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && bytes_eq(members[i - 1].key, members[i].key))
            return err_set(e, E_INVALID, "duplicate key \"%.*s\" has no canonical form",
                           BYTES_FMT(bytes_first(members[i].key, 64)));
        if (i > 0)
            (void)buf_chr(out, ',');
        (void)put_string(out, members[i].key);
        (void)buf_chr(out, ':');
        int rc = put_value(out, members[i].value, e);
        if (rc < 0)
            return rc;
    }
    return buf_chr(out, '}');
}

static int put_array(struct buf *out, const struct json *v, struct err *e)
{
    struct json_iter it = {0};
    const struct json *value;
    (void)buf_chr(out, '[');
    for (bool first = true; json_each(v, &it, NULL, &value); first = false) {
        if (!first)
            (void)buf_chr(out, ',');
        int rc = put_value(out, value, e);
        if (rc < 0)
            return rc;
    }
    return buf_chr(out, ']');
}

// Recursion is bounded by JSON_DEPTH_MAX.
static int put_value(struct buf *out, const struct json *v, struct err *e)
{
    switch (json_kind(v)) {
    case JSON_NULL: return buf_str(out, "null");
    case JSON_BOOL: return buf_str(out, json_bool(v, false) ? "true" : "false");
    case JSON_NUM: {
        double d = json_num(v, 0);
        if (!isfinite(d))
            return err_set(e, E_INVALID, "a number over the range of a double");
        return put_number(out, d);
    }
    case JSON_STR: // the parser has refused lone surrogates
        return put_string(out, json_str(v));
    case JSON_ARR: return put_array(out, v, e);
    case JSON_OBJ: return put_object(out, v, e);
    }
    return E_INVALID;
}

int json_canonical(struct buf *out, const struct json *v, struct err *e)
{
    int rc = put_value(out, v, e);
    if (rc >= 0 && out->failed)
        rc = out->failed;
    if (rc == E_TOOBIG || rc == E_NOMEM)
        return err_set(e, rc, "no room for the canonical form");
    return rc < 0 ? rc : 0;
}
