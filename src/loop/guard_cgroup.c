// guard_cgroup.c: limits by a cgroup (v2) where the node's own is delegated to it.
// SPDX-License-Identifier: Apache-2.0
//
// A cgroup with processes cannot hand controllers to children, so the usual place is beside the
// node's (its parent, when the service manager delegated that), or below it when the node runs in
// the root of a container. Both are tried; what fails leaves the other means: affinity, PSS watch.
#include "loop/guard_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CGROUP_CPU_PERIOD_US = 100000 };

static bool cgroup_read(const char *dir, const char *name, char *buf, size_t size)
{
    char path[640];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, buf, size - 1);
    (void)close(fd);
    buf[n > 0 ? n : 0] = '\0';
    return n >= 0;
}

static bool cgroup_write(const char *dir, const char *name, const char *text)
{
    char path[640];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    size_t n = strlen(text);
    bool ok = write(fd, text, n) == (ssize_t)n;
    (void)close(fd);
    return ok;
}

static bool cgroup_offers(const char *controllers, const char *name)
{
    size_t n = strlen(name);
    for (const char *at = controllers; (at = strstr(at, name)) != NULL; at += n) {
        bool begins = at == controllers || at[-1] == ' ';
        bool ends = at[n] == '\0' || at[n] == ' ' || at[n] == '\n';
        if (begins && ends)
            return true;
    }
    return false;
}

static bool cgroup_limit(struct guard_cgroup *g, const struct guard_opts *o)
{
    char text[64];
    if (o->memory_bytes > 0) {
        (void)snprintf(text, sizeof text, "%llu", (unsigned long long)o->memory_bytes);
        if (!cgroup_write(g->path, "memory.max", text))
            return false;
        (void)cgroup_write(g->path, "memory.swap.max", "0"); // absent without swap accounting
        g->memory = true;
    }
    if (o->cpu_milli > 0) {
        (void)snprintf(text, sizeof text, "%llu %d",
                       (unsigned long long)o->cpu_milli * CGROUP_CPU_PERIOD_US / 1000,
                       CGROUP_CPU_PERIOD_US);
        if (!cgroup_write(g->path, "cpu.max", text))
            return false;
        g->cpu = true;
    }
    return true;
}

static bool cgroup_try(struct guard_cgroup *g, const char *parent, const struct guard_opts *o,
                       pid_t id)
{
    char offered[512];
    if (!cgroup_read(parent, "cgroup.subtree_control", offered, sizeof offered))
        return false;
    if ((o->memory_bytes > 0 && !cgroup_offers(offered, "memory")) ||
        (o->cpu_milli > 0 && !cgroup_offers(offered, "cpu")))
        return false;
    int n = snprintf(g->path, sizeof g->path, "%s/plexus-%d", parent, (int)id);
    if (n >= (int)sizeof g->path || mkdir(g->path, 0755) < 0) {
        g->path[0] = '\0';
        return false;
    }
    if (cgroup_limit(g, o))
        return true;
    guard_cgroup_close(g);
    return false;
}

void guard_cgroup_open_at(struct guard_cgroup *g, const char *root, const char *own,
                          const struct guard_opts *o, pid_t id)
{
    char dir[400];
    *g = (struct guard_cgroup){0};
    if (o->memory_bytes == 0 && o->cpu_milli == 0)
        return;
    if (snprintf(dir, sizeof dir, "%s%s", root, own) >= (int)sizeof dir)
        return;
    size_t n = strlen(dir);
    while (n > 1 && dir[n - 1] == '/')
        dir[--n] = '\0';
    if (cgroup_try(g, dir, o, id))
        return;
    char *slash = strrchr(dir, '/');
    if (slash == NULL || (size_t)(slash - dir) < strlen(root)) // never above the mount
        return;
    *slash = '\0';
    (void)cgroup_try(g, dir, o, id);
}

void guard_cgroup_open(struct guard_cgroup *g, const struct guard_opts *o)
{
    char text[1024];
    *g = (struct guard_cgroup){0};
    if (!cgroup_read("/proc/self", "cgroup", text, sizeof text))
        return;
    char *line = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
    if (line == NULL)
        return;
    line += *line == '\n' ? 4 : 3;
    line[strcspn(line, "\n")] = '\0';
    guard_cgroup_open_at(g, "/sys/fs/cgroup", line, o, getpid());
}

bool guard_cgroup_join(const struct guard_cgroup *g)
{
    return g->path[0] == '\0' || cgroup_write(g->path, "cgroup.procs", "0");
}

bool guard_cgroup_oom(const struct guard_cgroup *g)
{
    char text[512];
    if (!g->memory || !cgroup_read(g->path, "memory.events", text, sizeof text))
        return false;
    const char *at = strstr(text, "oom_kill ");
    return at != NULL && strtoul(at + 9, NULL, 10) > 0;
}

void guard_cgroup_close(struct guard_cgroup *g)
{
    if (g->path[0] != '\0')
        (void)rmdir(g->path); // a cgroup is removed as an empty folder is
    *g = (struct guard_cgroup){0};
}
