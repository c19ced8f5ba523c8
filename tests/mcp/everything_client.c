// everything_client.c: a test-only program around toolbox/mcpc.h. With MCP_CONFORMANCE_SCENARIO it
// is the client that @modelcontextprotocol/conformance drives (everything_client URL); else
// everything_client SOCKET CONFIG: it says what happens as JSON lines on a unix socket, and takes
// commands from there. SPDX-License-Identifier: Apache-2.0
#include "loop/loop.h"
#include "toolbox/mcpc.h"

#include "base/alloc.h"
#include "text/url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 64
#define CALLS_MAX 128
#define ASKS_MAX 16

struct call {
    struct tool_req tool;
    struct mcpc_req other;
    int64_t id; // 0: free
};

static struct {
    struct loop *loop;
    struct mcpc *m;
    struct net_stream *wire;
    struct buf in;
    struct val *conf;
    struct call calls[CALLS_MAX];
    struct timer limit, later;
    struct mcpc_asked *asked[ASKS_MAX];
    size_t asked_count, running;
    const char *scenario;
    size_t at; // of the scenario's steps
    int result;
} me;

static struct val *text(struct bytes b)
{
    return val_str(b.p ? b : BYTES(""));
}

static void out(struct val *takes)
{
    struct buf b;
    buf_init(&b, (size_t)64 << 20);
    (void)val_write(&b, takes);
    (void)buf_chr(&b, '\n');
    struct bytes v = buf_bytes(&b);
    if (me.wire)
        (void)net_write(me.wire, &v, 1);
    else
        (void)fwrite(b.p, 1, b.n, stderr);
    buf_fini(&b);
    val_unref(takes);
}

static struct val *one(const char *key, struct val *takes)
{
    return val_put_cstr(val_obj(), key, takes);
}

// ---- what happens ------------------------------------------------------------------------------

static const char *const events[] = {"ready", "down", "changed", "flagged",
                                     "log",   "list", "login",   "updated"};

static void quit(void);
static void scenario_go(void);

// ---- a browser without a person: what the authorization server answers goes back ---------------

static struct {
    struct http_pool *pool;
    struct http_call *call;
    struct timer later;
    char location[8192], url[8192];
} browser;

static void browser_back(struct timer *t)
{
    struct err e = {0};
    const char *query = strchr(browser.location, '?');
    (void)t;
    http_pool_free(steal(&browser.pool));
    if (me.m && mcpc_redirected(me.m, bytes_of(query ? query + 1 : ""), &e) < 0)
        fprintf(stderr, "%s\n", e.text);
}

static void browser_head(struct http_call *c, const struct http_head *head)
{
    struct bytes to = http_header(head, "Location");
    (void)c;
    (void)snprintf(browser.location, sizeof browser.location, "%.*s", BYTES_FMT(to));
}

static void browser_body(struct http_call *c, const char *p, size_t n)
{
    (void)c;
    (void)p;
    (void)n;
}

static void browser_end(struct http_call *c, int status, const struct err *e)
{
    (void)c;
    (void)status;
    (void)e;
    browser.later.fn = browser_back;
    (void)timer_start(loop_timers(me.loop), &browser.later, 0);
}

static void browser_go(struct timer *t)
{
    static const struct http_call_handler handler = {
        .on_head = browser_head, .on_body = browser_body, .on_end = browser_end};
    struct url u;
    struct err e = {0};
    char target[8192];
    struct http_pool_args args = {.net = loop_net(me.loop), .timers = loop_timers(me.loop)};
    (void)t;
    if (url_parse(&u, bytes_of(browser.url), &e) < 0)
        exit(2);
    (void)snprintf(args.addr.host, sizeof args.addr.host, "%.*s", BYTES_FMT(u.host));
    args.addr.port = u.port;
    (void)snprintf(target, sizeof target, "%.*s?%.*s", BYTES_FMT(u.path), BYTES_FMT(u.query));
    if (http_pool_new(&browser.pool, &args, &e) < 0 ||
        http_call_start(browser.pool,
                        &(struct http_call_args){.method = BYTES("GET"),
                                                 .target = bytes_of(target),
                                                 .first_byte_ms = 5000,
                                                 .silence_ms = 5000,
                                                 .handler = &handler},
                        &browser.call, &e) < 0)
        exit(2);
}

