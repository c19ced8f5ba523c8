// wasm_ticker.c: the one thread that moves wasmtime's epoch: not by a beat, but at the moment when
// the time of a running call is over, or when one was cancelled. Without running calls it sleeps.
// SPDX-License-Identifier: Apache-2.0
#include "enclave/enclave_priv.h"

#include <sys/resource.h>
#include <time.h>

enum { NS_MS = 1000000, RETRY_NS = 500000 };

static void tick(struct enclave *c)
{
    for (int i = 0; i < WASM_VARIANTS; i++)
        if (c->engines[i].engine)
            c->api->wasmtime_engine_increment_epoch(c->engines[i].engine);
}

// The next due time; *ret_over: one is over by now.
static uint64_t earliest(const struct enclave *c, uint64_t now, bool *ret_over)
{
    uint64_t at = UINT64_MAX;
    *ret_over = false;
    list_each (it, &c->ticking) {
        const struct wasm_job *j = container_of(it, struct wasm_job, ticking);
        if (j->due_ns <= now)
            *ret_over = true;
        else if (j->due_ns < at)
            at = j->due_ns;
    }
    return at;
}

static void rest(struct enclave *c, uint64_t ns)
{
    if (ns >= NS_MS || c->tick_at == UINT64_MAX) {
        lock_wait(c->tick, c->tick_at == UINT64_MAX ? -1 : (int64_t)(ns / NS_MS));
        return;
    }
    lock_give(c->tick); // the part of a millisecond that a condition cannot wait
    struct timespec t = {0, (long)ns};
    (void)nanosleep(&t, NULL);
    lock_take(c->tick);
}

static void ticker(void *arg)
{
    struct enclave *c = arg;
#ifdef __linux__ // where it is this thread's alone; without the right to it, a busy machine is late
    (void)setpriority(PRIO_PROCESS, 0, -15);
#endif
    lock_take(c->tick);
    while (!c->tick_end) {
        bool over;
        uint64_t now = time_mono_ns();
        c->tick_at = earliest(c, now, &over);
        if (over ||
            c->tick_now) { // again until it has noticed: it may not have begun when we ticked
            tick(c);
            c->tick_at = over || !list_empty(&c->ticking) ? now + RETRY_NS : c->tick_at;
            bool cancelled = false;
            list_each (it, &c->ticking)
                cancelled |= atomic_load(&container_of(it, struct wasm_job, ticking)->cancelled);
            c->tick_now = cancelled;
        }
        if (c->tick_at > now)
            rest(c, c->tick_at - now);
    }
    lock_give(c->tick);
}

int wasm_tick_begin(struct wasm_job *j)
{
    struct enclave *c = j->enclave;
    int rc = 0;
    lock_take(c->tick);
    if (!c->ticker)
        rc = thread_start(&c->ticker, "wasm-ticker", ticker, c);
    if (rc == 0) {
        list_add_tail(&c->ticking, &j->ticking);
        if (j->due_ns < c->tick_at)
            lock_wake(c->tick);
    }
    lock_give(c->tick);
    return rc;
}

void wasm_tick_end(struct wasm_job *j)
{
    lock_take(j->enclave->tick);
    list_del(&j->ticking);
    lock_give(j->enclave->tick);
}

void wasm_tick_now(struct enclave *c)
{
    lock_take(c->tick);
    c->tick_now = true;
    lock_wake(c->tick);
    lock_give(c->tick);
}

void wasm_ticker_stop(struct enclave *c)
{
    lock_take(c->tick);
    c->tick_end = true;
    lock_wake(c->tick);
    lock_give(c->tick);
    thread_join(c->ticker);
    c->ticker = NULL;
}
