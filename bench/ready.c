/* ready.c: the time from a program's exec to its first 200 of a path.
 * SPDX-License-Identifier: Apache-2.0
 *
 *   ready PORT PATH COMMAND...
 * Prints "ready_ms X", then ends the program (TERM, after 5 s KILL) and waits for it. A try every
 * 200 us keeps the error small and leaves the processor to the program. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"

#define TRY_NS 200000
#define GIVE_UP_NS ((int64_t)120 * 1000000000)

static void pause_ns(long ns)
{
    struct timespec t = {0, ns};
    (void)nanosleep(&t, NULL);
}

static bool try_once(int port, const char *path)
{
    char text[512];
    struct timeval limit = {2, 0};
    int fd = dial(port, 0);
    if (fd < 0)
        return false;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    int n =
        snprintf(text, sizeof text,
                 "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n\r\n", path, port);
    bool ok = send(fd, text, (size_t)n, MSG_NOSIGNAL) == n && recv(fd, text, sizeof text, 0) > 12 &&
              memcmp(text + 8, " 200", 4) == 0;
    close(fd);
    return ok;
}

int main(int argc, char **argv)
{
    int status;
    if (argc < 4) {
        fprintf(stderr, "usage: ready PORT PATH COMMAND...\n");
        return 2;
    }
    files_raise();
    int64_t begin = clock_ns();
    pid_t pid = fork();
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
        (void)dup2(STDERR_FILENO, STDOUT_FILENO);
        (void)execvp(argv[3], argv + 3);
        die(argv[3]);
    }
    bool ok = false, ended = false;
    while (!ok && !ended && clock_ns() - begin < GIVE_UP_NS) {
        ok = try_once(atoi(argv[1]), argv[2]);
        if (ok)
            printf("ready_ms %.3f\n", (double)(clock_ns() - begin) / 1e6);
        else
            pause_ns(TRY_NS);
        ended = waitpid(pid, &status, WNOHANG) != 0;
    }
    if (!ok)
        fprintf(stderr, "ready: the program ended or gave no 200 in time\n");
    if (!ended)
        (void)kill(pid, SIGTERM);
    for (int i = 0; i < 5000 && !ended; i++) {
        pause_ns(1000000);
        ended = waitpid(pid, &status, WNOHANG) != 0;
    }
    if (!ended) {
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, &status, 0);
    }
    return ok ? 0 : 1;
}
