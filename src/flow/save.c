// save.c: the whole state of a run as one JSON value, small: what is not there has its usual value,
// and a value that is held in several places is written once ("vals", referred to by its place).
// SPDX-License-Identifier: Apache-2.0
#include "base/map.h"
#include "flow/run_priv.h"

#define SEEN_SAVED_BYTES 1024 // larger inputs and outputs of past tasks are not in a state

struct saver {
    struct val *vals;
    struct map *places; // pointer → place + 1
};

// A value is the same one when it is at the same address.
static struct bytes identity(const uintptr_t *address)
{
    return (struct bytes){(const char *)address, sizeof *address};
}

static struct val *place_of(struct saver *w, struct val *v)
{
    uintptr_t address = (uintptr_t)v;
    struct bytes key = identity(&address);
    uintptr_t at = (uintptr_t)map_get(w->places, key);
    if (at == 0) {
        at = val_len(w->vals) + 1;
        if (map_put(w->places, key, (void *)at, NULL) < 0)
            return NULL;
        w->vals = val_push(w->vals, val_ref(v));
    }
    return val_int((int64_t)at - 1);
}

static bool known(const struct saver *w, const struct val *v)
{
    uintptr_t address = (uintptr_t)v;
    return map_get(w->places, identity(&address)) != NULL;
}

static struct val *put_int(struct val *o, const char *key, int64_t n)
{
    return n != 0 ? val_put_cstr(o, key, val_int(n)) : o;
}

static struct val *put_val(struct saver *w, struct val *o, const char *key, struct val *v)
{
    return v ? val_put_cstr(o, key, place_of(w, v)) : o;
}

static struct val *answers_of(struct saver *w, const struct frame *f)
{
    struct val *all = val_arr();
    for (uint32_t i = 0; i < f->answer_count; i++) {
        struct val *one = val_push(val_arr(), val_int(f->answers[i].expr));
        all = val_push(all, val_push(one, place_of(w, f->answers[i].data)));
    }
    return all;
}

static struct val *flags_of(const struct frame *f)
{
    return val_int((f->extension ? 1 : 0) | (f->skipped ? 2 : 0) | (f->exited ? 4 : 0) |
                   (f->cut ? 8 : 0) | (f->stalled ? 16 : 0) | (f->faulted ? 32 : 0) |
                   (f->own ? 64 : 0));
}

static struct val *frame_of(struct saver *w, const struct frame *f)
{
    struct val *o = val_obj();
    struct val *const held[] = {f->raw,   f->input, f->out,   f->carry, f->got,
                                f->error, f->items, f->inbox, f->keys,  f->item};
    static const char *const names[] = {"r", "i", "o", "c", "g", "e", "n", "b", "k", "m"};
    if (f->task) {
        o = val_put_cstr(o, "t", val_int(f->task->index));
        o = put_int(o, "p", f->parent->slot);
        if (f->go.then != f->task->go.then || f->go.to != f->task->go.to) {
            struct val *go = val_push(val_arr(), val_int(f->go.then));
            o = val_put_cstr(o, "go",
                             val_push(go, val_int(f->go.to ? (int64_t)f->go.to->index : -1)));
        }
    }
    o = put_int(o, "ph", f->phase);
    o = put_int(o, "st", f->step);
    o = put_int(o, "pa", f->part);
    o = put_int(o, "fp", f->failed);
    if (f->extension || f->skipped || f->exited || f->cut || f->stalled || f->faulted || f->own)
        o = val_put_cstr(o, "fl", flags_of(f));
    for (size_t i = 0; i < sizeof held / sizeof *held; i++)
        o = put_val(w, o, names[i], held[i]);
    o = put_int(o, "ix", (int64_t)f->index);
    o = put_int(o, "ms", (int64_t)f->mask);
    o = put_int(o, "un", (int64_t)f->until);
    o = put_int(o, "at", f->started_ms);
    o = put_int(o, "du", f->due_ms);
    o = put_int(o, "to", f->timeout_ms);
    o = put_int(o, "fi", f->first_ms);
    o = put_int(o, "n1", f->attempt);
    o = put_int(o, "le", f->left);
    o = put_int(o, "ex", f->extensions);
    if (f->rise)
        o = val_put_cstr(o, "ri", val_int(f->rise->slot));
    return f->answer_count > 0 ? val_put_cstr(o, "an", answers_of(w, f)) : o;
}

