// expr_libjq.c: jq programs in children of our own, `plexus _expr`: each runs one at a time, and is
// killed when it takes too long. Children come when first needed and go after a while.
// SPDX-License-Identifier: Apache-2.0
#include "adapters/expr_priv.h"
#include "base/alloc.h"
#include "base/buf.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    WORKERS_MAX = 16,
    IDLE_MS = 60000, // so long a child waits for work
    START_MS = 10000, // it may take to begin (a loaded machine)
    AGAIN_MS = 5000, // before libjq is looked for again
};

struct engine;
struct worker {
    struct engine *x;
    struct proc *proc; // NULL: the place is free
    struct timer timer; // of the start, the request, or idleness
    bool began, ready, killed; // began: it said how it is; killed: only its end is awaited
    struct expr_req *req;
    struct buf in; // of the child, not yet used
    char last[256]; // on its standard error
};
struct engine {
    struct expr base;
    struct timers *timers;
    struct procs *procs;
    char *self;
    struct expr_args args;
    struct list waiting; // requests
    struct list cancelled; // of them, to be told
    struct timer soon; // tells, and takes up work
    unsigned waiting_count;
    struct expr_stats stats;
    struct err none; // why there is no libjq ...
    int64_t again_ms; // ... until then
    struct worker workers[WORKERS_MAX];
};

static struct engine *engine_of(struct expr *base)
{
    return container_of(base, struct engine, base);
}

static void finish(struct engine *x, struct expr_req *r, int status, struct bytes result,
                   const struct err *e)
{
    x->stats.errors += status != 0;
    r->done(r, status, result, e);
}

static void fail(struct engine *x, struct expr_req *r, int code, const char *text)
{
    struct err e = {0};
    (void)err_set(&e, code, "%s", text);
    finish(x, r, code, BYTES_NONE, &e);
}

static struct expr_req *next_waiting(struct engine *x)
{
    if (list_empty(&x->waiting))
        return NULL;
    struct expr_req *r = container_of(x->waiting.next, struct expr_req, link);
    list_del(&r->link);
    x->waiting_count--;
    return r;
}

// ---- workers ----

static void take_up(struct engine *x);

static void worker_kill(struct worker *w)
{
    if (!w->proc || w->killed)
        return;
    w->killed = true;
    w->x->procs->ops->kill(w->proc);
}

static void give(struct worker *w, struct expr_req *r)
{
    struct engine *x = w->x;
    struct buf all;
    buf_init(&all, 4 * EXPR_TEXT_MAX);
    (void)buf_fmt(&all, "R %zu %zu %zu %" PRId64 " %zu\n", r->program.n, r->input.n, r->vars.n,
                  r->now_ms, x->args.output_bytes_max);
    (void)buf_put(&all, r->program);
    (void)buf_put(&all, r->input);
    (void)buf_put(&all, r->vars);
    w->req = r;
    x->stats.runs++;
    int rc = all.failed ? all.failed : x->procs->ops->write(w->proc, buf_bytes(&all));
    buf_fini(&all);
    if (rc < 0) { // its end comes and tells
        worker_kill(w);
        return;
    }
    int64_t limit = r->timeout_ms ? r->timeout_ms : x->args.timeout_ms;
    r->due_ms = timers_now_ms(x->timers) + limit;
    if (timer_start(x->timers, &w->timer, limit) < 0)
        worker_kill(w);
}

static void late(struct timer *t)
{
    struct worker *w = t->user;
    struct engine *x = w->x;
    struct expr_req *r = w->req;
    if (w->ready && !r) { // idle for long
        x->procs->ops->end_input(w->proc);
        w->ready = false;
        return;
    }
    w->req = NULL;
    worker_kill(w);
    if (!r)
        return;
    x->stats.timeouts++;
    x->stats.killed++;
    fail(x, r, E_TIMEOUT, "jq: the program took too long and was stopped");
}

static void idle(struct worker *w)
{
    if (timer_start(w->x->timers, &w->timer, IDLE_MS) < 0)
        worker_kill(w);
}

// There is no libjq: all that waits learns it.
static void no_library(struct engine *x, const char *why)
{
    struct expr_req *r;
    x->again_ms = timers_now_ms(x->timers) + AGAIN_MS;
    (void)err_set(&x->none, E_UNAVAILABLE, "%s", why);
    while ((r = next_waiting(x)))
        finish(x, r, E_UNAVAILABLE, BYTES_NONE, &x->none);
}

