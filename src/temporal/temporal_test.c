// temporal_test.c: flows on a real Temporal server: the language's rows give what they give in
// process, signals, children, hands, queries, updates, rolling over; histories from the server
// fold to the same run. timeout: 170
// SPDX-License-Identifier: Apache-2.0
#include "temporal/temporal_rig.h"

static struct side one;

// ---- the corpus ---------------------------------------------------------------------------------

static const char *const elsewhere[] = {
    "the descriptors",
    "emit", // the run's id and times differ
    "run: workflow", // children there are only made up
    "opened again: what was awaited is asked for anew, with its timeout", // Temporal's end is one
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
    AUTO(val)
    v = val_put_cstr(val_obj(), "status", val_cstr(flow_status_name(flow_run_status(w->run))));
    if (flow_run_status(w->run) == FLOW_COMPLETED)
        v = val_put_cstr(steal(&v), "output",
                         w->run->output ? val_ref(w->run->output) : val_null());
    if (flow_run_status(w->run) == FLOW_FAULTED)
        v = val_put_cstr(steal(&v), "error", val_ref(w->run->error));
    rig_text(v, to, max);
}

static void until_rests(struct side *s, const char *id, bool ends)
{
    int64_t end = time_mono_ms() + RIG_WAIT_MS;
    for (;;) {
        AUTO(val) v = show(s, id);
        struct bytes status = val_bytes(val_ptr(v, BYTES("/view/status")));
        if (status.n && (ends || !bytes_is(status, "running")) && !bytes_is(status, "pending"))
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
        until_rests(s, id,
                    bytes_is(temporal_str(v, "action"), "cancel") ||
                        bytes_is(temporal_str(v, "action"), "terminate"));
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
        struct val *event =
            val_put_cstr(val_ref(val_get_cstr(v, "event")), "specversion", val_cstr("1.0"));
        ask(s, &a, temporal_signal(s->t, bytes_of(id), event, &a.r));
        val_unref(event);
    }
    asked_clear(&a);
}

// Begins a row's flow and gives it its events.
static void play(size_t i)
{
    struct asked a = {.done = false};
    char id[64];
    (void)snprintf(id, sizeof id, "row-%zu", i);
    one.world = (struct rig){.act = rig_acts};
    start(&one, &a, id, rows[i].doc, rows[i].input);
    for (size_t n = 0; n < 8 && rows[i].events[n]; n++)
        give(&one, id, rows[i].events[n]);
    asked_clear(&a);
}

static unsigned judge(size_t i, struct rig *w)
{
    struct asked a = {.done = false};
    char id[64], got[4096], want[4096];
    (void)snprintf(id, sizeof id, "row-%zu", i);
    until_end(&one, &a, id);
    outcome(a.v, got, sizeof got);
    wanted(w, want, sizeof want);
    asked_clear(&a);
    if (strcmp(got, want) == 0)
        return 0;
    print_error("%s:\n  wanted %s\n  got    %s\n", rows[i].name, want, got);
    return 1;
}

// Those that count how often they are called go alone, the others all at once.
static void test_corpus(void **state)
{
    unsigned played = 0, wrong = 0;
    (void)state;
    for (int alone = 0; alone < 2; alone++) {
        struct rig *in_process[ROWS] = {NULL};
        for (size_t i = 0; i < ROWS; i++) {
            if ((strstr(rows[i].doc, "flaky") != NULL) != alone || !fits_here(&rows[i]))
                continue;
            struct rig *w = rig_play(&rows[i], false, NULL);
            if (w->now - RIG_START_MS >= 3000 || !rig_over(w)) {
                rig_done(w);
                continue;
            }
            played++;
            play(i);
            if (!alone)
                in_process[i] = w;
            else {
                wrong += judge(i, w);
                rig_done(w);
            }
        }
        for (size_t i = 0; i < ROWS; i++)
            if (in_process[i]) {
                wrong += judge(i, in_process[i]);
                rig_done(in_process[i]);
            }
    }
    print_message("%u of %zu rows played\n", played, ROWS);
    assert_int_equal(wrong, 0);
    assert_true(played > 40);
}

// ---- children -----------------------------------------------------------------------------------

#define DOC(name) "document: {dsl: '1.0.3', namespace: test, name: " name ", version: '1.0.0'}\n"
#define CALL(name, path)                                                                           \
    "  - " name                                                                                    \
    ": {call: http, with: {method: post, body: '${ . }', endpoint: 'https://fake/" path "'}}\n"

