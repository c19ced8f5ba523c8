// flows.c: what durable flows cost: steps a second on SQLite beside what bare SQLite gives, a lone
// step, replays, the resume of many sleeping flows and their memory, how late timers are, whether a
// step of a long run costs more. Activities do nothing. `name value unit` lines.
// usage: flows steps|lone|replay|flat|timers|make N|resume N [FOLDER]
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "base/rng.h"
#include "base/time.h"
#include "loop/loop.h"
#include "runs/runs.h"
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FLOWS = 256, STEP_MS = 4000, ROWS_OF_STEP = 2 };

static char path[512];
static const char *folder = ".";

// Goes round for ever: each round is one task whose result is kept before the next begins.
static const char loop_doc[] =
    "document: {dsl: '1.0.0', namespace: bench, name: loop, version: '1.0.0'}\n"
    "do:\n"
    "  - a:\n"
    "      call: http\n"
    "      with: {method: post, endpoint: 'http://bench.example/', body: '${ .n }'}\n"
    "      output: {as: '${ {n: ((.n // 0) + 1)} }'}\n"
    "      then: a\n";
static const char *const sleep_docs[] = {
    "document: {dsl: '1.0.0', namespace: bench, name: far, version: '1.0.0'}\n"
    "do:\n  - w: {wait: {days: 3}}\n",
    "document: {dsl: '1.0.0', namespace: bench, name: near, version: '1.0.0'}\n"
    "do:\n  - w: {wait: {minutes: 9}}\n",
    "document: {dsl: '1.0.0', namespace: bench, name: ears, version: '1.0.0'}\n"
    "do:\n  - l: {listen: {to: {one: {with: {type: com.example.x}}}}}\n",
};

struct bench {
    struct loop *loop;
    struct journal *journal;
    struct runs *runs;
    struct acts acts;
    struct timer soon, end;
    struct list done; // activities that have ended
    struct rng rng;
    bool over, ready;
    uint64_t began_ns, ready_ns, left, asked;
    struct val *output;
    void (*go)(struct bench *b);
};

static void fail(const char *what)
{
    (void)fprintf(stderr, "flows: %s\n", what);
    exit(1);
}

// ---- activities that do nothing -----------------------------------------------------------------

static void on_soon(struct timer *t)
{
    struct bench *b = t->user;
    struct list now;
    list_init(&now);
    while (!list_empty(&b->done)) {
        struct list *first = b->done.next;
        list_del(first);
        list_add_tail(&now, first);
    }
    while (!list_empty(&now)) {
        struct act_req *r = container_of(now.next, struct act_req, link);
        list_del(&r->link);
        r->done(r, r->priv ? E_CANCELLED : 0, r->priv ? NULL : b->output, NULL, false);
    }
}

static int on_start(struct acts *a, const struct act_args *args, struct act_req *r, struct err *e)
{
    struct bench *b = container_of(a, struct bench, acts);
    (void)args;
    (void)e;
    r->priv = b->over ? b : NULL;
    list_add_tail(&b->done, &r->link);
    return timer_start(loop_timers(b->loop), &b->soon, 0);
}

static void on_cancel(struct acts *a, struct act_req *r)
{
    (void)a;
    r->priv = r;
}

static const struct acts_ops ops = {on_start, on_cancel};

// ---- a node -------------------------------------------------------------------------------------

static int64_t wall_ms(void *user)
{
    (void)user;
    return time_wall_ms();
}

static uint64_t random_of(void *user)
{
    return rng_next(&((struct bench *)user)->rng);
}

static void on_ready(void *user, uint64_t open)
{
    struct bench *b = user;
    b->ready_ns = time_mono_ns();
    b->left = open;
    b->go(b);
}

static void on_stopped(void *user, const struct err *e)
{
    (void)user;
    fail(e->text);
}

static void on_journal_closed(void *user)
{
    loop_stop(((struct bench *)user)->loop);
}

static void on_closed(void *user)
{
    struct bench *b = user;
    runs_free(b->runs);
    journal_close(b->journal, on_journal_closed, b);
}

static void end(struct bench *b)
{
    b->over = true;
    runs_close(b->runs, on_closed, b);
}

