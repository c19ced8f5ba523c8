// step_kinds.c: the tasks that need nobody outside: do, set, switch, for, fork, raise, wait.
// SPDX-License-Identifier: Apache-2.0
#include "flow/run_priv.h"

int flow_body_do(struct step *s, struct frame *f)
{
    if (f->step == STEP_LISTED) {
        flow_set(&f->out, steal(&f->carry));
        return TURN_ON;
    }
    int rc =
        f->step == STEP_START ? flow_list_start(s, f, &f->task->do_.list, PART_BODY, f->input) : 0;
    return rc != 0 ? rc : TURN_WAIT;
}

int flow_body_set(struct step *s, struct frame *f)
{
    struct place p = {.f = f, .scope = f, .dot = f->input};
    struct val *v = NULL;
    int rc = flow_fill(s, &p, f->task->set.tmpl, false, &v);
    if (rc == 0)
        flow_set(&f->out, v);
    return rc;
}

int flow_body_switch(struct step *s, struct frame *f)
{
    struct place p = {.f = f, .scope = f, .dot = f->input};
    const struct flow_case *found = NULL, *cases = f->task->switch_.cases;
    for (size_t i = 0; i < f->task->switch_.count; i++) {
        bool fits = false;
        int rc = cases[i].when ? flow_test(s, &p, cases[i].when, &fits) : 0;
        if (rc != 0)
            return rc;
        if (fits) {
            found = &cases[i];
            break;
        }
        if (!cases[i].when)
            found = &cases[i]; // the default, wherever it stands
    }
    if (found)
        f->go = found->go;
    flow_set(&f->out, val_ref(f->input));
    return TURN_ON;
}

// ---- for ----

static int for_items(struct step *s, struct frame *f)
{
    struct place p = {.f = f, .scope = f, .dot = f->input};
    AUTO(val) items = NULL;
    int rc = flow_eval(s, &p, f->task->for_.in, &items);
    if (rc != 0)
        return rc;
    if (val_is(items, JSON_NULL))
        flow_set(&items, val_arr());
    if (!val_is(items, JSON_ARR))
        return items ? flow_problem(s, PROBLEM_EXPRESSION, "for: in gave no array") : E_NOMEM;
    flow_set(&f->items, steal(&items));
    flow_set(&f->carry, val_ref(f->input));
    f->index = 0;
    flow_to(f, STEP_NEXT);
    return 0;
}

int flow_body_for(struct step *s, struct frame *f)
{
    int rc = f->step == STEP_START ? for_items(s, f) : 0;
    if (rc != 0)
        return rc;
    if (f->step == STEP_LISTED) {
        f->index++;
        flow_to(f, STEP_NEXT);
    }
    if (f->step != STEP_NEXT)
        return TURN_WAIT;
    bool more = f->index < val_len(f->items);
    if (more) {
        flow_set(&f->item, val_ref(val_at(f->items, f->index)));
        struct place p = {.f = f, .scope = f, .dot = f->carry};
        rc = f->task->for_.while_ ? flow_test(s, &p, f->task->for_.while_, &more) : 0;
        if (rc != 0)
            return rc;
    }
    if (more) {
        rc = flow_list_start(s, f, &f->task->for_.list, PART_BODY, f->carry);
        return rc != 0 ? rc : TURN_WAIT;
    }
    flow_set(&f->item, NULL);
    flow_set(&f->items, NULL);
    flow_set(&f->out, steal(&f->carry));
    return TURN_ON;
}

// ---- fork ----

int flow_body_fork(struct step *s, struct frame *f)
{
    const struct flow_list *l = &f->task->fork.branches;
    if (f->step == STEP_LISTED) {
        flow_set(&f->items, NULL);
        flow_set(&f->out, steal(&f->carry));
        return TURN_ON;
    }
    if (f->step != STEP_START)
        return TURN_WAIT;
    f->step = STEP_LIST;
    f->left = (uint32_t)l->count;
    struct val *outputs = val_arr();
    for (size_t i = 0; i < l->count; i++)
        outputs = val_push(outputs, val_null());
    flow_set(&f->items, outputs);
    if (!outputs)
        return E_NOMEM;
    for (size_t i = 0; i < l->count; i++) {
        int rc = flow_spawn(s, f, l->tasks[i], f->input);
        if (rc != 0)
            return rc;
    }
    if (l->count > 0)
        return TURN_WAIT;
    flow_set(&f->out, steal(&f->items));
    return TURN_ON;
}

// ---- raise, wait ----

int flow_body_raise(struct step *s, struct frame *f)
{
    struct place p = {.f = f, .scope = f, .dot = f->input};
    struct val *error = NULL;
    int rc = flow_fill(s, &p, f->task->raise.error, false, &error);
    if (rc != 0)
        return rc;
    flow_set(&s->problem, error);
    return TURN_RAISED;
}

int flow_body_wait(struct step *s, struct frame *f)
{
    struct place p = {.f = f, .scope = f, .dot = f->input};
    if (f->step == STEP_WAIT)
        return TURN_WAIT;
    if (f->step == STEP_START) {
        int64_t ms = 0;
        int rc = f->due_ms == 0 ? flow_dur_ms(s, &p, &f->task->wait.dur, &ms) : 0;
        if (rc != 0)
            return rc;
        if (f->due_ms == 0)
            f->due_ms = s->at_ms + ms;
        flow_to(f, STEP_WAIT);
        flow_seen(s->r, f)->state = SEEN_WAITING;
        rc = flow_note(s, FLOW_NOTE_WAITING, f, NULL);
        if (rc == 0)
            rc = flow_ask_timer(s, f, ROLE_BODY, f->due_ms, "wait");
        return rc != 0 ? rc : TURN_WAIT;
    }
    flow_set(&f->out, val_ref(f->input));
    return TURN_ON;
}
