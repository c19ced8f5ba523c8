// meter.h: counters and histograms of the node and of each model, written as Prometheus text.
// The metrics are one table (meter.c); adding one is a row there and a field here.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_METER_METER_H
#define PLEXUS_METER_METER_H

#include "base/buf.h"
#include "base/bytes.h"

#define HIST_BUCKETS_MAX 24

struct hist_bounds {
    uint32_t count;
    uint64_t upper_ns[HIST_BUCKETS_MAX];
};
extern const struct hist_bounds hist_fine;   // 5 us ... 100 ms: what plexus itself adds
extern const struct hist_bounds hist_coarse; // 1 ms ... 10 min: requests, waits, loads

struct hist {
    const struct hist_bounds *bounds;
    uint64_t buckets[HIST_BUCKETS_MAX + 1]; // the last: over all bounds
    uint64_t sum_ns, count;
};
void hist_add(struct hist *h, uint64_t ns);
uint64_t hist_quantile_ns(const struct hist *h, double q); // upper bound of its bucket; 0: empty

struct meter_model { // one series, label model and engine
    char model[129], engine[33];
    uint64_t status_2xx, status_4xx, status_5xx, aborted; // finished requests by answer
    uint64_t tokens_in, tokens_out, frames;
    uint64_t cost_nano; // 10^-9 of the currency
    uint64_t price_in, price_out; // of one token, in 10^-12; set by the node
    uint64_t loads, evictions, deaths, load_failures;
    uint64_t active, waiting; // gauges
    uint64_t memory_bytes, state; // gauges; state as enum model_state
    struct hist duration;     // whole request
    struct hist ttft;         // request complete to first byte of the answer
    struct hist ttft_own;     // plexus' own share of it
    struct hist queue;        // waiting for the model
    struct hist load;         // cold starts
    struct hist swap_own; // from the decision to load to the start of the engine, less waiting
    uint64_t told;            // what the console heard last (the node's)
    struct meter_model *next;
};

#define METER_VIOLATIONS 10 // kinds of crossings, in the order of enum label_op (trust/label.h)

#define METER_NODE_STATES 5 // in the order of enum mesh_state (mesh/mesh.h)

#define METER_TOOL_SOURCES 7
#define METER_TOOL_ENDS 4
extern const char *const meter_tool_sources[METER_TOOL_SOURCES]; // the last: any other
extern const char *const meter_tool_ends[METER_TOOL_ENDS]; // ok, error (the tool says so), ...
#define METER_MCP_STATES 5 // starting, ready, waiting, login, stopped

struct meter_node {
    uint64_t requests, refused, unauthorized, bad_requests, connections, connections_max,
        over_limit, body_bytes, memory_budget_bytes, memory_used_bytes, log_dropped;
    uint64_t loop_lag_ns, uptime_s;
    uint64_t violations[METER_VIOLATIONS]; // flows refused by labels
    uint64_t declassified;
    // The mesh, as this node sees it; all 0 without one.
    uint64_t mesh_member, mesh_nodes[METER_NODE_STATES], certificate_s, removals; // gauges
    uint64_t alerts_sent, alerts_failed, alerts_dropped, alerts_waiting;
    // The bus, as it says itself.
    uint64_t bus_connected, bus_queue_bytes, bus_subs, bus_store_msgs; // gauges
    uint64_t bus_published, bus_stored, bus_delivered, bus_redelivered, bus_dead, bus_dropped,
        bus_full, bus_lost;
    // Flows, as their driver and its journal say; all 0 without them.
    uint64_t flows_open, flows_loaded, flow_timers, flow_listening, flow_activities,
        flow_activities_waiting, flows_stopped, journal_bytes, journal_waiting; // gauges
    uint64_t flows_started, flows_completed, flows_faulted, flows_cancelled, flow_steps,
        flow_activities_done, flow_activities_failed, flow_timers_fired, journal_commits,
        journal_entries;
    // Tools: calls that ended, by source and end.
    uint64_t tool_calls[METER_TOOL_SOURCES][METER_TOOL_ENDS], tool_denied;
    uint64_t tool_running, mcp_servers[METER_MCP_STATES], capabilities, capabilities_waiting,
        capabilities_damaged; // gauges
    uint64_t hops_sent, hops_received, hop_failures, rerouted, breaker_opens, links_refused;
};

struct meter;
struct meter *meter_new(void);
void meter_free(struct meter *m);
struct meter_node *meter_node(struct meter *m);
// The series of this model (made when new; NULL: no memory or over 1,000 series).
struct meter_model *meter_model(struct meter *m, const char *model, const char *engine);
struct meter_model *meter_models(struct meter *m); // first, linked by next
void meter_currency(struct meter *m, const char *currency); // of all costs; "" at first
// What these tokens cost at these prices, in 10^-9 of the currency.
uint64_t meter_cost(uint64_t tokens_in, uint64_t tokens_out, uint64_t price_in, uint64_t price_out);
int meter_put(struct buf *out, const struct meter *m);

#endif
