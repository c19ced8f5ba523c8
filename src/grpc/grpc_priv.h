// grpc_priv.h: a channel, its connections, the states of a call.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_GRPC_GRPC_PRIV_H
#define PLEXUS_GRPC_GRPC_PRIV_H

#include "grpc/grpc.h"

#include <nghttp2/nghttp2.h>

enum { GRPC_CALL_WAITS = 1, GRPC_CALL_SENT, GRPC_CALL_ENDS };

struct grpc_conn {
    struct grpc *g;
    struct list link; // of the channel's connections
    struct list calls;
    struct net_stream *s;
    nghttp2_session *session;
    struct timer alive;
    int64_t heard_ms;
    bool up, dead, asked, leaves;
    bool inside; // nghttp2 is at work: what is to be sent leaves after it
};

struct grpc {
    struct grpc_args args;
    char *server_name, *authority;
    char *meta; // "name: value\n"...
    struct list conns;
    struct grpc_conn *now; // takes new calls; NULL: none
    struct list waiting, ended;
    struct timer soon, retry;
    int64_t pause_ms;
    bool resting; // after a failed connection, until retry
    bool closing;
    void (*closed)(void *user);
    void *closed_user;
    struct grpc_stats stats;
};

// grpc_conn.c
int grpc_conn_open(struct grpc *g, struct err *e);
void grpc_conn_submit(struct grpc_conn *c, struct grpc_call *call);
void grpc_conn_reset(struct grpc_conn *c, struct grpc_call *call);
void grpc_conn_fail(struct grpc_conn *c, int code, const char *why);
void grpc_conn_leave(struct grpc_conn *c); // no new calls; ends with its last one
// grpc.c
void grpc_conn_up(struct grpc_conn *c);
void grpc_conn_down(struct grpc_conn *c, const struct err *e); // its calls have ended; forgets it
void grpc_conn_gone(struct grpc *g); // a stream is closed, its memory freed
void grpc_call_end(struct grpc_call *c, int code, int status, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

#endif
