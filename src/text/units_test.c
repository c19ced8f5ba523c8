// units_test.c: durations, sizes, nearest words.
// SPDX-License-Identifier: Apache-2.0
#include "base/time.h"
#include "text/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define BAD (-7)

static void durations(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } rows[] = {
        {"250ms", 250},
        {"90s", 90000},
        {"5m", 300000},
        {"1h30m", 5400000},
        {"2d", 172800000},
        {"never", TIME_NEVER},
        {"0", 0},
        {"0s", 0},
        {" 1h 30m ", 5400000},
        {"2.5 s", 2500},
        {"1d2h3m4s5ms", 93784005},
        {"0.1s", 100},
        {"1.5d", 129600000},
        {"0.0009s", 0},
        {"106751991167d", 106751991167 * 86400000},
        {"", BAD},
        {"5", BAD},
        {"5x", BAD},
        {"-5s", BAD},
        {"5m1h", BAD},
        {"1h1h", BAD},
        {"s", BAD},
        {"1.s", BAD},
        {".5s", BAD},
        {"5s,", BAD},
        {"Never", BAD},
        {"5 M", BAD},
        {"1h 30", BAD},
        {"106751991168d", BAD},
        {"99999999999999999999s", BAD},
        {"9223372036854775807ms", BAD},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        int64_t ms = BAD;
        struct err e = {0};
        int rc = units_duration(bytes_of(rows[i].text), &ms, &e);
        if (ms != rows[i].ms || rc != (rows[i].ms == BAD ? E_INVALID : 0) || e.code != rc)
            fail_msg("\"%s\": %lld (%d %s), expected %lld", rows[i].text, (long long)ms, rc, e.text,
                     (long long)rows[i].ms);
    }
}

static void sizes(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes;
        bool bad;
    } rows[] = {
        {"512", 512, 0},
        {"0", 0, 0},
        {"64KiB", 65536, 0},
        {"8 GiB", 8589934592, 0},
        {"1.5GB", 1500000000, 0},
        {"1K", 1024, 0},
        {"1Ki", 1024, 0},
        {"1KB", 1000, 0},
        {"2M", 2097152, 0},
        {"3G", 3221225472, 0},
        {"1T", 1099511627776, 0},
        {"1kib", 1024, 0},
        {"12 B", 12, 0},
        {"0.5MiB", 524288, 0},
        {"1.1KB", 1100, 0},
        {"16383PiB", 18445618173802708992u, 0},
        {"18446744073709551615", UINT64_MAX, 0},
        {"18446744073709551616", 0, 1},
        {"16384PiB", 0, 1},
        {"", 0, 1},
        {"KiB", 0, 1},
        {"-1", 0, 1},
        {"1 QB", 0, 1},
        {"1.GB", 0, 1},
        {"1GBx", 0, 1},
        {"1 G B", 0, 1},
        {"0x10", 0, 1},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint64_t v = 0;
        int rc = units_size(bytes_of(rows[i].text), &v, NULL);
        if (v != rows[i].bytes || rc != (rows[i].bad ? E_INVALID : 0))
            fail_msg("\"%s\": %llu (%d), expected %llu", rows[i].text, (unsigned long long)v, rc,
                     (unsigned long long)rows[i].bytes);
    }
}

static void puts_duration(void **state)
{
    static const struct {
        int64_t ms;
        const char *text;
    } rows[] = {
        {0, "0 ms"},
        {180, "180 ms"},
        {1000, "1 s"},
        {2500, "2.5 s"},
        {59999, "59.9 s"},
        {60000, "1m"},
        {61000, "1m 1s"},
        {5400000, "1h 30m"},
        {3600000, "1h"},
        {90000000, "1d 1h"},
        {TIME_NEVER, "never"},
        {-1500, "-1.5 s"},
        {INT64_MIN, "-106751991167d 7h"},
    };
    struct buf b;
    (void)state;
    buf_init(&b, 100);
    for (size_t i = 0; i < COUNT(rows); i++) {
        buf_clear(&b);
        units_put_duration(&b, rows[i].ms);
        assert_string_equal(buf_cstr(&b), rows[i].text);
    }
    buf_fini(&b);
}

static void puts_size(void **state)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } rows[] = {
        {0, "0 B"},
        {512, "512 B"},
        {1023, "1023 B"},
        {1024, "1 KiB"},
        {1536, "1.5 KiB"},
        {1503238553, "1.4 GiB"},
        {1048575, "1 MiB"},
        {1048576, "1 MiB"},
        {UINT64_MAX, "16 EiB"},
        {34359738368, "32 GiB"},
    };
    struct buf b;
    (void)state;
    buf_init(&b, 100);
    for (size_t i = 0; i < COUNT(rows); i++) {
        buf_clear(&b);
        units_put_size(&b, rows[i].bytes);
        assert_string_equal(buf_cstr(&b), rows[i].text);
    }
    buf_fini(&b);
}

static void nearest(void **state)
{
    static const char *const words[] = {"temperature", "top_p", "max_tokens",
                                        "stream",      "n",     "models"};
    static const struct {
        const char *word;
        int index;
    } rows[] = {
        {"tempreature", 0},
        {"temperature", 0},
        {"Temperature", 0},
        {"top-p", 1},
        {"maxtokens", 2},
        {"steram", 3},
        {"model", 5},
        {"n", 4},
        {"m", -1},
        {"", -1},
        {"banana", -1},
        {"temperaturetemperaturetemperaturetemperaturetemperaturetemperature", -1},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        int at = units_nearest(bytes_of(rows[i].word), words, COUNT(words));
        if (at != rows[i].index)
            fail_msg("\"%s\": %d, expected %d", rows[i].word, at, rows[i].index);
    }
    assert_int_equal(units_nearest(BYTES("x"), NULL, 0), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations), cmocka_unit_test(sizes),   cmocka_unit_test(puts_duration),
        cmocka_unit_test(puts_size), cmocka_unit_test(nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
