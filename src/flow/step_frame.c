// step_frame.c: the life of a task: `if`, extensions, input, timeout, body, output, export, `then`.
// Each phase is a function that is run until it is through; one that waits is run again when what
// it waits for is there. The workflow itself is the outermost frame.
// SPDX-License-Identifier: Apache-2.0
#include "flow/run_priv.h"

void flow_to(struct frame *f, int step)
{
    f->step = (uint8_t)step;
    flow_answers_drop(f);
}

// ---- beginning and ending of frames ----

int flow_spawn(struct step *s, struct frame *parent, const struct flow_task *t, struct val *input)
{
    if (parent->depth >= FLOW_DEPTH_MAX)
        return flow_problem(s, PROBLEM_RUNTIME,
                            "tasks are nested more than %d deep: does a function call itself?",
                            FLOW_DEPTH_MAX);
    struct frame *f = flow_frame_new(parent, t);
    if (!f)
        return E_NOMEM;
    f->raw = input ? val_ref(input) : val_null();
    f->started_ms = s->at_ms;
    f->extension = parent->extension || parent->part == PART_BEFORE || parent->part == PART_AFTER;
    s->turns++;
    flow_ready(s->r, f);
    return f->raw ? 0 : E_NOMEM;
}

int flow_list_start(struct step *s, struct frame *f, const struct flow_list *l, enum part part,
                    struct val *input)
{
    f->part = (uint8_t)part;
    f->exited = false;
    flow_to(f, STEP_LIST);
    if (l->count > 0)
        return flow_spawn(s, f, l->tasks[0], input);
    flow_set(&f->carry, input ? val_ref(input) : val_null());
    f->step = STEP_LISTED;
    flow_ready(s->r, f);
    return f->carry ? 0 : E_NOMEM;
}

static int release(struct step *s, struct frame *f)
{
    struct seen *seen = flow_seen(s->r, f);
    int rc = 0;
    for (int role = 0; rc == 0 && role < ROLES; role++)
        rc = flow_unask(s, f, (enum role)role);
    if (rc < 0)
        return rc;
    if (seen && (seen->state == SEEN_RUNNING || seen->state == SEEN_WAITING ||
                 seen->state == SEEN_STALLED)) {
        seen->state = f->faulted ? SEEN_FAULTED : SEEN_CANCELLED;
        seen->ended_ms = s->at_ms;
        rc = flow_note(s, f->faulted ? FLOW_NOTE_FAULTED : FLOW_NOTE_CANCELLED, f,
                       f->faulted ? f->error : NULL);
    }
    flow_frame_free(s->r, f);
    return rc;
}

int flow_kill(struct step *s, struct frame *f)
{
    for (struct frame *at = f;;) {
        while (at->first)
            at = at->first;
        struct frame *up = at->parent;
        bool last = at == f;
        int rc = release(s, at);
        if (rc < 0 || last)
            return rc;
        at = up;
    }
}

int flow_kill_children(struct step *s, struct frame *f)
{
    int rc = 0;
    while (rc == 0 && f->first)
        rc = flow_kill(s, f->first);
    return rc;
}

static int listed(struct step *s, struct frame *f, struct val *takes_out)
{
    flow_set(&f->carry, takes_out);
    f->step = STEP_LISTED;
    flow_ready(s->r, f);
    return 0;
}

int flow_finish(struct step *s, struct val *takes_out)
{
    struct frame *root = s->r->root;
    int rc = flow_kill_children(s, root);
    if (rc < 0) {
        val_unref(takes_out);
        return rc;
    }
    return listed(s, root, takes_out);
}

static int branch_done(struct step *s, struct frame *p, const struct flow_task *t,
                       struct val *takes_out)
{
    if (p->task->fork.compete) {
        int rc = flow_kill_children(s, p);
        if (rc < 0)
            val_unref(takes_out);
        return rc < 0 ? rc : listed(s, p, takes_out);
    }
    p->items = val_set_at(p->items, t->place, takes_out);
    if (!p->items)
        return E_NOMEM;
    p->left--;
    return p->left > 0 ? 0 : listed(s, p, val_ref(p->items));
}

int flow_child_done(struct step *s, struct frame *p, const struct flow_task *t,
                    struct val *takes_out, struct flow_go go)
{
    enum flow_kind kind = p->task ? p->task->kind : FLOW_KIND_DO;
    bool body = p->part == PART_BODY;
    if (kind == FLOW_KIND_CALL && body && p->task->call.task) // its own end, not the workflow's
        return listed(s, p, takes_out);
    if (go.then == FLOW_THEN_END)
        return flow_finish(s, takes_out);
    if (kind == FLOW_KIND_FORK && body)
        return branch_done(s, p, t, takes_out);
    const struct flow_task *next = NULL;
    if (go.then == FLOW_THEN_TASK)
        next = go.to;
    else if (go.then == FLOW_THEN_CONTINUE && t->in && t->place + 1 < t->in->count)
        next = t->in->tasks[t->place + 1];
    p->exited = go.then == FLOW_THEN_EXIT;
    if (!next)
        return listed(s, p, takes_out);
    int rc = flow_spawn(s, p, next, takes_out);
    val_unref(takes_out);
    return rc;
}

