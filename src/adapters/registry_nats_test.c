// registry_nats_test.c: the registry over NATS, with a real nats-server: the kit, and what only it
// has: the bucket as other clients see it, a watch that breaks, a bucket that goes.
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "adapters/bus_nats_priv.h"
#include "adapters/bus_priv.h"
#include "adapters/bus_server_rig.h"
#include "adapters/registry_rig.h"

static const char *program;
static struct server one;
static const char *options = "";

static void start(struct kit *k)
{
    char text[1024];
    (void)k;
    server_folder(&one); // with nothing in it
    (void)snprintf(text, sizeof text,
                   "listen: \"127.0.0.1:%u\"\n"
                   "jetstream { store_dir: \"%s\", max_mem: 64M, max_file: 256M }\n%s\n",
                   one.port, one.folder, options);
    server_write(one.conf, text);
    one.argv[0] = program;
    one.argv[1] = "-c";
    one.argv[2] = one.conf;
    server_start(&one);
}

static void setup(struct kit *k)
{
    one = (struct server){.port = server_free_port()};
    start(k);
}

static void stop(struct kit *k)
{
    (void)k;
    server_remove(&one);
}

static void args(struct kit *k, struct registry_args *a)
{
    static char url[64];
    (void)k;
    (void)snprintf(url, sizeof url, "nats://127.0.0.1:%u", one.port);
    a->url = url;
}

static struct kit nats = {.open = registry_nats_open,
                          .args = args,
                          .setup = setup,
                          .teardown = stop,
                          .kill = stop,
                          .start = start};

// ---- another client: raw requests over the bus's connection -------------------------------------

struct stranger {
    struct kit *k;
    struct bus *bus;
    struct nats_below below;
    bool up, answered, closed;
    int status;
    char text[4096];
};

static void stranger_up(void *user)
{
    ((struct stranger *)user)->up = true;
}
static void stranger_msg(void *user, const struct nats1_op *op)
{
    (void)user;
    (void)op;
}
static void stranger_status(void *user, enum bus_status status, const struct err *e)
{
    (void)e;
    ((struct stranger *)user)->closed |= status == BUS_CLOSED;
}

static void stranger_open(struct stranger *x, struct kit *k)
{
    struct registry_args r = {0};
    args(k, &r);
    *x = (struct stranger){.k = k};
    struct bus_args a = {.timers = loop_timers(k->loop),
                         .net = loop_net(k->loop),
                         .environment = "dev",
                         .on_status = stranger_status,
                         .user = x,
                         .url = r.url};
    assert_int_equal(bus_nats_open(&a, &x->bus, NULL), 0);
    x->below = (struct nats_below){x, stranger_up, stranger_msg};
    ((struct nats_bus *)(void *)x->bus)->below = &x->below;
    kit_until(k, x->up);
}

static void stranger_close(struct stranger *x)
{
    bus_close(x->bus);
    kit_until(x->k, x->closed);
}

static void on_answer(struct nats_call *c, int status, const struct json *root,
                      const struct nats1_op *op, const struct err *e)
{
    struct stranger *x = c->bus->below->user;
    (void)root;
    (void)e;
    x->answered = true;
    x->status = status;
    if (op)
        (void)snprintf(x->text, sizeof x->text, "%.*s", BYTES_FMT(op->data));
}

static const char *ask(struct stranger *x, const char *subject, const char *text)
{
    struct buf body;
    buf_init(&body, 4096);
    (void)buf_str(&body, text);
    x->answered = false;
    x->text[0] = 0;
    assert_int_equal(nats_call_start((struct nats_bus *)(void *)x->bus,
                                     (struct nats_call){.done = on_answer}, subject, &body),
                     0);
    buf_fini(&body);
    kit_until(x->k, x->answered);
    return x->text;
}

static void has(const char *text, const char *what)
{
    if (!strstr(text, what))
        fail_msg("no %s in %s", what, text);
}

// The bucket is as ADR-8 says; a stranger reads a value, puts one, and takes it away.
static void test_bucket(void **state)
{
    struct kit *k = *state;
    struct stranger x;
    struct side *a = side_open(k, "a", 0);
    put(a, "sheet of a");
    kit_until(k, stats(a).puts == 1);
    stranger_open(&x, k);
    const char *info = ask(&x, "$JS.API.STREAM.INFO.KV_plexus_dev", "");
    has(info, "\"subjects\":[\"$KV.plexus_dev.\\u003e\"]");
    has(info, "\"max_msgs_per_subject\":1");
    has(info, "\"max_age\":30000000000");
    has(info, "\"discard\":\"new\"");
    has(info, "\"allow_direct\":true");
    has(info, "\"allow_rollup_hdrs\":true");
    has(info, "\"deny_delete\":true");
    has(info, "\"duplicate_window\":30000000000");
    assert_string_equal(ask(&x, "$JS.API.DIRECT.GET.KV_plexus_dev.$KV.plexus_dev.a", ""),
                        "sheet of a");
    has(ask(&x, "$KV.plexus_dev.guest", "hello"), "\"stream\":\"KV_plexus_dev\"");
    until_text(a, "guest", "hello");
    // Another's word under this node's name is not heard; the next renewal sets it right.
    (void)ask(&x, "$KV.plexus_dev.a", "not of a");
    kit_pass(k, 50);
    assert_int_equal(heard_of(a, "a")->seen, 0);
    // Keys that are no node's names, and nothing at all.
    (void)ask(&x, "$KV.plexus_dev.a/b=c", "x");
    (void)ask(&x, "$KV.plexus_dev.empty", "");
    kit_until(k, stats(a).dropped == 2);
    stranger_close(&x);
    side_close(a);
}

