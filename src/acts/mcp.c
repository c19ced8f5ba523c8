// mcp.c: call: mcp: a request to a server of the Model Context Protocol, over streamable HTTP or as
// a child that speaks on its standard streams.
// SPDX-License-Identifier: Apache-2.0
#include "mcp/mcp.h"
#include "acts/acts_priv.h"

#include <stdio.h>
#include <string.h>

enum mcp_step { MCP_INITIALIZE, MCP_READY, MCP_REQUEST, MCP_BYE };

struct mcp {
    enum mcp_step step;
    const char *method;
    struct val *params;
    // HTTP
    struct act_rpc rpc;
    struct act_auth auth;
    struct buf url, lines, session;
    // A child
    struct act_child child;
    bool deaf; // it closed its input
    struct arena *words;
    struct val *result;
    char version[32];
    enum mcp_rev rev;
    bool modern; // a revision without a handshake: each request says everything
};

static const char *const methods[] = {"tools/list",
                                      "tools/call",
                                      "prompts/list",
                                      "prompts/get",
                                      "resources/list",
                                      "resources/read",
                                      "resources/templates/list"};

// ---- messages ----------------------------------------------------------------------------------

static struct val *hello(struct act *a)
{
    struct mcp *m = a->own;
    const struct val *client = val_get_cstr(a->with, "client");
    struct val *info =
        val_put_cstr(val_obj(), "name", val_cstr(val_text(val_get_cstr(client, "name"), "plexus")));
    info = val_put_cstr(info, "version",
                        val_cstr(val_text(val_get_cstr(client, "version"), PLEXUS_VERSION)));
    struct val *p = val_put_cstr(val_obj(), "protocolVersion", val_cstr(m->version));
    p = val_put_cstr(p, "capabilities", val_obj());
    return act_rpc_message(1, "initialize", val_put_cstr(p, "clientInfo", info));
}

// The params of the request, whole.
static struct val *params_of(struct act *a)
{
    struct mcp *m = a->own;
    const struct val *client = val_get_cstr(a->with, "client");
    const struct mcp_info info = {.name = val_text(val_get_cstr(client, "name"), "plexus"),
                                  .version =
                                      val_text(val_get_cstr(client, "version"), PLEXUS_VERSION)};
    struct val *p = m->params ? val_ref(m->params) : val_obj();
    return m->modern ? mcp_with_client(p, m->rev, &info, val_obj()) : p;
}

static struct val *request_of(struct act *a)
{
    struct mcp *m = a->own;
    return act_rpc_message(2, m->method, params_of(a));
}

// A flow has nobody who could be asked (2026-07-28, "Multi Round-Trip Requests").
static bool complete(struct act *a, const struct val *result)
{
    if (mcp_result_kind(result) == MCP_COMPLETE)
        return true;
    act_fail(a, ACT_RUNTIME, 0, true, "call: mcp: the server asks for input, and nobody is here");
    return false;
}

// The version that the server wants to speak goes into each later request.
static void agreed(struct mcp *m, const struct val *message)
{
    const char *version = val_text(val_ptr(message, BYTES("/result/protocolVersion")), "");
    if (version[0] && strlen(version) < sizeof m->version)
        (void)snprintf(m->version, sizeof m->version, "%s", version);
}

static bool is_progress(const struct val *message)
{
    return bytes_is(val_bytes(val_get_cstr(message, "method")), "notifications/progress");
}

// ---- streamable HTTP ---------------------------------------------------------------------------

static void http_step(struct act *a);

static bool http_message(struct act *a, struct val *message)
{
    struct mcp *m = a->own;
    if (is_progress(message) && val_get_cstr(message, "params"))
        act_beat(a, val_ref(val_get_cstr(message, "params")));
    if (!act_rpc_answers(message, m->step == MCP_INITIALIZE ? 1 : 2))
        return true;
    if (act_rpc_failed(a, "call: mcp", message))
        return false;
    if (m->step == MCP_INITIALIZE)
        agreed(m, message);
    val_unref(m->result);
    m->result = val_ref(val_get_cstr(message, "result"));
    return false;
}

