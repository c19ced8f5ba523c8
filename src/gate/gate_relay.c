// gate_relay.c: the request goes to the engine, its answer comes back byte for byte.
// SPDX-License-Identifier: Apache-2.0
#include "gate/gate_priv.h"
#include "gate/span.h"
#include <stdio.h>
#include <string.h>

static void on_head(struct http_call *c, const struct http_head *head);
static void on_body(struct http_call *c, const char *p, size_t n);
static void on_end(struct http_call *c, int status, const struct err *e);
static const struct http_call_handler handler = {on_head, on_body, on_end};

static uint64_t now_ns(const struct greq *r)
{
    return timers_now_ns(r->gate->args.timers);
}

// Headers that belong to one connection, to us, or would tell the engine what is not its business.
static bool stays_here(struct bytes name, bool request)
{
    static const char *const both[] = {
        "connection",        "keep-alive", "proxy-connection", "te",           "trailer",
        "transfer-encoding", "upgrade",    "content-length",   "x-request-id", NULL};
    static const char *const in[] = {"host",
                                     "authorization",
                                     "x-api-key",
                                     "api-key",
                                     "cookie",
                                     "expect",
                                     "prefer",
                                     "accept-encoding",
                                     "origin",
                                     "referer",
                                     "content-type",
                                     "x-plexus-as",
                                     "x-plexus-hop",
                                     "x-plexus-label",
                                     "x-plexus-declassify",
                                     NULL};
    static const char *const out[] = {"access-control-allow-origin",
                                      "access-control-allow-headers",
                                      "access-control-allow-methods",
                                      "access-control-allow-credentials",
                                      "access-control-expose-headers",
                                      "set-cookie",
                                      "alt-svc",
                                      "strict-transport-security",
                                      "x-plexus-error",
                                      "x-plexus-label",
                                      NULL};
    char first = name.n ? (char)(name.p[0] | 0x20) : 0;
    for (int set = 0; set < 2; set++)
        for (const char *const *s = set == 0 ? both : request ? in : out; *s; s++)
            if (**s == first && bytes_iis(name, *s))
                return true;
    return false;
}

// What Connection names is for this connection only (RFC 9110, section 7.6.1).
static bool is_hop(struct bytes connection, struct bytes name)
{
    while (connection.p) {
        struct bytes option = bytes_trim(bytes_cut(&connection, ','));
        if (option.n && bytes_ieq(option, name))
            return true;
    }
    return false;
}

// The value of Connection when it names more than the usual; BYTES_NONE else.
static struct bytes hops_of(const struct http_head *h)
{
    struct bytes v = http_header(h, "Connection");
    return bytes_iis(v, "keep-alive") || bytes_iis(v, "close") ? BYTES_NONE : v;
}

static void put_line(struct buf *b, struct bytes name, struct bytes value)
{
    char *at = buf_room(b, name.n + value.n + 4);
    if (!at)
        return;
    memcpy(at, name.p, name.n);
    at += name.n;
    *at++ = ':';
    *at++ = ' ';
    if (value.n)
        memcpy(at, value.p, value.n);
    at += value.n;
    *at++ = '\r';
    *at++ = '\n';
    b->n += name.n + value.n + 4;
}

static void put_request_headers(struct greq *r, const char *auth, struct buf *b)
{
    const struct http_head *h = http_request(r->x);
    (void)buf_put(b, BYTES("Content-Type: application/json\r\nX-Request-Id: "));
    (void)buf_str(b, r->id);
    (void)buf_put(b, BYTES("\r\n"));
    (void)buf_str(b, auth);
    struct bytes hops = hops_of(h);
    for (size_t i = 0; i < h->count; i++)
        if (!stays_here(h->headers[i].name, true) && !is_hop(hops, h->headers[i].name))
            put_line(b, h->headers[i].name, h->headers[i].value);
}

static int upstream_body(struct greq *r, const char *name, struct bytes *ret, struct err *e)
{
    struct bytes body = r->body.n ? buf_bytes(&r->body) : http_body(r->x);
    struct bytes now;
    *ret = body;
    if (!name)
        return 0;
    int status = span_find(body, "model", &now, e);
    if (status < 0)
        return status;
    if (now.n == strlen(name) + 2 && memcmp(now.p + 1, name, now.n - 2) == 0)
        return 0;
    struct buf changed;
    buf_init(&changed, body.n + 1024);
    status = span_rewrite(&changed, body, "model", name, e);
    if (status < 0) {
        buf_fini(&changed);
        return status;
    }
    buf_fini(&r->body);
    r->body = changed;
    *ret = buf_bytes(&r->body);
    return 0;
}

