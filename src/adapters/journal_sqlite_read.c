// journal_sqlite_read.c: reading a journal in SQLite, piece by piece, on a thread that may wait.
// SPDX-License-Identifier: Apache-2.0
#include "adapters/journal_sqlite_priv.h"
#include <stdio.h>
#include <string.h>

static int no_memory(struct err *e)
{
    return err_set(e, E_NOMEM, "journal");
}

// ---- histories ----------------------------------------------------------------------------------

static int damaged(const struct journal_item *x, struct err *e)
{
    return err_set(e, E_IO,
                   "journal: the history of run %.*s is damaged: an entry is missing; "
                   "mend: plexus doctor says more; put a backup in its place",
                   BYTES_FMT(x->read.run));
}

static int push(struct journal_sqlite_reader *r, uint64_t at, struct err *e)
{
    if (r->chain_n == r->chain_cap) {
        size_t cap = r->chain_cap ? r->chain_cap * 2 : 64;
        uint64_t *chain = mem_realloc(r->chain, cap * sizeof *chain);
        if (!chain)
            return no_memory(e);
        r->chain = chain;
        r->chain_cap = cap;
    }
    r->chain[r->chain_n++] = at;
    return 0;
}

// From the last row back to the one that has the first entry that is asked for.
static int follow(struct journal_sqlite_reader *r, struct journal_item *x, uint64_t tail,
                  uint64_t last, struct err *e)
{
    struct store_stmt *q = r->chain_row;
    uint64_t next = last + 1;
    int rc = 0;
    while (!rc && next > x->read.from) {
        store_u64(q, 1, tail);
        rc = store_step(q, e);
        if (rc <= 0)
            return rc < 0 ? rc : damaged(x, e);
        uint64_t at = tail, first = store_col_u64(q, 1), count = store_col_u64(q, 2);
        tail = store_col_u64(q, 0);
        store_reset(q);
        if (!first || !count || first + count != next)
            return damaged(x, e);
        rc = first <= x->read.to ? push(r, at, e) : 0;
        next = first;
    }
    return rc;
}

static int begin_history(struct journal_sqlite_reader *r, struct journal_item *x, struct err *e)
{
    struct store_stmt *q = r->find;
    store_text(q, 1, x->read.run);
    int rc = store_step(q, e);
    if (rc <= 0)
        return rc < 0 ? rc : err_set(e, E_NOTFOUND, "there is no run %.*s", BYTES_FMT(x->read.run));
    uint64_t last = store_col_u64(q, 0), tail = store_col_u64(q, 1), chapter = store_col_u64(q, 2);
    store_reset(q);
    if (!x->read.from)
        x->read.from = chapter ? chapter : 1;
    if (!x->read.to || x->read.to > last)
        x->read.to = last;
    r->chain_n = 0;
    return x->read.from <= x->read.to ? follow(r, x, tail, last, e) : 0;
}

static int gather_history(struct journal_sqlite_reader *r, struct journal_item *x, struct err *e)
{
    struct journal_piece *p = &r->base.piece;
    struct store_stmt *q = r->lines;
    while (r->chain_n > 0 && !journal_piece_full(p)) {
        struct journal_row *row = &p->rows[p->count];
        store_u64(q, 1, r->chain[r->chain_n - 1]);
        int rc = store_step(q, e);
        if (rc <= 0)
            return rc < 0 ? rc : damaged(x, e);
        row->number = store_col_u64(q, 0);
        row->count = (unsigned)store_col_u64(q, 1);
        rc = journal_piece_keep(p, store_col(q, 2), &row->value, e);
        store_reset(q);
        if (rc)
            return rc;
        p->count++;
        r->chain_n--;
    }
    p->last = r->chain_n == 0;
    return 0;
}

// ---- lists --------------------------------------------------------------------------------------

enum { LIST_VALUES = 7 };

struct where { // SQL with its values
    char sql[1200];
    size_t n;
    struct bytes texts[LIST_VALUES];
    int64_t numbers[LIST_VALUES]; // when the text is NULL
    int count;
};

static void say(struct where *w, const char *text)
{
    int n = snprintf(w->sql + w->n, sizeof w->sql - w->n, "%s", text);
    w->n += n > 0 ? (size_t)n : 0;
}

static void and_text(struct where *w, const char *condition, struct bytes text)
{
    if (!text.n)
        return;
    w->texts[w->count++] = text;
    say(w, condition);
}

static void and_number(struct where *w, const char *condition, int64_t number)
{
    w->numbers[w->count++] = number;
    say(w, condition);
}

