// cloudevent.c: CloudEvents: checked, as JSON, as headers.
// SPDX-License-Identifier: Apache-2.0
#include "text/cloudevent.h"

#include "text/json.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>

// ---- what may stand where -----------------------------------------------------------------------

static int bad(struct err *e, const char *name, const char *why)
{
    return err_set(e, E_INVALID, "event: %s %s", name, why);
}

// Strings of the type system (spec 3.1): no control characters, no broken UTF-8.
static bool is_text(struct bytes s)
{
    for (size_t i = 0; s.p && i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
            return false;
    return bytes_is_utf8(s);
}

// A URI reference has at least none of these (RFC 3986, appendix A).
static bool is_uri(struct bytes s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] <= 0x20 || (unsigned char)s.p[i] >= 0x7f ||
            strchr("\"<>\\^`{|}", s.p[i]))
            return false;
    return s.n > 0;
}

static bool digits(struct bytes *s, size_t n, unsigned least, unsigned most)
{
    unsigned value = 0;
    if (s->n < n)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (s->p[i] < '0' || s->p[i] > '9')
            return false;
        value = value * 10 + (unsigned)(s->p[i] - '0');
    }
    *s = bytes_from(*s, n);
    return value >= least && value <= most;
}

static bool sign(struct bytes *s, const char *any)
{
    if (!s->n || !strchr(any, *s->p))
        return false;
    *s = bytes_from(*s, 1);
    return true;
}

static bool is_time(struct bytes s) // RFC 3339, section 5.6
{
    bool good = digits(&s, 4, 0, 9999) && sign(&s, "-") && digits(&s, 2, 1, 12) && sign(&s, "-") &&
                digits(&s, 2, 1, 31) && sign(&s, "Tt") && digits(&s, 2, 0, 23) && sign(&s, ":") &&
                digits(&s, 2, 0, 59) && sign(&s, ":") && digits(&s, 2, 0, 60);
    if (good && sign(&s, "."))
        for (good = digits(&s, 1, 0, 9); s.n && *s.p >= '0' && *s.p <= '9';)
            s = bytes_from(s, 1);
    if (!good || !s.n)
        return false;
    if (sign(&s, "Zz"))
        return !s.n;
    return sign(&s, "+-") && digits(&s, 2, 0, 23) && sign(&s, ":") && digits(&s, 2, 0, 59) && !s.n;
}

