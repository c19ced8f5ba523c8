// cli_flow_test.c: plexus flow from argv to output and exit code.
// SPDX-License-Identifier: Apache-2.0
#include "cli/cli_flow_priv.h"
#include "cli/cli_test_rig.h"
#include "flow/flow.h"

#define TYPE "application/json"
#define AT(seconds) "\"2026-01-01T12:00:" seconds "Z\""
#define ROW(id, status, open, closed)                                                              \
    "\"id\":\"" id "\",\"namespace\":\"default\",\"name\":\"digest\",\"version\":\"1.0.0\","       \
    "\"status\":\"" status "\",\"open\":" open                                                     \
    ",\"started\":" AT("00.000") ",\"closed\":" closed                                             \
                                 ",\"by\":\"laptop\",\"parent\":null,\"entries\":12"
#define TASK(pointer, name, kind, parent)                                                          \
    "{\"pointer\":\"" pointer "\",\"name\":\"" name "\",\"kind\":\"" kind "\",\"parent\":" parent
#define GRAPH                                                                                                                    \
    "\"graph\":{\"tasks\":[" TASK(                                                                                               \
        "/do/0/fetch", "fetch", "call",                                                                                          \
        "null") ",\"call\":\"http\"}," TASK("/do/1/each", "each", "for",                                                         \
                                            "null") "}," TASK("/do/1/each/do/0/embed", "embed",                                  \
                                                              "call",                                                            \
                                                              "\"/do/1/each\"") ",\"call\":"                                     \
                                                                                "\"model\"}"                                     \
                                                                                "," TASK(                                        \
                                                                                    "/do/1/"                                     \
                                                                                    "each/"                                      \
                                                                                    "do/1/"                                      \
                                                                                    "keep",                                      \
                                                                                    "keep", "run",                               \
                                                                                    "\"/do/"                                     \
                                                                                    "1/"                                         \
                                                                                    "each\"") ","                                \
                                                                                              "\""                               \
                                                                                              "ru"                               \
                                                                                              "n"                                \
                                                                                              "\""                               \
                                                                                              ":"                                \
                                                                                              "\""                               \
                                                                                              "sh"                               \
                                                                                              "el"                               \
                                                                                              "l"                                \
                                                                                              "\""                               \
                                                                                              "}"                                \
                                                                                              "," TASK(                          \
                                                                                                  "/do/2/nap",                   \
                                                                                                  "nap",                         \
                                                                                                  "wait",                        \
                                                                                                  "null") "}," TASK("/do/3/say", \
                                                                                                                    "say",       \
                                                                                                                    "emit",      \
                                                                                                                    "null") "}]}"
#define VIEW                                                                                                                                                                                     \
    "\"view\":{\"status\":\"waiting\",\"input\":{\"city\":\"Antwerp\"},\"started\":" AT(                                                                                                         \
        "00.000") ",\"tasks\":[{\"task\":\"/do/0/fetch\",\"name\":\"fetch\",\"kind\":\"call\","                                                                                                  \
                  "\"state\":\"completed\",\"count\":1,\"attempt\":1,\"started\":" AT("00.000") ",\"ended\":" AT(                                                                                \
                      "00.250") ",\"output\":[\"a\\u001b[2J\",\"b\"]},"                                                                                                                          \
                                "{\"task\":\"/do/1/"                                                                                                                                             \
                                "each\",\"name\":\"each\",\"kind\":\"for\",\"state\":\"running\","                                                                                               \
                                "\"count\":1,\"attempt\":1,\"started\":" AT(                                                                                                                     \
                                    "01.000") ",\"iteration\":1},"                                                                                                                               \
                                              "{\"task\":\"/do/1/each/do/0/"                                                                                                                     \
                                              "embed\",\"state\":\"completed\",\"count\":2,"                                                                                                     \
                                              "\"attempt\":1,"                                                                                                                                   \
                                              "\"started\":" AT("01.000") ",\"ended\":" AT(                                                                                                      \
                                                  "02.000") "},"                                                                                                                                 \
                                                            "{\"task\":\"/do/1/each/do/1/"                                                                                                       \
                                                            "keep\",\"state\":\"faulted\","                                                                                                      \
                                                            "\"count\":2,\"attempt\":3,"                                                                                                         \
                                                            "\"started\":" AT(                                                                                                                   \
                                                                "02.000") ",\"ended\":" AT("03."                                                                                                 \
                                                                                           "000") ",\"error\":{\"type\":\"https://"                                                              \
                                                                                                  "serverlessworkflow.io/spec/1.0.0/errors/runtime\",\"status\":500,\"title\":\"t\",\"detail\":" \
                                                                                                  "\"exit code 1\",\"instance\":\"/do/1/each/do/1/keep\"}},"                                     \
                                                                                                  "{\"task\":\"/do/2/nap\",\"state\":\"waiting\",\"count\":1,\"attempt\":1,\"started\":" AT(     \
                                                                                                      "03.000") ",\"due\":" AT("59.000") "},{\"task\":\"/do/3/say\",\"state\":\"pending\","      \
                                                                                                                                         "\"count\":0}]}"
