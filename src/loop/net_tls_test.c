// net_tls_test.c: TLS between our own ends, and with openssl's and Python's clients.
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loop/loop_rig.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[] = "/tmp/net_tls_test.XXXXXX";

static void sh(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void sh(const char *fmt, ...)
{
    char text[2048];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (system(text) != 0)
        fail_msg("failed: %s", text);
}

static const char *path_of(const char *name)
{
    static char path[4][128];
    static int at;
    at = (at + 1) % 4;
    (void)snprintf(path[at], sizeof path[at], "%s/%s", folder, name);
    return path[at];
}

// An authority, a certificate of it for the name node.test and 127.0.0.1, and one for a client.
static int make_certificates(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    sh("cd %s && exec 2>/dev/null; ec='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'; "
       "openssl req -x509 $ec -keyout ca.key -out ca.pem -subj '/CN=test authority' -days 2 "
       "-addext keyUsage=critical,keyCertSign && "
       "openssl req -x509 $ec -keyout other.key -out other.pem -subj '/CN=other' -days 2 && "
       "for n in node client; do openssl req $ec -keyout $n.key -out $n.csr -subj /CN=$n && "
       "printf 'subjectAltName=DNS:node.test,IP:127.0.0.1\\nauthorityKeyIdentifier=keyid\\n' > ext "
       "&& "
       "openssl x509 -req -in "
       "$n.csr "
       "-CA ca.pem -CAkey ca.key -CAcreateserial -out $n.pem -days 2 -extfile ext || exit 1; done",
       folder);
    return 0;
}
static int remove_certificates(void **state)
{
    (void)state;
    sh("rm -r %s", folder);
    return 0;
}

static struct net_tls *tls_server(const char *ca)
{
    struct net_tls *t = NULL;
    struct err e = {0};
    struct net_tls_args a = {.server = true,
                             .cert_file = path_of("node.pem"),
                             .key_file = path_of("node.key"),
                             .ca_file = ca};
    if (net_tls_new(&t, &a, &e) != 0)
        fail_msg("%s", e.text);
    return t;
}
static struct net_tls *tls_client(const char *ca, const char *cert, const char *key, bool insecure)
{
    struct net_tls *t = NULL;
    struct err e = {0};
    struct net_tls_args a = {
        .ca_file = ca, .cert_file = cert, .key_file = key, .insecure = insecure};
    if (net_tls_new(&t, &a, &e) != 0)
        fail_msg("%s", e.text);
    return t;
}

static void tls_up(struct rig *r)
{
    rig_up(r, NULL);
    r->tls = tls_server(NULL);
    echo_listen(r, NULL);
}
static void tls_down(struct rig *r, struct net_tls *client)
{
    net_tls_free(r->tls);
    net_tls_free(client);
    rig_down(r);
}

static void test_echo(void **state)
{
    (void)state;
    struct rig r;
    tls_up(&r);
    struct net_tls *t = tls_client(path_of("ca.pem"), NULL, NULL, false);
    struct client c[5] = {{.total = 1},
                          {.total = 3 << 20},
                          {.total = 1 << 20, .piece_max = 16384},
                          {.total = 20000, .piece_max = 3},
                          {.total = 300000, .slow = 1}};
    for (int i = 0; i < 5; i++)
        c[i].tls = t;
    c[1].server_name = "node.test";
    clients_run(&r, c, 5, echo_addr(&r));
    for (int i = 0; i < 5; i++) {
        if (c[i].got != c[i].total)
            fail_msg("%d: %zu of %zu bytes, %d %s", i, c[i].got, c[i].total, c[i].status, c[i].why);
    }
    assert_int_equal(r.closed, 5);
    tls_down(&r, t);
}

static void test_verification(void **state)
{
    (void)state;
    struct rig r;
    tls_up(&r);
    struct net_tls *system = tls_client(NULL, NULL, NULL, false),
                   *own = tls_client(path_of("ca.pem"), NULL, NULL, false),
                   *none = tls_client(NULL, NULL, NULL, true);
    struct client c[4] = {{.total = 9, .tls = system},
                          {.total = 9, .tls = own, .server_name = "wrong.test"},
                          {.total = 9, .tls = none, .server_name = "wrong.test"},
                          {.total = 9, .tls = own, .server_name = "127.0.0.2"}};
    clients_run(&r, c, 4, echo_addr(&r));
    assert_int_equal(c[0].status, E_UPSTREAM);
    assert_non_null(strstr(c[0].why, "not trusted"));
    assert_int_equal(c[1].status, E_UPSTREAM);
    assert_non_null(strstr(c[1].why, "another host name"));
    assert_int_equal(c[2].status, 0);
    assert_int_equal(c[2].got, 9);
    assert_int_equal(c[3].status, E_UPSTREAM);
    assert_non_null(strstr(c[3].why, "another address"));
    assert_int_equal(r.accepted, 1);
    net_tls_free(system);
    net_tls_free(none);
    tls_down(&r, own);
}

static void test_client_certificates(void **state)
{
    (void)state;
    struct rig r;
    rig_up(&r, NULL);
    r.tls = tls_server(path_of("ca.pem"));
    echo_listen(&r, NULL);
    struct net_tls *with = tls_client(path_of("ca.pem"), path_of("client.pem"),
                                      path_of("client.key"), false),
                   *without = tls_client(path_of("ca.pem"), NULL, NULL, false),
                   *foreign = tls_client(path_of("ca.pem"), path_of("other.pem"),
                                         path_of("other.key"), false);
    struct client c[3] = {
        {.total = 9, .tls = with}, {.total = 9, .tls = without}, {.total = 9, .tls = foreign}};
    clients_run(&r, c, 3, echo_addr(&r));
    assert_int_equal(c[0].got, 9);
    assert_int_equal(c[1].got, 0); // told after the client's side of the handshake (TLS 1.3)
    assert_true(c[1].status < 0);
    assert_int_equal(c[2].got, 0);
    assert_int_equal(r.accepted, 1);
    net_tls_free(with);
    net_tls_free(foreign);
    tls_down(&r, without);
}

static void test_context_errors(void **state)
{
    (void)state;
    struct net_tls *t = NULL;
    struct err e = {0};
    struct net_tls_args a = {.server = true};
    assert_int_equal(net_tls_new(&t, &a, &e), E_CONFIG);
    a.cert_file = path_of("node.pem");
    a.key_file = path_of("missing.key");
    assert_int_equal(net_tls_new(&t, &a, &e), E_NOTFOUND);
    assert_non_null(strstr(e.text, "missing.key"));
    a.key_file = path_of("client.key");
    assert_int_equal(net_tls_new(&t, &a, &e), E_CONFIG);
    assert_non_null(strstr(e.text, "client.key"));
    a.cert_file = path_of("node.key");
    assert_int_equal(net_tls_new(&t, &a, &e), E_CONFIG);
    assert_non_null(strstr(e.text, "certificate "));
    assert_null(t);
    assert_int_equal(mem_live(), 0);
}

// ---- other ends than ours

static void alone_stop(void *user, int signum)
{
    struct rig *r = user;
    (void)signum;
    loop_stop(r->loop);
}
static int alone_main(int port_fd)
{
    struct rig r;
    rig_up(&r, NULL);
    r.tls = tls_server(NULL);
    r.handshake_ms = 300;
    echo_listen(&r, NULL);
    uint16_t port = net_listener_port(r.listener);
    if (loop_signal(r.loop, SIGTERM, alone_stop, &r) != 0 ||
        write(port_fd, &port, sizeof port) != sizeof port)
        return 1;
    rig_run(&r);
    net_tls_free(r.tls);
    loop_free(r.loop);
    return mem_live() == 0 ? 0 : 2;
}

static pid_t alone_start(uint16_t *ret_port)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0)
        _exit(alone_main(fds[1]));
    assert_int_equal(read(fds[0], ret_port, sizeof *ret_port), sizeof *ret_port);
    (void)close(fds[0]);
    (void)close(fds[1]);
    return pid;
}
static void alone_end(pid_t pid)
{
    int status = -1;
    assert_true(pid > 1);
    assert_int_equal(kill(pid, SIGTERM), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void test_openssl_client(void **state)
{
    (void)state;
    uint16_t port;
    pid_t pid = alone_start(&port);
    static const char *const versions[] = {"-tls1_2", "-tls1_3"};
    for (int i = 0; i < 2; i++)
        sh("cd %s && (echo hello; sleep 0.2) | openssl s_client %s -CAfile ca.pem "
           "-verify_return_error "
           "-servername node.test -verify_hostname node.test -alpn h2,http/1.1 "
           "-connect 127.0.0.1:%d > out 2>&1; grep -q '^hello' out && grep -q 'ALPN.*http/1.1' out",
           folder, versions[i], (int)port);
    sh("cd %s && ! openssl s_client -tls1_1 -cipher ALL:@SECLEVEL=0 -connect 127.0.0.1:%d "
       "< /dev/null > out 2>&1",
       folder, (int)port);
    alone_end(pid);
}

static void test_python_client(void **state)
{
    (void)state;
    uint16_t port;
    pid_t pid = alone_start(&port);
    FILE *f = fopen(path_of("client.py"), "w");
    assert_non_null(f);
    (void)fputs("import socket, ssl, sys\n"
                "c = ssl.create_default_context(cafile='ca.pem')\n"
                "s = c.wrap_socket(socket.create_connection(('127.0.0.1', int(sys.argv[1]))),\n"
                "                  server_hostname='127.0.0.1')\n"
                "sent = bytes(range(256)) * 4096\n"
                "s.settimeout(10)\n"
                "got = b''\n"
                "for at in range(0, len(sent), 65536):\n"
                "    s.sendall(sent[at:at + 65536])\n"
                "    while len(got) < at + 65536:\n"
                "        got += s.recv(65536)\n"
                "assert got == sent\n"
                "s.unwrap()\n",
                f);
    (void)fclose(f);
    sh("cd %s && python3 client.py %d", folder, (int)port);
    alone_end(pid);
}

static int raw_connect(uint16_t port)
{
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof in), 0);
    return fd;
}

