// schedule.c: documents that begin by themselves: by cron, every so often, after the last end, on
// events. What was fired is kept with the beginning of the run in one write: so each firing happens
// once, whatever dies; of those that were missed meanwhile there is one.
// SPDX-License-Identifier: Apache-2.0
#include "runs/schedule_priv.h"
#include <stdio.h>
#include <string.h>

static void arm(struct schedule *c);

static void schedule_free(struct schedule *c)
{
    list_del(&c->link);
    timer_stop(c->s->args.timers, &c->timer);
    c->gone = true;
    runs_schedule_drop_held(c);
    if (c->refs)
        return;
    val_unref(c->doc);
    val_unref(c->cursor);
    val_unref(c->filters);
    mem_free(c->key);
    mem_free(c);
}

void runs_schedule_unref(struct schedule *c)
{
    c->refs--;
    if (c->gone)
        schedule_free(c);
}

// ---- when ---------------------------------------------------------------------------------------

static int64_t cursor_ms(const struct schedule *c, const char *key, int64_t fallback)
{
    return val_i64(val_get_cstr(c->cursor, key), fallback);
}

static int64_t due(const struct schedule *c)
{
    int64_t registered = val_i64(val_get_cstr(c->doc, "at"), 0);
    int64_t last = cursor_ms(c, "at", registered), ended = cursor_ms(c, "ended", 0);
    switch (c->kind) {
    case SCHEDULE_CRON: return flow_cron_next(&c->cron, last);
    case SCHEDULE_EVERY: return last + c->period_ms;
    case SCHEDULE_AFTER:
        if (!val_get_cstr(c->cursor, "run"))
            return registered; // there is no last one yet
        return ended ? ended + c->period_ms : TIME_NEVER;
    case SCHEDULE_ON:
    default: return TIME_NEVER;
    }
}

static void put_id(const struct schedule *c, struct buf *id, int64_t at)
{
    char text[TIME_TEXT_LEN + 1];
    struct bytes namespace = val_bytes(val_get_cstr(c->doc, "namespace"));
    time_text(at, text);
    (void)buf_fmt(id, "%.*s-", BYTES_FMT(val_bytes(val_get_cstr(c->doc, "name"))));
    for (size_t i = 0; i < 19; i++) // 20260131T120000
        if (text[i] != '-' && text[i] != ':')
            (void)buf_chr(id, text[i]);
    (void)buf_fmt(id, ".%.3s-%04x", text + 20, (unsigned)(bytes_hash(namespace) & 0xffff));
}

// ---- firing -------------------------------------------------------------------------------------

static void on_fired(struct post *p, int status, const struct err *e)
{
    struct firing *f = p->user;
    runs_firing_done(f, status, e);
}

static void firing_free(struct firing *f)
{
    list_del(&f->link);
    list_del(&f->plan.link);
    val_unref(f->cursor);
    val_unref(f->input);
    mem_free(f);
}

void runs_firing_done(struct firing *f, int status, const struct err *e)
{
    struct schedule *c = f->c;
    struct runs *s = c->s;
    // It was fired already, by this node or another, whose cursor counts.
    bool other = status == E_EXISTS;
    c->stale = other && s->args.look_ms > 0;
    status = other ? 0 : status;
    s->changes++;
    if (c->stale) {
        runs_look_soon(s);
    } else if (!status && f->cursor) {
        val_unref(c->cursor);
        c->cursor = val_ref(f->cursor);
    }
    if (f->ask)
        runs_event_taken(f->ask, status, e);
    bool again = status && !f->ask && !c->gone && !runs_down(s, NULL);
    firing_free(f);
    c->firing = false;
    if (again)
        (void)timer_start(s->args.timers, &c->timer, 5000);
    else if (!c->gone)
        arm(c);
    if (!c->gone)
        runs_schedule_next_held(c);
    runs_schedule_unref(c);
}

static void on_plan(struct plan_wait *w, struct flow_plan *plan, const struct err *e)
{
    struct firing *f = container_of(w, struct firing, plan);
    struct schedule *c = f->c;
    struct err why = {0};
    struct val *puts = NULL;
    if (!plan) {
        runs_firing_done(f, e->code, e);
        return;
    }
    if (f->cursor)
        puts = val_put_cstr(val_obj(), c->key, val_ref(f->cursor));
    struct begin b = {.plan = plan,
                      .id = bytes_of(f->id),
                      .input = f->input,
                      .by = BYTES("schedule"),
                      .schedule = bytes_of(c->key),
                      .takes_puts = puts,
                      .done = on_fired,
                      .user = f};
    int rc = runs_begin(c->s, &b, &why);
    if (rc)
        runs_firing_done(f, rc, &why);
}