#define ENDED(id, status, rest)                                                                    \
    "{" ROW(id, status, "false", AT("04.500")) "," GRAPH ",\"view\":{\"status\":\"" status "\","   \
                                               "\"tasks\":[]," rest "}}"
#define LIFE(word, task, seconds, rest)                                                            \
    "event: flow\ndata: {\"specversion\":\"1.0\",\"type\":\"io.serverlessworkflow." word           \
    ".v1\",\"time\":" AT(seconds) ",\"data\":{\"task\":\"" task "\"" rest "}}\n\n"
#define STREAM(id, status)                                                                         \
    "event: run\ndata: {" ROW(id, "running", "true", "null") ",\"view\":{\"tasks\":[]}}\n\n" LIFE( \
        "workflow.started", "", "00.000", "")                                                      \
        LIFE("task.started", "/do/0/fetch", "00.000",                                              \
             "") "event: progress\ndata: "                                                         \
                 "{\"task\":\"/do/0/"                                                              \
                 "fetch\",\"detail\":{\"text\":\"Hel\"}}\n\n" LIFE("task.completed",               \
                                                                   "/do/0/fetch", "00.250", "")    \
                     LIFE("task.started", "/do/1/each/do/1/keep", "01.000", "")                    \
                         LIFE("task.retried", "/do/1/each/do/1/keep", "01.100", "")                \
                             LIFE("task.status-changed", "/do/1/each/do/1/keep", "01.200",         \
                                  ",\"status\":\"waiting\"")                                       \
                                 LIFE("task.faulted", "/do/1/each/do/1/keep", "03.000",            \
                                      ",\"error\":{\"type\":\"https://x/errors/"                   \
                                      "timeout\",\"status\":408,\"title\":"                        \
                                      "\"late\"}") ":\n\nevent: lost\ndata: {}\n\n"                \
                                                   "event: end\ndata: {\"id\":\"" id               \
                                                   "\",\"status\":\"" status "\"}\n\n"

