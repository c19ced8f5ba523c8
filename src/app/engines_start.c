// engines_start.c: one engine: started, watched, measured, stopped, as sup says; and its
// connections. SPDX-License-Identifier: Apache-2.0
#include "app/engines_priv.h"
#include "base/alloc.h"
#include "base/log.h"
#include <stdio.h>
#include <string.h>

static void apply(struct engine *x, unsigned effects);

static void name_phase(struct engine *x, struct bytes line)
{
    const char *phase = NULL;
    double share = -1;
    if (x->sup.state == SUP_PROBING && x->ops->progress(line, &phase, &share))
        models_phase(x->all->args.models, x->model, phase, share, engines_now(x->all));
}

static void on_line(void *user, int fd, struct bytes line)
{
    struct engine *x = user;
    const struct engines_args *args = &x->all->args;
    sup_line(&x->sup, line);
    name_phase(x, line);
    args->on_line(args->user, x->conf.name, x->conf.engine, fd, line);
    engines_run(x->all);
}

static void on_exit(void *user, const struct proc_exit *exit)
{
    struct engine *x = user;
    apply(x, sup_exit(&x->sup, exit, engines_now(x->all)));
    engines_run(x->all);
}

// ---- connections ----

void engine_pool_retire(struct engine *x)
{
    x->reachable = false;
    if (x->pool == NULL)
        return;
    struct engine_old *old = mem_new(struct engine_old);
    http_pool_drop_idle(x->pool);
    if (old == NULL) {
        http_pool_free(x->pool); // its calls are cut short
    } else {
        old->owner = x;
        old->pool = x->pool;
        list_add_tail(&x->all->old, &old->link);
        engines_sweep_soon(x->all);
    }
    x->pool = NULL;
}

static int open_pool(struct engine *x, struct err *e)
{
    struct http_pool_args args = {
        .net = x->all->args.net,
        .timers = x->all->args.timers,
        .addr = {.port = x->plan.port},
        .tls = x->tls,
        // A handshake costs more than a kept connection. Without TLS the default: some engines give
        // each open connection a thread.
        .idle_max = x->tls ? ENGINES_TLS_IDLE_MAX : 0,
    };
    size_t n = strlen(x->plan.host);
    if (n >= sizeof args.addr.host)
        return err_set(e, E_INVALID, "model %s: its host name is too long", x->conf.name);
    memcpy(args.addr.host, x->plan.host, n + 1);
    int rc = http_pool_new(&x->pool, &args, e);
    if (rc < 0)
        return rc;
    x->up = (struct engine_upstream){
        .pool = x->pool,
        .auth = x->plan.auth,
        .base_path = x->plan.base_path,
        .model = x->plan.upstream_model,
        .first_byte_ms = x->conf.first_byte_ms,
        .silence_ms = x->conf.silence_ms,
    };
    return 0;
}

// ---- start ----

static void on_started(void *user)
{
    struct engine *x = user;
    const struct engines_args *a = &x->all->args;
    if (a->on_started != NULL)
        a->on_started(a->user, x->model, timers_now_ns(a->timers) - x->start_ns);
}

static int make_plan(struct engine *x, uint16_t port, struct err *e)
{
    struct engine_spec spec = engine_spec_of(x);
    engine_plan_drop(x);
    x->plan_arena = arena_new(ENGINES_PLAN_BYTES);
    if (x->plan_arena == NULL)
        return err_set(e, E_NOMEM, "model %s", x->conf.name);
    return x->ops->plan(&spec, port, x->plan_arena, &x->plan, e);
}

int engine_remote_open(struct engine *x, struct err *e)
{
    engine_pool_retire(x);
    int rc = make_plan(x, 0, e);
    if (rc < 0)
        return rc;
    if (x->plan.tls && x->tls == NULL &&
        (rc = net_tls_new(&x->tls, &(struct net_tls_args){.server = false}, e)) < 0)
        return err_wrap(e, "model %s", x->conf.name), rc;
    struct net_tls *tls = x->tls;
    if (!x->plan.tls)
        x->tls = NULL;
    rc = open_pool(x, e);
    x->tls = tls;
    x->reachable = rc == 0;
    return rc;
}

