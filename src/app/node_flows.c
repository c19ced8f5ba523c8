// node_flows.c: the node's flows: the journal opened, activities, the driver, and their end.
// SPDX-License-Identifier: Apache-2.0
#include "app/node_bus_priv.h"
#include "app/node_flows_priv.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/rng.h"
#include "base/time.h"
#include "text/cloudevent.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_MS 1000 // for what nodes that share the journal registered
#define EVENTS "%s.organs.flow.event" // where flows' own events go, and come from

// ---- what the driver and the activities ask for -------------------------------------------------

static int64_t wall(void *user)
{
    (void)user;
    return time_wall_ms();
}

static uint64_t chance(void *user)
{
    uint64_t v = 0;
    (void)user;
    rng_bytes(&v, sizeof v);
    return v;
}

static struct net_tls *tls_of(void *user, struct err *e)
{
    return node_tls(((struct node_flows *)user)->node, e);
}

static int secret_of(void *user, struct bytes name, struct buf *out, struct err *e)
{
    struct node_flows *f = user;
    const struct config_flows *c = &f->node->config->flows;
    char env[160] = "PLEXUS_SECRET_NAME";
    const char *value = NULL;
    for (size_t i = 0; i < c->secret_count && !value; i++)
        if (bytes_is(name, c->secrets[i].name))
            value = secret_reveal(&c->secrets[i].value);
    if (!value && name.n < sizeof env - 16) {
        int n = snprintf(env, sizeof env, "PLEXUS_SECRET_%.*s", BYTES_FMT(name));
        for (int i = 0; i < n; i++)
            env[i] = env[i] == '-' || env[i] == '.' ? '_' : env[i];
        value = getenv(env);
    }
    if (!value)
        return err_set(e, E_NOTFOUND,
                       "there is no secret \"%.*s\": set flows.secrets.%.*s, or the environment "
                       "variable %s",
                       BYTES_FMT(name), BYTES_FMT(name), env);
    return buf_str(out, value);
}

// ---- events -------------------------------------------------------------------------------------

// To whoever listens on the bus, as a message whose data is the whole CloudEvent.
static void publish(struct node_flows *f, const char *last, struct bytes cloudevent)
{
    struct node *n = f->node;
    char subject[300];
    (void)snprintf(subject, sizeof subject, "%s.organs.flow.%s", n->config->environment, last);
    struct bus_msg m = {.subject = bytes_of(subject),
                        .data = cloudevent,
                        .type = BYTES("plexus.flow.event"),
                        .content = BYTES(CLOUDEVENT_JSON)};
    if (n->bus && n->bus->bus)
        (void)bus_publish(n->bus->bus, &m, NULL); // nobody waits for it; refusals are counted
}

// Where labels mean something, what tasks gave stays with the API: a message on the bus has the
// standard label, and what a flow has read may have a higher one.
static void publish_without_data(struct node_flows *f, struct bytes cloudevent)
{
    struct val *event = NULL;
    struct buf json;
    if (val_parse(&event, cloudevent, NULL) < 0)
        return;
    struct val *data = val_get_cstr(event, "data") ? val_ref(val_get_cstr(event, "data")) : NULL;
    data = data ? val_del(val_del(data, BYTES("output")), BYTES("error")) : NULL;
    event = data ? val_put_cstr(event, "data", data) : event;
    buf_init(&json, 1 << 20);
    if (event && val_write(&json, event) == 0)
        publish(f, "life", buf_bytes(&json));
    buf_fini(&json);
    val_unref(event);
}

void node_flows_lifecycle(void *user, struct bytes run, struct bytes cloudevent)
{
    struct node_flows *f = user;
    ctl_flow_event(f->node->ctl, run, cloudevent);
    if (f->node->labels.in_use)
        publish_without_data(f, cloudevent);
    else
        publish(f, "life", cloudevent);
}

