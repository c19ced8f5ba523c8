// cron_test.c: cron expressions: what they say, and the next time that fits, also against a walk
// through every minute.
// SPDX-License-Identifier: Apache-2.0
#include "base/rng.h"
#include "base/time.h"
#include "flow/flow.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
// after the above
#include <cmocka.h>

static int64_t at(const char *text) // "2026-01-31 12:00:00"
{
    struct tm tm = {0};
    assert_int_equal(sscanf(text, "%d-%d-%d %d:%d:%d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
                            &tm.tm_hour, &tm.tm_min, &tm.tm_sec),
                     6);
    tm.tm_year -= 1900;
    tm.tm_mon--;
    return (int64_t)timegm(&tm) * 1000;
}

static void test_next(void **state)
{
    (void)state;
    static const struct {
        const char *cron, *after, *next; // next NULL: never
    } rows[] = {
        {"* * * * *", "2026-01-31 12:00:00", "2026-01-31 12:01:00"},
        {"* * * * *", "2026-01-31 12:00:59", "2026-01-31 12:01:00"},
        {"* * * * * *", "2026-01-31 12:00:59", "2026-01-31 12:01:00"},
        {"*/15 * * * * *", "2026-01-31 12:00:01", "2026-01-31 12:00:15"},
        {"0 6 * * 1-5", "2026-01-30 06:00:00", "2026-02-02 06:00:00"}, // a Friday
        {"0 0 * * *", "2026-12-31 00:00:00", "2027-01-01 00:00:00"},
        {"30 4 1,15 * *", "2026-01-15 04:30:00", "2026-02-01 04:30:00"},
        {"0 0 29 2 *", "2026-01-01 00:00:00", "2028-02-29 00:00:00"},
        {"0 0 29 2 *", "2096-02-29 00:00:00", "2104-02-29 00:00:00"},
        {"0 0 31 * *", "2026-01-31 00:00:00", "2026-03-31 00:00:00"},
        {"0 0 13 * 5", "2026-02-07 00:00:00", "2026-02-13 00:00:00"}, // either day is enough
        {"0 0 13 * 5", "2026-02-13 00:00:00", "2026-02-20 00:00:00"},
        {"0 0 * * 0", "2026-01-31 00:00:00", "2026-02-01 00:00:00"},
        {"0 0 * * 7", "2026-01-31 00:00:00", "2026-02-01 00:00:00"},
        {"0 0 * * sun", "2026-01-31 00:00:00", "2026-02-01 00:00:00"},
        {"0 0 ? * FRI-SAT", "2026-01-31 00:00:00", "2026-02-06 00:00:00"},
        {"0 0 1 jan,jul ?", "2026-01-31 00:00:00", "2026-07-01 00:00:00"},
        {"5-59/20 8-10 * * *", "2026-01-31 08:25:00", "2026-01-31 08:45:00"},
        {"5/20 8 * * *", "2026-01-31 08:45:00", "2026-02-01 08:05:00"},
        {"0 0-23/6 * * *", "2026-01-31 18:00:01", "2026-02-01 00:00:00"},
        {"10 0 12 1 1 *", "2026-01-31 00:00:00", "2027-01-01 12:00:10"},
        {"0 0 30 2 *", "2026-01-31 00:00:00", NULL},
        {"0 0 31 4,6 *", "2026-01-31 00:00:00", NULL},
        {"@hourly", "2026-01-31 12:34:56", "2026-01-31 13:00:00"},
        {"@daily", "2026-01-31 12:34:56", "2026-02-01 00:00:00"},
        {"@midnight", "2026-01-31 12:34:56", "2026-02-01 00:00:00"},
        {"@weekly", "2026-01-31 12:34:56", "2026-02-01 00:00:00"},
        {"@monthly", "2026-01-31 12:34:56", "2026-02-01 00:00:00"},
        {"@yearly", "2026-01-31 12:34:56", "2027-01-01 00:00:00"},
        {"@Annually", "2026-01-31 12:34:56", "2027-01-01 00:00:00"},
        {"  0   0\t1  1  * ", "2026-01-31 12:34:56", "2027-01-01 00:00:00"},
        {"59 23 31 12 *", "1969-01-01 00:00:00", "1969-12-31 23:59:00"}, // before 1970
        {"0 0 1 1 *", "1969-12-31 23:59:59", "1970-01-01 00:00:00"},
        {"0 0 1 3 *", "2100-02-28 00:00:00", "2100-03-01 00:00:00"}, // no leap year
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct flow_cron c;
        struct err e = {0};
        if (flow_cron_parse(&c, bytes_of(rows[i].cron), &e))
            fail_msg("%s", e.text);
        int64_t next = flow_cron_next(&c, at(rows[i].after)),
                want = rows[i].next ? at(rows[i].next) : TIME_NEVER;
        if (next != want)
            fail_msg("%s after %s: %lld, not %lld", rows[i].cron, rows[i].after, (long long)next,
                     (long long)want);
        // A part of a second later the same time is next, unless it was just now.
        if (next != TIME_NEVER)
            assert_true(flow_cron_next(&c, next - 1) == next && flow_cron_next(&c, next) > next);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "",
        "*",
        "* * * *",
        "* * * * * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * 32 * *",
        "* * * 0 *",
        "* * * 13 *",
        "* * * * 8",
        "a * * * *",
        "1- * * * *",
        "5-1 * * * *",
        "*/0 * * * *",
        "*/x * * * *",
        "1,,2 * * * *",
        "1, * * * *",
        "* * L * *",
        "* * * * 5L",
        "* * 15W * *",
        "* * * * 5#2",
        "-1 * * * *",
        "? * * * *",
        "* ? * * *",
        "* * * feb- *",
        "* * * * mo",
        "@reboot",
        "@every 1h",
        "1/2/3 * * * *",
        "60 0 0 1 1 *",
        "* * * ? *",
        "001 * * * *",
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct flow_cron c;
        struct err e = {0};
        if (flow_cron_parse(&c, bytes_of(rows[i]), &e) != E_INVALID || !strstr(e.text, "cron"))
            fail_msg("\"%s\": %s", rows[i], e.text);
    }
}

