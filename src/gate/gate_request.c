// gate_request.c: one request to a model: parsed once, checked, then the model is asked for.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "base/rng.h"
#include "gate/gate_priv.h"
#include "gate/param.h"
#include "text/units.h"
#include <stdio.h>
#include <string.h>

#define FREE_MAX 64
#define AGAIN_MAX 3 // tries more when the engine cannot be connected to ...
#define AGAIN_MS 20 // ... after this, doubled each time

static const struct {
    struct bytes path;
    enum endpoint endpoint;
} endpoints[] = {
    {BYTES("/v1/chat/completions"), EP_CHAT},
    {BYTES("/v1/completions"), EP_COMPLETION},
    {BYTES("/v1/embeddings"), EP_EMBEDDING},
};

// What a look at the body gives; made on the loop or by a helper thread.
struct look {
    char model[129];
    bool stream, tools; // tools: of the node
    uint64_t prefix;
    int code; // 0 or E_*
    char param[256];
    char message[800];
};

struct parse_job {
    struct work_req work;
    struct greq *req;
    const struct schema *schema;
    struct buf body;
    struct look look;
    bool prefix;
};

// JSON lets a member stand twice, and readers differ in which one they take. For the one that
// decides about engine and rights that would be a way around both.
static bool has_two_models(const struct json *root)
{
    struct json_iter it = {0};
    struct bytes key;
    const struct json *value;
    size_t count = 0;
    while (json_each(root, &it, &key, &value))
        count += bytes_is(key, "model");
    return count > 1;
}

static void look_at(struct look *k, struct bytes body, const struct schema *schema, bool prefix)
{
    struct err e = {0};
    struct json_doc *doc = NULL;
    *k = (struct look){0};
    if (body.n == 0) {
        k->code = E_INVALID;
        (void)snprintf(k->message, sizeof(k->message), "the request has no body");
        return;
    }
    if (json_parse(&doc, body, 0, &e) < 0) {
        k->code = E_INVALID;
        (void)snprintf(k->message, sizeof(k->message), "the body is not valid JSON: %.500s",
                       e.text);
        return;
    }
    const struct json *root = json_root(doc);
    struct schema_error fault;
    fault.instance[0] = fault.keyword[0] = fault.message[0] = 0;
    struct bytes model = json_str(json_get(root, "model"));
    if (!json_is(root, JSON_OBJ)) {
        k->code = E_INVALID;
        (void)snprintf(k->message, sizeof(k->message), "the body must be a JSON object");
    } else if (schema && schema_check(schema, root, &fault) != 0) {
        struct buf param;
        buf_init(&param, sizeof(k->param) - 1);
        schema_param_of(&param, &fault);
        k->code = E_INVALID;
        (void)snprintf(k->param, sizeof(k->param), "%s", buf_cstr(&param));
        (void)snprintf(k->message, sizeof(k->message), "%s%s%s", k->param, *k->param ? ": " : "",
                       fault.message);
        buf_fini(&param);
    } else if (!model.p || model.n >= sizeof(k->model) || memchr(model.p, 0, model.n)) {
        k->code = E_INVALID;
        (void)snprintf(k->param, sizeof(k->param), "model");
        (void)snprintf(k->message, sizeof(k->message),
                       model.p                           ? "model: not a model's name"
                       : json_get(root, "model") != NULL ? "model: expected a string"
                                                         : "model: missing key \"model\"");
    } else if (has_two_models(root)) {
        k->code = E_INVALID;
        (void)snprintf(k->param, sizeof(k->param), "model");
        (void)snprintf(k->message, sizeof(k->message), "model: stands in the body twice");
    } else {
        memcpy(k->model, model.p, model.n);
        k->stream = json_bool(json_get(root, "stream"), false);
        k->tools =
            json_get(root, "plexus_tools") && !json_is(json_get(root, "plexus_tools"), JSON_NULL);
        k->prefix = prefix ? route_prefix(root) : 0;
    }
    json_free(doc);
}

static struct greq *greq_new(struct gate *g)
{
    struct greq *r;
    if (!list_empty(&g->free)) {
        r = container_of(g->free.next, struct greq, link);
        list_del(&r->link);
        g->free_count--;
        memset(r, 0, sizeof(*r));
    } else if (!(r = mem_new(struct greq))) {
        return NULL;
    }
    r->gate = g;
    buf_init(&r->body, (size_t)64 << 20);
    buf_init(&r->hold, HOLD_BYTES_MAX);
    list_add_tail(&g->requests, &r->link);
    return r;
}

