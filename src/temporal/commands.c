// commands.c: what the decider wants, as Temporal's commands.
// SPDX-License-Identifier: Apache-2.0
#include "temporal/temporal_priv.h"

#include <stdio.h>
#include <string.h>

#define YEAR_MS (365LL * 86400000)
#define TASK_MS 10000 // of a workflow task, as is Temporal's own default

static struct val *id_text(uint64_t id)
{
    char t[24];
    (void)snprintf(t, sizeof t, "%llu", (unsigned long long)id);
    return val_cstr(t);
}

static struct val *command(const char *type, const char *attributes, struct val *takes_a)
{
    struct val *c = val_put_cstr(val_obj(), "commandType", val_cstr(type));
    return val_put_cstr(c, attributes, takes_a);
}

// For people, in Temporal's UI.
static struct val *summary(struct val *takes_command, const char *text)
{
    AUTO(val) v = val_cstr(text);
    if (!v || !*text)
        return takes_command;
    return val_put_cstr(takes_command, "userMetadata",
                        val_put_cstr(val_obj(), "summary", temporal_payload(v)));
}

static struct val *ref(const struct val *v)
{
    return v ? val_ref((struct val *)(uintptr_t)v) : val_null();
}

// ---- activities ---------------------------------------------------------------------------------

// What the one who does it needs beside the arguments.
static struct val *header(const struct temporal_fold *f, const struct flow_event *c)
{
    static const char *const keys[] = {"task", "name", "attempt", "label", "timeout_ms"};
    struct val *h = val_put_cstr(val_obj(), "run", val_cstr(f->workflow));
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (val_get_cstr(c->data, keys[i]))
            h = val_put_cstr(h, keys[i], val_ref(val_get_cstr(c->data, keys[i])));
    AUTO(val) own = h;
    return val_put_cstr(val_obj(), "fields",
                        val_put_cstr(val_obj(), "plexus", temporal_payload(own)));
}

// Failures of its own are final (the flow's retries decide); the server starts it again only when
// its worker is gone.
static struct val *retry_policy(void)
{
    struct val *p = temporal_put_ms(val_obj(), "initialInterval", 1000);
    p = val_put_cstr(p, "backoffCoefficient", val_num(2));
    return temporal_put_ms(p, "maximumInterval", 30000);
}

static struct val *act(struct temporal *t, const struct temporal_fold *f,
                       const struct flow_event *c)
{
    int64_t ms = val_i64(val_get_cstr(c->data, "timeout_ms"), 0);
    const char *queue = val_text(val_get_cstr(c->data, "queue"), t->queue);
    struct val *a = val_put_cstr(val_obj(), "activityId", id_text(c->id));
    a = val_put_cstr(a, "activityType",
                     temporal_name("name", val_text(val_get_cstr(c->data, "kind"), "")));
    a = val_put_cstr(a, "taskQueue", temporal_name("name", queue));
    a = val_put_cstr(a, "header", header(f, c));
    a = val_put_cstr(a, "input", temporal_payloads(ref(val_get_cstr(c->data, "args")), NULL));
    if (ms > 0)
        a = temporal_put_ms(a, "scheduleToCloseTimeout", ms);
    int64_t start_ms = val_i64(val_get_cstr(c->data, "start_ms"), 0);
    if (start_ms > 0)
        a = temporal_put_ms(a, "scheduleToStartTimeout", start_ms);
    a = temporal_put_ms(a, "startToCloseTimeout", ms > 0 ? ms : YEAR_MS);
    a = temporal_put_ms(a, "heartbeatTimeout", t->args.heartbeat_ms);
    a = val_put_cstr(a, "retryPolicy", retry_policy());
    return summary(
        command("COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK", "scheduleActivityTaskCommandAttributes", a),
        val_text(val_get_cstr(c->data, "name"), ""));
}

// ---- the others ---------------------------------------------------------------------------------

