// caps_ops_test.c: evaluation, promotion, and what goes to a registry that is sometimes away: kept,
// in order, once, after restarts too. SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "toolbox/caps_rig.h"

static struct world w;

#define CASES                                                                                      \
    ",\"cases\":[{\"name\":\"two\",\"input\":{\"text\":\"a "                                       \
    "b\"},\"output\":{\"n\":2}},{\"input\":{"                                                      \
    "\"text\":\"x\"},\"contains\":\"n\",\"schema\":{\"required\":[\"n\"]}}]"

// ---- a registry that does what the test says ----------------------------------------------------

struct flaky {
    struct capreg base; // first
    struct timers *timers;
    int status; // of the next ones
    char folder[80];
    char seen[1024]; // names that it was given, in order
    size_t puts;
    struct timer timer;
    struct capreg_req *req;
    const struct manifest_pack *pack;
    bool freed;
};

static void flaky_end(struct timer *t)
{
    struct flaky *f = t->user;
    struct capreg_req *r = f->req;
    struct err e = {0};
    struct manifest *m = NULL;
    int rc = f->status;
    f->req = NULL;
    if (rc)
        (void)err_set(&e, rc, "the registry is away");
    else
        rc = capreg_folder_put(f->folder, f->pack, &e);
    if (!manifest_open(&m, f->pack->manifest, 0, NULL) && !f->status)
        (void)snprintf(f->seen + strlen(f->seen), sizeof f->seen - strlen(f->seen), "%.*s ",
                       BYTES_FMT(m->parts.name));
    manifest_free(m);
    r->done(r, rc, NULL, rc ? &e : NULL);
}

static int flaky_put(struct capreg *g, const struct manifest_pack *pack, struct capreg_req *r,
                     struct err *e)
{
    struct flaky *f = (struct flaky *)(void *)g;
    (void)e;
    f->puts++;
    f->req = r;
    f->pack = pack;
    f->timer = (struct timer){.fn = flaky_end, .user = f};
    return timer_start(f->timers, &f->timer, 5);
}

static void flaky_cancel(struct capreg *g, struct capreg_req *r)
{
    struct flaky *f = (struct flaky *)(void *)g;
    struct err e = {0};
    timer_stop(f->timers, &f->timer);
    f->req = NULL;
    r->done(r, err_set(&e, E_CANCELLED, "cancelled"), NULL, &e);
}

static void flaky_free(struct capreg *g)
{
    ((struct flaky *)(void *)g)->freed = true;
}

static void flaky_init(struct flaky *f)
{
    static const struct capreg_ops ops = {"flaky", NULL, flaky_put, flaky_cancel, flaky_free};
    *f = (struct flaky){.base = {&ops}, .timers = &w.clock.base};
    (void)snprintf(f->folder, sizeof f->folder, "%s/elsewhere", w.folder);
}

static void open_with(struct flaky *f)
{
    w.args.registry = f ? &f->base : NULL;
    world_open(&w);
}

static int publish(const char *name)
{
    struct err e = {0};
    int rc = caps_publish(w.caps, bytes_of(name), world_req(&w), &e);
    (void)snprintf(w.why, sizeof w.why, "%.599s", e.text);
    return rc;
}

static size_t waiting(void)
{
    struct caps_stats s;
    caps_stats(w.caps, &s);
    return s.waiting;
}

// ---- evaluation ---------------------------------------------------------------------------------

