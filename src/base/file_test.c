// file_test.c: whole files, also on a full disk.
// SPDX-License-Identifier: Apache-2.0
#include "base/file.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char root[] = "/tmp/plexus_file_XXXXXX";
static char path[128];

static int setup(void **state)
{
    (void)state;
    if (!mkdtemp(root))
        return -1;
    (void)snprintf(path, sizeof path, "%s/f", root);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf %s", root);
    return system(command);
}

static void holds(const char *text)
{
    struct buf b;
    struct err e = {0};
    buf_init(&b, 1000);
    if (file_read(path, &b, &e) != 0)
        fail_msg("%s", e.text);
    assert_string_equal(buf_cstr(&b), text);
    buf_fini(&b);
}

static void test_write_read(void **state)
{
    (void)state;
    struct err e = {0};
    struct stat st;
    mode_t old = umask(077);
    assert_int_equal(file_write_atomic(path, BYTES("one"), 0644, &e), 0);
    (void)umask(old);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0644);
    holds("one");
    assert_int_equal(file_write_atomic(path, BYTES("two"), 0600, &e), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    holds("two");
    assert_int_equal(file_write_atomic(path, BYTES_NONE, 0600, &e), 0);
    holds("");
}

static void test_ceiling(void **state)
{
    (void)state;
    struct err e = {0};
    assert_int_equal(file_write_atomic(path, BYTES("0123456789"), 0600, &e), 0);
    for (size_t max = 8; max < 13; max++) {
        struct buf b;
        buf_init(&b, max);
        (void)buf_chr(&b, '>');
        int rc = file_read(path, &b, &e);
        assert_int_equal(rc, max < 11 ? E_TOOBIG : 0);
        assert_string_equal(buf_cstr(&b), max < 11 ? ">" : ">0123456789");
        buf_fini(&b);
    }
    struct buf b;
    uint64_t size = 0;
    buf_init(&b, 100);
    assert_int_equal(file_read_part(path, 4, &b, &size, &e), 0);
    assert_string_equal(buf_cstr(&b), "0123");
    assert_int_equal(size, 10);
    assert_int_equal(file_read_part(path, 40, &b, NULL, &e), 0);
    assert_string_equal(buf_cstr(&b), "01230123456789");
    buf_fini(&b);
}

static void test_not_files(void **state)
{
    (void)state;
    struct buf b;
    struct err e = {0};
    char fifo[160];
    buf_init(&b, 100);
    (void)snprintf(fifo, sizeof fifo, "%s/fifo", root);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(file_read(fifo, &b, &e), E_INVALID); // and does not wait for a writer
    assert_int_equal(file_read(root, &b, &e), E_INVALID);
    assert_int_equal(file_read("/no/such", &b, &e), E_NOTFOUND);
    assert_int_equal(file_write_atomic("/no/such/file", BYTES("x"), 0600, &e), E_NOTFOUND);
    buf_fini(&b);
}

static void test_mkdirs(void **state)
{
    (void)state;
    char deep[200];
    struct err e = {0};
    struct stat st;
    static const char *const tails[] = {"a/b/c", "a/b/c", "a//b///d/", "."};
    for (size_t i = 0; i < 4; i++) {
        (void)snprintf(deep, sizeof deep, "%s/%s", root, tails[i]);
        assert_int_equal(file_mkdirs(deep, 0700, &e), 0);
        assert_int_equal(stat(deep, &st), 0);
        assert_true(S_ISDIR(st.st_mode));
    }
    assert_int_equal(file_mkdirs("/", 0700, &e), 0);
    (void)snprintf(deep, sizeof deep, "%s/f/x", root);
    assert_int_equal(file_mkdirs(deep, 0700, &e), E_EXISTS);
}

static void test_self(void **state)
{
    (void)state;
    assert_true(access(file_self(), X_OK) == 0);
}

#ifdef PLEXUS_FAULTS
static const char *fail_step;
static int fail_value, fail_at, seen;
static int fault(const char *step)
{
    if (strcmp(step, fail_step) != 0)
        return 0;
    return seen++ == fail_at ? fail_value : 0;
}

static void test_faults(void **state)
{
    (void)state;
    static const struct {
        const char *step;
        int value, code;
        bool changed; // the new content is there though the call failed
    } rows[] = {
        {"open", EACCES, E_PERM, false},     {"open", ENOSPC, E_NOSPACE, false},
        {"write", ENOSPC, E_NOSPACE, false}, {"write", EDQUOT, E_NOSPACE, false},
        {"write", EIO, E_IO, false},         {"fsync", ENOSPC, E_NOSPACE, false},
        {"fsync", EIO, E_IO, false},         {"rename", ENOSPC, E_NOSPACE, false},
        {"fsync folder", EIO, E_IO, true},
    };
    struct err e = {0};
    file_fault_set(NULL);
    assert_int_equal(file_write_atomic(path, BYTES("old"), 0600, &e), 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char next[160];
        fail_step = rows[i].step;
        fail_value = rows[i].value;
        fail_at = seen = 0;
        file_fault_set(fault);
        assert_int_equal(file_write_atomic(path, BYTES("new"), 0600, &e), rows[i].code);
        file_fault_set(NULL);
        holds(rows[i].changed ? "new" : "old");
        (void)snprintf(next, sizeof next, "%s.new", path);
        assert_int_equal(access(next, F_OK), -1);
    }
    struct buf b;
    buf_init(&b, 100);
    fail_step = "read";
    fail_value = EIO;
    fail_at = seen = 0;
    file_fault_set(fault);
    assert_int_equal(file_read(path, &b, &e), E_IO);
    fail_value = EINTR; // is tried again
    seen = 0;
    assert_int_equal(file_read(path, &b, &e), 0);
    fail_step = "mkdir";
    fail_value = ENOSPC;
    seen = 0;
    char deep[160];
    (void)snprintf(deep, sizeof deep, "%s/new/folder", root);
    assert_int_equal(file_mkdirs(deep, 0700, &e), E_NOSPACE);
    file_fault_set(NULL);
    buf_fini(&b);
}
#endif

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write_read), cmocka_unit_test(test_ceiling),
        cmocka_unit_test(test_not_files),  cmocka_unit_test(test_mkdirs),
        cmocka_unit_test(test_self),
#ifdef PLEXUS_FAULTS
        cmocka_unit_test(test_faults),
#endif
    };
    return cmocka_run_group_tests_name("files", tests, setup, teardown);
}
