// store.c: connections and statements.
// SPDX-License-Identifier: Apache-2.0
#include "base/buf.h"
#include "base/file.h"
#include "store/store_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define CACHE_BYTES ((size_t)16 << 20)
#define BUSY_MS 5000
#define MEND_DAMAGED                                                                               \
    "mend: stop the node, keep a copy of the folder, then: sqlite3 FILE .recover | sqlite3 NEW; "  \
    "or "                                                                                          \
    "put a backup in its place"

const char *store_version(void)
{
    return sqlite3_libversion();
}

// ---- errors -------------------------------------------------------------------------------------

static const struct {
    int code, status;
    const char *mend;
} errors[] = {
    {SQLITE_FULL, E_NOSPACE, "mend: make room on its disk, then start again"},
    {SQLITE_BUSY, E_LOCKED,
     "another program holds the file; mend: end what has it open (fuser "
     "FILE shows it)"},
    {SQLITE_LOCKED, E_LOCKED, "it is held by this process"},
    {SQLITE_CORRUPT, E_IO, "the file is damaged; " MEND_DAMAGED},
    {SQLITE_NOTADB, E_IO, "this is no database, or its first page is damaged; " MEND_DAMAGED},
    {SQLITE_NOMEM, E_NOMEM, ""},
    {SQLITE_TOOBIG, E_TOOBIG, ""},
    {SQLITE_CONSTRAINT, E_EXISTS, ""},
    {SQLITE_READONLY, E_PERM, "mend: file and folder must be writable by this user"},
    {SQLITE_PERM, E_PERM, "mend: file and folder must be writable by this user"},
    {SQLITE_AUTH, E_PERM, "mend: file and folder must be writable by this user"},
    {SQLITE_CANTOPEN, E_PERM, "mend: file and folder must be there and writable by this user"},
    {SQLITE_IOERR, E_IO, "the disk failed; mend: look at the system's log, then start again"},
};

int store_error(struct store *s, int code, struct err *e)
{
    int base = code & 0xff, status = E_INTERNAL;
    int errno_value = s->db ? sqlite3_system_errno(s->db) : 0;
    const char *mend = "";
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        if (errors[i].code != base)
            continue;
        status = errors[i].status;
        mend = errors[i].mend;
    }
    if (base == SQLITE_IOERR && (errno_value == ENOSPC || errno_value == EDQUOT))
        return err_set(e, E_NOSPACE,
                       "%s %s: no space left; mend: make room on its disk, then start "
                       "again",
                       s->schema->what, s->path);
    if (code == SQLITE_IOERR_NOMEM)
        status = E_NOMEM;
    return err_set(e, status, "%s %s: %s (SQLite %d)%s%s", s->schema->what, s->path,
                   s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(code), code, *mend ? "; " : "",
                   mend);
}

int store_damaged(struct store *s, struct bytes what, struct err *e)
{
    return err_set(e, E_IO, "%s %s is damaged: %.*s; " MEND_DAMAGED, s->schema->what, s->path,
                   BYTES_FMT(bytes_first(what, 300)));
}

// ---- statements ---------------------------------------------------------------------------------

int store_prepare(struct store *s, const char *sql, struct store_stmt **ret, struct err *e)
{
    struct store_stmt *q = mem_new(struct store_stmt);
    if (!q)
        return err_set(e, E_NOMEM, "%s", s->schema->what);
    int rc = sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &q->q, NULL);
    if (rc != SQLITE_OK) {
        mem_free(q);
        return store_error(s, rc, e);
    }
    q->store = s;
    list_add_tail(&s->stmts, &q->link);
    *ret = q;
    return 0;
}

void store_finish(struct store_stmt *q)
{
    if (!q)
        return;
    list_del(&q->link);
    (void)sqlite3_finalize(q->q);
    mem_free(q);
}

int store_exec(struct store *s, const char *sql, struct err *e)
{
    int rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? 0 : store_error(s, rc, e);
}

// Binding fails only for want of memory or a wrong number: the step says so.
void store_u64(struct store_stmt *q, int at, uint64_t value)
{
    (void)sqlite3_bind_int64(q->q, at, (sqlite3_int64)value);
}

void store_i64(struct store_stmt *q, int at, int64_t value)
{
    (void)sqlite3_bind_int64(q->q, at, value);
}

void store_text(struct store_stmt *q, int at, struct bytes text)
{
    (void)sqlite3_bind_text64(q->q, at, text.p ? text.p : "", text.n, SQLITE_STATIC, SQLITE_UTF8);
}

void store_blob(struct store_stmt *q, int at, struct bytes blob)
{
    (void)sqlite3_bind_blob64(q->q, at, blob.p, blob.n, SQLITE_STATIC);
}

