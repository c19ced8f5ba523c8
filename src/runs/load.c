// load.c: runs in memory: read from the journal when something happens to them, given up again when
// too many are there and nothing goes on.
// SPDX-License-Identifier: Apache-2.0
#include "runs/runs_priv.h"
#include <string.h>

struct load { // of one run
    struct run *run;
    struct runs *s;
    struct list link; // s->loads until it is being read
    struct buf text; // entries, each with a newline
    uint64_t first, last; // numbers
    struct plan_wait plan;
    struct op *op;
    bool reading;
};

struct run *runs_new_run(struct runs *s, struct spot *p, struct flow_plan *plan)
{
    struct run *r = mem_new(struct run);
    if (!r)
        return NULL;
    r->s = s;
    r->spot = p;
    r->plan = plan ? flow_plan_ref(plan) : NULL;
    r->wake_ms = r->row_wake_ms = TIME_NEVER;
    r->chapter = 1;
    list_init(&r->inbox);
    list_init(&r->ready);
    list_init(&r->jobs);
    list_init(&r->children);
    list_init(&r->line);
    list_init(&r->turn);
    list_init(&r->looks);
    list_init(&r->unsent);
    list_add_tail(&s->loaded, &r->link);
    s->loaded_count++;
    p->run = r;
    return r;
}

static void load_free(struct load *l)
{
    if (!l)
        return;
    l->run->load = NULL;
    if (l->op)
        l->op->user = NULL;
    list_del(&l->link);
    list_del(&l->plan.link);
    if (l->reading)
        l->s->load_count--;
    buf_fini(&l->text);
    mem_free(l);
}

static void run_free(struct run *r)
{
    list_del(&r->link);
    list_del(&r->ready);
    list_del(&r->turn);
    flow_run_free(r->flow);
    flow_plan_unref(r->plan);
    val_unref(r->meta);
    val_unref(r->roll);
    val_unref(r->output);
    val_unref(r->note);
    mem_free(r->listens);
    mem_free(r);
}

void runs_free_run(struct run *r)
{
    if (r->load) {
        if (r->load->op)
            runs_op_free(r->load->op);
        r->load->op = NULL;
        load_free(r->load);
    }
    list_each_safe (it, &r->inbox)
        runs_post_free(container_of(it, struct post, link));
    list_each_safe (it, &r->jobs)
        runs_queue_free(container_of(it, struct job, link));
    list_each_safe (it, &r->children)
        runs_job_free(container_of(it, struct job, link));
    list_each_safe (it, &r->looks)
        list_del(it);
    list_each_safe (it, &r->spot->waits)
        list_del(it);
    r->spot->run = NULL;
    run_free(r);
}

// ---- giving up ----------------------------------------------------------------------------------

void runs_unpin(struct run *r)
{
    r->pins--;
    if (r->state == RUN_GONE && !r->pins && !r->writes)
        run_free(r);
}

// Out of memory, whatever goes on: what it waited for is let go; the journal has what is true.
void runs_forget(struct run *r, int status, const struct err *e)
{
    struct runs *s = r->s;
    struct spot *spot = r->spot;
    if (r->state == RUN_GONE)
        return;
    r->state = RUN_GONE;
    r->pins++;
    s->loaded_count--;
    load_free(r->load);
    while (!list_empty(&r->unsent)) {
        struct write *w = container_of(r->unsent.next, struct write, unsent);
        struct post *p = steal(&w->post);
        runs_write_free(w);
        runs_post_fail(s, p, status, e);
    }
    while (!list_empty(&r->jobs))
        runs_job_drop(container_of(r->jobs.next, struct job, link));
    while (!list_empty(&r->children))
        runs_job_drop(container_of(r->children.next, struct job, link));
    while (!list_empty(&r->inbox))
        runs_post_fail(s, container_of(r->inbox.next, struct post, link), status, e);
    while (!list_empty(&r->looks)) {
        struct ask *a = container_of(r->looks.next, struct ask, wait);
        list_del(&a->wait);
        runs_ask_done(a, status, e);
    }
    list_del(&r->link);
    list_del(&r->ready);
    list_del(&r->turn);
    r->spot = NULL;
    spot->run = NULL;
    if (status == E_CONFLICT || status == E_EXISTS) { // it is another one's
        spot->mine = false;
        runs_wake(s, spot, TIME_NEVER);
        (void)runs_hear(s, spot, BYTES_NONE);
    }
    while (!list_empty(&spot->waits)) {
        struct ask *a = container_of(spot->waits.next, struct ask, wait);
        runs_ask_done(a, status, e);
    }
    runs_spot_tidy(s, spot);
    runs_unpin(r);
}

