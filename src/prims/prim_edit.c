// prim_edit.c: edit_file: exact texts, a range of lines, or a unified diff. The file is read in
// blocks to find all places, then copied in blocks with the new texts into a file beside it, which
// takes its place at once: or nothing happens. SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "prims/diff_priv.h"
#include "prims/prim_edit_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CONFLICT_BYTES = 8192, LINES_TOLD = 10 };

static void edits_fini(struct edits *x)
{
    for (size_t i = 0; i < x->n; i++) {
        mem_free(x->edit[i].own_old);
        mem_free(x->edit[i].own_new);
    }
    mem_free(x->edit);
    mem_free(x->place);
    if (x->fd >= 0)
        (void)close(x->fd);
}

// ---- from the arguments

static int add_text(struct edits *x, const struct json *v, bool all, struct err *e)
{
    struct edit *d = &x->edit[x->n];
    *d = (struct edit){.kind = all ? EDIT_ALL : EDIT_UNIQUE,
                       .old = json_str(json_get(v, "old_text")),
                       .new = json_str(json_get(v, "new_text"))};
    if (d->old.n == 0)
        return err_set(e, E_INVALID, "edit %zu: old_text is empty", x->n + 1);
    if (d->old.n > PRIM_TEXT_MAX)
        return err_set(e, E_TOOBIG, "edit %zu: old_text is longer than %d bytes", x->n + 1,
                       PRIM_TEXT_MAX);
    x->n++;
    return 0;
}

static int add_hunks(struct edits *x, const struct diff *diff, struct err *e)
{
    for (size_t i = 0; i < diff->n; i++) {
        const struct diff_hunk *h = &diff->hunk[i];
        struct edit *d = &x->edit[x->n++];
        *d = (struct edit){.kind = EDIT_NEAR,
                           .old = {diff->text.p + h->old_at, h->old_n},
                           .new = {diff->text.p + h->new_at, h->new_n},
                           .first = h->old_line};
        if (h->old_n == 0) { // nothing is taken away: behind that line
            d->kind = EDIT_LINES;
            d->first = h->old_line + 1;
            d->last = h->old_line;
        }
        if (h->old_n > PRIM_TEXT_MAX)
            return err_set(e, E_TOOBIG, "hunk %zu is too long", i + 1);
    }
    return 0;
}

static int add_lines(struct edits *x, const struct prim *p, struct err *e)
{
    struct edit *d = &x->edit[x->n++];
    *d = (struct edit){.kind = EDIT_LINES,
                       .new = json_str(json_get(p->in, "new_text")),
                       .first = prim_arg_u64(p, "start_line", 0)};
    d->last = prim_arg_u64(p, "end_line", d->first);
    if (d->first == 0 || d->last + 1 < d->first)
        return err_set(e, E_INVALID,
                       "start_line counts from 1, and end_line is not before start_line - 1");
    return 0;
}

static int gather(struct edits *x, const struct prim *p, struct diff *diff, struct err *e)
{
    const struct json *list = json_get(p->in, "edits"), *v;
    struct bytes text = json_str(json_get(p->in, "diff"));
    bool one = json_get(p->in, "old_text"), lines = json_get(p->in, "start_line");
    int rc = 0;
    if ((list != NULL) + (text.p != NULL) + one + lines != 1)
        return err_set(e, E_INVALID,
                       "give one of: old_text and new_text, edits, start_line and end_line and "
                       "new_text, diff");
    if (text.p && (rc = diff_parse(diff, text, e)) < 0)
        return rc;
    size_t n = list ? json_len(list) : text.p ? diff->n : 1;
    if (n == 0 || n > EDITS_MAX)
        return err_set(e, E_INVALID, "between 1 and %d edits", EDITS_MAX);
    x->edit = mem_array(n, sizeof *x->edit);
    if (!x->edit)
        return err_set(e, E_NOMEM, "no memory for the edits");
    if (text.p)
        return add_hunks(x, diff, e);
    if (lines)
        return add_lines(x, p, e);
    if (one)
        return add_text(x, p->in, json_bool(json_get(p->in, "replace_all"), false), e);
    for (struct json_iter it = {0}; rc == 0 && json_each(list, &it, NULL, &v);)
        rc = add_text(x, v, false, e);
    return rc;
}

