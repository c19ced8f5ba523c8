// view_test.c: what people see of a run, and its lifecycle as CloudEvents.
// SPDX-License-Identifier: Apache-2.0
#include "flow/flow_rig.h"

#define HEAD "document: {dsl: '1.0.3', namespace: ns, name: seen, version: '2.0.0'}\n"

static struct val *view_of(const struct rig *w, bool full)
{
    struct val *v = NULL;
    struct err e = {0};
    struct buf b;
    buf_init(&b, (size_t)1 << 20);
    assert_int_equal(flow_run_view(w->run, full, &b), 0);
    if (val_parse(&v, buf_bytes(&b), &e) < 0)
        fail_msg("%s: %s", e.text, buf_cstr(&b));
    buf_fini(&b);
    return v;
}

static void expect(const struct val *view, const char *pointer, const char *want)
{
    char text[512];
    const struct val *v = val_ptr(view, bytes_of(pointer));
    rig_text(v, text, sizeof text);
    if (strcmp(v ? text : "-", want) != 0)
        fail_msg("%s: %s, wanted %s", pointer, v ? text : "-", want);
}

static void states(void **state)
{
    static const char doc[] = HEAD
        "do:\n"
        "  - a: {set: {n: 1}}\n"
        "  - b: {if: '${ false }', set: {n: 2}}\n"
        "  - c: {for: {in: '${ [7, 8] }'}, do: [{t: {try: [{x: {call: http, with: {method: get, "
        "endpoint: 'https://fake/flaky/1'}}}], catch: {retry: {delay: {seconds: 60}}}}}]}\n"
        "  - d: {wait: PT1H}\n";
    struct rig w = {.act = rig_acts};
    (void)state;
    rig_open(&w, doc);
    (void)rig_start(&w, rig_json("{\"k\":1}"));
    (void)rig_next(&w); // the call fails, the try waits
    struct val *v = view_of(&w, false);
    expect(v, "/status", "\"waiting\"");
    expect(v, "/input", "{\"k\":1}");
    expect(v, "/started", "\"2026-09-21T14:13:20.000Z\"");
    expect(v, "/ended", "-");
    expect(v, "/tasks/0/state", "\"completed\"");
    expect(v, "/tasks/0/output", "{\"n\":1}");
    expect(v, "/tasks/0/kind", "\"set\"");
    expect(v, "/tasks/1/state", "\"skipped\"");
    expect(v, "/tasks/2/state", "\"running\"");
    expect(v, "/tasks/2/iteration", "0");
    expect(v, "/tasks/3/name", "\"t\"");
    expect(v, "/tasks/3/state", "\"retrying\"");
    expect(v, "/tasks/3/attempt", "2");
    expect(v, "/tasks/3/due", "\"2026-09-21T14:14:20.000Z\"");
    expect(v, "/tasks/4/state", "\"faulted\"");
    expect(v, "/tasks/4/error/status", "503");
    expect(v, "/tasks/5/state", "\"pending\"");
    expect(v, "/tasks/5/count", "0");
    val_unref(v);
    rig_go(&w);
    v = view_of(&w, false);
    expect(v, "/status", "\"completed\"");
    expect(v, "/ended", "\"2026-09-21T15:14:20.000Z\"");
    expect(v, "/output", "3");
    expect(v, "/tasks/4/count", "3");
    expect(v, "/tasks/5/state", "\"completed\"");
    val_unref(v);
    rig_close(&w);
}

static void long_values(void **state)
{
    struct rig w = {.act = rig_acts};
    (void)state;
    rig_open(&w, HEAD "do:\n  - a: {set: {x: '${ [.s, .s, .s, .s, .s] }'}}\n");
    char text[2048] = "{\"s\":\"";
    for (size_t i = 0; i < 900; i++)
        strcat(text, "x");
    strcat(text, "\"}");
    (void)rig_start(&w, rig_json(text));
    struct val *v = view_of(&w, false);
    expect(v, "/output/$cut", "4522");
    assert_int_equal(val_bytes(val_ptr(v, BYTES("/output/preview"))).n, 256);
    val_unref(v);
    v = view_of(&w, true);
    assert_int_equal(val_len(val_ptr(v, BYTES("/output/x"))), 5);
    val_unref(v);
    rig_close(&w);
}

