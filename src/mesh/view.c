// view.c: what others may see of the nodes.
// SPDX-License-Identifier: Apache-2.0
#include "mesh/mesh_priv.h"

struct mesh_node *mesh_find(const struct mesh *m, struct bytes name)
{
    return map_get(m->by_name, name);
}

struct mesh_node *mesh_each(const struct mesh *m, struct mesh_node *after)
{
    const struct list *next = after == NULL ? m->all.next : after->all.next;
    return next == &m->all ? NULL : container_of(next, struct mesh_node, all);
}

struct mesh_node *mesh_self_node(const struct mesh *m)
{
    return m->self;
}

bool mesh_raw(const struct mesh *m, const struct mesh_node *n, struct bytes *ret)
{
    (void)m;
    if (!n->current || n->raw.p == NULL)
        return false;
    *ret = n->raw;
    return true;
}

void mesh_node_view(const struct mesh *m, const struct mesh_node *n, int64_t now_ms,
                    struct mesh_node_view *ret)
{
    (void)m;
    *ret = (struct mesh_node_view){
        .sheet = n->has_sheet ? &n->sheet : NULL,
        .name = n->name,
        .state = n->state,
        .self = n->self,
        .same_environment = n->same_environment,
        .draining = n->draining,
        .since_ms = n->since_ms,
        .heard_ms = n->self ? now_ms : n->heard_ms,
        .rtt_us = n->rtt_us,
        .active = n->active,
        .waiting = n->waiting,
        .in_flight = n->in_flight,
        .memory_free = n->memory_free,
        .requests = n->requests,
        .failures = n->failures,
        .boot = n->life,
        .seq = n->number.boot == n->life ? n->number.seq : 0,
        .breaker_open = n->open_pause_ms != 0,
    };
}

void *mesh_user(const struct mesh_node *n)
{
    return n->user;
}

void mesh_set_user(struct mesh_node *n, void *user)
{
    n->user = user;
}

size_t mesh_count(const struct mesh *m, enum mesh_state s)
{
    size_t count = 0;
    list_each (it, &m->all)
        count += container_of(it, struct mesh_node, all)->state == s;
    return count;
}
