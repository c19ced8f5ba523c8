// json.c: parsing and reading JSON documents, over yyjson.
// A small document is one heap block: struct json_doc, the text (strings are unescaped in place),
// the values. A large one keeps its values in a block of their own, which may grow.
// SPDX-License-Identifier: Apache-2.0
#include "text/json.h"
#include "base/alloc.h"
#include "text/json_priv.h"
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

// Texts up to this size get their values in the same block.
#define ONE_BLOCK_MAX ((size_t)64 * 1024)
// yyjson guesses one value for 6 bytes of text and grows by half; 3 covers nearly all real bodies.
#define TEXT_PER_VALUE 3
#define VALUES_EXTRA 24 // room for yyjson's own header and its slack
#define PADDING 8       // NUL bytes behind the text that the parser may read

struct json_doc {
    const yyjson_val *root;
    char *text;       // the copy of the source, unescaped in place
    char *inner;      // values inside this block ...
    size_t inner_max; // ... and their room in bytes
    void *outer;      // values in a block of their own, or NULL
};

// ---- memory for yyjson ----

static void *doc_malloc(void *arg, size_t size)
{
    struct json_doc *doc = arg;
    assert(!doc->outer); // the parser asks once, then grows
    if (size <= doc->inner_max)
        return doc->inner;
    doc->outer = mem_alloc(size);
    return doc->outer;
}

static void *doc_realloc(void *arg, void *p, size_t old_size, size_t size)
{
    struct json_doc *doc = arg;
    if (p == doc->outer) {
        void *bigger = mem_realloc(p, size);
        if (bigger)
            doc->outer = bigger;
        return bigger;
    }
    if (size <= doc->inner_max)
        return p;
    doc->outer = mem_alloc(size);
    if (doc->outer)
        memcpy(doc->outer, p, old_size);
    return doc->outer;
}

static void doc_release(void *arg, void *p)
{
    (void)arg; // json_free knows both blocks
    (void)p;
}

// ---- after the parse: depth and duplicate keys ----

static int fail_at(struct bytes text, size_t at, struct err *e, const char *what)
{
    size_t line = 1, column = 1;
    for (size_t i = 0; i < at && i < text.n; i++) {
        if (text.p[i] == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)text.p[i] & 0xC0) != 0x80) {
            column++;
        }
    }
    return err_set(e, E_PARSE, "line %zu, column %zu (offset %zu): %s", line, column, at, what);
}

static int depth_check(const yyjson_doc *doc, struct err *e)
{
    const yyjson_val *ends[JSON_DEPTH_MAX];
    const yyjson_val *end = doc->root + doc->val_read;
    size_t depth = 0;
    for (yyjson_val *v = doc->root; v < end; v++) {
        while (depth > 0 && v >= ends[depth - 1])
            depth--;
        if (!unsafe_yyjson_is_ctn(v))
            continue;
        if (depth == JSON_DEPTH_MAX)
            return err_set(e, E_PARSE, "nested deeper than %d levels", JSON_DEPTH_MAX);
        ends[depth++] = unsafe_yyjson_get_next(v);
    }
    return 0;
}

static struct bytes text_of(const yyjson_val *v)
{
    return (struct bytes){v->uni.str, (size_t)(v->tag >> YYJSON_TAG_BIT)};
}

static int key_cmp(const void *a, const void *b)
{
    const yyjson_val *const *x = a, *const *y = b;
    int order = bytes_cmp(text_of(*x), text_of(*y));
    return order ? order : (*x < *y ? -1 : *x > *y);
}

static int duplicate(struct bytes text, const struct json_doc *doc, const yyjson_val *key,
                     struct err *e)
{
    struct bytes k = text_of(key);
    int code = fail_at(text, (size_t)(k.p - doc->text) - 1, e, "duplicate key");
    if (e) {
        struct bytes cut = bytes_first(k, 64);
        char where[ERR_TEXT_MAX];
        memcpy(where, e->text, sizeof where);
        (void)err_set(e, code, "%.200s \"%.*s\"", where, BYTES_FMT(cut));
    }
    return code;
}

#define FEW_KEYS 12 // so many are compared pair by pair

