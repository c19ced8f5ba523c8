// examples_test.c: the flows of examples/flows in virtual time: models, commands and children
// answer from a table, days go by at once. What real ones say is in tests/flows/examples_test.py.
// SPDX-License-Identifier: Apache-2.0
#include "base/file.h"
#include "flow/flow_rig.h"

#define DAY ((int64_t)86400000)

static struct val *vals(const char *text)
{
    return rig_json(text);
}

static void open_example(struct rig *w, const char *name, rig_act_fn act)
{
    char path[200];
    struct buf text;
    struct err e = {0};
    memset(w, 0, sizeof *w);
    w->act = act;
    (void)snprintf(path, sizeof path, "examples/flows/%s.yaml", name);
    buf_init(&text, 1 << 20);
    if (file_read(path, &text, &e))
        fail_msg("%s", e.text);
    rig_open(w, buf_cstr(&text));
    buf_fini(&text);
}

// The run's end, as JSON with sorted members.
static void check_end(struct rig *w, enum flow_status status, const char *want)
{
    char got[8192];
    assert_int_equal(flow_run_status(w->run), status);
    const struct flow_event *end = &w->history[w->count - 1];
    while (end->type != FLOW_END && end > w->history)
        end--;
    rig_text(val_get_cstr(end->data, status == FLOW_COMPLETED ? "output" : "error"), got,
             sizeof got);
    if (strcmp(got, want) != 0 && !(status == FLOW_FAULTED && strstr(got, want)))
        fail_msg("got  %s\nwant %s", got, want);
}

static void run_example(const char *name, rig_act_fn act, const char *input,
                        const char *const *events, enum flow_status status, const char *want)
{
    struct rig w;
    open_example(&w, name, act);
    w.events = events;
    assert_int_equal(rig_start(&w, input ? vals(input) : val_null()), 0);
    rig_go(&w);
    check_end(&w, status, want);
    rig_close(&w);
    assert_int_equal(mem_live(), 0);
}

static const char *text_of(const struct val *args, const char *key)
{
    return val_text(val_get_cstr(args, key), "");
}

// ---- time ---------------------------------------------------------------------------------------

static void acts_emit(struct rig *w, const struct flow_event *act, struct val **ret_output,
                      struct val **ret_problem)
{
    (void)w;
    (void)act;
    (void)ret_problem;
    *ret_output = val_null();
}

static void test_reminder(void **state)
{
    struct rig w;
    (void)state;
    open_example(&w, "reminder", acts_emit);
    assert_int_equal(rig_start(&w, vals("{\"what\":\"call Ann\"}")), 0);
    assert_int_equal(flow_run_status(w.run), FLOW_WAITING);
    assert_int_equal(flow_run_wake_ms(w.run), RIG_START_MS + 3 * DAY);
    rig_go(&w);
    assert_int_equal(w.now, RIG_START_MS + 3 * DAY);
    check_end(&w, FLOW_COMPLETED, "{\"what\":\"call Ann\"}");
    rig_close(&w);
}

static void test_approval(void **state)
{
    static const char *const yes[] = {
        "{\"event\":{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/a\",\"type\":\"other\"}}",
        "{\"event\":{\"specversion\":\"1.0\",\"id\":\"2\",\"source\":\"/a\",\"type\":"
        "\"org.example.decision\",\"data\":{\"approved\":true,\"by\":\"Ann\"}},\"signal\":true}",
        NULL};
    static const char *const no[] = {
        "{\"event\":{\"specversion\":\"1.0\",\"id\":\"2\",\"source\":\"/a\",\"type\":"
        "\"org.example.decision\",\"data\":{\"approved\":false,\"by\":\"Bo\"}},\"signal\":true}",
        NULL};
    (void)state;
    run_example("approval", acts_emit, NULL, yes, FLOW_COMPLETED,
                "{\"by\":\"Ann\",\"ordered\":\"a new press\"}");
    run_example("approval", acts_emit, "{\"what\":\"x\"}", no, FLOW_COMPLETED,
                "{\"by\":\"Bo\",\"refused\":\"x\"}");
    run_example("approval", acts_emit, "{\"what\":\"x\"}", NULL, FLOW_COMPLETED,
                "{\"by\":\"nobody: it took too long\",\"refused\":\"x\"}");
}

