// jobs.c: what commands have others do: activities here or over a queue, evaluations by libjq. A
// place for each, runs take turns, and what nobody wants any more is let go.
// SPDX-License-Identifier: Apache-2.0
#include "runs/runs_priv.h"
#include <string.h>

#define EVALS_MAX 64

struct val *runs_problem(const char *kind, int status, const char *title, const char *detail)
{
    char type[128];
    struct buf b;
    buf_init(&b, sizeof type);
    (void)buf_fmt(&b, "https://serverlessworkflow.io/spec/1.0.0/errors/%s", kind);
    struct val *v = val_put_cstr(val_obj(), "type", val_str(buf_bytes(&b)));
    buf_fini(&b);
    v = val_put_cstr(v, "status", val_int(status));
    v = val_put_cstr(v, "title", val_cstr(title));
    return val_put_cstr(v, "detail", val_cstr(detail));
}

struct job *runs_job_new(struct run *r, const struct flow_event *command)
{
    struct job *j = mem_new(struct job);
    struct buf key;
    if (!j)
        return NULL;
    buf_init(&key, RUNS_ID_MAX + 64);
    (void)buf_fmt(&key, "%.*s%c%llu", BYTES_FMT(r->spot->id),
                  command->type == FLOW_CHILD ? '.' : '/', (unsigned long long)command->id);
    j->key = key.failed ? NULL : buf_take(&key);
    buf_fini(&key);
    if (!j->key) {
        mem_free(j);
        return NULL;
    }
    j->s = r->s;
    j->timers = r->s->args.timers;
    j->run = r;
    j->id = command->id;
    j->type = command->type;
    j->where = JOB_HELD;
    j->data = val_ref(command->data);
    list_init(&j->line);
    list_init(&j->written);
    buf_init(&j->input, RUNS_TEXT_MAX);
    buf_init(&j->vars, RUNS_TEXT_MAX);
    list_add_tail(command->type == FLOW_CHILD ? &r->children : &r->jobs, &j->link);
    return j;
}

struct job *runs_job_find(struct list *jobs, uint64_t id)
{
    list_each (it, jobs) {
        struct job *j = container_of(it, struct job, link);
        if (j->id == id)
            return j;
    }
    return NULL;
}

void runs_job_free(struct job *j)
{
    if (!j)
        return;
    list_del(&j->link);
    list_del(&j->line);
    list_del(&j->written);
    timer_stop(j->timers, &j->start);
    buf_fini(&j->input);
    buf_fini(&j->vars);
    mem_free(j->key);
    val_unref(j->data);
    mem_free(j);
}

// ---- answers ------------------------------------------------------------------------------------

void runs_job_answer(struct job *j, struct val *takes_output, struct val *takes_problem, bool final,
                     struct bytes node)
{
    struct run *r = j->run;
    struct runs *s = j->s;
    struct val *data = val_obj();
    bool failed = takes_problem != NULL;
    if (!r) {
        val_unref(takes_output);
        val_unref(takes_problem);
        val_unref(data);
        runs_job_free(j);
        return;
    }
    if (!failed && val_size(takes_output) > RUNS_OUTPUT_MAX) {
        val_unref(takes_output);
        takes_problem = runs_problem("runtime", 500, "The output is too large",
                                     "an activity gives at most 20 MiB");
        failed = final = true;
    }
    data = failed ? val_put_cstr(data, "error", takes_problem)
                  : val_put_cstr(data, "output", takes_output);
    data = val_put_cstr(data, "node", val_str(node));
    if (failed && final)
        data = val_put_cstr(data, "final", val_bool(true));
    s->stats.activity_failures += failed;
    j->where = JOB_ANSWERED;
    struct post *p = data ? runs_post_new(failed ? FLOW_FAILED : FLOW_DONE, j->id, data) : NULL;
    if (p) {
        runs_post(r, p);
        return;
    }
    struct err e = {0};
    int64_t later = runs_wall(s) + 5000;
    struct spot *spot = r->spot;
    (void)err_set(&e, E_NOMEM, "an answer needs memory");
    runs_wake(s, spot, later); // read again, it is asked again
    runs_forget(r, E_NOMEM, &e);
}

