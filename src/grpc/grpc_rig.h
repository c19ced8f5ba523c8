// grpc_rig.h: for tests: a server over nghttp2 that answers by the method's name, well and badly.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_GRPC_GRPC_RIG_H
#define PLEXUS_GRPC_GRPC_RIG_H

#include "base/alloc.h"
#include "base/buf.h"
#include "port/net.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#pragma GCC diagnostic ignored "-Wunused-function"

// /x.Y/Say gives the message back; Many three times; Fail status 5; Http 503; Cut ends in the
// middle; Packed is compressed; Never is silent; Leave asks to leave, then answers; Meta gives the
// authorization; Html is no gRPC; Drop ends the connection.
struct h2_stream {
    int32_t id;
    char method[64], meta[256], timeout[32];
    struct buf in, out;
    size_t sent;
    int status; // of gRPC, in trailers; -1: none
    bool cut;
    struct h2_stream *next;
};
struct h2_server {
    struct net_listener *listener;
    struct net_tls *tls;
    unsigned connections, calls, resets;
    char meta[256]; // of the last call
    struct h2_conn *conns;
};
struct h2_conn {
    struct h2_server *server;
    struct net_stream *s;
    nghttp2_session *session;
    struct h2_stream *streams;
    struct h2_conn *next;
    bool drop, silent, closing;
};

static void h2_flush(struct h2_conn *c)
{
    const uint8_t *p;
    ssize_t n;
    while (!c->silent && (n = nghttp2_session_mem_send(c->session, &p)) > 0) {
        struct bytes v = {(const char *)p, (size_t)n};
        (void)net_write(c->s, &v, 1);
    }
}

static void h2_end(struct h2_conn *c)
{
    if (!c->closing)
        net_close(c->s, true);
    c->closing = true;
}

static int h2_begin(nghttp2_session *s, const nghttp2_frame *f, void *user)
{
    struct h2_conn *c = user;
    struct h2_stream *st = mem_new(struct h2_stream);
    st->id = f->hd.stream_id;
    buf_init(&st->in, 1 << 24);
    buf_init(&st->out, 1 << 26);
    st->next = c->streams;
    c->streams = st;
    (void)nghttp2_session_set_stream_user_data(s, st->id, st);
    return 0;
}

static int h2_header(nghttp2_session *s, const nghttp2_frame *f, const uint8_t *name, size_t name_n,
                     const uint8_t *value, size_t value_n, uint8_t flags, void *user)
{
    struct h2_stream *st = nghttp2_session_get_stream_user_data(s, f->hd.stream_id);
    struct bytes k = {(const char *)name, name_n}, v = {(const char *)value, value_n};
    (void)flags, (void)user;
    if (bytes_is(k, ":path")) {
        ptrdiff_t at = bytes_chr(bytes_from(v, 1), '/');
        (void)snprintf(st->method, sizeof st->method, "%.*s",
                       BYTES_FMT(bytes_from(v, (size_t)at + 2)));
    } else if (bytes_is(k, "authorization"))
        (void)snprintf(st->meta, sizeof st->meta, "%.*s", BYTES_FMT(v));
    else if (bytes_is(k, "grpc-timeout"))
        (void)snprintf(st->timeout, sizeof st->timeout, "%.*s", BYTES_FMT(v));
    return 0;
}

static int h2_data(nghttp2_session *s, uint8_t flags, int32_t id, const uint8_t *p, size_t n,
                   void *user)
{
    struct h2_stream *st = nghttp2_session_get_stream_user_data(s, id);
    (void)flags, (void)user;
    (void)buf_add(&st->in, p, n);
    return 0;
}

#define H2(name, value)                                                                            \
    {(uint8_t *)(uintptr_t)(name), (uint8_t *)(uintptr_t)(value), strlen(name), strlen(value), 0}

static ssize_t h2_read(nghttp2_session *s, int32_t id, uint8_t *to, size_t n, uint32_t *flags,
                       nghttp2_data_source *source, void *user)
{
    struct h2_stream *st = nghttp2_session_get_stream_user_data(s, id);
    size_t left = st->out.n - st->sent;
    (void)source, (void)user;
    n = n < left ? n : left;
    memcpy(to, st->out.p + st->sent, n);
    st->sent += n;
    if (st->sent < st->out.n)
        return (ssize_t)n;
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (st->status >= 0) {
        char status[16];
        (void)snprintf(status, sizeof status, "%d", st->status);
        nghttp2_nv trailers[] = {H2("grpc-status", status), H2("grpc-message", "so%20be it")};
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        (void)nghttp2_submit_trailer(s, id, trailers, 2);
    }
    return (ssize_t)n;
}

static void h2_message(struct h2_stream *st, struct bytes m, bool packed)
{
    char head[5] = {(char)packed, (char)(m.n >> 24), (char)(m.n >> 16), (char)(m.n >> 8),
                    (char)m.n};
    (void)buf_add(&st->out, head, 5);
    (void)buf_put(&st->out, m);
}

