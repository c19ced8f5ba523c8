// runs.c: the driver's life: what is open is found at the start, all stops when the journal does.
// SPDX-License-Identifier: Apache-2.0
#include "runs/runs_priv.h"
#include <string.h>

#define LOADED_MAX 4096
#define ACTIVITIES_MAX 256
#define CHAPTER_MAX 4096
#define RETENTION_MS (INT64_C(30) * 24 * 3600 * 1000)
#define PRUNE_MS 3600000
#define PRUNE_ROWS 1000

int64_t runs_wall(struct runs *s)
{
    return s->args.wall_ms(s->args.user);
}

void runs_soon(struct runs *s)
{
    (void)timer_start(s->args.timers, &s->soon, 0);
}

void runs_again(struct runs *s, int64_t ms)
{
    if (!s->again_armed)
        s->again_armed = !timer_start(s->args.timers, &s->again, ms);
}

bool runs_passing(int status)
{
    return status == E_FULL || status == E_NOMEM || status == E_LOCKED || status == E_UNAVAILABLE;
}

static void on_starting(struct timer *t)
{
    struct runs *s = t->user;
    s->start_step(s);
}

void runs_start_failed(struct runs *s, void (*step)(struct runs *s), int status,
                       const struct err *e)
{
    s->start_step = step;
    if (!runs_passing(status) || timer_start(s->args.timers, &s->starting, 1000))
        runs_stop(s, status, e);
}

bool runs_down(const struct runs *s, struct err *e)
{
    if (s->stopped)
        (void)err_set(e, E_UNAVAILABLE, "flows have stopped: %s", s->why.text);
    else if (s->closing)
        (void)err_set(e, E_UNAVAILABLE, "the node stops");
    return s->stopped || s->closing;
}

// ---- requests to the journal --------------------------------------------------------------------

static void on_op(struct journal_req *r, int status, const struct err *e)
{
    struct op *o = container_of(r, struct op, req);
    struct runs *s = o->s;
    list_del(&o->link);
    if (o->done)
        o->done(o, status, e);
    if (!o->again)
        mem_free(o);
    runs_check_closed(s);
}

struct op *runs_op(struct runs *s, void (*done)(struct op *o, int status, const struct err *e),
                   void *user)
{
    struct op *o = mem_new(struct op);
    if (!o)
        return NULL;
    o->req.done = on_op;
    o->s = s;
    o->done = done;
    o->user = user;
    list_add_tail(&s->ops, &o->link);
    return o;
}

void runs_op_free(struct op *o)
{
    if (!o)
        return;
    list_del(&o->link);
    mem_free(o);
}

// ---- ends ---------------------------------------------------------------------------------------

// Nothing goes on: what waits is told, what is under way is let go.
static void give_up(struct runs *s)
{
    struct err e = {0};
    (void)runs_down(s, &e);
    timer_stop(s->args.timers, &s->wake);
    timer_stop(s->args.timers, &s->refill);
    timer_stop(s->args.timers, &s->prune);
    timer_stop(s->args.timers, &s->starting);
    timer_stop(s->args.timers, &s->mail_again);
    runs_look_stop(s);
    list_each (it, &s->loaded) {
        struct run *r = container_of(it, struct run, link);
        while (!list_empty(&r->inbox)) {
            struct post *p = container_of(r->inbox.next, struct post, link);
            list_del(&p->link);
            runs_post_fail(s, p, e.code, &e);
        }
        while (!list_empty(&r->unsent)) {
            struct write *w = container_of(r->unsent.next, struct write, unsent);
            struct post *p = steal(&w->post);
            runs_write_free(w);
            runs_post_fail(s, p, e.code, &e);
        }
        while (!list_empty(&r->jobs))
            runs_job_drop(container_of(r->jobs.next, struct job, link));
    }
    list_each_safe (it, &s->asks) {
        struct ask *a = container_of(it, struct ask, link);
        if (!list_empty(&a->wait) || a->rounds)
            runs_ask_done(a, e.code, &e);
    }
}

void runs_stop(struct runs *s, int status, const struct err *e)
{
    if (s->stopped)
        return;
    s->stopped = true;
    s->stats.stopped = true;
    s->why = *e;
    s->why.code = status;
    give_up(s);
    if (s->args.stopped)
        s->args.stopped(s->args.user, &s->why);
}

