// cli_test.c: commands from argv to output and exit code, against a small server of our own in a
// child process. SPDX-License-Identifier: Apache-2.0
#include "cli/cli_test_rig.h"

#define MODEL_WARM_JSON                                                                            \
    "{\"name\":\"tiny-chat\",\"kind\":\"chat\",\"engine\":\"llama.cpp\",\"state\":\"WARM\","       \
    "\"phase\":\"\","                                                                              \
    "\"share\":-1,\"eta_ms\":-1,\"pinned\":true,\"remote\":false,\"active\":1,\"waiting\":2,"      \
    "\"memory_bytes\":12582912,\"memory_measured\":true,\"context\":1024,\"idle_left_ms\":-1,"     \
    "\"loads\":1,"                                                                                 \
    "\"failure\":\"\"}"
#define MODELS_JSON                                                                                \
    "[" MODEL_WARM_JSON                                                                            \
    ",{\"name\":\"minilm\",\"kind\":\"embedding\",\"engine\":\"llama.cpp\",\"state\":\"LOADING\"," \
    "\"phase\":\"loading\",\"share\":0.25,\"eta_ms\":2500,\"memory_bytes\":46000000,\"loads\":0}"  \
    ",{\"name\":\"b\\u00e4r\",\"kind\":\"chat\",\"engine\":\"command\",\"state\":\"FAILED\","      \
    "\"failure\":\"the engine exited with code 1\\nmore\",\"memory_bytes\":0,\"loads\":3}"         \
    ",{\"name\":\"cloud\",\"kind\":\"chat\",\"engine\":\"remote\",\"state\":\"WARM\",\"remote\":"  \
    "true}]"

static const struct answer answers[] = {
    {"GET", "/api/state", 200, "application/json",
     "{\"node\":{\"name\":\"aipc\",\"context\":\"dev.aipc.node1\",\"pid\":1,\"uptime_ms\":61000,"
     "\"address\":\"http://127.0.0.1:8000\",\"ready\":true,\"draining\":false},"
     "\"memory\":{\"budget_bytes\":1073741824,\"used_bytes\":12582912},\"models\":" MODELS_JSON
     ",\"requests\":[{\"id\":\"0123456789abcdef\",\"model\":\"tiny-chat\",\"path\":\"/v1/chat/"
     "completions\","
     "\"state\":\"running\",\"age_ms\":1500,\"tokens\":12,\"tokens_per_s\":80.5,\"key\":\"laptop\"}"
     "]}",
     NULL},
    {"GET", "/api/models", 200, "application/json", "{\"models\":" MODELS_JSON "}", NULL},
    {"GET", "/api/models/tiny-chat", 200, "application/json", MODEL_WARM_JSON, NULL},
    {"POST", "/api/models/tiny-chat/load", 200, "application/json", MODEL_WARM_JSON, NULL},
    {"POST", "/api/models/a%2Fb/pin", 202, "application/json", MODEL_WARM_JSON, NULL},
    {"GET", "/api/keys", 200, "application/json",
     "{\"keys\":[{\"id\":\"0123456789ab\",\"name\":\"lap\\u001btop\",\"scopes\":[\"models\","
     "\"read\"],"
     "\"models\":null,\"created\":\"2026-01-01T00:00:00.000Z\",\"expires\":\"2026-02-01T00:00:00."
     "000Z\","
     "\"used\":null,\"requests\":5,\"tokens\":60}]}",
     NULL},
    {"POST", "/api/keys", 201, "application/json", "{\"key\":\"plx_text\",\"id\":\"0123456789ab\"}",
     NULL},
    {"DELETE", "/api/keys/none", 404, "application/json",
     "{\"error\":{\"message\":\"no key "
     "none\",\"type\":\"x\",\"param\":null,\"code\":\"notfound\"}}",
     NULL},
    {"GET", "/api/logs", 200, "application/x-ndjson",
     "{\"time\":\"2026-01-01T12:00:00.123Z\",\"level\":\"info\",\"event\":\"engine.line\","
     "\"model\":\"tiny-chat\",\"engine\":\"llama.cpp\",\"fd\":2,\"line\":\"ready "
     "\\u001b[31mred\"}\n"
     "{\"time\":\"2026-01-01T12:00:01.000Z\",\"level\":\"warn\",\"event\":\"gate.slow\",\"ms\":5,"
     "\"who\":\"x\"}\n"
     "not JSON\n",
     NULL},
    {"POST", "/api/config/reload", 400, "application/json",
     "{\"error\":{\"message\":\"plexus.yaml:1:1: "
     "bad\",\"type\":\"x\",\"param\":null,\"code\":\"config\"}}",
     NULL},
    {"POST", "/v1/chat/completions", 200, "text/event-stream",
     ": loading\n\ndata: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n"
     "data: {\"choices\":[{\"delta\":{\"content\":\"Hello \"}}]}\n\n"
     "data: "
     "{\"choices\":[{\"delta\":{\"content\":\"w\\u00f6rld\"},\"finish_reason\":\"stop\"}]}\n\n"
     "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\ndata: "
     "[DONE]\n\n",
     NULL},
    {"POST", "/api/down", 401, "application/json",
     "{\"error\":{\"message\":\"no key\",\"type\":\"x\",\"param\":null,\"code\":\"unauth\"}}",
     NULL},
    {NULL, NULL, 0, NULL, NULL, NULL},
};

