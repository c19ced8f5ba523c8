// buf_test.c: the growing buffer: ceilings, failures that stick, JSON strings.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/rng.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void test_ceiling(void **state)
{
    (void)state;
    struct buf all; // without a ceiling
    buf_init(&all, SIZE_MAX);
    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(buf_add(&all, "xyz", 3), 0);
    assert_true(all.n == 3000 && all.cap > 3000);
    buf_fini(&all);
    for (size_t max = 0; max < 200; max++) {
        struct buf b;
        buf_init(&b, max);
        for (size_t i = 0; i < max; i++)
            assert_int_equal(buf_chr(&b, (char)('a' + i % 26)), 0);
        assert_int_equal(buf_chr(&b, '!'), E_TOOBIG);
        assert_int_equal(b.n, max);
        assert_true(b.cap <= max + 1);
        assert_int_equal(buf_add(&b, "", 0), E_TOOBIG); // it sticks
        assert_int_equal(strlen(buf_cstr(&b)), max);
        buf_clear(&b);
        assert_int_equal(buf_add(&b, "", 0), 0);
        assert_int_equal(buf_add(&b, "xyz", 3), max < 3 ? E_TOOBIG : 0);
        buf_fini(&b);
        assert_int_equal(b.max, max);
    }
    struct buf b;
    buf_init(&b, 10);
    assert_null(buf_room(&b, SIZE_MAX)); // no sum overflows
    assert_int_equal(b.failed, E_TOOBIG);
    buf_fini(&b);
}

static void test_sticky(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 8);
    assert_int_equal(buf_str(&b, "12345"), 0);
    assert_int_equal(buf_str(&b, "6789"), E_TOOBIG);
    assert_int_equal(buf_chr(&b, 'x'), E_TOOBIG); // would fit, but the text has a hole by now
    assert_int_equal(buf_fmt(&b, "%d", 1), E_TOOBIG);
    assert_int_equal(buf_u64(&b, 1), E_TOOBIG);
    assert_int_equal(buf_json_str(&b, BYTES("a")), E_TOOBIG);
    assert_null(buf_room(&b, 1));
    assert_string_equal(buf_cstr(&b), "12345");
    buf_fini(&b);
    buf_init(&b, 1000);
    mem_fail_after(1, 0);
    assert_int_equal(buf_str(&b, "a"), E_NOMEM);
    assert_int_equal(buf_str(&b, "a"), E_NOMEM);
    assert_string_equal(buf_cstr(&b), "");
    buf_clear(&b);
    assert_int_equal(buf_str(&b, "a"), 0);
    mem_fail_after(1, 1); // growing fails: what was there stays
    assert_int_equal(buf_fmt(&b, "%300d", 5), E_NOMEM);
    mem_fail_after(0, 0);
    assert_string_equal(buf_cstr(&b), "a");
    buf_fini(&b);
}

static void test_numbers_and_formats(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 10000);
    (void)buf_u64(&b, 0);
    (void)buf_chr(&b, ' ');
    (void)buf_u64(&b, UINT64_MAX);
    (void)buf_chr(&b, ' ');
    (void)buf_i64(&b, INT64_MIN);
    (void)buf_chr(&b, ' ');
    (void)buf_i64(&b, INT64_MAX);
    (void)buf_chr(&b, ' ');
    assert_int_equal(buf_i64(&b, -1), 0);
    assert_string_equal(buf_cstr(&b), "0 18446744073709551615 -9223372036854775808 "
                                      "9223372036854775807 -1");
    for (int n = 250; n < 262; n++) { // around the small buffer of formats
        buf_clear(&b);
        assert_int_equal(buf_fmt(&b, "%*d", n, 7), 0);
        assert_int_equal(b.n, n);
        assert_int_equal(b.p[n - 1], '7');
    }
    buf_fini(&b);
    buf_init(&b, 300);
    assert_int_equal(buf_fmt(&b, "%*d", 300, 7), 0);
    buf_clear(&b);
    assert_int_equal(buf_fmt(&b, "%*d", 301, 7), E_TOOBIG);
    buf_fini(&b);
}

static void test_json_strings(void **state)
{
    static const struct {
        struct bytes in;
        const char *out;
    } cases[] = {
        {{"", 0}, "\"\""},
        {{NULL, 0}, "\"\""},
        {{"plain", 5}, "\"plain\""},
        {{"a\"b\\c", 5}, "\"a\\\"b\\\\c\""},
        {{"\n\r\t\b\f", 5}, "\"\\n\\r\\t\\b\\f\""},
        {{"\0\x01\x1f\x7f", 4}, "\"\\u0000\\u0001\\u001f\x7f\""},
        {{"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", 11},
         "\"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\""},
        {{"\xff", 1}, "\"\xef\xbf\xbd\""},
        {{"a\xc3", 2}, "\"a\xef\xbf\xbd\""},
        {{"\xed\xa0\x80z", 4}, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz\""}, // a surrogate
        {{"\xf0\x9f\x98", 3}, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
        {{"\x80ok", 3}, "\"\xef\xbf\xbdok\""},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct buf b;
        buf_init(&b, 100);
        assert_int_equal(buf_json_str(&b, cases[i].in), 0);
        assert_string_equal(buf_cstr(&b), cases[i].out);
        buf_fini(&b);
    }
}

// Any bytes become valid UTF-8 between two quotes with nothing in it that must be escaped.
static void test_json_strings_of_any_bytes(void **state)
{
    (void)state;
    struct rng rng;
    rng_init(&rng, 11);
    for (int round = 0; round < 5000; round++) {
        char in[40];
        size_t n = rng_below(&rng, sizeof(in));
        for (size_t i = 0; i < n; i++)
            in[i] = (char)(rng_below(&rng, 2) ? 0x80 + rng_below(&rng, 128) : rng_below(&rng, 128));
        struct buf b;
        buf_init(&b, 1000);
        assert_int_equal(buf_json_str(&b, (struct bytes){in, n}), 0);
        assert_true(bytes_is_utf8(buf_bytes(&b)) && b.p[0] == '"' && b.p[b.n - 1] == '"');
        for (size_t i = 1; i + 1 < b.n; i++) {
            assert_true((unsigned char)b.p[i] >= 0x20 && b.p[i] != '"');
            if (b.p[i] == '\\')
                i++;
        }
        buf_fini(&b);
    }
}

static void test_room_drop_take(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 100);
    char *p = buf_take(&b); // nothing in it: an empty text, not NULL
    assert_string_equal(p, "");
    mem_free(p);
    p = buf_room(&b, 5);
    memcpy(p, "hello", 5);
    b.n += 5;
    buf_drop(&b, 0);
    buf_drop(&b, 2);
    assert_string_equal(buf_cstr(&b), "llo");
    buf_drop(&b, 9);
    assert_int_equal(b.n, 0);
    buf_drop(&b, 1);
    (void)buf_put(&b, BYTES("taken"));
    p = buf_take(&b);
    assert_string_equal(p, "taken");
    assert_true(b.p == NULL && b.n == 0 && b.max == 100);
    assert_string_equal(buf_cstr(&b), "");
    mem_free(p);
    buf_fini(&b);
    assert_int_equal(mem_live(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ceiling),
        cmocka_unit_test(test_sticky),
        cmocka_unit_test(test_numbers_and_formats),
        cmocka_unit_test(test_json_strings),
        cmocka_unit_test(test_json_strings_of_any_bytes),
        cmocka_unit_test(test_room_drop_take),
    };
    return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
