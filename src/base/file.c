// file.c: whole files.
// SPDX-License-Identifier: Apache-2.0
#include "base/file.h"
#include "base/alloc.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __APPLE__
#include <limits.h>
#include <mach-o/dyld.h>
#endif

#define READ_STEP ((size_t)64 << 10)

#ifdef PLEXUS_FAULTS
static int (*file_fault)(const char *step);
void file_fault_set(int (*fault_fn)(const char *step))
{
    file_fault = fault_fn;
}
static bool fault(const char *step)
{
    int value = file_fault ? file_fault(step) : 0;
    if (value)
        errno = value;
    return value != 0;
}
#else
static bool fault(const char *step)
{
    (void)step;
    return false;
}
#endif

static int read_all(int fd, size_t max, bool whole, struct buf *ret)
{
    size_t before = ret->n;
    for (;;) {
        size_t done = ret->n - before, want = READ_STEP;
        if (!whole && max - done < want)
            want = max - done;
        if (want == 0)
            return 0;
        if (whole && ret->max - ret->n < want) // one more byte tells that the file is too large
            want = ret->max - ret->n;
        char extra, *to = want ? buf_room(ret, want) : &extra;
        if (!to)
            return ret->failed;
        ssize_t n = fault("read") ? -1 : read(fd, to, want ? want : 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? E_IO : 0;
        if (want == 0)
            return E_TOOBIG;
        ret->n += (size_t)n;
    }
}

static int read_file(const char *path, size_t max, bool whole, struct buf *ret, uint64_t *ret_size,
                     struct err *e)
{
    struct stat st;
    size_t before = ret->n;
    int fd = fault("open") ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return err_errno(e, errno, "%s", path);
    int rc = 0;
    if (fstat(fd, &st) != 0)
        rc = err_errno(e, errno, "%s", path);
    else if (!S_ISREG(st.st_mode))
        rc = err_set(e, E_INVALID, "%s: not a regular file", path);
    if (rc == 0 && (rc = read_all(fd, max, whole, ret)) != 0) {
        if (rc == E_IO)
            rc = err_errno(e, errno, "%s", path);
        else if (rc == E_TOOBIG)
            rc = err_set(e, rc, "%s: larger than %zu bytes", path, ret->max - before);
        else
            rc = err_set(e, rc, "%s: out of memory", path);
        ret->n = before;
    }
    (void)close(fd);
    if (rc == 0 && ret_size)
        *ret_size = (uint64_t)st.st_size;
    return rc;
}

int file_read(const char *path, struct buf *ret, struct err *e)
{
    return read_file(path, 0, true, ret, NULL, e);
}

int file_read_part(const char *path, size_t max, struct buf *ret, uint64_t *ret_size, struct err *e)
{
    return read_file(path, max, false, ret, ret_size, e);
}

// To the disk itself: on macOS fsync leaves it in the drive's cache.
static int sync_file(int fd)
{
#ifdef F_FULLFSYNC
    if (fcntl(fd, F_FULLFSYNC) == 0)
        return 0; // else a file system without it
#endif
    return fsync(fd);
}

static int write_all(int fd, struct bytes content)
{
    while (content.n) {
        ssize_t n = fault("write") ? -1 : write(fd, content.p, content.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        content = bytes_from(content, (size_t)n);
    }
    return fault("fsync") ? -1 : sync_file(fd);
}

// So that the rename itself survives a power loss.
static int sync_folder(const char *path)
{
    AUTO_MEM char *folder = mem_str(path);
    if (!folder) {
        errno = ENOMEM;
        return -1;
    }
    char *slash = strrchr(folder, '/');
    if (slash)
        slash[slash == folder] = 0;
    int fd =
        fault("fsync folder") ? -1 : open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int rc = fsync(fd), value = errno;
    (void)close(fd);
    if (rc != 0 && value == EINVAL) // file systems that cannot sync folders
        rc = 0;
    errno = value;
    return rc;
}

int file_write_atomic(const char *path, struct bytes content, mode_t mode, struct err *e)
{
    size_t n = strlen(path);
    AUTO_MEM char *next = mem_alloc(n + sizeof ".new");
    if (!next)
        return err_set(e, E_NOMEM, "%s: out of memory", path);
    memcpy(next, path, n);
    memcpy(next + n, ".new", sizeof ".new");
    (void)unlink(next); // left by a crash; O_EXCL then keeps a planted link out
    int fd = fault("open") ? -1 : open(next, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_errno(e, errno, "%s", next);
    int rc = write_all(fd, content);
    if (rc == 0)
        rc = fchmod(fd, mode); // not through the umask: the caller said what it wants
    int value = errno;
    if (close(fd) != 0 && rc == 0) {
        rc = -1;
        value = errno;
    }
    if (rc == 0) {
        rc = fault("rename") ? -1 : rename(next, path);
        value = errno;
    }
    if (rc != 0) {
        (void)unlink(next);
        return err_errno(e, value, "%s", path);
    }
    return sync_folder(path) == 0 ? 0 : err_errno(e, errno, "%s: folder", path);
}

static int make_folder(const char *path, mode_t mode, struct err *e)
{
    struct stat st;
    if (!fault("mkdir") && mkdir(path, mode) == 0)
        return 0;
    int value = errno;
    if (value != EEXIST && value != EROFS && value != EACCES)
        return err_errno(e, value, "%s", path);
    if (stat(path, &st) == 0)
        return S_ISDIR(st.st_mode) ? 0 : err_set(e, E_EXISTS, "%s: not a folder", path);
    return err_errno(e, value, "%s", path);
}

int file_mkdirs(const char *path, mode_t mode, struct err *e)
{
    AUTO_MEM char *part = mem_str(path);
    if (!part)
        return err_set(e, E_NOMEM, "%s: out of memory", path);
    for (char *p = part + (*part == '/'); *p; p++) {
        if (*p != '/')
            continue;
        *p = 0;
        int rc = make_folder(part, mode, e);
        *p = '/';
        if (rc != 0)
            return rc;
        while (p[1] == '/')
            p++;
    }
    size_t n = strlen(part);
    return n && part[n - 1] == '/' && n > 1 ? 0 : make_folder(part, mode, e);
}

const char *file_self(void)
{
#ifdef __APPLE__
    static _Thread_local char path[PATH_MAX];
    char given[PATH_MAX]; // as it was started: may be relative, or a link
    uint32_t n = sizeof given;
    if (_NSGetExecutablePath(given, &n) != 0 || realpath(given, path) == NULL)
        path[0] = 0;
    return path;
#else
#ifdef PLEXUS_FAULTS
    const char *told = getenv("PLEXUS_SELF"); // under valgrind /proc/self/exe is valgrind
    if (told)
        return told;
#endif
    return "/proc/self/exe";
#endif
}
