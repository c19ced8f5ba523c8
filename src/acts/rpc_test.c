// rpc_test.c: call: a2a and call: mcp: JSON, streams, sessions, and a child on its standard
// streams. SPDX-License-Identifier: Apache-2.0
#include "acts/acts_rig.h"

static void stream(struct http_exchange *x, const char *text)
{
    struct bytes part = bytes_of(text);
    http_begin(x, 200, "text/event-stream", BYTES_NONE, HTTP_CHUNKED);
    (void)http_send(x, &part, 1);
    http_finish(x);
}

// ---- A2A ---------------------------------------------------------------------------------------

static void answer_a2a(struct rig *r, struct http_exchange *x, struct seen *s)
{
    const char *body = buf_cstr(&s->body);
    if (strcmp(s->target, "/.well-known/agent-card.json") == 0)
        rig_json(x, 200, "{\"name\":\"a\",\"url\":\"/agent\",\"preferredTransport\":\"JSONRPC\"}");
    else if (strcmp(s->target, "/grpc-card.json") == 0)
        rig_json(x, 200,
                 "{\"url\":\"x\",\"preferredTransport\":\"GRPC\",\"additionalInterfaces\":[{"
                 "\"transport\":\"GRPC\",\"url\":\"y\"},{\"transport\":\"JSONRPC\",\"url\":"
                 "\"agent\"}]}");
    else if (strcmp(s->target, "/no-card.json") == 0)
        rig_json(x, 200, "{\"name\":\"a\"}");
    else if (strstr(body, "message/stream"))
        stream(
            x,
            "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"kind\":\"task\"}}\n\n"
            ": still here\n\n"
            "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"kind\":\"status-update\",\"final\":"
            "true}}\n\n");
    else if (strstr(body, "tasks/get"))
        rig_json(x, 200,
                 "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32001,\"message\":\"Task "
                 "not found\",\"data\":{\"id\":\"t\"}}}");
    else if (strstr(body, "tasks/cancel"))
        rig_json(x, 500,
                 "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32603,\"message\":"
                 "\"inside\"}}");
    else if (strstr(body, "tasks/list"))
        http_reply(x, 502, "text/html", BYTES_NONE, BYTES("<p>bad gateway"));
    else
        rig_json(x, 200,
                 "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"kind\":\"message\",\"parts\":[]}}");
    (void)r;
}

static void next_a2a(struct rig *r, unsigned round)
{
    static const char *const with[] = {
        "{\"method\":\"message/send\",\"agentCard\":{\"endpoint\":\"%B/.well-known/"
        "agent-card.json\"},"
        "\"parameters\":{\"message\":{\"parts\":[{\"kind\":\"text\",\"text\":\"hi\"}]}}}",
        "{\"method\":\"message/stream\",\"server\":{\"uri\":\"%B/"
        "agent\",\"authentication\":{\"bearer\":{"
        "\"token\":\"tok-1\"}}},\"parameters\":{\"message\":{\"role\":\"agent\",\"messageId\":"
        "\"m\"}}}",
        ("{\"method\":\"message/send\","
         "\"agentCard\":{\"endpoint\":{\"uri\":\"%B/grpc-card.json\"}}}"),
        "{\"method\":\"tasks/get\",\"server\":\"%B/agent\",\"parameters\":{\"id\":\"t\"}}",
        "{\"method\":\"tasks/cancel\",\"server\":\"%B/agent\"}",
        "{\"method\":\"tasks/list\",\"server\":\"%B/agent\"}",
        "{\"method\":\"message/shout\",\"server\":\"%B/agent\"}",
        "{\"method\":\"message/send\"}",
        "{\"method\":\"message/send\",\"agentCard\":{\"endpoint\":\"%B/no-card.json\"}}",
    };
    if (round < sizeof with / sizeof *with)
        (void)rig_do(r, "a2a", with[round], 0);
    else
        rig_done(r);
}

