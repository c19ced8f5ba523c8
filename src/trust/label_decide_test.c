// label_decide_test.c: every pair of labels at every crossing, against Bell-LaPadula written down
// once more, in sets and words instead of bits and numbers.
// SPDX-License-Identifier: Apache-2.0
#include "base/time.h"
#include "trust/label.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define LABELS 32 // 4 levels, all subsets of 3 compartments
static const char *const words[] = {"public", "internal", "confidential", "restricted"};
static const char *const parts[] = {"eng", "hr", "law"};

struct world {
    struct label_names *names;
    struct label label[LABELS];
    char text[LABELS][64];
    bool has[LABELS][3];
    int rank[LABELS];
};

static void world_init(struct world *w)
{
    w->names = label_names_new();
    struct label all;
    assert_int_equal(label_parse(w->names, BYTES("public:eng,hr,law"), &all, NULL), 0);
    for (int i = 0; i < LABELS; i++) {
        char sep = ':';
        w->rank[i] = i / 8;
        int at = snprintf(w->text[i], sizeof w->text[i], "%s", words[i / 8]);
        for (int c = 0; c < 3; c++) {
            w->has[i][c] = (i % 8 >> c) % 2;
            if (w->has[i][c])
                at += snprintf(w->text[i] + at, sizeof w->text[i] - (size_t)at, "%c%s", sep,
                               parts[c]);
            if (w->has[i][c])
                sep = ',';
        }
        assert_int_equal(label_parse_known(w->names, bytes_of(w->text[i]), &w->label[i], NULL), 0);
    }
}

// ---- the model ----

// The simple security property: a subject reads an object when its clearance is as high and it is
// cleared for all that the object is about.
static bool may_read(const struct world *w, int subject, int object)
{
    if (w->rank[subject] < w->rank[object])
        return false;
    for (int c = 0; c < 3; c++)
        if (w->has[object][c] && !w->has[subject][c])
            return false;
    return true;
}

// The star property: a subject that holds data writes to an object when whoever may read the
// object could have read the data.
static bool may_write(const struct world *w, int data, int object)
{
    for (int reader = 0; reader < LABELS; reader++)
        if (may_read(w, reader, object) && !may_read(w, reader, data))
            return false;
    return true;
}

// A trusted subject lowers what it may read, and lowers only.
static bool may_lower(const struct world *w, int key, int before, int after)
{
    return may_read(w, key, before) && may_read(w, before, after);
}

static bool model(const struct world *w, enum label_op op, int data, int clearance)
{
    switch (op) {
    case LABEL_READ_REPLY:
    case LABEL_READ_RECORD:
    case LABEL_DELIVER: return may_read(w, clearance, data);
    case LABEL_ASK_CLOUD:
        return strcmp(words[w->rank[data]], "restricted") != 0 && may_write(w, data, clearance);
    case LABEL_ASK_MODEL:
    case LABEL_HOP:
    case LABEL_PUBLISH:
    case LABEL_WRITE_RECORD:
    case LABEL_HAND_AGENT: return may_write(w, data, clearance);
    case LABEL_DECLASSIFY:
    case LABEL_OPS: break;
    }
    fail_msg("an operation without a model");
    return false;
}

static void refused_well(const struct world *w, const struct err *e, int a, int b)
{
    char left[80], right[80];
    (void)snprintf(left, sizeof left, "the data has the label %s, ", w->text[a]);
    (void)snprintf(right, sizeof right, " %s", w->text[b]);
    assert_int_equal(e->code, E_SECURITY);
    if (!strstr(e->text, left) || !strstr(e->text, right) ||
        strncmp(e->text, "SecurityViolationError: ", 24) != 0)
        fail_msg("\"%s\" lacks \"%s\" or \"%s\"", e->text, left, right);
}

static void test_all_crossings(void **state)
{
    (void)state;
    struct world w;
    int seen[2] = {0, 0};
    world_init(&w);
    for (enum label_op op = 0; op < LABEL_OPS; op++)
        for (int i = 0; op != LABEL_DECLASSIFY && i < LABELS; i++)
            for (int j = 0; j < LABELS; j++) {
                struct err e = {0};
                struct label_crossing x = {.op = op,
                                           .data = w.label[i],
                                           .clearance = w.label[j],
                                           .names = w.names,
                                           .what = "the data"};
                bool may = model(&w, op, i, j);
                if (label_decide(&x, &e) != (may ? 0 : E_SECURITY))
                    fail_msg("%s: %s to %s: should be %s", label_op_name(op), w.text[i], w.text[j],
                             may ? "allowed" : "refused");
                assert_int_equal(label_decide(&x, NULL), may ? 0 : E_SECURITY);
                if (may)
                    assert_int_equal(e.code, 0);
                else
                    refused_well(&w, &e, i, j);
                seen[may]++;
            }
    assert_int_equal(seen[0] + seen[1], (LABEL_OPS - 1) * LABELS * LABELS);
    assert_true(seen[0] > 1000 && seen[1] > 1000);
    label_names_free(w.names);
}

