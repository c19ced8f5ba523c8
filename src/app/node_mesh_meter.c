// node_mesh_meter.c: the mesh's gauges, read off when somebody scrapes. Its counters go up where
// things happen (node_mesh*.c, gate).
// SPDX-License-Identifier: Apache-2.0
#include "app/node_mesh_priv.h"

_Static_assert(MESH_REMOVED + 1 == METER_NODE_STATES, "one gauge for each state of a node");

static uint64_t removals(const struct member *member)
{
    struct grant_removal r;
    struct bytes text;
    uint64_t count = 0;
    for (size_t at = 0; grant_removals_each(member_removals(member), &at, &r, &text);)
        count++;
    return count;
}

void node_mesh_meter(struct node *n)
{
    struct node_mesh *m = n->mesh;
    struct meter_node *row = meter_node(n->meter);
    struct member_view v;
    row->mesh_member = m && m->links;
    row->certificate_s = row->removals = 0;
    for (int i = 0; i < METER_NODE_STATES; i++)
        row->mesh_nodes[i] = row->mesh_member ? mesh_count(m->mesh, (enum mesh_state)i) : 0;
    if (!row->mesh_member)
        return;
    member_view(m->member, &v);
    int64_t left = v.not_after_ms - time_wall_ms();
    row->certificate_s = left > 0 ? (uint64_t)left / 1000 : 0;
    row->removals = removals(m->member);
}
