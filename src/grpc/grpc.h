// grpc.h: gRPC calls (grpc/doc/PROTOCOL-HTTP2.md) as a client. All calls and callbacks on the loop
// thread.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_GRPC_GRPC_H
#define PLEXUS_GRPC_GRPC_H

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/list.h"
#include "port/clock.h"
#include "port/net.h"

struct grpc; // a channel to one address

struct grpc_meta {
    const char *name, *value; // lower case; "-bin" names: value is base64 already
};

struct grpc_args { // copied, but for net, timers, tls (borrowed until closed)
    struct net *net;
    struct timers *timers;
    struct net_addr addr;
    struct net_tls *tls; // with alpn "h2"; NULL: HTTP/2 in the clear with prior knowledge
    const char *server_name; // NULL: addr.host
    const struct grpc_meta *meta; // sent with every call: authorization, ...
    size_t meta_count;
    int64_t connect_ms;       // 0: 10 s
    int64_t keepalive_ms;     // silence after which a ping asks, while calls are open; 0: 30 s
    int64_t retry_ms; // first pause after a failed connection, doubled up to 32 times; 0: 250
    size_t message_bytes_max; // of one message that comes, 0: 64 MiB
};
int grpc_new(struct grpc **ret, const struct grpc_args *args, struct err *e); // connects later
// All calls end with E_CANCELLED, then closed comes, once, later; the channel is gone.
void grpc_close(struct grpc *g, void (*closed)(void *user), void *user);

struct grpc_call { // caller-owned from grpc_start until done; zeroed, then the first part set
    const char *path; // "/package.Service/Method"
    struct bytes message; // copied by the start
    const struct grpc_meta *meta; // copied by the start
    size_t meta_count;
    int64_t timeout_ms; // TIME_NEVER: none
    // One message, borrowed until return. May be NULL.
    void (*on_message)(struct grpc_call *c, struct bytes message);
    // Once, later. 0, or grpc_error of the code; code below is gRPC's own number.
    void (*done)(struct grpc_call *c, int status, const struct err *e);
    void *user;
    int code; // told with done: 0 OK, 1 CANCELLED, 2 UNKNOWN, ... 16 UNAUTHENTICATED
    // The channel's own:
    struct list link;
    struct grpc *channel;
    void *conn;
    int32_t stream;
    struct buf out, in;
    size_t sent;
    char *head; // header block to be sent: path and metadata
    struct timer timer;
    int state, http, status;
    bool got_status, got_type;
    struct err err;
};
// 0: done will come. E_INVALID (metadata), E_NOMEM, E_CLOSED.
int grpc_start(struct grpc *g, struct grpc_call *c, struct err *e);
void grpc_cancel(struct grpc_call *c); // done comes with E_CANCELLED

// gRPC's status code as E_*: 4 DEADLINE_EXCEEDED is E_TIMEOUT, 5 NOT_FOUND is E_NOTFOUND, ...
int grpc_error(int code);
const char *grpc_code_name(int code); // "NOT_FOUND"; "CODE 99" becomes "UNKNOWN"

struct grpc_stats {
    uint64_t calls, failures, connections, messages_in, bytes_in, bytes_out;
    bool up;
    char why[256]; // the last connection failed
};
void grpc_stats(const struct grpc *g, struct grpc_stats *ret);

#endif
