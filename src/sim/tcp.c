// tcp.c: connections as the kernels of both sides see them: handshake, segments in order, windows,
// retransmission, FIN and RST.
// SPDX-License-Identifier: Apache-2.0
//
// No bandwidth: a segment takes its link's delay. A lost one is tried again after a timeout (RFC
// 6298: 200 ms as in Linux, doubled each time) and holds back all behind it. An acknowledgement is
// not simulated as such; what an application sees of it, the window that opens again, is. A RST
// may be lost: then the next segment that meets nobody makes another one.
#include "sim/sim_priv.h"

#include "base/alloc.h"

#include <assert.h>
#include <string.h>

enum {
    SYN_RETRY_MS = 1000, // RFC 6298, 2.1
    RTO_MS = 200,        // Linux: TCP_RTO_MIN
    RTO_MAX_MS = 60000,
    TRIES_MAX = 15, // Linux: tcp_retries2
    WINDOW_MIN = 16 << 10,
    WINDOW_MAX = 256 << 10,
};
enum stage { SYN, SYN_ACK, ACK, REFUSED, DONE };

static void conn_shake(struct sim_event *ev);
static void end_arrive(struct sim_event *ev);
static void end_announced(struct sim_event *ev);
static void end_reset(struct sim_event *ev);

static uint64_t backoff(uint64_t ms, unsigned tries)
{
    uint64_t wait = tries > 12 ? RTO_MAX_MS : ms << tries;
    return (wait > RTO_MAX_MS ? RTO_MAX_MS : wait) * SIM_MS;
}

// ---- making and freeing

static void end_init(struct sim_end *e, struct sim_conn *c, struct sim_host *h)
{
    e->conn = c;
    e->host = h;
    list_init(&e->flight);
    buf_init(&e->in, SIM_BUF_MAX);
    e->window = c->w->args.window_bytes;
    if (e->window == 0)
        e->window = WINDOW_MIN + rng_below(&c->w->chance, WINDOW_MAX - WINDOW_MIN);
    sim_event_init(&e->arrive, h, SIM_KERNEL, end_arrive);
    sim_event_init(&e->announce, h, SIM_KERNEL, end_announced);
    sim_event_init(&e->reset_in, h, SIM_KERNEL, end_reset);
}

static void flight_drop(struct sim_end *e)
{
    list_each_safe (it, &e->flight) {
        list_del(it);
        mem_free(container_of(it, struct sim_seg, link));
    }
    sim_event_stop(e->conn->w, &e->arrive);
}

static void listener_leave(struct sim_conn *c)
{
    if (c->listener == NULL)
        return;
    c->listener->waiting--;
    c->listener = NULL;
    list_del(&c->backlog);
}

// Nobody can see it any more.
static void conn_check(struct sim_conn *c)
{
    for (int i = 0; i < 2; i++)
        if (!c->end[i].closed && !c->end[i].vanished)
            return;
    for (int i = 0; i < 2; i++) {
        struct sim_end *e = &c->end[i];
        assert(e->stream == NULL);
        flight_drop(e);
        sim_event_stop(c->w, &e->announce);
        sim_event_stop(c->w, &e->reset_in);
        buf_fini(&e->in);
    }
    listener_leave(c);
    sim_event_stop(c->w, &c->shake);
    list_del(&c->link);
    mem_free(c);
}

