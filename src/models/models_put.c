// models_put.c: models come, change and go; their names are unique over all names and aliases.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "models/models_priv.h"
#include <string.h>

static void forget_names(struct models *m, const struct model *x)
{
    if (x->name != NULL && map_get(m->names, bytes_of(x->name)) == x)
        (void)map_del(m->names, bytes_of(x->name));
    for (size_t i = 0; i < x->alias_count; i++)
        if (map_get(m->names, bytes_of(x->aliases[i])) == x)
            (void)map_del(m->names, bytes_of(x->aliases[i]));
}

static void free_strings(struct model *x)
{
    mem_free(x->name);
    mem_free(x->kind);
    mem_free(x->engine);
    for (size_t i = 0; i < x->alias_count; i++)
        mem_free(x->aliases[i]);
    mem_free(x->aliases);
    x->name = x->kind = x->engine = NULL;
    x->aliases = NULL;
    x->alias_count = 0;
}

void model_free(struct models *m, struct model *x)
{
    forget_names(m, x);
    list_del(&x->all);
    list_del(&x->waiting_link);
    list_del(&x->fx_link);
    free_strings(x);
    mem_free(x);
}

static int copy_strings(struct model *x, const struct model_spec *spec)
{
    size_t aliases = 0;
    while (spec->aliases != NULL && spec->aliases[aliases] != NULL)
        aliases++;
    x->name = mem_str(spec->name);
    x->kind = mem_str(spec->kind != NULL ? spec->kind : "");
    x->engine = mem_str(spec->engine != NULL ? spec->engine : "");
    if (x->name == NULL || x->kind == NULL || x->engine == NULL)
        return E_NOMEM;
    if (aliases == 0)
        return 0;
    x->aliases = mem_array(aliases, sizeof x->aliases[0]);
    if (x->aliases == NULL)
        return E_NOMEM;
    for (; x->alias_count < aliases; x->alias_count++) {
        x->aliases[x->alias_count] = mem_str(spec->aliases[x->alias_count]);
        if (x->aliases[x->alias_count] == NULL)
            return E_NOMEM;
    }
    return 0;
}

static int enter_names(struct models *m, struct model *x)
{
    int rc = map_put(m->names, bytes_of(x->name), x, NULL);
    for (size_t i = 0; rc == 0 && i < x->alias_count; i++)
        rc = map_put(m->names, bytes_of(x->aliases[i]), x, NULL);
    return rc;
}

// The numbers of the spec with their defaults; strings stay the model's own.
static void copy_numbers(struct model *x, const struct model_spec *spec)
{
    x->spec = *spec;
    x->spec.name = x->name;
    x->spec.kind = x->kind;
    x->spec.engine = x->engine;
    x->spec.aliases = NULL;
    if (spec->restarts_max == 0)
        x->spec.restarts_max = 3;
    if (spec->restart_pause_ms == 0)
        x->spec.restart_pause_ms = 250;
    if (spec->failed_pause_ms == 0)
        x->spec.failed_pause_ms = 10000;
    if (spec->load_timeout_ms == 0)
        x->spec.load_timeout_ms = 600000;
    if (spec->drain_ms == 0)
        x->spec.drain_ms = 30000;
    if (spec->remote)
        x->spec.pinned = x->spec.preload = false;
}

static int taken(const struct models *m, const struct model_spec *spec, const struct model *self,
                 struct err *e)
{
    const struct model *other = map_get(m->names, bytes_of(spec->name));
    if (other != NULL && other != self && !other->removed)
        return err_set(e, E_EXISTS, "the name %s is taken by model %s", spec->name, other->name);
    for (size_t i = 0; spec->aliases != NULL && spec->aliases[i] != NULL; i++) {
        other = map_get(m->names, bytes_of(spec->aliases[i]));
        if (other != NULL && other != self && !other->removed)
            return err_set(e, E_EXISTS, "the alias %s of model %s is taken by model %s",
                           spec->aliases[i], spec->name, other->name);
    }
    return 0;
}

// A model of this name, also one that is on its way out.
static struct model *by_name(const struct models *m, const char *name)
{
    struct model *found = NULL;
    list_each (it, &m->all) {
        struct model *x = container_of(it, struct model, all);
        if (strcmp(x->name, name) == 0 && (found == NULL || found->removed) &&
            (x->fx & 1U << MODEL_GONE) == 0 && x != m->gone)
            found = x;
    }
    return found;
}