// A client that speaks no TLS is told so by an alert, one that says nothing by the deadline.
static void test_bad_clients(void **state)
{
    (void)state;
    uint16_t port;
    char b[64];
    pid_t pid = alone_start(&port);
    int plain = raw_connect(port), mute = raw_connect(port);
    assert_int_equal(send(plain, "GET / HTTP/1.1\r\n\r\n", 18, MSG_NOSIGNAL), 18);
    assert_in_range(read(plain, b, sizeof b), 0, sizeof b);
    (void)close(plain);
    int64_t from = time_mono_ms();
    assert_int_equal(read(mute, b, sizeof b), 0);
    assert_in_range(time_mono_ms() - from, 0, 3000);
    (void)close(mute);
    alone_end(pid);
}

// A plain server behind a TLS client: the client hears why.
static void test_plain_server(void **state)
{
    (void)state;
    struct rig r;
    rig_up(&r, NULL);
    echo_listen(&r, NULL); // echoes the client's own first flight
    struct net_tls *t = tls_client(NULL, NULL, NULL, true);
    struct client c[1] = {{.total = 9, .tls = t}};
    clients_run(&r, c, 1, echo_addr(&r));
    assert_int_equal(c[0].status, E_UPSTREAM);
    assert_non_null(strstr(c[0].why, "TLS handshake"));
    net_tls_free(t);
    rig_down(&r);
}