static void test_a2a(void **state)
{
    (void)state;
    static struct rig r;
    r.answer = answer_a2a;
    rig_run(&r, next_a2a);
    gave(&r.ones[0], "{\"kind\":\"message\",\"parts\":[]}");
    assert_string_equal(r.seen[1].target, "/agent");
    AUTO(val) sent = rig_val(buf_cstr(&r.seen[1].body));
    const struct val *message = val_ptr(sent, BYTES("/params/message"));
    assert_int_equal(val_bytes(val_get_cstr(message, "messageId")).n, 36);
    assert_string_equal(val_text(val_get_cstr(message, "role"), ""), "user");
    assert_string_equal(val_text(val_get_cstr(sent, "jsonrpc"), ""), "2.0");
    gave(&r.ones[1], "[{\"kind\":\"task\"},{\"kind\":\"status-update\",\"final\":true}]");
    assert_string_equal(seen_header(&r.seen[2], "Authorization"), "Bearer tok-1");
    assert_non_null(strstr(buf_cstr(&r.seen[2].body), "\"role\":\"agent\",\"messageId\":\"m\""));
    assert_int_equal(r.ones[1].beats, 2);
    assert_int_equal(r.ones[2].status, 0);
    assert_string_equal(r.seen[4].target, "/agent");
    failed(&r.ones[3], "runtime", 500, false, "-32001: Task not found: {\"id\":\"t\"}");
    failed(&r.ones[4], "runtime", 500, false, "-32603: inside");
    failed(&r.ones[5], "communication", 502, false, "bad gateway");
    failed(&r.ones[6], "configuration", 400, true, "message/shout");
    failed(&r.ones[7], "configuration", 400, true, "agentCard or a server");
    failed(&r.ones[8], "configuration", 400, true, "JSON-RPC");
    val_unref(steal(&sent));
    rig_fini(&r);
}

// ---- MCP over HTTP -----------------------------------------------------------------------------

static void answer_mcp(struct rig *r, struct http_exchange *x, struct seen *s)
{
    const char *body = buf_cstr(&s->body);
    (void)r;
    if (strcmp(s->method, "DELETE") == 0) {
        http_reply(x, 405, NULL, BYTES_NONE, BYTES_NONE); // allowed, says the specification
    } else if (strstr(body, "\"initialize\"") && strcmp(s->target, "/broken") == 0) {
        rig_json(x, 200,
                 "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32602,\"message\":"
                 "\"Unsupported protocol version\"}}");
    } else if (strstr(body, "\"initialize\"")) {
        http_reply(
            x, 200, "application/json",
            strcmp(s->target, "/plain") == 0 ? BYTES_NONE : BYTES("Mcp-Session-Id: s-1\r\n"),
            BYTES("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"protocolVersion\":\"2025-03-26\","
                  "\"capabilities\":{},\"serverInfo\":{\"name\":\"x\",\"version\":\"1\"}}}"));
    } else if (strstr(body, "notifications/initialized")) {
        http_reply(x, 202, NULL, BYTES_NONE, BYTES_NONE);
    } else if (strcmp(s->target, "/asks") == 0) {
        rig_json(x, 200,
                 "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"resultType\":"
                 "\"input_required\",\"requestState\":\"s\"}}");
    } else if (strstr(body, "tools/call")) {
        stream(x,
               "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\","
               "\"params\":{\"progress\":1}}\n\n"
               "event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"content\":[{"
               "\"type\":\"text\",\"text\":\"done\"}]}}\n\n");
    } else if (strstr(body, "prompts/get")) {
        stream(x, ": nothing\n\n");
    } else if (strstr(body, "resources/read")) {
        rig_json(x, 404, "{}");
    } else {
        rig_json(x, 200, "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"tools\":[]}}");
    }
}

