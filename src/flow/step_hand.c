// step_hand.c: what a person does to a run: retry, skip, edit, pause, resume, cancel, terminate.
// SPDX-License-Identifier: Apache-2.0
#include "flow/run_priv.h"
#include <string.h>

// ---- which task is meant ----

static bool named(const struct frame *f, struct bytes task)
{
    return f->task && (bytes_is(task, f->task->pointer) || bytes_is(task, f->task->name));
}

static bool delayed(const struct frame *f) // a try between two attempts
{
    return f->task && f->task->kind == FLOW_KIND_TRY && f->step == STEP_DELAY;
}

// A task inside a try that failed is gone while the try waits: then the try is meant.
static bool inside(const struct frame *f, struct bytes task)
{
    struct bytes own = bytes_of(f->task->pointer);
    return bytes_starts(task, own) && task.n > own.n && task.p[own.n] == '/';
}

static bool stopped(const struct frame *f)
{
    return f->phase == PHASE_FAILED || f->phase == PHASE_RISE;
}

static bool working(const struct frame *f) // on something outside: it may be stuck
{
    return f->phase == PHASE_BODY && f->step == STEP_WAIT && f->task &&
           (f->task->kind == FLOW_KIND_CALL || f->task->kind == FLOW_KIND_RUN ||
            f->task->kind == FLOW_KIND_EMIT);
}

// The first that fits best: failed, between attempts, at work (a retry only).
static struct frame *find(const struct flow_run *r, struct bytes task, bool only_stopped)
{
    for (int round = 0; round < (only_stopped ? 2 : 3); round++)
        for (struct frame *f = r->root; f; f = flow_frame_next(r->root, f)) {
            bool meant = task.n == 0 || named(f, task);
            if (round == 0 && stopped(f) && meant)
                return f;
            if (round == 1 && delayed(f) && (meant || inside(f, task)))
                return f;
            if (round == 2 && working(f) && task.n > 0 && meant)
                return f;
        }
    return NULL;
}

static struct frame *find_any(const struct flow_run *r, struct bytes task)
{
    struct frame *f = r->root;
    while (f && !named(f, task))
        f = flow_frame_next(r->root, f);
    return f;
}

// ---- going on ----

static int reopen(struct step *s)
{
    struct flow_run *r = s->r;
    int rc = 0;
    if (r->status != FLOW_FAULTED)
        return 0;
    r->status = FLOW_RUNNING;
    r->ended_ms = 0;
    flow_set(&r->error, NULL);
    for (struct frame *f = r->root; f && rc == 0; f = flow_frame_next(r->root, f)) {
        f->faulted = false;
        if (!f->cut)
            continue;
        f->cut = false;
        if (f->timeout_ms > 0 && f->phase == PHASE_BODY)
            rc = flow_ask_timer(s, f, ROLE_TIMEOUT, s->at_ms + f->timeout_ms, "timeout");
        flow_ready(r, f);
    }
    return rc < 0 ? rc : flow_note(s, FLOW_NOTE_RESUMED, NULL, NULL);
}

static int clear(struct step *s, struct frame *f)
{
    struct val **all[] = {&f->out,   &f->carry, &f->got,  &f->error,
                          &f->items, &f->inbox, &f->keys, &f->item};
    int rc = flow_kill_children(s, f);
    for (int role = 0; rc == 0 && role < ROLES; role++)
        rc = flow_unask(s, f, (enum role)role);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        flow_set(all[i], NULL);
    if (f->stalled) {
        f->stalled = false;
        s->r->stalled--;
    }
    f->cut = f->own = f->faulted = f->exited = false;
    f->part = PART_BODY;
    f->rise = NULL;
    f->index = f->mask = f->until = 0;
    f->due_ms = f->first_ms = f->timeout_ms = 0;
    f->left = f->extensions = 0;
    return rc;
}