static void evaluation(void **state)
{
    struct err e = {0};
    (void)state;
    world_init(&w);
    world_open(&w);
    world_add(&w, "count", 1, CASES);
    world_add(&w, "bare", 1, "");
    assert_int_equal(caps_eval(w.caps, BYTES("bare"), world_req(&w), &e), E_INVALID);
    assert_int_equal(caps_eval(w.caps, BYTES("nothing"), world_req(&w), &e), E_NOTFOUND);
    w.box.output = BYTES("{\"n\":2}");
    assert_int_equal(caps_eval(w.caps, BYTES("count"), world_req(&w), &e), 0);
    assert_int_equal(w.done, 0);
    rig_pass(&w.clock, 1000);
    assert_int_equal(w.done, 1);
    assert_int_equal(w.status, 0);
    assert_non_null(strstr(w.res, "\"passed\":2,\"failed\":0"));
    assert_non_null(strstr(w.res, "\"sandbox\":\"scripted\""));
    assert_string_equal(w.box.pool, ""); // from scratch, each
    w.box.output = BYTES("{\"n\":3}");
    assert_int_equal(caps_eval(w.caps, BYTES("count"), world_req(&w), &e), 0);
    rig_pass(&w.clock, 1000);
    assert_non_null(strstr(w.res, "\"passed\":1,\"failed\":1"));
    assert_non_null(strstr(w.res, "expected {\\\"n\\\":2}, got {\\\"n\\\":3}"));
    w.box.status = E_MANIFEST;
    w.box.kind = SANDBOX_TRAP;
    w.box.text = "unreachable";
    assert_int_equal(caps_eval(w.caps, BYTES("count"), world_req(&w), &e), 0);
    rig_pass(&w.clock, 1000);
    assert_non_null(strstr(w.res, "\"passed\":0,\"failed\":2"));
    // Cancelled, and when the node stops.
    w.box.status = 0;
    w.box.holds = true;
    assert_int_equal(caps_eval(w.caps, BYTES("count"), world_req(&w), &e), 0);
    caps_cancel(w.caps, &w.req);
    assert_int_equal(w.status, E_CANCELLED);
    assert_int_equal(caps_eval(w.caps, BYTES("count"), world_req(&w), &e), 0);
    rig_pass(&w.clock, 10);
    caps_cancel(w.caps, &w.req);
    rig_pass(&w.clock, 10);
    assert_int_equal(w.done, 1);
    assert_int_equal(w.status, E_CANCELLED);
    assert_int_equal(caps_eval(w.caps, BYTES("count"), world_req(&w), &e), 0);
    rig_pass(&w.clock, 10);
    world_close(&w);
    assert_int_equal(w.done, 1);
    assert_int_equal(w.status, E_CANCELLED);
    world_fini(&w);
}

static void kinds_of_cases(void **state)
{
    static const struct {
        const char *one, *output, *error;
        bool pass;
    } rows[] = {
        {"\"output\":{\"n\":1.0}", "{\"n\":1}", NULL, true},
        {"\"output\":{\"n\":1}", "{\"n\":1,\"m\":0}", NULL, false},
        {"\"text\":\"{\\\"n\\\":1}\"", "{\"n\":1}", NULL, true},
        {"\"text\":\"{\\\"n\\\":1}\"", "{\"n\": 1}", NULL, false},
        {"\"contains\":\"n\"", "{\"n\":1}", NULL, true},
        {"\"contains\":\"q\"", "{\"n\":1}", NULL, false},
        {"\"schema\":{\"properties\":{\"n\":{\"maximum\":1}}}", "{\"n\":1}", NULL, true},
        {"\"schema\":{\"properties\":{\"n\":{\"maximum\":1}}}", "{\"n\":2}", NULL, false},
        {"\"error\":true", "{\"n\":1}", NULL, false},
        {"\"error\":true", NULL, "no", true},
        {"\"contains\":\"n\"", NULL, "no", false},
    };
    struct err e = {0};
    (void)state;
    world_init(&w);
    world_open(&w);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char more[300];
        (void)snprintf(more, sizeof more, ",\"cases\":[{\"input\":{\"text\":\"\"},%s}]",
                       rows[i].one);
        world_add(&w, "count", (int)i + 1, more);
        w.box.output = bytes_of(rows[i].output);
        w.box.status = rows[i].error ? E_MANIFEST : 0;
        w.box.kind = SANDBOX_GUEST_ERROR;
        w.box.text = rows[i].error;
        (void)snprintf(more, sizeof more, "urn:plexus:cap:text:count:v%zu", i + 1);
        assert_int_equal(caps_eval(w.caps, bytes_of(more), world_req(&w), &e), 0);
        rig_pass(&w.clock, 100);
        if (!strstr(w.res, rows[i].pass ? "\"failed\":0" : "\"failed\":1"))
            fail_msg("row %zu: %s", i, w.res);
    }
    world_fini(&w);
}

// ---- promotion ----------------------------------------------------------------------------------

