// run_test.c: each part of the language in small documents: what comes out, which tasks ran in which
// order, which commands were given; with plain expressions and with all of them by evals.
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
                    flow_status_name(s), output, error, row->want, buf_cstr(&w->trace), w->last.text);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(language),
    };
    return cmocka_run_group_tests_name("flow/run", tests, NULL, NULL);
}
