// models_memory.c: the ledger in bytes, who must leave for whom, and who starts next.
//
// A model is charged from its start until its engine is gone, with the larger of what it was
// believed to need and what was measured: a fresh engine has not touched all that it will touch.
//
// Order: models wait for memory first come first served. While the first one cannot be helped by
// idle models leaving, smaller ones may pass it, but only for MODELS_PATIENCE; after that nobody
// passes, and it claims the least recently used models although they are active: these get no new
// requests, and leave as soon as the running ones end. A model that was just loaded is spared for
// as long as its loading took, so that two large models share the time and not only load.
// SPDX-License-Identifier: Apache-2.0
#include "models/models_priv.h"
#include "text/units.h"

#define ROOM_NO_LIMIT (INT64_MAX / 4)
// Larger figures are nonsense; with this ceiling the sum over MODELS_MAX models stays in range.
#define NEED_MAX ((uint64_t)1 << 50)

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t model_need(const struct models *m, const struct model *x)
{
    uint64_t need = x->spec.memory_bytes > x->peak ? x->spec.memory_bytes : x->peak;
    // One that was measured above the budget may run alone: it has shown that it can.
    if (m->budget != 0 && need > m->budget && x->spec.memory_bytes <= m->budget)
        need = m->budget;
    return least(need, NEED_MAX);
}

static bool holds_pinned(const struct model *x)
{
    return x->spec.pinned && !x->removed &&
           (x->step == STEP_WAITING || x->step == STEP_PAUSING || x->step == STEP_STARTING ||
            x->step == STEP_WARM);
}

bool model_never_fits(const struct models *m, const struct model *x, struct err *e)
{
    if (m->budget == 0 || x->spec.remote)
        return false;
    uint64_t need = model_need(m, x), pinned = 0;
    list_each (it, &m->all) {
        const struct model *other = container_of(it, struct model, all);
        // Of two pinned ones that do not fit together, the one that came first stays.
        if (other == x)
            continue;
        if (holds_pinned(other) && (!x->spec.pinned || other->charge > 0))
            pinned += other->charge > 0 ? other->charge : model_need(m, other);
    }
    if (need <= m->budget && need + pinned <= m->budget)
        return false;
    struct buf text;
    buf_init(&text, 256);
    (void)buf_fmt(&text, "model %s needs ", x->name);
    units_put_size(&text, need);
    (void)buf_str(&text, ", the budget is ");
    units_put_size(&text, m->budget);
    if (need <= m->budget) {
        (void)buf_str(&text, ", of which ");
        units_put_size(&text, pinned);
        (void)buf_str(&text, " is pinned");
    }
    (void)err_set(e, E_TOOBIG, "%s", buf_cstr(&text));
    buf_fini(&text);
    return true;
}

void model_charge(struct models *m, struct model *x, uint64_t bytes)
{
    m->used = m->used - x->charge + bytes;
    x->charge = bytes;
}

static int64_t room_of(const struct models *m)
{
    if (m->budget == 0)
        return ROOM_NO_LIMIT;
    return (int64_t)least(m->budget, ROOM_NO_LIMIT) - (int64_t)m->used;
}

// Memory of models that are on their way out.
static int64_t coming_of(const struct models *m)
{
    int64_t coming = 0;
    list_each (it, &m->all) {
        const struct model *x = container_of(it, struct model, all);
        if (x->step == STEP_DRAINING || x->step == STEP_STOPPING)
            coming += (int64_t)x->charge;
    }
    return coming;
}

static bool local(const struct model *x)
{
    return !x->remote && !x->spec.pinned && x->charge > 0;
}

// May be told to stop at once.
static bool is_idle(const struct model *x)
{
    if (!local(x))
        return false;
    if (x->step == STEP_STARTING)
        return x->waiting == 0 && x->wish == WISH_NONE;
    return x->step == STEP_WARM && x->active == 0 && (x->waiting == 0 || x->yields);
}

typedef bool (*who_fn)(const struct model *x, int64_t now_ms);

static bool idle(const struct model *x, int64_t now_ms)
{
    (void)now_ms;
    return is_idle(x);
}

static int64_t spared_until(const struct model *x)
{
    int64_t stay = x->last_load_ms > MODELS_PATIENCE ? x->last_load_ms : MODELS_PATIENCE;
    return x->since_ms + stay;
}

static bool claimable(const struct model *x, int64_t now_ms)
{
    return is_idle(x) ||
           (local(x) && x->step == STEP_WARM && (x->yields || now_ms >= spared_until(x)));
}

static struct model *next_victim(const struct models *m, who_fn who, int64_t now_ms)
{
    struct model *best = NULL;
    list_each (it, &m->all) {
        struct model *x = container_of(it, struct model, all);
        if (x->picked || !who(x, now_ms))
            continue;
        // One that yields already goes on yielding, else two would take turns and never leave.
        if (best == NULL || x->yields > best->yields ||
            (x->yields == best->yields && x->used_ms < best->used_ms))
            best = x;
    }
    return best;
}

