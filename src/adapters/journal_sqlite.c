// journal_sqlite.c: a journal in one file of SQLite.
// SPDX-License-Identifier: Apache-2.0
#include "adapters/journal_sqlite.h"
#include "adapters/journal_sqlite_priv.h"
#include <stdio.h>

#define WAL_PAGES 4000 // 16 MiB: then the log is moved into the file, between two commits

static int commit(struct journal_threads *t, struct list *items, struct err *e)
{
    struct journal_sqlite *s = journal_sqlite_of(t);
    int rc = journal_writer_commit(&s->writer, items, e);
    t->bytes = store_bytes(s->writer.store);
    t->tidy_due = store_wal_pages(s->writer.store) > WAL_PAGES;
    return rc;
}

static int tidy(struct journal_threads *t, struct err *e)
{
    return store_checkpoint(journal_sqlite_of(t)->writer.store, e);
}

static void close_writer(struct journal_threads *t)
{
    journal_writer_close(&journal_sqlite_of(t)->writer); // moves the log into the file
}

int journal_sqlite_open(const struct journal_args *args, struct journal **ret, struct err *e)
{
    static const struct journal_threads_ops ops = {
        .reader_bytes = sizeof(struct journal_sqlite_reader),
        .commit = commit,
        .tidy = tidy,
        .close_writer = close_writer,
        .gather = journal_sqlite_gather,
        .close_reader = journal_sqlite_close_reader,
    };
    if (!args->path || !*args->path || !args->writer)
        return err_set(e, E_INVALID, "journal: which file, and by which thread?");
    struct journal_sqlite *s = mem_new(struct journal_sqlite);
    int rc = s ? journal_threads_init(&s->threads, &ops, args, e) : err_set(e, E_NOMEM, "journal");
    if (rc) {
        mem_free(s);
        return rc;
    }
    struct journal_core *c = &s->threads.core;
    s->store = (struct store_args){.path = c->args.path, .schema = &journal_schema};
    (void)snprintf(c->stats.engine, sizeof c->stats.engine, "SQLite %s", store_version());
    rc = journal_writer_open(&s->writer, &s->store, e);
    if (rc) {
        journal_threads_drop(&s->threads);
        return rc;
    }
    c->stats.file_bytes = s->threads.bytes = store_bytes(s->writer.store);
    *ret = &c->base;
    return 0;
}

int journal_sqlite_check(const char *path, struct err *e)
{
    return store_check(path, &journal_schema, NULL, e);
}
