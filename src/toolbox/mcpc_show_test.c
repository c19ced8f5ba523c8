// mcpc_show_test.c: strangers' text: what cannot be seen is written out.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "toolbox/mcpc.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct {
    struct bytes in;
    const char *out;
    size_t hidden;
} cases[] = {
    {{"plain, with\ttab\nand line", 24}, "plain, with\ttab\nand line", 0},
    {{"", 0}, "", 0},
    {{"gr\xc3\xbc\xc3\x9f \xe4\xb8\x96 \xf0\x9f\x98\x80", 15},
     "gr\xc3\xbc\xc3\x9f \xe4\xb8\x96 \xf0\x9f\x98\x80",
     0},
    {{"a\0b", 3}, "a\\u{0}b", 1},
    {{"\r\x1b[2J", 5}, "\\u{d}\\u{1b}[2J", 2},
    {{"x\x7f\xc2\x80y", 5}, "x\\u{7f}\\u{80}y", 2},
    {{"\xe2\x80\xae"
      "evil\xe2\x80\xac",
      10},
     "\\u{202e}evil\\u{202c}",
     2}, // bidi
    {{"a\xe2\x80\x8b"
      "b",
      5},
     "a\\u{200b}b",
     1}, // zero width
    {{"\xef\xbb\xbf"
      "a",
      4},
     "\\u{feff}a",
     1},
    {{"\xf3\xa0\x81\xa8\xf3\xa0\x81\xa9", 8}, "\\u{e0068}\\u{e0069}", 2}, // tags
    {{"\xee\x80\x80", 3}, "\\u{e000}", 1}, // private use
    {{"\xe2\x9d\xa4\xef\xb8\x8f", 6}, "\xe2\x9d\xa4\xef\xb8\x8f", 0}, // a red heart
    {{"a\xff"
      "b\xc3",
      4},
     "a\xef\xbf\xbd"
     "b\xef\xbf\xbd",
     2}, // no UTF-8
    {{"\xed\xa0\x80", 3}, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", 3}, // a surrogate
    {{"\xf4\x8f\xbf\xbf", 4}, "\\u{10ffff}", 1},
};

static void test_show(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf b;
        buf_init(&b, 1000);
        assert_int_equal(mcpc_show(&b, cases[i].in), cases[i].hidden);
        assert_string_equal(buf_cstr(&b), cases[i].out);
        buf_fini(&b);
    }
    assert_int_equal(mem_live(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_show)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