static void h2_answer(struct h2_conn *c, struct h2_stream *st)
{
    nghttp2_nv good[] = {H2(":status", "200"), H2("content-type", "application/grpc")};
    nghttp2_nv html[] = {H2(":status", "200"), H2("content-type", "text/html")};
    nghttp2_nv bad[] = {H2(":status", "503")};
    nghttp2_nv only[] = {H2(":status", "200"), H2("content-type", "application/grpc"),
                         H2("grpc-status", "5"), H2("grpc-message", "no%20such%25 th%zzing")};
    nghttp2_data_provider data = {.read_callback = h2_read};
    struct bytes m = bytes_from(buf_bytes(&st->in), 5);
    const char *how = st->method;
    c->server->calls++;
    (void)snprintf(c->server->meta, sizeof c->server->meta, "%s", st->meta);
    if (!strcmp(how, "Never"))
        return;
    if (!strcmp(how, "Fail")) {
        (void)nghttp2_submit_response(c->session, st->id, only, 4, NULL);
        return;
    }
    if (!strcmp(how, "Http")) {
        (void)nghttp2_submit_response(c->session, st->id, bad, 1, NULL);
        return;
    }
    if (!strcmp(how, "Drop")) {
        c->drop = true;
        return;
    }
    if (!strcmp(how, "Leave"))
        (void)nghttp2_submit_goaway(c->session, 0, st->id, NGHTTP2_NO_ERROR, NULL, 0);
    if (!strcmp(how, "Meta"))
        m = bytes_of(st->meta);
    if (!strcmp(how, "Time"))
        m = bytes_of(st->timeout);
    for (int i = 0; i < (strcmp(how, "Many") ? 1 : 3); i++)
        h2_message(st, m, !strcmp(how, "Packed"));
    if (!strcmp(how, "Cut"))
        st->out.n -= 2;
    if (!strcmp(how, "Half")) { // no trailers
        st->status = -1;
        st->out.n -= 2;
    }
    if (!strcmp(how, "Late")) // messages, then an error
        st->status = 9;
    bool is_html = !strcmp(how, "Html");
    if (is_html)
        st->status = -1;
    (void)nghttp2_submit_response(c->session, st->id, is_html ? html : good, 2, &data);
}

static int h2_frame(nghttp2_session *s, const nghttp2_frame *f, void *user)
{
    struct h2_conn *c = user;
    if (f->hd.type == NGHTTP2_RST_STREAM)
        c->server->resets++;
    if ((f->hd.type == NGHTTP2_DATA || f->hd.type == NGHTTP2_HEADERS) &&
        f->hd.flags & NGHTTP2_FLAG_END_STREAM)
        h2_answer(c, nghttp2_session_get_stream_user_data(s, f->hd.stream_id));
    return 0;
}

static void h2_on_data(struct net_stream *s, char *p, size_t n)
{
    struct h2_conn *c = s->user;
    if (nghttp2_session_mem_recv(c->session, (const uint8_t *)p, n) < 0 || c->drop) {
        h2_end(c);
        return;
    }
    h2_flush(c);
}
static void h2_on_end(struct net_stream *s, int status)
{
    (void)status;
    h2_end(s->user);
}
static void h2_on_drain(struct net_stream *s)
{
    h2_flush(s->user);
}
static void h2_on_closed(struct net_stream *s)
{
    struct h2_conn *c = s->user, **at = &c->server->conns;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    while (c->streams) {
        struct h2_stream *st = c->streams;
        c->streams = st->next;
        buf_fini(&st->in);
        buf_fini(&st->out);
        mem_free(st);
    }
    nghttp2_session_del(c->session);
    mem_free(c);
}
static const struct net_handler h2_handler = {
    .on_data = h2_on_data, .on_end = h2_on_end, .on_drain = h2_on_drain, .on_closed = h2_on_closed};

static void h2_accept(void *user, struct net_stream *s, bool over_limit)
{
    struct h2_server *server = user;
    struct h2_conn *c = mem_new(struct h2_conn);
    nghttp2_session_callbacks *cb;
    (void)over_limit;
    c->server = server;
    c->s = s;
    c->next = server->conns;
    server->conns = c;
    server->connections++;
    (void)nghttp2_session_callbacks_new(&cb);
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, h2_begin);
    nghttp2_session_callbacks_set_on_header_callback(cb, h2_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, h2_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, h2_frame);
    (void)nghttp2_session_server_new(&c->session, cb, c);
    nghttp2_session_callbacks_del(cb);
    (void)nghttp2_submit_settings(c->session, 0, NULL, 0);
    s->handler = &h2_handler;
    s->user = c;
    net_read(s, true);
    h2_flush(c);
}

static uint16_t h2_listen(struct h2_server *server, struct net *net)
{
    struct net_listen_args a = {.addr = {.host = "127.0.0.1"},
                                .tls = server->tls,
                                .handshake_ms = 5000,
                                .queue_bytes_max = 64 << 20,
                                .on_accept = h2_accept,
                                .user = server};
    struct err e = {0};
    if (net_listen(net, &a, &server->listener, &e))
        abort();
    return net_listener_port(server->listener);
}

static void h2_close(struct h2_server *server)
{
    net_listener_close(server->listener);
    for (struct h2_conn *c = server->conns; c; c = c->next)
        h2_end(c);
}

#endif
