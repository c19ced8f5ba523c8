// mesh_test.c: the table of nodes told as scripts in virtual time: events, and what came of them.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "base/rng.h"
#include "base/time.h"
#include "mesh/mesh.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

struct world {
    struct mesh *m;
    struct label_names *names;
    int64_t now;
    uint64_t seq; // of beats
    char out[16384];
    size_t n;
};

static void say(struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct world *w, const char *fmt, ...)
{
    va_list ap;
    if (w->n > 0)
        w->n += (size_t)snprintf(w->out + w->n, sizeof w->out - w->n, ", ");
    va_start(ap, fmt);
    w->n += (size_t)vsnprintf(w->out + w->n, sizeof w->out - w->n, fmt, ap);
    va_end(ap);
    assert_true(w->n < sizeof w->out);
}

// What came: "alive b" (its new state), "changed b", "beat b", "offer b", "fetch b", "sync b",
// "forgot b", "want m".
static void drain(struct world *w)
{
    static const char *const words[] = {"beat", "fetch",   "offer", "sync",
                                        "",     "changed", "want",  "forgot"};
    struct mesh_effect f;
    while (mesh_effect(w->m, &f)) {
        struct mesh_node_view v;
        mesh_node_view(w->m, f.node, w->now, &v);
        if (f.kind == MESH_STATE)
            say(w, "%s>%s %s", mesh_state_name(f.before), mesh_state_name(v.state), v.name);
        else if (f.kind == MESH_WANT)
            say(w, "want %s", f.model);
        else
            say(w, "%s %s", words[f.kind], v.name);
        if (f.kind == MESH_FETCH)
            assert_ptr_equal(f.from, f.node);
    }
}

#define expect(w, text)                                                                            \
    do {                                                                                           \
        drain(w);                                                                                  \
        assert_string_equal((w)->out, text);                                                       \
        (w)->out[0] = '\0';                                                                        \
        (w)->n = 0;                                                                                \
    } while (0)

static void forget(struct world *w)
{
    drain(w);
    w->out[0] = '\0';
    w->n = 0;
}

static struct mesh_sheet plain(const char *node, uint64_t boot, uint64_t seq)
{
    static const char *const address[] = {"10.0.0.1:7", NULL};
    return (struct mesh_sheet){.node = node,
                               .context = "dev.x.n",
                               .version = "1",
                               .profile = "server",
                               .boot = boot,
                               .seq = seq,
                               .ttl_ms = 10000,
                               .addresses = address,
                               .clearance = LABEL_ALL};
}

static int put(struct world *w, const char *node, uint64_t boot, uint64_t seq)
{
    struct mesh_sheet s = plain(node, boot, seq);
    return mesh_put(w->m, &s, BYTES("signed"), w->now, NULL);
}

static void beat(struct world *w, const char *node, uint64_t boot, uint64_t sheet)
{
    struct mesh_beat own, b = {.boot = boot, .seq = ++w->seq, .sheet = sheet};
    mesh_beat_for(w->m, mesh_self_node(w->m), 1, &own);
    b.digest = own.digest;
    mesh_heard(w->m, bytes_of(node), &b, w->now, (uint64_t)w->now * 1000);
}

static void tick(struct world *w, int64_t ms)
{
    for (int64_t end = w->now + ms; w->now < end;) {
        int64_t next = mesh_next_ms(w->m);
        w->now = next < end ? (next > w->now ? next : w->now) : end;
        mesh_tick(w->m, w->now);
        if (next >= end)
            break;
    }
}

static void world_init(struct world *w)
{
    memset(w, 0, sizeof *w);
    w->now = 100000;
    w->names = label_names_new();
    struct mesh_args args = {.self = "a", .context = "dev.x.a", .boot = 50, .names = w->names};
    w->m = mesh_new(&args);
    assert_non_null(w->m);
    mesh_tick(w->m, w->now);
}

static uint64_t digest(struct world *w)
{
    struct mesh_beat own;
    mesh_beat_for(w->m, mesh_self_node(w->m), 1, &own);
    return own.digest;
}

static void world_fini(struct world *w)
{
    mesh_free(w->m);
    label_names_free(w->names);
}

static struct mesh_node_view view(struct world *w, const char *name)
{
    struct mesh_node_view v;
    struct mesh_node *n = mesh_find(w->m, bytes_of(name));
    assert_non_null(n);
    mesh_node_view(w->m, n, w->now, &v);
    return v;
}

// ---- the own sheet ----

static void own_sheet(void **state)
{
    struct world w;
    struct err e = {0};
    struct mesh_model model = {.name = "m", .kind = "chat", .state = "WARM", .eta_ms = -1};
    struct mesh_sheet s = plain("other name", 1, 1);
    struct bytes raw;
    (void)state;
    world_init(&w);
    s.models = &model;
    s.model_count = 1;
    assert_int_equal(mesh_self_raw(w.m, BYTES("x"), &e), E_INVALID);
    assert_int_equal(put(&w, "b", 9, 1), 1);
    expect(&w, "changed b, beat b"); // nothing to offer yet
    assert_int_equal(mesh_self(w.m, &s, w.now, &e), 1);
    expect(&w, "changed a, offer b");
    struct mesh_node_view v = view(&w, "a");
    assert_true(v.self && v.same_environment && v.state == MESH_ALIVE);
    assert_string_equal(v.sheet->node, "a");
    assert_string_equal(v.sheet->context, "dev.x.a");
    assert_int_equal(v.boot, 50);
    assert_int_equal(v.seq, 1);
    assert_int_equal(v.heard_ms, w.now);
    assert_false(mesh_raw(w.m, mesh_self_node(w.m), &raw));
    assert_int_equal(mesh_self_raw(w.m, BYTES("signed a"), &e), 0);
    assert_true(mesh_raw(w.m, mesh_self_node(w.m), &raw));
    assert_true(bytes_is(raw, "signed a"));
    // Loads alone are no news: they go with the beats.
    model.active = 3;
    model.waiting = 70000;
    model.eta_ms = 5;
    s.clearance = (struct label){LABEL_INTERNAL, 0};
    assert_int_equal(mesh_self(w.m, &s, w.now, &e), 0);
    expect(&w, "");
    v = view(&w, "a");
    assert_int_equal(v.sheet->models[0].active, 3);
    assert_int_equal(v.sheet->clearance.level, LABEL_INTERNAL);
    mesh_load(w.m, 4, 5, 6);
    mesh_tick(w.m, w.now);
    forget(&w);
    struct mesh_beat b;
    mesh_beat_for(w.m, mesh_find(w.m, BYTES("b")), 777, &b);
    assert_int_equal(b.boot, 50);
    assert_int_equal(b.sheet, 1);
    assert_int_equal(b.sent_us, 777);
    assert_int_equal(b.echo_us, 0);
    assert_int_equal(b.active, 4);
    assert_int_equal(b.waiting, 5);
    assert_int_equal(b.memory_free, 6);
    assert_true(b.loads_all);
    assert_int_equal(b.load_count, 1);
    assert_int_equal(b.loads[0].hash, mesh_name_hash(BYTES("m")));
    assert_int_equal(b.loads[0].active, 3);
    assert_int_equal(b.loads[0].waiting, UINT16_MAX);
    assert_false(b.draining);
    uint64_t first = b.seq;
    model.state = "UNLOADED";
    s.draining = true;
    assert_int_equal(mesh_self(w.m, &s, w.now, &e), 1);
    mesh_beat_for(w.m, mesh_find(w.m, BYTES("b")), 778, &b);
    assert_true(b.seq > first && b.sheet == 2 && b.draining);
    assert_false(mesh_raw(w.m, mesh_self_node(w.m), &raw)); // to be signed anew
    world_fini(&w);
}

