// http.h: HTTP/1.1 (RFC 9110, RFC 9112) server and client over port/net. Bodies of requests are
// buffered under a budget, bodies of answers stream through with backpressure.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_HTTP_HTTP_H
#define PLEXUS_HTTP_HTTP_H

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/list.h"
#include "port/clock.h"
#include "port/net.h"
#include "text/http1.h"

// A head is http1.h's; these are its names here.
#define http_head http1_head
#define http_header_line http1_header

// First header with this name (without case); BYTES_NONE (p NULL) when absent.
static inline struct bytes http_header(const struct http_head *h, const char *name)
{
    return http1_find(h, name);
}

// The API key or token of a request: Authorization: Bearer, X-Api-Key, Api-Key; or BYTES_NONE.
struct bytes http_key(const struct http_head *h);

// ---- server ------------------------------------------------------------------------------------

struct http_server;
struct http_exchange; // one request and its answer

struct http_limits {
    size_t head_bytes;         // default 64 KiB: over it 431
    uint64_t body_bytes;       // default 32 MiB: over it 413
    uint64_t budget_bytes; // all buffered request bodies together, default 256 MiB: over it 503
    int64_t head_ms; // from the first byte of a request to the end of its head, default 10 s: 408
    int64_t body_ms; // longest silence inside a request body, default 30 s: 408
    int64_t idle_ms; // keep-alive without a request, default 75 s: closed
    int64_t write_ms; // longest time an answer's bytes are not taken, default 10 min: closed
};

struct http_routes {
    // The head is there. Return 0 to get the body and then on_request; or answer now
    // (http_reply...) and return 1: the body is then read and thrown away, or the connection
    // closes.
    int (*on_head)(void *user, struct http_exchange *x);
    void (*on_request)(void *user, struct http_exchange *x);
    // A request that never became an exchange was answered by the server itself (broken head,
    // too large, too slow, over the connection limit): for log and metrics.
    void (*on_refused)(void *user, const struct net_peer *peer, int code, const char *why);
    void *user;
};

struct http_server_args {
    struct net *net;
    struct timers *timers;
    struct http_limits limits; // zero fields: defaults
    struct http_routes routes;
};
int http_server_new(struct http_server **ret, const struct http_server_args *args, struct err *e);
void http_server_limits(struct http_server *s, const struct http_limits *limits); // from now on
// Adds a listener; tag is given back by http_tag (which door a request came through).
int http_server_listen(struct http_server *s, const struct net_listen_args *args, int tag,
                       struct net_listener **ret, struct err *e);
// Its connections end with their present requests, idle ones at once.
void http_server_unlisten(struct http_server *s, struct net_listener *n);
// From the next connection on: another certificate. Nothing when it is closed by now (drain).
void http_server_tls(struct http_server *s, struct net_listener *n, struct net_tls *tls);
// No new connections and no new requests (idle connections close, answers get Connection: close).
// done is called when the last exchange ended.
void http_server_drain(struct http_server *s, void (*done)(void *user), void *user);
// Ends all exchanges at once (streams get their error event from their owners before).
void http_server_abort(struct http_server *s);
// Ends at once the connections whose TLS peer has this name (net_peer.id). Returns how many.
size_t http_server_close_peer(struct http_server *s, struct bytes id);
void http_server_free(struct http_server *s); // after the loop has closed all streams

struct http_server_stats {
    uint64_t requests, refused, active, connections, body_bytes_buffered;
};
void http_server_stats(const struct http_server *s, struct http_server_stats *ret);

const struct http_head *http_request(const struct http_exchange *x);
struct bytes http_body(const struct http_exchange *x); // borrowed until the exchange ends
// From on_head: this request's body may have so many bytes, when that is less than the server's
// limit. E_TOOBIG: it says that it has more. Later bytes are counted, over it 413.
int http_limit_body(struct http_exchange *x, size_t bytes_max);
// Gives it (a body that came in pieces or not: it is moved, not copied).
void http_take_body(struct http_exchange *x, struct buf *ret);
void http_release_body(struct http_exchange *x); // gives its memory back before that
void http_peer(const struct http_exchange *x, struct net_peer *ret);
int http_tag(const struct http_exchange *x);
uint64_t http_began_ns(const struct http_exchange *x); // first byte of the request
uint64_t http_complete_ns(const struct http_exchange *x); // last byte of the request
bool http_answered(const struct http_exchange *x); // the answer's head was given
uint64_t http_sent(const struct http_exchange *x); // body bytes of the answer so far
int http_status(const struct http_exchange *x);

