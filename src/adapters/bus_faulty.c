// bus_faulty.c: a bus that delays, doubles, refuses and loses its connection, from a seed.
// SPDX-License-Identifier: Apache-2.0
#include "adapters/bus_faulty.h"
#include "adapters/bus_priv.h"
#include "base/rng.h"
#include "base/time.h"

#define BEAT_MS 10

struct faulty_sub {
    struct bus_sub sub; // first
    struct bus_sub *inner;
    struct bus_sub_args args; // the caller's; texts not kept
    struct list link;
    struct list delayed; // struct faulty_msg
    int64_t last_due_ms; // no message overtakes
    bool dead;
};

struct faulty_msg {
    struct list link;
    struct bus_copy *copy;
    int64_t due_ms;
};

// A request of the caller's, as the inner bus sees it.
struct faulty_req {
    struct bus_req in;
    struct list link;
    struct faulty *f;
    uint64_t ticket; // of the caller's
    struct bus_copy *copy;
    bool running, retry;
};

struct faulty {
    struct bus_core core; // first
    struct bus *inner;
    struct bus_faults faults;
    struct rng rng;
    struct list subs, reqs;
    struct timer beat;
    bool up, lost, by_hand, inner_closed;
    int64_t back_ms;
};

static struct faulty *faulty_of(struct bus *b)
{
    return (struct faulty *)(void *)b;
}

static bool chance(struct faulty *f, uint32_t in_1000)
{
    return in_1000 && rng_below(&f->rng, 1000) < in_1000;
}

static int refuse(struct faulty *f, struct err *e)
{
    if (f->core.closed)
        return err_set(e, E_CLOSED, "the bus is closed");
    if (!chance(f, f->faults.full))
        return 0;
    f->core.stats.full++;
    return err_set(e, E_FULL, "refused by chance");
}

static int check_up(const struct faulty *f, struct err *e)
{
    return f->lost || !f->up ? err_set(e, E_UNAVAILABLE, "the connection is lost") : 0;
}

// ---- requests -----------------------------------------------------------------------------------

static void req_free(struct faulty_req *q)
{
    list_del(&q->link);
    mem_free(q->copy);
    mem_free(q);
}

static struct bus_req *outer_of(struct faulty_req *q)
{
    return q->ticket ? bus_core_req(&q->f->core, q->ticket) : NULL;
}

static bool waits_for_delays(const struct faulty *f)
{
    list_each (it, &f->subs)
        if (!list_empty(&container_of(it, struct faulty_sub, link)->delayed))
            return true;
    return false;
}

static void on_inner(struct bus_req *in, int status, const struct bus_msg *reply,
                     const struct err *e)
{
    struct faulty_req *q = in->user;
    struct faulty *f = q->f;
    struct bus_req *r = outer_of(q);
    q->running = false;
    if (q->retry && r) // its answer went with the connection: asked again when that is back
        return;
    if (r && r->kind == BUS_REQ_FLUSH && !status && waits_for_delays(f))
        return; // the beat ends it
    if (r) {
        r->seq = in->seq;
        r->duplicate = in->duplicate;
        bus_core_req_end(&f->core, r, status, reply, e);
    }
    req_free(q);
}

static int start(struct faulty_req *q, int kind, const struct bus_msg *m, struct err *e)
{
    struct bus *b = q->f->inner;
    q->in = (struct bus_req){.done = on_inner, .user = q, .timeout_ms = TIME_NEVER};
    q->retry = false;
    int rc = kind == BUS_REQ_STORE     ? bus_store(b, m, &q->in, e)
             : kind == BUS_REQ_REQUEST ? bus_request(b, m, &q->in, e)
                                       : bus_flush(b, &q->in, e);
    q->running = !rc;
    return rc;
}

static int begin(struct faulty *f, enum bus_req_kind kind, const struct bus_msg *m,
                 struct bus_req *r, struct err *e)
{
    struct bus_msg with = m ? *m : (struct bus_msg){.time_ms = 0};
    struct buf id;
    int rc = bus_core_req_add(&f->core, r, kind, e);
    if (rc)
        return rc;
    buf_init(&id, 64);
    if (kind == BUS_REQ_STORE && !with.id.n) { // the same at each try
        bus_core_put_made_id(&f->core, &id);
        with.id = buf_bytes(&id);
    }
    struct faulty_req *q = mem_new(struct faulty_req);
    if (q) {
        list_init(&q->link);
        q->f = f;
        q->ticket = r->ticket;
        q->copy = bus_copy_new(&with, 0, NULL);
    }
    buf_fini(&id);
    rc = q && q->copy ? 0 : err_set(e, E_NOMEM, "bus");
    if (!rc && f->lost)
        q->retry = true;
    else if (!rc)
        rc = start(q, kind, &q->copy->m, e);
    if (rc) {
        bus_core_req_drop(&f->core, r);
        if (q)
            req_free(q);
        return rc;
    }
    r->priv = q;
    list_add_tail(&f->reqs, &q->link);
    return 0;
}

