// node_ops.c: what ctl, gate and the engines' driver ask the node for.
// SPDX-License-Identifier: Apache-2.0
#include "app/node_priv.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/time.h"
#include "web/web.h"
#include <stdio.h>
#include <string.h>

#define KEYS_BYTES_MAX (16u << 20)

// ---- keys --------------------------------------------------------------------------------------

int keys_read(struct node *n, struct err *e)
{
    struct buf text;
    buf_init(&text, KEYS_BYTES_MAX);
    int status = file_read(n->paths.keys, &text, e);
    if (status == E_NOTFOUND) {
        if (e)
            *e = (struct err){0};
        status = 0;
    } else if (status == 0) {
        status = keys_load(n->keys, buf_bytes(&text), e);
        if (status < 0)
            (void)err_wrap(e, "%s", n->paths.keys);
    }
    buf_fini(&text);
    return status;
}

int keys_write(struct node *n, struct err *e)
{
    struct buf text;
    buf_init(&text, KEYS_BYTES_MAX);
    int status = keys_save(n->keys, &text);
    if (status < 0)
        (void)err_set(e, status, "keys: out of memory");
    else
        status = file_write_atomic(n->paths.keys, buf_bytes(&text), 0600, e);
    buf_fini(&text);
    return status;
}

// ---- ctl ---------------------------------------------------------------------------------------

static const struct config *op_config(void *user)
{
    return ((struct node *)user)->config;
}

static void op_node(void *user, struct ctl_node *ret)
{
    struct node *n = user;
    *ret =
        (struct ctl_node){.version = PLEXUS_VERSION,
                          .address = n->address,
                          .started_ms = n->started_ms,
                          .uptime_ms = (int64_t)((time_mono_ns() - n->started_mono_ns) / 1000000),
                          .ready = !n->draining,
                          .draining = n->draining};
}

static void op_totals(void *user, struct ctl_totals *ret)
{
    struct node *n = user;
    struct gate_totals t;
    struct net_stats s;
    gate_totals(n->gate, &t);
    net_stats(loop_net(n->loop), &s);
    *ret = (struct ctl_totals){t.requests,   t.errors,      t.tokens_in,
                               t.tokens_out, s.connections, n->requests_per_s};
}

static void to_ctl(const struct gate_request_view *v, struct ctl_request *r)
{
    *r = (struct ctl_request){.id = bytes_of(v->id),
                              .model = bytes_of(v->model),
                              .path = bytes_of(v->path),
                              .key = bytes_of(v->key),
                              .running = strcmp(v->state, "running") == 0,
                              .stream = v->stream,
                              .age_ms = v->age_ms,
                              .first_byte_ms = v->first_byte_ms,
                              .tokens = v->tokens,
                              .tokens_per_s = v->tokens_per_s};
}

static bool op_request(void *user, void **at, struct ctl_request *ret)
{
    struct node *n = user;
    struct gate_request_view v;
    if (!gate_next(n->gate, at, &v))
        return false;
    to_ctl(&v, ret);
    return true;
}

static const struct host_profile *op_profile(void *user)
{
    return ((struct node *)user)->profile;
}

static void op_after(void *user)
{
    engines_run(((struct node *)user)->engines);
}

static int op_keys_changed(void *user, struct err *e)
{
    return keys_write(user, e);
}

static int op_reload(void *user, struct buf *changes, struct err *e)
{
    return node_reload(user, changes, e);
}

// The gate's word: an exchange that is handed on is owned by its key, if there is one.
static struct label op_clearance(void *user, const struct http_exchange *x)
{
    const struct key *key = http_owner(x);
    (void)user;
    return key ? key_clearance(key) : LABEL_ALL;
}

static void op_down(void *user)
{
    node_stop(user, "plexus down");
}

#define DOCTOR_ENGINES_MAX 64

struct doctor_job { // all that the helper thread looks at
    struct host_doctor_args args;
    char data[4000];
    uint16_t ports[NODE_DOORS_MAX];
    struct host_engine engines[DOCTOR_ENGINES_MAX];
    struct host_mesh mesh;
    struct host_tools calls;
    struct host_webhook webhook;
    struct host_flows flows;
    char names[DOCTOR_ENGINES_MAX][129];
};