static struct val *timer(const struct temporal_fold *f, const struct flow_event *c)
{
    int64_t ms = val_i64(val_get_cstr(c->data, "due"), 0) - f->now_ms;
    struct val *a = val_put_cstr(val_obj(), "timerId", id_text(c->id));
    a = temporal_put_ms(a, "startToFireTimeout", ms > 1 ? ms : 1);
    return summary(command("COMMAND_TYPE_START_TIMER", "startTimerCommandAttributes", a),
                   val_text(val_get_cstr(c->data, "task"), ""));
}

struct val *temporal_memo(const struct flow_about *about, const struct val *meta)
{
    static const char *const keys[] = {"by", "label"};
    AUTO(val) m = val_put_cstr(val_obj(), "namespace", val_cstr(about->namespace));
    m = val_put_cstr(steal(&m), "version", val_cstr(about->version));
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (val_get_cstr(meta, keys[i]))
            m = val_put_cstr(steal(&m), keys[i], val_ref(val_get_cstr(meta, keys[i])));
    return val_put_cstr(val_obj(), "fields", val_put_cstr(val_obj(), "flow", temporal_payload(m)));
}

// The document was found before (tasks.c) and stands in data.
static struct val *child(struct temporal *t, const struct temporal_fold *f,
                         const struct flow_event *c)
{
    char id[1024], number[24];
    bool await = val_bool_of(val_get_cstr(c->data, "await"), true);
    (void)snprintf(number, sizeof number, "%llu", (unsigned long long)c->id);
    (void)snprintf(id, sizeof id, "%.900s/%s", f->workflow, number);
    struct val *parent = val_put_cstr(val_obj(), "run", val_cstr(f->workflow));
    parent = val_put_cstr(parent, "id", val_int((int64_t)c->id));
    struct val *meta = val_put_cstr(val_obj(), "bundle", ref(val_get_cstr(c->data, "bundle")));
    meta = val_put_cstr(meta, "decider", val_int(FLOW_DECIDER_VERSION));
    meta = val_put_cstr(meta, "parent", parent);
    AUTO(flow_plan) plan = NULL;
    struct flow_about about = {0};
    if (flow_plan_new(&plan, temporal_str(meta, "bundle"), NULL, NULL) == 0)
        flow_plan_about(plan, &about);
    const struct val *label = val_get_cstr(f->meta, "label");
    label = label ? label : val_ptr(about.metadata, BYTES("/plexus/label"));
    if (val_is(label, JSON_STR))
        meta = val_put_cstr(meta, "label", ref(label));
    struct val *a = val_put_cstr(val_obj(), "namespace", val_cstr(t->namespace));
    if (plan) {
        a = val_put_cstr(a, "memo", temporal_memo(&about, meta));
        a = temporal_attributes(t, a, &about, meta);
    }
    a = val_put_cstr(a, "workflowId", val_cstr(id));
    a = val_put_cstr(a, "workflowType",
                     temporal_name("name", val_text(val_get_cstr(c->data, "name"), "")));
    a = val_put_cstr(a, "taskQueue", temporal_name("name", t->queue));
    a = val_put_cstr(a, "input", temporal_payloads(ref(val_get_cstr(c->data, "input")), meta));
    a = temporal_put_ms(a, "workflowTaskTimeout", TASK_MS);
    a = val_put_cstr(
        a, "parentClosePolicy",
        val_cstr(await ? "PARENT_CLOSE_POLICY_REQUEST_CANCEL" : "PARENT_CLOSE_POLICY_ABANDON"));
    a = val_put_cstr(a, "workflowIdReusePolicy",
                     val_cstr("WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE"));
    return command("COMMAND_TYPE_START_CHILD_WORKFLOW_EXECUTION",
                   "startChildWorkflowExecutionCommandAttributes", a);
}

