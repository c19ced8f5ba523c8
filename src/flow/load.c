// load.c: a run from its saved state (save.c has the form). The state may be damaged: what does not
// fit the plan is refused.
// SPDX-License-Identifier: Apache-2.0
#include "flow/run_priv.h"

struct loader {
    struct flow_run *r;
    struct val *vals;
    struct frame **frames;
    size_t count;
};

static int64_t num(const struct val *o, const char *key)
{
    return val_i64(val_get_cstr(o, key), 0);
}

static bool load_val(const struct loader *l, const struct val *place, struct val **ret)
{
    int64_t at = val_i64(place, -1);
    if (!place)
        return true;
    if (at < 0 || (uint64_t)at >= val_len(l->vals))
        return false;
    *ret = val_ref(val_at(l->vals, (size_t)at));
    return true;
}

static struct frame *frame_at(const struct loader *l, const struct val *slot)
{
    int64_t at = val_i64(slot, -1);
    return at >= 0 && (uint64_t)at < l->count ? l->frames[at] : NULL;
}

static const struct flow_task *task_at(const struct loader *l, const struct val *index)
{
    int64_t at = val_i64(index, -1);
    return at >= 0 && (uint64_t)at < l->r->plan->task_count ? l->r->plan->tasks[at] : NULL;
}

static int load_answers(const struct loader *l, const struct val *all, struct frame *f)
{
    size_t n = val_len(all);
    if (n == 0)
        return 0;
    f->answers = mem_array(n, sizeof *f->answers);
    if (!f->answers)
        return E_NOMEM;
    f->answer_room = (uint32_t)n;
    for (size_t i = 0; i < n; i++) {
        const struct val *one = val_at(all, i);
        f->answers[i].expr = (uint32_t)val_i64(val_at(one, 0), 0);
        if (!load_val(l, val_at(one, 1), &f->answers[i].data) || !f->answers[i].data)
            return E_INVALID;
        f->answer_count++;
    }
    return 0;
}

static int load_numbers(const struct loader *l, const struct val *o, struct frame *f)
{
    const struct val *go = val_get_cstr(o, "go");
    int64_t phase = num(o, "ph"), step = num(o, "st"), part = num(o, "pa"), failed = num(o, "fp");
    int64_t flags = num(o, "fl");
    if (phase < 0 || phase > PHASE_FAILED || step < 0 || step > STEP_UNTIL || part < 0 ||
        part > PART_AFTER || failed < 0 || failed > PHASE_FAILED)
        return E_INVALID;
    f->phase = (uint8_t)phase;
    f->step = (uint8_t)step;
    f->part = (uint8_t)part;
    f->failed = (uint8_t)failed;
    f->extension = flags & 1;
    f->skipped = flags & 2;
    f->exited = flags & 4;
    f->cut = flags & 8;
    f->stalled = flags & 16;
    f->faulted = flags & 32;
    f->own = flags & 64;
    l->r->stalled += f->stalled;
    f->index = (uint64_t)num(o, "ix");
    f->mask = (uint64_t)num(o, "ms");
    f->until = (uint64_t)num(o, "un");
    f->started_ms = num(o, "at");
    f->due_ms = num(o, "du");
    f->timeout_ms = num(o, "to");
    f->first_ms = num(o, "fi");
    f->attempt = (uint32_t)num(o, "n1");
    f->left = (uint32_t)num(o, "le");
    f->extensions = (uint32_t)num(o, "ex");
    if (go) {
        int64_t then = val_i64(val_at(go, 0), -1);
        if (then < 0 || then > FLOW_THEN_TASK)
            return E_INVALID;
        f->go.then = (enum flow_then)then;
        f->go.to = (struct flow_task *)(uintptr_t)task_at(l, val_at(go, 1));
        if (f->go.then == FLOW_THEN_TASK && !f->go.to)
            return E_INVALID;
    }
    return 0;
}