// ---- commands -----------------------------------------------------------------------------------

static struct val *printed(const char *text)
{
    struct val *v = val_put_cstr(val_obj(), "code", val_int(0));
    v = val_put_cstr(v, "stdout", val_cstr(text));
    return val_put_cstr(v, "stderr", val_cstr(""));
}

// What trip.yaml's two commands do.
static void acts_trip(struct rig *w, const struct flow_event *act, struct val **ret_output,
                      struct val **ret_problem)
{
    const struct val *args = val_get_cstr(act->data, "args");
    const struct val *words = val_get_cstr(args, "arguments");
    const char *what = val_text(val_at(words, 0), ""), *fail = val_text(val_at(words, 1), NULL);
    char text[100];
    (void)w;
    if (fail && !strcmp(what, fail)) {
        *ret_problem = rig_problem("runtime", 500, "exit code 1");
        return;
    }
    (void)snprintf(text, sizeof text, "%s %s\n", what, fail ? "booked" : "given back");
    *ret_output = printed(text);
}

static void test_trip(void **state)
{
    (void)state;
    run_example("trip", acts_trip, NULL, NULL, FLOW_COMPLETED,
                "{\"booked\":[\"hotel\",\"flight\",\"car\"],\"city\":\"Antwerp\"}");
    run_example("trip", acts_trip, "{\"fail\":\"car\"}", NULL, FLOW_COMPLETED,
                "{\"booked\":[],\"returned\":[\"flight given back\",\"hotel given back\"],"
                "\"why\":\"exit code 1\"}");
    run_example("trip", acts_trip, "{\"fail\":\"hotel\"}", NULL, FLOW_COMPLETED,
                "{\"booked\":[],\"returned\":[],\"why\":\"exit code 1\"}");
}

static void acts_build(struct rig *w, const struct flow_event *act, struct val **ret_output,
                       struct val **ret_problem)
{
    const struct val *args = val_get_cstr(act->data, "args");
    int64_t fails = atoi(text_of(val_get_cstr(args, "environment"), "FAILS"));
    if (strstr(text_of(args, "command"), "12 tests"))
        *ret_output = printed("12 tests\n");
    else if (w->flaky++ < fails)
        *ret_problem = rig_problem("runtime", 500, "exit code 1");
    else
        *ret_output = printed("built\n");
}

static void test_build(void **state)
{
    struct rig w;
    (void)state;
    run_example("build", acts_build, NULL, NULL, FLOW_COMPLETED,
                "{\"good\":true,\"said\":\"built\",\"tests\":\"12 tests\"}");
    open_example(&w, "build", acts_build);
    assert_int_equal(rig_start(&w, vals("{\"fails\":99}")), 0);
    rig_go(&w);
    check_end(&w, FLOW_FAULTED, "errors/runtime");
    assert_int_equal(w.flaky, 6); // once, and five times again
    rig_close(&w);
}

static void acts_sensor(struct rig *w, const struct flow_event *act, struct val **ret_output,
                        struct val **ret_problem)
{
    static const char *const queues[] = {"edge-task-queue", "heavy-compute-queue",
                                         "edge-task-queue"};
    static const char *const says[] = {
        "7,5,17", "{\"mean\":9.6,\"deviation\":5.2,\"alarm\":true}\n", "closed\n"};
    (void)ret_problem;
    assert_in_range(w->calls, 1, 3);
    assert_string_equal(text_of(act->data, "queue"), queues[w->calls - 1]);
    *ret_output = printed(says[w->calls - 1]);
}

