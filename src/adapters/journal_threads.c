// journal_threads.c: commits and reads of a database that waits, so that the loop does not.
// SPDX-License-Identifier: Apache-2.0
#include "adapters/journal_threads.h"
#include <stdio.h>
#include <string.h>

#define READERS_MAX 4
#define RETRY_MS 10
#define PIECE_BYTES ((size_t)256 << 10)
#define PIECE_MAX ((size_t)2 << 30) // one row may be as large as a write

static struct journal_threads *threads_of(struct journal_core *c)
{
    return (struct journal_threads *)(void *)c;
}

// ---- writing ------------------------------------------------------------------------------------

static void run_commit(struct work_req *r)
{
    struct journal_threads *t = r->user;
    t->commit_err = (struct err){.code = 0};
    t->commit_status = t->ops->commit(t, &t->core.batch, &t->commit_err);
}

static void run_tidy(struct work_req *r)
{
    struct journal_threads *t = r->user;
    t->tidy_err = (struct err){.code = 0};
    t->tidy_status = t->ops->tidy(t, &t->tidy_err);
}

// Nothing was kept, and the next commit may fare better.
static bool passes(int status)
{
    return status == E_LOCKED || status == E_NOMEM || status == E_UNAVAILABLE;
}

static void done_tidy(struct work_req *r)
{
    struct journal_threads *t = r->user;
    t->tidying = false;
    if (t->tidy_status && !passes(t->tidy_status))
        journal_core_stop(&t->core, t->tidy_status, t->tidy_err.text);
    if (t->core.closing)
        (void)timer_start(t->core.args.timers, &t->core.soon, 0);
}

static void done_commit(struct work_req *r)
{
    struct journal_threads *t = r->user;
    int status = t->commit_status;
    t->core.stats.file_bytes = t->bytes;
    if (!status && t->tidy_due && !t->tidying)
        t->tidying = work_start(t->core.args.writer, &t->tidy) == 0;
    journal_core_committed(&t->core, status, t->commit_err.text, status && !passes(status));
}

static void begin_commit(struct journal_core *c)
{
    int rc = work_start(c->args.writer, &threads_of(c)->commit);
    if (rc)
        journal_core_committed(c, rc, "the journal's writer cannot be started", false);
}

// ---- pieces -------------------------------------------------------------------------------------

bool journal_piece_full(const struct journal_piece *p)
{
    return p->count == JOURNAL_PIECE_ROWS || arena_used(p->text) > PIECE_BYTES;
}

int journal_piece_keep(struct journal_piece *p, struct bytes text, struct bytes *ret, struct err *e)
{
    char *copy = arena_alloc(p->text, text.n ? text.n : 1);
    if (!copy)
        return err_set(e, E_NOMEM, "journal");
    if (text.n)
        memcpy(copy, text.p, text.n);
    *ret = (struct bytes){copy, text.n};
    return 0;
}

static int piece_ready(struct journal_reader *r, struct err *e)
{
    struct journal_piece *p = &r->piece;
    bool list = r->item && r->item->kind == JOURNAL_LIST;
    if (!p->text)
        p->text = arena_new(PIECE_MAX);
    if (!p->rows)
        p->rows = mem_array(JOURNAL_PIECE_ROWS, sizeof *p->rows);
    if (!p->runs && list)
        p->runs = mem_array(JOURNAL_PIECE_ROWS, sizeof *p->runs);
    if (!p->text || !p->rows || (!p->runs && list))
        return err_set(e, E_NOMEM, "journal");
    arena_reset(p->text);
    p->count = 0;
    p->last = false;
    return 0;
}

static bool tell_lines(const struct journal_item *x, const struct journal_row *row)
{
    struct bytes lines = row->value;
    uint64_t number = row->number;
    for (unsigned i = 0; i < row->count; i++, number++) {
        struct bytes entry = bytes_cut(&lines, '\n');
        if (x->read.to && number > x->read.to)
            return false;
        if (number >= x->read.from && !x->read.on_entry(x->read.user, number, entry))
            return false;
    }
    return true;
}

static bool tell_row(struct journal_reader *r, size_t i)
{
    const struct journal_item *x = r->item;
    const struct journal_piece *p = &r->piece;
    if (x->kind == JOURNAL_READ)
        return tell_lines(x, &p->rows[i]);
    if (x->kind == JOURNAL_LIST)
        return x->list.on_run(x->list.user, &p->runs[i]);
    if (x->kind == JOURNAL_KEYS)
        return x->keys.on_put(x->keys.user, p->rows[i].key, p->rows[i].value);
    x->doc.on_doc(x->doc.user, p->rows[i].value);
    return true;
}

// false: the read has ended.
static bool tell_piece(struct journal_reader *r)
{
    struct journal_piece *p = &r->piece;
    if (r->item->status)
        return false;
    for (size_t i = 0; i < p->count; i++)
        if (!tell_row(r, i))
            return false;
    if (p->last && r->item->kind == JOURNAL_DOC && !p->count)
        (void)journal_item_fail(r->item, E_NOTFOUND, "there is no document %.*s",
                                BYTES_FMT(r->item->doc.hash));
    return !p->last;
}