void runs_schedule_fire(struct schedule *c, const char *id, struct val *takes_cursor,
                        struct val *takes_input, struct ask *a)
{
    struct firing *f = mem_new(struct firing);
    struct err e = {0};
    if (!f || !takes_input) {
        mem_free(f);
        val_unref(takes_cursor);
        val_unref(takes_input);
        (void)err_set(&e, E_NOMEM, "a schedule needs memory");
        if (a)
            runs_event_taken(a, E_NOMEM, &e);
        return;
    }
    c->firing = true;
    c->refs++;
    list_add_tail(&c->s->firings, &f->link);
    list_init(&f->plan.link);
    f->c = c;
    f->ask = a;
    f->cursor = takes_cursor;
    f->input = takes_input;
    (void)snprintf(f->id, sizeof f->id, "%s", id);
    f->plan.done = on_plan;
    runs_plan_load(c->s, val_bytes(val_get_cstr(c->doc, "hash")), &f->plan);
}

static void fire(struct schedule *c, int64_t now)
{
    struct buf id;
    buf_init(&id, RUNS_ID_MAX);
    put_id(c, &id, c->due_ms);
    // Of several that were missed this is the one; `every` keeps its beat else.
    bool beat = c->kind == SCHEDULE_EVERY && now - c->due_ms < c->period_ms;
    struct val *cursor = val_put_cstr(val_obj(), "at", val_int(beat ? c->due_ms : now));
    cursor = val_put_cstr(cursor, "run", val_str(buf_bytes(&id)));
    if (id.failed || !cursor) {
        val_unref(cursor);
        (void)timer_start(c->s->args.timers, &c->timer, 5000);
    } else {
        runs_schedule_fire(c, buf_cstr(&id), cursor, val_obj(), NULL);
    }
    buf_fini(&id);
}

static void on_timer(struct timer *t)
{
    struct schedule *c = t->user;
    int64_t now = runs_wall(c->s);
    if (c->firing || runs_down(c->s, NULL))
        return;
    if (c->due_ms <= now)
        fire(c, now);
    else
        arm(c);
}

// A short sleep at a time: the wall clock may jump.
static void arm(struct schedule *c)
{
    c->due_ms = due(c);
    timer_stop(c->s->args.timers, &c->timer);
    if (c->due_ms == TIME_NEVER || c->firing || c->stale)
        return;
    int64_t left = c->due_ms - runs_wall(c->s);
    left = left < 0 ? 0 : left > RUNS_LOOK_MS ? RUNS_LOOK_MS : left;
    (void)timer_start(c->s->args.timers, &c->timer, left);
}

// ---- the end of a run counts for `after` --------------------------------------------------------

static struct schedule *find(struct runs *s, struct bytes key)
{
    list_each (it, &s->schedule_list) {
        struct schedule *c = container_of(it, struct schedule, link);
        if (bytes_is(key, c->key))
            return c;
    }
    return NULL;
}

static struct schedule *of_run(struct runs *s, const struct run *r)
{
    struct bytes key = val_bytes(val_get_cstr(r->meta, "schedule"));
    struct schedule *c = key.n ? find(s, key) : NULL;
    bool last = c && c->kind == SCHEDULE_AFTER &&
                bytes_eq(val_bytes(val_get_cstr(c->cursor, "run")), r->spot->id);
    return last ? c : NULL;
}

// A short run ends before it is told that its beginning is kept.
static struct val *firing_cursor(struct runs *s, const struct run *r, struct schedule **ret)
{
    list_each (it, &s->firings) {
        struct firing *f = container_of(it, struct firing, link);
        if (f->c->kind == SCHEDULE_AFTER && f->cursor && bytes_is(r->spot->id, f->id)) {
            *ret = f->c;
            return f->cursor;
        }
    }
    return NULL;
}

struct val *runs_schedule_end(struct runs *s, struct run *r)
{
    struct schedule *c = of_run(s, r);
    struct val *last = c ? c->cursor : firing_cursor(s, r, &c);
    if (!last)
        return NULL;
    struct val *cursor = val_put_cstr(val_ref(last), "ended", val_int(r->at_ms));
    return val_put_cstr(val_obj(), c->key, cursor);
}

void runs_schedule_ended(struct runs *s, struct run *r)
{
    struct schedule *c = of_run(s, r);
    if (!c || val_get_cstr(c->cursor, "ended"))
        return;
    struct val *cursor = val_put_cstr(val_ref(c->cursor), "ended", val_int(r->closed_ms));
    if (!cursor)
        return;
    val_unref(c->cursor);
    c->cursor = cursor;
    s->changes++;
    arm(c);
}

// ---- which schedules there are ------------------------------------------------------------------