static void mute_accept(void *user, struct net_stream *s, bool over_limit)
{
    (void)over_limit;
    s->handler = &echo_handler;
    s->user = user;
}

static void test_connect_deadline(void **state)
{
    (void)state;
    struct rig r;
    rig_up(&r, NULL);
    struct net_listen_args a = {
        .addr = {.host = "127.0.0.1"}, .on_accept = mute_accept, .user = &r};
    assert_int_equal(net_listen(r.net, &a, &r.listener, NULL), 0);
    struct net_tls *t = tls_client(NULL, NULL, NULL, true);
    unsigned left = 1;
    struct client c = {.total = 9, .rig = &r, .left = &left};
    struct net_connect_args ca = {
        .addr = echo_addr(&r), .tls = t, .timeout_ms = 100, .handler = &client_handler, .user = &c};
    int64_t from = time_mono_ms();
    assert_int_equal(net_connect(r.net, &ca, &c.s, NULL), 0);
    rig_run(&r);
    assert_int_equal(c.status, E_TIMEOUT);
    assert_in_range(time_mono_ms() - from, 90, 3000);
    net_tls_free(t);
    rig_down(&r);
}

// A peer that vanishes without close_notify: that is a cut, not an end.
static void cut_end(struct net_stream *s, int status)
{
    struct client *c = s->user;
    c->ended++;
    c->status = status;
    net_close(s, false);
}
static void cut_open(struct net_stream *s, int status, const struct err *e)
{
    (void)e;
    assert_int_equal(status, 0);
    net_read(s, true);
}
static const struct net_handler cut_handler = {
    .on_open = cut_open, .on_data = client_data, .on_end = cut_end, .on_closed = client_closed};
