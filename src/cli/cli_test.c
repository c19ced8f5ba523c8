// cli_test.c: commands from argv to output and exit code, against a small server of our own in a
// child process. Outputs are held against the files in golden/ (GOLDEN_WRITE=1 writes them).
// SPDX-License-Identifier: Apache-2.0
#include "base/file.h"
#include "cli/cli_priv.h"
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define ARGS_MAX 12
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

static const struct {
    const char *method, *path;
    int status;
    const char *type, *body;
} answers[] = {
    {"GET", "/api/state", 200, "application/json",
     "{\"node\":{\"name\":\"aipc\",\"context\":\"dev.aipc.node1\",\"pid\":1,\"uptime_ms\":61000,"
     "\"address\":\"http://127.0.0.1:8000\",\"ready\":true,\"draining\":false},"
     "\"memory\":{\"budget_bytes\":1073741824,\"used_bytes\":12582912},\"models\":" MODELS_JSON
     ",\"requests\":[{\"id\":\"0123456789abcdef\",\"model\":\"tiny-chat\",\"path\":\"/v1/chat/"
     "completions\","
     "\"state\":\"running\",\"age_ms\":1500,\"tokens\":12,\"tokens_per_s\":80.5,\"key\":\"laptop\"}"
     "]}"},
    {"GET", "/api/models", 200, "application/json", "{\"models\":" MODELS_JSON "}"},
    {"GET", "/api/models/tiny-chat", 200, "application/json", MODEL_WARM_JSON},
    {"POST", "/api/models/tiny-chat/load", 200, "application/json", MODEL_WARM_JSON},
    {"POST", "/api/models/a%2Fb/pin", 202, "application/json", MODEL_WARM_JSON},
    {"GET", "/api/keys", 200, "application/json",
     "{\"keys\":[{\"id\":\"0123456789ab\",\"name\":\"lap\\u001btop\",\"scopes\":[\"models\","
     "\"read\"],"
     "\"models\":null,\"created\":\"2026-01-01T00:00:00.000Z\",\"expires\":\"2026-02-01T00:00:00."
     "000Z\","
     "\"used\":null,\"requests\":5,\"tokens\":60}]}"},
    {"POST", "/api/keys", 201, "application/json",
     "{\"key\":\"plx_text\",\"id\":\"0123456789ab\"}"},
    {"DELETE", "/api/keys/none", 404, "application/json",
     "{\"error\":{\"message\":\"no key "
     "none\",\"type\":\"x\",\"param\":null,\"code\":\"notfound\"}}"},
    {"GET", "/api/logs", 200, "application/x-ndjson",
     "{\"time\":\"2026-01-01T12:00:00.123Z\",\"level\":\"info\",\"event\":\"engine.line\","
     "\"model\":\"tiny-chat\",\"engine\":\"llama.cpp\",\"fd\":2,\"line\":\"ready "
     "\\u001b[31mred\"}\n"
     "{\"time\":\"2026-01-01T12:00:01.000Z\",\"level\":\"warn\",\"event\":\"gate.slow\",\"ms\":5,"
     "\"who\":\"x\"}\n"
     "not JSON\n"},
    {"POST", "/api/config/reload", 400, "application/json",
     "{\"error\":{\"message\":\"plexus.yaml:1:1: "
     "bad\",\"type\":\"x\",\"param\":null,\"code\":\"config\"}}"},
    {"POST", "/v1/chat/completions", 200, "text/event-stream",
     ": loading\n\ndata: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n"
     "data: {\"choices\":[{\"delta\":{\"content\":\"Hello \"}}]}\n\n"
     "data: "
     "{\"choices\":[{\"delta\":{\"content\":\"w\\u00f6rld\"},\"finish_reason\":\"stop\"}]}\n\n"
     "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\ndata: "
     "[DONE]\n\n"},
    {"POST", "/api/down", 401, "application/json",
     "{\"error\":{\"message\":\"no key\",\"type\":\"x\",\"param\":null,\"code\":\"unauth\"}}"},
};

// ---- the server
// --------------------------------------------------------------------------------------

static int on_head(void *user, struct http_exchange *x)
{
    (void)user;
    (void)x;
    return 0;
}

static void on_request(void *user, struct http_exchange *x)
{
    const struct http_head *h = http_request(x);
    (void)user;
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++)
        if (bytes_is(h->method, answers[i].method) && bytes_is(h->path, answers[i].path)) {
            http_reply(x, answers[i].status, answers[i].type, BYTES_NONE,
                       bytes_of(answers[i].body));
            return;
        }
    http_reply_error(x, E_NOTFOUND, "nothing here", NULL, -1);
}

static void on_refused(void *user, const struct net_peer *peer, int code, const char *why)
{
    (void)user;
    (void)peer;
    (void)code;
    (void)why;
}

static char the_folder[64], the_data[80];
static pid_t the_server;

static void serve(int ready)
{
    struct loop *loop;
    struct http_server *server;
    struct net_listener *listener;
    struct net_listen_args listen = {.addr = {.unix_socket = true}, .queue_bytes_max = 1 << 20};
    struct err e = {0};
    (void)snprintf(listen.addr.host, sizeof listen.addr.host, "%s/run/plexus.sock", the_data);
    if (loop_new(&loop, NULL, &e))
        _exit(1);
    struct http_server_args args = {.net = loop_net(loop),
                                    .timers = loop_timers(loop),
                                    .routes = {on_head, on_request, on_refused, NULL}};
    if (http_server_new(&server, &args, &e) ||
        http_server_listen(server, &listen, 0, &listener, &e))
        _exit(1);
    if (write(ready, "r", 1) != 1)
        _exit(1);
    (void)loop_run(loop);
    _exit(0);
}