static void test_sensor(void **state)
{
    (void)state;
    run_example("sensor", acts_sensor, NULL, NULL, FLOW_COMPLETED,
                "{\"alarm\":true,\"deviation\":5.2,\"mean\":9.6,\"samples\":[7,5,17],\"valve\":"
                "\"closed\"}");
}

// ---- models -------------------------------------------------------------------------------------

static struct val *said(struct val *takes_content)
{
    struct val *v = val_put_cstr(val_obj(), "content", takes_content);
    return val_put_cstr(v, "usage", val_put_cstr(val_obj(), "total_tokens", val_int(7)));
}

// Members of a council are called by what they say; "away" fails, judges say the last option.
static void acts_council(struct rig *w, const struct flow_event *act, struct val **ret_output,
                         struct val **ret_problem)
{
    const struct val *args = val_get_cstr(act->data, "args");
    const struct val *options = val_ptr(args, BYTES("/schema/properties/answer/enum"));
    const char *model = text_of(args, "model");
    (void)w;
    assert_int_equal(val_len(options), 2);
    if (!strcmp(model, "away")) {
        *ret_problem = rig_problem("communication", 503, "away");
        return;
    }
    struct val *answer = !strcmp(model, "judge") ? val_ref(val_at(options, 1)) : val_cstr(model);
    *ret_output = said(val_put_cstr(val_obj(), "answer", answer));
}

static void council(const char *members, const char *tally, const char *want)
{
    char input[600];
    struct rig w;
    char got[200];
    (void)snprintf(input, sizeof input,
                   "{\"question\":\"q\",\"options\":[\"yes\",\"no\"],\"members\":%s,\"tally\":"
                   "\"%s\",\"judge\":\"judge\"}",
                   members, tally);
    open_example(&w, "catalog/council", acts_council);
    assert_int_equal(rig_start(&w, vals(input)), 0);
    rig_go(&w);
    assert_int_equal(flow_run_status(w.run), FLOW_COMPLETED);
    const struct val *out = val_get_cstr(w.history[w.count - 1].data, "output");
    struct val *short_ = val_put_cstr(val_obj(), "answer", val_ref(val_get_cstr(out, "answer")));
    short_ = val_put_cstr(short_, "agreed", val_ref(val_get_cstr(out, "agreed")));
    rig_text(short_, got, sizeof got);
    if (strcmp(got, want) != 0)
        fail_msg("%s of %s: %s, not %s", tally, members, got, want);
    val_unref(short_);
    rig_close(&w);
}

static void test_council(void **state)
{
#define M(name, weight) "{\"model\":\"" name "\",\"weight\":" weight "}"
    (void)state;
    council("[" M("yes", "1") "," M("no", "1") "," M("yes", "1") "]", "majority",
            "{\"agreed\":true,\"answer\":\"yes\"}");
    council("[" M("yes", "1") "," M("away", "1") "," M("away", "1") "]", "majority",
            "{\"agreed\":false,\"answer\":\"yes\"}");
    council("[" M("away", "1") "]", "majority", "{\"agreed\":false,\"answer\":null}");
    council("[" M("yes", "1") "," M("yes", "1") "]", "unanimous",
            "{\"agreed\":true,\"answer\":\"yes\"}");
    council("[" M("yes", "1") "," M("no", "1") "]", "unanimous",
            "{\"agreed\":false,\"answer\":null}");
    council("[" M("yes", "1") "," M("away", "1") "]", "unanimous",
            "{\"agreed\":false,\"answer\":null}");
    council("[" M("yes", "1") "," M("yes", "1") "," M("no", "5") "]", "weighted",
            "{\"agreed\":true,\"answer\":\"no\"}");
    council("[" M("yes", "1") "," M("yes", "1") "]", "judge",
            "{\"agreed\":true,\"answer\":\"no\"}");
}