// Days since 1970 of a date (Hinnant, "chrono-compatible low-level date algorithms").
static int64_t days_of(int64_t y, int64_t m, int64_t d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400, yoe = y - era * 400;
    int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

int64_t cloudevent_time(struct bytes text)
{
    char s[48];
    int y, mo, d, h, mi, sec, at = 0;
    if (text.n >= sizeof s || !is_time(text))
        return 0;
    memcpy(s, text.p, text.n);
    s[text.n] = 0;
    if (sscanf(s, "%4d-%2d-%2d%*1[Tt]%2d:%2d:%2d%n", &y, &mo, &d, &h, &mi, &sec, &at) != 6 || !at)
        return 0;
    int64_t ms = 0, scale = 100;
    const char *p = s + at;
    if (*p == '.')
        for (p++; *p >= '0' && *p <= '9'; p++, scale /= 10)
            ms += (*p - '0') * scale;
    int oh = 0, om = 0;
    if (*p == '+' || *p == '-')
        if (sscanf(p + 1, "%2d:%2d", &oh, &om) != 2)
            return 0;
    int64_t offset = (oh * 60 + om) * (*p == '-' ? -1 : 1);
    return ((days_of(y, mo, d) * 24 + h) * 60 + mi - offset) * 60000 + sec * 1000 + ms;
}

static bool is_media_type(struct bytes s)
{
    struct bytes rest = s;
    struct bytes type = bytes_trim(bytes_cut(&rest, ';'));
    ptrdiff_t slash = bytes_chr(type, '/');
    if (slash <= 0 || (size_t)slash + 1 >= type.n || !is_text(s))
        return false;
    for (size_t i = 0; i < type.n; i++)
        if (type.p[i] == ' ' || (unsigned char)type.p[i] >= 0x7f)
            return false;
    return true;
}

static bool is_json_type(struct bytes content)
{
    struct bytes rest = content;
    struct bytes type = bytes_trim(bytes_cut(&rest, ';'));
    struct bytes tail = type.n > 5 ? bytes_from(type, type.n - 5) : BYTES_NONE;
    return !content.n || bytes_iis(tail, "/json") || bytes_iis(tail, "+json");
}

static const char *const core_names[] = {"id",   "source",          "type",       "subject",
                                         "time", "datacontenttype", "dataschema", "specversion",
                                         "data", "data_base64"};

static bool is_core(struct bytes name)
{
    for (size_t i = 0; i < sizeof core_names / sizeof *core_names; i++)
        if (bytes_is(name, core_names[i]))
            return true;
    return false;
}

static bool is_ext_name(struct bytes name)
{
    for (size_t i = 0; i < name.n; i++)
        if (!((name.p[i] >= 'a' && name.p[i] <= 'z') || (name.p[i] >= '0' && name.p[i] <= '9')))
            return false;
    return name.n > 0 && name.n <= 20 && !is_core(name);
}

static bool is_int(struct bytes text) // 32 bits with sign (spec 3.1)
{
    bool minus = text.n && *text.p == '-';
    uint64_t value;
    struct bytes rest = bytes_from(text, minus);
    return bytes_u64(rest, &value) && value <= (minus ? 2147483648u : 2147483647u) &&
           (rest.n == 1 || *rest.p != '0') && !(minus && value == 0);
}

static int check_ext(const struct cloudevent *c, struct err *e)
{
    for (size_t i = 0; i < c->ext_count; i++) {
        const struct cloudevent_ext *x = &c->ext[i];
        char name[24];
        (void)snprintf(name, sizeof name, "%.*s", BYTES_FMT(bytes_first(x->name, 20)));
        if (!is_ext_name(x->name))
            return bad(e, "extension", "names are a-z and 0-9, at most 20, and not the core's");
        for (size_t j = 0; j < i; j++)
            if (bytes_eq(c->ext[j].name, x->name))
                return bad(e, name, "stands there twice");
        if ((x->kind == CLOUDEVENT_STR && !is_text(x->text)) ||
            (x->kind == CLOUDEVENT_INT && !is_int(x->text)) ||
            (x->kind == CLOUDEVENT_BOOL && !bytes_is(x->text, "true") &&
             !bytes_is(x->text, "false")))
            return bad(e, name, "is not of its kind: text, a whole number of 32 bits, true, false");
    }
    return 0;
}

int cloudevent_check(const struct cloudevent *c, struct err *e)
{
    const struct {
        const char *name;
        struct bytes value;
        bool required;
    } texts[] = {{"id", c->id, true},
                 {"source", c->source, true},
                 {"type", c->type, true},
                 {"subject", c->subject, false},
                 {"datacontenttype", c->content, false}};
    if (!c->has_version)
        return bad(e, "specversion", "is missing; it is \"1.0\"");
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (texts[i].required && !texts[i].value.n)
            return bad(e, texts[i].name, "is missing or empty");
        if (texts[i].value.p && !texts[i].value.n)
            return bad(e, texts[i].name, "is empty");
        if (!is_text(texts[i].value))
            return bad(e, texts[i].name, "has control characters or is not UTF-8");
    }
    if (!is_uri(c->source))
        return bad(e, "source", "is no URI reference");
    if (c->schema.p && !is_uri(c->schema))
        return bad(e, "dataschema", "is no URI");
    if (c->time.p && !is_time(c->time))
        return bad(e, "time", "is not RFC 3339 (2026-01-31T12:00:00Z)");
    if (c->content.n && !is_media_type(c->content))
        return bad(e, "datacontenttype", "is no media type");
    return check_ext(c, e);
}

struct bytes cloudevent_find(const struct cloudevent *c, const char *name)
{
    for (size_t i = 0; i < c->ext_count; i++)
        if (bytes_is(c->ext[i].name, name))
            return c->ext[i].text;
    return BYTES_NONE;
}

int cloudevent_add(struct cloudevent *c, const char *name, struct bytes text)
{
    if (c->ext_count == CLOUDEVENT_EXT_MAX)
        return E_FULL;
    c->ext[c->ext_count++] =
        (struct cloudevent_ext){.name = bytes_of(name), .kind = CLOUDEVENT_STR, .text = text};
    return 0;
}

