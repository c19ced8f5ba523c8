// runs_hand_test.c: what people do: hands, signals, reset, lists, histories, documents, waiting for
// the end; and what goes wrong: a journal that stops, another owner, runs that cannot be.
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runs/runs_rig.h"

#define HEAD(name) "document: {dsl: '1.0.0', namespace: test, name: " name ", version: '1.0.0'}\n"
#define CALL(task, body)                                                                           \
    "  - " task ": {call: http, with: {method: post, endpoint: 'http://t.example/', body: " body   \
    "}}\n"

static bool broken; // activities fail

static int act(struct rig *r, const struct act_args *a, struct val **output, struct val **problem)
{
    (void)r;
    if (!broken) {
        *output = val_ref(val_get_cstr(a->args, "body"));
        return 0;
    }
    *problem = runs_problem("communication", 500, "broken", "");
    return E_UNAVAILABLE;
}

static int setup(void **state)
{
    static struct rig r;
    rig_init(&r);
    r.act = act;
    broken = false;
    rig_start(&r);
    *state = &r;
    return 0;
}

static int teardown(void **state)
{
    rig_fini(*state);
    return 0;
}

static int hand(struct rig *r, const char *id, const char *action, const char *task,
                struct asked *a)
{
    asked_init(a);
    runs_hand(r->runs,
              &(struct runs_hand){.id = bytes_of(id),
                                  .action = bytes_of(action),
                                  .task = bytes_of(task),
                                  .by = BYTES("me")},
              &a->r);
    assert_int_equal(a->dones, 0);
    rig_until(r, a->dones, MINUTE);
    return a->status;
}

static void hand_ok(struct rig *r, const char *id, const char *action, const char *task)
{
    struct asked a;
    if (hand(r, id, action, task, &a))
        fail_msg("%s %s: %s", action, id, a.why);
    asked_fini(&a);
}

static void expect_status(struct rig *r, const char *id, const char *status)
{
    struct asked a;
    rig_run(r, 50);
    ask_show(r, id, &a);
    assert_string_equal(status_of(&a), status);
    asked_fini(&a);
}

static void begin_kept(struct rig *r, const char *doc, const char *id, const char *input)
{
    struct asked a;
    begin_flow(r, doc, id, input, &a, false);
    rig_until(r, a.dones, MINUTE);
    if (a.status)
        fail_msg("%s", a.why);
    asked_fini(&a);
}

static void restart(struct rig *r)
{
    rig_die(r);
    rig_start(r);
    unsigned ready = r->ready;
    rig_until(r, r->ready > ready, MINUTE);
}

static void test_hands(void **state)
{
    struct rig *r = *state;
    struct asked a;
    static const char doc[] = HEAD("hands") "do:\n" CALL("a", "1") CALL("b", "2");
    broken = true;
    begin_kept(r, doc, "h", "{}");
    expect_status(r, "h", "faulted");
    assert_int_equal(hand(r, "h", "pause", "", &a), E_CONFLICT);
    asked_fini(&a);
    broken = false;
    restart(r);
    hand_ok(r, "h", "retry", "");
    expect_status(r, "h", "completed");
    assert_int_equal(hand(r, "h", "cancel", "", &a), E_CONFLICT);
    asked_fini(&a);
    assert_int_equal(hand(r, "none", "cancel", "", &a), E_NOTFOUND);
    asked_fini(&a);
    r->stuck = true;
    begin_kept(r, doc, "i", "{}");
    hand_ok(r, "i", "pause", "");
    expect_status(r, "i", "suspended");
    hand_ok(r, "i", "resume", "");
    expect_status(r, "i", "running");
    hand_ok(r, "i", "skip", "a");
    r->stuck = false;
    hand_ok(r, "i", "cancel", "");
    expect_status(r, "i", "cancelled");
    assert_true(list_empty(&r->running));
}

