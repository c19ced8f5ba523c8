// drive.c: events in, commands out: one event after the other of each run is stepped; what came of
// it is written (write.c), and carried out when the write is on the disk. Steps run ahead of the
// disk, effects do not.
// SPDX-License-Identifier: Apache-2.0
#include "runs/runs_priv.h"

struct post *runs_post_new(enum flow_type t, uint64_t id, struct val *takes_data)
{
    struct post *p = mem_new(struct post);
    if (!p) {
        val_unref(takes_data);
        return NULL;
    }
    list_init(&p->link);
    p->ev = (struct flow_event){.type = t, .id = id, .data = takes_data};
    return p;
}

void runs_post_free(struct post *p)
{
    if (!p)
        return;
    list_del(&p->link);
    flow_event_fini(&p->ev);
    mem_free((void *)(uintptr_t)p->mail.p);
    val_unref(p->puts);
    mem_free(p);
}

// The event is not kept. A mail that it came with is done with all the same, unless all has
// stopped: then it comes again in the next life.
void runs_post_fail(struct runs *s, struct post *takes_p, int status, const struct err *e)
{
    if (takes_p->done)
        takes_p->done(takes_p, status, e); // may take the mail over
    if (takes_p->mail.n && runs_passing(status) && !runs_down(s, NULL))
        runs_mails_again(s);
    else if (takes_p->mail.n && !runs_down(s, NULL))
        (void)runs_keys(s, val_put(val_obj(), takes_p->mail, val_null()), NULL, NULL, NULL);
    runs_post_free(takes_p);
}

void runs_post(struct run *r, struct post *takes_p)
{
    list_add_tail(&r->inbox, &takes_p->link);
    if (r->state == RUN_LIVE)
        runs_pump(r);
}

// ---- what the commands of a step mean for the run -----------------------------------------------

static int take_job(struct write *w, const struct flow_event *c)
{
    struct job *j = runs_job_new(w->run, c);
    if (!j)
        return E_NOMEM;
    if (c->type == FLOW_CHILD)
        return runs_mail_child(w, c);
    list_add_tail(&w->jobs, &j->written);
    return 0;
}

static int take_cancel(struct write *w, const struct flow_event *c)
{
    struct run *r = w->run;
    struct job *j = runs_job_find(&r->jobs, c->id);
    if (j) {
        list_del(&j->link);
        list_del(&j->written);
        j->run = NULL;
        list_add_tail(&w->cancels, &j->link);
        return 0;
    }
    j = runs_job_find(&r->children, c->id);
    if (!j) {
        r->listens_new = true;
        return 0;
    }
    int rc = runs_mail_cancel(w, c->id, bytes_of(j->key));
    runs_job_drop(j);
    return rc;
}

static int take_end(struct write *w, const struct flow_event *c)
{
    struct run *r = w->run;
    struct val *output = val_get_cstr(c->data, "output"), *error = val_get_cstr(c->data, "error");
    struct val *puts = runs_schedule_end(w->s, r);
    struct bytes key;
    struct val *value;
    r->closed_ms = c->at_ms;
    w->output = val_put_cstr(val_obj(), "status", val_ref(val_get_cstr(c->data, "status")));
    if (output)
        w->output = val_put_cstr(w->output, "output", val_ref(output));
    if (error)
        w->output = val_put_cstr(w->output, "error", val_ref(error));
    for (size_t at = 0; puts && val_each(puts, &at, &key, &value);)
        w->puts = val_put(w->puts ? steal(&w->puts) : val_obj(), key, val_ref(value));
    val_unref(puts);
    return w->output ? runs_mail_end(w, c->data) : E_NOMEM;
}

