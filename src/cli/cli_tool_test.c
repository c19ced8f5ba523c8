// cli_tool_test.c: the commands of tools from argv to output and exit code; projects that are made,
// compiled and signed. SPDX-License-Identifier: Apache-2.0
#include "cli/cli_test_rig.h"

#include "tool/tool.h"

#define TYPE "application/json"
#define COUNT                                                                                      \
    "{\"name\":\"word-count\",\"title\":\"Count words\",\"description\":\"Counts the words of a "  \
    "text.\\nAnd its "                                                                             \
    "lines.\",\"source\":\"capability\",\"urn\":\"urn:plexus:cap:local:word-count:"                \
    "v1\",\"effects\":[\"idempotent\"],\"granted\":true,\"input\":{\"type\":\"object\"},"          \
    "\"output\":{"                                                                                 \
    "\"type\":\"object\"},\"permissions\":[\"only computes: no network, no files, no secrets\"],"  \
    "\"manifest\":{\"signature\":\"x\",\"publisher\":{\"key\":\"11qYAYKxCrfVS_"                    \
    "7TyWQHOg7hcvPapiMlrwIaaPcHURo\",\"name\":\"Ann\"},\"code\":{\"sha256\":\"93a44bbb96c7\"}},"   \
    "\"calls\":12,"                                                                                \
    "\"denied\":"                                                                                  \
    "0,\"errors\":1}"
#define FETCH                                                                                      \
    "{\"name\":\"fetch\",\"description\":\"Reads a page.\",\"source\":\"mcp:web\",\"effects\":["   \
    "\"network\",\"reads\"],\"granted\":false,\"input\":{\"type\":\"object\"},\"permissions\":["   \
    "\"talks to any machine on the internet\"],\"refused\":\"nobody granted it\",\"calls\":0}"
#define EVIDENCE                                                                                   \
    "{\"urn\":\"urn:plexus:cap:local:word-count:v1\",\"passed\":1,\"failed\":1,\"cases\":[{"       \
    "\"name\":"                                                                                    \
    "\"two\",\"tool\":\"word-count\",\"passed\":true},{\"name\":\"\",\"tool\":\"word-count\","     \
    "\"passed\":false,\"why\":\"expected {\\\"words\\\":2}, got {\\\"words\\\":3}\"}]}"

static const struct answer answers[] = {
    {"GET", "/api/tools", 200, TYPE, "{\"tools\":[" COUNT "," FETCH "]}", NULL},
    {"GET", "/api/tools/servers", 200, TYPE,
     "{\"servers\":[{\"name\":\"files\",\"transport\":\"stdio\",\"state\":\"ready\",\"server\":"
     "\"files 2.0\",\"tools\":9,\"changed\":2,\"login\":\"\"},{\"name\":\"web\",\"transport\":"
     "\"http\",\"state\":\"login\",\"why\":\"it wants a login\",\"server\":\"\",\"tools\":0,"
     "\"login\":\"https://login.example/authorize?state=1\"},{\"name\":\"gone\",\"transport\":"
     "\"http\",\"state\":\"waiting\",\"why\":\"refused\\u001b[31m\",\"tools\":0,\"login\":\"\"}]}",
     NULL},
    {"GET", "/api/tools/word-count", 200, TYPE, COUNT, NULL},
    {"GET", "/api/tools/fetch", 200, TYPE, FETCH, NULL},
    {"POST", "/api/tools/word-count/call", 200, TYPE,
     "{\"content\":[{\"type\":\"text\",\"text\":\"{\\\"words\\\":2}\"}],\"structured\":{\"words\":"
     "2},"
     "\"is_error\":false,\"took_us\":40,\"memory_bytes\":131072}",
     "\"input\":{\"text\":\"a b\"}"},
    {"POST", "/api/tools/word-count/call", 200, TYPE,
     "{\"content\":[{\"type\":\"text\",\"text\":\"no text was given\"}],\"is_error\":true}",
     "\"input\":{}"},
    {"POST", "/api/tools/fetch/call", 200, TYPE,
     "{\"content\":[{\"type\":\"text\",\"text\":\"one\"},{\"type\":\"image\",\"data\":\"AA==\"}],"
     "\"structured\":null,\"is_error\":false}",
     "\"confirmed\":true"},
    {"POST", "/api/tools/fetch/call", 403, TYPE,
     "{\"error\":{\"message\":\"fetch: nobody granted it\",\"type\":\"permission_error\",\"code\":"
     "\"forbidden\"}}",
     NULL},
    {"POST", "/api/tools/fetch/grant", 200, TYPE, "{\"granted\":true}",
     "{\"permissions\":[\"host:a\",\"dir:/data=/usr\",\"secret:K=env:A\"],\"reason\":\"tried\"}"},
    {"POST", "/api/tools/fetch/revoke", 200, TYPE, "{}", NULL},
    {"DELETE", "/api/tools/fetch", 200, TYPE, "{}", NULL},
    {"POST", "/api/tools/word-count/eval", 200, TYPE, EVIDENCE, NULL},
    {"POST", "/api/tools/word-count/publish", 200, TYPE,
     "{\"urn\":\"urn:plexus:cap:local:word-count:v1\",\"published\":true,\"waiting\":0}", NULL},
    {"POST", "/api/tools/word-count/promote", 200, TYPE,
     "{\"urn\":\"urn:plexus:cap:local:word-count:v1\",\"published\":false,\"waiting\":2,\"why\":"
     "\"connection refused\"}",
     NULL},
    {"POST", "/api/tools", 201, TYPE, COUNT, "\"urn\":\"urn:plexus:cap:local:word-count:v1\"}"},
    {"POST", "/api/tools", 201, TYPE, FETCH, "\"wasm\":\"AGFzbQEAAAA=\",\"name\":\"mine\"}"},
    {NULL, NULL, 0, NULL, NULL, NULL},
};

