// fold.c: Temporal's history of a workflow into a flow's run: each of its events is an event of the
// decider, known by the ids of the decider's commands. Pure.
// SPDX-License-Identifier: Apache-2.0
#include "temporal/temporal_priv.h"

#include "base/time.h"

#include <stdio.h>
#include <string.h>

static int no_memory(struct err *e)
{
    return err_set(e, E_NOMEM, "no memory for a flow");
}

static void *room(void *p, size_t count, size_t *cap, size_t size)
{
    if (count < *cap)
        return p;
    size_t more = *cap ? *cap * 2 : 16;
    void *q = mem_realloc(p, more * size);
    if (q)
        *cap = more;
    return q;
}

int temporal_fold_new(struct temporal_fold **ret, struct bytes workflow, struct bytes run,
                      struct err *e)
{
    struct temporal_fold *f = mem_new(struct temporal_fold);
    if (!f)
        return no_memory(e);
    f->workflow = mem_dup(workflow.p ? workflow.p : "", workflow.n);
    f->run = mem_dup(run.p ? run.p : "", run.n);
    if (!f->workflow || !f->run) {
        temporal_fold_free(f);
        return no_memory(e);
    }
    *ret = f;
    return 0;
}

void temporal_fold_free(struct temporal_fold *f)
{
    if (!f)
        return;
    for (size_t i = 0; i < f->mark_count; i++)
        val_unref(f->marks[i].data);
    for (size_t i = f->queue_at; i < f->queue_count; i++)
        flow_event_fini(&f->queue[i]);
    for (size_t i = 0; i < f->todo_count; i++)
        flow_event_fini(&f->todo[i]);
    flow_event_fini(&f->end);
    flow_out_fini(&f->out);
    flow_run_free(f->flow);
    flow_plan_unref(f->plan);
    val_unref(f->meta);
    val_unref(f->input);
    val_unref(f->need);
    val_unref(f->memo);
    mem_free(f->marks);
    mem_free(f->known);
    mem_free(f->queue);
    mem_free(f->todo);
    mem_free(f->workflow);
    mem_free(f->run);
    mem_free(f);
}

struct temporal_known *temporal_fold_known(struct temporal_fold *f, uint64_t id)
{
    for (size_t i = f->known_count; i-- > 0;)
        if (f->known[i].id == id)
            return &f->known[i];
    return NULL;
}

static struct temporal_known *by_event(struct temporal_fold *f, uint64_t event)
{
    for (size_t i = f->known_count; event && i-- > 0;)
        if (f->known[i].event == event)
            return &f->known[i];
    return NULL;
}

static void forget(struct temporal_fold *f, struct temporal_known *k)
{
    *k = f->known[--f->known_count];
}

static int write_entry(struct temporal_fold *f, const struct flow_event *ev)
{
    struct buf one;
    if (!f->entries || ++f->entry_number < f->entry_from)
        return 0;
    buf_init(&one, TEMPORAL_BYTES_MAX);
    int rc = flow_event_put(&one, ev);
    if (f->entries->n)
        (void)buf_chr(f->entries, ',');
    (void)buf_fmt(f->entries, "{\"n\":%llu,\"event\":%llu", (unsigned long long)f->entry_number,
                  (unsigned long long)f->entry_event);
    if (one.n > 2) {
        (void)buf_chr(f->entries, ',');
        (void)buf_put(f->entries, bytes_from(buf_bytes(&one), 1));
    } else
        (void)buf_chr(f->entries, '}');
    buf_fini(&one);
    return rc ? rc : f->entries->failed;
}

// ---- commands -----------------------------------------------------------------------------------

static int push(struct flow_event **list, size_t *count, size_t *cap, const struct flow_event *ev)
{
    struct flow_event *more = room(*list, *count, cap, sizeof *more);
    if (!more)
        return E_NOMEM;
    *list = more;
    more[*count] = *ev;
    more[*count].data = ev->data ? val_ref(ev->data) : NULL;
    (*count)++;
    return 0;
}

static const char *kind_key(enum flow_type type)
{
    return type == FLOW_ACT ? "kind" : "name";
}