static void own_sheet_refused(void **state)
{
    struct world w;
    struct err e = {0};
    struct mesh_sheet s = plain("a", 1, 1);
    (void)state;
    world_init(&w);
    struct mesh_model *models = mem_array(3000, sizeof *models);
    for (size_t i = 0; i < 3000; i++)
        models[i] = (struct mesh_model){.name = "m", .kind = "chat", .state = "WARM"};
    s.models = models;
    s.model_count = 3000; // over 256 KiB as text
    assert_int_equal(mesh_self(w.m, &s, w.now, &e), E_TOOBIG);
    s.model_count = 257;
    assert_int_equal(mesh_self(w.m, &s, w.now, &e), E_FULL);
    s.model_count = 256;
    assert_int_equal(mesh_self(w.m, &s, w.now, &e), 1);
    mem_free(models);
    struct mesh_args args = {.self = "no/name", .context = "dev", .boot = 1};
    assert_null(mesh_new(&args));
    mesh_free(NULL);
    world_fini(&w);
}

// Seven busy models, six places in a beat: they take turns, and nothing is claimed of the others.
static void loads_take_turns(void **state)
{
    struct world w;
    char name[8][8];
    struct mesh_model models[8];
    struct mesh_sheet s = plain("a", 1, 1);
    unsigned seen = 0;
    (void)state;
    world_init(&w);
    for (uint32_t i = 0; i < 8; i++) {
        (void)snprintf(name[i], sizeof name[i], "m%u", i);
        models[i] = (struct mesh_model){
            .name = name[i], .kind = "chat", .state = "WARM", .active = i < 7 ? i + 1 : 0};
    }
    s.models = models;
    s.model_count = 8;
    assert_int_equal(mesh_self(w.m, &s, w.now, NULL), 1);
    (void)put(&w, "b", 9, 1);
    for (int round = 0; round < 2; round++) {
        struct mesh_beat b;
        mesh_tick(w.m, w.now);
        mesh_beat_for(w.m, mesh_find(w.m, BYTES("b")), 1, &b);
        assert_int_equal(b.load_count, 6);
        assert_false(b.loads_all);
        for (int i = 0; i < 6; i++)
            seen |= 1U << b.loads[i].active;
    }
    assert_int_equal(seen, 0xfe);
    world_fini(&w);
}

// ---- sheets of others ----

static void numbers(void **state)
{
    struct world w;
    (void)state;
    world_init(&w);
    assert_int_equal(put(&w, "b", 9, 2), 1);
    expect(&w, "changed b, beat b");
    assert_int_equal(put(&w, "b", 9, 2), 0);
    assert_int_equal(put(&w, "b", 9, 1), 0);
    assert_int_equal(put(&w, "b", 8, 7), 0);
    expect(&w, "");
    assert_int_equal(put(&w, "b", 9, 3), 1);
    expect(&w, "changed b");
    beat(&w, "b", 9, 3);
    expect(&w, "suspect>alive b");
    assert_int_equal(put(&w, "b", 10, 1), 1); // a new life, not heard yet
    expect(&w, "alive>suspect b, changed b, beat b");
    assert_int_equal(put(&w, "a", 50, 0), 0); // our own, given back
    assert_int_equal(put(&w, "a", 49, 7), 0);
    assert_int_equal(put(&w, "a", 51, 1), E_CONFLICT);
    assert_int_equal(put(&w, "x y", 1, 1), E_INVALID);
    assert_int_equal(put(&w, "", 1, 1), E_INVALID);
    expect(&w, "");
    static const char *const names[] = {"A-Z", "a.b", "a_b", "09", "...", "-"};
    for (size_t i = 0; i < COUNT(names); i++)
        assert_int_equal(put(&w, names[i], 1, 1), 1);
    static const char *const bad[] = {".", "..", "a/b", "a:b", "@", "[", "`", "{", "/", "\xc3\xa4"};
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(put(&w, bad[i], 1, 1), E_INVALID);
    for (size_t i = 0; i < COUNT(names); i++)
        mesh_removed(w.m, bytes_of(names[i]), w.now);
    forget(&w);
    assert_int_equal(mesh_count(w.m, MESH_ALIVE), 1);
    assert_int_equal(mesh_count(w.m, MESH_SUSPECT), 1);
    size_t count = 0;
    for (struct mesh_node *n = NULL; (n = mesh_each(w.m, n)) != NULL; count++) {
        assert_null(mesh_user(n));
        mesh_set_user(n, &w);
        assert_ptr_equal(mesh_user(n), &w);
    }
    assert_int_equal(count, 2 + COUNT(names));
    world_fini(&w);
}

static void goodbye(void **state)
{
    struct world w;
    struct mesh_sheet s = plain("b", 9, 2);
    (void)state;
    world_init(&w);
    (void)put(&w, "b", 9, 1);
    beat(&w, "b", 9, 1);
    forget(&w);
    s.leaving = true;
    assert_int_equal(mesh_put(w.m, &s, BYTES("signed"), w.now, NULL), 1);
    expect(&w, "alive>left b, changed b");
    beat(&w, "b", 9, 2); // its last ones
    assert_int_equal(put(&w, "b", 9, 3), 0);
    tick(&w, 2000);
    expect(&w, "beat b"); // now and then: it may be back
    beat(&w, "b", 10, 1); // it is back
    expect(&w, "left>alive b, fetch b");
    assert_int_equal(put(&w, "b", 10, 1), 1);
    expect(&w, "changed b, beat b");
    world_fini(&w);
}

