// mcp_test.c: messages read and built, header fields, marks, and what a server may take.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "mcp/mcp.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct val *parse(const char *text)
{
    struct val *v = NULL;
    struct err e = {0};
    if (val_parse(&v, bytes_of(text), &e) < 0)
        fail_msg("%s: %s", text, e.text);
    return v;
}

static void is_json(struct val *takes, const char *want)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    assert_non_null(takes);
    assert_int_equal(val_write(&b, takes), 0);
    assert_string_equal(buf_cstr(&b), want);
    buf_fini(&b);
    val_unref(takes);
}

static int tear_down(void **state)
{
    (void)state;
    assert_int_equal(mem_live(), 0);
    return 0;
}

// ---- JSON-RPC ----------------------------------------------------------------------------------

static void test_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int kind; // -1: refused
        bool id;  // there is one to answer to
    } rows[] = {
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\"}", JSONRPC_REQUEST, true},
        {"{\"jsonrpc\":\"2.0\",\"id\":\"\",\"method\":\"a\",\"params\":{}}", JSONRPC_REQUEST, true},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"a\"}", JSONRPC_NOTIFICATION, false},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}", JSONRPC_RESULT, true},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":1,\"message\":\"m\"}}", JSONRPC_ERROR,
         true},
        {"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":1,\"message\":\"m\"}}",
         JSONRPC_ERROR, false},
        {"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":1}}", JSONRPC_ERROR, false},
        {"7", -1, false},
        {"[]", -1, false},
        {"{}", -1, false},
        {"{\"id\":1,\"method\":\"a\"}", -1, true},
        {"{\"jsonrpc\":2.0,\"id\":1,\"method\":\"a\"}", -1, true},
        {"{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"a\"}", -1, false},
        {"{\"jsonrpc\":\"2.0\",\"id\":1.5,\"method\":\"a\"}", -1, false},
        {"{\"jsonrpc\":\"2.0\",\"id\":[],\"method\":\"a\"}", -1, false},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\"}", -1, true},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":1}", -1, true},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\",\"params\":[]}", -1, true},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\",\"result\":{}}", -1, true},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{},\"error\":{\"code\":1}}", -1, true},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":1}", -1, true},
        {"{\"jsonrpc\":\"2.0\",\"result\":{}}", -1, false},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"message\":\"m\"}}", -1, true},
        {"{\"jsonrpc\":\"2.0\",\"id\":1}", -1, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct val *v = parse(rows[i].text);
        struct jsonrpc m;
        struct err e = {0};
        int rc = jsonrpc_read(&m, v, &e);
        if ((rc < 0) != (rows[i].kind < 0) || (m.id != NULL) != rows[i].id)
            fail_msg("%s: %d %s, id %d", rows[i].text, rc, e.text, m.id != NULL);
        assert_int_equal(rc < 0 ? e.code : 0, rc < 0 ? E_INVALID : 0);
        if (rc == 0)
            assert_int_equal((int)m.kind, rows[i].kind);
        val_unref(v);
    }
}

