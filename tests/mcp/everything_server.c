// everything_server.c: a server for the tests of MCP: the tools, resources and prompts that the
// protocol's conformance suite wants, served by plexus' own mcpd. Not a part of plexus.
//   mcp_server [--port N] [--key NAME=KEY]... [--hold MS] [--task MS] [--oauth URL] [--confirm]
// Prints "port N" when it listens; SIGTERM ends it.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "base/rng.h"
#include "loop/loop.h"
#include "toolbox/mcpd.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEYS_MAX 8

// A red pixel, and a WAV file with no samples.
static const char png[] =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJ"
    "RU5ErkJggg==";
static const char wav[] = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=";

struct job;
struct tool {
    const char *name, *about, *input; // input: a JSON Schema
    unsigned effects;
    bool granted;
    void (*step)(struct job *j);
    struct val *schema;
};

struct server {
    struct tools tools; // first
    struct mcpd_more more;
    struct loop *loop;
    struct http_server *http;
    struct net_listener *listener;
    struct mcpd *mcpd;
    const char *keys[KEYS_MAX][2];
    size_t key_count;
    struct list jobs;
};
static struct server server;

struct job { // a call that goes on
    struct list link;
    const struct tool *tool;
    struct tool_req *r;
    struct val *input;
    struct timer timer;
    int step, open;
    struct tool_ask asks[3];
    struct val *params[3], *answers[3];
    int status; // of the answers
    bool over;
};

// ---- jobs --------------------------------------------------------------------------------------

static void job_end(struct job *j, int status, const struct tool_result *res, const struct err *e)
{
    struct tool_req *r = j->r;
    list_del(&j->link);
    timer_stop(loop_timers(server.loop), &j->timer);
    r->done(r, status, res, e);
    for (int i = 0; i < 3; i++) {
        val_unref(j->params[i]);
        val_unref(j->answers[i]);
    }
    val_unref(j->input);
    mem_free(j);
}

static void job_content(struct job *j, struct val *takes_content, struct val *takes_structured)
{
    struct tool_result res = {.content = takes_content, .structured = takes_structured};
    job_end(j, 0, &res, NULL);
    val_unref(takes_content);
    val_unref(takes_structured);
}

__attribute__((format(printf, 2, 3))) static void job_text(struct job *j, const char *fmt, ...)
{
    char text[4096];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    job_content(j, val_push(val_arr(), mcp_text_block(bytes_of(text))), NULL);
}

static void job_fail(struct job *j, int code, const char *text)
{
    struct err e = {0};
    (void)err_set(&e, code, "%s", text);
    job_end(j, code, NULL, &e);
}

static void job_wait(struct job *j, int64_t ms)
{
    j->step++;
    (void)timer_start(loop_timers(server.loop), &j->timer, ms);
}

static void on_timer(struct timer *t)
{
    struct job *j = t->user;
    j->tool->step(j);
}

static void answered(struct tool_ask *a, int status, const struct val *result, const struct err *e)
{
    struct job *j = a->user;
    (void)e;
    j->answers[a - j->asks] = result ? val_ref((struct val *)result) : NULL;
    if (status < 0)
        j->status = status;
    if (--j->open == 0) {
        j->step++;
        j->tool->step(j);
    }
}

static bool ask(struct job *j, int i, const char *key, const char *method, const char *params)
{
    struct tool_host *h = j->r->host;
    val_unref(j->params[i]);
    j->params[i] = NULL;
    val_unref(j->answers[i]);
    j->answers[i] = NULL;
    if (params && val_parse(&j->params[i], bytes_of(params), NULL) < 0)
        abort();
    j->asks[i] = (struct tool_ask){.key = bytes_of(key),
                                   .method = bytes_of(method),
                                   .params = j->params[i],
                                   .answered = answered,
                                   .user = j};
    if (!h || h->ops->ask(h, &j->asks[i], NULL) < 0)
        return false;
    j->open++;
    return true;
}

static void ask_or_fail(struct job *j, const char *key, const char *method, const char *params)
{
    if (!ask(j, 0, key, method, params))
        job_fail(j, E_UNSUPPORTED, "the client cannot be asked");
}

static const char *text_of(const struct val *v, char *room, size_t n)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    (void)val_write(&b, v);
    (void)snprintf(room, n, "%.*s", BYTES_FMT(buf_bytes(&b)));
    buf_fini(&b);
    return room;
}

static const char *arg(const struct job *j, const char *name)
{
    return val_text(val_get_cstr(j->input, name), "");
}

// ---- plain tools -------------------------------------------------------------------------------

static struct val *blob(const char *type, const char *data, const char *mime)
{
    struct val *v = val_put_cstr(val_obj(), "type", val_cstr(type));
    v = val_put_cstr(v, "data", val_cstr(data));
    return val_put_cstr(v, "mimeType", val_cstr(mime));
}

static struct val *resource(const char *uri, const char *mime, const char *text)
{
    struct val *v = val_put_cstr(val_obj(), "uri", val_cstr(uri));
    v = val_put_cstr(v, "mimeType", val_cstr(mime));
    return val_put_cstr(v, "text", val_cstr(text));
}

