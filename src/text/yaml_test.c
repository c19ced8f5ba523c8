// yaml_test.c: YAML to JSON: scalars, anchors, merge keys, positions, refusals.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "text/yaml.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *yaml, *json; // json NULL: refused, error: part of the text
    const char *error;
} cases[] = {
    {"", "null", NULL},
    {"# only a comment\n", "null", NULL},
    {"~", "null", NULL},
    {"a: 1\nb: [x, 'y', \"z\\n\"]\n", "{\"a\":1,\"b\":[\"x\",\"y\",\"z\\n\"]}", NULL},
    {"[true, True, FALSE, yes, no, on, off]", "[true,true,false,\"yes\",\"no\",\"on\",\"off\"]",
     NULL},
    {"[null, Null, ~, '', 'null']", "[null,null,null,\"\",\"null\"]", NULL},
    {"[1, -2, +3, 007, 0x1F, 0o17, 0x, 1_000]", "[1,-2,3,7,31,15,\"0x\",\"1_000\"]", NULL},
    {"[1.5, .5, 5., 1e3, -1.25E-2, 1.2.3, e3]", "[1.5,0.5,5.0,1000.0,-0.0125,\"1.2.3\",\"e3\"]",
     NULL},
    {"[123456789012345678901234567890]", "[123456789012345678901234567890]", NULL},
    {"[0xFFFFFFFFFFFFFFFF]", "[18446744073709551615]", NULL},
    {"[12:30, 2024-01-02, 1m]", "[\"12:30\",\"2024-01-02\",\"1m\"]", NULL},
    {"[!!str 1, !!int '2', !!float 3, !!bool 'true', !!null '']", "[\"1\",2,3.0,true,null]", NULL},
    {"! 5", "\"5\"", NULL},
    {"8080: a\ntrue: b\n", "{\"8080\":\"a\",\"true\":\"b\"}", NULL},
    {"a: |\n  x\n  y\nb: >\n  x\n  y\n", "{\"a\":\"x\\ny\\n\",\"b\":\"x y\\n\"}", NULL},
    {"a: &x {k: 1}\nb: *x\n", "{\"a\":{\"k\":1},\"b\":{\"k\":1}}", NULL},
    {"&k a: 1\nb: *k\n", "{\"a\":1,\"b\":\"a\"}", NULL},
    {"base: &b {x: 1, y: 2}\nd:\n  <<: *b\n  y: 3\n",
     "{\"base\":{\"x\":1,\"y\":2},\"d\":{\"y\":3,\"x\":1}}", NULL},
    {"d:\n  <<: [{x: 1}, {x: 2, z: 3}]\n", "{\"d\":{\"x\":1,\"z\":3}}", NULL},
    {"a: &a {p: 1}\nb: &b {<<: *a, q: 2}\nc: {<<: *b}\n",
     "{\"a\":{\"p\":1},\"b\":{\"q\":2,\"p\":1},\"c\":{\"q\":2,\"p\":1}}", NULL},
    {"'<<': 1", "{\"<<\":1}", NULL},
    {"%YAML 1.2\n---\na: 1\n...\n", "{\"a\":1}", NULL},
    {"a: 1\nb: 2\na: 3\n", NULL, "line 3, column 1: duplicate key \"a\" (first on line 1)"},
    {"a: &x [*x]", NULL, "line 1, column 8: an alias inside its own anchor"},
    {"a: *y", NULL, "an alias of no anchor"},
    {"--- 1\n--- 2\n", NULL, "line 2, column 1: a second document"},
    {"a: !thing 1", NULL, "line 1, column 4: an unknown tag"},
    {"a: !thing {}", NULL, "an unknown tag"},
    {"!!seq {}", NULL, "an unknown tag"},
    {"!!int x", NULL, "does not fit its tag"},
    {".inf", NULL, "JSON has no such number"},
    {"-.NaN", NULL, "JSON has no such number"},
    {"1e999", NULL, "over the range"},
    {"0xFFFFFFFFFFFFFFFFF", NULL, "over 64 bits"},
    {"? [a]\n: 1", NULL, "a key must be a scalar"},
    {"<<: 1", NULL, "\"<<\" takes a mapping"},
    {"<<: [1]", NULL, "\"<<\" takes mappings"},
    {"a: [1, 2", NULL, "while parsing a flow sequence that began on line 1"},
    {"a: b: c", NULL, "line 1, column 5: mapping values are not allowed"},
    {"\ta: 1", NULL, "line 1"},
    {"a: \"\xff\"", NULL, "line 1, column 5"},
    {"a: 1\nb: \xc3\xa4\xff", NULL, "line 2, column 5"},
};

static void test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct yaml *y = NULL;
        struct err e = {0};
        struct buf out;
        buf_init(&out, 4096);
        int rc = yaml_parse(&y, bytes_of(cases[i].yaml), &e);
        if (cases[i].json) {
            if (rc < 0)
                print_error("%s: %s\n", cases[i].yaml, e.text);
            assert_int_equal(rc, 0);
            assert_int_equal(json_write(&out, yaml_root(y)), 0);
            assert_string_equal(buf_cstr(&out), cases[i].json);
        } else {
            assert_int_equal(rc, E_PARSE);
            if (!strstr(e.text, cases[i].error))
                fail_msg("%s: want \"%s\", have \"%s\"", cases[i].yaml, cases[i].error, e.text);
        }
        yaml_free(y);
        buf_fini(&out);
    }
}