static void test_wait(void **state)
{
    struct rig *r = *state;
    struct asked a, b, c;
    static const char doc[] = HEAD("wait") "do:\n" CALL("a", "{x: 1}") "  - w: {wait: PT10M}\n";
    begin_flow(r, doc, "w", "{}", &a, true);
    struct val *in = json("{}");
    asked_init(&b);
    runs_start(
        r->runs,
        &(struct runs_start){.document = bytes_of(doc), .input = in, .wait = true, .wait_ms = 2000},
        &b.r);
    begin_flow(r, doc, "v", "{}", &c, true);
    rig_run(r, 1000);
    runs_cancel(r->runs, &c.r);
    assert_int_equal(c.dones, 0);
    rig_run(r, 3000);
    assert_int_equal(a.dones, 0);
    assert_int_equal(b.dones, 1); // it took too long
    assert_string_equal(status_of(&b), "waiting");
    assert_int_equal(c.status, E_CANCELLED);
    rig_run(r, 10 * MINUTE);
    assert_int_equal(a.dones, 1);
    assert_json(a.json, "{\"id\":\"w\",\"status\":\"completed\",\"output\":{\"x\":1}}");
    expect_status(r, "v", "completed");
    asked_fini(&a);
    asked_fini(&b);
    asked_fini(&c);
    begin_flow(r, doc, "w", "{}", &a, false);
    rig_until(r, a.dones, MINUTE);
    assert_int_equal(a.status, E_EXISTS);
    asked_fini(&a);
    val_unref(in);
}

static void test_reset(void **state)
{
    struct rig *r = *state;
    struct asked a;
    static const char doc[] =
        HEAD("reset") "do:\n" CALL("a", "1") CALL("b", "2") CALL("c", "3") "  - w: {wait: PT1H}\n";
    begin_kept(r, doc, "old", "{}");
    expect_status(r, "old", "waiting");
    asked_init(&a);
    runs_hand(r->runs,
              &(struct runs_hand){
                  .id = BYTES("old"), .action = BYTES("reset"), .by = BYTES("me"), .to = 3},
              &a.r);
    rig_until(r, a.dones, MINUTE);
    if (a.status)
        fail_msg("%s", a.why);
    char id[64];
    (void)snprintf(id, sizeof id, "%s", val_text(val_get_cstr(a.json, "id"), ""));
    asked_fini(&a);
    expect_status(r, "old", "terminated");
    expect_status(r, id, "waiting");
    restart(r);
    rig_run(r, 61 * MINUTE);
    expect_status(r, id, "completed");
    asked_init(&a);
    runs_hand(r->runs, &(struct runs_hand){.id = BYTES("old"), .action = BYTES("reset"), .to = 300},
              &a.r);
    rig_until(r, a.dones, MINUTE);
    assert_int_equal(a.status, E_INVALID);
    asked_fini(&a);
}

static void test_history(void **state)
{
    struct rig *r = *state;
    struct asked a;
    begin_kept(r, HEAD("history") "do:\n" CALL("a", "1"), "h", "{\"x\":1}");
    rig_run(r, 100);
    asked_init(&a);
    runs_history(r->runs, BYTES("h"), 0, &a.r);
    rig_until(r, a.dones, MINUTE);
    struct val *entries = val_get_cstr(a.json, "entries");
    assert_int_equal(val_len(entries), 4);
    static const char *const types[] = {"started", "act", "done", "end"};
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(val_text(val_get_cstr(val_at(entries, i), "t"), ""), types[i]);
        assert_int_equal(val_i64(val_get_cstr(val_at(entries, i), "n"), 0), i + 1);
    }
    asked_fini(&a);
    asked_init(&a);
    runs_export(r->runs, BYTES("h"), &a.r);
    rig_until(r, a.dones, MINUTE);
    assert_int_equal(val_len(val_get_cstr(a.json, "entries")), 4);
    assert_true(val_bytes(val_get_cstr(a.json, "bundle")).n > 10);
    asked_fini(&a);
    asked_init(&a);
    runs_history(r->runs, BYTES("none"), 0, &a.r);
    rig_until(r, a.dones, MINUTE);
    assert_int_equal(a.status, E_NOTFOUND);
    asked_fini(&a);
    asked_init(&a);
    runs_prune(r->runs, rig_wall(r) + 1, false, &a.r);
    rig_until(r, a.dones, MINUTE);
    assert_json(a.json, "{\"removed\":1}");
    asked_fini(&a);
}