static struct val *embedded(const char *uri, const char *mime, const char *text)
{
    struct val *v = val_put_cstr(val_obj(), "type", val_cstr("resource"));
    return val_put_cstr(v, "resource", resource(uri, mime, text));
}

static void add_numbers(struct job *j)
{
    const struct val *a = val_get_cstr(j->input, "a"), *b = val_get_cstr(j->input, "b");
    if (!val_is(a, JSON_NUM) || !val_is(b, JSON_NUM)) {
        job_fail(j, E_INVALID, "a and b must be numbers");
        return;
    }
    struct val *sum = val_num(val_dbl(a, 0) + val_dbl(b, 0));
    job_content(j, NULL, val_put_cstr(val_obj(), "sum", sum));
}

static void simple_text(struct job *j)
{
    job_text(j, "This is a simple text response for testing.");
}

static void schema_tool(struct job *j)
{
    char room[1024];
    job_text(j, "%s", text_of(j->input, room, sizeof(room)));
}

static void image(struct job *j)
{
    job_content(j, val_push(val_arr(), blob("image", png, "image/png")), NULL);
}

static void audio(struct job *j)
{
    job_content(j, val_push(val_arr(), blob("audio", wav, "audio/wav")), NULL);
}

static void embedded_resource(struct job *j)
{
    job_content(j,
                val_push(val_arr(), embedded("test://embedded-resource", "text/plain",
                                             "This is an embedded resource content.")),
                NULL);
}

static void mixed(struct job *j)
{
    struct val *v = val_push(val_arr(), mcp_text_block(BYTES("Multiple content types test:")));
    v = val_push(v, blob("image", png, "image/png"));
    v = val_push(v, embedded("test://mixed-content-resource", "application/json",
                             "{\"test\":\"data\",\"value\":123}"));
    job_content(j, v, NULL);
}

static void error_handling(struct job *j)
{
    struct val *v = val_push(
        val_arr(), mcp_text_block(BYTES("This tool intentionally returns an error for testing")));
    struct tool_result res = {.content = v, .is_error = true};
    job_end(j, 0, &res, NULL);
    val_unref(v);
}

static void protocol_error(struct job *j)
{
    if (j->step == 0)
        job_wait(j, 1000);
    else
        job_fail(j, E_INTERNAL, "this tool broke on purpose");
}

static void failing(struct job *j)
{
    if (j->step == 0)
        job_wait(j, 1000);
    else
        error_handling(j);
}

static void with_logging(struct job *j)
{
    static const char *const lines[] = {"Tool execution started", "Tool processing data",
                                        "Tool execution completed"};
    if (j->r->host) {
        struct val *data = val_cstr(lines[j->step]);
        j->r->host->ops->log(j->r->host, MCP_INFO, BYTES("test"), data);
        val_unref(data);
    }
    if (j->step < 2)
        job_wait(j, 50);
    else
        job_text(j, "logged");
}

static void with_progress(struct job *j)
{
    j->r->progress(j->r, j->step * 50, 100, BYTES("step"));
    if (j->step < 2)
        job_wait(j, 50);
    else
        job_text(j, "all done");
}

static void flood(struct job *j) // as fast as it can: most is dropped for a slow reader
{
    for (int i = 0; i < 20000; i++) {
        struct val *data = val_str(
            bytes_first(BYTES("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"), (size_t)(i % 44)));
        j->r->host->ops->log(j->r->host, MCP_EMERGENCY, BYTES("flood"), data);
        val_unref(data);
    }
    job_text(j, "flooded");
}

static void reconnection(struct job *j)
{
    if (j->step == 0)
        job_wait(j, 1500);
    else
        job_text(j, "Reconnection test completed successfully");
}

static void slow(struct job *j)
{
    double seconds = val_dbl(val_get_cstr(j->input, "seconds"), 1);
    if (j->step == 0)
        job_wait(j, (int64_t)(seconds * 1000));
    else
        job_text(j, "computed for %g s", seconds);
}

static void greet(struct job *j)
{
    job_text(j, "Hello, %s!", arg(j, "name"));
}

static void echo(struct job *j)
{
    job_content(j, NULL, val_ref(j->input));
}

static void big(struct job *j)
{
    size_t n = (size_t)val_i64(val_get_cstr(j->input, "bytes"), 0);
    struct buf b;
    buf_init(&b, (size_t)64 << 20);
    char *p = n <= (size_t)32 << 20 ? buf_room(&b, n) : NULL;
    if (p) {
        memset(p, 'x', n);
        b.n += n;
    }
    job_content(j, val_push(val_arr(), mcp_text_block(buf_bytes(&b))), NULL);
    buf_fini(&b);
}

static void change_tools(struct job *j)
{
    server.tools.epoch++;
    job_text(j, "the tools have changed");
}

static void change_prompts(struct job *j)
{
    server.more.prompts_epoch++;
    job_text(j, "the prompts have changed");
}

static void change_resource(struct job *j)
{
    mcpd_updated(server.mcpd, BYTES("test://watched-resource"));
    job_text(j, "the resource has changed");
}

