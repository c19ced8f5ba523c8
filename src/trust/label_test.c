// label_test.c: the lattice: texts there and back, order and join over all labels of three
// compartments.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "trust/label.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void put_is(const struct label_names *n, struct label l, const char *text)
{
    struct buf out;
    buf_init(&out, LABEL_TEXT_MAX);
    label_put(&out, n, l);
    assert_int_equal(out.failed, 0);
    assert_string_equal(buf_cstr(&out), text);
    buf_fini(&out);
}

static void test_texts(void **state)
{
    (void)state;
    static const struct {
        const char *text, *again; // again NULL: refused
        uint8_t level;
        uint64_t compartments;
    } rows[] = {
        {"public", "public", LABEL_PUBLIC, 0},
        {"internal", "internal", LABEL_INTERNAL, 0},
        {"confidential:eng,hr", "confidential:eng,hr", LABEL_CONFIDENTIAL, 3},
        {"confidential:hr,eng", "confidential:eng,hr", LABEL_CONFIDENTIAL, 3},
        {"confidential:hr,hr", "confidential:hr", LABEL_CONFIDENTIAL, 2},
        {"restricted:*", "restricted:*", LABEL_RESTRICTED, UINT64_MAX},
        {"public:*", "public:*", LABEL_PUBLIC, UINT64_MAX},
        {"public:alpha-1_b", "public:alpha-1_b", LABEL_PUBLIC, 4},
        {"internal:hr,alpha-1_b,eng", "internal:alpha-1_b,eng,hr", LABEL_INTERNAL, 7},
        {"internal:4", "internal:4", LABEL_INTERNAL, 8},
        {"internal:abcdefghijklmnopqrstuvwxyz012345", "internal:abcdefghijklmnopqrstuvwxyz012345",
         LABEL_INTERNAL, 16},
        {"", NULL, 0, 0},
        {"secret", NULL, 0, 0},
        {"Internal", NULL, 0, 0},
        {" internal", NULL, 0, 0},
        {"internal ", NULL, 0, 0},
        {"internal:", NULL, 0, 0},
        {"internal:,", NULL, 0, 0},
        {"internal:eng,", NULL, 0, 0},
        {"internal:,eng", NULL, 0, 0},
        {"internal:eng, hr", NULL, 0, 0},
        {"internal:eng:hr", NULL, 0, 0},
        {"internal:*,eng", NULL, 0, 0},
        {"internal:eng,*", NULL, 0, 0},
        {"internal:Eng", NULL, 0, 0},
        {"internal:-eng", NULL, 0, 0},
        {"internal:_eng", NULL, 0, 0},
        {"internal:e.g", NULL, 0, 0},
        {"internal:\xc3\xa9", NULL, 0, 0},
        {"internal:abcdefghijklmnopqrstuvwxyz0123456", NULL, 0, 0},
        {":eng", NULL, 0, 0},
    };
    struct label_names *n = label_names_new();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct label l = {9, 9};
        struct err e = {0};
        int rc = label_parse(n, bytes_of(rows[i].text), &l, &e);
        assert_int_equal(rc, rows[i].again ? 0 : E_INVALID);
        assert_int_equal(e.code, rc);
        assert_int_equal(l.level, rows[i].again ? rows[i].level : 9);
        assert_int_equal(l.compartments, rows[i].again ? rows[i].compartments : 9);
        if (rows[i].again)
            put_is(n, l, rows[i].again);
        else
            assert_non_null(strstr(e.text, "as in confidential:eng,hr"));
    }
    struct label l;
    struct err e = {0};
    assert_int_equal(label_parse(n, (struct bytes){"internal\0:x", 11}, &l, &e), E_INVALID);
    label_names_free(n);
}

static void test_strangers(void **state)
{
    (void)state;
    struct label_names *n = label_names_new();
    struct label l = {9, 9};
    struct err e = {0};
    assert_int_equal(label_parse_known(n, BYTES("internal:eng"), &l, &e), E_INVALID);
    assert_non_null(strstr(e.text, "no compartment is named eng here"));
    assert_int_equal(l.level, 9);
    assert_int_equal(label_parse(n, BYTES("internal:eng"), &l, &e), 0);
    l = (struct label){9, 9};
    assert_int_equal(label_parse_known(n, BYTES("restricted:eng,hr"), &l, &e), E_INVALID);
    assert_non_null(strstr(e.text, "hr"));
    assert_int_equal(label_parse_known(n, BYTES("restricted:eng"), &l, &e), 0);
    assert_int_equal(l.level, LABEL_RESTRICTED);
    assert_int_equal(l.compartments, 1);
    assert_int_equal(label_parse_known(n, BYTES("public:*"), &l, &e), 0);
    label_names_free(n);
}

