// store_test.c: whose file it is, versions, copies, locks, errors with their mend.
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "store/fault_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const one[] = {"CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT)", NULL};
static const char *const two[] = {"CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT)",
                                  "ALTER TABLE t ADD COLUMN c TEXT DEFAULT 'new'", NULL};
static const char *const bad[] = {"CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT)",
                                  "DELETE FROM t; CREATE TABLE t(a)", NULL};
static const struct store_schema v1 = {"test", 0x74657374, one}, v2 = {"test", 0x74657374, two},
                                 v2_bad = {"test", 0x74657374, bad},
                                 other = {"other", 0x6f746872, one};

static char folder[64], path[128];

static int setup(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/store_test.XXXXXX");
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/a/b/file.db", folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    char command[128];
    store_fault_set(NULL, NULL);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", folder);
    assert_int_equal(system(command), 0);
    assert_int_equal(mem_live(), 0);
    return 0;
}

static struct store *open_it(const struct store_schema *schema)
{
    struct store *s = NULL;
    struct store_args a = {.path = path, .schema = schema, .busy_ms = 100};
    struct err e = {0};
    if (store_open(&s, &a, &e))
        fail_msg("%s", e.text);
    return s;
}

static void refused(const struct store_schema *schema, int status, const char *words)
{
    struct store *s = NULL;
    struct store_args a = {.path = path, .schema = schema, .busy_ms = 100};
    struct err e = {0};
    int rc = store_open(&s, &a, &e);
    if (rc != status || s)
        fail_msg("%d, not %d: %s", rc, status, e.text);
    if (!strstr(e.text, words))
        fail_msg("no word of \"%s\" in: %s", words, e.text);
}

static void run(struct store *s, const char *sql)
{
    struct err e = {0};
    if (store_exec(s, sql, &e))
        fail_msg("%s", e.text);
}

static void expect(struct store *s, const char *sql, const char *text)
{
    struct store_stmt *q = NULL;
    struct err e = {0};
    assert_int_equal(store_prepare(s, sql, &q, &e), 0);
    assert_int_equal(store_step(q, &e), 1);
    struct bytes got = store_col(q, 0);
    char copy[64];
    (void)snprintf(copy, sizeof copy, "%.*s", BYTES_FMT(got));
    assert_string_equal(copy, text);
    store_reset(q);
    store_finish(q);
}

static bool there(const char *end)
{
    char name[256];
    (void)snprintf(name, sizeof name, "%s%s", path, end);
    return access(name, F_OK) == 0;
}

// ---- files --------------------------------------------------------------------------------------

static void test_values(void **state)
{
    (void)state;
    struct store *s = open_it(&v1);
    struct store_stmt *put = NULL, *get = NULL;
    struct err e = {0};
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(store_prepare(s, "INSERT INTO t VALUES(?1,?2)", &put, &e), 0);
    assert_int_equal(store_begin(s, &e), 0);
    store_u64(put, 1, 7);
    store_blob(put, 2, (struct bytes){"a\0b", 3});
    assert_int_equal(store_run(put, &e), 0);
    assert_int_equal(store_last_rowid(s), 7);
    assert_int_equal(store_run(put, &e), E_EXISTS);
    store_i64(put, 1, -8);
    store_text(put, 2, BYTES_NONE);
    assert_int_equal(store_run(put, &e), 0);
    assert_int_equal(store_commit(s, &e), 0);
    assert_true(store_wal_pages(s) > 0);
    assert_int_equal(store_begin(s, &e), 0);
    run(s, "DELETE FROM t");
    assert_int_equal(store_changes(s), 2);
    store_rollback(s);
    store_rollback(s);
    assert_int_equal(store_prepare(s, "SELECT a,b FROM t ORDER BY a", &get, &e), 0);
    assert_int_equal(store_step(get, &e), 1);
    assert_int_equal(store_col_i64(get, 0), -8);
    assert_int_equal(store_col(get, 1).n, 0);
    assert_int_equal(store_step(get, &e), 1);
    assert_int_equal(store_col_u64(get, 0), 7);
    assert_memory_equal(store_col(get, 1).p, "a\0b", 3);
    assert_int_equal(store_step(get, &e), 0);
    assert_int_equal(store_prepare(s, "SELECT nonsense", &get, &e), E_INTERNAL);
    assert_int_equal(store_checkpoint(s, &e), 0);
    assert_int_equal(store_wal_pages(s), 0);
    assert_true(store_bytes(s) >= 8192);
    store_close(s);
    store_close(NULL);
    assert_false(there("-wal"));
}

