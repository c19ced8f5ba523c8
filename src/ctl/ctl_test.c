// ctl_test.c: the node's own API over a real server and client on one loop: each test is a list of
// steps. Answers are held against the files in golden/.
// SPDX-License-Identifier: Apache-2.0
#include "base/file.h"
#include "ctl/ctl_priv.h"
#include "loop/loop.h"
#include "port/bus.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { DEADLINE_MS = 30000, LOOK_MS = 5, STREAMS = 3 };

struct rig;
struct step { // first `before`, then a request (or a stream) or waiting, then the checks
    void (*before)(struct rig *r);
    const char *method, *target, *body;
    int status;
    const char *golden;   // file in golden/ that the answer must equal
    const char *contains; // text that the answer, or the awaited stream, must hold
    int stream;           // 1..STREAMS: with a target: open it; without: wait until it contains
    bool closed;          // wait until that stream has ended
};

struct stream {
    struct http_call *call;
    struct buf text;
    int status;
    bool ended;
};

struct rig {
    struct loop *loop;
    struct http_server *server;
    struct http_pool *pool;
    struct models *models;
    struct keys *keys;
    struct label_names *names;
    struct config *config;
    struct host_profile profile;
    struct ctl *ctl;
    char folder[64], socket[96];
    unsigned scopes;
    int keys_error, reload_error;
    bool down, no_requests;
    int floods;
    struct timer late, look;
    const struct step *step;
    struct stream once, streams[STREAMS + 1];
    struct bus *bus;
    struct ctl_answer *slow; // not answered yet
    char failure[4096];
    bool stopping, cleared;
};

static void broken(struct rig *r, const char *what, struct bytes got);

// ---- the node that ctl sees ---------------------------------------------------------------------

static const struct config *op_config(void *user)
{
    return ((struct rig *)user)->config;
}

static void op_node(void *user, struct ctl_node *ret)
{
    (void)user;
    *ret = (struct ctl_node){"0.1.0", "http://127.0.0.1:8000", 1767225600000, 61000, true, false};
}

static void op_totals(void *user, struct ctl_totals *ret)
{
    (void)user;
    *ret = (struct ctl_totals){10, 1, 200, 300, 2, 0.5};
}

static struct ctl_request a_request(const char *id)
{
    return (struct ctl_request){.id = bytes_of(id),
                                .model = BYTES("tiny-chat"),
                                .path = BYTES("/v1/chat/completions"),
                                .key = BYTES("laptop"),
                                .running = true,
                                .stream = true,
                                .age_ms = 120,
                                .first_byte_ms = 30,
                                .tokens = 12,
                                .tokens_per_s = 80.5};
}

static bool op_request(void *user, void **at, struct ctl_request *ret)
{
    struct rig *r = user;
    if (*at || r->no_requests)
        return false;
    *at = r;
    *ret = a_request("r1");
    return true;
}

static const struct host_profile *op_profile(void *user)
{
    return &((struct rig *)user)->profile;
}

static void op_after(void *user)
{
    struct rig *r = user;
    struct model_effect effect;
    while (models_effect(r->models, &effect)) {
        if (effect.kind == MODEL_CHANGED && r->ctl)
            ctl_model_changed(r->ctl, effect.model);
        if (effect.kind == MODEL_STOP)
            models_down(r->models, effect.model, BYTES(""), timers_now_ms(loop_timers(r->loop)));
    }
}

static int op_keys_changed(void *user, struct err *e)
{
    struct rig *r = user;
    return r->keys_error ? err_set(e, r->keys_error, "disk full") : 0;
}

static int op_reload(void *user, struct buf *changes, struct err *e)
{
    struct rig *r = user;
    if (r->reload_error)
        return err_set(e, r->reload_error,
                       "plexus.yaml:3:5: models.tiny.idel: unknown key; nearest: idle");
    return buf_str(changes, "[{\"what\":\"model\",\"name\":\"coder\",\"action\":\"add\"}]");
}

static void op_down(void *user)
{
    ((struct rig *)user)->down = true;
}

// Says back what it was asked: which operation, the path's name, the body.
static void op_mesh(void *user, const struct ctl_mesh_ask *ask, struct ctl_answer *a)
{
    struct buf out;
    (void)user;
    buf_init(&out, 4096);
    (void)buf_fmt(&out, "{\"op\":%d,\"name\":", (int)ask->op);
    (void)buf_json_str(&out, ask->name);
    (void)buf_str(&out, ",\"body\":");
    (void)json_write(&out, ask->body);
    (void)buf_chr(&out, '}');
    ctl_answer(a, 200, buf_bytes(&out));
    buf_fini(&out);
}

// Says back what it was asked; of the run "bad" that its document is not well, of "gone" that there
// is none; "slow" is answered when the test wants it, "old" has ended.
static void op_flow(void *user, const struct ctl_flow_ask *ask, struct ctl_answer *a)
{
    struct rig *r = user;
    struct err e = {0};
    struct buf out;
    if (ask->owner != r)
        broken(r, "not the owner", BYTES_NONE);
    if (bytes_is(ask->id, "gone")) {
        (void)err_set(&e, E_NOTFOUND, "no run \"gone\"");
        ctl_answer_error(a, &e);
        return;
    }
    if (json_get(ask->body, "document") && ask->op == CTL_FLOW_START) {
        (void)err_set(&e, E_SCHEMA, "3:5: do: expected a list");
        ctl_answer_findings(a, &e, BYTES("[{\"line\":3}]"));
        return;
    }
    if (bytes_is(ask->id, "slow")) {
        r->slow = a;
        return;
    }
    buf_init(&out, 4096);
    (void)buf_fmt(&out, "{\"op\":%d,\"id\":", (int)ask->op);
    (void)buf_json_str(&out, ask->id);
    (void)buf_fmt(&out, ",\"sub\":\"%.*s\",\"version\":\"%.*s\",\"query\":\"%.*s\",\"body\":",
                  BYTES_FMT(ask->sub), BYTES_FMT(ask->version), BYTES_FMT(ask->query));
    (void)json_write(&out, ask->body);
    if (ask->op == CTL_FLOW_EVENTS && bytes_is(ask->id, "old"))
        (void)buf_str(&out, ",\"status\":\"completed\",\"open\":false");
    (void)buf_chr(&out, '}');
    ctl_answer(a, ask->op == CTL_FLOW_START ? 201 : 200, buf_bytes(&out));
    buf_fini(&out);
}

// Says back what it was asked.
static void op_tool(void *user, const struct ctl_tool_ask *ask, struct ctl_answer *a)
{
    struct rig *r = user;
    struct buf out;
    if (ask->owner != r)
        broken(r, "not the owner", BYTES_NONE);
    buf_init(&out, 4096);
    (void)buf_fmt(&out, "{\"op\":%d,\"name\":\"%.*s\",\"body\":", (int)ask->op,
                  BYTES_FMT(ask->name));
    (void)json_write(&out, ask->body);
    (void)buf_chr(&out, '}');
    ctl_answer(a, 200, buf_bytes(&out));
    buf_fini(&out);
}

static int doctor_work(void *arg, struct buf *json, struct err *e)
{
    if (arg)
        return err_set(e, E_UNAVAILABLE, "no look");
    return buf_str(json, "{\"findings\":[]}");
}

static void op_doctor(void *user, struct ctl_answer *a)
{
    struct rig *r = user;
    ctl_answer_work(a, doctor_work, r->scopes == SCOPE_ADMIN ? r : NULL, NULL);
}

