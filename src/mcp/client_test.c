// client_test.c: the client's session against a script of messages.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "mcp/client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SENT_MAX 64

static struct rig {
    struct mcp_client *c;
    char sent[SENT_MAX][2000];
    size_t count;
    unsigned ready, failed, asks, gone, done, notes;
    int status; // of the last done or failure
    char text[400], result[400], progress[100];
    struct mcp_ask *ask;
    struct mcp_request *last;
} r;

static void put(char *out, size_t size, const struct val *v)
{
    struct buf b;
    buf_init(&b, 4000);
    (void)val_write(&b, v);
    (void)snprintf(out, size, "%s", buf_cstr(&b));
    buf_fini(&b);
}

static void send_one(void *user, const struct val *message, struct mcp_request *req)
{
    (void)user;
    if (r.count >= SENT_MAX)
        abort();
    put(r.sent[r.count++], sizeof r.sent[0], message);
    r.last = req;
}

static void on_ready(void *user)
{
    (void)user;
    r.ready++;
}

static void on_failed(void *user, int status, const struct err *e)
{
    (void)user;
    r.failed++;
    r.status = status;
    (void)snprintf(r.text, sizeof r.text, "%.399s", e ? e->text : "");
}

static void on_note(void *user, struct bytes method, const struct val *params)
{
    (void)user;
    (void)method;
    (void)params;
    r.notes++;
}

static void on_ask(void *user, struct mcp_ask *a)
{
    (void)user;
    r.asks++;
    r.ask = a;
}

static void on_gone(void *user, struct mcp_ask *a)
{
    (void)user;
    assert_ptr_equal(a, r.ask);
    r.gone++;
    r.ask = NULL;
}

static void on_done(struct mcp_request *q, int status, struct val *result, const struct err *e)
{
    (void)q;
    r.done++;
    r.status = status;
    (void)snprintf(r.text, sizeof r.text, "%.399s", e ? e->text : "");
    if (result)
        put(r.result, sizeof r.result, result);
}

static void on_progress(struct mcp_request *q, double done, double total, struct bytes text)
{
    (void)q;
    (void)snprintf(r.progress, sizeof r.progress, "%g/%g %.*s", done, total, BYTES_FMT(text));
}

static void begin(enum mcp_rev first, bool fixed, bool one_channel)
{
    struct err e = {0};
    AUTO(val) caps = NULL;
    assert_int_equal(val_parse(&caps, BYTES("{\"elicitation\":{},\"roots\":{}}"), &e), 0);
    r = (struct rig){0};
    struct mcp_client_args args = {.info = {.name = "t", .version = "1"},
                                   .first = first,
                                   .fixed = fixed,
                                   .one_channel = one_channel,
                                   .capabilities = caps,
                                   .send = send_one,
                                   .ready = on_ready,
                                   .failed = on_failed,
                                   .note = on_note,
                                   .ask = on_ask,
                                   .ask_gone = on_gone};
    assert_int_equal(mcp_client_new(&r.c, &args, &e), 0);
    mcp_client_start(r.c);
}

static void end(void)
{
    mcp_client_free(r.c);
    assert_int_equal(mem_live(), 0);
}

static int take(const char *text)
{
    struct err e = {0};
    AUTO(val) v = NULL;
    assert_int_equal(val_parse(&v, bytes_of(text), &e), 0);
    return mcp_client_take(r.c, v, NULL, &e);
}

static const char *last(void)
{
    return r.count ? r.sent[r.count - 1] : "";
}

#define HAS(text, part) assert_non_null(strstr((text), (part)))
#define DISCOVERED                                                                                 \
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"resultType\":\"complete\",\"supportedVersions\":" \
    "["                                                                                            \
    "\"2026-07-28\"],\"capabilities\":{\"tools\":{}},\"_meta\":{"                                  \
    "\"io.modelcontextprotocol/serverInfo\":{\"name\":\"m\",\"version\":\"3\"}}}}"

static void hello(const char *version, int id)
{
    char text[300];
    (void)snprintf(text, sizeof text,
                   "{\"jsonrpc\":\"2.0\",\"id\":%d,\"result\":{\"protocolVersion\":\"%s\","
                   "\"capabilities\":{},\"serverInfo\":{\"name\":\"s\",\"version\":\"2\"}}}",
                   id, version);
    (void)take(text);
}

// ---- which revision ----------------------------------------------------------------------------

