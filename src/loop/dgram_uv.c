// dgram_uv.c: UDP datagrams over uv_udp_t.
// SPDX-License-Identifier: Apache-2.0
//
// Nothing is queued here: a datagram is with the kernel or was refused. What comes is read into the
// loop's shared buffer. A socket bound to an IPv6 wildcard also serves IPv4 where the kernel lets
// it: its mapped addresses are told and taken as the plain ones.
#include "loop/loop_priv.h"

#include "base/alloc.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

struct dgram {
    struct net *net;
    struct list link;
    uv_udp_t uv;
    sa_family_t family;
    uint16_t port;
    bool closing;
    struct dgram_args args;
};

// ---- addresses

static bool dgram_mapped(const struct in6_addr *a)
{
    return IN6_IS_ADDR_V4MAPPED(a);
}

static bool dgram_from(const struct sockaddr *a, struct net_addr *ret)
{
    struct sockaddr_in6 in6;
    struct sockaddr_in in;
    if (a->sa_family == AF_INET) {
        memcpy(&in, a, sizeof in);
        ret->port = ntohs(in.sin_port);
        return inet_ntop(AF_INET, &in.sin_addr, ret->host, sizeof ret->host) != NULL;
    }
    if (a->sa_family != AF_INET6)
        return false;
    memcpy(&in6, a, sizeof in6);
    ret->port = ntohs(in6.sin6_port);
    if (dgram_mapped(&in6.sin6_addr))
        return inet_ntop(AF_INET, &in6.sin6_addr.s6_addr[12], ret->host, sizeof ret->host) != NULL;
    if (inet_ntop(AF_INET6, &in6.sin6_addr, ret->host, sizeof ret->host) == NULL)
        return false;
    size_t n = strlen(ret->host);
    char zone[UV_IF_NAMESIZE];
    size_t zone_n = sizeof zone; // a link's own address is of no use without it
    if (in6.sin6_scope_id != 0 && uv_if_indextoname(in6.sin6_scope_id, zone, &zone_n) == 0)
        (void)snprintf(ret->host + n, sizeof ret->host - n, "%%%s", zone);
    return true;
}

static int dgram_to(const struct dgram *d, const struct net_addr *to, struct sockaddr_storage *ret)
{
    socklen_t n;
    if (to->unix_socket || to->port == 0 || net_parse_ip(to, ret, &n) < 0)
        return E_INVALID;
    if (ret->ss_family == d->family)
        return 0;
    if (d->family != AF_INET6)
        return E_INVALID;
    struct sockaddr_in in;
    memcpy(&in, ret, sizeof in);
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = in.sin_port};
    in6.sin6_addr.s6_addr[10] = in6.sin6_addr.s6_addr[11] = 0xff;
    memcpy(&in6.sin6_addr.s6_addr[12], &in.sin_addr, sizeof in.sin_addr);
    memset(ret, 0, sizeof *ret);
    memcpy(ret, &in6, sizeof in6);
    return 0;
}

// ---- input

static void dgram_buffer(uv_handle_t *h, size_t hint, uv_buf_t *ret)
{
    struct dgram *d = container_of((uv_udp_t *)h, struct dgram, uv);
    (void)hint;
    // One byte more than may come: what is too large shows.
    *ret = uv_buf_init(d->net->loop->read_buf, DGRAM_BYTES_MAX + 1);
}

static void dgram_event(uv_udp_t *h, ssize_t n, const uv_buf_t *buf, const struct sockaddr *a,
                        unsigned flags)
{
    struct dgram *d = container_of(h, struct dgram, uv);
    struct net_addr from = {.port = 0};
    loop_enter(d->net->loop);
    // n < 0: an error of an earlier datagram (a host out of reach): not of this one's concern.
    if (d->closing || a == NULL || n < 0 || n > DGRAM_BYTES_MAX || (flags & UV_UDP_PARTIAL) ||
        !dgram_from(a, &from))
        return;
    d->net->st.bytes_in += (uint64_t)n;
    d->args.on_data(d->args.user, &from, (struct bytes){buf->base, (size_t)n});
}

