// prom_test.c: Prometheus text as a scraper reads it.
// SPDX-License-Identifier: Apache-2.0
#include "text/prom.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void page(void **state)
{
    struct prom_label two[] = {{"model", BYTES("tiny-chat")}, {"path", BYTES("a\"b\\c\nd")}};
    struct prom_label broken[] = {{"x", BYTES("\xff-\xc3\xa9")}},
                      fine[] = {{"x", BYTES("\xc3\xa9")}};
    struct buf b;
    (void)state;
    buf_init(&b, 4096);
    assert_int_equal(
        prom_head(&b, "plexus_requests_total", "counter", "Requests \"seen\"\\\nso far."), 0);
    assert_int_equal(prom_value(&b, "plexus_requests_total", NULL, NULL, 0, 3), 0);
    assert_int_equal(prom_value(&b, "t", "_bucket", two, 2, 0.25), 0);
    assert_int_equal(prom_value(&b, "t", "", broken, 1, 1), 0);
    assert_int_equal(prom_value(&b, "t", "_sum", fine, 1, 1), 0);
    assert_string_equal(buf_cstr(&b),
                        "# HELP plexus_requests_total Requests \"seen\"\\\\\\nso far.\n"
                        "# TYPE plexus_requests_total counter\n"
                        "plexus_requests_total 3\n"
                        "t_bucket{model=\"tiny-chat\",path=\"a\\\"b\\\\c\\nd\"} 0.25\n"
                        "t{x=\"?-??\"} 1\n"
                        "t_sum{x=\"\xc3\xa9\"} 1\n");
    buf_fini(&b);
}

static void numbers(void **state)
{
    static const struct {
        double value;
        const char *text;
    } rows[] = {
        {0, "x 0\n"},
        {-1, "x -1\n"},
        {0.1, "x 0.1\n"},
        {1e15, "x 1000000000000000\n"},
        {1e300, "x 1e+300\n"},
        {1.0 / 3, "x 0.3333333333333333\n"},
        {5e-324, "x 4.94065645841247e-324\n"},
        {INFINITY, "x +Inf\n"},
        {-INFINITY, "x -Inf\n"},
        {NAN, "x NaN\n"},
        {9007199254740991.0, "x 9007199254740991\n"},
        {0.30000000000000004, "x 0.30000000000000004\n"},
    };
    struct buf b;
    (void)state;
    buf_init(&b, 4096);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        buf_clear(&b);
        assert_int_equal(prom_value(&b, "x", NULL, NULL, 0, rows[i].value), 0);
        assert_string_equal(buf_cstr(&b), rows[i].text);
    }
    buf_fini(&b);
}

static void ceiling(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 8);
    assert_true(prom_head(&b, "name", "gauge", "help") < 0);
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(page),
        cmocka_unit_test(numbers),
        cmocka_unit_test(ceiling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
