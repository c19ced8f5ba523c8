// store.h: SQLite, the one way to it: a file with a schema that only moves forward, a writer and
// readers as connections of their own, statements whose errors are ours. A connection is used by
// one thread at a time, and by none that may not wait.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_STORE_STORE_H
#define PLEXUS_STORE_STORE_H

#include "base/bytes.h"
#include "base/err.h"
#include <stddef.h>

struct store;
struct store_stmt;

struct store_schema {
    const char *what; // "journal", for messages
    uint32_t application_id;
    // Each moves the file on by one version (SQL, in one transaction); ends with NULL. They are
    // never changed once they have been in use, only added to.
    const char *const *steps;
};

struct store_args {
    const char *path;
    const struct store_schema *schema;
    size_t cache_bytes; // 0: 16 MiB
    int64_t busy_ms; // how long another program may hold the file, 0: 5 s
};

// The writer. Makes the file (0600) and its folder when they are not there; holds PATH.lock, so
// that no other node has it. Brings an elder file forward, after it was copied to PATH.vN.backup.
// What was committed is not lost by a power cut (WAL, synchronous FULL).
// E_LOCKED: used by another node, or by another program for longer than busy_ms. E_VERSION: made by
// a newer plexus. E_INVALID: of another program. E_IO: damaged. E_PERM, E_NOSPACE, E_NOMEM. The
// text says the mend.
int store_open(struct store **ret, const struct store_args *args, struct err *e);
// A reader of a file that is open for writing by this process.
int store_open_reader(struct store **ret, const struct store_args *args, struct err *e);
void store_close(struct store *s); // NULL: harmless; its statements are gone with it
const char *store_version(void);    // "3.40.1"

// Statements live as long as their connection, or until store_finish.
int store_prepare(struct store *s, const char *sql, struct store_stmt **ret, struct err *e);
void store_finish(struct store_stmt *q); // NULL: harmless
int store_exec(struct store *s, const char *sql, struct err *e); // without rows
int store_begin(struct store *s, struct err *e);                 // the right to write, at once
int store_begin_read(struct store *s, struct err *e);
int store_commit(struct store *s, struct err *e); // an error: nothing was kept, or it is not known
void store_rollback(struct store *s); // none open: harmless

// Parameters from 1 on; texts and blobs are borrowed until store_reset or the last row.
void store_u64(struct store_stmt *q, int at, uint64_t value); // at most INT64_MAX
void store_i64(struct store_stmt *q, int at, int64_t value);
void store_text(struct store_stmt *q, int at, struct bytes text);
void store_blob(struct store_stmt *q, int at, struct bytes blob); // p NULL: NULL
void store_blob_copy(struct store_stmt *q, int at, struct bytes blob);
// 1: a row, 0: no more (reset by itself), E_* (likewise). Bound values stay.
int store_step(struct store_stmt *q, struct err *e);
void store_reset(struct store_stmt *q);
// To the end, rows are passed over. 0 or E_*.
int store_run(struct store_stmt *q, struct err *e);
// Columns from 0 on, of the row that is there.
uint64_t store_col_u64(struct store_stmt *q, int at);
int64_t store_col_i64(struct store_stmt *q, int at);
struct bytes store_col(struct store_stmt *q, int at); // borrowed until the next step or reset
int64_t store_last_rowid(struct store *s);
uint64_t store_changes(struct store *s); // rows changed by the last statement

// How the log in front of the file (WAL) stands, and moving it into the file: as much as readers
// let.
uint64_t store_wal_pages(const struct store *s);
int store_checkpoint(struct store *s, struct err *e);
uint64_t store_bytes(const struct store *s); // of the file and its log

// For the doctor: reads all of the file. E_IO with what is damaged and the mend. *ret_version may
// be NULL.
int store_check(const char *path, const struct store_schema *schema, uint32_t *ret_version,
                struct err *e);

#ifdef PLEXUS_FAULTS
// Of test builds: asked before each step of SQLite's on a file: "write", "sync", "truncate",
// "open". 0: goes on. Else an errno: ENOSPC, EIO; of a write its first *torn bytes are written
// before it fails. NULL: none. Holds for files that are opened while it is set.
void store_fault_set(int (*fault)(void *user, const char *step, const char *path, uint64_t at,
                                  size_t n, size_t *torn),
                     void *user);
// The power goes, for all files that the shim has open: what was written since the last sync of
// each is taken back, or kept, block by block, as random says. Afterwards every step fails.
void store_fault_cut(uint64_t (*random)(void *user), void *user);
#endif

#endif