// 63 names fit, one more is refused, and a refused text adds nothing.
static void test_full(void **state)
{
    (void)state;
    struct label_names *n = label_names_new();
    struct label l, all = {LABEL_CONFIDENTIAL, 0};
    struct err e = {0};
    char text[64];
    assert_int_equal(label_parse(n, BYTES("internal:n00,BAD"), &l, &e), E_INVALID);
    for (int i = 0; i < 62; i++) {
        (void)snprintf(text, sizeof text, "internal:n%02d", i);
        assert_int_equal(label_parse(n, bytes_of(text), &l, &e), 0);
        assert_int_equal(l.compartments, UINT64_C(1) << i);
        all = label_join(all, l);
    }
    assert_int_equal(label_parse(n, BYTES("internal:x,y"), &l, &e), E_FULL);
    assert_int_equal(label_parse_known(n, BYTES("internal:x"), &l, &e), E_INVALID);
    assert_int_equal(label_parse(n, BYTES("internal:y"), &l, &e), 0);
    assert_int_equal(label_parse(n, BYTES("internal:z"), &l, &e), E_FULL);
    all = label_join(all, l);
    assert_true(all.compartments != UINT64_MAX); // all names are not every compartment
    assert_false(label_dominates(all, (struct label){0, UINT64_MAX}));
    assert_true(label_dominates(LABEL_ALL, all));
    struct buf out;
    buf_init(&out, LABEL_TEXT_MAX);
    label_put(&out, n, all);
    assert_int_equal(out.failed, 0);
    assert_int_equal(label_parse_known(n, buf_bytes(&out), &l, &e), 0);
    assert_int_equal(l.compartments, all.compartments);
    buf_fini(&out);
    label_names_free(n);
}

// Long names: the text of a label with all of them still fits, and is read again.
static void test_long_names(void **state)
{
    (void)state;
    struct label_names *n = label_names_new();
    struct label l, all = {LABEL_CONFIDENTIAL, 0};
    struct err e = {0};
    char text[64];
    int i = 0, rc = 0;
    for (; rc == 0; i++) {
        (void)snprintf(text, sizeof text, "internal:%030d%02d", 0, i);
        rc = label_parse(n, bytes_of(text), &l, &e);
        if (rc == 0)
            all = label_join(all, l);
    }
    assert_int_equal(rc, E_FULL);
    assert_int_equal(i - 1, (LABEL_TEXT_MAX - 16) / 33);
    struct buf out;
    buf_init(&out, LABEL_TEXT_MAX);
    label_put(&out, n, all);
    assert_int_equal(out.failed, 0);
    assert_int_equal(label_parse_known(n, buf_bytes(&out), &l, &e), 0);
    assert_int_equal(l.compartments, all.compartments);
    buf_fini(&out);
    label_names_free(n);
}

// 4 levels and all subsets of 3 compartments, as numbers 0 to 31.
static struct label nth(unsigned i)
{
    return (struct label){(uint8_t)(i >> 3), i & 7};
}

// The laws of a lattice, over all labels.
static void test_lattice(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 32; i++) {
        struct label a = nth(i);
        assert_true(label_dominates(a, a));
        assert_true(label_dominates(LABEL_ALL, a));
        for (unsigned j = 0; j < 32; j++) {
            struct label b = nth(j), ab = label_join(a, b), ba = label_join(b, a);
            assert_true(ab.level == ba.level && ab.compartments == ba.compartments);
            assert_true(label_dominates(ab, a) && label_dominates(ab, b));
            if (label_dominates(a, b) && label_dominates(b, a))
                assert_int_equal(i, j);
            assert_int_equal(label_dominates(a, b),
                             ab.level == a.level && ab.compartments == a.compartments);
            for (unsigned k = 0; k < 32; k++) {
                struct label c = nth(k);
                if (label_dominates(a, b) && label_dominates(b, c))
                    assert_true(label_dominates(a, c));
                if (label_dominates(c, a) && label_dominates(c, b))
                    assert_true(label_dominates(c, ab)); // the least upper bound
            }
        }
    }
}

static void test_no_memory(void **state)
{
    (void)state;
    mem_fail_after(1, 1);
    struct label_names *n = label_names_new();
    mem_fail_after(0, 0);
    assert_null(n);
    label_names_free(n);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),   cmocka_unit_test(test_strangers),
        cmocka_unit_test(test_full),    cmocka_unit_test(test_long_names),
        cmocka_unit_test(test_lattice), cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests_name("label", tests, NULL, NULL);
}
