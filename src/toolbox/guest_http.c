// guest_http.c: one request of a guest, hop by hop: granted? resolved, looked at, connected to,
// answered, perhaps sent on. Bodies are taken as they come (identity is asked for, nothing is ever
// unpacked) and counted. SPDX-License-Identifier: Apache-2.0
#include "toolbox/guest_http.h"
#include "base/alloc.h"
#include "base/arena.h"
#include "http/http.h"
#include "text/url.h"
#include "toolbox/guest_http_priv.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

enum { URL_BYTES = 8192, HEAD_BYTES = 32768, LINES_BYTES = 65536 };

struct guest_http {
    struct guest_http_args args;
    struct list requests;
    size_t count; // requests, and what still runs for those that were cancelled
    bool freed;
};

struct request {
    struct list link;
    struct guest_http *of;
    struct sandbox_http *h; // NULL: cancelled, or told
    struct http_pool *pool;
    struct http_call *call;
    struct timer timer;
    struct guest_resolve resolve;
    bool resolving;
    struct arena *arena;
    struct bytes url; // of this hop
    struct url at;
    struct bytes method, body, origin;
    struct buf lines, head, answer;
    unsigned hops;
    int code;
    struct bytes location; // not empty: the next hop
    int status;
    struct err err;
    bool over;
};

static void hop(struct request *r);

static void request_free(struct request *r)
{
    struct guest_http *g = r->of;
    if (r->call || r->resolving) // its end comes here again
        return;
    timer_stop(g->args.timers, &r->timer);
    if (r->pool)
        http_pool_free(r->pool);
    list_del(&r->link);
    arena_free(r->arena);
    buf_fini(&r->lines);
    buf_fini(&r->head);
    buf_fini(&r->answer);
    mem_free(r);
    if (--g->count == 0 && g->freed)
        mem_free(g);
}

// Told in the next round, when nothing of it runs any more.
static void ends(struct request *r, int status)
{
    if (r->over)
        return;
    r->over = true;
    r->status = status;
    if (r->call)
        http_call_cancel(r->call);
    (void)timer_start(r->of->args.timers, &r->timer, 0);
}

static void on_timer(struct timer *t)
{
    struct request *r = t->user;
    struct sandbox_http *h = r->h;
    if (!r->over) {
        ends(r, err_set(&r->err, E_TIMEOUT, "%.*s did not answer in time",
                        BYTES_FMT(bytes_first(r->url, 200))));
        return;
    }
    r->h = NULL;
    if (h)
        h->done(h, r->status, r->code, r->status ? BYTES_NONE : buf_bytes(&r->head),
                r->status ? BYTES_NONE : buf_bytes(&r->answer), r->status ? &r->err : NULL);
    request_free(r);
}

// ---- an answer ----------------------------------------------------------------------------------

// {"name":"value",...}; a name that came twice: values joined, as RFC 9110 5.2 has it.
static void head_json(struct request *r, const struct http_head *head)
{
    struct val *o = val_obj();
    for (size_t i = 0; i < head->count; i++) {
        char name[128];
        struct bytes from = bytes_first(head->headers[i].name, sizeof name);
        for (size_t k = 0; k < from.n; k++)
            name[k] = (char)(from.p[k] >= 'A' && from.p[k] <= 'Z' ? from.p[k] + 32 : from.p[k]);
        struct bytes key = {name, from.n}, value = head->headers[i].value;
        struct bytes before = val_bytes(val_get(o, key));
        char *both = before.p
                         ? arena_fmt(r->arena, "%.*s, %.*s", BYTES_FMT(before), BYTES_FMT(value))
                         : NULL;
        if (both)
            value = bytes_of(both);
        o = val_put(o, key, bytes_is_utf8(value) ? val_str(value) : val_cstr("?"));
    }
    buf_clear(&r->head);
    (void)val_write(&r->head, o);
    val_unref(o);
}

static bool redirects(int code)
{
    return code == 301 || code == 302 || code == 303 || code == 307 || code == 308;
}

