// node_flows_ops.c: what the API asks of flows, handed to the driver.
// SPDX-License-Identifier: Apache-2.0
#include "app/node_flows_priv.h"
#include "base/alloc.h"
#include "base/rng.h"
#include "base/time.h"
#include "text/cloudevent.h"
#include "text/units.h"
#include "text/url.h"
#include <stdio.h>
#include <string.h>

#define TEXT_MAX (64u << 20)

struct asked {
    struct runs_req req;
    struct ctl_answer *answer;
    char *document; // of a start or a registration: told again when it is not well
    size_t document_n;
    int status; // HTTP, when it goes well
    struct node *documents; // not NULL: they are others then
    struct node_flows *registers; // not NULL: one more of them
    struct node *node;
    const void *owner; // who asks: a key, or NULL
    char *said; // the answer, when it is known before
    size_t said_n;
    bool filters; // a list: what the key may not know of is left out
};

// ---- findings -----------------------------------------------------------------------------------

static void put_findings(struct json_w *w, const char *key, const struct flow_findings *f)
{
    json_w_arr(w, key);
    for (size_t i = 0; i < f->count; i++) {
        const struct flow_finding *x = &f->at[i];
        json_w_obj(w, NULL);
        json_w_u64(w, "line", x->line);
        json_w_u64(w, "column", x->column);
        json_w_cstr(w, "task", x->task);
        json_w_cstr(w, "pointer", x->pointer);
        json_w_cstr(w, "message", x->message);
        json_w_end(w);
    }
    json_w_end(w);
}

// Why a document is refused: the answer names each place.
static void answer_findings(struct asked *q, const struct err *e)
{
    struct flow_findings *f = mem_new(struct flow_findings);
    struct flow_plan *plan = NULL;
    struct buf json;
    struct json_w w;
    buf_init(&json, 1 << 20);
    if (f && flow_plan_new(&plan, (struct bytes){q->document, q->document_n}, f, NULL) < 0 &&
        f->count) {
        json_w_init(&w, &json);
        put_findings(&w, NULL, f);
        ctl_answer_findings(q->answer, e, buf_bytes(&json));
    } else {
        ctl_answer_error(q->answer, e);
    }
    flow_plan_unref(plan);
    buf_fini(&json);
    mem_free(f);
}

// ---- asking the driver --------------------------------------------------------------------------

static void answered(struct runs_req *r, int status, struct bytes json, const struct err *e)
{
    struct asked *q = r->user;
    if (status >= 0 && q->documents)
        node_tools_flows(q->documents);
    if (status >= 0 && q->registers)
        node_flow_registered(q->registers, q->said ? (struct bytes){q->said, q->said_n} : json);
    struct buf kept;
    struct err own = {0};
    buf_init(&kept, json.n + 4096);
    if (status >= 0 && q->filters && (status = node_flows_filter(q->node, q->owner, json, &kept))) {
        (void)err_set(&own, status, "the list cannot be read");
        e = &own;
    }
    if (status >= 0)
        ctl_answer(q->answer, q->status,
                   q->filters ? buf_bytes(&kept)
                   : q->said  ? (struct bytes){q->said, q->said_n}
                              : json);
    else if (q->document && (status == E_PARSE || status == E_SCHEMA || status == E_INVALID))
        answer_findings(q, e);
    else
        ctl_answer_error(q->answer, e);
    buf_fini(&kept);
    mem_free(q->document);
    mem_free(q->said);
    mem_free(q);
}

static struct runs_req *asked_new(struct ctl_answer *a, struct bytes document, int status)
{
    struct asked *q = mem_new(struct asked);
    struct err e = {0};
    if (q && document.n && !(q->document = mem_dup(document.p, document.n))) {
        mem_free(q);
        q = NULL;
    }
    if (!q) {
        (void)err_set(&e, E_NOMEM, "out of memory");
        ctl_answer_error(a, &e);
        return NULL;
    }
    q->document_n = document.n;
    q->answer = a;
    q->status = status;
    q->req = (struct runs_req){.done = answered, .user = q};
    return &q->req;
}

static struct runs_req *changes_documents(struct node_flows *f, struct runs_req *r)
{
    if (r)
        ((struct asked *)r->user)->documents = f->node;
    return r;
}

