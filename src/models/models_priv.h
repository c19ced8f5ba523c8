// models_priv.h: inside of room models: one model, the steps of its life, the shared ledger.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_MODELS_MODELS_PRIV_H
#define PLEXUS_MODELS_MODELS_PRIV_H

#include "base/list.h"
#include "base/map.h"
#include "base/time.h"
#include "models/models.h"

// The steps of a life. Several steps look the same from outside (see models_steps.c): a model that
// waits for memory, pauses after a failed start or has its engine starting is LOADING.
enum step {
    STEP_UNLOADED,
    STEP_WAITING,  // wanted, no memory yet
    STEP_PAUSING,  // wanted, the last start failed a moment ago
    STEP_STARTING, // the engine was started
    STEP_WARM,
    STEP_DRAINING, // requests finish, nothing new is granted
    STEP_STOPPING, // the engine was told to stop
    STEP_FAILED,
};

enum turn {
    TURN_WANTED,   // a request, a wish or a restart
    TURN_HOLD,     // wanted, but too soon after its engine died
    TURN_RETRY,    // the pause is over
    TURN_ROOM,     // its memory was put aside
    TURN_NEVER,    // it can never fit
    TURN_UNWANTED, // the last who waited for it left
    TURN_UP,       // the engine is ready
    TURN_REMOTE,   // nothing has to be started
    TURN_DIED,     // the engine went by itself, will be started again
    TURN_LOST,     // the engine went by itself, nobody wants it now
    TURN_GAVE_UP,  // it failed too often
    TURN_DRAIN,    // must leave, requests still run
    TURN_STOP,     // must leave, nothing runs
    TURN_GONE,     // the engine ended as asked, or there was none
    TURN_AGAIN,    // its need became known: back in line
    TURN_FORGET,   // a failure is forgotten: unloaded or changed
};

// Why a model is wanted without a request.
enum wish { WISH_NONE, WISH_PRELOAD, WISH_LOAD };

enum ticket_state { TICKET_OUT, TICKET_WAITING, TICKET_GRANTING, TICKET_GRANTED, TICKET_REFUSING };

struct tickets {
    struct model_ticket *head, *tail;
};

#define MODELS_MAX 4096         // names and aliases together
#define MODELS_FAILURE 2048     // bytes kept of the engine's last words
#define MODELS_PHASE 128
#define MODELS_QUEUE_ALL 1024
#define MODELS_PAUSE_MAX 30000  // longest pause between two starts
#define MODELS_HEALTHY 10000    // an engine that lived so long, or served, starts its count anew
// A model that waits for memory for so long may claim it from models that are kept active by
// ever new requests. Below, a busy model would lose its place for every short wait of another.
#define MODELS_PATIENCE 5000
#define MODELS_CLOSE_GRACE 1000 // from CLOSE_STREAMS to STOP, when requests do not end

struct model {
    struct list all, waiting_link, fx_link;
    char *name, *kind, *engine;
    char **aliases;
    size_t alias_count;
    struct model_spec spec; // numbers; its strings are the ones above
    enum step step;
    enum wish wish;
    bool removed, yields, claims, picked, engine_up, has_engine, remote, closing;
    unsigned fx;            // pending effects, 1 << kind
    struct tickets queue;
    uint32_t active, stale, waiting, restarts;
    uint32_t life;          // counts starts; tickets of an earlier life are stale
    uint64_t charge;        // bytes put aside in the ledger
    uint64_t measured, peak; // of this life, of all lives of this generation
    int64_t since_ms, wait_ms, start_ms, used_ms, due_ms, not_before_ms;
    int64_t last_load_ms, load_ms; // last one; moving average
    uint64_t loads, evictions, deaths, served;
    double share;
    char phase[MODELS_PHASE];
    char failure[MODELS_FAILURE];
    struct err refusal; // of the tickets that are on their way out
    void *user;
};

struct models {
    struct list all;     // struct model.all, in order of putting
    struct list waiting; // struct model.waiting_link: wants memory, first come first served
    struct list fx;      // struct model.fx_link: has effects to tell
    struct tickets out;  // tickets to grant or refuse
    struct map *names;
    struct model *gone;  // told to be gone, freed at the next call
    uint64_t budget, used;
    uint32_t queue_max, waiting_tickets;
    int64_t pump_ms;     // when waiting alone changes who may claim memory
    bool stopping;
};

// models_steps.c
void model_turn(struct models *m, struct model *x, enum turn turn, int64_t now_ms);
enum model_state model_state_of(const struct model *x);
const char *model_step_phase(const struct model *x);
void model_fx(struct models *m, struct model *x, enum model_effect_kind kind);

// models_memory.c
uint64_t model_need(const struct models *m, const struct model *x);
bool model_never_fits(const struct models *m, const struct model *x, struct err *e);
void model_charge(struct models *m, struct model *x, uint64_t bytes);
// Starts what fits, lets idle models leave for what waits.
void models_pump(struct models *m, int64_t now_ms);
void models_relieve(struct models *m, int64_t now_ms);

// models_queue.c
void tickets_push(struct tickets *q, struct model_ticket *t);
void tickets_del(struct tickets *q, struct model_ticket *t);
void model_grant_queue(struct models *m, struct model *x, int64_t now_ms);
// All who wait get x->refusal.
void model_refuse_all(struct models *m, struct model *x);

// models.c
// The model wants to be loaded: waits for memory, or first pauses after a death.
void model_want_load(struct models *m, struct model *x, int64_t now_ms);
// Must leave: drains when requests run, else stops.
void model_leave(struct models *m, struct model *x, int64_t now_ms);
void model_stop(struct models *m, struct model *x, int64_t now_ms);
// At UNLOADED: gone, WARM again, or loaded again when somebody wants it.
void model_settle(struct models *m, struct model *x, int64_t now_ms);
bool model_wanted(const struct model *x);
void model_free(struct models *m, struct model *x);

#endif