static struct bytes *core_of(struct cloudevent *c, struct bytes name)
{
    return bytes_is(name, "id")                ? &c->id
           : bytes_is(name, "source")          ? &c->source
           : bytes_is(name, "type")            ? &c->type
           : bytes_is(name, "subject")         ? &c->subject
           : bytes_is(name, "time")            ? &c->time
           : bytes_is(name, "datacontenttype") ? &c->content
           : bytes_is(name, "dataschema")      ? &c->schema
                                               : NULL;
}

// ---- base64 (RFC 4648, section 4) ---------------------------------------------------------------

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int cloudevent_put_base64(struct buf *out, struct bytes data)
{
    for (size_t i = 0; i < data.n; i += 3) {
        const unsigned char *p = (const unsigned char *)data.p + i;
        size_t n = data.n - i;
        uint32_t v = (uint32_t)p[0] << 16 | (n > 1 ? (uint32_t)p[1] << 8 : 0) | (n > 2 ? p[2] : 0);
        char four[4] = {letters[v >> 18], letters[v >> 12 & 63], n > 1 ? letters[v >> 6 & 63] : '=',
                        n > 2 ? letters[v & 63] : '='};
        (void)buf_add(out, four, 4);
    }
    return out->failed;
}

static int value_of(char c)
{
    const char *at = c ? strchr(letters, c) : NULL;
    return at ? (int)(at - letters) : -1;
}

int cloudevent_base64(struct bytes *ret, struct arena *a, struct bytes text, struct err *e)
{
    size_t n = 0;
    char *out = arena_alloc(a, text.n / 4 * 3 + 1);
    if (!out)
        return err_set(e, E_NOMEM, "event: data");
    if (text.n % 4)
        return bad(e, "data_base64", "is not base64: its length is no multiple of 4");
    for (size_t i = 0; i < text.n; i += 4) {
        bool last = i + 4 == text.n;
        int pad =
            last ? (text.p[i + 3] == '=') + (text.p[i + 3] == '=' && text.p[i + 2] == '=') : 0;
        uint32_t v = 0;
        for (int k = 0; k < 4; k++) {
            int x = k >= 4 - pad ? 0 : value_of(text.p[i + (size_t)k]);
            if (x < 0)
                return bad(e, "data_base64", "is not base64");
            v = v << 6 | (uint32_t)x;
        }
        if ((pad == 1 && (v & 0xff)) || (pad == 2 && (v & 0xffff)))
            return bad(e, "data_base64", "is not base64: bits after its end");
        for (int k = 0; k < 3 - pad; k++)
            out[n++] = (char)(v >> (16 - 8 * k) & 0xff);
    }
    *ret = (struct bytes){out, n};
    return 0;
}

// ---- JSON ---------------------------------------------------------------------------------------

static int keep(struct arena *a, struct bytes *to, struct bytes from, struct err *e)
{
    *to = arena_dup(a, from);
    if (!to->p) // empty ones get a place too: p NULL is "absent"
        to->p = arena_alloc(a, 1);
    return to->p ? 0 : err_set(e, E_NOMEM, "event");
}

static int take_data(struct cloudevent *c, struct arena *a, const struct json *v, struct err *e)
{
    struct buf text;
    if (json_is(v, JSON_STR) && !is_json_type(c->content)) {
        c->kind = CLOUDEVENT_TEXT;
        return keep(a, &c->data, json_str(v), e);
    }
    buf_init(&text, (size_t)64 << 20);
    int rc = json_write(&text, v);
    c->kind = CLOUDEVENT_VALUE;
    rc = rc ? err_set(e, rc, "event: data") : keep(a, &c->data, buf_bytes(&text), e);
    buf_fini(&text);
    return rc;
}

