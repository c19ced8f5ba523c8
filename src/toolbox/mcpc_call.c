// mcpc_call.c: calls of tools, prompts and resources of MCP servers: may it, does it fit, what came
// back. SPDX-License-Identifier: Apache-2.0
#include "toolbox/mcpc_priv.h"

#include <stdio.h>
#include <string.h>

#define LONG_PAUSE_MS 5000 // a server that comes again later than this is not waited for
#define AGAINS_MAX 3 // a call is sent once more after a session was over, or a login
#define SILENT_MAX 3 // calls without any answer until the server is started anew

static struct timers *timers(const struct mcpc_srv *s)
{
    return s->m->args.timers;
}

// ---- the end of a call -------------------------------------------------------------------------

static void call_free(struct mcpc_call *c)
{
    timer_stop(timers(c->srv), &c->timer);
    mcpc_asks_over(c, false);
    list_del(&c->link);
    c->srv->call_count--;
    mcpc_def_unref(c->def);
    val_unref(c->params);
    val_unref(c->result);
    mem_free(c->who);
    mem_free(c->label);
    mem_free(c->clearance);
    mem_free(c);
}

static void tell_tool(struct mcpc_call *c)
{
    struct tool_result res = {.took_us = (timers_now_ns(timers(c->srv)) - c->began_ns) / 1000,
                              .content = val_get_cstr(c->result, "content"),
                              .structured = val_get_cstr(c->result, "structuredContent"),
                              .is_error = val_bool_of(val_get_cstr(c->result, "isError"), false)};
    c->tool->done(c->tool, c->status, c->status == 0 ? &res : NULL, &c->err);
}

static void call_over(struct timer *t)
{
    struct mcpc_call *c = t->user;
    if (c->sent && c->srv->client) // what still waits for its answer
        c->srv->way->drop(c->srv, &c->req);
    if (c->tool) {
        c->tool->priv = NULL;
        tell_tool(c);
    } else {
        c->other->priv = NULL;
        c->other->done(c->other, c->status, c->status == 0 ? c->result : NULL, &c->err);
    }
    mcpc_asks_over(c, true); // only now: its host had them until done
    call_free(c);
}

// Later, by itself: whoever waits may do anything then.
static void call_end(struct mcpc_call *c, int status, struct val *result, const struct err *e)
{
    if (c->ended)
        return;
    c->ended = true;
    c->status = status;
    c->result = result ? val_ref(result) : NULL;
    c->err = e && status < 0 ? *e : (struct err){0};
    c->srv->calls_failed += status < 0;
    c->timer.fn = call_over;
    (void)timer_start(timers(c->srv), &c->timer, 0);
}

static void call_fail(struct mcpc_call *c, int status, const char *text)
{
    struct err e = {0};
    struct buf shown; // it may be the server's own words
    char prefix[MCPC_NAME_MAX + 32];
    buf_init(&shown, ERR_TEXT_MAX - 100);
    (void)snprintf(prefix, sizeof prefix, "MCP server %s: ", c->srv->conf.name);
    bool said = bytes_starts(bytes_of(text), bytes_of(prefix)); // what made the server fall
    (void)mcpc_show(&shown, bytes_of(text));
    (void)err_set(&e, status, "%s%s", said ? "" : prefix, buf_cstr(&shown));
    buf_fini(&shown);
    call_end(c, status, NULL, &e);
}

static void call_late(struct timer *t)
{
    struct mcpc_call *c = t->user;
    struct mcpc_srv *s = c->srv;
    if (c->sent && s->client) {
        mcp_client_cancel(s->client, &c->req, "it took too long");
        s->way->drop(s, &c->req);
    }
    call_fail(c, E_TIMEOUT, c->sent ? "no answer in time" : "it is not ready in time");
    if (c->sent && ++s->silent >= SILENT_MAX && s->state == MCPC_IS_READY)
        mcpc_fall(s, E_TIMEOUT, "%d calls in a row had no answer", SILENT_MAX);
}

// ---- what came back ----------------------------------------------------------------------------

static int check_content(const struct val *content, struct err *e)
{
    for (size_t i = 0; i < val_len(content); i++)
        if (!val_bytes(val_get_cstr(val_at(content, i), "type")).n)
            return err_set(e, E_MANIFEST, "its answer's content[%zu] has no type", i);
    return 0;
}

