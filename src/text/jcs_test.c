// jcs_test.c: RFC 8785: numbers of its appendix B, strings, the order of members.
// SPDX-License-Identifier: Apache-2.0
#include "text/json.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static int canonical(const char *text, struct buf *out, struct err *e)
{
    struct json_doc *doc = NULL;
    assert_int_equal(json_parse(&doc, bytes_of(text), 0, e), 0);
    int rc = json_canonical(out, json_root(doc), e);
    json_free(doc);
    return rc;
}

static void test_forms(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"0", "0"},
        {"-0.0", "0"},
        {"5e-324", "5e-324"},
        {"-5e-324", "-5e-324"},
        {"1.7976931348623157e308", "1.7976931348623157e+308"},
        {"9007199254740992", "9007199254740992"},
        {"-9007199254740992", "-9007199254740992"},
        {"295147905179352830000", "295147905179352830000"},
        {"9.999999999999997e22", "9.999999999999997e+22"},
        {"1e23", "1e+23"},
        {"1.0000000000000001e23", "1.0000000000000001e+23"},
        {"999999999999999700000", "999999999999999700000"},
        {"999999999999999900000", "999999999999999900000"},
        {"1e21", "1e+21"},
        {"1e20", "100000000000000000000"},
        {"9.999999999999997e-7", "9.999999999999997e-7"},
        {"0.000001", "0.000001"},
        {"0.00000123", "0.00000123"},
        {"1e-7", "1e-7"},
        {"333333333.3333332", "333333333.3333332"},
        {"333333333.33333325", "333333333.33333325"},
        {"-0.0000033333333333333333", "-0.0000033333333333333333"},
        {"1424953923781206.25", "1424953923781206.2"},
        {"5.684341886080802e-14", "5.684341886080802e-14"}, // 2^-44: uneven neighbours
        {"4.50", "4.5"},
        {"2e-3", "0.002"},
        {"100.0", "100"},
        {"12345678901234567890", "12345678901234567000"},
        {"[true,false,null,{}]", "[true,false,null,{}]"},
        {"\"\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\\"\\/\"",
         "\"\xe2\x82\xac$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\""},
        {"\"\\b\\f\\t\\r\\u007f\"", "\"\\b\\f\\t\\r\x7f\""},
        {"{\"b\":1,\"a\":{\"z\":[],\"y\":0},\"ab\":2,\"\":3}",
         "{\"\":3,\"a\":{\"y\":0,\"z\":[]},\"ab\":2,\"b\":1}"},
        // U+10000 (a surrogate pair) before U+E000 and U+FFFD, after U+D7FF.
        {"{\"\\ufffd\":1,\"\\ud800\\udc00\":2,\"\\ue000\":3,\"\\ud7ff\":4}",
         "{\"\xed\x9f\xbf\":4,\"\xf0\x90\x80\x80\":2,\"\xee\x80\x80\":3,\"\xef\xbf\xbd\":1}"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf out;
        struct err e = {0};
        buf_init(&out, 4096);
        assert_int_equal(canonical(rows[i].in, &out, &e), 0);
        assert_string_equal(buf_cstr(&out), rows[i].out);
        buf_fini(&out);
    }
}

static void test_refused(void **state)
{
    (void)state;
    struct buf out;
    struct err e = {0};
    buf_init(&out, 4096);
    assert_int_equal(canonical("[1e400]", &out, &e), E_INVALID);
    assert_int_equal(canonical("{\"a\":1,\"a\":2}", &out, &e), E_INVALID);
    assert_non_null(strstr(e.text, "duplicate key \"a\""));
    buf_fini(&out);
    buf_init(&out, 4);
    assert_int_equal(canonical("[1,2,3,4]", &out, &e), E_TOOBIG);
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests_name("jcs", tests, NULL, NULL);
}