static int load_frame(struct loader *l, const struct val *o)
{
    static const char *const names[] = {"r", "i", "o", "c", "g", "e", "n", "b", "k", "m"};
    const struct flow_task *t = NULL;
    struct frame *parent = NULL;
    if (l->count > 0) {
        int64_t up = num(o, "p");
        t = task_at(l, val_get_cstr(o, "t"));
        parent = up >= 0 && (uint64_t)up < l->count ? l->frames[up] : NULL;
        if (!t || !parent)
            return E_INVALID;
    }
    struct frame *f = flow_frame_new(parent, t);
    if (!f)
        return E_NOMEM;
    if (!parent)
        l->r->root = f;
    l->frames[l->count++] = f;
    struct val **held[] = {&f->raw,   &f->input, &f->out,   &f->carry, &f->got,
                           &f->error, &f->items, &f->inbox, &f->keys,  &f->item};
    for (size_t i = 0; i < sizeof held / sizeof *held; i++)
        if (!load_val(l, val_get_cstr(o, names[i]), held[i]))
            return E_INVALID;
    int rc = load_numbers(l, o, f);
    return rc < 0 ? rc : load_answers(l, val_get_cstr(o, "an"), f);
}

static int load_pend(const struct loader *l, const struct val *a)
{
    int64_t id = val_i64(val_at(a, 0), 0), type = val_i64(val_at(a, 1), -1);
    int64_t role = val_i64(val_at(a, 4), -1), slot = val_i64(val_at(a, 3), -1);
    struct pend p = {.frame = frame_at(l, val_at(a, 3))};
    uint64_t last = l->r->pend_count > 0 ? l->r->pends[l->r->pend_count - 1].ev.id : 0;
    if (id <= 0 || (uint64_t)id <= last || (uint64_t)id >= l->r->next_id || type < FLOW_ACT ||
        type > FLOW_LISTEN || role < 0 || role >= ROLES ||
        (slot >= 0 && (!p.frame || p.frame->wait[role] > 0)))
        return E_INVALID;
    p.role = (enum role)role;
    p.ev = (struct flow_event){.type = (enum flow_type)type,
                               .id = (uint64_t)id,
                               .at_ms = val_i64(val_at(a, 2), 0),
                               .data = val_at(a, 5)};
    if (p.role == ROLE_EVAL && p.frame) { // the answer's place is kept free, with its expression
        struct frame *f = p.frame;
        struct answer *more = mem_realloc(f->answers, (f->answer_count + 1) * sizeof *f->answers);
        if (!more)
            return E_NOMEM;
        f->answers = more;
        f->answer_room = f->answer_count + 1;
        f->answers[f->answer_count] = (struct answer){.expr = (uint32_t)val_i64(val_at(a, 6), 0)};
    }
    int rc = flow_pend_add(l->r, &p);
    if (rc == 0 && p.frame)
        p.frame->wait[p.role] = p.ev.id;
    return rc;
}

static int load_seen(const struct loader *l, const struct val *a)
{
    const struct flow_task *t = task_at(l, val_at(a, 0));
    int64_t state = val_i64(val_at(a, 1), -1);
    if (!t || state < 0 || state > SEEN_STALLED)
        return E_INVALID;
    struct seen *x = &l->r->seen[t->index];
    x->state = (uint8_t)state;
    x->count = (uint32_t)val_i64(val_at(a, 2), 0);
    x->attempt = (uint32_t)val_i64(val_at(a, 3), 0);
    x->started_ms = val_i64(val_at(a, 4), 0);
    x->ended_ms = val_i64(val_at(a, 5), 0);
    struct val **held[] = {&x->input, &x->output, &x->error};
    for (size_t i = 0; i < 3; i++) {
        struct val *place = val_at(a, 6 + i);
        flow_set(held[i], NULL);
        if (val_i64(place, -1) >= 0 && !load_val(l, place, held[i]))
            return E_INVALID;
    }
    return 0;
}

static bool above(const struct frame *up, const struct frame *f)
{
    while (f && f != up)
        f = f->parent;
    return f != NULL;
}

