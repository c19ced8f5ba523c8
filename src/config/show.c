// show.c: a configuration as it counts, as YAML or JSON. Secrets are shown as where they come from.
// SPDX-License-Identifier: Apache-2.0
#include "config/config_priv.h"
#include <string.h>

static bool is_plain(struct bytes s)
{
    static const char *const words[] = {"true", "false", "null", "True", "False", "Null",
                                        "TRUE", "FALSE", "NULL"};
    bool letter = false;
    if (!s.n || s.n > 200)
        return false;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (bytes_is(s, words[i]))
            return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool alpha = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool other = (c >= '0' && c <= '9') || c == '.' || c == '/' || c == '_' || c == '-';
        // a colon needs something behind it
        bool colon = c == ':' && i > 0 && i + 1 < s.n;
        if (!alpha && !other && !colon)
            return false;
        letter = letter || alpha;
    }
    char first = s.p[0]; // numbers, .inf, 0x10, 1e3 and lists begin with other characters
    return letter && ((first >= 'a' && first <= 'z') || (first >= 'A' && first <= 'Z') || first == '/');
}

static void put_scalar(struct buf *out, const struct json *v)
{
    if (!json_is(v, JSON_STR))
        (void)json_write(out, v);
    else if (is_plain(json_str(v)))
        (void)buf_put(out, json_str(v));
    else
        (void)buf_json_str(out, json_str(v)); // JSON's quoted text is YAML's too
}

static void put_key(struct buf *out, struct bytes key)
{
    if (is_plain(key))
        (void)buf_put(out, key);
    else
        (void)buf_json_str(out, key);
}

// [a, b] and { a: b } on one line.
static void put_flow(struct buf *out, const struct json *v)
{
    struct json_iter it = {0};
    struct bytes key;
    const struct json *one;
    bool object = json_is(v, JSON_OBJ), first = true;
    if (!object && !json_is(v, JSON_ARR)) {
        put_scalar(out, v);
        return;
    }
    (void)buf_str(out, object ? "{" : "[");
    while (json_each(v, &it, &key, &one)) {
        (void)buf_str(out, first ? (object ? " " : "") : ", ");
        first = false;
        if (object) {
            put_key(out, key);
            (void)buf_str(out, ": ");
        }
        put_flow(out, one);
    }
    (void)buf_str(out, object ? (first ? "}" : " }") : "]");
}

static bool is_small(const struct json *v)
{
    struct json_iter it = {0};
    struct bytes key;
    const struct json *one;
    if (json_is(v, JSON_OBJ) && json_len(v) > 1)
        return false;
    while (json_each(v, &it, &key, &one))
        if (json_is(one, JSON_OBJ) || json_is(one, JSON_ARR))
            return false;
    return true;
}

static void put_block(struct buf *out, const struct json *v, int depth)
{
    struct json_iter it = {0};
    struct bytes key;
    const struct json *one;
    while (json_each(v, &it, &key, &one)) {
        (void)buf_fmt(out, "%*s", depth * 2, "");
        if (json_is(v, JSON_OBJ)) {
            put_key(out, key);
            (void)buf_chr(out, ':');
        } else {
            (void)buf_chr(out, '-');
        }
        bool nested = json_is(one, JSON_OBJ) || json_is(one, JSON_ARR);
        if (nested && !is_small(one) && json_is(v, JSON_OBJ)) {
            (void)buf_chr(out, '\n');
            put_block(out, one, depth + 1);
        } else {
            (void)buf_chr(out, ' ');
            put_flow(out, one);
            (void)buf_chr(out, '\n');
        }
    }
}

int config_show(struct buf *out, const struct config *c, bool json)
{
    // The document names where secrets are; their values are not in it.
    if (json) {
        (void)json_write(out, json_root(c->doc));
        (void)buf_chr(out, '\n');
    } else {
        put_block(out, json_root(c->doc), 0);
    }
    return out->failed;
}