static const char parent[] = DOC("parent") "do:\n"
                                           "  - kid: {run: {workflow: {namespace: test, name: kid, "
                                           "version: '1.0.0', input: {n: '${ .n }'}}}}\n"
                                           "  - after: {set: {got: '${ . }'}}\n";
static const char kid[] = DOC("kid") "do:\n" CALL("a", "echo") "  - b: {set: {n: '${ .n + 1 }'}}\n";

static void expect(const struct asked *a, const char *want)
{
    char got[4096], text[4096];
    AUTO(val) w = rig_yaml(want);
    outcome(a->v, got, sizeof got);
    rig_text(w, text, sizeof text);
    if (strcmp(got, text) != 0)
        fail_msg("got %s, wanted %s", got, text);
}

static void test_children(void **state)
{
    struct asked a = {.done = false};
    (void)state;
    one.document = kid;
    one.watched = "parent-1"; // flows of the case before may be told of still
    start(&one, &a, "parent-1", parent, "{n: 4}");
    until_end(&one, &a, "parent-1");
    // Of the parent: itself and two tasks, of the child as well; the end comes with its answer.
    side_until(&one, one.lifecycle >= 12 && one.changes >= 12);
    one.watched = NULL;
    assert_string_equal(one.first, "io.serverlessworkflow.workflow.started.v1");
    expect(&a, "{status: completed, output: {got: {n: 5}}}");
    AUTO(val) v = show(&one, "parent-1/1");
    assert_string_equal(val_text(val_get_cstr(v, "parent"), ""), "parent-1");
    assert_string_equal(val_text(val_get_cstr(v, "name"), ""), "kid");
    one.document = NULL; // not registered any more: the flow is told, and replays the same
    start(&one, &a, "parent-2", parent, "{n: 4}");
    until_end(&one, &a, "parent-2");
    assert_string_equal(val_text(val_get_cstr(a.v, "status"), ""), "faulted");
    AUTO(val) w = show(&one, "parent-2");
    assert_string_equal(val_text(val_ptr(w, BYTES("/view/error/title")), ""),
                        "The flow's document is not registered");
    asked_clear(&a);
}

static void test_child_ends(void **state)
{
    struct asked a = {.done = false};
    static const char detached[] =
        DOC("detached") "do:\n"
                        "  - kid: {run: {workflow: {namespace: test, name: kid, version: '1.0.0', "
                        "input: {n: 1}}, await: false}}\n"
                        "  - after: {set: {done: true}}\n";
    static const char bad[] =
        DOC("kid") "do:\n  - a: {raise: {error: {type: 'https://x/y', status: 418, title: Tea}}}\n";
    static const char slow[] = DOC("kid") "do:\n  - a: {wait: PT1H}\n";
    (void)state;
    one.document = bad;
    start(&one, &a, "parent-3", parent, "{n: 4}");
    until_end(&one, &a, "parent-3");
    expect(&a, "{status: faulted, error: {type: 'https://x/y', status: 418, title: Tea, instance: "
               "/do/0/a}}");
    one.document = kid;
    start(&one, &a, "detached-1", detached, "{}");
    until_end(&one, &a, "detached-1");
    expect(&a, "{status: completed, output: {done: true}}");
    until_end(&one, &a, "detached-1/1");
    expect(&a, "{status: completed, output: {n: 2}}");
    one.document = slow; // cancelled with its parent
    start(&one, &a, "parent-4", parent, "{n: 4}");
    until_status(&one, "parent-4/1", "waiting");
    give(&one, "parent-4", "{\"action\":\"cancel\"}");
    until_end(&one, &a, "parent-4");
    expect(&a, "{status: cancelled}");
    until_end(&one, &a, "parent-4/1");
    expect(&a, "{status: cancelled}");
    one.document = NULL;
    asked_clear(&a);
}

// ---- a start without a document, as from Temporal's own tools -----------------------------------

static struct val *raw_answer;
static int raw_status;
static bool raw_done;

static void on_raw(void *user, int status, struct val *answer, const struct err *e)
{
    (void)user;
    if (status)
        print_message("%s\n", e->text);
    val_unref(raw_answer);
    raw_answer = answer ? val_ref(answer) : NULL;
    raw_status = status;
    raw_done = true;
}

static struct val *raw(struct side *s, const char *method, struct val *takes_request)
{
    raw_done = false;
    (void)temporal_call(s->t, method, takes_request, 20000, on_raw, NULL);
    side_until(s, raw_done);
    return raw_answer;
}

