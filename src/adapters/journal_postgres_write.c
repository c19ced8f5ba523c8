// journal_postgres_write.c: commits of a journal in PostgreSQL.
// SPDX-License-Identifier: Apache-2.0
//
// A transaction holds this node's fence (a row that another node raises when it takes the runs of
// this one), so what is known of the own runs from before is still true in it. A connection that
// is lost before COMMIT was sent: nothing was kept, it is done again. After that: the server is
// asked what became of the transaction.
#include "adapters/journal_postgres_priv.h"
#include "base/time.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

#define KNOWN_MAX 65536
#define PAUSE_MS 200
#define RACES_MAX 20
#define PRUNE_RUNS 256
#define LOCK_DOCS "x'706c7802'::bigint"

enum { Q_CREATE, Q_APPEND, Q_LAST, Q_FULL, Q_PUT, Q_REMOVE, Q_DOC };

const char *const journal_postgres_sql[] = {
    [Q_CREATE] = "INSERT INTO plexus.runs(id,owner,namespace,name,version,plan,parent,"
                 "parent_ticket,label,by,queue,started_ms,status,open,busy,closed_ms,wake_ms,"
                 "chapter,last,listens,note) VALUES($1::text,$2::text,$3::text,$4::text,$5::text,"
                 "$6::text,$7::text,$8::bigint,$9::text,$10::text,$11::text,$12::bigint,$13::text,"
                 "$14::boolean,$15::boolean,$16::bigint,$17::bigint,$18::bigint,$19::bigint,"
                 "$20::text,$21::text)",
    [Q_APPEND] = "INSERT INTO plexus.entries SELECT key,$2::bigint,$3::int,$4::bytea"
                 " FROM plexus.runs WHERE id=$1::text",
    [Q_LAST] = "UPDATE plexus.runs SET last=$3::bigint WHERE id=$1::text AND owner=$2::text",
    [Q_FULL] = "UPDATE plexus.runs SET namespace=$3::text,name=$4::text,version=$5::text,"
               "plan=$6::text,parent=$7::text,parent_ticket=$8::bigint,label=$9::text,"
               "by=$10::text,queue=$11::text,started_ms=$12::bigint,status=$13::text,"
               "open=$14::boolean,busy=$15::boolean,closed_ms=$16::bigint,wake_ms=$17::bigint,"
               "chapter=$18::bigint,last=$19::bigint,listens=$20::text,note=$21::text"
               " WHERE id=$1::text AND owner=$2::text",
    [Q_PUT] = "INSERT INTO plexus.keys VALUES($1::bytea,$2::bytea)"
              " ON CONFLICT(key) DO UPDATE SET value=excluded.value",
    [Q_REMOVE] = "DELETE FROM plexus.keys WHERE key=$1::bytea",
    [Q_DOC] = "INSERT INTO plexus.docs VALUES($1::text,$2::bytea) ON CONFLICT(hash) DO NOTHING",
    NULL,
};

struct known_run {
    uint64_t last;
    bool foreign; // another node's: for this commit only
    char owner[]; // then
};

// ---- what is known ------------------------------------------------------------------------------

void journal_postgres_forget(struct journal_postgres *s)
{
    void *value;
    for (size_t at = 0; s->known && map_each(s->known, &at, NULL, &value);)
        mem_free(value);
    map_free(s->known);
    s->known = NULL;
}

static int remember(struct journal_postgres *s, struct bytes id, uint64_t last, struct bytes owner,
                    struct err *e)
{
    struct known_run *k = mem_zalloc(sizeof *k + owner.n + 1);
    if (!k || map_put(s->known, id, k, NULL)) {
        mem_free(k);
        return err_set(e, E_NOMEM, "journal");
    }
    k->last = last;
    k->foreign = owner.p != NULL;
    if (owner.n)
        memcpy(k->owner, owner.p, owner.n);
    return 0;
}

static void quote(struct buf *b, struct bytes id)
{
    (void)buf_str(b, b->n > 1 ? ",\"" : "\"");
    for (size_t i = 0; i < id.n; i++) {
        if (id.p[i] == '"' || id.p[i] == '\\')
            (void)buf_chr(b, '\\');
        (void)buf_chr(b, id.p[i]);
    }
    (void)buf_chr(b, '"');
}

