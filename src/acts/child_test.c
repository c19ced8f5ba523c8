// child_test.c: run: shell and run: script, with real children.
// SPDX-License-Identifier: Apache-2.0
#include "acts/acts_rig.h"

#include <dirent.h>

static char folder[256];

static void with_folder(struct rig *r, struct acts_args *args)
{
    (void)r;
    args->folder = folder;
    const char *node = getenv("PLEXUS_NODE_JS"); // as tools/setup fetched it
    args->node_js = node && *node ? node : NULL; // NULL: the one on PATH
    args->output_bytes_max = 100000;
}

static unsigned entries(void)
{
    unsigned n = 0;
    DIR *d = opendir(folder);
    for (struct dirent *it; d && (it = readdir(d)) != NULL;)
        n += it->d_name[0] != '.';
    if (d)
        (void)closedir(d);
    return n;
}

// ---- shell -------------------------------------------------------------------------------------

static void next_shell(struct rig *r, unsigned round)
{
    static const char *const with[] = {
        // the DSL's example
        "{\"command\":\"input=$(cat)\\necho \\\"STDIN was: $input\\\"\\necho \\\"ARGS are $1 "
        "$2\\\"\",\"stdin\":\"Hello World\",\"arguments\":[\"Foo\",\"Bar\"]}",
        "{\"command\":\"echo out; echo err >&2; exit 3\",\"return\":\"all\"}",
        "{\"command\":\"echo out; echo 'it is broken' >&2; exit 3\"}",
        "{\"command\":\"echo $A-$B-$PLEXUS_TEST_TOKEN-$OTHER; test -n \\\"$PATH\\\"\","
        "\"environment\":{\"A\":1,\"B\":{\"c\":true},\"TZ\":\"X\"}}",
        "{\"command\":\"cat\",\"stdin\":{\"a\":[1]}}",
        "{\"command\":\"cat; echo end\"}",
        "{\"command\":\"head -c 200000 /dev/zero\"}",
        "{\"command\":\"printf '\\\\377\\\\376ok'\"}",
        "{\"command\":\"\"}",
        "{\"command\":\"echo x\",\"environment\":{\"A=B\":\"c\"}}",
        "{\"command\":\"kill -9 $$\"}",
        "{\"command\":\"echo $1\",\"arguments\":{\"name\":\"value\"}}",
        "{\"command\":\"exit 7\",\"return\":\"code\"}",
    };
    if (round == 0) {
        for (size_t i = 0; i < sizeof with / sizeof *with; i++)
            (void)rig_do(r, "shell", with[i], 0);
        (void)rig_do(r, "shell", "{\"command\":\"sleep 1000 & sleep 1000\"}", 300);
    } else {
        rig_done(r);
    }
}

static void test_shell(void **state)
{
    (void)state;
    static struct rig r;
    r.change = with_folder;
    assert_int_equal(setenv("PLEXUS_TEST_TOKEN", "hidden", 1), 0);
    assert_int_equal(setenv("OTHER", "mine", 1), 0);
    rig_run(&r, next_shell);
    gave(&r.ones[0], "{\"code\":0,\"stdout\":\"STDIN was: Hello World\\nARGS are Foo Bar\\n\","
                     "\"stderr\":\"\"}");
    gave(&r.ones[1], "{\"code\":3,\"stdout\":\"out\\n\",\"stderr\":\"err\\n\"}");
    failed(&r.ones[2], "runtime", 500, false, "exit code 3: it is broken");
    gave(&r.ones[3], "{\"code\":0,\"stdout\":\"1-{\\\"c\\\":true}--\\n\",\"stderr\":\"\"}");
    gave(&r.ones[4], "{\"code\":0,\"stdout\":\"{\\\"a\\\":[1]}\",\"stderr\":\"\"}");
    gave(&r.ones[5], "{\"code\":0,\"stdout\":\"end\\n\",\"stderr\":\"\"}");
    failed(&r.ones[6], "runtime", 500, true, "more than 100000 bytes");
    gave(&r.ones[7], "{\"code\":0,\"stdout\":\"\xef\xbf\xbd\xef\xbf\xbdok\",\"stderr\":\"\"}");
    failed(&r.ones[8], "configuration", 400, true, "needs a command");
    failed(&r.ones[9], "configuration", 400, true, "A=B");
    failed(&r.ones[10], "runtime", 500, false, "signal 9");
    gave(&r.ones[11], "{\"code\":0,\"stdout\":\"name=value\\n\",\"stderr\":\"\"}");
    gave(&r.ones[12], "{\"code\":7,\"stdout\":\"\",\"stderr\":\"\"}");
    failed(&r.ones[13], "timeout", 408, false, "300 ms");
    rig_fini(&r);
}

// ---- scripts -----------------------------------------------------------------------------------