static void start(struct greq *r, const struct gate_upstream *up, struct bytes body,
                  struct bytes more)
{
    struct gate *g = r->gate;
    struct err e = {0};
    const struct http_head *h = http_request(r->x);
    buf_clear(&g->extra);
    put_request_headers(r, up->auth, &g->extra);
    (void)buf_put(&g->extra, more);
    struct buf *target = &g->line;
    buf_clear(target);
    (void)buf_str(target, up->base_path);
    (void)buf_put(target, bytes_from(r->path, 3)); // behind "/v1"
    if (h->query.n) {
        (void)buf_chr(target, '?');
        (void)buf_put(target, h->query);
    }
    struct http_call_args args = {.method = BYTES("POST"),
                                  .target = buf_bytes(target),
                                  .headers = buf_bytes(&g->extra),
                                  .body = &body,
                                  .body_count = 1,
                                  .first_byte_ms = up->first_byte_ms,
                                  .silence_ms = up->silence_ms,
                                  .handler = &handler,
                                  .user = r};
    if (http_call_start(up->pool, &args, &r->call, &e) < 0) {
        if (!route_again(r))
            greq_fail(r, e.code == E_NOMEM ? E_NOMEM : E_ENGINE, e.text, NULL, 1);
        return;
    }
    r->sent_ns = now_ns(r);
}

void relay_start(struct greq *r)
{
    struct gate *g = r->gate;
    struct gate_upstream up;
    struct err e = {0};
    struct bytes body;
    struct model_view v;
    if (!g->args.upstream(g->args.user, r->model, &up)) {
        if (!route_again(r))
            greq_fail(r, E_ENGINE, "the model's engine is not there any more", NULL, 1);
        return;
    }
    model_view(g->args.models, r->model, timers_now_ms(g->args.timers), &v);
    // The name is changed only when the client used another one than the engine knows.
    if (upstream_body(r, up.model ? up.model : r->aliased ? v.name : NULL, &body, &e) < 0) {
        greq_fail(r, e.code, e.text, "model", -1);
        return;
    }
    start(r, &up, body, BYTES_NONE);
}

// The other node finds the model by the name that the client used: the body is not touched.
void relay_to(struct greq *r, const struct gate_route *to)
{
    struct bytes body = r->body.n ? buf_bytes(&r->body) : http_body(r->x), more = to->headers;
    struct bytes prefer = http_header(http_request(r->x), "Prefer");
    struct buf lines;
    buf_init(&lines, 8192);
    (void)buf_put(&lines, more);
    if (prefer.n)
        put_line(&lines, BYTES("Prefer"), prefer);
    start(r, &to->up, body, buf_bytes(&lines));
    buf_fini(&lines);
}

// The other node's own refusal, not its engine's: nothing was begun there, or its sheet here is
// older than what it has. A deadline that ran out there is no reason to begin it all anew.
static bool was_refused(const struct greq *r, const struct http_head *head)
{
    bool may_help = head->status == 404 || (head->status >= 500 && head->status != 504);
    return r->node[0] && may_help && http_header(head, "X-Plexus-Error").p;
}

static bool is_sse(const struct http_head *head)
{
    struct bytes type = http_header(head, "Content-Type");
    return bytes_ieq(bytes_first(type, 17), BYTES("text/event-stream"));
}

static void on_head(struct http_call *c, const struct http_head *head)
{
    struct greq *r = http_call_user(c);
    struct gate *g = r->gate;
    uint64_t read_ns = now_ns(r);
    if (was_refused(r, head) && route_again(r))
        return;
    r->first_ns = read_ns;
    if (r->node[0] && !gate_label_came(r, head))
        return;
    http_release_body(r->x);
    buf_fini(&r->body);
    if (r->spoke) { // the client's stream began while it waited
        r->sse = is_sse(head);
        r->wrapped = !r->sse;
        r->own_ns = 0;
        return;
    }
    r->sse = is_sse(head);
    buf_clear(&g->extra);
    struct buf *b = &g->extra;
    (void)buf_put(b, BYTES("X-Request-Id: "));
    (void)buf_str(b, r->id);
    (void)buf_put(b, BYTES("\r\n"));
    struct bytes hops = hops_of(head);
    for (size_t i = 0; i < head->count; i++)
        if (!stays_here(head->headers[i].name, false) && !is_hop(hops, head->headers[i].name))
            put_line(b, head->headers[i].name, head->headers[i].value);
    gate_label_put(r, b);
    gate_put_cors(g, r->x, b);
    uint64_t length = head->has_length && !head->chunked ? head->length : HTTP_CHUNKED;
    http_begin(r->x, head->status, NULL, buf_bytes(b), length);
    r->own_ns = (r->sent_ns - (r->waited ? r->granted_ns : r->complete_ns)) + (now_ns(r) - read_ns);
}

