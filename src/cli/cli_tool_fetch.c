// cli_tool_fetch.c: a package from an address. SPDX-License-Identifier: Apache-2.0
#include "cli/cli_tool_priv.h"

#include "text/url.h"

#include <string.h>

#define SILENCE_MS 30000

struct fetch {
    struct loop *loop;
    struct http_pool *pool;
    struct net_tls *tls;
    struct timer end;
    struct buf *ret;
    int http, status;
    char why[300];
};

static void on_end_timer(struct timer *t)
{
    struct fetch *f = t->user;
    loop_stop(f->loop);
}

static void on_head(struct http_call *call, const struct http_head *head)
{
    struct fetch *f = http_call_user(call);
    f->http = head->status;
}

static void on_body(struct http_call *call, const char *p, size_t n)
{
    struct fetch *f = http_call_user(call);
    if (!f->ret->failed && buf_add(f->ret, p, n))
        http_call_cancel(call);
}

static void on_end(struct http_call *call, int status, const struct err *e)
{
    struct fetch *f = http_call_user(call);
    f->status = status;
    (void)snprintf(f->why, sizeof f->why, "%.299s", e && e->n ? e->text : "");
    if (timer_start(loop_timers(f->loop), &f->end, 0))
        loop_stop(f->loop);
}

static int start(struct fetch *f, const struct url *u, struct err *e)
{
    static const struct http_call_handler handler = {on_head, on_body, on_end};
    struct http_pool_args args = {.net = loop_net(f->loop), .timers = loop_timers(f->loop)};
    struct http_call *call;
    struct buf target;
    int rc = 0;
    memcpy(args.addr.host, u->host.p, u->host.n);
    args.addr.port = u->port;
    if (u->tls)
        rc = net_tls_new(&f->tls, &(struct net_tls_args){.server = false}, e);
    args.tls = f->tls;
    if (!rc)
        rc = http_pool_new(&f->pool, &args, e);
    buf_init(&target, 8192);
    (void)buf_put(&target, u->path.n ? u->path : BYTES("/"));
    if (u->query.n)
        (void)buf_fmt(&target, "?%.*s", BYTES_FMT(u->query));
    if (!rc && target.failed)
        rc = err_set(e, E_USAGE, "the address is too long");
    if (!rc)
        rc = http_call_start(f->pool,
                             &(struct http_call_args){.method = BYTES("GET"),
                                                      .target = buf_bytes(&target),
                                                      .first_byte_ms = SILENCE_MS,
                                                      .silence_ms = SILENCE_MS,
                                                      .handler = &handler,
                                                      .user = f},
                             &call, e);
    buf_fini(&target);
    return rc;
}

int cli_tool_fetch(const char *address, struct buf *ret, struct err *e)
{
    struct fetch f = {.ret = ret};
    struct url u;
    f.end = (struct timer){.fn = on_end_timer, .user = &f};
    int rc = url_parse(&u, bytes_of(address), e);
    if (!rc && u.host.n >= sizeof((struct net_addr *)0)->host)
        rc = err_set(e, E_USAGE, "the address is too long");
    if (!rc)
        rc = loop_new(&f.loop, &(struct loop_args){.work_threads = 1, .linger_ms = 1000}, e);
    if (!rc && !(rc = start(&f, &u, e))) {
        rc = loop_run(f.loop);
        if (!rc && ret->failed)
            rc = err_set(e, ret->failed, "%s: more than a package may have", address);
        else if (!rc && f.status)
            rc = err_set(e, f.status, "%s: %s", address, f.why);
        else if (!rc && f.http != 200)
            rc = err_set(e, f.http == 404 ? E_NOTFOUND : E_UPSTREAM, "%s answers %d", address,
                         f.http);
    }
    http_pool_free(f.pool);
    loop_free(f.loop);
    net_tls_free(f.tls);
    return rc;
}
