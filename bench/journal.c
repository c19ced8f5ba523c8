// journal.c: what the journal costs beside what the disk and bare SQLite give: fsyncs a second,
// rows a second of a plain loop, and entries a second through the journal, in transactions of as
// many rows; 256 runs, each of which writes its next two entries and its row when the last were
// kept. The three take turns; medians. `name value unit` lines. usage: journal [FOLDER [ROUNDS]]
// SPDX-License-Identifier: Apache-2.0
#include "port/journal.h"
#include "base/time.h"
#include "loop/loop.h"
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    RUNS = 256,
    ENTRIES = 2,
    ENTRY_BYTES = 150,
    ROUND_MS = 600,
    ROUNDS_MAX = 31,
    OPEN_RUNS = 100000,
    AT_ONCE = 64
};

struct bench {
    struct loop *loop;
    struct journal *j;
    struct timer end;
    bool over;
    unsigned busy;
    uint64_t writes, began_ns, took_ns;
};

struct run {
    struct journal_req r;
    struct bench *b;
    char id[40];
    uint64_t last;
};

static struct run runs[RUNS];
static char folder[256], path[300];

static void fail(const char *what)
{
    (void)fprintf(stderr, "%s\n", what);
    exit(1);
}

static void clean(void)
{
    static const char *const ends[] = {"", "-wal", "-shm", ".lock"};
    char name[320];
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        (void)snprintf(name, sizeof name, "%s%s", path, ends[i]);
        (void)unlink(name);
    }
}

// ---- the disk -----------------------------------------------------------------------------------

static double fsyncs(void)
{
    static char page[4096];
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    uint64_t from = time_mono_ns(), n = 0, now = from;
    if (fd < 0)
        fail(strerror(errno));
    for (; now - from < ROUND_MS * 1000000ull; n++, now = time_mono_ns())
        if (write(fd, page, sizeof page) != sizeof page || fdatasync(fd))
            fail(strerror(errno));
    (void)close(fd);
    clean();
    return (double)n * 1e9 / (double)(now - from);
}

// ---- bare SQLite --------------------------------------------------------------------------------

static void must(sqlite3 *db, int rc)
{
    if (rc != SQLITE_OK && rc != SQLITE_DONE)
        fail(sqlite3_errmsg(db));
}

static double bare(unsigned batch)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *q = NULL;
    char entry[ENTRY_BYTES];
    uint64_t rows = 0;
    memset(entry, 'x', sizeof entry);
    must(db, sqlite3_open(path, &db));
    must(db, sqlite3_exec(db,
                          "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                          "CREATE TABLE t(at INTEGER PRIMARY KEY, run INTEGER, n INTEGER,"
                          " entry TEXT)",
                          NULL, NULL, NULL));
    must(db, sqlite3_prepare_v2(db, "INSERT INTO t(run,n,entry) VALUES(?1,?2,?3)", -1, &q, NULL));
    uint64_t from = time_mono_ns(), now = from;
    while (now - from < ROUND_MS * 1000000ull) {
        must(db, sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL));
        for (unsigned i = 0; i < batch; i++, rows++) {
            (void)sqlite3_bind_int64(q, 1, i);
            (void)sqlite3_bind_int64(q, 2, (sqlite3_int64)rows);
            (void)sqlite3_bind_text(q, 3, entry, sizeof entry, SQLITE_STATIC);
            must(db, sqlite3_step(q));
            (void)sqlite3_reset(q);
        }
        must(db, sqlite3_exec(db, "COMMIT", NULL, NULL, NULL));
        now = time_mono_ns();
    }
    (void)sqlite3_finalize(q);
    (void)sqlite3_close(db);
    clean();
    return (double)rows * 1e9 / (double)(now - from);
}

// ---- the journal --------------------------------------------------------------------------------

static void go_on(struct run *run);

static void on_end(struct timer *t)
{
    ((struct bench *)t->user)->over = true;
}

static void on_closed(void *user)
{
    loop_stop(((struct bench *)user)->loop);
}

static void on_done(struct journal_req *r, int status, const struct err *e)
{
    struct run *run = r->user;
    struct bench *b = run->b;
    if (status)
        fail(e->text);
    run->last += ENTRIES;
    b->writes++;
    if (!b->over) {
        go_on(run);
        return;
    }
    b->took_ns = time_mono_ns() - b->began_ns;
    if (--b->busy == 0)
        journal_close(b->j, on_closed, b);
}