void greq_walk_begin(struct gate *g, struct greq_walk *w)
{
    *w = (struct greq_walk){.next = g->requests.next, .outer = g->walks};
    g->walks = w;
}

struct greq *greq_walk_next(struct gate *g, struct greq_walk *w)
{
    if (w->next == &g->requests) {
        g->walks = w->outer;
        return NULL;
    }
    struct greq *r = container_of(w->next, struct greq, link);
    w->next = r->link.next;
    return r;
}

static void greq_unlink(struct greq *r)
{
    for (struct greq_walk *w = r->gate->walks; w; w = w->outer)
        if (w->next == &r->link)
            w->next = r->link.next;
    list_del(&r->link);
}

static void greq_free(struct greq *r)
{
    struct gate *g = r->gate;
    if (r->freed)
        *r->freed = true;
    greq_unlink(r);
    buf_fini(&r->body);
    buf_fini(&r->hold);
    if (g->free_count < FREE_MAX) {
        list_add_head(&g->free, &r->link);
        g->free_count++;
    } else {
        mem_free(r);
    }
}

// X-Request-Id from the client when it is printable and short, else a new one.
static void take_id(struct greq *r)
{
    struct bytes id = http_header(http_request(r->x), "X-Request-Id");
    bool good = id.n > 0 && id.n <= ID_BYTES_MAX;
    for (size_t i = 0; good && i < id.n; i++)
        good = id.p[i] > ' ' && id.p[i] < 127 && id.p[i] != '"' && id.p[i] != '\\';
    if (good)
        memcpy(r->id, id.p, id.n);
    else
        rng_id(r->id);
}

static void tell(struct greq *r, bool end)
{
    struct gate_request_view v;
    if (!r->gate->args.on_request)
        return;
    greq_view(r, &v);
    v.end = end;
    r->gate->args.on_request(r->gate->args.user, &v);
}

// By the price of where it was served; for its key, too: that is known only where it came in.
static void cost(struct greq *r)
{
    struct meter_model *m = r->meter;
    bool there = m && strcmp(m->engine, "mesh") == 0;
    if (!m)
        return;
    uint64_t nano =
        meter_cost(r->usage.prompt_tokens, r->usage.completion_tokens,
                   there ? r->price_in : m->price_in, there ? r->price_out : m->price_out);
    m->cost_nano += nano;
    if (r->key)
        key_cost(r->key, nano);
}

static void count(struct greq *r, const char *outcome)
{
    struct gate *g = r->gate;
    uint64_t now = timers_now_ns(g->args.timers);
    g->totals.requests++;
    g->totals.errors += r->status >= 400;
    g->totals.tokens_in += r->usage.prompt_tokens;
    g->totals.tokens_out += r->usage.completion_tokens;
    if (r->key)
        key_used(r->key, r->usage.prompt_tokens + r->usage.completion_tokens,
                 timers_now_ms(g->args.timers));
    cost(r);
    struct meter_model *m = r->meter;
    if (!m)
        return;
    if (r->left || (strcmp(outcome, "ok") != 0 && r->status < 400))
        m->aborted++;
    else if (r->status < 400)
        m->status_2xx++;
    else if (r->status < 500)
        m->status_4xx++;
    else
        m->status_5xx++;
    m->tokens_in += r->usage.prompt_tokens;
    m->tokens_out += r->usage.completion_tokens;
    m->frames += r->cut.frames;
    hist_add(&m->duration, now - r->complete_ns);
    if (r->first_ns)
        hist_add(&m->ttft, r->first_ns - r->complete_ns);
    if (r->own_ns && !r->waited)
        hist_add(&m->ttft_own, r->own_ns);
    if (r->granted_ns)
        hist_add(&m->queue, r->granted_ns - r->complete_ns);
}

void greq_let_go(struct greq *r)
{
    r->x = NULL;
    greq_free(r);
}

// Counted, logged and told, while the exchange is still there to be read.
static void greq_report(struct greq *r, const char *outcome)
{
    r->out_bytes = http_sent(r->x);
    count(r, outcome);
    greq_log(r, outcome);
    tell(r, true);
    route_end(r, r->left || r->status < 500);
    wait_end(r);
    r->x = NULL;
}