static int doctor_run(void *arg, struct buf *json, struct err *e)
{
    struct doctor_job *j = arg;
    struct host_live *live =
        host_live_new(&(struct host_live_args){.root = "/", .self_exe = file_self()});
    struct host_facts *facts = mem_new(struct host_facts);
    struct host_profile *profile = mem_new(struct host_profile);
    struct host_finding *findings = mem_array(HOST_FINDINGS_MAX, sizeof(*findings));
    int status = E_NOMEM;
    if (live && facts && profile && findings) {
        struct host_probe probe = host_live_probe(live);
        struct host_args args = {0};
        status = host_detect(profile, &probe, &args, e);
        if (status == 0) {
            node_flows_doctor_jq(&j->flows);
            host_doctor_gather(facts, &probe, profile, &j->args);
            size_t count = host_doctor_check(findings, facts, profile);
            status = host_doctor_json(json, findings, count);
        }
    } else {
        (void)err_set(e, E_NOMEM, "out of memory");
    }
    mem_free(facts);
    mem_free(profile);
    mem_free(findings);
    host_live_free(live);
    return status;
}

// Engines that run now.
static void doctor_engines(struct node *n, struct doctor_job *j)
{
    int64_t now = timers_now_ms(loop_timers(n->loop));
    size_t count = 0;
    for (struct model *x = NULL;
         count < DOCTOR_ENGINES_MAX && (x = models_each(n->models, x)) != NULL;) {
        struct model_view v;
        int64_t pid = engines_pid(n->engines, x);
        if (pid <= 0)
            continue;
        model_view(n->models, x, now, &v);
        (void)snprintf(j->names[count], sizeof(j->names[count]), "%s", v.name);
        j->engines[count] = (struct host_engine){.model = j->names[count], .pid = pid};
        for (size_t i = 0; i < n->config->model_count; i++)
            if (strcmp(n->config->models[i].name, v.name) == 0)
                j->engines[count].expose = n->config->models[i].expose;
        count++;
    }
    j->args.engines = j->engines;
    j->args.engine_count = count;
}

static void op_doctor(void *user, struct ctl_answer *a)
{
    struct node *n = user;
    struct doctor_job *j = mem_new(struct doctor_job);
    if (!j) {
        struct err e = {0};
        (void)err_set(&e, E_NOMEM, "out of memory");
        ctl_answer_error(a, &e);
        return;
    }
    j->args = (struct host_doctor_args){.ports = j->ports, .node_running = true};
    node_doctor_args(n, &j->args);
    memcpy(j->data, n->paths.data, strlen(n->paths.data) + 1);
    j->args.data_dir = j->data;
    for (int i = 0; i < NODE_DOORS_MAX; i++)
        if (n->doors[i].used && n->doors[i].host[0])
            j->ports[j->args.port_count++] = net_listener_port(n->doors[i].listener);
    for (size_t i = 0; i < n->config->model_count; i++)
        if (strcmp(n->config->models[i].engine, "llama.cpp") == 0)
            j->args.local_engines = true;
    doctor_engines(n, j);
    node_mesh_doctor(n, &j->mesh);
    node_alerts_doctor(n, &j->webhook);
    j->args.mesh = &j->mesh;
    j->args.webhook = &j->webhook;
    node_flows_doctor(n, &j->flows);
    j->args.flows = &j->flows;
    node_tools_doctor(n, &j->calls);
    j->args.calls = &j->calls;
    ctl_answer_work(a, doctor_run, j, mem_free);
}

static void op_wake(void *user)
{
    loop_wake_send(((struct node *)user)->ctl_wake);
}

const struct ctl_ops node_ctl_ops = {
    .config = op_config,
    .node = op_node,
    .totals = op_totals,
    .request = op_request,
    .profile = op_profile,
    .after = op_after,
    .keys_changed = op_keys_changed,
    .reload = op_reload,
    .down = op_down,
    .doctor = op_doctor,
    .mesh = node_mesh_op,
    .flow = node_flows_op,
    .tool = node_tools_op,
    .mesh_put = node_mesh_put,
    .clearance = op_clearance,
    .wake = op_wake,
};

