// runs_queue_test.c: activities of queues over the bus: workers that die, nodes that die, answers
// that come twice, tasks that nobody wants any more, rates.
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runs/runs_rig.h"

#define DOC                                                                                        \
    "document: {dsl: '1.0.0', namespace: test, name: q, version: '1.0.0'}\n"                       \
    "do:\n"                                                                                        \
    "  - a:\n"                                                                                     \
    "      call: http\n"                                                                           \
    "      with: {method: post, endpoint: 'http://t.example/', body: '${ {n: .n} }'}\n"            \
    "      metadata: {plexus: {queue: heavy}}\n"                                                   \
    "  - b: {call: http, with: {method: post, endpoint: 'http://t.example/', body: '${ {n: (.n + " \
    "1)} }'}}\n"

static const char *const own[] = {"edge", NULL}, *const heavy[] = {"heavy", NULL};

static int act(struct rig *r, const struct act_args *a, struct val **output, struct val **problem)
{
    struct val *body = val_get_cstr(a->args, "body");
    (void)r;
    if (val_i64(val_get_cstr(body, "n"), 0) >= 0) {
        *output = val_ref(body);
        return 0;
    }
    *problem = runs_problem("communication", 500, "negative", "");
    return E_UPSTREAM;
}

static bool bus_closed;

static void on_status(void *user, enum bus_status status, const struct err *e)
{
    (void)user;
    (void)e;
    bus_closed |= status == BUS_CLOSED;
}

static int setup(void **state)
{
    static struct rig r;
    struct err e = {0};
    rig_init(&r);
    r.act = act;
    r.queues = own;
    bus_closed = false;
    struct bus_args b = {.timers = &r.clock.base,
                         .environment = "dev",
                         .source = "/test",
                         .on_status = on_status,
                         .data_bytes_max = 20000};
    if (bus_memory_open(&b, &r.bus, &e))
        fail_msg("%s", e.text);
    rig_start(&r);
    *state = &r;
    return 0;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    rig_close(r);
    r->runs = NULL;
    bus_close(r->bus);
    rig_until(r, bus_closed, MINUTE);
    rig_fini(r);
    return 0;
}

static struct runs_worker *worker_with(struct rig *r, double rate)
{
    struct runs_worker *w = NULL;
    struct err e = {0};
    struct runs_worker_args a = {.timers = &r->clock.base,
                                 .bus = r->bus,
                                 .acts = &r->remote,
                                 .environment = "dev",
                                 .node = "w",
                                 .queues = heavy,
                                 .rate_max = rate};
    if (runs_worker_new(&w, &a, &e))
        fail_msg("%s", e.text);
    return w;
}

static void worker_gone(struct rig *r, struct runs_worker *w)
{
    bool closed = false;
    runs_worker_close(w, rig_closed, &closed);
    rig_until(r, closed, MINUTE);
}

static void expect_output(struct asked *a, const char *output)
{
    assert_int_equal(a->dones, 1);
    assert_string_equal(status_of(a), "completed");
    assert_json(val_get_cstr(a->json, "output"), output);
    asked_fini(a);
}

static void test_worker(void **state)
{
    struct rig *r = *state;
    struct asked a, b;
    begin_flow(r, DOC, "q1", "{\"n\":1}", &a, true);
    rig_run(r, 5000);
    assert_int_equal(a.dones, 0); // nobody serves it yet
    struct runs_worker *w = worker_with(r, 0);
    rig_run(r, 5000);
    expect_output(&a, "{\"n\":2}");
    begin_flow(r, DOC, "q2", "{\"n\":-1}", &b, true);
    rig_run(r, 1000);
    assert_string_equal(status_of(&b), "faulted");
    asked_fini(&b);
    struct runs_worker_stats s;
    runs_worker_stats(w, &s);
    assert_int_equal(s.taken, 2);
    assert_int_equal(s.done, 1);
    assert_int_equal(s.failed, 1);
    worker_gone(r, w);
}

// It dies at work: after a while another one does it. One that lives says so and keeps it.
static void test_worker_dies(void **state)
{
    struct rig *r = *state;
    struct asked a;
    r->act_ms = 100000; // longer than a task may be without a sign of life
    struct runs_worker *w = worker_with(r, 0), *v;
    begin_flow(r, DOC, "d", "{\"n\":1}", &a, true);
    rig_run(r, 2000);
    assert_int_equal(rig_key(r, BYTES("d/1"))->begun, 1);
    list_each_safe (it, &r->running) // with its worker
        rig_act_free(container_of(it, struct rig_act, link));
    runs_worker_free(w);
    v = worker_with(r, 0);
    rig_run(r, 40000);
    assert_int_equal(rig_key(r, BYTES("d/1"))->begun, 2);
    struct runs_worker *third = worker_with(r, 0);
    rig_run(r, 55000);
    assert_int_equal(rig_key(r, BYTES("d/1"))->begun, 2);
    r->act_ms = 1;
    rig_run(r, 20000);
    expect_output(&a, "{\"n\":2}");
    worker_gone(r, v);
    worker_gone(r, third);
}

// The node dies while a worker works, or at any commit: the answer waits for it.
static void test_node_dies(void **state)
{
    struct rig *r = *state;
    struct runs_worker *w = worker_with(r, 0);
    for (unsigned at = 0; at < 5; at++) { // a flow has three commits
        struct asked a;
        char id[16];
        unsigned life = r->lives;
        (void)snprintf(id, sizeof id, "n%u", at);
        if (at < 3)
            r->crash_at = r->writes + 1 + at;
        else
            r->crash_call = r->writes + at - 1;
        begin_flow(r, DOC, id, "{\"n\":5}", &a, false);
        rig_run(r, 2 * MINUTE);
        asked_fini(&a);
        assert_int_equal(r->lives, life + 1);
        ask_show(r, id, &a);
        assert_string_equal(status_of(&a), "completed");
        asked_fini(&a);
    }
    worker_gone(r, w);
}

