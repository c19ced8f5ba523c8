// loop_rig.h: for the tests of room loop: a loop with a deadline, an echo server, checking clients.
// The tests include cmocka.h before it.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_LOOP_LOOP_RIG_H
#define PLEXUS_LOOP_LOOP_RIG_H

#include "base/alloc.h"
#include "base/rng.h"
#include "loop/loop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Not each test uses each function.
#pragma GCC diagnostic ignored "-Wunused-function"

enum { TEST_DEADLINE_MS = 20000, ECHO_QUEUE_MAX = 64 << 10 };

struct rig {
    struct loop *loop;
    struct net *net;
    struct net_listener *listener;
    struct net_tls *tls; // of the server, NULL: plain
    int64_t handshake_ms;
    struct timer deadline;
    unsigned accepted, over, ended, closed; // of the server's side
    bool late;
};

static void rig_late(struct timer *t)
{
    struct rig *r = t->user;
    r->late = true;
    loop_stop(r->loop);
}

static void rig_up(struct rig *r, const struct loop_args *args)
{
    struct err e = {0};
    memset(r, 0, sizeof *r);
    if (loop_new(&r->loop, args, &e) != 0)
        fail_msg("%s", e.text);
    r->net = loop_net(r->loop);
    r->deadline.fn = rig_late;
    r->deadline.user = r;
    assert_int_equal(timer_start(loop_timers(r->loop), &r->deadline, TEST_DEADLINE_MS), 0);
}

static void rig_down(struct rig *r)
{
    loop_free(r->loop);
    assert_int_equal(mem_live(), 0);
}

static void rig_run(struct rig *r)
{
    assert_int_equal(loop_run(r->loop), 0);
    if (r->late)
        fail_msg("the test took longer than %d ms", TEST_DEADLINE_MS);
}

// ---- the echo server: stops reading while its output is queued

static void echo_data(struct net_stream *s, char *p, size_t n)
{
    struct bytes v[2] = {{p, n / 3}, {p + n / 3, n - n / 3}};
    int rc = net_write(s, v, 2);
    if (rc == E_CLOSED)
        return;
    if (rc == E_NOMEM) {
        net_close(s, true);
        return;
    }
    assert_in_range(rc, 0, 1);
    if (rc == 1)
        net_read(s, false);
}
static void echo_drain(struct net_stream *s)
{
    net_read(s, true);
}
static void echo_end(struct net_stream *s, int status)
{
    struct rig *r = s->user;
    (void)status;
    r->ended++;
    net_close(s, false);
}
static void echo_closed(struct net_stream *s)
{
    struct rig *r = s->user;
    r->closed++;
}
static const struct net_handler echo_handler = {
    .on_data = echo_data, .on_end = echo_end, .on_drain = echo_drain, .on_closed = echo_closed};

static void echo_accept(void *user, struct net_stream *s, bool over_limit)
{
    struct rig *r = user;
    s->handler = &echo_handler;
    s->user = r;
    if (over_limit) {
        struct bytes v = BYTES("full\n");
        r->over++;
        (void)net_write(s, &v, 1);
        net_close(s, false);
        return;
    }
    r->accepted++;
    net_read(s, true);
}

static void echo_listen(struct rig *r, const char *unix_path)
{
    struct net_listen_args a = {.tls = r->tls,
                                .handshake_ms = r->handshake_ms,
                                .addr = {.host = "127.0.0.1"},
                                .queue_bytes_max = 1 << 20,
                                .backlog = 4096,
                                .on_accept = echo_accept,
                                .user = r};
    struct err e = {0};
    if (unix_path != NULL) {
        a.addr.unix_socket = true;
        (void)snprintf(a.addr.host, sizeof a.addr.host, "%s", unix_path);
    }
    if (net_listen(r->net, &a, &r->listener, &e) != 0)
        fail_msg("%s", e.text);
}

static struct net_addr echo_addr(const struct rig *r)
{
    struct net_addr a = {.host = "127.0.0.1", .port = net_listener_port(r->listener)};
    return a;
}

// ---- the client: sends `total` bytes in pieces of random size, checks what comes back

