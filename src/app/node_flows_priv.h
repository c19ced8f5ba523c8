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

struct node_flows {
    struct node *node;
    struct journal *journal;
    struct expr *expr;
    struct acts *acts;
    struct runs *runs;
    struct runs_worker *worker; // instead of runs: `plexus worker`
    struct net_tls *tls; // for https, made when first needed
    struct work *writer; // of the journal: one thread
    struct bus_sub *events; // CloudEvents that others emit
    struct node_flow_file *files; // registered at the start
    bool closing, runs_closed, journal_closed, stopped;
    char why[256]; // it stopped
};

// node_worker.c
int node_worker_open(struct node_flows *f, struct err *e);
void node_worker_close(struct node_flows *f);
// node_flows_files.c: the folder of documents
void node_flows_files(struct node_flows *f);
void node_flows_files_free(struct node_flows *f);

#endif
