// runs_test.c: flows carried out: order of effects, restarts at every commit, timers, children,
// signals, hands, documents and schedules, all in virtual time.
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runs/runs_rig.h"

#define HEAD(name) "document: {dsl: '1.0.0', namespace: test, name: " name ", version: '1.0.0'}\n"
#define POST(task, body)                                                                           \
    "  - " task ":\n"                                                                              \
    "      call: http\n"                                                                           \
    "      with: {method: post, endpoint: 'http://t.example/x', body: " body "}\n"

// What an activity gives: its body; "fail" fails until the attempt of that number.
static int act(struct rig *r, const struct act_args *a, struct val **output, struct val **problem)
{
    struct val *body = val_get_cstr(a->args, "body");
    int64_t good = val_i64(val_get_cstr(body, "good"), 0);
    (void)r;
    if (a->attempt >= good) {
        *output = val_ref(body);
        return 0;
    }
    *problem = runs_problem("communication", 503, "not yet", "");
    return E_UNAVAILABLE;
}

static int setup(void **state)
{
    static struct rig r;
    rig_init(&r);
    r.act = act;
    *state = &r;
    return 0;
}

static int teardown(void **state)
{
    rig_fini(*state);
    return 0;
}

// ---- the corpus: each flow with what it must give -----------------------------------------------

static const char child_doc[] =
    HEAD("child") "do:\n" POST("one", "'${ {c: .n} }'") POST("two", "'${ {c: (.c + 1)} }'");

static const struct {
    const char *name, *doc, *input, *status, *output;
    const char *signals[3]; // sent when it waits for one
} corpus[] = {
    {"calls",
     HEAD("calls") "do:\n" POST("a", "'${ {n: (.n + 1)} }'") POST("b", "'${ {n: (.n * 2)} }'")
         POST("c", "'${ {n: (.n + 3)} }'"),
     "{\"n\":1}",
     "completed",
     "{\"n\":7}",
     {NULL}},
    {"fork",
     HEAD("fork") "do:\n"
                  "  - all:\n"
                  "      fork:\n"
                  "        branches:\n"
                  "          - x: {call: http, with: {method: post, endpoint: 'http://t.example/', "
                  "body: 1}}\n"
                  "          - y:\n"
                  "              do:\n"
                  "                - y1: {call: http, with: {method: post, endpoint: "
                  "'http://t.example/', body: 2}}\n"
                  "                - y2: {wait: {seconds: 5}}\n"
                  "          - z: {wait: {milliseconds: 10}}\n",
     "{}",
     "completed",
     "[1,2,{}]",
     {NULL}},
    {"retry",
     HEAD(
         "retry") "do:\n"
                  "  - t:\n"
                  "      try:\n"
                  "        - a: {call: http, with: {method: post, endpoint: 'http://t.example/', "
                  "body: {good: 3}}}\n"
                  "      catch:\n"
                  "        errors: {with: {status: 503}}\n"
                  "        retry: {delay: {seconds: 30}, backoff: {constant: {}}, limit: {attempt: "
                  "{count: 5}}}\n",
     "{}",
     "completed",
     "{\"good\":3}",
     {NULL}},
    {"faults",
     HEAD("faults") "do:\n" POST(
         "a", "{good: 1}") "  - b: {raise: {error: {type: "
                           "'https://example.com/bad', status: 418, title: 'bad'}}}\n",
     "{}",
     "faulted",
     NULL,
     {NULL}},
    {"sleeps",
     HEAD("sleeps") "do:\n  - w: {wait: {hours: 30}}\n" POST("a", "'${ {n: .n} }'"),
     "{\"n\":5}",
     "completed",
     "{\"n\":5}",
     {NULL}},
    {"listens",
     HEAD("listens") "do:\n"
                     "  - l:\n"
                     "      listen: {to: {all: [{with: {type: com.example.a}}, {with: {type: "
                     "com.example.b}}]}}\n" POST("a", "'${ {sum: (.[0].n + .[1].n)} }'"),
     "{}",
     "completed",
     "{\"sum\":30}",
     {"{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/t\",\"type\":\"com.example.a\","
      "\"data\":{\"n\":10}}",
      "{\"specversion\":\"1.0\",\"id\":\"2\",\"source\":\"/t\",\"type\":\"com.example.b\","
      "\"data\":{\"n\":20}}"}},
    {"parents",
     HEAD("parents") "do:\n"
                     "  - c: {run: {workflow: {namespace: test, name: child, version: '1.0.0', "
                     "input: {n: 4}}}}\n" POST("a", "'${ {c: (.c * 10)} }'"),
     "{}",
     "completed",
     "{\"c\":50}",
     {NULL}},
    {"loops",
     HEAD("loops") "do:\n"
                   "  - l:\n"
                   "      for: {each: i, in: '.list'}\n"
                   "      do:\n"
                   "        - a: {call: http, with: {method: post, endpoint: 'http://t.example/', "
                   "body: '${ {list: .list, sum: ((.sum // 0) + $i)} }'}}\n",
     "{\"list\":[1,2,3,4,5,6]}",
     "completed",
     "{\"list\":[1,2,3,4,5,6],\"sum\":21}",
     {NULL}},
    {"late",
     HEAD(
         "late") "do:\n"
                 "  - t:\n"
                 "      try:\n"
                 "        - c:\n"
                 "            run: {workflow: {namespace: test, name: sleeper, version: '1.0.0'}}\n"
                 "            timeout: {after: {seconds: 10}}\n"
                 "      catch:\n"
                 "        errors: {with: {status: 408}}\n"
                 "        do:\n"
                 "          - s: {set: {late: true}}\n" POST("a", "'${ . }'"),
     "{}",
     "completed",
     "{\"late\":true}",
     {NULL}},
};
#define CORPUS (sizeof corpus / sizeof *corpus)

static const char sleeper_doc[] = HEAD("sleeper") "do:\n  - w: {wait: {days: 2}}\n";

static void documents(struct rig *r)
{
    add_document(r, child_doc);
    add_document(r, sleeper_doc);
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
    for (size_t i = 0; i < CORPUS; i++)
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
    r.act = act;
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
    r.act = act;
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
    for (size_t i = 0; i < CORPUS; i++) {
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
