// child.c: a function or a program in a child process with a deadline.
// SPDX-License-Identifier: Apache-2.0
#include "host/host_priv.h"

#include "base/time.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/syscall.h>
#endif

#define NO_PROGRAM 127   // exit code of the child when exec found nothing
#define REAP_MS 500      // a killed child should be gone by then; one stuck in a driver is left
#define CLOSE_UP_TO 4096 // where close_range is missing

// A child that hangs in a driver for ever must not hold the node's sockets and locks.
static void close_others(void)
{
#ifdef SYS_close_range
    if (syscall(SYS_close_range, 3u, ~0u, 0u) == 0)
        return;
#endif
    for (int fd = 3; fd < CLOSE_UP_TO; fd++)
        (void)close(fd);
}

static _Noreturn void in_child(const struct host_child *c, int out)
{
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)setpgid(0, 0);
    (void)dup2(out, 1);
    int null = open("/dev/null", O_RDWR);
    if (null >= 0) {
        (void)dup2(null, 0);
        (void)dup2(null, 2);
    }
    close_others();
    if (!c->argv)
        _exit(c->fn(1));
    (void)execvp(c->argv[0], (char *const *)(uintptr_t)c->argv);
    _exit(errno == ENOENT || errno == EACCES ? NO_PROGRAM : NO_PROGRAM - 1);
}

// Reads until the end, the deadline or the ceiling.
static int collect(int fd, int64_t deadline, size_t max, struct buf *out)
{
    size_t had = out->n;
    char part[4096];
    for (;;) {
        int64_t left = deadline - time_mono_ms();
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int ready = left > 0 ? poll(&p, 1, (int)(left < 60000 ? left : 60000)) : 0;
        if (ready < 0 && errno != EINTR)
            return E_IO;
        if (ready == 0 && time_mono_ms() >= deadline)
            return E_TIMEOUT;
        if (ready <= 0)
            continue;
        ssize_t n = read(fd, part, sizeof part);
        if (n == 0)
            return 0;
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return E_IO;
        if (n > 0 && (out->n - had + (size_t)n > max || buf_add(out, part, (size_t)n)))
            return E_TOOBIG;
    }
}

// The child's wait status, or -1 when it does not end before the deadline.
static int reap(pid_t pid, int64_t deadline)
{
    for (;;) {
        int status;
        pid_t r = waitpid(pid, &status, WNOHANG);
        if (r == pid)
            return status;
        if (r < 0 && errno != EINTR)
            return 0; // reaped by someone else: what it wrote decides
        if (time_mono_ms() >= deadline)
            return -1;
        (void)poll(NULL, 0, 5);
    }
}

static int verdict(int status, struct err *e)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == NO_PROGRAM)
        return err_set(e, E_NOTFOUND, "no such program");
    if (WIFSIGNALED(status))
        return err_set(e, E_UNAVAILABLE, "it was ended by signal %d", WTERMSIG(status));
    return err_set(e, E_UNAVAILABLE, "it ended with code %d", WEXITSTATUS(status));
}

int host_child_run(const struct host_child *c, struct buf *out, struct err *e)
{
    int ends[2];
    int64_t deadline = time_mono_ms() + c->timeout_ms;
    if (pipe(ends))
        return err_errno(e, errno, "pipe");
    (void)fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    (void)fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    pid_t pid = fork();
    if (pid == 0)
        in_child(c, ends[1]);
    (void)close(ends[1]);
    if (pid < 0) {
        (void)close(ends[0]);
        return err_errno(e, errno, "fork");
    }
    (void)setpgid(pid, pid); // both sides, whoever is first
    int rc = collect(ends[0], deadline, c->out_max, out);
    (void)close(ends[0]);
    int status = rc ? -1 : reap(pid, deadline);
    if (status < 0) {
        (void)kill(-pid, SIGKILL);
        (void)kill(pid, SIGKILL);
        (void)reap(pid, time_mono_ms() + REAP_MS);
        return err_set(e, rc ? rc : E_TIMEOUT,
                       rc == E_TOOBIG ? "it writes too much" : "no answer in %lld ms",
                       (long long)c->timeout_ms);
    }
    return verdict(status, e);
}
