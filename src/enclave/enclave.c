// enclave.c: the loop's side: calls and compilations queue, workers take them, the loop hears of
// their ends; who holds a module, which instances are kept warm. SPDX-License-Identifier:
// Apache-2.0
#include "enclave/enclave.h"
#include "base/alloc.h"
#include "enclave/enclave_priv.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { WORKERS = 4, QUEUE_MAX = 256, IDLE_MAX = 32 };
#define CACHE_BYTES (256ull << 20)
#define IDLE_BYTES ((size_t)64 << 20)

static struct enclave *of(const struct sandbox *s)
{
    return container_of(s, struct enclave, base);
}

// ---- workers ------------------------------------------------------------------------------------

static int load(struct enclave *c, struct err *e)
{
    int rc = 0;
    lock_take(c->make);
    if (!c->api) {
        struct enclave_args *a = &c->args;
        if (a->library)
            (void)snprintf(c->library, sizeof c->library, "%s", a->library);
        else
            rc = enclave_find(c->library, sizeof c->library, e);
        if (rc == 0 && !(c->api = wasm_api_load(c->library, e)))
            rc = E_UNAVAILABLE;
        if (rc == 0)
            wasm_cache_engine(&c->cache, c->library, !a->no_signals);
    }
    if (rc == 0)
        rc = wasm_engine_make(c, WASM_PLAIN, e);
    lock_give(c->make);
    return rc == E_UNAVAILABLE ? E_UNSUPPORTED : rc;
}

static void work(struct enclave *c, struct wasm_job *j)
{
    if (j->call) {
        wasm_call(j);
        wasm_settle(j);
        return;
    }
    int rc = load(c, &j->err);
    j->status = rc != 0 ? rc : wasm_module_make(c, j->code, &j->mod, &j->err);
    if (j->status == E_UNAVAILABLE)
        j->status = E_UNSUPPORTED;
}

