// net_mtls_test.c: TLS between two nodes: each decides about the other, and both hear why not.
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loop/net_mtls_rig.h"
#include "loop/net_tls_priv.h"

#include <malloc.h>

static struct look server_look;
static void looking_accept(void *user, struct net_stream *s, bool over_limit)
{
    look_at(&server_look, s);
    echo_accept(user, s, over_limit);
}

static void test_both_know_each_other(void **state)
{
    (void)state;
    for (int anybody = 0; anybody < 2; anybody++) {
        struct side server = {.cert = &node_b, .anybody = anybody, .alpn = "plexus/1", .epoch = 2},
                    client = {.cert = anybody ? NULL : &node_a, .alpn = "plexus/1", .epoch = 1};
        struct look l = {.end = 0};
        struct rig r;
        rig_up(&r, NULL);
        side_make(&server, true);
        side_make(&client, false);
        r.tls = server.tls;
        struct net_listen_args a = {.addr = {.host = "127.0.0.1"},
                                    .tls = server.tls,
                                    .on_accept = looking_accept,
                                    .user = &r};
        assert_int_equal(net_listen(r.net, &a, &r.listener, NULL), 0);
        look_start(&l, &r, client.tls);
        rig_run(&r);
        assert_string_equal(l.got, "hello");
        assert_string_equal(l.id, "spiffe://test/node/b");
        assert_int_equal(l.epoch, 41);
        assert_string_equal(server_look.id, anybody ? "-" : "spiffe://test/node/a");
        assert_int_equal(server_look.epoch, anybody ? 0 : 42);
        assert_int_equal(server.asked, 1);
        assert_int_equal(server.count, anybody ? 0 : 1);
        assert_int_equal(client.asked, 1);
        assert_int_equal(server.refused + client.refused, 0);
        net_tls_free(server.tls);
        net_tls_free(client.tls);
        rig_down(&r);
    }
}

static void test_bytes(void **state)
{
    (void)state;
    struct pair p = {.server = {.cert = &node_b}, .client = {.cert = &node_a}, .c.total = 3 << 20};
    pair_run(&p);
    assert_int_equal(p.c.got, p.c.total);
}

static const struct {
    const struct cert *shown;
    int refuse, code;
    const char *text, *alert;
} refusals[] = {
    {&node_old, 0, E_TIMEOUT, "spiffe://test/node/old expired", "certificate expired"},
    {&node_early, 0, E_TIMEOUT, "is the clock right?", "certificate expired"},
    {&node_foreign, 0, E_NOTFOUND, "foreign authority", "unknown CA"},
    {&node_a, E_FORBIDDEN, E_FORBIDDEN, "as the test wants it", "certificate revoked"},
    {&node_a, E_UNSUPPORTED, E_UNSUPPORTED, "as the test wants it", "unsupported certificate"},
    {&node_a, E_SECURITY, E_SECURITY, "as the test wants it", "bad certificate"},
    {&node_a, E_INTERNAL, E_INTERNAL, "as the test wants it", "internal error"},
    {NULL, 0, E_UNAUTH, "shows no certificate", "certificate required"},
};

// The server refuses: its log hears verify's text, the client hears the alert after its handshake.
static void test_server_refuses(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        char alert[64];
        struct side server = {.cert = &node_b, .refuse = refusals[i].refuse},
                    client = {.cert = refusals[i].shown};
        struct look l = {.end = 0};
        struct rig r;
        rig_up(&r, NULL);
        side_make(&server, true);
        side_make(&client, false);
        r.tls = server.tls;
        echo_listen(&r, NULL);
        look_start(&l, &r, client.tls);
        rig_run(&r);
        assert_int_equal(r.accepted, 0);
        assert_int_equal(server.refused, 1);
        assert_int_equal(server.refused_code, refusals[i].code);
        if (strstr(server.why, refusals[i].text) == NULL)
            fail_msg("%zu: %s", i, server.why);
        assert_int_equal(strncmp(server.from, "127.0.0.1:", 10), 0);
        assert_int_equal(l.opened, 1);
        assert_int_equal(l.status, 0);
        assert_int_equal(l.end, E_IO);
        (void)snprintf(alert, sizeof alert, "the peer refused: %s", refusals[i].alert);
        assert_string_equal(l.why, alert);
        net_tls_free(server.tls);
        net_tls_free(client.tls);
        rig_down(&r);
    }
}

// The client refuses: on_open has verify's text and code, the server's log the alert.
static void test_client_refuses(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        char alert[64];
        if (refusals[i].shown == NULL)
            continue; // a server always shows one
        struct pair p = {.server = {.cert = refusals[i].shown},
                         .client = {.cert = &node_b, .refuse = refusals[i].refuse}};
        pair_run(&p);
        assert_int_equal(p.c.status, refusals[i].code);
        if (strstr(p.c.why, refusals[i].text) == NULL)
            fail_msg("%zu: %s", i, p.c.why);
        assert_int_equal(p.r.accepted, 0);
        (void)snprintf(alert, sizeof alert, "TLS handshake: the peer refused: %s",
                       refusals[i].alert);
        assert_int_equal(p.server.refused, 1);
        assert_string_equal(p.server.why, alert);
        assert_int_equal(strncmp(p.server.from, "127.0.0.1:", 10), 0);
        assert_int_equal(p.client.refused, 0);
    }
}