// ---- open, send, close

static int dgram_status(int uv)
{
    switch (uv) {
    case UV_EAGAIN:
    case UV_ENOBUFS: return E_FULL;
    case UV_EMSGSIZE: return E_TOOBIG;
    case UV_EINVAL:
    case UV_EAFNOSUPPORT: return E_INVALID;
    case UV_ENOMEM: return E_NOMEM;
    default: return E_IO;
    }
}

static void dgram_closed(uv_handle_t *h)
{
    struct dgram *d = container_of((uv_udp_t *)h, struct dgram, uv);
    list_del(&d->link);
    mem_free(d);
}

static int dgram_bind(struct dgram *d, const struct sockaddr_storage *a, struct err *e)
{
    const struct net_addr *addr = &d->args.addr;
    struct sockaddr_storage own = {0};
    int n = sizeof own;
    int rc = uv_udp_bind(&d->uv, (const struct sockaddr *)a, 0);
    if (rc == 0)
        rc = uv_udp_getsockname(&d->uv, (struct sockaddr *)&own, &n);
    if (rc == 0)
        rc = uv_udp_recv_start(&d->uv, dgram_buffer, dgram_event);
    if (rc < 0)
        return err_errno(e, -rc, "datagrams on %s port %u", addr->host, (unsigned)addr->port);
    uint16_t port; // at the same place for both families
    memcpy(&port, (const char *)&own + offsetof(struct sockaddr_in, sin_port), sizeof port);
    d->port = ntohs(port);
    return 0;
}

int dgram_open(struct net *n, const struct dgram_args *args, struct dgram **ret, struct err *e)
{
    struct sockaddr_storage a;
    socklen_t len;
    assert(args->on_data != NULL);
    if (args->addr.unix_socket || net_parse_ip(&args->addr, &a, &len) < 0)
        return err_set(e, E_INVALID, "datagrams: \"%s\" is not a numeric address", args->addr.host);
    struct dgram *d = mem_new(struct dgram);
    if (d == NULL)
        return err_set(e, E_NOMEM, "datagrams: out of memory");
    d->net = n;
    d->family = a.ss_family;
    d->args = *args;
    int rc = uv_udp_init(&n->loop->uv, &d->uv);
    if (rc < 0) {
        mem_free(d);
        return err_errno(e, -rc, "datagrams on %s", args->addr.host);
    }
    list_add_tail(&n->dgrams, &d->link);
    rc = dgram_bind(d, &a, e);
    if (rc < 0) {
        dgram_close(d);
        return rc;
    }
    *ret = d;
    return 0;
}

uint16_t dgram_port(const struct dgram *d)
{
    return d->port;
}

int dgram_send(struct dgram *d, const struct net_addr *to, struct bytes data)
{
    struct sockaddr_storage a;
    assert(!d->closing);
    if (data.n > DGRAM_BYTES_MAX)
        return E_TOOBIG;
    int rc = dgram_to(d, to, &a);
    if (rc < 0)
        return rc;
    uv_buf_t buf = uv_buf_init((char *)(uintptr_t)data.p, (unsigned)data.n);
    rc = uv_udp_try_send(&d->uv, &buf, 1, (const struct sockaddr *)&a);
    if (rc < 0)
        return dgram_status(rc);
    d->net->st.bytes_out += data.n;
    return 0;
}

void dgram_close(struct dgram *d)
{
    if (d == NULL || d->closing)
        return;
    d->closing = true;
    uv_close((uv_handle_t *)&d->uv, dgram_closed);
}

void dgram_stop(struct net *n)
{
    list_each_safe (it, &n->dgrams) {
        dgram_close(container_of(it, struct dgram, link));
    }
}
