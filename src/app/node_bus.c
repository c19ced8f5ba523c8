// node_bus.c: the node's bus: opened as the configuration says, with a nats-server of its own where
// it names none; who may send what where; what the node itself tells on it.
// SPDX-License-Identifier: Apache-2.0
#include "app/node_bus_priv.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/time.h"
#include "text/subject.h"
#include <stdio.h>
#include <string.h>

#define HEARTBEAT_MS 5000
#define PATIENCE_MS 3000 // the start waits so long for a bus server's first word

// ---- who may send what where --------------------------------------------------------------------

static int label_of(struct node *n, struct bytes text, struct label *ret, struct err *e)
{
    if (text.n)
        return label_parse(n->label_names, text, ret, e);
    *ret = n->labels.standard;
    return 0;
}

static int refused(struct node *n, const struct bus_crossing *x, const struct err *e)
{
    meter_node(n->meter)->violations[x->deliver ? LABEL_DELIVER : LABEL_PUBLISH]++;
    log_event(LOG_WARN, "security.violation",
              LOG_STR("op", label_op_name(x->deliver ? LABEL_DELIVER : LABEL_PUBLISH)),
              LOG_BYTES("subject", x->subject), LOG_BYTES("label", x->label),
              LOG_BYTES("who", x->who), LOG_STR("what", e->text));
    char subject[SUBJECT_BYTES_MAX + 1];
    (void)snprintf(subject, sizeof(subject), "%.*s", BYTES_FMT(x->subject));
    node_alert(n, NODE_ALERT_SECURITY, "plexus.security.violation", "critical", subject, "%s",
               e->text);
    return E_SECURITY;
}

// Into the bus: the subject's clearance counts. Out of it: that of who listens.
static int may(void *user, const struct bus_crossing *x, struct err *e)
{
    struct node *n = ((struct node_bus *)user)->node;
    struct label_crossing c = {.op = x->deliver ? LABEL_DELIVER : LABEL_PUBLISH,
                               .clearance = LABEL_ALL,
                               .names = n->label_names,
                               .what = "the message"};
    char who[SUBJECT_BYTES_MAX + 16];
    struct err own = {0};
    e = e ? e : &own;
    int status = label_of(n, x->label, &c.data, e);
    if (status == 0 && !x->deliver && n->labels.subjects)
        c.clearance = label_subject(n->labels.subjects, x->subject);
    if (status == 0 && x->deliver && x->who.n)
        status = label_parse(n->label_names, x->who, &c.clearance, e);
    (void)snprintf(who, sizeof(who), "%s %.*s", x->deliver ? "a subscriber of" : "subject",
                   BYTES_FMT(x->subject));
    c.who = who;
    if (status == 0)
        status = label_decide(&c, e);
    return status == 0 ? 0 : refused(n, x, e);
}

// ---- what the node tells ------------------------------------------------------------------------

static void put_subject(struct node *n, struct buf *out, const char *domain, const char *service,
                        const char *name, const char *last)
{
    (void)buf_fmt(out, "%s.%s.", n->config->environment, domain);
    if (service)
        (void)buf_fmt(out, "%s.", service);
    (void)subject_put_token(out, bytes_first(bytes_of(name), 128));
    (void)buf_fmt(out, ".%s", last);
}

static void tell(struct node_bus *b, const struct buf *subject, const char *type,
                 const struct buf *json)
{
    struct bus_msg m = {.subject = buf_bytes(subject),
                        .data = buf_bytes(json),
                        .type = bytes_of(type),
                        .content = BYTES("application/json")};
    if (!subject->failed && !json->failed)
        (void)bus_publish(b->bus, &m, NULL); // nobody waits for it; refusals are counted
}

void node_bus_model(struct node *n, const struct model *m)
{
    struct node_bus *b = n->bus;
    struct model_view v;
    struct buf subject, json;
    struct json_w w;
    if (!b || !b->bus)
        return;
    model_view(n->models, m, timers_now_ms(loop_timers(n->loop)), &v);
    buf_init(&subject, 512);
    buf_init(&json, 8192);
    put_subject(n, &subject, "organs", "models", v.name, "state");
    json_w_init(&w, &json);
    json_w_obj(&w, NULL);
    json_w_cstr(&w, "node", n->config->node_name);
    json_w_cstr(&w, "model", v.name);
    json_w_cstr(&w, "kind", v.kind);
    json_w_cstr(&w, "state", model_state_name(v.state));
    if (v.state == MODEL_FAILED && v.failure)
        json_w_cstr(&w, "failure", v.failure);
    json_w_end(&w);
    tell(b, &subject, "plexus.model.state", &json);
    buf_fini(&subject);
    buf_fini(&json);
}

