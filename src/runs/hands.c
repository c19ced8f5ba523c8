// hands.c: what people and events do to runs: hands, signals, events from outside, reset.
// SPDX-License-Identifier: Apache-2.0
#include "runs/runs_priv.h"
#include <string.h>

static void on_told(struct post *p, int status, const struct err *e)
{
    struct ask *a = p->user;
    struct spot *spot = status ? NULL : runs_spot(a->s, bytes_of(a->id));
    if (spot && spot->run && spot->run->state == RUN_LIVE)
        runs_status_json(&a->json, spot->run);
    runs_ask_done(a, status, e);
}

// An event for a run that answers the ask when it is kept.
static void tell(struct ask *a, struct bytes id, enum flow_type t, struct val *takes_data)
{
    struct err e = {0};
    struct post *p = takes_data ? runs_post_new(t, 0, takes_data) : NULL;
    a->id = a->id ? a->id : mem_dup(id.p, id.n);
    struct run *r = p && a->id ? runs_get(a->s, id, &e) : NULL;
    if (!r) {
        runs_post_free(p);
        if (!e.code)
            (void)err_set(&e, E_NOMEM, "a request needs memory");
        runs_ask_done(a, e.code, &e);
        return;
    }
    p->done = on_told;
    p->user = a;
    runs_post(r, p);
}

static struct val *put_text(struct val *v, const char *key, struct bytes text)
{
    return text.n ? val_put_cstr(v, key, val_str(text)) : v;
}

// ---- reset --------------------------------------------------------------------------------------

static bool on_entry(void *user, uint64_t number, struct bytes entry)
{
    struct ask *a = user;
    if (bytes_starts(entry, BYTES("{\"t\":\"rolled\""))) { // a chapter begins
        buf_clear(&a->json);
        a->count = 0;
    }
    a->count++;
    a->n = number;
    (void)buf_put(&a->json, entry);
    return !buf_chr(&a->json, '\n');
}

static int first_meta(struct ask *a, struct err *e)
{
    struct bytes rest = buf_bytes(&a->json);
    struct flow_event ev;
    int rc = flow_event_parse(&ev, bytes_cut(&rest, '\n'), e);
    if (rc)
        return rc;
    struct val *meta = ev.type == FLOW_ROLLED ? val_get_cstr(ev.data, "run") : ev.data;
    struct val *hash = val_get_cstr(meta, "plan");
    a->label = val_is(hash, JSON_STR) ? val_ref(hash) : NULL;
    flow_event_fini(&ev);
    return a->label ? 0 : err_set(e, E_IO, "its history does not name its document");
}

static void on_reset(struct op *o, int status, const struct err *e)
{
    struct ask *a = o->user;
    struct runs *s = a->s;
    struct err why = {0};
    struct json_w w;
    buf_clear(&a->json);
    if (status) {
        runs_ask_done(a, status, e);
        return;
    }
    s->stats.open++;
    struct spot *spot = runs_spot_make(s, bytes_of(a->id));
    if (spot)
        spot->mine = spot->open = true;
    bool goes_on = spot && runs_get(s, spot->id, &why); // from where it was
    while (!list_empty(&a->mails)) { // the old one is terminated, children begin
        struct mail *m = container_of(a->mails.next, struct mail, link);
        list_del(&m->link);
        runs_mail_go(m);
    }
    json_w_init(&w, &a->json);
    json_w_obj(&w, NULL);
    json_w_cstr(&w, "id", a->id);
    json_w_cstr(&w, "status", "running");
    json_w_end(&w);
    if (goes_on)
        runs_ask_done(a, 0, NULL);
    else
        runs_ask_nomem(a);
}

static int reset_mails(struct ask *a, const struct flow_run *flow, const struct val *meta,
                       struct val **ret_puts)
{
    struct runs *s = a->s;
    const struct flow_event *c;
    struct val *puts = val_obj();
    struct mail *m = runs_mail_hand(s, bytes_of(a->text), "terminate");
    if (m)
        list_add_tail(&a->mails, &m->link);
    for (size_t at = 0; m && flow_run_pending(flow, &at, &c);) {
        if (c->type != FLOW_CHILD)
            continue;
        m = runs_mail_begin(s, meta, bytes_of(a->id), c);
        if (m)
            list_add_tail(&a->mails, &m->link);
    }
    list_each (it, &a->mails) {
        struct mail *x = container_of(it, struct mail, link);
        puts = val_put(puts, bytes_of(x->key), val_ref(x->value));
    }
    *ret_puts = puts;
    return m && puts ? 0 : E_NOMEM;
}

