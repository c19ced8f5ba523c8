// replicas.c: which nodes keep a model loaded. All reckon alike, from the same sheets: nodes that
// have the model are ordered by a hash of node and model (rendezvous: Thaler, Ravishankar 1996),
// the first `min` of the living keep it; nobody has to agree with anybody. SPDX-License-Identifier:
// Apache-2.0
#include "mesh/mesh_priv.h"
#include <stdio.h>
#include <string.h>

static uint64_t rank(const struct mesh_node *n, struct bytes model)
{
    uint64_t pair[2] = {n->hash, bytes_hash(model)};
    return bytes_hash((struct bytes){(const char *)pair, sizeof pair});
}

static bool is_eligible(const struct mesh_place *p, struct bytes model)
{
    const struct mesh_node *n = p->node;
    return n->same_environment && n->current && n->state == MESH_ALIVE && !n->draining &&
           !n->sheet.leaving && bytes_is(model, p->model->name) && p->model->fits &&
           strcmp(p->model->state, "FAILED") != 0;
}

static bool is_ours(const struct mesh *m, const struct mesh_model *x)
{
    struct bytes name = bytes_of(x->name);
    const struct mesh_name *of = map_get(m->by_model, name);
    uint64_t own = rank(m->self, name);
    uint32_t before = 0;
    bool eligible = false;
    if (of == NULL)
        return false;
    list_each (it, &of->places) {
        const struct mesh_place *p = container_of(it, struct mesh_place, of_name);
        if (!is_eligible(p, name))
            continue;
        if (p->node->self) {
            eligible = true;
            continue;
        }
        uint64_t r = rank(p->node, name);
        before += r < own || (r == own && p->node->hash < m->self->hash);
    }
    return eligible && before < x->replicas_min;
}

void mesh_replicas_look(struct mesh *m, int64_t now_ms)
{
    struct mesh_node *self = m->self;
    if (now_ms - m->start_ms < MESH_WANT_FIRST_MS || (!m->want_look && now_ms < m->want_ms))
        return;
    m->want_look = false;
    m->want_ms = now_ms + MESH_WANT_MS;
    for (size_t i = 0; i < self->sheet.model_count; i++) {
        const struct mesh_model *x = &self->models[i];
        struct mesh_mark *mark = &self->marks[i];
        if (x->replicas_min == 0 || strcmp(x->state, "UNLOADED") != 0 || !is_ours(m, x) ||
            (mark->want_ms != 0 && now_ms - mark->want_ms < MESH_WANT_MS))
            continue;
        mark->want = true;
        mark->want_ms = now_ms;
        m->want_told = true;
    }
}

bool mesh_replicas_effect(struct mesh *m, struct mesh_effect *ret)
{
    struct mesh_node *self = m->self;
    for (size_t i = 0; m->want_told && i < self->sheet.model_count; i++) {
        if (!self->marks[i].want)
            continue;
        self->marks[i].want = false;
        ret->kind = MESH_WANT;
        ret->node = self;
        (void)snprintf(ret->model, sizeof ret->model, "%s", self->models[i].name);
        return true;
    }
    m->want_told = false;
    return false;
}
