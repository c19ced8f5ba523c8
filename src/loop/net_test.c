// net_test.c: streams over TCP and unix sockets, against our own echo server.
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loop/net_cases_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_unix(void **state)
{
    (void)state;
    struct rig r;
    char path[] = "/tmp/net_test.XXXXXX", sock[64];
    assert_non_null(mkdtemp(path));
    (void)snprintf(sock, sizeof sock, "%s/s", path);
    rig_up(&r, NULL);
    echo_listen(&r, sock);
    struct stat st;
    assert_int_equal(stat(sock, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    struct net_addr addr = {.unix_socket = true};
    (void)snprintf(addr.host, sizeof addr.host, "%s", sock);
    // A second listener finds it in use.
    struct net_listen_args a = {.addr = addr, .on_accept = echo_accept};
    struct net_listener *second;
    assert_int_equal(net_listen(r.net, &a, &second, NULL), E_INUSE);
    struct client c[2] = {{.total = 500000}, {.total = 5}};
    clients_run(&r, c, 2, addr);
    assert_int_equal(c[0].got, c[0].total);
    assert_int_equal(stat(sock, &st), -1);
    rig_down(&r);
    // One that a crash left behind is replaced.
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    memcpy(un.sun_path, sock, strlen(sock) + 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof un), 0);
    (void)close(fd);
    rig_up(&r, NULL);
    echo_listen(&r, sock);
    net_listener_close(r.listener);
    assert_int_equal(stat(sock, &st), -1);
    rig_down(&r);
    assert_int_equal(rmdir(path), 0);
}

struct peer_case {
    struct rig *rig;
    struct net_peer peer;
};
static void peer_accept(void *user, struct net_stream *s, bool over_limit)
{
    struct peer_case *p = user;
    assert_false(over_limit);
    net_peer(s, &p->peer);
    s->handler = &echo_handler;
    s->user = p->rig;
    net_close(s, true);
}

static void test_peer(void **state)
{
    (void)state;
    struct rig r;
    rig_up(&r, NULL);
    struct peer_case p = {.rig = &r};
    struct net_listen_args a = {
        .addr = {.host = "127.0.0.1"}, .on_accept = peer_accept, .user = &p};
    assert_int_equal(net_listen(r.net, &a, &r.listener, NULL), 0);
    struct client c[1] = {{.total = 9}};
    clients_run(&r, c, 1, echo_addr(&r));
    assert_true(p.peer.loopback);
    assert_int_equal(strncmp(p.peer.text, "127.0.0.1:", 10), 0);
    assert_int_equal(p.peer.pid, UINT32_MAX);
    assert_true(c[0].status == E_CLOSED || c[0].status == E_REFUSED); // reset, soon or at once
    rig_down(&r);

    char sock[64];
    (void)snprintf(sock, sizeof sock, "/tmp/net_test_peer.%d", (int)getpid());
    rig_up(&r, NULL);
    p.rig = &r;
    a.addr.unix_socket = true;
    memcpy(a.addr.host, sock, sizeof sock);
    assert_int_equal(net_listen(r.net, &a, &r.listener, NULL), 0);
    struct client d[1] = {{.total = 9}};
    clients_run(&r, d, 1, a.addr);
    assert_string_equal(p.peer.text, "unix");
    assert_int_equal(p.peer.uid, getuid());
    assert_int_equal(p.peer.pid, getpid());
    rig_down(&r);
}

// A listener whose backlog is full answers no SYN: connecting must end by its deadline.
static void test_connect_timeout(void **state)
{
    (void)state;
    struct rig r;
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof in;
    int fd = socket(AF_INET, SOCK_STREAM, 0), fill[8];
    assert_int_equal(bind(fd, (struct sockaddr *)&in, n), 0);
    assert_int_equal(listen(fd, 0), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &n), 0);
    for (int i = 0; i < 8; i++) {
        fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(fill[i], (struct sockaddr *)&in, n);
    }
    rig_up(&r, NULL);
    struct client c = {.total = 1, .rig = &r};
    unsigned left = 1;
    c.left = &left;
    struct net_connect_args a = {.addr = {.host = "127.0.0.1", .port = ntohs(in.sin_port)},
                                 .timeout_ms = 150,
                                 .handler = &client_handler,
                                 .user = &c};
    int64_t from = time_mono_ms();
    assert_int_equal(net_connect(r.net, &a, &c.s, NULL), 0);
    rig_run(&r);
    assert_int_equal(c.status, E_TIMEOUT);
    assert_in_range(time_mono_ms() - from, 140, 2000);
    rig_down(&r);
    for (int i = 0; i < 8; i++)
        (void)close(fill[i]);
    (void)close(fd);
}

