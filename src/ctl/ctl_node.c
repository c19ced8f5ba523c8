// ctl_node.c: the node as a whole: snapshot, figures, machine, config, and its end.
// SPDX-License-Identifier: Apache-2.0
#include "ctl/ctl_priv.h"
#include <string.h>
#include <unistd.h>

#define REQUESTS_MAX 1000 // rows in one snapshot

static const char *text(const char *s)
{
    return s ? s : "";
}

static void put_node(struct ctl *c, struct json_w *w)
{
    const struct config *conf = c->ops->config(c->args.user);
    struct ctl_node n = {0};
    char started[TIME_TEXT_LEN + 1];
    c->ops->node(c->args.user, &n);
    time_text(n.started_ms, started);
    json_w_obj(w, "node");
    json_w_cstr(w, "name", text(conf->node_name));
    json_w_cstr(w, "context", text(conf->context));
    json_w_cstr(w, "environment", text(conf->environment));
    json_w_cstr(w, "version", text(n.version));
    json_w_i64(w, "pid", getpid());
    json_w_cstr(w, "started", started);
    json_w_i64(w, "uptime_ms", n.uptime_ms);
    json_w_cstr(w, "address", text(n.address));
    json_w_cstr(w, "config", text(conf->path));
    json_w_cstr(w, "data", text(conf->data));
    json_w_bool(w, "ready", n.ready);
    json_w_bool(w, "draining", n.draining);
    json_w_end(w);
}

static void put_machine(struct ctl *c, struct json_w *w)
{
    static const struct host_profile unknown; // a node's first moments
    const struct host_profile *p = c->ops->profile(c->args.user);
    if (!p)
        p = &unknown;
    json_w_obj(w, "machine");
    json_w_cstr(w, "cpu", p->cpu.model);
    json_w_num(w, "cpus", p->cpu.effective);
    json_w_u64(w, "memory_bytes", p->memory.effective);
    json_w_u64(w, "memory_available_bytes", p->memory.effective_available);
    json_w_arr(w, "gpus");
    for (uint32_t i = 0; i < p->gpu_count; i++) {
        json_w_obj(w, NULL);
        json_w_cstr(w, "name", p->gpus[i].name);
        json_w_u64(w, "memory_bytes", p->gpus[i].memory_bytes);
        json_w_end(w);
    }
    json_w_end(w);
    json_w_cstr(w, "class", p->machine_class);
    json_w_end(w);
}

static void put_memory(struct ctl *c, struct json_w *w)
{
    json_w_obj(w, "memory");
    json_w_u64(w, "budget_bytes", models_memory_budget(c->args.models));
    json_w_u64(w, "used_bytes", models_memory_used(c->args.models));
    json_w_end(w);
}

static void put_totals(struct ctl *c, struct json_w *w)
{
    struct ctl_totals t = {0};
    c->ops->totals(c->args.user, &t);
    json_w_obj(w, "totals");
    json_w_u64(w, "requests", t.requests);
    json_w_u64(w, "errors", t.errors);
    json_w_u64(w, "tokens_in", t.tokens_in);
    json_w_u64(w, "tokens_out", t.tokens_out);
    json_w_u64(w, "connections", t.connections);
    json_w_num(w, "requests_per_s", t.requests_per_s);
    json_w_end(w);
}

void ctl_put_request(struct json_w *w, const char *key, const struct ctl_request *r, bool end)
{
    json_w_obj(w, key);
    json_w_str(w, "id", r->id);
    json_w_str(w, "model", r->model);
    json_w_str(w, "path", r->path);
    json_w_cstr(w, "state", r->running ? "running" : "waiting");
    json_w_bool(w, "stream", r->stream);
    json_w_i64(w, "age_ms", r->age_ms);
    json_w_i64(w, "first_byte_ms", r->first_byte_ms >= 0 ? r->first_byte_ms : -1);
    json_w_u64(w, "tokens", r->tokens);
    json_w_num(w, "tokens_per_s", r->tokens_per_s);
    json_w_str(w, "key", r->key);
    if (end)
        json_w_bool(w, "end", true);
    json_w_end(w);
}

