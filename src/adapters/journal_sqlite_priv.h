// journal_sqlite_priv.h: inside of the journal in SQLite: the writer, which lives on its own
// thread, and the readers.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_ADAPTERS_JOURNAL_SQLITE_PRIV_H
#define PLEXUS_ADAPTERS_JOURNAL_SQLITE_PRIV_H

#include "adapters/journal_item.h"
#include "base/arena.h"
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
    uint64_t bytes, wal_pages;
};

int journal_writer_open(struct journal_writer *w, const struct store_args *args, struct err *e);
void journal_writer_close(struct journal_writer *w);
// One transaction for all items. 0: kept, each item has its status. Negative: nothing was kept.
int journal_writer_commit(struct journal_writer *w, struct list *items, struct err *e);

// What a read has gathered on its thread and tells on the loop, in turns.
struct journal_row {
    uint64_t number;  // of the first entry
    unsigned count;   // of entries in value, one on each line
    struct bytes key, value;
};
struct journal_piece {
    struct arena *text;
    struct journal_run *runs; // of a list
    struct journal_row *rows; // of all others
    size_t count;
    bool last;
};

struct journal_reader { // a connection, and the read that has it
    struct list link;
    struct work_req work;
    void *journal; // whose it is
    struct journal_item *item;
    const char *owner;
    bool begun;
    struct store *store;
    struct store_stmt *find, *chain_row, *lines; // of histories
    struct store_stmt *step;                     // of the others
    uint64_t *chain; // places of the rows of a history, the latest first
    size_t chain_n, chain_cap;
    struct journal_piece piece;
};

// Opens the connection when there is none, begins or goes on; the item has the status.
void journal_reader_gather(struct journal_reader *r, const struct store_args *args);
// Tells what was gathered; false: the read has ended.
bool journal_reader_tell(struct journal_reader *r);
void journal_reader_end(struct journal_reader *r); // of the read: the connection stays
void journal_reader_close(struct journal_reader *r);

#endif
