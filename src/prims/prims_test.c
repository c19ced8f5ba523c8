// prims_test.c: the source of tools with real children: answers, limits, queue, ends.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "base/file.h"
#include "loop/loop.h"
#include "prims/prims.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { DEADLINE_MS = 60000, CALLS_MAX = 16 };

static char self[4096]; // this binary: it is its own guard and its own child

struct rig {
    struct loop *loop;
    struct prims *prims;
    struct timer deadline;
    char folder[64];
    unsigned running;
    bool late;
};

struct ask {
    struct tool_req req;
    struct rig *rig;
    unsigned done;
    int status;
    bool is_error;
    char text[4096], why[ERR_TEXT_MAX];
    struct val *structured;
    uint64_t took_us;
};

static void rig_late(struct timer *t)
{
    struct rig *r = t->user;
    r->late = true;
    loop_stop(r->loop);
}

static void rig_up(struct rig *r, const struct prims_args *more)
{
    struct err e = {0};
    struct prims_args a = *more;
    memset(r, 0, sizeof *r);
    strcpy(r->folder, "/tmp/plexus-prims-XXXXXX");
    assert_non_null(mkdtemp(r->folder));
    struct jail_folder folder = {r->folder, true};
    if (loop_new(&r->loop, &(struct loop_args){.self = self}, &e) != 0)
        fail_msg("%s", e.text);
    a.procs = loop_procs(r->loop);
    a.timers = loop_timers(r->loop);
    a.self = self;
    a.folder = &folder;
    a.folders = 1;
    if (prims_new(&r->prims, &a, &e) < 0)
        fail_msg("%s", e.text);
    r->deadline = (struct timer){.fn = rig_late, .user = r};
    assert_int_equal(timer_start(loop_timers(r->loop), &r->deadline, DEADLINE_MS), 0);
}

static void rig_run(struct rig *r)
{
    assert_int_equal(loop_run(r->loop), 0);
    if (r->late)
        fail_msg("longer than %d ms", DEADLINE_MS);
}

static void rig_down(struct rig *r)
{
    char command[128];
    prims_free(r->prims);
    loop_free(r->loop);
    (void)snprintf(command, sizeof command, "rm -rf %s", r->folder);
    assert_int_equal(system(command), 0);
}

static void stop_at_last(struct rig *r)
{
    if (--r->running == 0) {
        timer_stop(loop_timers(r->loop), &r->deadline);
        loop_stop(r->loop);
    }
}

static void on_done(struct tool_req *req, int status, const struct tool_result *res,
                    const struct err *e)
{
    struct ask *a = req->user;
    a->done++;
    a->status = status;
    if (res) {
        struct bytes text = val_bytes(val_get_cstr(val_at(res->content, 0), "text"));
        (void)snprintf(a->text, sizeof a->text, "%.*s", BYTES_FMT(text));
        a->is_error = res->is_error;
        a->structured = val_ref(res->structured);
        a->took_us = res->took_us;
    }
    if (e)
        (void)snprintf(a->why, sizeof a->why, "%s", e->text);
    stop_at_last(a->rig);
}

static int ask(struct rig *r, struct ask *a, const char *name, const char *input,
               int64_t timeout_ms)
{
    struct err e = {0};
    struct val *in = NULL;
    *a = (struct ask){.req = {.done = on_done, .user = a}, .rig = r};
    assert_int_equal(val_parse(&in, bytes_of(input), &e), 0);
    struct tool_args args = {.name = bytes_of(name), .input = in, .timeout_ms = timeout_ms};
    int rc = tool_start(prims_tools(r->prims), &args, &a->req, &e);
    val_unref(in);
    assert_int_equal(a->done, 0);
    if (rc < 0)
        (void)snprintf(a->why, sizeof a->why, "%s", e.text);
    else
        r->running++;
    return rc;
}

static void ask_fini(struct ask *a)
{
    val_unref(a->structured);
}

static void test_calls(void **state)
{
    (void)state;
    struct rig r;
    struct ask a;
    rig_up(&r, &(struct prims_args){.bash = true, .label = "secret"});
    assert_int_equal(ask(&r, &a, "bash", "{\"command\":\"echo hello; exit 3\"}", TIME_NEVER), 0);
    rig_run(&r);
    if (a.status)
        fail_msg("%d %s", a.status, a.why);
    assert_int_equal(a.done, 1);
    assert_true(a.is_error);
    assert_string_equal(a.text, "hello\n[exit code 3]\n");
    assert_int_equal(val_i64(val_get_cstr(a.structured, "exit_code"), -1), 3);
    assert_true(a.took_us > 0);
    ask_fini(&a);
    rig_down(&r);
}