static int take_found(struct journal_postgres *s, size_t rows, struct err *e)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < rows; i++) {
        struct bytes owner = pq_value(s->writer, i, 2);
        bool mine = bytes_is(owner, s->threads.core.args.owner);
        rc = map_get(s->known, pq_value(s->writer, i, 0))
                 ? 0
                 : remember(s, pq_value(s->writer, i, 0), (uint64_t)pq_number(s->writer, i, 1),
                            mine ? BYTES_NONE : owner, e);
    }
    return rc;
}

// All runs of these writes that are there become known.
static int find(struct journal_postgres *s, struct list *items, struct err *e)
{
    struct buf ids;
    size_t rows = 0, n = 0;
    buf_init(&ids, (size_t)256 << 20);
    (void)buf_chr(&ids, '{');
    list_each (it, items) {
        const struct journal_item *x = container_of(it, struct journal_item, link);
        for (size_t i = 0; x->kind == JOURNAL_WRITE && !x->status && i < x->write.change_count;
             i++) {
            if (map_get(s->known, x->write.changes[i].run))
                continue;
            quote(&ids, x->write.changes[i].run);
            n++;
        }
    }
    (void)buf_chr(&ids, '}');
    struct pq_param list = pq_text(buf_bytes(&ids));
    int rc = ids.failed ? err_set(e, ids.failed, "journal") : 0;
    if (!rc && n)
        rc = pq_ask(s->writer, "SELECT id,last,owner FROM plexus.runs WHERE id=ANY($1::text[])",
                    &list, 1, &rows, e);
    buf_fini(&ids);
    return rc ? rc : take_found(s, rows, e);
}

static void forget_foreign(struct journal_postgres *s)
{
    struct bytes id;
    void *value;
    for (size_t at = 0; map_each(s->known, &at, &id, &value);) {
        if (!((struct known_run *)value)->foreign)
            continue;
        (void)map_del(s->known, id);
        mem_free(value);
        at = 0; // the map has changed
    }
}

// ---- writes -------------------------------------------------------------------------------------

static bool good_text(struct bytes s)
{
    return bytes_is_utf8(s) && bytes_chr(s, 0) < 0;
}

static bool good_row(const struct journal_run *r)
{
    const struct bytes texts[] = {r->namespace, r->name,    r->version, r->plan,
                                  r->parent,    r->label,   r->by,      r->queue,
                                  r->status,    r->listens, r->note};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (!good_text(texts[i]))
            return false;
    return true;
}

// PostgreSQL's texts are UTF-8 without NUL.
static void check_texts(struct journal_item *x)
{
    const struct journal_write *w = &x->write;
    bool good = good_text(w->doc_hash);
    for (size_t i = 0; good && i < w->change_count; i++)
        good = good_text(w->changes[i].run) && (!w->changes[i].row || good_row(w->changes[i].row));
    if (!good)
        (void)journal_item_fail(x, E_INVALID, "a text is not UTF-8, or has a NUL");
}

static void check_change(struct journal_postgres *s, struct journal_item *x, size_t i)
{
    const struct journal_change *c = &x->write.changes[i], *before = NULL;
    const struct known_run *k = map_get(s->known, c->run);
    for (size_t n = 0; n < i; n++)
        if (bytes_eq(x->write.changes[n].run, c->run))
            before = &x->write.changes[n];
    uint64_t last = before ? before->expect + before->entry_count : k ? k->last : 0;
    if (c->create && (k || before))
        (void)journal_item_fail(x, E_EXISTS, "run %.*s is there", BYTES_FMT(c->run));
    else if (!c->create && !k && !before)
        (void)journal_item_fail(x, E_CONFLICT, "run %.*s is not there", BYTES_FMT(c->run));
    else if (k && k->foreign)
        (void)journal_item_fail(x, E_CONFLICT, "run %.*s is node %s's", BYTES_FMT(c->run),
                                k->owner);
    else if (c->expect != last)
        (void)journal_item_fail(x, E_CONFLICT, "run %.*s has %llu entries, not %llu",
                                BYTES_FMT(c->run), (unsigned long long)last,
                                (unsigned long long)c->expect);
}

enum { NUMBERS = 9 };
struct numbers { // as texts, as long as the parameters need them
    char text[NUMBERS][24];
    int n;
};

static struct pq_param number(struct numbers *s, int64_t value)
{
    char *to = s->text[s->n++];
    int n = snprintf(to, sizeof s->text[0], "%lld", (long long)value);
    return pq_text((struct bytes){to, (size_t)n});
}