static void test_build(void **state)
{
    (void)state;
    is_json(jsonrpc_request(val_int(7), "ping", NULL),
            "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"ping\"}");
    is_json(jsonrpc_notification("n", val_obj()),
            "{\"jsonrpc\":\"2.0\",\"method\":\"n\",\"params\":{}}");
    is_json(jsonrpc_result(val_cstr("x"), val_obj()),
            "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"result\":{}}");
    is_json(jsonrpc_error(NULL, JSONRPC_PARSE, BYTES("no"), val_int(1)),
            "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32700,\"message\":\"no\",\"data\":1}}");
    assert_null(jsonrpc_result(NULL, val_obj()));
    assert_null(jsonrpc_result(val_int(1), NULL));
    const struct mcp_info info = {.name = "n", .title = "t", .version = "1"};
    is_json(
        mcp_initialize(MCP_2025_06_18, &info, val_obj()),
        "{\"protocolVersion\":\"2025-06-18\",\"capabilities\":{},\"clientInfo\":{\"name\":\"n\","
        "\"title\":\"t\",\"version\":\"1\"}}");
    is_json(mcp_call(BYTES("t"), NULL), "{\"name\":\"t\",\"arguments\":{}}");
    is_json(mcp_cancelled(val_int(3), BYTES("why")), "{\"requestId\":3,\"reason\":\"why\"}");
    is_json(mcp_progress(val_int(3), 1, 0, BYTES_NONE), "{\"progressToken\":3,\"progress\":1}");
    is_json(mcp_progress(val_int(3), 1, 2, BYTES("m")),
            "{\"progressToken\":3,\"progress\":1,\"total\":2,\"message\":\"m\"}");
    struct val *p = mcp_with_meta(NULL, "progressToken", val_int(9));
    p = mcp_with_client(p, MCP_2026_07_28, &info, val_obj());
    assert_int_equal(val_i64(mcp_meta_of(p, "progressToken"), 0), 9);
    assert_string_equal(val_text(mcp_meta_of(p, MCP_META_VERSION), ""), "2026-07-28");
    assert_true(val_is(mcp_meta_of(p, MCP_META_CAPABILITIES), JSON_OBJ));
    assert_null(mcp_meta_of(p, "other"));
    val_unref(p);
}

static void test_words(void **state)
{
    (void)state;
    enum mcp_rev rev;
    enum mcp_level level;
    enum mcp_method method;
    for (int i = 0; i < MCP_REVS; i++) {
        assert_true(mcp_rev_of(bytes_of(mcp_rev_text((enum mcp_rev)i)), &rev));
        assert_int_equal((int)rev, i);
    }
    assert_false(mcp_rev_of(BYTES("2025-11-26"), &rev));
    assert_false(mcp_rev_of(BYTES_NONE, &rev));
    is_json(mcp_rev_list(), "[\"2026-07-28\",\"2025-11-25\",\"2025-06-18\",\"2025-03-26\","
                            "\"2024-11-05\"]");
    for (int i = 0; i < MCP_LEVELS; i++) {
        assert_true(mcp_level_of(bytes_of(mcp_level_text((enum mcp_level)i)), &level));
        assert_int_equal((int)level, i);
    }
    assert_false(mcp_level_of(BYTES("loud"), &level));
    for (int i = 0; i < MCP_METHODS; i++)
        assert_true(
            mcp_method_of(bytes_of(mcp_method_text((enum mcp_method)i)), MCP_2025_11_25, &method) ||
            mcp_method_of(bytes_of(mcp_method_text((enum mcp_method)i)), MCP_2026_07_28, &method));
    assert_false(mcp_method_of(BYTES("ping"), MCP_2026_07_28, &method));
    assert_false(mcp_method_of(BYTES("tasks/get"), MCP_2025_06_18, &method));
    assert_false(mcp_method_of(BYTES("no/such"), MCP_2025_06_18, &method));
    static const struct {
        const char *text;
        enum mcp_result_kind kind;
    } rows[] = {{"{}", MCP_COMPLETE},
                {"{\"resultType\":\"complete\"}", MCP_COMPLETE},
                {"{\"resultType\":\"input_required\"}", MCP_INPUT_REQUIRED},
                {"{\"resultType\":\"task\"}", MCP_TASK},
                {"{\"resultType\":7}", MCP_RESULT_UNKNOWN},
                {"{\"resultType\":\"new\"}", MCP_RESULT_UNKNOWN}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct val *v = parse(rows[i].text);
        assert_int_equal((int)mcp_result_kind(v), (int)rows[i].kind);
        val_unref(v);
    }
}

// ---- header fields -----------------------------------------------------------------------------

