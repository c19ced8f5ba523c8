// links_anon.c: one POST over TLS where only the server shows a certificate: a join, a renewal.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "links/links_priv.h"
#include "text/json.h"
#include <stdio.h>
#include <string.h>

struct links_anon {
    struct links_anon_args args;
    struct net_tls *tls;
    struct http_pool *pool;
    struct http_call *call;
    struct buf body, answer;
    struct bytes sent;
    struct timer deadline;
    int http;
    bool over;
};

int links_error_of(int http_status, struct bytes body, struct err *e)
{
    struct json_doc *doc = NULL;
    int code = http_status == 401   ? E_UNAUTH
               : http_status == 403 ? E_FORBIDDEN
               : http_status == 404 ? E_NOTFOUND
               : http_status == 409 ? E_EXISTS
               : http_status == 503 ? E_UNAVAILABLE
               : http_status >= 500 ? E_UPSTREAM
                                    : E_INVALID;
    if (json_parse(&doc, body, 0, NULL) == 0) {
        const struct json *error = json_get(json_root(doc), "error");
        (void)err_set(e, code, "%s", json_cstr(json_get(error, "message"), "refused"));
    } else {
        (void)err_set(e, code, "the other node answered with status %d", http_status);
    }
    json_free(doc);
    return code;
}

static void finish(struct links_anon *a, int status, const struct err *e)
{
    if (a->over)
        return;
    a->over = true;
    timer_stop(a->args.timers, &a->deadline);
    a->args.done(a->args.user, status, buf_bytes(&a->answer), e);
}

static void on_head(struct http_call *c, const struct http_head *head)
{
    struct links_anon *a = http_call_user(c);
    a->http = head->status;
}

static void on_body(struct http_call *c, const char *p, size_t n)
{
    struct links_anon *a = http_call_user(c);
    (void)buf_add(&a->answer, p, n);
}

static void on_end(struct http_call *c, int status, const struct err *e)
{
    struct links_anon *a = http_call_user(c);
    struct err told = {0};
    if (status == E_CANCELLED)
        return;
    a->call = NULL;
    if (status == 0 && a->answer.failed)
        status = err_set(&told, E_TOOBIG, "the answer is too large");
    else if (status == 0 && a->http != 200)
        status = links_error_of(a->http, buf_bytes(&a->answer), &told);
    else if (status < 0 && e)
        told = *e;
    finish(a, status, status < 0 ? &told : NULL);
}

static const struct http_call_handler handler = {on_head, on_body, on_end};

static void on_deadline(struct timer *t)
{
    struct links_anon *a = t->user;
    struct err e = {0};
    (void)err_set(&e, E_TIMEOUT, "no answer from %s:%u after %lld ms", a->args.addr.host,
                  a->args.addr.port, (long long)a->args.timeout_ms);
    if (a->call)
        http_call_cancel(a->call);
    a->call = NULL;
    finish(a, E_TIMEOUT, &e);
}

int links_anon(struct links_anon **ret, const struct links_anon_args *args, struct err *e)
{
    struct links_anon *a = mem_new(struct links_anon);
    if (!a)
        return err_set(e, E_NOMEM, "out of memory");
    a->args = *args;
    buf_init(&a->body, AUTHORITY_BODY_MAX);
    buf_init(&a->answer, LINKS_ANSWER_MAX);
    struct net_tls_args tls = {.verify = args->verify, .user = args->user, .alpn = LINKS_ALPN};
    int status = buf_put(&a->body, args->body) < 0
                     ? err_set(e, E_TOOBIG, "the request is too large")
                     : net_tls_new(&a->tls, &tls, e);
    struct http_pool_args pool = {.net = args->net,
                                  .timers = args->timers,
                                  .addr = args->addr,
                                  .tls = a->tls,
                                  .connect_ms = args->timeout_ms};
    if (status == 0)
        status = http_pool_new(&a->pool, &pool, e);
    a->sent = buf_bytes(&a->body);
    struct http_call_args call = {.method = BYTES("POST"),
                                  .target = bytes_of(args->target),
                                  .headers = BYTES("Content-Type: application/json\r\n"
                                                   "Connection: close\r\n"),
                                  .body = &a->sent,
                                  .body_count = 1,
                                  .first_byte_ms = args->timeout_ms,
                                  .silence_ms = args->timeout_ms,
                                  .handler = &handler,
                                  .user = a};
    if (status == 0)
        status = http_call_start(a->pool, &call, &a->call, e);
    if (status < 0) {
        a->over = true;
        links_anon_free(a);
        return status;
    }
    a->deadline = (struct timer){.fn = on_deadline, .user = a};
    (void)timer_start(args->timers, &a->deadline, args->timeout_ms);
    *ret = a;
    return 0;
}

// Harmless from inside done: nothing of it is looked at after that.
void links_anon_free(struct links_anon *a)
{
    if (!a)
        return;
    timer_stop(a->args.timers, &a->deadline);
    if (a->call)
        http_call_cancel(a->call);
    http_pool_free(a->pool);
    net_tls_free(a->tls);
    if (a->body.p)
        mem_wipe(a->body.p, a->body.cap);
    buf_fini(&a->body);
    buf_fini(&a->answer);
    mem_free(a);
}