// ---- reading ------------------------------------------------------------------------------------

static void run_read(struct work_req *w)
{
    struct journal_reader *r = w->user;
    struct err e = {0};
    int rc = piece_ready(r, &e);
    if (!rc)
        rc = r->journal->ops->gather(r, &e);
    r->begun = !rc && !r->piece.last;
    if (rc && r->item)
        (void)journal_item_fail(r->item, rc, "%s", e.text);
}

static void start_read(struct journal_threads *t, struct journal_reader *r)
{
    if (!work_start(t->core.args.reader, &r->work))
        return;
    list_add_tail(&t->stalled, &r->link); // its threads have too much to do
    (void)timer_start(t->core.args.timers, &t->retry, RETRY_MS);
}

static size_t count(const struct list *l)
{
    size_t n = 0;
    list_each (it, l)
        n++;
    return n;
}

static void on_retry(struct timer *timer)
{
    struct journal_threads *t = timer->user;
    for (size_t n = count(&t->stalled); n > 0; n--) { // who stalls again: later
        struct list *first = t->stalled.next;
        list_del(first);
        start_read(t, container_of(first, struct journal_reader, link));
    }
}

// The connection is free: for the next that waits.
static void pass_on(struct journal_threads *t, struct journal_reader *r)
{
    if (list_empty(&t->items)) {
        list_add_head(&t->idle, &r->link);
        if (t->core.closing)
            (void)timer_start(t->core.args.timers, &t->core.soon, 0);
        return;
    }
    struct list *first = t->items.next;
    list_del(first);
    r->item = container_of(first, struct journal_item, link);
    start_read(t, r);
}

static void done_read(struct work_req *w)
{
    struct journal_reader *r = w->user;
    struct journal_threads *t = r->journal;
    struct journal_item *x = r->item;
    if (x && tell_piece(r)) {
        start_read(t, r);
        return;
    }
    r->item = NULL;
    if (r->begun) // enough was heard
        start_read(t, r);
    else
        pass_on(t, r);
    if (x)
        journal_core_read_done(&t->core, x);
}

static struct journal_reader *reader_of(struct journal_threads *t)
{
    struct journal_reader *r = NULL;
    if (!list_empty(&t->idle)) {
        r = container_of(t->idle.next, struct journal_reader, link);
        list_del(&r->link);
    } else if (t->readers < READERS_MAX && (r = mem_zalloc(t->ops->reader_bytes)) != NULL) {
        list_init(&r->link);
        r->journal = t;
        r->work = (struct work_req){.run = run_read, .done = done_read, .user = r};
        t->readers++;
    }
    return r;
}

static int begin_read(struct journal_core *c, struct journal_item *x, struct err *e)
{
    struct journal_threads *t = threads_of(c);
    struct journal_reader *r = reader_of(t);
    if (!r && !t->readers)
        return err_set(e, E_NOMEM, "journal");
    if (!r) {
        list_add_tail(&t->items, &x->link);
        return 0;
    }
    r->item = x;
    start_read(t, r);
    return 0;
}

// ---- its life -----------------------------------------------------------------------------------

static void run_end(struct work_req *w)
{
    struct journal_threads *t = w->user;
    list_each_safe (it, &t->idle) {
        struct journal_reader *r = container_of(it, struct journal_reader, link);
        list_del(it);
        t->ops->close_reader(r);
        arena_free(r->piece.text);
        mem_free(r->piece.rows);
        mem_free(r->piece.runs);
        mem_free(r);
        t->readers--;
    }
    t->ops->close_writer(t);
}

static void done_end(struct work_req *w)
{
    struct journal_threads *t = w->user;
    void (*closed)(void *user) = t->core.closed;
    void *user = t->core.closed_user;
    journal_core_fini(&t->core);
    mem_free(t);
    if (closed)
        closed(user);
}

static void finish(struct journal_core *c)
{
    struct journal_threads *t = threads_of(c);
    if (t->tidying || t->ending || count(&t->idle) < t->readers)
        return; // who ends it comes here again
    t->ending = true;
    if (!work_start(c->args.writer, &t->end))
        return;
    run_end(&t->end);
    done_end(&t->end);
}

int journal_threads_init(struct journal_threads *t, const struct journal_threads_ops *ops,
                         const struct journal_args *args, struct err *e)
{
    int rc = journal_core_init(&t->core, args, e);
    if (rc)
        return rc;
    t->ops = ops;
    if (!args->reader)
        t->core.args.reader = args->writer;
    t->core.commit = begin_commit;
    t->core.begin_read = begin_read;
    t->core.finish = finish;
    t->commit = (struct work_req){.run = run_commit, .done = done_commit, .user = t};
    t->tidy = (struct work_req){.run = run_tidy, .done = done_tidy, .user = t};
    t->end = (struct work_req){.run = run_end, .done = done_end, .user = t};
    t->retry = (struct timer){.fn = on_retry, .user = t};
    list_init(&t->idle);
    list_init(&t->stalled);
    list_init(&t->items);
    return 0;
}

void journal_threads_drop(struct journal_threads *t)
{
    t->ops->close_writer(t);
    journal_core_fini(&t->core);
    mem_free(t);
}
