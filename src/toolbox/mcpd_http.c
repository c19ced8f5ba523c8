// mcpd_http.c: the requests of streamable HTTP (2025-11-25 and 2026-07-28, "Streamable HTTP").
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "toolbox/mcpd_priv.h"
#include <stdio.h>
#include <string.h>

#define SESSION_UNKNOWN (-32001) // as the SDKs say it
#define BATCH_MAX 64

bool mcpd_mine(const struct mcpd *m, const struct http_head *h)
{
    return bytes_is(h->path, m->args.path) || mcpd_well_known(m, h);
}

int mcpd_head(struct mcpd *m, struct http_exchange *x)
{
    if (http_limit_body(x, (size_t)m->lim.body_bytes) < 0) {
        mcpd_refuse(x, 413, JSONRPC_REQUEST_INVALID, NULL, BYTES("the message is too large"), NULL,
                    NULL);
        return 1;
    }
    return 0;
}

// ---- what the client takes ---------------------------------------------------------------------

static bool takes(struct bytes accept, const char *type)
{
    if (!accept.p)
        return true;
    while (accept.n) {
        struct bytes one = bytes_cut(&accept, ',');
        one = bytes_trim(bytes_cut(&one, ';'));
        struct bytes kind = bytes_of(type), major = bytes_cut(&kind, '/');
        if (bytes_iis(one, type) || bytes_is(one, "*/*") ||
            (one.n == major.n + 2 && bytes_ieq(bytes_first(one, major.n), major) &&
             bytes_is(bytes_from(one, major.n), "/*")))
            return true;
    }
    return false;
}

static bool is_json(struct bytes type)
{
    return bytes_iis(bytes_trim(bytes_cut(&type, ';')), "application/json");
}

// ---- POST --------------------------------------------------------------------------------------

static struct mcpd_out *answers_new(struct mcpd *m, struct mcpd_session *s, struct http_exchange *x,
                                    unsigned pending)
{
    struct bytes accept = http_header(http_request(x), "Accept");
    struct mcpd_out *o = mcpd_out_new(m, s, x, OUT_ANSWERS);
    if (!o) {
        mcpd_refuse(x, 503, JSONRPC_INTERNAL, NULL, BYTES("out of memory"), NULL, NULL);
        return NULL;
    }
    o->json = takes(accept, "application/json");
    o->sse = takes(accept, "text/event-stream");
    o->pending = pending;
    return o;
}

static void accepted(struct http_exchange *x)
{
    http_reply(x, 202, NULL, BYTES_NONE, BYTES_NONE);
}

static void modern(struct mcpd *m, struct http_exchange *x, const struct mcp_asked *a,
                   const struct mcpd_who *who)
{
    if (a->m.kind == JSONRPC_NOTIFICATION) { // none is defined over HTTP
        accepted(x);
        return;
    }
    struct mcpd_out *o = answers_new(m, NULL, x, 1);
    if (o)
        mcpd_serve(
            &(struct mcpd_in){.m = m, .out = o, .a = a, .who = who, .rev = a->rev, .modern = true});
}

static void initialize(struct mcpd *m, struct http_exchange *x, const struct mcp_asked *a,
                       const struct mcpd_who *who)
{
    struct val *capabilities = val_get_cstr(a->m.params, "capabilities");
    struct bytes wanted = val_bytes(val_get_cstr(a->m.params, "protocolVersion"));
    struct mcpd_session *s = NULL;
    enum mcp_rev rev;
    if (!wanted.p || (capabilities && !val_is(capabilities, JSON_OBJ))) {
        mcpd_refuse(x, 200, JSONRPC_PARAMS, a->m.id,
                    BYTES("params must have protocolVersion and capabilities"), NULL, NULL);
        return;
    }
    if (!mcp_rev_of(wanted, &rev) || rev > MCP_REV_LEGACY)
        rev = MCP_REV_LEGACY;
    int rc = mcpd_session_new(m, who, rev, capabilities, &s);
    if (rc < 0) {
        mcpd_refuse(x, rc == E_RATE ? 429 : 503, JSONRPC_INTERNAL, a->m.id,
                    BYTES("too many sessions"), NULL, "Retry-After: 10\r\n");
        return;
    }
    struct mcpd_out *o = answers_new(m, s, x, 1);
    if (!o) {
        mcpd_session_end(s);
        return;
    }
    (void)snprintf(o->extra, sizeof(o->extra), "Mcp-Session-Id: %s\r\n", s->id);
    struct val *r = val_put_cstr(val_obj(), "protocolVersion", val_cstr(mcp_rev_text(rev)));
    r = val_put_cstr(r, "capabilities", mcpd_capabilities(m, false, rev));
    r = val_put_cstr(r, "serverInfo", mcp_info_val(&m->args.info));
    if (m->args.instructions)
        r = val_put_cstr(r, "instructions", val_cstr(m->args.instructions));
    mcpd_out_answer(o, jsonrpc_result(val_ref(a->m.id), r), 200);
}

