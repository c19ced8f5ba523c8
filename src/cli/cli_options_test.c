// cli_options_test.c: how options are read, and what is said when they are wrong.
// SPDX-License-Identifier: Apache-2.0
#include "cli/cli_priv.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct cli_option table[] = {
    {"lines", 'n', "N", "how many", NULL},
    {"follow", 'f', NULL, "go on", NULL},
    {"quiet", 'q', NULL, "less", NULL},
    {"level", 0, "LEVEL", "from which", NULL},
    {"tools", 't', "[=NAMES]", "all, or these", NULL},
    {NULL, 0, NULL, NULL, NULL},
};
static const struct cli_option more[] = {{"json", 0, NULL, "JSON", NULL},
                                         {NULL, 0, NULL, NULL, NULL}};
static const struct cli_option *const tables[] = {more, table, NULL};

#define ARGS_MAX 8
static const struct {
    const char *argv[ARGS_MAX];
    const char *given; // "name=value name=value | word word", or what the error says after '!'
} cases[] = {
    {{NULL}, "|"},
    {{"a", "b"}, "| a b"},
    {{"--lines", "5"}, "lines=5 |"},
    {{"--lines=5"}, "lines=5 |"},
    {{"--lines="}, "lines= |"},
    {{"--level=a=b"}, "level=a=b |"},
    {{"-n", "5", "x"}, "lines=5 | x"},
    {{"-n5"}, "lines=5 |"},
    {{"-n=5"}, "lines=5 |"},
    {{"-fqn", "7"}, "follow= quiet= lines=7 |"},
    {{"-fqn7"}, "follow= quiet= lines=7 |"},
    {{"x", "-f", "y", "--json"}, "follow= json= | x y"},
    {{"--tools", "x"}, "tools= | x"},
    {{"--tools=a,b", "x"}, "tools=a,b | x"},
    {{"-t", "x"}, "tools= | x"},
    {{"-f", "--", "-q", "--json"}, "follow= | -q --json"},
    {{"-"}, "| -"},
    {{"--lines", "-3"}, "lines=-3 |"},
    {{"--lines", "1", "--lines", "2"}, "lines=1 lines=2 |"},
    {{"--folow"}, "!unknown option --folow; nearest: --follow"},
    {{"--zzzzzz"}, "!unknown option --zzzzzz"},
    {{"--jso=1"}, "!unknown option --jso; nearest: --json"},
    {{"--follow=1"}, "!--follow takes no value"},
    {{"--lines"}, "!--lines needs a value: --lines N"},
    {{"-fn"}, "!--lines needs a value: --lines N"},
    {{"-fx"}, "!unknown option -x"},
};

static void test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *words[ARGS_MAX];
        struct cli_parsed p = {.words = words};
        struct err e = {0};
        struct buf got;
        int argc = 0, at = 0;
        while (argc < ARGS_MAX && cases[i].argv[argc])
            argc++;
        buf_init(&got, 4096);
        int rc = cli_parse(tables, argc, (char **)cases[i].argv, &at, false, &p, &e);
        if (rc) {
            assert_int_equal(rc, E_USAGE);
            (void)buf_fmt(&got, "!%s", e.text);
        } else {
            assert_int_equal(at, argc);
            for (size_t k = 0; k < p.given_count; k++)
                (void)buf_fmt(&got, "%s=%s ", p.given[k].option->name, p.given[k].value);
            (void)buf_chr(&got, '|');
            for (size_t k = 0; k < p.word_count; k++)
                (void)buf_fmt(&got, " %s", p.words[k]);
        }
        assert_string_equal(buf_cstr(&got), cases[i].given);
        buf_fini(&got);
    }
}

static void test_stop_before_first_word(void **state)
{
    (void)state;
    const char *argv[] = {"--json", "models", "--lines", "1"}, *words[4];
    struct cli_parsed p = {.words = words};
    struct err e = {0};
    int at = 0;
    assert_int_equal(cli_parse(tables, 4, (char **)argv, &at, true, &p, &e), 0);
    assert_int_equal(at, 1);
    assert_int_equal(p.given_count, 1);
    assert_int_equal(p.word_count, 0);
}

static void test_too_many(void **state)
{
    (void)state;
    const char *argv[CLI_OPTIONS_MAX + 1], *words[CLI_OPTIONS_MAX + 1];
    struct cli_parsed p = {.words = words};
    struct err e = {0};
    int at = 0;
    for (size_t i = 0; i <= CLI_OPTIONS_MAX; i++)
        argv[i] = "--json";
    assert_int_equal(cli_parse(tables, CLI_OPTIONS_MAX + 1, (char **)argv, &at, false, &p, &e),
                     E_USAGE);
    assert_string_equal(e.text, "more than 64 options");
}

// Every command of the table: names and options are well formed and no option hides another.
static void check_command(const struct cli_command *command, const char *parent)
{
    assert_non_null(command->summary);
    assert_non_null(command->usage);
    assert_true(command->run || command->subs);
    assert_true(command->args_max == -1 || command->args_max >= command->args_min);
    if (command->args_min > 0 && !*command->usage)
        fail_msg("%s %s takes words but its usage does not say so", parent, command->name);
    for (const struct cli_option *o = command->options; o && o->name; o++) {
        assert_non_null(o->what);
        for (const struct cli_option *g = cli_global_options; g->name; g++)
            if (!strcmp(g->name, o->name) || (g->letter && g->letter == o->letter))
                fail_msg("%s: --%s hides an option of every command", command->name, o->name);
        for (const struct cli_option *p = command->options; p != o; p++)
            if (!strcmp(p->name, o->name) || (p->letter && p->letter == o->letter))
                fail_msg("%s: --%s stands twice", command->name, o->name);
    }
    for (const struct cli_command *s = command->subs; s && s->name; s++)
        check_command(s, command->name);
}

static void test_table(void **state)
{
    (void)state;
    for (const struct cli_command *const *p = cli_commands(); *p; p++) {
        check_command(*p, "");
        assert_ptr_equal(cli_find(cli_commands(), (*p)->name), *p); // no name twice
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_stop_before_first_word),
        cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_table),
    };
    return cmocka_run_group_tests_name("cli options", tests, NULL, NULL);
}
