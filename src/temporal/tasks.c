// tasks.c: workflow tasks: the history's news are folded, what must be evaluated is, and the
// commands, answers to queries and updates go back.
// SPDX-License-Identifier: Apache-2.0
#include "temporal/temporal_priv.h"

#include <stdio.h>
#include <string.h>

#define NOTES_MAX 256 // of one task, for eyes
#define QUERY_UNKNOWN "no query is called so: state, plan, __stack_trace"

struct task {
    struct list link;
    struct temporal *t;
    struct val *answer; // PollWorkflowTaskQueueResponse
    struct val *events; // those to be folded
    size_t at;
    uint64_t replayed; // up to this event a task was completed
    struct temporal_flow *flow;
    struct val *first;    // commands that come first: markers
    struct val *messages; // answers to updates
    struct expr_req eval;
    struct buf input, vars;
    bool evaluates, waits, dead;
    size_t update_at;
    struct timer later;
    struct val *lifecycle; // CloudEvents as texts, told when the server took the task
    struct flow_note *notes;
    size_t note_count, note_cap;
    struct err e;
};

static void go_on(struct task *k);

// ---- what others may see ------------------------------------------------------------------------

static void on_note(void *user, const struct flow_note *n, uint64_t number)
{
    struct task *k = user;
    const struct temporal_args *a = &k->t->args;
    struct buf b;
    if (a->changed && k->note_count < k->note_cap) {
        k->notes[k->note_count] = *n;
        k->notes[k->note_count++].data = NULL;
    }
    if (!a->event)
        return;
    buf_init(&b, TEMPORAL_BYTES_MAX);
    if (flow_lifecycle(&b, k->flow->fold->flow, n, k->flow->fold->workflow, k->t->node, number) ==
            0 &&
        !b.failed)
        k->lifecycle = val_push(k->lifecycle, val_str(buf_bytes(&b)));
    buf_fini(&b);
}

static void tell_notes(struct task *k)
{
    const struct temporal_args *a = &k->t->args;
    struct bytes run = bytes_of(k->flow->fold->workflow);
    for (size_t i = 0; a->event && i < val_len(k->lifecycle); i++)
        a->event(a->user, run, val_bytes(val_at(k->lifecycle, i)));
    for (size_t i = 0; a->changed && i < k->note_count; i++)
        a->changed(a->user, run, &k->notes[i]);
}

// ---- flows in memory ----------------------------------------------------------------------------

void temporal_flow_drop(struct temporal *t, struct temporal_flow *f)
{
    if (f->busy) {
        f->gone = true;
        return;
    }
    if (map_get(t->flows, f->key) == f) // else another one took its place
        (void)map_del(t->flows, f->key);
    list_del(&f->link);
    mem_free((char *)(uintptr_t)f->key.p);
    temporal_fold_free(f->fold);
    mem_free(f);
}

static void make_room(struct temporal *t)
{
    list_each_safe (it, &t->lru) {
        struct temporal_flow *f = container_of(it, struct temporal_flow, link);
        if (map_count(t->flows) < t->args.flows_max)
            return;
        if (!f->busy)
            temporal_flow_drop(t, f);
    }
}

static struct temporal_flow *flow_new(struct temporal *t, struct bytes workflow, struct bytes run,
                                      struct err *e)
{
    struct temporal_flow *f = mem_new(struct temporal_flow);
    make_room(t);
    if (f)
        f->key = (struct bytes){mem_dup(run.p, run.n), run.n};
    if (!f || !f->key.p || temporal_fold_new(&f->fold, workflow, run, e) ||
        map_put(t->flows, run, f, NULL)) {
        if (f) {
            temporal_fold_free(f->fold);
            mem_free((char *)(uintptr_t)f->key.p);
        }
        mem_free(f);
        (void)err_set(e, E_NOMEM, "no memory for a flow");
        return NULL;
    }
    list_add_tail(&t->lru, &f->link);
    return f;
}

// ---- the end of a task --------------------------------------------------------------------------

