// breaker.c: a node at which requests fail gets none for a while; then one real request tries it.
// SPDX-License-Identifier: Apache-2.0
#include "mesh/mesh_priv.h"

void mesh_breaker_reset(struct mesh_node *n)
{
    n->failed = 0;
    n->open_ms = n->open_pause_ms = 0;
    n->probing = false;
}

bool mesh_breaker_closed(const struct mesh_node *n, int64_t now_ms)
{
    if (n->open_pause_ms == 0)
        return true;
    return now_ms >= n->open_ms && (!n->probing || now_ms - n->probe_ms >= MESH_PROBE_MS);
}

void mesh_sent(struct mesh *m, struct mesh_node *n)
{
    n->in_flight++;
    n->fresh++;
    n->requests++;
    if (n->open_pause_ms != 0) {
        n->probing = true;
        n->probe_ms = m->now_ms;
    }
}

void mesh_outcome(struct mesh *m, struct mesh_node *n, bool good, int64_t now_ms)
{
    mesh_clock(m, now_ms);
    if (n->in_flight > 0)
        n->in_flight--;
    if (n->fresh > 0)
        n->fresh--;
    if (good) {
        mesh_breaker_reset(n);
        return;
    }
    n->failures++;
    n->failed++;
    // What was sent before it opened says nothing new.
    bool waits = n->open_pause_ms != 0 && !n->probing;
    if (n->failed < MESH_BREAKER_FAILURES || waits)
        return;
    n->open_pause_ms = n->open_pause_ms == 0 ? MESH_BREAKER_MS : n->open_pause_ms * 2;
    if (n->open_pause_ms > MESH_BREAKER_MS_MAX)
        n->open_pause_ms = MESH_BREAKER_MS_MAX;
    n->open_ms = now_ms + n->open_pause_ms;
    n->probing = false;
}
