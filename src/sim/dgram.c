// dgram.c: datagrams: lost, late, twice, or dropped by a full buffer while the process is paused.
// SPDX-License-Identifier: Apache-2.0
#include "sim/sim_priv.h"

#include "base/alloc.h"

#include <arpa/inet.h>
#include <assert.h>
#include <string.h>

#define BUFFER_BYTES (208 * 1024) // Linux: net.core.rmem_default
#define LATE_FACTOR 4             // a late one takes up to so many times as long

struct packet {
    struct list link; // in the socket's buffer
    struct sim_event ev;
    struct sim *w;
    struct sim_host *from, *to;
    char address[48], from_address[48];
    uint16_t port, from_port;
    size_t n;
    char p[];
};
struct dgram {
    struct net *net;
    struct list link, buffer;
    struct dgram_args args;
    size_t buffered;
    uint16_t port;
    struct sim_event input;
};

static void drop(struct dgram *d, struct packet *p)
{
    list_del(&p->link);
    d->buffered -= p->n;
    mem_free(p);
}

// The process takes what is in its buffer.
static void input_due(struct sim_event *ev)
{
    struct dgram *d = container_of(ev, struct dgram, input);
    if (list_empty(&d->buffer))
        return;
    struct packet *p = container_of(d->buffer.next, struct packet, link);
    struct net_addr from = {.port = p->from_port};
    memcpy(from.host, p->from_address, sizeof p->from_address);
    list_del(&p->link);
    d->buffered -= p->n;
    if (!list_empty(&d->buffer))
        sim_event_at(p->w, &d->input, p->w->now);
    d->args.on_data(d->args.user, &from, (struct bytes){p->p, p->n}); // may close d
    mem_free(p);
}

static struct dgram *find(struct sim_host *h, const char *address, uint16_t port)
{
    list_each (it, &h->net.dgrams) {
        struct dgram *d = container_of(it, struct dgram, link);
        const char *bound = d->args.addr.host;
        if (d->port == port && (strcmp(bound, address) == 0 || strcmp(bound, "0.0.0.0") == 0 ||
                                strcmp(bound, "::") == 0))
            return d;
    }
    return NULL;
}

static void arrive(struct sim_event *ev)
{
    struct packet *p = container_of(ev, struct packet, ev);
    struct sim *w = p->w;
    struct dgram *d = NULL;
    w->counts.datagrams++;
    if (p->to->up && !p->to->muted && sim_passes(p->from, p->to))
        d = find(p->to, p->address, p->port);
    if (d == NULL || d->buffered + p->n > BUFFER_BYTES) {
        w->counts.datagrams_lost++;
        mem_free(p);
        return;
    }
    sim_heard(p->from, p->to);
    d->buffered += p->n;
    list_add_tail(&d->buffer, &p->link);
    if (d->input.index == 0)
        sim_event_at(w, &d->input, w->now);
}

int dgram_open(struct net *n, const struct dgram_args *args, struct dgram **ret, struct err *e)
{
    assert(args->on_data != NULL);
    if (n->host->muted)
        return err_set(e, E_IO, "datagrams: the process has ended");
    if (args->addr.port != 0 && find(n->host, args->addr.host, args->addr.port) != NULL)
        return err_set(e, E_INUSE, "datagrams on %s port %u: Address already in use",
                       args->addr.host, (unsigned)args->addr.port);
    struct dgram *d = sim_must(mem_new(struct dgram));
    d->net = n;
    d->args = *args;
    d->port = args->addr.port;
    while (d->port == 0 || (args->addr.port == 0 && find(n->host, args->addr.host, d->port)))
        d->port = ++n->next_port;
    list_init(&d->buffer);
    sim_event_init(&d->input, n->host, SIM_PROCESS, input_due);
    list_add_tail(&n->dgrams, &d->link);
    *ret = d;
    return 0;
}

uint16_t dgram_port(const struct dgram *d)
{
    return d->port;
}

static void post(struct dgram *d, struct sim_host *to, const struct net_addr *addr,
                 struct bytes data)
{
    struct sim_host *from = d->net->host;
    struct sim *w = from->w;
    struct packet *p = sim_must(mem_alloc(sizeof *p + data.n));
    *p = (struct packet){.w = w, .from = from, .to = to, .port = addr->port, .n = data.n};
    (void)snprintf(p->address, sizeof p->address, "%.47s", addr->host);
    (void)snprintf(p->from_address, sizeof p->from_address, "%.47s",
                   to == from ? addr->host : from->address);
    p->from_port = d->port;
    memcpy(p->p, data.p, data.n);
    sim_event_init(&p->ev, to, SIM_KERNEL, arrive);
    uint64_t delay = sim_delay(from, to);
    if (sim_chance(w, sim_link_of(from, to)->late_ppm))
        delay += rng_below(&w->chance, delay * LATE_FACTOR + 1);
    sim_event_at(w, &p->ev, w->now + delay);
}

int dgram_send(struct dgram *d, const struct net_addr *to, struct bytes data)
{
    struct sim_host *from = d->net->host;
    unsigned char ip[16];
    if (data.n > DGRAM_BYTES_MAX)
        return E_TOOBIG;
    if (to->unix_socket ||
        (inet_pton(AF_INET, to->host, ip) != 1 && inet_pton(AF_INET6, to->host, ip) != 1))
        return E_INVALID;
    if (from->muted)
        return E_IO;
    struct sim_host *host =
        strncmp(to->host, "127.", 4) == 0 ? from : sim_host_at(from->w, to->host);
    if (host == NULL)
        return 0; // nobody says that it came nowhere
    post(d, host, to, data);
    if (sim_chance(from->w, sim_link_of(from, host)->dup_ppm))
        post(d, host, to, data);
    return 0;
}

void dgram_close(struct dgram *d)
{
    if (d == NULL)
        return;
    list_del(&d->link);
    sim_event_stop(d->net->host->w, &d->input);
    list_each_safe (it, &d->buffer)
        drop(d, container_of(it, struct packet, link));
    mem_free(d);
}

// Packets that are under way when the world ends.
void sim_dgram_forget(struct sim_event *ev)
{
    if (ev->fn == arrive)
        mem_free(container_of(ev, struct packet, ev));
}
