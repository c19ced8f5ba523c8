// links_beat.c: heartbeats: datagrams under the key that the receiver gave, and TCP where these do
// not get through.
// SPDX-License-Identifier: Apache-2.0
#include "base/map.h"
#include "links/links_priv.h"
#include <string.h>

#define ID_LEN 8

static uint64_t now_us(const struct links *l)
{
    return timers_now_ns(l->args.timers) / 1000;
}

int link_beat_put(struct link *x, struct buf *out)
{
    struct mesh_beat b;
    mesh_beat_for(x->all->args.mesh, x->mesh, now_us(x->all), &b);
    return mesh_beat_put(out, &b);
}

static void send_datagram(struct link *x)
{
    struct links *l = x->all;
    struct buf *b = &l->scratch;
    uint8_t mac[LINKS_MAC_LEN];
    buf_clear(b);
    (void)buf_add(b, &x->out_id, ID_LEN);
    if (link_beat_put(x, b) < 0)
        return;
    crypto_sip128(&x->out_key, buf_bytes(b), mac);
    (void)buf_add(b, mac, sizeof(mac));
    // What the kernel does not take is lost as any datagram may be.
    (void)dgram_send(l->udp, &x->udp, buf_bytes(b));
}

static void on_tcp_beat(struct links_call *c, int status, const struct err *e)
{
    struct links *l = c->all;
    struct link *x = links_link(l, bytes_of(c->peer));
    if (!x)
        return;
    x->beat_busy = false;
    if (status == 0)
        (void)links_beat_take(l, x, buf_bytes(&c->answer), NULL);
    else if (status == E_REFUSED || status == E_CLOSED || status == E_SECURITY)
        mesh_unreachable(l->args.mesh, x->mesh, links_now(l));
    (void)e;
    links_run(l);
}

static void send_tcp(struct link *x, int64_t now)
{
    struct buf body;
    buf_init(&body, MESH_BEAT_BYTES_MAX);
    if (x->beat_busy || now - x->tcp_ms < LINKS_TCP_BEAT_MS)
        return;
    if (link_beat_put(x, &body) == 0 &&
        links_call(x, "POST", "/mesh/v1/beat", &body, on_tcp_beat, NULL)) {
        x->beat_busy = true;
        x->tcp_ms = now;
    }
    buf_fini(&body);
}

void link_beat(struct link *x)
{
    struct links *l = x->all;
    int64_t now = links_now(l);
    if (l->closed || l->expired)
        return;
    if (!x->has_out || !x->has_in) {
        link_hello(x);
        return;
    }
    if (link_is_silent(x))
        link_hello(x);
    if (x->udp_known)
        send_datagram(x);
    if (!x->udp_known || now - x->echoed_ms > LINKS_ECHO_MS)
        send_tcp(x, now);
}

// A beat from a node whose identity is sure.
static int take(struct links *l, struct link *x, const struct mesh_beat *b)
{
    if (b->boot != x->in_boot) {
        x->in_boot = b->boot;
        x->in_seq = 0;
    }
    if (b->seq <= x->in_seq)
        return 0; // late, or said before
    x->in_seq = b->seq;
    x->heard_ms = links_now(l);
    if (b->echo_us > x->echo_us) {
        x->echo_us = b->echo_us;
        x->echoed_ms = links_now(l);
    }
    mesh_heard(l->args.mesh, bytes_of(x->name), b, links_now(l), now_us(l));
    return 1;
}

int links_beat_take(struct links *l, struct link *x, struct bytes beat, struct err *e)
{
    struct mesh_beat b;
    int status = mesh_beat_parse(&b, beat, e);
    return status < 0 ? status : take(l, x, &b);
}

void links_datagram(void *user, const struct net_addr *from, struct bytes data)
{
    struct links *l = user;
    struct mesh_beat b;
    uint8_t mac[LINKS_MAC_LEN];
    if (l->closed || data.n <= ID_LEN + LINKS_MAC_LEN)
        return;
    struct link *x = map_get(l->by_id, bytes_first(data, ID_LEN));
    struct bytes said = bytes_first(data, data.n - LINKS_MAC_LEN);
    if (!x || !x->has_in)
        return; // of an earlier life of ours, or noise
    crypto_sip128(&x->in_key, said, mac);
    struct bytes want = {(const char *)mac, LINKS_MAC_LEN};
    if (!bytes_eq_const_time(bytes_from(data, said.n), want))
        return;
    x->datagram_ms = links_now(l);
    if (mesh_beat_parse(&b, bytes_from(said, ID_LEN), NULL) < 0 || take(l, x, &b) == 0)
        return;
    x->udp = *from; // where it is heard from is where it is reached, also behind a translation
    x->udp_known = true;
    links_run(l);
}

bool links_by_tcp(const struct links *l, const struct mesh_node *n)
{
    const struct link *x = mesh_user(n);
    return x && links_now(l) - x->datagram_ms > LINKS_NO_UDP_MS;
}
