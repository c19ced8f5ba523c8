// net_listen.c: listeners and the accept loop, addresses, and who the peer is.
// SPDX-License-Identifier: Apache-2.0
#include "loop/loop_priv.h"

#include "base/alloc.h"
#include "base/sys.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    LISTEN_BACKLOG = 511,
    LISTEN_ACCEPTS_MAX = 64,  // in one round, then the streams get a turn
    LISTEN_RETRY_MS = 100,    // out of descriptors: look again, also when none of ours was closed
};

struct net_listener {
    struct net *net;
    struct list link;
    uv_poll_t poll;
    int fd;
    uint16_t port;
    bool polling;
    char *path; // unix socket: the file, removed at close when it is still ours
    dev_t dev;
    ino_t ino;
    struct net_listen_args args;
};

// ---- addresses

int net_parse_ip(const struct net_addr *a, struct sockaddr_storage *ret, socklen_t *ret_len)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(a->port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(a->port)};
    memset(ret, 0, sizeof *ret);
    if (inet_pton(AF_INET, a->host, &in.sin_addr) == 1) {
        memcpy(ret, &in, sizeof in);
        *ret_len = sizeof in;
        return 0;
    }
    if (uv_ip6_addr(a->host, a->port, &in6) == 0) { // also takes a %zone
        memcpy(ret, &in6, sizeof in6);
        *ret_len = sizeof in6;
        return 0;
    }
    return E_INVALID;
}

int net_unix_addr(const char *path, struct sockaddr_storage *ret, socklen_t *ret_len, struct err *e)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof un.sun_path)
        return err_set(e, E_INVALID, "unix socket path must have 1 to %zu bytes: \"%s\"",
                       sizeof un.sun_path - 1, path);
    memcpy(un.sun_path, path, n + 1);
    memset(ret, 0, sizeof *ret);
    memcpy(ret, &un, sizeof un);
    *ret_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1);
    return 0;
}

static int listen_resolve(const struct net_addr *a, struct sockaddr_storage *ret,
                          socklen_t *ret_len, struct err *e)
{
    if (a->unix_socket)
        return net_unix_addr(a->host, ret, ret_len, e);
    if (net_parse_ip(a, ret, ret_len) == 0)
        return 0;
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found = NULL;
    char port[8];
    (void)snprintf(port, sizeof port, "%u", (unsigned)a->port);
    int rc = getaddrinfo(a->host, port, &hints, &found);
    if (rc != 0)
        return err_set(e, E_INVALID, "listen on %s: %s", a->host, gai_strerror(rc));
    memcpy(ret, found->ai_addr, found->ai_addrlen);
    *ret_len = found->ai_addrlen;
    freeaddrinfo(found);
    return 0;
}

static void peer_ip(const struct sockaddr_storage *a, struct net_peer *ret)
{
    char host[INET6_ADDRSTRLEN] = "?";
    if (a->ss_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, a, sizeof in);
        (void)inet_ntop(AF_INET, &in.sin_addr, host, sizeof host);
        ret->loopback = (ntohl(in.sin_addr.s_addr) >> 24) == 127;
        (void)snprintf(ret->text, sizeof ret->text, "%s:%u", host, (unsigned)ntohs(in.sin_port));
        return;
    }
    struct sockaddr_in6 in6;
    memcpy(&in6, a, sizeof in6);
    (void)inet_ntop(AF_INET6, &in6.sin6_addr, host, sizeof host);
    ret->loopback = IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr) ||
                    (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr) && in6.sin6_addr.s6_addr[12] == 127);
    (void)snprintf(ret->text, sizeof ret->text, "[%s]:%u", host, (unsigned)ntohs(in6.sin6_port));
}

static void peer_unix(int fd, struct net_peer *ret)
{
    (void)snprintf(ret->text, sizeof ret->text, "unix");
    ret->loopback = true;
#ifdef SO_PEERCRED
    struct ucred c;
    socklen_t n = sizeof c;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c, &n) == 0) {
        ret->uid = c.uid;
        ret->pid = (uint32_t)c.pid;
    }
#else
    uid_t uid;
    gid_t gid;
    if (getpeereid(fd, &uid, &gid) == 0)
        ret->uid = uid;
#ifdef LOCAL_PEERPID
    pid_t pid;
    socklen_t n = sizeof pid;
    if (getsockopt(fd, SOL_LOCAL, LOCAL_PEERPID, &pid, &n) == 0)
        ret->pid = (uint32_t)pid;
#endif
#endif
}

