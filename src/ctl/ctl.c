// ctl.c: the one table of operations, and the way from a request to its row.
// SPDX-License-Identifier: Apache-2.0
#include "ctl/ctl_priv.h"
#include "text/url.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>

struct row {
    const char *method, *path; // {...} stands for one segment
    unsigned scope;
    const char *what;
    ctl_run_fn run;
};

static const struct row table[] = {
    {"GET", "/api", SCOPE_READ, "this list", ctl_op_index},
    {"GET", "/api/state", SCOPE_READ, "one snapshot of node, machine, models and requests",
     ctl_op_state},
    {"GET", "/api/events", SCOPE_READ, "the snapshot, then every change, as server-sent events",
     ctl_op_events},
    {"GET", "/api/models", SCOPE_READ, "all models", ctl_op_models},
    {"GET", "/api/models/{name}", SCOPE_READ, "one model", ctl_op_model},
    {"POST", "/api/models/{name}/load", SCOPE_ADMIN, "load it; wait=1 answers when it is warm",
     ctl_op_load},
    {"POST", "/api/models/{name}/unload", SCOPE_ADMIN, "let its requests finish and unload it",
     ctl_op_unload},
    {"POST", "/api/models/{name}/pin", SCOPE_ADMIN, "never evict it or let it idle out",
     ctl_op_pin},
    {"POST", "/api/models/{name}/unpin", SCOPE_ADMIN, "take the pin away", ctl_op_unpin},
    {"GET", "/api/logs", SCOPE_READ, "log lines; model=NAME lines=200 level=info follow=1",
     ctl_op_logs},
    {"GET", "/api/detect", SCOPE_READ, "what this machine is", ctl_op_detect},
    {"GET", "/api/doctor", SCOPE_READ, "what is wrong with it, and the command that mends it",
     ctl_op_doctor},
    {"GET", "/api/config", SCOPE_READ, "the config in use, without secrets", ctl_op_config},
    {"GET", "/api/config/schema", SCOPE_READ, "the JSON Schema of the config", ctl_op_schema},
    {"POST", "/api/config/reload", SCOPE_ADMIN, "read the config again; only changes restart",
     ctl_op_reload},
    {"GET", "/api/keys", SCOPE_READ, "API keys, without their text", ctl_op_keys},
    {"POST", "/api/keys", SCOPE_ADMIN, "make a key; its text is shown this once", ctl_op_key_new},
    {"DELETE", "/api/keys/{name}", SCOPE_ADMIN, "remove a key by id or name", ctl_op_key_remove},
    {"GET", "/api/mesh", SCOPE_READ, "this node's mesh: nodes, models, traffic", ctl_op_mesh},
    {"POST", "/api/mesh/init", SCOPE_ADMIN, "begin a mesh: this node holds its authority",
     ctl_op_mesh_init},
    {"POST", "/api/mesh/join", SCOPE_ADMIN, "become a node of a mesh, with a token",
     ctl_op_mesh_join},
    {"POST", "/api/mesh/leave", SCOPE_ADMIN, "leave the mesh", ctl_op_mesh_leave},
    {"GET", "/api/mesh/tokens", SCOPE_ADMIN, "join tokens, without their secret",
     ctl_op_mesh_tokens},
    {"POST", "/api/mesh/tokens", SCOPE_ADMIN, "make a join token; its text is shown this once",
     ctl_op_mesh_token_new},
    {"DELETE", "/api/mesh/tokens/{name}", SCOPE_ADMIN, "remove a join token by its id",
     ctl_op_mesh_token_remove},
    {"POST", "/api/mesh/svid", SCOPE_ADMIN, "an identity: an X.509-SVID or a JWT-SVID",
     ctl_op_mesh_svid},
    {"POST", "/api/mesh/standby", SCOPE_ADMIN, "have a second node hold the authority",
     ctl_op_mesh_standby},
    {"DELETE", "/api/mesh/nodes/{name}", SCOPE_ADMIN, "remove a node from the mesh, in seconds",
     ctl_op_node_remove},
    {"POST", "/api/mesh/nodes/{name}/drain", SCOPE_ADMIN, "give a node no new work",
     ctl_op_node_drain},
    {"POST", "/api/mesh/nodes/{name}/undrain", SCOPE_ADMIN, "give it work again",
     ctl_op_node_undrain},
    {"GET", "/api/resolve", SCOPE_READ, "where a name leads to; name=NAME kind=model",
     ctl_op_resolve},
    {"GET", "/api/bus", SCOPE_READ, "the bus: engine, state, figures", ctl_op_bus},
    {"POST", "/api/bus/publish", SCOPE_ADMIN, "a message; stored=true keeps it",
     ctl_op_bus_publish},
    {"POST", "/api/bus/request", SCOPE_ADMIN, "a message, and the first answer to it",
     ctl_op_bus_request},
    {"GET", "/api/bus/subscribe", SCOPE_READ,
     "messages as server-sent events; pattern= queue= durable= from=new|start|TIME",
     ctl_op_bus_subscribe},
    {"GET", "/api/flows", SCOPE_READ,
     "runs of flows; status= name= namespace= after= limit=", ctl_op_flows},
    {"POST", "/api/flows", SCOPE_ADMIN, "start a flow; wait answers with its output",
     ctl_op_flow_start},
    {"POST", "/api/flows/check", SCOPE_READ, "what is wrong with a document, and its graph",
     ctl_op_flow_check},
    {"POST", "/api/flows/events", SCOPE_MODELS, "a CloudEvent for the flows that listen",
     ctl_op_flow_event},
    {"GET", "/api/flows/documents", SCOPE_READ, "documents that can be started by name",
     ctl_op_flow_documents},
    {"POST", "/api/flows/documents", SCOPE_ADMIN, "register a document; its schedule begins",
     ctl_op_flow_document_add},
    {"DELETE", "/api/flows/documents/{namespace}/{name}/{version}", SCOPE_ADMIN,
     "forget a document; its runs go on", ctl_op_flow_document_remove},
    {"POST", "/api/flows/documents/{namespace}/{name}/{version}/eval", SCOPE_ADMIN,
     "run the cases of a document", ctl_op_flow_document_eval},
    {"POST", "/api/flows/documents/{namespace}/{name}/{version}/promote", SCOPE_ADMIN,
     "pack a document with its evidence and publish it for good", ctl_op_flow_document_promote},
    {"POST", "/api/flows/prune", SCOPE_ADMIN, "remove what has ended; older=30d",
     ctl_op_flow_prune},
    {"GET", "/api/flows/stats", SCOPE_READ, "figures of all flows", ctl_op_flow_stats},
    {"GET", "/api/flows/{id}", SCOPE_READ, "one run: state, tasks, graph; full=1 cuts no value",
     ctl_op_flow_show},
    {"GET", "/api/flows/{id}/history", SCOPE_READ, "its events and commands; from=N",
     ctl_op_flow_history},
    {"GET", "/api/flows/{id}/export", SCOPE_READ, "document and history, for flow replay",
     ctl_op_flow_export},
    {"GET", "/api/flows/{id}/events", SCOPE_READ, "one run live, as server-sent events",
     ctl_op_flow_events},
    {"POST", "/api/flows/{id}/retry", SCOPE_ADMIN, "try what failed again", ctl_op_flow_retry},
    {"POST", "/api/flows/{id}/skip", SCOPE_ADMIN, "go on without a task, with this output",
     ctl_op_flow_skip},
    {"POST", "/api/flows/{id}/edit", SCOPE_ADMIN, "another input for a task that stands",
     ctl_op_flow_edit},
    {"POST", "/api/flows/{id}/pause", SCOPE_ADMIN, "begin no further task", ctl_op_flow_pause},
    {"POST", "/api/flows/{id}/resume", SCOPE_ADMIN, "go on", ctl_op_flow_resume},
    {"POST", "/api/flows/{id}/cancel", SCOPE_ADMIN, "end it in order", ctl_op_flow_cancel},
    {"POST", "/api/flows/{id}/terminate", SCOPE_ADMIN, "end it now", ctl_op_flow_terminate},
    {"POST", "/api/flows/{id}/reset", SCOPE_ADMIN, "run again from an entry of its history",
     ctl_op_flow_reset},
    {"POST", "/api/flows/{id}/signal", SCOPE_ADMIN, "an event for this run alone",
     ctl_op_flow_signal},
    {"GET", "/api/tools", SCOPE_READ, "what can be called here", ctl_op_tools},
    {"POST", "/api/tools", SCOPE_ADMIN, "add a capability: a URN, or a manifest and its code",
     ctl_op_tool_add},
    {"GET", "/api/tools/calls", SCOPE_READ,
     "the last calls, newest first; limit=", ctl_op_tool_calls},
    {"GET", "/api/tools/servers", SCOPE_READ, "external MCP servers and how they do",
     ctl_op_tool_servers},
    {"GET", "/api/tools/{name}", SCOPE_READ, "one tool: schemas, permissions, figures",
     ctl_op_tool_show},
    {"DELETE", "/api/tools/{name}", SCOPE_ADMIN, "forget a capability", ctl_op_tool_remove},
    {"POST", "/api/tools/{name}/call", SCOPE_MODELS, "call it", ctl_op_tool_call},
    {"POST", "/api/tools/{name}/grant", SCOPE_ADMIN, "allow what it asks for", ctl_op_tool_grant},
    {"POST", "/api/tools/{name}/revoke", SCOPE_ADMIN, "take that back", ctl_op_tool_revoke},
    {"POST", "/api/tools/{name}/publish", SCOPE_ADMIN, "give a capability to the registry",
     ctl_op_tool_publish},
    {"POST", "/api/tools/{name}/eval", SCOPE_ADMIN, "run the cases of its manifest",
     ctl_op_tool_eval},
    {"POST", "/api/tools/{name}/promote", SCOPE_ADMIN,
     "pack it with its evidence and publish it for good", ctl_op_tool_promote},
    {"POST", "/api/down", SCOPE_ADMIN, "drain and end the node", ctl_op_down},
};
#define ROWS (sizeof table / sizeof *table)

