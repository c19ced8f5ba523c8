// worker.c: does activities of task queues for others, from the bus and back to it. A task is
// acknowledged when its answer is stored; until then it says now and then that it is worked on.
// SPDX-License-Identifier: Apache-2.0
#include "runs/worker.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/time.h"
#include "text/subject.h"
#include "text/val.h"
#include <stdio.h>
#include <string.h>

#define AT_ONCE 64
#define BEAT_MS 30000
#define ANSWER_MAX ((size_t)64 << 20)
#define AGAIN_MS 1000

struct lane { // a queue
    struct runs_worker *w;
    char *queue, *subject;
    struct bus_sub *tasks, *unwanted;
    struct list all; // struct task
    struct list line; // those that have not begun
    double rate, tokens;
    int64_t filled_ms;
};

enum task_state { TASK_LINE, TASK_ACT, TASK_STORE, TASK_AGAIN };
struct task {
    struct list link, line;
    struct lane *lane;
    enum task_state state;
    uint64_t ack;
    bool unwanted; // no answer is wanted
    bool closing;
    struct val *value;
    char *subject; // of the answer
    struct buf answer, id;
    struct act_req act;
    struct bus_req store;
};

struct runs_worker {
    struct runs_worker_args args;
    char *node, *environment;
    struct lane *lanes;
    size_t lane_count, running;
    struct timer beat, soon;
    bool closing;
    void (*closed)(void *user);
    void *closed_user;
    struct runs_worker_stats stats;
};

static void lane_go(struct lane *l);

// ---- the end of a task --------------------------------------------------------------------------

static void soon(struct runs_worker *w, int64_t ms)
{
    (void)timer_start(w->args.timers, &w->soon, ms);
}

static void task_fini(struct task *t)
{
    list_del(&t->link);
    list_del(&t->line);
    val_unref(t->value);
    buf_fini(&t->answer);
    buf_fini(&t->id);
    mem_free(t->subject);
    mem_free(t);
}

static void task_free(struct task *t)
{
    struct runs_worker *w = t->lane->w;
    task_fini(t);
    soon(w, 0); // there is room, or it was the last
}

static void acknowledge(struct task *t, enum bus_ack_how how)
{
    if (t->lane->tasks && t->ack)
        (void)bus_ack(t->lane->tasks, t->ack, how, 0);
    t->ack = 0;
}

static const char *text_of(const struct task *t, const char *key)
{
    return val_text(val_get_cstr(t->value, key), "");
}

// ---- answers ------------------------------------------------------------------------------------

static struct val *problem_of(int status, const char *detail)
{
    const struct err_info *i = err_info(status);
    const char *kind = status == E_TIMEOUT    ? "timeout"
                       : status == E_NOTFOUND ? "configuration"
                                              : "runtime";
    char type[96];
    (void)snprintf(type, sizeof type, "https://serverlessworkflow.io/spec/1.0.0/errors/%s", kind);
    struct val *v = val_put_cstr(val_obj(), "type", val_cstr(type));
    v = val_put_cstr(v, "status", val_int(i->http));
    v = val_put_cstr(v, "title", val_cstr(i->text));
    return val_put_cstr(v, "detail", val_cstr(detail));
}

static void store(struct task *t);

static void answer(struct task *t, struct val *takes_output, struct val *takes_problem, bool final)
{
    struct runs_worker *w = t->lane->w;
    struct val *v = val_put_cstr(val_obj(), "run", val_ref(val_get_cstr(t->value, "run")));
    v = val_put_cstr(v, "id", val_ref(val_get_cstr(t->value, "id")));
    v = val_put_cstr(v, "node", val_cstr(w->node));
    w->stats.failed += takes_problem != NULL;
    w->stats.done += !takes_problem;
    if (takes_problem && final)
        v = val_put_cstr(v, "final", val_bool(true));
    v = takes_problem ? val_put_cstr(v, "error", takes_problem)
                      : val_put_cstr(v, "output", takes_output);
    buf_clear(&t->answer);
    if (v)
        (void)val_write(&t->answer, v);
    val_unref(v);
    if (!v || t->answer.failed) { // another one may have the memory
        acknowledge(t, BUS_NAK);
        task_free(t);
        return;
    }
    store(t);
}