static struct label op_clearance(void *user, const struct http_exchange *x)
{
    (void)x;
    return ((struct rig *)user)->cleared ? LABEL_ALL : (struct label){LABEL_INTERNAL, 0};
}

static struct ctl_ops ops = {.config = op_config,
                             .node = op_node,
                             .totals = op_totals,
                             .request = op_request,
                             .profile = op_profile,
                             .after = op_after,
                             .keys_changed = op_keys_changed,
                             .reload = op_reload,
                             .down = op_down,
                             .doctor = op_doctor,
                             .mesh = op_mesh,
                             .flow = op_flow,
                             .tool = op_tool,
                             .clearance = op_clearance};

// ---- the rig ------------------------------------------------------------------------------------

static int on_head(void *user, struct http_exchange *x)
{
    (void)user;
    (void)x;
    return 0;
}

static void on_request(void *user, struct http_exchange *x)
{
    struct rig *r = user;
    http_own(x, r, NULL, NULL);
    if (!ctl_handle(r->ctl, x, r->scopes))
        http_reply(x, 418, NULL, BYTES_NONE, BYTES("not ours"));
}

static void on_refused(void *user, const struct net_peer *peer, int code, const char *why)
{
    (void)user;
    (void)peer;
    (void)code;
    (void)why;
}

static void stop(struct rig *r);

static void broken(struct rig *r, const char *what, struct bytes got)
{
    const struct step *s = r->step;
    if (!*r->failure)
        (void)snprintf(r->failure, sizeof r->failure, "%s %s: %s\ngot: %.*s",
                       s->method ? s->method : "wait",
                       s->target     ? s->target
                       : s->contains ? s->contains
                                     : "",
                       what, BYTES_FMT(bytes_first(got, 3000)));
    stop(r);
}

static void on_late(struct timer *t)
{
    struct rig *r = t->user;
    broken(r, "took too long",
           r->step->stream ? buf_bytes(&r->streams[r->step->stream].text) : BYTES_NONE);
}

static void drained(void *user)
{
    loop_stop(((struct rig *)user)->loop);
}

static void end_round(struct timer *t)
{
    struct rig *r = t->user;
    http_pool_free(r->pool); // streams end because their client goes
    r->pool = NULL;
    http_server_drain(r->server, drained, r);
}

static void stop(struct rig *r)
{
    if (r->stopping)
        return;
    r->stopping = true;
    timer_stop(loop_timers(r->loop), &r->late);
    timer_stop(loop_timers(r->loop), &r->look);
    r->look = (struct timer){.fn = end_round, .user = r};
    (void)timer_start(loop_timers(r->loop), &r->look, 0);
}

static bool holds(const struct buf *text, const char *want)
{
    return bytes_find(buf_bytes(text), bytes_of(want)) >= 0;
}

// What differs from run to run becomes X.
static void normalize(struct buf *text)
{
    static const char *const keys[] = {"\"pid\":", "\"since_ms\":", "\"created\":\"", "{\"id\":\""};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        struct buf out;
        struct bytes rest = buf_bytes(text);
        ptrdiff_t at;
        buf_init(&out, text->max);
        while ((at = bytes_find(rest, bytes_of(keys[i]))) >= 0) {
            size_t n = (size_t)at + strlen(keys[i]), end = n;
            while (end < rest.n && !strchr(",}\"", rest.p[end]))
                end++;
            (void)buf_put(&out, bytes_first(rest, n));
            (void)buf_chr(&out, 'X');
            rest = bytes_from(rest, end);
        }
        (void)buf_put(&out, rest);
        buf_fini(text);
        *text = out;
    }
}

static void check_golden(struct rig *r, const char *name, struct buf *text)
{
    char path[256];
    struct buf want;
    struct err e = {0};
    normalize(text);
    (void)snprintf(path, sizeof path, "src/ctl/golden/%s", name);
    buf_init(&want, 1 << 20);
    if (getenv("GOLDEN_WRITE")) {
        if (text->n && text->p[text->n - 1] != '\n')
            (void)buf_chr(text, '\n');
        if (file_write_atomic(path, buf_bytes(text), 0644, &e))
            broken(r, e.text, BYTES_NONE);
    } else if (file_read(path, &want, &e)) {
        broken(r, e.text, BYTES_NONE);
    } else if (!bytes_eq(bytes_trim(buf_bytes(&want)), bytes_trim(buf_bytes(text)))) {
        broken(r, path, buf_bytes(text));
    }
    buf_fini(&want);
}

static void run_step(struct rig *r);

static void next_step(struct rig *r)
{
    if (*r->failure)
        return;
    r->step++;
    run_step(r);
}

static void call_head(struct http_call *c, const struct http_head *head)
{
    ((struct stream *)http_call_user(c))->status = head->status;
}

static void call_body(struct http_call *c, const char *p, size_t n)
{
    (void)buf_add(&((struct stream *)http_call_user(c))->text, p, n);
}

static struct rig *the_rig;

static void call_end(struct http_call *c, int status, const struct err *e)
{
    struct stream *s = http_call_user(c);
    struct rig *r = the_rig;
    const struct step *step = r->step;
    s->ended = true;
    s->call = NULL;
    if (s != &r->once || r->stopping)
        return;
    if (status)
        broken(r, e->text, BYTES_NONE);
    else if (s->status != step->status)
        broken(r, "wrong status", buf_bytes(&s->text));
    else if (step->contains && !holds(&s->text, step->contains))
        broken(r, step->contains, buf_bytes(&s->text));
    else if (step->golden)
        check_golden(r, step->golden, &s->text);
    next_step(r);
}

static void look(struct timer *t)
{
    struct rig *r = t->user;
    struct stream *s = &r->streams[r->step->stream];
    if ((r->step->contains && !holds(&s->text, r->step->contains)) ||
        (r->step->closed && !s->ended))
        (void)timer_start(loop_timers(r->loop), t, LOOK_MS);
    else
        next_step(r);
}

static void begin_look(struct rig *r)
{
    r->look = (struct timer){.fn = look, .user = r};
    (void)timer_start(loop_timers(r->loop), &r->look, 0);
}

static void run_step(struct rig *r)
{
    static const struct http_call_handler handler = {call_head, call_body, call_end};
    const struct step *s = r->step;
    struct stream *to = s->stream ? &r->streams[s->stream] : &r->once;
    struct bytes body = bytes_of(s->body);
    struct err e = {0};
    if (s->before)
        s->before(r);
    if (*r->failure)
        return;
    if (!s->before && !s->target && !s->stream) {
        stop(r);
        return;
    }
    if (!s->target) {
        begin_look(r);
        return;
    }
    buf_fini(&to->text);
    *to = (struct stream){0};
    buf_init(&to->text, 32 << 20);
    struct http_call_args args = {.method = bytes_of(s->method),
                                  .target = bytes_of(s->target),
                                  .body = &body,
                                  .body_count = body.n ? 1 : 0,
                                  .first_byte_ms = DEADLINE_MS,
                                  .silence_ms = TIME_NEVER,
                                  .handler = &handler,
                                  .user = to};
    if (http_call_start(r->pool, &args, &to->call, &e))
        broken(r, e.text, BYTES_NONE);
    else if (s->stream)
        begin_look(r);
}

static const char yaml[] =
    "node: { name: aipc, context: dev.aipc.node1 }\n"
    "models:\n"
    "  tiny-chat: { engine: llama.cpp, file: /models/tiny-chat.gguf, kind: chat }\n"
    "  minilm: { engine: llama.cpp, file: /models/minilm.gguf, kind: embedding }\n"
    "  org/cloud: { engine: remote, url: 'https://example.org/v1', kind: chat }\n";

