// jq_test.c: the evaluator of jq programs: results, what is refused, limits, variables, memory.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "text/jq.h"
#include "text/jq_cases_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static struct jq *compiled(const char *text)
{
    struct jq *p = NULL;
    struct err e = {0};
    if (jq_compile(&p, bytes_of(text), &e) != 0)
        fail_msg("%s: %s", text, e.text);
    return p;
}

static struct val *parsed(const char *text)
{
    struct val *v = NULL;
    if (val_parse(&v, bytes_of(text), NULL) != 0)
        fail_msg("not JSON: %s", text);
    return v;
}

// The outputs as text, "error: ..." or the name of what jq_compile says.
static void outcome(const char *program, const char *input, const struct jq_args *limits,
                    struct buf *out)
{
    AUTO(jq) p = NULL;
    AUTO(val) in = parsed(input);
    AUTO(val) result = NULL;
    struct err e = {0};
    buf_init(out, 1 << 20);
    int rc = jq_compile(&p, bytes_of(program), &e);
    assert_int_equal(rc, e.code);
    if (rc < 0) {
        (void)buf_str(out, rc == E_UNSUPPORTED ? "unsupported"
                           : rc == E_FORBIDDEN ? "forbidden"
                                               : "parse");
        return;
    }
    struct jq_args args = *limits;
    args.input = in;
    rc = jq_run(p, &args, &result, &e);
    assert_int_equal(rc, e.code);
    if (rc == 0)
        (void)val_write(out, result);
    else
        (void)buf_fmt(out, "%s", rc == E_INVALID ? "error" : err_info(rc)->symbol);
}

static void check(const char *program, const char *input, const struct jq_args *limits,
                  const char *expected)
{
    struct buf out;
    outcome(program, input, limits, &out);
    if (!bytes_is(buf_bytes(&out), expected))
        fail_msg("%s on %s: %s, expected %s", program, input, buf_cstr(&out), expected);
    buf_fini(&out);
}

#define MANY (&(struct jq_args){.outputs_max = 1000, .now_ms = 1700000000500})

static void cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(jq_cases); i++)
        check(jq_cases[i].program, "null", MANY, jq_cases[i].outputs);
}

