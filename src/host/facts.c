// facts.c: what the running machine says by system calls, by name (the names stand in host.h).
// SPDX-License-Identifier: Apache-2.0
#include "host/live_priv.h"

#include "base/bytes.h"
#include "base/err.h"

#include <errno.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#ifdef __linux__
#include <sched.h>
#include <sys/timex.h>
#endif
#ifdef __APPLE__
#include <sys/sysctl.h>
#endif

#define PATH_TEXT 1024

static int fact_uname(const char *what, struct buf *out)
{
    struct utsname u;
    if (uname(&u) < 0)
        return err_errno(NULL, errno, "uname");
    const struct {
        const char *name, *value;
    } rows[] = {{"sysname", u.sysname},
                {"nodename", u.nodename},
                {"release", u.release},
                {"machine", u.machine}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!strcmp(what, rows[i].name))
            return buf_str(out, rows[i].value);
    return E_UNSUPPORTED;
}

static int fact_affinity(const char *what, struct buf *out)
{
    (void)what;
#ifdef __linux__
    // 8,192 CPUs: the kernel's own limit (NR_CPUS).
    cpu_set_t *set = CPU_ALLOC(8192);
    int rc = E_UNAVAILABLE;
    if (set && sched_getaffinity(0, CPU_ALLOC_SIZE(8192), set) == 0)
        rc = buf_u64(out, (uint64_t)CPU_COUNT_S(CPU_ALLOC_SIZE(8192), set));
    CPU_FREE(set);
    return rc;
#else
    (void)out;
    return E_NOTFOUND;
#endif
}

static int fact_sysctl(const char *what, struct buf *out)
{
#ifdef __APPLE__
    // Integers have 4 or 8 bytes, everything that we ask for else is text.
    char value[512];
    size_t n = sizeof value - 1;
    int mib[CTL_MAXNAME];
    size_t depth = CTL_MAXNAME;
    if (sysctlnametomib(what, mib, &depth) < 0 || sysctl(mib, (u_int)depth, value, &n, NULL, 0) < 0)
        return err_errno(NULL, errno, "sysctl %s", what);
    bool text = !strcmp(what, "hw.model") || strstr(what, "brand_string") ||
                strstr(what, "product") || !strncmp(what, "kern.os", 7) ||
                !strcmp(what, "kern.hostname");
    if (!text && n == sizeof(uint32_t)) {
        uint32_t v;
        memcpy(&v, value, sizeof v);
        return buf_u64(out, v);
    }
    if (!text && n == sizeof(uint64_t)) {
        uint64_t v;
        memcpy(&v, value, sizeof v);
        return buf_u64(out, v);
    }
    value[n] = 0;
    return buf_str(out, value);
#else
    (void)what;
    (void)out;
    return E_NOTFOUND;
#endif
}

static int fact_env(const char *what, struct buf *out)
{
    const char *value = getenv(what);
    return value ? buf_str(out, value) : E_NOTFOUND;
}

static int fact_exec(const char *what, struct buf *out)
{
    const char *path = getenv("PATH");
    struct bytes rest = bytes_of(path && *path ? path : "/usr/local/bin:/usr/bin:/bin");
    while (rest.n) {
        struct bytes folder = bytes_cut(&rest, ':');
        char full[PATH_TEXT];
        struct stat st;
        int n = snprintf(full, sizeof full, "%.*s/%s", BYTES_FMT(folder), what);
        if (folder.n && n > 0 && (size_t)n < sizeof full && !access(full, X_OK) &&
            !stat(full, &st) && S_ISREG(st.st_mode))
            return buf_str(out, full);
    }
    return E_NOTFOUND;
}

static int fact_user(const char *what, struct buf *out)
{
    if (!strcmp(what, "uid"))
        return buf_u64(out, geteuid());
    if (!strcmp(what, "gid"))
        return buf_u64(out, getegid());
    if (strcmp(what, "name") != 0)
        return E_UNSUPPORTED;
    struct passwd entry, *found = NULL;
    char text[4096];
    if (getpwuid_r(geteuid(), &entry, text, sizeof text, &found) || !found)
        return E_NOTFOUND;
    return buf_str(out, found->pw_name);
}

static int fact_limit(int resource, const char *what, struct buf *out)
{
    struct rlimit r;
    if (getrlimit(resource, &r) < 0)
        return err_errno(NULL, errno, "getrlimit");
    rlim_t v = strcmp(what, "hard") ? r.rlim_cur : r.rlim_max;
    return buf_u64(out, v == RLIM_INFINITY ? UINT64_MAX : (uint64_t)v);
}