static void task_free(struct task *k)
{
    struct temporal *t = k->t;
    timer_stop(t->args.timers, &k->later);
    list_del(&k->link);
    if (k->flow) {
        struct temporal_flow *f = k->flow;
        f->busy = false;
        f->fold->noted = NULL;
        if (f->gone || f->fold->ended)
            temporal_flow_drop(t, f);
    }
    val_unref(k->answer);
    val_unref(k->events);
    val_unref(k->first);
    val_unref(k->messages);
    val_unref(k->lifecycle);
    mem_free(k->notes);
    buf_fini(&k->input);
    buf_fini(&k->vars);
    mem_free(k);
    temporal_quiet(t);
}

static void on_told(void *user, int status, struct val *answer, const struct err *e)
{
    struct task *k = user;
    if (status) { // the server did not take it: what is known here is not so there
        (void)temporal_attributes_gone(k->t, status, e);
        k->t->stats.workflow_failures++;
        if (k->flow)
            k->flow->gone = true;
        task_free(k);
        return;
    }
    struct val *next = val_get_cstr(answer, "workflowTask");
    struct temporal *t = k->t;
    next = next ? val_ref(next) : NULL;
    if (k->flow) {
        temporal_fold_told(k->flow->fold);
        tell_notes(k);
    }
    task_free(k);
    if (next && !t->closing && temporal_str(next, "taskToken").n)
        temporal_task(t, next);
    else
        val_unref(next);
}

static void on_failed(void *user, int status, struct val *answer, const struct err *e)
{
    (void)status, (void)answer, (void)e;
    task_free(user);
}

static void task_fail(struct task *k, int code)
{
    struct temporal *t = k->t;
    AUTO(val) problem = temporal_problem_new("configuration", 500, "Workflow Task", k->e.text);
    struct val *r = temporal_request(t);
    t->stats.workflow_failures++;
    if (k->flow)
        k->flow->gone = true;
    r = val_put_cstr(r, "taskToken", val_ref(val_get_cstr(k->answer, "taskToken")));
    r = val_put_cstr(
        r, "cause",
        val_cstr(code == E_CONFLICT
                     ? "WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR"
                     : "WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE"));
    r = val_put_cstr(r, "failure", temporal_failure(problem, true));
    (void)temporal_call(t, "RespondWorkflowTaskFailed", r, TEMPORAL_CALL_MS, on_failed, k);
}

// A document that cannot run will not get better by trying again.
static void task_refuse(struct task *k)
{
    struct temporal *t = k->t;
    AUTO(val) problem = temporal_problem_new("configuration", 400, "Document", k->e.text);
    struct val *c =
        val_put_cstr(val_obj(), "commandType", val_cstr("COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION"));
    c = val_put_cstr(c, "failWorkflowExecutionCommandAttributes",
                     val_put_cstr(val_obj(), "failure", temporal_failure(problem, false)));
    struct val *r = temporal_request(t);
    r = val_put_cstr(r, "taskToken", val_ref(val_get_cstr(k->answer, "taskToken")));
    r = val_put_cstr(r, "commands", val_push(val_arr(), c));
    if (k->flow)
        k->flow->gone = true;
    (void)temporal_call(t, "RespondWorkflowTaskCompleted", r, TEMPORAL_CALL_MS, on_failed, k);
}

// ---- queries ------------------------------------------------------------------------------------

static void stack(struct temporal_fold *f, struct buf *out)
{
    const struct flow_event *p;
    struct buf text;
    buf_init(&text, 1 << 20);
    for (size_t at = 0; flow_run_pending(f->flow, &at, &p);)
        (void)buf_fmt(&text, "%s %llu %s\n", flow_type_name(p->type), (unsigned long long)p->id,
                      val_text(val_get_cstr(p->data, "task"), ""));
    (void)buf_json_str(out, buf_bytes(&text));
    buf_fini(&text);
}

