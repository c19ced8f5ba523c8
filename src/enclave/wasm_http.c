// wasm_http.c: http_request of a guest: read and bounded here, carried out by the loop's client,
// which alone decides about hosts and addresses; the worker waits. SPDX-License-Identifier:
// Apache-2.0
#include "base/alloc.h"
#include "enclave/enclave_priv.h"
#include "text/val.h"

#include <string.h>

#define HOST(name) static void *name(void *env, void *caller, union wasm_raw *v, size_t n)
#define UNUSED (void)env, (void)caller, (void)n

enum { METHOD_MAX = 16, URL_MAX = 8192, HEADERS_MAX = 32768, CLOSE_NS = 2000000 };

static bool token(struct bytes s) // RFC 9110, section 5.6.2
{
    for (size_t i = 0; i < s.n; i++)
        if (!((s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= 'A' && s.p[i] <= 'Z') ||
              (s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] && strchr("!#$%&'*+-.^_`|~", s.p[i]))))
            return false;
    return s.n > 0;
}

static bool line_text(struct bytes s) // nothing that ends a line
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < ' ' && s.p[i] != '\t')
            return false;
    return true;
}

// Headers that are the client's to say, not a guest's.
static bool reserved(struct bytes name)
{
    static const char *const names[] = {"host",
                                        "content-length",
                                        "transfer-encoding",
                                        "connection",
                                        "accept-encoding",
                                        "upgrade",
                                        "te",
                                        "trailer",
                                        "expect",
                                        "proxy-connection",
                                        "keep-alive"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (bytes_iis(name, names[i]))
            return true;
    return false;
}

static int headers(const struct val *from, struct buf *out, struct err *e)
{
    size_t at = 0;
    struct bytes name;
    struct val *value;
    while (from && val_each(from, &at, &name, &value)) {
        struct bytes text = val_bytes(value);
        if (!val_is(value, JSON_STR) || !token(name) || !line_text(text))
            return err_set(e, E_INVALID, "http_request: a header that is none: %.*s",
                           BYTES_FMT(bytes_first(name, 80)));
        if (reserved(name))
            continue;
        (void)buf_put(out, name);
        (void)buf_str(out, ": ");
        (void)buf_put(out, text);
        (void)buf_str(out, "\r\n");
    }
    return out->failed
               ? err_set(e, E_TOOBIG, "http_request: headers of more than %d bytes", HEADERS_MAX)
               : 0;
}

struct request {
    struct val *json;
    struct buf lines;
    char method[METHOD_MAX];
};

static int request(struct request *r, struct bytes text, struct sandbox_http *h, struct err *e)
{
    int rc = val_parse(&r->json, text, e);
    if (rc != 0)
        return err_wrap(e, "http_request");
    struct bytes url = val_bytes(val_get_cstr(r->json, "url"));
    struct bytes method = bytes_of(val_text(val_get_cstr(r->json, "method"), "GET"));
    if (!url.n || url.n > URL_MAX || !line_text(url))
        return err_set(e, E_INVALID, "http_request: no url");
    if (!token(method) || method.n >= METHOD_MAX)
        return err_set(e, E_INVALID, "http_request: no method");
    for (size_t i = 0; i < method.n; i++)
        r->method[i] =
            (char)(method.p[i] >= 'a' && method.p[i] <= 'z' ? method.p[i] - 32 : method.p[i]);
    h->url = url;
    h->method = (struct bytes){r->method, method.n};
    rc = headers(val_get_cstr(r->json, "headers"), &r->lines, e);
    h->headers = buf_bytes(&r->lines);
    return rc;
}

static void on_done(struct sandbox_http *h, int status, int code, struct bytes head,
                    struct bytes body, const struct err *e)
{
    struct wasm_job *j = h->user;
    struct enclave *c = j->enclave;
    j->http_status = status;
    j->http_code = code;
    j->http_text[0] = '\0';
    if (status == 0) {
        (void)buf_put(&j->http_headers, head);
        if (buf_put(&j->http_body, body) != 0)
            j->http_status = E_TOOBIG;
    } else if (e) {
        size_t length = e->n < sizeof j->http_text - 1 ? e->n : sizeof j->http_text - 1;
        memcpy(j->http_text, e->text, length);
        j->http_text[length] = '\0';
    }
    lock_take(c->lock);
    j->http_state = WASM_HTTP_DONE;
    lock_wake(c->lock);
    lock_give(c->lock);
}

// What the request came to, for the guest: its answer, or the end.
static void *answer(struct wasm_job *j, union wasm_raw *v)
{
    struct bytes body = buf_bytes(&j->http_body);
    const char *why = j->http_text[0] ? j->http_text : err_info(j->http_status)->text;
    if (j->http_status == E_FORBIDDEN || j->http_status == E_SECURITY)
        return wasm_stop(j, SANDBOX_DENIED, "%s", why);
    if (j->http_status == E_TOOBIG)
        return wasm_stop(j, SANDBOX_HTTP, "the answers of this call have more than %zu bytes",
                         j->limits.http_bytes);
    if (j->http_status == E_TIMEOUT && time_mono_ns() + CLOSE_NS >= j->due_ns)
        return wasm_late(j); // the client was given what was left of the guest's time
    if (j->http_status != 0)
        return wasm_stop(j, SANDBOX_HTTP, "http_request: %s", why);
    j->used.http_bytes += body.n;
    uint64_t at = body.n ? wasm_give(j, body) : 0;
    if (body.n && !at)
        return wasm_stop(j, SANDBOX_MEMORY, "no memory for the answer's %zu bytes", body.n);
    v[0].i64 = (int64_t)at;
    return NULL;
}

static void *ask(struct wasm_job *j, struct bytes text, struct bytes body, union wasm_raw *v)
{
    struct request r = {0};
    struct err e = {0};
    void *stop;
    buf_init(&r.lines, HEADERS_MAX);
    size_t left = j->limits.http_bytes - (size_t)j->used.http_bytes;
    buf_fini(&j->http_body);
    buf_fini(&j->http_headers);
    buf_init(&j->http_body, left);
    buf_init(&j->http_headers, HEADERS_MAX * 4);
    j->http_code = 0;
    j->http = (struct sandbox_http){.body = body,
                                    .hosts = j->call->grants.hosts,
                                    .nhosts = j->call->grants.nhosts,
                                    .body_max = left,
                                    .done = on_done,
                                    .user = j};
    uint64_t now = time_mono_ns();
    j->http.timeout_ms = j->due_ns > now ? (int64_t)((j->due_ns - now) / 1000000) + 1 : 1;
    if (request(&r, text, &j->http, &e) != 0)
        stop = wasm_stop(j, SANDBOX_TRAP, "%s", e.text);
    else if (!j->enclave->args.http.start || !j->http.nhosts)
        stop =
            wasm_stop(j, SANDBOX_DENIED, "HTTP request to %.*s is not allowed: no host is granted",
                      BYTES_FMT(bytes_first(j->http.url, 200)));
    else if (!wasm_ask(j))
        stop = wasm_late(j);
    else
        stop = answer(j, v);
    val_unref(r.json);
    buf_fini(&r.lines);
    return stop;
}

HOST(f_http_request)
{
    UNUSED;
    struct wasm_job *j = wasm_now();
    struct wasm_kernel *k = &j->inst->kernel;
    uint64_t at = (uint64_t)v[0].i64, body_at = (uint64_t)v[1].i64;
    void *stop = wasm_counted(j);
    if (stop)
        return stop;
    struct bytes text = wasm_kernel_block(k, at), body = wasm_kernel_block(k, body_at);
    if (!text.p || (body_at && !body.p))
        return wasm_stop(j, SANDBOX_TRAP, "invalid handle offset for http request: %llu",
                         (unsigned long long)(text.p ? body_at : at));
    v[0].i64 = 0;
    stop = ask(j, text, body, v);
    if (stop)
        return stop;
    wasm_kernel_free(k, at);
    wasm_kernel_free(k, body_at);
    return NULL;
}

HOST(f_http_status_code)
{
    UNUSED;
    v[0].i64 = wasm_now()->http_code;
    return NULL;
}

HOST(f_http_headers)
{
    UNUSED;
    struct wasm_job *j = wasm_now();
    void *stop = wasm_counted(j);
    if (stop)
        return stop;
    struct bytes head = buf_bytes(&j->http_headers);
    v[0].i64 = (int64_t)wasm_give(j, head.n ? head : BYTES("{}"));
    return NULL;
}

const struct wasm_host wasm_http_hosts[] = {
    {"http_request", "II>I", f_http_request, false},
    {"http_status_code", ">i", f_http_status_code, false},
    {"http_headers", ">I", f_http_headers, false},
    {NULL, NULL, NULL, false},
};
