// run.c: a run's memory: its frames, what it waits for, what people see of it.
// SPDX-License-Identifier: Apache-2.0
#include "flow/run_priv.h"
#include <string.h>

void flow_set(struct val **at, struct val *takes)
{
    struct val *old = *at;
    *at = takes;
    val_unref(old);
}

// ---- frames ----

static void link_child(struct frame *p, struct frame *f)
{
    f->prev = p->last;
    if (p->last)
        p->last->next = f;
    else
        p->first = f;
    p->last = f;
    p->children++;
}

struct frame *flow_frame_new(struct frame *parent, const struct flow_task *t)
{
    struct frame *f = mem_new(struct frame);
    if (!f)
        return NULL;
    list_init(&f->ready);
    f->task = t;
    f->parent = parent;
    if (!t)
        return f;
    f->depth = parent->depth + 1;
    f->go = t->go;
    link_child(parent, f);
    return f;
}

void flow_answers_drop(struct frame *f)
{
    for (uint32_t i = 0; i < f->answer_count; i++)
        val_unref(f->answers[i].data);
    mem_free(f->answers);
    f->answers = NULL;
    f->answer_count = f->answer_room = f->occurrence = 0;
}

void flow_frame_free(struct flow_run *r, struct frame *f)
{
    struct val **all[] = {&f->raw,   &f->input, &f->out,   &f->carry, &f->got,
                          &f->error, &f->items, &f->inbox, &f->keys,  &f->item};
    struct frame *p = f->parent;
    if (p) {
        *(f->prev ? &f->prev->next : &p->first) = f->next;
        *(f->next ? &f->next->prev : &p->last) = f->prev;
        p->children--;
    } else if (r->root == f) {
        r->root = NULL;
    }
    if (f->stalled)
        r->stalled--;
    for (int role = 0; role < ROLES; role++) { // nothing is awaited, unless the state was damaged
        struct pend *pend = f->wait[role] > 0 ? flow_pend_find(r, f->wait[role]) : NULL;
        if (pend)
            pend->frame = NULL;
    }
    list_del(&f->ready);
    flow_answers_drop(f);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        val_unref(*all[i]);
    mem_free(f);
}

struct frame *flow_frame_next(const struct frame *root, const struct frame *f)
{
    if (f->first)
        return f->first;
    while (f != root && !f->next)
        f = f->parent;
    return f == root ? NULL : f->next;
}

void flow_ready(struct flow_run *r, struct frame *f)
{
    if (list_empty(&f->ready))
        list_add_tail(&r->ready, &f->ready);
}

// ---- what is awaited: by rising ids, so new ones come at the end ----