static void on_stored(struct bus_req *r, int status, const struct bus_msg *reply,
                      const struct err *e)
{
    struct task *t = r->user;
    (void)reply;
    if (!t->lane) { // its worker is gone
        task_fini(t);
        return;
    }
    if (t->closing || t->unwanted) {
        task_free(t);
        return;
    }
    t->state = TASK_AGAIN;
    if (!status) {
        acknowledge(t, BUS_ACK);
        task_free(t);
    } else if (status == E_TOOBIG || status == E_SECURITY || status == E_INVALID) {
        answer(t, NULL, problem_of(status, e ? e->text : ""), true);
    } else {
        soon(t->lane->w, AGAIN_MS);
    }
}

static void store(struct task *t)
{
    struct runs_worker *w = t->lane->w;
    const struct val *data = val_get_cstr(t->value, "data");
    struct err e = {0};
    struct bus_msg m = {.subject = bytes_of(t->subject),
                        .data = buf_bytes(&t->answer),
                        .content = BYTES("application/json"),
                        .type = BYTES("plexus.flow.answer"),
                        .id = buf_bytes(&t->id),
                        .label = val_bytes(val_get_cstr(data, "label"))};
    t->store = (struct bus_req){.done = on_stored, .user = t, .timeout_ms = 30000};
    t->state = TASK_STORE;
    int rc = bus_store(w->args.bus, &m, &t->store, &e);
    if (!rc)
        return;
    t->state = TASK_AGAIN;
    bool hopeless = rc == E_TOOBIG || rc == E_SECURITY || rc == E_INVALID;
    if (hopeless && !t->act.priv) { // said once, shortly
        t->act.priv = t;
        answer(t, NULL, problem_of(rc, e.text), true);
    } else if (hopeless) {
        acknowledge(t, BUS_TERM);
        task_free(t);
    } else {
        soon(w, AGAIN_MS);
    }
}

// ---- doing --------------------------------------------------------------------------------------

static void on_act(struct act_req *r, int status, struct val *output, struct val *problem,
                   bool final)
{
    struct task *t = r->user;
    t->lane->w->running--;
    r->priv = NULL;
    if (t->closing || t->unwanted) {
        if (t->unwanted)
            acknowledge(t, BUS_ACK);
        task_free(t);
        return;
    }
    if (status)
        answer(t, NULL, problem ? val_ref(problem) : problem_of(status, "the activity failed"),
               final);
    else
        answer(t, output ? val_ref(output) : val_null(), NULL, false);
}

// Who asked has a limit until somebody begins it.
static void tell_begun(struct task *t)
{
    struct runs_worker *w = t->lane->w;
    struct buf b;
    buf_init(&b, SUBJECT_BYTES_MAX + 1);
    (void)buf_fmt(&b, RUNS_BEGUN, w->environment, "");
    if (!subject_put_token(&b, bytes_of(text_of(t, "node"))))
        (void)bus_publish(w->args.bus,
                          &(struct bus_msg){.subject = buf_bytes(&b),
                                            .data = bytes_of(text_of(t, "key")),
                                            .type = BYTES("plexus.flow.begun")},
                          NULL);
    buf_fini(&b);
}

static int begin(struct task *t, struct err *e)
{
    struct runs_worker *w = t->lane->w;
    const struct val *data = val_get_cstr(t->value, "data");
    struct act_args a = {
        .kind = val_bytes(val_get_cstr(data, "kind")),
        .run = val_bytes(val_get_cstr(t->value, "run")),
        .task = val_bytes(val_get_cstr(data, "task")),
        .key = val_bytes(val_get_cstr(t->value, "key")),
        .attempt = (uint32_t)val_i64(val_get_cstr(data, "attempt"), 1),
        .timeout_ms = val_i64(val_get_cstr(data, "timeout_ms"), TIME_NEVER),
        .label = val_bytes(val_get_cstr(data, "label")),
        .args = val_get_cstr(data, "args"),
    };
    t->act = (struct act_req){.done = on_act, .user = t};
    int rc = act_start(w->args.acts, &a, &t->act, e);
    if (rc)
        return rc;
    t->state = TASK_ACT;
    w->running++;
    if (val_get_cstr(data, "start_ms"))
        tell_begun(t);
    return 0;
}

