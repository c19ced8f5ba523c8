// http_rig.h: for the tests of the HTTP client: a hand-made server in a thread of its own that says
// what a script says, and calls that remember what came.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_HTTP_HTTP_RIG_H
#define PLEXUS_HTTP_HTTP_RIG_H

#include "base/alloc.h"
#include "base/thread.h"
#include "http/http.h"
#include "loop/loop.h"
#include <arpa/inet.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

// Not each test uses each function.
#pragma GCC diagnostic ignored "-Wunused-function"

enum { RIG_DEADLINE_MS = 20000, RIG_CALLS = 8, PEER_MS = 10000 };

struct peer { // the hand-made server; its thread's until it is joined
    int listening;
    uint16_t port;
    struct thread *thread;
    void (*script)(struct peer *p);
    int accepted;
    const char *answer; // of scripts that only say something
    char seen[4096]; // the last request's beginning
    size_t body_bytes; // of the last request
    uint64_t body_sum;
};

struct rig;
struct call {
    struct rig *rig;
    struct http_call *c;
    struct buf body;
    int status, ended, code; // HTTP status of the head; times on_end came; its status
    int heads;
    bool reused, handed;
    char why[200];
};

struct rig {
    struct loop *loop;
    struct http_pool *pool;
    struct timer deadline;
    struct peer peer;
    struct call calls[RIG_CALLS];
    int left; // calls that have not ended; at 0 next is called
    void (*next)(struct rig *r, int round);
    int round;
    void (*on_head)(struct call *c);
    void (*on_body)(struct call *c);
    void (*on_end)(struct call *c);
    bool late;
};

// ---- the hand-made server ----------------------------------------------------------------------

static int peer_accept(struct peer *p)
{
    struct pollfd wait = {.fd = p->listening, .events = POLLIN};
    if (poll(&wait, 1, PEER_MS) != 1)
        return -1;
    int fd = accept(p->listening, NULL, NULL);
    struct timeval limit = {.tv_sec = PEER_MS / 1000};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    p->accepted++;
    return fd;
}

static void peer_say(int fd, const char *text)
{
    for (size_t n = strlen(text); n;) {
        ssize_t done = send(fd, text, n, MSG_NOSIGNAL);
        if (done <= 0)
            return;
        text += done;
        n -= (size_t)done;
    }
}

// Reads one request with its body; false when the connection ended before.
static bool peer_hear(struct peer *p, int fd)
{
    char part[65536];
    size_t n = 0, head = 0, length = 0;
    p->body_bytes = 0;
    p->body_sum = 0;
    while (head == 0 || p->body_bytes < length) {
        size_t room = head ? sizeof(part) : sizeof(p->seen) - 1 - n;
        ssize_t got = recv(fd, head ? part : p->seen + n, room, 0);
        if (got <= 0)
            return false;
        const char *body = part;
        size_t bytes = (size_t)got;
        if (head == 0) {
            n += bytes;
            p->seen[n] = 0;
            const char *end = strstr(p->seen, "\r\n\r\n"),
                       *says = strstr(p->seen, "Content-Length: ");
            if (!end)
                continue;
            head = (size_t)(end - p->seen) + 4;
            length = says ? strtoul(says + 16, NULL, 10) : 0;
            body = p->seen + head;
            bytes = n - head;
        }
        for (size_t i = 0; i < bytes; i++)
            p->body_sum = p->body_sum * 31 + (unsigned char)body[i];
        p->body_bytes += bytes;
    }
    return true;
}

// Waits until the other side ends the connection, then closes.
static void peer_bye(int fd)
{
    char part[4096];
    while (recv(fd, part, sizeof(part), 0) > 0)
        ;
    (void)close(fd);
}

static void peer_main(void *arg)
{
    struct peer *p = arg;
    p->script(p);
}

static void peer_up(struct peer *p, void (*script)(struct peer *p))
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    p->script = script;
    p->listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int some = 64 << 10; // what the kernel holds for a reader that does not read
    (void)setsockopt(p->listening, SOL_SOCKET, SO_RCVBUF, &some, sizeof(some));
    assert_int_equal(bind(p->listening, (struct sockaddr *)&at, len), 0);
    assert_int_equal(listen(p->listening, 16), 0);
    assert_int_equal(getsockname(p->listening, (struct sockaddr *)&at, &len), 0);
    p->port = ntohs(at.sin_port);
    if (script)
        assert_int_equal(thread_start(&p->thread, "peer", peer_main, p), 0);
}

static void peer_down(struct peer *p)
{
    (void)shutdown(p->listening, SHUT_RDWR); // ends an accept that waits
    thread_join(p->thread);
    (void)close(p->listening);
}

