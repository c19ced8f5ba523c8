// migrate.c: whose file it is, which version it has, and how it moves forward.
// SPDX-License-Identifier: Apache-2.0
#include "store/store_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int64_t newest(const struct store_schema *schema)
{
    int64_t n = 0;
    while (schema->steps[n])
        n++;
    return n;
}

// Is the file ours, and of which version? 0: it is empty.
static int look(struct store *s, int64_t *ret_version, struct err *e)
{
    int64_t id = 0, version = 0, tables = 0;
    int rc = store_number(s, "PRAGMA application_id", &id, e);
    if (!rc)
        rc = store_number(s, "PRAGMA user_version", &version, e);
    if (!rc)
        rc = store_number(s, "SELECT count(*) FROM sqlite_schema", &tables, e);
    if (rc)
        return rc;
    if ((uint32_t)id != s->schema->application_id && (id || version || tables))
        return err_set(e, E_INVALID,
                       "%s %s is a database of another program; mend: give another "
                       "path, or move that file away",
                       s->schema->what, s->path);
    if (version > newest(s->schema))
        return err_set(e, E_VERSION,
                       "%s %s was made by a newer plexus (version %lld, this one "
                       "knows %lld); mend: start that plexus, or put %s.v%lld.backup "
                       "in its place if there is one (what came after it is lost)",
                       s->schema->what, s->path, (long long)version, (long long)newest(s->schema),
                       s->path, (long long)newest(s->schema));
    *ret_version = version;
    return 0;
}

static int sync_file(const char *path, struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(e, errno, "backup %s", path);
    int rc = fsync(fd);
    int kept = errno;
    (void)close(fd);
    return rc == 0 ? 0 : err_errno(e, kept, "backup %s", path);
}

static int copy_to(struct store *s, const char *path, struct err *e)
{
    struct store_stmt *q = NULL;
    int rc = store_prepare(s, "VACUUM INTO ?1", &q, e);
    if (rc)
        return rc;
    store_text(q, 1, bytes_of(path));
    mode_t mask = umask(0077);
    rc = store_run(q, e);
    (void)umask(mask);
    return rc ? rc : sync_file(path, e);
}

// A whole copy under PATH.vN.backup, made first under another name.
static int back_up(struct store *s, int64_t version, struct err *e)
{
    char path[4096], part[4096];
    int n = snprintf(path, sizeof path, "%s.v%lld.backup", s->path, (long long)version);
    int m = snprintf(part, sizeof part, "%s.v%lld.backup.part", s->path, (long long)version);
    if (n < 0 || m < 0 || (size_t)m >= sizeof part)
        return err_set(e, E_INVALID, "%s: the path is too long", s->schema->what);
    (void)unlink(part);
    int rc = copy_to(s, part, e);
    if (!rc && rename(part, path) != 0)
        rc = err_errno(e, errno, "backup %s", path);
    if (!rc)
        return 0;
    (void)unlink(part);
    return err_wrap(e, "backup before the move from version %lld", (long long)version);
}

static int move_on(struct store *s, int64_t version, struct err *e)
{
    char sql[120];
    (void)snprintf(sql, sizeof sql, "PRAGMA application_id=%lu; PRAGMA user_version=%lld",
                   (unsigned long)s->schema->application_id, (long long)version + 1);
    int rc = store_begin(s, e);
    if (!rc)
        rc = store_exec(s, s->schema->steps[version], e);
    if (!rc)
        rc = store_exec(s, sql, e);
    if (!rc)
        rc = store_commit(s, e);
    if (rc)
        store_rollback(s);
    return rc ? err_wrap(e, "move to version %lld", (long long)version + 1) : 0;
}

int store_migrate(struct store *s, struct err *e)
{
    int64_t version = 0, to = newest(s->schema);
    int rc = look(s, &version, e);
    if (!rc && version > 0 && version < to)
        rc = back_up(s, version, e);
    for (; !rc && version < to; version++)
        rc = move_on(s, version, e);
    return rc;
}

// ---- the doctor's -------------------------------------------------------------------------------

static int quick_check(struct store *s, struct err *e)
{
    struct store_stmt *q = NULL;
    int rc = store_prepare(s, "PRAGMA quick_check(1)", &q, e);
    if (!rc)
        rc = store_step(q, e);
    if (rc < 0)
        return rc;
    struct bytes said = rc == 1 ? store_col(q, 0) : BYTES("no answer");
    return bytes_is(said, "ok") ? 0 : store_damaged(s, said, e);
}

int store_check(const char *path, const struct store_schema *schema, uint32_t *ret_version,
                struct err *e)
{
    struct store *s = NULL;
    struct store_args a = {.path = path, .schema = schema};
    int64_t version = 0;
    if (access(path, R_OK) != 0)
        return err_errno(e, errno, "%s %s", schema->what, path);
    int rc = store_open_reader(&s, &a, e);
    if (!rc)
        rc = look(s, &version, e);
    if (!rc)
        rc = quick_check(s, e);
    store_close(s);
    if (!rc && ret_version)
        *ret_version = (uint32_t)version;
    return rc;
}
