// journal_torture_rig.h: a process that writes a journal and says what was acknowledged, to be
// killed at any time; and the look at what it left behind. Part of the journals' tests.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_ADAPTERS_JOURNAL_TORTURE_RIG_H
#define PLEXUS_ADAPTERS_JOURNAL_TORTURE_RIG_H

#include "adapters/journal_rig.h"
#include "base/rng.h"
#include "store/fault_rig.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TORTURE_RUNS = 8, TORTURE_AHEAD = 3 };

// ---- the writer ---------------------------------------------------------------------------------

enum torture_how {
    TORTURE_WAIT, // until it is killed from outside
    TORTURE_KILL, // kills itself before the n-th step of its disk
    TORTURE_TEAR, // the same after a part of that write
    TORTURE_POWER, // its disk fails from the n-th step on, and loses what was not synced
};

struct torture {
    struct loop *loop;
    struct journal *j;
    struct rng rng;
    enum torture_how how;
    uint64_t steps, at;
    bool counting;
    struct torture_run {
        struct torture *t;
        char id[16];
        uint64_t told, sent; // entries
        struct torture_write {
            struct journal_req r;
            struct torture_run *run;
            uint64_t last;
        } writes[TORTURE_AHEAD];
        bool busy[TORTURE_AHEAD];
    } runs[TORTURE_RUNS];
    unsigned loading;
};

static int torture_step(void *user, const char *step, const char *path, uint64_t at, size_t n,
                        size_t *torn)
{
    struct torture *t = user;
    (void)step;
    (void)path;
    (void)at;
    if (!t->counting || ++t->steps < t->at)
        return 0;
    if (t->how == TORTURE_KILL || (t->how == TORTURE_TEAR && t->steps > t->at))
        (void)kill(getpid(), SIGKILL);
    *torn = n / 2;
    return EIO;
}

static uint64_t torture_random(void *user)
{
    return rng_next(user);
}

static void torture_more(struct torture_run *run);

static void torture_done(struct journal_req *r, int status, const struct err *e)
{
    struct torture_write *w = r->user;
    struct torture_run *run = w->run;
    struct torture *t = run->t;
    if (status) {
        if (t->how == TORTURE_POWER)
            store_fault_cut(torture_random, &t->rng);
        if (t->how == TORTURE_WAIT)
            (void)fprintf(stderr, "%s: %s\n", run->id, e->text);
        _exit(t->how == TORTURE_WAIT ? 3 : 0);
    }
    uint64_t ack[2] = {(uint64_t)(run - t->runs), w->last};
    if (write(1, ack, sizeof ack) != sizeof ack)
        _exit(4);
    run->busy[w - run->writes] = false;
    run->told = w->last;
    torture_more(run);
}

// One write: 1 to 3 entries, the row, and a value with the same number.
static void torture_write(struct torture_run *run, struct torture_write *w)
{
    struct torture *t = run->t;
    struct journal_run row = row_of("torture", "running", true);
    static char pad[3000];
    char text[3][3100], key[32], value[32];
    struct bytes entries[3];
    size_t n = 1 + (size_t)rng_below(&t->rng, 3);
    struct err e = {0};
    memset(pad, 'p', sizeof pad - 1);
    for (size_t i = 0; i < n; i++) {
        size_t more = rng_below(&t->rng, 8) ? rng_below(&t->rng, 100) : rng_below(&t->rng, 2999);
        int m = snprintf(text[i], sizeof text[i], "%s.%llu.%.*s", run->id,
                         (unsigned long long)(run->sent + i + 1), (int)more, pad);
        entries[i] = (struct bytes){text[i], (size_t)m};
    }
    w->last = run->sent + n;
    (void)snprintf(key, sizeof key, "last/%s", run->id);
    (void)snprintf(value, sizeof value, "%llu", (unsigned long long)w->last);
    row.wake_ms = (int64_t)w->last;
    struct journal_put p = {bytes_of(key), bytes_of(value)};
    struct journal_change c = {.run = bytes_of(run->id),
                               .create = run->sent == 0,
                               .expect = run->sent,
                               .entries = entries,
                               .entry_count = n,
                               .row = &row};
    struct journal_write a = {.changes = &c, .change_count = 1, .puts = &p, .put_count = 1};
    w->r = (struct journal_req){.done = torture_done, .user = w};
    w->run = run;
    if (journal_write(t->j, &a, &w->r, &e)) {
        (void)fprintf(stderr, "%s\n", e.text);
        _exit(5);
    }
    run->sent = w->last;
}

static void torture_more(struct torture_run *run)
{
    for (unsigned i = 0; i < TORTURE_AHEAD; i++) {
        if (run->busy[i])
            continue;
        run->busy[i] = true;
        torture_write(run, &run->writes[i]);
    }
}

static bool torture_known(void *user, const struct journal_run *row)
{
    struct torture *t = user;
    for (unsigned i = 0; i < TORTURE_RUNS; i++)
        if (bytes_is(row->id, t->runs[i].id))
            t->runs[i].told = t->runs[i].sent = row->last;
    return true;
}

static void torture_begin(struct journal_req *r, int status, const struct err *e)
{
    struct torture *t = r->user;
    (void)e;
    if (status)
        _exit(6);
    uint64_t ready[2] = {UINT64_MAX, 0};
    if (write(1, ready, sizeof ready) != sizeof ready)
        _exit(4);
    t->counting = true;
    for (unsigned i = 0; i < TORTURE_RUNS; i++)
        torture_more(&t->runs[i]);
}