// ---- calls -------------------------------------------------------------------------------------

static void call_on_head(struct http_call *h, const struct http_head *head)
{
    struct call *c = http_call_user(h);
    c->heads++;
    c->status = head->status;
    if (c->rig->on_head)
        c->rig->on_head(c);
}

static void call_on_body(struct http_call *h, const char *p, size_t n)
{
    struct call *c = http_call_user(h);
    assert_int_equal(buf_add(&c->body, p, n), 0);
    if (c->rig->on_body)
        c->rig->on_body(c);
}

static void rig_step(struct rig *r)
{
    r->left = 1; // not again while next starts calls
    r->next(r, r->round++);
    r->left--;
}

static void call_on_end(struct http_call *h, int status, const struct err *e)
{
    struct call *c = http_call_user(h);
    struct rig *r = c->rig;
    c->ended++;
    c->code = status;
    c->reused = http_call_reused(h);
    c->handed = http_call_handed(h);
    assert_true((status == 0) == (e == NULL || e->code == 0));
    (void)snprintf(c->why, sizeof(c->why), "%.190s", e ? e->text : "");
    if (r->on_end)
        r->on_end(c);
    if (--r->left == 0)
        rig_step(r);
}

static const struct http_call_handler call_handler = {
    .on_head = call_on_head, .on_body = call_on_body, .on_end = call_on_end};

struct ask {
    const char *method;
    struct bytes body[2];
    int64_t first_byte_ms, silence_ms;
};

static struct call *ask_with(struct rig *r, int i, const struct ask *a)
{
    struct call *c = &r->calls[i];
    struct err e = {0};
    struct http_call_args args = {
        .method = bytes_of(a->method ? a->method : "GET"),
        .target = BYTES("/x"),
        .headers = BYTES("X-Test: 1\r\n"),
        .body = a->body,
        .body_count = a->body[1].n   ? 2
                      : a->body[0].n ? 1
                                     : 0,
        .first_byte_ms = a->first_byte_ms ? a->first_byte_ms : TIME_NEVER,
        .silence_ms = a->silence_ms ? a->silence_ms : TIME_NEVER,
        .handler = &call_handler,
        .user = c,
    };
    buf_fini(&c->body);
    *c = (struct call){.rig = r};
    buf_init(&c->body, 64 << 20);
    if (http_call_start(r->pool, &args, &c->c, &e) != 0)
        fail_msg("%s", e.text);
    assert_int_equal(c->ended + c->heads, 0); // never from inside
    r->left++;
    return c;
}

static struct call *ask(struct rig *r, int i)
{
    return ask_with(r, i, &(struct ask){0});
}

static void rig_late(struct timer *t)
{
    struct rig *r = t->user;
    r->late = true;
    loop_stop(r->loop);
}

// All is said: the pool goes, and with its streams the loop.
static void rig_done(struct rig *r)
{
    timer_stop(loop_timers(r->loop), &r->deadline);
    http_pool_free(r->pool);
    r->pool = NULL;
    loop_stop(r->loop);
}

// Runs next(0), and when the calls it started have ended next(1), ...; until rig_done.
static void rig_run(struct rig *r, void (*next)(struct rig *r, int round),
                    void (*script)(struct peer *p), const struct http_pool_args *pool)
{
    struct err e = {0};
    struct http_pool_args args = {0};
    if (pool)
        args = *pool;
    r->next = next;
    peer_up(&r->peer, script);
    if (loop_new(&r->loop, &(struct loop_args){0}, &e) != 0)
        fail_msg("%s", e.text);
    args.net = loop_net(r->loop);
    args.timers = loop_timers(r->loop);
    if (!args.addr.port)
        args.addr.port = r->peer.port;
    (void)snprintf(args.addr.host, sizeof(args.addr.host), "127.0.0.1");
    assert_int_equal(http_pool_new(&r->pool, &args, &e), 0);
    r->deadline.fn = rig_late;
    r->deadline.user = r;
    assert_int_equal(timer_start(args.timers, &r->deadline, RIG_DEADLINE_MS), 0);
    rig_step(r);
    assert_int_equal(loop_run(r->loop), 0);
    if (r->late)
        fail_msg("not done after %d ms, in round %d", RIG_DEADLINE_MS, r->round);
    peer_down(&r->peer);
    loop_free(r->loop);
}

static void rig_fini(struct rig *r)
{
    for (int i = 0; i < RIG_CALLS; i++)
        buf_fini(&r->calls[i].body);
    assert_int_equal(mem_live(), 0);
}

#endif
