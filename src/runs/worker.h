// worker.h: does activities of task queues for others: takes tasks from the bus, has them done,
// answers. At least once: a task whose worker dies comes to another one.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_RUNS_WORKER_H
#define PLEXUS_RUNS_WORKER_H

#include "port/activity.h"
#include "port/bus.h"
#include "port/clock.h"

struct runs_worker;

struct runs_rate { // of a queue: activities begun in a second, by each node
    const char *queue;
    double per_s;
};
struct runs_worker_args {
    struct timers *timers;
    struct bus *bus; // outlives it
    struct acts *acts;
    const char *environment, *node; // this node's name
    const char *const *queues; // NULL-terminated
    size_t at_once_max; // activities, of each queue; 0: 64
    double rate_max; // tasks begun in a second, of each queue; 0: no limit
    const struct runs_rate *rates; // of single ones, instead
    size_t rate_count;
    int64_t beat_ms; // how long a task stays this worker's without a sign of life, 0: 30 s
    void (*failed)(void *user, const char *queue, const struct err *e); // the bus refuses
    void *user;
};
int runs_worker_new(struct runs_worker **ret, const struct runs_worker_args *args, struct err *e);
// What runs is let go: it comes to another worker. closed comes later; the memory is gone then. The
// bus may be closed meanwhile.
void runs_worker_close(struct runs_worker *w, void (*closed)(void *user), void *user);
void runs_worker_free(struct runs_worker *w); // at once, when the activities call nobody any more

struct runs_worker_stats {
    uint64_t taken, done, failed, again; // again: redelivered to this one
    size_t running;
};
void runs_worker_stats(const struct runs_worker *w, struct runs_worker_stats *ret);

// Subjects, as both sides name them.
// Task: {"run","id","node":who asks,"key","data":{the act command's data}}. Answer: {"run","id",
// "node":who did it,"output" | "error",["final"]}. A task that nobody wants any more: its key.
#define RUNS_TASKS "%s.organs.flow-task.%s"
#define RUNS_ANSWERS "%s.organs.flow-done.%s"
#define RUNS_UNWANTED "%s.organs.flow-cancel.%s"
#define RUNS_BEGUN "%s.organs.flow-begun.%s" // to who asked: a task's key, when it has "start_ms"

#endif
