// net_uv.c: the transport: TCP and unix sockets as streams over uv_poll_t.
// SPDX-License-Identifier: Apache-2.0
//
// Why uv_poll_t and not uv_tcp_t: one object serves both families, descriptors come from our own
// accept loop, and a waiting stream costs about 300 bytes. The path of a proxied request is recv,
// send, recv, send and nothing else: turning reading off does not reach the kernel until data
// really comes (then the poll is stopped), so a short pause is free.
#include "loop/loop_priv.h"

#include "base/alloc.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    NET_FREE_MAX = 256,          // sockets kept for the next connection
    NET_READS_MAX = 4,           // full buffers read from one stream before the others get a turn
    NET_QUEUE_MIN = 4096,
    NET_QUEUE_DEFAULT = 256 << 10,
    NET_DRAIN_BYTES_MAX = 256 << 10, // read and thrown away after our FIN, so that no RST ...
    NET_DRAIN_MS = 1000,             // ... kills an answer that the peer has not read yet
    NET_DRAIN_OVER_LIMIT_MS = 100,
};

_Static_assert(sizeof(struct bytes) == sizeof(struct iovec), "bytes is passed as iovec");
_Static_assert(offsetof(struct bytes, p) == offsetof(struct iovec, iov_base), "same order");
_Static_assert(offsetof(struct bytes, n) == offsetof(struct iovec, iov_len), "same order");

static struct sock *sock_of(const struct net_stream *s)
{
    return (struct sock *)(uintptr_t)s;
}

static struct timers *sock_timers(struct sock *s)
{
    return &s->net->loop->timers.base;
}

static int sock_error(int error)
{
    return error == ECONNRESET || error == EPIPE || error == ENOTCONN || error == ETIMEDOUT
               ? E_CLOSED
               : E_IO;
}

// ---- output