// ---- tools that ask ----------------------------------------------------------------------------

static void asked_text(struct job *j, const char *what)
{
    char room[2048];
    const struct val *v = j->answers[0];
    if (j->status < 0) {
        job_fail(j, j->status, "the client did not answer");
        return;
    }
    job_text(j, "%s: action=%s, content=%s", what, val_text(val_get_cstr(v, "action"), "none"),
             text_of(val_get_cstr(v, "content"), room, sizeof(room)));
}

static void sampling(struct job *j)
{
    char params[2048];
    struct buf prompt;
    if (j->step) {
        if (j->status < 0)
            job_fail(j, j->status, "the client did not answer");
        else
            job_text(j, "LLM response: %s",
                     val_text(val_ptr(j->answers[0], BYTES("/content/text")), ""));
        return;
    }
    buf_init(&prompt, 1024);
    (void)buf_json_str(&prompt, bytes_of(arg(j, "prompt")));
    (void)snprintf(
        params, sizeof(params),
        "{\"messages\":[{\"role\":\"user\",\"content\":{\"type\":\"text\",\"text\":%s}}],"
        "\"maxTokens\":100}",
        buf_cstr(&prompt));
    buf_fini(&prompt);
    ask_or_fail(j, "answer", "sampling/createMessage", params);
}

#define FORM(message, properties, required)                                                        \
    "{\"message\":\"" message                                                                      \
    "\",\"requestedSchema\":{\"type\":\"object\",\"properties\":{" properties                      \
    "},\"required\":[" required "]}}"
#define ELICIT "elicitation/create"

static void elicitation(struct job *j)
{
    if (j->step)
        asked_text(j, "User response");
    else
        ask_or_fail(j, "user", ELICIT,
                    FORM("Please answer",
                         "\"username\":{\"type\":\"string\",\"description\":\"User's response\"},"
                         "\"email\":{\"type\":\"string\",\"description\":\"User's email address\"}",
                         "\"username\",\"email\""));
}

static void elicitation_defaults(struct job *j)
{
    if (j->step)
        asked_text(j, "Elicitation completed");
    else
        ask_or_fail(j, "defaults", ELICIT,
                    FORM("Please look at the defaults",
                         "\"name\":{\"type\":\"string\",\"default\":\"John Doe\"},"
                         "\"age\":{\"type\":\"integer\",\"default\":30},"
                         "\"score\":{\"type\":\"number\",\"default\":95.5},"
                         "\"status\":{\"type\":\"string\",\"enum\":[\"active\",\"inactive\","
                         "\"pending\"],\"default\":\"active\"},"
                         "\"verified\":{\"type\":\"boolean\",\"default\":true}",
                         ""));
}

#define THREE(a, b)                                                                                \
    "[{\"const\":\"value1\",\"title\":\"First " a                                                  \
    "\"},{\"const\":\"value2\",\"title\":\"Second " a "\"},{\"const\":\"value3\",\"title\":\"" b   \
    "\"}]"

static void elicitation_enums(struct job *j)
{
    if (j->step)
        asked_text(j, "Elicitation completed");
    else
        ask_or_fail(
            j, "enums", ELICIT,
            FORM("Please choose",
                 "\"untitledSingle\":{\"type\":\"string\",\"enum\":[\"option1\",\"option2\","
                 "\"option3\"]},"
                 "\"titledSingle\":{\"type\":\"string\",\"oneOf\":" THREE(
                     "Option", "Third Option") "},\"legacyEnum\":{\"type\":\"string\",\"enum\":["
                                               "\"opt1\",\"opt2\",\"opt3\"],"
                                               "\"enumNames\":[\"Option One\",\"Option "
                                               "Two\",\"Option Three\"]},"
                                               "\"untitledMulti\":{\"type\":\"array\",\"items\":{"
                                               "\"type\":\"string\",\"enum\":["
                                               "\"option1\",\"option2\",\"option3\"]}},"
                                               "\"titledMulti\":{\"type\":\"array\",\"items\":{"
                                               "\"anyOf\":" THREE("Choice", "Third Choice") "}}",
                 ""));
}

static void ir_elicitation(struct job *j)
{
    if (j->step)
        asked_text(j, "Hello");
    else
        ask_or_fail(j, "user_name", ELICIT,
                    FORM("What is your name?", "\"name\":{\"type\":\"string\"}", "\"name\""));
}

static const char capital[] = "{\"messages\":[{\"role\":\"user\",\"content\":{\"type\":\"text\","
                              "\"text\":\"What is the capital "
                              "of France?\"}}],\"maxTokens\":100}";

static void ir_sampling(struct job *j)
{
    if (j->step)
        job_text(j, "%s", val_text(val_ptr(j->answers[0], BYTES("/content/text")), ""));
    else
        ask_or_fail(j, "capital_question", "sampling/createMessage", capital);
}

static void ir_roots(struct job *j)
{
    char room[1024];
    if (j->step)
        job_text(j, "roots: %s", text_of(val_get_cstr(j->answers[0], "roots"), room, sizeof(room)));
    else
        ask_or_fail(j, "client_roots", "roots/list", NULL);
}