void ctl_put_state(struct ctl *c, struct buf *out)
{
    struct json_w w;
    struct ctl_request r;
    void *at = NULL;
    json_w_init(&w, out);
    json_w_obj(&w, NULL);
    put_node(c, &w);
    put_machine(c, &w);
    put_memory(c, &w);
    ctl_put_models(c, &w, "models");
    json_w_arr(&w, "requests");
    for (size_t i = 0; i < REQUESTS_MAX && c->ops->request(c->args.user, &at, &r); i++)
        ctl_put_request(&w, NULL, &r, false);
    json_w_end(&w);
    put_totals(c, &w);
    const char *engine = c->ops->config(c->args.user)->flows.engine;
    json_w_bool(&w, "flows", c->ops->flow && strcmp(engine, "off") != 0);
    json_w_bool(&w, "tools", c->ops->tool != NULL);
    json_w_end(&w);
}

void ctl_put_stat(struct ctl *c, struct buf *out)
{
    struct json_w w;
    json_w_init(&w, out);
    json_w_obj(&w, NULL);
    put_memory(c, &w);
    put_totals(c, &w);
    json_w_end(&w);
}

void ctl_op_state(struct ctl_call *call)
{
    struct buf out;
    buf_init(&out, CTL_JSON_MAX);
    ctl_put_state(call->c, &out);
    ctl_reply(call->x, 200, &out);
}

void ctl_op_detect(struct ctl_call *call)
{
    const struct host_profile *p = call->c->ops->profile(call->c->args.user);
    struct buf out;
    if (!p) {
        http_reply_error(call->x, E_LOADING, "the machine is still being looked at", NULL, 1);
        return;
    }
    buf_init(&out, CTL_JSON_MAX);
    (void)host_profile_json(&out, p);
    ctl_reply(call->x, 200, &out);
}

void ctl_op_doctor(struct ctl_call *call)
{
    struct ctl_answer *a = ctl_answer_new(call);
    if (a)
        call->c->ops->doctor(call->c->args.user, a);
}

void ctl_op_config(struct ctl_call *call)
{
    struct buf out;
    buf_init(&out, CTL_JSON_MAX);
    int rc = config_show(&out, call->c->ops->config(call->c->args.user), true);
    if (rc < 0 && !out.failed)
        out.failed = rc;
    ctl_reply(call->x, 200, &out);
}

void ctl_op_schema(struct ctl_call *call)
{
    http_reply(call->x, 200, "application/schema+json", CTL_NO_STORE, config_schema());
}

void ctl_op_reload(struct ctl_call *call)
{
    struct ctl *c = call->c;
    struct buf changes, out;
    struct err e = {0};
    buf_init(&changes, CTL_JSON_MAX);
    int rc = c->ops->reload(c->args.user, &changes, &e);
    if (rc < 0) {
        if (!e.code)
            (void)err_set(&e, rc, "%s", err_info(rc)->text);
        ctl_reply_err(call->x, &e);
    } else {
        struct json_w w;
        buf_init(&out, CTL_JSON_MAX);
        json_w_init(&w, &out);
        json_w_obj(&w, NULL);
        json_w_raw(&w, "changes", changes.n ? buf_bytes(&changes) : BYTES("[]"));
        json_w_end(&w);
        ctl_reply(call->x, 200, &out);
        ctl_config_changed(c, buf_bytes(&changes));
    }
    buf_fini(&changes);
}

void ctl_op_down(struct ctl_call *call)
{
    http_reply(call->x, 202, CTL_JSON, CTL_NO_STORE, BYTES("{\"draining\":true}"));
    call->c->ops->down(call->c->args.user);
}
