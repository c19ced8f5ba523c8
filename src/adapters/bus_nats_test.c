// bus_nats_test.c: the bus over a real nats-server: the kit with one server that is killed and
// comes back, three of which one is killed, accounts, TLS, no JetStream. SPDX-License-Identifier:
// Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "adapters/bus_kit_rig.h"
#include "adapters/bus_server_rig.h"

static const char *program;

static void nats_new(struct server *s, const char *more)
{
    char text[4096];
    server_folder(s);
    if (!s->port)
        s->port = server_free_port();
    (void)snprintf(text, sizeof text, "listen: \"127.0.0.1:%u\"\n%s\n", s->port, more);
    server_write(s->conf, text);
    s->argv[0] = program;
    s->argv[1] = "-c";
    s->argv[2] = s->conf;
    server_start(s);
}

static const char *js(struct server *s, char *text, size_t n)
{
    (void)snprintf(text, n, "jetstream { store_dir: \"%s\", max_mem: 64M, max_file: 1G }",
                   s->folder);
    return text;
}

static struct server one;

static void args_one(struct kit *k, struct bus_args *a)
{
    (void)k;
    static char url[64];
    (void)snprintf(url, sizeof url, "nats://127.0.0.1:%u", one.port);
    a->url = url;
}
static void kill_one(struct kit *k)
{
    (void)k;
    server_kill(&one);
}
static void start_one(struct kit *k)
{
    (void)k;
    server_start(&one);
}

static struct kit nats = {.open = bus_nats_open,
                          .args = args_one,
                          .kill = kill_one,
                          .start = start_one,
                          .shared = true,
                          .slow = true,
                          .late = true};

static int start(void **state)
{
    char text[256], conf[1024];
    (void)state;
    server_folder(&one);
    one.port = server_free_port();
    (void)snprintf(conf, sizeof conf, "listen: \"127.0.0.1:%u\"\n%s\n", one.port,
                   js(&one, text, sizeof text));
    server_write(one.conf, conf);
    one.argv[0] = program;
    one.argv[1] = "-c";
    one.argv[2] = one.conf;
    server_start(&one);
    return 0;
}
static int stop(void **state)
{
    (void)state;
    server_remove(&one);
    return 0;
}

// ---- three servers ------------------------------------------------------------------------------

static struct server three[3];

static void args_three(struct kit *k, struct bus_args *a)
{
    (void)k;
    static char url[160];
    (void)snprintf(url, sizeof url, "nats://127.0.0.1:%u,127.0.0.1:%u", three[0].port,
                   three[1].port); // the third is learnt
    a->url = url;
}

static int start_three(void **state)
{
    char text[1024];
    for (int i = 0; i < 3; i++) {
        three[i].port = server_free_port();
        three[i].cluster_port = server_free_port();
    }
    for (int i = 0; i < 3; i++) {
        server_folder(&three[i]);
        (void)snprintf(text, sizeof text,
                       "listen: \"127.0.0.1:%u\"\nserver_name: n%d\n"
                       "jetstream { store_dir: \"%s\", max_mem: 64M, max_file: 1G }\n"
                       "cluster { name: c, listen: \"127.0.0.1:%u\", routes: ["
                       "\"nats://127.0.0.1:%u\", \"nats://127.0.0.1:%u\", \"nats://127.0.0.1:%u\"]"
                       " }\n",
                       three[i].port, i, three[i].folder, three[i].cluster_port,
                       three[0].cluster_port, three[1].cluster_port, three[2].cluster_port);
        server_write(three[i].conf, text);
        three[i].argv[0] = program;
        three[i].argv[1] = "-c";
        three[i].argv[2] = three[i].conf;
        server_start(&three[i]);
    }
    struct kit *k = *state;
    k->kill = NULL;
    return kit_setup_with(k, NULL);
}

static int stop_three(void **state)
{
    int rc = kit_teardown(state);
    for (int i = 0; i < 3; i++)
        server_remove(&three[i]);
    return rc;
}