static void browser_open(struct bytes url)
{
    (void)snprintf(browser.url, sizeof browser.url, "%.*s", BYTES_FMT(url));
    browser.later.fn = browser_go;
    (void)timer_start(loop_timers(me.loop), &browser.later, 0);
}

// ---- events ------------------------------------------------------------------------------------

static void on_event(void *user, const char *server, enum mcpc_event ev, struct bytes what)
{
    (void)user;
    struct val *v = one("event", val_cstr(events[ev]));
    v = val_put_cstr(v, "server", val_cstr(server));
    out(val_put_cstr(v, "text", text(what)));
    if (me.scenario && ev == MCPC_LOGIN)
        browser_open(what);
    if (me.scenario && ev == MCPC_READY && !me.at)
        scenario_go();
    if (me.scenario && ev == MCPC_DOWN) {
        me.result = 1;
        quit();
    }
}

static void answer_late(struct timer *t)
{
    (void)t;
    for (size_t i = 0; i < me.asked_count; i++)
        mcpc_answer(me.asked[i], val_ref(val_get_cstr(me.conf, "elicit")), NULL);
    me.asked_count = 0;
}

static void on_ask(void *user, struct mcpc_asked *a)
{
    (void)user;
    const char *key = a->sampling ? "sample" : "elicit";
    struct val *answer = val_get_cstr(me.conf, key);
    if (me.scenario) { // later: other calls go on meanwhile
        me.asked[me.asked_count++ % ASKS_MAX] = a;
        me.later.fn = answer_late;
        (void)timer_start(loop_timers(me.loop), &me.later, 200);
        return;
    }
    struct val *v = one("ask", val_cstr(a->sampling ? "sampling" : "elicitation"));
    v = val_put_cstr(v, "server", val_cstr(a->server));
    v = val_put_cstr(v, "who", text(a->caller.who));
    out(val_put_cstr(v, "params", a->params ? val_ref((struct val *)a->params) : val_null()));
    if (bytes_is(val_bytes(answer), "never"))
        return;
    mcpc_answer(a, answer ? val_ref(answer) : NULL, "nobody is here");
}

static void call_said(struct call *c, int status, struct val *takes_result, const struct err *e)
{
    struct val *v = one("done", val_int(c->id));
    v = val_put_cstr(v, "status", val_cstr(status ? err_info(status)->symbol : ""));
    if (status)
        v = val_put_cstr(v, "text", val_cstr(e->text));
    if (takes_result)
        v = val_put_cstr(v, "result", takes_result);
    c->id = 0;
    out(v);
    if (me.scenario) {
        me.result |= status != 0;
        scenario_go();
    }
}

static void tool_done(struct tool_req *r, int status, const struct tool_result *res,
                      const struct err *e)
{
    struct val *v = NULL;
    if (res) {
        v = one("content", val_ref(res->content));
        v = val_put_cstr(v, "isError", val_bool(res->is_error));
        if (res->structured)
            v = val_put_cstr(v, "structuredContent", val_ref(res->structured));
    }
    call_said(container_of(r, struct call, tool), status, v, e);
}

static void tool_progress(struct tool_req *r, double done, double total, struct bytes what)
{
    struct call *c = container_of(r, struct call, tool);
    struct val *v = one("progress", val_int(c->id));
    v = val_put_cstr(v, "done", val_num(done));
    v = val_put_cstr(v, "total", val_num(total));
    out(val_put_cstr(v, "text", text(what)));
}

static void other_done(struct mcpc_req *r, int status, struct val *result, const struct err *e)
{
    call_said(container_of(r, struct call, other), status, result ? val_ref(result) : NULL, e);
}

// ---- what is told ------------------------------------------------------------------------------

static struct val *list_now;

