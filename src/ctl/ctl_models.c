// ctl_models.c: models as rows, and what may be done to them.
// SPDX-License-Identifier: Apache-2.0
#include "ctl/ctl_priv.h"
#include <stdio.h>
#include <string.h>

// A client of load?wait=1.
struct wait {
    struct list link;
    struct ctl *c;
    struct http_exchange *x;
    bool began; // it was seen LOADING
    char name[];
};

static const struct config_model *configured(struct ctl *c, const char *name)
{
    const struct config *conf = c->ops->config(c->args.user);
    for (size_t i = 0; conf && i < conf->model_count; i++)
        if (!strcmp(conf->models[i].name, name))
            return &conf->models[i];
    return NULL;
}

static int64_t now(struct ctl *c)
{
    return timers_now_ms(c->args.timers);
}

void ctl_put_model(struct ctl *c, struct json_w *w, const char *key, const struct model *m)
{
    struct model_view v;
    int64_t at = now(c);
    model_view(c->args.models, m, at, &v);
    const struct config_model *conf = configured(c, v.name);
    json_w_obj(w, key);
    json_w_cstr(w, "name", v.name);
    json_w_cstr(w, "kind", v.kind ? v.kind : "");
    json_w_cstr(w, "engine", v.engine);
    json_w_cstr(w, "state", model_state_name(v.state));
    json_w_cstr(w, "phase", v.phase ? v.phase : "");
    json_w_num(w, "share", v.share >= 0 ? v.share : -1);
    json_w_i64(w, "eta_ms", v.eta_ms >= 0 ? v.eta_ms : -1);
    json_w_bool(w, "pinned", v.pinned);
    json_w_bool(w, "remote", v.remote);
    json_w_u64(w, "active", v.active);
    json_w_u64(w, "waiting", v.waiting);
    json_w_u64(w, "memory_bytes", v.memory_bytes);
    json_w_bool(w, "memory_measured", v.memory_measured);
    json_w_u64(w, "context", v.context);
    json_w_i64(w, "idle_left_ms", v.idle_left_ms == TIME_NEVER ? -1 : v.idle_left_ms);
    json_w_i64(w, "since_ms", at > v.since_ms ? at - v.since_ms : 0);
    json_w_u64(w, "loads", v.loads);
    json_w_u64(w, "evictions", v.evictions);
    json_w_u64(w, "deaths", v.deaths);
    json_w_i64(w, "last_load_ms", v.last_load_ms);
    json_w_u64(w, "restarts", v.restarts);
    json_w_cstr(w, "failure", v.failure ? v.failure : "");
    json_w_cstr(w, "file", conf && conf->file ? conf->file : "");
    json_w_end(w);
}

void ctl_put_models(struct ctl *c, struct json_w *w, const char *key)
{
    json_w_arr(w, key);
    for (struct model *m = NULL; (m = models_each(c->args.models, m));)
        ctl_put_model(c, w, NULL, m);
    json_w_end(w);
}

static void reply_row(struct ctl *c, struct http_exchange *x, int status, const struct model *m)
{
    struct buf out;
    struct json_w w;
    buf_init(&out, CTL_JSON_MAX);
    json_w_init(&w, &out);
    ctl_put_model(c, &w, NULL, m);
    ctl_reply(x, status, &out);
}

// The model of the path; NULL: answered 404 with the nearest name.
static struct model *wanted(struct ctl_call *call)
{
    struct model *m = models_find(call->c->args.models, call->name);
    if (m)
        return m;
    const char *near = models_nearest(call->c->args.models, call->name);
    struct err e = {0};
    (void)err_set(&e, E_NOTFOUND, near ? "no model \"%.*s\"; nearest: \"%s\"" : "no model \"%.*s\"",
                  BYTES_FMT(bytes_first(call->name, 200)), near);
    http_reply_error(call->x, E_NOTFOUND, e.text, "model", -1);
    return NULL;
}

void ctl_op_models(struct ctl_call *call)
{
    struct buf out;
    struct json_w w;
    buf_init(&out, CTL_JSON_MAX);
    json_w_init(&w, &out);
    json_w_obj(&w, NULL);
    ctl_put_models(call->c, &w, "models");
    json_w_end(&w);
    ctl_reply(call->x, 200, &out);
}

