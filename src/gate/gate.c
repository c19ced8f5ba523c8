// gate.c: the gate's life and its routes.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "gate/gate_priv.h"
#include <string.h>

int gate_new(struct gate **ret, const struct gate_args *args, struct err *e)
{
    struct gate *g = mem_new(struct gate);
    if (!g)
        return err_set(e, E_NOMEM, "gate: out of memory");
    g->args = *args;
    g->labels.own = LABEL_ALL;
    list_init(&g->requests);
    list_init(&g->free);
    buf_init(&g->line, 64 * 1024);
    buf_init(&g->extra, 64 * 1024);
    g->guest = key_guest_new("jwt", (struct label){.level = LABEL_INTERNAL});
    int status = g->guest ? schemas_load(g, e) : err_set(e, E_NOMEM, "gate: out of memory");
    if (status < 0) {
        gate_free(g);
        return status;
    }
    *ret = g;
    return 0;
}

void gate_free(struct gate *g)
{
    if (!g)
        return;
    list_each_safe (it, &g->free)
        mem_free(container_of(it, struct greq, link));
    for (int i = 0; i < EP_COUNT; i++) {
        schema_free(g->schemas[i]);
        json_free(g->schema_docs[i]);
    }
    buf_fini(&g->line);
    buf_fini(&g->extra);
    mem_free(g->doors);
    key_guest_free(g->guest);
    mem_free(g);
}

void gate_doors(struct gate *g, const struct gate_door *doors, size_t count)
{
    struct gate_door *copy = mem_array(count + 1, sizeof(*doors));
    if (!copy)
        return; // the old ones stay
    memcpy(copy, doors, count * sizeof(*doors));
    mem_free(g->doors);
    g->doors = copy;
    g->door_count = count;
}

void gate_names(struct gate *g, const char *const *hosts, const char *const *origins)
{
    g->hosts = hosts;
    g->origins = origins;
}

void gate_labels(struct gate *g, const struct gate_labels *l)
{
    g->labels = *l;
}

bool gate_is_model_path(const struct http_head *h)
{
    return bytes_starts(h->path, BYTES("/v1/")) && bytes_is(h->method, "POST");
}

// Operations of the node's API that change nothing of the node itself need less than admin.
static const struct {
    const char *begin, *end;
    unsigned scope;
} lesser[] = {{"/api/tools/", "/call", SCOPE_MODELS},
              {"/api/flows/events", "/events", SCOPE_MODELS},
              {"/api/flows/check", "/check", SCOPE_READ}};

static unsigned api_needs(const struct http_head *h)
{
    bool reads = bytes_is(h->method, "GET") || bytes_is(h->method, "HEAD");
    for (size_t i = 0; !reads && i < sizeof lesser / sizeof *lesser; i++)
        if (bytes_starts(h->path, bytes_of(lesser[i].begin)) &&
            bytes_ends(h->path, bytes_of(lesser[i].end)))
            return lesser[i].scope;
    return reads ? SCOPE_READ : SCOPE_ADMIN;
}

// What a request needs, by its path and method.
static unsigned needs_of(const struct http_head *h)
{
    if (bytes_starts(h->path, BYTES("/v1/")))
        return SCOPE_MODELS;
    if (bytes_starts(h->path, BYTES("/health")))
        return 0;
    if (bytes_starts(h->path, BYTES("/api/")))
        return api_needs(h);
    if (bytes_is(h->path, "/metrics"))
        return SCOPE_READ;
    return 0; // the page itself is no secret; what it shows is
}

static int on_head(void *user, struct http_exchange *x)
{
    struct gate *g = *(void **)user;
    struct key *key = NULL;
    unsigned scopes = 0;
    if (gate_preflight(g, x))
        return 1;
    if (gate_admit(g, x, needs_of(http_request(x)), &scopes, &key) != 0)
        return 1;
    // Until a request object owns the exchange, the key travels as its user; the gate itself says
    // that a node asks, also when its door is gone by the time the body is there.
    http_own(x, gate_is_hop(g, x) ? (void *)g : (void *)key, NULL, NULL);
    if (g->args.other_head && !gate_is_model_path(http_request(x)))
        return g->args.other_head(g->args.user, x);
    return 0;
}

static void on_request(void *user, struct http_exchange *x)
{
    struct gate *g = *(void **)user;
    const struct http_head *h = http_request(x);
    bool hop = http_owner(x) == g;
    struct key *key = hop ? NULL : http_owner(x);
    if (gate_is_model_path(h)) {
        gate_model_request(g, x, key, hop);
        return;
    }
    if (hop) {
        if (!g->args.other || !g->args.other(g->args.user, x, 0))
            http_reply_error(x, E_UNAVAILABLE, "this node is in no mesh any more", NULL, -1);
        return;
    }
    if (gate_page(g, x))
        return;
    unsigned scopes = SCOPE_ALL;
    if (key) {
        struct key_view v;
        key_view(key, &v);
        scopes = v.scopes;
    }
    if (g->args.other && g->args.other(g->args.user, x, scopes))
        return;
    http_reply_error(x, E_NOTFOUND, "there is nothing here; the model API is below /v1/", NULL, -1);
}

static void on_refused(void *user, const struct net_peer *peer, int code, const char *why)
{
    struct gate *g = *(void **)user;
    struct meter_node *n = meter_node(g->args.meter);
    n->refused++;
    if (!peer)
        n->over_limit++;
    log_event(LOG_DEBUG, "gate.refused", LOG_STR("peer", peer ? peer->text : NULL),
              LOG_STR("code", err_info(code)->symbol), LOG_STR("why", why));
}

struct http_routes gate_routes(void **gate_slot)
{
    return (struct http_routes){
        .on_head = on_head, .on_request = on_request, .on_refused = on_refused, .user = gate_slot};
}

static struct greq *of_ticket(struct model_ticket *t)
{
    return container_of(t, struct greq, ticket);
}

void gate_granted(struct gate *g, struct model_ticket *t)
{
    struct greq *r = of_ticket(t);
    (void)g;
    r->waiting = false;
    r->granted = true;
    wait_end(r);
    greq_start(r);
}

void gate_refused(struct gate *g, struct model_ticket *t, const struct err *e)
{
    struct greq *r = of_ticket(t);
    (void)g;
    r->waiting = false;
    wait_end(r);
    greq_refuse(r, e);
}

void gate_close(struct gate *g, struct model *m, int code, const char *why)
{
    struct greq_walk walk;
    struct greq *r;
    greq_walk_begin(g, &walk);
    while ((r = greq_walk_next(g, &walk)) != NULL) {
        if (m && r->model != m)
            continue;
        if (r->stage == ST_RUNNING)
            relay_fail(r, code, why);
        else if (!m && r->stage == ST_WAITING)
            greq_fail(r, code, why, NULL, 1);
    }
    g->args.after(g->args.user);
}

bool gate_next(struct gate *g, void **at, struct gate_request_view *ret)
{
    struct list *next = *at ? ((struct list *)*at)->next : g->requests.next;
    *at = next;
    if (next == &g->requests)
        return false;
    greq_view(container_of(next, struct greq, link), ret);
    return true;
}

void gate_totals(const struct gate *g, struct gate_totals *ret)
{
    *ret = g->totals;
}
