// nodes.c: nodes come, turn and go; marks are the way of effects, so nothing allocates there.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "mesh/mesh_priv.h"
#include <assert.h>
#include <string.h>

const char *mesh_state_name(enum mesh_state s)
{
    static const char *const names[] = {"alive", "suspect", "dead", "left", "removed"};
    return names[s];
}

bool mesh_ended(const struct mesh_node *n)
{
    return n->state == MESH_LEFT || n->state == MESH_REMOVED;
}

int mesh_number_cmp(struct mesh_number a, struct mesh_number b)
{
    if (a.boot != b.boot)
        return a.boot < b.boot ? -1 : 1;
    return a.seq < b.seq ? -1 : a.seq > b.seq;
}

void mesh_fx(struct mesh *m, struct mesh_node *n, enum mesh_effect_kind kind)
{
    if (n->fx == 0)
        list_add_tail(&m->fx, &n->fx_link);
    n->fx |= 1U << kind;
}

void mesh_turn(struct mesh *m, struct mesh_node *n, enum mesh_state state, int64_t now_ms)
{
    if (n->state == state)
        return;
    if ((n->fx & 1U << MESH_STATE) == 0)
        n->before = n->state;
    n->state = state;
    n->silence_ms = now_ms - n->heard_ms;
    n->since_ms = now_ms;
    m->want_look = true;
    mesh_fx(m, n, MESH_STATE);
}

// What the old life said and did is void. Its addresses stay, to ask for the new sheet.
void mesh_new_life(struct mesh *m, struct mesh_node *n, uint64_t boot, int64_t now_ms)
{
    n->life = boot;
    n->current = n->has_sheet && n->number.boot == boot;
    n->silent_ms = n->heard_ms = now_ms;
    n->doubt_ms = n->fetch_ms = 0;
    n->beat_seq = n->echo_us = 0;
    n->asked = (struct mesh_number){0};
    n->suspect_count = 0;
    n->fresh = 0;
    mesh_votes_clear(m, n);
    mesh_breaker_reset(n);
    mesh_turn(m, n, MESH_SUSPECT, now_ms);
    mesh_digest_count(m);
}

// The sum of one number for each sheet: the order of coming does not matter.
void mesh_digest_count(struct mesh *m)
{
    uint64_t sum = 0;
    list_each (it, &m->all) {
        const struct mesh_node *n = container_of(it, struct mesh_node, all);
        uint64_t part[3] = {n->hash, n->number.boot, n->number.seq};
        if (n->has_sheet && n->current && n->state != MESH_REMOVED)
            sum += bytes_hash((struct bytes){(const char *)part, sizeof part});
    }
    m->digest = sum;
    m->want_look = true;
}

bool mesh_same(const struct mesh *m, const char *context, size_t n)
{
    return strncmp(context, m->context, n) == 0 && (context[n] == '.' || context[n] == '\0');
}

// The oldest that is not among the living makes room.
static struct mesh_node *oldest_gone(const struct mesh *m)
{
    struct mesh_node *found = NULL;
    list_each (it, &m->all) {
        struct mesh_node *n = container_of(it, struct mesh_node, all);
        bool gone = n->state == MESH_DEAD || mesh_ended(n);
        if (gone && (found == NULL || n->since_ms < found->since_ms))
            found = n;
    }
    return found;
}

int mesh_node_make(struct mesh *m, struct bytes name, int64_t now_ms, struct mesh_node **ret,
                   struct err *e)
{
    uint32_t slot = 0;
    if (!mesh_node_name_ok(name))
        return err_set(e, E_INVALID, "%.*s is no name of a node", BYTES_FMT(bytes_first(name, 64)));
    struct mesh_node *old = m->count < MESH_NODES_MAX ? NULL : oldest_gone(m);
    if (m->count >= MESH_NODES_MAX && old == NULL)
        return err_set(e, E_FULL, "there are %d nodes already", MESH_NODES_MAX);
    if (old != NULL)
        mesh_node_forget(m, old);
    struct mesh_node *n = mem_new(struct mesh_node);
    if (n == NULL || map_put(m->by_name, name, n, NULL) < 0) {
        mem_free(n);
        return err_set(e, E_NOMEM, "no memory for a node");
    }
    while (m->slots[slot] != NULL)
        slot++;
    m->slots[slot] = n;
    m->count++;
    n->slot = slot;
    memcpy(n->name, name.p, name.n);
    n->hash = mesh_name_hash(name);
    uint32_t pair[2] = {m->self != NULL ? m->self->hash : 0, n->hash};
    n->tie = bytes_hash((struct bytes){(const char *)pair, sizeof pair});
    n->state = n->before = MESH_SUSPECT;
    n->since_ms = n->heard_ms = n->silent_ms = now_ms;
    n->sync_pause_ms = MESH_SYNC_MS;
    const struct mesh_grave *g = mesh_grave_find(m, name);
    if (g != NULL)
        n->grave = g->number;
    list_init(&n->fx_link);
    list_add_tail(&m->all, &n->all);
    *ret = n;
    return 0;
}

void mesh_node_free(struct mesh_node *n)
{
    if (n == NULL)
        return;
    arena_free(n->keep);
    mem_free(n);
}

// Out of all tables; the memory stays until MESH_FORGOT was told.
void mesh_node_forget(struct mesh *m, struct mesh_node *n)
{
    assert(!n->self);
    mesh_grave_put(m, n);
    mesh_sheet_drop(m, n);
    mesh_votes_clear(m, n);
    (void)map_del(m->by_name, bytes_of(n->name));
    m->slots[n->slot] = NULL;
    m->count--;
    list_del(&n->all);
    list_add_tail(&m->gone, &n->all);
    n->fx &= 1U << MESH_STATE;
    mesh_fx(m, n, MESH_FORGOT);
    mesh_digest_count(m);
}

// ---- the way out ----

static bool node_effect(struct mesh *m, struct mesh_node *n, struct mesh_effect *ret)
{
    static const enum mesh_effect_kind order[] = {MESH_STATE, MESH_CHANGED, MESH_BEAT,  MESH_OFFER,
                                                  MESH_FETCH, MESH_SYNC,    MESH_FORGOT};
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        if ((n->fx & 1U << order[i]) == 0)
            continue;
        n->fx &= ~(1U << order[i]);
        ret->kind = order[i];
        ret->node = n;
        ret->before = n->before;
        ret->silence_ms = n->silence_ms;
        ret->from = order[i] == MESH_FETCH ? n : NULL;
        if (order[i] == MESH_FORGOT)
            m->told = n;
        // One that came back before anybody was told did not change.
        if (order[i] != MESH_STATE || n->before != n->state)
            break;
        ret->node = NULL;
    }
    if (n->fx == 0)
        list_del(&n->fx_link);
    return ret->node != NULL;
}

bool mesh_effect(struct mesh *m, struct mesh_effect *ret)
{
    if (m->told != NULL) {
        list_del(&m->told->all);
        mesh_node_free(m->told);
        m->told = NULL;
    }
    *ret = (struct mesh_effect){0};
    while (!list_empty(&m->fx))
        if (node_effect(m, container_of(m->fx.next, struct mesh_node, fx_link), ret))
            return true;
    return mesh_replicas_effect(m, ret);
}