static struct bytes member(const struct ctl_flow_ask *ask, const char *name)
{
    return json_str(json_get(ask->body, name));
}

static struct val *value(const struct ctl_flow_ask *ask, const char *name)
{
    const struct json *v = json_get(ask->body, name);
    return v ? val_of_json(v) : NULL;
}

static struct bytes by_of(const struct ctl_flow_ask *ask)
{
    const struct key *key = ask->owner;
    struct key_view v;
    if (!key)
        return BYTES("owner");
    key_view(key, &v);
    return bytes_of(v.name); // lives until the table changes
}

// Who starts a flow must be cleared for its data.
static int may_start(void *user, struct bytes label, struct err *e)
{
    const struct asked *q = user;
    return node_flows_may(q->node, q->owner, label, "the flow", e);
}

static void op_start(struct node_flows *f, const struct ctl_flow_ask *ask, struct ctl_answer *a)
{
    struct buf label, otherwise;
    struct err e = {0};
    buf_init(&label, 2048);
    buf_init(&otherwise, 2048);
    if (node_flows_label(f->node, member(ask, "label"), ask->owner, &label, &otherwise, &e) < 0) {
        ctl_answer_error(a, &e);
        buf_fini(&label);
        buf_fini(&otherwise);
        return;
    }
    const struct json *wait = json_get(ask->body, "wait");
    int64_t wait_ms = TIME_NEVER;
    if (json_is(wait, JSON_STR))
        (void)units_duration(json_str(wait), &wait_ms, NULL); // ctl has read it
    bool waits = json_is(wait, JSON_STR) || json_bool(wait, false);
    struct runs_req *r = asked_new(a, member(ask, "document"), waits ? 200 : 201);
    AUTO(val) input = value(ask, "input");
    if (r) {
        struct asked *q = r->user;
        q->node = f->node;
        q->owner = ask->owner;
        ENGINE(f, start,
               &(struct runs_start){.document = member(ask, "document"),
                                    .namespace = member(ask, "namespace"),
                                    .name = member(ask, "name"),
                                    .version = member(ask, "version"),
                                    .id = member(ask, "id"),
                                    .input = input,
                                    .by = by_of(ask),
                                    .label = buf_bytes(&label),
                                    .label_otherwise = buf_bytes(&otherwise),
                                    .may = may_start,
                                    .may_user = q,
                                    .wait = waits,
                                    .wait_ms = wait_ms},
               r);
    }
    buf_fini(&label);
    buf_fini(&otherwise);
}

static void op_list(struct node_flows *f, const struct ctl_flow_ask *ask, struct ctl_answer *a)
{
    static const char *const names[] = {"status", "name", "namespace", "after", "limit"};
    struct buf text[5];
    struct runs_filter filter = {.limit = 100};
    struct runs_req *r = asked_new(a, BYTES_NONE, 200);
    for (size_t i = 0; i < 5; i++) {
        buf_init(&text[i], 1024);
        (void)url_query(ask->query, names[i], &text[i]);
    }
    filter.status = buf_bytes(&text[0]);
    filter.name = buf_bytes(&text[1]);
    filter.namespace = buf_bytes(&text[2]);
    filter.after = buf_bytes(&text[3]);
    uint64_t limit;
    if (bytes_u64(buf_bytes(&text[4]), &limit) && limit > 0)
        filter.limit = limit < 10000 ? limit : 10000;
    if (r) {
        struct asked *q = r->user;
        q->node = f->node;
        q->owner = ask->owner;
        q->filters = !node_flows_sees_all(ask);
        ENGINE(f, list, &filter, r);
    }
    for (size_t i = 0; i < 5; i++)
        buf_fini(&text[i]);
}

static bool query_is(const struct ctl_flow_ask *ask, const char *name)
{
    struct buf v;
    buf_init(&v, 64);
    bool there = url_query(ask->query, name, &v);
    bool yes = there && !bytes_is(buf_bytes(&v), "0") && !bytes_is(buf_bytes(&v), "false");
    buf_fini(&v);
    return yes;
}

static void op_history(struct node_flows *f, const struct ctl_flow_ask *ask, struct ctl_answer *a)
{
    struct buf v;
    uint64_t from = 1;
    struct runs_req *r = asked_new(a, BYTES_NONE, 200);
    buf_init(&v, 64);
    if (url_query(ask->query, "from", &v))
        (void)bytes_u64(buf_bytes(&v), &from);
    buf_fini(&v);
    if (r)
        ENGINE(f, history, ask->id, from, r);
}

