// capreg_folder.c: a registry that is a folder: caps/URN names hashes, blobs/HASH has the bytes.
// SPDX-License-Identifier: Apache-2.0
#include "toolbox/capreg_priv.h"

#include "base/file.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROW_MAX 4096

// ---- files --------------------------------------------------------------------------------------

static int path_of(char path[CAPREG_PATH_MAX], const char *folder, const char *kind,
                   struct bytes name, struct err *e)
{
    int n = snprintf(path, CAPREG_PATH_MAX, "%s/%s/%.*s", folder, kind, BYTES_FMT(name));
    return n < CAPREG_PATH_MAX ? 0 : err_set(e, E_INVALID, "%s: the path is too long", folder);
}

int capreg_folder_blob(const char *folder, struct bytes hash, struct buf *ret, struct err *e)
{
    char path[CAPREG_PATH_MAX], seen[MANIFEST_HASH_LEN + 1];
    size_t from = ret->n;
    if (!capreg_is_hash(hash))
        return err_set(e, E_INVALID, "a hash is 64 hex digits (SHA-256)");
    int rc = path_of(path, folder, "blobs", hash, e);
    if (!rc && access(path, F_OK) != 0)
        return err_set(e, E_NOTFOUND, "nothing here has the hash %.*s", BYTES_FMT(hash));
    if (!rc)
        rc = file_read(path, ret, e);
    if (rc)
        return rc;
    capreg_hash(bytes_from(buf_bytes(ret), from), seen);
    return bytes_is(hash, seen)
               ? 0
               : err_set(e, E_IO, "%s is damaged: its bytes have the hash %s", path, seen);
}

static int blob_put(const char *folder, struct bytes data, char hash[MANIFEST_HASH_LEN + 1],
                    struct err *e)
{
    char path[CAPREG_PATH_MAX];
    struct buf old;
    capreg_hash(data, hash);
    buf_init(&old, MANIFEST_CODE_MAX);
    bool there = capreg_folder_blob(folder, bytes_of(hash), &old, NULL) == 0;
    buf_fini(&old);
    int rc = there ? 0 : path_of(path, folder, "blobs", bytes_of(hash), e);
    return there || rc ? rc : file_write_atomic(path, data, 0644, e);
}

// The row of a URN: {"manifest":HASH,"code":HASH,...}.
static int row_get(const char *folder, struct bytes urn, struct json_doc **ret, struct err *e)
{
    char path[CAPREG_PATH_MAX];
    struct urn parts;
    struct buf text;
    int rc = urn_parse(&parts, urn, e); // so it is the name of a file, and no path
    if (!rc)
        rc = path_of(path, folder, "caps", urn, e);
    if (!rc && access(path, F_OK) != 0)
        return err_set(e, E_NOTFOUND, "the registry has no %.*s", BYTES_FMT(urn));
    buf_init(&text, ROW_MAX);
    if (!rc)
        rc = file_read(path, &text, e);
    if (!rc && json_parse(ret, buf_bytes(&text), 0, e))
        rc = err_set(e, E_IO, "%s is damaged", path);
    buf_fini(&text);
    return rc;
}

static int row_put(const char *folder, struct bytes urn, const char *const hashes[4], struct err *e)
{
    static const char *const keys[] = {"manifest", "code", "promotion", "evidence"};
    char path[CAPREG_PATH_MAX];
    struct buf text;
    struct json_w w;
    buf_init(&text, ROW_MAX);
    json_w_init(&w, &text);
    json_w_obj(&w, NULL);
    for (size_t i = 0; i < 4; i++)
        if (*hashes[i])
            json_w_cstr(&w, keys[i], hashes[i]);
    json_w_end(&w);
    int rc = path_of(path, folder, "caps", urn, e);
    if (!rc)
        rc = file_write_atomic(path, buf_bytes(&text), 0644, e);
    buf_fini(&text);
    return rc;
}

