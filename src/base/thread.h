// thread.h: the only pthread room: a thread, a lock, a condition. Threads share messages, not
// objects (docs/THREADS.md lists every thread).
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_BASE_THREAD_H
#define PLEXUS_BASE_THREAD_H

#include <stdint.h>

struct thread;
typedef void (*thread_fn)(void *arg);
// All signals are blocked in the new thread. 0 or E_NOMEM.
int thread_start(struct thread **ret_thread, const char *name, thread_fn fn, void *arg);
void thread_join(struct thread *t); // waits, frees; NULL is harmless

struct lock;
struct lock *lock_new(void);
void lock_free(struct lock *l);
void lock_take(struct lock *l);
void lock_give(struct lock *l);
// Waits for lock_wake or until timeout_ms passed (-1: for ever); the lock is held before and after.
void lock_wait(struct lock *l, int64_t timeout_ms);
void lock_wake(struct lock *l); // wakes all waiters

#endif