static int take_ext(struct cloudevent *c, struct arena *a, struct bytes name, const struct json *v,
                    struct err *e)
{
    struct cloudevent_ext *x = &c->ext[c->ext_count];
    char number[32];
    if (json_is(v, JSON_NULL)) // as absent (json-format 2.2)
        return 0;
    if (c->ext_count == CLOUDEVENT_EXT_MAX)
        return err_set(e, E_FULL, "event: more than %d extensions", CLOUDEVENT_EXT_MAX);
    struct bytes text = json_str(v);
    if (json_is(v, JSON_BOOL)) {
        x->kind = CLOUDEVENT_BOOL;
        text = json_bool(v, false) ? BYTES("true") : BYTES("false");
    } else if (json_is(v, JSON_NUM) && json_is_int(v)) {
        x->kind = CLOUDEVENT_INT;
        int n = snprintf(number, sizeof number, "%lld", (long long)json_i64(v, INT64_MAX));
        text = (struct bytes){number, (size_t)n};
    } else if (json_is(v, JSON_STR)) {
        x->kind = CLOUDEVENT_STR;
    } else {
        return bad(e, "extension", "is neither text nor a whole number nor true or false");
    }
    int rc = keep(a, &x->name, name, e);
    if (!rc)
        rc = keep(a, &x->text, text, e);
    c->ext_count += !rc;
    return rc;
}

static int take_member(struct cloudevent *c, struct arena *a, struct bytes name,
                       const struct json *v, struct err *e)
{
    struct bytes *core = core_of(c, name);
    if (core && json_is(v, JSON_NULL))
        return 0;
    if (core && json_is(v, JSON_STR))
        return keep(a, core, json_str(v), e);
    if (core)
        return err_set(e, E_INVALID, "event: %.*s is not a string", BYTES_FMT(name));
    if (bytes_is(name, "specversion")) {
        c->has_version = bytes_is(json_str(v), "1.0");
        return c->has_version ? 0 : bad(e, "specversion", "is not \"1.0\"");
    }
    if (bytes_is(name, "data") || bytes_is(name, "data_base64"))
        return 0;
    return take_ext(c, a, name, v, e);
}

static int take_all(struct cloudevent *c, struct arena *a, const struct json *root, struct err *e)
{
    struct json_iter it = {0};
    struct bytes name;
    const struct json *v;
    int rc = json_is(root, JSON_OBJ) ? 0 : bad(e, "it", "is no JSON object");
    while (!rc && json_each(root, &it, &name, &v))
        rc = take_member(c, a, name, v, e);
    const struct json *data = json_get(root, "data"), *base64 = json_get(root, "data_base64");
    if (!rc && data && base64)
        return bad(e, "data", "and data_base64 exclude each other");
    if (!rc && base64) {
        c->kind = CLOUDEVENT_BYTES;
        rc = json_is(base64, JSON_STR) ? cloudevent_base64(&c->data, a, json_str(base64), e)
                                       : bad(e, "data_base64", "is not a string");
    } else if (!rc && data) {
        rc = take_data(c, a, data, e);
    }
    return rc ? rc : cloudevent_check(c, e);
}

int cloudevent_parse(struct cloudevent *ret, struct arena *a, struct bytes json, struct err *e)
{
    struct json_doc *doc = NULL;
    memset(ret, 0, sizeof *ret);
    int rc = json_parse(&doc, json, JSON_UNIQUE, e);
    if (!rc)
        rc = take_all(ret, a, json_root(doc), e);
    json_free(doc);
    return rc;
}

int cloudevent_put(struct buf *out, const struct cloudevent *c)
{
    struct json_w w;
    json_w_init(&w, out);
    json_w_obj(&w, NULL);
    json_w_cstr(&w, "specversion", "1.0");
    json_w_str(&w, "id", c->id);
    json_w_str(&w, "source", c->source);
    json_w_str(&w, "type", c->type);
    const struct {
        const char *name;
        struct bytes value;
    } optional[] = {{"subject", c->subject},
                    {"time", c->time},
                    {"datacontenttype", c->content},
                    {"dataschema", c->schema}};
    for (size_t i = 0; i < sizeof optional / sizeof *optional; i++)
        if (optional[i].value.n)
            json_w_str(&w, optional[i].name, optional[i].value);
    for (size_t i = 0; i < c->ext_count; i++) {
        const struct cloudevent_ext *x = &c->ext[i];
        char name[24];
        (void)snprintf(name, sizeof name, "%.*s", BYTES_FMT(bytes_first(x->name, 20)));
        if (x->kind == CLOUDEVENT_STR)
            json_w_str(&w, name, x->text);
        else
            json_w_raw(&w, name, x->text);
    }
    if (c->kind == CLOUDEVENT_VALUE) {
        json_w_raw(&w, "data", c->data);
    } else if (c->kind == CLOUDEVENT_TEXT) {
        json_w_str(&w, "data", c->data);
    } else if (c->kind == CLOUDEVENT_BYTES) {
        json_w_raw(&w, "data_base64", BYTES("\""));
        (void)cloudevent_put_base64(out, c->data);
        (void)buf_chr(out, '"');
    }
    json_w_end(&w);
    return out->failed;
}

