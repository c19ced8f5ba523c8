// schedules.c: documents that begin by themselves. cron and every are schedules of Temporal's own,
// named NAMESPACE.NAME, and go on while no worker is there. after and on are done by the workers
// that know the document: what begins has an id made of what began it, so it begins once.
// SPDX-License-Identifier: Apache-2.0
#include "temporal/temporal_priv.h"

#include "base/rng.h"

#include <stdio.h>
#include <string.h>

#define CATCHUP_MS 60000 // what was missed for longer than this does not begin any more
#define LOOK_MIN_MS 500
#define LOOK_MAX_MS 10000

struct schedule {
    struct list link;
    struct temporal *t;
    char *namespace, *name;
    struct val *bundle, *say; // the document; schedule
    int64_t period_ms; // of after
    struct timer look;
    bool asks; // a call is under way
    bool gone; // free it when that ends
};

static void schedule_free(struct schedule *s)
{
    timer_stop(s->t->args.timers, &s->look);
    list_del(&s->link);
    list_init(&s->link);
    s->gone = true;
    if (s->asks)
        return;
    mem_free(s->namespace);
    mem_free(s->name);
    val_unref(s->bundle);
    val_unref(s->say);
    mem_free(s);
}

static struct schedule *find(struct temporal *t, struct bytes namespace, struct bytes name)
{
    list_each (it, &t->schedules) {
        struct schedule *s = container_of(it, struct schedule, link);
        if (bytes_is(namespace, s->namespace) && bytes_is(name, s->name))
            return s;
    }
    return NULL;
}

static struct val *schedule_id(struct bytes namespace, struct bytes name)
{
    char id[600];
    (void)snprintf(id, sizeof id, "%.*s.%.*s", BYTES_FMT(bytes_first(namespace, 250)),
                   BYTES_FMT(bytes_first(name, 250)));
    return val_cstr(id);
}

// ---- what begins --------------------------------------------------------------------------------

static struct val *start_of(struct temporal *t, const struct flow_about *about, const char *id,
                            struct val *takes_input)
{
    struct val *own = val_ptr(about->metadata, BYTES("/plexus/label"));
    struct bytes bundle = about->bundle.n ? about->bundle : about->text;
    struct val *meta = val_put_cstr(val_obj(), "bundle", val_str(bundle));
    meta = val_put_cstr(meta, "decider", val_int(FLOW_DECIDER_VERSION));
    meta = val_put_cstr(meta, "by", val_cstr("schedule"));
    if (val_is(own, JSON_STR))
        meta = val_put_cstr(meta, "label", val_ref(own));
    struct val *v = val_put_cstr(val_obj(), "workflowId", val_cstr(id));
    v = val_put_cstr(v, "workflowType", temporal_name("name", about->name));
    v = val_put_cstr(v, "taskQueue", temporal_name("name", t->queue));
    v = val_put_cstr(v, "memo", temporal_memo(about, meta));
    v = temporal_attributes(t, v, about, meta);
    v = temporal_put_ms(v, "workflowTaskTimeout", 10000);
    return val_put_cstr(v, "input", temporal_payloads(takes_input, meta));
}

static struct val *begin_request(struct schedule *s, const char *id, struct val *takes_input)
{
    char request[RNG_ID_LEN + 1];
    AUTO(flow_plan) plan = NULL;
    struct flow_about about;
    if (flow_plan_new(&plan, val_bytes(s->bundle), NULL, NULL)) {
        val_unref(takes_input);
        return NULL;
    }
    flow_plan_about(plan, &about);
    rng_id(request);
    struct val *r = start_of(s->t, &about, id, takes_input);
    r = val_put_cstr(r, "namespace", val_cstr(s->t->namespace));
    r = val_put_cstr(r, "identity", val_cstr(s->t->identity));
    r = val_put_cstr(r, "workflowIdReusePolicy",
                     val_cstr("WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE"));
    return val_put_cstr(r, "requestId", val_cstr(request));
}

// ---- after: looked for --------------------------------------------------------------------------

static void rest(struct schedule *s, int64_t ms)
{
    ms = ms < LOOK_MIN_MS ? LOOK_MIN_MS : ms > LOOK_MAX_MS ? LOOK_MAX_MS : ms;
    if (!s->t->closing)
        (void)timer_start(s->t->args.timers, &s->look, ms);
}

static void on_begun(void *user, int status, struct val *answer, const struct err *e)
{
    struct schedule *s = user;
    (void)status, (void)answer, (void)e; // there already: another worker, or the list is behind
    s->asks = false;
    if (s->gone)
        schedule_free(s);
    else
        rest(s, LOOK_MIN_MS);
}