// ---- line ends: a file of CR LF stays one

static int with_crlf(struct bytes *text, char **own, struct err *e)
{
    struct buf out;
    buf_init(&out, 2 * text->n + 1);
    for (size_t i = 0; i < text->n; i++) {
        if (text->p[i] == '\n' && (i == 0 || text->p[i - 1] != '\r'))
            buf_chr(&out, '\r');
        buf_chr(&out, text->p[i]);
    }
    size_t n = out.n;
    char *made = buf_take(&out);
    if (!made)
        return err_set(e, E_NOMEM, "no memory for the edits");
    mem_free(*own);
    *own = made;
    *text = (struct bytes){made, n};
    return 0;
}

// The other way round: a diff that came by way of a system with CR LF.
static int without_crlf(struct bytes *text, char **own, struct err *e)
{
    struct buf out;
    buf_init(&out, text->n + 1);
    for (size_t i = 0; i < text->n; i++) {
        if (text->p[i] != '\r' || i + 1 == text->n || text->p[i + 1] != '\n')
            buf_chr(&out, text->p[i]);
    }
    size_t n = out.n;
    char *made = n ? buf_take(&out) : NULL;
    if (n && !made)
        return err_set(e, E_NOMEM, "no memory for the edits");
    mem_free(*own);
    *own = made;
    *text = (struct bytes){made ? made : "", n};
    return 0;
}

static bool has_bare_newline(struct bytes b)
{
    for (size_t i = 0; i < b.n; i++) {
        if (b.p[i] == '\n' && (i == 0 || b.p[i - 1] != '\r'))
            return true;
    }
    return false;
}

// Whether anything is to be searched for again.
static int adapt(struct edits *x, bool *ret_again, struct err *e)
{
    int rc = 0;
    *ret_again = false;
    for (size_t i = 0; x->lf && i < x->n && rc == 0; i++) {
        struct edit *d = &x->edit[i];
        if (d->found > 0 || bytes_find(d->old, BYTES("\r\n")) < 0)
            continue;
        rc = without_crlf(&d->old, &d->own_old, e);
        if (rc == 0)
            rc = without_crlf(&d->new, &d->own_new, e);
        *ret_again = true;
    }
    for (size_t i = 0; x->crlf && i < x->n && rc == 0; i++) {
        struct edit *d = &x->edit[i];
        if (d->found == 0 && has_bare_newline(d->old)) {
            rc = with_crlf(&d->old, &d->own_old, e);
            *ret_again = true;
        }
        if (rc == 0 && has_bare_newline(d->new))
            rc = with_crlf(&d->new, &d->own_new, e);
    }
    return rc;
}

// ---- is each edit at its place

static int not_found(const struct edits *x, size_t i, struct err *e)
{
    struct buf why;
    struct err ignored = {0};
    const char *what = x->edit[i].kind == EDIT_NEAR ? "the old lines of hunk" : "old_text of edit";
    buf_init(&why, CONFLICT_BYTES);
    (void)prim_edits_nearest(x, x->edit[i].old, &why, &ignored); // a help only
    int rc = err_set(e, E_CONFLICT, "%s: %s %zu is not in the file. %s", x->told, what, i + 1,
                     buf_cstr(&why));
    buf_fini(&why);
    return rc;
}

static int too_often(const struct edits *x, size_t i, struct err *e)
{
    struct buf lines;
    unsigned told = 0;
    buf_init(&lines, 512);
    for (size_t k = 0; k < x->places && told < LINES_TOLD; k++) {
        if (x->place[k].edit == i)
            buf_fmt(&lines, "%s%llu", told++ ? ", " : "", (unsigned long long)x->place[k].line);
    }
    int rc = err_set(e, E_CONFLICT,
                     "%s: old_text of edit %zu is there %llu times (lines %s%s): give more of what "
                     "stands around it",
                     x->told, i + 1, (unsigned long long)x->edit[i].found, buf_cstr(&lines),
                     x->edit[i].found > told ? ", ..." : "");
    buf_fini(&lines);
    return rc;
}