static void run(struct bench *b, void (*go)(struct bench *b))
{
    struct err e = {0};
    b->go = go;
    b->acts.ops = &ops;
    list_init(&b->done);
    rng_init(&b->rng, 1);
    b->soon = (struct timer){.fn = on_soon, .user = b};
    b->output = val_put_cstr(val_obj(), "n", val_int(1));
    if (loop_new(&b->loop, NULL, &e))
        fail(e.text);
    struct journal_args j = {.timers = loop_timers(b->loop),
                             .writer = loop_work_new(b->loop, "journal", 1, 16),
                             .reader = loop_work(b->loop),
                             .path = path,
                             .owner = "bench"};
    if (journal_engine_find("sqlite")->open(&j, &b->journal, &e))
        fail(e.text);
    struct runs_args a = {.timers = j.timers,
                          .journal = b->journal,
                          .acts = &b->acts,
                          .wall_ms = wall_ms,
                          .random = random_of,
                          .ready = on_ready,
                          .stopped = on_stopped,
                          .user = b,
                          .node = "bench",
                          .environment = "dev"};
    b->began_ns = time_mono_ns();
    if (runs_new(&b->runs, &a, &e))
        fail(e.text);
    (void)loop_run(b->loop);
    loop_free(b->loop);
    val_unref(b->output);
}

static void clean(void)
{
    static const char *const ends[] = {"", "-wal", "-shm", ".lock"};
    char name[600];
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        (void)snprintf(name, sizeof name, "%s%s", path, ends[i]);
        (void)unlink(name);
    }
}

static void on_begun(struct runs_req *r, int status, struct bytes json, const struct err *e)
{
    (void)json;
    if (status)
        fail(e->text);
    free(r);
}

static void begin_flow(struct bench *b, const char *doc,
                       void (*done)(struct runs_req *r, int status, struct bytes json,
                                    const struct err *e))
{
    struct runs_req *r = calloc(1, sizeof *r);
    struct val *input = val_put_cstr(val_obj(), "n", val_int(0));
    r->done = done;
    r->user = b;
    runs_start(b->runs, &(struct runs_start){.document = bytes_of(doc), .input = input}, r);
    val_unref(input);
}

// ---- steps --------------------------------------------------------------------------------------

static uint64_t acts_from, from_ns;
static double steps_per_s;
static unsigned flows;

static void on_steps_over(struct timer *t)
{
    struct bench *b = t->user;
    struct runs_stats s;
    runs_stats(b->runs, &s);
    if (!from_ns) { // warm
        from_ns = time_mono_ns();
        acts_from = s.activities;
        (void)timer_start(loop_timers(b->loop), t, STEP_MS);
        return;
    }
    steps_per_s = (double)(s.activities - acts_from) * 1e9 / (double)(time_mono_ns() - from_ns);
    end(b);
}

static void steps_go(struct bench *b)
{
    for (unsigned i = 0; i < flows; i++)
        begin_flow(b, loop_doc, on_begun);
    b->end = (struct timer){.fn = on_steps_over, .user = b};
    (void)timer_start(loop_timers(b->loop), &b->end, 500);
}

static double steps(unsigned count)
{
    struct bench b = {0};
    from_ns = 0;
    flows = count;
    run(&b, steps_go);
    clean();
    return steps_per_s;
}

static double bare_rows(unsigned batch)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *q = NULL;
    char entry[150];
    uint64_t rows = 0;
    memset(entry, 'x', sizeof entry);
    if (sqlite3_open(path, &db) ||
        sqlite3_exec(db,
                     "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                     "CREATE TABLE t(at INTEGER PRIMARY KEY, run INTEGER, n INTEGER, entry TEXT)",
                     NULL, NULL, NULL) ||
        sqlite3_prepare_v2(db, "INSERT INTO t(run,n,entry) VALUES(?1,?2,?3)", -1, &q, NULL))
        fail(sqlite3_errmsg(db));
    uint64_t from = time_mono_ns(), now = from;
    for (; now - from < 1500000000ull; now = time_mono_ns()) {
        int rc = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
        for (unsigned i = 0; i < batch; i++, rows++) {
            (void)sqlite3_bind_int64(q, 1, i);
            (void)sqlite3_bind_int64(q, 2, (sqlite3_int64)rows);
            (void)sqlite3_bind_text(q, 3, entry, sizeof entry, SQLITE_STATIC);
            rc |= sqlite3_step(q) != SQLITE_DONE;
            (void)sqlite3_reset(q);
        }
        if (rc | sqlite3_exec(db, "COMMIT", NULL, NULL, NULL))
            fail(sqlite3_errmsg(db));
    }
    (void)sqlite3_finalize(q);
    (void)sqlite3_close(db);
    clean();
    return (double)rows * 1e9 / (double)(now - from);
}

