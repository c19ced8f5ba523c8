// ops.c: flows are started, waited for, signalled; people's hands.
// SPDX-License-Identifier: Apache-2.0
#include "temporal/temporal_priv.h"

#include "base/rng.h"

#include <string.h>

#define TASK_MS 10000 // of a workflow task, as is Temporal's own default
#define WAIT_MS 60000 // of one long poll

// ---- an operation -------------------------------------------------------------------------------

static void on_limit(struct timer *timer)
{
    struct temporal_op *o = timer->user;
    struct runs_req *r = o->r;
    if (!r)
        return;
    AUTO(val) v = val_put_cstr(temporal_name("id", o->id), "status", val_cstr("running"));
    struct buf b;
    buf_init(&b, 4096);
    (void)val_write(&b, v);
    o->r = NULL; // its call ends by itself
    r->priv = NULL;
    r->done(r, b.failed, buf_bytes(&b), NULL);
    buf_fini(&b);
}

struct temporal_op *temporal_op_new(struct temporal *t, struct bytes id, struct runs_req *r)
{
    struct temporal_op *o = mem_new(struct temporal_op);
    if (o)
        o->id = mem_dup(id.p ? id.p : "", id.n);
    if (!o || !o->id) {
        mem_free(o);
        return NULL;
    }
    o->t = t;
    o->r = r;
    o->limit = (struct timer){.fn = on_limit, .user = o};
    r->priv = o;
    list_add_tail(&t->ops, &o->link);
    return o;
}

static void op_free(struct temporal_op *o)
{
    struct temporal *t = o->t;
    timer_stop(t->args.timers, &o->limit);
    list_del(&o->link);
    val_unref(o->request);
    mem_free(o->id);
    mem_free(o->run);
    mem_free(o);
    temporal_quiet(t);
}

void temporal_op_text(struct temporal_op *o, struct buf *json)
{
    struct runs_req *r = o->r;
    struct err e = {0};
    int rc = json->failed ? err_set(&e, json->failed, "the answer is too large") : 0;
    if (r) {
        r->priv = NULL;
        r->done(r, rc, rc ? BYTES_NONE : buf_bytes(json), rc ? &e : NULL);
    }
    op_free(o);
}

void temporal_op_end(struct temporal_op *o, int status, const struct err *e, const struct val *v)
{
    struct runs_req *r = o->r;
    struct buf b;
    if (!status) {
        buf_init(&b, TEMPORAL_BYTES_MAX);
        (void)val_write(&b, v);
        temporal_op_text(o, &b);
        buf_fini(&b);
        return;
    }
    if (r) {
        r->priv = NULL;
        r->done(r, status, BYTES_NONE, e);
    }
    op_free(o);
}

void temporal_cancel(struct temporal *t, struct runs_req *r)
{
    struct temporal_op *o = r->priv;
    struct err e = {0};
    (void)t;
    if (!o || !o->r)
        return;
    o->r = NULL;
    r->priv = NULL;
    (void)err_set(&e, E_CANCELLED, "the asker left");
    r->done(r, E_CANCELLED, BYTES_NONE, &e);
}

static void on_refused(struct timer *timer)
{
    struct temporal_op *o = timer->user;
    struct err e = {0};
    AUTO(val) v = val_obj();
    int status = (int)(int64_t)o->taken;
    if (status)
        (void)err_set(&e, status, "%s", val_text(o->request, ""));
    temporal_op_end(o, status, &e, v);
}

void temporal_op_refuse(struct temporal_op *o, int status, const struct err *e)
{
    val_unref(o->request);
    o->request = val_cstr(e->text);
    o->taken = (uint64_t)(int64_t)status;
    o->limit = (struct timer){.fn = on_refused, .user = o};
    (void)timer_start(o->t->args.timers, &o->limit, 0);
}

static void answer_status(struct temporal_op *o, const char *status)
{
    AUTO(val) v = val_put_cstr(temporal_name("id", o->id), "status", val_cstr(status));
    temporal_op_end(o, 0, NULL, v);
}

// ---- waiting for the end ------------------------------------------------------------------------

