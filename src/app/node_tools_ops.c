// node_tools_ops.c: what the API asks of tools. SPDX-License-Identifier: Apache-2.0
#include "app/node_tools_priv.h"
#include "base/alloc.h"
#include "base/time.h"
#include "text/units.h"
#include "text/url.h"
#include <stdio.h>
#include <string.h>

#define JSON_MAX ((size_t)16 << 20)

// ---- one tool as JSON ---------------------------------------------------------------------------

static const struct {
    unsigned effect;
    const char *name, *words;
} effects[] = {{TOOL_READS, "reads", "read files or state of this machine"},
               {TOOL_WRITES, "writes", "change files or state"},
               {TOOL_DESTROYS, "destroys", "overwrite or delete"},
               {TOOL_NETWORK, "network", "talk to other machines"},
               {TOOL_RUNS, "runs", "run programs"},
               {TOOL_IDEMPOTENT, "idempotent", NULL},
               {TOOL_COSTS, "costs", "spend tokens or money"}};

static void put_val(struct json_w *w, const char *key, const struct val *v)
{
    struct buf b;
    buf_init(&b, JSON_MAX);
    if (v && val_write(&b, v) == 0)
        json_w_raw(w, key, buf_bytes(&b));
    else
        json_w_null(w, key);
    buf_fini(&b);
}

static void put_counts(struct json_w *w, const struct node_tools *t, struct bytes name)
{
    struct tools_counts c = {0};
    (void)tools_all_count(t->all, name, &c);
    json_w_u64(w, "calls", c.calls);
    json_w_u64(w, "denied", c.denied);
    json_w_u64(w, "errors", c.failed - c.denied + c.tool_errors);
    json_w_u64(w, "took_us", c.calls ? c.took_us / c.calls : 0);
}

// In plain words: a capability's own, of its manifest; of any other what its effects mean.
static void put_permissions(struct json_w *w, const struct node_tools *t,
                            const struct tool_about *a)
{
    AUTO(val) words = node_caps_words(t, a->name);
    if (words) {
        put_val(w, "permissions", words);
        return;
    }
    json_w_arr(w, "permissions");
    for (size_t i = 0; i < sizeof effects / sizeof *effects; i++)
        if ((a->effects & effects[i].effect) && effects[i].words)
            json_w_cstr(w, NULL, effects[i].words);
    json_w_end(w);
}

static void put_tool(struct json_w *w, struct node_tools *t, const struct tool_about *a, bool whole)
{
    json_w_obj(w, NULL);
    json_w_str(w, "name", a->name);
    json_w_str(w, "title", a->title);
    json_w_str(w, "description", a->description);
    json_w_str(w, "source", a->source);
    json_w_str(w, "urn", a->urn);
    json_w_arr(w, "effects");
    for (size_t i = 0; i < sizeof effects / sizeof *effects; i++)
        if (a->effects & effects[i].effect)
            json_w_cstr(w, NULL, effects[i].name);
    json_w_end(w);
    json_w_str(w, "label", a->label);
    json_w_bool(w, "granted", a->granted);
    put_permissions(w, t, a);
    if (whole) {
        AUTO(val) manifest = node_caps_manifest(t, a->name);
        if (manifest)
            put_val(w, "manifest", manifest);
        put_val(w, "input", a->input);
        put_val(w, "output", a->output);
    }
    put_counts(w, t, a->name);
    json_w_end(w);
}

struct listing {
    struct node_tools *t;
    struct json_w *w;
};

static void list_one(void *user, const struct tool_about *a)
{
    struct listing *l = user;
    put_tool(l->w, l->t, a, false);
}

static void answer_json(struct ctl_answer *a, int status, struct buf *json)
{
    struct err e = {0};
    if (json->failed) {
        (void)err_set(&e, json->failed, "the answer is too large");
        ctl_answer_error(a, &e);
    } else {
        ctl_answer(a, status, buf_bytes(json));
    }
}

static void op_list(struct node_tools *t, const struct ctl_tool_ask *ask, struct ctl_answer *a)
{
    struct buf json;
    struct json_w w;
    struct node_tool_caller c;
    buf_init(&json, JSON_MAX);
    json_w_init(&w, &json);
    node_tool_caller(t->node, ask->owner, &c);
    json_w_obj(&w, NULL);
    json_w_arr(&w, "tools");
    struct tools *all = tools_all_tools(t->all);
    all->ops->list(all, &c.caller, list_one, &(struct listing){t, &w});
    json_w_end(&w);
    json_w_end(&w);
    answer_json(a, 200, &json);
    node_tool_caller_fini(&c);
    buf_fini(&json);
}