static void forget(struct bus_core *c, struct bus_req *r)
{
    struct faulty_req *q = r->priv;
    (void)c;
    if (!q)
        return;
    q->ticket = 0;
    if (q->running)
        bus_cancel(q->f->inner, &q->in);
    else
        req_free(q);
}

static int op_store(struct bus *b, const struct bus_msg *m, struct bus_req *r, struct err *e)
{
    struct faulty *f = faulty_of(b);
    int rc = refuse(f, e);
    if (!rc && f->lost)
        rc = bus_core_admit(&f->core, m, e);
    return rc ? rc : begin(f, BUS_REQ_STORE, m, r, e);
}

static int op_request(struct bus *b, const struct bus_msg *m, struct bus_req *r, struct err *e)
{
    struct faulty *f = faulty_of(b);
    int rc = refuse(f, e);
    if (!rc)
        rc = check_up(f, e);
    return rc ? rc : begin(f, BUS_REQ_REQUEST, m, r, e);
}

static int op_flush(struct bus *b, struct bus_req *r, struct err *e)
{
    struct faulty *f = faulty_of(b);
    int rc = refuse(f, e);
    if (!rc)
        rc = check_up(f, e);
    return rc ? rc : begin(f, BUS_REQ_FLUSH, NULL, r, e);
}

static int op_publish(struct bus *b, const struct bus_msg *m, struct err *e)
{
    struct faulty *f = faulty_of(b);
    int rc = refuse(f, e);
    if (!rc)
        rc = check_up(f, e);
    return rc ? rc : bus_publish(f->inner, m, e);
}

static void op_cancel(struct bus *b, struct bus_req *r)
{
    bus_core_req_cancel(bus_core_of(b), r);
}

// ---- delivery -----------------------------------------------------------------------------------

static void hand(struct faulty_sub *s, const struct bus_msg *m)
{
    struct faulty *f = faulty_of(s->sub.bus);
    if (s->dead)
        return;
    s->args.on_msg(&s->sub, m);
    if (!s->dead && m->seq && chance(f, f->faults.twice))
        s->args.on_msg(&s->sub, m);
}

static void on_msg(struct bus_sub *inner, const struct bus_msg *m)
{
    struct faulty_sub *s = inner->user;
    struct faulty *f = faulty_of(s->sub.bus);
    int64_t now = timers_now_ms(f->core.args.timers);
    if (f->lost && !m->seq)
        return; // nobody heard it
    if (f->lost && m->ack) {
        (void)bus_ack(s->inner, m->ack, BUS_NAK, BEAT_MS); // later, then
        return;
    }
    int64_t due = now;
    if (f->faults.delay_ms_max)
        due += (int64_t)rng_below(&f->rng, f->faults.delay_ms_max + 1);
    due = due > s->last_due_ms ? due : s->last_due_ms;
    if (due <= now && list_empty(&s->delayed) && !f->lost) {
        hand(s, m);
        return;
    }
    struct faulty_msg *x = mem_new(struct faulty_msg);
    struct bus_copy *copy = x ? bus_copy_new(m, 0, NULL) : NULL;
    if (!copy) {
        mem_free(x);
        f->core.stats.dropped++;
        return;
    }
    *x = (struct faulty_msg){.copy = copy, .due_ms = due};
    list_add_tail(&s->delayed, &x->link);
    s->last_due_ms = due;
}

static void msg_free(struct faulty_msg *x)
{
    list_del(&x->link);
    mem_free(x->copy);
    mem_free(x);
}

static void hand_delayed(struct faulty_sub *s, int64_t now)
{
    while (!s->dead && !list_empty(&s->delayed)) {
        struct faulty_msg *x = container_of(s->delayed.next, struct faulty_msg, link);
        if (x->due_ms > now || faulty_of(s->sub.bus)->lost)
            return;
        struct bus_copy *copy = x->copy;
        x->copy = NULL;
        msg_free(x);
        hand(s, &copy->m);
        mem_free(copy);
    }
}

