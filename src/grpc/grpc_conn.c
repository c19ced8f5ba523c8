// grpc_conn.c: one HTTP/2 connection of a channel: nghttp2 between the stream and the calls.
// SPDX-License-Identifier: Apache-2.0
#include "grpc/grpc_priv.h"

#include "base/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef PLEXUS_VERSION
#define PLEXUS_VERSION "0"
#endif

#define WINDOW_STREAM (4 << 20)
#define WINDOW_CONNECTION (16 << 20)
#define QUEUE_MAX ((size_t)4 << 20)
#define QUEUE_HIGH ((size_t)1 << 20) // nothing more is asked of nghttp2 until this has left
#define PING_MS 10000 // at most, until a ping's answer
#define HEADERS_MAX 32
#define FRAME 5 // before each message: compressed or not, length

// ---- output -------------------------------------------------------------------------------------

static void flush(struct grpc_conn *c)
{
    if (c->dead || c->inside || !c->session)
        return;
    while (net_queued(c->s) < QUEUE_HIGH) {
        const uint8_t *p;
        c->inside = true;
        ssize_t n = nghttp2_session_mem_send(c->session, &p);
        c->inside = false;
        if (n < 0) {
            grpc_conn_fail(c, E_UPSTREAM, nghttp2_strerror((int)n));
            return;
        }
        if (!n)
            break;
        struct bytes v = {(const char *)p, (size_t)n};
        c->g->stats.bytes_out += (uint64_t)n;
        int rc = net_write(c->s, &v, 1);
        if (rc < 0) {
            if (rc != E_CLOSED) // on_end tells of that
                grpc_conn_fail(c, rc, "the connection takes no more");
            return;
        }
    }
    if (!nghttp2_session_want_read(c->session) && !nghttp2_session_want_write(c->session))
        grpc_conn_fail(c, E_CLOSED, "the server ended the connection");
}

static ssize_t on_feed(nghttp2_session *s, int32_t id, uint8_t *to, size_t n, uint32_t *flags,
                       nghttp2_data_source *source, void *user)
{
    (void)s, (void)user, (void)source;
    struct grpc_call *call = nghttp2_session_get_stream_user_data(s, id);
    if (!call) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        return 0;
    }
    size_t left = call->out.n - call->sent;
    if (n > left)
        n = left;
    memcpy(to, call->out.p + call->sent, n);
    call->sent += n;
    if (call->sent == call->out.n) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        buf_fini(&call->out);
        call->sent = 0;
    }
    return (ssize_t)n;
}

static void header(nghttp2_nv *v, size_t *n, const char *name, size_t name_n, const char *value,
                   size_t value_n)
{
    if (*n < HEADERS_MAX)
        v[(*n)++] = (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, name_n,
                                 value_n, NGHTTP2_NV_FLAG_NONE};
}

static void meta(nghttp2_nv *v, size_t *n, const char *text)
{
    struct bytes rest = bytes_of(text);
    while (rest.n) {
        struct bytes name = bytes_cut(&rest, '\n'), value = bytes_cut(&rest, '\n');
        header(v, n, name.p, name.n, value.p, value.n);
    }
}

#define HEADER(name, value) header(v, &n, name, sizeof(name) - 1, value, strlen(value))

void grpc_conn_submit(struct grpc_conn *c, struct grpc_call *call)
{
    nghttp2_nv v[HEADERS_MAX];
    nghttp2_data_provider data = {.read_callback = on_feed};
    char timeout[32];
    size_t n = 0;
    HEADER(":method", "POST");
    HEADER(":scheme", c->g->args.tls ? "https" : "http");
    HEADER(":path", call->path);
    HEADER(":authority", c->g->authority);
    HEADER("te", "trailers");
    HEADER("content-type", "application/grpc");
    HEADER("user-agent", "grpc-c-plexus/" PLEXUS_VERSION);
    if (call->timeout_ms != TIME_NEVER) { // at most 8 digits
        int64_t ms = call->timeout_ms > 0 ? call->timeout_ms : 1;
        (void)snprintf(timeout, sizeof timeout, "%lld%c",
                       (long long)(ms > 99999999 ? ms / 1000 : ms), ms > 99999999 ? 'S' : 'm');
        HEADER("grpc-timeout", timeout);
    }
    meta(v, &n, c->g->meta);
    meta(v, &n, call->head);
    int32_t id = nghttp2_submit_request(c->session, NULL, v, n, &data, call);
    if (id < 0) {
        grpc_call_end(call, 14, E_UNAVAILABLE, "%s", nghttp2_strerror(id));
        return;
    }
    call->stream = id;
    call->conn = c;
    call->state = GRPC_CALL_SENT;
    list_del(&call->link);
    list_add_tail(&c->calls, &call->link);
    flush(c);
}