static int unique_in(struct bytes text, const struct json_doc *doc, yyjson_val *obj, struct err *e)
{
    size_t n = unsafe_yyjson_get_len(obj);
    yyjson_val *few[FEW_KEYS];
    AUTO_MEM yyjson_val **many = NULL;
    yyjson_val **keys = few;
    if (n > FEW_KEYS) {
        // NOLINTNEXTLINE(clang-analyzer-deadcode.DeadStores): its cleanup reads it
        keys = many = mem_array(n, sizeof *many);
        if (!keys)
            return err_set(e, E_NOMEM, "no memory for %zu keys", n);
    }
    yyjson_val *key = obj + 1;
    for (size_t i = 0; i < n; i++) {
        keys[i] = key;
        key = unsafe_yyjson_get_next(key + 1);
    }
    if (n > FEW_KEYS) {
        qsort(keys, n, sizeof *keys, key_cmp);
        for (size_t i = 1; i < n; i++)
            if (bytes_eq(text_of(keys[i - 1]), text_of(keys[i])))
                return duplicate(text, doc, keys[i], e);
        return 0;
    }
    for (size_t i = 1; i < n; i++)
        for (size_t j = 0; j < i; j++)
            if (bytes_eq(text_of(keys[i]), text_of(keys[j])))
                return duplicate(text, doc, keys[i], e);
    return 0;
}

static int unique_check(struct bytes text, const struct json_doc *doc, const yyjson_doc *parsed,
                        struct err *e)
{
    const yyjson_val *end = parsed->root + parsed->val_read;
    for (yyjson_val *v = parsed->root; v < end; v++) {
        if (unsafe_yyjson_get_type(v) != YYJSON_TYPE_OBJ)
            continue;
        int rc = unique_in(text, doc, v, e);
        if (rc < 0)
            return rc;
    }
    return 0;
}

// ---- documents ----

static struct json_doc *doc_new(struct bytes text)
{
    size_t head = (sizeof(struct json_doc) + 15) & ~(size_t)15;
    size_t values = 0;
    if (text.n <= ONE_BLOCK_MAX)
        values = (text.n / TEXT_PER_VALUE + VALUES_EXTRA) * sizeof(yyjson_val);
    if (text.n > SIZE_MAX - head - values - PADDING)
        return NULL;
    char *p = mem_alloc(head + values + text.n + PADDING);
    if (!p)
        return NULL;
    struct json_doc *doc = (struct json_doc *)(void *)p;
    *doc = (struct json_doc){
        .inner = p + head,
        .inner_max = values,
        .text = p + head + values,
    };
    if (text.n)
        memcpy(doc->text, text.p, text.n);
    memset(doc->text + text.n, 0, PADDING);
    return doc;
}

int json_parse(struct json_doc **ret_doc, struct bytes text, unsigned flags, struct err *e)
{
    AUTO(json_doc) doc = doc_new(text);
    if (!doc)
        return err_set(e, E_NOMEM, "no memory for %zu bytes of JSON", text.n);
    const yyjson_alc alc = {doc_malloc, doc_realloc, doc_release, doc};
    yyjson_read_err failure = {0};
    yyjson_doc *parsed = NULL;
    if (text.n == 0)
        return err_set(e, E_PARSE, "line 1, column 1 (offset 0): empty text");
    parsed = yyjson_read_opts(doc->text, text.n, YYJSON_READ_INSITU | YYJSON_READ_BIGNUM_AS_RAW,
                              &alc, &failure);
    if (!parsed && failure.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION)
        return err_set(e, E_NOMEM, "no memory for the values of %zu bytes of JSON", text.n);
    if (!parsed)
        return fail_at(text, failure.pos, e, failure.msg);
    doc->root = parsed->root;
    int rc = depth_check(parsed, e);
    if (rc == 0 && (flags & JSON_UNIQUE))
        rc = unique_check(text, doc, parsed, e);
    if (rc < 0)
        return rc;
    *ret_doc = steal(&doc);
    return 0;
}

void json_free(struct json_doc *doc)
{
    if (!doc)
        return;
    mem_free(doc->outer);
    mem_free(doc);
}

void json_doc_auto(struct json_doc **doc)
{
    json_free(*doc);
}

