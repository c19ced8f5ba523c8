// expr_test.c: programs in children that run libjq: results, limits, cancel, and what happens when
// they loop, eat memory or abort. This binary is its own guard and its own child.
// SPDX-License-Identifier: Apache-2.0
#include "adapters/expr_jq.h"
#include "adapters/expr_priv.h"
#include "base/alloc.h"
#include "base/list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "loop/loop_rig.h"

// libjq leaks when a program does not compile.
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libjq";
}

static char self[4096];

enum { REQS_MAX = 16 };

struct ask {
    struct expr_req req;
    struct test *t;
    int status;
    bool over;
    char text[4096]; // result or error
};
struct test {
    struct rig rig;
    struct expr *x;
    struct ask asks[REQS_MAX];
    unsigned asked, over;
    struct expr_stats stats; // at the last answer
};

static bool library_there(void)
{
    AUTO(expr_jq) jq = NULL;
    return expr_jq_open(&jq, NULL) == 0;
}

static void up(struct test *t, const struct expr_args *limits)
{
    struct err e = {0};
    memset(t, 0, sizeof *t);
    rig_up(&t->rig, &(struct loop_args){.self = self});
    struct expr_args args = *limits;
    args.timers = loop_timers(t->rig.loop);
    args.procs = loop_procs(t->rig.loop);
    args.self = self;
    if (expr_libjq_open(&args, &t->x, &e) != 0)
        fail_msg("%s", e.text);
}

static void down(struct test *t)
{
    expr_free(t->x);
    rig_down(&t->rig);
}

static void done(struct expr_req *r, int status, struct bytes result, const struct err *e)
{
    struct ask *a = container_of(r, struct ask, req);
    assert_false(a->over);
    assert_true((status == 0) == (e == NULL));
    a->over = true;
    a->status = status;
    (void)snprintf(a->text, sizeof a->text, "%.*s", BYTES_FMT(status ? bytes_of(e->text) : result));
    if (++a->t->over < a->t->asked)
        return;
    if (a->t->x)
        expr_stats(a->t->x, &a->t->stats);
    loop_stop(a->t->rig.loop);
}

static struct ask *ask(struct test *t, const char *program, const char *input, const char *vars)
{
    struct ask *a = &t->asks[t->asked++];
    struct err e = {0};
    *a = (struct ask){.t = t};
    a->req.program = bytes_of(program);
    a->req.input = bytes_of(input);
    a->req.vars = bytes_of(vars);
    a->req.now_ms = 1700000000250;
    a->req.done = done;
    if (expr_run(t->x, &a->req, &e) != 0)
        fail_msg("%s: %s", program, e.text);
    assert_false(a->over);
    return a;
}

// The loop stops with the last answer; each test asks all before.
static void wait_all(struct test *t)
{
    rig_run(&t->rig);
    assert_int_equal(t->over, t->asked);
}

static void results(void **state)
{
    static const struct {
        const char *program, *input, *vars;
        int status;
        const char *text; // NULL: any
    } rows[] = {
        {".a", "{\"a\":[1,2.5]}", "{}", 0, "[[1,2.5]]"},
        {"[match(\"b+\"; \"g\").offset]", "\"abbab\"", "{}", 0, "[[1,4]]"},
        {"gsub(\"(?<l>[a-z])\"; \"<\\(.l)>\")", "\"a1b\"", "", 0, "[\"<a>1<b>\"]"},
        {"$context.n + $x, .", "5", "{\"context\":{\"n\":1},\"x\":2}", 0, "[3,5]"},
        {"now", "null", "{}", 0, "[1700000000.25]"},
        {"empty", "null", "{}", 0, "[]"},
        {"1 # comment", "null", "{}", 0, "[1]"},
        {"error(\"boo\")", "null", "{}", E_INVALID, "jq: boo"},
        {"error({a: 1})", "null", "{}", E_INVALID, "jq: error (not a string): {\"a\":1}"},
        {"[", "null", "{}", E_PARSE, NULL},
        {"$missing", "null", "{}", E_PARSE, NULL},
        {"env", "null", "{}", E_FORBIDDEN, NULL},
        {"$ENV", "null", "{}", E_FORBIDDEN, NULL},
        {"1) | (.", "null", "{}", E_PARSE, NULL},
        {".", "{broken", "{}", E_INVALID, NULL},
        {".", "1", "{\"a-b\":1}", E_INVALID, NULL},
    };
    (void)state;
    if (!library_there())
        skip();
    struct test t;
    up(&t, &(struct expr_args){.timeout_ms = 10000});
    assert_true(sizeof rows / sizeof *rows <= REQS_MAX);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        (void)ask(&t, rows[i].program, rows[i].input, rows[i].vars);
    wait_all(&t);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (t.asks[i].status != rows[i].status ||
            (rows[i].text && strcmp(t.asks[i].text, rows[i].text) != 0))
            fail_msg("%s: %d %s", rows[i].program, t.asks[i].status, t.asks[i].text);
    assert_int_equal(t.stats.runs, sizeof rows / sizeof *rows);
    assert_int_equal(t.stats.workers, 2);
    assert_true(strncmp(t.stats.version, "libjq 1.", 8) == 0);
    down(&t);
}