static void answer_code(struct rig *r, struct http_exchange *x, struct seen *s)
{
    (void)r;
    if (strcmp(s->target, "/hello.py") == 0)
        http_reply(x, 200, "text/x-python", BYTES_NONE,
                   BYTES("import sys\nprint('fetched', *sys.argv[1:])\n"));
    else
        http_reply(x, 404, "text/plain", BYTES_NONE, BYTES("no such script"));
}

static void next_script(struct rig *r, unsigned round)
{
    static const char *const with[] = {
        // the DSL's example
        "{\"language\":\"javascript\",\"arguments\":[\"hello\",\"world\"],\"code\":\"const [_, __, "
        "arg0, arg1] = process.argv;\\nconsole.log('arg > ', arg0, arg1)\\n\"}",
        "{\"language\":\"python\",\"stdin\":\"in\",\"environment\":{\"X\":\"y\"},\"code\":\"import "
        "os, sys\\nprint(sys.stdin.read(), os.environ['X'], os.environ.get('PLEXUS_TEST_TOKEN'))\\n"
        "os.makedirs('sub/sub')\\nopen('sub/left', 'w').write('x')\\nos.symlink('/', "
        "'sub/link')\\n\"}",
        "{\"language\":\"python\",\"code\":\"raise ValueError('that is wrong')\"}",
        "{\"language\":\"ruby\",\"code\":\"1\"}",
        "{\"language\":\"python\"}",
        "{\"language\":\"python\",\"source\":{\"endpoint\":\"%B/hello.py\"},\"arguments\":[1]}",
        "{\"language\":\"python\",\"source\":{\"endpoint\":{\"uri\":\"%B/none.py\"}}}",
        "{\"language\":\"python\",\"source\":{\"endpoint\":\"file:///nonexistent/x.py\"}}",
    };
    if (round == 0) {
        for (size_t i = 0; i < sizeof with / sizeof *with; i++)
            (void)rig_do(r, "script", with[i], 0);
        (void)rig_do(r, "script",
                     "{\"language\":\"python\",\"code\":\"import time\\ntime.sleep(1000)\"}", 500);
    } else {
        assert_int_equal(entries(), 0); // each took its folder with it
        rig_done(r);
    }
}

static void test_script(void **state)
{
    (void)state;
    static struct rig r;
    r.change = with_folder;
    r.answer = answer_code;
    rig_run(&r, next_script);
    gave(&r.ones[0], "{\"code\":0,\"stdout\":\"arg >  hello world\\n\",\"stderr\":\"\"}");
    gave(&r.ones[1], "{\"code\":0,\"stdout\":\"in y None\\n\",\"stderr\":\"\"}");
    failed(&r.ones[2], "runtime", 500, false, "ValueError: that is wrong");
    failed(&r.ones[3], "configuration", 400, true, "js or python");
    failed(&r.ones[4], "configuration", 400, true, "code or source");
    gave(&r.ones[5], "{\"code\":0,\"stdout\":\"fetched 1\\n\",\"stderr\":\"\"}");
    failed(&r.ones[6], "communication", 404, true, "no such script");
    failed(&r.ones[7], "configuration", 400, true, "nonexistent");
    failed(&r.ones[8], "timeout", 408, false, "500 ms");
    rig_fini(&r);
}

static void no_python(struct rig *r, struct acts_args *args)
{
    with_folder(r, args);
    args->python = "/nonexistent/python3";
    args->child_memory_bytes = 200 << 20;
}

static void next_missing(struct rig *r, unsigned round)
{
    if (round == 0) {
        (void)rig_do(r, "script", "{\"language\":\"python\",\"code\":\"1\"}", 0);
        struct one *o = rig_do(r, "shell", "{\"command\":\"sleep 1000\"}", 0);
        act_cancel(r->acts, &o->req);
    } else {
        (void)rig_do(r, "shell", "{\"command\":\"sleep 1000\"}", 0); // ends with the room
        rig_done(r);
    }
}

static void test_missing(void **state)
{
    (void)state;
    static struct rig r;
    r.change = no_python;
    rig_run(&r, next_missing);
    failed(&r.ones[0], "configuration", 400, true, "install python3");
    assert_int_equal(r.ones[1].status, E_CANCELLED);
    assert_int_equal(r.ones[2].status, E_CANCELLED);
    rig_fini(&r);
}

static int tests(void)
{
    const struct CMUnitTest all[] = {
        cmocka_unit_test(test_shell),
        cmocka_unit_test(test_script),
        cmocka_unit_test(test_missing),
    };
    (void)snprintf(folder, sizeof folder, "/tmp/plexus-acts-%d", (int)getpid());
    int rc = cmocka_run_group_tests_name("child", all, NULL, NULL);
    act_folder_remove(folder);
    return rc;
}

int main(int argc, char **argv)
{
    return rig_main(argc, argv, tests);
}
