// runs_rig.h: for the tests of room runs: a clock of their own, activities from a script, a journal
// with a witness that sees every commit, and a node that can die at any moment. Included after
// cmocka.h.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_RUNS_RUNS_RIG_H
#define PLEXUS_RUNS_RUNS_RIG_H

#include "adapters/bus_priv.h"
#include "adapters/journal_memory.h"
#include "adapters/journal_priv.h"
#include "base/rng.h"
#include "port/clock_rig.h"
#include "runs/runs_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#pragma GCC diagnostic ignored "-Wunused-function"

#define RIG_EPOCH INT64_C(1790000000000) // wall time at the beginning
#define MINUTE INT64_C(60000)

// ---- the world ----------------------------------------------------------------------------------

struct rig;
struct rig_act { // one that runs
    struct list link;
    struct rig *rig;
    struct act_req *req;
    struct timer timer;
    char *key;
    struct val *args;
    uint32_t attempt;
    bool cancelled, remote;
};
struct rig_expr {
    struct list link;
    struct expr_req *req;
    struct timer timer;
    struct rig *rig;
    bool cancelled;
};

struct rig_key { // what is known of a command, over all lives
    bool decided, completed;
    unsigned begun;
};

struct rig {
    struct rig_clock clock; // first
    struct acts acts, remote; // remote: of workers; a task may come to them again
    struct expr expr;
    struct journal journal; // the witness; passes on to `inner`
    struct journal *inner;
    struct journal_disk *disk;
    struct journal_faults faults;
    struct runs *runs;
    struct bus *bus;
    struct list running, evals, watched;
    struct map *keys; // struct rig_key by "RUN/ID"
    struct rng rng;
    int64_t act_ms; // how long an activity takes
    unsigned writes, writes_acked, ready, stops, events, changes, progress;
    unsigned
        crash_at; // when the write of this number is on the disk, before that is told; 0: never
    unsigned crash_call; // when it is on its way
    bool crash, stuck; // now; stuck: activities never answer
    unsigned away; // of a thousand writes so many fail for now
    int64_t away_until_ms;
    unsigned lives, evaluated;
    size_t loaded_max, activities_max;
    uint64_t chapter_max;
    const char *node;
    const char *const *queues;
    uint64_t open_at_start;
    char failure[512];
    int (*act)(struct rig *r, const struct act_args *a, struct val **output, struct val **problem);
};

