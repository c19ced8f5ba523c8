// loop_calls.c: the calls of one answer: some at once, each refused, asked about or carried out,
// and its result as a message. SPDX-License-Identifier: Apache-2.0
#include "toolbox/loop_run_priv.h"
#include "toolbox/tools_all.h"

#include <stdio.h>
#include <string.h>

static void pump(struct loop_run *r);

// ---- results ------------------------------------------------------------------------------------

static struct val *arguments_of(const struct loop_call *c)
{
    struct val *v = NULL;
    if (!c->arguments.n)
        return val_obj();
    if (c->arguments.failed || val_parse(&v, buf_bytes(&c->arguments), NULL) < 0)
        return NULL;
    if (!val_is(v, JSON_OBJ)) {
        val_unref(v);
        return NULL;
    }
    return v;
}

static struct bytes tool_of(const struct loop_run *r, const struct loop_call *c)
{
    const struct loop_name *n = tools_loop_name(r->plan, buf_bytes(&c->name));
    return n ? n->tool : BYTES_NONE;
}

static struct val *say_call(const struct loop_run *r, struct loop_call *c)
{
    struct bytes tool = tool_of(r, c);
    struct val *v = val_put_cstr(val_obj(), "id", val_str(buf_bytes(&c->id)));
    v = val_put_cstr(v, "tool", val_str(tool.n ? tool : buf_bytes(&c->name)));
    struct val *arguments = arguments_of(c);
    return val_put_cstr(v, "arguments", arguments ? arguments : val_str(buf_bytes(&c->arguments)));
}

// word: "ok", "error" (the tool says so, or the call was wrong), "denied", "repeated".
static void result(struct loop_run *r, size_t i, const char *word, struct bytes text,
                   uint64_t took_us)
{
    struct loop_call *c = &r->turn.calls[i];
    struct buf shown, told;
    buf_init(&shown, LOOP_SHOWN_MAX * 2);
    buf_init(&told, r->all->args.result_bytes_max + 200);
    tools_say_cut(&shown, text, LOOP_SHOWN_MAX);
    tools_say_cut(&told, text, r->all->args.result_bytes_max);
    r->fates[i] = LOOP_TOLD;
    r->results[i] = tools_say_tool(buf_cstr(&c->id), buf_bytes(&c->name), buf_bytes(&told));
    struct val *v = say_call(r, c);
    v = val_put_cstr(v, "status", val_cstr(word));
    v = val_put_cstr(v, "content", val_str(buf_bytes(&shown)));
    v = val_put_cstr(v, "took_us", val_int((int64_t)took_us));
    if (v) {
        r->done = val_push(r->done, val_ref(v));
        tools_loop_tell(r,
                        val_put_cstr(val_del(v, BYTES("arguments")), "type", val_cstr("result")));
    }
    buf_fini(&shown);
    buf_fini(&told);
}

static void result_err(struct loop_run *r, size_t i, int status, const struct err *e)
{
    bool denied = status == E_FORBIDDEN || status == E_SECURITY;
    struct buf text;
    buf_init(&text, ERR_TEXT_MAX + 100);
    (void)buf_fmt(&text, "error: %s", e && e->text[0] ? e->text : err_info(status)->text);
    result(r, i, denied ? "denied" : "error", buf_bytes(&text), 0);
    buf_fini(&text);
}

// ---- one call -----------------------------------------------------------------------------------

static void job_free(struct loop_job *j)
{
    if (!j)
        return;
    val_unref(j->input);
    arena_free(j->words);
    mem_free(j);
}

static void on_done(struct tool_req *req, int status, const struct tool_result *res,
                    const struct err *e)
{
    struct loop_job *j = req->user;
    struct loop_run *r = j->run;
    if (r) {
        struct buf text;
        buf_init(&text, (size_t)MAX_ALLOCATION_BYTES);
        r->jobs[j->index] = NULL;
        r->running--;
        if (status == 0)
            tools_say_result(&text, res, r->all->args.result_bytes_max);
        // What it answered is in the conversation from now on.
        if (status == 0 && tools_run_join(r, &r->label, j->label) < 0)
            result(r, j->index, "denied", BYTES("error: its label cannot be put to the others"), 0);
        else if (status == 0)
            result(r, j->index, res->is_error ? "error" : "ok", buf_bytes(&text), res->took_us);
        else
            result_err(r, j->index, status, e);
        buf_fini(&text);
        job_free(j);
        pump(r);
        return;
    }
    job_free(j);
}

static struct loop_job *job_new(struct loop_run *r, size_t i, struct val *takes_input,
                                const struct tool_about *a)
{
    struct loop_job *j = mem_new(struct loop_job);
    if (!j || !(j->words = arena_new((size_t)1 << 16))) {
        mem_free(j);
        val_unref(takes_input);
        return NULL;
    }
    j->tools = r->all->args.tools;
    j->run = r;
    j->index = i;
    j->input = takes_input;
    j->label = arena_dup(j->words, a->label);
    j->req = (struct tool_req){.done = on_done, .user = j};
    return j;
}

