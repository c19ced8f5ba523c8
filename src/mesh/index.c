// index.c: a node's sheet is kept, and its models are found by name: the only places that allocate
// for a sheet.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "mesh/mesh_priv.h"
#include <string.h>

static void unlink_places(struct mesh *m, struct mesh_place *places)
{
    for (struct mesh_place *p = places; p != NULL; p = p->next) {
        struct mesh_name *x = p->name;
        list_del(&p->of_name);
        if (!list_empty(&x->places))
            continue;
        (void)map_del(m->by_model, x->text);
        mem_free((char *)(uintptr_t)x->text.p);
        mem_free(x);
    }
}

static struct mesh_name *name_of(struct mesh *m, struct bytes text)
{
    struct mesh_name *x = map_get(m->by_model, text);
    if (x != NULL)
        return x;
    x = mem_new(struct mesh_name);
    char *copy = x != NULL ? mem_dup(text.p, text.n) : NULL;
    if (copy == NULL || map_put(m->by_model, text, x, NULL) < 0) {
        mem_free(copy);
        mem_free(x);
        return NULL;
    }
    x->text = (struct bytes){copy, text.n};
    list_init(&x->places);
    return x;
}

struct adding {
    struct mesh *m;
    struct mesh_node *node;
    struct arena *a;
    struct mesh_place *places;
    bool failed;
};

static void place(struct adding *add, const char *name, const struct mesh_model *x)
{
    struct mesh_place *p = arena_zalloc(add->a, sizeof *p);
    struct mesh_name *of = p != NULL ? name_of(add->m, bytes_of(name)) : NULL;
    if (of == NULL) {
        add->failed = true;
        return;
    }
    p->name = of;
    p->node = add->node;
    p->model = x;
    p->next = add->places;
    add->places = p;
    list_add_tail(&of->places, &p->of_name);
}

// New places stand beside the old ones until all is well.
static int index_models(struct adding *add, const struct mesh_sheet *s)
{
    for (size_t i = 0; i < s->model_count && !add->failed; i++) {
        const struct mesh_model *x = &s->models[i];
        place(add, x->name, x);
        for (size_t k = 0; x->aliases != NULL && x->aliases[k] != NULL && !add->failed; k++)
            place(add, x->aliases[k], x);
    }
    if (add->failed)
        unlink_places(add->m, add->places);
    return add->failed ? E_FULL : 0;
}

// Our own wishes outlive a new sheet: they are not told again at once.
static void keep_wishes(const struct mesh_node *n, struct mesh_mark *marks, size_t count)
{
    for (size_t i = 0; n->self && i < count; i++)
        for (size_t k = 0; n->has_sheet && k < n->sheet.model_count; k++)
            if (n->marks[k].hash == marks[i].hash)
                marks[i].want_ms = n->marks[k].want_ms;
}

int mesh_sheet_keep(struct mesh *m, struct mesh_node *n, const struct mesh_sheet *s,
                    struct bytes raw, struct err *e)
{
    AUTO(arena) a = arena_new(MESH_COPY_BYTES_MAX);
    struct mesh_sheet copy;
    if (s->model_count > MESH_MODELS_MAX || s->record_count > MESH_RECORDS_MAX)
        return err_set(e, E_FULL, "node %s has too many models or records", n->name);
    if (a == NULL || mesh_sheet_copy(&copy, a, s) < 0)
        return err_set(e, E_NOMEM, "no memory for the sheet of node %s", n->name);
    struct bytes text = raw.n > 0 ? arena_dup(a, raw) : BYTES_NONE;
    struct mesh_mark *marks = arena_zalloc(a, (copy.model_count + 1) * sizeof *marks);
    if (marks == NULL || (raw.n > 0 && text.p == NULL))
        return err_set(e, E_NOMEM, "no memory for the sheet of node %s", n->name);
    struct adding add = {.m = m, .node = n, .a = a};
    for (size_t i = 0; i < copy.model_count; i++)
        marks[i].hash = mesh_name_hash(bytes_of(copy.models[i].name));
    int rc = index_models(&add, &copy);
    if (rc < 0)
        return err_set(e, rc, "no room for the models of node %s", n->name);
    keep_wishes(n, marks, copy.model_count);
    unlink_places(m, n->places);
    arena_free(n->keep);
    n->keep = steal(&a);
    n->sheet = copy;
    n->raw = text;
    n->places = add.places;
    n->models = (struct mesh_model *)(uintptr_t)copy.models; // in our arena
    n->marks = marks;
    n->has_sheet = true;
    n->number = (struct mesh_number){copy.boot, copy.seq};
    n->current = n->life == copy.boot;
    n->draining = copy.draining;
    n->same_environment = mesh_same(m, copy.context, m->environment);
    return 0;
}

void mesh_sheet_drop(struct mesh *m, struct mesh_node *n)
{
    unlink_places(m, n->places);
    arena_free(n->keep);
    n->keep = NULL;
    n->places = NULL;
    n->models = NULL;
    n->marks = NULL;
    n->raw = BYTES_NONE;
    n->sheet = (struct mesh_sheet){0};
    n->has_sheet = n->current = false;
    if (n->number.boot != 0)
        n->grave = n->number;
    n->number = (struct mesh_number){0};
}
