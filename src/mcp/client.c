// client.c: a session with an MCP server, seen from the client. SPDX-License-Identifier: Apache-2.0
#include "mcp/client.h"

#include "base/alloc.h"

#include <string.h>

struct mcp_client {
    struct mcp_client_args args;
    struct val *said; // the result of the handshake
    enum mcp_client_state state;
    enum mcp_rev rev;
    unsigned tries; // of server/discover
    int64_t ids;
    size_t count, ask_count;
    struct list requests, asks;
    struct mcp_request hello;
};

#define TEXT_MAX 500 // of a server's error message

// ---- messages out ------------------------------------------------------------------------------

static struct val *params_of(struct mcp_client *c, struct mcp_request *r)
{
    struct val *p = r->params ? val_ref(r->params) : NULL;
    if (r->answers)
        p = val_put_cstr(p ? p : val_obj(), "inputResponses", val_ref(r->answers));
    if (r->state)
        p = val_put_cstr(p ? p : val_obj(), "requestState", val_ref(r->state));
    if (r->progress)
        p = mcp_with_meta(p, "progressToken", val_int(r->id));
    if (mcp_client_modern(c))
        p = mcp_with_client(p, c->rev, &c->args.info, val_ref(c->args.capabilities));
    return p;
}

// False: no memory. done is not called.
static bool put_out(struct mcp_client *c, struct mcp_request *r)
{
    r->id = ++c->ids;
    struct val *params = params_of(c, r);
    AUTO(val) m = jsonrpc_request(val_int(r->id), r->method, params);
    if (m)
        c->args.send(c->args.user, m, r);
    return m != NULL;
}

void mcp_client_notify(struct mcp_client *c, const char *method, struct val *takes_params_or_null)
{
    AUTO(val) m = jsonrpc_notification(method, takes_params_or_null);
    if (m)
        c->args.send(c->args.user, m, NULL);
}

static void forget(struct mcp_client *c, struct mcp_request *r)
{
    if (!r->out)
        return;
    r->out = false;
    list_del(&r->link);
    c->count--;
    val_unref(r->params);
    val_unref(r->answers);
    val_unref(r->state);
    r->params = r->answers = r->state = NULL;
}

static void ask_free(struct mcp_ask *a)
{
    list_del(&a->link);
    a->client->ask_count--;
    val_unref(a->params);
    val_unref(a->id);
    mem_free(a->key);
    mem_free(a);
}

static void asks_drop(struct mcp_client *c, const struct mcp_request *of)
{
    for (struct list *it = c->asks.next, *next = it->next; it != &c->asks;
         it = next, next = it->next) {
        struct mcp_ask *a = container_of(it, struct mcp_ask, link);
        if (of && a->of != of)
            continue;
        if (c->args.ask_gone)
            c->args.ask_gone(c->args.user, a);
        ask_free(a);
    }
}

static void finish(struct mcp_client *c, struct mcp_request *r, int status, struct val *result,
                   const struct err *e)
{
    if (!r->out)
        return;
    asks_drop(c, r);
    forget(c, r);
    r->done(r, status, result, e);
}

static void fail(struct mcp_client *c, struct mcp_request *r, int status, const char *text)
{
    struct err e = {0};
    (void)err_set(&e, status, "%s", text);
    finish(c, r, status, NULL, &e);
}

// ---- the handshake -----------------------------------------------------------------------------

static void not_ready(struct mcp_client *c, int status, const struct err *e)
{
    c->state = MCP_CLIENT_FAILED;
    c->args.failed(c->args.user, status, e);
}

static void hello_send(struct mcp_client *c, const char *method, struct val *takes_params)
{
    struct err e = {0};
    struct mcp_request *r = &c->hello;
    int rc = mcp_client_request(c, r, method, takes_params, &e);
    if (rc < 0)
        not_ready(c, rc, &e);
}

static void greet(struct mcp_client *c, enum mcp_rev rev)
{
    c->state = MCP_CLIENT_GREETS;
    c->rev = rev;
    hello_send(c, "initialize", mcp_initialize(rev, &c->args.info, val_ref(c->args.capabilities)));
}

static void probe(struct mcp_client *c)
{
    c->state = MCP_CLIENT_PROBES;
    c->rev = MCP_REV_MODERN;
    c->tries++;
    hello_send(c, "server/discover", NULL);
}

static void is_ready(struct mcp_client *c, struct val *result)
{
    c->said = val_ref(result);
    c->state = MCP_CLIENT_READY;
    if (!mcp_client_modern(c))
        mcp_client_notify(c, "notifications/initialized", NULL);
    c->args.ready(c->args.user);
}

