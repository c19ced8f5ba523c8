// journal.h: where runs of flows are kept: their histories, a row each, documents, and small
// named values. Nothing is acknowledged before it is on the disk. All calls and callbacks happen on
// the loop thread; the work is done elsewhere.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_PORT_JOURNAL_H
#define PLEXUS_PORT_JOURNAL_H

#include "base/bytes.h"
#include "base/err.h"
#include "base/list.h"
#include "port/clock.h"
#include "port/net.h"
#include "port/work.h"

struct journal;

// What is known of a run without its history.
struct journal_run {
    struct bytes id;
    struct bytes namespace, name, version; // of the document
    struct bytes plan; // hash of its bundle (journal_doc)
    struct bytes status; // flow_status_name
    bool open; // false: it ended
    bool busy; // there is work to be done at once after a restart (an activity, a child...)
    int64_t started_ms, closed_ms; // wall; 0: not yet
    int64_t wake_ms; // earliest timer, TIME_NEVER: none
    struct bytes listens; // JSON array of what it listens to, or empty
    struct bytes parent; // run id, or empty
    uint64_t parent_ticket; // the parent's command
    struct bytes label, by, queue;
    struct bytes note; // JSON for lists: error's title, where it stands; or empty
    uint64_t chapter; // number of the first entry of the present chapter
    uint64_t last; // number of the last entry, 0: none; the journal's, not read in a write
    struct bytes owner; // the node whose run it is; the journal's, not read in a write
};

struct journal_put { // a small named value, for schedules, registered documents, cursors
    struct bytes key; // "schedule/NAMESPACE/NAME"
    struct bytes value; // p NULL: it is removed
};

struct journal_change { // of one run
    struct bytes run;
    bool create; // the run must not be there: E_EXISTS; needs a row, expect is 0
    // Its `last` before this change; else (also when it is not there, or not this node's)
    // E_CONFLICT and nothing of the write is kept. A second change of the same run counts on.
    uint64_t expect;
    // Each one history entry, numbered from expect + 1: JSON text on one line, without \n.
    const struct bytes *entries;
    size_t entry_count;
    const struct journal_run *row; // NULL: only `last` changes. Its id: as run, or empty
};

// Caller-owned until done, which comes once, later.
struct journal_req {
    // A write: 0: on the disk (fsync done). E_CONFLICT, E_EXISTS, E_INVALID: only this write
    // failed. E_LOCKED (another program holds the file), E_UNAVAILABLE (the server is away),
    // E_NOMEM: nothing of this write was kept, later ones may fare better. All others (E_NOSPACE,
    // E_IO...): the journal has stopped, see its stats; every later write fails the same way. The
    // rest: see the calls.
    void (*done)(struct journal_req *r, int status, const struct err *e);
    void *user;
    struct list link;
    void *priv;
};
struct journal_write {
    const struct journal_change *changes; // all slices are copied by the call
    size_t change_count;
    const struct journal_put *puts;
    size_t put_count;
    // A bundle to be kept by its hash, or empty. It stays as long as a run has it as its plan or
    // a put value has the hash in its text: so it comes with the first of them, in one write.
    struct bytes doc_hash, doc;
};

// Reads: all slices of the question are copied by the call; rows come later through on_*, borrowed
// until it returns, then done. false from on_*: enough. All rows are of one moment.
struct journal_read {
    struct bytes run;
    uint64_t from; // first entry, 0: of the present chapter, 1: from the very first that is kept
    uint64_t to; // 0: the last
    bool (*on_entry)(void *user, uint64_t number, struct bytes entry);
    void *user;
};
struct journal_list {
    bool open_only, closed_only, busy_only;
    bool mine; // only runs of this node
    struct bytes namespace, name, status, parent; // empty: any
    int64_t wake_before_ms; // 0: any; else those whose wake_ms is before
    struct bytes after; // id of the last one seen, for paging: newest first
    size_t limit; // 0: all (only for the node itself)
    bool oldest_first;
    bool (*on_run)(void *user, const struct journal_run *run);
    void *user;
};
struct journal_keys {
    struct bytes prefix; // or a whole key; they come in the order of their bytes
    bool (*on_put)(void *user, struct bytes key, struct bytes value);
    void *user;
};
struct journal_stats {
    uint64_t commits, writes, entries, bytes; // since the start
    uint64_t commit_ns_last, commit_ns_max;
    size_t waiting; // writes not yet on the disk
    uint64_t file_bytes;
    bool stopped; // after E_NOSPACE, E_IO, or when the fence was raised
    char why[256]; // it has
    char engine[64]; // "SQLite 3.40.1"
};