void node_flows_changed(void *user, struct bytes run, const struct flow_note *note)
{
    struct node_flows *f = user;
    static const char *const kinds[] = {
        [FLOW_NOTE_STARTED] = "started",     [FLOW_NOTE_RETRIED] = "retried",
        [FLOW_NOTE_WAITING] = "waiting",     [FLOW_NOTE_COMPLETED] = "completed",
        [FLOW_NOTE_FAULTED] = "faulted",     [FLOW_NOTE_SKIPPED] = "skipped",
        [FLOW_NOTE_CANCELLED] = "cancelled", [FLOW_NOTE_SUSPENDED] = "suspended",
        [FLOW_NOTE_RESUMED] = "resumed"};
    bool ended = note && note->workflow &&
                 (note->kind == FLOW_NOTE_COMPLETED || note->kind == FLOW_NOTE_FAULTED ||
                  note->kind == FLOW_NOTE_CANCELLED);
    struct ctl_flow_change c = {.run = run, .status = BYTES("running"), .open = !ended};
    if (note && note->workflow && note->kind != FLOW_NOTE_STARTED &&
        note->kind != FLOW_NOTE_RESUMED)
        c.status = bytes_of(kinds[note->kind]);
    if (note && !note->workflow) {
        c.task = bytes_of(note->task);
        c.kind = bytes_of(kinds[note->kind]);
    }
    ctl_flow_changed(f->node->ctl, &c);
}

static void on_progress(void *user, struct bytes run, struct bytes task, const struct val *detail)
{
    struct node_flows *f = user;
    struct buf json;
    if (!ctl_flow_watched(f->node->ctl))
        return;
    buf_init(&json, 1 << 20);
    if (val_write(&json, detail) == 0)
        ctl_flow_progress(f->node->ctl, run, task, buf_bytes(&json));
    buf_fini(&json);
}

// A CloudEvent that some flow of this node emitted: its own listeners hear it at once.
static void on_emit(void *user, struct bytes cloudevent)
{
    struct node_flows *f = user;
    node_flows_event(f->node, cloudevent);
}

static void event_taken(struct runs_req *r, int status, struct bytes json, const struct err *e)
{
    (void)json;
    if (status < 0 && status != E_CANCELLED)
        log_event(LOG_WARN, "flow.event_lost", LOG_STR("why", e ? e->text : ""));
    mem_free(r);
}

void node_flows_event(struct node *n, struct bytes cloudevent)
{
    struct node_flows *f = n->flows;
    struct runs_req *r;
    AUTO(val) v = NULL;
    struct temporal *t = f ? node_temporal_of(f) : NULL;
    if (!f || (!f->runs && !t) || f->closing || val_parse(&v, cloudevent, NULL) < 0 ||
        !(r = mem_new(struct runs_req)))
        return;
    r->done = event_taken;
    if (t)
        temporal_event(t, v, r);
    else
        runs_event(f->runs, v, r);
}

static void on_bus_event(struct bus_sub *s, const struct bus_msg *m)
{
    struct node_flows *f = s->user;
    char own[300];
    (void)snprintf(own, sizeof own, "/node/%s", f->node->config->node_name);
    if (!bytes_is(m->source, own)) // its own it has heard already
        node_flows_event(f->node, m->data);
}

void node_flows_bus(struct node *n, struct bus *b)
{
    struct node_flows *f = n->flows;
    char pattern[300];
    if (!f || (!f->runs && !f->temporal))
        return;
    f->events = NULL; // of the bus before: it went with it
    acts_set_bus(f->acts, b);
    if (f->runs)
        runs_set_bus(f->runs, b);
    if (!b)
        return;
    (void)snprintf(pattern, sizeof pattern, EVENTS, n->config->environment);
    struct bus_sub_args args = {
        .pattern = pattern, .from = BUS_LIVE, .on_msg = on_bus_event, .user = f};
    struct err e = {0};
    if (bus_subscribe(b, &args, &f->events, &e) < 0)
        log_event(LOG_WARN, "flow.no_events", LOG_STR("why", e.text));
}

void node_flows_tools(struct node *n, struct tools *all)
{
    if (n->flows && n->flows->acts)
        acts_set_tools(n->flows->acts, all);
}

// ---- missing parts of documents -----------------------------------------------------------------

struct fetch {
    struct act_req req;
    struct node_flows *flows;
    uint64_t ticket;
    struct val *args;
};