static void on_stored(struct bus_req *q, int status, const struct bus_msg *reply,
                      const struct err *e)
{
    (void)reply;
    (void)e;
    assert_int_equal(status, 0);
    *(unsigned *)q->user += 1;
}

// The first one counts; what is none is a dead letter.
static void test_answers_twice(void **state)
{
    struct rig *r = *state;
    struct asked a;
    struct bus_req q[3];
    unsigned stored = 0;
    static const char *const texts[] = {"{\"run\":\"t\",\"id\":1,\"output\":{\"n\":10}}",
                                        "{\"run\":\"t\",\"id\":1,\"output\":{\"n\":20}}",
                                        "nonsense"};
    begin_flow(r, DOC, "t", "{\"n\":1}", &a, true);
    rig_run(r, 1000);
    for (int i = 0; i < 3; i++) {
        struct bus_msg m = {.subject = BYTES("dev.organs.flow-done.n1"),
                            .data = bytes_of(texts[i])};
        q[i] = (struct bus_req){.timeout_ms = 1000, .done = on_stored, .user = &stored};
        assert_int_equal(bus_store(r->bus, &m, &q[i], NULL), 0);
    }
    rig_run(r, 1000);
    assert_int_equal(stored, 3);
    expect_output(&a, "{\"n\":11}");
    struct bus_stats s;
    bus_stats(r->bus, &s);
    assert_int_equal(s.dead, 1);
    struct runs_worker *w = worker_with(r, 0); // the task is still there: its answer is too late
    rig_key(r, BYTES("t/1"))->completed = false;
    rig_run(r, 1000);
    worker_gone(r, w);
    ask_show(r, "t", &a);
    assert_int_equal(val_i64(val_get_cstr(a.json, "entries"), 0), 6);
    asked_fini(&a);
}

static void test_unwanted(void **state)
{
    struct rig *r = *state;
    struct asked a, b;
    r->stuck = true;
    struct runs_worker *w = worker_with(r, 0);
    begin_flow(r, DOC, "u", "{\"n\":1}", &a, true);
    rig_run(r, 1000);
    assert_false(list_empty(&r->running));
    asked_init(&b);
    runs_hand(r->runs, &(struct runs_hand){.id = BYTES("u"), .action = BYTES("cancel")}, &b.r);
    rig_run(r, 1000);
    assert_string_equal(status_of(&a), "cancelled");
    assert_true(list_empty(&r->running));
    rig_run(r, 5 * MINUTE);
    assert_int_equal(rig_key(r, BYTES("u/1"))->begun, 1);
    asked_fini(&a);
    asked_fini(&b);
    worker_gone(r, w);
}

static void test_too_big(void **state)
{
    struct rig *r = *state;
    struct asked a;
    char *big = mem_alloc(40000);
    memset(big, 'x', 39999);
    memcpy(big, "{\"n\":\"", 6);
    memcpy(big + 39997, "\"}", 3);
    begin_flow(r, DOC, "b", big, &a, true);
    rig_run(r, 1000);
    assert_int_equal(a.dones, 1);
    assert_string_equal(status_of(&a), "faulted");
    asked_fini(&a);
    mem_free(big);
}

static void test_rate(void **state)
{
    struct rig *r = *state;
    struct asked all[20];
    struct runs_worker *w = worker_with(r, 2);
    for (int i = 0; i < 20; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "r%d", i);
        begin_flow(r, DOC, id, "{\"n\":1}", &all[i], true);
    }
    struct runs_worker_stats s;
    rig_run(r, 5000);
    runs_worker_stats(w, &s);
    assert_in_range(s.done, 9, 12);
    rig_run(r, 6000);
    for (int i = 0; i < 20; i++)
        expect_output(&all[i], "{\"n\":2}");
    worker_gone(r, w);
}

// A node serves its queues for others by itself.
static void test_two_nodes(void **state)
{
    struct rig *r = *state, two;
    struct asked a;
    rig_init(&two);
    two.clock = r->clock;
    struct runs_args args = r->runs->args;
    struct err e = {0};
    struct journal *j = NULL;
    struct runs *s = NULL;
    args.node = "n2";
    args.queues = heavy;
    args.acts = &r->remote;
    struct journal_args ja = {.timers = &r->clock.base, .owner = "n2", .disk = r->disk};
    assert_int_equal(journal_memory_open(&ja, &j, &e), 0);
    args.journal = j;
    assert_int_equal(runs_new(&s, &args, &e), 0);
    runs_set_bus(s, r->bus);
    rig_run(r, 100);
    begin_flow(r, DOC, "two", "{\"n\":1}", &a, true);
    rig_run(r, 1000);
    expect_output(&a, "{\"n\":2}");
    struct runs_stats st;
    runs_stats(s, &st);
    assert_int_equal(st.started, 0);
    bool closed = false;
    runs_close(s, rig_closed, &closed);
    rig_until(r, closed, MINUTE);
    runs_free(s);
    closed = false;
    journal_close(j, rig_closed, &closed);
    rig_until(r, closed, MINUTE);
    map_free(two.keys);
    journal_disk_free(two.disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_worker, setup, teardown),
        cmocka_unit_test_setup_teardown(test_worker_dies, setup, teardown),
        cmocka_unit_test_setup_teardown(test_node_dies, setup, teardown),
        cmocka_unit_test_setup_teardown(test_answers_twice, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unwanted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_big, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rate, setup, teardown),
        cmocka_unit_test_setup_teardown(test_two_nodes, setup, teardown),
    };
    return cmocka_run_group_tests_name("runs_queue", tests, NULL, NULL);
}
