// timers_uv.c: the clock port: a 4-ary heap of timers behind one uv_timer_t.
// SPDX-License-Identifier: Apache-2.0
//
// A request moves its idle timer far more often than an idle timer fires, so moving a timer to a
// later time only writes due_ms; the heap learns of it when the old time comes.
#include "loop/loop_priv.h"

#include "base/alloc.h"

#include <assert.h>

// uv's clock stands still while the machine sleeps, ours does not: look again after so long.
enum { TIMERS_SLEEP_MAX_MS = 5000, TIMERS_ARITY = 4 };

static struct timers_uv *timers_of(struct timers *c)
{
    return (struct timers_uv *)(void *)c;
}

// The heap's index lives in timer.node, plus one; NULL says that the timer does not run.
static size_t timers_index(const struct timer *t)
{
    return (size_t)(uintptr_t)t->node - 1;
}

static void timers_place(struct timers_uv *c, size_t i, struct timers_entry entry)
{
    c->heap[i] = entry;
    entry.timer->node = (struct timer_node *)(uintptr_t)(i + 1);
}

static bool timers_before(const struct timers_entry *a, const struct timers_entry *b)
{
    return a->key != b->key ? a->key < b->key : a->round < b->round;
}

static void timers_up(struct timers_uv *c, size_t i, struct timers_entry entry)
{
    while (i > 0) {
        size_t parent = (i - 1) / TIMERS_ARITY;
        if (!timers_before(&entry, &c->heap[parent]))
            break;
        timers_place(c, i, c->heap[parent]);
        i = parent;
    }
    timers_place(c, i, entry);
}

static void timers_down(struct timers_uv *c, size_t i, struct timers_entry entry)
{
    for (;;) {
        size_t first = i * TIMERS_ARITY + 1;
        if (first >= c->n)
            break;
        size_t least = first;
        for (size_t k = first + 1; k < c->n && k < first + TIMERS_ARITY; k++) {
            if (timers_before(&c->heap[k], &c->heap[least]))
                least = k;
        }
        if (!timers_before(&c->heap[least], &entry))
            break;
        timers_place(c, i, c->heap[least]);
        i = least;
    }
    timers_place(c, i, entry);
}

static void timers_remove(struct timers_uv *c, size_t i)
{
    c->heap[i].timer->node = NULL;
    struct timers_entry last = c->heap[--c->n];
    if (i == c->n)
        return;
    if (i > 0 && timers_before(&last, &c->heap[(i - 1) / TIMERS_ARITY]))
        timers_up(c, i, last);
    else
        timers_down(c, i, last);
}

static int64_t timers_uv_now_ms(struct timers *base)
{
    struct timers_uv *c = timers_of(base);
    if (!c->loop->running) // uv's time stands still between its rounds
        uv_update_time(&c->loop->uv);
    uint64_t at = uv_now(&c->loop->uv);
    if (at != c->now_at) {
        c->now_at = at;
        c->now_ms = time_mono_ms();
    }
    return c->now_ms;
}

static uint64_t timers_uv_now_ns(struct timers *base)
{
    (void)base;
    return time_mono_ns();
}

static void timers_fire(uv_timer_t *h);
static void timers_fire_idle(uv_idle_t *h);

// Makes uv wake us when the first timer is due.
static void timers_arm(struct timers_uv *c)
{
    if (c->n == 0)
        return;
    int64_t now = timers_uv_now_ms(&c->base);
    int64_t key = c->heap[0].key;
    if (key <= now) {
        if (!c->idling)
            (void)uv_idle_start(&c->idle, timers_fire_idle);
        c->idling = true;
        return;
    }
    int64_t wait = key - now;
    if (wait > TIMERS_SLEEP_MAX_MS)
        wait = TIMERS_SLEEP_MAX_MS;
    if (now + wait >= c->armed_ms)
        return;
    c->armed_ms = now + wait;
    (void)uv_timer_start(&c->uv, timers_fire, (uint64_t)wait, 0);
}

static void timers_run(struct timers_uv *c)
{
    loop_enter(c->loop);
    c->round++;
    int64_t now = timers_uv_now_ms(&c->base);
    while (c->n > 0 && c->heap[0].key <= now && c->heap[0].round < c->round) {
        struct timer *t = c->heap[0].timer;
        if (t->due_ms != c->heap[0].key) { // was moved; also when it is due now: order counts
            struct timers_entry entry = {t->due_ms, c->heap[0].round, t};
            timers_down(c, 0, entry);
            continue;
        }
        timers_remove(c, 0);
        t->fn(t);
    }
    timers_arm(c);
}

static void timers_fire(uv_timer_t *h)
{
    struct timers_uv *c = h->data;
    c->armed_ms = TIME_NEVER;
    timers_run(c);
}

static void timers_fire_idle(uv_idle_t *h)
{
    struct timers_uv *c = h->data;
    (void)uv_idle_stop(h);
    c->idling = false;
    timers_run(c);
}

static void timers_uv_stop(struct timers *base, struct timer *t)
{
    if (t->node != NULL)
        timers_remove(timers_of(base), timers_index(t));
}

static int timers_uv_start(struct timers *base, struct timer *t, int64_t delay_ms)
{
    struct timers_uv *c = timers_of(base);
    int64_t now = timers_uv_now_ms(base);
    assert(t->fn != NULL);
    if (delay_ms < 0)
        delay_ms = 0;
    if (delay_ms >= TIME_NEVER - now) {
        timers_uv_stop(base, t);
        return 0;
    }
    struct timers_entry entry = {now + delay_ms, c->round, t};
    if (t->node != NULL) {
        size_t i = timers_index(t);
        t->due_ms = entry.key;
        if (entry.key < c->heap[i].key) {
            timers_up(c, i, entry);
            timers_arm(c);
        }
        return 0;
    }
    if (c->n == c->cap) {
        size_t cap = c->cap ? c->cap * 2 : 64;
        void *p = mem_realloc(c->heap, cap * sizeof *c->heap);
        if (p == NULL)
            return E_NOMEM;
        c->heap = p;
        c->cap = cap;
    }
    t->due_ms = entry.key;
    timers_up(c, c->n++, entry);
    timers_arm(c);
    return 0;
}

void timers_init(struct timers_uv *c, struct loop *l)
{
    static const struct timers_ops ops = {
        .now_ms = timers_uv_now_ms,
        .now_ns = timers_uv_now_ns,
        .start = timers_uv_start,
        .stop = timers_uv_stop,
    };
    c->base.ops = &ops;
    c->loop = l;
    c->armed_ms = TIME_NEVER;
    c->now_at = UINT64_MAX;
    (void)uv_timer_init(&l->uv, &c->uv); // cannot fail
    (void)uv_idle_init(&l->uv, &c->idle);
    c->uv.data = c;
    c->idle.data = c;
}

void timers_close(struct timers_uv *c)
{
    uv_close((uv_handle_t *)&c->uv, NULL);
    uv_close((uv_handle_t *)&c->idle, NULL);
}

void timers_fini(struct timers_uv *c)
{
    mem_free(c->heap); // timers that nobody stopped are not touched: they may be gone
}
