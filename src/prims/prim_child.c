// prim_child.c: `plexus _prim OPTIONS`: one call in a jail. Its input is one JSON object: {"name",
// "input", "output_bytes", "timeout_ms", "disk_bytes"}; its output another one: {"content",
// "structured", "is_error"}, what it answers. SPDX-License-Identifier: Apache-2.0
#include "base/file.h"
#include "prims/prims_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TIMEOUT_MS = 120000 };

const char *prim_arg_text(const struct prim *p, const char *key, const char *fallback)
{
    return json_cstr(json_get(p->in, key), fallback);
}

uint64_t prim_arg_u64(const struct prim *p, const char *key, uint64_t fallback)
{
    int64_t n = json_i64(json_get(p->in, key), -1);
    return n < 0 ? fallback : (uint64_t)n;
}

static int read_all(struct buf *ret, struct err *e)
{
    for (;;) {
        char *room = buf_room(ret, 65536);
        if (!room)
            return err_set(e, E_TOOBIG, "the request is larger than %d bytes", PRIM_REQUEST_MAX);
        ssize_t n = read(STDIN_FILENO, room, 65536);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(e, errno, "the request");
        if (n == 0)
            return 0;
        ret->n += (size_t)n;
    }
}

static int write_all(struct bytes b)
{
    while (b.n > 0) {
        ssize_t n = write(STDOUT_FILENO, b.p, b.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        b = bytes_from(b, (size_t)n);
    }
    return 0;
}

static const struct prim_row *row_of(struct bytes name)
{
    for (size_t i = 0; i < prim_rows_n; i++) {
        if (bytes_is(name, prim_rows[i].name))
            return &prim_rows[i];
    }
    return NULL;
}

static int open_roots(struct prim *p, struct err *e)
{
    for (size_t i = 0; i < p->o->folders; i++) {
        p->root[i] = open(p->o->folder[i].path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (p->root[i] < 0)
            return err_errno(e, errno, "%s", p->o->folder[i].path);
    }
    return 0;
}

static void put_content(struct json_w *w, struct prim *p, struct bytes text)
{
    json_w_arr(w, "content");
    json_w_obj(w, NULL);
    json_w_cstr(w, "type", "text");
    json_w_str(w, "text", text);
    json_w_end(w);
    if (p->image.n > 0 && !p->failed) {
        json_w_obj(w, NULL);
        json_w_cstr(w, "type", "image");
        json_w_str(w, "data", buf_bytes(&p->image));
        json_w_cstr(w, "mimeType", p->mime);
        json_w_end(w);
    }
    json_w_end(w);
}

static void put_answer(struct buf *out, struct prim *p, int rc, const struct err *e)
{
    struct json_w w;
    json_w_init(&w, out);
    json_w_obj(&w, NULL);
    if (rc < 0)
        p->failed = true;
    put_content(&w, p, rc < 0 ? bytes_of(e->text) : buf_bytes(&p->text));
    if (rc < 0) {
        char slug[ERR_SLUG_MAX];
        err_slug(rc, slug);
        json_w_obj(&w, "structured");
        json_w_cstr(&w, "error", slug);
        json_w_end(&w);
    } else {
        json_w_raw(&w, "structured", buf_bytes(&p->more));
    }
    json_w_bool(&w, "is_error", p->failed);
    json_w_end(&w);
}

static int perform(struct prim *p, const struct json *request, struct err *e)
{
    const struct prim_row *row = row_of(json_str(json_get(request, "name")));
    if (!row)
        return err_set(e, E_NOTFOUND, "no such primitive");
    p->in = json_get(request, "input");
    p->output_bytes = (uint32_t)json_i64(json_get(request, "output_bytes"), 65536);
    p->timeout_ms = json_i64(json_get(request, "timeout_ms"), TIMEOUT_MS);
    p->disk_bytes = (uint64_t)json_i64(json_get(request, "disk_bytes"), INT64_MAX);
    if (p->output_bytes > PRIM_TEXT_MAX)
        p->output_bytes = PRIM_TEXT_MAX;
    int rc = open_roots(p, e);
    if (rc == 0)
        rc = row->run(p, e);
    if (rc == 0 && (p->text.failed || p->image.failed || p->more.failed))
        rc = err_set(e, E_TOOBIG, "the answer is too large");
    return rc;
}

static int serve(void *user, const struct jail_report *r)
{
    static struct prim p;
    struct buf in, out;
    struct err e = {0};
    struct json_doc *doc = NULL;
    p.jail = r;
    (void)signal(SIGXFSZ, SIG_IGN); // too large a file is an error, not our end
    p.o = user;
    buf_init(&in, PRIM_REQUEST_MAX);
    buf_init(&p.text, 4 * PRIM_TEXT_MAX);
    buf_init(&p.more, 20 * PRIM_TEXT_MAX); // each byte of an output may become six
    buf_init(&p.image, 2 * PRIM_IMAGE_MAX);
    json_w_init(&p.w, &p.more);
    json_w_obj(&p.w, NULL);
    int rc = read_all(&in, &e);
    if (rc == 0)
        rc = json_parse(&doc, buf_bytes(&in), 0, &e);
    if (rc == 0)
        rc = perform(&p, json_root(doc), &e);
    json_w_end(&p.w);
    buf_init(&out, MAX_ALLOCATION_BYTES);
    put_answer(&out, &p, rc, &e);
    if (out.failed) { // nothing but escapes
        buf_clear(&out);
        rc = err_set(&e, E_TOOBIG, "the answer is too large");
        buf_clear(&p.image);
        put_answer(&out, &p, rc, &e);
    }
    return out.failed || write_all(buf_bytes(&out)) < 0 ? 74 : 0; // EX_IOERR; memory goes with us
}

int prim_main(int argc, char **argv)
{
    static struct jail_opts o;
    struct err e = {0};
    char **all = argv;
    for (; argc > 0 && strcmp(*argv, "_prim") != 0; argc--)
        argv++;
    if (argc == 0 || jail_parse(&o, argv + 1, &e) < 0 || o.folders == 0) {
        (void)fprintf(stderr, "plexus _prim: %s\n", *e.text ? e.text : "no folder");
        return 64; // EX_USAGE
    }
    (void)umask(022);
    struct jail_body body = {serve, &o};
    _exit(jail_run(&o, &body, file_self(), all)); // no hooks of exit: they are not made for a jail
}