static void removal(void **state)
{
    struct world w;
    struct bytes raw;
    (void)state;
    world_init(&w);
    (void)put(&w, "b", 9, 1);
    beat(&w, "b", 9, 1);
    forget(&w);
    mesh_removed(w.m, BYTES("b"), w.now);
    expect(&w, "alive>removed b, changed b");
    mesh_removed(w.m, BYTES("b"), w.now);
    mesh_removed(w.m, BYTES("a"), w.now);
    mesh_removed(w.m, BYTES("nobody"), w.now);
    beat(&w, "b", 9, 2);
    assert_int_equal(put(&w, "b", 9, 2), 0);
    assert_false(mesh_raw(w.m, mesh_find(w.m, BYTES("b")), &raw));
    assert_null(view(&w, "b").sheet);
    expect(&w, "");
    beat(&w, "b", 10, 1); // joined anew: what it says must be signed first
    expect(&w, "fetch b");
    assert_int_equal(view(&w, "b").state, MESH_REMOVED);
    assert_int_equal(put(&w, "b", 10, 1), 1);
    expect(&w, "removed>suspect b, changed b, beat b");
    world_fini(&w);
}

static void forgotten(void **state)
{
    struct world w;
    (void)state;
    world_init(&w);
    (void)put(&w, "b", 9, 5);
    struct mesh_sheet s = plain("c", 9, 5);
    s.leaving = true;
    (void)mesh_put(w.m, &s, BYTES("signed"), w.now, NULL);
    tick(&w, 650000); // over 10 minutes
    forget(&w);
    assert_null(mesh_find(w.m, BYTES("b")));
    assert_null(mesh_find(w.m, BYTES("c")));
    assert_int_equal(put(&w, "b", 9, 5), 0); // kept behind a partition: no ghost
    assert_int_equal(put(&w, "b", 9, 4), 0);
    assert_int_equal(put(&w, "c", 9, 6), 0);
    beat(&w, "c", 9, 6);
    expect(&w, "");
    assert_null(mesh_find(w.m, BYTES("c")));
    beat(&w, "b", 9, 5); // but it lives: its sheet is asked for and taken
    expect(&w, "suspect>alive b, fetch b");
    assert_int_equal(put(&w, "b", 9, 5), 1);
    beat(&w, "c", 10, 1);
    assert_int_equal(put(&w, "c", 10, 1), 1);
    assert_int_equal(view(&w, "c").state, MESH_ALIVE);
    world_fini(&w);
}

static void full(void **state)
{
    struct world w;
    struct err e = {0};
    char name[16];
    (void)state;
    world_init(&w);
    for (int i = 0; i < MESH_NODES_MAX - 1; i++) {
        (void)snprintf(name, sizeof name, "n%d", i);
        assert_int_equal(put(&w, name, 9, 1), 1);
    }
    struct mesh_sheet s = plain("late", 9, 1);
    assert_int_equal(mesh_put(w.m, &s, BYTES("x"), w.now, &e), E_FULL);
    beat(&w, "late", 9, 1);
    forget(&w);
    assert_null(mesh_find(w.m, BYTES("late")));
    mesh_removed(w.m, BYTES("n7"), w.now + 1);
    mesh_removed(w.m, BYTES("n3"), w.now);
    forget(&w);
    assert_int_equal(mesh_put(w.m, &s, BYTES("x"), w.now, &e), 1); // the oldest who went makes room
    expect(&w, "forgot n3, changed late, beat late");
    assert_non_null(mesh_find(w.m, BYTES("n7")));
    // Names of models have a limit too.
    char names[256][17][24];
    const char *aliases[256][17];
    static struct mesh_model models[256];
    s = plain("big", 9, 1);
    s.models = models;
    s.model_count = 256;
    int rc = 1;
    for (int i = 0; i < 20 && rc == 1; i++) {
        for (size_t k = 0; k < 256; k++) {
            for (size_t j = 0; j < 17; j++) {
                (void)snprintf(names[k][j], 24, "%d-%zu-%zu", i, k, j);
                aliases[k][j] = j < 16 ? names[k][j] : NULL;
            }
            models[k] = (struct mesh_model){
                .name = names[k][16], .kind = "chat", .state = "WARM", .aliases = aliases[k]};
        }
        (void)snprintf(name, sizeof name, "n%d", i + 20);
        s.node = name;
        s.seq = 2;
        rc = mesh_put(w.m, &s, BYTES("x"), w.now, &e);
    }
    assert_int_equal(rc, E_FULL);
    assert_int_equal(view(&w, name).seq, 1); // what was there stays
    world_fini(&w);
}

// The graves are many, not endless: the oldest is written over.
static void graves(void **state)
{
    struct world w;
    char name[16];
    (void)state;
    world_init(&w);
    int count = MESH_NODES_MAX - 1 + 1024 + 10; // the last 255 are not forgotten
    for (int i = 0; i < count; i++, w.now++) {
        (void)snprintf(name, sizeof name, "n%d", i);
        assert_int_equal(put(&w, name, 9, 1), 1);
        mesh_removed(w.m, bytes_of(name), w.now);
        forget(&w);
    }
    assert_int_equal(mesh_count(w.m, MESH_REMOVED), MESH_NODES_MAX - 1);
    assert_int_equal(put(&w, "n1033", 9, 2), 0);
    assert_int_equal(put(&w, "n10", 9, 2), 0);
    assert_int_equal(put(&w, "n9", 9, 2), 1); // nobody remembers
    assert_int_equal(put(&w, "n1033", 10, 1), 1);
    world_fini(&w);
}

static void exchange_one(void *arg, struct mesh_node *n, struct bytes raw)
{
    struct world *w = arg;
    struct mesh_node_view v;
    mesh_node_view(w->m, n, w->now, &v);
    say(w, "%s=%.*s", v.name, BYTES_FMT(raw));
}

