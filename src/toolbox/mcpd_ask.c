// mcpd_ask.c: what a call asks its client: in revisions with sessions a request of its own, in
// 2026-07-28 an InputRequiredResult, after which the client calls again with the answers.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "text/schema.h"
#include "toolbox/mcpd_priv.h"

// ---- what the client can -----------------------------------------------------------------------

static const char *capability_of(struct bytes method)
{
    return bytes_is(method, "elicitation/create")       ? "elicitation"
           : bytes_is(method, "sampling/createMessage") ? "sampling"
           : bytes_is(method, "roots/list")             ? "roots"
                                                        : NULL;
}

// The stream on which a question can go out.
static struct mcpd_out *way(const struct mcpd_call *c)
{
    if (c->task)
        return c->s ? c->s->own : NULL;
    return c->out && !c->out->batch && (c->out->begun || (c->out->x && c->out->sse)) ? c->out
                                                                                     : NULL;
}

static bool capable(const struct mcpd_call *c, struct bytes method)
{
    const char *name = capability_of(method);
    return name && val_is(val_get_cstr(c->capabilities, name), JSON_OBJ) &&
           (c->modern || c->rev >= MCP_2025_06_18 || !bytes_is(method, "elicitation/create"));
}

static bool can(struct tool_host *h, struct bytes method)
{
    struct mcpd_call *c = container_of(h, struct mcpd_call, host);
    if (c->silent || !capable(c, method))
        return false;
    return c->modern ? c->method != MCP_M_COMPLETE : way(c) != NULL;
}

// ---- answers -----------------------------------------------------------------------------------

static bool form_fits(const struct val *schema, const struct val *content)
{
    AUTO(json_doc) schema_doc = NULL;
    AUTO(json_doc) content_doc = NULL;
    struct schema *s = NULL;
    if (!val_is(content, JSON_OBJ) || val_to_json(&schema_doc, schema, NULL) < 0 ||
        val_to_json(&content_doc, content, NULL) < 0)
        return false;
    struct schema_args args = {.doc = json_root(schema_doc)};
    if (schema_new(&s, &args, NULL) < 0)
        return true; // a question that we cannot hold it to
    bool fits = schema_check(s, json_root(content_doc), NULL) == 0;
    schema_free(s);
    return fits;
}

static bool fits(const struct tool_ask *a, const struct val *answer)
{
    if (!val_is(answer, JSON_OBJ))
        return false;
    if (bytes_is(a->method, "roots/list"))
        return val_is(val_get_cstr(answer, "roots"), JSON_ARR);
    if (bytes_is(a->method, "sampling/createMessage"))
        return val_is(val_get_cstr(answer, "role"), JSON_STR) && val_get_cstr(answer, "content");
    struct bytes action = val_bytes(val_get_cstr(answer, "action"));
    if (!bytes_is(action, "accept"))
        return bytes_is(action, "decline") || bytes_is(action, "cancel");
    const struct val *schema = val_get_cstr(a->params, "requestedSchema");
    return !schema || form_fits(schema, val_get_cstr(answer, "content"));
}

static void asking_free(struct mcpd_asking *q)
{
    list_del(&q->link);
    list_del(&q->session_link);
    val_unref(q->answer);
    mem_free(q);
}

static void ready(struct mcpd_asking *q, int status, struct val *answer)
{
    if (q->ready)
        return;
    q->ready = true;
    q->status = status;
    if (status == 0 && !fits(q->ask, answer))
        q->status = E_UPSTREAM;
    if (q->status == 0)
        q->answer = val_ref(answer);
    mcpd_soon(q->call);
}

// Nobody will answer it any more.
void mcpd_asking_orphan(struct mcpd_asking *q)
{
    list_del(&q->session_link);
    ready(q, E_CANCELLED, NULL);
}

// ---- questions ---------------------------------------------------------------------------------