static void promotion(void **state)
{
    struct flaky f;
    struct err e = {0};
    struct manifest_pack got;
    struct crystal *first = NULL, *second = NULL;
    struct arena *a = arena_new((size_t)8 << 20);
    (void)state;
    world_init(&w);
    flaky_init(&f);
    open_with(&f);
    world_add(&w, "count", 1, CASES);
    world_add(&w, "other", 1, CASES);
    w.box.output = BYTES("{\"n\":3}");
    assert_int_equal(caps_promote(w.caps, BYTES("count"), world_req(&w), &e), 0);
    rig_pass(&w.clock, 1000);
    assert_int_equal(w.status, E_MANIFEST); // what failed is not promoted
    assert_non_null(strstr(w.why, "1 of its 2 cases failed"));
    assert_int_equal(f.puts, 0);
    w.box.output = BYTES("{\"n\":2}");
    f.status = E_REFUSED;
    assert_int_equal(caps_promote(w.caps, BYTES("count"), world_req(&w), &e), 0);
    rig_pass(&w.clock, 900);
    assert_int_equal(w.done, 1);
    assert_int_equal(w.status, 0);
    assert_non_null(
        strstr(w.res, "\"published\":false,\"waiting\":1,\"why\":\"the registry is away"));
    assert_int_equal(caps_promote(w.caps, BYTES("other"), world_req(&w), &e), 0);
    rig_pass(&w.clock, 900);
    assert_int_equal(waiting(), 2);
    world_close(&w); // the node restarts; the registry is back
    f.status = 0;
    open_with(&f);
    rig_pass(&w.clock, 1000);
    assert_int_equal(waiting(), 0);
    assert_string_equal(f.seen, "count other ");
    // What the registry has can be checked by anybody, and is a chain.
    assert_int_equal(
        capreg_folder_get(f.folder, BYTES("urn:plexus:cap:text:count:v1"), a, &got, &e), 0);
    assert_int_equal(crystal_open(&first, got.promotion, &e), 0);
    assert_int_equal(first->cases, 2);
    assert_true(bytes_is(first->node, "theia"));
    assert_int_equal(
        capreg_folder_get(f.folder, BYTES("urn:plexus:cap:text:other:v1"), a, &got, &e), 0);
    assert_int_equal(crystal_open(&second, got.promotion, &e), 0);
    assert_true(bytes_is(second->previous, first->id));
    assert_true(bytes_eq(second->key, first->key)); // the node's own, kept
    crystal_free(first);
    crystal_free(second);
    arena_free(a);
    world_fini(&w);
}

static void flows(void **state)
{
    struct flaky f;
    struct err e = {0};
    struct manifest_pack got;
    struct arena *a = arena_new((size_t)8 << 20);
    struct val *evidence = rig_val("{\"runs\":[{\"status\":\"completed\"}]}");
    struct caps_flow flow = {.urn = BYTES("urn:plexus:flow:me:greet:v1"),
                             .document = BYTES("document:\n  dsl: 1.0.3\n"),
                             .evidence = evidence};
    (void)state;
    world_init(&w);
    flaky_init(&f);
    open_with(&f);
    assert_int_equal(caps_promote_flow(w.caps, &flow, world_req(&w), &e), E_INVALID); // no cases
    flow.cases = 1;
    flow.urn = BYTES("greet");
    assert_int_equal(caps_promote_flow(w.caps, &flow, world_req(&w), &e), E_INVALID);
    flow.urn = BYTES("urn:plexus:flow:me:greet:v1");
    assert_int_equal(caps_promote_flow(w.caps, &flow, world_req(&w), &e), 0);
    rig_pass(&w.clock, 100);
    assert_int_equal(w.status, 0);
    assert_non_null(strstr(w.res, "\"published\":true"));
    assert_int_equal(capreg_folder_get(f.folder, flow.urn, a, &got, &e), 0);
    assert_true(bytes_find(got.manifest, BYTES("dsl: 1.0.3")) > 0 && !got.code.n);
    // Another document under the same name is refused, for good.
    flow.document = BYTES("document:\n  dsl: 1.0.2\n");
    assert_int_equal(caps_promote_flow(w.caps, &flow, world_req(&w), &e), 0);
    rig_pass(&w.clock, 100);
    assert_non_null(strstr(w.res, "for good"));
    // A promotion that is about something else does not speak for it.
    got.manifest = BYTES("{\"document\":\"x\",\"plexus_flow\":1,\"urn\":\"urn:plexus:flow:me:"
                         "greet:v2\"}");
    assert_int_equal(capreg_folder_put(f.folder, &got, &e), E_SECURITY);
    got.promotion = BYTES_NONE;
    assert_int_equal(capreg_folder_put(f.folder, &got, &e), E_MANIFEST);
    val_unref(evidence);
    arena_free(a);
    world_fini(&w);
}

