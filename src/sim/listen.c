// listen.c: listeners of a simulated host, and what a kernel says for them.
// SPDX-License-Identifier: Apache-2.0
#include "sim/sim_priv.h"

#include "base/alloc.h"

#include <assert.h>
#include <string.h>

enum {
    BACKLOG = 511,
    RETRY_MS = 100, // as loop/net_listen.c
    FIRST_PORT = 20000,
    CONNECTIONS_MAX = 20000,
    RESERVE = 128,
    LINGER_MS = 5000,
};

static bool any(const char *address)
{
    return strcmp(address, "0.0.0.0") == 0 || strcmp(address, "::") == 0;
}

struct net_listener *sim_listener_find(struct sim_host *h, const char *address, uint16_t port)
{
    if (!h->up || h->muted)
        return NULL;
    list_each (it, &h->net.listeners) {
        struct net_listener *l = container_of(it, struct net_listener, link);
        if (l->port == port && (strcmp(l->args.addr.host, address) == 0 || any(l->args.addr.host)))
            return l;
    }
    return NULL;
}

bool sim_listener_room(const struct net_listener *l)
{
    return l->waiting <= (unsigned)(l->args.backlog ? l->args.backlog : BACKLOG);
}

static void wake(struct net_listener *l)
{
    struct sim *w = l->net->host->w;
    if (l->accept.index == 0 && !list_empty(&l->backlog) && !l->net->paused)
        sim_event_at(w, &l->accept, w->now);
}

void sim_listener_ready(struct sim_conn *c)
{
    list_add_tail(&c->listener->backlog, &c->backlog);
    wake(c->listener);
}

static void resume(struct timer *t)
{
    struct net *n = container_of(t, struct net, retry);
    n->paused = false;
    list_each (it, &n->listeners)
        wake(container_of(it, struct net_listener, link));
}

static void accept_due(struct sim_event *ev)
{
    struct net_listener *l = container_of(ev, struct net_listener, accept);
    struct net *n = l->net;
    if (list_empty(&l->backlog))
        return;
    if (n->st.connections >= n->st.connections_max + n->reserve) { // no descriptor is left
        n->st.accept_errors++;
        n->paused = true;
        (void)timer_start(&n->host->timers.base, &n->retry, RETRY_MS);
        return;
    }
    struct sim_conn *c = container_of(l->backlog.next, struct sim_conn, backlog);
    l->waiting--;
    c->listener = NULL;
    list_del(&c->backlog);
    wake(l);
    sim_sock_accept(l, c); // may close the listener
}

static bool in_use(struct net *n, const struct net_addr *a, uint16_t port)
{
    list_each (it, &n->listeners) {
        const struct net_listener *l = container_of(it, struct net_listener, link);
        if (l->port == port && l->args.addr.unix_socket == a->unix_socket &&
            (strcmp(l->args.addr.host, a->host) == 0 ||
             (!a->unix_socket && (any(l->args.addr.host) || any(a->host)))))
            return true;
    }
    return false;
}

static int check_address(struct net *n, const struct net_addr *a, struct err *e)
{
    if (n->host->muted)
        return err_set(e, E_IO, "listen on %s: the process has ended", a->host);
    if (!a->unix_socket && !any(a->host) && strncmp(a->host, "127.", 4) != 0 &&
        strcmp(a->host, "localhost") != 0 && strcmp(a->host, n->host->address) != 0)
        return err_set(e, E_INVALID, "listen on %s: not an address of this host", a->host);
    if (in_use(n, a, a->port))
        return err_set(e, E_INUSE, "listen on %s port %u: Address already in use", a->host,
                       (unsigned)a->port);
    return 0;
}

int net_listen(struct net *n, const struct net_listen_args *args, struct net_listener **ret,
               struct err *e)
{
    assert(args->on_accept != NULL);
    int rc = check_address(n, &args->addr, e);
    if (rc < 0)
        return rc;
    struct net_listener *l = sim_must(mem_new(struct net_listener));
    l->net = n;
    l->args = *args;
    if (strcmp(args->addr.host, "localhost") == 0)
        memcpy(l->args.addr.host, "127.0.0.1", 10);
    l->port = args->addr.port;
    while (!args->addr.unix_socket && (l->port == 0 || in_use(n, &l->args.addr, l->port)))
        l->port = ++n->next_port;
    list_init(&l->backlog);
    sim_event_init(&l->accept, n->host, SIM_PROCESS, accept_due);
    if (args->tls != NULL)
        sim_tls_ref(args->tls);
    list_add_tail(&n->listeners, &l->link);
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
        sim_tls_ref(tls);
    l->args.tls = tls;
    net_tls_free(old);
}

void sim_listener_refuse(struct net_listener *l)
{
    struct sim *w = l->net->host->w;
    sim_event_stop(w, &l->accept);
    list_each_safe (it, &w->conns) { // in the backlog, or still shaking hands
        struct sim_conn *c = container_of(it, struct sim_conn, link);
        if (c->listener == l)
            sim_conn_refuse(c);
    }
}

void net_listener_close(struct net_listener *l)
{
    if (l == NULL)
        return;
    list_del(&l->link);
    sim_tls_unaccept(l->net, &l->args);
    sim_listener_refuse(l);
    net_tls_free(l->args.tls);
    mem_free(l);
}

void sim_net_init(struct sim_host *h)
{
    struct net *n = &h->net;
    n->host = h;
    n->next_port = FIRST_PORT;
    n->reserve = RESERVE;
    n->linger_ms = LINGER_MS;
    n->st.connections_max = CONNECTIONS_MAX;
    n->retry.fn = resume;
    list_init(&n->socks);
    list_init(&n->listeners);
    list_init(&n->dgrams);
    list_init(&n->tls_streams);
}

void sim_files_max(struct sim_host *h, uint64_t connections, uint64_t reserve)
{
    h->net.st.connections_max = connections;
    h->net.reserve = reserve;
}

void sim_linger(struct sim_host *h, int64_t ms)
{
    h->net.linger_ms = ms;
}
