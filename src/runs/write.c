// write.c: what a step gave on its way to the disk: entries, row and small values in one write; and
// what is done when it is there.
// SPDX-License-Identifier: Apache-2.0
#include "runs/runs_priv.h"
#include <string.h>

static void on_written(struct op *o, int status, const struct err *e);

struct write *runs_write_new(struct run *r, struct post *p)
{
    struct write *w = mem_new(struct write);
    if (!w)
        return NULL;
    w->s = r->s;
    w->run = r;
    list_init(&w->link);
    list_init(&w->unsent);
    list_init(&w->jobs);
    list_init(&w->cancels);
    list_init(&w->mails);
    w->op = runs_op(r->s, on_written, w);
    if (!w->op) {
        mem_free(w);
        return NULL;
    }
    w->post = p;
    w->out.want_notes = r->s->args.event || r->s->args.changed;
    list_add_tail(&r->s->writes, &w->link);
    return w;
}

void runs_write_free(struct write *w)
{
    list_del(&w->link);
    list_del(&w->unsent);
    list_each_safe (it, &w->jobs)
        list_del(it);
    list_each_safe (it, &w->cancels)
        runs_job_drop(container_of(it, struct job, link));
    list_each_safe (it, &w->mails)
        runs_mail_free(container_of(it, struct mail, link));
    runs_post_free(w->post);
    flow_out_fini(&w->out);
    mem_free(w->row.listens);
    val_unref(w->row.note);
    val_unref(w->puts);
    val_unref(w->output);
    if (w->op)
        runs_op_free(w->op);
    mem_free(w);
}

// ---- the row ------------------------------------------------------------------------------------

static bool moves_timers(const struct write *w)
{
    enum flow_type t = w->post->ev.type;
    if (t == FLOW_FIRED || t == FLOW_HAND || t == FLOW_ROLLED || t == FLOW_STARTED)
        return true;
    for (size_t i = 0; i < w->out.command_count; i++)
        if (w->out.commands[i].type == FLOW_TIMER || w->out.commands[i].type == FLOW_CANCEL)
            return true;
    return false;
}

static bool same(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") == 0;
}

// Is the row on the disk still right after this write?
int runs_row_check(struct write *w)
{
    struct run *r = w->run;
    enum flow_status status = flow_run_status(r->flow);
    bool busy = !list_empty(&r->jobs) || r->yielded, open = status < FLOW_COMPLETED;
    char *listens = NULL;
    if (moves_timers(w))
        r->wake_ms = flow_run_wake_ms(r->flow);
    if (r->listens_new) {
        int rc = runs_listens_of(r, &listens);
        if (rc)
            return rc;
        r->listens_new = false;
        w->has_row |= !same(listens, r->listens);
        mem_free(r->listens);
        r->listens = listens;
    }
    if (status != FLOW_STALLED && status != FLOW_FAULTED && r->note) {
        val_unref(r->note);
        r->note = NULL;
    }
    w->has_row |= w->post->create || w->post->ev.type == FLOW_ROLLED || busy != r->row_busy ||
                  open != r->row_open || status != r->row_status || r->wake_ms != r->row_wake_ms;
    r->ended = !open;
    if (open)
        r->closed_ms = 0;
    r->row_busy = busy;
    r->row_open = open;
    r->row_status = status;
    r->row_wake_ms = r->wake_ms;
    if (!w->has_row)
        return 0;
    w->row = (struct row){.status = status,
                          .open = open,
                          .busy = busy,
                          .closed_ms = r->closed_ms,
                          .wake_ms = r->wake_ms,
                          .chapter = r->chapter,
                          .listens = mem_str(r->listens),
                          .note = val_ref(r->note)};
    return r->listens && !w->row.listens ? E_NOMEM : 0;
}

// ---- composing ----------------------------------------------------------------------------------

static struct bytes meta_text(const struct run *r, const char *key)
{
    return val_bytes(val_get_cstr(r->meta, key));
}

