// node_mcp_priv.h: MCP at this node: its server, and the external ones that it is a client of.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_APP_NODE_MCP_PRIV_H
#define PLEXUS_APP_NODE_MCP_PRIV_H

#include "app/node_tools_priv.h"
#include "jail/jail.h"
#include "toolbox/mcpc.h"
#include "toolbox/mcpd.h"
#include "trust/bearer.h"

#define NODE_MCP_ISSUERS 16

struct node_mcp {
    struct node *node;
    struct mcpd *server;  // NULL: mcp.serve is off
    struct mcpd_more more;
    struct mcpc *clients; // NULL: no server is configured
    struct bearer *issuers[NODE_MCP_ISSUERS];
    const char *names[NODE_MCP_ISSUERS + 1];
    size_t issuer_count;
    char hidden[JAIL_PATH_MAX + 1]; // the node's folder, where a server's folder has it
    struct jail_words words; // of the child that is started now
    const char *argv[JAIL_WORDS_MAX + 300];
    char gateway[128]; // "mesh:NODE"
    struct list samples; // node_mcp_ask.c: models that are asked for a server
    size_t sample_count;
    bool closing, stopped;
};

// node_mcp_more.c: resources and prompts
void node_mcp_more_init(struct node_mcp *m);

// node_mcp.c
const struct config_mcp_server *node_mcp_config(const struct node *n, const char *name);
// node_mcp_ask.c: of mcpc_args
void node_mcp_ask(void *user, struct mcpc_asked *a);
void node_mcp_ask_gone(void *user, struct mcpc_asked *a);
void node_mcp_asks_free(struct node_mcp *m);

#endif
