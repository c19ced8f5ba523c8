// temporal_priv.h: what the parts of the worker share.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TEMPORAL_TEMPORAL_PRIV_H
#define PLEXUS_TEMPORAL_TEMPORAL_PRIV_H

#include "base/alloc.h"
#include "base/list.h"
#include "base/map.h"
#include "grpc/grpc.h"
#include "temporal/temporal.h"
#include "text/proto.h"

#define TEMPORAL_BYTES_MAX ((size_t)64 << 20) // of one message; the server's own limit is 4 MiB
#define TEMPORAL_POLL_MS 70000                // the server answers with nothing after 60 s
#define TEMPORAL_CALL_MS 10000
#define TEMPORAL_HAND "plexus.hand"       // signal
#define TEMPORAL_EVENT "plexus.event"     // signal: a CloudEvent for who listens
#define TEMPORAL_MARK_EVAL "plexus.eval"  // marker: {"id","data"}: of evaluated
#define TEMPORAL_MARK_CHILD "plexus.child" // marker: {"id","error"}: it could not be begun
#define TEMPORAL_MARK_START "plexus.start" // marker: {"bundle"}: of a start without one

struct bytes embed_temporal_api(void);

// ---- calls --------------------------------------------------------------------------------------

struct temporal_rpc {
    struct list link;
    struct temporal *t;
    struct grpc_call call;
    const char *method;
    char path[128];
    struct val *answer;
    int status;
    struct err err;
    struct timer fail;
    void (*done)(void *user, int status, struct val *answer, const struct err *e);
    void *user;
};
// done comes once, later; answer is borrowed until it returns. The request goes over.
struct temporal_rpc *
temporal_call(struct temporal *t, const char *method, struct val *takes_request, int64_t timeout_ms,
              void (*done)(void *user, int status, struct val *answer, const struct err *e),
              void *user);

// ---- values -------------------------------------------------------------------------------------

struct val *temporal_payload(const struct val *v);                 // json/plain
struct val *temporal_payloads(struct val *takes_a, struct val *takes_b); // of one (b NULL) or two
struct val *temporal_payload_of(const struct val *payloads, size_t i); // its JSON, NULL: not there
struct val *temporal_unpack(const struct val *payload);
struct val *temporal_failure(const struct val *problem, bool retry);
struct val *temporal_problem(const struct val *failure); // Temporal's failure as a problem
struct val *temporal_problem_new(const char *kind, int status, const char *title,
                                 const char *detail);
struct val *temporal_put_ms(struct val *takes_obj, const char *key, int64_t ms); // a Duration
int64_t temporal_time_ms(const struct val *text); // of a Timestamp; 0
uint64_t temporal_u64(const struct val *v); // "12", 12; 0
struct val *temporal_name(const char *key, const char *name); // {key: name}
#define temporal_str(v, key) val_bytes(val_get_cstr((v), (key)))

// ---- a run, folded from its history -------------------------------------------------------------

struct temporal_marked { // of a command whose answer stands in a marker
    uint64_t id;
    struct val *data;
    enum flow_type type; // FLOW_EVALUATED or FLOW_FAILED
};
struct temporal_known { // what the server knows of a command
    uint64_t id, event; // event: of its being scheduled, 0: not yet
    uint64_t kind; // hash of the activity's kind, the child's name
    enum flow_type type;
    bool detached; // a child whose end nobody awaits
};

struct temporal_fold {
    char *workflow, *run; // ids
    struct flow_plan *plan;
    struct flow_run *flow; // NULL: its start was not seen yet
    struct flow_out out;
    struct temporal_marked *marks;
    size_t mark_count, mark_cap;
    struct temporal_known *known;
    size_t known_count, known_cap;
    uint64_t last; // the last event that was seen
    struct flow_event *queue; // evals, children, yields to be answered before the next event
    size_t queue_at, queue_count, queue_cap;
    struct flow_event *todo; // commands since the last workflow task
    size_t todo_count, todo_cap;
    struct flow_event end; // type FLOW_END, when it came
    bool ended, suggested, replays, forgives;
    struct val *meta; // of its start
    struct val *input; // of its start
    struct val *need; // {"name"}: its document is asked for (from args.document)
    struct val *memo; // as it was told last
    bool bundle_marked;
    // What happened to tasks, of steps that are not replayed; may be NULL.
    void (*noted)(void *user, const struct flow_note *n, uint64_t number);
    void *noted_user;
    uint64_t notes; // so far, replayed ones too: numbers them
    struct buf *entries; // where the flow's entries are written (for history, export), or NULL
    uint64_t entry_event, entry_number, entry_from; // from: the first that is written
    int64_t now_ms;
};
int temporal_fold_new(struct temporal_fold **ret, struct bytes workflow, struct bytes run,
                      struct err *e);
void temporal_fold_free(struct temporal_fold *f);
// Markers of all events first, then event by event.
int temporal_fold_marks(struct temporal_fold *f, const struct val *events, struct err *e);
// 0; 1: an answer is needed first: temporal_fold_next gives what to; E_CONFLICT: the history says
// otherwise; E_INVALID...: the document is bad.
int temporal_fold_event(struct temporal_fold *f, const struct val *event, struct err *e);
// What waits for an answer (eval, child without document, yield), or NULL.
const struct flow_event *temporal_fold_next(struct temporal_fold *f);
// Answers it. type FLOW_EVALUATED, FLOW_FAILED, FLOW_TICK. As temporal_fold_event.
int temporal_fold_answer(struct temporal_fold *f, enum flow_type type, struct val *takes_data,
                         struct err *e);