// The next task goes to any worker, not to the one that had the last: it is gone.
static void reset_sticky(struct side *s, const char *id)
{
    int64_t end = time_mono_ms() + RIG_WAIT_MS;
    do { // a server under load may not answer in time
        struct val *r = val_put_cstr(temporal_bare(s->t), "execution",
                                     temporal_execution(bytes_of(id), BYTES_NONE));
        (void)raw(s, "ResetStickyTaskQueue", r);
    } while (raw_status && raw_status != E_NOTFOUND && time_mono_ms() < end);
    assert_true(!raw_status || raw_status == E_NOTFOUND); // it has ended already
}

static void start_raw(struct side *s, const char *id, const char *type, struct val *takes_input)
{
    struct val *r = temporal_request(s->t);
    r = val_put_cstr(r, "workflowId", val_cstr(id));
    r = val_put_cstr(r, "requestId", val_cstr(id));
    r = val_put_cstr(r, "workflowType", temporal_name("name", type));
    r = val_put_cstr(r, "taskQueue", temporal_name("name", s->queue));
    r = val_put_cstr(r, "input", temporal_payloads(takes_input, NULL));
    (void)raw(s, "StartWorkflowExecution", r);
    assert_int_equal(raw_status, 0);
}

static void test_start(void **state)
{
    struct asked a = {.done = false};
    (void)state;
    one.document = kid;
    start_raw(&one, "raw-1", "kid", rig_yaml("{n: 7}"));
    until_end(&one, &a, "raw-1");
    expect(&a, "{status: completed, output: {n: 8}}");
    one.document = NULL; // its history has the document: it folds
    AUTO(val) v = show(&one, "raw-1");
    assert_string_equal(val_text(val_ptr(v, BYTES("/view/status")), ""), "completed");
    start_raw(&one, "raw-2", "missing", rig_yaml("{}"));
    until_end(&one, &a, "raw-2");
    assert_string_equal(val_text(val_get_cstr(a.v, "status"), ""), "faulted");
    ask(&one, &a, temporal_start(one.t, &(struct runs_start){.document = BYTES("do: 5")}, &a.r));
    assert_true(a.status == E_SCHEMA || a.status == E_INVALID);
    ask(&one, &a, temporal_start(one.t, &(struct runs_start){.name = BYTES("nobody")}, &a.r));
    assert_int_equal(a.status, E_NOTFOUND);
    ask(&one, &a,
        temporal_start(one.t, &(struct runs_start){.document = bytes_of(kid), .id = BYTES("raw-1")},
                       &a.r));
    assert_int_equal(a.status, E_EXISTS);
    struct val *n = rig_yaml("{n: 1}");
    ask(&one, &a,
        temporal_start(
            one.t,
            &(struct runs_start){
                .document = bytes_of(kid), .input = n, .wait = true, .wait_ms = RIG_WAIT_MS},
            &a.r));
    val_unref(n);
    assert_int_equal(a.status, 0);
    expect(&a, "{status: completed, output: {n: 2}}");
    ask(&one, &a,
        temporal_start(
            one.t,
            &(struct runs_start){.document = BYTES(DOC("long") "do: [{a: {wait: PT1H}}]"),
                                 .id = BYTES("long-1"),
                                 .wait = true,
                                 .wait_ms = 200},
            &a.r));
    assert_int_equal(a.status, 0);
    assert_string_equal(val_text(val_get_cstr(a.v, "status"), ""), "running");
    give(&one, "long-1", "{\"action\":\"terminate\",\"reason\":\"enough\"}");
    until_end(&one, &a, "long-1");
    expect(&a, "{status: terminated}");
    ask(&one, &a, temporal_show(one.t, BYTES("no-such"), false, &a.r));
    assert_int_equal(a.status, E_NOTFOUND);
    struct runs_hand h = {.id = BYTES("raw-1"), .action = BYTES("pause")};
    ask(&one, &a, temporal_hand(one.t, &h, &a.r));
    assert_int_equal(a.status, E_CONFLICT);
    asked_clear(&a);
}

// ---- events, queries, updates -------------------------------------------------------------------

static const char listener[] =
    DOC("listener") "do:\n  - hear: {listen: {to: {one: {with: {type: order.sent}}}}}\n" CALL(
        "act", "echo");

