// subject_test.c: subjects and patterns.
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "text/subject.h"

#include <string.h>

static const struct {
    const char *text, *environment, *domain, *service, *detail; // environment NULL: refused
    int code;
} subjects[] = {
    // The examples of the mission.
    {"dev.nervous.cells.math.request", "dev", "nervous", "cells", "math.request", 0},
    {"dev.nervous.cells.math.response", "dev", "nervous", "cells", "math.response", 0},
    {"dev.nervous.cells.math.wave", "dev", "nervous", "cells", "math.wave", 0},
    {"prod.cognitive.nyx.heartbeat", "prod", "cognitive", "nyx", "heartbeat", 0},
    {"prod.organs.vision.detect", "prod", "organs", "vision", "detect", 0},
    {"staging.memory2.long-term.a_b.C.9", "staging", "memory2", "long-term", "a_b.C.9", 0},
    {"", NULL, NULL, NULL, NULL, E_INVALID},
    {"dev", NULL, NULL, NULL, NULL, E_INVALID},
    {"dev.organs.vision", NULL, NULL, NULL, NULL, E_INVALID},
    {"test.organs.vision.detect", NULL, NULL, NULL, NULL, E_INVALID},
    {"DEV.organs.vision.detect", NULL, NULL, NULL, NULL, E_INVALID},
    {"dev..vision.detect", NULL, NULL, NULL, NULL, E_INVALID},
    {".dev.organs.vision.detect", NULL, NULL, NULL, NULL, E_INVALID},
    {"dev.organs.vision.detect.", NULL, NULL, NULL, NULL, E_INVALID},
    {"dev.organs.vision.*", NULL, NULL, NULL, NULL, E_INVALID},
    {"dev.organs.vision.>", NULL, NULL, NULL, NULL, E_INVALID},
    {"dev.organs.vision.a b", NULL, NULL, NULL, NULL, E_INVALID},
    {"dev.organs.vision.a\r\nPUB", NULL, NULL, NULL, NULL, E_INVALID},
    {"dev.organs.vision.\xc3\xa4", NULL, NULL, NULL, NULL, E_INVALID},
    {"dev.Organs.vision.detect", NULL, NULL, NULL, NULL, E_INVALID},
    {"dev.9organs.vision.detect", NULL, NULL, NULL, NULL, E_INVALID},
    {"dev.a.b.c.e.f.g.h.i.j.k.l.m.n.o.p.q", NULL, NULL, NULL, NULL, E_TOOBIG},
};

static void test_subjects(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof subjects / sizeof *subjects; i++) {
        struct subject s;
        struct err e = {0};
        int rc = subject_parse(&s, bytes_of(subjects[i].text), &e);
        if (rc != subjects[i].code)
            fail_msg("%s: %d, not %d: %s", subjects[i].text, rc, subjects[i].code, e.text);
        if (rc)
            continue;
        assert_true(bytes_is(s.environment, subjects[i].environment));
        assert_true(bytes_is(s.domain, subjects[i].domain));
        assert_true(bytes_is(s.service, subjects[i].service));
        assert_true(bytes_is(s.detail, subjects[i].detail));
    }
    char text[300] = "dev.organs.vision.";
    memset(text + 18, 'x', 281);
    assert_int_equal(subject_parse(&(struct subject){0}, (struct bytes){text, 256}, NULL),
                     E_TOOBIG);
    assert_int_equal(subject_parse(&(struct subject){0}, (struct bytes){text, 255}, NULL), 0);
}

static const struct {
    const char *pattern;
    int code;
} patterns[] = {
    {"dev.>", 0},           {"dev.organs.>", 0},        {"dev.*.vision.detect", 0},
    {"dev.*.*.*", 0},       {"dev.organs.vision.x", 0}, {"dev.organs", 0},
    {">", E_INVALID},       {"*.organs.>", E_INVALID},  {"dev", E_INVALID},
    {"dev.>.x", E_INVALID}, {"dev.a*.x", E_INVALID},    {"dev..>", E_INVALID},
    {"", E_INVALID},        {"dev.or>", E_INVALID},     {"dev.*.", E_INVALID},
    {"*", E_INVALID},       {"dev.[a].>", E_INVALID},   {"live.>", E_INVALID},
};

static void test_patterns(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        struct err e = {0};
        int rc = subject_pattern_check(bytes_of(patterns[i].pattern), &e);
        if (rc != patterns[i].code || rc != e.code)
            fail_msg("%s: %d, not %d: %s", patterns[i].pattern, rc, patterns[i].code, e.text);
    }
}

static const struct {
    const char *pattern, *subject;
    bool is;
} matches[] = {
    {"dev.organs.vision.detect", "dev.organs.vision.detect", true},
    {"dev.organs.vision.detect", "dev.organs.vision.detects", false},
    {"dev.organs.vision.detects", "dev.organs.vision.detect", false},
    {"dev.organs.vision.*", "dev.organs.vision.detect", true},
    {"dev.organs.vision.*", "dev.organs.vision.detect.more", false},
    {"dev.organs.*.detect", "dev.organs.vision.detect", true},
    {"dev.organs.*.detect", "dev.organs.vision.x.detect", false},
    {"dev.*.*.*", "dev.organs.vision.detect", true},
    {"dev.*.*", "dev.organs.vision.detect", false},
    {"dev.>", "dev.organs.vision.detect", true},
    {"dev.organs.vision.detect.>", "dev.organs.vision.detect", false},
    {"dev.organs.>", "dev.organs.vision.detect", true},
    {"dev.organs.>", "dev.nervous.vision.detect", false},
    {"dev.*.vision.>", "dev.organs.vision.detect.a.b", true},
    {"prod.>", "dev.organs.vision.detect", false},
};

static void test_match(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof matches / sizeof *matches; i++)
        if (subject_match(bytes_of(matches[i].pattern), bytes_of(matches[i].subject)) !=
            matches[i].is)
            fail_msg("%s on %s is not %d", matches[i].pattern, matches[i].subject, matches[i].is);
    assert_false(subject_is_exact(BYTES("dev.>")));
    assert_false(subject_is_exact(BYTES("dev.*.a.b")));
    assert_true(subject_is_exact(BYTES("dev.a.b.c")));
    assert_true(bytes_is(subject_environment(BYTES("dev.a")), "dev"));
}

static void test_token(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 100);
    (void)subject_put_token(&b, BYTES("Qwen2.5:7b/*"));
    (void)subject_put_token(&b, BYTES(""));
    assert_string_equal(buf_cstr(&b), "Qwen2_5_7b___");
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_subjects),
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_match),
        cmocka_unit_test(test_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
