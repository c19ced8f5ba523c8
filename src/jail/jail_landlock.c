// jail_landlock.c: landlock (kernel's Documentation/userspace-api/landlock.rst, ABI 1 to 7): what
// may be done below which path, which TCP ports may be called, no signals and no abstract sockets
// out of the jail. Needs no rights, works in any container that does not forbid it.
// SPDX-License-Identifier: Apache-2.0
#ifdef __linux__
#include "jail/jail_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NR_CREATE_RULESET = 444, NR_ADD_RULE = 445, NR_RESTRICT_SELF = 446 };
enum { RULE_PATH = 1, RULE_PORT = 2, VERSION = 1 };

// Access rights to files, by the bit, and the ABI that brought them.
enum {
    EXECUTE = 1 << 0,
    WRITE_FILE = 1 << 1,
    READ_FILE = 1 << 2,
    READ_DIR = 1 << 3,
    MAKE_CHAR = 1 << 6,
    MAKE_BLOCK = 1 << 11,
    REFER = 1 << 13,     // 2
    TRUNCATE = 1 << 14,  // 3
    IOCTL_DEV = 1 << 15, // 5
    ABI_1 = (1 << 13) - 1,
    ON_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV,
    READS = READ_FILE | READ_DIR,
};
enum { BIND_TCP = 1, CONNECT_TCP = 2 };                // 4
enum { SCOPE_ABSTRACT_UNIX = 1, SCOPE_SIGNAL = 2 }; // 6

struct ruleset {
    uint64_t fs, net, scoped;
};
struct path_rule {
    uint64_t allowed;
    int32_t parent;
} __attribute__((packed));
struct port_rule {
    uint64_t allowed, port;
};

static int ruleset_abi(void)
{
    return (int)syscall(NR_CREATE_RULESET, NULL, 0, VERSION);
}

static uint64_t fs_of(int abi)
{
    uint64_t fs = ABI_1;
    if (abi >= 2)
        fs |= REFER;
    if (abi >= 3)
        fs |= TRUNCATE;
    if (abi >= 5)
        fs |= IOCTL_DEV;
    return fs;
}

struct rules {
    int fd;
    uint64_t fs;
};

static int allow_fd(const struct rules *r, int fd, uint64_t access)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -1;
    struct path_rule rule = {access & r->fs, fd};
    if (!S_ISDIR(st.st_mode))
        rule.allowed &= ON_FILES;
    return (int)syscall(NR_ADD_RULE, r->fd, RULE_PATH, &rule, 0);
}

static int allow(const struct rules *r, const char *path, uint64_t access)
{
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return 0; // what is not there needs no rule
    int rc = allow_fd(r, fd, access);
    (void)close(fd);
    return rc;
}

static int allow_folders(const struct jail_making *m, const struct rules *r)
{
    const struct jail_opts *o = m->o;
    uint64_t run = o->bare ? 0 : EXECUTE;
    uint64_t all = ~(uint64_t)(EXECUTE | MAKE_CHAR | MAKE_BLOCK | IOCTL_DEV);
    int rc = 0;
    for (size_t i = 0; i < o->folders && rc == 0; i++) {
        uint64_t access = run | (o->folder[i].write ? all : (uint64_t)READS);
        // With a root of its own the path leads to the mount of what was granted; else the
        // descriptor is what was granted.
        rc = m->r.layer[JAIL_ROOT].standing == JAIL_ON ? allow(r, o->folder[i].path, access)
                                                       : allow_fd(r, m->folder_fd[i], access);
    }
    return rc;
}

