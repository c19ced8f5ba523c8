// run_figures_test.c: what a step costs: the same late in a run as early, counted in allocations
// (times are printed, not judged: other programs use the machine, too); how small a sleeping run
// is; and memory that runs out at any point of a step. SPDX-License-Identifier: Apache-2.0
#include "flow/run_rows_rig.h"

// ---- flatness ----

static const char loop_doc[] = HEAD "do:\n"
                                    "  - a: {for: {in: '${ [range(10010)] }'}, do: [{b: {call: "
                                    "http, with: {method: post, endpoint: "
                                    "'https://fake/echo', body: {n: '${ (.n // 0) + 1 }'}}}}]}\n";

static void flatness(void **state)
{
    struct rig w = {.act = rig_acts};
    uint64_t early = 0, late = 0, early_ns = 0, late_ns = 0;
    (void)state;
    rig_open(&w, loop_doc);
    (void)rig_start(&w, val_obj());
    for (int i = 1; i <= 10005; i++) {
        const struct flow_event *ev = NULL;
        size_t at = 0;
        assert_true(flow_run_pending(w.run, &at, &ev));
        struct val *output = val_put_cstr(val_obj(), "n", val_int(i));
        struct flow_event done = {.type = FLOW_DONE,
                                  .id = ev->id,
                                  .at_ms = w.now,
                                  .data = val_put_cstr(val_obj(), "output", output)};
        flow_out_clear(&w.out);
        uint64_t before = mem_count(), before_ns = time_mono_ns();
        assert_int_equal(flow_step(w.run, &done, &w.out, NULL), 0);
        uint64_t took = time_mono_ns() - before_ns, made = mem_count() - before;
        early += i >= 5 && i < 15 ? made : 0;
        late += i >= 9995 ? made : 0;
        early_ns += i >= 5 && i < 15 ? took : 0;
        late_ns += i >= 9995 && i < 10005 ? took : 0;
        flow_event_fini(&done);
    }
    print_message("10,000th step over 10th: allocations %.2f, time %.2f (%.1f us)\n",
                  (double)late / 11 / ((double)early / 10), (double)late_ns / (double)early_ns,
                  (double)late_ns / 10000);
    assert_true((double)late / 11 <= 1.2 * (double)early / 10);
    rig_close(&w);
}

// ---- size ----

static void sleeping(void **state)
{
    static const char doc[] =
        HEAD "do:\n"
             "  - order: {call: http, with: {method: post, endpoint: 'https://fake/echo', body: "
             "{id: '${ "
             ".id }', customer: ann, total: 12.5}}}\n"
             "  - wait3days: {wait: {days: 3}}\n"
             "  - remind: {call: http, with: {method: get, endpoint: 'https://fake/echo'}}\n";
    struct rig w = {.act = rig_acts};
    struct buf b;
    (void)state;
    buf_init(&b, 1 << 20);
    rig_open(&w, doc);
    (void)rig_start(&w, rig_json("{\"id\":\"o-4711\"}"));
    (void)rig_next(&w);
    assert_int_equal(flow_run_status(w.run), FLOW_WAITING);
    struct val *state_ = flow_save(w.run);
    assert_int_equal(val_write(&b, state_), 0);
    print_message("a sleeping run: %zu bytes\n", b.n);
    assert_true(b.n <= 1024);
    val_unref(state_);
    buf_fini(&b);
    rig_close(&w);
}

// ---- replay ----

static void replay_rate(void **state)
{
    struct rig w = {.act = rig_acts};
    struct flow_replay *p;
    struct err e = {0};
    (void)state;
    rig_open(&w, loop_doc);
    (void)rig_start(&w, val_obj());
    for (int i = 0; i < 5000; i++)
        (void)rig_next(&w);
    uint64_t start = time_mono_ns();
    assert_int_equal(flow_replay_new(&p, w.plan, &e), 0);
    for (size_t i = 0; i < w.count; i++)
        if (flow_replay_entry(p, &w.history[i], &e) < 0)
            fail_msg("%s", e.text);
    uint64_t took = time_mono_ns() - start;
    flow_replay_free(p);
    print_message("replay: %.0f entries/s\n", (double)w.count * 1e9 / (double)took);
    rig_close(&w);
}

// ---- no memory ----

static int play_out(struct flow_plan *plan, const struct rig *w, uint64_t fail_at)
{
    struct flow_run *r = NULL;
    struct flow_out out = {.want_notes = true};
    struct err e = {0};
    mem_fail_after(fail_at, 1);
    int rc = flow_run_new(&r, plan, &e);
    for (size_t i = 0; rc == 0 && i < w->count; i++)
        if (!flow_type_is_command(w->history[i].type)) {
            flow_out_clear(&out);
            rc = flow_step(r, &w->history[i], &out, &e);
            if (rc == E_NOMEM && flow_step(r, &w->history[i], &out, &e) != E_NOMEM)
                rc = 1; // a spoilt run must say so
        }
    if (rc == 0) {
        struct val *state = flow_save(r);
        rc = state ? 0 : E_NOMEM;
        struct flow_run *back = NULL;
        if (rc == 0)
            rc = flow_load(&back, plan, state, &e);
        flow_run_free(back);
        val_unref(state);
    }
    mem_fail_after(0, 0);
    flow_out_fini(&out);
    flow_run_free(r);
    return rc;
}

static void no_memory(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS; i++)
        for (int far = 0; far < 2; far++) {
            struct rig *w = rig_play(&rows[i], far, NULL);
            uint64_t before = mem_count();
            assert_int_equal(play_out(w->plan, w, 0), 0);
            uint64_t all = mem_count() - before, step = all / 300 + 1;
            uint64_t live = mem_live(), seen = 0, tries = 0;
            for (uint64_t n = 1; n <= all; n += step) {
                int rc = play_out(w->plan, w, n);
                tries++;
                seen += rc == E_NOMEM;
                if (rc != E_NOMEM && rc != 0)
                    fail_msg("%s: allocation %llu fails: %d", rows[i].name, (unsigned long long)n,
                             rc);
                if (mem_live() != live)
                    fail_msg("%s: allocation %llu fails: memory is lost", rows[i].name,
                             (unsigned long long)n);
            }
            if (seen * 10 < tries * 9) // few allocations may be done without
                fail_msg("%s: of %llu failures %llu were seen", rows[i].name,
                         (unsigned long long)tries, (unsigned long long)seen);
            rig_done(w);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flatness),
        cmocka_unit_test(sleeping),
        cmocka_unit_test(replay_rate),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests_name("flow/run_figures", tests, NULL, NULL);
}