static int add_known(struct temporal_fold *f, const struct flow_event *ev)
{
    struct temporal_known *more = room(f->known, f->known_count, &f->known_cap, sizeof *more);
    if (!more)
        return E_NOMEM;
    f->known = more;
    more[f->known_count++] = (struct temporal_known){
        .id = ev->id,
        .type = ev->type,
        .detached = ev->type == FLOW_CHILD && !val_bool_of(val_get_cstr(ev->data, "await"), true),
        .kind = bytes_hash(temporal_str(ev->data, kind_key(ev->type)))};
    return 0;
}

static void take_back(struct temporal_fold *f, size_t i)
{
    flow_event_fini(&f->todo[i]);
    memmove(&f->todo[i], &f->todo[i + 1], (--f->todo_count - i) * sizeof *f->todo);
}

// It has ended before the server was told to cancel it: told now, the server would refuse the
// whole task for that, each time again.
static void cancels_no_more(struct temporal_fold *f, uint64_t event)
{
    for (size_t i = f->todo_count; event && i-- > 0;)
        if (f->todo[i].type == FLOW_CANCEL &&
            (uint64_t)val_i64(val_get_cstr(f->todo[i].data, "event"), 0) == event)
            take_back(f, i);
}

// What the server does not know yet is taken back; else it is told.
static int take_cancel(struct temporal_fold *f, const struct flow_event *c)
{
    struct temporal_known *k = temporal_fold_known(f, c->id);
    if (!k)
        return 0;
    struct flow_event told = {.type = FLOW_CANCEL, .id = c->id, .at_ms = c->at_ms};
    uint64_t event = k->event;
    told.data = val_put_cstr(val_obj(), "was", val_cstr(flow_type_name(k->type)));
    told.data = val_put_cstr(told.data, "event", val_int((int64_t)event));
    forget(f, k);
    for (size_t i = 0; !event && i < f->todo_count; i++)
        if (f->todo[i].id == c->id) {
            take_back(f, i);
            break;
        }
    int rc = !told.data ? E_NOMEM : event ? push(&f->todo, &f->todo_count, &f->todo_cap, &told) : 0;
    flow_event_fini(&told);
    return rc;
}

static int take_command(struct temporal_fold *f, const struct flow_event *c)
{
    int rc = 0;
    switch (c->type) {
    case FLOW_ACT:
    case FLOW_CHILD:
    case FLOW_TIMER:
        rc = add_known(f, c);
        if (!rc && c->type == FLOW_CHILD) // perhaps its document is not there: a marker says so
            rc = push(&f->queue, &f->queue_count, &f->queue_cap, c);
        break;
    case FLOW_EVAL:
    case FLOW_YIELD: return push(&f->queue, &f->queue_count, &f->queue_cap, c);
    case FLOW_END:
        f->ended = true;
        flow_event_fini(&f->end);
        f->end = *c;
        f->end.data = c->data ? val_ref(c->data) : NULL;
        break;
        return 0;
    case FLOW_CANCEL: return take_cancel(f, c);
    case FLOW_LISTEN:
    case FLOW_STALL:
    case FLOW_ROLL:
    case FLOW_STARTED:
    case FLOW_EVALUATED:
    case FLOW_DONE:
    case FLOW_FAILED:
    case FLOW_FIRED:
    case FLOW_EVENT:
    case FLOW_HAND:
    case FLOW_TICK:
    case FLOW_ROLLED: return 0;
    }
    return rc ? rc : push(&f->todo, &f->todo_count, &f->todo_cap, c);
}