static int load_lists(struct loader *l, const struct val *state)
{
    const struct val *frames = val_get_cstr(state, "frames"), *ready = val_get_cstr(state, "ready");
    const struct val *pends = val_get_cstr(state, "pends"), *seen = val_get_cstr(state, "seen");
    int rc = 0;
    l->frames = mem_array(val_len(frames) + 1, sizeof *l->frames);
    if (!l->frames)
        return E_NOMEM;
    for (size_t i = 0; rc == 0 && i < val_len(frames); i++)
        rc = load_frame(l, val_at(frames, i));
    for (size_t i = 0; rc == 0 && i < l->count; i++) {
        const struct val *rise = val_get_cstr(val_at(frames, i), "ri");
        l->frames[i]->rise = frame_at(l, rise);
        rc = rise && !above(l->frames[i]->rise, l->frames[i]) ? E_INVALID : 0;
    }
    for (size_t i = 0; rc == 0 && i < val_len(ready); i++) {
        struct frame *f = frame_at(l, val_at(ready, i));
        rc = f ? 0 : E_INVALID;
        if (f)
            flow_ready(l->r, f);
    }
    for (size_t i = 0; rc == 0 && i < val_len(pends); i++)
        rc = load_pend(l, val_at(pends, i));
    for (size_t i = 0; rc == 0 && i < val_len(seen); i++)
        rc = load_seen(l, val_at(seen, i));
    mem_free(l->frames);
    return rc;
}

static int load_run(struct loader *l, const struct val *state)
{
    struct flow_run *r = l->r;
    int64_t status = num(state, "status"), id = num(state, "id");
    struct val *started = val_get_cstr(state, "run");
    if (num(state, "v") != 1 || status < 0 || status > FLOW_TERMINATED || id < 1)
        return E_INVALID;
    r->status = (enum flow_status)status;
    r->next_id = (uint64_t)id;
    r->next_signal = (uint64_t)num(state, "sig") + 1;
    r->entries = (uint64_t)num(state, "n");
    r->started = val_ref(started);
    r->seed = (uint64_t)val_i64(val_get_cstr(started, "seed"), 0);
    r->chapter_max = (uint64_t)val_i64(val_get_cstr(started, "chapter_max"), 0);
    r->started_ms = num(state, "at");
    r->ended_ms = num(state, "end");
    r->paused = num(state, "paused") != 0;
    r->yielded = num(state, "yielded") != 0;
    if (!load_val(l, val_get_cstr(state, "in"), &r->raw_input) ||
        !load_val(l, val_get_cstr(state, "ctx"), &r->context) ||
        !load_val(l, val_get_cstr(state, "out"), &r->output) ||
        !load_val(l, val_get_cstr(state, "err"), &r->error) ||
        !load_val(l, val_get_cstr(state, "signals"), &r->signals))
        return E_INVALID;
    int rc = load_lists(l, state);
    bool open = r->status == FLOW_RUNNING || r->status == FLOW_FAULTED;
    return rc == 0 && open != (r->root != NULL) ? E_INVALID : rc;
}

int flow_load_into(struct flow_run *r, const struct val *state, struct err *e)
{
    struct loader l = {.r = r, .vals = val_get_cstr(state, "vals")};
    int rc = load_run(&l, state);
    if (rc == E_NOMEM)
        return err_set(e, rc, "a run needs memory");
    if (rc < 0)
        return err_set(e, E_INVALID,
                       "this is not the state of a run of this workflow: it is damaged, or of "
                       "another document or a newer plexus");
    return 0;
}

int flow_load(struct flow_run **ret, struct flow_plan *plan, const struct val *state, struct err *e)
{
    AUTO(flow_run) r = NULL;
    int rc = flow_run_new(&r, plan, e);
    if (rc == 0)
        rc = flow_load_into(r, state, e);
    if (rc == 0)
        *ret = steal(&r);
    return rc;
}
