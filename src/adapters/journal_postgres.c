// journal_postgres.c: a journal in PostgreSQL, for several nodes: its tables, its life.
// SPDX-License-Identifier: Apache-2.0
#include "adapters/journal_postgres_priv.h"
#include <stdio.h>
#include <string.h>

#define PATIENCE_MS 15000
// An advisory lock of ours: "plx" and a number.
#define LOCK_TABLES "x'706c7801'::bigint"

// Steps as in store.h: never changed, only added to.
static const char *const steps[] = {
    // 1
    "CREATE TABLE plexus.owners(name text PRIMARY KEY, fence bigint NOT NULL);"
    "CREATE TABLE plexus.runs(key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
    " id text NOT NULL UNIQUE, owner text NOT NULL, namespace text NOT NULL, name text NOT NULL,"
    " version text NOT NULL, plan text NOT NULL, parent text NOT NULL,"
    " parent_ticket bigint NOT NULL, label text NOT NULL, by text NOT NULL, queue text NOT NULL,"
    " started_ms bigint NOT NULL, status text NOT NULL, open boolean NOT NULL,"
    " busy boolean NOT NULL, closed_ms bigint NOT NULL, wake_ms bigint, chapter bigint NOT NULL,"
    " last bigint NOT NULL, listens text NOT NULL, note text NOT NULL) WITH (fillfactor=70);"
    "CREATE INDEX runs_open ON plexus.runs(owner,key) WHERE open;"
    "CREATE INDEX runs_wake ON plexus.runs(wake_ms) WHERE wake_ms IS NOT NULL;"
    "CREATE INDEX runs_closed ON plexus.runs(closed_ms) WHERE NOT open;"
    "CREATE INDEX runs_parent ON plexus.runs(parent) WHERE parent<>'';"
    "CREATE INDEX runs_name ON plexus.runs(name,namespace);"
    "CREATE INDEX runs_plan ON plexus.runs(plan);"
    "CREATE TABLE plexus.entries(run bigint NOT NULL, first bigint NOT NULL, count int NOT NULL,"
    " lines bytea NOT NULL, PRIMARY KEY(run,first));"
    "CREATE TABLE plexus.keys(key bytea PRIMARY KEY, value bytea NOT NULL);"
    "CREATE TABLE plexus.docs(hash text PRIMARY KEY, doc bytea NOT NULL)",
    NULL,
};

static int version_of(struct pq *p, int64_t *ret, struct err *e)
{
    size_t rows = 0;
    *ret = 0;
    int rc = pq_ask(p, "SELECT to_regclass('plexus.journal')::text", NULL, 0, &rows, e);
    if (rc || !pq_value(p, 0, 0).p)
        return rc;
    rc = pq_ask(p, "SELECT version FROM plexus.journal", NULL, 0, &rows, e);
    if (!rc && rows)
        *ret = pq_number(p, 0, 0);
    return rc;
}

static int move_on(struct pq *p, int64_t version, struct err *e)
{
    char sql[120];
    int rc = version ? 0
                     : pq_exec(p,
                               "CREATE SCHEMA IF NOT EXISTS plexus;"
                               "CREATE TABLE plexus.journal(version bigint NOT NULL);"
                               "INSERT INTO plexus.journal VALUES(0)",
                               e);
    if (!rc)
        rc = pq_exec(p, steps[version], e);
    (void)snprintf(sql, sizeof sql, "UPDATE plexus.journal SET version=%lld",
                   (long long)version + 1);
    return rc ? rc : pq_exec(p, sql, e);
}

static int migrate(struct pq *p, struct err *e)
{
    int64_t version = 0, newest = (int64_t)(sizeof steps / sizeof *steps) - 1;
    int rc = version_of(p, &version, e);
    if (rc)
        return rc;
    if (version < 0 || version > newest)
        return err_set(e, E_VERSION,
                       "journal: the tables in PostgreSQL (schema plexus) were made by a newer "
                       "plexus (version %lld, this one knows %lld); mend: start that plexus, or "
                       "restore a dump of the schema",
                       (long long)version, (long long)newest);
    for (; !rc && version < newest; version++)
        rc = move_on(p, version, e);
    return rc;
}

int journal_postgres_migrate(struct pq *p, struct err *e)
{
    if (pq_version(p) < 130000)
        return err_set(e, E_UNSUPPORTED, "journal: PostgreSQL %d is too old: 13 or later",
                       pq_version(p) / 10000);
    int rc = pq_exec(p, "BEGIN; SELECT pg_advisory_xact_lock(" LOCK_TABLES ")", e);
    if (!rc)
        rc = migrate(p, e);
    if (!rc)
        return pq_exec(p, "COMMIT", e);
    (void)pq_exec(p, "ROLLBACK", NULL);
    return rc;
}

int journal_postgres_join(struct journal_postgres *s, struct err *e)
{
    struct pq_param name = pq_text(bytes_of(s->threads.core.args.owner));
    size_t rows = 0;
    int rc = pq_ask(s->writer,
                    "INSERT INTO plexus.owners AS o VALUES($1,1) ON CONFLICT(name)"
                    " DO UPDATE SET fence=o.fence+1 RETURNING fence",
                    &name, 1, &rows, e);
    if (!rc)
        s->fence = (uint64_t)pq_number(s->writer, 0, 0);
    return rc;
}

static int no_tidy(struct journal_threads *t, struct err *e)
{
    (void)t;
    (void)e;
    return 0;
}

static void close_writer(struct journal_threads *t)
{
    struct journal_postgres *s = journal_postgres_of(t);
    pq_close(s->writer);
    s->writer = NULL;
    journal_postgres_forget(s);
}

static int open_writer(struct journal_postgres *s, struct err *e)
{
    struct journal_stats *stats = &s->threads.core.stats;
    int rc = pq_open(&s->writer, &s->pq, e);
    if (!rc)
        rc = journal_postgres_migrate(s->writer, e);
    if (!rc)
        rc = journal_postgres_join(s, e);
    if (!rc)
        (void)snprintf(stats->engine, sizeof stats->engine, "PostgreSQL %d.%d",
                       pq_version(s->writer) / 10000, pq_version(s->writer) % 10000);
    return rc;
}

int journal_postgres_open(const struct journal_args *args, struct journal **ret, struct err *e)
{
    static const struct journal_threads_ops ops = {
        .reader_bytes = sizeof(struct journal_postgres_reader),
        .commit = journal_postgres_commit,
        .tidy = no_tidy,
        .close_writer = close_writer,
        .gather = journal_postgres_gather,
        .close_reader = journal_postgres_close_reader,
    };
    if (!args->writer)
        return err_set(e, E_INVALID, "journal: by which thread?");
    struct journal_postgres *s = mem_new(struct journal_postgres);
    int rc = s ? journal_threads_init(&s->threads, &ops, args, e) : err_set(e, E_NOMEM, "journal");
    if (rc) {
        mem_free(s);
        return rc;
    }
    struct journal_core *c = &s->threads.core;
    s->patience_ms = PATIENCE_MS;
    s->pq = (struct pq_args){.url = c->args.url,
                             .user = c->args.user_name,
                             .password = c->args.password,
                             .sql = journal_postgres_sql};
    rc = open_writer(s, e);
    if (rc) {
        journal_threads_drop(&s->threads);
        return rc;
    }
    *ret = &c->base;
    return 0;
}