static void test_modern(void **state)
{
    (void)state;
    begin(MCP_REV_MODERN, false, true);
    HAS(last(), "\"method\":\"server/discover\"");
    HAS(last(), "\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"");
    assert_int_equal(take(DISCOVERED), 0);
    assert_int_equal(r.ready, 1);
    assert_true(mcp_client_modern(r.c));
    assert_int_equal(r.count, 1); // no "initialized"
    assert_string_equal(val_text(val_get_cstr(mcp_client_said(r.c, "serverInfo"), "name"), ""),
                        "m");
    end();
}

static void test_fallback(void **state)
{
    static const char *const answers[] = {
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32601,\"message\":\"no\"}}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32602,\"message\":\"no\"}}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}",
        ("{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32022,\"message\":\"no\",\"data\":{"
         "\"supported\":[\"2025-11-25\",\"2025-06-18\"]}}}")};
    (void)state;
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        begin(MCP_REV_MODERN, false, true);
        assert_int_equal(take(answers[i]), 0);
        HAS(last(), "\"method\":\"initialize\"");
        HAS(last(), "\"protocolVersion\":\"2025-11-25\"");
        hello("2025-06-18", 2);
        assert_int_equal(r.ready, 1);
        assert_int_equal(mcp_client_rev(r.c), MCP_2025_06_18);
        HAS(last(), "notifications/initialized");
        end();
    }
}

static void test_no_common(void **state)
{
    (void)state;
    begin(MCP_REV_MODERN, false, true);
    (void)take("{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32022,\"message\":\"no\","
               "\"data\":{\"supported\":[\"2030-01-01\"]}}}");
    assert_int_equal(r.failed, 1);
    assert_int_equal(r.status, E_VERSION);
    HAS(r.text, "2030-01-01");
    end();
    begin(MCP_REV_MODERN, false, true); // it says that it has it, and refuses it for ever
    for (int id = 1; id < 5 && !r.failed; id++) {
        char text[300];
        (void)snprintf(text, sizeof text,
                       "{\"jsonrpc\":\"2.0\",\"id\":%d,\"error\":{\"code\":-32022,\"message\":"
                       "\"no\",\"data\":{\"supported\":[\"2026-07-28\"]}}}",
                       id);
        (void)take(text);
    }
    assert_int_equal(r.failed, 1);
    assert_int_equal(r.count, 2);
    end();
    begin(MCP_REV_MODERN, true, true); // fixed: no way back
    (void)take("{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32601,\"message\":\"no\"}}");
    assert_int_equal(r.failed, 1);
    end();
    begin(MCP_2025_11_25, true, true);
    hello("1999-01-01", 1);
    assert_int_equal(r.status, E_VERSION);
    end();
    begin(MCP_2025_11_25, true, true); // the modern one is not agreed on by a handshake
    hello("2026-07-28", 1);
    assert_int_equal(r.status, E_VERSION);
    end();
}

static void test_lost(void **state)
{
    struct err e = {0};
    (void)state;
    (void)err_set(&e, E_TIMEOUT, "late");
    begin(MCP_REV_MODERN, false, true);
    assert_true(mcp_client_is_hello(r.c, r.last));
    mcp_client_lost(r.c, r.last, E_TIMEOUT, &e, true);
    HAS(last(), "\"method\":\"initialize\"");
    mcp_client_lost(r.c, r.last, E_TIMEOUT, &e, true); // the handshake has nothing before it
    assert_int_equal(r.failed, 1);
    end();
    begin(MCP_REV_MODERN, false, true);
    mcp_client_end(r.c, E_CLOSED, &e);
    assert_int_equal(r.failed, 1);
    end();
}

// ---- requests ----------------------------------------------------------------------------------

static void ready_legacy(void)
{
    begin(MCP_2025_11_25, true, true);
    hello("2025-11-25", 1);
    assert_int_equal(r.ready, 1);
}

static void ready_modern(void)
{
    begin(MCP_REV_MODERN, true, false);
    assert_int_equal(take(DISCOVERED), 0);
    assert_int_equal(r.ready, 1);
}

static void ask_for(struct mcp_request *q, const char *method)
{
    struct err e = {0};
    *q = (struct mcp_request){.done = on_done};
    assert_int_equal(mcp_client_request(r.c, q, method, NULL, &e), 0);
}