static int fact_nofile(const char *what, struct buf *out)
{
    return fact_limit(RLIMIT_NOFILE, what, out);
}

static int fact_nproc(const char *what, struct buf *out)
{
    return fact_limit(RLIMIT_NPROC, what, out);
}

static int fact_memlock(const char *what, struct buf *out)
{
    return fact_limit(RLIMIT_MEMLOCK, what, out);
}

static int fact_stat(const char *what, struct buf *out)
{
    struct stat st;
    if (stat(what, &st) < 0)
        return err_errno(NULL, errno, "stat");
    return buf_fmt(out, "%u %u %o %c", (unsigned)st.st_uid, (unsigned)st.st_gid,
                   (unsigned)st.st_mode & 07777u, S_ISDIR(st.st_mode) ? 'd' : 'f');
}

static int fact_access(const char *what, struct buf *out)
{
    if (access(what, F_OK) < 0)
        return err_errno(NULL, errno, "access");
    if (!access(what, R_OK))
        (void)buf_chr(out, 'r');
    if (!access(what, W_OK))
        (void)buf_chr(out, 'w');
    return out->failed;
}

static int fact_space(const char *what, struct buf *out)
{
    struct statvfs v;
    if (statvfs(what, &v) < 0)
        return err_errno(NULL, errno, "statvfs");
    return buf_fmt(out, "%llu %llu", (unsigned long long)v.f_bavail * v.f_frsize,
                   (unsigned long long)v.f_blocks * v.f_frsize);
}

static int fact_inodes(const char *what, struct buf *out)
{
    struct statvfs v;
    if (statvfs(what, &v) < 0)
        return err_errno(NULL, errno, "statvfs");
    return buf_fmt(out, "%llu %llu", (unsigned long long)v.f_favail, (unsigned long long)v.f_files);
}

// Takes the port for a moment on all addresses, as a node would.
static int fact_port(const char *what, struct buf *out)
{
    uint64_t port;
    int one = 1;
    if (!bytes_u64(bytes_of(what), &port) || port > 65535)
        return E_UNSUPPORTED;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0)
        return err_errno(NULL, errno, "socket");
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int rc = bind(fd, (const struct sockaddr *)(const void *)&a, sizeof a), why = errno;
    (void)close(fd);
    if (rc < 0 && why != EADDRINUSE && why != EACCES)
        return err_errno(NULL, why, "bind");
    return buf_str(out, !rc ? "free" : why == EACCES ? "denied" : "used");
}

static int fact_clock(const char *what, struct buf *out)
{
    (void)what;
#ifdef __linux__
    struct timex t = {0}; // modes 0: only reads
    int state = adjtimex(&t);
    if (state < 0)
        return err_errno(NULL, errno, "adjtimex");
    return buf_str(out, state == TIME_ERROR || t.status & STA_UNSYNC ? "unsynchronised"
                                                                     : "synchronised");
#else
    (void)out;
    return E_NOTFOUND;
#endif
}

static int fact_listens(const char *what, struct buf *out)
{
    char address[HOST_ADDRESS_MAX];
    uint64_t pid;
    if (!bytes_u64(bytes_of(what), &pid) || pid > INT32_MAX)
        return E_UNSUPPORTED;
    return host_listens_openly((int64_t)pid, address) ? buf_str(out, address) : E_NOTFOUND;
}

static const struct {
    const char *name;
    int (*fn)(const char *what, struct buf *out);
} facts[] = {
    {"uname", fact_uname},     {"cpus", fact_affinity}, {"sysctl", fact_sysctl},
    {"env", fact_env},         {"exec", fact_exec},     {"user", fact_user},
    {"nofile", fact_nofile},   {"nproc", fact_nproc},   {"memlock", fact_memlock},
    {"stat", fact_stat},       {"access", fact_access}, {"free", fact_space},
    {"inodes", fact_inodes},   {"port", fact_port},     {"clock", fact_clock},
    {"listens", fact_listens},
};

int host_live_fact(void *self, const char *name, struct buf *out)
{
    struct bytes rest = bytes_of(name), word = bytes_cut(&rest, ' ');
    (void)self;
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++)
        if (bytes_is(word, facts[i].name)) {
            int rc = facts[i].fn(rest.p ? rest.p : "", out);
            return rc < 0 ? rc : 0;
        }
    return E_UNSUPPORTED;
}
