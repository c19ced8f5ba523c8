// resolve.c: a name to where it is: this node's own records, then those of its class, then any of
// its environment. The first step that finds something ends the search; all are told.
// SPDX-License-Identifier: Apache-2.0
#include "mesh/mesh_priv.h"
#include <string.h>

enum step { STEP_LOCAL, STEP_CONTEXT, STEP_TYPE, STEPS };
static const char *const step_names[STEPS] = {"registry.local.hostname", "registry.context.cluster",
                                              "registry.type.default"};

struct search {
    struct mesh *m;
    struct bytes name;
    const char *kind;
    struct json_w w;
    size_t looked, found;
};

static bool has_name(const struct mesh_model *x, struct bytes name)
{
    if (bytes_is(name, x->name))
        return true;
    for (size_t i = 0; x->aliases != NULL && x->aliases[i] != NULL; i++)
        if (bytes_is(name, x->aliases[i]))
            return true;
    return false;
}

// "model" finds models of every kind, "chat" those that chat.
static bool is_kind(const char *want, const char *kind, const char *model_kind)
{
    return want == NULL || strcmp(want, kind) == 0 ||
           (model_kind != NULL && strcmp(want, model_kind) == 0);
}

static void found(struct search *s, enum step step, const struct mesh_node *n, const char *kind,
                  const char *address)
{
    const char *const *own = n->sheet.addresses;
    s->found++;
    json_w_obj(&s->w, NULL);
    json_w_cstr(&s->w, "node", n->name);
    json_w_cstr(&s->w, "kind", kind);
    json_w_cstr(&s->w, "address", address != NULL ? address : own != NULL ? own[0] : NULL);
    json_w_cstr(&s->w, "step", step_names[step]);
    json_w_end(&s->w);
}

static void look_node(struct search *s, enum step step, const struct mesh_node *n)
{
    const struct mesh_sheet *sheet = &n->sheet;
    s->looked += sheet->model_count + sheet->record_count;
    for (size_t i = 0; i < sheet->model_count; i++)
        if (has_name(&sheet->models[i], s->name) &&
            is_kind(s->kind, "model", sheet->models[i].kind))
            found(s, step, n, sheet->models[i].kind, NULL);
    for (size_t i = 0; i < sheet->record_count; i++)
        if (bytes_is(s->name, sheet->records[i].name) &&
            is_kind(s->kind, sheet->records[i].kind, NULL))
            found(s, step, n, sheet->records[i].kind, sheet->records[i].address);
}

static bool belongs(const struct search *s, enum step step, const struct mesh_node *n)
{
    if (step == STEP_LOCAL)
        return n->self;
    return !n->self && n->current && n->state == MESH_ALIVE && !n->draining &&
           n->same_environment &&
           (step == STEP_TYPE || mesh_same(s->m, n->sheet.context, s->m->group));
}

static void look(struct search *s, enum step step)
{
    list_each (it, &s->m->all) {
        const struct mesh_node *n = container_of(it, struct mesh_node, all);
        if (n->has_sheet && belongs(s, step, n))
            look_node(s, step, n);
    }
}

static void put_looked(struct search *s, enum step step, struct buf *b)
{
    const struct mesh *m = s->m;
    int n = (int)(step == STEP_CONTEXT ? m->group : m->environment);
    buf_clear(b);
    if (step == STEP_LOCAL)
        (void)buf_fmt(b, "records of %s", m->self->name);
    else
        (void)buf_fmt(b, "records of living nodes of %.*s", n, m->context);
    if (step == STEP_TYPE && s->kind != NULL)
        (void)buf_fmt(b, " of kind %s", s->kind);
}

int mesh_resolve(struct mesh *m, struct bytes name, const char *kind, int64_t now_ms,
                 struct buf *json, struct err *e)
{
    struct search s = {.m = m, .name = name, .kind = kind};
    size_t looked[STEPS] = {0}, results[STEPS] = {0};
    int ended = STEPS;
    struct buf text;
    mesh_clock(m, now_ms);
    buf_init(&text, 512);
    json_w_init(&s.w, json);
    json_w_obj(&s.w, NULL);
    json_w_str(&s.w, "name", name);
    json_w_arr(&s.w, "found");
    for (int step = 0; step < STEPS && s.found == 0; step++) {
        s.looked = 0;
        look(&s, (enum step)step);
        looked[step] = s.looked;
        results[step] = s.found;
        ended = step;
    }
    json_w_end(&s.w);
    json_w_arr(&s.w, "steps");
    for (int step = 0; step < STEPS; step++) {
        json_w_obj(&s.w, NULL);
        json_w_cstr(&s.w, "step", step_names[step]);
        put_looked(&s, (enum step)step, &text);
        json_w_str(&s.w, "looked", buf_bytes(&text));
        buf_clear(&text);
        if (step > ended)
            (void)buf_str(&text, "not needed");
        else
            (void)buf_fmt(&text, "%zu found among %zu", results[step], looked[step]);
        json_w_str(&s.w, "result", buf_bytes(&text));
        json_w_end(&s.w);
    }
    json_w_end(&s.w);
    json_w_end(&s.w);
    buf_fini(&text);
    if (json->failed != 0)
        return err_set(e, json->failed, "the answer has no room");
    if (s.found == 0)
        return err_set(e, E_NOTFOUND, "no record of %.*s here, in %.*s or in %.*s", BYTES_FMT(name),
                       (int)m->group, m->context, (int)m->environment, m->context);
    return 0;
}