struct sim_conn *sim_conn_new(struct sock *from, const char *to, uint16_t port, bool unix_socket)
{
    struct sim_host *h = from->net->host;
    struct sim *w = h->w;
    struct sim_conn *c = sim_must(mem_new(struct sim_conn));
    c->w = w;
    c->local = unix_socket || strncmp(to, "127.", 4) == 0;
    struct sim_host *other = c->local ? h : sim_host_at(w, to);
    (void)snprintf(c->to, sizeof c->to, "%s", to);
    c->port = port;
    list_init(&c->backlog);
    list_add_tail(&w->conns, &c->link);
    end_init(&c->end[0], c, h);
    end_init(&c->end[1], c, other);
    c->end[1].closed = true; // until somebody takes it
    c->end[0].stream = from;
    (void)snprintf(c->end[0].address, sizeof c->end[0].address, "%s",
                   c->local ? "127.0.0.1" : h->address);
    c->end[0].port = unix_socket ? 0 : ++h->net.next_port;
    sim_event_init(&c->shake, other, SIM_KERNEL, conn_shake);
    w->counts.connections++;
    if (other != NULL) // an address that nobody has answers nothing
        sim_event_at(w, &c->shake, w->now + sim_delay(h, other));
    return c;
}

// ---- the handshake

static void shake_send(struct sim_conn *c, enum stage stage, struct sim_host *from,
                       struct sim_host *to)
{
    c->stage = stage;
    c->shake.host = to;
    sim_event_at(c->w, &c->shake, c->w->now + sim_delay(from, to));
}

static void shake_again(struct sim_conn *c, enum stage stage, struct sim_host *to, uint64_t ms)
{
    c->stage = stage;
    c->shake.host = to;
    sim_event_at(c->w, &c->shake, c->w->now + backoff(ms, c->tries++));
}

static void shake_syn(struct sim_conn *c, struct sim_host *client, struct sim_host *server)
{
    if (!sim_passes(client, server)) {
        shake_again(c, SYN, server, SYN_RETRY_MS);
        return;
    }
    struct net_listener *l = sim_listener_find(server, c->to, c->port);
    if (l == NULL) {
        shake_send(c, REFUSED, server, client);
        return;
    }
    if (!sim_listener_room(l)) {
        shake_again(c, SYN, server, SYN_RETRY_MS);
        return;
    }
    c->listener = l;
    l->waiting++;
    c->end[1].closed = false;
    c->tries = 0;
    shake_send(c, SYN_ACK, server, client);
}

static void shake_syn_ack(struct sim_conn *c, struct sim_host *client, struct sim_host *server)
{
    struct sim_end *end = &c->end[0];
    if (c->end[1].vanished || !sim_passes(server, client)) {
        // The server's side is gone: its kernel answers the next try with a RST.
        if (c->end[1].vanished) {
            c->end[1].vanished = false;
            c->end[1].closed = true;
        }
        shake_again(c, c->end[1].closed ? SYN : SYN_ACK, c->end[1].closed ? server : client,
                    SYN_RETRY_MS);
        return;
    }
    end->open = true;
    c->tries = 0;
    shake_send(c, ACK, client, server);
    end->last_at = c->shake.at; // data does not overtake it
    sim_sock_opened(end->stream, 0);
}

static void conn_shake(struct sim_event *ev)
{
    struct sim_conn *c = container_of(ev, struct sim_conn, shake);
    struct sim_host *client = c->end[0].host, *server = c->end[1].host;
    if (c->end[0].stream == NULL && !c->end[0].open) { // who dialed lost its power meanwhile
        c->end[1].closed = true;
        conn_check(c);
        return;
    }
    switch ((enum stage)c->stage) {
    case SYN: shake_syn(c, client, server); return;
    case REFUSED:
        if (sim_passes(server, client))
            sim_sock_opened(c->end[0].stream, E_REFUSED);
        else
            shake_again(c, SYN, server, SYN_RETRY_MS);
        return;
    case SYN_ACK: shake_syn_ack(c, client, server); return;
    case ACK:
        if (c->end[1].vanished)
            return;
        if (!sim_passes(client, server)) { // the SYN-ACK is sent once more, and answered
            shake_again(c, ACK, server, SYN_RETRY_MS);
            c->end[0].last_at = ev->at;
            return;
        }
        c->stage = DONE;
        c->end[1].open = true;
        if (c->listener != NULL)
            sim_listener_ready(c);
        return;
    case DONE: return;
    }
}

