// diff_test.c: unified diffs: what is read, and what is refused and how it is said.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "prims/diff_priv.h"
#include "prims/prims_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void good(const char *text, size_t hunks, const char *old, const char *new)
{
    struct diff d;
    struct err e = {0};
    if (diff_parse(&d, bytes_of(text), &e) < 0)
        fail_msg("%s: %s", text, e.text);
    assert_int_equal(d.n, hunks);
    const struct diff_hunk *h = &d.hunk[hunks - 1];
    struct bytes o = {d.text.p + h->old_at, h->old_n}, n = {d.text.p + h->new_at, h->new_n};
    if (!bytes_is(o, old) || !bytes_is(n, new))
        fail_msg("%s: \"%.*s\" to \"%.*s\"", text, BYTES_FMT(o), BYTES_FMT(n));
    diff_fini(&d);
}

static void bad(const char *text, int code, const char *says)
{
    struct diff d;
    struct err e = {0};
    assert_int_equal(diff_parse(&d, bytes_of(text), &e), code);
    if (!strstr(e.text, says))
        fail_msg("\"%s\" does not say \"%s\"", e.text, says);
}

static void test_read(void **state)
{
    (void)state;
    good("@@ -1 +1 @@\n-a\n+b\n", 1, "a\n", "b\n");
    good("@@ -1,2 +1,3 @@ int main(void)\n a\n+x\n b\n", 1, "a\nb\n", "a\nx\nb\n");
    good("diff --git a/f b/f\nindex 1..2 100644\n--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n"
         "@@ -9,1 +9,0 @@\n-z\n",
         2, "z\n", "");
    good("@@ -0,0 +1,2 @@\n+a\n+b\n", 1, "", "a\nb\n");
    good("@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+b\n\\ No newline at end of file\n", 1,
         "a", "b");
    good("@@ -1 +1 @@\n-a\n+b\n\\ No newline at end of file\n", 1, "a\n", "b");
    good("@@ -1,2 +1,2 @@\r\n a\r\n-b\r\n+c\r\n", 1, "a\r\nb\r\n", "a\r\nc\r\n");
    good("@@ -1,3 +1,3 @@\n a\n\n-b\n+c", 1, "a\n\nb\n", "a\n\nc\n"); // an editor's empty line
    good("@@ -1,2 +1,1 @@\n--- a\n b\n", 1, "-- a\nb\n", "b\n"); // no header: in a hunk
}

static void test_refused(void **state)
{
    (void)state;
    bad("", E_INVALID, "no hunk");
    bad("just words\n", E_INVALID, "no hunk");
    bad("@@ -1 +1 @@\n-a\n", E_PARSE, "the diff ends in the middle");
    bad("@@ -1 +1 @@\n-a\n-b\n+c\n", E_PARSE, "line 3 of the diff: more lines");
    bad("@@ -1 +1 @@\n-a\n+b\nrest\n", E_PARSE, "line 4 of the diff: expected \"@@\"");
    bad("@@ -x +1 @@\n", E_PARSE, "line 1 of the diff: expected");
    bad("@@ -1,99999999999999999999 +1 @@\n", E_PARSE, "line 1");
    bad("@@ -1,2 +1,2 @@\n a\n*b\n", E_PARSE, "must begin with");
    bad("--- a\n+++ a\n@@ -1 +1 @@\n-a\n+b\n--- c\n+++ c\n@@ -1 +1 @@\n-a\n+b\n", E_INVALID,
        "a second file");
}

static void test_torture(void **state)
{
    (void)state;
    const char *text = "@@ -1 +1 @@\n-a\n+b\n@@ -5 +5 @@\n-a\n+b\n@@ -9 +9 @@\n-a\n+b\n";
    for (uint64_t i = 1; i < 40; i++) {
        struct diff d;
        uint64_t live = mem_live();
        mem_fail_after(i, 1);
        int rc = diff_parse(&d, bytes_of(text), NULL);
        mem_fail_after(0, 0);
        if (rc == 0)
            diff_fini(&d);
        else
            assert_int_equal(rc, E_NOMEM);
        assert_int_equal(mem_live(), live);
    }
}

static void test_patterns(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *path;
        bool fits;
    } rows[] = {
        {"*.c", "a.c", true},
        {"*.c", "src/a.c", true},
        {"*.c", "a.ch", false},
        {"src/*.c", "src/a.c", true},
        {"src/*.c", "src/b/a.c", false},
        {"src/**/*.c", "src/a.c", true},
        {"src/**/*.c", "src/b/d/a.c", true},
        {"**/a.c", "a.c", true},
        {"**", "a/b", true},
        {"a?c", "abc", true},
        {"a?c", "a/c", false},
        {"[a-c]x", "bx", true},
        {"[!a-c]x", "bx", false},
        {"[!a-c]x", "dx", true},
        {"[", "[", true},
        {"*.{c,h}", "a.h", true},
        {"*.{c,h}", "a.x", false},
        {"{a,b{c,d}}", "bd", true},
        {"{a", "{a", true},
        {"\\*", "*", true},
        {"\\*", "a", false},
        {"/a", "a", true},
        {"", "", true},
        {"[]]", "]", true},
        {"a*b*c*d*e*f*g*h*i*j*k*l*m", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (prim_glob(rows[i].pattern, rows[i].path) != rows[i].fits)
            fail_msg("%s on %s is not %d", rows[i].pattern, rows[i].path, rows[i].fits);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_torture),
        cmocka_unit_test(test_patterns),
    };
    return cmocka_run_group_tests_name("diff", tests, NULL, NULL);
}