static void ir_state(struct job *j)
{
    if (j->step)
        job_text(j, "state-ok");
    else
        ask_or_fail(j, "confirm", ELICIT,
                    FORM("Go on?", "\"ok\":{\"type\":\"boolean\"}", "\"ok\""));
}

static void ir_multiple(struct job *j)
{
    if (j->step) {
        job_text(j, "all three came");
        return;
    }
    if (!ask(j, 0, "user_name", ELICIT,
             FORM("What is your name?", "\"name\":{\"type\":\"string\"}", "\"name\"")) ||
        !ask(j, 1, "greeting", "sampling/createMessage", capital) ||
        !ask(j, 2, "client_roots", "roots/list", NULL))
        job_fail(j, E_UNSUPPORTED, "the client cannot be asked");
}

static void ir_rounds(struct job *j)
{
    if (j->step == 0)
        ask_or_fail(j, "step1", ELICIT,
                    FORM("Step 1: your name?", "\"name\":{\"type\":\"string\"}", "\"name\""));
    else if (j->step == 1)
        ask_or_fail(j, "step2", ELICIT,
                    FORM("Step 2: your colour?", "\"color\":{\"type\":\"string\"}", "\"color\""));
    else
        job_text(j, "both rounds are done");
}

static void ir_capabilities(struct job *j)
{
    struct tool_host *h = j->r->host;
    if (j->step)
        job_text(j, "asked what can be asked");
    else if (h && h->ops->can(h, BYTES(ELICIT)))
        ask_or_fail(j, "user_name", ELICIT,
                    FORM("What is your name?", "\"name\":{\"type\":\"string\"}", "\"name\""));
    else
        ask_or_fail(j, "capital_question", "sampling/createMessage", capital);
}

static void confirm_delete(struct job *j)
{
    if (j->step == 0)
        job_wait(j, 600);
    else if (j->step == 1)
        ask_or_fail(j, "confirm", ELICIT,
                    FORM("Delete it?", "\"confirm\":{\"type\":\"boolean\"}", "\"confirm\""));
    else
        asked_text(j, "deleted");
}

static void multi_input(struct job *j)
{
    if (j->step == 0)
        job_wait(j, 600);
    else if (j->step == 1) {
        if (!ask(j, 0, "first", ELICIT, FORM("First?", "\"name\":{\"type\":\"string\"}", "")) ||
            !ask(j, 1, "second", ELICIT, FORM("Second?", "\"name\":{\"type\":\"string\"}", "")))
            job_fail(j, E_UNSUPPORTED, "the client cannot be asked");
    } else
        job_text(j, "both came");
}

static void with_task(struct job *j)
{
    if (j->step == 0)
        ask_or_fail(j, "user_name", ELICIT,
                    FORM("What is your name?", "\"name\":{\"type\":\"string\"}", "\"name\""));
    else if (j->step == 1)
        job_wait(j, 1500);
    else
        job_text(j, "a task for %s", val_text(val_ptr(j->answers[0], BYTES("/content/name")), ""));
}

#define NONE "{\"type\":\"object\",\"properties\":{}}"
#define ONE(name, type)                                                                            \
    "{\"type\":\"object\",\"properties\":{\"" name "\":{\"type\":\"" type "\"}}}"

