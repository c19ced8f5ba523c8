// meter.c: the table of metrics and its text.
// SPDX-License-Identifier: Apache-2.0
#include "meter/meter.h"
#include "base/alloc.h"
#include "text/prom.h"
#include <stdio.h>
#include <string.h>

#define SERIES_MAX 1000
#define US UINT64_C(1000)
#define MS UINT64_C(1000000)
#define S UINT64_C(1000000000)

const struct hist_bounds hist_fine = {
    23, {5 * US,  10 * US,  15 * US,  20 * US,  30 * US,  40 * US,  50 * US, 60 * US,
         80 * US, 100 * US, 150 * US, 200 * US, 300 * US, 500 * US, 1 * MS,  2 * MS,
         5 * MS,  10 * MS,  20 * MS,  30 * MS,  40 * MS,  50 * MS,  100 * MS}};
const struct hist_bounds hist_coarse = {18,
                                        {1 * MS, 2 * MS, 5 * MS, 10 * MS, 25 * MS, 50 * MS,
                                         100 * MS, 250 * MS, 500 * MS, 1 * S, 2 * S, 5 * S, 10 * S,
                                         30 * S, 60 * S, 120 * S, 300 * S, 600 * S}};

struct meter {
    struct meter_node node;
    char currency[8];
    struct meter_model *models, *last;
    size_t series;
};

enum metric_type { COUNTER, GAUGE, HISTOGRAM };

struct metric {
    const char *name;
    enum metric_type type;
    size_t offset;
    double scale; // stored unit to written unit
    const char *label, *value; // one more label, or NULL; value NULL: the currency
    const char *help;
};

const char *const meter_tool_sources[METER_TOOL_SOURCES] = {
    "capability", "primitive", "mcp", "flow", "model", "mesh", "other"};
const char *const meter_tool_ends[METER_TOOL_ENDS] = {"ok", "error", "failed", "denied"};

