// prim_path.c: names of calls into descriptors, and never out of the granted folders.
// SPDX-License-Identifier: Apache-2.0
#include "prims/prims_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif

enum { LINKS_MAX = 8, AGAIN_MAX = 16 };

// ---- which folder

static size_t longest_folder(const struct prim *p, struct bytes path)
{
    size_t best = SIZE_MAX, best_n = 0;
    for (size_t i = 0; i < p->o->folders; i++) {
        struct bytes folder = bytes_of(p->o->folder[i].path);
        bool inside = bytes_is(folder, "/") || (bytes_starts(path, folder) &&
                                                (path.n == folder.n || path.p[folder.n] == '/'));
        if (inside && folder.n > best_n) {
            best = i;
            best_n = folder.n;
        }
    }
    return best;
}

static int locate_text(const struct prim *p, struct bytes path, struct prim_place *ret,
                       struct err *e)
{
    if (path.n == 0)
        return err_set(e, E_INVALID, "the path is empty");
    if (memchr(path.p, 0, path.n))
        return err_set(e, E_INVALID, "the path has a NUL character in it");
    if (path.n >= PRIM_PATH_MAX)
        return err_set(e, E_INVALID, "the path is longer than %d bytes", PRIM_PATH_MAX - 1);
    ret->root = path.p[0] == '/' ? longest_folder(p, path) : 0;
    if (ret->root == SIZE_MAX)
        return err_set(e, E_FORBIDDEN, "%.*s is outside of the granted folders", BYTES_FMT(path));
    if (path.p[0] == '/')
        path = bytes_from(path, strlen(p->o->folder[ret->root].path));
    while (path.n > 0 && path.p[0] == '/')
        path = bytes_from(path, 1);
    while (path.n > 1 && path.p[path.n - 1] == '/')
        path.n--;
    if (path.n == 0)
        path = BYTES(".");
    memcpy(ret->rel, path.p, path.n);
    ret->rel[path.n] = 0;
    return 0;
}

static void tell(const struct prim *p, struct prim_place *at)
{
    const char *folder = p->o->folder[at->root].path;
    bool itself = strcmp(at->rel, ".") == 0;
    (void)snprintf(at->full, sizeof at->full, "%s%s%s", folder,
                   itself || strcmp(folder, "/") == 0 ? "" : "/", itself ? "" : at->rel);
}

int prim_locate(const struct prim *p, struct bytes path, bool write, struct prim_place *ret,
                struct err *e)
{
    int rc = locate_text(p, path, ret, e);
    if (rc < 0)
        return rc;
    tell(p, ret);
    if (write && !p->o->folder[ret->root].write)
        return err_set(e, E_FORBIDDEN, "%s is granted for reading only",
                       p->o->folder[ret->root].path);
    return 0;
}

// ---- opening beneath

#ifdef __linux__
struct open_how_v1 {
    uint64_t flags, mode, resolve;
};
enum { NR_OPENAT2 = 437, NO_MAGICLINKS = 0x02, BENEATH = 0x08 };

static int open_beneath_kernel(int root, const char *rel, int flags)
{
    struct open_how_v1 how = {.flags = (uint64_t)(unsigned)flags,
                              .resolve = BENEATH | NO_MAGICLINKS};
    int fd;
    for (int i = 0; i < AGAIN_MAX; i++) { // EAGAIN: something was renamed meanwhile
        fd = (int)syscall(NR_OPENAT2, root, rel, &how, sizeof how);
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
            break;
    }
    return fd;
}
#endif

// By hand, where the kernel cannot: one name after the other, no links at all, no "..".
static int open_by_hand(int root, const char *rel, int flags)
{
    char name[PRIM_NAME_MAX];
    int at = fcntl(root, F_DUPFD_CLOEXEC, 0);
    while (at >= 0 && *rel) {
        size_t n = strcspn(rel, "/");
        bool last = rel[n + strspn(rel + n, "/")] == 0;
        if (n >= sizeof name) {
            errno = ENAMETOOLONG;
        } else if (n == 2 && rel[0] == '.' && rel[1] == '.') {
            errno = EXDEV;
        } else {
            memcpy(name, rel, n);
            name[n] = 0;
            int next =
                openat(at, name, (last ? flags : O_RDONLY | O_DIRECTORY) | O_NOFOLLOW | O_CLOEXEC);
            struct stat st;
            int saved = errno; // a link asked for as a folder is ENOTDIR
            if (next < 0 && saved == ENOTDIR && fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
                S_ISLNK(st.st_mode))
                saved = ELOOP;
            (void)close(at);
            errno = saved;
            at = next;
            rel += n + strspn(rel + n, "/");
            continue;
        }
        int saved = errno;
        (void)close(at);
        errno = saved;
        return -1;
    }
    return at;
}

static int open_beneath(int root, const char *rel, int flags)
{
#ifdef __linux__
    int fd = open_beneath_kernel(root, rel, flags | O_CLOEXEC);
    if (fd >= 0 || errno != ENOSYS)
        return fd;
#endif
    return open_by_hand(root, rel, flags);
}