int temporal_fold_feed(struct temporal_fold *f, enum flow_type type, uint64_t id, int64_t at_ms,
                       struct val *takes_data, struct err *e)
{
    struct flow_event ev = {.type = type, .id = id, .at_ms = at_ms, .data = takes_data};
    f->now_ms = at_ms;
    flow_out_clear(&f->out);
    struct err own = {0};
    int rc = flow_step(f->flow, &ev, &f->out, &own);
    // What others send may not fit (a hand on a task that is not there): as if it never came.
    if (rc && rc != E_NOMEM && f->forgives && (type == FLOW_HAND || type == FLOW_EVENT)) {
        val_unref(takes_data);
        return 0;
    }
    if (rc)
        (void)err_set(e, rc, "%s", own.text);
    else
        rc = write_entry(f, &ev);
    val_unref(takes_data);
    for (size_t i = 0; !rc && i < f->out.note_count; i++) {
        f->notes++;
        if (f->noted && !f->replays)
            f->noted(f->noted_user, &f->out.notes[i], f->notes);
    }
    for (size_t i = 0; !rc && i < f->out.command_count; i++) {
        rc = write_entry(f, &f->out.commands[i]);
        if (!rc)
            rc = take_command(f, &f->out.commands[i]);
        if (rc)
            (void)no_memory(e);
    }
    return rc;
}

// ---- what must be answered before the next event ------------------------------------------------

const struct flow_event *temporal_fold_next(struct temporal_fold *f)
{
    return f->queue_at < f->queue_count ? &f->queue[f->queue_at] : NULL;
}

void temporal_fold_pass(struct temporal_fold *f)
{
    if (f->queue_at < f->queue_count)
        flow_event_fini(&f->queue[f->queue_at++]);
    if (f->queue_at == f->queue_count)
        f->queue_at = f->queue_count = 0;
}

static const struct temporal_marked *mark_of(const struct temporal_fold *f, uint64_t id)
{
    for (size_t i = 0; i < f->mark_count; i++)
        if (f->marks[i].id == id)
            return &f->marks[i];
    return NULL;
}

int temporal_fold_answer(struct temporal_fold *f, enum flow_type type, struct val *takes_data,
                         struct err *e)
{
    const struct flow_event *c = temporal_fold_next(f);
    uint64_t id = c ? c->id : 0;
    int64_t at = c ? c->at_ms : f->now_ms;
    if (c && c->type == FLOW_CHILD) { // it will not be started
        struct temporal_known *k = temporal_fold_known(f, id);
        if (k)
            forget(f, k);
    }
    if (type == FLOW_TICK)
        id = 0;
    temporal_fold_pass(f);
    return temporal_fold_feed(f, type, id, at, takes_data, e);
}

// Answers what markers and the rules answer. 1: something is left that they do not.
static int drain(struct temporal_fold *f, struct err *e)
{
    const struct flow_event *c;
    int rc = 0;
    while (!rc && (c = temporal_fold_next(f))) {
        const struct temporal_marked *m = mark_of(f, c->id);
        if (c->type == FLOW_YIELD && f->replays)
            rc = temporal_fold_answer(f, FLOW_TICK, NULL, e);
        else if (m)
            rc = temporal_fold_answer(f, m->type, val_ref(m->data), e);
        else if (c->type == FLOW_CHILD && f->replays)
            temporal_fold_pass(f);
        else
            return 1;
    }
    return rc;
}

// ---- markers ------------------------------------------------------------------------------------

static int add_mark(struct temporal_fold *f, uint64_t id, enum flow_type type,
                    struct val *takes_data)
{
    struct temporal_marked *more = room(f->marks, f->mark_count, &f->mark_cap, sizeof *more);
    if (!more || !takes_data) {
        val_unref(takes_data);
        return E_NOMEM;
    }
    f->marks = more;
    more[f->mark_count++] = (struct temporal_marked){id, takes_data, type};
    return 0;
}

static int take_mark(struct temporal_fold *f, const struct val *at, struct err *e)
{
    struct bytes name = temporal_str(at, "markerName");
    AUTO(val) v = temporal_payload_of(val_get_cstr(val_get_cstr(at, "details"), "plexus"), 0);
    uint64_t id = (uint64_t)val_i64(val_get_cstr(v, "id"), 0);
    int rc = 0;
    if (bytes_is(name, TEMPORAL_MARK_EVAL) && id)
        rc = add_mark(f, id, FLOW_EVALUATED, val_ref(val_get_cstr(v, "data")));
    else if (bytes_is(name, TEMPORAL_MARK_CHILD) && id)
        rc = add_mark(f, id, FLOW_FAILED,
                      val_put_cstr(val_obj(), "error", val_ref(val_get_cstr(v, "error"))));
    else if (bytes_is(name, TEMPORAL_MARK_START)) {
        f->bundle_marked = true;
        val_unref(f->need);
        f->need = val_ref(val_get_cstr(v, "bundle"));
        rc = f->need ? 0 : E_NOMEM;
    }
    return rc ? no_memory(e) : 0;
}