static void summaries(void **state)
{
    static const struct {
        const char *summary, *newer;
    } rows[] = {
        {"{}", "a=own, b=signed, c=signed"},
        {"[]", "a=own, b=signed, c=signed"},
        {"{\"a\":[50,1],\"b\":[9,2]}", "c=signed"},
        {"{\"a\":[50,0],\"b\":[10,1],\"c\":[9,1]}", "a=own, c=signed"},
        {"{\"a\":[51,1],\"b\":[9,3],\"c\":[\"x\"]}", "c=signed"},
    };
    struct world w;
    struct mesh_sheet s = plain("a", 1, 1);
    struct err e = {0};
    struct buf out;
    (void)state;
    world_init(&w);
    (void)mesh_self(w.m, &s, w.now, NULL);
    (void)mesh_self_raw(w.m, BYTES("own"), NULL);
    (void)put(&w, "b", 9, 2);
    (void)put(&w, "c", 9, 2);
    (void)put(&w, "d", 9, 2);
    mesh_removed(w.m, BYTES("d"), w.now);
    forget(&w);
    buf_init(&out, MESH_SUMMARY_BYTES_MAX);
    mesh_summary_put(w.m, &out);
    assert_string_equal(buf_cstr(&out), "{\"a\":[50,1],\"b\":[9,2],\"c\":[9,2]}");
    for (size_t i = 0; i < COUNT(rows); i++) {
        (void)mesh_newer(w.m, bytes_of(rows[i].summary), exchange_one, &w, &e);
        if (strcmp(w.out, rows[i].newer) != 0)
            fail_msg("row %zu: %s", i, w.out);
        forget(&w);
    }
    assert_int_equal(mesh_newer(w.m, BYTES("{"), exchange_one, &w, &e), E_PARSE);
    assert_int_equal(
        mesh_newer(w.m, (struct bytes){"", MESH_SUMMARY_BYTES_MAX + 1}, exchange_one, &w, &e),
        E_TOOBIG);
    buf_fini(&out);
    world_fini(&w);
}

// ---- beats ----

static void unknown_sender(void **state)
{
    struct world w;
    (void)state;
    world_init(&w);
    beat(&w, "b", 9, 1);
    expect(&w, "suspect>alive b, fetch b");
    w.now += 499;
    beat(&w, "b", 9, 1);
    expect(&w, ""); // asked already
    w.now += 1;
    beat(&w, "b", 9, 1);
    expect(&w, "fetch b"); // lost, so again
    beat(&w, "b", 9, 2);
    expect(&w, "fetch b"); // a newer one, at once
    assert_int_equal(put(&w, "b", 9, 2), 1);
    beat(&w, "b", 9, 1); // said before
    beat(&w, "a", 9, 1); // from ourselves?
    beat(&w, "no name", 9, 1);
    beat(&w, "c", 9, 0); // has no sheet yet
    expect(&w, "changed b, beat b, suspect>alive c");
    world_fini(&w);
}

static void lives(void **state)
{
    struct world w;
    (void)state;
    world_init(&w);
    (void)put(&w, "b", 9, 1);
    beat(&w, "b", 9, 1);
    struct mesh_node *n = mesh_find(w.m, BYTES("b"));
    struct bytes raw;
    for (int i = 0; i < 3; i++) {
        mesh_sent(w.m, n);
        mesh_outcome(w.m, n, false, w.now);
    }
    forget(&w);
    assert_true(view(&w, "b").breaker_open);
    w.now += 10;
    w.seq = 0;
    beat(&w, "b", 12, 1); // started anew: what it ran is void
    expect(&w, "fetch b");
    assert_int_equal(view(&w, "b").boot, 12);
    assert_int_equal(view(&w, "b").seq, 0);
    assert_false(view(&w, "b").breaker_open);
    assert_false(mesh_raw(w.m, n, &raw));
    assert_int_equal(put(&w, "b", 9, 2), 0);
    assert_int_equal(put(&w, "b", 12, 1), 1);
    expect(&w, "changed b, beat b");
    assert_int_equal(view(&w, "b").state, MESH_ALIVE);
    world_fini(&w);
}

// A machine that stood still: what ran there failed, and nothing is wrong with it any more.
static void back_from_the_dead(void **state)
{
    struct world w;
    (void)state;
    world_init(&w);
    (void)put(&w, "b", 9, 1);
    beat(&w, "b", 9, 1);
    struct mesh_node *n = mesh_find(w.m, BYTES("b"));
    for (int i = 0; i < 40 && view(&w, "b").state != MESH_DEAD;
         i++) // its own pauses are discounted
        tick(&w, 50);
    assert_int_equal(view(&w, "b").state, MESH_DEAD);
    for (int i = 0; i < 3; i++) {
        mesh_sent(w.m, n);
        mesh_outcome(w.m, n, false, w.now);
    }
    assert_true(view(&w, "b").breaker_open);
    beat(&w, "b", 9, 1);
    assert_int_equal(view(&w, "b").state, MESH_ALIVE);
    assert_false(view(&w, "b").breaker_open);
    forget(&w);
    world_fini(&w);
}

static void late_beats(void **state)
{
    struct world w;
    (void)state;
    world_init(&w);
    (void)put(&w, "b", 9, 1);
    beat(&w, "b", 9, 1);
    forget(&w);
    beat(&w, "b", 8, 7); // of an earlier life
    w.seq -= 2;
    beat(&w, "b", 9, 1); // overtaken
    expect(&w, "");
    w.seq += 10;
    assert_int_equal(view(&w, "b").boot, 9);
    tick(&w, 1500);
    forget(&w);
    assert_int_equal(view(&w, "b").state, MESH_DEAD);
    beat(&w, "b", 8, 1); // its clock was set back
    expect(&w, "dead>alive b, fetch b");
    assert_int_equal(view(&w, "b").boot, 8);
    assert_int_equal(view(&w, "b").seq, 0);
    assert_int_equal(put(&w, "b", 8, 1), 1);
    assert_int_equal(view(&w, "b").seq, 1);
    world_fini(&w);
}

