// run_test.c: each part of the language in small documents: what comes out, which tasks ran in
// which order, which commands were given; with plain expressions and with all of them by evals.
// SPDX-License-Identifier: Apache-2.0
#include "flow/run_rows_rig.h"

static bool error_fits(const struct val *have, const struct val *want)
{
    struct bytes key;
    struct val *item;
    for (size_t at = 0; val_each(want, &at, &key, &item);)
        if (!val_equal(val_get(have, key), item))
            return false;
    return have != NULL;
}

static int judge(const struct row *row, struct rig *w, bool trace)
{
    struct val *want = rig_yaml(row->want);
    enum flow_status s = flow_run_status(w->run);
    char output[1024], error[1024];
    bool good = s == FLOW_COMPLETED ? val_equal(w->run->output, want)
                : s == FLOW_FAULTED ? val_is(want, JSON_OBJ) && error_fits(w->run->error, want)
                                    : bytes_is(val_bytes(want), flow_status_name(s));
    val_unref(want);
    rig_text(w->run->output, output, sizeof output);
    rig_text(w->run->error, error, sizeof error);
    if (!good)
        print_error("%s: %s, output %s, error %s, wanted %s\n  %s\n  %s\n", row->name,
                    flow_status_name(s), output, error, row->want, buf_cstr(&w->trace),
                    w->last.text);
    if (good && trace && row->trace && strcmp(row->trace, buf_cstr(&w->trace)) != 0) {
        print_error("%s:\n  wanted %s\n  got    %s\n", row->name, row->trace, buf_cstr(&w->trace));
        good = false;
    }
    return !good;
}

static void language(void **state)
{
    int wrong = 0;
    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        struct rig *w = rig_play(&rows[i], false, NULL);
        wrong += judge(&rows[i], w, true);
        rig_done(w);
        w = rig_play(&rows[i], true, NULL); // the same by evals
        wrong += judge(&rows[i], w, false);
        rig_done(w);
    }
    assert_int_equal(wrong, 0);
}

// Jitter lies in its range, differs from attempt to attempt, and is the run's own.
static void jitter(void **state)
{
    static const char doc[] = HEAD
        "do:\n"
        "  - t:\n"
        "      try: [{c: {call: http, with: {method: get, endpoint: 'https://fake/fail/503'}}}]\n"
        "      catch: {retry: {delay: {seconds: 1}, jitter: {from: {seconds: 1}, to: {seconds: "
        "9}}, "
        "limit: {attempt: {count: 20}}}}\n";
    int64_t low = INT64_MAX, high = 0;
    struct rig w = {.act = rig_acts};
    (void)state;
    rig_open(&w, doc);
    (void)rig_start(&w, val_obj());
    rig_go(&w);
    for (size_t i = 0; i < w.count; i++) {
        if (w.history[i].type != FLOW_TIMER)
            continue;
        int64_t ms = val_i64(val_get_cstr(w.history[i].data, "due"), 0) - w.history[i].at_ms;
        low = ms < low ? ms : low;
        high = ms > high ? ms : high;
    }
    if (low < 2000 || high > 10000 || high - low < 2000)
        fail_msg("delays from %lld to %lld", (long long)low, (long long)high);
    rig_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(language),
        cmocka_unit_test(jitter),
    };
    return cmocka_run_group_tests_name("flow/run", tests, NULL, NULL);
}
