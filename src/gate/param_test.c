// param_test.c: JSON pointers as the fields that the OpenAI API names; memory that runs out.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "gate/param.h"
#include "gate/span.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_pointers(void **state)
{
    static const struct {
        const char *pointer, *field;
    } cases[] = {
        {"", ""},
        {"/model", "model"},
        {"/messages/0/role", "messages[0].role"},
        {"/messages/12", "messages[12]"},
        {"/0", "0"}, // an object's key that looks like a number
        {"/a/0/1/b", "a[0][1].b"},
        {"/logit_bias/a b", "logit_bias[\"a b\"]"},
        {"/a~1b/c~0d", "[\"a/b\"][\"c~d\"]"},
        {"/x/~2", "x[\"~2\"]"},
        {"/x/~", "x[\"~\"]"},
        {"/x/", "x[\"\"]"},
        {"/a\"b", "[\"a\\\"b\"]"},
        {"/stream_options/include-usage", "stream_options.include-usage"},
        {"/x/\xc3\xa9", "x[\"\xc3\xa9\"]"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buf out;
        buf_init(&out, 200);
        schema_param(&out, bytes_of(cases[i].pointer));
        assert_string_equal(buf_cstr(&out), cases[i].field);
        buf_fini(&out);
    }
}

static void test_faults(void **state)
{
    static const struct {
        struct schema_error fault;
        const char *field;
    } cases[] = {
        {{"/messages/0", "/items/required", "missing key \"role\""}, "messages[0].role"},
        {{"", "/required", "missing key \"model\""}, "model"},
        {{"", "/required", "missing key \"a b\""}, ""}, // none of ours
        {{"", "/required", "missing key \""}, ""},
        {{"/x", "/properties/x/type", "missing key \"y\""}, "x"},
        {{"/n", "/properties/n/maximum", "too large"}, "n"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buf out;
        buf_init(&out, 200);
        schema_param_of(&out, &cases[i].fault);
        assert_string_equal(buf_cstr(&out), cases[i].field);
        buf_fini(&out);
    }
}

// Memory runs out at each point in turn: the buffer says so, nothing is lost.
static void test_torture(void **state)
{
    (void)state;
    for (uint64_t at = 1;; at++) {
        struct buf out;
        struct err e = {0};
        buf_init(&out, 1000);
        mem_fail_after(at, 0);
        schema_param(&out, BYTES("/logit_bias/a b/c~1d/a long key that needs more than a few bytes"
                                 " of room, so that the buffer has to grow twice/x"));
        int status = out.failed;
        if (status == 0) {
            buf_fini(&out);
            status = span_rewrite(&out, BYTES("{\"model\":\"a\"}"), "model", "b", &e);
        }
        mem_fail_after(0, 0);
        buf_fini(&out);
        assert_int_equal(mem_live(), 0);
        if (status == 0)
            break;
        assert_int_equal(status, E_NOMEM);
        assert_true(at < 100);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pointers),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_torture),
    };
    return cmocka_run_group_tests_name("param", tests, NULL, NULL);
}
