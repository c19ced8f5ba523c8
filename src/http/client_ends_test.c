// client_ends_test.c: how calls end that do not end well: garbage, silence, cancels, a pool that is
// freed under them.
// SPDX-License-Identifier: Apache-2.0
#include "http/http_rig.h"

static void ended_with(const struct call *c, int code)
{
    if (c->ended != 1 || c->code != code)
        fail_msg("ended %d times with %d (%s), wanted %s", c->ended, c->code, c->why,
                 err_info(code)->symbol);
}

static void next_one(struct rig *r, int round)
{
    if (round == 0)
        (void)ask(r, 0);
    else
        rig_done(r);
}

// ---- answers that are none ---------------------------------------------------------------------

static void serve_answer(struct peer *p)
{
    int fd = peer_accept(p);
    (void)peer_hear(p, fd);
    peer_say(fd, p->answer);
    (void)shutdown(fd, SHUT_WR);
    peer_bye(fd);
}

static void test_garbage(void **state)
{
#define OK_HEAD "HTTP/1.1 200 OK\r\n"
    static char long_line[80000];
    static const struct {
        const char *answer;
        int code;
        const char *body;
    } cases[] = {
        {"", E_CLOSED, ""},
        {"HTTP/1.1 200 OK\r\nContent-", E_CLOSED, ""},
        {"HTTP/1.1 100 Continue\r\n\r\n", E_CLOSED, ""},
        {"SSH-2.0-OpenSSH\r\n", E_UPSTREAM, ""},
        {"\x16\x03\x01\x02garbage", E_UPSTREAM, ""},
        {"HTTP/1.1 abc\r\n\r\n", E_UPSTREAM, ""},
        {"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", E_UPSTREAM, ""},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", E_UPSTREAM, ""},
        {OK_HEAD "Content-Length: 5\r\n\r\nabc", E_CLOSED, "abc"},
        {OK_HEAD "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", E_CLOSED, "abc"},
        {OK_HEAD "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n", E_UPSTREAM, "abc"},
        {OK_HEAD "\r\nuntil the end", 0, "until the end"},
        {long_line, E_UPSTREAM, ""},
    };
    (void)state;
    int n = snprintf(long_line, 100, OK_HEAD "X: ");
    memset(long_line + n, 'a', sizeof(long_line) - 1 - (size_t)n);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        static struct rig r;
        r = (struct rig){.peer.answer = cases[i].answer};
        rig_run(&r, next_one, serve_answer, NULL);
        if (r.calls[0].code != cases[i].code)
            fail_msg("%.40s: %d %s", cases[i].answer, r.calls[0].code, r.calls[0].why);
        ended_with(&r.calls[0], cases[i].code);
        assert_true(bytes_is(buf_bytes(&r.calls[0].body), cases[i].body));
        assert_int_equal(r.peer.accepted, 1); // nothing of this is tried again
        rig_fini(&r);
    }
}

// ---- HEAD: a length, and no body ----------------------------------------------------------------

static void next_heads(struct rig *r, int round)
{
    if (round < 2)
        (void)ask_with(r, round, &(struct ask){.method = "HEAD"});
    else
        rig_done(r);
}

static void serve_heads(struct peer *p)
{
    int fd = peer_accept(p);
    for (int i = 0; i < 2; i++) {
        (void)peer_hear(p, fd);
        peer_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    }
    peer_bye(fd);
}

static void test_answers_to_head(void **state)
{
    static struct rig r;
    (void)state;
    r = (struct rig){0};
    rig_run(&r, next_heads, serve_heads, NULL);
    for (int i = 0; i < 2; i++) {
        ended_with(&r.calls[i], 0);
        assert_int_equal(r.calls[i].heads, 1);
        assert_int_equal(r.calls[i].body.n, 0);
    }
    assert_int_equal(r.peer.accepted, 1); // the connection is good for the next one
    rig_fini(&r);
}

