// client_test.c: the HTTP client against servers that are slow, rude, or gone.
// SPDX-License-Identifier: Apache-2.0
#include "http/http_rig.h"

static void is_whole(const struct call *c, const char *body)
{
    if (c->ended != 1 || c->code != 0)
        fail_msg("ended %d times with %d: %s", c->ended, c->code, c->why);
    assert_int_equal(c->status, 200);
    assert_true(bytes_is(buf_bytes(&c->body), body));
}

static void ended_with(const struct call *c, int code)
{
    if (c->ended != 1 || c->code != code)
        fail_msg("ended %d times with %d (%s), wanted %s", c->ended, c->code, c->why,
                 err_info(code)->symbol);
}

// ---- kept connections --------------------------------------------------------------------------

static void serve_kept(struct peer *p)
{
    static const char *const answers[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nt\r\n2;x\r\nwo\r\n0\r\nT: "
        "1\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nfour",
    };
    int fd = peer_accept(p);
    for (int i = 0; i < 4; i++) {
        if (!peer_hear(p, fd))
            break;
        if (i < 2) {
            peer_say(fd, answers[i]);
            continue;
        }
        for (const char *at = answers[i]; *at; at++) // a byte at a time
            peer_say(fd, (char[2]){*at, 0});
    }
    peer_bye(fd);
    fd = peer_accept(p); // the fourth answer closed that one
    (void)peer_hear(p, fd);
    peer_say(fd, "HTTP/1.1 200 OK\r\n\r\nuntil the connection ends");
    (void)close(fd);
}

static void next_kept(struct rig *r, int round)
{
    if (round < 5)
        (void)ask(r, round);
    else
        rig_done(r);
}

static void test_kept(void **state)
{
    (void)state;
    static struct rig r;
    r = (struct rig){0};
    rig_run(&r, next_kept, serve_kept, NULL);
    static const char *const bodies[] = {"one", "two", "", "four", "until the connection ends"};
    for (int i = 0; i < 5; i++) {
        is_whole(&r.calls[i], bodies[i]);
        assert_int_equal(r.calls[i].heads, 1);
        assert_int_equal(r.calls[i].reused, i > 0 && i < 4);
    }
    assert_int_equal(r.peer.accepted, 2);
    char want[200];
    (void)snprintf(want, sizeof(want), "GET /x HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nX-Test: 1\r\n\r\n",
                   r.peer.port);
    assert_string_equal(r.peer.seen, want);
    rig_fini(&r);
}

// A kept connection that the server closed as the request came: once more, on a new one.
static void serve_stale(struct peer *p)
{
    int fd = peer_accept(p);
    (void)peer_hear(p, fd);
    peer_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    (void)peer_hear(p, fd);
    (void)close(fd); // without a word
    fd = peer_accept(p);
    (void)peer_hear(p, fd);
    peer_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nagain");
    (void)peer_hear(p, fd);
    peer_say(fd, "HTTP/1.1 "); // it began to answer: no more retry
    (void)close(fd);
    fd = peer_accept(p);
    (void)peer_hear(p, fd);
    (void)close(fd); // a fresh one: no retry either
}

static void next_stale(struct rig *r, int round)
{
    struct ask post = {.method = "POST", .body = {BYTES("first "), BYTES("second")}};
    if (round < 4)
        (void)ask_with(r, round, &post);
    else
        rig_done(r);
}

static void test_stale(void **state)
{
    (void)state;
    static struct rig r;
    r = (struct rig){0};
    rig_run(&r, next_stale, serve_stale, NULL);
    is_whole(&r.calls[0], "ok");
    is_whole(&r.calls[1], "again");
    ended_with(&r.calls[2], E_CLOSED);
    ended_with(&r.calls[3], E_CLOSED);
    assert_int_equal(r.calls[3].reused, 0);
    assert_int_equal(r.peer.accepted, 3);
    assert_int_equal(r.peer.body_bytes, 12);
    rig_fini(&r);
}

// More is sent than was asked for: the answer counts, the connection is not used again.
static void serve_too_much(struct peer *p)
{
    for (int i = 0; i < 3; i++) {
        int fd = peer_accept(p);
        (void)peer_hear(p, fd);
        if (i == 0)
            peer_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n");
        else
            peer_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        if (i == 1) { // and one that speaks without being asked, while idle
            char c;
            peer_say(fd, "HTTP/1.1 408 Request Timeout\r\n\r\n");
            (void)recv(fd, &c, 1, 0); // until it is closed for that
            (void)close(fd);
            continue;
        }
        peer_bye(fd);
    }
}

static void later_done(struct timer *t);
static struct timer pause_timer;

static void next_too_much(struct rig *r, int round)
{
    if (round != 2 && round < 4) {
        (void)ask(r, round);
    } else if (round == 2) { // the unasked words must have come
        pause_timer = (struct timer){.fn = later_done, .user = r};
        r->left++;
        assert_int_equal(timer_start(loop_timers(r->loop), &pause_timer, 200), 0);
    } else {
        rig_done(r);
    }
}

static void later_done(struct timer *t)
{
    struct rig *r = t->user;
    if (--r->left == 0)
        rig_step(r);
}

static void test_too_much(void **state)
{
    (void)state;
    static struct rig r;
    r = (struct rig){0};
    rig_run(&r, next_too_much, serve_too_much, NULL);
    is_whole(&r.calls[0], "ok");
    is_whole(&r.calls[1], "ok");
    is_whole(&r.calls[3], "ok");
    assert_int_equal(r.calls[3].reused, 0);
    assert_int_equal(r.peer.accepted, 3);
    rig_fini(&r);
}