int capreg_folder_put(const char *folder, const struct manifest_pack *p, struct err *e)
{
    char path[CAPREG_PATH_MAX], hash[4][MANIFEST_HASH_LEN + 1] = {"", "", "", ""};
    const struct bytes parts[4] = {p->manifest, p->code, p->promotion, p->evidence};
    const char *hashes[4] = {hash[0], hash[1], hash[2], hash[3]};
    char urn[URN_MAX + 1], sum[MANIFEST_HASH_LEN + 1];
    struct json_doc *old = NULL;
    int rc = capreg_check(p, BYTES_NONE, NULL, e);
    if (!rc)
        rc = capreg_name(p, urn, sum, e);
    for (int i = 0; !rc && i < 2; i++) {
        rc = path_of(path, folder, i ? "caps" : "blobs", BYTES_NONE, e);
        if (!rc)
            rc = file_mkdirs(path, 0755, e);
    }
    if (rc)
        goto out;
    bool there = row_get(folder, bytes_of(urn), &old, NULL) == 0;
    const struct json *row = json_root(old);
    if (there && !bytes_is(json_str(json_get(row, "manifest")), sum)) {
        rc = err_set(e, E_CONFLICT,
                     "%s is published with other bytes, and for good: give yours a new version",
                     urn);
        goto out;
    }
    for (size_t i = 0; !rc && i < 4; i++)
        if (parts[i].n)
            rc = blob_put(folder, parts[i], hash[i], e);
    bool more = p->promotion.n && !json_get(row, "promotion");
    if (!rc && (!there || more))
        rc = row_put(folder, bytes_of(urn), hashes, e);
out:
    json_free(old);
    return rc;
}

static int part(const char *folder, const struct json *row, const char *key, struct arena *a,
                struct bytes *ret, struct err *e)
{
    struct buf text;
    struct bytes hash = json_str(json_get(row, key));
    if (!hash.n)
        return 0;
    buf_init(&text, MANIFEST_CODE_MAX);
    int rc = capreg_folder_blob(folder, hash, &text, e);
    if (!rc) {
        *ret = arena_dup(a, buf_bytes(&text));
        rc = ret->p ? 0 : err_set(e, E_NOMEM, "out of memory");
    }
    buf_fini(&text);
    return rc;
}

// The URN of a manifest that is asked for by its hash.
static int urn_of(const char *folder, struct bytes hash, char ret[URN_MAX + 1], struct err *e)
{
    struct buf text;
    char sum[MANIFEST_HASH_LEN + 1];
    buf_init(&text, MANIFEST_BYTES_MAX);
    int rc = capreg_folder_blob(folder, hash, &text, e);
    if (!rc)
        rc = capreg_name(&(struct manifest_pack){.manifest = buf_bytes(&text)}, ret, sum, e);
    buf_fini(&text);
    return rc;
}

int capreg_folder_get(const char *folder, struct bytes urn, struct arena *a,
                      struct manifest_pack *ret, struct err *e)
{
    char name[URN_MAX + 1];
    struct json_doc *doc = NULL;
    struct manifest_pack p = {.code = BYTES_NONE};
    struct bytes asked = urn;
    int rc = 0;
    if (bytes_starts(urn, BYTES(CAPREG_HASH_PREFIX))) {
        rc = urn_of(folder, bytes_from(urn, strlen(CAPREG_HASH_PREFIX)), name, e);
        urn = bytes_of(name);
    }
    if (!rc)
        rc = row_get(folder, urn, &doc, e);
    const struct json *row = json_root(doc);
    if (!rc)
        rc = part(folder, row, "manifest", a, &p.manifest, e);
    if (!rc)
        rc = part(folder, row, "code", a, &p.code, e);
    if (!rc)
        rc = part(folder, row, "promotion", a, &p.promotion, e);
    if (!rc)
        rc = part(folder, row, "evidence", a, &p.evidence, e);
    json_free(doc);
    if (!rc)
        rc = capreg_check(&p, asked, NULL, e);
    if (!rc)
        *ret = p;
    return rc;
}

