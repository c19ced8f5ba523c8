// ops_show.c: flows are listed, shown, their histories given; events for all who listen.
// SPDX-License-Identifier: Apache-2.0
#include "temporal/temporal_priv.h"

#include "base/rng.h"
#include "base/time.h"

#include <stdio.h>
#include <string.h>

#define PAGE 1000
#define PRUNE_PAGE 200 // removed side by side

// ---- rows ---------------------------------------------------------------------------------------

static const struct {
    const char *temporal, *flow;
} statuses[] = {
    {"WORKFLOW_EXECUTION_STATUS_RUNNING", "running"},
    {"WORKFLOW_EXECUTION_STATUS_COMPLETED", "completed"},
    {"WORKFLOW_EXECUTION_STATUS_FAILED", "faulted"},
    {"WORKFLOW_EXECUTION_STATUS_CANCELED", "cancelled"},
    {"WORKFLOW_EXECUTION_STATUS_TERMINATED", "terminated"},
    {"WORKFLOW_EXECUTION_STATUS_TIMED_OUT", "faulted"},
    {"WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW", "running"},
};
static const struct {
    const char *flow, *query;
} filters[] = {
    {"running", "ExecutionStatus = 'Running'"},
    {"waiting", "ExecutionStatus = 'Running'"},
    {"suspended", "ExecutionStatus = 'Running'"},
    {"stalled", "ExecutionStatus = 'Running'"},
    {"pending", "ExecutionStatus = 'Running'"},
    {"completed", "ExecutionStatus = 'Completed'"},
    {"faulted", "ExecutionStatus IN ('Failed', 'TimedOut')"},
    {"cancelled", "ExecutionStatus = 'Canceled'"},
    {"terminated", "ExecutionStatus = 'Terminated'"},
};

static struct val *memo_of(const struct val *info, const char *name)
{
    const struct val *p = val_get_cstr(val_get_cstr(val_get_cstr(info, "memo"), "fields"), name);
    return p ? temporal_unpack(p) : NULL;
}

const char *temporal_status(const struct val *info, bool *ret_open)
{
    struct bytes said = temporal_str(info, "status");
    AUTO(val) memo = memo_of(info, "plexus");
    for (size_t i = 1; i < sizeof statuses / sizeof *statuses - 1; i++)
        if (bytes_is(said, statuses[i].temporal)) {
            *ret_open = false;
            return statuses[i].flow;
        }
    *ret_open = true;
    if (bytes_is(temporal_str(memo, "status"), "suspended"))
        return "suspended";
    if (bytes_is(temporal_str(memo, "status"), "stalled"))
        return "stalled";
    return val_len(val_get_cstr(memo, "listens")) ? "waiting" : "running";
}

static struct val *or_null(const struct val *v)
{
    return v ? val_ref((struct val *)(uintptr_t)v) : val_null();
}

struct val *temporal_row(const struct val *info)
{
    bool open;
    AUTO(val) memo = memo_of(info, "flow");
    const char *status = temporal_status(info, &open);
    struct val *row = val_put_cstr(
        val_obj(), "id", val_str(temporal_str(val_get_cstr(info, "execution"), "workflowId")));
    row = val_put_cstr(row, "namespace", or_null(val_get_cstr(memo, "namespace")));
    row = val_put_cstr(row, "name", val_str(temporal_str(val_get_cstr(info, "type"), "name")));
    row = val_put_cstr(row, "version", or_null(val_get_cstr(memo, "version")));
    row = val_put_cstr(row, "status", val_cstr(status));
    row = val_put_cstr(row, "open", val_bool(open));
    row = val_put_cstr(row, "started", or_null(val_get_cstr(info, "startTime")));
    row = val_put_cstr(row, "closed", or_null(val_get_cstr(info, "closeTime")));
    row = val_put_cstr(row, "wake", val_null());
    row = val_put_cstr(row, "by", or_null(val_get_cstr(memo, "by")));
    row = val_put_cstr(row, "label", or_null(val_get_cstr(memo, "label")));
    row = val_put_cstr(row, "parent",
                       or_null(val_get_cstr(val_get_cstr(info, "parentExecution"), "workflowId")));
    row = val_put_cstr(row, "note", val_null());
    return val_put_cstr(row, "entries",
                        val_int((int64_t)temporal_u64(val_get_cstr(info, "historyLength"))));
}

