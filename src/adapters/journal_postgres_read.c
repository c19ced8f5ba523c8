// journal_postgres_read.c: reading a journal in PostgreSQL, piece by piece through a cursor.
// SPDX-License-Identifier: Apache-2.0
#include "adapters/journal_postgres_priv.h"
#include <stdio.h>
#include <string.h>

#define RUNS_AT_ONCE 512
#define ROWS_AT_ONCE 64
enum { PARAMS = 10 };

struct question { // SQL with its parameters
    char sql[1400];
    size_t n;
    struct pq_param params[PARAMS];
    char numbers[PARAMS][24];
    int count;
    bool bad; // a text that PostgreSQL cannot have: nothing is like it
};

static void say(struct question *q, const char *text)
{
    int n = snprintf(q->sql + q->n, sizeof q->sql - q->n, "%s", text);
    q->n += n > 0 ? (size_t)n : 0;
}

// The condition has %d where the parameter's number goes.
static void also(struct question *q, const char *before, const char *after, struct pq_param p)
{
    char number[16];
    q->params[q->count++] = p;
    (void)snprintf(number, sizeof number, "$%d", q->count);
    say(q, before);
    say(q, number);
    say(q, after);
}

static void also_text(struct question *q, const char *before, struct bytes text)
{
    q->bad |= !bytes_is_utf8(text) || bytes_chr(text, 0) >= 0;
    also(q, before, "::text", pq_text(text));
}

static void also_number(struct question *q, const char *before, int64_t value)
{
    char *to = q->numbers[q->count];
    int n = snprintf(to, sizeof q->numbers[0], "%lld", (long long)value);
    also(q, before, "::bigint", pq_text((struct bytes){to, (size_t)n}));
}

static void ask_entries(struct question *q, const struct journal_read *a, int64_t key)
{
    say(q, "SELECT first,count,lines FROM plexus.entries");
    also_number(q, " WHERE run=", key);
    also_number(q, " AND first<=", (int64_t)a->to);
    also_number(q, " AND first+count>", (int64_t)a->from);
    say(q, " ORDER BY first");
}

static void ask_runs(struct question *q, const struct journal_list *a, const char *owner,
                     int64_t after)
{
    say(q, "SELECT id,namespace,name,version,plan,status,listens,parent,label,by,queue,note,owner,"
           "open,busy,started_ms,closed_ms,wake_ms,parent_ticket,chapter,last"
           " FROM plexus.runs WHERE true");
    say(q, a->open_only ? " AND open" : "");
    say(q, a->closed_only ? " AND NOT open" : "");
    say(q, a->busy_only ? " AND busy AND open" : "");
    if (a->mine)
        also_text(q, " AND owner=", bytes_of(owner));
    if (a->namespace.n)
        also_text(q, " AND namespace=", a->namespace);
    if (a->name.n)
        also_text(q, " AND name=", a->name);
    if (a->status.n)
        also_text(q, " AND status=", a->status);
    if (a->parent.n)
        also_text(q, " AND parent<>'' AND parent=", a->parent);
    if (a->wake_before_ms)
        also_number(q, " AND wake_ms<", a->wake_before_ms);
    if (a->after.n)
        also_number(q, a->oldest_first ? " AND key>" : " AND key<", after);
    say(q, a->oldest_first ? " ORDER BY key" : " ORDER BY key DESC");
    if (a->limit)
        also_number(q, " LIMIT ", (int64_t)a->limit);
}

static void ask_keys(struct question *q, struct bytes prefix)
{
    say(q, "SELECT key,value FROM plexus.keys");
    if (prefix.n) {
        also(q, " WHERE key>=", "::bytea", pq_bytes(prefix));
        also(q, " AND substring(key FROM 1 FOR octet_length($1::bytea))=", "::bytea",
             pq_bytes(prefix));
    }
    say(q, " ORDER BY key");
}

static void ask_doc(struct question *q, struct bytes hash)
{
    say(q, "SELECT convert_to(hash,'UTF8'),doc FROM plexus.docs");
    also_text(q, " WHERE hash=", hash);
}

// ---- beginning ----------------------------------------------------------------------------------

static int key_of(struct pq *p, struct bytes id, int64_t *ret_key, int64_t *ret_last,
                  int64_t *ret_chapter, struct err *e)
{
    struct pq_param param = pq_text(id);
    size_t rows = 0;
    int rc = !bytes_is_utf8(id) || bytes_chr(id, 0) >= 0
                 ? 0
                 : pq_ask(p, "SELECT key,last,chapter FROM plexus.runs WHERE id=$1::text", &param,
                          1, &rows, e);
    if (!rc && !rows)
        return err_set(e, E_NOTFOUND, "there is no run %.*s", BYTES_FMT(id));
    if (rc)
        return rc;
    *ret_key = pq_number(p, 0, 0);
    *ret_last = pq_number(p, 0, 1);
    *ret_chapter = pq_number(p, 0, 2);
    return 0;
}

static int compose(struct journal_postgres_reader *r, struct journal_item *x, struct question *q,
                   struct err *e)
{
    int64_t key = 0, last = 0, chapter = 0;
    int rc = 0;
    say(q, "DECLARE c NO SCROLL CURSOR FOR ");
    if (x->kind == JOURNAL_READ) {
        rc = key_of(r->pq, x->read.run, &key, &last, &chapter, e);
        if (!x->read.from)
            x->read.from = chapter ? (uint64_t)chapter : 1;
        if (!x->read.to || x->read.to > (uint64_t)last)
            x->read.to = (uint64_t)last;
        ask_entries(q, &x->read, key);
        q->bad = x->read.from > x->read.to;
    } else if (x->kind == JOURNAL_LIST) {
        if (x->list.after.n)
            rc = key_of(r->pq, x->list.after, &key, &last, &chapter, e);
        ask_runs(q, &x->list, r->base.journal->core.args.owner, key);
    } else if (x->kind == JOURNAL_KEYS) {
        ask_keys(q, x->keys.prefix);
    } else {
        ask_doc(q, x->doc.hash);
    }
    return rc;
}

