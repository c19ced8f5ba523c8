// mcpd_call.c: calls of tools, reads of resources, prompts, completions: begun, reported, ended.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "toolbox/mcpd_priv.h"
#include <stdio.h>
#include <string.h>

#define COMPLETIONS_MAX 100 // MCP, "Completion": values in one answer

static void on_done(struct tool_req *r, int status, const struct tool_result *res,
                    const struct err *e);
static void on_progress(struct tool_req *r, double done, double total, struct bytes text);

// ---- life --------------------------------------------------------------------------------------

static size_t calls_of(const struct mcpd *m, const struct mcpd_who *who)
{
    size_t n = 0;
    list_each (it, &m->calls)
        n += strcmp(container_of(it, struct mcpd_call, all)->who.name, who->name) == 0;
    return n;
}

static struct mcpd_call *call_new(struct mcpd_in *in, enum mcp_method method,
                                  struct val *takes_input)
{
    struct mcpd *m = in->m;
    struct mcpd_call *c = NULL;
    if (m->call_count >= m->lim.calls_max)
        mcpd_error(in, JSONRPC_INTERNAL, 503, NULL, "too many calls at once");
    else if (calls_of(m, in->who) >= m->lim.calls_each_max)
        mcpd_error(in, JSONRPC_INTERNAL, 429, NULL, "too many calls of this caller at once");
    else if (!takes_input || !(c = mem_new(struct mcpd_call)))
        mcpd_error(in, JSONRPC_INTERNAL, 503, NULL, "out of memory");
    if (!c) {
        val_unref(takes_input);
        return NULL;
    }
    c->req = (struct tool_req){.done = on_done, .progress = on_progress, .host = &c->host};
    c->host.ops = &mcpd_host_ops;
    c->m = m;
    c->out = in->out;
    c->s = in->s;
    c->who = *in->who;
    c->id = val_ref(in->a->m.id);
    c->params = in->a->m.params ? val_ref(in->a->m.params) : val_obj();
    c->token = in->a->progress_token ? val_ref(in->a->progress_token) : NULL;
    struct val *capabilities = in->modern ? in->a->capabilities : in->s->capabilities;
    c->capabilities = capabilities ? val_ref(capabilities) : NULL;
    c->input = takes_input;
    c->rev = in->rev;
    c->method = method;
    c->modern = in->modern;
    c->level = in->modern ? in->a->level : MCP_DEBUG;
    c->progress = -1;
    c->began_ms = timers_now_ms(m->args.timers);
    list_init(&c->asks);
    list_init(&c->soon);
    list_add_tail(&in->out->calls, &c->link);
    list_add_tail(&m->calls, &c->all);
    m->call_count++;
    m->stats.calls++;
    if (c->s)
        c->s->calls++;
    mcpd_wake(m);
    return c;
}

void mcpd_call_end(struct mcpd_call *c)
{
    struct mcpd *m = c->m;
    mcpd_asks_drop(c);
    if (c->looking) {
        c->dead = true;
        return;
    }
    if (c->task)
        mcpd_task_lost(c->task);
    list_del(&c->link);
    list_del(&c->all);
    list_del(&c->soon);
    m->call_count--;
    if (c->s)
        c->s->calls--;
    val_unref(c->id);
    val_unref(c->params);
    val_unref(c->token);
    val_unref(c->capabilities);
    val_unref(c->input);
    val_unref(c->answers);
    val_unref(c->confirm_params);
    mem_free(c);
    mcpd_maybe_gone(m);
}

static struct mcpd_out *out_leave(struct mcpd_call *c)
{
    struct mcpd_out *o = c->out;
    c->out = NULL;
    list_del(&c->link);
    return o;
}

void mcpd_call_answer(struct mcpd_call *c, struct val *takes_result, int code, int http,
                      struct bytes text, struct val *takes_data)
{
    struct val *message = NULL;
    if (c->task) {
        struct mcpd_task *t = c->task;
        struct val *error = NULL;
        if (!takes_result) {
            error = val_put_cstr(val_obj(), "code", val_int(code));
            error = val_put_cstr(error, "message", val_str(text));
            if (takes_data)
                error = val_put_cstr(error, "data", takes_data);
        }
        c->task = NULL;
        mcpd_task_done(t, takes_result, error);
        return;
    }
    if (!c->out) {
        val_unref(takes_result);
        val_unref(takes_data);
        return;
    }
    if (takes_result)
        message = jsonrpc_result(val_ref(c->id), mcpd_finish_result(c->m, c->modern, takes_result));
    else
        message = jsonrpc_error(val_ref(c->id), code, text, takes_data);
    if (!message)
        message = jsonrpc_error(val_ref(c->id), JSONRPC_INTERNAL, BYTES("out of memory"), NULL);
    mcpd_out_answer(out_leave(c), message, c->modern ? http : 200);
}

