// sim_priv.h: what the files of room sim share.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_SIM_SIM_PRIV_H
#define PLEXUS_SIM_SIM_PRIV_H

#include "base/list.h"
#include "sim/sim.h"

#define SIM_BUF_MAX (1u << 30)

// ---- world.c: the queue

// An event is part of who waits for it. Those of a host's process wait while that is paused, those
// of its kernel while the machine is frozen.
enum sim_layer { SIM_WORLD, SIM_KERNEL, SIM_PROCESS };
struct sim_event {
    uint64_t at, due, seq; // due: before it was put off
    bool put_off;
    size_t index; // in the heap plus one, 0: not queued
    enum sim_layer layer;
    struct sim_host *host;
    void (*fn)(struct sim_event *ev);
};
void sim_event_init(struct sim_event *ev, struct sim_host *h, enum sim_layer layer,
                    void (*fn)(struct sim_event *ev));
void sim_event_at(struct sim *w, struct sim_event *ev, uint64_t at); // moves a queued one
void sim_event_stop(struct sim *w, struct sim_event *ev);

// ---- clock.c

struct timer_node {
    struct sim_event ev;
    struct timer *timer;
    struct sim_host *host;
    struct list link;
};
struct sim_timers {
    struct timers base; // first
    struct sim_host *host;
    struct list running;
};
struct sim_work {
    struct work base; // first
    struct sim_host *host;
    struct list running;
    unsigned waiting;
};
void sim_clock_init(struct sim_host *h);
void sim_clock_fini(struct sim_host *h);
bool sim_is_work(const struct sim_event *ev);
bool sim_is_timer(const struct sim_event *ev);

// ---- tcp.c: connections as the kernels of both sides see them

struct sim_seg {
    struct list link;
    uint64_t at;
    unsigned tries;
    bool fin;
    size_t n;
    char p[];
};
struct sim_conn;
struct sock;
struct net_listener;

struct sim_end { // one side
    struct sim_conn *conn;
    struct sim_host *host;
    struct sock *stream; // NULL: the process has none, or not yet
    bool open;
    bool closed; // the process has given it up
    bool vanished; // the kernel knows nothing of it any more
    int error; // reset (E_CLOSED) or given up
    char address[48];
    uint16_t port;
    // what this side sends
    struct list flight; // segments in order; the first has the event
    struct sim_event arrive; // at the other side
    uint64_t last_at;
    size_t unacked, window;
    bool fin_sent;
    // what this side has received and not read yet
    struct buf in;
    size_t in_at;
    bool fin_in;
    size_t consumed, announcing; // not told to the sender yet; on its way
    struct sim_event announce, reset_in;
};
struct sim_conn {
    struct sim *w;
    struct list link;
    struct sim_end end[2]; // [0] connected
    struct sim_event shake; // SYN, then SYN-ACK, then ACK
    int stage;
    unsigned tries;
    struct net_listener *listener; // it waits for it, or in its backlog
    struct list backlog;
    bool local; // over a unix socket or 127.0.0.1
    char to[256]; // where it goes: an address or a path
    uint16_t port;
};
// The other side of this end.
static inline struct sim_end *sim_peer(struct sim_end *e)
{
    return &e->conn->end[e == &e->conn->end[0] ? 1 : 0];
}
// Sends the SYN; sim_sock_opened tells the rest.
struct sim_conn *sim_conn_new(struct sock *from, const char *to, uint16_t port, bool unix_socket);
// Takes what the window lets in; returns how much.
size_t sim_end_send(struct sim_end *e, const struct bytes *v, int count, size_t skip);
void sim_end_fin(struct sim_end *e);
void sim_end_took(struct sim_end *e, size_t n); // the process read so much
void sim_end_close(struct sim_end *e, bool abort); // the descriptor is closed
void sim_conn_refuse(struct sim_conn *c); // its listener is gone
void sim_conns_power(struct sim_host *h); // the machine went off
static inline size_t sim_end_readable(const struct sim_end *e)
{
    return e->in.n - e->in_at;
}

// ---- stream.c: connections as the process sees them