// ---- phases ----

static int phase_if(struct step *s, struct frame *f)
{
    struct place p = {.f = f, .scope = f, .dot = f->raw};
    struct seen *seen = flow_seen(s->r, f);
    bool runs = true;
    int rc = f->task->when ? flow_test(s, &p, f->task->when, &runs) : 0;
    if (rc != 0)
        return rc;
    seen->started_ms = f->started_ms;
    seen->count++;
    flow_seen_keep(&seen->input, f->raw);
    flow_set(&seen->output, NULL);
    flow_set(&seen->error, NULL);
    if (runs) {
        seen->state = SEEN_RUNNING;
        return flow_note(s, FLOW_NOTE_STARTED, f, NULL);
    }
    f->skipped = true;
    flow_set(&f->out, val_ref(f->raw));
    f->go = (struct flow_go){.then = FLOW_THEN_CONTINUE};
    f->phase = PHASE_DONE - 1;
    return TURN_ON;
}

static bool extends(const struct flow_extension *x, const struct flow_task *t)
{
    if (x->all)
        return true;
    if (x->composite)
        return t->kind == FLOW_KIND_DO || t->kind == FLOW_KIND_FOR || t->kind == FLOW_KIND_FORK ||
               t->kind == FLOW_KIND_TRY;
    return x->kind == t->kind;
}

// The lists of the extensions that fit, one after the other. What they give is dropped: the task
// goes on with its own data. TURN_ON: all are through.
static int extend(struct step *s, struct frame *f, enum part part, struct val *dot)
{
    const struct flow_plan *plan = s->r->plan;
    if (f->step == STEP_LIST)
        return TURN_WAIT;
    if (f->step == STEP_LISTED) {
        f->extensions++;
        flow_to(f, STEP_START);
    }
    bool any = f->task && !f->extension;
    for (; any && f->extensions < plan->extension_count; f->extensions++) {
        const struct flow_extension *x = &plan->extensions[f->extensions];
        const struct flow_list *l = part == PART_BEFORE ? &x->before : &x->after;
        struct place p = {.f = f, .scope = f, .dot = dot, .output = f->out};
        bool fits = true;
        f->part = (uint8_t)part;
        if (l->count == 0 || !extends(x, f->task))
            continue;
        int rc = x->when ? flow_test(s, &p, x->when, &fits) : 0;
        if (rc != 0)
            return rc;
        flow_to(f, STEP_START);
        if (!fits)
            continue;
        rc = flow_list_start(s, f, l, part, dot);
        return rc != 0 ? rc : TURN_WAIT;
    }
    f->extensions = 0;
    f->part = PART_BODY;
    return TURN_ON;
}

static int phase_before(struct step *s, struct frame *f)
{
    if (f->step == STEP_LISTED && f->exited) { // `exit`: instead of the task
        flow_set(&f->out, steal(&f->carry));
        flow_set(&f->input, val_ref(f->raw));
        f->extensions = 0;
        f->part = PART_BODY;
        f->phase = PHASE_OUTPUT - 1;
        return TURN_ON;
    }
    return extend(s, f, PART_BEFORE, f->raw);
}

static int phase_after(struct step *s, struct frame *f)
{
    return extend(s, f, PART_AFTER, f->out);
}

static int phase_input(struct step *s, struct frame *f)
{
    const struct flow_io *io = f->task ? &f->task->input : &s->r->plan->input;
    struct place p = {.f = f, .scope = f, .dot = f->raw};
    struct val *input = NULL;
    int rc = flow_schema(s, io, f->raw, "the input");
    if (rc == 0 && io->as)
        rc = flow_fill(s, &p, io->as, false, &input);
    else if (rc == 0)
        input = val_ref(f->raw);
    if (rc != 0)
        return rc;
    flow_set(&f->input, input);
    return TURN_ON;
}

static int phase_timeout(struct step *s, struct frame *f)
{
    const struct flow_dur *d = f->task ? &f->task->timeout : &s->r->plan->timeout;
    struct place p = {.f = f, .scope = f, .dot = f->input};
    if (!d->there)
        return TURN_ON;
    int rc = flow_dur_ms(s, &p, d, &f->timeout_ms);
    if (rc != 0)
        return rc;
    return flow_ask_timer(s, f, ROLE_TIMEOUT, s->at_ms + f->timeout_ms, "timeout");
}

static int body_root(struct step *s, struct frame *f)
{
    int rc = 0;
    if (f->step == STEP_START)
        rc = flow_list_start(s, f, &s->r->plan->list, PART_BODY, f->input);
    else if (f->step == STEP_LISTED)
        flow_set(&f->out, steal(&f->carry));
    return rc != 0 ? rc : f->out ? TURN_ON : TURN_WAIT;
}

