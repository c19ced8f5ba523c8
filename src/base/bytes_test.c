// bytes_test.c: slices: comparing, cutting, numbers, UTF-8.
// SPDX-License-Identifier: Apache-2.0
#include "base/bytes.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void test_compare(void **state)
{
    (void)state;
    struct bytes none = BYTES_NONE, a = BYTES("abc");
    assert_true(bytes_eq(none, BYTES("")));
    assert_true(bytes_eq(bytes_of(NULL), none));
    assert_true(bytes_is(a, "abc") && !bytes_is(a, "abd") && !bytes_is(a, "abcd"));
    assert_true(bytes_is(none, "") && bytes_is(none, NULL));
    assert_true(bytes_ieq(a, BYTES("aBC")) && !bytes_ieq(a, BYTES("ab")));
    assert_true(bytes_iis(a, "ABC") && !bytes_iis(a, "ABD"));
    assert_true(bytes_starts(a, BYTES("ab")) && bytes_starts(a, none) && bytes_starts(a, a));
    assert_false(bytes_starts(a, BYTES("abcd")) || bytes_starts(a, BYTES("b")));
    assert_true(bytes_ends(a, BYTES("bc")) && bytes_ends(a, none) && bytes_ends(none, none));
    assert_false(bytes_ends(a, BYTES("xabc")) || bytes_ends(a, BYTES("b")));
    assert_true(bytes_cmp(a, BYTES("abd")) < 0 && bytes_cmp(BYTES("b"), a) > 0);
    assert_true(bytes_cmp(a, BYTES("ab")) > 0 && bytes_cmp(BYTES("ab"), a) < 0);
    assert_int_equal(bytes_cmp(a, BYTES("abc")), 0);
    assert_int_equal(bytes_cmp(none, BYTES("")), 0);
    assert_true(bytes_eq_const_time(a, BYTES("abc")) && bytes_eq_const_time(none, none));
    assert_false(bytes_eq_const_time(a, BYTES("abd")) || bytes_eq_const_time(a, BYTES("ab")));
    assert_false(bytes_eq_const_time(a, none) || bytes_eq_const_time(none, a));
    assert_false(bytes_eq_const_time(BYTES("abab"), BYTES("ab")));
    assert_true(bytes_hash(a) == bytes_hash(BYTES("abc")));
    assert_true(bytes_hash(a) != bytes_hash(BYTES("abd")) && bytes_hash(none) != bytes_hash(a));
}

static void test_parts(void **state)
{
    (void)state;
    struct bytes a = BYTES(" \t\r\nx y\n ");
    assert_true(bytes_is(bytes_trim(a), "x y"));
    assert_int_equal(bytes_trim(BYTES(" \n ")).n, 0);
    assert_int_equal(bytes_trim(BYTES_NONE).n, 0);
    assert_true(bytes_is(bytes_from(BYTES("abc"), 1), "bc"));
    assert_int_equal(bytes_from(BYTES("abc"), 9).n, 0);
    assert_null(bytes_from(BYTES_NONE, 1).p);
    assert_true(bytes_is(bytes_first(BYTES("abc"), 2), "ab"));
    assert_true(bytes_is(bytes_first(BYTES("abc"), 9), "abc"));
    assert_int_equal(bytes_find(BYTES("abcabc"), BYTES("ca")), 2);
    assert_int_equal(bytes_find(BYTES("abc"), BYTES("cb")), -1);
    assert_int_equal(bytes_find(BYTES("abc"), BYTES_NONE), 0);
    assert_int_equal(bytes_find(BYTES_NONE, BYTES("a")), -1);
    assert_int_equal(bytes_chr(BYTES("abc"), 'c'), 2);
    assert_int_equal(bytes_chr(BYTES("abc"), 'd'), -1);
    assert_int_equal(bytes_chr(BYTES_NONE, 'd'), -1);
}

static void test_cut(void **state)
{
    (void)state;
    struct bytes rest = BYTES("a,,b");
    assert_true(bytes_is(bytes_cut(&rest, ','), "a"));
    assert_true(bytes_is(bytes_cut(&rest, ','), "") && bytes_is(rest, "b"));
    assert_true(bytes_is(bytes_cut(&rest, ','), "b"));
    assert_null(rest.p);
    rest = BYTES("a,");
    assert_true(bytes_is(bytes_cut(&rest, ','), "a"));
    assert_non_null(rest.p); // one more part, an empty one
    assert_int_equal(bytes_cut(&rest, ',').n, 0);
    assert_null(rest.p);
}

static void test_numbers(void **state)
{
    static const struct {
        const char *text;
        bool ok;
        uint64_t value;
    } cases[] = {
        {"0", true, 0},
        {"007", true, 7},
        {"18446744073709551615", true, UINT64_MAX},
        {"18446744073709551616", false, 0},
        {"18446744073709551620", false, 0},
        {"99999999999999999999", false, 0},
        {"", false, 0},
        {"-1", false, 0},
        {"+1", false, 0},
        {"1 ", false, 0},
        {"1a", false, 0},
        {"/", false, 0},
        {":", false, 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint64_t value = 77;
        bool ok = bytes_u64(bytes_of(cases[i].text), &value);
        if (ok != cases[i].ok || value != (ok ? cases[i].value : 77))
            fail_msg("%s: %d, %llu", cases[i].text, ok, (unsigned long long)value);
    }
}

// Every code point, encoded by hand, is good; all that encodes none is bad (RFC 3629, section 4).
static size_t encode(uint32_t c, unsigned len, unsigned char p[4])
{
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    if (len == 1) {
        p[0] = (unsigned char)c;
        return 1;
    }
    for (unsigned i = len - 1; i > 0; i--) {
        p[i] = (unsigned char)(0x80 | (c & 0x3f));
        c >>= 6;
    }
    p[0] = (unsigned char)(lead[len] | c);
    return len;
}

static void test_utf8_code_points(void **state)
{
    (void)state;
    for (uint32_t c = 0; c <= 0x1fffff; c++) {
        unsigned shortest = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
        for (unsigned len = shortest; len <= 4; len++) {
            unsigned char p[4];
            size_t n = encode(c, len, p);
            bool want = len == shortest && c <= 0x10ffff && !(c >= 0xd800 && c < 0xe000);
            if (bytes_is_utf8((struct bytes){(char *)p, n}) != want)
                fail_msg("U+%X in %u bytes: %d wanted", c, len, want);
        }
    }
}

static void test_utf8_broken(void **state)
{
    static const char *const bad[] = {"\x80",
                                      "\xc3",
                                      "\xe2\x82",
                                      "\xf0\x9f\x98",
                                      "\xc3(",
                                      "\xe2(\xa1",
                                      "\xe2\x82(",
                                      "\xf0(\x8c\xbc",
                                      "\xf0\x90(\xbc",
                                      "\xf0\x90\x8c(",
                                      "\xfe",
                                      "\xff",
                                      "\xf8\x88\x80\x80\x80",
                                      "a\xc0\xaf",
                                      "\xc1\xbf",
                                      "ok\xc3\xa9\xa9"};
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++)
        if (bytes_is_utf8(bytes_of(bad[i])))
            fail_msg("row %zu is taken", i);
    assert_true(bytes_is_utf8(BYTES_NONE));
    assert_true(bytes_is_utf8(BYTES("a\0b")));
    assert_true(bytes_is_utf8(BYTES("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compare),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_utf8_code_points),
        cmocka_unit_test(test_utf8_broken),
    };
    return cmocka_run_group_tests_name("bytes", tests, NULL, NULL);
}