// Faults of guests come as signals, and one that is blocked ends the process; all others stay so.
static void signals(void)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        sigaddset(&set, faults[i]);
    (void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void worker(void *arg)
{
    struct enclave *c = arg;
    signals();
    lock_take(c->lock);
    for (;;) {
        while (list_empty(&c->queue) && !c->stopping) {
            c->resting++;
            lock_wait(c->lock, -1);
            c->resting--;
        }
        if (list_empty(&c->queue))
            break;
        struct wasm_job *j = container_of(c->queue.next, struct wasm_job, link);
        list_del(&j->link);
        list_add_tail(&c->running, &j->link);
        c->queued--;
        c->nrunning++;
        j->queued = false;
        lock_give(c->lock);
        work(c, j);
        lock_take(c->lock);
        list_del(&j->link);
        list_add_tail(&c->done, &j->link);
        c->nrunning--;
        wasm_wake(c);
    }
    lock_give(c->lock);
}

static int queue(struct enclave *c, struct wasm_job *j, struct err *e)
{
    int rc = 0;
    lock_take(c->lock);
    if (c->stopping)
        rc = err_set(e, E_CANCELLED, "the enclave is ending");
    else if (c->queued >= c->args.queue_max)
        rc = err_set(e, E_FULL, "%zu calls wait for the enclave", c->queued);
    else if (c->resting <= c->queued && c->nthreads < c->args.workers &&
             thread_start(&c->threads[c->nthreads], "wasm", worker, c) == 0)
        c->nthreads++;
    if (rc == 0 && c->nthreads == 0)
        rc = err_set(e, E_NOMEM, "no thread for the enclave");
    if (rc == 0) {
        j->queued = true;
        list_add_tail(&c->queue, &j->link);
        c->queued++;
        lock_wake(c->lock);
    }
    lock_give(c->lock);
    return rc;
}

// ---- the port -----------------------------------------------------------------------------------

static void limits(struct sandbox_limits *l)
{
    if (!l->pages)
        l->pages = ENCLAVE_PAGES;
    if (l->pages > ENCLAVE_PAGES_MAX)
        l->pages = ENCLAVE_PAGES_MAX;
    if (l->timeout_ms <= 0 || l->timeout_ms > 86400000)
        l->timeout_ms = l->timeout_ms > 0 ? 86400000 : ENCLAVE_TIMEOUT_MS;
    if (!l->output_bytes || l->output_bytes > ENCLAVE_OUTPUT_BYTES)
        l->output_bytes = ENCLAVE_OUTPUT_BYTES;
    if (!l->http_bytes)
        l->http_bytes = ENCLAVE_HTTP_BYTES;
    if (!l->vars_bytes)
        l->vars_bytes = ENCLAVE_VARS_BYTES;
    if (!l->log_lines)
        l->log_lines = ENCLAVE_LOG_LINES;
    if (!l->host_calls)
        l->host_calls = ENCLAVE_HOST_CALLS;
}

static void job_init(struct wasm_job *j, struct enclave *c)
{
    j->enclave = c;
    j->exit_code = -1;
    list_init(&j->link);
    list_init(&j->ticking);
    list_init(&j->asking);
    list_init(&j->lines);
    for (int i = 0; i < 2; i++)
        buf_init(&j->out[i], WASM_LINE_MAX);
}

static void job_fini(struct wasm_job *j)
{
    list_each_safe (it, &j->lines) {
        list_del(it);
        mem_free(container_of(it, struct wasm_line, link));
    }
    for (int i = 0; i < 2; i++)
        buf_fini(&j->out[i]);
    buf_fini(&j->http_body);
    buf_fini(&j->http_headers);
}

static struct wasm_job *job_new(struct enclave *c)
{
    struct wasm_job *j = mem_new(struct wasm_job);
    if (j)
        job_init(j, c);
    return j;
}

static void job_free(struct wasm_job *j)
{
    job_fini(j);
    mem_free((void *)(uintptr_t)j->code.p);
    mem_free(j);
}

void wasm_job_init(struct wasm_job *j, struct sandbox_call *call)
{
    *j = (struct wasm_job){.call = call, .mod = call->mod, .limits = call->limits};
    job_init(j, call->mod->enclave);
    limits(&j->limits);
    lock_take(j->enclave->lock);
    j->inst = wasm_idle_take(j->enclave, j);
    lock_give(j->enclave->lock);
}

void wasm_job_fini(struct wasm_job *j)
{
    wasm_settle(j);
    lock_take(j->enclave->lock);
    wasm_idle_give(j->enclave, j);
    lock_give(j->enclave->lock);
    job_fini(j);
}

static int on_compile(struct sandbox *s, struct sandbox_compile *x, struct err *e)
{
    struct enclave *c = of(s);
    struct wasm_job *j = job_new(c);
    char *code = mem_dup(x->code.p, x->code.n);
    if (!j || !code) {
        mem_free(code);
        mem_free(j);
        return err_set(e, E_NOMEM, "no memory for a module");
    }
    j->compile = x;
    j->code = (struct bytes){code, x->code.n};
    x->priv = j;
    int rc = queue(c, j, e);
    if (rc != 0)
        job_free(j);
    return rc;
}

static int on_call(struct sandbox *s, struct sandbox_call *call, struct err *e)
{
    struct enclave *c = of(s);
    struct wasm_job *j = job_new(c);
    if (!j)
        return err_set(e, E_NOMEM, "no memory for a call");
    j->call = call;
    j->mod = call->mod;
    j->limits = call->limits;
    limits(&j->limits);
    lock_take(c->lock);
    j->inst = wasm_idle_take(c, j);
    j->mod->refs++;
    c->stats.calls++;
    c->stats.fresh += !j->inst;
    lock_give(c->lock);
    call->priv = j;
    int rc = queue(c, j, e);
    if (rc == 0)
        return 0;
    wasm_inst_free(j->inst);
    wasm_mod_drop(j->mod);
    job_free(j);
    return rc;
}

static void http_cancel(struct wasm_job *j) // under the lock, on the loop
{
    struct enclave *c = j->enclave;
    if (j->http_state == WASM_HTTP_STARTED)
        c->args.http.cancel(c->args.http.user, &j->http);
    if (j->http_state == WASM_HTTP_STARTED || j->http_state == WASM_HTTP_ASKED) {
        list_del(&j->asking);
        j->http_status = E_CANCELLED;
        j->http_state = WASM_HTTP_DONE;
    }
}

static void cancel(struct wasm_job *j)
{
    struct enclave *c = j->enclave;
    lock_take(c->lock);
    atomic_store(&j->cancelled, true);
    http_cancel(j);
    if (j->queued) { // never begun
        list_del(&j->link);
        c->queued--;
        j->queued = false;
        j->status = E_CANCELLED;
        j->kind = SANDBOX_CANCELLED;
        (void)snprintf(j->text, sizeof j->text, "cancelled");
        list_add_tail(&c->done, &j->link);
        wasm_wake(c);
    }
    lock_wake(c->lock);
    lock_give(c->lock);
    wasm_tick_now(c);
}

static void on_cancel(struct sandbox *s, struct sandbox_call *call)
{
    (void)s;
    cancel(call->priv);
}

static const struct sandbox_ops ops = {.name = "wasmtime",
                                       .compile = on_compile,
                                       .call = on_call,
                                       .cancel = on_cancel,
                                       .has = wasm_mod_has,
                                       .keep = wasm_mod_keep,
                                       .drop = wasm_mod_drop};

// ---- the loop's turn ----------------------------------------------------------------------------

static void tell_lines(struct enclave *c, struct wasm_job *j)
{
    for (;;) {
        lock_take(c->lock);
        j->log_waits = false;
        struct wasm_line *line =
            list_empty(&j->lines) ? NULL : container_of(j->lines.next, struct wasm_line, link);
        if (line)
            list_del(&line->link);
        lock_give(c->lock);
        if (!line)
            return;
        j->call->log(j->call, line->level, (struct bytes){line->text, line->n});
        mem_free(line);
    }
}

static void tell(struct enclave *c, struct wasm_job *j)
{
    if (j->compile) {
        struct sandbox_compile *x = j->compile;
        x->done(x, j->status, j->status == 0 ? j->mod : NULL, j->status ? &j->err : NULL);
        job_free(j);
        return;
    }
    tell_lines(c, j);
    bool bad = j->kind != SANDBOX_OK;
    j->call->done(j->call, j->status, bad ? BYTES_NONE : j->output, j->kind, bytes_of(j->text),
                  &j->used);
    j->call = NULL; // its memory is the caller's
    lock_take(c->lock);
    c->stats.ended_badly += bad;
    wasm_idle_give(c, j);
    lock_give(c->lock);
    wasm_mod_drop(j->mod);
    job_free(j);
}

// Starts what workers asked for, and cancels what they no longer wait for.
static void ask_next(struct enclave *c)
{
    struct err e = {0};
    lock_take(c->lock);
    while (!list_empty(&c->asks)) {
        struct wasm_job *j = container_of(c->asks.next, struct wasm_job, asking);
        list_del(&j->asking);
        if (atomic_load(&j->cancelled) || j->http_state == WASM_HTTP_STARTED) { // out of time
            http_cancel(j);
            lock_wake(c->lock);
            continue;
        }
        j->http_state = WASM_HTTP_STARTED;
        lock_give(c->lock);
        int rc = c->args.http.start(c->args.http.user, &j->http, &e);
        if (rc != 0)
            j->http.done(&j->http, rc, 0, BYTES_NONE, BYTES_NONE, &e);
        lock_take(c->lock);
    }
    lock_give(c->lock);
}

static struct wasm_job *next_done(struct enclave *c)
{
    struct wasm_job *j = NULL;
    lock_take(c->lock);
    if (!list_empty(&c->done)) {
        j = container_of(c->done.next, struct wasm_job, link);
        list_del(&j->link);
    }
    lock_give(c->lock);
    return j;
}

// A running call with lines to tell; it goes on meanwhile.
static struct wasm_job *next_talker(struct enclave *c)
{
    struct wasm_job *found = NULL;
    lock_take(c->lock);
    list_each (it, &c->running) {
        struct wasm_job *j = container_of(it, struct wasm_job, link);
        if (j->log_waits)
            found = j;
    }
    lock_give(c->lock);
    return found;
}

void enclave_turn(struct sandbox *s)
{
    struct enclave *c = of(s);
    struct wasm_job *j;
    lock_take(c->lock);
    c->woken = false;
    lock_give(c->lock);
    ask_next(c);
    while ((j = next_talker(c)))
        tell_lines(c, j);
    while ((j = next_done(c)))
        tell(c, j);
}

// ---- life ---------------------------------------------------------------------------------------

static void enclave_fini(struct enclave *c)
{
    lock_free(c->lock);
    lock_free(c->make);
    lock_free(c->tick);
    wasm_memories_fini(&c->memories);
    wasm_cache_fini(&c->cache);
    mem_free(c);
}

static void defaults(struct enclave_args *a)
{
    if (!a->workers)
        a->workers = WORKERS;
    if (a->workers > WASM_WORKERS_MAX)
        a->workers = WASM_WORKERS_MAX;
    if (!a->queue_max)
        a->queue_max = QUEUE_MAX;
    if (!a->idle_max)
        a->idle_max = IDLE_MAX;
    if (!a->idle_bytes_max)
        a->idle_bytes_max = IDLE_BYTES;
    if (!a->cache_bytes_max)
        a->cache_bytes_max = CACHE_BYTES;
}

int enclave_new(struct sandbox **ret, const struct enclave_args *args, struct err *e)
{
    if (!args->wake)
        return err_set(e, E_INVALID, "an enclave needs a way to wake its loop");
    struct enclave *c = mem_new(struct enclave);
    if (!c)
        return err_set(e, E_NOMEM, "no memory for an enclave");
    c->base.ops = &ops;
    c->args = *args;
    defaults(&c->args);
    list_init(&c->queue);
    list_init(&c->done);
    list_init(&c->asks);
    list_init(&c->mods);
    list_init(&c->idle);
    list_init(&c->running);
    list_init(&c->ticking);
    c->lock = lock_new();
    c->make = lock_new();
    c->tick = lock_new();
    int rc = c->lock && c->make && c->tick ? wasm_memories_init(&c->memories) : E_NOMEM;
    if (rc == 0)
        rc = wasm_cache_open(&c->cache, args->cache, c->args.cache_bytes_max, e);
    if (rc != 0) {
        enclave_fini(c);
        return e && e->code ? rc : err_set(e, rc, "no memory for an enclave");
    }
    *ret = &c->base;
    return 0;
}

static void stop_all(struct enclave *c)
{
    lock_take(c->lock);
    c->stopping = true;
    list_each_safe (it, &c->queue) {
        struct wasm_job *j = container_of(it, struct wasm_job, link);
        list_del(&j->link);
        j->queued = false;
        j->status = E_CANCELLED;
        j->kind = SANDBOX_CANCELLED;
        list_add_tail(&c->done, &j->link);
    }
    c->queued = 0;
    list_each (it, &c->running) {
        struct wasm_job *j = container_of(it, struct wasm_job, link);
        atomic_store(&j->cancelled, true);
        http_cancel(j);
    }
    lock_wake(c->lock);
    lock_give(c->lock);
    wasm_tick_now(c);
}

void enclave_free(struct sandbox *s)
{
    if (!s)
        return;
    struct enclave *c = of(s);
    stop_all(c);
    for (unsigned i = 0; i < c->nthreads; i++)
        thread_join(c->threads[i]);
    wasm_ticker_stop(c);
    struct wasm_job *j;
    while ((j = next_done(c)))
        tell(c, j);
    lock_take(c->lock);
    list_each_safe (it, &c->mods)
        wasm_mod_end(c, container_of(it, struct sandbox_mod, link));
    lock_give(c->lock);
    if (c->api)
        wasm_engines_fini(c);
    enclave_fini(c);
}

void enclave_stats(const struct sandbox *s, struct enclave_stats *ret)
{
    struct enclave *c = of(s);
    lock_take(c->lock);
    *ret = c->stats;
    ret->loaded = c->api != NULL;
    ret->modules = c->nmods;
    ret->idle = c->nidle;
    ret->running = c->nrunning;
    ret->waiting = c->queued;
    list_each (it, &c->idle) {
        const struct wasm_inst *i = container_of(it, struct wasm_inst, lru);
        ret->memory_bytes += (uint64_t)wasm_guest_pages(i) * WASM_PAGE + i->kernel.dirty;
    }
    lock_give(c->lock);
    (void)snprintf(ret->library, sizeof ret->library, "%s", ret->loaded ? c->library : "");
}
