// bus_rig.h: for the tests of buses: a loop step by step, two sides of a bus, subscribers and
// requests that keep what they got. Included by tests only, after cmocka.h.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_ADAPTERS_BUS_RIG_H
#define PLEXUS_ADAPTERS_BUS_RIG_H

#include "adapters/bus_priv.h"
#include "base/time.h"
#include "loop/loop_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#pragma GCC diagnostic ignored "-Wunused-function"

enum { KIT_WAIT_MS = 40000, KIT_KEPT = 4096 };

struct kit {
    int (*open)(const struct bus_args *args, struct bus **ret, struct err *e);
    void (*args)(struct kit *k, struct bus_args *a); // what this engine needs; may be NULL
    // A server that can be killed (as by a power cut) and started again on what it had stored.
    void (*kill)(struct kit *k);
    void (*start)(struct kit *k);
    bool shared; // two opened buses are one (a server)
    bool late; // the server writes acks down a moment later: killed before, it gives one again
    bool slow;   // figures are smaller
    bool faulty; // may deliver stored messages twice and refuse with E_FULL
    void *server;
    // Of one test:
    struct loop *loop;
    struct bus *bus, *other; // two sides; the same one when it is not shared
    unsigned connected, lost, back, closed;
    bool ticking;
    struct timer tick;
    unsigned serial; // for names that no other test uses
    bool refuse_publish, refuse_deliver;
    unsigned asked;
    char text[16][256]; // by turns
    char name[16][256]; // of one test
    unsigned text_at, name_at;
};

// ---- the loop, step by step ---------------------------------------------------------------------

static void kit_tick(struct timer *t)
{
    struct kit *k = t->user;
    (void)timer_start(loop_timers(k->loop), t, 20); // so that no round waits long
}

static void kit_round(struct kit *k)
{
    k->loop->running = true;
    (void)uv_run(&k->loop->uv, UV_RUN_ONCE);
}

