// shared.c: a journal that several nodes share: documents that another one registered or removed,
// and schedules that it fired, are looked for again and again. What begins by a schedule has an id
// made of when it was due, so that whoever is first begins it, and the others find it there.
// SPDX-License-Identifier: Apache-2.0
#include "runs/runs_priv.h"

static void again(struct runs *s, int64_t ms)
{
    if (s->args.look_ms > 0 && !runs_down(s, NULL))
        (void)timer_start(s->args.timers, &s->look, ms);
}

static bool on_key(void *user, struct bytes key, struct bytes value)
{
    struct runs *s = user;
    struct val *v = NULL;
    if (val_parse(&v, value, NULL))
        return true; // what is not one is left alone
    s->seen = val_put(s->seen, key, v);
    return s->seen != NULL;
}

static void on_seen(struct op *o, int status, const struct err *e)
{
    struct runs *s = o->s;
    struct val *seen = steal(&s->seen);
    (void)e; // the next look may fare better
    s->looks = false;
    // What changed here meanwhile may not be in it: then it is not believed.
    bool fresh = !status && seen && s->look_change == s->changes;
    if (fresh && !runs_down(s, NULL)) {
        runs_docs_merge(s, seen);
        runs_schedules_merge(s, seen);
    }
    val_unref(seen);
    again(s, fresh || status ? s->args.look_ms : 20);
}

static int ask(struct runs *s, const char *prefix,
               void (*done)(struct op *, int, const struct err *))
{
    struct op *o = runs_op(s, done, s);
    struct journal_keys a = {.prefix = bytes_of(prefix), .on_put = on_key, .user = s};
    int rc = o ? journal_keys(s->args.journal, &a, &o->req, NULL) : E_NOMEM;
    if (rc)
        runs_op_free(o);
    return rc;
}

// First the schedules, then the documents: one that is new finds its cursor.
static void on_cursors(struct op *o, int status, const struct err *e)
{
    struct runs *s = o->s;
    if (status || ask(s, "doc/", on_seen))
        on_seen(o, status ? status : E_NOMEM, e);
}

static void on_look(struct timer *t)
{
    struct runs *s = t->user;
    if (s->looks || !s->docs_read || runs_down(s, NULL)) {
        again(s, s->args.look_ms);
        return;
    }
    val_unref(s->seen);
    s->seen = val_obj();
    s->looks = true;
    s->look_change = s->changes;
    if (ask(s, "schedule/", on_cursors)) {
        s->looks = false;
        again(s, s->args.look_ms);
    }
}

void runs_look_start(struct runs *s)
{
    s->look = (struct timer){.fn = on_look, .user = s};
    again(s, s->args.look_ms);
}

void runs_look_soon(struct runs *s)
{
    again(s, 0);
}

void runs_look_stop(struct runs *s)
{
    timer_stop(s->args.timers, &s->look);
    val_unref(s->seen);
    s->seen = NULL;
}
