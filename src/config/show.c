// show.c: a configuration as it counts, as YAML or JSON. Secrets are shown as where they come from.
// SPDX-License-Identifier: Apache-2.0
#include "config/config_priv.h"
#include <string.h>

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

// 10m, 64KiB: no number in any YAML, as what follows the digits is letters only (and no 0x, 0o).
static bool is_quantity(struct bytes s)
{
    size_t digits = 0, i;
    while (digits < s.n && is_digit(s.p[digits]))
        digits++;
    for (i = digits; i < s.n && is_letter(s.p[i]);)
        i++;
    return digits > 0 && i > digits && i == s.n && s.p[digits] != 'x' && s.p[digits] != 'o';
}

// Whether a text can stand without quotes and stay that text, also for readers of older YAML.
static bool is_plain(struct bytes s)
{
    static const char *const words[] = {"true", "false", "null", "yes", "no",
                                        "on",   "off",   "y",    "n"};
    if (is_quantity(s))
        return true;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (bytes_iis(s, words[i]))
            return false;
    if (!s.n || s.n > 200 || !(is_letter(s.p[0]) || s.p[0] == '/' || bytes_starts(s, BYTES("./"))))
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool other = is_digit(c) || c == '.' || c == '/' || c == '_' || c == '-';
        bool colon = c == ':' && i > 0 && i + 1 < s.n; // a colon needs something behind it
        if (!is_letter(c) && !other && !colon)
            return false;
    }
    return true;
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
