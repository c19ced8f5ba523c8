// jq_diff_test.c: our evaluator of jq against libjq: a table of programs, and programs made by a
// grammar with a seed. PLEXUS_SEED and PLEXUS_JQ_PROGRAMS choose others and more of them.
// SPDX-License-Identifier: Apache-2.0
#include "adapters/expr_jq.h"
#include "base/alloc.h"
#include "base/rng.h"
#include "text/jq.h"
#include "text/jq_cases_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

// libjq leaks when a program does not compile.
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libjq";
}

#define COUNT(a) (sizeof(a) / sizeof *(a))

// Where versions of jq differ we follow the newer, and 1.7 where 1.8 went another way.
static const struct {
    const char *version, *program;
} differing[] = {
    {"1.6", "try error(null) catch ."},
    {"1.6", "try error catch ."},
    {"1.6", "error"}, // of null: nothing at all
    {"1.6", "[1,2,3]|.[1.7]"},
    {"1.6", "[1,2,3]|.[] |= empty"}, // lets every second one live
    {"1.6", "nan%1"},
    {"1.6", "pick(.a)"},
    {"1.6", "add(1,2)"},
    {"1.6", "\"  a \"|trim"},
    {"1.6", "\"üa,b,\"|rindex(\",\"),indices(\",\")"}, // counts bytes
    {"1.6", "\"!*'()~-_.ü\"|@uri"},
    {"1.6", "try (1/0) catch \"E\""}, // does not compile
    {"1.6", "1/0"},
    {"1.6", "[limit(0;1,2)]"},
    {"1.8", "\"a\"*0"},
    {"1.8", "ltrimstr(\"a\")"},
    {"1.8", "{\"a\":{\"b\":{\"c\":1}}} | [paths], [leaf_paths], [getpath([\"a\",\"b\",\"c\"])]"},
    {"libjq", "# comment"}, // alone: an error when it is a part of something
};

static bool differs(const struct expr_jq *jq, const char *program)
{
    for (size_t i = 0; i < COUNT(differing); i++)
        if (strstr(expr_jq_version(jq), differing[i].version) &&
            strcmp(program, differing[i].program) == 0)
            return true;
    return false;
}

// ---- batches: libjq takes long to compile, so many programs are run as one ----

enum { BATCH = 24 };
struct one {
    char program[1024];
    struct val *ours; // all outputs, NULL: an error
};
struct batch {
    struct expr_jq *jq;
    struct one ones[BATCH];
    size_t n;
    const char *input;
    unsigned same, errors, known;
};

// The outputs of one program by libjq; NULL: an error, or it does not compile.
static struct val *theirs_alone(struct batch *b, const char *program)
{
    struct buf out;
    struct val *v = NULL;
    buf_init(&out, 1 << 22);
    if (expr_jq_eval(b->jq, bytes_of(program), bytes_of(b->input), BYTES("{\"v\":[1,2]}"),
                     1700000000000, &out, NULL) == 0)
        assert_int_equal(val_parse(&v, buf_bytes(&out), NULL), 0);
    buf_fini(&out);
    return v;
}

static void compare(struct batch *b, const struct one *one, const struct val *theirs)
{
    bool same = one->ours && theirs ? val_equal(one->ours, theirs) : !one->ours && !theirs;
    if (same) {
        b->same++;
        b->errors += !theirs;
        return;
    }
    // The tables are of 1.6; a newer one differs in some places, which is told, and bounded.
    if (!strstr(expr_jq_version(b->jq), "1.6")) {
        print_message("%s differs: %s on %s\n", expr_jq_version(b->jq), one->program, b->input);
        b->known++;
        return;
    }
    // 1.6 catches what fails behind a try, too; and counts what `any` and `all` find.
    static const char *const known[] = {")?", "try", "any(", "all("};
    for (size_t i = 0; i < COUNT(known) && strstr(expr_jq_version(b->jq), "1.6"); i++)
        if (strstr(one->program, known[i])) {
            b->known++;
            return;
        }
    struct buf text;
    buf_init(&text, 1 << 22);
    (void)(one->ours ? val_write(&text, one->ours) : buf_str(&text, "an error"));
    (void)buf_str(&text, ", libjq: ");
    (void)(theirs ? val_write(&text, theirs) : buf_str(&text, "an error"));
    fail_msg("%s\non %s\nours: %s", one->program, b->input, buf_cstr(&text));
}