static struct pq_param yes(bool value)
{
    return pq_text(value ? BYTES("t") : BYTES("f"));
}

static int send_row(struct journal_postgres *s, int statement, const struct journal_change *c,
                    struct err *e)
{
    const struct journal_run *r = c->row;
    struct numbers n = {.n = 0};
    const struct pq_param params[] = {
        pq_text(c->run),
        pq_text(bytes_of(s->threads.core.args.owner)),
        pq_text(r->namespace),
        pq_text(r->name),
        pq_text(r->version),
        pq_text(r->plan),
        pq_text(r->parent),
        number(&n, (int64_t)r->parent_ticket),
        pq_text(r->label),
        pq_text(r->by),
        pq_text(r->queue),
        number(&n, r->started_ms),
        pq_text(r->status),
        yes(r->open),
        yes(r->busy),
        number(&n, r->closed_ms),
        r->wake_ms == TIME_NEVER ? (struct pq_param){.null = true} : number(&n, r->wake_ms),
        number(&n, (int64_t)r->chapter),
        number(&n, (int64_t)(c->expect + c->entry_count)),
        pq_text(r->listens),
        pq_text(r->note),
    };
    return pq_send(s->writer, statement, params, sizeof params / sizeof *params, 1, e);
}

static int send_entries(struct journal_postgres *s, const struct journal_change *c, struct err *e)
{
    struct numbers n = {.n = 0};
    if (!c->entry_count)
        return 0;
    const struct pq_param params[] = {pq_text(c->run), number(&n, (int64_t)c->expect + 1),
                                      number(&n, (int64_t)c->entry_count),
                                      pq_bytes(journal_change_lines(c))};
    return pq_send(s->writer, Q_APPEND, params, 4, 1, e);
}

static int send_last(struct journal_postgres *s, const struct journal_change *c, struct err *e)
{
    struct numbers n = {.n = 0};
    const struct pq_param params[] = {pq_text(c->run),
                                      pq_text(bytes_of(s->threads.core.args.owner)),
                                      number(&n, (int64_t)(c->expect + c->entry_count))};
    return pq_send(s->writer, Q_LAST, params, 3, 1, e);
}

static int send_change(struct journal_postgres *s, const struct journal_change *c, struct err *e)
{
    struct known_run *k = map_get(s->known, c->run);
    int rc = c->create ? send_row(s, Q_CREATE, c, e)
             : c->row  ? send_row(s, Q_FULL, c, e)
                       : send_last(s, c, e);
    if (!rc)
        rc = send_entries(s, c, e);
    if (k)
        k->last = c->expect + c->entry_count;
    return rc || k ? rc : remember(s, c->run, c->entry_count, BYTES_NONE, e);
}

static int send_write(struct journal_postgres *s, struct journal_item *x, struct err *e)
{
    const struct journal_write *w = &x->write;
    int rc = 0;
    for (size_t i = 0; !x->status && i < w->change_count; i++)
        check_change(s, x, i);
    if (x->status)
        return 0;
    for (size_t i = 0; !rc && i < w->change_count; i++)
        rc = send_change(s, &w->changes[i], e);
    for (size_t i = 0; !rc && i < w->put_count; i++) {
        const struct pq_param put[] = {pq_bytes(w->puts[i].key), pq_bytes(w->puts[i].value)};
        bool stays = w->puts[i].value.p != NULL;
        rc = pq_send(s->writer, stays ? Q_PUT : Q_REMOVE, put, stays ? 2 : 1, 0, e);
    }
    const struct pq_param doc[] = {pq_text(w->doc_hash), pq_bytes(w->doc)};
    return rc || !w->doc_hash.n ? rc : pq_send(s->writer, Q_DOC, doc, 2, 0, e);
}

// ---- pruning, taking ----------------------------------------------------------------------------

static int prune_docs(struct journal_postgres *s, struct err *e)
{
    return pq_exec(s->writer,
                   "DELETE FROM plexus.docs d"
                   " WHERE NOT EXISTS(SELECT 1 FROM plexus.runs WHERE plan=d.hash)"
                   " AND NOT EXISTS(SELECT 1 FROM plexus.keys"
                   " WHERE position(convert_to(d.hash,'UTF8') IN value)>0)",
                   e);
}

