// journal_item.c: the calls of a journal as blocks of their own: what the caller gave is copied
// once, and may be moved to another thread.
// SPDX-License-Identifier: Apache-2.0
#include "adapters/journal_item.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { RUN_SLICES = 12 };

// The slices of a row, to be counted and copied alike.
static void slices_of(struct journal_run *run, struct bytes *ret[RUN_SLICES])
{
    struct bytes *all[RUN_SLICES] = {&run->id,    &run->namespace, &run->name,    &run->version,
                                     &run->plan,  &run->status,    &run->listens, &run->parent,
                                     &run->label, &run->by,        &run->queue,   &run->note};
    memcpy(ret, all, sizeof all);
}

size_t journal_run_bytes(const struct journal_run *run)
{
    struct journal_run copy = *run;
    struct bytes *s[RUN_SLICES];
    size_t n = 0;
    slices_of(&copy, s);
    for (size_t i = 0; i < RUN_SLICES; i++)
        n += s[i]->n;
    return n;
}

static struct bytes copied(char **to, struct bytes s)
{
    struct bytes copy = {*to, s.n};
    if (s.n)
        memcpy(*to, s.p, s.n);
    *to += s.n;
    return copy;
}

static struct bytes put(char **to, struct bytes s)
{
    return s.p ? copied(to, s) : BYTES_NONE;
}

void journal_run_copy(struct journal_run *to, const struct journal_run *run, char **text)
{
    struct bytes *s[RUN_SLICES];
    *to = *run;
    to->owner = BYTES_NONE;
    slices_of(to, s);
    for (size_t i = 0; i < RUN_SLICES; i++)
        *s[i] = put(text, *s[i]);
}

// ---- writes -------------------------------------------------------------------------------------

static int check_change(const struct journal_change *x, struct err *e)
{
    if (!x->run.n || x->run.n > JOURNAL_ID_MAX)
        return err_set(e, E_INVALID, "journal: a run's id has 1 to %d bytes", JOURNAL_ID_MAX);
    if (x->create && (!x->row || x->expect))
        return err_set(e, E_INVALID, "journal: a new run needs a row and expects nothing");
    if (x->row && x->row->id.n && !bytes_eq(x->row->id, x->run))
        return err_set(e, E_INVALID, "journal: the row of run %.*s has another id",
                       BYTES_FMT(x->run));
    if (x->expect + x->entry_count > JOURNAL_NUMBER_MAX)
        return err_set(e, E_INVALID, "journal: run %.*s has too many entries", BYTES_FMT(x->run));
    for (size_t i = 0; i < x->entry_count; i++)
        if (bytes_chr(x->entries[i], '\n') >= 0)
            return err_set(e, E_INVALID, "journal: an entry of run %.*s has a line break",
                           BYTES_FMT(x->run));
    return 0;
}

static int check_write(const struct journal_write *w, struct err *e)
{
    if (!w->change_count && !w->put_count && !w->doc_hash.n)
        return err_set(e, E_INVALID, "journal: nothing to write");
    for (size_t i = 0; i < w->change_count; i++) {
        int rc = check_change(&w->changes[i], e);
        if (rc)
            return rc;
    }
    for (size_t i = 0; i < w->put_count; i++)
        if (!w->puts[i].key.n || w->puts[i].key.n > JOURNAL_KEY_MAX)
            return err_set(e, E_INVALID, "journal: a key has 1 to %d bytes", JOURNAL_KEY_MAX);
    if (w->doc_hash.n > JOURNAL_KEY_MAX || (w->doc.n && !w->doc_hash.n))
        return err_set(e, E_INVALID, "journal: a document is kept by its hash");
    return 0;
}

static void count(const struct journal_write *w, size_t *text, size_t *entries, size_t *rows)
{
    *text = w->doc_hash.n + w->doc.n;
    *entries = *rows = 0;
    for (size_t i = 0; i < w->change_count; i++) {
        const struct journal_change *x = &w->changes[i];
        *text += x->run.n + (x->row ? journal_run_bytes(x->row) : 0);
        *entries += x->entry_count;
        *rows += x->row != NULL;
        for (size_t k = 0; k < x->entry_count; k++)
            *text += x->entries[k].n + 1;
    }
    for (size_t i = 0; i < w->put_count; i++)
        *text += w->puts[i].key.n + w->puts[i].value.n;
}