static void batch_run(struct batch *b)
{
    struct buf program, out;
    struct val *all = NULL;
    buf_init(&program, 1 << 16);
    buf_init(&out, 1 << 24);
    for (size_t i = 0; i < b->n; i++)
        (void)buf_fmt(&program, "def case%zu: %s\n; ", i, b->ones[i].program);
    (void)buf_str(&program, "[");
    for (size_t i = 0; i < b->n; i++)
        (void)buf_fmt(&program, "%s(try [[case%zu]] catch [])", i ? "," : "", i);
    (void)buf_str(&program, "]");
    int rc = b->n == 0 ? 0
                       : expr_jq_eval(b->jq, buf_bytes(&program), bytes_of(b->input),
                                      BYTES("{\"v\":[1,2]}"), 1700000000000, &out, NULL);
    if (rc == 0 && b->n > 0)
        assert_int_equal(val_parse(&all, buf_bytes(&out), NULL), 0);
    for (size_t i = 0; i < b->n; i++) {
        struct val *alone = all ? NULL : theirs_alone(b, b->ones[i].program);
        compare(b, &b->ones[i], all ? val_at(val_at(val_at(all, 0), i), 0) : alone);
        val_unref(alone);
        val_unref(b->ones[i].ours);
    }
    val_unref(all);
    buf_fini(&program);
    buf_fini(&out);
    b->n = 0;
}

// false: ours does not take it, or it comes to a limit.
static bool batch_add(struct batch *b, const char *program)
{
    AUTO(jq) p = NULL;
    AUTO(val) in = NULL;
    AUTO(val) v = NULL;
    struct val *ours = NULL;
    struct one *one = &b->ones[b->n];
    if (strlen(program) >= sizeof one->program || jq_compile(&p, bytes_of(program), NULL) != 0)
        return false;
    assert_int_equal(val_parse(&in, bytes_of(b->input), NULL), 0);
    assert_int_equal(val_parse(&v, BYTES("[1,2]"), NULL), 0);
    struct jq_var vars[] = {{BYTES("v"), v}};
    struct jq_args args = {.input = in, .vars = vars, .var_count = 1, .outputs_max = 2000};
    args.steps_max = 20000;
    args.bytes_max = 4 << 20;
    int rc = jq_run(p, &args, &ours, NULL);
    if (rc != 0 && rc != E_INVALID)
        return false;
    (void)snprintf(one->program, sizeof one->program, "%s", program);
    one->ours = ours;
    if (++b->n == BATCH)
        batch_run(b);
    return true;
}

static void table(void **state)
{
    struct batch b = {.input = "null"};
    (void)state;
    if (expr_jq_open(&b.jq, NULL) != 0)
        skip();
    for (size_t i = 0; i < COUNT(jq_cases); i++) {
        const struct jq_case *c = &jq_cases[i];
        if (strcmp(c->outputs, "unsupported") == 0 || strcmp(c->outputs, "forbidden") == 0 ||
            differs(b.jq, c->program))
            continue;
        if (strcmp(c->outputs, "parse") != 0) {
            assert_true(batch_add(&b, c->program));
            continue;
        }
        struct val *none = theirs_alone(&b, c->program);
        if (none)
            fail_msg("%s: libjq takes it", c->program);
    }
    batch_run(&b);
    assert_true(b.known * 20 <= b.same); // 5 %, with a libjq that the table is not of
    print_message("%u programs of the table, %u of them errors: %s gives the same\n", b.same,
                  b.errors, expr_jq_version(b.jq));
    expr_jq_free(b.jq);
}

// ---- the grammar ----
// In templates: E is an expression, P a path, N a small number, K a key.