void net_peer(const struct net_stream *stream, struct net_peer *ret)
{
    const struct net_stream *inner = net_tls_inner(stream);
    const struct sock *s = (const struct sock *)(const void *)(inner ? inner : stream);
    struct sockaddr_storage a = {0};
    socklen_t n = sizeof a;
    *ret = (struct net_peer){.text = "?", .uid = UINT32_MAX, .pid = UINT32_MAX};
    ret->id = net_tls_peer(stream, &ret->epoch);
    assert(net_is_sock(&s->base));
    if (s->fd < 0 || getpeername(s->fd, (struct sockaddr *)&a, &n) < 0)
        return;
    if (a.ss_family == AF_UNIX)
        peer_unix(s->fd, ret);
    else
        peer_ip(&a, ret);
}

// ---- accepting

static void listen_retry(struct timer *t)
{
    struct net *n = container_of(t, struct net, retry);
    net_listeners_resume(n);
}

static void listen_pause(struct net_listener *l)
{
    struct net *n = l->net;
    (void)uv_poll_stop(&l->poll);
    l->polling = false;
    n->paused = true;
    n->retry.fn = listen_retry;
    (void)timer_start(&n->loop->timers.base, &n->retry, LISTEN_RETRY_MS); // a close resumes too
}

// A descriptor for a waiting client, -1: none waits (errno), also by giving up the spare one.
static int listen_take(struct net_listener *l, bool *ret_last)
{
    struct net *n = l->net;
    int fd = sys_accept(l->fd);
    if (fd >= 0 || (errno != EMFILE && errno != ENFILE))
        return fd;
    n->st.accept_errors++;
    if (n->spare_fd < 0)
        return -1;
    (void)close(n->spare_fd);
    fd = sys_accept(l->fd);
    int error = errno;
    n->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    *ret_last = true;
    errno = error;
    return fd;
}

static void listen_give(struct net_listener *l, int fd, bool last)
{
    struct net *n = l->net;
    bool over = last || n->st.connections >= n->st.connections_max;
    if (l->args.yields && n->st.connections >= n->st.connections_max / 4 * 3) { // not a handshake
        (void)close(fd);
        n->st.refused_over_limit++;
        return;
    }
    struct sock *s = net_sock_new(n, l->args.queue_bytes_max);
    if (s == NULL || net_sock_open(s, fd) < 0) { // out of memory: the client sees a closed stream
        (void)close(fd);
        n->st.accept_errors++;
        if (s != NULL)
            net_sock_destroy(s);
        return;
    }
    n->st.accepted++;
    if (over) {
        n->st.refused_over_limit++;
        s->flags |= SOCK_OVER_LIMIT;
    }
    if (l->args.tls != NULL)
        net_tls_accept(l->args.tls, &s->base, &l->args, over);
    else
        l->args.on_accept(l->args.user, &s->base, over);
    assert(s->base.handler != NULL);
}

static void listen_event(uv_poll_t *h, int status, int events)
{
    struct net_listener *l = container_of(h, struct net_listener, poll);
    (void)events;
    loop_enter(l->net->loop);
    if (status < 0) { // libuv has stopped the poll
        l->net->st.accept_errors++;
        listen_pause(l);
        return;
    }
    for (int i = 0; i < LISTEN_ACCEPTS_MAX && l->polling; i++) {
        bool last = false;
        int fd = listen_take(l, &last);
        if (fd >= 0) {
            listen_give(l, fd, last);
            continue;
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            return;
        if (errno == ECONNABORTED || errno == EINTR || errno == EPROTO)
            continue;
        if (l->polling) // no descriptor or no memory: level-triggered polling would spin
            listen_pause(l);
        return;
    }
}

void net_listeners_resume(struct net *n)
{
    if (n->spare_fd < 0)
        n->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (!n->paused)
        return;
    n->paused = false;
    timer_stop(&n->loop->timers.base, &n->retry);
    list_each (it, &n->listeners) {
        struct net_listener *l = container_of(it, struct net_listener, link);
        if (l->fd >= 0 && !l->polling)
            l->polling = uv_poll_start(&l->poll, UV_READABLE, listen_event) == 0;
    }
}

// ---- listening

// A socket file without a listener behind it is left over from a crash.
static bool listen_stale(const struct sockaddr_storage *a, socklen_t len)
{
    int fd = sys_socket(AF_UNIX);
    if (fd < 0)
        return false;
    bool stale = connect(fd, (const struct sockaddr *)a, len) < 0 && errno == ECONNREFUSED;
    (void)close(fd);
    return stale;
}

static int listen_bind_unix(struct net_listener *l, const struct sockaddr_storage *a, socklen_t len,
                            struct err *e)
{
    const char *path = l->args.addr.host;
    int rc = bind(l->fd, (const struct sockaddr *)a, len);
    if (rc < 0 && errno == EADDRINUSE && listen_stale(a, len)) {
        (void)unlink(path); // bind says it when this failed
        rc = bind(l->fd, (const struct sockaddr *)a, len);
    }
    if (rc < 0)
        return err_errno(e, errno, "listen on %s", path);
    struct stat st;
    if (chmod(path, l->args.mode ? l->args.mode : 0600) < 0 || stat(path, &st) < 0) {
        rc = err_errno(e, errno, "set the mode of %s", path);
        (void)unlink(path);
        return rc;
    }
    l->dev = st.st_dev;
    l->ino = st.st_ino;
    l->path = mem_str(path);
    return l->path ? 0 : err_set(e, E_NOMEM, "listen on %s", path);
}

static int listen_bind_ip(struct net_listener *l, const struct sockaddr_storage *a, socklen_t len,
                          struct err *e)
{
    int on = 1;
    // Accepted sockets inherit TCP_NODELAY, which saves a call for each.
    (void)setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(l->fd, (const struct sockaddr *)a, len) < 0)
        return err_errno(e, errno, "listen on %s port %u", l->args.addr.host,
                         (unsigned)l->args.addr.port);
    struct sockaddr_storage own = {0};
    socklen_t n = sizeof own;
    if (getsockname(l->fd, (struct sockaddr *)&own, &n) < 0)
        return err_errno(e, errno, "listen on %s", l->args.addr.host);
    uint16_t port; // at the same place for both families
    memcpy(&port, (const char *)&own + offsetof(struct sockaddr_in, sin_port), sizeof port);
    l->port = ntohs(port);
    return 0;
}

