// mcpc_web.c: an MCP server over streamable HTTP (2025-11-25 and 2026-07-28): each message a POST,
// answers as one object or a stream of events, sessions, streams taken up again where they broke.
// Also the /mcp of another node, over the mesh. SPDX-License-Identifier: Apache-2.0
#include "text/sse.h"
#include "text/url.h"
#include "toolbox/mcpc_priv.h"

#include <stdio.h>
#include <string.h>

#define LINES_MAX ((size_t)64 << 10)
#define ERROR_BYTES_MAX ((size_t)64 << 10)
#define SESSION_MAX 1024
#define EVENT_ID_MAX 1024
#define AFTER_MS 1000 // that a stream may go on after its answer
#define RETRY_MS 1000 // where the server names no time
#define RETRY_MS_MAX 30000
#define RESUMES_MAX 100 // of one answer

enum body { BODY_NONE, BODY_JSON, BODY_EVENTS, BODY_ERROR };

struct post { // one exchange, or a chain of them that brings one answer
    struct mcpc_srv *s; // NULL: the server is gone
    struct timers *timers;
    struct list link;
    struct http_call *call;
    struct mcp_request *r; // whose answer comes here; NULL: nobody's (any more)
    int64_t rid;           // its id then
    struct buf text, lines;
    struct bytes body;
    struct sse_parser sse;
    struct buf whole, id;
    struct timer timer;
    enum body kind;
    int http;
    int64_t retry_ms;
    unsigned resumes;
    bool sse_made, get, listens, session, greets, asks_bye, over;
};

struct web {
    struct url url;
    struct http_pool *pool; // of url
    char *target;
    struct buf session, challenge;
    struct list posts; // those that run
    struct list held;  // those that wait until "initialized" is told
    struct post *barrier;
    bool no_stream; // GET gives none
    unsigned stream_row;
};

static void post_go(struct post *p);

static struct timers *timers(const struct mcpc_srv *s)
{
    return s->m->args.timers;
}

// ---- one exchange: memory ----------------------------------------------------------------------

static void body_clear(struct post *p)
{
    if (p->sse_made)
        sse_parser_fini(&p->sse);
    p->sse_made = false;
    buf_fini(&p->whole);
    p->kind = BODY_NONE;
}

static struct post *post_new(struct mcpc_srv *s, const struct val *message, struct mcp_request *r)
{
    struct web *w = s->own;
    struct post *p = mem_new(struct post);
    if (!p)
        return NULL;
    p->s = s;
    p->timers = timers(s);
    p->r = r;
    p->rid = r ? r->id : 0;
    buf_init(&p->text, 2 * (size_t)MAX_ALLOCATION_BYTES);
    buf_init(&p->lines, LINES_MAX);
    buf_init(&p->id, EVENT_ID_MAX);
    if (message)
        (void)val_write(&p->text, message);
    list_add_tail(&w->posts, &p->link);
    return p;
}

// What is left of its exchange ends without anybody.
static void post_free(struct post *p)
{
    struct web *w = p->s ? p->s->own : NULL;
    timer_stop(p->timers, &p->timer);
    if (w && w->barrier == p)
        w->barrier = NULL;
    list_del(&p->link);
    body_clear(p);
    buf_fini(&p->text);
    if (p->lines.p)
        mem_wipe(p->lines.p, p->lines.n);
    buf_fini(&p->lines);
    buf_fini(&p->id);
    mem_free(p);
}

static void post_drop(struct post *p)
{
    p->r = NULL;
    p->over = true;
    if (p->call)
        http_call_cancel(p->call); // its end frees it
    else
        post_free(p);
}

// The request is answered, or asked again with more input: what comes here is nobody's any more.
static void seen(struct post *p)
{
    if (p->r && (!p->r->out || p->r->id != p->rid))
        p->r = NULL;
}

