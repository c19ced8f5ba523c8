// node_tool_loops.c: models that call tools of this node: chat requests with "plexus_tools", handed
// from the gate to the loop (toolbox/tool_loop.h). SPDX-License-Identifier: Apache-2.0
#include "app/node_tools_priv.h"
#include <stdio.h>

static int join(void *user, struct bytes a, struct bytes b, struct buf *out, struct err *e)
{
    struct node *n = user;
    struct label x, y;
    int status = label_parse_known(n->label_names, a, &x, e);
    if (status == 0)
        status = label_parse_known(n->label_names, b, &y, e);
    if (status == 0)
        label_put(out, n->label_names, label_join(x, y));
    return status < 0 ? status : out->failed;
}

int node_tool_loops_open(struct node_tools *t, struct err *e)
{
    struct node *n = t->node;
    struct tools_loops_args args = {.net = loop_net(n->loop),
                                    .timers = loop_timers(n->loop),
                                    .tools = tools_all_tools(t->all),
                                    .self = {.unix_socket = true},
                                    .join = join,
                                    .user = n};
    (void)snprintf(args.self.host, sizeof args.self.host, "%.255s", n->paths.socket);
    return tools_loops_new(&t->loops, &args, e);
}

void node_tools_ask(void *user, const struct gate_tools *g)
{
    struct node *n = user;
    struct node_tools *t = n->tools;
    if (!t || !t->loops) {
        http_reply_error_with(g->x, E_UNAVAILABLE, "plexus_tools: this node has no tools, or ends",
                              "plexus_tools", -1, g->headers);
        return;
    }
    tools_loops_take(t->loops, &(struct tools_loop_ask){.x = g->x,
                                                        .body = g->body,
                                                        .headers = g->headers,
                                                        .id = g->id,
                                                        .as = g->as,
                                                        .who = g->who,
                                                        .label = g->label,
                                                        .clearance = g->clearance,
                                                        .admin = g->admin});
}
