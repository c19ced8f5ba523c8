// registry_rig.h: the conformance kit of port/registry.h: what each registry must do, run on each
// of them by its x_test.c, with the real server where there is one. Included by tests, after
// cmocka.h. SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_ADAPTERS_REGISTRY_RIG_H
#define PLEXUS_ADAPTERS_REGISTRY_RIG_H

#include "adapters/registry_priv.h"
#include "base/time.h"
#include "loop/loop_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#pragma GCC diagnostic ignored "-Wunused-function"

enum { KIT_WAIT_MS = 40000, KIT_SIDES = 6, KIT_NODES = 512 };

struct kit {
    int (*open)(const struct registry_args *args, struct registry **ret, struct err *e);
    void (*args)(struct kit *k, struct registry_args *a); // what this engine needs
    void (*setup)(struct kit *k);                         // an empty table
    void (*teardown)(struct kit *k);
    void (*kill)(struct kit *k); // the server, and what it keeps; NULL: there is none
    void (*start)(struct kit *k);
    struct registry_table *table;
    struct loop *loop;
    struct timer tick;
};

struct heard { // of one node
    char node[64], text[128];
    size_t n;
    unsigned seen, deleted, expired;
};

struct side {
    struct kit *k;
    struct registry *r;
    struct heard nodes[KIT_NODES];
    unsigned count, connected, lost, back, closed, refused;
    char why[ERR_TEXT_MAX];
    bool in_call, close_inside;
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

static void kit_pass(struct kit *k, int64_t ms)
{
    int64_t end = time_mono_ms() + ms;
    while (time_mono_ms() < end)
        kit_round(k);
}

static int kit_setup(void **state)
{
    struct kit *k = *state;
    struct err e = {0};
    if (loop_new(&k->loop, &(struct loop_args){.linger_ms = 100, .work_threads = 1}, &e))
        fail_msg("%s", e.text);
    k->loop->running = true;
    k->tick = (struct timer){.fn = kit_tick, .user = k};
    kit_tick(&k->tick);
    if (k->setup)
        k->setup(k);
    return 0;
}

static int kit_teardown(void **state)
{
    struct kit *k = *state;
    if (k->teardown)
        k->teardown(k);
    timer_stop(loop_timers(k->loop), &k->tick);
    k->loop->running = false;
    loop_free(k->loop);
    assert_int_equal(mem_live(), 0);
    return 0;
}

// ---- what a side hears --------------------------------------------------------------------------

static struct heard *heard_of(struct side *s, const char *node)
{
    for (unsigned i = 0; i < s->count; i++)
        if (!strcmp(s->nodes[i].node, node))
            return &s->nodes[i];
    assert_in_range(s->count, 0, KIT_NODES - 1);
    struct heard *h = &s->nodes[s->count++];
    (void)snprintf(h->node, sizeof h->node, "%s", node);
    return h;
}

static struct heard *heard(struct side *s, struct bytes node)
{
    char name[64];
    assert_in_range(node.n, 1, 63);
    (void)snprintf(name, sizeof name, "%.*s", BYTES_FMT(node));
    assert_false(s->in_call);
    assert_int_equal(s->closed, 0);
    return heard_of(s, name);
}

static void side_seen(void *user, struct bytes node, struct bytes text)
{
    struct side *s = user;
    struct heard *h = heard(s, node);
    h->seen++;
    h->n = text.n;
    (void)snprintf(h->text, sizeof h->text, "%.*s", text.n < 100 ? (int)text.n : 100, text.p);
    if (s->close_inside)
        registry_close(s->r);
}

static void side_gone(void *user, struct bytes node, bool expired)
{
    struct heard *h = heard(user, node);
    assert_int_not_equal(h->seen, 0);
    h->expired += expired;
    h->deleted += !expired;
}

static void side_status(void *user, enum registry_status status, const struct err *e)
{
    struct side *s = user;
    assert_false(s->in_call);
    assert_int_equal(s->closed, 0);
    s->connected += status == REGISTRY_CONNECTED;
    s->lost += status == REGISTRY_LOST;
    s->back += status == REGISTRY_BACK;
    s->closed += status == REGISTRY_CLOSED;
    s->refused += status == REGISTRY_CONNECTING;
    if (e)
        (void)snprintf(s->why, sizeof s->why, "%s", e->text);
}

static struct registry_args side_args(struct kit *k, struct side *s, const char *node)
{
    struct registry_args a = {.timers = loop_timers(k->loop),
                              .net = loop_net(k->loop),
                              .node = node,
                              .environment = "dev",
                              .seen = side_seen,
                              .gone = side_gone,
                              .on_status = side_status,
                              .user = s,
                              .ttl_ms = 30000,
                              .retry_ms = 20,
                              .table = k->table};
    if (k->args)
        k->args(k, &a);
    return a;
}

static struct side *side_open_with(struct kit *k, const struct registry_args *a)
{
    struct side *s = a->user;
    struct err e = {0};
    s->k = k;
    s->in_call = true;
    if (k->open(a, &s->r, &e))
        fail_msg("%s", e.text);
    s->in_call = false;
    kit_until(k, s->connected);
    return s;
}

static struct side *side_open(struct kit *k, const char *node, int64_t ttl_ms)
{
    struct side *s = calloc(1, sizeof *s);
    struct registry_args a = side_args(k, s, node);
    a.ttl_ms = ttl_ms ? ttl_ms : a.ttl_ms;
    return side_open_with(k, &a);
}

static void side_close(struct side *s)
{
    s->in_call = true;
    registry_close(s->r);
    s->in_call = false;
    kit_until(s->k, s->closed);
    assert_int_equal(s->closed, 1);
    free(s);
}

static void put(struct side *s, const char *text)
{
    struct err e = {0};
    s->in_call = true;
    if (registry_put(s->r, bytes_of(text), &e))
        fail_msg("%s", e.text);
    s->in_call = false;
}

static void until_text(struct side *s, const char *node, const char *text)
{
    struct heard *h = heard_of(s, node);
    kit_until(s->k, h->seen && !strcmp(h->text, text));
}

static struct registry_stats stats(struct side *s)
{
    struct registry_stats v;
    registry_stats(s->r, &v);
    return v;
}

// ---- the kit ------------------------------------------------------------------------------------

// Those who are there hear of it, who comes later too; nobody hears himself.
static void kit_put(void **state)
{
    struct kit *k = *state;
    struct side *a = side_open(k, "a", 0), *b = side_open(k, "b.x-1_Y", 0);
    put(a, "a1");
    put(b, "b1");
    until_text(b, "a", "a1");
    until_text(a, "b.x-1_Y", "b1");
    put(a, "a2");
    until_text(b, "a", "a2");
    struct side *c = side_open(k, "c", 0);
    until_text(c, "a", "a2");
    until_text(c, "b.x-1_Y", "b1");
    assert_int_equal(heard_of(c, "a")->seen, 1); // the last one alone
    assert_int_equal(heard_of(a, "a")->seen, 0);
    assert_int_equal(stats(c).nodes, 2);
    assert_int_equal(stats(a).puts, 2);
    side_close(a);
    kit_pass(k, 50);
    assert_int_equal(heard_of(b, "a")->deleted, 0); // closing is no leaving
    side_close(b);
    side_close(c);
}

static void kit_remove(void **state)
{
    struct kit *k = *state;
    struct side *a = side_open(k, "a", 0), *b = side_open(k, "b", 0);
    put(a, "a1");
    until_text(b, "a", "a1");
    registry_remove(a->r);
    kit_until(k, heard_of(b, "a")->deleted == 1);
    struct side *c = side_open(k, "c", 0);
    put(b, "b1");
    until_text(c, "b", "b1");
    assert_int_equal(heard_of(c, "a")->seen, 0);
    put(a, "a2"); // and comes back
    until_text(b, "a", "a2");
    until_text(c, "a", "a2");
    registry_remove(a->r);
    side_close(a); // what was removed just now still leaves
    kit_until(k, heard_of(b, "a")->deleted == 2);
    assert_int_equal(stats(b).nodes, 0);
    assert_int_equal(stats(b).deleted, 2);
    side_close(b);
    side_close(c);
}

// Who renews stays; who does not is gone after its time, here and for who comes later.
static void kit_expire(void **state)
{
    struct kit *k = *state;
    struct side *a = side_open(k, "a", 1500), *b = side_open(k, "b", 1500);
    struct side *w = side_open(k, "w", 1500);
    put(a, "a1");
    put(b, "b1");
    until_text(w, "a", "a1");
    until_text(w, "b", "b1");
    int64_t start = time_mono_ms();
    side_close(a);
    kit_until(k, heard_of(w, "a")->expired == 1);
    assert_true(time_mono_ms() - start >= 900); // not before: its last renewal is at most 0.5 s old
    kit_pass(k, 800);
    assert_int_equal(heard_of(w, "a")->expired, 1);
    assert_int_equal(heard_of(w, "a")->deleted, 0);
    assert_int_equal(heard_of(w, "b")->expired, 0);
    assert_true(heard_of(w, "b")->seen >= 3); // renewed
    assert_true(stats(b).puts >= 3);
    struct side *c = side_open(k, "c", 1500);
    until_text(c, "b", "b1");
    assert_int_equal(heard_of(c, "a")->seen, 0);
    side_close(b);
    side_close(w);
    side_close(c);
}

static void kit_many(void **state)
{
    enum { MANY = 300 };
    struct kit *k = *state;
    struct side *w = side_open(k, "w", 0), *from[KIT_SIDES];
    char text[32], node[32];
    for (unsigned i = 0; i < MANY; i++) { // as many nodes as there are names, some at once
        (void)snprintf(node, sizeof node, "node-%u", i);
        (void)snprintf(text, sizeof text, "text %u", i);
        from[i % KIT_SIDES] = side_open(k, node, 0);
        put(from[i % KIT_SIDES], text);
        if (i % KIT_SIDES < KIT_SIDES - 1)
            continue;
        for (unsigned j = 0; j < KIT_SIDES; j++) {
            kit_until(k, stats(from[j]).puts);
            side_close(from[j]);
        }
    }
    kit_until(k, stats(w).nodes == MANY);
    struct side *c = side_open(k, "c", 0);
    kit_until(k, stats(c).nodes == MANY);
    for (unsigned i = 0; i < MANY; i++) {
        (void)snprintf(node, sizeof node, "node-%u", i);
        (void)snprintf(text, sizeof text, "text %u", i);
        assert_string_equal(heard_of(w, node)->text, text);
        assert_string_equal(heard_of(c, node)->text, text);
        assert_int_equal(heard_of(c, node)->seen, 1);
    }
    side_close(w);
    side_close(c);
}

// Environments never meet; names and environments that are none are refused.
static void kit_foreign(void **state)
{
    struct kit *k = *state;
    struct side *a = side_open(k, "a", 0), *s = calloc(1, sizeof *s);
    struct registry_args args = side_args(k, s, "s");
    args.environment = "staging";
    (void)side_open_with(k, &args);
    put(a, "a1");
    put(s, "s1");
    struct side *b = side_open(k, "b", 0);
    until_text(b, "a", "a1");
    kit_until(k, stats(s).puts == 1);
    kit_pass(k, 50);
    assert_int_equal(stats(s).seen, 0);
    assert_int_equal(stats(a).seen, 0);
    assert_int_equal(stats(b).seen, 1);
    static const struct {
        const char *node, *environment;
        int64_t ttl_ms;
    } bad[] = {{"x", "test", 0},
               {"x", "", 0},
               {"x", "dev.a", 0},
               {"", "dev", 0},
               {".x", "dev", 0},
               {"x.", "dev", 0},
               {"x..y", "dev", 0},
               {"x y", "dev", 0},
               {"x*", "dev", 0},
               {">", "dev", 0},
               {"x/y", "dev", 0},
               {"\xc3\xa4", "dev", 0},
               {"x", "dev", 999},
               {"x", "dev", -1},
               {"x", "dev", 3600001},
               {"1234567890123456789012345678901234567890123456789012345678901234", "dev", 0}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct side none = {.k = k};
        struct registry *r = NULL;
        struct err e = {0};
        args = side_args(k, &none, bad[i].node);
        args.environment = bad[i].environment;
        args.ttl_ms = bad[i].ttl_ms;
        if (k->open(&args, &r, &e) != E_INVALID || !e.n || r)
            fail_msg("case %zu: taken", i);
    }
    side_close(a);
    side_close(b);
    side_close(s);
}

static void kit_limits(void **state)
{
    struct kit *k = *state;
    struct side *a = side_open(k, "a", 0), *b = side_open(k, "b", 0), *c = side_open(k, "c", 0);
    struct side *w = calloc(1, sizeof *w);
    struct registry_args args = side_args(k, w, "w");
    static char big[352 * 1024 + 1];
    struct err e = {0};
    args.nodes_max = 2;
    (void)side_open_with(k, &args);
    memset(big, 'x', sizeof big);
    assert_int_equal(registry_put(a->r, BYTES_NONE, &e), E_INVALID);
    assert_int_equal(registry_put(a->r, (struct bytes){big, sizeof big}, &e), E_TOOBIG);
    assert_int_equal(registry_put(a->r, (struct bytes){big, sizeof big - 1}, &e), 0);
    kit_until(k, heard_of(w, "a")->n == sizeof big - 1);
    put(b, "b1");
    until_text(w, "b", "b1");
    put(c, "c1"); // one too many
    kit_until(k, stats(w).dropped >= 1);
    assert_int_equal(heard_of(w, "c")->seen, 0);
    assert_int_equal(stats(w).nodes, 2);
    put(b, "b2"); // those who are in go on
    until_text(w, "b", "b2");
    registry_remove(a->r); // and there is room again
    kit_until(k, heard_of(w, "a")->deleted);
    put(c, "c2");
    until_text(w, "c", "c2");
    side_close(a);
    side_close(b);
    side_close(c);
    side_close(w);
}

// It may be closed from inside, and at once; after that nothing is taken.
static void kit_close(void **state)
{
    struct kit *k = *state;
    struct side *a = side_open(k, "a", 0), *b = side_open(k, "b", 0), *c = side_open(k, "c", 0);
    put(a, "a1");
    until_text(b, "a", "a1");
    put(c, "c1");
    until_text(b, "c", "c1");
    struct side *d = calloc(1, sizeof *d), *f = calloc(1, sizeof *f);
    struct registry_args args = side_args(k, d, "d");
    struct err e = {0};
    d->k = f->k = k;
    d->close_inside = true;
    assert_int_equal(k->open(&args, &d->r, &e), 0);
    kit_until(k, d->closed);
    assert_int_equal(heard_of(d, "a")->seen + heard_of(d, "c")->seen, 1);
    args = side_args(k, f, "f");
    assert_int_equal(k->open(&args, &f->r, &e), 0);
    registry_close(f->r);
    assert_int_equal(registry_put(f->r, BYTES("x"), &e), E_CLOSED);
    registry_close(f->r);
    kit_until(k, f->closed);
    assert_int_equal(f->connected, 0);
    free(d);
    free(f);
    side_close(a);
    side_close(b);
    side_close(c);
}

// The server goes, and comes back with nothing: all put theirs again.
static void kit_reconnect(void **state)
{
    struct kit *k = *state;
    struct side *a = side_open(k, "a", 0), *b = side_open(k, "b", 0);
    put(a, "a1");
    put(b, "b1");
    until_text(b, "a", "a1");
    until_text(a, "b", "b1");
    k->kill(k);
    kit_until(k, a->lost == 1 && b->lost == 1);
    assert_true(a->why[0]);
    put(a, "a2"); // while it is away
    unsigned before = heard_of(a, "b")->seen;
    k->start(k);
    kit_until(k, a->back == 1 && b->back == 1);
    until_text(b, "a", "a2");
    kit_until(k, heard_of(a, "b")->seen > before);
    struct side *c = side_open(k, "c", 0);
    until_text(c, "a", "a2");
    until_text(c, "b", "b1");
    assert_int_equal(stats(a).lost, 1);
    assert_true(stats(a).watches >= 2);
    assert_int_equal(heard_of(b, "a")->expired, 0);
    side_close(a);
    side_close(b);
    side_close(c);
}

#define KIT_TEST(fn, kit) {#fn, fn, kit_setup, kit_teardown, kit}
#define KIT_TESTS(kit)                                                                             \
    KIT_TEST(kit_put, kit), KIT_TEST(kit_remove, kit), KIT_TEST(kit_expire, kit),                  \
        KIT_TEST(kit_many, kit), KIT_TEST(kit_foreign, kit), KIT_TEST(kit_limits, kit),            \
        KIT_TEST(kit_close, kit)

#endif