// Whole events go on at once; the start of one waits for its end, so that a stream that breaks
// never leaves half an event before the error.
static int send_events(struct greq *r, struct bytes data)
{
    size_t whole = sse_cut_feed(&r->cut, data.p, data.n);
    struct bytes parts[2] = {buf_bytes(&r->hold), bytes_first(data, whole)};
    int status = 0;
    if (whole == 0 && r->hold.n + data.n <= HOLD_BYTES_MAX) {
        (void)buf_put(&r->hold, data);
        return 0;
    }
    if (whole == 0)
        parts[1] = data, whole = data.n; // longer than may be held: passes as it comes
    status = r->hold.n ? http_send(r->x, parts, 2) : http_send(r->x, &parts[1], 1);
    if (r->hold.n)
        buf_fini(&r->hold);
    if (whole < data.n)
        (void)buf_put(&r->hold, bytes_from(data, whole));
    return status;
}

static void on_body(struct http_call *c, const char *p, size_t n)
{
    struct greq *r = http_call_user(c);
    struct bytes data = {p, n};
    bool first = !r->head_given;
    uint64_t read_ns = first && r->own_ns ? now_ns(r) : 0;
    usage_scan_feed(&r->usage, p, n);
    int status;
    if (r->wrapped)
        status = buf_put(&r->hold, data) == 0 ? 0 : E_TOOBIG;
    else
        status = r->sse ? send_events(r, data) : http_send(r->x, &data, 1);
    if (first) {
        r->head_given = true;
        if (read_ns)
            r->own_ns += now_ns(r) - read_ns;
    }
    if (status == 1)
        http_call_read(c, false); // a slow reader holds its engine's stream, not memory
    else if (status == E_FULL || status == E_NOMEM)
        relay_fail(r, E_FULL, "the answer cannot be passed on");
}

void relay_drain(struct greq *r)
{
    if (r->call)
        http_call_read(r->call, true);
}

void relay_fail(struct greq *r, int code, const char *message)
{
    struct http_call *call = r->call;
    r->call = NULL;
    if (call)
        http_call_cancel(call);
    int http = err_info(code)->http;
    greq_fail(r, code, message, NULL, http == 502 || http == 503 ? 1 : -1);
}

// An answer that is not a stream, for a client whose stream began while it waited: as one event.
static void send_wrapped(struct greq *r)
{
    struct buf *b = &r->gate->extra;
    buf_clear(b);
    (void)buf_str(b, "data: ");
    for (size_t i = 0; i < r->hold.n; i++)
        (void)buf_chr(b, r->hold.p[i] == '\n' || r->hold.p[i] == '\r' ? ' ' : r->hold.p[i]);
    (void)buf_str(b, "\n\n");
    struct bytes frame = buf_bytes(b);
    (void)http_send(r->x, &frame, 1);
}

static void failure(struct greq *r, const struct http_call *c, int status, const struct err *e)
{
    struct gate *g = r->gate;
    const char *why = NULL;
    // A connection that was not made in time is none; an answer that did not come is late anywhere.
    bool late = status == E_TIMEOUT && http_call_handed(c);
    if (!r->first_ns && !late && route_again(r))
        return;
    if (r->node[0]) {
        char text[ERR_TEXT_MAX + 200];
        (void)snprintf(text, sizeof(text), "node %s failed: %s", r->node,
                       e ? e->text : err_info(status)->text);
        greq_fail(r, status == E_TIMEOUT ? E_TIMEOUT : E_UPSTREAM, text, NULL, 1);
        return;
    }
    int code = status == E_TIMEOUT || status == E_UPSTREAM ? status : E_ENGINE;
    if (g->args.why && r->model)
        why = g->args.why(g->args.user, r->model);
    char message[ERR_TEXT_MAX + 200];
    (void)snprintf(message, sizeof(message), "the model's engine failed: %s%s%s",
                   e ? e->text : err_info(status)->text, why ? ": " : "", why ? why : "");
    greq_fail(r, code, message, NULL, code == E_TIMEOUT ? -1 : 1);
}

static void on_end(struct http_call *c, int status, const struct err *e)
{
    struct greq *r = http_call_user(c);
    if (status == E_CANCELLED || r->call != c)
        return; // whoever cancelled it has answered
    r->call = NULL;
    if (status == E_REFUSED && greq_again(r))
        return;
    if (status < 0) {
        failure(r, c, status, e);
        return;
    }
    if (r->wrapped) {
        send_wrapped(r);
    } else if (r->hold
                   .n) { // the stream ended without its last blank line: still the engine's bytes
        struct bytes rest = buf_bytes(&r->hold);
        (void)http_send(r->x, &rest, 1);
    }
    greq_end(r);
}