static const struct answer answers[] = {
    {"GET", "/api/flows", 200, TYPE,
     "{\"flows\":[{" ROW("r2", "running", "true", "null") ",\"wake\":" AT(
         "30.000") ",\"note\":\"\"},{" ROW("r1", "completed", "false",
                                           AT("04.500")) ",\"wake\":null,\"note\":{\"error\":\"out "
                                                         "of "
                                                         "paper\",\"task\":\"/do/1/"
                                                         "print\"}}],\"more\":true}",
     "limit="},
    {"POST", "/api/flows", 400, TYPE,
     "{\"error\":{\"message\":\"3:3: it is not well\",\"type\":\"invalid_request_error\",\"param\":"
     "null,\"code\":\"document\",\"findings\":[{\"line\":3,\"column\":5,\"task\":\"getPet\","
     "\"pointer\":\"/do/0/getPet\",\"message\":\"unknown key \\\"cal\\\"; nearest: call\"},"
     "{\"line\":0,\"column\":0,\"task\":\"\",\"pointer\":\"\",\"message\":\"do is needed\"}]}}",
     "\"document\":\"a:\\n"},
    {"POST", "/api/flows", 201, TYPE, "{\"id\":\"r1\",\"status\":\"running\"}",
     "{\"namespace\":\"default\",\"name\":\"digest\",\"version\":\"1.0.0\",\"input\":{\"a\":[1,"
     "\"x\"]},\"id\":\"r1\"}"},
    {"POST", "/api/flows", 201, TYPE, "{\"id\":\"bad\",\"status\":\"running\"}",
     "{\"namespace\":\"n\",\"name\":\"bad\"}"},
    {"POST", "/api/flows", 404, TYPE, "{\"error\":{\"message\":\"no flow\",\"code\":\"notfound\"}}",
     "\"name\":\"none\""},
    {"GET", "/api/flows/r1/events", 200, "text/event-stream", STREAM("r1", "completed"), NULL},
    {"GET", "/api/flows/bad/events", 200, "text/event-stream", STREAM("bad", "faulted"), NULL},
    {"GET", "/api/flows/r1", 200, TYPE, ENDED("r1", "completed", "\"output\":{\"ok\":[true]}"),
     "full=1"},
    {"GET", "/api/flows/bad", 200, TYPE,
     ENDED("bad", "faulted",
           "\"error\":{\"type\":\"https://x/errors/timeout\",\"status\":408,\"title\":\"late\"}"),
     NULL},
    {"GET", "/api/flows/r2", 200, TYPE,
     "{" ROW("r2", "waiting", "true", "null") ",\"wake\":" AT("59.000") "," GRAPH "," VIEW "}",
     NULL},
    {"GET", "/api/flows/r2/history", 200, TYPE,
     "{\"entries\":[{\"n\":1,\"t\":\"started\",\"at\":1767268800000,\"data\":{\"input\":1}},{\"n\":"
     "2,\"t\":\"act\",\"id\":1,\"at\":1767268800000,\"data\":{\"kind\":\"http\"}},{\"n\":3,\"t\":"
     "\"fired\",\"id\":2,\"at\":1767268801500}]}",
     NULL},
    {"GET", "/api/flows/r2/export", 200, TYPE, "{\"bundle\":\"x\",\"entries\":[]}", NULL},
    {"POST", "/api/flows/r2/retry", 200, TYPE, "{\"id\":\"r2\",\"status\":\"running\"}",
     "{\"task\":\"keep\",\"reason\":\"disk\"}"},
    {"POST", "/api/flows/r2/skip", 200, TYPE, "{\"id\":\"r2\",\"status\":\"running\"}",
     "{\"task\":\"keep\",\"output\":{\"a\":1}}"},
    {"POST", "/api/flows/r2/edit", 200, TYPE, "{\"id\":\"r2\",\"status\":\"running\"}",
     "{\"task\":\"keep\",\"input\":[1]}"},
    {"POST", "/api/flows/r2/pause", 200, TYPE, "{\"id\":\"r2\",\"status\":\"suspended\"}", "{}"},
    {"POST", "/api/flows/r2/reset", 200, TYPE, "{\"id\":\"r3\",\"status\":\"running\"}",
     "{\"to\":17}"},
    {"POST", "/api/flows/r2/signal", 200, TYPE, "{\"id\":\"r2\",\"status\":\"running\"}",
     "\"id\":\"7\",\"source\":\"plexus:cli\",\"type\":\"approved\",\"datacontenttype\":"
     "\"application/json\",\"data\":{\"by\":\"Ann\"}}"},
    {"POST", "/api/flows/events", 200, TYPE, "{\"taken\":2}", "\"type\":\"order\""},
    {"POST", "/api/flows/events", 200, TYPE, "{\"taken\":0}", "\"subject\":\"s\""},
    {"POST", "/api/flows/prune", 200, TYPE, "{\"removed\":1}", "{\"older\":\"30d\",\"dry\":true}"},
    {"POST", "/api/flows/documents", 201, TYPE,
     "{\"namespace\":\"default\",\"name\":\"digest\",\"version\":\"1.0.0\"}", "\"document\":"},
    {"POST", "/api/flows/documents", 201, TYPE,
     "{\"namespace\":\"n\",\"name\":\"far\",\"version\":\"1.0.0\"}",
     "{\"urn\":\"urn:plexus:flow:n:far:v1000000\"}"},
    {"GET", "/api/flows/documents", 200, TYPE,
     "{\"documents\":[{\"namespace\":\"default\",\"name\":\"digest\",\"version\":\"1.0.0\","
     "\"title\":\"Nightly digest\",\"schedule\":{\"cron\":\"0 3 * * *\"}},{\"namespace\":\"n\","
     "\"name\":\"x\",\"version\":\"0.1.0\",\"title\":\"\",\"schedule\":null}]}",
     NULL},
    {"DELETE", "/api/flows/documents/n/x/0.1.0", 200, TYPE, "{}", NULL},
    {"POST", "/api/flows/documents/n/x/0.1.0/eval", 200, TYPE,
     "{\"passed\":1,\"failed\":1,\"cases\":[{\"name\":\"two\",\"passed\":true,\"run\":\"e-1\"},{"
     "\"name\":\"three\",\"passed\":false,\"run\":\"e-2\",\"why\":\"expected 3, got 4\"}]}",
     "{}"},
    {"POST", "/api/flows/documents/default/digest/1.0.0/eval", 200, TYPE,
     "{\"passed\":1,\"failed\":0,\"cases\":[{\"name\":\"two\",\"passed\":true,\"run\":\"e-1\"}]}",
     "{}"},
    {"POST", "/api/flows/documents/n/x/0.1.0/promote", 200, TYPE,
     "{\"urn\":\"urn:plexus:flow:n:x:v1000\",\"published\":false,\"waiting\":1,\"why\":"
     "\"connection "
     "refused\"}",
     "{}"},
    {"POST", "/api/flows/documents/default/digest/1.0.0/promote", 200, TYPE,
     "{\"urn\":\"urn:plexus:flow:default:digest:v1000000\",\"published\":true,\"waiting\":0}",
     "{}"},
    {NULL, NULL, 0, NULL, NULL, NULL},
};