static void next_mcp(struct rig *r, unsigned round)
{
#define HTTP(path)                                                                                 \
    "\"transport\":{\"http\":{\"endpoint\":\"%B" path "\",\"headers\":{\"X-Own\":\"h\"}}}"
    static const char *const with[] = {
        "{\"method\":\"tools/call\",\"parameters\":{\"name\":\"n\",\"arguments\":{\"a\":1}}," HTTP(
            "/mcp") ",\"client\":{\"name\":\"me\",\"version\":\"2\"}}",
        "{\"method\":\"tools/list\"," HTTP("/plain") "}",
        "{\"method\":\"tools/list\"," HTTP("/broken") "}",
        "{\"method\":\"prompts/get\"," HTTP("/plain") "}",
        "{\"method\":\"resources/read\"," HTTP("/plain") "}",
        "{\"method\":\"tools/dance\"," HTTP("/plain") "}",
        "{\"method\":\"tools/list\",\"transport\":{}}",
        "{\"method\":\"tools/list\",\"timeout\":\"soon\"," HTTP("/plain") "}",
        "{\"method\":\"tools/call\",\"protocolVersion\":\"2026-07-28\",\"parameters\":{"
        "\"name\":\"n\",\"arguments\":{\"a\":1}}," HTTP("/mcp") "}",
        "{\"method\":\"tools/call\",\"protocolVersion\":\"2026-07-28\",\"parameters\":{"
        "\"name\":\"n\"}," HTTP("/asks") "}",
    };
    if (round < sizeof with / sizeof *with)
        (void)rig_do(r, "mcp", with[round], 0);
    else
        rig_done(r);
}

static void test_mcp_http(void **state)
{
    (void)state;
    static struct rig r;
    r.answer = answer_mcp;
    rig_run(&r, next_mcp);
    gave(&r.ones[0], "{\"content\":[{\"type\":\"text\",\"text\":\"done\"}]}");
    assert_int_equal(r.ones[0].beats, 1);
    assert_non_null(
        strstr(buf_cstr(&r.seen[0].body), "\"clientInfo\":{\"name\":\"me\",\"version\":\"2\"}"));
    assert_non_null(strstr(buf_cstr(&r.seen[0].body), "\"protocolVersion\":\"2025-06-18\""));
    assert_string_equal(seen_header(&r.seen[0], "MCP-Protocol-Version"), "");
    assert_string_equal(seen_header(&r.seen[1], "MCP-Protocol-Version"), "2025-03-26");
    assert_string_equal(seen_header(&r.seen[2], "Mcp-Session-Id"), "s-1");
    assert_string_equal(seen_header(&r.seen[2], "X-Own"), "h");
    assert_string_equal(r.seen[3].method, "DELETE");
    assert_string_equal(seen_header(&r.seen[3], "Mcp-Session-Id"), "s-1");
    gave(&r.ones[1], "{\"tools\":[]}");
    failed(&r.ones[2], "runtime", 500, true, "Unsupported protocol version");
    failed(&r.ones[3], "communication", 500, false, "no result");
    failed(&r.ones[4], "communication", 404, true, "404");
    failed(&r.ones[5], "configuration", 400, true, "tools/dance");
    failed(&r.ones[6], "configuration", 400, true, "transport.http or transport.stdio");
    failed(&r.ones[7], "configuration", 400, true, "duration");
    // Without a handshake: one request, which says everything.
    gave(&r.ones[8], "{\"content\":[{\"type\":\"text\",\"text\":\"done\"}]}");
    failed(&r.ones[9], "runtime", 500, true, "nobody is here");
    assert_int_equal(r.requests, 4 + 3 + 1 + 3 + 3 + 1 + 1);
    assert_string_equal(seen_header(&r.seen[14], "MCP-Protocol-Version"), "2026-07-28");
    assert_string_equal(seen_header(&r.seen[14], "Mcp-Method"), "tools/call");
    assert_string_equal(seen_header(&r.seen[14], "Mcp-Name"), "n");
    assert_non_null(strstr(buf_cstr(&r.seen[14].body),
                           "\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\""));
    assert_null(strstr(buf_cstr(&r.seen[14].body), "initialize"));
    rig_fini(&r);
}

// ---- MCP with a child --------------------------------------------------------------------------