void runs_note_of(struct run *r, const struct flow_event *c)
{
    struct val *error = val_get_cstr(c->data, "error");
    struct val *title = val_get_cstr(error, "detail"), *task = val_get_cstr(c->data, "task");
    if (!title)
        title = val_get_cstr(error, "title");
    if (!title)
        title = val_get_cstr(error, "type");
    if (!task)
        task = val_get_cstr(error, "instance");
    val_unref(r->note);
    r->note = NULL;
    if (!error)
        return;
    r->note = val_put_cstr(val_obj(), "error", title ? val_ref(title) : val_null());
    if (task)
        r->note = val_put_cstr(r->note, "task", val_ref(task));
}

static int take_command(struct write *w, const struct flow_event *c)
{
    struct run *r = w->run;
    switch (c->type) {
    case FLOW_ACT:
    case FLOW_EVAL:
    case FLOW_CHILD: return take_job(w, c);
    case FLOW_CANCEL: return take_cancel(w, c);
    case FLOW_LISTEN: r->listens_new = true; return 0;
    case FLOW_YIELD: r->yielded = true; return 0;
    case FLOW_ROLL: r->roll = val_ref(val_get_cstr(c->data, "state")); return 0;
    case FLOW_STALL: runs_note_of(r, c); return 0;
    case FLOW_END: runs_note_of(r, c); return take_end(w, c);
    case FLOW_TIMER:
    case FLOW_STARTED:
    case FLOW_EVALUATED:
    case FLOW_DONE:
    case FLOW_FAILED:
    case FLOW_FIRED:
    case FLOW_EVENT:
    case FLOW_HAND:
    case FLOW_TICK:
    case FLOW_ROLLED:
    default: return 0;
    }
}

static int take_commands(struct write *w)
{
    int rc = 0;
    for (size_t i = 0; i < w->out.command_count && !rc; i++)
        rc = take_command(w, &w->out.commands[i]);
    return rc ? rc : runs_row_check(w);
}

// ---- the step -----------------------------------------------------------------------------------

static bool is_answer(enum flow_type t)
{
    return t == FLOW_DONE || t == FLOW_FAILED || t == FLOW_EVALUATED;
}

static struct job *awaited(struct run *r, const struct post *p)
{
    struct job *j = runs_job_find(&r->jobs, p->ev.id);
    return j ? j : runs_job_find(&r->children, p->ev.id);
}

// It was not stepped: the run is as before, or (no memory) has to be read again.
static void step_failed(struct run *r, struct write *w, int status, const struct err *e)
{
    struct post *p = steal(&w->post);
    runs_write_free(w);
    if (status == E_TOOBIG && p->ev.type == FLOW_DONE) {
        struct val *data = val_put_cstr(
            val_obj(), "error",
            runs_problem("runtime", 500, "The run has grown over its limit of memory", e->text));
        val_unref(p->ev.data);
        p->ev.type = FLOW_FAILED;
        p->ev.data = data;
        list_add_head(&r->inbox, &p->link);
        return;
    }
    if (status == E_NOMEM) {
        struct spot *spot = r->spot;
        struct runs *s = r->s;
        spot->mine = true;
        runs_wake(s, spot, runs_wall(s) + 5000); // it is read again
        runs_forget(r, status, e);
        runs_post_fail(s, p, status, e);
        return;
    }
    runs_post_fail(r->s, p, status, e);
}

static void step(struct run *r, struct post *p)
{
    struct runs *s = r->s;
    struct err e = {0};
    struct write *w = runs_write_new(r, p);
    struct job *j = is_answer(p->ev.type) ? awaited(r, p) : NULL;
    if (!w) {
        (void)err_set(&e, E_NOMEM, "a step needs memory");
        runs_post_fail(s, p, E_NOMEM, &e);
        return;
    }
    int64_t now = runs_wall(s);
    p->ev.at_ms = r->at_ms > now ? r->at_ms : now;
    int rc = flow_step(r->flow, &p->ev, &w->out, &e);
    if (rc) {
        step_failed(r, w, rc, &e);
        return;
    }
    s->stats.steps++;
    r->at_ms = p->ev.at_ms;
    r->creating = p->create;
    if (p->ev.type == FLOW_STARTED)
        r->started_ms = r->at_ms;
    if (p->ev.type == FLOW_TICK)
        r->yielded = false;
    if (p->ev.type == FLOW_ROLLED) {
        val_unref(r->roll);
        r->roll = NULL;
        r->chapter = r->last + 1;
    }
    runs_job_drop(j);
    w->first = r->last + 1;
    rc = take_commands(w);
    r->last += 1 + w->out.command_count;
    if (rc) {
        (void)err_set(&e, rc, "a step needs memory");
        step_failed(r, w, E_NOMEM, &e);
        return;
    }
    runs_write_send(w);
}