static bool waits(struct side *s, const char *id)
{
    AUTO(val) v = show(s, id);
    return bytes_is(val_bytes(val_ptr(v, BYTES("/view/status"))), "waiting");
}

static void test_events(void **state)
{
    struct asked a = {.done = false};
    AUTO(val)
    v = rig_yaml("{specversion: '1.0', id: e1, source: here, type: order.sent, data: {n: 3}}");
    AUTO(val)
    other = rig_yaml("{specversion: '1.0', id: e1, source: here, type: other, data: {n: 3}}");
    (void)state;
    start(&one, &a, "hear-1", listener, "{}");
    start(&one, &a, "hear-2", listener, "{}");
    until_status(&one, "hear-1", "waiting");
    until_status(&one, "hear-2", "waiting");
    ask(&one, &a, temporal_event(one.t, other, &a.r));
    assert_int_equal(val_i64(val_get_cstr(a.v, "taken"), -1), 0);
    // Lists are a moment late: who listens is not there yet, or is there still.
    for (int64_t end = time_mono_ms() + RIG_WAIT_MS;
         (waits(&one, "hear-1") || waits(&one, "hear-2")) && time_mono_ms() < end;)
        ask(&one, &a, temporal_event(one.t, v, &a.r));
    until_end(&one, &a, "hear-1");
    expect(&a, "{status: completed, output: [{n: 3}]}");
    until_end(&one, &a, "hear-2");
    expect(&a, "{status: completed, output: [{n: 3}]}");
    asked_clear(&a);
}

static void test_query_and_update(void **state)
{
    struct asked a = {.done = false};
    static const char *const asks[] = {"state", "plan", "__stack_trace", "nonsense"};
    (void)state;
    start(&one, &a, "asked-1", listener, "{}");
    until_status(&one, "asked-1", "waiting");
    for (size_t i = 0; i < 4; i++) {
        struct val *r = val_put_cstr(temporal_bare(one.t), "execution",
                                     temporal_execution(BYTES("asked-1"), BYTES_NONE));
        r = val_put_cstr(r, "query", temporal_name("queryType", asks[i]));
        struct val *answer = raw(&one, "QueryWorkflow", r);
        if (i == 3) {
            assert_int_equal(raw_status, E_INVALID);
            continue;
        }
        AUTO(val) v = temporal_payload_of(val_get_cstr(answer, "queryResult"), 0);
        char text[4096];
        rig_text(v, text, sizeof text);
        if (!strstr(text, i == 2 ? "listen" : "/do/0/hear"))
            fail_msg("%s: %s", asks[i], text);
    }
    for (int i = 0; i < 2; i++) { // a good one, and one that is refused
        struct val *input = temporal_name("name", i ? "nonsense" : "hand");
        input = val_put_cstr(input, "args",
                             temporal_payloads(rig_yaml("{action: pause, by: ann}"), NULL));
        struct val *q = val_put_cstr(val_obj(), "input", input);
        q = val_put_cstr(q, "meta", temporal_name("updateId", i ? "u2" : "u1"));
        struct val *r = val_put_cstr(temporal_bare(one.t), "workflowExecution",
                                     temporal_execution(BYTES("asked-1"), BYTES_NONE));
        r = val_put_cstr(r, "request", q);
        r = val_put_cstr(
            r, "waitPolicy",
            temporal_name("lifecycleStage", "UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_COMPLETED"));
        struct val *answer = raw(&one, "UpdateWorkflowExecution", r);
        assert_int_equal(raw_status, 0);
        const struct val *outcome_ = val_get_cstr(answer, "outcome");
        AUTO(val) v = temporal_payload_of(val_get_cstr(outcome_, "success"), 0);
        if (i == 0)
            assert_string_equal(val_text(val_get_cstr(v, "status"), ""), "suspended");
        else
            assert_non_null(val_get_cstr(outcome_, "failure"));
    }
    until_status(&one, "asked-1", "suspended");
    give(&one, "asked-1", "{\"action\":\"resume\",\"by\":\"ann\"}");
    give(&one, "asked-1", "{\"event\":{\"type\":\"order.sent\",\"data\":1}}");
    until_end(&one, &a, "asked-1");
    expect(&a, "{status: completed, output: [1]}");
    AUTO(val) v = show(&one, "asked-1"); // the update stands in the history
    assert_string_equal(val_text(val_ptr(v, BYTES("/view/status")), ""), "completed");
    asked_clear(&a);
}

// ---- long flows ---------------------------------------------------------------------------------