static void on_act(struct act_req *req, int status, struct val *output, struct val *problem,
                   bool final)
{
    struct job *j = req->user;
    struct runs *s = j->s;
    s->acts_running--;
    j->where = JOB_ANSWERED;
    if (status && !problem)
        problem = runs_problem(status == E_TIMEOUT ? "timeout" : "runtime", err_info(status)->http,
                               err_info(status)->text, "the activity failed");
    else if (status)
        problem = val_ref(problem);
    else
        problem = NULL;
    bool stopping = s->closing || s->stopped;
    if (stopping) {
        val_unref(problem);
        runs_job_drop(j);
    } else {
        runs_job_answer(j,
                        status   ? NULL
                        : output ? val_ref(output)
                                 : val_null(),
                        problem, final, bytes_of(s->node));
    }
    if (s->acts_waiting)
        runs_soon(s);
    runs_check_closed(s);
}

static void on_expr(struct expr_req *req, int status, struct bytes result, const struct err *e)
{
    struct job *j = req->user;
    struct run *r = j->run;
    struct runs *s = j->s;
    struct val *out = NULL, *data;
    struct err why = {0};
    s->evals_running--;
    j->where = JOB_ANSWERED;
    if (!r || s->closing || s->stopped) {
        runs_job_drop(j);
        runs_check_closed(s);
        return;
    }
    if (!status)
        status = val_parse(&out, result, &why);
    if (status)
        data = val_put_cstr(val_obj(), "error",
                            runs_problem("expression", 400, "The expression cannot be evaluated",
                                         why.n ? why.text
                                         : e   ? e->text
                                               : ""));
    else
        data = val_put_cstr(val_obj(), "out", out);
    struct post *p = data ? runs_post_new(FLOW_EVALUATED, j->id, data) : NULL;
    if (p) {
        runs_post(r, p);
        return;
    }
    (void)err_set(&why, E_NOMEM, "an answer needs memory");
    runs_wake(s, r->spot, runs_wall(s) + 5000);
    runs_forget(r, E_NOMEM, &why);
}

// ---- beginning ----------------------------------------------------------------------------------

void runs_job_refuse(struct job *j, int status, const struct err *e)
{
    const char *kind = j->type == FLOW_EVAL   ? "expression"
                       : status == E_NOTFOUND ? "configuration"
                                              : "runtime";
    struct val *problem =
        runs_problem(kind, err_info(status)->http, err_info(status)->text, e->text);
    if (j->type != FLOW_EVAL) {
        runs_job_answer(j, NULL, problem, status == E_NOTFOUND, bytes_of(j->s->node));
        return;
    }
    j->where = JOB_ANSWERED;
    struct post *p =
        runs_post_new(FLOW_EVALUATED, j->id, val_put_cstr(val_obj(), "error", problem));
    if (p)
        runs_post(j->run, p);
}

static int begin_eval(struct job *j, struct err *e)
{
    buf_clear(&j->input);
    buf_clear(&j->vars);
    const struct val *vars = val_get_cstr(j->data, "vars");
    (void)val_write(&j->input, val_get_cstr(j->data, "input"));
    if (vars)
        (void)val_write(&j->vars, vars);
    else
        (void)buf_str(&j->vars, "{}");
    if (j->input.failed || j->vars.failed)
        return err_set(e, E_TOOBIG, "the expression's input is too large");
    j->expr = (struct expr_req){.program = val_bytes(val_get_cstr(j->data, "program")),
                                .input = buf_bytes(&j->input),
                                .vars = buf_bytes(&j->vars),
                                .now_ms = val_i64(val_get_cstr(j->data, "now"), 0),
                                .done = on_expr,
                                .user = j};
    if (!j->s->args.expr)
        return err_set(e, E_UNAVAILABLE, "this expression needs libjq, which is not here");
    return expr_run(j->s->args.expr, &j->expr, e);
}

static void on_beat(struct act_req *req, struct val *detail)
{
    struct job *j = req->user;
    struct runs *s = j->s;
    if (j->run && !s->closing && !s->stopped)
        s->args.progress(s->args.user, j->run->spot->id, val_bytes(val_get_cstr(j->data, "task")),
                         detail);
}

static int begin_act(struct job *j, struct err *e)
{
    struct val *data = j->data;
    struct act_args a = {
        .kind = val_bytes(val_get_cstr(data, "kind")),
        .run = j->run->spot->id,
        .task = val_bytes(val_get_cstr(data, "task")),
        .key = bytes_of(j->key),
        .attempt = (uint32_t)val_i64(val_get_cstr(data, "attempt"), 1),
        .timeout_ms = val_i64(val_get_cstr(data, "timeout_ms"), TIME_NEVER),
        .label = val_bytes(val_get_cstr(data, "label")),
        .args = val_get_cstr(data, "args"),
    };
    j->act =
        (struct act_req){.done = on_act, .beat = j->s->args.progress ? on_beat : NULL, .user = j};
    if (!j->s->args.acts)
        return err_set(e, E_NOTFOUND, "this node does no activities");
    return act_start(j->s->args.acts, &a, &j->act, e);
}