static int open_failed(const struct prim_place *at, struct err *e)
{
    switch (errno) {
    case EXDEV:
    case ELOOP:
        return err_set(e, E_FORBIDDEN, "%s: a link or \"..\" leads out of the granted folder",
                       at->full);
    case ENOTDIR: return err_set(e, E_NOTFOUND, "%s: not a folder on the way", at->full);
    case ENXIO: return err_set(e, E_INVALID, "%s is a socket or a pipe", at->full);
    case EISDIR: return err_set(e, E_INVALID, "%s is a folder", at->full);
    default: return err_errno(e, errno, "%s", at->full);
    }
}

int prim_open(const struct prim *p, const struct prim_place *at, int flags, struct err *e)
{
    int fd = open_beneath(p->root[at->root], at->rel, flags);
    return fd < 0 ? open_failed(at, e) : fd;
}

int prim_open_file(const struct prim *p, const struct prim_place *at, struct stat *ret_stat,
                   struct err *e)
{
    int fd = prim_open(p, at, O_RDONLY | O_NONBLOCK | O_NOCTTY, e);
    if (fd < 0)
        return fd;
    if (fstat(fd, ret_stat) == 0 && S_ISREG(ret_stat->st_mode))
        return fd;
    (void)close(fd);
    return err_set(e, E_INVALID, "%s is %s, not a file", at->full,
                   S_ISDIR(ret_stat->st_mode)    ? "a folder"
                   : S_ISFIFO(ret_stat->st_mode) ? "a pipe"
                                                 : "a device or a socket");
}

// ---- the folder of a file

// at->rel without its last name, which goes to name.
static int split(const struct prim_place *at, char parent[PRIM_PATH_MAX], char name[PRIM_NAME_MAX],
                 struct err *e)
{
    const char *slash = strrchr(at->rel, '/');
    const char *last = slash ? slash + 1 : at->rel;
    if (strcmp(last, ".") == 0 || strcmp(last, "..") == 0 || *last == 0)
        return err_set(e, E_INVALID, "%s is a folder", at->full);
    if (strlen(last) >= PRIM_NAME_MAX)
        return err_set(e, E_INVALID, "the name is longer than %d bytes", PRIM_NAME_MAX - 1);
    memcpy(name, last, strlen(last) + 1);
    (void)snprintf(parent, PRIM_PATH_MAX, "%.*s", slash ? (int)(slash - at->rel) : 1,
                   slash ? at->rel : ".");
    return 0;
}

// Each folder on the way, made where it is missing. The descriptor of the last one, or -1.
static int make_folders(int root, char *path)
{
    int at = fcntl(root, F_DUPFD_CLOEXEC, 0);
    for (char *end = path; at >= 0 && *end;) {
        char *name = end + strspn(end, "/");
        end = name + strcspn(name, "/");
        char keep = *end;
        *end = 0;
        if (*name && mkdirat(at, name, 0777) < 0 && errno != EEXIST && errno != EROFS) {
            int saved = errno;
            (void)close(at);
            errno = saved;
            return -1;
        }
        int next = open_beneath(root, path, O_RDONLY | O_DIRECTORY);
        int saved = errno;
        (void)close(at);
        errno = saved;
        at = next;
        *end = keep;
    }
    return at;
}

// The name is a link: then the file that it names, as far as that is inside.
static int follow(const struct prim *p, struct prim_place *at, const char *parent,
                  const char *target, struct err *e)
{
    char rel[PRIM_PATH_MAX * 2];
    if (target[0] == '/')
        return err_set(e, E_FORBIDDEN, "%s: a link with an absolute name", at->full);
    int n = snprintf(rel, sizeof rel, "%s/%s", parent, target);
    if (n >= PRIM_PATH_MAX)
        return err_set(e, E_INVALID, "%s: the link's name is too long", at->full);
    memcpy(at->rel, rel, (size_t)n + 1);
    tell(p, at);
    return 0;
}

int prim_open_parent(const struct prim *p, struct prim_place *at, bool make,
                     char name[PRIM_NAME_MAX], struct err *e)
{
    for (int links = 0; links < LINKS_MAX; links++) {
        char parent[PRIM_PATH_MAX], target[PRIM_PATH_MAX];
        int rc = split(at, parent, name, e);
        if (rc < 0)
            return rc;
        int dir = open_beneath(p->root[at->root], parent, O_RDONLY | O_DIRECTORY);
        if (dir < 0 && errno == ENOENT && make)
            dir = make_folders(p->root[at->root], parent);
        if (dir < 0)
            return open_failed(at, e);
        ssize_t n = readlinkat(dir, name, target, sizeof target - 1);
        if (n < 0)
            return dir;
        (void)close(dir);
        target[n] = 0;
        if ((rc = follow(p, at, parent, target, e)) < 0)
            return rc;
    }
    return err_set(e, E_FORBIDDEN, "%s: too many links", at->full);
}
