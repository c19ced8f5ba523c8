// journal_sqlite_test.c: the journal in SQLite: the kit, and what only a file can suffer.
// JOURNAL_KILLS=n: so many kills instead of 100.
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "adapters/journal_sqlite.h"
#include "adapters/journal_sqlite_priv.h"
#include "adapters/journal_torture_rig.h"

#include <fcntl.h>
#include <sys/stat.h>

static void folder_up(struct kit *k)
{
    (void)snprintf(k->folder, sizeof k->folder, "/tmp/journal_test.XXXXXX");
    assert_non_null(mkdtemp(k->folder));
    (void)snprintf(k->path, sizeof k->path, "%s/deeper/journal.db", k->folder);
    k->writer = loop_work_new(k->loop, "journal", 1, 16);
    assert_non_null(k->writer);
}
static void folder_down(struct kit *k)
{
    char command[128];
    store_fault_set(NULL, NULL);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", k->folder);
    assert_int_equal(system(command), 0);
}
static void folder_args(struct kit *k, struct journal_args *a)
{
    a->path = k->path;
    a->writer = k->writer;
}

static struct kit sqlite = {
    .open = journal_sqlite_open, .args = folder_args, .setup = folder_up, .teardown = folder_down};

static int refused(struct kit *k, char *why, size_t n)
{
    struct journal_args a = kit_args(k);
    struct err e = {0};
    struct journal *j = NULL;
    int rc = k->open(&a, &j, &e);
    assert_null(j);
    (void)snprintf(why, n, "%s", e.text);
    return rc;
}

static void close_it(struct kit *k)
{
    kit_close_one(k, k->j);
    k->j = NULL;
}

static void with_file(struct kit *k, const char *sql)
{
    static const char *const none[] = {NULL};
    static const struct store_schema any = {"journal", 0x706c786a, none};
    struct store *s = NULL;
    struct store_args a = {.path = k->path, .schema = &any};
    struct err e = {0};
    if (store_open_reader(&s, &a, &e) || store_exec(s, "PRAGMA query_only=OFF", &e) ||
        store_exec(s, sql, &e))
        fail_msg("%s", e.text);
    store_close(s);
}

// ---- files --------------------------------------------------------------------------------------

static void test_open(void **state)
{
    struct kit *k = *state;
    char why[ERR_TEXT_MAX];
    assert_ptr_equal(journal_engine_find("sqlite")->open, journal_sqlite_open);
    assert_true(strncmp(stats(k).engine, "SQLite 3.", 9) == 0);
    assert_true(stats(k).file_bytes > 0);
    struct err e = {0};
    assert_int_equal(journal_sqlite_check(k->path, &e), 0);
    assert_int_equal(refused(k, why, sizeof why), E_LOCKED);
    assert_non_null(strstr(why, "another node"));
    close_it(k);
    with_file(k, "PRAGMA user_version=99");
    assert_int_equal(refused(k, why, sizeof why), E_VERSION);
    assert_non_null(strstr(why, "newer plexus (version 99"));
    assert_non_null(strstr(why, "mend:"));
    with_file(k, "PRAGMA user_version=1");
    k->j = kit_open_as(k, "kit");
    struct journal_args a = kit_args(k);
    struct journal *j = NULL;
    a.path = NULL;
    assert_int_equal(k->open(&a, &j, &e), E_INVALID);
    a.path = "/proc/none/journal.db";
    assert_true(k->open(&a, &j, &e) < 0);
    assert_null(j);
}