static const struct test_case cases[] = {
    {{"flow"}, 0, "flow-ls.txt", NULL, NULL},
    {{"flow", "ls", "-q", "-n", "3", "--status", "running"}, 0, NULL, "r2\nr1\n", NULL},
    {{"flow", "ls", "-n", "0"}, 64, NULL, NULL, "--limit is a whole number from 1"},
    {{"flow", "ls", "--json"}, 0, NULL, "{\"flows\":[", NULL},
    {{"flow", "show", "r2"}, 0, "flow-show.txt", NULL, NULL},
    {{"flow", "show", "bad"}, 0, "flow-show-faulted.txt", NULL, NULL},
    {{"flow", "show", "r1", "--full"}, 0, "flow-show-full.txt", NULL, NULL},
    {{"flow", "show", "nobody"}, 66, NULL, NULL, "nothing here"},
    {{"flow", "history", "r2"}, 0, "flow-history.txt", NULL, NULL},
    {{"flow", "tail", "r1"}, 0, "flow-tail.txt", NULL, "✓ completed after 4.5 s"},
    {{"flow", "tail", "bad"},
     1,
     NULL,
     "✗ each/keep faulted  2 s  timeout 408: late",
     "✗ faulted after 4.5 s: timeout 408: late\n`plexus flow show bad`"},
    {{"flow", "tail", "nobody"}, 66, NULL, NULL, "nothing here"},
    {{"flow", "run", "digest:1.0.0", "-i", "{a: [1, x]}", "--id", "r1"},
     0,
     "flow-run.txt",
     NULL,
     "run r1\n"},
    {{"flow", "run", "default/digest:1.0.0", "-i", "{a: [1, x]}", "--id", "r1", "-w"},
     0,
     "flow-run.txt",
     NULL,
     NULL},
    {{"flow", "run", "digest:1.0.0", "-i", "{a: [1, x]}", "--id", "r1", "-w", "--json"},
     0,
     NULL,
     "{\"id\":\"r1\",\"status\":\"completed\",\"output\":{\"ok\":[true]}}\n",
     NULL},
    {{"flow", "run", "digest:1.0.0", "-i", "{a: [1, x]}", "--id", "r1", "-d"},
     0,
     NULL,
     "r1\n",
     NULL},
    {{"flow", "run", "n/bad", "--json"}, 1, NULL, "\"error\":{\"type\"", NULL},
    {{"flow", "run", "none"}, 66, NULL, NULL, "no flow"},
    {{"flow", "run", "none", "-i", "{a"}, 65, NULL, NULL, "--input is neither JSON nor YAML"},
    {{"flow", "run", "none.yaml"}, 66, NULL, NULL, "none.yaml"},
    {{"flow", "run", "x", "-w", "-d"}, 64, NULL, NULL, "exclude"},
    {{"flow", "retry", "r2", "keep", "-r", "disk"}, 0, NULL, "r2 running\n", NULL},
    {{"flow", "skip", "r2", "keep", "-o", "a: 1"}, 0, NULL, "r2 running\n", NULL},
    {{"flow", "skip", "r2"}, 64, NULL, NULL, "plexus help flow"},
    {{"flow", "edit", "r2", "keep", "-i", "[1]"}, 0, NULL, "r2 running\n", NULL},
    {{"flow", "edit", "r2", "keep"}, 64, NULL, NULL, "--input says"},
    {{"flow", "pause", "r2"}, 0, NULL, "r2 suspended\n", NULL},
    {{"flow", "reset", "r2", "17"}, 0, NULL, "r3 running\n", NULL},
    {{"flow", "reset", "r2", "x"}, 64, NULL, NULL, "ENTRY is a number"},
    {{"flow", "signal", "r2", "approved", "-d", "by: Ann", "--event-id", "7"},
     0,
     NULL,
     "r2 running\n",
     NULL},
    {{"flow", "event", "order"}, 0, NULL, "taken by 2\n", NULL},
    {{"flow", "event", "other", "--subject", "s"}, 0, NULL, "nobody listens to it\n", NULL},
    {{"flow", "prune", "--dry-run"}, 0, NULL, "1 run would be removed\n", NULL},
    {{"flow", "prune", "--older", "x"}, 64, NULL, NULL, "--older"},
    {{"flow", "add", "urn:plexus:flow:n:far:v1000000"}, 0, NULL, "n/far:1.0.0 is kept", NULL},
    {{"flow", "docs"}, 0, "flow-docs.txt", NULL, NULL},
    {{"flow", "rm", "n/x"}, 0, NULL, "n/x:0.1.0 is forgotten\n", NULL},
    {{"flow", "rm", "n/x:0.1.0"}, 0, NULL, "n/x:0.1.0 is forgotten\n", NULL},
    {{"flow", "rm", "n/y"}, 66, NULL, NULL, "no document n/y is kept"},
    {{"flow", "rm", "/y"}, 64, NULL, NULL, "expected NAMESPACE/NAME"},
    {{"flow", "eval", "n/x"}, 1, "flow-eval.txt", NULL, NULL},
    {{"flow", "eval", "n/x:0.1.0", "--json"}, 1, NULL, "{\"passed\":1,", NULL},
    {{"flow", "eval", "digest"}, 0, NULL, "passed  two\n1 passed, 0 failed\n", NULL},
    {{"flow", "eval", "n/y"}, 66, NULL, NULL, "no document n/y is kept"},
    {{"flow", "eval", "n/"}, 64, NULL, NULL, "expected NAMESPACE/NAME"},
    {{"flow", "eval", "n/x:9.0.0"}, 66, NULL, NULL, "nothing here"},
    {{"flow", "promote", "n/x"}, 0, NULL, "v1000 is kept and goes out", "connection refused"},
    {{"flow", "promote", "digest"},
     0,
     NULL,
     "urn:plexus:flow:default:digest:v1000000 is promoted and published for good\n",
     NULL},
    {{"flow", "promote", "digest", "--json"}, 0, NULL, "\"published\":true", NULL},
    {{"flow", "export", "r2"}, 0, NULL, "{\"bundle\":\"x\"", NULL},
    {{"flow", "new", "-x"}, 64, NULL, NULL, "unknown option"},
    {{"flow", "new", "a_b"}, 64, NULL, NULL, "letters, digits and dashes"},
    {{"worker"}, 64, NULL, NULL, "--queue says"},
    {{"worker", "-q", "q"}, 69, NULL, NULL, "built without the node"},
    {{"help", "flow"}, 0, "help-flow.txt", NULL, NULL},
    {{"help", "flow", "run"}, 0, "help-flow-run.txt", NULL, NULL},
    {{"help", "worker"}, 0, "help-worker.txt", NULL, NULL},
};

