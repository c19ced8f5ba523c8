// models.c: the events of a model's life: wished, up, measured, gone, unloaded, time.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "models/models_priv.h"
#include <assert.h>
#include <string.h>

struct models *models_new(const struct models_args *args)
{
    struct models *m = mem_new(struct models);
    if (m == NULL)
        return NULL;
    m->names = map_new(MODELS_MAX);
    if (m->names == NULL) {
        mem_free(m);
        return NULL;
    }
    list_init(&m->all);
    list_init(&m->waiting);
    list_init(&m->fx);
    m->budget = args->memory_bytes;
    m->queue_max = args->queue_max != 0 ? args->queue_max : MODELS_QUEUE_ALL;
    m->pump_ms = TIME_NEVER;
    return m;
}

void models_free(struct models *m)
{
    if (m == NULL)
        return;
    list_each_safe (it, &m->all)
        model_free(m, container_of(it, struct model, all));
    map_free(m->names);
    mem_free(m);
}

void models_limits(struct models *m, const struct models_args *args, int64_t now_ms)
{
    m->budget = args->memory_bytes;
    m->queue_max = args->queue_max != 0 ? args->queue_max : MODELS_QUEUE_ALL;
    if (m->budget != 0)
        models_relieve(m, now_ms);
    models_pump(m, now_ms);
}

bool model_wanted(const struct model *x)
{
    return x->waiting > 0 || x->wish != WISH_NONE;
}

void model_want_load(struct models *m, struct model *x, int64_t now_ms)
{
    if (x->step == STEP_UNLOADED && now_ms < x->not_before_ms) {
        model_turn(m, x, TURN_HOLD, now_ms);
        x->due_ms = x->not_before_ms;
        return;
    }
    model_turn(m, x, TURN_WANTED, now_ms);
}

void model_settle(struct models *m, struct model *x, int64_t now_ms)
{
    assert(x->step == STEP_UNLOADED);
    if (x->removed) {
        if (x->active == 0 && x->stale == 0)
            model_fx(m, x, MODEL_GONE);
        return;
    }
    if (m->stopping)
        return;
    if (x->spec.remote) {
        x->remote = true;
        x->wish = WISH_NONE;
        model_turn(m, x, TURN_REMOTE, now_ms);
        x->used_ms = now_ms;
        model_grant_queue(m, x, now_ms);
    } else if (model_wanted(x)) {
        model_want_load(m, x, now_ms);
    }
}

// The engine is no more: its memory is free, its requests belong to a life that is over.
static void no_engine(struct models *m, struct model *x)
{
    model_charge(m, x, 0);
    x->stale += x->active;
    x->active = 0;
    x->life++;
    x->measured = 0;
    x->has_engine = x->remote = x->closing = false;
}

void model_stop(struct models *m, struct model *x, int64_t now_ms)
{
    if (x->has_engine) {
        model_turn(m, x, TURN_STOP, now_ms);
        return;
    }
    no_engine(m, x);
    model_turn(m, x, TURN_GONE, now_ms);
    model_settle(m, x, now_ms);
}

void model_leave(struct models *m, struct model *x, int64_t now_ms)
{
    if (x->step == STEP_WARM && x->active > 0) {
        model_turn(m, x, TURN_DRAIN, now_ms);
        x->due_ms = x->spec.drain_ms == TIME_NEVER ? TIME_NEVER : now_ms + x->spec.drain_ms;
    } else if (x->step == STEP_WARM || x->step == STEP_STARTING) {
        model_stop(m, x, now_ms);
    }
}

// ---- wishes ----