// The newest of the server's list that we speak too.
static bool newest(const struct val *list, enum mcp_rev *ret)
{
    bool found = false;
    for (size_t i = 0; i < val_len(list); i++) {
        enum mcp_rev rev;
        if (mcp_rev_of(val_bytes(val_at(list, i)), &rev) && (!found || rev > *ret)) {
            *ret = rev;
            found = true;
        }
    }
    return found;
}

static void no_common(struct mcp_client *c, const struct val *list)
{
    struct err e = {0};
    struct buf b;
    buf_init(&b, 300);
    (void)val_write(&b, list);
    (void)err_set(&e, E_VERSION, "the server speaks %s of the protocol, which this node does not",
                  b.failed ? "other revisions" : buf_cstr(&b));
    buf_fini(&b);
    not_ready(c, E_VERSION, &e);
}

static void choose(struct mcp_client *c, const struct val *list, struct val *result)
{
    enum mcp_rev rev = 0;
    if (!newest(list, &rev) || (c->args.fixed && rev != c->args.first))
        no_common(c, list);
    else if (rev < MCP_REV_MODERN)
        greet(c, rev);
    else if (result)
        is_ready(c, result);
    else if (c->tries < 2)
        probe(c);
    else
        no_common(c, list);
}

static void fall_back(struct mcp_client *c, int status, const struct err *e)
{
    if (c->args.fixed)
        not_ready(c, status, e);
    else
        greet(c, MCP_REV_LEGACY);
}

static void discovered(struct mcp_client *c, struct val *result)
{
    const struct val *list = val_get_cstr(result, "supportedVersions");
    struct err e = {0};
    if (val_is(list, JSON_ARR) && val_len(list))
        choose(c, list, result);
    else
        fall_back(c, err_set(&e, E_UPSTREAM, "the answer to server/discover names no versions"),
                  &e);
}

static void greeted(struct mcp_client *c, struct val *result)
{
    struct bytes text = val_bytes(val_get_cstr(result, "protocolVersion"));
    struct err e = {0};
    enum mcp_rev rev;
    if (!mcp_rev_of(text, &rev) || rev >= MCP_REV_MODERN) {
        text = bytes_first(text, 40);
        (void)err_set(&e, E_VERSION, "the server wants revision \"%.*s\" of the protocol",
                      BYTES_FMT(text));
        not_ready(c, E_VERSION, &e);
        return;
    }
    c->rev = rev;
    is_ready(c, result);
}

static void hello_done(struct mcp_request *r, int status, struct val *result, const struct err *e)
{
    struct mcp_client *c = r->user;
    if (status < 0)
        not_ready(c, status, e);
    else if (c->state == MCP_CLIENT_PROBES)
        discovered(c, result);
    else
        greeted(c, result);
}

// ---- its life ----------------------------------------------------------------------------------

int mcp_client_new(struct mcp_client **ret, const struct mcp_client_args *args, struct err *e)
{
    struct mcp_client *c = mem_new(struct mcp_client);
    if (!c)
        return err_set(e, E_NOMEM, "out of memory");
    c->args = *args;
    c->args.capabilities = args->capabilities ? val_ref(args->capabilities) : val_obj();
    list_init(&c->requests);
    list_init(&c->asks);
    list_init(&c->hello.link);
    c->hello.done = hello_done;
    c->hello.user = c;
    *ret = c;
    return 0;
}

void mcp_client_free(struct mcp_client *c)
{
    if (!c)
        return;
    while (!list_empty(&c->requests))
        forget(c, container_of(c->requests.next, struct mcp_request, link));
    while (!list_empty(&c->asks))
        ask_free(container_of(c->asks.next, struct mcp_ask, link));
    val_unref(c->said);
    val_unref(c->args.capabilities);
    mem_free(c);
}

void mcp_client_start(struct mcp_client *c)
{
    if (c->args.first >= MCP_REV_MODERN)
        probe(c);
    else
        greet(c, c->args.first);
}

enum mcp_client_state mcp_client_state(const struct mcp_client *c)
{
    return c->state;
}

enum mcp_rev mcp_client_rev(const struct mcp_client *c)
{
    return c->rev;
}

bool mcp_client_modern(const struct mcp_client *c)
{
    return c->rev >= MCP_REV_MODERN;
}

const struct val *mcp_client_said(const struct mcp_client *c, const char *what)
{
    const struct val *v = val_get_cstr(c->said, what);
    return v || strcmp(what, "serverInfo") != 0 ? v : mcp_meta_of(c->said, MCP_META_SERVER);
}