static void put_model(struct rig *r, const char *name, const char *kind, bool remote)
{
    struct err e = {0};
    struct model_spec spec = {.name = name,
                              .kind = kind,
                              .engine = remote ? "remote" : "llama.cpp",
                              .memory_bytes = remote ? 0 : 1000,
                              .context = remote ? 0 : 512,
                              .idle_ms = TIME_NEVER,
                              .remote = remote,
                              .slots = 1,
                              .queue_max = 4,
                              .generation = 1};
    assert_int_equal(models_put(r->models, &spec, timers_now_ms(loop_timers(r->loop)), &e), 0);
}

static void rig_up(struct rig *r)
{
    struct err e = {0};
    memset(r, 0, sizeof *r);
    the_rig = r;
    r->scopes = SCOPE_ALL;
    (void)snprintf(r->folder, sizeof r->folder, "/tmp/ctl-test-XXXXXX");
    assert_non_null(mkdtemp(r->folder));
    (void)snprintf(r->socket, sizeof r->socket, "%s/s", r->folder);
    assert_int_equal(loop_new(&r->loop, NULL, &e), 0);
    r->models = models_new(&(struct models_args){.memory_bytes = 4000, .queue_max = 8});
    r->keys = keys_new();
    r->names = label_names_new();
    keys_names(r->keys, r->names);
    if (config_parse(&r->config, "plexus.yaml", BYTES(yaml), "/srv/plexus", &e))
        fail_msg("%s", e.text);
    put_model(r, "tiny-chat", "chat", false);
    put_model(r, "minilm", "embedding", false);
    put_model(r, "org/cloud", "chat", true);
    op_after(r);
    (void)snprintf(r->profile.cpu.model, sizeof r->profile.cpu.model, "Test CPU");
    (void)snprintf(r->profile.machine_class, sizeof r->profile.machine_class, "gpu");
    r->profile.cpu.effective = 2;
    r->profile.memory.effective = 8000000000;
    r->profile.memory.effective_available = 6000000000;
    r->profile.gpu_count = 1;
    (void)snprintf(r->profile.gpus[0].name, sizeof r->profile.gpus[0].name, "Test card");
    r->profile.gpus[0].memory_bytes = 24000000000;
    struct ctl_args args = {.timers = loop_timers(r->loop),
                            .work = loop_work(r->loop),
                            .models = r->models,
                            .keys = r->keys,
                            .ops = &ops,
                            .user = r,
                            .readers_max = STREAMS,
                            .log_lines_max = 5};
    assert_int_equal(ctl_new(&r->ctl, &args, &e), 0);
    struct http_server_args server = {.net = loop_net(r->loop),
                                      .timers = loop_timers(r->loop),
                                      .routes = {on_head, on_request, on_refused, r}};
    struct net_listen_args listen = {.addr = {.unix_socket = true}, .queue_bytes_max = 1 << 20};
    struct net_listener *listener;
    struct http_pool_args pool = {
        .net = loop_net(r->loop), .timers = loop_timers(r->loop), .addr = {.unix_socket = true}};
    (void)snprintf(listen.addr.host, sizeof listen.addr.host, "%s", r->socket);
    (void)snprintf(pool.addr.host, sizeof pool.addr.host, "%s", r->socket);
    assert_int_equal(http_server_new(&r->server, &server, &e), 0);
    assert_int_equal(http_server_listen(r->server, &listen, 0, &listener, &e), 0);
    assert_int_equal(http_pool_new(&r->pool, &pool, &e), 0);
    r->late = (struct timer){.fn = on_late, .user = r};
    (void)timer_start(loop_timers(r->loop), &r->late, DEADLINE_MS);
}

static void rig_down(struct rig *r)
{
    ctl_free(r->ctl);
    http_server_free(r->server);
    loop_free(r->loop);
    models_free(r->models);
    keys_free(r->keys);
    label_names_free(r->names);
    config_free(r->config);
    buf_fini(&r->once.text);
    for (int i = 0; i <= STREAMS; i++)
        buf_fini(&r->streams[i].text);
    (void)unlink(r->socket);
    (void)rmdir(r->folder);
}

static void run_steps(struct rig *r, const struct step *steps)
{
    r->step = steps;
    run_step(r);
    (void)loop_run(r->loop);
    rig_down(r);
    if (*r->failure)
        fail_msg("%s", r->failure);
    assert_int_equal(mem_live(), 0);
}

static int64_t now(struct rig *r)
{
    return timers_now_ms(loop_timers(r->loop));
}

static struct model *model(struct rig *r, const char *name)
{
    return models_find(r->models, bytes_of(name));
}

// ---- tests --------------------------------------------------------------------------------------

// The real bus in memory; secrets go to who is cleared.
static int bus_may(void *user, const struct bus_crossing *x, struct err *e)
{
    (void)user;
    if (!bytes_is(x->label, "restricted") || (x->deliver && bytes_starts(x->who, BYTES("restr"))))
        return 0;
    return x->deliver || bytes_is(x->subject, "dev.a.b.open")
               ? err_set(e, E_SECURITY, "SecurityViolationError: restricted is over internal")
               : 0;
}

static void bus_answer(struct bus_sub *s, const struct bus_msg *m)
{
    struct bus_msg answer = {
        .subject = m->reply, .data = BYTES("[1]"), .content = BYTES("application/json")};
    assert_true(bus_publish(s->bus, &answer, NULL) >= 0);
}

static void bus_on(struct rig *r)
{
    struct bus_args args = {.timers = loop_timers(r->loop),
                            .environment = "dev",
                            .source = "/node/a",
                            .may = bus_may,
                            .user = r};
    struct bus_sub *sub;
    struct err e = {0};
    if (bus_engine_find("embedded")->open(&args, &r->bus, &e) ||
        bus_subscribe(r->bus,
                      &(struct bus_sub_args){.pattern = "dev.a.b.ask", .on_msg = bus_answer}, &sub,
                      &e))
        fail_msg("%s", e.text);
    ctl_set_bus(r->ctl, r->bus);
    ctl_set_bus_note(r->ctl, "");
}

static void bus_waits(struct rig *r)
{
    ctl_set_bus_note(r->ctl, "it waits for node b");
}

static void bus_off(struct rig *r)
{
    ctl_set_bus(r->ctl, NULL);
    bus_close(r->bus);
}

static void cleared(struct rig *r)
{
    r->cleared = true;
}

static void only_read(struct rig *r)
{
    r->scopes = SCOPE_READ;
}
static void only_admin(struct rig *r)
{
    r->scopes = SCOPE_ADMIN;
}
static void flows_off(struct rig *r)
{
    ops.flow = NULL;
    r->scopes = SCOPE_ALL;
}
static void tools_off(struct rig *r)
{
    ops.tool = NULL;
    r->scopes = SCOPE_ALL;
}
static void only_models(struct rig *r)
{
    r->scopes = SCOPE_MODELS;
}