static void lost(struct post *p, int status, bool other_era, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static void lost(struct post *p, int status, bool other_era, const char *fmt, ...)
{
    char text[600];
    struct err e = {0};
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    seen(p);
    struct mcp_request *r = p->r;
    p->r = NULL;
    if (!r || p->s->falling)
        return;
    (void)err_set(&e, status, "%s", text);
    mcp_client_lost(p->s->client, r, status, &e, other_era);
}

// ---- what comes --------------------------------------------------------------------------------

static void cut(struct timer *t)
{
    struct post *p = t->user;
    p->over = true;
    if (p->call)
        http_call_cancel(p->call);
}

static void take(struct post *p, struct bytes text)
{
    if (p->s->falling || p->over)
        return;
    seen(p);
    bool had = p->r != NULL;
    mcpc_message(p->s, text, p->r);
    seen(p);
    if (had && !p->r && p->call && !p->over) { // a stream that goes on after its answer is cut
        p->timer.fn = cut;
        p->timer.user = p;
        (void)timer_start(p->timers, &p->timer, AFTER_MS);
    }
}

static void on_event(void *user, const struct sse_event *ev)
{
    struct post *p = user;
    if (ev->data.n && (!ev->event.n || bytes_is(ev->event, "message")))
        take(p, ev->data);
}

static bool is_type(struct bytes type, const char *name)
{
    size_t n = strlen(name);
    return bytes_iis(bytes_first(type, n), name) &&
           (type.n == n || strchr("; \t", type.p[n]) != NULL);
}

static void head_kind(struct post *p, const struct http_head *head)
{
    struct bytes type = http_header(head, "Content-Type");
    bool good = head->status >= 200 && head->status < 300;
    body_clear(p);
    p->http = head->status;
    if (good && is_type(type, "text/event-stream")) {
        p->kind = BODY_EVENTS;
        p->sse_made = true;
        sse_parser_init(&p->sse, p->s->conf.answer_bytes_max);
    } else if (good && is_type(type, "application/json")) {
        p->kind = BODY_JSON;
        buf_init(&p->whole, p->s->conf.answer_bytes_max);
    } else if (!good) {
        p->kind = BODY_ERROR;
        buf_init(&p->whole, ERROR_BYTES_MAX);
    }
}

// Visible ASCII only (2025-11-25, "Session Management").
static bool session_good(struct bytes s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < 0x21 || s.p[i] > 0x7e)
            return false;
    return s.n > 0 && s.n <= SESSION_MAX;
}

static void on_head(struct http_call *c, const struct http_head *head)
{
    struct post *p = http_call_user(c);
    if (p->over || !p->s || p->s->falling)
        return;
    struct web *w = p->s->own;
    struct bytes session = http_header(head, "Mcp-Session-Id");
    head_kind(p, head);
    if (p->greets && head->status < 300 && session_good(session)) {
        buf_clear(&w->session);
        (void)buf_put(&w->session, session);
    }
    if (head->status == 401 || head->status == 403) {
        buf_clear(&w->challenge);
        (void)buf_put(&w->challenge, http_header(head, "WWW-Authenticate"));
    }
}

static void on_body(struct http_call *c, const char *text, size_t n)
{
    struct post *p = http_call_user(c);
    struct bytes part = {text, n};
    int rc = 0;
    if (p->over || !p->s || p->s->falling || !mcpc_heard(p->s, n))
        return;
    if (p->kind == BODY_EVENTS)
        rc = sse_parser_feed(&p->sse, part, on_event, p);
    else if (p->kind == BODY_JSON)
        rc = buf_put(&p->whole, part);
    else if (p->kind == BODY_ERROR)
        (void)buf_put(&p->whole, bytes_first(part, p->whole.max - p->whole.n));
    if (rc < 0 && !p->over) {
        lost(p, rc, false, "its answer has more than %zu bytes", p->s->conf.answer_bytes_max);
        p->over = true;
        http_call_cancel(c);
    }
}

// ---- how an exchange ends ----------------------------------------------------------------------

// The stream for what a server of the older revisions says by itself.
static void stream_open(struct mcpc_srv *s)
{
    struct web *w = s->own;
    struct post *p = w->no_stream ? NULL : post_new(s, NULL, NULL);
    if (!p)
        return;
    p->get = p->listens = true;
    post_go(p);
}

// The POST after "initialized" may come before it on another connection: they wait for it.
static void barrier_off(struct mcpc_srv *s)
{
    struct web *w = s->own;
    w->barrier = NULL;
    stream_open(s);
    while (!list_empty(&w->held) && !w->barrier && !s->falling) {
        struct post *p = container_of(w->held.next, struct post, link);
        list_del(&p->link);
        list_add_tail(&w->posts, &p->link);
        post_go(p);
    }
}

static void resume(struct timer *t)
{
    struct post *p = t->user;
    seen(p);
    p->get = true;
    if (p->r)
        post_go(p);
    else
        post_free(p);
}

static bool may_resume(const struct post *p)
{
    return !mcp_client_modern(p->s->client) && p->r && p->id.n && p->resumes < RESUMES_MAX;
}

