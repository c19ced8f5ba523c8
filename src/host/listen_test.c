// listen_test.c: listeners as /proc tells them, and of real processes.
// SPDX-License-Identifier: Apache-2.0
#include "host/live_priv.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define TAIL " 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0000 100 0 0 10 0"
#define NOBODY "00000000:0000"
#define NOBODY6 "00000000000000000000000000000000:0000"

// Lines of a little-endian machine.
static const struct {
    const char *line, *address; // NULL: it is no open listener
} rows[] = {
    {"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid", NULL},
    {"   0: 00000000:1F90 " NOBODY " 0A" TAIL, "0.0.0.0:8080"},
    {"   0: 0100007F:1F90 " NOBODY " 0A" TAIL, NULL},
    {"   1: 3500007F:0035 " NOBODY " 0A" TAIL, NULL}, // 127.0.0.53
    {"   2: 0A01A8C0:0016 " NOBODY " 0A" TAIL, "192.168.1.10:22"},
    {"   3: 0A01A8C0:0016 0B01A8C0:C000 01" TAIL, NULL}, // a connection
    {"   4: 00000000000000000000000000000000:2328 " NOBODY6 " 0A" TAIL, "[::]:9000"},
    {"   5: 00000000000000000000000001000000:2328 " NOBODY6 " 0A" TAIL, NULL}, // ::1
    {"   6: 0000000000000000FFFF00000100007F:2328 " NOBODY6 " 0A" TAIL, NULL},
    {"   7: 0000000000000000FFFF00000A01A8C0:2328 " NOBODY6 " 0A" TAIL,
     "[0:0:0:0:0:ffff:c0a8:10a]:9000"},
    {"   8: B80D0120000000000000000001000000:01BB " NOBODY6 " 0A" TAIL,
     "[2001:db8:0:0:0:0:0:1]:443"},
    {"   9: 000000000:1F90 " NOBODY " 0A" TAIL, NULL},
    {"  10: 0000000G:1F90 " NOBODY " 0A" TAIL, NULL},
    {"  11: 00000000:1F9 " NOBODY " 0A" TAIL, NULL},
    {"  12: 00000000:1F90 " NOBODY " 0A", NULL},
    {"  13: 00000000:1F90 " NOBODY " 0A 0 0 0 0 0 x", NULL},
    {"", NULL},
};

static void lines(void **state)
{
    (void)state;
    if (htonl(1) == 1)
        skip();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char address[HOST_ADDRESS_MAX] = "";
        uint64_t inode = 0;
        int got = host_listen_line(bytes_of(rows[i].line), &inode, address);
        bool open = got == 1;
        if (open != (rows[i].address != NULL) || (open && strcmp(address, rows[i].address) != 0))
            fail_msg("%s: %s", rows[i].line, open ? address : "no");
        assert_int_equal(inode, open ? 4711 : inode);
    }
}

#ifdef __linux__

static int listen_on(uint32_t host, unsigned *ret_port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(host)}};
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)(void *)&a, sizeof a), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)(void *)&a, &n), 0);
    *ret_port = ntohs(a.sin_port);
    return fd;
}

// A child of a child that holds this descriptor, and nothing else of ours does.
static pid_t grandparent(int fd, int *ret_end)
{
    int ends[2], hold[2];
    char ready;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(pipe(hold), 0);
    pid_t pid = fork();
    if (pid == 0) {
        (void)close(hold[1]);
        pid_t child = fork();
        if (child != 0)
            (void)close(fd);
        if (child == 0)
            (void)!write(ends[1], "r", 1);
        (void)!read(hold[0], &ready, 1); // until the test lets go
        if (child != 0)
            (void)waitpid(child, NULL, 0);
        _exit(0);
    }
    assert_int_equal(read(ends[0], &ready, 1), 1);
    (void)close(ends[0]);
    (void)close(ends[1]);
    (void)close(hold[0]);
    (void)close(fd);
    *ret_end = hold[1];
    return pid;
}

static void processes(void **state)
{
    (void)state;
    char address[HOST_ADDRESS_MAX] = "", want[HOST_ADDRESS_MAX];
    unsigned port = 0;
    int end;
    assert_false(host_listens_openly(getpid(), address));
    assert_false(host_listens_openly(-1, address));
    assert_false(host_listens_openly(INT32_MAX, address));
    int local = listen_on(INADDR_LOOPBACK, &port);
    assert_false(host_listens_openly(getpid(), address));
    int open = listen_on(INADDR_ANY, &port);
    (void)snprintf(want, sizeof want, "0.0.0.0:%u", port);
    assert_true(host_listens_openly(getpid(), address));
    assert_string_equal(address, want);
    pid_t pid = grandparent(open, &end);
    address[0] = 0;
    assert_true(host_listens_openly(pid, address));
    assert_string_equal(address, want);
    assert_true(host_listens_openly(getpid(), address)); // below us, too
    (void)close(end);
    (void)waitpid(pid, NULL, 0);
    assert_false(host_listens_openly(getpid(), address));
    (void)close(local);
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines),
#ifdef __linux__
        cmocka_unit_test(processes),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
