// loop_test.c: timers, work pool, signals, wakes, stopping.
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loop/loop_rig.h"

#include "base/thread.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

// ---- timers

struct tick {
    struct timer t;
    struct rig *rig;
    int64_t after, fired_ms;
    unsigned fired, order, *counter;
    int64_t again; // restart with this delay
    unsigned again_left;
    struct tick *victim; // stopped when this one fires
};

static void tick_fire(struct timer *t)
{
    struct tick *k = t->user;
    assert_null(t->node); // it does not run any more
    k->fired++;
    k->fired_ms = timers_now_ms(loop_timers(k->rig->loop));
    k->order = ++*k->counter;
    if (k->victim != NULL)
        timer_stop(loop_timers(k->rig->loop), &k->victim->t);
    if (k->again_left > 0) {
        k->again_left--;
        assert_int_equal(timer_start(loop_timers(k->rig->loop), t, k->again), 0);
    }
}
static void tick_start(struct rig *r, struct tick *k, int64_t after, unsigned *counter)
{
    k->rig = r;
    k->counter = counter;
    k->after = after;
    k->t.fn = tick_fire;
    k->t.user = k;
    assert_int_equal(timer_start(loop_timers(r->loop), &k->t, after), 0);
}
static void stop_fire(struct timer *t)
{
    struct rig *r = t->user;
    loop_stop(r->loop);
}

static void test_timers(void **state)
{
    (void)state;
    struct rig r;
    unsigned counter = 0;
    rig_up(&r, NULL);
    struct timers *c = loop_timers(r.loop);
    struct tick k[8] = {{.again_left = 0}};
    static const int64_t after[8] = {30, 10, 0, 20, 10, 50, 5, 40};
    int64_t from = timers_now_ms(c);
    for (int i = 0; i < 8; i++)
        tick_start(&r, &k[i], after[i], &counter);
    assert_int_equal(timer_start(c, &k[5].t, 15), 0);         // sooner
    assert_int_equal(timer_start(c, &k[6].t, 35), 0);         // later
    assert_int_equal(timer_start(c, &k[7].t, TIME_NEVER), 0); // never
    timer_stop(c, &k[4].t);
    timer_stop(c, &k[4].t); // harmless
    struct timer end = {.fn = stop_fire, .user = &r};
    assert_int_equal(timer_start(c, &end, 60), 0);
    assert_int_equal(counter, 0);
    rig_run(&r);
    static const unsigned order[8] = {5, 2, 1, 4, 0, 3, 6, 0};
    for (int i = 0; i < 8; i++) {
        assert_int_equal(k[i].order, order[i]);
        assert_int_equal(k[i].fired, order[i] != 0);
    }
    assert_true(k[0].fired_ms >= from + 30);
    assert_true(k[6].fired_ms >= from + 35);
    rig_down(&r);
}

static void test_timers_zero(void **state)
{
    (void)state;
    struct rig r;
    unsigned counter = 0;
    rig_up(&r, NULL);
    // One that starts itself anew with 0 comes once a round and does not starve the others.
    struct tick k[3] = {{.again = 0, .again_left = 1000}, {.again_left = 0}, {.victim = &k[1]}};
    tick_start(&r, &k[0], 0, &counter);
    tick_start(&r, &k[1], 20, &counter);
    tick_start(&r, &k[2], 5, &counter);
    struct timer end = {.fn = stop_fire, .user = &r};
    assert_int_equal(timer_start(loop_timers(r.loop), &end, 40), 0);
    rig_run(&r);
    assert_int_equal(k[0].fired, 1001);
    assert_int_equal(k[1].fired, 0); // stopped by k[2]
    assert_int_equal(k[2].fired, 1);
    rig_down(&r);
}

