// journal_sqlite_write.c: the file of a journal and its one writer.
// SPDX-License-Identifier: Apache-2.0
//
// Entries go to the end of one table, whatever run they are of, so that a commit of many runs
// touches few pages: a row for each change, with all its entries. The rows of a run are a chain:
// each knows the one before, and the run's state knows the last. (256 runs with two entries each
// in a commit: 4 times as fast as a table in the order of runs, 2 times as fast as an index
// beside.) What seldom changes of a run, and what changes at every step, are two tables for the
// same reason.
#include "adapters/journal_sqlite_priv.h"
#include <stdio.h>
#include <string.h>

#define KNOWN_MAX 65536
#define PRUNE_RUNS 64     // in one commit
#define PRUNE_ROWS 20000  // the same

static const char *const steps[] = {
    // 1
    "CREATE TABLE runs(key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, namespace TEXT NOT NULL,"
    " name TEXT NOT NULL, version TEXT NOT NULL, plan TEXT NOT NULL, parent TEXT NOT NULL,"
    " parent_ticket INTEGER NOT NULL, label TEXT NOT NULL, by TEXT NOT NULL, queue TEXT NOT NULL,"
    " started_ms INTEGER NOT NULL);"
    "CREATE INDEX runs_name ON runs(name, namespace);"
    "CREATE INDEX runs_parent ON runs(parent) WHERE parent<>'';"
    "CREATE INDEX runs_plan ON runs(plan);"
    "CREATE TABLE states(key INTEGER PRIMARY KEY, status TEXT NOT NULL, open INTEGER NOT NULL,"
    " busy INTEGER NOT NULL, closed_ms INTEGER NOT NULL, wake_ms INTEGER,"
    " chapter INTEGER NOT NULL, last INTEGER NOT NULL, tail INTEGER NOT NULL,"
    " listens TEXT NOT NULL, note TEXT NOT NULL);"
    "CREATE INDEX states_open ON states(key) WHERE open=1;"
    "CREATE INDEX states_busy ON states(key) WHERE busy=1;"
    "CREATE INDEX states_wake ON states(wake_ms) WHERE wake_ms IS NOT NULL;"
    "CREATE INDEX states_closed ON states(closed_ms) WHERE open=0;"
    "CREATE INDEX states_status ON states(status);"
    "CREATE TABLE entries(at INTEGER PRIMARY KEY, run INTEGER NOT NULL, prev INTEGER NOT NULL,"
    " first INTEGER NOT NULL, count INTEGER NOT NULL, lines TEXT NOT NULL);"
    "CREATE TABLE keys(key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE docs(hash TEXT PRIMARY KEY, doc TEXT NOT NULL);",
    NULL,
};
const struct store_schema journal_schema = {"journal", 0x706c786a /* "plxj" */, steps};

#define STATIC "namespace,name,version,plan,parent,parent_ticket,label,by,queue,started_ms"
static const char *const sql[SQL_COUNT_] = {
    [SQL_FIND] = "SELECT key,last,tail FROM runs JOIN states USING(key) WHERE id=?1",
    [SQL_CREATE] = "INSERT INTO runs(" STATIC ",id) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11)",
    [SQL_BEGIN_STATE] = "INSERT INTO states(key,last,tail,chapter,listens,note,status,open,busy,"
                        "closed_ms,wake_ms) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11)",
    [SQL_APPEND] = "INSERT INTO entries(run,prev,first,count,lines) VALUES(?1,?2,?3,?4,?5)",
    [SQL_LAST] = "UPDATE states SET last=?2,tail=?3 WHERE key=?1",
    [SQL_WARM] = "UPDATE states SET last=?2,tail=?3,chapter=?4,listens=?5,note=?6 WHERE key=?1",
    [SQL_FULL] = "UPDATE states SET last=?2,tail=?3,chapter=?4,listens=?5,note=?6,status=?7,"
                 "open=?8,busy=?9,closed_ms=?10,wake_ms=?11 WHERE key=?1",
    [SQL_RENAME] = "UPDATE runs SET(" STATIC ")=(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10) WHERE id=?11",
    [SQL_PUT] = "INSERT INTO keys(key,value) VALUES(?1,?2)"
                " ON CONFLICT(key) DO UPDATE SET value=excluded.value",
    [SQL_REMOVE] = "DELETE FROM keys WHERE key=?1",
    [SQL_DOC] = "INSERT INTO docs(hash,doc) VALUES(?1,?2) ON CONFLICT(hash) DO NOTHING",
    [SQL_COUNT_CLOSED] = "SELECT count(*) FROM states WHERE open=0 AND closed_ms<?1",
    [SQL_CLOSED] = "SELECT key,tail,id FROM states JOIN runs USING(key)"
                   " WHERE open=0 AND closed_ms<?1 ORDER BY closed_ms LIMIT 1",
    [SQL_CUT] = "DELETE FROM entries WHERE at=?1 RETURNING prev",
    [SQL_DROP_STATE] = "DELETE FROM states WHERE key=?1",
    [SQL_DROP_RUN] = "DELETE FROM runs WHERE key=?1",
    [SQL_DROP_DOCS] = "DELETE FROM docs WHERE NOT EXISTS(SELECT 1 FROM runs WHERE plan=hash) AND"
                      " NOT EXISTS(SELECT 1 FROM keys WHERE instr(value,CAST(hash AS BLOB))>0)",
};

