// limits.c: what of the machine is ours: control groups (v1 and v2), CPU sets, affinity. A
// container with 2 cores and 4 GiB is a small machine, however large its host.
// SPDX-License-Identifier: Apache-2.0
#include "host/host_priv.h"

#include <stdio.h>
#include <string.h>

#define V1_NO_LIMIT (1ull << 62) // v1 writes PAGE_COUNTER_MAX in bytes for "none"
#define GROUP_MAX 400

struct group { // this process's place in one hierarchy
    int version;
    char mount[64]; // where the hierarchy is mounted
    char path[GROUP_MAX]; // "" for its top, else "/a/b"
};

// A line of /proc/self/cgroup is "id:controllers:path"; v2 is "0::path".
static bool own_path(struct bytes text, const char *controller, char *path, size_t size)
{
    while (text.n) {
        struct bytes rest = bytes_cut(&text, '\n');
        (void)bytes_cut(&rest, ':');
        struct bytes names = bytes_cut(&rest, ':');
        bool hit = !*controller && !names.n;
        while (*controller && names.n && !hit)
            hit = bytes_is(bytes_cut(&names, ','), controller);
        if (!hit)
            continue;
        // A path outside of our view ("/../other") tells nothing about the folders that we see.
        if (!rest.n || rest.n >= size || bytes_starts(rest, BYTES("/..")))
            rest = BYTES("/");
        memcpy(path, rest.p, rest.n);
        path[rest.n] = 0;
        if (!strcmp(path, "/"))
            *path = 0;
        return true;
    }
    return false;
}

static bool there(const struct host_probe *p, const char *folder)
{
    struct buf b;
    buf_init(&b, 65536);
    bool ok = host_list(p, &b, "%s", folder);
    buf_fini(&b);
    return ok;
}

// v1 mounts each controller (or a group of them) in a folder of its own.
static bool v1_mount(const struct host_probe *p, const char *controller, char mount[64])
{
    static const char *const cpu_names[] = {"cpu", "cpu,cpuacct", "cpuacct,cpu"};
    for (size_t i = 0; i < sizeof cpu_names / sizeof *cpu_names; i++) {
        bool cpu = !strcmp(controller, "cpu");
        (void)snprintf(mount, 64, "/sys/fs/cgroup/%s", cpu ? cpu_names[i] : controller);
        if (there(p, mount))
            return true;
        if (!cpu)
            break;
    }
    return false;
}

static bool find_group(const struct host_probe *p, const char *controller, struct group *g)
{
    struct buf b;
    bool found = false;
    buf_init(&b, 65536);
    memset(g, 0, sizeof *g);
    if (host_read(p, &b, "/proc/self/cgroup")) {
        struct bytes text = buf_bytes(&b);
        if (own_path(text, controller, g->path, sizeof g->path) &&
            v1_mount(p, controller, g->mount)) {
            g->version = 1;
            found = true;
        } else if (own_path(text, "", g->path, sizeof g->path) &&
                   host_read(p, &b, "/sys/fs/cgroup/cgroup.controllers")) {
            HOST_COPY_STR(g->mount, "/sys/fs/cgroup");
            g->version = 2;
            found = true;
        }
    }
    buf_fini(&b);
    return found;
}

// Goes up one level; false at the top. In a container the path may be the host's, whose folders
// are not seen here; then only the mount's top is left, and that is the container's own group.
static bool go_up(char *path)
{
    char *slash = strrchr(path, '/');
    if (!slash)
        return false;
    *slash = 0;
    return true;
}

typedef uint64_t (*limit_fn)(const struct host_probe *p, const char *folder, int version);

// The least limit from our group up to the top: each level binds. UINT64_MAX: none.
static uint64_t least(const struct host_probe *p, const struct group *g, limit_fn fn)
{
    char path[GROUP_MAX], folder[GROUP_MAX + 64];
    uint64_t min = UINT64_MAX;
    memcpy(path, g->path, sizeof path);
    do {
        (void)snprintf(folder, sizeof folder, "%s%s", g->mount, path);
        uint64_t v = fn(p, folder, g->version);
        min = v < min ? v : min;
    } while (go_up(path));
    return min;
}

static uint64_t memory_limit(const struct host_probe *p, const char *folder, int version)
{
    // "max" is no number, so it gives the fallback.
    if (version == 2)
        return host_read_u64(p, UINT64_MAX, "%s/memory.max", folder);
    uint64_t v = host_read_u64(p, UINT64_MAX, "%s/memory.limit_in_bytes", folder);
    return v >= V1_NO_LIMIT ? UINT64_MAX : v;
}

