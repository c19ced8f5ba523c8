// replay.c: the probe of a recorded machine, a JSON document (profiles/README.md has its form).
// SPDX-License-Identifier: Apache-2.0
#include "host/host_priv.h"

#include "base/alloc.h"

#include <string.h>

struct host_replay {
    const struct json *doc;
};

// A text is a string, or a list of lines, or {"times": N, "text": ...} where "{i}" counts from 0.
static int put_text(struct buf *out, const struct json *v)
{
    struct json_iter it = {0};
    const struct json *line;
    if (json_is(v, JSON_STR))
        return buf_put(out, json_str(v));
    if (json_is(v, JSON_ARR)) {
        while (json_each(v, &it, NULL, &line)) {
            (void)put_text(out, line);
            if (json_is(line, JSON_STR))
                (void)buf_chr(out, '\n');
        }
        return out->failed;
    }
    if (!json_is(v, JSON_OBJ))
        return E_NOTFOUND;
    struct buf one;
    buf_init(&one, HOST_FILE_MAX);
    (void)put_text(&one, json_get(v, "text"));
    for (int64_t i = 0; i < json_i64(json_get(v, "times"), 0); i++) {
        struct bytes rest = buf_bytes(&one);
        ptrdiff_t at;
        while ((at = bytes_find(rest, BYTES("{i}"))) >= 0) {
            (void)buf_put(out, bytes_first(rest, (size_t)at));
            (void)buf_i64(out, i);
            rest = bytes_from(rest, (size_t)at + 3);
        }
        (void)buf_put(out, rest);
    }
    buf_fini(&one);
    return out->failed;
}

static const struct json *entry(void *self, const char *part, const char *key)
{
    const struct host_replay *r = self;
    return json_get(json_get(r->doc, part), key);
}

static int replay_read(void *self, const char *path, struct buf *out)
{
    return put_text(out, entry(self, "files", path));
}

static int replay_link(void *self, const char *path, struct buf *out)
{
    return put_text(out, entry(self, "links", path));
}

static int replay_fact(void *self, const char *name, struct buf *out)
{
    return put_text(out, entry(self, "facts", name));
}

// Adds the first segment below the folder of every path that lies in it, unless it is there.
static void add_names(struct buf *out, const struct json *paths, struct bytes folder)
{
    struct json_iter it = {0};
    struct bytes path;
    const struct json *v;
    while (json_each(paths, &it, &path, &v)) {
        struct bytes rest = bytes_from(path, folder.n);
        if (!bytes_starts(path, folder) || !rest.n || *rest.p != '/')
            continue;
        rest = bytes_from(rest, 1);
        struct bytes name = bytes_cut(&rest, '/'), seen = buf_bytes(out);
        bool there = false;
        while (seen.n && !there)
            there = bytes_eq(bytes_cut(&seen, '\n'), name);
        if (!there) {
            (void)buf_put(out, name);
            (void)buf_chr(out, '\n');
        }
    }
}

// Names come in the document's order, which is sorted by whoever wrote it.
static int replay_list(void *self, const char *path, struct buf *out)
{
    const struct host_replay *r = self;
    size_t had = out->n;
    add_names(out, json_get(r->doc, "files"), bytes_of(path));
    add_names(out, json_get(r->doc, "links"), bytes_of(path));
    return out->n == had ? E_NOTFOUND : out->failed;
}

// Programs by their whole command line: {"docker --version": "Docker version 27.1.1, ..."}.
static int replay_run(void *self, const char *const *argv, int64_t timeout_ms, struct buf *out)
{
    struct buf line;
    (void)timeout_ms;
    buf_init(&line, 4096);
    for (size_t i = 0; argv[i]; i++)
        (void)buf_fmt(&line, "%s%s", i ? " " : "", argv[i]);
    const struct json *v = entry(self, "programs", buf_cstr(&line));
    int rc = json_is(v, JSON_NUM) ? E_UNAVAILABLE : put_text(out, v);
    buf_fini(&line);
    return rc;
}

static int replay_nvml(void *self, int64_t timeout_ms, struct host_nvml *ret, struct err *e)
{
    const struct host_replay *r = self;
    const struct json *v = json_get(r->doc, "nvml");
    (void)timeout_ms;
    if (!v)
        return err_set(e, E_NOTFOUND, "no libnvidia-ml.so.1");
    return host_nvml_read(ret, v, e);
}

struct host_replay *host_replay_new(const struct json *doc)
{
    struct host_replay *r = mem_new(struct host_replay);
    if (r)
        r->doc = doc;
    return r;
}

struct host_probe host_replay_probe(struct host_replay *r)
{
    return (struct host_probe){.self = r,
                               .read = replay_read,
                               .list = replay_list,
                               .link = replay_link,
                               .fact = replay_fact,
                               .run = replay_run,
                               .nvml = replay_nvml};
}

void host_replay_free(struct host_replay *r)
{
    mem_free(r);
}