static struct tool tools[] = {
    {"add_numbers", "Adds two numbers.",
     "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"number\"},\"b\":{\"type\":\"number\"}}"
     ","
     "\"required\":[\"a\",\"b\"]}",
     TOOL_IDEMPOTENT, true, add_numbers, NULL},
    {"big", "Answers with so many bytes.", ONE("bytes", "integer"), 0, true, big, NULL},
    {"confirm_delete", "Asks, then says that it deleted.", ONE("filename", "string"), TOOL_DESTROYS,
     true, confirm_delete, NULL},
    {"echo", "Answers with its arguments.", "{\"type\":\"object\"}", TOOL_IDEMPOTENT, true, echo,
     NULL},
    {"failing_job", "Fails after a second.", NONE, 0, true, failing, NULL},
    {"flood", "Logs 20,000 lines at once.", NONE, 0, true, flood, NULL},
    {"greet", "Greets.", ONE("name", "string"), 0, true, greet, NULL},
    {"json_schema_2020_12_tool", "Tool with JSON Schema 2020-12 features",
     "{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\",\"type\":\"object\",\"$defs\":{"
     "\"address\":{\"$anchor\":\"addressDef\",\"type\":\"object\",\"properties\":{\"street\":{"
     "\"type\":\"string\"},\"city\":{\"type\":\"string\"}}}},\"properties\":{\"name\":{\"type\":"
     "\"string\"},\"address\":{\"$ref\":\"#/$defs/"
     "address\"},\"contactMethod\":{\"type\":\"string\","
     "\"enum\":[\"phone\",\"email\"]},\"phone\":{\"type\":\"string\"},\"email\":{\"type\":"
     "\"string\"}},\"allOf\":[{\"anyOf\":[{\"required\":[\"phone\"]},{\"required\":[\"email\"]}]}],"
     "\"if\":{\"properties\":{\"contactMethod\":{\"const\":\"phone\"}},\"required\":["
     "\"contactMethod\"]},\"then\":{\"required\":[\"phone\"]},\"else\":{\"required\":[\"email\"]},"
     "\"additionalProperties\":false}",
     0, true, schema_tool, NULL},
    {"multi_input", "Asks two things at once.", NONE, 0, true, multi_input, NULL},
    {"protocol_error_job", "Breaks after a second.", NONE, 0, true, protocol_error, NULL},
    {"slow_compute", "Takes so many seconds.", ONE("seconds", "number"), 0, true, slow, NULL},
    {"test_audio_content", "Answers with audio.", NONE, 0, true, audio, NULL},
    {"test_elicitation", "Asks the user.", ONE("message", "string"), 0, true, elicitation, NULL},
    {"test_elicitation_sep1034_defaults", "Asks with defaults.", NONE, 0, true,
     elicitation_defaults, NULL},
    {"test_elicitation_sep1330_enums", "Asks with choices.", NONE, 0, true, elicitation_enums,
     NULL},
    {"test_embedded_resource", "Answers with a resource.", NONE, 0, true, embedded_resource, NULL},
    {"test_error_handling", "Answers with an error.", NONE, 0, true, error_handling, NULL},
    {"test_image_content", "Answers with an image.", NONE, 0, true, image, NULL},
    {"test_input_required_result_capabilities", "Asks what can be asked.", NONE, 0, true,
     ir_capabilities, NULL},
    {"test_input_required_result_elicitation", "Asks for a name.", NONE, 0, true, ir_elicitation,
     NULL},
    {"test_input_required_result_list_roots", "Asks for roots.", NONE, 0, true, ir_roots, NULL},
    {"test_input_required_result_multi_round", "Asks twice.", NONE, 0, true, ir_rounds, NULL},
    {"test_input_required_result_multiple_inputs", "Asks three things.", NONE, 0, true, ir_multiple,
     NULL},
    {"test_input_required_result_request_state", "Keeps a state.", NONE, 0, true, ir_state, NULL},
    {"test_input_required_result_sampling", "Asks a model.", NONE, 0, true, ir_sampling, NULL},
    {"test_input_required_result_tampered_state", "Keeps a state.", NONE, 0, true, ir_state, NULL},
    {"test_logging_tool", "Logs.", NONE, 0, true, with_logging, NULL},
    {"test_missing_capability", "Needs sampling.", NONE, 0, true, ir_sampling, NULL},
    {"test_multiple_content_types", "Answers with several kinds.", NONE, 0, true, mixed, NULL},
    {"test_reconnection", "Takes longer than a stream is held.", NONE, 0, true, reconnection, NULL},
    {"test_sampling", "Asks a model.", ONE("prompt", "string"), TOOL_COSTS, true, sampling, NULL},
    {"test_simple_text", "Answers with a text.", NONE, 0, true, simple_text, NULL},
    {"test_streaming_elicitation", "Asks for a name.", NONE, 0, true, ir_elicitation, NULL},
    {"test_tool_with_logging", "Logs three lines.", NONE, 0, true, with_logging, NULL},
    {"test_tool_with_progress", "Reports progress.", NONE, 0, true, with_progress, NULL},
    {"test_tool_with_task", "Asks, then takes its time.", NONE, 0, true, with_task, NULL},
    {"test_trigger_prompt_change", "Changes the prompts.", NONE, 0, true, change_prompts, NULL},
    {"test_trigger_resource_change", "Changes the watched resource.", NONE, 0, true,
     change_resource, NULL},
    {"test_trigger_tool_change", "Changes the tools.", NONE, 0, true, change_tools, NULL},
    {"test_x_mcp_header", "Has a marked argument.",
     "{\"type\":\"object\",\"properties\":{\"region\":{\"type\":\"string\",\"x-mcp-header\":"
     "\"Region\"},\"query\":{\"type\":\"string\"}}}",
     0, true, echo, NULL},
    {"wipe", "Says that it wiped; nobody granted it.", NONE, TOOL_DESTROYS | TOOL_RUNS, false,
     simple_text, NULL},
};
#define TOOLS (sizeof(tools) / sizeof(tools[0]))
static struct val *sum_schema;

static void about(struct tool *t, struct tool_about *ret)
{
    *ret = (struct tool_about){.name = bytes_of(t->name),
                               .description = bytes_of(t->about),
                               .input = t->schema,
                               .source = BYTES("test"),
                               .effects = t->effects,
                               .granted = t->granted};
    if (t->step == add_numbers)
        ret->output = sum_schema;
}

static void tools_list(struct tools *s, const struct tool_caller *c,
                       void (*each)(void *user, const struct tool_about *a), void *user)
{
    struct tool_about a;
    (void)s;
    (void)c;
    for (size_t i = 0; i < TOOLS; i++) {
        about(&tools[i], &a);
        each(user, &a);
    }
}

