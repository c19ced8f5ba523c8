// engines_probe.c: is the engine ready? One question at a time, on connections of their own, so
// that a probe never takes a slot, counts as a request or keeps a model from being idle.
// SPDX-License-Identifier: Apache-2.0
#include "app/engines_priv.h"
#include "base/alloc.h"

static void ended(struct engine_probe *p)
{
    struct engine *x = p->owner;
    bool ok = p->ok;
    mem_free(p);
    if (x == NULL)
        return;
    x->probe = NULL;
    engine_probed(x, ok);
}

// ---- by GET ----

static void on_head(struct http_call *c, const struct http_head *head)
{
    ((struct engine_probe *)http_call_user(c))->ok = head->status == 200;
}

static void on_body(struct http_call *c, const char *p, size_t n)
{
    (void)c;
    (void)p;
    (void)n;
}

static void on_end(struct http_call *c, int status, const struct err *e)
{
    struct engine_probe *p = http_call_user(c);
    (void)e;
    p->ok = p->ok && status == 0;
    ended(p);
}

static int ask(struct engine *x, struct engine_probe *p)
{
    static const struct http_call_handler handler = {on_head, on_body, on_end};
    const struct http_call_args args = {
        .method = BYTES("GET"),
        .target = bytes_of(x->plan.health),
        .first_byte_ms = ENGINES_PROBE_MS,
        .silence_ms = ENGINES_PROBE_MS,
        .handler = &handler,
        .user = p,
    };
    if (x->probe_pool == NULL) {
        struct http_pool_args pool = {
            .net = x->all->args.net,
            .timers = x->all->args.timers,
            .addr = {.port = x->plan.port},
            .idle_max = 1,
            .idle_ms = ENGINES_PROBE_IDLE_MS,
            .connect_ms = ENGINES_PROBE_MS,
        };
        for (size_t i = 0; x->plan.host[i] != '\0' && i < sizeof pool.addr.host - 1; i++)
            pool.addr.host[i] = x->plan.host[i];
        int rc = http_pool_new(&x->probe_pool, &pool, NULL);
        if (rc < 0)
            return rc;
    }
    return http_call_start(x->probe_pool, &args, &p->call, NULL);
}

// ---- by connecting ----

static void on_open(struct net_stream *s, int status, const struct err *e)
{
    (void)e;
    ((struct engine_probe *)s->user)->ok = status == 0;
    net_close(s, true);
}

static void on_data(struct net_stream *s, char *p, size_t n)
{
    (void)s;
    (void)p;
    (void)n;
}

static void on_stream_end(struct net_stream *s, int status)
{
    (void)s;
    (void)status;
}

static void on_drain(struct net_stream *s)
{
    (void)s;
}

static void on_closed(struct net_stream *s)
{
    ended(s->user);
}

static int dial(struct engine *x, struct engine_probe *p)
{
    static const struct net_handler handler = {on_open, on_data, on_stream_end, on_drain,
                                               on_closed};
    struct net_connect_args args = {
        .addr = {.port = x->plan.port},
        .timeout_ms = ENGINES_PROBE_MS,
        .queue_bytes_max = 1024,
        .handler = &handler,
        .user = p,
    };
    for (size_t i = 0; x->plan.host[i] != '\0' && i < sizeof args.addr.host - 1; i++)
        args.addr.host[i] = x->plan.host[i];
    return net_connect(x->all->args.net, &args, &p->stream, NULL);
}

void engine_probe(struct engine *x)
{
    struct engine_probe *p = mem_new(struct engine_probe);
    if (p != NULL) {
        p->owner = x;
        if ((x->plan.health != NULL ? ask(x, p) : dial(x, p)) == 0) {
            x->probe = p;
            return;
        }
        mem_free(p);
    }
    engine_probed(x, false);
}

void engine_probe_forget(struct engine *x)
{
    if (x->probe != NULL)
        x->probe->owner = NULL;
    x->probe = NULL;
    http_pool_free(x->probe_pool); // never from inside a probe's end. Ends what is on its way; its
                                   // end frees the probe
    x->probe_pool = NULL;
}