static int hand_on(struct loop_run *r, size_t i, struct loop_job *j, struct bytes tool,
                   bool confirmed, struct err *e)
{
    struct tools_loops_args *all = &r->all->args;
    int64_t left = r->ends_ms - timers_now_ms(all->timers);
    bool shorter = all->call_timeout_ms > 0 && all->call_timeout_ms < left;
    struct buf key;
    buf_init(&key, 512);
    (void)buf_fmt(&key, "%s/%u/%s", r->id, r->step, buf_cstr(&r->turn.calls[i].id));
    struct tool_args args = {.name = arena_dup(j->words, tool),
                             .input = j->input,
                             .caller = {.who = arena_dup(j->words, buf_bytes(&r->who)),
                                        .as = arena_dup(j->words, buf_bytes(&r->as)),
                                        .label = arena_dup(j->words, buf_bytes(&r->label)),
                                        .clearance = arena_dup(j->words, buf_bytes(&r->clearance)),
                                        .confirmed = confirmed},
                             .timeout_ms = shorter    ? all->call_timeout_ms
                                           : left > 0 ? left
                                                      : 1,
                             .key = arena_dup(j->words, buf_bytes(&key))};
    buf_fini(&key);
    int status = tool_start(j->tools, &args, &j->req, e);
    if (status < 0)
        return status;
    r->jobs[i] = j;
    r->fates[i] = LOOP_RUNS;
    r->running++;
    return 0;
}

// What the person said of it: 1 yes, 0 no, -1 nothing.
static int said(const struct loop_run *r, const struct loop_call *c)
{
    const struct val *v = r->plan->confirm ? val_get(r->plan->confirm, buf_bytes(&c->id)) : NULL;
    return val_is(v, JSON_BOOL) ? val_bool_of(v, false) : -1;
}

static void ask_person(struct loop_run *r, size_t i, const struct tool_about *a)
{
    struct val *v = say_call(r, &r->turn.calls[i]);
    v = val_put_cstr(v, "effects", tools_say_effects(a->effects));
    v = val_put_cstr(v, "description", val_str(bytes_first(a->description, 1024)));
    r->pending = val_push(r->pending ? r->pending : val_arr(), v);
    r->fates[i] = LOOP_ASKED;
}

static void start(struct loop_run *r, size_t i)
{
    struct loop_call *c = &r->turn.calls[i];
    struct bytes tool = tool_of(r, c);
    struct tools *tools = r->all->args.tools;
    struct tool_about a;
    struct err e = {0};
    int word = said(r, c);
    struct val *input = arguments_of(c);
    struct loop_job *j = NULL;
    if (!tool.n || !tools->ops->find(tools, tool, &a)) {
        result(r, i, "error", BYTES("error: there is no tool of this name"), 0);
    } else if (!input) {
        result(r, i, "error", BYTES("error: the arguments must be a JSON object"), 0);
    } else if (word == 0) {
        result(r, i, "denied", BYTES("error: the person refused this call"), 0);
    } else if (word < 0 && !a.granted && r->plan->confirms) {
        ask_person(r, i, &a);
    } else if (!tools_guard_may(&r->guard, buf_bytes(&c->name), buf_bytes(&c->arguments))) {
        result(r, i, "repeated",
               BYTES("error: you have called this with the same arguments before; use that answer"),
               0);
    } else if (!(j = job_new(r, i, val_ref(input), &a))) {
        result(r, i, "error", BYTES("error: out of memory"), 0);
    } else {
        struct val *v = val_put_cstr(say_call(r, c), "type", val_cstr("call"));
        tools_loop_tell(r, val_put_cstr(v, "effects", tools_say_effects(a.effects)));
        int status = hand_on(r, i, j, tool, word == 1, &e);
        if (status < 0) {
            job_free(j);
            result_err(r, i, status, &e);
        }
    }
    val_unref(input);
}

// ---- all of them --------------------------------------------------------------------------------

static void pump(struct loop_run *r)
{
    for (size_t i = 0; i < r->turn.count && r->running < r->all->args.parallel; i++)
        if (r->fates[i] == LOOP_NEW && r->turn.calls[i].ours)
            start(r, i);
    if (r->broken)
        tools_loop_fail(r, r->broken, "the answer cannot be passed on");
    else if (!r->running)
        tools_loop_called(r);
}

void tools_loop_calls(struct loop_run *r)
{
    memset(r->fates, 0, sizeof r->fates);
    pump(r);
}

void tools_loop_calls_stop(struct loop_run *r)
{
    for (size_t i = 0; i < LOOP_CALLS_MAX; i++) {
        struct loop_job *j = r->jobs[i];
        r->jobs[i] = NULL;
        val_unref(steal(&r->results[i]));
        if (!j)
            continue;
        j->run = NULL;
        tool_cancel(j->tools, &j->req);
    }
    r->running = 0;
}
