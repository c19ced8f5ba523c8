// node_tools_priv.h: the node's tools: their sources, who may call what, and what the API asks of
// them. SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_APP_NODE_TOOLS_PRIV_H
#define PLEXUS_APP_NODE_TOOLS_PRIV_H

#include "app/node_priv.h"
#include "port/tool.h"
#include "prims/prims.h"
#include "toolbox/tool_loop.h"
#include "toolbox/tools_all.h"

struct node_tools {
    struct node *node;
    struct tools_all *all;
    struct tools *models, *flows; // of the node itself
    struct prims *prims;          // NULL: no folder is granted
    struct node_caps *caps;       // node_caps_priv.h
    struct tools_loops *loops;    // of models that call them
    struct val *grants;           // name → {"by","at"}: what persons allowed, beside the config
    char grants_path[4200];
    bool closing;
};

// node_tools.c
struct tools *node_tools_all(struct node *n); // NULL: none
void node_tools_put_record(struct json_w *w, const struct tools_record *r, bool running);
// Whom the key of an exchange stands for: texts live as long as the buffers.
struct node_tool_caller {
    struct tool_caller caller;
    char who[160], as[32];
    struct buf label, clearance;
};
void node_tool_caller(struct node *n, const struct key *key, struct node_tool_caller *ret);
void node_tool_caller_fini(struct node_tool_caller *c);
// node_tools_grants.c
int node_grants_read(struct node_tools *t, struct err *e);
bool node_grants_has(const struct node_tools *t, struct bytes name);
int node_grants_set(struct node_tools *t, struct bytes name, bool on, struct bytes by,
                    struct err *e);
bool node_tools_granted(void *user, const struct tool_about *a, const struct tool_caller *c);
// node_tool_loops.c
int node_tool_loops_open(struct node_tools *t, struct err *e);

// node_caps.c
int node_caps_open(struct node_tools *t, struct err *e);
void node_caps_close(struct node_tools *t); // while the loop runs
void node_caps_drop(struct node_tools *t);  // before the loop goes
void node_caps_free(struct node_tools *t);  // after it
void node_caps_doctor(const struct node_tools *t, struct host_tools *ret);
void node_caps_meter(const struct node_tools *t, struct meter_node *ret);
// true: answered; false: the name is no capability's.
bool node_caps_op(struct node_tools *t, const struct ctl_tool_ask *ask, struct bytes who,
                  struct ctl_answer *a);
struct val *node_caps_words(const struct node_tools *t, struct bytes name);    // NULL: none
struct val *node_caps_manifest(const struct node_tools *t, struct bytes name); // NULL: none
// node_mcp.c
void node_mcp_servers(const struct node *n, struct json_w *w); // "servers": [...]
int node_mcp_grant(struct node *n, struct bytes name, bool on, struct err *e); // the grants changed
void node_mcp_doctor(const struct node *n, struct host_tools *ret);
void node_mcp_meter(const struct node *n, struct meter_node *ret);
// node_tools_meter.c: a call ended
void node_tools_count(struct node *n, const struct tools_record *r);

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
