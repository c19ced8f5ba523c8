// act_web.c: an HTTP request as an author says it: authenticated, sent again when challenged,
// followed, and its answer as the task's output.
// SPDX-License-Identifier: Apache-2.0
#include "acts/acts_priv.h"
#include "text/cloudevent.h"
#include "text/url.h"

#include <string.h>

#define HOPS_MAX 10
#define QUOTE_MAX 400 // so much of an answer stands in an error

struct act_web {
    struct act *act;
    struct act_web_args args;
    struct buf method, upper, url, shown, headers, body;
    struct act_fetch *fetch;
    bool answered; // a challenge, or with a new token
};

// ---- content -----------------------------------------------------------------------------------

struct val *act_base64(struct bytes body)
{
    struct buf text;
    buf_init(&text, body.n / 3 * 4 + 8);
    (void)cloudevent_put_base64(&text, body);
    struct val *v = text.failed ? NULL : val_str(buf_bytes(&text));
    buf_fini(&text);
    return v;
}

static bool is_json(struct bytes type)
{
    return bytes_iis(type, "application/json") || bytes_iis(type, "text/json") ||
           (type.n > 5 && bytes_iis(bytes_from(type, type.n - 5), "+json"));
}

static bool is_bytes(struct bytes type)
{
    static const char *const heads[] = {"image/",
                                        "audio/",
                                        "video/",
                                        "font/",
                                        "application/octet-stream",
                                        "application/pdf",
                                        "application/zip",
                                        "application/gzip"};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        if (bytes_iis(bytes_first(type, strlen(heads[i])), heads[i]))
            return true;
    return false;
}

struct val *act_web_content(struct bytes content_type, struct bytes body, struct err *e)
{
    struct bytes type = content_type;
    struct val *v = NULL;
    type = bytes_trim(bytes_cut(&type, ';'));
    if (!body.n)
        return val_null();
    if (is_json(type)) {
        int rc = val_parse(&v, body, e);
        return rc < 0 ? err_wrap(e, "the answer says that it is JSON"), NULL : v;
    }
    struct bytes trimmed = bytes_trim(body);
    if (!type.n && trimmed.n && (*trimmed.p == '{' || *trimmed.p == '[') &&
        val_parse(&v, trimmed, NULL) == 0)
        return v;
    if (is_bytes(type) || memchr(body.p, 0, body.n) || !bytes_is_utf8(body))
        v = act_base64(body);
    else
        v = val_str(body);
    if (!v)
        (void)err_set(e, E_NOMEM, "out of memory");
    return v;
}

// Repeated headers are one list (RFC 9110, section 5.3).
static struct val *headers_of(const struct act_fetch *f)
{
    struct val *all = val_obj();
    for (size_t i = 0; i < f->header_count; i++) {
        const struct act_header *h = &f->headers[i];
        struct val *old = val_get(all, h->name), *v;
        if (old) {
            struct buf both;
            buf_init(&both, (size_t)1 << 20);
            (void)buf_put(&both, val_bytes(old));
            (void)buf_str(&both, ", ");
            (void)buf_put(&both, h->value);
            v = both.failed ? NULL : val_str(buf_bytes(&both));
            buf_fini(&both);
        } else {
            v = val_str(h->value);
        }
        all = val_put(all, h->name, v);
    }
    return all;
}

static struct val *response_of(const struct act_web *w, const struct act_fetch *f,
                               struct val *takes_content)
{
    struct val *req = val_put_cstr(val_obj(), "method", val_str(buf_bytes(&w->method)));
    req = val_put_cstr(req, "uri", val_str(buf_bytes(w->shown.n ? &w->shown : &w->url)));
    req = val_put_cstr(req, "headers",
                       w->args.shown_headers ? val_ref(w->args.shown_headers) : val_obj());
    struct val *v = val_put_cstr(val_obj(), "request", req);
    v = val_put_cstr(v, "statusCode", val_int(f->status));
    v = val_put_cstr(v, "headers", headers_of(f));
    return val_put_cstr(v, "content", takes_content);
}

static void give_output(struct act *a, const struct act_web *w, const struct act_fetch *f)
{
    const char *how = w->args.output ? w->args.output : "content";
    struct bytes body = buf_bytes(&f->body);
    struct err e = {0};
    struct val *v;
    if (strcmp(how, "raw") == 0) {
        v = act_base64(body);
    } else if (strcmp(how, "text") == 0) {
        v = bytes_is_utf8(body) ? val_str(body) : NULL;
        if (!v)
            (void)err_set(&e, E_PARSE, "the answer is no text");
    } else {
        v = act_web_content(act_fetch_header(f, "Content-Type"), body, &e);
        if (v && strcmp(how, "response") == 0)
            v = response_of(w, f, v);
    }
    if (v)
        act_done(a, v);
    else if (e.code && e.code != E_NOMEM)
        act_fail(a, ACT_COMMUNICATION, 0, false, "%s", e.text);
    else
        act_nomem(a);
}

