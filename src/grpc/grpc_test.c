// grpc_test.c: calls that go well, that fail in each way, that are cancelled or late; connections
// that are lost, refused, asked to leave; metadata; TLS on both sides.
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/time.h"
#include "grpc/grpc.h"
#include "grpc/grpc_rig.h"
#include "loop/loop_priv.h"
#include "loop/net_mtls_rig.h"

enum { WAIT_MS = 10000 };

static struct loop *loop;
static struct h2_server server;
static struct grpc *channel;
static struct timer tick;
static uint16_t port;
static bool closed;

struct call {
    struct grpc_call c;
    struct buf got; // messages, with | between
    unsigned messages, done;
    int status;
    struct err e;
    bool cancels; // at the first message
};

static void on_tick(struct timer *t)
{
    (void)timer_start(loop_timers(loop), t, 20);
}

static void turn(void)
{
    loop->running = true;
    (void)uv_run(&loop->uv, UV_RUN_ONCE);
}

#define until(condition)                                                                           \
    do {                                                                                           \
        int64_t end_ = time_mono_ms() + WAIT_MS;                                                   \
        while (!(condition)) {                                                                     \
            if (time_mono_ms() > end_)                                                             \
                fail_msg("line %d: never came: %s", __LINE__, #condition);                         \
            turn();                                                                                \
        }                                                                                          \
    } while (0)

static void on_message(struct grpc_call *c, struct bytes m)
{
    struct call *k = c->user;
    if (k->messages++)
        (void)buf_chr(&k->got, '|');
    (void)buf_put(&k->got, m);
    if (k->cancels)
        grpc_cancel(c);
}

static void on_done(struct grpc_call *c, int status, const struct err *e)
{
    struct call *k = c->user;
    k->done++;
    k->status = status;
    if (e)
        k->e = *e;
    assert_true((status != 0) == (e != NULL));
}

static void on_closed(void *user)
{
    (void)user;
    closed = true;
}

static void up(const struct grpc_args *more)
{
    struct err e = {0};
    struct grpc_args a = more ? *more : (struct grpc_args){.retry_ms = 20};
    assert_int_equal(loop_new(&loop, &(struct loop_args){0}, &e), 0);
    tick = (struct timer){.fn = on_tick};
    on_tick(&tick);
    port = h2_listen(&server, loop_net(loop));
    a.net = loop_net(loop);
    a.timers = loop_timers(loop);
    a.addr = (struct net_addr){.host = "127.0.0.1", .port = port};
    closed = false;
    if (grpc_new(&channel, &a, &e))
        fail_msg("%s", e.text);
}

static void down(void)
{
    if (channel) {
        grpc_close(channel, on_closed, NULL);
        until(closed);
    }
    channel = NULL;
    h2_close(&server);
    until(!server.conns);
    timer_stop(loop_timers(loop), &tick);
    loop->running = false;
    loop_free(loop);
    server = (struct h2_server){.tls = NULL};
    assert_int_equal(mem_live(), 0);
}

static void begin(struct call *k, const char *method, const char *message, int64_t timeout_ms)
{
    static char paths[256][64];
    static int at;
    struct err e = {0};
    char *path = paths[at++ % 256];
    (void)snprintf(path, 64, "/x.Y/%s", method);
    buf_init(&k->got, 1 << 24);
    k->c.path = path;
    k->c.message = bytes_of(message);
    k->c.timeout_ms = timeout_ms;
    k->c.on_message = on_message;
    k->c.done = on_done;
    k->c.user = k;
    if (grpc_start(channel, &k->c, &e))
        fail_msg("%s", e.text);
    assert_int_equal(k->done, 0); // never from inside
}

static void finish(struct call *k)
{
    until(k->done);
    buf_fini(&k->got);
}

static const struct {
    const char *method, *message;
    int64_t timeout_ms;
    int status, code;
    const char *got, *why;
} rows[] = {
    {"Say", "hello", TIME_NEVER, 0, 0, "hello", NULL},
    {"Say", "", TIME_NEVER, 0, 0, "", NULL},
    {"Many", "ab", 5000, 0, 0, "ab|ab|ab", NULL},
    {"Time", "x", 1500, 0, 0, "1500m", NULL},
    {"Time", "x", 200000000, 0, 0, "200000S", NULL},
    {"Time", "x", TIME_NEVER, 0, 0, "", NULL},
    {"Fail", "x", TIME_NEVER, E_NOTFOUND, 5, "", "NOT_FOUND: no such% th%zzing"},
    {"Late", "x", TIME_NEVER, E_CONFLICT, 9, "x", "FAILED_PRECONDITION: so be it"},
    {"Http", "x", TIME_NEVER, E_UNAVAILABLE, 14, "", "HTTP status 503"},
    {"Html", "x", TIME_NEVER, E_UPSTREAM, 13, "", "without a status"},
    {"Cut", "x12345", TIME_NEVER, E_UPSTREAM, 13, "", "the answer is cut"},
    {"Half", "x12345", TIME_NEVER, E_UPSTREAM, 13, "", "without a status"},
    {"Packed", "x", TIME_NEVER, E_UPSTREAM, 13, "", "compressed"},
    {"Never", "x", 60, E_TIMEOUT, 4, "", "no answer in time"},
    {"Drop", "x", TIME_NEVER, E_UNAVAILABLE, 14, "", NULL},
};

static void test_rows(void **state)
{
    (void)state;
    up(NULL);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct call k = {.done = 0};
        begin(&k, rows[i].method, rows[i].message, rows[i].timeout_ms);
        until(k.done);
        if (k.status != rows[i].status || k.c.code != rows[i].code ||
            strcmp(buf_cstr(&k.got), rows[i].got) != 0 ||
            (rows[i].why && !strstr(k.e.text, rows[i].why)))
            fail_msg("%s: %d %d \"%s\" %s", rows[i].method, k.status, k.c.code, buf_cstr(&k.got),
                     k.e.text);
        finish(&k);
        assert_int_equal(k.done, 1);
    }
    down();
}