static int phase_body(struct step *s, struct frame *f)
{
    static int (*const bodies[])(struct step *s, struct frame *f) = {
        [FLOW_KIND_CALL] = flow_body_call,   [FLOW_KIND_DO] = flow_body_do,
        [FLOW_KIND_EMIT] = flow_body_emit,   [FLOW_KIND_FOR] = flow_body_for,
        [FLOW_KIND_FORK] = flow_body_fork,   [FLOW_KIND_LISTEN] = flow_body_listen,
        [FLOW_KIND_RAISE] = flow_body_raise, [FLOW_KIND_RUN] = flow_body_run,
        [FLOW_KIND_SET] = flow_body_set,     [FLOW_KIND_SWITCH] = flow_body_switch,
        [FLOW_KIND_TRY] = flow_body_try,     [FLOW_KIND_WAIT] = flow_body_wait,
    };
    int rc = f->task ? bodies[f->task->kind](s, f) : body_root(s, f);
    if (rc == TURN_ON)
        rc = flow_unask(s, f, ROLE_TIMEOUT);
    return rc;
}

static int phase_output(struct step *s, struct frame *f)
{
    const struct flow_io *io = f->task ? &f->task->output : &s->r->plan->output;
    struct place p = {.f = f, .scope = f, .dot = f->out, .output = f->out};
    AUTO(val) out = NULL;
    int rc = flow_depth(s, f->out, "the output");
    if (rc == 0 && io->as)
        rc = flow_fill(s, &p, io->as, false, &out);
    else if (rc == 0)
        out = val_ref(f->out);
    if (rc == 0)
        rc = flow_schema(s, io, out, "the output");
    if (rc != 0)
        return rc;
    flow_set(&f->got, io->as ? steal(&f->out) : NULL); // $task.output is what it was before
    flow_set(&f->out, steal(&out));
    return TURN_ON;
}

static int phase_export(struct step *s, struct frame *f)
{
    struct place p = {.f = f, .scope = f, .dot = f->out, .output = f->out};
    AUTO(val) context = NULL;
    if (!f->task || !f->task->export.as)
        return TURN_ON;
    int rc = flow_fill(s, &p, f->task->export.as, false, &context);
    if (rc == 0)
        rc = flow_schema(s, &f->task->export, context, "the context");
    if (rc == 0)
        flow_set(&s->r->context, steal(&context));
    return rc;
}

static int phase_done(struct step *s, struct frame *f)
{
    struct seen *seen = flow_seen(s->r, f);
    struct frame *parent = f->parent;
    const struct flow_task *t = f->task;
    struct flow_go go = f->go;
    int rc;
    if (!t) {
        rc = flow_end(s, FLOW_COMPLETED);
        return rc < 0 ? rc : TURN_GONE;
    }
    seen->state = f->skipped ? SEEN_SKIPPED : SEEN_COMPLETED;
    seen->ended_ms = s->at_ms;
    flow_seen_keep(&seen->output, f->out);
    rc = flow_note(s, f->skipped ? FLOW_NOTE_SKIPPED : FLOW_NOTE_COMPLETED, f, f->out);
    if (rc < 0)
        return rc;
    struct val *out = steal(&f->out);
    flow_frame_free(s->r, f);
    rc = flow_child_done(s, parent, t, out, go);
    return rc < 0 ? rc : TURN_GONE;
}

static int phase_failed(struct step *s, struct frame *f)
{
    (void)s;
    (void)f;
    return TURN_WAIT; // for a person
}

static int advance(struct step *s, struct frame *f)
{
    static int (*const phases[])(struct step *s, struct frame *f) = {
        [PHASE_IF] = phase_if,         [PHASE_BEFORE] = phase_before,
        [PHASE_INPUT] = phase_input,   [PHASE_TIMEOUT] = phase_timeout,
        [PHASE_BODY] = phase_body,     [PHASE_OUTPUT] = phase_output,
        [PHASE_EXPORT] = phase_export, [PHASE_AFTER] = phase_after,
        [PHASE_DONE] = phase_done,     [PHASE_RISE] = flow_rise,
        [PHASE_FAILED] = phase_failed,
    };
    for (;;) {
        f->occurrence = 0;
        int rc = phases[f->phase](s, f);
        if (rc == TURN_ON) {
            f->phase++;
            flow_to(f, STEP_START);
            continue;
        }
        if (rc == TURN_RAISED) {
            rc = flow_raise(s, f, steal(&s->problem));
            if (rc == 0)
                continue;
        }
        return rc < 0 ? rc : 0;
    }
}

int flow_frames(struct step *s)
{
    struct flow_run *r = s->r;
    while (r->status == FLOW_RUNNING && !r->paused && !r->yielded && !list_empty(&r->ready)) {
        if (s->turns >= FLOW_TURNS_MAX) {
            uint64_t id;
            r->yielded = true;
            return flow_command(s, FLOW_YIELD, NULL, &id);
        }
        struct frame *f = container_of(r->ready.next, struct frame, ready);
        list_del(&f->ready);
        int rc = advance(s, f);
        if (rc < 0)
            return rc;
    }
    return 0;
}