static void test_dispatch(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {.method = "GET", .target = "/other", .status = 418},
        {.method = "GET", .target = "/apis", .status = 418},
        {.method = "GET", .target = "/api", .status = 200, .golden = "index.json"},
        {.method = "GET", .target = "/api/", .status = 404, .contains = "GET /api lists them"},
        {.method = "GET",
         .target = "/api/nothing",
         .status = 404,
         .contains = "\"code\":\"notfound\""},
        {.method = "GET",
         .target = "/api/models/tiny-chat/load",
         .status = 405,
         .contains = "takes POST, not GET"},
        {.method = "PUT",
         .target = "/api/keys",
         .status = 405,
         .contains = "takes GET, POST, not PUT"},
        {.method = "GET", .target = "/api/models/tiny-chat/load/more", .status = 404},
        {.method = "GET", .target = "/api/models//", .status = 404},
        {.method = "GET",
         .target = "/api/models/%zz",
         .status = 400,
         .contains = "broken % escape"},
        {.method = "GET", .target = "/api/models/%2e%2e", .status = 400},
        {.method = "GET",
         .target = "/api/models/org%2Fcloud",
         .status = 200,
         .contains = "\"remote\":true"},
        {.method = "GET",
         .target = "/api/models/tiny-chet",
         .status = 404,
         .contains = "nearest: \\\"tiny-chat\\\""},
        {.before = only_read, .method = "GET", .target = "/api/state", .status = 200},
        {.method = "POST", .target = "/api/down", .status = 403, .contains = "scope admin"},
        {.before = only_models,
         .method = "GET",
         .target = "/api/state",
         .status = 403,
         .contains = "scope read"},
        {.before = only_admin, .method = "GET", .target = "/api/state", .status = 200},
        {0},
    };
    struct rig r;
    rig_up(&r);
    run_steps(&r, steps);
}

// Bodies are checked before the node sees them.
static void test_bus(void **state)
{
    (void)state;
#define PUBLISH(text, code, says)                                                                  \
    {                                                                                              \
        .method = "POST", .target = "/api/bus/publish", .body = text, .status = code,              \
        .contains = says                                                                           \
    }
    static const struct step steps[] = {
        {.method = "GET", .target = "/api/bus", .status = 503, .contains = "not there"},
        {.before = bus_waits,
         .method = "GET",
         .target = "/api/bus",
         .status = 200,
         .contains = "\"status\":\"connecting\",\"server\":null,\"note\":\"it waits for node b\""},
        PUBLISH("{\"subject\":\"dev.a.b.c\",\"data\":1}", 503, "it waits for node b"),
        {.before = bus_on,
         .method = "GET",
         .target = "/api/bus",
         .status = 200,
         .contains = "{\"engine\":\"embedded\",\"environment\":\"dev\",\"status\":\"conn"},
        {.method = "GET",
         .target = "/api/bus/subscribe?pattern=dev.a.%3E",
         .status = 200,
         .contains = "event: ready",
         .stream = 1},
        PUBLISH("{\"subject\":\"dev.a.b.c\",\"data\":{\"x\": 1},\"id\":\"7\",\"type\":\"t.x\"}",
                202, "{\"stored\":false}"),
        {.stream = 1,
         .contains = "event: message\ndata: {\"specversion\":\"1.0\",\"id\":\"7\",\"source\":"
                     "\"/node/a\",\"type\":\"t.x\""},
        {.stream = 1,
         .contains = "\"datacontenttype\":\"application/json\",\"channel\":\"dev.a.b.c\",\"data\":"
                     "{\"x\":1}}\n\n"},
        PUBLISH("{\"subject\":\"dev.a.b.c\",\"data\":\"hi\",\"label\":\"public\",\"about\":\"k\"}",
                202, NULL),
        {.stream = 1, .contains = "\"subject\":\"k\""},
        {.stream = 1, .contains = "\"label\":\"public\",\"data\":\"hi\"}"},
        PUBLISH("{\"subject\":\"dev.a.b.c\",\"data_base64\":\"AAEC\"}", 202, NULL),
        {.stream = 1, .contains = "\"data_base64\":\"AAEC\"}"},
        PUBLISH("{\"subject\":\"dev.a.b.kept\",\"data\":\"one\",\"stored\":true,\"id\":\"i\"}", 200,
                "{\"stored\":true,\"sequence\":\"1\",\"duplicate\":false}"),
        PUBLISH("{\"subject\":\"dev.a.b.kept\",\"data\":\"two\",\"stored\":true,\"id\":\"i\"}", 200,
                "{\"stored\":true,\"sequence\":\"1\",\"duplicate\":true}"),
        {.method = "GET",
         .target = "/api/bus/subscribe?pattern=dev.a.b.kept&durable=d&from=start",
         .status = 200,
         .contains = "\"sequence\":\"1\",\"data\":\"one\"}",
         .stream = 2},
        {.method = "GET",
         .target = "/api/bus/subscribe?pattern=dev.a.b.kept&from=1h",
         .status = 200,
         .contains = "\"sequence\":\"1\",\"data\":\"one\"}",
         .stream = 3},
        {.method = "GET", .target = "/api/bus/subscribe?pattern=dev.a.b.x", .status = 503},
        {.method = "POST",
         .target = "/api/bus/request",
         .body = "{\"subject\":\"dev.a.b.ask\"}",
         .status = 200,
         .contains = "\"data\":[1]}"},
        {.method = "POST",
         .target = "/api/bus/request",
         .body = "{\"subject\":\"dev.b.b.nobody\",\"timeout\":\"2s\"}",
         .status = 503,
         .contains = "nobody answers on dev.b.b.nobody"},
        // What is refused.
        PUBLISH("{\"subject\":\"dev.a.b.open\",\"label\":\"restricted\"}", 403,
                "SecurityViolationError"),
        PUBLISH("{\"subject\":\"prod.a.b.c\"}", 403, "SecurityViolationError"),
        PUBLISH("{\"subject\":\"dev.a\"}", 400, "{environment}.{domain}"),
        PUBLISH("{}", 400, "subject: expected one"),
        PUBLISH("[]", 400, "expected a JSON object"),
        PUBLISH("{\"subject\":\"dev.a.b.c\",\"daat\":1}", 400, "nearest: \\\"data\\\""),
        PUBLISH("{\"subject\":\"dev.a.b.c\",\"label\":1}", 400, "label: expected a text"),
        PUBLISH("{\"subject\":\"dev.a.b.c\",\"stored\":1}", 400, "stored: expected true or false"),
        PUBLISH("{\"subject\":\"dev.a.b.c\",\"data\":1,\"data_base64\":\"AA==\"}", 400, "exclude"),
        PUBLISH("{\"subject\":\"dev.a.b.c\",\"data_base64\":\"A\"}", 400, "base64"),
        PUBLISH("{\"subject\":\"dev.a.b.c\",\"timeout\":\"11m\"}", 400, "between 1ms and 10m"),
        {.method = "GET",
         .target = "/api/bus",
         .status = 200,
         .contains = "\"dead\":0,\"refused\":2"},
        {.before = only_read, .method = "POST", .target = "/api/bus/publish", .status = 403},
        {.before = bus_off, .stream = 1, .closed = true},
        {.stream = 2, .closed = true},
        {.method = "GET", .target = "/api/bus", .status = 503},
        {0},
    };
    // Who listens gets what the caller's clearance holds.
    static const struct step labels[] = {
        {.before = bus_on,
         .method = "GET",
         .target = "/api/bus/subscribe?pattern=dev.a.b.c",
         .status = 200,
         .contains = "event: ready",
         .stream = 1},
        {.before = cleared,
         .method = "GET",
         .target = "/api/bus/subscribe?pattern=dev.a.b.c",
         .status = 200,
         .contains = "event: ready",
         .stream = 2},
        PUBLISH("{\"subject\":\"dev.a.b.c\",\"label\":\"restricted\",\"data\":\"hidden\"}", 202,
                NULL),
        PUBLISH("{\"subject\":\"dev.a.b.c\",\"data\":\"open\"}", 202, NULL),
        {.stream = 1, .contains = "\"open\"}"},
        {.stream = 2, .contains = "\"hidden\"}"},
        {.method = "GET", .target = "/api/bus", .status = 200, .contains = "\"refused\":1"},
        {.before = bus_off, .stream = 2, .closed = true},
        {0},
    };
#undef PUBLISH
    struct rig r;
    rig_up(&r);
    run_steps(&r, steps);
    rig_up(&r);
    run_steps(&r, labels);
    assert_int_equal(bytes_find(buf_bytes(&r.streams[1].text), BYTES("hidden")), -1);
}