int models_load(struct models *m, struct model *x, int64_t now_ms, struct err *e)
{
    if (m->stopping)
        return err_set(e, E_BUSY, "the node is shutting down");
    if (x->removed)
        return err_set(e, E_BUSY, "model %s is being removed", x->name);
    if (x->step == STEP_WARM || (x->step == STEP_STARTING && x->wish == WISH_LOAD))
        return 0;
    bool leaving = x->step == STEP_DRAINING || x->step == STEP_STOPPING;
    if (!leaving && x->step != STEP_STARTING && model_never_fits(m, x, e))
        return E_TOOBIG;
    x->wish = WISH_LOAD;
    x->restarts = 0;
    x->not_before_ms = now_ms;
    if (x->step == STEP_PAUSING)
        model_turn(m, x, TURN_RETRY, now_ms);
    else if (x->step == STEP_UNLOADED || x->step == STEP_FAILED)
        model_want_load(m, x, now_ms);
    models_pump(m, now_ms);
    return 0;
}

static void unload(struct models *m, struct model *x, int64_t now_ms)
{
    x->wish = WISH_NONE;
    model_refuse_all(m, x);
    switch (x->step) {
    case STEP_WAITING:
    case STEP_PAUSING: model_turn(m, x, TURN_UNWANTED, now_ms); break;
    case STEP_FAILED: model_turn(m, x, TURN_FORGET, now_ms); break;
    case STEP_STARTING:
    case STEP_WARM: model_leave(m, x, now_ms); break;
    case STEP_UNLOADED:
    case STEP_DRAINING:
    case STEP_STOPPING: break;
    }
}

int models_unload(struct models *m, struct model *x, int64_t now_ms, struct err *e)
{
    if (x->spec.remote)
        return err_set(e, E_UNSUPPORTED, "model %s is remote: there is nothing to unload", x->name);
    (void)err_set(&x->refusal, E_BUSY, "model %s was unloaded", x->name);
    unload(m, x, now_ms);
    models_pump(m, now_ms);
    return 0;
}

void models_pin(struct models *m, struct model *x, bool pinned, int64_t now_ms)
{
    if (x->spec.remote || x->removed || x->spec.pinned == pinned)
        return;
    x->spec.pinned = pinned;
    model_fx(m, x, MODEL_CHANGED);
    if (pinned)
        (void)models_load(m, x, now_ms, NULL);
    else
        x->used_ms = now_ms; // its idle time begins
    models_pump(m, now_ms);
}

void models_stopping(struct models *m, int64_t now_ms)
{
    m->stopping = true;
    list_each_safe (it, &m->all) {
        struct model *x = container_of(it, struct model, all);
        (void)err_set(&x->refusal, E_BUSY, "the node is shutting down");
        unload(m, x, now_ms);
    }
}

bool models_idle(const struct models *m)
{
    if (m->waiting_tickets > 0 || m->out.head != NULL)
        return false;
    list_each (it, &m->all) {
        const struct model *x = container_of(it, struct model, all);
        bool nothing = x->step == STEP_UNLOADED || x->step == STEP_FAILED ||
                       (x->step == STEP_WARM && x->remote);
        if (!nothing || x->active > 0 || x->stale > 0)
            return false;
    }
    return true;
}

// ---- from the engine's side ----

void models_phase(struct models *m, struct model *x, const char *phase, double share,
                  int64_t now_ms)
{
    (void)now_ms;
    struct bytes text = bytes_first(bytes_of(phase), sizeof x->phase - 1);
    if (bytes_is(text, x->phase) && x->share == share)
        return;
    if (text.n > 0)
        memcpy(x->phase, text.p, text.n);
    x->phase[text.n] = '\0';
    x->share = share;
    model_fx(m, x, MODEL_CHANGED);
}

void models_up(struct models *m, struct model *x, int64_t now_ms)
{
    if (x->step != STEP_STARTING)
        return;
    x->wish = WISH_NONE;
    x->loads++;
    x->last_load_ms = now_ms - x->start_ms;
    x->load_ms = x->loads == 1 ? x->last_load_ms : (3 * x->load_ms + x->last_load_ms) / 4;
    x->failure[0] = '\0';
    model_turn(m, x, TURN_UP, now_ms);
    x->used_ms = now_ms;
    model_grant_queue(m, x, now_ms);
    models_pump(m, now_ms); // it may now be the one who can leave
}