// ---- lists --------------------------------------------------------------------------------------

static void quoted(struct buf *q, struct bytes text)
{
    (void)buf_chr(q, '\'');
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] != '\'' && text.p[i] != '\\' && (unsigned char)text.p[i] >= 0x20)
            (void)buf_chr(q, text.p[i]);
    (void)buf_chr(q, '\'');
}

static void query_of(const struct temporal *t, const struct runs_filter *f, struct buf *q)
{
    (void)buf_str(q, "ExecutionStatus != 'ContinuedAsNew' AND TaskQueue = ");
    quoted(q, bytes_of(t->queue));
    // Flows of before the server had our attributes have none: looked at in their memos.
    if (t->stats.attributes && f->namespace.n) {
        (void)buf_str(q, " AND (PlexusNamespace IS NULL OR PlexusNamespace = ");
        quoted(q, f->namespace);
        (void)buf_chr(q, ')');
    }
    if (t->stats.attributes && (bytes_is(f->status, "waiting") || bytes_is(f->status, "stalled") ||
                                bytes_is(f->status, "suspended"))) {
        (void)buf_str(q, " AND (PlexusStatus IS NULL OR PlexusStatus = ");
        quoted(q, f->status);
        (void)buf_chr(q, ')');
    }
    if (f->name.n) {
        (void)buf_str(q, " AND WorkflowType = ");
        quoted(q, f->name);
    }
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
        if (bytes_is(f->status, filters[i].flow))
            (void)buf_fmt(q, " AND %s", filters[i].query);
}

static void on_listed(void *user, int status, struct val *answer, const struct err *e)
{
    struct temporal_op *o = user;
    const struct val *all = val_get_cstr(answer, "executions");
    struct val *rows = val_arr();
    struct bytes space = temporal_str(o->request, "wanted_namespace");
    struct bytes wanted = temporal_str(o->request, "wanted_status");
    for (size_t i = 0; !status && i < val_len(all); i++) {
        AUTO(val) row = temporal_row(val_at(all, i));
        bool fits = (!space.n || bytes_eq(temporal_str(row, "namespace"), space)) &&
                    (!wanted.n || bytes_is(wanted, "running") ||
                     bytes_eq(temporal_str(row, "status"), wanted));
        if (fits)
            rows = val_push(rows, steal(&row));
    }
    AUTO(val) v = val_put_cstr(val_obj(), "flows", rows);
    v = val_put_cstr(steal(&v), "more", val_bool(temporal_str(answer, "nextPageToken").n != 0));
    temporal_op_end(o, status, e, v);
}

static void list_now(struct temporal_op *o)
{
    struct val *r = val_ref(o->request);
    r = val_del(r, BYTES("wanted_namespace"));
    r = val_del(r, BYTES("wanted_status"));
    (void)temporal_call(o->t, "ListWorkflowExecutions", r, TEMPORAL_CALL_MS, on_listed, o);
}

static void on_last_seen(void *user, int status, struct val *answer, const struct err *e)
{
    struct temporal_op *o = user;
    struct buf q;
    if (status) {
        temporal_op_end(o, status, e, NULL);
        return;
    }
    const struct val *info = val_get_cstr(answer, "workflowExecutionInfo");
    buf_init(&q, 4096);
    (void)buf_fmt(&q, "%.*s AND StartTime < ", BYTES_FMT(temporal_str(o->request, "query")));
    quoted(&q, temporal_str(info, "startTime"));
    o->request = val_put_cstr(o->request, "query", val_str(buf_bytes(&q)));
    buf_fini(&q);
    list_now(o);
}

