// mcpc_fetch.c: one document or form at a time, from an address that a server named: small, without
// redirects, in bounded time. SPDX-License-Identifier: Apache-2.0
#include "toolbox/mcpc_login_priv.h"

#include <stdio.h>
#include <string.h>

#define FETCH_MS 15000
#define DOCUMENT_MAX ((size_t)256 << 10)

struct fetch {
    struct mcpc_login *l; // NULL: nobody waits any more
    char *body;
    struct bytes sent;
};

static void tell(struct timer *t)
{
    struct mcpc_login *l = t->user;
    l->then(l);
}

// Later, by itself, also because the pool cannot be freed under its call.
static void over(struct mcpc_login *l)
{
    l->later.fn = tell;
    l->later.user = l;
    (void)timer_start(l->srv->m->args.timers, &l->later, 0);
}

static void on_head(struct http_call *c, const struct http_head *head)
{
    const struct fetch *f = http_call_user(c);
    if (f->l)
        f->l->http = head->status;
}

static void on_body(struct http_call *c, const char *p, size_t n)
{
    const struct fetch *f = http_call_user(c);
    if (f->l && buf_add(&f->l->got, p, n) < 0)
        http_call_cancel(c);
}

static void fetch_free(struct fetch *f)
{
    if (f && f->body) {
        mem_wipe(f->body, f->sent.n);
        mem_free(f->body);
    }
    mem_free(f);
}

static void on_end(struct http_call *c, int status, const struct err *e)
{
    struct fetch *f = http_call_user(c);
    struct mcpc_login *l = f->l;
    (void)e;
    fetch_free(f);
    if (!l)
        return;
    l->fetch = NULL;
    if (status < 0)
        l->http = 0;
    over(l);
}

static const struct http_call_handler handler = {
    .on_head = on_head, .on_body = on_body, .on_end = on_end};

static int pool_open(struct mcpc_login *l, const struct url *u, struct err *e)
{
    const struct mcpc_args *a = &l->srv->m->args;
    struct http_pool_args args = {.net = a->net, .timers = a->timers};
    char host[300];
    bool v6 = bytes_chr(u->host, ':') >= 0, usual = u->port == (u->tls ? 443 : 80);
    (void)snprintf(host, sizeof host, usual ? "%s%.*s%s" : "%s%.*s%s:%u", v6 ? "[" : "",
                   BYTES_FMT(u->host), v6 ? "]" : "", u->port);
    (void)snprintf(args.addr.host, sizeof args.addr.host, "%.*s", BYTES_FMT(u->host));
    args.addr.port = u->port;
    args.host_header = host;
    // A token goes only where TLS hides it, or nowhere but this machine.
    if (!u->tls && !url_is_loopback(u->host))
        return err_set(e, E_SECURITY, "%.*s is no https address", BYTES_FMT(u->host));
    if (u->tls && (!a->tls || !(args.tls = a->tls(a->user, e))))
        return err_set(e, E_CONFIG, "this node has no TLS for https");
    return http_pool_new(&l->pool, &args, e);
}

void mcpc_fetch_stop(struct mcpc_login *l)
{
    timer_stop(l->srv->m->args.timers, &l->later);
    if (l->fetch)
        l->fetch->l = NULL; // its end comes later
    l->fetch = NULL;
    if (l->pool)
        http_pool_free(l->pool);
    l->pool = NULL;
}

void mcpc_fetch_url(struct mcpc_login *l, const char *url, const char *type, struct bytes auth,
                    void (*then)(struct mcpc_login *l))
{
    struct url u;
    struct err e = {0};
    mcpc_fetch_stop(l);
    l->then = then;
    l->http = 0;
    buf_fini(&l->got);
    buf_init(&l->got, DOCUMENT_MAX);
    buf_clear(&l->target);
    buf_clear(&l->lines);
    int rc = url_parse(&u, bytes_of(url), &e);
    if (rc == 0)
        rc = pool_open(l, &u, &e);
    if (rc < 0) {
        over(l);
        return;
    }
    (void)buf_put(&l->target, u.path.n ? u.path : BYTES("/"));
    if (u.query.n)
        (void)buf_fmt(&l->target, "?%.*s", BYTES_FMT(u.query));
    (void)buf_str(&l->lines, "Accept: application/json\r\n");
    if (type)
        (void)buf_fmt(&l->lines, "Content-Type: %s\r\n", type);
    if (auth.n)
        (void)buf_fmt(&l->lines, "Authorization: Basic %.*s\r\n", BYTES_FMT(auth));
    struct fetch *f = mem_new(struct fetch);
    if (f)
        f->body = mem_dup(l->body.p ? l->body.p : "", l->body.n);
    if (!f || !f->body) {
        fetch_free(f);
        over(l);
        return;
    }
    f->l = l;
    f->sent = (struct bytes){f->body, l->body.n};
    struct http_call_args args = {.method = type ? BYTES("POST") : BYTES("GET"),
                                  .target = buf_bytes(&l->target),
                                  .headers = buf_bytes(&l->lines),
                                  .body = type ? &f->sent : NULL,
                                  .body_count = type != NULL,
                                  .first_byte_ms = FETCH_MS,
                                  .silence_ms = FETCH_MS,
                                  .handler = &handler,
                                  .user = f};
    struct http_call *call;
    l->fetch = f;
    if (http_call_start(l->pool, &args, &call, &e) < 0) {
        l->fetch = NULL;
        fetch_free(f);
        over(l);
    }
}