// The examples of the specification ("Value Encoding"), and edges.
static void test_values(void **state)
{
    (void)state;
    static const struct {
        const char *text, *field;
    } rows[] = {
        {"us-west1", "us-west1"},
        {"Hello, \xe4\xb8\x96\xe7\x95\x8c", "=?base64?SGVsbG8sIOS4lueVjA==?="},
        {" padded ", "=?base64?IHBhZGRlZCA=?="},
        {"line1\nline2", "=?base64?bGluZTEKbGluZTI=?="},
        {"=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="},
        {"", ""},
        {"=?base64?", "=?base64?"},
        {"a\tb", "a\tb"},
        {"\x7f", "=?base64?fw==?="},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf there, back;
        buf_init(&there, 1024);
        buf_init(&back, 1024);
        assert_int_equal(mcp_header_encode(&there, bytes_of(rows[i].text)), 0);
        assert_string_equal(buf_cstr(&there), rows[i].field);
        assert_int_equal(mcp_header_decode(&back, buf_bytes(&there), NULL), 0);
        assert_string_equal(buf_cstr(&back), rows[i].text);
        buf_fini(&there);
        buf_fini(&back);
    }
    static const char *const bad[] = {
        "=?base64?SGVsbG8?=", "=?base64?SGVs!!!bG8=?=", "=?base64?SGVsbG9=?=",
        "=?base64?=AAA?=",    "=?base64?/w==?=",        "a\x01",
        "\xc3\xa4",           "=?base64?SGVsbG8=SGVs?="};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct buf back;
        struct err e = {0};
        buf_init(&back, 1024);
        if (mcp_header_decode(&back, bytes_of(bad[i]), &e) != E_PARSE)
            fail_msg("%s was taken", bad[i]);
        buf_fini(&back);
    }
}

static void test_headers(void **state)
{
    (void)state;
    struct val *schema = parse(
        "{\"type\":\"object\",\"properties\":{\"region\":{\"type\":\"string\",\"x-mcp-header\":"
        "\"Region\"},\"at\":{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"integer\","
        "\"x-mcp-header\":\"N\"},\"dry\":{\"type\":\"boolean\",\"x-mcp-header\":\"Dry\"}}}}}");
    struct val *params = parse("{\"name\":\"run\",\"arguments\":{\"region\":\"\xc3\xa4\",\"at\":{"
                               "\"n\":-7,\"dry\":false},\"x\":1}}");
    struct buf b;
    buf_init(&b, 4096);
    assert_int_equal(mcp_marks_check(schema, NULL), 0);
    assert_int_equal(mcp_headers(&b, MCP_2026_07_28, BYTES("tools/call"), params, schema), 0);
    assert_string_equal(buf_cstr(&b), "MCP-Protocol-Version: 2026-07-28\r\n"
                                      "Mcp-Method: tools/call\r\n"
                                      "Mcp-Name: run\r\n"
                                      "Mcp-Param-Region: =?base64?w6Q=?=\r\n"
                                      "Mcp-Param-N: -7\r\n"
                                      "Mcp-Param-Dry: false\r\n");
    buf_clear(&b);
    assert_int_equal(mcp_headers(&b, MCP_2026_07_28, BYTES("tools/list"), NULL, NULL), 0);
    assert_string_equal(buf_cstr(&b), "MCP-Protocol-Version: 2026-07-28\r\n"
                                      "Mcp-Method: tools/list\r\n");
    buf_fini(&b);
    val_unref(schema);
    val_unref(params);
}

#define MARKED(type, name) "{\"type\":\"" type "\",\"x-mcp-header\":\"" name "\"}"