static void resume_later(struct post *p)
{
    int64_t ms = p->retry_ms > 0 ? p->retry_ms : RETRY_MS;
    p->resumes++;
    p->timer.fn = resume;
    p->timer.user = p;
    (void)timer_start(p->timers, &p->timer, ms < RETRY_MS_MAX ? ms : RETRY_MS_MAX);
}

static void stream_again(struct timer *t)
{
    struct post *p = t->user;
    p->resumes++;
    post_go(p);
}

static void stream_over(struct post *p, bool worked)
{
    struct web *w = p->s->own;
    if (!worked) { // it has none, which it may
        w->no_stream = true;
        post_free(p);
        return;
    }
    unsigned row = p->resumes < 5 ? p->resumes : 5;
    int64_t ms = p->retry_ms > 0 ? p->retry_ms : RETRY_MS << row;
    p->timer.fn = stream_again;
    p->timer.user = p;
    (void)timer_start(p->timers, &p->timer, ms < RETRY_MS_MAX ? ms : RETRY_MS_MAX);
}

static void session_over(struct post *p)
{
    struct web *w = p->s->own;
    struct mcp_request *r = p->r;
    bool again = p->s->state == MCPC_IS_READY && r && mcpc_call_again(p->s, r);
    buf_clear(&w->session);
    if (again)
        p->r = NULL;
    mcpc_fall(p->s, again ? E_CANCELLED : E_UPSTREAM, "its session is over");
}

static void refused(struct post *p)
{
    struct web *w = p->s->own;
    bool hello = p->r && mcp_client_is_hello(p->s->client, p->r);
    if ((p->http == 401 || p->http == 403) && mcpc_login(p->s, p->http, buf_bytes(&w->challenge))) {
        if (p->r && mcpc_call_again(p->s, p->r))
            p->r = NULL;
        return;
    }
    if (p->http == 404 && p->session && w->session.n) {
        session_over(p);
        return;
    }
    struct bytes text = bytes_trim(buf_bytes(&p->whole));
    if (text.n && *text.p == '{' && p->r)
        take(p, text);
    if (p->http >= 300 && p->http < 400)
        lost(p, E_UPSTREAM, false, "HTTP %d: redirects are not followed", p->http);
    else if (p->http == 401)
        lost(p, E_UNAUTH, false, "HTTP 401: it wants other credentials");
    else if (p->http == 403)
        lost(p, E_FORBIDDEN, false, "HTTP 403: it refuses");
    else
        lost(p, p->http == 429 ? E_RATE : E_UPSTREAM, hello && p->http < 500, "HTTP %d", p->http);
}

static void ended_well(struct post *p)
{
    if (p->http < 200 || p->http > 299)
        refused(p);
    else if (p->kind == BODY_JSON)
        take(p, buf_bytes(&p->whole));
    seen(p);
    if (!p->r || p->s->falling)
        return;
    if (may_resume(p))
        resume_later(p);
    else
        lost(p, E_CLOSED, false, "HTTP %d without an answer to %s", p->http, p->r->method);
}

static void ended_badly(struct post *p, int status, const struct err *e)
{
    seen(p);
    if (may_resume(p))
        resume_later(p);
    else
        lost(p, status, false, "%s", e && e->n ? e->text : "the connection broke");
}

static void note_stream(struct post *p)
{
    if (!p->sse_made)
        return;
    if (p->sse.id.n) {
        buf_clear(&p->id);
        (void)buf_put(&p->id, buf_bytes(&p->sse.id));
    }
    if (p->sse.retry_ms)
        p->retry_ms =
            p->sse.retry_ms < RETRY_MS_MAX ? (int64_t)p->sse.retry_ms : (int64_t)RETRY_MS_MAX;
}

static void on_end(struct http_call *c, int status, const struct err *e)
{
    struct post *p = http_call_user(c);
    struct mcpc_srv *s = p->s;
    p->call = NULL;
    if (!s) {
        post_free(p);
        return;
    }
    struct web *w = s->own;
    bool barrier = w && w->barrier == p;
    timer_stop(p->timers, &p->timer);
    p->timer.fn = NULL;
    note_stream(p);
    if (p->asks_bye) {
        post_free(p);
        mcpc_gone(s);
        return;
    }
    if (p->over || s->falling) {
        post_free(p);
    } else if (p->listens) {
        stream_over(p, p->kind == BODY_EVENTS);
    } else {
        if (status == 0)
            ended_well(p);
        else
            ended_badly(p, status, e);
        if (!p->timer.fn || !p->r)
            post_free(p);
    }
    if (barrier && !s->falling)
        barrier_off(s);
}