void ctl_op_model(struct ctl_call *call)
{
    struct model *m = wanted(call);
    if (m)
        reply_row(call->c, call->x, 200, m);
}

static void wait_free(struct wait *w)
{
    list_del(&w->link);
    mem_free(w);
}

// True when the wait is over; then the exchange is answered and w freed.
static bool settle(struct wait *w)
{
    struct ctl *c = w->c;
    struct model_view v = {0};
    struct err e = {0};
    struct model *m = models_find(c->args.models, bytes_of(w->name));
    if (m)
        model_view(c->args.models, m, now(c), &v);
    if (c->closed)
        (void)err_set(&e, E_UNAVAILABLE, "the node is ending");
    else if (!m)
        (void)err_set(&e, E_NOTFOUND, "model \"%s\" was removed from the config", w->name);
    else if (v.state == MODEL_FAILED)
        (void)err_set(&e, E_ENGINE, "%s", v.failure && *v.failure ? v.failure : "it did not start");
    else if (v.state == MODEL_UNLOADED && w->began)
        (void)err_set(&e, E_CONFLICT, "model \"%s\" was unloaded while it loaded", w->name);
    else if (v.state != MODEL_WARM) {
        w->began |= v.state == MODEL_LOADING;
        return false;
    }
    struct http_exchange *x = w->x;
    wait_free(w);
    if (e.code)
        ctl_reply_err(x, &e);
    else
        reply_row(c, x, 200, m);
    return true;
}

static void gone(struct http_exchange *x, void *user, int status)
{
    (void)x;
    (void)status;
    wait_free(user);
}

static void wait_for(struct ctl_call *call, const struct model *m)
{
    struct model_view v;
    model_view(call->c->args.models, m, now(call->c), &v);
    size_t n = strlen(v.name) + 1;
    struct wait *w = mem_zalloc(sizeof *w + n);
    if (!w) {
        http_reply_error(call->x, E_NOMEM, "out of memory", NULL, 1);
        return;
    }
    w->c = call->c;
    w->x = call->x;
    memcpy(w->name, v.name, n);
    list_add_tail(&call->c->waits, &w->link);
    http_own(call->x, w, NULL, gone);
    (void)settle(w);
}

// An answer may let the next request of its connection run, and that may end other waits: after
// each one the walk begins anew.
void ctl_waits_settle(struct ctl *c, const char *name)
{
    bool settled;
    do {
        settled = false;
        list_each_safe (it, &c->waits) {
            struct wait *w = container_of(it, struct wait, link);
            settled = (!name || !strcmp(w->name, name)) && settle(w);
            if (settled)
                break;
        }
    } while (settled);
}

void ctl_waits_end(struct ctl *c)
{
    ctl_waits_settle(c, NULL); // c->closed ends them
}

void ctl_waits_detach(struct ctl *c)
{
    list_each_safe (it, &c->waits)
        list_del(it);
}

void ctl_op_load(struct ctl_call *call)
{
    struct ctl *c = call->c;
    struct model *m = wanted(call);
    struct err e = {0};
    if (!m)
        return;
    int rc = models_load(c->args.models, m, now(c), &e);
    c->ops->after(c->args.user);
    if (rc)
        ctl_reply_err(call->x, &e);
    else if (ctl_query_is(call, "wait", "1"))
        wait_for(call, m);
    else
        reply_row(c, call->x, 202, m);
}

void ctl_op_unload(struct ctl_call *call)
{
    struct ctl *c = call->c;
    struct model *m = wanted(call);
    struct err e = {0};
    if (!m)
        return;
    int rc = models_unload(c->args.models, m, now(c), &e);
    c->ops->after(c->args.user);
    if (rc)
        ctl_reply_err(call->x, &e);
    else
        reply_row(c, call->x, 202, m);
}

static void pin(struct ctl_call *call, bool pinned)
{
    struct model *m = wanted(call);
    if (!m)
        return;
    models_pin(call->c->args.models, m, pinned, now(call->c));
    call->c->ops->after(call->c->args.user);
    reply_row(call->c, call->x, 202, m);
}

void ctl_op_pin(struct ctl_call *call)
{
    pin(call, true);
}

void ctl_op_unpin(struct ctl_call *call)
{
    pin(call, false);
}
