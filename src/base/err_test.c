// err_test.c: the error table holds together; details are set, wrapped and cut; times as text.
// SPDX-License-Identifier: Apache-2.0
#include "base/err.h"
#include "base/time.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_table(void **state)
{
    (void)state;
    for (int code = E_BASE_ + 1; code < E_END_; code++) {
        const struct err_info *info = err_info(code);
        assert_int_equal(err_of_symbol(info->symbol), code);
        assert_true(code < 0 && *info->text && *info->type);
        assert_true(info->http >= 400 && info->http < 600);
        assert_in_range(info->exit, 64, 78); // sysexits.h
        assert_true((info->http >= 500) == (strcmp(info->type, "server_error") == 0) ||
                    info->http == 499 || info->http == 409 || info->http == 501 ||
                    info->http == 505);
    }
    assert_string_equal(err_info(E_NOTFOUND)->symbol, "E_NOTFOUND");
    assert_int_equal(err_info(E_RATE)->http, 429);
    assert_true(err_info(E_RATE)->retry && !err_info(E_INVALID)->retry);
    assert_string_equal(err_info(0)->symbol, "E_INTERNAL");
    assert_string_equal(err_info(E_END_)->symbol, "E_INTERNAL");
    assert_string_equal(err_info(E_BASE_)->symbol, "E_INTERNAL");
    assert_string_equal(err_info(-99999)->symbol, "E_INTERNAL");
    assert_int_equal(err_of_symbol("E_NOSUCH"), 0);
}

static void test_details(void **state)
{
    (void)state;
    struct err e = {0};
    assert_int_equal(err_set(&e, E_PARSE, "line %d", 7), E_PARSE);
    assert_string_equal(e.text, "line 7");
    assert_int_equal(err_wrap(&e, "file %s", "a"), E_PARSE);
    assert_string_equal(e.text, "file a: line 7");
    assert_int_equal(e.n, strlen(e.text));
    assert_int_equal(err_set(NULL, E_FULL, "x"), E_FULL);
    assert_int_equal(err_wrap(NULL, "x"), E_INTERNAL);
    char long_text[3000];
    memset(long_text, 'x', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = 0;
    assert_int_equal(err_set(&e, E_FULL, "%s", long_text), E_FULL);
    assert_int_equal(e.n, ERR_TEXT_MAX - 1);
    assert_int_equal(strlen(e.text), ERR_TEXT_MAX - 1);
    assert_int_equal(err_wrap(&e, "%s", long_text), E_FULL); // a long context is cut too
    assert_int_equal(e.n, strlen(e.text));
    assert_in_range(e.n, ERR_TEXT_MAX / 2, ERR_TEXT_MAX - 1);
}

static void test_errno(void **state)
{
    static const struct {
        int number, code;
    } cases[] = {
        {ENOMEM, E_NOMEM},
        {ENOSPC, E_NOSPACE},
        {EDQUOT, E_NOSPACE},
        {EACCES, E_PERM},
        {EPERM, E_PERM},
        {EROFS, E_PERM},
        {ENOENT, E_NOTFOUND},
        {ENOTDIR, E_NOTFOUND},
        {EEXIST, E_EXISTS},
        {EADDRINUSE, E_INUSE},
        {EMFILE, E_FULL},
        {ENFILE, E_FULL},
        {ECONNREFUSED, E_REFUSED},
        {ETIMEDOUT, E_TIMEOUT},
        {EPIPE, E_CLOSED},
        {ECONNRESET, E_CLOSED},
        {EIO, E_IO},
        {0, E_IO},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct err e = {0};
        assert_int_equal(err_errno(&e, cases[i].number, "open %s", "f"), cases[i].code);
        assert_int_equal(e.code, cases[i].code);
        assert_memory_equal(e.text, "open f: ", 8);
        assert_true(strlen(e.text) > 8);
        assert_int_equal(err_errno(NULL, cases[i].number, "x"), cases[i].code);
    }
}

static void test_time_text(void **state)
{
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {1, "1970-01-01T00:00:00.001Z"},
        {951782399999, "2000-02-28T23:59:59.999Z"},
        {951782400000, "2000-02-29T00:00:00.000Z"},
        {1769860800000, "2026-01-31T12:00:00.000Z"},
        {253402300799999, "9999-12-31T23:59:59.999Z"},
        {-1, "1969-12-31T23:59:59.999Z"},
        {-1000, "1969-12-31T23:59:59.000Z"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[TIME_TEXT_LEN + 1];
        time_text(cases[i].ms, text);
        assert_string_equal(text, cases[i].text);
    }
    uint64_t a = time_mono_ns(), b = time_mono_ns();
    assert_true(b >= a && time_mono_ms() >= (int64_t)(a / 1000000));
    assert_true(time_wall_ms() > 1700000000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_details),
        cmocka_unit_test(test_errno),
        cmocka_unit_test(test_time_text),
    };
    return cmocka_run_group_tests_name("err", tests, NULL, NULL);
}