#define LOOP(name, n)                                                                              \
    name ": {for: {each: i, in: '${ [range(" n ")] }'}, do: [{act: {call: http, with: {method: "   \
         "post, body: '${ $i }', endpoint: 'https://fake/echo'}}}]}"

static void test_rolls(void **state)
{
    struct asked a = {.done = false};
    static const char many[] =
        DOC("many") "do:\n  - " LOOP("loop", "25") "\n  - end: {set: {last: '${ . }'}}\n";
    static const char two[] = DOC("two") "do:\n  - both: {fork: {branches: [{" LOOP(
        "x", "25") "}, {" LOOP("y", "25") "}]}}\n";
    (void)state;
    start(&one, &a, "many-1", many, "{}");
    start(&one, &a, "two-1", two, "{}");
    until_end(&one, &a, "many-1");
    expect(&a, "{status: completed, output: {last: 24}}");
    until_end(&one, &a, "two-1");
    expect(&a, "{status: completed, output: [24, 24]}");
    for (int i = 0; i < 2; i++) {
        ask(&one, &a, temporal_export(one.t, i ? BYTES("two-1") : BYTES("many-1"), &a.r));
        const struct val *first = val_at(val_get_cstr(a.v, "entries"), 0);
        assert_string_equal(val_text(val_get_cstr(first, "t"), ""), "rolled"); // the last chapter
    }
    asked_clear(&a);
}

static const char mixed[] =
    DOC("mixed") "do:\n"
                 "  - try1: {try: [{a: {call: http, with: {method: get, endpoint: "
                 "'https://fake/flaky/1'}}}], catch: {retry: {delay: {milliseconds: 100}}}}\n"
                 "  - both: {fork: {branches: [{x: {call: http, with: {method: post, body: x, "
                 "endpoint: 'https://fake/echo'}}}, {y: {wait: {milliseconds: 150}}}]}}\n"
                 "  - hear: {listen: {to: {one: {with: {type: go}}}}}\n"
                 "  - last: {call: http, with: {method: post, body: '${ .[0] }', endpoint: "
                 "'https://fake/echo'}}\n"
                 "  - done: {set: {n: '${ . }'}}\n";

// A worker goes away, another one comes: three flows are at three points then.
static void test_restart(void **state)
{
    struct side asker = {.loop = NULL};
    struct asked a = {.done = false};
    char id[32];
    (void)state;
    side_open(&asker, "asker", &(struct temporal_args){.activities_only = true});
    side_until(&asker, asker.up);
    for (int i = 2; i >= 0; i--) {
        (void)snprintf(id, sizeof id, "mixed-%d", i);
        one.world = (struct rig){.act = rig_acts};
        start(&one, &a, id, mixed, "{}");
        for (int64_t end = time_mono_ms() + (i ? 120 : 0); time_mono_ms() < end;)
            side_round(&one);
    }
    side_close(&one);
    for (int i = 0; i < 3; i++) {
        (void)snprintf(id, sizeof id, "mixed-%d", i);
        reset_sticky(&asker, id);
    }
    side_open(&one, "corpus", &(struct temporal_args){.pollers = 2, .heartbeat_ms = 2000});
    for (int i = 0; i < 3; i++) {
        (void)snprintf(id, sizeof id, "mixed-%d", i);
        give(&one, id, "{\"event\":{\"type\":\"go\",\"data\":5}}");
        until_end(&one, &a, id);
        expect(&a, "{status: completed, output: {n: 5}}");
    }
    asked_clear(&a);
    side_free(&asker);
}

// Nothing is kept between tasks: each is folded anew.
static void test_forgetful(void **state)
{
    struct side two = {.loop = NULL, .world = {.act = rig_acts}};
    struct asked a = {.done = false};
    struct temporal_stats s;
    (void)state;
    side_open(&two, "forgetful", &(struct temporal_args){.pollers = 1, .flows_max = 1});
    for (int i = 0; i < 3; i++) {
        char id[32];
        (void)snprintf(id, sizeof id, "forgot-%d", i);
        two.world.flaky = 0;
        start(&two, &a, id, mixed, "{}");
        until_status(&two, id, "waiting");
    }
    for (int i = 0; i < 3; i++) {
        char id[32];
        (void)snprintf(id, sizeof id, "forgot-%d", i);
        give(&two, id, "{\"event\":{\"type\":\"go\",\"data\":6}}");
        until_end(&two, &a, id);
        expect(&a, "{status: completed, output: {n: 6}}");
    }
    temporal_stats(two.t, &s);
    assert_true(s.replays >= 3);
    asked_clear(&a);
    side_free(&two);
}

