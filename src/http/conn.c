// conn.c: one connection of the server: bytes in, requests out, one after the other.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "http/http_priv.h"
#include <stdio.h>
#include <string.h>

#define SMALL_BODY_BYTES 16384 // memory is taken at once for a body that says it is so small

static void on_data(struct net_stream *stream, char *p, size_t n);
static void on_end(struct net_stream *stream, int status);
static void on_drain(struct net_stream *stream);
static void on_closed(struct net_stream *stream);

static const struct net_handler handler = {
    .on_data = on_data, .on_end = on_end, .on_drain = on_drain, .on_closed = on_closed};

static const struct net_handler refused_handler = {.on_closed = NULL};

static void refuse_stream(struct net_stream *s)
{
    static const char body[] =
        "{\"error\":{\"message\":\"the node's connection limit is reached; try again later\","
        "\"type\":\"server_error\",\"param\":null,\"code\":\"full\"}}";
    char answer[512];
    int n = snprintf(answer, sizeof(answer),
                     "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
                     "Retry-After: 1\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
                     sizeof(body) - 1, body);
    s->handler = &refused_handler;
    s->user = NULL;
    (void)net_write(s, &(struct bytes){answer, (size_t)n}, 1);
    net_close(s, false);
}

void conn_accept(void *user, struct net_stream *stream, bool over_limit)
{
    struct listener *l = user;
    struct http_server *s = l->server;
    struct conn *c = over_limit || s->draining ? NULL : mem_new(struct conn);
    if (!c) {
        s->refused++;
        if (s->routes.on_refused)
            s->routes.on_refused(s->routes.user, NULL, E_FULL, "connection limit");
        refuse_stream(stream);
        return;
    }
    c->stream = stream;
    c->server = s;
    c->tag = l->tag;
    c->state = CONN_READY;
    buf_init(&c->in, s->limits.head_bytes + PIPELINE_BYTES_MAX);
    list_add_tail(&s->conns, &c->link);
    list_init(&c->wait_link);
    s->connections++;
    stream->handler = &handler;
    stream->user = c;
    conn_wait_for(c, WAIT_HEAD); // the first request must come soon
    c->reading = true;
    net_read(stream, true);
}

static void set_reading(struct conn *c, bool on)
{
    if (c->reading == on || c->state == CONN_CLOSED || c->ended)
        return;
    c->reading = on;
    net_read(c->stream, on);
}

void exchange_free(struct http_exchange *x)
{
    struct http_server *s = x->conn->server;
    s->buffered -= x->budgeted;
    s->active--;
    buf_fini(&x->out);
    buf_fini(&x->rest);
    buf_fini(&x->body_buf);
    mem_free(x->block);
    mem_free(x);
}

// Takes the exchange from its connection; its owner hears of it.
static void conn_drop_exchange(struct conn *c, int status)
{
    struct http_exchange *x = c->x;
    if (!x)
        return;
    c->x = NULL;
    if (x->owned && !x->finished && x->gone) {
        x->finished = true;
        x->gone(x, x->user, status);
    }
    exchange_free(x);
}

void conn_close(struct conn *c, bool abort)
{
    if (c->state == CONN_CLOSED)
        return;
    c->state = CONN_CLOSED;
    conn_wait_for(c, WAIT_NONE);
    conn_drop_exchange(c, E_CLOSED);
    net_close(c->stream, abort);
    server_check_drained(c->server);
}

static void on_closed(struct net_stream *stream)
{
    struct conn *c = stream->user;
    struct http_server *s = c->server;
    list_del(&c->link);
    s->connections--;
    buf_fini(&c->in);
    mem_free(c);
}