static void test_mesh(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {.method = "GET",
         .target = "/api/mesh",
         .status = 200,
         .contains = "{\"op\":0,\"name\":\"\",\"body\":null}"},
        {.method = "POST",
         .target = "/api/mesh/join",
         .body = "{\"address\":\"h:1\",\"token\":\"t\"}",
         .status = 200,
         .contains = "\"address\":\"h:1\""},
        {.method = "POST",
         .target = "/api/mesh/join",
         .body = "{\"adress\":\"h:1\"}",
         .status = 400,
         .contains = "nearest: \\\"address\\\""},
        {.method = "POST",
         .target = "/api/mesh/tokens",
         .body = "{\"roles\":\"organs\"}",
         .status = 400,
         .contains = "roles: expected a list of texts"},
        {.method = "POST",
         .target = "/api/mesh/tokens",
         .body = "{\"roles\":[1]}",
         .status = 400,
         .contains = "roles: expected a list of texts"},
        {.method = "POST",
         .target = "/api/mesh/tokens",
         .body = "{\"ttl\":10}",
         .status = 400,
         .contains = "ttl: expected a text"},
        {.method = "POST",
         .target = "/api/mesh/init",
         .body = "[]",
         .status = 400,
         .contains = "expected a JSON object"},
        {.method = "POST",
         .target = "/api/mesh/init",
         .body = "{\"listen\":\"a\",\"listen\":\"b\"}",
         .status = 400},
        {.method = "POST",
         .target = "/api/mesh/nodes/b%2Dx/drain",
         .status = 200,
         .contains = "\"name\":\"b-x\""},
        {.method = "GET", .target = "/api/resolve?name=x", .status = 200},
        {.before = only_read, .method = "DELETE", .target = "/api/mesh/nodes/b", .status = 403},
        {.method = "GET", .target = "/api/mesh/tokens", .status = 403},
        {0},
    };
    struct rig r;
    rig_up(&r);
    run_steps(&r, steps);
}

static void test_flows(void **state)
{
    (void)state;
#define POST(path, text, code, says)                                                               \
    {.method = "POST", .target = "/api/flows" path, .body = text, .status = code, .contains = says}
#define GET(path, code, says)                                                                      \
    {                                                                                              \
        .method = "GET", .target = "/api/flows" path, .status = code, .contains = says             \
    }
    static const struct step steps[] = {
        GET("?status=running&limit=5", 200,
            "{\"op\":0,\"id\":\"\",\"sub\":\"\",\"version\":\"\",\"query\":"
            "\"status=running&limit=5\",\"body\":null}"),
        GET("/stats", 200, "{\"op\":21,\"id\":\"\""),
        GET("/documents", 200, "{\"op\":17,\"id\":\"\""),
        GET("/a%20b", 200, "{\"op\":3,\"id\":\"a b\",\"sub\":\"\""),
        GET("/a/history?from=3", 200, "{\"op\":4,\"id\":\"a\""),
        GET("/a/export", 200, "{\"op\":5,\"id\":\"a\""),
        GET("/gone", 404, "no run \\\"gone\\\""),
        GET("/a/nothing", 404, "GET /api lists them"),
        POST("", "{\"name\":\"n\",\"input\":[1],\"wait\":\"30s\",\"id\":\"x\"}", 201,
             "\"body\":{\"name\":\"n\",\"input\":[1],\"wait\":\"30s\",\"id\":\"x\"}}"),
        POST("", "{\"document\":\"do: 1\"}", 400,
             "{\"error\":{\"message\":\"3:5: do: expected a "
             "list\",\"type\":\"invalid_request_error\","
             "\"param\":null,\"code\":\"document\",\"findings\":[{\"line\":3}]}}"),
        POST("", "{}", 400, "either document or name"),
        POST("", NULL, 400, "either document or name"),
        POST("", "{\"document\":\"\",\"name\":\"n\"}", 400, "either document or name"),
        POST("", "{\"document\":\"\",\"version\":\"1\"}", 400, "go with name"),
        POST("", "{\"name\":\"n\",\"id\":\"\"}", 400, "id: expected 1 to 200 bytes"),
        POST("", "{\"name\":\"n\",\"id\":\"a/b\"}", 400, "id: no blanks"),
        POST("", "{\"name\":\"n\",\"id\":\"stats\"}", 400, "a word of this API"),
        POST("", "{\"name\":\"n\",\"wait\":\"soon\"}", 400, "soon"),
        POST("", "{\"name\":\"n\",\"wait\":3}", 400, "wait: expected true, false or a duration"),
        POST("", "{\"name\":\"n\",\"inptu\":3}", 400, "nearest: \\\"input\\\""),
        POST("", "{\"name\":\"n\",\"name\":\"m\"}", 400, NULL),
        POST("", "[]", 400, "expected a JSON object"),
        POST("/check", "{}", 400, "document is needed"),
        POST("/check", "{\"document\":\"\"}", 200, "{\"op\":2,"),
        POST("/events", "{\"type\":\"t\",\"channel\":\"c\",\"data\":1}", 200, "\"channel\":\"c\""),
        POST("/events", "{\"data\":1}", 400, "type is needed"),
        POST("/documents", "{\"document\":\"x\"}", 200, "{\"op\":18,"),
        {.method = "DELETE",
         .target = "/api/flows/documents/default/a%2Fb/1.0.0",
         .status = 200,
         .contains = "{\"op\":19,\"id\":\"default\",\"sub\":\"a/b\",\"version\":\"1.0.0\""},
        POST("/documents", "{\"urn\":\"urn:plexus:flow:a:b:v1\"}", 200, "\"urn\":\"urn:"),
        POST("/documents", "{\"urn\":\"x\",\"document\":\"x\"}", 400, "either document"),
        POST("/documents", "{}", 400, "either document"),
        POST("/documents/default/a/1.0.0/eval", NULL, 200,
             "{\"op\":22,\"id\":\"default\",\"sub\":\"a\",\"version\":\"1.0.0\""),
        POST("/documents/default/a/1.0.0/promote", "{}", 200, "{\"op\":23,"),
        POST("/documents/default/a/1.0.0/promote", "{\"force\":true}", 400, "unknown member"),
        POST("/prune", "{\"older\":\"30d\",\"dry\":true}", 200, "{\"op\":20,"),
        POST("/prune", "{\"older\":\"x\"}", 400, "x"),
        POST("/prune", "{\"dry\":1}", 400, "dry: expected true or false"),
        POST("/a/retry", NULL, 200, "{\"op\":7,\"id\":\"a\""),
        POST("/a/skip", "{}", 400, "task is needed"),
        POST("/a/skip", "{\"task\":\"t\",\"output\":null}", 200, "\"output\":null"),
        POST("/a/edit", "{\"task\":\"t\"}", 400, "input is needed"),
        POST("/a/edit", "{\"task\":\"t\",\"input\":{}}", 200, "{\"op\":9,"),
        POST("/a/pause", "{\"reason\":\"r\"}", 200, "{\"op\":10,"),
        POST("/a/resume", "{\"task\":\"r\"}", 400, "unknown member"),
        POST("/a/resume", NULL, 200, "{\"op\":11,"),
        POST("/a/cancel", NULL, 200, "{\"op\":12,"),
        POST("/a/terminate", NULL, 200, "{\"op\":13,"),
        POST("/a/reset", "{\"to\":-1}", 400, "to: expected a whole number"),
        POST("/a/reset", "{\"to\":17}", 200, "{\"op\":14,"),
        POST("/a/signal", "{\"type\":\"t\",\"data\":1}", 200, "{\"op\":15,"),
        {.before = only_models,
         .method = "POST",
         .target = "/api/flows/events",
         .body = "{\"type\":\"t\"}",
         .status = 200},
        POST("", "{\"name\":\"n\"}", 403, "scope admin"),
        {.before = only_read, .method = "GET", .target = "/api/flows", .status = 200},
        POST("/check", "{\"document\":\"\"}", 200, "{\"op\":2,"),
        POST("/a/cancel", NULL, 403, "scope admin"),
        {.before = flows_off, .method = "GET", .target = "/api/flows", .status = 503},
        GET("/a/events", 503, "flows are off (flows.engine: off)"),
        {0},
    };
#undef POST
#undef GET
    struct rig r;
    rig_up(&r);
    run_steps(&r, steps);
    ops.flow = op_flow;
}