static void on_heartbeat(struct timer *t)
{
    struct node_bus *b = t->user;
    struct node *n = b->node;
    struct buf subject, json;
    struct json_w w;
    (void)timer_start(loop_timers(n->loop), t, HEARTBEAT_MS);
    buf_init(&subject, 512);
    buf_init(&json, 4096);
    put_subject(n, &subject, "cognitive", NULL, n->config->node_name, "heartbeat");
    json_w_init(&w, &json);
    json_w_obj(&w, NULL);
    json_w_cstr(&w, "node", n->config->node_name);
    json_w_cstr(&w, "context", n->config->context);
    json_w_i64(&w, "uptime_ms", (int64_t)((time_mono_ns() - n->started_mono_ns) / 1000000));
    json_w_num(&w, "requests_per_s", n->requests_per_s);
    json_w_bool(&w, "draining", n->draining);
    json_w_end(&w);
    tell(b, &subject, "plexus.node.heartbeat", &json);
    buf_fini(&subject);
    buf_fini(&json);
}

// ---- life ---------------------------------------------------------------------------------------

// A server that is there and refuses what it is told stops the start: nothing would mend itself.
// One that is not there does not: it may come.
static void judge(struct node_bus *b, const struct err *e)
{
    struct node *n = b->node;
    if (b->judged || b->closing)
        return;
    b->judged = true;
    timer_stop(loop_timers(n->loop), &b->patience);
    if (!e || e->code != E_UNAUTH) {
        node_report_ready(n);
        return;
    }
    const struct config *c = n->config;
    const char *what = c->bus_user                    ? "bus.user and bus.password"
                       : secret_reveal(&c->bus_token) ? "bus.token"
                       : secret_reveal(&c->bus_password)
                           ? "bus.password"
                           : "bus.user and bus.password, or bus.token";
    (void)err_set(&n->fatal, E_UNAUTH,
                  "bus: the server refuses the credentials: %s. "
                  "To mend it: set %s in %s to what the server of %s asks for",
                  e->text, what, c->path, c->bus_engine);
    log_event(LOG_ERROR, "bus.refused", LOG_STR("engine", c->bus_engine), LOG_STR("why", e->text));
    node_stop(n, "the bus refuses the credentials");
}

static void on_patience(struct timer *t)
{
    judge(t->user, NULL);
}

bool node_bus_judged(const struct node *n)
{
    return !n->bus || n->bus->judged;
}

static void on_status(void *user, enum bus_status status, const struct err *e)
{
    struct node_bus *b = user;
    struct node *n = b->node;
    const char *engine = n->config->bus_engine;
    switch (status) {
    case BUS_CONNECTING:
        if (!b->complained && b->way != NODE_BUS_OWN &&
            b->way != NODE_BUS_SERVE) // its own server takes a moment
            log_event(LOG_WARN, "bus.unreachable", LOG_STR("engine", engine),
                      LOG_STR("why", e ? e->text : ""));
        b->complained = true;
        judge(b, e);
        break;
    case BUS_CONNECTED:
    case BUS_BACK:
        b->complained = false;
        judge(b, NULL);
        node_bus_child_seen(b);
        if (strcmp(engine, "embedded") != 0)
            log_event(LOG_INFO, status == BUS_BACK ? "bus.back" : "bus.connected",
                      LOG_STR("engine", engine));
        break;
    case BUS_LOST:
        log_event(LOG_WARN, "bus.lost", LOG_STR("engine", engine),
                  LOG_STR("why", e ? e->text : ""));
        break;
    case BUS_CLOSED:
        b->bus = NULL;
        if (b->reopen && !b->closing) { // by another way, when its server is there again
            b->reopen = false;
            node_bus_mesh_look_soon(b, 0);
            break;
        }
        node_bus_child_stop(b);
        node_check_ended(n);
        break;
    }
}

