// jq_format.c: values as text: @json, @csv, @base64 and the like.
// SPDX-License-Identifier: Apache-2.0
#include "text/jq_priv.h"
#include <string.h>

static struct val *drop(struct val *v)
{
    val_unref(v);
    return NULL;
}

struct val *jq_tojson(struct jq_run *x, struct val *v)
{
    struct buf out;
    buf_init(&out, x->bytes + 64);
    (void)val_write(&out, v);
    val_unref(v);
    return jq_buf(x, &out);
}

struct val *jq_tostring(struct jq_run *x, struct val *v)
{
    return v->kind == JSON_STR ? v : jq_tojson(x, v);
}

// ---- rows ----

// A string with some of its characters written otherwise: to[i] for from[i].
static void put_mapped(struct buf *out, struct bytes s, const char *from, const char *const *to)
{
    for (size_t i = 0; i < s.n; i++) {
        const char *at = s.p[i] ? strchr(from, s.p[i]) : NULL;
        if (at)
            (void)buf_str(out, to[at - from]);
        else
            (void)buf_chr(out, s.p[i]);
    }
}

static void put_cell(struct buf *out, const struct val *v, enum jq_format f)
{
    static const char *const doubled[] = {"\"\""};
    static const char *const escaped[] = {"\\t", "\\r", "\\n", "\\\\"};
    static const char *const quoted[] = {"'\\''"};
    if (v->kind == JSON_STR && f == FORMAT_TSV) {
        put_mapped(out, val_bytes(v), "\t\r\n\\", escaped);
    } else if (v->kind == JSON_STR) {
        const char *quote = f == FORMAT_CSV ? "\"" : "'";
        (void)buf_str(out, quote);
        put_mapped(out, val_bytes(v), quote, f == FORMAT_CSV ? doubled : quoted);
        (void)buf_str(out, quote);
    } else if (v->kind != JSON_NULL || f == FORMAT_SH) {
        (void)val_write(out, v);
    }
}

static struct val *row(struct jq_run *x, enum jq_format f, struct val *v)
{
    char text[JQ_SHORT];
    bool sh = f == FORMAT_SH, list = v->kind == JSON_ARR;
    if (!list && !sh) {
        (void)jq_fail(x, "%s (%s) cannot be %s-formatted, only an array can be", jq_kind_name(v),
                      jq_short(v, text), f == FORMAT_CSV ? "csv" : "tsv");
        return drop(v);
    }
    struct buf out;
    buf_init(&out, x->bytes + 64);
    for (size_t i = 0; i < (list ? val_len(v) : 1); i++) {
        const struct val *cell = list ? val_at(v, i) : v;
        if (i > 0)
            (void)buf_str(&out, f == FORMAT_CSV ? "," : sh ? " " : "\t");
        if (cell->kind == JSON_ARR || cell->kind == JSON_OBJ) {
            (void)jq_fail(x,
                          sh ? "%s (%s) can not be escaped for shell"
                             : "%s (%s) is not valid in a csv row",
                          jq_kind_name(cell), jq_short(cell, text));
            buf_fini(&out);
            return drop(v);
        }
        put_cell(&out, cell, f);
    }
    val_unref(v);
    return jq_buf(x, &out);
}

// ---- text ----

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void put_base64(struct buf *out, struct bytes s)
{
    for (size_t i = 0; i < s.n; i += 3) {
        unsigned word = 0;
        size_t n = s.n - i < 3 ? s.n - i : 3;
        for (size_t k = 0; k < 3; k++)
            word = word << 8 | (k < n ? (unsigned char)s.p[i + k] : 0);
        for (size_t k = 0; k < 4; k++)
            (void)buf_chr(out, k <= n ? base64_digits[word >> (18 - 6 * k) & 63] : '=');
    }
}

// As jq: signs that are no digits end it; false: nothing at all could be read.
static bool get_base64(struct buf *out, struct bytes s)
{
    unsigned word = 0, bits = 0;
    size_t digits = 0;
    for (size_t i = 0; i < s.n && s.p[i] != '='; i++) {
        const char *at = s.p[i] ? strchr(base64_digits, s.p[i]) : NULL;
        if (!at)
            return false;
        word = word << 6 | (unsigned)(at - base64_digits);
        bits += 6;
        digits++;
        if (bits >= 8) {
            bits -= 8;
            (void)buf_chr(out, (char)(word >> bits & 0xFF));
        }
    }
    return digits != 1 && (digits > 0 || s.n == 0);
}

static void put_uri(struct buf *out, struct bytes s)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     (c && strchr("-_.~", c));
        if (plain) {
            (void)buf_chr(out, (char)c);
        } else {
            (void)buf_chr(out, '%');
            (void)buf_chr(out, hex[c >> 4]);
            (void)buf_chr(out, hex[c & 15]);
        }
    }
}

// What is not UTF-8 becomes U+FFFD.
static struct val *text_of_bytes(struct jq_run *x, struct buf *takes)
{
    if (bytes_is_utf8(buf_bytes(takes)))
        return jq_buf(x, takes);
    struct buf quoted;
    struct val *v = NULL;
    buf_init(&quoted, x->bytes + 64);
    (void)buf_json_str(&quoted, buf_bytes(takes));
    buf_fini(takes);
    int rc = quoted.failed ? quoted.failed : val_parse(&v, buf_bytes(&quoted), NULL);
    buf_fini(&quoted);
    return rc < 0 ? jq_stop(x, rc == E_TOOBIG ? E_TOOBIG : E_NOMEM) : v;
}

struct val *jq_format(struct jq_run *x, enum jq_format f, struct val *v)
{
    static const char *const html[] = {"&lt;", "&gt;", "&amp;", "&apos;", "&quot;"};
    char text[JQ_SHORT];
    if (f == FORMAT_JSON)
        return jq_tojson(x, v);
    if (f == FORMAT_CSV || f == FORMAT_TSV || f == FORMAT_SH)
        return row(x, f, v);
    v = jq_tostring(x, v);
    if (!v || f == FORMAT_TEXT)
        return v;
    struct buf out;
    buf_init(&out, x->bytes + 64);
    bool good = true;
    if (f == FORMAT_HTML)
        put_mapped(&out, val_bytes(v), "<>&'\"", html);
    else if (f == FORMAT_URI)
        put_uri(&out, val_bytes(v));
    else if (f == FORMAT_BASE64)
        put_base64(&out, val_bytes(v));
    else
        good = get_base64(&out, val_bytes(v));
    if (!good)
        (void)jq_fail(x, "%s (%s) is not valid base64 data", jq_kind_name(v), jq_short(v, text));
    val_unref(v);
    if (good)
        return f == FORMAT_BASE64D ? text_of_bytes(x, &out) : jq_buf(x, &out);
    buf_fini(&out);
    return NULL;
}
