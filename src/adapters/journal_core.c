// journal_core.c: what every journal does the same: writes wait in one line and go out together
// as soon as the commit before them has been told; a failure stops it for good; it closes when all
// is told.
// SPDX-License-Identifier: Apache-2.0
#include "adapters/journal_item.h"
#include <stdio.h>
#include <string.h>

#define WAITING_BYTES_MAX ((size_t)64 << 20)
#define COMMIT_MAX 4096
#define READS_MAX 4096

static const char *copy(const char *text, bool *failed)
{
    char *own = mem_str(text);
    *failed |= text && !own;
    return own;
}

static void on_soon(struct timer *t);

int journal_core_init(struct journal_core *c, const struct journal_args *args, struct err *e)
{
    bool failed = false;
    struct journal_args *a = &c->args;
    c->base.ops = &journal_core_ops;
    *a = *args;
    a->waiting_bytes_max = a->waiting_bytes_max ? a->waiting_bytes_max : WAITING_BYTES_MAX;
    a->commit_max = a->commit_max ? a->commit_max : COMMIT_MAX;
    a->path = copy(args->path, &failed);
    a->url = copy(args->url, &failed);
    a->user_name = copy(args->user_name, &failed);
    a->password = copy(args->password, &failed);
    a->owner = copy(args->owner ? args->owner : "", &failed);
    list_init(&c->writes);
    list_init(&c->batch);
    c->soon = (struct timer){.fn = on_soon, .user = c};
    if (!failed)
        return 0;
    journal_core_fini(c);
    return err_set(e, E_NOMEM, "journal");
}

static void items_free(struct list *items)
{
    list_each_safe (it, items) {
        list_del(it);
        mem_free(container_of(it, struct journal_item, link));
    }
}

void journal_core_fini(struct journal_core *c)
{
    struct journal_args *a = &c->args;
    timer_stop(a->timers, &c->soon);
    items_free(&c->writes);
    items_free(&c->batch);
    mem_free((void *)(uintptr_t)a->path);
    mem_free((void *)(uintptr_t)a->url);
    mem_free((void *)(uintptr_t)a->user_name);
    if (a->password)
        mem_wipe((void *)(uintptr_t)a->password, strlen(a->password));
    mem_free((void *)(uintptr_t)a->password);
    mem_free((void *)(uintptr_t)a->owner);
}

// ---- telling ------------------------------------------------------------------------------------

static void tell(struct journal_item *x)
{
    struct err e = {0};
    struct journal_req *r = x->r;
    if (x->kind == JOURNAL_PRUNE && !x->status)
        *x->prune.ret_count = x->prune.count;
    if (x->status)
        (void)err_set(&e, x->status, "%s", x->why);
    int status = x->status;
    mem_free(x);
    r->done(r, status, status ? &e : NULL);
}

static void note(struct journal_core *c, const struct journal_item *x)
{
    if (x->status || x->kind != JOURNAL_WRITE)
        return;
    c->stats.writes++;
    c->stats.entries += x->entries;
    c->stats.bytes += x->bytes;
}

static bool keep_on(struct journal_core *c, struct journal_item *x)
{
    if (!x->again || x->status)
        return false;
    x->again = false;
    list_add_head(&c->writes, &x->link);
    return true;
}

static void tell_all(struct journal_core *c, struct list *items)
{
    c->telling = true;
    while (!list_empty(items)) {
        struct journal_item *x = container_of(items->next, struct journal_item, link);
        list_del(&x->link);
        if (keep_on(c, x))
            continue;
        c->stats.waiting--;
        c->waiting_bytes -= x->bytes;
        note(c, x);
        tell(x);
    }
    c->telling = false;
}

static void fail_all(struct list *items, int status, const char *why)
{
    list_each (it, items)
        (void)journal_item_fail(container_of(it, struct journal_item, link), status, "%s", why);
}

// The line of writes, up to the limit, becomes the batch.
static void gather(struct journal_core *c)
{
    for (size_t n = 0; n < c->args.commit_max && !list_empty(&c->writes); n++) {
        struct list *first = c->writes.next;
        list_del(first);
        list_add_tail(&c->batch, first);
    }
}

static void go_on(struct journal_core *c)
{
    if (c->committing || c->telling)
        return;
    if (list_empty(&c->writes)) {
        if (c->closing && !c->reads)
            c->finish(c);
        return;
    }
    gather(c);
    if (c->stopped) {
        fail_all(&c->batch, c->stopped, c->stats.why);
        tell_all(c, &c->batch);
        (void)timer_start(c->args.timers, &c->soon, 0);
        return;
    }
    c->committing = true;
    c->began_ns = timers_now_ns(c->args.timers);
    c->commit(c);
}

static void on_soon(struct timer *t)
{
    go_on(t->user);
}

void journal_core_stop(struct journal_core *c, int status, const char *why)
{
    if (c->stopped)
        return;
    c->stopped = status;
    c->stats.stopped = true;
    (void)snprintf(c->stats.why, sizeof c->stats.why, "%s", why);
}

