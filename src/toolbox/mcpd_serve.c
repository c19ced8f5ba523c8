// mcpd_serve.c: one request to its answer: what is answered at once here, the rest by lists, calls
// and tasks. SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "toolbox/mcpd_priv.h"
#include <stdarg.h>
#include <stdio.h>

struct tool_caller mcpd_caller(const struct mcpd_who *who)
{
    return (struct tool_caller){.who = bytes_of(who->name),
                                .as = bytes_of(who->as),
                                .label = bytes_of(who->label),
                                .clearance = bytes_of(who->clearance),
                                .admin = who->admin,
                                .hop = who->hop};
}

// ---- answers -----------------------------------------------------------------------------------

struct val *mcpd_finish_result(const struct mcpd *m, bool modern, struct val *takes_result)
{
    struct val *r = takes_result;
    if (!modern)
        return r;
    if (!val_get_cstr(r, "resultType"))
        r = val_put_cstr(r, "resultType", val_cstr("complete"));
    return mcp_with_meta(r, MCP_META_SERVER, mcp_info_val(&m->args.info));
}

void mcpd_result(const struct mcpd_in *in, struct val *takes_result)
{
    struct val *r = takes_result ? mcpd_finish_result(in->m, in->modern, takes_result) : NULL;
    struct val *message =
        r ? jsonrpc_result(val_ref(in->a->m.id), r)
          : jsonrpc_error(val_ref(in->a->m.id), JSONRPC_INTERNAL, BYTES("out of memory"), NULL);
    mcpd_out_answer(in->out, message, r ? 200 : 503);
}

void mcpd_error(const struct mcpd_in *in, int code, int http, struct val *takes_data,
                const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    mcpd_out_answer(in->out, jsonrpc_error(val_ref(in->a->m.id), code, bytes_of(text), takes_data),
                    in->modern ? http : 200);
}

// ---- what we can -------------------------------------------------------------------------------

static struct val *flags(const char *one, const char *two)
{
    struct val *v = val_put_cstr(val_obj(), one, val_bool(true));
    return two ? val_put_cstr(v, two, val_bool(true)) : v;
}

static struct val *legacy_tasks(void)
{
    struct val *call = val_put_cstr(val_obj(), "call", val_obj());
    struct val *requests = val_put_cstr(val_obj(), "tools", call);
    struct val *v = val_put_cstr(val_obj(), "list", val_obj());
    v = val_put_cstr(v, "cancel", val_obj());
    return val_put_cstr(v, "requests", requests);
}

struct val *mcpd_capabilities(const struct mcpd *m, bool modern, enum mcp_rev rev)
{
    const struct mcpd_more_ops *more = m->args.more ? m->args.more->ops : NULL;
    struct val *v = val_put_cstr(val_obj(), "tools", flags("listChanged", NULL));
    if (more && more->read)
        v = val_put_cstr(v, "resources", flags("subscribe", "listChanged"));
    if (more && more->prompt)
        v = val_put_cstr(v, "prompts", flags("listChanged", NULL));
    if (more && more->complete && rev >= MCP_2025_03_26)
        v = val_put_cstr(v, "completions", val_obj());
    v = val_put_cstr(v, "logging", val_obj());
    if (modern)
        v = val_put_cstr(v, "extensions", val_put_cstr(val_obj(), MCP_EXT_TASKS, val_obj()));
    else if (rev >= MCP_2025_11_25)
        v = val_put_cstr(v, "tasks", legacy_tasks());
    return v;
}

static void discover(struct mcpd_in *in)
{
    struct val *r = val_put_cstr(val_obj(), "supportedVersions", mcp_rev_list());
    r = val_put_cstr(r, "capabilities", mcpd_capabilities(in->m, true, in->rev));
    if (in->m->args.instructions)
        r = val_put_cstr(r, "instructions", val_cstr(in->m->args.instructions));
    r = val_put_cstr(r, "ttlMs", val_int(60000));
    mcpd_result(in, val_put_cstr(r, "cacheScope", val_cstr("public")));
}

