// mcp_fuzz.c: any bytes as a message that a client sent, with any header fields, and as a value of
// a header field: taken or refused with a reason, never more. The input's first three lines are the
// fields MCP-Protocol-Version, Mcp-Method and Mcp-Name ("-": absent), the rest is the body.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "mcp/mcp.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
    if (!ok)
        abort();
}

static struct bytes field(struct bytes *rest)
{
    struct bytes line = bytes_cut(rest, '\n');
    return bytes_is(line, "-") ? BYTES_NONE : line;
}

// What is encoded comes back as it was; what is decoded is UTF-8 or as it stood there.
static void header_value(struct bytes text)
{
    struct buf there, back;
    struct err e = {0};
    buf_init(&there, 1 << 20);
    buf_init(&back, 1 << 20);
    if (bytes_is_utf8(text)) {
        must(mcp_header_encode(&there, text) == 0);
        must(mcp_header_decode(&back, buf_bytes(&there), &e) == 0);
        must(bytes_eq(buf_bytes(&back), text));
        buf_clear(&back);
    }
    if (mcp_header_decode(&back, text, &e) < 0)
        must(e.code == E_PARSE && e.n > 0);
    buf_fini(&there);
    buf_fini(&back);
}

static int count(void *user, struct bytes name, const struct val *value)
{
    must(name.p && value);
    return ++*(int *)user < 100 ? 0 : E_TOOBIG;
}

static void look(struct val *message, const struct mcp_fields *http)
{
    struct mcp_fault fault = {0};
    struct mcp_asked a;
    enum mcp_method method;
    int rc = mcp_look(&a, message, http, &fault);
    if (rc < 0) {
        must(fault.code < 0 && fault.http >= 400 && fault.text[0] && rc == E_INVALID);
        val_unref(fault.data);
        return;
    }
    must(!fault.data);
    if (a.m.kind == JSONRPC_REQUEST) {
        must(a.m.id && a.m.method.n);
        struct val *answer = jsonrpc_error(val_ref(a.m.id), JSONRPC_INTERNAL, a.m.method, NULL);
        struct jsonrpc back;
        must(answer && jsonrpc_read(&back, answer, NULL) == 0 && back.kind == JSONRPC_ERROR);
        must(val_equal(back.id, a.m.id));
        val_unref(answer);
    }
    if (a.modern && a.m.kind == JSONRPC_REQUEST)
        must(mcp_method_of(a.m.method, a.rev, &method) && val_is(a.capabilities, JSON_OBJ));
    int marks = 0;
    (void)mcp_marks_check(a.m.params, NULL);
    (void)mcp_marks_each(a.m.params, a.m.params, count, &marks);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes rest = {(const char *)data, size};
    struct mcp_fields http = {0};
    struct val *message = NULL;
    header_value(rest);
    http.version = field(&rest);
    http.method = field(&rest);
    http.name = field(&rest);
    if (val_parse(&message, rest, NULL) < 0)
        return 0;
    look(message, &http);
    look(message, NULL);
    val_unref(message);
    return 0;
}
