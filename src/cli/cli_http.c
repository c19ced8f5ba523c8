// cli_http.c: requests to the node: one at a time, several at once, or one that goes on.
// SPDX-License-Identifier: Apache-2.0
#include "cli/cli_priv.h"
#include "text/url.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_MS (10 * 60 * 1000) // a cold start may lie between request and answer

// ---- the node's address -------------------------------------------------------------------------

static int remote(struct cli_node *n, const char *text, struct net_addr *addr, struct err *e)
{
    struct url url;
    int rc = url_parse(&url, bytes_of(text), e);
    if (rc) {
        (void)err_wrap(e, "--node");
        return e->code = E_USAGE;
    }
    if (url.host.n >= sizeof addr->host || (url.path.n && !bytes_is(url.path, "/")))
        return err_set(e, E_USAGE, "--node takes http://host:port or https://host:port");
    memcpy(addr->host, url.host.p, url.host.n);
    addr->host[url.host.n] = 0;
    addr->port = url.port;
    (void)snprintf(n->cli->address, sizeof n->cli->address, "%.250s", text);
    if (!url.tls)
        return 0;
    return net_tls_new(&n->tls, &(struct net_tls_args){.server = false}, e);
}

static int authorize(struct cli_node *n, struct err *e)
{
    const char *key = getenv("PLEXUS_API_KEY");
    n->headers[0] = 0;
    if (!key || !*key)
        return 0;
    for (const char *p = key; *p; p++)
        if ((unsigned char)*p <= 0x20 || (unsigned char)*p >= 0x7f)
            return err_set(e, E_USAGE, "PLEXUS_API_KEY has characters that no key has");
    int len = snprintf(n->headers, sizeof n->headers, "Authorization: Bearer %s\r\n", key);
    if (len >= (int)sizeof n->headers)
        return err_set(e, E_USAGE, "PLEXUS_API_KEY is too long");
    return 0;
}

static int address(struct cli_node *n, struct net_addr *addr, struct err *e)
{
    const char *node = cli_option(n->cli, "node");
    if (node)
        return remote(n, node, addr, e);
    addr->unix_socket = true;
    int rc = cli_socket(n->cli, addr->host, e);
    if (!rc)
        (void)snprintf(n->cli->address, sizeof n->cli->address, "%s", addr->host);
    return rc;
}

// ---- a loop for some calls ----------------------------------------------------------------------

static void on_end_timer(struct timer *t)
{
    struct cli_node *n = t->user;
    struct http_pool *pool = n->pool;
    n->pool = NULL;
    http_pool_free(pool); // its calls end in the next round, then the loop stops
    if (!pool || timer_start(loop_timers(n->loop), t, 1))
        loop_stop(n->loop);
}

int cli_node_open(struct cli_node *n, struct cli *c, struct err *e)
{
    struct http_pool_args args = {.connect_ms = 10000};
    *n = (struct cli_node){.cli = c};
    n->end = (struct timer){.fn = on_end_timer, .user = n};
    int rc = address(n, &args.addr, e);
    if (!rc)
        rc = authorize(n, e);
    if (!rc)
        rc = loop_new(&n->loop, &(struct loop_args){.work_threads = 1, .linger_ms = 1000}, e);
    if (!rc) {
        args.net = loop_net(n->loop);
        args.timers = loop_timers(n->loop);
        args.tls = n->tls;
        rc = http_pool_new(&n->pool, &args, e);
    }
    if (rc)
        cli_node_close(n);
    return rc;
}

int cli_node_run(struct cli_node *n)
{
    return loop_run(n->loop);
}

void cli_node_stop(struct cli_node *n)
{
    // A later round: the pool must not go inside one of its calls' callbacks.
    if (timer_start(loop_timers(n->loop), &n->end, 0))
        loop_stop(n->loop);
}

void cli_node_close(struct cli_node *n)
{
    if (n->pool && n->loop)
        http_pool_free(n->pool);
    n->pool = NULL;
    loop_free(n->loop);
    n->loop = NULL;
    net_tls_free(n->tls);
    n->tls = NULL;
    mem_wipe(n->headers, sizeof n->headers);
}

static void on_signal(void *user, int signum)
{
    struct cli_node *n = user;
    (void)signum;
    n->interrupted = true;
    n->on_interrupt(n->user);
}