// Bytes that the kernel took (0: none now), or -errno.
static ssize_t sock_send(struct sock *s, const struct bytes *v, int count)
{
    struct msghdr m = {.msg_iov = (struct iovec *)(uintptr_t)v, .msg_iovlen = (size_t)count};
    ssize_t n;
    do {
        n = count == 1 ? send(s->fd, v->p, v->n, MSG_NOSIGNAL) : sendmsg(s->fd, &m, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n >= 0) {
        s->net->st.bytes_out += (uint64_t)n;
        return n;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS)
        return 0;
    s->flags |= SOCK_BROKEN;
    return -errno;
}

static int sock_queue_room(struct sock *s, size_t more)
{
    struct sock_queue *q = s->queue;
    if (q != NULL && q->cap - q->n >= more)
        return 0;
    size_t waiting = q ? q->n - q->at : 0;
    if (q != NULL && q->at > 0) {
        memmove(q->p, q->p + q->at, waiting);
        q->at = 0;
        q->n = waiting;
        if (q->cap - q->n >= more)
            return 0;
    }
    size_t cap = q ? q->cap : NET_QUEUE_MIN;
    while (cap < waiting + more)
        cap *= 2;
    q = mem_realloc(s->queue, sizeof *q + cap);
    if (q == NULL)
        return E_NOMEM;
    if (s->queue == NULL)
        q->at = q->n = 0;
    q->cap = cap;
    s->queue = q;
    return 0;
}

// Copies all but the first `skip` bytes to the queue; the room is there.
static void sock_queue_add(struct sock_queue *q, const struct bytes *v, int count, size_t skip)
{
    for (int i = 0; i < count; i++) {
        if (skip >= v[i].n) {
            skip -= v[i].n;
            continue;
        }
        memcpy(q->p + q->n, v[i].p + skip, v[i].n - skip);
        q->n += v[i].n - skip;
        skip = 0;
    }
}

static size_t sock_queued(const struct net_stream *base)
{
    const struct sock_queue *q = sock_of(base)->queue;
    return q ? q->n - q->at : 0;
}

static int sock_write(struct net_stream *base, const struct bytes *v, int count)
{
    struct sock *s = sock_of(base);
    size_t total = 0;
    ssize_t sent = 0;
    if (s->flags & (SOCK_BROKEN | SOCK_CLOSING))
        return E_CLOSED;
    for (int i = 0; i < count; i++)
        total += v[i].n;
    if (sock_queued(base) + total > s->queue_max)
        return E_FULL;
    if (s->queue == NULL && !(s->flags & SOCK_DIALING) && total > 0) {
        sent = sock_send(s, v, count);
        if (sent < 0)
            return E_CLOSED;
    }
    size_t rest = total - (size_t)sent;
    if (rest == 0)
        return s->queue ? 1 : 0;
    int rc = sock_queue_room(s, rest);
    if (rc < 0) {
        if (sent == 0)
            return rc;
        s->flags |= SOCK_BROKEN; // half a message is out: the stream is of no more use
        (void)shutdown(s->fd, SHUT_RDWR); // on_end comes
        return E_CLOSED;
    }
    sock_queue_add(s->queue, v, count, (size_t)sent);
    if (!(s->flags & SOCK_DIALING))
        net_sock_arm(s);
    return 1;
}

static void sock_queue_drop(struct sock *s)
{
    mem_free(s->queue);
    s->queue = NULL;
}

// ---- the poll

static void sock_event(uv_poll_t *h, int status, int events);

static int sock_wanted(const struct sock *s)
{
    int want = 0;
    if ((s->flags & (SOCK_READ | SOCK_SHUT)) && !(s->flags & SOCK_EOF))
        want |= UV_READABLE;
    if (s->queue != NULL || (s->flags & SOCK_DIALING))
        want |= UV_WRITABLE;
    return want;
}

static void sock_watch(struct sock *s, int want)
{
    if (want == s->armed || s->poll_state != SOCK_POLL_OPEN)
        return;
    s->armed = (uint8_t)want;
    if (want == 0)
        (void)uv_poll_stop(&s->poll); // cannot fail on an open handle
    else if (uv_poll_start(&s->poll, want, sock_event) < 0)
        s->flags |= SOCK_BROKEN; // the descriptor is not ours any more: our own bug
}

void net_sock_arm(struct sock *s)
{
    int want = sock_wanted(s);
    // Readable may stay watched while nobody wants it: most pauses end before data comes.
    if ((s->armed & want) != want || ((s->armed & ~want) & UV_WRITABLE))
        sock_watch(s, want);
}

static void sock_gone(struct sock *s)
{
    struct net *n = s->net;
    list_del(&s->link);
    if (s->base.handler != NULL && s->base.handler->on_closed != NULL)
        s->base.handler->on_closed(&s->base);
    if (n->free_count >= NET_FREE_MAX) {
        mem_free(s);
        return;
    }
    s->link.next = n->free ? &n->free->link : NULL;
    n->free = s;
    n->free_count++;
}

static void sock_poll_closed(uv_handle_t *h)
{
    struct sock *s = container_of((uv_poll_t *)h, struct sock, poll);
    loop_enter(s->net->loop);
    s->poll_state = SOCK_POLL_NONE;
    if (s->flags & SOCK_CLOSING)
        sock_gone(s);
    else
        net_dial_next(s);
}

void net_bury(struct net *n)
{
    list_each_safe (it, &n->dead) {
        sock_gone(container_of(it, struct sock, link));
    }
}

void net_sock_drop_fd(struct sock *s)
{
    if (s->poll_state == SOCK_POLL_OPEN) {
        uv_close((uv_handle_t *)&s->poll, sock_poll_closed);
        s->poll_state = SOCK_POLL_CLOSING;
        s->armed = 0;
    }
    if (s->fd >= 0) {
        (void)close(s->fd);
        s->fd = -1;
        net_listeners_resume(s->net);
    }
}

void net_sock_destroy(struct sock *s)
{
    s->flags |= SOCK_CLOSING;
    s->flags &= (uint16_t)~(SOCK_READ | SOCK_DIALING);
    net_dial_free(s);
    sock_queue_drop(s);
    timer_stop(sock_timers(s), &s->timer);
    if (s->flags & SOCK_COUNTED) {
        s->flags &= (uint16_t)~SOCK_COUNTED;
        s->net->st.connections--;
    }
    net_sock_drop_fd(s);
    if (s->poll_state == SOCK_POLL_NONE) { // on_closed never comes from inside the starting call
        list_del(&s->link);
        list_add_tail(&s->net->dead, &s->link);
        (void)uv_async_send(&s->net->loop->kick);
    }
}

// ---- closing

static void sock_linger_over(struct timer *t)
{
    net_sock_destroy(container_of(t, struct sock, timer));
}

static void sock_linger(struct sock *s, int64_t ms)
{
    s->timer.fn = sock_linger_over;
    if (timer_start(sock_timers(s), &s->timer, ms) < 0)
        net_sock_destroy(s);
}

// Descriptors are used up and this one is wanted: no time to linger, only what came already is
// read, so that the close sends no RST for it.
static void sock_hurry(struct sock *s)
{
    char waste[4096];
    for (int i = 0; i < 16 && recv(s->fd, waste, sizeof waste, 0) == (ssize_t)sizeof waste; i++)
        continue;
    net_sock_destroy(s);
}

// All is sent: FIN, then throw away what the peer still sends, so that it can read our answer.
static void sock_shut(struct sock *s)
{
    if ((s->flags & (SOCK_EOF | SOCK_BROKEN)) || shutdown(s->fd, SHUT_WR) < 0) {
        net_sock_destroy(s);
        return;
    }
    s->flags |= SOCK_SHUT;
    if ((s->flags & SOCK_OVER_LIMIT) && s->net->spare_fd < 0) {
        sock_hurry(s);
        return;
    }
    net_sock_arm(s);
    sock_linger(s, s->flags & SOCK_OVER_LIMIT ? NET_DRAIN_OVER_LIMIT_MS : NET_DRAIN_MS);
}

static void sock_close(struct net_stream *base, bool abort)
{
    struct sock *s = sock_of(base);
    assert(!(s->flags & SOCK_CLOSING));
    s->flags |= SOCK_CLOSING;
    s->flags &= (uint16_t)~SOCK_READ;
    if (abort && s->fd >= 0) {
        struct linger rst = {.l_onoff = 1, .l_linger = 0};
        (void)setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &rst, sizeof rst); // best effort
    }
    if (abort || s->fd < 0 || (s->flags & (SOCK_DIALING | SOCK_BROKEN)))
        net_sock_destroy(s);
    else if (s->queue != NULL)
        sock_linger(s, s->net->loop->args.linger_ms);
    else
        sock_shut(s);
}