static const char *scope_name(unsigned scope)
{
    return scope == SCOPE_ADMIN ? "admin" : scope == SCOPE_READ ? "read" : "models";
}

bool ctl_operation(size_t i, struct ctl_operation *ret)
{
    if (i >= ROWS)
        return false;
    *ret = (struct ctl_operation){table[i].method, table[i].path, scope_name(table[i].scope),
                                  table[i].what};
    return true;
}

#define NAMES_MAX 3

// Does the path fit the pattern? names gets the segments that {...} stand for, undecoded.
static bool match(const char *pattern, struct bytes path, struct bytes names[NAMES_MAX])
{
    struct bytes want = bytes_of(pattern);
    size_t count = 0;
    for (size_t i = 0; i < NAMES_MAX; i++)
        names[i] = BYTES_NONE;
    while (want.n && path.n) {
        struct bytes a = bytes_cut(&want, '/'), b = bytes_cut(&path, '/');
        if (bytes_starts(a, BYTES("{")) && b.n)
            names[count++] = b;
        else if (!bytes_eq(a, b))
            return false;
    }
    return !want.n && !path.p;
}

static const struct row *find(const struct http_head *h, struct bytes names[NAMES_MAX],
                              struct buf *allow)
{
    const struct row *found = NULL;
    for (size_t i = 0; i < ROWS && !found; i++) {
        if (!match(table[i].path, h->path, names))
            continue;
        if (bytes_is(h->method, table[i].method))
            found = &table[i];
        else
            (void)buf_fmt(allow, "%s%s", allow->n ? ", " : "", table[i].method);
    }
    return found;
}

