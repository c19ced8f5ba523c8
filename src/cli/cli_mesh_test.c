// cli_mesh_test.c: the commands of the mesh from argv to output and exit code.
// SPDX-License-Identifier: Apache-2.0
#include "cli/cli_test_rig.h"
#include <sys/stat.h>

#define SELF_JSON                                                                                  \
    "{\"name\":\"one\",\"id\":\"spiffe://home.internal/node/one\",\"self\":true,"                  \
    "\"context\":\"dev.aipc.one\",\"environment\":\"dev\",\"state\":\"alive\",\"draining\":false," \
    "\"profile\":\"server\",\"roles\":[\"chat\",\"embed\"],\"addresses\":[\"10.9.0.1:7946\"],"     \
    "\"clearance\":\"restricted:*\",\"version\":\"0.1.0\",\"boot\":1,\"seq\":4,\"heard_ms\":0,"    \
    "\"since_ms\":61000,\"rtt_us\":0,\"active\":1,\"waiting\":2,\"in_flight\":0,"                  \
    "\"memory_free\":1061158912,\"requests\":0,\"failures\":0,\"breaker_open\":false,"             \
    "\"models\":[{\"name\":\"tiny-chat\",\"kind\":\"chat\",\"state\":\"WARM\",\"active\":1}],"     \
    "\"engines\":[{\"name\":\"llama.cpp\"}],\"services\":[],\"queues\":[]}"
#define OTHERS_JSON                                                                                \
    ",{\"name\":\"two\",\"id\":\"spiffe://home.internal/node/two\",\"self\":false,"                \
    "\"context\":\"dev.aipc.two\",\"environment\":\"dev\",\"state\":\"alive\",\"draining\":true,"  \
    "\"profile\":\"server\",\"roles\":[],\"addresses\":[\"10.9.0.2:7946\"],"                       \
    "\"clearance\":\"internal\",\"version\":\"0.1.0\",\"heard_ms\":31,\"rtt_us\":412,"             \
    "\"active\":0,\"waiting\":0,\"in_flight\":1,\"memory_free\":2147483648,\"requests\":40,"       \
    "\"failures\":1,\"breaker_open\":true,\"models\":["                                            \
    "{\"name\":\"b\\u00e4r\",\"kind\":\"chat\",\"state\":\"UNLOADED\",\"context\":4096},"          \
    "{\"name\":\"tiny-chat\",\"kind\":\"chat\",\"state\":\"WARM\",\"active\":3,\"waiting\":1},"    \
    "{\"name\":\"a\",\"state\":\"UNLOADED\"},{\"name\":\"b\",\"state\":\"UNLOADED\"}]}"            \
    ",{\"name\":\"three\",\"id\":\"spiffe://home.internal/node/three\",\"self\":false,"            \
    "\"context\":\"dev.aipc.three\",\"environment\":\"dev\",\"state\":\"suspect\","                \
    "\"profile\":\"edge\",\"roles\":[\"edge\"],\"addresses\":[\"10.9.0.3:7946\"],"                 \
    "\"version\":\"0.1.0\",\"heard_ms\":733,\"rtt_us\":18500,"                                     \
    "\"models\":[{\"name\":\"only-there\",\"kind\":\"chat\",\"state\":\"LOADING\"}]}"              \
    ",{\"name\":\"four\",\"id\":\"spiffe://home.internal/node/four\",\"self\":false,"              \
    "\"context\":\"prod.aipc.four\",\"environment\":\"prod\",\"state\":\"dead\",\"roles\":[],"     \
    "\"addresses\":[],\"version\":\"0.1.0\",\"heard_ms\":65000,\"rtt_us\":300,"                    \
    "\"models\":[{\"name\":\"lost\",\"kind\":\"chat\",\"state\":\"WARM\"}]}"
#define MESH_JSON                                                                                  \
    "{\"joined\":true,\"trust_domain\":\"home.internal\",\"self\":\"one\","                        \
    "\"context\":\"dev.aipc.one\",\"environment\":\"dev\",\"authority\":\"one\","                  \
    "\"standby\":\"two\",\"is_authority\":true,\"epoch\":3,\"svid\":{"                             \
    "\"id\":\"spiffe://home.internal/node/one\",\"serial\":\"5f01\","                              \
    "\"not_before\":\"2026-01-01T12:00:00Z\",\"expires\":\"2026-01-01T13:00:00Z\"},"               \
    "\"listen\":\"10.9.0.1:7946\",\"nodes\":[" SELF_JSON OTHERS_JSON "],\"traffic\":["             \
    "{\"from\":\"one\",\"to\":\"two\",\"model\":\"tiny-chat\",\"active\":1,\"requests\":40,"       \
    "\"style\":\"primary\",\"domain\":\"cognitive\"}]}"