static void tool_each(void *user, const struct tool_about *a)
{
    (void)user;
    struct val *v = one("name", text(a->name));
    v = val_put_cstr(v, "description", text(a->description));
    v = val_put_cstr(v, "title", text(a->title));
    v = val_put_cstr(v, "source", text(a->source));
    v = val_put_cstr(v, "granted", val_bool(a->granted));
    v = val_put_cstr(v, "effects", val_int(a->effects));
    list_now = val_push(list_now, val_put_cstr(v, "input", val_ref((struct val *)a->input)));
}

static void review_each(void *user, const struct mcpc_tool *t)
{
    static const char *const pins[] = {"pinned", "new", "differs"};
    (void)user;
    struct val *v = one("name", val_cstr(t->name));
    v = val_put_cstr(v, "description", text(t->description));
    v = val_put_cstr(v, "hash", val_cstr(t->hash));
    v = val_put_cstr(v, "pin", val_cstr(pins[t->pin]));
    v = val_put_cstr(v, "granted", val_bool(t->granted));
    v = val_put_cstr(v, "flagged", val_bool(t->flagged));
    v = val_put_cstr(v, "usable", val_bool(t->usable));
    list_now = val_push(list_now, val_put_cstr(v, "why", val_cstr(t->why)));
}

static void status_each(void *user, const struct mcpc_status *s)
{
    (void)user;
    struct val *v = one("name", val_cstr(s->name));
    v = val_put_cstr(v, "transport", val_cstr(s->transport));
    v = val_put_cstr(v, "state", val_cstr(s->state));
    v = val_put_cstr(v, "why", val_cstr(s->why));
    v = val_put_cstr(v, "server", val_cstr(s->server));
    v = val_put_cstr(v, "revision", val_cstr(s->revision));
    v = val_put_cstr(v, "words", val_cstr(s->last_words));
    v = val_put_cstr(v, "tools", val_int(s->tools));
    v = val_put_cstr(v, "left_out", val_int(s->left_out));
    v = val_put_cstr(v, "falls", val_int(s->falls));
    v = val_put_cstr(v, "calls", val_int((int64_t)s->calls));
    v = val_put_cstr(v, "failed", val_int((int64_t)s->failed));
    v = val_put_cstr(v, "pid", val_int(s->pid));
    list_now = val_push(list_now, v);
}

static void item_each(void *user, const char *server, struct bytes name, const struct val *item)
{
    (void)user;
    struct val *v = one("server", val_cstr(server));
    v = val_put_cstr(v, "name", text(name));
    list_now = val_push(list_now, val_put_cstr(v, "item", val_ref((struct val *)item)));
}

static void tell_list(const char *op)
{
    out(one(op, steal(&list_now)));
}

// ---- commands ----------------------------------------------------------------------------------

static struct call *call_find(int64_t id)
{
    for (size_t i = 0; i < CALLS_MAX; i++)
        if (me.calls[i].id == id)
            return &me.calls[i];
    fprintf(stderr, "no such call\n");
    exit(2);
}

static struct tool_caller caller_of(const struct val *v)
{
    return (struct tool_caller){.who = BYTES("test"),
                                .label = val_bytes(val_get_cstr(v, "label")),
                                .confirmed = val_bool_of(val_get_cstr(v, "confirmed"), false)};
}

static void do_call(const char *op, const struct val *v)
{
    struct call *c = call_find(0);
    struct err e = {0};
    struct tool_caller caller = caller_of(v);
    struct bytes name = val_bytes(val_get_cstr(v, "name"));
    const struct val *given = val_get_cstr(v, "args");
    AUTO(val) args = given ? val_ref((struct val *)given) : val_obj();
    int rc;
    *c = (struct call){.id = val_i64(val_get_cstr(v, "id"), 1)};
    c->other.done = other_done;
    c->tool.done = tool_done;
    if (val_bool_of(val_get_cstr(v, "progress"), false))
        c->tool.progress = tool_progress;
    if (strcmp(op, "prompt") == 0)
        rc = mcpc_prompt(me.m, name, args, &caller, &c->other, &e);
    else if (strcmp(op, "read") == 0)
        rc = mcpc_read(me.m, val_text(val_get_cstr(v, "server"), NULL), name, &caller, &c->other,
                       &e);
    else
        rc = tool_start(
            mcpc_tools(me.m),
            &(struct tool_args){.name = name,
                                .input = args,
                                .caller = caller,
                                .timeout_ms = val_i64(val_get_cstr(v, "timeout_ms"), TIME_NEVER)},
            &c->tool, &e);
    if (rc < 0)
        call_said(c, rc, NULL, &e);
}

