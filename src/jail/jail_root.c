// jail_root.c: a root folder of its own: a small file system in memory with the system's programs
// (read only), a few devices, /tmp, /proc, and the granted folders at their own names. Everything
// is cloned first (open_tree), then put in place by descriptors: no name is resolved twice. Needs
// Linux 5.12 (mount_setattr: read only also below). SPDX-License-Identifier: Apache-2.0
#ifdef __linux__
#include "jail/jail_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NR_OPEN_TREE = 428, NR_MOVE_MOUNT = 429, NR_MOUNT_SETATTR = 442 };
enum { TREE_CLONE = 1, TREE_CLOEXEC = O_CLOEXEC, AT_RECURSIVE_ = 0x8000 };
enum { FROM_EMPTY_PATH = 0x04, TO_EMPTY_PATH = 0x40 };
enum { ATTR_RDONLY = 1, ATTR_NOSUID = 2, ATTR_NODEV = 4, ATTR_NOEXEC = 8 };
struct attr {
    uint64_t set, clear, propagation, userns_fd;
};

const char *const jail_system[] = {"/usr",
                                   "/bin",
                                   "/sbin",
                                   "/lib",
                                   "/lib32",
                                   "/lib64",
                                   "/libx32",
                                   "/nix/store",
                                   "/etc/ld.so.cache",
                                   "/etc/alternatives",
                                   "/etc/passwd",
                                   "/etc/group",
                                   "/etc/nsswitch.conf",
                                   "/etc/localtime",
                                   "/etc/hosts",
                                   "/etc/resolv.conf",
                                   "/etc/services",
                                   "/etc/ssl/certs",
                                   "/etc/ssl/openssl.cnf",
                                   "/etc/ca-certificates",
                                   "/etc/pki/tls/certs",
                                   "/etc/pki/ca-trust/extracted",
                                   NULL};
const char *const jail_devices[] = {"/dev/null",   "/dev/zero",    "/dev/full",
                                    "/dev/random", "/dev/urandom", NULL};

enum { TREES_MAX = 80 };
struct tree {
    const char *path; // in the new root
    int fd;
    bool folder;
    char link[64]; // instead: a link to this
};
struct root {
    struct tree tree[TREES_MAX];
    size_t n;
    int base; // descriptor of the new root
    const char *why;
};

static void close_trees(struct root *r)
{
    for (size_t i = 0; i < r->n; i++) {
        if (r->tree[i].fd >= 0)
            (void)close(r->tree[i].fd);
    }
    r->n = 0;
}

// ---- gathering

static int clone_fd(int fd)
{
    return (int)syscall(NR_OPEN_TREE, fd, "",
                        AT_EMPTY_PATH | TREE_CLONE | TREE_CLOEXEC | AT_RECURSIVE_);
}

static bool gather_fd(struct root *r, const char *path, int fd, uint64_t set)
{
    struct stat st;
    if (r->n == TREES_MAX || fstat(fd, &st) < 0)
        return false;
    struct tree *t = &r->tree[r->n];
    *t = (struct tree){.path = path, .fd = clone_fd(fd), .folder = S_ISDIR(st.st_mode)};
    if (t->fd < 0)
        return false;
    r->n++;
    struct attr a = {.set = set};
    return syscall(NR_MOUNT_SETATTR, t->fd, "", AT_EMPTY_PATH | AT_RECURSIVE_, &a, sizeof a) == 0;
}

static bool gather(struct root *r, const char *path, uint64_t set)
{
    struct tree *t = &r->tree[r->n];
    bool top = strchr(path + 1, '/') == NULL;
    ssize_t n = top && r->n < TREES_MAX ? readlink(path, t->link, sizeof t->link - 1) : -1;
    if (n > 0) { // /bin is usr/bin on most systems
        t->link[n] = 0;
        t->path = path;
        t->fd = -1;
        r->n++;
        return true;
    }
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return true; // a system without it
    bool good = gather_fd(r, path, fd, set);
    (void)close(fd);
    return good;
}

