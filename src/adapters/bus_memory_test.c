// bus_memory_test.c: the bus in memory: the kit, and what only it has.
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "adapters/bus_kit_rig.h"

static struct kit memory = {.open = bus_memory_open};

// A yes is asked for once a subject and label; a no each time.
static void test_remembered(void **state)
{
    struct kit *k = *state;
    struct ear r = {0};
    struct bus_msg m = {.subject = BYTES("dev.organs.vision.detect"), .label = BYTES("internal")};
    ear_open(&r, k, k->bus, (struct bus_sub_args){.pattern = "dev.organs.>"});
    k->asked = 0;
    for (int i = 0; i < 100; i++)
        assert_int_equal(bus_publish(k->bus, &m, NULL), 0);
    kit_until(k, r.count == 100);
    assert_int_equal(k->asked, 2); // in and out
    m.label = BYTES("public");
    assert_int_equal(bus_publish(k->bus, &m, NULL), 0);
    kit_until(k, r.count == 101);
    assert_int_equal(k->asked, 4);
    bus_policy_changed(k->bus);
    assert_int_equal(bus_publish(k->bus, &m, NULL), 0);
    kit_until(k, r.count == 102);
    assert_int_equal(k->asked, 6);
    ear_fini(&r);
}

// More subjects than are remembered.
static void test_topics(void **state)
{
    struct kit *k = *state;
    struct ear r = {0};
    ear_open(&r, k, k->bus, (struct bus_sub_args){.pattern = "dev.organs.>"});
    for (unsigned i = 0; i < 20000; i++) {
        char subject[64];
        (void)snprintf(subject, sizeof subject, "dev.organs.many.x%u", i);
        struct bus_msg m = {.subject = bytes_of(subject)};
        struct err e = {0};
        int rc = bus_publish(k->bus, &m, &e);
        if (rc == E_FULL) { // more than 8192 wait
            kit_until(k, r.count == i);
            rc = bus_publish(k->bus, &m, &e);
        }
        assert_true(rc >= 0);
    }
    kit_until(k, r.count == 20000);
    ear_fini(&r);
}

// A subscriber that publishes, subscribes and leaves from inside.
static void inner(struct bus_sub *s, const struct bus_msg *m)
{
    struct ear *r = s->user;
    r->count++;
    if (r->count == 3) {
        bus_unsubscribe(s);
    } else {
        struct bus_msg again = {.subject = m->subject, .data = m->data};
        assert_int_equal(bus_publish(r->bus, &again, NULL), 0);
        unsigned count = r->count;
        assert_int_equal(r->count, count);
    }
}

static void test_inside(void **state)
{
    struct kit *k = *state;
    struct ear r = {.k = k, .bus = k->bus};
    struct bus_sub *sub;
    assert_int_equal(bus_subscribe(k->bus,
                                   &(struct bus_sub_args){.pattern = "dev.a.b.c",
                                                          .on_msg = inner,
                                                          .on_closed = ear_closed,
                                                          .user = &r},
                                   &sub, NULL),
                     0);
    kit_publish(k, "dev.a.b.c", "x");
    kit_until(k, r.closed);
    assert_int_equal(r.count, 3);
}

static void no_memory(void **state)
{
    struct kit *k = *state;
    // Memory that runs out at each point in turn: an error, never a crash, nothing leaks.
    for (uint64_t n = 1; n < 60; n++) {
        struct ear r = {.ack = true};
        struct bus_sub *sub = NULL;
        struct wish w;
        wish_new(&w, 1000);
        struct bus_msg m = {.subject = BYTES("dev.a.b.torture"), .data = BYTES("x")};
        struct bus_sub_args a = {.pattern = "dev.a.b.torture",
                                 .from = BUS_NEW,
                                 .durable = "t",
                                 .on_msg = ear_msg,
                                 .on_closed = ear_closed,
                                 .user = &r};
        r.got = calloc(KIT_KEPT, sizeof *r.got);
        r.k = k;
        mem_fail_after(n, 1);
        int rc = bus_subscribe(k->bus, &a, &sub, NULL);
        r.sub = sub;
        assert_true(rc == 0 || rc == E_NOMEM);
        int rc2 = bus_store(k->bus, &m, &w.req, NULL);
        assert_true(rc2 == 0 || rc2 == E_NOMEM);
        for (int i = 0; i < 3; i++)
            kit_round(k);
        mem_fail_after(0, 0);
        if (!rc2)
            kit_until(k, w.done);
        if (!rc && !rc2 && !w.status)
            kit_until(k, r.count);
        if (!rc) {
            bus_unsubscribe(sub);
            kit_until(k, r.closed);
        }
        free(r.got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TESTS(&memory),
        KIT_TEST(test_remembered, &memory),
        KIT_TEST(test_topics, &memory),
        KIT_TEST(test_inside, &memory),
        KIT_TEST(no_memory, &memory),
    };
    return cmocka_run_group_tests_name("bus in memory", tests, NULL, NULL);
}
