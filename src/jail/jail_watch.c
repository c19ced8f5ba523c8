// jail_watch.c: where there is no process namespace: the process outside counts its descendants and
// ends them all when the first one has ended. They cannot leave their process group
// (jail_hold_group), and a signal to a group reaches all of it before any of it can fork again:
// what forks faster than it can be counted ends all the same. SPDX-License-Identifier: Apache-2.0
#ifdef __linux__
#include "jail/jail_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WATCH_MS = 25, ROUNDS_MAX = 400, DEPTH_MAX = 500, TEXT_MAX = 65536 };

static ssize_t read_children(pid_t pid, char *text, size_t size)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);
    if (fd >= 0)
        (void)close(fd);
    text[n > 0 ? n : 0] = 0;
    return n;
}

bool jail_watch_can(void)
{
    char text[256];
    return read_children(getpid(), text, sizeof text) >= 0;
}

static void end_group(pid_t pid)
{
    pid_t group = getpgid(pid);
    if (group > 1 && group != getpgrp())
        (void)kill(-group, SIGKILL);
    if (pid > 1)
        (void)kill(pid, SIGKILL);
}

// All below pid, at most max of them; ended by SIGKILL when that is asked for.
static uint64_t below(pid_t pid, uint64_t max, bool end, unsigned depth)
{
    static char all[TEXT_MAX]; // one level at a time: the rest is read again
    uint64_t n = 0;
    pid_t child[512];
    size_t children = 0;
    (void)read_children(pid, all, sizeof all);
    for (char *at = all; *at && children < sizeof child / sizeof *child;) {
        char *next;
        long one = strtol(at, &next, 10);
        if (next == at)
            break;
        child[children++] = (pid_t)one;
        at = next;
    }
    for (size_t i = 0; i < children && n <= max; i++) {
        if (end)
            end_group(child[i]);
        n += 1 + (depth < DEPTH_MAX ? below(child[i], max, end, depth + 1) : 0);
    }
    return n;
}

int jail_exit_code(int status)
{
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void end_rest(void)
{
    for (int i = 0; i < ROUNDS_MAX && below(getpid(), UINT64_MAX - 1, true, 0) > 0; i++) {
        while (waitpid(-1, NULL, WNOHANG) > 0)
            continue;
        (void)poll(NULL, 0, i < 20 ? 1 : WATCH_MS);
    }
}

int jail_watch(pid_t first, uint64_t max)
{
    int code = -1;
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); // orphans come here
    for (int ms = 1; code < 0; ms = ms < WATCH_MS ? ms + 1 : ms) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid == first)
            code = jail_exit_code(status);
        else if (pid < 0 && errno == ECHILD)
            code = JAIL_EXIT_REFUSED; // cannot be: first is ours
        else if (pid <= 0 && below(getpid(), max + 2, false, 0) > max + 2)
            code = JAIL_EXIT_ENDED;
        else if (pid <= 0)
            (void)poll(NULL, 0, ms);
    }
    if (code == JAIL_EXIT_ENDED)
        (void)dprintf(STDERR_FILENO, "ended: too many processes\n");
    end_rest();
    return code;
}
#else
extern int jail_watch_is_for_linux; // a file of C has at least one declaration
#endif