static const struct test_case cases[] = {
    {{"tool"}, 0, "tool-ls.txt", NULL, NULL},
    {{"tool", "ls", "-q"}, 0, NULL, "word-count\nfetch\n", NULL},
    {{"tool", "ls", "-q", "-s", "mcp:web"}, 0, NULL, "fetch\n", NULL},
    {{"tool", "ls", "--json"}, 0, NULL, "{\"tools\":[{", NULL},
    {{"tool", "show", "word-count"}, 0, "tool-show.txt", NULL, NULL},
    {{"tool", "show", "fetch"}, 0, "tool-show-asks.txt", NULL, NULL},
    {{"tool", "servers"}, 0, "tool-servers.txt", NULL, NULL},
    {{"tool", "call", "word-count", "{\"text\":\"a b\"}"}, 0, NULL, "\"words\": 2", NULL},
    {{"tool", "call", "word-count", "-i", "text: a b"}, 0, NULL, "\"words\": 2", NULL},
    {{"tool", "call", "word-count"}, 1, NULL, NULL, "no text was given"},
    {{"tool", "call", "word-count", "{}", "-i", "{}"}, 64, NULL, NULL, "either"},
    {{"tool", "call", "word-count", "{}", "-t", "soon"}, 65, NULL, NULL, "--timeout"},
    {{"tool", "call", "fetch"}, 77, NULL, NULL, "plexus tool grant fetch"},
    {{"tool", "call", "fetch", "--yes"}, 0, NULL, "one\n{\"type\":\"image\"", NULL},
    {{"tool", "call", "word-count", "{\"text\":\"a b\"}", "--json"},
     0,
     NULL,
     "\"took_us\":40",
     NULL},
    {{"tool", "grant", "fetch"}, 64, NULL, NULL, "talks to any machine on the internet"},
    {{"tool", "grant", "fetch", "host:a", "dir:/data=/usr/../usr", "secret:K=env:A", "-r", "tried",
      "--yes"},
     0,
     NULL,
     "fetch is granted\n",
     NULL},
    {{"tool", "revoke", "fetch"}, 0, NULL, "fetch may do nothing any more\n", NULL},
    {{"tool", "rm", "fetch"}, 0, NULL, "fetch is gone\n", NULL},
    {{"tool", "rm", "nothing"}, 66, NULL, NULL, NULL},
    {{"tool", "eval", "word-count"}, 1, "tool-eval.txt", NULL, NULL},
    {{"tool", "publish", "word-count"}, 0, NULL, "word-count:v1 is published\n", NULL},
    {{"tool", "promote", "word-count"}, 0, NULL, "(2 waiting)", "connection refused"},
    {{"tool", "add", "urn:plexus:cap:local:word-count:v1"}, 0, NULL, "word-count is here", NULL},
    {{"tool", "add", "urn:plexus:cap:local:word-count"}, 65, NULL, NULL, "a version is v1"},
    {{"tool", "add", "/nowhere.cap"}, 66, NULL, NULL, "/nowhere.cap"},
    {{"tool", "add", "http://127.0.0.1:1/x.cap"}, 69, NULL, NULL, "http://127.0.0.1:1/x.cap"},
    {{"tool", "new", "Word"}, 64, NULL, NULL, "\"Word\""},
    {{"tool", "new", "a.b"}, 64, NULL, NULL, "a name has"},
    {{"tool", "new", "a", "-l", "cobol"}, 64, NULL, NULL, "--lang is c, rust or ts"},
    {{"tool", "build", "/nowhere"}, 66, NULL, NULL, "/nowhere/capability.json"},
    {{"help", "tool"}, 0, "help-tool.txt", NULL, NULL},
};

static void test_commands(void **state)
{
    (void)state;
    check_cases(cases, sizeof cases / sizeof *cases);
}

// ---- a project ----------------------------------------------------------------------------------

static void go(const char *const *words, int code, struct buf *out, struct buf *err)
{
    buf_clear(out);
    buf_clear(err);
    int got = run(words, out, err);
    if (got != code)
        fail_msg("%s %s: exit code %d\n%s%s", words[0], words[1], got, buf_cstr(out),
                 buf_cstr(err));
}

