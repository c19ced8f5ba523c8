// bus_link.h: a connection to a server of the bus that is made again when it is lost: addresses by
// turns, pauses that grow, input in whole pieces, output in one write a round.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_ADAPTERS_BUS_LINK_H
#define PLEXUS_ADAPTERS_BUS_LINK_H

#include "base/buf.h"
#include "port/clock.h"
#include "port/net.h"

#define BUS_LINK_ADDRS 16
#define BUS_LINK_SLACK ((size_t)2 << 20) // above the ceiling for what is not the caller's data

struct bus_link;
struct bus_link_ops {
    void (*open)(struct bus_link *l); // the stream is there (again after an upgrade)
    // One piece of input: how many bytes it took, 0: more is needed, E_*: the link is given up.
    int64_t (*input)(struct bus_link *l, struct bytes in, struct err *e);
    void (*down)(struct bus_link *l, const struct err *e); // lost, or not come about
    void (*drain)(struct bus_link *l); // the output is nearly empty
    void (*closed)(struct bus_link *l); // after bus_link_close: the last callback
};

struct bus_link {
    const struct bus_link_ops *ops;
    void *user;
    struct net *net;
    struct timers *timers;
    struct net_tls *tls; // of the next stream; NULL: plain
    struct net_addr addrs[BUS_LINK_ADDRS];
    size_t addr_count, addr_at;
    int64_t connect_ms, retry_ms, pause_ms;
    size_t queue_bytes_max, in_bytes_max;
    // Its own:
    struct net_stream *s;
    struct buf in, out;
    struct timer retry, flush;
    bool open, up, closing, held, flushing, upgraded;
    unsigned epoch; // rises with each stream
};

// The fields above "its own" are set. Begins to connect in the next round.
void bus_link_start(struct bus_link *l);
// What is written leaves at the end of the round. false: over the ceiling (and slack).
struct buf *bus_link_out(struct bus_link *l);
void bus_link_flush(struct bus_link *l); // after adding to bus_link_out
size_t bus_link_queued(const struct bus_link *l);
void bus_link_good(struct bus_link *l); // it works: the next pause is the first again
void bus_link_fail(struct bus_link *l, int code, const char *why); // gives the stream up
int bus_link_upgrade(struct bus_link *l, struct net_tls *tls, struct err *e); // TLS from here on
void bus_link_close(struct bus_link *l);
bool bus_link_add(struct bus_link *l, struct bytes host_port, uint16_t port); // if it is new

// "nats://user:password@host:port,host:port". The parts before '@' go to *ret_user, *ret_password
// (slices; empty: not said). tls: by the scheme that ends in 's' or is "tls".
struct bus_url {
    bool tls;
    struct bytes user, password, path;
};
int bus_link_url(struct bus_link *l, const char *url, const char *const *schemes, uint16_t port,
                 struct bus_url *ret, struct err *e);

#endif
