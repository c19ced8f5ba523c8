// bus.h: messages between parts, nodes and machines, by subject (text/subject.h). Two ways:
// published (whoever listens now gets it, at most once) and stored (kept in the bus's store, read
// from any point, at least once with acknowledgements). All calls and callbacks happen on the loop
// thread; nothing is delivered from inside a call.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_PORT_BUS_H
#define PLEXUS_PORT_BUS_H

#include "base/bytes.h"
#include "base/err.h"
#include "base/list.h"
#include "port/clock.h"
#include "port/net.h"

// A CloudEvents 1.0 event (on the wire as such). All slices are borrowed for the call. Only subject
// is needed from who publishes.
struct bus_msg {
    struct bytes subject;
    struct bytes data;
    struct bytes content; // media type of data; empty: application/octet-stream
    struct bytes type;    // of the event; empty: "plexus.message"
    struct bytes id;      // a stored message with an id seen lately is a duplicate; empty: made
    struct bytes source;  // empty: bus_args.source
    struct bytes label;   // trust/label.h's text, or empty
    struct bytes about;   // what it is about; of a dead letter: the subject it was sent to
    struct bytes reply;   // subject where an answer is awaited, or empty
    int64_t time_ms;      // wall; 0: now
    // Delivered only:
    uint64_t ack;        // for bus_ack; 0: nothing to acknowledge
    uint64_t seq;        // place in the store, rising; 0: was not read from the store
    uint32_t deliveries; // 1: the first try
};

enum bus_status { BUS_CONNECTING, BUS_CONNECTED, BUS_LOST, BUS_BACK, BUS_CLOSED };

// May this data go there? Asked at each publish and each delivery; a yes may be remembered per
// subject, label and who until bus_policy_changed.
struct bus_crossing {
    bool deliver;         // false: into the bus; true: out of it to a subscriber
    struct bytes subject, label;
    struct bytes who;     // the subscription's, or empty
};

struct bus_args {
    struct timers *timers;
    struct net *net;          // engines over the network
    const char *environment;  // dev, staging or prod: subjects of another are E_SECURITY
    const char *source;       // of events that name none, "/node/NAME"
    int (*may)(void *user, const struct bus_crossing *x,
               struct err *e); // 0 or E_SECURITY with both
                               // labels; NULL: all may
    // CONNECTING with e: a first try failed, more come; E_UNAUTH: the server was there and refused
    // the credentials. CONNECTED once, then LOST (e: why) and
    // BACK. BUS_CLOSED: the last callback, after it the bus's memory is gone.
    void (*on_status)(void *user, enum bus_status status, const struct err *e);
    void (*on_drain)(void *user); // there is room again after a publish gave 1 or E_FULL; or NULL
    void *user;
    // Limits; 0: the default.
    uint32_t data_bytes_max; // of one message, 1 MiB
    uint32_t queue_bytes_max; // published and not yet handed on, 16 MiB
    uint32_t reqs_max; // requests of this side in flight, 1024
    uint32_t subs_max; // 1024
    uint64_t keep_msgs, keep_bytes; // of the store: 100,000 and 256 MiB (in memory: 64 MiB)
    int64_t keep_ms; // of the store: 24 h
    int64_t dedup_ms; // how long ids are remembered: 2 min
    // A server.
    const char *url; // nats://host:port[,host:port...] redis://host:port; tls:// rediss://
    const char *user_name, *password, *token; // or NULL; copied, wiped at the end
    struct net_tls *tls; // for tls://, rediss:// and servers that ask for it
    bool tls_first; // TLS before the server's first word (NATS)
    int64_t connect_ms; // 5 s
    int64_t retry_ms; // pause before the next try, 250 ms and doubling to 8 times that
};