static struct val *query(struct temporal_fold *f, const struct val *q)
{
    struct bytes type = temporal_str(q, "queryType");
    struct buf out;
    struct val *v = NULL, *r;
    buf_init(&out, TEMPORAL_BYTES_MAX);
    if (bytes_is(type, "state"))
        (void)flow_run_view(f->flow, false, &out);
    else if (bytes_is(type, "plan"))
        (void)flow_plan_graph(f->plan, &out);
    else if (bytes_is(type, "__stack_trace"))
        stack(f, &out);
    if (out.n)
        (void)val_parse(&v, buf_bytes(&out), NULL);
    buf_fini(&out);
    r = val_put_cstr(val_obj(), "resultType",
                     val_cstr(v ? "QUERY_RESULT_TYPE_ANSWERED" : "QUERY_RESULT_TYPE_FAILED"));
    if (v)
        return val_put_cstr(r, "answer", temporal_payloads(v, NULL));
    return val_put_cstr(r, "errorMessage", val_cstr(QUERY_UNKNOWN));
}

static void answer_query(struct task *k, const struct val *q)
{
    AUTO(val) one = query(k->flow->fold, q);
    struct val *r = temporal_bare(k->t);
    r = val_put_cstr(r, "taskToken", val_ref(val_get_cstr(k->answer, "taskToken")));
    r = val_put_cstr(r, "completedType", val_ref(val_get_cstr(one, "resultType")));
    if (val_get_cstr(one, "answer"))
        r = val_put_cstr(r, "queryResult", val_ref(val_get_cstr(one, "answer")));
    else
        r = val_put_cstr(r, "errorMessage", val_cstr(QUERY_UNKNOWN));
    (void)temporal_call(k->t, "RespondQueryTaskCompleted", r, TEMPORAL_CALL_MS, on_failed, k);
}

static struct val *answer_queries(struct task *k)
{
    const struct val *all = val_get_cstr(k->answer, "queries");
    struct val *results = val_obj(), *q;
    struct bytes id;
    for (size_t at = 0; all && val_each(all, &at, &id, &q);)
        results = val_put(results, id, query(k->flow->fold, q));
    return results;
}

// ---- updates ------------------------------------------------------------------------------------

static struct val *message(const struct val *m, const char *kind, struct val *takes_body)
{
    char id[300], type[100];
    (void)snprintf(id, sizeof id, "%.200s/%s", val_text(val_get_cstr(m, "id"), ""), kind);
    (void)snprintf(type, sizeof type, "type.googleapis.com/temporal.api.update.v1.%s", kind);
    struct val *v = val_put_cstr(val_obj(), "id", val_cstr(id));
    v = val_put_cstr(v, "protocolInstanceId", val_ref(val_get_cstr(m, "protocolInstanceId")));
    return val_put_cstr(v, "body", val_put_cstr(takes_body, "@type", val_cstr(type)));
}

static struct val *by_message(const struct val *message)
{
    struct val *c =
        val_put_cstr(val_obj(), "commandType", val_cstr("COMMAND_TYPE_PROTOCOL_MESSAGE"));
    return val_put_cstr(c, "protocolMessageCommandAttributes",
                        val_put_cstr(val_obj(), "messageId", val_ref(val_get_cstr(message, "id"))));
}

static struct val *acceptance(const struct val *m, const struct val *request)
{
    struct val *b =
        val_put_cstr(val_obj(), "acceptedRequestMessageId", val_ref(val_get_cstr(m, "id")));
    if (val_get_cstr(m, "eventId"))
        b = val_put_cstr(b, "acceptedRequestSequencingEventId",
                         val_ref(val_get_cstr(m, "eventId")));
    struct val *bare = val_del(val_ref((struct val *)(uintptr_t)request), BYTES("@type"));
    return message(m, "Acceptance", val_put_cstr(b, "acceptedRequest", bare));
}