// An error that no handler will see: answered here, then the connection ends.
void conn_refuse(struct conn *c, int code, const char *why)
{
    struct http_server *s = c->server;
    s->refused++;
    if (s->routes.on_refused) {
        struct net_peer peer;
        net_peer(c->stream, &peer);
        s->routes.on_refused(s->routes.user, &peer, code, why);
    }
    conn_drop_exchange(c, E_CANCELLED);
    const struct err_info *info = err_info(code);
    struct buf body, out;
    char slug[ERR_SLUG_MAX];
    err_slug(code, slug);
    buf_init(&body, 2048);
    buf_init(&out, 4096);
    (void)buf_str(&body, "{\"error\":{\"message\":");
    (void)buf_json_str(&body, bytes_of(why));
    (void)buf_fmt(&body, ",\"type\":\"%s\",\"param\":null,\"code\":\"%s\"}}", info->type, slug);
    (void)buf_fmt(&out,
                  "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nConnection: close\r\n"
                  "Content-Length: %zu\r\n\r\n",
                  info->http, http_reason(info->http), body.n);
    struct bytes parts[2] = {buf_bytes(&out), buf_bytes(&body)};
    (void)net_write(c->stream, parts, 2);
    buf_fini(&out);
    buf_fini(&body);
    conn_close(c, false);
}

// One block holds the head's text, its rows, and a body that has a known small length.
static struct http_exchange *exchange_new(struct conn *c, const struct http_head *h,
                                          const struct http1 *parser, struct bytes text)
{
    struct http_exchange *x = mem_new(struct http_exchange);
    size_t rows = h->count * sizeof(*h->headers);
    char *block = mem_alloc(rows + text.n);
    if (!x || !block) {
        mem_free(x);
        mem_free(block);
        return NULL;
    }
    struct http1_header *row = (struct http1_header *)(void *)block;
    char *copy = block + rows;
    memcpy(copy, text.p, text.n);
#define MOVED(b) ((struct bytes){(b).p ? copy + ((b).p - text.p) : NULL, (b).n})
    for (size_t i = 0; i < h->count; i++) {
        row[i].name = MOVED(h->headers[i].name);
        row[i].value = MOVED(h->headers[i].value);
    }
    x->head = *h;
    x->head.headers = row;
    x->head.target = MOVED(h->target);
    x->head.path = h->path.p >= text.p && h->path.p < text.p + text.n ? MOVED(h->path) : h->path;
    x->head.query = MOVED(h->query);
    x->head.host = MOVED(h->host);
#undef MOVED
    x->block = block;
    x->parser = *parser;
    x->conn = c;
    x->began_ns = c->began_ns;
    x->close_after = !h->keep_alive || c->server->draining;
    buf_init(&x->body_buf, c->server->limits.body_bytes);
    buf_init(&x->out, c->server->limits.head_bytes);
    if (h->has_length && h->length && h->length <= SMALL_BODY_BYTES)
        (void)buf_room(&x->body_buf, (size_t)h->length);
    c->server->active++;
    c->server->requests++;
    return x;
}

static void request_whole(struct conn *c)
{
    struct http_exchange *x = c->x;
    x->body_whole = true;
    x->complete_ns = timers_now_ns(c->server->timers);
    if (x->finished) { // answered before its body was in
        conn_next(c);
        return;
    }
    c->state = CONN_BUSY;
    conn_wait_for(c, WAIT_NONE);
    if (x->body_buf.n)
        x->body = buf_bytes(&x->body_buf);
    c->server->routes.on_request(c->server->routes.user, x);
}

static int body_take(struct conn *c, struct http_exchange *x, struct bytes part)
{
    struct http_server *s = c->server;
    if (x->finished) {
        c->discarded += part.n;
        return c->discarded > DISCARD_BYTES_MAX ? E_TOOBIG : 0;
    }
    if (s->buffered + part.n > s->limits.budget_bytes)
        return E_FULL;
    s->buffered += part.n;
    x->budgeted += part.n;
    return buf_put(&x->body_buf, part);
}

// Chunk sizes, their extensions and trailers: they may be much beside tiny chunks, never without
// end.
static bool too_much_around(const struct conn *c)
{
    return c->around > c->server->limits.head_bytes + 16 * (c->x->budgeted + c->discarded);
}