// What was meant for it is for the one that is there.
void runs_exists(struct run *r, const struct err *e)
{
    struct runs *s = r->s;
    struct list posts;
    struct err why = {0};
    struct run *real = NULL;
    char id[RUNS_ID_MAX + 1];
    size_t n = r->spot->id.n;
    list_init(&posts);
    memcpy(id, r->spot->id.p, n);
    list_each_safe (it, &r->inbox) {
        struct post *p = container_of(it, struct post, link);
        if (p->create)
            continue;
        list_del(&p->link);
        list_add_tail(&posts, &p->link);
    }
    runs_forget(r, E_EXISTS, e);
    if (!runs_down(s, &why))
        real = runs_get(s, (struct bytes){id, n}, &why); // also to know when it wakes
    while (!list_empty(&posts)) {
        struct post *p = container_of(posts.next, struct post, link);
        list_del(&p->link);
        if (real && real->state != RUN_GONE)
            runs_post(real, p);
        else
            runs_post_fail(s, p, why.code ? why.code : E_NOMEM, &why);
    }
}

static bool still(const struct run *r)
{
    return r->state == RUN_LIVE && !r->writes && !r->pins && list_empty(&r->unsent) &&
           !r->yielded && !r->roll && list_empty(&r->inbox) && list_empty(&r->ready);
}

static bool idle(const struct run *r)
{
    return still(r) && list_empty(&r->jobs);
}

static void evict(struct run *r)
{
    struct runs *s = r->s;
    struct spot *spot = r->spot;
    while (!list_empty(&r->jobs)) // held ones, of another node's run
        runs_job_drop(container_of(r->jobs.next, struct job, link));
    while (!list_empty(&r->children))
        runs_job_drop(container_of(r->children.next, struct job, link));
    spot->run = NULL;
    s->loaded_count--;
    s->stats.evicted++;
    run_free(r);
    runs_spot_tidy(s, spot);
}

void runs_touch(struct run *r)
{
    if (r->state == RUN_GONE)
        return;
    list_del(&r->link);
    if (r->ended && idle(r)) // the first to leave
        list_add_head(&r->s->loaded, &r->link);
    else
        list_add_tail(&r->s->loaded, &r->link);
}

void runs_evict(struct runs *s)
{
    unsigned looks = 0;
    list_each_safe (it, &s->loaded) {
        struct run *r = container_of(it, struct run, link);
        if (s->loaded_count <= s->args.loaded_max || looks++ >= 8)
            return;
        if (idle(r)) {
            evict(r);
        } else { // not looked at again so soon
            list_del(&r->link);
            list_add_tail(&s->loaded, &r->link);
        }
    }
}

// ---- from entries to a run ----------------------------------------------------------------------

static int take_meta(struct run *r, const struct flow_event *first, struct err *e)
{
    struct val *data = first->data, *started = val_get_cstr(data, "started");
    if (first->type == FLOW_STARTED) {
        r->meta = val_del(val_ref(data), BYTES("input"));
        r->started_ms = first->at_ms;
    } else if (first->type == FLOW_ROLLED) {
        r->meta = val_ref(val_get_cstr(data, "run"));
        r->started_ms = val_i64(started, first->at_ms);
    }
    if (!val_is(val_get_cstr(r->meta, "plan"), JSON_STR))
        return err_set(e, E_IO, "its history begins with %s, which does not name its document",
                       flow_type_name(first->type));
    return 0;
}

static int first_entry(struct load *l, struct err *e)
{
    struct bytes rest = buf_bytes(&l->text), line = bytes_cut(&rest, '\n');
    struct flow_event ev;
    int rc = flow_event_parse(&ev, line, e);
    if (rc)
        return rc;
    rc = take_meta(l->run, &ev, e);
    flow_event_fini(&ev);
    return rc;
}

