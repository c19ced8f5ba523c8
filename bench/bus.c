// bus.c: messages a second through the bus in memory, on a loop of its own: published in one round,
// delivered in the next, with a label that is checked both ways. A second is one of the processor's
// on this thread, so that other work on the machine does not count. `name value unit` lines.
// SPDX-License-Identifier: Apache-2.0
#include "port/bus.h"
#include "loop/loop.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BATCH = 1024, RUN_MS = 400, RUNS = 7 };

struct bench {
    struct loop *loop;
    struct bus *bus;
    struct timer feed, end;
    uint64_t published, delivered, inside, asked, began_ns, ended_ns;
    bool in_call;
};

static uint64_t cpu_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void on_msg(struct bus_sub *s, const struct bus_msg *m)
{
    struct bench *b = s->user;
    b->delivered += m->data.n == 64;
    b->inside += b->in_call;
}

static int may(void *user, const struct bus_crossing *x, struct err *e)
{
    struct bench *b = user;
    b->asked++;
    return bytes_is(x->label, "internal") ? 0 : err_set(e, E_SECURITY, "no");
}

static void feed(struct timer *t)
{
    struct bench *b = t->user;
    static const char data[64];
    struct bus_msg m = {.subject = BYTES("dev.nervous.cells.math.request"),
                        .label = BYTES("internal"),
                        .data = {data, sizeof data}};
    struct err e = {0};
    b->in_call = true;
    for (int i = 0; i < BATCH; i++) {
        if (bus_publish(b->bus, &m, &e) < 0) {
            (void)fprintf(stderr, "%s\n", e.text);
            exit(1);
        }
    }
    b->in_call = false;
    b->published += BATCH;
    (void)timer_start(loop_timers(b->loop), t, 0);
}

static void on_status(void *user, enum bus_status status, const struct err *e)
{
    struct bench *b = user;
    (void)e;
    if (status == BUS_CONNECTED) {
        b->began_ns = cpu_ns();
        (void)timer_start(loop_timers(b->loop), &b->feed, 0);
        (void)timer_start(loop_timers(b->loop), &b->end, RUN_MS);
    } else if (status == BUS_CLOSED) {
        loop_stop(b->loop);
    }
}

static void end(struct timer *t)
{
    struct bench *b = t->user;
    b->ended_ns = cpu_ns();
    timer_stop(loop_timers(b->loop), &b->feed);
    bus_close(b->bus);
}

static void subscribe(struct bench *b, const char *pattern)
{
    struct bus_sub *s;
    struct err e = {0};
    if (bus_subscribe(b->bus,
                      &(struct bus_sub_args){.pattern = pattern, .on_msg = on_msg, .user = b}, &s,
                      &e)) {
        (void)fprintf(stderr, "%s\n", e.text);
        exit(1);
    }
}

// Published and delivered messages a second. Each publish counts once, also with two subscribers.
static double run(bool wild)
{
    struct bench b = {.inside = 0};
    struct err e = {0};
    if (loop_new(&b.loop, &(struct loop_args){.work_threads = 1}, &e)) {
        (void)fprintf(stderr, "%s\n", e.text);
        exit(1);
    }
    b.feed = (struct timer){.fn = feed, .user = &b};
    b.end = (struct timer){.fn = end, .user = &b};
    struct bus_args args = {.timers = loop_timers(b.loop),
                            .environment = "dev",
                            .may = may,
                            .on_status = on_status,
                            .user = &b};
    if (bus_engine_find("embedded")->open(&args, &b.bus, &e)) {
        (void)fprintf(stderr, "%s\n", e.text);
        exit(1);
    }
    subscribe(&b, wild ? "dev.nervous.cells.*.request" : "dev.nervous.cells.math.request");
    if (wild)
        subscribe(&b, "dev.nervous.>");
    (void)loop_run(b.loop);
    loop_free(b.loop);
    uint64_t each = wild ? 2 : 1;
    if (b.inside || b.delivered % each || b.published - b.delivered / each > BATCH || !b.asked) {
        (void)fprintf(stderr, "bus: %llu published, %llu delivered, %llu inside\n",
                      (unsigned long long)b.published, (unsigned long long)b.delivered,
                      (unsigned long long)b.inside);
        exit(1);
    }
    return (double)(b.delivered / each) * 1e9 / (double)(b.ended_ns - b.began_ns);
}

static int cmp(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(const char *name, bool wild)
{
    double rate[RUNS];
    for (int i = 0; i < RUNS; i++)
        rate[i] = run(wild);
    qsort(rate, RUNS, sizeof *rate, cmp);
    (void)printf("%s %.0f msg/s\n", name, rate[RUNS / 2]);
    (void)fprintf(stderr, "  %s: %.0f to %.0f\n", name, rate[0], rate[RUNS - 1]);
}

int main(void)
{
    measure("inproc_bus_msgs_per_s", false);
    measure("inproc_bus_wild_msgs_per_s", true);
    return 0;
}
