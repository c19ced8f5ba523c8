// bus_sim_test.c: the bus in memory under pauses and consumers that fail: nothing that was stored
// is lost, nothing comes again once it was acknowledged, order holds, a seed is a run.
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "port/bus.h"
#include "sim/sim.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    MESSAGES = 400,
    DURABLES = 2,
    MEMBERS = 3,
    SUBJECTS = 4,
    ACK_WAIT_MS = 400,
    MAX_DELIVER = 4
};

struct world {
    struct sim *w;
    struct sim_host *h;
    struct bus *bus;
    bool closed, mended;
    struct message {
        struct world *world;
        unsigned number;
        struct bus_req req;
        bool stored, twice, ended;
        bool acked[DURABLES], dead[DURABLES];
        unsigned tries[DURABLES];
    } messages[MESSAGES];
    struct consumer {
        struct world *world;
        unsigned durable;
        struct bus_sub *sub;
        unsigned got;
        uint64_t last[SUBJECTS];
    } consumers[DURABLES * MEMBERS];
    struct late { // an acknowledgement that takes its time
        struct timer timer;
        struct consumer *consumer;
        struct bus_sub *sub;
        uint64_t ack;
        unsigned number;
        struct late *next;
    } *lates;
    uint64_t live_last[SUBJECTS];
    unsigned live, duplicates, redelivered, dead;
};

static unsigned number_of(const struct bus_msg *m)
{
    char text[16];
    (void)snprintf(text, sizeof text, "%.*s", BYTES_FMT(m->data));
    return (unsigned)atoi(text);
}

// ---- consumers: most acknowledge, some late, some say no, some say nothing

static void acked(struct consumer *c, struct bus_sub *sub, uint64_t ack, unsigned number)
{
    struct world *w = c->world;
    if (c->sub != sub)
        return; // its subscription is another one by now
    if (bus_ack(sub, ack, BUS_ACK, 0) == 0)
        w->messages[number].acked[c->durable] = true;
}

static void late_due(struct timer *t)
{
    struct late *l = t->user;
    acked(l->consumer, l->sub, l->ack, l->number);
}

static void ack_late(struct consumer *c, const struct bus_msg *m, unsigned number)
{
    struct world *w = c->world;
    struct late *l = mem_new(struct late);
    *l = (struct late){.timer = {.fn = late_due, .user = l},
                       .consumer = c,
                       .sub = c->sub,
                       .ack = m->ack,
                       .number = number,
                       .next = w->lates};
    w->lates = l;
    (void)timer_start(sim_timers(w->h), &l->timer,
                      (int64_t)rng_below(sim_rng(w->w), 2 * ACK_WAIT_MS));
}

static void on_stored(struct bus_sub *s, const struct bus_msg *m)
{
    struct consumer *c = s->user;
    struct world *w = c->world;
    struct rng *r = sim_rng(w->w);
    unsigned number = number_of(m);
    struct message *x = &w->messages[number];
    c->got++;
    sim_mix(w->w, (uint64_t)number << 8 | c->durable);
    if (x->acked[c->durable])
        sim_fail(w->w, "message %u came to durable %u after it was acknowledged", number,
                 c->durable);
    x->tries[c->durable]++;
    w->redelivered += m->deliveries > 1;
    if (m->deliveries > MAX_DELIVER)
        sim_fail(w->w, "message %u was tried %u times", number, m->deliveries);
    uint64_t what = w->mended ? 0 : rng_below(r, 10);
    if (what < 6)
        acked(c, s, m->ack, number);
    else if (what < 8)
        ack_late(c, m, number);
    else if (what == 8)
        (void)bus_ack(s, m->ack, BUS_NAK, (int64_t)rng_below(r, 300));
}

static void on_dead(struct bus_sub *s, const struct bus_msg *m)
{
    struct consumer *c = s->user;
    struct world *w = c->world;
    struct message *x = &w->messages[number_of(m)];
    w->dead++;
    if (x->acked[c->durable])
        sim_fail(w->w, "message %u is a dead letter and was acknowledged", x->number);
    if (x->dead[c->durable])
        sim_fail(w->w, "message %u is dead twice", x->number);
    x->dead[c->durable] = true;
}