// A request of the caller's: zeroed, then user, done and timeout_ms set; must stay until done came,
// which is once and later.
struct bus_req {
    // reply: of bus_request, borrowed until done returns; NULL else. e: when status is an error.
    void (*done)(struct bus_req *r, int status, const struct bus_msg *reply, const struct err *e);
    void *user;
    int64_t timeout_ms; // TIME_NEVER allowed
    uint64_t seq; // of bus_store: its place
    bool duplicate; // of bus_store: the id was there already
    // The engine's.
    struct list link;
    int64_t due_ms;
    uint64_t ticket;
    int status, kind;
    void *priv;
    struct err *why;
};

enum bus_from { BUS_LIVE, BUS_NEW, BUS_START, BUS_TIME };
enum bus_ack_how { BUS_ACK, BUS_NAK, BUS_TERM, BUS_WORKING };

struct bus_sub;
struct bus_sub_args {
    const char *pattern;
    const char *queue; // live: each message goes to one of the members of this group
    enum bus_from from; // BUS_LIVE: what is published or stored from now on, at most once; else
                        // out of the store: new ones, all, or from from_ms on
    int64_t from_ms; // wall
    // A cursor that the bus keeps by this name: subscriptions with one name share the work, and go
    // on where they were (from counts at its birth only). Each message must be acknowledged.
    // NULL, from the store: a cursor of this subscription alone, nothing to acknowledge.
    const char *durable;
    int64_t ack_wait_ms; // then it is delivered again; 30 s
    uint32_t max_deliver; // tries; then a dead letter (BUS_DEAD). 0: no end
    uint32_t max_in_flight; // delivered and not acknowledged: the credit; 256
    const char *who; // for bus_crossing: whose clearance counts; NULL: this node
    void (*on_msg)(struct bus_sub *s, const struct bus_msg *m); // m borrowed until return
    void (*on_ready)(struct bus_sub *s); // what is published from now on arrives; may be NULL
    // The subscription failed (the server refuses it): nothing comes any more; unsubscribe it.
    void (*on_failed)(struct bus_sub *s, int status, const struct err *e); // may be NULL
    void (*on_closed)(struct bus_sub *s); // the last callback; may be NULL
    void *user;
};

// Where dead letters go, stored: "{env}.nervous.dead.{durable}", `about` is the first subject.
// They keep data, type, label; their id is "dead-{durable}-{seq}".
#define BUS_DEAD "%s.nervous.dead.%s"

struct bus_stats {
    enum bus_status status;
    uint64_t published, stored, duplicates, delivered, redelivered, dead;
    uint64_t refused; // by label or environment
    uint64_t dropped; // live messages that a limit dropped
    uint64_t full; // publishes that were refused because a limit was reached
    uint64_t lost; // connections
    uint32_t subs, reqs;
    uint64_t queue_bytes; // published and not yet handed on
    uint64_t store_msgs, store_bytes, store_first, store_last; // as last known
    char server[128]; // "nats://127.0.0.1:4222 2.9.10", or empty
};

struct bus;
struct bus_ops {
    int (*publish)(struct bus *b, const struct bus_msg *m, struct err *e);
    int (*store)(struct bus *b, const struct bus_msg *m, struct bus_req *r, struct err *e);
    int (*request)(struct bus *b, const struct bus_msg *m, struct bus_req *r, struct err *e);
    int (*flush)(struct bus *b, struct bus_req *r, struct err *e);
    void (*cancel)(struct bus *b, struct bus_req *r);
    int (*subscribe)(struct bus *b, const struct bus_sub_args *args, struct bus_sub **ret,
                     struct err *e);
    void (*unsubscribe)(struct bus_sub *s);
    int (*ack)(struct bus_sub *s, uint64_t ack, enum bus_ack_how how, int64_t delay_ms);
    void (*policy_changed)(struct bus *b);
    void (*stats)(const struct bus *b, struct bus_stats *ret);
    void (*close)(struct bus *b);
    int (*server)(struct bus *b, const char *url, struct net_tls *tls, struct err *e); // or NULL
};
struct bus {
    const struct bus_ops *ops;
};
struct bus_sub { // head of every engine's own
    struct bus *bus;
    void *user;
};