void temporal_list(struct temporal *t, const struct runs_filter *f, struct runs_req *r)
{
    struct temporal_op *o = temporal_op_new(t, BYTES_NONE, r);
    struct buf q;
    struct err e = {0};
    if (!o) {
        (void)err_set(&e, E_NOMEM, "no memory for an operation");
        r->done(r, E_NOMEM, BYTES_NONE, &e);
        return;
    }
    buf_init(&q, 2048);
    query_of(t, f, &q);
    size_t limit = f->limit && f->limit < PAGE ? f->limit : f->limit ? PAGE : 100;
    struct val *v = val_put_cstr(temporal_bare(t), "query", val_str(buf_bytes(&q)));
    v = val_put_cstr(v, "pageSize", val_int((int64_t)limit));
    v = val_put_cstr(v, "wanted_namespace", val_str(f->namespace));
    o->request = val_put_cstr(v, "wanted_status", val_str(f->status));
    buf_fini(&q);
    if (!f->after.n) {
        list_now(o);
        return;
    }
    struct val *d =
        val_put_cstr(temporal_bare(t), "execution", temporal_execution(f->after, BYTES_NONE));
    (void)temporal_call(t, "DescribeWorkflowExecution", d, TEMPORAL_CALL_MS, on_last_seen, o);
}

// ---- one flow -----------------------------------------------------------------------------------

static int fold(struct temporal_op *o, struct val *events, struct buf *entries,
                struct temporal_fold **ret, struct err *e)
{
    const struct val *first =
        val_get_cstr(val_at(events, 0), "workflowExecutionStartedEventAttributes");
    int rc =
        temporal_fold_new(ret, bytes_of(o->id), temporal_str(first, "originalExecutionRunId"), e);
    if (rc)
        return rc;
    (*ret)->entries = entries;
    (*ret)->entry_from = o->from;
    rc = temporal_fold_all(*ret, events, e);
    if (rc == E_NOTFOUND && (*ret)->need) // its first task is still to come
        rc = 0;
    return rc;
}

static void put_plan(struct temporal_fold *f, struct buf *b)
{
    struct flow_about about;
    if (!f->plan)
        return;
    flow_plan_about(f->plan, &about);
    (void)buf_str(b, ",\"graph\":");
    (void)flow_plan_graph(f->plan, b);
    (void)buf_str(b, ",\"document\":");
    (void)buf_json_str(b, about.text);
}

static void on_show_events(void *user, int status, struct val *events, const struct err *e)
{
    struct temporal_op *o = user;
    struct temporal_fold *f = NULL;
    struct err own = {0};
    struct buf b;
    if (!status) {
        status = fold(o, events, NULL, &f, &own);
        e = &own;
    }
    if (status) {
        temporal_fold_free(f);
        temporal_op_end(o, status, e, NULL);
        return;
    }
    buf_init(&b, TEMPORAL_BYTES_MAX);
    (void)val_write(&b, o->request);
    buf_drop(&b, 0);
    if (b.n)
        b.n--; // the row's last brace
    if (f->flow) {
        (void)buf_str(&b, ",\"view\":");
        (void)flow_run_view(f->flow, o->full, &b);
    }
    put_plan(f, &b);
    (void)buf_chr(&b, '}');
    temporal_fold_free(f);
    temporal_op_text(o, &b);
    buf_fini(&b);
}

static void on_described(void *user, int status, struct val *answer, const struct err *e)
{
    struct temporal_op *o = user;
    const struct val *info = val_get_cstr(answer, "workflowExecutionInfo");
    if (status) {
        temporal_op_end(o, status, e, NULL);
        return;
    }
    o->request = temporal_row(info);
    temporal_events(o->t, bytes_of(o->id), temporal_str(val_get_cstr(info, "execution"), "runId"),
                    on_show_events, o);
}

void temporal_show(struct temporal *t, struct bytes id, bool full, struct runs_req *r)
{
    struct temporal_op *o = temporal_op_new(t, id, r);
    struct err e = {0};
    if (!o) {
        (void)err_set(&e, E_NOMEM, "no memory for an operation");
        r->done(r, E_NOMEM, BYTES_NONE, &e);
        return;
    }
    o->full = full;
    struct val *d = val_put_cstr(temporal_bare(t), "execution", temporal_execution(id, BYTES_NONE));
    (void)temporal_call(t, "DescribeWorkflowExecution", d, TEMPORAL_CALL_MS, on_described, o);
}

