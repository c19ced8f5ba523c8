// sim_test.c: a node, workers and a bus in virtual time, and everything that happens to them: a
// journal that is slow, full, away or stops, a node that dies in the middle of anything, a bus that
// loses its connection and delivers twice, workers that die. Always checked: nothing begins before
// its command is on the disk, nothing that was completed begins again, every run ends once and
// with the right output, no signal is lost. A seed is a run: SEED=n, or FIRST=n MANY=n.
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "adapters/bus_faulty.h"
#include "runs/corpus_rig.h"

enum { FLOWS = 24, CHAOS_MS = 30000 };

// Seeds that failed once, and what it was.
static const uint64_t kept[] = {
    1,    2, 3,
    120, // the answer of a child came while somebody tried to begin its parent again
    5693, // a write that went again had the row of a later step, and the node died after it
};

struct told { // a request that is made again until it was answered
    struct asked a;
    bool under_way, over;
    unsigned life;
    int64_t due_ms;
};

struct flow {
    size_t kind;
    char id[32];
    struct told start, signals[3];
};

struct play {
    struct rig r;
    struct rng rng;
    struct flow flows[FLOWS];
    struct told docs[2];
    struct runs_worker *workers[2];
    bool bus_closed, mended;
    uint64_t seed;
};

static bool chance(struct play *p, unsigned in_1000)
{
    return rng_below(&p->rng, 1000) < in_1000;
}

static void on_status(void *user, enum bus_status status, const struct err *e)
{
    (void)e;
    ((struct play *)user)->bus_closed |= status == BUS_CLOSED;
}

// ---- workers ------------------------------------------------------------------------------------

static void worker_up(struct play *p, unsigned i)
{
    static const char *const queues[] = {"heavy", NULL};
    struct runs_worker_args a = {.timers = &p->r.clock.base,
                                 .bus = p->r.bus,
                                 .acts = &p->r.remote,
                                 .environment = "dev",
                                 .node = i ? "w2" : "w1",
                                 .queues = queues,
                                 .beat_ms = 3000};
    struct err e = {0};
    if (runs_worker_new(&p->workers[i], &a, &e))
        p->workers[i] = NULL; // the bus is full: another time
}

static void worker_closed(void *user)
{
    *(bool *)user = true;
}

static void worker_down(struct play *p, unsigned i)
{
    bool closed = false;
    runs_worker_close(p->workers[i], worker_closed, &closed);
    p->workers[i] = NULL;
    int64_t end = p->r.clock.now_ms + MINUTE;
    while (!closed && rig_round(&p->r, end))
        ;
    if (!closed)
        rig_fail(&p->r, "a worker does not end");
}

// ---- what is asked of the node ------------------------------------------------------------------

static bool again(struct play *p, struct told *t)
{
    struct rig *r = &p->r;
    if (t->over)
        return false;
    if (t->under_way && t->a.dones) {
        int status = t->a.status;
        t->under_way = false;
        asked_fini(&t->a);
        t->over = !status || status == E_EXISTS || status == E_CONFLICT;
        t->due_ms = r->clock.now_ms + 200;
    } else if (t->under_way && t->life != r->lives) {
        t->under_way = false;
        asked_fini(&t->a);
    }
    if (t->over || t->under_way || t->due_ms > r->clock.now_ms)
        return false;
    t->under_way = true;
    t->life = r->lives;
    asked_init(&t->a);
    return true;
}

static void ask_flow(struct play *p, struct flow *f)
{
    struct rig *r = &p->r;
    if (again(p, &f->start)) {
        struct val *input = json(corpus[f->kind].input);
        runs_start(r->runs,
                   &(struct runs_start){.document = bytes_of(corpus[f->kind].doc),
                                        .id = bytes_of(f->id),
                                        .input = input},
                   &f->start.a.r);
        val_unref(input);
    }
    for (size_t i = 0; f->start.over && i < 3 && corpus[f->kind].signals[i]; i++) {
        if (!again(p, &f->signals[i]))
            continue;
        struct val *v = json(corpus[f->kind].signals[i]);
        runs_signal(r->runs, bytes_of(f->id), v, &f->signals[i].a.r);
        val_unref(v);
    }
}