// Of a hunk's places the one nearest to its line; the others are dropped. Lines move by what the
// hunk before was off.
static void keep_nearest(struct edits *x, size_t i, int64_t *drift)
{
    int64_t want = (int64_t)x->edit[i].first + *drift, best = INT64_MAX;
    size_t kept = SIZE_MAX, to = 0;
    for (size_t k = 0; k < x->places; k++) {
        if (x->place[k].edit != i)
            continue;
        int64_t off = (int64_t)x->place[k].line - want;
        if ((off < 0 ? -off : off) < best) {
            best = off < 0 ? -off : off;
            kept = k;
        }
    }
    if (kept == SIZE_MAX)
        return;
    *drift = (int64_t)x->place[kept].line - (int64_t)x->edit[i].first;
    for (size_t k = 0; k < x->places; k++) {
        if (x->place[k].edit != i || k == kept)
            x->place[to++] = x->place[k];
    }
    x->places = to;
}

// A range of lines stays lines: a line end is added, or left away where the file had none.
static int mend_lines(struct edits *x, struct edit *d, const struct edit_place *at, struct err *e)
{
    bool to_end = at->at + at->n == x->size, ends = d->new.n > 0 && d->new.p[d->new.n - 1] == '\n';
    if (d->new.n > 0 && !ends && !(to_end && x->open_end)) {
        struct buf out;
        buf_init(&out, d->new.n + 2);
        buf_put(&out, d->new);
        buf_str(&out, x->crlf ? "\r\n" : "\n");
        size_t n = out.n;
        char *made = buf_take(&out);
        if (!made)
            return err_set(e, E_NOMEM, "no memory for the edits");
        mem_free(d->own_new);
        d->own_new = made;
        d->new = (struct bytes){made, n};
    } else if (ends && to_end && x->open_end && at->n > 0) {
        d->new.n--;
        if (d->new.n > 0 && d->new.p[d->new.n - 1] == '\r')
            d->new.n--;
    }
    return 0;
}

static int judge_one(struct edits *x, size_t i, int64_t *drift, struct err *e)
{
    struct edit *d = &x->edit[i];
    uint64_t lines = x->lines + x->open_end;
    switch (d->kind) {
    case EDIT_UNIQUE:
        if (d->found > 1)
            return too_often(x, i, e);
        break;
    case EDIT_NEAR: keep_nearest(x, i, drift); break;
    case EDIT_ALL: break;
    case EDIT_LINES:
        if (d->found == 0 || d->last > lines)
            return err_set(e, E_CONFLICT, "%s has %llu lines: there is no line %llu", x->told,
                           (unsigned long long)lines,
                           (unsigned long long)(d->found ? d->last : d->first));
        for (size_t k = 0; k < x->places; k++) {
            if (x->place[k].edit == i)
                return mend_lines(x, d, &x->place[k], e);
        }
        break;
    }
    return d->found == 0 ? not_found(x, i, e) : 0;
}

static int judge(struct edits *x, struct err *e)
{
    int64_t drift = 0;
    for (size_t i = 0; i < x->n; i++) {
        int rc = judge_one(x, i, &drift, e);
        if (rc < 0)
            return rc;
    }
    for (size_t k = 1; k < x->places; k++) {
        const struct edit_place *a = &x->place[k - 1], *b = &x->place[k];
        if (a->at + a->n > b->at || (a->at == b->at && a->edit != b->edit && a->n == b->n))
            return err_set(e, E_INVALID, "edits %zu and %zu change the same place, near line %llu",
                           a->edit + 1, b->edit + 1, (unsigned long long)b->line);
    }
    return 0;
}

// ---- the copy

struct copy {
    struct prim_out *out;
    int from;
    char *block;
    uint64_t size;
};

static int copy_block(struct copy *c, uint64_t at, uint64_t n, struct err *e)
{
    while (n > 0) {
        int k = prim_pread(c->from, c->block, n < PRIM_BLOCK ? (size_t)n : PRIM_BLOCK, at, e);
        if (k < 0)
            return k;
        if (k == 0)
            return err_set(e, E_CONFLICT, "%s became shorter meanwhile", c->out->told);
        int rc = prim_out_put(c->out, (struct bytes){c->block, (size_t)k}, e);
        if (rc < 0)
            return rc;
        at += (unsigned)k;
        n -= (unsigned)k;
    }
    return 0;
}