static int begin(struct journal_postgres_reader *r, struct journal_item *x, struct err *e)
{
    struct question q = {.n = 0};
    int rc = pq_exec(r->pq, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", e);
    if (!rc)
        rc = compose(r, x, &q, e);
    if (!rc && q.bad)
        r->base.piece.last = true;
    return rc || q.bad ? rc : pq_ask(r->pq, q.sql, q.params, q.count, NULL, e);
}

// ---- rows ---------------------------------------------------------------------------------------

static int keep_bytes(struct journal_postgres_reader *r, size_t row, int column, struct bytes *ret,
                      struct err *e)
{
    struct bytes hex = pq_value(r->pq, row, column);
    char *to = arena_alloc(r->base.piece.text, hex.n / 2 + 1);
    if (!to)
        return err_set(e, E_NOMEM, "journal");
    *ret = pq_unhex(hex, to);
    return 0;
}

static int keep_run(struct journal_postgres_reader *r, size_t row, struct journal_run *run,
                    struct err *e)
{
    struct pq *p = r->pq;
    struct bytes *const texts[] = {&run->id,    &run->namespace, &run->name,    &run->version,
                                   &run->plan,  &run->status,    &run->listens, &run->parent,
                                   &run->label, &run->by,        &run->queue,   &run->note,
                                   &run->owner};
    int rc = 0;
    for (int i = 0; !rc && i < 13; i++)
        rc = journal_piece_keep(&r->base.piece, pq_value(p, row, i), texts[i], e);
    run->open = bytes_is(pq_value(p, row, 13), "t");
    run->busy = bytes_is(pq_value(p, row, 14), "t");
    run->started_ms = pq_number(p, row, 15);
    run->closed_ms = pq_number(p, row, 16);
    run->wake_ms = pq_value(p, row, 17).p ? pq_number(p, row, 17) : TIME_NEVER;
    run->parent_ticket = (uint64_t)pq_number(p, row, 18);
    run->chapter = (uint64_t)pq_number(p, row, 19);
    run->last = (uint64_t)pq_number(p, row, 20);
    return rc;
}

static int keep_row(struct journal_postgres_reader *r, size_t row, struct err *e)
{
    struct journal_piece *p = &r->base.piece;
    struct journal_row *to = &p->rows[p->count];
    if (r->base.item->kind == JOURNAL_LIST)
        return keep_run(r, row, &p->runs[p->count], e);
    if (r->base.item->kind == JOURNAL_READ) {
        to->number = (uint64_t)pq_number(r->pq, row, 0);
        to->count = (unsigned)pq_number(r->pq, row, 1);
        return keep_bytes(r, row, 2, &to->value, e);
    }
    int rc = keep_bytes(r, row, 0, &to->key, e);
    return rc ? rc : keep_bytes(r, row, 1, &to->value, e);
}

static int fetch(struct journal_postgres_reader *r, struct err *e)
{
    struct journal_piece *p = &r->base.piece;
    size_t most = r->base.item->kind == JOURNAL_LIST ? RUNS_AT_ONCE : ROWS_AT_ONCE, rows = 0;
    char sql[40];
    (void)snprintf(sql, sizeof sql, "FETCH %zu FROM c", most);
    int rc = pq_ask(r->pq, sql, NULL, 0, &rows, e);
    for (size_t i = 0; !rc && i < rows; i++) {
        rc = keep_row(r, i, e);
        p->count += !rc;
    }
    p->last = rows < most;
    return rc;
}

static int connect(struct journal_postgres_reader *r, struct err *e)
{
    return r->pq ? 0 : pq_open(&r->pq, &journal_postgres_of(r->base.journal)->pq, e);
}

static int connect_and_begin(struct journal_postgres_reader *r, struct err *e)
{
    bool was = r->pq != NULL;
    int rc = connect(r, e);
    if (!rc)
        rc = begin(r, r->base.item, e);
    if (rc != E_UNAVAILABLE || !was || !pq_lost(r->pq))
        return rc;
    pq_close(r->pq); // lost since it was used last
    r->pq = NULL;
    rc = connect(r, e);
    return rc ? rc : begin(r, r->base.item, e);
}

static int gather(struct journal_postgres_reader *r, struct err *e)
{
    int rc = r->base.begun ? 0 : connect_and_begin(r, e);
    return rc || r->base.piece.last ? rc : fetch(r, e);
}

int journal_postgres_gather(struct journal_reader *base, struct err *e)
{
    struct journal_postgres_reader *r = (struct journal_postgres_reader *)(void *)base;
    int rc = base->item ? gather(r, e) : 0;
    base->piece.last |= !base->item;
    if ((rc || base->piece.last) && r->pq && pq_exec(r->pq, "ROLLBACK", NULL)) { // it only read
        pq_close(r->pq);
        r->pq = NULL;
    }
    return rc;
}

void journal_postgres_close_reader(struct journal_reader *base)
{
    pq_close(((struct journal_postgres_reader *)(void *)base)->pq);
}