// A member dies while messages are stored and read: what was acknowledged is there, in order.
static void test_member_killed(void **state)
{
    struct kit *k = *state;
    struct ear work = {.ack = true}, all = {0};
    const char *subject = "dev.organs.cluster.x";
    for (int i = 0; i < 20; i++)
        (void)kit_store(k, subject, kit_text(k, "%d", i));
    ear_open(&work, k, k->other,
             (struct bus_sub_args){
                 .pattern = subject, .from = BUS_START, .durable = "c", .ack_wait_ms = 1000});
    kit_until(k, distinct(&work) == 20);
    unsigned lost = k->lost, back = k->back;
    server_kill(&three[0]); // where both sides are
    kit_until(k, k->lost >= lost + 2 && k->back >= back + 2);
    for (int i = 20; i < 40; i++)
        (void)kit_store(k, subject, kit_text(k, "%d", i));
    kit_until(k, distinct(&work) == 40);
    ear_open(&all, k, k->bus, (struct bus_sub_args){.pattern = subject, .from = BUS_START});
    kit_until(k, all.count >= 40);
    for (int i = 0; i < 40; i++)
        assert_string_equal(all.got[i].data, kit_text(k, "%d", i));
    ear_fini(&work);
    ear_fini(&all);
}

static struct kit cluster = {
    .open = bus_nats_open, .args = args_three, .shared = true, .slow = true};

// ---- one side alone -----------------------------------------------------------------------------

struct alone {
    struct server server;
    struct kit kit;
    char why[ERR_TEXT_MAX];
    unsigned failed, connected;
    char url[96];
};

static void alone_status(void *user, enum bus_status status, const struct err *e)
{
    struct alone *x = user;
    x->connected += status == BUS_CONNECTED;
    x->kit.closed += status == BUS_CLOSED;
    if (status == BUS_CONNECTING && e) {
        x->failed++;
        (void)snprintf(x->why, sizeof x->why, "%s", e->text);
    }
}

static void alone_up(struct alone *x, const char *more)
{
    memset(x, 0, sizeof *x);
    nats_new(&x->server, more);
    (void)snprintf(x->url, sizeof x->url, "nats://127.0.0.1:%u", x->server.port);
    assert_int_equal(loop_new(&x->kit.loop, &(struct loop_args){.linger_ms = 100}, NULL), 0);
    x->kit.loop->running = true;
    x->kit.tick = (struct timer){.fn = kit_tick, .user = &x->kit};
    kit_tick(&x->kit.tick);
}

static struct bus *alone_open(struct alone *x, struct bus_args a)
{
    struct bus *b = NULL;
    struct err e = {0};
    a.timers = loop_timers(x->kit.loop);
    a.net = loop_net(x->kit.loop);
    a.environment = "dev";
    a.on_status = alone_status;
    a.user = x;
    a.retry_ms = 20;
    a.url = a.url ? a.url : x->url;
    if (bus_nats_open(&a, &b, &e))
        fail_msg("%s", e.text);
    return b;
}

static void alone_close(struct alone *x, struct bus *b)
{
    unsigned before = x->kit.closed;
    bus_close(b);
    kit_until(&x->kit, x->kit.closed == before + 1);
}

static void alone_down(struct alone *x)
{
    timer_stop(loop_timers(x->kit.loop), &x->kit.tick);
    x->kit.loop->running = false;
    loop_free(x->kit.loop);
    server_remove(&x->server);
    assert_int_equal(mem_live(), 0);
}