#define STATE_JSON                                                                                 \
    "{\"node\":{\"name\":\"one\",\"context\":\"dev.aipc.one\",\"version\":\"0.1.0\",\"pid\":1,"    \
    "\"uptime_ms\":61000,\"address\":\"http://127.0.0.1:8000\",\"ready\":true,"                    \
    "\"draining\":false},\"memory\":{\"budget_bytes\":1073741824,\"used_bytes\":268435456},"       \
    "\"models\":" OWN_MODELS_JSON ",\"requests\":[{\"id\":\"0123456789abcdef\","                   \
    "\"model\":\"tiny-chat\",\"path\":\"/v1/chat/completions\",\"state\":\"running\","             \
    "\"age_ms\":1500,\"tokens\":12,\"tokens_per_s\":80.5,\"key\":\"laptop\"}],"                    \
    "\"totals\":{\"requests\":52,\"errors\":1,\"tokens_in\":900,\"tokens_out\":4000,"              \
    "\"connections\":3,\"requests_per_s\":2.5}}"
#define OWN_MODELS_JSON                                                                            \
    "[{\"name\":\"tiny-chat\",\"kind\":\"chat\",\"engine\":\"llama.cpp\",\"state\":\"WARM\","      \
    "\"active\":1,\"waiting\":2,\"memory_bytes\":12582912,\"memory_measured\":true,"               \
    "\"context\":1024,\"idle_left_ms\":-1,\"loads\":1}]"
#define TYPE "application/json"
#define ERROR_JSON(code, text)                                                                     \
    "{\"error\":{\"message\":\"" text "\",\"type\":\"x\",\"param\":null,\"code\":\"" code "\"}}"