static void test_requests(void **state)
{
    struct mcp_request a, b;
    struct err e = {0};
    (void)state;
    ready_legacy();
    ask_for(&a, "tools/list");
    ask_for(&b, "prompts/list");
    assert_int_equal(take("{\"jsonrpc\":\"2.0\",\"id\":99,\"result\":{}}"), E_NOTFOUND);
    assert_int_equal(take("{\"jsonrpc\":\"2.0\",\"id\":\"2\",\"result\":{}}"), E_NOTFOUND);
    assert_int_equal(take("{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{\"prompts\":[]}}"), 0);
    assert_string_equal(r.result, "{\"prompts\":[]}");
    assert_int_equal(r.done, 1);
    assert_int_equal(take("{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{}}"), E_NOTFOUND); // again
    assert_int_equal(take("{\"jsonrpc\":\"2.0\",\"id\":2,\"error\":{\"code\":-32603,\"message\":"
                          "\"broken\"}}"),
                     0);
    assert_int_equal(r.status, E_UPSTREAM);
    assert_string_equal(r.text, "error -32603: broken");
    ask_for(&a, "tools/list");
    mcp_client_cancel(r.c, &a, "why");
    HAS(last(), "\"notifications/cancelled\",\"params\":{\"requestId\":4");
    assert_int_equal(take("{\"jsonrpc\":\"2.0\",\"id\":4,\"result\":{}}"), E_NOTFOUND);
    ask_for(&a, "tools/list");
    mcp_client_lost(r.c, &a, E_CLOSED, &e, false);
    assert_int_equal(r.status, E_CLOSED);
    ask_for(&a, "tools/list");
    ask_for(&b, "tools/list");
    mcp_client_end(r.c, E_IO, &e);
    assert_int_equal(r.done, 5);
    assert_int_equal(r.failed, 0);
    assert_int_equal(mcp_client_request(r.c, &a, "x", NULL, &e), E_UNAVAILABLE);
    end();
}

static void test_progress(void **state)
{
    struct mcp_request a = {.done = on_done, .progress = on_progress};
    struct err e = {0};
    (void)state;
    ready_legacy();
    assert_int_equal(mcp_client_request(r.c, &a, "tools/call", NULL, &e), 0);
    HAS(last(), "\"progressToken\":2");
    (void)take("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{"
               "\"progressToken\":2,\"progress\":0.5,\"total\":2,\"message\":\"hm\"}}");
    assert_string_equal(r.progress, "0.5/2 hm");
    (void)take("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{"
               "\"progressToken\":2,\"progress\":0.5}}");
    (void)take("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{"
               "\"progressToken\":7,\"progress\":1}}");
    assert_string_equal(r.progress, "0.5/2 hm");
    end(); // with a request that is out
}

// ---- what the server asks ----------------------------------------------------------------------

static void test_asks_legacy(void **state)
{
    (void)state;
    ready_legacy();
    (void)take("{\"jsonrpc\":\"2.0\",\"id\":\"p\",\"method\":\"ping\"}");
    assert_string_equal(last(), "{\"jsonrpc\":\"2.0\",\"id\":\"p\",\"result\":{}}");
    (void)take("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"sampling/createMessage\"}");
    HAS(last(), "\"code\":-32601"); // not declared
    (void)take("{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"roots/list\"}");
    assert_int_equal(r.asks, 1);
    mcp_client_answer(r.ask, val_obj(), 0, "");
    assert_string_equal(last(), "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}");
    (void)take("{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"elicitation/create\"}");
    (void)take("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{"
               "\"requestId\":3}}");
    assert_int_equal(r.gone, 1);
    for (int i = 0; i < MCP_CLIENT_ASKS_MAX; i++)
        (void)take("{\"jsonrpc\":\"2.0\",\"id\":4,\"method\":\"roots/list\"}");
    size_t before = r.count;
    (void)take("{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"roots/list\"}");
    assert_int_equal(r.count, before + 1);
    HAS(last(), "\"code\":-32603");
    (void)take("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}");
    assert_int_equal(r.notes, 1);
    end();
}

#define NEEDS(id, more)                                                                            \
    "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"result\":{\"resultType\":\"input_required\"" more "}}"
#define ONE ",\"inputRequests\":{\"k\":{\"method\":\"elicitation/create\",\"params\":{\"a\":1}}}"

