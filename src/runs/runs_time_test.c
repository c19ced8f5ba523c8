// runs_time_test.c: timers near and far, many at once, jumps of the clock; schedules over restarts.
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runs/runs_rig.h"

#define HEAD(name) "document: {dsl: '1.0.0', namespace: test, name: " name ", version: '1.0.0'}\n"
#define HOUR (60 * MINUTE)

static int setup(void **state)
{
    static struct rig r;
    rig_init(&r);
    *state = &r;
    return 0;
}

static int teardown(void **state)
{
    rig_fini(*state);
    return 0;
}

static void restart(struct rig *r)
{
    rig_die(r);
    rig_start(r);
    unsigned ready = r->ready;
    rig_until(r, r->ready > ready, MINUTE);
}

static void begin_many(struct rig *r, unsigned count, const char *doc)
{
    struct asked *a = mem_array(count, sizeof *a);
    unsigned done = 0;
    for (unsigned i = 0; i < count; i++) {
        char id[32];
        (void)snprintf(id, sizeof id, "many-%u", i);
        begin_flow(r, doc, id, "{}", &a[i], false);
    }
    rig_run(r, 10);
    for (unsigned i = 0; i < count; i++) {
        done += a[i].dones && !a[i].status;
        asked_fini(&a[i]);
    }
    mem_free(a);
    assert_int_equal(done, count);
}

static struct runs_stats stats_of(struct rig *r)
{
    struct runs_stats s;
    runs_stats(r->runs, &s);
    return s;
}

// Far timers stay on the disk and come in time.
static void test_far(void **state)
{
    struct rig *r = *state;
    r->loaded_max = 16;
    rig_start(r);
    begin_many(r, 500, HEAD("far") "do:\n  - w: {wait: {hours: 20}}\n");
    struct runs_stats s = stats_of(r);
    assert_in_range(s.loaded, 0, 16);
    assert_int_equal(s.timers, 0);
    assert_in_range(map_count(r->runs->spots), 0, 16);
    assert_int_equal(s.open, 500);
    restart(r);
    assert_int_equal(r->open_at_start, 500);
    assert_int_equal(map_count(r->runs->spots), 0);
    rig_run(r, 19 * HOUR);
    assert_int_equal(stats_of(r).timers_fired, 0);
    rig_run(r, HOUR);
    rig_run(r, 50);
    s = stats_of(r);
    assert_int_equal(s.timers_fired, 500);
    assert_int_equal(s.completed, 500);
    assert_int_equal(s.open, 0);
    assert_in_range(s.timer_late_ms_max, 0, 5);
}

// All at once: loaded some at a time.
static void test_woken_at_once(void **state)
{
    struct rig *r = *state;
    r->loaded_max = 100;
    rig_start(r);
    begin_many(r, 10000, HEAD("once") "do:\n  - w: {wait: {minutes: 5}}\n");
    assert_in_range(stats_of(r).timers, 9900, 10000);
    r->faults.delay_ms_max = 1;
    restart(r);
    for (int64_t end = r->clock.now_ms + 6 * MINUTE; r->clock.now_ms < end;) {
        if (!rig_round(r, end))
            break;
        assert_in_range(r->runs->load_count, 0, RUNS_LOADS_MAX);
    }
    struct runs_stats s = stats_of(r);
    assert_int_equal(s.completed, 10000);
    assert_in_range(s.loaded, 0, 100 + RUNS_LOADS_MAX);
}

static void test_clock_jumps(void **state)
{
    struct rig *r = *state;
    struct asked a;
    rig_start(r);
    begin_flow(r, HEAD("jump") "do:\n  - w: {wait: {hours: 5}}\n", "j", "{}", &a, true);
    rig_run(r, HOUR);
    r->clock.wall_shift_ms = -2 * HOUR; // back: it sleeps longer
    rig_run(r, 5 * HOUR);
    assert_int_equal(a.dones, 0);
    r->clock.wall_shift_ms = 10 * HOUR; // on: it wakes soon
    rig_run(r, 3000);
    assert_int_equal(a.dones, 1);
    assert_string_equal(status_of(&a), "completed");
    asked_fini(&a);
}