static void ended(void *user)
{
    (void)user;
    mcpc_free(me.m);
    me.m = NULL;
    if (me.wire)
        net_close(me.wire, false);
    me.wire = NULL;
    timer_stop(loop_timers(me.loop), &me.limit);
    loop_stop(me.loop);
}

static void quit(void)
{
    static bool once;
    if (!once)
        mcpc_stop(me.m, ended, NULL);
    once = true;
}

static void said_rc(const char *op, int rc, const struct err *e)
{
    out(val_put_cstr(one(op, val_cstr(rc ? err_info(rc)->symbol : "")), "text", val_cstr(e->text)));
}

static void add(const struct val *v);

static void command(const struct val *v)
{
    const char *op = val_text(val_get_cstr(v, "op"), "");
    const char *name = val_text(val_get_cstr(v, "name"), NULL);
    struct err e = {0};
    list_now = val_arr();
    if (strcmp(op, "tools") == 0)
        mcpc_tools(me.m)->ops->list(mcpc_tools(me.m), &(struct tool_caller){0}, tool_each, NULL);
    else if (strcmp(op, "review") == 0)
        mcpc_review(me.m, name, review_each, NULL);
    else if (strcmp(op, "status") == 0)
        mcpc_each(me.m, status_each, NULL);
    else if (strcmp(op, "items") == 0)
        mcpc_items(me.m, (enum mcpc_kind)val_i64(val_get_cstr(v, "kind"), 0), NULL, item_each,
                   NULL);
    else
        val_unref(steal(&list_now));
    if (list_now) {
        tell_list(op);
        return;
    }
    if (strcmp(op, "call") == 0 || strcmp(op, "prompt") == 0 || strcmp(op, "read") == 0)
        do_call(op, v);
    else if (strcmp(op, "cancel") == 0)
        tool_cancel(mcpc_tools(me.m), &call_find(val_i64(val_get_cstr(v, "id"), 1))->tool);
    else if (strcmp(op, "approve") == 0)
        said_rc(op, mcpc_approve(me.m, name, val_text(val_get_cstr(v, "hash"), ""), &e), &e);
    else if (strcmp(op, "unpin") == 0)
        said_rc(op, mcpc_unpin(me.m, name, &e), &e);
    else if (strcmp(op, "restart") == 0)
        said_rc(op, mcpc_restart(me.m, name, &e), &e);
    else if (strcmp(op, "remove") == 0)
        said_rc(op, mcpc_remove(me.m, name, &e), &e);
    else if (strcmp(op, "add") == 0)
        add(v);
    else if (strcmp(op, "redirected") == 0)
        said_rc(op, mcpc_redirected(me.m, val_bytes(val_get_cstr(v, "query")), &e), &e);
    else
        quit();
}

// ---- the wire ----------------------------------------------------------------------------------

static void wire_data(struct net_stream *s, char *p, size_t n)
{
    ptrdiff_t end;
    (void)s;
    (void)buf_add(&me.in, p, n);
    while (me.m && (end = bytes_chr(buf_bytes(&me.in), '\n')) >= 0) {
        AUTO(val) v = NULL;
        (void)val_parse(&v, bytes_first(buf_bytes(&me.in), (size_t)end), NULL);
        buf_drop(&me.in, (size_t)end + 1);
        command(v);
    }
}

static void wire_open(struct net_stream *s, int status, const struct err *e)
{
    if (status < 0) {
        fprintf(stderr, "%s\n", e->text);
        exit(2);
    }
    net_read(s, true);
    struct val *servers = val_get_cstr(me.conf, "servers");
    for (size_t i = 0; i < val_len(servers); i++)
        add(val_at(servers, i));
}

