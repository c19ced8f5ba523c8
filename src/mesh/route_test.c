// route_test.c: where a request goes, as a table: nodes, what is wanted, where to.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "mesh/mesh.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define TEXT 512

// ---- a small language ----
// Nodes: "NAME key=value ...; NAME ...", each with model m. Keys: env, state, kind, alias, ctx,
// slots, active, waiting, load, eta, tier, fits, clr (of the model), nclr (of the node), role, min,
// max, rtt, and the flags drain, silent, dead, left, fail3 (three requests failed). Wants: "MODEL
// key=value ...": kind, ctx, label, role, prefix, not, and the flag nocloud; "here": warm, cold,
// loading, busy, secret, big, cloud, edge, tried.

struct world {
    struct mesh *m;
    struct label_names *names;
    int64_t now;
    uint64_t seq;
};

static const char *value(const char *words, const char *key, char out[TEXT])
{
    size_t n = strlen(key);
    for (const char *p = words; (p = strstr(p, key)) != NULL; p++) {
        bool start = p == words || p[-1] == ' ';
        if (start && (p[n] == '=' || p[n] == ' ' || p[n] == '\0')) {
            (void)snprintf(out, TEXT, "%s", p[n] == '=' ? p + n + 1 : "");
            out[strcspn(out, " ")] = '\0';
            return out;
        }
    }
    return NULL;
}

static bool flag(const char *words, const char *key)
{
    char out[TEXT];
    return value(words, key, out) != NULL;
}

static int64_t num(const char *words, const char *key, int64_t fallback)
{
    char out[TEXT];
    return value(words, key, out) != NULL ? atoll(out) : fallback;
}

static struct label label(struct world *w, const char *words, const char *key, const char *fallback)
{
    char out[TEXT];
    struct label l = {0};
    const char *text = value(words, key, out) != NULL ? out : fallback;
    assert_int_equal(label_parse(w->names, bytes_of(text), &l, NULL), 0);
    return l;
}

static void drain(struct world *w)
{
    struct mesh_effect f;
    while (mesh_effect(w->m, &f)) {
    }
}

static void beat(struct world *w, const char *name, const char *words)
{
    int64_t rtt = num(words, "rtt", 0);
    struct mesh_beat b = {.boot = 1,
                          .seq = ++w->seq,
                          .sheet = 1,
                          .draining = flag(words, "drain"),
                          .sent_us = 5,
                          .echo_us = rtt != 0 ? 1000000 - (uint64_t)rtt : 0};
    mesh_heard(w->m, bytes_of(name), &b, w->now, 1000000);
}

static void add_node(struct world *w, const char *words)
{
    char name[2] = {words[0], '\0'}, context[TEXT + 8];
    char env[TEXT], state[TEXT], kind[TEXT], alias[TEXT], tier[TEXT], role[TEXT];
    (void)snprintf(context, sizeof context, "%s.x.%s",
                   value(words, "env", env) != NULL ? env : "dev", name);
    const char *aliases[] = {value(words, "alias", alias), NULL};
    const char *roles[] = {value(words, "role", role), NULL};
    const char *tier_name = value(words, "tier", tier);
    struct mesh_model x = {.name = "m",
                           .kind = value(words, "kind", kind) != NULL ? kind : "chat",
                           .state = value(words, "state", state) != NULL ? state : "WARM",
                           .tier = tier_name,
                           .aliases = aliases,
                           .context = (uint64_t)num(words, "ctx", 0),
                           .slots = (uint32_t)num(words, "slots", 4),
                           .active = (uint32_t)num(words, "active", 0),
                           .waiting = (uint32_t)num(words, "waiting", 0),
                           .load_ms = num(words, "load", -1),
                           .eta_ms = num(words, "eta", -1),
                           .fits = num(words, "fits", 1) != 0,
                           .replicas_min = (uint32_t)num(words, "min", 0),
                           .replicas_max = (uint32_t)num(words, "max", 0),
                           .clearance = label(w, words, "clr", "restricted:*")};
    struct mesh_sheet s = {.node = name,
                           .context = context,
                           .version = "1",
                           .profile = "server",
                           .boot = 1,
                           .seq = 1,
                           .ttl_ms = 60000,
                           .roles = roles,
                           .clearance = label(w, words, "nclr", "restricted:*"),
                           .models = &x,
                           .model_count = 1};
    if (strcmp(name, "a") == 0) {
        assert_int_equal(mesh_self(w->m, &s, w->now, NULL), 1);
        return;
    }
    assert_int_equal(mesh_put(w->m, &s, BYTES("raw"), w->now, NULL), 1);
    if (!flag(words, "silent"))
        beat(w, name, words);
    if (flag(words, "left")) {
        s.seq = 2;
        s.leaving = true;
        assert_int_equal(mesh_put(w->m, &s, BYTES("raw"), w->now, NULL), 1);
    }
    struct mesh_node *n = mesh_find(w->m, bytes_of(name));
    for (int i = 0; flag(words, "fail3") && i < 3; i++) {
        mesh_sent(w->m, n);
        mesh_outcome(w->m, n, false, w->now);
    }
    drain(w);
}

