// usage_test.c: token counts from answers and streams, however they are cut.
// SPDX-License-Identifier: Apache-2.0
#include "base/rng.h"
#include "text/usage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define LONG                                                                                       \
    "0123456789 \"un\" \"us\" 0123456789 0123456789 0123456789 "                                   \
    "\\\"usage\\\":{\"total_tokens\":9} "

static const struct {
    const char *text;
    int found; // 0 or 1
    uint64_t prompt, completion, total;
} rows[] = {
    {"", 0, 0, 0, 0},
    {"{\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2,\"total_tokens\":3}}", 1, 1, 2, 3},
    {"{ \"usage\" :\r\n\t{ \"prompt_tokens\" : 10 , \"total_tokens\" : 10 } }", 1, 10, 0, 10},
    {"{\"usage\":{\"input_tokens\":4,\"output_tokens\":5}}", 1, 4, 5, 9},
    {"data: {\"usage\":null}\n\ndata: {\"usage\":{\"prompt_tokens\":7}}\n\n", 1, 7, 0, 7},
    {"{\"usage\":{\"prompt_tokens\":1}}{\"usage\":{\"prompt_tokens\":2}}", 1, 2, 0, 2},
    {"{\"usage\":{\"prompt_tokens\":1}}{\"usage\":{}}", 1, 1, 0, 1},
    {"{\"usage\":{\"input_tokens\":8,\"output_tokens\":1}}{\"usage\":{\"output_tokens\":6}}", 1, 8,
     6, 14},
    {"{\"usage\":{\"prompt_tokens_details\":{\"prompt_tokens\":99},\"prompt_tokens\":5}}", 1, 5, 0,
     5},
    {"{\"usage\":{\"x\":[1,{\"prompt_tokens\":99}],\"y\":\"}\\\"}\",\"prompt_tokens\":5}}", 1, 5, 0,
     5},
    {"{\"usage\":{\"prompt_tokens\":\"5\"}}", 0, 0, 0, 0},
    {"{\"usage\":{\"prompt_tokens\":5.5}}", 0, 0, 0, 0},
    {"{\"usage\":{\"prompt_tokens\":-5}}", 0, 0, 0, 0},
    {"{\"usage\":{\"prompt_tokens\":null,\"completion_tokens\":3}}", 1, 0, 3, 3},
    {"{\"usage\":{\"prompt_tokens\":[5]}}", 0, 0, 0, 0},
    {"{\"usage\":{\"prompt_tokens\":18446744073709551615}}", 1, UINT64_MAX, 0, UINT64_MAX},
    {"{\"usage\":{\"prompt_tokens\":18446744073709551616}}", 0, 0, 0, 0},
    {"{\"usage\":{\"prompt_tokens_and_some_very_long_name\":5}}", 0, 0, 0, 0},
    {"{\"usage\":{\"prompt_tokens\":5", 0, 0, 0, 0},
    {"{\"usage\":[{\"prompt_tokens\":5}]}", 0, 0, 0, 0},
    {"{\"usages\":{\"prompt_tokens\":5}}", 0, 0, 0, 0},
    {"{\"usag\"usage\":{\"prompt_tokens\":5}}", 1, 5, 0, 5},
    {"{\"a\":\"usage\",\"usage\":{\"prompt_tokens\":5}}", 1, 5, 0, 5},
    {"{\"content\":\"\\\"usage\\\":{\\\"prompt_tokens\\\":5}\"}", 0, 0, 0, 0},
    {"{\"a\\\"usage\":{\"prompt_tokens\":5}}", 0, 0, 0, 0},
    {"{\"content\":\"" LONG "\",\"usage\":{\"prompt_tokens\":5}}", 1, 5, 0, 5},
    {"{\"content\":\"" LONG LONG LONG "\"}", 0, 0, 0, 0},
    {"{\"usage\":{\"completion_tokens\":1,\"prompt_tokens\":2,\"total_tokens\":3},\"u\":\"x\"}", 1,
     2, 1, 3},
};

static void check(size_t i, const struct usage_scan *u, const char *how)
{
    if (u->found != (bool)rows[i].found || u->prompt_tokens != rows[i].prompt ||
        u->completion_tokens != rows[i].completion || u->total_tokens != rows[i].total)
        fail_msg("row %zu (%s) %s: found %d, %llu %llu %llu", i, how, rows[i].text, u->found,
                 (unsigned long long)u->prompt_tokens, (unsigned long long)u->completion_tokens,
                 (unsigned long long)u->total_tokens);
}

static void answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct usage_scan u = {0};
        usage_scan_feed(&u, rows[i].text, strlen(rows[i].text));
        check(i, &u, "whole");
    }
}

static void any_split(void **state)
{
    struct rng r;
    (void)state;
    rng_init(&r, 11);
    for (size_t i = 0; i < COUNT(rows); i++) {
        size_t n = strlen(rows[i].text);
        for (size_t cut = 0; cut <= n; cut++) {
            struct usage_scan u = {0};
            usage_scan_feed(&u, rows[i].text, cut);
            usage_scan_feed(&u, rows[i].text + cut, n - cut);
            check(i, &u, "two feeds");
        }
        for (int round = 0; round < 200; round++) {
            struct usage_scan u = {0};
            for (size_t at = 0; at < n;) {
                size_t step = 1 + rng_below(&r, round % 2 ? 3 : 40);
                step = step < n - at ? step : n - at;
                usage_scan_feed(&u, rows[i].text + at, step);
                at += step;
            }
            check(i, &u, "many feeds");
        }
    }
}

static void every_offset(void **state)
{
    static const char name[] = "\"usage\":{\"total_tokens\":5}";
    char text[200];
    (void)state;
    for (size_t at = 0; at < 100; at++) {
        struct usage_scan u = {0};
        memset(text, 'u', sizeof text);
        memcpy(text + at, name, sizeof name - 1);
        usage_scan_feed(&u, text, at + sizeof name - 1);
        assert_int_equal(u.total_tokens, 5);
    }
}

static void deep(void **state)
{
    struct usage_scan u = {0};
    (void)state;
    usage_scan_feed(&u, "\"usage\":{\"x\":", 13);
    for (int i = 0; i < 1000; i++)
        usage_scan_feed(&u, "[", 1);
    usage_scan_feed(&u, " \"usage\":{\"total_tokens\":3}", 27);
    assert_true(u.found);
    assert_int_equal(u.total_tokens, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers),
        cmocka_unit_test(any_split),
        cmocka_unit_test(every_offset),
        cmocka_unit_test(deep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