static int prune(struct journal_postgres *s, struct journal_item *x, struct err *e)
{
    struct numbers n = {.n = 0};
    struct pq_param params[2] = {number(&n, x->prune.before_ms)};
    size_t rows = 0;
    if (x->prune.dry) {
        int rc = pq_ask(s->writer,
                        "SELECT count(*) FROM plexus.runs WHERE NOT open AND closed_ms<$1::bigint",
                        params, 1, &rows, e);
        uint64_t all = rc ? 0 : (uint64_t)pq_number(s->writer, 0, 0);
        x->prune.count = all < x->prune.limit ? all : x->prune.limit;
        return rc;
    }
    size_t left = x->prune.limit - x->prune.count;
    params[1] = number(&n, left < PRUNE_RUNS ? (int64_t)left : PRUNE_RUNS);
    int rc = pq_ask(s->writer,
                    "WITH gone AS (SELECT key FROM plexus.runs WHERE NOT open"
                    " AND closed_ms<$1::bigint ORDER BY closed_ms,key LIMIT $2::bigint FOR UPDATE),"
                    " cut AS (DELETE FROM plexus.entries USING gone WHERE run=gone.key)"
                    " DELETE FROM plexus.runs r USING gone WHERE r.key=gone.key",
                    params, 2, &rows, e);
    x->prune.count += rows;
    x->again = rows == PRUNE_RUNS && x->prune.count < x->prune.limit;
    if (rc || x->again)
        return rc;
    return prune_docs(s, e);
}

static int take(struct journal_postgres *s, const struct journal_item *x, struct err *e)
{
    const char *owner = s->threads.core.args.owner, *from = x->take.nobody ? "" : x->take.from;
    const struct pq_param params[] = {pq_text(bytes_of(from)), pq_text(bytes_of(owner))};
    int rc = 0;
    if (!strcmp(owner, from))
        return 0;
    if (!x->take.nobody)
        rc = pq_ask(s->writer, "UPDATE plexus.owners SET fence=fence+1 WHERE name=$1::text", params,
                    1, NULL, e);
    return rc ? rc
              : pq_ask(s->writer,
                       "UPDATE plexus.runs SET owner=$2::text WHERE owner=$1::text AND open",
                       params, 2, NULL, e);
}

// ---- a transaction ------------------------------------------------------------------------------

static int begin(struct journal_postgres *s, struct list *items, char *ret_xid, size_t n,
                 struct err *e)
{
    struct pq_param name = pq_text(bytes_of(s->threads.core.args.owner));
    bool alone = false; // documents go only when nobody puts any
    size_t rows = 0;
    list_each (it, items) {
        const struct journal_item *x = container_of(it, struct journal_item, link);
        alone |= x->kind == JOURNAL_PRUNE && !x->prune.dry;
    }
    int rc = pq_exec(s->writer,
                     alone ? "BEGIN; SELECT pg_advisory_xact_lock(" LOCK_DOCS ")"
                           : "BEGIN; SELECT pg_advisory_xact_lock_shared(" LOCK_DOCS ")",
                     e);
    if (!rc)
        rc = pq_ask(s->writer,
                    "SELECT fence,pg_current_xact_id()::text FROM plexus.owners"
                    " WHERE name=$1::text FOR SHARE",
                    &name, 1, &rows, e);
    if (rc)
        return rc;
    if (!rows || (uint64_t)pq_number(s->writer, 0, 0) != s->fence)
        return err_set(e, E_CONFLICT,
                       "journal: another node took this node's runs, or has its name (%s); mend: "
                       "give each node a name of its own; this one opens the journal anew when it "
                       "is started again",
                       s->threads.core.args.owner);
    (void)snprintf(ret_xid, n, "%.*s", BYTES_FMT(pq_value(s->writer, 0, 1)));
    return 0;
}

static int send_all(struct journal_postgres *s, struct list *items, struct err *e)
{
    int rc = 0;
    list_each (it, items) {
        struct journal_item *x = container_of(it, struct journal_item, link);
        if (x->kind == JOURNAL_WRITE) {
            rc = x->status ? 0 : send_write(s, x, e);
        } else {
            rc = pq_wait(s->writer, e);
            if (!rc)
                rc = x->kind == JOURNAL_PRUNE ? prune(s, x, e) : take(s, x, e);
        }
        if (rc)
            return rc;
    }
    return 0;
}