bool mcp_client_is_hello(const struct mcp_client *c, const struct mcp_request *r)
{
    return r == &c->hello;
}

// ---- requests ----------------------------------------------------------------------------------

int mcp_client_request(struct mcp_client *c, struct mcp_request *r, const char *method,
                       struct val *takes_params_or_null, struct err *e)
{
    int rc = 0;
    if (r != &c->hello && c->state != MCP_CLIENT_READY)
        rc = err_set(e, E_UNAVAILABLE, "the server is not ready");
    else if (c->count >= MCP_CLIENT_REQUESTS_MAX)
        rc = err_set(e, E_FULL, "%d requests wait for an answer", MCP_CLIENT_REQUESTS_MAX);
    if (rc < 0) {
        val_unref(takes_params_or_null);
        return rc;
    }
    r->method = method;
    r->params = takes_params_or_null;
    r->answers = r->state = NULL;
    r->rounds = r->open = 0;
    r->refused = false;
    r->code = 0;
    r->progressed = -1;
    r->out = true;
    c->count++;
    list_add_tail(&c->requests, &r->link);
    if (put_out(c, r))
        return 0;
    forget(c, r);
    return err_set(e, E_NOMEM, "out of memory");
}

void mcp_client_cancel(struct mcp_client *c, struct mcp_request *r, const char *reason)
{
    if (!r->out)
        return;
    int64_t id = r->id;
    bool tell = (c->args.one_channel || !mcp_client_modern(c)) && r != &c->hello && !r->open;
    asks_drop(c, r);
    forget(c, r);
    if (tell)
        mcp_client_notify(c, "notifications/cancelled",
                          mcp_cancelled(val_int(id), bytes_of(reason)));
}

void mcp_client_forget(struct mcp_client *c, struct mcp_request *r)
{
    if (!r->out)
        return;
    asks_drop(c, r);
    forget(c, r);
}

struct mcp_request *mcp_client_find(struct mcp_client *c, int64_t id)
{
    list_each (it, &c->requests) {
        struct mcp_request *r = container_of(it, struct mcp_request, link);
        if (r->id == id)
            return r;
    }
    return NULL;
}

void mcp_client_lost(struct mcp_client *c, struct mcp_request *r, int status, const struct err *e,
                     bool other_era)
{
    if (!r->out)
        return;
    if (r == &c->hello && c->state == MCP_CLIENT_PROBES && other_era) {
        forget(c, r);
        fall_back(c, status, e);
        return;
    }
    finish(c, r, status, NULL, e);
}

void mcp_client_end(struct mcp_client *c, int status, const struct err *e)
{
    // What done begins anew finds the session ended.
    bool failed = c->state == MCP_CLIENT_FAILED;
    c->state = MCP_CLIENT_FAILED;
    asks_drop(c, NULL);
    while (!list_empty(&c->requests)) {
        struct mcp_request *r = container_of(c->requests.next, struct mcp_request, link);
        if (r != &c->hello)
            finish(c, r, status, NULL, e);
        else {
            forget(c, r);
            if (!failed)
                c->args.failed(c->args.user, status, e);
        }
    }
}

// ---- what the server asks ----------------------------------------------------------------------

static const struct {
    const char *method, *capability;
} askable[] = {{"roots/list", "roots"},
               {"sampling/createMessage", "sampling"},
               {"elicitation/create", "elicitation"}};

// NULL: it may not ask this, text says why.
static struct mcp_ask *ask_new(struct mcp_client *c, struct bytes method, struct val *params,
                               int *ret_code, const char **ret_text)
{
    *ret_code = JSONRPC_METHOD;
    *ret_text = "method not found";
    for (size_t i = 0; i < sizeof askable / sizeof *askable; i++) {
        if (!bytes_is(method, askable[i].method) ||
            !val_is(val_get_cstr(c->args.capabilities, askable[i].capability), JSON_OBJ))
            continue;
        struct mcp_ask *a = c->ask_count < MCP_CLIENT_ASKS_MAX ? mem_new(struct mcp_ask) : NULL;
        *ret_code = JSONRPC_INTERNAL;
        *ret_text = "too many requests at once";
        if (!a)
            return NULL;
        a->method = askable[i].method;
        a->params = params ? val_ref(params) : NULL;
        a->client = c;
        c->ask_count++;
        list_add_tail(&c->asks, &a->link);
        return a;
    }
    return NULL;
}

static void answer_put(struct mcp_client *c, struct val *takes_message)
{
    if (takes_message)
        c->args.send(c->args.user, takes_message, NULL);
    val_unref(takes_message);
}

