// plan_test.c: what a plan asks for is what activities understand: one document with each kind, by
// the real decider, and no secret in anything that a history would keep. SPDX-License-Identifier:
// Apache-2.0
#include "acts/acts_rig.h"
#include "flow/flow.h"

static const char document[] =
    "document: { dsl: '1.0.3', namespace: test, name: all-kinds, version: '1.0.0' }\n"
    "use:\n"
    "  secrets: [api, pair]\n"
    "  authentications:\n"
    "    keyed: { bearer: { use: api } }\n"
    "    named: { basic: { use: pair } }\n"
    "do:\n"
    "  - plain:\n"
    "      call: http\n"
    "      with: { method: get, endpoint: '%B/pet/{id}', query: { q: '${ .id + 1 }' } }\n"
    "      export: { as: '$context + { plain: . }' }\n"
    "  - keyed:\n"
    "      call: http\n"
    "      with:\n"
    "        method: post\n"
    "        endpoint: { uri: '%B/keyed', authentication: { use: keyed } }\n"
    "        headers: { X-Own: '${ $secrets.api }', X-Auth: '${ $authorization.parameter }' }\n"
    "        body: { a: '${ .id }' }\n"
    "        output: response\n"
    "      export: { as: '$context + { keyed: . }' }\n"
    "  - named:\n"
    "      call: http\n"
    "      with: { method: get, endpoint: { uri: '%B/named', authentication: { use: named } } }\n"
    "  - open:\n"
    "      call: openapi\n"
    "      with:\n"
    "        document: { endpoint: '%B/swagger.json' }\n"
    "        operationId: getPet\n"
    "        parameters: { petId: '${ $workflow.input.id }' }\n"
    "  - shell:\n"
    "      run: { shell: { command: 'cat; echo \"-$1-$KEY\"', stdin: '${ \"in\" }', arguments: ['x "
    "y'],\n"
    "             environment: { KEY: '${ $secrets.api | length }' } } }\n"
    "      output: { as: '{ shell: . }' }\n"
    "      export: { as: '$context + .' }\n"
    "  - script:\n"
    "      run: { script: { language: python, code: 'print(\"${ kept }\")' }, return: all }\n"
    "      output: { as: '{ script: .stdout }' }\n"
    "      export: { as: '$context + .' }\n"
    "  - emitted:\n"
    "      emit: { event: { with: { source: 'https://x/y', type: com.x.y, data: { a: 1 } } } }\n"
    "  - heard:\n"
    "      call: asyncapi\n"
    "      with:\n"
    "        document: { endpoint: '%B/async.json' }\n"
    "        operation: hear\n"
    "        subscription:\n"
    "          filter: '${ .payload.n == $workflow.input.id }'\n"
    "          consume: { amount: 1 }\n"
    "      export: { as: '$context + { heard: . }' }\n"
    "  - asked:\n"
    "      call: a2a\n"
    "      with:\n"
    "        method: message/send\n"
    "        server: '%B/agent'\n"
    "        parameters: { message: { parts: [{ kind: text, text: '${ \"hi\" }' }] } }\n"
    "  - tooled:\n"
    "      call: mcp\n"
    "      with: { method: tools/list, timeout: { seconds: 20 }, transport: { http: { endpoint: "
    "'%B/mcp' } } }\n"
    "  - lost:\n"
    "      try:\n"
    "        - find: { call: http, with: { method: get, endpoint: '%B/none' } }\n"
    "      catch:\n"
    "        errors: { with: { type: "
    "https://serverlessworkflow.io/spec/1.0.0/errors/communication, "
    "status: 404 } }\n"
    "        as: err\n"
    "        do: [{ keep: { set: { error: '${ $err }' } } }]\n"
    "output: { as: '$context + { lost: .error }' }\n";