struct client {
    struct rig *rig;
    struct net_tls *tls;
    const char *server_name;
    struct net_stream *s;
    struct rng rng;
    size_t total, sent, got, piece_max, queued_max;
    uint64_t slow; // pauses reading after each piece for so many ms
    struct timer pause;
    int status;
    char why[256];
    unsigned opened, ended, closed;
    unsigned *left; // clients that are not closed; the last one stops the loop
};

static char pattern(size_t at)
{
    return (char)(at * 31 + (at >> 8) * 7);
}

static void client_feed(struct client *c)
{
    char piece[16384];
    while (c->sent < c->total) {
        size_t n = 1 + (size_t)rng_below(&c->rng, c->piece_max);
        if (n > c->total - c->sent)
            n = c->total - c->sent;
        for (size_t i = 0; i < n; i++)
            piece[i] = pattern(c->sent + i);
        struct bytes v = {piece, n};
        int rc = net_write(c->s, &v, 1);
        if (rc == E_CLOSED)
            return; // on_end follows
        if (rc == E_NOMEM) {
            net_close(c->s, true);
            return;
        }
        assert_in_range(rc, 0, 1);
        c->sent += n;
        if (net_queued(c->s) > c->queued_max)
            c->queued_max = net_queued(c->s);
        if (rc == 1)
            return;
    }
}
static void client_open(struct net_stream *s, int status, const struct err *e)
{
    struct client *c = s->user;
    c->opened++;
    c->status = status;
    if (status < 0) {
        (void)snprintf(c->why, sizeof c->why, "%.200s", e->text);
        net_close(s, false);
        return;
    }
    net_read(s, true);
    client_feed(c);
}
static void client_pause_over(struct timer *t)
{
    struct client *c = t->user;
    net_read(c->s, true);
}
static void client_data(struct net_stream *s, char *p, size_t n)
{
    struct client *c = s->user;
    for (size_t i = 0; i < n; i++) {
        if (p[i] != pattern(c->got + i))
            fail_msg("byte %zu is %d", c->got + i, p[i]);
    }
    c->got += n;
    assert_true(c->got <= c->total);
    if (c->got == c->total) {
        net_close(s, false);
    } else if (c->slow > 0) {
        net_read(s, false);
        c->pause.fn = client_pause_over;
        c->pause.user = c;
        assert_int_equal(timer_start(loop_timers(c->rig->loop), &c->pause, (int64_t)c->slow), 0);
    }
}
static void client_end(struct net_stream *s, int status)
{
    struct client *c = s->user;
    c->ended++;
    c->status = status;
    net_close(s, false);
}
static void client_drain(struct net_stream *s)
{
    client_feed(s->user);
}
static void client_closed(struct net_stream *s)
{
    struct client *c = s->user;
    c->closed++;
    if (--*c->left == 0)
        loop_stop(c->rig->loop);
}
static const struct net_handler client_handler = {.on_open = client_open,
                                                  .on_data = client_data,
                                                  .on_end = client_end,
                                                  .on_drain = client_drain,
                                                  .on_closed = client_closed};

static void client_start(struct client *c, struct rig *r, struct net_addr addr, unsigned *left)
{
    struct net_connect_args a = {.addr = addr,
                                 .timeout_ms = 10000,
                                 .queue_bytes_max = 32 << 10,
                                 .handler = &client_handler,
                                 .user = c,
                                 .tls = c->tls,
                                 .server_name = c->server_name};
    struct err e = {0};
    c->rig = r;
    c->left = left;
    if (c->piece_max == 0)
        c->piece_max = 5000;
    rng_init(&c->rng, 7 + c->total);
    if (net_connect(r->net, &a, &c->s, &e) != 0)
        fail_msg("%s", e.text);
    assert_int_equal(c->opened + c->closed, 0); // never from inside
}

static void clients_run(struct rig *r, struct client *c, unsigned count, struct net_addr addr)
{
    unsigned left = count;
    for (unsigned i = 0; i < count; i++)
        client_start(&c[i], r, addr, &left);
    rig_run(r);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(c[i].opened, 1);
        assert_int_equal(c[i].closed, 1);
    }
}

#endif