static void rig_fail(struct rig *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void rig_fail(struct rig *r, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    if (!*r->failure)
        (void)vsnprintf(r->failure, sizeof r->failure, fmt, ap);
    va_end(ap);
}

static struct rig_key *rig_key(struct rig *r, struct bytes key)
{
    struct rig_key *k = map_get(r->keys, key);
    if (k)
        return k;
    k = mem_new(struct rig_key);
    assert_non_null(k);
    assert_int_equal(map_put(r->keys, key, k, NULL), 0);
    return k;
}

// ---- the witness: which commands are decided, which are completed, on the disk ------------------

static void rig_saw(struct rig *r, struct bytes run, struct bytes entry)
{
    struct flow_event ev;
    char key[600];
    if (flow_event_parse(&ev, entry, NULL))
        return;
    (void)snprintf(key, sizeof key, "%.*s/%llu", BYTES_FMT(run), (unsigned long long)ev.id);
    if (ev.type == FLOW_ACT || ev.type == FLOW_EVAL)
        rig_key(r, bytes_of(key))->decided = true;
    if (ev.type == FLOW_DONE || ev.type == FLOW_FAILED || ev.type == FLOW_CANCEL)
        rig_key(r, bytes_of(key))->completed = true;
    flow_event_fini(&ev);
}

struct watch { // of a write or a read under way
    struct list link;
    struct rig *rig;
    struct journal_req req, *outer;
    char *run;
    char **entries;
    size_t count;
    unsigned number;
    bool (*on_entry)(void *user, uint64_t number, struct bytes entry);
    void *user;
    struct timer away;
};

static void watch_free(struct watch *w)
{
    list_del(&w->link);
    rig_timer_stop(&w->rig->clock.base, &w->away);
    for (size_t i = 0; i < w->count; i++)
        mem_free(w->entries[i]);
    mem_free(w->entries);
    mem_free(w->run);
    mem_free(w);
}

static void watch_done(struct journal_req *q, int status, const struct err *e)
{
    struct watch *w = container_of(q, struct watch, req);
    struct rig *r = w->rig;
    struct journal_req *outer = w->outer;
    if (w->number && w->number == r->crash_at)
        r->crash = true; // it is on the disk, and nobody was told
    if (r->crash && w->number)
        return; // kept in the list: freed at the crash
    for (size_t i = 0; !status && i < w->count; i++)
        rig_saw(r, bytes_of(w->run), bytes_of(w->entries[i]));
    if (w->number)
        r->writes_acked++;
    watch_free(w);
    outer->done(outer, status, e);
}

static void watch_away(struct timer *t)
{
    struct watch *w = t->user;
    struct err e = {0};
    watch_done(&w->req, err_set(&e, E_UNAVAILABLE, "the server is away"), &e);
}

static struct rig *rig_of(struct journal *j)
{
    return container_of(j, struct rig, journal);
}

static struct watch *watch_new(struct rig *r, struct journal_req *outer, struct bytes run)
{
    struct watch *w = mem_new(struct watch);
    assert_non_null(w);
    w->rig = r;
    w->outer = outer;
    w->req.done = watch_done;
    w->run = mem_dup(run.p ? run.p : "", run.n);
    list_add_tail(&r->watched, &w->link);
    return w;
}

static int witness_write(struct journal *j, const struct journal_write *x, struct journal_req *q,
                         struct err *e)
{
    struct rig *r = rig_of(j);
    const struct journal_change *c = x->change_count ? x->changes : NULL;
    if (r->crash)
        return err_set(e, E_FULL, "dying");
    struct watch *w = watch_new(r, q, c ? c->run : BYTES_NONE);
    w->count = c ? c->entry_count : 0;
    w->entries = mem_array(w->count + 1, sizeof *w->entries);
    for (size_t i = 0; i < w->count; i++)
        w->entries[i] = mem_dup(c->entries[i].p, c->entries[i].n);
    bool away = r->away && rng_below(&r->rng, 1000) < r->away;
    if (away || r->away_until_ms > r->clock.now_ms) { // nothing is kept; told in order
        if (r->away_until_ms <= r->clock.now_ms)
            r->away_until_ms = r->clock.now_ms + 1 + (int64_t)rng_below(&r->rng, 4);
        w->away = (struct timer){.fn = watch_away, .user = w};
        return rig_timer_start(&r->clock.base, &w->away, r->away_until_ms - r->clock.now_ms);
    }
    int rc = journal_write(r->inner, x, &w->req, e);
    if (rc)
        watch_free(w);
    else
        w->number = ++r->writes;
    r->crash |= !rc && w->number == r->crash_call;
    return rc;
}

static bool watch_entry(void *user, uint64_t number, struct bytes entry)
{
    struct watch *w = user;
    rig_saw(w->rig, bytes_of(w->run), entry);
    return w->on_entry(w->user, number, entry);
}

static int witness_read(struct journal *j, const struct journal_read *x, struct journal_req *q,
                        struct err *e)
{
    struct rig *r = rig_of(j);
    struct journal_read a = *x;
    struct watch *w = watch_new(r, q, x->run);
    w->on_entry = x->on_entry;
    w->user = x->user;
    a.on_entry = watch_entry;
    a.user = w;
    int rc = journal_read(r->inner, &a, &w->req, e);
    if (rc)
        watch_free(w);
    return rc;
}

static int witness_list(struct journal *j, const struct journal_list *a, struct journal_req *q,
                        struct err *e)
{
    return journal_list(rig_of(j)->inner, a, q, e);
}
static int witness_keys(struct journal *j, const struct journal_keys *a, struct journal_req *q,
                        struct err *e)
{
    return journal_keys(rig_of(j)->inner, a, q, e);
}
static int witness_doc(struct journal *j, struct bytes hash,
                       void (*fn)(void *user, struct bytes text), void *user, struct journal_req *q,
                       struct err *e)
{
    return journal_doc(rig_of(j)->inner, hash, fn, user, q, e);
}
static int witness_prune(struct journal *j, int64_t before, size_t limit, bool dry, uint64_t *ret,
                         struct journal_req *q, struct err *e)
{
    return journal_prune(rig_of(j)->inner, before, limit, dry, ret, q, e);
}
static int witness_take(struct journal *j, const char *from, struct journal_req *q, struct err *e)
{
    return journal_take(rig_of(j)->inner, from, q, e);
}
static void witness_stats(const struct journal *j, struct journal_stats *ret)
{
    journal_stats(rig_of((struct journal *)(uintptr_t)j)->inner, ret);
}

static const struct journal_ops witness_ops = {.write = witness_write,
                                               .read = witness_read,
                                               .list = witness_list,
                                               .keys = witness_keys,
                                               .doc = witness_doc,
                                               .prune = witness_prune,
                                               .take = witness_take,
                                               .stats = witness_stats};

// ---- activities ---------------------------------------------------------------------------------

static void rig_act_free(struct rig_act *a)
{
    list_del(&a->link);
    rig_timer_stop(&a->rig->clock.base, &a->timer);
    val_unref(a->args);
    mem_free(a->key);
    mem_free(a);
}

static void rig_act_over(struct timer *t)
{
    struct rig_act *a = t->user;
    struct rig *r = a->rig;
    struct act_req *q = a->req;
    struct val *output = NULL, *problem = NULL;
    struct act_args args = {.key = bytes_of(a->key), .args = a->args, .attempt = a->attempt};
    int status = a->cancelled ? E_CANCELLED : r->act ? r->act(r, &args, &output, &problem) : 0;
    rig_act_free(a);
    if (q->beat) {
        AUTO(val) half = val_put_cstr(val_obj(), "text", val_cstr("half"));
        q->beat(q, half);
    }
    q->done(q, status, output, problem, false);
    val_unref(output);
    val_unref(problem);
}

static int act_begin(struct rig *r, bool remote, const struct act_args *args, struct act_req *q)
{
    struct rig_key *k = rig_key(r, args->key);
    struct rig_act *a = mem_new(struct rig_act);
    assert_non_null(a);
    if (!k->decided)
        rig_fail(r, "%.*s began before its command was on the disk", BYTES_FMT(args->key));
    if (k->completed && !remote)
        rig_fail(r, "%.*s began again after its answer was on the disk", BYTES_FMT(args->key));
    k->begun++;
    a->rig = r;
    a->remote = remote;
    a->req = q;
    a->key = mem_dup(args->key.p, args->key.n);
    a->args = val_ref((struct val *)(uintptr_t)args->args);
    a->attempt = args->attempt;
    a->timer = (struct timer){.fn = rig_act_over, .user = a};
    list_add_tail(&r->running, &a->link);
    if (!r->stuck)
        (void)rig_timer_start(&r->clock.base, &a->timer, r->act_ms);
    return 0;
}

static void act_stop(struct rig *r, struct act_req *q)
{
    list_each (it, &r->running) {
        struct rig_act *a = container_of(it, struct rig_act, link);
        if (a->req != q)
            continue;
        a->cancelled = true;
        (void)rig_timer_start(&r->clock.base, &a->timer, 0);
        return;
    }
}

static int rig_act_start(struct acts *acts, const struct act_args *args, struct act_req *q,
                         struct err *e)
{
    (void)e;
    return act_begin(container_of(acts, struct rig, acts), false, args, q);
}

static void rig_act_cancel(struct acts *acts, struct act_req *q)
{
    act_stop(container_of(acts, struct rig, acts), q);
}

static int remote_start(struct acts *acts, const struct act_args *args, struct act_req *q,
                        struct err *e)
{
    (void)e;
    return act_begin(container_of(acts, struct rig, remote), true, args, q);
}

static void remote_cancel(struct acts *acts, struct act_req *q)
{
    act_stop(container_of(acts, struct rig, remote), q);
}

static const struct acts_ops rig_acts_ops = {rig_act_start, rig_act_cancel},
                             rig_remote_ops = {remote_start, remote_cancel};

// ---- evaluations: what is not plain gives [42] --------------------------------------------------

static void rig_expr_over(struct timer *t)
{
    struct rig_expr *x = t->user;
    struct expr_req *q = x->req;
    bool cancelled = x->cancelled;
    struct err e = {0};
    x->rig->evaluated++;
    list_del(&x->link);
    mem_free(x);
    if (cancelled)
        (void)err_set(&e, E_CANCELLED, "cancelled");
    q->done(q, cancelled ? E_CANCELLED : 0, cancelled ? BYTES_NONE : BYTES("[42]"),
            cancelled ? &e : NULL);
}

static int rig_expr_run(struct expr *base, struct expr_req *q, struct err *e)
{
    struct rig *r = container_of(base, struct rig, expr);
    struct rig_expr *x = mem_new(struct rig_expr);
    (void)e;
    assert_non_null(x);
    x->req = q;
    x->rig = r;
    x->timer = (struct timer){.fn = rig_expr_over, .user = x};
    list_add_tail(&r->evals, &x->link);
    (void)rig_timer_start(&r->clock.base, &x->timer, 1);
    return 0;
}

static void rig_expr_cancel(struct expr *base, struct expr_req *q)
{
    struct rig *r = container_of(base, struct rig, expr);
    list_each (it, &r->evals) {
        struct rig_expr *x = container_of(it, struct rig_expr, link);
        x->cancelled |= x->req == q;
    }
}

static const struct expr_ops rig_expr_ops = {.run = rig_expr_run, .cancel = rig_expr_cancel};

// ---- a node -------------------------------------------------------------------------------------

static int64_t rig_wall(void *user)
{
    struct rig *r = user;
    return RIG_EPOCH + r->clock.now_ms + r->clock.wall_shift_ms;
}

static uint64_t rig_random(void *user)
{
    return rng_next(&((struct rig *)user)->rng);
}

static void rig_on_ready(void *user, uint64_t open)
{
    struct rig *r = user;
    r->ready++;
    r->open_at_start = open;
}

static void rig_on_stopped(void *user, const struct err *e)
{
    (void)e;
    ((struct rig *)user)->stops++;
}

static void rig_on_event(void *user, struct bytes run, struct bytes cloudevent)
{
    struct val *v = NULL;
    struct rig *r = user;
    (void)run;
    if (val_parse(&v, cloudevent, NULL) || !val_get_cstr(v, "type"))
        rig_fail(r, "no CloudEvent: %.*s", BYTES_FMT(cloudevent));
    val_unref(v);
    r->events++;
}

static void rig_on_changed(void *user, struct bytes run, const struct flow_note *n)
{
    (void)run;
    (void)n;
    ((struct rig *)user)->changes++;
}

static void rig_on_progress(void *user, struct bytes run, struct bytes task,
                            const struct val *detail)
{
    struct rig *r = user;
    r->progress++;
    if (!run.n || !bytes_starts(task, BYTES("/")) ||
        strcmp(val_text(val_get_cstr(detail, "text"), ""), "half") != 0)
        rig_fail(r, "progress of %.*s %.*s", BYTES_FMT(run), BYTES_FMT(task));
}

static void rig_start(struct rig *r)
{
    struct err e = {0};
    struct journal_args j = {
        .timers = &r->clock.base, .owner = r->node ? r->node : "n1", .disk = r->disk};
    if (journal_faulty_open(&j, &r->faults, &r->inner, &e))
        fail_msg("%s", e.text);
    struct runs_args a = {.timers = &r->clock.base,
                          .journal = &r->journal,
                          .expr = &r->expr,
                          .acts = &r->acts,
                          .wall_ms = rig_wall,
                          .random = rig_random,
                          .event = rig_on_event,
                          .changed = rig_on_changed,
                          .progress = rig_on_progress,
                          .stopped = rig_on_stopped,
                          .ready = rig_on_ready,
                          .user = r,
                          .node = r->node ? r->node : "n1",
                          .queues = r->queues,
                          .environment = "dev",
                          .loaded_max = r->loaded_max,
                          .activities_max = r->activities_max,
                          .chapter_max = r->chapter_max};
    if (runs_new(&r->runs, &a, &e))
        fail_msg("%s", e.text);
    if (r->bus)
        runs_set_bus(r->runs, r->bus);
    r->lives++;
}

// All that was not on the disk is gone.
static void rig_die(struct rig *r)
{
    journal_memory_crash(r->inner);
    runs_free(r->runs);
    r->runs = NULL;
    list_each_safe (it, &r->running) {
        struct rig_act *a = container_of(it, struct rig_act, link);
        if (!a->remote) // a worker lives on
            rig_act_free(a);
    }
    list_each_safe (it, &r->evals) {
        struct rig_expr *x = container_of(it, struct rig_expr, link);
        rig_timer_stop(&r->clock.base, &x->timer);
        list_del(&x->link);
        mem_free(x);
    }
    list_each_safe (it, &r->watched)
        watch_free(container_of(it, struct watch, link));
    r->crash = false;
    r->crash_at = r->crash_call = 0;
}

static void rig_init(struct rig *r)
{
    memset(r, 0, sizeof *r);
    rig_clock_init(&r->clock);
    r->acts.ops = &rig_acts_ops;
    r->remote.ops = &rig_remote_ops;
    r->expr.ops = &rig_expr_ops;
    r->journal.ops = &witness_ops;
    list_init(&r->running);
    list_init(&r->evals);
    list_init(&r->watched);
    rng_init(&r->rng, 1);
    r->act_ms = 1;
    r->disk = journal_disk_new();
    r->keys = map_new(1 << 20);
    assert_non_null(r->disk);
    assert_non_null(r->keys);
}

static void rig_closed(void *user)
{
    *(bool *)user = true;
}

// One timer; a death that is due happens between two.
static bool rig_round(struct rig *r, int64_t until_ms)
{
    bool more = rig_clock_round(&r->clock, until_ms);
    if (r->crash) {
        rig_die(r);
        rig_start(r);
        return true;
    }
    return more;
}

#define rig_until(r, condition, ms)                                                                \
    do {                                                                                           \
        int64_t end_ = (r)->clock.now_ms + (ms);                                                   \
        while (!(condition) && rig_round((r), end_))                                               \
            ;                                                                                      \
        if (!(condition))                                                                          \
            fail_msg("%s:%d: never came: %s", __FILE__, __LINE__, #condition);                     \
    } while (0)

static void rig_run(struct rig *r, int64_t ms)
{
    int64_t end = r->clock.now_ms + ms;
    while (rig_round(r, end))
        ;
    r->clock.now_ms = end;
}

static void rig_close(struct rig *r)
{
    bool closed = false;
    runs_close(r->runs, rig_closed, &closed);
    assert_false(closed);
    rig_until(r, closed, MINUTE);
    runs_free(r->runs);
    closed = false;
    journal_close(r->inner, rig_closed, &closed);
    rig_until(r, closed, MINUTE);
    assert_true(list_empty(&r->watched));
    assert_true(list_empty(&r->running));
}

static void rig_fini(struct rig *r)
{
    struct bytes key;
    void *value;
    if (r->runs)
        rig_close(r);
    for (size_t at = 0; map_each(r->keys, &at, &key, &value);)
        mem_free(value);
    map_free(r->keys);
    journal_disk_free(r->disk);
    assert_true(list_empty(&r->clock.timers));
    if (*r->failure)
        fail_msg("%s", r->failure);
    assert_int_equal(mem_live(), 0);
}

// ---- asking -------------------------------------------------------------------------------------

struct asked {
    struct runs_req r; // first
    unsigned dones;
    int status;
    struct val *json;
    char why[ERR_TEXT_MAX];
};

static void asked_done(struct runs_req *q, int status, struct bytes json, const struct err *e)
{
    struct asked *a = (struct asked *)(void *)q;
    assert_int_equal(a->dones, 0);
    a->dones++;
    a->status = status;
    if (status)
        (void)snprintf(a->why, sizeof a->why, "%s", e->text);
    else if (json.n && val_parse(&a->json, json, NULL))
        fail_msg("no JSON: %.*s", BYTES_FMT(json));
}

static void asked_init(struct asked *a)
{
    *a = (struct asked){.r = {.done = asked_done}};
}

static void asked_fini(struct asked *a)
{
    val_unref(a->json);
    asked_init(a);
}

static struct val *json(const char *text)
{
    struct val *v = NULL;
    struct err e = {0};
    if (val_parse(&v, bytes_of(text), &e))
        fail_msg("%s: %s", text, e.text);
    return v;
}

#define assert_json(v, text)                                                                       \
    do {                                                                                           \
        struct buf got_, want_;                                                                    \
        struct val *w_ = json(text);                                                               \
        buf_init(&got_, 1 << 24);                                                                  \
        buf_init(&want_, 1 << 24);                                                                 \
        (void)val_write_sorted(&got_, (v));                                                        \
        (void)val_write_sorted(&want_, w_);                                                        \
        val_unref(w_);                                                                             \
        assert_string_equal(buf_cstr(&got_), buf_cstr(&want_));                                    \
        buf_fini(&got_);                                                                           \
        buf_fini(&want_);                                                                          \
    } while (0)

static void add_document(struct rig *r, const char *text)
{
    struct asked a;
    asked_init(&a);
    runs_register(r->runs, bytes_of(text), BYTES("test"), &a.r);
    assert_int_equal(a.dones, 0);
    rig_until(r, a.dones, MINUTE);
    if (a.status)
        fail_msg("%s", a.why);
    asked_fini(&a);
}

static void begin_flow(struct rig *r, const char *text, const char *id, const char *input,
                       struct asked *a, bool wait)
{
    struct val *in = input ? json(input) : NULL;
    asked_init(a);
    runs_start(r->runs,
               &(struct runs_start){.document = bytes_of(text),
                                    .id = bytes_of(id),
                                    .input = in,
                                    .by = BYTES("test"),
                                    .wait = wait},
               &a->r);
    val_unref(in);
}

static void ask_show(struct rig *r, const char *id, struct asked *a)
{
    unsigned life;
    asked_init(a);
    do { // asked again when the node died meanwhile
        life = r->lives;
        runs_show(r->runs, bytes_of(id), true, &a->r);
        rig_until(r, a->dones || r->lives != life, MINUTE);
    } while (!a->dones);
    if (a->status)
        fail_msg("%s: %s", id, a->why);
}

static const char *status_of(const struct asked *a)
{
    return val_text(val_get_cstr(a->json, "status"), "");
}

#endif