static void test_all_declassifications(void **state)
{
    (void)state;
    struct world w;
    int seen[2] = {0, 0};
    world_init(&w);
    for (int key = 0; key < LABELS; key++)
        for (int before = 0; before < LABELS; before++)
            for (int after = 0; after < LABELS; after++) {
                struct err e = {0};
                struct label_crossing x = {.op = LABEL_DECLASSIFY,
                                           .data = w.label[before],
                                           .clearance = w.label[key],
                                           .to = w.label[after],
                                           .names = w.names,
                                           .what = "the data"};
                bool may = may_lower(&w, key, before, after);
                if (label_decide(&x, &e) != (may ? 0 : E_SECURITY))
                    fail_msg("%s signs %s to %s: should be %s", w.text[key], w.text[before],
                             w.text[after], may ? "allowed" : "refused");
                if (!may)
                    refused_well(&w, &e, before, may_read(&w, key, before) ? after : key);
                seen[may]++;
            }
    assert_int_equal(seen[0] + seen[1], LABELS * LABELS * LABELS);
    assert_true(seen[0] > 1000 && seen[1] > 1000);
    label_names_free(w.names);
}

// An answer made from several things goes nowhere where one of them may not go.
static void test_join_is_not_weaker(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    for (int a = 0; a < LABELS; a++)
        for (int b = 0; b < LABELS; b++)
            for (int c = 0; c < LABELS; c++) {
                struct label_crossing x = {.op = LABEL_READ_REPLY,
                                           .data = label_join(w.label[a], w.label[b]),
                                           .clearance = w.label[c]};
                x.names = w.names;
                assert_int_equal(label_decide(&x, NULL) == 0,
                                 may_read(&w, c, a) && may_read(&w, c, b));
            }
    label_names_free(w.names);
}

// All compartments at once is a clearance of its own; names in the sentence are whole or cut.
static void test_sentences(void **state)
{
    (void)state;
    struct label_names *n = label_names_new();
    struct label all = {LABEL_CONFIDENTIAL, 0}, l;
    struct err e = {0};
    char text[64];
    struct label_crossing x = {
        LABEL_HOP, {LABEL_RESTRICTED, UINT64_MAX}, {0, 0}, {0, 0}, n, "the request", "the node n2"};
    assert_int_equal(label_decide(&x, &e), E_SECURITY);
    assert_string_equal(e.text, "SecurityViolationError: a request may not go to a node: the "
                                "request has the label restricted:*, the node n2 has the clearance "
                                "public");
    x = (struct label_crossing){LABEL_DECLASSIFY, {1, 0}, LABEL_ALL, {2, 0}, n, NULL, NULL};
    assert_int_equal(label_decide(&x, &e), E_SECURITY);
    assert_string_equal(e.text, "SecurityViolationError: a label may not be lowered: it has the "
                                "label internal, confidential is not below it");
    x = (struct label_crossing){LABEL_ASK_CLOUD, {3, 0}, LABEL_ALL, {0, 0}, n, NULL, NULL};
    assert_int_equal(label_decide(&x, &e), E_SECURITY);
    assert_string_equal(e.text, "SecurityViolationError: a model in the cloud may not be asked: it "
                                "has the label restricted, the other side has the clearance "
                                "restricted:*, and restricted data never leave the mesh");
    for (int i = 0; i < 28; i++) {
        (void)snprintf(text, sizeof text, "internal:%028d-%02d", 0, i);
        assert_int_equal(label_parse(n, bytes_of(text), &l, &e), 0);
        all = label_join(all, l);
    }
    struct label half = {LABEL_PUBLIC, all.compartments >> 1 & all.compartments};
    x = (struct label_crossing){LABEL_PUBLISH, all, half, {0, 0}, n, "the message", "the subject"};
    assert_int_equal(label_decide(&x, &e), E_SECURITY);
    assert_non_null(strstr(e.text, "label confidential:0000"));
    assert_non_null(strstr(e.text, "..., the subject has the clearance public:0000"));
    assert_true(e.n < ERR_TEXT_MAX - 1);
    label_names_free(n);
}

static void test_names_of_operations(void **state)
{
    (void)state;
    for (enum label_op op = 0; op < LABEL_OPS; op++) {
        assert_true(strlen(label_op_name(op)) > 2);
        for (enum label_op other = 0; other < op; other++)
            assert_string_not_equal(label_op_name(op), label_op_name(other));
    }
    assert_string_equal(label_op_name(LABEL_OPS), "?");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_crossings),       cmocka_unit_test(test_all_declassifications),
        cmocka_unit_test(test_join_is_not_weaker),  cmocka_unit_test(test_sentences),
        cmocka_unit_test(test_names_of_operations),
    };
    return cmocka_run_group_tests_name("label_decide", tests, NULL, NULL);
}
