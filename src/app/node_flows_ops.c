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

// Both engines answer the same questions in the same shapes.
#define ENGINE(f, what, ...)                                                                       \
    (node_temporal_of(f) ? temporal_##what(node_temporal_of(f), __VA_ARGS__)                       \
                         : runs_##what((f)->runs, __VA_ARGS__))

struct asked {
    struct runs_req req;
    struct ctl_answer *answer;
    char *document; // of a start or a registration: told again when it is not well
    size_t document_n;
    int status; // HTTP, when it goes well
    struct node *documents; // not NULL: they are others then
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
    if (status >= 0)
        ctl_answer(q->answer, q->status, json);
    else if (q->document && (status == E_PARSE || status == E_SCHEMA || status == E_INVALID))
        answer_findings(q, e);
    else
        ctl_answer_error(q->answer, e);
    mem_free(q->document);
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

// What the start says, else what its key says of requests that say none. E_INVALID: no label.
static int label_of(struct node_flows *f, const struct ctl_flow_ask *ask, struct buf *out,
                    struct err *e)
{
    struct node *n = f->node;
    struct bytes said = member(ask, "label");
    struct label label;
    struct key_view v = {0};
    if (said.n) {
        int status = label_parse(n->label_names, said, &label, e);
        return status < 0 ? status : buf_put(out, said);
    }
    if (ask->owner)
        key_view(ask->owner, &v);
    if (v.has_label)
        label_put(out, n->label_names, v.label);
    return out->failed;
}

static void op_start(struct node_flows *f, const struct ctl_flow_ask *ask, struct ctl_answer *a)
{
    struct buf label;
    struct err e = {0};
    buf_init(&label, 2048);
    if (label_of(f, ask, &label, &e) < 0) {
        ctl_answer_error(a, &e);
        buf_fini(&label);
        return;
    }
    const struct json *wait = json_get(ask->body, "wait");
    int64_t wait_ms = TIME_NEVER;
    if (json_is(wait, JSON_STR))
        (void)units_duration(json_str(wait), &wait_ms, NULL); // ctl has read it
    bool waits = json_is(wait, JSON_STR) || json_bool(wait, false);
    struct runs_req *r = asked_new(a, member(ask, "document"), waits ? 200 : 201);
    AUTO(val) input = value(ask, "input");
    if (r)
        ENGINE(f, start,
               &(struct runs_start){.document = member(ask, "document"),
                                    .namespace = member(ask, "namespace"),
                                    .name = member(ask, "name"),
                                    .version = member(ask, "version"),
                                    .id = member(ask, "id"),
                                    .input = input,
                                    .by = by_of(ask),
                                    .label = buf_bytes(&label),
                                    .wait = waits,
                                    .wait_ms = wait_ms},
               r);
    buf_fini(&label);
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
    if (r)
        ENGINE(f, list, &filter, r);
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
        runs_prune(f->runs, older == TIME_NEVER ? 0 : time_wall_ms() - older,
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

// What lies beside Temporal. true: answered.
static bool temporal_only(struct node_flows *f, const struct ctl_flow_ask *ask,
                          struct ctl_answer *a)
{
    struct err e = {0};
    struct buf json;
    int status = 0, http = 200;
    bool taken = true;
    buf_init(&json, 4u << 20);
    if (ask->op == CTL_FLOW_DOCUMENTS) {
        status = node_flow_documents(f->node, &json);
    } else if (ask->op == CTL_FLOW_DOCUMENT_ADD) {
        status = node_temporal_add(f, member(ask, "document"), &json, &e);
        http = 201;
    } else if (ask->op == CTL_FLOW_DOCUMENT_REMOVE) {
        status = node_temporal_remove(f, ask->id, ask->sub, ask->version, &e);
        (void)buf_str(&json, "{}");
    } else if (ask->op == CTL_FLOW_PRUNE) {
        status = err_set(&e, E_UNSUPPORTED,
                         "with engine temporal the namespace's retention says how long flows that "
                         "ended are kept");
    } else {
        taken = false;
    }
    if (status == 0 && (ask->op == CTL_FLOW_DOCUMENT_ADD || ask->op == CTL_FLOW_DOCUMENT_REMOVE))
        node_tools_flows(f->node);
    if (taken && status < 0)
        ctl_answer_error(a, &e);
    else if (taken)
        ctl_answer(a, http, buf_bytes(&json));
    buf_fini(&json);
    return taken;
}

void node_flows_op(void *user, const struct ctl_flow_ask *ask, struct ctl_answer *a)
{
    struct node_flows *f = ((struct node *)user)->flows;
    struct runs_req *r;
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
    if (node_temporal_of(f) && temporal_only(f, ask, a))
        return;
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
        if ((r = changes_documents(f, asked_new(a, member(ask, "document"), 201))))
            runs_register(f->runs, member(ask, "document"), by_of(ask), r);
        break;
    case CTL_FLOW_DOCUMENT_REMOVE:
        if ((r = changes_documents(f, asked_new(a, BYTES_NONE, 200))))
            runs_unregister(f->runs, ask->id, ask->sub, ask->version, r);
        break;
    case CTL_FLOW_PRUNE: op_prune(f, ask, a); break;
    case CTL_FLOW_STATS: op_stats(f, a); break;
    case CTL_FLOW_CHECK:
    case CTL_FLOW_OPS: break;
    }
}