static struct val *cancel(struct temporal *t, const struct temporal_fold *f,
                          const struct flow_event *c)
{
    struct bytes was = temporal_str(c->data, "was");
    char id[1024];
    if (bytes_is(was, "act"))
        return command(
            "COMMAND_TYPE_REQUEST_CANCEL_ACTIVITY_TASK",
            "requestCancelActivityTaskCommandAttributes",
            val_put_cstr(val_obj(), "scheduledEventId", ref(val_get_cstr(c->data, "event"))));
    if (bytes_is(was, "timer"))
        return command("COMMAND_TYPE_CANCEL_TIMER", "cancelTimerCommandAttributes",
                       val_put_cstr(val_obj(), "timerId", id_text(c->id)));
    (void)snprintf(id, sizeof id, "%.900s/%llu", f->workflow, (unsigned long long)c->id);
    struct val *a = val_put_cstr(val_obj(), "namespace", val_cstr(t->namespace));
    a = val_put_cstr(a, "workflowId", val_cstr(id));
    a = val_put_cstr(a, "childWorkflowOnly", val_bool(true));
    return command("COMMAND_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION",
                   "requestCancelExternalWorkflowExecutionCommandAttributes", a);
}

struct val *temporal_mark(const char *name, struct val *takes_v)
{
    struct val *a = val_put_cstr(val_obj(), "markerName", val_cstr(name));
    a = val_put_cstr(
        a, "details",
        val_put_cstr(val_obj(), "plexus", temporal_payloads(takes_v ? takes_v : val_null(), NULL)));
    return command("COMMAND_TYPE_RECORD_MARKER", "recordMarkerCommandAttributes", a);
}

static struct val *finish(const struct temporal_fold *f)
{
    struct bytes status = temporal_str(f->end.data, "status");
    struct val *output = ref(val_get_cstr(f->end.data, "output"));
    if (bytes_is(status, "completed"))
        return command("COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION",
                       "completeWorkflowExecutionCommandAttributes",
                       val_put_cstr(val_obj(), "result", temporal_payloads(output, NULL)));
    val_unref(output);
    if (bytes_is(status, "cancelled"))
        return command("COMMAND_TYPE_CANCEL_WORKFLOW_EXECUTION",
                       "cancelWorkflowExecutionCommandAttributes", val_obj());
    struct val *error = val_get_cstr(f->end.data, "error");
    AUTO(val)
    own = error ? val_ref(error)
                : temporal_problem_new("runtime", 500, "Terminated", "it was terminated");
    return command("COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION", "failWorkflowExecutionCommandAttributes",
                   val_put_cstr(val_obj(), "failure", temporal_failure(own, false)));
}

// ---- what lists show ----------------------------------------------------------------------------

static struct val *listens(const struct temporal_fold *f)
{
    struct val *all = val_arr();
    const struct flow_event *p;
    for (size_t at = 0; flow_run_pending(f->flow, &at, &p);) {
        const struct val *filters =
            p->type == FLOW_LISTEN ? val_get_cstr(p->data, "filters") : NULL;
        for (size_t i = 0; i < val_len(filters); i++)
            all = val_push(all, val_ref(val_at(filters, i)));
    }
    return all;
}

static struct val *memo(struct temporal_fold *f)
{
    static const enum flow_status told[] = {FLOW_SUSPENDED, FLOW_STALLED};
    struct val *m = val_obj(), *heard = listens(f);
    for (size_t i = 0; i < sizeof told / sizeof *told; i++)
        if (flow_run_status(f->flow) == told[i])
            m = val_put_cstr(m, "status", val_cstr(flow_status_name(told[i])));
    if (val_len(heard))
        return val_put_cstr(m, "listens", heard);
    val_unref(heard);
    return m;
}

static struct val *tell_status(const struct temporal *t, struct bytes status, struct val *takes_all)
{
    struct val *searched = temporal_attributes_status(t, status);
    return searched ? val_push(takes_all,
                               command("COMMAND_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES",
                                       "upsertWorkflowSearchAttributesCommandAttributes", searched))
                    : takes_all;
}