void journal_core_committed(struct journal_core *c, int status, const char *why, bool stop)
{
    uint64_t took = timers_now_ns(c->args.timers) - c->began_ns;
    c->committing = false;
    if (stop)
        journal_core_stop(c, status, why);
    if (status) {
        fail_all(&c->batch, status, why);
    } else {
        c->stats.commits++;
        c->stats.commit_ns_last = took;
        c->stats.commit_ns_max = took > c->stats.commit_ns_max ? took : c->stats.commit_ns_max;
    }
    tell_all(c, &c->batch);
    go_on(c);
}

void journal_core_read_done(struct journal_core *c, struct journal_item *x)
{
    c->reads--;
    tell(x);
    if (c->closing)
        (void)timer_start(c->args.timers, &c->soon, 0);
}

// ---- the calls ----------------------------------------------------------------------------------

static int check_open(const struct journal_core *c, struct err *e)
{
    return c->closing ? err_set(e, E_CLOSED, "the journal is closed") : 0;
}

static int add(struct journal_core *c, struct journal_item *x, struct err *e)
{
    if (!x)
        return err_set(e, E_NOMEM, "journal");
    if (c->waiting_bytes + x->bytes > c->args.waiting_bytes_max) {
        mem_free(x);
        return err_set(e, E_FULL, "journal: %zu writes wait for the disk", c->stats.waiting);
    }
    if (!c->committing && !c->telling && timer_start(c->args.timers, &c->soon, 0)) {
        mem_free(x);
        return err_set(e, E_NOMEM, "journal");
    }
    list_add_tail(&c->writes, &x->link);
    c->stats.waiting++;
    c->waiting_bytes += x->bytes;
    return 0;
}

static int begin(struct journal_core *c, struct journal_item *x, struct err *e)
{
    if (!x)
        return err_set(e, E_NOMEM, "journal");
    int rc = c->reads >= READS_MAX ? err_set(e, E_FULL, "journal: %zu reads at once", c->reads)
                                   : c->begin_read(c, x, e);
    if (rc)
        mem_free(x);
    else
        c->reads++;
    return rc;
}

static int op_write(struct journal *j, const struct journal_write *w, struct journal_req *r,
                    struct err *e)
{
    struct journal_core *c = journal_core_of(j);
    struct journal_item *x = NULL;
    int rc = check_open(c, e);
    if (!rc)
        rc = journal_item_write(w, r, c->args.waiting_bytes_max, &x, e);
    return rc ? rc : add(c, x, e);
}

static int op_prune(struct journal *j, int64_t closed_before_ms, size_t limit, bool dry,
                    uint64_t *ret_count, struct journal_req *r, struct err *e)
{
    struct journal_core *c = journal_core_of(j);
    int rc = check_open(c, e);
    struct journal_item *x = rc ? NULL : journal_item_prune(r);
    if (x) {
        x->prune.before_ms = closed_before_ms;
        x->prune.limit = limit ? limit : SIZE_MAX;
        x->prune.dry = dry;
        x->prune.ret_count = ret_count;
    }
    return rc ? rc : add(c, x, e);
}

static int op_take(struct journal *j, const char *from_owner, struct journal_req *r, struct err *e)
{
    struct journal_core *c = journal_core_of(j);
    int rc = check_open(c, e);
    return rc ? rc : add(c, journal_item_take(from_owner, r), e);
}

static int op_read(struct journal *j, const struct journal_read *a, struct journal_req *r,
                   struct err *e)
{
    struct journal_core *c = journal_core_of(j);
    int rc = check_open(c, e);
    return rc ? rc : begin(c, journal_item_read(a, r), e);
}

static int op_list(struct journal *j, const struct journal_list *a, struct journal_req *r,
                   struct err *e)
{
    struct journal_core *c = journal_core_of(j);
    int rc = check_open(c, e);
    if (!rc && (a->open_only || a->busy_only) && a->closed_only)
        rc = err_set(e, E_INVALID, "journal: no run is open and closed");
    return rc ? rc : begin(c, journal_item_list(a, r), e);
}

static int op_keys(struct journal *j, const struct journal_keys *a, struct journal_req *r,
                   struct err *e)
{
    struct journal_core *c = journal_core_of(j);
    int rc = check_open(c, e);
    return rc ? rc : begin(c, journal_item_keys(a, r), e);
}

static int op_doc(struct journal *j, struct bytes hash,
                  void (*on_doc)(void *user, struct bytes text), void *user, struct journal_req *r,
                  struct err *e)
{
    struct journal_core *c = journal_core_of(j);
    int rc = check_open(c, e);
    return rc ? rc : begin(c, journal_item_doc(hash, on_doc, user, r), e);
}

static void op_stats(const struct journal *j, struct journal_stats *ret)
{
    const struct journal_core *c = (const struct journal_core *)(const void *)j;
    *ret = c->stats;
}

static void op_close(struct journal *j, void (*closed)(void *user), void *user)
{
    struct journal_core *c = journal_core_of(j);
    if (c->closing)
        return;
    c->closing = true;
    c->closed = closed;
    c->closed_user = user;
    (void)timer_start(c->args.timers, &c->soon, 0);
}

const struct journal_ops journal_core_ops = {
    .write = op_write,
    .read = op_read,
    .list = op_list,
    .keys = op_keys,
    .doc = op_doc,
    .prune = op_prune,
    .take = op_take,
    .stats = op_stats,
    .close = op_close,
};