static void on_live(struct bus_sub *s, const struct bus_msg *m)
{
    struct world *w = s->user;
    unsigned number = number_of(m), subject = number % SUBJECTS;
    w->live++;
    if (number + 1 <= w->live_last[subject])
        sim_fail(w->w, "live message %u came after %u", number,
                 (unsigned)w->live_last[subject] - 1);
    w->live_last[subject] = number + 1;
}

static void consumer_up(struct consumer *c)
{
    char durable[16];
    (void)snprintf(durable, sizeof durable, "d%u", c->durable);
    struct bus_sub_args a = {.pattern = "dev.organs.>",
                             .from = BUS_START,
                             .durable = durable,
                             .ack_wait_ms = ACK_WAIT_MS,
                             .max_deliver = MAX_DELIVER,
                             .max_in_flight = 16,
                             .on_msg = on_stored,
                             .user = c};
    struct err e = {0};
    if (bus_subscribe(c->world->bus, &a, &c->sub, &e) < 0)
        sim_fail(c->world->w, "no subscription: %s", e.text);
}

static void consumer_again(struct sim *w, void *user)
{
    struct consumer *c = user;
    struct sim_host *outer = sim_enter(c->world->h);
    (void)w;
    bus_unsubscribe(c->sub); // what it had goes to the others
    consumer_up(c);
    (void)sim_enter(outer);
}

// ---- producers

static void kept(struct bus_req *r, int status, const struct bus_msg *reply, const struct err *e)
{
    struct message *x = r->user;
    (void)reply;
    if (x->ended)
        sim_fail(x->world->w, "message %u was stored twice over", x->number);
    x->ended = true;
    x->stored = status == 0;
    if (status < 0 && status != E_FULL)
        sim_fail(x->world->w, "message %u is not stored: %s", x->number, e ? e->text : "?");
}

static void twice_kept(struct bus_req *r, int status, const struct bus_msg *reply,
                       const struct err *e)
{
    struct world *w = r->user;
    (void)reply;
    (void)e;
    w->duplicates += status == 0 && r->duplicate;
    mem_free(r);
}

static void store(struct sim *sim, void *user)
{
    struct message *x = user;
    struct world *w = x->world;
    char data[16], subject[40], id[16];
    (void)snprintf(data, sizeof data, "%u", x->number);
    (void)snprintf(id, sizeof id, "m%u", x->number);
    (void)snprintf(subject, sizeof subject, "dev.organs.s%u.x", x->number % SUBJECTS);
    struct bus_msg m = {.subject = bytes_of(subject), .data = bytes_of(data), .id = bytes_of(id)};
    struct sim_host *outer = sim_enter(w->h);
    x->req = (struct bus_req){.done = kept, .user = x, .timeout_ms = 10000};
    if (bus_store(w->bus, &m, &x->req, NULL) < 0)
        sim_fail(sim, "message %u is refused", x->number);
    if (x->twice) {
        struct bus_req *again = mem_new(struct bus_req);
        *again = (struct bus_req){.done = twice_kept, .user = w, .timeout_ms = 10000};
        if (bus_store(w->bus, &m, again, NULL) < 0)
            mem_free(again);
    }
    (void)sim_enter(outer);
}

static void pause_now(struct sim *sim, void *user)
{
    struct world *w = user;
    sim_pause(w->h, rng_below(sim_rng(sim), 1500 * SIM_MS));
}

static void on_status(void *user, enum bus_status status, const struct err *e)
{
    struct world *w = user;
    (void)e;
    w->closed = w->closed || status == BUS_CLOSED;
}