static int allow_paths(const struct jail_making *m, const struct rules *r)
{
    uint64_t all = ~(uint64_t)(MAKE_CHAR | MAKE_BLOCK | IOCTL_DEV);
    bool own_root = m->r.layer[JAIL_ROOT].standing == JAIL_ON;
    int rc = allow_folders(m, r);
    if (m->o->bare)
        return rc;
    for (size_t i = 0; jail_system[i] && rc == 0; i++)
        rc = allow(r, jail_system[i], READS | EXECUTE);
    for (size_t i = 0; jail_devices[i] && rc == 0; i++)
        rc = allow(r, jail_devices[i], READ_FILE | WRITE_FILE);
    if (rc == 0 && own_root)
        rc = allow(r, "/tmp", all);
    if (rc == 0 && own_root)
        rc = allow(r, "/dev", READS);
    if (rc == 0 && own_root)
        rc = allow(r, "/dev/shm", all & ~(uint64_t)EXECUTE);
    if (rc == 0 && own_root) // the folders above those granted, and the few files of /etc
        rc = allow(r, "/", READ_DIR);
    if (rc == 0 && own_root)
        rc = allow(r, "/etc", READS);
    if (rc == 0 && m->r.layer[JAIL_PROC].standing == JAIL_ON)
        rc = allow(r, "/proc", READS);
    if (rc == 0 && *m->tmp)
        rc = allow(r, m->tmp, all);
    return rc;
}

static int allow_ports(const struct jail_making *m, const struct rules *r)
{
    for (size_t i = 0; i < m->o->ports; i++) {
        struct port_rule rule = {CONNECT_TCP, m->o->port[i]};
        if (syscall(NR_ADD_RULE, r->fd, RULE_PORT, &rule, 0) < 0)
            return -1;
    }
    return 0;
}

static void missing(struct jail_making *m, int abi)
{
    const char *why = abi < 0 && errno == EOPNOTSUPP ? "landlock is switched off in this kernel"
                      : abi < 0 && errno == EPERM    ? "landlock is forbidden here"
                                                     : "the kernel has no landlock (5.13)";
    jail_lacks(m, JAIL_PATHS, "%s", why);
}

// TCP rules matter only where the machine's network is granted to some ports; signals and abstract
// sockets only where no namespace holds them already.
static void judge_rest(struct jail_making *m, int abi)
{
    bool ports = m->o->network && m->o->ports > 0 && !m->o->bare;
    bool held = m->r.layer[JAIL_PID].standing == JAIL_ON &&
                (m->r.layer[JAIL_NET].standing == JAIL_ON || m->o->bare);
    if (!ports)
        jail_not_asked(m, JAIL_PORTS);
    else if (abi < 4)
        jail_lacks(m, JAIL_PORTS, "the kernel's landlock has no TCP rules (6.7)");
    else
        jail_on(m, JAIL_PORTS);
    if (abi >= 6)
        jail_on(m, JAIL_SCOPE);
    else if (held)
        jail_not_asked(m, JAIL_SCOPE);
    else
        jail_lacks(m, JAIL_SCOPE, "the kernel's landlock has no scopes (6.12)");
}

void jail_landlock(struct jail_making *m)
{
    int abi = ruleset_abi();
    judge_rest(m, abi);
    if (abi < 1) {
        missing(m, abi);
        return;
    }
    struct ruleset set = {.fs = fs_of(abi)};
    size_t size = abi >= 6 ? 24 : abi >= 4 ? 16 : 8;
    if (m->r.layer[JAIL_PORTS].standing == JAIL_ON)
        set.net = BIND_TCP | CONNECT_TCP;
    if (abi >= 6)
        set.scoped = SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL;
    struct rules r = {(int)syscall(NR_CREATE_RULESET, &set, size, 0), set.fs};
    if (r.fd < 0 || allow_paths(m, &r) < 0 || allow_ports(m, &r) < 0 ||
        syscall(NR_RESTRICT_SELF, r.fd, 0) < 0) {
        jail_lacks(m, JAIL_PATHS, "landlock: %s", strerror(errno));
        if (m->r.layer[JAIL_PORTS].standing == JAIL_ON)
            jail_lacks(m, JAIL_PORTS, "as the path rules");
        if (m->r.layer[JAIL_SCOPE].standing == JAIL_ON)
            jail_lacks(m, JAIL_SCOPE, "as the path rules");
    } else {
        jail_on(m, JAIL_PATHS);
    }
    if (r.fd >= 0)
        (void)close(r.fd);
}
#else
extern int jail_landlock_is_for_linux; // a file of C has at least one declaration
#endif
