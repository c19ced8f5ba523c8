// temporal_test.c: flows on a real Temporal server: the language's rows give what they give in
// process, signals, children, hands, queries, updates, rolling over; histories from the server
// fold to the same run. timeout: 170
// SPDX-License-Identifier: Apache-2.0
#include "temporal/temporal_rig.h"

static struct side one;

// ---- the corpus ---------------------------------------------------------------------------------

static const char *const elsewhere[] = {
    "the descriptors", "emit", // the run's id and times differ
    "run: workflow", // children there are only made up
    "listen: all, as envelopes, in the order of their coming", // events here are whole
};

static bool fits_here(const struct row *row)
{
    for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++)
        if (strcmp(elsewhere[i], row->name) == 0)
            return false;
    for (size_t i = 0; i < 8 && row->events[i]; i++)
        if (strstr(row->events[i], "sleep"))
            return false; // its hours pass in virtual time
    return true;
}

static void outcome(const struct val *a, char *to, size_t max) // of {"status","output","error"}
{
    AUTO(val) v = val_del(val_ref((struct val *)(uintptr_t)a), BYTES("id"));
    rig_text(v, to, max);
}

static void wanted(struct rig *w, char *to, size_t max)
{
    AUTO(val) v = val_put_cstr(val_obj(), "status",
                               val_cstr(flow_status_name(flow_run_status(w->run))));
    if (flow_run_status(w->run) == FLOW_COMPLETED)
        v = val_put_cstr(steal(&v), "output", w->run->output ? val_ref(w->run->output) : val_null());
    if (flow_run_status(w->run) == FLOW_FAULTED)
        v = val_put_cstr(steal(&v), "error", val_ref(w->run->error));
    rig_text(v, to, max);
}

static void until_rests(struct side *s, const char *id)
{
    int64_t end = time_mono_ms() + RIG_WAIT_MS;
    for (;;) {
        AUTO(val) v = show(s, id);
        struct bytes status = val_bytes(val_ptr(v, BYTES("/view/status")));
        if (status.n && !bytes_is(status, "running") && !bytes_is(status, "pending"))
            return;
        if (time_mono_ms() > end)
            fail_msg("flow %s does not come to rest", id);
        side_round(s);
    }
}

static void give(struct side *s, const char *id, const char *text)
{
    AUTO(val) v = rig_json(text);
    struct asked a = {.done = false};
    if (val_get_cstr(v, "action")) {
        until_rests(s, id);
        struct runs_hand h = {.id = bytes_of(id),
                              .action = temporal_str(v, "action"),
                              .task = temporal_str(v, "task"),
                              .by = temporal_str(v, "by"),
                              .reason = temporal_str(v, "reason"),
                              .input = val_get_cstr(v, "input"),
                              .output = val_get_cstr(v, "output"),
                              .has_input = val_get_cstr(v, "input") != NULL,
                              .has_output = val_get_cstr(v, "output") != NULL};
        ask(s, &a, temporal_hand(s->t, &h, &a.r));
    } else {
        struct val *event = val_put_cstr(val_ref(val_get_cstr(v, "event")), "specversion",
                                         val_cstr("1.0"));
        ask(s, &a, temporal_signal(s->t, bytes_of(id), event, &a.r));
        val_unref(event);
    }
    asked_clear(&a);
}

static void test_corpus(void **state)
{
    struct asked a = {.done = false};
    unsigned played = 0, wrong = 0;
    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        char id[64], got[4096], want[4096];
        struct rig *w = rig_play(&rows[i], false, NULL);
        bool here = fits_here(&rows[i]) && w->now - RIG_START_MS < 3000 && rig_over(w);
        if (here) {
            played++;
            if (getenv("ROWS_NAMED"))
                print_message("%zu %s\n", i, rows[i].name);
            one.world = (struct rig){.act = rig_acts};
            (void)snprintf(id, sizeof id, "row-%zu", i);
            start(&one, &a, id, rows[i].doc, rows[i].input);
            for (size_t n = 0; n < 8 && rows[i].events[n]; n++)
                give(&one, id, rows[i].events[n]);
            until_end(&one, &a, id);
            outcome(a.v, got, sizeof got);
            wanted(w, want, sizeof want);
            if (strcmp(got, want) != 0) {
                print_error("%s:\n  wanted %s\n  got    %s\n", rows[i].name, want, got);
                wrong++;
            }
        }
        rig_done(w);
    }
    print_message("%u of %zu rows played\n", played, ROWS);
    asked_clear(&a);
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_corpus),
    };
    temporal_program = find_temporal();
    if (!temporal_program) {
        (void)printf("skipped: no temporal %s: python3 tests/lib/temporal.py builds it\n",
                     TEMPORAL_VERSION);
        return 77;
    }
    dev_start();
    side_open(&one, "corpus", NULL);
    side_until(&one, one.up);
    int rc = cmocka_run_group_tests_name("temporal/temporal", tests, NULL, NULL);
    side_free(&one);
    server_remove(&temporal_dev);
    return rc;
}