static void go_on(struct run *run)
{
    static char text[ENTRY_BYTES];
    struct bytes entries[ENTRIES];
    struct journal_run row = {.namespace = BYTES("default"),
                              .name = BYTES("bench"),
                              .version = BYTES("1.0.0"),
                              .plan = BYTES("0123456789abcdef0123456789abcdef"),
                              .status = BYTES("running"),
                              .open = true,
                              .busy = true,
                              .started_ms = 1,
                              .wake_ms = TIME_NEVER,
                              .by = BYTES("someone"),
                              .note = BYTES("{\"at\":\"/do/3/step\"}")};
    struct err e = {0};
    memset(text, 'x', sizeof text);
    for (size_t i = 0; i < ENTRIES; i++)
        entries[i] = (struct bytes){text, sizeof text};
    struct journal_change c = {.run = {run->id, strlen(run->id)},
                               .create = run->last == 0,
                               .expect = run->last,
                               .entries = entries,
                               .entry_count = ENTRIES,
                               .row = &row};
    struct journal_write w = {.changes = &c, .change_count = 1};
    if (journal_write(run->b->j, &w, &run->r, &e))
        fail(e.text);
}

static void open_journal(struct bench *b)
{
    struct err e = {0};
    if (loop_new(&b->loop, NULL, &e))
        fail(e.text);
    struct journal_args a = {.timers = loop_timers(b->loop),
                             .writer = loop_work_new(b->loop, "journal", 1, 16),
                             .reader = loop_work(b->loop),
                             .path = path,
                             .owner = "bench"};
    if (journal_engine_find("sqlite")->open(&a, &b->j, &e))
        fail(e.text);
}

// Writes a second; *ret_ms: of one commit with all that is in it.
static double journal(unsigned count, double *ret_ms)
{
    struct bench b = {.busy = count};
    open_journal(&b);
    b.end = (struct timer){.fn = on_end, .user = &b};
    b.began_ns = time_mono_ns();
    (void)timer_start(loop_timers(b.loop), &b.end, ROUND_MS);
    for (unsigned i = 0; i < count; i++) {
        runs[i] = (struct run){.b = &b};
        runs[i].r = (struct journal_req){.done = on_done, .user = &runs[i]};
        (void)snprintf(runs[i].id, sizeof runs[i].id, "%032u", i);
        go_on(&runs[i]);
    }
    (void)loop_run(b.loop);
    loop_free(b.loop);
    clean();
    *ret_ms = (double)b.took_ns / 1e6 * count / (double)b.writes;
    return (double)b.writes * 1e9 / (double)b.took_ns;
}

// ---- after a restart ----------------------------------------------------------------------------

struct resume {
    struct bench b;
    struct journal_req r;
    struct run *all;
    size_t made, listed, asked, read, entries;
    uint64_t began_ns, listed_ns, read_ns;
};
static struct resume resume;

static void on_made(struct journal_req *r, int status, const struct err *e)
{
    struct run *run = r->user;
    run->last += ENTRIES;
    if (status)
        fail(e->text);
    if (run->last < 4 * ENTRIES)
        go_on(run);
    else if (++resume.made == OPEN_RUNS)
        journal_close(run->b->j, on_closed, run->b);
    else if (resume.asked < OPEN_RUNS)
        go_on(&resume.all[resume.asked++]);
}

static void make_runs(void)
{
    resume.all = calloc(OPEN_RUNS, sizeof *resume.all);
    if (!resume.all)
        fail("no memory");
    open_journal(&resume.b);
    for (unsigned i = 0; i < OPEN_RUNS; i++) {
        struct run *run = &resume.all[i];
        run->b = &resume.b;
        run->r = (struct journal_req){.done = on_made, .user = run};
        (void)snprintf(run->id, sizeof run->id, "%08x%024u", i * 2654435761u, i);
    }
    while (resume.asked < 2048)
        go_on(&resume.all[resume.asked++]);
    (void)loop_run(resume.b.loop);
    loop_free(resume.b.loop);
}

static bool on_entry(void *user, uint64_t n, struct bytes entry)
{
    (void)user;
    (void)n;
    resume.entries += entry.n == ENTRY_BYTES;
    return true;
}

static void read_more(struct run *run)
{
    struct journal_read a = {.run = {run->id, strlen(run->id)}, .on_entry = on_entry};
    struct err e = {0};
    if (journal_read(resume.b.j, &a, &run->r, &e))
        fail(e.text);
}

