// store_priv.h: inside of room store.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_STORE_STORE_PRIV_H
#define PLEXUS_STORE_STORE_PRIV_H

#include "base/alloc.h"
#include "base/list.h"
#include "store/store.h"

#include <sqlite3.h>

struct store_stmt {
    struct list link;
    struct store *store;
    sqlite3_stmt *q;
    bool running; // stepped, not reset
};

struct store {
    sqlite3 *db;
    char *path;
    const struct store_schema *schema;
    struct list stmts;
    int lock_fd; // -1: none
    uint64_t wal_pages;
    struct store_stmt *begin, *begin_read, *commit, *rollback;
};

// What SQLite said, as ours, with the mend. Never 0.
int store_error(struct store *s, int code, struct err *e);
int store_damaged(struct store *s, struct bytes what, struct err *e); // E_IO with the mend
int store_migrate(struct store *s, struct err *e);
int store_number(struct store *s, const char *pragma, int64_t *ret, struct err *e);
const char *store_vfs(void); // NULL: the system's own

#endif