static void fetched(struct act_req *r, int status, struct val *output, struct val *problem,
                    bool final)
{
    struct fetch *t = r->user;
    struct err e = {0};
    (void) final;
    if (status < 0)
        (void)err_set(&e, status, "%s",
                      val_text(val_get_cstr(problem, "detail"),
                               val_text(val_get_cstr(problem, "title"), "it cannot be fetched")));
    if (t->flows->runs)
        runs_given(t->flows->runs, t->ticket, status, val_bytes(output), &e);
    val_unref(t->args);
    mem_free(t);
}

// Fetched as a flow's own HTTP call would be.
static void on_need(void *user, uint64_t ticket, const struct flow_need *need)
{
    struct node_flows *f = user;
    struct fetch *t = mem_new(struct fetch);
    struct err e = {0};
    int status = E_NOMEM;
    if (t) {
        t->flows = f;
        t->ticket = ticket;
        t->req = (struct act_req){.done = fetched, .user = t};
        struct val *endpoint = val_is(need->endpoint, JSON_OBJ)
                                   // a catalog's object has its root; its authentication stays
                                   ? val_put_cstr(val_ref((struct val *)need->endpoint), // NOLINT
                                                  "uri", val_str(need->uri))
                                   : val_str(need->uri);
        t->args = val_put_cstr(val_obj(), "method", val_cstr("get"));
        t->args = val_put_cstr(t->args, "endpoint", endpoint);
        t->args = val_put_cstr(t->args, "output", val_cstr("text"));
        t->args = val_put_cstr(t->args, "redirect", val_bool(true)); // followed
        struct act_args args = {.kind = BYTES("http"),
                                .run = BYTES("document"),
                                .task = need->uri,
                                .key = need->uri,
                                .attempt = 1,
                                .timeout_ms = 30000,
                                .args = t->args};
        status = t->args ? act_start(f->acts, &args, &t->req, &e) : E_NOMEM;
    }
    if (status < 0) {
        if (t)
            val_unref(t->args);
        mem_free(t);
        runs_given(f->runs, ticket, status, BYTES_NONE, &e);
    }
}

// ---- life ---------------------------------------------------------------------------------------

static void on_ready(void *user, uint64_t open_runs)
{
    struct node_flows *f = user;
    log_event(LOG_INFO, "flow.ready", LOG_UINT("open", open_runs));
    node_flows_files(f);
    node_tools_flows(f->node);
}

static void on_stopped(void *user, const struct err *e)
{
    struct node_flows *f = user;
    f->stopped = true;
    (void)snprintf(f->why, sizeof f->why, "%.255s", e->text);
    log_event(LOG_ERROR, "flow.stopped", LOG_STR("why", e->text));
    node_alert(f->node, NODE_ALERT_NODE, "plexus.flow.stopped", "critical", "journal", "%s",
               e->text);
}

static void on_held(void *user, const struct err *e)
{
    struct node_flows *f = user;
    f->held = e != NULL;
    if (e)
        log_event(LOG_WARN, "flow.journal_held", LOG_STR("why", e->text));
    else
        log_event(LOG_INFO, "flow.journal_free", LOG_STR("was", f->why));
    (void)snprintf(f->why, sizeof f->why, "%.255s", e ? e->text : "");
}

const char *const *node_queues(const struct node *n)
{
    static const char *const edge[] = {"edge-task-queue", NULL};
    static const char *const server[] = {"heavy-compute-queue", NULL};
    const char *const *said = n->config->flows.queues;
    return said && *said ? said : strcmp(node_profile(n), "edge") == 0 ? edge : server;
}

static int open_journal(struct node_flows *f, struct err *e)
{
    struct node *n = f->node;
    const struct config_flows *c = &n->config->flows;
    char path[4200];
    (void)snprintf(path, sizeof path, "%s/flows.db", n->paths.data);
    f->writer = loop_work_new(n->loop, "journal", 1, 64);
    if (!f->writer)
        return err_set(e, E_NOMEM, "no thread for the journal");
    struct journal_args args = {.timers = loop_timers(n->loop),
                                .net = loop_net(n->loop),
                                .writer = f->writer,
                                .reader = loop_work(n->loop),
                                .path = path,
                                .url = c->url,
                                .user_name = c->user,
                                .password = secret_reveal(&c->password),
                                .owner = n->config->node_name};
    const struct journal_engine *engine = journal_engine_find(c->journal);
    if (!engine)
        return err_set(e, E_CONFIG, "flows.journal.engine: there is no %s", c->journal);
    return engine->open(&args, &f->journal, e);
}