static bool known(struct node_tools *t, struct bytes name, struct tool_about *about,
                  struct ctl_answer *a)
{
    struct err e = {0};
    struct tools *all = tools_all_tools(t->all);
    if (all->ops->find(all, name, about))
        return true;
    (void)err_set(&e, E_NOTFOUND, "there is no tool \"%.*s\" (plexus tool ls lists them)",
                  BYTES_FMT(bytes_first(name, TOOL_NAME_MAX)));
    ctl_answer_error(a, &e);
    return false;
}

static void answer_tool(struct node_tools *t, struct bytes name, struct ctl_answer *a)
{
    struct tool_about about;
    struct buf json;
    struct json_w w;
    if (!known(t, name, &about, a))
        return;
    buf_init(&json, JSON_MAX);
    json_w_init(&w, &json);
    put_tool(&w, t, &about, true);
    answer_json(a, 200, &json);
    buf_fini(&json);
}

static void op_calls(struct node_tools *t, const struct ctl_tool_ask *ask, struct ctl_answer *a)
{
    struct buf json, text;
    struct json_w w;
    uint64_t limit = 100;
    const struct tools_record *r;
    buf_init(&text, 32);
    if (url_query(ask->query, "limit", &text))
        (void)bytes_u64(buf_bytes(&text), &limit);
    buf_fini(&text);
    buf_init(&json, JSON_MAX);
    json_w_init(&w, &json);
    json_w_obj(&w, NULL);
    json_w_arr(&w, "calls");
    for (size_t i = 0; i < limit && (r = tools_all_record(t->all, i)) != NULL; i++)
        node_tools_put_record(&w, r, false);
    json_w_end(&w);
    json_w_end(&w);
    answer_json(a, 200, &json);
    buf_fini(&json);
}

// ---- a call -------------------------------------------------------------------------------------

struct call {
    struct tool_req req;
    struct node_tools *t;
    struct ctl_answer *answer;
    struct val *input;
};

static void call_free(struct call *c)
{
    val_unref(c->input);
    mem_free(c);
}

static void called(struct tool_req *r, int status, const struct tool_result *res,
                   const struct err *e)
{
    struct call *c = r->user;
    struct buf json;
    struct json_w w;
    if (status < 0) {
        ctl_answer_error(c->answer, e);
        call_free(c);
        return;
    }
    buf_init(&json, JSON_MAX + MAX_ALLOCATION_BYTES);
    json_w_init(&w, &json);
    json_w_obj(&w, NULL);
    put_val(&w, "content", res->content);
    put_val(&w, "structured", res->structured);
    json_w_bool(&w, "is_error", res->is_error);
    json_w_u64(&w, "took_us", res->took_us);
    json_w_u64(&w, "memory_bytes", res->memory_bytes);
    json_w_end(&w);
    answer_json(c->answer, 200, &json);
    buf_fini(&json);
    call_free(c);
}

// Nobody waits for it any more: what it did not do yet it need not do. called() comes.
static void call_left(void *user)
{
    struct call *c = user;
    if (c->t->all)
        tool_cancel(tools_all_tools(c->t->all), &c->req);
}

static void op_call(struct node_tools *t, const struct ctl_tool_ask *ask, struct ctl_answer *a)
{
    struct call *c = mem_new(struct call);
    struct err e = {0};
    struct node_tool_caller who;
    const struct json *input = json_get(ask->body, "input");
    struct bytes label = json_str(json_get(ask->body, "label")),
                 timeout = json_str(json_get(ask->body, "timeout"));
    int64_t timeout_ms = TIME_NEVER;
    if (timeout.n)
        (void)units_duration(timeout, &timeout_ms, NULL); // ctl has read it
    if (c)
        *c = (struct call){.req = {.done = called, .user = c},
                           .t = t,
                           .answer = a,
                           .input = input ? val_of_json(input) : val_obj()};
    if (!c || !c->input) {
        (void)err_set(&e, E_NOMEM, "out of memory");
        ctl_answer_error(a, &e);
        mem_free(c);
        return;
    }
    struct label said;
    if (label.n && label_parse_known(t->node->label_names, label, &said, &e) < 0) {
        ctl_answer_error(a, &e);
        call_free(c);
        return;
    }
    node_tool_caller(t->node, ask->owner, &who);
    if (label.n)
        who.caller.label = label;
    who.caller.confirmed = json_bool(json_get(ask->body, "confirmed"), false);
    struct tool_args args = {.name = ask->name,
                             .input = c->input,
                             .caller = who.caller,
                             .timeout_ms = timeout_ms,
                             .key = json_str(json_get(ask->body, "key"))};
    if (tool_start(tools_all_tools(t->all), &args, &c->req, &e) < 0) {
        ctl_answer_error(a, &e);
        call_free(c);
    } else {
        ctl_answer_left(a, call_left, c);
    }
    node_tool_caller_fini(&who);
}

