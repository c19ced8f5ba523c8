// caps_index.c: the folder of capabilities: an index of lines that is only added to, each with its
// hash, and the code under its own hash. SPDX-License-Identifier: Apache-2.0
#include "toolbox/caps_priv.h"

#include "base/file.h"
#include "crypto/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

// A line: 16 hex digits of the SHA-256 of the rest, a space, JSON, a newline.
#define MARK 16
#define LINE_MAX_BYTES (MANIFEST_BYTES_MAX * 2)
#define INDEX_MAX ((size_t)1 << 30)

static void path_of(const struct caps *c, char path[CAPS_PATH_MAX], const char *name)
{
    (void)snprintf(path, CAPS_PATH_MAX, "%s/%s", c->folder, name);
}

static void mark_of(struct bytes text, char ret[SHA256_LEN * 2 + 1])
{
    uint8_t sum[SHA256_LEN];
    sha256_sum(text, sum);
    crypto_hex(sum, sizeof sum, ret);
    ret[MARK] = 0;
}

// ---- blobs --------------------------------------------------------------------------------------

static void blob_path(const struct caps *c, const char *hash, char path[CAPS_PATH_MAX])
{
    (void)snprintf(path, CAPS_PATH_MAX, "%s/blobs/%s", c->folder, hash);
}

int caps_blob_put(struct caps *c, const char *hash, struct bytes data, struct err *e)
{
    char path[CAPS_PATH_MAX];
    blob_path(c, hash, path);
    return file_write_atomic(path, data, 0600, e);
}

int caps_blob_get(struct caps *c, const struct manifest *m, struct buf *ret, struct err *e)
{
    char path[CAPS_PATH_MAX];
    blob_path(c, m->code_hash, path);
    int rc = file_read(path, ret, e);
    if (!rc)
        rc = manifest_code_check(m, buf_bytes(ret), e);
    return rc ? err_wrap(e, "the code on this node's disk") : 0;
}

void caps_blob_remove(struct caps *c, const char *hash)
{
    char path[CAPS_PATH_MAX];
    list_each (it, &c->items)
        if (strcmp(container_of(it, struct caps_item, link)->m->code_hash, hash) == 0)
            return;
    blob_path(c, hash, path);
    (void)unlink(path); // one that stays is written over with the same bytes
}

// ---- lines --------------------------------------------------------------------------------------

static int line_of(struct buf *out, const struct val *v, struct err *e)
{
    char mark[SHA256_LEN * 2 + 1];
    struct buf text;
    buf_init(&text, LINE_MAX_BYTES);
    (void)val_write(&text, v);
    if (!text.failed) {
        mark_of(buf_bytes(&text), mark);
        (void)buf_fmt(out, "%s ", mark);
        (void)buf_put(out, buf_bytes(&text));
        (void)buf_chr(out, '\n');
    }
    int rc = text.failed ? text.failed : out->failed;
    buf_fini(&text);
    return rc ? err_set(e, rc, "the index of capabilities: a line is too long") : 0;
}

int caps_index_add(struct caps *c, struct val *takes, struct err *e)
{
    struct buf line;
    size_t done = 0;
    buf_init(&line, LINE_MAX_BYTES + 64);
    int rc = takes ? line_of(&line, takes, e) : err_set(e, E_NOMEM, "out of memory");
    val_unref(takes);
    while (!rc && done < line.n) {
        ssize_t n = write(c->index, line.p + done, line.n - done);
        if (n > 0)
            done += (size_t)n;
        else if (n == 0 || errno != EINTR)
            rc = err_errno(e, n ? errno : ENOSPC, "%s/index", c->folder);
    }
    if (!rc && fsync(c->index) != 0)
        rc = err_errno(e, errno, "%s/index", c->folder);
    if (!rc) {
        c->index_bytes += line.n;
        c->lines++;
    } else if (done && ftruncate(c->index, (off_t)c->index_bytes) != 0) {
        rc = err_errno(e, errno, "%s/index cannot be mended", c->folder);
    }
    buf_fini(&line);
    return rc;
}

// ---- reading ------------------------------------------------------------------------------------

static int take_add(struct caps *c, const struct json *v, struct err *e)
{
    struct manifest *m = NULL;
    struct caps_item *item;
    struct buf text;
    buf_init(&text, MANIFEST_BYTES_MAX);
    int rc = json_canonical(&text, json_get(v, "manifest"), e);
    if (!rc)
        rc = manifest_open(&m, buf_bytes(&text), MANIFEST_KNOWN, e);
    if (!rc)
        rc = caps_take(c, m, json_str(json_get(v, "as")), json_i64(json_get(v, "at"), 0), &item, e);
    if (rc)
        manifest_free(m);
    buf_fini(&text);
    return rc;
}

static int take_permit(struct caps *c, const struct json *v, struct err *e)
{
    struct val *permit = val_of_json(json_get(v, "permit"));
    struct caps_item *item = caps_item_of(c, json_str(json_get(json_get(v, "permit"), "urn")));
    struct permit *p = NULL;
    int rc = !permit ? E_NOMEM : item ? permit_open(&p, permit, e) : E_NOTFOUND;
    if (!rc) {
        permit_free(item->permit);
        item->permit = p;
    }
    val_unref(permit);
    return rc;
}