// One message of the child, if all of it is here: how many bytes it has. 0: not yet.
static size_t message(struct worker *w)
{
    struct engine *x = w->x;
    struct bytes in = buf_bytes(&w->in);
    ptrdiff_t end = bytes_chr(in, '\n');
    char line[400];
    if (end < 0 || (size_t)end >= sizeof line)
        return 0;
    memcpy(line, in.p, (size_t)end);
    line[end] = 0;
    size_t used = (size_t)end + 1;
    if (line[0] == 'H' || line[0] == 'N') {
        w->began = true;
        if (line[0] == 'N') {
            no_library(x, line + 2);
            return used;
        }
        (void)snprintf(x->stats.version, sizeof x->stats.version, "%.60s", line + 2);
        w->ready = true;
        idle(w);
        return used;
    }
    char *at = line + 1;
    int code = (int)strtol(at, &at, 10);
    size_t n = strtoull(at, NULL, 10);
    struct expr_req *r = w->req;
    if (line[0] != 'A' || !r || n > x->args.output_bytes_max + ERR_TEXT_MAX) {
        worker_kill(w);
        return 0;
    }
    if (in.n - used < n)
        return 0;
    w->req = NULL;
    idle(w);
    struct bytes text = {in.p + used, n};
    struct err e = {0};
    if (code)
        (void)err_set(&e, code, "%.*s", BYTES_FMT(text));
    finish(x, r, code, code ? BYTES_NONE : text, code ? &e : NULL);
    return used + n;
}

static void on_bytes(void *user, int fd, struct bytes part)
{
    struct worker *w = user;
    if (fd == 2) {
        size_t n = part.n < sizeof w->last - 1 ? part.n : sizeof w->last - 1;
        memcpy(w->last, part.p, n);
        w->last[n] = 0;
        return;
    }
    if (w->killed)
        return;
    if (buf_put(&w->in, part) < 0) {
        worker_kill(w);
        return;
    }
    size_t used;
    while (!w->killed && w->in.n > 0 && (used = message(w)) > 0)
        buf_drop(&w->in, used);
    take_up(w->x);
}

static void on_exit_(void *user, const struct proc_exit *exit)
{
    struct worker *w = user;
    struct engine *x = w->x;
    struct expr_req *r = w->req;
    timer_stop(x->timers, &w->timer);
    x->procs->ops->free(w->proc);
    buf_fini(&w->in);
    bool began = w->began;
    bool memory = exit->over_memory || strstr(w->last, "cannot allocate memory");
    *w = (struct worker){.x = x};
    x->stats.workers--;
    x->stats.killed += r != NULL;
    if (r)
        fail(x, r, memory ? E_TOOBIG : E_INVALID,
             memory ? "jq: the program needs more memory than it may have"
                    : "jq: libjq ended while it ran the program");
    else if (!began)
        no_library(x, exit->text);
    take_up(x);
}

static int worker_start(struct engine *x, struct worker *w, struct err *e)
{
    static const char *const env[] = {"LC_ALL=C", "TZ=UTC", NULL};
    char memory[24];
    (void)snprintf(memory, sizeof memory, "%" PRIu64, x->args.memory_bytes);
    const char *argv[] = {x->self, "_expr", memory, NULL};
    const struct proc_args args = {
        .argv = argv,
        .env = env,
        .cwd = "/",
        .limits = {.memory_bytes = x->args.memory_bytes, .nice = 5},
        .on_bytes = on_bytes,
        .input = true,
        .input_bytes_max = 4 * EXPR_TEXT_MAX,
        .on_exit = on_exit_,
        .user = w,
    };
    *w = (struct worker){.x = x, .timer = {.fn = late, .user = w}};
    buf_init(&w->in, x->args.output_bytes_max + 2 * ERR_TEXT_MAX);
    int rc = x->procs->ops->spawn(x->procs, &args, &w->proc, e);
    if (rc < 0)
        return rc;
    x->stats.workers++;
    if (timer_start(x->timers, &w->timer, START_MS) < 0)
        worker_kill(w);
    return 0;
}

// Gives waiting work to workers; starts one more when all are busy and there may be more.
static void take_up(struct engine *x)
{
    unsigned starting = 0;
    for (unsigned i = 0; i < x->args.workers_max; i++) {
        struct worker *w = &x->workers[i];
        starting += w->proc && !w->ready && !w->killed;
        if (!w->proc || !w->ready || w->killed || w->req)
            continue;
        struct expr_req *r = next_waiting(x);
        if (!r)
            return;
        give(w, r);
    }
    for (unsigned i = 0; i < x->args.workers_max && starting < x->waiting_count; i++) {
        struct err e = {0};
        if (x->workers[i].proc)
            continue;
        if (worker_start(x, &x->workers[i], &e) < 0) {
            if (x->stats.workers == 0)
                no_library(x, e.text);
            return;
        }
        starting++;
    }
}

