// http_priv.h: what the server's files share.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_HTTP_HTTP_PRIV_H
#define PLEXUS_HTTP_HTTP_PRIV_H

#include "http/http.h"

// Waiting lists by kind of deadline: each list has one length of time, so its head is the next due.
enum conn_wait { WAIT_NONE, WAIT_IDLE, WAIT_HEAD, WAIT_BODY, WAIT_WRITE, WAIT_KINDS };

enum conn_state {
    CONN_READY,   // between requests, or inside a head
    CONN_BODY,    // a request's body comes in
    CONN_BUSY,    // the answer is being made
    CONN_DISCARD, // the answer went out before the body was in: the rest is thrown away
    CONN_CLOSED,
};

#define DISCARD_BYTES_MAX (256 * 1024)
#define PIPELINE_BYTES_MAX (64 * 1024)

struct listener {
    struct http_server *server;
    struct net_listener *net;
    int tag;
    struct list link;
};

struct conn {
    struct net_stream *stream;
    struct http_server *server;
    struct http_exchange *x;
    struct list link;       // server->conns
    struct list wait_link;  // server->waits[wait]
    enum conn_wait wait;
    enum conn_state state;
    int tag;
    int64_t due_ms;
    uint64_t began_ns;      // first byte of the request that is coming
    struct buf in;          // a head in pieces, or requests sent ahead
    uint64_t discarded, around; // bytes of the present body: thrown away, of its framing
    struct net_peer peer;
    bool peer_known, processing, reading, keep_alive, draining_out, ended;
};

struct http_exchange {
    struct conn *conn;
    struct http1 parser;
    struct http_head head;     // slices of block
    char *block;               // head's bytes and header rows (and a small body), one allocation
    struct bytes body;
    struct buf body_buf;       // a body that did not come with its head
    uint64_t budgeted;         // bytes of the server's budget
    uint64_t began_ns, complete_ns;
    void *user;
    void (*drain)(struct http_exchange *x, void *user);
    void (*gone)(struct http_exchange *x, void *user, int status);
    struct buf out;            // the answer's head until the first bytes of its body
    uint64_t length, sent;     // announced; given so far
    struct buf rest;           // an answer larger than the queue: what is to go out from rest_at
    size_t rest_at;
    int status;
    bool begun, finished, chunked, body_whole, owned, rejected, close_after;
};

struct http_server {
    struct net *net;
    struct timers *timers;
    struct http_limits limits;
    struct http_routes routes;
    struct list conns, listeners, waits[WAIT_KINDS];
    struct timer sweep;
    struct http1_fields fields; // scratch of head parsing
    uint64_t buffered, requests, refused, active, connections;
    bool draining, sweeping;
    void (*drained)(void *user);
    void *drained_user;
};

void conn_accept(void *user, struct net_stream *s, bool over_limit);
void conn_close(struct conn *c, bool abort);
void conn_wait_for(struct conn *c, enum conn_wait wait);
// The exchange's answer is out: next request or close.
void conn_next(struct conn *c);
void conn_refuse(struct conn *c, int code, const char *why);
void exchange_free(struct http_exchange *x);
void server_check_drained(struct http_server *s);
const char *http_reason(int status);

#endif
