// disk.c: the files of a simulated host: whole, old or new, kept over its restarts.
// SPDX-License-Identifier: Apache-2.0
#include "sim/sim_priv.h"

#include "base/alloc.h"

#include <string.h>

#define FILE_BYTES_MAX (16u << 20)

static struct sim_file *find(struct sim_host *h, const char *path)
{
    list_each (it, &h->files) {
        struct sim_file *f = container_of(it, struct sim_file, link);
        if (strcmp(f->path, path) == 0)
            return f;
    }
    return NULL;
}

int sim_file_write(struct sim_host *h, const char *path, struct bytes content, struct err *e)
{
    if (h->muted)
        return err_set(e, E_IO, "write %s: the process has ended", path);
    if (h->disk_full) {
        sim_say(h->w, "%s: no space for %s", h->name, path);
        return err_set(e, E_NOSPACE, "write %s: no space left on device", path);
    }
    struct sim_file *f = find(h, path);
    if (f == NULL) {
        f = sim_must(mem_new(struct sim_file));
        f->path = sim_must(mem_str(path));
        buf_init(&f->content, FILE_BYTES_MAX);
        list_add_tail(&h->files, &f->link);
    }
    buf_clear(&f->content);
    return buf_put(&f->content, content);
}

int sim_file_read(struct sim_host *h, const char *path, struct buf *ret, struct err *e)
{
    const struct sim_file *f = find(h, path);
    if (f == NULL)
        return err_set(e, E_NOTFOUND, "read %s: no such file", path);
    return buf_put(ret, buf_bytes(&f->content));
}

void sim_disk_full(struct sim_host *h, bool full)
{
    sim_say(h->w, "%s: the disk %s", h->name, full ? "is full" : "has room");
    h->disk_full = full;
}
