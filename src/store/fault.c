// fault.c: of test builds: what SQLite writes goes through here, where disks may be full, fail,
// tear a write, or lose their power.
// SPDX-License-Identifier: Apache-2.0
#include "store/store_priv.h"

#ifndef PLEXUS_FAULTS

const char *store_vfs(void)
{
    return NULL;
}

#else

#include "base/map.h"
#include "base/thread.h"

#include <errno.h>
#include <string.h>

enum { SECTOR = 512 };
#define NAME "plexus-fault"

struct old { // what a sector had at the last sync
    size_t n;
    char bytes[SECTOR];
};

struct shim { // an open file; the system's own follows
    sqlite3_file base;
    struct list link;
    const char *path;
    struct map *old; // sector number: struct old
    sqlite3_int64 synced; // its size then
    sqlite3_file *real;
};

static struct {
    int (*fault)(void *user, const char *step, const char *path, uint64_t at, size_t n,
                 size_t *torn);
    void *user;
    sqlite3_vfs vfs, *real;
    struct lock *lock;
    struct list files;
    bool cut, ready;
} faults;

static struct shim *shim_of(sqlite3_file *f)
{
    return (struct shim *)(void *)f;
}

// 0, or SQLite's code for what the test wants.
static int ask(const struct shim *f, const char *step, uint64_t at, size_t n, size_t *torn)
{
    size_t none = 0;
    if (faults.cut)
        return SQLITE_IOERR;
    int rc = faults.fault ? faults.fault(faults.user, step, f->path ? f->path : "", at, n,
                                         torn ? torn : &none)
                          : 0;
    if (!rc)
        return 0;
    return rc == ENOSPC                ? SQLITE_FULL
           : !strcmp(step, "sync")     ? SQLITE_IOERR_FSYNC
           : !strcmp(step, "truncate") ? SQLITE_IOERR_TRUNCATE
           : !strcmp(step, "open")     ? SQLITE_CANTOPEN
                                       : SQLITE_IOERR_WRITE;
}

// ---- what was not synced ------------------------------------------------------------------------

static void forget(struct shim *f)
{
    void *value;
    for (size_t at = 0; f->old && map_each(f->old, &at, NULL, &value);)
        mem_free(value);
    map_free(f->old);
    f->old = NULL;
    (void)f->real->pMethods->xFileSize(f->real, &f->synced);
}

static int save(struct shim *f, uint64_t sector)
{
    struct bytes key = {(const char *)&sector, sizeof sector};
    if (!f->old)
        f->old = map_new(SIZE_MAX);
    if (!f->old)
        return SQLITE_NOMEM;
    if (map_get(f->old, key))
        return 0;
    struct old *o = mem_new(struct old);
    if (!o || map_put(f->old, key, o, NULL)) {
        mem_free(o);
        return SQLITE_NOMEM;
    }
    sqlite3_int64 at = (sqlite3_int64)sector * SECTOR, n = f->synced - at;
    o->n = n <= 0 ? 0 : n < SECTOR ? (size_t)n : SECTOR;
    return o->n ? f->real->pMethods->xRead(f->real, o->bytes, (int)o->n, at) : 0;
}

static void take_back(struct shim *f, uint64_t (*random)(void *user), void *user)
{
    struct bytes key;
    void *value;
    for (size_t at = 0; f->old && map_each(f->old, &at, &key, &value);) {
        const struct old *o = value;
        uint64_t sector;
        memcpy(&sector, key.p, sizeof sector);
        if (o->n && random(user) & 1)
            (void)f->real->pMethods->xWrite(f->real, o->bytes, (int)o->n,
                                            (sqlite3_int64)sector * SECTOR);
        static const char zeros[SECTOR];
        sqlite3_int64 size = 0;
        (void)f->real->pMethods->xFileSize(f->real, &size);
        sqlite3_int64 from = (sqlite3_int64)sector * SECTOR, to = from + SECTOR;
        if (!o->n && to <= size && random(user) & 1) // its length came, its bytes did not
            (void)f->real->pMethods->xWrite(f->real, zeros, SECTOR, from);
    }
    sqlite3_int64 size = 0;
    (void)f->real->pMethods->xFileSize(f->real, &size);
    if (f->old && size > f->synced && random(user) % 4 == 0) // readers know no size
        (void)f->real->pMethods->xTruncate(
            f->real, f->synced + (sqlite3_int64)(random(user) % (uint64_t)(size - f->synced + 1)));
}

void store_fault_cut(uint64_t (*random)(void *user), void *user)
{
    lock_take(faults.lock);
    list_each (it, &faults.files)
        take_back(container_of(it, struct shim, link), random, user);
    faults.cut = true;
    lock_give(faults.lock);
}

// ---- a file -------------------------------------------------------------------------------------

static int on_write(sqlite3_file *file, const void *p, int n, sqlite3_int64 at)
{
    struct shim *f = shim_of(file);
    size_t torn = 0;
    lock_take(faults.lock);
    int rc = ask(f, "write", (uint64_t)at, (size_t)n, &torn), saved = 0;
    uint64_t from = (uint64_t)at / SECTOR, to = (uint64_t)(at + n - 1) / SECTOR;
    for (uint64_t i = from; !faults.cut && !saved && i <= to; i++)
        saved = save(f, i);
    if (!rc)
        rc = saved ? saved : f->real->pMethods->xWrite(f->real, p, n, at);
    else if (torn)
        (void)f->real->pMethods->xWrite(f->real, p, torn < (size_t)n ? (int)torn : n, at);
    lock_give(faults.lock);
    return rc;
}