static int spawn(struct engine *x, struct err *e)
{
    const struct config_model *c = &x->conf;
    uint16_t port = 0;
    int rc = engine_free_port(x->all, &port, e);
    if (rc == 0)
        rc = make_plan(x, port, e);
    if (rc == 0)
        rc = open_pool(x, e);
    if (rc < 0)
        return rc;
    const char *const *env = engine_environment(x->plan_arena, x->plan.env);
    if (env == NULL)
        return err_set(e, E_NOMEM, "model %s", c->name);
    const struct proc_args args = {
        .argv = x->plan.argv,
        .env = env,
        .limits = {.memory_bytes = c->limit_memory_bytes,
                   .cpus = c->limit_cpus,
                   .files = c->limit_files,
                   .nice = c->nice},
        .on_line = on_line,
        .on_started = on_started,
        .on_exit = on_exit,
        .user = x,
    };
    return x->all->args.procs->ops->spawn(x->all->args.procs, &args, &x->proc, e);
}

// Errors that another try does not mend.
static bool is_final(int code)
{
    return code == E_NOTFOUND || code == E_INVALID || code == E_PARSE || code == E_UNSUPPORTED ||
           code == E_PERM || code == E_TOOBIG;
}

static void start_child(struct engine *x)
{
    struct models *m = x->all->args.models;
    struct err e = {0};
    int64_t now = engines_now(x->all);
    x->start_ns = timers_now_ns(x->all->args.timers);
    x->open[0] = 0;
    (void)sup_start(&x->sup, x->conf.load_timeout_ms, x->all->args.kill_after_ms, now);
    int rc = spawn(x, &e);
    if (rc == 0) {
        apply(x, sup_spawned(&x->sup, now));
        return;
    }
    engine_pool_retire(x);
    engine_plan_drop(x);
    sup_init(&x->sup);
    struct bytes why = {e.text, e.n}; // models says whose it is
    char own[160];
    (void)snprintf(own, sizeof own, "model %s: ", x->conf.name);
    if (bytes_starts(why, bytes_of(own)))
        why = bytes_from(why, strlen(own));
    if (is_final(rc))
        models_failed(m, x->model, why, now);
    else
        models_down(m, x->model, why, now);
}

void engine_start(struct engine *x)
{
    if (engine_must_make(x)) {
        x->start_when_made = true;
        engine_make(x);
    } else {
        start_child(x);
    }
}

// ---- the life ----

static void down(struct engine *x)
{
    struct models *m = x->all->args.models;
    struct timers *t = x->all->args.timers;
    int64_t now = engines_now(x->all);
    struct buf why;
    bool final = (x->sup.exit.not_started && !x->sup.asked_to_stop) || x->open[0];
    timer_stop(t, &x->timer);
    timer_stop(t, &x->figure);
    engine_probe_forget(x);
    if (x->proc != NULL)
        x->all->args.procs->ops->free(x->proc);
    x->proc = NULL;
    engine_pool_retire(x);
    buf_init(&why, 8192);
    if (x->open[0])
        (void)buf_fmt(&why,
                      "the engine listened on %s, where other machines can use it without key, "
                      "limit or label: let it listen on 127.0.0.1, or set expose: true for the "
                      "model",
                      x->open);
    else
        sup_why(&x->sup, x->ops->blame, &why);
    if (!x->sup.asked_to_stop)
        log_event(LOG_WARN, "engine.died", LOG_STR("model", x->conf.name),
                  LOG_STR("engine", x->conf.engine), LOG_BYTES("why", buf_bytes(&why)));
    engine_plan_drop(x);
    if (x->remote) // the configuration changed meanwhile; what is wrong with the address, requests
                   // will see
        (void)engine_remote_open(x, NULL);
    if (final)
        models_failed(m, x->model, buf_bytes(&why), now);
    else
        models_down(m, x->model, buf_bytes(&why), now);
    buf_fini(&why);
}