static struct tool *tool_of(struct bytes name)
{
    for (size_t i = 0; i < TOOLS; i++)
        if (bytes_is(name, tools[i].name))
            return &tools[i];
    return NULL;
}

static bool tools_find(struct tools *s, struct bytes name, struct tool_about *ret)
{
    struct tool *t = tool_of(name);
    (void)s;
    if (t)
        about(t, ret);
    return t != NULL;
}

static int job_start(const struct tool *t, const struct val *input, struct tool_req *r,
                     struct err *e)
{
    struct job *j = mem_new(struct job);
    if (!j)
        return err_set(e, E_NOMEM, "out of memory");
    *j = (struct job){.tool = t, .r = r, .input = val_ref((struct val *)input)};
    j->timer = (struct timer){.fn = on_timer, .user = j};
    r->priv = j;
    list_add_tail(&server.jobs, &j->link);
    return timer_start(loop_timers(server.loop), &j->timer, 0);
}

static int tools_start(struct tools *s, const struct tool_args *a, struct tool_req *r,
                       struct err *e)
{
    struct tool *t = tool_of(a->name);
    (void)s;
    if (!t)
        return err_set(e, E_NOTFOUND, "no such tool");
    if (!t->granted && !a->caller.confirmed)
        return err_set(e, E_FORBIDDEN, "nobody granted %s", t->name);
    return job_start(t, a->input, r, e);
}

static void on_cancelled(struct timer *t)
{
    job_fail(t->user, E_CANCELLED, "cancelled");
}

static void req_cancel(struct tool_req *r)
{
    struct job *j = r->priv;
    j->timer.fn = on_cancelled;
    (void)timer_start(loop_timers(server.loop), &j->timer, 0);
}

static void tools_cancel(struct tools *s, struct tool_req *r)
{
    (void)s;
    req_cancel(r);
}

static const struct tools_ops tools_ops = {tools_list, tools_find, tools_start, tools_cancel};

// ---- resources and prompts ---------------------------------------------------------------------

static const struct mcpd_resource resources[] = {
    {BYTES("test://static-binary"),
     BYTES("Static binary"),
     {0},
     BYTES("A red pixel."),
     BYTES("image/png"),
     -1},
    {BYTES("test://static-text"),
     BYTES("Static text"),
     {0},
     BYTES("A text."),
     BYTES("text/plain"),
     -1},
    {BYTES("test://watched-resource"),
     BYTES("Watched"),
     {0},
     BYTES("One that changes."),
     BYTES("text/plain"),
     -1},
};
static const struct mcpd_resource templates[] = {
    {BYTES("test://template/{id}/data"),
     BYTES("Template"),
     {0},
     BYTES("Data of an id."),
     BYTES("application/json"),
     -1},
};

static void more_resources(struct mcpd_more *o, const struct tool_caller *c,
                           void (*each)(void *user, const struct mcpd_resource *r), void *user)
{
    (void)o;
    (void)c;
    for (size_t i = 0; i < sizeof(resources) / sizeof(resources[0]); i++)
        each(user, &resources[i]);
}

static void more_templates(struct mcpd_more *o, const struct tool_caller *c,
                           void (*each)(void *user, const struct mcpd_resource *r), void *user)
{
    (void)o;
    (void)c;
    each(user, &templates[0]);
}

static void read_text(struct job *j, const char *uri, const char *mime, const char *text)
{
    job_content(j, val_push(val_arr(), resource(uri, mime, text)), NULL);
}

static void read_step(struct job *j)
{
    char text[256];
    const char *uri = arg(j, "uri"), *id = uri + strlen("test://template/");
    const char *end = strstr(uri, "/data");
    if (strcmp(uri, "test://static-text") == 0) {
        read_text(j, uri, "text/plain", "This is the content of the static text resource.");
    } else if (strcmp(uri, "test://watched-resource") == 0) {
        read_text(j, uri, "text/plain", "Watched.");
    } else if (strcmp(uri, "test://static-binary") == 0) {
        struct val *v = val_put_cstr(val_obj(), "uri", val_cstr(uri));
        v = val_put_cstr(v, "mimeType", val_cstr("image/png"));
        job_content(j, val_push(val_arr(), val_put_cstr(v, "blob", val_cstr(png))), NULL);
    } else if (strncmp(uri, "test://template/", 16) == 0 && end && end - id < 100) {
        (void)snprintf(text, sizeof(text),
                       "{\"id\":\"%.*s\",\"templateTest\":true,\"data\":\"Data for ID: %.*s\"}",
                       (int)(end - id), id, (int)(end - id), id);
        read_text(j, uri, "application/json", text);
    } else {
        job_fail(j, E_NOTFOUND, "no such resource");
    }
}

static const struct tool reader = {.name = "read", .step = read_step};

static int more_read(struct mcpd_more *o, const struct tool_args *a, struct tool_req *r,
                     struct err *e)
{
    struct val *input = val_put_cstr(val_obj(), "uri", val_str(a->name));
    (void)o;
    int rc = job_start(&reader, input, r, e);
    val_unref(input);
    return rc;
}

static struct val *said(struct val *takes_content)
{
    struct val *v = val_put_cstr(val_obj(), "role", val_cstr("user"));
    return val_put_cstr(v, "content", takes_content);
}