static struct val *rejection(const struct val *m, const struct val *request, const char *why)
{
    AUTO(val) p = temporal_problem_new("validation", 400, "Update", why);
    struct val *b =
        val_put_cstr(val_obj(), "rejectedRequestMessageId", val_ref(val_get_cstr(m, "id")));
    struct val *bare = val_del(val_ref((struct val *)(uintptr_t)request), BYTES("@type"));
    b = val_put_cstr(b, "rejectedRequest", bare);
    return message(m, "Rejection", val_put_cstr(b, "failure", temporal_failure(p, false)));
}

static struct val *response(struct temporal_fold *f, const struct val *m, const struct val *request)
{
    struct val *out =
        val_put_cstr(val_obj(), "status", val_cstr(flow_status_name(flow_run_status(f->flow))));
    struct val *b = val_put_cstr(val_obj(), "meta", val_ref(val_get_cstr(request, "meta")));
    b = val_put_cstr(b, "outcome",
                     val_put_cstr(val_obj(), "success", temporal_payloads(out, NULL)));
    return message(m, "Response", b);
}

// An update that asks for a hand. 0, 1: an answer is needed first, E_*.
static int update(struct task *k, const struct val *m)
{
    const struct val *request = val_get_cstr(m, "body"), *input = val_get_cstr(request, "input");
    AUTO(val) hand = temporal_payload_of(val_get_cstr(input, "args"), 0);
    struct temporal_fold *f = k->flow->fold;
    bool good =
        bytes_is(temporal_str(input, "name"), "hand") && val_is(hand, JSON_OBJ) && !f->ended;
    struct val *told = good
                           ? acceptance(m, request)
                           : rejection(m, request, "the update is \"hand\", with {\"action\":...}");
    int rc = 0;
    if (good)
        rc = temporal_fold_feed(f, FLOW_HAND, 0, f->now_ms, steal(&hand), &k->e);
    if (rc == E_INVALID || rc == E_NOTFOUND) { // the run is as before
        val_unref(told);
        told = rejection(m, request, k->e.text);
        good = false;
        rc = 0;
    }
    if (good) {
        struct val *done = response(f, m, request);
        k->first = val_push(k->first, by_message(told));
        k->messages = val_push(k->messages, told);
        k->first = val_push(k->first, by_message(done));
        k->messages = val_push(k->messages, done);
    } else
        k->messages = val_push(k->messages, told);
    return rc;
}

// ---- completing ---------------------------------------------------------------------------------

static void complete(struct task *k)
{
    struct temporal *t = k->t;
    struct temporal_fold *f = k->flow->fold;
    const struct val *q = val_get_cstr(k->answer, "query");
    bool closes;
    if (q) {
        answer_query(k, q);
        return;
    }
    struct val *r = temporal_request(t);
    r = val_put_cstr(r, "taskToken", val_ref(val_get_cstr(k->answer, "taskToken")));
    r = val_put_cstr(r, "commands", temporal_commands(t, f, steal(&k->first), &closes));
    if (val_len(k->messages))
        r = val_put_cstr(r, "messages", steal(&k->messages));
    struct val *results = answer_queries(k);
    if (val_len(results))
        r = val_put_cstr(r, "queryResults", results);
    else
        val_unref(results);
    if (!closes) {
        struct val *queue = val_put_cstr(temporal_name("name", t->sticky), "kind",
                                         val_cstr("TASK_QUEUE_KIND_STICKY"));
        queue = val_put_cstr(queue, "normalName", val_cstr(t->queue));
        struct val *s = val_put_cstr(val_obj(), "workerTaskQueue", queue);
        r = val_put_cstr(r, "stickyAttributes", temporal_put_ms(s, "scheduleToStartTimeout", 5000));
    } else
        k->flow->gone = true;
    r = val_put_cstr(r, "returnNewWorkflowTask", val_bool(!closes));
    r = val_put_cstr(r, "workerVersionStamp", temporal_name("buildId", t->build_id));
    temporal_deployment(t, &r);
    if (t->deployment)
        r = val_put_cstr(r, "versioningBehavior", val_cstr("VERSIONING_BEHAVIOR_AUTO_UPGRADE"));
    (void)temporal_call(t, "RespondWorkflowTaskCompleted", r, TEMPORAL_CALL_MS, on_told, k);
}

