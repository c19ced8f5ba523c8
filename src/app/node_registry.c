// node_registry.c: this node's sheet in a registry that all nodes can reach, and theirs out of it.
// What comes out is checked as what comes over a link (links_take); that a record went says nothing
// about its node, which the links watch themselves.
// SPDX-License-Identifier: Apache-2.0
#include "app/node_mesh_priv.h"
#include "base/alloc.h"
#include "port/registry.h"
#include <stdio.h>
#include <string.h>

#define TOLD_MS 60000 // bad records are told to the log so many times in so long
#define TOLD_MAX 8

struct node_registry {
    struct node_mesh *m;
    struct registry *r;
    struct net_tls *tls;
    struct buf told; // what was put there last
    int64_t refused_ms; // when the first of those that count was told
    unsigned refused;
    bool closing;
};

static int64_t now(const struct node_registry *x)
{
    return timers_now_ms(loop_timers(x->m->node->loop));
}

static void on_seen(void *user, struct bytes node, struct bytes text)
{
    struct node_registry *x = user;
    struct err e = {0};
    if (x->closing || links_take(x->m->links, text, &e) >= 0)
        return;
    meter_node(x->m->node->meter)->links_refused++;
    if (!x->refused || now(x) - x->refused_ms >= TOLD_MS) {
        x->refused_ms = now(x);
        x->refused = 0;
    }
    if (++x->refused > TOLD_MAX)
        return;
    log_event(LOG_WARN, "registry.refused", LOG_BYTES("node", node), LOG_STR("why", e.text));
}

static void on_gone(void *user, struct bytes node, bool expired)
{
    (void)user;
    log_event(LOG_DEBUG, "registry.gone", LOG_BYTES("node", node), LOG_BOOL("expired", expired));
}

static void free_it(struct node_registry *x)
{
    net_tls_free(x->tls);
    buf_fini(&x->told);
    mem_free(x);
}

static void on_status(void *user, enum registry_status status, const struct err *e)
{
    struct node_registry *x = user;
    struct node_mesh *m = x->m;
    struct registry_stats v;
    switch (status) {
    case REGISTRY_CONNECTING:
        log_event(LOG_WARN, "registry.unreachable", LOG_STR("why", e ? e->text : ""));
        break;
    case REGISTRY_CONNECTED:
    case REGISTRY_BACK:
        registry_stats(x->r, &v);
        log_event(LOG_INFO, status == REGISTRY_BACK ? "registry.back" : "registry.connected",
                  LOG_STR("server", v.server));
        break;
    case REGISTRY_LOST:
        log_event(LOG_WARN, "registry.lost", LOG_STR("why", e ? e->text : ""));
        break;
    case REGISTRY_CLOSED:
        m->registries--;
        free_it(x);
        node_check_ended(m->node);
        break;
    }
}

static int open_it(struct node_registry *x, struct err *e)
{
    struct node *n = x->m->node;
    const struct config *c = n->config;
    bool of_bus = c->registry_of_bus;
    const char *ca = of_bus ? c->bus_ca : c->registry_ca;
    int status = 0;
    if (strncmp(c->registry_url, "tls://", 6) == 0 || ca)
        status = net_tls_new(&x->tls, &(struct net_tls_args){.ca_file = ca}, e);
    struct registry_args args = {
        .timers = loop_timers(n->loop),
        .net = loop_net(n->loop),
        .node = x->m->self,
        .environment = c->environment,
        .seen = on_seen,
        .gone = on_gone,
        .on_status = on_status,
        .user = x,
        .ttl_ms = c->registry_ttl_ms,
        .text_bytes_max = MEMBER_SHEET_MAX,
        .url = c->registry_url,
        .user_name = of_bus ? c->bus_user : c->registry_user,
        .password = secret_reveal(of_bus ? &c->bus_password : &c->registry_password),
        .token = secret_reveal(of_bus ? &c->bus_token : &c->registry_token),
        .tls = x->tls};
    return status < 0 ? status : registry_engine_find("nats")->open(&args, &x->r, e);
}

// It is a help, no need: where it cannot be opened, the links go on alone.
void node_registry_open(struct node_mesh *m)
{
    struct err e = {0};
    struct node_registry *x = NULL;
    if (!m->node->config->registry_url)
        return;
    x = mem_new(struct node_registry);
    if (x) {
        x->m = m;
        buf_init(&x->told, MEMBER_SHEET_MAX);
    }
    if (!x || open_it(x, &e) < 0) {
        log_event(LOG_ERROR, "registry.failed", LOG_STR("why", x ? e.text : "out of memory"));
        if (x)
            free_it(x);
        return;
    }
    m->registry = x;
    m->registries++;
    node_registry_tell(m);
}

void node_registry_tell(struct node_mesh *m)
{
    struct node_registry *x = m->registry;
    struct bytes sheet = links_sheet(m->links);
    struct err e = {0};
    if (!x || !sheet.n || bytes_eq(sheet, buf_bytes(&x->told)))
        return;
    buf_clear(&x->told);
    (void)buf_put(&x->told, sheet);
    if (registry_put(x->r, sheet, &e) < 0)
        log_event(LOG_ERROR, "registry.failed", LOG_STR("why", e.text));
}

void node_registry_close(struct node_mesh *m)
{
    struct node_registry *x = m->registry;
    if (!x)
        return;
    m->registry = NULL;
    x->closing = true;
    registry_remove(x->r);
    registry_close(x->r);
}

void node_registry_show(const struct node_mesh *m, struct json_w *w)
{
    static const char *const names[] = {"connecting", "connected", "lost", "connected", "closed"};
    struct registry_stats v;
    json_w_obj(w, "registry");
    json_w_cstr(w, "engine", m->registry ? "nats" : "links");
    if (m->registry) {
        registry_stats(m->registry->r, &v);
        json_w_cstr(w, "status", names[v.status]);
        json_w_cstr(w, "server", v.server);
        json_w_u64(w, "others", v.nodes);
        json_w_u64(w, "puts", v.puts);
        json_w_u64(w, "failed", v.failed);
        json_w_u64(w, "dropped", v.dropped);
        json_w_cstr(w, "note", *v.note ? v.note : NULL);
    }
    json_w_end(w);
}