// ---- input

static void sock_read(struct net_stream *base, bool on)
{
    struct sock *s = sock_of(base);
    if (s->flags & SOCK_CLOSING)
        return;
    if (!on) {
        s->flags &= (uint16_t)~SOCK_READ;
        return;
    }
    s->flags |= SOCK_READ;
    if (!(s->flags & SOCK_DIALING))
        net_sock_arm(s);
}

static void sock_end(struct sock *s, int status)
{
    if (s->flags & SOCK_BROKEN)
        status = status == 0 ? E_CLOSED : status;
    s->flags |= status == 0 ? SOCK_EOF : SOCK_EOF | SOCK_BROKEN;
    if (s->flags & SOCK_CLOSING) {
        if (s->queue == NULL || status < 0)
            net_sock_destroy(s);
        return;
    }
    if (status < 0)
        sock_queue_drop(s);
    if (s->base.handler->on_end != NULL)
        s->base.handler->on_end(&s->base, status);
}

static void sock_take(struct sock *s, char *p, size_t n)
{
    if (!(s->flags & SOCK_SHUT)) {
        s->base.handler->on_data(&s->base, p, n);
        return;
    }
    s->drained += (uint32_t)n;
    if (s->drained > NET_DRAIN_BYTES_MAX)
        net_sock_destroy(s);
}

static void sock_input(struct sock *s)
{
    struct loop *l = s->net->loop;
    for (int i = 0; i < NET_READS_MAX; i++) {
        ssize_t n;
        do {
            n = recv(s->fd, l->read_buf, l->args.read_bytes, 0);
        } while (n < 0 && errno == EINTR);
        if (n < 0) {
            if (errno != EAGAIN && errno != EWOULDBLOCK)
                sock_end(s, sock_error(errno));
            return;
        }
        if (n == 0) {
            sock_end(s, 0);
            return;
        }
        s->net->st.bytes_in += (uint64_t)n;
        sock_take(s, l->read_buf, (size_t)n);
        if (s->fd < 0 || !(sock_wanted(s) & UV_READABLE) || (size_t)n < l->args.read_bytes)
            return;
    }
}

static void sock_output(struct sock *s)
{
    struct sock_queue *q = s->queue;
    struct bytes v = {q->p + q->at, q->n - q->at};
    ssize_t n = sock_send(s, &v, 1);
    if (n < 0) {
        sock_end(s, sock_error((int)-n));
        return;
    }
    q->at += (size_t)n;
    if (q->at < q->n)
        return;
    sock_queue_drop(s);
    if (s->flags & SOCK_CLOSING)
        sock_shut(s);
    else if (s->base.handler->on_drain != NULL)
        s->base.handler->on_drain(&s->base);
}

static int sock_so_error(struct sock *s)
{
    int error = 0;
    socklen_t n = sizeof error;
    if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0)
        return errno;
    return error;
}

static void sock_event(uv_poll_t *h, int status, int events)
{
    struct sock *s = container_of(h, struct sock, poll);
    loop_enter(s->net->loop);
    if (s->flags & SOCK_DIALING) {
        net_dial_event(s, status < 0 ? status : 0);
        return;
    }
    if (status < 0) { // an error waits in the socket, libuv has stopped the poll
        s->armed = 0;
        events = UV_READABLE;
        if (!(sock_wanted(s) & UV_READABLE)) {
            sock_end(s, sock_error(sock_so_error(s)));
            return;
        }
    }
    if ((events & UV_WRITABLE) && s->queue != NULL)
        sock_output(s);
    bool unwanted = false;
    if (s->fd >= 0 && (events & UV_READABLE)) {
        unwanted = !(sock_wanted(s) & UV_READABLE);
        if (!unwanted)
            sock_input(s);
    }
    if (s->fd < 0)
        return;
    // Now the kernel must know when data came that nobody wants or the input has ended.
    if (unwanted || (s->flags & SOCK_EOF))
        sock_watch(s, sock_wanted(s));
    else
        net_sock_arm(s);
}

