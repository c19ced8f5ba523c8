// step_try.c: errors: how one rises from its task until a try takes it, what the try does then
// (again, after a while; or its handler), and how a run ends.
// SPDX-License-Identifier: Apache-2.0
#include "base/rng.h"
#include "flow/run_priv.h"
#include <math.h>

#define DELAY_MAX_MS 315576000000.0 // ten years

static const char *pointer_of(const struct frame *f)
{
    return f->task ? f->task->pointer : "";
}

static int mark_faulted(struct step *s, struct frame *f)
{
    struct seen *seen = flow_seen(s->r, f);
    if (!seen)
        return 0;
    seen->state = SEEN_FAULTED;
    seen->ended_ms = s->at_ms;
    flow_seen_keep(&seen->error, f->error);
    return flow_note(s, FLOW_NOTE_FAULTED, f, f->error);
}

// The task is over, with an error that now looks for a try around it.
int flow_raise(struct step *s, struct frame *f, struct val *takes_problem)
{
    struct val *whole = flow_problem_whole(takes_problem, pointer_of(f));
    val_unref(takes_problem);
    if (!whole)
        return E_NOMEM;
    flow_set(&f->error, whole);
    int rc = flow_kill_children(s, f);
    for (int role = 0; rc == 0 && role < ROLES; role++)
        if (role != ROLE_TIMEOUT || !f->own)
            rc = flow_unask(s, f, (enum role)role);
    if (rc < 0)
        return rc;
    f->failed = f->phase;
    f->phase = PHASE_RISE;
    f->part = PART_BODY;
    f->rise = f->own ? NULL : f;
    flow_to(f, STEP_START);
    return f->own ? 0 : mark_faulted(s, f);
}

// ---- does this try take it? ----

static bool fits(const struct val *filter, const struct val *error)
{
    struct bytes key;
    struct val *want;
    for (size_t at = 0; val_is(filter, JSON_OBJ) && val_each(filter, &at, &key, &want);) {
        struct val *have = val_get(error, key);
        if (val_is(want, JSON_NULL))
            continue;
        if (bytes_is(key, "type") ? !flow_problem_same_type(val_bytes(have), val_bytes(want))
                                  : !val_equal(have, want))
            return false;
    }
    return true;
}

static int both(struct step *s, struct place *p, const struct flow_expr *when,
                const struct flow_expr *except_when, bool *ret)
{
    bool yes = true, no = false;
    int rc = when ? flow_test(s, p, when, &yes) : 0;
    if (rc == 0 && yes && except_when)
        rc = flow_test(s, p, except_when, &no);
    *ret = yes && !no;
    return rc;
}

static int catches(struct step *s, struct frame *f, struct frame *a, bool *ret)
{
    const struct flow_task *t = a->task;
    struct place p = {.f = f, .scope = a, .dot = a->input, .name = t->try_.as, .value = f->error};
    AUTO(val) filter = NULL;
    *ret = false;
    int rc = t->try_.errors ? flow_fill(s, &p, t->try_.errors, false, &filter) : 0;
    if (rc != 0 || !fits(filter, f->error))
        return rc;
    return both(s, &p, t->try_.when, t->try_.except_when, ret);
}

static int caught(struct step *s, struct frame *f, struct frame *a)
{
    struct val *error = val_ref(f->error);
    bool same = a == f;
    int rc = flow_unask(s, a, ROLE_ATTEMPT);
    if (rc == 0 && !same)
        rc = flow_kill_children(s, a); // f among them
    flow_set(&a->error, error);
    a->own = a->faulted = false;
    a->phase = PHASE_BODY;
    a->part = PART_BODY;
    flow_to(a, STEP_CATCH);
    flow_ready(s->r, a);
    return rc < 0 ? rc : same ? TURN_WAIT : TURN_GONE;
}

// Nobody takes it: the run ends, or waits for a person.
static int uncaught(struct step *s, struct frame *f)
{
    struct flow_run *r = s->r;
    struct seen *seen = flow_seen(r, f);
    uint64_t id;
    f->phase = PHASE_FAILED;
    if (!r->plan->about.stall)
        return flow_end(s, FLOW_FAULTED);
    f->stalled = true;
    r->stalled++;
    if (seen)
        seen->state = SEEN_STALLED;
    struct val *data = val_put_cstr(val_obj(), "task", val_cstr(pointer_of(f)));
    data = val_put_cstr(data, "error", val_ref(f->error));
    if (!data)
        return E_NOMEM;
    int rc = flow_command(s, FLOW_STALL, data, &id);
    return rc < 0 ? rc : TURN_WAIT;
}

