// journal_threads.h: what journals on databases share: commits on the writer's thread, reads on
// connections of their own, gathered in pieces on the reader's threads and told on the loop.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_ADAPTERS_JOURNAL_THREADS_H
#define PLEXUS_ADAPTERS_JOURNAL_THREADS_H

#include "adapters/journal_item.h"
#include "base/arena.h"

#define JOURNAL_PIECE_ROWS 512

struct journal_row {
    uint64_t number; // of the first entry
    unsigned count;  // of entries in value, one on each line
    struct bytes key, value;
};
struct journal_piece {
    struct arena *text;
    struct journal_run *runs; // of a list
    struct journal_row *rows; // of all others
    size_t count;
    bool last;
};
bool journal_piece_full(const struct journal_piece *p);
int journal_piece_keep(struct journal_piece *p, struct bytes text, struct bytes *ret,
                       struct err *e); // a copy

struct journal_threads;

struct journal_reader { // a connection, and the read that has it; the engine's own follows
    struct list link;
    struct work_req work;
    struct journal_threads *journal;
    struct journal_item *item; // NULL: what was begun is to be ended
    bool begun;                // by gather
    struct journal_piece piece;
};

struct journal_threads_ops {
    size_t reader_bytes; // sizeof its readers
    // On the writer's thread. One transaction. 0: kept, each item has its status; negative: nothing
    // was kept (E_LOCKED, E_NOMEM, E_UNAVAILABLE), or nobody knows (all others: the journal stops).
    int (*commit)(struct journal_threads *t, struct list *items, struct err *e);
    // The same thread, after a commit that has set t->tidy_due.
    int (*tidy)(struct journal_threads *t, struct err *e);
    void (*close_writer)(struct journal_threads *t);
    // On a reader's thread: connects when it is not, begins (not begun), goes on, or ends (item
    // NULL). Adds to the piece; after the last one, or with an error, it has ended by itself.
    int (*gather)(struct journal_reader *r, struct err *e);
    void (*close_reader)(struct journal_reader *r); // the connection
};

struct journal_threads {
    struct journal_core core; // first
    const struct journal_threads_ops *ops;
    struct work_req commit, tidy, end;
    int commit_status, tidy_status;
    struct err commit_err, tidy_err;
    bool tidy_due; // the writer's thread says so
    uint64_t bytes; // the same: of the file
    bool tidying, ending;
    struct list idle; // struct journal_reader
    struct list stalled; // likewise, whose work could not be started
    struct timer retry; // of these
    struct list items; // reads that wait for a connection
    size_t readers; // connections
};

int journal_threads_init(struct journal_threads *t, const struct journal_threads_ops *ops,
                         const struct journal_args *args, struct err *e);
// Of a journal that could not be opened.
void journal_threads_drop(struct journal_threads *t);

#endif