static const struct answer answers[] = {
    {"GET", "/api/mesh", 200, TYPE, MESH_JSON, NULL},
    {"GET", "/api/state", 200, TYPE, STATE_JSON, NULL},
    {"GET", "/api/models", 200, TYPE, "{\"models\":" OWN_MODELS_JSON "}", NULL},
    {"GET", "/api/events", 200, "text/event-stream",
     "event: state\ndata: " STATE_JSON "\n\nevent: mesh\ndata: " MESH_JSON
     "\n\nevent: log\ndata: {}\n\nevent: mesh\ndata: {\"joined\":false,\"self\":\"one\","
     "\"environment\":\"dev\",\"nodes\":[" SELF_JSON "],\"traffic\":[]}\n\n",
     NULL},
    {"POST", "/api/mesh/init", 201, TYPE,
     "{\"trust_domain\":\"home.internal\",\"id\":\"spiffe://home.internal/node/one\","
     "\"fingerprint\":\"ab:cd\",\"listen\":\"10.9.0.1:7946\"}",
     "{\"trust_domain\":\"home.internal\",\"listen\":\"10.9.0.1:7946\",\"svid_ttl\":\"30m\"}"},
    {"POST", "/api/mesh/leave", 200, TYPE, "{\"left\":true,\"note\":\"nobody heard\"}", NULL},
    {"POST", "/api/mesh/standby", 200, TYPE, "{}", "{\"node\":\"two\"}"},
    {"POST", "/api/mesh/svid", 200, TYPE,
     "{\"id\":\"spiffe://home.internal/agent/x\",\"cert_pem\":\"CERT\\n\",\"key_pem\":\"KEY\\n\","
     "\"bundle_pem\":\"BUNDLE\\n\",\"token\":\"a.b.c\",\"expires\":\"2026-01-01T13:00:00Z\"}",
     "{\"id\":\"agent/x\",\"type\":"},
    {"GET", "/api/mesh/tokens", 200, TYPE,
     "{\"tokens\":[{\"id\":\"7c1d\",\"name\":\"two\",\"expires\":\"2026-01-01T12:10:00Z\","
     "\"roles\":[\"chat\","
     "\"embed\"],\"clearance\":\"internal\",\"environment\":\"dev\",\"used_by\":null}]}",
     NULL},
    {"POST", "/api/mesh/tokens", 201, TYPE,
     "{\"token\":\"plxj_secret\",\"expires\":\"2026-01-01T12:10:00Z\",\"command\":\"plexus join "
     "10.9.0.1:7946 plxj_secret\"}",
     "{\"ttl\":\"5m\",\"roles\":[\"chat\",\"embed\",\"gpu\"],\"clearance\":\"confidential:eng\","
     "\"environment\":\"dev\",\"name\":\"two\"}"},
    {"DELETE", "/api/mesh/tokens/7c1d", 200, TYPE, "{}", NULL},
    {"DELETE", "/api/mesh/tokens/none", 404, TYPE, ERROR_JSON("notfound", "no token none"), NULL},
    {"POST", "/api/mesh/join", 200, TYPE,
     "{\"id\":\"spiffe://home.internal/node/two\",\"trust_domain\":\"home.internal\",\"nodes\":2}",
     "{\"address\":\"10.9.0.1:7946\",\"token\":\"plxj_secret\",\"name\":\"two\",\"listen\":"
     "\"10.9.0.2:7946\"}"},
    {"DELETE", "/api/mesh/nodes/two", 200, TYPE, "{}", NULL},
    {"POST", "/api/mesh/nodes/two/drain", 200, TYPE, "{}", NULL},
    {"POST", "/api/mesh/nodes/two/undrain", 204, TYPE, "", NULL},
    {"DELETE", "/api/mesh/nodes/one", 409, TYPE,
     ERROR_JSON("conflict", "one is the authority: name a standby first"), NULL},
    {"GET", "/api/resolve", 200, TYPE,
     "{\"name\":\"tiny-chat\",\"found\":[{\"node\":\"one\",\"kind\":\"model\",\"address\":null,"
     "\"step\":\"registry.local.hostname\"}],\"steps\":[{\"step\":\"registry.local.hostname\","
     "\"looked\":\"model tiny-chat on one\",\"result\":\"found\"},{\"step\":"
     "\"registry.context.cluster\",\"looked\":\"\",\"result\":\"not needed\"}]}",
     "name=tiny-chat"},
    {NULL, NULL, 0, NULL, NULL, NULL},
};

