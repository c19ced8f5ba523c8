// client_fuzz.c: any lines as a server's messages: the session never falls, what it forgets is
// freed, each request ends at most once. SPDX-License-Identifier: Apache-2.0
#include "mcp/client.h"

#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

#define REQUESTS 4
#define ASKS_MAX 64

static struct {
    struct mcp_client *c;
    struct mcp_request requests[REQUESTS];
    struct mcp_ask *asks[ASKS_MAX];
    size_t ask_count;
    unsigned ends, answers;
} f;

static void send_one(void *user, const struct val *message, struct mcp_request *r)
{
    (void)user;
    (void)r;
    struct jsonrpc m;
    if (jsonrpc_read(&m, message, NULL) < 0) // what we say is right, whatever comes
        abort();
}

static void done(struct mcp_request *r, int status, struct val *result, const struct err *e)
{
    (void)status;
    (void)result;
    (void)e;
    if (r->out)
        abort();
}

static void progress(struct mcp_request *r, double at, double total, struct bytes text)
{
    (void)total;
    (void)text;
    if (!r->out || !(at >= 0))
        abort();
}

static void ready(void *user)
{
    static const char *const methods[REQUESTS] = {"tools/call", "tools/list", "resources/read",
                                                  "prompts/get"};
    (void)user;
    for (size_t i = 0; i < REQUESTS; i++) {
        f.requests[i] = (struct mcp_request){.done = done, .progress = progress};
        (void)mcp_client_request(f.c, &f.requests[i], methods[i], val_obj(), NULL);
    }
}

static void failed(void *user, int status, const struct err *e)
{
    (void)user;
    (void)status;
    (void)e;
    f.ends++;
}

static void note(void *user, struct bytes method, const struct val *params)
{
    (void)user;
    (void)method;
    (void)params;
}

static void ask(void *user, struct mcp_ask *a)
{
    (void)user;
    if (f.answers++ % 3 == 0) // at once, or when the next line came
        mcp_client_answer(
            a, mcp_elicit_fill(a->params, val_put_cstr(val_obj(), "action", val_cstr("accept"))), 0,
            "");
    else if (f.ask_count < ASKS_MAX)
        f.asks[f.ask_count++] = a;
}

static void ask_gone(void *user, struct mcp_ask *a)
{
    (void)user;
    for (size_t i = 0; i < f.ask_count; i++)
        if (f.asks[i] == a)
            f.asks[i] = f.asks[--f.ask_count];
}

static void session(struct bytes text, enum mcp_rev first)
{
    struct err e = {0};
    AUTO(val) caps = NULL;
    (void)val_parse(&caps, BYTES("{\"elicitation\":{},\"sampling\":{},\"roots\":{}}"), NULL);
    memset(&f, 0, sizeof f);
    struct mcp_client_args args = {.info = {.name = "f", .version = "1"},
                                   .first = first,
                                   .one_channel = true,
                                   .capabilities = caps,
                                   .send = send_one,
                                   .ready = ready,
                                   .failed = failed,
                                   .note = note,
                                   .ask = ask,
                                   .ask_gone = ask_gone};
    if (mcp_client_new(&f.c, &args, &e) < 0)
        return;
    mcp_client_start(f.c);
    while (text.n) {
        AUTO(val) v = NULL;
        struct bytes line = bytes_cut(&text, '\n');
        while (f.ask_count) {
            struct mcp_ask *a = f.asks[--f.ask_count];
            mcp_client_answer(a, line.n % 2 ? val_obj() : NULL, -1, "no");
        }
        if (bytes_is(line, "cancel"))
            mcp_client_cancel(f.c, &f.requests[0], "");
        else if (val_parse(&v, line, NULL) == 0)
            (void)mcp_client_take(f.c, v, NULL, &e);
    }
    if (f.answers % 2)
        mcp_client_end(f.c, E_CLOSED, &e);
    mcp_client_free(f.c);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct bytes text = {(const char *)p, n};
    session(text, MCP_REV_MODERN);
    session(text, MCP_REV_LEGACY);
    return 0;
}