static void fill_row(const struct write *w, struct journal_run *row, struct bytes note)
{
    const struct run *r = w->run;
    const struct val *parent = val_get_cstr(r->meta, "parent");
    *row = (struct journal_run){
        .id = r->spot->id,
        .namespace = meta_text(r, "namespace"),
        .name = meta_text(r, "name"),
        .version = meta_text(r, "version"),
        .plan = meta_text(r, "plan"),
        .status = bytes_of(flow_status_name(w->row.status)),
        .open = w->row.open,
        .busy = w->row.busy,
        .started_ms = r->started_ms,
        .closed_ms = w->row.closed_ms,
        .wake_ms = w->row.wake_ms,
        .listens = bytes_of(w->row.listens),
        .parent = val_bytes(val_get_cstr(parent, "run")),
        .parent_ticket = (uint64_t)val_i64(val_get_cstr(parent, "id"), 0),
        .label = meta_text(r, "label"),
        .by = meta_text(r, "by"),
        .note = note,
        .chapter = w->row.chapter,
    };
}

static struct bytes slice_at(const struct buf *b, size_t from, size_t to)
{
    return (struct bytes){b->p + from, to - from};
}

// Entries, one after the other, into the driver's buffer.
static int put_entries(struct write *w, size_t *ret_count)
{
    struct runs *s = w->s;
    size_t count = 1 + w->out.command_count;
    if (count + 1 > s->slice_cap) {
        struct bytes *more = mem_array(count * 2, sizeof *more);
        if (!more)
            return E_NOMEM;
        mem_free(s->slices);
        s->slices = more;
        s->slice_cap = count * 2;
    }
    for (size_t i = 0; i < count; i++) {
        const struct flow_event *ev = i ? &w->out.commands[i - 1] : &w->post->ev;
        struct flow_event bare = *ev;
        if (ev->type == FLOW_ROLL)
            bare.data = NULL; // the state comes with rolled
        s->slices[i].n = s->text.n;
        (void)flow_event_put(&s->text, &bare);
    }
    *ret_count = count;
    return s->text.failed;
}

enum { PUTS_MAX = 64 };

static int gather_puts(struct write *w, struct val **ret)
{
    struct val *all = val_obj();
    struct bytes key;
    struct val *value;
    for (size_t at = 0; w->post->puts && val_each(w->post->puts, &at, &key, &value);)
        all = val_put(all, key, val_ref(value));
    for (size_t at = 0; w->puts && val_each(w->puts, &at, &key, &value);)
        all = val_put(all, key, val_ref(value));
    if (w->post->mail.n)
        all = val_put(all, w->post->mail, val_null());
    list_each (it, &w->mails) {
        struct mail *m = container_of(it, struct mail, link);
        all = val_put(all, bytes_of(m->key), val_ref(m->value));
    }
    *ret = all;
    return all ? 0 : E_NOMEM;
}

// {KEY: VALUE or null} as puts; the text is added to `text`, which must not move afterwards.
int runs_put_list(const struct val *puts, struct journal_put *at, size_t max, struct buf *text)
{
    struct bytes key;
    struct val *value;
    size_t n = 0;
    for (size_t it = 0; val_each(puts, &it, &key, &value) && n < max; n++) {
        at[n] = (struct journal_put){.key = key, .value = {NULL, text->n}};
        if (!val_is(value, JSON_NULL))
            (void)val_write(text, value);
    }
    for (size_t i = 0; i < n; i++) {
        size_t from = at[i].value.n, to = i + 1 < n ? at[i + 1].value.n : text->n;
        at[i].value = to > from ? slice_at(text, from, to) : BYTES_NONE;
    }
    return text->failed ? text->failed : (int)n;
}