static struct val *pend_of(const struct pend *p)
{
    struct val *a = val_push(val_arr(), val_int((int64_t)p->ev.id));
    a = val_push(a, val_int(p->ev.type));
    a = val_push(a, val_int(p->ev.at_ms));
    a = val_push(a, val_int(p->frame ? (int64_t)p->frame->slot : -1));
    a = val_push(a, val_int(p->role));
    a = val_push(a, p->ev.data ? val_ref(p->ev.data) : val_null());
    if (p->role == ROLE_EVAL && p->frame) // the expression that waits
        a = val_push(a, val_int(p->frame->answers[p->frame->answer_count].expr));
    return a;
}

static struct val *seen_val(struct saver *w, struct val *v)
{
    bool kept = v && (known(w, v) || flow_small(v, SEEN_SAVED_BYTES));
    return kept ? place_of(w, v) : val_int(-1);
}

static struct val *seen_of(struct saver *w, uint32_t index, const struct seen *x)
{
    struct val *a = val_push(val_arr(), val_int(index));
    a = val_push(a, val_int(x->state));
    a = val_push(a, val_int(x->count));
    a = val_push(a, val_int(x->attempt));
    a = val_push(a, val_int(x->started_ms));
    a = val_push(a, val_int(x->ended_ms));
    if (!x->input && !x->output && !x->error)
        return a;
    a = val_push(a, seen_val(w, x->input));
    a = val_push(a, seen_val(w, x->output));
    return val_push(a, seen_val(w, x->error));
}

static struct val *lists_of(struct saver *w, const struct flow_run *r, struct val *o)
{
    struct val *frames = val_arr(), *ready = val_arr(), *pends = val_arr(), *seen = val_arr();
    uint32_t slot = 0;
    for (struct frame *f = r->root; f; f = flow_frame_next(r->root, f))
        f->slot = slot++;
    for (struct frame *f = r->root; f; f = flow_frame_next(r->root, f))
        frames = val_push(frames, frame_of(w, f));
    list_each (it, &r->ready)
        ready = val_push(ready, val_int(container_of(it, struct frame, ready)->slot));
    for (size_t i = 0; i < r->pend_count; i++)
        pends = val_push(pends, pend_of(&r->pends[i]));
    for (size_t i = 0; i < r->plan->task_count; i++)
        if (r->seen[i].state != SEEN_NONE)
            seen = val_push(seen, seen_of(w, (uint32_t)i, &r->seen[i]));
    o = val_put_cstr(o, "frames", frames);
    o = val_put_cstr(o, "ready", ready);
    o = val_put_cstr(o, "pends", pends);
    return val_put_cstr(o, "seen", seen);
}

struct val *flow_save(const struct flow_run *r)
{
    struct saver w = {.vals = val_arr(), .places = map_new(SIZE_MAX / 64)};
    struct val *o = val_put_cstr(val_obj(), "v", val_int(1));
    if (!w.places) {
        val_unref(w.vals);
        val_unref(o);
        return NULL;
    }
    if (r->started)
        o = val_put_cstr(o, "run", val_ref(r->started));
    o = val_put_cstr(o, "status", val_int(r->status));
    o = val_put_cstr(o, "id", val_int((int64_t)r->next_id));
    o = put_int(o, "n", (int64_t)r->entries);
    o = put_int(o, "at", r->started_ms);
    o = put_int(o, "end", r->ended_ms);
    o = put_int(o, "sig", (int64_t)r->next_signal - 1);
    o = put_int(o, "paused", r->paused);
    o = put_int(o, "yielded", r->yielded);
    o = put_val(&w, o, "in", r->raw_input);
    o = put_val(&w, o, "ctx", r->context);
    o = put_val(&w, o, "out", r->output);
    o = put_val(&w, o, "err", r->error);
    o = put_val(&w, o, "signals", r->signals);
    o = lists_of(&w, r, o);
    map_free(w.places);
    return val_put_cstr(o, "vals", w.vals);
}
