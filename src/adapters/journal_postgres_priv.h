// journal_postgres_priv.h: inside of the journal in PostgreSQL.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_ADAPTERS_JOURNAL_POSTGRES_PRIV_H
#define PLEXUS_ADAPTERS_JOURNAL_POSTGRES_PRIV_H

#include "adapters/journal_pq.h"
#include "adapters/journal_threads.h"
#include "base/map.h"

struct journal_postgres {
    struct journal_threads threads; // first
    struct pq_args pq;
    struct pq *writer; // NULL: not connected
    uint64_t fence;
    int64_t patience_ms; // with a server that is away
    struct map *known; // id: struct known_run: of this node's runs, what was read or written lately
};
static inline struct journal_postgres *journal_postgres_of(struct journal_threads *t)
{
    return (struct journal_postgres *)(void *)t;
}

extern const char *const journal_postgres_sql[]; // of the writer
// Makes the tables, or finds them good. E_VERSION: made by a newer plexus.
int journal_postgres_migrate(struct pq *p, struct err *e);
// This node comes: its fence is raised.
int journal_postgres_join(struct journal_postgres *s, struct err *e);
int journal_postgres_commit(struct journal_threads *t, struct list *items, struct err *e);
void journal_postgres_forget(struct journal_postgres *s);

struct journal_postgres_reader {
    struct journal_reader base; // first
    struct pq *pq;
};
int journal_postgres_gather(struct journal_reader *r, struct err *e);
void journal_postgres_close_reader(struct journal_reader *r);

#endif