static size_t pend_at(const struct flow_run *r, uint64_t id)
{
    size_t low = 0, high = r->pend_count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (r->pends[mid].ev.id < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

struct pend *flow_pend_find(struct flow_run *r, uint64_t id)
{
    size_t i = id > 0 ? pend_at(r, id) : r->pend_count;
    return i < r->pend_count && r->pends[i].ev.id == id ? &r->pends[i] : NULL;
}

static bool is_busy(const struct pend *p)
{
    return p->ev.type == FLOW_ACT || p->ev.type == FLOW_CHILD || p->ev.type == FLOW_EVAL;
}

int flow_pend_add(struct flow_run *r, const struct pend *p)
{
    if (r->pend_count == r->pend_cap) {
        size_t cap = r->pend_cap > 0 ? r->pend_cap * 2 : 4;
        struct pend *more = mem_realloc(r->pends, cap * sizeof *more);
        if (!more)
            return E_NOMEM;
        r->pends = more;
        r->pend_cap = cap;
    }
    r->pends[r->pend_count] = *p;
    (void)val_ref(p->ev.data);
    r->pend_count++;
    r->busy += is_busy(p);
    return 0;
}

void flow_pend_del(struct flow_run *r, struct pend *p)
{
    size_t i = (size_t)(p - r->pends);
    r->busy -= is_busy(p);
    if (p->frame)
        p->frame->wait[p->role] = 0;
    val_unref(p->ev.data);
    r->pend_count--;
    memmove(p, p + 1, (r->pend_count - i) * sizeof *p);
}

bool flow_run_pending(const struct flow_run *r, size_t *at, const struct flow_event **ret)
{
    if (*at >= r->pend_count)
        return false;
    *ret = &r->pends[(*at)++].ev;
    return true;
}

int64_t flow_run_wake_ms(const struct flow_run *r)
{
    int64_t wake = TIME_NEVER;
    for (size_t i = 0; i < r->pend_count; i++) {
        int64_t due = r->pends[i].ev.type == FLOW_TIMER
                          ? val_i64(val_get_cstr(r->pends[i].ev.data, "due"), TIME_NEVER)
                          : TIME_NEVER;
        wake = due < wake ? due : wake;
    }
    return wake;
}

// ---- what people see ----

static bool within(const struct val *v, size_t *left, unsigned depth)
{
    struct bytes key;
    struct val *item;
    size_t cost = 32 + val_bytes(v).n;
    if (cost > *left || depth > 32)
        return false;
    *left -= cost;
    if (!val_is(v, JSON_ARR) && !val_is(v, JSON_OBJ))
        return true;
    for (size_t at = 0; val_each(v, &at, &key, &item);) {
        if (key.n > *left)
            return false;
        *left -= key.n;
        if (!within(item, left, depth + 1))
            return false;
    }
    return true;
}

bool flow_small(const struct val *v, size_t max)
{
    return within(v, &max, 0);
}

struct seen *flow_seen(struct flow_run *r, const struct frame *f)
{
    return f->task ? &r->seen[f->task->index] : NULL;
}

// A value that is too large is not kept: views say how it is then.
void flow_seen_keep(struct val **at, struct val *v)
{
    flow_set(at, v && flow_small(v, FLOW_SEEN_BYTES) ? val_ref(v) : NULL);
}

// ---- the run ----

int flow_run_new(struct flow_run **ret, struct flow_plan *plan, struct err *e)
{
    struct flow_run *r = mem_new(struct flow_run);
    if (!r)
        return err_set(e, E_NOMEM, "a run needs memory");
    list_init(&r->ready);
    r->next_id = r->next_signal = 1;
    r->seen = mem_array(plan->task_count + 1, sizeof *r->seen);
    if (!r->seen) {
        mem_free(r);
        return err_set(e, E_NOMEM, "a run needs memory");
    }
    r->plan = flow_plan_ref(plan);
    *ret = r;
    return 0;
}

static void free_frames(struct flow_run *r)
{
    struct frame *f = r->root;
    while (f) {
        struct frame *up = f->parent;
        if (f->first) {
            f = f->first;
            continue;
        }
        flow_frame_free(r, f);
        f = up;
    }
}

void flow_run_free(struct flow_run *r)
{
    if (!r)
        return;
    free_frames(r);
    for (size_t i = 0; i < r->pend_count; i++)
        val_unref(r->pends[i].ev.data);
    for (size_t i = 0; i < r->plan->task_count; i++) {
        val_unref(r->seen[i].input);
        val_unref(r->seen[i].output);
        val_unref(r->seen[i].error);
    }
    struct val *all[] = {r->started, r->raw_input, r->context, r->workflow,
                         r->output,  r->error,     r->signals};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        val_unref(all[i]);
    mem_free(r->pends);
    mem_free(r->seen);
    flow_plan_unref(r->plan);
    mem_free(r);
}

void flow_run_auto(struct flow_run **r)
{
    flow_run_free(*r);
}

enum flow_status flow_run_status(const struct flow_run *r)
{
    if (r->status != FLOW_RUNNING)
        return r->status;
    if (r->paused)
        return FLOW_SUSPENDED;
    if (r->stalled > 0)
        return FLOW_STALLED;
    return r->busy > 0 || r->yielded || !list_empty(&r->ready) ? FLOW_RUNNING : FLOW_WAITING;
}

uint64_t flow_run_entries(const struct flow_run *r)
{
    return r->entries;
}
