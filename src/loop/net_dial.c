// net_dial.c: connecting: name lookup, one address after the other, one deadline for all.
// SPDX-License-Identifier: Apache-2.0
#include "loop/loop_priv.h"

#include "base/alloc.h"
#include "base/sys.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    DIAL_ATTEMPT_MIN_MS = 250, // an address gets at least this much of the time that is left
    DIAL_RETRY_MS = 5,         // a unix socket whose backlog is full
    DIAL_SELF_PORT_MIN = 1024,
};

// Outlives the stream when the lookup cannot be cancelled.
struct dial_lookup {
    uv_getaddrinfo_t req;
    struct sock *sock; // NULL: nobody waits any more
};

struct net_dial {
    struct net_addr addr;
    struct dial_lookup *lookup; // while it runs
    struct addrinfo *found, *next;
    struct sockaddr_storage literal;
    socklen_t literal_len; // 0: not a literal, or tried
    int64_t deadline_ms;   // TIME_NEVER: none
    struct err err;        // why the last address failed
};

static struct timers *dial_timers(struct sock *s)
{
    return &s->net->loop->timers.base;
}

static int dial_errno(struct net_dial *d, int error)
{
    char where[sizeof d->addr.host + 16];
    if (d->addr.unix_socket)
        (void)snprintf(where, sizeof where, "%s", d->addr.host);
    else
        (void)snprintf(where, sizeof where, strchr(d->addr.host, ':') ? "[%s]:%u" : "%s:%u",
                       d->addr.host, (unsigned)d->addr.port);
    int code;
    switch (error) {
    case ECONNREFUSED:
    case ENOENT:
    case ECONNRESET: code = E_REFUSED; break;
    case ETIMEDOUT: code = E_TIMEOUT; break;
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EADDRNOTAVAIL: code = E_UNAVAILABLE; break;
    case EMFILE:
    case ENFILE: code = E_FULL; break;
    default: return err_errno(&d->err, error, "connect to %s", where);
    }
    return err_set(&d->err, code, "connect to %s: %s", where, strerror(error));
}

void net_dial_free(struct sock *s)
{
    struct net_dial *d = s->dial;
    if (d == NULL)
        return;
    if (d->lookup != NULL) {
        d->lookup->sock = NULL;
        (void)uv_cancel((uv_req_t *)&d->lookup->req); // too late to cancel: its callback frees it
    }
    if (d->found != NULL)
        uv_freeaddrinfo(d->found);
    mem_free(d);
    s->dial = NULL;
}

// Tells the owner; only from a callback of the loop.
static void dial_fail(struct sock *s)
{
    struct net_dial *d = s->dial;
    s->dial = NULL;
    s->flags &= (uint16_t)~SOCK_DIALING;
    s->flags |= SOCK_BROKEN;
    timer_stop(dial_timers(s), &s->timer);
    s->base.handler->on_open(&s->base, d->err.code, &d->err);
    if (d->found != NULL)
        uv_freeaddrinfo(d->found);
    mem_free(d);
}

static void dial_timer(struct timer *t);

// Time for the next attempt: an equal share of what is left.
static int dial_arm_timer(struct sock *s)
{
    struct net_dial *d = s->dial;
    s->timer.fn = dial_timer;
    if (d->deadline_ms == TIME_NEVER)
        return 0;
    int64_t left = d->deadline_ms - timers_now_ms(dial_timers(s));
    int64_t shares = 1;
    for (const struct addrinfo *a = d->next; a != NULL; a = a->ai_next)
        shares++;
    int64_t share = left / shares;
    if (share < DIAL_ATTEMPT_MIN_MS)
        share = left < DIAL_ATTEMPT_MIN_MS ? left : DIAL_ATTEMPT_MIN_MS;
    return timer_start(dial_timers(s), &s->timer, share);
}

static bool dial_next_addr(struct net_dial *d, const struct sockaddr **ret, socklen_t *ret_len)
{
    if (d->literal_len != 0) {
        *ret = (const struct sockaddr *)&d->literal;
        *ret_len = d->literal_len;
        d->literal_len = 0;
        return true;
    }
    if (d->next == NULL)
        return false;
    *ret = d->next->ai_addr;
    *ret_len = d->next->ai_addrlen;
    d->next = d->next->ai_next;
    return true;
}

// Starts on the next address that can be started. False: none is left, d->err says why.
static bool dial_attempt(struct sock *s)
{
    struct net_dial *d = s->dial;
    const struct sockaddr *addr;
    socklen_t len;
    while (dial_next_addr(d, &addr, &len)) {
        int fd = sys_socket(addr->sa_family);
        int on = 1;
        if (fd < 0) {
            (void)dial_errno(d, errno);
            continue;
        }
        if (addr->sa_family != AF_UNIX)
            (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); // only slower without
        if (connect(fd, addr, len) < 0 && errno != EINPROGRESS) {
            int error = errno;
            (void)close(fd);
            if (error == EAGAIN && addr->sa_family == AF_UNIX) { // backlog full: cannot be polled
                (void)dial_errno(d, ETIMEDOUT);
                d->literal_len = len;
                return timer_start(dial_timers(s), &s->timer, DIAL_RETRY_MS) == 0;
            }
            (void)dial_errno(d, error);
            continue;
        }
        if (net_sock_open(s, fd) < 0 || dial_arm_timer(s) < 0) {
            if (s->fd < 0)
                (void)close(fd);
            (void)err_set(&d->err, E_NOMEM, "connect: out of memory");
            return false;
        }
        net_sock_arm(s);
        return true;
    }
    return false;
}