// Against a plain model: random starts, moves and stops.
static void test_timers_random(void **state)
{
    (void)state;
    enum { N = 500 };
    static struct tick k[N];
    struct rig r;
    struct rng g;
    unsigned counter = 0;
    rig_up(&r, NULL);
    struct timers *c = loop_timers(r.loop);
    memset(k, 0, sizeof k);
    rng_init(&g, 42);
    int64_t due[N];
    for (int i = 0; i < N; i++) {
        tick_start(&r, &k[i], (int64_t)rng_below(&g, 60), &counter);
        due[i] = k[i].t.due_ms;
    }
    for (int i = 0; i < 5000; i++) {
        size_t at = (size_t)rng_below(&g, N);
        if (rng_below(&g, 4) == 0) {
            timer_stop(c, &k[at].t);
            due[at] = -1;
        } else {
            assert_int_equal(timer_start(c, &k[at].t, (int64_t)rng_below(&g, 60)), 0);
            due[at] = k[at].t.due_ms;
        }
    }
    struct timer end = {.fn = stop_fire, .user = &r};
    assert_int_equal(timer_start(c, &end, 80), 0);
    rig_run(&r);
    for (int i = 0; i < N; i++) {
        assert_int_equal(k[i].fired, due[i] >= 0);
        if (due[i] >= 0)
            assert_in_range(k[i].fired_ms, due[i], due[i] + 2000);
        for (int j = 0; j < N; j++) // who was due earlier came earlier
            assert_true(due[i] < 0 || due[j] < 0 || due[i] >= due[j] || k[i].order < k[j].order);
    }
    rig_down(&r);
}

// ---- work

struct job {
    struct work_req req;
    struct rig *rig;
    unsigned *left;
    atomic_int *running, *most;
    int ran, done;
};
static void job_run(struct work_req *q)
{
    struct job *j = q->user;
    int now = atomic_fetch_add(j->running, 1) + 1, most = atomic_load(j->most);
    while (now > most && !atomic_compare_exchange_weak(j->most, &most, now))
        continue;
    usleep(200);
    j->ran++;
    atomic_fetch_sub(j->running, 1);
}
static void job_done(struct work_req *q)
{
    struct job *j = q->user;
    j->done++;
    if (--*j->left == 0)
        loop_stop(j->rig->loop);
}

static void test_work(void **state)
{
    (void)state;
    enum { JOBS = 100 };
    static struct job j[JOBS + 1];
    struct rig r;
    struct loop_args args = {.work_threads = 3, .work_queue_max = JOBS};
    atomic_int running = 0, most = 0;
    unsigned left = JOBS;
    rig_up(&r, &args);
    memset(j, 0, sizeof j);
    for (int i = 0; i <= JOBS; i++) {
        j[i] = (struct job){.rig = &r, .left = &left, .running = &running, .most = &most};
        j[i].req = (struct work_req){.run = job_run, .done = job_done, .user = &j[i]};
        assert_int_equal(work_start(loop_work(r.loop), &j[i].req), i < JOBS ? 0 : E_FULL);
    }
    rig_run(&r);
    for (int i = 0; i < JOBS; i++) {
        assert_int_equal(j[i].ran, 1);
        assert_int_equal(j[i].done, 1);
    }
    assert_in_range(atomic_load(&most), 1, 3);
    rig_down(&r);
}

// A pool of its own does not wait for the other one, and works one by one.
static void test_work_own(void **state)
{
    (void)state;
    enum { JOBS = 30, OTHERS = 4 };
    static struct job j[JOBS + 1], o[OTHERS];
    struct rig r;
    struct loop_args args = {.work_threads = 3};
    atomic_int running = 0, most = 0, o_running = 0, o_most = 0;
    unsigned left = JOBS + OTHERS;
    rig_up(&r, &args);
    struct work *own = loop_work_new(r.loop, "a-name-of-many-letters", 1, JOBS);
    assert_non_null(own);
    for (int i = 0; i < OTHERS; i++) {
        o[i] = (struct job){.rig = &r, .left = &left, .running = &o_running, .most = &o_most};
        o[i].req = (struct work_req){.run = job_run, .done = job_done, .user = &o[i]};
        assert_int_equal(work_start(loop_work(r.loop), &o[i].req), 0);
    }
    for (int i = 0; i <= JOBS; i++) {
        j[i] = (struct job){.rig = &r, .left = &left, .running = &running, .most = &most};
        j[i].req = (struct work_req){.run = job_run, .done = job_done, .user = &j[i]};
        assert_int_equal(work_start(own, &j[i].req), i < JOBS ? 0 : E_FULL);
    }
    rig_run(&r);
    for (int i = 0; i < JOBS; i++)
        assert_int_equal(j[i].done, 1);
    for (int i = 0; i < OTHERS; i++)
        assert_int_equal(o[i].done, 1);
    assert_int_equal(atomic_load(&most), 1);
    rig_down(&r);
}

