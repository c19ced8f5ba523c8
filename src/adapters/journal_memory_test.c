// journal_memory_test.c: the journal in memory: the kit, plain and with faults; crashes and stops.
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "adapters/journal_memory.h"
#include "adapters/journal_rig.h"
#include "base/rng.h"

static void disk_up(struct kit *k)
{
    k->disk = journal_disk_new();
    assert_non_null(k->disk);
}
static void disk_down(struct kit *k)
{
    journal_disk_free(k->disk);
}
static void disk_args(struct kit *k, struct journal_args *a)
{
    a->disk = k->disk;
}

static int open_slow(const struct journal_args *args, struct journal **ret, struct err *e)
{
    struct journal_faults f = {.seed = 5, .full = 200, .delay_ms_max = 3};
    return journal_faulty_open(args, &f, ret, e);
}

static struct kit memory = {.open = journal_memory_open,
                            .args = disk_args,
                            .setup = disk_up,
                            .teardown = disk_down,
                            .several = true};
static struct kit slow = {.open = open_slow,
                          .args = disk_args,
                          .setup = disk_up,
                          .teardown = disk_down,
                          .several = true,
                          .lossy = true};

// A disk that fails: the commit and all after it say so; what was acknowledged can be read.
static void test_stop(void **state)
{
    struct kit *k = *state;
    struct journal_run row = row_of("a", "running", true);
    assert_int_equal(create(k, "r", &row), 0);
    journal_memory_stop(k->j, E_NOSPACE);
    assert_int_equal(append(k, "r", 1, "x", NULL), E_NOSPACE);
    assert_int_equal(append(k, "r", 1, "x", NULL), E_NOSPACE);
    assert_int_equal(create(k, "s", &row), E_NOSPACE);
    assert_true(stats(k).stopped);
    assert_non_null(strstr(stats(k).why, "full"));
    expect_entries(k, "r", 1, 1, "1={\"t\":\"begin\"} ");
    kit_reopen(k);
    assert_false(stats(k).stopped);
    expect_runs(k, (struct journal_list){.limit = 0}, "r ");
}

// Power cuts by seed: what was acknowledged is there, what was not is whole or not there.
static void test_crash(void **state)
{
    struct kit *k = *state;
    struct journal_run row = row_of("a", "running", true);
    struct bytes two[] = {BYTES("x"), BYTES("y")};
    struct rng rng;
    uint64_t last = 1;
    unsigned kept = 0, lost = 0;
    rng_init(&rng, 7);
    assert_int_equal(create(k, "r", &row), 0);
    for (int turn = 0; turn < 300; turn++) {
        struct told t[8];
        unsigned n = 1 + (unsigned)rng_below(&rng, 8);
        for (unsigned i = 0; i < n; i++) {
            struct journal_change c = {.run = BYTES("r"),
                                       .expect = last + 2 * (uint64_t)i,
                                       .entries = two,
                                       .entry_count = 2};
            struct journal_write w = {.changes = &c, .change_count = 1};
            assert_int_equal(begin_write(k, k->j, &w, &t[i]), 0);
        }
        for (uint64_t i = rng_below(&rng, 3); i; i--)
            kit_round(k);
        uint64_t told = last;
        for (unsigned i = 0; i < n; i++)
            told += t[i].dones ? 2 : 0;
        journal_memory_crash(k->j);
        struct journal_args a = kit_args(k);
        struct journal_faults f = {.seed = (uint64_t)turn, .delay_ms_max = 2};
        struct err e = {0};
        assert_int_equal(journal_faulty_open(&a, &f, &k->j, &e), 0);
        struct got g = got_new(0);
        assert_int_equal(read_on(k, k->j, (struct journal_read){.run = BYTES("r"), .from = 1}, &g),
                         0);
        assert_in_range(g.rows, told, last + 2 * (uint64_t)n);
        assert_int_equal(g.rows % 2, 1);
        kept += g.rows > told;
        lost += g.rows < last + 2 * (uint64_t)n;
        last = g.rows;
        got_free(&g);
    }
    assert_true(kept > 20 && lost > 20); // both happen
}

// By chance it stops, sometimes with the last commit kept.
static void test_stop_by_chance(void **state)
{
    struct kit *k = *state;
    struct journal_run row = row_of("a", "running", true);
    uint64_t last = 1;
    unsigned kept = 0, lost = 0, codes[2] = {0, 0};
    assert_int_equal(create(k, "r", &row), 0);
    for (unsigned turn = 0; turn < 40; turn++) {
        kit_close_one(k, k->j);
        struct journal_args a = kit_args(k);
        struct journal_faults f = {.seed = turn, .stop = 300};
        struct err e = {0};
        int rc;
        assert_int_equal(journal_faulty_open(&a, &f, &k->j, &e), 0);
        while ((rc = append(k, "r", last, "x", NULL)) == 0)
            last++;
        assert_true(rc == E_IO || rc == E_NOSPACE);
        codes[rc == E_IO]++;
        struct got g = got_new(0);
        assert_int_equal(read_on(k, k->j, (struct journal_read){.run = BYTES("r"), .from = 1}, &g),
                         0);
        assert_in_range(g.rows, last, last + 1);
        *(g.rows > last ? &kept : &lost) += 1;
        last = g.rows;
        got_free(&g);
    }
    assert_true(kept && lost && codes[0] && codes[1]);
}

// Memory that runs out at each point in turn: the journal stops or refuses, nothing is half kept.
static void test_torture(void **state)
{
    struct kit *k = *state;
    struct journal_run row = row_of("a", "running", true);
    struct bytes e1 = BYTES("one");
    struct journal_put p[] = {{BYTES("key"), BYTES("value")}, {BYTES("old"), BYTES_NONE}};
    struct journal_change c[] = {
        {.run = BYTES("a"), .create = true, .entries = &e1, .entry_count = 1, .row = &row},
        {.run = BYTES("b"), .create = true, .entries = &e1, .entry_count = 1, .row = &row}};
    struct journal_write w = {.changes = c,
                              .change_count = 2,
                              .puts = p,
                              .put_count = 2,
                              .doc_hash = BYTES("h"),
                              .doc = BYTES("text")};
    int rc = 1;
    assert_int_equal(put(k, "old", "1"), 0);
    for (uint64_t n = 1; rc; n++) {
        assert_true(n < 100);
        mem_fail_after(n, 0);
        rc = write_now(k, &w);
        mem_fail_after(0, 0);
        assert_true(rc == 0 || rc == E_NOMEM);
        kit_reopen(k);
        expect_runs(k, (struct journal_list){.limit = 0}, rc ? "" : "b a ");
        expect_keys(k, "", rc ? "old=1 " : "key=value ");
    }
}

static void test_engines(void **state)
{
    (void)state;
    assert_ptr_equal(journal_engine_find("memory")->open, journal_memory_open);
    assert_null(journal_engine_find("paper"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {KIT_TESTS(&memory),
                                       KIT_TESTS(&slow),
                                       KIT_TEST(test_stop, &memory),
                                       KIT_TEST(test_crash, &memory),
                                       KIT_TEST(test_stop_by_chance, &memory),
                                       KIT_TEST(test_torture, &memory),
                                       cmocka_unit_test(test_engines)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