static void test_commands(void **state)
{
    (void)state;
    check_cases(cases, sizeof cases / sizeof *cases);
}

static void one(const char *const *words, int want, const char *on_out, const char *on_err)
{
    struct buf out, err;
    buf_init(&out, CLI_TEXT_MAX);
    buf_init(&err, CLI_TEXT_MAX);
    int code = run(words, &out, &err);
    if (code != want || !strstr(buf_cstr(&out), on_out) || !strstr(buf_cstr(&err), on_err))
        fail_msg("plexus flow %s: %d, not %d\n%s%s", words[1], code, want, buf_cstr(&out),
                 buf_cstr(&err));
    buf_fini(&out);
    buf_fini(&err);
}

static void write_file(const char *name, const char *text, char path[160])
{
    struct err e = {0};
    (void)snprintf(path, 160, "%s/%s", the_folder, name);
    if (file_write_atomic(path, bytes_of(text), 0600, &e))
        fail_msg("%s", e.text);
}

// What is wrong with a document is shown in its text, with a caret.
static void test_files(void **state)
{
    char bad[160], good[160], want[600];
    struct buf got;
    (void)state;
    write_file("bad.yaml", "a:\n- getPet:\n    cal: http\n", bad);
    (void)snprintf(want, sizeof want,
                   "%s:3:5: task getPet: unknown key \"cal\"; nearest: call\n"
                   "    3 |     cal: http\n            ^\n%s: do is needed\n",
                   bad, bad);
    one((const char *[]){"flow", "run", bad, NULL}, 65, "", want);
    one((const char *[]){"flow", "run", bad, "--json", NULL}, 65, "", "\"findings\":[{\"line\":3");
    one((const char *[]){"flow", "add", bad, NULL}, 0, "default/digest:1.0.0 is kept", "");
    (void)unlink(bad);
    // A new file is there once.
    (void)snprintf(good, sizeof good, "%s/good.yaml", the_folder);
    one((const char *[]){"flow", "new", "hello", "-o", good, NULL}, 0, "good.yaml\n", "flow run");
    one((const char *[]){"flow", "new", "hello", "-o", good, NULL}, 73, "", "is there already");
    buf_init(&got, CLI_TEXT_MAX);
    take("good.yaml", &got);
    check_golden("flow-new.yaml", &got);
    buf_fini(&got);
    (void)unlink(good);
    one((const char *[]){"flow", "export", "r2", "-o", good, NULL}, 0, "", "");
    buf_init(&got, CLI_TEXT_MAX);
    take("good.yaml", &got);
    assert_string_equal(buf_cstr(&got), "{\"bundle\":\"x\",\"entries\":[]}");
    buf_fini(&got);
    (void)unlink(good);
}

