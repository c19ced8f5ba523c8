// journal_priv.h: what the implementations of the journal share: calls as blocks of their own,
// writes that wait and go out together, how a journal stops, how it closes.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_ADAPTERS_JOURNAL_PRIV_H
#define PLEXUS_ADAPTERS_JOURNAL_PRIV_H

#include "base/alloc.h"
#include "base/buf.h"
#include "port/journal.h"

enum journal_kind {
    JOURNAL_WRITE,
    JOURNAL_PRUNE,
    JOURNAL_TAKE, // these three stand in one line
    JOURNAL_READ,
    JOURNAL_LIST,
    JOURNAL_KEYS,
    JOURNAL_DOC,
};

#define JOURNAL_WHY_MAX 256

// A call, with copies of all that it needs: one block of memory.
struct journal_item {
    struct list link;
    enum journal_kind kind;
    struct journal_req *r;
    union {
        struct journal_write write;
        struct journal_read read;
        struct journal_list list;
        struct journal_keys keys;
        struct {
            struct bytes hash;
            void (*on_doc)(void *user, struct bytes text);
            void *user;
        } doc;
        struct {
            int64_t before_ms;
            size_t limit;
            bool dry;
            uint64_t *ret_count;
            uint64_t count, before_try; // of a commit that may be tried again
        } prune;
        struct {
            bool nobody;
            const char *from;
        } take;
    };
    size_t bytes, entries;
    bool again; // of a prune: there is more to do, in the next commit
    int status; // how it ended
    char why[JOURNAL_WHY_MAX];
};

struct journal_core {
    struct journal base; // first
    struct journal_args args; // its texts are ours
    struct list writes; // struct journal_item, in the order of the calls, not yet in a commit
    struct list batch; // those in the commit that runs
    size_t waiting_bytes;
    size_t reads; // begun, not yet told
    struct timer soon;
    bool committing, telling, closing;
    int stopped; // 0, or the status of every later write
    uint64_t began_ns;
    struct journal_stats stats;
    void (*closed)(void *user);
    void *closed_user;
    // Begins to keep c->batch (never empty) and gives each item its status;
    // journal_core_committed follows, later.
    void (*commit)(struct journal_core *c);
    // Begins a read; journal_core_read_done follows, later. May refuse.
    int (*begin_read)(struct journal_core *c, struct journal_item *x, struct err *e);
    // Nothing waits and nothing runs any more: close, call journal_core_fini, tell c->closed, free.
    void (*finish)(struct journal_core *c);
};

extern const struct journal_ops journal_core_ops; // for all that use this core
int journal_core_init(struct journal_core *c, const struct journal_args *args, struct err *e);
void journal_core_fini(struct journal_core *c); // waiting calls are forgotten
// status 0: what was kept is told as each item says. Negative: the whole commit failed. stop: for
// good.
void journal_core_committed(struct journal_core *c, int status, const char *why, bool stop);
void journal_core_stop(struct journal_core *c, int status, const char *why);
void journal_core_read_done(struct journal_core *c, struct journal_item *x); // tells, frees
int journal_item_fail(struct journal_item *x, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static inline struct journal_core *journal_core_of(struct journal *j)
{
    return (struct journal_core *)(void *)j;
}

int journal_memory_open(const struct journal_args *args, struct journal **ret, struct err *e);
int journal_postgres_open(const struct journal_args *args, struct journal **ret, struct err *e);
int journal_sqlite_open(const struct journal_args *args, struct journal **ret, struct err *e);

#endif
