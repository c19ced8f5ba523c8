// model_test.c: call: model against an API that streams as the node's own does.
// SPDX-License-Identifier: Apache-2.0
#include "acts/acts_rig.h"

static char address[64];

static void with_self(struct rig *r, struct acts_args *args)
{
    (void)snprintf(address, sizeof address, "127.0.0.1:%u", r->port);
    args->self_address = address;
    args->self_key = "plx_test";
}

static void stream(struct http_exchange *x, const char *const *chunks)
{
    http_begin(x, 200, "text/event-stream", BYTES_NONE, HTTP_CHUNKED);
    for (; *chunks; chunks++) {
        struct bytes parts[3] = {BYTES("data: "), bytes_of(*chunks), BYTES("\n\n")};
        (void)http_send(x, parts, 3);
    }
    http_finish(x);
}

#define DELTA(text)                                                                                \
    "{\"model\":\"tiny\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" text "\"}}]}"
#define STOP "{\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}"
#define USAGE "{\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}"

static void answer(struct rig *r, struct http_exchange *x, struct seen *s)
{
    static const char *const plain[] = {DELTA("Hel"), DELTA("lo \xc3\xa9"), STOP, USAGE, "[DONE]",
                                        NULL};
    static const char *const json[] = {DELTA("{\\\"a\\\":"), DELTA(" 1}"), STOP, "[DONE]", NULL};
    static const char *const error[] = {DELTA("a"), "{\"error\":{\"message\":\"the engine died\"}}",
                                        NULL};
    static const char *const cut[] = {"{\"choices\":[]}", NULL};
    static const char *const tools[] = {
        "{\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"c1\",\"type\":"
        "\"function\","
        "\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"x\\\"\"}}]}}]}",
        "{\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\":1}"
        "\"}"
        "}]},\"finish_reason\":\"tool_calls\"}]}",
        NULL};
    const char *body = buf_cstr(&s->body);
    (void)r;
    if (strcmp(s->target, "/v1/embeddings") == 0)
        rig_json(x, 200,
                 "{\"model\":\"e\",\"data\":[{\"embedding\":[1,2]},{\"embedding\":[3,4]}],"
                 "\"usage\":{\"total_tokens\":2}}");
    else if (strstr(body, "\"missing\""))
        rig_json(x, 404, "{\"error\":{\"message\":\"there is no model missing\"}}");
    else if (strstr(body, "\"loading\""))
        rig_json(x, 503, "{\"error\":{\"message\":\"it is loading\"}}");
    else if (strstr(body, "\"dies\""))
        stream(x, error);
    else if (strstr(body, "\"cut\""))
        stream(x, cut);
    else if (strstr(body, "\"tools\""))
        stream(x, tools);
    else if (strstr(body, "\"whole\""))
        rig_json(x, 200,
                 "{\"model\":\"w\",\"choices\":[{\"message\":{\"content\":\"all\"},"
                 "\"finish_reason\":\"stop\"}],\"usage\":{\"total_tokens\":1}}");
    else if (strstr(body, "json_schema"))
        stream(x, json);
    else
        stream(x, plain);
}

#define SCHEMA(type)                                                                               \
    "\"schema\":{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"" type "\"}}}"

static void next(struct rig *r, unsigned round)
{
    static const char *const with[] = {
        "{\"model\":\"tiny\",\"prompt\":\"hi\",\"system\":\"be kind\",\"temperature\":0.5}",
        "{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]," SCHEMA(
            "number") "}",
        "{\"model\":\"tiny\",\"prompt\":\"hi\",\"schema\":{\"format\":\"json\",\"document\":{"
        "\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"}}}}}",
        "{\"model\":\"missing\",\"prompt\":\"hi\"}",
        "{\"model\":\"loading\",\"prompt\":\"hi\"}",
        "{\"model\":\"dies\",\"prompt\":\"hi\"}",
        "{\"model\":\"cut\",\"prompt\":\"hi\"}",
        "{\"model\":\"tiny\",\"prompt\":{\"q\":1},\"tools\":[]}",
        "{\"model\":\"whole\",\"prompt\":\"hi\"}",
        "{\"model\":\"e\",\"input\":\"text\"}",
        "{\"model\":\"e\",\"input\":[\"a\",\"b\"]}",
        "{\"prompt\":\"hi\"}",
        "{\"model\":\"tiny\"}",
        "{\"model\":\"whole\",\"prompt\":\"hi\"," SCHEMA("number") "}",
        "{\"model\":\"tiny\",\"prompt\":\"hi\",\"schema\":{\"type\":7}}",
    };
    if (round < sizeof with / sizeof *with)
        (void)rig_do(r, "model", with[round], 0);
    else
        rig_done(r);
}