int cli_node_interrupt(struct cli_node *n, void (*fn)(void *user), void *user)
{
    n->on_interrupt = fn;
    n->user = user;
    return loop_signal(n->loop, SIGINT, on_signal, n);
}

// ---- one call -----------------------------------------------------------------------------------

static const struct {
    int http, code;
} codes[] = {{401, E_UNAUTH},      {403, E_FORBIDDEN},   {404, E_NOTFOUND}, {405, E_METHOD},
             {408, E_REQ_TIMEOUT}, {409, E_CONFLICT},    {413, E_TOOBIG},   {429, E_RATE},
             {500, E_INTERNAL},    {501, E_UNSUPPORTED}, {502, E_ENGINE},   {503, E_UNAVAILABLE},
             {504, E_TIMEOUT},     {507, E_NOSPACE}};

static int code_of(int status, const struct json *error)
{
    char symbol[64];
    struct bytes code = json_str(json_get(error, "code"));
    size_t n = (size_t)snprintf(symbol, sizeof symbol, "E_%.*s", BYTES_FMT(bytes_first(code, 40)));
    for (size_t i = 0; i < n; i++)
        symbol[i] = symbol[i] >= 'a' && symbol[i] <= 'z' ? (char)(symbol[i] - 32) : symbol[i];
    int found = code.n ? err_of_symbol(symbol) : 0;
    for (size_t i = 0; !found && i < sizeof codes / sizeof *codes; i++)
        if (codes[i].http == status)
            found = codes[i].code;
    return found ? found : status >= 500 ? E_INTERNAL : E_INVALID;
}

static int node_error(const struct cli_call *x, struct err *e)
{
    struct json_doc *doc = NULL;
    (void)json_parse(&doc, buf_bytes(&x->answer), 0, NULL);
    const struct json *error = json_get(json_root(doc), "error");
    struct bytes message = json_str(json_get(error, "message"));
    int code = code_of(x->status, error);
    if (message.n)
        (void)err_set(e, code, "%.*s", BYTES_FMT(message));
    else
        (void)err_set(e, code, "the node answers %d to %s %.200s", x->status, x->method, x->target);
    // A refused join token is no matter of this node's keys.
    bool joins = bytes_starts(bytes_of(x->target), BYTES("/api/mesh/"));
    if (x->status == 401 && !(joins && message.n && !cli_option(x->node->cli, "node")))
        (void)err_set(e, code, "%s answers 401: put a key into PLEXUS_API_KEY (`plexus key new`)",
                      x->node->cli->address);
    json_free(doc);
    return e->code;
}

bool cli_no_node(int code)
{
    return code == E_UNAVAILABLE;
}

static int no_node(const struct cli_call *x, int code, const struct err *why, struct err *e)
{
    const struct cli *c = x->node->cli;
    if (!cli_option(c, "node") && (code == E_NOTFOUND || code == E_REFUSED))
        return err_set(e, E_UNAVAILABLE, "no node is running here (%s): start one with `plexus up`",
                       c->address);
    if (code == E_CANCELLED)
        return err_set(e, code, "interrupted");
    return err_set(e, code, "%s: %s", c->address, why && why->n ? why->text : err_info(code)->text);
}

static void on_head(struct http_call *h, const struct http_head *head)
{
    struct cli_call *x = http_call_user(h);
    x->status = head->status;
}

static void on_body(struct http_call *h, const char *p, size_t n)
{
    struct cli_call *x = http_call_user(h);
    if (x->on_data && x->status < 400)
        x->on_data(x->user, (struct bytes){p, n});
    else
        (void)buf_add(&x->answer, p, n);
}

static void on_end(struct http_call *h, int status, const struct err *why)
{
    struct cli_call *x = http_call_user(h);
    struct err e = {0};
    int code = 0;
    x->call = NULL;
    if (status)
        code = no_node(x, status, why, &e);
    else if (x->answer.failed)
        code = err_set(&e, x->answer.failed, "the node's answer is too large");
    else if (x->status >= 400)
        code = node_error(x, &e);
    x->on_end(x->user, code, code ? &e : NULL);
}