static int write_reset(struct ask *a, struct flow_plan *plan, struct flow_run *flow,
                       const struct val *meta, struct err *e)
{
    struct runs *s = a->s;
    struct flow_about about;
    size_t count = a->count, n = 0;
    struct bytes rest = buf_bytes(&a->json), *entries = mem_array(count, sizeof *entries);
    struct val *puts = NULL;
    struct journal_put *put = NULL;
    struct buf text;
    struct op *o = runs_op(s, on_reset, a);
    flow_plan_about(plan, &about);
    buf_init(&text, RUNS_TEXT_MAX);
    int rc = entries && o ? reset_mails(a, flow, meta, &puts) : E_NOMEM;
    if (!rc)
        put = mem_array(val_len(puts), sizeof *put);
    rc = put ? runs_put_list(puts, put, val_len(puts), &text) : E_NOMEM;
    while (rc >= 0 && n < count)
        entries[n++] = bytes_cut(&rest, '\n');
    struct journal_run row = {
        .namespace = bytes_of(about.namespace),
        .name = bytes_of(about.name),
        .version = bytes_of(about.version),
        .plan = bytes_of(about.hash),
        .status = bytes_of(flow_status_name(flow_run_status(flow))),
        .open = flow_run_status(flow) < FLOW_COMPLETED,
        .busy = flow_run_status(flow) < FLOW_COMPLETED, // it is loaded when it is found
        .started_ms = runs_wall(s),
        .wake_ms = flow_run_wake_ms(flow),
        .by = val_bytes(a->by),
        .label = val_bytes(val_get_cstr(meta, "label")),
        .chapter = 1,
    };
    struct journal_change change = {
        .run = bytes_of(a->id), .create = true, .entries = entries, .entry_count = n, .row = &row};
    struct journal_write w = {.changes = &change,
                              .change_count = 1,
                              .puts = put,
                              .put_count = rc > 0 ? (size_t)rc : 0,
                              .doc_hash = bytes_of(about.hash),
                              .doc = about.bundle};
    rc = rc < 0 ? err_set(e, rc, "a reset needs memory")
                : journal_write(s->args.journal, &w, &o->req, e);
    if (rc)
        runs_op_free(o);
    buf_fini(&text);
    mem_free(put);
    mem_free(entries);
    val_unref(puts);
    return rc;
}

// The entries up to there, and the commands that the last of them must give.
static int rebuild(struct ask *a, struct flow_plan *plan, struct err *e)
{
    struct flow_replay *p = NULL;
    struct flow_run *flow = NULL;
    struct flow_out out = {0};
    struct flow_event ev, first = {0};
    struct bytes rest = buf_bytes(&a->json);
    int rc = flow_replay_new(&p, plan, e);
    while (!rc && rest.n) {
        rc = flow_event_parse(&ev, bytes_cut(&rest, '\n'), e);
        if (rc)
            break;
        rc = flow_replay_entry(p, &ev, e);
        if (!first.data)
            first = ev;
        else
            flow_event_fini(&ev);
    }
    if (!rc)
        rc = flow_replay_end(p, &flow, &out, e);
    for (size_t i = 0; !rc && i < out.command_count; i++) {
        rc = flow_event_put(&a->json, &out.commands[i]);
        (void)buf_chr(&a->json, '\n');
        a->count++;
    }
    if (!rc && flow_run_status(flow) >= FLOW_COMPLETED)
        rc = err_set(e, E_INVALID, "reset: the run has ended there: choose an earlier entry");
    if (!rc)
        rc = write_reset(a, plan, flow,
                         first.type == FLOW_ROLLED ? val_get_cstr(first.data, "run") : first.data,
                         e);
    flow_event_fini(&first);
    flow_run_free(flow);
    flow_out_fini(&out);
    flow_replay_free(p);
    return rc;
}

static void on_reset_plan(struct plan_wait *w, struct flow_plan *plan, const struct err *e)
{
    struct ask *a = container_of(w, struct ask, plan_wait);
    struct err why = {0};
    int rc = plan ? rebuild(a, plan, &why) : e->code;
    if (rc)
        runs_ask_done(a, rc, plan ? &why : e);
}

static void on_reset_read(struct op *o, int status, const struct err *e)
{
    struct ask *a = o->user;
    struct err why = {0};
    char made[32];
    if (!status && a->n != a->to)
        status = err_set(&why, E_INVALID, "reset: the history has %llu entries, not %llu",
                         (unsigned long long)a->n, (unsigned long long)a->to);
    if (!status)
        status = first_meta(a, &why);
    if (!status) {
        struct bytes id = runs_id_make(a->s, made);
        a->id = mem_dup(id.p, id.n);
        status = a->id ? 0 : err_set(&why, E_NOMEM, "a reset needs memory");
    }
    if (status) {
        runs_ask_done(a, status, e ? e : &why);
        return;
    }
    a->plan_wait.done = on_reset_plan;
    runs_plan_load(a->s, val_bytes(a->label), &a->plan_wait);
}

static void reset(struct ask *a, const struct runs_hand *h)
{
    struct runs *s = a->s;
    struct err e = {0};
    struct op *o = runs_op(s, on_reset_read, a);
    a->text = mem_dup(h->id.p, h->id.n);
    a->to = h->to;
    a->by = h->by.n ? val_str(h->by) : NULL;
    struct journal_read read = {
        .run = h->id, .from = 1, .to = h->to, .on_entry = on_entry, .user = a};
    int rc = !h->to         ? err_set(&e, E_INVALID, "reset: to which entry? flow history has them")
             : o && a->text ? journal_read(s->args.journal, &read, &o->req, &e)
                            : err_set(&e, E_NOMEM, "a reset needs memory");
    if (!rc)
        return;
    runs_op_free(o);
    runs_ask_done(a, rc, &e);
}