// ---- headers ------------------------------------------------------------------------------------

// Space, `"`, `%` and what is not printable ASCII are escaped (HTTP binding 3.1.3.2).
static void put_value(struct buf *out, struct bytes value)
{
    for (size_t i = 0; i < value.n; i++) {
        unsigned char x = (unsigned char)value.p[i];
        if (x <= 0x20 || x >= 0x7f || x == '"' || x == '%')
            (void)buf_fmt(out, "%%%02X", x);
        else
            (void)buf_chr(out, (char)x);
    }
}

static void put_line(struct buf *out, const char *name, struct bytes value)
{
    if (!value.n)
        return;
    (void)buf_fmt(out, "ce-%s: ", name);
    put_value(out, value);
    (void)buf_str(out, "\r\n");
}

int cloudevent_put_headers(struct buf *out, const struct cloudevent *c)
{
    (void)buf_str(out, "ce-specversion: 1.0\r\n");
    put_line(out, "id", c->id);
    put_line(out, "source", c->source);
    put_line(out, "type", c->type);
    put_line(out, "subject", c->subject);
    put_line(out, "time", c->time);
    put_line(out, "dataschema", c->schema);
    for (size_t i = 0; i < c->ext_count; i++) {
        char name[24];
        (void)snprintf(name, sizeof name, "%.*s", BYTES_FMT(bytes_first(c->ext[i].name, 20)));
        put_line(out, name, c->ext[i].text);
    }
    if (c->content.n) {
        (void)buf_str(out, "Content-Type: ");
        (void)buf_put(out, c->content);
        (void)buf_str(out, "\r\n");
    }
    return out->failed;
}

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

static int unescape(struct bytes *ret, struct arena *a, struct bytes value, struct err *e)
{
    char *out = arena_alloc(a, value.n + 1);
    size_t n = 0;
    if (!out)
        return err_set(e, E_NOMEM, "event");
    for (size_t i = 0; i < value.n; i++) {
        int high = value.p[i] == '%' && i + 2 < value.n ? hex(value.p[i + 1]) : -1;
        int low = high >= 0 ? hex(value.p[i + 2]) : -1;
        if (low >= 0) {
            out[n++] = (char)(high << 4 | low);
            i += 2;
        } else {
            out[n++] = value.p[i];
        }
    }
    *ret = (struct bytes){out, n};
    return 0;
}

int cloudevent_header(struct cloudevent *ret, struct arena *a, struct bytes name,
                      struct bytes value, struct err *e)
{
    char lower[24];
    assert(ret && a);
    if (bytes_iis(name, "content-type")) {
        int rc = keep(a, &ret->content, bytes_trim(value), e);
        return rc ? rc : 1;
    }
    if (name.n < 4 || name.n - 3 >= sizeof lower || !bytes_iis(bytes_first(name, 3), "ce-"))
        return 0;
    for (size_t i = 3; i < name.n; i++) {
        char c = name.p[i];
        lower[i - 3] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
    }
    struct bytes attribute = {lower, name.n - 3}, text;
    int rc = unescape(&text, a, bytes_trim(value), e);
    if (rc)
        return rc;
    struct bytes *core = core_of(ret, attribute);
    if (bytes_is(attribute, "specversion")) {
        ret->has_version = bytes_is(text, "1.0");
        return ret->has_version ? 1 : bad(e, "specversion", "is not \"1.0\"");
    }
    if (core) {
        if (core->p)
            return err_set(e, E_INVALID, "event: %.*s stands there twice", BYTES_FMT(attribute));
        *core = text;
        return 1;
    }
    if (ret->ext_count == CLOUDEVENT_EXT_MAX)
        return err_set(e, E_FULL, "event: more than %d extensions", CLOUDEVENT_EXT_MAX);
    struct cloudevent_ext *x = &ret->ext[ret->ext_count];
    *x = (struct cloudevent_ext){.kind = CLOUDEVENT_STR, .text = text};
    rc = keep(a, &x->name, attribute, e);
    ret->ext_count += !rc;
    return rc ? rc : 1;
}