// Gives back the model and the memory; the last thing that is done with r.
static void greq_release(struct greq *r)
{
    struct gate *g = r->gate;
    bool had_model = r->granted || r->waiting;
    int64_t now = timers_now_ms(g->args.timers);
    if (r->granted)
        models_done(g->args.models, &r->ticket, now);
    else if (r->waiting)
        models_cancel(g->args.models, &r->ticket, now);
    r->granted = r->waiting = false;
    if (r->parsing) { // the helper thread still has it: job_done frees
        greq_unlink(r);
        return;
    }
    greq_free(r);
    if (had_model)
        g->args.after(g->args.user);
}

void greq_refuse(struct greq *r, const struct err *e)
{
    if (route_again(r))
        return;
    // A model that is too large for this machine is no fault of the request's size.
    bool never = e->code == E_TOOBIG;
    greq_fail(r, never ? E_UNAVAILABLE : e->code, e->text, "model",
              !never && err_info(e->code)->http == 503 ? 1 : -1);
}

void greq_end(struct greq *r)
{
    struct http_exchange *x = r->x;
    r->status = http_status(x);
    greq_report(r, "ok");
    http_finish(x);
    greq_release(r);
}

void greq_fail(struct greq *r, int code, const char *message, const char *param, int64_t retry_s)
{
    struct http_exchange *x = r->x;
    const struct err_info *info = err_info(code);
    bool event = r->sse || r->spoke;
    if (!event)
        (void)http_withdraw(x); // its engine's head came, and nothing of it went out
    r->status = http_answered(x) ? http_status(x) : info->http;
    if (http_answered(x) && event) { // an event tells it: the status line went out already
        struct buf *b = &r->gate->extra;
        buf_clear(b);
        char slug[ERR_SLUG_MAX];
        err_slug(code, slug);
        (void)sse_put_error(b, message, info->type, slug);
        struct bytes frame = buf_bytes(b);
        (void)http_send(x, &frame, 1);
    }
    bool answered = http_answered(x);
    greq_report(r, info->symbol);
    if (!answered)
        gate_reply_error(r->gate, x, r->id, code, message, param, retry_s);
    else if (event)
        http_finish(x);
    else
        http_abort(x); // the only way left to say that the answer is not whole
    greq_release(r);
}

static void on_gone(struct http_exchange *x, void *user, int status)
{
    struct greq *r = user;
    struct http_call *call = r->call;
    r->call = NULL;
    r->status = http_answered(x) ? http_status(x) : 499;
    r->left = true;
    if (call)
        http_call_cancel(call);
    greq_report(r, status == E_CANCELLED ? "E_CANCELLED" : "E_CLOSED");
    greq_release(r);
}

static void on_drain(struct http_exchange *x, void *user)
{
    (void)x;
    relay_drain(user);
}

void greq_no_model(struct greq *r, const char *name)
{
    char message[500];
    struct models *m = r->gate->args.models;
    const char *nearest = models_nearest(m, bytes_of(name));
    if (nearest)
        (void)snprintf(message, sizeof(message),
                       "there is no model \"%s\"; the nearest name is \"%s\"", name, nearest);
    else
        (void)snprintf(message, sizeof(message),
                       "there is no model \"%s\"; GET /v1/models lists them", name);
    greq_fail(r, E_NOTFOUND, message, "model", -1);
}

// "Prefer: wait=N" (RFC 7240): seconds the client is ready to wait; -1: not said.
static int64_t prefer_wait(const struct http_head *h)
{
    struct bytes rest = http_header(h, "Prefer");
    while (rest.p) {
        struct bytes part = bytes_trim(bytes_cut(&rest, ','));
        uint64_t seconds;
        if (bytes_starts(part, BYTES("wait=")) && bytes_u64(bytes_from(part, 5), &seconds))
            return (int64_t)seconds;
    }
    return -1;
}

bool greq_prefers_no_wait(const struct greq *r)
{
    return prefer_wait(http_request(r->x)) == 0;
}