void store_blob_copy(struct store_stmt *q, int at, struct bytes blob)
{
    (void)sqlite3_bind_blob64(q->q, at, blob.p, blob.n, SQLITE_TRANSIENT);
}

void store_reset(struct store_stmt *q)
{
    (void)sqlite3_reset(q->q); // its error was told by the step
    q->running = false;
}

int store_step(struct store_stmt *q, struct err *e)
{
    int rc = sqlite3_step(q->q);
    q->running = true;
    if (rc == SQLITE_ROW)
        return 1;
    int status = rc == SQLITE_DONE ? 0 : store_error(q->store, rc, e);
    store_reset(q);
    return status;
}

int store_run(struct store_stmt *q, struct err *e)
{
    int rc;
    do
        rc = store_step(q, e);
    while (rc == 1);
    return rc;
}

uint64_t store_col_u64(struct store_stmt *q, int at)
{
    return (uint64_t)sqlite3_column_int64(q->q, at);
}

int64_t store_col_i64(struct store_stmt *q, int at)
{
    return sqlite3_column_int64(q->q, at);
}

struct bytes store_col(struct store_stmt *q, int at)
{
    const char *p = sqlite3_column_blob(q->q, at);
    return (struct bytes){p, p ? (size_t)sqlite3_column_bytes(q->q, at) : 0};
}

int64_t store_last_rowid(struct store *s)
{
    return sqlite3_last_insert_rowid(s->db);
}

uint64_t store_changes(struct store *s)
{
    return (uint64_t)sqlite3_changes(s->db);
}

int store_begin(struct store *s, struct err *e)
{
    return store_run(s->begin, e);
}

int store_begin_read(struct store *s, struct err *e)
{
    return store_run(s->begin_read, e);
}

int store_commit(struct store *s, struct err *e)
{
    return store_run(s->commit, e);
}

void store_rollback(struct store *s)
{
    list_each (it, &s->stmts) {
        struct store_stmt *q = container_of(it, struct store_stmt, link);
        if (q->running)
            store_reset(q);
    }
    if (!sqlite3_get_autocommit(s->db))
        (void)store_run(s->rollback, NULL); // fails only when there is nothing left to undo
}

int store_number(struct store *s, const char *pragma, int64_t *ret, struct err *e)
{
    struct store_stmt *q = NULL;
    int rc = store_prepare(s, pragma, &q, e);
    if (rc || !q)
        return rc;
    rc = store_step(q, e);
    if (rc == 1)
        *ret = store_col_i64(q, 0);
    store_finish(q);
    return rc < 0 ? rc : 0;
}

// ---- the log in front ---------------------------------------------------------------------------

static int on_wal(void *user, sqlite3 *db, const char *name, int pages)
{
    struct store *s = user;
    (void)db;
    (void)name;
    s->wal_pages = (uint64_t)pages;
    return SQLITE_OK;
}

uint64_t store_wal_pages(const struct store *s)
{
    return s->wal_pages;
}

int store_checkpoint(struct store *s, struct err *e)
{
    int pages = 0, moved = 0;
    int rc = sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &pages, &moved);
    if (rc == SQLITE_OK && pages >= 0)
        s->wal_pages = (uint64_t)(pages - moved);
    return rc == SQLITE_OK || rc == SQLITE_BUSY ? 0 : store_error(s, rc, e);
}

static uint64_t file_bytes(const char *path, const char *end)
{
    char name[4096];
    struct stat st;
    int n = snprintf(name, sizeof name, "%s%s", path, end);
    return n > 0 && (size_t)n < sizeof name && stat(name, &st) == 0 ? (uint64_t)st.st_size : 0;
}

uint64_t store_bytes(const struct store *s)
{
    return file_bytes(s->path, "") + file_bytes(s->path, "-wal");
}

// ---- opening ------------------------------------------------------------------------------------