static void test_versions(void **state)
{
    (void)state;
    struct store *s = open_it(&v1);
    run(s, "INSERT INTO t VALUES(1,'old')");
    store_close(s);
    assert_false(there(".v1.backup"));
    refused(&v2_bad, E_INTERNAL, "move to version 2");
    assert_true(there(".v1.backup"));
    assert_false(there(".v1.backup.part"));
    s = open_it(&v1); // it is as it was
    expect(s, "SELECT b FROM t", "old");
    run(s, "UPDATE t SET b='older'");
    store_close(s);
    s = open_it(&v2);
    expect(s, "SELECT b||c FROM t", "oldernew");
    store_close(s);
    refused(&v1, E_VERSION, "newer plexus (version 2, this one knows 1)");
    refused(&v1, E_VERSION, ".v1.backup");
    char command[400];
    (void)snprintf(command, sizeof command, "mv '%s.v1.backup' '%s'", path, path);
    assert_int_equal(system(command), 0); // as it says
    s = open_it(&v1);
    expect(s, "SELECT b FROM t", "older");
    store_close(s);
    uint32_t version = 0;
    struct err e = {0};
    assert_int_equal(store_check(path, &v1, &version, &e), 0);
    assert_int_equal(version, 1);
}

static void test_foreign(void **state)
{
    (void)state;
    store_close(open_it(&other));
    refused(&v1, E_INVALID, "another program");
    assert_int_equal(truncate(path, 0), 0); // empty: ours
    store_close(open_it(&v1));
    FILE *f = fopen(path, "w");
    for (int i = 0; i < 1000; i++)
        (void)fputs("This is a letter, not a database.\n", f);
    (void)fclose(f);
    refused(&v1, E_IO, "mend:");
    assert_int_equal(chmod(path, 0600), 0);
    struct err e = {0};
    assert_int_equal(store_check(path, &v1, NULL, &e), E_IO);
    (void)unlink(path);
    assert_int_equal(store_check(path, &v1, NULL, &e), E_NOTFOUND);
    (void)mkdir(path, 0700);
    refused(&v1, E_PERM, "mend:");
}

static void test_locks(void **state)
{
    (void)state;
    struct store *s = open_it(&v1);
    struct err e = {0};
    refused(&v1, E_LOCKED, "another node; mend:");
    // Another program writes: SQLite's own lock.
    int up[2], go[2];
    assert_int_equal(pipe(up) | pipe(go), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct store *o = NULL;
        struct store_args a = {.path = path, .schema = &v1};
        char c = store_open_reader(&o, &a, NULL) || store_exec(o, "PRAGMA query_only=OFF", NULL) ||
                 store_begin(o, NULL);
        (void)!write(up[1], &c, 1);
        (void)!read(go[0], &c, 1);
        _exit(0);
    }
    char c = 1;
    assert_int_equal(read(up[0], &c, 1), 1);
    assert_int_equal(c, 0);
    assert_int_equal(store_begin(s, &e), E_LOCKED);
    assert_non_null(strstr(e.text, "another program holds the file"));
    struct store *r = NULL;
    struct store_args a = {.path = path, .schema = &v1, .busy_ms = 100};
    assert_int_equal(store_open_reader(&r, &a, &e), 0); // readers go on
    assert_int_equal(store_begin_read(r, &e), 0);
    expect(r, "SELECT count(*)||'' FROM t", "0");
    assert_int_equal(store_exec(r, "INSERT INTO t VALUES(1,'x')", &e), E_PERM);
    store_close(r);
    assert_int_equal(write(go[1], &c, 1), 1);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(store_begin(s, &e), 0);
    assert_int_equal(store_commit(s, &e), 0);
    store_close(s);
    store_close(open_it(&v1)); // the lock is gone with it
    for (int i = 0; i < 2; i++) {
        (void)close(up[i]);
        (void)close(go[i]);
    }
}

