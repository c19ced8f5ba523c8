// cli_line_test.c: the chat's line editor as a function of bytes, and widths of text.
// SPDX-License-Identifier: Apache-2.0
#include "cli/cli_priv.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define LEFT "\x1b[D"
#define RIGHT "\x1b[C"
#define HOME "\x1b[H"
#define END "\x1bOF"
#define DEL "\x1b[3~"

static const struct {
    const char *keys, *text;
    size_t at;
    enum cli_key last;
} cases[] = {
    {"abc", "abc", 3, KEY_REDRAW},
    {"abc" LEFT LEFT "x", "axbc", 2, KEY_REDRAW},
    {"abc" HOME "x" END "y", "xabcy", 5, KEY_REDRAW},
    {"abc\x7f", "ab", 2, KEY_REDRAW},
    {"\x7f", "", 0, KEY_REDRAW},
    {"abc" HOME DEL, "bc", 0, KEY_REDRAW},
    {"abc" DEL, "abc", 3, KEY_REDRAW},
    {"a\xc3\xa4"
     "b" LEFT LEFT "x",
     "ax\xc3\xa4"
     "b",
     2, KEY_REDRAW},          // ä is one step
    {"\xe2\x82\xac\x7f", "", 0, KEY_REDRAW},                                // € is one character
    {"\xf0\x9f\x98\x80" LEFT RIGHT "!", "\xf0\x9f\x98\x80!", 5, KEY_REDRAW}, // an emoji
    {"one two  \x17", "one ", 4, KEY_REDRAW},
    {"one two" HOME "\x0b", "", 0, KEY_REDRAW},
    {"one two" LEFT LEFT LEFT "\x15", "two", 0, KEY_REDRAW},
    {"ab\x01x\x05y\x02z", "xabzy", 4, KEY_REDRAW},
    {"a\tb", "a b", 3, KEY_REDRAW},
    {"a\r", "a", 1, KEY_ENTER},
    {"a\n", "a", 1, KEY_ENTER},
    {"\x04", "", 0, KEY_EOF},
    {"ab\x01\x04", "b", 0, KEY_REDRAW},
    {"a\x03", "a", 1, KEY_CANCEL},
    {"a\x1b[A", "a", 1, KEY_UP},
    {"a\x1b[B", "a", 1, KEY_DOWN},
    {"a\x1b[1;5Cb", "ab", 2, KEY_REDRAW},         // Ctrl-right: as right
    {"a\x1b[200~b", "ab", 2, KEY_REDRAW},         // a sequence that is not known
    {"a\x1b[9999999999999mb", "ab", 2, KEY_REDRAW}, // a long one
    {"a\x1bxb", "ab", 2, KEY_REDRAW},             // Alt-x
};

static void test_keys(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct cli_line l;
        enum cli_key key = KEY_MORE;
        cli_line_init(&l);
        for (const char *p = cases[i].keys; *p; p++)
            key = cli_line_byte(&l, (unsigned char)*p);
        assert_string_equal(buf_cstr(&l.text), cases[i].text);
        assert_int_equal(l.at, cases[i].at);
        assert_int_equal(key, cases[i].last);
        cli_line_fini(&l);
    }
}

// Whatever comes, the cursor stays inside the text and between characters.
static void test_any_bytes(void **state)
{
    (void)state;
    struct cli_line l;
    uint32_t x = 12345;
    cli_line_init(&l);
    for (int i = 0; i < 200000; i++) {
        x = x * 1664525u + 1013904223u;
        (void)cli_line_byte(&l, (unsigned char)(x >> 24));
        assert_true(l.at <= l.text.n);
        if (l.text.n > 1000)
            cli_line_set(&l, BYTES_NONE);
    }
    cli_line_fini(&l);
}

static void test_full(void **state)
{
    (void)state;
    struct cli_line l;
    cli_line_init(&l);
    for (int i = 0; i < 70000; i++)
        (void)cli_line_byte(&l, 'x');
    assert_int_equal(l.text.n, 65536);
    (void)cli_line_byte(&l, 0x7f);
    (void)cli_line_byte(&l, 'y');
    assert_int_equal(l.text.n, 65536);
    assert_int_equal(l.text.p[65535], 'y');
    cli_line_fini(&l);
}

static void test_width(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t width;
    } of[] = {{"", 0},
              {"abc", 3},
              {"\xc3\xa4", 1},
              {"\xe6\xbc\xa2\xe5\xad\x97", 4}, // 漢字
              {"e\xcc\x81", 1}, // e and an accent
              {"\xf0\x9f\x98\x80", 2},
              {"\xff\xfe", 2},
              {"\xe2\x82", 2}};
    for (size_t i = 0; i < sizeof of / sizeof *of; i++)
        assert_int_equal(cli_width(bytes_of(of[i].text)), of[i].width);
}

static void test_safe(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1024);
    cli_put_safe(&b, BYTES("a\x1b[31mb\n\x7f"
                           "c\xc2\x9b"
                           "d\xc3\xa4"));
    assert_string_equal(buf_cstr(&b), "a [31mb  c d\xc3\xa4");
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),  cmocka_unit_test(test_any_bytes), cmocka_unit_test(test_full),
        cmocka_unit_test(test_width), cmocka_unit_test(test_safe),
    };
    return cmocka_run_group_tests_name("cli line", tests, NULL, NULL);
}
