// event_test.c: entries of a history as JSON and back.
// SPDX-License-Identifier: Apache-2.0
#include "flow/flow.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
// after the above
#include <cmocka.h>

static void test_there_and_back(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "{\"t\":\"started\",\"at\":1790000000000,\"data\":{\"input\":null,\"seed\":7}}",
        "{\"t\":\"done\",\"id\":12,\"at\":1790000000000,\"data\":{\"output\":[1,\"x\"]}}",
        "{\"t\":\"tick\",\"at\":0}",
        "{\"t\":\"act\",\"id\":1,\"at\":5,\"data\":{\"kind\":\"http\"}}",
        "{\"t\":\"end\",\"at\":5,\"data\":{\"status\":\"completed\"}}",
        "{\"t\":\"cancel\",\"id\":9007199254740993,\"at\":5}",
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct flow_event ev = {.id = 0};
        struct err e = {0};
        struct buf out;
        buf_init(&out, 4096);
        if (flow_event_parse(&ev, bytes_of(rows[i]), &e))
            fail_msg("%s: %s", rows[i], e.text);
        assert_int_equal(flow_event_put(&out, &ev), 0);
        assert_string_equal(buf_cstr(&out), rows[i]);
        flow_event_fini(&ev);
        assert_null(ev.data);
        buf_fini(&out);
    }
}

static void test_all_types(void **state)
{
    (void)state;
    for (int t = FLOW_STARTED; t <= FLOW_STALL; t++) {
        struct flow_event ev = {(enum flow_type)t, 3, 4, NULL}, back = {.id = 0};
        struct err e = {0};
        struct buf out;
        buf_init(&out, 256);
        assert_int_equal(flow_event_put(&out, &ev), 0);
        assert_int_equal(flow_event_parse(&back, buf_bytes(&out), &e), 0);
        assert_int_equal(back.type, t);
        assert_int_equal(flow_type_is_command((enum flow_type)t), t >= FLOW_ACT);
        buf_fini(&out);
    }
    assert_string_equal(flow_type_name(FLOW_EVALUATED), "evaluated");
    assert_string_equal(flow_status_name(FLOW_PENDING), "pending");
    assert_string_equal(flow_status_name(FLOW_STALLED), "stalled");
    assert_string_equal(flow_status_name(FLOW_TERMINATED), "terminated");
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int code;
        const char *words;
    } rows[] = {
        {"", E_PARSE, ""},
        {"{", E_PARSE, ""},
        {"[]", E_INVALID, "an object"},
        {"{}", E_INVALID, "has type"},
        {"{\"t\":\"dne\",\"id\":1}", E_INVALID, "\"dne\""},
        {"{\"t\":5}", E_INVALID, "has type"},
        {"{\"t\":\"done\"}", E_INVALID, "done: without \"id\""},
        {"{\"t\":\"done\",\"id\":0}", E_INVALID, "without \"id\""},
        {"{\"t\":\"done\",\"id\":-1}", E_INVALID, "not a whole number"},
        {"{\"t\":\"done\",\"id\":1.5}", E_INVALID, "not a whole number"},
        {"{\"t\":\"done\",\"id\":\"1\"}", E_INVALID, "not a whole number"},
        {"{\"t\":\"done\",\"id\":1,\"at\":\"x\"}", E_INVALID, "\"at\" is not a time"},
        {"{\"t\":\"done\",\"id\":1,\"at\":-1}", E_INVALID, "\"at\" is not a time"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct flow_event ev = {.id = 77};
        struct err e = {0};
        int rc = flow_event_parse(&ev, bytes_of(rows[i].text), &e);
        if (rc != rows[i].code || !strstr(e.text, rows[i].words) || ev.id != 77)
            fail_msg("%s: %d %s", rows[i].text, rc, e.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_all_types),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests_name("event", tests, NULL, NULL);
}
