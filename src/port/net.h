// net.h: byte streams: TCP, unix sockets, and TLS over either. One implementation is room loop.
// All calls and callbacks happen on the loop thread.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_PORT_NET_H
#define PLEXUS_PORT_NET_H

#include "base/bytes.h"
#include "base/err.h"

struct net;        // the network of one loop
struct net_stream; // one connection; its memory belongs to the implementation
struct net_listener;
struct net_tls;    // a TLS context

struct net_addr {
    bool unix_socket;
    char host[256]; // name or address, or the socket's path
    uint16_t port;
};

// What the owner of a stream wants to hear. on_open: only for streams that net_connect made.
// After on_end no on_data comes; on_closed is the last callback, after it the stream is gone.
struct net_handler {
    // status 0 or E_*; after E_* close it.
    void (*on_open)(struct net_stream *s, int status, const struct err *e);
    // Borrows p until return: a shared read buffer; may be changed in place.
    void (*on_data)(struct net_stream *s, char *p, size_t n);
    // 0: orderly end of input; else E_CLOSED, E_IO.
    void (*on_end)(struct net_stream *s, int status);
    void (*on_drain)(struct net_stream *s); // the output queue is empty again
    void (*on_closed)(struct net_stream *s);
};

// Implementation side: a filter (TLS) and a transport (uv) fill the same table.
struct net_stream_ops {
    int (*write)(struct net_stream *s, const struct bytes *v, int count);
    void (*read)(struct net_stream *s, bool on);
    void (*close)(struct net_stream *s, bool abort);
    size_t (*queued)(const struct net_stream *s);
};
struct net_stream {
    const struct net_stream_ops *ops;
    const struct net_handler *handler;
    void *user;
};

// Writes at once what the kernel takes; the rest is copied to the stream's queue.
// 0: all handed to the kernel. 1: some is queued: stop feeding until on_drain (a further write is
// still taken up to the queue's ceiling). E_FULL: over the ceiling, nothing taken. E_CLOSED.
// Never calls back from inside.
static inline int net_write(struct net_stream *s, const struct bytes *v, int count)
{
    return s->ops->write(s, v, count);
}
// Reading is off at first. Turning it off holds the peer back (backpressure); no data comes after
// net_read(s, false) returns. The end of input is seen only while reading is on, except that a
// reset by the peer may be told any time.
static inline void net_read(struct net_stream *s, bool on)
{
    s->ops->read(s, on);
}
// Stops all callbacks but on_closed. abort false: what is queued is still sent (bounded by
// net_args.linger_ms), then FIN; true: at once, with RST where the transport can. Once; on_closed
// comes later, never from inside.
static inline void net_close(struct net_stream *s, bool abort)
{
    s->ops->close(s, abort);
}
static inline size_t net_queued(const struct net_stream *s)
{
    return s->ops->queued(s);
}

struct net_connect_args {
    struct net_addr addr;
    struct net_tls *tls; // NULL: plain
    const char *server_name; // SNI and certificate check; NULL: addr.host
    int64_t timeout_ms; // name, connect and TLS handshake together; TIME_NEVER allowed
    size_t queue_bytes_max; // ceiling of the output queue
    const struct net_handler *handler;
    void *user;
};
// The stream exists at once; on_open tells how it went (later, never from inside).
int net_connect(struct net *n, const struct net_connect_args *args, struct net_stream **ret,
                struct err *e);

struct net_listen_args {
    struct net_addr addr; // port 0: the kernel picks
    struct net_tls *tls;
    int backlog; // 0: 511
    uint32_t mode; // unix socket's file mode, 0: 0600
    size_t queue_bytes_max; // of accepted streams
    int64_t handshake_ms; // TLS handshake deadline
    // When three quarters of all connections are taken, new ones are refused here, the last quarter
    // is for the other listeners: for one that strangers reach.
    bool yields;
    // Sets s->handler and s->user, and turns reading on; TLS streams come after their handshake.
    // Must not fail: to refuse, write an answer and close. over_limit: descriptors are (nearly)
    // used up: answer 503 and close.
    void (*on_accept)(void *user, struct net_stream *s, bool over_limit);
    void *user;
};
int net_listen(struct net *n, const struct net_listen_args *args, struct net_listener **ret,
               struct err *e); // E_INUSE, E_PERM, E_INVALID