static void test_many_at_once(void **state)
{
    static struct call k[150];
    static char text[60000];
    (void)state;
    up(NULL);
    memset(text, 'x', sizeof text - 1);
    memset(k, 0, sizeof k);
    for (size_t i = 0; i < 150; i++)
        begin(&k[i], i % 3 ? "Say" : "Many", i % 2 ? "short" : text, TIME_NEVER);
    for (size_t i = 0; i < 150; i++) {
        until(k[i].done);
        assert_int_equal(k[i].status, 0);
        assert_int_equal(k[i].got.n,
                         (i % 2 ? 5 : sizeof text - 1) * (i % 3 ? 1 : 3) + (i % 3 ? 0 : 2));
        finish(&k[i]);
    }
    assert_int_equal(server.connections, 1);
    down();
}

static void test_cancel(void **state)
{
    struct call k = {.cancels = true}, never = {.done = 0}, early = {.done = 0};
    (void)state;
    up(NULL);
    begin(&early, "Say", "x", TIME_NEVER);
    grpc_cancel(&early.c); // before it is connected
    assert_int_equal(early.done, 0);
    finish(&early);
    assert_int_equal(early.status, E_CANCELLED);
    begin(&k, "Many", "x", TIME_NEVER);
    begin(&never, "Never", "x", TIME_NEVER);
    until(k.done);
    assert_int_equal(k.status, E_CANCELLED);
    assert_int_equal(k.messages, 1);
    until(server.calls >= 2);
    grpc_cancel(&never.c);
    grpc_cancel(&never.c);
    assert_int_equal(never.done, 0);
    until(server.resets >= 1);
    finish(&k);
    finish(&never);
    assert_int_equal(never.done, 1);
    down();
}

// Asked to leave: what is under way ends there, the next goes to another connection.
static void test_leave(void **state)
{
    struct call a = {.done = 0}, b = {.done = 0}, c = {.done = 0};
    (void)state;
    up(NULL);
    begin(&a, "Leave", "x", TIME_NEVER);
    until(a.done);
    assert_int_equal(a.status, 0);
    begin(&b, "Say", "y", TIME_NEVER);
    until(b.done);
    assert_int_equal(b.status, 0);
    assert_int_equal(server.connections, 2);
    begin(&c, "Drop", "y", TIME_NEVER);
    until(c.done);
    assert_int_equal(c.status, E_UNAVAILABLE);
    finish(&a);
    finish(&b);
    finish(&c);
    struct call d = {.done = 0};
    begin(&d, "Say", "z", TIME_NEVER);
    until(d.done);
    assert_int_equal(d.status, 0);
    finish(&d);
    down();
}

static void test_refused(void **state)
{
    struct call a = {.done = 0}, b = {.done = 0};
    struct grpc_stats s;
    (void)state;
    up(NULL);
    h2_close(&server);
    begin(&a, "Say", "x", TIME_NEVER);
    until(a.done);
    assert_int_equal(a.status, E_UNAVAILABLE);
    grpc_stats(channel, &s);
    assert_true(!s.up && s.why[0]);
    begin(&b, "Say", "x", 1000); // waits for the next try, which fails too
    until(b.done);
    assert_int_equal(b.status, E_UNAVAILABLE);
    (void)h2_listen(&server, loop_net(loop));
    finish(&a);
    finish(&b);
    down();
}