// What is left below the limit: page cache that the kernel can drop is not in use.
static uint64_t memory_left(const struct host_probe *p, const char *folder, int version)
{
    uint64_t limit = memory_limit(p, folder, version), droppable = 0;
    struct buf b;
    if (limit == UINT64_MAX)
        return limit;
    uint64_t used = host_read_u64(
        p, 0, version == 2 ? "%s/memory.current" : "%s/memory.usage_in_bytes", folder);
    buf_init(&b, 65536);
    if (host_read(p, &b, "%s/memory.stat", folder))
        (void)host_number(
            host_field(buf_bytes(&b), version == 2 ? "inactive_file" : "total_inactive_file", ' '),
            &droppable);
    buf_fini(&b);
    used -= droppable < used ? droppable : used;
    return used < limit ? limit - used : 0;
}

// CPU time in thousandths of a CPU.
static uint64_t cpu_limit(const struct host_probe *p, const char *folder, int version)
{
    uint64_t quota = 0, period = 0;
    char text[64] = "";
    if (version == 2) {
        if (!host_read_into(p, text, sizeof text, "%s/cpu.max", folder))
            return UINT64_MAX;
        struct bytes rest = bytes_of(text);
        if (!host_number(bytes_cut(&rest, ' '), &quota) || !host_number(rest, &period))
            return UINT64_MAX; // "max 100000"
    } else {
        quota = host_read_u64(p, 0, "%s/cpu.cfs_quota_us", folder); // "-1" is no number: none
        period = host_read_u64(p, 0, "%s/cpu.cfs_period_us", folder);
    }
    if (!quota || !period || quota > UINT64_MAX / 1000)
        return UINT64_MAX;
    return quota * 1000 / period;
}

// Members of a list such as "0-3,8,10-11".
static uint32_t count_cpus(struct bytes list)
{
    uint64_t sum = 0;
    list = bytes_trim(list);
    while (list.n) {
        struct bytes to = bytes_cut(&list, ',');
        struct bytes from = bytes_cut(&to, '-');
        uint64_t a, b;
        if (!host_number(from, &a))
            continue;
        if (!host_number(to, &b))
            b = a;
        if (b >= a && b - a < 65536)
            sum += b - a + 1;
    }
    return (uint32_t)(sum < UINT32_MAX ? sum : UINT32_MAX);
}

static uint32_t cpuset(const struct host_probe *p, const struct group *g)
{
    static const char *const files[] = {"cpuset.cpus.effective", "cpuset.effective_cpus",
                                        "cpuset.cpus"};
    char path[GROUP_MAX];
    struct buf b;
    uint32_t n = 0;
    memcpy(path, g->path, sizeof path);
    buf_init(&b, 65536);
    do { // the nearest level that says something holds for all below
        for (size_t i = 0; i < sizeof files / sizeof *files && !n; i++)
            if (host_read(p, &b, "%s%s/%s", g->mount, path, files[i]))
                n = count_cpus(buf_bytes(&b));
    } while (!n && go_up(path));
    buf_fini(&b);
    return n;
}

int host_cgroup_path(const struct host_probe *p, const char *controller, char *path, size_t size)
{
    struct group g;
    if (!find_group(p, controller, &g))
        return 0;
    (void)snprintf(path, size, "%s%s", g.mount, g.path);
    if (!there(p, path))
        (void)snprintf(path, size, "%s", g.mount);
    return g.version;
}

void host_detect_limits(struct host_profile *h, const struct host_probe *p)
{
    struct group g;
    uint64_t memory = UINT64_MAX, left = UINT64_MAX;
    if (find_group(p, "memory", &g)) {
        h->memory.cgroup = g.version;
        memory = least(p, &g, memory_limit);
        left = least(p, &g, memory_left);
    }
    if (memory < h->memory.total) // a limit above the machine binds nothing
        h->memory.limit = memory;
    h->memory.effective = h->memory.limit ? h->memory.limit : h->memory.total;
    h->memory.effective_available = left < h->memory.available ? left : h->memory.available;

    if (find_group(p, "cpu", &g)) {
        uint64_t thousandths = least(p, &g, cpu_limit);
        h->cpu.quota = thousandths == UINT64_MAX ? 0 : (double)thousandths / 1000;
    }
    if (find_group(p, "cpuset", &g))
        h->cpu.cpuset = cpuset(p, &g);
    const double candidates[] = {h->cpu.affinity, h->cpu.cpuset, h->cpu.quota};
    h->cpu.effective = h->cpu.threads;
    for (size_t i = 0; i < sizeof candidates / sizeof *candidates; i++)
        if (candidates[i] > 0 && (candidates[i] < h->cpu.effective || h->cpu.effective <= 0))
            h->cpu.effective = candidates[i];
}
