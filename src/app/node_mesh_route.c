// node_mesh_route.c: where the gate's requests go when there are other nodes, and what went where.
// SPDX-License-Identifier: Apache-2.0
#include "app/node_mesh_priv.h"
#include "base/map.h"
#include <stdio.h>
#include <string.h>

// The node that serves has its own, shorter deadlines; these only end what hangs for another
// reason than its death, which beats tell.
#define FIRST_BYTE_MS (20 * 60 * 1000)
#define SILENCE_MS (15 * 60 * 1000)

static int64_t now_of(const struct node_mesh *m)
{
    return timers_now_ms(loop_timers(m->node->loop));
}

static void here_of(const struct node_mesh *m, const struct gate_want *w, struct mesh_here *ret)
{
    const struct node *n = m->node;
    struct model_view v;
    *ret = (struct mesh_here){0};
    if (!w->here || w->not_here)
        return;
    model_view(n->models, w->here, now_of(m), &v);
    uint64_t budget = models_memory_budget(n->models);
    const struct mesh_model *own = NULL;
    struct mesh_node_view self;
    struct gate_model_labels labels;
    node_model_labels(m->node, w->here, &labels);
    const struct label_crossing told = {.op = labels.cloud ? LABEL_ASK_CLOUD : LABEL_ASK_MODEL,
                                        .data = w->label,
                                        .clearance = labels.clearance};
    mesh_node_view(m->mesh, mesh_self_node(m->mesh), now_of(m), &self);
    for (size_t i = 0; self.sheet && i < self.sheet->model_count && !own; i++)
        if (strcmp(self.sheet->models[i].name, v.name) == 0)
            own = &self.sheet->models[i];
    *ret = (struct mesh_here){.have = true,
                              .may = !m->draining && !n->draining && label_decide(&told, NULL) == 0,
                              .fits = v.state != MODEL_FAILED && (!own || own->fits) &&
                                      (!budget || v.memory_bytes <= budget),
                              .warm = v.state == MODEL_WARM,
                              .cloud = own && strcmp(own->tier, "cloud") == 0,
                              .slots = own ? own->slots : 0,
                              .active = v.active,
                              .waiting = v.waiting,
                              .wait_ms = v.state == MODEL_WARM ? 0
                                         : v.eta_ms >= 0       ? v.eta_ms
                                         : v.last_load_ms > 0  ? v.last_load_ms
                                                               : -1};
}

static int put_headers(struct node_mesh *m, const struct gate_want *w)
{
    buf_clear(&m->hop);
    (void)buf_fmt(&m->hop, "X-Plexus-Hop: %s\r\nX-Plexus-Label: ", m->self);
    label_put(&m->hop, m->names, w->label);
    return buf_str(&m->hop, "\r\n");
}

// Is somebody who has it silent, but not dead? Soon it is one or the other.
static bool silent_has(const struct node_mesh *m, struct bytes model, struct mesh_node *const *not,
                       size_t not_count)
{
    for (struct mesh_node *x = NULL; (x = mesh_each(m->mesh, x)) != NULL;) {
        struct mesh_node_view v;
        bool tried = false;
        mesh_node_view(m->mesh, x, now_of(m), &v);
        for (size_t i = 0; i < not_count; i++)
            tried = tried || not[i] == x;
        if (tried || v.state != MESH_SUSPECT || !v.sheet || !v.same_environment || v.draining)
            continue;
        for (size_t i = 0; i < v.sheet->model_count; i++) {
            const struct mesh_model *y = &v.sheet->models[i];
            if (bytes_is(model, y->name))
                return true;
            for (size_t k = 0; y->aliases && y->aliases[k]; k++)
                if (bytes_is(model, y->aliases[k]))
                    return true;
        }
    }
    return false;
}

static bool alone(const struct node_mesh *m)
{
    return mesh_count(m->mesh, MESH_ALIVE) + mesh_count(m->mesh, MESH_SUSPECT) +
               mesh_count(m->mesh, MESH_DEAD) <=
           1;
}

static void put_price(const struct mesh_sheet *s, struct gate_route *ret)
{
    for (size_t i = 0; s && i < s->model_count; i++)
        if (strcmp(s->models[i].name, ret->model) == 0) {
            ret->price_in = s->models[i].price_in;
            ret->price_out = s->models[i].price_out;
        }
}