int node_bus_open_at(struct node_bus *b, const char *url, const char *token, struct err *e)
{
    struct node *n = b->node;
    const struct config *c = n->config;
    char source[300];
    (void)snprintf(source, sizeof(source), "/node/%s", c->node_name);
    struct bus_args args = {.timers = loop_timers(n->loop),
                            .net = loop_net(n->loop),
                            .environment = c->environment,
                            .source = source,
                            .may = may,
                            .on_status = on_status,
                            .user = b,
                            .keep_msgs = c->bus_keep_msgs,
                            .keep_bytes = c->bus_keep_bytes,
                            .keep_ms = c->bus_keep_ms,
                            .url = url,
                            .user_name = c->bus_user,
                            .password = secret_reveal(&c->bus_password),
                            .token = token ? token : secret_reveal(&c->bus_token),
                            .tls = b->tls};
    const struct bus_engine *engine = bus_engine_find(c->bus_engine);
    if (!engine)
        return err_set(e, E_CONFIG, "bus.engine: there is no %s", c->bus_engine);
    int status = engine->open(&args, &b->bus, e);
    if (status == 0) {
        ctl_set_bus(n->ctl, b->bus);
        node_flows_bus(n, b->bus);
        ctl_set_bus_note(n->ctl, "");
    }
    return status;
}

int node_bus_child_ready(struct node_bus *b, const char *url, const char *token, struct err *e)
{
    return b->bus || b->closing ? 0 : node_bus_open_at(b, url, token, e);
}

// TLS where the address asks for it.
static int make_tls(struct node_bus *b, struct err *e)
{
    const struct config *c = b->node->config;
    const char *url = c->bus_url ? c->bus_url : "";
    if (strncmp(url, "tls://", 6) != 0 && strncmp(url, "rediss://", 9) != 0 && !c->bus_ca)
        return 0;
    struct net_tls_args args = {.ca_file = c->bus_ca};
    return net_tls_new(&b->tls, &args, e);
}

int node_bus_open(struct node *n, struct err *e)
{
    struct node_bus *b = mem_new(struct node_bus);
    if (!b)
        return err_set(e, E_NOMEM, "out of memory");
    n->bus = b;
    b->node = n;
    b->judged = strcmp(n->config->bus_engine, "embedded") == 0 || !n->config->bus_url;
    int status = 0;
    if (strcmp(n->config->bus_engine, "nats") == 0 && !n->config->bus_url) {
        status = node_bus_mesh_start(b, e);
    } else {
        b->way = NODE_BUS_GIVEN;
        status = make_tls(b, e);
        if (status == 0)
            status = node_bus_open_at(b, n->config->bus_url, NULL, e);
    }
    b->heartbeat = (struct timer){.fn = on_heartbeat, .user = b};
    b->patience = (struct timer){.fn = on_patience, .user = b};
    if (status == 0)
        (void)timer_start(loop_timers(n->loop), &b->heartbeat, HEARTBEAT_MS);
    if (status == 0 && !b->judged)
        (void)timer_start(loop_timers(n->loop), &b->patience, PATIENCE_MS);
    return status;
}

void node_bus_labels(struct node *n)
{
    if (n->bus && n->bus->bus)
        bus_policy_changed(n->bus->bus);
}

void node_bus_meter(struct node *n)
{
    struct meter_node *row = meter_node(n->meter);
    struct bus_stats st;
    row->bus_connected = 0;
    if (!n->bus || !n->bus->bus)
        return;
    bus_stats(n->bus->bus, &st);
    row->bus_connected = st.status == BUS_CONNECTED;
    row->bus_queue_bytes = st.queue_bytes;
    row->bus_subs = st.subs;
    row->bus_store_msgs = st.store_msgs;
    row->bus_published = st.published;
    row->bus_stored = st.stored;
    row->bus_delivered = st.delivered;
    row->bus_redelivered = st.redelivered;
    row->bus_dead = st.dead;
    row->bus_dropped = st.dropped;
    row->bus_full = st.full;
    row->bus_lost = st.lost;
}

void node_bus_close(struct node *n)
{
    struct node_bus *b = n->bus;
    if (!b || b->closing)
        return;
    b->closing = true;
    timer_stop(loop_timers(n->loop), &b->heartbeat);
    timer_stop(loop_timers(n->loop), &b->look);
    timer_stop(loop_timers(n->loop), &b->patience);
    ctl_set_bus(n->ctl, NULL);
    node_flows_bus(n, NULL);
    if (b->bus)
        bus_close(b->bus);
    else
        node_bus_child_stop(b);
}

bool node_bus_ended(const struct node *n)
{
    return !n->bus || (!n->bus->bus && !n->bus->child.proc);
}

void node_bus_free(struct node *n)
{
    struct node_bus *b = n->bus;
    if (!b)
        return;
    net_tls_free(b->tls);
    node_bus_child_free(b);
    mem_free(b);
    n->bus = NULL;
}