static void source_cancel(struct mcpd_call *c)
{
    if (c->method == MCP_M_TOOLS_CALL)
        tool_cancel(c->m->args.tools, &c->req);
    else if (c->m->args.more->ops->cancel)
        c->m->args.more->ops->cancel(c->m->args.more, &c->req);
}

void mcpd_call_cancel(struct mcpd_call *c, bool silent)
{
    if (c->silent)
        return;
    c->silent = silent;
    if (silent && c->out)
        mcpd_out_skip(out_leave(c));
    mcpd_asks_drop(c);
    if (c->started)
        source_cancel(c);
    else
        mcpd_call_end(c);
}

void mcpd_calls_of_out_cancel(struct mcpd_out *o)
{
    list_each_safe (it, &o->calls) {
        struct mcpd_call *c = container_of(it, struct mcpd_call, link);
        (void)out_leave(c);
        mcpd_call_cancel(c, true);
    }
}

struct mcpd_call *mcpd_call_find(struct mcpd_session *s, const struct val *id)
{
    list_each (it, &s->m->calls) {
        struct mcpd_call *c = container_of(it, struct mcpd_call, all);
        if (c->s == s && !c->silent && id && val_equal(c->id, id))
            return c;
    }
    return NULL;
}

// ---- ends --------------------------------------------------------------------------------------

static struct val *error_result(struct bytes text)
{
    struct val *r = val_put_cstr(val_obj(), "content", val_push(val_arr(), mcp_text_block(text)));
    return val_put_cstr(r, "isError", val_bool(true));
}

static struct val *structured_text(const struct val *structured)
{
    struct buf text;
    buf_init(&text, MAX_ALLOCATION_BYTES);
    (void)val_write(&text, structured);
    struct val *list = val_push(val_arr(), mcp_text_block(buf_bytes(&text)));
    buf_fini(&text);
    return list;
}

static struct val *tool_result(const struct tool_result *res)
{
    struct val *content = val_len(res->content) || !res->structured
                              ? (res->content ? val_ref(res->content) : val_arr())
                              : structured_text(res->structured);
    struct val *r = val_put_cstr(val_obj(), "content", content);
    if (res->structured)
        r = val_put_cstr(r, "structuredContent", val_ref(res->structured));
    return res->is_error ? val_put_cstr(r, "isError", val_bool(true)) : r;
}

static struct val *complete_result(const struct val *values)
{
    struct val *list = val_arr();
    size_t n = val_len(values);
    for (size_t i = 0; i < n && i < COMPLETIONS_MAX; i++)
        list = val_push(list, val_ref(val_at(values, i)));
    struct val *c = val_put_cstr(val_obj(), "values", list);
    c = val_put_cstr(c, "total", val_int((int64_t)n));
    c = val_put_cstr(c, "hasMore", val_bool(n > COMPLETIONS_MAX));
    return val_put_cstr(val_obj(), "completion", c);
}

static struct val *good_result(const struct mcpd_call *c, const struct tool_result *res)
{
    if (c->method == MCP_M_TOOLS_CALL)
        return tool_result(res);
    if (c->method == MCP_M_COMPLETE)
        return complete_result(res->content);
    struct val *content = res->content ? val_ref(res->content) : val_arr();
    if (c->method == MCP_M_PROMPTS_GET) {
        struct val *r = res->structured ? val_ref(res->structured) : val_obj();
        return val_put_cstr(r, "messages", content);
    }
    struct val *r = val_put_cstr(val_obj(), "contents", content);
    if (c->modern) {
        r = val_put_cstr(r, "ttlMs", val_int(0));
        r = val_put_cstr(r, "cacheScope", val_cstr("private"));
    }
    return r;
}

// What a model can do something about is the tool's result; what it cannot, a protocol error.
static bool is_protocol(int status)
{
    return status == E_NOTFOUND || status == E_NOMEM || status == E_BUSY || status == E_FULL ||
           status == E_INTERNAL;
}