static void test_accounts(void **state)
{
    (void)state;
    struct alone x;
    alone_up(&x, "authorization { user: \"plexus\", password: \"s3cret\" }");
    struct bus *b = alone_open(&x, (struct bus_args){.user_name = "plexus", .password = "wrong"});
    kit_until(&x.kit, x.failed >= 2);
    assert_non_null(strstr(x.why, "Authorization Violation"));
    assert_null(strstr(x.why, "wrong"));
    struct bus_msg m = {.subject = BYTES("dev.a.b.c")};
    struct wish w;
    struct err e = {0};
    assert_int_equal(bus_publish(b, &m, &e), E_UNAVAILABLE);
    assert_int_equal(bus_request(b, &m, wish_new(&w, 100), &e), E_UNAVAILABLE);
    assert_int_equal(bus_flush(b, wish_new(&w, 100), &e), E_UNAVAILABLE);
    alone_close(&x, b);
    b = alone_open(&x, (struct bus_args){.user_name = "plexus", .password = "s3cret"});
    kit_until(&x.kit, x.connected == 1);
    alone_close(&x, b);
    char url[96];
    (void)snprintf(url, sizeof url, "nats://plexus:s3cret@127.0.0.1:%u", x.server.port);
    b = alone_open(&x, (struct bus_args){.url = url});
    kit_until(&x.kit, x.connected == 2);
    alone_close(&x, b);
    alone_down(&x);
}

// No JetStream: live messages work, stored ones say so in time.
static void test_no_store(void **state)
{
    (void)state;
    struct alone x;
    alone_up(&x, "");
    struct bus *b = alone_open(&x, (struct bus_args){.source = "/a"});
    kit_until(&x.kit, x.connected);
    struct ear r = {0};
    ear_open(&r, &x.kit, b, (struct bus_sub_args){.pattern = "dev.a.>"});
    struct bus_msg m = {.subject = BYTES("dev.a.b.c"), .data = BYTES("x")};
    assert_int_equal(bus_publish(b, &m, NULL), 0);
    struct wish w;
    assert_int_equal(bus_store(b, &m, wish_new(&w, 300), NULL), 0);
    kit_until(&x.kit, w.done && r.count == 1);
    assert_int_equal(w.status, E_TIMEOUT);
    assert_non_null(strstr(w.text, "JetStream"));
    ear_fini(&r);
    alone_close(&x, b);
    alone_down(&x);
}

// TLS after the server's first word.
static void test_tls(void **state)
{
    (void)state;
    struct alone x;
    char more[512], folder[] = "/tmp/bus_tls.XXXXXX", command[1024], ca[96];
    assert_non_null(mkdtemp(folder));
    (void)snprintf(command, sizeof command,
                   "cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 "
                   "-nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=nats -addext "
                   "subjectAltName=IP:127.0.0.1 >/dev/null 2>&1",
                   folder);
    assert_int_equal(system(command), 0);
    (void)snprintf(more, sizeof more,
                   "tls { cert_file: \"%s/cert.pem\", key_file: \"%s/key.pem\" }", folder, folder);
    (void)snprintf(ca, sizeof ca, "%s/cert.pem", folder);
    alone_up(&x, more);
    struct net_tls *tls = NULL;
    struct err e = {0};
    if (net_tls_new(&tls, &(struct net_tls_args){.ca_file = ca}, &e))
        fail_msg("%s", e.text);
    struct bus *b = alone_open(&x, (struct bus_args){.tls = tls});
    kit_until(&x.kit, x.connected);
    struct ear r = {0};
    ear_open(&r, &x.kit, b, (struct bus_sub_args){.pattern = "dev.a.>"});
    struct bus_msg m = {.subject = BYTES("dev.a.b.c"), .data = BYTES("x")};
    assert_int_equal(bus_publish(b, &m, NULL), 0);
    kit_until(&x.kit, r.count == 1);
    ear_fini(&r);
    alone_close(&x, b);
    // Without TLS, and with a certificate that nobody vouches for.
    b = alone_open(&x, (struct bus_args){.source = "/a"});
    kit_until(&x.kit, x.failed);
    assert_non_null(strstr(x.why, "asks for TLS"));
    alone_close(&x, b);
    struct net_tls *other = NULL;
    assert_int_equal(net_tls_new(&other, &(struct net_tls_args){.server = false}, &e), 0);
    x.failed = 0;
    b = alone_open(&x, (struct bus_args){.tls = other});
    kit_until(&x.kit, x.failed);
    assert_int_equal(x.connected, 1);
    alone_close(&x, b);
    net_tls_free(tls);
    net_tls_free(other);
    alone_down(&x);
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    (void)!system(command);
}