// ---- schedules ----------------------------------------------------------------------------------

static size_t count_runs(struct rig *r, const char *name)
{
    struct asked a;
    asked_init(&a);
    runs_list(r->runs, &(struct runs_filter){.name = bytes_of(name), .limit = 1000}, &a.r);
    rig_until(r, a.dones, MINUTE);
    size_t n = val_len(val_get_cstr(a.json, "flows"));
    asked_fini(&a);
    return n;
}

static void test_cron(void **state)
{
    struct rig *r = *state;
    rig_start(r);
    add_document(r, HEAD("hourly") "schedule: {cron: '0 * * * *'}\ndo:\n  - s: {set: {a: 1}}\n");
    rig_run(r, 2 * MINUTE);
    assert_int_equal(count_runs(r, "hourly"), 0);
    for (int hour = 1; hour <= 10; hour++) { // dies in between, and does not forget or repeat
        rig_run(r, HOUR);
        if (hour % 3 == 0)
            restart(r);
        rig_run(r, 10);
        assert_int_equal(count_runs(r, "hourly"), hour);
    }
    // Down for a day: one run makes up for all.
    rig_die(r);
    r->clock.now_ms += 24 * HOUR;
    rig_start(r);
    rig_run(r, MINUTE);
    assert_int_equal(count_runs(r, "hourly"), 11);
    rig_run(r, HOUR);
    assert_int_equal(count_runs(r, "hourly"), 12);
}

// Dies at each commit of a day.
static void test_cron_dies(void **state)
{
    struct rig *r = *state;
    rig_start(r);
    add_document(r, HEAD("hourly") "schedule: {cron: '0 * * * *'}\ndo:\n  - w: {wait: PT1M}\n");
    for (int hour = 1; hour <= 40; hour++) {
        if (hour & 1)
            r->crash_at = r->writes + 1 + (unsigned)hour / 2 % 2;
        else
            r->crash_call = r->writes + 1 + (unsigned)hour / 2 % 2;
        rig_run(r, HOUR);
    }
    assert_in_range(r->lives, 38, 41);
    assert_int_equal(count_runs(r, "hourly"), 40);
}

static void test_every_and_after(void **state)
{
    struct rig *r = *state;
    rig_start(r);
    add_document(r, HEAD("every") "schedule: {every: {minutes: 10}}\ndo:\n  - w: {wait: PT30M}\n");
    add_document(r, HEAD("after") "schedule: {after: {minutes: 10}}\ndo:\n  - w: {wait: PT20M}\n");
    rig_run(r, 5 * MINUTE);
    assert_int_equal(count_runs(r, "every"), 0);
    assert_int_equal(count_runs(r, "after"), 1); // the first at once
    rig_run(r, 20 * MINUTE);
    assert_int_equal(count_runs(r, "every"), 2);
    assert_int_equal(count_runs(r, "after"), 1);
    restart(r);
    rig_run(r, 10 * MINUTE);
    assert_int_equal(count_runs(r, "every"), 3);
    assert_int_equal(count_runs(r, "after"), 2);
    rig_run(r, 100 * MINUTE);
    assert_int_equal(count_runs(r, "every"), 13);
    assert_int_equal(count_runs(r, "after"), 5);
    struct asked a;
    asked_init(&a);
    runs_unregister(r->runs, BYTES("test"), BYTES("every"), BYTES("1.0.0"), &a.r);
    rig_until(r, a.dones, MINUTE);
    assert_int_equal(a.status, 0);
    asked_fini(&a);
    rig_run(r, 100 * MINUTE);
    assert_int_equal(count_runs(r, "every"), 13);
}