static int pass(struct step *s, struct frame *f, struct frame *a)
{
    int rc = 0;
    if (a == f && f->own) { // an attempt was too long, and its own try does not take that
        f->own = false;
        rc = flow_unask(s, f, ROLE_TIMEOUT);
        if (rc == 0)
            rc = mark_faulted(s, f);
    } else {
        a->faulted = true;
    }
    f->rise = a;
    flow_answers_drop(f);
    return rc;
}

int flow_rise(struct step *s, struct frame *f)
{
    for (;;) {
        struct frame *a = f->rise ? f->rise->parent : f;
        if (!a) {
            int rc = uncaught(s, f);
            return rc < 0 ? rc : TURN_WAIT;
        }
        const struct flow_task *t = a->task;
        bool body = a->part == PART_BODY;
        if (t && t->kind == FLOW_KIND_FORK && t->fork.compete && body && a->children > 1) {
            int rc = flow_kill(s, f->rise); // one runner less, f among what falls
            return rc < 0 ? rc : TURN_GONE;
        }
        if (t && t->kind == FLOW_KIND_TRY && body) {
            bool yes = false;
            int rc = catches(s, f, a, &yes);
            if (rc == TURN_RAISED) { // the filter itself failed: that is the error now
                flow_set(&f->error, flow_problem_whole(s->problem, t->pointer));
                rc = f->error ? 0 : E_NOMEM;
                yes = false;
            }
            if (rc != 0)
                return rc;
            if (yes)
                return caught(s, f, a);
        }
        int rc = pass(s, f, a);
        if (rc < 0)
            return rc;
    }
}

// ---- try ----

static int delay_of(struct step *s, struct place *p, const struct flow_retry *r, uint32_t n,
                    int64_t *ret_ms)
{
    int64_t base = 0, step_ms = 0, cap = 0, from = 0, to = 0;
    int rc = r->delay.there ? flow_dur_ms(s, p, &r->delay, &base) : 0;
    step_ms = base;
    if (rc == 0 && r->increment.there)
        rc = flow_dur_ms(s, p, &r->increment, &step_ms);
    if (rc == 0 && r->delay_max.there)
        rc = flow_dur_ms(s, p, &r->delay_max, &cap);
    if (rc == 0 && r->jitter_from.there)
        rc = flow_dur_ms(s, p, &r->jitter_from, &from);
    if (rc == 0 && r->jitter_to.there)
        rc = flow_dur_ms(s, p, &r->jitter_to, &to);
    if (rc != 0)
        return rc;
    double ms = (double)base;
    if (r->backoff == FLOW_BACKOFF_LINEAR)
        ms += (double)step_ms * n;
    else if (r->backoff == FLOW_BACKOFF_EXPONENTIAL)
        ms *= pow(r->factor, n);
    if (r->delay_max.there && ms > (double)cap)
        ms = (double)cap;
    *ret_ms = (int64_t)(ms < 0 ? 0 : ms > DELAY_MAX_MS ? DELAY_MAX_MS : ms);
    if (to >= from && to > 0) { // chance, but the run's own: the same at every replay
        struct rng rng;
        rng_init(&rng, s->r->seed ^ (s->r->next_id * 0x9e3779b97f4a7c15ULL));
        *ret_ms += from + (int64_t)rng_below(&rng, (uint64_t)(to - from) + 1);
    }
    return 0;
}

static int another(struct step *s, struct frame *f, bool *ret, int64_t *ret_delay_ms)
{
    const struct flow_retry *r = f->task->try_.retry;
    struct place p = {.f = f, .scope = f, .dot = f->input};
    int64_t limit = 0;
    *ret = false;
    if (!r || (r->attempts_max >= 0 && f->attempt >= (uint64_t)r->attempts_max))
        return 0;
    bool yes = false;
    int rc = both(s, &p, r->when, r->except_when, &yes);
    if (rc != 0 || !yes)
        return rc;
    rc = delay_of(s, &p, r, f->attempt, ret_delay_ms);
    if (rc == 0 && r->limit_duration.there)
        rc = flow_dur_ms(s, &p, &r->limit_duration, &limit);
    *ret = rc == 0 && (!r->limit_duration.there || s->at_ms + *ret_delay_ms - f->first_ms <= limit);
    return rc;
}

static int attempt(struct step *s, struct frame *f)
{
    const struct flow_retry *r = f->task->try_.retry;
    struct place p = {.f = f, .scope = f, .dot = f->input};
    int rc = 0;
    if (f->attempt == 0 && f->first_ms == 0)
        f->first_ms = s->at_ms;
    if (r && r->attempt_duration.there) {
        rc = flow_dur_ms(s, &p, &r->attempt_duration, &f->due_ms);
        if (rc == 0)
            rc = flow_ask_timer(s, f, ROLE_ATTEMPT, s->at_ms + f->due_ms, "timeout");
    }
    flow_set(&f->error, NULL);
    if (rc == 0)
        rc = flow_list_start(s, f, &f->task->try_.list, PART_BODY, f->input);
    return rc != 0 ? rc : TURN_WAIT;
}