static const struct json *wrap(const yyjson_val *v)
{
    return (const struct json *)(const void *)v;
}

// yyjson's readers take pointers to non-const values but do not write through them.
static yyjson_val *val(const struct json *v)
{
    return (yyjson_val *)(uintptr_t)v;
}

const struct json *json_root(const struct json_doc *doc)
{
    return doc ? wrap(doc->root) : NULL;
}

// ---- readers ----

enum json_kind json_kind(const struct json *v)
{
    static const unsigned char kinds[8] = {
        [YYJSON_TYPE_NONE] = JSON_NULL, [YYJSON_TYPE_RAW] = JSON_NUM,
        [YYJSON_TYPE_NULL] = JSON_NULL, [YYJSON_TYPE_BOOL] = JSON_BOOL,
        [YYJSON_TYPE_NUM] = JSON_NUM,   [YYJSON_TYPE_STR] = JSON_STR,
        [YYJSON_TYPE_ARR] = JSON_ARR,   [YYJSON_TYPE_OBJ] = JSON_OBJ,
    };
    return v ? (enum json_kind)kinds[unsafe_yyjson_get_type(val(v))] : JSON_NULL;
}

bool json_is(const struct json *v, enum json_kind kind)
{
    return v && json_kind(v) == kind;
}

struct json_num json_number(const struct json *v)
{
    yyjson_val *y = val(v);
    struct json_num n = {.kind = JSON_NUM_REAL};
    if (unsafe_yyjson_get_type(y) == YYJSON_TYPE_RAW) {
        n.kind = JSON_NUM_RAW;
        n.raw = text_of(y);
        n.d = strtod(n.raw.p, NULL);
        return n;
    }
    switch (unsafe_yyjson_get_subtype(y)) {
    case YYJSON_SUBTYPE_UINT:
        n.kind = JSON_NUM_U64;
        n.u = y->uni.u64;
        n.d = (double)n.u;
        return n;
    case YYJSON_SUBTYPE_SINT:
        n.i = y->uni.i64;
        n.kind = n.i < 0 ? JSON_NUM_I64 : JSON_NUM_U64;
        n.u = n.i < 0 ? 0 : (uint64_t)n.i;
        n.d = (double)n.i;
        return n;
    default: n.d = y->uni.f64; return n;
    }
}

// A raw number is an integer when it has an exponent (it is over 1e308, so all its digits stand
// left of the point) or nothing but zeros behind the point.
static bool raw_is_int(struct bytes raw)
{
    ptrdiff_t point = bytes_chr(raw, '.');
    if (point < 0 || bytes_chr(raw, 'e') >= 0 || bytes_chr(raw, 'E') >= 0)
        return true;
    for (size_t i = (size_t)point + 1; i < raw.n; i++)
        if (raw.p[i] != '0')
            return false;
    return true;
}

bool json_is_int(const struct json *v)
{
    if (!json_is(v, JSON_NUM))
        return false;
    struct json_num n = json_number(v);
    if (n.kind == JSON_NUM_RAW)
        return raw_is_int(n.raw);
    return n.kind != JSON_NUM_REAL || floor(n.d) == n.d;
}

struct bytes json_raw_num(const struct json *v)
{
    if (!v || unsafe_yyjson_get_type(val(v)) != YYJSON_TYPE_RAW)
        return BYTES_NONE;
    return text_of(val(v));
}

bool json_bool(const struct json *v, bool fallback)
{
    return json_is(v, JSON_BOOL) ? unsafe_yyjson_get_bool(val(v)) : fallback;
}

int64_t json_i64(const struct json *v, int64_t fallback)
{
    if (!json_is(v, JSON_NUM))
        return fallback;
    struct json_num n = json_number(v);
    switch (n.kind) {
    case JSON_NUM_U64: return n.u <= INT64_MAX ? (int64_t)n.u : fallback;
    case JSON_NUM_I64: return n.i;
    case JSON_NUM_REAL: // 2^63 is the first double out of range above, -2^63 is in range
        return floor(n.d) == n.d && n.d >= -0x1p63 && n.d < 0x1p63 ? (int64_t)n.d : fallback;
    case JSON_NUM_RAW: break;
    }
    return fallback;
}