static void on_head(struct http_call *c, const struct http_head *head)
{
    struct request *r = http_call_user(c);
    struct bytes location = http_header(head, "location");
    r->code = head->status;
    r->location = BYTES_NONE;
    if (redirects(head->status) && location.n && location.n < URL_BYTES)
        r->location = arena_dup(r->arena, location);
    head_json(r, head);
    if (head->has_length && r->h && head->length > r->h->body_max && !r->location.n)
        ends(r, err_set(&r->err, E_TOOBIG, "the answer has more than %zu bytes", r->h->body_max));
}

static void on_body(struct http_call *c, const char *p, size_t n)
{
    struct request *r = http_call_user(c);
    if (r->over || r->location.n)
        return; // a redirect's own text is nobody's
    if (buf_add(&r->answer, p, n) == E_TOOBIG)
        ends(r, err_set(&r->err, E_TOOBIG, "the answer has more than %zu bytes", r->answer.max));
    else if (r->answer.failed)
        ends(r, err_set(&r->err, E_NOMEM, "no memory for the answer"));
}

// The origin's secrets do not go along to another.
static void drop_secrets(struct request *r)
{
    static const char *const secret[] = {"authorization", "cookie", "proxy-authorization"};
    struct bytes rest = buf_bytes(&r->lines);
    struct buf kept;
    buf_init(&kept, LINES_BYTES);
    while (rest.n) {
        struct bytes whole = bytes_cut(&rest, '\n'), line = whole;
        struct bytes name = bytes_cut(&line, ':');
        bool out = false;
        for (size_t i = 0; i < sizeof secret / sizeof *secret; i++)
            out = out || bytes_iis(name, secret[i]);
        if (!out) {
            (void)buf_put(&kept, whole);
            (void)buf_chr(&kept, '\n');
        }
    }
    buf_fini(&r->lines);
    r->lines = kept;
}

static void next_hop(struct request *r)
{
    struct bytes from = r->url, to = url_resolve(r->arena, from, r->location);
    struct bytes fragment;
    if (!to.p || r->hops++ >= GUEST_HTTP_REDIRECTS) {
        ends(r, err_set(&r->err, to.p ? E_UPSTREAM : E_NOMEM, "more than %d redirects",
                        GUEST_HTTP_REDIRECTS));
        return;
    }
    (void)url_cut_fragment(&to, &fragment);
    bool get = bytes_is(r->method, "GET") || bytes_is(r->method, "HEAD");
    if (!get &&
        (r->code == 303 || ((r->code == 301 || r->code == 302) && bytes_is(r->method, "POST")))) {
        r->method = BYTES("GET"); // RFC 9110, 15.4
        r->body = BYTES_NONE;
    }
    r->url = to;
    r->location = BYTES_NONE;
    buf_clear(&r->answer);
    http_pool_free(r->pool);
    r->pool = NULL;
    hop(r);
}

static void on_end(struct http_call *c, int status, const struct err *e)
{
    struct request *r = http_call_user(c);
    r->call = NULL;
    if (!r->h) {
        request_free(r);
        return;
    }
    if (r->over)
        return;
    if (status != 0) {
        if (e)
            r->err = *e;
        ends(r, status == E_CANCELLED ? E_CLOSED : status);
    } else if (r->location.n) {
        next_hop(r);
    } else {
        ends(r, 0);
    }
}

// ---- a hop --------------------------------------------------------------------------------------

