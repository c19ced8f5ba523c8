// loop.c: loops of models and tools: their beginning, their time, their end.
// SPDX-License-Identifier: Apache-2.0
#include "toolbox/loop_run_priv.h"

#include <stdio.h>
#include <string.h>

#define LABEL_MAX 2048

// ---- one ----------------------------------------------------------------------------------------

int tools_run_join(struct loop_run *r, struct buf *label, struct bytes more)
{
    struct tools_loops_args *a = &r->all->args;
    struct err e = {0};
    struct buf both;
    if (!more.n || !a->join || bytes_eq(buf_bytes(label), more))
        return 0;
    buf_init(&both, LABEL_MAX);
    int status =
        label->n ? a->join(a->user, buf_bytes(label), more, &both, &e) : buf_put(&both, more);
    if (status == 0 && !both.failed) {
        buf_clear(label);
        (void)buf_put(label, buf_bytes(&both));
    }
    buf_fini(&both);
    return status;
}

void tools_run_free(struct loop_run *r)
{
    struct http_call *call = r->call;
    struct buf *const bufs[] = {&r->sent, &r->answer, &r->frame,     &r->headers,     &r->as,
                                &r->who,  &r->label,  &r->clearance, &r->answer_label};
    r->call = NULL;
    if (call)
        http_call_cancel(call);
    tools_loop_calls_stop(r);
    timer_stop(r->all->args.timers, &r->limit);
    list_del(&r->link);
    r->all->running--;
    sse_parser_fini(&r->sse);
    tools_turn_fini(&r->turn);
    tools_plan_free(r->plan);
    for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++)
        buf_fini(bufs[i]);
    val_unref(r->head);
    val_unref(r->done);
    val_unref(r->pending);
    mem_free(r);
}

static void on_limit(struct timer *t)
{
    struct loop_run *r = t->user;
    char why[100];
    (void)snprintf(why, sizeof why, "the model and its tools took longer than %lld ms",
                   (long long)r->plan->time_ms);
    tools_loop_fail(r, E_TIMEOUT, why);
}

static void on_drain(struct http_exchange *x, void *user)
{
    struct loop_run *r = user;
    (void)x;
    r->slow = false;
    if (r->call)
        http_call_read(r->call, true);
}

static void on_gone(struct http_exchange *x, void *user, int status)
{
    struct loop_run *r = user;
    (void)x;
    (void)status;
    r->x = NULL;
    tools_run_free(r);
}

static struct loop_run *run_new(struct tools_loops *l, const struct tools_loop_ask *ask,
                                struct loop_plan *takes_plan)
{
    struct loop_run *r = mem_new(struct loop_run);
    if (!r) {
        tools_plan_free(takes_plan);
        return NULL;
    }
    r->all = l;
    r->x = ask->x;
    r->plan = takes_plan;
    list_add_tail(&l->runs, &r->link);
    l->running++;
    buf_init(&r->sent, (size_t)64 << 20);
    buf_init(&r->answer, LOOP_ANSWER_MAX);
    buf_init(&r->frame, LOOP_ANSWER_MAX);
    sse_parser_init(&r->sse, LOOP_ANSWER_MAX);
    tools_turn_init(&r->turn, r->plan, 1);
    const struct {
        struct buf *to;
        struct bytes from;
    } texts[] = {{&r->headers, ask->headers},
                 {&r->as, ask->as},
                 {&r->who, ask->who},
                 {&r->label, ask->label},
                 {&r->clearance, ask->clearance},
                 {&r->answer_label, BYTES_NONE}};
    int failed = 0;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        buf_init(texts[i].to, 16384);
        failed = failed ? failed : buf_put(texts[i].to, texts[i].from);
    }
    (void)snprintf(r->id, sizeof r->id, "%s", ask->id ? ask->id : "loop");
    r->done = val_arr();
    r->limit = (struct timer){.fn = on_limit, .user = r};
    r->ends_ms = timers_now_ms(l->args.timers) + r->plan->time_ms;
    if (failed || !r->done || timer_start(l->args.timers, &r->limit, r->plan->time_ms) < 0) {
        tools_run_free(r);
        return NULL;
    }
    return r;
}