static bool gather_all(struct root *r, const struct jail_making *m)
{
    const struct jail_opts *o = m->o;
    bool good = true;
    for (size_t i = 0; !o->bare && jail_system[i] && good; i++)
        good = gather(r, jail_system[i], ATTR_RDONLY | ATTR_NOSUID | ATTR_NODEV);
    for (size_t i = 0; !o->bare && jail_devices[i] && good; i++)
        good = gather(r, jail_devices[i], ATTR_NOSUID | ATTR_NOEXEC);
    // Those above come before those below, so that they do not hide them.
    for (size_t length = 1, left = o->folders; left > 0 && length < PATH_MAX && good; length++) {
        for (size_t i = 0; i < o->folders && good; i++) {
            if (strlen(o->folder[i].path) != length)
                continue;
            left--;
            good = gather_fd(r, o->folder[i].path, m->folder_fd[i],
                             ATTR_NOSUID | ATTR_NODEV | (o->folder[i].write ? 0 : ATTR_RDONLY));
        }
    }
    return good;
}

// ---- putting in place

// The place in the new root; no link is followed.
static int walk(const struct root *r, const char *path, bool folder, bool make)
{
    int at = fcntl(r->base, F_DUPFD_CLOEXEC, 0);
    char name[NAME_MAX + 1];
    while (at >= 0 && *path) {
        path += strspn(path, "/");
        size_t n = strcspn(path, "/");
        if (n == 0)
            break;
        if (n > NAME_MAX)
            n = NAME_MAX;
        memcpy(name, path, n);
        name[n] = 0;
        path += n;
        bool last = *path == 0;
        if (make && (folder || !last))
            (void)mkdirat(at, name, 0755);
        else if (make)
            (void)mknodat(at, name, S_IFREG | 0644, 0);
        int next = openat(at, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        (void)close(at);
        at = next;
    }
    return at;
}

static int place(const struct root *r, const char *path, bool folder) // made where it is not there
{
    return walk(r, path, folder, true);
}

static bool put_tree(const struct root *r, const struct tree *t)
{
    if (*t->link)
        return symlinkat(t->link, r->base, t->path + 1) == 0;
    int at = place(r, t->path, t->folder);
    if (at < 0)
        return false;
    bool good = syscall(NR_MOVE_MOUNT, t->fd, "", at, "", FROM_EMPTY_PATH | TO_EMPTY_PATH) == 0;
    (void)close(at);
    return good;
}

static bool put_memory(const struct root *r, const char *path, uint64_t bytes, mode_t mode)
{
    char options[96], to[64];
    (void)snprintf(options, sizeof options, "size=%llu,nr_inodes=%d,mode=%o",
                   (unsigned long long)bytes, JAIL_TMP_INODES, (unsigned)mode);
    int at = place(r, path, true);
    if (at < 0)
        return false;
    (void)snprintf(to, sizeof to, "/proc/self/fd/%d", at);
    bool good = mount("tmpfs", to, "tmpfs", MS_NOSUID | MS_NODEV, options) == 0;
    (void)close(at);
    return good;
}

// An empty folder over the one that is not for those inside. It must be that one still: whoever may
// write above it could have put another at its name.
static bool hide(const struct jail_opts *o, const struct root *r)
{
    char to[64];
    struct stat st;
    if (!o->hidden)
        return true;
    int at = walk(r, o->hidden, true, false);
    bool same = at >= 0 && fstat(at, &st) == 0 && st.st_ino == o->hidden_inode;
    (void)snprintf(to, sizeof to, "/proc/self/fd/%d", at);
    unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY;
    bool good = same && mount("tmpfs", to, "tmpfs", flags, "size=4k,nr_inodes=2,mode=0555") == 0;
    if (at >= 0)
        (void)close(at);
    if (at >= 0 && !same)
        errno = ESTALE;
    return good;
}

static void put_proc(struct jail_making *m, const struct root *r)
{
    char to[64];
    if (m->o->bare) {
        jail_not_asked(m, JAIL_PROC);
        return;
    }
    if (m->r.layer[JAIL_PID].standing != JAIL_ON) {
        jail_lacks(m, JAIL_PROC, "without a process namespace it would show all processes");
        return;
    }
    int at = place(r, "/proc", true);
    (void)snprintf(to, sizeof to, "/proc/self/fd/%d", at);
    // Read only: /proc/sys trusts the number 0, whatever its capabilities.
    unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY;
    if (at >= 0 && mount("proc", to, "proc", flags, NULL) == 0)
        jail_on(m, JAIL_PROC);
    else
        jail_lacks(m, JAIL_PROC, "the kernel refuses it: %s", strerror(errno));
    if (at >= 0)
        (void)close(at);
}

static bool put_all(struct jail_making *m, struct root *r)
{
    static const char *const fds[][2] = {{"/proc/self/fd", "dev/fd"},
                                         {"/proc/self/fd/0", "dev/stdin"},
                                         {"/proc/self/fd/1", "dev/stdout"},
                                         {"/proc/self/fd/2", "dev/stderr"}};
    const struct jail_opts *o = m->o;
    uint64_t bytes = o->tmp_bytes ? o->tmp_bytes : JAIL_TMP_BYTES;
    if (!o->bare &&
        (!put_memory(r, "/tmp", bytes, 01777) || !put_memory(r, "/dev/shm", bytes, 01777)))
        return false;
    for (size_t i = 0; i < r->n; i++) {
        if (!put_tree(r, &r->tree[i]))
            return false;
    }
    if (!hide(o, r))
        return false;
    put_proc(m, r);
    for (size_t i = 0; !o->bare && i < sizeof fds / sizeof *fds; i++)
        (void)symlinkat(fds[i][0], r->base, fds[i][1]);
    return true;
}

// ---- the change

// In the place of the old root, which then is nowhere: pivot_root(2), "pivot_root(".", ".")".
static bool change(const struct root *r)
{
    return fchdir(r->base) == 0 && syscall(SYS_pivot_root, ".", ".") == 0 &&
           umount2(".", MNT_DETACH) == 0 && chdir("/") == 0 &&
           mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) ==
               0;
}

