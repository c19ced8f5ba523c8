// capreg_fetch.c: one request to a registry: its answer measured before it is read, one deadline
// for all of it. SPDX-License-Identifier: Apache-2.0
#include "toolbox/capreg_priv.h"

#include <stdio.h>
#include <string.h>

#define LOCATION_MAX 2048

struct capreg_fetch {
    struct capreg_fetch_args args;
    struct http_pool *pool;
    struct net_tls *tls;
    struct http_call *call;
    struct timer deadline; // also the end, which must not come from inside the pool's callbacks
    struct buf answer, target, url, body;
    struct bytes view; // of the body
    char location[LOCATION_MAX];
    int http, status;
    bool ended, silent; // silent: cancelled, so only freed
    struct err e;
};

static void fetch_free(struct capreg_fetch *f)
{
    timer_stop(f->args.timers, &f->deadline);
    http_pool_free(f->pool);
    net_tls_free(f->tls);
    buf_fini(&f->answer);
    buf_fini(&f->target);
    buf_fini(&f->url);
    buf_fini(&f->body);
    mem_free(f);
}

static void finish(struct capreg_fetch *f)
{
    if (!f->silent)
        f->args.done(f->args.user, f->status, f->http, buf_bytes(&f->answer), bytes_of(f->location),
                     f->status ? &f->e : NULL);
    fetch_free(f);
}

// The first reason stays.
static void stop(struct capreg_fetch *f, int code, const char *why)
{
    if (!f->status)
        f->status =
            err_set(&f->e, code, "%.*s: %s", BYTES_FMT(bytes_first(buf_bytes(&f->url), 300)), why);
    if (f->call)
        http_call_cancel(f->call);
}

static void on_head(struct http_call *call, const struct http_head *head)
{
    struct capreg_fetch *f = http_call_user(call);
    struct bytes length = http_header(head, "content-length"),
                 location = http_header(head, "location");
    uint64_t n;
    f->http = head->status;
    (void)snprintf(f->location, sizeof f->location, "%.*s", BYTES_FMT(location));
    if (length.n && bytes_u64(length, &n) && n > f->args.answer_max)
        stop(f, E_TOOBIG, "the answer is larger than it may be");
}

static void on_body(struct http_call *call, const char *p, size_t n)
{
    struct capreg_fetch *f = http_call_user(call);
    if (!f->status && buf_add(&f->answer, p, n))
        stop(f, f->answer.failed, "the answer is larger than it may be");
}

static void on_end(struct http_call *call, int status, const struct err *why)
{
    struct capreg_fetch *f = http_call_user(call);
    f->call = NULL;
    if (status && !f->status)
        stop(f, status, why && why->n ? why->text : err_info(status)->text);
    f->ended = true;
    (void)timer_start(f->args.timers, &f->deadline, 0); // it runs: it is moved, which cannot fail
}

static void on_deadline(struct timer *t)
{
    struct capreg_fetch *f = t->user;
    if (f->ended)
        finish(f);
    else
        stop(f, E_TIMEOUT, "it took too long");
}

static int open_pool(struct capreg_fetch *f, struct err *e)
{
    struct url u;
    struct http_pool_args pool = {.net = f->args.net, .timers = f->args.timers, .idle_max = 1};
    int rc = url_parse(&u, f->args.url, e);
    if (rc)
        return rc;
    if (u.host.n >= sizeof pool.addr.host)
        return err_set(e, E_INVALID, "%.*s: the name is too long", BYTES_FMT(f->args.url));
    memcpy(pool.addr.host, u.host.p, u.host.n);
    pool.addr.port = u.port;
    if (u.tls && (rc = net_tls_new(&f->tls, &(struct net_tls_args){.ca_file = f->args.ca_file}, e)))
        return rc;
    pool.tls = f->tls;
    pool.connect_ms = f->args.timeout_ms;
    (void)buf_put(&f->target, u.path.n ? u.path : BYTES("/"));
    if (u.query.n) {
        (void)buf_chr(&f->target, '?');
        (void)buf_put(&f->target, u.query);
    }
    if (f->target.failed)
        return err_set(e, E_TOOBIG, "the address is too long");
    return http_pool_new(&f->pool, &pool, e);
}

int capreg_fetch_start(struct capreg_fetch **ret, const struct capreg_fetch_args *args,
                       struct err *e)
{
    static const struct http_call_handler handler = {on_head, on_body, on_end};
    struct capreg_fetch *f = mem_new(struct capreg_fetch);
    if (!f)
        return err_set(e, E_NOMEM, "out of memory");
    f->args = *args;
    f->deadline = (struct timer){.fn = on_deadline, .user = f};
    buf_init(&f->answer, args->answer_max);
    buf_init(&f->body, MANIFEST_PACK_MAX);
    buf_init(&f->url, LOCATION_MAX);
    (void)buf_put(&f->url, args->url);
    buf_init(&f->target, LOCATION_MAX);
    if (args->body) {
        f->body = *args->body;
        buf_init(args->body, MANIFEST_PACK_MAX);
    }
    f->view = buf_bytes(&f->body);
    int rc = open_pool(f, e);
    if (!rc && (rc = timer_start(args->timers, &f->deadline, args->timeout_ms)))
        rc = err_set(e, rc, "out of memory");
    if (!rc)
        rc = http_call_start(f->pool,
                             &(struct http_call_args){.method = bytes_of(args->method),
                                                      .target = buf_bytes(&f->target),
                                                      .headers = args->headers,
                                                      .body = &f->view,
                                                      .body_count = f->view.n ? 1 : 0,
                                                      .first_byte_ms = args->timeout_ms,
                                                      .silence_ms = args->timeout_ms,
                                                      .handler = &handler,
                                                      .user = f},
                             &f->call, e);
    if (rc)
        fetch_free(f);
    else
        *ret = f;
    return rc;
}

void capreg_fetch_cancel(struct capreg_fetch *f)
{
    if (!f)
        return;
    f->silent = true;
    if (f->call)
        http_call_cancel(f->call); // on_end comes, then it is freed
}

static int code_of(int http)
{
    static const struct {
        int http, code;
    } codes[] = {{401, E_UNAUTH},   {403, E_FORBIDDEN}, {404, E_NOTFOUND}, {408, E_REQ_TIMEOUT},
                 {409, E_CONFLICT}, {413, E_TOOBIG},    {429, E_RATE},     {503, E_UNAVAILABLE},
                 {504, E_TIMEOUT},  {507, E_NOSPACE}};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (codes[i].http == http)
            return codes[i].code;
    return http >= 500 || http < 400 ? E_UPSTREAM : E_INVALID;
}

int capreg_status(int http, struct bytes url, struct bytes body, struct err *e)
{
    struct json_doc *doc = NULL;
    char slug[ERR_SLUG_MAX];
    if (http >= 200 && http < 300)
        return 0;
    int code = code_of(http);
    (void)json_parse(&doc, body, 0, NULL);
    const struct json *error = json_get(json_root(doc), "error"); // a node's
    struct bytes said = json_str(json_get(error, "message")),
                 symbol = json_str(json_get(error, "code"));
    if (!said.n) // OCI's
        said = json_str(json_ptr(json_root(doc), BYTES("/errors/0/message")));
    static const int known[] = {E_SECURITY, E_MANIFEST};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        err_slug(known[i], slug);
        if (bytes_is(symbol, slug))
            code = known[i];
    }
    (void)err_set(e, code, "%.*s answers %d%s%.*s", BYTES_FMT(bytes_first(url, 300)), http,
                  said.n ? ": " : "", BYTES_FMT(bytes_first(said, 400)));
    json_free(doc);
    return code;
}
