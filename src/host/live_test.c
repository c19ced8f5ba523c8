// live_test.c: the machine that runs this, a folder tree that stands for one, children with
// deadlines. SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "host/profiles_priv.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
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

static void takes_ports(void **state)
{
    struct host_live *l = host_live_new(NULL);
    struct host_probe p = host_live_probe(l);
    struct sockaddr_in a = {.sin_family = AF_INET};
    socklen_t size = sizeof a;
    struct buf b;
    char name[32];
    (void)state;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)(const void *)&a, sizeof a), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)(void *)&a, &size), 0);
    (void)snprintf(name, sizeof name, "port %u", (unsigned)ntohs(a.sin_port));
    buf_init(&b, 100);
    assert_int_equal(p.fact(p.self, name, &b), 0);
    assert_string_equal(buf_cstr(&b), "used");
    (void)close(fd);
    buf_clear(&b);
    assert_int_equal(p.fact(p.self, name, &b), 0);
    assert_string_equal(buf_cstr(&b), "free");
    buf_fini(&b);
    host_live_free(l);
}

static void odd_files(void **state)
{
    static char deep[3000];
    struct host_live *l = host_live_new(NULL);
    struct host_probe p = host_live_probe(l);
    struct buf b;
    (void)state;
    memset(deep, 'x', sizeof deep - 1);
    *deep = '/';
    buf_init(&b, 10);
    assert_true(p.read(p.self, "/", &b) < 0);            // a folder
    assert_int_equal(p.read(p.self, "/proc/self/status", &b),
                     E_TOOBIG); // over the buffer's ceiling
    assert_int_equal(p.read(p.self, deep, &b), E_NOTFOUND);
    assert_int_equal(p.list(p.self, deep, &b), E_NOTFOUND);
    assert_int_equal(p.link(p.self, deep, &b), E_NOTFOUND);
    buf_fini(&b);
    buf_init(&b, HOST_FILE_MAX + 100000);
    assert_int_equal(p.read(p.self, "/dev/zero", &b), E_TOOBIG);
    buf_clear(&b);
    assert_int_equal(p.link(p.self, "/proc/self/exe", &b), 0);
    assert_int_equal(*b.p, '/');
    buf_fini(&b);
    host_live_free(l);
}

// The program that is asked for the cards, when it is something else than it should be.
static void strange_helpers(void **state)
{
    static const struct {
        const char *exe;
        int code;
        const char *why;
    } rows[] = {
        {"/no/such/plexus", E_NOTFOUND, "gpu probe: no such program"},
        {"/bin/false", E_UNAVAILABLE, "gpu probe: it ended with code 1"},
        {"/bin/echo", E_PARSE, ""}, // "_gpu" is no JSON
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct host_live *l = host_live_new(&(struct host_live_args){.self_exe = rows[i].exe});
        struct host_probe p = host_live_probe(l);
        struct host_nvml n;
        struct err e = {0};
        int rc = p.nvml(p.self, 20000, &n, &e);
        if (rc != rows[i].code || e.code != rc || !strstr(e.text, rows[i].why))
            fail_msg("row %zu: %d %s", i, rc, e.text);
        host_live_free(l);
    }
    host_live_free(NULL);
}

static void without_memory(void **state)
{
    (void)state;
#ifndef PLEXUS_FAULTS // without the shim every allocation succeeds
    return;
#endif
    for (uint64_t n = 1; n < 4; n++) {
        mem_fail_after(n, 1);
        struct host_live *l =
            host_live_new(&(struct host_live_args){.root = "/x", .self_exe = "y"});
        mem_fail_after(0, 0);
        assert_null(l);
        host_live_free(l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(live),           cmocka_unit_test(tree),
        cmocka_unit_test(children),       cmocka_unit_test(takes_ports),
        cmocka_unit_test(odd_files),      cmocka_unit_test(strange_helpers),
        cmocka_unit_test(without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
