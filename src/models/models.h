// models.h: wish and memory: the life of every model. Pure state machine: events in, effects out;
// no clock, process or socket; it never sees a pid.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_MODELS_MODELS_H
#define PLEXUS_MODELS_MODELS_H

#include "base/bytes.h"
#include "base/err.h"
#include "text/json.h"

enum model_state { MODEL_UNLOADED, MODEL_LOADING, MODEL_WARM, MODEL_DRAINING, MODEL_FAILED };
const char *model_state_name(enum model_state s); // "UNLOADED", ...

struct models;
struct model; // one of them; pointer stays valid until it is removed and idle

struct model_spec {
    const char *name;
    const char *kind;
    const char *engine;
    const char *const *aliases;  // NULL-terminated or NULL
    uint64_t memory_bytes; // what it is believed to need; 0: unknown (counts as 0 until measured)
                           // or remote
    uint64_t context;
    int64_t idle_ms; // unload after so long without a request; TIME_NEVER: keep
    bool pinned; // never evicted or idled out; loaded at start; restarted when it dies
    bool preload; // loaded at start
    bool remote; // always WARM, no memory, nothing to start or stop
    uint32_t slots; // requests in flight at once; 0: no limit
    uint32_t queue_max; // requests waiting for this model (0: none may wait)
    uint32_t restarts_max; // failed starts in a row before FAILED, default 3
    int64_t restart_pause_ms; // first pause, doubled each time up to 30 s, default 250
    int64_t failed_pause_ms; // a FAILED model is tried again by a request after this, default 10 s
    int64_t load_timeout_ms; // default 10 min: a cold start is never killed by a request's deadline
    int64_t drain_ms; // how long requests may finish when it is unloaded, default 30 s
    uint64_t generation; // changes when anything that needs a restart changed
};

struct models_args {
    uint64_t memory_bytes; // budget for all local models together; 0: no limit
    uint32_t queue_max; // requests waiting over all models, default 1024
};

// A request that wants a model. Caller-owned, zeroed first; in models' hands from models_want
// (1 returned) until granted or refused comes as an effect, or models_cancel.
struct model_ticket {
    struct model *model;
    void *user;
    int64_t since_ms;
    struct model_ticket *next, *prev;
    uint32_t life; // of the engine that serves it
    uint8_t state;
};

enum model_effect_kind {
    MODEL_START, // start the engine of this model now
    MODEL_STOP, // stop it: close its streams, TERM, KILL by its own deadlines
    MODEL_GRANT, // the ticket may go on (models_done ends it)
    MODEL_REFUSE, // the ticket is over: code and text in effect->err
    MODEL_CHANGED, // state, phase or figures changed: for the console and the log
    MODEL_CLOSE_STREAMS, // the drain deadline passed: end what still runs with an error event
    MODEL_GONE, // removed and idle: the last word of this model; the pointer dies with the next
                // call
};
struct model_effect {
    enum model_effect_kind kind;
    struct model *model;
    struct model_ticket *ticket;
    struct err err;
};

struct models *models_new(const struct models_args *args);
void models_free(struct models *m);
void models_limits(struct models *m, const struct models_args *args, int64_t now_ms);
// Takes the next effect; false: none left. Drain after every event call below.
bool models_effect(struct models *m, struct model_effect *ret);

// ---- events ----
// Adds or changes (copies the spec). Changed generation: a loaded model is drained and loaded anew
// when wanted. E_EXISTS when a name or alias is taken by another.
int models_put(struct models *m, const struct model_spec *spec, int64_t now_ms, struct err *e);
void models_remove(struct models *m, struct model *x, int64_t now_ms); // drained, then gone
// 0: granted at once. 1: waiting (effects tell). E_NOTFOUND never here: look up first.
// E_ENGINE: FAILED and too early to try again (text has the engine's last lines), E_FULL: queue
// full, E_TOOBIG: can never fit the budget (text in bytes), E_BUSY: node is draining.
int models_want(struct models *m, struct model *x, struct model_ticket *t, int64_t now_ms,
                struct err *e);
void models_done(struct models *m, struct model_ticket *t,
                 int64_t now_ms); // a granted request ended
void models_cancel(struct models *m, struct model_ticket *t,
                   int64_t now_ms); // a waiting client left
int models_load(struct models *m, struct model *x, int64_t now_ms, struct err *e);
int models_unload(struct models *m, struct model *x, int64_t now_ms, struct err *e);
void models_pin(struct models *m, struct model *x, bool pinned, int64_t now_ms);
// From the engine's side.
void models_phase(struct models *m, struct model *x, const char *phase, double share,
                  int64_t now_ms);
void models_up(struct models *m, struct model *x, int64_t now_ms);
void models_memory(struct models *m, struct model *x, uint64_t bytes, int64_t now_ms); // measured
// The engine is gone; why has its last log lines when it was not asked to stop.
void models_down(struct models *m, struct model *x, struct bytes why, int64_t now_ms);
// It cannot be started at all (no program, no file): FAILED at once, without further tries; also
// while it is not loaded.
void models_failed(struct models *m, struct model *x, struct bytes why, int64_t now_ms);
// A start that has no engine yet goes back in line: what it needs became known only now
// (models_put).
void models_requeue(struct models *m, struct model *x, int64_t now_ms);
void models_stopping(struct models *m, int64_t now_ms); // the node ends: refuse new, drain all
bool models_idle(const struct models *m); // nothing loaded, nothing waits
// Call at this time at the latest (TIME_NEVER: no need).
int64_t models_next_ms(const struct models *m);
void models_tick(struct models *m, int64_t now_ms);

// ---- views ----
struct model *models_find(const struct models *m, struct bytes name_or_alias); // NULL: unknown
const char *models_nearest(const struct models *m, struct bytes name); // or NULL
struct model *models_each(const struct models *m,
                          struct model *after); // NULL first; NULL at the end
struct model_view {
    const char *name, *kind, *engine, *phase, *failure;
    enum model_state state;
    bool pinned, remote, preload;
    uint32_t active, waiting;
    uint32_t stale; // of active: those whose engine is gone and that still end
    uint64_t memory_bytes; // measured, else believed
    bool memory_measured;
    uint64_t context;
    double share; // of the loading, negative: unknown
    int64_t eta_ms; // until WARM, from earlier loads; negative: unknown
    int64_t idle_left_ms; // until the idle unload; TIME_NEVER: none
    int64_t since_ms; // in this state since
    uint64_t loads, evictions, deaths, generation;
    int64_t last_load_ms; // how long the last load took
    uint32_t restarts; // failed starts in a row
};
void model_view(const struct models *m, const struct model *x, int64_t now_ms,
                struct model_view *ret);
void *model_user(const struct model *x); // the driver's
void model_set_user(struct model *x, void *user);
uint64_t models_memory_used(const struct models *m);
uint64_t models_memory_budget(const struct models *m);

#endif