// A page that was damaged is found when it is read, and by the check, which says the mend.
static void test_damage(void **state)
{
    (void)state;
    struct store *s = open_it(&v1);
    struct store_stmt *q = NULL;
    struct err e = {0};
    char text[1000];
    assert_int_equal(store_prepare(s, "INSERT INTO t(b) VALUES(?1)", &q, &e), 0);
    memset(text, 'x', sizeof text);
    assert_int_equal(store_begin(s, &e), 0);
    for (int i = 0; i < 500; i++) {
        store_text(q, 1, (struct bytes){text, sizeof text});
        assert_int_equal(store_run(q, &e), 0);
    }
    assert_int_equal(store_commit(s, &e), 0);
    store_close(s);
    assert_int_equal(store_check(path, &v1, NULL, &e), 0);
    int fd = open(path, O_RDWR);
    memset(text, 0xa5, sizeof text);
    for (off_t page = 20; page < 30; page++)
        assert_int_equal(pwrite(fd, text, sizeof text, page * 4096), sizeof text);
    (void)close(fd);
    assert_int_equal(store_check(path, &v1, NULL, &e), E_IO);
    assert_non_null(strstr(e.text, "damaged"));
    assert_non_null(strstr(e.text, "mend:"));
    s = open_it(&v1); // its first pages are good
    assert_int_equal(store_prepare(s, "SELECT sum(length(b)) FROM t", &q, &e), 0);
    assert_int_equal(store_step(q, &e), E_IO);
    assert_non_null(strstr(e.text, "mend:"));
    store_close(s);
}

// ---- disks --------------------------------------------------------------------------------------

struct plan {
    const char *step, *end; // of the path
    int after;              // steps that go well
    int error;
    size_t torn;
    int seen;
};

static int by_plan(void *user, const char *step, const char *name, uint64_t at, size_t n,
                   size_t *torn)
{
    struct plan *p = user;
    (void)at;
    (void)n;
    if (strcmp(step, p->step) != 0 || !bytes_ends(bytes_of(name), bytes_of(p->end)))
        return 0;
    *torn = p->torn;
    return p->seen++ < p->after ? 0 : p->error;
}

static void test_disks(void **state)
{
    (void)state;
    FAULTS_OR_SKIP();
    static const struct {
        struct plan plan;
        int status;
        const char *words;
    } cases[] = {
        {{.step = "write", .end = "-wal", .error = ENOSPC}, E_NOSPACE, "make room"},
        {{.step = "write", .end = "-wal", .after = 3, .error = EIO, .torn = 100}, E_IO, "mend:"},
        {{.step = "sync", .end = "-wal", .error = EIO}, E_IO, "mend:"},
        {{.step = "sync", .end = "-wal", .error = ENOSPC}, E_NOSPACE, "mend:"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct plan plan = {.step = "none", .end = ""};
        struct err e = {0};
        store_fault_set(by_plan, &plan);
        (void)unlink(path);
        struct store *s = open_it(&v1);
        run(s, "INSERT INTO t VALUES(1,'kept')");
        plan = cases[i].plan;
        assert_int_equal(store_begin(s, &e), 0);
        run(s, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<99) "
               "INSERT INTO t(b) SELECT hex(zeroblob(400)) FROM n");
        assert_int_equal(store_commit(s, &e), cases[i].status);
        if (!strstr(e.text, cases[i].words))
            fail_msg("case %zu: %s", i, e.text);
        plan = (struct plan){.step = "none", .end = ""};
        store_rollback(s);
        store_close(s);
        store_fault_set(NULL, NULL);
        s = open_it(&v1);
        expect(s, "SELECT b FROM t WHERE a=1", "kept");
        store_close(s);
    }
    // Neither the backup nor the move may be half there.
    store_fault_set(NULL, NULL);
    (void)unlink(path);
    struct store *s = open_it(&v1);
    run(s, "INSERT INTO t VALUES(1,'kept')");
    store_close(s);
    struct plan plan = {.step = "write", .end = ".part", .error = ENOSPC};
    store_fault_set(by_plan, &plan);
    refused(&v2, E_NOSPACE, "backup before the move");
    assert_false(there(".v1.backup") || there(".v1.backup.part"));
    plan = (struct plan){.step = "write", .end = "file.db-wal", .error = EIO};
    refused(&v2, E_IO, "");
    store_fault_set(NULL, NULL);
    s = open_it(&v2);
    expect(s, "SELECT b||c FROM t", "keptnew");
    store_close(s);
}