static int listen_open(struct net_listener *l, struct err *e)
{
    const struct net_addr *addr = &l->args.addr;
    struct sockaddr_storage a = {0};
    socklen_t len = 0;
    int rc = listen_resolve(addr, &a, &len, e);
    if (rc < 0)
        return rc;
    l->fd = sys_socket(a.ss_family);
    if (l->fd < 0)
        return err_errno(e, errno, "listen on %s", addr->host);
    rc = addr->unix_socket ? listen_bind_unix(l, &a, len, e) : listen_bind_ip(l, &a, len, e);
    if (rc < 0)
        return rc;
    if (listen(l->fd, l->args.backlog ? l->args.backlog : LISTEN_BACKLOG) < 0)
        return err_errno(e, errno, "listen on %s port %u", addr->host, (unsigned)addr->port);
    return 0;
}

static void listen_release(struct net_listener *l)
{
    struct stat st;
    if (l->path != NULL && stat(l->path, &st) == 0 && st.st_dev == l->dev && st.st_ino == l->ino)
        (void)unlink(l->path);
    if (l->fd >= 0)
        (void)close(l->fd);
    l->fd = -1;
    l->polling = false;
}

static void listen_free(struct net_listener *l)
{
    list_del(&l->link);
    if (l->args.tls != NULL)
        net_tls_free(l->args.tls);
    mem_free(l->path);
    mem_free(l);
}

static void listen_closed(uv_handle_t *h)
{
    listen_free(container_of((uv_poll_t *)h, struct net_listener, poll));
}

int net_listen(struct net *n, const struct net_listen_args *args, struct net_listener **ret,
               struct err *e)
{
    assert(args->on_accept != NULL);
    struct net_listener *l = mem_new(struct net_listener);
    if (l == NULL)
        return err_set(e, E_NOMEM, "listen on %s", args->addr.host);
    l->net = n;
    l->fd = -1;
    l->args = *args;
    list_init(&l->link);
    if (l->args.tls != NULL)
        net_tls_ref(l->args.tls);
    int rc = listen_open(l, e);
    if (rc == 0 && uv_poll_init(&n->loop->uv, &l->poll, l->fd) < 0)
        rc = err_set(e, E_INTERNAL, "listen on %s: cannot be polled", args->addr.host);
    if (rc < 0) {
        listen_release(l);
        listen_free(l);
        return rc;
    }
    list_add_tail(&n->listeners, &l->link);
    l->polling = uv_poll_start(&l->poll, UV_READABLE, listen_event) == 0;
    *ret = l;
    return 0;
}

uint16_t net_listener_port(const struct net_listener *l)
{
    return l->port;
}

void net_listener_tls(struct net_listener *l, struct net_tls *tls)
{
    struct net_tls *old = l->args.tls;
    if (tls != NULL)
        net_tls_ref(tls);
    l->args.tls = tls;
    net_tls_free(old);
}

void net_listener_close(struct net_listener *l)
{
    if (l == NULL || l->fd < 0)
        return;
    net_tls_unaccept(l->net, &l->args);
    uv_close((uv_handle_t *)&l->poll, listen_closed);
    listen_release(l);
}

void net_listeners_close(struct net *n)
{
    list_each_safe (it, &n->listeners) {
        net_listener_close(container_of(it, struct net_listener, link));
    }
}