static int set_up(void **state)
{
    char run[100], byte;
    int ready[2];
    (void)state;
    (void)snprintf(the_folder, sizeof the_folder, "/tmp/cli-test-XXXXXX");
    if (!mkdtemp(the_folder) || pipe(ready))
        return -1;
    (void)snprintf(the_data, sizeof the_data, "%s/data", the_folder);
    (void)snprintf(run, sizeof run, "%s/run", the_data);
    if (file_mkdirs(run, 0700, NULL))
        return -1;
    the_server = fork();
    if (the_server == 0)
        serve(ready[1]);
    (void)close(ready[1]);
    ssize_t n = read(ready[0], &byte, 1);
    (void)close(ready[0]);
    return n == 1 && setenv("PLEXUS_DATA", the_data, 1) == 0 && unsetenv("PLEXUS_API_KEY") == 0
               ? 0
               : -1;
}

static int tear_down(void **state)
{
    static const char *const files[] = {"data/run/plexus.sock", "out", "err", "bad.yaml",
                                        "good.yaml"};
    static const char *const folders[] = {"data/run", "data", ""};
    char path[160];
    (void)state;
    (void)kill(the_server, SIGKILL);
    (void)waitpid(the_server, NULL, 0);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", the_folder, files[i]);
        (void)unlink(path);
    }
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", the_folder, folders[i]);
        (void)rmdir(path);
    }
    return 0;
}

// ---- running a command
// ---------------------------------------------------------------------------------

static int redirect(int fd, const char *name, int flags)
{
    char path[160];
    (void)snprintf(path, sizeof path, "%s%s%s", *name == '/' ? "" : the_folder,
                   *name == '/' ? "" : "/", name);
    int was = dup(fd), to = open(path, flags, 0600);
    assert_true(was >= 0 && to >= 0);
    (void)dup2(to, fd);
    (void)close(to);
    return was;
}

static void take(const char *name, struct buf *ret)
{
    char path[160];
    struct err e = {0};
    (void)snprintf(path, sizeof path, "%s/%s", the_folder, name);
    if (file_read(path, ret, &e))
        fail_msg("%s", e.text);
}

static int run(const char *const *words, struct buf *out, struct buf *err)
{
    char *argv[ARGS_MAX + 2] = {(char *)"plexus"};
    int argc = 1;
    for (; words[argc - 1]; argc++)
        argv[argc] = (char *)words[argc - 1];
    (void)fflush(stdout);
    (void)fflush(stderr);
    int in_was = redirect(0, "/dev/null", O_RDONLY);
    int out_was = redirect(1, "out", O_RDWR | O_CREAT | O_TRUNC);
    int err_was = redirect(2, "err", O_RDWR | O_CREAT | O_TRUNC);
    int code = cli_main(NULL, argc, argv);
    (void)fflush(stdout);
    (void)fflush(stderr);
    (void)dup2(in_was, 0);
    (void)dup2(out_was, 1);
    (void)dup2(err_was, 2);
    (void)close(in_was);
    (void)close(out_was);
    (void)close(err_was);
    take("out", out);
    take("err", err);
    return code;
}

static const struct {
    const char *argv[ARGS_MAX];
    int code;
    const char *golden; // of stdout
    const char *out, *err; // text that they hold
} cases[] = {
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

// The version and the folder differ from build to build and run to run.
static void normalize(struct buf *text)
{
    static const char version[] = "plexus " PLEXUS_VERSION;
    ptrdiff_t at = bytes_find(buf_bytes(text), bytes_of(version));
    if (at < 0)
        return;
    struct buf out;
    buf_init(&out, text->max);
    (void)buf_put(&out, bytes_first(buf_bytes(text), (size_t)at));
    (void)buf_str(&out, "plexus VERSION");
    (void)buf_put(&out, bytes_from(buf_bytes(text), (size_t)at + strlen(version)));
    buf_fini(text);
    *text = out;
}

static void check_golden(const char *name, struct buf *got)
{
    char path[160];
    struct buf want;
    struct err e = {0};
    normalize(got);
    (void)snprintf(path, sizeof path, "src/cli/golden/%s", name);
    buf_init(&want, CLI_TEXT_MAX);
    if (getenv("GOLDEN_WRITE")) {
        assert_int_equal(file_write_atomic(path, buf_bytes(got), 0644, &e), 0);
    } else {
        if (file_read(path, &want, &e))
            fail_msg("%s", e.text);
        assert_string_equal(buf_cstr(got), buf_cstr(&want));
    }
    buf_fini(&want);
}

static void test_commands(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf out, err;
        char line[256] = "";
        for (size_t k = 0; cases[i].argv[k]; k++)
            (void)snprintf(line + strlen(line), sizeof line - strlen(line), " %s",
                           cases[i].argv[k]);
        buf_init(&out, CLI_TEXT_MAX);
        buf_init(&err, CLI_TEXT_MAX);
        int code = run(cases[i].argv, &out, &err);
        if (code != cases[i].code)
            fail_msg("plexus%s: exit code %d, not %d\n%s%s", line, code, cases[i].code,
                     buf_cstr(&out), buf_cstr(&err));
        if (cases[i].out && !strstr(buf_cstr(&out), cases[i].out))
            fail_msg("plexus%s: no \"%s\" in\n%s", line, cases[i].out, buf_cstr(&out));
        if (cases[i].err && !strstr(buf_cstr(&err), cases[i].err))
            fail_msg("plexus%s: no \"%s\" in\n%s", line, cases[i].err, buf_cstr(&err));
        if (cases[i].golden)
            check_golden(cases[i].golden, &out);
        buf_fini(&out);
        buf_fini(&err);
        assert_int_equal(mem_live(), 0);
    }
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
    return cmocka_run_group_tests_name("cli", tests, set_up, tear_down);
}