static const char *const leaves[] = {
    ".",
    ".",
    ".a",
    ".b",
    ".a.b",
    ".[0]",
    ".[-1]",
    ".[]",
    ".[1:]",
    ".[:-1]",
    "..",
    "1",
    "2",
    "0",
    "0.5",
    "3",
    "\"x\"",
    "\"a,b\"",
    "\"a\"",
    "null",
    "true",
    "false",
    "[]",
    "{}",
    "[3,1,2]",
    "{\"a\":1}",
    "[{\"a\":1},{\"a\":0}]",
    "$v",
    "$v[]",
    "(1,2)",
    "empty",
    "error(\"x\")",
};
static const char *const calls[] = {
    "length",
    "keys",
    "keys_unsorted",
    "type",
    "tostring",
    "tojson",
    "not",
    "add",
    "sort",
    "min",
    "max",
    "unique",
    "reverse",
    "first",
    "last",
    "to_entries",
    "from_entries",
    "flatten",
    "flatten(1)",
    "ascii_downcase",
    "ascii_upcase",
    "explode",
    "floor",
    "sqrt",
    "fabs",
    "ceil",
    "any",
    "all",
    "values",
    "nulls",
    "booleans",
    "numbers",
    "strings",
    "arrays",
    "objects",
    "iterables",
    "scalars",
    "[paths]",
    "transpose",
    "@base64",
    "@json",
    "@html",
    "@csv",
    "@tsv",
    "@sh",
    "@text",
    "utf8bytelength",
    "recurse",
    "tonumber",
    "fromjson",
    "isnan",
    "ltrimstr(\"a\")",
    "rtrimstr(\"b\")",
    "split(\",\")",
    "join(\",\")",
    "has(K)",
    "has(N)",
    "startswith(\"a\")",
    "endswith(\"b\")",
    "index(\"a\")",
    "rindex(N)",
    "indices(N)",
    "nth(N)",
    "combinations",
    "tostream",
    "isempty(E)",
    "in({\"a\":1})",
};
static const char *const shapes[] = {
    "E + E",
    "E - E",
    "E * E",
    "E / E",
    "E % E",
    "E == E",
    "E != E",
    "E < E",
    "E <= E",
    "E > E",
    "E >= E",
    "E and E",
    "E or E",
    "E // E",
    "E, E",
    "E | E",
    "E | E",
    "E | E",
    "-(E)",
    "[E]",
    "[E]",
    "{a: (E), b: (E)}",
    "{K: (E)}",
    "{(E): (E)}",
    "{a, \"b\"}",
    "(E)?",
    "try (E) catch \"E\"",
    "if E then E else E end",
    "if E then E elif E then E else E end",
    "map(E)",
    "map(select(E))",
    "select(E)",
    "[.[]? | E]",
    "reduce (E) as $v (E; E)",
    "foreach (E) as $v (E; E)",
    "foreach (E) as $v (E; E; [$v, E])",
    "(E) as $v | E",
    "(E) as [$v, $w] | [$v, $w, E]",
    "(E) as {a: $v, K: $w} | [$v, $w]",
    "(E) as {$a, b: [$v]} | [$a, $v]",
    "\"\\(E)-\\(E)\"",
    "@base64 \"x\\(E)\"",
    "sort_by(E)",
    "group_by(E)",
    "unique_by(E)",
    "min_by(E)",
    "max_by(E)",
    "first(E)",
    "last(E)",
    "limit(2; E)",
    "any(E; E)",
    "all(E; E)",
    "any(E)",
    "[path(P)]",
    "del(P)",
    "del(P, P)",
    "P = (E)",
    "P |= [E]",
    "P += (E)",
    "P -= 1",
    "P //= (E)",
    "P *= (E)",
    "getpath([K, N])",
    "setpath([K]; E)",
    "delpaths([[K], [N]])",
    "[paths(E)]",
    "[range(N; N)]",
    "[range(0; N; 2)]",
    "contains(E)",
    "inside(E)",
    "with_entries(.value |= [E])",
    "(E)[N]",
    "(E)[K]?",
    "(E)[N:N]",
    "label $f | (E), break $f, E",
    "label $f | .[]? | (E), break $f",
    "def f(g): [g, g]; f(E)",
    "def f($x; g): [$x, g]; f(E; E)",
    "def f: E; f | f",
    "def f: if length < 3 then . + . | f else . end; [1] | f",
    "[recurse(.[]?; E)]",
    "[limit(5; recurse(E))]",
    "walk(if type == \"number\" then . + 1 else . end)",
    "[.. | E]",
    "until(true; E)",
    "to_entries | map(E)",
    "map_values([E])",
    "add / length",
    "INDEX(.[]?; E)",
    "IN(E)",
    "ltrimstr(E)",
    "split(E)",
    "join(E)",
    "[while(length < 3; . + [1])]",
    "tojson | fromjson",
    "E as $v | $v + E",
};
static const char *const paths[] = {
    ".",
    ".a",
    ".b",
    ".[0]",
    ".[]",
    ".a.b",
    ".a[1:]",
    ".[N]",
    "(P | P)",
    "(P, P)",
    "..",
    "first(P)",
    "(P | select(E))",
    "(if E then P else P end)",
    "(P // P)",
    "getpath([K, N])",
    "(.a | .. )",
    "(.[]? | P)",
    "(E as $v | P)",
    "empty",
};
static const char *const inputs[] = {
    "null",
    "{\"a\":{\"b\":2,\"c\":[1,2]},\"b\":[3,{\"a\":null}]}",
    "[1,[2,3],{\"a\":\"x\"}]",
    "[{\"a\":1,\"b\":2},{\"a\":1,\"b\":1},{\"b\":null}]",
    "\"a,b\"",
    "5",
    "[]",
    "{\"key\":\"a\",\"value\":false}",
    "[[1,2],[3,4]]",
    "[\"b\",\"a\",\"a\"]",
};