static int connect_to(struct request *r, const char *address, struct err *e)
{
    static const struct http_call_handler handler = {on_head, on_body, on_end};
    const struct guest_http_args *a = &r->of->args;
    struct net_tls *tls = NULL;
    char host[300], name[256];
    bool v6 = bytes_chr(r->at.host, ':') >= 0, own = r->at.port == (r->at.tls ? 443 : 80);
    if (r->at.tls && (!a->tls || !(tls = a->tls(a->user, e))))
        return a->tls ? E_CONFIG : err_set(e, E_CONFIG, "this node has no TLS for https");
    (void)snprintf(name, sizeof name, "%.*s", BYTES_FMT(r->at.host));
    int n = snprintf(host, sizeof host, v6 ? "[%s]" : "%s", name);
    if (!own)
        (void)snprintf(host + n, sizeof host - (size_t)n, ":%u", r->at.port);
    struct http_pool_args pool = {.net = a->net,
                                  .timers = a->timers,
                                  .addr = {.port = r->at.port},
                                  .tls = tls,
                                  .host_header = host,
                                  .server_name = name,
                                  .idle_max = 1,
                                  .head_bytes = HEAD_BYTES};
    (void)snprintf(pool.addr.host, sizeof pool.addr.host, "%s", address);
    int rc = http_pool_new(&r->pool, &pool, e);
    if (rc != 0)
        return rc;
    const char *mark = r->at.query.p ? "?" : "";
    char *target = arena_fmt(r->arena, "%.*s%s%.*s", r->at.path.n ? (int)r->at.path.n : 1,
                             r->at.path.n ? r->at.path.p : "/", mark, BYTES_FMT(r->at.query));
    if (!target)
        return err_set(e, E_NOMEM, "no memory for a request");
    struct http_call_args call = {.method = r->method,
                                  .target = bytes_of(target),
                                  .headers = buf_bytes(&r->lines),
                                  .body = &r->body,
                                  .body_count = r->body.n ? 1 : 0,
                                  .first_byte_ms = r->h->timeout_ms,
                                  .silence_ms = r->h->timeout_ms,
                                  .handler = &handler,
                                  .user = r};
    return http_call_start(r->pool, &call, &r->call, e);
}

// "*" and "*.x" grant no private address: only a pattern that is the address itself.
static bool named(const struct sandbox_http *h, const struct url *u)
{
    for (size_t i = 0; i < h->nhosts; i++)
        if (bytes_chr(h->hosts[i], '*') < 0 &&
            guest_http_granted(&h->hosts[i], 1, u->host, u->port, u->tls))
            return true;
    return false;
}

// Of a host that is a name all addresses must be public; a grant that is an address is meant.
static int look_at(struct request *r, struct err *e)
{
    const struct guest_resolve *g = &r->resolve;
    if (bytes_iis(r->at.host, "localhost") && named(r->h, &r->at))
        return 0;
    for (int i = 0; i < g->count; i++)
        if (guest_http_private(g->addresses[i].text))
            return err_set(e, E_FORBIDDEN, "%.*s has the private address %s, which is not granted",
                           BYTES_FMT(bytes_first(r->at.host, 100)), g->addresses[i].text);
    return 0;
}

static void on_resolved(struct guest_resolve *g)
{
    struct request *r = container_of(g, struct request, resolve);
    struct err e = {0};
    r->resolving = false;
    if (!r->h) {
        request_free(r);
        return;
    }
    if (r->over)
        return;
    int rc = g->count < 0 ? g->count : g->count == 0 ? E_NOTFOUND : look_at(r, &e);
    if (g->count <= 0)
        rc = err_set(&e, rc, "%.*s cannot be resolved: %s", BYTES_FMT(bytes_first(r->at.host, 100)),
                     g->err.n ? g->err.text : "no address");
    if (rc == 0)
        rc = connect_to(r, g->addresses[0].text, &e);
    if (rc != 0) {
        r->err = e;
        ends(r, rc);
    }
}

static bool is_address(struct bytes host, char *ret, size_t n)
{
    unsigned char p[16];
    (void)snprintf(ret, n, "%.*s", BYTES_FMT(host));
    return host.n < n && (inet_pton(AF_INET, ret, p) == 1 || inet_pton(AF_INET6, ret, p) == 1);
}