static bool fits(const struct flow_cron *c, int64_t ms)
{
    time_t t = (time_t)(ms / 1000);
    struct tm tm;
    (void)gmtime_r(&t, &tm);
    bool day = c->days >> tm.tm_mday & 1, weekday = c->weekdays >> tm.tm_wday & 1;
    bool either = !c->any_day && !c->any_weekday;
    return c->seconds >> tm.tm_sec & 1 && c->minutes >> tm.tm_min & 1 &&
           c->hours >> tm.tm_hour & 1 && c->months >> (tm.tm_mon + 1) & 1 &&
           (either ? day || weekday : day && weekday);
}

static void add_field(char *text, size_t size, struct rng *r, unsigned low, unsigned high)
{
    size_t n = strlen(text);
    unsigned a = low + (unsigned)rng_below(r, high - low + 1),
             b = low + (unsigned)rng_below(r, high - low + 1);
    switch (rng_below(r, 5)) {
    case 0: snprintf(text + n, size - n, "%u ", a); break;
    case 1: snprintf(text + n, size - n, "%u-%u ", a < b ? a : b, a < b ? b : a); break;
    case 2: snprintf(text + n, size - n, "%u,%u ", a, b); break;
    case 3: snprintf(text + n, size - n, "*/%u ", 1 + (unsigned)rng_below(r, 7)); break;
    default: snprintf(text + n, size - n, "* "); break;
    }
}

static void test_against_walk(void **state)
{
    (void)state;
    struct rng r;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        char text[128] = "";
        struct flow_cron c;
        struct err e = {0};
        rng_init(&r, seed);
        add_field(text, sizeof text, &r, 0, 59);
        add_field(text, sizeof text, &r, 0, 23);
        add_field(text, sizeof text, &r, 1, 28);
        add_field(text, sizeof text, &r, 1, 12);
        add_field(text, sizeof text, &r, 0, 6);
        if (flow_cron_parse(&c, bytes_of(text), &e))
            fail_msg("%s", e.text);
        int64_t from = at("2026-01-01 00:00:00") + (int64_t)rng_below(&r, 700000) * 60000 +
                       (int64_t)rng_below(&r, 60000);
        int64_t next = flow_cron_next(&c, from), walk = from / 60000 * 60000 + 60000;
        int64_t end = from + (int64_t)60 * 86400000; // two months are walked
        while (walk < end && !fits(&c, walk))
            walk += 60000;
        if (walk < end ? next != walk : next < end)
            fail_msg("seed %llu, %s: %lld, the walk found %lld", (unsigned long long)seed, text,
                     (long long)next, (long long)walk);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_next),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_against_walk),
    };
    return cmocka_run_group_tests_name("cron", tests, NULL, NULL);
}