static void take_request(struct mcp_client *c, const struct jsonrpc *m, struct mcp_request *of)
{
    int code;
    const char *text;
    if (mcp_client_modern(c)) // it must not; nothing may answer it
        return;
    if (bytes_is(m->method, "ping")) {
        answer_put(c, jsonrpc_result(val_ref(m->id), val_obj()));
        return;
    }
    struct mcp_ask *a = ask_new(c, m->method, m->params, &code, &text);
    if (!a) {
        answer_put(c, jsonrpc_error(val_ref(m->id), code, bytes_of(text), NULL));
        return;
    }
    a->id = val_ref(m->id);
    a->of = of;
    c->args.ask(c->args.user, a);
}

static void again(struct mcp_client *c, struct mcp_request *r)
{
    if (r->refused)
        fail(c, r, E_FORBIDDEN, "the server asked for something that it may not have");
    else if (r->rounds++ >= MCP_CLIENT_ROUNDS_MAX)
        fail(c, r, E_UPSTREAM, "the server asks for more input without an end");
    else if (!put_out(c, r))
        fail(c, r, E_NOMEM, "out of memory");
}

static void one_answered(struct mcp_client *c, struct mcp_request *r)
{
    if (--r->open == 0 && r->out)
        again(c, r);
}

void mcp_client_answer(struct mcp_ask *a, struct val *takes_result, int code, const char *text)
{
    struct mcp_client *c = a->client;
    struct mcp_request *r = a->of;
    if (a->id) {
        struct val *id = val_ref(a->id);
        ask_free(a);
        answer_put(c, takes_result ? jsonrpc_result(id, takes_result)
                                   : jsonrpc_error(id, code, bytes_of(text), NULL));
        return;
    }
    if (takes_result)
        r->answers = val_put_cstr(r->answers, a->key, takes_result);
    r->refused = r->refused || !takes_result || !r->answers;
    ask_free(a);
    one_answered(c, r);
}

static bool may_need_input(const struct mcp_request *r)
{
    return strcmp(r->method, "tools/call") == 0 || strcmp(r->method, "prompts/get") == 0 ||
           strcmp(r->method, "resources/read") == 0;
}

// InputRequiredResult (2026-07-28, "Multi Round-Trip Requests").
static void needs_input(struct mcp_client *c, struct mcp_request *r, struct val *result)
{
    struct val *asked = val_get_cstr(result, "inputRequests"), *one,
               *state = val_get_cstr(result, "requestState");
    struct bytes key;
    size_t at = 0;
    if (!may_need_input(r) || (asked && !val_is(asked, JSON_OBJ)) ||
        (state && !val_is(state, JSON_STR)) || (!asked && !state) ||
        val_len(asked) > MCP_CLIENT_ASKS_MAX) {
        fail(c, r, E_UPSTREAM, "the server asks for input in a wrong way");
        return;
    }
    val_unref(r->answers);
    val_unref(r->state);
    r->answers = asked ? val_obj() : NULL;
    r->state = state ? val_ref(state) : NULL;
    r->id = 0; // this round is over
    r->open = 1; // holds it while the first are answered at once
    while (asked && val_each(asked, &at, &key, &one)) {
        int code;
        const char *text;
        struct mcp_ask *a = ask_new(c, val_bytes(val_get_cstr(one, "method")),
                                    val_get_cstr(one, "params"), &code, &text);
        if (!a || !(a->key = mem_dup(key.p, key.n))) {
            if (a)
                ask_free(a);
            r->refused = true;
            break;
        }
        a->of = r;
        r->open++;
        c->args.ask(c->args.user, a);
    }
    one_answered(c, r);
}

struct val *mcp_elicit_fill(const struct val *params, struct val *takes_result)
{
    const struct val *properties =
        val_get_cstr(val_get_cstr(params, "requestedSchema"), "properties");
    struct val *content = val_get_cstr(takes_result, "content"), *property;
    struct bytes key;
    size_t at = 0;
    if (!bytes_is(val_bytes(val_get_cstr(takes_result, "action")), "accept") ||
        !val_is(properties, JSON_OBJ) || (content && !val_is(content, JSON_OBJ)))
        return takes_result;
    content = content ? val_ref(content) : val_obj();
    while (val_each(properties, &at, &key, &property)) {
        struct val *otherwise = val_get_cstr(property, "default");
        if (otherwise && !val_get(content, key))
            content = val_put(content, key, val_ref(otherwise));
    }
    return val_put_cstr(takes_result, "content", content);
}

// ---- messages in -------------------------------------------------------------------------------

