// bus_nats_priv.h: what the two halves of the bus over NATS share: the core protocol (bus_nats.c)
// and JetStream (bus_nats_js.c).
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_ADAPTERS_BUS_NATS_PRIV_H
#define PLEXUS_ADAPTERS_BUS_NATS_PRIV_H

#include "adapters/bus_event.h"
#include "adapters/bus_link.h"
#include "text/json.h"
#include "text/nats1.h"

// Stored messages are published below this prefix, where the stream listens; the server publishes
// them again without it (stream configuration, "republish"), for who listens live.
#define NATS_STORE "plexus."
#define NATS_STREAM "PLEXUS_%s" // of an environment
#define NATS_SUBJECT_MAX 512
#define NATS_PINGS_MAX 256
#define NATS_CALL_MS 5000 // an answer of JetStream's API
#define NATS_NO_STREAM 10059 // its code: there is no such stream

struct nats_bus;

struct nats_flight { // delivered, not acknowledged
    struct list link;
    uint64_t id, seq;
    bool burying; // its dead letter is on the way
    char reply[];
};

enum nats_sub_state { NATS_IDLE, NATS_ASKING, NATS_PULLING }; // of one out of the store

struct nats_sub {
    struct bus_sub sub; // first
    struct nats_bus *bus;
    struct bus_sub_args args;
    struct bytes pattern, who;
    struct list link;
    uint64_t sid;
    bool dead, told_ready, failed, unasked;
    // Out of the store:
    enum nats_sub_state state;
    char consumer[80]; // its name on the server
    struct list flights;
    uint32_t in_flight, asked; // asked: messages of the pull that are outstanding
    uint64_t flight_next, last_seq;
    int64_t asked_ms, again_ms; // again_ms: when to try what failed; 0: nothing
};

// A call of JetStream's API.
struct nats_call {
    struct list link;
    struct nats_bus *bus;
    uint64_t number;
    int64_t due_ms;
    // headers: of the answer (direct get); root: its JSON, or NULL. status: 0 or E_*.
    void (*done)(struct nats_call *c, int status, const struct json *root,
                 const struct nats1_op *op, const struct err *e);
    uint64_t sid; // of the subscription that it is for, or 0
    uint64_t flight;
};

struct nats_store { // waits for the server's word
    struct list link; // in their order
    struct bus_req *req;
    struct bus_copy *copy;
    int64_t sent_ms; // 0: not yet
};

// Who uses the connection below the bus's messages, with subjects and streams of its own. Then the
// bus's own stream is not asked for. Set right after bus_nats_open.
struct nats_below {
    void *user;
    void (*up)(void *user); // connected (again): what was subscribed is forgotten
    void (*msg)(void *user, const struct nats1_op *op); // of a sid from NATS_BELOW on
};
#define NATS_BELOW ((uint64_t)1 << 62)

enum nats_ping { NATS_PING_OPEN, NATS_PING_ALIVE, NATS_PING_FLUSH, NATS_PING_READY };

struct nats_bus {
    struct bus_core core; // first
    struct bus_link link;
    struct arena *arena; // of one incoming message
    struct list subs, ending;
    struct nats_sub **slots; // by sid % subs_max
    uint64_t sid_next;
    struct list calls, stores;
    uint64_t call_next;
    struct {
        enum nats_ping kind;
        uint64_t value;
    } pings[NATS_PINGS_MAX];
    uint32_t ping_first, ping_count;
    uint32_t alive_asked; // pings for life without an answer
    int64_t alive_ms;
    struct timer beat, soon;
    bool ever, greeted, link_closed, want_drain;
    size_t payload_max;
    uint32_t servers; // of the cluster, as INFO says
    char version[32], said[256]; // said: the server's last -ERR
    const struct nats_below *below; // or NULL
    // JetStream:
    char stream[64];
    bool js_asking, js_ready;
    int64_t js_again_ms;
};

static inline struct nats_bus *nats_of(struct bus *b)
{
    return (struct nats_bus *)(void *)b;
}

int nats_ping_put(struct nats_bus *b, enum nats_ping kind, uint64_t value, struct err *e);
struct nats_sub *nats_sub_of(struct nats_bus *b, uint64_t sid); // NULL: gone
// The event in the headers; slices live in b->arena until the next message.
void nats_msg_of(struct nats_bus *b, const struct nats1_op *op, struct bus_msg *m);
// HPUB of m to the subject.
int nats_put_msg(struct nats_bus *b, struct bytes subject, const struct bus_msg *m, struct err *e);
void nats_sub_fail(struct nats_sub *s, int status, const struct err *e);
void nats_sub_ready(struct nats_sub *s);

// bus_nats_js.c
// A request to JetStream: its API, or a message that a stream keeps. call.done comes once, at most
// NATS_CALL_MS later. E_NOMEM: it does not come.
int nats_call_start(struct nats_bus *b, struct nats_call call, const char *subject,
                    const struct buf *body);
// {"error":{...}} of an answer as E_*; 0: none. ret_js: JetStream's code (server/errors.json).
int nats_js_error(const struct json *root, int *ret_js, struct err *e);
struct nats_place { // of a message out of a stream
    uint64_t deliveries, seq, consumer_seq;
};
bool nats_read_ack(struct bytes reply, struct nats_place *ret);
void nats_js_up(struct nats_bus *b);   // connected (again)
void nats_js_down(struct nats_bus *b); // lost
void nats_js_beat(struct nats_bus *b, int64_t now);
void nats_js_close(struct nats_bus *b);
int nats_js_store(struct nats_bus *b, const struct bus_msg *m, struct bus_req *r, struct err *e);
void nats_js_forget(struct bus_req *r);
void nats_js_stored(struct nats_bus *b, struct bus_req *r, const struct nats1_op *op);
void nats_js_sub(struct nats_sub *s);   // begins
void nats_js_unsub(struct nats_sub *s);
void nats_js_msg(struct nats_sub *s, const struct nats1_op *op); // for its pull
void nats_js_late(struct nats_bus *b, const struct nats1_op *op); // its subscription is gone
void nats_js_answer(struct nats_bus *b, uint64_t number, const struct nats1_op *op);
int nats_js_ack(struct nats_sub *s, uint64_t ack, enum bus_ack_how how, int64_t delay_ms);

#endif