static bool cut_abort;
static void cut_accept(void *user, struct net_stream *s, bool over_limit)
{
    (void)over_limit;
    s->handler = &echo_handler;
    s->user = user;
    net_close(s, cut_abort);
}

static void test_end_and_cut(void **state)
{
    (void)state;
    for (int abort = 0; abort < 2; abort++) {
        struct rig r;
        rig_up(&r, NULL);
        cut_abort = abort;
        r.tls = tls_server(NULL);
        struct net_listen_args a = {
            .addr = {.host = "127.0.0.1"}, .on_accept = cut_accept, .user = &r, .tls = r.tls};
        assert_int_equal(net_listen(r.net, &a, &r.listener, NULL), 0);
        struct net_tls *t = tls_client(NULL, NULL, NULL, true);
        unsigned left = 1;
        struct client c = {.rig = &r, .left = &left};
        struct net_connect_args ca = {.addr = echo_addr(&r),
                                      .tls = t,
                                      .timeout_ms = 1000,
                                      .handler = &cut_handler,
                                      .user = &c};
        assert_int_equal(net_connect(r.net, &ca, &c.s, NULL), 0);
        rig_run(&r);
        assert_int_equal(c.ended, 1);
        assert_int_equal(c.status, abort ? E_CLOSED : 0);
        tls_down(&r, t);
    }
}

static void test_many(void **state)
{
    (void)state;
    enum { MANY = 60 };
    struct rig r;
    tls_up(&r);
    struct net_tls *t = tls_client(path_of("ca.pem"), NULL, NULL, false);
    struct client *c = calloc(MANY, sizeof *c);
    for (int i = 0; i < MANY; i++) {
        c[i].total = 500 + (size_t)i;
        c[i].tls = t;
    }
    clients_run(&r, c, MANY, echo_addr(&r));
    for (int i = 0; i < MANY; i++)
        assert_int_equal(c[i].got, c[i].total);
    free(c);
    tls_down(&r, t);
}

// The loop ends while handshakes run.
static void stop_soon(struct timer *t)
{
    struct rig *r = t->user;
    loop_stop(r->loop);
}
static void test_stop_in_handshake(void **state)
{
    (void)state;
    struct rig r;
    tls_up(&r);
    struct net_tls *t = tls_client(NULL, NULL, NULL, true);
    struct client c[2] = {{.total = 9, .tls = t}, {.total = 9}};
    unsigned left = 3;
    client_start(&c[0], &r, echo_addr(&r), &left);
    client_start(&c[1], &r, echo_addr(&r), &left); // plain: its handshake never ends
    struct timer soon = {.fn = stop_soon, .user = &r};
    assert_int_equal(timer_start(loop_timers(r.loop), &soon, 30), 0);
    rig_run(&r);
    assert_int_equal(c[0].closed + c[1].closed, 2);
    tls_down(&r, t);
}

// A listener that closes takes its handshakes along: what it would give them to is gone.
static void close_soon(struct timer *t)
{
    struct rig *r = t->user;
    net_listener_close(steal(&r->listener));
}

static void test_listener_closes_in_handshake(void **state)
{
    (void)state;
    struct rig r;
    tls_up(&r);
    struct client c = {.total = 2}; // plain, less than a record's head: nothing to answer yet
    unsigned left = 1;
    client_start(&c, &r, echo_addr(&r), &left);
    struct timer soon = {.fn = close_soon, .user = &r};
    assert_int_equal(timer_start(loop_timers(r.loop), &soon, 30), 0);
    int64_t began = time_mono_ms();
    rig_run(&r);
    assert_in_range(time_mono_ms() - began, 0, 4000);
    assert_int_equal(c.closed, 1);
    assert_int_equal(r.accepted, 0);
    tls_down(&r, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_echo),
        cmocka_unit_test(test_verification),
        cmocka_unit_test(test_client_certificates),
        cmocka_unit_test(test_context_errors),
        cmocka_unit_test(test_openssl_client),
        cmocka_unit_test(test_python_client),
        cmocka_unit_test(test_bad_clients),
        cmocka_unit_test(test_plain_server),
        cmocka_unit_test(test_connect_deadline),
        cmocka_unit_test(test_end_and_cut),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_stop_in_handshake),
        cmocka_unit_test(test_listener_closes_in_handshake),
    };
    return cmocka_run_group_tests_name("net_tls", tests, make_certificates, remove_certificates);
}