static bool may_begin(struct lane *l)
{
    struct runs_worker *w = l->w;
    double rate = l->rate, most = rate < 1 ? 1 : rate;
    int64_t now = timers_now_ms(w->args.timers);
    if (rate <= 0)
        return true;
    l->tokens += rate * (double)(now - l->filled_ms) / 1000;
    l->tokens = l->tokens > most ? most : l->tokens;
    l->filled_ms = now;
    if (l->tokens >= 1) {
        l->tokens -= 1;
        return true;
    }
    soon(w, (int64_t)((1 - l->tokens) * 1000 / rate) + 1);
    return false;
}

static void lane_go(struct lane *l)
{
    while (!list_empty(&l->line) && !l->w->closing && may_begin(l)) {
        struct task *t = container_of(l->line.next, struct task, line);
        struct err e = {0};
        list_del(&t->line);
        int rc = begin(t, &e);
        if (rc == E_FULL) {
            list_add_head(&l->line, &t->line);
            soon(l->w, 50);
            return;
        }
        if (rc)
            answer(t, NULL, problem_of(rc, e.text), rc == E_NOTFOUND);
    }
}

// ---- tasks come ---------------------------------------------------------------------------------

static struct task *find(struct lane *l, struct bytes key)
{
    list_each (it, &l->all) {
        struct task *t = container_of(it, struct task, link);
        if (bytes_is(key, text_of(t, "key")))
            return t;
    }
    return NULL;
}

static int prepare(struct task *t, const struct bus_msg *m)
{
    struct runs_worker *w = t->lane->w;
    struct buf b;
    int rc = val_parse(&t->value, m->data, NULL);
    if (rc)
        return rc;
    if (!*text_of(t, "key") || !*text_of(t, "run") || !*text_of(t, "node") ||
        !val_get_cstr(t->value, "data"))
        return E_INVALID;
    buf_init(&b, SUBJECT_BYTES_MAX + 1);
    (void)buf_fmt(&b, RUNS_ANSWERS, w->environment, "");
    (void)subject_put_token(&b, bytes_of(text_of(t, "node")));
    t->subject = b.failed ? NULL : buf_take(&b);
    rc = b.failed ? E_INVALID : t->subject ? 0 : E_NOMEM;
    buf_fini(&b);
    (void)buf_fmt(&t->id, "done-%s", text_of(t, "key"));
    return rc;
}

static void on_task(struct bus_sub *s, const struct bus_msg *m)
{
    struct lane *l = s->user;
    struct runs_worker *w = l->w;
    struct task *t = mem_new(struct task);
    if (!t) {
        (void)bus_ack(s, m->ack, BUS_NAK, AGAIN_MS);
        return;
    }
    t->lane = l;
    t->ack = m->ack;
    list_init(&t->link);
    list_init(&t->line);
    buf_init(&t->answer, ANSWER_MAX);
    buf_init(&t->id, 2048);
    int rc = prepare(t, m);
    struct task *old = rc ? NULL : find(l, bytes_of(text_of(t, "key")));
    if (old) { // it was slow to say that it works on it
        old->ack = m->ack;
        t->ack = 0;
        task_free(t);
        return;
    }
    if (rc) {
        acknowledge(t, rc == E_NOMEM ? BUS_NAK : BUS_TERM);
        task_free(t);
        return;
    }
    w->stats.taken++;
    w->stats.again += m->deliveries > 1;
    list_add_tail(&l->all, &t->link);
    list_add_tail(&l->line, &t->line);
    lane_go(l);
}