static void on_read(struct journal_req *r, int status, const struct err *e)
{
    (void)r;
    if (status)
        fail(e->text);
    resume.read++;
    if (resume.asked < resume.listed) {
        read_more(&resume.all[resume.asked++]);
    } else if (resume.read == resume.listed) {
        resume.read_ns = time_mono_ns();
        journal_close(resume.b.j, on_closed, &resume.b);
    }
}

static bool on_run(void *user, const struct journal_run *row)
{
    (void)user;
    struct run *run = &resume.all[resume.listed++];
    (void)snprintf(run->id, sizeof run->id, "%.*s", BYTES_FMT(row->id));
    run->r = (struct journal_req){.done = on_read, .user = run};
    return true;
}

static void on_listed(struct journal_req *r, int status, const struct err *e)
{
    (void)r;
    if (status)
        fail(e->text);
    resume.listed_ns = time_mono_ns();
    while (resume.asked < AT_ONCE)
        read_more(&resume.all[resume.asked++]);
}

static void after_restart(void)
{
    struct journal_list a = {.open_only = true, .on_run = on_run};
    struct err e = {0};
    make_runs();
    resume.asked = 0;
    resume.began_ns = time_mono_ns();
    open_journal(&resume.b);
    resume.r = (struct journal_req){.done = on_listed};
    if (journal_list(resume.b.j, &a, &resume.r, &e))
        fail(e.text);
    (void)loop_run(resume.b.loop);
    loop_free(resume.b.loop);
    clean();
    if (resume.entries != (size_t)OPEN_RUNS * 4 * ENTRIES)
        fail("entries are missing");
    (void)printf("journal_list_100k_s %.2f s\n",
                 (double)(resume.listed_ns - resume.began_ns) / 1e9);
    (void)printf("journal_read_100k_s %.2f s\n", (double)(resume.read_ns - resume.listed_ns) / 1e9);
    (void)printf("journal_read_entries_per_s %.0f entries/s\n",
                 (double)resume.entries * 1e9 / (double)(resume.read_ns - resume.listed_ns));
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *values, int n)
{
    qsort(values, (size_t)n, sizeof *values, by_value);
    return values[n / 2];
}

int main(int argc, char **argv)
{
    static double sync[ROUNDS_MAX], rows[ROUNDS_MAX], writes[ROUNDS_MAX], ms[ROUNDS_MAX],
        lone[ROUNDS_MAX], ratio[ROUNDS_MAX];
    int n = argc > 2 ? atoi(argv[2]) : 7;
    n = n < 1 ? 1 : n > ROUNDS_MAX ? ROUNDS_MAX : n;
    (void)snprintf(folder, sizeof folder, "%s/plexus-journal.XXXXXX", argc > 1 ? argv[1] : ".");
    if (!mkdtemp(folder))
        fail(strerror(errno));
    (void)snprintf(path, sizeof path, "%s/journal.db", folder);
    for (int i = 0; i < n; i++) {
        sync[i] = fsyncs();
        rows[i] = bare(RUNS * ENTRIES);
        writes[i] = journal(RUNS, &ms[i]);
        ratio[i] = writes[i] * ENTRIES / rows[i];
        (void)journal(1, &lone[i]);
        (void)fprintf(stderr, "round %d: %.0f fsyncs, %.0f rows, %.0f writes, lone %.3f ms\n",
                      i + 1, sync[i], rows[i], writes[i], lone[i]);
    }
    double syncs = median(sync, n), all = median(writes, n);
    (void)printf("fsync_per_s %.0f fsyncs/s\n", syncs);
    (void)printf("bare_sqlite_rows_per_s %.0f rows/s\n", median(rows, n));
    (void)printf("journal_writes_per_s %.0f writes/s\n", all);
    (void)printf("journal_entries_per_s %.0f entries/s\n", all * ENTRIES);
    (void)printf("journal_ratio_sqlite %.2f x\n", median(ratio, n));
    (void)printf("journal_commit_ms %.2f ms\n", median(ms, n));
    (void)printf("journal_lone_write_ms %.3f ms\n", median(lone, n));
    (void)printf("journal_lone_over_fsync %.2f x\n", median(lone, n) * syncs / 1000);
    after_restart();
    (void)rmdir(folder);
    return 0;
}
