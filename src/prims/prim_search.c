// prim_search.c: where the old texts of edits are in a file, read in blocks that overlap by the
// longest of them: memory does not grow with the file. SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "prims/prim_edit_priv.h"

#include <stdlib.h>
#include <string.h>

struct window {
    char *p;
    size_t n, cap;
    uint64_t at, line; // of its first byte
    bool last;         // it ends with the file
    bool starts_line;  // its first byte begins a line
};

static int add_place(struct edits *x, struct edit_place place, struct err *e)
{
    if (x->places == x->places_cap) {
        size_t cap = x->places_cap ? 2 * x->places_cap : 64;
        struct edit_place *more =
            cap <= PLACES_MAX * 2 ? mem_realloc(x->place, cap * sizeof *more) : NULL;
        if (!more)
            return err_set(e, E_TOOBIG, "the old text is there more than %d times", PLACES_MAX);
        x->place = more;
        x->places_cap = cap;
    }
    x->place[x->places++] = place;
    return 0;
}

static uint64_t newlines(const char *from, const char *to)
{
    uint64_t n = 0;
    while (from < to && (from = memchr(from, '\n', (size_t)(to - from))) != NULL) {
        n++;
        from++;
    }
    return n;
}

// A hunk is whole lines.
static bool is_lines(const struct edits *x, const struct window *w, const struct edit *d, size_t at)
{
    bool starts = at == 0 ? w->starts_line : w->p[at - 1] == '\n';
    bool ends = d->old.p[d->old.n - 1] == '\n' || w->at + at + d->old.n == x->size;
    return starts && ends;
}

// All places of one edit whose first byte is before `until`.
static int search_one(struct edits *x, const struct window *w, size_t i, size_t until,
                      struct err *e)
{
    struct edit *d = &x->edit[i];
    const char *counted = w->p, *at = w->p;
    uint64_t line = w->line;
    while ((at = memmem(at, (size_t)(w->p + w->n - at), d->old.p, d->old.n)) != NULL) {
        size_t offset = (size_t)(at - w->p);
        if (offset >= until)
            break;
        line += newlines(counted, at);
        counted = at;
        // The last place of EDIT_ALL may reach over the start of this window.
        bool all = d->kind == EDIT_ALL, over = all && w->at + offset < d->end;
        if (!over && (d->kind != EDIT_NEAR || is_lines(x, w, d, offset))) {
            int rc = add_place(x, (struct edit_place){w->at + offset, line, d->old.n, i}, e);
            if (rc < 0)
                return rc;
            d->found++;
            d->end = w->at + offset + d->old.n;
        }
        at += all && !over ? d->old.n : 1;
    }
    return 0;
}

// Lines by number: their bytes are known when the scan passes their ends.
static int search_lines(struct edits *x, const struct window *w, size_t until, struct err *e)
{
    for (size_t i = 0; i < x->n; i++) {
        struct edit *d = &x->edit[i];
        if (d->kind != EDIT_LINES)
            continue;
        const char *at = w->p, *end = w->p + until;
        uint64_t line = w->line;
        for (;;) {
            bool begins = at == w->p ? w->starts_line : at[-1] == '\n';
            if (begins && line == d->first && d->found == 0 &&
                (at < end || w->at + until == x->size)) {
                int rc =
                    add_place(x, (struct edit_place){w->at + (size_t)(at - w->p), line, 0, i}, e);
                if (rc < 0)
                    return rc;
                d->found = 1;
            }
            const char *next = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
            bool stops = next || (w->last && at < end);
            const char *to = next ? next + 1 : end;
            for (size_t k = 0; stops && d->found == 1 && line <= d->last && k < x->places; k++) {
                if (x->place[k].edit == i)
                    x->place[k].n = w->at + (size_t)(to - w->p) - x->place[k].at;
            }
            if (!next)
                break;
            at = to;
            line++;
        }
    }
    return 0;
}

static int search_window(struct edits *x, const struct window *w, size_t until, struct err *e)
{
    int rc = search_lines(x, w, until, e);
    for (size_t i = 0; i < x->n && rc == 0; i++) {
        if (x->edit[i].kind != EDIT_LINES && x->edit[i].old.n > 0)
            rc = search_one(x, w, i, until, e);
    }
    return rc;
}

static int by_place(const void *a, const void *b)
{
    const struct edit_place *x = a, *y = b;
    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    return x->edit < y->edit ? -1 : x->edit > y->edit;
}

static void learn_ends(struct edits *x, const struct window *w)
{
    uint64_t all = newlines(w->p, w->p + w->n), with = 0;
    for (size_t i = 1; i < w->n; i++)
        with += w->p[i] == '\n' && w->p[i - 1] == '\r';
    x->crlf = all > 0 && with == all;
    x->lf = with == 0;
}

static int search(struct edits *x, struct window *w, size_t overlap, struct err *e)
{
    for (;;) {
        int n = prim_pread(x->fd, w->p + w->n, w->cap - w->n, w->at + w->n, e);
        if (n < 0)
            return n;
        w->n += (size_t)n;
        w->last = w->at + w->n >= x->size || n == 0;
        if (w->at == 0)
            learn_ends(x, w);
        size_t until = w->last ? w->n : w->n - overlap;
        int rc = search_window(x, w, until, e);
        if (rc < 0)
            return rc;
        uint64_t passed = newlines(w->p, w->p + until);
        x->lines += passed;
        if (w->last) {
            x->open_end = w->n > 0 && w->p[w->n - 1] != '\n';
            return 0;
        }
        w->line += passed;
        w->starts_line = w->p[until - 1] == '\n';
        w->at += until;
        memmove(w->p, w->p + until, w->n - until);
        w->n -= until;
    }
}

int prim_edits_search(struct edits *x, struct err *e)
{
    size_t longest = 1;
    for (size_t i = 0; i < x->n; i++) {
        x->edit[i].found = x->edit[i].end = 0;
        if (x->edit[i].old.n > longest)
            longest = x->edit[i].old.n;
    }
    x->places = 0;
    x->lines = 0;
    struct window w = {.cap = PRIM_BLOCK + longest, .line = 1, .starts_line = true};
    AUTO_MEM char *block = mem_alloc(w.cap);
    if (!block)
        return err_set(e, E_NOMEM, "no memory to read the file");
    w.p = block;
    int rc = search(x, &w, longest - 1, e);
    if (rc == 0 && x->places > 1)
        qsort(x->place, x->places, sizeof *x->place, by_place);
    return rc;
}