// What changes while the engine goes on: a pin loads it, a larger belief is charged at once.
static void adjust(struct models *m, struct model *x, bool was_pinned, int64_t now_ms)
{
    if (x->has_engine && x->spec.memory_bytes > x->charge)
        model_charge(m, x, x->spec.memory_bytes);
    if (m->budget != 0 && m->used > m->budget)
        models_relieve(m, now_ms);
    if (x->spec.pinned && !was_pinned && !x->spec.remote)
        (void)models_load(m, x, now_ms, NULL);
    models_pump(m, now_ms);
}

static void renew(struct models *m, struct model *x, int64_t now_ms)
{
    bool was_on = x->step == STEP_STARTING || x->step == STEP_WARM;
    x->restarts = 0;
    x->not_before_ms = now_ms;
    if (x->step == STEP_FAILED)
        model_turn(m, x, TURN_FORGET, now_ms);
    if (x->spec.pinned || (x->spec.preload && was_on))
        x->wish = WISH_LOAD;
    if (was_on)
        model_leave(m, x, now_ms);
    else if (x->step == STEP_UNLOADED)
        model_settle(m, x, now_ms);
    else if (x->step == STEP_PAUSING)
        model_turn(m, x, TURN_RETRY, now_ms);
    models_pump(m, now_ms);
}

static int change(struct models *m, struct model *x, const struct model_spec *spec, int64_t now_ms)
{
    struct model fresh = {.name = NULL};
    if (copy_strings(&fresh, spec) < 0) {
        free_strings(&fresh);
        return E_NOMEM;
    }
    uint64_t generation = x->spec.generation;
    bool revived = x->removed, was_pinned = x->spec.pinned;
    forget_names(m, x);
    free_strings(x);
    x->name = fresh.name;
    x->kind = fresh.kind;
    x->engine = fresh.engine;
    x->aliases = fresh.aliases;
    x->alias_count = fresh.alias_count;
    copy_numbers(x, spec);
    x->removed = false;
    model_fx(m, x, MODEL_CHANGED);
    int rc = enter_names(m, x);
    if (x->spec.generation != generation)
        x->peak = 0;
    if (x->spec.generation != generation || revived)
        renew(m, x, now_ms);
    else
        adjust(m, x, was_pinned, now_ms);
    return rc;
}

int models_put(struct models *m, const struct model_spec *spec, int64_t now_ms, struct err *e)
{
    struct model *x = by_name(m, spec->name);
    int rc = taken(m, spec, x, e);
    if (rc < 0)
        return rc;
    if (x != NULL) {
        rc = change(m, x, spec, now_ms);
        return rc < 0 ? err_set(e, rc, "model %s", spec->name) : 0;
    }
    x = mem_new(struct model);
    if (x == NULL)
        return err_set(e, E_NOMEM, "model %s", spec->name);
    list_init(&x->all);
    list_init(&x->waiting_link);
    list_init(&x->fx_link);
    rc = copy_strings(x, spec);
    if (rc == 0)
        rc = enter_names(m, x);
    if (rc < 0) {
        model_free(m, x);
        return err_set(e, rc, "model %s", spec->name);
    }
    copy_numbers(x, spec);
    x->since_ms = x->used_ms = now_ms;
    x->due_ms = TIME_NEVER;
    x->share = -1;
    list_add_tail(&m->all, &x->all);
    model_fx(m, x, MODEL_CHANGED);
    if (!spec->remote && (spec->pinned || spec->preload))
        x->wish = spec->pinned ? WISH_LOAD : WISH_PRELOAD;
    model_settle(m, x, now_ms);
    models_pump(m, now_ms);
    return 0;
}

void models_remove(struct models *m, struct model *x, int64_t now_ms)
{
    if (x->removed)
        return;
    x->removed = true;
    x->wish = WISH_NONE;
    forget_names(m, x);
    (void)err_set(&x->refusal, E_NOTFOUND, "model %s was removed", x->name);
    model_refuse_all(m, x);
    if (x->step == STEP_WAITING || x->step == STEP_PAUSING)
        model_turn(m, x, TURN_UNWANTED, now_ms);
    else if (x->step == STEP_FAILED)
        model_turn(m, x, TURN_FORGET, now_ms);
    else
        model_leave(m, x, now_ms);
    if (x->step == STEP_UNLOADED && (x->fx & 1U << MODEL_GONE) == 0)
        model_settle(m, x, now_ms);
    models_pump(m, now_ms);
}
