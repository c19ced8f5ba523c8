// engines_priv.h: what the files of the driver share.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_APP_ENGINES_PRIV_H
#define PLEXUS_APP_ENGINES_PRIV_H

#include "app/engines.h"
#include "base/arena.h"
#include "base/list.h"
#include "host/host.h"
#include "port/engine.h"
#include "sup/sup.h"

#define ENGINES_CONF_BYTES ((size_t)4 << 20)  // a model's configuration, copied
#define ENGINES_PLAN_BYTES ((size_t)4 << 20)  // one start's command line and environment
#define ENGINES_PROBE_MS 2000   // one probe; the next comes after it
#define ENGINES_PROBE_IDLE_MS 500 // its connection goes soon after the last probe
#define ENGINES_TLS_IDLE_MAX 1024 // kept connections to an engine behind TLS
#define ENGINES_FIGURE_MS 100   // from asking for the memory figure to reading it

// One probe on its way. It outlives its engine: its end comes when it comes.
struct engine_probe {
    struct engine *owner; // NULL: nobody wants the answer any more
    struct http_call *call;
    struct net_stream *stream; // instead of a call, where there is no health path
    bool ok;
};

// The connections of an earlier life: calls on them still end by themselves, so that what the
// engine sent last is delivered. Freed by a timer: never from inside the end of one of those calls.
struct engine_old {
    struct list link;
    struct engine *owner; // NULL: gone
    struct http_pool *pool;
};

struct engine { // of one model
    struct engines *all;
    struct list link;
    struct model *model;
    const struct engine_ops *ops;
    // The configuration as last put.
    struct arena *conf_arena;
    struct config_model conf;
    struct engine_labels labels;
    bool remote;
    // The present life: plan, child, probes.
    struct arena *plan_arena;
    struct engine_plan plan;
    struct sup sup;
    struct proc *proc;
    uint64_t start_ns; // when models decided the present start
    struct engine_probe *probe;
    struct http_pool *probe_pool;
    struct timer timer, figure;
    char open[HOST_ADDRESS_MAX]; // where other machines reached it: it is being ended for that
    // The way for requests.
    struct http_pool *pool;
    struct net_tls *tls;
    struct engine_upstream up;
    bool reachable;
    // Making the file.
    struct proc *maker;
    struct sup maker_log; // for its last lines
    bool start_when_made;
};

struct engines {
    struct engines_args args;
    struct list all; // struct engine.link
    struct list old; // struct engine_old.link
    struct timer timer, sweep;
    int64_t due_ms; // of the timer; TIME_NEVER: not running
    bool running;
};

int64_t engines_now(const struct engines *e);
void engines_sweep_soon(struct engines *e); // retired pools may have come free

// engines_conf.c
int engine_conf_copy(struct arena *a, struct config_model *to, const struct config_model *from);
int engine_labels_of(struct engine_labels *ret, struct label_names *names,
                     const struct config_model *c, struct err *e);
struct engine_spec engine_spec_of(const struct engine *x);
void engine_model_spec(struct model_spec *to, const struct config_model *c,
                       const struct engine_plan *p);
// The node's environment without secrets, and more on top; NULL: no memory.
const char *const *engine_environment(struct arena *a, const char *const *more);
void engine_plan_drop(struct engine *x); // wipes the key, frees the arena
// A port of 127.0.0.1 that is free now and that no other engine was given.
int engine_free_port(const struct engines *e, uint16_t *ret, struct err *err);

// engines_start.c
void engine_init_timers(struct engine *x);
void engine_start(struct engine *x);
void engine_stop(struct engine *x);
int engine_remote_open(struct engine *x, struct err *e); // (re)makes its pool
void engine_pool_retire(struct engine *x);
void engine_free(struct engine *x);

// engines_probe.c
void engine_probe(struct engine *x);
void engine_probe_forget(struct engine *x);
void engine_probed(struct engine *x, bool ok); // engines_start.c

// engines_make.c
bool engine_must_make(
    const struct engine *x); // a file is named, absent, and there is a way to make it
void engine_make(struct engine *x);
void engine_make_stop(struct engine *x);

#endif