// A long loop in short chapters, with a restart in each quarter.
static void test_chapters(void **state)
{
    struct rig *r = *state;
    struct asked a;
    rig_close(r);
    r->chapter_max = 64;
    rig_start(r);
    begin_kept(r,
               HEAD("long") "do:\n"
                            "  - l:\n"
                            "      for: {each: i, in: '[range(400)]'}\n"
                            "      do:\n"
                            "        - c: {call: http, with: {method: post, endpoint: "
                            "'http://t.example/', body: '${ {n: ((.n // 0) + 1)} }'}}\n",
               "l", "{}");
    for (int i = 0; i < 4; i++) {
        rig_run(r, 100);
        restart(r);
    }
    rig_run(r, 1000);
    ask_show(r, "l", &a);
    assert_string_equal(status_of(&a), "completed");
    assert_json(val_get_cstr(val_get_cstr(a.json, "view"), "output"), "{\"n\":400}");
    assert_true(val_i64(val_get_cstr(a.json, "entries"), 0) > 800);
    asked_fini(&a);
}

// What is not plain is asked for, and asked for again when the node died meanwhile.
static void test_eval(void **state)
{
    struct rig *r = *state;
    struct asked a;
    r->crash_at = r->writes + 1;
    begin_flow(r, HEAD("eval") "do:\n  - s: {set: '${ {n: (\"a\" | sub(\"a\"; \"b\"))} }'}\n", "e",
               "{}", &a, false);
    rig_run(r, 100);
    asked_fini(&a);
    ask_show(r, "e", &a);
    assert_string_equal(status_of(&a), "completed");
    assert_json(val_get_cstr(val_get_cstr(a.json, "view"), "output"), "42");
    assert_int_equal(r->lives, 2);
    assert_int_equal(r->evaluated, 1);
    asked_fini(&a);
}

static void test_listeners(void **state)
{
    struct rig *r = *state;
    struct asked a;
    static const char doc[] =
        HEAD("ear") "do:\n  - l: {listen: {to: {one: {with: {type: com.x}}}}}\n";
    for (int i = 0; i < 300; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "e%d", i);
        begin_kept(r, doc, id, "{}");
    }
    rig_close(r);
    r->loaded_max = 10;
    rig_start(r);
    struct val *v = json("{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/t\",\"type\":"
                         "\"com.x\",\"data\":5}");
    asked_init(&a);
    runs_event(r->runs, v, &a.r); // before it knows who listens
    rig_until(r, a.dones, MINUTE);
    assert_json(a.json, "{\"taken\":300}");
    asked_fini(&a);
    struct runs_stats s;
    runs_stats(r->runs, &s);
    assert_int_equal(s.completed, 300);
    assert_int_equal(s.listening, 0);
    asked_init(&a);
    runs_event(r->runs, v, &a.r);
    rig_until(r, a.dones, MINUTE);
    assert_json(a.json, "{\"taken\":0}");
    asked_fini(&a);
    val_unref(v);
}

static void test_deep(void **state)
{
    struct rig *r = *state;
    struct asked a;
    add_document(r, HEAD("deep") "do:\n  - d: {run: {workflow: {namespace: test, name: deep, "
                                 "version: '1.0.0'}}}\n");
    asked_init(&a);
    runs_start(
        r->runs,
        &(struct runs_start){.namespace = BYTES("test"), .name = BYTES("deep"), .wait = true},
        &a.r);
    rig_until(r, a.dones, MINUTE);
    assert_string_equal(status_of(&a), "faulted");
    struct val *detail = val_get_cstr(val_get_cstr(a.json, "error"), "detail");
    assert_non_null(strstr(val_text(detail, ""), "32 deep"));
    asked_fini(&a);
    struct runs_stats s;
    runs_stats(r->runs, &s);
    assert_int_equal(s.open, 0);
    assert_int_equal(s.faulted, 33);
}