// ---- answers ------------------------------------------------------------------------------------

static void add_mark(struct task *k, const char *name, uint64_t id, const char *member,
                     const struct val *v)
{
    struct val *m = val_put_cstr(val_obj(), "id", val_int((int64_t)id));
    m = val_put_cstr(m, member, val_ref((struct val *)(uintptr_t)v));
    k->first = val_push(k->first, temporal_mark(name, m));
}

static void on_evaluated(struct expr_req *r, int status, struct bytes result, const struct err *e)
{
    struct task *k = r->user;
    struct temporal_fold *f = k->flow->fold;
    const struct flow_event *c = temporal_fold_next(f);
    struct val *d = val_obj(), *out = NULL;
    k->evaluates = false;
    if (k->dead || !c) {
        val_unref(d);
        task_free(k);
        return;
    }
    if (!status)
        status = val_parse(&out, result, NULL);
    if (!status)
        d = val_put_cstr(d, "out", out);
    else
        d = val_put_cstr(
            d, "error",
            temporal_problem_new("expression", 400, "Expression Error", e ? e->text : "not JSON"));
    k->t->stats.evals++;
    add_mark(k, TEMPORAL_MARK_EVAL, c->id, "data", d);
    int rc = temporal_fold_answer(f, FLOW_EVALUATED, d, &k->e);
    if (rc)
        task_fail(k, rc);
    else
        go_on(k);
}

static int evaluate(struct task *k, const struct flow_event *c)
{
    if (!k->t->args.expr)
        return err_set(&k->e, E_UNAVAILABLE, "no engine for jq expressions here");
    buf_clear(&k->input);
    buf_clear(&k->vars);
    (void)val_write(&k->input, val_get_cstr(c->data, "input"));
    (void)val_write(&k->vars, val_get_cstr(c->data, "vars"));
    k->eval = (struct expr_req){.program = temporal_str(c->data, "program"),
                                .input = buf_bytes(&k->input),
                                .vars = buf_bytes(&k->vars),
                                .now_ms = val_i64(val_get_cstr(c->data, "now"), c->at_ms),
                                .done = on_evaluated,
                                .user = k};
    int rc = k->input.failed ? k->input.failed : k->vars.failed;
    if (!rc)
        rc = expr_run(k->t->args.expr, &k->eval, &k->e);
    if (!rc)
        k->evaluates = true;
    return rc;
}

// The child's document, or its failure.
static int find_child(struct task *k, const struct flow_event *c)
{
    struct temporal_fold *f = k->flow->fold;
    struct temporal *t = k->t;
    struct buf bundle;
    struct err e = {0};
    buf_init(&bundle, TEMPORAL_BYTES_MAX);
    struct bytes space = temporal_str(c->data, "namespace");
    struct bytes version = temporal_str(c->data, "version");
    if (bytes_is(version, "latest"))
        version = BYTES_NONE;
    int rc = !t->args.document
                 ? err_set(&e, E_NOTFOUND, "no documents are registered here")
                 : t->args.document(t->args.user, space.n ? space : BYTES("default"),
                                    temporal_str(c->data, "name"), version, &bundle, &e);
    if (rc) {
        struct val *p =
            temporal_problem_new("configuration", 404,
                                 rc == E_NOTFOUND ? "The flow's document is not registered"
                                                  : "The flow's document cannot be read",
                                 e.text);
        add_mark(k, TEMPORAL_MARK_CHILD, c->id, "error", p);
        for (size_t i = 0; i < f->todo_count; i++)
            if (f->todo[i].id == c->id && f->todo[i].type == FLOW_CHILD) {
                flow_event_fini(&f->todo[i]);
                memmove(&f->todo[i], &f->todo[i + 1], (--f->todo_count - i) * sizeof *f->todo);
                break;
            }
        rc = temporal_fold_answer(f, FLOW_FAILED, val_put_cstr(val_obj(), "error", p), &k->e);
    } else {
        for (size_t i = 0; i < f->todo_count; i++)
            if (f->todo[i].id == c->id && f->todo[i].type == FLOW_CHILD)
                f->todo[i].data =
                    val_put_cstr(f->todo[i].data, "bundle", val_str(buf_bytes(&bundle)));
        temporal_fold_pass(f);
    }
    buf_fini(&bundle);
    return rc;
}