// A page of histories is damaged: its readers are told, with the mend; the rest goes on.
static void test_damage(void **state)
{
    struct kit *k = *state;
    struct journal_run row = row_of("a", "running", true);
    char id[16], big[3000], why[ERR_TEXT_MAX] = "";
    memset(big, 'b', sizeof big);
    big[sizeof big - 1] = 0;
    for (int i = 0; i < 40; i++) {
        (void)snprintf(id, sizeof id, "r%d", i);
        assert_int_equal(create(k, id, &row), 0);
        assert_int_equal(append(k, id, 1, big, NULL), 0);
    }
    close_it(k);
    struct stat st;
    assert_int_equal(stat(k->path, &st), 0);
    int fd = open(k->path, O_RDWR);
    char page[4096];
    for (off_t at = 4096 * 8, done = 0; at < st.st_size && done < 3; at += 4096) {
        assert_int_equal(pread(fd, page, sizeof page, at), sizeof page);
        if (page[0] != 13 || !memchr(page, 'b', sizeof page) || page[4000] != 'b')
            continue; // a leaf with an entry
        memset(page, 0xee, 64);
        assert_int_equal(pwrite(fd, page, sizeof page, at), sizeof page);
        done++;
    }
    (void)close(fd);
    k->j = kit_open_as(k, "kit");
    unsigned good = 0, bad = 0;
    for (int i = 0; i < 40; i++) {
        (void)snprintf(id, sizeof id, "r%d", i);
        struct got g = got_new(0);
        struct told t = told_new();
        struct err e = {0};
        struct journal_read a = {.run = bytes_of(id), .from = 1, .on_entry = got_entry, .user = &g};
        assert_int_equal(journal_read(k->j, &a, &t.r, &e), 0);
        kit_until(k, t.dones);
        if (t.status)
            (void)snprintf(why, sizeof why, "%s", t.why);
        assert_true(t.status == 0 || t.status == E_IO);
        *(t.status ? &bad : &good) += 1;
        got_free(&g);
    }
    assert_true(good > 10 && bad > 0);
    assert_non_null(strstr(why, "damaged"));
    assert_non_null(strstr(why, "mend:"));
    struct err e = {0};
    assert_int_equal(journal_sqlite_check(k->path, &e), E_IO);
    assert_non_null(strstr(e.text, "mend:"));
    // An entry that is missing is found, too.
    with_file(k,
              "DELETE FROM entries WHERE at=(SELECT tail FROM states ORDER BY key DESC LIMIT 1)");
    struct got g = got_new(0);
    assert_int_equal(read_on(k, k->j, (struct journal_read){.run = BYTES("r39")}, &g), E_IO);
    with_file(k, "UPDATE entries SET count=0 WHERE at=(SELECT tail FROM states WHERE key=39)");
    assert_int_equal(read_on(k, k->j, (struct journal_read){.run = BYTES("r38")}, &g), E_IO);
    with_file(k, "UPDATE entries SET first=1,count=1 WHERE at=(SELECT tail FROM states"
                 " WHERE key=38)");
    assert_int_equal(read_on(k, k->j, (struct journal_read){.run = BYTES("r37")}, &g), E_IO);
    got_free(&g);
}

// Memory that runs out at each point in turn: that write is not there, and can be made once more.
static void test_torture(void **state)
{
    struct kit *k = *state;
    struct journal_run row = row_of("a", "running", true);
    struct bytes entry = BYTES("x");
    unsigned failed = 0;
    int rc = 1;
    FAULTS_OR_SKIP();
    assert_int_equal(create(k, "old", &row), 0);
    for (uint64_t n = 1; rc; n++) {
        char id[32];
        (void)snprintf(id, sizeof id, "r%d", (int)n);
        struct journal_change c[] = {
            {.run = BYTES("old"), .expect = n, .entries = &entry, .entry_count = 1},
            {.run = bytes_of(id),
             .create = true,
             .entries = &entry,
             .entry_count = 1,
             .row = &row}};
        struct journal_write w = {.changes = c, .change_count = 2};
        assert_true(n < 100);
        mem_fail_after(n, 0);
        rc = write_now(k, &w);
        mem_fail_after(0, 0);
        assert_true(rc == 0 || rc == E_NOMEM);
        failed += rc != 0;
        if (rc)
            assert_int_equal(write_now(k, &w), 0);
        assert_false(stats(k).stopped);
    }
    assert_true(failed >= 3);
}

// Another program holds the file: that write fails with a word, and nothing of it is kept; later
// ones go on.
static void test_locked(void **state)
{
    struct kit *k = *state;
    struct journal_run row = row_of("a", "running", true);
    assert_int_equal(create(k, "r", &row), 0);
    struct store *s = NULL;
    struct store_args a = {.path = k->path, .schema = &journal_schema};
    struct err e = {0};
    assert_int_equal(store_open_reader(&s, &a, &e), 0);
    assert_int_equal(store_exec(s, "PRAGMA query_only=OFF", &e), 0);
    assert_int_equal(store_begin(s, &e), 0);
    struct bytes entry = BYTES("x");
    struct journal_change c = {.run = BYTES("r"), .expect = 1, .entries = &entry, .entry_count = 1};
    struct told t;
    assert_int_equal(
        begin_write(k, k->j, &(struct journal_write){.changes = &c, .change_count = 1}, &t), 0);
    expect_runs(k, (struct journal_list){.limit = 0}, "r "); // reads go on meanwhile
    kit_until(k, t.dones);
    assert_int_equal(t.status, E_LOCKED);
    assert_non_null(strstr(t.why, "another program holds the file"));
    assert_false(stats(k).stopped);
    store_close(s);
    assert_int_equal(append(k, "r", 1, "y", NULL), 0);
    expect_entries(k, "r", 2, 0, "2=y ");
}

