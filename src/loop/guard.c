// guard.c: the guard process: one child and all its descendants end when the node ends.
// SPDX-License-Identifier: Apache-2.0
//
// `plexus _guard` stands between the node and each child. It leads a session of its own and is
// the subreaper of its tree, so that every descendant, however it hid, still has the guard above
// it. The socket to the node is its lifeline: at end of file all descendants are killed, again and
// again until the kernel says that none is left. No threads, no event library: poll(2).
//
// macOS has no subreaper: there a descendant that lost its parent is found by the guard's session,
// and one that also began a session of its own gets away. Nor does a child die there with its
// guard: the node kills the session then. Affinity and cgroups are missing: no limit of processors.
#include "loop/guard_priv.h"
#include "loop/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

enum {
    GUARD_WATCH_MS = 1000, // memory limit without a cgroup
    GUARD_AGAIN_MS = 2, // first pause between two rounds of killing, doubles ...
    GUARD_AGAIN_MAX_MS = 128, // ... up to this
};

struct guard {
    struct guard_opts opts;
    struct guard_cgroup cgroup;
    struct guard_pids pids;
    int exec_fd; // reads what the child says when exec fails; end of file: it runs
    pid_t child; // 0: reaped
    bool failed; // exec failed and this was told
    bool killing; // no way back: all must end
    bool over; // the memory limit ended it
    bool no_child; // waitpid says that nobody is left
    int again_ms;
};

// What the child writes before it gives up.
struct guard_failure {
    int error;
    char step; // 'd' chdir, 'x' exec
};

static int guard_wake_fd[2] = {-1, -1};

static void guard_on_signal(int signum)
{
    int saved = errno;
    (void)signum;
    (void)!write(guard_wake_fd[1], "c", 1); // full: a wake is waiting already
    errno = saved;
}

static void guard_say(const char *line)
{
    (void)!send(GUARD_CONTROL_FD, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT);
}

// ---- the command line

static bool guard_parse(struct guard_opts *o, char **argv)
{
    for (; *argv != NULL && strcmp(*argv, "--") != 0; argv += 2) {
        const char *value = argv[1];
        if ((*argv)[0] != '-' || value == NULL)
            return false;
        uint64_t n = strtoull(value, NULL, 10);
        switch ((*argv)[1]) {
        case 'm': o->memory_bytes = n; break;
        case 'c': o->cpu_milli = n; break;
        case 'f': o->files = n; break;
        case 's': o->files_soft = n; break;
        case 'k': o->core_bytes = n; break;
        case 'n': o->nice = (int)n; break;
        case 'd': o->cwd = value; break;
        default: return false;
        }
    }
    if (*argv == NULL || argv[1] == NULL)
        return false;
    o->argv = argv + 1;
    return true;
}

// ---- the child

static void guard_limit(int what, uint64_t soft, uint64_t hard)
{
    struct rlimit old;
    if (getrlimit(what, &old) < 0)
        return;
    struct rlimit r = {soft < old.rlim_max ? soft : old.rlim_max,
                       hard < old.rlim_max ? hard : old.rlim_max};
    (void)setrlimit(what, &r); // lowering cannot fail
}

static void guard_affinity(uint64_t milli)
{
#ifdef __linux__
    cpu_set_t have, want;
    int need = (int)((milli + 999) / 1000);
    CPU_ZERO(&want);
    if (sched_getaffinity(0, sizeof have, &have) < 0 || CPU_COUNT(&have) <= need)
        return;
    // Children start at different places, so that they do not share the same few.
    for (int i = 0, at = (int)getpid() % CPU_SETSIZE; i < CPU_SETSIZE && need > 0; i++, at++) {
        if (CPU_ISSET(at % CPU_SETSIZE, &have)) {
            CPU_SET(at % CPU_SETSIZE, &want);
            need--;
        }
    }
    (void)sched_setaffinity(0, sizeof want, &want); // a limit that cannot be set must not stop it
#else
    (void)milli;
#endif
}

static void guard_limits(const struct guard *g)
{
    const struct guard_opts *o = &g->opts;
    if (!guard_cgroup_join(&g->cgroup) || !g->cgroup.cpu) {
        if (o->cpu_milli > 0)
            guard_affinity(o->cpu_milli);
    }
    if (o->files > 0)
        guard_limit(RLIMIT_NOFILE, o->files, o->files);
    else if (o->files_soft > 0)
        guard_limit(RLIMIT_NOFILE, o->files_soft, UINT64_MAX);
    guard_limit(RLIMIT_CORE, o->core_bytes, o->core_bytes);
    if (o->nice > 0)
        (void)setpriority(PRIO_PROCESS, 0, o->nice);
}

