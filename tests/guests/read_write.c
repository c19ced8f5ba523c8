// read_write.c: reads and writes a file that config key path names, by WASI.
// SPDX-License-Identifier: Apache-2.0
#include "plexus_pdk.h"

#define WASI(name)                                                                                 \
    __attribute__((import_module("wasi_snapshot_preview1"), import_name(#name))) extern int32_t
WASI(path_open)
path_open(int32_t dir, int32_t flags, const char *path, size_t n, int32_t oflags, uint64_t rights,
          uint64_t inherit, int32_t fdflags, int32_t *ret);
WASI(fd_read) fd_read(int32_t fd, const void *iov, size_t n, size_t *ret);
WASI(fd_write) fd_write(int32_t fd, const void *iov, size_t n, size_t *ret);
WASI(fd_close) fd_close(int32_t fd);
WASI(fd_prestat_get) fd_prestat_get(int32_t fd, void *ret);

enum { RIGHT_READ = 2, RIGHT_WRITE = 64, CREATE = 1 };
struct iov {
    const void *p;
    size_t n;
};

static int32_t open_it(int32_t oflags, uint64_t rights, int32_t *fd)
{
    char *path = pdk_config("path");
    if (!path)
        return -1;
    while (*path == '/')
        path++;
    return path_open(3, 0, path, pdk_strlen(path), oflags, rights, 0, 0, fd);
}

PDK_TOOL(try_read)
{
    size_t n, got;
    int32_t fd;
    (void)pdk_input(&n);
    if (open_it(0, RIGHT_READ, &fd) != 0)
        return pdk_error("cannot open");
    char *p = pdk_memory(4096);
    struct iov v = {p, 4096};
    if (fd_read(fd, &v, 1, &got) != 0)
        return pdk_error("cannot read");
    (void)fd_close(fd);
    return pdk_output(p, got);
}

PDK_TOOL(try_write)
{
    size_t n, put;
    int32_t fd;
    char *in = pdk_input(&n);
    if (open_it(CREATE, RIGHT_WRITE, &fd) != 0)
        return pdk_error("cannot open");
    struct iov v = {in, n};
    if (fd_write(fd, &v, 1, &put) != 0)
        return pdk_error("cannot write");
    (void)fd_close(fd);
    return pdk_output("written", 7);
}

PDK_TOOL(folders) // how many it was given
{
    char stat[8];
    int32_t fd = 3;
    while (fd_prestat_get(fd, stat) == 0)
        fd++;
    char digit = (char)('0' + fd - 3);
    return pdk_output(&digit, 1);
}