static void failed(struct mcpd_call *c, int status, const struct err *e)
{
    struct bytes name = mcp_name_of(bytes_of(mcp_method_text(c->method)), c->params);
    char text[ERR_TEXT_MAX + 200];
    const char *why = e && e->text[0] ? e->text : err_info(status)->text;
    if (c->method == MCP_M_TOOLS_CALL && !is_protocol(status)) {
        int n = snprintf(text, sizeof(text), "%s: %s", err_info(status)->text, why);
        mcpd_call_answer(c, error_result((struct bytes){text, (size_t)n}), 0, 200, BYTES_NONE,
                         NULL);
        return;
    }
    int code = JSONRPC_INTERNAL;
    struct val *data = NULL;
    if (status == E_NOTFOUND && c->method == MCP_M_RESOURCES_READ) {
        code = c->modern ? JSONRPC_PARAMS : MCP_RESOURCE_UNKNOWN;
        data = val_put_cstr(val_obj(), "uri", val_str(name));
        why = "Resource not found";
    } else if (status == E_NOTFOUND && c->method == MCP_M_TOOLS_CALL) {
        code = JSONRPC_PARAMS;
        why = "Unknown tool";
    } else if (status == E_NOTFOUND || status == E_INVALID || status == E_FORBIDDEN ||
               status == E_SECURITY) {
        code = JSONRPC_PARAMS;
    }
    struct bytes which = status == E_NOTFOUND ? bytes_first(name, 128) : BYTES_NONE;
    int n = snprintf(text, sizeof(text), "%s%s%.*s", why, which.n ? ": " : "", BYTES_FMT(which));
    mcpd_call_answer(c, NULL, code, code == JSONRPC_INTERNAL ? 500 : 200,
                     (struct bytes){text, (size_t)n}, data);
}

static void on_done(struct tool_req *r, int status, const struct tool_result *res,
                    const struct err *e)
{
    struct mcpd_call *c = container_of(r, struct mcpd_call, req);
    c->started = false;
    c->state = CALL_OVER;
    if (!c->silent && !c->bad_answer && !c->missing) {
        if (status == 0)
            mcpd_call_answer(c, good_result(c, res), JSONRPC_INTERNAL, 200, BYTES("out of memory"),
                             NULL);
        else
            failed(c, status, e);
    }
    mcpd_call_end(c);
}

static void on_progress(struct tool_req *r, double done, double total, struct bytes text)
{
    struct mcpd_call *c = container_of(r, struct mcpd_call, req);
    int64_t now_ms = timers_now_ms(c->m->args.timers);
    bool first = c->progress < 0;
    if (!c->token || !c->out || c->silent || done <= c->progress)
        return;
    if (!first && now_ms - c->progress_ms < MCPD_PROGRESS_MS && !(total > 0 && done >= total))
        return;
    c->progress = done;
    c->progress_ms = now_ms;
    struct val *p = mcp_progress(val_ref(c->token), done, total, text);
    mcpd_out_say(c->out, jsonrpc_notification("notifications/progress", p), true);
}

// ---- tools -------------------------------------------------------------------------------------

static void tool_begin(struct mcpd_call *c, bool confirmed)
{
    struct err e = {0};
    struct tool_args args = {.name = val_bytes(val_get_cstr(c->params, "name")),
                             .input = c->input,
                             .caller = mcpd_caller(&c->who),
                             .timeout_ms = c->m->lim.call_ms};
    args.caller.confirmed = confirmed;
    c->state = CALL_RUNS;
    c->started = true;
    int rc = tool_start(c->m->args.tools, &args, &c->req, &e);
    if (rc < 0)
        on_done(&c->req, rc, NULL, &e);
}

static void on_confirm(struct tool_ask *a, int status, const struct val *result,
                       const struct err *e)
{
    struct mcpd_call *c = a->user;
    bool yes = status == 0 && bytes_is(val_bytes(val_get_cstr(result, "action")), "accept") &&
               val_bool_of(val_ptr(result, BYTES("/content/confirm")), false);
    (void)e;
    if (yes || status == E_UNSUPPORTED) {
        tool_begin(c, yes);
        return;
    }
    mcpd_call_answer(c, error_result(BYTES("The user did not allow this call.")), 0, 200,
                     BYTES_NONE, NULL);
    mcpd_call_end(c);
}

static void put_effects(struct buf *out, unsigned effects)
{
    static const struct {
        unsigned bit;
        const char *words;
    } rows[] = {{TOOL_READS, "reads files or state"},
                {TOOL_WRITES, "changes something"},
                {TOOL_DESTROYS, "may overwrite or delete"},
                {TOOL_NETWORK, "uses the network"},
                {TOOL_RUNS, "runs programs"},
                {TOOL_COSTS, "costs tokens or money"}};
    const char *between = "";
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (effects & rows[i].bit) {
            (void)buf_fmt(out, "%s%s", between, rows[i].words);
            between = ", ";
        }
    if (!*between)
        (void)buf_str(out, "only computes");
}