enum sock_flag {
    SOCK_READ = 1 << 0,
    SOCK_EOF = 1 << 1, // on_end was told
    SOCK_BROKEN = 1 << 2,
    SOCK_DIALING = 1 << 3,
    SOCK_CLOSING = 1 << 4,
    SOCK_SHUT = 1 << 5, // FIN sent, what comes is thrown away
    SOCK_COUNTED = 1 << 6,
    SOCK_FAILED = 1 << 7, // dial failed
};
struct sock {
    struct net_stream base; // first
    struct net *net;
    struct list link;
    struct sim_end *end; // NULL: none (any more)
    unsigned flags;
    size_t queue_max, drained;
    struct buf queue;
    struct sim_event input, closed;
    struct timer timer; // dialing, lingering
    struct net_addr addr; // dialing
    struct err err;
    struct net_peer peer;
    bool open_due;
    int open_status;
};
struct net {
    struct sim_host *host;
    struct list socks, listeners, dgrams, tls_streams;
    struct net_stats st;
    uint64_t reserve;
    int64_t linger_ms;
    uint16_t next_port;
    struct timer retry; // listeners that wait for a descriptor
    bool paused;
};
struct net_listener {
    struct net *net;
    struct list link;
    struct net_listen_args args;
    uint16_t port;
    struct list backlog; // of sim_conn, connected
    unsigned waiting; // of those and those that shake hands
    struct sim_event accept;
};
void sim_net_init(struct sim_host *h);
void sim_net_cut(struct sim_host *h, bool power); // the process or the machine ended: its kernel
void sim_net_stop(struct sim_host *h);            // its objects: closes listeners and streams
struct net_listener *sim_listener_find(struct sim_host *h, const char *address, uint16_t port);
bool sim_listener_room(const struct net_listener *l);
void sim_listener_ready(struct sim_conn *c); // it is in the backlog
void sim_listener_refuse(struct net_listener *l); // all of its backlog
void sim_sock_accept(struct net_listener *l, struct sim_conn *c);
// From the kernel.
void sim_sock_opened(struct sock *s, int status);
void sim_sock_wake(struct sock *s); // bytes, the end, an error or room are there
int sim_dial(struct net *n, const struct net_connect_args *args, struct net_stream **ret,
             struct err *e);

// ---- tls.c: no cryptography, but the whole handshake

int sim_tls_dial(struct net *n, const struct net_connect_args *args, struct net_stream **ret,
                 struct err *e);
void sim_tls_unaccept(struct net *n, const struct net_listen_args *a);
void sim_tls_accept(struct net_tls *t, struct net_stream *inner, const struct net_listen_args *a,
                    bool over_limit);
const struct net_stream *sim_tls_inner(const struct net_stream *s, struct net_peer *ret);
void sim_tls_ref(struct net_tls *t);
void sim_tls_stop(struct net *n);

// ---- dgram.c

void sim_dgram_forget(struct sim_event *ev); // if it is a packet under way

// ---- the world and its hosts

struct sim_file {
    struct list link;
    char *path;
    struct buf content;
};
struct sim_host {
    struct sim *w;
    struct list link;
    unsigned index;
    char name[64], address[48];
    bool up; // the machine
    bool muted; // the process has ended
    bool timers_first; // when it goes on after a pause
    uint64_t paused_until, frozen_until;
    uint64_t slept_ns; // paused or frozen in all, also what of a pause still comes
    uint64_t mono_ns; // its mono clock at the beginning of the world
    int64_t wall_ms; // its error
    struct sim_timers timers;
    struct sim_work work;
    struct net net;
    struct list files;
    bool disk_full;
};
#define SIM_HOSTS_MAX 160
struct sim {
    struct sim_args args;
    uint64_t now, seq, hash;
    struct rng rng, chance, secret; // schedules; the network; what programs ask for
    struct sim_event **heap;
    size_t n, cap;
    bool stopped;
    char *failure;
    struct sim_host *hosts[SIM_HOSTS_MAX];
    unsigned host_count;
    struct sim_link *links; // [from * SIM_HOSTS_MAX + to]
    uint64_t *heard; // the same: when a datagram came last, in the receiver's time awake
    struct list names, conns;
    struct sim_counts counts;
    uint64_t same_time; // events at one moment: a loop that never ends
};
struct sim_host *sim_host_at(struct sim *w, const char *address);
struct sim_link *sim_link_of(struct sim_host *from, struct sim_host *to);
uint64_t sim_delay(struct sim_host *from, struct sim_host *to); // of one packet
bool sim_passes(struct sim_host *from, struct sim_host *to); // by chance, and by cuts
bool sim_chance(struct sim *w, uint32_t ppm);
const char *sim_lookup(struct sim *w, const char *name); // NULL: unknown
void sim_heard(struct sim_host *from, struct sim_host *to); // a datagram came
uint64_t sim_mono_ns(const struct sim_host *h);
void *sim_must(void *p); // the simulator itself never runs out of memory

#endif
