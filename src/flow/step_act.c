// step_act.c: the tasks whose work is done outside: call, run, emit.
// SPDX-License-Identifier: Apache-2.0
#include "flow/run_priv.h"
#include <string.h>

// The number of this attempt: those of the try around it, and those that a person asked for.
static int64_t attempt_of(const struct frame *f)
{
    int64_t n = 1 + f->attempt;
    for (const struct frame *at = f; at->parent; at = at->parent)
        if (at->parent->task && at->parent->task->kind == FLOW_KIND_TRY &&
            at->parent->part == PART_BODY)
            return n + at->parent->attempt;
    return n;
}

static struct val *queue_of(const struct step *s, const struct flow_task *t)
{
    struct val *q = val_ptr(t->metadata, BYTES("/plexus/queue"));
    return q ? q : val_ptr(s->r->plan->about.metadata, BYTES("/plexus/queue"));
}

// How long it may wait until somebody begins it; the schema saw that it is a duration.
static int64_t start_of(const struct step *s, const struct flow_task *t)
{
    const struct val *v = val_ptr(t->metadata, BYTES("/plexus/start"));
    int64_t ms = 0;
    if (!v)
        v = val_ptr(s->r->plan->about.metadata, BYTES("/plexus/start"));
    return v && flow_duration(v, &ms, NULL) == 0 ? ms : 0;
}

static int ask_act(struct step *s, struct frame *f, const char *kind, struct val *takes_args,
                   bool awaited)
{
    const struct flow_task *t = f->task;
    struct val *queue = queue_of(s, t), *label = val_get_cstr(s->r->started, "label");
    if (!val_is(label, JSON_STR))
        label = val_ptr(s->r->plan->about.metadata, BYTES("/plexus/label"));
    struct val *data = val_put_cstr(val_obj(), "kind", val_cstr(kind));
    data = val_put_cstr(data, "task", val_cstr(t->pointer));
    data = val_put_cstr(data, "name", val_cstr(t->name));
    data = val_put_cstr(data, "args", takes_args);
    data = val_put_cstr(data, "attempt", val_int(attempt_of(f)));
    if (val_is(queue, JSON_STR))
        data = val_put_cstr(data, "queue", val_ref(queue));
    if (f->timeout_ms > 0)
        data = val_put_cstr(data, "timeout_ms", val_int(f->timeout_ms));
    if (start_of(s, t) > 0)
        data = val_put_cstr(data, "start_ms", val_int(start_of(s, t)));
    if (val_is(label, JSON_STR))
        data = val_put_cstr(data, "label", val_ref(label));
    if (!awaited)
        return flow_ask(s, NULL, ROLE_NONE, FLOW_ACT, data);
    flow_to(f, STEP_WAIT);
    return flow_ask(s, f, ROLE_BODY, FLOW_ACT, data);
}

// What came: TURN_ON with it in out, or its error.
static int got(struct step *s, struct frame *f)
{
    if (f->error) {
        flow_set(&s->problem, steal(&f->error));
        return TURN_RAISED;
    }
    flow_set(&f->out, steal(&f->got));
    return TURN_ON;
}

// ---- call ----

static int call_function(struct step *s, struct frame *f, struct val *takes_with)
{
    f->part = PART_BODY;
    flow_to(f, STEP_LIST);
    int rc = flow_spawn(s, f, f->task->call.task, takes_with);
    val_unref(takes_with);
    return rc != 0 ? rc : TURN_WAIT;
}

// A subscription's messages, one after the other.
static int each_message(struct step *s, struct frame *f)
{
    const struct flow_each *each = f->task->call.each;
    int rc = 0;
    if (f->step == STEP_LISTED) {
        rc = flow_each_done(s, f, &each->output, &each->export, &f->keys);
        if (rc != 0)
            return rc;
        flow_to(f, STEP_NEXT);
    }
    if (f->step == STEP_NEXT && f->index < val_len(f->items)) {
        flow_set(&f->item, val_ref(val_at(f->items, f->index)));
        rc = flow_list_start(s, f, &each->list, PART_BODY, f->item);
        return rc != 0 ? rc : TURN_WAIT;
    }
    if (f->step != STEP_NEXT)
        return TURN_WAIT;
    flow_set(&f->item, NULL);
    flow_set(&f->items, NULL);
    flow_set(&f->out, steal(&f->keys));
    return TURN_ON;
}

static int got_call(struct step *s, struct frame *f)
{
    if (f->error || !f->task->call.each || !val_is(f->got, JSON_ARR))
        return got(s, f);
    flow_set(&f->items, steal(&f->got));
    flow_set(&f->keys, val_arr());
    f->index = 0;
    flow_to(f, STEP_NEXT);
    return f->keys ? each_message(s, f) : E_NOMEM;
}

int flow_body_call(struct step *s, struct frame *f)
{
    const struct flow_task *t = f->task;
    struct place p = {.f = f, .scope = f, .dot = f->input};
    struct val *args = NULL;
    int rc = 0;
    if (f->step == STEP_GOT)
        return got_call(s, f);
    if (t->call.each && (f->step == STEP_LISTED || f->step == STEP_NEXT))
        return each_message(s, f);
    if (f->step == STEP_LISTED) {
        flow_set(&f->out, steal(&f->carry));
        return TURN_ON;
    }
    if (f->step != STEP_START)
        return TURN_WAIT;
    if (t->call.with)
        rc = flow_fill(s, &p, t->call.with, t->call.task == NULL, &args);
    else
        args = t->call.task ? val_ref(f->input) : val_obj();
    if (rc != 0)
        return rc;
    if (t->call.task)
        return call_function(s, f, args);
    rc = ask_act(s, f, t->call.function, args, true);
    return rc != 0 ? rc : TURN_WAIT;
}