static double fsyncs(void)
{
    static char page[4096];
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    uint64_t from = time_mono_ns(), n = 0, now = from;
    if (fd < 0)
        fail(strerror(errno));
    for (; now - from < 1000000000ull; n++, now = time_mono_ns())
        if (write(fd, page, sizeof page) != sizeof page || fdatasync(fd))
            fail(strerror(errno));
    (void)close(fd);
    clean();
    return (double)n * 1e9 / (double)(now - from);
}

// ---- the decider alone --------------------------------------------------------------------------

static struct flow_plan *plan_of(const char *doc)
{
    struct flow_plan *p = NULL;
    struct err e = {0};
    if (flow_plan_new(&p, bytes_of(doc), NULL, &e))
        fail(e.text);
    return p;
}

static struct flow_event started(void)
{
    struct val *v = val_put_cstr(val_obj(), "run", val_cstr("bench"));
    v = val_put_cstr(v, "input", val_put_cstr(val_obj(), "n", val_int(0)));
    return (struct flow_event){.type = FLOW_STARTED, .at_ms = 1, .data = v};
}

static struct flow_event done(uint64_t id, int64_t n)
{
    struct val *v = val_put_cstr(val_obj(), "n", val_int(n));
    return (struct flow_event){.type = FLOW_DONE,
                               .id = id,
                               .at_ms = (int64_t)id,
                               .data = val_put_cstr(val_obj(), "output", v)};
}

// Steps `count` times; out gets the entries as lines. Gives the time of each step.
static void fold(struct flow_plan *p, unsigned count, struct buf *out, uint64_t *ns)
{
    struct flow_run *r = NULL;
    struct flow_out o = {0};
    struct err e = {0};
    uint64_t id = 0;
    if (flow_run_new(&r, p, &e))
        fail(e.text);
    for (unsigned i = 0; i <= count; i++) {
        struct flow_event ev = i ? done(id, (int64_t)i) : started();
        uint64_t from = time_mono_ns();
        if (flow_step(r, &ev, &o, &e))
            fail(e.text);
        if (ns)
            ns[i] = time_mono_ns() - from;
        if (out) {
            (void)flow_event_put(out, &ev);
            (void)buf_chr(out, '\n');
        }
        for (size_t c = 0; c < o.command_count; c++) {
            id = o.commands[c].type == FLOW_ACT ? o.commands[c].id : id;
            if (out) {
                (void)flow_event_put(out, &o.commands[c]);
                (void)buf_chr(out, '\n');
            }
        }
        flow_out_clear(&o);
        flow_event_fini(&ev);
    }
    flow_out_fini(&o);
    flow_run_free(r);
}