void runs_check_ready(struct runs *s)
{
    if (s->ready_told || !s->listed || s->load_count || !list_empty(&s->loads) || s->stopped)
        return;
    s->ready_told = true;
    s->stats.ready = true;
    if (s->args.ready)
        s->args.ready(s->args.user, s->stats.open);
}

void runs_check_closed(struct runs *s)
{
    if (s->closing && !s->closed_told)
        runs_soon(s);
}

static bool all_ended(struct runs *s)
{
    return list_empty(&s->ops) && list_empty(&s->orphans) && list_empty(&s->answers) &&
           list_empty(&s->left) && !s->workers_closing;
}

// ---- rounds -------------------------------------------------------------------------------------

static void round_of(struct runs *s)
{
    runs_asks_round(s);
    if (!s->stopped && !s->closing) {
        runs_events_go(s);
        runs_pump_all(s);
        runs_jobs_go(s);
        runs_load_go(s);
        if (s->listed)
            runs_wake_due(s);
        runs_check_ready(s);
    }
    if (s->closing && !s->closed_told && all_ended(s)) {
        s->closed_told = true;
        s->closed(s->closed_user); // may free it
    }
}

static void on_soon(struct timer *t)
{
    round_of(t->user);
}

static void on_again(struct timer *t)
{
    struct runs *s = t->user;
    s->again_armed = false;
    s->full = false;
    round_of(s);
}

static void on_wake(struct timer *t)
{
    struct runs *s = t->user;
    s->wake_armed = false;
    if (runs_wall(s) + RUNS_WINDOW_MS / 4 > s->window_ms) // the clock jumped
        runs_window_move(s);
    runs_wake_due(s);
}

static void on_refill(struct timer *t)
{
    runs_window_move(t->user);
}

static void on_pruned(struct op *o, int status, const struct err *e)
{
    struct runs *s = o->s;
    (void)e;
    bool more = !status && s->prune_count >= PRUNE_ROWS;
    if (!runs_down(s, NULL))
        (void)timer_start(s->args.timers, &s->prune, more ? 100 : PRUNE_MS);
}

static void on_prune(struct timer *t)
{
    struct runs *s = t->user;
    struct op *o = runs_op(s, on_pruned, s);
    if (o && !journal_prune(s->args.journal, runs_wall(s) - s->args.retention_ms, PRUNE_ROWS, false,
                            &s->prune_count, &o->req, NULL))
        return;
    runs_op_free(o);
    (void)timer_start(s->args.timers, &s->prune, PRUNE_MS);
}

// ---- its life -----------------------------------------------------------------------------------

static int copy_args(struct runs *s, const struct runs_args *args)
{
    size_t count = 0;
    s->args = *args;
    s->args.loaded_max = args->loaded_max ? args->loaded_max : LOADED_MAX;
    s->args.activities_max = args->activities_max ? args->activities_max : ACTIVITIES_MAX;
    s->args.chapter_max = args->chapter_max ? args->chapter_max : CHAPTER_MAX;
    s->args.retention_ms = args->retention_ms ? args->retention_ms : RETENTION_MS;
    s->node = mem_str(args->node ? args->node : "");
    s->environment = mem_str(args->environment ? args->environment : "dev");
    while (args->queues && args->queues[count])
        count++;
    s->queues = mem_array(count + 1, sizeof *s->queues);
    if (!s->node || !s->environment || !s->queues)
        return E_NOMEM;
    for (size_t i = 0; i < count; i++)
        if (!(s->queues[i] = mem_str(args->queues[i])))
            return E_NOMEM;
    if (runs_rates_new(s, args->rates, args->rate_count))
        return E_NOMEM;
    s->args.rates = s->rates; // our own
    s->spots = map_new(SIZE_MAX / 64);
    s->ears = map_new(SIZE_MAX / 64);
    s->plans = map_new(2 * RUNS_PLANS_MAX);
    s->texts = map_new(1024);
    s->docs = map_new(1 << 20);
    s->tickets = map_new(1 << 20);
    return s->spots && s->ears && s->plans && s->texts && s->docs && s->tickets ? 0 : E_NOMEM;
}