static void seen(void *user, const struct tool_about *about)
{
    struct buf *names = user;
    buf_fmt(names, "%.*s %x %.*s;", BYTES_FMT(about->name), about->effects,
            BYTES_FMT(about->label));
    assert_true(val_is(about->input, JSON_OBJ));
    assert_true(val_is(about->output, JSON_OBJ));
    assert_true(about->description.n > 20 && about->title.n > 3);
    assert_true(bytes_is(about->source, "primitive") && !about->granted);
}

static void test_list(void **state)
{
    (void)state;
    struct rig r;
    struct buf names;
    struct tool_about about;
    rig_up(&r, &(struct prims_args){.bash = true, .network = true, .label = "secret"});
    struct tools *t = prims_tools(r.prims);
    buf_init(&names, 4096);
    t->ops->list(t, &(struct tool_caller){0}, seen, &names);
    assert_string_equal(buf_cstr(&names),
                        "bash 1f secret;edit_file 7 secret;find_files 21 secret;grep_files 21 "
                        "secret;list_files 21 secret;read_file 21 secret;write_file 26 secret;");
    buf_fini(&names);
    assert_true(t->ops->find(t, BYTES("bash"), &about));
    assert_false(t->ops->find(t, BYTES("bas"), &about));
    rig_down(&r);
    rig_up(&r, &(struct prims_args){.bash = false});
    t = prims_tools(r.prims);
    assert_false(t->ops->find(t, BYTES("bash"), &about));
    rig_down(&r);
}

static void test_arguments(void **state)
{
    (void)state;
    struct rig r;
    struct ask a;
    static const struct {
        const char *name, *input, *says;
        int code;
    } rows[] = {
        {"read_file", "{}", "path", E_INVALID},
        {"read_file", "{\"path\":1}", "/path", E_INVALID},
        {"read_file", "{\"path\":\"a\",\"x\":1}", "x", E_INVALID},
        {"read_file", "{\"path\":\"a\",\"offset\":0}", "/offset", E_INVALID},
        {"read_file", "[]", "object", E_INVALID},
        {"edit_file", "{\"path\":\"a\",\"edits\":[{}]}", "/edits/0", E_INVALID},
        {"bash", "{\"command\":\"x\",\"timeout_s\":0}", "/timeout_s", E_INVALID},
        {"none", "{}", "none", E_NOTFOUND},
    };
    rig_up(&r, &(struct prims_args){.bash = true});
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(ask(&r, &a, rows[i].name, rows[i].input, TIME_NEVER), rows[i].code);
        if (!strstr(a.why, rows[i].says))
            fail_msg("%s %s: \"%s\" does not say %s", rows[i].name, rows[i].input, a.why,
                     rows[i].says);
    }
    rig_down(&r);
}

static void test_time_and_cancel(void **state)
{
    (void)state;
    struct rig r;
    struct ask late, gone, over;
    struct tools *t;
    rig_up(&r, &(struct prims_args){.bash = true, .timeout_max_ms = 500, .memory_bytes = 96 << 20});
    t = prims_tools(r.prims);
    assert_int_equal(ask(&r, &late, "bash",
                         "{\"command\":\"echo begun; sleep 100\",\"timeout_s\":90}", TIME_NEVER),
                     0);
    assert_int_equal(ask(&r, &gone, "bash", "{\"command\":\"sleep 100\"}", TIME_NEVER), 0);
    assert_int_equal(ask(&r, &over, "bash",
                         "{\"command\":\"for i in 1 2 3 4; do (x=$(head -c 60000000 /dev/zero | tr "
                         "'\\\\0' x); sleep 9) & done; sleep 9\"}",
                         TIME_NEVER),
                     0);
    tool_cancel(t, &gone.req);
    tool_cancel(t, &gone.req); // twice does no harm
    rig_run(&r);
    assert_int_equal(late.status, 0);
    assert_true(late.is_error && val_truthy(val_get_cstr(late.structured, "timed_out")));
    assert_non_null(strstr(late.text, "begun\n[ended after"));
    assert_int_equal(gone.status, E_CANCELLED);
    assert_true(gone.done == 1 && late.done == 1 && over.done == 1);
    assert_true(over.status == 0 && over.is_error);
    ask_fini(&late);
    ask_fini(&gone);
    ask_fini(&over);
    rig_down(&r);
}

