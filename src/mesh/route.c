// route.c: where a request goes: can it, may it, then what it costs. Places of a model are found by
// its name; nothing allocates.
// Costs are microseconds of expected waiting. Constants are guesses that only order places; what is
// known (round trip, load time, estimate) is taken as it is.
// SPDX-License-Identifier: Apache-2.0
#include "mesh/mesh_priv.h"
#include <string.h>

#define REQUEST_US 500000 // one request before ours in a queue
#define SHARE_US 20000 // slowed down by the others in a machine's full set of slots
#define LOAD_UNKNOWN_US 15000000 // a load of which nothing is known
#define HOP_US 200 // a hop besides its round trip: issue 4's mark
#define RTT_UNKNOWN_US 500
#define AFFINITY_US 100000 // reading the prompt anew
#define TIER_NODE_US 50000 // edge first, then strong nodes, then cloud
#define TIER_CLOUD_US 2000000

enum verdict { CANNOT, FORBIDDEN, GONE, GOOD };

struct search {
    struct mesh *m;
    const struct mesh_want *w;
    const struct mesh_here *here;
    int64_t now_ms;
    uint32_t liked; // hash of the node that served this prefix last, 0: none
    uint32_t loaded, loaded_max;
    bool seen[GOOD + 1];
    struct mesh_choice warm, cold; // best of those that need no load, and of those that do
    uint64_t warm_tie, cold_tie;
    bool has_warm, has_cold;
};

// ---- can it, may it ----

static bool has_role(const struct mesh_node *n, const char *role)
{
    for (size_t i = 0; n->sheet.roles != NULL && n->sheet.roles[i] != NULL; i++)
        if (strcmp(n->sheet.roles[i], role) == 0)
            return true;
    return false;
}

static bool is_tried(const struct mesh_want *w, const struct mesh_node *n)
{
    for (size_t i = 0; i < w->not_count; i++)
        if (w->not[i] == n)
            return true;
    return false;
}

static const char *why_cannot(const struct mesh_want *w, const struct mesh_place *p)
{
    const struct mesh_model *x = p->model;
    if (w->kind != NULL && *x->kind != 0 && strcmp(x->kind, w->kind) != 0)
        return "is of another kind";
    if (w->context != 0 && x->context != 0 && x->context < w->context)
        return "has too short a context";
    if (!x->fits)
        return "does not fit its memory";
    if (w->role != NULL && !has_role(p->node, w->role))
        return "the node has not the role";
    return NULL;
}

static const char *why_gone(const struct mesh_want *w, const struct mesh_place *p, int64_t now_ms)
{
    const struct mesh_node *n = p->node;
    if (is_tried(w, n))
        return "was tried";
    if (n->state != MESH_ALIVE)
        return mesh_state_name(n->state);
    if (!n->current)
        return "its sheet is old";
    if (n->draining || strcmp(p->model->state, "DRAINING") == 0)
        return "is draining";
    if (strcmp(p->model->state, "FAILED") == 0)
        return "failed there";
    if (!mesh_breaker_closed(n, now_ms))
        return "requests failed there";
    return NULL;
}

static bool is_cloud(const struct mesh_place *p)
{
    return strcmp(p->model->tier, "cloud") == 0;
}

static bool node_may(const struct mesh_want *w, const struct mesh_place *p)
{
    const struct label_crossing x = {
        .op = LABEL_HOP, .data = w->label, .clearance = p->node->sheet.clearance};
    return label_decide(&x, NULL) == 0;
}

static bool model_may(const struct mesh_want *w, const struct mesh_place *p)
{
    const struct label_crossing x = {.op = is_cloud(p) ? LABEL_ASK_CLOUD : LABEL_ASK_MODEL,
                                     .data = w->label,
                                     .clearance = p->model->clearance};
    return label_decide(&x, NULL) == 0;
}

static enum verdict judge(const struct mesh_want *w, const struct mesh_place *p, int64_t now_ms,
                          const char **ret_why)
{
    *ret_why = why_cannot(w, p);
    if (*ret_why != NULL)
        return CANNOT;
    if (w->no_cloud && is_cloud(p)) {
        *ret_why = "cloud is not allowed for it";
        return FORBIDDEN;
    }
    if (!model_may(w, p) || !node_may(w, p)) {
        *ret_why = NULL; // the text has the labels
        return FORBIDDEN;
    }
    *ret_why = why_gone(w, p, now_ms);
    return *ret_why != NULL ? GONE : GOOD;
}

// Other environments do not exist for a request, nor does who said goodbye, nor what was not
// renewed.
static bool is_candidate(const struct mesh_place *p)
{
    const struct mesh_node *n = p->node;
    bool expired = !n->current && n->number.boot == n->life;
    return !n->self && n->same_environment && !mesh_ended(n) && !expired;
}

