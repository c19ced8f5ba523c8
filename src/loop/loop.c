// loop.c: the event loop's life: making, running, stopping, signals and wakes.
// SPDX-License-Identifier: Apache-2.0
#include "loop/loop_priv.h"

#include "base/alloc.h"
#include "base/file.h"

#include <assert.h>
#include <string.h>
#include <unistd.h>

enum {
    LOOP_READ_BYTES = 64 << 10,
    LOOP_FILES_RESERVE = 128,
    LOOP_LINGER_MS = 5000,
    LOOP_WORK_THREADS = 2,
    LOOP_WORK_QUEUE_MAX = 256,
};

struct loop_wake {
    uv_async_t uv;
    struct list link;
    struct loop *loop;
    void (*fn)(void *user);
    void *user;
    bool closing;
};

struct net *loop_net(struct loop *l)
{
    return &l->net;
}

struct timers *loop_timers(struct loop *l)
{
    return &l->timers.base;
}

struct procs *loop_procs(struct loop *l)
{
    return &l->procs.base;
}

struct work *loop_work(struct loop *l)
{
    return l->work;
}

// ---- signals

static void loop_signal_event(uv_signal_t *h, int signum)
{
    struct loop_sig *sig = container_of(h, struct loop_sig, uv);
    loop_enter(h->data);
    sig->fn(sig->user, signum);
}

int loop_signal(struct loop *l, int signum, void (*fn)(void *user, int signum), void *user)
{
    if (l->signals_count == LOOP_SIGNALS_MAX)
        return E_FULL;
    struct loop_sig *sig = &l->signals[l->signals_count];
    sig->fn = fn;
    sig->user = user;
    if (uv_signal_init(&l->uv, &sig->uv) < 0)
        return E_IO;
    l->signals_count++; // closed with the loop from here on
    sig->uv.data = l;
    return uv_signal_start(&sig->uv, loop_signal_event, signum) < 0 ? E_INVALID : 0;
}

// ---- wakes

static void loop_wake_event(uv_async_t *h)
{
    struct loop_wake *w = container_of(h, struct loop_wake, uv);
    loop_enter(w->loop);
    if (!w->closing)
        w->fn(w->user);
}

static void loop_wake_closed(uv_handle_t *h)
{
    mem_free(container_of((uv_async_t *)h, struct loop_wake, uv));
}

int loop_wake_new(struct loop *l, void (*fn)(void *user), void *user, struct loop_wake **ret)
{
    struct loop_wake *w = mem_new(struct loop_wake);
    if (w == NULL)
        return E_NOMEM;
    if (uv_async_init(&l->uv, &w->uv, loop_wake_event) < 0) {
        mem_free(w);
        return E_NOMEM;
    }
    w->loop = l;
    w->fn = fn;
    w->user = user;
    list_add_tail(&l->wakes, &w->link);
    *ret = w;
    return 0;
}

void loop_wake_send(struct loop_wake *w)
{
    (void)uv_async_send(&w->uv); // cannot fail on an open handle
}

// After the loop's end the handle is closed already and only the memory is left.
void loop_wake_free(struct loop_wake *w)
{
    if (w == NULL)
        return;
    list_del(&w->link);
    if (w->closing) {
        mem_free(w);
        return;
    }
    w->closing = true;
    uv_close((uv_handle_t *)&w->uv, loop_wake_closed);
}

// ---- the loop

static void loop_kicked(uv_async_t *h)
{
    struct loop *l = container_of(h, struct loop, kick);
    loop_enter(l);
    net_bury(&l->net);
    if (atomic_load(&l->stop) && !l->closing)
        uv_stop(&l->uv);
}

static void loop_before_poll(uv_prepare_t *h)
{
    struct loop *l = container_of(h, struct loop, prepare);
    if (l->round_ns == 0)
        return;
    uint64_t took = time_mono_ns() - l->round_ns;
    l->round_ns = 0;
    if (took > l->lag_ns)
        l->lag_ns = took;
}

uint64_t loop_lag_ns(struct loop *l)
{
    uint64_t lag = l->lag_ns;
    l->lag_ns = 0;
    return lag;
}

static void loop_defaults(struct loop_args *a)
{
    if (a->read_bytes == 0)
        a->read_bytes = LOOP_READ_BYTES;
    if (a->files_reserve == 0)
        a->files_reserve = LOOP_FILES_RESERVE;
    if (a->linger_ms == 0)
        a->linger_ms = LOOP_LINGER_MS;
    if (a->work_threads == 0)
        a->work_threads = LOOP_WORK_THREADS;
    if (a->work_queue_max == 0)
        a->work_queue_max = LOOP_WORK_QUEUE_MAX;
}