static int parse(struct schedule *c, const struct val *x, struct err *e)
{
    struct val *cron = val_get_cstr(x, "cron"), *every = val_get_cstr(x, "every");
    struct val *after = val_get_cstr(x, "after"), *on = val_get_cstr(x, "on");
    if (cron) {
        c->kind = SCHEDULE_CRON;
        return flow_cron_parse(&c->cron, val_bytes(cron), e);
    }
    if (on) {
        c->kind = SCHEDULE_ON;
        return runs_schedule_filters(on, &c->filters, &c->all, e);
    }
    c->kind = every ? SCHEDULE_EVERY : SCHEDULE_AFTER;
    if (!every && !after)
        return err_set(e, E_INVALID, "schedule: expected cron, every, after or on");
    int rc = flow_duration(every ? every : after, &c->period_ms, e);
    return rc ? rc
           : every && c->period_ms < 1000
               ? err_set(e, E_INVALID, "schedule.every: at least a second")
               : 0;
}

int runs_schedule_check(const struct val *schedule, struct err *e)
{
    struct schedule c = {.kind = SCHEDULE_CRON};
    int rc = parse(&c, schedule, e);
    val_unref(c.filters);
    return rc;
}

static struct schedule *schedule_new(struct runs *s, const struct doc *d, const char *key)
{
    struct schedule *c = mem_new(struct schedule);
    if (!c)
        return NULL;
    c->s = s;
    c->timer = (struct timer){.fn = on_timer, .user = c};
    list_init(&c->held);
    list_init(&c->link);
    c->doc = val_ref(d->value);
    c->key = mem_str(key);
    if (c->key && !parse(c, val_get_cstr(d->value, "schedule"), NULL))
        return c;
    schedule_free(c);
    return NULL;
}

// A document came or went: the newest one's schedule counts, and goes on where the last was.
void runs_schedule_set(struct runs *s, struct bytes namespace, struct bytes name)
{
    struct doc *d = runs_doc_find(s, namespace, name, BYTES_NONE);
    struct buf key;
    buf_init(&key, 2048);
    (void)buf_fmt(&key, "schedule/%.*s/%.*s", BYTES_FMT(namespace), BYTES_FMT(name));
    struct schedule *old = find(s, buf_bytes(&key)), *c = NULL;
    if (d && val_get_cstr(d->value, "schedule"))
        c = schedule_new(s, d, buf_cstr(&key));
    if (c) {
        struct val *cursor = old ? old->cursor : val_get(s->cursors, buf_bytes(&key));
        bool same =
            old ? val_equal(val_get_cstr(old->doc, "schedule"), val_get_cstr(d->value, "schedule"))
                : true;
        c->cursor = cursor && same ? val_ref(cursor) : NULL;
        list_add_tail(&s->schedule_list, &c->link);
    }
    if (old)
        schedule_free(old);
    if (c)
        arm(c);
    buf_fini(&key);
}

// What other nodes fired.
void runs_schedules_merge(struct runs *s, const struct val *keys)
{
    list_each (it, &s->schedule_list) {
        struct schedule *c = container_of(it, struct schedule, link);
        struct val *cursor = val_get(keys, bytes_of(c->key));
        if (c->firing || (!c->stale && (!cursor || val_equal(cursor, c->cursor))))
            continue;
        if (cursor) {
            val_unref(c->cursor);
            c->cursor = val_ref(cursor);
        }
        c->stale = false;
        arm(c);
    }
}

static bool on_cursor(void *user, struct bytes key, struct bytes value)
{
    struct runs *s = user;
    struct val *v = NULL;
    if (val_parse(&v, value, NULL))
        return true;
    s->cursors = val_put(s->cursors ? s->cursors : val_obj(), key, v);
    return s->cursors != NULL;
}

static void on_cursors(struct op *o, int status, const struct err *e)
{
    struct runs *s = o->s;
    if (status) {
        runs_start_failed(s, runs_schedules_start, status, e);
        return;
    }
    s->docs_read = true;
    list_each (it, &s->doc_list) {
        struct doc *d = container_of(it, struct doc, link);
        if (val_get_cstr(d->value, "schedule") &&
            runs_doc_find(s, d->namespace, d->name, BYTES_NONE) == d)
            runs_schedule_set(s, d->namespace, d->name);
    }
    val_unref(s->cursors);
    s->cursors = NULL;
    runs_mails_start(s);
    runs_soon(s);
}

void runs_schedules_start(struct runs *s)
{
    struct op *o = runs_op(s, on_cursors, s);
    struct journal_keys a = {.prefix = BYTES("schedule/"), .on_put = on_cursor, .user = s};
    struct err e = {0};
    int rc = o ? journal_keys(s->args.journal, &a, &o->req, &e)
               : err_set(&e, E_NOMEM, "the list of schedules");
    if (!rc)
        return;
    runs_op_free(o);
    runs_start_failed(s, runs_schedules_start, rc, &e);
}

void runs_schedules_free(struct runs *s)
{
    while (!list_empty(&s->firings)) {
        struct firing *f = container_of(s->firings.next, struct firing, link);
        struct schedule *c = f->c;
        firing_free(f);
        runs_schedule_unref(c);
    }
    list_each_safe (it, &s->schedule_list) {
        struct schedule *c = container_of(it, struct schedule, link);
        schedule_free(c);
    }
    val_unref(s->cursors);
}