static int take_lock(struct store *s, struct err *e)
{
    char name[4096];
    int n = snprintf(name, sizeof name, "%s.lock", s->path);
    if (n < 0 || (size_t)n >= sizeof name)
        return err_set(e, E_INVALID, "%s: the path is too long", s->schema->what);
    s->lock_fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (s->lock_fd < 0)
        return err_errno(e, errno, "%s %s", s->schema->what, name);
    if (flock(s->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    if (errno != EWOULDBLOCK)
        return err_errno(e, errno, "%s %s", s->schema->what, name);
    return err_set(e, E_LOCKED,
                   "%s %s is used by another node; mend: stop that one, or give this "
                   "one a data folder of its own",
                   s->schema->what, s->path);
}

static int make_folder(const char *path, struct err *e)
{
    const char *slash = strrchr(path, '/');
    if (!slash || slash == path)
        return 0;
    AUTO_MEM char *folder = mem_dup(path, (size_t)(slash - path));
    return folder ? file_mkdirs(folder, 0700, e) : err_set(e, E_NOMEM, "store");
}

static int connect(struct store *s, int flags, const struct store_args *a, struct err *e)
{
    mode_t mask = umask(0077); // SQLite has 0644 for new files
    int rc = sqlite3_open_v2(s->path, &s->db, flags | SQLITE_OPEN_NOMUTEX, store_vfs());
    (void)umask(mask);
    if (rc != SQLITE_OK)
        return store_error(s, rc, e);
    (void)sqlite3_extended_result_codes(s->db, 1);
    (void)sqlite3_busy_timeout(s->db, (int)(a->busy_ms ? a->busy_ms : BUSY_MS));
    (void)sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    (void)sqlite3_db_config(s->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    return 0;
}

static int settings(struct store *s, const struct store_args *a, struct err *e)
{
    char sql[200];
    (void)snprintf(sql, sizeof sql,
                   "PRAGMA synchronous=FULL; PRAGMA temp_store=MEMORY; PRAGMA cell_size_check=ON;"
                   "PRAGMA cache_size=-%zu",
                   (a->cache_bytes ? a->cache_bytes : CACHE_BYTES) / 1024);
    return store_exec(s, sql, e);
}

static int turns(struct store *s, struct err *e)
{
    int rc = store_prepare(s, "BEGIN IMMEDIATE", &s->begin, e);
    if (!rc)
        rc = store_prepare(s, "BEGIN", &s->begin_read, e);
    if (!rc)
        rc = store_prepare(s, "COMMIT", &s->commit, e);
    return rc ? rc : store_prepare(s, "ROLLBACK", &s->rollback, e);
}

static struct store *store_new(const struct store_args *a, struct err *e)
{
    struct store *s = mem_new(struct store);
    if (s) {
        list_init(&s->stmts);
        s->lock_fd = -1;
        s->schema = a->schema;
        s->path = mem_str(a->path);
    }
    if (s && s->path)
        return s;
    mem_free(s);
    (void)err_set(e, E_NOMEM, "%s", a->schema->what);
    return NULL;
}

static int use_wal(struct store *s, struct err *e)
{
    struct store_stmt *q = NULL;
    int rc = store_prepare(s, "PRAGMA journal_mode=WAL", &q, e);
    if (rc || !q)
        return rc;
    rc = store_step(q, e);
    bool good = rc == 1 && bytes_is(store_col(q, 0), "wal");
    store_finish(q);
    if (rc < 0 || good)
        return rc < 0 ? rc : 0;
    return err_set(e, E_UNSUPPORTED,
                   "%s %s: its file system has no shared memory; mend: put it on "
                   "a local disk",
                   s->schema->what, s->path);
}

static int open_writer(struct store *s, const struct store_args *a, struct err *e)
{
    int rc = make_folder(a->path, e);
    if (!rc)
        rc = take_lock(s, e);
    if (!rc)
        rc = connect(s, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, a, e);
    if (!rc)
        rc = settings(s, a, e);
    if (!rc)
        rc = turns(s, e);
    if (!rc)
        rc = store_migrate(s, e);
    if (rc)
        return rc;
    (void)sqlite3_wal_hook(s->db, on_wal, s); // instead of SQLite's checkpoints inside of commits
    return 0;
}

int store_open(struct store **ret, const struct store_args *args, struct err *e)
{
    struct store *s = store_new(args, e);
    int rc = s ? open_writer(s, args, e) : E_NOMEM;
    if (!rc && (rc = use_wal(s, e)) == 0)
        *ret = s;
    else
        store_close(s);
    return rc;
}

int store_open_reader(struct store **ret, const struct store_args *args, struct err *e)
{
    struct store *s = store_new(args, e);
    int rc = s ? connect(s, SQLITE_OPEN_READWRITE, args, e) : E_NOMEM;
    if (!rc)
        rc = settings(s, args, e);
    if (!rc)
        rc = store_exec(s, "PRAGMA query_only=ON; PRAGMA wal_autocheckpoint=0", e);
    if (!rc)
        rc = turns(s, e);
    if (!rc)
        *ret = s;
    else
        store_close(s);
    return rc;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    if (s->db)
        store_rollback(s);
    list_each_safe (it, &s->stmts)
        store_finish(container_of(it, struct store_stmt, link));
    (void)sqlite3_close(s->db);
    if (s->lock_fd >= 0)
        (void)close(s->lock_fd);
    mem_free(s->path);
    mem_free(s);
}
