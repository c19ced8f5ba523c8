// sheet_copy.c: a sheet with all that it points at, in one arena.
// SPDX-License-Identifier: Apache-2.0
#include "mesh/mesh_priv.h"

struct copier {
    struct arena *a;
    bool failed;
};

static const char *text(struct copier *c, const char *s)
{
    char *copy = s != NULL ? arena_str(c->a, bytes_of(s)) : NULL;
    if (copy == NULL && s != NULL)
        c->failed = true;
    return copy;
}

static const char *const *texts(struct copier *c, const char *const *list)
{
    size_t n = 0;
    if (list == NULL)
        return NULL;
    while (list[n] != NULL)
        n++;
    const char **copy = arena_zalloc(c->a, (n + 1) * sizeof *copy);
    if (copy == NULL)
        c->failed = true;
    for (size_t i = 0; copy != NULL && i < n && !c->failed; i++)
        copy[i] = text(c, list[i]);
    return copy;
}

static void models(struct copier *c, struct mesh_sheet *to, const struct mesh_sheet *s)
{
    to->models = NULL;
    if (s->model_count == 0)
        return;
    struct mesh_model *all = arena_alloc(c->a, s->model_count * sizeof *all);
    c->failed = c->failed || all == NULL;
    for (size_t i = 0; i < s->model_count && !c->failed; i++) {
        all[i] = s->models[i];
        all[i].name = text(c, s->models[i].name);
        all[i].kind = text(c, s->models[i].kind);
        all[i].aliases = texts(c, s->models[i].aliases);
        all[i].state = text(c, s->models[i].state);
        all[i].tier = text(c, s->models[i].tier != NULL ? s->models[i].tier : "node");
    }
    to->models = all;
}

static void records(struct copier *c, struct mesh_sheet *to, const struct mesh_sheet *s)
{
    to->records = NULL;
    if (s->record_count == 0)
        return;
    struct mesh_record *all = arena_alloc(c->a, s->record_count * sizeof *all);
    c->failed = c->failed || all == NULL;
    for (size_t i = 0; i < s->record_count && !c->failed; i++) {
        all[i].kind = text(c, s->records[i].kind);
        all[i].name = text(c, s->records[i].name);
        all[i].address = text(c, s->records[i].address);
    }
    to->records = all;
}

int mesh_sheet_copy(struct mesh_sheet *ret, struct arena *a, const struct mesh_sheet *s)
{
    struct copier c = {.a = a};
    struct mesh_sheet to = *s;
    to.node = text(&c, s->node);
    to.context = text(&c, s->context);
    to.version = text(&c, s->version);
    to.profile = text(&c, s->profile);
    to.addresses = texts(&c, s->addresses);
    to.roles = texts(&c, s->roles);
    models(&c, &to, s);
    records(&c, &to, s);
    if (c.failed)
        return E_NOMEM;
    *ret = to;
    return 0;
}
