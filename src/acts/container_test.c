// container_test.c: run: container with podman itself, where it is and may run; the image is made
// here of one static busybox.
// SPDX-License-Identifier: Apache-2.0
#include "acts/acts_rig.h"

#include <sys/stat.h>

static char folder[256], program[300];

// A podman of this test's own: its storage, no network, limits that a container may be given here.
static const char wrapper[] =
    "#!/bin/sh\n"
    "export STORAGE_DRIVER=vfs\n"
    "own=\"--cgroup-manager=cgroupfs --root DIR/store --runroot DIR/run --runtime runc\"\n"
    "if [ \"$1\" = run ]; then shift\n"
    "  exec podman $own run --network=none --ulimit nofile=1024:1024 --ulimit nproc=100:100 "
    "\"$@\"\n"
    "fi\n"
    "exec podman $own \"$@\"\n";

static int sh(const char *fmt, ...)
{
    char command[2000];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(command, sizeof command, fmt, ap);
    va_end(ap);
    return system(command);
}

static bool make_image(void)
{
    if (sh("command -v podman runc >/dev/null && [ -x /bin/busybox ]") != 0)
        return false;
    (void)snprintf(folder, sizeof folder, "/tmp/plexus-container-%d", (int)getpid());
    (void)snprintf(program, sizeof program, "%s/podman", folder);
    if (sh("mkdir -p %s/image/bin %s/image/proc %s/image/dev %s/image/sys %s/image/tmp && "
           "cd %s/image/bin && cp /bin/busybox . && "
           "for a in sh cat echo sleep env ls; do ln -s busybox $a; done",
           folder, folder, folder, folder, folder, folder) != 0)
        return false;
    FILE *f = fopen(program, "w");
    if (!f)
        return false;
    for (const char *p = wrapper; *p; p++) {
        if (strncmp(p, "DIR", 3) == 0)
            (void)fputs(folder, f), p += 2;
        else
            (void)fputc(*p, f);
    }
    (void)fclose(f);
    (void)chmod(program, 0700);
    return sh("cd %s && tar -C image -cf image.tar . && ./podman import image.tar box:1 >log 2>&1 "
              "&& "
              "./podman run --rm box:1 echo works >log 2>&1",
              folder) == 0;
}

static bool there(const char *name)
{
    return sh("%s container exists %s", program, name) == 0;
}

static void with_podman(struct rig *r, struct acts_args *args)
{
    (void)r;
    args->container = program;
}

static struct timer later;
static unsigned waited;

static void cancel_it(struct timer *t)
{
    struct one *o = t->user;
    if (!there("plexus-sleeper") && waited++ < 200) {
        (void)timer_start(loop_timers(o->rig->loop), t, 50);
        return;
    }
    act_cancel(o->rig->acts, &o->req);
}

static void wait_gone(struct timer *t)
{
    struct rig *r = t->user;
    if ((there("plexus-sleeper") || there("plexus-soon")) && waited++ < 400)
        (void)timer_start(loop_timers(r->loop), t, 50);
    else
        rig_done(r);
}

