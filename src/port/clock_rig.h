// clock_rig.h: for tests: a clock that the test winds, with its timers in order of their time.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_PORT_CLOCK_RIG_H
#define PLEXUS_PORT_CLOCK_RIG_H

#include "base/alloc.h"
#include "base/list.h"
#include "port/clock.h"

struct timer_node {
    struct list link;
    struct timer *timer;
};
struct rig_clock {
    struct timers base; // first
    struct list timers; // by due_ms
    int64_t now_ms, wall_shift_ms;
};

static inline int64_t rig_now_ms(struct timers *c)
{
    return ((struct rig_clock *)(void *)c)->now_ms;
}

static inline uint64_t rig_now_ns(struct timers *c)
{
    return (uint64_t)rig_now_ms(c) * 1000000;
}

static inline void rig_timer_stop(struct timers *c, struct timer *t)
{
    (void)c;
    if (!t->node)
        return;
    list_del(&t->node->link);
    mem_free(t->node);
    t->node = NULL;
}

static inline int rig_timer_start(struct timers *c, struct timer *t, int64_t delay_ms)
{
    struct rig_clock *k = (struct rig_clock *)(void *)c;
    rig_timer_stop(c, t);
    struct timer_node *n = mem_new(struct timer_node);
    if (!n)
        return E_NOMEM;
    n->timer = t;
    t->node = n;
    t->due_ms = k->now_ms + (delay_ms < 0 ? 0 : delay_ms);
    struct list *at = k->timers.prev;
    while (at != &k->timers && container_of(at, struct timer_node, link)->timer->due_ms > t->due_ms)
        at = at->prev;
    list_add_head(at, &n->link);
    return 0;
}

static const struct timers_ops rig_clock_ops = {rig_now_ms, rig_now_ns, rig_timer_start,
                                                rig_timer_stop};

static inline void rig_clock_init(struct rig_clock *c)
{
    *c = (struct rig_clock){.base = {&rig_clock_ops}};
    list_init(&c->timers);
}

// Fires the earliest timer that is due by then; false: there is none.
static inline bool rig_clock_round(struct rig_clock *c, int64_t until_ms)
{
    if (list_empty(&c->timers))
        return false;
    struct timer_node *n = container_of(c->timers.next, struct timer_node, link);
    struct timer *t = n->timer;
    if (t->due_ms > until_ms)
        return false;
    if (t->due_ms > c->now_ms)
        c->now_ms = t->due_ms;
    list_del(&n->link);
    mem_free(n);
    t->node = NULL;
    t->fn(t);
    return true;
}

#endif