uint16_t net_listener_port(const struct net_listener *l);
// From the next connection on: another context, or none (NULL). Connections that are there go on.
void net_listener_tls(struct net_listener *l, struct net_tls *tls);
// Also removes a unix socket's file. Ends the TLS handshakes that it began: on_accept does not come
// any more.
void net_listener_close(struct net_listener *l);

#define NET_ID_MAX 2049 // a SPIFFE ID has at most 2048 bytes (SPIFFE-ID, section 2.3)

struct net_peer {
    char text[64]; // "127.0.0.1:50000", "unix"
    bool loopback; // peer address is loopback or a unix socket
    uint32_t uid, pid; // unix sockets: SO_PEERCRED; else UINT32_MAX
    // Who the TLS peer is, as net_tls_args.verify said; NULL: nobody said. Lives as long as the
    // stream (an exchange's: as the exchange).
    const char *id;
    uint64_t epoch; // as verify said
};
void net_peer(const struct net_stream *s, struct net_peer *ret);
// Why the stream failed, in words, when on_end's status alone does not tell: "the peer refused:
// certificate expired". "" when nothing is known; the text is the stream's own. With TLS 1.3 a
// server looks at the client's certificate when the client's handshake is already done: its refusal
// comes as on_end(E_IO), and only while reading is on.
const char *net_why(const struct net_stream *s);

struct net_tls_args {
    bool server;
    const char *cert_file, *key_file; // server: needed; client: for mTLS
    const char *ca_file; // client: NULL = the system's; server: asks for client certificates
    bool insecure; // client: no check (tests only; config says so loudly)
    // Instead of files: PEM texts, copied. The key is wiped when the context is freed.
    struct bytes cert_pem, key_pem;
    // Instead of ca_file: this decides alone about the peer's certificates. Called once in each
    // handshake with the DER certificates as the peer sent them, leaf first (count 0: it sent none;
    // then a server may still say yes). 0: good; ret_id (NET_ID_MAX bytes) and ret_epoch go to
    // net_peer. E_*: the handshake ends with an alert, and the text is told to this side's owner.
    // The code picks what the peer reads: E_TIMEOUT "certificate expired" (also: not yet valid),
    // E_FORBIDDEN "certificate revoked", E_NOTFOUND "unknown CA", E_UNSUPPORTED "unsupported
    // certificate", else "bad certificate"; without any certificate "certificate required".
    // A context with verify shows a server's clients that it wants certificates, and speaks TLS 1.3
    // only. The server's name is sent (SNI) but not checked: verify knows whom it expects.
    // It must not close streams. user outlives the last stream of the context.
    int (*verify)(void *user, const struct bytes *der, int count, char *ret_id, uint64_t *ret_epoch,
                  struct err *e);
    void *user;
    const char *alpn; // one protocol both sides must name; NULL: http/1.1, not insisted on
    // A server's handshake that failed, for the log; may be NULL. The text is verify's, or what the
    // client said ("the peer refused: unknown CA"), or why it did not work.
    void (*on_refused)(void *user, const struct net_peer *peer, const struct err *e);
};
// Puts TLS (as the client) over an open plain stream, for protocols that begin plain (NATS). Takes
// s in every case: its handler and user go over to *ret, whose on_open tells how the handshake
// went; after E_* s is gone without a further callback. Call it from on_data or later, when nothing
// of the plain protocol is outstanding.
int net_upgrade(struct net *n, struct net_stream *s, struct net_tls *tls, const char *server_name,
                int64_t timeout_ms, struct net_stream **ret, struct err *e);
int net_tls_new(struct net_tls **ret, const struct net_tls_args *args, struct err *e);
void net_tls_free(struct net_tls *t); // when no stream uses it any more (reference counted inside)

struct net_stats {
    uint64_t accepted, refused_over_limit, connections, connections_max, accept_errors;
    uint64_t bytes_in, bytes_out;
};
void net_stats(const struct net *n, struct net_stats *ret);

#endif