static void prompt_says(struct job *j, struct val *takes_content, const char *text)
{
    struct val *list = val_arr();
    if (takes_content)
        list = val_push(list, said(takes_content));
    if (text)
        list = val_push(list, said(mcp_text_block(bytes_of(text))));
    job_content(j, list, NULL);
}

static void prompt_simple(struct job *j)
{
    prompt_says(j, NULL, "This is a simple prompt for testing.");
}

static void prompt_arguments(struct job *j)
{
    char text[1024];
    (void)snprintf(text, sizeof(text), "Prompt with arguments: arg1='%.200s', arg2='%.200s'",
                   arg(j, "arg1"), arg(j, "arg2"));
    prompt_says(j, NULL, text);
}

static void prompt_resource(struct job *j)
{
    prompt_says(j, embedded(arg(j, "resourceUri"), "text/plain", "Embedded resource content."),
                "Please process the embedded resource above.");
}

static void prompt_image(struct job *j)
{
    prompt_says(j, blob("image", png, "image/png"), "Please analyze the image above.");
}

static void prompt_asks(struct job *j)
{
    if (j->step)
        prompt_says(j, NULL, "Asked, and answered.");
    else
        ask_or_fail(j, "user_context", ELICIT,
                    FORM("What is it about?", "\"context\":{\"type\":\"string\"}", ""));
}

static struct tool prompts[] = {
    {.name = "test_input_required_result_prompt", .about = "Asks.", .step = prompt_asks},
    {.name = "test_prompt_with_arguments",
     .about = "Has arguments.",
     .input = "[{\"name\":\"arg1\",\"description\":\"First test argument\",\"required\":true},"
              "{\"name\":\"arg2\",\"description\":\"Second test argument\",\"required\":true}]",
     .step = prompt_arguments},
    {.name = "test_prompt_with_embedded_resource",
     .about = "Has a resource.",
     .input = "[{\"name\":\"resourceUri\",\"description\":\"Of the resource\",\"required\":true}]",
     .step = prompt_resource},
    {.name = "test_prompt_with_image", .about = "Has an image.", .step = prompt_image},
    {.name = "test_simple_prompt", .about = "A simple one.", .step = prompt_simple},
};
#define PROMPTS (sizeof(prompts) / sizeof(prompts[0]))

static void more_prompts(struct mcpd_more *o, const struct tool_caller *c,
                         void (*each)(void *user, const struct mcpd_prompt *p), void *user)
{
    (void)o;
    (void)c;
    for (size_t i = 0; i < PROMPTS; i++)
        each(user, &(struct mcpd_prompt){.name = bytes_of(prompts[i].name),
                                         .description = bytes_of(prompts[i].about),
                                         .arguments = prompts[i].schema});
}

static int more_prompt(struct mcpd_more *o, const struct tool_args *a, struct tool_req *r,
                       struct err *e)
{
    (void)o;
    for (size_t i = 0; i < PROMPTS; i++)
        if (bytes_is(a->name, prompts[i].name))
            return job_start(&prompts[i], a->input, r, e);
    return err_set(e, E_NOTFOUND, "no such prompt");
}

static void complete_step(struct job *j)
{
    static const char *const words[] = {"paris", "park", "party"};
    struct bytes begun = val_bytes(val_ptr(j->input, BYTES("/argument/value")));
    struct val *list = val_arr();
    for (size_t i = 0; i < 3; i++)
        if (bytes_starts(bytes_of(words[i]), begun))
            list = val_push(list, val_cstr(words[i]));
    job_content(j, list, NULL);
}

static const struct tool completer = {.name = "complete", .step = complete_step};

static int more_complete(struct mcpd_more *o, const struct tool_args *a, struct tool_req *r,
                         struct err *e)
{
    (void)o;
    return job_start(&completer, a->input, r, e);
}

static void more_cancel(struct mcpd_more *o, struct tool_req *r)
{
    (void)o;
    req_cancel(r);
}

static const struct mcpd_more_ops more_ops = {.resources = more_resources,
                                              .templates = more_templates,
                                              .prompts = more_prompts,
                                              .read = more_read,
                                              .prompt = more_prompt,
                                              .complete = more_complete,
                                              .cancel = more_cancel};

// ---- the program -------------------------------------------------------------------------------

static int who(void *user, struct http_exchange *x, struct mcpd_who *ret, struct err *e)
{
    struct bytes v = http_header(http_request(x), "Authorization");
    (void)user;
    ret->admin = true;
    if (server.key_count == 0)
        return 0;
    for (size_t i = 0; i < server.key_count; i++)
        if (bytes_starts(v, BYTES("Bearer ")) && bytes_is(bytes_from(v, 7), server.keys[i][1])) {
            (void)snprintf(ret->name, sizeof(ret->name), "%.100s", server.keys[i][0]);
            return 0;
        }
    return err_set(e, E_UNAUTH, "no valid key");
}