static void http_end(struct act *a, struct act_fetch *f)
{
    struct mcp *m = a->own;
    struct bytes session = act_fetch_header(f, "Mcp-Session-Id");
    bool good = f->status >= 200 && f->status < 300;
    if (m->step == MCP_BYE) { // whatever it says: the work is done
        act_done(a, val_ref(m->result));
        return;
    }
    if (!good) {
        act_web_status(a, BYTES("POST"), buf_bytes(&m->url), f);
        return;
    }
    if (m->step != MCP_READY && !m->result) {
        act_fail(a, ACT_COMMUNICATION, 0, false, "call: mcp: the server's answer has no result");
        return;
    }
    if (m->step == MCP_INITIALIZE) {
        if (session.n)
            (void)buf_put(&m->session, session);
        val_unref(m->result);
        m->result = NULL;
    }
    if (m->step == MCP_REQUEST && !complete(a, m->result))
        return;
    if (m->step == MCP_REQUEST && !m->session.n) {
        act_done(a, val_ref(m->result));
        return;
    }
    m->step++;
    http_step(a);
}

static void http_step(struct act *a)
{
    struct mcp *m = a->own;
    struct buf lines;
    struct err e = {0};
    struct val *message = m->step == MCP_INITIALIZE ? hello(a)
                          : m->step == MCP_READY
                              ? act_rpc_message(0, "notifications/initialized", NULL)
                          : m->step == MCP_REQUEST ? request_of(a)
                                                   : NULL;
    int rc = 0;
    buf_init(&lines, (size_t)64 << 10);
    (void)buf_put(&lines, buf_bytes(&m->lines));
    if (m->modern)
        rc = mcp_headers(&lines, m->rev, bytes_of(m->method), m->params, NULL);
    else if (m->step != MCP_INITIALIZE)
        rc = act_header_put(&lines, BYTES("MCP-Protocol-Version"), bytes_of(m->version), &e);
    if (m->session.n && rc == 0)
        rc = act_header_put(&lines, BYTES("Mcp-Session-Id"), buf_bytes(&m->session), &e);
    if (rc < 0) {
        val_unref(message);
        act_fail(a, ACT_COMMUNICATION, 0, true, "call: mcp: %s", e.text);
    } else {
        act_rpc_send(a, &m->rpc,
                     &(struct act_rpc_args){.method = m->step == MCP_BYE ? "DELETE" : NULL,
                                            .url = buf_bytes(&m->url),
                                            .headers = buf_bytes(&lines),
                                            .takes_message = message,
                                            .auth = &m->auth,
                                            .on_message = http_message,
                                            .on_end = http_end});
    }
    if (lines.p)
        mem_wipe(lines.p, lines.n);
    buf_fini(&lines);
}

static void ready(struct act *a, struct val *takes_with)
{
    struct mcp *m = a->own;
    struct val *http = val_ptr(takes_with, BYTES("/transport/http"));
    struct val *params = val_get_cstr(takes_with, "parameters");
    struct err e = {0};
    val_unref(m->params);
    m->params = val_is(params, JSON_OBJ) ? val_ref(params) : NULL;
    if (act_headers_put(&m->lines, val_get_cstr(http, "headers"), &e) < 0)
        act_fail(a, ACT_CONFIGURATION, 0, true, "call: mcp: %s", e.text);
    else
        http_step(a);
    val_unref(takes_with);
}

static void authenticated(struct act *a, struct act_auth *x)
{
    if (a->ended)
        return;
    if (act_late_has(a->with))
        act_late(a, a->with, x->authorization ? val_ref(x->authorization) : val_null(), ready);
    else
        ready(a, val_ref(a->with));
}

static void http_start(struct act *a, const struct val *http)
{
    struct mcp *m = a->own;
    const struct val *policy;
    struct bytes url = act_endpoint(val_get_cstr(http, "endpoint"), &policy);
    (void)buf_put(&m->url, url);
    if (!url.n)
        act_fail(a, ACT_CONFIGURATION, 0, true, "call: mcp: transport.http needs an endpoint");
    else
        act_auth(a, &m->auth, policy, authenticated);
}