static void op_hand(struct node_flows *f, const struct ctl_flow_ask *ask, struct ctl_answer *a)
{
    static const char *const actions[CTL_FLOW_OPS] = {
        [CTL_FLOW_RETRY] = "retry",         [CTL_FLOW_SKIP] = "skip",
        [CTL_FLOW_EDIT] = "edit",           [CTL_FLOW_PAUSE] = "pause",
        [CTL_FLOW_RESUME] = "resume",       [CTL_FLOW_CANCEL] = "cancel",
        [CTL_FLOW_TERMINATE] = "terminate", [CTL_FLOW_RESET] = "reset"};
    struct runs_req *r = asked_new(a, BYTES_NONE, 200);
    AUTO(val) input = value(ask, "input");
    AUTO(val) output = value(ask, "output");
    if (!r)
        return;
    ENGINE(f, hand,
           &(struct runs_hand){.id = ask->id,
                               .action = bytes_of(actions[ask->op]),
                               .task = member(ask, "task"),
                               .by = by_of(ask),
                               .reason = member(ask, "reason"),
                               .input = input,
                               .output = output,
                               .has_input = input != NULL,
                               .has_output = output != NULL,
                               .to = (uint64_t)json_i64(json_get(ask->body, "to"), 0)},
           r);
}

// A CloudEvent, or only its type and data: the rest is made.
static struct val *event_of(struct node *n, const struct ctl_flow_ask *ask)
{
    char id[RNG_ID_LEN + 1], when[TIME_TEXT_LEN + 1], source[300];
    struct val *v = val_of_json(ask->body);
    rng_id(id);
    time_text(time_wall_ms(), when);
    (void)snprintf(source, sizeof source, "/node/%s", n->config->node_name);
    const struct {
        const char *key, *value;
    } rest[] = {{"specversion", "1.0"}, {"id", id}, {"source", source}, {"time", when}};
    for (size_t i = 0; v && i < sizeof rest / sizeof *rest; i++)
        if (!val_get_cstr(v, rest[i].key))
            v = val_put_cstr(v, rest[i].key, val_cstr(rest[i].value));
    return v;
}

static void op_event(struct node_flows *f, const struct ctl_flow_ask *ask, struct ctl_answer *a)
{
    struct runs_req *r = asked_new(a, BYTES_NONE, 200);
    AUTO(val) event = event_of(f->node, ask);
    if (!r)
        return;
    if (ask->op == CTL_FLOW_SIGNAL) {
        ENGINE(f, signal, ask->id, event, r);
        return;
    }
    ENGINE(f, event, event, r);
}

static void op_prune(struct node_flows *f, const struct ctl_flow_ask *ask, struct ctl_answer *a)
{
    int64_t older = f->node->config->flows.retention_ms;
    struct bytes said = member(ask, "older");
    struct runs_req *r = asked_new(a, BYTES_NONE, 200);
    if (said.n)
        (void)units_duration(said, &older, NULL);
    if (r)
        ENGINE(f, prune, older == TIME_NEVER ? 0 : time_wall_ms() - older,
               json_bool(json_get(ask->body, "dry"), false), r);
}

// ---- what needs no driver -----------------------------------------------------------------------

struct check {
    size_t n;
    char text[];
};

static int check_run(void *arg, struct buf *json, struct err *e)
{
    struct check *c = arg;
    struct flow_findings *f = mem_new(struct flow_findings);
    struct flow_plan *plan = NULL;
    struct flow_about about;
    struct json_w w;
    struct buf graph;
    if (!f)
        return err_set(e, E_NOMEM, "out of memory");
    int status = flow_plan_new(&plan, (struct bytes){c->text, c->n}, f, e);
    buf_init(&graph, 16u << 20);
    json_w_init(&w, json);
    json_w_obj(&w, NULL);
    json_w_bool(&w, "ok", status >= 0);
    put_findings(&w, "findings", f);
    if (status >= 0) {
        flow_plan_about(plan, &about);
        json_w_obj(&w, "about");
        json_w_cstr(&w, "namespace", about.namespace);
        json_w_cstr(&w, "name", about.name);
        json_w_cstr(&w, "version", about.version);
        json_w_cstr(&w, "dsl", about.dsl);
        json_w_cstr(&w, "title", about.title);
        json_w_cstr(&w, "summary", about.summary);
        json_w_u64(&w, "tasks", about.tasks);
        json_w_bool(&w, "scheduled", about.schedule != NULL);
        json_w_bool(&w, "needs", status > 0);
        json_w_end(&w);
        if (flow_plan_graph(plan, &graph) == 0)
            json_w_raw(&w, "graph", buf_bytes(&graph));
    }
    json_w_end(&w);
    buf_fini(&graph);
    flow_plan_unref(plan);
    mem_free(f);
    return 0;
}