static const char *const bases[] = {"/tmp", "/run", "/mnt", "/var"};

static const char *new_base(struct root *r)
{
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return NULL;
    for (size_t i = 0; i < sizeof bases / sizeof *bases; i++) {
        if (mount("tmpfs", bases[i], "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,mode=0755") < 0)
            continue;
        r->base = open(bases[i], O_PATH | O_DIRECTORY | O_CLOEXEC);
        return bases[i];
    }
    return NULL;
}

int jail_root(struct jail_making *m, const char **ret_why)
{
    static struct root r; // 12 KiB, once in a process
    r = (struct root){.base = -1};
    *ret_why = "";
    if (m->r.layer[JAIL_ROOT].standing != JAIL_ON) {
        jail_lacks(m, JAIL_PROC, "needs an own root folder");
        return 0;
    }
    const char *base = NULL;
    bool good = gather_all(&r, m) && (base = new_base(&r)) != NULL && put_all(m, &r);
    int saved = errno;
    close_trees(&r);
    if (!good) {
        if (base)
            (void)umount2(base, MNT_DETACH);
        jail_lacks(m, JAIL_ROOT, "the kernel refuses it: %s", strerror(saved));
        jail_lacks(m, JAIL_PROC, "needs an own root folder");
        return 0;
    }
    if (!change(&r)) {
        *ret_why = strerror(errno);
        return -1;
    }
    (void)close(r.base);
    if (m->o->bare)
        jail_not_asked(m, JAIL_TMP);
    else
        jail_on(m, JAIL_TMP);
    return 0;
}
#else
extern int jail_root_is_for_linux; // a file of C has at least one declaration
#endif