// The part of a file, with the holes that it has: a sparse file does not become a full one.
static int copy_part(struct copy *c, uint64_t at, uint64_t end, struct err *e)
{
    while (at < end) {
        uint64_t data = at, hole = end;
#ifdef SEEK_DATA
        off_t found = lseek(c->from, (off_t)at, SEEK_DATA);
        if (found >= 0 || errno == ENXIO) { // ENXIO: a hole up to the end
            data = found >= 0 && (uint64_t)found < end ? (uint64_t)found : end;
            found = data < end ? lseek(c->from, (off_t)data, SEEK_HOLE) : (off_t)end;
            hole = found >= 0 && (uint64_t)found < end ? (uint64_t)found : end;
        }
#endif
        if (data > at && lseek(c->out->fd, (off_t)(data - at), SEEK_CUR) < 0)
            return err_errno(e, errno, "%s", c->out->told);
        int rc = copy_block(c, data, hole - data, e);
        if (rc < 0)
            return rc;
        at = hole;
    }
    return 0;
}

static int copy_all(const struct edits *x, struct copy *c, struct err *e)
{
    uint64_t at = 0;
    int rc = 0;
    for (size_t k = 0; k < x->places && rc == 0; k++) {
        const struct edit_place *place = &x->place[k];
        rc = copy_part(c, at, place->at, e);
        if (rc == 0)
            rc = prim_out_put(c->out, x->edit[place->edit].new, e);
        at = place->at + place->n;
    }
    if (rc == 0)
        rc = copy_part(c, at, x->size, e);
    off_t end = rc == 0 ? lseek(c->out->fd, 0, SEEK_CUR) : 0;
    if (rc == 0 && (end < 0 || ftruncate(c->out->fd, end) < 0)) // a hole at the end
        return err_errno(e, errno, "%s", c->out->told);
    return rc;
}

static int write_new(struct prim *p, const struct edits *x, struct prim_place *at,
                     const struct stat *old, struct err *e)
{
    AUTO_MEM char *block = mem_alloc(PRIM_BLOCK);
    struct prim_out out = {.dir = -1, .fd = -1};
    struct copy c = {&out, x->fd, block, x->size};
    int rc = block ? prim_out_open(&out, p, at, old, e) : err_set(e, E_NOMEM, "no memory to copy");
    if (rc == 0)
        rc = copy_all(x, &c, e);
    if (rc == 0)
        rc = prim_out_commit(&out, e);
    prim_out_fini(&out);
    return rc;
}

static void tell(struct prim *p, const struct edits *x, const struct prim_place *at)
{
    uint64_t line = x->places ? x->place[0].line : 0;
    json_w_cstr(&p->w, "path", at->full);
    json_w_u64(&p->w, "replaced", x->places);
    json_w_u64(&p->w, "first_line", line);
    buf_fmt(&p->text, "Changed %s: %zu place%s, the first at line %llu.", at->full, x->places,
            x->places == 1 ? "" : "s", (unsigned long long)line);
}

static int edit(struct prim *p, struct edits *x, struct prim_place *at, struct err *e)
{
    struct stat st;
    bool again;
    x->told = at->full;
    int rc = prim_open_file(p, at, &st, e);
    if (rc < 0)
        return rc;
    x->fd = rc;
    x->size = (uint64_t)st.st_size;
    if ((rc = prim_edits_search(x, e)) < 0 || (rc = adapt(x, &again, e)) < 0)
        return rc;
    if (again && (rc = prim_edits_search(x, e)) < 0)
        return rc;
    if ((rc = judge(x, e)) < 0 || (rc = write_new(p, x, at, &st, e)) < 0)
        return rc;
    tell(p, x, at);
    return 0;
}

int prim_edit(struct prim *p, struct err *e)
{
    static struct prim_place at;
    struct edits x = {.fd = -1};
    struct diff diff = {0};
    int rc = prim_locate(p, json_str(json_get(p->in, "path")), true, &at, e);
    if (rc == 0)
        rc = gather(&x, p, &diff, e);
    if (rc == 0)
        rc = edit(p, &x, &at, e);
    edits_fini(&x);
    diff_fini(&diff);
    return rc;
}