// ---- disks --------------------------------------------------------------------------------------

struct plan {
    const char *step;
    int error;
    size_t torn;
};

static int by_plan(void *user, const char *step, const char *name, uint64_t at, size_t n,
                   size_t *torn)
{
    const struct plan *p = user;
    (void)name;
    (void)at;
    (void)n;
    *torn = p->torn;
    return strcmp(step, p->step) != 0 ? 0 : p->error;
}

// A disk that is full, that fails, that tears: the journal stops and says so, and never goes on,
// although the disk is well again.
static void test_stops(void **state)
{
    struct kit *k = *state;
    static const struct {
        struct plan plan;
        int status;
        const char *words;
    } cases[] = {{{"sync", EIO, 0}, E_IO, "mend:"},
                 {{"write", ENOSPC, 0}, E_NOSPACE, "make room"},
                 {{"write", EIO, 700}, E_IO, "mend:"}};
    struct journal_run row = row_of("a", "running", true);
    struct plan plan = {.step = "none"};
    close_it(k);
    FAULTS_OR_SKIP();
    store_fault_set(by_plan, &plan);
    k->j = kit_open_as(k, "kit");
    assert_int_equal(create(k, "r", &row), 0);
    uint64_t last = 1;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct told t[3];
        struct bytes entry = BYTES("x");
        assert_int_equal(append(k, "r", last, "kept", &row), 0);
        last++;
        plan = cases[i].plan;
        for (unsigned n = 0; n < 3; n++) {
            struct journal_change c = {
                .run = BYTES("r"), .expect = last + n, .entries = &entry, .entry_count = 1};
            struct journal_write w = {.changes = &c, .change_count = 1};
            assert_int_equal(begin_write(k, k->j, &w, &t[n]), 0);
            if (n == 0)
                kit_round(k);
        }
        kit_until(k, t[2].dones);
        plan = (struct plan){.step = "none"};
        for (unsigned n = 0; n < 3; n++)
            assert_int_equal(t[n].status, cases[i].status);
        assert_int_equal(append(k, "r", last, "x", NULL), cases[i].status);
        assert_int_equal(create(k, "s", &row), cases[i].status);
        assert_true(stats(k).stopped);
        assert_non_null(strstr(stats(k).why, cases[i].words));
        char kept[32];
        (void)snprintf(kept, sizeof kept, "%llu=kept ", (unsigned long long)last);
        expect_entries(k, "r", last, last, kept); // what was told can be read
        kit_reopen(k);
        assert_false(stats(k).stopped);
        struct got g = got_new(0);
        assert_int_equal(read_on(k, k->j, (struct journal_read){.run = BYTES("r")}, &g), 0);
        assert_in_range(g.rows, last, last + 1); // what was not told may be there, whole
        last = g.rows;
        got_free(&g);
    }
}

// ---- size ---------------------------------------------------------------------------------------

// Many closed runs are removed in several commits; the file does not grow for ever.
static void test_prune_many(void **state)
{
    enum { RUNS = 300, ENTRIES = 30 };
    struct kit *k = *state;
    struct journal_run row = row_of("a", "completed", false);
    struct bytes entries[ENTRIES];
    static char big[400];
    struct told *t = calloc(RUNS, sizeof *t);
    uint64_t bytes = 0;
    memset(big, 'b', sizeof big);
    for (unsigned i = 0; i < ENTRIES; i++)
        entries[i] = (struct bytes){big, sizeof big};
    for (unsigned turn = 0; turn < 4; turn++) {
        for (unsigned i = 0; i < RUNS; i++) {
            char id[32];
            (void)snprintf(id, sizeof id, "r%u", i);
            struct journal_change c = {.run = bytes_of(id),
                                       .create = true,
                                       .entries = entries,
                                       .entry_count = ENTRIES,
                                       .row = &row};
            struct journal_write w = {.changes = &c, .change_count = 1};
            assert_int_equal(begin_write(k, k->j, &w, &t[i]), 0);
        }
        kit_until(k, t[RUNS - 1].dones);
        uint64_t commits = stats(k).commits;
        assert_int_equal(prune(k, 5000, RUNS - 10, false), RUNS - 10);
        assert_true(stats(k).commits - commits >= 4);
        assert_int_equal(prune(k, 5000, 0, true), 10);
        assert_int_equal(prune(k, 5000, 0, false), 10);
        expect_runs(k, (struct journal_list){.limit = 0}, "");
        kit_reopen(k);
        bytes = turn ? bytes : stats(k).file_bytes;
        assert_true(stats(k).file_bytes <= bytes + bytes / 4);
    }
    free(t);
}