static void guard_child(struct guard *g, pid_t guard_pid, int fail_fd)
{
    struct guard_failure f = {0, 'x'};
    sigset_t none;
    (void)setpgid(0, 0); // kill(0, ...) in the child must not hit the guard
#ifdef __linux__
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != guard_pid) // it died before that
        _exit(127);
#else
    (void)guard_pid;
#endif
    guard_limits(g);
    for (int i = 1; i < NSIG; i++)
        (void)signal(i, SIG_DFL);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    if (g->opts.cwd != NULL && chdir(g->opts.cwd) < 0) {
        f.error = errno;
        f.step = 'd';
    } else {
        char line[32]; // now, so that the node knows it before any output comes
        (void)snprintf(line, sizeof line, "P %d\n", (int)getpid());
        guard_say(line);
        (void)execvp(g->opts.argv[0], g->opts.argv);
        f.error = errno;
    }
    (void)!write(fail_fd, &f, sizeof f);
    _exit(127);
}

static void guard_say_failure(struct guard *g, const struct guard_failure *f)
{
    char line[320];
    const char *what = f->step == 'd' ? g->opts.cwd : g->opts.argv[0];
    (void)snprintf(line, sizeof line, "F %d %s %.200s: %s\n", f->error,
                   f->step == 'd'   ? "enter"
                   : f->step == 'f' ? "fork for"
                                    : "run",
                   what, strerror(f->error));
    guard_say(line);
    g->failed = true;
}

static bool guard_start(struct guard *g)
{
    int fail[2];
    struct guard_failure f = {0, 'f'};
    if (pipe(fail) < 0) {
        f.error = errno;
        guard_say_failure(g, &f);
        return false;
    }
    (void)fcntl(fail[0], F_SETFD, FD_CLOEXEC);
    (void)fcntl(fail[1], F_SETFD, FD_CLOEXEC);
    pid_t self = getpid();
    pid_t pid = fork();
    if (pid == 0)
        guard_child(g, self, fail[1]);
    f.error = errno;
    (void)close(fail[1]);
    g->exec_fd = fail[0];
    if (pid < 0) {
        guard_say_failure(g, &f);
        return false;
    }
    g->child = pid;
    return true;
}

// ---- events

static void guard_exec_event(struct guard *g)
{
    struct guard_failure f;
    ssize_t n;
    do {
        n = read(g->exec_fd, &f, sizeof f);
    } while (n < 0 && errno == EINTR);
    (void)close(g->exec_fd);
    g->exec_fd = -1;
    if (n == (ssize_t)sizeof f)
        guard_say_failure(g, &f);
}

static void guard_say_exit(struct guard *g, int status)
{
    char line[64];
    bool by_signal = WIFSIGNALED(status);
    if (guard_cgroup_oom(&g->cgroup))
        g->over = true;
    (void)snprintf(line, sizeof line, "X %d %d %d\n", by_signal ? -1 : WEXITSTATUS(status),
                   by_signal ? WTERMSIG(status) : 0, g->over);
    guard_say(line);
}

static void guard_reap(struct guard *g)
{
    for (;;) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid < 0 && errno == EINTR)
            continue;
        if (pid < 0)
            g->no_child = true;
        if (pid <= 0)
            return;
        if (pid != g->child)
            continue;
        if (g->exec_fd >= 0)
            guard_exec_event(g);
        if (!g->failed)
            guard_say_exit(g, status);
        g->child = 0;
        g->killing = true;
    }
}

static void guard_kill_all(struct guard *g)
{
    if (guard_tree(getpid(), &g->pids) == 0)
        guard_kill_pids(&g->pids);
    if (g->child > 1) { // never -1: that is everybody
        (void)kill(-g->child, SIGKILL);
        (void)kill(g->child, SIGKILL);
    }
}

static void guard_measure(struct guard *g)
{
    char line[48];
    if (guard_tree(getpid(), &g->pids) < 0)
        return;
    (void)snprintf(line, sizeof line, "M %llu\n", (unsigned long long)guard_pss(&g->pids));
    guard_say(line);
}

// RSS counts shared pages for each process and is cheap; only when it is over the limit the true
// share is worth its price.
static void guard_watch(struct guard *g)
{
    if (guard_tree(getpid(), &g->pids) < 0 || guard_rss(&g->pids) <= g->opts.memory_bytes)
        return;
    if (guard_pss(&g->pids) <= g->opts.memory_bytes)
        return;
    g->over = true;
    g->killing = true;
}

static void guard_control_event(struct guard *g)
{
    char words[64];
    ssize_t n = recv(GUARD_CONTROL_FD, words, sizeof words, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        g->killing = true;
        return;
    }
    bool measure = false;
    for (ssize_t i = 0; i < n; i++) {
        if (words[i] == GUARD_TERM && g->child > 1)
            (void)kill(g->child, SIGTERM);
        g->killing |= words[i] == GUARD_KILL;
        measure |= words[i] == GUARD_MEASURE;
    }
    if (measure)
        guard_measure(g);
}