static const struct http_call_handler handler = {
    .on_head = on_head, .on_body = on_body, .on_end = on_end};

// ---- out ---------------------------------------------------------------------------------------

static void put_line(struct buf *out, const char *name, struct bytes value)
{
    if (memchr(value.p ? value.p : "", '\n', value.n) ||
        memchr(value.p ? value.p : "", '\r', value.n))
        return;
    (void)buf_fmt(out, "%s: ", name);
    (void)buf_put(out, value);
    (void)buf_str(out, "\r\n");
}

static void put_protocol(struct post *p, const struct val *message)
{
    struct mcp_client *client = p->s->client;
    struct web *w = p->s->own;
    if (mcp_client_modern(client)) {
        (void)mcp_headers(&p->lines, mcp_client_rev(client),
                          val_bytes(val_get_cstr(message, "method")),
                          val_get_cstr(message, "params"), p->r ? p->r->schema : NULL);
        return;
    }
    if (!p->greets)
        put_line(&p->lines, "MCP-Protocol-Version", bytes_of(mcp_rev_text(mcp_client_rev(client))));
    if (w->session.n && !p->greets) {
        put_line(&p->lines, "Mcp-Session-Id", buf_bytes(&w->session));
        p->session = true;
    }
}

static void put_lines(struct post *p, const struct val *message)
{
    const struct mcpc_srv *s = p->s;
    const struct mcpc_call *c = p->r ? mcpc_call_of(p->s, p->r) : NULL;
    struct bytes token = mcpc_token(p->s);
    if (message)
        (void)buf_str(&p->lines, "Content-Type: application/json\r\n"
                                 "Accept: application/json, text/event-stream\r\n");
    else
        (void)buf_str(&p->lines, "Accept: text/event-stream\r\n");
    (void)buf_str(&p->lines, "User-Agent: plexus/" PLEXUS_VERSION "\r\n");
    put_protocol(p, message);
    if (s->conf.headers)
        (void)buf_str(&p->lines, s->conf.headers);
    if (token.n)
        (void)buf_fmt(&p->lines, "Authorization: Bearer %.*s\r\n", BYTES_FMT(token));
    if (s->conf.dial && c && *c->label) // the other node decides with it
        put_line(&p->lines, "X-Plexus-Label", bytes_of(c->label));
}

static void post_go(struct post *p)
{
    struct mcpc_srv *s = p->s;
    struct web *w = s->own;
    struct err e = {0};
    struct bytes method = p->asks_bye ? BYTES("DELETE") : p->get ? BYTES("GET") : BYTES("POST");
    p->timer.fn = NULL;
    if (p->get || p->asks_bye) { // its head is made anew
        buf_clear(&p->lines);
        put_lines(p, NULL);
        if (p->id.n && p->get)
            put_line(&p->lines, "Last-Event-ID", buf_bytes(&p->id));
    }
    struct http_pool *pool = s->conf.dial ? s->conf.dial(s->conf.dial_user, &e) : w->pool;
    p->body = buf_bytes(&p->text);
    bool body = !p->get && !p->asks_bye;
    struct http_call_args args = {.method = method,
                                  .target = bytes_of(w->target),
                                  .headers = buf_bytes(&p->lines),
                                  .body = body ? &p->body : NULL,
                                  .body_count = body,
                                  .first_byte_ms = TIME_NEVER,
                                  .silence_ms = TIME_NEVER,
                                  .handler = &handler,
                                  .user = p};
    int rc = p->text.failed || p->lines.failed ? err_set(&e, E_TOOBIG, "the request is too large")
             : !pool                           ? (e.code ? e.code : E_UNAVAILABLE)
                                               : http_call_start(pool, &args, &p->call, &e);
    if (rc < 0) {
        bool hello = p->r && mcp_client_is_hello(s->client, p->r);
        struct mcp_request *r = p->r;
        p->call = NULL;
        post_free(p);
        if (hello || !r)
            mcpc_fall_err(s, rc, &e);
        else
            mcp_client_lost(s->client, r, rc, &e, false);
    }
}

static void send_it(struct mcpc_srv *s, const struct val *message, struct mcp_request *r)
{
    struct web *w = s->own;
    struct bytes method = val_bytes(val_get_cstr(message, "method"));
    struct post *p = post_new(s, message, r);
    if (!p) {
        mcpc_fall(s, E_NOMEM, "out of memory");
        return;
    }
    p->greets = bytes_is(method, "initialize");
    if (p->greets)
        buf_clear(&w->session);
    put_lines(p, message);
    if (w->barrier) {
        list_del(&p->link);
        list_add_tail(&w->held, &p->link);
        return;
    }
    if (bytes_is(method, "notifications/initialized"))
        w->barrier = p;
    post_go(p);
}