static void on_entries(void *user, int status, struct val *events, const struct err *e)
{
    struct temporal_op *o = user;
    struct temporal_fold *f = NULL;
    struct flow_about about;
    struct err own = {0};
    struct buf entries, b;
    buf_init(&entries, TEMPORAL_BYTES_MAX);
    if (!status) {
        status = fold(o, events, &entries, &f, &own);
        e = &own;
    }
    if (status)
        temporal_op_end(o, status, e, NULL);
    else {
        buf_init(&b, TEMPORAL_BYTES_MAX);
        (void)buf_chr(&b, '{');
        if (o->full && f->plan) {
            flow_plan_about(f->plan, &about);
            (void)buf_str(&b, "\"bundle\":");
            (void)buf_json_str(&b, about.bundle.n ? about.bundle : about.text);
            (void)buf_chr(&b, ',');
        }
        (void)buf_str(&b, "\"entries\":[");
        (void)buf_put(&b, buf_bytes(&entries));
        (void)buf_str(&b, "]}");
        temporal_op_text(o, &b);
        buf_fini(&b);
    }
    temporal_fold_free(f);
    buf_fini(&entries);
}

// The number of the event in which an entry of the flow's own history stands. 0: there is none.
uint64_t temporal_entry_event(struct temporal_op *o, struct val *events, uint64_t entry)
{
    struct temporal_fold *f = NULL;
    AUTO(val) list = NULL;
    struct buf text, whole;
    uint64_t event = 0;
    buf_init(&text, TEMPORAL_BYTES_MAX);
    buf_init(&whole, TEMPORAL_BYTES_MAX);
    if (fold(o, events, &text, &f, NULL) == 0) {
        (void)buf_chr(&whole, '[');
        (void)buf_put(&whole, buf_bytes(&text));
        (void)buf_chr(&whole, ']');
        (void)val_parse(&list, buf_bytes(&whole), NULL);
    }
    for (size_t i = 0; i < val_len(list); i++)
        if (temporal_u64(val_get_cstr(val_at(list, i), "n")) == entry)
            event = temporal_u64(val_get_cstr(val_at(list, i), "event"));
    temporal_fold_free(f);
    buf_fini(&text);
    buf_fini(&whole);
    return event;
}

static void entries(struct temporal *t, struct bytes id, bool bundle, uint64_t from,
                    struct runs_req *r)
{
    struct temporal_op *o = temporal_op_new(t, id, r);
    struct err e = {0};
    if (!o) {
        (void)err_set(&e, E_NOMEM, "no memory for an operation");
        r->done(r, E_NOMEM, BYTES_NONE, &e);
        return;
    }
    o->full = bundle;
    o->from = from;
    temporal_events(t, id, BYTES_NONE, on_entries, o);
}

void temporal_history(struct temporal *t, struct bytes id, uint64_t from, struct runs_req *r)
{
    entries(t, id, false, from, r);
}

void temporal_export(struct temporal *t, struct bytes id, struct runs_req *r)
{
    entries(t, id, true, 0, r);
}

// ---- events for who listens ---------------------------------------------------------------------

static void event_end(struct temporal_op *o)
{
    if (o->left)
        return;
    AUTO(val) v = val_put_cstr(val_obj(), "taken", val_int((int64_t)o->taken));
    temporal_op_end(o, 0, NULL, v);
}

static void on_heard(void *user, int status, struct val *answer, const struct err *e)
{
    struct temporal_op *o = user;
    (void)answer, (void)e;
    o->left--;
    o->taken += !status || status == E_EXISTS; // a schedule began it already
    event_end(o);
}

static void tell(struct temporal_op *o, const struct val *info)
{
    char id[RNG_ID_LEN + 1];
    rng_id(id);
    const struct val *ex = val_get_cstr(info, "execution");
    struct val *r = val_put_cstr(temporal_request(o->t), "workflowExecution",
                                 val_ref((struct val *)(uintptr_t)ex));
    r = val_put_cstr(r, "signalName", val_cstr(TEMPORAL_EVENT));
    r = val_put_cstr(r, "input", temporal_payloads(val_ref(o->request), NULL));
    r = val_put_cstr(r, "requestId", val_cstr(id));
    o->left++;
    (void)temporal_call(o->t, "SignalWorkflowExecution", r, TEMPORAL_CALL_MS, on_heard, o);
}

static void on_listeners(void *user, int status, struct val *answer, const struct err *e)
{
    struct temporal_op *o = user;
    const struct val *all = val_get_cstr(answer, "executions");
    if (status) {
        temporal_op_end(o, status, e, NULL);
        return;
    }
    o->left++; // so that it does not end meanwhile
    o->left += temporal_schedules_event(o->t, o->request, on_heard, o);
    for (size_t i = 0; i < val_len(all); i++) {
        AUTO(val) memo = memo_of(val_at(all, i), "plexus");
        const struct val *heard = val_get_cstr(memo, "listens");
        if (val_len(heard) && flow_filter_fits(heard, o->request))
            tell(o, val_at(all, i));
    }
    o->left--;
    event_end(o);
}

