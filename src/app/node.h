// node.h: the node: config to object graph, its life from `plexus up` to the last child's end.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_APP_NODE_H
#define PLEXUS_APP_NODE_H

#include "base/err.h"
#include "cli/cli.h"

// `plexus up`. Returns when the node has ended.
int node_up(struct cli *c, struct err *e);
// `plexus worker`.
int node_worker(struct cli *c, struct err *e);

#endif