static void on_ready(struct bus_sub *inner)
{
    struct faulty_sub *s = inner->user;
    if (!s->dead && s->args.on_ready)
        s->args.on_ready(&s->sub);
}
static void on_failed(struct bus_sub *inner, int status, const struct err *e)
{
    struct faulty_sub *s = inner->user;
    if (!s->dead && s->args.on_failed)
        s->args.on_failed(&s->sub, status, e);
}
static void on_sub_closed(struct bus_sub *inner)
{
    struct faulty_sub *s = inner->user;
    while (!list_empty(&s->delayed))
        msg_free(container_of(s->delayed.next, struct faulty_msg, link));
    list_del(&s->link);
    if (s->args.on_closed)
        s->args.on_closed(&s->sub);
    mem_free(s);
}

static int op_subscribe(struct bus *b, const struct bus_sub_args *args, struct bus_sub **ret,
                        struct err *e)
{
    struct faulty *f = faulty_of(b);
    struct bus_sub_args inner = *args;
    if (f->core.closed)
        return err_set(e, E_CLOSED, "the bus is closed");
    struct faulty_sub *s = mem_new(struct faulty_sub);
    if (!s)
        return err_set(e, E_NOMEM, "bus");
    s->sub = (struct bus_sub){b, args->user};
    s->args = *args;
    list_init(&s->delayed);
    inner.on_msg = on_msg;
    inner.on_ready = on_ready;
    inner.on_failed = on_failed;
    inner.on_closed = on_sub_closed;
    inner.user = s;
    int rc = bus_subscribe(f->inner, &inner, &s->inner, e);
    if (rc) {
        mem_free(s);
        return rc;
    }
    list_add_tail(&f->subs, &s->link);
    *ret = &s->sub;
    return 0;
}

static void op_unsubscribe(struct bus_sub *sub)
{
    struct faulty_sub *s = (struct faulty_sub *)(void *)sub;
    s->dead = true;
    bus_unsubscribe(s->inner);
}

static int op_ack(struct bus_sub *sub, uint64_t ack, enum bus_ack_how how, int64_t delay_ms)
{
    struct faulty_sub *s = (struct faulty_sub *)(void *)sub;
    struct faulty *f = faulty_of(sub->bus);
    if (f->lost) // it comes again
        return E_NOTFOUND;
    return bus_ack(s->inner, ack, how, delay_ms);
}

// ---- the connection -----------------------------------------------------------------------------

void bus_faulty_lose(struct bus *b)
{
    struct faulty *f = faulty_of(b);
    struct err e = {0};
    if (f->lost || !f->up || f->core.closed)
        return;
    f->lost = true;
    f->by_hand = true;
    (void)err_set(&e, E_UNAVAILABLE, "the connection is lost");
    list_each_safe (it, &f->reqs) { // their answers, too
        struct faulty_req *q = container_of(it, struct faulty_req, link);
        struct bus_req *r = outer_of(q);
        q->retry = r && r->kind == BUS_REQ_STORE;
    }
    bus_core_reqs_end(&f->core, BUS_REQ_REQUEST, E_UNAVAILABLE, &e);
    bus_core_reqs_end(&f->core, BUS_REQ_FLUSH, E_UNAVAILABLE, &e);
    bus_core_lost(&f->core, BUS_LOST, &e);
}

void bus_faulty_back(struct bus *b)
{
    struct faulty *f = faulty_of(b);
    if (!f->lost)
        return;
    f->lost = f->by_hand = false;
    list_each_safe (it, &f->reqs) {
        struct faulty_req *q = container_of(it, struct faulty_req, link);
        struct bus_req *r = outer_of(q);
        struct err e = {0};
        if (!q->retry || q->running || !r)
            continue;
        int rc = start(q, BUS_REQ_STORE, &q->copy->m, &e);
        if (!rc)
            continue;
        r->priv = NULL;
        bus_core_req_end_soon(&f->core, r, rc, &e);
        req_free(q);
    }
    bus_core_lost(&f->core, BUS_BACK, NULL);
    f->core.stats.status = BUS_CONNECTED;
}

static void on_beat(struct timer *t)
{
    struct faulty *f = t->user;
    int64_t now = timers_now_ms(f->core.args.timers);
    (void)timer_start(f->core.args.timers, t, f->faults.delay_ms_max ? 1 : BEAT_MS);
    list_each_safe (it, &f->subs)
        hand_delayed(container_of(it, struct faulty_sub, link), now);
    if (!waits_for_delays(f))
        list_each_safe (it, &f->reqs) {
            struct faulty_req *q = container_of(it, struct faulty_req, link);
            struct bus_req *r = outer_of(q);
            if (!r || r->kind != BUS_REQ_FLUSH || q->running)
                continue;
            bus_core_req_end_soon(&f->core, r, 0, NULL);
            req_free(q);
        }
    list_each_safe (it, &f->reqs) { // stores whose answer came while the connection was lost
        struct faulty_req *q = container_of(it, struct faulty_req, link);
        struct bus_req *r = outer_of(q);
        if (f->lost || !q->retry || q->running || !r)
            continue;
        if (start(q, BUS_REQ_STORE, &q->copy->m, NULL))
            q->retry = true; // the next beat
    }
    if (f->lost && !f->by_hand && now >= f->back_ms) {
        bus_faulty_back(&f->core.bus);
    } else if (!f->lost && chance(f, f->faults.lose)) {
        bus_faulty_lose(&f->core.bus);
        f->by_hand = false;
        f->back_ms = now + 1 + (int64_t)rng_below(&f->rng, f->faults.lost_ms_max + 1);
    }
}