// A server in Python: it asks for a ping first, prints a stray line, and answers.
#define SERVER                                                                                     \
    "import sys, json\\n"                                                                          \
    "def say(**m): print(json.dumps(dict(m, jsonrpc='2.0')), flush=True)\\n"                       \
    "print('stray words', flush=True)\\n"                                                          \
    "for line in sys.stdin:\\n"                                                                    \
    "    m = json.loads(line)\\n"                                                                  \
    "    if m.get('method') == 'initialize':\\n"                                                   \
    "        say(id=99, method='ping')\\n"                                                         \
    "        pong = json.loads(sys.stdin.readline())\\n"                                           \
    "        assert pong['id'] == 99 and pong['result'] == {}, pong\\n"                            \
    "        say(id=98, method='roots/list')\\n"                                                   \
    "        assert json.loads(sys.stdin.readline())['error']['code'] == -32601\\n"                \
    "        say(id=m['id'], result={'protocolVersion': m['params']['protocolVersion']})\\n"       \
    "    elif m.get('method') == 'tools/call':\\n"                                                 \
    "        say(method='notifications/progress', params={'progress': 1})\\n"                      \
    "        say(id=m['id'], result={'echo': m['params'], 'argv': sys.argv[1:]})\\n"               \
    "    elif m.get('method') == 'prompts/list': sys.exit('it broke')\\n"

static void next_child(struct rig *r, unsigned round)
{
#define STDIO                                                                                      \
    "\"transport\":{\"stdio\":{\"command\":\"python3\",\"arguments\":[\"-c\",\"" SERVER            \
    "\",\"x y\"]}}"
    if (round == 0) {
        (void)rig_do(r, "mcp",
                     "{\"method\":\"tools/call\",\"parameters\":{\"name\":\"n\"}," STDIO "}", 0);
        (void)rig_do(r, "mcp", "{\"method\":\"prompts/list\"," STDIO "}", 0);
        (void)rig_do(r, "mcp",
                     "{\"method\":\"resources/list\",\"timeout\":{\"milliseconds\":700}," STDIO "}",
                     0);
        (void)rig_do(r, "mcp",
                     "{\"method\":\"tools/list\",\"transport\":{\"stdio\":{\"command\":"
                     "\"/nonexistent/server\"}}}",
                     0);
        (void)rig_do(r, "mcp",
                     "{\"method\":\"tools/call\",\"protocolVersion\":\"2026-07-28\",\"client\":"
                     "{\"name\":\"me\",\"version\":\"2\"},\"parameters\":{\"name\":\"n\"}," STDIO
                     "}",
                     0);
    } else {
        rig_done(r);
    }
}

static void test_mcp_child(void **state)
{
    (void)state;
    static struct rig r;
    rig_run(&r, next_child);
    gave(&r.ones[0], "{\"echo\":{\"name\":\"n\"},\"argv\":[\"x y\"]}");
    assert_int_equal(r.ones[0].beats, 1);
    failed(&r.ones[1], "communication", 500, false, "exit code 1 before it answered: it broke");
    failed(&r.ones[2], "timeout", 408, false, "700 ms");
    failed(&r.ones[3], "configuration", 400, true, "/nonexistent/server");
    gave(&r.ones[4], // it was not greeted: each request says who asks, and how
         "{\"echo\":{\"name\":\"n\",\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":"
         "\"2026-07-28\",\"io.modelcontextprotocol/clientInfo\":{\"name\":\"me\",\"version\":"
         "\"2\"},\"io.modelcontextprotocol/clientCapabilities\":{}}},\"argv\":[\"x y\"]}");
    rig_fini(&r);
}

static int tests(void)
{
    const struct CMUnitTest all[] = {
        cmocka_unit_test(test_a2a),
        cmocka_unit_test(test_mcp_http),
        cmocka_unit_test(test_mcp_child),
    };
    return cmocka_run_group_tests_name("rpc", all, NULL, NULL);
}

int main(int argc, char **argv)
{
    return rig_main(argc, argv, tests);
}