// ---- RST

// This side's kernel says that there is no such connection.
static void reset_send(struct sim_end *e)
{
    struct sim_end *to = sim_peer(e);
    if (to->closed || to->vanished || to->reset_in.index != 0)
        return;
    to->conn->w->counts.resets++;
    sim_event_at(to->conn->w, &to->reset_in, to->conn->w->now + sim_delay(e->host, to->host));
}

static void end_lost(struct sim_end *e)
{
    e->error = E_CLOSED;
    flight_drop(e);
    if (e->stream != NULL)
        sim_sock_wake(e->stream);
}

static void end_reset(struct sim_event *ev)
{
    struct sim_end *e = container_of(ev, struct sim_end, reset_in);
    if (!sim_passes(sim_peer(e)->host, e->host) || e->closed || e->vanished)
        return;
    if (rng_below(&e->conn->w->chance, 2) == 0) // what was not read yet may be lost with it
        e->in_at = e->in.n;
    end_lost(e);
}

// ---- segments

size_t sim_end_send(struct sim_end *e, const struct bytes *v, int count, size_t skip)
{
    struct sim *w = e->conn->w;
    size_t total = 0;
    for (int i = 0; i < count; i++)
        total += v[i].n;
    total -= skip;
    size_t room = e->window > e->unacked ? e->window - e->unacked : 0;
    size_t n = total < room ? total : room;
    if (n == 0)
        return 0;
    struct sim_seg *seg = sim_must(mem_alloc(sizeof *seg + n));
    *seg = (struct sim_seg){.n = 0};
    for (int i = 0; i < count && seg->n < n; i++) {
        struct bytes part = bytes_from(v[i], skip);
        skip -= v[i].n - part.n;
        part = bytes_first(part, n - seg->n);
        if (part.n > 0)
            memcpy(seg->p + seg->n, part.p, part.n);
        seg->n += part.n;
    }
    e->unacked += n;
    w->counts.bytes += n;
    seg->at = w->now + sim_delay(e->host, sim_peer(e)->host);
    if (seg->at < e->last_at)
        seg->at = e->last_at;
    e->last_at = seg->at;
    bool first = list_empty(&e->flight);
    list_add_tail(&e->flight, &seg->link);
    if (first) {
        e->arrive.host = sim_peer(e)->host;
        sim_event_at(w, &e->arrive, seg->at);
    }
    return n;
}

void sim_end_fin(struct sim_end *e)
{
    struct sim *w = e->conn->w;
    if (e->fin_sent || e->error != 0)
        return;
    e->fin_sent = true;
    struct sim_seg *seg = sim_must(mem_zalloc(sizeof *seg));
    seg->fin = true;
    seg->at = w->now + sim_delay(e->host, sim_peer(e)->host);
    if (seg->at < e->last_at)
        seg->at = e->last_at;
    e->last_at = seg->at;
    bool first = list_empty(&e->flight);
    list_add_tail(&e->flight, &seg->link);
    if (first) {
        e->arrive.host = sim_peer(e)->host;
        sim_event_at(w, &e->arrive, seg->at);
    }
}

// false: it must be sent again.
static bool seg_arrives(struct sim_end *e, struct sim_seg *seg)
{
    struct sim_end *to = sim_peer(e);
    struct sim *w = e->conn->w;
    w->counts.segments++;
    if (sim_passes(e->host, to->host))
        return true;
    w->counts.segments_lost++;
    if (++seg->tries > TRIES_MAX) {
        end_lost(e);
        return false;
    }
    bool fast = seg->tries == 1 && e->flight.next->next != e->flight.prev; // others tell of it
    uint64_t wait =
        fast ? 2 * sim_delay(e->host, to->host) + SIM_MS : backoff(RTO_MS, seg->tries - 1);
    seg->at = w->now + wait;
    sim_event_at(w, &e->arrive, seg->at);
    return false;
}