void ctl_reply(struct http_exchange *x, int status, struct buf *json)
{
    if (json->failed)
        http_reply_error(x, json->failed, "the answer is too large", NULL, -1);
    else
        http_reply(x, status, CTL_JSON, CTL_NO_STORE, buf_bytes(json));
    buf_fini(json);
}

void ctl_reply_err(struct http_exchange *x, const struct err *e)
{
    int code = e->code ? e->code : E_INTERNAL;
    http_reply_error(x, code, e->n ? e->text : err_info(code)->text, NULL,
                     err_info(code)->retry ? 1 : -1);
}

bool ctl_query_is(const struct ctl_call *call, const char *name, const char *value)
{
    struct buf b;
    buf_init(&b, 64);
    bool is = url_query(call->query, name, &b) && bytes_is(buf_bytes(&b), value);
    buf_fini(&b);
    return is;
}

bool ctl_room(struct ctl_call *call)
{
    struct ctl *c = call->c;
    if (c->closed)
        http_reply_error(call->x, E_UNAVAILABLE, "the node is ending", NULL, -1);
    else if (c->subscriber_count + c->tail_count + c->listener_count + c->flow_reader_count >=
             c->args.readers_max)
        http_reply_error(call->x, E_FULL, "too many readers of events and logs", NULL, 5);
    else
        return true;
    return false;
}