// ---- what ended before it could be cancelled ----------------------------------------------------

static void until_happened(struct side *s, const char *id, const char *const *attributes)
{
    int64_t end = time_mono_ms() + RIG_WAIT_MS;
    for (bool all = false; !all; all = all || (side_round(s), false)) {
        struct val *r = val_put_cstr(temporal_bare(s->t), "execution",
                                     temporal_execution(bytes_of(id), BYTES_NONE));
        const struct val *events =
            val_ptr(raw(s, "GetWorkflowExecutionHistory", r), BYTES("/history/events"));
        all = true;
        const struct val *last = val_at(events, val_len(events) ? val_len(events) - 1 : 0);
        if (val_get_cstr(last, "workflowExecutionCompletedEventAttributes") ||
            val_get_cstr(last, "workflowExecutionFailedEventAttributes"))
            return; // no more will happen
        for (size_t i = 0; attributes[i]; i++) {
            bool one_of = false;
            for (size_t n = 0; n < val_len(events); n++)
                one_of |= val_get_cstr(val_at(events, n), attributes[i]) != NULL;
            all = all && one_of;
        }
        if (time_mono_ms() > end)
            fail_msg("%s: its history never had %s and the others", id, attributes[0]);
    }
}

// An event decides a race while no worker is there; the timer and the activity that lost it end as
// well, before a worker could have the server cancel them. Whoever is slow tries with more time.
static void test_late_cancels(void **state)
{
    static const char *const begun[] = {"timerStartedEventAttributes",
                                        "activityTaskScheduledEventAttributes", NULL};
    static const char *const over[] = {"timerFiredEventAttributes",
                                       "activityTaskTimedOutEventAttributes", NULL};
    static const struct temporal_args few = {.pollers = 1};
    struct side late = {.loop = NULL, .world = {.act = rig_acts}};
    struct asked a = {.done = false};
    char id[32], doc[1024], got[1024] = "";
    (void)state;
    for (int ms = 400; ms <= 6400 && !strstr(got, "\"heard\""); ms *= 2) {
        (void)snprintf(id, sizeof id, "late-%d", ms);
        (void)snprintf(
            doc, sizeof doc,
            DOC("late") "do:\n  - race: {fork: {compete: true, branches: [{hear: {listen: {to: "
                        "{one: {with: {type: go}}}}}}, {nap: {wait: {milliseconds: %d}}}, {act: "
                        "{call: http, with: {method: post, body: x, endpoint: 'https://fake/echo'},"
                        " metadata: {plexus: {queue: nobody, start: PT%d.%dS}}}}]}}\n",
            ms, ms / 1000, ms % 1000 / 100);
        side_open(&late, "late", &few);
        start(&late, &a, id, doc, "{}");
        until_happened(&late, id, begun);
        side_close(&late);
        reset_sticky(&one, id);
        give(&one, id, "{\"event\":{\"type\":\"go\",\"data\":\"heard\"}}");
        until_happened(&one, id, over);
        side_open(&late, "late", &few);
        until_end(&late, &a, id);
        outcome(a.v, got, sizeof got);
        side_close(&late);
    }
    expect(&a, "{status: completed, output: [heard]}");
    asked_clear(&a);
    side_free(&late);
}

// ---- kill -9 ------------------------------------------------------------------------------------

// A worker of its own, as a process; it writes a line for each activity that it began.
static _Noreturn void worker_main(const char *port, const char *queue, const char *lines)
{
    static struct side s = {.world = {.act = rig_acts}, .act_ms = 60};
    temporal_dev.port = (uint16_t)atoi(port);
    s.lines = lines;
    s.document = kid;
    side_open(&s, queue, &(struct temporal_args){.pollers = 1, .heartbeat_ms = 1000});
    for (;;)
        side_round(&s);
}

static pid_t worker(const char *self, const char *queue, const char *lines)
{
    char port[8];
    pid_t self_pid = getpid();
    (void)snprintf(port, sizeof port, "%u", temporal_dev.port);
    pid_t pid = fork();
    if (pid)
        return pid;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != self_pid)
        _exit(1);
    (void)execl(self, self, "worker", port, queue, lines, (char *)NULL);
    _exit(1);
}