void temporal_event(struct temporal *t, const struct val *cloudevent, struct runs_req *r)
{
    struct temporal_op *o = temporal_op_new(t, BYTES_NONE, r);
    struct runs_filter f = {.status = BYTES("running")};
    struct buf q;
    struct err e = {0};
    if (!o) {
        (void)err_set(&e, E_NOMEM, "no memory for an operation");
        r->done(r, E_NOMEM, BYTES_NONE, &e);
        return;
    }
    o->request = val_ref((struct val *)(uintptr_t)cloudevent);
    buf_init(&q, 2048);
    query_of(t, &f, &q);
    struct val *v = val_put_cstr(temporal_bare(t), "query", val_str(buf_bytes(&q)));
    v = val_put_cstr(v, "pageSize", val_int(PAGE));
    buf_fini(&q);
    (void)temporal_call(t, "ListWorkflowExecutions", v, TEMPORAL_CALL_MS, on_listeners, o);
}

// ---- what was kept long enough ------------------------------------------------------------------

static void prune_page(struct temporal_op *o);

static void on_removed(void *user, int status, struct val *answer, const struct err *e)
{
    struct temporal_op *o = user;
    (void)answer;
    o->left--;
    o->taken += !status;
    if (status && status != E_NOTFOUND && !o->failed)
        o->failed = status, o->why = *e;
    if (o->left)
        return;
    if (o->failed)
        temporal_op_end(o, o->failed, &o->why, NULL);
    else if (o->run) // there are more
        prune_page(o);
    else {
        AUTO(val) v = val_put_cstr(val_obj(), "removed", val_int((int64_t)o->taken));
        temporal_op_end(o, 0, NULL, v);
    }
}

static void on_closed(void *user, int status, struct val *answer, const struct err *e)
{
    struct temporal_op *o = user;
    const struct val *all = val_get_cstr(answer, "executions");
    struct bytes page = temporal_str(answer, "nextPageToken");
    mem_free(o->run);
    o->run = page.n && val_len(all) ? mem_dup(page.p, page.n) : NULL;
    o->left = 1; // so that it does not end meanwhile
    for (size_t i = 0; !status && !o->full && i < val_len(all); i++) {
        struct val *r = val_put_cstr(temporal_bare(o->t), "workflowExecution",
                                     val_ref(val_get_cstr(val_at(all, i), "execution")));
        o->left++;
        (void)temporal_call(o->t, "DeleteWorkflowExecution", r, TEMPORAL_CALL_MS, on_removed, o);
    }
    o->taken += o->full ? val_len(all) : 0;
    o->taken -= !status; // of this one, which removes nothing
    on_removed(o, status, NULL, e);
}

static void prune_page(struct temporal_op *o)
{
    struct val *r = val_ref(o->request);
    if (o->run)
        r = val_put_cstr(r, "nextPageToken", val_cstr(o->run));
    (void)temporal_call(o->t, "ListWorkflowExecutions", r, TEMPORAL_CALL_MS, on_closed, o);
}

void temporal_prune(struct temporal *t, int64_t closed_before_ms, bool dry, struct runs_req *r)
{
    struct temporal_op *o = temporal_op_new(t, BYTES_NONE, r);
    char at[TIME_TEXT_LEN + 1];
    struct buf q;
    if (!o) {
        temporal_no_memory(r);
        return;
    }
    o->full = dry;
    time_text(closed_before_ms, at);
    buf_init(&q, 2048);
    (void)buf_str(&q, "ExecutionStatus != 'Running' AND TaskQueue = ");
    quoted(&q, bytes_of(t->queue));
    (void)buf_fmt(&q, " AND CloseTime < '%s'", at);
    o->request = val_put_cstr(temporal_bare(t), "query", val_str(buf_bytes(&q)));
    o->request = val_put_cstr(o->request, "pageSize", val_int(PRUNE_PAGE));
    buf_fini(&q);
    prune_page(o);
}