static struct val *ended(const struct temporal_op *o, const struct val *event)
{
    const struct val *at;
    struct val *v = temporal_name("id", o->id);
    if ((at = val_get_cstr(event, "workflowExecutionCompletedEventAttributes"))) {
        struct val *out = temporal_payload_of(val_get_cstr(at, "result"), 0);
        v = val_put_cstr(v, "status", val_cstr("completed"));
        return val_put_cstr(v, "output", out ? out : val_null());
    }
    if ((at = val_get_cstr(event, "workflowExecutionFailedEventAttributes"))) {
        v = val_put_cstr(v, "status", val_cstr("faulted"));
        return val_put_cstr(v, "error", temporal_problem(val_get_cstr(at, "failure")));
    }
    if (val_get_cstr(event, "workflowExecutionCanceledEventAttributes"))
        return val_put_cstr(v, "status", val_cstr("cancelled"));
    if (val_get_cstr(event, "workflowExecutionTerminatedEventAttributes"))
        return val_put_cstr(v, "status", val_cstr("terminated"));
    v = val_put_cstr(v, "status", val_cstr("faulted"));
    return val_put_cstr(v, "error", temporal_problem_new("timeout", 408, "Timeout", NULL));
}

static void on_close_event(void *user, int status, struct val *answer, const struct err *e)
{
    struct temporal_op *o = user;
    const struct val *events = val_get_cstr(val_get_cstr(answer, "history"), "events");
    const struct val *event = val_at(events, val_len(events) ? val_len(events) - 1 : 0);
    if (!o->r) { // the asker left, or its time was over
        temporal_op_end(o, E_CANCELLED, NULL, NULL);
        return;
    }
    if (status && status != E_TIMEOUT && status != E_UNAVAILABLE) {
        temporal_op_end(o, status, e, NULL);
        return;
    }
    const struct val *rolled =
        val_get_cstr(event, "workflowExecutionContinuedAsNewEventAttributes");
    if (rolled) {
        struct bytes run = temporal_str(rolled, "newExecutionRunId");
        mem_free(o->run);
        o->run = mem_dup(run.p, run.n);
    }
    if (status || !event || rolled) {
        temporal_op_wait(o);
        return;
    }
    AUTO(val) v = ended(o, event);
    temporal_op_end(o, 0, NULL, v);
}

void temporal_op_wait(struct temporal_op *o)
{
    struct val *r = temporal_bare(o->t);
    r = val_put_cstr(r, "execution", temporal_execution(bytes_of(o->id), bytes_of(o->run)));
    r = val_put_cstr(r, "waitNewEvent", val_bool(true));
    r = val_put_cstr(r, "historyEventFilterType",
                     val_cstr("HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT"));
    (void)temporal_call(o->t, "GetWorkflowExecutionHistory", r, WAIT_MS, on_close_event, o);
}

// ---- starting -----------------------------------------------------------------------------------

static void on_started(void *user, int status, struct val *answer, const struct err *e)
{
    struct temporal_op *o = user;
    struct bytes run = temporal_str(answer, "runId");
    if (temporal_attributes_gone(o->t, status, e)) { // it goes without
        o->request = val_del(o->request, BYTES("searchAttributes"));
        (void)temporal_call(o->t, "StartWorkflowExecution", val_ref(o->request), TEMPORAL_CALL_MS,
                            on_started, o);
    } else if (status)
        temporal_op_end(o, status, e, NULL);
    else if (!o->waits)
        answer_status(o, "running");
    else {
        o->run = mem_dup(run.p, run.n);
        temporal_op_wait(o);
    }
}

static int find_document(struct temporal *t, const struct runs_start *a, struct buf *out,
                         struct err *e)
{
    if (a->document.n)
        return buf_put(out, a->document) ? err_set(e, E_TOOBIG, "the document is too large") : 0;
    if (!t->args.document)
        return err_set(e, E_NOTFOUND, "no documents are registered here");
    return t->args.document(t->args.user, a->namespace, a->name, a->version, out, e);
}

static struct bytes label_of(const struct flow_about *about, const struct runs_start *a)
{
    struct bytes own = val_bytes(val_ptr(about->metadata, BYTES("/plexus/label")));
    return a->label.n ? a->label : own.n ? own : a->label_otherwise;
}