int temporal_fold_marks(struct temporal_fold *f, const struct val *events, struct err *e)
{
    for (size_t i = 0; i < val_len(events); i++) {
        const struct val *at = val_get_cstr(val_at(events, i), "markerRecordedEventAttributes");
        int rc = at ? take_mark(f, at, e) : 0;
        if (rc)
            return rc;
    }
    return 0;
}

// ---- the start ----------------------------------------------------------------------------------

static uint64_t seed_of(struct bytes run)
{
    return bytes_hash(run) >> 12; // exact as a JSON number
}

static struct val *started_data(struct temporal_fold *f)
{
    struct flow_about a;
    const struct val *parent = val_get_cstr(f->meta, "parent");
    flow_plan_about(f->plan, &a);
    struct val *d = val_put_cstr(val_obj(), "input", f->input ? val_ref(f->input) : val_null());
    d = val_put_cstr(d, "run", val_cstr(f->workflow));
    d = val_put_cstr(d, "namespace", val_cstr(a.namespace));
    d = val_put_cstr(d, "name", val_cstr(a.name));
    d = val_put_cstr(d, "version", val_cstr(a.version));
    d = val_put_cstr(d, "plan", val_cstr(a.hash));
    d = val_put_cstr(d, "decider", val_int(val_i64(val_get_cstr(f->meta, "decider"), 1)));
    d = val_put_cstr(d, "seed", val_int((int64_t)seed_of(bytes_of(f->run))));
    if (parent)
        d = val_put_cstr(d, "parent", val_ref((struct val *)(uintptr_t)parent));
    static const char *const more[] = {"by", "label"};
    for (size_t i = 0; i < 2; i++)
        if (val_get_cstr(f->meta, more[i]))
            d = val_put_cstr(d, more[i], val_ref(val_get_cstr(f->meta, more[i])));
    return d;
}

int temporal_fold_begin(struct temporal_fold *f, struct bytes bundle, struct err *e)
{
    const struct val *state = val_get_cstr(f->meta, "state");
    int rc = flow_plan_new(&f->plan, bundle, NULL, e);
    if (rc == 1)
        rc = err_set(e, E_INVALID, "the document needs others that are not in its bundle");
    if (!rc)
        rc = flow_run_new(&f->flow, f->plan, e);
    if (rc)
        return rc;
    val_unref(f->need);
    f->need = NULL;
    f->out.want_notes = true;
    if (!state)
        return temporal_fold_feed(f, FLOW_STARTED, 0, f->now_ms, started_data(f), e);
    struct val *d = val_put_cstr(val_obj(), "state", val_ref((struct val *)(uintptr_t)state));
    d = val_put_cstr(d, "chapter", val_int(val_i64(val_get_cstr(f->meta, "chapter"), 1)));
    rc = temporal_fold_feed(f, FLOW_ROLLED, 0, f->now_ms, d, e);
    // What was open begins here: timers anew, the rest was not begun when it rolled.
    const struct flow_event *p;
    for (size_t at = 0; !rc && flow_run_pending(f->flow, &at, &p);)
        if (p->type != FLOW_LISTEN && !temporal_fold_known(f, p->id))
            rc = take_command(f, p) ? no_memory(e) : 0;
    return rc;
}

static bool keep_id(char **id, struct bytes said)
{
    if (!said.n)
        return true;
    mem_free(*id);
    *id = mem_dup(said.p, said.n);
    return *id != NULL;
}

