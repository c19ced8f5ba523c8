// loop_priv.h: what the files of room loop share.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_LOOP_LOOP_PRIV_H
#define PLEXUS_LOOP_LOOP_PRIV_H

#include "base/buf.h"
#include "base/list.h"
#include "loop/loop.h"
#include "port/dgram.h"

#include <netdb.h>
#include <stdatomic.h>
#include <sys/types.h>
#include <uv.h>

enum { LOOP_SIGNALS_MAX = 8, LOOP_STOP_MS = 5000 };

// ---- timers_uv.c: a heap of our timers behind one uv_timer_t

struct timers_entry {
    int64_t key;    // at or before the timer's due_ms: postponing does not touch the heap
    uint64_t round; // a timer started while a round fires waits for the next one
    struct timer *timer;
};
struct timers_uv {
    struct timers base; // first
    struct loop *loop;
    uv_timer_t uv;
    uv_idle_t idle; // runs while a timer is due now
    bool idling;
    int64_t armed_ms; // when uv fires, TIME_NEVER: not armed
    struct timers_entry *heap;
    size_t n, cap;
    uint64_t round;
    int64_t now_ms; // cached for ...
    uint64_t now_at; // ... this uv_now
};
void timers_init(struct timers_uv *c, struct loop *l);
void timers_close(struct timers_uv *c); // closes the uv handles
void timers_fini(struct timers_uv *c);

// ---- net_uv.c: sockets as streams

enum sock_flag {
    SOCK_READ = 1 << 0,       // the owner wants data
    SOCK_EOF = 1 << 1,        // the input has ended
    SOCK_BROKEN = 1 << 2,     // an error was seen: nothing can be written
    SOCK_DIALING = 1 << 3,    // not connected yet
    SOCK_CLOSING = 1 << 4,    // net_close was called
    SOCK_SHUT = 1 << 5,       // FIN sent, what still comes is thrown away
    SOCK_OVER_LIMIT = 1 << 6, // accepted over the limit: does not linger long
    SOCK_COUNTED = 1 << 7,    // holds a place in net->st.connections
};
enum sock_poll { SOCK_POLL_NONE, SOCK_POLL_OPEN, SOCK_POLL_CLOSING };

struct sock_queue {
    size_t at, n, cap; // bytes [at, n) wait
    char p[];
};

struct sock {
    struct net_stream base; // first
    struct net *net;
    struct list link; // in net->socks; in the free list link.next alone is used
    uv_poll_t poll;
    int fd;
    uint8_t poll_state;
    uint8_t armed; // UV_READABLE | UV_WRITABLE that the poll watches
    uint16_t flags;
    uint32_t queue_max;
    uint32_t drained;
    struct sock_queue *queue; // NULL while nothing waits
    struct net_dial *dial;    // while dialing
    struct timer timer;       // dialing, lingering, closing
};

struct net {
    struct loop *loop;
    struct list socks;
    struct list dead; // without a handle to close: on_closed is due
    struct list listeners;
    struct list dgrams;
    struct sock *free;
    unsigned free_count;
    struct net_stats st;
    int spare_fd; // given up for a moment when descriptors are used up
    struct timer retry; // listeners that wait for a descriptor
    bool paused;
    uint64_t files_soft; // RLIMIT_NOFILE before it was raised
    struct list tls_streams;
    struct net_tls_bufs *tls_bufs; // made with the first TLS stream
};
int net_init(struct net *n, struct loop *l, struct err *e);
void net_stop(struct net *n,
              bool abort); // closes listeners, aborts streams (abort: lingering ones too)
bool net_idle(const struct net *n);       // nothing left to close
void net_fini(struct net *n);

void net_bury(struct net *n);              // tells the dead

struct sock *net_sock_new(struct net *n, size_t queue_bytes_max);
int net_sock_open(struct sock *s, int fd);     // takes fd; starts nothing yet
void net_sock_arm(struct sock *s);             // makes the poll watch what is wanted
void net_sock_destroy(struct sock *s);         // at once; on_closed comes later
void net_sock_drop_fd(struct sock *s);         // closes poll and fd, net_dial_next follows
bool net_is_sock(const struct net_stream *s);