// ---- run ----

static int run_child(struct step *s, struct frame *f, const struct val *args)
{
    static const char *const names[] = {"namespace", "name", "version"};
    struct val *input = val_get_cstr(args, "input"), *item;
    struct val *data = val_put_cstr(val_obj(), "task", val_cstr(f->task->pointer));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if ((item = val_get_cstr(args, names[i])) != NULL)
            data = val_put_cstr(data, names[i], val_ref(item));
    data = val_put_cstr(data, "input", input ? val_ref(input) : val_ref(f->input));
    data = val_put_cstr(data, "await", val_bool(f->task->run.await));
    if (!f->task->run.await)
        return flow_ask(s, NULL, ROLE_NONE, FLOW_CHILD, data);
    flow_to(f, STEP_WAIT);
    return flow_ask(s, f, ROLE_BODY, FLOW_CHILD, data);
}

// Of {"code","stdout","stderr"} what `return` names; something else is taken as it is.
static int pick(struct step *s, struct frame *f)
{
    const char *want = f->task->run.ret ? f->task->run.ret : "stdout";
    int rc = got(s, f);
    if (rc != TURN_ON)
        return rc;
    if (strcmp(want, "none") == 0) {
        flow_set(&f->out, val_null());
    } else if (strcmp(want, "all") != 0 && val_is(val_get_cstr(f->out, "stdout"), JSON_STR)) {
        struct val *part = val_get_cstr(f->out, want);
        flow_set(&f->out, part ? val_ref(part) : val_null());
    }
    return f->out ? TURN_ON : E_NOMEM;
}

int flow_body_run(struct step *s, struct frame *f)
{
    const struct flow_task *t = f->task;
    bool child = strcmp(t->run.what, "workflow") == 0;
    struct place p = {.f = f, .scope = f, .dot = f->input};
    AUTO(val) args = NULL;
    if (f->step == STEP_GOT && child && (!t->run.ret || strcmp(t->run.ret, "none") != 0))
        return got(s, f);
    if (f->step == STEP_GOT)
        return pick(s, f);
    if (f->step != STEP_START)
        return TURN_WAIT;
    int rc = flow_fill(s, &p, t->run.args, !child, &args);
    if (rc != 0)
        return rc;
    if (child)
        rc = run_child(s, f, args);
    else
        rc = ask_act(
            s, f, t->run.what,
            val_put_cstr(steal(&args), "return", val_cstr(t->run.ret ? t->run.ret : "stdout")),
            t->run.await);
    if (rc != 0)
        return rc;
    if (t->run.await)
        return TURN_WAIT;
    flow_set(&f->out, val_ref(f->input));
    return TURN_ON;
}

// ---- emit ----

// Whole CloudEvents: what the author left out is made from the run, so that it is the same at every
// replay, and two emits never share an id.
static struct val *whole_event(struct step *s, struct val *takes_event)
{
    struct flow_run *r = s->r;
    struct val *ev = takes_event;
    char text[160];
    if (!val_get_cstr(ev, "specversion"))
        ev = val_put_cstr(ev, "specversion", val_cstr("1.0"));
    if (!val_get_cstr(ev, "id")) {
        struct buf b;
        buf_init(&b, 512);
        (void)buf_fmt(&b, "%.*s-%llu", BYTES_FMT(val_bytes(val_get_cstr(r->started, "run"))),
                      (unsigned long long)r->next_id);
        ev = val_put_cstr(ev, "id", b.failed ? NULL : val_str(buf_bytes(&b)));
        buf_fini(&b);
    }
    if (!val_get_cstr(ev, "source")) {
        struct buf b;
        buf_init(&b, 1024);
        (void)buf_fmt(&b, "/flows/%s/%s", r->plan->about.namespace, r->plan->about.name);
        ev = val_put_cstr(ev, "source", b.failed ? NULL : val_str(buf_bytes(&b)));
        buf_fini(&b);
    }
    if (!val_get_cstr(ev, "time")) {
        time_text(s->at_ms, text);
        ev = val_put_cstr(ev, "time", val_cstr(text));
    }
    return ev;
}

int flow_body_emit(struct step *s, struct frame *f)
{
    struct place p = {.f = f, .scope = f, .dot = f->input};
    struct val *ev = NULL;
    if (f->step == STEP_GOT) {
        int rc = got(s, f);
        if (rc == TURN_ON)
            flow_set(&f->out, steal(&f->carry)); // the event, not what the bus said
        return rc;
    }
    if (f->step != STEP_START)
        return TURN_WAIT;
    int rc = flow_fill(s, &p, f->task->emit.event, false, &ev);
    if (rc != 0)
        return rc;
    rc = val_is(ev, JSON_OBJ) ? flow_unreserved(s, ev)
                              : flow_problem(s, PROBLEM_EXPRESSION, "emit: an event is an object");
    if (rc != 0) {
        val_unref(ev);
        return rc;
    }
    ev = whole_event(s, ev);
    if (!ev)
        return E_NOMEM;
    flow_set(&f->carry, val_ref(ev));
    rc = ask_act(s, f, "emit", ev, true);
    return rc != 0 ? rc : TURN_WAIT;
}