#define N(field) offsetof(struct meter_node, field)
static const struct metric node_metrics[] = {
    {"plexus_requests_total", COUNTER, N(requests), 1, NULL, NULL, "Requests whose head was read."},
    {"plexus_refused_total", COUNTER, N(refused), 1, NULL, NULL,
     "Requests answered before they were whole: broken, too large, too slow."},
    {"plexus_over_limit_total", COUNTER, N(over_limit), 1, NULL, NULL,
     "Connections answered 503 because the connection limit was reached."},
    {"plexus_unauthorized_total", COUNTER, N(unauthorized), 1, NULL, NULL,
     "Requests without a valid key or scope."},
    {"plexus_bad_requests_total", COUNTER, N(bad_requests), 1, NULL, NULL,
     "Requests that did not fit the API's schema."},
    {"plexus_connections", GAUGE, N(connections), 1, NULL, NULL, "Open connections, both sides."},
    {"plexus_connections_max", GAUGE, N(connections_max), 1, NULL, NULL, "Limit of connections."},
    {"plexus_body_bytes", GAUGE, N(body_bytes), 1, NULL, NULL, "Request bodies in memory."},
    {"plexus_memory_budget_bytes", GAUGE, N(memory_budget_bytes), 1, NULL, NULL,
     "Memory that all local models may use together."},
    {"plexus_memory_used_bytes", GAUGE, N(memory_used_bytes), 1, NULL, NULL,
     "Memory that loaded models use."},
    {"plexus_log_dropped_total", COUNTER, N(log_dropped), 1, NULL, NULL,
     "Log lines lost because the disk was full or too slow."},
    {"plexus_loop_lag_seconds", GAUGE, N(loop_lag_ns), 1e-9, NULL, NULL,
     "Longest time the event loop was held since the last scrape."},
    {"plexus_uptime_seconds", GAUGE, N(uptime_s), 1, NULL, NULL, "Since the start."},
    {"plexus_security_violations_total", COUNTER, N(violations[0]), 1, "operation", "read_reply",
     "Flows of data that labels forbid, by crossing."},
    {"plexus_security_violations_total", COUNTER, N(violations[1]), 1, "operation", "read_record",
     NULL},
    {"plexus_security_violations_total", COUNTER, N(violations[2]), 1, "operation", "ask_model",
     NULL},
    {"plexus_security_violations_total", COUNTER, N(violations[3]), 1, "operation", "ask_cloud",
     NULL},
    {"plexus_security_violations_total", COUNTER, N(violations[4]), 1, "operation", "hop", NULL},
    {"plexus_security_violations_total", COUNTER, N(violations[5]), 1, "operation", "publish",
     NULL},
    {"plexus_security_violations_total", COUNTER, N(violations[6]), 1, "operation", "deliver",
     NULL},
    {"plexus_security_violations_total", COUNTER, N(violations[7]), 1, "operation", "write_record",
     NULL},
    {"plexus_security_violations_total", COUNTER, N(violations[8]), 1, "operation", "hand_agent",
     NULL},
    {"plexus_security_violations_total", COUNTER, N(violations[9]), 1, "operation", "declassify",
     NULL},
    {"plexus_declassified_total", COUNTER, N(declassified), 1, NULL, NULL,
     "Requests whose label was lowered by a signed statement."},
    {"plexus_alerts_sent_total", COUNTER, N(alerts_sent), 1, NULL, NULL,
     "Alerts that the webhook took."},
    {"plexus_alerts_failed_total", COUNTER, N(alerts_failed), 1, NULL, NULL,
     "Tries at which the webhook did not take one."},
    {"plexus_alerts_dropped_total", COUNTER, N(alerts_dropped), 1, NULL, NULL,
     "Alerts that were never told: too many waited, or the webhook refused them for good."},
    {"plexus_alerts_waiting", GAUGE, N(alerts_waiting), 1, NULL, NULL, "Alerts not told yet."},
    {"plexus_mesh_member", GAUGE, N(mesh_member), 1, NULL, NULL,
     "1: this node is in a mesh; 0: it is alone, and the other figures of the mesh say nothing."},
    {"plexus_mesh_nodes", GAUGE, N(mesh_nodes[0]), 1, "state", "alive",
     "Nodes of the mesh as this one sees them, itself among them."},
    {"plexus_mesh_nodes", GAUGE, N(mesh_nodes[1]), 1, "state", "suspect", NULL},
    {"plexus_mesh_nodes", GAUGE, N(mesh_nodes[2]), 1, "state", "dead", NULL},
    {"plexus_mesh_nodes", GAUGE, N(mesh_nodes[3]), 1, "state", "left", NULL},
    {"plexus_mesh_nodes", GAUGE, N(mesh_nodes[4]), 1, "state", "removed", NULL},
    {"plexus_mesh_requests_sent_total", COUNTER, N(hops_sent), 1, NULL, NULL,
     "Requests that this node gave to another one, each try counted."},
    {"plexus_mesh_requests_received_total", COUNTER, N(hops_received), 1, NULL, NULL,
     "Requests that another node gave to this one."},
    {"plexus_mesh_hop_failures_total", COUNTER, N(hop_failures), 1, NULL, NULL,
     "Requests that failed at the node they were given to: died, cut, refused, too slow."},
    {"plexus_mesh_rerouted_total", COUNTER, N(rerouted), 1, NULL, NULL,
     "Requests that were given to another place before their first byte."},
    {"plexus_mesh_breaker_opens_total", COUNTER, N(breaker_opens), 1, NULL, NULL,
     "Times a node got no requests for a while, because they failed there."},
    {"plexus_mesh_certificate_seconds", GAUGE, N(certificate_s), 1, NULL, NULL,
     "Until this node's certificate ends; it is renewed at half life. 0: it is over."},
    {"plexus_mesh_removals", GAUGE, N(removals), 1, NULL, NULL,
     "Removals of nodes that this node knows of."},
    {"plexus_mesh_refused_total", COUNTER, N(links_refused), 1, NULL, NULL,
     "Links, joins and renewals of others that this node refused."},
    {"plexus_flows_open", GAUGE, N(flows_open), 1, NULL, NULL, "Flows that have not ended."},
    {"plexus_flows_loaded", GAUGE, N(flows_loaded), 1, NULL, NULL, "Of them, in memory."},
    {"plexus_flows_timers", GAUGE, N(flow_timers), 1, NULL, NULL, "Timers that run."},
    {"plexus_flows_listening", GAUGE, N(flow_listening), 1, NULL, NULL, "Waits for events."},
    {"plexus_flows_activities", GAUGE, N(flow_activities), 1, NULL, NULL,
     "Activities that run on this node."},
    {"plexus_flows_activities_waiting", GAUGE, N(flow_activities_waiting), 1, NULL, NULL,
     "Activities that wait for a place."},
    {"plexus_flows_stopped", GAUGE, N(flows_stopped), 1, NULL, NULL,
     "1: the journal failed, and nothing goes on."},
    {"plexus_flows_started_total", COUNTER, N(flows_started), 1, NULL, NULL, "Flows begun."},
    {"plexus_flows_completed_total", COUNTER, N(flows_completed), 1, NULL, NULL,
     "Flows that came to their end."},
    {"plexus_flows_faulted_total", COUNTER, N(flows_faulted), 1, NULL, NULL,
     "Flows that ended with an error."},
    {"plexus_flows_cancelled_total", COUNTER, N(flows_cancelled), 1, NULL, NULL,
     "Flows that somebody ended."},
    {"plexus_flows_steps_total", COUNTER, N(flow_steps), 1, NULL, NULL, "Events decided."},
    {"plexus_flows_activities_total", COUNTER, N(flow_activities_done), 1, NULL, NULL,
     "Activities begun."},
    {"plexus_flows_activities_failed_total", COUNTER, N(flow_activities_failed), 1, NULL, NULL,
     "Of them, failed tries."},
    {"plexus_flows_timers_fired_total", COUNTER, N(flow_timers_fired), 1, NULL, NULL,
     "Timers that came due."},
    {"plexus_journal_bytes", GAUGE, N(journal_bytes), 1, NULL, NULL, "Size of the journal."},
    {"plexus_journal_waiting", GAUGE, N(journal_waiting), 1, NULL, NULL,
     "Writes that are not on the disk yet."},
    {"plexus_journal_commits_total", COUNTER, N(journal_commits), 1, NULL, NULL,
     "Commits of the journal, each with its fsync."},
    {"plexus_journal_entries_total", COUNTER, N(journal_entries), 1, NULL, NULL,
     "Entries of histories written."},
    {"plexus_tool_denied_total", COUNTER, N(tool_denied), 1, NULL, NULL,
     "Calls of tools that were not let through: no grant, or a label."},
    {"plexus_tool_running", GAUGE, N(tool_running), 1, NULL, NULL, "Calls of tools that run."},
    {"plexus_mcp_servers", GAUGE, N(mcp_servers[0]), 1, "state", "starting",
     "External MCP servers, by how they do."},
    {"plexus_mcp_servers", GAUGE, N(mcp_servers[1]), 1, "state", "ready", NULL},
    {"plexus_mcp_servers", GAUGE, N(mcp_servers[2]), 1, "state", "waiting", NULL},
    {"plexus_mcp_servers", GAUGE, N(mcp_servers[3]), 1, "state", "login", NULL},
    {"plexus_mcp_servers", GAUGE, N(mcp_servers[4]), 1, "state", "stopped", NULL},
    {"plexus_capabilities", GAUGE, N(capabilities), 1, NULL, NULL,
     "Capabilities that are kept on this node."},
    {"plexus_capabilities_waiting", GAUGE, N(capabilities_waiting), 1, NULL, NULL,
     "Publications and promotions that did not reach the registry yet."},
    {"plexus_capabilities_damaged", GAUGE, N(capabilities_damaged), 1, NULL, NULL,
     "Lines of their index that could not be read."},
    {"plexus_bus_connected", GAUGE, N(bus_connected), 1, NULL, NULL,
     "1: the bus can be used; 0: there is no connection to its server."},
    {"plexus_bus_queue_bytes", GAUGE, N(bus_queue_bytes), 1, NULL, NULL,
     "Published and not yet handed on."},
    {"plexus_bus_subscriptions", GAUGE, N(bus_subs), 1, NULL, NULL, "Who listens, on this node."},
    {"plexus_bus_store_messages", GAUGE, N(bus_store_msgs), 1, NULL, NULL,
     "Kept by the embedded bus; servers tell their own."},
    {"plexus_bus_published_total", COUNTER, N(bus_published), 1, NULL, NULL,
     "Messages sent to who listened."},
    {"plexus_bus_stored_total", COUNTER, N(bus_stored), 1, NULL, NULL, "Messages kept."},
    {"plexus_bus_delivered_total", COUNTER, N(bus_delivered), 1, NULL, NULL,
     "Messages handed to subscribers of this node."},
    {"plexus_bus_redelivered_total", COUNTER, N(bus_redelivered), 1, NULL, NULL,
     "Of them, not for the first time."},
    {"plexus_bus_dead_total", COUNTER, N(bus_dead), 1, NULL, NULL,
     "Messages that were given up: dead letters."},
    {"plexus_bus_dropped_total", COUNTER, N(bus_dropped), 1, NULL, NULL,
     "Live messages that nobody could take any more."},
    {"plexus_bus_full_total", COUNTER, N(bus_full), 1, NULL, NULL,
     "Calls that were refused because a limit of the bus was reached."},
    {"plexus_bus_lost_total", COUNTER, N(bus_lost), 1, NULL, NULL,
     "Times the connection to the bus's server was lost."},
};
#undef N