static void on_unwanted(struct bus_sub *s, const struct bus_msg *m)
{
    struct lane *l = s->user;
    struct task *t = find(l, m->data);
    if (!t)
        return;
    t->unwanted = true;
    if (t->state == TASK_ACT) {
        act_cancel(l->w->args.acts, &t->act);
    } else if (t->state != TASK_STORE) {
        acknowledge(t, BUS_ACK);
        task_free(t);
    }
}

static void on_refused(struct bus_sub *s, int status, const struct err *e)
{
    struct lane *l = s->user;
    struct runs_worker *w = l->w;
    (void)status;
    if (w->args.failed)
        w->args.failed(w->args.user, l->queue, e);
}

// ---- signs of life ------------------------------------------------------------------------------

static void on_beat(struct timer *t)
{
    struct runs_worker *w = t->user;
    for (size_t i = 0; i < w->lane_count; i++)
        list_each (it, &w->lanes[i].all) {
            struct task *x = container_of(it, struct task, link);
            if (x->ack && w->lanes[i].tasks)
                (void)bus_ack(w->lanes[i].tasks, x->ack, BUS_WORKING, 0);
        }
    (void)timer_start(w->args.timers, &w->beat, w->args.beat_ms / 3);
}

static void worker_free(struct runs_worker *w)
{
    timer_stop(w->args.timers, &w->beat);
    timer_stop(w->args.timers, &w->soon);
    for (size_t i = 0; i < w->lane_count; i++) {
        mem_free(w->lanes[i].queue);
        mem_free(w->lanes[i].subject);
    }
    mem_free(w->lanes);
    mem_free(w->node);
    mem_free(w->environment);
    mem_free(w);
}

static bool is_empty(const struct runs_worker *w)
{
    for (size_t i = 0; i < w->lane_count; i++)
        if (!list_empty(&w->lanes[i].all))
            return false;
    return true;
}

static void on_soon(struct timer *t)
{
    struct runs_worker *w = t->user;
    if (w->closing && is_empty(w)) {
        void (*closed)(void *user) = w->closed;
        void *user = w->closed_user;
        worker_free(w);
        if (closed)
            closed(user);
        return;
    }
    for (size_t i = 0; i < w->lane_count && !w->closing; i++) {
        struct lane *l = &w->lanes[i];
        list_each_safe (it, &l->all) {
            struct task *x = container_of(it, struct task, link);
            if (x->state == TASK_AGAIN)
                store(x);
        }
        lane_go(l);
    }
}

// ---- its life -----------------------------------------------------------------------------------

static int put_subject(struct buf *b, const char *form, const char *environment, const char *queue)
{
    buf_clear(b);
    (void)buf_fmt(b, form, environment, "");
    return subject_put_token(b, bytes_of(queue));
}

static int lane_open(struct runs_worker *w, struct lane *l, const char *queue, struct err *e)
{
    struct buf b, durable;
    l->w = w;
    list_init(&l->all);
    list_init(&l->line);
    l->filled_ms = timers_now_ms(w->args.timers);
    l->tokens = 1;
    l->rate = w->args.rate_max;
    for (size_t i = 0; i < w->args.rate_count; i++)
        if (strcmp(queue, w->args.rates[i].queue) == 0)
            l->rate = w->args.rates[i].per_s;
    l->queue = mem_str(queue);
    buf_init(&b, SUBJECT_BYTES_MAX + 1);
    buf_init(&durable, SUBJECT_BYTES_MAX + 1);
    (void)put_subject(&b, RUNS_TASKS, w->environment, queue);
    (void)buf_str(&durable, "flow-task-");
    (void)subject_put_token(&durable, bytes_of(queue));
    struct bus_sub_args a = {.pattern = buf_cstr(&b),
                             .from = BUS_START,
                             .durable = buf_cstr(&durable),
                             .ack_wait_ms = w->args.beat_ms,
                             .max_in_flight = (uint32_t)w->args.at_once_max,
                             .on_msg = on_task,
                             .on_failed = on_refused,
                             .user = l};
    int rc = b.failed || durable.failed || !l->queue
                 ? err_set(e, E_INVALID, "queue \"%s\": its name is too long", queue)
                 : bus_subscribe(w->args.bus, &a, &l->tasks, e);
    if (!rc)
        rc = put_subject(&b, RUNS_UNWANTED, w->environment, queue);
    struct bus_sub_args u = {.pattern = buf_cstr(&b), .on_msg = on_unwanted, .user = l};
    if (!rc)
        rc = bus_subscribe(w->args.bus, &u, &l->unwanted, e);
    buf_fini(&b);
    buf_fini(&durable);
    return rc;
}