// A run that ends before it is told that its beginning was kept: its end counts after a restart,
// too.
static void test_after_a_short_run(void **state)
{
    struct rig *r = *state;
    rig_start(r);
    add_document(r, HEAD("short") "schedule: {after: {minutes: 10}}\ndo:\n  - w: {set: {a: 1}}\n");
    rig_run(r, 5 * MINUTE);
    assert_int_equal(count_runs(r, "short"), 1);
    restart(r);
    rig_run(r, 10 * MINUTE);
    assert_int_equal(count_runs(r, "short"), 2);
    restart(r);
    rig_run(r, 10 * MINUTE);
    assert_int_equal(count_runs(r, "short"), 3);
}

static unsigned send_event(struct rig *r, const char *id, const char *type, int n)
{
    struct asked a;
    char text[256];
    (void)snprintf(text, sizeof text,
                   "{\"specversion\":\"1.0\",\"id\":\"%s\",\"source\":\"/t\",\"type\":\"%s\","
                   "\"data\":{\"n\":%d}}",
                   id, type, n);
    struct val *v = json(text);
    asked_init(&a);
    runs_event(r->runs, v, &a.r);
    rig_until(r, a.dones, MINUTE);
    assert_int_equal(a.status, 0);
    unsigned taken = (unsigned)val_i64(val_get_cstr(a.json, "taken"), 99);
    asked_fini(&a);
    val_unref(v);
    return taken;
}

static void test_on_events(void **state)
{
    struct rig *r = *state;
    struct asked a;
    rig_start(r);
    add_document(r,
                 HEAD("one") "schedule: {on: {one: {with: {type: com.a, data: '${ .n > 3 }'}}}}\n"
                             "do:\n  - s: {set: '${ {n: .[0].data.n} }'}\n");
    add_document(r, HEAD("both") "schedule: {on: {all: [{with: {type: com.a}}, {with: {type: "
                                 "com.b}}]}}\ndo:\n  - s: {set: '${ {n: [.[].data.n]} }'}\n");
    assert_int_equal(send_event(r, "1", "com.c", 9), 0);
    assert_int_equal(send_event(r, "2", "com.a", 2), 1); // both keeps it
    assert_int_equal(count_runs(r, "one"), 0);
    restart(r);
    assert_int_equal(send_event(r, "3", "com.a", 4), 1); // one takes it; both has had such a one
    assert_int_equal(count_runs(r, "one"), 1);
    assert_int_equal(send_event(r, "3", "com.a", 4), 1); // again: the same run
    assert_int_equal(count_runs(r, "one"), 1);
    assert_int_equal(count_runs(r, "both"), 0);
    assert_int_equal(send_event(r, "4", "com.b", 7), 1);
    assert_int_equal(count_runs(r, "both"), 1);
    asked_init(&a);
    runs_list(r->runs, &(struct runs_filter){.name = BYTES("both")}, &a.r);
    rig_until(r, a.dones, MINUTE);
    struct val *id = val_get_cstr(val_at(val_get_cstr(a.json, "flows"), 0), "id");
    struct asked shown;
    ask_show(r, val_text(id, ""), &shown);
    assert_json(val_get_cstr(val_get_cstr(shown.json, "view"), "output"), "{\"n\":[2,7]}");
    asked_fini(&shown);
    asked_fini(&a);
}

static void test_bad_schedule(void **state)
{
    struct rig *r = *state;
    struct asked a;
    rig_start(r);
    asked_init(&a);
    runs_register(r->runs,
                  BYTES(HEAD("bad") "schedule: {cron: '61 * * * *'}\ndo:\n  - s: {set: {a: 1}}\n"),
                  BYTES_NONE, &a.r);
    rig_until(r, a.dones, MINUTE);
    assert_int_not_equal(a.status, 0);
    asked_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_far, setup, teardown),
        cmocka_unit_test_setup_teardown(test_woken_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_clock_jumps, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cron, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cron_dies, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_and_after, setup, teardown),
        cmocka_unit_test_setup_teardown(test_after_a_short_run, setup, teardown),
        cmocka_unit_test_setup_teardown(test_on_events, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_schedule, setup, teardown),
    };
    return cmocka_run_group_tests_name("runs_time", tests, NULL, NULL);
}