static void test_queue(void **state)
{
    (void)state;
    struct rig r;
    static struct ask a[CALLS_MAX];
    char input[64];
    rig_up(&r, &(struct prims_args){.bash = true, .calls_max = 2, .queue_max = 6});
    for (int i = 0; i < 8; i++) {
        (void)snprintf(input, sizeof input, "{\"command\":\"echo %d\"}", i);
        assert_int_equal(ask(&r, &a[i], "bash", input, TIME_NEVER), 0);
    }
    assert_int_equal(ask(&r, &a[8], "bash", "{\"command\":\"true\"}", TIME_NEVER), E_FULL);
    tool_cancel(prims_tools(r.prims), &a[7].req); // one that waits
    tool_cancel(prims_tools(r.prims), &a[7].req);
    rig_run(&r);
    for (int i = 0; i < 7; i++) {
        (void)snprintf(input, sizeof input, "%d\n", i);
        assert_int_equal(a[i].status, 0);
        assert_string_equal(a[i].text, input);
        ask_fini(&a[i]);
    }
    assert_int_equal(a[7].status, E_CANCELLED);
    assert_int_equal(a[7].done, 1);
    rig_down(&r);
}

static void test_freed_in_the_middle(void **state)
{
    (void)state;
    struct rig r;
    static struct ask a[4];
    rig_up(&r, &(struct prims_args){.bash = true, .calls_max = 2});
    for (int i = 0; i < 4; i++)
        assert_int_equal(ask(&r, &a[i], "bash", "{\"command\":\"sleep 100\"}", TIME_NEVER), 0);
    tool_cancel(prims_tools(r.prims), &a[3].req);
    prims_free(steal(&r.prims));
    for (int i = 0; i < 4; i++) {
        assert_int_equal(a[i].done, 1);
        assert_int_equal(a[i].status, E_CANCELLED);
    }
    rig_run(&r);
    rig_down(&r);
}

static void test_folders(void **state)
{
    (void)state;
    struct rig r;
    struct err e = {0};
    struct prims *p = NULL;
    rig_up(&r, &(struct prims_args){.bash = true});
    static const struct {
        const char *path;
        int code;
    } rows[] = {{"relative", E_INVALID}, {"/none/such", E_NOTFOUND}, {"/etc/passwd", E_INVALID},
                {"/", E_INVALID},        {"/proc", E_INVALID},       {"/dev", E_INVALID}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct jail_folder f = {rows[i].path, false};
        struct prims_args a = {.procs = loop_procs(r.loop),
                               .timers = loop_timers(r.loop),
                               .self = self,
                               .folder = &f,
                               .folders = 1};
        int rc = prims_new(&p, &a, &e);
        if (rc != rows[i].code)
            fail_msg("%s: %d %s", rows[i].path, rc, e.text);
    }
    struct prims_args none = {.procs = loop_procs(r.loop), .timers = loop_timers(r.loop)};
    assert_int_equal(prims_new(&p, &none, &e), E_INVALID);
    rig_down(&r);
}

static void test_torture(void **state)
{
    (void)state;
    struct rig r;
    struct err e = {0};
    rig_up(&r, &(struct prims_args){.bash = true});
    static const char *const env[] = {"A=1", "B=2", NULL};
    struct jail_folder f = {r.folder, true};
    struct prims_args a = {.procs = loop_procs(r.loop),
                           .timers = loop_timers(r.loop),
                           .self = self,
                           .folder = &f,
                           .folders = 1,
                           .env = env,
                           .bash = true,
                           .label = "internal"};
    int rc = E_NOMEM;
    for (uint64_t i = 1; rc != 0; i += 1 + i / 64) {
        struct prims *p = NULL;
        uint64_t live = mem_live();
        mem_fail_after(i, 1);
        rc = prims_new(&p, &a, &e);
        mem_fail_after(0, 0);
        if (rc != 0 && rc != E_NOMEM && rc != E_TOOBIG) // a schema's arena
            fail_msg("allocation %llu: %d %s", (unsigned long long)i, rc, e.text);
        assert_int_equal(p != NULL, rc == 0);
        prims_free(p);
        assert_int_equal(mem_live(), live);
    }
    struct ask one;
    rc = E_NOMEM;
    for (uint64_t i = 1; rc != 0; i++) { // a call
        uint64_t live = mem_live();
        struct val *in = NULL;
        assert_int_equal(val_parse(&in, BYTES("{\"command\":\"true\"}"), &e), 0);
        struct tool_args args = {.name = BYTES("bash"), .input = in, .timeout_ms = TIME_NEVER};
        one = (struct ask){.req = {.done = on_done, .user = &one}, .rig = &r};
        mem_fail_after(i, 1);
        rc = tool_start(prims_tools(r.prims), &args, &one.req, &e);
        mem_fail_after(0, 0);
        val_unref(in);
        assert_true(rc == 0 || rc == E_NOMEM || rc == E_TOOBIG);
        if (rc != 0)
            assert_int_equal(mem_live(), live);
    }
    r.running++;
    prims_free(steal(&r.prims)); // the one that was started
    rig_down(&r);
}