// Another server: who listens goes on there.
static void test_server_moves(void **state)
{
    (void)state;
    struct alone x;
    struct server other = {0};
    struct bus_stats st;
    char url[96], place[32];
    struct err e = {0};
    alone_up(&x, "");
    nats_new(&other, "");
    (void)snprintf(url, sizeof url, "nats://127.0.0.1:%u", other.port);
    (void)snprintf(place, sizeof place, ":%u ", other.port);
    struct bus *b = alone_open(&x, (struct bus_args){.source = "/a"});
    kit_until(&x.kit, x.connected);
    struct ear r = {0};
    ear_open(&r, &x.kit, b, (struct bus_sub_args){.pattern = "dev.a.>"});
    assert_int_equal(bus_server(b, "tls://127.0.0.1:1", NULL, &e), E_INVALID);
    assert_int_equal(bus_server(b, "127.0.0.1:1", NULL, &e), E_INVALID);
    assert_int_equal(bus_server(b, NULL, NULL, &e), 0); // the same: nothing ends
    bus_stats(b, &st);
    assert_int_equal(st.lost, 0);
    assert_int_equal(st.status, BUS_CONNECTED);
    if (bus_server(b, url, NULL, &e))
        fail_msg("%s", e.text);
    bus_stats(b, &st);
    assert_int_equal(st.lost, 1);
    kit_until(&x.kit, (bus_stats(b, &st), st.status == BUS_CONNECTED));
    assert_non_null(strstr(st.server, place));
    server_kill(&x.server); // not there any more
    struct bus_msg m = {.subject = BYTES("dev.a.b.c"), .data = BYTES("x")};
    assert_int_equal(bus_publish(b, &m, NULL), 0);
    kit_until(&x.kit, r.count == 1);
    ear_fini(&r);
    alone_close(&x, b);
    server_remove(&other);
    alone_down(&x);
}

static void test_urls(void **state)
{
    (void)state;
    static const char *const bad[] = {"http://127.0.0.1:1", "nats://", "nats://:x", "tls://a:4222"};
    struct bus *b;
    struct alone x = {.failed = 0};
    assert_int_equal(loop_new(&x.kit.loop, NULL, NULL), 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err e = {0};
        struct bus_args a = {.timers = loop_timers(x.kit.loop),
                             .net = loop_net(x.kit.loop),
                             .environment = "dev",
                             .url = bad[i]};
        assert_int_equal(bus_nats_open(&a, &b, &e), E_INVALID);
        assert_true(e.n > 0);
    }
    loop_free(x.kit.loop);
    assert_int_equal(mem_live(), 0);
}

int main(void)
{
    const struct CMUnitTest alone[] = {
        cmocka_unit_test(test_urls),         cmocka_unit_test(test_accounts),
        cmocka_unit_test(test_no_store),     cmocka_unit_test(test_tls),
        cmocka_unit_test(test_server_moves),
    };
    const struct CMUnitTest tests[] = {KIT_TESTS(&nats), KIT_TEST(kit_restart, &nats)};
    const struct CMUnitTest tests3[] = {
        {"test_member_killed", test_member_killed, start_three, stop_three, &cluster}};
    const char *found = server_path("nats-server");
    if (!found)
        return 77;
    program = strdup(found);
    int rc = cmocka_run_group_tests_name("NATS", tests, start, stop);
    rc |= cmocka_run_group_tests_name("NATS alone", alone, NULL, NULL);
    return rc | cmocka_run_group_tests_name("three NATS", tests3, NULL, NULL);
}
