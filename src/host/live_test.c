// live_test.c: the machine that runs this, a folder tree that stands for one, children with
// deadlines. SPDX-License-Identifier: Apache-2.0
#include "host/profiles_priv.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

// ---- the machine that runs this, and a folder tree that stands for one --------------------------
static void live(void **state)
{
    struct host_live *l = host_live_new(NULL);
    struct host_probe p = host_live_probe(l);
    struct host_profile h;
    struct buf b;
    (void)state;
    assert_int_equal(host_detect(&h, &p, NULL, NULL), 0);
    assert_true(h.cpu.threads > 0);
    assert_true(h.cpu.effective > 0);
    assert_true(h.memory.effective > 0 && h.memory.effective <= h.memory.total);
    buf_init(&b, 65536);
    static const struct {
        const char *fact;
        int code;
    } rows[] = {
        {"user uid", 0},
        {"user gid", 0},
        {"nofile soft", 0},
        {"nofile hard", 0},
        {"nproc soft", 0},
        {"memlock soft", 0},
        {"stat /", 0},
        {"access /", 0},
        {"free /", 0},
        {"inodes /", 0},
        {"exec sh", 0},
        {"port 0", 0},
        {"uname machine", 0},
        {"env PATH", 0},
        {"uname x", E_UNSUPPORTED},
        {"user x", E_UNSUPPORTED},
        {"x", E_UNSUPPORTED},
        {"port x", E_UNSUPPORTED},
        {"env PLEXUS_NO_SUCH", E_NOTFOUND},
        {"exec no-such-program", E_NOTFOUND},
        {"stat /no/such", E_NOTFOUND},
        {"free /no/such", E_NOTFOUND},
        {"inodes /no/such", E_NOTFOUND},
        {"access /no/such", E_NOTFOUND},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        buf_clear(&b);
        int rc = p.fact(p.self, rows[i].fact, &b);
        if (rc != rows[i].code)
            fail_msg("fact %s: %d, expected %d", rows[i].fact, rc, rows[i].code);
    }
    buf_clear(&b);
    assert_int_equal(p.read(p.self, "/no/such", &b), E_NOTFOUND);
    assert_int_equal(p.list(p.self, "/no/such", &b), E_NOTFOUND);
    assert_int_equal(p.link(p.self, "/no/such", &b), E_NOTFOUND);
    buf_fini(&b);
    host_live_free(l);
}

static void tree(void **state)
{
    char root[] = "/tmp/host_test.XXXXXX", path[256];
    struct buf b;
    (void)state;
    assert_non_null(mkdtemp(root));
    (void)snprintf(path, sizeof path, "%s/etc", root);
    assert_int_equal(mkdir(path, 0700), 0);
    (void)snprintf(path, sizeof path, "%s/etc/os-release", root);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    (void)fputs("NAME=x\nPRETTY_NAME=\"Tree 1\"\nID=tree\n", f);
    (void)fclose(f);
    struct host_live *l = host_live_new(&(struct host_live_args){.root = "/tmp//"});
    host_live_free(l);
    l = host_live_new(&(struct host_live_args){.root = root});
    struct host_probe p = host_live_probe(l);
    struct host_profile h;
    assert_int_equal(host_detect(&h, &p, NULL, NULL), 0);
    assert_string_equal(h.distro, "Tree 1");
    assert_string_equal(h.distro_id, "tree");
    assert_int_equal(h.memory.total, 0);
    buf_init(&b, 100);
    assert_int_equal(p.list(p.self, "/etc", &b), 0);
    assert_string_equal(buf_cstr(&b), "os-release\n");
    buf_fini(&b);
    host_live_free(l);
    (void)unlink(path);
    (void)snprintf(path, sizeof path, "%s/etc", root);
    (void)rmdir(path);
    (void)rmdir(root);
}

// ---- children -----------------------------------------------------------------------------------
static int hangs(int fd)
{
    while (write(fd, "begun", 5) == 5)
        (void)pause();
    return 0;
}

static int stubborn(int fd)
{
    (void)signal(SIGTERM, SIG_IGN);
    return hangs(fd);
}

static int crashes(int fd)
{
    (void)fd;
    (void)raise(SIGKILL);
    return 0;
}

static int floods(int fd)
{
    static const char part[1000];
    while (write(fd, part, sizeof part) > 0)
        ;
    return 0;
}

static int works(int fd)
{
    return write(fd, "fine", 4) == 4 ? 0 : 1;
}

static int fails(int fd)
{
    (void)fd;
    return 3;
}

static void children(void **state)
{
    static const char *const echo[] = {"echo", "hello", NULL}, *const none[] = {"/no/such/program",
                                                                                NULL};
    static const struct {
        struct host_child child;
        int code;
        const char *text, *why;
    } rows[] = {
        {{.fn = works, .timeout_ms = 20000, .out_max = 100}, 0, "fine", ""},
        {{.argv = echo, .timeout_ms = 20000, .out_max = 100}, 0, "hello\n", ""},
        {{.argv = none, .timeout_ms = 20000, .out_max = 100}, E_NOTFOUND, "", "no such program"},
        {{.fn = fails, .timeout_ms = 20000, .out_max = 100}, E_UNAVAILABLE, "", "code 3"},
        {{.fn = crashes, .timeout_ms = 20000, .out_max = 100}, E_UNAVAILABLE, "", "signal 9"},
        {{.fn = hangs, .timeout_ms = 300, .out_max = 100},
         E_TIMEOUT,
         "begun",
         "no answer in 300 ms"},
        {{.fn = stubborn, .timeout_ms = 300, .out_max = 100},
         E_TIMEOUT,
         "begun",
         "no answer in 300 ms"},
        {{.fn = floods, .timeout_ms = 20000, .out_max = 5000}, E_TOOBIG, NULL, "too much"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct buf b;
        struct err e = {0};
        buf_init(&b, 100000);
        int rc = host_child_run(&rows[i].child, &b, &e);
        if (rc != rows[i].code || (rows[i].text && strcmp(buf_cstr(&b), rows[i].text) != 0) ||
            !strstr(e.text, rows[i].why))
            fail_msg("row %zu: %d \"%s\" (%s)", i, rc, buf_cstr(&b), e.text);
        buf_fini(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(live), cmocka_unit_test(tree),
                                       cmocka_unit_test(children)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