int runs_new(struct runs **ret, const struct runs_args *args, struct err *e)
{
    struct runs *s = mem_new(struct runs);
    if (!s)
        return err_set(e, E_NOMEM, "flows need memory");
    struct list *lists[] = {&s->hears,   &s->plan_loads,   &s->doc_list, &s->schedule_list,
                            &s->early,   &s->early_events, &s->loaded,   &s->ready,
                            &s->turns,   &s->loads,        &s->ops,      &s->writes,
                            &s->mails,   &s->old_mails,    &s->orphans,  &s->asks,
                            &s->answers, &s->left,         &s->receipts, &s->firings};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        list_init(lists[i]);
    s->wake = (struct timer){.fn = on_wake, .user = s};
    s->soon = (struct timer){.fn = on_soon, .user = s};
    s->again = (struct timer){.fn = on_again, .user = s};
    s->refill = (struct timer){.fn = on_refill, .user = s};
    s->prune = (struct timer){.fn = on_prune, .user = s};
    s->starting = (struct timer){.fn = on_starting, .user = s};
    buf_init(&s->text, RUNS_TEXT_MAX);
    if (copy_args(s, args)) {
        runs_free(s);
        return err_set(e, E_NOMEM, "flows need memory");
    }
    if (s->args.retention_ms != TIME_NEVER)
        (void)timer_start(s->args.timers, &s->prune, PRUNE_MS / 60);
    *ret = s;
    runs_docs_start(s); // then schedules, mails, what is open
    runs_look_start(s);
    return 0;
}

void runs_set_bus(struct runs *s, struct bus *b)
{
    if (s->bus == b)
        return;
    if (s->bus)
        runs_queue_stop(s);
    s->bus = b;
    runs_queue_start(s);
}

void runs_close(struct runs *s, void (*closed)(void *user), void *user)
{
    if (s->closing)
        return;
    s->closing = true;
    s->closed = closed;
    s->closed_user = user;
    give_up(s);
    runs_queue_stop(s);
    runs_soon(s);
}

static void free_lists(struct runs *s)
{
    list_each_safe (it, &s->writes) {
        struct write *w = container_of(it, struct write, link);
        struct run *r = w->run;
        runs_write_free(w);
        if (r->state != RUN_GONE)
            continue;
        r->writes--;
        r->pins++;
        runs_unpin(r);
    }
    while (!list_empty(&s->loaded))
        runs_free_run(container_of(s->loaded.next, struct run, link));
    list_each_safe (it, &s->orphans)
        runs_queue_free(container_of(it, struct job, link));
    list_each_safe (it, &s->mails)
        runs_mail_free(container_of(it, struct mail, link));
    list_each_safe (it, &s->old_mails)
        runs_mail_free(container_of(it, struct mail, link));
    list_each_safe (it, &s->receipts)
        mem_free(container_of(it, struct receipt, link));
    list_each_safe (it, &s->asks)
        runs_ask_free(container_of(it, struct ask, link));
    list_each_safe (it, &s->answers)
        runs_ask_free(container_of(it, struct ask, link));
}

// Also in the middle of everything, when journal and activities call nobody any more.
void runs_free(struct runs *s)
{
    if (!s)
        return;
    struct timer *timers[] = {&s->wake,  &s->soon,     &s->again,     &s->refill,
                              &s->prune, &s->starting, &s->mail_again};
    for (size_t i = 0; i < sizeof timers / sizeof *timers; i++)
        timer_stop(s->args.timers, timers[i]);
    runs_look_stop(s);
    s->freeing = true;
    s->stopped = true;
    runs_worker_free(s->worker);
    if (s->answers_sub)
        bus_unsubscribe(s->answers_sub);
    s->answers_sub = NULL;
    free_lists(s);
    runs_schedules_free(s);
    runs_docs_free(s);
    runs_plans_free(s);
    list_each_safe (it, &s->ops)
        runs_op_free(container_of(it, struct op, link));
    runs_table_free(s);
    map_free(s->spots);
    map_free(s->ears);
    map_free(s->tickets);
    buf_fini(&s->text);
    mem_free(s->slices);
    for (size_t i = 0; s->queues && s->queues[i]; i++)
        mem_free(s->queues[i]);
    runs_rates_free(s);
    mem_free(s->queues);
    mem_free(s->node);
    mem_free(s->environment);
    mem_free(s);
}

void runs_stats(const struct runs *s, struct runs_stats *ret)
{
    *ret = s->stats;
    ret->loaded = s->loaded_count;
    ret->timers = s->heap_count;
    ret->activities_running = s->acts_running;
    ret->activities_waiting = s->acts_waiting;
}
