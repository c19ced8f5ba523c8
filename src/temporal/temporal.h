// temporal.h: flows on a Temporal cluster: a worker of a task queue, and what runs.h offers as far
// as Temporal can. All calls and callbacks on the loop thread.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TEMPORAL_TEMPORAL_H
#define PLEXUS_TEMPORAL_TEMPORAL_H

#include "flow/flow.h"
#include "port/activity.h"
#include "port/clock.h"
#include "port/expr.h"
#include "port/net.h"
#include "runs/runs.h"

struct temporal;

struct temporal_args { // texts are copied; net, timers, tls, acts, expr are borrowed until closed
    struct net *net;
    struct timers *timers;
    struct net_addr addr;
    struct net_tls *tls; // with alpn "h2"; NULL: in the clear
    const char *server_name; // NULL: addr.host
    const char *namespace;   // NULL: "default"
    const char *api_key;     // NULL: none. Sent as authorization: Bearer
    const char *queue;       // task queue of flows, and of activities without a queue
    const struct runs_rate *rates; // of queues: kept by the server, for all workers together
    size_t rate_count;
    const char *const *queues; // NULL-terminated: further queues whose activities are done here
    const char *identity, *build_id; // NULL: "plexus@" node, "plexus/" version
    // Of a worker deployment, NULL: none. With one the server gives flows to the deployment's
    // current version, and they move on to the next (AUTO_UPGRADE: an old history goes on under a
    // new plexus).
    const char *deployment;
    const char *node; // its name; NULL: "node"
    struct expr *expr;
    struct acts *acts; // NULL: none are done here
    bool activities_only; // no workflow tasks: `plexus worker --queue`
    // A registered document (bundle) by its names, version empty: the newest; for child flows and
    // starts without a document. E_NOTFOUND. NULL: there are none.
    int (*document)(void *user, struct bytes namespace, struct bytes name, struct bytes version,
                    struct buf *out, struct err *e);
    void (*event)(void *user, struct bytes run, struct bytes cloudevent); // lifecycle; may be NULL
    void (*changed)(void *user, struct bytes run, const struct flow_note *n); // may be NULL
    // The server became reachable (0) or is not (E_*), each time that changes. May be NULL.
    void (*state)(void *user, int status, const struct err *e);
    int64_t (*wall_ms)(void *user);
    void *user;
    size_t flows_max; // kept in memory between their tasks, 0: 2048
    size_t activities_max; // at once, 0: 64
    unsigned pollers; // of workflow tasks, and as many of activity tasks, 0: 4
    // Flows roll over when the server suggests it and nothing is under way. A history of more
    // events lets nothing new begin until that is so. 0: 20,000 (the server ends a flow at 51,200).
    uint64_t events_max;
    // An activity that failed for a reason that passes (nobody answered, too many, a time over) is
    // tried again by this worker, after 0.1 s, 0.2 s, ..., so many times, before the flow is told.
    unsigned local_retries;
    int64_t heartbeat_ms; // an activity without a sign for so long is started elsewhere, 0: 30 s
};
// Begins to poll. The server need not be there yet.
int temporal_new(struct temporal **ret, const struct temporal_args *args, struct err *e);
// Orderly: polls end, activities are let go (the server starts them elsewhere). Once.
void temporal_close(struct temporal *t, void (*closed)(void *user), void *user);

// As runs.h says, for struct runs_req; the answers have the same shapes. Differences:
// - ids are workflow ids; "history" gives the flow's entries as they are folded from Temporal's
//   events, each with "event": the number of that.
// - hand: retry, skip, edit, pause, resume, cancel are signals `plexus.hand`; terminate and reset
//   are Temporal's own; a closed flow takes none (E_CONFLICT).
void temporal_start(struct temporal *t, const struct runs_start *a, struct runs_req *r);
void temporal_list(struct temporal *t, const struct runs_filter *f, struct runs_req *r);
void temporal_show(struct temporal *t, struct bytes id, bool full, struct runs_req *r);
void temporal_history(struct temporal *t, struct bytes id, uint64_t from, struct runs_req *r);
void temporal_export(struct temporal *t, struct bytes id, struct runs_req *r);
void temporal_hand(struct temporal *t, const struct runs_hand *h, struct runs_req *r);
void temporal_signal(struct temporal *t, struct bytes id, const struct val *cloudevent,
                     struct runs_req *r);
// Removes flows that ended before that. {"removed":n}
void temporal_prune(struct temporal *t, int64_t closed_before_ms, bool dry, struct runs_req *r);
// A registered document (bundle) begins by itself as its schedule says: cron and every by a
// schedule of Temporal's (NAMESPACE.NAME: made, or changed), after and on by the workers that were
// told here. One without: what an elder version had ends. fresh: false at the start of a node: what
// the server has stays as it is.
void temporal_schedule(struct temporal *t, struct bytes bundle, bool fresh, struct runs_req *r);
void temporal_unschedule(struct temporal *t, struct bytes namespace, struct bytes name,
                         struct runs_req *r);
// To every open flow on the queue that listens to such an event (by its memo), and to schedules on
// it. {"taken":n}
void temporal_event(struct temporal *t, const struct val *cloudevent, struct runs_req *r);
void temporal_cancel(struct temporal *t, struct runs_req *r); // the asker left

struct temporal_stats {
    uint64_t workflow_tasks, workflow_failures, activities, activity_failures, evals, replays,
        sticky_hits;
    uint64_t flows, activities_running;
    bool up;
    bool attributes; // the server has our search attributes
    char server[64]; // version of the server, "" not known yet
    char why[256];
};
void temporal_stats(const struct temporal *t, struct temporal_stats *ret);

// A history as Temporal gives it (temporal.api.history.v1.History: wire bytes, or JSON), folded
// with the present decider. 0 and the run's view in out; E_CONFLICT: the history says otherwise.
int temporal_replay(struct bytes history, struct buf *out, struct err *e);

// The development server: argv for `program` (ends with NULL; the texts are in *ret), for
// port/proc.h. Ready when temporal_args.state says 0. Folder is made by the caller.
struct temporal_server {
    char text[5][512];
    const char *argv[20];
};
void temporal_server(struct temporal_server *ret, const char *program, const char *folder,
                     uint16_t port, uint16_t ui_port, const char *namespace);

#endif