// A parent that is cancelled takes its children along, also over a restart.
static void test_cancel_goes_down(void **state)
{
    struct rig *r = *state;
    struct asked a;
    add_document(r, HEAD("leaf") "do:\n  - w: {wait: PT5H}\n");
    add_document(r, HEAD("middle") "do:\n  - d: {run: {workflow: {namespace: test, name: leaf, "
                                   "version: '1.0.0'}}}\n");
    begin_kept(r,
               HEAD("top") "do:\n  - d: {run: {workflow: {namespace: test, name: middle, "
                           "version: '1.0.0'}}}\n",
               "t", "{}");
    rig_run(r, 100);
    expect_status(r, "t.1", "running");
    expect_status(r, "t.1.1", "waiting");
    r->crash_at = r->writes + 1; // right after it was cancelled
    asked_init(&a);
    runs_hand(r->runs, &(struct runs_hand){.id = BYTES("t"), .action = BYTES("cancel")}, &a.r);
    rig_run(r, 1000);
    assert_int_equal(r->lives, 2);
    expect_status(r, "t", "cancelled");
    expect_status(r, "t.1", "cancelled");
    expect_status(r, "t.1.1", "cancelled");
}

static void test_not_awaited(void **state)
{
    struct rig *r = *state;
    add_document(r, HEAD("side") "do:\n  - w: {wait: PT5H}\n");
    begin_kept(r,
               HEAD("main") "do:\n  - d: {run: {await: false, workflow: {namespace: test, name: "
                            "side, version: '1.0.0'}}}\n" CALL("a", "1") "  - w: {wait: PT1M}\n",
               "m", "{}");
    rig_run(r, 2 * MINUTE);
    expect_status(r, "m", "completed");
    struct asked a;
    asked_init(&a);
    runs_list(r->runs, &(struct runs_filter){.name = BYTES("side")}, &a.r);
    rig_until(r, a.dones, MINUTE);
    struct val *side = val_at(val_get_cstr(a.json, "flows"), 0);
    assert_string_equal(val_text(val_get_cstr(side, "status"), ""), "waiting");
    asked_fini(&a);
}

static void test_no_document(void **state)
{
    struct rig *r = *state;
    struct asked a;
    begin_flow(r,
               HEAD("none") "do:\n  - d: {run: {workflow: {namespace: test, name: nobody, "
                            "version: '1.0.0'}}}\n",
               "n", "{}", &a, true);
    rig_until(r, a.dones, MINUTE);
    assert_string_equal(status_of(&a), "faulted");
    asked_fini(&a);
    begin_flow(r, "do: nothing", "x", "{}", &a, true);
    rig_until(r, a.dones, MINUTE);
    assert_int_not_equal(a.status, 0);
    assert_true(*a.why);
    asked_fini(&a);
}