struct journal_ops {
    int (*write)(struct journal *j, const struct journal_write *w, struct journal_req *r,
                 struct err *e);
    int (*read)(struct journal *j, const struct journal_read *a, struct journal_req *r,
                struct err *e);
    int (*list)(struct journal *j, const struct journal_list *a, struct journal_req *r,
                struct err *e);
    int (*keys)(struct journal *j, const struct journal_keys *a, struct journal_req *r,
                struct err *e);
    int (*doc)(struct journal *j, struct bytes hash, void (*on_doc)(void *user, struct bytes text),
               void *user, struct journal_req *r, struct err *e);
    int (*prune)(struct journal *j, int64_t closed_before_ms, size_t limit, bool dry,
                 uint64_t *ret_count, struct journal_req *r, struct err *e);
    int (*take)(struct journal *j, const char *from_owner, struct journal_req *r, struct err *e);
    void (*stats)(const struct journal *j, struct journal_stats *ret);
    void (*close)(struct journal *j, void (*closed)(void *user), void *user);
};
struct journal {
    const struct journal_ops *ops;
};

// 0: done will come. E_FULL (waiting writes are over the limit: try later), E_TOOBIG (this one
// alone is over it), E_INVALID, E_CLOSED, E_NOMEM. Writes are kept, and told, in the order of the
// calls; many share one commit.
static inline int journal_write(struct journal *j, const struct journal_write *w,
                                struct journal_req *r, struct err *e)
{
    return j->ops->write(j, w, r, e);
}
// E_NOTFOUND: no such run. What is acknowledged is seen; what is not yet may be, whole writes only.
static inline int journal_read(struct journal *j, const struct journal_read *a,
                               struct journal_req *r, struct err *e)
{
    return j->ops->read(j, a, r, e);
}
static inline int journal_list(struct journal *j, const struct journal_list *a,
                               struct journal_req *r, struct err *e)
{
    return j->ops->list(j, a, r, e);
}
static inline int journal_keys(struct journal *j, const struct journal_keys *a,
                               struct journal_req *r, struct err *e)
{
    return j->ops->keys(j, a, r, e);
}
static inline int journal_doc(struct journal *j, struct bytes hash,
                              void (*on_doc)(void *user, struct bytes text), void *user,
                              struct journal_req *r, struct err *e) // E_NOTFOUND
{
    return j->ops->doc(j, hash, on_doc, user, r, e);
}
// Removes closed runs (the oldest first; limit 0: all) with their histories, and documents that
// nobody uses any more. dry: only counts. *ret_count, of runs, is set before done.
static inline int journal_prune(struct journal *j, int64_t closed_before_ms, size_t limit, bool dry,
                                uint64_t *ret_count, struct journal_req *r, struct err *e)
{
    return j->ops->prune(j, closed_before_ms, limit, dry, ret_count, r, e);
}
// Several nodes on one journal: every run has an owner, the node that created it, and a write of
// another one is E_CONFLICT. Takes the open runs of a node that is gone; its fence is raised: if it
// is not gone, its writes all fail with E_CONFLICT until it opens the journal again. The same
// happens to an elder one when a node opens the journal under the same name. from_owner NULL: the
// runs of nobody (created without a name). E_UNSUPPORTED: this journal has one owner only.
static inline int journal_take(struct journal *j, const char *from_owner, struct journal_req *r,
                               struct err *e)
{
    return j->ops->take(j, from_owner, r, e);
}
static inline void journal_stats(const struct journal *j, struct journal_stats *ret)
{
    j->ops->stats(j, ret);
}
// What waits is written and read first; then closed comes, later, and the memory is gone.
static inline void journal_close(struct journal *j, void (*closed)(void *user), void *user)
{
    j->ops->close(j, closed, user);
}

struct journal_args {
    struct timers *timers;
    struct net *net; // engines over the network
    struct work *writer; // one thread, used by nobody else
    struct work *reader;
    const char *path; // of the file (SQLite)
    const char *url, *user_name, *password; // of a server
    const char *owner; // this node's name
    size_t waiting_bytes_max; // 0: 64 MiB
    size_t commit_max; // writes in one commit, 0: 4096
    struct journal_disk *disk; // of "memory": what outlives it (adapters/journal_memory.h), or NULL
};
// Ends with a NULL name; in adapters/journals.c: "sqlite", "postgres", "memory".
struct journal_engine {
    const char *name, *what;
    // E_VERSION: made by a newer plexus; E_LOCKED; E_IO: damaged, with the mend.
    int (*open)(const struct journal_args *args, struct journal **ret, struct err *e);
};
const struct journal_engine *journal_engines(void);
const struct journal_engine *journal_engine_find(const char *name);

#endif