// What the writer knows of a run without reading it again.
struct known_run {
    uint64_t key, last, tail;
    uint64_t texts, indexed; // hashes of what was written last, 0: not known
};

// ---- opening ------------------------------------------------------------------------------------

int journal_writer_open(struct journal_writer *w, const struct store_args *args, struct err *e)
{
    int rc = store_open(&w->store, args, e);
    if (!rc && !(w->known = map_new(SIZE_MAX)))
        rc = err_set(e, E_NOMEM, "journal");
    for (int i = 0; !rc && i < SQL_COUNT_; i++)
        rc = store_prepare(w->store, sql[i], &w->q[i], e);
    return rc;
}

static void forget(struct journal_writer *w)
{
    void *value;
    for (size_t at = 0; w->known && map_each(w->known, &at, NULL, &value);)
        mem_free(value);
    map_free(w->known);
    w->known = NULL;
}

void journal_writer_close(struct journal_writer *w)
{
    store_close(w->store);
    forget(w);
}

// ---- runs ---------------------------------------------------------------------------------------

static int remember(struct journal_writer *w, struct bytes id, const struct known_run *run,
                    struct known_run **ret, struct err *e)
{
    struct known_run *k = mem_new(struct known_run);
    if (!k || map_put(w->known, id, k, NULL)) {
        mem_free(k);
        return err_set(e, E_NOMEM, "journal");
    }
    *k = *run;
    *ret = k;
    return 0;
}

// *ret NULL: there is none.
static int find(struct journal_writer *w, struct bytes id, struct known_run **ret, struct err *e)
{
    struct store_stmt *q = w->q[SQL_FIND];
    *ret = map_get(w->known, id);
    if (*ret)
        return 0;
    store_text(q, 1, id);
    int rc = store_step(q, e);
    if (rc <= 0)
        return rc;
    struct known_run run = {
        .key = store_col_u64(q, 0), .last = store_col_u64(q, 1), .tail = store_col_u64(q, 2)};
    store_reset(q);
    return remember(w, id, &run, ret, e);
}

static uint64_t mix(uint64_t h, uint64_t value)
{
    h = (h ^ value) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}

// Never 0.
static uint64_t hash_texts(const struct journal_run *r)
{
    const struct bytes texts[] = {r->namespace, r->name,  r->version, r->plan,
                                  r->parent,    r->label, r->by,      r->queue};
    uint64_t h = mix(r->parent_ticket, (uint64_t)r->started_ms);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        h = mix(mix(h, texts[i].n), bytes_hash(texts[i]));
    return h | 1;
}

static uint64_t hash_indexed(const struct journal_run *r)
{
    uint64_t h = mix(bytes_hash(r->status), (uint64_t)r->closed_ms);
    return mix(mix(h, (uint64_t)r->wake_ms), (uint64_t)r->open << 1 | (uint64_t)r->busy) | 1;
}

static int put_texts(struct store_stmt *q, const struct journal_run *r, struct bytes id,
                     struct err *e)
{
    const struct bytes texts[] = {r->namespace, r->name, r->version, r->plan, r->parent};
    for (int i = 0; i < 5; i++)
        store_text(q, i + 1, texts[i]);
    store_u64(q, 6, r->parent_ticket);
    store_text(q, 7, r->label);
    store_text(q, 8, r->by);
    store_text(q, 9, r->queue);
    store_i64(q, 10, r->started_ms);
    store_text(q, 11, id);
    return store_run(q, e);
}