void grpc_conn_reset(struct grpc_conn *c, struct grpc_call *call)
{
    (void)nghttp2_session_set_stream_user_data(c->session, call->stream, NULL);
    (void)nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, call->stream, NGHTTP2_CANCEL);
    flush(c);
}

// ---- input --------------------------------------------------------------------------------------

static void percent_decode(char *to, size_t max, struct bytes in)
{
    size_t n = 0;
    for (size_t i = 0; i < in.n && n + 1 < max; i++) {
        char hex[3] = {0}, *end = NULL;
        if (in.p[i] == '%' && i + 2 < in.n) {
            memcpy(hex, in.p + i + 1, 2);
            unsigned long x = strtoul(hex, &end, 16);
            if (end == hex + 2) {
                to[n++] = (char)x;
                i += 2;
                continue;
            }
        }
        to[n++] = in.p[i];
    }
    to[n] = 0;
}

static int on_header(nghttp2_session *s, const nghttp2_frame *f, const uint8_t *name, size_t name_n,
                     const uint8_t *value, size_t value_n, uint8_t flags, void *user)
{
    struct bytes k = {(const char *)name, name_n}, v = {(const char *)value, value_n};
    struct grpc_call *call = nghttp2_session_get_stream_user_data(s, f->hd.stream_id);
    uint64_t u;
    char text[ERR_TEXT_MAX];
    (void)flags, (void)user;
    if (!call || call->state != GRPC_CALL_SENT)
        return 0;
    if (bytes_is(k, ":status") && bytes_u64(v, &u))
        call->http = (int)u;
    else if (bytes_is(k, "content-type"))
        call->got_type = bytes_starts(v, BYTES("application/grpc"));
    else if (bytes_is(k, "grpc-status")) {
        call->got_status = true;
        call->code = bytes_u64(v, &u) && u < 1000 ? (int)u : 2;
    } else if (bytes_is(k, "grpc-message")) {
        percent_decode(text, sizeof text, v);
        (void)err_set(&call->err, E_UPSTREAM, "%s", text);
    }
    return 0;
}

static void broken(struct grpc_conn *c, struct grpc_call *call, int status, const char *why)
{
    grpc_conn_reset(c, call);
    grpc_call_end(call, status == E_TOOBIG ? 8 : 13, status, "%s: %s", call->path, why);
}

static int on_chunk(nghttp2_session *s, uint8_t flags, int32_t id, const uint8_t *p, size_t n,
                    void *user)
{
    struct grpc_conn *c = user;
    struct grpc_call *call = nghttp2_session_get_stream_user_data(s, id);
    size_t at = 0;
    (void)flags;
    if (!call || call->state != GRPC_CALL_SENT || !call->got_type)
        return 0;
    if (buf_add(&call->in, p, n)) {
        broken(c, call, E_TOOBIG, "the answer is too large");
        return 0;
    }
    while (call->state == GRPC_CALL_SENT && call->in.n - at >= FRAME) {
        const unsigned char *h = (const unsigned char *)call->in.p + at;
        size_t length = (size_t)h[1] << 24 | (size_t)h[2] << 16 | (size_t)h[3] << 8 | h[4];
        if (h[0] || length > c->g->args.message_bytes_max) {
            broken(c, call, h[0] ? E_UPSTREAM : E_TOOBIG,
                   h[0] ? "a compressed message, which was not asked for"
                        : "the answer is too large");
            return 0;
        }
        if (call->in.n - at - FRAME < length)
            break;
        c->g->stats.messages_in++;
        if (call->on_message)
            call->on_message(call, (struct bytes){call->in.p + at + FRAME, length});
        at += FRAME + length;
    }
    if (call->state == GRPC_CALL_SENT)
        buf_drop(&call->in, at);
    return 0;
}