static void round_trips(void **state)
{
    struct world w;
    struct mesh_beat b = {.boot = 9, .seq = 1, .sheet = 1, .sent_us = 555};
    (void)state;
    world_init(&w);
    (void)put(&w, "b", 9, 1);
    struct mesh_node *n = mesh_find(w.m, BYTES("b"));
    mesh_heard(w.m, BYTES("b"), &b, w.now, 1000000);
    assert_int_equal(view(&w, "b").rtt_us, 0);
    struct mesh_beat back;
    mesh_beat_for(w.m, n, 1000300, &back);
    assert_int_equal(back.echo_us, 555);
    assert_int_equal(back.echo_age_us, 300);
    static const struct {
        uint64_t echo_us;
        uint32_t age_us;
        uint32_t rtt_us;
    } rows[] = {
        {2000000 - 900, 100, 800}, // the first as it is
        {2000000 - 1700, 100, 900}, // then an eighth of it
        {2000001, 0, 900}, // from the future
        {2000000 - 100, 101, 900},
        {1, 0, 900 - 900 / 8 + 1999999 / 8},
        {0, 0, 900 - 900 / 8 + 1999999 / 8},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        b.seq++;
        b.echo_us = rows[i].echo_us;
        b.echo_age_us = rows[i].age_us;
        mesh_heard(w.m, BYTES("b"), &b, w.now, 2000000);
        if (view(&w, "b").rtt_us != rows[i].rtt_us)
            fail_msg("row %zu: %u", i, view(&w, "b").rtt_us);
    }
    b.seq++;
    b.echo_us = 1;
    mesh_heard(w.m, BYTES("b"), &b, w.now, 90000000); // a clock that was set
    assert_int_equal(view(&w, "b").rtt_us, rows[4].rtt_us);
    mesh_beat_for(w.m, n, 90000000 + ((uint64_t)1 << 33), &back);
    assert_int_equal(back.echo_us, 0); // too old to be told
    world_fini(&w);
}

static void loads(void **state)
{
    struct world w;
    struct mesh_model models[3] = {
        {.name = "x", .kind = "chat", .state = "WARM", .active = 1},
        {.name = "y", .kind = "chat", .state = "WARM", .active = 2},
        {.name = "z", .kind = "chat", .state = "WARM", .active = 3},
    };
    struct mesh_sheet s = plain("b", 9, 1);
    struct mesh_beat b = {
        .boot = 9,
        .seq = 1,
        .sheet = 1,
        .active = 70,
        .waiting = 71,
        .memory_free = 72,
        .draining = true,
        .load_count = 2,
        .loads = {{mesh_name_hash(BYTES("y")), 20, 21}, {mesh_name_hash(BYTES("other")), 1, 1}}};
    (void)state;
    world_init(&w);
    s.models = models;
    s.model_count = 3;
    assert_int_equal(mesh_put(w.m, &s, BYTES("signed"), w.now, NULL), 1);
    mesh_heard(w.m, BYTES("b"), &b, w.now, 1);
    struct mesh_node_view v = view(&w, "b");
    assert_true(v.active == 70 && v.waiting == 71 && v.memory_free == 72 && v.draining);
    assert_true(v.sheet->models[0].active == 1 && v.sheet->models[1].active == 20 &&
                v.sheet->models[1].waiting == 21 && v.sheet->models[2].active == 3);
    b.seq++;
    b.loads_all = true;
    b.draining = false;
    mesh_heard(w.m, BYTES("b"), &b, w.now, 1);
    v = view(&w, "b");
    assert_true(v.sheet->models[0].active == 0 && v.sheet->models[1].active == 20 &&
                v.sheet->models[2].active == 0 && !v.draining);
    world_fini(&w);
}

static void tables_that_differ(void **state)
{
    struct world w;
    struct mesh_beat b = {.boot = 9, .sheet = 1, .digest = 1234};
    (void)state;
    world_init(&w);
    (void)put(&w, "b", 9, 1);
    char out[512] = "";
    for (int i = 0; i < 800; i++, w.now += 50) { // 40 s
        struct mesh_effect f;
        b.seq++;
        mesh_heard(w.m, BYTES("b"), &b, w.now, 1);
        mesh_tick(w.m, w.now);
        while (mesh_effect(w.m, &f))
            if (f.kind == MESH_SYNC)
                (void)snprintf(out + strlen(out), sizeof out - strlen(out), "%d ", i * 50);
    }
    assert_string_equal(out, "200 1200 3200 7200 15200 31200 "); // rarer and rarer
    b.digest = 4321; // but news is looked at soon
    for (int i = 0; i < 5; i++, w.now += 50) {
        b.seq++;
        mesh_heard(w.m, BYTES("b"), &b, w.now, 1);
        expect(&w, i < 4 ? "" : "sync b");
    }
    struct mesh_beat own;
    mesh_beat_for(w.m, mesh_find(w.m, BYTES("b")), 1, &own);
    b.digest = own.digest; // the same
    for (int i = 0; i < 20; i++, w.now += 50) {
        b.seq++;
        mesh_heard(w.m, BYTES("b"), &b, w.now, 1);
        expect(&w, "");
    }
    world_fini(&w);
}

// ---- silence ----

static void silence_of_two(void **state)
{
    struct world w;
    struct mesh_effect f;
    (void)state;
    world_init(&w);
    (void)put(&w, "b", 9, 1);
    beat(&w, "b", 9, 1);
    forget(&w);
    int64_t start = w.now;
    static const struct {
        int64_t at;
        enum mesh_state state;
    } rows[] = {{350, MESH_ALIVE}, {400, MESH_SUSPECT}, {1250, MESH_SUSPECT}, {1300, MESH_DEAD}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        tick(&w, start + rows[i].at - w.now);
        if (view(&w, "b").state != rows[i].state)
            fail_msg("after %lld ms: %s", (long long)rows[i].at,
                     mesh_state_name(view(&w, "b").state));
    }
    bool told = false;
    while (mesh_effect(w.m, &f))
        if (f.kind == MESH_STATE) {
            told = true;
            assert_int_equal(f.before, MESH_ALIVE);
            assert_int_equal(f.silence_ms, 1300);
        }
    assert_true(told);
    int beats = 0;
    for (int i = 0; i < 100; i++) { // 5 s: one a second
        tick(&w, 50);
        while (mesh_effect(w.m, &f))
            beats += f.kind == MESH_BEAT;
    }
    assert_in_range(beats, 4, 6);
    beat(&w, "b", 9, 1);
    expect(&w, "dead>alive b");
    world_fini(&w);
}

