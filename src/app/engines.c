// engines.c: the driver of models: models come and go, effects are carried out.
// SPDX-License-Identifier: Apache-2.0
#include "app/engines_priv.h"
#include "base/alloc.h"
#include <assert.h>
#include <string.h>

#define KILL_AFTER_MS 5000

int64_t engines_now(const struct engines *e)
{
    return timers_now_ms(e->args.timers);
}

static void on_timer(struct timer *t)
{
    struct engines *e = t->user;
    e->due_ms = TIME_NEVER;
    models_tick(e->args.models, engines_now(e));
    engines_run(e);
}

// ---- connections of earlier lives ----

static bool may_go(const struct engine_old *old, bool all)
{
    struct model_view v;
    if (all || old->owner == NULL || old->owner->model == NULL)
        return true;
    model_view(old->owner->all->args.models, old->owner->model, 0, &v);
    return v.active == 0 || (v.stale == 0 && v.state != MODEL_DRAINING);
}

static void sweep(struct engines *e, bool all)
{
    list_each_safe (it, &e->old) {
        struct engine_old *old = container_of(it, struct engine_old, link);
        if (!may_go(old, all))
            continue;
        list_del(&old->link);
        http_pool_free(old->pool);
        mem_free(old);
    }
}

static void on_sweep(struct timer *t)
{
    sweep(t->user, false);
}

void engines_sweep_soon(struct engines *e)
{
    if (!list_empty(&e->old))
        (void)timer_start(e->args.timers, &e->sweep, 0);
}

int engines_new(struct engines **ret, const struct engines_args *args, struct err *e)
{
    struct engines *all = mem_new(struct engines);
    if (all == NULL)
        return err_set(e, E_NOMEM, "engines");
    all->args = *args;
    if (all->args.kill_after_ms == 0)
        all->args.kill_after_ms = KILL_AFTER_MS;
    list_init(&all->all);
    list_init(&all->old);
    all->timer.fn = on_timer;
    all->sweep.fn = on_sweep;
    all->timer.user = all->sweep.user = all;
    all->due_ms = TIME_NEVER;
    *ret = all;
    return 0;
}

static void wipe(const struct config_model *c)
{
    if (c->key.value_ != NULL)
        mem_wipe((char *)(uintptr_t)c->key.value_, strlen(c->key.value_));
}

static void forget(struct engine *x)
{
    engine_free(x);
    wipe(&x->conf);
    arena_free(x->conf_arena);
    list_del(&x->link);
    mem_free(x);
}

void engines_free(struct engines *e)
{
    if (e == NULL)
        return;
    timer_stop(e->args.timers, &e->timer);
    list_each_safe (it, &e->all) {
        struct engine *x = container_of(it, struct engine, link);
        if (x->model != NULL)
            model_set_user(x->model, NULL);
        x->model = NULL;
        forget(x);
    }
    timer_stop(e->args.timers, &e->sweep);
    sweep(e, true);
    mem_free(e);
}

// ---- models come, change and go ----

static struct model *model_named(const struct engines *e, const char *name)
{
    struct model_view v;
    struct model *m = models_find(e->args.models, bytes_of(name));
    if (m == NULL)
        return NULL;
    model_view(e->args.models, m, 0, &v);
    return strcmp(v.name, name) == 0 ? m : NULL; // else only an alias
}

// The new configuration is in place: what is outside of models follows.
static int follow(struct engine *x, bool renewed, struct err *err)
{
    x->up.first_byte_ms = x->conf.first_byte_ms;
    x->up.silence_ms = x->conf.silence_ms;
    if (!renewed)
        return 0;
    if (x->maker != NULL && !x->start_when_made)
        engine_make_stop(x);
    if (x->sup.state != SUP_OFF)
        return 0; // the end of the present life brings the next one
    if (x->remote)
        return engine_remote_open(x, err);
    engine_pool_retire(x);
    if (engine_must_make(x))
        engine_make(x);
    return 0;
}

static struct engine *engine_new(struct engines *e)
{
    struct engine *x = mem_new(struct engine);
    if (x == NULL)
        return NULL;
    x->all = e;
    sup_init(&x->sup);
    sup_init(&x->maker_log);
    engine_init_timers(x);
    list_add_tail(&e->all, &x->link);
    return x;
}

// Tells models, with what a dry look at the file can tell.
static int put_model(struct engines *e, const struct config_model *conf,
                     const struct engine_ops *ops, int64_t now_ms, bool *ret_remote,
                     struct err *err)
{
    struct engine fresh = {.all = e, .conf = *conf, .ops = ops};
    struct engine_spec spec = engine_spec_of(&fresh);
    struct engine_plan plan = {.child = true, .kind = conf->kind};
    struct err why = {0};
    struct model_spec model;
    struct arena *a = arena_new(ENGINES_PLAN_BYTES);
    if (a == NULL)
        return err_set(err, E_NOMEM, "model %s", conf->name);
    int rc = ops->plan(&spec, 0, a, &plan, &why);
    engine_model_spec(&model, conf, &plan);
    *ret_remote = !plan.child;
    if (rc == E_INVALID || rc == E_UNSUPPORTED || rc == E_NOMEM)
        *(err != NULL ? err : &why) = why;
    else
        rc = models_put(e->args.models, &model, now_ms, err);
    arena_free(a);
    return rc;
}

