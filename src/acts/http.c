// http.c: call: http, the DSL's plain request.
// SPDX-License-Identifier: Apache-2.0
#include "acts/acts_priv.h"
#include "text/url.h"

#include <string.h>

struct http {
    struct act_auth auth;
    struct act_web *web;
};

// The address with its query, of the arguments or of what is shown of them.
static int put_url(struct buf *url, const struct val *with)
{
    const struct val *policy, *query = val_get_cstr(with, "query");
    struct bytes uri = act_endpoint(val_get_cstr(with, "endpoint"), &policy), key;
    struct val *v;
    size_t at = 0;
    ptrdiff_t fragment = bytes_chr(uri, '#');
    (void)buf_put(url, fragment < 0 ? uri : bytes_first(uri, (size_t)fragment));
    while (val_is(query, JSON_OBJ) && val_each(query, &at, &key, &v))
        (void)act_query_put(url, key, v);
    return url->failed;
}

static bool has_type(const struct val *headers, struct bytes *ret)
{
    size_t at = 0;
    struct bytes key;
    struct val *v;
    while (val_is(headers, JSON_OBJ) && val_each(headers, &at, &key, &v))
        if (bytes_iis(key, "Content-Type")) {
            *ret = val_bytes(v);
            return true;
        }
    return false;
}

// An object as a form: its members as a query has them.
static int put_form(struct buf *body, const struct val *v)
{
    struct buf text;
    size_t at = 0;
    struct bytes key;
    struct val *item;
    buf_init(&text, body->max);
    (void)buf_chr(&text, '?');
    while (val_each(v, &at, &key, &item))
        (void)act_query_put(&text, key, item);
    // "?&a=1": the marks are not part of it
    int rc = text.failed ? text.failed : buf_put(body, bytes_from(buf_bytes(&text), 2));
    buf_fini(&text);
    return rc;
}

static int put_body(struct buf *body, struct buf *lines, const struct val *with)
{
    const struct val *v = val_get_cstr(with, "body"), *headers = val_get_cstr(with, "headers");
    struct bytes type = BYTES_NONE;
    bool said = has_type(headers, &type);
    const char *made = "application/json";
    if (!v || val_is(v, JSON_NULL))
        return 0;
    if (val_is(v, JSON_STR)) {
        struct bytes text = bytes_trim(val_bytes(v));
        if (!text.n || (*text.p != '{' && *text.p != '['))
            made = "text/plain; charset=utf-8";
        (void)buf_put(body, val_bytes(v));
    } else if (said && val_is(v, JSON_OBJ) &&
               bytes_iis(bytes_first(type, 33), "application/x-www-form-urlencoded")) {
        (void)put_form(body, v);
    } else {
        (void)val_write(body, v);
    }
    if (!said)
        (void)buf_fmt(lines, "Content-Type: %s\r\n", made);
    return body->failed ? body->failed : lines->failed;
}

static const char *output_of(struct act *a, const struct val *with)
{
    static const char *const names[] = {"content", "raw", "response", "text"};
    const char *said = val_text(val_get_cstr(with, "output"), "content");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(said, names[i]) == 0)
            return names[i];
    act_fail(a, ACT_CONFIGURATION, 0, true, "output \"%.80s\": it is one of content, raw, response",
             said);
    return NULL;
}

static void ready(struct act *a, struct val *takes_with)
{
    struct http *h = a->own;
    AUTO(val) with = takes_with;
    AUTO(val) shown = act_shown(a->args->args);
    const char *output = output_of(a, with);
    struct buf url, seen, lines, body;
    struct err e = {0};
    buf_init(&url, (size_t)64 << 10);
    buf_init(&seen, (size_t)64 << 10);
    buf_init(&lines, (size_t)64 << 10);
    buf_init(&body, (size_t)64 << 20);
    (void)put_url(&url, with);
    (void)put_url(&seen, shown);
    int rc = output ? act_headers_put(&lines, val_get_cstr(with, "headers"), &e) : E_INVALID;
    if (rc == 0 && (put_body(&body, &lines, with) < 0 || url.failed || lines.failed))
        rc = err_set(&e, E_TOOBIG, "the request is too large");
    struct act_web_args args = {
        .method = bytes_of(val_text(val_get_cstr(with, "method"), "get")),
        .url = buf_bytes(&url),
        .shown = buf_bytes(&seen),
        .headers = buf_bytes(&lines),
        .shown_headers = val_get_cstr(shown, "headers"),
        .body = &body,
        .auth = &h->auth,
        .redirect = val_bool_of(val_get_cstr(with, "redirect"), false),
        .once = true,
        .output = output,
    };
    if (rc == 0)
        act_web(a, &h->web, &args);
    else if (output)
        act_fail(a, ACT_CONFIGURATION, 0, true, "%s", e.text);
    struct buf *const bufs[] = {&url, &seen, &lines, &body};
    for (size_t i = 0; i < 4; i++) {
        if (bufs[i]->p)
            mem_wipe(bufs[i]->p, bufs[i]->n);
        buf_fini(bufs[i]);
    }
}

static void authenticated(struct act *a, struct act_auth *x)
{
    if (a->ended)
        return;
    if (act_late_has(a->with))
        act_late(a, a->with, x->authorization ? val_ref(x->authorization) : val_null(), ready);
    else
        ready(a, val_ref(a->with));
}

static void start(struct act *a)
{
    struct http *h = a->own;
    const struct val *policy;
    struct bytes uri = act_endpoint(val_get_cstr(a->with, "endpoint"), &policy);
    if (!uri.n && !act_late_has(val_get_cstr(a->with, "endpoint")))
        act_fail(a, ACT_CONFIGURATION, 0, true, "call: http needs an endpoint");
    else
        act_auth(a, &h->auth, policy, authenticated);
}

static void stop(struct act *a)
{
    struct http *h = a->own;
    act_web_free(&h->web);
    act_auth_fini(&h->auth);
}

const struct act_kind act_http = {.name = "http",
                                  .what = "An HTTP request.",
                                  .bytes = sizeof(struct http),
                                  .start = start,
                                  .stop = stop,
                                  .authorizes = true};