// The node's own code, in process.
static void test_check(void **state)
{
    static const char *const files[] = {"approval",
                                        "build",
                                        "council",
                                        "document-question",
                                        "fan-out",
                                        "fan-out-item",
                                        "reminder",
                                        "sensor",
                                        "nightly-digest",
                                        "trip",
                                        "webhook",
                                        "catalog/ask",
                                        "catalog/council",
                                        "catalog/dag",
                                        "catalog/debate",
                                        "catalog/map-reduce",
                                        "catalog/evaluator-optimizer"};
    static const struct test_case bad[] = {
        {{"flow", "check", "src/cli/golden/flow-bad.yaml"}, 65, "flow-check.txt", NULL, NULL},
        {{"flow", "check", "src/cli/golden/flow-bad-names.yaml"},
         65,
         "flow-check-names.txt",
         NULL,
         NULL},
        {{"flow", "check", "src/cli/golden/flow-bad.yaml", "--json"},
         65,
         NULL,
         "\"ok\":false,",
         NULL},
        {{"flow", "check", "nowhere.yaml"}, 66, NULL, NULL, "nowhere.yaml"},
        {{"flow", "check", "examples/flows/approval.yaml", "src/cli/golden/flow-bad.yaml"},
         65,
         NULL,
         "examples/approval 1.0.0, 7 tasks: well\n",
         NULL},
    };
    char path[160];
    (void)state;
    check_cases(bad, sizeof bad / sizeof *bad);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        (void)snprintf(path, sizeof path, "examples/flows/%s.yaml", files[i]);
        one((const char *[]){"flow", "check", path, NULL}, 0, ": well\n", "");
        one((const char *[]){"flow", "check", path, "--json", NULL}, 0, "\"ok\":true,", "");
    }
    (void)snprintf(path, sizeof path, "%s/good.yaml", the_folder);
    one((const char *[]){"flow", "new", "hello", "-o", path, NULL}, 0, "", "");
    one((const char *[]){"flow", "check", path, NULL}, 0, "default/hello 1.0.0, 4 tasks: well", "");
    (void)unlink(path);
}

