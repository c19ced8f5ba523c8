// span.c: finds a member in JSON text that was parsed before, without building anything.
// SPDX-License-Identifier: Apache-2.0
#include "gate/span.h"

// Index behind the string that starts at i (text[i] is its quote).
static size_t skip_string(struct bytes t, size_t i)
{
    for (i++; i < t.n && t.p[i] != '"'; i++)
        if (t.p[i] == '\\')
            i++;
    return i + 1;
}

// Is this the key, whatever its characters are spelled with? raw is without quotes, valid JSON; key
// is ASCII, and letters have no short escapes.
static bool key_is(struct bytes raw, const char *key)
{
    while (raw.n && *key) {
        char c = raw.p[0];
        size_t n = 1;
        if (c == '\\' && raw.n >= 6 && raw.p[1] == 'u') {
            unsigned code = 0;
            for (int i = 2; i < 6; i++) {
                char d = (char)(raw.p[i] | 0x20);
                code = code * 16 + (unsigned)(d >= 'a' ? d - 'a' + 10 : d - '0');
            }
            c = code < 0x80 ? (char)code : 0;
            n = 6;
        }
        if (c != *key++)
            return false;
        raw = bytes_from(raw, n);
    }
    return raw.n == 0 && !*key;
}

int span_find(struct bytes text, const char *key, struct bytes *ret_value, struct err *e)
{
    size_t depth = 0, value_at = 0;
    bool is_key = false, wanted = false, found = false;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        bool ends = (c == ',' && depth == 1) || (c == '}' && depth == 1);
        if (ends && wanted) {
            if (found)
                return err_set(e, E_INVALID, "\"%s\" stands in the body twice", key);
            found = true;
            wanted = false;
            *ret_value = bytes_trim((struct bytes){text.p + value_at, i - value_at});
        }
        if (c == '"') {
            size_t end = skip_string(text, i);
            if (depth == 1 && is_key && end <= text.n) {
                wanted = key_is((struct bytes){text.p + i + 1, end - i - 2}, key);
                is_key = false;
            }
            i = end - 1;
        } else if (c == '{' || c == '[') {
            depth++;
            is_key = depth == 1;
        } else if (c == '}' || c == ']') {
            depth--;
        } else if (c == ',' && depth == 1) {
            is_key = true;
        } else if (c == ':' && depth == 1) {
            value_at = i + 1;
        }
    }
    return found ? 0 : err_set(e, E_NOTFOUND, "\"%s\" is not in the body", key);
}

int span_rewrite(struct buf *out, struct bytes text, const char *key, const char *value,
                 struct err *e)
{
    struct bytes at = BYTES_NONE;
    int status = span_find(text, key, &at, e);
    if (status < 0)
        return status;
    size_t before = (size_t)(at.p - text.p);
    (void)buf_put(out, bytes_first(text, before));
    (void)buf_json_str(out, bytes_of(value));
    (void)buf_put(out, bytes_from(text, before + at.n));
    return out->failed ? err_set(e, out->failed, "the body cannot be rewritten") : 0;
}