static void test_rounds(void **state)
{
    struct mcp_request a;
    (void)state;
    ready_modern();
    ask_for(&a, "tools/call");
    (void)take(NEEDS("2", ONE ",\"requestState\":\"s t\""));
    assert_int_equal(r.asks, 1);
    assert_ptr_equal(r.ask->of, &a);
    assert_int_equal(take("{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}"), E_NOTFOUND);
    mcp_client_answer(r.ask, val_obj(), 0, "");
    HAS(last(), "\"id\":3");
    HAS(last(), "\"inputResponses\":{\"k\":{}}");
    HAS(last(), "\"requestState\":\"s t\"");
    (void)take(NEEDS("3", ONE)); // no state any more
    mcp_client_answer(r.ask, val_obj(), 0, "");
    assert_null(strstr(last(), "requestState"));
    (void)take(NEEDS("4", ONE)); // refused
    mcp_client_answer(r.ask, NULL, -1, "no");
    assert_int_equal(r.status, E_FORBIDDEN);
    ask_for(&a, "tools/call"); // cancelled while a person thinks
    (void)take(NEEDS("5", ONE));
    mcp_client_cancel(r.c, &a, "enough");
    assert_int_equal(r.gone, 1);
    assert_int_equal(r.done, 1);
    ask_for(&a, "tools/list"); // not for this method
    (void)take(NEEDS("6", ONE));
    assert_int_equal(r.status, E_UPSTREAM);
    ask_for(&a, "tools/call"); // what it may not ask
    (void)take(NEEDS("7", ",\"inputRequests\":{\"k\":{\"method\":\"sampling/createMessage\"}}"));
    assert_int_equal(r.status, E_FORBIDDEN);
    ask_for(&a, "tools/call"); // neither questions nor state
    (void)take(NEEDS("8", ""));
    assert_int_equal(r.status, E_UPSTREAM);
    ask_for(&a, "tools/call"); // for ever
    for (int id = 9; id < 100 && a.out; id++) {
        char text[200];
        (void)snprintf(text, sizeof text, NEEDS("%d", ",\"requestState\":\"x\""), id);
        (void)take(text);
    }
    assert_int_equal(r.status, E_UPSTREAM);
    HAS(r.text, "without an end");
    ask_for(&a, "tools/call");
    (void)take("{\"jsonrpc\":\"2.0\",\"id\":26,\"result\":{\"resultType\":\"strange\"}}");
    assert_int_equal(r.status, E_UPSTREAM);
    size_t before = r.count;
    (void)take("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"roots/list\"}"); // not in this revision
    assert_int_equal(r.count, before);
    end();
}

static void test_fill(void **state)
{
    static const char *const cases[][3] = {
        {"{\"requestedSchema\":{\"properties\":{\"a\":{\"default\":1},\"b\":{\"default\":true},"
         "\"c\":{}}}}",
         "{\"action\":\"accept\",\"content\":{\"a\":2}}",
         "{\"action\":\"accept\",\"content\":{\"a\":2,\"b\":true}}"},
        {"{\"requestedSchema\":{\"properties\":{\"a\":{\"default\":1}}}}",
         "{\"action\":\"accept\"}", "{\"action\":\"accept\",\"content\":{\"a\":1}}"},
        {"{\"requestedSchema\":{\"properties\":{\"a\":{\"default\":1}}}}",
         "{\"action\":\"decline\"}", "{\"action\":\"decline\"}"},
        {"{\"requestedSchema\":7}", "{\"action\":\"accept\"}", "{\"action\":\"accept\"}"}};
    char text[400];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AUTO(val) params = NULL;
        struct val *result = NULL;
        assert_int_equal(val_parse(&params, bytes_of(cases[i][0]), NULL), 0);
        assert_int_equal(val_parse(&result, bytes_of(cases[i][1]), NULL), 0);
        AUTO(val) filled = mcp_elicit_fill(params, result);
        put(text, sizeof text, filled);
        assert_string_equal(text, cases[i][2]);
    }
}

static void test_batch(void **state)
{
    struct mcp_request a, b;
    (void)state;
    ready_legacy();
    ask_for(&a, "tools/list");
    ask_for(&b, "tools/list");
    assert_int_equal(take("[{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}},7,{\"jsonrpc\":\"2.0\","
                          "\"id\":3,\"result\":{}}]"),
                     E_INVALID);
    assert_int_equal(r.done, 2);
    end();
}

static void test_memory(void **state)
{
    struct err e = {0};
    (void)state;
    for (uint64_t at = 1; at < 60; at++) {
        begin(MCP_REV_MODERN, false, true);
        mem_fail_after(at, 1);
        struct mcp_request a = {.done = on_done};
        AUTO(val) v = NULL;
        if (val_parse(&v, BYTES(DISCOVERED), NULL) == 0)
            (void)mcp_client_take(r.c, v, NULL, &e);
        (void)mcp_client_request(r.c, &a, "tools/call", val_obj(), &e);
        mem_fail_after(0, 0);
        val_unref(steal(&v));
        end();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_modern),      cmocka_unit_test(test_fallback),
        cmocka_unit_test(test_no_common),   cmocka_unit_test(test_lost),
        cmocka_unit_test(test_requests),    cmocka_unit_test(test_progress),
        cmocka_unit_test(test_asks_legacy), cmocka_unit_test(test_rounds),
        cmocka_unit_test(test_fill),        cmocka_unit_test(test_batch),
        cmocka_unit_test(test_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