static void op_policy_changed(struct bus *b)
{
    bus_policy_changed(faulty_of(b)->inner);
}

static void op_stats(const struct bus *b, struct bus_stats *ret)
{
    const struct faulty *f = (const struct faulty *)(const void *)b;
    bus_stats(f->inner, ret);
    ret->status = f->core.stats.status;
    ret->lost += f->core.stats.lost;
    ret->full += f->core.stats.full;
    ret->refused += f->core.stats.refused;
    ret->dropped += f->core.stats.dropped;
    ret->reqs = f->core.stats.reqs;
}

static void op_close(struct bus *b)
{
    struct faulty *f = faulty_of(b);
    if (f->core.closed)
        return;
    bus_core_reqs_end(&f->core, BUS_REQ_NONE, E_CANCELLED, NULL);
    f->core.closed = true;
    list_each (it, &f->subs)
        container_of(it, struct faulty_sub, link)->dead = true;
    timer_stop(f->core.args.timers, &f->beat);
    bus_close(f->inner);
}

static void finish(struct timer *t)
{
    struct faulty *f = t->user;
    void (*on_status)(void *, enum bus_status, const struct err *) = f->core.args.on_status;
    void *user = f->core.args.user;
    if (!list_empty(&f->core.ended)) {
        (void)timer_start(f->core.args.timers, t, 0);
        return;
    }
    while (!list_empty(&f->reqs))
        req_free(container_of(f->reqs.next, struct faulty_req, link));
    bus_core_fini(&f->core);
    mem_free(f);
    if (on_status)
        on_status(user, BUS_CLOSED, NULL);
}

static void on_status(void *user, enum bus_status status, const struct err *e)
{
    struct faulty *f = user;
    if (status == BUS_CLOSED) {
        f->beat.fn = finish;
        (void)timer_start(f->core.args.timers, &f->beat, 0);
        return;
    }
    f->up = status == BUS_CONNECTED || status == BUS_BACK;
    if (!f->lost) {
        bus_core_lost(&f->core, status, e);
        f->core.stats.status = f->up ? BUS_CONNECTED : status;
    }
}

static void on_drain(void *user)
{
    struct faulty *f = user;
    if (f->core.args.on_drain)
        f->core.args.on_drain(f->core.args.user);
}

static int may(void *user, const struct bus_crossing *x, struct err *e)
{
    struct faulty *f = user;
    return f->core.args.may ? f->core.args.may(f->core.args.user, x, e) : 0;
}

static const struct bus_ops ops = {
    .publish = op_publish,
    .store = op_store,
    .request = op_request,
    .flush = op_flush,
    .cancel = op_cancel,
    .subscribe = op_subscribe,
    .unsubscribe = op_unsubscribe,
    .ack = op_ack,
    .policy_changed = op_policy_changed,
    .stats = op_stats,
    .close = op_close,
};

int bus_faulty_open(int (*open)(const struct bus_args *args, struct bus **ret, struct err *e),
                    const struct bus_args *args, const struct bus_faults *faults, struct bus **ret,
                    struct err *e)
{
    struct bus_args inner = *args;
    struct faulty *f = mem_new(struct faulty);
    if (!f)
        return err_set(e, E_NOMEM, "bus");
    list_init(&f->subs);
    list_init(&f->reqs);
    f->faults = *faults;
    rng_init(&f->rng, faults->seed);
    f->beat = (struct timer){.fn = on_beat, .user = f};
    int rc = bus_core_init(&f->core, &ops, args, e);
    f->core.forget = forget;
    inner.may = may;
    inner.on_status = on_status;
    inner.on_drain = on_drain;
    inner.user = f;
    if (!rc)
        rc = open(&inner, &f->inner, e);
    if (rc) {
        if (f->core.bus.ops)
            bus_core_fini(&f->core);
        mem_free(f);
        return rc;
    }
    (void)timer_start(args->timers, &f->beat, 1);
    *ret = &f->core.bus;
    return 0;
}