// Owner of the answer, until http_reply or http_finish or http_abort (after these x is not the
// owner's any more and no callback comes). gone: the client left, was too slow (E_CLOSED) or the
// server is aborting (E_CANCELLED) before that: once, x is not valid after it. drain: see
// http_send.
void http_own(struct http_exchange *x, void *user,
              void (*drain)(struct http_exchange *x, void *user),
              void (*gone)(struct http_exchange *x, void *user, int status));
void *http_owner(const struct http_exchange *x);

#define HTTP_CHUNKED UINT64_MAX

// The whole answer at once. extra: lines "Name: value\r\n"... or empty. type may be NULL.
void http_reply(struct http_exchange *x, int status, const char *type, struct bytes extra,
                struct bytes body);
// Head of a streamed answer; kept back until the first send, finish or http_flush, so that head and
// first bytes leave in one write. length: bytes that will come, or HTTP_CHUNKED (closed-delimited
// for an HTTP/1.0 client).
void http_begin(struct http_exchange *x, int status, const char *type, struct bytes extra,
                uint64_t length);
// 0: go on; 1: the client is slow, hold until drain; E_CLOSED: it left (gone comes).
int http_send(struct http_exchange *x, const struct bytes *v, int count);
int http_flush(struct http_exchange *x);
// Forgets a head that http_begin made and that has not gone out: another answer may be made. false:
// there is none, or it has.
bool http_withdraw(struct http_exchange *x);
void http_finish(struct http_exchange *x); // the body is whole
void http_abort(struct http_exchange *x); // cuts the connection: the client sees a broken answer

// OpenAI-shaped error body {"error":{"message","type","param","code"}} with the table's HTTP
// status; param may be NULL; retry_after_s < 0: no such header.
void http_reply_error(struct http_exchange *x, int code, const char *message, const char *param,
                      int64_t retry_after_s);
void http_reply_error_with(struct http_exchange *x, int code, const char *message,
                           const char *param, int64_t retry_after_s,
                           struct bytes extra); // more header lines

// ---- client ------------------------------------------------------------------------------------

struct http_pool; // connections to one address, kept alive
struct http_call; // one request to it

struct http_pool_args {
    struct net *net;
    struct timers *timers;
    struct net_addr addr;
    struct net_tls *tls; // NULL: plain
    const char *host_header; // NULL: host:port of addr
    const char *server_name; // for TLS, where addr is an address; NULL: addr.host
    size_t idle_max; // kept connections, default 64
    int64_t idle_ms; // default 60 s
    int64_t connect_ms; // default 10 s
    // Connections that are being made at once, 0: any number. Calls beyond wait for one of them,
    // or for one that gets free: many handshakes side by side would all be late.
    size_t dials_max;
    size_t head_bytes; // ceiling of an answer's head, default 64 KiB
    // Looks at each new connection before anything is sent on it: 0, or E_* and it is closed. May
    // be NULL.
    int (*check)(void *user, const struct net_peer *peer, struct err *e);
    void *user;
};
int http_pool_new(struct http_pool **ret, const struct http_pool_args *args, struct err *e);
void http_pool_free(struct http_pool *p); // running calls end with E_CANCELLED; memory goes when
                                          // the last stream closed
void http_pool_drop_idle(struct http_pool *p); // the server behind was restarted
// New connections use this context from now on (borrowed as in args); running calls go on.
void http_pool_tls(struct http_pool *p, struct net_tls *tls);

// Exactly one on_end, never from inside http_call_start or http_call_cancel. head and p are
// borrowed until the callback returns.
struct http_call_handler {
    void (*on_head)(struct http_call *c, const struct http_head *head);
    void (*on_body)(struct http_call *c, const char *p, size_t n);
    // 0: answer whole. E_REFUSED/E_TIMEOUT: no connection; E_CLOSED: ended before its end;
    // E_UPSTREAM: not HTTP; E_TIMEOUT: a deadline; E_CANCELLED.
    void (*on_end)(struct http_call *c, int status, const struct err *e);
};
struct http_call_args {
    struct bytes method, target;
    struct bytes headers; // lines "Name: value\r\n"...; Host, Content-Length are added
    const struct bytes *body; // borrowed until on_head or on_end
    int body_count;
    int64_t first_byte_ms; // from the request's last byte to the answer's first; TIME_NEVER allowed
    int64_t silence_ms; // longest silence inside the answer; TIME_NEVER allowed
    const struct http_call_handler *handler;
    void *user;
};
int http_call_start(struct http_pool *p, const struct http_call_args *args, struct http_call **ret,
                    struct err *e);
void *http_call_user(const struct http_call *c);
void http_call_read(struct http_call *c, bool on); // backpressure: hold the answer
void http_call_cancel(struct http_call *c); // closes its connection; on_end E_CANCELLED comes
bool http_call_reused(const struct http_call *c);
// A part of the request went out: the other side may have begun with it. Else it never came there.
bool http_call_handed(const struct http_call *c);

#endif
