// step_listen.c: waiting for events. What comes is put into the inbox of each listen that it may
// concern; the listen looks at one after the other, reads those that fit, lets its foreach do its
// work with each, and ends when it has what it waits for.
// SPDX-License-Identifier: Apache-2.0
#include "flow/run_priv.h"

// ---- events come in ----

static struct val *entry_of(struct val *event, uint64_t signal)
{
    struct val *o = val_put_cstr(val_obj(), "e", val_ref(event));
    return signal > 0 ? val_put_cstr(o, "s", val_int((int64_t)signal)) : o;
}

static int keep_signal(struct flow_run *r, struct val *event, uint64_t *ret_serial)
{
    struct val *all = r->signals ? steal(&r->signals) : val_arr();
    *ret_serial = r->next_signal++;
    r->signals = val_push(all, entry_of(event, *ret_serial));
    return r->signals ? 0 : E_NOMEM;
}

static int into_inbox(struct frame *f, struct val *takes_entry)
{
    f->inbox = val_push(f->inbox ? steal(&f->inbox) : val_arr(), takes_entry);
    return f->inbox ? 0 : E_NOMEM;
}

static bool wants(const struct pend *p, const struct val *event)
{
    return p->ev.type == FLOW_LISTEN && p->frame &&
           flow_filter_fits(val_get_cstr(p->ev.data, "filters"), event);
}

int flow_hear(struct step *s, struct val *event, bool signal)
{
    struct flow_run *r = s->r;
    uint64_t serial = 0;
    if (!val_is(event, JSON_OBJ))
        return err_set(s->e, E_INVALID, "event needs \"event\", a CloudEvent as an object");
    if (signal && val_len(r->signals) >= FLOW_SIGNALS_MAX)
        return err_set(s->e, E_FULL, "the run keeps %d signals that no listen took",
                       FLOW_SIGNALS_MAX);
    for (size_t i = 0; i < r->pend_count; i++)
        if (wants(&r->pends[i], event) && val_len(r->pends[i].frame->inbox) >= FLOW_HEARD_MAX)
            return err_set(s->e, E_FULL, "a listen has %d events that it has not looked at",
                           FLOW_HEARD_MAX);
    int rc = signal ? keep_signal(r, event, &serial) : 0;
    for (size_t i = 0; rc == 0 && i < r->pend_count; i++)
        if (wants(&r->pends[i], event)) {
            rc = into_inbox(r->pends[i].frame, entry_of(event, serial));
            flow_ready(r, r->pends[i].frame);
        }
    return rc;
}

// A signal that was read is not kept any longer.
static int taken(struct flow_run *r, const struct val *entry)
{
    struct val *serial = val_get_cstr(entry, "s"), *rest = val_arr();
    if (!serial) {
        val_unref(rest);
        return 0;
    }
    for (size_t i = 0; i < val_len(r->signals); i++)
        if (!val_equal(val_get_cstr(val_at(r->signals, i), "s"), serial))
            rest = val_push(rest, val_ref(val_at(r->signals, i)));
    flow_set(&r->signals, rest);
    return rest ? 0 : E_NOMEM;
}

// ---- the strategy ----

static uint64_t full(const struct flow_consume *c)
{
    return c->count >= 64 ? UINT64_MAX : ((uint64_t)1 << c->count) - 1;
}

// Which filter of c takes it: bits of *mask are filters that have had theirs.
static int strategy(struct step *s, struct frame *f, const struct flow_consume *c,
                    const struct val *event, uint64_t *mask, bool *ret)
{
    *ret = c->mode == FLOW_CONSUME_ANY && c->count == 0;
    for (size_t i = 0; !*ret && i < c->count; i++) {
        uint64_t bit = (uint64_t)1 << (i < 64 ? i : 63);
        if (c->mode == FLOW_CONSUME_ALL && (*mask & bit))
            continue;
        int rc = flow_match(s, f, &c->filters[i], event, ret);
        if (rc != 0)
            return rc;
        if (*ret)
            *mask |= bit;
    }
    return 0;
}

static bool complete(const struct flow_consume *c, uint64_t mask)
{
    return c->mode == FLOW_CONSUME_ALL ? mask == full(c) : true;
}

static struct val *read_of(const struct flow_task *t, struct val *event)
{
    struct val *data = val_get_cstr(event, "data");
    if (t->listen.read == FLOW_READ_ENVELOPE)
        return val_ref(event);
    if (!data)
        data = val_get_cstr(event, "data_base64");
    return data ? val_ref(data) : val_null();
}

// ---- the body ----

static int begin(struct step *s, struct frame *f)
{
    struct flow_run *r = s->r;
    const struct flow_consume *c = f->task->listen.to;
    if (c->mode == FLOW_CONSUME_ALL && c->count > 64)
        return flow_problem(s, PROBLEM_CONFIGURATION, "listen: all takes at most 64 filters");
    struct val *filters = flow_filters(c);
    struct val *data = val_put_cstr(val_obj(), "task", val_cstr(f->task->pointer));
    data = val_put_cstr(data, "filters", filters);
    int rc = flow_ask(s, f, ROLE_BODY, FLOW_LISTEN, data);
    for (size_t i = 0; rc == 0 && i < val_len(r->signals); i++) {
        struct val *entry = val_at(r->signals, i);
        if (flow_filter_fits(filters, val_get_cstr(entry, "e")))
            rc = into_inbox(f, val_ref(entry));
    }
    if (!f->items)
        f->items = val_arr();
    flow_seen(r, f)->state = SEEN_WAITING;
    flow_to(f, STEP_NEXT);
    if (rc == 0)
        rc = flow_note(s, FLOW_NOTE_WAITING, f, NULL);
    return rc < 0 ? rc : f->items ? 0 : E_NOMEM;
}