static void test_documents(void **state)
{
    struct rig *r = *state;
    struct asked a;
    add_document(r, "document: {dsl: '1.0.0', namespace: test, name: v, version: '1.9.0'}\n"
                    "do:\n  - s: {set: {v: 9}}\n");
    add_document(r, "document: {dsl: '1.0.0', namespace: test, name: v, version: '1.10.0'}\n"
                    "do:\n  - s: {set: {v: 10}}\n");
    add_document(r, "document: {dsl: '1.0.0', namespace: test, name: v, version: '1.10.0-rc1'}\n"
                    "do:\n  - s: {set: {v: 0}}\n");
    restart(r);
    for (int i = 0; i < 2; i++) {
        asked_init(&a);
        runs_start(r->runs,
                   &(struct runs_start){.namespace = BYTES("test"),
                                        .name = BYTES("v"),
                                        .version = i ? BYTES("1.9.0") : BYTES_NONE,
                                        .wait = true},
                   &a.r);
        rig_until(r, a.dones, MINUTE);
        assert_json(val_get_cstr(a.json, "output"), i ? "{\"v\":9}" : "{\"v\":10}");
        asked_fini(&a);
    }
    static const struct {
        struct bytes version;
        const char *says; // NULL: there is none
    } texts[] = {{BYTES_NONE, "{v: 10}"}, {BYTES("1.9.0"), "{v: 9}"}, {BYTES("2.0.0"), NULL}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        asked_init(&a);
        runs_document(r->runs, BYTES("test"), BYTES("v"), texts[i].version, &a.r);
        rig_until(r, a.dones, MINUTE);
        assert_int_equal(a.status, texts[i].says ? 0 : E_NOTFOUND);
        if (texts[i].says)
            assert_true(bytes_find(val_bytes(val_get_cstr(a.json, "document")),
                                   bytes_of(texts[i].says)) > 0);
        else
            assert_non_null(strstr(a.why, "test/v:2.0.0"));
        asked_fini(&a);
    }
    asked_init(&a);
    runs_unregister(r->runs, BYTES("test"), BYTES("v"), BYTES("1.10.0"), &a.r);
    rig_until(r, a.dones, MINUTE);
    assert_int_equal(a.status, 0);
    asked_fini(&a);
    asked_init(&a);
    runs_documents(r->runs, &a.r);
    rig_until(r, a.dones, MINUTE);
    assert_int_equal(val_len(val_get_cstr(a.json, "documents")), 2);
    asked_fini(&a);
}

// ---- what goes wrong ----------------------------------------------------------------------------

static void test_journal_stops(void **state)
{
    struct rig *r = *state;
    struct asked a, b;
    static const char doc[] = HEAD("stop") "do:\n" CALL("a", "1") "  - w: {wait: PT1M}\n";
    begin_flow(r, doc, "s", "{}", &b, true);
    rig_run(r, 100);
    journal_memory_stop(r->inner, E_NOSPACE);
    begin_flow(r, doc, "t", "{}", &a, false);
    rig_until(r, a.dones && b.dones, MINUTE);
    assert_int_equal(a.status, E_NOSPACE);
    assert_int_equal(b.status, E_UNAVAILABLE);
    assert_int_equal(r->stops, 1);
    asked_fini(&a);
    asked_fini(&b);
    rig_run(r, 5 * MINUTE);
    struct runs_stats s;
    runs_stats(r->runs, &s);
    assert_true(s.stopped);
    assert_int_equal(s.timers_fired, 0);
    begin_flow(r, doc, "u", "{}", &a, false);
    rig_until(r, a.dones, MINUTE);
    assert_int_equal(a.status, E_UNAVAILABLE);
    assert_non_null(strstr(a.why, "full"));
    asked_fini(&a);
}

static void test_another_owner(void **state)
{
    struct rig *r = *state;
    struct asked a;
    static const char doc[] = HEAD("own") "do:\n" CALL("a", "1") "  - w: {wait: PT1M}\n";
    r->stuck = true;
    begin_kept(r, doc, "o", "{}");
    rig_close(r);
    r->stuck = false;
    r->node = "n2";
    rig_start(r);
    rig_run(r, 100);
    ask_show(r, "o", &a); // may be seen, but nothing is done
    assert_string_equal(status_of(&a), "running");
    asked_fini(&a);
    assert_true(list_empty(&r->running));
    assert_int_equal(hand(r, "o", "cancel", "", &a), E_CONFLICT);
    asked_fini(&a);
    rig_run(r, 10 * MINUTE);
    assert_true(list_empty(&r->running));
    rig_close(r);
    r->node = "n1";
    rig_start(r);
    rig_run(r, 2 * MINUTE);
    expect_status(r, "o", "completed");
}

// A journal that has no room now and then, and is slow.
static void test_full(void **state)
{
    struct rig *r = *state;
    rig_close(r);
    r->faults = (struct journal_faults){.seed = 7, .full = 400, .delay_ms_max = 3};
    rig_start(r);
    static const char doc[] = HEAD("full") "do:\n" CALL("a", "1") CALL("b", "2") CALL("c", "3");
    struct asked all[50];
    for (int i = 0; i < 50; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "f%d", i);
        begin_flow(r, doc, id, "{}", &all[i], true);
    }
    rig_run(r, MINUTE);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(all[i].dones, 1);
        assert_string_equal(status_of(&all[i]), "completed");
        asked_fini(&all[i]);
    }
}

