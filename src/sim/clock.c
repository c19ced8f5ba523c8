// clock.c: the clock and work ports of one host.
// SPDX-License-Identifier: Apache-2.0
//
// A timer comes up to SLACK_NS late, as on a loop that has other things to do; two timers that are
// due at one time come equally late, so that they stay in order.
#include "sim/sim_priv.h"

#include "base/alloc.h"
#include "base/time.h"

#include <assert.h>

#define SLACK_NS (300 * 1000)
#define WORK_NS (500 * 1000) // how long work takes at most
#define WORK_QUEUE_MAX 256   // as loop_args.work_queue_max

static struct sim_timers *timers_of(struct timers *c)
{
    return (struct sim_timers *)(void *)c;
}

static int64_t now_ms(struct timers *c)
{
    return (int64_t)(sim_mono_ns(timers_of(c)->host) / SIM_MS);
}

static uint64_t now_ns(struct timers *c)
{
    return sim_mono_ns(timers_of(c)->host);
}

static void timer_node_free(struct timer_node *n)
{
    n->timer->node = NULL;
    sim_event_stop(n->host->w, &n->ev);
    list_del(&n->link);
    mem_free(n);
}

static void timer_due(struct sim_event *ev)
{
    struct timer_node *n = container_of(ev, struct timer_node, ev);
    struct timer *t = n->timer;
    timer_node_free(n);
    t->fn(t);
}

bool sim_is_timer(const struct sim_event *ev)
{
    return ev->fn == timer_due;
}

static void stop(struct timers *c, struct timer *t)
{
    (void)c;
    if (t->node != NULL)
        timer_node_free(t->node);
}

static int start(struct timers *c, struct timer *t, int64_t delay_ms)
{
    struct sim_host *h = timers_of(c)->host;
    int64_t now = now_ms(c);
    assert(t->fn != NULL);
    if (delay_ms < 0)
        delay_ms = 0;
    if (delay_ms >= TIME_NEVER - now) {
        stop(c, t);
        return 0;
    }
    struct timer_node *n = t->node;
    if (n == NULL) {
        n = mem_new(struct timer_node);
        if (n == NULL)
            return E_NOMEM;
        sim_event_init(&n->ev, h, SIM_PROCESS, timer_due);
        n->timer = t;
        n->host = h;
        list_add_tail(&timers_of(c)->running, &n->link);
        t->node = n;
    }
    t->due_ms = now + delay_ms;
    uint64_t at = h->w->now;
    if (delay_ms > 0) {
        uint64_t slack = ((uint64_t)t->due_ms * 0x9e3779b97f4a7c15u >> 40) % SLACK_NS;
        at = (uint64_t)t->due_ms * SIM_MS - h->mono_ns + slack;
    }
    sim_event_at(h->w, &n->ev, at);
    return 0;
}

// ---- work: its run and its done come one after the other, later

struct work_item {
    struct sim_event ev;
    struct work_req *req;
    struct sim_work *work;
    struct list link;
};

static void work_due(struct sim_event *ev)
{
    struct work_item *i = container_of(ev, struct work_item, ev);
    struct work_req *r = i->req;
    i->work->waiting--;
    list_del(&i->link);
    mem_free(i);
    r->run(r);
    r->done(r);
}

bool sim_is_work(const struct sim_event *ev)
{
    return ev->fn == work_due;
}

static int work_begin(struct work *base, struct work_req *r)
{
    struct sim_work *w = (struct sim_work *)(void *)base;
    struct sim *world = w->host->w;
    if (w->waiting >= WORK_QUEUE_MAX)
        return E_FULL;
    struct work_item *i = mem_new(struct work_item);
    if (i == NULL)
        return E_NOMEM;
    sim_event_init(&i->ev, w->host, SIM_PROCESS, work_due);
    i->req = r;
    i->work = w;
    w->waiting++;
    list_add_tail(&w->running, &i->link);
    sim_event_at(world, &i->ev, world->now + rng_below(&world->chance, WORK_NS));
    return 0;
}

void sim_clock_init(struct sim_host *h)
{
    static const struct timers_ops timers_ops = {
        .now_ms = now_ms, .now_ns = now_ns, .start = start, .stop = stop};
    static const struct work_ops work_ops = {.start = work_begin};
    h->timers = (struct sim_timers){.base.ops = &timers_ops, .host = h};
    h->work = (struct sim_work){.base.ops = &work_ops, .host = h};
    list_init(&h->timers.running);
    list_init(&h->work.running);
}

void sim_clock_fini(struct sim_host *h)
{
    list_each_safe (it, &h->timers.running) {
        struct timer_node *n = container_of(it, struct timer_node, link);
        sim_event_stop(h->w, &n->ev); // the timer itself may be gone
        list_del(it);
        mem_free(n);
    }
    list_each_safe (it, &h->work.running) {
        struct work_item *i = container_of(it, struct work_item, link);
        sim_event_stop(h->w, &i->ev);
        list_del(it);
        mem_free(i);
    }
}