static void op_check(const struct ctl_flow_ask *ask, struct ctl_answer *a)
{
    struct bytes text = member(ask, "document");
    struct check *c = mem_alloc(sizeof *c + text.n);
    struct err e = {0};
    if (!c) {
        (void)err_set(&e, E_NOMEM, "out of memory");
        ctl_answer_error(a, &e);
        return;
    }
    c->n = text.n;
    memcpy(c->text, text.p, text.n);
    ctl_answer_work(a, check_run, c, mem_free);
}

static void temporal_figures(struct node_flows *f, struct ctl_answer *a)
{
    struct temporal_stats s;
    struct buf json;
    struct json_w w;
    temporal_stats(node_temporal_of(f), &s);
    buf_init(&json, 16384);
    json_w_init(&w, &json);
    json_w_obj(&w, NULL);
    json_w_cstr(&w, "engine", "temporal");
    json_w_bool(&w, "ready", s.up);
    json_w_cstr(&w, "server", s.server);
    json_w_cstr(&w, "why", s.why);
    json_w_bool(&w, "search_attributes", s.attributes);
    json_w_u64(&w, "loaded", s.flows);
    json_w_u64(&w, "steps", s.workflow_tasks);
    json_w_u64(&w, "activities", s.activities);
    json_w_u64(&w, "activity_failures", s.activity_failures);
    json_w_u64(&w, "activities_running", s.activities_running);
    json_w_u64(&w, "replays", s.replays);
    json_w_end(&w);
    ctl_answer(a, 200, buf_bytes(&json));
    buf_fini(&json);
}

