// duration_test.c: durations as ISO 8601 texts and as objects.
// SPDX-License-Identifier: Apache-2.0
#include "flow/flow.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
// after the above
#include <cmocka.h>

static void test_durations(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        int64_t ms; // -1: refused
        const char *words;
    } rows[] = {
        {"\"PT1S\"", 1000, NULL},
        {"\"PT0S\"", 0, NULL},
        {"\"P1D\"", 86400000, NULL},
        {"\"P1W\"", 604800000, NULL},
        {"\"P1W2D\"", 777600000, NULL},
        {"\"P1DT2H30M\"", 95400000, NULL},
        {"\"PT1H30M\"", 5400000, NULL},
        {"\"PT0.5S\"", 500, NULL},
        {"\"PT0,25S\"", 250, NULL},
        {"\"PT1.5H\"", 5400000, NULL},
        {"\"PT0.0005S\"", 1, NULL},
        {"\"PT0.0004S\"", 0, NULL},
        {"\"PT1M\"", 60000, NULL},
        {"\" PT1M \"", 60000, NULL},
        {"\"PT90061S\"", 90061000, NULL},
        {"\"P365000D\"", 31536000000000, NULL},
        {"\"P366001D\"", -1, "a thousand years"},
        {"\"P1Y\"", -1, "years and months"},
        {"\"P1M\"", -1, "years and months"},
        {"\"P1M2D\"", -1, "years and months"},
        {"\"P\"", -1, "ISO 8601"},
        {"\"PT\"", -1, "ISO 8601"},
        {"\"P1\"", -1, "ISO 8601"},
        {"\"P1H\"", -1, "ISO 8601"},
        {"\"P1S\"", -1, "ISO 8601"},
        {"\"PT1D\"", -1, "ISO 8601"},
        {"\"PT1M1H\"", -1, "ISO 8601"},
        {"\"PT1S1S\"", -1, "ISO 8601"},
        {"\"PT1HT1M\"", -1, "ISO 8601"},
        {"\"P1DT\"", -1, "ISO 8601"},
        {"\"PT1.S\"", -1, "ISO 8601"},
        {"\"PT-1S\"", -1, "ISO 8601"},
        {"\"-PT1S\"", -1, "ISO 8601"},
        {"\"PT1Sx\"", -1, "ISO 8601"},
        {"\"PT1\\u0000S\"", -1, "ISO 8601"},
        {"\"PT9999999999999999S\"", -1, "ISO 8601"},
        {"\"\"", -1, "ISO 8601"},
        {"\"5s\"", -1, "ISO 8601"},
        {"{\"seconds\":5}", 5000, NULL},
        {"{\"days\":1,\"hours\":2,\"minutes\":3,\"seconds\":4,\"milliseconds\":5}", 93784005, NULL},
        {"{\"seconds\":0}", 0, NULL},
        {"{\"seconds\":5.0}", 5000, NULL},
        {"{\"minutes\":1,\"seconds\":-30}", 30000, NULL},
        {"{\"seconds\":-1}", -1, "between 0"},
        {"{\"seconds\":1.5}", -1, "whole number"},
        {"{\"seconds\":\"1\"}", -1, "whole number"},
        {"{\"days\":366001}", -1, "a thousand years"},
        {"{\"days\":9223372036854775807}", -1, "a thousand years"},
        {"{}", -1, "has days"},
        {"{\"second\":1}", -1, "no \"second\""},
        {"5", -1, "text or an object"},
        {"null", -1, "text or an object"},
        {"[]", -1, "text or an object"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct val *v = NULL;
        struct err e = {0};
        int64_t ms = -5;
        assert_int_equal(val_parse(&v, bytes_of(rows[i].json), &e), 0);
        int rc = flow_duration(v, &ms, &e);
        val_unref(v);
        if (rows[i].ms >= 0 && (rc || ms != rows[i].ms))
            fail_msg("%s: %d, %lld ms (%s)", rows[i].json, rc, (long long)ms, e.text);
        if (rows[i].ms < 0 && (rc != E_INVALID || ms != -5 || !strstr(e.text, rows[i].words)))
            fail_msg("%s: %d, \"%s\"", rows[i].json, rc, e.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_durations),
    };
    return cmocka_run_group_tests_name("duration", tests, NULL, NULL);
}
