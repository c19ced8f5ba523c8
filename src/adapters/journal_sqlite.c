// journal_sqlite.c: a journal in one file of SQLite: commits on the writer's thread, reads on
// connections of their own, both told on the loop.
// SPDX-License-Identifier: Apache-2.0
#include "adapters/journal_sqlite_priv.h"
#include <stdio.h>
#include <string.h>

#define READERS_MAX 4
#define WAL_PAGES 4000 // 16 MiB: then the log is moved into the file, between two commits

struct sqlite {
    struct journal_core core; // first
    struct store_args store;
    struct journal_writer writer;
    struct work_req commit, checkpoint, end;
    int commit_status, checkpoint_status;
    struct err commit_err, checkpoint_err;
    bool checkpointing, ending;
    struct list idle;    // struct journal_reader
    struct list stalled; // likewise, with a read that could not be started
    struct timer retry;  // of these
    struct list items;   // reads that wait for a connection
    size_t readers;      // connections
};

static struct sqlite *sqlite_of(struct journal_core *c)
{
    return (struct sqlite *)(void *)c;
}

// ---- writing ------------------------------------------------------------------------------------

static void run_commit(struct work_req *r)
{
    struct sqlite *s = r->user;
    s->commit_err = (struct err){.code = 0};
    s->commit_status = journal_writer_commit(&s->writer, &s->core.batch, &s->commit_err);
}

static void run_checkpoint(struct work_req *r)
{
    struct sqlite *s = r->user;
    s->checkpoint_err = (struct err){.code = 0};
    s->checkpoint_status = store_checkpoint(s->writer.store, &s->checkpoint_err);
}

static void done_checkpoint(struct work_req *r)
{
    struct sqlite *s = r->user;
    s->checkpointing = false;
    if (s->checkpoint_status)
        journal_core_stop(&s->core, s->checkpoint_status, s->checkpoint_err.text);
    if (s->core.closing)
        (void)timer_start(s->core.args.timers, &s->core.soon, 0);
}

// Nothing was kept, and the next commit may fare better.
static bool passes(int status)
{
    return status == E_LOCKED || status == E_NOMEM;
}

static void done_commit(struct work_req *r)
{
    struct sqlite *s = r->user;
    int status = s->commit_status;
    s->core.stats.file_bytes = s->writer.bytes;
    if (!status && s->writer.wal_pages > WAL_PAGES && !s->checkpointing)
        s->checkpointing = work_start(s->core.args.writer, &s->checkpoint) == 0;
    journal_core_committed(&s->core, status, s->commit_err.text, status && !passes(status));
}

static void begin_commit(struct journal_core *c)
{
    int rc = work_start(c->args.writer, &sqlite_of(c)->commit);
    if (rc)
        journal_core_committed(c, rc, "the journal's writer cannot be started", false);
}

// ---- reading ------------------------------------------------------------------------------------

static void run_read(struct work_req *w)
{
    struct journal_reader *r = w->user;
    struct sqlite *s = r->journal;
    journal_reader_gather(r, &s->store);
}

static void start_read(struct sqlite *s, struct journal_reader *r)
{
    if (!work_start(s->core.args.reader, &r->work))
        return;
    list_add_tail(&s->stalled, &r->link); // its threads have too much to do
    (void)timer_start(s->core.args.timers, &s->retry, 10);
}

static void on_retry(struct timer *t)
{
    struct sqlite *s = t->user;
    struct list now;
    list_init(&now);
    while (!list_empty(&s->stalled)) {
        struct list *first = s->stalled.next;
        list_del(first);
        list_add_tail(&now, first);
    }
    while (!list_empty(&now)) {
        struct list *first = now.next;
        list_del(first);
        start_read(s, container_of(first, struct journal_reader, link));
    }
}