static void op_stats(struct node_flows *f, struct ctl_answer *a)
{
    if (node_temporal_of(f)) {
        temporal_figures(f, a);
        return;
    }
    struct runs_stats s;
    struct journal_stats j;
    struct expr_stats x;
    struct buf json;
    struct json_w w;
    runs_stats(f->runs, &s);
    journal_stats(f->journal, &j);
    expr_stats(f->expr, &x);
    buf_init(&json, 16384);
    json_w_init(&w, &json);
    json_w_obj(&w, NULL);
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {{"started", s.started},
                {"completed", s.completed},
                {"faulted", s.faulted},
                {"cancelled", s.cancelled},
                {"steps", s.steps},
                {"activities", s.activities},
                {"activity_failures", s.activity_failures},
                {"timers_fired", s.timers_fired},
                {"open", s.open},
                {"loaded", s.loaded},
                {"listening", s.listening},
                {"timers", s.timers},
                {"activities_running", s.activities_running},
                {"activities_waiting", s.activities_waiting}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        json_w_u64(&w, rows[i].name, rows[i].value);
    json_w_bool(&w, "ready", s.ready);
    json_w_bool(&w, "stopped", s.stopped);
    json_w_obj(&w, "journal");
    json_w_cstr(&w, "engine", j.engine);
    json_w_u64(&w, "commits", j.commits);
    json_w_u64(&w, "entries", j.entries);
    json_w_u64(&w, "bytes", j.file_bytes);
    json_w_cstr(&w, "why", j.why);
    json_w_end(&w);
    json_w_obj(&w, "expressions");
    json_w_cstr(&w, "engine", x.version);
    json_w_u64(&w, "runs", x.runs);
    json_w_u64(&w, "errors", x.errors);
    json_w_end(&w);
    json_w_end(&w);
    ctl_answer(a, 200, buf_bytes(&json));
    buf_fini(&json);
}

// Kept as a file, and its schedule by the server.
static void document_add(struct node_flows *f, const struct ctl_flow_ask *ask, struct ctl_answer *a)
{
    struct runs_req *r = asked_new(a, member(ask, "document"), 201);
    struct buf json;
    struct err e = {0};
    if (!r)
        return;
    struct asked *q = r->user;
    q->registers = f;
    buf_init(&json, 4096);
    int status = node_temporal_add(f, member(ask, "document"), &json, &e);
    q->said = mem_dup(json.p ? json.p : "", json.n);
    q->said_n = json.n;
    if (status < 0)
        answered(r, status, BYTES_NONE, &e);
    else
        temporal_schedule(node_temporal_of(f), member(ask, "document"), true, r);
    buf_fini(&json);
}

// What lies beside Temporal. true: answered.
static bool temporal_only(struct node_flows *f, const struct ctl_flow_ask *ask,
                          struct ctl_answer *a)
{
    struct err e = {0};
    struct buf json;
    struct runs_req *r = NULL;
    int status = 0;
    bool taken = true;
    buf_init(&json, 4u << 20);
    if (ask->op == CTL_FLOW_DOCUMENTS) {
        status = node_flow_documents(f->node, &json);
    } else if (ask->op == CTL_FLOW_DOCUMENT_ADD) {
        document_add(f, ask, a);
    } else if (ask->op == CTL_FLOW_DOCUMENT_REMOVE) {
        status = node_temporal_remove(f, ask->id, ask->sub, ask->version, &e);
        r = status < 0 ? NULL : asked_new(a, BYTES_NONE, 200);
        if (r)
            node_temporal_reschedule(f, ask->id, ask->sub, r);
    } else {
        taken = false;
    }
    if (status == 0 && (ask->op == CTL_FLOW_DOCUMENT_ADD || ask->op == CTL_FLOW_DOCUMENT_REMOVE))
        node_tools_flows(f->node);
    if (taken && status < 0)
        ctl_answer_error(a, &e);
    else if (ask->op == CTL_FLOW_DOCUMENTS)
        ctl_answer(a, 200, buf_bytes(&json));
    buf_fini(&json);
    return taken;
}

static void carry_out(struct node_flows *f, const struct ctl_flow_ask *ask, struct ctl_answer *a)
{
    struct runs_req *r;
    switch (ask->op) {
    case CTL_FLOW_START: op_start(f, ask, a); break;
    case CTL_FLOW_LIST: op_list(f, ask, a); break;
    case CTL_FLOW_SHOW:
    case CTL_FLOW_EVENTS:
        if ((r = asked_new(a, BYTES_NONE, 200)))
            ENGINE(f, show, ask->id, query_is(ask, "full"), r);
        break;
    case CTL_FLOW_HISTORY: op_history(f, ask, a); break;
    case CTL_FLOW_EXPORT:
        if ((r = asked_new(a, BYTES_NONE, 200)))
            ENGINE(f, export, ask->id, r);
        break;
    case CTL_FLOW_RETRY:
    case CTL_FLOW_SKIP:
    case CTL_FLOW_EDIT:
    case CTL_FLOW_PAUSE:
    case CTL_FLOW_RESUME:
    case CTL_FLOW_CANCEL:
    case CTL_FLOW_TERMINATE:
    case CTL_FLOW_RESET: op_hand(f, ask, a); break;
    case CTL_FLOW_SIGNAL:
    case CTL_FLOW_EVENT: op_event(f, ask, a); break;
    case CTL_FLOW_DOCUMENTS:
        if ((r = asked_new(a, BYTES_NONE, 200)))
            runs_documents(f->runs, r);
        break;
    case CTL_FLOW_DOCUMENT_ADD:
        if ((r = changes_documents(f, asked_new(a, member(ask, "document"), 201)))) {
            ((struct asked *)r->user)->registers = f;
            runs_register(f->runs, member(ask, "document"), by_of(ask), r);
        }
        break;
    case CTL_FLOW_DOCUMENT_REMOVE:
        if ((r = changes_documents(f, asked_new(a, BYTES_NONE, 200))))
            runs_unregister(f->runs, ask->id, ask->sub, ask->version, r);
        break;
    case CTL_FLOW_DOCUMENT_EVAL:
    case CTL_FLOW_DOCUMENT_PROMOTE: node_flow_promote(f, ask, by_of(ask), a); break;
    case CTL_FLOW_PRUNE: op_prune(f, ask, a); break;
    case CTL_FLOW_STATS: op_stats(f, a); break;
    case CTL_FLOW_CHECK:
    case CTL_FLOW_OPS: break;
    }
}

// ---- a key that may not know everything: the flow's label is seen first
// -------------------------

struct later { // a question that waits: what it held is copied
    struct runs_req req;
    struct node_flows *flows;
    struct ctl_answer *answer;
    struct ctl_flow_ask ask;
    struct buf texts, body;
    size_t id_n;
};

static bool of_run(enum ctl_flow_op op)
{
    return (op >= CTL_FLOW_SHOW && op <= CTL_FLOW_SIGNAL);
}

static void on_label(struct runs_req *r, int status, struct bytes json, const struct err *e)
{
    struct later *l = r->user;
    struct json_doc *row = NULL, *body = NULL;
    struct err own = {0};
    if (status >= 0) {
        e = &own;
        status = json_parse(&row, json, 0, &own);
    }
    if (status >= 0)
        status = node_flows_may(l->flows->node, l->ask.owner,
                                json_str(json_get(json_root(row), "label")), "the flow", &own);
    if (status >= 0 && l->body.n)
        status = json_parse(&body, buf_bytes(&l->body), JSON_UNIQUE, &own);
    if (status >= 0 && l->flows->closing)
        status = err_set(&own, E_UNAVAILABLE, "the node is stopping");
    l->ask.id = bytes_first(buf_bytes(&l->texts), l->id_n);
    l->ask.query = bytes_from(buf_bytes(&l->texts), l->id_n);
    l->ask.body = json_root(body);
    if (status < 0)
        ctl_answer_error(l->answer, e);
    else
        carry_out(l->flows, &l->ask, l->answer);
    json_free(row);
    json_free(body);
    buf_fini(&l->texts);
    buf_fini(&l->body);
    mem_free(l);
}

static void ask_later(struct node_flows *f, const struct ctl_flow_ask *ask, struct ctl_answer *a)
{
    struct later *l = mem_new(struct later);
    struct err e = {0};
    struct json_w w;
    if (l) {
        *l = (struct later){.flows = f, .answer = a, .id_n = ask->id.n};
        l->req = (struct runs_req){.done = on_label, .user = l};
        l->ask = (struct ctl_flow_ask){.op = ask->op, .owner = ask->owner};
        buf_init(&l->texts, ask->id.n + ask->query.n + 16);
        buf_init(&l->body, TEXT_MAX);
        (void)buf_put(&l->texts, ask->id);
        (void)buf_put(&l->texts, ask->query);
        json_w_init(&w, &l->body);
        if (ask->body)
            json_w_val(&w, NULL, ask->body);
    }
    if (l && !l->texts.failed && !l->body.failed) {
        ENGINE(f, show, ask->id, false, &l->req);
        return;
    }
    if (l) {
        buf_fini(&l->texts);
        buf_fini(&l->body);
    }
    mem_free(l);
    (void)err_set(&e, E_NOMEM, "out of memory");
    ctl_answer_error(a, &e);
}

void node_flows_op(void *user, const struct ctl_flow_ask *ask, struct ctl_answer *a)
{
    struct node_flows *f = ((struct node *)user)->flows;
    struct err e = {0};
    if (ask->op == CTL_FLOW_CHECK) {
        op_check(ask, a);
        return;
    }
    if (!f || (!f->runs && !node_temporal_of(f)) || f->closing) {
        if (f && f->stopped)
            (void)err_set(&e, E_UNAVAILABLE, "flows have stopped: %s", f->why);
        else
            (void)err_set(&e, E_UNAVAILABLE, "%s",
                          !f          ? "flows are off (flows.engine: off)"
                          : f->worker ? "this is a worker: it keeps no flows"
                                      : "the node is stopping");
        ctl_answer_error(a, &e);
        return;
    }
    if (ask->op == CTL_FLOW_DOCUMENT_ADD && json_get(ask->body, "urn")) {
        node_flow_fetch(f, ask, a);
        return;
    }
    if (node_temporal_of(f) && temporal_only(f, ask, a))
        return;
    if (of_run(ask->op) && !node_flows_sees_all(ask))
        ask_later(f, ask, a);
    else
        carry_out(f, ask, a);
}
