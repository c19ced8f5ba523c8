// mcpd_task.c: tasks: a tool's call that goes on after its request was answered, of revision
// 2025-11-25 (the client asks for one) and of the extension io.modelcontextprotocol/tasks (the
// server makes one of a long call). Kept in memory, bounded, each for its time.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "toolbox/mcpd_priv.h"
#include <string.h>

static const char *const state_texts[] = {[TASK_WORKING] = "working",
                                          [TASK_INPUT] = "input_required",
                                          [TASK_DONE] = "completed",
                                          [TASK_FAILED] = "failed",
                                          [TASK_CANCELLED] = "cancelled"};

static bool over(const struct mcpd_task *t)
{
    return t->state >= TASK_DONE;
}

static struct val *put_time(struct val *v, const char *key, int64_t wall_ms)
{
    char text[TIME_TEXT_LEN + 1];
    time_text(wall_ms, text);
    return val_put_cstr(v, key, val_cstr(text));
}

// A Task; of the extension with what its state brings (DetailedTask).
static struct val *task_val(const struct mcpd_task *t, bool detailed)
{
    int64_t poll_ms = t->m->lim.task_poll_ms;
    struct val *v = val_put_cstr(val_obj(), "taskId", val_cstr(t->id));
    v = val_put_cstr(v, "status", val_cstr(state_texts[t->state]));
    v = put_time(v, "createdAt", t->created_wall_ms);
    v = put_time(v, "lastUpdatedAt", t->updated_wall_ms);
    v = val_put_cstr(v, t->modern ? "ttlMs" : "ttl", val_int(t->ttl_ms));
    v = val_put_cstr(v, t->modern ? "pollIntervalMs" : "pollInterval", val_int(poll_ms));
    if (!detailed)
        return v;
    if (t->state == TASK_INPUT && t->call)
        v = val_put_cstr(v, "inputRequests", mcpd_asks_open(t->call));
    if (t->state == TASK_DONE)
        v = val_put_cstr(v, "result", val_ref(t->result));
    if (t->state == TASK_FAILED)
        v = val_put_cstr(v, "error", val_ref(t->error));
    return v;
}

// ---- life --------------------------------------------------------------------------------------

static bool make_room(struct mcpd *m)
{
    if (m->task_count < m->lim.tasks_max)
        return true;
    list_each_safe (it, &m->tasks) {
        struct mcpd_task *t = container_of(it, struct mcpd_task, link);
        if (!over(t))
            continue;
        mcpd_task_free(t);
        return true;
    }
    return false;
}

static bool takes_tasks(const struct mcpd_call *c)
{
    const struct val *x = val_get_cstr(c->capabilities, "extensions");
    return !c->modern || val_is(val_get_cstr(x, MCP_EXT_TASKS), JSON_OBJ);
}

bool mcpd_task_make(struct mcpd_call *c, int64_t ttl_ms)
{
    struct mcpd *m = c->m;
    struct mcpd_task *t = takes_tasks(c) && make_room(m) ? mem_new(struct mcpd_task) : NULL;
    if (!t)
        return false;
    rng_id(t->id);
    t->m = m;
    t->who = c->who;
    t->modern = c->modern;
    t->call = c;
    t->ttl_ms = ttl_ms > 0 && ttl_ms < m->lim.task_ms ? ttl_ms : m->lim.task_ms;
    t->due_ms = timers_now_ms(m->args.timers) + t->ttl_ms;
    t->created_wall_ms = t->updated_wall_ms = time_wall_ms();
    list_init(&t->waiters);
    list_add_tail(&m->tasks, &t->link);
    m->task_count++;
    struct val *r = task_val(t, false);
    if (c->modern)
        r = val_put_cstr(r, "resultType", val_cstr("task"));
    else
        r = val_put_cstr(val_obj(), "task", r);
    mcpd_call_answer(c, r, JSONRPC_INTERNAL, 200, BYTES("out of memory"), NULL);
    c->task = t;
    mcpd_wake(m);
    return true;
}