static void copy_write(struct journal_item *x, const struct journal_write *w, size_t entries,
                       size_t rows)
{
    struct journal_change *changes = (struct journal_change *)(void *)(x + 1);
    struct journal_run *run = (struct journal_run *)(void *)(changes + w->change_count);
    struct journal_put *puts = (struct journal_put *)(void *)(run + rows);
    struct bytes *entry = (struct bytes *)(void *)(puts + w->put_count);
    char *text = (char *)(entry + entries);
    x->write = (struct journal_write){changes,      w->change_count,         puts,
                                      w->put_count, put(&text, w->doc_hash), put(&text, w->doc)};
    for (size_t i = 0; i < w->change_count; i++) {
        changes[i] = w->changes[i];
        changes[i].run = put(&text, changes[i].run);
        changes[i].entries = entry;
        for (size_t k = 0; k < changes[i].entry_count; k++) {
            *entry++ = copied(&text, w->changes[i].entries[k]);
            *text++ = '\n';
        }
        if (!changes[i].row)
            continue;
        journal_run_copy(run, changes[i].row, &text);
        run->id = changes[i].run;
        changes[i].row = run++;
    }
    for (size_t i = 0; i < w->put_count; i++)
        puts[i] = (struct journal_put){put(&text, w->puts[i].key), put(&text, w->puts[i].value)};
}

static struct journal_item *item_new(enum journal_kind kind, struct journal_req *r, size_t extra)
{
    struct journal_item *x = mem_alloc(sizeof *x + extra);
    if (!x)
        return NULL;
    memset(x, 0, sizeof *x);
    list_init(&x->link);
    x->kind = kind;
    x->r = r;
    x->bytes = sizeof *x + extra;
    return x;
}

int journal_item_write(const struct journal_write *w, struct journal_req *r, size_t bytes_max,
                       struct journal_item **ret, struct err *e)
{
    size_t text, entries, rows;
    int rc = check_write(w, e);
    if (rc)
        return rc;
    count(w, &text, &entries, &rows);
    size_t extra = w->change_count * sizeof *w->changes + rows * sizeof(struct journal_run) +
                   w->put_count * sizeof *w->puts + entries * sizeof(struct bytes) + text;
    if (sizeof **ret + extra > bytes_max)
        return err_set(e, E_TOOBIG, "journal: a write of %zu bytes, at most %zu", text, bytes_max);
    struct journal_item *x = item_new(JOURNAL_WRITE, r, extra);
    if (!x)
        return err_set(e, E_NOMEM, "journal");
    x->entries = entries;
    copy_write(x, w, entries, rows);
    *ret = x;
    return 0;
}

struct bytes journal_change_lines(const struct journal_change *x)
{
    if (!x->entry_count)
        return BYTES_NONE;
    const struct bytes *last = &x->entries[x->entry_count - 1];
    return (struct bytes){x->entries[0].p, (size_t)(last->p + last->n - x->entries[0].p)};
}

// ---- the others ---------------------------------------------------------------------------------

struct journal_item *journal_item_read(const struct journal_read *a, struct journal_req *r)
{
    struct journal_item *x = item_new(JOURNAL_READ, r, a->run.n);
    if (!x)
        return NULL;
    char *text = (char *)(x + 1);
    x->read = *a;
    x->read.run = put(&text, a->run);
    return x;
}

struct journal_item *journal_item_list(const struct journal_list *a, struct journal_req *r)
{
    struct journal_item *x = item_new(
        JOURNAL_LIST, r, a->namespace.n + a->name.n + a->status.n + a->parent.n + a->after.n);
    if (!x)
        return NULL;
    char *text = (char *)(x + 1);
    x->list = *a;
    x->list.namespace = put(&text, a->namespace);
    x->list.name = put(&text, a->name);
    x->list.status = put(&text, a->status);
    x->list.parent = put(&text, a->parent);
    x->list.after = put(&text, a->after);
    return x;
}

struct journal_item *journal_item_keys(const struct journal_keys *a, struct journal_req *r)
{
    struct journal_item *x = item_new(JOURNAL_KEYS, r, a->prefix.n);
    if (!x)
        return NULL;
    char *text = (char *)(x + 1);
    x->keys = *a;
    x->keys.prefix = put(&text, a->prefix);
    return x;
}

struct journal_item *journal_item_doc(struct bytes hash,
                                      void (*on_doc)(void *user, struct bytes text), void *user,
                                      struct journal_req *r)
{
    struct journal_item *x = item_new(JOURNAL_DOC, r, hash.n);
    if (!x)
        return NULL;
    char *text = (char *)(x + 1);
    x->doc.hash = put(&text, hash);
    x->doc.on_doc = on_doc;
    x->doc.user = user;
    return x;
}

struct journal_item *journal_item_take(const char *from, struct journal_req *r)
{
    size_t n = from ? strlen(from) + 1 : 0;
    struct journal_item *x = item_new(JOURNAL_TAKE, r, n);
    if (!x)
        return NULL;
    x->take.nobody = !from;
    if (from)
        x->take.from = memcpy(x + 1, from, n);
    return x;
}

struct journal_item *journal_item_prune(struct journal_req *r)
{
    return item_new(JOURNAL_PRUNE, r, 0);
}

int journal_item_fail(struct journal_item *x, int status, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(x->why, sizeof x->why, fmt, ap);
    va_end(ap);
    x->status = status;
    return status;
}