// Marks the least recently used ones (picked) until missing bytes are covered; false, and no marks,
// when all of them are not enough.
static bool pick(struct models *m, who_fn who, int64_t missing, int64_t now_ms)
{
    int64_t sum = 0;
    struct model *v;
    while (sum < missing && (v = next_victim(m, who, now_ms)) != NULL) {
        v->picked = true;
        sum += (int64_t)v->charge;
    }
    bool enough = sum >= missing;
    // Spare whom the larger, later ones made needless, the most recently used first.
    for (struct model *spare = NULL;;) {
        struct model *latest = NULL;
        list_each (it, &m->all) {
            struct model *x = container_of(it, struct model, all);
            if (!x->picked || (enough && sum - (int64_t)x->charge < missing))
                continue;
            if (latest == NULL || x->used_ms > latest->used_ms)
                latest = x;
        }
        spare = latest;
        if (spare == NULL)
            return enough;
        spare->picked = false;
        sum -= (int64_t)spare->charge;
    }
}

// The picked ones leave; returns their bytes.
static int64_t evict_picked(struct models *m, int64_t now_ms)
{
    int64_t sum = 0;
    list_each (it, &m->all) {
        struct model *x = container_of(it, struct model, all);
        if (!x->picked)
            continue;
        x->picked = false;
        x->evictions++;
        sum += (int64_t)x->charge;
        model_stop(m, x, now_ms);
    }
    return sum;
}

static void pump_at(struct models *m, int64_t at_ms)
{
    if (at_ms < m->pump_ms)
        m->pump_ms = at_ms;
}

// The first in line cannot be helped by idle models. True: nobody may pass it.
static bool claim(struct models *m, const struct model *x, int64_t missing, int64_t now_ms)
{
    if (now_ms < x->wait_ms + MODELS_PATIENCE) {
        pump_at(m, x->wait_ms + MODELS_PATIENCE);
        return false;
    }
    if (pick(m, claimable, missing, now_ms)) {
        list_each (it, &m->all) {
            struct model *v = container_of(it, struct model, all);
            v->claims = v->picked && v->step == STEP_WARM;
            v->picked = false;
        }
        return true;
    }
    list_each (it, &m->all) {
        const struct model *v = container_of(it, struct model, all);
        if (local(v) && v->step == STEP_WARM && spared_until(v) > now_ms)
            pump_at(m, spared_until(v));
    }
    return true;
}

static void start(struct models *m, struct model *x, int64_t now_ms)
{
    x->measured = 0;
    x->served = 0;
    x->start_ms = now_ms;
    x->has_engine = true;
    model_turn(m, x, TURN_ROOM, now_ms);
}

static void give_up(struct models *m, struct model *x, int64_t now_ms)
{
    (void)err_set(&x->refusal, E_TOOBIG, "%s", "");
    (void)model_never_fits(m, x, &x->refusal);
    struct bytes why = bytes_first(bytes_of(x->refusal.text), sizeof x->failure - 1);
    for (size_t i = 0; i < why.n; i++)
        x->failure[i] = why.p[i];
    x->failure[why.n] = '\0';
    x->wish = WISH_NONE;
    model_refuse_all(m, x);
    model_turn(m, x, TURN_NEVER, now_ms);
    x->due_ms = now_ms; // a request may ask again at once: the budget may have changed
}

void models_pump(struct models *m, int64_t now_ms)
{
    m->pump_ms = TIME_NEVER;
    int64_t room = room_of(m), coming = coming_of(m);
    bool blocked = false;
    list_each_safe (it, &m->waiting) {
        struct model *x = container_of(it, struct model, waiting_link);
        if (model_never_fits(m, x, NULL)) {
            give_up(m, x, now_ms);
            continue;
        }
        if (blocked)
            continue;
        int64_t need = (int64_t)model_need(m, x);
        if (need <= room || need == 0) {
            room -= need;
            model_charge(m, x, (uint64_t)need);
            start(m, x, now_ms);
            continue;
        }
        if (x->waiting == 0 && x->wish == WISH_PRELOAD && need > room + coming) {
            x->wish = WISH_NONE; // nobody leaves for a preload
            model_turn(m, x, TURN_UNWANTED, now_ms);
            continue;
        }
        if (need > room + coming && pick(m, idle, need - room - coming, now_ms))
            coming += evict_picked(m, now_ms);
        if (need <= room + coming)
            room -= need; // those behind may have what is left
        else
            blocked = claim(m, x, need - room - coming, now_ms);
    }
    list_each (it, &m->all) {
        struct model *x = container_of(it, struct model, all);
        bool freed = x->yields && !x->claims;
        x->yields = x->claims && x->step == STEP_WARM;
        x->claims = false;
        if (freed)
            model_grant_queue(m, x, now_ms);
    }
}

void models_relieve(struct models *m, int64_t now_ms)
{
    int64_t over = -(room_of(m) + coming_of(m));
    list_each (it, &m->all) {
        // One that grew over the whole budget by itself stays: to stop it now would only load it
        // again.
        struct model *x = container_of(it, struct model, all);
        x->picked = x->charge > m->budget && model_need(m, x) <= m->budget;
    }
    while (over > 0) {
        struct model *v = next_victim(m, idle, now_ms);
        if (v == NULL)
            break;
        v->evictions++;
        over -= (int64_t)v->charge;
        model_stop(m, v, now_ms);
    }
    list_each (it, &m->all)
        container_of(it, struct model, all)->picked = false;
}