static void on_last(void *user, int status, struct val *answer, const struct err *e)
{
    struct schedule *s = user;
    const struct val *last = val_at(val_get_cstr(answer, "executions"), 0);
    int64_t closed = temporal_time_ms(val_get_cstr(last, "closeTime"));
    int64_t due = last ? closed + s->period_ms : 0, now = temporal_wall(s->t);
    char id[300];
    (void)e;
    s->asks = false;
    if (s->gone) {
        schedule_free(s);
        return;
    }
    if (status || (last && !closed) || due > now) {
        rest(s, status || !closed ? s->period_ms : due - now);
        return;
    }
    (void)snprintf(id, sizeof id, "%.200s-after-%lld", s->name, (long long)due);
    struct val *r = begin_request(s, id, val_obj());
    if (!r) {
        rest(s, LOOK_MAX_MS);
        return;
    }
    s->asks = true;
    (void)temporal_call(s->t, "StartWorkflowExecution", r, TEMPORAL_CALL_MS, on_begun, s);
}

static void on_look(struct timer *timer)
{
    struct schedule *s = timer->user;
    char query[800];
    if (s->asks || s->t->closing)
        return;
    // Open ones come first, then those that closed last.
    (void)snprintf(query, sizeof query,
                   "WorkflowType = '%.200s' AND WorkflowId STARTS_WITH '%.200s-after-'", s->name,
                   s->name);
    struct val *r = val_put_cstr(temporal_bare(s->t), "query", val_cstr(query));
    s->asks = true;
    (void)temporal_call(s->t, "ListWorkflowExecutions", val_put_cstr(r, "pageSize", val_int(1)),
                        TEMPORAL_CALL_MS, on_last, s);
}

// ---- on: told by events -------------------------------------------------------------------------

unsigned temporal_schedules_event(struct temporal *t, const struct val *event,
                                  void (*done)(void *user, int status, struct val *answer,
                                               const struct err *e),
                                  void *user)
{
    char id[RUNS_SCHEDULE_ID];
    unsigned asked = 0;
    AUTO(val) whole = val_ref((struct val *)(uintptr_t)event);
    list_each (it, &t->schedules) {
        struct schedule *s = container_of(it, struct schedule, link);
        if (runs_schedule_hears(s->say, whole, NULL) != 1)
            continue;
        runs_schedule_id(id, bytes_of(s->namespace), bytes_of(s->name), whole);
        struct val *r = begin_request(s, id, val_push(val_arr(), val_ref(whole)));
        if (!r)
            continue;
        asked++;
        (void)temporal_call(t, "StartWorkflowExecution", r, TEMPORAL_CALL_MS, done, user);
    }
    return asked;
}

// ---- cron, every: the server's ------------------------------------------------------------------

// The beat of `every` is counted from 1970, so that all workers say the same.
static struct val *spec(const struct val *say, struct err *e)
{
    const struct val *cron = val_get_cstr(say, "cron"), *every = val_get_cstr(say, "every");
    int64_t ms;
    if (cron)
        return val_put_cstr(val_obj(), "cronString",
                            val_push(val_arr(), val_ref((struct val *)(uintptr_t)cron)));
    if (flow_duration(every, &ms, e))
        return NULL;
    struct val *one = temporal_put_ms(val_obj(), "interval", ms);
    return val_put_cstr(val_obj(), "interval", val_push(val_arr(), one));
}

static struct val *schedule_of(struct temporal *t, const struct flow_about *about, struct err *e)
{
    struct val *when = spec(about->schedule, e);
    if (!when)
        return NULL;
    struct val *action =
        val_put_cstr(val_obj(), "startWorkflow", start_of(t, about, about->name, val_obj()));
    struct val *policies =
        val_put_cstr(val_obj(), "overlapPolicy", val_cstr("SCHEDULE_OVERLAP_POLICY_ALLOW_ALL"));
    policies = temporal_put_ms(policies, "catchupWindow", CATCHUP_MS);
    struct val *s = val_put_cstr(val_obj(), "spec", when);
    s = val_put_cstr(s, "action", action);
    return val_put_cstr(s, "policies", policies);
}

static void on_kept(void *user, int status, struct val *answer, const struct err *e)
{
    struct temporal_op *o = user;
    char id[RNG_ID_LEN + 1];
    AUTO(val) v = val_obj();
    (void)answer;
    if (status == E_EXISTS && o->full) { // made before: changed
        rng_id(id);
        o->full = false;
        struct val *r = val_put_cstr(val_ref(o->request), "requestId", val_cstr(id));
        r = val_del(r, BYTES("memo"));
        (void)temporal_call(o->t, "UpdateSchedule", r, TEMPORAL_CALL_MS, on_kept, o);
        return;
    }
    bool good = !status || status == E_EXISTS || (status == E_NOTFOUND && !o->request);
    temporal_op_end(o, good ? 0 : status, e, v);
}

