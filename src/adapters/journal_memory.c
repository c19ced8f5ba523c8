// journal_memory.c: a journal in memory: when it says what, and how it fails on purpose.
// SPDX-License-Identifier: Apache-2.0
#include "adapters/journal_memory.h"
#include "adapters/journal_memory_priv.h"
#include "base/rng.h"
#include <string.h>

struct memory {
    struct journal_core core; // first
    struct journal_ops ops;   // the core's, with a door that may refuse
    struct journal_disk *disk;
    bool own_disk;
    uint64_t fence;
    struct journal_faults faults;
    struct rng rng;
    struct timer commit, read;
    struct list reads; // struct journal_item
    int stop;          // of the next commit
};

static struct memory *memory_of(struct journal_core *c)
{
    return (struct memory *)(void *)c;
}

static bool chance(struct memory *m, uint32_t in_1000)
{
    return in_1000 && rng_below(&m->rng, 1000) < in_1000;
}

static int64_t delay(struct memory *m)
{
    uint32_t most = m->faults.delay_ms_max;
    return most ? (int64_t)rng_below(&m->rng, most + 1) : 0;
}

// ---- commits ------------------------------------------------------------------------------------

static void begin_commit(struct journal_core *c)
{
    struct memory *m = memory_of(c);
    if (!timer_start(c->args.timers, &m->commit, delay(m)))
        return;
    journal_core_committed(c, E_NOMEM, "the journal has no memory", true);
}

// The first `most` of the batch. E_NOMEM: from there on nothing.
static int apply(struct memory *m, size_t most)
{
    const char *owner = m->core.args.owner;
    size_t n = 0;
    list_each (it, &m->core.batch) {
        int rc = n++ < most ? journal_disk_apply(m->disk,
                                                 container_of(it, struct journal_item, link), owner)
                            : 0;
        if (rc)
            return rc;
    }
    return 0;
}

static void fail_commit(struct memory *m)
{
    int status = m->stop;
    if (rng_next(&m->rng) & 1)
        (void)apply(m, SIZE_MAX);
    journal_core_committed(&m->core, status,
                           status == E_NOSPACE ? "the journal's disk is full"
                                               : "the journal's disk failed: fsync",
                           true);
}

static void on_commit(struct timer *t)
{
    struct memory *m = t->user;
    struct journal_core *c = &m->core;
    if (!m->stop && chance(m, m->faults.stop))
        m->stop = rng_next(&m->rng) & 1 ? E_IO : E_NOSPACE;
    if (journal_disk_fenced(m->disk, c->args.owner, m->fence)) {
        journal_core_committed(c, E_CONFLICT, "another node took this node's runs", true);
    } else if (m->stop) {
        fail_commit(m);
    } else {
        int rc = apply(m, SIZE_MAX);
        c->stats.file_bytes = journal_disk_bytes(m->disk);
        journal_core_committed(c, rc, "the journal has no memory", rc != 0);
    }
}

// ---- reads --------------------------------------------------------------------------------------

static int begin_read(struct journal_core *c, struct journal_item *x, struct err *e)
{
    struct memory *m = memory_of(c);
    if (list_empty(&m->reads) && timer_start(c->args.timers, &m->read, delay(m)))
        return err_set(e, E_NOMEM, "journal");
    list_add_tail(&m->reads, &x->link);
    return 0;
}

static void on_read(struct timer *t)
{
    struct memory *m = t->user;
    size_t n = 0;
    list_each (it, &m->reads)
        n++;
    while (n-- > 0) { // those that come meanwhile: in the next round
        struct journal_item *x = container_of(m->reads.next, struct journal_item, link);
        list_del(&x->link);
        journal_disk_read(m->disk, x, m->core.args.owner);
        journal_core_read_done(&m->core, x);
    }
    if (!list_empty(&m->reads))
        (void)timer_start(m->core.args.timers, t, delay(m));
}

// ---- its life -----------------------------------------------------------------------------------

static void memory_free(struct memory *m)
{
    struct timers *timers = m->core.args.timers;
    timer_stop(timers, &m->commit);
    timer_stop(timers, &m->read);
    list_each_safe (it, &m->reads)
        mem_free(container_of(it, struct journal_item, link));
    journal_core_fini(&m->core);
    if (m->own_disk)
        journal_disk_free(m->disk);
    mem_free(m);
}

static void finish(struct journal_core *c)
{
    void (*closed)(void *user) = c->closed;
    void *user = c->closed_user;
    memory_free(memory_of(c));
    if (closed)
        closed(user);
}

static int op_write(struct journal *j, const struct journal_write *w, struct journal_req *r,
                    struct err *e)
{
    struct memory *m = memory_of(journal_core_of(j));
    if (!m->core.closing && chance(m, m->faults.full))
        return err_set(e, E_FULL, "journal: refused by chance");
    return journal_core_ops.write(j, w, r, e);
}

int journal_faulty_open(const struct journal_args *args, const struct journal_faults *faults,
                        struct journal **ret, struct err *e)
{
    struct memory *m = mem_new(struct memory);
    int rc = m ? journal_core_init(&m->core, args, e) : err_set(e, E_NOMEM, "journal");
    if (rc) {
        mem_free(m);
        return rc;
    }
    m->ops = journal_core_ops;
    m->ops.write = op_write;
    m->core.base.ops = &m->ops;
    m->core.commit = begin_commit;
    m->core.begin_read = begin_read;
    m->core.finish = finish;
    m->faults = *faults;
    rng_init(&m->rng, faults->seed);
    list_init(&m->reads);
    m->commit = (struct timer){.fn = on_commit, .user = m};
    m->read = (struct timer){.fn = on_read, .user = m};
    m->disk = args->disk ? args->disk : journal_disk_new();
    m->own_disk = !args->disk;
    if (!m->disk || journal_disk_join(m->disk, m->core.args.owner, &m->fence)) {
        memory_free(m);
        return err_set(e, E_NOMEM, "journal");
    }
    memcpy(m->core.stats.engine, "memory", sizeof "memory");
    *ret = &m->core.base;
    return 0;
}

int journal_memory_open(const struct journal_args *args, struct journal **ret, struct err *e)
{
    return journal_faulty_open(args, &(struct journal_faults){.seed = 0}, ret, e);
}

void journal_memory_stop(struct journal *j, int status)
{
    memory_of(journal_core_of(j))->stop = status;
}

void journal_memory_crash(struct journal *j)
{
    struct memory *m = memory_of(journal_core_of(j));
    if (m->core.committing && !m->core.stopped &&
        !journal_disk_fenced(m->disk, m->core.args.owner, m->fence))
        (void)apply(m, rng_below(&m->rng, m->core.stats.waiting + 1));
    memory_free(m);
}