static int ask_modern(struct mcpd_call *c, struct mcpd_asking *q, struct err *e)
{
    struct val *answer = val_get(c->answers, q->ask->key);
    if (c->task) {
        if (!capable(c, q->ask->method))
            return err_set(e, E_UNSUPPORTED, "the client does not take %.*s",
                           BYTES_FMT(q->ask->method));
        mcpd_task_changed(c->task);
        return 0;
    }
    if (!capable(c, q->ask->method))
        c->missing = capability_of(q->ask->method);
    else if (answer && !fits(q->ask, answer))
        c->bad_answer = true;
    else if (answer)
        ready(q, 0, answer);
    mcpd_soon(c); // when all that is asked now is known
    return 0;
}

static int ask_legacy(struct mcpd_call *c, struct mcpd_asking *q, struct err *e)
{
    struct mcpd_out *o = way(c);
    if (!o || !c->s || !capable(c, q->ask->method))
        return err_set(e, E_UNSUPPORTED, "the client does not take %.*s",
                       BYTES_FMT(q->ask->method));
    q->id = ++c->s->next_ask;
    q->due_ms = timers_now_ms(c->m->args.timers) + c->m->lim.ask_ms;
    list_add_tail(&c->s->asks, &q->session_link);
    struct val *p = q->ask->params ? val_ref((struct val *)q->ask->params) : val_obj();
    if (c->task) {
        p = mcp_with_meta(p, MCP_META_TASK,
                          val_put_cstr(val_obj(), "taskId", val_cstr(c->task->id)));
        mcpd_task_changed(c->task);
    }
    char method[64];
    size_t n = q->ask->method.n < sizeof(method) ? q->ask->method.n : sizeof(method) - 1;
    for (size_t i = 0; i < n; i++)
        method[i] = q->ask->method.p[i];
    method[n] = 0;
    mcpd_out_say(o, jsonrpc_request(val_int(q->id), method, p), false);
    return 0;
}

static int ask(struct tool_host *h, struct tool_ask *a, struct err *e)
{
    struct mcpd_call *c = container_of(h, struct mcpd_call, host);
    if (c->silent || c->state == CALL_OVER)
        return err_set(e, E_CANCELLED, "the call is over");
    if (!capability_of(a->method) || (c->modern && c->method == MCP_M_COMPLETE))
        return err_set(e, E_UNSUPPORTED, "nobody can be asked %.*s", BYTES_FMT(a->method));
    struct mcpd_asking *q = mem_new(struct mcpd_asking);
    if (!q)
        return err_set(e, E_NOMEM, "out of memory");
    q->ask = a;
    q->call = c;
    list_init(&q->session_link);
    list_add_tail(&c->asks, &q->link);
    int rc = c->modern ? ask_modern(c, q, e) : ask_legacy(c, q, e);
    if (rc < 0)
        asking_free(q);
    return rc;
}

static void tell(struct tool_host *h, int level, struct bytes logger, const struct val *data)
{
    struct mcpd_call *c = container_of(h, struct mcpd_call, host);
    enum mcp_level least = c->modern ? c->level : c->s ? c->s->level : MCP_LEVELS;
    if (c->silent || !c->out || level < (int)least || level >= (int)MCP_LEVELS)
        return;
    struct val *p =
        val_put_cstr(val_obj(), "level", val_cstr(mcp_level_text((enum mcp_level)level)));
    if (logger.n)
        p = val_put_cstr(p, "logger", val_str(logger));
    p = val_put_cstr(p, "data", data ? val_ref((struct val *)data) : val_null());
    mcpd_out_say(c->out, jsonrpc_notification("notifications/message", p), true);
}

const struct tool_host_ops mcpd_host_ops = {.can = can, .ask = ask, .log = tell};

void mcpd_asks_drop(struct mcpd_call *c)
{
    list_each_safe (it, &c->asks)
        asking_free(container_of(it, struct mcpd_asking, link));
}

struct val *mcpd_asks_open(const struct mcpd_call *c)
{
    struct val *v = val_obj();
    list_each (it, &c->asks) {
        const struct mcpd_asking *q = container_of(it, struct mcpd_asking, link);
        if (q->ready)
            continue;
        struct val *one = val_put_cstr(val_obj(), "method", val_str(q->ask->method));
        if (q->ask->params)
            one = val_put_cstr(one, "params", val_ref((struct val *)q->ask->params));
        v = val_put(v, q->ask->key, one);
    }
    return v;
}