static int on_head(void *user, struct http_exchange *x)
{
    (void)user;
    if (mcpd_mine(server.mcpd, http_request(x)))
        return mcpd_head(server.mcpd, x);
    if (bytes_is(http_request(x)->path, "/health")) { // plexus mcp asks for it first
        http_reply(x, 200, "application/json", BYTES_NONE, BYTES("{}"));
        return 1;
    }
    http_reply_error(x, E_NOTFOUND, "there is only /mcp", NULL, -1);
    return 1;
}

static void on_request(void *user, struct http_exchange *x)
{
    (void)user;
    mcpd_request(server.mcpd, x);
}

static void on_stop(void *user, int signum)
{
    (void)user;
    (void)signum;
    mcpd_free(server.mcpd);
    server.mcpd = NULL;
    http_server_unlisten(server.http, server.listener);
    http_server_abort(server.http);
    while (!list_empty(&server.jobs))
        job_fail(container_of(server.jobs.next, struct job, link), E_CANCELLED, "the end");
    loop_stop(server.loop);
}

static void schemas(void)
{
    static const char sum[] = "{\"type\":\"object\",\"properties\":{\"sum\":{\"type\":\"number\"}},"
                              "\"required\":[\"sum\"]}";
    if (val_parse(&sum_schema, bytes_of(sum), NULL) < 0)
        abort();
    for (size_t i = 0; i < TOOLS; i++)
        if (val_parse(&tools[i].schema, bytes_of(tools[i].input), NULL) < 0)
            abort();
    for (size_t i = 0; i < PROMPTS; i++)
        if (prompts[i].input && val_parse(&prompts[i].schema, bytes_of(prompts[i].input), NULL) < 0)
            abort();
}

int main(int argc, char **argv)
{
    static const char *oauth[2];
    struct mcpd_args args = {.info = {.name = "plexus-mcp-test", .version = PLEXUS_VERSION},
                             .instructions = "Tools for tests.",
                             .who = who};
    struct net_listen_args listen = {.queue_bytes_max = 1 << 20};
    struct err e = {0};
    (void)signal(SIGPIPE, SIG_IGN);
    list_init(&server.jobs);
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : "";
        char *equals;
        if (strcmp(name, "--confirm") == 0) {
            args.may_confirm = true;
            continue;
        }
        i++;
        if (strcmp(name, "--port") == 0)
            listen.addr.port = (uint16_t)atoi(value);
        else if (strcmp(name, "--hold") == 0)
            args.limits.hold_ms = atoi(value);
        else if (strcmp(name, "--task") == 0)
            args.task_after_ms = atoi(value);
        else if (strcmp(name, "--sessions") == 0)
            args.limits.sessions_max = args.limits.sessions_each_max = (size_t)atoi(value);
        else if (strcmp(name, "--page") == 0)
            args.limits.page = (size_t)atoi(value);
        else if (strcmp(name, "--ask") == 0)
            args.limits.ask_ms = atoi(value);
        else if (strcmp(name, "--oauth") == 0) {
            oauth[0] = value;
            args.authorization_servers = oauth;
        } else if (strcmp(name, "--key") == 0 && server.key_count < KEYS_MAX &&
                   (equals = strchr(argv[i], '=')) != NULL) {
            *equals = 0;
            server.keys[server.key_count][0] = argv[i];
            server.keys[server.key_count++][1] = equals + 1;
        } else {
            (void)fprintf(stderr, "mcp_server: what is %s?\n", name);
            return 64;
        }
    }
    schemas();
    server.tools.ops = &tools_ops;
    server.more.ops = &more_ops;
    (void)snprintf(listen.addr.host, sizeof(listen.addr.host), "127.0.0.1");
    int rc = loop_new(&server.loop, &(struct loop_args){0}, &e);
    if (rc == 0) {
        args.timers = loop_timers(server.loop);
        args.tools = &server.tools;
        args.more = &server.more;
        rc = mcpd_new(&server.mcpd, &args, &e);
    }
    struct http_server_args http = {.routes = {.on_head = on_head, .on_request = on_request}};
    if (rc == 0) {
        http.net = loop_net(server.loop);
        http.timers = loop_timers(server.loop);
        rc = http_server_new(&server.http, &http, &e);
    }
    if (rc == 0)
        rc = http_server_listen(server.http, &listen, 0, &server.listener, &e);
    if (rc < 0) {
        (void)fprintf(stderr, "mcp_server: %s\n", e.text);
        return 1;
    }
    (void)loop_signal(server.loop, SIGTERM, on_stop, NULL);
    (void)printf("port %u\n", net_listener_port(server.listener));
    (void)fflush(stdout);
    rc = loop_run(server.loop);
    http_server_free(server.http);
    loop_free(server.loop);
    val_unref(sum_schema);
    for (size_t i = 0; i < TOOLS; i++)
        val_unref(tools[i].schema);
    for (size_t i = 0; i < PROMPTS; i++)
        val_unref(prompts[i].schema);
    if (mem_live() != 0)
        (void)fprintf(stderr, "mcp_server: %llu allocations are left\n",
                      (unsigned long long)mem_live());
    return rc == 0 && mem_live() == 0 ? 0 : 1;
}