static const char crashed[] = DOC("crashed") "do:\n" CALL("a", "echo") CALL(
    "b",
    "echo") "  - both: {fork: {branches: [{x: {call: http, with: {method: post, body: x, endpoint: "
            "'https://fake/echo'}}}, "
            "{y: {call: http, with: {method: post, body: y, endpoint: 'https://fake/echo'}}}]}}\n"
            "  - kid: {run: {workflow: {namespace: test, name: kid, version: '1.0.0', input: {n: "
            "1}}}}\n"
            "  - e: {set: {n: '${ .n + 1 }'}}\n";

static void test_killed(void **state)
{
    enum { FLOWS = 12 };
    struct side asker = {.world = {.act = rig_acts}};
    struct asked a = {.done = false};
    char lines[128], id[32];
    struct rng rng;
    (void)state;
    (void)snprintf(lines, sizeof lines, "%s/lines", temporal_dev.folder);
    rng_init(&rng, 5);
    // Asks only: it takes no task of that queue.
    side_open(&asker, "killed", &(struct temporal_args){.activities_only = true, .pollers = 0});
    side_until(&asker, asker.up);
    for (int i = 0; i < FLOWS; i++) {
        (void)snprintf(id, sizeof id, "killed-%d", i);
        start(&asker, &a, id, crashed, "{n: 0}");
    }
    for (int kills = 0; kills < 10; kills++) {
        pid_t pid = worker("/proc/self/exe", "killed", lines);
        for (int64_t end = time_mono_ms() + 150 + (int64_t)rng_below(&rng, 300);
             time_mono_ms() < end;)
            side_round(&asker);
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
    }
    pid_t pid = worker("/proc/self/exe", "killed", lines);
    for (int i = 0; i < FLOWS; i++) {
        (void)snprintf(id, sizeof id, "killed-%d", i);
        until_end(&asker, &a, id);
        expect(&a, "{status: completed, output: {n: 3}}");
    }
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
    // Begun again after a crash, an activity has the key that it had: a, b, x, y and the child's.
    static char keys[1000][80];
    size_t count = 0, begun = 0;
    FILE *f = fopen(lines, "r");
    char line[80];
    assert_non_null(f);
    while (fgets(line, sizeof line, f) && count < 1000) {
        size_t i = 0;
        while (i < count && strcmp(keys[i], line) != 0)
            i++;
        if (i == count)
            memcpy(keys[count++], line, sizeof line);
        begun++;
    }
    (void)fclose(f);
    print_message("%zu activities, begun %zu times\n", count, begun);
    assert_int_equal(count, FLOWS * 5);
    assert_true(begun > count); // some were hit
    asked_clear(&a);
    side_free(&asker);
}

// ---- histories from the server ------------------------------------------------------------------

static void test_histories(void **state)
{
    static const char *const ids[] = {"parent-1", "raw-1", "asked-1", "many-1", "mixed-2", "row-0"};
    const struct proto_message *m =
        proto_message(one.t->api, BYTES("temporal.api.history.v1.History"));
    (void)state;
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        struct val *r = val_put_cstr(temporal_bare(one.t), "execution",
                                     temporal_execution(bytes_of(ids[i]), BYTES_NONE));
        struct val *h = val_get_cstr(raw(&one, "GetWorkflowExecutionHistory", r), "history");
        struct buf wire, view;
        struct err e = {0};
        buf_init(&wire, 1 << 24);
        buf_init(&view, 1 << 24);
        assert_int_equal(proto_encode(m, h, &wire, &e), 0);
        if (temporal_replay(buf_bytes(&wire), &view, &e))
            fail_msg("%s: %s", ids[i], e.text);
        assert_true(bytes_find(buf_bytes(&view), BYTES("\"completed\"")) >= 0);
        // An activity that the decider does not want there.
        AUTO(val) events = val_ref(val_get_cstr(h, "events"));
        for (size_t n = 0; n < val_len(events); n++) {
            const struct val *at =
                val_get_cstr(val_at(events, n), "activityTaskScheduledEventAttributes");
            if (!at)
                continue;
            struct val *wrong = val_put_cstr(val_ref((struct val *)(uintptr_t)at), "activityType",
                                             temporal_name("name", "shell"));
            struct val *ev = val_put_cstr(val_ref(val_at(events, n)),
                                          "activityTaskScheduledEventAttributes", wrong);
            events = val_set_at(steal(&events), n, ev);
            AUTO(val) all = val_put_cstr(val_obj(), "events", val_ref(events));
            buf_clear(&wire);
            buf_clear(&view);
            assert_int_equal(proto_encode(m, all, &wire, &e), 0);
            assert_int_equal(temporal_replay(buf_bytes(&wire), &view, &e), E_CONFLICT);
            break;
        }
        buf_fini(&wire);
        buf_fini(&view);
    }
}

