// mesh.c: the table of nodes; the own sheet, the sheets of others, removals.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "mesh/mesh_priv.h"
#include <stdio.h>
#include <string.h>

#define BEAT_MS 50
#define SUSPECT_MS 400
#define DEAD_MS 1300
#define FORGET_MS ((int64_t)600 * 1000)

static int64_t or_default(int64_t value, int64_t fallback)
{
    return value > 0 ? value : fallback;
}

static void set_context(struct mesh *m, const char *context)
{
    (void)snprintf(m->context, sizeof m->context, "%s", context);
    m->environment = strcspn(m->context, ".");
    m->group = m->environment;
    if (m->context[m->group] == '.')
        m->group += 1 + strcspn(m->context + m->group + 1, ".");
}

struct mesh *mesh_new(const struct mesh_args *args)
{
    struct mesh *m = mem_new(struct mesh);
    if (m == NULL)
        return NULL;
    list_init(&m->all);
    list_init(&m->fx);
    list_init(&m->gone);
    buf_init(&m->self_text, MESH_SHEET_BYTES_MAX);
    m->args = *args;
    m->args.beat_ms = or_default(args->beat_ms, BEAT_MS);
    m->args.suspect_ms = or_default(args->suspect_ms, SUSPECT_MS);
    m->args.dead_ms = or_default(args->dead_ms, DEAD_MS);
    m->args.forget_ms = or_default(args->forget_ms, FORGET_MS);
    set_context(m, args->context);
    m->due_ms = TIME_NEVER;
    m->start_ms = TIME_NEVER;
    m->by_name = map_new(MESH_NODES_MAX + 1);
    m->by_model = map_new(MESH_NAMES_MAX);
    if (m->by_name != NULL && m->by_model != NULL)
        (void)mesh_node_make(m, bytes_of(args->self), 0, &m->self, NULL);
    if (m->self == NULL) {
        mesh_free(m);
        return NULL;
    }
    m->args.self = m->self->name;
    m->args.context = m->context;
    m->self->self = m->self->same_environment = true;
    m->self->state = m->self->before = MESH_ALIVE;
    m->self->life = args->boot;
    return m;
}

void mesh_free(struct mesh *m)
{
    if (m == NULL)
        return;
    list_each_safe (it, &m->all) {
        struct mesh_node *n = container_of(it, struct mesh_node, all);
        mesh_sheet_drop(m, n);
        mesh_node_free(n);
    }
    list_each_safe (it, &m->gone)
        mesh_node_free(container_of(it, struct mesh_node, all));
    map_free(m->by_name);
    map_free(m->by_model);
    buf_fini(&m->self_text);
    mem_free(m);
}

void mesh_clock(struct mesh *m, int64_t now_ms)
{
    if (m->start_ms == TIME_NEVER) {
        m->start_ms = now_ms;
        m->self->since_ms = now_ms;
    }
    if (now_ms > m->now_ms)
        m->now_ms = now_ms;
}

// ---- the own sheet ----

static int own_text(struct mesh *m, const struct mesh_sheet *s, struct buf *out, struct err *e)
{
    mesh_sheet_write(out, m->args.names, s, false);
    if (out->failed != 0)
        return err_set(e, out->failed, "the node's sheet has no room in %d bytes",
                       MESH_SHEET_BYTES_MAX);
    return 0;
}

static void own_loads(struct mesh_node *self, const struct mesh_sheet *s)
{
    for (size_t i = 0; i < s->model_count; i++) {
        self->models[i].active = s->models[i].active;
        self->models[i].waiting = s->models[i].waiting;
        self->models[i].eta_ms = s->models[i].eta_ms;
    }
    self->sheet.clearance = s->clearance; // the grant's, so not in the text
}

int mesh_self(struct mesh *m, const struct mesh_sheet *s, int64_t now_ms, struct err *e)
{
    struct mesh_node *self = m->self;
    struct mesh_sheet own = *s;
    struct buf text;
    mesh_clock(m, now_ms);
    own.node = self->name;
    own.context = m->context;
    own.boot = m->args.boot;
    own.seq = 0;
    buf_init(&text, MESH_SHEET_BYTES_MAX);
    int rc = own_text(m, &own, &text, e);
    if (rc == 0 && self->has_sheet && bytes_eq(buf_bytes(&text), buf_bytes(&m->self_text))) {
        own_loads(self, s);
        buf_fini(&text);
        return 0;
    }
    own.seq = self->number.seq + 1;
    if (rc == 0)
        rc = mesh_sheet_keep(m, self, &own, BYTES_NONE, e);
    if (rc < 0) {
        buf_fini(&text);
        return rc;
    }
    buf_fini(&m->self_text);
    m->self_text = text;
    mesh_digest_count(m);
    mesh_fx(m, self, MESH_CHANGED);
    list_each (it, &m->all) {
        struct mesh_node *n = container_of(it, struct mesh_node, all);
        if (!n->self && n->has_sheet && (n->state == MESH_ALIVE || n->state == MESH_SUSPECT))
            mesh_fx(m, n, MESH_OFFER);
    }
    return 1;
}

void mesh_model_load(struct mesh *m, size_t i, struct bytes model, uint32_t active,
                     uint32_t waiting)
{
    struct mesh_node *self = m->self;
    if (i >= self->sheet.model_count || !bytes_is(model, self->sheet.models[i].name))
        return;
    self->models[i].active = active;
    self->models[i].waiting = waiting;
}