static void ask_all(struct play *p)
{
    static const char *const texts[] = {child_doc, sleeper_doc};
    for (size_t i = 0; i < 2; i++)
        if (again(p, &p->docs[i]))
            runs_register(p->r.runs, bytes_of(texts[i]), BYTES_NONE, &p->docs[i].a.r);
    if (!p->docs[0].over || !p->docs[1].over)
        return;
    for (size_t i = 0; i < FLOWS; i++)
        if (p->flows[i].start.due_ms <= p->r.clock.now_ms)
            ask_flow(p, &p->flows[i]);
}

// ---- what happens -------------------------------------------------------------------------------

static void node_dies(struct play *p)
{
    rig_die(&p->r);
    p->r.faults.seed = rng_next(&p->rng);
    rig_start(&p->r);
}

static void happen(struct play *p)
{
    struct rig *r = &p->r;
    uint64_t what = rng_below(&p->rng, 1000);
    unsigned i = (unsigned)rng_below(&p->rng, 2);
    if (what < 40)
        node_dies(p);
    else if (what < 90)
        r->crash_at = r->writes + 1 + (unsigned)rng_below(&p->rng, 4);
    else if (what < 140)
        r->crash_call = r->writes + 1 + (unsigned)rng_below(&p->rng, 4);
    else if (what < 170)
        journal_memory_stop(r->inner, what & 1 ? E_IO : E_NOSPACE);
    else if (what < 230 && p->workers[i])
        worker_down(p, i);
    else if (what < 400 && !p->workers[i])
        worker_up(p, i);
    else if (what < 420)
        r->clock.wall_shift_ms += (int64_t)rng_below(&p->rng, 20000) - 10000;
}

static void pass(struct play *p, int64_t ms)
{
    struct rig *r = &p->r;
    int64_t end = r->clock.now_ms + ms;
    unsigned stops = r->stops;
    while (rig_round(r, end) && r->stops == stops && !*r->failure)
        ;
    if (r->stops != stops)
        node_dies(p); // as the program does then
    else if (r->clock.now_ms < end)
        r->clock.now_ms = end;
}

static void chaos(struct play *p)
{
    int64_t end = p->r.clock.now_ms + CHAOS_MS;
    while (p->r.clock.now_ms < end && !*p->r.failure) {
        ask_all(p);
        happen(p);
        pass(p, 1 + (int64_t)rng_below(&p->rng, 250));
    }
}

static bool all_over(struct play *p)
{
    for (size_t i = 0; i < FLOWS; i++) {
        bool over = p->flows[i].start.over;
        for (size_t n = 0; over && n < 3 && corpus[p->flows[i].kind].signals[n]; n++)
            over = p->flows[i].signals[n].over;
        if (!over)
            return false;
    }
    return true;
}

static void mend(struct play *p)
{
    struct rig *r = &p->r;
    r->away = 0;
    r->crash_at = r->crash_call = 0;
    r->faults = (struct journal_faults){.seed = 1};
    node_dies(p);
    r->faults.full = r->faults.stop = 0;
    for (unsigned i = 0; i < 2; i++)
        for (int n = 0; n < 1000 && !p->workers[i]; n++) {
            worker_up(p, i);
            pass(p, 10);
        }
    for (int n = 0; n < 600 && !all_over(p); n++) {
        ask_all(p);
        pass(p, 100);
    }
    if (!all_over(p))
        rig_fail(r, "what is asked is not answered after the mending");
    pass(p, MINUTE);
    r->clock.wall_shift_ms += 50 * 60 * MINUTE; // what sleeps long wakes up
    pass(p, MINUTE);
}

// ---- what must be true --------------------------------------------------------------------------

static size_t count_of(const struct val *entries, const char *type)
{
    size_t n = 0;
    for (size_t i = 0; i < val_len(entries); i++)
        n += !strcmp(val_text(val_get_cstr(val_at(entries, i), "t"), ""), type);
    return n;
}

static void check_flow(struct play *p, const struct flow *f)
{
    struct rig *r = &p->r;
    struct asked a, h;
    const char *want = corpus[f->kind].output;
    ask_show(r, f->id, &a);
    struct val *output = val_get_cstr(val_get_cstr(a.json, "view"), "output");
    struct val *right = want ? json(want) : NULL;
    if (strcmp(status_of(&a), corpus[f->kind].status) != 0)
        rig_fail(r, "%s (%s) is %s", f->id, corpus[f->kind].name, status_of(&a));
    else if (want && !val_equal(output, right))
        rig_fail(r, "%s (%s) gave something else", f->id, corpus[f->kind].name);
    val_unref(right);
    asked_fini(&a);
    asked_init(&h);
    runs_history(r->runs, bytes_of(f->id), 1, &h.r);
    rig_until(r, h.dones, MINUTE);
    struct val *entries = val_get_cstr(h.json, "entries");
    if (count_of(entries, "started") != 1 || count_of(entries, "end") != 1)
        rig_fail(r, "%s (%s) began %zu times, ended %zu times", f->id, corpus[f->kind].name,
                 count_of(entries, "started"), count_of(entries, "end"));
    asked_fini(&h);
}