static int hop_start(struct request *r, struct err *e)
{
    char address[64];
    const struct guest_http_args *a = &r->of->args;
    int rc = url_parse(&r->at, r->url, e);
    if (rc != 0)
        return rc;
    if (bytes_is(r->method, "CONNECT") || bytes_is(r->method, "TRACE"))
        return err_set(e, E_FORBIDDEN, "the method %.*s is not allowed", BYTES_FMT(r->method));
    if (!guest_http_granted(r->h->hosts, r->h->nhosts, r->at.host, r->at.port, r->at.tls))
        return err_set(e, E_FORBIDDEN, "HTTP request to %.*s is not allowed%s",
                       BYTES_FMT(bytes_first(r->url, 200)), r->hops ? " (a redirect)" : "");
    struct bytes origin =
        bytes_first(r->url, (size_t)(r->at.path.p ? r->at.path.p - r->url.p : (ptrdiff_t)r->url.n));
    if (r->origin.p && !bytes_ieq(origin, r->origin))
        drop_secrets(r);
    r->origin = origin;
    if (is_address(r->at.host, address, sizeof address)) {
        if (guest_http_private(address) && !named(r->h, &r->at))
            return err_set(e, E_FORBIDDEN, "the private address %s is not granted", address);
        return connect_to(r, address, e);
    }
    r->resolve.resolve = a->resolve;
    r->resolve.user = a->user;
    r->resolve.done = on_resolved;
    rc = guest_resolve_start(&r->resolve, a->work, r->at.host, e);
    r->resolving = rc == 0;
    return rc;
}

static void hop(struct request *r)
{
    struct err e = {0};
    int rc = hop_start(r, &e);
    if (rc != 0) {
        r->err = e;
        ends(r, rc);
    }
}

// ---- the client ---------------------------------------------------------------------------------

static int start(void *user, struct sandbox_http *h, struct err *e)
{
    struct guest_http *g = user;
    if (g->count >= g->args.requests_max)
        return err_set(e, E_FULL, "%zu requests of guests run", g->count);
    struct request *r = mem_new(struct request);
    if (!r || !(r->arena = arena_new((size_t)1 << 20))) {
        mem_free(r);
        return err_set(e, E_NOMEM, "no memory for a request");
    }
    r->of = g;
    r->h = h;
    r->url = arena_dup(r->arena, h->url);
    r->method = arena_dup(r->arena, h->method);
    r->body = h->body;
    buf_init(&r->lines, LINES_BYTES);
    (void)buf_put(&r->lines, h->headers);
    (void)buf_str(&r->lines, "Accept-Encoding: identity\r\n");
    buf_init(&r->head, LINES_BYTES * 2);
    buf_init(&r->answer, h->body_max);
    r->timer.fn = on_timer;
    r->timer.user = r;
    h->priv = r;
    list_add_tail(&g->requests, &r->link);
    g->count++;
    int rc = r->lines.failed || !r->url.p || !r->method.p
                 ? err_set(e, E_TOOBIG, "the request is too large")
                 : timer_start(g->args.timers, &r->timer, h->timeout_ms);
    if (rc != 0) {
        request_free(r);
        return rc;
    }
    hop(r);
    return 0;
}

static void cancel(void *user, struct sandbox_http *h)
{
    struct request *r = h->priv;
    (void)user;
    r->h = NULL;
    r->over = true;
    timer_stop(r->of->args.timers, &r->timer);
    if (r->call)
        http_call_cancel(r->call); // its end frees it
    else
        request_free(r);
}

int guest_http_new(struct guest_http **ret, const struct guest_http_args *args, struct err *e)
{
    struct guest_http *g = mem_new(struct guest_http);
    if (!g)
        return err_set(e, E_NOMEM, "no memory for a client");
    g->args = *args;
    if (!g->args.requests_max)
        g->args.requests_max = 64;
    list_init(&g->requests);
    *ret = g;
    return 0;
}

struct sandbox_client guest_http_client(struct guest_http *g)
{
    return (struct sandbox_client){start, cancel, g};
}

void guest_http_free(struct guest_http *g)
{
    if (!g)
        return;
    g->freed = true;
    g->count++;
    list_each_safe (it, &g->requests) {
        struct request *r = container_of(it, struct request, link);
        if (r->h)
            cancel(g, r->h);
    }
    if (--g->count == 0)
        mem_free(g);
}
