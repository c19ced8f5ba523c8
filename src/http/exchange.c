// exchange.c: the answer's side of the HTTP server.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "base/time.h"
#include "http/http_priv.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

static const struct {
    int status;
    const char *reason;
} reasons[] = {
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {304, "Not Modified"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {411, "Length Required"},
    {413, "Content Too Large"},
    {415, "Unsupported Media Type"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {499, "Client Closed Request"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
};

const char *http_reason(int status)
{
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return status < 400 ? "OK" : "Error";
}

struct bytes http_key(const struct http_head *h)
{
    struct bytes v = http_header(h, "Authorization");
    if (v.n > 7 && bytes_iis(bytes_first(v, 7), "Bearer "))
        return bytes_trim(bytes_from(v, 7));
    v = http_header(h, "X-Api-Key");
    return v.p ? v : http_header(h, "Api-Key");
}

const struct http_head *http_request(const struct http_exchange *x)
{
    return &x->head;
}
struct bytes http_body(const struct http_exchange *x)
{
    return x->body;
}
void http_peer(const struct http_exchange *x, struct net_peer *ret)
{
    struct conn *c = x->conn;
    if (!c->peer_known) { // a system call: once for all requests of the connection
        net_peer(c->stream, &c->peer);
        c->peer_known = true;
    }
    *ret = c->peer;
}
int http_tag(const struct http_exchange *x)
{
    return x->conn->tag;
}
uint64_t http_began_ns(const struct http_exchange *x)
{
    return x->began_ns;
}
uint64_t http_complete_ns(const struct http_exchange *x)
{
    return x->complete_ns;
}
bool http_answered(const struct http_exchange *x)
{
    return x->begun;
}
uint64_t http_sent(const struct http_exchange *x)
{
    return x->sent;
}
int http_status(const struct http_exchange *x)
{
    return x->status;
}
void *http_owner(const struct http_exchange *x)
{
    return x->user;
}

void http_own(struct http_exchange *x, void *user,
              void (*drain)(struct http_exchange *x, void *user),
              void (*gone)(struct http_exchange *x, void *user, int status))
{
    x->user = user;
    x->drain = drain;
    x->gone = gone;
    x->owned = true;
}

int http_limit_body(struct http_exchange *x, size_t bytes_max)
{
    if (x->head.has_length && x->head.length > bytes_max)
        return E_TOOBIG;
    if (bytes_max < x->body_buf.max)
        x->body_buf.max = bytes_max;
    return 0;
}

void http_take_body(struct http_exchange *x, struct buf *ret)
{
    *ret = x->body_buf;
    x->body = BYTES_NONE;
    buf_init(&x->body_buf, 0);
}

// Request bodies are not needed any more once the answer began to stream.
void http_release_body(struct http_exchange *x)
{
    x->conn->server->buffered -= x->budgeted;
    x->budgeted = 0;
    x->body = BYTES_NONE;
    buf_fini(&x->body_buf);
}

// RFC 9110, section 6.6.1. The text of a second is made once; an engine's own Date passes instead.
static void put_date(struct buf *out, struct bytes extra)
{
    static char text[64];
    static size_t len;
    static int64_t second;
    if (bytes_find(extra, BYTES("Date: ")) >= 0)
        return;
    int64_t now = time_wall_ms() / 1000;
    if (now != second) {
        time_t t = (time_t)now;
        struct tm tm;
        len =
            strftime(text, sizeof(text), "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", gmtime_r(&t, &tm));
        second = now;
    }
    (void)buf_add(out, text, len);
}

static void put_line(struct buf *out, int status)
{
    if (status == 200)
        (void)buf_put(out, BYTES("HTTP/1.1 200 OK\r\n"));
    else
        (void)buf_fmt(out, "HTTP/1.1 %d %s\r\n", status, http_reason(status));
}

void http_begin(struct http_exchange *x, int status, const char *type, struct bytes extra,
                uint64_t length)
{
    x->begun = true;
    x->status = status;
    x->length = length;
    bool bodiless = status == 204 || status == 304;
    if (length == HTTP_CHUNKED && x->head.http10)
        x->close_after = true;
    else
        x->chunked = length == HTTP_CHUNKED;
    if (x->conn->server->draining)
        x->close_after = true;
    struct buf *out = &x->out;
    put_line(out, status);
    if (type) {
        (void)buf_put(out, BYTES("Content-Type: "));
        (void)buf_str(out, type);
        (void)buf_put(out, BYTES("\r\n"));
    }
    (void)buf_put(out, extra);
    put_date(out, extra);
    if (x->chunked) {
        (void)buf_put(out, BYTES("Transfer-Encoding: chunked\r\n"));
    } else if (length != HTTP_CHUNKED && !bodiless) {
        (void)buf_put(out, BYTES("Content-Length: "));
        (void)buf_u64(out, length);
        (void)buf_put(out, BYTES("\r\n"));
    }
    if (x->close_after)
        (void)buf_put(out, BYTES("Connection: close\r\n"));
    else if (x->head.http10)
        (void)buf_put(out, BYTES("Connection: keep-alive\r\n"));
    (void)buf_put(out, BYTES("\r\n"));
}

static int write_out(struct http_exchange *x, const struct bytes *v, int count)
{
    struct conn *c = x->conn;
    if (c->state == CONN_CLOSED)
        return E_CLOSED;
    if (x->out.failed)
        return x->out.failed;
    int status = net_write(c->stream, v, count);
    if (status == E_FULL)
        return status; // nothing was taken: the head is kept
    if (x->out.cap > 512)
        buf_fini(&x->out); // a stream keeps no memory for its head
    else
        buf_clear(&x->out);
    if (status == 1 && c->wait != WAIT_WRITE)
        conn_wait_for(c, WAIT_WRITE);
    return status;
}

#define PARTS_MAX 18

bool http_withdraw(struct http_exchange *x)
{
    if (!x->begun || x->finished || x->out.n == 0 || x->out.failed || x->sent > 0)
        return false;
    buf_clear(&x->out);
    x->begun = x->chunked = false;
    x->length = 0;
    x->status = 0;
    return true;
}

int http_send(struct http_exchange *x, const struct bytes *v, int count)
{
    struct bytes parts[PARTS_MAX];
    char size[20];
    int n = 0;
    size_t total = 0;
    for (int i = 0; i < count; i++)
        total += v[i].n;
    if (total == 0)
        return http_flush(x);
    if (x->out.n)
        parts[n++] = buf_bytes(&x->out);
    if (x->chunked) {
        int len = snprintf(size, sizeof(size), "%zx\r\n", total);
        parts[n++] = (struct bytes){size, (size_t)len};
    }
    for (int i = 0; i < count && n < PARTS_MAX - 1; i++)
        parts[n++] = v[i];
    if (x->chunked)
        parts[n++] = BYTES("\r\n");
    x->sent += total;
    return write_out(x, parts, n);
}

int http_flush(struct http_exchange *x)
{
    struct bytes head = buf_bytes(&x->out);
    return head.n ? write_out(x, &head, 1) : 0;
}

void http_finish(struct http_exchange *x)
{
    struct conn *c = x->conn;
    if (x->chunked) {
        struct bytes parts[2];
        int n = 0;
        if (x->out.n)
            parts[n++] = buf_bytes(&x->out);
        parts[n++] = BYTES("0\r\n\r\n");
        (void)write_out(x, parts, n);
    } else {
        (void)http_flush(x);
        // Fewer bytes than were announced: only a cut connection says so.
        if (x->length != HTTP_CHUNKED && x->sent < x->length && x->status != 304) {
            http_abort(x);
            return;
        }
    }
    x->finished = true;
    if (c->state != CONN_CLOSED)
        conn_next(c);
}

void http_abort(struct http_exchange *x)
{
    struct conn *c = x->conn;
    x->finished = true;
    conn_close(c, true);
}

// ---- answers that are larger than a connection's queue ------------------------------------------

#define REST_PART ((size_t)64 << 10)

static void rest_send(struct http_exchange *x, void *user)
{
    int status = 0;
    (void)user;
    while (x->rest_at < x->rest.n) {
        struct bytes part = bytes_first(bytes_from(buf_bytes(&x->rest), x->rest_at), REST_PART);
        status = write_out(x, &part, 1);
        if (status >= 0)
            x->rest_at += part.n;
        if (status == 1 && x->rest_at < x->rest.n)
            return; // on_drain
        if (status == E_FULL && net_queued(x->conn->stream))
            return;
        if (status < 0)
            break;
    }
    if (status < 0 && status != E_CLOSED) {
        http_abort(x);
        return;
    }
    x->finished = true;
    if (x->conn->state != CONN_CLOSED)
        conn_next(x->conn);
}

static void rest_gone(struct http_exchange *x, void *user, int status)
{
    (void)x;
    (void)user;
    (void)status;
}

// Nothing of it was taken: it goes out in parts as the client takes them; a client never waits for
// an answer that does not come.
static void reply_rest(struct http_exchange *x, int status, const struct bytes *parts, int count)
{
    int rc = status == E_FULL ? 0 : status;
    size_t total = 0;
    for (int i = 0; i < count; i++)
        total += parts[i].n;
    buf_init(&x->rest, total);
    for (int i = 0; i < count && rc == 0; i++)
        rc = buf_put(&x->rest, parts[i]);
    if (rc < 0) {
        http_abort(x);
        return;
    }
    http_own(x, NULL, rest_send, rest_gone); // the owner has done its part
    rest_send(x, NULL);
}

void http_reply(struct http_exchange *x, int status, const char *type, struct bytes extra,
                struct bytes body)
{
    bool head_only = bytes_is(x->head.method, "HEAD");
    http_begin(x, status, type, extra, body.n);
    x->sent = body.n;
    struct bytes parts[2] = {buf_bytes(&x->out), body};
    int rc = write_out(x, parts, body.n && !head_only ? 2 : 1);
    if (rc < 0 && rc != E_CLOSED) {
        reply_rest(x, rc, parts, body.n && !head_only ? 2 : 1);
        return;
    }
    x->finished = true;
    if (x->conn->state != CONN_CLOSED)
        conn_next(x->conn);
}

void http_reply_error(struct http_exchange *x, int code, const char *message, const char *param,
                      int64_t retry_after_s)
{
    http_reply_error_with(x, code, message, param, retry_after_s, BYTES_NONE);
}

void http_reply_error_with(struct http_exchange *x, int code, const char *message,
                           const char *param, int64_t retry_after_s, struct bytes more)
{
    const struct err_info *info = err_info(code);
    struct buf body, extra;
    char slug[ERR_SLUG_MAX];
    buf_init(&body, 8192);
    buf_init(&extra, more.n + 256);
    (void)buf_put(&extra, more);
    (void)buf_str(&body, "{\"error\":{\"message\":");
    (void)buf_json_str(&body, bytes_of(message));
    (void)buf_fmt(&body, ",\"type\":\"%s\",\"param\":", info->type);
    if (param)
        (void)buf_json_str(&body, bytes_of(param));
    else
        (void)buf_str(&body, "null");
    err_slug(code, slug);
    (void)buf_fmt(&body, ",\"code\":\"%s\"}}", slug);
    if (retry_after_s >= 0)
        (void)buf_fmt(&extra, "Retry-After: %lld\r\n", (long long)retry_after_s);
    if (info->http == 401)
        (void)buf_str(&extra, "WWW-Authenticate: Bearer\r\n");
    http_reply(x, info->http, "application/json", buf_bytes(&extra), buf_bytes(&body));
    buf_fini(&body);
    buf_fini(&extra);
}