static void check_all(struct play *p)
{
    struct runs_stats s;
    for (size_t i = 0; i < FLOWS && !*p->r.failure; i++)
        check_flow(p, &p->flows[i]);
    runs_stats(p->r.runs, &s);
    if (s.open && !*p->r.failure)
        rig_fail(&p->r, "%llu runs are open at the end", (unsigned long long)s.open);
}

// ---- a play -------------------------------------------------------------------------------------

static void play_init(struct play *p, uint64_t seed)
{
    static const char *const queues[] = {"edge", NULL};
    struct err e = {0};
    memset(p, 0, sizeof *p);
    struct rig *r = &p->r;
    rig_init(r);
    rng_init(&p->rng, seed);
    rng_init(&r->rng, seed + 1);
    p->seed = seed;
    r->act = corpus_act;
    r->queues = queues;
    r->act_ms = (int64_t)rng_below(&p->rng, 300);
    r->loaded_max = chance(p, 500) ? 4 : 0;
    r->activities_max = chance(p, 300) ? 2 : 0;
    r->chapter_max = chance(p, 500) ? 16 : 0;
    r->away = chance(p, 300) ? 100 : 0;
    r->faults =
        (struct journal_faults){.seed = seed,
                                .full = (uint32_t)rng_below(&p->rng, 100),
                                .delay_ms_max = r->away ? 0 : (uint32_t)rng_below(&p->rng, 40)};
    struct bus_args b = {.timers = &r->clock.base,
                         .environment = "dev",
                         .source = "/sim",
                         .on_status = on_status,
                         .user = p};
    struct bus_faults f = {.seed = seed,
                           .full = chance(p, 300) ? 50 : 0,
                           .twice = 50,
                           .delay_ms_max = (uint32_t)rng_below(&p->rng, 50),
                           .lose = chance(p, 500) ? 5 : 0,
                           .lost_ms_max = 2000};
    if (bus_faulty_open(bus_memory_open, &b, &f, &r->bus, &e))
        fail_msg("%s", e.text);
    for (size_t i = 0; i < FLOWS; i++) {
        p->flows[i].kind = (size_t)rng_below(&p->rng, CORPUS);
        p->flows[i].start.due_ms = (int64_t)rng_below(&p->rng, CHAOS_MS - 5000);
        (void)snprintf(p->flows[i].id, sizeof p->flows[i].id, "f%zu", i);
    }
    rig_start(r);
}

static void play_fini(struct play *p)
{
    struct rig *r = &p->r;
    char failure[sizeof r->failure];
    for (unsigned i = 0; i < 2; i++)
        if (p->workers[i])
            worker_down(p, i);
    rig_close(r);
    r->runs = NULL;
    bus_close(r->bus);
    rig_until(r, p->bus_closed, MINUTE);
    for (size_t i = 0; i < FLOWS; i++) {
        val_unref(p->flows[i].start.a.json);
        for (size_t n = 0; n < 3; n++)
            val_unref(p->flows[i].signals[n].a.json);
    }
    (void)snprintf(failure, sizeof failure, "%s", r->failure);
    *r->failure = '\0';
    rig_fini(r);
    if (*failure)
        fail_msg("seed %llu: %s", (unsigned long long)p->seed, failure);
}

static void play(uint64_t seed)
{
    static struct play p;
    play_init(&p, seed);
    chaos(&p);
    if (!*p.r.failure)
        mend(&p);
    if (!*p.r.failure)
        check_all(&p);
    play_fini(&p);
}

static void test_kept(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        play(kept[i]);
}

static void test_many(void **state)
{
    const char *seed = getenv("SEED"), *many = getenv("MANY"), *first = getenv("FIRST");
    uint64_t from = seed ? strtoull(seed, NULL, 10) : first ? strtoull(first, NULL, 10) : 100;
    uint64_t count = seed ? 1 : many ? strtoull(many, NULL, 10) : 30;
    (void)state;
    for (uint64_t i = 0; i < count; i++)
        play(from + i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kept),
        cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests_name("runs_sim", tests, NULL, NULL);
}