// ---- which event is next ------------------------------------------------------------------------

static struct post *due_timer(struct run *r)
{
    const struct flow_event *c;
    int64_t now = runs_wall(r->s);
    if (r->wake_ms > now)
        return NULL;
    for (size_t at = 0; flow_run_pending(r->flow, &at, &c);) {
        int64_t due = val_i64(val_get_cstr(c->data, "due"), TIME_NEVER);
        if (c->type != FLOW_TIMER || due > now)
            continue;
        r->s->stats.timers_fired++;
        if (now - due > r->s->stats.timer_late_ms_max)
            r->s->stats.timer_late_ms_max = now - due;
        return runs_post_new(FLOW_FIRED, c->id, NULL);
    }
    return NULL;
}

static struct post *rolled(struct run *r)
{
    struct val *data = val_put_cstr(val_obj(), "state", val_ref(r->roll));
    data = val_put_cstr(data, "chapter", val_int((int64_t)r->last + 1));
    data = val_put_cstr(data, "started", val_int(r->started_ms));
    return runs_post_new(FLOW_ROLLED, 0, val_put_cstr(data, "run", val_ref(r->meta)));
}

static bool wanted(struct run *r, struct post *p)
{
    if (is_answer(p->ev.type) && !awaited(r, p))
        return false;
    return !r->ended || p->ev.type == FLOW_HAND;
}

static struct post *next(struct run *r)
{
    struct err e = {0};
    if (r->roll)
        return rolled(r);
    if (r->tick) {
        r->tick = false;
        return runs_post_new(FLOW_TICK, 0, NULL);
    }
    while (!list_empty(&r->inbox)) {
        struct post *p = container_of(r->inbox.next, struct post, link);
        list_del(&p->link);
        if (wanted(r, p))
            return p;
        (void)err_set(&e, E_CONFLICT, "the run is %s", flow_status_name(flow_run_status(r->flow)));
        runs_post_fail(r->s, p, E_CONFLICT, &e);
    }
    return due_timer(r);
}

static bool may_step(struct run *r)
{
    struct runs *s = r->s;
    if (r->state != RUN_LIVE || !list_empty(&r->unsent) || (r->creating && r->last) || s->stopped ||
        s->closing)
        return false;
    bool known = s->listed || (s->mails_read && r->last); // is there one of this name already?
    if (!s->full && known && s->write_count < RUNS_WRITES_MAX)
        return true;
    if (list_empty(&r->ready))
        list_add_tail(&s->ready, &r->ready); // backpressure of the journal, or too early
    return false;
}

void runs_pump(struct run *r)
{
    struct runs *s = r->s;
    if (r->pumping)
        return;
    r->pumping = true;
    r->pins++;
    while (may_step(r)) {
        struct post *p = next(r);
        if (!p)
            break;
        step(r, p);
    }
    r->pumping = false;
    runs_touch(r);
    runs_unpin(r);
    runs_evict(s);
}

// Each of those that are in the line now, once.
void runs_pump_all(struct runs *s)
{
    size_t count = 0;
    list_each (it, &s->ready)
        count++;
    while (count-- && !list_empty(&s->ready)) {
        struct run *r = container_of(s->ready.next, struct run, ready);
        list_del(&r->ready);
        if (list_empty(&r->unsent))
            runs_pump(r);
        else
            runs_write_again(r);
    }
}
