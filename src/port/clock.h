// clock.h: time and timers as a port, so that the simulator can own both.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_PORT_CLOCK_H
#define PLEXUS_PORT_CLOCK_H

#include "base/err.h"
#include "base/time.h"

struct timers;

// Caller-owned; zeroed = not running. Must not be freed while it runs (timer_stop first).
struct timer {
    void (*fn)(struct timer *t);
    void *user;
    int64_t due_ms; // loop's mono clock
    struct timer_node *node; // the implementation's
};

struct timers_ops {
    int64_t (*now_ms)(struct timers *c);  // mono, cached once per loop round
    uint64_t (*now_ns)(struct timers *c); // mono, fresh
    int (*start)(struct timers *c, struct timer *t, int64_t delay_ms);
    void (*stop)(struct timers *c, struct timer *t);
};
struct timers {
    const struct timers_ops *ops;
};

static inline int64_t timers_now_ms(struct timers *c)
{
    return c->ops->now_ms(c);
}
static inline uint64_t timers_now_ns(struct timers *c)
{
    return c->ops->now_ns(c);
}
// Fires once after delay_ms (0: next round; never from inside). Running: moved. 0 or E_NOMEM.
static inline int timer_start(struct timers *c, struct timer *t, int64_t delay_ms)
{
    return c->ops->start(c, t, delay_ms);
}
static inline void timer_stop(struct timers *c, struct timer *t) // not running: harmless
{
    c->ops->stop(c, t);
}

#endif