void ctl_op_index(struct ctl_call *call)
{
    struct buf out;
    struct json_w w;
    buf_init(&out, CTL_JSON_MAX);
    json_w_init(&w, &out);
    json_w_obj(&w, NULL);
    json_w_arr(&w, "operations");
    for (size_t i = 0; i < ROWS; i++) {
        json_w_obj(&w, NULL);
        json_w_cstr(&w, "method", table[i].method);
        json_w_cstr(&w, "path", table[i].path);
        json_w_cstr(&w, "scope", scope_name(table[i].scope));
        json_w_cstr(&w, "what", table[i].what);
        json_w_end(&w);
    }
    json_w_end(&w);
    json_w_end(&w);
    ctl_reply(call->x, 200, &out);
}

static void wrong_method(struct http_exchange *x, const struct http_head *h, struct buf *allow)
{
    struct buf out, extra;
    struct json_w w;
    char text[256];
    const struct err_info *info = err_info(E_METHOD);
    (void)snprintf(text, sizeof text, "%.*s takes %s, not %.*s",
                   BYTES_FMT(bytes_first(h->path, 120)), buf_cstr(allow),
                   BYTES_FMT(bytes_first(h->method, 20)));
    buf_init(&extra, 256);
    (void)buf_fmt(&extra, "Allow: %s\r\n", buf_cstr(allow));
    buf_init(&out, CTL_JSON_MAX);
    json_w_init(&w, &out);
    json_w_obj(&w, NULL);
    json_w_obj(&w, "error");
    json_w_cstr(&w, "message", text);
    json_w_cstr(&w, "type", info->type);
    json_w_null(&w, "param");
    json_w_cstr(&w, "code", "method");
    json_w_end(&w);
    json_w_end(&w);
    http_reply(x, info->http, CTL_JSON, buf_bytes(&extra), buf_bytes(&out));
    buf_fini(&extra);
    buf_fini(&out);
}

static bool allowed(struct http_exchange *x, const struct row *row, unsigned scopes)
{
    char text[128];
    if (scopes & (row->scope | SCOPE_ADMIN)) // who may change things may also look at them
        return true;
    (void)snprintf(text, sizeof text, "this needs a key with the scope %s", scope_name(row->scope));
    http_reply_error(x, E_FORBIDDEN, text, NULL, -1);
    return false;
}

