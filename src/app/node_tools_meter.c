// node_tools_meter.c: calls of tools as they are counted, and the gauges read off when somebody
// scrapes. SPDX-License-Identifier: Apache-2.0
#include "app/node_tools_priv.h"
#include <string.h>

static size_t source_of(const char *source)
{
    struct bytes rest = bytes_of(source), kind = bytes_cut(&rest, ':');
    size_t i = 0;
    while (i + 1 < METER_TOOL_SOURCES && !bytes_is(kind, meter_tool_sources[i]))
        i++;
    return i;
}

void node_tools_count(struct node *n, const struct tools_record *r)
{
    enum { END_OK, END_ERROR, END_FAILED, END_DENIED };
    struct meter_node *row = meter_node(n->meter);
    size_t end = r->denied       ? END_DENIED
                 : r->status < 0 ? END_FAILED
                 : r->is_error   ? END_ERROR
                                 : END_OK;
    row->tool_calls[source_of(r->source)][end]++;
    row->tool_denied += r->denied;
}

void node_tools_meter(struct node *n)
{
    struct node_tools *t = n->tools;
    struct meter_node *row = meter_node(n->meter);
    struct tools_counts c = {0};
    if (!t || !t->all)
        return;
    tools_all_total(t->all, &c);
    row->tool_running = c.running;
    node_mcp_meter(n, row);
    node_caps_meter(t, row);
}