// A clock that comes late was asleep: what it did not hear meanwhile is nobody's fault.
static void own_pause(void **state)
{
    static const struct {
        int64_t pause;
        enum mesh_state state;
    } rows[] = {{400, MESH_ALIVE}, {900, MESH_ALIVE}, {60000, MESH_ALIVE}};
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct world w;
        world_init(&w);
        (void)put(&w, "b", 9, 1);
        beat(&w, "b", 9, 1);
        tick(&w, 300);
        w.now += rows[i].pause;
        mesh_tick(w.m, w.now);
        assert_int_equal(view(&w, "b").state, rows[i].state);
        assert_non_null(view(&w, "b").sheet); // nor is its sheet's time over
        struct bytes raw;
        assert_true(mesh_raw(w.m, mesh_find(w.m, BYTES("b")), &raw));
        tick(&w, 40);
        assert_int_equal(view(&w, "b").state, MESH_ALIVE);
        tick(&w, 60);
        assert_int_equal(view(&w, "b").state, MESH_SUSPECT); // awake time counts
        world_fini(&w);
    }
}

// A deadline of the driver's may be told after a pause before the tick is.
static void own_pause_unreachable(void **state)
{
    struct world w;
    (void)state;
    world_init(&w);
    (void)put(&w, "b", 9, 1);
    beat(&w, "b", 9, 1);
    tick(&w, 300);
    w.now += 60000;
    mesh_unreachable(w.m, mesh_find(w.m, BYTES("b")), w.now);
    assert_int_equal(view(&w, "b").state, MESH_ALIVE);
    mesh_tick(w.m, w.now);
    assert_int_equal(view(&w, "b").state, MESH_SUSPECT); // three beats were missed before the pause
    tick(&w, 500);
    assert_int_equal(view(&w, "b").state, MESH_SUSPECT);
    world_fini(&w);
}

static void unreachable(void **state)
{
    struct world w;
    (void)state;
    world_init(&w);
    (void)put(&w, "b", 9, 1);
    beat(&w, "b", 9, 1);
    forget(&w);
    struct mesh_node *b = mesh_find(w.m, BYTES("b"));
    mesh_unreachable(w.m, mesh_self_node(w.m), w.now);
    mesh_unreachable(w.m, b, w.now);
    assert_int_equal(view(&w, "b").state, MESH_ALIVE); // it was heard just now
    tick(&w, 150);
    assert_int_equal(view(&w, "b").state, MESH_SUSPECT); // three beats, not eight
    tick(&w, 1100);
    assert_int_equal(view(&w, "b").state, MESH_SUSPECT); // death takes its time all the same
    tick(&w, 50);
    assert_int_equal(view(&w, "b").state, MESH_DEAD);
    world_fini(&w);
}

static void sheet_ends(void **state)
{
    struct world w;
    struct bytes raw;
    (void)state;
    world_init(&w);
    uint64_t none = digest(&w);
    (void)put(&w, "b", 9, 1);
    uint64_t with_b = digest(&w);
    assert_true(none != with_b);
    struct mesh_node *b = mesh_find(w.m, BYTES("b"));
    for (int i = 0; i < 300; i++, tick(&w, 50)) // 15 s, renewed
        beat(&w, "b", 9, 1);
    assert_true(mesh_raw(w.m, b, &raw));
    for (int i = 0; i < 199; i++, tick(&w, 50)) { // it has a newer one that does not come
        beat(&w, "b", 9, 2);
        assert_true(mesh_raw(w.m, b, &raw));
    }
    tick(&w, 200);
    assert_false(mesh_raw(w.m, b, &raw));
    assert_non_null(view(&w, "b").sheet); // its addresses are still good
    assert_true(digest(&w) == none);
    tick(&w, 9000);
    forget(&w);
    assert_int_equal(put(&w, "b", 9, 1), 0); // kept by another: not renewed by that
    assert_false(mesh_raw(w.m, b, &raw));
    beat(&w, "b", 9, 1); // but by itself
    expect(&w, "dead>alive b, changed b");
    assert_true(mesh_raw(w.m, b, &raw));
    assert_true(digest(&w) == with_b);
    world_fini(&w);
}

// votes: how many of the others say that they do not hear x.
static void confirmation(void **state)
{
    static const struct {
        int others, votes;
        bool dead;
    } rows[] = {{0, 0, true}, {1, 0, false}, {1, 1, true}, {2, 0, false}, {2, 1, false},
                {2, 2, true}, {3, 1, false}, {3, 2, true}, {5, 2, false}, {5, 3, true}};
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct world w;
        char name[16];
        world_init(&w);
        (void)put(&w, "x", 9, 1);
        beat(&w, "x", 9, 1);
        int64_t dead_at = -1, start = w.now;
        for (; w.now < start + 6000 && dead_at < 0; tick(&w, 50)) {
            for (int k = 0; k < rows[i].others; k++) {
                (void)snprintf(name, sizeof name, "n%d", k);
                struct mesh_beat b = {.boot = 9, .seq = ++w.seq, .suspect_count = 1};
                b.suspects[0] = mesh_name_hash(k < rows[i].votes ? BYTES("x") : BYTES("y"));
                mesh_heard(w.m, bytes_of(name), &b, w.now, 1);
            }
            if (view(&w, "x").state == MESH_DEAD)
                dead_at = w.now - start;
        }
        if (rows[i].dead ? dead_at > 1400 : dead_at < 5200)
            fail_msg("%d others, %d votes: dead after %lld ms", rows[i].others, rows[i].votes,
                     (long long)dead_at);
        world_fini(&w);
    }
}

static void votes_end(void **state)
{
    struct world w;
    (void)state;
    world_init(&w);
    (void)put(&w, "x", 9, 1);
    beat(&w, "x", 9, 1);
    struct mesh_beat b = {.boot = 9, .suspect_count = 1, .suspects = {mesh_name_hash(BYTES("x"))}};
    int64_t start = w.now;
    for (; w.now < start + 1200; tick(&w, 50)) {
        b.seq++;
        mesh_heard(w.m, BYTES("n"), &b, w.now, 1);
    }
    b.suspect_count = 0; // it hears x again
    for (; w.now < start + 3000; tick(&w, 50)) {
        b.seq++;
        mesh_heard(w.m, BYTES("n"), &b, w.now, 1);
        assert_int_equal(view(&w, "x").state, MESH_SUSPECT);
    }
    world_fini(&w);
}

