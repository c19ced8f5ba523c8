// thread.c: threads, locks, conditions over pthread.
// SPDX-License-Identifier: Apache-2.0
#include "base/thread.h"
#include "base/alloc.h"
#include "base/err.h"
#include <pthread.h>
#include <signal.h>
#include <time.h>

#define STACK_BYTES (8 << 20) // address space only; a JSON Schema check may nest deeply

struct thread {
    pthread_t id;
    thread_fn fn;
    void *arg;
    char name[16];
};

struct lock {
    pthread_mutex_t mutex;
    pthread_cond_t wake;
};

static void *thread_main(void *arg)
{
    struct thread *t = arg;
#ifdef __linux__
    (void)pthread_setname_np(t->id, t->name);
#elif defined(__APPLE__)
    (void)pthread_setname_np(t->name);
#endif
    t->fn(t->arg);
    return NULL;
}

int thread_start(struct thread **ret_thread, const char *name, thread_fn fn, void *arg)
{
    struct thread *t = mem_new(struct thread);
    if (!t)
        return E_NOMEM;
    t->fn = fn;
    t->arg = arg;
    for (size_t i = 0; i + 1 < sizeof(t->name) && name[i]; i++)
        t->name[i] = name[i];
    sigset_t all, old;
    sigfillset(&all);
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    (void)pthread_attr_setstacksize(&attr, STACK_BYTES);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int status = pthread_create(&t->id, &attr, thread_main, t);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    if (status != 0) {
        mem_free(t);
        return E_NOMEM;
    }
    *ret_thread = t;
    return 0;
}

void thread_join(struct thread *t)
{
    if (!t)
        return;
    (void)pthread_join(t->id, NULL);
    mem_free(t);
}

struct lock *lock_new(void)
{
    struct lock *l = mem_new(struct lock);
    if (!l)
        return NULL;
    pthread_mutex_init(&l->mutex, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
#ifndef __APPLE__
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
#endif
    pthread_cond_init(&l->wake, &attr);
    pthread_condattr_destroy(&attr);
    return l;
}

void lock_free(struct lock *l)
{
    if (!l)
        return;
    pthread_cond_destroy(&l->wake);
    pthread_mutex_destroy(&l->mutex);
    mem_free(l);
}

void lock_take(struct lock *l)
{
    pthread_mutex_lock(&l->mutex);
}

void lock_give(struct lock *l)
{
    pthread_mutex_unlock(&l->mutex);
}

void lock_wait(struct lock *l, int64_t timeout_ms)
{
    if (timeout_ms < 0) {
        pthread_cond_wait(&l->wake, &l->mutex);
        return;
    }
#ifdef __APPLE__ // its conditions know no clock but the wall's, which may jump
    struct timespec left = {timeout_ms / 1000, timeout_ms % 1000 * 1000000};
    (void)pthread_cond_timedwait_relative_np(&l->wake, &l->mutex, &left);
#else
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += timeout_ms / 1000;
    t.tv_nsec += (timeout_ms % 1000) * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    (void)pthread_cond_timedwait(&l->wake, &l->mutex, &t);
#endif
}

void lock_wake(struct lock *l)
{
    pthread_cond_broadcast(&l->wake);
}