static void test_lists(void **state)
{
    struct asked a = {.done = false};
    char last[64] = "", next[64] = "";
    (void)state;
    // Lists are a moment late, also the second page after the first.
    for (int64_t end = time_mono_ms() + RIG_WAIT_MS;
         (!*next || !strcmp(next, last)) && time_mono_ms() < end;) {
        struct runs_filter filter = {
            .status = BYTES("faulted"), .name = BYTES("parent"), .limit = 1};
        ask(&one, &a, temporal_list(one.t, &filter, &a.r));
        if (a.status || !val_bool_of(val_get_cstr(a.v, "more"), false))
            continue; // or too slow at present
        (void)snprintf(last, sizeof last, "%s", val_text(val_ptr(a.v, BYTES("/flows/0/id")), ""));
        assert_string_equal(val_text(val_ptr(a.v, BYTES("/flows/0/by")), ""), "tester");
        assert_string_equal(val_text(val_ptr(a.v, BYTES("/flows/0/version")), ""), "1.0.0");
        filter.after = bytes_of(last);
        ask(&one, &a, temporal_list(one.t, &filter, &a.r));
        (void)snprintf(next, sizeof next, "%s", val_text(val_ptr(a.v, BYTES("/flows/0/id")), ""));
    }
    assert_true(*next && strcmp(next, last) != 0);
    ask(&one, &a, temporal_history(one.t, BYTES("parent-1"), 0, &a.r));
    size_t count = val_len(val_get_cstr(a.v, "entries"));
    assert_true(count > 3);
    ask(&one, &a, temporal_history(one.t, BYTES("parent-1"), 3, &a.r));
    assert_int_equal(val_len(val_get_cstr(a.v, "entries")), count - 2);
    assert_int_equal(val_i64(val_ptr(a.v, BYTES("/entries/0/n")), 0), 3);
    asked_clear(&a);
}

// The server goes away and comes back: flows go on.
static void test_outage(void **state)
{
    struct asked a = {.done = false};
    (void)state;
    start(&one, &a, "outage-1", listener, "{}");
    until_status(&one, "outage-1", "waiting");
    server_kill(&temporal_dev);
    side_until(&one, !one.up);
    ask(&one, &a, temporal_show(one.t, BYTES("outage-1"), false, &a.r));
    assert_int_equal(a.status, E_UNAVAILABLE);
    dev_start();
    side_until(&one, one.up);
    reset_sticky(&one, "outage-1");
    give(&one, "outage-1", "{\"event\":{\"type\":\"order.sent\",\"data\":1}}");
    until_end(&one, &a, "outage-1");
    expect(&a, "{status: completed, output: [1]}");
    asked_clear(&a);
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "worker") == 0)
        worker_main(argv[2], argv[3], argv[4]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_corpus),     cmocka_unit_test(test_children),
        cmocka_unit_test(test_child_ends), cmocka_unit_test(test_start),
        cmocka_unit_test(test_events),     cmocka_unit_test(test_query_and_update),
        cmocka_unit_test(test_rolls),      cmocka_unit_test(test_restart),
        cmocka_unit_test(test_forgetful),  cmocka_unit_test(test_histories),
        cmocka_unit_test(test_killed),     cmocka_unit_test(test_late_cancels),
        cmocka_unit_test(test_lists),      cmocka_unit_test(test_outage),
    };
    if (getenv("TESTS"))
        cmocka_set_test_filter(getenv("TESTS"));
    temporal_program = find_temporal();
    if (!temporal_program) {
        (void)printf("skipped: no temporal %s: python3 tests/lib/temporal.py builds it\n",
                     TEMPORAL_VERSION);
        return 77;
    }
    dev_start();
    one.world.act = rig_acts;
    side_open(&one, "corpus", &(struct temporal_args){.pollers = 2, .events_max = 100});
    side_until(&one, one.up);
    int rc = cmocka_run_group_tests_name("temporal/temporal", tests, NULL, NULL);
    val_unref(raw_answer);
    side_free(&one);
    server_remove(&temporal_dev);
    return rc;
}
