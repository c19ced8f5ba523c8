// journal_sqlite_priv.h: inside of the journal in SQLite: the writer, which lives on its own
// thread, and the readers.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_ADAPTERS_JOURNAL_SQLITE_PRIV_H
#define PLEXUS_ADAPTERS_JOURNAL_SQLITE_PRIV_H

#include "adapters/journal_threads.h"
#include "base/map.h"
#include "store/store.h"

extern const struct store_schema journal_schema;

enum journal_sql { // of the writer
    SQL_FIND,
    SQL_CREATE,
    SQL_BEGIN_STATE,
    SQL_APPEND,
    SQL_LAST,
    SQL_WARM,
    SQL_FULL,
    SQL_RENAME,
    SQL_PUT,
    SQL_REMOVE,
    SQL_DOC,
    SQL_COUNT_CLOSED,
    SQL_CLOSED,
    SQL_CUT,
    SQL_DROP_STATE,
    SQL_DROP_RUN,
    SQL_DROP_DOCS,
    SQL_COUNT_,
};

// The file's one writer. During a commit it is its thread's alone.
struct journal_writer {
    struct store *store;
    struct store_stmt *q[SQL_COUNT_];
    struct map *known; // id: struct known_run, what was read or written lately
};

int journal_writer_open(struct journal_writer *w, const struct store_args *args, struct err *e);
void journal_writer_close(struct journal_writer *w);
// One transaction for all items. 0: kept, each item has its status. Negative: nothing was kept.
int journal_writer_commit(struct journal_writer *w, struct list *items, struct err *e);

struct journal_sqlite {
    struct journal_threads threads; // first
    struct store_args store;
    struct journal_writer writer;
};
static inline struct journal_sqlite *journal_sqlite_of(struct journal_threads *t)
{
    return (struct journal_sqlite *)(void *)t;
}

struct journal_sqlite_reader {
    struct journal_reader base; // first
    struct store *store;
    struct store_stmt *find, *chain_row, *lines; // of histories
    struct store_stmt *step;                     // of the others
    uint64_t *chain; // places of the rows of a history, the latest first
    size_t chain_n, chain_cap;
};
int journal_sqlite_gather(struct journal_reader *r, struct err *e);
void journal_sqlite_close_reader(struct journal_reader *r);

#endif
