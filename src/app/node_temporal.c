// node_temporal.c: flows on a Temporal cluster: this node as a worker of it, and, where no cluster
// is named, Temporal's development server run beside the node.
// SPDX-License-Identifier: Apache-2.0
#include "app/node_flows_priv.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/time.h"
#include "text/url.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PORT 7233 // Temporal's usual one; its pages
#define UI_PORT 8233
#define PAUSE_MS 1000 // before the server is started again
#define DOCUMENT_BYTES_MAX (8u << 20)

struct node_temporal {
    struct node_flows *flows;
    struct temporal *worker;
    struct net_tls *tls;
    struct proc *server; // NULL: not ours, or not running
    struct timer again;
    struct temporal_server argv;
    char program[4096], folder[4200], last[512]; // last: what the server said last
    bool own, closing, closed;
    bool scheduled; // what is registered was told to the server
};

// ---- the development server ---------------------------------------------------------------------

static bool find_program(char *path, size_t size)
{
    struct bytes rest = bytes_of(getenv("PATH"));
    while (rest.n) {
        struct bytes folder = bytes_cut(&rest, ':');
        (void)snprintf(path, size, "%.*s/temporal", BYTES_FMT(folder));
        if (folder.n && access(path, X_OK) == 0)
            return true;
    }
    return false;
}

static void said(void *user, int fd, struct bytes line)
{
    struct node_temporal *t = user;
    (void)fd;
    (void)snprintf(t->last, sizeof t->last, "%.*s", BYTES_FMT(bytes_first(line, 500)));
}

static void ended(void *user, const struct proc_exit *x)
{
    struct node_temporal *t = user;
    struct node *n = t->flows->node;
    loop_procs(n->loop)->ops->free(t->server);
    t->server = NULL;
    if (t->closing) {
        node_check_ended(n);
        return;
    }
    log_event(LOG_ERROR, "temporal.server", LOG_STR("what", "Temporal's server ended"),
              LOG_INT("code", x->code), LOG_STR("why", *x->text ? x->text : t->last));
    (void)timer_start(loop_timers(n->loop), &t->again, PAUSE_MS);
}

static int spawn(struct node_temporal *t, struct err *e)
{
    struct node *n = t->flows->node;
    struct proc_args args = {
        .argv = t->argv.argv, .on_line = said, .on_exit = ended, .user = t, .cwd = t->folder};
    return loop_procs(n->loop)->ops->spawn(loop_procs(n->loop), &args, &t->server, e);
}

static void again(struct timer *timer)
{
    struct node_temporal *t = timer->user;
    struct err e = {0};
    if (!t->closing && spawn(t, &e) < 0) {
        log_event(LOG_ERROR, "temporal.server", LOG_STR("why", e.text));
        (void)timer_start(loop_timers(t->flows->node->loop), timer, PAUSE_MS);
    }
}

static int own_server(struct node_temporal *t, struct net_addr *addr, struct err *e)
{
    struct node *n = t->flows->node;
    if (!find_program(t->program, sizeof t->program))
        return err_set(e, E_CONFIG,
                       "flows.engine is temporal, no address is given, and there is no program "
                       "temporal on PATH: set flows.temporal.address, or install Temporal's CLI");
    (void)snprintf(t->folder, sizeof t->folder, "%s/temporal", n->paths.data);
    int status = file_mkdirs(t->folder, 0700, e);
    if (status < 0)
        return status;
    temporal_server(&t->argv, t->program, t->folder, PORT, UI_PORT,
                    n->config->flows.temporal_namespace);
    *addr = (struct net_addr){.host = "127.0.0.1", .port = PORT};
    t->own = true;
    t->again = (struct timer){.fn = again, .user = t};
    log_event(LOG_INFO, "temporal.server", LOG_STR("address", "127.0.0.1:7233"),
              LOG_STR("page", "http://127.0.0.1:8233"));
    return spawn(t, e);
}

// ---- documents known by name: files below data/documents
// ------------------------------------------

static void document_path(const struct node *n, char *path, size_t size, struct bytes namespace,
                          struct bytes name, struct bytes version)
{
    (void)snprintf(path, size, "%.3000s/documents/%.*s.%.*s.%.*s.json", n->paths.data,
                   BYTES_FMT(bytes_first(namespace, 64)), BYTES_FMT(bytes_first(name, 64)),
                   BYTES_FMT(bytes_first(version, 128)));
}