// The server says nothing any more: a ping finds out.
static void test_silence(void **state)
{
    struct call a = {.done = 0}, b = {.done = 0};
    (void)state;
    up(&(struct grpc_args){.keepalive_ms = 50, .retry_ms = 20});
    begin(&a, "Say", "x", TIME_NEVER);
    until(a.done);
    begin(&b, "Never", "x", TIME_NEVER);
    until(server.calls == 2);
    int64_t end = time_mono_ms() + 300; // pings are answered
    while (time_mono_ms() < end)
        turn();
    assert_int_equal(b.done, 0);
    finish(&a);
    server.conns->silent = true;
    until(b.done);
    assert_int_equal(b.status, E_UNAVAILABLE);
    assert_non_null(strstr(b.e.text, "pings"));
    finish(&b);
    down();
}

// Both sides show a certificate, and speak h2 only.
static int good_peer(void *user, const struct bytes *der, int count, char *ret_id,
                     uint64_t *ret_epoch, struct err *e)
{
    unsigned *seen = user;
    (void)der, (void)ret_id, (void)ret_epoch;
    if (count < 1)
        return err_set(e, E_UNAUTH, "no certificate");
    (*seen)++;
    return 0;
}

static void test_tls(void **state)
{
    struct call a = {.done = 0};
    struct err e = {0};
    unsigned seen = 0;
    struct net_tls *client = NULL;
    struct net_tls_args args = {.verify = good_peer, .user = &seen, .alpn = "h2"};
    (void)state;
    args.cert_pem = bytes_of(node_a.pem);
    args.key_pem = bytes_of(node_a.key_pem);
    assert_int_equal(net_tls_new(&client, &args, &e), 0);
    args.cert_pem = bytes_of(node_b.pem);
    args.key_pem = bytes_of(node_b.key_pem);
    args.server = true;
    assert_int_equal(net_tls_new(&server.tls, &args, &e), 0);
    struct net_tls *kept = server.tls;
    up(&(struct grpc_args){.tls = client, .server_name = "flows.test"});
    begin(&a, "Many", "secret", TIME_NEVER);
    until(a.done);
    assert_int_equal(a.status, 0);
    assert_string_equal(buf_cstr(&a.got), "secret|secret|secret");
    assert_int_equal(seen, 2);
    finish(&a);
    net_tls_free(client);
    net_tls_free(kept);
    down();
}

static void test_meta(void **state)
{
    struct call a = {.done = 0}, b = {.done = 0};
    struct err e = {0};
    const struct grpc_meta meta = {"authorization", "Bearer abc"};
    const struct grpc_meta bad[] = {{"Upper", "x"}, {"x", "a\nb"}, {"", "x"}};
    (void)state;
    up(&(struct grpc_args){.meta = &meta, .meta_count = 1});
    begin(&a, "Meta", "x", TIME_NEVER);
    until(a.done);
    assert_string_equal(buf_cstr(&a.got), "Bearer abc");
    for (size_t i = 0; i < 3; i++) {
        b.c.meta = &bad[i];
        b.c.meta_count = 1;
        b.c.path = "/x.Y/Say";
        b.c.timeout_ms = TIME_NEVER;
        assert_int_equal(grpc_start(channel, &b.c, &e), E_INVALID);
    }
    finish(&a);
    down();
}

// Closed while calls wait, run, and have just ended.
static void test_close(void **state)
{
    struct call k[3] = {{.done = 0}};
    (void)state;
    up(NULL);
    begin(&k[0], "Say", "x", TIME_NEVER);
    begin(&k[1], "Never", "x", TIME_NEVER);
    until(k[0].done);
    begin(&k[2], "Say", "x", TIME_NEVER);
    grpc_close(channel, on_closed, NULL);
    until(closed);
    channel = NULL;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(k[i].done, 1);
        assert_int_equal(k[i].status, i ? E_CANCELLED : 0);
        buf_fini(&k[i].got);
    }
    down();
}

static void test_codes(void **state)
{
    (void)state;
    assert_int_equal(grpc_error(0), 0);
    assert_int_equal(grpc_error(16), E_UNAUTH);
    assert_int_equal(grpc_error(17), E_UPSTREAM);
    assert_int_equal(grpc_error(-1), E_UPSTREAM);
    assert_string_equal(grpc_code_name(7), "PERMISSION_DENIED");
    assert_string_equal(grpc_code_name(99), "UNKNOWN");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),    cmocka_unit_test(test_many_at_once),
        cmocka_unit_test(test_cancel),  cmocka_unit_test(test_leave),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_silence),
        cmocka_unit_test(test_meta),    cmocka_unit_test(test_close),
        cmocka_unit_test(test_codes),   cmocka_unit_test(test_tls),
    };
    return cmocka_run_group_tests_name("grpc/grpc", tests, make_certificates, free_certificates);
}
