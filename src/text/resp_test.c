// resp_test.c: what Redis answers, whole and in pieces; what is no RESP.
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "text/resp.h"

#include <string.h>

enum { WHOLE = 1 }; // all of the text

static const struct {
    const char *text;
    int code; // WHOLE, 0: more is needed, E_*
    const char *said;
} cases[] = {
    {"+OK\r\n", WHOLE, "+OK"},
    {"-ERR unknown\r\n", WHOLE, "-ERR unknown"},
    {":-42\r\n", WHOLE, ":-42"},
    {"$5\r\nhello\r\n", WHOLE, "$hello"},
    {"$0\r\n\r\n", WHOLE, "$"},
    {"$2\r\n\r\n\r\n", WHOLE, "$\r\n"},
    {"$-1\r\n", WHOLE, "_"},
    {"*-1\r\n", WHOLE, "_"},
    {"*0\r\n", WHOLE, "*0(1)"},
    {"*2\r\n$1\r\na\r\n*2\r\n:1\r\n*1\r\n+x\r\n", WHOLE, "*2(6)$a*2(4):1*1(2)+x"},
    {"*3\r\n*1\r\n:1\r\n*0\r\n:2\r\n", WHOLE, "*3(5)*1(2):1*0(1):2"},
    {"", 0, NULL},
    {"*2\r\n:1\r\n", 0, NULL},
    {"$5\r\nhell", 0, NULL},
    {"$5\r\nhello\r", 0, NULL},
    {"HTTP/1.1 400\r\n", E_PARSE, NULL},
    {"+OK\n", E_PARSE, NULL},
    {":x\r\n", E_PARSE, NULL},
    {"$-2\r\n", E_PARSE, NULL},
    {"$5\r\nhelloXX", E_PARSE, NULL},
    {"$101\r\n", E_TOOBIG, NULL},
    {"*99999999999\r\n", E_TOOBIG, NULL},
    {"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n", E_TOOBIG, NULL},
    {"*9\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n", E_TOOBIG, NULL},
};

static void summary(struct buf *b, const struct resp *row, size_t n)
{
    for (size_t i = 0; i < n; i++)
        switch (row[i].kind) {
        case RESP_NULL: (void)buf_chr(b, '_'); break;
        case RESP_TEXT: (void)buf_fmt(b, "+%.*s", BYTES_FMT(row[i].text)); break;
        case RESP_ERROR: (void)buf_fmt(b, "-%.*s", BYTES_FMT(row[i].text)); break;
        case RESP_INT: (void)buf_fmt(b, ":%lld", (long long)row[i].number); break;
        case RESP_BULK: (void)buf_fmt(b, "$%.*s", BYTES_FMT(row[i].text)); break;
        case RESP_ARRAY: (void)buf_fmt(b, "*%u(%u)", row[i].count, row[i].span); break;
        }
}

static void test_parse(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct resp row[9];
        struct err e = {0};
        size_t n = 0;
        struct bytes in = bytes_of(cases[i].text);
        int64_t used = resp_parse(in, 100, row, 9, &n, &e);
        int64_t want = cases[i].code == WHOLE ? (int64_t)in.n : cases[i].code;
        if (used != want)
            fail_msg("%s: %lld, not %lld: %s", cases[i].text, (long long)used, (long long)want,
                     e.text);
        if (used <= 0)
            continue;
        struct buf b;
        buf_init(&b, 1000);
        summary(&b, row, n);
        assert_string_equal(buf_cstr(&b), cases[i].said);
        buf_fini(&b);
        for (size_t k = 0; k < in.n; k++)
            assert_int_equal(resp_parse(bytes_first(in, k), 100, row, 9, &n, NULL), 0);
    }
}

static void test_readers(void **state)
{
    (void)state;
    struct resp row[16];
    size_t n;
    assert_true(resp_parse(BYTES("*3\r\n*2\r\n:1\r\n:2\r\n$2\r\n17\r\n$-1\r\n"), 100, row, 16, &n,
                           NULL) > 0);
    assert_int_equal(resp_int(resp_at(resp_at(row, 0), 1), 0), 2);
    assert_int_equal(resp_int(resp_at(row, 1), 0), 17);
    assert_true(bytes_is(resp_text(resp_at(row, 1)), "17"));
    assert_int_equal(resp_at(row, 2)->kind, RESP_NULL);
    assert_null(resp_at(row, 3));
    assert_null(resp_at(resp_at(row, 1), 0));
    assert_null(resp_at(NULL, 0));
    assert_int_equal(resp_int(NULL, 5), 5);
    struct buf b;
    buf_init(&b, 1000);
    (void)resp_put_head(&b, 3);
    (void)resp_put_str(&b, "SET");
    (void)resp_put(&b, BYTES("a\r\nb"));
    (void)resp_put_i64(&b, -5);
    assert_string_equal(buf_cstr(&b), "*3\r\n$3\r\nSET\r\n$4\r\na\r\nb\r\n$2\r\n-5\r\n");
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_readers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