static int loop_set_up(struct loop *l, struct err *e)
{
    size_t n = l->args.read_bytes > DGRAM_BYTES_MAX ? l->args.read_bytes : DGRAM_BYTES_MAX + 1;
    l->read_buf = mem_alloc(n);
    l->self = mem_str(l->args.self ? l->args.self : file_self());
    if (l->read_buf == NULL || l->self == NULL)
        return err_set(e, E_NOMEM, "event loop: out of memory");
    l->work = loop_work_new(l, "work", l->args.work_threads, l->args.work_queue_max);
    if (l->work == NULL)
        return err_set(e, E_NOMEM, "event loop: work pool");
    return net_init(&l->net, l, e);
}

// Waits until every handle of the loop is closed and frees it.
static void loop_tear_down(struct loop *l)
{
    loop_work_stop(l);
    timers_close(&l->timers);
    uv_close((uv_handle_t *)&l->kick, NULL);
    uv_close((uv_handle_t *)&l->prepare, NULL);
    for (int i = 0; i < l->signals_count; i++)
        uv_close((uv_handle_t *)&l->signals[i].uv, NULL);
    list_each (it, &l->wakes) {
        struct loop_wake *w = container_of(it, struct loop_wake, link);
        w->closing = true;
        uv_close((uv_handle_t *)&w->uv, NULL);
    }
}

int loop_new(struct loop **ret, const struct loop_args *args, struct err *e)
{
    struct loop *l = mem_new(struct loop);
    if (l == NULL)
        return err_set(e, E_NOMEM, "event loop: out of memory");
    if (args != NULL)
        l->args = *args;
    loop_defaults(&l->args);
    list_init(&l->wakes);
    list_init(&l->pools);
    int rc = uv_loop_init(&l->uv);
    if (rc < 0) {
        mem_free(l);
        return err_set(e, E_IO, "event loop: %s", uv_strerror(rc));
    }
    rc = uv_async_init(&l->uv, &l->kick, loop_kicked);
    if (rc < 0) {
        (void)uv_loop_close(&l->uv);
        mem_free(l);
        return err_set(e, E_IO, "event loop: %s", uv_strerror(rc));
    }
    (void)uv_prepare_init(&l->uv, &l->prepare);
    (void)uv_prepare_start(&l->prepare, loop_before_poll);
    timers_init(&l->timers, l);
    list_init(&l->net.socks);
    list_init(&l->net.dead);
    list_init(&l->net.listeners);
    list_init(&l->net.dgrams);
    list_init(&l->net.tls_streams);
    l->net.spare_fd = -1;
    proc_init(&l->procs, l);
    rc = loop_set_up(l, e);
    if (rc < 0) {
        loop_free(l);
        return rc;
    }
    *ret = l;
    return 0;
}

static void loop_too_late(struct timer *t)
{
    container_of(t, struct loop, deadline)->late = true;
}

// What its owners left open is closed: streams are cut, children killed.
static void loop_close_all(struct loop *l)
{
    l->closing = true;
    l->deadline.fn = loop_too_late;
    l->late = timer_start(&l->timers.base, &l->deadline, LOOP_STOP_MS) < 0;
    net_stop(&l->net, false);
    proc_stop(&l->procs);
    while (!l->late && !(net_idle(&l->net) && proc_idle(&l->procs)))
        (void)uv_run(&l->uv, UV_RUN_ONCE);
    net_stop(&l->net, true);
    for (int i = 0; i < 3 && !net_idle(&l->net); i++)
        (void)uv_run(&l->uv, UV_RUN_NOWAIT);
    timer_stop(&l->timers.base, &l->deadline);
}

int loop_run(struct loop *l)
{
    assert(!l->stopped && !l->running);
    l->running = true;
    if (!atomic_load(&l->stop))
        (void)uv_run(&l->uv, UV_RUN_DEFAULT);
    loop_close_all(l);
    l->stopped = true;
    l->running = false;
    return 0;
}

void loop_stop(struct loop *l)
{
    atomic_store(&l->stop, true);
    (void)uv_async_send(&l->kick);
}

void loop_free(struct loop *l)
{
    if (l == NULL)
        return;
    if (!l->stopped)
        loop_close_all(l);
    loop_tear_down(l);
    while (uv_run(&l->uv, UV_RUN_NOWAIT) != 0 && !l->late)
        (void)uv_run(&l->uv, UV_RUN_ONCE);
    list_each_safe (it, &l->wakes) {
        list_del(it); // freed by their owners
    }
    net_fini(&l->net);
    timers_fini(&l->timers);
    loop_work_free(l);
    mem_free(l->read_buf);
    mem_free(l->self);
    if (uv_loop_close(&l->uv) ==
        0) // else a name lookup still runs in its thread: it keeps the loop
        mem_free(l);
}