// ---- what it costs ----

static int64_t queue_us(uint64_t slots, uint64_t load)
{
    if (slots == 0)
        return (int64_t)(load * (SHARE_US / 16));
    if (load < slots)
        return (int64_t)(load * SHARE_US / slots);
    return SHARE_US + (int64_t)((load - slots) / slots + 1) * REQUEST_US;
}

static bool is_loaded(const struct mesh_model *x)
{
    return strcmp(x->state, "WARM") == 0 || strcmp(x->state, "LOADING") == 0;
}

static int64_t load_us(const struct mesh_model *x)
{
    if (strcmp(x->state, "WARM") == 0)
        return 0;
    if (strcmp(x->state, "LOADING") == 0 && x->eta_ms >= 0)
        return x->eta_ms * 1000;
    int64_t whole = x->load_ms >= 0 ? x->load_ms * 1000 : LOAD_UNKNOWN_US;
    return strcmp(x->state, "LOADING") == 0 ? whole / 2 : whole;
}

static int64_t tier_us(bool cloud, bool edge)
{
    return cloud ? TIER_CLOUD_US : edge ? 0 : TIER_NODE_US;
}

static int64_t place_us(const struct search *s, const struct mesh_place *p)
{
    const struct mesh_node *n = p->node;
    const struct mesh_model *x = p->model;
    uint64_t load = (uint64_t)x->active + x->waiting + n->fresh;
    int64_t cost = queue_us(x->slots, load) + load_us(x) + HOP_US +
                   (n->rtt_us != 0 ? n->rtt_us : RTT_UNKNOWN_US) +
                   tier_us(is_cloud(p), strcmp(x->tier, "edge") == 0);
    return s->liked != n->hash ? cost + AFFINITY_US : cost;
}

static int64_t here_us(const struct search *s)
{
    const struct mesh_here *h = s->here;
    int64_t load = h->warm ? 0 : h->wait_ms >= 0 ? h->wait_ms * 1000 : LOAD_UNKNOWN_US;
    int64_t cost =
        queue_us(h->slots, (uint64_t)h->active + h->waiting) + load + tier_us(h->cloud, h->edge);
    return s->liked != s->m->self->hash ? cost + AFFINITY_US : cost;
}

// ---- the choice ----

static void offer(struct search *s, const struct mesh_choice *c, bool loaded, uint64_t tie)
{
    struct mesh_choice *best = loaded ? &s->warm : &s->cold;
    uint64_t *best_tie = loaded ? &s->warm_tie : &s->cold_tie;
    bool *has = loaded ? &s->has_warm : &s->has_cold;
    if (*has && (c->cost_us > best->cost_us || (c->cost_us == best->cost_us && tie >= *best_tie)))
        return;
    *best = *c;
    *best_tie = tie;
    *has = true;
}

static void look_here(struct search *s, const struct mesh_place *own)
{
    const struct mesh_here *h = s->here;
    if (h == NULL || !h->have)
        return;
    bool loaded = h->warm || h->wait_ms > 0;
    enum verdict v = !h->may || (s->w->no_cloud && h->cloud) ? FORBIDDEN : !h->fits ? CANNOT : GOOD;
    if (v == GOOD && is_tried(s->w, s->m->self))
        v = GONE;
    s->seen[v] = true;
    if (loaded)
        s->loaded++;
    struct mesh_choice c = {.model = own != NULL ? own->model->name : NULL};
    if (v == GOOD) {
        c.cost_us = here_us(s);
        offer(s, &c, loaded, 0); // equal: here
    }
}

static void look_there(struct search *s, const struct mesh_place *p)
{
    const char *why;
    const struct mesh_model *x = p->model;
    enum verdict v = judge(s->w, p, s->now_ms, &why);
    bool loaded = is_loaded(x);
    s->seen[v] = true;
    if (loaded && p->node->state == MESH_ALIVE)
        s->loaded++;
    if (x->replicas_max > s->loaded_max)
        s->loaded_max = x->replicas_max;
    if (v != GOOD)
        return;
    struct mesh_choice c = {.node = p->node, .model = x->name, .cost_us = place_us(s, p)};
    offer(s, &c, loaded, p->node->tie);
}

static struct mesh_affinity *affinity(const struct search *s, struct bytes model, uint64_t *ret_key)
{
    if (s->w->prefix == 0)
        return NULL;
    *ret_key = s->w->prefix ^ bytes_hash(model);
    return &s->m->affinity[*ret_key & (MESH_AFFINITY - 1)];
}