#define M(field) offsetof(struct meter_model, field)
static const struct metric model_metrics[] = {
    {"plexus_model_requests_total", COUNTER, M(status_2xx), 1, "status", "2xx",
     "Finished requests."},
    {"plexus_model_requests_total", COUNTER, M(status_4xx), 1, "status", "4xx", NULL},
    {"plexus_model_requests_total", COUNTER, M(status_5xx), 1, "status", "5xx", NULL},
    {"plexus_model_requests_total", COUNTER, M(aborted), 1, "status", "aborted", NULL},
    {"plexus_model_tokens_total", COUNTER, M(tokens_in), 1, "direction", "in",
     "Tokens as the engine's usage tells. Engine mesh: of another node, which counts them, too."},
    {"plexus_model_tokens_total", COUNTER, M(tokens_out), 1, "direction", "out", NULL},
    {"plexus_model_cost_total", COUNTER, M(cost_nano), 1e-9, "currency", NULL,
     "Tokens by the price of their model. Engine mesh: of another node, which counts it, too; the "
     "cost of a key is counted where its requests came in."},
    {"plexus_model_stream_events_total", COUNTER, M(frames), 1, NULL, NULL,
     "Server-sent events passed on."},
    {"plexus_model_active", GAUGE, M(active), 1, NULL, NULL, "Requests at the engine."},
    {"plexus_model_waiting", GAUGE, M(waiting), 1, NULL, NULL, "Requests in the queue."},
    {"plexus_model_memory_bytes", GAUGE, M(memory_bytes), 1, NULL, NULL, "Memory of its engine."},
    {"plexus_model_state", GAUGE, M(state), 1, NULL, NULL,
     "0 UNLOADED, 1 LOADING, 2 WARM, 3 DRAINING, 4 FAILED."},
    {"plexus_model_loads_total", COUNTER, M(loads), 1, NULL, NULL, "Times the model became WARM."},
    {"plexus_model_load_failures_total", COUNTER, M(load_failures), 1, NULL, NULL,
     "Times it became FAILED."},
    {"plexus_model_evictions_total", COUNTER, M(evictions), 1, NULL, NULL,
     "Times it left to make room."},
    {"plexus_model_deaths_total", COUNTER, M(deaths), 1, NULL, NULL, "Times its engine died."},
    {"plexus_request_seconds", HISTOGRAM, M(duration), 1e-9, NULL, NULL, "Whole requests."},
    {"plexus_ttft_seconds", HISTOGRAM, M(ttft), 1e-9, NULL, NULL,
     "From the whole request to the first byte of the answer."},
    {"plexus_ttft_own_seconds", HISTOGRAM, M(ttft_own), 1e-9, NULL, NULL,
     "plexus' own share of that, on a warm model."},
    {"plexus_queue_seconds", HISTOGRAM, M(queue), 1e-9, NULL, NULL, "Waiting for the model."},
    {"plexus_load_seconds", HISTOGRAM, M(load), 1e-9, NULL, NULL, "Cold starts."},
    {"plexus_swap_own_seconds", HISTOGRAM, M(swap_own), 1e-9, NULL, NULL,
     "From the decision to the start of the engine, less waiting for requests and the old engine."},
};
#undef M