static struct val *confirm_params(const struct mcpd_call *c, const struct tool_about *a)
{
    struct buf text;
    buf_init(&text, 4096);
    (void)buf_fmt(&text, "Allow the tool %.*s (it ", BYTES_FMT(a->name));
    put_effects(&text, a->effects);
    (void)buf_str(&text, ") to be called with ");
    struct buf args;
    buf_init(&args, 2048);
    (void)buf_put(&text,
                  val_write(&args, c->input) == 0 ? buf_bytes(&args) : BYTES("its arguments"));
    (void)buf_str(&text, "?");
    struct val *field = val_put_cstr(val_obj(), "type", val_cstr("boolean"));
    field = val_put_cstr(field, "title", val_cstr("Allow this call"));
    struct val *schema = val_put_cstr(val_obj(), "type", val_cstr("object"));
    schema = val_put_cstr(schema, "properties", val_put_cstr(val_obj(), "confirm", field));
    schema = val_put_cstr(schema, "required", val_push(val_arr(), val_cstr("confirm")));
    struct val *p = val_put_cstr(val_obj(), "message", val_str(buf_bytes(&text)));
    buf_fini(&args);
    buf_fini(&text);
    return val_put_cstr(p, "requestedSchema", schema);
}

struct header_check {
    const struct http_head *head;
    char name[160];
};

static int header_fits(void *user, struct bytes name, const struct val *value)
{
    struct header_check *h = user;
    struct buf text;
    int n = snprintf(h->name, sizeof(h->name), "Mcp-Param-%.*s", BYTES_FMT(name));
    if (n < 0 || (size_t)n >= sizeof(h->name))
        return E_INVALID;
    struct bytes field = http_header(h->head, h->name);
    if (!field.p)
        return E_INVALID;
    buf_init(&text, 65536);
    int rc = mcp_header_decode(&text, field, NULL);
    struct bytes t = buf_bytes(&text);
    if (rc == 0 && val_is(value, JSON_STR) && !bytes_eq(t, val_bytes(value)))
        rc = E_INVALID;
    if (rc == 0 && val_is(value, JSON_BOOL) &&
        !bytes_is(t, val_bool_of(value, false) ? "true" : "false"))
        rc = E_INVALID;
    AUTO(val) number = NULL;
    if (rc == 0 && val_is(value, JSON_NUM) &&
        (val_parse(&number, t, NULL) < 0 || !val_equal(number, value)))
        rc = E_INVALID;
    buf_fini(&text);
    return rc;
}

static bool headers_fit(struct mcpd_in *in, const struct tool_about *about, const struct val *input)
{
    if (!in->modern || !in->out->x)
        return true;
    struct header_check h = {.head = http_request(in->out->x)};
    if (mcp_marks_each(about->input, input, header_fits, &h) == 0)
        return true;
    mcpd_error(in, MCP_HEADER_MISMATCH, 400, NULL,
               "Header mismatch: %s is missing or does not say what the arguments say", h.name);
    return false;
}

static struct val *arguments_of(struct mcpd_in *in)
{
    struct val *input = val_get_cstr(in->a->m.params, "arguments");
    if (!input)
        return val_obj();
    if (val_is(input, JSON_OBJ))
        return val_ref(input);
    return NULL;
}

// Modern: the answers that the client brought back. false: answered.
static bool state_fits(struct mcpd_in *in, struct mcpd_call *c)
{
    struct err e = {0};
    (void)in;
    int rc = c->modern ? mcpd_state_read(c, &e) : 0;
    if (rc == 0)
        return true;
    mcpd_call_answer(c, NULL, JSONRPC_PARAMS, 400, bytes_of(e.text), NULL);
    mcpd_call_end(c);
    return false;
}

static void ask_first(struct mcpd_call *c, const struct tool_about *about)
{
    c->state = CALL_CONFIRMS;
    c->confirm_params = confirm_params(c, about);
    c->confirm = (struct tool_ask){.key = BYTES("plexus_confirm"),
                                   .method = BYTES("elicitation/create"),
                                   .params = c->confirm_params,
                                   .answered = on_confirm,
                                   .user = c};
    if (c->host.ops->ask(&c->host, &c->confirm, NULL) < 0)
        tool_begin(c, false);
}