// What the answer may know: labels of all tools that may be called; the head is sent before it is
// known which are.
static int label_of_answer(struct loop_run *r)
{
    struct tools *tools = r->all->args.tools;
    struct tool_about a;
    int status = 0;
    for (size_t i = 0; i < r->plan->name_count && r->all->args.join && status == 0; i++) {
        struct bytes tool = r->plan->names[i].tool;
        if (tool.n && tools->ops->find(tools, tool, &a) && a.label.n)
            status = tools_run_join(r, &r->answer_label, a.label);
    }
    return status;
}

static void refuse(const struct tools_loop_ask *ask, int code, const char *why, const char *param)
{
    http_reply_error_with(ask->x, code, why, param, err_info(code)->http == 503 ? 1 : -1,
                          ask->headers);
}

void tools_loops_take(struct tools_loops *l, const struct tools_loop_ask *ask)
{
    const struct tool_caller caller = {
        .who = ask->who, .label = ask->label, .clearance = ask->clearance};
    const struct loop_plan_args args = {.request = ask->body,
                                        .tools = l->args.tools,
                                        .caller = &caller,
                                        .most = &l->args.limits,
                                        .admin = ask->admin};
    struct loop_plan *plan = NULL;
    const char *param = NULL;
    struct err e = {0};
    if (l->freeing || l->running >= l->args.running_max) {
        refuse(ask, l->freeing ? E_UNAVAILABLE : E_FULL,
               l->freeing ? "the node ends" : "too many models call tools at once", NULL);
        return;
    }
    int status = tools_plan_new(&plan, &args, &param, &e);
    if (status < 0) {
        refuse(ask, status, e.text, param);
        return;
    }
    struct loop_run *r = run_new(l, ask, plan);
    if (!r) {
        refuse(ask, E_NOMEM, "out of memory", NULL);
        return;
    }
    http_own(r->x, r, on_drain, on_gone);
    http_release_body(r->x);
    if (label_of_answer(r) < 0)
        tools_loop_fail(r, E_SECURITY, "labels of the tools cannot be put together");
    else if (tools_plan_pending(r->plan, &r->turn))
        tools_loop_calls(r);
    else
        tools_loop_ask(r);
}

// ---- all ----------------------------------------------------------------------------------------

int tools_loops_new(struct tools_loops **ret, const struct tools_loops_args *args, struct err *e)
{
    struct tools_loops *l = mem_new(struct tools_loops);
    struct http_pool_args pool = {
        .net = args->net, .timers = args->timers, .addr = args->self, .host_header = "localhost"};
    int status = l ? http_pool_new(&l->pool, &pool, e) : err_set(e, E_NOMEM, "out of memory");
    if (status < 0) {
        mem_free(l);
        return status;
    }
    l->args = *args;
    list_init(&l->runs);
    struct tools_loops_args *a = &l->args;
    a->limits.steps = a->limits.steps ? a->limits.steps : 16;
    a->limits.tokens = a->limits.tokens ? a->limits.tokens : 500000;
    a->limits.time_ms = a->limits.time_ms > 0 ? a->limits.time_ms : (int64_t)10 * 60 * 1000;
    a->parallel = a->parallel ? a->parallel : 4;
    a->running_max = a->running_max ? a->running_max : 64;
    a->result_bytes_max = a->result_bytes_max ? a->result_bytes_max : (size_t)64 << 10;
    *ret = l;
    return 0;
}

void tools_loops_free(struct tools_loops *l)
{
    if (!l)
        return;
    l->freeing = true;
    while (!list_empty(&l->runs))
        tools_loop_fail(container_of(l->runs.next, struct loop_run, link), E_UNAVAILABLE,
                        "the node ends");
    http_pool_free(l->pool);
    mem_free(l);
}

size_t tools_loops_running(const struct tools_loops *l)
{
    return l->running;
}