static void next(struct rig *r, unsigned round)
{
    static const char *const with[] = {
        // the DSL's example
        "{\"image\":\"box:1\",\"stdin\":\"Hello World\",\"command\":\"input=$(cat)\\necho "
        "\\\"STDIN was: "
        "$input\\\"\\necho \\\"ARGS are $1 $2\\\"\",\"arguments\":[\"Foo\",\"Bar\"],\"pullPolicy\":"
        "\"never\",\"lifetime\":{\"cleanup\":\"always\"}}",
        "{\"image\":\"box:1\",\"name\":\"plexus-stays\",\"command\":\"echo $A; ls /data; exit 4\","
        "\"environment\":{\"A\":\"b c\"},\"volumes\":{\"/etc/alternatives\":\"/data\"},\"return\":"
        "\"code\",\"pullPolicy\":\"never\"}",
        "{\"image\":\"nobody:1\",\"pullPolicy\":\"never\"}",
        "{\"image\":\"box:1\",\"pullPolicy\":\"never\",\"name\":\"plexus-soon\",\"command\":\"echo "
        "s\","
        "\"lifetime\":{\"cleanup\":\"eventually\",\"after\":{\"milliseconds\":100}}}",
        "{\"image\":\"box:1\",\"name\":\"-x\"}",
        "{\"image\":\"--privileged\"}",
        "{\"image\":\"box:1\",\"lifetime\":{\"cleanup\":\"sometimes\"}}",
        "{\"image\":\"box:1\",\"lifetime\":{\"cleanup\":\"eventually\"}}",
        "{}",
        // The same name again, as after a crash: what was left of it is in no one's way.
        ("{\"image\":\"box:1\",\"name\":\"plexus-stays\",\"command\":\"echo again\","
         "\"pullPolicy\":\"never\"}"),
    };
    if (round < sizeof with / sizeof *with) {
        (void)rig_do(r, "container", with[round], 0);
    } else if (round == sizeof with / sizeof *with) {
        struct one *o = rig_do(r, "container",
                               "{\"image\":\"box:1\",\"pullPolicy\":\"never\",\"name\":"
                               "\"plexus-sleeper\",\"command\":\"sleep 1000\"}",
                               0);
        later = (struct timer){.fn = cancel_it, .user = o};
        assert_int_equal(timer_start(loop_timers(r->loop), &later, 200), 0);
    } else {
        later = (struct timer){.fn = wait_gone, .user = r};
        assert_int_equal(timer_start(loop_timers(r->loop), &later, 50), 0);
    }
}

static void test_podman(void **state)
{
    (void)state;
    static struct rig r;
    if (!make_image()) {
        (void)sh("cat %s/log 2>/dev/null", folder);
        skip();
    }
    r.change = with_podman;
    rig_run(&r, next);
    gave(&r.ones[0], "{\"code\":0,\"stdout\":\"STDIN was: Hello World\\nARGS are Foo Bar\\n\","
                     "\"stderr\":\"\"}");
    assert_int_equal(val_i64(val_get_cstr(r.ones[1].output, "code"), 0), 4);
    assert_memory_equal(val_text(val_get_cstr(r.ones[1].output, "stdout"), ""), "b c\n", 4);
    assert_true(strlen(val_text(val_get_cstr(r.ones[1].output, "stdout"), "")) > 10); // the volume
    failed(&r.ones[2], "runtime", 500, false, "nobody:1");
    assert_int_equal(r.ones[3].status, 0);
    failed(&r.ones[4], "configuration", 400, true, "the name");
    failed(&r.ones[5], "configuration", 400, true, "image");
    failed(&r.ones[6], "configuration", 400, true, "cleanup");
    failed(&r.ones[7], "configuration", 400, true, "after");
    failed(&r.ones[8], "configuration", 400, true, "image");
    gave(&r.ones[9], "{\"code\":0,\"stdout\":\"again\\n\",\"stderr\":\"\"}");
    assert_int_equal(r.ones[10].status, E_CANCELLED);
    assert_false(there("plexus-sleeper"));
    assert_false(there("plexus-soon"));
    assert_true(there("plexus-stays"));
    rig_fini(&r);
}

// Neither program is there: how to get one.
static void none(struct rig *r, struct acts_args *args)
{
    (void)r;
    (void)args;
    assert_int_equal(setenv("PATH", "/nonexistent", 1), 0);
}

static void next_none(struct rig *r, unsigned round)
{
    if (round == 0)
        (void)rig_do(r, "container", "{\"image\":\"box:1\"}", 0);
    else
        rig_done(r);
}

static void test_none(void **state)
{
    (void)state;
    static struct rig r;
    char path[4096];
    (void)snprintf(path, sizeof path, "%s", getenv("PATH"));
    r.change = none;
    rig_run(&r, next_none);
    (void)setenv("PATH", path, 1);
    failed(&r.ones[0], "configuration", 501, true, "apt-get install podman");
    rig_fini(&r);
}

static int tests(void)
{
    const struct CMUnitTest all[] = {
        cmocka_unit_test(test_none),
        cmocka_unit_test(test_podman),
    };
    int rc = cmocka_run_group_tests_name("container", all, NULL, NULL);
    if (folder[0])
        (void)sh("%s rm -af >/dev/null 2>&1; rm -rf %s", program, folder);
    return rc;
}

int main(int argc, char **argv)
{
    return rig_main(argc, argv, tests);
}
