// dgram_test.c: datagrams over the loopback device.
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loop/loop_rig.h"
#include "port/dgram.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PINGS = 2000, WINDOW = 16 };

struct end {
    struct rig *rig;
    struct dgram *d;
    struct net_addr peer;
    unsigned got, sent, want;
    size_t bytes;
    bool echo, close_at_first, closed;
};

static void fill(char *p, size_t n, unsigned number)
{
    memcpy(p, &number, sizeof number);
    for (size_t i = sizeof number; i < n; i++)
        p[i] = (char)(number * 7 + i);
}
static size_t size_of(unsigned number)
{
    return sizeof number + number * 13 % (DGRAM_BYTES_MAX - sizeof number + 1);
}

static void end_ping(struct end *e)
{
    char p[DGRAM_BYTES_MAX];
    while (e->sent < e->want && e->sent < e->got + WINDOW) {
        size_t n = size_of(e->sent);
        fill(p, n, e->sent);
        assert_int_equal(dgram_send(e->d, &e->peer, (struct bytes){p, n}), 0);
        e->sent++;
    }
}

static void end_data(void *user, const struct net_addr *from, struct bytes data)
{
    struct end *e = user;
    char want[DGRAM_BYTES_MAX];
    unsigned number = e->got;
    assert_false(e->closed);
    assert_int_equal(data.n, size_of(number));
    fill(want, data.n, number);
    assert_memory_equal(data.p, want, data.n);
    e->got++;
    e->bytes += data.n;
    if (e->echo) {
        assert_int_equal(dgram_send(e->d, from, data), 0);
        return;
    }
    assert_string_equal(from->host, e->peer.host);
    assert_int_equal(from->port, e->peer.port);
    if (e->got == e->want)
        loop_stop(e->rig->loop);
    else
        end_ping(e);
}

static void end_open(struct end *e, struct rig *r, const char *host,
                     void (*on_data)(void *user, const struct net_addr *from, struct bytes data))
{
    struct err err = {0};
    struct dgram_args a = {.on_data = on_data, .user = e};
    (void)snprintf(a.addr.host, sizeof a.addr.host, "%s", host);
    e->rig = r;
    if (dgram_open(r->net, &a, &e->d, &err) != 0)
        fail_msg("%s", err.text);
    assert_int_not_equal(dgram_port(e->d), 0);
}

// Nothing is lost on the loopback device, what comes is what was sent, and from is who sent it.
static void test_echo(void **state)
{
    (void)state;
    static const char *const hosts[][3] = {{"127.0.0.1", "127.0.0.1", "127.0.0.1"},
                                           {"::1", "::1", "::1"},
                                           {"::", "127.0.0.1", "127.0.0.1"},
                                           {"0.0.0.0", "127.0.0.1", "127.0.0.1"}};
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        struct rig r;
        rig_up(&r, NULL);
        struct end server = {.echo = true}, client = {.want = PINGS};
        end_open(&server, &r, hosts[i][0], end_data);
        end_open(&client, &r, hosts[i][1], end_data);
        (void)snprintf(client.peer.host, sizeof client.peer.host, "%s", hosts[i][2]);
        client.peer.port = dgram_port(server.d);
        end_ping(&client);
        rig_run(&r);
        assert_int_equal(client.got, PINGS);
        assert_int_equal(server.got, PINGS);
        struct net_stats st;
        net_stats(r.net, &st);
        assert_int_equal(st.bytes_in, client.bytes + server.bytes);
        assert_int_equal(st.bytes_out, st.bytes_in);
        rig_down(&r); // the loop's end closed both
    }
}

static void no_data(void *user, const struct net_addr *from, struct bytes data)
{
    (void)user;
    fail_msg("%zu bytes from %s", data.n, from->host);
}

static void count_data(void *user, const struct net_addr *from, struct bytes data)
{
    struct end *e = user;
    (void)from;
    assert_false(e->closed);
    e->got++;
    e->bytes += data.n;
    if (e->close_at_first) {
        dgram_close(e->d);
        e->closed = true;
    }
}

static void stop(struct timer *t)
{
    struct rig *r = t->user;
    loop_stop(r->loop);
}

static void run_for(struct rig *r, int64_t ms)
{
    struct timer soon = {.fn = stop, .user = r};
    assert_int_equal(timer_start(loop_timers(r->loop), &soon, ms), 0);
    rig_run(r);
}