static struct val *start_request(struct temporal *t, const struct runs_start *a,
                                 const struct flow_about *about, const char *id)
{
    char request[RNG_ID_LEN + 1];
    struct bytes bundle = about->bundle.n ? about->bundle : about->text;
    struct val *meta = val_put_cstr(val_obj(), "bundle", val_str(bundle));
    meta = val_put_cstr(meta, "decider", val_int(FLOW_DECIDER_VERSION));
    if (a->by.n)
        meta = val_put_cstr(meta, "by", val_str(a->by));
    if (label_of(about, a).n)
        meta = val_put_cstr(meta, "label", val_str(label_of(about, a)));
    struct val *input = a->input ? val_ref((struct val *)(uintptr_t)a->input) : val_obj();
    rng_id(request);
    struct val *r = temporal_request(t);
    r = val_put_cstr(r, "workflowId", val_cstr(id));
    r = val_put_cstr(r, "workflowType", temporal_name("name", about->name));
    r = val_put_cstr(r, "taskQueue", temporal_name("name", t->queue));
    r = val_put_cstr(r, "memo", temporal_memo(about, meta));
    r = temporal_attributes(t, r, about, meta);
    r = val_put_cstr(r, "input", temporal_payloads(input, meta));
    r = temporal_put_ms(r, "workflowTaskTimeout", TASK_MS);
    r = val_put_cstr(r, "requestId", val_cstr(request));
    r = val_put_cstr(r, "workflowIdReusePolicy",
                     val_cstr("WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE"));
    if (*about->title || *about->summary) {
        AUTO(val) text = val_cstr(*about->title ? about->title : about->summary);
        r = val_put_cstr(r, "userMetadata",
                         val_put_cstr(val_obj(), "summary", temporal_payload(text)));
    }
    return r;
}

void temporal_no_memory(struct runs_req *r)
{
    struct err e = {0};
    (void)err_set(&e, E_NOMEM, "no memory for an operation"); // at once: there is no other way
    r->done(r, E_NOMEM, BYTES_NONE, &e);
}

void temporal_start(struct temporal *t, const struct runs_start *a, struct runs_req *r)
{
    char made[RNG_ID_LEN + 1];
    struct flow_plan *plan = NULL;
    struct flow_about about;
    struct buf text;
    struct err e = {0};
    rng_id(made);
    struct temporal_op *o = temporal_op_new(t, a->id.n ? a->id : bytes_of(made), r);
    if (!o) {
        temporal_no_memory(r);
        return;
    }
    buf_init(&text, TEMPORAL_BYTES_MAX);
    int rc = find_document(t, a, &text, &e);
    if (!rc)
        rc = flow_plan_new(&plan, buf_bytes(&text), NULL, &e);
    if (rc == 1)
        rc = err_set(&e, E_INVALID, "the document needs others: give a bundle");
    buf_fini(&text);
    if (!rc) {
        flow_plan_about(plan, &about);
        rc = a->may ? a->may(a->may_user, label_of(&about, a), &e) : 0;
    }
    if (rc) {
        flow_plan_unref(plan);
        temporal_op_refuse(o, rc, &e);
        return;
    }
    o->waits = a->wait;
    if (a->wait && a->wait_ms > 0 && a->wait_ms != TIME_NEVER)
        (void)timer_start(t->args.timers, &o->limit, a->wait_ms);
    o->request = start_request(t, a, &about, o->id);
    (void)temporal_call(t, "StartWorkflowExecution", val_ref(o->request), TEMPORAL_CALL_MS,
                        on_started, o);
    flow_plan_unref(plan);
}

// ---- signals, hands -----------------------------------------------------------------------------

static void on_done(void *user, int status, struct val *answer, const struct err *e)
{
    struct temporal_op *o = user;
    struct err own = {0};
    (void)answer;
    if (status == E_NOTFOUND && strstr(e->text, "already completed")) {
        status = err_set(&own, E_CONFLICT, "flow %s has ended", o->id);
        e = &own;
    }
    if (status)
        temporal_op_end(o, status, e, NULL);
    else
        answer_status(o, "running");
}

static struct val *to_execution(struct temporal_op *o, const char *key)
{
    return val_put_cstr(temporal_request(o->t), key,
                        temporal_execution(bytes_of(o->id), BYTES_NONE));
}

static void signal_with(struct temporal_op *o, struct bytes name, struct val *takes_v)
{
    char id[RNG_ID_LEN + 1];
    rng_id(id);
    struct val *r = to_execution(o, "workflowExecution");
    r = val_put_cstr(r, "signalName", val_str(name));
    r = val_put_cstr(r, "input", temporal_payloads(takes_v, NULL));
    r = val_put_cstr(r, "requestId", val_cstr(id));
    (void)temporal_call(o->t, "SignalWorkflowExecution", r, TEMPORAL_CALL_MS, on_done, o);
}

void temporal_signal(struct temporal *t, struct bytes id, const struct val *cloudevent,
                     struct runs_req *r)
{
    struct temporal_op *o = temporal_op_new(t, id, r);
    if (!o) {
        temporal_no_memory(r);
        return;
    }
    signal_with(o, temporal_str(cloudevent, "type"), val_ref((struct val *)(uintptr_t)cloudevent));
}

