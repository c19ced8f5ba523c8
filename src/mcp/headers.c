// headers.c: header fields that mirror parts of a message (streamable HTTP, 2026-07-28), and the
// events of a stream. SPDX-License-Identifier: Apache-2.0
#include "mcp/mcp.h"

#include <string.h>

#define MARK "x-mcp-header"
#define MARKS_DEPTH_MAX 32 // levels of properties in which marks are looked for
#define MARKS_MAX 64
#define SAFE_INTEGER_MAX 9007199254740991LL

static const char open_mark[] = "=?base64?", close_mark[] = "?=";

// ---- base64 ------------------------------------------------------------------------------------

int mcp_base64(struct buf *out, struct bytes raw)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *to = buf_room(out, (raw.n + 2) / 3 * 4);
    if (!to)
        return out->failed;
    char *start = to;
    for (size_t i = 0; i < raw.n; i += 3) {
        size_t left = raw.n - i;
        uint32_t v = (uint32_t)(uint8_t)raw.p[i] << 16;
        if (left > 1)
            v |= (uint32_t)(uint8_t)raw.p[i + 1] << 8;
        if (left > 2)
            v |= (uint8_t)raw.p[i + 2];
        *to++ = digits[v >> 18];
        *to++ = digits[v >> 12 & 63];
        *to++ = left > 1 ? digits[v >> 6 & 63] : '=';
        *to++ = left > 2 ? digits[v & 63] : '=';
    }
    out->n += (size_t)(to - start);
    return 0;
}

static int digit_of(char c)
{
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '+'             ? 62
           : c == '/'             ? 63
                                  : -1;
}

int mcp_base64_decode(struct buf *out, struct bytes text, struct err *e)
{
    if (text.n % 4 != 0)
        return err_set(e, E_PARSE, "base64 comes in groups of four");
    for (size_t i = 0; i < text.n; i += 4) {
        size_t pad = i + 4 < text.n || text.p[i + 3] != '=' ? 0 : text.p[i + 2] == '=' ? 2 : 1;
        uint32_t v = 0;
        for (size_t k = 0; k < 4; k++) {
            int d = k >= 4 - pad ? 0 : digit_of(text.p[i + k]);
            if (d < 0)
                return err_set(e, E_PARSE, "no base64 digit at byte %zu", i + k);
            v = v << 6 | (uint32_t)d;
        }
        if ((pad == 1 && (v & 0xff)) || (pad == 2 && (v & 0xffff)))
            return err_set(e, E_PARSE, "base64 with bits after its end");
        char three[3] = {(char)(v >> 16), (char)(v >> 8), (char)v};
        if (buf_add(out, three, 3 - pad) < 0)
            return err_set(e, out->failed, "base64 is too long");
    }
    return 0;
}

// ---- values ------------------------------------------------------------------------------------

static bool sentinel(struct bytes v)
{
    return v.n >= sizeof open_mark - 1 + sizeof close_mark - 1 &&
           bytes_starts(v, bytes_of(open_mark)) && bytes_ends(v, bytes_of(close_mark));
}

static bool plain(struct bytes v)
{
    for (size_t i = 0; i < v.n; i++)
        if ((v.p[i] < 0x20 && v.p[i] != '\t') || v.p[i] > 0x7e)
            return false;
    return true;
}

int mcp_header_encode(struct buf *out, struct bytes text)
{
    bool trimmed = bytes_trim(text).n == text.n;
    if (plain(text) && trimmed && !sentinel(text))
        return buf_put(out, text);
    (void)buf_str(out, open_mark);
    (void)mcp_base64(out, text);
    return buf_str(out, close_mark);
}

int mcp_header_decode(struct buf *out, struct bytes value, struct err *e)
{
    if (!plain(value))
        return err_set(e, E_PARSE, "a header field with bytes that may not be there");
    if (!sentinel(value)) {
        int rc = buf_put(out, value);
        return rc < 0 ? err_set(e, rc, "a header field is too long") : 0;
    }
    struct bytes inner = bytes_from(value, sizeof open_mark - 1);
    size_t from = out->n;
    int rc = mcp_base64_decode(out, bytes_first(inner, inner.n - (sizeof close_mark - 1)), e);
    if (rc < 0)
        return rc;
    if (!bytes_is_utf8(bytes_from(buf_bytes(out), from)))
        return err_set(e, E_PARSE, "a header field's base64 holds no UTF-8");
    return 0;
}

struct bytes mcp_name_of(struct bytes method, const struct val *params)
{
    if (bytes_is(method, "tools/call") || bytes_is(method, "prompts/get"))
        return val_bytes(val_get_cstr(params, "name"));
    if (bytes_is(method, "resources/read"))
        return val_bytes(val_get_cstr(params, "uri"));
    if (bytes_starts(method, BYTES("tasks/")))
        return val_bytes(val_get_cstr(params, "taskId"));
    return BYTES_NONE;
}

static int put_value(struct buf *out, const struct val *v)
{
    if (val_is(v, JSON_STR))
        return mcp_header_encode(out, val_bytes(v));
    if (val_is(v, JSON_BOOL))
        return buf_str(out, val_bool_of(v, false) ? "true" : "false");
    return buf_i64(out, val_i64(v, 0));
}

static int put_mark(void *user, struct bytes name, const struct val *value)
{
    struct buf *out = user;
    (void)buf_str(out, "Mcp-Param-");
    (void)buf_put(out, name);
    (void)buf_str(out, ": ");
    (void)put_value(out, value);
    return buf_str(out, "\r\n");
}

