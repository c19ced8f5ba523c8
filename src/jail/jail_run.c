// jail_run.c: the order in which a jail is made, on Linux. Three processes: one stays outside and
// waits; the first inside makes all layers and then only reaps (it is number 1 of its namespace:
// when it ends, everything inside ends); the second inside runs what the jail is for.
// SPDX-License-Identifier: Apache-2.0
#ifdef __linux__
#include "base/alloc.h"
#include "jail/jail_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { COUNT_MS = 25, NR_OPENAT2 = 437, NO_MAGICLINKS = 0x02, NO_SYMLINKS = 0x04, DEPTH_MAX = 64 };
struct how {
    uint64_t flags, mode, resolve;
};

void jail_on(struct jail_making *m, enum jail_layer layer)
{
    m->r.layer[layer].standing = JAIL_ON;
}

void jail_not_asked(struct jail_making *m, enum jail_layer layer)
{
    m->r.layer[layer].standing = JAIL_NOT_ASKED;
}

void jail_lacks(struct jail_making *m, enum jail_layer layer, const char *fmt, ...)
{
    va_list ap;
    m->r.layer[layer].standing = JAIL_MISSING;
    va_start(ap, fmt);
    (void)vsnprintf(m->r.layer[layer].why, JAIL_WHY_MAX, fmt, ap);
    va_end(ap);
}

static int refuse(const char *what, const char *why)
{
    (void)dprintf(STDERR_FILENO, "%s: %s\n", what, why);
    return JAIL_EXIT_REFUSED;
}

// ---- before

static void close_others(void)
{
    if (syscall(SYS_close_range, 3U, ~0U, 0) == 0)
        return;
    DIR *d = opendir("/proc/self/fd");
    struct dirent *entry;
    while (d && (entry = readdir(d)) != NULL) {
        int fd = atoi(entry->d_name);
        if (fd > 2 && fd != dirfd(d))
            (void)close(fd);
    }
    if (d)
        (void)closedir(d);
}

// What was granted is a folder, and no part of its name is a link that somebody put there since.
static int open_folder(const char *path)
{
    struct how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
                      .resolve = NO_SYMLINKS | NO_MAGICLINKS};
    int fd = (int)syscall(NR_OPENAT2, AT_FDCWD, path, &how, sizeof how);
    int error = fd < 0 ? errno : 0;
    if (error != ENOSYS && error != EPERM)
        return fd;
    char name[256]; // a kernel before 5.6, or a filter around us: by hand
    fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    while (fd >= 0 && *(path += strspn(path, "/"))) {
        size_t n = strcspn(path, "/");
        if (n >= sizeof name) {
            (void)close(fd);
            errno = ENAMETOOLONG;
            return -1;
        }
        memcpy(name, path, n);
        name[n] = 0;
        path += n;
        int next = openat(fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int saved = errno;
        (void)close(fd);
        errno = saved;
        fd = next;
    }
    return fd;
}

static int open_folders(struct jail_making *m)
{
    for (size_t i = 0; i < m->o->folders; i++) {
        m->folder_fd[i] = open_folder(m->o->folder[i].path);
        if (m->folder_fd[i] < 0)
            return refuse(m->o->folder[i].path, errno == ELOOP || errno == ENOTDIR
                                                    ? "no longer a folder: something else, or a "
                                                      "link, is on the way"
                                                    : strerror(errno));
    }
    return 0;
}

// ---- inside

static void make_tmp(struct jail_making *m) // where there is no /tmp of its own
{
    if (m->r.layer[JAIL_ROOT].standing == JAIL_ON)
        return;
    if (m->o->bare)
        jail_not_asked(m, JAIL_TMP);
    else
        jail_lacks(m, JAIL_TMP, "needs an own root folder");
    if (*m->tmp) {
        (void)setenv("TMPDIR", m->tmp, 1);
        (void)setenv("HOME", m->tmp, 1);
    }
}

static int enter_folder(const struct jail_making *m)
{
    const struct jail_opts *o = m->o;
    const char *cwd = o->cwd ? o->cwd : o->folders > 0 ? o->folder[0].path : "/";
    return chdir(cwd) < 0 ? refuse(cwd, strerror(errno)) : 0;
}

static int make(struct jail_making *m)
{
    const char *why;
    struct err e = {0};
    jail_spaces_rest(m);
    int rc = open_folders(m);
    if (rc)
        return rc;
    if (jail_root(m, &why) < 0)
        return refuse("the sandbox's root folder cannot be entered", why);
    if (m->o->hidden && m->r.layer[JAIL_ROOT].standing != JAIL_ON)
        return refuse(m->o->hidden, "it lies in a granted folder and must not be seen, which needs "
                                    "an own root folder: grant another one");
    make_tmp(m);
    if ((rc = enter_folder(m)) != 0)
        return rc;
    jail_limits(m);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
        jail_on(m, JAIL_PRIVS);
    jail_landlock(m);
    jail_caps(m);
    for (size_t i = 0; i < m->o->folders; i++)
        (void)close(m->folder_fd[i]);
    jail_seccomp(m);
    // Its own memory and descriptors are not for what runs beside it. Said last: a process that is
    // not dumpable may not write the maps of its user namespace.
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    if (jail_judge(&m->r, m->o->require, &e) < 0)
        return refuse("refused", e.text);
    return 0;
}

