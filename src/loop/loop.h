// loop.h: the one event loop: gives the ports net, clock, proc and work over libuv.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_LOOP_LOOP_H
#define PLEXUS_LOOP_LOOP_H

#include "port/clock.h"
#include "port/net.h"
#include "port/proc.h"
#include "port/work.h"

struct loop;

struct loop_args {
    size_t read_bytes;          // shared read buffer, default 64 KiB
    uint64_t files_reserve;     // descriptors kept for files, children, logs: default 128
    uint64_t connections_max;   // 0: from RLIMIT_NOFILE (raised to its hard limit at start)
    int64_t linger_ms;          // how long a closed stream may still send, default 5000
    unsigned work_threads;      // default 2
    unsigned work_queue_max;    // default 256
    const char *self; // path of this binary (the guard is "self _guard"); NULL: file_self()
};

int loop_new(struct loop **ret, const struct loop_args *args, struct err *e);
void loop_free(struct loop *l); // after loop_run returned
// Runs until loop_stop, then until all handles are closed (at most 5 s). 0 or E_*.
int loop_run(struct loop *l);
void loop_stop(struct loop *l);

struct net *loop_net(struct loop *l);
struct timers *loop_timers(struct loop *l);
struct procs *loop_procs(struct loop *l);
struct work *loop_work(struct loop *l);
// A further pool, with threads of its own, gone with the loop. name: as long as that; at most 12
// bytes of it show. NULL: no memory, or no handle.
struct work *loop_work_new(struct loop *l, const char *name, unsigned threads, unsigned queue_max);

// Signals as events on the loop. Up to 8.
int loop_signal(struct loop *l, int signum, void (*fn)(void *user, int signum), void *user);
// Wakes the loop from any thread: fn runs on the loop thread soon (calls may be merged).
struct loop_wake;
int loop_wake_new(struct loop *l, void (*fn)(void *user), void *user, struct loop_wake **ret);
void loop_wake_send(struct loop_wake *w); // any thread
void loop_wake_free(struct loop_wake *w);
// How late the loop is: longest time between two rounds in ns since the last call (for /metrics).
uint64_t loop_lag_ns(struct loop *l);

// The guard's main: `plexus _guard ...` lands here. Returns the exit code.
int loop_guard_main(int argc, char **argv);

#endif
