// act_args.c: what arguments are made of: durations, endpoints, queries, headers, and how they are
// shown where they hold secrets.
// SPDX-License-Identifier: Apache-2.0
#include "acts/acts_priv.h"
#include "text/url.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

struct bytes act_scalar(const struct val *v, char room[32])
{
    struct buf text;
    if (val_is(v, JSON_STR))
        return val_bytes(v);
    if (val_is(v, JSON_BOOL))
        return val_bool_of(v, false) ? BYTES("true") : BYTES("false");
    if (!val_is(v, JSON_NUM))
        return BYTES_NONE;
    buf_init(&text, 31); // numbers have at most 24 characters
    (void)val_write(&text, v);
    size_t n = text.failed ? 0 : text.n;
    if (n)
        memcpy(room, text.p, n);
    buf_fini(&text);
    return (struct bytes){room, n};
}

// ---- durations ---------------------------------------------------------------------------------

static const struct {
    const char *name;
    char letter;
    bool time;
    double ms;
} units[] = {
    {"weeks", 'W', false, 7 * 86400e3}, {"days", 'D', false, 86400e3}, {"hours", 'H', true, 3600e3},
    {"minutes", 'M', true, 60e3},       {"seconds", 'S', true, 1000},  {"milliseconds", 0, true, 1},
};
enum { UNITS = sizeof units / sizeof *units };

static int iso(struct bytes text, double *ret)
{
    double sum = 0;
    bool time = false, any = false;
    struct bytes t = bytes_from(text, 1);
    if (!text.n || *text.p != 'P')
        return E_INVALID;
    while (t.n) {
        char digits[32];
        size_t n = 0, u = 0;
        if (*t.p == 'T' && !time) {
            time = true;
            t = bytes_from(t, 1);
        }
        while (n < t.n && n < sizeof digits - 1 &&
               ((t.p[n] >= '0' && t.p[n] <= '9') || t.p[n] == '.')) {
            digits[n] = t.p[n];
            n++;
        }
        digits[n] = '\0';
        while (u < UNITS && n < t.n && (units[u].letter != t.p[n] || units[u].time != time))
            u++;
        if (n == 0 || n >= t.n || u == UNITS)
            return E_INVALID;
        double number = 0, place = 0;
        for (size_t i = 0; i < n; i++) {
            if (digits[i] == '.' && place > 0)
                return E_INVALID;
            if (digits[i] == '.')
                place = 1;
            else if (place > 0)
                number += (digits[i] - '0') * (place /= 10);
            else
                number = number * 10 + (digits[i] - '0');
        }
        sum += number * units[u].ms;
        any = true;
        t = bytes_from(t, n + 1);
    }
    *ret = sum;
    return any ? 0 : E_INVALID;
}

int act_duration(const struct val *v, int64_t *ret_ms, struct err *e)
{
    double ms = 0;
    int rc = 0;
    if (val_is(v, JSON_STR)) {
        rc = iso(val_bytes(v), &ms);
    } else if (val_is(v, JSON_OBJ) && val_len(v) > 0) {
        for (size_t i = 0; i < UNITS; i++)
            ms += val_dbl(val_get_cstr(v, units[i].name), 0) * units[i].ms;
    } else {
        rc = E_INVALID;
    }
    if (rc < 0 || !(ms >= 0 && ms < 9e15))
        return err_set(e, E_INVALID, "it is no duration: write PT5S or { seconds: 5 }");
    *ret_ms = (int64_t)llround(ms);
    return 0;
}

// ---- endpoints, queries, headers ----------------------------------------------------------------

struct bytes act_endpoint(const struct val *endpoint, const struct val **ret_authentication)
{
    *ret_authentication = NULL;
    if (val_is(endpoint, JSON_STR))
        return val_bytes(endpoint);
    *ret_authentication = val_get_cstr(endpoint, "authentication");
    return val_bytes(val_get_cstr(endpoint, "uri"));
}

int act_query_put(struct buf *url, struct bytes name, const struct val *v)
{
    size_t at = 0;
    struct bytes key;
    struct val *item;
    if (val_is(v, JSON_ARR)) { // ?a=1&a=2
        while (val_each(v, &at, &key, &item))
            (void)act_query_put(url, name, item);
        return url->failed;
    }
    if (!v || val_is(v, JSON_NULL))
        return url->failed;
    (void)buf_chr(url, bytes_chr(buf_bytes(url), '?') < 0 ? '?' : '&');
    (void)url_encode(url, name);
    (void)buf_chr(url, '=');
    char room[32];
    struct bytes text = act_scalar(v, room);
    if (text.p)
        return url_encode(url, text);
    struct buf json;
    buf_init(&json, (size_t)64 << 10);
    (void)val_write(&json, v);
    int rc = json.failed ? json.failed : url_encode(url, buf_bytes(&json));
    buf_fini(&json);
    return rc;
}

int act_headers_put(struct buf *lines, const struct val *headers, struct err *e)
{
    size_t at = 0;
    struct bytes name;
    struct val *v;
    if (!headers || val_is(headers, JSON_NULL))
        return 0;
    if (!val_is(headers, JSON_OBJ))
        return err_set(e, E_INVALID, "headers must be an object");
    while (val_each(headers, &at, &name, &v)) {
        char room[32];
        struct bytes text = act_scalar(v, room);
        static const char *const ours[] = {"Host", "Content-Length", "Transfer-Encoding",
                                           "Connection"};
        for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
            if (bytes_iis(name, ours[i]))
                return err_set(e, E_INVALID, "the header %s is made from the request", ours[i]);
        if (!v || val_is(v, JSON_NULL))
            continue;
        if (!text.p)
            return err_set(e, E_INVALID, "the header %.*s must be a text", BYTES_FMT(name));
        int rc = act_header_put(lines, name, text, e);
        if (rc < 0)
            return rc;
    }
    return 0;
}

struct val *act_shown(const struct val *v)
{
    size_t at = 0;
    struct bytes key;
    struct val *item, *whole;
    if (act_late_is(v))
        return val_cstr("***");
    if (!act_late_has(v))
        return v ? val_ref((struct val *)(uintptr_t)v) : val_null();
    bool array = val_is(v, JSON_ARR);
    whole = array ? val_arr() : val_obj();
    while (val_each(v, &at, &key, &item))
        whole = array ? val_push(whole, act_shown(item)) : val_put(whole, key, act_shown(item));
    return whole;
}

int act_input(struct act *a, const struct val *v, struct buf *ret)
{
    buf_init(ret, (size_t)32 << 20);
    if (val_is(v, JSON_STR))
        (void)buf_put(ret, val_bytes(v));
    else if (v && !val_is(v, JSON_NULL))
        (void)val_write(ret, v);
    if (ret->failed)
        act_fail(a, ACT_RUNTIME, 0, true, "stdin has more than 32 MiB");
    return ret->failed;
}