// ---- what waits ---------------------------------------------------------------------------------

static void order(void **state)
{
    struct flaky f;
    (void)state;
    world_init(&w);
    flaky_init(&f);
    f.status = E_TIMEOUT;
    open_with(&f);
    static const char *const names[] = {"c", "a", "b"};
    for (size_t i = 0; i < 3; i++)
        world_add(&w, names[i], 1, "");
    assert_int_equal(publish("nothing"), E_NOTFOUND);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(publish(names[i]), 0);
        rig_pass(&w.clock, 10);
        assert_int_equal(w.done, 1);
        assert_non_null(strstr(w.res, "\"published\":false"));
    }
    // Tried again, each time later, the first first.
    size_t before = f.puts;
    rig_pass(&w.clock, 60000);
    assert_in_range(f.puts - before, 3, 8);
    world_close(&w);
    open_with(&f);
    assert_int_equal(waiting(), 3);
    rig_pass(&w.clock, 100);
    f.status = 0;
    rig_pass(&w.clock, 400000);
    assert_string_equal(f.seen, "c a b ");
    assert_int_equal(waiting(), 0);
    // One that the registry will never take does not hold the others up.
    f.seen[0] = 0;
    f.status = E_CONFLICT;
    assert_int_equal(publish("a"), 0);
    rig_pass(&w.clock, 100);
    assert_non_null(strstr(w.res, "\"published\":false,\"waiting\":0"));
    f.status = 0;
    assert_int_equal(publish("b"), 0);
    rig_pass(&w.clock, 100);
    assert_non_null(strstr(w.res, "\"published\":true,\"waiting\":0"));
    assert_string_equal(f.seen, "b ");
    char path[200];
    (void)snprintf(path, sizeof path, "%s/outbox/refused/%020d.why", w.folder, 4);
    assert_int_equal(access(path, F_OK), 0);
    // The node stops in the middle: it goes out after the restart, and is known there.
    f.seen[0] = 0;
    assert_int_equal(publish("c"), 0);
    rig_pass(&w.clock, 1);
    world_close(&w);
    assert_int_equal(w.status, E_CANCELLED);
    open_with(&f);
    rig_pass(&w.clock, 100);
    assert_string_equal(f.seen, "c ");
    assert_int_equal(waiting(), 0);
    world_fini(&w);
}

static void without_registry(void **state)
{
    struct err e = {0};
    struct flaky f;
    (void)state;
    world_init(&w);
    world_open(&w);
    world_add(&w, "count", 1, "");
    assert_int_equal(
        caps_fetch(w.caps, BYTES("urn:plexus:cap:a:b:v1"), BYTES_NONE, world_req(&w), &e),
        E_UNAVAILABLE);
    assert_int_equal(publish("count"), 0);
    rig_pass(&w.clock, 10);
    assert_non_null(strstr(w.res, "no registry is named"));
    assert_int_equal(publish("count"), 0);
    caps_cancel(w.caps, &w.req);
    assert_int_equal(w.status, E_CANCELLED);
    world_close(&w);
    flaky_init(&f);
    open_with(&f);
    rig_pass(&w.clock, 100);
    assert_string_equal(f.seen, "count count ");
    world_fini(&w);
}