static void replay(void)
{
    struct flow_plan *p = plan_of(loop_doc);
    struct err e = {0};
    struct buf history;
    uint64_t entries = 0, from, now;
    buf_init(&history, 1 << 26);
    fold(p, 2000, &history, NULL);
    from = time_mono_ns();
    do {
        struct flow_replay *x = NULL;
        struct bytes rest = buf_bytes(&history);
        if (flow_replay_new(&x, p, &e))
            fail(e.text);
        for (; rest.n; entries++) {
            struct flow_event ev;
            if (flow_event_parse(&ev, bytes_cut(&rest, '\n'), &e) || flow_replay_entry(x, &ev, &e))
                fail(e.text);
            flow_event_fini(&ev);
        }
        flow_replay_free(x);
        now = time_mono_ns();
    } while (now - from < 2000000000ull);
    (void)printf("replay_events_per_s %.0f events/s\n",
                 (double)entries * 1e9 / (double)(now - from));
    buf_fini(&history);
    flow_plan_unref(p);
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static double median(uint64_t *ns, size_t n)
{
    qsort(ns, n, sizeof *ns, by_value);
    return (double)ns[n / 2];
}

static void flat(void)
{
    enum { LATE = 10000, SPAN = 1000 };
    static uint64_t ns[LATE + SPAN + 1];
    struct flow_plan *p = plan_of(loop_doc);
    fold(p, LATE, NULL, ns); // caches are warm
    fold(p, LATE + SPAN, NULL, ns);
    double early = median(ns + 10, SPAN), late = median(ns + LATE, SPAN);
    (void)printf("decider_step_us %.2f us\n", late / 1000);
    (void)printf("decider_flatness %.2f x\n", late / early);
    flow_plan_unref(p);
}

// ---- timers -------------------------------------------------------------------------------------

static void on_timers_over(struct timer *t)
{
    struct bench *b = t->user;
    struct runs_stats s;
    runs_stats(b->runs, &s);
    if (s.completed < 1000 && time_mono_ns() - b->ready_ns < 20000000000ull) {
        (void)timer_start(loop_timers(b->loop), t, 100);
        return;
    }
    (void)printf("timer_error_ms %lld ms\n", (long long)s.timer_late_ms_max);
    end(b);
}

static void timers_go(struct bench *b)
{
    char doc[256];
    for (unsigned i = 0; i < 1000; i++) { // each second some
        (void)snprintf(doc, sizeof doc,
                       "document: {dsl: '1.0.0', namespace: bench, name: t, version: '1.0.0'}\n"
                       "do:\n  - w: {wait: {milliseconds: %u}}\n",
                       1500 + i % 50 * 60);
        begin_flow(b, doc, on_begun);
    }
    b->end = (struct timer){.fn = on_timers_over, .user = b};
    (void)timer_start(loop_timers(b->loop), &b->end, 4500);
}

// ---- many that sleep ----------------------------------------------------------------------------

static uint64_t sleepers;

static void on_asleep(struct runs_req *r, int status, struct bytes json, const struct err *e)
{
    struct bench *b = r->user;
    on_begun(r, status, json, e);
    if (b->asked < sleepers)
        begin_flow(b, sleep_docs[b->asked++ % 3], on_asleep);
    else if (--b->left == 0)
        end(b);
}

static void make_go(struct bench *b)
{
    b->left = sleepers < 512 ? sleepers : 512;
    for (uint64_t i = 0; i < b->left; i++)
        begin_flow(b, sleep_docs[b->asked++ % 3], on_asleep);
}

static void resumed(struct bench *b)
{
    struct mallinfo2 m = mallinfo2();
    if (b->left != sleepers)
        fail("not all are there");
    (void)printf("resume_open_flows %llu flows\n", (unsigned long long)b->left);
    (void)printf("resume_s %.3f s\n", (double)(b->ready_ns - b->began_ns) / 1e9);
    b->asked = m.uordblks + m.hblkhd; // all that is allocated, caches and engines too
    (void)printf("sleeping_flow_bytes %.0f bytes\n", (double)b->asked / (double)sleepers);
    end(b);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    struct bench b = {0};
    sleepers = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
    folder = argc > 3 ? argv[3] : folder;
    (void)snprintf(path, sizeof path, "%s/plexus-flows-%d.db", folder, (int)getpid());
    if (!strcmp(what, "steps")) {
        double rows = bare_rows(FLOWS * ROWS_OF_STEP), n = steps(FLOWS);
        (void)printf("fsync_per_s %.0f fsyncs/s\n", fsyncs());
        (void)printf("bare_sqlite_rows_per_s %.0f rows/s\n", rows);
        (void)printf("durable_steps_per_s %.0f steps/s\n", n);
        (void)printf("steps_ratio_sqlite %.3f x\n", n / rows);
    } else if (!strcmp(what, "lone")) {
        double n = steps(1), syncs = fsyncs();
        (void)printf("lone_step_ms %.3f ms\n", 1000 / n);
        (void)printf("lone_fsync_ms %.3f ms\n", 1000 / syncs);
    } else if (!strcmp(what, "replay")) {
        replay();
    } else if (!strcmp(what, "flat")) {
        flat();
    } else if (!strcmp(what, "timers")) {
        run(&b, timers_go);
        clean();
    } else if (!strcmp(what, "make") || !strcmp(what, "resume")) {
        (void)snprintf(path, sizeof path, "%s/plexus-flows.db", folder);
        run(&b, *what == 'm' ? make_go : resumed);
        if (*what == 'r')
            clean();
    } else {
        fail("usage: flows steps|lone|replay|flat|timers|make N|resume N [FOLDER]");
    }
    return 0;
}