static int route(void *user, const struct gate_want *w, struct gate_route *ret, struct err *e)
{
    struct node *n = user;
    struct node_mesh *m = n->mesh;
    struct mesh_node *not[GATE_TRIES_MAX * 2];
    struct mesh_choice choice;
    struct mesh_here here;
    *ret = (struct gate_route){0};
    if (!m || !m->links || alone(m)) {
        ret->here = w->here && !w->not_here;
        return ret->here ? 0 : err_set(e, E_NOTFOUND, "no other node has it");
    }
    here_of(m, w, &here);
    struct mesh_want want = {
        .model = w->model, .kind = w->kind, .label = w->label, .prefix = w->prefix, .not = not};
    for (size_t i = 0; i < w->not_count; i++)
        if ((not[want.not_count] = mesh_find(m->mesh, bytes_of(w->not[i]))) != NULL)
            want.not_count++;
    for (int tries = 0; tries < GATE_TRIES_MAX; tries++) {
        int status = mesh_route(m->mesh, &want, &here, now_of(m), &choice, e);
        if (status < 0) {
            ret->soon = status == E_UNAVAILABLE && silent_has(m, w->model, not, want.not_count);
            return status;
        }
        if (!choice.node) {
            ret->here = true;
            return 0;
        }
        struct mesh_node_view v;
        struct http_pool *pool = links_pool(m->links, choice.node);
        mesh_node_view(m->mesh, choice.node, now_of(m), &v);
        if (pool) {
            (void)snprintf(ret->node, sizeof(ret->node), "%s", v.name);
            (void)snprintf(ret->model, sizeof(ret->model), "%s", choice.model);
            put_price(v.sheet, ret);
            ret->up = (struct gate_upstream){.pool = pool,
                                             .auth = "",
                                             .base_path = "/v1",
                                             .first_byte_ms = FIRST_BYTE_MS,
                                             .silence_ms = SILENCE_MS};
            if (put_headers(m, w) < 0)
                return err_set(e, E_NOMEM, "out of memory");
            ret->headers = buf_bytes(&m->hop);
            return 0;
        }
        not[want.not_count++] = choice.node;
    }
    return err_set(e, E_UNAVAILABLE, "there is no link to the nodes that have the model");
}

// ---- what went where ---------------------------------------------------------------------------

static struct mesh_traffic *row_find(struct node_mesh *m, const char *node, const char *model)
{
    for (size_t i = 0; i < m->traffic_count; i++)
        if (strcmp(m->traffic[i].node, node) == 0 && strcmp(m->traffic[i].model, model) == 0)
            return &m->traffic[i];
    return NULL;
}

static struct mesh_traffic *row_of(struct node_mesh *m, const char *node, const char *model)
{
    struct mesh_traffic *t = row_find(m, node, model), *oldest = &m->traffic[0];
    if (t)
        return t;
    for (size_t i = 0; i < m->traffic_count; i++) {
        t = &m->traffic[i];
        if (oldest->active || (!t->active && t->last_ms < oldest->last_ms))
            oldest = t;
    }
    t = m->traffic_count < MESH_TRAFFIC_MAX ? &m->traffic[m->traffic_count++] : oldest;
    *t = (struct mesh_traffic){0};
    (void)snprintf(t->node, sizeof(t->node), "%s", node);
    (void)snprintf(t->model, sizeof(t->model), "%s", model);
    return t;
}

static void sent(void *user, const char *node, const char *model)
{
    struct node *n = user;
    struct node_mesh *m = n->mesh;
    struct mesh_node *x = m && m->mesh ? mesh_find(m->mesh, bytes_of(node)) : NULL;
    if (!x)
        return;
    mesh_sent(m->mesh, x);
    meter_node(n->meter)->hops_sent++;
    struct mesh_traffic *t = row_of(m, node, model);
    t->active++;
    t->requests++;
    t->last_ms = now_of(m);
    ctl_mesh_changed(n->ctl);
}

static void outcome(void *user, const char *node, const char *model, bool good)
{
    struct node *n = user;
    struct node_mesh *m = n->mesh;
    struct mesh_node *x = m && m->mesh ? mesh_find(m->mesh, bytes_of(node)) : NULL;
    struct mesh_traffic *t = m ? row_find(m, node, model) : NULL;
    if (t && t->active) // also when the node is forgotten by now
        t->active--;
    if (!x)
        return;
    struct mesh_node_view before, after;
    mesh_node_view(m->mesh, x, now_of(m), &before);
    mesh_outcome(m->mesh, x, good, now_of(m));
    mesh_node_view(m->mesh, x, now_of(m), &after);
    meter_node(n->meter)->hop_failures += !good;
    meter_node(n->meter)->breaker_opens += after.breaker_open && !before.breaker_open;
    ctl_mesh_changed(n->ctl);
}

