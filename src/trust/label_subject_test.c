// label_subject_test.c: clearances of bus subjects by pattern.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "trust/label.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_fits(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *subject;
        bool fits;
    } rows[] = {
        {"a.b", "a.b", true},     {"a.b", "a.c", false},     {"a.b", "a", false},
        {"a.b", "a.b.c", false},  {"a.*", "a.b", true},      {"a.*", "a", false},
        {"a.*", "a.b.c", false},  {"*.b", "a.b", true},      {"*.*", "a.b", true},
        {"*", "a.b", false},      {"a.>", "a.b", true},      {"a.>", "a.b.c.d", true},
        {"a.>", "a", false},      {">", "a", true},          {">", "a.b.c", true},
        {"a.*.c", "a.b.c", true}, {"a.*.c", "a.b.d", false}, {"a.*.>", "a.b.c", true},
        {"a.*.>", "a.b", false},  {"ab", "a", false},        {"a", "ab", false},
        {"a.*", "a.", false},     {"a.>", "a.", false},      {">", "", false},
        {"a.*.c", "a..c", false},
    };
    const struct label low = {LABEL_PUBLIC, 0}, high = {LABEL_RESTRICTED, 5};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct label_subjects *t = label_subjects_new(low);
        struct err e = {0};
        assert_int_equal(label_subjects_add(t, bytes_of(rows[i].pattern), high, &e), 0);
        struct label got = label_subject(t, bytes_of(rows[i].subject));
        if ((got.level == LABEL_RESTRICTED) != rows[i].fits)
            fail_msg("%s and %s", rows[i].pattern, rows[i].subject);
        assert_int_equal(got.compartments, rows[i].fits ? 5 : 0);
        label_subjects_free(t);
    }
}

static void test_bad_patterns(void **state)
{
    (void)state;
    static const char *const bad[] = {"",      ".",    "a.",   ".a",   "a..b",      "a.>.b",
                                      ">.a",   "a*",   "a.b*", "a.>b", "**",        "a b",
                                      "a.\tb", "\x7f", "a.\n", "*.",   "a.\xc3\xa9"};
    char longest[LABEL_SUBJECT_LEN_MAX + 2];
    struct label_subjects *t = label_subjects_new((struct label){0, 0});
    struct err e = {0};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (label_subjects_add(t, bytes_of(bad[i]), LABEL_ALL, &e) != E_INVALID)
            fail_msg("\"%s\" was taken", bad[i]);
    memset(longest, 'a', sizeof longest);
    assert_int_equal(
        label_subjects_add(t, (struct bytes){longest, sizeof longest - 1}, LABEL_ALL, &e),
        E_INVALID);
    assert_int_equal(
        label_subjects_add(t, (struct bytes){longest, sizeof longest - 2}, LABEL_ALL, &e), 0);
    label_subjects_free(t);
}

static void test_order_and_limits(void **state)
{
    (void)state;
    struct label_subjects *t = label_subjects_new((struct label){LABEL_INTERNAL, 0});
    struct err e = {0};
    char pattern[32];
    assert_int_equal(
        label_subjects_add(t, BYTES("prod.a.b"), (struct label){LABEL_RESTRICTED, 0}, &e), 0);
    assert_int_equal(label_subjects_add(t, BYTES("prod.>"), (struct label){LABEL_PUBLIC, 0}, &e),
                     0);
    assert_int_equal(
        label_subjects_add(t, BYTES("prod.a.*"), (struct label){LABEL_CONFIDENTIAL, 0}, &e), 0);
    assert_int_equal(label_subject(t, BYTES("prod.a.b")).level, LABEL_RESTRICTED);
    assert_int_equal(label_subject(t, BYTES("prod.a.c")).level, LABEL_PUBLIC);
    assert_int_equal(label_subject(t, BYTES("dev.a.c")).level, LABEL_INTERNAL);
    for (int i = 3; i < LABEL_SUBJECTS_MAX; i++) {
        (void)snprintf(pattern, sizeof pattern, "dev.n%d", i);
        assert_int_equal(label_subjects_add(t, bytes_of(pattern), LABEL_ALL, &e), 0);
    }
    assert_int_equal(label_subjects_add(t, BYTES("x"), LABEL_ALL, &e), E_FULL);
    assert_int_equal(label_subject(t, BYTES("dev.n999")).level, LABEL_RESTRICTED);
    label_subjects_free(t);
}

static void test_no_memory(void **state)
{
    (void)state;
    struct err e = {0};
    mem_fail_after(1, 1);
    assert_null(label_subjects_new(LABEL_ALL));
    mem_fail_after(0, 0);
    struct label_subjects *t = label_subjects_new(LABEL_ALL);
    mem_fail_after(1, 1);
    assert_int_equal(label_subjects_add(t, BYTES("a"), LABEL_ALL, &e), E_NOMEM);
    mem_fail_after(0, 0);
    assert_int_equal(label_subjects_add(t, BYTES("a"), LABEL_ALL, &e), 0);
    label_subjects_free(t);
    label_subjects_free(NULL);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fits),
        cmocka_unit_test(test_bad_patterns),
        cmocka_unit_test(test_order_and_limits),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests_name("label_subject", tests, NULL, NULL);
}