static void lifecycle(void **state)
{
    static const char *const want[] = {
        "{\"data\":{\"definition\":{\"name\":\"seen\",\"namespace\":\"ns\",\"version\":\"2.0.0\"},"
        "\"name\":\"seen-run-1.ns\",\"startedAt\":\"2026-09-21T14:13:20.000Z\"},"
        "\"datacontenttype\":"
        "\"application/json\",\"id\":\"run-1-0\",\"source\":\"/"
        "s\",\"specversion\":\"1.0\",\"subject\":"
        "\"run-1\",\"time\":\"2026-09-21T14:13:20.000Z\",\"type\":"
        "\"io.serverlessworkflow.workflow.started.v1\"}",
        "{\"data\":{\"startedAt\":\"2026-09-21T14:13:20.000Z\",\"task\":\"/do/0/a\",\"workflow\":"
        "\"seen-run-1.ns\"},\"datacontenttype\":\"application/json\",\"id\":\"run-1-1\",\"source\":"
        "\"/"
        "s\",\"specversion\":\"1.0\",\"subject\":\"run-1\",\"time\":\"2026-09-21T14:13:20.000Z\","
        "\"type\":\"io.serverlessworkflow.task.started.v1\"}",
        "{\"data\":{\"error\":{\"instance\":\"/do/0/a\",\"status\":500,\"type\":\"https://x/y\"},"
        "\"faultedAt\":\"2026-09-21T14:13:20.000Z\",\"task\":\"/do/0/a\",\"workflow\":"
        "\"seen-run-1.ns\"},\"datacontenttype\":\"application/json\",\"id\":\"run-1-2\",\"source\":"
        "\"/"
        "s\",\"specversion\":\"1.0\",\"subject\":\"run-1\",\"time\":\"2026-09-21T14:13:20.000Z\","
        "\"type\":\"io.serverlessworkflow.task.faulted.v1\"}",
        "{\"data\":{\"error\":{\"instance\":\"/do/0/a\",\"status\":500,\"type\":\"https://x/y\"},"
        "\"faultedAt\":\"2026-09-21T14:13:20.000Z\",\"name\":\"seen-run-1.ns\"},"
        "\"datacontenttype\":"
        "\"application/json\",\"id\":\"run-1-3\",\"source\":\"/"
        "s\",\"specversion\":\"1.0\",\"subject\":"
        "\"run-1\",\"time\":\"2026-09-21T14:13:20.000Z\",\"type\":"
        "\"io.serverlessworkflow.workflow.faulted.v1\"}",
    };
    struct rig w = {.act = rig_acts};
    (void)state;
    rig_open(&w, HEAD "do:\n  - a: {raise: {error: {type: 'https://x/y', status: 500}}}\n");
    (void)rig_start(&w, val_obj());
    assert_int_equal(w.out.note_count, 4);
    for (size_t i = 0; i < 4; i++) {
        struct buf b;
        buf_init(&b, 65536);
        assert_int_equal(flow_lifecycle(&b, w.run, &w.out.notes[i], "run-1", "/s", i), 0);
        struct val *v = rig_json(buf_cstr(&b));
        char text[1024];
        rig_text(v, text, sizeof text);
        assert_string_equal(text, want[i]);
        val_unref(v);
        buf_fini(&b);
    }
    struct flow_note skipped = {.kind = FLOW_NOTE_SKIPPED};
    assert_int_equal(flow_lifecycle(NULL, w.run, &skipped, "r", "/s", 9), 1);
    rig_close(&w);
}

static void filters(void **state)
{
    struct val *f = rig_json("[{\"type\":\"a\",\"source\":\"s\"},{\"type\":\"b\"}]");
    struct val *a = rig_json("{\"type\":\"a\",\"source\":\"s\"}");
    struct val *other = rig_json("{\"type\":\"a\",\"source\":\"t\"}");
    struct val *b = rig_json("{\"type\":\"b\",\"source\":\"t\"}"), *all = rig_json("[{}]");
    struct val *none = val_arr();
    (void)state;
    assert_true(flow_filter_fits(f, a));
    assert_false(flow_filter_fits(f, other));
    assert_true(flow_filter_fits(f, b));
    assert_true(flow_filter_fits(all, other));
    assert_false(flow_filter_fits(none, a));
    struct val *const held[] = {f, a, other, b, all, none};
    for (size_t i = 0; i < 6; i++)
        val_unref(held[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(states),
        cmocka_unit_test(long_values),
        cmocka_unit_test(lifecycle),
        cmocka_unit_test(filters),
    };
    return cmocka_run_group_tests_name("flow/view", tests, NULL, NULL);
}