struct grammar {
    struct rng rng;
    struct buf out;
};

#define PICK(g, table) (table)[rng_below(&(g)->rng, COUNT(table))]

static void make(struct grammar *g, char kind, unsigned depth)
{
    static const char *const keys[] = {"\"a\"", "\"b\"", "\"c\""};
    static const char *const numbers[] = {"0", "1", "2", "3", "-1"};
    const char *shape;
    uint64_t dice = rng_below(&g->rng, 10);
    if (kind == 'K')
        shape = PICK(g, keys);
    else if (kind == 'N')
        shape = PICK(g, numbers);
    else if (kind == 'P')
        shape = depth > 0 ? PICK(g, paths) : paths[rng_below(&g->rng, 7)];
    else if (depth == 0 || dice < 2)
        shape = PICK(g, leaves);
    else
        shape = dice < 5 ? PICK(g, calls) : PICK(g, shapes);
    // Letters of the grammar stand alone.
    for (const char *at = shape; *at; at++) {
        bool alone = strchr("EPNK", *at) && (at == shape || !strchr("abcdefghijklmnopqrstuvwxyzI"
                                                                    "NDX$\"",
                                                                    at[-1]));
        if (!alone || (at[1] >= 'A' && at[1] <= 'Z') || (kind == 'E' && at[1] == '"')) {
            (void)buf_chr(&g->out, *at);
            continue;
        }
        bool expression = *at == 'E' || *at == 'P';
        if (expression)
            (void)buf_chr(&g->out, '(');
        make(g, *at, depth ? depth - 1 : 0);
        if (expression)
            (void)buf_chr(&g->out, ')');
    }
}

static uint64_t number_of(const char *name, uint64_t fallback)
{
    const char *text = getenv(name);
    return text && *text ? strtoull(text, NULL, 0) : fallback;
}

static void made(void **state)
{
    uint64_t seed = number_of("PLEXUS_SEED", 20251), wanted = number_of("PLEXUS_JQ_PROGRAMS", 800);
    struct batch batches[COUNT(inputs)];
    struct grammar g;
    unsigned not_ours = 0, same = 0, errors = 0, known = 0;
    struct expr_jq *jq = NULL;
    (void)state;
    if (expr_jq_open(&jq, NULL) != 0)
        skip();
    memset(batches, 0, sizeof batches);
    for (size_t i = 0; i < COUNT(inputs); i++)
        batches[i] = (struct batch){.jq = jq, .input = inputs[i]};
    rng_init(&g.rng, seed);
    buf_init(&g.out, 1 << 16);
    for (uint64_t n = 0; n < wanted; n++) {
        buf_clear(&g.out);
        make(&g, 'E', 1 + (unsigned)rng_below(&g.rng, 3));
        not_ours += !batch_add(&batches[rng_below(&g.rng, COUNT(inputs))], buf_cstr(&g.out));
    }
    for (size_t i = 0; i < COUNT(inputs); i++) {
        batch_run(&batches[i]);
        same += batches[i].same;
        errors += batches[i].errors;
        known += batches[i].known;
    }
    assert_true(known * 20 <= same);
    print_message("seed %llu: %llu programs: %u the same (%u of them errors), "
                  "%u otherwise as newer jq does, %u not plain or over a limit\n",
                  (unsigned long long)seed, (unsigned long long)wanted, same, errors, known,
                  not_ours);
    assert_true(same * 2 > wanted); // else the grammar is worth nothing
    buf_fini(&g.out);
    expr_jq_free(jq);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(table), cmocka_unit_test(made)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