static int put_state(struct journal_writer *w, enum journal_sql which, const struct known_run *k,
                     const struct journal_run *r, struct err *e)
{
    struct store_stmt *q = w->q[which];
    store_u64(q, 1, k->key);
    store_u64(q, 2, k->last);
    store_u64(q, 3, k->tail);
    if (which != SQL_LAST) {
        store_u64(q, 4, r->chapter);
        store_text(q, 5, r->listens);
        store_text(q, 6, r->note);
    }
    if (which == SQL_FULL || which == SQL_BEGIN_STATE) {
        store_text(q, 7, r->status);
        store_i64(q, 8, r->open);
        store_i64(q, 9, r->busy);
        store_i64(q, 10, r->closed_ms);
        if (r->wake_ms == TIME_NEVER)
            store_blob(q, 11, BYTES_NONE);
        else
            store_i64(q, 11, r->wake_ms);
    }
    return store_run(q, e);
}

static int append(struct journal_writer *w, struct known_run *k, const struct journal_change *c,
                  struct err *e)
{
    struct store_stmt *q = w->q[SQL_APPEND];
    if (!c->entry_count)
        return 0;
    store_u64(q, 1, k->key);
    store_u64(q, 2, k->tail);
    store_u64(q, 3, c->expect + 1);
    store_u64(q, 4, c->entry_count);
    store_text(q, 5, journal_change_lines(c));
    int rc = store_run(q, e);
    k->tail = (uint64_t)store_last_rowid(w->store);
    k->last = c->expect + c->entry_count;
    return rc;
}

static int begin_run(struct journal_writer *w, const struct journal_change *c, struct err *e)
{
    struct known_run run = {.texts = hash_texts(c->row), .indexed = hash_indexed(c->row)}, *k;
    int rc = put_texts(w->q[SQL_CREATE], c->row, c->run, e);
    run.key = (uint64_t)store_last_rowid(w->store);
    if (!rc)
        rc = append(w, &run, c, e);
    if (!rc)
        rc = put_state(w, SQL_BEGIN_STATE, &run, c->row, e);
    return rc ? rc : remember(w, c->run, &run, &k, e);
}

static int change_run(struct journal_writer *w, const struct journal_change *c, struct err *e)
{
    struct known_run *k = NULL;
    int rc = find(w, c->run, &k, e);
    if (!rc && !k)
        return err_set(e, E_INTERNAL, "journal: run %.*s has gone", BYTES_FMT(c->run));
    if (!rc)
        rc = append(w, k, c, e);
    if (rc || !c->row)
        return rc ? rc : put_state(w, SQL_LAST, k, NULL, e);
    uint64_t texts = hash_texts(c->row), indexed = hash_indexed(c->row);
    if (k->texts != texts)
        rc = put_texts(w->q[SQL_RENAME], c->row, c->run, e);
    if (!rc)
        rc = put_state(w, k->indexed == indexed ? SQL_WARM : SQL_FULL, k, c->row, e);
    k->texts = texts;
    k->indexed = indexed;
    return rc;
}

// ---- writes -------------------------------------------------------------------------------------

// May this change be made after those before it of the same write? Its answer is in x.
static int check_change(struct journal_writer *w, struct journal_item *x, size_t i, struct err *e)
{
    const struct journal_change *c = &x->write.changes[i], *before = NULL;
    struct known_run *k = NULL;
    for (size_t n = 0; n < i; n++)
        if (bytes_eq(x->write.changes[n].run, c->run))
            before = &x->write.changes[n];
    int rc = find(w, c->run, &k, e);
    if (rc)
        return rc;
    uint64_t last = before ? before->expect + before->entry_count : k ? k->last : 0;
    if (c->create && (k || before))
        (void)journal_item_fail(x, E_EXISTS, "run %.*s is there", BYTES_FMT(c->run));
    else if (!c->create && !k && !before)
        (void)journal_item_fail(x, E_CONFLICT, "run %.*s is not there", BYTES_FMT(c->run));
    else if (c->expect != last)
        (void)journal_item_fail(x, E_CONFLICT, "run %.*s has %llu entries, not %llu",
                                BYTES_FMT(c->run), (unsigned long long)last,
                                (unsigned long long)c->expect);
    return 0;
}

static int put_value(struct journal_writer *w, const struct journal_put *p, struct err *e)
{
    struct store_stmt *q = w->q[p->value.p ? SQL_PUT : SQL_REMOVE];
    store_blob(q, 1, p->key);
    if (p->value.p)
        store_blob(q, 2, p->value);
    return store_run(q, e);
}

static int put_doc(struct journal_writer *w, const struct journal_write *a, struct err *e)
{
    struct store_stmt *q = w->q[SQL_DOC];
    store_text(q, 1, a->doc_hash);
    store_text(q, 2, a->doc);
    return store_run(q, e);
}