static void set_level(struct mcpd_in *in)
{
    struct bytes level = val_bytes(val_get_cstr(in->a->m.params, "level"));
    if (!mcp_level_of(level, &in->s->level))
        mcpd_error(in, JSONRPC_PARAMS, 200, NULL, "no such log level");
    else
        mcpd_result(in, val_obj());
}

// ---- subscriptions -----------------------------------------------------------------------------

static void subscribe(struct mcpd_in *in, bool on)
{
    struct mcpd_session *s = in->s;
    struct bytes uri = val_bytes(val_get_cstr(in->a->m.params, "uri"));
    if (uri.n == 0) {
        mcpd_error(in, JSONRPC_PARAMS, 200, NULL, "params must have a uri");
        return;
    }
    if (!on) {
        if (s->uris)
            (void)map_del(s->uris, uri);
        mcpd_result(in, val_obj());
        return;
    }
    if (!s->uris)
        s->uris = map_new(in->m->lim.subscriptions_max);
    int rc = s->uris ? map_put(s->uris, uri, s, NULL) : E_NOMEM;
    if (rc < 0)
        mcpd_error(in, JSONRPC_INTERNAL, 200, NULL, "too many subscriptions");
    else
        mcpd_result(in, val_obj());
}

static int put_texts(struct map **map, const struct val *list, size_t max, void *value)
{
    if (!val_is(list, JSON_ARR) || val_len(list) == 0)
        return 0;
    *map = map_new(max);
    int rc = *map ? 0 : E_NOMEM;
    for (size_t i = 0; i < val_len(list) && rc == 0; i++) {
        struct bytes text = val_bytes(val_at(list, i));
        rc = text.n ? map_put(*map, text, value, NULL) : E_INVALID;
    }
    return rc;
}

static bool listen_filter(struct mcpd_in *in, const struct val *f, struct val **ret_agreed)
{
    struct mcpd_out *o = in->out;
    const struct mcpd_more_ops *more = in->m->args.more ? in->m->args.more->ops : NULL;
    struct val *agreed = val_obj();
    struct val *uris = val_get_cstr(f, "resourceSubscriptions"),
               *tasks = val_get_cstr(f, "taskIds");
    o->tools = val_bool_of(val_get_cstr(f, "toolsListChanged"), false);
    o->prompts = more && more->prompt && val_bool_of(val_get_cstr(f, "promptsListChanged"), false);
    o->resources =
        more && more->read && val_bool_of(val_get_cstr(f, "resourcesListChanged"), false);
    int rc = 0;
    if (more && more->read)
        rc = put_texts(&o->uris, uris, in->m->lim.subscriptions_max, o);
    if (rc == 0)
        rc = put_texts(&o->tasks, tasks, in->m->lim.subscriptions_max, o);
    if (o->tools)
        agreed = val_put_cstr(agreed, "toolsListChanged", val_bool(true));
    if (o->prompts)
        agreed = val_put_cstr(agreed, "promptsListChanged", val_bool(true));
    if (o->resources)
        agreed = val_put_cstr(agreed, "resourcesListChanged", val_bool(true));
    if (o->uris)
        agreed = val_put_cstr(agreed, "resourceSubscriptions", val_ref(uris));
    if (o->tasks)
        agreed = val_put_cstr(agreed, "taskIds", val_ref(tasks));
    *ret_agreed = agreed;
    return rc == 0;
}

static bool has_tasks(const struct val *capabilities)
{
    return val_is(val_get_cstr(val_get_cstr(capabilities, "extensions"), MCP_EXT_TASKS), JSON_OBJ);
}

static struct val *tasks_needed(void)
{
    struct val *v = val_put_cstr(val_obj(), MCP_EXT_TASKS, val_obj());
    v = val_put_cstr(val_obj(), "extensions", v);
    return val_put_cstr(val_obj(), "requiredCapabilities", v);
}

