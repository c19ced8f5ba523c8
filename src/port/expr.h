// expr.h: jq programs that are not plain (text/jq.h), run elsewhere with limits of time and memory.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_PORT_EXPR_H
#define PLEXUS_PORT_EXPR_H

#include "base/bytes.h"
#include "base/err.h"
#include "base/list.h"
#include "port/clock.h"
#include "port/proc.h"

struct expr; // the engine

// Caller-owned until done was called, which is once, later, on the loop thread. Zeroed, then the
// first part set. program, input, vars: borrowed until done.
struct expr_req {
    struct bytes program;
    struct bytes input; // JSON text
    struct bytes vars; // JSON object: {"context":{},"input":...}: each is bound as $name
    int64_t now_ms; // what `now` gives
    int64_t timeout_ms; // 0: the engine's
    // result: JSON array of the outputs (at most outputs_max of the engine's limits), borrowed
    // until return. E_PARSE (does not compile), E_INVALID (jq's own error), E_TIMEOUT (looped: the
    // child was killed), E_TOOBIG (memory or output limit), E_UNAVAILABLE (no libjq, with the
    // mend).
    void (*done)(struct expr_req *r, int status, struct bytes result, const struct err *e);
    void *user;
    struct list link; // the engine's
    void *priv;
    int64_t due_ms;
};

struct expr_args {
    struct timers *timers;
    struct procs *procs;
    const char *self; // this program, for "self _expr"
    unsigned
        workers_max; // children at once, 0: 2; made when first needed, idle ones end after a while
    unsigned queue_max; // 0: 1024
    int64_t timeout_ms; // 0: 2 s
    uint64_t memory_bytes; // of one child, 0: 256 MiB
    size_t output_bytes_max; // 0: 16 MiB
};
struct expr_stats {
    uint64_t runs, errors, timeouts, killed;
    unsigned workers, waiting;
    char version[64]; // "libjq 1.6", or empty: not known yet
};
struct expr_ops {
    int (*run)(struct expr *x, struct expr_req *r, struct err *e); // 0, E_FULL, E_UNAVAILABLE
    void (*cancel)(struct expr *x, struct expr_req *r); // done comes with E_CANCELLED
    void (*stats)(const struct expr *x, struct expr_stats *ret);
    void (*free)(struct expr *x); // what runs ends with E_CANCELLED before it returns
};
struct expr {
    const struct expr_ops *ops;
};
static inline int expr_run(struct expr *x, struct expr_req *r, struct err *e)
{
    return x->ops->run(x, r, e);
}
static inline void expr_cancel(struct expr *x, struct expr_req *r)
{
    x->ops->cancel(x, r);
}
static inline void expr_stats(const struct expr *x, struct expr_stats *ret)
{
    x->ops->stats(x, ret);
}
static inline void expr_free(struct expr *x)
{
    if (x)
        x->ops->free(x);
}

// Ends with a NULL name; in adapters/exprs.c: "libjq", "disabled".
struct expr_engine {
    const char *name, *what;
    int (*open)(const struct expr_args *args, struct expr **ret, struct err *e);
};
const struct expr_engine *expr_engines(void);

#endif