static int on_catch(struct step *s, struct frame *f)
{
    struct seen *seen = flow_seen(s->r, f);
    bool again = false;
    int64_t delay = 0;
    int rc = another(s, f, &again, &delay);
    if (rc != 0)
        return rc;
    if (again) {
        f->attempt++;
        seen->attempt = f->attempt;
        flow_to(f, STEP_DELAY);
        rc = flow_note(s, FLOW_NOTE_RETRIED, f, f->error);
        if (rc == 0 && delay > 0)
            rc = flow_ask_timer(s, f, ROLE_BODY, s->at_ms + delay, "retry");
        else if (rc == 0)
            rc = attempt(s, f);
        return rc != 0 ? rc : TURN_WAIT;
    }
    if (f->task->try_.handler.count > 0) {
        rc = flow_list_start(s, f, &f->task->try_.handler, PART_HANDLER, f->input);
        return rc != 0 ? rc : TURN_WAIT;
    }
    if (f->task->try_.retry) { // no more attempts, and nobody handles it
        flow_set(&s->problem, steal(&f->error));
        return TURN_RAISED;
    }
    flow_set(&f->out, val_ref(f->input));
    return TURN_ON;
}

int flow_body_try(struct step *s, struct frame *f)
{
    if (f->step == STEP_START || f->step == STEP_GOT)
        return attempt(s, f);
    if (f->step == STEP_CATCH)
        return on_catch(s, f);
    if (f->step != STEP_LISTED)
        return TURN_WAIT;
    flow_set(&f->error, NULL);
    flow_set(&f->out, steal(&f->carry));
    return flow_unask(s, f, ROLE_ATTEMPT);
}

// ---- the end ----

// A faulted run keeps its frames: a person may let it go on. What was awaited is not any more.
static int cut_all(struct step *s)
{
    struct frame *root = s->r->root;
    int rc = 0;
    for (struct frame *f = root; f && rc == 0; f = flow_frame_next(root, f)) {
        bool waits = f->wait[ROLE_BODY] || f->wait[ROLE_EVAL];
        if (f->wait[ROLE_BODY])
            f->step = STEP_START;
        f->cut = waits || f->wait[ROLE_TIMEOUT] || f->wait[ROLE_ATTEMPT];
        for (int role = 0; rc == 0 && role < ROLES; role++)
            rc = flow_unask(s, f, (enum role)role);
    }
    return rc;
}

static int drop_detached(struct step *s)
{
    struct flow_run *r = s->r;
    struct frame none = {0};
    int rc = 0;
    while (rc == 0 && r->pend_count > 0) {
        none.wait[ROLE_BODY] = r->pends[0].ev.id;
        rc = flow_unask(s, &none, ROLE_BODY);
    }
    return rc;
}

static const struct frame *failed_one(const struct flow_run *r)
{
    const struct frame *f = r->root;
    while (f && f->phase != PHASE_FAILED)
        f = flow_frame_next(r->root, f);
    return f;
}

int flow_end(struct step *s, enum flow_status how)
{
    static const enum flow_note_kind notes[] = {
        [FLOW_COMPLETED] = FLOW_NOTE_COMPLETED,
        [FLOW_FAULTED] = FLOW_NOTE_FAULTED,
        [FLOW_CANCELLED] = FLOW_NOTE_CANCELLED,
        [FLOW_TERMINATED] = FLOW_NOTE_CANCELLED,
    };
    struct flow_run *r = s->r;
    struct val *data = val_put_cstr(val_obj(), "status", val_cstr(flow_status_name(how)));
    uint64_t id;
    int rc = 0;
    r->status = how;
    r->ended_ms = s->at_ms;
    if (how == FLOW_COMPLETED) {
        flow_set(&r->output, steal(&r->root->out));
        data = val_put_cstr(data, "output", val_ref(r->output));
        rc = flow_kill(s, r->root); // with what a damaged state had beside it
    } else if (how == FLOW_FAULTED) {
        const struct frame *f = failed_one(r);
        flow_set(&r->error, f ? val_ref(f->error) : NULL);
        data = val_put_cstr(data, "error", val_ref(r->error));
        rc = cut_all(s);
    } else {
        rc = flow_kill(s, r->root);
        if (rc == 0)
            rc = drop_detached(s);
    }
    if (rc < 0 || !data) {
        val_unref(data);
        return E_NOMEM;
    }
    rc = flow_command(s, FLOW_END, data, &id);
    return rc < 0 ? rc
                  : flow_note(s, notes[how], NULL, how == FLOW_COMPLETED ? r->output : r->error);
}
