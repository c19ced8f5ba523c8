// node_mesh_doctor.c: what the doctor asks the mesh for; the rules are host's.
// SPDX-License-Identifier: Apache-2.0
#include "app/node_mesh_priv.h"
#include <stdio.h>

static bool serves_authority(const struct mesh_sheet *s)
{
    for (size_t i = 0; s && i < s->record_count; i++)
        if (bytes_is(bytes_of(s->records[i].kind), "service") &&
            bytes_is(bytes_of(s->records[i].name), "authority"))
            return true;
    return false;
}

static void put_peer(const struct node_mesh *m, const struct mesh_node *x,
                     const struct mesh_node_view *v, struct host_mesh *ret)
{
    struct host_peer *p = &ret->peers[ret->peer_count++];
    (void)snprintf(p->name, sizeof(p->name), "%s", v->name);
    (void)snprintf(p->state, sizeof(p->state), "%s", mesh_state_name(v->state));
    p->by_tcp = links_by_tcp(m->links, x);
    bool authority = bytes_is(bytes_of(v->name), ret->authority);
    if (authority)
        (void)snprintf(ret->authority_state, sizeof(ret->authority_state), "%s", p->state);
    if (!v->sheet)
        return;
    (void)snprintf(p->version, sizeof(p->version), "%s", v->sheet->version);
    if (v->sheet->addresses && v->sheet->addresses[0])
        (void)snprintf(p->address, sizeof(p->address), "%s", v->sheet->addresses[0]);
    ret->standby_alive =
        ret->standby_alive || (!authority && v->state == MESH_ALIVE && serves_authority(v->sheet));
}

void node_mesh_doctor(const struct node *n, struct host_mesh *ret)
{
    const struct node_mesh *m = n->mesh;
    struct member_view member;
    *ret = (struct host_mesh){.joined = m && m->links};
    if (!ret->joined)
        return;
    member_view(m->member, &member);
    int64_t wall = time_wall_ms();
    int64_t half = (member.not_after_ms - member_renew_at(m->member)) / 2;
    ret->authority_here = m->authority != NULL;
    ret->cert_left_s = (member.not_after_ms - wall) / 1000;
    ret->renewal_late = member.not_after_ms - wall < half;
    ret->port = links_port(m->links);
    (void)snprintf(ret->version, sizeof(ret->version), "%s", PLEXUS_VERSION);
    (void)snprintf(ret->authority, sizeof(ret->authority), "%s", member_authority(m->member));
    (void)snprintf(ret->bus, sizeof(ret->bus), "%s", n->config->bus_engine);
    for (struct mesh_node *x = NULL; (x = mesh_each(m->mesh, x)) != NULL;) {
        struct mesh_node_view v;
        mesh_node_view(m->mesh, x, timers_now_ms(loop_timers(n->loop)), &v);
        if (!v.self && ret->peer_count < HOST_PEERS_MAX)
            put_peer(m, x, &v, ret);
    }
}