void models_memory(struct models *m, struct model *x, uint64_t bytes, int64_t now_ms)
{
    if (!x->has_engine || bytes == 0 || bytes == x->measured)
        return;
    bytes = bytes < (uint64_t)1 << 50 ? bytes : (uint64_t)1 << 50;
    uint64_t step = x->measured > bytes ? x->measured - bytes : bytes - x->measured;
    bool tell = step > x->measured / 64; // smaller changes are not worth a message
    x->measured = bytes;
    if (bytes > x->peak)
        x->peak = bytes;
    if (bytes > x->charge)
        model_charge(m, x, bytes);
    if (tell)
        model_fx(m, x, MODEL_CHANGED);
    if (m->budget != 0 && m->used > m->budget)
        models_relieve(m, now_ms);
}

static void keep_failure(struct model *x, struct bytes why)
{
    struct bytes text = bytes_first(bytes_trim(why), sizeof x->failure - 1);
    if (text.n == 0)
        text = BYTES("the engine ended without a word");
    memcpy(x->failure, text.p, text.n);
    x->failure[text.n] = '\0';
    (void)err_set(&x->refusal, E_ENGINE, "model %s failed: %s", x->name, x->failure);
}

static int64_t pause_of(const struct model *x)
{
    int64_t pause = x->spec.restart_pause_ms;
    for (uint32_t i = 1; i < x->restarts && pause < MODELS_PAUSE_MAX; i++)
        pause *= 2;
    return pause < MODELS_PAUSE_MAX ? pause : MODELS_PAUSE_MAX;
}

static void give_up(struct models *m, struct model *x, int64_t now_ms)
{
    x->wish = WISH_NONE;
    model_refuse_all(m, x);
    model_turn(m, x, TURN_GAVE_UP, now_ms);
    x->due_ms = now_ms + x->spec.failed_pause_ms;
}

// The engine went by itself while it started or served.
static void died(struct models *m, struct model *x, struct bytes why, bool final, int64_t now_ms)
{
    bool served = x->step == STEP_WARM;
    bool healthy = served && (x->served > 0 || now_ms - x->since_ms >= MODELS_HEALTHY);
    no_engine(m, x);
    keep_failure(x, why);
    x->restarts = healthy ? 1 : x->restarts + 1;
    if (served) {
        x->deaths++;
        if (x->spec.pinned)
            x->wish = WISH_LOAD;
    }
    x->not_before_ms = now_ms + pause_of(x);
    if (final || x->restarts >= x->spec.restarts_max + (healthy ? 1 : 0)) {
        give_up(m, x, now_ms);
    } else if (model_wanted(x)) {
        model_turn(m, x, TURN_DIED, now_ms);
        x->due_ms = x->not_before_ms;
    } else {
        model_turn(m, x, TURN_LOST, now_ms);
        model_settle(m, x, now_ms);
    }
}

static void down(struct models *m, struct model *x, struct bytes why, bool final, int64_t now_ms)
{
    if (!x->has_engine)
        return;
    if (x->step == STEP_STARTING || x->step == STEP_WARM) {
        died(m, x, why, final, now_ms);
    } else {
        no_engine(m, x);
        model_turn(m, x, TURN_GONE, now_ms);
        model_settle(m, x, now_ms);
    }
    models_pump(m, now_ms);
}

void models_down(struct models *m, struct model *x, struct bytes why, int64_t now_ms)
{
    down(m, x, why, false, now_ms);
}

void models_failed(struct models *m, struct model *x, struct bytes why, int64_t now_ms)
{
    if (x->step == STEP_UNLOADED || x->step == STEP_WAITING || x->step == STEP_PAUSING) {
        if (x->removed)
            return;
        keep_failure(x, why);
        give_up(m, x, now_ms);
    } else {
        down(m, x, why, true, now_ms);
    }
}

void models_requeue(struct models *m, struct model *x, int64_t now_ms)
{
    if (x->step != STEP_STARTING)
        return;
    no_engine(m, x);
    model_turn(m, x, model_wanted(x) ? TURN_AGAIN : TURN_LOST, now_ms);
    if (x->step == STEP_UNLOADED)
        model_settle(m, x, now_ms);
    models_pump(m, now_ms);
}