// argv: NAME _writer PATH HOW AT SEED
static int torture_main(int (*open)(const struct journal_args *args, struct journal **ret,
                                    struct err *e),
                        char **argv, const char *user, const char *password)
{
    static struct torture t;
    struct err e = {0};
    struct journal_req r = {.done = torture_begin, .user = &t};
    struct journal_list all = {.on_run = torture_known, .user = &t};
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    t.how = (enum torture_how)atoi(argv[3]);
    t.at = strtoull(argv[4], NULL, 10);
    rng_init(&t.rng, strtoull(argv[5], NULL, 10));
    for (unsigned i = 0; i < TORTURE_RUNS; i++) {
        t.runs[i].t = &t;
        (void)snprintf(t.runs[i].id, sizeof t.runs[i].id, "run-%u", i);
    }
    if (t.how != TORTURE_WAIT)
        store_fault_set(torture_step, &t);
    if (loop_new(&t.loop, NULL, &e))
        return 7;
    struct journal_args a = {.timers = loop_timers(t.loop),
                             .writer = loop_work_new(t.loop, "journal", 1, 16),
                             .reader = loop_work(t.loop),
                             .path = argv[2],
                             .url = argv[2],
                             .user_name = user,
                             .password = password,
                             .owner = "writer"};
    if (open(&a, &t.j, &e) || journal_list(t.j, &all, &r, &e)) {
        (void)fprintf(stderr, "%s\n", e.text);
        return 8;
    }
    return loop_run(t.loop);
}

// ---- and who kills it ---------------------------------------------------------------------------

struct torture_child {
    pid_t pid;
    int fd;
};

static struct torture_child torture_start(const char *path, enum torture_how how, uint64_t at,
                                          uint64_t seed)
{
    char how_text[24], at_text[24], seed_text[24];
    int fds[2];
    struct torture_child c;
    (void)snprintf(how_text, sizeof how_text, "%d", (int)how);
    (void)snprintf(at_text, sizeof at_text, "%llu", (unsigned long long)at);
    (void)snprintf(seed_text, sizeof seed_text, "%llu", (unsigned long long)seed);
    assert_int_equal(pipe(fds), 0);
    c.pid = fork();
    if (c.pid == 0) {
        (void)dup2(fds[1], 1);
        (void)close(fds[0]);
        (void)close(fds[1]);
        (void)execl("/proc/self/exe", "writer", "_writer", path, how_text, at_text, seed_text,
                    (char *)NULL);
        _exit(9);
    }
    (void)close(fds[1]);
    c.fd = fds[0];
    return c;
}

// Takes what it says; kills it after so many words. Returns how it ended (waitpid).
static int torture_watch(struct torture_child c, uint64_t words, uint64_t told[TORTURE_RUNS])
{
    uint64_t ack[2], seen = 0;
    int how = 0;
    while (read(c.fd, ack, sizeof ack) == sizeof ack) {
        if (ack[0] < TORTURE_RUNS)
            told[ack[0]] = ack[1];
        if (++seen == words)
            (void)kill(c.pid, SIGKILL);
    }
    (void)close(c.fd);
    assert_int_equal(waitpid(c.pid, &how, 0), c.pid);
    return how;
}

struct torture_look {
    const char *id;
    uint64_t last;
};

static bool torture_entry(void *user, uint64_t number, struct bytes entry)
{
    struct torture_look *l = user;
    char begin[64];
    (void)snprintf(begin, sizeof begin, "%s.%llu.p", l->id, (unsigned long long)number);
    if (!bytes_starts(entry, bytes_first(bytes_of(begin), strlen(begin) - 1)))
        fail_msg("%s: entry %llu is %.*s", l->id, (unsigned long long)number,
                 (int)(entry.n < 60 ? entry.n : 60), entry.p);
    assert_int_equal(number, l->last + 1);
    l->last = number;
    return true;
}

static bool torture_row(void *user, const struct journal_run *row)
{
    uint64_t *last = user;
    assert_int_equal(row->wake_ms, (int64_t)row->last);
    assert_in_range(row->id.p[4] - '0', 0, TORTURE_RUNS - 1);
    last[row->id.p[4] - '0'] = row->last;
    return true;
}

// All that was told is there; every write is whole: entries, row and value agree.
static void torture_check(struct kit *k, const uint64_t told[TORTURE_RUNS])
{
    uint64_t last[TORTURE_RUNS] = {0};
    struct told t = told_new();
    struct err e = {0};
    struct journal_list all = {.on_run = torture_row, .user = last};
    struct buf values;
    assert_int_equal(journal_list(k->j, &all, &t.r, &e), 0);
    kit_until(k, t.dones);
    assert_int_equal(t.status, 0);
    buf_init(&values, 4096);
    for (unsigned i = 0; i < TORTURE_RUNS; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "run-%u", i);
        struct torture_look look = {id, 0};
        struct journal_read a = {
            .run = bytes_of(id), .from = 1, .on_entry = torture_entry, .user = &look};
        t = told_new();
        assert_int_equal(journal_read(k->j, &a, &t.r, &e), 0);
        kit_until(k, t.dones);
        assert_int_equal(t.status, last[i] ? 0 : E_NOTFOUND);
        assert_int_equal(look.last, last[i]);
        if (last[i] < told[i])
            fail_msg("%s: %llu were acknowledged, %llu are there", id, (unsigned long long)told[i],
                     (unsigned long long)last[i]);
        if (last[i])
            (void)buf_fmt(&values, "last/%s=%llu ", id, (unsigned long long)last[i]);
    }
    expect_keys(k, "last/", buf_cstr(&values));
    buf_fini(&values);
}

#endif