// ---- gate --------------------------------------------------------------------------------------

static bool gate_upstream_of(void *user, struct model *m, struct gate_upstream *ret)
{
    struct node *n = user;
    const struct engine_upstream *up = engines_upstream(n->engines, m);
    if (!up)
        return false;
    *ret = (struct gate_upstream){.pool = up->pool,
                                  .auth = up->auth,
                                  .base_path = up->base_path,
                                  .model = up->model,
                                  .first_byte_ms = up->first_byte_ms,
                                  .silence_ms = up->silence_ms};
    return true;
}

static const char *gate_why(void *user, struct model *m)
{
    struct node *n = user;
    struct model_view v;
    model_view(n->models, m, timers_now_ms(loop_timers(n->loop)), &v);
    return v.state != MODEL_WARM && v.failure && *v.failure ? v.failure : NULL;
}

static bool gate_other(void *user, struct http_exchange *x, unsigned scopes)
{
    struct node *n = user;
    return node_mesh_handle(n, x) || node_mcp_handle(n, x) || ctl_handle(n->ctl, x, scopes) ||
           web_handle(x);
}

static int gate_other_head(void *user, struct http_exchange *x)
{
    return node_mcp_head(user, x);
}

static void gate_on_request(void *user, const struct gate_request_view *v)
{
    struct node *n = user;
    if (!ctl_watched(n->ctl))
        return;
    struct ctl_request r;
    to_ctl(v, &r);
    ctl_request_event(n->ctl, &r, v->end);
}

static bool gate_ready(void *user)
{
    return !((struct node *)user)->draining;
}

// "the client 127.0.0.1:50000": the port is another one each time.
static void gate_violation(void *user, const char *operation, const char *who, const char *why)
{
    char subject[300];
    const char *port = strrchr(who, ':');
    bool digits = port && port[1] && strspn(port + 1, "0123456789") == strlen(port + 1);
    (void)snprintf(subject, sizeof(subject), "%s: %.*s", operation,
                   digits ? (int)(port - who) : (int)strlen(who), who);
    node_alert(user, NODE_ALERT_SECURITY, "plexus.security.violation", "critical", subject, "%s",
               why);
}

static void before_metrics(void *user)
{
    struct node *n = user;
    struct meter_node *m = meter_node(n->meter);
    struct net_stats net;
    struct http_server_stats http;
    net_stats(loop_net(n->loop), &net);
    http_server_stats(n->server, &http);
    node_bus_meter(n);
    m->connections = net.connections;
    m->connections_max = net.connections_max;
    m->over_limit = net.refused_over_limit;
    m->body_bytes = http.body_bytes_buffered;
    m->memory_budget_bytes = models_memory_budget(n->models);
    m->memory_used_bytes = models_memory_used(n->models);
    m->loop_lag_ns = loop_lag_ns(n->loop);
    m->uptime_s = (time_mono_ns() - n->started_mono_ns) / 1000000000u;
    m->log_dropped =
        log_sink_dropped(n->log) + (n->access_log ? log_sink_dropped(n->access_log) : 0);
    node_mesh_meter(n);
    node_alerts_meter(n);
    node_flows_meter(n);
    node_tools_meter(n);
    int64_t now = timers_now_ms(loop_timers(n->loop));
    for (struct model *x = NULL; (x = models_each(n->models, x)) != NULL;) {
        struct model_view v;
        model_view(n->models, x, now, &v);
        struct meter_model *row = meter_model(n->meter, v.name, v.engine);
        if (!row)
            continue;
        row->active = v.active;
        row->waiting = v.waiting;
        row->memory_bytes = v.memory_bytes;
        row->state = v.state;
        row->loads = v.loads;
        row->evictions = v.evictions;
        row->deaths = v.deaths;
    }
}

