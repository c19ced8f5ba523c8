// bus_redis_test.c: the bus over a real redis-server: the kit with a server that is killed and
// comes back, a password, TLS. SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "adapters/bus_kit_rig.h"
#include "adapters/bus_server_rig.h"

static const char *program;
static struct server one;

static void redis_new(struct server *s, const char *more)
{
    char text[4096];
    server_folder(s);
    s->port = server_free_port();
    (void)snprintf(text, sizeof text,
                   "bind 127.0.0.1\ndir %s\nappendonly yes\nappendfsync always\nsave \"\"\n",
                   s->folder);
    size_t n = strlen(text);
    if (*more)
        (void)snprintf(text + n, sizeof text - n, more, s->port);
    else
        (void)snprintf(text + n, sizeof text - n, "port %u\n", s->port);
    server_write(s->conf, text);
    s->argv[0] = program;
    s->argv[1] = s->conf;
    server_start(s);
}

static void args_one(struct kit *k, struct bus_args *a)
{
    (void)k;
    static char url[64];
    (void)snprintf(url, sizeof url, "redis://127.0.0.1:%u/2", one.port);
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
static struct kit redis = {.open = bus_redis_open,
                           .args = args_one,
                           .kill = kill_one,
                           .start = start_one,
                           .shared = true,
                           .slow = true};

static int start(void **state)
{
    (void)state;
    redis_new(&one, "");
    return 0;
}
static int stop(void **state)
{
    (void)state;
    server_remove(&one);
    return 0;
}

// ---- one side alone -----------------------------------------------------------------------------

struct alone {
    struct server server;
    struct kit kit;
    char why[ERR_TEXT_MAX];
    unsigned failed, connected;
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
    redis_new(&x->server, more);
    assert_int_equal(loop_new(&x->kit.loop, &(struct loop_args){.linger_ms = 100}, NULL), 0);
    x->kit.loop->running = true;
    x->kit.tick = (struct timer){.fn = kit_tick, .user = &x->kit};
    kit_tick(&x->kit.tick);
}

static struct bus *alone_open(struct alone *x, const char *scheme, struct bus_args a)
{
    struct bus *b = NULL;
    struct err e = {0};
    char url[96];
    (void)snprintf(url, sizeof url, "%s127.0.0.1:%u", scheme, x->server.port);
    a.timers = loop_timers(x->kit.loop);
    a.net = loop_net(x->kit.loop);
    a.environment = "dev";
    a.on_status = alone_status;
    a.user = x;
    a.retry_ms = 20;
    a.url = url;
    if (bus_redis_open(&a, &b, &e))
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

static void test_password(void **state)
{
    (void)state;
    struct alone x;
    alone_up(&x, "port %u\nrequirepass s3cret\n");
    static const char *const bad[] = {NULL, "wrong"};
    for (int i = 0; i < 2; i++) {
        x.failed = 0;
        struct bus *b = alone_open(&x, "redis://", (struct bus_args){.password = bad[i]});
        kit_until(&x.kit, x.failed >= 2);
        assert_non_null(strstr(x.why, i ? "WRONGPASS" : "NOAUTH"));
        struct bus_msg m = {.subject = BYTES("dev.a.b.c")};
        struct wish w;
        assert_int_equal(bus_publish(b, &m, NULL), E_UNAVAILABLE);
        assert_int_equal(bus_request(b, &m, wish_new(&w, 100), NULL), E_UNAVAILABLE);
        assert_int_equal(bus_flush(b, wish_new(&w, 100), NULL), E_UNAVAILABLE);
        assert_int_equal(bus_store(b, &m, wish_new(&w, 50), NULL), 0);
        kit_until(&x.kit, w.done);
        assert_int_equal(w.status, E_TIMEOUT);
        alone_close(&x, b);
    }
    struct bus *b = alone_open(&x, "redis://", (struct bus_args){.password = "s3cret"});
    kit_until(&x.kit, x.connected == 1);
    alone_close(&x, b);
    b = alone_open(&x, "redis://default:s3cret@", (struct bus_args){.source = "/a"});
    kit_until(&x.kit, x.connected == 2);
    alone_close(&x, b);
    alone_down(&x);
}

static void test_tls(void **state)
{
    (void)state;
    struct alone x;
    char more[512], folder[] = "/tmp/bus_tls.XXXXXX", command[1024], ca[96];
    assert_non_null(mkdtemp(folder));
    (void)snprintf(command, sizeof command,
                   "cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 "
                   "-nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=redis -addext "
                   "subjectAltName=IP:127.0.0.1 >/dev/null 2>&1",
                   folder);
    assert_int_equal(system(command), 0);
    (void)snprintf(more, sizeof more,
                   "port 0\ntls-port %%u\ntls-auth-clients no\ntls-cert-file %s/cert.pem\n"
                   "tls-key-file %s/key.pem\ntls-ca-cert-file %s/cert.pem\n",
                   folder, folder, folder);
    (void)snprintf(ca, sizeof ca, "%s/cert.pem", folder);
    alone_up(&x, more);
    struct net_tls *tls = NULL;
    struct err e = {0};
    if (net_tls_new(&tls, &(struct net_tls_args){.ca_file = ca}, &e))
        fail_msg("%s", e.text);
    struct bus *b = alone_open(&x, "rediss://", (struct bus_args){.tls = tls});
    kit_until(&x.kit, x.connected);
    struct ear r = {.ack = true};
    ear_open(&r, &x.kit, b,
             (struct bus_sub_args){.pattern = "dev.a.>", .from = BUS_NEW, .durable = "d"});
    struct bus_msg m = {.subject = BYTES("dev.a.b.c"), .data = BYTES("x")};
    struct wish w;
    assert_int_equal(bus_store(b, &m, wish_new(&w, 10000), NULL), 0);
    kit_until(&x.kit, r.count == 1 && w.done);
    ear_fini(&r);
    alone_close(&x, b);
    x.failed = 0;
    b = alone_open(&x, "redis://", (struct bus_args){.source = "/plain"});
    kit_until(&x.kit, x.failed);
    alone_close(&x, b);
    net_tls_free(tls);
    alone_down(&x);
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    (void)!system(command);
}

static void test_urls(void **state)
{
    (void)state;
    static const char *const bad[] = {"nats://127.0.0.1:1", "redis://", "redis://:x",
                                      "rediss://a:6379", "redis://a:6379/x"};
    struct bus *b;
    struct alone x = {.failed = 0};
    assert_int_equal(loop_new(&x.kit.loop, NULL, NULL), 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err e = {0};
        struct bus_args a = {.timers = loop_timers(x.kit.loop),
                             .net = loop_net(x.kit.loop),
                             .environment = "dev",
                             .url = bad[i]};
        assert_int_equal(bus_redis_open(&a, &b, &e), E_INVALID);
        assert_true(e.n > 0);
    }
    loop_free(x.kit.loop);
    assert_int_equal(mem_live(), 0);
}

int main(void)
{
    const struct CMUnitTest alone[] = {
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_password),
        cmocka_unit_test(test_tls),
    };
    const struct CMUnitTest tests[] = {KIT_TESTS(&redis), KIT_TEST(kit_restart, &redis)};
    const char *found = server_path("redis-server");
    if (!found)
        return 77;
    program = strdup(found);
    int rc = cmocka_run_group_tests_name("Redis", tests, start, stop);
    return rc | cmocka_run_group_tests_name("Redis alone", alone, NULL, NULL);
}