// To whoever listens now. 0; 1: taken, but over half of the queue is used: wait for on_drain.
// E_FULL (nothing taken; on_drain comes), E_TOOBIG, E_INVALID, E_SECURITY (environment, label),
// E_UNAVAILABLE (no connection now).
static inline int bus_publish(struct bus *b, const struct bus_msg *m, struct err *e)
{
    return b->ops->publish(b, m, e);
}
// Into the store; also to live subscribers. An error here: r is not used. done with 0: it is kept
// as safely as the engine keeps things, r->seq says where. While there is no connection it waits
// (reqs_max of them) until its deadline; sent again after a loss, it is stored once.
static inline int bus_store(struct bus *b, const struct bus_msg *m, struct bus_req *r,
                            struct err *e)
{
    return b->ops->store(b, m, r, e);
}
// done with the first answer: whoever got m publishes to m->reply. E_UNAVAILABLE: nobody listens to
// the subject (told at once), or the connection went; E_TIMEOUT.
static inline int bus_request(struct bus *b, const struct bus_msg *m, struct bus_req *r,
                              struct err *e)
{
    return b->ops->request(b, m, r, e);
}
// done when all that was published before has left: in memory it is delivered, else the server has
// it.
static inline int bus_flush(struct bus *b, struct bus_req *r, struct err *e)
{
    return b->ops->flush(b, r, e);
}
static inline void bus_cancel(struct bus *b, struct bus_req *r) // done comes with E_CANCELLED
{
    b->ops->cancel(b, r);
}
// Works also while there is no connection, and over losses of it. E_INVALID, E_SECURITY, E_FULL,
// E_CONFLICT (durable with another pattern).
static inline int bus_subscribe(struct bus *b, const struct bus_sub_args *args,
                                struct bus_sub **ret, struct err *e)
{
    return b->ops->subscribe(b, args, ret, e);
}
// No message comes any more. What a durable had not acknowledged goes to other members or later
// ones; having been given back need not count as a try.
static inline void bus_unsubscribe(struct bus_sub *s)
{
    s->bus->ops->unsubscribe(s);
}
// m->ack of a delivered message. NAK: again after delay_ms; TERM: never again, a dead letter;
// WORKING: ack_wait_ms anew. E_NOTFOUND: not (or no longer) this subscription's.
static inline int bus_ack(struct bus_sub *s, uint64_t ack, enum bus_ack_how how, int64_t delay_ms)
{
    return s->bus->ops->ack(s, ack, how, delay_ms);
}
static inline void bus_policy_changed(struct bus *b) // `may` could say otherwise now
{
    b->ops->policy_changed(b);
}
static inline void bus_stats(const struct bus *b, struct bus_stats *ret)
{
    b->ops->stats(b, ret);
}
// The next connection goes to this address (NULL: as before) with this TLS, which must stay until
// the next call or the end. Where the address is given, the present connection ends; what waits and
// listens goes on at the new one. E_UNSUPPORTED: this engine has no server. E_INVALID.
static inline int bus_server(struct bus *b, const char *url, struct net_tls *tls, struct err *e)
{
    return b->ops->server ? b->ops->server(b, url, tls, e)
                          : err_set(e, E_UNSUPPORTED, "this bus has no server");
}
// Ends requests (E_CANCELLED) and subscriptions, then on_status(BUS_CLOSED), later.
static inline void bus_close(struct bus *b)
{
    b->ops->close(b);
}

// Ends with a NULL name; in adapters/buses.c. One line a new engine.
struct bus_engine {
    const char *name; // as in config
    const char *what; // one sentence for help
    int (*open)(const struct bus_args *args, struct bus **ret, struct err *e);
};
const struct bus_engine *bus_engines(void);
const struct bus_engine *bus_engine_find(const char *name); // NULL: unknown

#endif
