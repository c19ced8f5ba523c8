// links_priv.h: what the files of this room share.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_LINKS_PRIV_H
#define PLEXUS_LINKS_PRIV_H

#include "base/list.h"
#include "crypto/hash.h"
#include "links/links.h"

#define LINKS_ANSWER_MAX ((size_t)8 << 20) // sheets of a whole mesh
#define LINKS_CONTROL_MS 3000  // an answer between nodes that is not a model's
#define LINKS_CONNECT_MS 3000
// Kept connections to one peer, as many as it had requests at once in the last minute: a new one
// costs both sides a millisecond of CPU (OpenSSL 3.0), fifty times what a request costs.
#define LINKS_IDLE_MAX 1024
#define LINKS_DIALS_MAX 16 // handshakes with one peer at once: its beats shall not wait for them
#define LINKS_HELLO_MS 100     // first pause after a hello that failed, doubled ...
#define LINKS_HELLO_MAX_MS 2000 // ... up to this
#define LINKS_ECHO_MS 250      // so long without an echo: datagrams do not get through
#define LINKS_TCP_BEAT_MS 100  // then beats go by TCP at this pace
#define LINKS_NO_UDP_MS 3000   // so long without a datagram: a firewall, not loss
#define LINKS_RENEW_MS 1000    // first pause after a renewal that failed ...
#define LINKS_RENEW_MAX_MS 10000 // ... up to this while the certificate is good
#define LINKS_DOUBT_MS 10000 // between two such renewals
#define LINKS_GONE_MS 5000 // a node that said goodbye and is not heard for so long has ended
#define LINKS_KEY_LEN 16
#define LINKS_MAC_LEN CRYPTO_SIP_LEN

struct link { // to one peer
    struct links *all;
    struct list node; // links->links
    struct mesh_node *mesh;
    char name[MESH_NAME_MAX + 1];
    struct http_pool *pool;
    struct net_addr addr; // of the pool
    size_t address_at;    // which of its addresses
    uint64_t life;        // its boot, as its last hello said; 0: none yet
    int64_t heard_ms;     // its last beat or hello
    // Datagrams: what we send by, what we take.
    bool has_out, has_in;
    uint64_t out_id, in_id, in_seq, in_boot;
    struct crypto_sip_key out_key, in_key;
    struct net_addr udp;
    bool udp_known;
    uint64_t echo_us;   // the newest of our sent_us that came back
    int64_t echoed_ms, tcp_ms;
    int64_t datagram_ms; // the last one that came from it
    bool hello_busy, beat_busy, offer_busy, offer_again, sync_busy;
    int64_t hello_not_before_ms, hello_pause_ms;
};

struct links_call { // one control request
    struct links *all;
    struct list node; // links->calls
    char peer[MESH_NAME_MAX + 1];
    char about[MESH_NAME_MAX + 1]; // whose sheet is asked for
    struct http_call *call;
    struct buf body, answer;
    int status; // of HTTP
    void (*done)(struct links_call *c, int status, const struct err *e);
    struct links_ask *ask; // NULL: ours
};

struct links_anon; // a request without a certificate: links_anon.c

struct links {
    struct links_args args;
    struct list links, calls;
    struct net_tls *server_tls, *client_tls;
    struct net_listener *listener;
    struct dgram *udp;
    uint16_t port;
    struct map *by_id; // 8 bytes of in_id → struct link
    struct timer tick, renew;
    struct timer cut; // closes the connections of `removed`: IDs, a line each
    struct buf removed;
    int64_t renew_pause_ms;
    size_t renew_at; // which address is tried next
    struct links_anon *renewing;
    struct buf sheet; // our own, signed
    bool running, closed, expired;
    struct buf scratch;
    int64_t doubt_ms; // when a peer's refusal was last a reason to renew
    int64_t log_second; // of `logged` lines and `unsaid` ones
    uint32_t logged, unsaid;
};

int64_t links_now(const struct links *l);
int64_t links_wall(const struct links *l);

// links.c
// What others can bring about as often as they like is said some times a second, then counted.
bool links_may_log(struct links *l);
// net_tls_args.verify of a member, user: the links. Its verdict, so that the peer reads in its
// alert when time is the reason (net.h: E_TIMEOUT), not just "bad certificate".
int links_verify(void *user, const struct bytes *der, int count, char *ret_id, uint64_t *ret_epoch,
                 struct err *e);
// Its name when it is a node itself; empty for what it hosts (/node/NAME/worker/QUEUE) and all
// else.
struct bytes links_node_of(const struct spiffe_id *id);
int links_judge(int status, const struct bytes *der, int count, int64_t wall_ms);
int links_tls(struct links *l, struct err *e); // contexts from the member's certificate of now
struct link *links_link(struct links *l, struct bytes name); // NULL: none
struct link *links_link_of(struct links *l, struct mesh_node *n); // made when absent
void links_forget_keys(struct links *l);
void links_cut_removed(struct links *l); // removals that came with an answer of the authority
void links_refused(struct links *l, enum links_refusal what, const char *who, const char *why);

// links_peer.c
int link_dial(struct link *x, struct err *e); // its pool, made or remade
void link_hello(struct link *x);
bool link_is_silent(const struct link *x);
void link_offer(struct link *x);
void link_sync(struct link *x);
void link_fetch(struct link *x, const char *node);
void link_drop(struct link *x); // its pool and keys
void link_free(struct link *x);
void links_call_free(struct links_call *c);
typedef void (*links_done_fn)(struct links_call *c, int status, const struct err *e);
// Takes the body's memory. NULL on failure (told in e).
struct links_call *links_call(struct link *x, const char *method, const char *target,
                              struct buf *body, links_done_fn done, struct err *e);
// The two halves of hello: what we tell, and what we hear.
int link_hello_put(struct link *x, struct buf *out);
int link_hello_take(struct links *l, struct bytes peer, struct bytes text, struct link **ret,
                    struct err *e);
// "S sheet" and "R removal" lines: what we have beyond the numbers in lines of known.
void links_news_put(struct links *l, struct bytes known, struct buf *out);
void links_known_put(struct links *l, struct buf *out);

// links_beat.c
void link_beat(struct link *x);
void links_datagram(void *user, const struct net_addr *from, struct bytes data);
// A beat that came by TCP; ret gets ours.
int links_beat_take(struct links *l, struct link *x, struct bytes beat, struct err *e);
int link_beat_put(struct link *x, struct buf *out);

// links_renew.c
void links_renew_tick(struct timer *t);
void links_renew_plan(struct links *l);
void links_renewed(struct links *l); // the member has a new certificate

// links_anon.c: one POST over TLS where only the server shows a certificate
struct links_anon_args {
    struct net *net;
    struct timers *timers;
    struct net_addr addr;
    int (*verify)(void *user, const struct bytes *der, int count, char *ret_id, uint64_t *ret_epoch,
                  struct err *e);
    const char *target;
    struct bytes body; // copied
    int64_t timeout_ms;
    void (*done)(void *user, int status, struct bytes answer, const struct err *e);
    void *user;
};
int links_anon(struct links_anon **ret, const struct links_anon_args *args, struct err *e);
void links_anon_free(struct links_anon *a);

// The text of an error answer: {"error":{"message","code"}}; E_* by its HTTP status.
int links_error_of(int http_status, struct bytes body, struct err *e);

#endif
