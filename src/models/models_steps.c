// models_steps.c: the life of a model as two tables: what each step means, and which turn leads
// from step to step. docs draw their picture from the second one.
// SPDX-License-Identifier: Apache-2.0
#include "models/models_priv.h"
#include <assert.h>
#include <string.h>

static const struct {
    enum model_state state;
    const char *phase; // shown unless the engine said something better
    bool engine;       // there is a process to stop (local models)
} steps[] = {
    [STEP_UNLOADED] = {MODEL_UNLOADED, "", false},
    [STEP_WAITING] = {MODEL_LOADING, "waiting for memory", false},
    [STEP_PAUSING] = {MODEL_LOADING, "restarting", false},
    [STEP_STARTING] = {MODEL_LOADING, "starting", true},
    [STEP_WARM] = {MODEL_WARM, "", true},
    [STEP_DRAINING] = {MODEL_DRAINING, "draining", true},
    [STEP_STOPPING] = {MODEL_DRAINING, "stopping", true},
    [STEP_FAILED] = {MODEL_FAILED, "", false},
};

#define FX(kind) (1U << (kind))

static const struct {
    enum step from;
    enum turn turn;
    enum step to;
    unsigned fx;
    const char *why; // the label of the arrow
} turns[] = {
    {STEP_UNLOADED, TURN_WANTED, STEP_WAITING, 0, "a request, load, preload or pin"},
    {STEP_UNLOADED, TURN_HOLD, STEP_PAUSING, 0, "wanted too soon after its engine died"},
    {STEP_UNLOADED, TURN_REMOTE, STEP_WARM, 0, "a remote address needs no start"},
    {STEP_WAITING, TURN_ROOM, STEP_STARTING, FX(MODEL_START), "it fits beside the others"},
    {STEP_UNLOADED, TURN_GAVE_UP, STEP_FAILED, 0, "its file could not be made"},
    {STEP_WAITING, TURN_GAVE_UP, STEP_FAILED, 0, "its file could not be made"},
    {STEP_WAITING, TURN_NEVER, STEP_FAILED, 0, "it can never fit"},
    {STEP_WAITING, TURN_UNWANTED, STEP_UNLOADED, 0, "all who waited left"},
    {STEP_PAUSING, TURN_RETRY, STEP_WAITING, 0, "the pause is over"},
    {STEP_PAUSING, TURN_UNWANTED, STEP_UNLOADED, 0, "all who waited left"},
    {STEP_PAUSING, TURN_GAVE_UP, STEP_FAILED, 0, "its file could not be made"},
    {STEP_STARTING, TURN_AGAIN, STEP_WAITING, 0, "its file was made: now its size is known"},
    {STEP_STARTING, TURN_UP, STEP_WARM, 0, "the engine is ready"},
    {STEP_STARTING, TURN_DIED, STEP_PAUSING, 0, "the start failed"},
    {STEP_STARTING, TURN_LOST, STEP_UNLOADED, 0, "the start failed and nobody waits"},
    {STEP_STARTING, TURN_GAVE_UP, STEP_FAILED, 0, "too many failed starts"},
    {STEP_STARTING, TURN_STOP, STEP_STOPPING, FX(MODEL_STOP), "unloaded, changed or removed"},
    {STEP_WARM, TURN_DRAIN, STEP_DRAINING, 0, "must leave, requests still run"},
    {STEP_WARM, TURN_STOP, STEP_STOPPING, FX(MODEL_STOP), "idle, evicted, unloaded or changed"},
    {STEP_WARM, TURN_GONE, STEP_UNLOADED, 0, "a remote address is given up"},
    {STEP_WARM, TURN_DIED, STEP_PAUSING, 0, "the engine died and is wanted"},
    {STEP_WARM, TURN_LOST, STEP_UNLOADED, 0, "the engine died"},
    {STEP_WARM, TURN_GAVE_UP, STEP_FAILED, 0, "the engine died too often"},
    {STEP_DRAINING, TURN_STOP, STEP_STOPPING, FX(MODEL_STOP), "the last request ended"},
    {STEP_DRAINING, TURN_GONE, STEP_UNLOADED, 0, "the engine died while draining"},
    {STEP_STOPPING, TURN_GONE, STEP_UNLOADED, 0, "the engine is gone"},
    {STEP_FAILED, TURN_WANTED, STEP_WAITING, 0, "a request after the pause, or load"},
    {STEP_FAILED, TURN_FORGET, STEP_UNLOADED, 0, "unloaded or changed"},
};

const char *model_state_name(enum model_state s)
{
    static const char *const names[] = {"UNLOADED", "LOADING", "WARM", "DRAINING", "FAILED"};
    return names[s];
}

enum model_state model_state_of(const struct model *x)
{
    return steps[x->step].state;
}

const char *model_step_phase(const struct model *x)
{
    return steps[x->step].phase;
}

void model_fx(struct models *m, struct model *x, enum model_effect_kind kind)
{
    if (x->fx == 0)
        list_add_tail(&m->fx, &x->fx_link);
    x->fx |= 1U << kind;
}

static void enter(struct models *m, struct model *x, enum step to, int64_t now_ms)
{
    if (steps[to].state != steps[x->step].state)
        x->since_ms = now_ms;
    if (x->step == STEP_WAITING)
        list_del(&x->waiting_link);
    x->step = to;
    x->phase[0] = '\0';
    x->share = -1;
    x->due_ms = TIME_NEVER;
    if (to == STEP_WAITING) {
        x->wait_ms = now_ms;
        list_add_tail(&m->waiting, &x->waiting_link);
    }
    if (to != STEP_WARM)
        x->yields = false;
}

void model_turn(struct models *m, struct model *x, enum turn turn, int64_t now_ms)
{
    for (size_t i = 0; i < sizeof turns / sizeof turns[0]; i++) {
        if (turns[i].from != x->step || turns[i].turn != turn)
            continue;
        enter(m, x, turns[i].to, now_ms);
        for (unsigned kind = 0; turns[i].fx >> kind; kind++)
            if (turns[i].fx >> kind & 1)
                model_fx(m, x, (enum model_effect_kind)kind);
        model_fx(m, x, MODEL_CHANGED);
        return;
    }
    assert(!"a turn that the table does not have");
}