static int on_started(struct temporal_fold *f, const struct val *at, struct err *e)
{
    const struct val *input = val_get_cstr(at, "input");
    // The first id of the execution stays when it is reset.
    if (!keep_id(&f->run, temporal_str(at, "originalExecutionRunId")) ||
        !keep_id(&f->workflow, temporal_str(at, "workflowId")))
        return no_memory(e);
    f->input = temporal_payload_of(input, 0);
    f->meta = temporal_payload_of(input, 1);
    struct bytes bundle = temporal_str(f->meta, "bundle");
    if (!bundle.n && f->bundle_marked)
        bundle = val_bytes(f->need);
    if (!bundle.n) { // of one that is registered here, by the workflow's type
        val_unref(f->need);
        f->need = val_put_cstr(val_obj(), "name",
                               val_str(temporal_str(val_get_cstr(at, "workflowType"), "name")));
        return f->need ? 1 : no_memory(e);
    }
    AUTO(val) keep = val_str(bundle);
    return keep ? temporal_fold_begin(f, val_bytes(keep), e) : no_memory(e);
}

// ---- events -------------------------------------------------------------------------------------

static int otherwise(struct temporal_fold *f, struct err *e, const char *what, struct bytes id)
{
    return err_set(e, E_CONFLICT, "event %llu: the history has %s %.*s, which this plexus does not",
                   (unsigned long long)f->entry_event, what, BYTES_FMT(id));
}

// A command that the server now knows. Must be one that we gave.
static int scheduled(struct temporal_fold *f, enum flow_type type, struct bytes id,
                     struct bytes said, struct err *e)
{
    uint64_t n;
    struct temporal_known *k = bytes_u64(id, &n) ? temporal_fold_known(f, n) : NULL;
    if (!k || k->type != type)
        return otherwise(f, e, flow_type_name(type), id);
    if (type != FLOW_TIMER && k->kind != bytes_hash(said))
        return otherwise(f, e, kind_key(type), said);
    k->event = f->entry_event;
    return 0;
}

static struct bytes child_id(struct bytes workflow) // "RUN/12": "12"
{
    for (size_t i = workflow.n; i-- > 0;)
        if (workflow.p[i] == '/')
            return bytes_from(workflow, i + 1);
    return BYTES_NONE;
}

static int answered(struct temporal_fold *f, const struct val *at, const char *key,
                    enum flow_type type, const char *member, struct val *takes_v, struct err *e)
{
    uint64_t event = temporal_u64(val_get_cstr(at, key));
    struct temporal_known *k = by_event(f, event);
    if (!k) { // not wanted any more
        cancels_no_more(f, event);
        val_unref(takes_v);
        return 0;
    }
    uint64_t id = k->id;
    forget(f, k);
    struct val *d = val_put_cstr(val_obj(), member, takes_v);
    return d ? temporal_fold_feed(f, type, id, f->now_ms, d, e) : no_memory(e);
}

static struct val *result_of(const struct val *at)
{
    struct val *v = temporal_payload_of(val_get_cstr(at, "result"), 0);
    return v ? v : val_null();
}

static int on_signal(struct temporal_fold *f, const struct val *at, struct err *e)
{
    struct bytes name = temporal_str(at, "signalName");
    AUTO(val) v = temporal_payload_of(val_get_cstr(at, "input"), 0);
    if (bytes_is(name, TEMPORAL_HAND))
        return val_is(v, JSON_OBJ) ? temporal_fold_feed(f, FLOW_HAND, 0, f->now_ms, val_ref(v), e)
                                   : 0;
    if (!val_is(v, JSON_OBJ) || !val_get_cstr(v, "specversion")) { // only data: made whole
        char time[TIME_TEXT_LEN + 1], id[160];
        (void)snprintf(id, sizeof id, "%.100s-%llu", f->run, (unsigned long long)f->entry_event);
        time_text(f->now_ms, time);
        struct val *c = val_put_cstr(val_obj(), "specversion", val_cstr("1.0"));
        c = val_put_cstr(c, "id", val_cstr(id));
        c = val_put_cstr(c, "source", val_cstr("temporal"));
        c = val_put_cstr(c, "type", val_str(name));
        c = val_put_cstr(c, "time", val_cstr(time));
        if (v)
            c = val_put_cstr(c, "data", steal(&v));
        v = c;
    }
    struct val *d = val_put_cstr(val_obj(), "event", steal(&v));
    d = val_put_cstr(d, "signal", val_bool(!bytes_is(name, TEMPORAL_EVENT)));
    return d ? temporal_fold_feed(f, FLOW_EVENT, 0, f->now_ms, d, e) : no_memory(e);
}

