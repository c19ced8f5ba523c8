// emit_test.c: emit: to the bus, once for each id, and to this node's own listeners.
// SPDX-License-Identifier: Apache-2.0
#include "acts/acts_rig.h"
#include "adapters/bus_priv.h"

static struct bus *bus;
static struct bus_sub *sub;
static bool closed, connected;
static unsigned heard, own;
static char data[4096], type[128], id[128], own_data[4096];

static void on_status(void *user, enum bus_status status, const struct err *e)
{
    (void)user;
    (void)e;
    connected = connected || status == BUS_CONNECTED;
    closed = closed || status == BUS_CLOSED;
}

static void on_msg(struct bus_sub *s, const struct bus_msg *m)
{
    (void)s;
    heard++;
    (void)snprintf(data, sizeof data, "%.*s", BYTES_FMT(m->data));
    (void)snprintf(type, sizeof type, "%.*s", BYTES_FMT(m->type));
    (void)snprintf(id, sizeof id, "%.*s", BYTES_FMT(m->id));
}

static void on_emit(void *user, struct bytes event)
{
    (void)user;
    own++;
    (void)snprintf(own_data, sizeof own_data, "%.*s", BYTES_FMT(event));
}

static void with_emit(struct rig *r, struct acts_args *args)
{
    (void)r;
    args->emit = on_emit;
}

static int refuse(void *user, const struct bus_crossing *x, struct err *e)
{
    (void)user;
    return bytes_is(x->label, "secret") ? err_set(e, E_SECURITY, "secret must not leave") : 0;
}

#define EVENT(n, rest)                                                                             \
    "{\"specversion\":\"1.0\",\"id\":\"run-1-" n                                                   \
    "\",\"source\":\"/flows/a/b\",\"type\":\"com.x.made\"" rest "}"

static void next(struct rig *r, unsigned round)
{
    struct err e = {0};
    if (round == 0) { // no bus yet: listeners here only
        (void)rig_do(r, "emit", EVENT("1", ",\"data\":{\"a\":1}"), 0);
        return;
    }
    if (round == 1) {
        struct bus_args args = {.timers = loop_timers(r->loop),
                                .environment = "dev",
                                .source = "/node/n1",
                                .may = refuse,
                                .on_status = on_status};
        assert_int_equal(bus_memory_open(&args, &bus, &e), 0);
        struct bus_sub_args s = {.pattern = "dev.organs.flow.event", .on_msg = on_msg};
        assert_int_equal(bus_subscribe(bus, &s, &sub, &e), 0);
        acts_set_bus(r->acts, bus);
        (void)rig_do(r, "emit", EVENT("2", ",\"data\":{\"a\":1},\"tenant\":\"t1\""), 0);
        return;
    }
    if (round == 2) { // the same again, as after a crash
        (void)rig_do(r, "emit", EVENT("2", ",\"data\":{\"a\":1},\"tenant\":\"t1\""), 0);
        return;
    }
    if (round == 3) {
        (void)rig_do(r, "emit", "{\"specversion\":\"1.0\",\"id\":\"x\",\"type\":\"t\"}", 0);
        (void)rig_do(r, "emit", EVENT("3", ",\"time\":\"yesterday\""), 0);
        r->label = "secret";
        (void)rig_do(r, "emit", EVENT("4", ""), 0);
        r->label = NULL;
        struct one *o = rig_do(r, "emit", EVENT("5", ""), 0);
        act_cancel(r->acts, &o->req);
        return;
    }
    acts_set_bus(r->acts, NULL);
    bus_close(bus);
    rig_done(r);
}

static void test_emit(void **state)
{
    (void)state;
    static struct rig r;
    r.change = with_emit;
    rig_run(&r, next);
    gave(&r.ones[0], EVENT("1", ",\"data\":{\"a\":1}"));
    gave(&r.ones[1], EVENT("2", ",\"data\":{\"a\":1},\"tenant\":\"t1\""));
    gave(&r.ones[2], EVENT("2", ",\"data\":{\"a\":1},\"tenant\":\"t1\""));
    failed(&r.ones[3], "validation", 400, true, "source");
    failed(&r.ones[4], "validation", 400, true, "time");
    failed(&r.ones[5], "authorization", 403, true, "must not leave");
    assert_int_equal(r.ones[6].status, E_CANCELLED);
    assert_true(heard <= 2 && heard >= 1); // id 2 once; 5 may have gone before it was cancelled
    assert_int_equal(own, 3);
    assert_string_equal(type, "com.x.made");
    AUTO(val) sent = rig_val(data);
    AUTO(val) here = rig_val(own_data);
    assert_string_equal(val_text(val_get_cstr(here, "id"), ""), "run-1-2");
    assert_string_equal(val_text(val_get_cstr(here, "tenant"), ""), "t1");
    assert_string_equal(val_text(val_get_cstr(sent, "type"), ""), "com.x.made");
    assert_true(connected && closed);
    val_unref(steal(&sent));
    val_unref(steal(&here));
    rig_fini(&r);
}

static int tests(void)
{
    const struct CMUnitTest all[] = {cmocka_unit_test(test_emit)};
    return cmocka_run_group_tests_name("emit", all, NULL, NULL);
}

int main(int argc, char **argv)
{
    return rig_main(argc, argv, tests);
}