static int check_structured(const struct mcpc_def *d, const struct val *result, struct err *e)
{
    const struct val *structured = val_get_cstr(result, "structuredContent");
    struct schema_error se;
    AUTO(json_doc) doc = NULL;
    if (!d->out || val_bool_of(val_get_cstr(result, "isError"), false))
        return 0;
    if (!structured)
        return err_set(e, E_MANIFEST, "%s has an output schema, and its answer is not structured",
                       d->name);
    int rc = val_to_json(&doc, structured, e);
    if (rc < 0)
        return rc;
    rc = schema_check(d->out, json_root(doc), &se);
    return rc == 0
               ? 0
               : err_set(e, E_MANIFEST, "the answer of %s does not fit its schema: at \"%s\": %s",
                         d->name, se.instance, se.message);
}

// tools/call: its result as tool_result needs it. NULL: no memory.
static struct val *with_content(struct val *result)
{
    const struct val *structured = val_get_cstr(result, "structuredContent");
    struct buf text;
    if (val_is(val_get_cstr(result, "content"), JSON_ARR) || !structured)
        return val_ref(result);
    buf_init(&text, MAX_ALLOCATION_BYTES);
    (void)val_write(&text, structured);
    struct val *content = val_push(val_arr(), mcp_text_block(buf_bytes(&text)));
    buf_fini(&text);
    return val_put_cstr(val_ref(result), "content", content);
}

static int check_answer(const struct mcpc_call *c, const struct val *result, struct err *e)
{
    if (!val_is(val_get_cstr(result, "content"), JSON_ARR))
        return err_set(e, E_MANIFEST, "the answer of %s has no content", c->def->name);
    int rc = check_content(val_get_cstr(result, "content"), e);
    return rc < 0 ? rc : check_structured(c->def, result, e);
}

static void answered(struct mcp_request *r, int status, struct val *result, const struct err *e)
{
    struct mcpc_call *c = r->user;
    struct err why = {0};
    c->srv->silent = 0;
    if (r->code == MCP_HEADER_MISMATCH) // its schema is another one by now: let it be looked at
        mcpc_relist(c->srv, 1, 0);
    if (status < 0) {
        call_fail(c, status, e ? e->text : "");
        return;
    }
    if (!c->tool) {
        call_end(c, 0, result, NULL);
        return;
    }
    AUTO(val) whole = with_content(result);
    int rc = whole ? check_answer(c, whole, &why) : err_set(&why, E_NOMEM, "out of memory");
    if (rc < 0)
        call_fail(c, rc, why.text);
    else
        call_end(c, 0, whole, NULL);
}

static void progressed(struct mcp_request *r, double done, double total, struct bytes text)
{
    struct mcpc_call *c = r->user;
    struct buf b;
    if (c->ended || !c->tool || !c->tool->progress)
        return;
    buf_init(&b, 4096);
    (void)mcpc_show(&b, bytes_first(text, 500));
    c->tool->progress(c->tool, done, total, buf_bytes(&b));
    buf_fini(&b);
}

// ---- out ---------------------------------------------------------------------------------------

static void send_one(struct mcpc_call *c)
{
    struct err e = {0};
    c->req.done = answered;
    c->req.progress = c->tool && c->tool->progress ? progressed : NULL;
    c->req.user = c;
    c->req.schema = c->def ? val_get_cstr(c->def->item, "inputSchema") : NULL;
    c->sent = true;
    int rc = mcp_client_request(c->srv->client, &c->req, c->method, val_ref(c->params), &e);
    if (rc < 0)
        call_end(c, rc, NULL, &e);
}

void mcpc_calls_send(struct mcpc_srv *s)
{
    list_each_safe (it, &s->calls) {
        struct mcpc_call *c = container_of(it, struct mcpc_call, link);
        if (!c->sent && !c->ended)
            send_one(c);
    }
}

void mcpc_calls_end(struct mcpc_srv *s, bool waiting_too, int status, const struct err *e)
{
    list_each_safe (it, &s->calls) {
        struct mcpc_call *c = container_of(it, struct mcpc_call, link);
        if (!c->sent && !waiting_too)
            continue;
        if (c->sent && !c->ended && s->client && !s->falling) {
            mcp_client_cancel(s->client, &c->req, "cancelled");
            s->way->drop(s, &c->req);
        }
        call_end(c, status, NULL, e);
    }
}

void mcpc_calls_free(struct mcpc_srv *s)
{
    while (!list_empty(&s->calls))
        call_free(container_of(s->calls.next, struct mcpc_call, link));
}