static void done_read(struct work_req *w)
{
    struct journal_reader *r = w->user;
    struct sqlite *s = r->journal;
    if (journal_reader_tell(r)) {
        start_read(s, r);
        return;
    }
    struct journal_item *x = r->item;
    journal_reader_end(r);
    if (list_empty(&s->items)) {
        list_add_head(&s->idle, &r->link);
    } else {
        struct list *first = s->items.next;
        list_del(first);
        r->item = container_of(first, struct journal_item, link);
        start_read(s, r);
    }
    journal_core_read_done(&s->core, x);
}

static struct journal_reader *reader_of(struct sqlite *s)
{
    struct journal_reader *r = NULL;
    if (!list_empty(&s->idle)) {
        r = container_of(s->idle.next, struct journal_reader, link);
        list_del(&r->link);
    } else if (s->readers < READERS_MAX && (r = mem_new(struct journal_reader)) != NULL) {
        list_init(&r->link);
        r->journal = s;
        r->owner = s->core.args.owner;
        r->work = (struct work_req){.run = run_read, .done = done_read, .user = r};
        s->readers++;
    }
    return r;
}

static int begin_read(struct journal_core *c, struct journal_item *x, struct err *e)
{
    struct sqlite *s = sqlite_of(c);
    struct journal_reader *r = reader_of(s);
    if (!r && !s->readers)
        return err_set(e, E_NOMEM, "journal");
    if (!r) {
        list_add_tail(&s->items, &x->link);
        return 0;
    }
    r->item = x;
    start_read(s, r);
    return 0;
}

// ---- its life -----------------------------------------------------------------------------------

static void run_end(struct work_req *r)
{
    struct sqlite *s = r->user;
    list_each_safe (it, &s->idle) {
        list_del(it);
        journal_reader_close(container_of(it, struct journal_reader, link));
    }
    journal_writer_close(&s->writer); // moves the log into the file
}

static void done_end(struct work_req *r)
{
    struct sqlite *s = r->user;
    void (*closed)(void *user) = s->core.closed;
    void *user = s->core.closed_user;
    journal_core_fini(&s->core);
    mem_free(s);
    if (closed)
        closed(user);
}

static void finish(struct journal_core *c)
{
    struct sqlite *s = sqlite_of(c);
    if (s->checkpointing || s->ending)
        return;
    s->ending = true;
    if (!work_start(c->args.writer, &s->end))
        return;
    run_end(&s->end);
    done_end(&s->end);
}

static void set_up(struct sqlite *s)
{
    s->core.commit = begin_commit;
    s->core.begin_read = begin_read;
    s->core.finish = finish;
    s->commit = (struct work_req){.run = run_commit, .done = done_commit, .user = s};
    s->checkpoint = (struct work_req){.run = run_checkpoint, .done = done_checkpoint, .user = s};
    s->end = (struct work_req){.run = run_end, .done = done_end, .user = s};
    s->retry = (struct timer){.fn = on_retry, .user = s};
    list_init(&s->idle);
    list_init(&s->stalled);
    list_init(&s->items);
    s->store = (struct store_args){.path = s->core.args.path, .schema = &journal_schema};
    (void)snprintf(s->core.stats.engine, sizeof s->core.stats.engine, "SQLite %s", store_version());
}

int journal_sqlite_open(const struct journal_args *args, struct journal **ret, struct err *e)
{
    if (!args->path || !*args->path || !args->writer)
        return err_set(e, E_INVALID, "journal: which file, and by which thread?");
    struct sqlite *s = mem_new(struct sqlite);
    int rc = s ? journal_core_init(&s->core, args, e) : err_set(e, E_NOMEM, "journal");
    if (rc) {
        mem_free(s);
        return rc;
    }
    if (!args->reader)
        s->core.args.reader = args->writer;
    set_up(s);
    rc = journal_writer_open(&s->writer, &s->store, e);
    s->core.stats.file_bytes = s->writer.bytes;
    if (!rc) {
        *ret = &s->core.base;
        return 0;
    }
    journal_writer_close(&s->writer);
    journal_core_fini(&s->core);
    mem_free(s);
    return rc;
}