// ---- making and counting

static const struct net_stream_ops sock_ops = {
    .write = sock_write,
    .read = sock_read,
    .close = sock_close,
    .queued = sock_queued,
};

bool net_is_sock(const struct net_stream *s)
{
    return s->ops == &sock_ops;
}

struct sock *net_sock_new(struct net *n, size_t queue_bytes_max)
{
    struct sock *s = n->free;
    if (s != NULL) {
        n->free = s->link.next ? container_of(s->link.next, struct sock, link) : NULL;
        n->free_count--;
        memset(s, 0, sizeof *s);
    } else {
        s = mem_new(struct sock);
        if (s == NULL)
            return NULL;
    }
    s->base.ops = &sock_ops;
    s->net = n;
    s->fd = -1;
    if (queue_bytes_max == 0)
        queue_bytes_max = NET_QUEUE_DEFAULT;
    s->queue_max = queue_bytes_max > INT32_MAX ? INT32_MAX : (uint32_t)queue_bytes_max;
    s->flags = SOCK_COUNTED;
    n->st.connections++;
    list_add_tail(&n->socks, &s->link);
    return s;
}

int net_sock_open(struct sock *s, int fd)
{
    assert(s->poll_state == SOCK_POLL_NONE && s->fd < 0);
    int rc = uv_poll_init(&s->net->loop->uv, &s->poll, fd);
    if (rc < 0)
        return rc;
    s->fd = fd;
    s->poll_state = SOCK_POLL_OPEN;
    s->armed = 0;
    return 0;
}

void net_stats(const struct net *n, struct net_stats *ret)
{
    *ret = n->st;
}

int net_connect(struct net *n, const struct net_connect_args *args, struct net_stream **ret,
                struct err *e)
{
    if (args->tls != NULL)
        return net_tls_dial(n, args, ret, e);
    return net_dial_start(n, args, ret, e);
}

static void net_limits(struct net *n)
{
    struct loop_args *a = &n->loop->args;
    struct rlimit r = {1024, 1024};
    (void)getrlimit(RLIMIT_NOFILE, &r);
    n->files_soft = (uint64_t)r.rlim_cur;
    if (r.rlim_cur < r.rlim_max) {
        struct rlimit up = {r.rlim_max, r.rlim_max};
#ifdef __APPLE__ // setrlimit(2): more is refused, also where the hard limit is none
        up.rlim_cur = up.rlim_cur < OPEN_MAX ? up.rlim_cur : OPEN_MAX;
#endif
        if (up.rlim_cur > r.rlim_cur && setrlimit(RLIMIT_NOFILE, &up) == 0)
            r = up;
    }
    uint64_t files = r.rlim_cur > INT32_MAX ? INT32_MAX : (uint64_t)r.rlim_cur;
    uint64_t reserve = a->files_reserve < files / 2 ? a->files_reserve : files / 2;
    n->st.connections_max = files - reserve;
    if (a->connections_max != 0 && a->connections_max < n->st.connections_max)
        n->st.connections_max = a->connections_max;
}

int net_init(struct net *n, struct loop *l, struct err *e)
{
    n->loop = l;
    list_init(&n->socks);
    list_init(&n->dead);
    list_init(&n->listeners);
    list_init(&n->dgrams);
    list_init(&n->tls_streams);
    net_limits(n);
    n->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (n->spare_fd < 0)
        return err_errno(e, errno, "open /dev/null");
    return 0;
}

void net_stop(struct net *n, bool abort)
{
    net_listeners_close(n);
    dgram_stop(n);
    net_tls_stop(n);
    list_each_safe (it, &n->socks) {
        struct sock *s = container_of(it, struct sock, link);
        if (!(s->flags & SOCK_CLOSING))
            net_close(&s->base, true);
        else if (abort && s->fd >= 0)
            net_sock_destroy(s);
    }
}

bool net_idle(const struct net *n)
{
    return list_empty(&n->socks) && list_empty(&n->dead) && list_empty(&n->listeners) &&
           list_empty(&n->dgrams);
}

void net_fini(struct net *n)
{
    while (n->free != NULL) {
        struct sock *s = n->free;
        n->free = s->link.next ? container_of(s->link.next, struct sock, link) : NULL;
        mem_free(s);
    }
    net_tls_fini(n);
    if (n->spare_fd >= 0)
        (void)close(n->spare_fd);
}