static int on_sync(sqlite3_file *file, int flags)
{
    struct shim *f = shim_of(file);
    lock_take(faults.lock);
    int rc = ask(f, "sync", 0, 0, NULL);
    if (!rc)
        rc = f->real->pMethods->xSync(f->real, flags);
    if (!rc)
        forget(f);
    lock_give(faults.lock);
    return rc;
}

static int on_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    struct shim *f = shim_of(file);
    lock_take(faults.lock);
    int rc = ask(f, "truncate", (uint64_t)size, 0, NULL);
    if (!rc)
        rc = f->real->pMethods->xTruncate(f->real, size);
    if (!rc && size < f->synced)
        f->synced = size; // taken as if it were on the disk
    lock_give(faults.lock);
    return rc;
}

static int on_close(sqlite3_file *file)
{
    struct shim *f = shim_of(file);
    lock_take(faults.lock);
    forget(f);
    list_del(&f->link);
    int rc = f->real->pMethods->xClose(f->real);
    lock_give(faults.lock);
    return rc;
}

#define REAL (shim_of(f)->real)
#define CALL(name) REAL->pMethods->name
static int on_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
    return CALL(xRead)(REAL, p, n, at);
}
static int on_size(sqlite3_file *f, sqlite3_int64 *ret)
{
    return CALL(xFileSize)(REAL, ret);
}
static int on_lock(sqlite3_file *f, int how)
{
    return CALL(xLock)(REAL, how);
}
static int on_unlock(sqlite3_file *f, int how)
{
    return CALL(xUnlock)(REAL, how);
}
static int on_reserved(sqlite3_file *f, int *ret)
{
    return CALL(xCheckReservedLock)(REAL, ret);
}
static int on_control(sqlite3_file *f, int op, void *arg)
{
    return CALL(xFileControl)(REAL, op, arg);
}
static int on_sector(sqlite3_file *f)
{
    (void)f;
    return SECTOR;
}
static int on_features(sqlite3_file *f)
{
    (void)f;
    return 0; // none: no write is atomic, none stays in order
}
static int on_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **ret)
{
    return CALL(xShmMap)(REAL, page, size, extend, ret);
}
static int on_shm_lock(sqlite3_file *f, int at, int n, int flags)
{
    return CALL(xShmLock)(REAL, at, n, flags);
}
static void on_shm_barrier(sqlite3_file *f)
{
    CALL(xShmBarrier)(REAL);
}
static int on_shm_unmap(sqlite3_file *f, int drop)
{
    return CALL(xShmUnmap)(REAL, drop);
}

// ---- the file system ----------------------------------------------------------------------------

static int on_open(sqlite3_vfs *v, const char *path, sqlite3_file *file, int flags, int *ret_flags)
{
    static const sqlite3_io_methods methods = {
        .iVersion = 2,
        .xClose = on_close,
        .xRead = on_read,
        .xWrite = on_write,
        .xTruncate = on_truncate,
        .xSync = on_sync,
        .xFileSize = on_size,
        .xLock = on_lock,
        .xUnlock = on_unlock,
        .xCheckReservedLock = on_reserved,
        .xFileControl = on_control,
        .xSectorSize = on_sector,
        .xDeviceCharacteristics = on_features,
        .xShmMap = on_shm_map,
        .xShmLock = on_shm_lock,
        .xShmBarrier = on_shm_barrier,
        .xShmUnmap = on_shm_unmap,
    };
    struct shim *f = shim_of(file);
    (void)v;
    f->base.pMethods = NULL;
    f->path = path;
    f->old = NULL;
    f->synced = 0;
    f->real = (sqlite3_file *)(void *)(f + 1);
    lock_take(faults.lock);
    int rc = ask(f, "open", 0, 0, NULL);
    if (!rc)
        rc = faults.real->xOpen(faults.real, path, f->real, flags, ret_flags);
    if (!rc) {
        f->base.pMethods = &methods;
        list_add_tail(&faults.files, &f->link);
        forget(f);
    }
    lock_give(faults.lock);
    return rc;
}

static int on_delete(sqlite3_vfs *v, const char *path, int sync)
{
    (void)v;
    return faults.cut ? SQLITE_IOERR_DELETE : faults.real->xDelete(faults.real, path, sync);
}

static void make_vfs(void)
{
    faults.real = sqlite3_vfs_find(NULL);
    faults.vfs = *faults.real;
    faults.vfs.zName = NAME;
    faults.vfs.szOsFile = (int)sizeof(struct shim) + faults.real->szOsFile;
    faults.vfs.xOpen = on_open;
    faults.vfs.xDelete = on_delete;
    list_init(&faults.files);
    (void)sqlite3_vfs_register(&faults.vfs, 0);
    faults.ready = true;
}

const char *store_vfs(void)
{
    return faults.fault ? NAME : NULL;
}

void store_fault_set(int (*fault)(void *user, const char *step, const char *path, uint64_t at,
                                  size_t n, size_t *torn),
                     void *user)
{
    if (!faults.ready)
        make_vfs();
    if (!faults.lock && fault)
        faults.lock = lock_new();
    faults.fault = fault;
    faults.user = user;
    faults.cut = false;
    if (!fault) {
        lock_free(faults.lock);
        faults.lock = NULL;
    }
}

#endif
