// doc_find.c: findings about a document: each with its place, its task and how to mend it.
// SPDX-License-Identifier: Apache-2.0
#include "flow/doc_priv.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POINTER_MAX (64u << 10)

void doc_pointer(struct buf *out, const struct doc_at *at)
{
    if (!at)
        return;
    doc_pointer(out, at->up);
    (void)buf_chr(out, '/');
    if (!at->key.p) {
        (void)buf_u64(out, at->index);
        return;
    }
    for (size_t i = 0; i < at->key.n; i++) {
        if (at->key.p[i] == '~')
            (void)buf_str(out, "~0");
        else if (at->key.p[i] == '/')
            (void)buf_str(out, "~1");
        else
            (void)buf_chr(out, at->key.p[i]);
    }
}

char *doc_pointer_in(struct doc_work *w, const struct doc_at *at)
{
    struct buf out;
    buf_init(&out, POINTER_MAX);
    doc_pointer(&out, at);
    char *text = out.failed ? NULL : arena_str(w->arena, buf_bytes(&out));
    if (!text && !w->failed)
        w->failed = out.failed ? out.failed : E_NOMEM;
    buf_fini(&out);
    return text;
}

void doc_too_many(struct doc_work *w, const char *why)
{
    if (w->failed)
        return;
    w->failed = E_TOOBIG;
    w->why = why;
}

void *doc_alloc(struct doc_work *w, size_t n)
{
    void *p = arena_zalloc(w->arena, n);
    if (!p && !w->failed)
        w->failed = arena_used(w->arena) + n > FLOW_PLAN_BYTES_MAX ? E_TOOBIG : E_NOMEM;
    return p;
}

static void put(struct doc_work *w, struct bytes pointer, bool key, const char *fmt, va_list ap)
{
    struct flow_findings *all = w->findings;
    struct yaml_pos pos = {0, 0};
    if (all->count == FLOW_FINDINGS_MAX) {
        w->more++;
        return;
    }
    struct flow_finding *f = &all->at[all->count++];
    if (w->yaml && !w->foreign)
        pos = yaml_where(w->yaml, pointer, key);
    *f = (struct flow_finding){.line = pos.line, .column = pos.column};
    (void)snprintf(f->task, sizeof f->task, "%s", w->task ? w->task : "");
    (void)snprintf(f->pointer, sizeof f->pointer, "%.*s", BYTES_FMT(pointer));
    (void)vsnprintf(f->message, sizeof f->message, fmt, ap);
}

void doc_find_pointer(struct doc_work *w, struct bytes pointer, bool key, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    put(w, pointer, key, fmt, ap);
    va_end(ap);
}

void doc_find(struct doc_work *w, const struct doc_at *at, bool key, const char *fmt, ...)
{
    struct buf pointer;
    va_list ap;
    buf_init(&pointer, POINTER_MAX);
    doc_pointer(&pointer, at);
    va_start(ap, fmt);
    put(w, buf_bytes(&pointer), key, fmt, ap);
    va_end(ap);
    buf_fini(&pointer);
}

static int by_place(const void *a, const void *b)
{
    const struct flow_finding *x = a, *y = b;
    if (x->line != y->line)
        return x->line < y->line ? -1 : 1;
    if (x->column != y->column)
        return x->column < y->column ? -1 : 1;
    int order = strcmp(x->pointer, y->pointer);
    return order ? order : strcmp(x->message, y->message);
}

int doc_findings_end(struct doc_work *w, int code, struct err *e)
{
    struct flow_findings *all = w->findings;
    size_t kept = 0;
    if (w->failed == E_TOOBIG)
        return err_set(e, w->failed, "%s",
                       w->why ? w->why : "the document needs more memory than a plan may have");
    if (w->failed)
        return err_set(e, w->failed, "no memory for the plan");
    if (!all->count)
        return 0;
    qsort(all->at, all->count, sizeof all->at[0], by_place);
    for (size_t i = 0; i < all->count; i++)
        if (!kept || by_place(&all->at[kept - 1], &all->at[i]) != 0)
            all->at[kept++] = all->at[i];
    all->count = kept;
    const struct flow_finding *f = &all->at[0];
    char more[48] = "";
    if (kept + w->more > 1)
        (void)snprintf(more, sizeof more, " (and %zu more)", kept + w->more - 1);
    if (f->line)
        return err_set(e, code, "line %u, column %u%s%s%s: %s%s", f->line, f->column,
                       f->task[0] ? ", task \"" : "", f->task, f->task[0] ? "\"" : "", f->message,
                       more);
    return err_set(e, code, "%s: %s%s", f->pointer, f->message, more);
}

// Edit distance, cut at a third of the name: what is further away is not meant.
static size_t distance(struct bytes a, struct bytes b)
{
    size_t row[65];
    if (a.n > 64 || b.n > 64)
        return SIZE_MAX;
    for (size_t j = 0; j <= b.n; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.n; i++) {
        size_t corner = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.n; j++) {
            size_t up = row[j], best = corner + (a.p[i - 1] != b.p[j - 1]);
            if (up + 1 < best)
                best = up + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
            corner = up;
        }
    }
    return row[b.n];
}

const char *doc_nearest(const struct doc_work *w, const struct val *names, struct bytes name)
{
    const char *best = NULL;
    size_t least = name.n / 3 + 2, at = 0;
    struct bytes key;
    struct val *item;
    if (w->findings->count == FLOW_FINDINGS_MAX)
        return NULL; // nobody will read it
    while (val_each(names, &at, &key, &item)) {
        struct bytes one = key.p ? key : val_bytes(item);
        size_t far = one.p ? distance(one, name) : SIZE_MAX;
        if (far < least) {
            least = far;
            best = one.p;
        }
    }
    return best;
}