#define kit_until(k, condition)                                                                    \
    do {                                                                                           \
        int64_t kit_end_ = time_mono_ms() + KIT_WAIT_MS;                                           \
        while (!(condition)) {                                                                     \
            if (time_mono_ms() > kit_end_)                                                         \
                fail_msg("%s:%d: never came: %s", __FILE__, __LINE__, #condition);                 \
            kit_round(k);                                                                          \
        }                                                                                          \
    } while (0)

// Again while the faulty one refuses by chance.
#define kit_past_full(k, rc, call)                                                                 \
    do {                                                                                           \
        (rc) = (call);                                                                             \
    } while ((rc) == E_FULL && (k)->faulty)

static void kit_pass(struct kit *k, int64_t ms)
{
    int64_t end = time_mono_ms() + ms;
    while (time_mono_ms() < end)
        kit_round(k);
}

static const char *kit_text(struct kit *k, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static const char *kit_text(struct kit *k, const char *fmt, ...)
{
    char *to = k->text[k->text_at++ % 16];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(to, sizeof k->text[0], fmt, ap);
    va_end(ap);
    return to;
}

// As above, and stays until the end of the test.
static const char *kit_name(struct kit *k, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static const char *kit_name(struct kit *k, const char *fmt, ...)
{
    assert_in_range(k->name_at, 0, 15);
    char *to = k->name[k->name_at++];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(to, sizeof k->name[0], fmt, ap);
    va_end(ap);
    return to;
}

static void kit_status(void *user, enum bus_status status, const struct err *e)
{
    struct kit *k = user;
    (void)e;
    k->connected += status == BUS_CONNECTED;
    k->lost += status == BUS_LOST;
    k->back += status == BUS_BACK;
    k->closed += status == BUS_CLOSED;
}

static int kit_may(void *user, const struct bus_crossing *x, struct err *e)
{
    struct kit *k = user;
    k->asked++;
    if (!bytes_is(x->label, "secret"))
        return 0;
    if ((k->refuse_publish && !x->deliver) ||
        (k->refuse_deliver && x->deliver && !bytes_is(x->who, "cleared")))
        return err_set(e, E_SECURITY, "SecurityViolationError: secret is over internal");
    return 0;
}

static struct bus *kit_open(struct kit *k, void (*change)(struct bus_args *a))
{
    struct bus *b = NULL;
    struct err e = {0};
    unsigned before = k->connected;
    struct bus_args a = {.timers = loop_timers(k->loop),
                         .net = loop_net(k->loop),
                         .environment = "dev",
                         .source = "/node/kit",
                         .may = kit_may,
                         .on_status = kit_status,
                         .user = k,
                         .retry_ms = 20};
    if (k->args)
        k->args(k, &a);
    if (change)
        change(&a);
    if (k->open(&a, &b, &e))
        fail_msg("%s", e.text);
    assert_int_equal(k->connected, before); // never from inside
    kit_until(k, k->connected > before);
    return b;
}

static int kit_setup_with(struct kit *k, void (*change)(struct bus_args *a))
{
    struct err e = {0};
    static unsigned serial;
    k->connected = k->lost = k->back = k->closed = 0;
    k->refuse_publish = k->refuse_deliver = false;
    k->serial = ++serial;
    k->name_at = 0;
    if (loop_new(&k->loop, &(struct loop_args){.linger_ms = 100, .work_threads = 1}, &e))
        fail_msg("%s", e.text);
    k->loop->running = true;
    k->tick = (struct timer){.fn = kit_tick, .user = k};
    kit_tick(&k->tick);
    k->bus = kit_open(k, change);
    k->other = k->shared ? kit_open(k, change) : k->bus;
    return 0;
}

static int kit_setup(void **state)
{
    return kit_setup_with(*state, NULL);
}

static int kit_teardown(void **state)
{
    struct kit *k = *state;
    unsigned buses = k->bus != k->other ? 2 : 1, before = k->closed;
    bus_close(k->bus);
    if (buses == 2)
        bus_close(k->other);
    assert_int_equal(k->closed, before);
    kit_until(k, k->closed == before + buses);
    timer_stop(loop_timers(k->loop), &k->tick);
    k->loop->running = false;
    loop_free(k->loop);
    assert_int_equal(mem_live(), 0);
    return 0;
}

// ---- what subscribers and requests of the tests keep --------------------------------------------

struct got {
    char subject[256], data[64], label[64], about[256], id[128], type[64], content[64], source[64];
    uint64_t seq, ack;
    uint32_t deliveries;
    int64_t time_ms;
};

struct ear {
    struct kit *k;
    struct bus_sub *sub;
    struct got *got; // the first KIT_KEPT
    unsigned count, ready, failed, closed, inside;
    int status;
    enum bus_ack_how how; // what to do with what must be acknowledged
    bool ack, in_call;
    const char *answer; // to requests
    int64_t nak_ms;
    struct bus *bus;
};

static void cut(char *to, size_t room, struct bytes from)
{
    size_t n = from.n < room - 1 ? from.n : room - 1;
    if (n)
        memcpy(to, from.p, n);
    to[n] = 0;
}

static void ear_msg(struct bus_sub *s, const struct bus_msg *m)
{
    struct ear *r = s->user;
    assert_false(r->in_call);
    assert_ptr_equal(s, r->sub);
    if (r->count < KIT_KEPT) {
        struct got *g = &r->got[r->count];
        cut(g->subject, sizeof g->subject, m->subject);
        cut(g->data, sizeof g->data, m->data);
        cut(g->label, sizeof g->label, m->label);
        cut(g->about, sizeof g->about, m->about);
        cut(g->id, sizeof g->id, m->id);
        cut(g->type, sizeof g->type, m->type);
        cut(g->content, sizeof g->content, m->content);
        cut(g->source, sizeof g->source, m->source);
        g->seq = m->seq;
        g->ack = m->ack;
        g->deliveries = m->deliveries;
        g->time_ms = m->time_ms;
    }
    r->count++;
    if (r->ack && m->ack)
        (void)bus_ack(s, m->ack, r->how, r->nak_ms);
    if (r->answer && m->reply.n) {
        struct bus_msg answer = {.subject = m->reply, .data = bytes_of(r->answer)};
        struct err e = {0};
        int rc;
        while ((rc = bus_publish(r->bus, &answer, &e)) == E_FULL && r->k->faulty)
            continue;
        if (rc < 0 && !r->k->faulty)
            fail_msg("%s", e.text);
    }
}
static void ear_ready(struct bus_sub *s)
{
    ((struct ear *)s->user)->ready++;
}
static void ear_failed(struct bus_sub *s, int status, const struct err *e)
{
    struct ear *r = s->user;
    r->failed++;
    r->status = status;
    assert_true(e && e->n);
}
static void ear_closed(struct bus_sub *s)
{
    ((struct ear *)s->user)->closed++;
}

static void ear_open(struct ear *r, struct kit *k, struct bus *b, struct bus_sub_args args)
{
    struct err e = {0};
    r->k = k;
    r->bus = b;
    if (!r->got)
        r->got = calloc(KIT_KEPT, sizeof *r->got);
    args.on_msg = ear_msg;
    args.on_ready = ear_ready;
    args.on_failed = ear_failed;
    args.on_closed = ear_closed;
    args.user = r;
    r->in_call = true;
    unsigned ready = r->ready;
    if (bus_subscribe(b, &args, &r->sub, &e))
        fail_msg("%s: %s", args.pattern, e.text);
    r->in_call = false;
    assert_int_equal(r->ready, ready);
    kit_until(k, r->ready > ready || r->failed);
    if (r->failed)
        fail_msg("%s: %d", args.pattern, r->status);
}

static void ear_close(struct ear *r)
{
    unsigned count = r->count, closed = r->closed;
    bus_unsubscribe(r->sub);
    assert_int_equal(r->closed, closed);
    kit_until(r->k, r->closed == closed + 1);
    assert_int_equal(r->count, count);
}
static void ear_fini(struct ear *r)
{
    ear_close(r);
    free(r->got);
    r->got = NULL;
}

struct wish { // a request
    struct bus_req req;
    unsigned done;
    int status;
    char text[128], label[64];
};
static void wish_done(struct bus_req *q, int status, const struct bus_msg *reply,
                      const struct err *e)
{
    struct wish *w = q->user;
    w->done++;
    w->status = status;
    assert_true(status == 0 || (e && e->code == status && e->n));
    if (reply) {
        cut(w->text, sizeof w->text, reply->data);
        cut(w->label, sizeof w->label, reply->label);
    } else if (e) {
        cut(w->text, sizeof w->text, (struct bytes){e->text, e->n});
    }
}
static struct bus_req *wish_new(struct wish *w, int64_t timeout_ms)
{
    *w = (struct wish){.req = {.done = wish_done, .timeout_ms = timeout_ms, .user = w}};
    return &w->req;
}

static int kit_store_msg(struct kit *k, const struct bus_msg *m, struct wish *w)
{
    struct err e = {0};
    int rc;
    while ((rc = bus_store(k->bus, m, wish_new(w, KIT_WAIT_MS), &e)) == E_FULL && k->faulty)
        kit_round(k);
    if (rc)
        return rc;
    assert_int_equal(w->done, 0);
    kit_until(k, w->done);
    assert_int_equal(w->done, 1);
    return w->status;
}
static uint64_t kit_store(struct kit *k, const char *subject, const char *data)
{
    struct wish w;
    struct bus_msg m = {.subject = bytes_of(subject), .data = bytes_of(data)};
    int rc = kit_store_msg(k, &m, &w);
    if (rc)
        fail_msg("%s %s: %d %s", subject, data, rc, w.text);
    assert_true(w.req.seq > 0);
    return w.req.seq;
}
static void kit_publish(struct kit *k, const char *subject, const char *data)
{
    struct bus_msg m = {.subject = bytes_of(subject), .data = bytes_of(data)};
    struct err e = {0};
    int rc;
    while ((rc = bus_publish(k->bus, &m, &e)) == E_FULL && k->faulty)
        kit_round(k);
    if (rc < 0)
        fail_msg("%s: %s", subject, e.text);
}

// The server has heard all that both sides said.
static void kit_settle(struct kit *k)
{
    for (int i = 0; i < 2; i++) {
        struct bus *b = i ? k->other : k->bus;
        struct wish w;
        int rc;
        while ((rc = bus_flush(b, wish_new(&w, 10000), NULL)) == E_FULL && k->faulty)
            kit_round(k);
        assert_int_equal(rc, 0);
        kit_until(k, w.done);
        assert_int_equal(w.status, 0);
    }
}

#endif