int ctl_handle(struct ctl *c, struct http_exchange *x, unsigned scopes)
{
    const struct http_head *h = http_request(x);
    if (!bytes_is(h->path, "/api") && !bytes_starts(h->path, BYTES("/api/")))
        return 0;
    struct buf allow, text[NAMES_MAX];
    struct bytes raw[NAMES_MAX] = {0};
    int rc = 0;
    struct err e = {0};
    buf_init(&allow, 128);
    for (size_t i = 0; i < NAMES_MAX; i++)
        buf_init(&text[i], 1024);
    const struct row *row = find(h, raw, &allow);
    for (size_t i = 0; i < NAMES_MAX && !rc; i++)
        rc = url_path_decode(&text[i], raw[i], &e);
    if (!row && allow.n) {
        wrong_method(x, h, &allow);
    } else if (!row) {
        http_reply_error(x, E_NOTFOUND, "no such operation; GET /api lists them", NULL, -1);
    } else if (!allowed(x, row, scopes)) {
        // answered
    } else if (rc) {
        ctl_reply_err(x, &e);
    } else {
        struct ctl_call call = {.c = c,
                                .x = x,
                                .query = h->query,
                                .name = buf_bytes(&text[0]),
                                .sub = buf_bytes(&text[1]),
                                .version = buf_bytes(&text[2]),
                                .scopes = scopes};
        row->run(&call);
    }
    buf_fini(&allow);
    for (size_t i = 0; i < NAMES_MAX; i++)
        buf_fini(&text[i]);
    return 1;
}

int ctl_new(struct ctl **ret, const struct ctl_args *args, struct err *e)
{
    struct ctl *c = mem_new(struct ctl);
    if (!c)
        return err_set(e, E_NOMEM, "admin API: out of memory");
    assert(args->ops && args->timers && args->models && args->keys);
    c->args = *args;
    c->ops = args->ops;
    if (!c->args.readers_max)
        c->args.readers_max = 64;
    if (!c->args.queue_bytes_max)
        c->args.queue_bytes_max = 256 << 10;
    list_init(&c->subscribers);
    list_init(&c->tails);
    list_init(&c->listeners);
    list_init(&c->waits);
    list_init(&c->answers);
    list_init(&c->flow_readers);
    buf_init(&c->scratch, 256 << 10);
    buf_init(&c->stat, 64 << 10);
    c->flush = (struct timer){.fn = ctl_flush_timer, .user = c};
    c->second = (struct timer){.fn = ctl_second_timer, .user = c};
    if (ctl_ring_init(&c->ring, args->log_lines_max ? args->log_lines_max : 2000,
                      args->log_bytes_max ? args->log_bytes_max : 1 << 20)) {
        ctl_free(c);
        return err_set(e, E_NOMEM, "admin API: out of memory");
    }
    *ret = c;
    return 0;
}

void ctl_close(struct ctl *c)
{
    if (c->closed)
        return;
    c->closed = true;
    ctl_waits_end(c);
    ctl_events_close(c);
    ctl_tails_close(c);
    ctl_listeners_close(c);
    ctl_flows_close(c);
}

void ctl_free(struct ctl *c)
{
    if (!c)
        return;
    timer_stop(c->args.timers, &c->flush);
    timer_stop(c->args.timers, &c->second);
    ctl_waits_detach(c);
    ctl_events_detach(c);
    ctl_tails_detach(c);
    ctl_listeners_detach(c);
    ctl_flows_detach(c);
    ctl_answers_detach(c);
    ctl_ring_fini(&c->ring);
    buf_fini(&c->scratch);
    buf_fini(&c->stat);
    mem_free(c);
}

void ctl_stats(const struct ctl *c, struct ctl_stats *ret)
{
    lock_take(c->ring.lock);
    *ret = (struct ctl_stats){.event_readers = c->subscriber_count,
                              .log_readers = c->tail_count,
                              .frames_dropped = c->dropped,
                              .log_lines = c->ring.next - c->ring.first,
                              .log_bytes = c->ring.bytes};
    lock_give(c->ring.lock);
}
