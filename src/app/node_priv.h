// node_priv.h: what the node's files share.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_APP_NODE_PRIV_H
#define PLEXUS_APP_NODE_PRIV_H

#include "app/engines.h"
#include "app/node.h"
#include "base/log.h"
#include "config/config.h"
#include "ctl/ctl.h"
#include "gate/gate.h"
#include "host/host.h"
#include "http/http.h"
#include "loop/loop.h"
#include "meter/meter.h"
#include "models/models.h"
#include "trust/label.h"
#include "trust/trust.h"

#define NODE_DOORS_MAX 32

struct tools;
struct bus;
struct node_door { // an open listener; its tag is its place in the table
    struct net_listener *listener;
    struct net_tls *tls;
    char address[300];
    char host[256]; // of a TCP door
    char path[256]; // of a unix socket
    bool keys_required, trusted, used, mesh;
};

struct node_paths { // below the data folder
    char data[3800], lock[4000], run[4000], socket[4000], keys[4000], log[4000], access[4000],
        config[4000], pid[4000];
};

struct node_labels {
    struct label standard, cloud;
    struct label own; // what this node may know: its grant's clearance; LABEL_ALL in no mesh
    struct label_subjects *subjects; // clearances on the bus: label_subject(subjects, ...)
    struct label_signers *signers;   // NULL: none
    bool in_use;
};

struct node {
    struct loop *loop;
    struct config *config;
    struct models *models;
    struct engines *engines;
    struct keys *keys;
    struct label_names *label_names; // the node's one table of compartments
    struct node_labels labels;
    struct meter *meter;
    struct gate *gate;
    struct ctl *ctl;
    struct http_server *server;
    void *gate_slot; // for gate_routes
    struct log_sink *log, *access_log, *screen; // screen: what is told on stderr
    struct loop_wake *ctl_wake;
    struct node_door doors[NODE_DOORS_MAX];
    struct node_paths paths;
    const char *config_path;  // as given or found; NULL: none
    const char *log_level; // of the command line, or NULL
    char data_said[4096];     // the data folder as the config says it, for reloads
    char folder[4096];        // of the config file: where prepare commands run
    char address[320];        // of the first TCP door, as a URL
    struct host_profile *profile;
    struct work_req detect;
    struct timer tick, stop_deadline, goodbye;
    int64_t goodbye_ms; // until then
    int64_t started_ms;
    uint64_t started_mono_ns, last_requests;
    double requests_per_s;
    struct node_mesh *mesh; // node_mesh_priv.h
    struct node_bus *bus;   // node_bus_priv.h
    struct node_alerts *alerts; // node_alerts.c
    struct node_flows *flows; // node_flows_priv.h; NULL: off
    struct node_tools *tools; // node_tools_priv.h; NULL: none
    struct node_mcp *mcp; // node_mcp_priv.h; NULL: none
    struct net_tls *client_tls; // node_tls; NULL: nobody needed it yet
    struct err fatal;         // why a start that went far ends after all
    int lock_fd, ready_fd;    // ready_fd: of the parent of a daemon, -1
    bool echo, draining, drained, ended, hurry;
    const char *worker[33]; // `plexus worker`: its queues, NULL-terminated; none: a whole node
    bool json; // `up --json`: the address as JSON
};

// node_start.c
int node_prepare(struct node *n, struct cli *c, struct err *e); // folders, lock, config, log
int node_build(struct node *n, struct err *e);                  // the object graph
void node_unbuild(struct node *n);
void node_report_ready(struct node *n);
void node_limits(struct node *n); // limits, names and memory budget as the config says
// node_env.c: sets what this .env file says and the environment does not; a missing file is
// harmless
void node_env(const char *path);
// node_doors.c
int doors_open(struct node *n, const struct config *c,
               struct err *e);  // opens what is missing, then closes what is gone
int door_open_socket(struct node *n, struct err *e);
void doors_tell(struct node *n);
// node_checks.c
int node_checks(struct node *n, struct err *e); // E_PERM, E_UNAVAILABLE, with the mend
void node_doctor_args(const struct node *n, struct host_doctor_args *args); // what is the node's
// node_labels.c: read, then taken when nothing else of a configuration can fail any more
int node_labels_new(struct node *n, struct err *e);
int node_labels_make(struct node *n, const struct config *c, struct node_labels *ret,
                     struct err *e);