static void take_result(struct mcp_client *c, struct mcp_request *r, struct val *result)
{
    switch (mcp_result_kind(result)) {
    case MCP_COMPLETE: {
        AUTO(val) keep = val_ref(result);
        finish(c, r, 0, keep, NULL);
        break;
    }
    case MCP_INPUT_REQUIRED: needs_input(c, r, result); break;
    case MCP_TASK:
    case MCP_RESULT_UNKNOWN:
        fail(c, r, E_UPSTREAM, "the server's answer is of a kind that this node does not know");
        break;
    }
}

static void take_error(struct mcp_client *c, struct mcp_request *r, const struct jsonrpc *m)
{
    struct err e = {0};
    struct bytes text = bytes_first(m->text, TEXT_MAX);
    int status = m->code == JSONRPC_PARAMS                                      ? E_INVALID
                 : m->code == JSONRPC_METHOD || m->code == MCP_RESOURCE_UNKNOWN ? E_NOTFOUND
                                                                                : E_UPSTREAM;
    (void)err_set(&e, status, "error %lld: %.*s", (long long)m->code, BYTES_FMT(text));
    r->code = m->code;
    if (r != &c->hello || c->state != MCP_CLIENT_PROBES) {
        finish(c, r, status, NULL, &e);
        return;
    }
    const struct val *list = val_get_cstr(m->data, "supported");
    AUTO(val) keep = val_is(list, JSON_ARR) ? val_ref(val_get_cstr(m->data, "supported")) : NULL;
    forget(c, r);
    if (m->code == MCP_VERSION_UNSUPPORTED && keep)
        choose(c, keep, NULL);
    else if (m->code == MCP_HEADER_MISMATCH || m->code == MCP_CAPABILITY_MISSING)
        not_ready(c, status, &e);
    else
        fall_back(c, status, &e);
}

static void take_progress(struct mcp_client *c, const struct jsonrpc *m)
{
    struct mcp_request *r =
        mcp_client_find(c, val_i64(val_get_cstr(m->params, "progressToken"), -1));
    double done = val_dbl(val_get_cstr(m->params, "progress"), -1);
    if (!r || !r->progress || !(done > r->progressed)) // it must grow
        return;
    r->progressed = done;
    r->progress(r, done, val_dbl(val_get_cstr(m->params, "total"), 0),
                val_bytes(val_get_cstr(m->params, "message")));
}

// It does not want the answer to what it asked any more.
static void take_cancelled(struct mcp_client *c, const struct jsonrpc *m)
{
    const struct val *id = val_get_cstr(m->params, "requestId");
    list_each (it, &c->asks) {
        struct mcp_ask *a = container_of(it, struct mcp_ask, link);
        if (!a->id || !id || !val_equal(a->id, id))
            continue;
        if (c->args.ask_gone)
            c->args.ask_gone(c->args.user, a);
        ask_free(a);
        return;
    }
}

static void take_note(struct mcp_client *c, const struct jsonrpc *m)
{
    if (bytes_is(m->method, "notifications/progress"))
        take_progress(c, m);
    else if (bytes_is(m->method, "notifications/cancelled"))
        take_cancelled(c, m);
    else if (c->args.note && c->state == MCP_CLIENT_READY)
        c->args.note(c->args.user, m->method, m->params);
}

static int take_one(struct mcp_client *c, const struct val *message, struct mcp_request *of,
                    struct err *e)
{
    struct jsonrpc m;
    int rc = jsonrpc_read(&m, message, e);
    if (rc < 0)
        return rc;
    if (m.kind == JSONRPC_REQUEST) {
        take_request(c, &m, of);
        return 0;
    }
    if (m.kind == JSONRPC_NOTIFICATION) {
        take_note(c, &m);
        return 0;
    }
    struct mcp_request *r = val_is_int(m.id) ? mcp_client_find(c, val_i64(m.id, -1)) : NULL;
    if (!r && m.kind == JSONRPC_ERROR && !m.id) // it could not read which one
        r = of && of->out ? of : NULL;
    if (!r || r->open || (of && of != r))
        return err_set(e, E_NOTFOUND, "an answer to a request that is not there");
    if (m.kind == JSONRPC_RESULT)
        take_result(c, r, m.result);
    else
        take_error(c, r, &m);
    return 0;
}

int mcp_client_take(struct mcp_client *c, const struct val *message, struct mcp_request *of,
                    struct err *e)
{
    int rc = 0;
    if (!val_is(message, JSON_ARR))
        return take_one(c, message, of, e);
    for (size_t i = 0; i < val_len(message); i++) { // a batch (2025-03-26)
        int one = take_one(c, val_at(message, i), of && of->out ? of : NULL, e);
        rc = one < 0 ? one : rc;
    }
    return rc;
}