// From one node's folder to another node.
static void fetch(void **state)
{
    struct err e = {0};
    struct capreg *g;
    char url[100], path[200];
    (void)state;
    world_init(&w);
    (void)snprintf(url, sizeof url, "file://%s/reg", w.folder);
    struct capreg_args args = {.url = bytes_of(url), .timers = &w.clock.base};
    assert_int_equal(capreg_new(&g, &args, &e), 0);
    w.args.registry = g;
    world_open(&w);
    world_add(&w, "count", 1, "");
    assert_int_equal(publish("count"), 0);
    rig_pass(&w.clock, 100);
    assert_non_null(strstr(w.res, "\"published\":true"));
    assert_int_equal(caps_remove(w.caps, BYTES("count"), &e), 0);
    assert_int_equal(
        caps_fetch(w.caps, BYTES("urn:plexus:cap:text:count:v2"), BYTES_NONE, world_req(&w), &e),
        0);
    rig_pass(&w.clock, 100);
    assert_int_equal(w.status, E_NOTFOUND);
    assert_int_equal(caps_fetch(w.caps, BYTES("urn:plexus:cap:text:count:v1"), BYTES("words"),
                                world_req(&w), &e),
                     0);
    rig_pass(&w.clock, 100);
    assert_int_equal(w.status, 0);
    assert_non_null(strstr(w.res, "\"name\":\"words\""));
    assert_int_equal(
        caps_fetch(w.caps, BYTES("urn:plexus:cap:text:count:v1"), BYTES_NONE, world_req(&w), &e),
        0);
    caps_cancel(w.caps, &w.req);
    assert_int_equal(w.status, E_CANCELLED);
    // Somebody changes the code in the registry.
    struct manifest *m = rig_manifest(RIG_DRAFT(""));
    (void)snprintf(path, sizeof path, "%s/reg/blobs/%s", w.folder, m->code_hash);
    manifest_free(m);
    assert_int_equal(file_write_atomic(path, BYTES("\0asm\2\0\0\0"), 0600, &e), 0);
    assert_int_equal(caps_remove(w.caps, BYTES("words"), &e), 0);
    assert_int_equal(
        caps_fetch(w.caps, BYTES("urn:plexus:cap:text:count:v1"), BYTES_NONE, world_req(&w), &e),
        0);
    rig_pass(&w.clock, 100);
    assert_int_equal(w.status, E_IO);
    assert_non_null(strstr(w.why, "damaged"));
    world_fini(&w);
}

static void open_folder(void)
{
    struct err e = {0};
    char url[100];
    (void)snprintf(url, sizeof url, "file://%s/reg", w.folder);
    struct capreg_args args = {.url = bytes_of(url), .timers = &w.clock.base};
    assert_int_equal(capreg_new(&w.args.registry, &args, &e), 0);
    world_open(&w);
}

static int fetched(const char *urn, bool flow)
{
    struct err e = {0};
    int rc = flow ? caps_fetch_flow(w.caps, bytes_of(urn), world_req(&w), &e)
                  : caps_fetch(w.caps, bytes_of(urn), BYTES_NONE, world_req(&w), &e);
    assert_int_equal(rc, 0);
    rig_pass(&w.clock, 100);
    return w.status;
}

static void fetch_flow(void **state)
{
    static const char *const others[] = {"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", NULL};
    struct err e = {0};
    struct val *evidence = rig_val("{\"cases\":[]}");
    struct caps_flow flow = {.urn = BYTES("urn:plexus:flow:me:greet:v1"),
                             .document = BYTES("document: {name: greet}"),
                             .evidence = evidence,
                             .cases = 1};
    (void)state;
    world_init(&w);
    open_folder();
    world_add(&w, "count", 1, "");
    assert_int_equal(publish("count"), 0);
    rig_pass(&w.clock, 100);
    assert_int_equal(caps_promote_flow(w.caps, &flow, world_req(&w), &e), 0);
    rig_pass(&w.clock, 100);
    assert_non_null(strstr(w.res, "\"published\":true"));
    assert_int_equal(fetched("urn:plexus:flow:me:greet:v1", true), 0);
    assert_string_equal(w.res, "{\"urn\":\"urn:plexus:flow:me:greet:v1\",\"document\":\"document: "
                               "{name: greet}\"}");
    assert_int_equal(fetched("urn:plexus:flow:me:greet:v2", true), E_NOTFOUND);
    // Neither is taken for the other.
    assert_int_equal(fetched("urn:plexus:flow:me:greet:v1", false), E_INVALID);
    assert_non_null(strstr(w.why, "plexus flow add"));
    assert_int_equal(fetched("urn:plexus:cap:text:count:v1", true), E_INVALID);
    assert_non_null(strstr(w.why, "plexus tool add"));
    world_close(&w);
    w.args.publishers = others;
    open_folder();
    assert_int_equal(fetched("urn:plexus:flow:me:greet:v1", true), E_SECURITY);
    assert_non_null(strstr(w.why, "is not taken here"));
    w.args.publishers = NULL;
    val_unref(evidence);
    world_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(evaluation), cmocka_unit_test(kinds_of_cases),
        cmocka_unit_test(promotion),  cmocka_unit_test(flows),
        cmocka_unit_test(order),      cmocka_unit_test(without_registry),
        cmocka_unit_test(fetch),      cmocka_unit_test(fetch_flow),
    };
    return cmocka_run_group_tests_name("caps ops", tests, NULL, NULL);
}