static void test_alpn(void **state)
{
    (void)state;
    static const struct {
        const char *server, *client, *server_why, *client_why;
    } cases[] = {
        {"plexus/1", "plexus/1", NULL, NULL},
        {NULL, NULL, NULL, NULL},
        {NULL, "http/1.1", NULL, NULL},
        {"plexus/1", "plexus/2", "TLS: the peer does not speak plexus/1",
         "TLS handshake: the peer refused: no application protocol"},
        {"plexus/1", NULL, "TLS: the peer does not speak plexus/1",
         "TLS handshake: the peer refused: no application protocol"},
        {NULL, "plexus/1", NULL, "TLS: the peer does not speak plexus/1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pair p = {.server = {.cert = &node_b, .alpn = cases[i].server},
                         .client = {.cert = &node_a, .alpn = cases[i].client}};
        pair_run(&p);
        assert_int_equal(p.c.status, cases[i].client_why ? E_UPSTREAM : 0);
        assert_string_equal(p.c.why, cases[i].client_why ? cases[i].client_why : "");
        assert_string_equal(p.server.why, cases[i].server_why ? cases[i].server_why : "");
        assert_int_equal(p.c.got, cases[i].client_why ? 0 : p.c.total);
    }
}

// Clients that are not ours: one that names no protocol, one that speaks TLS 1.2 at most.
static void test_foreign_clients(void **state)
{
    (void)state;
    static const struct {
        const char *options, *why, *said;
    } cases[] = {
        {"-tls1_3", "does not speak plexus/1", "no application protocol"},
        {"-tls1_2 -alpn plexus/1", "unsupported protocol", "alert protocol version"},
        {"-tls1_3 -alpn plexus/1", "shows no certificate", "certificate required"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rig r;
        struct side server = {.cert = &node_b, .alpn = "plexus/1", .stop = &r};
        char line[512];
        bool said = false;
        rig_up(&r, NULL);
        side_make(&server, true);
        r.tls = server.tls;
        echo_listen(&r, NULL);
        (void)snprintf(line, sizeof line,
                       "sleep 1 | openssl s_client %s -connect 127.0.0.1:%d 2>&1", cases[i].options,
                       (int)net_listener_port(r.listener));
        FILE *f = popen(line, "r");
        assert_non_null(f);
        rig_run(&r);
        while (fgets(line, sizeof line, f) != NULL)
            said = said || strstr(line, cases[i].said) != NULL;
        (void)pclose(f);
        assert_int_equal(server.refused, 1);
        if (strstr(server.why, cases[i].why) == NULL || !said)
            fail_msg("%s: %s, told: %d", cases[i].options, server.why, said);
        net_tls_free(server.tls);
        rig_down(&r);
    }
}

// A new certificate: streams that are there go on, new ones see it.
static void again(struct look *l, struct rig *r)
{
    l->got[0] = '\0';
    assert_int_equal(net_write(l->s, &BYTES("again"), 1), 0);
    l->r = r;
}
struct rotation {
    struct rig r;
    struct side old, new, client;
    struct look before, after;
    struct timer tick;
    int step;
};
static void rotation_data(struct net_stream *s, char *p, size_t n)
{
    struct look *l = s->user;
    (void)snprintf(l->got + strlen(l->got), sizeof l->got - strlen(l->got), "%.*s", (int)n, p);
}
static const struct net_handler rotation_handler = {
    .on_open = look_open, .on_data = rotation_data, .on_end = look_end, .on_closed = NULL};

static void rotate(struct timer *t)
{
    struct rotation *x = t->user;
    struct timers *timers = loop_timers(x->r.loop);
    if (x->step == 0 && strcmp(x->before.got, "hello") == 0) {
        net_listener_tls(x->r.listener, x->new.tls);
        net_tls_free(x->old.tls); // the stream still has it
        net_tls_free(x->new.tls); // the listener has it
        look_start(&x->after, &x->r, x->client.tls);
        x->after.s->handler = &rotation_handler;
        x->step++;
    } else if (x->step == 1 && strcmp(x->after.got, "hello") == 0) {
        again(&x->before, &x->r);
        again(&x->after, &x->r);
        x->step++;
    } else if (x->step == 2 && strcmp(x->before.got, "again") == 0 &&
               strcmp(x->after.got, "again") == 0) {
        loop_stop(x->r.loop);
        return;
    }
    assert_int_equal(timer_start(timers, t, 5), 0);
}
static void test_rotation(void **state)
{
    (void)state;
    struct rotation x = {.old = {.cert = &node_a},
                         .new = {.cert = &node_b, .epoch = 5},
                         .client = {.cert = &node_a}};
    rig_up(&x.r, NULL);
    side_make(&x.old, true);
    side_make(&x.new, true);
    side_make(&x.client, false);
    x.r.tls = x.old.tls;
    echo_listen(&x.r, NULL);
    look_start(&x.before, &x.r, x.client.tls);
    x.tick = (struct timer){.fn = rotate, .user = &x};
    x.before.s->handler = &rotation_handler;
    assert_int_equal(timer_start(loop_timers(x.r.loop), &x.tick, 0), 0);
    rig_run(&x.r);
    assert_int_equal(x.step, 2);
    assert_string_equal(x.before.id, "spiffe://test/node/a");
    assert_string_equal(x.after.id, "spiffe://test/node/b");
    assert_int_equal(x.old.asked, 1);
    assert_int_equal(x.new.asked, 1);
    net_tls_free(x.client.tls);
    rig_down(&x.r);
}

// Memory that runs out at each point of ours in turn: a refusal or a success, never a leak.
static void test_memory_runs_out(void **state)
{
    (void)state;
    unsigned good = 0, bad = 0;
    for (uint64_t at = 1; good < 3; at++) {
        struct rig r;
        struct side server = {.cert = &node_b}, client = {.cert = &node_a};
        struct look l = {.end = 0};
        rig_up(&r, NULL);
        side_make(&server, true);
        side_make(&client, false);
        r.tls = server.tls;
        r.handshake_ms = 200;
        echo_listen(&r, NULL);
        struct net_connect_args a = {.addr = echo_addr(&r),
                                     .tls = client.tls,
                                     .timeout_ms = 200,
                                     .handler = &look_handler,
                                     .user = &l};
        l.r = &r;
        mem_fail_after(at, 0);
        if (net_connect(r.net, &a, &l.s, NULL) == 0)
            rig_run(&r);
        mem_fail_after(0, 0);
        if (strcmp(l.got, "hello") == 0)
            good++;
        else
            bad++;
        net_tls_free(server.tls);
        net_tls_free(client.tls);
        rig_down(&r);
    }
    assert_in_range(bad, 5, 60);
}

// ---- what a stream costs

static size_t held; // by OpenSSL

static void *counted_alloc(size_t n, const char *file, int line)
{
    void *p = malloc(n);
    (void)file;
    (void)line;
    held += p ? malloc_usable_size(p) : 0;
    return p;
}
static void *counted_realloc(void *p, size_t n, const char *file, int line)
{
    (void)file;
    (void)line;
    held -= p ? malloc_usable_size(p) : 0;
    p = realloc(p, n);
    held += p ? malloc_usable_size(p) : 0;
    return p;
}
static void counted_free(void *p, const char *file, int line)
{
    (void)file;
    (void)line;
    held -= p ? malloc_usable_size(p) : 0;
    free(p);
}

// OpenSSL 3.5 keeps more: a second key share, of ML-KEM, for each side.
enum { MANY = 40, STREAM_BYTES_MAX = OPENSSL_VERSION_NUMBER < 0x30500000L ? 28 << 10 : 36 << 10 };
struct many {
    struct rig r;
    struct look l[MANY];
    unsigned open;
    size_t held;
};
static void many_data(struct net_stream *s, char *p, size_t n)
{
    struct look *l = s->user;
    struct many *m = container_of(l->r, struct many, r);
    (void)p;
    (void)n;
    if (++m->open < MANY)
        return;
    m->held = held; // all are open
    loop_stop(m->r.loop);
}
static const struct net_handler many_handler = {
    .on_open = look_open, .on_data = many_data, .on_end = look_end};

// Two ends of each of the streams are in this process.
static void test_memory_of_a_stream(void **state)
{
    (void)state;
    struct side server = {.cert = &node_b}, client = {.cert = &node_a};
    struct many *m = calloc(1, sizeof *m);
    rig_up(&m->r, NULL);
    side_make(&server, true);
    side_make(&client, false);
    m->r.tls = server.tls;
    echo_listen(&m->r, NULL);
    size_t before = held;
    for (int i = 0; i < MANY; i++) {
        look_start(&m->l[i], &m->r, client.tls);
        m->l[i].s->handler = &many_handler;
    }
    rig_run(&m->r);
    assert_int_equal(m->open, MANY);
    size_t each =
        (m->held - before) / (2 * MANY) + sizeof(struct tls_stream) + sizeof(struct sock) + 64;
    print_message("a TLS stream: %zu bytes\n", each);
    assert_in_range(each, 4 << 10, STREAM_BYTES_MAX);
    net_tls_free(server.tls);
    net_tls_free(client.tls);
    rig_down(&m->r);
    free(m);
}

int main(void)
{
    if (CRYPTO_set_mem_functions(counted_alloc, counted_realloc, counted_free) != 1)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_know_each_other),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_server_refuses),
        cmocka_unit_test(test_client_refuses),
        cmocka_unit_test(test_alpn),
        cmocka_unit_test(test_foreign_clients),
        cmocka_unit_test(test_rotation),
        cmocka_unit_test(test_memory_runs_out),
        cmocka_unit_test(test_memory_of_a_stream),
    };
    return cmocka_run_group_tests_name("net_mtls", tests, make_certificates, free_certificates);
}