bool runs_jobs_room(const struct runs *s)
{
    return s->acts_running < s->args.activities_max;
}

static void begin(struct job *j)
{
    struct runs *s = j->s;
    struct run *r = j->run;
    struct err e = {0};
    bool eval = j->type == FLOW_EVAL;
    list_del(&j->line);
    s->acts_waiting--;
    j->where = eval ? JOB_EVAL : JOB_ACT;
    int rc = eval ? begin_eval(j, &e) : begin_act(j, &e);
    if (!rc) {
        s->acts_running += !eval;
        s->evals_running += eval;
        s->stats.activities += !eval;
        return;
    }
    if (rc == E_FULL) {
        j->where = JOB_LINE;
        s->acts_waiting++;
        list_add_head(&r->line, &j->line);
        runs_again(s, 5);
        return;
    }
    runs_job_refuse(j, rc, &e);
}

void runs_job_begin(struct job *j)
{
    struct run *r = j->run;
    r->pins++;
    begin(j);
    if (r->state == RUN_LIVE && !list_empty(&r->line) && list_empty(&r->turn))
        list_add_tail(&j->s->turns, &r->turn);
    runs_unpin(r);
}

// Each run with waiting jobs has its turn for one of them.
void runs_jobs_go(struct runs *s)
{
    while (!list_empty(&s->turns) && !s->again_armed && !s->stopped && !s->closing) {
        struct run *r = container_of(s->turns.next, struct run, turn);
        list_del(&r->turn);
        if (list_empty(&r->line))
            continue;
        struct job *j = container_of(r->line.next, struct job, line);
        bool room = j->type == FLOW_EVAL ? s->evals_running < EVALS_MAX : runs_jobs_room(s);
        if (!room) {
            list_add_head(&s->turns, &r->turn);
            return;
        }
        r->pins++;
        if (j->type != FLOW_ACT || !runs_rate_holds(j))
            begin(j);
        if (r->state == RUN_LIVE && !list_empty(&r->line))
            list_add_tail(&s->turns, &r->turn);
        runs_unpin(r);
    }
}

void runs_job_go(struct job *j)
{
    struct run *r = j->run;
    struct runs *s = j->s;
    if (!r || j->where != JOB_HELD)
        return;
    runs_start_limit(j);
    if (j->type == FLOW_ACT && !runs_queue_is_own(s, j)) {
        j->where = JOB_QUEUE;
        runs_queue_send(j);
        return;
    }
    j->where = JOB_LINE;
    s->acts_waiting++;
    list_add_tail(&r->line, &j->line);
    if (list_empty(&r->turn))
        list_add_tail(&s->turns, &r->turn);
    runs_jobs_go(s);
}

void runs_jobs_mine(struct run *r)
{
    if (r->state != RUN_LIVE)
        return;
    r->pins++;
    for (bool more = true; more && r->state == RUN_LIVE;) {
        more = false;
        list_each (it, &r->jobs) {
            struct job *j = container_of(it, struct job, link);
            if (j->where != JOB_HELD || !list_empty(&j->written))
                continue;
            runs_job_go(j);
            more = true;
            break;
        }
    }
    runs_unpin(r);
}

void runs_job_drop(struct job *j)
{
    if (!j)
        return;
    list_del(&j->link);
    list_del(&j->written);
    j->run = NULL;
    switch (j->s->freeing ? JOB_ANSWERED : j->where) {
    case JOB_LINE: j->s->acts_waiting--; break;
    case JOB_ACT:
        list_add_tail(&j->s->orphans, &j->link);
        act_cancel(j->s->args.acts, &j->act);
        return; // freed when it is done
    case JOB_EVAL:
        list_add_tail(&j->s->orphans, &j->link);
        expr_cancel(j->s->args.expr, &j->expr);
        return;
    case JOB_QUEUE: runs_queue_drop(j); return;
    case JOB_HELD:
    case JOB_ANSWERED:
    default: break;
    }
    runs_job_free(j);
}