static void world_up(struct world *w, uint64_t seed)
{
    memset(w, 0, sizeof *w);
    w->w = sim_new(&(struct sim_args){.seed = seed});
    w->h = sim_host_new(w->w, "node", "10.0.0.1");
    (void)sim_enter(w->h);
    struct bus_args a = {.timers = sim_timers(w->h),
                         .net = sim_net(w->h),
                         .environment = "dev",
                         .source = "/node/node",
                         .on_status = on_status,
                         .user = w};
    assert_int_equal(bus_engine_find("embedded")->open(&a, &w->bus, NULL), 0);
    for (unsigned i = 0; i < DURABLES * MEMBERS; i++) {
        w->consumers[i] = (struct consumer){.world = w, .durable = i / MEMBERS};
        consumer_up(&w->consumers[i]);
    }
    static struct consumer dead[DURABLES];
    for (unsigned i = 0; i < DURABLES; i++) {
        char pattern[64];
        (void)snprintf(pattern, sizeof pattern, BUS_DEAD, "dev", i ? "d1" : "d0");
        dead[i] = (struct consumer){.world = w, .durable = i};
        struct bus_sub_args d = {.pattern = pattern, .on_msg = on_dead, .user = &dead[i]};
        assert_int_equal(bus_subscribe(w->bus, &d, &dead[i].sub, NULL), 0);
    }
    struct bus_sub *live;
    struct bus_sub_args l = {.pattern = "dev.organs.*.x", .on_msg = on_live, .user = w};
    assert_int_equal(bus_subscribe(w->bus, &l, &live, NULL), 0);
    (void)sim_enter(NULL);
    struct rng *r = sim_rng(w->w);
    uint64_t at[SUBJECTS] = {0};
    for (unsigned i = 0; i < MESSAGES; i++) {
        w->messages[i] = (struct message){.world = w, .number = i, .twice = rng_below(r, 10) == 0};
        at[i % SUBJECTS] += rng_below(r, 100 * SIM_MS); // in order for each subject
        (void)sim_after(w->w, at[i % SUBJECTS], store, &w->messages[i]);
    }
    for (unsigned i = 0; i < 6; i++)
        (void)sim_after(w->w, rng_below(r, 5 * SIM_S), pause_now, w);
    for (unsigned i = 0; i < 8; i++)
        (void)sim_after(w->w, rng_below(r, 5 * SIM_S), consumer_again,
                        &w->consumers[rng_below(r, DURABLES * MEMBERS)]);
}

static void check(struct world *w)
{
    for (unsigned i = 0; i < MESSAGES; i++) {
        const struct message *x = &w->messages[i];
        if (!x->ended)
            sim_fail(w->w, "message %u has no end", i);
        for (unsigned d = 0; d < DURABLES && x->stored; d++)
            if (!x->acked[d] && !x->dead[d])
                sim_fail(w->w, "message %u is lost for durable %u after %u tries", i, d,
                         x->tries[d]);
    }
}

static uint64_t world_run(uint64_t seed, unsigned *ret_redelivered, unsigned *ret_dead)
{
    static struct world w;
    world_up(&w, seed);
    (void)sim_run(w.w, 10 * SIM_S);
    w.mended = true;
    (void)sim_run(w.w, 30 * SIM_S);
    check(&w);
    if (sim_failure(w.w) != NULL)
        fail_msg("seed %" PRIu64 " %s", seed, sim_failure(w.w));
    assert_true(w.duplicates > 0);
    assert_int_equal(w.live, MESSAGES);
    uint64_t hash = sim_hash(w.w);
    *ret_redelivered += w.redelivered;
    *ret_dead += w.dead;
    (void)sim_enter(w.h);
    bus_close(w.bus);
    (void)sim_enter(NULL);
    (void)sim_run(w.w, 31 * SIM_S);
    assert_true(w.closed);
    while (w.lates != NULL) {
        struct late *l = w.lates;
        w.lates = l->next;
        timer_stop(sim_timers(w.h), &l->timer);
        mem_free(l);
    }
    sim_free(w.w);
    assert_int_equal(mem_live(), 0);
    return hash;
}

static void test_storms(void **state)
{
    (void)state;
    unsigned redelivered = 0, dead = 0;
    for (uint64_t seed = 1; seed <= 30; seed++)
        (void)world_run(seed, &redelivered, &dead);
    print_message("%u came again, %u are dead letters\n", redelivered, dead);
    assert_true(redelivered > 100 && dead > 0);
}

static void test_same_seed(void **state)
{
    (void)state;
    unsigned unused = 0;
    uint64_t one = world_run(3, &unused, &unused), again = world_run(3, &unused, &unused);
    assert_true(one == again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_storms),
        cmocka_unit_test(test_same_seed),
    };
    if (!sim_ready())
        return 77;
    return cmocka_run_group_tests_name("the bus in the simulator", tests, NULL, NULL);
}
