// bus_redis_priv.h: what the two halves of the bus over Redis share: live messages (bus_redis.c)
// and the store over Streams (bus_redis_stream.c).
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_ADAPTERS_BUS_REDIS_PRIV_H
#define PLEXUS_ADAPTERS_BUS_REDIS_PRIV_H

#include "adapters/bus_event.h"
#include "adapters/bus_link.h"
#include "text/resp.h"

#define REDIS_ROW 4096  // values of one reply
#define REDIS_READ 16   // messages of one read
#define REDIS_ID_MAX 48 // "1767225600123-0"
#define REDIS_KEY "plexus:{%s}:" // of an environment; the braces keep its keys on one node
#define REDIS_CALLS_MAX 8192

struct redis_bus;
struct redis_sub;

// One connection: commands, subscriptions, or a reader that blocks.
struct redis_conn {
    struct bus_link link;
    struct redis_bus *bus;
    struct redis_sub *reader; // of this one; NULL: of the bus
    bool greeted, closed;
    uint32_t greets; // answers outstanding of the greeting
    int64_t heard_ms;
};

// A command on the connection for commands, waiting for its reply.
struct redis_call {
    struct list link;
    void (*done)(struct redis_bus *b, struct redis_call *c, const struct resp *v); // NULL: lost
    uint64_t ticket; // request or subscription
    uint64_t flight;
    char id[REDIS_ID_MAX]; // entry
    uint64_t tries;
    struct bus_copy *copy;
};

struct redis_flight { // delivered, not acknowledged
    struct list link;
    uint64_t token, seq;
    int64_t due_ms;
    bool burying;
    char id[REDIS_ID_MAX];
};

struct redis_store { // waits for Redis's word
    struct list link;
    struct bus_req *req;
    struct bus_copy *copy;
    bool sent;
};

struct redis_sub {
    struct bus_sub sub; // first
    struct redis_bus *bus;
    struct bus_sub_args args;
    struct bytes pattern, who;
    struct list link;
    uint64_t sid;
    char glob[256]; // what Redis is asked for, where it is not exact
    bool exact, dead, told_ready, failed;
    // Out of the store:
    struct redis_conn *conn;
    char last[REDIS_ID_MAX]; // of a private cursor
    bool prepared, reading;
    struct list flights;
    uint32_t in_flight;
    uint64_t token_next;
    int64_t sweep_ms; // when to look for what nobody acknowledged
    bool sweeping;
};

struct redis_bus {
    struct bus_core core; // first
    struct redis_conn cmd, sub;
    struct arena *arena; // of one incoming event
    struct resp *row;
    struct list subs, ending, calls, stores;
    uint32_t call_count;
    struct redis_sub **slots; // by sid % subs_max
    uint64_t *hits; // of one message
    uint64_t sid_next;
    struct timer beat, soon;
    struct bytes user, password;
    char prefix[32], stream[40], consumer[80];
    int database;
    bool ever, want_drain;
    uint32_t conns; // that are not closed yet
    int64_t trim_ms;
};

static inline struct redis_bus *redis_of(struct bus *b)
{
    return (struct redis_bus *)(void *)b;
}

struct redis_sub *redis_sub_of(struct redis_bus *b, uint64_t sid);
void redis_sub_ready(struct redis_sub *s);
void redis_sub_fail(struct redis_sub *s, int status, const struct err *e);
// Where the command is written; then redis_call. NULL: too many are waiting, or no connection.
struct buf *redis_begin(struct redis_bus *b, uint32_t words);
int redis_call(struct redis_bus *b, struct redis_call call); // takes call.copy
void redis_start_conn(struct redis_conn *c, size_t in_bytes_max);
void redis_close_conn(struct redis_conn *c);
bool redis_is_up(const struct redis_bus *b);
// The event as JSON, byte for byte the same data on the other side. E_TOOBIG, E_NOMEM.
int redis_put_event(struct redis_bus *b, const struct bus_msg *m, struct buf *out, struct err *e);
bool redis_read_event(struct redis_bus *b, struct bytes json, struct bus_msg *m);

// bus_redis_stream.c
void redis_stream_up(struct redis_bus *b);
void redis_stream_down(struct redis_bus *b);
void redis_stream_beat(struct redis_bus *b, int64_t now);
int redis_stream_store(struct redis_bus *b, const struct bus_msg *m, struct bus_req *r,
                       struct err *e);
void redis_stream_forget(struct bus_req *r);
int redis_stream_sub(struct redis_sub *s, struct err *e);
void redis_stream_unsub(struct redis_sub *s);
int redis_stream_ack(struct redis_sub *s, uint64_t ack, enum bus_ack_how how, int64_t delay_ms);
void redis_reader_open(struct redis_sub *s);
void redis_reader_reply(struct redis_sub *s, const struct resp *v);
void redis_reader_down(struct redis_sub *s);

#endif
