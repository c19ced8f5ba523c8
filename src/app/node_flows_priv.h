// node_flows_priv.h: the node's flows: the journal, what does the work, and who carries it out.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_APP_NODE_FLOWS_PRIV_H
#define PLEXUS_APP_NODE_FLOWS_PRIV_H

#include "acts/acts.h"
#include "app/node_priv.h"
#include "port/bus.h"
#include "port/expr.h"
#include "port/journal.h"
#include "runs/runs.h"
#include "runs/worker.h"
#include "temporal/temporal.h"

struct node_flows {
    struct node *node;
    struct journal *journal;
    struct expr *expr;
    struct acts *acts;
    struct runs *runs;
    struct node_temporal *temporal; // instead of runs: flows.engine temporal
    struct runs_worker *worker; // instead of runs: `plexus worker`
    struct runs_rate *rates; // of queues
    size_t rate_count;
    struct work *writer; // of the journal: one thread
    struct bus_sub *events; // CloudEvents that others emit
    struct node_flow_file *files; // registered at the start
    bool closing, runs_closed, journal_closed, stopped, held;
    bool up; // Temporal is there
    char why[256]; // it stopped
};

// node_flows.c: what the engines tell
void node_flows_lifecycle(void *user, struct bytes run, struct bytes cloudevent);
void node_flows_changed(void *user, struct bytes run, const struct flow_note *note);
// node_temporal.c
int node_temporal_open(struct node_flows *f, bool activities_only, struct err *e);
struct temporal *node_temporal_of(const struct node_flows *f); // NULL: the embedded engine's
int node_temporal_add(struct node_flows *f, struct bytes text, struct buf *ret_json, struct err *e);
int node_temporal_remove(struct node_flows *f, struct bytes namespace, struct bytes name,
                         struct bytes version, struct err *e);
// A version was removed: the newest that is left says the schedule.
void node_temporal_reschedule(struct node_flows *f, struct bytes namespace, struct bytes name,
                              struct runs_req *r);
void node_temporal_close(struct node_flows *f);
bool node_temporal_ended(const struct node_flows *f);
void node_temporal_free(struct node_flows *f);
// Both engines answer the same questions in the same shapes.
#define ENGINE(f, what, ...)                                                                       \
    (node_temporal_of(f) ? temporal_##what(node_temporal_of(f), __VA_ARGS__)                       \
                         : runs_##what((f)->runs, __VA_ARGS__))
// The text of a registered document; version empty: the newest.
int node_temporal_text(struct node_flows *f, struct bytes namespace, struct bytes name,
                       struct bytes version, struct buf *out, struct err *e);
// node_flow_promote.c: evaluation, and promotion of what passed
void node_flow_promote(struct node_flows *f, const struct ctl_flow_ask *ask, struct bytes by,
                       struct ctl_answer *a);
// A promoted one from the registry (body: urn), registered as if its text had been given.
void node_flow_fetch(struct node_flows *f, const struct ctl_flow_ask *ask, struct ctl_answer *a);
// flows.promote: what was registered ({"namespace","name","version"}), by itself.
void node_flow_registered(struct node_flows *f, struct bytes json);
// node_flow_docs.c
int node_flow_newest(const struct node *n, struct bytes namespace, struct bytes name,
                     char *ret_version, size_t size); // E_NOTFOUND
int node_flow_documents(const struct node *n, struct buf *out); // {"documents":[...]}
void node_flow_each(const struct node *n,
                    void (*fn)(void *user, struct bytes namespace, struct bytes name,
                               struct bytes version),
                    void *user); // the newest of each
// node_flows_labels.c. owner: a key, or NULL (the node's owner: all of it)
bool node_flows_sees_all(const struct ctl_flow_ask *ask);
// Of a start: what it says, and what counts when neither it nor the document does.
int node_flows_label(struct node *n, struct bytes said, const void *owner, struct buf *ret,
                     struct buf *ret_otherwise, struct err *e);
int node_flows_may(struct node *n, const void *owner, struct bytes label, const char *what,
                   struct err *e); // E_SECURITY, and told to the log
int node_flows_filter(struct node *n, const void *owner, struct bytes json, struct buf *out);
// node_worker.c
int node_worker_open(struct node_flows *f, struct err *e);
void node_worker_close(struct node_flows *f);
// node_flows_files.c: the folder of documents
void node_flows_files(struct node_flows *f);
void node_flows_files_free(struct node_flows *f);

#endif
