// node_mesh_show.c: the mesh as JSON: GET /api/mesh and its event.
// SPDX-License-Identifier: Apache-2.0
#include "app/node_mesh_priv.h"
#include <stdio.h>
#include <string.h>

static int64_t now_of(const struct node_mesh *m)
{
    return timers_now_ms(loop_timers(m->node->loop));
}

static void put_label(const struct node_mesh *m, struct json_w *w, const char *key, struct label l)
{
    struct buf text;
    buf_init(&text, LABEL_TEXT_MAX);
    label_put(&text, m->names, l);
    json_w_str(w, key, buf_bytes(&text));
    buf_fini(&text);
}

static void put_time(struct json_w *w, const char *key, int64_t wall_ms)
{
    char when[TIME_TEXT_LEN + 1];
    time_text(wall_ms, when);
    json_w_cstr(w, key, when);
}

static void put_words(struct json_w *w, const char *key, const char *const *words)
{
    json_w_arr(w, key);
    for (; words && *words; words++)
        json_w_cstr(w, NULL, *words);
    json_w_end(w);
}

static void put_u64_text(struct json_w *w, const char *key, uint64_t value)
{
    json_w_i64(w, key, (int64_t)value); // wall milliseconds and counters: far below 2^53
}

static void put_models(const struct node_mesh *m, struct json_w *w, const struct mesh_sheet *s,
                       bool self)
{
    json_w_arr(w, "models");
    for (size_t i = 0; s && i < s->model_count; i++) {
        const struct mesh_model *x = &s->models[i];
        struct model *own = self ? models_find(m->node->models, bytes_of(x->name)) : NULL;
        struct model_view v = {.active = x->active, .waiting = x->waiting};
        if (own)
            model_view(m->node->models, own, now_of(m), &v);
        json_w_obj(w, NULL);
        json_w_cstr(w, "name", x->name);
        json_w_cstr(w, "kind", x->kind);
        json_w_cstr(w, "state", x->state);
        json_w_cstr(w, "tier", x->tier);
        json_w_u64(w, "context", x->context);
        json_w_u64(w, "slots", x->slots);
        json_w_u64(w, "active", v.active);
        json_w_u64(w, "waiting", v.waiting);
        put_words(w, "aliases", x->aliases);
        put_label(m, w, "clearance", x->clearance);
        put_label(m, w, "label", x->label);
        json_w_end(w);
    }
    json_w_end(w);
}

static void put_records(struct json_w *w, const char *key, const char *kind,
                        const struct mesh_sheet *s)
{
    json_w_arr(w, key);
    for (size_t i = 0; s && i < s->record_count; i++) {
        if (strcmp(s->records[i].kind, kind) != 0)
            continue;
        json_w_obj(w, NULL);
        json_w_cstr(w, "name", s->records[i].name);
        if (s->records[i].address)
            json_w_cstr(w, "address", s->records[i].address);
        json_w_end(w);
    }
    json_w_end(w);
}

static void put_node(const struct node_mesh *m, struct json_w *w, const struct mesh_node *x,
                     const char *domain)
{
    struct mesh_node_view v;
    char id[SPIFFE_ID_MAX + 1], environment[64] = "";
    int64_t now = now_of(m);
    mesh_node_view(m->mesh, x, now, &v);
    const struct mesh_sheet *s = v.sheet;
    (void)snprintf(id, sizeof(id), "spiffe://%s/node/%s", domain, v.name);
    if (s && s->context)
        (void)snprintf(environment, sizeof(environment), "%.*s", (int)strcspn(s->context, "."),
                       s->context);
    json_w_obj(w, NULL);
    json_w_cstr(w, "name", v.name);
    json_w_cstr(w, "id", id);
    json_w_bool(w, "self", v.self);
    json_w_cstr(w, "context", s ? s->context : "");
    json_w_cstr(w, "environment", environment);
    json_w_cstr(w, "state", mesh_state_name(v.state));
    json_w_bool(w, "draining", v.draining);
    json_w_cstr(w, "profile", s ? s->profile : "");
    put_words(w, "roles", s ? s->roles : NULL);
    put_words(w, "addresses", s ? s->addresses : NULL);
    if (s)
        put_label(m, w, "clearance", s->clearance);
    json_w_cstr(w, "version", s ? s->version : "");
    put_u64_text(w, "boot", v.boot);
    put_u64_text(w, "seq", v.seq);
    json_w_i64(w, "heard_ms", v.self ? 0 : now - v.heard_ms);
    json_w_i64(w, "since_ms", now - v.since_ms);
    json_w_u64(w, "rtt_us", v.rtt_us);
    json_w_u64(w, "active", v.active);
    json_w_u64(w, "waiting", v.waiting);
    json_w_u64(w, "in_flight", v.in_flight);
    json_w_u64(w, "memory_free", v.memory_free);
    json_w_u64(w, "requests", v.requests);
    json_w_u64(w, "failures", v.failures);
    json_w_bool(w, "breaker_open", v.breaker_open);
    put_models(m, w, s, v.self);
    put_records(w, "engines", "engine", s);
    put_records(w, "services", "service", s);
    put_records(w, "queues", "queue", s);
    json_w_end(w);
}