// ---- replay
// ---------------------------------------------------------------------------------------

static void put_entry(struct buf *out, const struct flow_event *ev)
{
    (void)buf_str(out, out->n ? "," : "");
    assert_int_equal(flow_event_put(out, ev), 0);
}

// The history of a run, as the decider makes it, into {"bundle","entries"}.
static void export_run(const char *document, struct buf *out)
{
    struct flow_plan *plan = NULL;
    struct flow_run *r = NULL;
    struct flow_out o = {0};
    struct flow_event ev = {.type = FLOW_STARTED, .at_ms = 1767268800000};
    struct flow_about about;
    struct buf entries, data;
    struct err e = {0};
    buf_init(&entries, CLI_TEXT_MAX);
    buf_init(&data, CLI_TEXT_MAX);
    assert_int_equal(flow_plan_new(&plan, bytes_of(document), NULL, &e), 0);
    assert_int_equal(flow_run_new(&r, plan, &e), 0);
    flow_plan_about(plan, &about);
    (void)buf_fmt(
        &data,
        "{\"input\":{\"a\":1},\"run\":\"r\",\"namespace\":\"n\",\"name\":\"x\",\"version\":"
        "\"1.0.0\",\"plan\":\"%s\",\"decider\":%d,\"seed\":7}",
        about.hash, FLOW_DECIDER_VERSION);
    assert_int_equal(val_parse(&ev.data, buf_bytes(&data), &e), 0);
    assert_int_equal(flow_step(r, &ev, &o, &e), 0);
    put_entry(&entries, &ev);
    for (size_t i = 0; i < o.command_count; i++)
        put_entry(&entries, &o.commands[i]);
    (void)buf_str(out, "{\"bundle\":");
    (void)buf_json_str(out, about.bundle);
    (void)buf_fmt(out, ",\"entries\":[%s]}", buf_cstr(&entries));
    flow_event_fini(&ev);
    flow_out_fini(&o);
    flow_run_free(r);
    flow_plan_unref(plan);
    buf_fini(&entries);
    buf_fini(&data);
}

static void test_replay(void **state)
{
    static const char document[] =
        "document: { dsl: 1.0.3, namespace: n, name: x, version: 1.0.0 }\n"
        "do:\n- one: { set: { b: '${ .a + 1 }' } }\n- two: { wait: { days: 3 } }\n";
    char path[160];
    struct buf text;
    (void)state;
    buf_init(&text, CLI_TEXT_MAX);
    export_run(document, &text);
    write_file("good.yaml", buf_cstr(&text), path);
    one((const char *[]){"flow", "replay", path, NULL}, 0,
        "2 entries: this plexus decides the same; the run is waiting\n", "");
    one((const char *[]){"flow", "replay", path, "--json", NULL}, 0,
        "{\"same\":true,\"entries\":2,\"status\":\"waiting\"}\n", "");
    char *due = strstr(text.p, "\"due\":17");
    assert_non_null(due);
    due[6] = '2'; // the history says another time
    write_file("good.yaml", text.p, path);
    one((const char *[]){"flow", "replay", path, NULL}, 75, "", "entry 2");
    write_file("good.yaml", "{\"bundle\":\"x\"}", path);
    one((const char *[]){"flow", "replay", path, NULL}, 65, "", "is not what `plexus flow export`");
    write_file("good.yaml", "{", path);
    one((const char *[]){"flow", "replay", path, NULL}, 65, "", "good.yaml");
    (void)unlink(path);
    buf_fini(&text);
}

static int fake_worker(struct cli *c, struct err *e)
{
    const char *queues[4];
    (void)e;
    assert_int_equal(cli_option_all(c, "queue", queues, 4), 2);
    assert_string_equal(queues[0], "a");
    assert_string_equal(queues[1], "b");
    return 0;
}

static void test_worker(void **state)
{
    (void)state;
    cli_set_worker(fake_worker);
    one((const char *[]){"worker", "-q", "a", "--queue", "b", NULL}, 0, "", "");
    cli_set_worker(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands), cmocka_unit_test(test_files),
        cmocka_unit_test(test_check),    cmocka_unit_test(test_replay),
        cmocka_unit_test(test_worker),
    };
    the_answers = answers;
    return cmocka_run_group_tests_name("cli flow", tests, set_up, tear_down);
}