// grpc/doc/http-grpc-status-mapping.md
static int code_of_http(int http)
{
    switch (http) {
    case 400: return 13;
    case 401: return 16;
    case 403: return 7;
    case 404: return 12;
    case 429:
    case 502:
    case 503:
    case 504: return 14;
    default: return 2;
    }
}

static int on_stream_close(nghttp2_session *s, int32_t id, uint32_t error, void *user)
{
    struct grpc_conn *c = user;
    struct grpc_call *call = nghttp2_session_get_stream_user_data(s, id);
    (void)c;
    if (!call || call->state != GRPC_CALL_SENT)
        return 0;
    if (call->got_status && call->code == 0 && call->in.n)
        grpc_call_end(call, 13, E_UPSTREAM, "%s: the answer is cut", call->path);
    else if (call->got_status) {
        char text[ERR_TEXT_MAX];
        (void)snprintf(text, sizeof text, "%s", call->err.n ? call->err.text : "");
        grpc_call_end(call, call->code, grpc_error(call->code), "%s%s%s",
                      grpc_code_name(call->code), *text ? ": " : "", text);
    } else if (call->http && call->http != 200) {
        int code = code_of_http(call->http);
        grpc_call_end(call, code, grpc_error(code), "%s: HTTP status %d", call->path, call->http);
    } else {
        bool refused = error == NGHTTP2_REFUSED_STREAM;
        grpc_call_end(call, refused ? 14 : 13, refused ? E_UNAVAILABLE : E_UPSTREAM,
                      "%s: the stream ended without a status (%s)", call->path,
                      nghttp2_http2_strerror(error));
    }
    return 0;
}

static int on_frame(nghttp2_session *s, const nghttp2_frame *f, void *user)
{
    struct grpc_conn *c = user;
    (void)s;
    if (f->hd.type == NGHTTP2_PING && f->hd.flags & NGHTTP2_FLAG_ACK)
        c->asked = false;
    if (f->hd.type == NGHTTP2_GOAWAY)
        c->leaves = true; // seen to after nghttp2's work
    return 0;
}

static int make_session(struct grpc_conn *c)
{
    nghttp2_session_callbacks *cb;
    nghttp2_option *option;
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW_STREAM},
    };
    if (nghttp2_session_callbacks_new(&cb))
        return E_NOMEM;
    if (nghttp2_option_new(&option)) {
        nghttp2_session_callbacks_del(cb);
        return E_NOMEM;
    }
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_option_set_peer_max_concurrent_streams(option, 100);
    int rc = nghttp2_session_client_new2(&c->session, cb, c, option);
    nghttp2_session_callbacks_del(cb);
    nghttp2_option_del(option);
    if (!rc)
        rc = nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings,
                                     sizeof settings / sizeof *settings);
    if (!rc)
        rc = nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0,
                                                   WINDOW_CONNECTION);
    return rc ? E_NOMEM : 0;
}

// ---- the stream ---------------------------------------------------------------------------------

static void on_alive(struct timer *t)
{
    struct grpc_conn *c = t->user;
    int64_t now = timers_now_ms(c->g->args.timers), quiet = now - c->heard_ms;
    int64_t keepalive = c->g->args.keepalive_ms, ping = keepalive < PING_MS ? keepalive : PING_MS;
    if (c->asked && quiet >= ping) {
        grpc_conn_fail(c, E_UNAVAILABLE, "the server does not answer pings");
        return;
    }
    if (c->leaves && list_empty(&c->calls)) {
        grpc_conn_fail(c, E_CLOSED, "the server asked to leave");
        return;
    }
    int64_t wait = keepalive - quiet;
    if (wait <= 0 && list_empty(&c->calls)) {
        c->heard_ms = now;
        wait = keepalive;
    } else if (wait <= 0) {
        c->asked = true;
        c->heard_ms = now;
        (void)nghttp2_submit_ping(c->session, NGHTTP2_FLAG_NONE, NULL);
        wait = ping;
    }
    (void)timer_start(c->g->args.timers, &c->alive, wait);
    flush(c);
}