// Children of a dag say their name's number and what they were given.
static void acts_dag(struct rig *w, const struct flow_event *act, struct val **ret_output,
                     struct val **ret_problem)
{
    (void)w;
    (void)ret_problem;
    assert_int_equal(act->type, FLOW_CHILD);
    *ret_output = val_put_cstr(val_obj(), "content", val_ref(val_get_cstr(act->data, "input")));
}

static void test_dag(void **state)
{
    (void)state;
    run_example("catalog/dag", acts_dag,
                "{\"steps\":[{\"name\":\"c\",\"needs\":[\"a\",\"b\"]},{\"name\":\"b\",\"needs\":["
                "\"a\"],\"input\":{\"x\":1}},{\"name\":\"a\"}]}",
                NULL, FLOW_COMPLETED,
                "{\"a\":{\"content\":{\"input\":{},\"needs\":{}}},\"b\":{\"content\":{\"input\":{"
                "\"x\":1},\"needs\":{\"a\":{\"content\":{\"input\":{},\"needs\":{}}}}}},\"c\":{"
                "\"content\":{\"input\":{},\"needs\":{\"a\":{\"content\":{\"input\":{},\"needs\":{}"
                "}},\"b\":{\"content\":{\"input\":{\"x\":1},\"needs\":{\"a\":{\"content\":{"
                "\"input\":{},\"needs\":{}}}}}}}}}}");
    run_example("catalog/dag", acts_dag,
                "{\"steps\":[{\"name\":\"a\",\"needs\":[\"b\"]},{\"name\":\"b\",\"needs\":[\"a\"]}]"
                "}",
                NULL, FLOW_FAULTED, "errors/configuration");
}

// Says how often it was asked; a score is twice that; a winner is the first that may win.
static void acts_chat(struct rig *w, const struct flow_event *act, struct val **ret_output,
                      struct val **ret_problem)
{
    const struct val *schema = val_ptr(act->data, BYTES("/args/schema/properties"));
    const struct val *names = val_ptr(schema, BYTES("/winner/enum"));
    char text[40];
    (void)ret_problem;
    (void)snprintf(text, sizeof text, "answer %d", w->calls);
    if (val_get_cstr(schema, "score"))
        *ret_output = said(val_put_cstr(val_obj(), "score", val_int(w->calls)));
    else if (names)
        *ret_output = said(val_put_cstr(val_obj(), "winner", val_ref(val_at(names, 0))));
    else
        *ret_output = said(val_cstr(text));
}

static void test_ready(void **state)
{
    (void)state;
    run_example("catalog/ask", acts_chat, "{\"prompt\":\"p\"}", NULL, FLOW_COMPLETED,
                "{\"content\":\"answer 1\",\"tokens\":7}");
    run_example("catalog/map-reduce", acts_chat, "{\"items\":[\"a\",{\"b\":1}]}", NULL,
                FLOW_COMPLETED,
                "{\"answer\":\"answer 3\",\"parts\":[\"answer 1\",\"answer 2\"],\"tokens\":21}");
    run_example("catalog/debate", acts_chat, "{\"rounds\":1}", NULL, FLOW_COMPLETED,
                "{\"said\":[{\"name\":\"tea\",\"text\":\"answer 1\"},{\"name\":\"coffee\",\"text\":"
                "\"answer 2\"}],\"winner\":\"tea\"}");
    // Writes at calls 1, 3, 5, scores 2, 4, 6: enough at 4.
    run_example("catalog/evaluator-optimizer", acts_chat, "{\"enough\":4,\"rounds\":9}", NULL,
                FLOW_COMPLETED,
                "{\"rounds\":[{\"score\":2,\"text\":\"answer 1\"},{\"score\":4,\"text\":\"answer "
                "3\"}],\"score\":4,\"text\":\"answer 3\"}");
}