static const struct test_case cases[] = {
    {{"nodes"}, 0, "nodes.txt", NULL, NULL},
    {{"nodes", "ls", "-q"}, 0, NULL, "one\ntwo\nthree\nfour\n", NULL},
    {{"nodes", "--json"}, 0, NULL, "{\"joined\":true", NULL},
    {{"nodes", "--watch"}, 69, "nodes-watch.txt", NULL, "the node has ended"},
    {{"nodes", "--watch", "--json"}, 69, NULL, "}\n{\"joined\":false", NULL},
    {{"nodes", "drain", "two"}, 0, NULL, "two gets no new work", NULL},
    {{"nodes", "undrain", "two"}, 0, NULL, "two gets work again\n", NULL},
    {{"nodes", "undrain", "two", "--json"}, 0, NULL, "{}\n", NULL},
    {{"nodes", "rm", "two"}, 0, NULL, "two is removed from the mesh\n", NULL},
    {{"nodes", "rm", "one"}, 75, NULL, NULL, "plexus: one is the authority: name a standby"},
    {{"nodes", "rm"}, 64, NULL, NULL, "NODE is missing"},
    {{"models"}, 0, "mesh-models.txt", NULL, NULL},
    {{"models", "ls", "-q"}, 0, "mesh-models-quiet.txt", NULL, NULL},
    {{"ps"}, 0, "mesh-ps.txt", NULL, NULL},
    {{"top"}, 0, "top.txt", NULL, NULL},
    {{"top", "--json"}, 0, NULL, "\"requests_per_s\":2.5}},\"mesh\":{\"joined\":true", NULL},
    {{"mesh"}, 0, "mesh.txt", NULL, NULL},
    {{"mesh", "show", "--json"}, 0, NULL, "{\"joined\":true", NULL},
    {{"mesh", "init", "--domain", "home.internal", "--listen", "10.9.0.1:7946", "--svid-ttl",
      "30m"},
     0,
     "mesh-init.txt",
     NULL,
     NULL},
    {{"mesh", "leave"}, 0, NULL, "has left the mesh", "nobody heard\n"},
    {{"mesh", "standby", "two"}, 0, NULL, "two may sign", NULL},
    {{"mesh", "svid", "agent/x"}, 0, NULL, "CERT\nKEY\nBUNDLE\n", NULL},
    {{"mesh", "svid", "agent/x", "--jwt", "-a", "p"}, 0, NULL, "a.b.c\n", NULL},
    {{"mesh", "svid", "agent/x", "--jwt"}, 0, NULL, "a.b.c\n", NULL},
    {{"mesh", "svid", "agent/x", "--audience", "p"},
     64,
     NULL,
     NULL,
     "--audience and --scopes belong to --jwt"},
    {{"token", "new", "--ttl", "5m", "-r", "chat,embed", "-r", "gpu",
      "--clearance=confidential:eng", "-e", "dev", "-nt"},
     65,
     NULL,
     NULL,
     "confidential:eng"},
    {{"token", "new", "-t5m", "-rchat,embed", "-r", "gpu", "--clearance=confidential:eng",
      "--environment", "dev", "--name=two"},
     0,
     NULL,
     "plxj_secret\n",
     "until 2026-01-01T12:10:00Z, once: plexus join 10.9.0.1:7946 plxj_secret\n"},
    {{"token"}, 0, "tokens.txt", NULL, NULL},
    {{"token", "rm", "7c1d"}, 0, NULL, "7c1d is withdrawn\n", NULL},
    {{"token", "rm", "none"}, 66, NULL, NULL, "plexus: no token none\n"},
    {{"join", "10.9.0.1:7946", "plxj_secret", "--name", "two", "--listen", "10.9.0.2:7946"},
     0,
     NULL,
     "joined home.internal as spiffe://home.internal/node/two\n2 nodes now",
     NULL},
    {{"join", "10.9.0.1:7946"}, 64, NULL, NULL, "see `plexus help join`"},
    {{"join", "10.9.0.1:7946", "-"}, 64, NULL, NULL, "standard input has no token"},
    {{"resolve", "tiny-chat"}, 0, NULL, "NODE  KIND   ADDRESS  FOUND BY\none   model  -", NULL},
    {{"resolve", "tiny-chat", "--kind", "model", "--explain"}, 0, "resolve.txt", NULL, NULL},
    {{"help", "nodes"}, 0, "help-nodes.txt", NULL, NULL},
    {{"help", "mesh"}, 0, "help-mesh.txt", NULL, NULL},
};

static void test_commands(void **state)
{
    (void)state;
    check_cases(cases, sizeof cases / sizeof *cases);
}

static void check_file(const char *name, const char *want, mode_t mode)
{
    char path[160];
    struct stat st;
    struct buf got;
    buf_init(&got, CLI_TEXT_MAX);
    (void)snprintf(path, sizeof path, "%s/%s", the_folder, name);
    take(name, &got);
    assert_string_equal(buf_cstr(&got), want);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, mode);
    (void)unlink(path);
    buf_fini(&got);
}

static void test_svid_files(void **state)
{
    char folder[100];
    struct buf out, err;
    (void)state;
    (void)snprintf(folder, sizeof folder, "%s/svid", the_folder);
    buf_init(&out, CLI_TEXT_MAX);
    buf_init(&err, CLI_TEXT_MAX);
    assert_int_equal(
        run((const char *[]){"mesh", "svid", "agent/x", "--out", folder, NULL}, &out, &err), 0);
    assert_string_equal(buf_cstr(&out), "");
    check_file("svid/cert.pem", "CERT\n", 0644);
    check_file("svid/key.pem", "KEY\n", 0600);
    check_file("svid/bundle.pem", "BUNDLE\n", 0644);
    assert_int_equal(
        run((const char *[]){"mesh", "svid", "agent/x", "--jwt", "-a", "p", "--out", folder, NULL},
            &out, &err),
        0);
    check_file("svid/token.jwt", "a.b.c", 0600);
    (void)rmdir(folder);
    buf_fini(&out);
    buf_fini(&err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands),
        cmocka_unit_test(test_svid_files),
    };
    the_answers = answers;
    return cmocka_run_group_tests_name("cli mesh", tests, set_up, tear_down);
}