static struct val *tell_memo(const struct temporal *t, struct temporal_fold *f,
                             struct val *takes_all)
{
    AUTO(val) m = memo(f);
    if (!m || val_equal(m, f->memo) || (!f->memo && !val_len(m)))
        return takes_all;
    struct val *fields = val_put_cstr(val_obj(), "plexus", temporal_payload(m));
    struct bytes status = temporal_str(m, "status");
    if (!status.n)
        status = val_len(val_get_cstr(m, "listens")) ? BYTES("waiting") : BYTES("running");
    return val_push(tell_status(t, status, takes_all),
                    command("COMMAND_TYPE_MODIFY_WORKFLOW_PROPERTIES",
                            "modifyWorkflowPropertiesCommandAttributes",
                            val_put_cstr(val_obj(), "upsertedMemo",
                                         val_put_cstr(val_obj(), "fields", fields))));
}

// ---- rolling over -------------------------------------------------------------------------------

// What the server does not know of yet goes over with the state and begins there.
static bool under_way(const struct temporal_fold *f)
{
    for (size_t i = 0; i < f->known_count; i++)
        if (f->known[i].type != FLOW_TIMER && f->known[i].event)
            return true;
    return false;
}

static struct val *roll(struct temporal *t, struct temporal_fold *f)
{
    struct flow_about about;
    flow_plan_about(f->plan, &about);
    struct val *meta = f->meta ? val_ref(f->meta) : val_obj();
    meta = val_put_cstr(meta, "bundle", val_str(about.bundle.n ? about.bundle : about.text));
    meta = val_put_cstr(meta, "state", flow_save(f->flow));
    meta = val_put_cstr(meta, "chapter", val_int(val_i64(val_get_cstr(f->meta, "chapter"), 1) + 1));
    struct val *a = val_put_cstr(val_obj(), "workflowType", temporal_name("name", about.name));
    a = val_put_cstr(a, "memo", temporal_memo(&about, meta));
    a = temporal_attributes(t, a, &about, meta);
    a = val_put_cstr(a, "taskQueue", temporal_name("name", t->queue));
    a = val_put_cstr(a, "input", temporal_payloads(ref(f->input), meta));
    a = temporal_put_ms(a, "workflowTaskTimeout", TASK_MS);
    return command("COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION",
                   "continueAsNewWorkflowExecutionCommandAttributes", a);
}

static bool holds(const struct temporal_fold *f) // effects that nobody waits for are still done
{
    if (!bytes_is(temporal_str(f->end.data, "status"), "completed"))
        return false;
    for (size_t i = 0; i < f->known_count; i++)
        if (f->known[i].type == FLOW_ACT || f->known[i].detached)
            return true;
    return false;
}

struct val *temporal_commands(struct temporal *t, struct temporal_fold *f, struct val *takes_first,
                              bool *ret_closes)
{
    struct val *all = takes_first;
    bool rolls = f->suggested && !f->ended && !under_way(f);
    // So long that it must: nothing new begins until what is under way has ended. What is held back
    // here is found again in the state when it rolls over.
    bool holds_back = f->suggested && !f->ended && !rolls && f->last > t->args.events_max;
    *ret_closes = rolls || (f->ended && !holds(f));
    for (size_t i = 0; i < f->todo_count; i++) {
        const struct flow_event *c = &f->todo[i];
        struct val *one = NULL;
        bool begins = c->type == FLOW_ACT || c->type == FLOW_CHILD || c->type == FLOW_TIMER;
        if (begins && (rolls || (holds_back && c->type != FLOW_TIMER)))
            continue;
        if (c->type == FLOW_ACT)
            one = act(t, f, c);
        else if (c->type == FLOW_TIMER && !*ret_closes)
            one = timer(f, c);
        else if (c->type == FLOW_CHILD)
            one = child(t, f, c);
        else if (c->type == FLOW_CANCEL)
            one = cancel(t, f, c);
        else
            continue;
        all = val_push(all, one);
    }
    if (rolls)
        return val_push(all, roll(t, f));
    if (*ret_closes)
        return val_push(tell_status(t, temporal_str(f->end.data, "status"), all), finish(f));
    return tell_memo(t, f, all);
}