// What the model does, as the visual language has it: chat thinks, embeddings serve the nerves.
static const char *domain_of(const struct node_mesh *m, const struct mesh_traffic *t)
{
    struct mesh_node *n = mesh_find(m->mesh, bytes_of(t->node));
    struct mesh_node_view v;
    if (!n)
        return "organs";
    mesh_node_view(m->mesh, n, now_of(m), &v);
    for (size_t i = 0; v.sheet && i < v.sheet->model_count; i++) {
        const struct mesh_model *x = &v.sheet->models[i];
        if (strcmp(x->name, t->model) != 0)
            continue;
        return strcmp(x->kind, "chat") == 0 || strcmp(x->kind, "completion") == 0 ? "cognitive"
               : strcmp(x->kind, "embedding") == 0                                ? "nervous"
                                                                                  : "organs";
    }
    return "organs";
}

static void put_traffic(const struct node_mesh *m, struct json_w *w)
{
    json_w_arr(w, "traffic");
    for (size_t i = 0; m->links && i < m->traffic_count; i++) {
        const struct mesh_traffic *t = &m->traffic[i];
        struct mesh_node *n = mesh_find(m->mesh, bytes_of(t->node));
        struct mesh_node_view v = {.state = MESH_REMOVED};
        if (n)
            mesh_node_view(m->mesh, n, now_of(m), &v);
        bool sure = v.state == MESH_ALIVE && !v.breaker_open;
        json_w_obj(w, NULL);
        json_w_cstr(w, "from", m->self);
        json_w_cstr(w, "to", t->node);
        json_w_cstr(w, "model", t->model);
        json_w_u64(w, "active", t->active);
        json_w_u64(w, "requests", t->requests);
        json_w_i64(w, "last_ms", now_of(m) - t->last_ms);
        json_w_cstr(w, "style", !sure ? "tentative" : t->active ? "primary" : "async");
        json_w_cstr(w, "domain", domain_of(m, t));
        json_w_end(w);
    }
    json_w_end(w);
}

// A node that is alone: as one node of a mesh, so that readers need no second way.
static void put_alone(const struct node_mesh *m, struct json_w *w)
{
    const struct node *n = m->node;
    json_w_arr(w, "nodes");
    json_w_obj(w, NULL);
    json_w_cstr(w, "name", n->config->node_name);
    json_w_bool(w, "self", true);
    json_w_cstr(w, "context", n->config->context);
    json_w_cstr(w, "environment", n->config->environment);
    json_w_cstr(w, "state", "alive");
    json_w_bool(w, "draining", n->draining);
    json_w_cstr(w, "profile", n->config->profile);
    put_words(w, "roles", n->config->roles);
    put_words(w, "addresses", NULL);
    json_w_cstr(w, "version", PLEXUS_VERSION);
    uint64_t budget = models_memory_budget(n->models), used = models_memory_used(n->models);
    json_w_u64(w, "memory_free", budget > used ? budget - used : 0);
    json_w_arr(w, "models");
    for (struct model *x = NULL; (x = models_each(n->models, x)) != NULL;) {
        struct model_view v;
        model_view(n->models, x, now_of(m), &v);
        json_w_obj(w, NULL);
        json_w_cstr(w, "name", v.name);
        json_w_cstr(w, "kind", v.kind);
        json_w_cstr(w, "state", model_state_name(v.state));
        json_w_u64(w, "context", v.context);
        json_w_u64(w, "active", v.active);
        json_w_u64(w, "waiting", v.waiting);
        json_w_end(w);
    }
    json_w_end(w);
    json_w_end(w);
    json_w_end(w);
}

static void put_membership(const struct node_mesh *m, struct json_w *w, const struct member_view *v)
{
    const char *standby = m->authority ? authority_standby(m->authority) : "";
    json_w_cstr(w, "trust_domain", v->domain);
    json_w_cstr(w, "self", m->self);
    json_w_cstr(w, "context", m->node->config->context);
    json_w_cstr(w, "environment", m->node->config->environment);
    json_w_cstr(w, "authority", member_authority(m->member));
    json_w_cstr(w, "standby", *standby ? standby : NULL);
    json_w_bool(w, "is_authority", m->authority != NULL);
    put_u64_text(w, "epoch", v->epoch);
    json_w_obj(w, "svid");
    json_w_cstr(w, "id", v->id);
    json_w_cstr(w, "serial", v->serial);
    put_time(w, "not_before", v->not_before_ms);
    put_time(w, "expires", v->not_after_ms);
    json_w_bool(w, "expired", v->not_after_ms < time_wall_ms());
    json_w_end(w);
    json_w_cstr(w, "listen", m->listen);
    node_registry_show(m, w);
}

int node_mesh_show(struct node_mesh *m, struct buf *out)
{
    struct json_w w;
    json_w_init(&w, out);
    json_w_obj(&w, NULL);
    json_w_bool(&w, "joined", m->links != NULL);
    if (m->links) {
        struct member_view v;
        member_view(m->member, &v);
        put_membership(m, &w, &v);
        json_w_arr(&w, "nodes");
        for (struct mesh_node *x = NULL; (x = mesh_each(m->mesh, x)) != NULL;)
            put_node(m, &w, x, v.domain);
        json_w_end(&w);
    } else {
        json_w_cstr(&w, "self", m->node->config->node_name);
        json_w_cstr(&w, "context", m->node->config->context);
        json_w_cstr(&w, "environment", m->node->config->environment);
        put_alone(m, &w);
    }
    put_traffic(m, &w);
    json_w_end(&w);
    return out->failed;
}

int node_mesh_put(void *user, struct buf *out)
{
    struct node *n = user;
    return n->mesh ? node_mesh_show(n->mesh, out) : 0;
}