struct mcpc_call *mcpc_call_of(struct mcpc_srv *s, struct mcp_request *r)
{
    struct mcpc_call *only = NULL;
    size_t n = 0;
    list_each (it, &s->calls) {
        struct mcpc_call *c = container_of(it, struct mcpc_call, link);
        if (r && &c->req == r)
            return c;
        if (c->sent && !c->ended) {
            only = c;
            n++;
        }
    }
    return !r && n == 1 ? only : NULL; // the server does not say whose: there is but one
}

bool mcpc_call_again(struct mcpc_srv *s, struct mcp_request *r)
{
    struct mcpc_call *c = mcpc_call_of(s, r);
    if (!c || c->ended || c->agains++ >= AGAINS_MAX)
        return false;
    mcp_client_forget(s->client, r);
    c->sent = false;
    return true;
}

// ---- in ----------------------------------------------------------------------------------------

static int crossing(struct mcpc_srv *s, const struct tool_caller *caller, struct err *e)
{
    const struct mcpc_args *a = &s->m->args;
    struct bytes clearance = bytes_of(s->conf.clearance);
    int rc = 0;
    if (a->crossing)
        rc = a->crossing(a->user, s->conf.name, caller->label, clearance, e);
    else if (caller->label.n && !bytes_eq(caller->label, clearance))
        rc = err_set(e, E_SECURITY, "data labelled %.*s may not go to MCP server %s",
                     BYTES_FMT(caller->label), s->conf.name);
    s->calls_refused += rc < 0;
    return rc;
}

static int may_begin(struct mcpc_srv *s, struct err *e)
{
    if (s->m->stopping || s->freed)
        return err_set(e, E_UNAVAILABLE, "MCP server %s is being stopped", s->conf.name);
    if (s->call_count >= MCPC_CALLS_MAX)
        return err_set(e, E_FULL, "%d calls of MCP server %s are running", MCPC_CALLS_MAX,
                       s->conf.name);
    if (s->state == MCPC_LOGS_IN)
        return err_set(e, E_UNAUTH, "MCP server %s waits for a person to log in", s->conf.name);
    if (s->state == MCPC_WAITING && s->due_at - mcpc_now(s->m) > LONG_PAUSE_MS)
        return err_set(e, E_UNAVAILABLE, "it fell, and is started again in %lld s: %.700s",
                       (long long)(s->due_at - mcpc_now(s->m)) / 1000, s->fall.text);
    return 0;
}

static char *copy(struct bytes b)
{
    return mem_dup(b.p ? b.p : "", b.n);
}

static struct mcpc_call *call_new(struct mcpc_srv *s, const char *method, struct val *takes_params,
                                  const struct tool_caller *caller, int64_t timeout_ms,
                                  struct err *e)
{
    struct mcpc_call *c = takes_params ? mem_new(struct mcpc_call) : NULL;
    if (c) {
        c->who = copy(caller->who);
        c->label = copy(caller->label);
        c->clearance = copy(caller->clearance);
    }
    if (!c || !c->who || !c->label || !c->clearance) {
        if (c) {
            mem_free(c->who);
            mem_free(c->label);
            mem_free(c->clearance);
        }
        mem_free(c);
        val_unref(takes_params);
        (void)err_set(e, E_NOMEM, "out of memory");
        return NULL;
    }
    c->srv = s;
    c->method = method;
    c->params = takes_params;
    c->began_ns = timers_now_ns(timers(s));
    list_init(&c->req.link);
    list_init(&c->asks);
    list_add_tail(&s->calls, &c->link);
    s->call_count++;
    s->calls_all++;
    c->timer.fn = call_late;
    c->timer.user = c;
    if (timeout_ms > s->conf.timeout_ms)
        timeout_ms = s->conf.timeout_ms;
    (void)timer_start(timers(s), &c->timer, timeout_ms > 0 ? timeout_ms : 1);
    return c;
}

static void call_begin(struct mcpc_call *c)
{
    struct mcpc_srv *s = c->srv;
    if (s->state == MCPC_IS_READY && s->client && !s->falling)
        send_one(c);
}

