// engines.h: the driver of models: does what they decide, through sup, children and probes, and
// tells them what became of it. One for the node, on the loop thread. SPDX-License-Identifier:
// Apache-2.0
#ifndef PLEXUS_APP_ENGINES_H
#define PLEXUS_APP_ENGINES_H

#include "base/err.h"
#include "config/config.h"
#include "http/http.h"
#include "models/models.h"
#include "port/clock.h"
#include "port/net.h"
#include "port/proc.h"
#include "trust/label.h"

struct engines;

// All callbacks are called from inside engines_run, or from events of the loop; they may call
// models_* and engines_run (which then returns at once: the outer run goes on with what was added).
struct engines_args {
    struct models *models;
    struct procs *procs;
    struct timers *timers;
    struct net *net;
    const char *folder;    // where prepare commands run; NULL: the node's own
    const char *search;    // folders for engine programs after PATH, ':' between; may be NULL
    int64_t kill_after_ms; // from TERM to KILL, default 5 s
    void (*on_changed)(void *user, struct model *m);
    void (*on_line)(void *user, const char *model, const char *engine, int fd, struct bytes line);
    void (*on_grant)(void *user, struct model_ticket *t);
    void (*on_refuse)(void *user, struct model_ticket *t, const struct err *e);
    // The engine's program runs, ns after models decided its start; may be NULL.
    void (*on_started)(void *user, struct model *m, uint64_t ns);
    void (*on_close_streams)(void *user, struct model *m);
    void (*on_gone)(void *user, const char *model); // removed and idle; may be NULL
    struct label_names *names; // of compartments, borrowed; NULL: models have no labels
    void *user;
};

int engines_new(struct engines **ret, const struct engines_args *args, struct err *e);
// Kills what still runs; its connections are closed.
void engines_free(struct engines *e);
// Adds or changes a model (copies everything). Begins its prepare command when its file is absent.
// E_EXISTS, E_INVALID, E_UNSUPPORTED (no such engine), E_NOMEM; what a later start may mend (no
// program yet, no file yet) is told by that start.
int engines_put(struct engines *e, const struct config_model *c, int64_t now_ms, struct err *err);
void engines_remove(struct engines *e, const char *name, int64_t now_ms);
// Drains the effects of models: call after any models_* event. Safe from inside its own callbacks.
void engines_run(struct engines *e);
size_t engines_running(const struct engines *e); // engines that have a process now

struct engine_upstream {
    struct http_pool *pool;
    const char *auth;      // header lines for it, or ""
    const char *base_path; // replaces "/v1"
    const char *model;     // the name it knows the model by; NULL: no rewrite
    int64_t first_byte_ms, silence_ms;
};
// Where a model that is WARM is reached, until the next event; NULL: not now.
const struct engine_upstream *engines_upstream(struct engines *e, struct model *m);
// What a model knows, and what it may be told; has_clearance: its own, else what holds for its
// tier.
struct engine_labels {
    struct label label, clearance;
    bool has_clearance, cloud;
};
struct engine_labels engines_labels(const struct model *m);
// The main process of a model's engine, -1: none.
int64_t engines_pid(const struct engines *e, const struct model *m);

#endif