void hist_add(struct hist *h, uint64_t ns)
{
    const struct hist_bounds *b = h->bounds;
    uint32_t low = 0, high = b->count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (ns <= b->upper_ns[middle])
            high = middle;
        else
            low = middle + 1;
    }
    h->buckets[low]++;
    h->sum_ns += ns;
    h->count++;
}

uint64_t hist_quantile_ns(const struct hist *h, double q)
{
    uint64_t want = (uint64_t)(q * (double)h->count + 0.999999), seen = 0;
    if (h->count == 0)
        return 0;
    for (uint32_t i = 0; i < h->bounds->count; i++)
        if ((seen += h->buckets[i]) >= want)
            return h->bounds->upper_ns[i];
    return UINT64_MAX;
}

struct meter *meter_new(void)
{
    return mem_new(struct meter);
}

void meter_free(struct meter *m)
{
    if (!m)
        return;
    for (struct meter_model *x = m->models; x;) {
        struct meter_model *next = x->next;
        mem_free(x);
        x = next;
    }
    mem_free(m);
}

struct meter_node *meter_node(struct meter *m)
{
    return &m->node;
}

struct meter_model *meter_models(struct meter *m)
{
    return m->models;
}

struct meter_model *meter_model(struct meter *m, const char *model, const char *engine)
{
    for (struct meter_model *x = m->models; x; x = x->next)
        if (strncmp(x->model, model, sizeof(x->model) - 1) == 0 &&
            strncmp(x->engine, engine, sizeof(x->engine) - 1) == 0) // as they were cut
            return x;
    struct meter_model *x = m->series < SERIES_MAX ? mem_new(struct meter_model) : NULL;
    if (!x)
        return NULL;
    (void)snprintf(x->model, sizeof(x->model), "%s", model);
    (void)snprintf(x->engine, sizeof(x->engine), "%s", engine);
    x->ttft_own.bounds = &hist_fine;
    x->swap_own.bounds = &hist_fine;
    x->duration.bounds = x->ttft.bounds = x->queue.bounds = x->load.bounds = &hist_coarse;
    if (m->last)
        m->last->next = x;
    else
        m->models = x;
    m->last = x;
    m->series++;
    return x;
}