// ---- the port ----

static void soon(struct timer *t)
{
    struct engine *x = t->user;
    while (!list_empty(&x->cancelled)) {
        struct expr_req *r = container_of(x->cancelled.next, struct expr_req, link);
        list_del(&r->link);
        fail(x, r, E_CANCELLED, "jq: the evaluation was cancelled");
    }
    take_up(x);
}

static int libjq_run(struct expr *base, struct expr_req *r, struct err *e)
{
    struct engine *x = engine_of(base);
    if (x->none.code && timers_now_ms(x->timers) < x->again_ms)
        return err_set(e, x->none.code, "%s", x->none.text);
    if (x->waiting_count >= x->args.queue_max)
        return err_set(e, E_FULL, "%u expressions wait for libjq already", x->waiting_count);
    if (r->program.n >= EXPR_TEXT_MAX || r->input.n >= EXPR_TEXT_MAX || r->vars.n >= EXPR_TEXT_MAX)
        return err_set(e, E_TOOBIG, "jq: more than %zu bytes of input", EXPR_TEXT_MAX);
    x->none.code = 0;
    if (timer_start(x->timers, &x->soon, 0) < 0)
        return err_set(e, E_NOMEM, "no memory for a timer");
    list_add_tail(&x->waiting, &r->link);
    x->waiting_count++;
    return 0;
}

static void libjq_cancel(struct expr *base, struct expr_req *r)
{
    struct engine *x = engine_of(base);
    bool running = false;
    for (unsigned i = 0; i < x->args.workers_max; i++) {
        struct worker *w = &x->workers[i];
        if (w->req != r)
            continue;
        w->req = NULL;
        worker_kill(w);
        running = true;
    }
    if (!running) {
        list_del(&r->link);
        x->waiting_count--;
    }
    list_add_tail(&x->cancelled, &r->link);
    (void)timer_start(x->timers, &x->soon, 0); // it has its place since the first run
}

static void libjq_stats(const struct expr *base, struct expr_stats *ret)
{
    const struct engine *x = container_of(base, const struct engine, base);
    *ret = x->stats;
    ret->waiting = x->waiting_count;
}

static void libjq_free(struct expr *base)
{
    struct engine *x = engine_of(base);
    struct expr_req *r;
    timer_stop(x->timers, &x->soon);
    for (unsigned i = 0; i < x->args.workers_max; i++) {
        struct worker *w = &x->workers[i];
        r = w->req;
        w->req = NULL;
        timer_stop(x->timers, &w->timer);
        if (w->proc)
            x->procs->ops->free(w->proc);
        w->proc = NULL;
        buf_fini(&w->in);
        if (r)
            fail(x, r, E_CANCELLED, "jq: the engine stops");
    }
    while ((r = next_waiting(x)))
        fail(x, r, E_CANCELLED, "jq: the engine stops");
    while (!list_empty(&x->cancelled)) {
        r = container_of(x->cancelled.next, struct expr_req, link);
        list_del(&r->link);
        fail(x, r, E_CANCELLED, "jq: the evaluation was cancelled");
    }
    mem_free(x->self);
    mem_free(x);
}

int expr_libjq_open(const struct expr_args *args, struct expr **ret, struct err *e)
{
    static const struct expr_ops ops = {libjq_run, libjq_cancel, libjq_stats, libjq_free};
    struct engine *x = mem_new(struct engine);
    char *self = mem_str(args->self);
    if (!x || !self) {
        mem_free(x);
        mem_free(self);
        return err_set(e, E_NOMEM, "no memory for an engine of expressions");
    }
    x->base.ops = &ops;
    x->timers = args->timers;
    x->procs = args->procs;
    x->self = self;
    x->args = *args;
    x->args.workers_max = !args->workers_max                ? 2
                          : args->workers_max > WORKERS_MAX ? WORKERS_MAX
                                                            : args->workers_max;
    x->args.queue_max = args->queue_max ? args->queue_max : 1024;
    x->args.timeout_ms = args->timeout_ms ? args->timeout_ms : 2000;
    x->args.memory_bytes = args->memory_bytes ? args->memory_bytes : (uint64_t)256 << 20;
    x->args.output_bytes_max = args->output_bytes_max ? args->output_bytes_max : (size_t)16 << 20;
    x->soon = (struct timer){.fn = soon, .user = x};
    list_init(&x->waiting);
    list_init(&x->cancelled);
    *ret = &x->base;
    return 0;
}