static int document(void *user, struct bytes namespace, struct bytes name, struct bytes version,
                    struct buf *out, struct err *e)
{
    struct node_flows *f = user;
    char path[4096], newest[300];
    if (bytes_chr(namespace, '/') >= 0 || bytes_chr(name, '/') >= 0 || bytes_chr(version, '/') >= 0)
        return err_set(e, E_NOTFOUND, "no such flow");
    if (!version.n) {
        if (node_flow_newest(f->node, namespace, name, newest, sizeof newest) < 0)
            return err_set(e, E_NOTFOUND, "no document %.*s/%.*s is registered: plexus flow add",
                           BYTES_FMT(namespace), BYTES_FMT(name));
        version = bytes_of(newest);
    }
    document_path(f->node, path, sizeof path, namespace, name, version);
    int status = file_read(path, out, e);
    return status == E_NOTFOUND
               ? err_set(e, E_NOTFOUND, "no document %.*s/%.*s:%.*s is registered: plexus flow add",
                         BYTES_FMT(namespace), BYTES_FMT(name), BYTES_FMT(version))
               : status;
}

int node_temporal_text(struct node_flows *f, struct bytes namespace, struct bytes name,
                       struct bytes version, struct buf *out, struct err *e)
{
    return document(f, namespace, name, version, out, e);
}

int node_temporal_add(struct node_flows *f, struct bytes text, struct buf *ret_json, struct err *e)
{
    AUTO(flow_plan) plan = NULL;
    struct flow_about about;
    char path[4096], folder[4096];
    struct json_w w;
    int status = flow_plan_new(&plan, text, NULL, e);
    if (status < 0)
        return status;
    if (status > 0)
        return err_set(e, E_UNSUPPORTED,
                       "it needs other documents (functions of a catalog, schemas elsewhere): with "
                       "engine temporal give a bundle that has them");
    flow_plan_about(plan, &about);
    if (about.schedule && (status = runs_schedule_check(about.schedule, e)) < 0)
        return status;
    (void)snprintf(folder, sizeof folder, "%.3000s/documents", f->node->paths.data);
    if ((status = file_mkdirs(folder, 0700, e)) < 0)
        return status;
    document_path(f->node, path, sizeof path, bytes_of(about.namespace), bytes_of(about.name),
                  bytes_of(about.version));
    if ((status = file_write_atomic(path, about.bundle, 0600, e)) < 0)
        return status;
    json_w_init(&w, ret_json);
    json_w_obj(&w, NULL);
    json_w_cstr(&w, "namespace", about.namespace);
    json_w_cstr(&w, "name", about.name);
    json_w_cstr(&w, "version", about.version);
    json_w_end(&w);
    return ret_json->failed;
}

int node_temporal_remove(struct node_flows *f, struct bytes namespace, struct bytes name,
                         struct bytes version, struct err *e)
{
    char path[4096];
    document_path(f->node, path, sizeof path, namespace, name, version);
    if (bytes_chr(namespace, '/') >= 0 || bytes_chr(name, '/') >= 0 ||
        bytes_chr(version, '/') >= 0 || unlink(path) != 0)
        return err_set(e, E_NOTFOUND, "there is no flow %.*s/%.*s:%.*s", BYTES_FMT(namespace),
                       BYTES_FMT(name), BYTES_FMT(version));
    return 0;
}

// ---- schedules ----------------------------------------------------------------------------------

static void scheduled(struct runs_req *r, int status, struct bytes json, const struct err *e)
{
    (void)json;
    if (status < 0 && status != E_CANCELLED)
        log_event(LOG_WARN, "flow.refused", LOG_STR("why", e ? e->text : ""));
    mem_free(r);
}

static int read_document(struct node_flows *f, struct bytes namespace, struct bytes name,
                         struct buf *text)
{
    buf_init(text, DOCUMENT_BYTES_MAX);
    return document(f, namespace, name, BYTES_NONE, text, NULL);
}

static void schedule_one(void *user, struct bytes namespace, struct bytes name,
                         struct bytes version)
{
    struct node_flows *f = user;
    struct buf text;
    struct runs_req *r = mem_new(struct runs_req);
    (void)version;
    if (!r)
        return;
    r->done = scheduled;
    if (read_document(f, namespace, name, &text) == 0)
        temporal_schedule(f->temporal->worker, buf_bytes(&text), false, r);
    else
        mem_free(r);
    buf_fini(&text);
}