void node_labels_take(struct node *n, const struct node_labels *fresh); // takes what it holds
void node_labels_drop(struct node_labels *l);
void node_labels_own(struct node *n, struct label clearance);
void node_labels_free(struct node *n);
void node_model_labels(void *user, const struct model *m, struct gate_model_labels *ret);
// node_reload.c
int node_reload(struct node *n, struct buf *changes, struct err *e);
void node_put_models(struct node *n, const struct config *c);
void node_prices(struct node *n, const struct config *c); // for the meter
// The context for https to others, with the system's roots: made when first needed.
struct net_tls *node_tls(struct node *n, struct err *e);
// node_ops.c: what ctl and gate ask the node for
extern const struct ctl_ops node_ctl_ops;
int keys_read(struct node *n, struct err *e);
int keys_write(struct node *n, struct err *e);
void node_gate_args(struct node *n, struct gate_args *args);
struct engines_args;
void node_engines_args(struct node *n, struct engines_args *args);
// node_mesh.c: this node among others
int node_mesh_open(struct node *n, struct err *e); // reads data/mesh; joins links when a member
void node_mesh_close(struct node *n);              // before the server and the loop end
void node_mesh_free(struct node *n);
void node_mesh_gate(struct node *n, struct gate_args *args);
bool node_mesh_handle(struct node *n, struct http_exchange *x);
void node_mesh_models(struct node *n); // a model changed: told to others soon
void node_mesh_leaving(struct node *n); // the node stops: others send no more work
bool node_mesh_quiet(struct node *n);  // and have heard so
bool node_mesh_ended(struct node *n);  // its record is taken away; node_check_ended when so
void node_mesh_tick(struct node *n);   // once a second
void node_mesh_op(void *user, const struct ctl_mesh_ask *ask, struct ctl_answer *a);
int node_mesh_put(void *user, struct buf *out);
void node_mesh_meter(struct node *n); // gauges
void node_mesh_doctor(const struct node *n, struct host_mesh *ret);
// node_flows_doctor.c: of flows; the second one for any thread
void node_flows_doctor(const struct node *n, struct host_flows *ret);
void node_flows_doctor_jq(struct host_flows *ret);
// node_bus.c: the bus, and what the node tells on it
int node_bus_open(struct node *n, struct err *e);
bool node_bus_judged(const struct node *n); // false: node_report_ready comes from here
void node_bus_close(struct node *n); // node_check_ended when it has
bool node_bus_ended(const struct node *n);
void node_bus_free(struct node *n);
void node_bus_model(struct node *n, const struct model *m); // its state changed
void node_bus_meter(struct node *n); // gauges and counters
void node_bus_labels(struct node *n);                       // labels mean something else now
// node_bus_mesh.c: a bus that the mesh has in common
void node_bus_mesh(struct node *n); // who is who in the mesh may have changed
// Where its server is, when this node runs it; NULL: it does not.
const char *node_bus_address(const struct node *n, struct arena *a, const char *advertised);
// A listener's place in the table, taken for the mesh.
int door_reserve_mesh(struct node *n);
// node_flows.c: durable flows
int node_flows_open(struct node *n, struct err *e);
void node_flows_bus(struct node *n, struct bus *b); // another bus, or none any more (NULL)
void node_flows_event(struct node *n, struct bytes cloudevent); // JSON: to what listens
void node_flows_dead(struct node *n, const char *node); // another node is
void node_flows_meter(struct node *n); // gauges and counters
void node_flows_close(struct node *n); // node_check_ended when it has
bool node_flows_ended(const struct node *n);
void node_flows_drop(struct node *n);
void node_flows_free(struct node *n);
int node_worker_check(const struct node *n, struct err *e); // node_worker.c
void node_flows_op(void *user, const struct ctl_flow_ask *ask, struct ctl_answer *a);
const char *const *node_queues(const struct node *n); // NULL-terminated; the first is the usual
const char *node_profile(const struct node *n); // "server", "edge"
// node_tools.c: what can be called here
int node_tools_open(struct node *n, struct err *e);
void node_tools_models(struct node *n); // a model came, went or changed
void node_tools_flows(struct node *n);  // registered documents did
void node_tools_close(struct node *n);  // node_check_ended when it has
bool node_tools_ended(const struct node *n);
void node_tools_drop(struct node *n); // before the loop goes
void node_tools_free(struct node *n);
void node_tools_meter(struct node *n); // gauges, for a scrape
void node_tools_doctor(const struct node *n, struct host_tools *ret);
void node_tools_ask(void *user, const struct gate_tools *g); // a model is to call them
void node_flows_tools(struct node *n, struct tools *all);    // what flows may call; NULL: nothing
void node_tools_op(void *user, const struct ctl_tool_ask *ask, struct ctl_answer *a);
// node_mesh_route.c
int node_mesh_clearance(struct node *n, const struct net_peer *who, struct label *ret,
                        struct err *e);
struct http_pool *node_mesh_pool(struct node *n, const char *name); // NULL: no link
// node_mcp.c: the Model Context Protocol
int node_mcp_open(struct node *n, struct err *e);
void node_mcp_drain(struct node *n); // streams that would stay open end
int node_mcp_head(struct node *n, struct http_exchange *x); // as http_routes.on_head
bool node_mcp_handle(struct node *n, struct http_exchange *x);
void node_mcp_close(struct node *n); // node_check_ended when it has
bool node_mcp_ended(const struct node *n);
void node_mcp_drop(struct node *n); // before the loop goes
void node_mcp_free(struct node *n);
// node_alerts.c: what somebody should hear of at once
enum node_alert_on {
    NODE_ALERT_SECURITY = 1,
    NODE_ALERT_NODE = 2,
    NODE_ALERT_MODEL = 4,
    NODE_ALERT_CERTIFICATE = 8
};
int node_alerts_open(struct node *n, struct err *e);
void node_alerts_config(struct node *n); // the configuration is another one
void node_alerts_close(struct node *n);  // before the loop ends
void node_alerts_free(struct node *n);
void node_alerts_meter(struct node *n);
// type, severity ("info", "warning", "critical"): static texts. Equal when type and subject are.
// Never waits, never fails; quiet when no webhook is configured or it is not asked for.
void node_alert(struct node *n, enum node_alert_on on, const char *type, const char *severity,
                const char *subject, const char *fmt, ...) __attribute__((format(printf, 6, 7)));
void node_alerts_doctor(const struct node *n, struct host_webhook *ret); // how the webhook does
// node_stop.c
void node_stop(struct node *n, const char *why);
void node_check_ended(struct node *n);

#endif