// Feeds what is there into the body; returns the bytes used. The connection may be closed by it.
static size_t conn_body(struct conn *c, struct bytes data)
{
    size_t used = 0;
    for (;;) {
        struct http_exchange *x = c->x;
        struct err e = {0};
        struct bytes part = BYTES_NONE;
        size_t n = 0;
        int event = http1_body(&x->parser, bytes_from(data, used), &n, &part, &e);
        used += n;
        c->around += n - (event == HTTP1_BODY ? part.n : 0);
        int status = event == HTTP1_BODY ? body_take(c, x, part) : 0;
        if (event >= 0 && status == 0 && too_much_around(c))
            status = E_HEAD_TOOBIG;
        if (event < 0 || status < 0) {
            if (x->finished)
                conn_close(c, false);
            else if (event < 0)
                conn_refuse(c, E_PARSE, e.text);
            else
                conn_refuse(c, status,
                            status == E_TOOBIG ? "the request body is too large"
                            : status == E_HEAD_TOOBIG
                                ? "too much stands around the chunks of the request body"
                            : status == E_FULL ? "too many request bodies at once"
                                               : "out of memory");
            return used;
        }
        if (event == HTTP1_END) {
            request_whole(c);
            return used;
        }
        if (event == HTTP1_MORE) {
            conn_wait_for(c, WAIT_BODY);
            return used;
        }
    }
}

static int check_head(struct conn *c, const struct http_head *h, struct bytes *ret_why)
{
    if (h->has_length && h->length > c->server->limits.body_bytes) {
        *ret_why = BYTES("the request body is too large");
        return E_TOOBIG;
    }
    struct bytes expect = http_header(h, "Expect");
    if (expect.p && !bytes_iis(expect, "100-continue")) {
        *ret_why = BYTES("the only expectation that is known is 100-continue");
        return E_EXPECT;
    }
    return 0;
}

// A whole head stands at the start of data. Returns the bytes used.
static size_t conn_head(struct conn *c, const struct http_head *h, const struct http1 *parser,
                        struct bytes head_text)
{
    struct http_server *s = c->server;
    struct bytes why;
    int status = check_head(c, h, &why);
    struct http_exchange *x = status < 0 ? NULL : exchange_new(c, h, parser, head_text);
    if (!x) {
        conn_refuse(c, status < 0 ? status : E_NOMEM, status < 0 ? why.p : "out of memory");
        return head_text.n;
    }
    c->x = x;
    c->state = CONN_BODY;
    c->discarded = c->around = 0;
    conn_wait_for(c, WAIT_NONE);
    int answered = s->routes.on_head ? s->routes.on_head(s->routes.user, x) : 0;
    if (c->state == CONN_CLOSED || c->x != x)
        return head_text.n;
    if (!answered && http_header(&x->head, "Expect").p && !x->head.http10)
        (void)net_write(c->stream, &BYTES("HTTP/1.1 100 Continue\r\n\r\n"), 1);
    return head_text.n;
}

static size_t conn_ready(struct conn *c, struct bytes data)
{
    struct http_server *s = c->server;
    size_t skip = 0;
    while (skip < data.n && skip < 4 && (data.p[skip] == '\r' || data.p[skip] == '\n'))
        skip++; // RFC 9112, section 2.2: empty lines before a request are passed over
    data = bytes_from(data, skip);
    if (data.n == 0)
        return skip;
    if (c->began_ns == 0) {
        c->began_ns = timers_now_ns(s->timers);
        conn_wait_for(c, WAIT_HEAD);
    }
    struct http1 parser;
    struct http_head head;
    struct err e = {0};
    size_t used = 0;
    int event = http1_request(&parser, &s->fields, data, &head, &used, &e);
    if (event < 0) {
        conn_refuse(c, event, e.text);
    } else if (event == HTTP1_HEAD) {
        if (used > s->limits.head_bytes)
            conn_refuse(c, E_HEAD_TOOBIG, "the request head is too large");
        else
            return skip + conn_head(c, &head, &parser, bytes_first(data, used));
    } else if (data.n >= s->limits.head_bytes) {
        conn_refuse(c, E_HEAD_TOOBIG, "the request head is too large");
    }
    return skip;
}