static void drop(struct mcpc_srv *s, struct mcp_request *r)
{
    struct web *w = s->own;
    struct list *const heads[] = {w ? &w->posts : NULL, w ? &w->held : NULL};
    for (size_t i = 0; w && i < 2; i++)
        list_each_safe (it, heads[i]) {
            struct post *p = container_of(it, struct post, link);
            if (p->r == r) {
                post_drop(p);
                return;
            }
        }
}

// ---- the transport -----------------------------------------------------------------------------

static int url_open(struct mcpc_srv *s, struct web *w, struct err *e)
{
    const struct mcpc_args *a = &s->m->args;
    struct http_pool_args args = {.net = a->net, .timers = a->timers, .idle_max = 16};
    char host[300];
    int rc = url_parse(&w->url, bytes_of(s->conf.url), e);
    if (rc < 0)
        return rc;
    bool v6 = bytes_chr(w->url.host, ':') >= 0;
    bool usual = w->url.port == (w->url.tls ? 443 : 80);
    (void)snprintf(host, sizeof host, usual ? "%s%.*s%s" : "%s%.*s%s:%u", v6 ? "[" : "",
                   BYTES_FMT(w->url.host), v6 ? "]" : "", w->url.port);
    (void)snprintf(args.addr.host, sizeof args.addr.host, "%.*s", BYTES_FMT(w->url.host));
    args.addr.port = w->url.port;
    args.host_header = host;
    if (w->url.tls && (!a->tls || !(args.tls = a->tls(a->user, e))))
        return e->code ? e->code : err_set(e, E_CONFIG, "this node has no TLS for https");
    return http_pool_new(&w->pool, &args, e);
}

static int target_make(struct mcpc_srv *s, struct web *w, struct err *e)
{
    struct buf b;
    buf_init(&b, 8192);
    (void)buf_put(&b, s->conf.url ? w->url.path : bytes_of(s->conf.path));
    if (!b.n)
        (void)buf_chr(&b, '/');
    if (s->conf.url && w->url.query.n)
        (void)buf_fmt(&b, "?%.*s", BYTES_FMT(w->url.query));
    w->target = buf_take(&b);
    buf_fini(&b);
    return w->target ? 0 : err_set(e, E_NOMEM, "out of memory");
}

static int open_it(struct mcpc_srv *s, struct err *e)
{
    struct web *w = mem_new(struct web);
    if (!w)
        return err_set(e, E_NOMEM, "out of memory");
    list_init(&w->posts);
    list_init(&w->held);
    buf_init(&w->session, SESSION_MAX);
    buf_init(&w->challenge, 8192);
    s->own = w;
    int rc = s->conf.url ? url_open(s, w, e) : 0;
    if (rc == 0)
        rc = target_make(s, w, e);
    return rc < 0 ? rc : mcpc_begin(s, false, e);
}

static void close_it(struct mcpc_srv *s)
{
    struct web *w = s->own;
    struct list *const heads[] = {w ? &w->posts : NULL, w ? &w->held : NULL};
    if (!w)
        return;
    for (size_t i = 0; i < 2; i++)
        list_each_safe (it, heads[i]) {
            struct post *p = container_of(it, struct post, link);
            // Its call ends later, and frees it: without this server.
            timer_stop(p->timers, &p->timer);
            list_del(&p->link);
            p->s = NULL;
            post_drop(p);
        }
    if (w->pool)
        http_pool_free(w->pool);
    buf_fini(&w->session);
    buf_fini(&w->challenge);
    mem_free(w->target);
    mem_free(w);
    s->own = NULL;
}

static bool bye(struct mcpc_srv *s)
{
    struct web *w = s->own;
    if (!w)
        return false;
    list_each_safe (it, &w->posts)
        post_drop(container_of(it, struct post, link));
    if (!w->session.n || mcp_client_modern(s->client))
        return false;
    struct post *p = post_new(s, NULL, NULL);
    if (!p)
        return false;
    p->asks_bye = true;
    post_go(p);
    return true;
}

const struct mcpc_way mcpc_web = {.name = "http",
                                  .open = open_it,
                                  .send = send_it,
                                  .drop = drop,
                                  .bye = bye,
                                  .close = close_it,
                                  .free = close_it};
