// guard_tree.c: who descends from a process, what memory they hold, and killing them.
// SPDX-License-Identifier: Apache-2.0
#include "loop/guard_priv.h"

#include "base/alloc.h"
#include "base/err.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/syscall.h>
#else
#include <libproc.h>
#endif

void guard_pids_free(struct guard_pids *v)
{
    mem_free(v->p);
    *v = (struct guard_pids){0};
}

static int pids_add(struct guard_pids *v, pid_t pid)
{
    if (v->n == v->cap) {
        size_t cap = v->cap ? v->cap * 2 : 64;
        pid_t *p = mem_realloc(v->p, cap * sizeof *p);
        if (p == NULL)
            return E_NOMEM;
        v->p = p;
        v->cap = cap;
    }
    v->p[v->n++] = pid;
    return 0;
}

void guard_kill_pids(const struct guard_pids *v)
{
    for (size_t i = 0; i < v->n; i++) {
        if (v->p[i] > 1) // 0 and below are groups or everybody, 1 is init
            (void)kill(v->p[i], SIGKILL); // it may have ended meanwhile
    }
}

// One process of the machine.
struct proc_row {
    pid_t pid, ppid, session;
};
struct proc_rows {
    struct proc_row *p;
    size_t n, cap;
};

static int rows_add(struct proc_rows *v, struct proc_row row)
{
    if (v->n == v->cap) {
        size_t cap = v->cap ? v->cap * 2 : 256;
        struct proc_row *p = mem_realloc(v->p, cap * sizeof *p);
        if (p == NULL)
            return E_NOMEM;
        v->p = p;
        v->cap = cap;
    }
    v->p[v->n++] = row;
    return 0;
}

#ifdef __linux__

static ssize_t proc_read(pid_t pid, const char *name, char *buf, size_t size)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t n = read(fd, buf, size - 1);
    (void)close(fd);
    if (n >= 0)
        buf[n] = '\0';
    return n;
}

// proc(5): stat fields 1, 4 and 6.
static int rows_scan(struct proc_rows *v)
{
    DIR *dir = opendir("/proc");
    if (dir == NULL)
        return E_IO;
    struct dirent *it;
    int rc = 0;
    while (rc == 0 && (it = readdir(dir)) != NULL) {
        char buf[512], state;
        int ppid, group, session;
        pid_t pid = (pid_t)strtol(it->d_name, NULL, 10);
        if (pid <= 0 || proc_read(pid, "stat", buf, sizeof buf) <= 0)
            continue;
        const char *rest = strrchr(buf, ')'); // the name may hold anything
        if (rest == NULL || sscanf(rest + 1, " %c %d %d %d", &state, &ppid, &group, &session) != 4)
            continue;
        rc = rows_add(v, (struct proc_row){pid, ppid, session});
    }
    (void)closedir(dir);
    return rc;
}

uint64_t guard_pss(const struct guard_pids *v)
{
    uint64_t total = 0;
    for (size_t i = 0; i < v->n; i++) {
        char buf[2048];
        if (proc_read(v->p[i], "smaps_rollup", buf, sizeof buf) <= 0)
            continue;
        const char *at = strstr(buf, "\nPss:");
        if (at != NULL)
            total += strtoull(at + 5, NULL, 10) * 1024;
    }
    return total;
}

uint64_t guard_rss(const struct guard_pids *v)
{
    uint64_t pages = 0;
    for (size_t i = 0; i < v->n; i++) {
        char buf[128];
        unsigned long long size, resident;
        if (proc_read(v->p[i], "statm", buf, sizeof buf) > 0 &&
            sscanf(buf, "%llu %llu", &size, &resident) == 2)
            pages += resident;
    }
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

#else // macOS: libproc

// Nobody can be a subreaper here: who lost its parent belongs to launchd (1). Then it counts as a
// child of who leads its session, as long as it did not start a session of its own.
static int rows_scan(struct proc_rows *v)
{
    int room = proc_listallpids(NULL, 0);
    if (room <= 0)
        return E_IO;
    room += room / 8 + 16; // for those that start meanwhile
    pid_t *all = mem_array((size_t)room, sizeof *all);
    if (all == NULL)
        return E_NOMEM;
    int rc = 0, n = proc_listallpids(all, room * (int)sizeof *all);
    if (n <= 0)
        rc = E_IO;
    for (int i = 0; rc == 0 && i < n; i++) {
        struct proc_bsdshortinfo info;
        pid_t session = getsid(all[i]);
        if (session < 0 ||
            proc_pidinfo(all[i], PROC_PIDT_SHORTBSDINFO, 0, &info, sizeof info) != (int)sizeof info)
            continue; // it has ended meanwhile
        pid_t parent = (pid_t)info.pbsi_ppid;
        if (parent == 1 && session != all[i])
            parent = session;
        rc = rows_add(v, (struct proc_row){all[i], parent, session});
    }
    mem_free(all);
    return rc;
}

// What the system's own tools show as a process's memory: its share, without mapped files.
uint64_t guard_pss(const struct guard_pids *v)
{
    uint64_t total = 0;
    for (size_t i = 0; i < v->n; i++) {
        struct rusage_info_v2 info;
        if (proc_pid_rusage(v->p[i], RUSAGE_INFO_V2, (rusage_info_t *)(void *)&info) == 0)
            total += info.ri_phys_footprint;
    }
    return total;
}

uint64_t guard_rss(const struct guard_pids *v)
{
    return guard_pss(v); // as cheap
}

#endif

int guard_tree(pid_t root, struct guard_pids *ret)
{
    struct proc_rows v = {0};
    ret->n = 0;
    if (root <= 1)
        return E_INVALID;
    int rc = rows_scan(&v);
    // Breadth first: the rows below root, then the rows below those ...
    for (size_t at = 0; rc == 0 && at <= ret->n; at++) {
        pid_t parent = at == 0 ? root : ret->p[at - 1];
        for (size_t i = 0; rc == 0 && i < v.n; i++) {
            if (v.p[i].ppid == parent)
                rc = pids_add(ret, v.p[i].pid);
        }
    }
    mem_free(v.p);
    return rc;
}

int guard_session(pid_t root, struct guard_pids *ret)
{
    struct proc_rows v = {0};
    ret->n = 0;
    if (root <= 1) // 0 is the session of whoever came from outside of a container
        return E_INVALID;
    int rc = rows_scan(&v);
    for (size_t i = 0; rc == 0 && i < v.n; i++) {
        if (v.p[i].session == root && v.p[i].pid != root)
            rc = pids_add(ret, v.p[i].pid);
    }
    mem_free(v.p);
    return rc;
}

void guard_close_from(int first)
{
#ifdef SYS_close_range
    if (syscall(SYS_close_range, (unsigned)first, ~0U, 0U) == 0)
        return;
#endif
    DIR *dir = opendir("/dev/fd");
    if (dir == NULL) {
        for (int fd = first; fd < 4096; fd++)
            (void)close(fd);
        return;
    }
    struct dirent *it;
    while ((it = readdir(dir)) != NULL) {
        int fd = (int)strtol(it->d_name, NULL, 10);
        if (fd >= first && fd != dirfd(dir))
            (void)close(fd);
    }
    (void)closedir(dir);
}