static void test_model(void **state)
{
    (void)state;
    static struct rig r;
    r.answer = answer;
    r.change = with_self;
    r.label = "internal";
    rig_run(&r, next);
    gave(&r.ones[0],
         "{\"content\":\"Hello \xc3\xa9\",\"model\":\"tiny\",\"usage\":{\"prompt_tokens\":"
         "3,\"completion_tokens\":2},\"finish\":\"stop\"}");
    assert_true(r.ones[0].beats >= 1);
    assert_string_equal(r.seen[0].target, "/v1/chat/completions");
    assert_string_equal(seen_header(&r.seen[0], "Authorization"), "Bearer plx_test");
    assert_string_equal(seen_header(&r.seen[0], "Idempotency-Key"), "run-1/7");
    assert_string_equal(seen_header(&r.seen[0], "X-Plexus-Label"), "internal");
    AUTO(val) sent = rig_val(buf_cstr(&r.seen[0].body));
    AUTO(val)
    want = rig_val(
        "{\"model\":\"tiny\",\"temperature\":0.5,\"messages\":[{\"role\":\"system\",\"content\":"
        "\"be "
        "kind\"},{\"role\":\"user\",\"content\":\"hi\"}],\"stream\":true,\"stream_options\":{"
        "\"include_usage\":true}}");
    assert_true(val_equal(sent, want));
    gave(&r.ones[1], "{\"content\":{\"a\":1},\"text\":\"{\\\"a\\\": 1}\",\"model\":\"tiny\","
                     "\"finish\":\"stop\"}");
    assert_non_null(
        strstr(buf_cstr(&r.seen[1].body), "\"response_format\":{\"type\":\"json_schema\""));
    failed(&r.ones[2], "validation", 400, false, "does not fit the schema: /a: ");
    failed(&r.ones[3], "configuration", 404, true, "there is no model missing");
    failed(&r.ones[4], "communication", 503, false, "it is loading");
    failed(&r.ones[5], "communication", 502, false, "the engine died");
    failed(&r.ones[6], "communication", 500, false, "cut");
    gave(&r.ones[7],
         "{\"content\":\"\",\"model\":\"tiny\",\"finish\":\"tool_calls\",\"tool_calls\":[{"
         "\"index\":0,\"id\":\"c1\",\"type\":\"function\",\"function\":{\"name\":\"f\","
         "\"arguments\":\"{\\\"x\\\":1}\"}}]}");
    gave(&r.ones[8],
         "{\"content\":\"all\",\"model\":\"w\",\"usage\":{\"total_tokens\":1},\"finish\":"
         "\"stop\"}");
    gave(&r.ones[9], "{\"embedding\":[1,2],\"embeddings\":[[1,2],[3,4]],\"model\":\"e\",\"usage\":{"
                     "\"total_tokens\":2}}");
    gave(&r.ones[10],
         "{\"embeddings\":[[1,2],[3,4]],\"model\":\"e\",\"usage\":{\"total_tokens\":2}}");
    failed(&r.ones[11], "configuration", 400, true, "model: NAME");
    failed(&r.ones[12], "configuration", 400, true, "messages or prompt");
    failed(&r.ones[13], "validation", 400, false, "is not JSON");
    failed(&r.ones[14], "configuration", 400, true, "schema");
    val_unref(steal(&sent));
    val_unref(steal(&want));
    rig_fini(&r);
}

// No node to ask, and kinds that nobody has.
static void next_none(struct rig *r, unsigned round)
{
    struct err e = {0};
    struct act_req req = {.done = one_done};
    struct act_args args = {.kind = BYTES("teleport"), .timeout_ms = TIME_NEVER};
    if (round == 0) {
        assert_int_equal(act_start(r->acts, &args, &req, &e), E_NOTFOUND);
        assert_non_null(strstr(e.text, "teleport"));
        (void)rig_do(r, "model", "{\"model\":\"m\",\"prompt\":\"hi\"}", 0);
        (void)rig_do(r, "tool", "{}", 0);
        (void)rig_do(r, "agent", "{}", 0);
    } else {
        rig_done(r);
    }
}

static void test_none(void **state)
{
    (void)state;
    static struct rig r;
    struct acts_kind k;
    r.answer = answer;
    rig_run(&r, next_none);
    failed(&r.ones[0], "configuration", 400, true, "no API");
    failed(&r.ones[1], "configuration", 501, true, "no tools where it runs");
    failed(&r.ones[2], "configuration", 400, true, "call: agent");
    size_t i = 0;
    while (acts_kind(i, &k))
        assert_true(k.name[0] && k.what[strlen(k.what) - 1] == '.'), i++;
    assert_true(i >= 7);
    rig_fini(&r);
}

static int tests(void)
{
    const struct CMUnitTest all[] = {
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_none),
    };
    return cmocka_run_group_tests_name("model", all, NULL, NULL);
}

int main(int argc, char **argv)
{
    return rig_main(argc, argv, tests);
}