static void arm(struct engine *x)
{
    int64_t next = sup_next_ms(&x->sup), now = engines_now(x->all);
    if (next == TIME_NEVER)
        timer_stop(x->all->args.timers, &x->timer);
    else
        (void)timer_start(x->all->args.timers, &x->timer, next > now ? next - now : 0);
}

static void apply(struct engine *x, unsigned effects)
{
    const struct procs_ops *ops = x->all->args.procs->ops;
    struct models *m = x->all->args.models;
    arm(x);
    if ((effects & SUP_TERM) != 0 && x->proc != NULL)
        ops->term(x->proc);
    if ((effects & SUP_KILL) != 0 && x->proc != NULL)
        ops->kill(x->proc);
    if ((effects & SUP_MEASURE) != 0 && x->proc != NULL) {
        ops->measure(x->proc);
        (void)timer_start(x->all->args.timers, &x->figure, ENGINES_FIGURE_MS);
    }
    if ((effects & SUP_UP) != 0) {
        x->reachable = true;
        models_up(m, x->model, engines_now(x->all));
    }
    if ((effects & SUP_DOWN) != 0)
        down(x);
    else if ((effects & SUP_PROBE) != 0)
        engine_probe(x);
}

// An engine that others can reach goes round everything that the gate decides: it is ended. Looked
// at before its first request, and with each figure of its memory.
static bool is_open(struct engine *x)
{
    const struct procs_ops *ops = x->all->args.procs->ops;
    if (x->conf.expose || x->proc == NULL)
        return false;
    if (x->open[0])
        return true;
    if (!host_listens_openly(ops->pid(x->proc), x->open))
        return false;
    log_event(LOG_ERROR, "engine.exposed", LOG_STR("model", x->conf.name),
              LOG_STR("address", x->open));
    x->reachable = false;
    ops->kill(x->proc);
    return true;
}

void engine_probed(struct engine *x, bool ok)
{
    ok = ok && !is_open(x);
    apply(x, sup_probe(&x->sup, ok, engines_now(x->all)));
    engines_run(x->all);
}

static void on_timer(struct timer *t)
{
    struct engine *x = t->user;
    apply(x, sup_tick(&x->sup, engines_now(x->all)));
    engines_run(x->all);
}

static void on_figure(struct timer *t)
{
    struct engine *x = t->user;
    if (x->proc == NULL || is_open(x))
        return;
    models_memory(x->all->args.models, x->model, x->all->args.procs->ops->memory(x->proc),
                  engines_now(x->all));
    engines_run(x->all);
}

void engine_stop(struct engine *x)
{
    struct models *m = x->all->args.models;
    if (x->sup.state != SUP_OFF) {
        x->reachable = false;
        apply(x, sup_stop(&x->sup, engines_now(x->all)));
        return;
    }
    if (x->start_when_made)
        engine_make_stop(x);
    models_down(m, x->model, BYTES("stopped"), engines_now(x->all));
}

void engine_init_timers(struct engine *x)
{
    x->timer.fn = on_timer;
    x->figure.fn = on_figure;
    x->timer.user = x->figure.user = x;
}

void engine_free(struct engine *x)
{
    struct timers *t = x->all->args.timers;
    timer_stop(t, &x->timer);
    timer_stop(t, &x->figure);
    engine_make_stop(x);
    engine_probe_forget(x);
    if (x->proc != NULL)
        x->all->args.procs->ops->free(x->proc);
    engine_pool_retire(x);
    list_each (it, &x->all->old) {
        struct engine_old *old = container_of(it, struct engine_old, link);
        old->owner = old->owner == x ? NULL : old->owner;
    }
    engine_plan_drop(x);
    net_tls_free(x->tls);
}