static struct val *hand_of(const char *action, const char *by, const char *reason)
{
    struct val *d = val_put_cstr(val_obj(), "action", val_cstr(action));
    if (by && *by)
        d = val_put_cstr(d, "by", val_cstr(by));
    return reason && *reason ? val_put_cstr(d, "reason", val_cstr(reason)) : d;
}

static int on_update(struct temporal_fold *f, const struct val *at, struct err *e)
{
    const struct val *input = val_get_cstr(val_get_cstr(at, "acceptedRequest"), "input");
    AUTO(val) v = temporal_payload_of(val_get_cstr(input, "args"), 0);
    if (!bytes_is(temporal_str(input, "name"), "hand") || !val_is(v, JSON_OBJ))
        return 0;
    return temporal_fold_feed(f, FLOW_HAND, 0, f->now_ms, steal(&v), e);
}

static int on_child_started(struct temporal_fold *f, const struct val *at, struct err *e)
{
    struct temporal_known *k = by_event(f, temporal_u64(val_get_cstr(at, "initiatedEventId")));
    if (!k || !k->detached)
        return 0; // its end is the answer
    return answered(f, at, "initiatedEventId", FLOW_DONE, "output",
                    val_str(temporal_str(val_get_cstr(at, "workflowExecution"), "workflowId")), e);
}

// What lists show of the flow, as it was told last.
static int keep_memo(struct temporal_fold *f, const struct val *memo, struct err *e)
{
    const struct val *p = val_get_cstr(val_get_cstr(memo, "fields"), "plexus");
    if (!p)
        return 0;
    val_unref(f->memo);
    f->memo = temporal_unpack(p);
    return f->memo ? 0 : no_memory(e);
}

void temporal_fold_told(struct temporal_fold *f)
{
    for (size_t i = 0; i < f->todo_count; i++)
        flow_event_fini(&f->todo[i]);
    f->todo_count = 0;
}

#define ATTRIBUTES(name) (at = val_get_cstr(event, name "EventAttributes"))