static int open_acts(struct node_flows *f, struct err *e)
{
    struct node *n = f->node;
    struct expr_args expr = {
        .timers = loop_timers(n->loop), .procs = loop_procs(n->loop), .self = file_self()};
    int status = expr_engines()->open(&expr, &f->expr, e); // the first: libjq
    if (status < 0)
        return status;
    char folder[4200];
    (void)snprintf(folder, sizeof folder, "%s/scripts", n->paths.run);
    // A worker has no models: it asks the node whose configuration it shares.
    const char *self =
        *n->worker && n->config->door_count ? n->config->doors[0].address : n->paths.socket;
    struct acts_args args = {.net = loop_net(n->loop),
                             .timers = loop_timers(n->loop),
                             .procs = loop_procs(n->loop),
                             .work = loop_work(n->loop),
                             .expr = f->expr,
                             .wall_ms = wall,
                             .tls = tls_of,
                             .secret = secret_of,
                             .self_address = self,
                             .emit = on_emit,
                             .user = f,
                             .environment = n->config->environment,
                             .node = n->config->node_name,
                             .folder = folder};
    size_t count = n->config->flows.host_count;
    struct acts_host *hosts = mem_array(count + 1, sizeof *hosts);
    if (!hosts)
        return err_set(e, E_NOMEM, "out of memory");
    for (size_t i = 0; i < count; i++)
        hosts[i] =
            (struct acts_host){n->config->flows.hosts[i].name, n->config->flows.hosts[i].address};
    args.hosts = hosts;
    args.host_count = count;
    status = acts_new(&f->acts, &args, e);
    mem_free(hosts);
    return status;
}

static int open_temporal(struct node_flows *f, struct err *e)
{
    struct node *n = f->node;
    int status = node_temporal_open(f, *n->worker != NULL, e);
    if (status < 0)
        return status;
    node_flows_bus(n, n->bus ? n->bus->bus : NULL);
    if (!*n->worker)
        node_flows_files(f);
    return 0;
}

static int make_rates(struct node_flows *f)
{
    const struct config_flows *c = &f->node->config->flows;
    f->rates = mem_array(c->rate_count + 1, sizeof *f->rates);
    for (size_t i = 0; f->rates && i < c->rate_count; i++) {
        f->rates[i].per_s = c->rates[i].per_s;
        if (!(f->rates[i].queue = mem_str(c->rates[i].queue)))
            return E_NOMEM;
        f->rate_count++;
    }
    return f->rates ? 0 : E_NOMEM;
}

static void free_rates(struct node_flows *f)
{
    for (size_t i = 0; i < f->rate_count; i++)
        mem_free((char *)(uintptr_t)f->rates[i].queue);
    mem_free(f->rates);
}

int node_flows_open(struct node *n, struct err *e)
{
    if (strcmp(n->config->flows.engine, "off") == 0 && !*n->worker)
        return 0;
    struct node_flows *f = mem_new(struct node_flows);
    if (!f)
        return err_set(e, E_NOMEM, "out of memory");
    n->flows = f;
    f->node = n;
    f->runs_closed = f->journal_closed = true;
    bool temporal = strcmp(n->config->flows.engine, "temporal") == 0;
    int status = make_rates(f) < 0 ? err_set(e, E_NOMEM, "out of memory") : open_acts(f, e);
    if (status == 0 && temporal)
        return open_temporal(f, e);
    if (status == 0 && *n->worker)
        return node_worker_open(f, e);
    if (status == 0)
        status = open_journal(f, e);
    if (status == E_NOSPACE) { // the models are served all the same
        on_stopped(f, e);
        return 0;
    }
    if (status < 0)
        return status;
    f->journal_closed = false;
    struct runs_args args = {.timers = loop_timers(n->loop),
                             .journal = f->journal,
                             .expr = f->expr,
                             .acts = f->acts,
                             .wall_ms = wall,
                             .random = chance,
                             .need = on_need,
                             .event = node_flows_lifecycle,
                             .changed = node_flows_changed,
                             .progress = on_progress,
                             .stopped = on_stopped,
                             .held = on_held,
                             .ready = on_ready,
                             .user = f,
                             .node = n->config->node_name,
                             .queues = node_queues(n),
                             .environment = n->config->environment,
                             .activities_max = n->config->flows.activities,
                             .rates = f->rates,
                             .rate_count = f->rate_count,
                             .look_ms =
                                 strcmp(n->config->flows.journal, "postgres") == 0 ? LOOK_MS : 0,
                             .retention_ms = n->config->flows.retention_ms};
    status = runs_new(&f->runs, &args, e);
    if (status < 0)
        return status;
    f->runs_closed = false;
    node_flows_bus(n, n->bus ? n->bus->bus : NULL);
    return 0;
}

