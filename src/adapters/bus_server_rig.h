// bus_server_rig.h: real servers for the tests of the bus: started on free ports and folders of
// their own, killed as by a power cut, started again, ended with the test.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_ADAPTERS_BUS_SERVER_RIG_H
#define PLEXUS_ADAPTERS_BUS_SERVER_RIG_H

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#pragma GCC diagnostic ignored "-Wunused-function"

struct server {
    pid_t pid;
    uint16_t port, cluster_port;
    char folder[64], conf[96];
    const char *argv[16];
};

static uint16_t server_free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) ||
        getsockname(fd, (struct sockaddr *)&a, &n))
        abort();
    (void)close(fd);
    return ntohs(a.sin_port);
}

static bool server_answers(uint16_t port)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    bool good = fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0;
    (void)close(fd);
    return good;
}

static const char *server_path(const char *name)
{
    static char path[128];
    static const char *const folders[] = {"/usr/sbin", "/usr/bin", "/usr/local/bin",
                                          "/usr/local/sbin"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", folders[i], name);
        if (access(path, X_OK) == 0)
            return path;
    }
    return NULL;
}

static void server_folder(struct server *s)
{
    (void)snprintf(s->folder, sizeof s->folder, "/tmp/bus_test.XXXXXX");
    if (!mkdtemp(s->folder))
        abort();
    (void)snprintf(s->conf, sizeof s->conf, "%s/conf", s->folder);
}

static void server_spawn(struct server *s)
{
    pid_t parent = getpid();
    s->pid = fork();
    if (s->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        int log = open(getenv("BUS_TEST_LOG") ? getenv("BUS_TEST_LOG") : "/dev/null",
                       O_WRONLY | O_CREAT | O_APPEND, 0600);
        if (getppid() != parent || log < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0)
            _exit(1);
        (void)execv(s->argv[0], (char *const *)(uintptr_t)s->argv);
        _exit(1);
    }
}

// One that ends at once is started again: children of a killed PostgreSQL hold its memory a while.
static void server_start(struct server *s)
{
    server_spawn(s);
    for (int i = 0; i < 1000 && !server_answers(s->port); i++) {
        (void)nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
        if (waitpid(s->pid, NULL, WNOHANG) == s->pid)
            server_spawn(s);
    }
    if (!server_answers(s->port)) {
        (void)fprintf(stderr, "%s does not answer on port %u\n", s->argv[0], s->port);
        abort();
    }
}

static void server_kill(struct server *s)
{
    if (s->pid <= 0)
        return;
    (void)kill(s->pid, SIGKILL);
    (void)waitpid(s->pid, NULL, 0);
    s->pid = 0;
}

static void server_remove(struct server *s)
{
    char command[128];
    server_kill(s);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", s->folder);
    if (s->folder[0])
        (void)!system(command);
}

static void server_write(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    if (!f || fputs(text, f) < 0 || fclose(f))
        abort();
}

#endif