static void on_open(struct net_stream *s, int status, const struct err *e)
{
    struct grpc_conn *c = s->user;
    if (status || make_session(c)) {
        grpc_conn_fail(c, status ? status : E_NOMEM, status ? e->text : "no memory");
        return;
    }
    c->up = true;
    c->heard_ms = timers_now_ms(c->g->args.timers);
    (void)timer_start(c->g->args.timers, &c->alive, c->g->args.keepalive_ms);
    net_read(s, true);
    flush(c);
    if (!c->dead)
        grpc_conn_up(c);
}

static void on_data(struct net_stream *s, char *p, size_t n)
{
    struct grpc_conn *c = s->user;
    c->heard_ms = timers_now_ms(c->g->args.timers);
    c->asked = false;
    c->g->stats.bytes_in += n;
    c->inside = true;
    ssize_t rc = nghttp2_session_mem_recv(c->session, (const uint8_t *)p, n);
    c->inside = false;
    if (rc < 0) {
        grpc_conn_fail(c, E_UPSTREAM, nghttp2_strerror((int)rc));
        return;
    }
    if (c->leaves && c->g->now == c)
        grpc_conn_leave(c);
    else if (c->leaves && list_empty(&c->calls))
        grpc_conn_fail(c, E_CLOSED, "the server asked to leave");
    if (!c->dead)
        flush(c);
}

static void on_end(struct net_stream *s, int status)
{
    struct grpc_conn *c = s->user;
    const char *why = net_why(s);
    grpc_conn_fail(c, status ? status : E_CLOSED, *why ? why : "the server ended the connection");
}

static void on_drain(struct net_stream *s)
{
    flush(s->user);
}

static void on_closed(struct net_stream *s)
{
    struct grpc_conn *c = s->user;
    struct grpc *g = c->g;
    nghttp2_session_del(c->session);
    list_del(&c->link);
    mem_free(c);
    grpc_conn_gone(g);
}

static const struct net_handler handler = {.on_open = on_open,
                                           .on_data = on_data,
                                           .on_end = on_end,
                                           .on_drain = on_drain,
                                           .on_closed = on_closed};

int grpc_conn_open(struct grpc *g, struct err *e)
{
    struct grpc_conn *c = mem_new(struct grpc_conn);
    if (!c)
        return err_set(e, E_NOMEM, "no memory for a connection");
    struct net_connect_args a = {.addr = g->args.addr,
                                 .tls = g->args.tls,
                                 .server_name = g->server_name,
                                 .timeout_ms = g->args.connect_ms,
                                 .queue_bytes_max = QUEUE_MAX,
                                 .handler = &handler,
                                 .user = c};
    c->g = g;
    list_init(&c->calls);
    c->alive = (struct timer){.fn = on_alive, .user = c};
    int rc = net_connect(g->args.net, &a, &c->s, e);
    if (rc) {
        mem_free(c);
        return rc;
    }
    list_add_tail(&g->conns, &c->link);
    g->now = c;
    return 0;
}

void grpc_conn_fail(struct grpc_conn *c, int code, const char *why)
{
    struct err e = {0};
    if (c->dead)
        return;
    c->dead = true;
    (void)err_set(&e, code, "%s: %s", c->g->authority, why);
    timer_stop(c->g->args.timers, &c->alive);
    list_each_safe (it, &c->calls)
        grpc_call_end(container_of(it, struct grpc_call, link), 14, E_UNAVAILABLE, "%s", e.text);
    grpc_conn_down(c, &e);
    net_close(c->s, true);
}

void grpc_conn_leave(struct grpc_conn *c)
{
    c->leaves = true;
    if (c->g->now == c)
        c->g->now = NULL;
    if (list_empty(&c->calls))
        grpc_conn_fail(c, E_CLOSED, "the server asked to leave");
}
