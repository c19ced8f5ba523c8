// activity.h: one piece of work with effects outside, for a flow: an HTTP call, a model, a shell
// command. At least once: after a crash it is started again with the same key.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_PORT_ACTIVITY_H
#define PLEXUS_PORT_ACTIVITY_H

#include "base/bytes.h"
#include "base/err.h"
#include "base/list.h"
#include "text/val.h"

struct acts; // who can do them

struct act_args { // all borrowed until done
    struct bytes kind;  // "http", "model", "shell", ...
    struct bytes run, task; // id of the run, pointer of the task
    struct bytes key;   // the same for every attempt of this command: "RUN/ID", for idempotency
    uint32_t attempt;
    int64_t timeout_ms; // TIME_NEVER: none
    struct bytes label; // of the data (trust/label.h), or empty
    const struct val *args; // the task's arguments; {"$late":{"program","input","vars"}} inside
                            // stand for expressions that read secrets: the doer evaluates them
};
struct act_req { // caller-owned; zeroed, then the first part set
    // Once, later. 0: output (borrowed until return; NULL: null). Else E_* and problem: an RFC 7807
    // object {"type","status","title","detail"}. final: another attempt cannot help.
    void (*done)(struct act_req *r, int status, struct val *output, struct val *problem,
                 bool final);
    void (*beat)(struct act_req *r,
                 struct val *detail); // progress (a model's text so far...); may be NULL
    void *user;
    void *priv; // the doer's
    struct list link;
};
struct acts_ops {
    // E_NOTFOUND: nobody here does this kind; E_FULL.
    int (*start)(struct acts *a, const struct act_args *args, struct act_req *r, struct err *e);
    void (*cancel)(struct acts *a, struct act_req *r); // done comes with E_CANCELLED
};
struct acts {
    const struct acts_ops *ops;
};
static inline int act_start(struct acts *a, const struct act_args *args, struct act_req *r,
                            struct err *e)
{
    return a->ops->start(a, args, r, e);
}
static inline void act_cancel(struct acts *a, struct act_req *r)
{
    a->ops->cancel(a, r);
}

#endif