// ---- who comes in, and what all nodes have -----------------------------------------------------

static int peer(void *user, const struct net_peer *who, struct err *e)
{
    struct node *n = user;
    if (!n->mesh || !n->mesh->links)
        return err_set(e, E_FORBIDDEN, "this node is in no mesh");
    return links_peer(n->mesh->links, who, e);
}

// Tokens name this audience, whatever the mesh is called.
static int jwt(void *user, struct bytes token, unsigned scope, struct err *e)
{
    struct node *n = user;
    struct spiffe_jwt said;
    if (!n->mesh || !n->mesh->member)
        return err_set(e, E_UNAUTH, "this node is in no mesh: it knows no such tokens");
    int status =
        member_jwt_check(n->mesh->member, token, BYTES("plexus"), time_wall_ms(), &said, e);
    if (status < 0)
        return status;
    unsigned scopes = said.scopes ? said.scopes : SCOPE_MODELS;
    if (!(scopes & scope))
        return err_set(e, E_FORBIDDEN, "the token of %s has not the scope for this", said.id);
    log_event(LOG_DEBUG, "gate.jwt", LOG_STR("id", said.id));
    return 0;
}

static int peer_clearance(void *user, const struct net_peer *who, struct label *ret, struct err *e)
{
    struct node *n = user;
    struct spiffe_id id;
    struct mesh_node_view v = {0};
    struct mesh_node *x = NULL;
    if (n->mesh && n->mesh->mesh && who->id && spiffe_parse(&id, bytes_of(who->id), NULL) == 0)
        x = mesh_find(n->mesh->mesh, spiffe_node(&id));
    if (x)
        mesh_node_view(n->mesh->mesh, x, now_of(n->mesh), &v);
    if (!v.sheet)
        return err_set(e, E_UNAVAILABLE, "nothing is known of node %s yet",
                       who->id ? who->id : "?");
    *ret = v.sheet->clearance;
    return 0;
}

int node_mesh_clearance(struct node *n, const struct net_peer *who, struct label *ret,
                        struct err *e)
{
    return peer_clearance(n, who, ret, e);
}

struct http_pool *node_mesh_pool(struct node *n, const char *name)
{
    struct mesh_node *x =
        n->mesh && n->mesh->mesh ? mesh_find(n->mesh->mesh, bytes_of(name)) : NULL;
    return x && n->mesh->links ? links_pool(n->mesh->links, x) : NULL;
}

static void put_other(struct json_w *w, const struct mesh_model *x, const char *node)
{
    json_w_obj(w, NULL);
    json_w_cstr(w, "id", x->name);
    json_w_cstr(w, "object", "model");
    json_w_i64(w, "created", 0);
    json_w_cstr(w, "owned_by", node);
    json_w_cstr(w, "kind", x->kind);
    json_w_cstr(w, "state", x->state);
    if (x->context)
        json_w_u64(w, "context", x->context);
    json_w_cstr(w, "node", node);
    json_w_end(w);
}

static void others(void *user, struct json_w *w, const struct key *key)
{
    struct node *n = user;
    struct node_mesh *m = n->mesh;
    struct map *seen = m && m->mesh ? map_new(4096) : NULL;
    if (!seen)
        return;
    for (struct mesh_node *x = NULL; (x = mesh_each(m->mesh, x)) != NULL;) {
        struct mesh_node_view v;
        mesh_node_view(m->mesh, x, now_of(m), &v);
        if (v.self || !v.sheet || !v.same_environment || v.state != MESH_ALIVE)
            continue;
        for (size_t i = 0; i < v.sheet->model_count; i++) {
            struct bytes name = bytes_of(v.sheet->models[i].name);
            if (models_find(n->models, name) || map_get(seen, name) ||
                (key && key_model(key, name, NULL) < 0))
                continue;
            (void)map_put(seen, name, x, NULL);
            put_other(w, &v.sheet->models[i], v.name);
        }
    }
    map_free(seen);
}

void node_mesh_gate(struct node *n, struct gate_args *args)
{
    (void)n;
    args->route = route;
    args->sent = sent;
    args->outcome = outcome;
    args->peer = peer;
    args->jwt = jwt;
    args->peer_clearance = peer_clearance;
    args->others = others;
}

bool node_mesh_handle(struct node *n, struct http_exchange *x)
{
    // Through its own door only: another one may be without TLS.
    return n->mesh && n->mesh->links && http_tag(x) == n->mesh->tag &&
           links_handle(n->mesh->links, x);
}