double json_num(const struct json *v, double fallback)
{
    return json_is(v, JSON_NUM) ? json_number(v).d : fallback;
}

struct bytes json_str(const struct json *v)
{
    return json_is(v, JSON_STR) ? text_of(val(v)) : BYTES_NONE;
}

const char *json_cstr(const struct json *v, const char *fallback)
{
    return json_is(v, JSON_STR) ? val(v)->uni.str : fallback;
}

size_t json_len(const struct json *v)
{
    return v && unsafe_yyjson_is_ctn(val(v)) ? unsafe_yyjson_get_len(val(v)) : 0;
}

const struct json *json_first(const struct json *v)
{
    return wrap(val(v) + 1);
}

const struct json *json_next(const struct json *v)
{
    return wrap(unsafe_yyjson_get_next(val(v)));
}

const struct json *json_value_of(const struct json *key)
{
    return wrap(val(key) + 1);
}

size_t json_index(const struct json *root, const struct json *v)
{
    return (size_t)(val(v) - val(root));
}

const struct json *json_at(const struct json *v, size_t i)
{
    if (json_kind(v) == JSON_ARR)
        return wrap(yyjson_arr_get(val(v), i));
    if (json_kind(v) != JSON_OBJ || i >= json_len(v))
        return NULL;
    const struct json *key = json_first(v);
    while (i-- > 0)
        key = json_next(json_value_of(key));
    return json_value_of(key);
}

const struct json *json_get_bytes(const struct json *v, struct bytes key)
{
    if (!json_is(v, JSON_OBJ))
        return NULL;
    const struct json *found = NULL;
    const struct json *at = json_first(v);
    for (size_t n = json_len(v); n > 0; n--) {
        const struct json *value = json_value_of(at);
        struct bytes k = text_of(val(at));
        if (k.n == key.n && (k.n == 0 || memcmp(k.p, key.p, k.n) == 0))
            found = value; // no early end: of equal keys the last one counts
        at = json_next(value);
    }
    return found;
}

const struct json *json_get(const struct json *v, const char *key)
{
    return json_get_bytes(v, bytes_of(key));
}

bool json_each(const struct json *v, struct json_iter *it, struct bytes *ret_key,
               const struct json **ret_value)
{
    if (it->i >= json_len(v))
        return false;
    const struct json *at = it->i == 0 ? json_first(v) : it->at;
    bool object = json_kind(v) == JSON_OBJ;
    const struct json *value = object ? json_value_of(at) : at;
    if (ret_key)
        *ret_key = object ? text_of(val(at)) : BYTES_NONE;
    if (ret_value)
        *ret_value = value;
    it->at = json_next(value);
    it->i++;
    return true;
}

// ---- pointers ----

// A key against an escaped reference token: ~0 is ~, ~1 is /.
static bool token_is(struct bytes token, struct bytes key)
{
    size_t k = 0;
    for (size_t i = 0; i < token.n; i++, k++) {
        char c = token.p[i];
        if (c == '~' && i + 1 < token.n && (token.p[i + 1] == '0' || token.p[i + 1] == '1'))
            c = token.p[++i] == '0' ? '~' : '/';
        if (k >= key.n || key.p[k] != c)
            return false;
    }
    return k == key.n;
}

static const struct json *step(const struct json *v, struct bytes token)
{
    if (json_kind(v) == JSON_ARR) {
        uint64_t i;
        if (!bytes_u64(token, &i) || (token.n > 1 && token.p[0] == '0') || i > SIZE_MAX)
            return NULL;
        return json_at(v, (size_t)i);
    }
    const struct json *found = NULL, *value;
    struct json_iter it = {0};
    struct bytes key;
    while (json_each(v, &it, &key, &value))
        if (token_is(token, key))
            found = value;
    return found;
}

const struct json *json_ptr(const struct json *v, struct bytes pointer)
{
    if (pointer.n > 0 && pointer.p[0] != '/')
        return NULL;
    struct bytes rest = bytes_from(pointer, 1);
    bool more = pointer.n > 0;
    while (more && v) {
        struct bytes token = bytes_cut(&rest, '/');
        more = rest.p != NULL;
        v = step(v, token);
    }
    return v;
}