static void refuse_wait(struct greq *r)
{
    struct gate *g = r->gate;
    struct model_view v;
    char message[300];
    int64_t now = timers_now_ms(g->args.timers);
    model_view(g->args.models, r->model, now, &v); // before it is forgotten that somebody waits
    bool busy = v.state == MODEL_WARM;
    int64_t seconds = busy ? 1 : v.eta_ms >= 0 ? (v.eta_ms + 999) / 1000 : 5;
    if (busy)
        (void)snprintf(message, sizeof(message),
                       "all slots of the model are taken, and %u requests wait", v.waiting - 1);
    else
        (void)snprintf(message, sizeof(message),
                       v.eta_ms >= 0 ? "the model is loading (%s); about %lld s left"
                                     : "the model is loading (%s); how long is not known yet",
                       v.phase && *v.phase ? v.phase : "starting", (long long)seconds);
    models_cancel(g->args.models, &r->ticket, now);
    r->waiting = false;
    greq_fail(r, busy ? E_FULL : E_LOADING, message, "model", seconds > 0 ? seconds : 1);
    g->args.after(g->args.user);
}

void greq_tell(struct greq *r)
{
    tell(r, false);
}

// Asks for the model: now, or later by gate_granted and gate_refused.
void greq_want(struct greq *r)
{
    struct gate *g = r->gate;
    struct err e = {0};
    if (!gate_label_may(r))
        return;
    r->ticket.user = r;
    int status =
        models_want(g->args.models, r->model, &r->ticket, timers_now_ms(g->args.timers), &e);
    if (status < 0) {
        greq_refuse(r, &e);
        g->args.after(g->args.user);
        return;
    }
    tell(r, false);
    if (status == 0) {
        r->granted = true;
        greq_start(r);
        return;
    }
    r->waiting = r->waited = true;
    int64_t wait = prefer_wait(http_request(r->x));
    bool freed = false;
    r->freed = &freed;
    g->args.after(g->args.user); // may grant or refuse at once
    if (freed)
        return;
    r->freed = NULL;
    if (!r->waiting)
        return;
    if (wait == 0)
        refuse_wait(r);
    else
        wait_begin(r);
}

static void ask(struct greq *r, const struct look *k)
{
    struct gate *g = r->gate;
    struct err e = {0};
    r->stream = k->stream;
    r->prefix = k->prefix;
    r->model = models_find(g->args.models, bytes_of(k->model));
    if (g->others && !r->hop) {
        memcpy(r->name, k->model, sizeof(r->name));
        if (route_out(r))
            return;
    }
    if (!r->model) {
        greq_no_model(r, k->model);
        return;
    }
    int64_t now = timers_now_ms(g->args.timers);
    struct model_view v;
    model_view(g->args.models, r->model, now, &v);
    if (r->key && key_model(r->key, bytes_of(v.name), &e) < 0) { // by its own name, not an alias
        greq_fail(r, e.code, e.text, "model", -1);
        return;
    }
    r->meter = meter_model(g->args.meter, v.name, v.engine);
    if ((r->endpoint == EP_CHAT || r->endpoint == EP_COMPLETION) && v.kind &&
        strcmp(v.kind, "embedding") == 0) { // it would be loaded only to say no
        greq_fail(r, E_INVALID, "this model makes embeddings: POST /v1/embeddings", "model", -1);
        return;
    }
    r->stage = ST_WAITING;
    r->aliased = strcmp(v.name, k->model) != 0;
    greq_want(r);
}

// The engine was not there: it may have died a moment ago, and its kernel's notice be on the way.
// The request never reached it, so it may be asked for anew.
static void on_again(struct timer *t)
{
    struct greq *r = t->user;
    struct models *m = r->gate->args.models;
    struct model_view v;
    char name[129];
    model_view(m, r->model, timers_now_ms(r->gate->args.timers), &v);
    (void)snprintf(name, sizeof(name), "%s", v.name);
    models_done(m, &r->ticket,
                timers_now_ms(r->gate->args.timers)); // a removed model goes with this
    r->granted = false;
    r->waited = true;
    r->ticket = (struct model_ticket){0};
    r->stage = ST_WAITING;
    r->model = models_find(m, bytes_of(name));
    if (r->model)
        greq_want(r);
    else
        greq_no_model(r, name);
}

bool greq_again(struct greq *r)
{
    struct model_view v;
    struct timers *timers = r->gate->args.timers;
    if (r->node[0])
        return false;
    model_view(r->gate->args.models, r->model, timers_now_ms(timers), &v);
    if (v.remote || r->tries == AGAIN_MAX || r->first_ns)
        return false;
    r->speak.fn = on_again;
    r->speak.user = r;
    return timer_start(timers, &r->speak, AGAIN_MS << r->tries++) == 0;
}