void meter_currency(struct meter *m, const char *currency)
{
    (void)snprintf(m->currency, sizeof(m->currency), "%s", currency);
}

static uint64_t product(uint64_t tokens, uint64_t price)
{
    uint64_t p;
    return __builtin_mul_overflow(tokens, price, &p) ? UINT64_MAX / 2 : p; // no honest usage
}

uint64_t meter_cost(uint64_t tokens_in, uint64_t tokens_out, uint64_t price_in, uint64_t price_out)
{
    uint64_t in = product(tokens_in, price_in), out = product(tokens_out, price_out);
    return in / 1000 + out / 1000 + (in % 1000 + out % 1000 + 500) / 1000;
}

static void put_hist(struct buf *out, const char *name, const struct prom_label *labels,
                     size_t count, const struct hist *h)
{
    struct prom_label with[4];
    uint64_t seen = 0;
    memcpy(with, labels, count * sizeof(*labels));
    for (uint32_t i = 0; i <= h->bounds->count; i++) {
        char upper[32] = "+Inf";
        if (i < h->bounds->count)
            (void)snprintf(upper, sizeof(upper), "%g", (double)h->bounds->upper_ns[i] * 1e-9);
        seen += h->buckets[i];
        with[count] = (struct prom_label){"le", bytes_of(upper)};
        (void)prom_value(out, name, "_bucket", with, count + 1, (double)seen);
    }
    (void)prom_value(out, name, "_sum", labels, count, (double)h->sum_ns * 1e-9);
    (void)prom_value(out, name, "_count", labels, count, (double)h->count);
}