// ---- a person's word ----------------------------------------------------------------------------

static void op_grant(struct node_tools *t, const struct ctl_tool_ask *ask, struct ctl_answer *a)
{
    struct tool_about about;
    struct err e = {0};
    struct node_tool_caller who;
    bool on = ask->op == CTL_TOOL_GRANT;
    if (!known(t, ask->name, &about, a))
        return;
    node_tool_caller(t->node, ask->owner, &who);
    int status = node_grants_set(t, ask->name, on, who.caller.who, &e);
    if (status == 0 && bytes_starts(about.source, BYTES("mcp:")))
        status = node_mcp_grant(t->node, ask->name, on, &e);
    if (status == 0 && !on &&
        tools_all_tools(t->all)->ops->find(tools_all_tools(t->all), ask->name, &about) &&
        about.granted)
        status = err_set(&e, E_CONFLICT,
                         "%.*s is allowed by the configuration (tools.allow), or changes nothing",
                         BYTES_FMT(ask->name));
    if (status == 0)
        log_event(LOG_INFO, on ? "tool.granted" : "tool.revoked", LOG_BYTES("tool", ask->name),
                  LOG_STR("who", who.who));
    node_tool_caller_fini(&who);
    if (status < 0)
        ctl_answer_error(a, &e);
    else
        answer_tool(t, ask->name, a);
}

static void op_servers(struct node_tools *t, struct ctl_answer *a)
{
    struct buf json;
    struct json_w w;
    buf_init(&json, JSON_MAX);
    json_w_init(&w, &json);
    json_w_obj(&w, NULL);
    node_mcp_servers(t->node, &w);
    json_w_end(&w);
    answer_json(a, 200, &json);
    buf_fini(&json);
}

static void not_one(const struct ctl_tool_ask *ask, struct ctl_answer *a)
{
    struct err e = {0};
    (void)err_set(&e, E_UNSUPPORTED, "%.*s is no capability", BYTES_FMT(ask->name));
    ctl_answer_error(a, &e);
}

static void op_of_capability(struct node_tools *t, const struct ctl_tool_ask *ask,
                             struct ctl_answer *a)
{
    struct tool_about about;
    struct node_tool_caller who;
    bool person = ask->op == CTL_TOOL_GRANT || ask->op == CTL_TOOL_REVOKE;
    node_tool_caller(t->node, ask->owner, &who);
    bool answered = node_caps_op(t, ask, who.caller.who, a);
    node_tool_caller_fini(&who);
    if (answered)
        return;
    if (person)
        op_grant(t, ask, a);
    else if (known(t, ask->name, &about, a))
        not_one(ask, a);
}

void node_tools_op(void *user, const struct ctl_tool_ask *ask, struct ctl_answer *a)
{
    struct node_tools *t = ((struct node *)user)->tools;
    struct err e = {0};
    if (!t || !t->all) {
        (void)err_set(&e, E_UNAVAILABLE, "this node has no tools, or it is ending");
        ctl_answer_error(a, &e);
        return;
    }
    switch (ask->op) {
    case CTL_TOOL_LIST: op_list(t, ask, a); break;
    case CTL_TOOL_CALLS: op_calls(t, ask, a); break;
    case CTL_TOOL_SHOW: answer_tool(t, ask->name, a); break;
    case CTL_TOOL_CALL: op_call(t, ask, a); break;
    case CTL_TOOL_SERVERS: op_servers(t, a); break;
    case CTL_TOOL_GRANT:
    case CTL_TOOL_REVOKE:
    case CTL_TOOL_ADD:
    case CTL_TOOL_REMOVE:
    case CTL_TOOL_PUBLISH:
    case CTL_TOOL_EVAL:
    case CTL_TOOL_PROMOTE: op_of_capability(t, ask, a); break;
    case CTL_TOOL_OPS: break;
    }
}