// What was started before the loop's end is still told.
static void test_work_at_stop(void **state)
{
    (void)state;
    struct rig r;
    atomic_int running = 0, most = 0;
    unsigned left = 1000;
    static struct job j[20];
    rig_up(&r, NULL);
    for (int i = 0; i < 20; i++) {
        j[i] = (struct job){.rig = &r, .left = &left, .running = &running, .most = &most};
        j[i].req = (struct work_req){.run = job_run, .done = job_done, .user = &j[i]};
        assert_int_equal(work_start(loop_work(r.loop), &j[i].req), 0);
    }
    loop_stop(r.loop);
    rig_run(&r);
    rig_down(&r);
    for (int i = 0; i < 20; i++)
        assert_int_equal(j[i].done, 1);
}

// What is told at the end and would go on then is refused: there is no thread any more.
struct again {
    struct work_req req, next;
    struct work *work;
    int status, told;
};
static void again_run(struct work_req *q)
{
    (void)q;
    usleep(2000);
}
static void again_done(struct work_req *q)
{
    struct again *a = q->user;
    a->told++;
    a->next = (struct work_req){.run = again_run, .done = again_done, .user = a};
    a->status = work_start(a->work, &a->next);
}
static void test_work_goes_on_at_stop(void **state)
{
    (void)state;
    struct rig r;
    rig_up(&r, NULL);
    struct again a = {.work = loop_work(r.loop)};
    a.req = (struct work_req){.run = again_run, .done = again_done, .user = &a};
    assert_int_equal(work_start(a.work, &a.req), 0);
    rig_down(&r); // never ran
    assert_int_equal(a.told, 1);
    assert_int_equal(a.status, E_CLOSED);
}

// ---- signals, wakes, lag

struct noise {
    struct rig *rig;
    struct loop_wake *wake;
    int signum;
    atomic_uint sent;
    unsigned woken;
};
static void noise_signal(void *user, int signum)
{
    struct noise *n = user;
    n->signum = signum;
    loop_stop(n->rig->loop);
}
static void noise_thread(void *arg)
{
    struct noise *n = arg;
    for (int i = 0; i < 100; i++) {
        atomic_fetch_add(&n->sent, 1);
        loop_wake_send(n->wake);
    }
    (void)kill(getpid(), SIGUSR1);
}
static void noise_wake(void *user)
{
    struct noise *n = user;
    n->woken++;
}

static void test_signals_and_wakes(void **state)
{
    (void)state;
    struct rig r;
    struct thread *t;
    rig_up(&r, NULL);
    struct noise n = {.rig = &r};
    assert_int_equal(loop_signal(r.loop, SIGUSR1, noise_signal, &n), 0);
    assert_int_equal(loop_signal(r.loop, SIGKILL, noise_signal, &n), E_INVALID);
    for (int i = 2; i < 8; i++)
        assert_int_equal(loop_signal(r.loop, SIGUSR2, noise_signal, &n), 0);
    assert_int_equal(loop_signal(r.loop, SIGUSR2, noise_signal, &n), E_FULL);
    assert_int_equal(loop_wake_new(r.loop, noise_wake, &n, &n.wake), 0);
    assert_int_equal(thread_start(&t, "noise", noise_thread, &n), 0);
    rig_run(&r);
    thread_join(t);
    assert_int_equal(n.signum, SIGUSR1);
    assert_in_range(n.woken, 1, atomic_load(&n.sent));
    loop_wake_free(n.wake);
    loop_wake_free(NULL);
    rig_down(&r);
}

