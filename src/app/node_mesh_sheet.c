// node_mesh_sheet.c: what this node tells others about itself.
// SPDX-License-Identifier: Apache-2.0
#include "app/node_mesh_priv.h"
#include "text/url.h"
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static const struct config_model *config_of(const struct node *n, const char *name)
{
    for (size_t i = 0; i < n->config->model_count; i++)
        if (strcmp(n->config->models[i].name, name) == 0)
            return &n->config->models[i];
    return NULL;
}

static bool has_role(const struct node *n, const char *role)
{
    for (const char *const *r = n->config->roles; role && r && *r; r++)
        if (strcmp(*r, role) == 0)
            return true;
    return role == NULL;
}

static void put_model(const struct node_mesh *m, struct arena *a, const struct model *x,
                      struct mesh_model *to)
{
    const struct node *n = m->node;
    struct model_view v;
    struct gate_model_labels labels;
    model_view(n->models, x, timers_now_ms(loop_timers(n->loop)), &v);
    node_model_labels(m->node, x, &labels);
    const struct config_model *c = config_of(n, v.name);
    uint64_t budget = models_memory_budget(n->models);
    const char *tier = c && c->tier                                                    ? c->tier
                       : v.remote                                                      ? "cloud"
                       : n->config->profile && strcmp(n->config->profile, "edge") == 0 ? "edge"
                                                                                       : "node";
    *to = (struct mesh_model){
        .name = arena_str(a, bytes_of(v.name)),
        .kind = arena_str(a, bytes_of(v.kind ? v.kind : "")),
        .aliases = c ? c->aliases : NULL, // lives until the sheet was taken over
        .state = model_state_name(v.state),
        .tier = tier,
        .context = v.context,
        .slots = c ? c->slots : 0,
        .active = v.active,
        .waiting = v.waiting,
        .load_ms = v.remote             ? 0
                   : v.last_load_ms > 0 ? v.last_load_ms
                                        : -1,
        .eta_ms = v.state == MODEL_LOADING ? v.eta_ms : -1,
        .fits = v.state != MODEL_FAILED && has_role(n, c ? c->role : NULL) &&
                (!budget || v.memory_bytes <= budget),
        .replicas_min = c ? c->replicas_min : 0,
        .replicas_max = c ? c->replicas_max : 0,
        .price_in = c ? c->price_in : 0,
        .price_out = c ? c->price_out : 0,
        .clearance = labels.clearance,
        .label = labels.label,
    };
}

// Addresses of this machine that others may reach, at most three.
static size_t interfaces(struct arena *a, const char **to, uint16_t port)
{
    struct ifaddrs *all = NULL;
    size_t count = 0;
    if (getifaddrs(&all) != 0)
        return 0;
    for (int six = 0; six < 2; six++)
        for (const struct ifaddrs *i = all; i && count < 3; i = i->ifa_next) {
            char text[INET6_ADDRSTRLEN];
            if (!i->ifa_addr || (i->ifa_flags & IFF_LOOPBACK) || !(i->ifa_flags & IFF_UP) ||
                i->ifa_addr->sa_family != (six ? AF_INET6 : AF_INET))
                continue;
            const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)i->ifa_addr;
            const struct sockaddr_in *in4 = (const struct sockaddr_in *)(const void *)i->ifa_addr;
            if (six && IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr))
                continue;
            const void *raw = six ? (const void *)&in6->sin6_addr : (const void *)&in4->sin_addr;
            if (inet_ntop(six ? AF_INET6 : AF_INET, raw, text, sizeof(text)))
                to[count++] = arena_fmt(a, six ? "[%s]:%u" : "%s:%u", text, port);
        }
    freeifaddrs(all);
    return count;
}

