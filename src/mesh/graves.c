// graves.c: the numbers of nodes that were forgotten, so that their old sheets, kept alive behind a
// partition, do not bring them back.
// SPDX-License-Identifier: Apache-2.0
#include "mesh/mesh_priv.h"
#include <string.h>

struct mesh_grave *mesh_grave_find(struct mesh *m, struct bytes name)
{
    uint32_t hash = mesh_name_hash(name);
    for (size_t i = 0; i < m->grave_count; i++)
        if (m->graves[i].hash == hash && bytes_is(name, m->graves[i].name))
            return &m->graves[i];
    return NULL;
}

void mesh_grave_put(struct mesh *m, const struct mesh_node *n)
{
    struct mesh_number number = n->has_sheet ? n->number : n->grave;
    struct mesh_grave *g = mesh_grave_find(m, bytes_of(n->name));
    if (number.boot < n->life)
        number = (struct mesh_number){n->life, mesh_ended(n) ? UINT64_MAX : 0};
    else if (mesh_ended(n))
        number.seq = UINT64_MAX;
    if (g == NULL) { // the oldest is written over
        g = &m->graves[m->grave_at];
        m->grave_at = (m->grave_at + 1) % MESH_GRAVES_MAX;
        if (m->grave_count < MESH_GRAVES_MAX)
            m->grave_count++;
    }
    g->hash = n->hash;
    g->ended = mesh_ended(n);
    memcpy(g->name, n->name, sizeof g->name);
    g->number = number;
}