void mcpd_task_free(struct mcpd_task *t)
{
    struct mcpd *m = t->m;
    if (t->call) {
        struct mcpd_call *c = t->call;
        t->call = NULL;
        c->task = NULL;
        mcpd_call_cancel(c, true);
    }
    while (!list_empty(&t->waiters)) {
        struct mcpd_waiter *w = container_of(t->waiters.next, struct mcpd_waiter, link);
        struct mcpd_out *o = w->out;
        struct val *message = jsonrpc_error(w->id, JSONRPC_PARAMS, BYTES("the task is gone"), NULL);
        list_del(&w->link);
        mem_free(w);
        mcpd_out_answer(o, message, 200);
    }
    list_del(&t->link);
    m->task_count--;
    val_unref(t->result);
    val_unref(t->error);
    mem_free(t);
}

static struct val *related(const struct mcpd_task *t, struct val *takes_result)
{
    return mcp_with_meta(takes_result, MCP_META_TASK,
                         val_put_cstr(val_obj(), "taskId", val_cstr(t->id)));
}

// Legacy: the answer to tasks/result is what the call's would have been.
static struct val *outcome(const struct mcpd_task *t, struct val *takes_id)
{
    if (t->state == TASK_DONE)
        return jsonrpc_result(takes_id, related(t, val_ref(t->result)));
    if (t->error)
        return val_put_cstr(
            val_put_cstr(val_put_cstr(val_obj(), "jsonrpc", val_cstr("2.0")), "id", takes_id),
            "error", val_ref(t->error));
    return jsonrpc_error(takes_id, JSONRPC_PARAMS, BYTES("the task was cancelled"), NULL);
}

static void tell_listeners(struct mcpd_task *t)
{
    struct mcpd *m = t->m;
    list_each_safe (it, &m->outs) {
        struct mcpd_out *o = container_of(it, struct mcpd_out, link);
        if (!t->modern || o->kind != OUT_LISTEN || !o->tasks || !map_get(o->tasks, bytes_of(t->id)))
            continue;
        struct val *p =
            mcp_with_meta(task_val(t, true), MCP_META_SUBSCRIPTION, val_ref(o->listen_id));
        mcpd_out_say(o, jsonrpc_notification("notifications/tasks", p), true);
    }
    struct mcpd_session *s = t->call ? t->call->s : NULL;
    if (!t->modern && s && s->own)
        mcpd_out_say(s->own, jsonrpc_notification("notifications/tasks/status", task_val(t, false)),
                     true);
}

static void state_is(struct mcpd_task *t, enum mcpd_task_state state)
{
    if (t->state == state && state != TASK_INPUT)
        return;
    t->state = state;
    t->updated_wall_ms = time_wall_ms();
    tell_listeners(t);
}

static bool any_open(const struct mcpd_call *c)
{
    list_each (it, &c->asks) {
        if (!container_of(it, struct mcpd_asking, link)->ready)
            return true;
    }
    return false;
}

void mcpd_task_changed(struct mcpd_task *t)
{
    if (!over(t) && t->call)
        state_is(t, any_open(t->call) ? TASK_INPUT : TASK_WORKING);
}

// Those who wait for its outcome get it.
static void tell_waiters(struct mcpd_task *t)
{
    while (!list_empty(&t->waiters)) {
        struct mcpd_waiter *w = container_of(t->waiters.next, struct mcpd_waiter, link);
        struct mcpd_out *o = w->out;
        struct val *message = outcome(t, w->id);
        list_del(&w->link);
        mem_free(w);
        mcpd_out_answer(o, message, 200);
    }
}

void mcpd_task_done(struct mcpd_task *t, struct val *takes_result, struct val *takes_error)
{
    if (over(t)) {
        val_unref(takes_result);
        val_unref(takes_error);
        return;
    }
    t->result = takes_result;
    t->error = takes_error;
    state_is(t, takes_result ? TASK_DONE : TASK_FAILED);
    t->call = NULL;
    tell_waiters(t);
}

void mcpd_task_lost(struct mcpd_task *t)
{
    state_is(t, TASK_CANCELLED);
    t->call = NULL;
}

