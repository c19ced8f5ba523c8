// json_write.c: JSON out: the text of a parsed value, and a writer for new text.
// SPDX-License-Identifier: Apache-2.0
#include "text/json.h"
#include "text/json_priv.h"
#include <assert.h>
#include <math.h>
#include <string.h>
#include <yyjson.h>

// ---- numbers ----

// yyjson's writer gives the shortest digits that read back the same (Schubfach), into this pool.
#define POOL_BYTES 512

int json_real_text(double d, char text[JSON_REAL_MAX])
{
    assert(isfinite(d));
    char pool[POOL_BYTES];
    yyjson_alc alc;
    if (!yyjson_alc_pool_init(&alc, pool, sizeof pool))
        return E_NOMEM;
    yyjson_val v = {.tag = YYJSON_TYPE_NUM | YYJSON_SUBTYPE_REAL, .uni = {.f64 = d}};
    size_t n = 0;
    const char *written = yyjson_val_write_opts(&v, YYJSON_WRITE_NOFLAG, &alc, &n, NULL);
    if (!written || n >= JSON_REAL_MAX)
        return E_NOMEM;
    memcpy(text, written, n);
    return (int)n;
}

int json_real_digits(double d, char digits[JSON_REAL_MAX], int *ret_point)
{
    char text[JSON_REAL_MAX];
    int n = json_real_text(fabs(d), text);
    if (n < 0)
        return n;
    int count = 0, point = 0, exponent = 0;
    bool seen_point = false;
    int i = 0;
    for (; i < n && text[i] != 'e' && text[i] != 'E'; i++) {
        if (text[i] == '.') {
            seen_point = true;
            continue;
        }
        if (count == 0 && text[i] == '0') { // leading zero
            point -= seen_point;
            continue;
        }
        digits[count++] = text[i];
        point += !seen_point;
    }
    bool minus = i + 1 < n && text[i + 1] == '-';
    for (i++; i < n; i++)
        if (text[i] >= '0' && text[i] <= '9')
            exponent = exponent * 10 + (text[i] - '0');
    while (count > 1 && digits[count - 1] == '0')
        count--;
    if (count == 0)
        digits[count++] = '0';
    *ret_point = point + (minus ? -exponent : exponent);
    return count;
}

static int put_real(struct buf *out, double d)
{
    char text[JSON_REAL_MAX];
    if (!isfinite(d))
        return buf_str(out, "null");
    int n = json_real_text(d, text);
    return n < 0 ? n : buf_add(out, text, (size_t)n);
}

// ---- parsed values ----

static int put_scalar(struct buf *out, const struct json *v)
{
    switch (json_kind(v)) {
    case JSON_NULL: return buf_str(out, "null");
    case JSON_BOOL: return buf_str(out, json_bool(v, false) ? "true" : "false");
    case JSON_STR: return buf_json_str(out, json_str(v));
    case JSON_NUM: {
        struct json_num n = json_number(v);
        switch (n.kind) {
        case JSON_NUM_U64: return buf_u64(out, n.u);
        case JSON_NUM_I64: return buf_i64(out, n.i);
        case JSON_NUM_REAL: return put_real(out, n.d);
        case JSON_NUM_RAW: return buf_put(out, n.raw);
        }
        return E_INVALID;
    }
    case JSON_ARR:
    case JSON_OBJ: break;
    }
    return E_INVALID;
}

// Recursion is bounded by JSON_DEPTH_MAX.
int json_write(struct buf *out, const struct json *v)
{
    enum json_kind kind = json_kind(v);
    if (kind != JSON_ARR && kind != JSON_OBJ)
        return put_scalar(out, v);
    struct json_iter it = {0};
    struct bytes key;
    const struct json *value;
    (void)buf_chr(out, kind == JSON_OBJ ? '{' : '[');
    for (bool first = true; json_each(v, &it, &key, &value); first = false) {
        if (!first)
            (void)buf_chr(out, ',');
        if (kind == JSON_OBJ) {
            (void)buf_json_str(out, key);
            (void)buf_chr(out, ':');
        }
        int rc = json_write(out, value);
        if (rc < 0)
            return rc;
    }
    return buf_chr(out, kind == JSON_OBJ ? '}' : ']');
}

// ---- the writer ----

void json_w_init(struct json_w *w, struct buf *out)
{
    *w = (struct json_w){.out = out};
}

// What stands before each value: the comma and the key.
static void lead(struct json_w *w, const char *key)
{
    uint32_t bit = UINT32_C(1) << w->depth;
    bool in_object = w->depth > 0 && !(w->arrays & bit);
    assert(in_object == (key != NULL));
    assert(w->depth > 0 || !(w->has & bit)); // one root only
    if (w->has & bit)
        (void)buf_chr(w->out, ',');
    w->has |= bit;
    if (key) {
        (void)buf_json_str(w->out, bytes_of(key));
        (void)buf_chr(w->out, ':');
    }
}

static void nest(struct json_w *w, const char *key, bool array)
{
    lead(w, key);
    w->depth++;
    assert(w->depth < JSON_NEST_MAX);
    uint32_t bit = UINT32_C(1) << w->depth;
    w->has &= ~bit;
    w->arrays = array ? w->arrays | bit : w->arrays & ~bit;
    (void)buf_chr(w->out, array ? '[' : '{');
}

void json_w_obj(struct json_w *w, const char *key)
{
    nest(w, key, false);
}

void json_w_arr(struct json_w *w, const char *key)
{
    nest(w, key, true);
}

void json_w_end(struct json_w *w)
{
    assert(w->depth > 0);
    bool array = w->arrays & (UINT32_C(1) << w->depth);
    w->depth--;
    (void)buf_chr(w->out, array ? ']' : '}');
}

void json_w_str(struct json_w *w, const char *key, struct bytes v)
{
    lead(w, key);
    (void)buf_json_str(w->out, v);
}

void json_w_cstr(struct json_w *w, const char *key, const char *v)
{
    if (v)
        json_w_str(w, key, bytes_of(v));
    else
        json_w_null(w, key);
}

void json_w_i64(struct json_w *w, const char *key, int64_t v)
{
    lead(w, key);
    (void)buf_i64(w->out, v);
}

void json_w_u64(struct json_w *w, const char *key, uint64_t v)
{
    lead(w, key);
    (void)buf_u64(w->out, v);
}

void json_w_num(struct json_w *w, const char *key, double v)
{
    lead(w, key);
    if (v == floor(v) && fabs(v) < 0x1p53) // whole numbers without ".0"
        (void)buf_i64(w->out, (int64_t)v);
    else
        (void)put_real(w->out, v);
}

void json_w_bool(struct json_w *w, const char *key, bool v)
{
    lead(w, key);
    (void)buf_str(w->out, v ? "true" : "false");
}

void json_w_null(struct json_w *w, const char *key)
{
    lead(w, key);
    (void)buf_str(w->out, "null");
}

void json_w_raw(struct json_w *w, const char *key, struct bytes json_text)
{
    lead(w, key);
    (void)buf_put(w->out, json_text);
}

void json_w_val(struct json_w *w, const char *key, const struct json *v)
{
    lead(w, key);
    (void)json_write(w->out, v);
}