// The log in front of the file is moved into it now and then, also while someone reads.
static void test_log(void **state)
{
    enum { BIG = 1 << 20, TURNS = 60 };
    struct kit *k = *state;
    char *big = malloc(BIG), name[160];
    struct stat st;
    off_t most = 0;
    assert_non_null(big);
    (void)snprintf(name, sizeof name, "%s-wal", k->path);
    for (unsigned i = 0; i < TURNS; i++) {
        struct journal_put p = {BYTES("k"), {big, BIG}};
        memset(big, 'b' + (int)i, BIG); // what is the same is not written
        assert_int_equal(write_now(k, &(struct journal_write){.puts = &p, .put_count = 1}), 0);
        if (stat(name, &st) == 0 && st.st_size > most)
            most = st.st_size;
    }
    assert_in_range(most, 8 << 20, 24 << 20);
    free(big);
}

// ---- kills --------------------------------------------------------------------------------------

static unsigned kills(unsigned n)
{
    const char *text = getenv("JOURNAL_KILLS");
    return text ? (unsigned)atoi(text) : n;
}

static void look(struct kit *k, const uint64_t told[TORTURE_RUNS])
{
    k->j = kit_open_as(k, "kit");
    torture_check(k, told);
    close_it(k);
}

// Killed after so many words: from its first moment on.
static void test_kill(void **state)
{
    struct kit *k = *state;
    uint64_t told[TORTURE_RUNS] = {0};
    struct rng rng;
    unsigned n = kills(100);
    close_it(k);
    rng_init(&rng, 11);
    for (unsigned i = 0; i < n; i++) {
        struct torture_child c = torture_start(k->path, TORTURE_WAIT, 0, i);
        int how = torture_watch(c, 1 + rng_below(&rng, i % 4 ? 60 : 400), told);
        assert_true(WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL);
        if (i % 5 == 4 || i + 1 == n)
            look(k, told);
    }
    assert_true(told[0] > n / 10);
}

// Killed, or its power lost, before each step of its disk in turn: so before, within and after each
// part of a commit.
static void test_kill_steps(void **state)
{
    struct kit *k = *state;
    unsigned n = kills(100) / 2 + 1, ended = 0;
    close_it(k);
    FAULTS_OR_SKIP();
    for (unsigned i = 1; i <= n; i++) {
        for (int h = TORTURE_KILL; h <= TORTURE_POWER; h++) {
            uint64_t told[TORTURE_RUNS] = {0};
            char command[160];
            if (h == TORTURE_TEAR && i % 2)
                continue;
            (void)snprintf(command, sizeof command, "rm -rf '%s/deeper'", k->folder);
            assert_int_equal(system(command), 0);
            struct torture_child c = torture_start(k->path, (enum torture_how)h, i, i);
            int how = torture_watch(c, 0, told);
            if (h == TORTURE_KILL)
                assert_true(WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL);
            else if (h == TORTURE_POWER)
                assert_true(WIFEXITED(how) && WEXITSTATUS(how) == 0);
            ended += how != 0;
            look(k, told);
        }
    }
    assert_true(ended >= n);
}

int main(int argc, char **argv)
{
    if (argc == 6 && !strcmp(argv[1], "_writer"))
        return torture_main(journal_sqlite_open, argv, NULL, NULL);
    const struct CMUnitTest tests[] = {
        KIT_TESTS(&sqlite),
        KIT_TEST(test_open, &sqlite),
        KIT_TEST(test_damage, &sqlite),
        KIT_TEST(test_torture, &sqlite),
        KIT_TEST(test_locked, &sqlite),
        KIT_TEST(test_stops, &sqlite),
        KIT_TEST(test_prune_many, &sqlite),
        KIT_TEST(test_log, &sqlite),
        KIT_TEST(test_kill, &sqlite),
        KIT_TEST(test_kill_steps, &sqlite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