static void wire_end(struct net_stream *s, int status)
{
    (void)s;
    (void)status;
    quit();
}

static void wire_closed(struct net_stream *s)
{
    (void)s;
}

static const struct net_handler wire_handler = {
    .on_open = wire_open, .on_data = wire_data, .on_end = wire_end, .on_closed = wire_closed};

// ---- servers -----------------------------------------------------------------------------------

static const char *const *words(const struct val *v, const char **room)
{
    size_t n = 0;
    for (; n < val_len(v) && n < WORDS_MAX - 1; n++)
        room[n] = val_text(val_at(v, n), "");
    room[n] = NULL;
    return v ? room : NULL;
}

static struct http_pool *mesh_pool;
static struct http_pool *dial(void *user, struct err *e)
{
    (void)user;
    if (!mesh_pool)
        (void)err_set(e, E_UNAVAILABLE, "there is no link to the strong node");
    return mesh_pool;
}

static void dial_ready(uint16_t port)
{
    struct err e = {0};
    struct http_pool_args args = {.net = loop_net(me.loop), .timers = loop_timers(me.loop)};
    (void)snprintf(args.addr.host, sizeof args.addr.host, "127.0.0.1");
    args.addr.port = port;
    if (port && !mesh_pool && http_pool_new(&mesh_pool, &args, &e) < 0)
        exit(2);
}

static void add(const struct val *v)
{
    static const char *argv[WORDS_MAX], *env[WORDS_MAX], *grants[WORDS_MAX], *roots[WORDS_MAX];
    struct err e = {0};
    enum mcp_rev rev = 0;
    bool fixed = mcp_rev_of(val_bytes(val_get_cstr(v, "revision")), &rev);
    struct mcpc_server s = {.name = val_text(val_get_cstr(v, "name"), "x"),
                            .prefix = val_text(val_get_cstr(v, "prefix"), NULL),
                            .argv = words(val_get_cstr(v, "argv"), argv),
                            .env = words(val_get_cstr(v, "env"), env),
                            .grants = words(val_get_cstr(v, "grants"), grants),
                            .roots = words(val_get_cstr(v, "roots"), roots),
                            .url = val_text(val_get_cstr(v, "url"), NULL),
                            .headers = val_text(val_get_cstr(v, "headers"), NULL),
                            .clearance = val_text(val_get_cstr(v, "clearance"), NULL),
                            .start_ms = val_i64(val_get_cstr(v, "start_ms"), 0),
                            .timeout_ms = val_i64(val_get_cstr(v, "timeout_ms"), 0),
                            .sampling = val_bool_of(val_get_cstr(v, "sampling"), false),
                            .elicitation = val_bool_of(val_get_cstr(v, "elicitation"), false),
                            .revision = fixed ? (int)rev : -1};
    const struct val *oauth = val_get_cstr(v, "oauth");
    if (oauth)
        s.oauth = (struct mcpc_oauth){
            .on = true,
            .client_id = val_text(val_get_cstr(oauth, "client_id"), NULL),
            .client_secret = val_text(val_get_cstr(oauth, "client_secret"), NULL),
            .metadata_url = val_text(val_get_cstr(oauth, "metadata_url"), NULL),
            .redirect_uri = val_text(val_get_cstr(oauth, "redirect_uri"), NULL)};
    if (val_get_cstr(v, "mesh")) {
        dial_ready((uint16_t)val_i64(val_get_cstr(v, "mesh"), 0));
        s.dial = dial;
        s.source = "mesh:strong";
    }
    int rc = mcpc_add(me.m, &s, &e);
    if (rc < 0)
        said_rc("add", rc, &e);
}

// ---- conformance -------------------------------------------------------------------------------

static void call_val(const char *op, const char *name, struct val *takes_args)
{
    struct val *v = val_put_cstr(val_obj(), "id", val_int((int64_t)++me.at));
    v = val_put_cstr(v, "name", val_cstr(name));
    v = val_put_cstr(v, "args", takes_args);
    me.running++;
    do_call(op, v);
    val_unref(v);
}

