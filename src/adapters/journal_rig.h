// journal_rig.h: the conformance kit of port/journal.h: what each journal must do, run on each of
// them by its x_test.c. Included by tests, after cmocka.h.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_ADAPTERS_JOURNAL_RIG_H
#define PLEXUS_ADAPTERS_JOURNAL_RIG_H

#include "adapters/journal_priv.h"
#include "base/time.h"
#include "loop/loop_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#pragma GCC diagnostic ignored "-Wunused-function"

enum { KIT_WAIT_MS = 40000, KIT_ROWS = 4096 };

struct kit {
    int (*open)(const struct journal_args *args, struct journal **ret, struct err *e);
    void (*args)(struct kit *k, struct journal_args *a); // where this engine keeps it
    void (*setup)(struct kit *k);                        // nothing is kept
    void (*teardown)(struct kit *k);
    bool several; // owners
    bool lossy;   // a write may be refused with E_FULL by chance
    struct journal_disk *disk;
    char folder[64], path[128];
    struct work *writer;
    struct loop *loop;
    struct timer tick;
    struct journal *j;
};

// ---- the loop, step by step ---------------------------------------------------------------------

static void kit_tick(struct timer *t)
{
    struct kit *k = t->user;
    (void)timer_start(loop_timers(k->loop), t, 20); // so that no round waits long
}

static void kit_round(struct kit *k)
{
    k->loop->running = true;
    (void)uv_run(&k->loop->uv, UV_RUN_ONCE);
}