static int end(struct step *s, struct frame *f)
{
    flow_set(&f->out, steal(&f->items));
    flow_set(&f->inbox, NULL);
    flow_set(&f->item, NULL);
    return flow_unask(s, f, ROLE_BODY);
}

static void pop(struct frame *f)
{
    flow_answers_drop(f);
    if (++f->left < val_len(f->inbox))
        return;
    flow_set(&f->inbox, NULL);
    f->left = 0;
}

// The next event of the inbox that is read: TURN_ON and *ret_end, or it is being worked on.
static int look(struct step *s, struct frame *f, bool *ret_end)
{
    const struct flow_task *t = f->task;
    const struct flow_consume *c = t->listen.to;
    while (f->left < val_len(f->inbox)) {
        AUTO(val) entry = val_ref(val_at(f->inbox, f->left));
        struct val *event = val_get_cstr(entry, "e");
        uint64_t mask = f->mask, until = f->until;
        bool yes = false;
        f->occurrence = 0;
        int rc = c->until ? strategy(s, f, c->until, event, &until, &yes) : 0;
        bool last = yes;
        if (rc == 0 && !yes)
            rc = strategy(s, f, c, event, &mask, &yes);
        if (rc != 0)
            return rc;
        f->mask = mask;
        f->until = until;
        pop(f);
        rc = yes ? taken(s->r, entry) : 0;
        if (rc != 0)
            return rc;
        if (last && complete(c->until, f->until)) {
            *ret_end = true;
            return TURN_ON;
        }
        if (last || !yes)
            continue;
        flow_set(&f->item, read_of(t, event));
        if (!f->item)
            return E_NOMEM;
        if (t->listen.each)
            rc = flow_list_start(s, f, &t->listen.list, PART_BODY, f->item);
        else {
            flow_set(&f->carry, val_ref(f->item));
            flow_to(f, STEP_LISTED);
        }
        return rc != 0 ? rc : TURN_ON;
    }
    return TURN_WAIT;
}

// One item was worked on: what its output makes of it is added to *list.
int flow_each_done(struct step *s, struct frame *f, const struct flow_io *output,
                   const struct flow_io *export, struct val **list)
{
    struct place p = {.f = f, .scope = f, .dot = f->carry, .output = f->carry};
    AUTO(val) out = NULL;
    AUTO(val) context = NULL;
    int rc = flow_depth(s, f->carry, "the item's output");
    if (rc == 0 && output && output->as)
        rc = flow_fill(s, &p, output->as, false, &out);
    else if (rc == 0)
        out = val_ref(f->carry);
    if (rc == 0 && output)
        rc = flow_schema(s, output, out, "the item's output");
    if (rc == 0 && export && export->as) {
        p.dot = p.output = out;
        rc = flow_fill(s, &p, export->as, false, &context);
        if (rc == 0)
            rc = flow_schema(s, export, context, "the context");
        if (rc == 0)
            flow_set(&s->r->context, steal(&context));
    }
    if (rc != 0)
        return rc;
    if (val_len(*list) >= FLOW_HEARD_MAX)
        return flow_problem(s, PROBLEM_RUNTIME, "more than %d items are gathered", FLOW_HEARD_MAX);
    *list = val_push(steal(list), steal(&out));
    f->index++;
    return *list ? 0 : E_NOMEM;
}

static int keep(struct step *s, struct frame *f)
{
    const struct flow_task *t = f->task;
    bool each = t->listen.each;
    int rc = flow_each_done(s, f, each ? &t->listen.output : NULL, each ? &t->listen.export : NULL,
                            &f->items);
    if (rc == 0)
        flow_to(f, STEP_UNTIL);
    return rc;
}

static int enough(struct step *s, struct frame *f, bool *ret)
{
    const struct flow_consume *c = f->task->listen.to;
    struct place p = {.f = f, .scope = f, .dot = f->items};
    if (c->mode != FLOW_CONSUME_ANY) {
        *ret = complete(c, f->mask);
        return 0;
    }
    *ret = !c->until && !c->until_never;
    return c->until_expr ? flow_test(s, &p, c->until_expr, ret) : 0;
}

int flow_body_listen(struct step *s, struct frame *f)
{
    bool over = false;
    int rc = f->step == STEP_START ? begin(s, f) : 0;
    while (rc == 0) {
        f->occurrence = 0;
        if (f->step == STEP_NEXT) {
            rc = look(s, f, &over);
        } else if (f->step == STEP_LISTED) {
            rc = keep(s, f);
        } else if (f->step == STEP_UNTIL) {
            rc = enough(s, f, &over);
            if (rc == 0 && !over) {
                flow_set(&f->item, NULL);
                flow_to(f, STEP_NEXT);
            }
        } else {
            return TURN_WAIT;
        }
        if (rc == 0 && over)
            return end(s, f);
    }
    return rc;
}