static int key_of(struct journal_sqlite_reader *r, struct bytes id, int64_t *ret, struct err *e)
{
    struct store_stmt *q = NULL;
    int rc = store_prepare(r->store, "SELECT key FROM runs WHERE id=?1", &q, e);
    if (rc)
        return rc;
    store_text(q, 1, id);
    rc = store_step(q, e);
    if (rc == 0)
        return err_set(e, E_NOTFOUND, "there is no run %.*s", BYTES_FMT(id));
    if (rc > 0)
        *ret = store_col_i64(q, 0);
    store_reset(q);
    return rc < 0 ? rc : 0;
}

static void conditions(struct where *w, const struct journal_list *a)
{
    if (a->open_only)
        say(w, " AND open=1");
    if (a->closed_only)
        say(w, " AND open=0");
    if (a->busy_only)
        say(w, " AND busy=1 AND open=1");
    and_text(w, " AND namespace=?", a->namespace);
    and_text(w, " AND name=?", a->name);
    and_text(w, " AND status=?", a->status);
    and_text(w, " AND parent=? AND parent<>''", a->parent);
    if (a->wake_before_ms)
        and_number(w, " AND wake_ms IS NOT NULL AND wake_ms<?", a->wake_before_ms);
}

static int begin_list(struct journal_sqlite_reader *r, struct journal_item *x, struct err *e)
{
    const struct journal_list *a = &x->list;
    struct where w = {.n = 0};
    int64_t after = 0;
    int rc = a->after.n ? key_of(r, a->after, &after, e) : 0;
    if (rc)
        return rc;
    say(&w, "SELECT id,namespace,name,version,plan,status,listens,parent,label,by,queue,note,"
            "open,busy,started_ms,closed_ms,wake_ms IS NULL,wake_ms,parent_ticket,chapter,last"
            " FROM states s JOIN runs USING(key) WHERE 1=1");
    conditions(&w, a);
    if (a->after.n)
        and_number(&w, a->oldest_first ? " AND s.key>?" : " AND s.key<?", after);
    say(&w, a->oldest_first ? " ORDER BY s.key LIMIT ?" : " ORDER BY s.key DESC LIMIT ?");
    rc = store_prepare(r->store, w.sql, &r->step, e);
    for (int i = 0; !rc && i < w.count; i++) {
        if (w.texts[i].p)
            store_text(r->step, i + 1, w.texts[i]);
        else
            store_i64(r->step, i + 1, w.numbers[i]);
    }
    if (!rc)
        store_i64(r->step, w.count + 1, a->limit ? (int64_t)a->limit : -1);
    return rc;
}

static int keep_run(struct journal_sqlite_reader *r, struct journal_run *run, struct err *e)
{
    struct store_stmt *q = r->step;
    struct bytes *const texts[] = {&run->id,    &run->namespace, &run->name,    &run->version,
                                   &run->plan,  &run->status,    &run->listens, &run->parent,
                                   &run->label, &run->by,        &run->queue,   &run->note};
    int rc = 0;
    for (int i = 0; !rc && i < 12; i++)
        rc = journal_piece_keep(&r->base.piece, store_col(q, i), texts[i], e);
    run->open = store_col_i64(q, 12) != 0;
    run->busy = store_col_i64(q, 13) != 0;
    run->started_ms = store_col_i64(q, 14);
    run->closed_ms = store_col_i64(q, 15);
    run->wake_ms = store_col_i64(q, 16) ? TIME_NEVER : store_col_i64(q, 17);
    run->parent_ticket = store_col_u64(q, 18);
    run->chapter = store_col_u64(q, 19);
    run->last = store_col_u64(q, 20);
    run->owner = bytes_of(r->base.journal->core.args.owner);
    return rc;
}

static int gather_list(struct journal_sqlite_reader *r, struct err *e)
{
    struct journal_piece *p = &r->base.piece;
    int rc = 1;
    while (!journal_piece_full(p) && (rc = store_step(r->step, e)) > 0) {
        int failed = keep_run(r, &p->runs[p->count++], e);
        if (failed)
            return failed;
    }
    p->last = rc == 0;
    return rc < 0 ? rc : 0;
}

// ---- values and documents -----------------------------------------------------------------------

// The least key that comes after all that begin with this one: false when there is none.
static bool after_prefix(struct bytes prefix, char *out, size_t *n)
{
    memcpy(out, prefix.p, prefix.n);
    for (*n = prefix.n; *n > 0; *n -= 1) {
        if ((unsigned char)out[*n - 1] == 0xff)
            continue;
        out[*n - 1] = (char)(out[*n - 1] + 1);
        return true;
    }
    return false;
}