int cli_call_start(struct cli_node *n, struct cli_call *x, struct err *e)
{
    static const struct http_call_handler handler = {on_head, on_body, on_end};
    char headers[sizeof n->headers + 64];
    (void)snprintf(headers, sizeof headers, "%s%s", n->headers,
                   x->body.n ? "Content-Type: application/json\r\n" : "");
    x->node = n;
    x->status = 0;
    buf_init(&x->answer, CLI_ANSWER_MAX);
    struct http_call_args args = {.method = bytes_of(x->method),
                                  .target = bytes_of(x->target),
                                  .headers = bytes_of(headers),
                                  .body = &x->body,
                                  .body_count = x->body.n ? 1 : 0,
                                  .first_byte_ms = ANSWER_MS,
                                  .silence_ms = TIME_NEVER,
                                  .handler = &handler,
                                  .user = x};
    int rc = http_call_start(n->pool, &args, &x->call, e);
    mem_wipe(headers, sizeof headers);
    if (rc) {
        struct err why = *e;
        x->call = NULL;
        rc = no_node(x, rc, &why, e);
    }
    return rc;
}

void cli_call_cancel(struct cli_call *x)
{
    if (x->call)
        http_call_cancel(x->call);
}

void cli_call_fini(struct cli_call *x)
{
    buf_fini(&x->answer);
}

// ---- from start to end --------------------------------------------------------------------------

struct once {
    struct cli_call call;
    struct cli_node node;
    struct err e;
    int rc;
};

static void once_end(void *user, int code, const struct err *e)
{
    struct once *o = user;
    o->rc = code;
    if (e)
        o->e = *e;
    cli_node_stop(&o->node);
}

static void once_interrupt(void *user)
{
    struct once *o = user;
    cli_call_cancel(&o->call);
}

static int once(struct cli *c, struct once *o, struct err *e)
{
    int rc = cli_node_open(&o->node, c, e);
    if (rc)
        return rc;
    o->call.on_end = once_end;
    o->call.user = o;
    rc = cli_node_interrupt(&o->node, once_interrupt, o);
    if (!rc)
        rc = cli_call_start(&o->node, &o->call, e);
    if (!rc) {
        (void)cli_node_run(&o->node);
        rc = o->rc;
        if (rc && e)
            *e = o->e;
    }
    cli_node_close(&o->node);
    return rc;
}

int cli_request(struct cli *c, const char *method, const char *target, struct bytes body,
                struct buf *ret, struct err *e)
{
    struct once o = {.call = {.method = method, .target = target, .body = body}};
    int rc = once(c, &o, e);
    int kept = buf_put(ret, buf_bytes(&o.call.answer));
    if (!rc)
        rc = kept;
    cli_call_fini(&o.call);
    return rc;
}

int cli_request_json(struct cli *c, const char *method, const char *target, struct bytes body,
                     struct json_doc **ret, struct buf *raw, struct err *e)
{
    int rc = cli_request(c, method, target, body, raw, e);
    if (rc)
        return rc;
    rc = json_parse(ret, buf_bytes(raw), 0, e);
    return rc ? err_wrap(e, "%s: the answer to %s", c->address, target) : 0;
}

struct following {
    struct once once;
    void (*on_data)(void *user, struct bytes part);
    void *user;
};

static void follow_data(void *user, struct bytes part)
{
    struct following *f = user; // its first member is what once() hands on
    f->on_data(f->user, part);
}

int cli_follow(struct cli *c, const char *target, void (*on_data)(void *user, struct bytes part),
               void *user, struct err *e)
{
    struct following f = {
        .once = {.call = {.method = "GET", .target = target, .on_data = follow_data}},
        .on_data = on_data,
        .user = user};
    int rc = once(c, &f.once, e);
    cli_call_fini(&f.once.call);
    return rc == E_CANCELLED && f.once.node.interrupted ? 0 : rc;
}

int cli_model_target(struct buf *out, const char *model, const char *action, struct err *e)
{
    (void)buf_str(out, "/api/models");
    if (model) {
        (void)buf_chr(out, '/');
        (void)url_encode(out, bytes_of(model));
    }
    if (action)
        (void)buf_fmt(out, "/%s", action);
    return out->failed ? err_set(e, E_USAGE, "the model's name is too long") : 0;
}