int mcp_headers(struct buf *out, enum mcp_rev rev, struct bytes method, const struct val *params,
                const struct val *input_schema)
{
    (void)buf_fmt(out, "MCP-Protocol-Version: %s\r\nMcp-Method: ", mcp_rev_text(rev));
    (void)mcp_header_encode(out, method);
    (void)buf_str(out, "\r\n");
    struct bytes name = mcp_name_of(method, params);
    if (name.p) {
        (void)buf_str(out, "Mcp-Name: ");
        (void)mcp_header_encode(out, name);
        (void)buf_str(out, "\r\n");
    }
    if (input_schema && bytes_is(method, "tools/call"))
        (void)mcp_marks_each(input_schema, val_get_cstr(params, "arguments"), put_mark, out);
    return out->failed;
}

// ---- marks -------------------------------------------------------------------------------------

static bool is_token(struct bytes t) // RFC 9110, section 5.6.2
{
    for (size_t i = 0; i < t.n; i++) {
        char c = t.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && (c == 0 || !strchr("!#$%&'*+-.^_`|~", c)))
            return false;
    }
    return t.n > 0;
}

struct marks {
    struct bytes names[MARKS_MAX];
    size_t count;
};

static int mark_check(struct marks *m, const struct val *schema, const struct val *mark,
                      struct err *e)
{
    struct bytes name = val_bytes(mark);
    struct bytes type = val_bytes(val_get_cstr(schema, "type"));
    if (!val_is(mark, JSON_STR) || !is_token(name))
        return err_set(e, E_INVALID, MARK " must be the name of a header field");
    if (!bytes_is(type, "string") && !bytes_is(type, "integer") && !bytes_is(type, "boolean"))
        return err_set(e, E_INVALID, MARK " %.*s: only of string, integer or boolean",
                       BYTES_FMT(name));
    for (size_t i = 0; i < m->count; i++)
        if (bytes_ieq(m->names[i], name))
            return err_set(e, E_INVALID, MARK " %.*s: twice", BYTES_FMT(name));
    if (m->count == MARKS_MAX)
        return err_set(e, E_INVALID, MARK ": more than %d", MARKS_MAX);
    m->names[m->count++] = name;
    return 0;
}

// plain_path: only "properties" led here. schema: a schema and not, say, a map of names. data: what
// stands below is no schema but a value (of "default", "enum" ...).
static int marks_walk(struct marks *m, const struct val *v, bool schema, bool plain_path,
                      unsigned depth, struct err *e)
{
    static const char *const values[] = {"default", "enum", "const", "examples"};
    const struct val *mark = schema ? val_get_cstr(v, MARK) : NULL;
    if (mark && !plain_path)
        return err_set(e, E_INVALID, MARK " where \"properties\" alone do not lead");
    if (mark) {
        int rc = mark_check(m, v, mark, e);
        if (rc < 0)
            return rc;
    }
    if (depth == MARKS_DEPTH_MAX)
        return 0;
    struct bytes key;
    struct val *item;
    for (size_t at = 0; val_each(v, &at, &key, &item);) {
        if (!val_is(item, JSON_OBJ) && !val_is(item, JSON_ARR))
            continue;
        bool value = false;
        for (size_t i = 0; schema && i < sizeof values / sizeof *values; i++)
            value |= bytes_is(key, values[i]);
        if (value)
            continue;
        bool names = schema && (bytes_is(key, "properties") || bytes_is(key, "$defs") ||
                                bytes_is(key, "definitions") || bytes_is(key, "patternProperties"));
        bool on_path = plain_path && (!schema || bytes_is(key, "properties"));
        int rc = marks_walk(m, item, !names, on_path, depth + 1, e);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int mcp_marks_check(const struct val *input_schema, struct err *e)
{
    struct marks m = {0};
    return marks_walk(&m, input_schema, true, true, 0, e);
}

static int marks_in(const struct val *schema, const struct val *arguments, unsigned depth,
                    int (*each)(void *user, struct bytes name, const struct val *value), void *user)
{
    struct bytes key;
    struct val *property;
    const struct val *properties = val_get_cstr(schema, "properties");
    if (!val_is(properties, JSON_OBJ) || !val_is(arguments, JSON_OBJ) || depth == MARKS_DEPTH_MAX)
        return 0;
    for (size_t at = 0; val_each(properties, &at, &key, &property);) {
        const struct val *value = val_get(arguments, key);
        const struct val *mark = val_get_cstr(property, MARK);
        bool whole = val_is(value, JSON_NUM) && val_is_int(value) &&
                     val_i64(value, INT64_MAX) <= SAFE_INTEGER_MAX &&
                     val_i64(value, INT64_MIN) >= -SAFE_INTEGER_MAX;
        bool fits = val_is(value, JSON_STR) || val_is(value, JSON_BOOL) || whole;
        int rc = val_is(mark, JSON_STR) && fits ? each(user, val_bytes(mark), value)
                                                : marks_in(property, value, depth + 1, each, user);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int mcp_marks_each(const struct val *input_schema, const struct val *arguments,
                   int (*each)(void *user, struct bytes name, const struct val *value), void *user)
{
    return marks_in(input_schema, arguments, 0, each, user);
}

// ---- events ------------------------------------------------------------------------------------

int mcp_event_put(struct buf *out, struct bytes id, const struct val *message)
{
    if (id.n) {
        (void)buf_str(out, "id: ");
        (void)buf_put(out, id);
        (void)buf_chr(out, '\n');
    }
    (void)buf_str(out, "event: message\ndata: ");
    if (message)
        (void)val_write(out, message); // one line: JSON escapes what would break it
    return buf_str(out, "\n\n");
}