static void on_later(struct timer *timer)
{
    struct task *k = timer->user;
    k->waits = false;
    int rc = temporal_fold_answer(k->flow->fold, FLOW_TICK, NULL, &k->e);
    if (rc)
        task_fail(k, rc);
    else
        go_on(k);
}

// 0: go on; 1: an answer will come; E_*.
static int answer_next(struct task *k)
{
    const struct flow_event *c = temporal_fold_next(k->flow->fold);
    int rc = 0;
    if (!c)
        return 0;
    if (c->type == FLOW_CHILD)
        return find_child(k, c);
    if (c->type == FLOW_EVAL && k->at && k->flow->fold->replays)
        return err_set(&k->e, E_CONFLICT, "event %llu: an evaluation is not in the history",
                       (unsigned long long)k->flow->fold->last);
    if (c->type == FLOW_EVAL) {
        rc = evaluate(k, c);
        return rc ? rc : 1;
    }
    k->waits = true; // others have their turn before a long flow goes on
    rc = timer_start(k->t->args.timers, &k->later, 0);
    return rc ? rc : 1;
}

static int begin(struct task *k)
{
    struct temporal_fold *f = k->flow->fold;
    struct temporal *t = k->t;
    struct buf bundle;
    int rc;
    if (!t->args.document)
        return err_set(&k->e, E_INVALID, "the start has no document, and none is registered here");
    buf_init(&bundle, TEMPORAL_BYTES_MAX);
    AUTO(val) name = val_ref(val_get_cstr(f->need, "name"));
    rc = t->args.document(t->args.user, BYTES("default"), val_bytes(name), BYTES(""), &bundle,
                          &k->e);
    if (!rc) {
        AUTO(val) text = val_str(buf_bytes(&bundle));
        struct val *m = val_put_cstr(val_obj(), "bundle", text ? val_ref(text) : NULL);
        k->first = val_push(k->first, temporal_mark(TEMPORAL_MARK_START, m));
        rc = temporal_fold_begin(f, buf_bytes(&bundle), &k->e);
    }
    buf_fini(&bundle);
    return rc;
}

static int step(struct task *k, bool *ret_more)
{
    struct temporal_fold *f = k->flow->fold;
    const struct val *messages = val_get_cstr(k->answer, "messages");
    *ret_more = true;
    if (temporal_fold_next(f))
        return answer_next(k);
    if (k->at < val_len(k->events)) {
        const struct val *ev = val_at(k->events, k->at++);
        f->replays = temporal_u64(val_get_cstr(ev, "eventId")) <= k->replayed;
        int rc = temporal_fold_event(f, ev, &k->e);
        if (rc == 1 && f->need && !f->flow)
            rc = begin(k);
        return rc == 1 ? 0 : rc;
    }
    f->replays = false;
    if (k->update_at < val_len(messages) && f->flow)
        return update(k, val_at(messages, k->update_at++));
    *ret_more = false;
    return 0;
}

static void go_on(struct task *k)
{
    bool more = true;
    int rc = 0;
    while (more && !rc)
        rc = step(k, &more);
    if (rc == 1)
        return;
    if (rc && (k->flow->fold->flow == NULL || rc == E_UNSUPPORTED) && rc != E_NOMEM &&
        rc != E_CONFLICT)
        task_refuse(k);
    else if (rc)
        task_fail(k, rc);
    else if (!k->flow->fold->flow) {
        (void)err_set(&k->e, E_INVALID, "the history does not begin with a start");
        task_fail(k, E_INVALID);
    } else if (!k->first || !k->messages) {
        (void)err_set(&k->e, E_NOMEM, "no memory for a task");
        task_fail(k, E_NOMEM);
    } else
        complete(k);
}