// ---- a child -----------------------------------------------------------------------------------

static void tell(struct act *a, struct val *takes_message)
{
    struct mcp *m = a->own;
    struct buf line;
    buf_init(&line, (size_t)8 << 20);
    (void)val_write(&line, takes_message);
    (void)buf_chr(&line, '\n');
    if (!takes_message || line.failed)
        act_nomem(a);
    else if (act_child_write(&m->child, buf_bytes(&line)) < 0 && !m->child.over)
        m->deaf = true; // its end says more: it may never have begun, or have died
    if (m->deaf && m->child.proc)
        a->room->args.procs->ops->kill(m->child.proc);
    val_unref(takes_message);
    buf_fini(&line);
}

// What the server asks of us: it lives, else we cannot.
static void answer(struct act *a, const struct val *message)
{
    struct val *id = val_get_cstr(message, "id");
    struct val *m = val_put_cstr(val_obj(), "jsonrpc", val_cstr("2.0"));
    m = val_put_cstr(m, "id", val_ref(id));
    if (bytes_is(val_bytes(val_get_cstr(message, "method")), "ping")) {
        m = val_put_cstr(m, "result", val_obj());
    } else {
        struct val *error = val_put_cstr(val_obj(), "code", val_int(-32601));
        error = val_put_cstr(error, "message", val_cstr("method not found"));
        m = val_put_cstr(m, "error", error);
    }
    tell(a, m);
}

static void child_line(struct act *a, struct bytes line)
{
    struct mcp *m = a->own;
    AUTO(val) message = NULL;
    line = bytes_trim(line);
    if (!line.n || val_parse(&message, line, NULL) < 0 || !val_is(message, JSON_OBJ))
        return; // some print where they should not
    if (is_progress(message) && val_get_cstr(message, "params"))
        act_beat(a, val_ref(val_get_cstr(message, "params")));
    if (val_get_cstr(message, "method")) {
        if (val_get_cstr(message, "id"))
            answer(a, message);
        return;
    }
    if (!act_rpc_answers(message, m->step == MCP_INITIALIZE ? 1 : 2) ||
        act_rpc_failed(a, "call: mcp", message))
        return;
    if (m->step == MCP_INITIALIZE) {
        agreed(m, message);
        m->step = MCP_REQUEST;
        tell(a, act_rpc_message(0, "notifications/initialized", NULL));
        tell(a, request_of(a));
    } else if (complete(a, val_get_cstr(message, "result"))) {
        act_done(a, val_ref(val_get_cstr(message, "result"))); // it ends with its input
    }
}

static void child_ended(struct act *a, struct act_child *c)
{
    struct bytes why = bytes_trim(buf_bytes(&c->err));
    const struct mcp *m = a->own;
    if (m->deaf && !c->exit.not_started && c->exit.signal) {
        act_fail(a, ACT_COMMUNICATION, 0, false, "call: mcp: the server does not read");
        return;
    }
    if (act_child_failed(a, c, "the MCP server"))
        return;
    if (why.n > 1000)
        why = bytes_from(why, why.n - 1000);
    act_fail(a, ACT_COMMUNICATION, 0, false,
             "call: mcp: the server ended with exit code %d before it answered%s%.*s", c->exit.code,
             why.n ? ": " : "", BYTES_FMT(why));
}