static void check_package(const char *path)
{
    struct arena *a = arena_new((size_t)8 << 20);
    struct manifest_pack p;
    struct manifest *m = NULL;
    struct err e = {0};
    struct buf text;
    buf_init(&text, MANIFEST_PACK_MAX);
    if (file_read(path, &text, &e) || manifest_pack_open(&p, a, buf_bytes(&text), &e) ||
        manifest_open(&m, p.manifest, 0, &e) || manifest_code_check(m, p.code, &e))
        fail_msg("%s: %s", path, e.text);
    assert_true(m->is_signed && bytes_is(m->publisher, "Ann"));
    assert_true(bytes_is(m->urn, "urn:plexus:cap:me:mine:v1"));
    manifest_free(m);
    arena_free(a);
    buf_fini(&text);
}

static void put_file(const char *name, struct bytes text)
{
    char path[200];
    struct err e = {0};
    (void)snprintf(path, sizeof path, "%s/mine/%s", the_folder, name);
    if (file_write_atomic(path, text, 0644, &e))
        fail_msg("%s", e.text);
}

static void test_project(void **state)
{
    char dir[120], key[120], cap[160], command[200];
    struct buf out, err;
    (void)state;
    buf_init(&out, CLI_TEXT_MAX);
    buf_init(&err, CLI_TEXT_MAX);
    (void)snprintf(dir, sizeof dir, "%s/mine", the_folder);
    (void)snprintf(key, sizeof key, "%s/mine/keys/k", the_folder);
    (void)snprintf(cap, sizeof cap, "%s/mine-v1.cap", dir);
    const char *const new_c[] = {"tool", "new", "mine", "--namespace", "me", "-o", dir, NULL};
    const char *const build[] = {"tool", "build", dir, "-k", key, "-p", "Ann", NULL};
    const char *const again[] = {"tool", "build", dir, "-k", key, "-p", "Ann", "--no-run", NULL};
    const char *const add[] = {"tool", "add", cap, "--as", "mine", NULL};
    go(new_c, 0, &out, &err);
    assert_string_equal(buf_cstr(&out), dir[0] ? strcat(strcpy(command, dir), "\n") : "");
    go(new_c, 73, &out, &err); // never written over
    // Compiled by what its file says: here not by a compiler, which need not be on this machine.
    static const char draft[] =
        "{\"build\":{\"run\":[\"sh\",\"-c\",\"printf 'hello\\\\n'; printf "
        "'\\\\000asm\\\\001\\\\000\\\\000"
        "\\\\000' "
        ">x.wasm\"],\"wasm\":\"x.wasm\"},\"plexus_capability\":1,\"urn\":\"urn:plexus:cap:me:"
        "mine:v1\",\"description\":\"d\",\"tools\":[{\"name\":\"mine\",\"description\":\"d\","
        "\"input\":"
        "{\"type\":\"object\"}}]}";
    put_file("capability.json", bytes_of(draft));
    go(build, 0, &out, &err);
    assert_string_equal(buf_cstr(&out), strcat(strcpy(command, cap), "\n")); // no hello
    assert_non_null(strstr(buf_cstr(&err), "a new publisher's key"));
    check_package(cap);
    go(again, 0, &out, &err);
    assert_null(strstr(buf_cstr(&err), "a new publisher's key"));
    go(add, 0, &out, &err);
    assert_non_null(strstr(buf_cstr(&err), "plexus tool grant fetch"));
    const char *const code[] = {"tool", "add", strcat(strcpy(command, dir), "/x.wasm"), NULL};
    go(code, 64, &out, &err);
    assert_non_null(strstr(buf_cstr(&err), "is code alone"));
    static const struct {
        const char *draft, *why;
        int code;
    } bad[] = {
        {"{}", "/build: {", 65},
        {"{\"build\":{\"run\":[\"false\"],\"wasm\":\"x.wasm\"}}", "false ended with 1", 65},
        {"{\"build\":{\"run\":[\"no-such-program\"],\"wasm\":\"x.wasm\"}}",
         "no-such-program is not", 69},
        {"{\"build\":{\"run\":[],\"wasm\":\"x.wasm\"}}", "/build/run", 65},
        {"{\"build\":{\"run\":[\"true\"],\"wasm\":\"y.wasm\"}}", "y.wasm", 66},
        {"{\"build\":{\"run\":[\"true\"],\"wasm\":\"x.wasm\"},\"urn\":\"x\"}",
         "capability.json: ", 76},
        {"{", "capability.json", 65},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        put_file("capability.json", bytes_of(bad[i].draft));
        go(build, bad[i].code, &out, &err);
        if (!strstr(buf_cstr(&err), bad[i].why))
            fail_msg("row %zu: %s", i, buf_cstr(&err));
    }
    (void)snprintf(command, sizeof command, "rm -r %s", dir);
    assert_int_equal(system(command), 0);
    buf_fini(&out);
    buf_fini(&err);
    assert_int_equal(mem_live(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands),
        cmocka_unit_test(test_project),
    };
    the_answers = answers;
    return cmocka_run_group_tests_name("cli tool", tests, set_up, tear_down);
}
