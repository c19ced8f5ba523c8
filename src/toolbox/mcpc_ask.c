// mcpc_ask.c: what an MCP server asks back: folders it may know of, a model's answer, a person's.
// SPDX-License-Identifier: Apache-2.0
#include "toolbox/mcpc_priv.h"

#include "text/url.h"

#include <stdio.h>
#include <string.h>

struct asked { // one that waits for its answer
    struct mcpc_asked pub;
    struct mcpc_srv *srv;
    struct mcp_ask *ask;
};

struct val *mcpc_capabilities(const struct mcpc_srv *s)
{
    bool asks = s->m->args.ask != NULL;
    struct val *c = val_obj();
    if (s->conf.roots)
        c = val_put_cstr(c, "roots", val_obj());
    if (s->conf.sampling && asks)
        c = val_put_cstr(c, "sampling", val_obj());
    if (s->conf.elicitation && asks) // empty: forms, no addresses to open
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
    const struct mcpc_call *c = mcpc_call_of(s, a->of);
    x->srv = s;
    x->ask = a;
    x->pub.server = s->conf.name;
    x->pub.params = a->params;
    x->pub.sampling = sampling;
    if (c)
        x->pub.caller = (struct tool_caller){.who = bytes_of(c->who),
                                             .label = bytes_of(c->label),
                                             .clearance = bytes_of(c->clearance)};
    a->user = x;
    s->m->args.ask(s->m->args.user, &x->pub);
}

void mcpc_ask_gone(void *user, struct mcp_ask *a)
{
    struct mcpc_srv *s = user;
    struct asked *x = a->user;
    if (!x)
        return;
    a->user = NULL;
    if (s->m->args.ask_gone)
        s->m->args.ask_gone(s->m->args.user, &x->pub);
    mem_free(x);
}

void mcpc_answer(struct mcpc_asked *pub, struct val *takes_result, const char *text)
{
    struct asked *x = container_of(pub, struct asked, pub);
    struct mcp_ask *a = x->ask;
    bool sampling = pub->sampling;
    mem_free(x);
    a->user = NULL;
    if (!takes_result && !sampling)
        takes_result = declined();
    else if (takes_result && !sampling)
        takes_result = mcp_elicit_fill(a->params, takes_result);
    // -1: "user rejected sampling request" (2025-11-25, "Sampling").
    mcp_client_answer(a, takes_result, -1, text ? text : "refused");
}