static int take_line(struct caps *c, struct bytes line, struct err *e)
{
    char mark[SHA256_LEN * 2 + 1];
    struct json_doc *doc = NULL;
    struct bytes text = bytes_from(line, MARK + 1);
    if (line.n < MARK + 3)
        return err_set(e, E_PARSE, "short");
    mark_of(text, mark);
    if (line.p[MARK] != ' ' || !bytes_is(bytes_first(line, MARK), mark))
        return err_set(e, E_PARSE, "not as it was written");
    int rc = json_parse(&doc, text, 0, e);
    const struct json *v = json_root(doc);
    struct bytes op = json_str(json_get(v, "op"));
    struct caps_item *item = caps_item_of(c, json_str(json_get(v, "urn")));
    if (!rc && bytes_is(op, "add")) {
        rc = take_add(c, v, e);
    } else if (!rc && bytes_is(op, "permit")) {
        rc = take_permit(c, v, e);
    } else if (!rc && item && bytes_is(op, "rm")) {
        caps_drop(c, item);
    } else if (!rc && item && bytes_is(op, "revoke")) {
        permit_free(item->permit);
        item->permit = NULL;
    } else if (!rc) {
        rc = err_set(e, E_PARSE, "unknown");
    }
    json_free(doc);
    return rc;
}

// How many bytes are good: without a last line that was cut short.
static int take_all(struct caps *c, struct bytes text, size_t *ret_good, struct err *e)
{
    size_t at = 0;
    while (at < text.n) {
        struct err why = {0};
        struct bytes rest = bytes_from(text, at);
        ptrdiff_t n = bytes_chr(rest, '\n');
        if (n < 0)
            break;
        int rc = take_line(c, bytes_first(rest, (size_t)n), &why);
        if (rc == E_NOMEM)
            return err_set(e, rc, "out of memory");
        c->lines++;
        c->damaged += rc != 0;
        at += (size_t)n + 1;
    }
    *ret_good = at;
    return 0;
}

// ---- the file as short as it can be -------------------------------------------------------------

static struct val *add_line(const struct caps_item *i)
{
    struct val *v = val_put_cstr(val_obj(), "op", val_cstr("add"));
    v = val_put_cstr(v, "as", val_cstr(i->as));
    v = val_put_cstr(v, "at", val_int(i->added_ms));
    return val_put_cstr(v, "manifest", val_ref((struct val *)(uintptr_t)i->m->root));
}

static int rewrite(struct caps *c, const char *path, struct bytes old, struct err *e)
{
    char aside[CAPS_PATH_MAX + 16];
    struct buf text;
    size_t lines = 0;
    int rc = 0;
    buf_init(&text, INDEX_MAX);
    list_each (it, &c->items) {
        struct caps_item *i = container_of(it, struct caps_item, link);
        struct val *v = add_line(i);
        rc = rc ? rc : v ? line_of(&text, v, e) : err_set(e, E_NOMEM, "out of memory");
        val_unref(v);
        lines++;
        if (!i->permit)
            continue;
        v = val_put_cstr(val_put_cstr(val_obj(), "op", val_cstr("permit")), "permit",
                         val_ref((struct val *)(uintptr_t)i->permit->root));
        rc = rc ? rc : v ? line_of(&text, v, e) : err_set(e, E_NOMEM, "out of memory");
        val_unref(v);
        lines++;
    }
    if (!rc && c->damaged) { // nothing is lost that somebody may still read
        (void)snprintf(aside, sizeof aside, "%s.damaged", path);
        rc = file_write_atomic(aside, old, 0600, e);
    }
    if (!rc)
        rc = file_write_atomic(path, buf_bytes(&text), 0600, e);
    if (!rc) {
        c->index_bytes = text.n;
        c->lines = lines;
    }
    buf_fini(&text);
    return rc;
}

int caps_index_open(struct caps *c, struct err *e)
{
    char path[CAPS_PATH_MAX];
    struct buf text;
    size_t good = 0, live;
    path_of(c, path, "blobs");
    int rc = file_mkdirs(path, 0700, e);
    path_of(c, path, "index");
    buf_init(&text, INDEX_MAX);
    if (!rc && access(path, F_OK) == 0)
        rc = file_read(path, &text, e);
    if (!rc)
        rc = take_all(c, buf_bytes(&text), &good, e);
    c->index_bytes = good;
    live = c->item_count * 2 + 100;
    if (!rc && (c->damaged || good != text.n || c->lines > live * 2))
        rc = rewrite(c, path, buf_bytes(&text), e);
    if (!rc && (c->index = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)) < 0)
        rc = err_errno(e, errno, "%s", path);
    buf_fini(&text);
    return rc;
}

void caps_index_close(struct caps *c)
{
    if (c->index >= 0)
        (void)close(c->index);
    c->index = -1;
}