static int restart(struct step *s, struct frame *f)
{
    struct seen *seen = flow_seen(s->r, f);
    struct val *raw_output = NULL;
    bool try_ = f->task && f->task->kind == FLOW_KIND_TRY;
    enum phase phase = PHASE_INPUT;
    if (!f->task && f->failed == PHASE_OUTPUT) { // the workflow's: all its tasks are done
        phase = PHASE_OUTPUT;
        raw_output = val_ref(f->out);
    }
    int rc = clear(s, f);
    f->out = raw_output;
    f->phase = (uint8_t)phase;
    f->failed = 0;
    f->attempt = try_ ? 0 : f->attempt + 1; // a try begins anew with its attempts
    f->started_ms = s->at_ms;
    flow_to(f, STEP_START);
    flow_ready(s->r, f);
    if (seen) {
        seen->state = SEEN_RUNNING;
        seen->attempt = f->attempt;
        flow_set(&seen->error, NULL);
    }
    return rc < 0 ? rc : flow_note(s, FLOW_NOTE_RETRIED, f, NULL);
}

static int retry(struct step *s, struct frame *f)
{
    int rc = reopen(s);
    if (rc < 0)
        return rc;
    if (!delayed(f))
        return restart(s, f);
    rc = flow_unask(s, f, ROLE_BODY); // now, not later
    f->step = STEP_GOT;
    flow_ready(s->r, f);
    return rc;
}

static int edit(struct step *s, struct frame *f, struct val *input)
{
    struct seen *seen = flow_seen(s->r, f);
    flow_set(&f->raw, val_ref(input));
    if (seen)
        flow_seen_keep(&seen->input, input);
    if (!f->task) {
        flow_set(&s->r->raw_input, val_ref(input));
        flow_set(&s->r->workflow, NULL); // it has the input
    }
    int rc = reopen(s);
    return rc < 0 ? rc : restart(s, f);
}

static int skip(struct step *s, struct frame *f, struct val *output)
{
    int rc = reopen(s);
    if (rc == 0)
        rc = clear(s, f);
    if (rc < 0)
        return rc;
    f->skipped = true;
    f->out = val_ref(output ? output : f->raw);
    f->phase = PHASE_DONE;
    f->go = f->task->go;
    flow_to(f, STEP_START);
    flow_ready(s->r, f);
    return 0;
}

// ---- the run as a whole ----

static int pause(struct step *s, bool on)
{
    if (s->r->paused == on)
        return 0;
    s->r->paused = on;
    return flow_note(s, on ? FLOW_NOTE_SUSPENDED : FLOW_NOTE_RESUMED, NULL, NULL);
}

static int on_task(struct step *s, const char *action, const struct val *data)
{
    struct flow_run *r = s->r;
    struct bytes task = val_bytes(val_get_cstr(data, "task"));
    struct val *input = val_get_cstr(data, "input");
    bool edits = strcmp(action, "edit") == 0, skips = strcmp(action, "skip") == 0;
    struct frame *f = skips && task.n > 0 ? find_any(r, task) : find(r, task, edits);
    if (!f)
        return err_set(s->e, E_CONFLICT,
                       "%s: %.*s%s: it has neither failed nor does it wait for another attempt; "
                       "flow show tells how each task is",
                       action, BYTES_FMT(task), task.n > 0 ? "" : "no task");
    if (skips && !f->task)
        return err_set(s->e, E_CONFLICT, "skip: the workflow itself failed, not one of its tasks");
    if (edits && !input)
        return err_set(s->e, E_INVALID, "edit needs \"input\"");
    if (skips)
        return skip(s, f, val_get_cstr(data, "output"));
    return edits ? edit(s, f, input) : retry(s, f);
}

int flow_hand(struct step *s, const struct val *data)
{
    struct flow_run *r = s->r;
    const char *action = val_text(val_get_cstr(data, "action"), "");
    bool on_run = strcmp(action, "pause") == 0 || strcmp(action, "resume") == 0 ||
                  strcmp(action, "cancel") == 0 || strcmp(action, "terminate") == 0;
    bool task =
        strcmp(action, "retry") == 0 || strcmp(action, "skip") == 0 || strcmp(action, "edit") == 0;
    if (!on_run && !task)
        return err_set(s->e, E_INVALID,
                       "hand: action is retry, skip, edit, pause, resume, cancel or terminate, not "
                       "\"%s\"",
                       action);
    if (r->status != FLOW_RUNNING && (on_run || r->status != FLOW_FAULTED))
        return err_set(s->e, E_CONFLICT, "%s: the run is %s", action, flow_status_name(r->status));
    if (task)
        return on_task(s, action, data);
    if (strcmp(action, "pause") == 0 || strcmp(action, "resume") == 0)
        return pause(s, *action == 'p');
    return flow_end(s, *action == 'c' ? FLOW_CANCELLED : FLOW_TERMINATED);
}