void greq_start(struct greq *r)
{
    r->stage = ST_RUNNING;
    r->granted_ns = timers_now_ns(r->gate->args.timers);
    relay_start(r);
}

static void looked(struct greq *r, const struct look *k)
{
    if (k->code == 0 && k->tools && r->endpoint == EP_CHAT) {
        gate_hand_on(r);
        return;
    }
    if (k->code == 0) {
        ask(r, k);
        return;
    }
    meter_node(r->gate->args.meter)->bad_requests++;
    greq_fail(r, k->code, k->message, *k->param ? k->param : NULL, -1);
}

static void job_run(struct work_req *w)
{
    struct parse_job *j = w->user;
    look_at(&j->look, buf_bytes(&j->body), j->schema, j->prefix);
}

static void job_done(struct work_req *w)
{
    struct parse_job *j = w->user;
    struct greq *r = j->req;
    r->parsing = false;
    r->body = j->body;
    if (!r->x) { // the client left meanwhile
        list_add_tail(&r->gate->requests, &r->link);
        greq_free(r);
    } else {
        looked(r, &j->look);
    }
    mem_free(j);
}

static void parse_elsewhere(struct greq *r, const struct schema *schema)
{
    struct parse_job *j = mem_new(struct parse_job);
    if (!j) {
        greq_fail(r, E_NOMEM, "out of memory", NULL, 1);
        return;
    }
    j->req = r;
    j->schema = schema;
    j->prefix = r->gate->others;
    j->work.run = job_run;
    j->work.done = job_done;
    j->work.user = j;
    http_take_body(r->x, &j->body);
    int status = work_start(r->gate->args.work, &j->work);
    if (status < 0) {
        buf_fini(&j->body);
        mem_free(j);
        greq_fail(r, status, "too many large requests at once", NULL, 1);
        return;
    }
    r->parsing = true;
}

void gate_model_request(struct gate *g, struct http_exchange *x, struct key *key, bool hop)
{
    struct greq *r = greq_new(g);
    if (!r) {
        http_reply_error(x, E_NOMEM, "out of memory", NULL, 1);
        return;
    }
    r->x = x;
    r->key = key;
    r->began_ms = timers_now_ms(g->args.timers);
    r->complete_ns = http_complete_ns(x);
    r->endpoint = EP_OTHER;
    r->path = http_request(x)->path;
    r->in_bytes = http_body(x).n;
    r->hop = hop;
    meter_node(g->args.meter)->hops_received += hop;
    http_own(x, r, on_drain, on_gone);
    take_id(r);
    for (size_t i = 0; i < sizeof(endpoints) / sizeof(endpoints[0]); i++)
        if (bytes_eq(r->path, endpoints[i].path))
            r->endpoint = endpoints[i].endpoint;
    struct bytes coding = http_header(http_request(x), "Content-Encoding");
    if (coding.n > 0 && !bytes_iis(coding, "identity")) {
        meter_node(g->args.meter)->bad_requests++;
        greq_fail(r, E_MEDIA, "a body with a Content-Encoding is not taken; send it plain", NULL,
                  -1);
        return;
    }
    if (!gate_label_take(r))
        return;
    const struct schema *schema = g->schemas[r->endpoint];
    if (r->in_bytes > PARSE_ON_LOOP_BYTES) {
        parse_elsewhere(r, schema);
        return;
    }
    struct look k;
    look_at(&k, http_body(x), schema, g->others);
    looked(r, &k);
}

// The request schemas, compiled at the start.
int schemas_load(struct gate *g, struct err *e)
{
    const struct bytes texts[EP_COUNT] = {
        [EP_CHAT] = embed_gate_chat_completions(),
        [EP_COMPLETION] = embed_gate_completions(),
        [EP_EMBEDDING] = embed_gate_embeddings(),
    };
    for (int i = 0; i < EP_COUNT; i++) {
        if (!texts[i].p)
            continue;
        int status = json_parse(&g->schema_docs[i], texts[i], 0, e);
        struct schema_args args = {.doc = json_root(g->schema_docs[i]), .draft = SCHEMA_2020_12};
        if (status == 0)
            status = schema_new(&g->schemas[i], &args, e);
        if (status < 0)
            return status;
    }
    return 0;
}
