// mcpc_ask.c: what an MCP server asks back: folders it may know of, a model's answer, a person's.
// A person is asked through the host of the call that needs it, where it has one.
// SPDX-License-Identifier: Apache-2.0
#include "toolbox/mcpc_priv.h"

#include "text/url.h"

#include <stdio.h>
#include <string.h>

struct asked { // one that waits for its answer
    struct mcpc_asked pub;
    struct mcpc_srv *srv;
    struct mcp_ask *ask; // NULL: the server does not want it any more
    // Asked of a call's host:
    struct list link; // call->asks
    struct tool_ask host;
    struct val *params;
    char key[MCPC_NAME_MAX + 16];
};

struct val *mcpc_capabilities(const struct mcpc_srv *s)
{
    bool asks = s->m->args.ask != NULL;
    struct val *c = val_obj();
    if (s->conf.roots)
        c = val_put_cstr(c, "roots", val_obj());
    if (s->conf.sampling && asks)
        c = val_put_cstr(c, "sampling", val_obj());
    if (s->conf.elicitation) // empty: forms, no addresses to open
        c = val_put_cstr(c, "elicitation", val_obj());
    return c;
}

static struct val *roots_of(const struct mcpc_srv *s)
{
    struct val *list = val_arr();
    for (size_t i = 0; s->conf.roots && s->conf.roots[i]; i++) {
        struct buf uri;
        struct bytes path = bytes_of(s->conf.roots[i]), rest = path;
        buf_init(&uri, 4 * path.n + 16);
        (void)buf_str(&uri, "file://");
        (void)bytes_cut(&rest, '/');
        while (rest.p) {
            (void)buf_chr(&uri, '/');
            (void)url_encode(&uri, bytes_cut(&rest, '/'));
        }
        list = val_push(list, val_put_cstr(val_obj(), "uri", val_str(buf_bytes(&uri))));
        buf_fini(&uri);
    }
    return val_put_cstr(val_obj(), "roots", list);
}

static struct val *declined(void)
{
    return val_put_cstr(val_obj(), "action", val_cstr("decline"));
}

static bool takes_form(const struct val *params)
{
    struct bytes mode = val_bytes(val_get_cstr(params, "mode"));
    return !mode.n || bytes_is(mode, "form");
}

// ---- a person, through the host of the call ----------------------------------------------------

static void asked_free(struct asked *x)
{
    list_del(&x->link);
    val_unref(x->params);
    mem_free(x);
}

static struct val *elicited(const struct asked *x, int status, const struct val *result)
{
    struct bytes action = val_bytes(val_get_cstr(result, "action"));
    struct val *content = val_get_cstr(result, "content"), *v = val_obj();
    if (status < 0)
        return val_put_cstr(v, "action", val_cstr(status == E_UNSUPPORTED ? "decline" : "cancel"));
    v = val_put_cstr(v, "action", val_str(action));
    if (content && bytes_is(action, "accept"))
        v = val_put_cstr(v, "content", val_ref(content));
    return mcp_elicit_fill(x->ask->params, v);
}

static void host_answered(struct tool_ask *t, int status, const struct val *result,
                          const struct err *e)
{
    struct asked *x = t->user;
    struct mcp_ask *a = x->ask;
    (void)e;
    if (a) {
        a->user = NULL;
        mcp_client_answer(a, elicited(x, status, result), JSONRPC_INTERNAL, "out of memory");
    }
    asked_free(x);
}

// Whoever answers sees who asks: the text is a stranger's.
static struct val *with_name(const struct mcpc_srv *s, const struct val *params)
{
    struct buf text;
    buf_init(&text, 16384);
    (void)buf_fmt(&text, "MCP server %s asks: ", s->conf.name);
    (void)mcpc_show(&text, bytes_first(val_bytes(val_get_cstr(params, "message")), 2000));
    struct val *v = val_put_cstr(val_ref((struct val *)(uintptr_t)params), "message",
                                 val_str(buf_bytes(&text)));
    buf_fini(&text);
    return v;
}