static size_t count_processes(void)
{
    size_t n = 0;
    DIR *d = opendir("/proc");
    struct dirent *entry;
    while (d && (entry = readdir(d)) != NULL)
        n += entry->d_name[0] >= '1' && entry->d_name[0] <= '9';
    if (d)
        (void)closedir(d);
    return n;
}

// Number 1 inside. Its end is the end of all.
static int reap(const struct jail_making *m, pid_t child)
{
    uint64_t max = m->o->processes ? m->o->processes : JAIL_PROCESSES;
    bool counts = !m->o->bare && m->r.layer[JAIL_PID].standing == JAIL_ON &&
                  m->r.layer[JAIL_PROC].standing == JAIL_ON;
    struct timespec pause = {.tv_nsec = COUNT_MS * 1000000L};
    sigset_t chld;
    (void)sigemptyset(&chld);
    (void)sigaddset(&chld, SIGCHLD);
    for (;;) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid == child)
            return jail_exit_code(status);
        if (pid > 0)
            continue;
        (void)sigtimedwait(&chld, NULL, counts ? &pause : NULL);
        // Itself and one over the number.
        if (counts && count_processes() > max + 2) {
            (void)refuse("ended", "too many processes");
            return JAIL_EXIT_ENDED;
        }
    }
}

static int run(const struct jail_making *m, const struct jail_body *body)
{
    (void)setsid(); // a group of the scheduler for itself: it cannot starve the one that counts
    if (body)
        return body->run(body->user, &m->r);
    jail_hold_group(&m->r);
    (void)execvp(m->o->argv[0], m->o->argv);
    (void)dprintf(STDERR_FILENO, "%s: %s\n", m->o->argv[0], strerror(errno));
    return 127;
}

static int inside(struct jail_making *m, const struct jail_body *body)
{
    sigset_t chld, old;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    int rc = make(m);
    if (rc)
        return rc;
    (void)sigemptyset(&chld);
    (void)sigaddset(&chld, SIGCHLD);
    (void)sigprocmask(SIG_BLOCK, &chld, &old);
    pid_t child = fork();
    if (child < 0)
        return refuse("fork", strerror(errno));
    if (child == 0) {
        (void)sigprocmask(SIG_SETMASK, &old, NULL);
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(run(m, body));
    }
    return reap(m, child);
}

// ---- outside

static void remove_below(int dir, unsigned depth)
{
    DIR *d = depth < DEPTH_MAX ? fdopendir(dir) : NULL;
    struct dirent *entry;
    if (!d) {
        (void)close(dir);
        return;
    }
    int at = dirfd(d);
    while (at >= 0 && (entry = readdir(d)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            unlinkat(at, entry->d_name, 0) == 0)
            continue;
        int sub =
            openat(at, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (sub >= 0)
            remove_below(sub, depth + 1);
        (void)unlinkat(at, entry->d_name, AT_REMOVEDIR);
    }
    (void)closedir(d);
}

static void remove_tmp(const struct jail_making *m)
{
    int dir = *m->tmp ? open(m->tmp, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
    if (dir < 0)
        return;
    remove_below(dir, 0);
    (void)rmdir(m->tmp);
}

static int await(const struct jail_making *m, pid_t child)
{
    int status;
    if (m->watched)
        return jail_watch(child, m->o->bare            ? UINT64_MAX - 8
                                 : m->o->processes > 0 ? m->o->processes
                                                       : JAIL_PROCESSES);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    return jail_exit_code(status);
}

int jail_run(const struct jail_opts *o, const struct jail_body *body, const char *self,
             char **argv_self)
{
    static struct jail_making m; // of a process of its own
    m = (struct jail_making){.o = o};
    (void)self;
    (void)argv_self;
    close_others();
    jail_spaces_enter(&m);
    m.watched = m.r.layer[JAIL_PID].standing != JAIL_ON && jail_watch_can();
    if (!o->bare && m.r.layer[JAIL_ROOT].standing != JAIL_ON) {
        (void)snprintf(m.tmp, sizeof m.tmp, "/tmp/plexus-jail-XXXXXX");
        if (!mkdtemp(m.tmp))
            m.tmp[0] = 0;
    }
    pid_t child = fork();
    if (child < 0)
        return refuse("fork", strerror(errno));
    if (child == 0)
        _exit(inside(&m, body));
    int none = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; none >= 0 && fd <= 1; fd++) // the pipes are the child's alone
        (void)dup2(none, fd);
    int code = await(&m, child);
    remove_tmp(&m);
    return code;
}
#else
extern int jail_run_is_for_linux; // a file of C has at least one declaration
#endif
