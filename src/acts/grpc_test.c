// grpc_test.c: call: grpc: documents with imports, calls with one answer and with many, metadata of
// an authentication, and what cannot be called.
// SPDX-License-Identifier: Apache-2.0
#include "acts/acts_rig.h"
#include "grpc/grpc_rig.h"

static const char proto[] = "syntax = \"proto3\"; package x; import \"sub/words.proto\";\n"
                            "service Y { rpc Say(words.Line) returns (words.Line);\n"
                            "rpc Many(words.Line) returns (stream words.Line);\n"
                            "rpc Fail(words.Line) returns (words.Line);\n"
                            "rpc Never(words.Line) returns (words.Line);\n"
                            "rpc Http(words.Line) returns (words.Line);\n"
                            "rpc Talk(stream words.Line) returns (words.Line); }\n";
static const char words[] = "syntax = \"proto3\"; package words; message Line { string text = 1; "
                            "int64 number = 2; repeated string more = 3; }";

static struct h2_server server;
static uint16_t port;

static void answer(struct rig *r, struct http_exchange *x, struct seen *s)
{
    (void)r;
    if (strcmp(s->target, "/y.proto") == 0)
        http_reply(x, 200, "text/plain", BYTES_NONE, BYTES(proto));
    else if (strcmp(s->target, "/sub/words.proto") == 0)
        http_reply(x, 200, "text/plain", BYTES_NONE, BYTES(words));
    else if (strcmp(s->target, "/bad.proto") == 0)
        http_reply(x, 200, "text/plain", BYTES_NONE, BYTES("message {"));
    else
        http_reply(x, 404, "text/plain", BYTES_NONE, BYTES("no"));
}

static void change(struct rig *r, struct acts_args *args)
{
    (void)args;
    port = h2_listen(&server, loop_net(r->loop));
}

static struct one *call(struct rig *r, const char *document, const char *method, const char *more,
                        int64_t timeout_ms)
{
    char text[1024];
    (void)snprintf(text, sizeof text,
                   "{\"proto\":{\"endpoint\":\"%%B/%s\"},\"service\":{\"name\":\"x.Y\",\"host\":"
                   "\"127.0.0.1\",\"port\":%u%s},\"method\":\"%s\",\"arguments\":{\"text\":\"hi\","
                   "\"number\":7,\"more\":[\"a\",\"b\"]}}",
                   document, port, more, method);
    return rig_do(r, "grpc", text, timeout_ms);
}

static struct one *o[10];

static void next(struct rig *r, unsigned round)
{
    if (round == 0) {
        o[0] = call(r, "y.proto", "Say", "", 0);
        o[1] = call(r, "y.proto", "Many", "", 0);
        o[2] = call(r, "y.proto", "Fail", "", 0);
        o[3] = call(r, "y.proto", "Never", "", 300);
        o[4] = call(r, "y.proto", "Talk", "", 0);
        o[5] = call(r, "y.proto", "Nope", "", 0);
        o[6] = call(r, "bad.proto", "Say", "", 0);
        o[7] = call(r, "none.proto", "Say", "", 0);
        o[8] = call(r, "y.proto", "Http", "", 0);
    } else if (round == 1) {
        o[9] = call(r, "y.proto", "Say", ",\"authentication\":{\"bearer\":{\"token\":\"abc\"}}", 0);
    } else {
        h2_close(&server);
        rig_done(r);
    }
}

static void test_calls(void **state)
{
    static struct rig r = {.answer = answer, .change = change};
    (void)state;
    rig_run(&r, next);
    gave(o[0], "{\"text\":\"hi\",\"number\":\"7\",\"more\":[\"a\",\"b\"]}");
    gave(o[1], "[{\"text\":\"hi\",\"number\":\"7\",\"more\":[\"a\",\"b\"]},"
               "{\"text\":\"hi\",\"number\":\"7\",\"more\":[\"a\",\"b\"]},"
               "{\"text\":\"hi\",\"number\":\"7\",\"more\":[\"a\",\"b\"]}]");
    failed(o[2], "communication", 404, false, "NOT_FOUND: no such% th%zzing");
    failed(o[3], "timeout", 408, false, NULL);
    failed(o[4], "configuration", 400, true, "wants a stream");
    failed(o[5], "configuration", 400, true, "no service x.Y with a method Nope");
    failed(o[6], "configuration", 400, true, "line 1");
    failed(o[7], "communication", 404, true, "none.proto");
    failed(o[8], "communication", 503, false, "HTTP status 503");
    gave(o[9], "{\"text\":\"hi\",\"number\":\"7\",\"more\":[\"a\",\"b\"]}");
    assert_string_equal(server.meta, "Bearer abc");
    rig_fini(&r);
}

static void bad_next(struct rig *r, unsigned round)
{
    static const char *const args[] = {
        "{\"proto\":{\"endpoint\":\"%B/"
        "y.proto\"},\"service\":{\"name\":\"x.Y\"},\"method\":\"Say\"}",
        "{\"proto\":{\"endpoint\":\"%B/"
        "y.proto\"},\"service\":{\"name\":\"x.Y\",\"host\":\"127.0.0.1\",\"port\":1},\"method\":"
        "\"Say\",\"arguments\":{\"text\":5}}",
        "{\"proto\":{\"endpoint\":\"%B/"
        "y.proto\"},\"service\":{\"name\":\"x.Y\",\"host\":\"127.0.0.1\",\"port\":1},\"method\":"
        "\"Say\"}",
    };
    if (round == 0)
        for (int i = 0; i < 3; i++)
            o[i] = rig_do(r, "grpc", args[i], 0);
    else
        rig_done(r);
}

static void test_bad(void **state)
{
    static struct rig r = {.answer = answer};
    (void)state;
    rig_run(&r, bad_next);
    failed(o[0], "validation", 400, true, "host and a port");
    failed(o[1], "validation", 400, true, "text: not a text");
    failed(o[2], "communication", 503, false, "127.0.0.1");
    rig_fini(&r);
}

static int tests(void)
{
    const struct CMUnitTest all[] = {cmocka_unit_test(test_calls), cmocka_unit_test(test_bad)};
    return cmocka_run_group_tests_name("acts/grpc", all, NULL, NULL);
}

int main(int argc, char **argv)
{
    return rig_main(argc, argv, tests);
}