static void test_positions(void **state)
{
    (void)state;
    static const char text[] = "node:\n"
                               "  name: x\n"
                               "models:\n"
                               "  - { id: one, \"a/b\": 2 }\n"
                               "  - &two\n"
                               "    id: two\n"
                               "  - *two\n";
    static const struct {
        const char *pointer;
        bool key;
        uint32_t line, column;
    } rows[] = {
        {"", false, 1, 1},
        {"", true, 1, 1},
        {"/node", true, 1, 1},
        {"/node", false, 2, 3},
        {"/node/name", true, 2, 3},
        {"/node/name", false, 2, 9},
        {"/models/0/id", false, 4, 11},
        {"/models/0/a~1b", true, 4, 16},
        {"/models/1/id", true, 6, 5},
        {"/models/2", false, 7, 5},
        {"/models/2/id", false, 6, 9}, // inside an alias: where the value stands
        {"/models/0/nothing", true, 4, 5}, // the nearest parent
        {"/nothing/at/all", false, 1, 1},
        {"bad", false, 0, 0},
    };
    struct yaml *y = NULL;
    struct err e = {0};
    assert_int_equal(yaml_parse(&y, bytes_of(text), &e), 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct yaml_pos p = yaml_where(y, bytes_of(rows[i].pointer), rows[i].key);
        if (p.line != rows[i].line || p.column != rows[i].column)
            fail_msg("%s (%d): want %u:%u, have %u:%u", rows[i].pointer, rows[i].key, rows[i].line,
                     rows[i].column, p.line, p.column);
    }
    yaml_free(y);
}

static void test_merged_positions(void **state)
{
    (void)state;
    struct yaml *y = NULL;
    struct err e = {0};
    assert_int_equal(yaml_parse(&y, BYTES("a: &a\n  x: 1\nb:\n  <<: *a\n  y: 2\n"), &e), 0);
    assert_int_equal(yaml_where(y, BYTES("/b/x"), true).line, 2);
    assert_int_equal(yaml_where(y, BYTES("/b/y"), true).line, 5);
    yaml_free(y);
}

static void refused(struct buf *text, int code, const char *part)
{
    struct yaml *y = NULL;
    struct err e = {0};
    int rc = yaml_parse(&y, buf_bytes(text), &e);
    assert_int_equal(rc, code);
    if (!strstr(e.text, part))
        fail_msg("want \"%s\", have \"%s\"", part, e.text);
    assert_null(y);
}

static void test_bounds(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, (size_t)32 << 20);
    // A billion laughs.
    buf_str(&b, "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 12; i++)
        buf_fmt(&b, "a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n", i,
                i, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    refused(&b, E_TOOBIG, "values after expansion");
    // The same by merge keys.
    buf_clear(&b);
    buf_str(&b, "a0: &a0 {x: 1}\n");
    for (int i = 1; i < 24; i++)
        buf_fmt(&b, "a%d: &a%d {<<: [*a%d, *a%d]}\n", i, i, i - 1, i - 1);
    refused(&b, E_TOOBIG, "merged keys");
    // Long strings.
    buf_clear(&b);
    buf_str(&b, "- &a ");
    for (int i = 0; i < 100000; i++)
        buf_str(&b, "0123456789");
    buf_str(&b, "\n");
    for (int i = 0; i < 100; i++)
        buf_str(&b, "- *a\n");
    refused(&b, E_TOOBIG, "MiB after expansion");
    // Depth.
    buf_clear(&b);
    for (int i = 0; i < 20000; i++)
        buf_chr(&b, '[');
    refused(&b, E_PARSE, "nested too deep");
    buf_clear(&b);
    for (int i = 0; i < (17 << 20); i++)
        buf_chr(&b, '#');
    refused(&b, E_TOOBIG, "16 MiB");
    buf_fini(&b);
}

static void test_many_keys(void **state)
{
    (void)state;
    struct buf b;
    struct yaml *y = NULL;
    struct err e = {0};
    buf_init(&b, (size_t)1 << 20);
    for (int i = 0; i < 1000; i++)
        buf_fmt(&b, "k%d: %d\n", i, i);
    assert_int_equal(yaml_parse(&y, buf_bytes(&b), &e), 0);
    assert_int_equal(json_len(yaml_root(y)), 1000);
    assert_int_equal(yaml_where(y, BYTES("/k999"), true).line, 1000);
    yaml_free(y);
    buf_str(&b, "k500: again\n");
    refused(&b, E_PARSE, "line 1001, column 1: duplicate key \"k500\" (first on line 501)");
    buf_fini(&b);
}

static void test_no_memory(void **state)
{
    (void)state;
    uint64_t live = mem_live();
    int rc = E_NOMEM;
    for (uint64_t n = 1; rc < 0; n++) {
        struct yaml *y = NULL;
        struct err e = {0};
        mem_fail_after(n, 1);
        rc = yaml_parse(&y, BYTES("a: &a {x: 1}\nb: {<<: *a, y: [1, 2]}\n"), &e);
        mem_fail_after(0, 0);
        yaml_free(y);
        assert_true(rc == 0 || e.code < 0);
        assert_int_equal(mem_live(), live);
    }
    yaml_free(NULL);
    assert_null(yaml_root(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_positions),
        cmocka_unit_test(test_merged_positions),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_many_keys),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests_name("yaml", tests, NULL, NULL);
}