// Calls for each node's words.
static void each_node(struct world *w, const char *nodes, void (*f)(struct world *, const char *))
{
    char text[2 * TEXT];
    (void)snprintf(text, sizeof text, "%s", nodes);
    for (char *p = text, *next; p != NULL && *p != '\0'; p = next) {
        next = strchr(p, ';');
        if (next != NULL) {
            *next++ = '\0';
            next += strspn(next, " ");
        }
        f(w, p);
    }
}

static void beat_again(struct world *w, const char *words)
{
    char name[2] = {words[0], '\0'};
    if (!flag(words, "dead") && !flag(words, "silent"))
        beat(w, name, words);
}

static void world_init(struct world *w, const char *nodes)
{
    memset(w, 0, sizeof *w);
    w->now = 1000;
    w->names = label_names_new();
    struct mesh_args args = {.self = "a", .context = "dev.x.a", .boot = 1, .names = w->names};
    w->m = mesh_new(&args);
    assert_non_null(w->m);
    each_node(w, nodes, add_node);
    // "dead" comes last, by the clock: all others are heard until then.
    for (int i = 0; strstr(nodes, " dead") != NULL && i < 160; i++, w->now += 40) {
        mesh_tick(w->m, w->now);
        each_node(w, nodes, beat_again);
        drain(w);
    }
    drain(w);
}

static void world_fini(struct world *w)
{
    mesh_free(w->m);
    label_names_free(w->names);
}

static const char *route(struct world *w, const char *words, char out[TEXT], struct err *e)
{
    char kind[TEXT], role[TEXT], text[TEXT];
    struct mesh_node *not[8];
    size_t not_count = 0;
    if (value(words, "not", text) != NULL)
        for (const char *p = text; *p != '\0'; p++)
            not[not_count++] = mesh_find(w->m, (struct bytes){p, 1});
    const char *here = value(words, "here", text);
    struct mesh_here h = {
        .have = here != NULL, .may = true, .fits = true, .slots = 4, .wait_ms = -1, .warm = true};
    if (here != NULL && strcmp(here, "cold") == 0)
        h.warm = false;
    if (here != NULL && strcmp(here, "loading") == 0)
        h.warm = false, h.wait_ms = 3000;
    if (here != NULL && strcmp(here, "busy") == 0)
        h.active = 4, h.waiting = 4;
    h.may = here == NULL || strcmp(here, "secret") != 0;
    h.fits = here == NULL || strcmp(here, "big") != 0;
    h.cloud = here != NULL && strcmp(here, "cloud") == 0;
    h.edge = here != NULL && strcmp(here, "edge") == 0;
    if (here != NULL && strcmp(here, "tried") == 0)
        not[not_count++] = mesh_self_node(w->m);
    struct mesh_want want = {.model = {words, strcspn(words, " ")},
                             .kind = value(words, "kind", kind),
                             .context = (uint64_t)num(words, "ctx", 0),
                             .label = label(w, words, "label", "public"),
                             .role = value(words, "role", role),
                             .prefix = (uint64_t)num(words, "prefix", 0),
                             .not = not,
                             .not_count = not_count,
                             .no_cloud = flag(words, "nocloud")};
    struct mesh_choice c;
    struct mesh_node_view v;
    int rc = mesh_route(w->m, &want, here != NULL ? &h : NULL, w->now, &c, e);
    if (rc < 0)
        return err_info(rc)->symbol;
    if (c.node == NULL)
        return "here";
    mesh_node_view(w->m, c.node, w->now, &v);
    assert_string_equal(c.model, "m");
    (void)snprintf(out, TEXT, "%s", v.name);
    return out;
}

