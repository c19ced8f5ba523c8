// node_start.c: folders, lock, config, log, and the object graph.
// SPDX-License-Identifier: Apache-2.0
#include "app/node_priv.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/time.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define TICK_MS 1000

static int set_paths(struct node *n, const char *data, struct err *e)
{
    struct node_paths *p = &n->paths;
    char real[PATH_MAX];
    int status = file_mkdirs(data, 0700, e);
    if (status < 0)
        return err_wrap(e, "data folder");
    if (!realpath(data, real))
        return err_errno(e, errno, "data folder %s", data);
    if (strlen(real) >= sizeof(p->data))
        return err_set(e, E_INVALID, "the data folder's path is too long");
    memcpy(p->data, real, strlen(real) + 1);
    (void)snprintf(p->run, sizeof(p->run), "%s/run", p->data);
    (void)snprintf(p->lock, sizeof(p->lock), "%s/lock", p->data);
    (void)snprintf(p->socket, sizeof(p->socket), "%s/run/plexus.sock", p->data);
    (void)snprintf(p->pid, sizeof(p->pid), "%s/run/plexus.pid", p->data);
    (void)snprintf(p->keys, sizeof(p->keys), "%s/keys.json", p->data);
    (void)snprintf(p->log, sizeof(p->log), "%s/logs/node.jsonl", p->data);
    (void)snprintf(p->config, sizeof(p->config), "%s/plexus.yaml", p->data);
    char logs[PATH_MAX];
    (void)snprintf(logs, sizeof(logs), "%s/logs", p->data);
    status = file_mkdirs(p->run, 0700, e);
    return status < 0 ? status : file_mkdirs(logs, 0700, e);
}