static int only_names(const struct dirent *d)
{
    struct urn u;
    return urn_parse(&u, bytes_of(d->d_name), NULL) == 0;
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

int capreg_folder_list(const char *folder, struct bytes after, size_t max, struct val **ret,
                       struct err *e)
{
    char path[CAPREG_PATH_MAX];
    struct dirent **names = NULL;
    struct val *list = val_arr();
    int rc = path_of(path, folder, "caps", BYTES_NONE, e);
    int n = rc ? 0 : scandir(path, &names, only_names, by_bytes); // no folder: nothing yet
    for (int i = 0; i < n; i++) {
        if (val_len(list) < max && bytes_cmp(bytes_of(names[i]->d_name), after) > 0)
            list = val_push(list, val_cstr(names[i]->d_name));
        free(names[i]);
    }
    free(names);
    if (!rc && !list)
        rc = err_set(e, E_NOMEM, "out of memory");
    if (rc)
        val_unref(list);
    else
        *ret = list;
    return rc;
}

// ---- as a registry ------------------------------------------------------------------------------

struct folder {
    struct capreg base; // first
    struct timers *timers;
    struct list jobs;
    char path[CAPREG_PATH_MAX];
};
struct job {
    struct list link;
    struct folder *f;
    struct capreg_req *r;
    struct timer timer;
    char urn[URN_MAX + 1];
    const struct manifest_pack *pack; // put
};

static void job_free(struct job *j)
{
    timer_stop(j->f->timers, &j->timer);
    list_del(&j->link);
    mem_free(j);
}

static void work(struct timer *t)
{
    struct job *j = t->user;
    struct capreg_req *r = j->r;
    struct manifest_pack got;
    struct err e = {0};
    struct arena *a = j->pack ? NULL : arena_new(MANIFEST_PACK_MAX);
    bool put = j->pack != NULL;
    int rc = put ? capreg_folder_put(j->f->path, j->pack, &e)
             : a ? capreg_folder_get(j->f->path, bytes_of(j->urn), a, &got, &e)
                 : err_set(&e, E_NOMEM, "out of memory");
    job_free(j);
    r->priv = NULL;
    r->done(r, rc, rc || put ? NULL : &got, rc ? &e : NULL);
    arena_free(a);
}

static int start(struct capreg *g, struct bytes urn, const struct manifest_pack *pack,
                 struct capreg_req *r, struct err *e)
{
    struct folder *f = (struct folder *)(void *)g;
    struct job *j = mem_new(struct job);
    if (!j)
        return err_set(e, E_NOMEM, "out of memory");
    if (urn.n > URN_MAX) {
        mem_free(j);
        return err_set(e, E_INVALID, "a name has at most %d bytes", URN_MAX);
    }
    *j = (struct job){.f = f, .r = r, .timer = {.fn = work, .user = j}, .pack = pack};
    (void)snprintf(j->urn, sizeof j->urn, "%.*s", BYTES_FMT(urn));
    list_add_tail(&f->jobs, &j->link);
    r->priv = j;
    int rc = timer_start(f->timers, &j->timer, 0);
    if (rc) {
        job_free(j);
        return err_set(e, rc, "out of memory");
    }
    return 0;
}

static int get(struct capreg *g, struct bytes urn, struct capreg_req *r, struct err *e)
{
    return start(g, urn, NULL, r, e);
}

static int put(struct capreg *g, const struct manifest_pack *pack, struct capreg_req *r,
               struct err *e)
{
    return start(g, BYTES_NONE, pack, r, e);
}

static void cancel(struct capreg *g, struct capreg_req *r)
{
    struct err e = {0};
    (void)g;
    if (!r->priv)
        return;
    job_free(r->priv);
    r->priv = NULL;
    r->done(r, err_set(&e, E_CANCELLED, "cancelled"), NULL, &e);
}

static void folder_free(struct capreg *g)
{
    mem_free(g);
}

int capreg_folder_new(struct capreg **ret, const struct capreg_args *args, struct err *e)
{
    static const struct capreg_ops ops = {"folder", get, put, cancel, folder_free};
    struct bytes path = bytes_from(args->url, strlen("file://"));
    struct folder *f = mem_new(struct folder);
    if (!f)
        return err_set(e, E_NOMEM, "out of memory");
    if (!path.n || path.p[0] != '/' || path.n > CAPREG_PATH_MAX - 300 ||
        memchr(path.p, 0, path.n)) {
        mem_free(f);
        return err_set(e, E_INVALID, "%.*s: expected file:///FOLDER", BYTES_FMT(args->url));
    }
    f->base.ops = &ops;
    f->timers = args->timers;
    list_init(&f->jobs);
    memcpy(f->path, path.p, path.n);
    *ret = &f->base;
    return 0;
}