static void choices(void **state)
{
    static const struct {
        const char *nodes, *want, *to;
        const char *text; // a part of the error's text
    } rows[] = {
        // can it
        {"", "m", "E_NOTFOUND", "no node has model m"},
        {"b", "x", "E_NOTFOUND", "no node has model x"},
        {"b", "m", "b", NULL},
        {"b alias=gpt", "gpt", "b", NULL},
        {"b kind=embedding; c", "m kind=chat", "c", NULL},
        {"b kind=embedding", "m kind=chat", "E_NOTFOUND", "b: is of another kind"},
        {"b kind=embedding", "m", "b", NULL},
        {"b ctx=2048; c ctx=8192", "m ctx=4000", "c", NULL},
        {"b ctx=2048", "m ctx=2049", "E_NOTFOUND", "too short a context"},
        {"b ctx=2048", "m ctx=2048", "b", NULL},
        {"b ctx=0", "m ctx=2048", "b", NULL},
        {"b fits=0 state=UNLOADED", "m", "E_NOTFOUND", "does not fit"},
        {"b state=FAILED", "m", "E_UNAVAILABLE", "failed there"},
        {"b state=DRAINING", "m", "E_UNAVAILABLE", "is draining"},
        {"b state=UNLOADED", "m", "b", NULL},
        // does it live
        {"b silent", "m", "E_UNAVAILABLE", "b: suspect"},
        {"b dead; c", "m", "c", NULL},
        {"b dead", "m", "E_UNAVAILABLE", "b: dead"},
        {"b left", "m", "E_NOTFOUND", NULL},
        {"b drain", "m", "E_UNAVAILABLE", "b: is draining"},
        {"b drain; c state=UNLOADED", "m", "c", NULL},
        {"b env=prod", "m", "E_NOTFOUND", "no node has model m"},
        {"b env=devil; c", "m", "c", NULL},
        {"b; c", "m not=b", "c", NULL},
        {"b; c", "m not=bc", "E_UNAVAILABLE", "was tried"},
        {"b fail3; c waiting=50", "m", "c", NULL},
        {"b fail3", "m", "E_UNAVAILABLE", "requests failed there"},
        // may it
        {"b clr=internal; c waiting=9", "m label=confidential", "c", NULL},
        {"b nclr=internal; c waiting=9", "m label=confidential", "c", NULL},
        {"b clr=internal", "m label=confidential:eng", "E_SECURITY",
         "label confidential:eng; b: model cleared for internal"},
        {"b nclr=confidential:hr", "m label=confidential:eng", "E_SECURITY",
         "b: node cleared for confidential:hr"},
        {"b clr=internal; c dead", "m label=confidential", "E_UNAVAILABLE", "c: dead"},
        {"b clr=confidential:eng", "m label=confidential:eng", "b", NULL},
        {"b role=gpu; c", "m role=gpu", "b", NULL},
        {"b; c", "m role=gpu", "E_NOTFOUND", "has not the role"},
        {"b tier=cloud", "m nocloud", "E_SECURITY", "cloud is not allowed"},
        {"b tier=cloud; c waiting=99", "m nocloud", "c", NULL},
        // what it costs
        {"b active=4; c active=3", "m", "c", NULL},
        {"b active=3 slots=4; c active=1 slots=1", "m", "b", NULL},
        {"b waiting=2 active=4; c waiting=9 active=4", "m", "b", NULL},
        {"b slots=0 active=3; c slots=0 active=9", "m", "b", NULL},
        {"b state=UNLOADED load=9000; c state=UNLOADED load=2000", "m", "c", NULL},
        {"b state=UNLOADED; c state=UNLOADED load=2000", "m", "c", NULL},
        {"b state=LOADING eta=500; c state=UNLOADED load=2000", "m", "b", NULL},
        {"b state=LOADING load=6000; c state=UNLOADED load=2000", "m", "c", NULL},
        {"b state=LOADING load=6000; c state=LOADING load=2000", "m", "c", NULL},
        {"b state=UNLOADED load=100; c waiting=9 active=4", "m", "b", NULL},
        {"b rtt=90000; c rtt=400", "m", "c", NULL},
        {"b tier=cloud; c active=4", "m", "c", NULL},
        {"b; c tier=edge", "m", "c", NULL},
        {"b; c tier=edge active=4", "m", "b", NULL},
        // here
        {"b", "m here=warm", "here", NULL},
        {"b", "m here=busy", "b", NULL},
        {"b", "m here=cold", "b", NULL},
        {"b", "m here=loading", "b", NULL},
        {"b state=UNLOADED load=9000", "m here=loading", "here", NULL},
        {"b state=UNLOADED", "m here=cold", "here", NULL},
        {"b", "m here=cloud", "b", NULL},
        {"b active=1", "m here=edge", "here", NULL},
        {"", "m here=cold", "here", NULL},
        {"", "m here=secret", "E_SECURITY", "here: label or role forbid it"},
        {"", "m here=big", "E_NOTFOUND", "here: does not fit"},
        {"", "m here=tried", "E_UNAVAILABLE", "here: was tried"},
        {"b", "m here=tried", "b", NULL},
        {"", "m here=cloud nocloud", "E_SECURITY", "here: cloud is not allowed"},
        {"b clr=public", "m here=secret label=internal", "E_SECURITY", "b: model cleared"},
        // replicas
        {"b state=UNLOADED load=1 max=1; c active=4 waiting=40 max=1", "m", "c", NULL},
        {"b state=UNLOADED load=1 max=2; c active=4 waiting=40 max=2", "m", "b", NULL},
        {"b state=UNLOADED load=1 max=1; c fail3 max=1", "m", "b", NULL},
        {"b state=UNLOADED load=1 max=1; c dead max=1", "m", "b", NULL},
        {"a max=1; b state=UNLOADED load=1 max=1", "m here=busy", "here", NULL},
        {"a max=1; b state=UNLOADED load=1 max=1", "m here=secret", "b", NULL},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct world w;
        struct err e = {0};
        char out[TEXT];
        world_init(&w, rows[i].nodes);
        const char *to = route(&w, rows[i].want, out, &e);
        if (strcmp(to, rows[i].to) != 0)
            fail_msg("row %zu, %s | %s: went to %s (%s), expected %s", i, rows[i].nodes,
                     rows[i].want, to, e.text, rows[i].to);
        if (rows[i].text != NULL && strstr(e.text, rows[i].text) == NULL)
            fail_msg("row %zu: \"%s\" does not say \"%s\"", i, e.text, rows[i].text);
        world_fini(&w);
    }
}