static const char *const *addresses(const struct node_mesh *m, struct arena *a)
{
    const char *const *said = m->node->config->mesh_advertise;
    const char **list = arena_zalloc(a, (MESH_ADDRESSES_MAX + 1) * sizeof(*list));
    struct url_addr addr = {0};
    size_t count = 0;
    if (!list)
        return NULL;
    for (; said && *said && count < MESH_ADDRESSES_MAX; said++)
        list[count++] = *said;
    uint16_t port = links_port(m->links);
    (void)url_addr_parse(&addr, bytes_of(m->listen), NULL);
    bool all = !addr.host[0] || strcmp(addr.host, "0.0.0.0") == 0 || strcmp(addr.host, "::") == 0;
    if (!count && !all)
        list[count++] = arena_fmt(a, strchr(addr.host, ':') ? "[%s]:%u" : "%s:%u", addr.host, port);
    if (!count)
        count = interfaces(a, list, port);
    if (!count)
        list[count++] = arena_fmt(a, "127.0.0.1:%u", port);
    return list;
}

const char *node_profile(const struct node *n)
{
    const char *said = n->config->profile;
    if (said && strcmp(said, "auto") != 0)
        return said;
    size_t local = 0;
    for (size_t i = 0; i < n->config->model_count; i++)
        local += strcmp(n->config->models[i].engine, "remote") != 0;
    return local == 0 && n->profile && strcmp(n->profile->machine_class, "edge") == 0 ? "edge"
                                                                                      : "server";
}

int node_mesh_sheet(struct node_mesh *m, struct arena *a, struct mesh_sheet *ret)
{
    const struct node *n = m->node;
    size_t models = 0, records = 0, queues = 0;
    while (node_queues(n)[queues])
        queues++;
    for (struct model *x = NULL; (x = models_each(n->models, x)) != NULL;)
        models++;
    struct mesh_model *list = arena_zalloc(a, (models + 1) * sizeof(*list));
    struct mesh_record *rows = arena_zalloc(a, (models + queues + 4) * sizeof(*rows));
    if (!list || !rows)
        return E_NOMEM;
    size_t at = 0;
    for (struct model *x = NULL; (x = models_each(n->models, x)) != NULL;) {
        struct model_view v;
        put_model(m, a, x, &list[at++]);
        model_view(n->models, x, timers_now_ms(loop_timers(n->loop)), &v);
        size_t seen = 0;
        while (seen < records && strcmp(rows[seen].name, v.engine) != 0)
            seen++;
        if (seen == records)
            rows[records++] =
                (struct mesh_record){.kind = "engine", .name = arena_str(a, bytes_of(v.engine))};
    }
    const char *profile = node_profile(n);
    const char *const *where = addresses(m, a);
    const char *bus = where && *where ? node_bus_address(n, a, *where) : NULL;
    rows[records++] = (struct mesh_record){
        .kind = "service", .name = "gateway", .address = *n->address ? n->address : NULL};
    if (m->authority)
        rows[records++] = (struct mesh_record){.kind = "service", .name = "authority"};
    if (bus)
        rows[records++] = (struct mesh_record){.kind = "service", .name = "nats", .address = bus};
    for (size_t i = 0; i < queues; i++)
        rows[records++] = (struct mesh_record){.kind = "queue", .name = node_queues(n)[i]};
    *ret = (struct mesh_sheet){.node = m->self,
                               .context = n->config->context,
                               .version = PLEXUS_VERSION,
                               .profile = profile,
                               .ttl_ms = 30000,
                               .draining = m->draining || n->draining,
                               .leaving = m->leaving,
                               .addresses = where,
                               .roles = n->config->roles,
                               .models = list,
                               .model_count = models,
                               .records = rows,
                               .record_count = records};
    struct member_view v;
    member_view(m->member, &v);
    ret->clearance = (struct label){.level = LABEL_INTERNAL};
    if (v.grant && v.grant->clearance && *v.grant->clearance)
        (void)label_parse(m->names, bytes_of(v.grant->clearance), &ret->clearance, NULL);
    return ret->addresses ? 0 : E_NOMEM;
}