void act_web_status(struct act *a, struct bytes method, struct bytes shown,
                    const struct act_fetch *f)
{
    struct bytes body = bytes_trim(bytes_first(buf_bytes(&f->body), QUOTE_MAX));
    bool text = body.n && bytes_is_utf8(bytes_first(body, body.n > 4 ? body.n - 4 : body.n)) &&
                !memchr(body.p, 0, body.n);
    // Asking once more may help when the server is busy or broken, not when the request is wrong.
    bool final = f->status < 500 && f->status != 408 && f->status != 425 && f->status != 429;
    act_fail(a, ACT_COMMUNICATION, f->status, final, "%.*s %.*s answered %d%s%.*s",
             BYTES_FMT(method), BYTES_FMT(shown), f->status, text ? ": " : "",
             text ? (int)body.n : 0, text ? body.p : "");
}

// ---- the way there and back --------------------------------------------------------------------

static void send_it(struct act *a, struct act_web *w);

static void renewed(struct act *a, struct act_auth *x)
{
    struct act_web *w = x->web;
    if (w && !a->ended)
        send_it(a, w);
}

// 401: with an answer to its challenge, or with a new token, once.
static bool again(struct act *a, struct act_web *w)
{
    struct act_auth *x = w->args.auth;
    struct err e = {0};
    struct url u;
    if (w->fetch->status != 401 || !x || w->answered || (!x->digest && !x->token))
        return false;
    w->answered = true;
    if (x->token) {
        x->web = w;
        act_auth_again(x, renewed);
        return true;
    }
    buf_clear(&w->url); // where it was in the end
    (void)buf_put(&w->url, buf_bytes(&w->fetch->url));
    if (url_parse(&u, buf_bytes(&w->url), &e) < 0)
        return false;
    struct buf target;
    buf_init(&target, w->url.max);
    (void)buf_put(&target, u.path.n ? u.path : BYTES("/"));
    if (u.query.p)
        (void)buf_chr(&target, '?'), (void)buf_put(&target, u.query);
    int rc =
        act_digest(x, w->fetch, buf_bytes(&w->upper), buf_bytes(&target), buf_bytes(&w->body), &e);
    buf_fini(&target);
    if (rc < 0)
        act_fail(a, ACT_AUTHENTICATION, 0, true, "%s", e.text);
    else
        send_it(a, w);
    return true;
}

static void on_end(struct act_fetch *f, int status, const struct err *e)
{
    struct act_web *w = f->user;
    struct act *a = w->act;
    struct bytes shown = buf_bytes(w->shown.n ? &w->shown : &w->url);
    if (a->ended)
        return;
    if (status < 0) {
        struct err own = *e;
        (void)err_wrap(&own, "%.*s %.*s", BYTES_FMT(buf_bytes(&w->upper)), BYTES_FMT(shown));
        act_fail_err(a, status, &own);
        return;
    }
    if (again(a, w))
        return;
    bool good = f->status >= 200 && f->status < (w->args.redirect ? 400 : 300);
    if (!good && !w->args.any)
        act_web_status(a, buf_bytes(&w->upper), shown, f);
    else if (w->args.then)
        w->args.then(a, f);
    else
        give_output(a, w, f);
}

static bool on_part(struct act_fetch *f, struct bytes part)
{
    struct act_web *w = f->user;
    return !w->act->ended && w->args.on_part(w->act, part);
}