static const struct test_case cases[] = {
    {{"ps"}, 0, "ps.txt", NULL, NULL},
    {{"ps", "--all"}, 0, "ps-all.txt", NULL, NULL},
    {{"--json", "ps"}, 0, NULL, "{\"node\":{\"name\":\"aipc\"", NULL},
    {{"models"}, 0, "models.txt", NULL, NULL},
    {{"models", "ls", "-q"}, 0, "models-quiet.txt", NULL, NULL},
    {{"models", "load", "tiny-chat"},
     0,
     NULL,
     "tiny-chat: WARM, 1 running, 2 waiting, pinned\n",
     NULL},
    {{"models", "pin", "a/b"}, 0, NULL, "tiny-chat: WARM", NULL},
    {{"models", "load", "nope"}, 66, NULL, NULL, "plexus: nothing here\n"},
    {{"models", "load"}, 64, NULL, NULL, "MODEL is missing"},
    {{"models", "load", "a", "b"}, 64, NULL, NULL, "\"b\" is one word too many"},
    {{"models", "lod"}, 64, NULL, NULL, "unknown command \"lod\"; nearest: load"},
    {{"key"}, 0, "keys.txt", NULL, NULL},
    {{"key", "new", "x", "--scopes", "models,read"}, 0, NULL, "plx_text\n", NULL},
    {{"key", "new", "x", "--requests-per-minute", "many"}, 64, NULL, NULL, "whole number from 0"},
    {{"key", "rm", "none"}, 66, NULL, NULL, "plexus: no key none\n"},
    {{"key", "rm", "none", "--json"},
     66,
     NULL,
     NULL,
     "{\"error\":{\"message\":\"no key none\",\"code\":\"E_NOTFOUND\",\"exit\":66}}"},
    {{"logs", "tiny-chat", "-n", "5"}, 0, "logs.txt", NULL, NULL},
    {{"logs", "--json"}, 0, NULL, "\"event\":\"gate.slow\"", NULL},
    {{"config", "reload"}, 78, NULL, NULL, "plexus.yaml:1:1: bad"},
    {{"run", "tiny-chat", "Hi"}, 0, "run.txt", NULL, NULL},
    {{"run", "tiny-chat", "-v", "Hi"}, 0, "run.txt", NULL, "3 tokens in, 2 out"},
    {{"run", "tiny-chat", "Hi", "--json"},
     0,
     NULL,
     "\"content\":\"Hello w\xc3\xb6rld\",\"finish_reason\":\"stop\"",
     NULL},
    {{"run", "tiny-chat"}, 64, NULL, NULL, "nothing to ask"},
    {{"run", "tiny-chat", "-t", "hot", "Hi"}, 64, NULL, NULL, "--temperature is a number"},
    {{"bench", "tiny-chat", "-n", "6", "-c", "3"},
     0,
     NULL,
     "tiny-chat: 6 requests, 3 at once",
     NULL},
    {{"bench", "tiny-chat", "-n", "2", "--json"},
     0,
     NULL,
     "\"requests\":2,\"failures\":0,\"concurrency\":1",
     NULL},
    {{"bench", "tiny-chat", "-n", "0"}, 64, NULL, NULL, "--requests is a whole number from 1"},
    {{"down"}, 77, NULL, NULL, "PLEXUS_API_KEY"},
    {{"ps", "--data", "/nowhere"},
     69,
     NULL,
     NULL,
     "no node is running here (/nowhere/run/plexus.sock): start one with `plexus up`"},
    {{"ps", "--node", "ftp://x"}, 64, NULL, NULL, "--node: bad address \"ftp://x\""},
    {{"ps", "--node", "http://127.0.0.1:1"}, 69, NULL, NULL, "http://127.0.0.1:1: connect"},
    {{"up"}, 69, NULL, NULL, "built without the node"},
    {{NULL}, 64, NULL, NULL, "usage: plexus COMMAND"},
    {{"config"}, 64, NULL, NULL, "usage: plexus config COMMAND"},
    {{"nothing"}, 64, NULL, NULL, "unknown command \"nothing\""},
    {{"ps", "--jsn"}, 64, NULL, NULL, "nearest: --json"},
    {{"version"}, 0, NULL, "plexus " PLEXUS_VERSION "\n", NULL},
    {{"-V"}, 0, NULL, "plexus " PLEXUS_VERSION "\n", NULL},
    {{"version", "--json"}, 0, NULL, "{\"version\":\"" PLEXUS_VERSION "\"", NULL},
    {{"help"}, 0, "help.txt", NULL, NULL},
    {{"help", "models"}, 0, "help-models.txt", NULL, NULL},
    {{"models", "load", "-h"}, 0, "help-models-load.txt", NULL, NULL},
    {{"help", "modls"}, 64, NULL, NULL, "nearest: models"},
    {{"help", "--json"}, 0, NULL, "{\"name\":\"ps\",\"summary\":", NULL},
    {{"man"}, 0, "plexus.1", NULL, NULL},
    {{"completion", "bash"}, 0, "completion.bash", NULL, NULL},
    {{"completion", "zsh"}, 0, NULL, "#compdef plexus\n", NULL},
    {{"completion", "fish"}, 0, "completion.fish", NULL, NULL},
    {{"completion", "fsh"}, 64, NULL, NULL, "unknown shell \"fsh\"; nearest: "},
    {{"config", "schema"}, 0, NULL, "\"$schema\"", NULL},
};