static int send(struct write *w, struct val *puts, struct err *e)
{
    struct runs *s = w->s;
    struct run *r = w->run;
    struct flow_about about;
    struct journal_run row;
    size_t count = 0, note_at;
    buf_clear(&s->text);
    int rc = put_entries(w, &count);
    if (rc)
        return err_set(e, rc, "a step's entries");
    note_at = s->text.n;
    if (w->row.note)
        (void)val_write(&s->text, w->row.note);
    size_t put_at = s->text.n, put_max = val_len(puts);
    struct journal_put *list = put_max ? mem_array(put_max, sizeof *list) : NULL;
    if (put_max && !list)
        return err_set(e, E_NOMEM, "a step's values");
    rc = puts ? runs_put_list(puts, list, put_max, &s->text) : 0;
    if (rc >= 0 && s->text.failed)
        rc = s->text.failed;
    if (rc < 0) {
        mem_free(list);
        return err_set(e, rc, "a step's values");
    }
    for (size_t i = 0; i < count; i++) {
        size_t to = i + 1 < count ? s->slices[i + 1].n : note_at;
        s->slices[i] = slice_at(&s->text, s->slices[i].n, to);
    }
    if (w->has_row)
        fill_row(w, &row, w->row.note ? slice_at(&s->text, note_at, put_at) : BYTES_NONE);
    struct journal_change change = {.run = r->spot->id,
                                    .create = w->post->create,
                                    .expect = w->first - 1,
                                    .entries = s->slices,
                                    .entry_count = count,
                                    .row = w->has_row ? &row : NULL};
    struct journal_write all = {
        .changes = &change, .change_count = 1, .puts = list, .put_count = (size_t)rc};
    flow_plan_about(r->plan, &about);
    if (w->post->create && !runs_doc_has(s, bytes_of(about.hash))) {
        all.doc_hash = bytes_of(about.hash);
        all.doc = about.bundle;
    }
    w->op->again = false;
    rc = journal_write(s->args.journal, &all, &w->op->req, e);
    mem_free(list);
    return rc;
}

// Of what cannot be written the run knows too much: it is read again later.
static void refused(struct write *w, int status, const struct err *e)
{
    struct run *r = w->run;
    struct runs *s = w->s;
    struct post *p = steal(&w->post);
    struct spot *spot = r->spot;
    bool create = p->create;
    runs_write_free(w);
    if (status == E_CLOSED || status == E_IO || status == E_NOSPACE) {
        runs_stop(s, status, e);
    } else {
        if (!create)
            runs_wake(s, spot, runs_wall(s) + 60000);
        runs_forget(r, status, e);
    }
    runs_post_fail(s, p, status, e);
}

void runs_write_send(struct write *w)
{
    struct runs *s = w->s;
    struct run *r = w->run;
    struct err e = {0};
    AUTO(val) puts = NULL;
    int rc = gather_puts(w, &puts);
    if (!rc)
        rc = send(w, val_len(puts) ? puts : NULL, &e);
    if (rc == E_FULL) {
        list_add_head(&r->unsent, &w->unsent);
        s->full = true;
        if (list_empty(&r->ready))
            list_add_head(&s->ready, &r->ready);
        runs_again(s, 5);
        return;
    }
    if (rc) {
        refused(w, rc, &e);
        return;
    }
    r->writes++;
    s->write_count++;
}

void runs_write_again(struct run *r)
{
    struct runs *s = r->s;
    if (r->writes) // those before them have not come back yet
        return;
    r->pins++;
    while (r->state == RUN_LIVE && !list_empty(&r->unsent) && !s->full && !runs_down(s, NULL)) {
        struct write *w = container_of(r->unsent.next, struct write, unsent);
        list_del(&w->unsent);
        runs_write_send(w);
    }
    if (r->state == RUN_LIVE && list_empty(&r->unsent))
        runs_pump(r);
    else if (r->state == RUN_LIVE && list_empty(&r->ready) && !runs_down(s, NULL))
        list_add_tail(&s->ready, &r->ready); // another time
    runs_unpin(r);
}

// Nothing of it was kept, and another try may do: so those that were on their way after it fail,
// too, and all go again in their order.
static bool put_back(struct write *w, struct op *o, int status)
{
    struct run *r = w->run;
    struct runs *s = w->s;
    bool later = !list_empty(&r->unsent);
    if (!status || r->state != RUN_LIVE || s->closing || !(later || runs_passing(status)))
        return false; // closing: it comes again in the next life
    o->again = true;
    w->op = o;
    list_init(&o->link);
    list_add_tail(&s->ops, &o->link);
    list_add_tail(&r->unsent, &w->unsent);
    if (r->writes)
        return true;
    list_del(&r->ready);
    list_add_tail(&s->ready, &r->ready);
    s->full = true;
    runs_again(s, 200);
    return true;
}

// ---- it is on the disk --------------------------------------------------------------------------

static void count_end(struct run *r)
{
    struct runs_stats *t = &r->s->stats;
    enum flow_status status = flow_run_status(r->flow);
    t->completed += status == FLOW_COMPLETED;
    t->faulted += status == FLOW_FAULTED;
    t->cancelled += status == FLOW_CANCELLED || status == FLOW_TERMINATED;
}