static int write_item(struct journal_writer *w, struct journal_item *x, struct err *e)
{
    const struct journal_write *a = &x->write;
    int rc = 0;
    for (size_t i = 0; !rc && !x->status && i < a->change_count; i++)
        rc = check_change(w, x, i, e);
    if (rc || x->status)
        return rc;
    for (size_t i = 0; !rc && i < a->change_count; i++)
        rc = a->changes[i].create ? begin_run(w, &a->changes[i], e)
                                  : change_run(w, &a->changes[i], e);
    for (size_t i = 0; !rc && i < a->put_count; i++)
        rc = put_value(w, &a->puts[i], e);
    return rc || !a->doc_hash.n ? rc : put_doc(w, a, e);
}

// ---- pruning ------------------------------------------------------------------------------------

static int cut_chain(struct journal_writer *w, uint64_t tail, size_t *rows, struct err *e)
{
    struct store_stmt *q = w->q[SQL_CUT];
    int rc = 1;
    while (tail && rc > 0) {
        store_u64(q, 1, tail);
        rc = store_step(q, e);
        tail = rc > 0 ? store_col_u64(q, 0) : 0;
        if (rc > 0)
            store_reset(q);
        *rows += 1;
    }
    return rc < 0 ? rc : 0; // a row that is not there: the chain's end
}

static int drop(struct journal_writer *w, enum journal_sql which, uint64_t key, struct err *e)
{
    store_u64(w->q[which], 1, key);
    return store_run(w->q[which], e);
}

// 1: one was removed, 0: there is none.
static int drop_oldest(struct journal_writer *w, int64_t before_ms, size_t *rows, struct err *e)
{
    struct store_stmt *q = w->q[SQL_CLOSED];
    store_i64(q, 1, before_ms);
    int rc = store_step(q, e);
    if (rc <= 0)
        return rc;
    uint64_t key = store_col_u64(q, 0), tail = store_col_u64(q, 1);
    mem_free(map_del(w->known, store_col(q, 2)));
    store_reset(q);
    rc = cut_chain(w, tail, rows, e);
    if (!rc)
        rc = drop(w, SQL_DROP_STATE, key, e);
    if (!rc)
        rc = drop(w, SQL_DROP_RUN, key, e);
    return rc ? rc : 1;
}

static int count_closed(struct journal_writer *w, struct journal_item *x, struct err *e)
{
    struct store_stmt *q = w->q[SQL_COUNT_CLOSED];
    store_i64(q, 1, x->prune.before_ms);
    int rc = store_step(q, e);
    if (rc <= 0)
        return rc;
    uint64_t n = store_col_u64(q, 0);
    store_reset(q);
    x->prune.count = n < x->prune.limit ? n : x->prune.limit;
    return 0;
}

static int prune_item(struct journal_writer *w, struct journal_item *x, struct err *e)
{
    size_t rows = 0;
    int rc = 1;
    if (x->prune.dry)
        return count_closed(w, x, e);
    for (size_t n = 0; x->prune.count < x->prune.limit; n++) {
        x->again = n == PRUNE_RUNS || rows > PRUNE_ROWS;
        if (x->again)
            return 0;
        rc = drop_oldest(w, x->prune.before_ms, &rows, e);
        if (rc <= 0)
            break;
        x->prune.count++;
    }
    return rc < 0 ? rc : store_run(w->q[SQL_DROP_DOCS], e);
}

// ---- commits ------------------------------------------------------------------------------------

static int apply(struct journal_writer *w, struct list *items, struct err *e)
{
    int rc = 0;
    list_each (it, items) {
        struct journal_item *x = container_of(it, struct journal_item, link);
        if (x->kind == JOURNAL_WRITE)
            rc = write_item(w, x, e);
        else if (x->kind == JOURNAL_PRUNE)
            rc = prune_item(w, x, e);
        else
            (void)journal_item_fail(x, E_UNSUPPORTED, "this journal has one owner");
        if (rc)
            return rc;
    }
    return 0;
}

int journal_writer_commit(struct journal_writer *w, struct list *items, struct err *e)
{
    if (w->known && map_count(w->known) > KNOWN_MAX)
        forget(w);
    if (!w->known && !(w->known = map_new(SIZE_MAX)))
        return err_set(e, E_NOMEM, "journal");
    int rc = store_begin(w->store, e);
    if (!rc)
        rc = apply(w, items, e);
    if (!rc)
        rc = store_commit(w->store, e);
    if (rc) {
        store_rollback(w->store);
        forget(w); // it may say what was not kept
    }
    return rc;
}