// Something of each type that the schema wants.
static struct val *args_for(const struct val *schema)
{
    struct val *properties = val_get_cstr(schema, "properties"), *p, *args = val_obj();
    struct bytes key;
    size_t at = 0;
    while (properties && val_each(properties, &at, &key, &p)) {
        struct bytes type = val_bytes(val_get_cstr(p, "type"));
        args = val_put(args, key,
                       bytes_is(type, "string")    ? val_cstr("x")
                       : bytes_is(type, "boolean") ? val_bool(true)
                       : bytes_is(type, "object")  ? val_obj()
                       : bytes_is(type, "array")   ? val_arr()
                                                   : val_int(5));
    }
    return args;
}

static void call_each(void *user, const struct tool_about *a)
{
    static struct val *seen; // json-schema-2020-12-preservation wants back what it listed
    (void)user;
    if (bytes_is(a->name, "srv__json_schema_2020_12_tool")) {
        seen = (struct val *)a->input;
        return;
    }
    if (bytes_is(a->name, "srv__json_schema_echo") && seen) {
        list_now = val_push(list_now, val_put_cstr(one("name", text(a->name)), "args",
                                                   one("schema", val_ref(seen))));
        return;
    }
    list_now =
        val_push(list_now, val_put_cstr(one("name", text(a->name)), "args", args_for(a->input)));
}

static void item_call(void *user, const char *server, struct bytes name, const struct val *item)
{
    (void)server;
    (void)item;
    list_now = val_push(list_now, val_put_cstr(one("name", text(name)), "op", val_cstr(user)));
}

// The scenarios that say themselves what to call: MCP_CONFORMANCE_CONTEXT's toolCalls.
static void context_calls(void)
{
    AUTO(val) v = NULL;
    const char *context = getenv("MCP_CONFORMANCE_CONTEXT");
    if (!context || val_parse(&v, bytes_of(context), NULL) < 0)
        return;
    const struct val *calls = val_get_cstr(v, "toolCalls");
    for (size_t i = 0; i < val_len(calls); i++) {
        struct val *given = val_get_cstr(val_at(calls, i), "arguments"), *x, *args = val_obj();
        struct bytes key;
        size_t at = 0;
        while (given && val_each(given, &at, &key, &x))
            if (!val_is(x, JSON_NULL)) // its own schema would refuse it
                args = val_put(args, key, val_ref(x));
        struct val *c = val_obj();
        struct buf b;
        buf_init(&b, 200);
        (void)buf_fmt(&b, "srv__%s", val_text(val_get_cstr(val_at(calls, i), "name"), ""));
        c = val_put_cstr(c, "name", text(buf_bytes(&b)));
        buf_fini(&b);
        list_now = val_push(list_now, val_put_cstr(c, "args", args));
    }
}

static void scenario_go(void)
{
    if (me.at) { // a call is over
        if (--me.running == 0)
            quit();
        return;
    }
    list_now = val_arr();
    context_calls();
    if (!val_len(list_now) && strcmp(me.scenario, "json-schema-ref-no-deref") != 0)
        mcpc_tools(me.m)->ops->list(mcpc_tools(me.m), &(struct tool_caller){0}, call_each, NULL);
    mcpc_items(me.m, MCPC_PROMPTS, NULL, item_call, "prompt");
    mcpc_items(me.m, MCPC_RESOURCES, NULL, item_call, "read");
    AUTO(val) todo = steal(&list_now);
    if (!val_len(todo))
        quit();
    me.running++; // calls that end at once do not end the whole
    for (size_t i = 0; i < val_len(todo); i++) {
        struct val *args = val_get_cstr(val_at(todo, i), "args");
        call_val(val_text(val_get_cstr(val_at(todo, i), "op"), "call"),
                 val_text(val_get_cstr(val_at(todo, i), "name"), ""),
                 args ? val_ref(args) : val_obj());
    }
    if (--me.running == 0)
        quit();
}