static void child_start(struct act *a, const struct val *stdio)
{
    struct mcp *m = a->own;
    const char *first[] = {val_text(val_get_cstr(stdio, "command"), ""), NULL};
    const char *const *argv = NULL;
    struct err e = {0};
    if (!first[0][0]) {
        act_fail(a, ACT_CONFIGURATION, 0, true, "call: mcp: transport.stdio needs a command");
        return;
    }
    m->words = arena_new((size_t)8 << 20);
    int rc = m->words ? act_words(m->words, val_get_cstr(stdio, "arguments"), first, &argv, &e)
                      : err_set(&e, E_NOMEM, "out of memory");
    if (rc < 0) {
        act_fail(a, ACT_CONFIGURATION, 0, rc != E_NOMEM, "call: mcp: %s", e.text);
        return;
    }
    act_child(a, &m->child,
              &(struct act_child_args){.argv = argv,
                                       .environment = val_get_cstr(stdio, "environment"),
                                       .open = true,
                                       .on_line = child_line,
                                       .then = child_ended});
    if (!a->ended)
        tell(a, m->modern ? request_of(a) : hello(a));
}

static void local(struct act *a, struct val *takes_with)
{
    struct mcp *m = a->own;
    struct val *params = val_get_cstr(takes_with, "parameters");
    val_unref(a->with);
    a->with = takes_with;
    m->params = val_is(params, JSON_OBJ) ? val_ref(params) : NULL;
    child_start(a, val_ptr(a->with, BYTES("/transport/stdio")));
}

// ---- both --------------------------------------------------------------------------------------

static void start(struct act *a)
{
    struct mcp *m = a->own;
    struct val *http = val_ptr(a->with, BYTES("/transport/http")),
               *stdio = val_ptr(a->with, BYTES("/transport/stdio")),
               *timeout = val_get_cstr(a->with, "timeout"),
               *params = val_get_cstr(a->with, "parameters");
    struct bytes method = val_bytes(val_get_cstr(a->with, "method"));
    struct err e = {0};
    int64_t ms = 0;
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (bytes_is(method, methods[i]))
            m->method = methods[i];
    buf_init(&m->url, (size_t)64 << 10);
    buf_init(&m->lines, (size_t)64 << 10);
    buf_init(&m->session, (size_t)4 << 10);
    const char *version = val_text(val_get_cstr(a->with, "protocolVersion"), "2025-06-18");
    (void)snprintf(m->version, sizeof m->version, "%s", version);
    m->modern = mcp_rev_of(bytes_of(version), &m->rev) && m->rev >= MCP_REV_MODERN;
    if (m->modern)
        m->step = MCP_REQUEST;
    if (timeout && act_duration(timeout, &ms, &e) < 0)
        act_fail(a, ACT_CONFIGURATION, 0, true, "call: mcp: timeout: %s", e.text);
    else if (timeout)
        act_limit(a, ms);
    if (a->ended)
        return;
    if (!m->method)
        act_fail(a, ACT_CONFIGURATION, 0, true, "call: mcp: there is no method \"%.*s\"",
                 BYTES_FMT(bytes_first(method, 80)));
    else if (params && !val_is(params, JSON_OBJ) && !val_is(params, JSON_NULL))
        act_fail(a, ACT_CONFIGURATION, 0, true, "call: mcp: parameters must be an object");
    else if (http)
        http_start(a, http);
    else if (stdio && act_late_has(a->with))
        act_late(a, a->with, val_null(), local);
    else if (stdio)
        local(a, val_ref(a->with));
    else
        act_fail(a, ACT_CONFIGURATION, 0, true,
                 "call: mcp needs transport.http or transport.stdio");
}

static void stop(struct act *a)
{
    struct mcp *m = a->own;
    struct buf *const bufs[] = {&m->url, &m->lines, &m->session};
    act_rpc_fini(&m->rpc);
    act_auth_fini(&m->auth);
    act_child_fini(&m->child);
    arena_free(m->words);
    for (size_t i = 0; i < 3; i++) {
        if (bufs[i]->p)
            mem_wipe(bufs[i]->p, bufs[i]->n);
        buf_fini(bufs[i]);
    }
    val_unref(m->params);
    val_unref(m->result);
}

const struct act_kind act_mcp = {.name = "mcp",
                                 .what = "A server of the Model Context Protocol.",
                                 .bytes = sizeof(struct mcp),
                                 .start = start,
                                 .stop = stop,
                                 .authorizes = true};