static void answer(struct rig *r, struct http_exchange *x, struct seen *s)
{
    char text[1000];
    if (strcmp(s->target, "/pet/3?q=4") == 0 || strcmp(s->target, "/api/pet/3") == 0) {
        rig_json(x, 200, "{\"id\":3}");
    } else if (strcmp(s->target, "/keyed") == 0) {
        bool good = strcmp(seen_header(s, "Authorization"), "Bearer s3cr3t-key") == 0 &&
                    strcmp(seen_header(s, "X-Own"), "s3cr3t-key") == 0 &&
                    strcmp(seen_header(s, "X-Auth"), "s3cr3t-key") == 0 &&
                    strcmp(buf_cstr(&s->body), "{\"a\":3}") == 0;
        rig_json(x, good ? 200 : 400, "{\"id\":3}");
    } else if (strcmp(s->target, "/named") == 0) {
        bool good = strcmp(seen_header(s, "Authorization"), "Basic Ym9iOnMzY3IzdC13b3Jk") == 0;
        rig_json(x, good ? 200 : 401, "{\"id\":3}"); // bob:s3cr3t-word
    } else if (strcmp(s->target, "/swagger.json") == 0) {
        (void)snprintf(
            text, sizeof text,
            "{\"swagger\":\"2.0\",\"host\":\"%s\",\"basePath\":\"/api\",\"schemes\":[\"http\"],"
            "\"paths\":{\"/pet/{petId}\":{\"get\":{\"operationId\":\"getPet\",\"parameters\":"
            "[{\"name\":\"petId\",\"in\":\"path\",\"required\":true}]}}}}",
            r->base + 7);
        rig_json(x, 200, text);
    } else if (strcmp(s->target, "/async.json") == 0) {
        (void)snprintf(
            text, sizeof text,
            "{\"asyncapi\":\"3.0.0\",\"servers\":{\"s\":{\"host\":\"%s\",\"protocol\":\"http\"}},"
            "\"channels\":{\"c\":{\"address\":\"/events\"}},\"operations\":{\"hear\":{"
            "\"action\":\"receive\",\"channel\":{\"$ref\":\"#/channels/c\"}}}}",
            r->base + 7);
        rig_json(x, 200, text);
    } else if (strcmp(s->target, "/events") == 0) {
        http_reply(x, 200, "text/event-stream", BYTES_NONE,
                   BYTES("data: {\"n\":1}\n\ndata: {\"n\":3}\n\n"));
    } else if (strcmp(s->target, "/agent") == 0) {
        rig_json(x, 200, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"kind\":\"message\"}}");
    } else if (strcmp(s->target, "/mcp") == 0) {
        bool hello = strstr(buf_cstr(&s->body), "\"initialize\"") != NULL;
        if (strstr(buf_cstr(&s->body), "notifications/"))
            http_reply(x, 202, NULL, BYTES_NONE, BYTES_NONE);
        else
            rig_json(x, 200,
                     hello ? "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"protocolVersion\":"
                             "\"2025-06-18\"}}"
                           : "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"tools\":[]}}");
    } else {
        rig_json(x, 404, "{}");
    }
}

// ---- a run -------------------------------------------------------------------------------------

static struct flow_plan *plan;
static struct flow_run *run;
static struct buf history; // all that was decided and what came back
static struct val *result;
static char folder[64];
static struct job {
    struct act_req req;
    struct flow_event ev;
    char key[32];
    bool used;
} jobs[32];
static struct rig *the_rig;

static void step(enum flow_type type, uint64_t id, struct val *takes_data);

static void keep(const struct flow_event *ev)
{
    (void)flow_event_put(&history, ev);
    (void)buf_chr(&history, '\n');
}

static void job_done(struct act_req *req, int status, struct val *output, struct val *problem,
                     bool final)
{
    struct job *j = req->user;
    uint64_t id = j->ev.id;
    (void) final;
    struct val *data =
        status == 0 ? val_put_cstr(val_obj(), "output", output ? val_ref(output) : val_null())
                    : val_put_cstr(val_obj(), "error", val_ref(problem));
    flow_event_fini(&j->ev);
    j->used = false;
    step(status == 0 ? FLOW_DONE : FLOW_FAILED, id, data);
}

static void begin(const struct flow_event *ev)
{
    struct err e = {0};
    struct job *j = jobs;
    while (j->used)
        j++;
    j->used = true;
    j->ev = *ev;
    j->ev.data = val_ref(ev->data);
    (void)snprintf(j->key, sizeof j->key, "r1/%u", (unsigned)ev->id);
    j->req = (struct act_req){.done = job_done, .user = j};
    struct act_args args = {.kind = val_bytes(val_get_cstr(ev->data, "kind")),
                            .run = BYTES("r1"),
                            .task = val_bytes(val_get_cstr(ev->data, "task")),
                            .key = bytes_of(j->key),
                            .attempt = 1,
                            .timeout_ms = 20000,
                            .args = val_get_cstr(j->ev.data, "args")};
    if (act_start(the_rig->acts, &args, &j->req, &e) < 0)
        fail_msg("%s", e.text);
}