static void remember(const struct search *s, const struct mesh_choice *c)
{
    uint64_t key = 0;
    struct mesh_affinity *a = affinity(s, s->w->model, &key);
    if (a == NULL)
        return;
    a->key = key;
    a->hash = c->node != NULL ? c->node->hash : s->m->self->hash;
}

static int refuse(const struct search *s, const struct mesh_name *x, struct err *e);

int mesh_route(struct mesh *m, const struct mesh_want *w, const struct mesh_here *here,
               int64_t now_ms, struct mesh_choice *ret, struct err *e)
{
    struct search s = {.m = m, .w = w, .here = here, .now_ms = now_ms};
    const struct mesh_name *x = map_get(m->by_model, w->model);
    const struct mesh_place *own = NULL;
    uint64_t key = 0;
    mesh_clock(m, now_ms);
    const struct mesh_affinity *a = affinity(&s, w->model, &key);
    if (a != NULL && a->key == key)
        s.liked = a->hash;
    if (x != NULL)
        list_each (it, &x->places) {
            const struct mesh_place *p = container_of(it, struct mesh_place, of_name);
            if (p->node->self) {
                own = p;
                s.loaded_max = p->model->replicas_max;
            } else if (is_candidate(p)) {
                look_there(&s, p);
            }
        }
    look_here(&s, own);
    // A further replica is woken only when there may be more, or none of those is usable.
    bool enough = s.has_warm && s.loaded_max != 0 && s.loaded >= s.loaded_max;
    if (!s.has_warm && !s.has_cold)
        return refuse(&s, x, e);
    bool warm = s.has_warm && (!s.has_cold || enough || s.warm.cost_us <= s.cold.cost_us);
    *ret = warm ? s.warm : s.cold;
    remember(&s, ret);
    return 0;
}

bool mesh_any(const struct mesh *m, struct bytes model)
{
    const struct mesh_name *x = map_get(m->by_model, model);
    if (x == NULL)
        return false;
    list_each (it, &x->places) {
        const struct mesh_place *p = container_of(it, struct mesh_place, of_name);
        const struct mesh_node *n = p->node;
        if (n->same_environment && n->current && n->state == MESH_ALIVE && !n->draining)
            return true;
    }
    return false;
}

// ---- why not ----

static void put_label(struct buf *b, const struct mesh *m, const char *of, struct label l)
{
    (void)buf_str(b, of);
    label_put(b, m->args.names, l);
}

static void put_reason(const struct search *s, struct buf *b, const struct mesh_place *p)
{
    const char *why;
    const struct label *clearance = &p->model->clearance;
    enum verdict v = judge(s->w, p, s->now_ms, &why);
    (void)buf_fmt(b, "; %s: ", p->node->name);
    if (why != NULL) {
        (void)buf_str(b, why);
    } else if (v == FORBIDDEN) {
        bool model = !model_may(s->w, p);
        put_label(b, s->m, model ? "model cleared for " : "node cleared for ",
                  model ? *clearance : p->node->sheet.clearance);
    }
}

static int refuse(const struct search *s, const struct mesh_name *x, struct err *e)
{
    static const struct {
        int code;
        const char *text;
    } heads[] = {
        [CANNOT] = {E_NOTFOUND, "no node can serve model"},
        [FORBIDDEN] = {E_SECURITY,
                       "SecurityViolationError: no place may get the request for model"},
        [GONE] = {E_UNAVAILABLE, "no node can serve now model"},
    };
    enum verdict v = s->seen[GONE] ? GONE : s->seen[FORBIDDEN] ? FORBIDDEN : CANNOT;
    const struct mesh_here *h = s->here;
    struct buf b;
    if (!s->seen[GONE] && !s->seen[FORBIDDEN] && !s->seen[CANNOT])
        return err_set(e, E_NOTFOUND, "no node has model %.*s", BYTES_FMT(s->w->model));
    buf_init(&b, ERR_TEXT_MAX);
    (void)buf_fmt(&b, "%s %.*s", heads[v].text, BYTES_FMT(s->w->model));
    if (s->seen[FORBIDDEN])
        put_label(&b, s->m, ", label ", s->w->label);
    if (h != NULL && h->have)
        (void)buf_fmt(&b, "; here: %s",
                      !h->may                      ? "label or role forbid it"
                      : s->w->no_cloud && h->cloud ? "cloud is not allowed for it"
                      : !h->fits                   ? "does not fit its memory"
                                                   : "was tried");
    if (x != NULL)
        list_each (it, &x->places)
            if (is_candidate(container_of(it, struct mesh_place, of_name)))
                put_reason(s, &b, container_of(it, struct mesh_place, of_name));
    int rc = err_set(e, heads[v].code, "%.*s", BYTES_FMT(buf_bytes(&b)));
    buf_fini(&b);
    return rc;
}