void temporal_fold_told(struct temporal_fold *f); // todo is the server's now
void temporal_fold_pass(struct temporal_fold *f); // the first of the queue needs none
int temporal_fold_begin(struct temporal_fold *f, struct bytes bundle, struct err *e); // after need
int temporal_fold_feed(struct temporal_fold *f, enum flow_type type, uint64_t id, int64_t at_ms,
                       struct val *takes_data, struct err *e);
struct temporal_known *temporal_fold_known(struct temporal_fold *f, uint64_t id);
// A whole history whose answers all stand in it. 0, E_CONFLICT; cut: it may end in the middle.
int temporal_fold_all(struct temporal_fold *f, const struct val *events, struct err *e);

// ---- the worker ---------------------------------------------------------------------------------

struct temporal_flow { // a flow in memory
    struct list link; // least lately used first
    struct bytes key; // run id
    struct temporal_fold *fold;
    bool busy; // a task of it is under way
    bool gone; // free it when that ends
};

struct temporal_poll {
    struct temporal *t;
    struct temporal_rpc *rpc;
    struct timer pause;
    int64_t pause_ms;
    const char *queue;
    double rate; // of activities; 0: no limit
    bool sticky, activity;
};

struct temporal {
    struct temporal_args args;
    char *namespace, *queue, *identity, *build_id, *node, *sticky, *host, *deployment;
    char **queues;
    size_t queue_count;
    struct proto *api;
    struct grpc *grpc;
    struct list rpcs, tasks, acts, asks, ops, schedules;
    struct map *flows; // by run id
    struct list lru;
    struct temporal_poll *polls;
    size_t poll_count;
    size_t acts_running;
    struct timer check;
    bool closing, grpc_closing, grpc_closed, freed;
    int state; // last told; 1: nothing yet
    void (*closed)(void *user);
    void *closed_user;
    struct temporal_stats stats;
    struct err why;
};

struct temporal_op;
struct val *temporal_request(const struct temporal *t); // {"namespace","identity"}
struct val *temporal_bare(const struct temporal *t); // {"namespace"}
struct val *temporal_execution(struct bytes workflow, struct bytes run);
int64_t temporal_wall(const struct temporal *t);
void temporal_told(struct temporal *t, int status, const struct err *e); // of reachability

// tasks.c
void temporal_task(struct temporal *t, struct val *answer);
void temporal_tasks_end(struct temporal *t);
void temporal_flow_drop(struct temporal *t, struct temporal_flow *f);
// commands.c: the flow's new commands as Temporal's, into an array. NULL: no memory.
struct val *temporal_commands(struct temporal *t, struct temporal_fold *f, struct val *takes_first,
                              bool *ret_closes);
// Of lists: whose flow it is. meta: of its start ("by", "label").
struct val *temporal_memo(const struct flow_about *about, const struct val *meta);
// attributes.c: the same as search attributes, where the server has them.
void temporal_attributes_find(struct temporal *t); // it became reachable
struct val *temporal_attributes(const struct temporal *t, struct val *takes_a,
                                const struct flow_about *about, const struct val *meta);
struct val *temporal_attributes_status(const struct temporal *t, struct bytes status); // or NULL
bool temporal_attributes_gone(struct temporal *t, int status, const struct err *e); // refused them
// schedules.c
// Begins those on this event; done comes for each. How many.
unsigned temporal_schedules_event(struct temporal *t, const struct val *event,
                                  void (*done)(void *user, int status, struct val *answer,
                                               const struct err *e),
                                  void *user);
void temporal_schedules_free(struct temporal *t);
void temporal_schedules_end(struct temporal *t);
void temporal_deployment(const struct temporal *t, struct val **r); // into a poll, a completion
struct val *temporal_mark(const char *name, struct val *takes_v); // RecordMarker
// activities.c
void temporal_activity(struct temporal *t, struct val *answer);
void temporal_activities_end(struct temporal *t);
// ops_show.c
struct val *temporal_row(const struct val *info); // WorkflowExecutionInfo as runs.h lists it
const char *temporal_status(const struct val *info, bool *ret_open);
// polls.c
int temporal_polls_start(struct temporal *t, struct err *e);
void temporal_polls_end(struct temporal *t);
bool temporal_room(const struct temporal *t); // for another activity
void temporal_polls_again(struct temporal *t);
// histories.c: all events of an execution, paged. done: events (array) borrowed.
void temporal_events(struct temporal *t, struct bytes workflow, struct bytes run,
                     void (*done)(void *user, int status, struct val *events, const struct err *e),
                     void *user);

// ---- operations ---------------------------------------------------------------------------------

struct temporal_op {
    struct list link;
    struct temporal *t;
    struct runs_req *r; // NULL: the asker left
    struct val *request; // of a later call
    char *id, *run;
    struct timer limit; // of waiting
    bool waits, full;
    uint64_t from, taken, left;
    struct bytes status; // of a list's filter; in request
    int failed; // of prune: the first that went wrong
    struct err why;
};
// What cannot be done (or is done already: 0, {}): told in the next round.
void temporal_op_refuse(struct temporal_op *o, int status, const struct err *e);
uint64_t temporal_entry_event(struct temporal_op *o, struct val *events, uint64_t entry);
void temporal_no_memory(struct runs_req *r); // at once: there is no other way
struct temporal_op *temporal_op_new(struct temporal *t, struct bytes id, struct runs_req *r);
void temporal_op_end(struct temporal_op *o, int status, const struct err *e, const struct val *v);
void temporal_op_text(struct temporal_op *o, struct buf *json); // takes what is in it
// Follows an execution until it has ended, then ends the operation.
void temporal_op_wait(struct temporal_op *o);
void temporal_quiet(struct temporal *t); // something ended: is closing done?

#endif