static void end_arrive(struct sim_event *ev)
{
    struct sim_end *e = container_of(ev, struct sim_end, arrive), *to = sim_peer(e);
    struct sim *w = e->conn->w;
    bool news = false;
    while (!list_empty(&e->flight)) {
        struct sim_seg *seg = container_of(e->flight.next, struct sim_seg, link);
        if (seg->at > w->now) {
            sim_event_at(w, &e->arrive, seg->at);
            break;
        }
        if (!seg_arrives(e, seg))
            break;
        if (to->vanished || (to->closed && !seg->fin)) {
            flight_drop(e);
            reset_send(to);
            break;
        }
        if (seg->fin)
            to->fin_in = true;
        else if (!to->closed)
            sim_must(buf_add(&to->in, seg->p, seg->n) == 0 ? to : NULL);
        news = true;
        list_del(&seg->link);
        mem_free(seg);
    }
    if (news && to->stream != NULL)
        sim_sock_wake(to->stream);
}

// ---- the window

static void announce(struct sim_end *e)
{
    struct sim_end *sender = sim_peer(e);
    if (e->announcing != 0 || e->consumed < sender->window / 4)
        return;
    e->announcing = e->consumed;
    e->consumed = 0;
    e->announce.host = sender->host;
    sim_event_at(e->conn->w, &e->announce, e->conn->w->now + sim_delay(e->host, sender->host));
}

static void end_announced(struct sim_event *ev)
{
    struct sim_end *e = container_of(ev, struct sim_end, announce), *sender = sim_peer(e);
    struct sim *w = e->conn->w;
    if (!sim_passes(e->host, sender->host)) { // the sender probes (RFC 9293, 3.8.6.1)
        sim_event_at(w, &e->announce, w->now + RTO_MS * SIM_MS);
        return;
    }
    assert(sender->unacked >= e->announcing);
    sender->unacked -= e->announcing;
    e->announcing = 0;
    announce(e);
    if (sender->stream != NULL)
        sim_sock_wake(sender->stream);
}

void sim_end_took(struct sim_end *e, size_t n)
{
    e->in_at += n;
    e->consumed += n;
    if (e->in_at == e->in.n) {
        buf_clear(&e->in);
        e->in_at = 0;
    } else if (e->in_at > (64u << 10)) {
        buf_drop(&e->in, e->in_at);
        e->in_at = 0;
    }
    announce(e);
}

// ---- the end

static void end_vanish(struct sim_end *e)
{
    e->vanished = true;
    e->stream = NULL;
    flight_drop(e);
    sim_event_stop(e->conn->w, &e->announce);
    sim_event_stop(e->conn->w, &e->reset_in);
}

void sim_end_close(struct sim_end *e, bool abort)
{
    struct sim_conn *c = e->conn;
    e->stream = NULL;
    e->closed = true;
    if (!e->open) { // still dialing
        if (e == &c->end[0]) {
            end_vanish(e);
            c->end[1].closed = true;
        }
    } else if (abort || sim_end_readable(e) > 0) {
        reset_send(e);
        end_vanish(e);
    } else {
        sim_end_fin(e);
    }
    conn_check(c);
}

void sim_conn_refuse(struct sim_conn *c)
{
    struct sim_end *e = &c->end[1];
    listener_leave(c);
    if (e->open || c->stage == ACK)
        reset_send(e);
    end_vanish(e);
    conn_check(c);
}

void sim_conns_power(struct sim_host *h)
{
    list_each_safe (it, &h->w->conns) {
        struct sim_conn *c = container_of(it, struct sim_conn, link);
        for (int i = 0; i < 2; i++) {
            if (c->end[i].host != h || c->end[i].vanished || (i == 1 && c->end[1].closed))
                continue;
            if (i == 1)
                listener_leave(c);
            if (c->end[i].stream != NULL)
                c->end[i].stream->end = NULL;
            end_vanish(&c->end[i]);
        }
        conn_check(c);
    }
}