static int raw_connect(uint16_t port)
{
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof in), 0);
    return fd;
}

// ---- an answer that comes while the client still sends must arrive whole

static void early_data(struct net_stream *s, char *p, size_t n)
{
    struct bytes v = BYTES("too large\n");
    (void)p;
    (void)n;
    (void)net_write(s, &v, 1);
    net_close(s, false);
}
static void early_closed(struct net_stream *s)
{
    struct rig *r = s->user;
    loop_stop(r->loop);
}
static const struct net_handler early_handler = {
    .on_data = early_data, .on_end = echo_end, .on_closed = early_closed};
static void early_accept(void *user, struct net_stream *s, bool over_limit)
{
    (void)over_limit;
    s->handler = &early_handler;
    s->user = user;
    net_read(s, true);
}

static int early_child(uint16_t port)
{
    static char body[200 << 10];
    char answer[64];
    int fd = raw_connect(port);
    (void)signal(SIGPIPE, SIG_IGN);
    for (size_t at = 0; at < sizeof body;) {
        ssize_t n = write(fd, body + at, sizeof body - at < 8192 ? sizeof body - at : 8192);
        if (n < 0)
            return 2;
        at += (size_t)n;
    }
    usleep(20000);
    ssize_t n = read(fd, answer, sizeof answer);
    return n == 10 && memcmp(answer, "too large\n", 10) == 0 ? 0 : 1;
}

static void test_early_answer(void **state)
{
    (void)state;
    struct rig r;
    rig_up(&r, NULL);
    struct net_listen_args a = {
        .addr = {.host = "127.0.0.1"}, .on_accept = early_accept, .user = &r};
    assert_int_equal(net_listen(r.net, &a, &r.listener, NULL), 0);
    pid_t pid = fork();
    if (pid == 0)
        _exit(early_child(net_listener_port(r.listener)));
    rig_run(&r);
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    rig_down(&r);
}

// ---- a peer that closes is noticed only while reading is on; closing with a queue flushes it

struct flush_case {
    struct rig *rig;
    size_t total;
};
static void flush_accept(void *user, struct net_stream *s, bool over_limit)
{
    struct rig *r = user;
    static char block[1 << 20];
    (void)over_limit;
    s->handler = &early_handler;
    s->user = r;
    struct bytes v = {block, sizeof block};
    for (int i = 0; i < 8; i++)
        assert_in_range(net_write(s, &v, 1), 0, 1); // most of it waits in the queue
    net_close(s, false);
}
static int flush_child(uint16_t port)
{
    static char buf[65536];
    size_t total = 0;
    ssize_t n;
    int fd = raw_connect(port);
    while ((n = read(fd, buf, sizeof buf)) > 0)
        total += (size_t)n;
    return n == 0 && total == 8 << 20 ? 0 : 1;
}

static void test_flush_on_close(void **state)
{
    (void)state;
    struct rig r;
    rig_up(&r, NULL);
    struct net_listen_args a = {.addr = {.host = "127.0.0.1"},
                                .on_accept = flush_accept,
                                .user = &r,
                                .queue_bytes_max = 16 << 20};
    assert_int_equal(net_listen(r.net, &a, &r.listener, NULL), 0);
    pid_t pid = fork();
    if (pid == 0)
        _exit(flush_child(net_listener_port(r.listener)));
    rig_run(&r);
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    rig_down(&r);
}

// A peer that never reads: the queue is given up after linger_ms.
static void test_linger_ends(void **state)
{
    (void)state;
    struct rig r;
    struct loop_args args = {.linger_ms = 60};
    rig_up(&r, &args);
    struct net_listen_args a = {.addr = {.host = "127.0.0.1"},
                                .on_accept = flush_accept,
                                .user = &r,
                                .queue_bytes_max = 16 << 20};
    assert_int_equal(net_listen(r.net, &a, &r.listener, NULL), 0);
    int fd = raw_connect(net_listener_port(r.listener));
    int64_t from = time_mono_ms();
    rig_run(&r);
    assert_in_range(time_mono_ms() - from, 50, 3000);
    (void)close(fd);
    rig_down(&r);
}

// ---- descriptors used up: 100 clients at 64 descriptors, then one more that must be served

