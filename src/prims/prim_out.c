// prim_out.c: a file made beside the old one and put in its place at once: who reads finds the old
// content or the new. SPDX-License-Identifier: Apache-2.0
#include "base/rng.h"
#include "prims/prims_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif

enum { NO_REPLACE = 1, EXCHANGE = 2 }; // renameat2(2)

bool prim_same_file(const struct stat *a, const struct stat *b)
{
#ifdef __APPLE__
    const struct timespec at = a->st_mtimespec, bt = b->st_mtimespec;
#else
    const struct timespec at = a->st_mtim, bt = b->st_mtim;
#endif
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           at.tv_sec == bt.tv_sec && at.tv_nsec == bt.tv_nsec;
}

int prim_pread(int fd, void *p, size_t n, uint64_t at, struct err *e)
{
    size_t got = 0;
    while (got < n) {
        ssize_t k = pread(fd, (char *)p + got, n - got, (off_t)(at + got));
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return err_errno(e, errno, "reading");
        if (k == 0)
            break;
        got += (size_t)k;
    }
    return (int)got;
}

static int look_at_old(struct prim_out *out, const struct stat *old, struct err *e)
{
    struct stat now;
    out->had = fstatat(out->dir, out->name, &now, AT_SYMLINK_NOFOLLOW) == 0;
    if (!out->had && errno != ENOENT)
        return err_errno(e, errno, "%s", out->told);
    if (old && (!out->had || !prim_same_file(old, &now)))
        return err_set(e, E_CONFLICT, "%s was changed by somebody else: read it again", out->told);
    if (out->had && !S_ISREG(now.st_mode))
        return err_set(e, E_INVALID, "%s is there and is no file", out->told);
    if (out->had && faccessat(out->dir, out->name, W_OK, AT_EACCESS) < 0)
        return err_errno(e, errno, "%s", out->told);
    out->old = now;
    return 0;
}

int prim_out_open(struct prim_out *out, const struct prim *p, struct prim_place *at,
                  const struct stat *old, struct err *e)
{
    uint64_t id;
    *out = (struct prim_out){.dir = -1, .fd = -1, .told = at->full};
    int rc = prim_open_parent(p, at, old == NULL, out->name, e);
    if (rc < 0)
        return rc;
    out->dir = rc;
    if ((rc = look_at_old(out, old, e)) < 0)
        return rc;
    rng_bytes(&id, sizeof id);
    (void)snprintf(out->temp, sizeof out->temp, ".plexus-%016llx.tmp", (unsigned long long)id);
    out->fd =
        openat(out->dir, out->temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (out->fd < 0) {
        rc = err_errno(e, errno, "%s", at->full);
        out->temp[0] = 0;
        return rc;
    }
    return 0;
}

int prim_out_put(struct prim_out *out, struct bytes data, struct err *e)
{
    while (data.n > 0) {
        ssize_t n = write(out->fd, data.p, data.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(e, errno, "%s", out->told);
        data = bytes_from(data, (size_t)n);
    }
    return 0;
}

static int rename2(int dir, const char *from, const char *to, unsigned flags)
{
#ifdef __linux__
    return (int)syscall(SYS_renameat2, dir, from, dir, to, flags);
#else
    (void)flags;
    (void)dir;
    (void)from;
    (void)to;
    errno = ENOSYS;
    return -1;
#endif
}

static int conflict(const struct prim_out *out, struct err *e)
{
    return err_set(e, E_CONFLICT,
                   "%s was changed by somebody else meanwhile: nothing was written, read it again",
                   out->told);
}

static bool is_old(const struct prim_out *out, const char *name)
{
    struct stat now;
    return fstatat(out->dir, name, &now, AT_SYMLINK_NOFOLLOW) == 0 &&
           prim_same_file(&out->old, &now);
}

// First exchanged, then looked at what was there: nobody can slip in between. Where the file
// system cannot exchange, the look comes before.
static int replace(struct prim_out *out, struct err *e)
{
    bool done = rename2(out->dir, out->temp, out->name, out->had ? EXCHANGE : NO_REPLACE) == 0;
    int error = done ? 0 : errno;
    if (done && !out->had) {
        out->temp[0] = 0;
        return 0;
    }
    if (done && is_old(out, out->temp))
        return 0; // fini removes the old one
    if (done)
        (void)rename2(out->dir, out->temp, out->name, EXCHANGE);
    if (done || error == EEXIST || (out->had && !is_old(out, out->name)))
        return conflict(out, e);
    if (error != EINVAL && error != ENOSYS)
        return err_errno(e, error, "%s", out->told);
    if (renameat(out->dir, out->temp, out->dir, out->name) < 0)
        return err_errno(e, errno, "%s", out->told);
    out->temp[0] = 0;
    return 0;
}

int prim_out_commit(struct prim_out *out, struct err *e)
{
    if (out->had) {
        // Fails where it belongs to somebody else: then it is ours now.
        if (fchown(out->fd, (uid_t)-1, out->old.st_gid) < 0 && errno != EPERM && errno != EINVAL)
            return err_errno(e, errno, "%s", out->told);
        if (fchmod(out->fd, out->old.st_mode & 0777) < 0)
            return err_errno(e, errno, "%s", out->told);
    }
    if (fsync(out->fd) < 0)
        return err_errno(e, errno, "%s", out->told);
    int rc = replace(out, e);
    if (rc == 0)
        (void)fsync(out->dir); // some file systems cannot; the content is safe
    return rc;
}

void prim_out_fini(struct prim_out *out)
{
    if (out->fd >= 0)
        (void)close(out->fd);
    if (out->dir >= 0 && out->temp[0])
        (void)unlinkat(out->dir, out->temp, 0);
    if (out->dir >= 0)
        (void)close(out->dir);
    *out = (struct prim_out){.dir = -1, .fd = -1};
}