static void test_sizes(void **state)
{
    (void)state;
    struct rig r;
    char p[DGRAM_BYTES_MAX + 1] = {0};
    rig_up(&r, NULL);
    struct end a = {.want = 1}, b = {.want = 1};
    end_open(&a, &r, "127.0.0.1", count_data);
    end_open(&b, &r, "127.0.0.1", no_data);
    struct net_addr to = {.host = "127.0.0.1", .port = dgram_port(a.d)};
    assert_int_equal(dgram_send(b.d, &to, (struct bytes){p, sizeof p}), E_TOOBIG);
    assert_int_equal(dgram_send(b.d, &to, (struct bytes){p, DGRAM_BYTES_MAX}), 0);
    assert_int_equal(dgram_send(b.d, &to, BYTES_NONE), 0); // empty ones are datagrams too
    // Larger ones from others are thrown away, not cut.
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_port = htons(to.port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char large[4000] = {0};
    assert_int_equal(sendto(fd, large, sizeof large, 0, (struct sockaddr *)&in, sizeof in),
                     sizeof large);
    assert_int_equal(sendto(fd, large, sizeof p, 0, (struct sockaddr *)&in, sizeof in), sizeof p);
    (void)close(fd);
    run_for(&r, 50);
    assert_int_equal(a.got, 2);
    assert_int_equal(a.bytes, DGRAM_BYTES_MAX);
    rig_down(&r);
}

static void test_bad_addresses(void **state)
{
    (void)state;
    struct rig r;
    struct err e = {0};
    rig_up(&r, NULL);
    static const struct net_addr bad[] = {{.host = "localhost"},
                                          {.host = ""},
                                          {.host = "1.2.3"},
                                          {.unix_socket = true, .host = "/tmp/x"}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct dgram *d;
        struct dgram_args a = {.addr = bad[i], .on_data = no_data};
        assert_int_equal(dgram_open(r.net, &a, &d, &e), E_INVALID);
        assert_non_null(strstr(e.text, "not a numeric address"));
    }
    struct end a = {.want = 1}, second = {.want = 1};
    end_open(&a, &r, "127.0.0.1", no_data);
    struct dgram_args taken = {.addr = {.host = "127.0.0.1", .port = dgram_port(a.d)},
                               .on_data = no_data};
    assert_int_equal(dgram_open(r.net, &taken, &second.d, &e), E_INUSE);
    struct dgram_args foreign = {.addr = {.host = "192.0.2.1"}, .on_data = no_data};
    assert_int_equal(dgram_open(r.net, &foreign, &second.d, &e), E_IO); // RFC 5737: nobody's
    // Places that cannot be sent to.
    struct bytes hi = BYTES("hi");
    static const struct {
        struct net_addr to;
        int status;
    } cases[] = {{{.host = "localhost", .port = 9}, E_INVALID},
                 {{.host = "127.0.0.1", .port = 0}, E_INVALID},
                 {{.host = "::1", .port = 9}, E_INVALID}, // from an IPv4 socket
                 {{.unix_socket = true, .host = "/tmp/x", .port = 9}, E_INVALID}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int rc = dgram_send(a.d, &cases[i].to, hi);
        if (rc != cases[i].status)
            fail_msg("%zu: %d, not %d", i, rc, cases[i].status);
    }
    rig_down(&r);
}

// Nobody listens there: the sender is not disturbed, and what comes from others still comes.
static void test_closed_port(void **state)
{
    (void)state;
    struct rig r;
    rig_up(&r, NULL);
    struct end gone = {.want = 1}, a = {.want = 1};
    end_open(&gone, &r, "127.0.0.1", no_data);
    end_open(&a, &r, "127.0.0.1", count_data);
    struct net_addr nobody = {.host = "127.0.0.1", .port = dgram_port(gone.d)},
                    self = {.host = "127.0.0.1", .port = dgram_port(a.d)};
    dgram_close(gone.d);
    for (int i = 0; i < 20; i++) {
        int rc = dgram_send(a.d, &nobody, BYTES("x"));
        assert_true(rc == 0 || rc == E_IO); // whether a system tells is its own affair
        assert_int_equal(dgram_send(a.d, &self, BYTES("y")), 0);
    }
    run_for(&r, 50);
    assert_int_equal(a.got, 20);
    rig_down(&r);
}

// Closed from inside its callback, with more datagrams waiting in the kernel: not one more call.
static void test_close_inside(void **state)
{
    (void)state;
    struct rig r;
    rig_up(&r, NULL);
    struct end a = {.close_at_first = true}, b = {.want = 1}, c = {.want = 1};
    end_open(&a, &r, "127.0.0.1", count_data);
    end_open(&b, &r, "127.0.0.1", no_data);
    struct net_addr to = {.host = "127.0.0.1", .port = dgram_port(a.d)};
    for (int i = 0; i < 10; i++)
        assert_int_equal(dgram_send(b.d, &to, BYTES("x")), 0);
    run_for(&r, 50);
    assert_int_equal(a.got, 1);
    rig_down(&r);
    rig_up(&r, NULL); // the same before the loop ran at all, and twice: harmless
    end_open(&c, &r, "127.0.0.1", no_data);
    dgram_close(c.d);
    dgram_close(c.d);
    dgram_close(NULL);
    run_for(&r, 10);
    rig_down(&r);
}

// No descriptor is left: told as such, and later it works again.
static void test_descriptors(void **state)
{
    (void)state;
    struct rig r;
    struct err e = {0};
    struct end a = {.want = 1};
    rig_up(&r, NULL);
    struct rlimit old, low;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    int next = dup(0);
    assert_true(next >= 0);
    (void)close(next);
    low = old;
    low.rlim_cur = (rlim_t)next;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    struct dgram_args args = {.addr = {.host = "127.0.0.1"}, .on_data = no_data};
    int rc = dgram_open(r.net, &args, &a.d, &e);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(rc, E_FULL);
    end_open(&a, &r, "127.0.0.1", no_data);
    run_for(&r, 10);
    rig_down(&r);
}

static void test_memory_runs_out(void **state)
{
    (void)state;
    struct rig r;
    struct err e = {0};
    struct dgram *d = NULL;
    rig_up(&r, NULL);
    struct dgram_args args = {.addr = {.host = "127.0.0.1"}, .on_data = no_data};
    mem_fail_after(1, 0);
    assert_int_equal(dgram_open(r.net, &args, &d, &e), E_NOMEM);
    mem_fail_after(0, 0);
    assert_null(d);
    rig_down(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_echo),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_bad_addresses),
        cmocka_unit_test(test_closed_port),
        cmocka_unit_test(test_close_inside),
        cmocka_unit_test(test_descriptors),
        cmocka_unit_test(test_memory_runs_out),
    };
    return cmocka_run_group_tests_name("dgram", tests, NULL, NULL);
}