static void notified(struct mcpd_session *s, const struct mcp_asked *a)
{
    if (!bytes_is(a->m.method, "notifications/cancelled"))
        return; // initialized, roots/list_changed: nothing waits for them
    struct mcpd_call *c = mcpd_call_find(s, val_get_cstr(a->m.params, "requestId"));
    if (c && !c->task)
        mcpd_call_cancel(c, true);
}

static struct mcpd_session *session_of(struct mcpd *m, struct http_exchange *x,
                                       const struct mcpd_who *who, struct val *id)
{
    struct bytes name = http_header(http_request(x), "Mcp-Session-Id");
    struct mcpd_session *s = mcpd_session_find(m, name, who);
    if (!name.p)
        mcpd_refuse(x, 400, MCP_CONNECTION, id,
                    BYTES("Bad Request: Mcp-Session-Id is missing: begin with initialize"), NULL,
                    NULL);
    else if (!s)
        mcpd_refuse(x, 404, SESSION_UNKNOWN, id, BYTES("Session not found"), NULL, NULL);
    return s;
}

static void legacy(struct mcpd *m, struct http_exchange *x, const struct mcp_asked *a,
                   const struct mcpd_who *who)
{
    if (a->m.kind == JSONRPC_REQUEST && bytes_is(a->m.method, "initialize")) {
        initialize(m, x, a, who);
        return;
    }
    struct mcpd_session *s = session_of(m, x, who, a->m.id);
    if (!s)
        return;
    switch (a->m.kind) {
    case JSONRPC_RESULT:
    case JSONRPC_ERROR:
        (void)mcpd_answered(s, &a->m);
        accepted(x);
        return;
    case JSONRPC_NOTIFICATION:
        notified(s, a);
        accepted(x);
        return;
    case JSONRPC_REQUEST: break;
    }
    struct mcpd_out *o = answers_new(m, s, x, 1);
    if (o)
        mcpd_serve(&(struct mcpd_in){.m = m, .out = o, .s = s, .a = a, .who = who, .rev = s->rev});
}

static void one(struct mcpd *m, struct http_exchange *x, const struct val *message,
                const struct mcpd_who *who)
{
    const struct http_head *h = http_request(x);
    struct mcp_fields fields = {.version = http_header(h, "MCP-Protocol-Version"),
                                .method = http_header(h, "Mcp-Method"),
                                .name = http_header(h, "Mcp-Name")};
    struct mcp_fault fault = {0};
    struct mcp_asked a;
    if (mcp_look(&a, message, &fields, &fault) < 0) {
        m->stats.refused++;
        mcpd_refuse(x, fault.http, fault.code, a.m.id, bytes_of(fault.text), fault.data, NULL);
        return;
    }
    if (a.modern)
        modern(m, x, &a, who);
    else
        legacy(m, x, &a, who);
}

// ---- batches (2025-03-26 only) -----------------------------------------------------------------

static void batch_one(struct mcpd *m, struct mcpd_out *o, struct mcpd_session *s,
                      const struct val *message, const struct mcpd_who *who)
{
    struct mcp_fault fault = {0};
    struct mcp_asked a;
    if (mcp_look(&a, message, NULL, &fault) < 0) {
        val_unref(fault.data);
        mcpd_out_answer(
            o,
            jsonrpc_error(a.m.id ? val_ref(a.m.id) : NULL, fault.code, bytes_of(fault.text), NULL),
            200);
    } else if (a.m.kind == JSONRPC_REQUEST) {
        mcpd_serve(&(struct mcpd_in){.m = m, .out = o, .s = s, .a = &a, .who = who, .rev = s->rev});
    } else if (a.m.kind == JSONRPC_NOTIFICATION) {
        notified(s, &a);
    } else {
        (void)mcpd_answered(s, &a.m);
    }
}

static void batch(struct mcpd *m, struct http_exchange *x, const struct val *messages,
                  const struct mcpd_who *who)
{
    struct bytes name = http_header(http_request(x), "Mcp-Session-Id");
    struct mcpd_session *s = mcpd_session_find(m, name, who);
    unsigned wanted = 0;
    if (!s || s->rev != MCP_2025_03_26 || val_len(messages) == 0 || val_len(messages) > BATCH_MAX) {
        m->stats.refused++;
        mcpd_refuse(x, 400, JSONRPC_REQUEST_INVALID, NULL,
                    BYTES("Invalid request: batches are of revision 2025-03-26 only, of at most 64 "
                          "messages"),
                    NULL, NULL);
        return;
    }
    for (size_t i = 0; i < val_len(messages); i++) {
        struct jsonrpc j;
        wanted += jsonrpc_read(&j, val_at(messages, i), NULL) < 0 || j.kind == JSONRPC_REQUEST;
    }
    struct mcpd_out *o = NULL;
    if (wanted) {
        o = answers_new(m, s, x, wanted + 1); // one more: it must not end while it begins
        if (!o)
            return;
        o->batch = val_arr();
    }
    for (size_t i = 0; i < val_len(messages); i++)
        batch_one(m, o, s, val_at(messages, i), who);
    if (!o) {
        accepted(x);
        return;
    }
    if (--o->pending == 0)
        mcpd_out_batch_end(o);
}