static int check_input(const struct mcpc_def *d, const struct val *input, struct err *e)
{
    struct schema_error se;
    AUTO(json_doc) doc = NULL;
    if (!val_is(input, JSON_OBJ))
        return err_set(e, E_INVALID, "the arguments of %s must be an object", d->name);
    if (val_size(input) > 4 * (size_t)MAX_ALLOCATION_BYTES)
        return err_set(e, E_TOOBIG, "the arguments of %s are too large", d->name);
    int rc = val_to_json(&doc, input, e);
    if (rc < 0)
        return rc;
    rc = schema_check(d->in, json_root(doc), &se);
    return rc == 0 ? 0
                   : err_set(e, E_INVALID, "the arguments of %s do not fit: at \"%s\": %s", d->name,
                             se.instance, se.message);
}

static int allowed(const struct mcpc_def *d, const struct tool_caller *caller, struct err *e)
{
    if (!d->usable)
        return err_set(e, E_FORBIDDEN, "%s cannot be called: %s", d->name, d->why);
    if (d->pin == MCPC_DIFFERS)
        return err_set(e, E_FORBIDDEN,
                       "%s describes itself in another way than when it was allowed: look at it, "
                       "and approve it again",
                       d->name);
    if (!d->granted && !caller->confirmed)
        return err_set(e, E_FORBIDDEN, "%s is not allowed by a grant, nor was this call confirmed",
                       d->name);
    return 0;
}

// Two nodes that have each other as gateway would ask in a circle: what came over the mesh does
// not go on over it.
static bool kept_back(const struct mcpc_srv *s, const struct tool_caller *caller)
{
    return s->conf.dial && caller && caller->hop;
}

static int start(struct tools *t, const struct tool_args *args, struct tool_req *r, struct err *e)
{
    struct mcpc *m = container_of(t, struct mcpc, tools);
    struct mcpc_def *d = mcpc_row(m, args->name);
    if (!d || kept_back(d->srv, &args->caller))
        return err_set(e, E_NOTFOUND, "there is no tool %.*s%s", BYTES_FMT(args->name),
                       d ? " here: it is another node's" : "");
    struct mcpc_srv *s = d->srv;
    int rc = allowed(d, &args->caller, e);
    if (rc == 0)
        rc = crossing(s, &args->caller, e);
    if (rc == 0)
        rc = check_input(d, args->input, e);
    if (rc == 0)
        rc = may_begin(s, e);
    if (rc < 0)
        return rc;
    struct val *params = mcp_call(bytes_of(d->theirs), val_ref((struct val *)args->input));
    struct mcpc_call *c = call_new(s, "tools/call", params, &args->caller, args->timeout_ms, e);
    if (!c)
        return E_NOMEM;
    c->tool = r;
    c->def = d;
    d->refs++;
    r->priv = c;
    call_begin(c);
    return 0;
}

static void cancel_call(struct mcpc_call *c)
{
    struct err e = {0};
    if (!c || c->ended)
        return;
    if (c->sent && c->srv->client) {
        mcp_client_cancel(c->srv->client, &c->req, "cancelled");
        c->srv->way->drop(c->srv, &c->req);
    }
    (void)err_set(&e, E_CANCELLED, "cancelled");
    call_end(c, E_CANCELLED, NULL, &e);
}

static void cancel(struct tools *t, struct tool_req *r)
{
    (void)t;
    cancel_call(r->priv);
}

static void about(const struct mcpc_def *d, struct tool_about *ret)
{
    const struct val *out = val_get_cstr(d->item, "outputSchema");
    *ret = (struct tool_about){.name = bytes_of(d->name),
                               .title = buf_bytes(&d->title),
                               .description = buf_bytes(&d->description),
                               .input = val_get_cstr(d->item, "inputSchema"),
                               .output = val_is(out, JSON_OBJ) ? out : NULL,
                               .source = bytes_of(d->srv->conf.source),
                               .label = bytes_of(d->srv->conf.label),
                               .effects = d->effects,
                               .granted = d->granted};
}

static void list(struct tools *t, const struct tool_caller *c,
                 void (*each)(void *user, const struct tool_about *a), void *user)
{
    struct mcpc *m = container_of(t, struct mcpc, tools);
    for (size_t i = 0; i < m->row_count; i++) {
        struct tool_about a;
        if (!m->rows[i]->usable || kept_back(m->rows[i]->srv, c))
            continue;
        about(m->rows[i], &a);
        each(user, &a);
    }
}

static bool find(struct tools *t, struct bytes name, struct tool_about *ret)
{
    const struct mcpc_def *d = mcpc_row(container_of(t, struct mcpc, tools), name);
    if (!d || !d->usable)
        return false;
    about(d, ret);
    return true;
}