static int guard_patience(const struct guard *g)
{
    if (g->killing)
        return g->again_ms;
    return g->opts.memory_bytes > 0 && !g->cgroup.memory ? GUARD_WATCH_MS : -1;
}

static int64_t guard_now_ms(void)
{
    return time_mono_ms();
}

static void guard_run(struct guard *g)
{
    int64_t due = 0; // the next round of killing or watching
    bool was_killing = false;
    while (!g->no_child) {
        if (g->killing && (!was_killing || guard_now_ms() >= due)) {
            guard_kill_all(g);
            was_killing = true;
            g->again_ms =
                g->again_ms * 2 < GUARD_AGAIN_MAX_MS ? g->again_ms * 2 : GUARD_AGAIN_MAX_MS;
            due = guard_now_ms() + g->again_ms;
        } else if (!g->killing && guard_patience(g) > 0 && guard_now_ms() >= due) {
            guard_watch(g);
            due = guard_now_ms() + GUARD_WATCH_MS;
            continue;
        }
        struct pollfd p[3] = {
            {.fd = guard_wake_fd[0], .events = POLLIN},
            {.fd = g->exec_fd, .events = POLLIN},
            {.fd = g->killing ? -1 : GUARD_CONTROL_FD, .events = POLLIN},
        };
        if (poll(p, 3, guard_patience(g)) < 0)
            continue; // EINTR: the wake pipe has it
        if (p[0].revents) {
            char waste[64];
            (void)!read(guard_wake_fd[0], waste, sizeof waste);
        }
        if (p[1].revents)
            guard_exec_event(g);
        if (p[2].revents)
            guard_control_event(g);
        guard_reap(g);
    }
}

#ifndef __linux__
// The kernel does not say here when the last descendant is gone: the table of processes does.
static void guard_orphans(struct guard *g)
{
    for (int ms = GUARD_AGAIN_MS; guard_tree(getpid(), &g->pids) == 0 && g->pids.n > 0;) {
        guard_kill_pids(&g->pids);
        (void)poll(NULL, 0, ms);
        ms = ms * 2 < GUARD_AGAIN_MAX_MS ? ms * 2 : GUARD_AGAIN_MAX_MS;
    }
}
#endif

// ---- the start

static void guard_signals(void)
{
    struct sigaction a = {.sa_handler = SIG_IGN};
    sigset_t none;
    // The node decides when we end: neither a terminal nor a service manager's TERM does.
    static const int ignored[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2};
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        (void)sigaction(ignored[i], &a, NULL);
    a.sa_handler = guard_on_signal;
    a.sa_flags = SA_NOCLDSTOP;
    (void)sigaction(SIGCHLD, &a, NULL);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static bool guard_prepare(void)
{
    guard_close_from(GUARD_CONTROL_FD + 1);
    (void)fcntl(GUARD_CONTROL_FD, F_SETFD, FD_CLOEXEC);
    if (pipe(guard_wake_fd) < 0)
        return false;
    for (int i = 0; i < 2; i++) {
        (void)fcntl(guard_wake_fd[i], F_SETFD, FD_CLOEXEC);
        (void)fcntl(guard_wake_fd[i], F_SETFL, O_NONBLOCK);
    }
    guard_signals();
    (void)setsid(); // fails only when we lead a group already
#ifdef __linux__
    (void)prctl(PR_SET_NAME, "plexus-guard");
    return prctl(PR_SET_CHILD_SUBREAPER, 1) == 0;
#else
    return true;
#endif
}

// The child has its input and output now; ours must not keep the pipes open.
static void guard_drop_pipes(void)
{
    int none = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; none >= 0 && fd <= 2; fd++)
        (void)dup2(none, fd);
    if (none > 2)
        (void)close(none);
}

int loop_guard_main(int argc, char **argv)
{
    struct guard g = {.exec_fd = -1, .again_ms = GUARD_AGAIN_MS};
    while (argc > 0 && strcmp(argv[0], "_guard") != 0) {
        argc--;
        argv++;
    }
    int type;
    socklen_t n = sizeof type;
    if (argc == 0 || !guard_parse(&g.opts, argv + 1) ||
        getsockopt(GUARD_CONTROL_FD, SOL_SOCKET, SO_TYPE, &type, &n) < 0) {
        (void)fprintf(stderr, "plexus _guard is started by a node, not by hand\n");
        return 64; // EX_USAGE
    }
    if (!guard_prepare())
        return 71; // EX_OSERR
    guard_cgroup_open(&g.cgroup, &g.opts);
    bool started = guard_start(&g);
    guard_drop_pipes();
    if (started)
        guard_run(&g);
#ifndef __linux__
    guard_orphans(&g);
#endif
    guard_cgroup_close(&g.cgroup);
    guard_pids_free(&g.pids);
    return 0;
}