// A disk that is full in earnest, where this may be tried.
static void test_small_disk(void **state)
{
    (void)state;
    char where[128];
    struct err e = {0};
    int rc = 0;
    (void)snprintf(where, sizeof where, "%s/small", folder);
    (void)mkdir(where, 0700);
    if (geteuid() != 0 || mount("none", where, "tmpfs", 0, "size=600k") != 0) {
        print_message("[  SKIPPED ] a small disk: no right to mount one\n");
        return;
    }
    (void)snprintf(path, sizeof path, "%s/small/file.db", folder);
    struct store *s = open_it(&v1);
    int kept = 0;
    for (; !rc && kept < 10000; kept += !rc)
        rc = store_exec(s, "INSERT INTO t(b) VALUES(hex(zeroblob(2000)))", &e);
    assert_int_equal(rc, E_NOSPACE);
    assert_non_null(strstr(e.text, "make room"));
    assert_true(kept > 20);
    store_close(s);
    struct store *r = NULL;
    struct store_args a = {.path = path, .schema = &v1};
    char count[16];
    (void)snprintf(count, sizeof count, "%d", kept);
    assert_int_equal(store_open_reader(&r, &a, &e), 0);
    expect(r, "SELECT count(*)||'' FROM t", count);
    store_close(r);
    assert_int_equal(umount2(where, MNT_DETACH), 0);
}

// ---- power cuts ---------------------------------------------------------------------------------

static uint64_t rng_state;
static uint64_t next_random(void *user)
{
    (void)user;
    rng_state = rng_state * 6364136223846793005u + 1442695040888963407u; // Knuth's MMIX
    return rng_state >> 33;
}

struct cut {
    uint64_t steps, at;
};
static int cut_soon(void *user, const char *step, const char *name, uint64_t at, size_t n,
                    size_t *torn)
{
    struct cut *c = user;
    (void)step;
    (void)name;
    (void)at;
    *torn = n ? next_random(NULL) % n : 0;
    return ++c->steps >= c->at ? EIO : 0; // from here on nothing works
}

// Power goes at every step in turn: what was committed is there, what was not is whole or not
// there.
static void test_power(void **state)
{
    (void)state;
    FAULTS_OR_SKIP();
    unsigned lost = 0, kept = 0;
    for (uint64_t turn = 1; turn <= 250; turn++) {
        char command[256];
        struct cut cut = {.at = UINT64_MAX};
        struct err e = {0};
        rng_state = turn;
        (void)snprintf(command, sizeof command, "rm -rf '%s/a'", folder);
        assert_int_equal(system(command), 0);
        store_fault_set(cut_soon, &cut);
        struct store *s = open_it(&v1);
        cut.at = cut.steps + turn;
        int told = 0, rc = 0;
        for (int i = 1; i <= 60 && !rc; i++) {
            char sql[200];
            (void)snprintf(sql, sizeof sql,
                           "BEGIN IMMEDIATE; INSERT INTO t VALUES(%d,hex(zeroblob(%d)));"
                           "INSERT INTO t VALUES(%d,'second'); COMMIT",
                           2 * i, (i * 37) % 5000, 2 * i + 1);
            rc = store_exec(s, sql, &e);
            if (!rc && i % 13 == 0)
                rc = store_checkpoint(s, &e);
            else
                told += !rc;
            told += rc == 0 && i % 13 == 0;
        }
        store_fault_cut(next_random, NULL);
        store_close(s);
        store_fault_set(NULL, NULL);
        s = open_it(&v1);
        struct store_stmt *q = NULL;
        assert_int_equal(store_prepare(s, "SELECT count(*),max(a),sum(a%2) FROM t", &q, &e), 0);
        assert_int_equal(store_step(q, &e), 1);
        int64_t count = store_col_i64(q, 0);
        if (count < 2 * told || count > 2 * told + 4 || count % 2)
            fail_msg("turn %llu: %lld rows, %d pairs were told", (unsigned long long)turn,
                     (long long)count, told);
        assert_int_equal(store_col_i64(q, 2), count / 2);
        assert_true(count == 0 || store_col_i64(q, 1) == count + 1);
        *(count > 2 * told ? &kept : &lost) += 1;
        store_close(s);
        assert_int_equal(store_check(path, &v1, NULL, &e), 0);
    }
    assert_true(lost > 50 && kept > 10); // both happen
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_values), TEST(test_versions), TEST(test_foreign),    TEST(test_locks),
        TEST(test_damage), TEST(test_disks),    TEST(test_small_disk), TEST(test_power)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
