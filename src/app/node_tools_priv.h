// node_tools_priv.h: what the node's files about tools share.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_APP_NODE_TOOLS_PRIV_H
#define PLEXUS_APP_NODE_TOOLS_PRIV_H

#include "app/node_priv.h"
#include "port/tool.h"

#define NODE_TOOL_NAME(prefix) prefix "__"

// Sources of the node itself. Calls that run are cancelled by _free.
// node_tool_models.c: each model of chat as a tool "model__NAME"
int node_tool_models_new(struct node *n, struct tools **ret, struct err *e);
void node_tool_models_changed(struct tools *t);
void node_tool_models_free(struct tools *t);
// node_tool_flows.c: the newest version of each registered document as a tool "flow__NAME", or
// "flow__NAMESPACE__NAME"
int node_tool_flows_new(struct node *n, struct tools **ret, struct err *e);
void node_tool_flows_changed(struct tools *t);
void node_tool_flows_free(struct tools *t);

// "prefix__a__b" with what no name may have as "_"; false: too long.
bool node_tool_name(char out[TOOL_NAME_MAX + 1], const char *prefix, struct bytes a,
                    struct bytes b);

#endif