void mcpd_call_tool(struct mcpd_in *in)
{
    struct tools *tools = in->m->args.tools;
    struct bytes name = val_bytes(val_get_cstr(in->a->m.params, "name"));
    struct tool_about about = {0};
    AUTO(val) input = arguments_of(in);
    if (name.n == 0 || !input) {
        mcpd_error(in, JSONRPC_PARAMS, 200, NULL,
                   "params must have a name, and arguments must be an object");
        return;
    }
    if (name.n > TOOL_NAME_MAX || !tools->ops->find(tools, name, &about)) {
        mcpd_error(in, JSONRPC_PARAMS, 200, NULL, "Unknown tool: %.*s",
                   BYTES_FMT(bytes_first(name, TOOL_NAME_MAX)));
        return;
    }
    if (!headers_fit(in, &about, input))
        return;
    const struct val *task = val_get_cstr(in->a->m.params, "task");
    struct mcpd_call *c = call_new(in, MCP_M_TOOLS_CALL, val_ref(input));
    if (!c || !state_fits(in, c))
        return;
    if (in->rev == MCP_2025_11_25 && val_is(task, JSON_OBJ) &&
        !mcpd_task_make(c, val_i64(val_get_cstr(task, "ttl"), 0))) {
        mcpd_call_answer(c, NULL, JSONRPC_INTERNAL, 503, BYTES("too many tasks"), NULL);
        mcpd_call_end(c);
        return;
    }
    if (!about.granted && in->m->args.may_confirm && c->who.admin &&
        c->host.ops->can(&c->host, BYTES("elicitation/create")))
        ask_first(c, &about);
    else
        tool_begin(c, false);
}

// ---- the others --------------------------------------------------------------------------------

static void more_begin(struct mcpd_in *in, struct mcpd_call *c, struct bytes name,
                       int (*start)(struct mcpd_more *o, const struct tool_args *args,
                                    struct tool_req *r, struct err *e))
{
    struct err e = {0};
    if (!c || !state_fits(in, c))
        return;
    struct tool_args args = {.name = name,
                             .input = c->input,
                             .caller = mcpd_caller(&c->who),
                             .timeout_ms = c->m->lim.call_ms};
    c->state = CALL_RUNS;
    c->started = true;
    int rc = start(c->m->args.more, &args, &c->req, &e);
    if (rc < 0)
        on_done(&c->req, rc, NULL, &e);
}

void mcpd_call_read(struct mcpd_in *in)
{
    struct bytes uri = val_bytes(val_get_cstr(in->a->m.params, "uri"));
    if (uri.n == 0) {
        mcpd_error(in, JSONRPC_PARAMS, 200, NULL, "params must have a uri");
        return;
    }
    more_begin(in, call_new(in, MCP_M_RESOURCES_READ, val_obj()), uri, in->m->args.more->ops->read);
}

void mcpd_call_prompt(struct mcpd_in *in)
{
    struct bytes name = val_bytes(val_get_cstr(in->a->m.params, "name")), key;
    struct val *input = arguments_of(in), *v;
    bool texts = input != NULL;
    for (size_t at = 0; input && val_each(input, &at, &key, &v);)
        texts &= val_is(v, JSON_STR);
    if (name.n == 0 || !texts) {
        val_unref(input);
        mcpd_error(in, JSONRPC_PARAMS, 200, NULL,
                   "params must have a name, and arguments must be texts");
        return;
    }
    more_begin(in, call_new(in, MCP_M_PROMPTS_GET, input), name, in->m->args.more->ops->prompt);
}

void mcpd_call_complete(struct mcpd_in *in)
{
    const struct val *p = in->a->m.params, *ref = val_get_cstr(p, "ref");
    struct val *argument = val_get_cstr(p, "argument"),
               *known = val_ptr(p, BYTES("/context/arguments"));
    struct bytes type = val_bytes(val_get_cstr(ref, "type"));
    struct bytes name = bytes_is(type, "ref/prompt")     ? val_bytes(val_get_cstr(ref, "name"))
                        : bytes_is(type, "ref/resource") ? val_bytes(val_get_cstr(ref, "uri"))
                                                         : BYTES_NONE;
    if (name.n == 0 || !val_is(val_get_cstr(argument, "name"), JSON_STR) ||
        !val_is(val_get_cstr(argument, "value"), JSON_STR)) {
        mcpd_error(in, JSONRPC_PARAMS, 200, NULL,
                   "params must have ref (ref/prompt with name, ref/resource with uri) and "
                   "argument (name, value)");
        return;
    }
    struct val *input = val_put_cstr(val_obj(), "argument", val_ref(argument));
    input = val_put_cstr(input, "arguments", val_is(known, JSON_OBJ) ? val_ref(known) : val_obj());
    more_begin(in, call_new(in, MCP_M_COMPLETE, input), name, in->m->args.more->ops->complete);
}