static void step(enum flow_type type, uint64_t id, struct val *takes_data)
{
    struct flow_event ev = {.type = type, .id = id, .at_ms = 1790000000000, .data = takes_data};
    struct flow_out out = {0};
    struct err e = {0};
    keep(&ev);
    if (flow_step(run, &ev, &out, &e) < 0)
        fail_msg("%s", e.text);
    flow_event_fini(&ev);
    for (size_t i = 0; i < out.command_count; i++) {
        const struct flow_event *c = &out.commands[i];
        keep(c);
        if (c->type == FLOW_ACT)
            begin(c);
        else if (c->type == FLOW_YIELD)
            step(FLOW_TICK, 0, val_obj());
        else if (c->type == FLOW_END)
            result = val_ref(c->data);
        else
            fail_msg("%s was not to come", flow_type_name(c->type));
    }
    flow_out_fini(&out);
    if (result && the_rig->acts && the_rig->round == 1) {
        the_rig->round = 2;
        rig_done(the_rig);
    }
}

static void next(struct rig *r, unsigned round)
{
    struct err e = {0};
    struct buf text;
    (void)round;
    the_rig = r;
    buf_init(&text, 100000);
    for (const char *p = document; *p; p++) {
        if (p[0] == '%' && p[1] == 'B')
            (void)buf_str(&text, r->base), p++;
        else
            (void)buf_chr(&text, *p);
    }
    if (flow_plan_new(&plan, buf_bytes(&text), NULL, &e) != 0)
        fail_msg("%s", e.text);
    buf_fini(&text);
    assert_int_equal(flow_run_new(&run, plan, &e), 0);
    step(FLOW_STARTED, 0,
         rig_val(
             "{\"input\":{\"id\":3},\"run\":\"r1\",\"namespace\":\"test\",\"name\":\"all-kinds\","
             "\"version\":\"1.0.0\",\"decider\":1,\"seed\":1}"));
}

static void with_folder(struct rig *r, struct acts_args *args)
{
    (void)r;
    args->folder = folder;
}

static void test_kinds(void **state)
{
    (void)state;
    static struct rig r;
    r.answer = answer;
    r.change = with_folder;
    r.secrets[0][0] = "api";
    r.secrets[0][1] = "s3cr3t-key";
    r.secrets[1][0] = "pair";
    r.secrets[1][1] = "{\"username\":\"bob\",\"password\":\"s3cr3t-word\"}";
    buf_init(&history, 1 << 20);
    rig_run(&r, next);
    const char *told = buf_cstr(&history);
    if (!bytes_is(val_bytes(val_get_cstr(result, "status")), "completed"))
        fail_msg("%s", told);
    const struct val *out = val_get_cstr(result, "output");
    assert_int_equal(val_i64(val_ptr(out, BYTES("/plain/id")), 0), 3);
    assert_int_equal(val_i64(val_ptr(out, BYTES("/keyed/statusCode")), 0), 200);
    assert_string_equal(val_text(val_ptr(out, BYTES("/keyed/request/headers/X-Own")), ""), "***");
    assert_string_equal(val_text(val_get_cstr(out, "shell"), ""), "in-x y-10\n");
    assert_string_equal(val_text(val_get_cstr(out, "script"), ""), "${ kept }\n");
    assert_int_equal(val_i64(val_ptr(out, BYTES("/heard/0/payload/n")), 0), 3);
    assert_int_equal(val_i64(val_ptr(out, BYTES("/lost/status")), 0), 404);
    assert_string_equal(val_text(val_ptr(out, BYTES("/lost/instance")), ""),
                        "/do/10/lost/try/0/find");
    if (strstr(told, "s3cr3t") || strstr(told, "czNjcjN0"))
        fail_msg("a secret is in the history: %s", told);
    val_unref(result);
    flow_run_free(run);
    flow_plan_unref(plan);
    buf_fini(&history);
    rig_fini(&r);
}

static int tests(void)
{
    const struct CMUnitTest all[] = {cmocka_unit_test(test_kinds)};
    (void)snprintf(folder, sizeof folder, "/tmp/plexus-plan-%d", (int)getpid());
    int rc = cmocka_run_group_tests_name("plan", all, NULL, NULL);
    act_folder_remove(folder);
    return rc;
}

int main(int argc, char **argv)
{
    return rig_main(argc, argv, tests);
}