static void lag_fire(struct timer *t)
{
    (void)t;
    usleep(20000);
}
static void test_lag(void **state)
{
    (void)state;
    struct rig r;
    rig_up(&r, NULL);
    struct timer t = {.fn = lag_fire};
    struct timer end = {.fn = stop_fire, .user = &r};
    assert_int_equal(timer_start(loop_timers(r.loop), &t, 1), 0);
    assert_int_equal(timer_start(loop_timers(r.loop), &end, 40), 0);
    rig_run(&r);
    assert_in_range(loop_lag_ns(r.loop), 19000000, 2000000000);
    assert_int_equal(loop_lag_ns(r.loop), 0);
    rig_down(&r);
}

static void test_stop_before_run(void **state)
{
    (void)state;
    struct rig r;
    rig_up(&r, NULL);
    echo_listen(&r, NULL);
    struct client c = {.total = 5};
    unsigned left = 9;
    client_start(&c, &r, echo_addr(&r), &left);
    loop_stop(r.loop); // owners have closed nothing
    rig_run(&r);
    assert_int_equal(c.closed, 1);
    rig_down(&r);
    rig_up(&r, NULL); // made and not run
    echo_listen(&r, NULL);
    rig_down(&r);
}

// Memory fails at each place in turn: an error or a closed stream, never a crash or a leak.
static void test_no_memory(void **state)
{
    (void)state;
    for (uint64_t at = 1; at < 60; at++) {
        struct loop *l = NULL;
        mem_fail_after(at, 0);
        int rc = loop_new(&l, NULL, NULL);
        if (rc < 0) {
            assert_null(l);
            mem_fail_after(0, 0);
            assert_int_equal(mem_live(), 0);
            continue;
        }
        struct rig r = {.loop = l, .net = loop_net(l)};
        struct net_listen_args la = {.addr = {.host = "127.0.0.1"},
                                     .backlog = 10,
                                     .queue_bytes_max = 1 << 20,
                                     .on_accept = echo_accept,
                                     .user = &r};
        struct timer end = {.fn = stop_fire, .user = &r};
        (void)timer_start(loop_timers(l), &end, 30);
        if (net_listen(r.net, &la, &r.listener, NULL) == 0) {
            unsigned left = 99;
            struct client c[2] = {{.total = 100000}, {.total = 5}};
            for (int i = 0; i < 2; i++) {
                struct net_connect_args a = {.addr = echo_addr(&r),
                                             .timeout_ms = 1000,
                                             .queue_bytes_max = 1 << 20,
                                             .handler = &client_handler,
                                             .user = &c[i]};
                c[i].rig = &r;
                c[i].left = &left;
                c[i].piece_max = 5000;
                rng_init(&c[i].rng, at);
                (void)net_connect(r.net, &a, &c[i].s, NULL);
            }
            if (end.node == NULL)
                loop_stop(l);
            assert_int_equal(loop_run(l), 0);
            for (int i = 0; i < 2; i++)
                assert_int_equal(c[i].closed, c[i].s != NULL);
        }
        mem_fail_after(0, 0);
        loop_free(l);
        assert_int_equal(mem_live(), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_timers),
        cmocka_unit_test(test_timers_zero),
        cmocka_unit_test(test_timers_random),
        cmocka_unit_test(test_work),
        cmocka_unit_test(test_work_own),
        cmocka_unit_test(test_work_at_stop),
        cmocka_unit_test(test_work_goes_on_at_stop),
        cmocka_unit_test(test_signals_and_wakes),
        cmocka_unit_test(test_lag),
        cmocka_unit_test(test_stop_before_run),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