static void listen(struct mcpd_in *in)
{
    struct mcpd_out *o = in->out;
    const struct val *f = val_get_cstr(in->a->m.params, "notifications");
    AUTO(val) agreed = NULL;
    if (!val_is(f, JSON_OBJ)) {
        mcpd_error(in, JSONRPC_PARAMS, 200, NULL, "params must have notifications, an object");
        return;
    }
    if (val_get_cstr(f, "taskIds") && !has_tasks(in->a->capabilities)) {
        mcpd_error(in, MCP_CAPABILITY_MISSING, 400, tasks_needed(),
                   "Missing required client capability");
        return;
    }
    if (!o->sse || in->m->draining || in->m->listen_count >= in->m->lim.listens_max) {
        mcpd_error(in, JSONRPC_INTERNAL, 503, NULL,
                   !o->sse           ? "Accept must name text/event-stream"
                   : in->m->draining ? "the server is about to end"
                                     : "too many listen");
        return;
    }
    if (!listen_filter(in, f, &agreed)) {
        mcpd_error(in, JSONRPC_PARAMS, 200, NULL,
                   "resourceSubscriptions and taskIds: at most %zu texts each",
                   in->m->lim.subscriptions_max);
        return;
    }
    o->kind = OUT_LISTEN;
    in->m->listen_count++;
    o->listen_id = val_ref(in->a->m.id);
    struct val *p = mcp_with_meta(NULL, MCP_META_SUBSCRIPTION, val_ref(o->listen_id));
    p = val_put_cstr(p, "notifications", val_ref(agreed));
    mcpd_out_say(o, jsonrpc_notification("notifications/subscriptions/acknowledged", p), false);
}

// ---- the table ---------------------------------------------------------------------------------

void mcpd_serve(struct mcpd_in *in)
{
    enum mcp_method method;
    const struct mcpd_more_ops *more = in->m->args.more ? in->m->args.more->ops : NULL;
    bool known = mcp_method_of(in->a->m.method, in->rev, &method);
    if (known && (method == MCP_M_RESOURCES_LIST || method == MCP_M_RESOURCES_READ ||
                  method == MCP_M_TEMPLATES_LIST || method == MCP_M_SUBSCRIBE))
        known = more && more->read;
    if (known && (method == MCP_M_PROMPTS_LIST || method == MCP_M_PROMPTS_GET))
        known = more && more->prompt;
    if (known && method == MCP_M_COMPLETE)
        known = more && more->complete;
    if (!known) {
        mcpd_error(in, JSONRPC_METHOD, 404, NULL, "Method not found: %.*s",
                   BYTES_FMT(bytes_first(in->a->m.method, 64)));
        return;
    }
    switch (method) {
    case MCP_M_INITIALIZE:
        mcpd_error(in, JSONRPC_REQUEST_INVALID, 400, NULL, "this session has begun");
        return;
    case MCP_M_PING: mcpd_result(in, val_obj()); return;
    case MCP_M_DISCOVER: discover(in); return;
    case MCP_M_TOOLS_LIST: mcpd_list_tools(in); return;
    case MCP_M_TOOLS_CALL: mcpd_call_tool(in); return;
    case MCP_M_RESOURCES_LIST:
    case MCP_M_TEMPLATES_LIST: mcpd_list_resources(in, method == MCP_M_TEMPLATES_LIST); return;
    case MCP_M_RESOURCES_READ: mcpd_call_read(in); return;
    case MCP_M_SUBSCRIBE:
    case MCP_M_UNSUBSCRIBE: subscribe(in, method == MCP_M_SUBSCRIBE); return;
    case MCP_M_PROMPTS_LIST: mcpd_list_prompts(in); return;
    case MCP_M_PROMPTS_GET: mcpd_call_prompt(in); return;
    case MCP_M_COMPLETE: mcpd_call_complete(in); return;
    case MCP_M_SET_LEVEL: set_level(in); return;
    case MCP_M_LISTEN: listen(in); return;
    case MCP_M_TASKS_GET:
    case MCP_M_TASKS_RESULT:
    case MCP_M_TASKS_LIST:
    case MCP_M_TASKS_CANCEL:
    case MCP_M_TASKS_UPDATE:
        if (in->modern && !has_tasks(in->a->capabilities))
            mcpd_error(in, MCP_CAPABILITY_MISSING, 400, tasks_needed(),
                       "Missing required client capability");
        else
            mcpd_task_serve(in, method);
        return;
    case MCP_METHODS: break;
    }
}
