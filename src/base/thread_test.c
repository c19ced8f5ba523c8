// thread_test.c: threads, locks, waiting and waking.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "base/err.h"
#include "base/thread.h"
#include "base/time.h"
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define THREADS 8
#define ROUNDS 20000

struct shared {
    struct lock *lock;
    uint64_t sum;
    int turn, here;
    bool signals_blocked;
};

static void add(void *arg)
{
    struct shared *s = arg;
    sigset_t now;
    sigemptyset(&now);
    (void)pthread_sigmask(SIG_BLOCK, NULL, &now);
    for (int i = 0; i < ROUNDS; i++) {
        lock_take(s->lock);
        s->sum++;
        lock_give(s->lock);
    }
    lock_take(s->lock);
    s->signals_blocked &= sigismember(&now, SIGTERM) == 1;
    lock_give(s->lock);
}

static void test_lock(void **state)
{
    (void)state;
    struct shared s = {.lock = lock_new(), .signals_blocked = true};
    struct thread *t[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(thread_start(&t[i], "a name that is too long", add, &s), 0);
    for (int i = 0; i < THREADS; i++)
        thread_join(t[i]);
    assert_int_equal(s.sum, THREADS * ROUNDS);
    assert_true(s.signals_blocked);
    lock_free(s.lock);
    assert_int_equal(mem_live(), 0);
}

// Each thread waits for its turn: all are woken each time, one goes on.
static void take_turns(void *arg)
{
    struct shared *s = arg;
    lock_take(s->lock);
    int mine = s->here++;
    lock_wake(s->lock);
    for (int i = 0; i < 200; i++) {
        while (s->turn % THREADS != mine)
            lock_wait(s->lock, -1);
        s->turn++;
        lock_wake(s->lock);
    }
    lock_give(s->lock);
}

static void test_turns(void **state)
{
    (void)state;
    struct shared s = {.lock = lock_new()};
    struct thread *t[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(thread_start(&t[i], "turn", take_turns, &s), 0);
    for (int i = 0; i < THREADS; i++)
        thread_join(t[i]);
    assert_int_equal(s.turn, THREADS * 200);
    lock_free(s.lock);
}

static void test_timeout(void **state)
{
    (void)state;
    struct lock *l = lock_new();
    lock_take(l);
    static const int waits[] = {0, 1, 30, 1010}; // the last: over a second's end
    for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
        int64_t until = time_mono_ms() + waits[i];
        do // it may wake early, never late for ever
            lock_wait(l, until - time_mono_ms() > 0 ? until - time_mono_ms() : 0);
        while (time_mono_ms() < until);
        assert_true(time_mono_ms() < until + 5000);
    }
    lock_give(l);
    lock_free(l);
    lock_free(NULL);
    thread_join(NULL);
}

static void nothing(void *arg)
{
    (void)arg;
}

static void test_no_memory(void **state)
{
    (void)state;
    struct thread *t = NULL;
    mem_fail_after(1, 0);
    assert_null(lock_new());
    mem_fail_after(1, 0);
    assert_int_equal(thread_start(&t, "x", nothing, NULL), E_NOMEM);
    assert_null(t);
    mem_fail_after(0, 0);
    assert_int_equal(thread_start(&t, "x", nothing, NULL), 0);
    thread_join(t);
    assert_int_equal(mem_live(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lock),
        cmocka_unit_test(test_turns),
        cmocka_unit_test(test_timeout),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests_name("thread", tests, NULL, NULL);
}
