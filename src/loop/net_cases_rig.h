// net_cases_rig.h: what every implementation of port/net.h must do: run by room loop's test against
// the kernel, and by room sim's in virtual time. The tests include cmocka.h before it.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_LOOP_NET_CASES_RIG_H
#define PLEXUS_LOOP_NET_CASES_RIG_H

#include "loop/loop_rig.h"

static void test_echo(void **state)
{
    (void)state;
    struct rig r;
    rig_up(&r, NULL);
    echo_listen(&r, NULL);
    struct client c[4] = {{.total = 1},
                          {.total = 3 << 20},
                          {.total = 1 << 20, .piece_max = 16384},
                          {.total = 20000, .piece_max = 3}};
    clients_run(&r, c, 4, echo_addr(&r));
    for (int i = 0; i < 4; i++) {
        assert_int_equal(c[i].got, c[i].total);
        assert_int_equal(c[i].status, 0);
    }
    struct net_stats st;
    net_stats(r.net, &st);
    assert_int_equal(st.accepted, 4);
    assert_int_equal(st.connections, 0);
    assert_int_equal(r.closed, 4);
    rig_down(&r);
}

static void test_slow_reader(void **state)
{
    (void)state;
    struct rig r;
    struct loop_args args = {.read_bytes = 16 << 10};
    rig_up(&r, &args);
    echo_listen(&r, NULL);
    struct client c[2] = {{.total = 6 << 20, .piece_max = 16384, .slow = 1},
                          {.total = 200000, .piece_max = 100}};
    clients_run(&r, c, 2, echo_addr(&r));
    assert_int_equal(c[0].got, c[0].total);
    assert_in_range(c[0].queued_max, 1, 32 << 10); // it was held back, within its ceiling
    assert_int_equal(c[1].got, c[1].total);
    rig_down(&r);
}

static void test_connect_errors(void **state)
{
    (void)state;
    struct rig r;
    rig_up(&r, NULL);
    echo_listen(&r, NULL); // only to learn a free port
    struct net_addr gone = echo_addr(&r);
    net_listener_close(r.listener);
    struct client c[4] = {{.total = 1}, {.total = 1}, {.total = 1}, {.total = 1}};
    struct net_addr nosock = {.unix_socket = true, .host = "/nonexistent/socket"};
    struct net_addr noname = {.host = "no-such-host.invalid", .port = 80};
    unsigned left = 3;
    client_start(&c[0], &r, gone, &left);
    client_start(&c[1], &r, nosock, &left);
    client_start(&c[2], &r, noname, &left);
    rig_run(&r);
    assert_int_equal(c[0].status, E_REFUSED);
    assert_non_null(strstr(c[0].why, "Connection refused"));
    assert_int_equal(c[1].status, E_REFUSED);
    assert_non_null(strstr(c[1].why, "/nonexistent/socket"));
    assert_true(c[2].status == E_UNAVAILABLE || c[2].status == E_TIMEOUT);
    assert_non_null(strstr(c[2].why, "no-such-host.invalid"));
    rig_down(&r);

    rig_up(&r, NULL);
    struct net_connect_args a = {.addr = {.unix_socket = true}, .handler = &client_handler};
    struct net_stream *s;
    memset(a.addr.host, 'x', sizeof a.addr.host - 1);
    assert_int_equal(net_connect(r.net, &a, &s, NULL), E_INVALID);
    loop_stop(r.loop);
    rig_run(&r);
    rig_down(&r);
}

static void test_connect_by_name(void **state)
{
    (void)state;
    struct rig r;
    rig_up(&r, NULL);
    echo_listen(&r, NULL);
    struct net_addr a = echo_addr(&r);
    (void)snprintf(a.host, sizeof a.host, "localhost"); // also ::1 first, where nobody listens
    struct client c[1] = {{.total = 1000}};
    clients_run(&r, c, 1, a);
    assert_int_equal(c[0].got, 1000);
    rig_down(&r);
}

static void test_close_while_connecting(void **state)
{
    (void)state;
    struct rig r;
    rig_up(&r, NULL);
    echo_listen(&r, NULL);
    struct client c[3] = {{.total = 1}, {.total = 1}, {.total = 1}};
    unsigned left = 3;
    struct net_addr name = {.host = "localhost", .port = 1},
                    nosock = {.unix_socket = true, .host = "/nonexistent"};
    client_start(&c[0], &r, echo_addr(&r), &left);
    client_start(&c[1], &r, name, &left);
    client_start(&c[2], &r, nosock, &left);
    for (int i = 0; i < 3; i++) {
        net_close(c[i].s, i == 0);
        assert_int_equal(c[i].closed, 0);
    }
    rig_run(&r);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(c[i].opened, 0);
        assert_int_equal(c[i].closed, 1);
    }
    rig_down(&r);
}

static void test_ceiling(void **state)
{
    (void)state;
    struct rig r;
    rig_up(&r, NULL);
    echo_listen(&r, NULL);
    struct client c = {.total = 0, .rig = &r};
    unsigned left = 1;
    client_start(&c, &r, echo_addr(&r), &left);
    static char big[33 << 10];
    struct bytes v = {big, sizeof big}, w = {big, 20 << 10};
    assert_int_equal(net_write(c.s, &v, 1), E_FULL); // over the ceiling of 32 KiB by itself
    assert_int_equal(net_write(c.s, &w, 1), 1); // waits for the connection
    assert_int_equal(net_queued(c.s), 20 << 10);
    assert_int_equal(net_write(c.s, &w, 1), E_FULL);
    assert_int_equal(net_queued(c.s), 20 << 10); // nothing of it was taken
    net_close(c.s, true);
    rig_run(&r);
    rig_down(&r);
}

static void test_many(void **state)
{
    (void)state;
    enum { MANY = 2000 };
    struct rig r;
    rig_up(&r, NULL);
    echo_listen(&r, NULL);
    struct client *c = calloc(MANY, sizeof *c);
    for (int i = 0; i < MANY; i++)
        c[i].total = 500 + (size_t)i;
    clients_run(&r, c, MANY, echo_addr(&r));
    for (int i = 0; i < MANY; i++)
        if (c[i].got != c[i].total)
            fail_msg("client %d: %zu of %zu bytes, status %d %s", i, c[i].got, c[i].total,
                     c[i].status, c[i].why);
    assert_int_equal(r.accepted, MANY);
    assert_int_equal(r.closed, MANY);
    free(c);
    rig_down(&r);
}

#define NET_CASES                                                                                  \
    cmocka_unit_test(test_echo), cmocka_unit_test(test_slow_reader),                               \
        cmocka_unit_test(test_connect_errors), cmocka_unit_test(test_connect_by_name),             \
        cmocka_unit_test(test_close_while_connecting), cmocka_unit_test(test_ceiling),             \
        cmocka_unit_test(test_many)

#endif