// ---- the calls ----------------------------------------------------------------------------------

void runs_hand(struct runs *s, const struct runs_hand *h, struct runs_req *r)
{
    struct ask *a = runs_ask(s, r);
    if (!a)
        return;
    if (bytes_is(h->action, "reset")) {
        reset(a, h);
        return;
    }
    struct val *data = val_put_cstr(val_obj(), "action", val_str(h->action));
    data = put_text(data, "task", h->task);
    data = put_text(data, "by", h->by);
    data = put_text(data, "reason", h->reason);
    if (h->has_input)
        data = val_put_cstr(data, "input",
                            h->input ? val_ref((struct val *)(uintptr_t)h->input) : val_null());
    if (h->has_output)
        data = val_put_cstr(data, "output",
                            h->output ? val_ref((struct val *)(uintptr_t)h->output) : val_null());
    tell(a, h->id, FLOW_HAND, data);
}

void runs_signal(struct runs *s, struct bytes id, const struct val *cloudevent, struct runs_req *r)
{
    struct ask *a = runs_ask(s, r);
    if (!a)
        return;
    struct val *event = val_ref((struct val *)(uintptr_t)cloudevent);
    struct val *data = val_put_cstr(val_obj(), "event", event);
    tell(a, id, FLOW_EVENT, val_put_cstr(data, "signal", val_bool(true)));
}

// ---- events for whoever listens -----------------------------------------------------------------

static void taken(struct ask *a)
{
    struct json_w w;
    if (--a->needs)
        return;
    json_w_init(&w, &a->json);
    json_w_obj(&w, NULL);
    json_w_u64(&w, "taken", a->taken);
    json_w_end(&w);
    runs_ask_done(a, a->status, a->status ? &a->e : NULL);
}

static void on_taken(struct post *p, int status, const struct err *e)
{
    runs_event_taken(p->user, status, e);
}

// One of those who had it.
void runs_event_taken(struct ask *a, int status, const struct err *e)
{
    a->taken += !status;
    if (status && status != E_CONFLICT && status != E_NOTFOUND && !a->status) {
        a->status = status; // somebody may have missed it
        a->e = *e;
    }
    taken(a);
}

static bool post_event(struct ask *a, struct spot *p)
{
    struct err e = {0};
    struct run *r = runs_get(a->s, p->id, &e);
    struct val *data = val_put_cstr(val_obj(), "event", val_ref(a->event));
    struct post *post = r && data ? runs_post_new(FLOW_EVENT, 0, data) : NULL;
    if (!r || !data)
        val_unref(data);
    if (!post)
        return false;
    a->needs++;
    post->done = on_taken;
    post->user = a;
    runs_post(r, post);
    return true;
}

static int post_to_all(struct ask *a, struct spot **all, size_t count, struct err *e)
{
    for (size_t i = 0; i < count; i++)
        if (!post_event(a, all[i]))
            return err_set(e, E_NOMEM, "an event needs memory");
    return 0;
}

static void event_go(struct ask *a)
{
    struct runs *s = a->s;
    struct spot **all = NULL;
    size_t count = 0;
    struct err e = {0};
    for (int turn = 0; turn < 2; turn++) { // counted, then gathered: posting changes the lists
        count = 0;
        list_each (it, &s->hears) {
            struct hears *h = container_of(it, struct hears, link);
            if (!flow_filter_fits(h->filters, a->event))
                continue;
            list_each (at, &h->spots) {
                if (turn)
                    all[count] = container_of(at, struct spot, hears_link);
                count++;
            }
        }
        if (!turn)
            all = mem_array(count + 1, sizeof(struct spot *));
        if (!all)
            break;
    }
    a->needs = 1;
    if (!all || post_to_all(a, all, count, &e)) {
        a->status = E_NOMEM;
        (void)err_set(&a->e, E_NOMEM, "an event needs memory");
    }
    mem_free(all);
    runs_schedule_event(s, a->event, a);
    taken(a);
}

static void event_when_known(struct ask *a)
{
    if (a->s->listed) {
        event_go(a);
        return;
    }
    a->go = event_when_known;
    list_add_tail(&a->s->early_events, &a->wait);
}

void runs_events_go(struct runs *s)
{
    while (s->listed && s->docs_read && !list_empty(&s->early_events)) {
        struct ask *a = container_of(s->early_events.next, struct ask, wait);
        list_del(&a->wait);
        event_go(a);
    }
}

void runs_event(struct runs *s, const struct val *cloudevent, struct runs_req *r)
{
    struct ask *a = runs_ask(s, r);
    if (!a)
        return;
    a->event = val_ref((struct val *)(uintptr_t)cloudevent);
    runs_ask_go(a, event_when_known);
}