// net_dial.c
int net_dial_start(struct net *n, const struct net_connect_args *args, struct net_stream **ret,
                   struct err *e);
void net_dial_event(struct sock *s, int status);
void net_dial_next(struct sock *s); // the last attempt's handle is closed
void net_dial_free(struct sock *s); // forgets the attempt

// net_listen.c
int net_parse_ip(const struct net_addr *a, struct sockaddr_storage *ret, socklen_t *ret_len);
int net_unix_addr(const char *path, struct sockaddr_storage *ret, socklen_t *ret_len,
                  struct err *e);
void net_listeners_resume(struct net *n); // a descriptor became free
void net_listeners_close(struct net *n);

// dgram_uv.c
void dgram_stop(struct net *n); // closes what its owners left open

// net_tls*.c
int net_tls_dial(struct net *n, const struct net_connect_args *args, struct net_stream **ret,
                 struct err *e);
void net_tls_accept(struct net_tls *t, struct net_stream *inner, const struct net_listen_args *args,
                    bool over_limit);
// The handshakes of a listener that closes: nobody is there to accept them.
void net_tls_unaccept(struct net *n, const struct net_listen_args *args);
struct net_stream *net_tls_inner(const struct net_stream *s); // NULL: not a TLS stream
const char *net_tls_peer(const struct net_stream *s, uint64_t *ret_epoch); // its ID or NULL
void net_tls_ref(struct net_tls *t);
void net_tls_stop(struct net *n);
void net_tls_fini(struct net *n);

// ---- proc_in.c: the input of a child: a pipe that is fed as the child reads

struct proc_in {
    struct loop *loop;
    uv_poll_t poll;
    int fd;        // the pipe's end here, -1: closed
    bool watching; // for room in the pipe
    bool ending;   // no more comes: closed when all is in the pipe
    struct buf wait;
    size_t at; // of wait: what is in the pipe already
    uv_close_cb closed;
    void (*drain)(void *user);
    void *user;
};
void proc_in_open(struct proc_in *in, struct loop *l, int fd, size_t bytes_max, uv_close_cb closed);
int proc_in_write(struct proc_in *in, struct bytes data);
void proc_in_end(struct proc_in *in);
void proc_in_close(struct proc_in *in); // closed comes; not open: nothing

// ---- proc_uv.c

struct procs_uv {
    struct procs base; // first
    struct loop *loop;
    struct list all;
};
void proc_init(struct procs_uv *p, struct loop *l);
void proc_stop(struct procs_uv *p); // kills all
bool proc_idle(const struct procs_uv *p);

// ---- work_uv.c

void loop_work_stop(struct loop *l); // waits for the threads, closes the async handles
void loop_work_free(struct loop *l);

// ---- loop.c

struct loop_sig {
    uv_signal_t uv;
    void (*fn)(void *user, int signum);
    void *user;
};

struct loop {
    uv_loop_t uv;
    struct timers_uv timers;
    struct net net;
    struct procs_uv procs;
    struct work *work;
    struct list pools; // struct work_pool, that one too
    struct loop_args args;
    char *self;
    char *read_buf;
    uv_async_t kick; // stop was asked for, or net->dead has something
    uv_prepare_t prepare;
    struct timer deadline; // of the stop
    atomic_bool stop;
    bool running, closing, stopped, late;
    uint64_t round_ns; // when the first callback of this round began, 0: none yet
    uint64_t lag_ns;
    struct loop_sig signals[LOOP_SIGNALS_MAX];
    int signals_count;
    struct list wakes;
};

// Every callback from libuv begins with this: it dates the round for loop_lag_ns.
static inline void loop_enter(struct loop *l)
{
    if (l->round_ns == 0)
        l->round_ns = time_mono_ns();
}

#endif