// A bucket of another kind is made right, with its contents.
static void test_update(void **state)
{
    struct kit *k = *state;
    struct stranger x;
    struct side *a = side_open(k, "a", 60000);
    put(a, "a1");
    kit_until(k, stats(a).puts == 1);
    struct side *b = side_open(k, "b", 20000);
    until_text(b, "a", "a1");
    stranger_open(&x, k);
    has(ask(&x, "$JS.API.STREAM.INFO.KV_plexus_dev", ""), "\"max_age\":20000000000");
    stranger_close(&x);
    side_close(a);
    side_close(b);
}

// Its bucket is deleted: it is made again, and all are in it.
static void test_bucket_gone(void **state)
{
    struct kit *k = *state;
    struct stranger x;
    struct side *a = side_open(k, "a", 1500), *b = side_open(k, "b", 1500);
    put(a, "a1");
    put(b, "b1");
    until_text(b, "a", "a1");
    stranger_open(&x, k);
    has(ask(&x, "$JS.API.STREAM.DELETE.KV_plexus_dev", ""), "\"success\":true");
    kit_until(k, stats(a).watches >= 2 && stats(b).watches >= 2);
    unsigned before = heard_of(b, "a")->seen;
    kit_until(k, heard_of(b, "a")->seen > before);
    struct side *c = side_open(k, "c", 1500);
    until_text(c, "a", "a1");
    until_text(c, "b", "b1");
    stranger_close(&x);
    side_close(a);
    side_close(b);
    side_close(c);
}

// Its watch is deleted on the server: a new one hears what came meanwhile.
static void test_watch_gone(void **state)
{
    struct kit *k = *state;
    struct stranger x;
    char subject[256], name[64];
    struct side *a = side_open(k, "a", 0), *b = side_open(k, "b", 0);
    stranger_open(&x, k);
    (void)ask(&x, "$JS.API.CONSUMER.NAMES.KV_plexus_dev", "");
    for (int i = 0; i < 2; i++) {
        const char *at =
            strstr(ask(&x, "$JS.API.CONSUMER.NAMES.KV_plexus_dev", ""), "consumers\":[\"");
        assert_non_null(at);
        at += strlen("consumers\":[\"");
        (void)snprintf(name, sizeof name, "%.*s", (int)strcspn(at, "\""), at);
        (void)snprintf(subject, sizeof subject, "$JS.API.CONSUMER.DELETE.KV_plexus_dev.%s", name);
        has(ask(&x, subject, ""), "\"success\":true");
    }
    put(a, "a1");
    until_text(b, "a", "a1");
    assert_true(stats(b).watches >= 2);
    stranger_close(&x);
    side_close(a);
    side_close(b);
}

// Accounts; and who is refused is told once, not at each try.
static void test_account(void **state)
{
    struct kit *k = *state;
    options = "authorization { user: \"plexus\", password: \"s3cret\" }";
    server_remove(&one);
    start(k);
    options = "";
    struct side *a = calloc(1, sizeof *a), *b = calloc(1, sizeof *b);
    struct registry_args v = side_args(k, a, "a");
    v.user_name = "plexus";
    v.password = "s3cret";
    (void)side_open_with(k, &v);
    v = side_args(k, b, "b");
    v.user_name = "plexus";
    v.password = "wrong";
    b->k = k;
    assert_int_equal(k->open(&v, &b->r, NULL), 0);
    kit_until(k, b->refused == 1);
    has(b->why, "Authorization Violation");
    assert_null(strstr(b->why, "wrong"));
    kit_pass(k, 300);
    assert_int_equal(b->refused, 1);
    has(stats(b).note, "Authorization Violation");
    side_close(a);
    side_close(b);
}

static void test_no_jetstream(void **state)
{
    struct kit *k = *state;
    char text[64];
    server_kill(&one);
    (void)snprintf(text, sizeof text, "listen: \"127.0.0.1:%u\"\n", one.port);
    server_write(one.conf, text);
    server_start(&one);
    struct side *a = calloc(1, sizeof *a);
    struct registry_args v = side_args(k, a, "a");
    a->k = k;
    assert_int_equal(k->open(&v, &a->r, NULL), 0);
    put(a, "a1");
    kit_until(k, a->refused == 1);
    has(a->why, "JetStream");
    assert_int_equal(a->connected, 0);
    server_remove(&one); // it is mended
    start(k);
    kit_until(k, a->connected && stats(a).puts == 1);
    side_close(a);
}

static void test_urls(void **state)
{
    struct kit *k = *state;
    static const char *const bad[] = {"http://127.0.0.1:1", "nats://", "tls://a:4222"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct side s = {.k = k};
        struct registry_args v = side_args(k, &s, "a");
        struct registry *r = NULL;
        struct err e = {0};
        v.url = bad[i];
        assert_int_equal(k->open(&v, &r, &e), E_INVALID);
        assert_true(e.n > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {KIT_TESTS(&nats),
                                       KIT_TEST(kit_reconnect, &nats),
                                       KIT_TEST(test_bucket, &nats),
                                       KIT_TEST(test_update, &nats),
                                       KIT_TEST(test_bucket_gone, &nats),
                                       KIT_TEST(test_watch_gone, &nats),
                                       KIT_TEST(test_account, &nats),
                                       KIT_TEST(test_no_jetstream, &nats),
                                       KIT_TEST(test_urls, &nats)};
    const char *found = server_path("nats-server");
    if (!found)
        return 77;
    program = strdup(found);
    return cmocka_run_group_tests_name("registry over NATS", tests, NULL, NULL);
}