// Works through data as far as it goes now; returns the bytes used.
static size_t conn_work(struct conn *c, struct bytes data)
{
    size_t used = 0;
    for (;;) {
        enum conn_state before = c->state;
        struct bytes rest = bytes_from(data, used);
        size_t n = 0;
        if (c->state == CONN_READY && rest.n)
            n = conn_ready(c, rest);
        else if (c->state == CONN_BODY || c->state == CONN_DISCARD)
            n = conn_body(c, rest);
        used += n;
        if (c->state == CONN_CLOSED || c->state == CONN_BUSY)
            return used;
        if (n == 0 && c->state == before)
            return used;
        if (c->state == CONN_READY && used == data.n)
            return used;
        if ((c->state == CONN_BODY || c->state == CONN_DISCARD) && before == c->state)
            return used;
    }
}

// Runs waiting input through; never from inside itself.
static void conn_process(struct conn *c, struct bytes fresh)
{
    if (c->processing)
        return;
    c->processing = true;
    bool stored = c->in.n > 0;
    // A head in pieces is looked at again when its end may be there, or it has doubled: so that a
    // client that sends byte by byte costs no more than it sends.
    size_t old = c->in.n;
    if (stored && fresh.n && buf_put(&c->in, fresh) != 0) {
        c->processing = false;
        conn_refuse(c, E_HEAD_TOOBIG, "too much was sent ahead");
        return;
    }
    struct bytes data = stored ? buf_bytes(&c->in) : fresh;
    size_t look = old > 3 ? old - 3 : 0;
    bool worth = c->state != CONN_READY || !stored || !fresh.n || data.n >= old * 2 ||
                 data.n >= c->server->limits.head_bytes ||
                 bytes_find(bytes_from(data, look), BYTES("\r\n\r\n")) >= 0 ||
                 bytes_find(bytes_from(data, look), BYTES("\n\n")) >= 0;
    size_t used = worth ? conn_work(c, data) : 0;
    if (c->state != CONN_CLOSED) {
        if (stored)
            buf_drop(&c->in, used);
        else if (used < data.n && buf_put(&c->in, bytes_from(data, used)) != 0)
            used = SIZE_MAX;
        if (stored && c->in.n == 0)
            buf_fini(&c->in);
    }
    c->processing = false;
    if (c->state == CONN_CLOSED)
        return;
    if (used == SIZE_MAX)
        conn_refuse(c, E_NOMEM, "out of memory");
    else if (c->state == CONN_BUSY && c->in.n > PIPELINE_BYTES_MAX / 2)
        set_reading(c, false); // enough sent ahead: the rest waits in the kernel
    else if (c->state == CONN_READY && c->in.n == 0 && c->wait == WAIT_NONE)
        conn_wait_for(c, WAIT_IDLE);
}

static void on_data(struct net_stream *stream, char *p, size_t n)
{
    struct conn *c = stream->user;
    conn_process(c, (struct bytes){p, n});
}

static void on_end(struct net_stream *stream, int status)
{
    struct conn *c = stream->user;
    c->ended = true;
    // A client that ends its side has left: its engine's work ends at once.
    conn_close(c, status != 0);
}

static void on_drain(struct net_stream *stream)
{
    struct conn *c = stream->user;
    struct http_exchange *x = c->x;
    if (c->wait == WAIT_WRITE)
        conn_wait_for(c, WAIT_NONE);
    if (x && x->owned && !x->finished && x->drain)
        x->drain(x, x->user);
}

void conn_next(struct conn *c)
{
    struct http_exchange *x = c->x;
    if (!x->body_whole) {
        c->state = CONN_DISCARD;
        if (x->close_after || c->discarded > DISCARD_BYTES_MAX)
            conn_close(c, false);
        else
            conn_wait_for(c, WAIT_BODY);
        return;
    }
    bool close = x->close_after || c->server->draining;
    c->x = NULL;
    exchange_free(x);
    if (close) {
        conn_close(c, false);
        server_check_drained(c->server);
        return;
    }
    c->state = CONN_READY;
    c->began_ns = 0;
    conn_wait_for(c, WAIT_IDLE);
    set_reading(c, true);
    server_check_drained(c->server);
    if (c->in.n)
        conn_process(c, BYTES_NONE);
}