#define kit_until(k, condition)                                                                    \
    do {                                                                                           \
        int64_t kit_end_ = time_mono_ms() + KIT_WAIT_MS;                                           \
        while (!(condition)) {                                                                     \
            if (time_mono_ms() > kit_end_)                                                         \
                fail_msg("%s:%d: never came: %s", __FILE__, __LINE__, #condition);                 \
            kit_round(k);                                                                          \
        }                                                                                          \
    } while (0)

static struct journal_args kit_args(struct kit *k)
{
    struct journal_args a = {.timers = loop_timers(k->loop),
                             .net = loop_net(k->loop),
                             .reader = loop_work(k->loop),
                             .owner = "kit"};
    if (k->args)
        k->args(k, &a);
    return a;
}

static struct journal *kit_open_as(struct kit *k, const char *owner)
{
    struct journal_args a = kit_args(k);
    struct journal *j = NULL;
    struct err e = {0};
    a.owner = owner;
    if (k->open(&a, &j, &e))
        fail_msg("%s", e.text);
    return j;
}

static void kit_closed(void *user)
{
    *(bool *)user = true;
}

static void kit_close_one(struct kit *k, struct journal *j)
{
    bool closed = false;
    journal_close(j, kit_closed, &closed);
    assert_false(closed); // later
    kit_until(k, closed);
}

static void kit_reopen(struct kit *k)
{
    kit_close_one(k, k->j);
    k->j = kit_open_as(k, "kit");
}

static int kit_setup(void **state)
{
    struct kit *k = *state;
    struct err e = {0};
    if (loop_new(&k->loop, &(struct loop_args){.linger_ms = 100, .work_threads = 2}, &e))
        fail_msg("%s", e.text);
    k->loop->running = true;
    k->tick = (struct timer){.fn = kit_tick, .user = k};
    kit_tick(&k->tick);
    if (k->setup)
        k->setup(k);
    k->j = kit_open_as(k, "kit");
    return 0;
}

static int kit_teardown(void **state)
{
    struct kit *k = *state;
    if (k->j)
        kit_close_one(k, k->j);
    if (k->teardown)
        k->teardown(k);
    timer_stop(loop_timers(k->loop), &k->tick);
    k->loop->running = false;
    loop_free(k->loop);
    assert_int_equal(mem_live(), 0);
    return 0;
}

// ---- calls that are waited for ------------------------------------------------------------------

struct told {
    struct journal_req r; // first
    unsigned dones;
    int status;
    unsigned order; // which one it was
    char why[ERR_TEXT_MAX];
};
static unsigned told_order;
static bool told_in_call;

static void told_done(struct journal_req *r, int status, const struct err *e)
{
    struct told *t = (struct told *)(void *)r;
    assert_false(told_in_call);
    assert_int_equal(t->dones, 0);
    assert_int_equal(status != 0, e != NULL);
    t->dones++;
    t->order = ++told_order;
    t->status = status;
    (void)snprintf(t->why, sizeof t->why, "%s", e ? e->text : "");
}

static struct told told_new(void)
{
    return (struct told){.r = {.done = told_done}};
}

static int begin_write(struct kit *k, struct journal *j, const struct journal_write *w,
                       struct told *t)
{
    struct err e = {0};
    int rc;
    *t = told_new();
    do {
        told_in_call = true;
        rc = journal_write(j, w, &t->r, &e);
        told_in_call = false;
    } while (rc == E_FULL && k->lossy);
    if (rc && !e.n)
        fail_msg("refused without a word: %d", rc);
    return rc;
}

static int write_on(struct kit *k, struct journal *j, const struct journal_write *w)
{
    struct told t;
    int rc = begin_write(k, j, w, &t);
    if (rc)
        return rc;
    kit_until(k, t.dones);
    return t.status;
}

static int write_now(struct kit *k, const struct journal_write *w)
{
    return write_on(k, k->j, w);
}

// A run's row in short.
static struct journal_run row_of(const char *name, const char *status, bool open)
{
    return (struct journal_run){.namespace = BYTES("kit"),
                                .name = bytes_of(name),
                                .version = BYTES("1.0.0"),
                                .plan = BYTES("plan-hash"),
                                .status = bytes_of(status),
                                .open = open,
                                .started_ms = 1000,
                                .closed_ms = open ? 0 : 2000,
                                .wake_ms = TIME_NEVER};
}

static int create(struct kit *k, const char *id, const struct journal_run *row)
{
    struct bytes entry = BYTES("{\"t\":\"begin\"}");
    struct journal_change c = {
        .run = bytes_of(id), .create = true, .entries = &entry, .entry_count = 1, .row = row};
    return write_now(k, &(struct journal_write){.changes = &c, .change_count = 1});
}

static int append(struct kit *k, const char *id, uint64_t expect, const char *text,
                  const struct journal_run *row)
{
    struct bytes entry = bytes_of(text);
    struct journal_change c = {
        .run = bytes_of(id), .expect = expect, .entries = &entry, .entry_count = 1, .row = row};
    return write_now(k, &(struct journal_write){.changes = &c, .change_count = 1});
}

static int put(struct kit *k, const char *key, const char *value)
{
    struct journal_put p = {bytes_of(key), bytes_of(value)};
    return write_now(k, &(struct journal_write){.puts = &p, .put_count = 1});
}

// What came, as text: "1=a 2=b ", "id,id ".
struct got {
    struct buf text;
    unsigned rows, most;
};

static struct got got_new(unsigned most)
{
    struct got g = {.most = most ? most : KIT_ROWS};
    buf_init(&g.text, 1 << 24);
    return g;
}

static void got_free(struct got *g)
{
    buf_fini(&g->text);
}

static bool got_entry(void *user, uint64_t number, struct bytes entry)
{
    struct got *g = user;
    assert_false(told_in_call);
    assert_true(g->rows < g->most);
    (void)buf_u64(&g->text, number);
    (void)buf_chr(&g->text, '=');
    (void)buf_put(&g->text, entry);
    (void)buf_chr(&g->text, ' ');
    return ++g->rows < g->most;
}

static bool got_run(void *user, const struct journal_run *run)
{
    struct got *g = user;
    assert_false(told_in_call);
    assert_true(g->rows < g->most);
    (void)buf_fmt(&g->text, "%.*s ", BYTES_FMT(run->id));
    return ++g->rows < g->most;
}

static bool got_put(void *user, struct bytes key, struct bytes value)
{
    struct got *g = user;
    assert_true(g->rows < g->most);
    (void)buf_fmt(&g->text, "%.*s=%.*s ", BYTES_FMT(key), BYTES_FMT(value));
    return ++g->rows < g->most;
}

#define assert_text(g, expected)                                                                   \
    do {                                                                                           \
        assert_string_equal(buf_cstr(&(g).text), expected);                                        \
        got_free(&(g));                                                                            \
    } while (0)

static int read_on(struct kit *k, struct journal *j, struct journal_read a, struct got *g)
{
    struct told t = told_new();
    struct err e = {0};
    a.on_entry = got_entry;
    a.user = g;
    told_in_call = true;
    int rc = journal_read(j, &a, &t.r, &e);
    told_in_call = false;
    if (rc)
        return rc;
    kit_until(k, t.dones);
    return t.status;
}

// The entries from..to of a run, in words; fails when it cannot.
static void expect_entries(struct kit *k, const char *id, uint64_t from, uint64_t to,
                           const char *expected)
{
    struct got g = got_new(0);
    int rc =
        read_on(k, k->j, (struct journal_read){.run = bytes_of(id), .from = from, .to = to}, &g);
    assert_int_equal(rc, 0);
    assert_text(g, expected);
}

static int list_on(struct kit *k, struct journal *j, struct journal_list a, struct got *g)
{
    struct told t = told_new();
    struct err e = {0};
    a.on_run = got_run;
    a.user = g;
    told_in_call = true;
    int rc = journal_list(j, &a, &t.r, &e);
    told_in_call = false;
    if (rc)
        return rc;
    kit_until(k, t.dones);
    return t.status;
}

static void expect_runs(struct kit *k, struct journal_list a, const char *expected)
{
    struct got g = got_new(0);
    assert_int_equal(list_on(k, k->j, a, &g), 0);
    assert_text(g, expected);
}

static void expect_keys(struct kit *k, const char *prefix, const char *expected)
{
    struct got g = got_new(0);
    struct told t = told_new();
    struct err e = {0};
    struct journal_keys a = {bytes_of(prefix), got_put, &g};
    assert_int_equal(journal_keys(k->j, &a, &t.r, &e), 0);
    kit_until(k, t.dones);
    assert_int_equal(t.status, 0);
    assert_text(g, expected);
}

static void got_doc(void *user, struct bytes text)
{
    (void)buf_put(user, text);
}

static int doc(struct kit *k, const char *hash, char *ret, size_t n)
{
    struct told t = told_new();
    struct err e = {0};
    struct buf b;
    buf_init(&b, 1 << 24);
    assert_int_equal(journal_doc(k->j, bytes_of(hash), got_doc, &b, &t.r, &e), 0);
    kit_until(k, t.dones);
    (void)snprintf(ret, n, "%s", buf_cstr(&b));
    buf_fini(&b);
    return t.status;
}

static uint64_t prune(struct kit *k, int64_t before_ms, size_t limit, bool dry)
{
    struct told t = told_new();
    struct err e = {0};
    uint64_t count = UINT64_MAX;
    assert_int_equal(journal_prune(k->j, before_ms, limit, dry, &count, &t.r, &e), 0);
    kit_until(k, t.dones);
    assert_int_equal(t.status, 0);
    return count;
}

static int take(struct kit *k, struct journal *j, const char *from)
{
    struct told t = told_new();
    struct err e = {0};
    assert_int_equal(journal_take(j, from, &t.r, &e), 0);
    kit_until(k, t.dones);
    return t.status;
}

static struct journal_stats stats(struct kit *k)
{
    struct journal_stats s;
    journal_stats(k->j, &s);
    return s;
}

#include "adapters/journal_kit_rig.h"

#endif