const struct tools_ops mcpc_tools_ops = {
    .list = list, .find = find, .start = start, .cancel = cancel};

// ---- prompts and resources ---------------------------------------------------------------------

static int other(struct mcpc_srv *s, const char *method, struct val *takes_params,
                 const struct tool_caller *caller, struct mcpc_req *r, struct err *e)
{
    int rc = kept_back(s, caller) ? err_set(e, E_NOTFOUND, "it is another node's")
                                  : crossing(s, caller, e);
    if (rc == 0)
        rc = may_begin(s, e);
    if (rc < 0) {
        val_unref(takes_params);
        return rc;
    }
    struct mcpc_call *c = call_new(s, method, takes_params, caller, TIME_NEVER, e);
    if (!c)
        return E_NOMEM;
    c->other = r;
    r->priv = c;
    call_begin(c);
    return 0;
}

// The server whose prefix stands before the name, and what is left of it.
static struct mcpc_srv *by_prefix(struct mcpc *m, struct bytes name, struct bytes *ret_rest)
{
    struct mcpc_srv *plain = NULL;
    for (size_t i = 0; i < m->count; i++) {
        struct bytes p = bytes_of(m->servers[i]->conf.prefix);
        if (!p.n)
            plain = m->servers[i];
        else if (bytes_starts(name, p) && bytes_starts(bytes_from(name, p.n), BYTES("__"))) {
            *ret_rest = bytes_from(name, p.n + 2);
            return m->servers[i];
        }
    }
    *ret_rest = name;
    return plain;
}

int mcpc_prompt(struct mcpc *m, struct bytes name, const struct val *arguments,
                const struct tool_caller *caller, struct mcpc_req *r, struct err *e)
{
    struct bytes theirs;
    struct mcpc_srv *s = by_prefix(m, name, &theirs);
    if (!s)
        return err_set(e, E_NOTFOUND, "there is no prompt %.*s", BYTES_FMT(bytes_first(name, 200)));
    struct val *p = val_put_cstr(val_obj(), "name", val_str(theirs));
    if (arguments)
        p = val_put_cstr(p, "arguments", val_ref((struct val *)arguments));
    return other(s, "prompts/get", p, caller, r, e);
}

static bool lists_uri(const struct mcpc_srv *s, struct bytes uri)
{
    for (size_t i = 0; i < val_len(s->items[2]); i++)
        if (bytes_eq(val_bytes(val_get_cstr(val_at(s->items[2], i), "uri")), uri))
            return true;
    return false;
}

int mcpc_read(struct mcpc *m, const char *server, struct bytes uri,
              const struct tool_caller *caller, struct mcpc_req *r, struct err *e)
{
    for (size_t i = 0; i < m->count; i++) {
        struct mcpc_srv *s = m->servers[i];
        if (server ? strcmp(server, s->conf.name) != 0 : !lists_uri(s, uri))
            continue;
        return other(s, "resources/read", val_put_cstr(val_obj(), "uri", val_str(uri)), caller, r,
                     e);
    }
    return err_set(e, E_NOTFOUND, "there is no resource %.*s", BYTES_FMT(bytes_first(uri, 300)));
}

void mcpc_cancel(struct mcpc *m, struct mcpc_req *r)
{
    (void)m;
    cancel_call(r->priv);
}

void mcpc_items(struct mcpc *m, enum mcpc_kind kind, const struct tool_caller *caller,
                void (*each)(void *user, const char *server, struct bytes name,
                             const struct val *item),
                void *user)
{
    struct buf *name = &m->scratch[1];
    for (size_t i = 0; i < m->count; i++) {
        const struct mcpc_srv *s = m->servers[i];
        const struct val *items = kept_back(s, caller) ? NULL : s->items[1 + (int)kind];
        for (size_t k = 0; k < val_len(items); k++) {
            const struct val *one = val_at(items, k);
            const char *member = kind == MCPC_PROMPTS     ? "name"
                                 : kind == MCPC_RESOURCES ? "uri"
                                                          : "uriTemplate";
            struct bytes theirs = val_bytes(val_get_cstr(one, member));
            if (!theirs.n || theirs.n > 8192)
                continue;
            buf_clear(name);
            if (kind == MCPC_PROMPTS && *s->conf.prefix)
                (void)buf_fmt(name, "%s__", s->conf.prefix);
            (void)buf_put(name, theirs);
            each(user, s->conf.name, buf_bytes(name), one);
        }
    }
}