static void test_commands(void **state)
{
    (void)state;
    check_cases(cases, sizeof cases / sizeof *cases);
}

static void test_config_check(void **state)
{
    (void)state;
    char good[100], bad[100];
    struct buf out, err;
    struct err e = {0};
    (void)snprintf(good, sizeof good, "%s/good.yaml", the_folder);
    (void)snprintf(bad, sizeof bad, "%s/bad.yaml", the_folder);
    assert_int_equal(file_write_atomic(good, BYTES("node: { name: aipc }\n"), 0600, &e), 0);
    assert_int_equal(file_write_atomic(bad, BYTES("nodes: { name: aipc }\n"), 0600, &e), 0);
    buf_init(&out, CLI_TEXT_MAX);
    buf_init(&err, CLI_TEXT_MAX);
    assert_int_equal(run((const char *[]){"config", "check", good, NULL}, &out, &err), 0);
    assert_non_null(strstr(buf_cstr(&out), "is valid"));
    buf_clear(&out);
    assert_int_equal(run((const char *[]){"config", "check", "-c", bad, NULL}, &out, &err), 78);
    assert_non_null(strstr(buf_cstr(&err), "bad.yaml:1:1: "));
    buf_clear(&out);
    assert_int_equal(run((const char *[]){"config", "check", bad, "--json", NULL}, &out, &err), 78);
    assert_non_null(strstr(buf_cstr(&out), "\"valid\":false,\"findings\":[\""));
    buf_clear(&out);
    assert_int_equal(run((const char *[]){"config", "show", good, NULL}, &out, &err), 0);
    assert_non_null(strstr(buf_cstr(&out), "aipc"));
    buf_fini(&out);
    buf_fini(&err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands),
        cmocka_unit_test(test_config_check),
    };
    the_answers = answers;
    return cmocka_run_group_tests_name("cli", tests, set_up, tear_down);
}
