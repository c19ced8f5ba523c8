// gate_route.c: which node serves a request, and another one when that fails before its first byte.
// SPDX-License-Identifier: Apache-2.0
#include "gate/gate_priv.h"
#include <string.h>

#define LOOK_MS 50
#define LOOKS_MAX 30 // about as long as a silence lasts until it is a death
#define PREFIX_BYTES 1024 // of the prompt's start: what an engine may still have in its cache

static uint64_t mix(uint64_t hash, struct bytes text)
{
    return (hash ^ bytes_hash(bytes_first(text, PREFIX_BYTES))) * 0x9e3779b97f4a7c15u;
}

// Of the first two messages (system and the first question stay while a conversation grows), or of
// the prompt. 0: there is no text.
uint64_t route_prefix(const struct json *body)
{
    const struct json *messages = json_get(body, "messages");
    struct bytes text = json_str(json_get(body, "prompt"));
    uint64_t hash = text.n ? mix(0, text) : 0;
    for (size_t i = 0; json_is(messages, JSON_ARR) && i < 2 && i < json_len(messages); i++) {
        text = json_str(json_get(json_at(messages, i), "content"));
        if (text.n)
            hash = mix(hash + i, text);
    }
    return hash;
}

bool gate_is_hop(const struct gate *g, const struct http_exchange *x)
{
    int tag = http_tag(x);
    return tag >= 0 && (size_t)tag < g->door_count && g->doors[tag].mesh;
}

void route_end(struct greq *r, bool good)
{
    struct gate *g = r->gate;
    if (r->node[0] && g->args.outcome)
        g->args.outcome(g->args.user, r->node, r->meter ? r->meter->model : "", good);
    r->node[0] = 0;
}

static int ask(struct greq *r, struct gate_route *to, struct err *e)
{
    struct gate *g = r->gate;
    struct gate_want w = {.model = bytes_of(r->name),
                          .here = r->model,
                          .kind = r->endpoint == EP_EMBEDDING ? "embedding" : NULL,
                          .label = r->label,
                          .prefix = r->prefix,
                          .not_here = r->not_here,
                          .not = (const char (*)[GATE_NODE_MAX])r->not,
                          .not_count = r->not_count};
    return g->args.route(g->args.user, &w, to, e);
}

static void go(struct greq *r, const struct gate_route *to)
{
    struct gate *g = r->gate;
    memcpy(r->node, to->node, sizeof(r->node));
    r->price_in = to->price_in;
    r->price_out = to->price_out;
    r->model = NULL;
    r->meter = meter_model(g->args.meter, to->model, "mesh");
    r->stage = ST_RUNNING;
    r->granted_ns = timers_now_ns(g->args.timers);
    g->args.sent(g->args.user, r->node, to->model);
    greq_tell(r);
    relay_to(r, to);
}

// A key that is bound to models is held to them wherever they run.
static bool may(struct greq *r, const struct gate_route *to, struct err *e)
{
    return !r->key || key_model(r->key, bytes_of(to->model), e) == 0;
}

// A node that has it was not heard for a moment. It comes back, or it is dead: the request waits
// for that, not its client.
static void on_look(struct timer *t)
{
    struct greq *r = t->user;
    if (!route_out(r))
        greq_no_model(r, r->name);
}

static bool look_again(struct greq *r)
{
    if (r->looks == LOOKS_MAX || greq_prefers_no_wait(r))
        return false;
    r->looks++;
    r->waited = true;
    r->stage = ST_WAITING;
    r->speak.fn = on_look;
    r->speak.user = r;
    return timer_start(r->gate->args.timers, &r->speak, LOOK_MS) == 0;
}

bool route_out(struct greq *r)
{
    struct gate_route to = {0};
    struct err e = {0};
    int status = ask(r, &to, &e);
    if (status == 0 && to.here)
        return false;
    // With a model of its own this node says by itself why not; without, what the mesh says counts.
    if (status == E_SECURITY) {
        gate_label_nowhere(r, &e);
        return true;
    }
    if (status < 0 && (r->model || status == E_NOTFOUND))
        return false;
    if (status < 0 && to.soon && look_again(r))
        return true;
    if (status < 0 || !may(r, &to, &e))
        greq_fail(r, e.code, e.text, "model", e.code == E_UNAVAILABLE ? 1 : -1);
    else
        go(r, &to);
    return true;
}

// What was begun here or there is given back; r belongs to nobody then.
static void let_go(struct greq *r)
{
    struct gate *g = r->gate;
    struct http_call *call = r->call;
    r->call = NULL;
    if (call)
        http_call_cancel(call);
    route_end(r, false);
    if (!r->granted)
        return;
    models_done(g->args.models, &r->ticket, timers_now_ms(g->args.timers));
    r->granted = false;
    r->model = NULL; // it may be gone with that
    g->args.after(g->args.user);
}

bool route_again(struct greq *r)
{
    struct gate *g = r->gate;
    struct gate_route to = {0};
    struct err e = {0};
    if (!g->others || r->hop || r->first_ns || !r->name[0] || r->not_count >= GATE_TRIES_MAX)
        return false;
    struct model *before = r->model;
    struct model *here = r->node[0] ? models_find(g->args.models, bytes_of(r->name)) : before;
    if (r->node[0])
        memcpy(r->not[r->not_count++], r->node, GATE_NODE_MAX);
    else
        r->not_here = true;
    r->model = here;
    if (ask(r, &to, &e) < 0 || (!to.here && !may(r, &to, &e))) {
        r->model = before; // held by nothing here while another node has the request
        return false;
    }
    log_event(LOG_INFO, "gate.elsewhere", LOG_STR("request", r->id), LOG_STR("model", r->name),
              LOG_STR("from", r->node[0] ? r->node : "here"),
              LOG_STR("to", to.here ? "here" : to.node));
    meter_node(g->args.meter)->rerouted++;
    let_go(r);
    r->ticket = (struct model_ticket){0};
    r->waited = true; // its time is no measure of our own share
    if (!to.here) {
        go(r, &to);
        return true;
    }
    struct model_view v;
    r->model = models_find(g->args.models, bytes_of(r->name));
    if (!r->model) {
        greq_no_model(r, r->name);
        return true;
    }
    model_view(g->args.models, r->model, timers_now_ms(g->args.timers), &v);
    r->meter = meter_model(g->args.meter, v.name, v.engine);
    r->stage = ST_WAITING;
    r->aliased = strcmp(v.name, r->name) != 0;
    greq_want(r);
    return true;
}

void gate_others(struct gate *g, bool there)
{
    g->others = there && g->args.route;
}

void gate_close_nodes(struct gate *g, const char *why)
{
    struct greq_walk walk;
    struct greq *r;
    greq_walk_begin(g, &walk);
    while ((r = greq_walk_next(g, &walk)) != NULL) {
        if (r->node[0])
            relay_fail(r, E_UPSTREAM, why);
    }
}

void gate_node_gone(struct gate *g, const char *node, const char *why)
{
    struct greq_walk walk;
    struct greq *r;
    greq_walk_begin(g, &walk);
    while ((r = greq_walk_next(g, &walk)) != NULL) {
        if (strcmp(r->node, node) != 0 || route_again(r))
            continue;
        relay_fail(r, E_UPSTREAM, why);
    }
}