static void test_tools(void **state)
{
    (void)state;
#define POST(path, text, code, says)                                                               \
    {.method = "POST", .target = "/api/tools" path, .body = text, .status = code, .contains = says}
#define GET(path, code, says)                                                                      \
    {                                                                                              \
        .method = "GET", .target = "/api/tools" path, .status = code, .contains = says             \
    }
    static const struct step steps[] = {
        GET("", 200, "{\"op\":0,\"name\":\"\""),
        GET("/calls?limit=3", 200, "{\"op\":1,"),
        GET("/servers", 200, "{\"op\":2,"),
        GET("/read_file", 200, "{\"op\":4,\"name\":\"read_file\""),
        POST("", "{\"urn\":\"u\"}", 200, "{\"op\":3,"),
        POST("", "{\"manifest\":{},\"wasm\":\"\"}", 200, "{\"op\":3,"),
        POST("", "{\"manifest\":{}}", 400, "manifest and wasm (base64) go together"),
        POST("", "{}", 400, "either urn or manifest"),
        POST("/t/call", "{\"input\":{\"a\":1},\"timeout\":\"1s\",\"confirmed\":true}", 200,
             "\"body\":{\"input\":{\"a\":1},"),
        POST("/t/call", "{\"input\":[]}", 400, "input: expected an object"),
        POST("/t/call", "{\"timeout\":\"soon\"}", 400, "timeout: expected a duration such as 30s"),
        POST("/t/call", "{\"inputs\":{}}", 400, "nearest: \\\"input\\\""),
        POST("/t/grant", "{\"permissions\":[\"x\"]}", 200, "{\"op\":7,"),
        POST("/t/grant", "{\"permissions\":\"x\"}", 400, "permissions: expected a list"),
        POST("/t/revoke", NULL, 200, "{\"op\":8,"),
        POST("/t/publish", NULL, 200, "{\"op\":9,"),
        POST("/t/eval", NULL, 200, "{\"op\":10,"),
        POST("/t/promote", NULL, 200, "{\"op\":11,"),
        {.method = "DELETE", .target = "/api/tools/t", .status = 200, .contains = "{\"op\":5,"},
        {.before = only_models,
         .method = "POST",
         .target = "/api/tools/t/call",
         .body = "{}",
         .status = 200},
        POST("/t/call", "{\"confirmed\":true}", 403, "scope admin"),
        POST("/t/grant", NULL, 403, "scope admin"),
        GET("", 403, "scope read"),
        {.before = tools_off, .method = "GET", .target = "/api/tools", .status = 503},
        {0},
    };
#undef POST
#undef GET
    struct rig r;
    rig_up(&r);
    run_steps(&r, steps);
    ops.tool = op_tool;
}

static void close_ctl(struct rig *r)
{
    ctl_close(r->ctl);
}

static void tell_flows(struct rig *r)
{
    ctl_flow_event(r->ctl, BYTES("a"), BYTES("{\"type\":\"one\"}"));
    ctl_flow_event(r->ctl, BYTES("slow"), BYTES("{\"type\":\"early\"}"));
    ctl_flow_event(r->ctl, BYTES("other"), BYTES("{\"type\":\"not for a\"}"));
    ctl_flow_progress(r->ctl, BYTES("a"), BYTES("/do/0/x"), BYTES("{\"text\":\"Hel\"}"));
    ctl_flow_changed(r->ctl, &(struct ctl_flow_change){.run = BYTES("a"),
                                                       .status = BYTES("running"),
                                                       .task = BYTES("/do/0/x"),
                                                       .kind = BYTES("started"),
                                                       .open = true});
    for (int i = 0; i < 300; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "many%d", i);
        ctl_flow_changed(r->ctl, &(struct ctl_flow_change){.run = bytes_of(id), .open = true});
    }
}

static void answer_slow(struct rig *r)
{
    ctl_answer(r->slow, 200, BYTES("{\"id\":\"slow\",\"open\":true}"));
}

static void end_flows(struct rig *r)
{
    ctl_flow_changed(r->ctl,
                     &(struct ctl_flow_change){.run = BYTES("a"), .status = BYTES("completed")});
}

static void fill_slow(struct rig *r) // more than its queue holds
{
    struct buf big;
    buf_init(&big, 1 << 20);
    (void)buf_chr(&big, '"');
    for (int i = 0; i < 10000; i++)
        (void)buf_str(&big, "0123456789");
    (void)buf_chr(&big, '"');
    for (int i = 0; i < 20; i++)
        ctl_flow_event(r->ctl, BYTES("slow"), buf_bytes(&big));
    buf_fini(&big);
}

static void close_before_answer(struct rig *r)
{
    ctl_close(r->ctl);
    answer_slow(r);
}

static void test_flow_events(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {.method = "GET", .target = "/api/flows/gone/events", .status = 404},
        {.stream = 1,
         .method = "GET",
         .target = "/api/flows/old/events",
         .contains = "event: end\ndata: {\"id\":\"old\",\"status\":\"completed\"}\n\n",
         .closed = true},
        {.stream = 1,
         .method = "GET",
         .target = "/api/flows/a/events",
         .contains = "event: run\ndata: {\"op\":6,\"id\":\"a\""},
        {.stream = 2, .method = "GET", .target = "/api/flows/slow/events"},
        {.stream = 3, .method = "GET", .target = "/api/events", .contains = "event: state"},
        {.method = "GET", .target = "/api/flows/a/events", .status = 503},
        {.before = tell_flows,
         .stream = 1,
         .contains = "event: flow\ndata: {\"type\":\"one\"}\n\nevent: progress\ndata: "
                     "{\"task\":\"/do/0/x\",\"detail\":{\"text\":\"Hel\"}}\n\n"},
        {.stream = 3,
         .contains = "event: flow\ndata: {\"id\":\"a\",\"status\":\"running\",\"task\":"
                     "\"/do/0/x\",\"kind\":\"started\"}\n\n"},
        {.stream = 3, .contains = "event: flow\ndata: {\"id\":null}\n\n"},
        {.before = answer_slow,
         .stream = 2,
         .contains = "event: run\ndata: {\"id\":\"slow\",\"open\":true}\n\nevent: flow\ndata: "
                     "{\"type\":\"early\"}\n\n"},
        {.before = fill_slow, .stream = 2, .contains = "event: lost\ndata: {}\n\n"},
        {.before = end_flows,
         .stream = 1,
         .contains = "event: end\ndata: {\"id\":\"a\",\"status\":\"completed\"}\n\n",
         .closed = true},
        {.before = close_ctl, .stream = 2, .closed = true},
        {0},
    };
    static const struct step late[] = {
        {.stream = 1, .method = "GET", .target = "/api/flows/slow/events"},
        {.method = "GET", .target = "/api/flows/a", .status = 200},
        {.before = close_before_answer,
         .stream = 1,
         .contains = "the node is ending",
         .closed = true},
        {0},
    };
    struct rig r;
    rig_up(&r);
    run_steps(&r, steps);
    assert_int_equal(bytes_find(buf_bytes(&r.streams[1].text), BYTES("not for a")), -1);
    rig_up(&r);
    run_steps(&r, late);
}