// Every pair of labels: a request goes where, and only where, both clearances dominate it.
static void labels(void **state)
{
    static const char *const all[] = {
        "public",         "internal",         "internal:a", "confidential",   "confidential:a",
        "confidential:b", "confidential:a,b", "restricted", "restricted:a,b", "restricted:*"};
    (void)state;
    for (size_t i = 0; i < COUNT(all); i++)
        for (size_t k = 0; k < COUNT(all); k++)
            for (size_t l = 0; l < COUNT(all); l++) {
                struct world w;
                struct err e = {0};
                char nodes[TEXT], want[TEXT], out[TEXT];
                (void)snprintf(nodes, sizeof nodes, "b clr=%s nclr=%s", all[k], all[l]);
                (void)snprintf(want, sizeof want, "m label=%s", all[i]);
                world_init(&w, nodes);
                bool may =
                    label_dominates(label(&w, nodes, "clr", ""), label(&w, want, "label", "")) &&
                    label_dominates(label(&w, nodes, "nclr", ""), label(&w, want, "label", ""));
                const char *to = route(&w, want, out, &e);
                if (strcmp(to, may ? "b" : "E_SECURITY") != 0)
                    fail_msg("%s | %s: %s", nodes, want, to);
                world_fini(&w);
            }
}

static void breaker(void **state)
{
    struct world w;
    char out[TEXT];
    struct mesh_node_view v;
    (void)state;
    world_init(&w, "b");
    struct mesh_node *b = mesh_find(w.m, BYTES("b"));
    int64_t pause = 1000;
    for (int i = 0; i < 2; i++) {
        mesh_sent(w.m, b);
        mesh_outcome(w.m, b, false, w.now);
        assert_string_equal(route(&w, "m", out, NULL), "b");
    }
    mesh_sent(w.m, b);
    mesh_outcome(w.m, b, true, w.now); // not three in a row
    for (int i = 0; i < 5; i++)
        mesh_sent(w.m, b);
    for (int i = 0; i < 3; i++)
        mesh_outcome(w.m, b, false, w.now);
    mesh_node_view(w.m, b, w.now, &v);
    assert_true(v.breaker_open);
    assert_int_equal(v.in_flight, 2);
    assert_int_equal(v.failures, 5);
    assert_int_equal(v.requests, 8);
    mesh_outcome(w.m, b, false, w.now + 500); // sent before: does not prolong it
    mesh_outcome(w.m, b, false, w.now + 500);
    for (int round = 0; round < 7; round++) {
        w.now += pause - 1;
        beat(&w, "b", "");
        assert_string_equal(route(&w, "m", out, NULL), "E_UNAVAILABLE");
        w.now += 1;
        assert_string_equal(route(&w, "m", out, NULL), "b");
        mesh_sent(w.m, b); // half open: exactly one
        assert_string_equal(route(&w, "m", out, NULL), "E_UNAVAILABLE");
        mesh_outcome(w.m, b, false, w.now);
        pause = pause * 2 < 30000 ? pause * 2 : 30000;
    }
    w.now += pause;
    beat(&w, "b", "");
    assert_string_equal(route(&w, "m", out, NULL), "b");
    mesh_sent(w.m, b);
    w.now += 59999; // nobody told its end
    beat(&w, "b", "");
    assert_string_equal(route(&w, "m", out, NULL), "E_UNAVAILABLE");
    w.now += 1;
    assert_string_equal(route(&w, "m", out, NULL), "b");
    mesh_outcome(w.m, b, true, w.now);
    mesh_node_view(w.m, b, w.now, &v);
    assert_false(v.breaker_open);
    assert_int_equal(v.in_flight, 0);
    world_fini(&w);
}

