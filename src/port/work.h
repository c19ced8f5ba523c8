// work.h: a bounded pool of helper threads for work that would hold the loop (parsing a large
// body, reading a file).
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_PORT_WORK_H
#define PLEXUS_PORT_WORK_H

#include "base/err.h"

struct work; // the pool

// Caller-owned until done was called.
struct work_req {
    void (*run)(struct work_req *r);  // on a helper thread: touches only what r owns
    void (*done)(
        struct work_req *r); // on the loop thread, exactly once, never from inside work_start
    void *user;
    void *priv;
};

struct work_ops {
    int (*start)(struct work *w, struct work_req *r); // 0, E_FULL (queue is at its limit), E_NOMEM
};
struct work {
    const struct work_ops *ops;
};

static inline int work_start(struct work *w, struct work_req *r)
{
    return w->ops->start(w, r);
}

#endif