// False: it has nobody who can be asked.
static bool ask_host(struct asked *x, struct mcpc_call *c)
{
    struct tool_host *h = c && c->tool && !c->ended ? c->tool->host : NULL;
    struct bytes method = BYTES("elicitation/create");
    struct err e = {0};
    if (!h || !h->ops->can(h, method))
        return false;
    (void)snprintf(x->key, sizeof x->key, "%s.%u", x->srv->conf.name, ++c->questions);
    x->params = with_name(x->srv, x->ask->params);
    x->host = (struct tool_ask){.key = bytes_of(x->key),
                                .method = method,
                                .params = x->params,
                                .answered = host_answered,
                                .user = x};
    list_add_tail(&c->asks, &x->link);
    if (x->params && h->ops->ask(h, &x->host, &e) == 0)
        return true;
    list_del(&x->link);
    return false;
}

void mcpc_asks_over(struct mcpc_call *c, bool tell)
{
    struct err e = {0};
    while (!list_empty(&c->asks)) {
        struct asked *x = container_of(c->asks.next, struct asked, link);
        if (!tell && x->ask)
            x->ask->user = NULL;
        x->ask = tell ? x->ask : NULL;
        host_answered(&x->host, E_CANCELLED, NULL, &e);
    }
}

// ---- what it asks ------------------------------------------------------------------------------

void mcpc_asked(void *user, struct mcp_ask *a)
{
    struct mcpc_srv *s = user;
    bool sampling = strcmp(a->method, "sampling/createMessage") == 0;
    a->user = NULL;
    if (strcmp(a->method, "roots/list") == 0) {
        mcp_client_answer(a, roots_of(s), 0, "");
        return;
    }
    if (!sampling && !takes_form(a->params)) {
        mcp_client_answer(a, declined(), 0, "");
        return;
    }
    struct asked *x = s->falling ? NULL : mem_new(struct asked);
    if (!x) {
        mcp_client_answer(a, NULL, JSONRPC_INTERNAL, "not now");
        return;
    }
    struct mcpc_call *c = mcpc_call_of(s, a->of);
    x->srv = s;
    x->ask = a;
    list_init(&x->link);
    x->pub.server = s->conf.name;
    x->pub.params = a->params;
    x->pub.sampling = sampling;
    if (c)
        x->pub.caller = (struct tool_caller){.who = bytes_of(c->who),
                                             .label = bytes_of(c->label),
                                             .clearance = bytes_of(c->clearance)};
    a->user = x;
    if (!sampling && ask_host(x, c))
        return;
    if (s->m->args.ask)
        s->m->args.ask(s->m->args.user, &x->pub);
    else
        mcpc_answer(&x->pub, NULL, "nobody can be asked");
}

void mcpc_ask_gone(void *user, struct mcp_ask *a)
{
    struct mcpc_srv *s = user;
    struct asked *x = a->user;
    if (!x)
        return;
    a->user = NULL;
    x->ask = NULL;
    if (!list_empty(&x->link)) // the call's host has it until then
        return;
    if (s->m->args.ask_gone)
        s->m->args.ask_gone(s->m->args.user, &x->pub);
    asked_free(x);
}

void mcpc_answer(struct mcpc_asked *pub, struct val *takes_result, const char *text)
{
    struct asked *x = container_of(pub, struct asked, pub);
    struct mcp_ask *a = x->ask;
    bool sampling = pub->sampling;
    asked_free(x);
    a->user = NULL;
    if (!takes_result && !sampling)
        takes_result = declined();
    else if (takes_result && !sampling)
        takes_result = mcp_elicit_fill(a->params, takes_result);
    // -1: "user rejected sampling request" (2025-11-25, "Sampling").
    mcp_client_answer(a, takes_result, -1, text ? text : "refused");
}