// Idle connections are kept up to a number and for a time.
static void serve_three(struct peer *p)
{
    int fd[3];
    for (int i = 0; i < 3; i++) {
        fd[i] = peer_accept(p);
        (void)peer_hear(p, fd[i]);
    }
    for (int i = 0; i < 3; i++)
        peer_say(fd[i], "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    for (int i = 0; i < 3; i++)
        peer_bye(fd[i]); // all three are closed by the client
}

static void next_idle(struct rig *r, int round)
{
    for (int i = 0; round == 0 && i < 3; i++)
        (void)ask(r, i);
    if (round == 1) { // longer than idle_ms and a sweep
        pause_timer = (struct timer){.fn = later_done, .user = r};
        r->left++;
        assert_int_equal(timer_start(loop_timers(r->loop), &pause_timer, 700), 0);
    }
    if (round == 2)
        rig_done(r);
}

static void test_idle(void **state)
{
    (void)state;
    static struct rig r;
    r = (struct rig){0};
    rig_run(&r, next_idle, serve_three, &(struct http_pool_args){.idle_max = 2, .idle_ms = 100});
    for (int i = 0; i < 3; i++)
        is_whole(&r.calls[i], "ok");
    rig_fini(&r);
}

// ---- large bodies ------------------------------------------------------------------------------

#define BIG_BYTES (32 << 20)

static uint64_t first_sum;

static void serve_slow_reader(struct peer *p)
{
    int fd = peer_accept(p);
    (void)peer_hear(p, fd);
    first_sum = p->body_sum;
    peer_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    (void)peer_hear(p, fd);
    peer_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nkept");
    peer_bye(fd);
}

static char *big;

static void next_slow_reader(struct rig *r, int round)
{
    struct ask post = {.method = "POST", .body = {BYTES("{"), {big, BIG_BYTES}}};
    if (round == 0)
        (void)ask_with(r, 0, &post);
    else if (round == 1)
        (void)ask(r, 1);
    else
        rig_done(r);
}

static void test_slow_reader(void **state)
{
    (void)state;
    static struct rig r;
    r = (struct rig){0};
    uint64_t sum = '{';
    big = malloc(BIG_BYTES);
    for (size_t i = 0; i < BIG_BYTES; i++) {
        big[i] = (char)(i * 7 + (i >> 12));
        sum = sum * 31 + (unsigned char)big[i];
    }
    rig_run(&r, next_slow_reader, serve_slow_reader, NULL);
    is_whole(&r.calls[0], "ok");
    is_whole(&r.calls[1], "kept");
    assert_int_equal(r.peer.accepted, 1);
    assert_true(first_sum == sum);
    free(big);
    rig_fini(&r);
}

// ---- connections that are made at once ---------------------------------------------------------

static void serve_each(struct peer *p)
{
    int fds[RIG_CALLS];
    for (int i = 0; i < RIG_CALLS; i++) // none gets free before all are there
        fds[i] = peer_accept(p);
    for (int i = 0; i < RIG_CALLS; i++) {
        (void)peer_hear(p, fds[i]);
        peer_say(fds[i], "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    }
    for (int i = 0; i < RIG_CALLS; i++)
        peer_bye(fds[i]);
}

static void next_all(struct rig *r, int round)
{
    for (int i = 0; round == 0 && i < RIG_CALLS; i++)
        (void)ask(r, i);
    if (round == 1)
        rig_done(r);
}

static void test_one_after_the_other(void **state)
{
    (void)state;
    static struct rig r;
    r = (struct rig){0};
    rig_run(&r, next_all, serve_each, &(struct http_pool_args){.dials_max = 1});
    for (int i = 0; i < RIG_CALLS; i++)
        is_whole(&r.calls[i], "ok");
    assert_int_equal(r.peer.accepted, RIG_CALLS);
    rig_fini(&r);
}

// A peer that never ends a handshake: no more than two are tried, and all hear of it in time.
static void serve_mute(struct peer *p)
{
    int fds[RIG_CALLS] = {peer_accept(p), peer_accept(p)};
    peer_bye(fds[0]);
    peer_bye(fds[1]);
}

static void next_mute(struct rig *r, int round)
{
    if (round == 0)
        next_all(r, 0);
    if (round == 0)
        http_call_cancel(r->calls[7].c); // one that waits
    if (round == 1)
        rig_done(r);
}

static void test_all_wait_for_two(void **state)
{
    (void)state;
    static struct rig r;
    struct net_tls *tls = NULL;
    r = (struct rig){0};
    assert_int_equal(net_tls_new(&tls, &(struct net_tls_args){.insecure = true}, NULL), 0);
    int64_t from = time_mono_ms();
    rig_run(&r, next_mute, serve_mute,
            &(struct http_pool_args){.dials_max = 2, .connect_ms = 300, .tls = tls});
    for (int i = 0; i < RIG_CALLS; i++)
        ended_with(&r.calls[i], i == 7 ? E_CANCELLED : E_TIMEOUT);
    assert_int_equal(r.peer.accepted, 2);
    assert_in_range(time_mono_ms() - from, 250, 2000);
    net_tls_free(tls);
    rig_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kept),
        cmocka_unit_test(test_stale),
        cmocka_unit_test(test_too_much),
        cmocka_unit_test(test_idle),
        cmocka_unit_test(test_slow_reader),
        cmocka_unit_test(test_one_after_the_other),
        cmocka_unit_test(test_all_wait_for_two),
    };
    return cmocka_run_group_tests_name("client", tests, NULL, NULL);
}