static int crowd_clients(uint16_t port)
{
    enum { CROWD = 100 };
    int fd[CROWD], full = 0, open = 0;
    char b[8];
    for (int i = 0; i < CROWD; i++)
        fd[i] = raw_connect(port);
    for (int i = 0; i < CROWD; i++) {
        struct timeval patience = {5, 0};
        (void)setsockopt(fd[i], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        (void)send(fd[i], "x", 1, MSG_NOSIGNAL);
        ssize_t n = read(fd[i], b, sizeof b);
        if (n == 1 && b[0] == 'x')
            open++;
        else if (n == 5 && memcmp(b, "full\n", 5) == 0)
            full++;
    }
    if (open + full != CROWD || open < 8 || full < 8)
        return 3;
    for (int i = 0; i < CROWD; i++)
        (void)close(fd[i]);
    for (int tries = 0; tries < 100; tries++) { // until the closed ones were noticed
        int last = raw_connect(port);
        ssize_t k = send(last, "y", 1, MSG_NOSIGNAL) == 1 ? read(last, b, sizeof b) : -1;
        (void)close(last);
        if (k == 1 && b[0] == 'y')
            return 0;
        usleep(20000);
    }
    return 4;
}

static void crowd_stop(void *user, int signum)
{
    struct rig *r = user;
    (void)signum;
    loop_stop(r->loop);
}

// The server is a child: a hard limit that was lowered does not come back.
static int crowd_server(int port_fd, rlim_t files, int hog)
{
    struct rig r;
    (void)setenv("CMOCKA_TEST_ABORT", "1", 1); // a failed assertion ends this child, not its copy
    for (int fd = 3; fd < 1024; fd++)          // what earlier tests left open does not count
        files += fcntl(fd, F_GETFD) >= 0;
    struct rlimit low = {files, files};
    if (setrlimit(RLIMIT_NOFILE, &low) < 0)
        return 10;
    rig_up(&r, NULL);
    echo_listen(&r, NULL);
    for (int i = 0; i < hog; i++) // descriptors that the loop does not know of
        (void)open("/dev/null", O_RDONLY);
    uint16_t port = net_listener_port(r.listener);
    if (loop_signal(r.loop, SIGTERM, crowd_stop, &r) != 0 ||
        write(port_fd, &port, sizeof port) != sizeof port)
        return 11;
    rig_run(&r);
    struct net_stats st;
    net_stats(r.net, &st);
    if (st.accepted != r.accepted + r.over || st.refused_over_limit != r.over || r.over == 0)
        return 12;
    if (st.connections_max == 0 || st.connections_max >= files || st.connections != 0)
        return 13;
    if (hog > 0 && st.accept_errors == 0) // without hogs the lingering refusals may do it too
        return 14;
    loop_free(r.loop);
    return 0;
}

static void crowd_run(rlim_t files, int hog)
{
    int pipes[2], status = -1;
    uint16_t port = 0;
    assert_int_equal(pipe(pipes), 0);
    pid_t pid = fork();
    if (pid == 0)
        _exit(crowd_server(pipes[1], files, hog));
    (void)close(pipes[1]); // so that a child that ends early ends the read
    assert_int_equal(read(pipes[0], &port, sizeof port), sizeof port);
    assert_int_equal(crowd_clients(port), 0);
    assert_true(pid > 1);
    assert_int_equal(kill(pid, SIGTERM), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    (void)close(pipes[0]);
}

// valgrind takes connections from the kernel before it says EMFILE, so they are lost there.
static bool on_valgrind(void)
{
    const char *preload = getenv("LD_PRELOAD");
    return preload != NULL && strstr(preload, "vgpreload") != NULL;
}

static void test_over_limit(void **state)
{
    (void)state;
    if (on_valgrind())
        return;
    crowd_run(64, 0);
}

static void test_no_descriptors(void **state)
{
    (void)state;
    if (on_valgrind())
        return;
    crowd_run(64, 22); // the limit is not reached, but the descriptors are
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        NET_CASES,
        cmocka_unit_test(test_unix),
        cmocka_unit_test(test_peer),
        cmocka_unit_test(test_connect_timeout),
        cmocka_unit_test(test_early_answer),
        cmocka_unit_test(test_flush_on_close),
        cmocka_unit_test(test_linger_ends),
        cmocka_unit_test(test_over_limit),
        cmocka_unit_test(test_no_descriptors),
    };
    return cmocka_run_group_tests_name("net", tests, NULL, NULL);
}