static void test_state(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {.method = "GET", .target = "/api/state", .status = 200, .golden = "state.json"},
        {.method = "GET", .target = "/api/models", .status = 200, .golden = "models.json"},
        {.method = "GET", .target = "/api/models/minilm", .status = 200, .golden = "model.json"},
        {.method = "GET", .target = "/api/detect", .status = 200, .contains = "Test CPU"},
        {.method = "GET", .target = "/api/doctor", .status = 200, .contains = "{\"findings\":[]}"},
        {.before = only_admin,
         .method = "GET",
         .target = "/api/doctor",
         .status = 503,
         .contains = "no look"},
        {.method = "GET", .target = "/api/config", .status = 200, .contains = "tiny-chat"},
        {.method = "GET", .target = "/api/config/schema", .status = 200, .contains = "$schema"},
        {0},
    };
    struct rig r;
    rig_up(&r);
    run_steps(&r, steps);
}

static void model_is_up(struct rig *r)
{
    models_phase(r->models, model(r, "tiny-chat"), "loading", 0.5, now(r));
    op_after(r);
    models_up(r->models, model(r, "tiny-chat"), now(r));
    op_after(r);
}

static void unload_it(struct rig *r)
{
    struct err e = {0};
    (void)models_unload(r->models, model(r, "tiny-chat"), now(r), &e);
    op_after(r);
}

static void test_models(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {.method = "POST",
         .target = "/api/models/tiny-chat/load",
         .status = 202,
         .contains = "\"state\":\"LOADING\""},
        {.stream = 1, .method = "POST", .target = "/api/models/tiny-chat/load?wait=1"},
        {.before = model_is_up, .stream = 1, .contains = "\"state\":\"WARM\"", .closed = true},
        {.method = "POST",
         .target = "/api/models/tiny-chat/load?wait=1",
         .status = 200,
         .contains = "\"state\":\"WARM\""},
        {.method = "POST",
         .target = "/api/models/tiny-chat/pin",
         .status = 202,
         .contains = "\"pinned\":true"},
        {.method = "POST",
         .target = "/api/models/tiny-chat/unpin",
         .status = 202,
         .contains = "\"pinned\":false"},
        {.method = "POST",
         .target = "/api/models/tiny-chat/unload",
         .status = 202,
         .contains = "\"state\":\"UNLOADED\""},
        {.stream = 1, .method = "POST", .target = "/api/models/tiny-chat/load?wait=1"},
        {.method = "GET", .target = "/api/models/tiny-chat", .status = 200, .contains = "LOADING"},
        {.before = unload_it,
         .stream = 1,
         .contains = "was unloaded while it loaded",
         .closed = true},
        {.method = "POST",
         .target = "/api/models/none/load",
         .status = 404,
         .contains = "no model \\\"none\\\""},
        {.stream = 1, .method = "POST", .target = "/api/models/tiny-chat/load?wait=1"},
        {.method = "GET", .target = "/api/models/tiny-chat", .status = 200, .contains = "LOADING"},
        {.before = close_ctl, .stream = 1, .contains = "the node is ending", .closed = true},
        {0},
    };
    struct rig r;
    rig_up(&r);
    run_steps(&r, steps);
}

static void keys_fail(struct rig *r)
{
    r->keys_error = E_NOSPACE;
}
static void keys_work(struct rig *r)
{
    r->keys_error = 0;
}

static void test_keys(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {.method = "GET", .target = "/api/keys", .status = 200, .golden = "keys-none.json"},
        {.method = "POST",
         .target = "/api/keys",
         .body = "{\"name\":\"laptop\"}",
         .status = 201,
         .contains = "\"key\":\"plx_"},
        {.method = "POST",
         .target = "/api/keys",
         .body = "{\"name\":\"ci\",\"scopes\":[\"models\",\"read\"],\"models\":[\"tiny-chat\"],"
                 "\"expires\":\"never\","
                 "\"requests_per_minute\":60,\"tokens_per_minute\":1000,"
                 "\"clearance\":\"confidential:hr,eng\",\"label\":\"internal:eng\"}",
         .status = 201,
         .contains = "\"requests_per_minute\":60"},
        {.method = "GET", .target = "/api/keys", .status = 200, .golden = "keys.json"},
        {.method = "POST",
         .target = "/api/keys",
         .body = "{\"name\":\"x\",\"scops\":[]}",
         .status = 400,
         .contains = "nearest: \\\"scopes\\\""},
        {.method = "POST",
         .target = "/api/keys",
         .body = "{}",
         .status = 400,
         .contains = "name is needed"},
        {.method = "POST",
         .target = "/api/keys",
         .body = "[]",
         .status = 400,
         .contains = "JSON object"},
        {.method = "POST", .target = "/api/keys", .body = "{", .status = 400},
        {.method = "POST", .target = "/api/keys", .status = 400},
        {.method = "POST",
         .target = "/api/keys",
         .body = "{\"name\":\"x\",\"scopes\":[\"root\"]}",
         .status = 400},
        {.method = "POST",
         .target = "/api/keys",
         .body = "{\"name\":\"x\",\"expires\":\"soon\"}",
         .status = 400,
         .contains = "expires"},
        {.method = "POST",
         .target = "/api/keys",
         .body = "{\"name\":\"x\",\"models\":[1]}",
         .status = 400,
         .contains = "list of names"},
        {.method = "POST",
         .target = "/api/keys",
         .body = "{\"name\":\"x\",\"requests_per_minute\":-1}",
         .status = 400,
         .contains = "whole number"},
        {.method = "POST",
         .target = "/api/keys",
         .body = "{\"name\":\"x\",\"clearance\":7}",
         .status = 400,
         .contains = "clearance is a label such as"},
        {.method = "POST",
         .target = "/api/keys",
         .body = "{\"name\":\"x\",\"clearance\":\"internal\",\"label\":\"confidential\"}",
         .status = 400,
         .contains = "the label confidential is above the clearance internal"},
        {.before = keys_fail,
         .method = "POST",
         .target = "/api/keys",
         .body = "{\"name\":\"lost\"}",
         .status = 507,
         .contains = "the key was not made: it cannot be saved: disk full"},
        {.method = "DELETE",
         .target = "/api/keys/laptop",
         .status = 507,
         .contains = "was not removed"},
        {.before = keys_work,
         .method = "GET",
         .target = "/api/keys",
         .status = 200,
         .golden = "keys.json"},
        {.method = "DELETE", .target = "/api/keys/laptop", .status = 200, .contains = "true"},
        {.method = "DELETE", .target = "/api/keys/laptop", .status = 404},
        {0},
    };
    struct rig r;
    rig_up(&r);
    run_steps(&r, steps);
}

