// votes.c: who does not hear whom. Each beat lists up to 32 nodes that its sender does not hear; a
// longer list comes in parts, one a beat, and adds up here.
// SPDX-License-Identifier: Apache-2.0
#include "mesh/mesh_priv.h"
#include <string.h>

#define UNREAD UINT8_MAX // no beat has so many

static uint64_t bit(const struct mesh_node *n)
{
    return 1ULL << (n->slot % 64);
}

static void forget(struct mesh *m, const struct mesh_node *voter)
{
    list_each (it, &m->all) {
        struct mesh_node *n = container_of(it, struct mesh_node, all);
        n->voters[voter->slot / 64] &= ~bit(voter);
    }
}

void mesh_votes_take(struct mesh *m, struct mesh_node *voter, const struct mesh_beat *b)
{
    if (b->suspect_count == voter->suspect_count &&
        memcmp(b->suspects, voter->suspects, b->suspect_count * sizeof b->suspects[0]) == 0)
        return;
    if (b->suspect_count < MESH_SUSPECTS_MAX)
        forget(m, voter);
    for (uint8_t i = 0; i < b->suspect_count; i++)
        list_each (it, &m->all) {
            struct mesh_node *n = container_of(it, struct mesh_node, all);
            if (n->hash == b->suspects[i])
                n->voters[voter->slot / 64] |= bit(voter);
        }
    voter->suspect_count = b->suspect_count;
    memcpy(voter->suspects, b->suspects, sizeof voter->suspects);
}

void mesh_votes_clear(struct mesh *m, struct mesh_node *n)
{
    forget(m, n);
    memset(n->voters, 0, sizeof n->voters);
    list_each (it, &m->all) // what they say next is read anew
        container_of(it, struct mesh_node, all)->suspect_count = UNREAD;
}

bool mesh_votes_confirm(const struct mesh *m, const struct mesh_node *n)
{
    size_t members = 0, heard = 0, votes = 0;
    list_each (it, &m->all) {
        const struct mesh_node *x = container_of(it, struct mesh_node, all);
        members += x->state == MESH_ALIVE || x->state == MESH_SUSPECT;
        if (x == n || x->self || x->state != MESH_ALIVE)
            continue;
        heard++;
        votes += (n->voters[x->slot / 64] & bit(x)) != 0;
    }
    return members < 3 || (heard > 0 && votes * 2 > heard);
}