static void on_report(void *user, const struct jail_report *r, const struct err *e)
{
    struct rig *rig = user;
    if (!r)
        fail_msg("%s", e->text);
    assert_int_not_equal(r->layer[JAIL_LIMITS].standing, JAIL_MISSING);
    stop_at_last(rig);
}

static void test_probe(void **state)
{
    (void)state;
    struct rig r;
    struct err e = {0};
    rig_up(&r, &(struct prims_args){.bash = true, .require = true});
    assert_null(prims_report(r.prims));
    r.running = 1;
    assert_int_equal(prims_probe(r.prims, on_report, &r, &e), 0);
    rig_run(&r);
    const struct jail_report *report = prims_report(r.prims);
    assert_non_null(report);
    for (int i = 0; i < JAIL_LAYERS; i++) {
        if (report->layer[i].standing == JAIL_MISSING)
            print_message("without %s: %s\n", jail_layer_infos[i].title, report->layer[i].why);
    }
    assert_int_equal(prims_probe(r.prims, on_report, &r, &e), 0); // and freed while it runs
    rig_down(&r);
}

static void test_big_arguments(void **state)
{
    (void)state;
    struct rig r;
    struct ask a;
    struct buf in;
    struct stat st;
    char path[128];
    rig_up(&r, &(struct prims_args){.bash = false});
    buf_init(&in, 16 << 20);
    buf_str(&in, "{\"path\":\"big\",\"content\":\"");
    size_t n = 9 << 20;
    memset(buf_room(&in, n), 'x', n);
    in.n += n;
    buf_str(&in, "\"}");
    assert_int_equal(ask(&r, &a, "write_file", buf_cstr(&in), TIME_NEVER), 0);
    rig_run(&r);
    if (a.status || a.is_error)
        fail_msg("%d %s%s", a.status, a.why, a.text);
    (void)snprintf(path, sizeof path, "%s/big", r.folder);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, n);
    buf_fini(&in);
    ask_fini(&a);
    rig_down(&r);
}

// From the call to the answer, guard and all: printed, for bench and people.
static void test_how_quick(void **state)
{
    (void)state;
    struct rig r;
    uint64_t best = UINT64_MAX;
    for (int i = 0; i < 10; i++) {
        struct ask a;
        rig_up(&r, &(struct prims_args){.bash = true});
        assert_int_equal(ask(&r, &a, "bash", "{\"command\":\"true\"}", TIME_NEVER), 0);
        rig_run(&r);
        best = a.took_us < best ? a.took_us : best;
        ask_fini(&a);
        rig_down(&r);
    }
    print_message("bash in the sandbox, best of 10: %llu us\n", (unsigned long long)best);
    assert_in_range(best, 1, 2000000);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "_guard") == 0)
        return loop_guard_main(argc, argv);
    if (argc > 1 && strcmp(argv[1], "_prim") == 0)
        return prim_main(argc, argv);
    if (argc > 1 && strcmp(argv[1], "_jail") == 0)
        return jail_main(argc, argv);
    if (realpath(argv[0], self) == NULL)
        return 1;
    (void)signal(SIGPIPE, SIG_IGN); // as the node does
    char command[4200];
    (void)snprintf(command, sizeof command, "'%s' _jail -r /usr -l 1 >/dev/null", self);
    int made = system(command);
    if (WIFEXITED(made) && WEXITSTATUS(made) == JAIL_EXIT_REFUSED) {
        (void)printf("skipped: no sandbox can be made here\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls),     cmocka_unit_test(test_list),
        cmocka_unit_test(test_arguments), cmocka_unit_test(test_time_and_cancel),
        cmocka_unit_test(test_queue),     cmocka_unit_test(test_freed_in_the_middle),
        cmocka_unit_test(test_folders),   cmocka_unit_test(test_torture),
        cmocka_unit_test(test_probe),     cmocka_unit_test(test_big_arguments),
        cmocka_unit_test(test_how_quick),
    };
    return cmocka_run_group_tests_name("prims", tests, NULL, NULL);
}