// What the run in memory must know beside the decider's state.
static void note_entry(struct run *r, const struct flow_event *ev)
{
    struct val *state;
    r->at_ms = ev->at_ms > r->at_ms ? ev->at_ms : r->at_ms;
    switch (ev->type) {
    case FLOW_YIELD: r->yielded = true; break;
    case FLOW_TICK: r->yielded = false; break;
    case FLOW_ROLL:
        state = val_get_cstr(ev->data, "state");
        r->roll = state ? val_ref(state) : val_null();
        break;
    case FLOW_ROLLED:
        val_unref(r->roll);
        r->roll = NULL;
        break;
    case FLOW_END:
        val_unref(r->output);
        r->output = val_ref(ev->data);
        r->closed_ms = ev->at_ms;
        runs_note_of(r, ev);
        break;
    case FLOW_STALL: runs_note_of(r, ev); break;
    case FLOW_STARTED:
    case FLOW_EVALUATED:
    case FLOW_DONE:
    case FLOW_FAILED:
    case FLOW_FIRED:
    case FLOW_EVENT:
    case FLOW_HAND:
    case FLOW_ACT:
    case FLOW_CHILD:
    case FLOW_TIMER:
    case FLOW_EVAL:
    case FLOW_LISTEN:
    case FLOW_CANCEL:
    default: break;
    }
}

static int replay(struct load *l, struct err *e)
{
    struct run *r = l->run;
    struct flow_replay *p = NULL;
    struct bytes rest = buf_bytes(&l->text);
    int rc = flow_replay_new(&p, r->plan, e);
    uint64_t number = l->first;
    while (!rc && rest.n) {
        struct flow_event ev;
        rc = flow_event_parse(&ev, bytes_cut(&rest, '\n'), e);
        if (rc) {
            (void)err_wrap(e, "entry %llu", (unsigned long long)number);
            break;
        }
        note_entry(r, &ev);
        rc = flow_replay_entry(p, &ev, e);
        flow_event_fini(&ev);
        number++;
    }
    if (!rc)
        rc = flow_replay_end(p, &r->flow, NULL, e);
    flow_replay_free(p);
    return rc;
}

int runs_listens_of(struct run *r, char **ret)
{
    const struct flow_event *c;
    struct val *item, *all = NULL;
    struct bytes key;
    for (size_t at = 0; flow_run_pending(r->flow, &at, &c);) {
        struct val *filters = val_get_cstr(c->data, "filters");
        if (c->type != FLOW_LISTEN)
            continue;
        all = all ? all : val_arr();
        for (size_t i = 0; filters && val_each(filters, &i, &key, &item);)
            all = val_push(all, val_ref(item));
        if (!all)
            return E_NOMEM;
    }
    *ret = NULL;
    if (!all)
        return 0;
    struct buf b;
    buf_init(&b, RUNS_TEXT_MAX);
    (void)val_write(&b, all);
    val_unref(all);
    *ret = b.failed ? NULL : buf_take(&b);
    buf_fini(&b);
    return *ret ? 0 : E_NOMEM;
}

static int settle(struct run *r, struct err *e)
{
    const struct flow_event *c;
    if (r->roll && val_is(r->roll, JSON_NULL)) {
        r->roll = flow_save(r->flow);
        if (!r->roll)
            return err_set(e, E_NOMEM, "a run needs memory");
    }
    for (size_t at = 0; flow_run_pending(r->flow, &at, &c);)
        if ((c->type == FLOW_ACT || c->type == FLOW_EVAL || c->type == FLOW_CHILD) &&
            !runs_job_new(r, c))
            return err_set(e, E_NOMEM, "a run needs memory");
    if (runs_listens_of(r, &r->listens))
        return err_set(e, E_NOMEM, "a run needs memory");
    r->row_status = flow_run_status(r->flow);
    r->row_open = r->row_status < FLOW_COMPLETED;
    if (r->row_status != FLOW_STALLED && r->row_status != FLOW_FAULTED && r->note) {
        val_unref(r->note);
        r->note = NULL;
    }
    r->ended = !r->row_open;
    r->row_busy = !list_empty(&r->jobs) || r->yielded;
    r->wake_ms = r->row_wake_ms = flow_run_wake_ms(r->flow);
    if (r->ended)
        r->yielded = false;
    else if (r->output) {
        val_unref(r->output);
        r->output = NULL;
    }
    r->tick = r->yielded;
    return 0;
}

// ---- reading ------------------------------------------------------------------------------------

static void failed(struct load *l, int status, const struct err *e)
{
    struct run *r = l->run;
    struct runs *s = l->s;
    struct spot *spot = r->spot;
    bool again = spot->mine && runs_passing(status);
    load_free(l);
    spot->mine = false;
    if (again) { // as if it had a timer
        spot->mine = true;
        runs_wake(s, spot, runs_wall(s) + 10000);
    } else {
        runs_wake(s, spot, TIME_NEVER);
        (void)runs_hear(s, spot, BYTES_NONE);
    }
    runs_forget(r, status, e);
    runs_load_go(s);
}

