// torture_test.c: memory runs out at each allocation of a request in turn, on the server's and the
// client's side: the call ends once, nothing is lost, the next request is served.
// SPDX-License-Identifier: Apache-2.0
#include "http/http_rig.h"

#define BODY_BYTES 40000 // comes in pieces, and is more than a small body

struct both {
    struct rig rig;
    struct http_server *server;
    struct timer end;
    uint64_t fail_at;
    bool sticky;
    char *body;
};

static void on_request(void *user, struct http_exchange *x)
{
    struct bytes body = http_body(x);
    (void)user;
    if (body.n != BODY_BYTES) {
        http_reply(x, 200, "text/plain", BYTES_NONE, BYTES("ok"));
        return;
    }
    http_begin(x, 200, "text/plain", BYTES_NONE, HTTP_CHUNKED);
    for (size_t at = 0; at < body.n; at += 10000) {
        struct bytes part = bytes_first(bytes_from(body, at), 10000);
        if (http_send(x, &part, 1) < 0) { // cut, so that the client sees it
            http_abort(x);
            return;
        }
    }
    http_finish(x);
}

static struct both *of(struct rig *r)
{
    return (struct both *)(void *)r; // rig is the first member
}

static void finish(struct timer *t)
{
    struct both *b = t->user;
    timer_stop(loop_timers(b->rig.loop), &b->rig.deadline);
    http_pool_free(b->rig.pool);
    http_server_drain(b->server, NULL, NULL);
    http_server_abort(b->server);
    loop_stop(b->rig.loop);
}

static void start(struct both *b, int i, struct bytes body)
{
    struct call *c = &b->rig.calls[i];
    struct err e = {0};
    struct http_call_args args = {.method = BYTES("POST"),
                                  .target = BYTES("/torture"),
                                  .headers = BYTES("X-Test: 1\r\n"),
                                  .body = &body,
                                  .body_count = 1,
                                  .first_byte_ms = 200,
                                  .silence_ms = 200,
                                  .handler = &call_handler,
                                  .user = c};
    buf_fini(&c->body);
    *c = (struct call){.rig = &b->rig};
    buf_init(&c->body, 1 << 20);
    (void)buf_room(&c->body, 1 << 17); // the test's own memory is not what is tried
    if (i == 0)
        mem_fail_after(b->fail_at, b->sticky);
    uint64_t before = mem_count();
    int status = http_call_start(b->rig.pool, &args, &c->c, &e);
    if (status < 0) {
        assert_true(mem_count() > before);
        assert_int_equal(status, e.code);
        c->ended = 1;
        c->code = status;
    } else {
        b->rig.left++;
    }
}

static void next(struct rig *r, int round)
{
    struct both *b = of(r);
    if (round == 0)
        start(b, 0, (struct bytes){b->body, BODY_BYTES});
    if (round == 0 && r->left > 1)
        return;
    mem_fail_after(0, 0);
    if (round <= 1 && !r->calls[1].ended && !r->calls[1].c)
        start(b, 1, BYTES("again"));
    if (r->left > 1)
        return;
    b->end = (struct timer){.fn = finish, .user = b};
    assert_int_equal(timer_start(loop_timers(r->loop), &b->end, 0), 0);
}

static void one(struct both *b)
{
    struct rig *r = &b->rig;
    struct err e = {0};
    struct net_listener *l;
    assert_int_equal(loop_new(&r->loop, &(struct loop_args){0}, &e), 0);
    struct http_server_args args = {.net = loop_net(r->loop),
                                    .timers = loop_timers(r->loop),
                                    .limits = {.head_ms = 200, .body_ms = 200, .write_ms = 200},
                                    .routes = {.on_request = on_request}};
    assert_int_equal(http_server_new(&b->server, &args, &e), 0);
    struct net_listen_args at = {.queue_bytes_max = 1 << 20, .addr.host = "127.0.0.1"};
    assert_int_equal(http_server_listen(b->server, &at, 0, &l, &e), 0);
    struct http_pool_args to = {
        .net = args.net, .timers = args.timers, .addr = {.host = "127.0.0.1"}};
    to.addr.port = net_listener_port(l);
    assert_int_equal(http_pool_new(&r->pool, &to, &e), 0);
    r->next = next;
    r->deadline = (struct timer){.fn = rig_late, .user = r};
    assert_int_equal(timer_start(args.timers, &r->deadline, RIG_DEADLINE_MS), 0);
    rig_step(r);
    assert_int_equal(loop_run(r->loop), 0);
    mem_fail_after(0, 0);
    http_server_free(b->server);
    loop_free(r->loop);
    if (r->late)
        fail_msg("fault %d: a call never ended", (int)b->fail_at);
}

static void run_all(bool sticky)
{
    char *body = malloc(BODY_BYTES);
    memset(body, 'b', BODY_BYTES);
    size_t failed = 0;
    for (uint64_t at = 1; at < 500; at++) {
        static struct both b;
        b = (struct both){.fail_at = at, .sticky = sticky, .body = body};
        uint64_t before = mem_count();
        one(&b);
        struct call *c = &b.rig.calls[0], *again = &b.rig.calls[1];
        assert_int_equal(c->ended, 1);
        assert_true(c->code <= 0);
        failed += c->code != 0 || c->status != 200;
        if (c->code == 0 && c->status == 200)
            assert_int_equal(c->body.n, BODY_BYTES);
        if (again->code != 0 || again->status != 200)
            fail_msg("after fault %d: %d %d %s", (int)at, again->code, again->status, again->why);
        bool done = c->code == 0 && c->status == 200 && mem_count() - before < at;
        for (int i = 0; i < 2; i++)
            buf_fini(&b.rig.calls[i].body);
        assert_int_equal(mem_live(), 0);
        if (done)
            break;
    }
    assert_true(failed > 5);
    free(body);
}

static void test_one_fault(void **state)
{
    (void)state;
    run_all(false);
}

static void test_all_faults_from_there(void **state)
{
    (void)state;
    run_all(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_fault),
        cmocka_unit_test(test_all_faults_from_there),
    };
    return cmocka_run_group_tests_name("torture", tests, NULL, NULL);
}
