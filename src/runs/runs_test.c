// runs_test.c: flows carried out: order of effects, restarts at every commit, timers, children,
// signals, hands, documents and schedules, all in virtual time.
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runs/corpus_rig.h"

static int setup(void **state)
{
    static struct rig r;
    rig_init(&r);
    r.act = corpus_act;
    *state = &r;
    return 0;
}

static int teardown(void **state)
{
    rig_fini(*state);
    return 0;
}

static void send_signal(struct rig *r, const char *id, const char *event)
{
    struct asked a;
    struct val *v = json(event);
    asked_init(&a);
    runs_signal(r->runs, bytes_of(id), v, &a.r);
    unsigned life = r->lives;
    int64_t end = r->clock.now_ms + MINUTE;
    while (!a.dones && r->lives == life && rig_round(r, end))
        ;
    if (a.dones && a.status)
        fail_msg("signal: %s", a.why);
    if (!a.dones) // died before it said so: sent again, as whoever sends one does
        send_signal(r, id, event);
    asked_fini(&a);
    val_unref(v);
}

// Starts it; when the node dies before it says that the run is kept, starts it again: E_EXISTS is
// as good.
static void start_surely(struct rig *r, size_t i)
{
    struct asked a;
    for (;;) {
        unsigned life = r->lives;
        int64_t end = r->clock.now_ms + MINUTE;
        begin_flow(r, corpus[i].doc, corpus[i].name, corpus[i].input, &a, false);
        while (!a.dones && r->lives == life && rig_round(r, end))
            ;
        if (a.dones)
            break;
        asked_fini(&a);
    }
    if (a.status && a.status != E_EXISTS)
        fail_msg("%s: %s", corpus[i].name, a.why);
    asked_fini(&a);
}

static void check_end(struct rig *r, size_t i)
{
    struct asked a;
    ask_show(r, corpus[i].name, &a);
    for (int hours = 0; hours < 100 && val_bool_of(val_get_cstr(a.json, "open"), false); hours++) {
        asked_fini(&a);
        rig_run(r, 60 * MINUTE);
        ask_show(r, corpus[i].name, &a);
    }
    if (strcmp(status_of(&a), corpus[i].status) != 0) {
        struct buf b;
        buf_init(&b, 1 << 24);
        (void)val_write(&b, a.json);
        fail_msg("%s", buf_cstr(&b));
    }
    if (corpus[i].output)
        assert_json(val_get_cstr(val_get_cstr(a.json, "view"), "output"), corpus[i].output);
    asked_fini(&a);
    if (*r->failure)
        fail_msg("%s: %s", corpus[i].name, r->failure);
}

static void run_one(struct rig *r, size_t i)
{
    start_surely(r, i);
    for (size_t n = 0; corpus[i].signals[n]; n++)
        send_signal(r, corpus[i].name, corpus[i].signals[n]);
    check_end(r, i);
}

static void test_corpus(void **state)
{
    struct rig *r = *state;
    rig_start(r);
    rig_until(r, r->ready, MINUTE);
    documents(r);
    for (size_t i = 0; i < CORPUS_ALONE; i++)
        run_one(r, i);
    assert_true(r->events > 20);
    assert_true(r->progress > 5);
    struct runs_stats s;
    runs_stats(r->runs, &s);
    rig_run(r, 100 * 60 * MINUTE);
    runs_stats(r->runs, &s);
    assert_int_equal(s.open, 0);
}

// ---- the node dies at every commit --------------------------------------------------------------

static unsigned commits_of(size_t i)
{
    struct rig r;
    rig_init(&r);
    r.act = corpus_act;
    rig_start(&r);
    documents(&r);
    unsigned before = r.writes;
    run_one(&r, i);
    unsigned n = r.writes - before;
    rig_fini(&r);
    return n;
}

static void dies_at(size_t i, unsigned at, bool on_disk, uint64_t seed)
{
    struct rig r;
    rig_init(&r);
    r.act = corpus_act;
    r.faults.seed = seed;
    rng_init(&r.rng, seed);
    rig_start(&r);
    documents(&r);
    if (on_disk)
        r.crash_at = r.writes + at;
    else
        r.crash_call = r.writes + at;
    run_one(&r, i);
    assert_int_equal(r.lives, 2);
    rig_fini(&r);
}

static void test_dies_at_every_commit(void **state)
{
    (void)state;
    for (size_t i = 0; i < CORPUS_ALONE; i++) {
        unsigned n = commits_of(i);
        assert_in_range(n, 2, 100);
        for (unsigned at = 1; at <= n; at++) {
            dies_at(i, at, true, at);
            dies_at(i, at, false, at);
            dies_at(i, at, false, at + 1000);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_corpus, setup, teardown),
        cmocka_unit_test(test_dies_at_every_commit),
    };
    return cmocka_run_group_tests_name("runs", tests, NULL, NULL);
}