static void on_plan(struct plan_wait *w, struct flow_plan *plan, const struct err *e)
{
    struct load *l = container_of(w, struct load, plan);
    struct run *r = l->run;
    struct runs *s = l->s;
    struct err why = {0};
    if (!plan) {
        failed(l, e->code, e);
        return;
    }
    r->plan = flow_plan_ref(plan);
    r->last = l->last;
    r->chapter = l->first;
    int rc = replay(l, &why);
    if (!rc)
        rc = settle(r, &why);
    if (rc) {
        failed(l, rc, &why);
        return;
    }
    load_free(l);
    r->state = RUN_LIVE;
    r->spot->open = !r->ended;
    s->stats.loads++;
    runs_wake(s, r->spot, r->wake_ms);
    (void)runs_hear(s, r->spot, bytes_of(r->listens));
    r->pins++;
    if (r->spot->mine)
        runs_jobs_mine(r);
    runs_loaded(r);
    runs_pump(r);
    runs_unpin(r);
    runs_load_go(s);
}

static void on_read(struct op *o, int status, const struct err *e)
{
    struct load *l = o->user;
    struct err why = {0};
    if (!l)
        return;
    l->op = NULL;
    if (!status && !l->text.n)
        status = err_set(&why, E_NOTFOUND, "no such run");
    if (!status && l->text.failed)
        status = err_set(&why, l->text.failed, "its history does not fit into memory");
    if (!status)
        status = first_entry(l, &why);
    if (status) {
        failed(l, status, e ? e : &why);
        return;
    }
    runs_plan_load(l->s, val_bytes(val_get_cstr(l->run->meta, "plan")), &l->plan);
}

static bool on_entry(void *user, uint64_t number, struct bytes entry)
{
    struct op *o = user;
    struct load *l = o->user;
    if (!l)
        return false;
    if (!l->first)
        l->first = number;
    l->last = number;
    (void)buf_put(&l->text, entry);
    return !buf_chr(&l->text, '\n');
}

static void read(struct load *l)
{
    struct runs *s = l->s;
    struct err e = {0};
    struct op *o = runs_op(s, on_read, l);
    struct journal_read a = {.run = l->run->spot->id, .on_entry = on_entry, .user = o};
    list_del(&l->link);
    l->reading = true;
    s->load_count++;
    int rc = o ? journal_read(s->args.journal, &a, &o->req, &e)
               : err_set(&e, E_NOMEM, "a run needs memory");
    if (!rc) {
        l->op = o;
        return;
    }
    runs_op_free(o);
    if (rc == E_FULL) {
        l->reading = false;
        s->load_count--;
        list_add_head(&s->loads, &l->link);
        runs_again(s, 5);
        return;
    }
    failed(l, rc, &e);
}

void runs_load_go(struct runs *s)
{
    if (s->loading || s->stopped || s->closing)
        return;
    s->loading = true;
    while (!list_empty(&s->loads) && s->load_count < RUNS_LOADS_MAX && !s->again_armed)
        read(container_of(s->loads.next, struct load, link));
    s->loading = false;
    if (s->load_count < RUNS_LOADS_MAX && s->heap_count && s->heap[0]->wake_ms <= runs_wall(s))
        runs_soon(s);
    runs_check_ready(s);
}

struct run *runs_get(struct runs *s, struct bytes id, struct err *e)
{
    struct spot *p = runs_spot(s, id);
    if (p && p->run && (p->mine || p->run->ended || !still(p->run)))
        return p->run;
    char copy[RUNS_ID_MAX];
    if (p && p->run) { // another node's on a journal that is shared: it may have gone on since
        memcpy(copy, id.p, id.n); // it may be the spot's own
        id.p = copy;
        evict(p->run);
        p = runs_spot(s, id);
    }
    struct load *l = mem_new(struct load);
    p = p ? p : runs_spot_make(s, id);
    struct run *r = l && p ? runs_new_run(s, p, NULL) : NULL;
    if (!r) {
        mem_free(l);
        if (p)
            runs_spot_tidy(s, p);
        (void)err_set(e, id.n > RUNS_ID_MAX || !id.n ? E_NOTFOUND : E_NOMEM, "no such run");
        return NULL;
    }
    l->run = r;
    l->s = s;
    r->load = l;
    buf_init(&l->text, RUNS_TEXT_MAX);
    list_init(&l->plan.link);
    l->plan.done = on_plan;
    list_add_tail(&s->loads, &l->link);
    runs_soon(s);
    return r;
}