void net_dial_next(struct sock *s)
{
    struct net_dial *d = s->dial;
    if (d == NULL)
        return;
    if (d->deadline_ms <= timers_now_ms(dial_timers(s)) || !dial_attempt(s))
        dial_fail(s);
}

static void dial_timer(struct timer *t)
{
    struct sock *s = container_of(t, struct sock, timer);
    struct net_dial *d = s->dial;
    if (d->lookup != NULL) {
        (void)err_set(&d->err, E_TIMEOUT, "looking up %s took too long", d->addr.host);
        d->lookup->sock = NULL;
        d->lookup = NULL;
        dial_fail(s);
    } else if (s->poll_state == SOCK_POLL_OPEN) {
        (void)dial_errno(d, ETIMEDOUT);
        net_sock_drop_fd(s); // then net_dial_next
    } else { // a first attempt that failed at once, or a retry
        net_dial_next(s);
    }
}

// Connecting to a port of our own machine where nobody listens can meet itself, when the kernel
// picks that very port for our end (TCP's simultaneous open).
static bool dial_met_itself(struct sock *s)
{
    struct sockaddr_storage me = {0}, peer = {0};
    socklen_t n = sizeof me, k = sizeof peer;
    if (s->dial->addr.unix_socket || s->dial->addr.port < DIAL_SELF_PORT_MIN)
        return false;
    if (getsockname(s->fd, (struct sockaddr *)&me, &n) < 0 ||
        getpeername(s->fd, (struct sockaddr *)&peer, &k) < 0)
        return false;
    return n == k && memcmp(&me, &peer, n) == 0;
}

void net_dial_event(struct sock *s, int status)
{
    int error = 0;
    socklen_t n = sizeof error;
    if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0)
        error = errno;
    if (error == 0 && status < 0)
        error = ECONNREFUSED;
    if (error == 0 && dial_met_itself(s))
        error = ECONNREFUSED;
    if (error != 0) {
        (void)dial_errno(s->dial, error);
        net_sock_drop_fd(s); // then net_dial_next
        return;
    }
    s->flags &= (uint16_t)~SOCK_DIALING;
    timer_stop(dial_timers(s), &s->timer);
    net_dial_free(s);
    s->base.handler->on_open(&s->base, 0, NULL);
    if (s->fd >= 0)
        net_sock_arm(s);
}

static void dial_found(uv_getaddrinfo_t *req, int status, struct addrinfo *found)
{
    struct dial_lookup *k = container_of(req, struct dial_lookup, req);
    struct sock *s = k->sock;
    mem_free(k);
    if (s == NULL) {
        uv_freeaddrinfo(found);
        return;
    }
    loop_enter(s->net->loop);
    struct net_dial *d = s->dial;
    d->lookup = NULL;
    d->found = d->next = found;
    if (status < 0)
        (void)err_set(&d->err, E_UNAVAILABLE, "look up %s: %s", d->addr.host, uv_strerror(status));
    net_dial_next(s);
}

static int dial_look_up(struct sock *s, struct err *e)
{
    struct net_dial *d = s->dial;
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    char port[8];
    struct dial_lookup *k = mem_new(struct dial_lookup);
    if (k == NULL)
        return err_set(e, E_NOMEM, "look up %s", d->addr.host);
    (void)snprintf(port, sizeof port, "%u", (unsigned)d->addr.port);
    int rc = uv_getaddrinfo(&s->net->loop->uv, &k->req, dial_found, d->addr.host, port, &hints);
    if (rc < 0) {
        mem_free(k);
        return err_set(e, E_INVALID, "look up %s: %s", d->addr.host, uv_strerror(rc));
    }
    k->sock = s;
    d->lookup = k;
    return dial_arm_timer(s);
}

static int dial_begin(struct sock *s, struct err *e)
{
    struct net_dial *d = s->dial;
    int rc = d->addr.unix_socket ? net_unix_addr(d->addr.host, &d->literal, &d->literal_len, e)
                                 : net_parse_ip(&d->addr, &d->literal, &d->literal_len);
    if (d->addr.unix_socket && rc < 0)
        return rc;
    s->timer.fn = dial_timer;
    if (rc < 0)
        return dial_look_up(s, e);
    if (!dial_attempt(s)) // it is told later
        return timer_start(dial_timers(s), &s->timer, 0);
    return 0;
}

int net_dial_start(struct net *n, const struct net_connect_args *args, struct net_stream **ret,
                   struct err *e)
{
    assert(args->handler != NULL && args->handler->on_open != NULL);
    // Our own connections may use half of the reserve, so that a flood of clients does not keep
    // the requests that were let in from reaching their engines.
    if (n->st.connections >= n->st.connections_max + n->loop->args.files_reserve / 2)
        return err_set(e, E_FULL, "connect: all %llu connections are in use",
                       (unsigned long long)n->st.connections_max);
    struct sock *s = net_sock_new(n, args->queue_bytes_max);
    struct net_dial *d = s ? mem_new(struct net_dial) : NULL;
    if (s == NULL)
        return err_set(e, E_NOMEM, "connect: out of memory");
    int rc = d == NULL ? err_set(e, E_NOMEM, "connect: out of memory") : 0;
    if (d != NULL) {
        d->addr = args->addr;
        d->deadline_ms = TIME_NEVER;
        if (args->timeout_ms < TIME_NEVER - timers_now_ms(dial_timers(s)))
            d->deadline_ms = timers_now_ms(dial_timers(s)) + args->timeout_ms;
        s->dial = d;
        s->flags |= SOCK_DIALING;
        rc = dial_begin(s, e);
    }
    if (rc < 0) {
        net_sock_destroy(s); // silently: it has no handler yet
        return rc;
    }
    s->base.handler = args->handler;
    s->base.user = args->user;
    *ret = &s->base;
    return 0;
}