// One node a data folder: the lock goes with the process, however it ends.
static int take_lock(struct node *n, struct err *e)
{
    n->lock_fd = open(n->paths.lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (n->lock_fd < 0)
        return err_errno(e, errno, "lock file %s", n->paths.lock);
    if (flock(n->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        char pid[32] = "";
        (void)!pread(n->lock_fd, pid, sizeof(pid) - 1, 0);
        return err_set(e, E_LOCKED,
                       "another node (process %.*s) uses the data folder %s; stop it with `plexus "
                       "down --data %s`, or give this one its own with --data",
                       (int)strcspn(pid, "\n"), pid, n->paths.data, n->paths.data);
    }
    char pid[32];
    int len = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
    (void)!ftruncate(n->lock_fd, 0);
    (void)!pwrite(n->lock_fd, pid, (size_t)len, 0);
    return 0;
}

// No config anywhere: one is made from what is on this machine and kept, so that it can be edited.
static int make_config(struct node *n, struct err *e)
{
    struct buf text;
    char cwd[PATH_MAX];
    buf_init(&text, 1 << 20);
    struct config_found where = {.cwd = getcwd(cwd, sizeof(cwd)) ? cwd : ".",
                                 .home = getenv("HOME")};
    int status = config_discover(&text, &where, e);
    if (status == 0)
        status = file_write_atomic(n->paths.config, buf_bytes(&text), 0600, e);
    buf_fini(&text);
    return status;
}

// Made here when there were no models, and not touched since: nothing of anybody's is lost.
static bool is_empty_made(const char *path)
{
    struct buf text;
    buf_init(&text, 64 << 10);
    bool empty = file_read(path, &text, NULL) == 0 &&
                 bytes_starts(buf_bytes(&text), BYTES("# Made by plexus"));
    struct bytes rest = buf_bytes(&text);
    while (empty && rest.n > 0) {
        struct bytes line = bytes_trim(bytes_cut(&rest, '\n'));
        empty = line.n == 0 || line.p[0] == '#' || bytes_is(line, "models: {}");
    }
    buf_fini(&text);
    return empty;
}

static void tell_made(const struct node *n)
{
    size_t count = n->config->model_count;
    (void)fprintf(stderr,
                  "no configuration was found: made one with %zu model%s of this machine: %s\n",
                  count, count == 1 ? "" : "s", n->paths.config);
    if (count == 0)
        (void)fprintf(stderr, "put a GGUF file into ./models and start again; the file above says "
                              "where else is looked\n");
}

static int find_config(struct node *n, struct cli *c, struct err *e)
{
    const char *path = cli_option(c, "config"), *data = cli_data(c);
    if (!path)
        path = getenv("PLEXUS_CONFIG");
    if (!path && access("plexus.yaml", R_OK) == 0)
        path = "plexus.yaml";
    if (path) {
        n->config_path = path;
        int status = config_load(&n->config, path, e);
        if (status < 0)
            return status;
        char own[PATH_MAX];
        (void)snprintf(own, sizeof own, "%.3000s/workers/%.64s", n->config->data,
                       *n->worker ? *n->worker : "");
        return set_paths(n, data ? data : *n->worker ? own : n->config->data, e);
    }
    if (*n->worker)
        return err_set(e, E_CONFIG,
                       "a worker needs a configuration that says where its bus is: "
                       "--config FILE, or ./plexus.yaml");
    int status = set_paths(n, data ? data : "data", e);
    bool make = access(n->paths.config, R_OK) != 0 || is_empty_made(n->paths.config);
    if (status == 0 && make)
        status = make_config(n, e);
    n->config_path = n->paths.config;
    if (status == 0)
        status = config_load(&n->config, n->paths.config, e);
    if (status == 0 && make)
        tell_made(n);
    return status;
}

static const char *const level_names[] = {"debug", "info", "warn", "error"};

static bool level_of(const char *name, enum log_level *ret)
{
    for (int i = 0; i < 4; i++)
        if (strcmp(name, level_names[i]) == 0)
            return *ret = (enum log_level)i, true;
    return false;
}

// The command line's level stands above the configuration's, also after a reload.
static void set_log_level(struct node *n)
{
    enum log_level least = LOG_INFO;
    (void)level_of(n->log_level ? n->log_level : n->config->log_level, &least);
    log_start(n->log, least);
    log_echo(n->screen, least);
}

static int open_logs(struct node *n, struct err *e)
{
    const struct config *c = n->config;
    struct log_sink_args args = {.path = n->paths.log, .rotate_bytes = c->log_rotate_bytes};
    int status = log_sink_open(&n->log, &args, e);
    if (status < 0)
        return status;
    set_log_level(n);
    struct log_sink_args screen = {.fd = STDERR_FILENO};
    if (n->echo && (status = log_sink_open(&n->screen, &screen, e)) < 0)
        return status;
    set_log_level(n);
    if (!c->access_log || strcmp(c->access_log, "off") == 0)
        return 0;
    int len = snprintf(n->paths.access, sizeof(n->paths.access),
                       c->access_log[0] == '/' ? "%s%s" : "%s/%s",
                       c->access_log[0] == '/' ? "" : n->paths.data, c->access_log);
    if (len < 0 || (size_t)len >= sizeof(n->paths.access))
        return err_set(e, E_CONFIG, "log.access: the path is too long");
    char *slash = strrchr(n->paths.access, '/');
    *slash = 0;
    status = file_mkdirs(n->paths.access, 0700, e);
    *slash = '/';
    struct log_sink_args access = {.path = n->paths.access,
                                   .rotate_bytes = c->log_rotate_bytes,
                                   .batch_bytes = (size_t)c->access_log_batch_bytes,
                                   .batch_ms = c->access_log_flush_ms};
    return status < 0 ? status : log_sink_open(&n->access_log, &access, e);
}

int node_prepare(struct node *n, struct cli *c, struct err *e)
{
    enum log_level least;
    n->log_level = cli_option(c, "log-level");
    if (n->log_level && !level_of(n->log_level, &least))
        return err_set(e, E_USAGE, "--log-level is debug, info, warn or error, not \"%s\"",
                       n->log_level);
    const char *context = cli_option(c, "context");
    if (context && setenv("PLEXUS_CONTEXT", context, 1) != 0) // also for each reload
        return err_errno(e, errno, "--context");
    int status = find_config(n, c, e);
    if (status == 0 && *n->worker)
        status = node_worker_check(n, e);
    if (status == 0)
        status = take_lock(n, e);
    if (status == 0) {
        (void)snprintf(n->data_said, sizeof(n->data_said), "%s", n->config->data);
        n->config->data = n->paths.data; // --data wins
        if (!realpath(n->config_path, n->folder))
            (void)!getcwd(n->folder, sizeof(n->folder));
        char *slash = strrchr(n->folder, '/');
        if (slash && slash != n->folder)
            *slash = 0;
    }
    if (status == 0)
        status = open_logs(n, e);
    return status < 0 ? status : node_checks(n, e);
}

static void http_limits_of(const struct config *c, struct http_limits *l)
{
    *l = (struct http_limits){.head_bytes = (size_t)c->head_bytes,
                              .body_bytes = c->body_bytes,
                              .budget_bytes = c->budget_bytes,
                              .head_ms = c->head_ms,
                              .body_ms = c->body_ms,
                              .idle_ms = c->keepalive_ms,
                              .write_ms = c->write_ms};
}

// ---- what the machine is, looked at by a helper thread: NVML may take seconds ----

static void detect_run(struct work_req *w)
{
    struct host_live *live =
        host_live_new(&(struct host_live_args){.root = "/", .self_exe = file_self()});
    struct host_probe probe = live ? host_live_probe(live) : (struct host_probe){0};
    struct host_args args = {0};
    struct host_profile *p = live ? mem_new(struct host_profile) : NULL;
    struct err e = {0};
    if (p && host_detect(p, &probe, &args, &e) < 0) {
        mem_free(p);
        p = NULL;
    }
    host_live_free(live);
    w->priv = p;
}

static void set_budget(struct node *n)
{
    const struct config *c = n->config;
    uint64_t budget = c->memory_bytes;
    if (budget == 0 && n->profile) // 80 % of what counts: the rest is for the system and page cache
        budget = n->profile->memory.effective / 5 * 4;
    models_limits(n->models,
                  &(struct models_args){.memory_bytes = budget, .queue_max = c->queue_max},
                  timers_now_ms(loop_timers(n->loop)));
    engines_run(n->engines);
}

static void detect_done(struct work_req *w)
{
    struct node *n = w->user;
    if (w->priv) {
        mem_free(n->profile);
        n->profile = w->priv;
    }
    if (n->draining)
        return;
    set_budget(n);
    ctl_profile_changed(n->ctl);
}

void node_limits(struct node *n)
{
    struct http_limits limits;
    http_limits_of(n->config, &limits);
    http_server_limits(n->server, &limits);
    gate_names(n->gate, n->config->hosts, n->config->origins);
    set_log_level(n);
    set_budget(n);
}

// Readers of events hear of a model's requests and idle time once a second, not at each request.
static void tell_busy_models(struct node *n)
{
    int64_t now = timers_now_ms(loop_timers(n->loop));
    for (struct model *x = NULL; (x = models_each(n->models, x)) != NULL;) {
        struct model_view v;
        model_view(n->models, x, now, &v);
        struct meter_model *row = meter_model(n->meter, v.name, v.engine);
        uint64_t sign =
            row ? row->duration.count + ((uint64_t)v.active << 32) + ((uint64_t)v.waiting << 48)
                : 0;
        if (row && sign != row->told) {
            row->told = sign;
            ctl_model_changed(n->ctl, x);
        }
    }
}

static void on_tick(struct timer *t)
{
    struct node *n = t->user;
    if (ctl_watched(n->ctl))
        tell_busy_models(n);
    struct gate_totals totals;
    gate_totals(n->gate, &totals);
    n->requests_per_s = (double)(totals.requests - n->last_requests) * 1000.0 / TICK_MS;
    n->last_requests = totals.requests;
    node_mesh_tick(n);
    (void)timer_start(loop_timers(n->loop), t, TICK_MS);
}

static void ctl_woken(void *user)
{
    struct node *n = user;
    ctl_wake(n->ctl);
}

static int build_server(struct node *n, struct err *e)
{
    struct http_server_args server = {.net = loop_net(n->loop), .timers = loop_timers(n->loop)};
    struct gate_args gate = {0};
    http_limits_of(n->config, &server.limits);
    server.routes = gate_routes(&n->gate_slot);
    int status = http_server_new(&n->server, &server, e);
    if (status < 0)
        return status;
    node_gate_args(n, &gate);
    if ((status = gate_new(&n->gate, &gate, e)) < 0)
        return status;
    n->gate_slot = n->gate;
    gate_names(n->gate, n->config->hosts, n->config->origins);
    struct ctl_args ctl = {.timers = loop_timers(n->loop),
                           .work = loop_work(n->loop),
                           .models = n->models,
                           .keys = n->keys,
                           .ops = &node_ctl_ops,
                           .user = n};
    if ((status = loop_wake_new(n->loop, ctl_woken, n, &n->ctl_wake)) < 0)
        return err_set(e, status, "no wake-up handle");
    if ((status = ctl_new(&n->ctl, &ctl, e)) < 0)
        return status;
    log_watch(ctl_log_line, n->ctl);
    return 0;
}

int node_build(struct node *n, struct err *e)
{
    struct loop_args loop = {.connections_max = n->config->connections_max};
    int status = loop_new(&n->loop, &loop, e);
    if (status < 0)
        return status;
    n->meter = meter_new();
    n->models = models_new(&(struct models_args){.memory_bytes = n->config->memory_bytes,
                                                 .queue_max = n->config->queue_max});
    n->keys = keys_new();
    struct node_labels labels = {0};
    if (!n->meter || !n->models || !n->keys)
        return err_set(e, E_NOMEM, "out of memory");
    if ((status = node_labels_new(n, e)) < 0)
        return status;
    keys_names(n->keys, n->label_names);
    if ((status = keys_read(n, e)) < 0 || (status = build_server(n, e)) < 0 ||
        (status = node_labels_make(n, n->config, &labels, e)) < 0)
        return status;
    node_labels_take(n, &labels);
    if ((status = node_alerts_open(n, e)) < 0)
        return status;
    struct engines_args engines = {0};
    node_engines_args(n, &engines);
    if ((status = engines_new(&n->engines, &engines, e)) < 0)
        return status;
    if ((status = door_open_socket(n, e)) < 0 ||
        (!*n->worker && (status = doors_open(n, n->config, e)) < 0))
        return status;
    if (!*n->worker)
        node_put_models(n, n->config);
    node_prices(n, n->config);
    if (!*n->worker && node_mesh_open(n, e) < 0)
        return err_wrap(e, "mesh");
    if (node_bus_open(n, e) < 0)
        return err_wrap(e, "bus");
    if (node_flows_open(n, e) < 0)
        return err_wrap(e, "flows");
    if (node_tools_open(n, e) < 0)
        return err_wrap(e, "tools");
    if (node_mcp_open(n, e) < 0)
        return err_wrap(e, "mcp");
    n->tick.fn = on_tick;
    n->tick.user = n;
    (void)timer_start(loop_timers(n->loop), &n->tick, TICK_MS);
    n->detect = (struct work_req){.run = detect_run, .done = detect_done, .user = n};
    (void)work_start(loop_work(n->loop), &n->detect);
    engines_run(n->engines);
    return 0;
}

struct net_tls *node_tls(struct node *n, struct err *e)
{
    if (!n->client_tls)
        (void)net_tls_new(&n->client_tls, &(struct net_tls_args){.server = false}, e);
    return n->client_tls;
}

void node_unbuild(struct node *n)
{
    n->draining = true; // for what helper threads still bring
    log_watch(NULL, NULL);
    if (n->ctl_wake)
        loop_wake_free(n->ctl_wake);
    node_mesh_close(n);
    node_alerts_close(n);
    node_flows_drop(n);
    node_mcp_close(n);
    node_tools_close(n);
    engines_free(n->engines);
    if (n->keys && keys_count(n->keys) > 0) // their counters
        (void)keys_write(n, NULL);
    ctl_free(n->ctl);
    http_server_free(n->server);
    node_mcp_drop(n);
    node_tools_drop(n);
    loop_free(n->loop); // waits for helper threads, which may still look at bodies for the gate
    node_mesh_free(n);
    node_bus_free(n);
    node_flows_free(n);
    node_mcp_free(n);
    node_tools_free(n);
    node_alerts_free(n);
    gate_free(n->gate);
    for (int i = 0; i < NODE_DOORS_MAX; i++)
        net_tls_free(n->doors[i].tls);
    net_tls_free(n->client_tls);
    models_free(n->models);
    keys_free(n->keys);
    node_labels_free(n);
    meter_free(n->meter);
    mem_free(n->profile);
    log_stop();
    log_sink_close(n->access_log);
    log_sink_close(n->screen);
    log_sink_close(n->log);
    config_free(n->config);
    if (n->lock_fd >= 0)
        (void)close(n->lock_fd);
}