static void put_metric(struct buf *out, const struct metric *k, const struct prom_label *labels,
                       size_t count, const void *base, const char *currency)
{
    const char *at = (const char *)base + k->offset;
    struct prom_label with[4];
    memcpy(with, labels, count * sizeof(*labels));
    if (k->label)
        with[count++] = (struct prom_label){k->label, bytes_of(k->value ? k->value : currency)};
    if (k->type == HISTOGRAM) {
        put_hist(out, k->name, with, count, (const struct hist *)(const void *)at);
    } else {
        uint64_t value;
        memcpy(&value, at, sizeof(value));
        (void)prom_value(out, k->name, "", with, count, (double)value * k->scale);
    }
}

static void put_tool_calls(struct buf *out, const struct meter_node *n)
{
    static const char name[] = "plexus_tool_calls_total";
    (void)prom_head(out, name, "counter", "Calls of tools that ended, by source and how.");
    for (size_t i = 0; i < METER_TOOL_SOURCES; i++)
        for (size_t k = 0; k < METER_TOOL_ENDS; k++) {
            const struct prom_label labels[2] = {{"source", bytes_of(meter_tool_sources[i])},
                                                 {"status", bytes_of(meter_tool_ends[k])}};
            (void)prom_value(out, name, "", labels, 2, (double)n->tool_calls[i][k]);
        }
}

int meter_put(struct buf *out, const struct meter *m)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};
    const struct prom_label none[1] = {{NULL, BYTES_NONE}};
    for (size_t i = 0; i < sizeof(node_metrics) / sizeof(node_metrics[0]); i++) {
        const struct metric *k = &node_metrics[i];
        if (k->help) // else one more row of the metric above
            (void)prom_head(out, k->name, types[k->type], k->help);
        put_metric(out, k, none, 0, &m->node, m->currency);
    }
    put_tool_calls(out, &m->node);
    size_t rows = sizeof(model_metrics) / sizeof(model_metrics[0]);
    for (size_t i = 0, next; i < rows && m->models; i = next) {
        (void)prom_head(out, model_metrics[i].name, types[model_metrics[i].type],
                        model_metrics[i].help);
        for (next = i; next < rows && strcmp(model_metrics[next].name, model_metrics[i].name) == 0;)
            next++;
        for (const struct meter_model *x = m->models; x; x = x->next) {
            const struct prom_label labels[2] = {{"model", bytes_of(x->model)},
                                                 {"engine", bytes_of(x->engine)}};
            for (size_t row = i; row < next; row++)
                put_metric(out, &model_metrics[row], labels, 2, x, m->currency);
        }
    }
    return out->failed;
}