static void test_marks(void **state)
{
    (void)state;
    static const struct {
        bool good;
        const char *schema;
    } rows[] = {
        {true,
         "{\"properties\":{\"a\":" MARKED("string", "A") ",\"b\":" MARKED("integer", "B") "}}"},
        {true, "{\"properties\":{\"x-mcp-header\":{\"type\":\"string\"}}}"}, // a property's name
        {true, "{\"default\":" MARKED("string", "A") ",\"enum\":[" MARKED("string", "A") "]}"},
        {false,
         "{\"properties\":{\"a\":" MARKED("string", "A") ",\"b\":" MARKED("string", "a") "}}"},
        {false, "{\"properties\":{\"a\":" MARKED("number", "A") "}}"},
        {false, "{\"properties\":{\"a\":" MARKED("string", "") "}}"},
        {false, "{\"properties\":{\"a\":" MARKED("string", "A B") "}}"},
        {false, "{\"properties\":{\"a\":" MARKED("string", "A\\r\\nX: y") "}}"},
        {false, "{\"properties\":{\"a\":{\"type\":\"string\",\"x-mcp-header\":7}}}"},
        {false,
         "{\"properties\":{\"a\":{\"type\":\"array\",\"items\":" MARKED("string", "A") "}}}"},
        {false, "{\"anyOf\":[{\"properties\":{\"a\":" MARKED("string", "A") "}}]}"},
        {false, "{\"$defs\":{\"a\":" MARKED("string", "A") "}}"},
        {false, "{\"if\":{\"properties\":{\"a\":" MARKED("string", "A") "}}}"},
        {false, "{\"properties\":{\"a\":{\"not\":" MARKED("string", "A") "}}}"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct val *v = parse(rows[i].schema);
        struct err e = {0};
        if ((mcp_marks_check(v, &e) == 0) != rows[i].good)
            fail_msg("%s: %s", rows[i].schema, e.text);
        val_unref(v);
    }
}

static void test_events(void **state)
{
    (void)state;
    struct buf b;
    struct val *v = parse("{\"a\":\"x\\ny\"}");
    buf_init(&b, 1024);
    assert_int_equal(mcp_event_put(&b, BYTES("3-1"), v), 0);
    assert_string_equal(buf_cstr(&b), "id: 3-1\nevent: message\ndata: {\"a\":\"x\\ny\"}\n\n");
    buf_clear(&b);
    assert_int_equal(mcp_event_put(&b, BYTES_NONE, NULL), 0);
    assert_string_equal(buf_cstr(&b), "event: message\ndata: \n\n");
    buf_fini(&b);
    val_unref(v);
}

// ---- what a server may take --------------------------------------------------------------------

#define META(version, caps)                                                                        \
    "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"" version "\"" caps "}"
#define CAPS ",\"io.modelcontextprotocol/clientCapabilities\":{}"
#define ASK(method, params)                                                                        \
    "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"" method "\",\"params\":{" params "}}"
#define NOW "2026-07-28"

static const struct look_row {
    const char *message, *version, *method, *name; // header fields; NULL: absent
    int code, http;                                // 0: taken
    bool modern, standard; // standard: on standard streams, without fields
} look_rows[] = {
    {ASK("tools/list", META(NOW, CAPS)), NOW, "tools/list", NULL, 0, 0, true, false},
    {ASK("tools/list", META(NOW, CAPS)), NULL, NULL, NULL, 0, 0, true, true},
    {ASK("tools/call", "\"name\":\"a\"," META(NOW, CAPS)), NOW, "tools/call", "a", 0, 0, true,
     false},
    {ASK("tools/call", "\"name\":\"a\"," META(NOW, CAPS)), NOW, "tools/call", "=?base64?YQ==?=", 0,
     0, true, false},
    {ASK("tools/call", META(NOW, CAPS)), NOW, "tools/call", NULL, 0, 0, true,
     false}, // no name at all
    {ASK("tools/call", "\"name\":\"a\"," META(NOW, CAPS)), NOW, "tools/call", "b",
     MCP_HEADER_MISMATCH, 400, true, false},
    {ASK("tools/call", "\"name\":\"a\"," META(NOW, CAPS)), NOW, "tools/call", NULL,
     MCP_HEADER_MISMATCH, 400, true, false},
    {ASK("tools/call", "\"name\":\"a\"," META(NOW, CAPS)), NOW, "tools/call",
     "=?base64?Y?=", MCP_HEADER_MISMATCH, 400, true, false},
    {ASK("tools/list", META(NOW, CAPS)), NOW, "TOOLS/LIST", NULL, MCP_HEADER_MISMATCH, 400, true,
     false},
    {ASK("tools/list", META(NOW, CAPS)), NOW, NULL, NULL, MCP_HEADER_MISMATCH, 400, true, false},
    {ASK("tools/list", META(NOW, CAPS)), NULL, "tools/list", NULL, MCP_HEADER_MISMATCH, 400, true,
     false},
    {ASK("tools/list", META("v9", CAPS)), NOW, "tools/list", NULL, MCP_HEADER_MISMATCH, 400, true,
     false},
    {ASK("tools/list", META("v9", CAPS)), "v9", "tools/list", NULL, MCP_VERSION_UNSUPPORTED, 400,
     true, false},
    {ASK("tools/list", META("2025-11-25", CAPS)), "2025-11-25", "tools/list", NULL,
     MCP_VERSION_UNSUPPORTED, 400, true, false},
    {ASK("tools/list", META("v9", CAPS)), NULL, NULL, NULL, MCP_VERSION_UNSUPPORTED, 400, true,
     true},
    {ASK("tools/list", ""), NOW, "tools/list", NULL, JSONRPC_PARAMS, 400, true, false},
    {ASK("tools/list", ""), "v9", "tools/list", NULL, JSONRPC_PARAMS, 400, true, false},
    {ASK("tools/list", META(NOW, "")), NOW, "tools/list", NULL, JSONRPC_PARAMS, 400, true, false},
    {ASK("tools/list", META(NOW, CAPS ",\"io.modelcontextprotocol/logLevel\":\"loud\"")), NOW,
     "tools/list", NULL, JSONRPC_PARAMS, 400, true, false},
    {ASK("ping", META(NOW, CAPS)), NOW, "ping", NULL, JSONRPC_METHOD, 404, true, false},
    {ASK("tasks/result", "\"taskId\":\"t\"," META(NOW, CAPS)), NOW, "tasks/result", NULL,
     JSONRPC_METHOD, 404, true, false},
    {"{\"jsonrpc\":\"2.0\",\"id\":5,\"result\":{}}", NOW, NULL, NULL, JSONRPC_REQUEST_INVALID, 400,
     true, false},
    {"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}", NOW, NULL, NULL, 0, 0, true, false},
    {ASK("ping", ""), NULL, NULL, NULL, 0, 0, false, false},
    {ASK("ping", ""), "2025-06-18", NULL, NULL, 0, 0, false, false},
    {ASK("ping", ""), "1999-01-01", NULL, NULL, MCP_CONNECTION, 400, false, false},
    {"7", NULL, NULL, NULL, JSONRPC_REQUEST_INVALID, 400, false, false},
};

static void test_look(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof look_rows / sizeof *look_rows; i++) {
        const struct look_row *r = &look_rows[i];
        struct val *v = parse(r->message);
        struct mcp_fields http = {bytes_of(r->version), bytes_of(r->method), bytes_of(r->name)};
        struct mcp_fault f = {0};
        struct mcp_asked a;
        int rc = mcp_look(&a, v, r->standard ? NULL : &http, &f);
        if ((rc == 0) != (r->code == 0) || f.code != r->code || f.http != r->http ||
            a.modern != r->modern)
            fail_msg("row %zu: %d, %d %d %s, modern %d", i, rc, f.code, f.http, f.text, a.modern);
        if (f.code == MCP_VERSION_UNSUPPORTED)
            assert_true(val_len(val_get_cstr(f.data, "supported")) > 0);
        val_unref(f.data);
        val_unref(v);
    }
    struct val *v =
        parse(ASK("tools/list", "\"_meta\":{\"progressToken\":\"p\"," //
                                "\"io.modelcontextprotocol/protocolVersion\":\"" NOW "\","
                                "\"io.modelcontextprotocol/logLevel\":\"error\"" CAPS "}"));
    struct mcp_fault f = {0};
    struct mcp_asked a;
    assert_int_equal(mcp_look(&a, v, NULL, &f), 0);
    assert_int_equal((int)a.level, MCP_LEVEL_ERROR);
    assert_true(bytes_is(val_bytes(a.progress_token), "p"));
    val_unref(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_read, tear_down),
        cmocka_unit_test_teardown(test_build, tear_down),
        cmocka_unit_test_teardown(test_words, tear_down),
        cmocka_unit_test_teardown(test_values, tear_down),
        cmocka_unit_test_teardown(test_headers, tear_down),
        cmocka_unit_test_teardown(test_marks, tear_down),
        cmocka_unit_test_teardown(test_events, tear_down),
        cmocka_unit_test_teardown(test_look, tear_down),
    };
    return cmocka_run_group_tests_name("mcp", tests, NULL, NULL);
}