// A text's vector: how often it has an a, b and c.
static struct val *vector(const struct val *text)
{
    struct val *v = val_arr();
    struct bytes s = val_bytes(text);
    for (const char *c = "abc"; *c; c++) {
        int64_t n = 0;
        for (size_t i = 0; i < s.n; i++)
            n += s.p[i] == *c;
        v = val_push(v, val_int(n));
    }
    return v;
}

static void acts_document(struct rig *w, const struct flow_event *act, struct val **ret_output,
                          struct val **ret_problem)
{
    const struct val *args = val_get_cstr(act->data, "args"), *input = val_get_cstr(args, "input");
    (void)w;
    (void)ret_problem;
    if (!input) {
        assert_non_null(strstr(text_of(args, "prompt"), "Text:\nbbb\nabc\nccc\n\nQuestion: b?"));
        *ret_output = said(val_cstr("yes"));
        return;
    }
    struct val *list = val_arr();
    for (size_t i = 0; i < val_len(input); i++)
        list = val_push(list, vector(val_at(input, i)));
    struct val *out = val_put_cstr(val_obj(), "embeddings", list);
    *ret_output = val_is(input, JSON_STR) ? val_put_cstr(out, "embedding", vector(input)) : out;
}

static void test_document(void **state)
{
    (void)state;
    run_example("document-question", acts_document,
                "{\"text\":\"aaa. bbb. ccc. abc\",\"question\":\"b?\"}", NULL, FLOW_COMPLETED,
                "{\"answer\":\"yes\",\"found\":[{\"score\":3,\"text\":\"bbb\"},{\"score\":1,"
                "\"text\":\"abc\"},{\"score\":0,\"text\":\"ccc\"}],\"question\":\"b?\"}");
}

// ---- many ---------------------------------------------------------------------------------------

static void test_fan_out(void **state)
{
    static char texts[101][200];
    static const char *events[102];
    (void)state;
    for (int i = 0; i <= 100; i++) { // the first is of another batch
        (void)snprintf(texts[i], sizeof texts[i],
                       "{\"event\":{\"specversion\":\"1.0\",\"id\":\"%d\",\"source\":\"/a\","
                       "\"type\":\"org.example.item.done\",\"data\":{\"batch\":\"%s\",\"result\":"
                       "%d}}}",
                       i, i ? "run-1" : "other", i ? i : 5000);
        events[i] = texts[i];
    }
    run_example("fan-out", rig_acts, NULL, events, FLOW_COMPLETED, "{\"items\":100,\"sum\":5050}");
    run_example("fan-out-item", acts_emit, "{\"batch\":\"b\",\"item\":3}", NULL, FLOW_COMPLETED,
                "{\"batch\":\"b\",\"item\":3,\"result\":9}");
}

static void test_webhook(void **state)
{
    (void)state;
    run_example("webhook", acts_emit, "{\"lines\":[{\"price\":3,\"count\":2}]}", NULL,
                FLOW_COMPLETED, "{\"lines\":1,\"total\":6}");
    run_example("webhook", acts_emit,
                "[{\"type\":\"org.example.order\",\"data\":{\"lines\":[{\"price\":2000,\"count\":1}"
                "]}}]",
                NULL, FLOW_COMPLETED, "{\"lines\":1,\"total\":2000}");
    run_example("webhook", acts_emit, NULL, NULL, FLOW_COMPLETED, "{\"lines\":0,\"total\":0}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reminder), cmocka_unit_test(test_approval),
        cmocka_unit_test(test_trip),     cmocka_unit_test(test_build),
        cmocka_unit_test(test_sensor),   cmocka_unit_test(test_council),
        cmocka_unit_test(test_dag),      cmocka_unit_test(test_ready),
        cmocka_unit_test(test_document), cmocka_unit_test(test_fan_out),
        cmocka_unit_test(test_webhook),
    };
    return cmocka_run_group_tests_name("examples", tests, NULL, NULL);
}