// More than a beat can list: in parts, and a receiver adds them up.
static void many_suspects(void **state)
{
    struct world w, peer;
    char name[16];
    struct mesh_beat b;
    (void)state;
    world_init(&w);
    world_init(&peer);
    for (int i = 0; i < 100; i++) {
        (void)snprintf(name, sizeof name, "n%d", i);
        (void)put(&w, name, 9, 1);
        (void)put(&peer, name, 9, 1);
    }
    (void)put(&w, "z", 9, 1);
    for (int i = 0; i < 40; i++) { // w suspects all hundred; peer hears w as "z"
        beat(&w, "z", 9, 1);
        tick(&w, 50);
        forget(&w);
        mesh_beat_for(w.m, mesh_find(w.m, BYTES("z")), 1, &b);
        mesh_heard(peer.m, BYTES("z"), &b, peer.now, 1);
        tick(&peer, 50);
        forget(&peer);
        if (i == 20)
            assert_int_equal(b.suspect_count, MESH_SUSPECTS_MAX);
    }
    assert_int_equal(mesh_count(peer.m, MESH_DEAD), 100);
    world_fini(&w);
    world_fini(&peer);
}

// ---- replicas ----

static void replicas(void **state)
{
    // Of the model: W(arm), U(nloaded), F(ailed); of the node: D(raining), S(ilent).
    static const struct {
        const char *nodes; // b, c, d, e
        uint32_t min;
        const char *own;
    } rows[] = {{"", 0, "U"},     {"", 1, "U"},     {"", 1, "W"},     {"", 1, "F"},
                {"", 1, "D"},     {"UUUU", 5, "U"}, {"DDDD", 1, "U"}, {"FFFF", 1, "U"},
                {"SSSS", 1, "U"}, {"UUUU", 1, "U"}, {"UUUU", 2, "U"}, {"WWWW", 3, "U"}};
    static const char *const wants[] = {"0", "1", "0", "0", "0", "1", "1", "1", "1", "?", "?", "?"};
    int chosen = 0, total = 0;
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        for (int k = 0; k < 40; k++) { // other names of the model: another order
            struct world w;
            char model[32];
            world_init(&w);
            (void)snprintf(model, sizeof model, "model%d", k);
            struct mesh_model x = {.name = model,
                                   .kind = "chat",
                                   .state = strchr("UD", rows[i].own[0]) ? "UNLOADED"
                                            : rows[i].own[0] == 'F'      ? "FAILED"
                                                                         : "WARM",
                                   .fits = true,
                                   .replicas_min = rows[i].min};
            struct mesh_sheet s = plain("a", 1, 1);
            s.models = &x;
            s.model_count = 1;
            s.draining = rows[i].own[0] == 'D';
            (void)mesh_self(w.m, &s, w.now, NULL);
            for (const char *p = rows[i].nodes; *p != '\0'; p++) {
                char name[2] = {(char)('b' + (p - rows[i].nodes)), '\0'};
                s.node = name;
                s.boot = 9;
                s.seq = 1;
                s.draining = *p == 'D';
                x.state = *p == 'F' ? "FAILED" : *p == 'W' ? "WARM" : "UNLOADED";
                (void)mesh_put(w.m, &s, BYTES("x"), w.now, NULL);
            }
            int told = 0;
            for (int t = 0; t < 118; t++) { // 5.9 s: told once after 1 s, again 5 s later
                for (const char *p = rows[i].nodes; *p != '\0'; p++) {
                    char name[2] = {(char)('b' + (p - rows[i].nodes)), '\0'};
                    struct mesh_beat b = {
                        .boot = 9, .seq = ++w.seq, .sheet = 1, .draining = *p == 'D'};
                    if (*p != 'S')
                        mesh_heard(w.m, bytes_of(name), &b, w.now, 1);
                }
                tick(&w, 50);
                struct mesh_effect f;
                while (mesh_effect(w.m, &f)) {
                    told += f.kind == MESH_WANT;
                    if (f.kind == MESH_WANT)
                        assert_string_equal(f.model, model);
                }
                assert_true(told == 0 || w.now >= 101000);
            }
            if (wants[i][0] != '?' && told != wants[i][0] - '0')
                fail_msg("row %zu: told %d times", i, told);
            if (wants[i][0] == '?') {
                total += (int)rows[i].min;
                chosen += told;
            }
            world_fini(&w);
        }
    // One of five, two of five, three of five: over many models that is 40 x 6 / 5.
    assert_int_equal(total, 240);
    assert_in_range(chosen, 36, 60);
}

// ---- names ----