// Takes the arena (its owner finds NULL then), which holds the texts of conf.
static int put(struct engines *e, struct arena **arena, const struct config_model *conf,
               const struct engine_ops *ops, int64_t now_ms, struct err *err)
{
    struct engine_labels labels;
    bool remote = false;
    int rc = engine_labels_of(&labels, e->args.names, conf, err);
    if (rc < 0)
        return err_wrap(err, "model %s", conf->name);
    rc = put_model(e, conf, ops, now_ms, &remote, err);
    if (rc < 0)
        return rc;
    struct model *m = model_named(e, conf->name);
    struct engine *x = model_user(m);
    if (x == NULL && (x = engine_new(e)) == NULL) {
        models_remove(e->args.models, m, now_ms);
        return err_set(err, E_NOMEM, "model %s", conf->name);
    }
    bool renewed = x->conf_arena == NULL || x->conf.fingerprint != conf->fingerprint;
    model_set_user(m, x);
    x->model = m;
    wipe(&x->conf);
    arena_free(x->conf_arena);
    x->conf_arena = steal(arena);
    x->conf = *conf;
    x->labels = labels;
    x->ops = ops;
    x->remote = remote;
    rc = follow(x, renewed, err);
    if (rc < 0)
        models_remove(e->args.models, m, now_ms);
    return rc;
}

int engines_put(struct engines *e, const struct config_model *c, int64_t now_ms, struct err *err)
{
    const struct engine_ops *ops = engine_find(c->engine);
    struct config_model conf;
    if (ops == NULL)
        return err_set(err, E_UNSUPPORTED, "model %s: there is no engine %s", c->name, c->engine);
    AUTO(arena) arena = arena_new(ENGINES_CONF_BYTES);
    if (arena == NULL || engine_conf_copy(arena, &conf, c) < 0)
        return err_set(err, E_NOMEM, "model %s", c->name);
    int rc = put(e, &arena, &conf, ops, now_ms, err);
    if (arena != NULL)
        wipe(&conf);
    engines_run(e);
    return rc;
}

void engines_remove(struct engines *e, const char *name, int64_t now_ms)
{
    struct model *m = model_named(e, name);
    if (m == NULL)
        return;
    struct engine *x = model_user(m);
    if (x != NULL && !x->start_when_made)
        engine_make_stop(x);
    models_remove(e->args.models, m, now_ms);
    engines_run(e);
}

// ---- effects ----

static void gone(struct engines *e, struct model *m)
{
    struct engine *x = model_user(m);
    if (x == NULL)
        return;
    model_set_user(m, NULL);
    x->model = NULL;
    if (e->args.on_gone != NULL)
        e->args.on_gone(e->args.user, x->conf.name);
    forget(x);
}

static void carry_out(struct engines *e, const struct model_effect *f)
{
    struct engine *x = model_user(f->model);
    void *user = e->args.user;
    switch (f->kind) {
    case MODEL_START:
        assert(x != NULL);
        engine_start(x);
        break;
    case MODEL_STOP:
        assert(x != NULL);
        engine_stop(x);
        break;
    case MODEL_GRANT: e->args.on_grant(user, f->ticket); break;
    case MODEL_REFUSE: e->args.on_refuse(user, f->ticket, &f->err); break;
    case MODEL_CHANGED:
        engines_sweep_soon(e);
        e->args.on_changed(user, f->model);
        break;
    case MODEL_CLOSE_STREAMS: e->args.on_close_streams(user, f->model); break;
    case MODEL_GONE: gone(e, f->model); break;
    }
}

void engines_run(struct engines *e)
{
    struct model_effect f;
    if (e->running)
        return;
    e->running = true;
    while (models_effect(e->args.models, &f))
        carry_out(e, &f);
    e->running = false;
    // A timer that rings too early only looks and goes on, so a due time that moves away with each
    // request costs nothing here.
    int64_t next = models_next_ms(e->args.models), now = engines_now(e);
    if (next >= e->due_ms)
        return;
    e->due_ms = next;
    (void)timer_start(e->args.timers, &e->timer, next > now ? next - now : 0);
}

size_t engines_running(const struct engines *e)
{
    size_t n = 0;
    list_each (it, &e->all)
        n += container_of(it, struct engine, link)->proc != NULL;
    return n;
}

const struct engine_upstream *engines_upstream(struct engines *e, struct model *m)
{
    const struct engine *x = model_user(m);
    (void)e;
    return x != NULL && x->reachable && x->pool != NULL ? &x->up : NULL;
}

struct engine_labels engines_labels(const struct model *m)
{
    const struct engine *x = model_user(m);
    return x != NULL ? x->labels : (struct engine_labels){0}; // going: it is told nothing any more
}

int64_t engines_pid(const struct engines *e, const struct model *m)
{
    const struct engine *x = model_user(m);
    return x != NULL && x->proc != NULL ? e->args.procs->ops->pid(x->proc) : -1;
}