static void post(struct mcpd *m, struct http_exchange *x, const struct mcpd_who *who)
{
    const struct http_head *h = http_request(x);
    struct bytes accept = http_header(h, "Accept");
    AUTO(val) message = NULL;
    struct err e = {0};
    if (!is_json(http_header(h, "Content-Type"))) {
        mcpd_refuse(x, 415, JSONRPC_REQUEST_INVALID, NULL,
                    BYTES("Content-Type must be application/json"), NULL, NULL);
        return;
    }
    if (!takes(accept, "application/json") && !takes(accept, "text/event-stream")) {
        mcpd_refuse(x, 406, JSONRPC_REQUEST_INVALID, NULL,
                    BYTES("Accept must name application/json and text/event-stream"), NULL, NULL);
        return;
    }
    int rc = val_parse(&message, http_body(x), &e);
    if (rc < 0) {
        char text[300];
        int n = snprintf(text, sizeof(text), "Parse error: %.250s", e.text);
        m->stats.refused++;
        mcpd_refuse(x, rc == E_NOMEM ? 503 : 400, rc == E_NOMEM ? JSONRPC_INTERNAL : JSONRPC_PARSE,
                    NULL, (struct bytes){text, (size_t)n}, NULL, NULL);
        return;
    }
    m->stats.requests++;
    if (val_is(message, JSON_ARR))
        batch(m, x, message, who);
    else
        one(m, x, message, who);
}

// ---- GET and DELETE ----------------------------------------------------------------------------

// "STREAM-EVENT"
static bool event_id(struct bytes text, uint64_t *ret_stream, uint64_t *ret_event)
{
    struct bytes first = bytes_cut(&text, '-');
    return bytes_u64(first, ret_stream) && bytes_u64(text, ret_event) && *ret_event < UINT64_MAX;
}

static struct mcpd_out *stream_of(struct mcpd_session *s, uint64_t id)
{
    list_each (it, &s->outs) {
        struct mcpd_out *o = container_of(it, struct mcpd_out, link);
        if (o->id == id)
            return o;
    }
    return NULL;
}

static void get(struct mcpd *m, struct http_exchange *x, const struct mcpd_who *who)
{
    const struct http_head *h = http_request(x);
    struct bytes last = http_header(h, "Last-Event-ID");
    uint64_t stream = 0, event = UINT64_MAX;
    enum mcp_rev rev;
    bool modern_client =
        mcp_rev_of(http_header(h, "MCP-Protocol-Version"), &rev) && rev >= MCP_REV_MODERN;
    if (modern_client || !http_header(h, "Mcp-Session-Id").p) {
        http_reply(x, 405, NULL, BYTES("Allow: POST\r\n"), BYTES_NONE);
        return;
    }
    if (!takes(http_header(h, "Accept"), "text/event-stream")) {
        mcpd_refuse(x, 406, JSONRPC_REQUEST_INVALID, NULL,
                    BYTES("Accept must name text/event-stream"), NULL, NULL);
        return;
    }
    struct mcpd_session *s = session_of(m, x, who, NULL);
    if (!s)
        return;
    struct mcpd_out *o = s->own;
    if (m->draining && !last.n) { // nothing will be said any more
        http_reply(x, 503, NULL, BYTES_NONE, BYTES_NONE);
        return;
    }
    if (last.n)
        o = event_id(last, &stream, &event) ? stream_of(s, stream) : NULL;
    if (o && last.n && event >= o->next)
        o = NULL;
    if (!o) {
        mcpd_refuse(x, 400, MCP_CONNECTION, NULL, BYTES("Last-Event-ID: no such stream"), NULL,
                    NULL);
        return;
    }
    mcpd_out_attach(o, x, event);
}

static void del(struct mcpd *m, struct http_exchange *x, const struct mcpd_who *who)
{
    enum mcp_rev rev;
    if (mcp_rev_of(http_header(http_request(x), "MCP-Protocol-Version"), &rev) &&
        rev >= MCP_REV_MODERN) {
        http_reply(x, 405, NULL, BYTES("Allow: POST\r\n"), BYTES_NONE);
        return;
    }
    struct mcpd_session *s = session_of(m, x, who, NULL);
    if (!s)
        return;
    mcpd_session_end(s);
    http_reply(x, 204, NULL, BYTES_NONE, BYTES_NONE);
}

void mcpd_request(struct mcpd *m, struct http_exchange *x)
{
    const struct http_head *h = http_request(x);
    struct mcpd_who who = {0};
    if (mcpd_well_known(m, h)) {
        mcpd_metadata(m, x);
        return;
    }
    if (!mcpd_door(m, x, &who)) {
        m->stats.refused++;
        return;
    }
    if (bytes_is(h->method, "POST"))
        post(m, x, &who);
    else if (bytes_is(h->method, "GET"))
        get(m, x, &who);
    else if (bytes_is(h->method, "DELETE"))
        del(m, x, &who);
    else
        http_reply(x, 405, NULL, BYTES("Allow: POST, GET, DELETE\r\n"), BYTES_NONE);
}