static void scenario_start(const char *url)
{
    AUTO(val) v = NULL;
    struct buf b;
    const char *rev = getenv("MCP_CONFORMANCE_FIXED");
    buf_init(&b, 1 << 16);
    (void)buf_fmt(&b,
                  "{\"name\":\"srv\",\"url\":\"%s\",\"grants\":[\"*\"],\"elicitation\":true,"
                  "\"sampling\":true,\"start_ms\":20000%s%s%s",
                  url, rev ? ",\"revision\":\"" : "", rev ? rev : "", rev ? "\"" : "");
    if (strncmp(me.scenario, "auth/", 5) == 0) {
        AUTO(val) context = NULL;
        const char *text_of = getenv("MCP_CONFORMANCE_CONTEXT");
        if (text_of)
            (void)val_parse(&context, bytes_of(text_of), NULL);
        const char *id = val_text(val_get_cstr(context, "client_id"), NULL);
        (void)buf_str(&b, ",\"oauth\":{\"redirect_uri\":\"http://localhost:3000/callback\","
                          "\"metadata_url\":"
                          "\"https://conformance-test.local/client-metadata.json\"");
        if (id)
            (void)buf_fmt(&b, ",\"client_id\":\"%s\",\"client_secret\":\"%s\"", id,
                          val_text(val_get_cstr(context, "client_secret"), ""));
        (void)buf_chr(&b, '}');
    }
    (void)buf_chr(&b, '}');
    (void)val_parse(&v, buf_bytes(&b), NULL);
    buf_fini(&b);
    add(v);
}

// ---- main --------------------------------------------------------------------------------------

static void too_long(struct timer *t)
{
    (void)t;
    fprintf(stderr, "too long\n");
    exit(3);
}

static void wire_start(const char *path)
{
    struct err e = {0};
    struct net_connect_args args = {.addr = {.unix_socket = true},
                                    .timeout_ms = 5000,
                                    .queue_bytes_max = (size_t)256 << 20,
                                    .handler = &wire_handler};
    (void)snprintf(args.addr.host, sizeof args.addr.host, "%s", path);
    if (net_connect(loop_net(me.loop), &args, &me.wire, &e) < 0) {
        fprintf(stderr, "%s\n", e.text);
        exit(2);
    }
}

int main(int argc, char **argv)
{
    struct err e = {0};
    if (argc > 1 && strcmp(argv[1], "_guard") == 0)
        return loop_guard_main(argc, argv);
    me.scenario = getenv("MCP_CONFORMANCE_SCENARIO");
    const char *conf = me.scenario ? "{\"elicit\":{\"action\":\"accept\",\"content\":{}}}"
                       : argc > 2  ? argv[2]
                                   : "";
    buf_init(&me.in, (size_t)64 << 20);
    if (argc < 2 || val_parse(&me.conf, bytes_of(conf), &e) < 0 ||
        loop_new(&me.loop, &(struct loop_args){0}, &e) < 0) {
        fprintf(stderr, "usage: everything_client SOCKET CONFIG (%s)\n", e.text);
        return 2;
    }
    struct mcpc_args args = {.net = loop_net(me.loop),
                             .timers = loop_timers(me.loop),
                             .procs = loop_procs(me.loop),
                             .folder = val_text(val_get_cstr(me.conf, "folder"), NULL),
                             .ask = on_ask,
                             .event = on_event,
                             .backoff_ms = val_i64(val_get_cstr(me.conf, "backoff_ms"), 0)};
    if (mcpc_new(&me.m, &args, &e) < 0) {
        fprintf(stderr, "%s\n", e.text);
        return 2;
    }
    me.limit.fn = too_long;
    (void)timer_start(loop_timers(me.loop), &me.limit, 60000);
    if (me.scenario)
        scenario_start(argv[argc - 1]);
    else
        wire_start(argv[1]);
    int rc = loop_run(me.loop);
    http_pool_free(mesh_pool);
    loop_free(me.loop);
    buf_fini(&me.in);
    val_unref(me.conf);
    if (mem_live() && !me.result) {
        fprintf(stderr, "%llu allocations are left\n", (unsigned long long)mem_live());
        return 4;
    }
    return rc < 0 ? 1 : me.result;
}
