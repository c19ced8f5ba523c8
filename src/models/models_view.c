// models_view.c: what can be seen of the models, and their clock.
// SPDX-License-Identifier: Apache-2.0
#include "models/models_priv.h"
#include "text/units.h"

struct model *models_find(const struct models *m, struct bytes name_or_alias)
{
    return map_get(m->names, name_or_alias);
}

const char *models_nearest(const struct models *m, struct bytes name)
{
    // units_nearest takes an array; names are few and the question is rare: one by one, best kept.
    const char *best[2] = {NULL, NULL};
    list_each (it, &m->all) {
        const struct model *x = container_of(it, struct model, all);
        if (x->removed)
            continue;
        for (size_t i = 0; i <= x->alias_count; i++) {
            best[1] = i == 0 ? x->name : x->aliases[i - 1];
            size_t from = best[0] == NULL ? 1 : 0;
            int at = units_nearest(name, best + from, 2 - from);
            if (at >= 0)
                best[0] = best[from + (size_t)at];
        }
    }
    return best[0];
}

struct model *models_each(const struct models *m, struct model *after)
{
    const struct list *it = after == NULL ? m->all.next : after->all.next;
    for (; it != &m->all; it = it->next) {
        struct model *x = container_of(it, struct model, all);
        if (!x->removed)
            return x;
    }
    return NULL;
}

static int64_t positive(int64_t v)
{
    return v > 0 ? v : 0;
}

// Before a model was ever loaded: half a second for the engine and its size at the pace of a usual
// disk. A guess, and better than silence; -1 for one of unknown size.
#define GUESS_BYTES_A_MS (500u * 1000)
#define GUESS_LEAST_BYTES (1u << 20)
static int64_t guess_of(const struct model *x)
{
    uint64_t bytes = x->spec.memory_bytes;
    return bytes < GUESS_LEAST_BYTES ? -1 : 500 + (int64_t)(bytes / GUESS_BYTES_A_MS);
}

// Until WARM. From earlier loads; one that lasts longer than they did is judged by its share, or
// thought to be three quarters done.
static int64_t eta_of(const struct model *x, int64_t now_ms)
{
    int64_t whole = x->loads > 0 ? x->load_ms : guess_of(x);
    int64_t run = now_ms - x->start_ms;
    switch (x->step) {
    case STEP_WARM: return 0;
    case STEP_UNLOADED: return whole < 0 ? -1 : whole + positive(x->not_before_ms - now_ms);
    case STEP_PAUSING: return whole < 0 ? -1 : whole + positive(x->due_ms - now_ms);
    case STEP_STARTING:
        if (whole > run)
            return whole - run;
        if (x->share > 0.02 && x->share <= 1)
            return (int64_t)((double)run * (1 - x->share) / x->share);
        return whole < 0 ? -1 : run / 3;
    case STEP_WAITING:
    case STEP_DRAINING:
    case STEP_STOPPING:
    case STEP_FAILED: break;
    }
    return -1;
}

static bool may_idle_out(const struct model *x)
{
    return x->step == STEP_WARM && !x->remote && !x->spec.pinned && x->active == 0 &&
           x->waiting == 0 && x->spec.idle_ms != TIME_NEVER && x->spec.idle_ms > 0;
}

void model_view(const struct models *m, const struct model *x, int64_t now_ms,
                struct model_view *ret)
{
    (void)m;
    *ret = (struct model_view){
        .name = x->name,
        .kind = x->kind,
        .engine = x->engine,
        .phase = x->phase[0] != '\0' ? x->phase : model_step_phase(x),
        .failure = x->failure,
        .state = model_state_of(x),
        .pinned = x->spec.pinned,
        .remote = x->spec.remote,
        .preload = x->spec.preload,
        .active = x->active + x->stale,
        .waiting = x->waiting,
        .stale = x->stale,
        .memory_bytes = x->measured != 0 ? x->measured : model_need(m, x),
        .memory_measured = x->measured != 0 || x->peak > x->spec.memory_bytes,
        .context = x->spec.context,
        .share = x->share,
        .eta_ms = eta_of(x, now_ms),
        .idle_left_ms =
            may_idle_out(x) ? positive(x->used_ms + x->spec.idle_ms - now_ms) : TIME_NEVER,
        .since_ms = x->since_ms,
        .loads = x->loads,
        .evictions = x->evictions,
        .deaths = x->deaths,
        .generation = x->spec.generation,
        .last_load_ms = x->loads > 0 ? x->last_load_ms : -1,
        .restarts = x->restarts,
    };
}

void *model_user(const struct model *x)
{
    return x->user;
}

void model_set_user(struct model *x, void *user)
{
    x->user = user;
}

uint64_t models_memory_used(const struct models *m)
{
    return m->used;
}

uint64_t models_memory_budget(const struct models *m)
{
    return m->budget;
}

// ---- time ----

// When this model's own clock rings next.
static int64_t due_of(const struct model *x)
{
    if (x->step == STEP_PAUSING || x->step == STEP_DRAINING)
        return x->due_ms;
    return may_idle_out(x) ? x->used_ms + x->spec.idle_ms : TIME_NEVER;
}

int64_t models_next_ms(const struct models *m)
{
    int64_t next = m->pump_ms;
    list_each (it, &m->all) {
        int64_t due = due_of(container_of(it, struct model, all));
        if (due < next)
            next = due;
    }
    return next;
}

static void ring(struct models *m, struct model *x, int64_t now_ms)
{
    if (x->step == STEP_PAUSING) {
        model_turn(m, x, TURN_RETRY, now_ms);
    } else if (x->step == STEP_WARM) {
        model_stop(m, x, now_ms);
    } else if (x->step == STEP_DRAINING && !x->closing) {
        x->closing = true;
        x->due_ms = now_ms + MODELS_CLOSE_GRACE;
        model_fx(m, x, MODEL_CLOSE_STREAMS);
    } else if (x->step == STEP_DRAINING) {
        model_stop(m, x, now_ms);
    }
}

void models_tick(struct models *m, int64_t now_ms)
{
    bool rang = m->pump_ms <= now_ms;
    list_each_safe (it, &m->all) {
        struct model *x = container_of(it, struct model, all);
        if (due_of(x) > now_ms)
            continue;
        ring(m, x, now_ms);
        rang = true;
    }
    if (rang)
        models_pump(m, now_ms);
}