static void in_flight_counts_at_once(void **state)
{
    struct world w;
    char out[TEXT];
    int count[2] = {0};
    (void)state;
    world_init(&w, "b slots=2; c slots=2");
    for (int i = 0; i < 20; i++) {
        const char *to = route(&w, "m", out, NULL);
        count[to[0] == 'c']++;
        mesh_sent(w.m, mesh_find(w.m, bytes_of(to)));
    }
    assert_int_equal(count[0], 10);
    assert_int_equal(count[1], 10);
    world_fini(&w);
}

static void prefix_goes_where_it_was(void **state)
{
    struct world w;
    char to[TEXT], out[TEXT];
    (void)state;
    world_init(&w, "b slots=8; c slots=8; d slots=8");
    const char *first = route(&w, "m prefix=77", to, NULL);
    for (int i = 0; i < 4; i++) { // others are more idle, but not by much
        mesh_sent(w.m, mesh_find(w.m, bytes_of(first)));
        assert_string_equal(route(&w, "m prefix=77", out, NULL), first);
        assert_string_not_equal(route(&w, "m", out, NULL), first);
    }
    for (int i = 0; i < 20; i++)
        mesh_sent(w.m, mesh_find(w.m, bytes_of(first)));
    assert_string_not_equal(route(&w, "m prefix=77", out, NULL), first);
    world_fini(&w);
    world_init(&w, "b tier=edge; c active=1");
    assert_string_equal(route(&w, "m prefix=5 here=warm not=b", out, NULL), "here");
    assert_string_equal(route(&w, "m prefix=5 here=warm", out, NULL), "here"); // else b
    assert_string_equal(route(&w, "m prefix=6 here=warm", out, NULL), "b");
    assert_string_equal(route(&w, "m prefix=6 here=edge", out, NULL), "b"); // else here
    world_fini(&w);
}

static void any(void **state)
{
    static const struct {
        const char *nodes;
        bool any;
    } rows[] = {{"", false},          {"a", true},         {"b", true},
                {"b alias=m2", true}, {"b drain", false},  {"b dead", false},
                {"b left", false},    {"b silent", false}, {"b env=prod", false}};
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct world w;
        world_init(&w, rows[i].nodes);
        if (mesh_any(w.m, BYTES("m")) != rows[i].any)
            fail_msg("row %zu: %s", i, rows[i].nodes);
        assert_int_equal(mesh_any(w.m, BYTES("m2")), strstr(rows[i].nodes, "m2") != NULL);
        world_fini(&w);
    }
}

// Nothing allocates on the way of a request.
static void no_allocation(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, "b; c; d");
    uint64_t before = mem_count();
    for (int i = 0; i < 100; i++) {
        struct mesh_want want = {.model = BYTES("m"), .prefix = (uint64_t)i + 1};
        struct mesh_choice c;
        struct mesh_effect f;
        assert_int_equal(mesh_route(w.m, &want, NULL, w.now, &c, NULL), 0);
        mesh_sent(w.m, c.node);
        mesh_outcome(w.m, c.node, i % 3 != 0, w.now);
        w.now += 10;
        beat(&w, "b", "");
        mesh_tick(w.m, w.now);
        while (mesh_effect(w.m, &f)) {
            struct mesh_beat b;
            mesh_beat_for(w.m, f.node, 1, &b);
        }
    }
    assert_int_equal(mem_count(), before);
    world_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(choices),
        cmocka_unit_test(labels),
        cmocka_unit_test(breaker),
        cmocka_unit_test(in_flight_counts_at_once),
        cmocka_unit_test(prefix_goes_where_it_was),
        cmocka_unit_test(any),
        cmocka_unit_test(no_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