void node_gate_args(struct node *n, struct gate_args *args)
{
    *args = (struct gate_args){.server = n->server,
                               .timers = loop_timers(n->loop),
                               .work = loop_work(n->loop),
                               .models = n->models,
                               .keys = n->keys,
                               .meter = n->meter,
                               .access_log = n->access_log,
                               .after = op_after,
                               .upstream = gate_upstream_of,
                               .why = gate_why,
                               .other = gate_other,
                               .other_head = gate_other_head,
                               .tools = node_tools_ask,
                               .on_request = gate_on_request,
                               .model_labels = node_model_labels,
                               .ready = gate_ready,
                               .before_metrics = before_metrics,
                               .violation = gate_violation,
                               .user = n};
    node_mesh_gate(n, args);
}

// ---- engines -----------------------------------------------------------------------------------

static void on_changed(void *user, struct model *m)
{
    struct node *n = user;
    struct model_view v;
    model_view(n->models, m, timers_now_ms(loop_timers(n->loop)), &v);
    struct meter_model *row = meter_model(n->meter, v.name, v.engine);
    if (row && v.loads > row->loads && v.last_load_ms >= 0)
        hist_add(&row->load, (uint64_t)v.last_load_ms * 1000000u);
    bool news = !row || row->state != v.state || v.loads != row->loads;
    if (row && row->state != v.state) {
        row->load_failures += v.state == MODEL_FAILED;
        if (v.state == MODEL_FAILED)
            node_alert(n, NODE_ALERT_MODEL, "plexus.model.failed", "critical", v.name, "%s",
                       v.failure && *v.failure ? v.failure : "it could not be started");
        if (v.state == MODEL_WARM)
            log_event(LOG_INFO, "model.state", LOG_STR("model", v.name), LOG_STR("state", "WARM"),
                      LOG_INT("load_ms", v.last_load_ms));
        else
            log_event(v.state == MODEL_FAILED ? LOG_ERROR : LOG_INFO, "model.state",
                      LOG_STR("model", v.name), LOG_STR("state", model_state_name(v.state)),
                      LOG_STR("phase", v.phase),
                      LOG_STR("failure", v.state == MODEL_FAILED ? v.failure : NULL));
    }
    if (row) {
        row->loads = v.loads;
        row->state = v.state;
    }
    ctl_model_changed(n->ctl, m);
    if (news)
        node_bus_model(n, m);
    node_mesh_models(n);
    node_tools_models(n);
    node_check_ended(n);
}

static void on_line(void *user, const char *model, const char *engine, int fd, struct bytes line)
{
    (void)user;
    log_event_quiet(LOG_INFO, "engine.line", LOG_STR("model", model), LOG_STR("engine", engine),
                    LOG_INT("fd", fd), LOG_BYTES("line", line));
}

static void on_started(void *user, struct model *m, uint64_t ns)
{
    struct node *n = user;
    struct model_view v;
    model_view(n->models, m, timers_now_ms(loop_timers(n->loop)), &v);
    struct meter_model *row = meter_model(n->meter, v.name, v.engine);
    if (row)
        hist_add(&row->swap_own, ns);
}

static void on_grant(void *user, struct model_ticket *t)
{
    gate_granted(((struct node *)user)->gate, t);
}

static void on_refuse(void *user, struct model_ticket *t, const struct err *e)
{
    gate_refused(((struct node *)user)->gate, t, e);
}

static void on_close_streams(void *user, struct model *m)
{
    gate_close(((struct node *)user)->gate, m, E_BUSY, "the model is being unloaded");
}

void node_engines_args(struct node *n, struct engines_args *args)
{
    *args = (struct engines_args){.models = n->models,
                                  .procs = loop_procs(n->loop),
                                  .timers = loop_timers(n->loop),
                                  .net = loop_net(n->loop),
                                  .folder = n->folder,
                                  .names = n->label_names,
                                  .on_changed = on_changed,
                                  .on_line = on_line,
                                  .on_grant = on_grant,
                                  .on_refuse = on_refuse,
                                  .on_started = on_started,
                                  .on_close_streams = on_close_streams,
                                  .user = n};
}