// The server answers before it has read the request: the answer counts, the connection does not.
static void serve_early(struct peer *p)
{
    char part[100];
    int fd = peer_accept(p);
    (void)recv(fd, part, sizeof(part), 0);
    peer_say(fd, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno");
    peer_bye(fd);
    fd = peer_accept(p);
    (void)peer_hear(p, fd);
    peer_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    peer_bye(fd);
}

static char *big;
#define BIG_BYTES (32 << 20) // more than kernels take for both sides

static void next_early(struct rig *r, int round)
{
    struct ask post = {.method = "POST", .body = {{big, BIG_BYTES}}};
    if (round == 0)
        (void)ask_with(r, 0, &post);
    else if (round == 1)
        (void)ask(r, 1);
    else
        rig_done(r);
}

static void test_early_answer(void **state)
{
    (void)state;
    static struct rig r;
    r = (struct rig){0};
    big = calloc(1, BIG_BYTES);
    rig_run(&r, next_early, serve_early, NULL);
    ended_with(&r.calls[0], 0);
    assert_int_equal(r.calls[0].status, 413);
    ended_with(&r.calls[1], 0);
    assert_false(r.calls[1].reused);
    free(big);
    rig_fini(&r);
}

static void test_refused(void **state)
{
    (void)state;
    static struct rig r;
    struct peer gone = {0};
    peer_up(&gone, NULL);
    peer_down(&gone); // its port is free now
    r = (struct rig){0};
    rig_run(&r, next_one, NULL, &(struct http_pool_args){.addr.port = gone.port});
    ended_with(&r.calls[0], E_REFUSED);
    assert_false(r.calls[0].handed);
    rig_fini(&r);
}

// ---- deadlines ---------------------------------------------------------------------------------

static void serve_silence(struct peer *p)
{
    int fd = peer_accept(p);
    (void)peer_hear(p, fd);
    peer_say(fd, p->answer);
    peer_bye(fd);
}

static void next_deadline(struct rig *r, int round)
{
    struct ask a = {.first_byte_ms = 100, .silence_ms = 100};
    if (round == 0)
        (void)ask_with(r, 0, &a);
    else
        rig_done(r);
}

static void test_deadlines(void **state)
{
    static const struct {
        const char *answer, *why;
    } cases[] = {
        {"", "no answer after 100 ms"},
        {OK_HEAD "Content-Length: 5\r\n\r\nab", "the answer stalled for 100 ms"},
        {OK_HEAD "Transfer-Encoding: chunked\r\n\r\n", "the answer stalled for 100 ms"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        static struct rig r;
        r = (struct rig){.peer.answer = cases[i].answer};
        int64_t began = time_mono_ms();
        rig_run(&r, next_deadline, serve_silence, NULL);
        ended_with(&r.calls[0], E_TIMEOUT);
        assert_true(r.calls[0].handed);
        assert_string_equal(r.calls[0].why, cases[i].why);
        assert_true(time_mono_ms() - began >= 100);
        rig_fini(&r);
    }
}

// A call that is held by its reader does not stall; when it goes on its time begins anew.
static struct timer pause_timer;

static void hold_over(struct timer *t)
{
    struct call *c = t->user;
    assert_int_equal(c->ended, 0);
    http_call_read(c->c, true);
}

static void hold(struct call *c)
{
    if (c->body.n > 2)
        return;
    http_call_read(c->c, false);
    pause_timer = (struct timer){.fn = hold_over, .user = c};
    assert_int_equal(timer_start(loop_timers(c->rig->loop), &pause_timer, 700), 0);
}

static void serve_two_parts(struct peer *p)
{
    int fd = peer_accept(p);
    (void)peer_hear(p, fd);
    peer_say(fd, OK_HEAD "Content-Length: 4\r\n\r\nab");
    (void)poll(NULL, 0, 30); // so that the two parts are two
    peer_say(fd, "cd");
    peer_bye(fd);
}

static void test_held(void **state)
{
    (void)state;
    static struct rig r;
    r = (struct rig){.on_body = hold};
    rig_run(&r, next_deadline, serve_two_parts, NULL);
    ended_with(&r.calls[0], 0);
    assert_true(bytes_is(buf_bytes(&r.calls[0].body), "abcd"));
    rig_fini(&r);
}

// ---- cancelled, and the pool freed, at each point ----------------------------------------------

enum when { AT_START, AT_HEAD, AT_BODY, AT_END, WHENS };
static enum when when;
static bool free_pool; // else the call is cancelled

static void act(struct call *c)
{
    if (!free_pool) {
        http_call_cancel(c->c);
        http_call_cancel(c->c); // twice is harmless
        return;
    }
    http_pool_free(c->rig->pool);
    c->rig->pool = NULL;
}

static void act_at_head(struct call *c)
{
    if (when == AT_HEAD)
        act(c);
}
static void act_at_body(struct call *c)
{
    if (when == AT_BODY)
        act(c);
}
static void act_at_end(struct call *c)
{
    if (when == AT_END && c == &c->rig->calls[0])
        act(c);
}

// Answers on up to three connections at once, until the listening socket is shut and all are
// closed.
static void serve_all(struct peer *p)
{
    struct pollfd f[4] = {{.fd = p->listening, .events = POLLIN}};
    int open = 1;
    for (int i = 1; i < 4; i++)
        f[i] = (struct pollfd){.fd = -1, .events = POLLIN};
    while (open > 0 && poll(f, 4, PEER_MS) > 0) {
        for (int i = 1; i < 4; i++) {
            if (f[i].fd < 0 || !f[i].revents)
                continue;
            if (peer_hear(p, f[i].fd)) {
                peer_say(f[i].fd, OK_HEAD "Transfer-Encoding: chunked\r\n\r\n"
                                          "2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n");
                continue;
            }
            (void)close(f[i].fd);
            f[i].fd = -1;
            open--;
        }
        if (f[0].fd >= 0 && f[0].revents) {
            int fd = accept(p->listening, NULL, NULL);
            int at = f[1].fd < 0 ? 1 : f[2].fd < 0 ? 2 : 3;
            f[fd < 0 ? 0 : at].fd = fd;
            open += fd < 0 ? -1 : 1;
        }
    }
}

static void next_acted(struct rig *r, int round)
{
    if (round > 0) {
        rig_done(r);
        return;
    }
    struct call *a = ask(r, 0), *b = ask(r, 1);
    (void)b;
    if (when == AT_START)
        act(a);
    assert_int_equal(a->ended, 0); // later, never from inside
}

static void test_acts(void **state)
{
    (void)state;
    for (int i = 0; i < WHENS * 2; i++) {
        static struct rig r;
        when = (enum when)(i / 2);
        free_pool = i % 2;
        r = (struct rig){.on_head = act_at_head, .on_body = act_at_body, .on_end = act_at_end};
        rig_run(&r, next_acted, serve_all, NULL);
        ended_with(&r.calls[0], when == AT_END ? 0 : E_CANCELLED);
        assert_int_equal(r.calls[1].ended, 1);
        if (!free_pool && (when == AT_START || when == AT_END))
            ended_with(&r.calls[1], 0);
        rig_fini(&r);
    }
}

// A call whose end is due in the next round, when the end of another one cancels it: whoever gave
// it up may be gone by then, so it must say nothing else.
static void serve_mute(struct peer *p)
{
    peer_bye(peer_accept(p));
}

static void cancel_other(struct call *c)
{
    if (c == &c->rig->calls[0])
        http_call_cancel(c->rig->calls[1].c);
}

static void next_two(struct rig *r, int round)
{
    if (round > 0) {
        rig_done(r);
        return;
    }
    (void)ask(r, 0); // its handshake never ends ...
    (void)ask(r, 1); // ... so there is no time left to make a connection for this one
}

static void test_cancel_of_a_due_end(void **state)
{
    (void)state;
    static struct rig r;
    struct net_tls *tls = NULL;
    struct err e = {0};
    assert_int_equal(net_tls_new(&tls, &(struct net_tls_args){.insecure = true}, &e), 0);
    r = (struct rig){.on_end = cancel_other};
    rig_run(&r, next_two, serve_mute,
            &(struct http_pool_args){.tls = tls, .connect_ms = 200, .dials_max = 1});
    net_tls_free(tls);
    ended_with(&r.calls[0], E_TIMEOUT);
    assert_false(r.calls[0].handed); // another one may be asked: nobody has seen it
    ended_with(&r.calls[1], E_CANCELLED);
    rig_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_garbage),      cmocka_unit_test(test_answers_to_head),
        cmocka_unit_test(test_early_answer), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_deadlines),    cmocka_unit_test(test_held),
        cmocka_unit_test(test_acts),         cmocka_unit_test(test_cancel_of_a_due_end),
    };
    return cmocka_run_group_tests_name("client_ends", tests, NULL, NULL);
}
