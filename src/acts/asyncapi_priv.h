// asyncapi_priv.h: call: asyncapi: what its document says, and the protocols that carry it out.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_ACTS_ASYNCAPI_PRIV_H
#define PLEXUS_ACTS_ASYNCAPI_PRIV_H

#include "acts/acts_priv.h"

struct async_conn;
struct asyncapi {
    struct act_source source;
    struct act_auth auth;
    struct val *doc;
    struct val *filter, *while_, *until; // late expressions, for each message; or NULL
    // What the document says:
    const struct async_protocol *protocol;
    struct buf host, path, channel; // of the server; the channel's address
    uint16_t port;                  // 0: the protocol's own
    bool tls;
    struct bytes correlation;       // "$message.header#/id": where it is; may be empty
    const struct val *binding;      // of the operation, for this protocol; may be NULL
    // What is sent:
    bool publish;
    struct buf payload;
    const struct val *headers; // object or NULL
    // What was received:
    struct val *taken, *waiting; // arrays; waiting: not looked at yet
    size_t bytes, next;
    int64_t amount; // 0: no limit
    struct timer end; // of consume.for
    bool looking, over;
    // The way there:
    struct act_web *web;
    struct sse_parser sse;
    struct buf whole;
    bool made, json;
    struct async_conn *conn;
};

// A connection of one activity; its memory stays until the stream has closed.
struct async_conn {
    struct act *act; // NULL: nobody cares any more
    struct net_stream *stream;
    struct buf in;
    int step;
    uint32_t flags; // the protocol's
    char key[32];   // the same
    struct timer beat;
    const struct async_protocol *protocol;
};
struct async_protocol {
    const char *name, *scheme; // as documents write them
    uint16_t port, port_tls;
    bool tls;
    void (*start)(struct act *a);         // HTTP; else the next two
    void (*opened)(struct async_conn *c); // connected: says hello
    // How much of in was used; 0: more is needed; E_*: text in e.
    int64_t (*feed)(struct async_conn *c, struct bytes in, struct err *e);
    void (*beat)(struct async_conn *c); // each 20 s while subscribed; NULL: none
};

// A message came. content may be empty. Wants: the act goes on.
void act_async_take(struct act *a, struct bytes payload, struct bytes content,
                    struct val *takes_headers);
void act_async_sent(struct act *a); // it is published
void act_async_http(struct act *a);
int act_async_write(struct async_conn *c, struct bytes data);
void act_async_connect(struct act *a);
void act_async_leave(struct async_conn *c);

extern const struct async_protocol act_async_nats, act_async_redis, act_async_mqtt, act_async_ws;

#endif
