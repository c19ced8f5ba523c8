// live.c: the probe of the machine that runs this: files, folders, links, programs, NVML.
// SPDX-License-Identifier: Apache-2.0
#include "host/host_priv.h"

#include "base/alloc.h"
#include "host/live_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH_TEXT 1024
#define RUN_TEXT_MAX 65536

struct host_live {
    char *root; // "" or "/folder", without a slash at the end
    char *self_exe;
};

static int full_path(const struct host_live *l, const char *path, char to[PATH_TEXT])
{
    int n = snprintf(to, PATH_TEXT, "%s%s", l->root, path);
    return n < 0 || n >= PATH_TEXT ? E_NOTFOUND : 0;
}

static int live_read(void *self, const char *path, struct buf *out)
{
    char full[PATH_TEXT], part[8192];
    size_t had = out->n;
    int rc = full_path(self, path, full);
    if (rc)
        return rc;
    // Never wait for a pipe or a device that someone put there.
    int fd = open(full, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return err_errno(NULL, errno, "open");
    for (;;) {
        ssize_t n = read(fd, part, sizeof part);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            rc = err_errno(NULL, errno, "read");
        if (n <= 0)
            break;
        if (out->n - had + (size_t)n > HOST_FILE_MAX) {
            rc = E_TOOBIG;
            break;
        }
        rc = buf_add(out, part, (size_t)n);
        if (rc)
            break;
    }
    (void)close(fd);
    return rc;
}

static int live_list(void *self, const char *path, struct buf *out)
{
    char full[PATH_TEXT];
    struct dirent **names;
    int rc = full_path(self, path, full);
    if (rc)
        return rc;
    int n = scandir(full, &names, NULL, alphasort);
    if (n < 0)
        return err_errno(NULL, errno, "scandir");
    for (int i = 0; i < n; i++) {
        const char *name = names[i]->d_name;
        if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && !strchr(name, '\n'))
            (void)buf_fmt(out, "%s\n", name);
        free(names[i]); // scandir's memory is libc's
    }
    free(names);
    return out->failed;
}

static int live_link(void *self, const char *path, struct buf *out)
{
    char full[PATH_TEXT], target[PATH_TEXT];
#ifdef __APPLE__ // no /proc: what we were started by
    const char *self_exe = ((const struct host_live *)self)->self_exe;
    if (!strcmp(path, "/proc/self/exe") && self_exe)
        return buf_str(out, self_exe);
#endif
    int rc = full_path(self, path, full);
    if (rc)
        return rc;
    ssize_t n = readlink(full, target, sizeof target);
    return n < 0 ? err_errno(NULL, errno, "readlink") : buf_add(out, target, (size_t)n);
}

static int live_run(void *self, const char *const *argv, int64_t timeout_ms, struct buf *out)
{
    struct host_child c = {.argv = argv, .timeout_ms = timeout_ms, .out_max = RUN_TEXT_MAX};
    (void)self;
    return host_child_run(&c, out, NULL);
}

static int live_nvml(void *self, int64_t timeout_ms, struct host_nvml *ret, struct err *e)
{
    const struct host_live *l = self;
    const char *const argv[] = {l->self_exe, "_gpu", NULL};
    struct host_child c = {.argv = l->self_exe ? argv : NULL,
                           .fn = host_nvml_child,
                           .timeout_ms = timeout_ms,
                           .out_max = RUN_TEXT_MAX};
    struct json_doc *doc = NULL;
    struct buf text;
    buf_init(&text, RUN_TEXT_MAX);
    int rc = host_child_run(&c, &text, e);
    if (rc == E_TIMEOUT)
        rc = err_set(e, rc, "gpu probe timed out");
    else if (rc)
        rc = err_wrap(e, "gpu probe");
    if (!rc)
        rc = json_parse(&doc, buf_bytes(&text), 0, e);
    if (!rc)
        rc = host_nvml_read(ret, json_root(doc), e);
    json_free(doc);
    buf_fini(&text);
    return rc;
}

struct host_live *host_live_new(const struct host_live_args *args)
{
    struct host_live *l = mem_new(struct host_live);
    if (!l)
        return NULL;
    l->root = mem_str(args && args->root ? args->root : "");
    l->self_exe = mem_str(args ? args->self_exe : NULL);
    if (!l->root || (args && args->self_exe && !l->self_exe)) {
        host_live_free(l);
        return NULL;
    }
    size_t n = strlen(l->root);
    while (n && l->root[n - 1] == '/')
        l->root[--n] = 0;
    return l;
}

struct host_probe host_live_probe(struct host_live *l)
{
    return (struct host_probe){.self = l,
                               .read = live_read,
                               .list = live_list,
                               .link = live_link,
                               .fact = host_live_fact,
                               .run = live_run,
                               .nvml = live_nvml};
}

void host_live_free(struct host_live *l)
{
    if (!l)
        return;
    mem_free(l->root);
    mem_free(l->self_exe);
    mem_free(l);
}