static int begin_keys(struct journal_sqlite_reader *r, struct journal_item *x, struct err *e)
{
    struct bytes prefix = x->keys.prefix, end = BYTES_NONE;
    char *to = arena_alloc(r->base.piece.text, prefix.n + 1);
    if (!to)
        return no_memory(e);
    if (prefix.n && after_prefix(prefix, to, &end.n))
        end.p = to;
    int rc =
        store_prepare(r->store,
                      end.p ? "SELECT key,value FROM keys WHERE key>=?1 AND key<?2 ORDER BY key"
                            : "SELECT key,value FROM keys WHERE key>=?1 ORDER BY key",
                      &r->step, e);
    if (rc)
        return rc;
    store_blob(r->step, 1, prefix.p ? prefix : BYTES(""));
    if (end.p)
        store_blob_copy(r->step, 2, end);
    return 0;
}

static int begin_doc(struct journal_sqlite_reader *r, struct journal_item *x, struct err *e)
{
    int rc = store_prepare(r->store, "SELECT hash,doc FROM docs WHERE hash=?1", &r->step, e);
    if (!rc)
        store_text(r->step, 1, x->doc.hash);
    return rc;
}

static int gather_rows(struct journal_sqlite_reader *r, struct err *e)
{
    struct journal_piece *p = &r->base.piece;
    int rc = 1;
    while (!journal_piece_full(p) && (rc = store_step(r->step, e)) > 0) {
        int failed = journal_piece_keep(p, store_col(r->step, 0), &p->rows[p->count].key, e);
        if (!failed)
            failed = journal_piece_keep(p, store_col(r->step, 1), &p->rows[p->count].value, e);
        if (failed)
            return failed;
        p->count++;
    }
    p->last = rc == 0;
    return rc < 0 ? rc : 0;
}

// ---- turns --------------------------------------------------------------------------------------

static int begin(struct journal_sqlite_reader *r, struct journal_item *x, struct err *e)
{
    int rc = store_begin_read(r->store, e);
    if (rc)
        return rc;
    switch (x->kind) {
    case JOURNAL_READ: return begin_history(r, x, e);
    case JOURNAL_LIST: return begin_list(r, x, e);
    case JOURNAL_KEYS: return begin_keys(r, x, e);
    case JOURNAL_DOC: return begin_doc(r, x, e);
    case JOURNAL_WRITE:
    case JOURNAL_PRUNE:
    case JOURNAL_TAKE: break;
    }
    return err_set(e, E_INTERNAL, "journal: this is no read");
}

static int connect(struct journal_sqlite_reader *r, struct err *e)
{
    static const char *const sql[] = {
        "SELECT last,tail,chapter FROM runs JOIN states USING(key) WHERE id=?1",
        "SELECT prev,first,count FROM entries WHERE at=?1",
        "SELECT first,count,lines FROM entries WHERE at=?1"};
    if (r->store)
        return 0;
    int rc = store_open_reader(&r->store, &journal_sqlite_of(r->base.journal)->store, e);
    if (!rc)
        rc = store_prepare(r->store, sql[0], &r->find, e);
    if (!rc)
        rc = store_prepare(r->store, sql[1], &r->chain_row, e);
    if (!rc)
        rc = store_prepare(r->store, sql[2], &r->lines, e);
    if (rc) {
        store_close(r->store);
        r->store = NULL;
    }
    return rc;
}

static void end(struct journal_sqlite_reader *r)
{
    if (!r->store)
        return;
    store_rollback(r->store);
    store_finish(r->step);
    r->step = NULL;
    r->chain_n = 0;
    if (r->chain_cap > 4096) { // a long one: its memory is not kept
        mem_free(r->chain);
        r->chain = NULL;
        r->chain_cap = 0;
    }
}

static int gather(struct journal_sqlite_reader *r, struct err *e)
{
    struct journal_item *x = r->base.item;
    int rc = connect(r, e);
    if (!rc && !r->base.begun)
        rc = begin(r, x, e);
    if (rc)
        return rc;
    return x->kind == JOURNAL_READ   ? gather_history(r, x, e)
           : x->kind == JOURNAL_LIST ? gather_list(r, e)
                                     : gather_rows(r, e);
}

int journal_sqlite_gather(struct journal_reader *base, struct err *e)
{
    struct journal_sqlite_reader *r = (struct journal_sqlite_reader *)(void *)base;
    int rc = base->item ? gather(r, e) : 0;
    base->piece.last |= !base->item;
    if (rc || base->piece.last)
        end(r);
    return rc;
}

void journal_sqlite_close_reader(struct journal_reader *base)
{
    struct journal_sqlite_reader *r = (struct journal_sqlite_reader *)(void *)base;
    end(r);
    store_close(r->store);
    mem_free(r->chain);
}