static void keep(struct temporal_op *o, const struct flow_about *about, bool fresh)
{
    char id[RNG_ID_LEN + 1];
    struct err e = {0};
    struct val *s = schedule_of(o->t, about, &e);
    if (!s) {
        temporal_op_refuse(o, e.code, &e);
        return;
    }
    rng_id(id);
    struct val *r = temporal_request(o->t);
    r = val_put_cstr(r, "scheduleId",
                     schedule_id(bytes_of(about->namespace), bytes_of(about->name)));
    r = val_put_cstr(r, "schedule", s);
    r = val_put_cstr(r, "requestId", val_cstr(id));
    val_unref(o->request);
    o->request = r;
    o->full = fresh;
    (void)temporal_call(o->t, "CreateSchedule", val_ref(r), TEMPORAL_CALL_MS, on_kept, o);
}

static void remove_it(struct temporal_op *o, struct bytes namespace, struct bytes name)
{
    struct val *r = temporal_request(o->t);
    r = val_put_cstr(r, "scheduleId", schedule_id(namespace, name));
    (void)temporal_call(o->t, "DeleteSchedule", r, TEMPORAL_CALL_MS, on_kept, o);
}

// ---- the calls ----------------------------------------------------------------------------------

static int know(struct temporal *t, const struct flow_about *about, struct err *e)
{
    struct schedule *s = mem_new(struct schedule);
    const struct val *after = val_get_cstr(about->schedule, "after");
    if (!s)
        return err_set(e, E_NOMEM, "no memory for a schedule");
    s->t = t;
    list_init(&s->link);
    s->look = (struct timer){.fn = on_look, .user = s};
    s->namespace = mem_str(about->namespace);
    s->name = mem_str(about->name);
    s->bundle = val_str(about->bundle.n ? about->bundle : about->text);
    s->say = val_ref((struct val *)(uintptr_t)about->schedule);
    int rc = s->namespace && s->name && s->bundle && s->say
                 ? after ? flow_duration(after, &s->period_ms, e) : 0
                 : err_set(e, E_NOMEM, "no memory for a schedule");
    if (rc) {
        schedule_free(s);
        return rc;
    }
    list_add_tail(&t->schedules, &s->link);
    if (after)
        rest(s, 0);
    return 0;
}

static int check(const struct flow_about *about, struct err *e)
{
    AUTO(val) none = val_obj();
    int rc = runs_schedule_check(about->schedule, e);
    if (!rc)
        rc = runs_schedule_hears(about->schedule, none, e);
    return rc < 0 ? rc : 0;
}

void temporal_schedule(struct temporal *t, struct bytes bundle, bool fresh, struct runs_req *r)
{
    AUTO(flow_plan) plan = NULL;
    struct flow_about about = {0};
    struct err e = {0};
    struct temporal_op *o = temporal_op_new(t, BYTES_NONE, r);
    if (!o) {
        temporal_no_memory(r);
        return;
    }
    int rc = flow_plan_new(&plan, bundle, NULL, &e);
    if (!rc)
        flow_plan_about(plan, &about);
    if (!rc && about.schedule)
        rc = check(&about, &e);
    if (rc) {
        temporal_op_refuse(o, rc, &e);
        return;
    }
    struct bytes namespace = bytes_of(about.namespace), name = bytes_of(about.name);
    struct schedule *old = find(t, namespace, name);
    const struct val *say = about.schedule;
    bool own = val_get_cstr(say, "cron") || val_get_cstr(say, "every");
    if (old)
        schedule_free(old);
    if (say && (rc = know(t, &about, &e)))
        temporal_op_refuse(o, rc, &e);
    else if (own)
        keep(o, &about, fresh);
    else if (fresh) // an elder version may have had one
        remove_it(o, namespace, name);
    else
        temporal_op_refuse(o, 0, &e);
}

void temporal_unschedule(struct temporal *t, struct bytes namespace, struct bytes name,
                         struct runs_req *r)
{
    struct temporal_op *o = temporal_op_new(t, BYTES_NONE, r);
    struct schedule *s = find(t, namespace, name);
    if (!o) {
        temporal_no_memory(r);
        return;
    }
    if (s)
        schedule_free(s);
    remove_it(o, namespace, name);
}

void temporal_schedules_end(struct temporal *t)
{
    list_each (it, &t->schedules)
        timer_stop(t->args.timers, &container_of(it, struct schedule, link)->look);
}

void temporal_schedules_free(struct temporal *t)
{
    list_each_safe (it, &t->schedules)
        schedule_free(container_of(it, struct schedule, link));
}