void mcpd_task_out_gone(struct mcpd *m, struct mcpd_out *o)
{
    list_each (it, &m->tasks) {
        struct mcpd_task *t = container_of(it, struct mcpd_task, link);
        list_each_safe (jt, &t->waiters) {
            struct mcpd_waiter *w = container_of(jt, struct mcpd_waiter, link);
            if (w->out != o)
                continue;
            list_del(&w->link);
            val_unref(w->id);
            mem_free(w);
        }
    }
}

void mcpd_tasks_tick(struct mcpd *m, int64_t now_ms)
{
    list_each_safe (it, &m->tasks) {
        struct mcpd_task *t = container_of(it, struct mcpd_task, link);
        if (now_ms >= t->due_ms)
            mcpd_task_free(t);
    }
}

// ---- requests ----------------------------------------------------------------------------------

static struct mcpd_task *task_of(const struct mcpd_in *in)
{
    struct bytes id = val_bytes(val_get_cstr(in->a->m.params, "taskId"));
    list_each (it, &in->m->tasks) {
        struct mcpd_task *t = container_of(it, struct mcpd_task, link);
        if (bytes_is(id, t->id) && strcmp(t->who.name, in->who->name) == 0 &&
            t->modern == in->modern)
            return t;
    }
    return NULL;
}

static void cancel(struct mcpd_in *in, struct mcpd_task *t)
{
    struct mcpd_call *c = t->call;
    if (over(t) && !in->modern) {
        mcpd_error(in, JSONRPC_PARAMS, 200, NULL, "the task is over: %s", state_texts[t->state]);
        return;
    }
    if (!over(t)) {
        state_is(t, TASK_CANCELLED);
        t->call = NULL;
        tell_waiters(t);
        c->task = NULL;
        mcpd_call_cancel(c, true);
    }
    mcpd_result(in, in->modern ? val_obj() : task_val(t, false));
}

static void result(struct mcpd_in *in, struct mcpd_task *t)
{
    if (over(t)) {
        mcpd_out_answer(in->out, outcome(t, val_ref(in->a->m.id)), 200);
        return;
    }
    struct mcpd_waiter *w = mem_new(struct mcpd_waiter);
    if (!w) {
        mcpd_error(in, JSONRPC_INTERNAL, 503, NULL, "out of memory");
        return;
    }
    w->out = in->out;
    w->id = val_ref(in->a->m.id);
    list_add_tail(&t->waiters, &w->link);
}

static void list_all(struct mcpd_in *in)
{
    struct val *list = val_arr();
    list_each (it, &in->m->tasks) {
        struct mcpd_task *t = container_of(it, struct mcpd_task, link);
        if (strcmp(t->who.name, in->who->name) == 0 && !t->modern)
            list = val_push(list, task_val(t, false));
    }
    mcpd_result(in, val_put_cstr(val_obj(), "tasks", list));
}

static void update(struct mcpd_in *in, struct mcpd_task *t)
{
    const struct val *responses = val_get_cstr(in->a->m.params, "inputResponses");
    if (!val_is(responses, JSON_OBJ)) {
        mcpd_error(in, JSONRPC_PARAMS, 200, NULL, "params must have inputResponses, an object");
        return;
    }
    if (t->call)
        mcpd_asks_take(t->call, responses);
    mcpd_result(in, val_obj());
}

void mcpd_task_serve(struct mcpd_in *in, enum mcp_method method)
{
    struct mcpd_task *t = method == MCP_M_TASKS_LIST ? NULL : task_of(in);
    if (method == MCP_M_TASKS_LIST)
        list_all(in);
    else if (!t)
        mcpd_error(in, JSONRPC_PARAMS, 200, NULL, "no such task");
    else if (method == MCP_M_TASKS_GET)
        mcpd_result(in, task_val(t, in->modern));
    else if (method == MCP_M_TASKS_RESULT)
        result(in, t);
    else if (method == MCP_M_TASKS_CANCEL)
        cancel(in, t);
    else
        update(in, t);
}