static void know(struct write *w)
{
    struct run *r = w->run;
    struct runs *s = w->s;
    bool was_open = r->spot->open;
    r->creating = false;
    r->spot->mine = true;
    r->spot->open = !r->ended;
    s->stats.open += r->spot->open - was_open;
    s->stats.started += w->post->create;
    if (w->output) {
        val_unref(r->output);
        r->output = steal(&w->output);
        count_end(r);
    } else if (!r->ended && r->output) {
        val_unref(r->output);
        r->output = NULL;
    }
    runs_wake(s, r->spot, r->wake_ms);
    (void)runs_hear(s, r->spot, bytes_of(r->listens));
}

static void carry_out(struct write *w)
{
    list_each_safe (it, &w->cancels)
        runs_job_drop(container_of(it, struct job, link));
    while (!list_empty(&w->jobs)) {
        struct job *j = container_of(w->jobs.next, struct job, written);
        list_del(&j->written);
        runs_job_go(j);
    }
    while (!list_empty(&w->mails)) {
        struct mail *m = container_of(w->mails.next, struct mail, link);
        list_del(&m->link);
        runs_mail_go(m);
    }
}

static void kept(struct write *w)
{
    struct run *r = w->run;
    bool yielded = false;
    know(w);
    for (size_t i = 0; i < w->out.command_count; i++)
        yielded |= w->out.commands[i].type == FLOW_YIELD;
    carry_out(w);
    if (w->post->done)
        w->post->done(w->post, 0, NULL);
    runs_notes(w);
    if (r->state != RUN_LIVE)
        return;
    r->tick |= yielded && r->yielded;
    if (r->ended && r->output && !r->writes) {
        runs_schedule_ended(w->s, r);
        runs_ended(r);
    }
}

// Told once when it begins and once when it is over.
static void tell_held(struct runs *s, int status, const struct err *e)
{
    bool held = status == E_LOCKED || status == E_UNAVAILABLE;
    if (held == s->held || (status && !held))
        return;
    s->held = held;
    if (s->args.held)
        s->args.held(s->args.user, held ? e : NULL);
}

static void on_written(struct op *o, int status, const struct err *e)
{
    struct write *w = o->user;
    struct run *r = w->run;
    struct runs *s = w->s;
    struct journal_stats journal;
    w->op = NULL; // the caller frees it
    r->pins++;
    r->writes--;
    s->write_count--;
    s->full &= status != 0;
    if (!s->stopped)
        tell_held(s, status, e);
    if (status && !s->stopped) {
        journal_stats(s->args.journal, &journal);
        if (journal.stopped)
            runs_stop(s, status, e);
        else if (put_back(w, o, status)) {
            runs_unpin(r);
            return;
        } else if (r->state != RUN_GONE && status == E_EXISTS)
            runs_exists(r, e);
        else if (r->state != RUN_GONE)
            runs_forget(r, status, e);
    }
    if (!status && r->state == RUN_LIVE && !s->stopped) {
        kept(w);
    } else {
        struct post *p = steal(&w->post);
        struct err why = {0};
        if (!status)
            status = err_set(&why, E_CONFLICT, "the run was given up");
        runs_post_fail(s, p, status, e ? e : &why);
    }
    runs_write_free(w);
    if (r->state == RUN_LIVE)
        runs_pump(r);
    runs_unpin(r);
    if (!list_empty(&s->ready) && !s->full)
        runs_soon(s);
    runs_check_closed(s);
}

// ---- small values alone -------------------------------------------------------------------------

int runs_keys(struct runs *s, struct val *takes_puts,
              void (*done)(struct op *o, int status, const struct err *e), void *user,
              struct err *e)
{
    struct buf text;
    struct op *o = runs_op(s, done, user);
    size_t max = val_len(takes_puts);
    struct journal_put *list = mem_array(max + 1, sizeof *list);
    buf_init(&text, RUNS_TEXT_MAX);
    int rc = o && list && takes_puts ? runs_put_list(takes_puts, list, max, &text) : E_NOMEM;
    struct journal_write w = {.puts = list, .put_count = rc > 0 ? (size_t)rc : 0};
    rc = rc < 0 ? err_set(e, rc, "a value needs memory")
                : journal_write(s->args.journal, &w, &o->req, e);
    if (rc)
        runs_op_free(o);
    buf_fini(&text);
    mem_free(list);
    val_unref(takes_puts);
    return rc;
}
