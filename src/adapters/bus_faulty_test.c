// bus_faulty_test.c: the faulty bus keeps the contract: the kit with delays, doubles and refusals,
// from several seeds; a connection that is lost by hand, and one that is lost all the time.
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "adapters/bus_faulty.h"
#include "adapters/bus_kit_rig.h"

static struct bus_faults faults;

static int open_faulty(const struct bus_args *args, struct bus **ret, struct err *e)
{
    return bus_faulty_open(bus_memory_open, args, &faults, ret, e);
}

static struct kit wild = {.open = open_faulty, .faulty = true, .slow = true};

static void lose(struct kit *k)
{
    bus_faulty_lose(k->bus);
}
static void back(struct kit *k)
{
    bus_faulty_back(k->bus);
}
static struct kit tame = {.open = open_faulty, .slow = true, .kill = lose, .start = back};

// Stored messages through a connection that is gone half of the time: none is lost, none is stored
// twice; requests end once, one way or the other.
static void test_storm(void **state)
{
    struct kit *k = *state;
    struct ear r = {.ack = true}, server = {.answer = "pong"};
    enum { N = 200 };
    static struct wish stored[N], asked[N];
    const char *subject = "dev.organs.storm.x";
    ear_open(&r, k, k->bus,
             (struct bus_sub_args){
                 .pattern = subject, .from = BUS_START, .durable = "storm", .ack_wait_ms = 100});
    ear_open(&server, k, k->bus, (struct bus_sub_args){.pattern = "dev.organs.storm.ask"});
    unsigned refused = 0;
    for (int i = 0; i < N; i++) {
        struct bus_msg m = {.subject = bytes_of(subject), .data = bytes_of(kit_text(k, "%d", i))};
        while (bus_store(k->bus, &m, wish_new(&stored[i], 30000), NULL))
            kit_round(k);
        struct bus_msg q = {.subject = BYTES("dev.organs.storm.ask"), .data = BYTES("ping")};
        if (bus_request(k->bus, &q, wish_new(&asked[i], 2000), NULL)) {
            asked[i].done = 1;
            asked[i].status = E_UNAVAILABLE;
            refused++;
        }
        kit_pass(k, 2);
    }
    for (int i = 0; i < N; i++)
        kit_until(k, stored[i].done && asked[i].done);
    kit_until(k, distinct(&r) == N);
    unsigned answered = 0;
    for (int i = 0; i < N; i++) {
        assert_int_equal(stored[i].status, 0);
        assert_int_equal(stored[i].done + asked[i].done, 2);
        answered += asked[i].status == 0;
    }
    bool seen[N] = {false};
    for (unsigned i = 0; i < r.count && i < KIT_KEPT; i++)
        seen[atoi(r.got[i].data)] = true;
    for (int i = 0; i < N; i++)
        assert_true(seen[i]);
    struct bus_stats st;
    bus_stats(k->bus, &st);
    assert_int_equal(st.store_msgs, N);
    assert_true(st.lost > 3 && k->back > 3);
    assert_true(answered > 0 && refused > 0);
    ear_fini(&r);
    ear_fini(&server);
}

int main(void)
{
    const struct CMUnitTest kit[] = {KIT_TESTS(&wild)};
    const struct CMUnitTest by_hand[] = {KIT_TEST(kit_restart, &tame)};
    const struct CMUnitTest storm[] = {KIT_TEST(test_storm, &wild)};
    int rc = 0;
    for (uint64_t seed = 1; seed <= 3 && !rc; seed++) {
        faults = (struct bus_faults){.seed = seed, .full = 50, .twice = 100, .delay_ms_max = 3};
        rc = cmocka_run_group_tests_name("faulty", kit, NULL, NULL);
    }
    faults = (struct bus_faults){.seed = 1};
    rc |= cmocka_run_group_tests_name("lost by hand", by_hand, NULL, NULL);
    faults = (struct bus_faults){
        .seed = 5, .full = 20, .twice = 50, .delay_ms_max = 2, .lose = 100, .lost_ms_max = 40};
    return rc | cmocka_run_group_tests_name("storm", storm, NULL, NULL);
}
