// flows_temporal.c: the steps of flows.c on a Temporal server: 256 flows that go round, each round
// one activity that does nothing, whose result is kept before the next begins. Prints steps a
// second. usage: flows_temporal PORT SECONDS SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "base/time.h"
#include "loop/loop.h"
#include "temporal/temporal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FLOWS = 256, POLLERS = 16, STARTS = 16, WARM_MS = 3000 };

static const char loop_doc[] =
    "document: {dsl: '1.0.0', namespace: bench, name: loop, version: '1.0.0'}\n"
    "do:\n"
    "  - a:\n"
    "      call: http\n"
    "      with: {method: post, endpoint: 'http://bench.example/', body: '${ .n }'}\n"
    "      output: {as: '${ {n: ((.n // 0) + 1)} }'}\n"
    "      then: a\n";

struct bench {
    struct loop *loop;
    struct temporal *temporal;
    struct acts acts;
    struct timer soon, end;
    struct list done; // activities that have ended
    struct val *output;
    uint64_t from_ns, from;
    int64_t ms;
    unsigned asked, begun;
};

static void fail(const char *what)
{
    (void)fprintf(stderr, "flows_temporal: %s\n", what);
    exit(1);
}

// ---- activities that do nothing -----------------------------------------------------------------

static void on_soon(struct timer *t)
{
    struct bench *b = t->user;
    if (b->begun < FLOWS) { // else the first ones leave the server no time for the rest
        (void)timer_start(loop_timers(b->loop), t, 50);
        return;
    }
    while (!list_empty(&b->done)) {
        struct act_req *r = container_of(b->done.next, struct act_req, link);
        list_del(&r->link);
        r->done(r, r->priv ? E_CANCELLED : 0, r->priv ? NULL : b->output, NULL, false);
    }
}

static int on_start(struct acts *a, const struct act_args *args, struct act_req *r, struct err *e)
{
    struct bench *b = container_of(a, struct bench, acts);
    (void)args;
    (void)e;
    list_add_tail(&b->done, &r->link);
    return timer_start(loop_timers(b->loop), &b->soon, 0);
}

static void on_cancel(struct acts *a, struct act_req *r)
{
    (void)a;
    r->priv = r;
}

static const struct acts_ops ops = {on_start, on_cancel};

// ---- the flows ----------------------------------------------------------------------------------

static void begin_flow(struct bench *b);

static void on_begun(struct runs_req *r, int status, struct bytes json, const struct err *e)
{
    struct bench *b = r->user;
    (void)json;
    if (status)
        fail(e->text);
    free(r);
    b->begun++;
    if (b->asked < FLOWS)
        begin_flow(b);
    if (b->begun == FLOWS)
        (void)timer_start(loop_timers(b->loop), &b->end, WARM_MS);
}

static void begin_flow(struct bench *b)
{
    struct runs_req *r = calloc(1, sizeof *r);
    struct val *input = val_put_cstr(val_obj(), "n", val_int(0));
    r->done = on_begun;
    b->asked++;
    r->user = b;
    temporal_start(b->temporal, &(struct runs_start){.document = BYTES(loop_doc), .input = input},
                   r);
    val_unref(input);
}

static void on_end(struct timer *t)
{
    struct bench *b = t->user;
    struct temporal_stats s;
    temporal_stats(b->temporal, &s);
    if (!b->from_ns) { // warm
        b->from_ns = time_mono_ns();
        b->from = s.activities;
        (void)timer_start(loop_timers(b->loop), t, b->ms);
        return;
    }
    (void)printf("%.1f\n",
                 (double)(s.activities - b->from) * 1e9 / (double)(time_mono_ns() - b->from_ns));
    (void)fflush(stdout);
    exit(0); // the flows have no end, and the server goes, too
}

static void on_state(void *user, int status, const struct err *e)
{
    struct bench *b = user;
    (void)e;
    while (!status && b->asked < STARTS)
        begin_flow(b);
}

int main(int argc, char **argv)
{
    struct bench b = {.acts = {.ops = &ops}};
    struct err e = {0};
    if (argc != 3)
        fail("usage: flows_temporal PORT SECONDS");
    b.ms = atoi(argv[2]) * 1000;
    list_init(&b.done);
    b.soon = (struct timer){.fn = on_soon, .user = &b};
    b.end = (struct timer){.fn = on_end, .user = &b};
    b.output = val_put_cstr(val_obj(), "n", val_int(1));
    if (loop_new(&b.loop, NULL, &e))
        fail(e.text);
    struct temporal_args a = {.net = loop_net(b.loop),
                              .timers = loop_timers(b.loop),
                              .addr = {.host = "127.0.0.1", .port = (uint16_t)atoi(argv[1])},
                              .queue = "bench",
                              .acts = &b.acts,
                              .state = on_state,
                              .user = &b,
                              .activities_max = FLOWS,
                              .pollers = POLLERS};
    if (temporal_new(&b.temporal, &a, &e))
        fail(e.text);
    (void)loop_run(b.loop);
    return 1;
}
