// runs.h: carries flows out: loads runs, hands them events, has the journal keep these and the
// commands, and only then does what the commands say (activities, timers, children, listening).
// All calls and callbacks on the loop thread.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_RUNS_RUNS_H
#define PLEXUS_RUNS_RUNS_H

#include "flow/flow.h"
#include "port/activity.h"
#include "port/bus.h"
#include "port/clock.h"
#include "port/expr.h"
#include "port/journal.h"
#include "runs/worker.h"

struct runs;

struct runs_args {
    struct timers *timers;
    struct journal *journal; // borrowed; outlives runs
    struct expr *expr;
    struct acts *acts;
    int64_t (*wall_ms)(void *user);
    uint64_t (*random)(void *user); // seeds and ids
    // A document's missing parts (flow_need): answer with runs_given, later. NULL: refused.
    void (*need)(void *user, uint64_t ticket, const struct flow_need *n);
    // What others may see: lifecycle CloudEvents as JSON; after the commit. May be NULL.
    void (*event)(void *user, struct bytes run, struct bytes cloudevent);
    // A run changed (its row, a task): for pages. May be NULL.
    void (*changed)(void *user, struct bytes run, const struct flow_note *n);
    // What an activity of this node tells before its end (a model's text so far): for pages. May be
    // NULL.
    void (*progress)(void *user, struct bytes run, struct bytes task, const struct val *detail);
    // The journal stopped: nothing goes on; e says why.
    void (*stopped)(void *user, const struct err *e);
    // The journal takes nothing for now (another program holds it, its server is away): what is
    // written waits and is tried again. e NULL: it goes on. May be NULL.
    void (*held)(void *user, const struct err *e);
    void (*ready)(void *user, uint64_t open_runs); // all that was open is known again
    void *user;
    const char *node; // this node's name
    // Queues: what this node does itself; other queues' activities go over the bus.
    const char *const *queues; // NULL-terminated; a task without one: the first
    const char *environment;
    size_t loaded_max; // runs in memory, 0: 4096; others are read again when something happens
    size_t activities_max; // at once, 0: 256
    uint64_t chapter_max; // entries of a chapter, 0: 4096: then the history rolls over
    const struct runs_rate *rates; // of queues; copied
    size_t rate_count;
    // Several nodes share the journal: what they registered and began by schedules is looked for so
    // often. 0: it has one owner.
    int64_t look_ms;
    int64_t retention_ms; // closed runs are removed after that; 0: 30 days, TIME_NEVER: kept
};
int runs_new(struct runs **ret, const struct runs_args *args,
             struct err *e); // begins to read what is open
void runs_set_bus(struct runs *s, struct bus *b); // NULL: none
void runs_close(struct runs *s, void (*closed)(void *user),
                void *user); // orderly: activities are let go, not waited for
void runs_free(struct runs *s); // after closed (or when journal and activities call nobody more)

struct runs_req { // caller-owned; done once, later
    // json: the answer, borrowed until return; empty on error.
    void (*done)(struct runs_req *r, int status, struct bytes json, const struct err *e);
    void *user;
    void *priv;
    struct list link;
};
struct runs_start {
    struct bytes document; // text or bundle; empty: one that is registered, by the names
    struct bytes namespace, name, version; // version empty: the newest
    struct bytes id; // empty: made. One that is there: E_EXISTS
    const struct val *input;
    struct bytes by;
    // What the start says; else what the document says (metadata.plexus.label); else the otherwise.
    struct bytes label, label_otherwise;
    // Asked before it begins, with that label (empty: none). E_*: it does not. May be NULL.
    int (*may)(void *user, struct bytes label, struct err *e);
    void *may_user;
    bool wait; // done when the run has ended: {"id","status","output"|"error"}; else {"id"} when it
               // is kept
    int64_t wait_ms;
};
void runs_start(struct runs *s, const struct runs_start *a, struct runs_req *r);
void runs_register(struct runs *s, struct bytes document, struct bytes by,
                   struct runs_req *r); // schedules begin
void runs_unregister(struct runs *s, struct bytes namespace, struct bytes name,
                     struct bytes version, struct runs_req *r);
void runs_documents(struct runs *s, struct runs_req *r);
// One of them, {"document": its bundle's text}; version empty: the newest.
void runs_document(struct runs *s, struct bytes namespace, struct bytes name, struct bytes version,
                   struct runs_req *r);
struct runs_filter {
    struct bytes status, name, namespace, after;
    size_t limit;
};
void runs_list(struct runs *s, const struct runs_filter *f, struct runs_req *r);
void runs_show(struct runs *s, struct bytes id, bool full,
               struct runs_req *r); // flow_run_view and the row and the graph
void runs_history(struct runs *s, struct bytes id, uint64_t from,
                  struct runs_req *r); // {"entries":[{"n",...}]}
void runs_export(struct runs *s, struct bytes id,
                 struct runs_req *r); // {"bundle","entries"}: for flow replay
// action: as FLOW_HAND's, and "reset" (entry in `to`: a new run from the history up to there; the
// old one is terminated).
struct runs_hand {
    struct bytes id, action, task, by, reason;
    const struct val *input, *output;
    bool has_input, has_output;
    uint64_t to;
};
void runs_hand(struct runs *s, const struct runs_hand *h, struct runs_req *r);
void runs_signal(struct runs *s, struct bytes id, const struct val *cloudevent, struct runs_req *r);
// A CloudEvent from outside: to every run that listens to it and every schedule `on` it.
// {"taken":n}
void runs_event(struct runs *s, const struct val *cloudevent, struct runs_req *r);
// For who keeps schedules elsewhere. Is it one? Does this event begin it (1, 0; E_UNSUPPORTED: on
// all of several)? The id of the run that it begins: of the same event the same.
#define RUNS_SCHEDULE_ID 256
int runs_schedule_check(const struct val *schedule, struct err *e);
int runs_schedule_hears(const struct val *schedule, struct val *event, struct err *e);
void runs_schedule_id(char id[RUNS_SCHEDULE_ID], struct bytes namespace, struct bytes name,
                      const struct val *event);
void runs_prune(struct runs *s, int64_t closed_before_ms, bool dry, struct runs_req *r);
void runs_given(struct runs *s, uint64_t ticket, int status, struct bytes text,
                const struct err *e);
// A node that shares the journal is gone for good: its open runs go on here (journal_take: its
// writes fail from then on). Harmless where the journal has one owner.
void runs_take(struct runs *s, const char *node);
void runs_cancel(
    struct runs *s,
    struct runs_req *r); // the asker left: done comes with E_CANCELLED; the run goes on

struct runs_stats {
    uint64_t started, completed, faulted, cancelled, steps, activities, activity_failures,
        timers_fired;
    uint64_t open, loaded, loads, evicted, listening, timers, activities_running,
        activities_waiting;
    int64_t timer_late_ms_max;
    bool ready, stopped;
};
void runs_stats(const struct runs *s, struct runs_stats *ret);

#endif