int mesh_self_raw(struct mesh *m, struct bytes raw, struct err *e)
{
    struct mesh_node *self = m->self;
    if (!self->has_sheet)
        return err_set(e, E_INVALID, "there is no own sheet yet");
    self->raw = arena_dup(self->keep, raw);
    if (self->raw.p == NULL)
        return err_set(e, E_NOMEM, "no memory for the own sheet");
    return 0;
}

void mesh_load(struct mesh *m, uint32_t active, uint32_t waiting, uint64_t memory_free)
{
    m->self->active = active;
    m->self->waiting = waiting;
    m->self->memory_free = memory_free;
}

// ---- sheets of others ----

// Is this number news of that node? What it says itself, by beats, counts more than what others
// kept of it.
static bool is_news(const struct mesh_node *n, struct mesh_number number)
{
    bool hears = n->state == MESH_ALIVE && n->life == number.boot;
    if (number.boot < n->life || (mesh_ended(n) && number.boot == n->life))
        return false;
    if (n->has_sheet && n->number.boot == number.boot && number.seq <= n->number.seq)
        return n->number.seq == number.seq && !n->current && hears;
    return hears || mesh_number_cmp(number, n->grave) > 0;
}

static void taken(struct mesh *m, struct mesh_node *n, bool was_current, int64_t now_ms)
{
    bool is_new = !was_current || n->number.boot > n->life;
    if (n->number.boot > n->life)
        mesh_new_life(m, n, n->number.boot, now_ms);
    n->ttl_ms = now_ms + n->sheet.ttl_ms;
    mesh_digest_count(m);
    mesh_fx(m, n, MESH_CHANGED);
    if (n->sheet.leaving) {
        mesh_turn(m, n, MESH_LEFT, now_ms);
        return;
    }
    if (is_new) {
        mesh_beat_soon(m, n, now_ms);
        if (m->self->has_sheet)
            mesh_fx(m, n, MESH_OFFER);
    }
}

int mesh_put(struct mesh *m, const struct mesh_sheet *s, struct bytes raw, int64_t now_ms,
             struct err *e)
{
    struct bytes name = bytes_of(s->node);
    struct mesh_number number = {s->boot, s->seq};
    struct mesh_node *n = mesh_find(m, name);
    mesh_clock(m, now_ms);
    if (n != NULL && n->self)
        return mesh_number_cmp(number, (struct mesh_number){n->life, n->number.seq}) <= 0
                   ? 0
                   : err_set(e, E_CONFLICT, "another node has the name %s too", n->name);
    if (n == NULL) {
        const struct mesh_grave *g = mesh_grave_find(m, name);
        if (g != NULL && mesh_number_cmp(number, g->number) <= 0)
            return 0;
        int made = mesh_node_make(m, name, now_ms, &n, e);
        if (made < 0)
            return made;
    }
    bool was_current = n->current;
    if (!is_news(n, number))
        return 0;
    int rc = mesh_sheet_keep(m, n, s, raw, e);
    if (rc < 0)
        return rc;
    taken(m, n, was_current, now_ms);
    return 1;
}

void mesh_removed(struct mesh *m, struct bytes node, int64_t now_ms)
{
    struct mesh_node *n = mesh_find(m, node);
    mesh_clock(m, now_ms);
    if (n == NULL || n->self || n->state == MESH_REMOVED)
        return;
    mesh_turn(m, n, MESH_REMOVED, now_ms);
    mesh_sheet_drop(m, n);
    mesh_digest_count(m);
    mesh_fx(m, n, MESH_CHANGED);
}

// ---- all for one who lacks some ----

void mesh_summary_put(const struct mesh *m, struct buf *out)
{
    struct json_w w;
    json_w_init(&w, out);
    json_w_obj(&w, NULL);
    list_each (it, &m->all) {
        const struct mesh_node *n = container_of(it, struct mesh_node, all);
        if (!n->current)
            continue;
        json_w_arr(&w, n->name);
        json_w_u64(&w, NULL, n->number.boot);
        json_w_u64(&w, NULL, n->number.seq);
        json_w_end(&w);
    }
    json_w_end(&w);
}

int mesh_newer(const struct mesh *m, struct bytes summary,
               void (*each)(void *arg, struct mesh_node *n, struct bytes raw), void *arg,
               struct err *e)
{
    AUTO(json_doc) doc = NULL;
    int count = 0;
    if (summary.n > MESH_SUMMARY_BYTES_MAX)
        return err_set(e, E_TOOBIG, "summary of sheets: %zu bytes", summary.n);
    int rc = json_parse(&doc, summary, 0, e);
    if (rc < 0)
        return rc;
    list_each (it, &m->all) {
        struct mesh_node *n = container_of(it, struct mesh_node, all);
        const struct json *v = json_get(json_root(doc), n->name);
        struct mesh_number known = {(uint64_t)json_i64(json_at(v, 0), 0),
                                    (uint64_t)json_i64(json_at(v, 1), 0)};
        struct bytes raw;
        if (mesh_number_cmp(n->number, known) > 0 && mesh_raw(m, n, &raw)) {
            each(arg, n, raw);
            count++;
        }
    }
    return count;
}