int runs_worker_new(struct runs_worker **ret, const struct runs_worker_args *args, struct err *e)
{
    struct runs_worker *w = mem_new(struct runs_worker);
    size_t count = 0;
    int rc = 0;
    if (!w)
        return err_set(e, E_NOMEM, "a worker needs memory");
    while (args->queues && args->queues[count])
        count++;
    w->args = *args;
    w->args.at_once_max = args->at_once_max ? args->at_once_max : AT_ONCE;
    w->args.beat_ms = args->beat_ms ? args->beat_ms : BEAT_MS;
    w->beat = (struct timer){.fn = on_beat, .user = w};
    w->soon = (struct timer){.fn = on_soon, .user = w};
    w->node = mem_str(args->node ? args->node : "worker");
    w->environment = mem_str(args->environment);
    w->lanes = mem_array(count + 1, sizeof *w->lanes);
    if (!w->node || !w->environment || !w->lanes)
        rc = err_set(e, E_NOMEM, "a worker needs memory");
    for (size_t i = 0; !rc && i < count; i++) {
        w->lane_count++;
        rc = lane_open(w, &w->lanes[i], args->queues[i], e);
    }
    if (rc) {
        runs_worker_free(w);
        return rc;
    }
    (void)timer_start(w->args.timers, &w->beat, w->args.beat_ms / 3);
    *ret = w;
    return 0;
}

static void unsubscribe(struct lane *l)
{
    if (l->tasks)
        bus_unsubscribe(l->tasks);
    if (l->unwanted)
        bus_unsubscribe(l->unwanted);
    l->tasks = l->unwanted = NULL;
}

void runs_worker_close(struct runs_worker *w, void (*closed)(void *user), void *user)
{
    w->closing = true;
    w->closed = closed;
    w->closed_user = user;
    timer_stop(w->args.timers, &w->beat);
    for (size_t i = 0; i < w->lane_count; i++) {
        struct lane *l = &w->lanes[i];
        unsubscribe(l);
        list_each_safe (it, &l->all) {
            struct task *t = container_of(it, struct task, link);
            t->closing = true;
            if (t->state == TASK_ACT)
                act_cancel(w->args.acts, &t->act);
            else if (t->state == TASK_STORE)
                bus_cancel(w->args.bus, &t->store);
            else
                task_free(t);
        }
    }
    soon(w, 0);
}

static void lane_free(struct lane *l)
{
    while (!list_empty(&l->all)) {
        struct task *t = container_of(l->all.next, struct task, link);
        if (t->state != TASK_STORE) {
            task_fini(t);
            continue;
        }
        list_del(&t->link); // frees itself when the bus gives it back
        t->lane = NULL;
        bus_cancel(l->w->args.bus, &t->store);
    }
}

void runs_worker_free(struct runs_worker *w)
{
    if (!w)
        return;
    for (size_t i = 0; w->lanes && i < w->lane_count; i++) {
        lane_free(&w->lanes[i]);
        if (!w->closing)
            unsubscribe(&w->lanes[i]);
    }
    worker_free(w);
}

void runs_worker_stats(const struct runs_worker *w, struct runs_worker_stats *ret)
{
    *ret = w->stats;
    ret->running = w->running;
}