// ---- a task begins ------------------------------------------------------------------------------

static void fold_news(struct task *k, struct val *events)
{
    struct temporal *t = k->t;
    const struct val *ex = val_get_cstr(k->answer, "workflowExecution");
    val_unref(k->events);
    k->events = val_ref(events);
    if (!k->flow) {
        k->flow = flow_new(t, temporal_str(ex, "workflowId"), temporal_str(ex, "runId"), &k->e);
        t->stats.replays += k->replayed > 0;
        if (k->flow && temporal_fold_marks(k->flow->fold, events, &k->e)) {
            temporal_flow_drop(t, k->flow);
            k->flow = NULL;
        }
    }
    if (!k->flow) {
        task_fail(k, E_NOMEM);
        return;
    }
    k->flow->busy = true;
    k->flow->fold->noted = on_note;
    k->flow->fold->noted_user = k;
    list_del(&k->flow->link);
    list_add_tail(&t->lru, &k->flow->link);
    go_on(k);
}

static void on_events(void *user, int status, struct val *events, const struct err *e)
{
    struct task *k = user;
    if (status) {
        k->e = *e;
        task_fail(k, status);
        return;
    }
    fold_news(k, events);
}

void temporal_task(struct temporal *t, struct val *answer)
{
    struct task *k = mem_new(struct task);
    const struct val *ex = val_get_cstr(answer, "workflowExecution");
    struct val *events = val_get_cstr(val_get_cstr(answer, "history"), "events");
    struct bytes run = temporal_str(ex, "runId");
    if (!k) {
        val_unref(answer); // the server gives it again when its time is over
        return;
    }
    t->stats.workflow_tasks++;
    k->t = t;
    k->answer = answer;
    k->later = (struct timer){.fn = on_later, .user = k};
    k->replayed = temporal_u64(val_get_cstr(answer, "previousStartedEventId"));
    k->first = val_arr();
    k->messages = val_arr();
    k->lifecycle = val_arr();
    k->notes = t->args.changed ? mem_array(NOTES_MAX, sizeof *k->notes) : NULL;
    k->note_cap = k->notes ? NOTES_MAX : 0;
    buf_init(&k->input, TEMPORAL_BYTES_MAX);
    buf_init(&k->vars, TEMPORAL_BYTES_MAX);
    list_add_tail(&t->tasks, &k->link);
    struct temporal_flow *f = map_get(t->flows, run);
    uint64_t from = temporal_u64(val_get_cstr(val_at(events, 0), "eventId"));
    bool paged = temporal_str(answer, "nextPageToken").n != 0;
    bool fits = f && !f->busy && (val_len(events) == 0 || from <= f->fold->last + 1);
    if (f && !fits && !f->busy)
        temporal_flow_drop(t, f);
    if (f && f->busy) { // an older task of it, whose time is over
        (void)map_del(t->flows, run);
        list_del(&f->link);
        list_init(&f->link);
        f->gone = true;
    } else if (fits && !paged) {
        t->stats.sticky_hits++;
        k->flow = f;
        AUTO(val) none = val_arr();
        fold_news(k, events ? events : none);
        return;
    } else if (!f && from == 1 && !paged) {
        fold_news(k, events);
        return;
    } else if (f && fits && paged)
        temporal_flow_drop(t, f);
    temporal_events(t, temporal_str(ex, "workflowId"), run, on_events, k);
}

void temporal_tasks_end(struct temporal *t)
{
    list_each_safe (it, &t->tasks) {
        struct task *k = container_of(it, struct task, link);
        k->dead = true;
        if (k->evaluates)
            expr_cancel(t->args.expr, &k->eval);
        else if (k->waits)
            task_free(k);
    }
}