void node_temporal_reschedule(struct node_flows *f, struct bytes namespace, struct bytes name,
                              struct runs_req *r)
{
    struct buf text;
    if (read_document(f, namespace, name, &text) == 0)
        temporal_schedule(f->temporal->worker, buf_bytes(&text), true, r);
    else
        temporal_unschedule(f->temporal->worker, namespace, name, r);
    buf_fini(&text);
}

// ---- life ---------------------------------------------------------------------------------------

static void on_state(void *user, int status, const struct err *e)
{
    struct node_flows *f = user;
    if (status == 0)
        log_event(LOG_INFO, "temporal.connected",
                  LOG_STR("namespace", f->node->config->flows.temporal_namespace));
    else
        log_event(LOG_WARN, "temporal.unreachable", LOG_STR("why", e ? e->text : ""));
    f->up = status == 0;
    if (f->up && !f->temporal->scheduled && !*f->node->worker) {
        f->temporal->scheduled = true;
        node_flow_each(f->node, schedule_one, f);
    }
}

static int address_of(struct node_temporal *t, struct net_addr *addr, struct err *e)
{
    const char *said_address = t->flows->node->config->flows.temporal;
    struct url_addr a;
    if (!said_address)
        return own_server(t, addr, e);
    int status = url_addr_parse(&a, bytes_of(said_address), e);
    if (status < 0)
        return err_wrap(e, "flows.temporal.address");
    *addr = (struct net_addr){.unix_socket = a.unix_socket, .port = a.port};
    (void)snprintf(addr->host, sizeof addr->host, "%s", a.host);
    return 0;
}

static int64_t wall(void *user)
{
    (void)user;
    return time_wall_ms();
}

int node_temporal_open(struct node_flows *f, bool activities_only, struct err *e)
{
    struct node *n = f->node;
    const struct config_flows *c = &n->config->flows;
    struct node_temporal *t = f->temporal = mem_new(struct node_temporal);
    struct net_addr addr = {0};
    if (!t)
        return err_set(e, E_NOMEM, "out of memory");
    t->flows = f;
    t->closed = true;
    int status = address_of(t, &addr, e);
    if (status == 0 && c->temporal_tls)
        status = net_tls_new(&t->tls,
                             &(struct net_tls_args){.ca_file = c->temporal_ca,
                                                    .cert_file = c->temporal_cert,
                                                    .key_file = c->temporal_cert_key,
                                                    .alpn = "h2"},
                             e);
    if (status < 0)
        return status;
    struct temporal_args args = {.net = loop_net(n->loop),
                                 .timers = loop_timers(n->loop),
                                 .addr = addr,
                                 .tls = t->tls,
                                 .namespace = c->temporal_namespace,
                                 .api_key = secret_reveal(&c->temporal_key),
                                 .queue = c->temporal_queue,
                                 .queues = *n->worker ? n->worker : node_queues(n),
                                 .rates = f->rates,
                                 .rate_count = f->rate_count,
                                 .node = n->config->node_name,
                                 .deployment = c->temporal_deployment,
                                 .local_retries = c->temporal_retries,
                                 .expr = f->expr,
                                 .acts = f->acts,
                                 .activities_only = activities_only,
                                 .document = document,
                                 .event = node_flows_lifecycle,
                                 .changed = node_flows_changed,
                                 .state = on_state,
                                 .wall_ms = wall,
                                 .user = f,
                                 .activities_max = c->activities};
    status = temporal_new(&t->worker, &args, e);
    t->closed = status < 0;
    return status;
}

struct temporal *node_temporal_of(const struct node_flows *f)
{
    return f->temporal && !f->temporal->closed && !f->temporal->closing ? f->temporal->worker
                                                                        : NULL;
}

static void is_closed(void *user)
{
    struct node_temporal *t = user;
    t->closed = true;
    if (t->server)
        loop_procs(t->flows->node->loop)->ops->term(t->server);
    node_check_ended(t->flows->node);
}

void node_temporal_close(struct node_flows *f)
{
    struct node_temporal *t = f->temporal;
    t->closing = true;
    timer_stop(loop_timers(f->node->loop), &t->again);
    if (!t->closed)
        temporal_close(t->worker, is_closed, t);
    else
        is_closed(t);
}

bool node_temporal_ended(const struct node_flows *f)
{
    return f->temporal->closed && !f->temporal->server;
}

void node_temporal_free(struct node_flows *f)
{
    if (!f->temporal)
        return;
    net_tls_free(f->temporal->tls);
    mem_free(f->temporal);
    f->temporal = NULL;
}