static void bad_programs(void **state)
{
    (void)state;
    if (!library_there())
        skip();
    struct test t;
    up(&t, &(struct expr_args){.workers_max = 1,
                               .timeout_ms = 4000,
                               .memory_bytes = 512 << 20,
                               .output_bytes_max = 100000});
    struct ask *loops = ask(&t, "last(range(1e18))", "null", "{}");
    loops->req.timeout_ms = 300;
    struct ask *eats = ask(&t, "reduce range(1e9) as $x ([]; . + [\"\\($x) and more\"])", "1", "");
    struct ask *says = ask(&t, "[range(100000)]", "null", "{}");
    struct ask *fine = ask(&t, ".", "7", "{}");
    wait_all(&t);
    assert_int_equal(loops->status, E_TIMEOUT);
    if (eats->status != E_TOOBIG && eats->status != E_TIMEOUT) // slow machines do not get so far
        fail_msg("%d %s", eats->status, eats->text);
    assert_int_equal(says->status, E_TOOBIG);
    assert_string_equal(fine->text, "[7]");
    assert_true(t.stats.timeouts >= 1 && t.stats.killed >= 2);
    down(&t);
}

static void cancel(void **state)
{
    (void)state;
    if (!library_there())
        skip();
    struct test t;
    up(&t, &(struct expr_args){.workers_max = 1, .timeout_ms = 15000, .queue_max = 3});
    struct ask *waits = ask(&t, "1", "null", "{}");
    struct ask *runs = ask(&t, "2", "null", "{}");
    struct ask *stays = ask(&t, "3", "null", "{}");
    struct expr_req more = {.program = BYTES("4"), .done = done};
    struct err e = {0};
    assert_int_equal(expr_run(t.x, &more, &e), E_FULL);
    expr_cancel(t.x, &waits->req);
    assert_false(waits->over);
    expr_cancel(t.x, &runs->req);
    wait_all(&t);
    assert_int_equal(waits->status, E_CANCELLED);
    assert_int_equal(runs->status, E_CANCELLED);
    assert_string_equal(stays->text, "[3]");
    down(&t);
}

static void stop_it(struct timer *timer)
{
    struct test *t = timer->user;
    struct expr *x = t->x;
    t->x = NULL;
    expr_free(x);
}

static void free_while_it_runs(void **state)
{
    (void)state;
    if (!library_there())
        skip();
    struct test t;
    struct timer soon = {.fn = stop_it, .user = &t};
    up(&t, &(struct expr_args){.workers_max = 1, .timeout_ms = 15000});
    struct ask *runs = ask(&t, "last(range(1e18))", "null", "{}");
    struct ask *waits = ask(&t, "1", "null", "{}");
    assert_int_equal(timer_start(loop_timers(t.rig.loop), &soon, 400), 0);
    wait_all(&t);
    assert_int_equal(runs->status, E_CANCELLED);
    assert_int_equal(waits->status, E_CANCELLED);
    down(&t);
}

// A child that says that there is no libjq: all get the mend.
static void no_library(void **state)
{
    (void)state;
    struct test t;
    char path[] = "/tmp/plexus-expr-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    (void)dprintf(fd, "#!/bin/sh\necho 'N this needs libjq: apt install libjq1'\n");
    assert_int_equal(fchmod(fd, 0700), 0);
    (void)close(fd);
    struct err e = {0};
    memset(&t, 0, sizeof t);
    rig_up(&t.rig, &(struct loop_args){.self = self});
    struct expr_args args = {
        .timers = loop_timers(t.rig.loop), .procs = loop_procs(t.rig.loop), .self = path};
    assert_int_equal(expr_libjq_open(&args, &t.x, &e), 0);
    struct ask *a = ask(&t, ".", "1", "{}");
    struct ask *b = ask(&t, ".", "2", "{}");
    wait_all(&t);
    assert_int_equal(a->status, E_UNAVAILABLE);
    assert_int_equal(b->status, E_UNAVAILABLE);
    assert_string_equal(a->text, "this needs libjq: apt install libjq1");
    assert_int_equal(expr_run(t.x, &a->req, &e), E_UNAVAILABLE); // at once, for a while
    down(&t);
    (void)unlink(path);
}

static void disabled(void **state)
{
    (void)state;
    const struct expr_engine *engine = expr_engines();
    while (engine->name && strcmp(engine->name, "disabled") != 0)
        engine++;
    struct expr *x = NULL;
    struct expr_req r = {.program = BYTES("."), .done = done};
    struct err e = {0};
    assert_int_equal(engine->open(&(struct expr_args){0}, &x, &e), 0);
    assert_int_equal(expr_run(x, &r, &e), E_UNAVAILABLE);
    assert_non_null(strstr(e.text, "apt install libjq1"));
    expr_free(x);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "_guard") == 0)
        return loop_guard_main(argc, argv);
    if (argc > 1 && strcmp(argv[1], "_expr") == 0)
        return expr_child_main(argc, argv);
    if (!realpath(argv[0], self))
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results),    cmocka_unit_test(bad_programs),
        cmocka_unit_test(cancel),     cmocka_unit_test(free_while_it_runs),
        cmocka_unit_test(no_library), cmocka_unit_test(disabled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