static struct val *hand_value(const struct runs_hand *h)
{
    struct val *v = val_put_cstr(val_obj(), "action", val_str(h->action));
    if (h->task.n)
        v = val_put_cstr(v, "task", val_str(h->task));
    if (h->by.n)
        v = val_put_cstr(v, "by", val_str(h->by));
    if (h->reason.n)
        v = val_put_cstr(v, "reason", val_str(h->reason));
    if (h->has_input)
        v = val_put_cstr(v, "input", val_ref((struct val *)(uintptr_t)h->input));
    if (h->has_output)
        v = val_put_cstr(v, "output", val_ref((struct val *)(uintptr_t)h->output));
    return v;
}

// Temporal takes a cancellation of what has ended without a word.
static void on_open(void *user, int status, struct val *answer, const struct err *e)
{
    struct temporal_op *o = user;
    struct err own = {0};
    bool open = true;
    if (!status)
        (void)temporal_status(val_get_cstr(answer, "workflowExecutionInfo"), &open);
    if (!open) {
        status = err_set(&own, E_CONFLICT, "flow %s has ended", o->id);
        e = &own;
    }
    if (status) {
        on_done(o, status, NULL, e);
        return;
    }
    struct val *q = val_put_cstr(to_execution(o, "workflowExecution"), "reason",
                                 val_ref(val_get_cstr(o->request, "reason")));
    (void)temporal_call(o->t, "RequestCancelWorkflowExecution", q, TEMPORAL_CALL_MS, on_done, o);
}

static void on_reset(void *user, int status, struct val *events, const struct err *e)
{
    struct temporal_op *o = user;
    char id[RNG_ID_LEN + 1];
    uint64_t at = 0;
    struct err own = {0};
    if (status) {
        temporal_op_end(o, status, e, NULL);
        return;
    }
    uint64_t to = o->from;
    o->from = 0; // all entries
    to = temporal_entry_event(o, events, to);
    if (!to) {
        (void)err_set(&own, E_INVALID, "reset: the flow's history has no such entry");
        temporal_op_end(o, E_INVALID, &own, NULL);
        return;
    }
    // The end of the workflow task that gave the entry's commands.
    for (size_t i = 0; i < val_len(events) && (!at || at < to); i++)
        if (val_get_cstr(val_at(events, i), "workflowTaskCompletedEventAttributes"))
            at = temporal_u64(val_get_cstr(val_at(events, i), "eventId"));
    if (!at) {
        (void)err_set(&own, E_INVALID, "flow %s has done nothing yet", o->id);
        temporal_op_end(o, E_INVALID, &own, NULL);
        return;
    }
    rng_id(id);
    struct val *r = to_execution(o, "workflowExecution");
    r = val_put_cstr(r, "workflowTaskFinishEventId", val_int((int64_t)at));
    r = val_put_cstr(r, "requestId", val_cstr(id));
    r = val_put_cstr(r, "reason", val_ref(val_get_cstr(o->request, "reason")));
    (void)temporal_call(o->t, "ResetWorkflowExecution", val_del(r, BYTES("identity")),
                        TEMPORAL_CALL_MS, on_done, o);
}

void temporal_hand(struct temporal *t, const struct runs_hand *h, struct runs_req *r)
{
    struct temporal_op *o = temporal_op_new(t, h->id, r);
    if (!o) {
        temporal_no_memory(r);
        return;
    }
    struct buf why;
    buf_init(&why, 1024);
    (void)buf_fmt(&why, "%.*s%s%.*s", BYTES_FMT(bytes_first(h->reason, 500)), h->by.n ? " by " : "",
                  BYTES_FMT(bytes_first(h->by, 200)));
    struct val *reason = val_str(buf_bytes(&why));
    buf_fini(&why);
    if (bytes_is(h->action, "terminate")) {
        struct val *q = val_put_cstr(to_execution(o, "workflowExecution"), "reason", reason);
        (void)temporal_call(t, "TerminateWorkflowExecution", q, TEMPORAL_CALL_MS, on_done, o);
    } else if (bytes_is(h->action, "cancel")) {
        o->request = val_put_cstr(val_obj(), "reason", reason);
        struct val *q =
            val_put_cstr(temporal_bare(t), "execution", temporal_execution(h->id, BYTES_NONE));
        (void)temporal_call(t, "DescribeWorkflowExecution", q, TEMPORAL_CALL_MS, on_open, o);
    } else if (bytes_is(h->action, "reset")) {
        o->from = h->to;
        o->request = val_put_cstr(val_obj(), "reason", reason);
        temporal_events(t, h->id, BYTES_NONE, on_reset, o);
    } else {
        val_unref(reason);
        signal_with(o, BYTES(TEMPORAL_HAND), hand_value(h));
    }
}