// ---- what comes of it --------------------------------------------------------------------------

// The call ends here; made again with the answers, it goes on.
static void input_required(struct mcpd_call *c)
{
    struct buf state;
    buf_init(&state, MCPD_STATE_MAX * 2);
    struct val *r = val_put_cstr(val_obj(), "resultType", val_cstr("input_required"));
    r = val_put_cstr(r, "inputRequests", mcpd_asks_open(c));
    if (mcpd_state_write(c, &state) == 0)
        r = val_put_cstr(r, "requestState", val_str(buf_bytes(&state)));
    buf_fini(&state);
    mcpd_call_answer(c, r, JSONRPC_INTERNAL, 200, BYTES("out of memory"), NULL);
    mcpd_call_cancel(c, true);
}

static void missing(struct mcpd_call *c)
{
    struct val *v = val_put_cstr(val_obj(), c->missing, val_obj());
    mcpd_call_answer(c, NULL, MCP_CAPABILITY_MISSING, 400,
                     BYTES("Missing required client capability"),
                     val_put_cstr(val_obj(), "requiredCapabilities", v));
    mcpd_call_cancel(c, true);
}

// Tells the source what has been answered. false: nothing was.
static bool deliver(struct mcpd_call *c)
{
    bool any = false;
    c->looking = true;
    for (struct list *it = c->asks.next; it != &c->asks && !c->dead;) {
        struct mcpd_asking *q = container_of(it, struct mcpd_asking, link);
        it = it->next;
        if (!q->ready)
            continue;
        struct tool_ask *a = q->ask;
        struct val *answer = steal(&q->answer);
        int status = q->status;
        struct err e = {0};
        if (status < 0)
            (void)err_set(&e, status, "%s",
                          status == E_TIMEOUT ? "the client did not answer in time"
                                              : "the client did not answer what was asked");
        asking_free(q);
        any = true;
        a->answered(a, status, answer, status < 0 ? &e : NULL);
        val_unref(answer);
        it = c->asks.next; // the list may be another one now
    }
    c->looking = false;
    return any;
}

void mcpd_asks_look(struct mcpd_call *c)
{
    if (c->missing) {
        missing(c);
    } else if (c->bad_answer) {
        mcpd_call_answer(c, NULL, JSONRPC_PARAMS, 400,
                         BYTES("inputResponses: an answer does not fit its request"), NULL);
        mcpd_call_cancel(c, true);
    } else if (deliver(c)) {
        if (c->dead)
            mcpd_call_end(c);
        else if (!list_empty(&c->asks))
            mcpd_soon(c);
    } else if (c->modern && !c->task && !list_empty(&c->asks)) {
        input_required(c);
    }
}

bool mcpd_answered(struct mcpd_session *s, const struct jsonrpc *answer)
{
    list_each (it, &s->asks) {
        struct mcpd_asking *q = container_of(it, struct mcpd_asking, session_link);
        if (!answer->id || !val_is(answer->id, JSON_NUM) || val_i64(answer->id, -1) != q->id)
            continue;
        list_del(&q->session_link);
        if (answer->kind == JSONRPC_RESULT)
            ready(q, 0, answer->result);
        else
            ready(q, E_UPSTREAM, NULL);
        if (q->call->task)
            mcpd_task_changed(q->call->task);
        return true;
    }
    return false;
}

void mcpd_asks_tick(struct mcpd_session *s, int64_t now_ms)
{
    list_each_safe (it, &s->asks) {
        struct mcpd_asking *q = container_of(it, struct mcpd_asking, session_link);
        if (now_ms >= q->due_ms)
            ready(q, E_TIMEOUT, NULL);
    }
}

void mcpd_asks_take(struct mcpd_call *c, const struct val *responses)
{
    list_each_safe (it, &c->asks) {
        struct mcpd_asking *q = container_of(it, struct mcpd_asking, link);
        struct val *answer = val_get(responses, q->ask->key);
        if (answer && fits(q->ask, answer))
            ready(q, 0, answer);
    }
    if (c->task)
        mcpd_task_changed(c->task);
}