// Where nodes share a journal, one of the others goes on with what the dead one had begun.
void node_flows_dead(struct node *n, const char *node)
{
    struct node_flows *f = n->flows;
    if (!f || !f->runs || f->closing || strcmp(n->config->flows.journal, "postgres") != 0)
        return;
    log_event(LOG_WARN, "flow.taken_over", LOG_STR("node", node));
    runs_take(f->runs, node);
}

void node_flows_meter(struct node *n)
{
    struct node_flows *f = n->flows;
    struct meter_node *row = meter_node(n->meter);
    struct runs_stats s;
    struct journal_stats j;
    struct temporal_stats t;
    row->flows_stopped = f && f->stopped;
    if (f && node_temporal_of(f)) {
        temporal_stats(node_temporal_of(f), &t);
        row->flows_loaded = t.flows;
        row->flow_activities = t.activities_running;
        row->flow_steps = t.workflow_tasks;
        row->flow_activities_done = t.activities;
        row->flow_activities_failed = t.activity_failures;
        row->flows_stopped = !t.up;
    }
    if (!f || !f->runs || !f->journal)
        return;
    runs_stats(f->runs, &s);
    journal_stats(f->journal, &j);
    row->flows_open = s.open;
    row->flows_loaded = s.loaded;
    row->flow_timers = s.timers;
    row->flow_listening = s.listening;
    row->flow_activities = s.activities_running;
    row->flow_activities_waiting = s.activities_waiting;
    row->flows_stopped = s.stopped;
    row->flows_started = s.started;
    row->flows_completed = s.completed;
    row->flows_faulted = s.faulted;
    row->flows_cancelled = s.cancelled;
    row->flow_steps = s.steps;
    row->flow_activities_done = s.activities;
    row->flow_activities_failed = s.activity_failures;
    row->flow_timers_fired = s.timers_fired;
    row->journal_bytes = j.file_bytes;
    row->journal_waiting = j.waiting;
    row->journal_commits = j.commits;
    row->journal_entries = j.entries;
}

static void journal_is_closed(void *user)
{
    struct node_flows *f = user;
    f->journal = NULL;
    f->journal_closed = true;
    node_check_ended(f->node);
}

static void runs_are_closed(void *user)
{
    struct node_flows *f = user;
    f->runs_closed = true;
    runs_free(f->runs);
    f->runs = NULL;
    journal_close(f->journal, journal_is_closed, f);
}

void node_flows_close(struct node *n)
{
    struct node_flows *f = n->flows;
    if (!f || f->closing)
        return;
    f->closing = true;
    if (f->temporal)
        node_temporal_close(f);
    else if (f->worker)
        node_worker_close(f);
    else if (!f->runs_closed)
        runs_close(f->runs, runs_are_closed, f);
    else if (!f->journal_closed)
        journal_close(f->journal, journal_is_closed, f);
}

bool node_flows_ended(const struct node *n)
{
    return !n->flows || (n->flows->temporal && node_temporal_ended(n->flows)) ||
           (!n->flows->temporal && n->flows->runs_closed && n->flows->journal_closed &&
            !n->flows->worker);
}

// Before the loop ends: children and connections go.
void node_flows_drop(struct node *n)
{
    struct node_flows *f = n->flows;
    if (!f)
        return;
    acts_free(f->acts);
    f->acts = NULL;
    expr_free(f->expr);
    f->expr = NULL;
}

void node_flows_free(struct node *n)
{
    struct node_flows *f = n->flows;
    if (!f)
        return;
    node_flows_files_free(f);
    node_temporal_free(f);
    free_rates(f);
    mem_free(f);
    n->flows = NULL;
}