static void send_it(struct act *a, struct act_web *w)
{
    struct act_auth *x = w->args.auth;
    struct buf lines, body, *send_body = NULL;
    struct err e = {0};
    struct act_fetch *f = NULL;
    bool keep = x && (x->digest || x->token) && !w->answered;
    buf_init(&lines, (size_t)64 << 10);
    (void)buf_put(&lines, buf_bytes(&w->headers));
    if (x)
        (void)buf_put(&lines, buf_bytes(&x->header));
    buf_init(&body, w->body.max);
    if (w->body.n && keep) {
        (void)buf_put(&body, buf_bytes(&w->body));
        send_body = &body;
    } else if (w->body.n) {
        send_body = &w->body;
    }
    struct act_fetch_args args = {.method = buf_bytes(&w->upper),
                                  .url = buf_bytes(&w->url),
                                  .headers = buf_bytes(&lines),
                                  .body = send_body,
                                  .redirects = w->args.redirect ? HOPS_MAX : 0,
                                  .silence_ms = w->args.silence_ms,
                                  .first_byte_ms = w->args.silence_ms,
                                  .on_part = w->args.on_part ? on_part : NULL,
                                  .on_end = on_end,
                                  .self = w->args.self,
                                  .user = w};
    int rc = lines.failed || body.failed
                 ? err_set(&e, E_TOOBIG, "the request's headers or body are too large")
                 : act_fetch(a->room, &args, &f, &e);
    act_fetch_free(w->fetch);
    w->fetch = f;
    if (lines.p)
        mem_wipe(lines.p, lines.n);
    buf_fini(&lines);
    buf_fini(&body);
    if (rc < 0)
        act_fail_err(a, rc, &e);
}

static void upper(struct buf *out, struct bytes method)
{
    for (size_t i = 0; i < method.n; i++)
        (void)buf_chr(out, method.p[i] >= 'a' && method.p[i] <= 'z' ? (char)(method.p[i] - 32)
                                                                    : method.p[i]);
}

static bool has_line(struct bytes lines, const char *name)
{
    while (lines.n) {
        struct bytes line = bytes_cut(&lines, '\n');
        if (bytes_iis(bytes_cut(&line, ':'), name))
            return true;
    }
    return false;
}

static void add_lines(struct act *a, struct act_web *w)
{
    struct bytes given = w->args.headers, method = buf_bytes(&w->upper);
    bool safe = bytes_is(method, "GET") || bytes_is(method, "HEAD") || bytes_is(method, "OPTIONS");
    (void)buf_put(&w->headers, given);
    if (!has_line(given, "User-Agent"))
        (void)buf_str(&w->headers, "User-Agent: plexus/" PLEXUS_VERSION "\r\n");
    if (!has_line(given, "Accept"))
        (void)buf_str(&w->headers, "Accept: */*\r\n");
    if (w->args.once && !safe && a->args->key.n && !has_line(given, "Idempotency-Key"))
        (void)act_header_put(&w->headers, BYTES("Idempotency-Key"), a->args->key, NULL); // or none
}

void act_web(struct act *a, struct act_web **slot, const struct act_web_args *args)
{
    struct act_web *w = mem_new(struct act_web);
    act_web_free(slot);
    if (!w) {
        act_nomem(a);
        return;
    }
    *slot = w;
    w->act = a;
    w->args = *args;
    w->args.shown_headers = args->shown_headers ? val_ref(args->shown_headers) : NULL;
    buf_init(&w->method, 64);
    buf_init(&w->upper, 64);
    buf_init(&w->url, (size_t)64 << 10);
    buf_init(&w->shown, (size_t)64 << 10);
    buf_init(&w->headers, (size_t)64 << 10);
    buf_init(&w->body, (size_t)64 << 20);
    (void)buf_put(&w->method, args->method);
    upper(&w->upper, args->method);
    (void)(args->self ? buf_put(&w->url, args->url) : act_url_clean(&w->url, args->url));
    (void)buf_put(&w->shown, args->shown);
    add_lines(a, w);
    if (args->body) {
        buf_fini(&w->body);
        w->body = *args->body;
        *args->body = (struct buf){0};
    }
    bool token = w->upper.n > 0;
    for (size_t i = 0; i < w->upper.n; i++)
        token = token && w->upper.p[i] >= 'A' && w->upper.p[i] <= 'Z';
    if (!token)
        act_fail(a, ACT_CONFIGURATION, 0, true, "\"%.*s\" is no HTTP method",
                 BYTES_FMT(buf_bytes(&w->upper)));
    else if (w->url.failed || w->shown.failed || w->headers.failed)
        act_fail(a, ACT_CONFIGURATION, 0, true, "the address or the headers are too long");
    else
        send_it(a, w);
}

void act_web_free(struct act_web **slot)
{
    struct act_web *w = *slot;
    if (!w)
        return;
    struct buf *const bufs[] = {&w->method, &w->upper, &w->url, &w->shown, &w->headers, &w->body};
    *slot = NULL;
    if (w->args.auth && w->args.auth->web == w)
        w->args.auth->web = NULL;
    act_fetch_free(w->fetch);
    for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++) {
        if (bufs[i]->p)
            mem_wipe(bufs[i]->p, bufs[i]->n);
        buf_fini(bufs[i]);
    }
    val_unref(w->args.shown_headers);
    mem_free(w);
}