// A server that is away now and then: what was stepped ahead goes again, in its order.
static void test_away(void **state)
{
    struct rig *r = *state;
    static const char doc[] = HEAD("away") "do:\n" CALL(
        "a", "1") "  - l: {listen: {to: {all: [{with: {type: com.a}}, "
                  "{with: {type: com.b}}, {with: {type: com.c}}]}}}\n" CALL("c", "'${ . }'");
    struct asked all[30], signals[90];
    r->away = 300;
    for (int i = 0; i < 30; i++) {
        char id[16], text[200];
        (void)snprintf(id, sizeof id, "w%d", i);
        begin_flow(r, doc, id, "{}", &all[i], true);
        rig_run(r, 600);
        for (int n = 0; n < 3; n++) { // on each other's heels
            (void)snprintf(text, sizeof text,
                           "{\"specversion\":\"1.0\",\"id\":\"%d\",\"source\":\"/"
                           "t\",\"type\":\"com.%c\",\"data\":%d}",
                           n, 'a' + n, n);
            struct val *v = json(text);
            asked_init(&signals[i * 3 + n]);
            runs_signal(r->runs, bytes_of(id), v, &signals[i * 3 + n].r);
            val_unref(v);
        }
    }
    rig_run(r, MINUTE);
    for (int i = 0; i < 90; i++) {
        assert_int_equal(signals[i].dones, 1);
        assert_int_equal(signals[i].status, 0);
        asked_fini(&signals[i]);
    }
    for (int i = 0; i < 30; i++) {
        assert_int_equal(all[i].dones, 1);
        assert_json(val_get_cstr(all[i].json, "output"), "[0,1,2]");
        asked_fini(&all[i]);
    }
    r->away = 1000; // and when it stays away, it can be left
    begin_flow(r, doc, "x", "{}", &all[0], true);
    rig_run(r, 3000);
    assert_int_equal(all[0].dones, 0);
    rig_close(r);
    assert_int_equal(all[0].status, E_UNAVAILABLE);
    asked_fini(&all[0]);
    r->away = 0;
    rig_start(r);
}

static void test_limits(void **state)
{
    struct rig *r = *state;
    struct asked all[40];
    rig_close(r);
    r->activities_max = 3;
    r->act_ms = 10;
    rig_start(r);
    for (int i = 0; i < 40; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "a%d", i);
        begin_flow(r, HEAD("acts") "do:\n" CALL("a", "1") CALL("b", "2"), id, "{}", &all[i], true);
    }
    int64_t end = r->clock.now_ms + MINUTE;
    size_t most = 0;
    while (rig_round(r, end)) {
        struct runs_stats s;
        runs_stats(r->runs, &s);
        most = s.activities_running > most ? s.activities_running : most;
    }
    assert_int_equal(most, 3);
    for (int i = 0; i < 40; i++) {
        assert_string_equal(status_of(&all[i]), "completed");
        asked_fini(&all[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_hands, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wait, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reset, setup, teardown),
        cmocka_unit_test_setup_teardown(test_history, setup, teardown),
        cmocka_unit_test_setup_teardown(test_chapters, setup, teardown),
        cmocka_unit_test_setup_teardown(test_eval, setup, teardown),
        cmocka_unit_test_setup_teardown(test_listeners, setup, teardown),
        cmocka_unit_test_setup_teardown(test_deep, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancel_goes_down, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_awaited, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_document, setup, teardown),
        cmocka_unit_test_setup_teardown(test_documents, setup, teardown),
        cmocka_unit_test_setup_teardown(test_journal_stops, setup, teardown),
        cmocka_unit_test_setup_teardown(test_another_owner, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full, setup, teardown),
        cmocka_unit_test_setup_teardown(test_away, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
    };
    return cmocka_run_group_tests_name("runs_hand", tests, NULL, NULL);
}