static int dispatch(struct temporal_fold *f, const struct val *event, struct err *e)
{
    const struct val *at;
    if (ATTRIBUTES("workflowExecutionStarted"))
        return on_started(f, at, e);
    if (ATTRIBUTES("workflowTaskStarted")) {
        f->suggested = val_bool_of(val_get_cstr(at, "suggestContinueAsNew"), false);
        return 0;
    }
    if (ATTRIBUTES("workflowTaskCompleted")) { // its commands are the server's now
        temporal_fold_told(f);
        return 0;
    }
    if (ATTRIBUTES("workflowPropertiesModified"))
        return keep_memo(f, val_get_cstr(at, "upsertedMemo"), e);
    if (ATTRIBUTES("markerRecorded") || !f->flow)
        return 0; // read before
    if (ATTRIBUTES("activityTaskScheduled"))
        return scheduled(f, FLOW_ACT, temporal_str(at, "activityId"),
                         temporal_str(val_get_cstr(at, "activityType"), "name"), e);
    if (ATTRIBUTES("timerStarted"))
        return scheduled(f, FLOW_TIMER, temporal_str(at, "timerId"), BYTES_NONE, e);
    if (ATTRIBUTES("startChildWorkflowExecutionInitiated"))
        return scheduled(f, FLOW_CHILD, child_id(temporal_str(at, "workflowId")),
                         temporal_str(val_get_cstr(at, "workflowType"), "name"), e);
    if (ATTRIBUTES("activityTaskCompleted"))
        return answered(f, at, "scheduledEventId", FLOW_DONE, "output", result_of(at), e);
    if (ATTRIBUTES("activityTaskFailed") || ATTRIBUTES("activityTaskTimedOut"))
        return answered(f, at, "scheduledEventId", FLOW_FAILED, "error",
                        temporal_problem(val_get_cstr(at, "failure")), e);
    if (ATTRIBUTES("activityTaskCanceled"))
        return answered(f, at, "scheduledEventId", FLOW_FAILED, "error",
                        temporal_problem_new("runtime", 500, "Cancelled", NULL), e);
    if (ATTRIBUTES("timerFired")) {
        uint64_t id;
        struct temporal_known *k =
            bytes_u64(temporal_str(at, "timerId"), &id) ? temporal_fold_known(f, id) : NULL;
        if (!k) {
            cancels_no_more(f, temporal_u64(val_get_cstr(at, "startedEventId")));
            return 0;
        }
        forget(f, k);
        return temporal_fold_feed(f, FLOW_FIRED, id, f->now_ms, NULL, e);
    }
    if (ATTRIBUTES("childWorkflowExecutionStarted"))
        return on_child_started(f, at, e);
    if (ATTRIBUTES("childWorkflowExecutionCompleted"))
        return answered(f, at, "initiatedEventId", FLOW_DONE, "output", result_of(at), e);
    if (ATTRIBUTES("childWorkflowExecutionFailed"))
        return answered(f, at, "initiatedEventId", FLOW_FAILED, "error",
                        temporal_problem(val_get_cstr(at, "failure")), e);
    if (ATTRIBUTES("childWorkflowExecutionTimedOut"))
        return answered(f, at, "initiatedEventId", FLOW_FAILED, "error",
                        temporal_problem_new("timeout", 408, "Timeout", NULL), e);
    if (ATTRIBUTES("childWorkflowExecutionCanceled") ||
        ATTRIBUTES("childWorkflowExecutionTerminated"))
        return answered(
            f, at, "initiatedEventId", FLOW_FAILED, "error",
            temporal_problem_new("runtime", 500, "Cancelled", "the child flow was cancelled"), e);
    if (ATTRIBUTES("startChildWorkflowExecutionFailed"))
        return answered(f, at, "initiatedEventId", FLOW_FAILED, "error",
                        temporal_problem_new("configuration", 409, "Child Flow",
                                             val_text(val_get_cstr(at, "cause"), "")),
                        e);
    if (ATTRIBUTES("workflowExecutionSignaled"))
        return on_signal(f, at, e);
    if (ATTRIBUTES("workflowExecutionUpdateAccepted"))
        return on_update(f, at, e);
    if (ATTRIBUTES("workflowExecutionCancelRequested"))
        return temporal_fold_feed(f, FLOW_HAND, 0, f->now_ms,
                                  hand_of("cancel", val_text(val_get_cstr(at, "identity"), NULL),
                                          val_text(val_get_cstr(at, "cause"), NULL)),
                                  e);
    return 0;
}

int temporal_fold_event(struct temporal_fold *f, const struct val *event, struct err *e)
{
    uint64_t number = temporal_u64(val_get_cstr(event, "eventId"));
    if (number && number <= f->last)
        return 0;
    f->forgives = true;
    f->last = f->entry_event = number;
    f->now_ms = temporal_time_ms(val_get_cstr(event, "eventTime"));
    int rc = dispatch(f, event, e);
    f->forgives = false;
    return rc ? rc : drain(f, e);
}

int temporal_fold_all(struct temporal_fold *f, const struct val *events, struct err *e)
{
    f->replays = true;
    int rc = temporal_fold_marks(f, events, e);
    for (size_t i = 0; !rc && i < val_len(events); i++)
        rc = temporal_fold_event(f, val_at(events, i), e);
    if (rc == 1 && f->need)
        return err_set(e, E_NOTFOUND, "the history has no document");
    if (rc == 1)
        return temporal_fold_next(f) &&
                       f->last < temporal_u64(
                                     val_get_cstr(val_at(events, val_len(events) - 1), "eventId"))
                   ? err_set(e, E_CONFLICT, "event %llu: an evaluation is not in the history",
                             (unsigned long long)f->last)
                   : 0;
    return rc;
}
