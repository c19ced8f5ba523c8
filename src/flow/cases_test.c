// cases_test.c: what a document's cases say, and how the end of a run is judged by them.
// SPDX-License-Identifier: Apache-2.0
#include "flow/flow.h"

#include "base/alloc.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define HEAD                                                                                       \
    "do: [{a: {set: {x: 1}}}]\n"                                                                   \
    "document:\n  dsl: 1.0.3\n  namespace: default\n  name: a\n  version: 1.0.0\n"

static struct val *vals(const char *text)
{
    struct val *v = NULL;
    struct err e = {0};
    if (val_parse(&v, bytes_of(text), &e))
        fail_msg("%s: %s", text, e.text);
    return v;
}

static void judged(void **state)
{
    static const struct {
        const char *one, *end, *why; // why NULL: it passed
    } rows[] = {
        {"{\"output\":{\"a\":1,\"b\":[2]}}",
         "{\"status\":\"completed\",\"output\":{\"b\":[2],\"a\":1}}", NULL},
        {"{\"output\":null}", "{\"status\":\"completed\",\"output\":null}", NULL},
        {"{\"output\":{\"a\":1}}", "{\"status\":\"completed\",\"output\":{\"a\":2}}",
         "expected {\"a\":1}, got {\"a\":2}"},
        {"{\"output\":null}", "{\"status\":\"completed\"}", "expected null, got nothing"},
        {"{\"output\":1}", "{\"status\":\"faulted\",\"error\":{\"status\":500}}",
         "it is faulted: {\"status\":500}"},
        {"{\"output\":1}", "{\"status\":\"terminated\",\"output\":1}", "it is terminated: nothing"},
        {"{\"error\":true}", "{\"status\":\"faulted\",\"error\":{\"status\":500}}", NULL},
        {"{\"error\":true}", "{\"status\":\"completed\",\"output\":7}",
         "it should have failed, and is completed: 7"},
        {"{\"error\":true}", "{\"status\":\"cancelled\"}",
         "it should have failed, and is cancelled: nothing"},
        {"{\"error\":{\"status\":418}}",
         "{\"status\":\"faulted\",\"error\":{\"status\":418,\"title\":\"tea\"}}", NULL},
        {"{\"error\":{\"status\":418,\"title\":\"tea\"}}",
         "{\"status\":\"faulted\",\"error\":{\"status\":418}}",
         "its error has another title: expected \"tea\", got nothing"},
        {"{\"error\":{\"status\":418}}", "{\"status\":\"faulted\",\"error\":{\"status\":500}}",
         "its error has another status: expected 418, got 500"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf why;
        AUTO(val) one = vals(rows[i].one);
        AUTO(val) end = vals(rows[i].end);
        buf_init(&why, 4096);
        flow_case_judge(one, end, &why);
        assert_string_equal(buf_cstr(&why), rows[i].why ? rows[i].why : "");
        buf_fini(&why);
    }
}

static void long_values(void **state)
{
    struct buf text, why;
    (void)state;
    buf_init(&text, 4096);
    buf_init(&why, 4096);
    (void)buf_fmt(&text, "{\"status\":\"completed\",\"output\":\"%0900d\"}", 1);
    AUTO(val) one = vals("{\"output\":\"\"}");
    AUTO(val) end = vals(buf_cstr(&text));
    flow_case_judge(one, end, &why);
    assert_in_range(why.n, 310, 400);
    assert_true(bytes_ends(buf_bytes(&why), BYTES("0...")));
    buf_fini(&text);
    buf_fini(&why);
}

// What the schema takes as cases, and what it says of the others.
static void documents(void **state)
{
    static const struct {
        const char *cases;
        size_t count;
        int64_t timeout_ms; // of the first
        const char *wrong;  // NULL: it is well
    } rows[] = {
        {"", 0, 0, NULL},
        {"  metadata: {plexus: {stall: false}}\n", 0, 0, NULL},
        {"  metadata: {plexus: {cases: [{name: a, output: 1}]}}\n", 1, 300000, NULL},
        {"  metadata: {plexus: {cases: [{name: a, input: {b: 1}, output: null, timeout: PT2S}, "
         "{name: b, error: true}]}}\n",
         2, 2000, NULL},
        {"  metadata: {plexus: {cases: [{name: a, error: {status: 418}, timeout: {seconds: "
         "3}}]}}\n",
         1, 3000, NULL},
        {"  metadata: {plexus: {cases: []}}\n", 0, 0, "at least 1 items"},
        {"  metadata: {plexus: {cases: [{output: 1}]}}\n", 0, 0, "name"},
        {"  metadata: {plexus: {cases: [{name: '', output: 1}]}}\n", 0, 0, "at least 1 char"},
        {"  metadata: {plexus: {cases: [{name: a}]}}\n", 0, 0, "error"},
        {"  metadata: {plexus: {cases: [{name: a, output: 1, error: true}]}}\n", 0, 0,
         "must not have this form"},
        {"  metadata: {plexus: {cases: [{name: a, error: false}]}}\n", 0, 0, "expected true"},
        {"  metadata: {plexus: {cases: [{name: a, error: {kind: x}}]}}\n", 0, 0, "kind"},
        {"  metadata: {plexus: {cases: [{name: a, otput: 1, error: true}]}}\n", 0, 0, "otput"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        AUTO(flow_plan) plan = NULL;
        struct err e = {0};
        struct buf text;
        buf_init(&text, 4096);
        (void)buf_fmt(&text, HEAD "%s", rows[i].cases);
        int rc = flow_plan_new(&plan, buf_bytes(&text), NULL, &e);
        buf_fini(&text);
        if (rows[i].wrong) {
            if (rc != E_SCHEMA || !strstr(e.text, rows[i].wrong))
                fail_msg("%s: %d %s", rows[i].cases, rc, e.text);
            continue;
        }
        if (rc)
            fail_msg("%s: %d %s", rows[i].cases, rc, e.text);
        const struct val *cases = flow_cases(plan);
        assert_int_equal(val_len(cases), rows[i].count);
        if (cases)
            assert_int_equal(flow_case_timeout_ms(val_at(cases, 0)), rows[i].timeout_ms);
    }
    assert_int_equal(mem_live(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(judged),
        cmocka_unit_test(long_values),
        cmocka_unit_test(documents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