static void push_request(struct rig *r)
{
    struct ctl_request q = a_request("r2");
    ctl_request_event(r->ctl, &q, true);
}

static void push_log(struct rig *r)
{
    ctl_log_line(r->ctl, LOG_WARN,
                 BYTES("{\"level\":\"warn\",\"event\":\"x.y\",\"model\":\"minilm\"}"));
}

static void reload_breaks(struct rig *r)
{
    r->reload_error = E_CONFIG;
}

static void test_events(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {.stream = 1,
         .method = "GET",
         .target = "/api/events",
         .contains = "event: state\ndata: {\"node\":{"},
        {.before = push_log, .stream = 1, .contains = "event: log\ndata: {\"level\":\"warn\""},
        {.before = push_request, .stream = 1, .contains = "\"id\":\"r2\""},
        {.stream = 1, .contains = "\"key\":\"laptop\",\"end\":true}\n\n"},
        {.method = "POST", .target = "/api/models/tiny-chat/load", .status = 202},
        {.before = model_is_up,
         .stream = 1,
         .contains = "event: model\ndata: {\"name\":\"tiny-chat\",\"kind\":\"chat\","
                     "\"engine\":\"llama.cpp\",\"state\":\"WARM\""},
        {.stream = 1, .contains = "event: stat\ndata: {\"memory\":{\"budget_bytes\":4000"},
        {.stream = 1, .contains = "event: request\ndata: {\"id\":\"r1\""}, // told each second
        {.method = "POST",
         .target = "/api/config/reload",
         .status = 200,
         .contains = "\"name\":\"coder\""},
        {.stream = 1, .contains = "event: config\ndata: {\"changes\":[{\"what\":\"model\""},
        {.before = reload_breaks,
         .method = "POST",
         .target = "/api/config/reload",
         .status = 400,
         .contains = "plexus.yaml:3:5: models.tiny.idel"},
        {.method = "POST", .target = "/api/down", .status = 202},
        {.before = close_ctl, .stream = 1, .closed = true},
        {.method = "GET", .target = "/api/events", .status = 503, .contains = "the node is ending"},
        {0},
    };
    struct rig r;
    rig_up(&r);
    run_steps(&r, steps);
    assert_true(r.down);
}

static void log_six(struct rig *r) // the ring has room for five
{
    for (int i = 1; i <= 6; i++) {
        char line[80];
        (void)snprintf(line, sizeof line, "{\"n\":%d,\"model\":\"%s\"}", i,
                       i % 2 ? "minilm" : "tiny-chat");
        ctl_log_line(r->ctl, i == 6 ? LOG_ERROR : LOG_INFO, bytes_of(line));
    }
}

static void log_broken(struct rig *r)
{
    ctl_log_line(r->ctl, LOG_INFO, BYTES("{\"n\":7,\n\"text\":\"\\\"model\\\":\\\"minilm\\\"\"}"));
}

static void two_readers(struct rig *r)
{
    struct ctl_stats s;
    ctl_stats(r->ctl, &s);
    if (s.event_readers != 1 || s.log_readers != 2 || s.log_lines != 5)
        broken(r, "wrong stats", BYTES_NONE);
}

static void test_logs(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {.before = log_six,
         .method = "GET",
         .target = "/api/logs",
         .status = 200,
         .golden = "logs.ndjson"},
        {.method = "GET", .target = "/api/logs?lines=1", .status = 200, .golden = "logs-1.ndjson"},
        {.method = "GET",
         .target = "/api/logs?model=minilm&lines=1",
         .status = 200,
         .golden = "logs-minilm.ndjson"},
        {.method = "GET",
         .target = "/api/logs?level=error",
         .status = 200,
         .golden = "logs-1.ndjson"},
        {.method = "GET",
         .target = "/api/logs?lines=x",
         .status = 400,
         .contains = "lines is a number"},
        {.method = "GET",
         .target = "/api/logs?level=loud",
         .status = 400,
         .contains = "level is debug"},
        {.method = "GET", .target = "/api/logs?model=none", .status = 404, .contains = "no model"},
        {.stream = 1, .method = "GET", .target = "/api/logs?follow=1&lines=0&model=minilm"},
        {.stream = 2,
         .method = "GET",
         .target = "/api/logs?follow=1&lines=1",
         .contains = "\"n\":6"},
        {.stream = 3, .method = "GET", .target = "/api/events", .contains = "event: state"},
        {.before = two_readers,
         .method = "GET",
         .target = "/api/logs?follow=1",
         .status = 503,
         .contains = "too many readers"},
        {.before = log_broken, .stream = 2, .contains = "{\"n\":7, \"text\""},
        {.before = push_log, .stream = 1, .contains = "x.y"},
        {.stream = 3, .contains = "event: log\ndata: {\"n\":7, "},
        {.before = close_ctl, .stream = 1, .closed = true},
        {.stream = 2, .closed = true},
        {0},
    };
    struct rig r;
    rig_up(&r);
    run_steps(&r, steps);
}

// ---- a reader that does not read ----------------------------------------------------------------

static void hold(struct rig *r)
{
    http_call_read(r->streams[1].call, false);
}

static void flood(struct rig *r)
{
    r->floods++;
    for (int i = 1; i <= 500; i++) { // 120 KB; the socket holds some 200, the queue 256
        char id[32];
        struct ctl_request q;
        (void)snprintf(id, sizeof id, "flood %d.%d", r->floods, i);
        q = a_request(id);
        ctl_request_event(r->ctl, &q, false);
    }
}

static void release(struct rig *r)
{
    struct ctl_stats s;
    ctl_stats(r->ctl, &s);
    if (s.frames_dropped == 0)
        broken(r, "nothing was dropped", BYTES_NONE);
    buf_clear(&r->streams[1].text);
    http_call_read(r->streams[1].call, true);
}

static void last_word(struct rig *r)
{
    struct ctl_request q = a_request("after the flood");
    ctl_request_event(r->ctl, &q, true);
}

static void test_slow_reader(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {.stream = 1, .method = "GET", .target = "/api/events", .contains = "event: state"},
        {.stream = 2, .method = "GET", .target = "/api/events", .contains = "event: state"},
        {.before = hold, .stream = 1},
        {.before = flood, .stream = 2, .contains = "flood 1.500"}, // the other one is not held up
        {.before = flood, .stream = 2, .contains = "flood 2.500"},
        {.before = flood, .stream = 2, .contains = "flood 3.500"},
        {.before = flood, .stream = 2, .contains = "flood 4.500"},
        {.before = flood, .stream = 2, .contains = "flood 5.500"},
        {.before = flood, .stream = 2, .contains = "flood 6.500"},
        {.before = flood, .stream = 2, .contains = "flood 7.500"},
        {.before = release, .stream = 1, .contains = "event: state\ndata: {\"node\""},
        {.before = last_word, .stream = 1, .contains = "after the flood"},
        {0},
    };
    struct rig r;
    rig_up(&r);
    run_steps(&r, steps);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dispatch),    cmocka_unit_test(test_mesh),
        cmocka_unit_test(test_bus),         cmocka_unit_test(test_state),
        cmocka_unit_test(test_models),      cmocka_unit_test(test_keys),
        cmocka_unit_test(test_events),      cmocka_unit_test(test_logs),
        cmocka_unit_test(test_slow_reader), cmocka_unit_test(test_flows),
        cmocka_unit_test(test_tools),       cmocka_unit_test(test_flow_events),
    };
    return cmocka_run_group_tests_name("ctl", tests, NULL, NULL);
}