static void resolve(void **state)
{
    static const struct {
        const char *name, *kind, *found; // NODE/KIND/ADDRESS@STEP ...
    } rows[] = {
        {"own", NULL, "a/chat/10.0.0.1:7@local"},
        {"best", NULL, "a/chat/10.0.0.1:7@local"}, // an alias
        {"own", "model", "a/chat/10.0.0.1:7@local"},
        {"own", "chat", "a/chat/10.0.0.1:7@local"},
        {"own", "embedding", ""},
        {"own", "queue", ""},
        {"jobs", NULL, "a/queue/10.0.0.1:7@local"},
        {"web", "service", "b/service/http://b/@context"},
        {"web", NULL, "b/service/http://b/@context"}, // c has it too, of another class
        {"far", NULL, "c/chat/10.0.0.1:7@type c/engine/10.0.0.1:7@type"},
        {"far", "chat", "c/chat/10.0.0.1:7@type"},
        {"far", "engine", "c/engine/10.0.0.1:7@type"},
        {"prod", NULL, ""}, // of another environment
        {"silent", NULL, ""}, // not heard
        {"nothing", NULL, ""},
    };
    static const char *const best[] = {"best", NULL};
    struct mesh_model own = {.name = "own", .kind = "chat", .aliases = best, .state = "WARM"};
    struct mesh_record jobs = {"queue", "jobs", NULL}, web_b = {"service", "web", "http://b/"};
    struct mesh_record c[] = {{"service", "web", "http://c/"}, {"engine", "far", NULL}};
    struct mesh_model far = {.name = "far", .kind = "chat", .state = "WARM"};
    struct mesh_model prod = {.name = "prod", .kind = "chat", .state = "WARM"};
    struct mesh_model silent = {.name = "silent", .kind = "chat", .state = "WARM"};
    struct world w;
    (void)state;
    world_init(&w);
    struct mesh_sheet s = plain("a", 1, 1);
    s.models = &own, s.model_count = 1, s.records = &jobs, s.record_count = 1;
    (void)mesh_self(w.m, &s, w.now, NULL);
    s = plain("b", 9, 1);
    s.records = &web_b, s.record_count = 1;
    (void)mesh_put(w.m, &s, BYTES("x"), w.now, NULL);
    s = plain("c", 9, 1);
    s.context = "dev.other.c";
    s.records = c, s.record_count = 2, s.models = &far, s.model_count = 1;
    (void)mesh_put(w.m, &s, BYTES("x"), w.now, NULL);
    s = plain("d", 9, 1);
    s.context = "prod.x.d";
    s.models = &prod, s.model_count = 1;
    (void)mesh_put(w.m, &s, BYTES("x"), w.now, NULL);
    s = plain("e", 9, 1);
    s.models = &silent, s.model_count = 1;
    (void)mesh_put(w.m, &s, BYTES("x"), w.now, NULL);
    for (const char *p = "bcd"; *p != '\0'; p++)
        beat(&w, (char[]){*p, '\0'}, 9, 1);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct buf out, text;
        struct err e = {0};
        AUTO(json_doc) doc = NULL;
        buf_init(&out, 65536);
        buf_init(&text, 4096);
        int rc = mesh_resolve(w.m, bytes_of(rows[i].name), rows[i].kind, w.now, &out, &e);
        assert_int_equal(rc, rows[i].found[0] != '\0' ? 0 : E_NOTFOUND);
        assert_int_equal(json_parse(&doc, buf_bytes(&out), 0, &e), 0);
        const struct json *found = json_get(json_root(doc), "found");
        for (size_t k = 0; k < json_len(found); k++) {
            const struct json *x = json_at(found, k);
            struct bytes step = json_str(json_get(x, "step"));
            assert_true(bytes_starts(step, BYTES("registry.")));
            struct bytes rest = bytes_from(step, 9);
            step = bytes_cut(&rest, '.');
            (void)buf_fmt(&text, "%s%s/%s/%s@%.*s", k > 0 ? " " : "",
                          json_cstr(json_get(x, "node"), "?"), json_cstr(json_get(x, "kind"), "?"),
                          json_cstr(json_get(x, "address"), "?"), BYTES_FMT(step));
        }
        if (strcmp(buf_cstr(&text), rows[i].found) != 0)
            fail_msg("row %zu: %s", i, buf_cstr(&text));
        assert_int_equal(json_len(json_get(json_root(doc), "steps")), 3);
        buf_fini(&out);
        buf_fini(&text);
    }
    struct buf out;
    struct err e = {0};
    buf_init(&out, 65536);
    assert_int_equal(mesh_resolve(w.m, BYTES("web"), "service", w.now, &out, &e), 0);
    assert_string_equal(
        buf_cstr(&out),
        "{\"name\":\"web\",\"found\":[{\"node\":\"b\",\"kind\":\"service\",\"address\":\"http://b/"
        "\",\"step\":\"registry.context.cluster\"}],\"steps\":[{\"step\":"
        "\"registry.local.hostname\",\"looked\":\"records of a\",\"result\":\"0 found among 2\"},"
        "{\"step\":\"registry.context.cluster\",\"looked\":\"records of living nodes of dev.x\","
        "\"result\":\"1 found among 1\"},{\"step\":\"registry.type.default\",\"looked\":\"records "
        "of living nodes of dev of kind service\",\"result\":\"not needed\"}]}");
    buf_fini(&out);
    buf_init(&out, 16);
    assert_int_equal(mesh_resolve(w.m, BYTES("web"), NULL, w.now, &out, &e), E_TOOBIG);
    buf_fini(&out);
    world_fini(&w);
}

// ---- memory that runs out at each point in turn ----

static int live(struct label_names *names)
{
    struct mesh_args args = {.self = "a", .context = "dev.x.a", .boot = 1, .names = names};
    static const char *const aliases[] = {"m1", "m2", NULL};
    struct mesh_model x = {.name = "m", .kind = "chat", .aliases = aliases, .state = "WARM"};
    struct mesh_record r = {"queue", "q", "addr"};
    struct mesh_sheet s = plain("b", 9, 1);
    struct mesh *m = mesh_new(&args);
    int bad = m == NULL;
    s.roles = aliases;
    s.models = &x, s.model_count = 1, s.records = &r, s.record_count = 1;
    for (uint64_t seq = 1; m != NULL && seq < 3; seq++) {
        struct mesh_effect f;
        struct mesh_beat b = {.boot = 9, .seq = seq, .sheet = seq};
        struct buf out;
        buf_init(&out, 4096);
        s.seq = seq;
        x.context = seq; // differs
        bad += mesh_self(m, &s, 1000, NULL) < 0;
        bad += mesh_self_raw(m, BYTES("signed"), NULL) < 0;
        bad += mesh_put(m, &s, BYTES("signed"), 1000, NULL) < 0;
        mesh_heard(m, BYTES("c"), &b, 1000, 1);
        bad += mesh_find(m, BYTES("c")) == NULL;
        mesh_tick(m, 1000);
        while (mesh_effect(m, &f)) {
        }
        bad += mesh_resolve(m, BYTES("m1"), NULL, 1000, &out, NULL) < 0;
        buf_fini(&out);
    }
    mesh_free(m);
    return bad;
}

static void torture(void **state)
{
    struct label_names *names = label_names_new();
    (void)state;
    uint64_t before = mem_live();
    int clean = 0;
    for (uint64_t n = 1; clean == 0; n++) {
        mem_fail_after(n, 0);
        int bad = live(names);
        mem_fail_after(0, 0);
        assert_int_equal(mem_live(), before);
        clean = bad == 0 && n > 50;
        assert_true(n < 2000);
    }
    label_names_free(names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(own_sheet),
        cmocka_unit_test(own_sheet_refused),
        cmocka_unit_test(loads_take_turns),
        cmocka_unit_test(numbers),
        cmocka_unit_test(goodbye),
        cmocka_unit_test(removal),
        cmocka_unit_test(forgotten),
        cmocka_unit_test(full),
        cmocka_unit_test(graves),
        cmocka_unit_test(summaries),
        cmocka_unit_test(unknown_sender),
        cmocka_unit_test(lives),
        cmocka_unit_test(back_from_the_dead),
        cmocka_unit_test(late_beats),
        cmocka_unit_test(round_trips),
        cmocka_unit_test(loads),
        cmocka_unit_test(tables_that_differ),
        cmocka_unit_test(silence_of_two),
        cmocka_unit_test(own_pause),
        cmocka_unit_test(unreachable),
        cmocka_unit_test(own_pause_unreachable),
        cmocka_unit_test(sheet_ends),
        cmocka_unit_test(confirmation),
        cmocka_unit_test(votes_end),
        cmocka_unit_test(many_suspects),
        cmocka_unit_test(replicas),
        cmocka_unit_test(resolve),
        cmocka_unit_test(torture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