// All but COMMIT.
static int try_all(struct journal_postgres *s, struct list *items, char *ret_xid, size_t n,
                   struct err *e)
{
    if (s->known && map_count(s->known) > KNOWN_MAX)
        journal_postgres_forget(s);
    if (!s->known && !(s->known = map_new(SIZE_MAX)))
        return err_set(e, E_NOMEM, "journal");
    int rc = begin(s, items, ret_xid, n, e);
    if (!rc)
        rc = find(s, items, e);
    if (!rc)
        rc = send_all(s, items, e);
    int waited = pq_wait(s->writer, rc ? NULL : e);
    if (s->known)
        forget_foreign(s);
    return rc ? rc : waited;
}

// A try that failed is as if it had not been.
static void undo(struct journal_postgres *s, struct list *items)
{
    journal_postgres_forget(s);
    list_each (it, items) {
        struct journal_item *x = container_of(it, struct journal_item, link);
        x->status = 0;
        x->again = false;
        if (x->kind == JOURNAL_PRUNE)
            x->prune.count = x->prune.before_try;
    }
    if (s->writer && !pq_lost(s->writer))
        (void)pq_exec(s->writer, "ROLLBACK", NULL);
}

// ---- a connection that is lost ------------------------------------------------------------------

static void pause_ms(int64_t ms)
{
    (void)nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

static int reconnect(struct journal_postgres *s, int64_t until_ms, struct err *e)
{
    int rc = 0;
    while (!s->writer || pq_lost(s->writer)) {
        pq_close(s->writer);
        s->writer = NULL;
        rc = pq_open(&s->writer, &s->pq, e);
        if (!rc || rc != E_UNAVAILABLE || time_mono_ms() > until_ms)
            return rc;
        pause_ms(PAUSE_MS);
    }
    return 0;
}

// COMMIT was sent, no answer came. 0: it was kept; E_BUSY: it was not.
static int ask_what_became(struct journal_postgres *s, const char *xid, struct err *e)
{
    int64_t until = time_mono_ms() + s->patience_ms;
    struct pq_param id = pq_text(bytes_of(xid));
    size_t rows = 0;
    int rc;
    for (;;) {
        rc = reconnect(s, until, e);
        if (!rc)
            rc = pq_ask(s->writer, "SELECT pg_xact_status($1::xid8)", &id, 1, &rows, e);
        if (!rc && bytes_is(pq_value(s->writer, 0, 0), "committed"))
            return 0;
        if (!rc && bytes_is(pq_value(s->writer, 0, 0), "aborted"))
            return E_BUSY;
        if (time_mono_ms() > until)
            break;
        pause_ms(PAUSE_MS);
    }
    return err_set(e, E_IO,
                   "journal: PostgreSQL was lost during a commit, and does not say what "
                   "became of it; mend: start this node again when the server is back");
}

static int once(struct journal_postgres *s, struct list *items, struct err *e)
{
    char xid[32] = "";
    int rc = s->writer ? try_all(s, items, xid, sizeof xid, e) : E_UNAVAILABLE;
    if (rc)
        return rc;
    rc = pq_exec(s->writer, "COMMIT", e);
    return rc && pq_lost(s->writer) ? ask_what_became(s, xid, e) : rc;
}

int journal_postgres_commit(struct journal_threads *t, struct list *items, struct err *e)
{
    struct journal_postgres *s = journal_postgres_of(t);
    int64_t until = time_mono_ms() + s->patience_ms;
    list_each (it, items) {
        struct journal_item *x = container_of(it, struct journal_item, link);
        if (x->kind == JOURNAL_PRUNE)
            x->prune.before_try = x->prune.count;
    }
    for (int races = 0;;) {
        list_each (it, items) {
            struct journal_item *x = container_of(it, struct journal_item, link);
            if (x->kind == JOURNAL_WRITE)
                check_texts(x);
        }
        int rc = once(s, items, e);
        if (!rc)
            return 0;
        bool race = rc == E_BUSY || rc == E_EXISTS;
        undo(s, items);
        if (race && ++races < RACES_MAX)
            continue;
        if (race)
            return err_set(e, E_LOCKED, "journal: PostgreSQL: lost %d races against other nodes",
                           RACES_MAX);
        if (rc != E_UNAVAILABLE || time_mono_ms() > until)
            return rc;
        rc = reconnect(s, until, e);
        if (rc)
            return rc;
    }
}