static void on_input(void **state)
{
    static const struct {
        const char *program, *input, *expected;
    } rows[] = {
        {"now", "null", "[1700000000.5]"},
        {"", "{\"a\":1}", "[{\"a\":1}]"},
        {".colors + [\"red\"]", "{\"colors\":[\"blue\"]}", "[[\"blue\",\"red\"]]"},
        {"{ sum: (.items | map(.price * .n) | add), n: (.items | length) }",
         "{\"items\":[{\"price\":2,\"n\":3},{\"price\":1.5,\"n\":2}]}", "[{\"sum\":9,\"n\":2}]"},
        {".pets[] | select(.kind == \"cat\") | .name",
         "{\"pets\":[{\"kind\":\"cat\",\"name\":\"Tom\"},{\"kind\":\"dog\",\"name\":\"Rex\"}]}",
         "[\"Tom\"]"},
        {"if .status == \"open\" then .n + 1 else 0 end", "{\"status\":\"open\",\"n\":41}", "[42]"},
        {".a.b.c.d", "{\"a\":{\"b\":{\"c\":{\"d\":[1]}}}}", "[[1]]"},
        {"reduce .[] as {key: $k, value: $v} ({}; .[$k] += $v)",
         "[{\"key\":\"a\",\"value\":1},{\"key\":\"a\",\"value\":2}]", "[{\"a\":3}]"},
        {"\"\\(.first) \\(.last)\"", "{\"first\":\"A\",\"last\":\"B\"}", "[\"A B\"]"},
        {". as [$h] | $h", "[9007199254740993]", "[9007199254740993]"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        check(rows[i].program, rows[i].input, MANY, rows[i].expected);
}

static void variables(void **state)
{
    (void)state;
    AUTO(jq) p = compiled("$input.a + $context.n + (1 as $x | $x) + $input.a");
    size_t at = 0;
    struct bytes name;
    assert_true(jq_each_var(p, &at, &name) && bytes_is(name, "input"));
    assert_true(jq_each_var(p, &at, &name) && bytes_is(name, "context"));
    assert_false(jq_each_var(p, &at, &name));
    AUTO(val) input = parsed("{\"a\":2}");
    AUTO(val) context = parsed("{\"n\":10}");
    struct jq_var vars[] = {{BYTES("context"), context}, {BYTES("input"), input}};
    struct jq_args args = {.vars = vars, .var_count = 2};
    AUTO(val) result = NULL;
    assert_int_equal(jq_run(p, &args, &result, NULL), 0);
    assert_int_equal(val_i64(val_at(result, 0), 0), 15);
    args.var_count = 1;
    struct err e = {0};
    struct val *none = NULL;
    assert_int_equal(jq_run(p, &args, &none, &e), E_INVALID);
    assert_non_null(strstr(e.text, "$input"));
    assert_null(none);
    static const struct {
        const char *text;
        bool uses;
    } rows[] = {
        {"$secrets.a", true},
        {"\"x\\($secrets | keys)\"", true},
        {"\"x\\(\"y\\($secrets)\")\"", true},
        {"\"$secrets\"", false},
        {"# $secrets", false},
        {"# \\\n $secrets", true},
        {".secrets, $secret", false},
        {"\"not closed $secrets", true},
        {"test(\"\\\\d\") | $secrets", true},
        {"((1)) | \"\\((2))\" | $other", false},
        {"$ secrets", true},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        if (jq_text_uses(bytes_of(rows[i].text), "secrets") != rows[i].uses)
            fail_msg("%s", rows[i].text);
}

static void outputs(void **state)
{
    (void)state;
    struct jq_args first = {0}, two = {.outputs_max = 2};
    check("1,error(\"never\")", "null", &first, "[1]");
    check("empty", "null", &first, "[]");
    check("1,2", "null", &two, "[1,2]");
    check("1,2,3", "null", &two, "E_TOOBIG");
}

static void limits(void **state)
{
    static const char *const endless[] = {
        "def f: f; f",
        "def f: [f]; f",
        "[recurse(.)]",
        "recurse(1,.)",
        "until(false; .)",
        "[while(true; .)]",
        "def f(x): f(x|x); f(.)",
        "reduce range(1e9) as $x (0; . + $x)",
        "[range(1e9)]",
        "[limit(1e9; range(1e9))] | length",
        "last(range(0;1e12;1))",
        "first(range(1e12) | select(. < 0))",
        "\"aaaaaaaaaaaaaaaa\" * 1e9",
        "reduce range(100) as $x (\"aaaaaaaaaa\"; . + .)",
        "reduce range(100) as $x ([1,2]; . + .)",
        "reduce range(1000) as $x (.; [.])",
        "reduce range(1000) as $x (.; {a: .})",
        "[range(1000)] | [combinations(3)]",
        ".[500000000] = 1",
        "[.[]?, range(2000000)] | sort",
        "def f: try f catch f; f",
        "label $x | def f: f; f",
    };
    (void)state;
    struct jq_args args = {.outputs_max = 1000000};
    for (size_t i = 0; i < COUNT(endless); i++)
        check(endless[i], "null", &args, "E_TOOBIG");
    check("try error(\"a\") catch .", "null", &(struct jq_args){.steps_max = 2}, "E_TOOBIG");
    check("[1,2,3,4]", "null", &(struct jq_args){.bytes_max = 32}, "E_TOOBIG");
    // not without reason
    check("[range(100000)] | length", "null", &args, "[100000]");
    check("reduce range(100000) as $x (\"\"; . + \"abcdefgh\") | length", "null", &args,
          "[800000]");
    check("reduce range(100000) as $x ([]; . + [$x]) | length", "null", &args, "[100000]");
    check("reduce range(50000) as $x ({}; .[\"k\\($x)\"] = $x) | length", "null", &args, "[50000]");
    check("def f: if . < 500 then . + 1 | f else . end; f", "0", &args, "[500]");
}

static void refused(void **state)
{
    static const struct {
        const char *text;
        int code;
    } rows[] = {
        {".a", 0},
        {"test(\"a\")", 0}, // libjq's
        {"$ENV.HOME", E_FORBIDDEN},
        {"env", E_FORBIDDEN},
        {"[.a, (.b | input)]", E_FORBIDDEN},
        {"\"\\(env)\"", E_FORBIDDEN},
        {"def f: inputs; 1", E_FORBIDDEN},
        {"debug", E_FORBIDDEN},
        {"localtime", E_FORBIDDEN},
        {"include \"a\"; 1", E_FORBIDDEN},
        {"import \"a\" as a; 1", E_FORBIDDEN},
        {"a::b", E_FORBIDDEN},
        {"halt_error", E_FORBIDDEN},
        {"{env: 1, input: .debug}", 0},
        {"{env, input}", 0},
        {"def env: 1; env", 0},
        {"\"env\"", 0},
        {"# \\\n env", E_PARSE},
        {"$ ENV", E_PARSE},
        {"test(\"a\") | $ENV", E_FORBIDDEN},
        {"1 +", E_PARSE},
        {"\xff", E_PARSE},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct err e = {0};
        int rc = jq_check(bytes_of(rows[i].text), &e);
        if (rc != rows[i].code || e.code != rc)
            fail_msg("%s: %d %s", rows[i].text, rc, e.text);
    }
    struct err e = {0};
    struct jq *p = NULL;
    assert_int_equal(jq_compile(&p, bytes_of("1 |\n  foo(2)"), &e), E_PARSE);
    assert_string_equal(e.text, "jq, line 2, column 9: foo/1 is not defined");
    assert_null(p);
    char deep[3000];
    memset(deep, '(', sizeof deep);
    assert_int_equal(jq_compile(&p, (struct bytes){deep, sizeof deep}, &e), E_PARSE);
    memset(deep, '[', sizeof deep);
    assert_int_equal(jq_compile(&p, (struct bytes){deep, sizeof deep}, &e), E_PARSE);
    memset(deep, '-', sizeof deep);
    assert_int_equal(jq_compile(&p, (struct bytes){deep, sizeof deep}, &e), E_PARSE);
}

static void messages(void **state)
{
    static const struct {
        const char *program, *message;
    } rows[] = {
        {"1 | .[]", "jq: Cannot iterate over number (1)"},
        {"{} + 1", "jq: object ({}) and number (1) cannot be added"},
        {"[1] | .a", "jq: Cannot index array with string \"a\""},
        {"error(\"boo\")", "jq: boo"},
        {"error({a: 1})", "jq: error (not a string): {\"a\":1}"},
        {"\"abcdefghijklmnopqrstuvwxyz\" - 1",
         "jq: string (\"abcdefghij...) and number (1) cannot be subtracted"},
        {"\"a\" | tonumber", "jq: string (\"a\") cannot be parsed as a number"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO(jq) p = compiled(rows[i].program);
        assert_true(bytes_is(jq_text(p), rows[i].program));
        struct err e = {0};
        struct val *v = NULL;
        struct jq_args args = {0};
        assert_int_equal(jq_run(p, &args, &v, &e), E_INVALID);
        assert_string_equal(e.text, rows[i].message);
    }
}

// The input belongs to somebody else too: whatever a program does, it stays as it was.
static void input_stays(void **state)
{
    static const char *const programs[] = {
        ".a += 1 | .b.c = 2 | del(.l[0])",
        ".l[1:] = [9]",
        ".l |= map(. * 2)",
        ".l += [5] | .l[0] |= empty",
        "to_entries",
        "[.., .] | flatten | length",
        "walk(if type == \"number\" then . + 1 else . end)",
    };
    const char *text = "{\"a\":1,\"b\":{},\"l\":[1,2,3]}";
    (void)state;
    for (size_t i = 0; i < COUNT(programs); i++) {
        AUTO(jq) p = compiled(programs[i]);
        AUTO(val) in = parsed(text);
        AUTO(val) result = NULL;
        struct jq_args args = {.input = in};
        assert_int_equal(jq_run(p, &args, &result, NULL), 0);
        struct buf out;
        buf_init(&out, 1000);
        (void)val_write(&out, in);
        assert_string_equal(buf_cstr(&out), text);
        buf_fini(&out);
    }
}

static void no_memory(void **state)
{
    (void)state;
    static const char *const programs[] = {
        "def f($a; g): [$a, g]; . as [$x, {y: $z}] | {a: f($x; $z), \"b\\($x)\": (.[1] | .k.l = "
        "1)}",
        "[.[] | tojson, (tostring | @base64)] | sort | group_by(.) | map(length) | add",
        "reduce range(20) as $i ({}; .[\"k\\($i)\"] = [$i]) | del(.k3, .k4) | to_entries | "
        "from_entries | [paths] | length",
        "[limit(3; recurse(if . == 3 then empty else 3 end))] | first(.[]) // \"none\" | "
        "[\"a,b\" | split(\",\")[] | ascii_upcase] | join(\"-\")",
    };
    uint64_t live = mem_live();
    for (size_t i = 0; i < COUNT(programs); i++) {
        for (uint64_t n = 1;; n++) {
            AUTO(val) in = parsed("[1,{\"y\":2}]");
            struct jq *p = NULL;
            struct val *v = NULL;
            struct jq_args args = {.input = in};
            struct err e = {0};
            mem_fail_after(n, 1);
            int rc = jq_compile(&p, bytes_of(programs[i]), &e);
            if (rc == 0)
                rc = jq_run(p, &args, &v, &e);
            mem_fail_after(0, 0);
            jq_free(p);
            val_unref(v);
            if (rc == 0)
                break;
            if (rc != E_NOMEM && rc != E_TOOBIG)
                fail_msg("%s, allocation %u: %s", programs[i], (unsigned)n, e.text);
            assert_true(n < 3000);
        }
    }
    assert_int_equal(mem_live(), live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cases),    cmocka_unit_test(on_input),    cmocka_unit_test(variables),
        cmocka_unit_test(outputs),  cmocka_unit_test(limits),      cmocka_unit_test(refused),
        cmocka_unit_test(messages), cmocka_unit_test(input_stays), cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
