// links.h: the mesh's driver: one mutually authenticated listener and one UDP port of the same
// number, a pool of connections to every peer, beats, sheets, join, renewal, removal. Over ports
// only (net, dgram, timers, http): no file, no clock of its own, so the simulator runs it as it is.
//
// Between nodes: HTTP/1.1 over TLS 1.3, both sides with an X.509-SVID, paths below /mesh/v1/:
//   POST join, renew        without a certificate: who asks proves it by a token or its Ed25519 key
//   POST hello              keys for datagrams, and both sheets
//   POST sheet, GET sheet?node=NAME, POST sync   signed sheets and removals
//   POST beat               a beat where datagrams do not get through
//   POST removal, POST drain, POST standby, POST svid, POST leave
// A datagram: link number 8 | beat (mesh.h) | SipHash-2-4-128 of all before, by the key that the
// receiver gave in hello. Numbers in a beat only grow, so that no datagram counts twice.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_LINKS_LINKS_H
#define PLEXUS_LINKS_LINKS_H

#include "http/http.h"
#include "mesh/mesh.h"
#include "port/dgram.h"
#include "trust/authority.h"
#include "trust/member.h"

#define LINKS_ALPN "plexus/1"
#define LINKS_PORT 8001 // default of listen.mesh

struct links;

enum links_refusal { // of another's wish
    LINKS_REFUSED_PEER, // a link: no certificate that is good here, or no member
    LINKS_REFUSED_JOIN,
    LINKS_REFUSED_RENEWAL,
    LINKS_REFUSED_NEWS // a sheet or removal
};

// Called on the loop thread, also from inside links_* calls. All but load and refused are needed.
struct links_ops {
    int64_t (*wall_ms)(void *user);
    // They changed: on the disk before this returns 0. An error is told to who asked.
    int (*save_member)(void *user, struct err *e);
    int (*save_authority)(void *user, struct err *e);
    // The authority made this node its standby, or sent it news: take the copy.
    int (*standby)(void *user, struct bytes authority_text, struct err *e);
    void (*state)(void *user, struct mesh_node *n, enum mesh_state before, int64_t silence_ms);
    void (*changed)(void *user, struct mesh_node *n); // its sheet; for the page
    // Nothing may run over its connections any more (they close after this returns).
    void (*cut)(void *user, const char *node, const char *why);
    void (*want)(void *user, const char *model); // replicas: load it here
    void (*drain)(void *user, bool on); // the authority's admin asks
    void (*rotated)(void *user); // a new certificate is in use
    // Before beats go out: mesh_load and mesh_model_load, so that they tell what is so now. May be
    // NULL.
    void (*load)(void *user);
    void (*removed)(void *user); // this node is no member any more
    // Told to the log already. who: an address or a SPIFFE ID. May be NULL.
    void (*refused)(void *user, enum links_refusal what, const char *who, const char *why);
};

struct links_args {
    struct net *net;
    struct timers *timers;
    struct http_server *server;
    int tag; // of the mesh door at that server
    struct mesh *mesh;
    struct member *member; // joined
    struct authority *authority; // NULL: it is elsewhere
    struct label_names *names;
    uint64_t boot;
    int64_t beat_ms; // as mesh_args.beat_ms
    const struct links_ops *ops;
    void *user;
};

int links_new(struct links **ret, const struct links_args *args, struct err *e);
// Opens the listener and the UDP port. port 0: any. E_INUSE, E_PERM, E_INVALID.
int links_open(struct links *l, const struct net_addr *addr, struct err *e);
uint16_t links_port(const struct links *l);
struct net_listener *links_listener(const struct links *l);
// Closes everything at once; links_free after the streams are gone (the server's end).
void links_close(struct links *l);
void links_free(struct links *l);
void links_authority(struct links *l, struct authority *a); // it is here from now on, or not

// A request below /mesh/v1/ that came through the mesh door. false: not such a path.
bool links_handle(struct links *l, struct http_exchange *x);
// Is this peer of the door a member? 0, E_UNAUTH (no certificate), E_SECURITY (removed).
int links_peer(struct links *l, const struct net_peer *peer, struct err *e);
// Connections to that node, NULL: none yet. Good until ops.cut of it, or the next round.
struct http_pool *links_pool(struct links *l, struct mesh_node *n);

// What this node runs now: signs and offers it when it differs.
int links_tell(struct links *l, const struct mesh_sheet *s, struct err *e);
// No datagram of that node came for seconds: its beats come by TCP, if at all.
bool links_by_tcp(const struct links *l, const struct mesh_node *n);
struct bytes links_sheet(const struct links *l); // as told last, signed; empty: not yet
void links_run(struct links *l); // after mesh_* calls of others: does what they decided
int links_take(struct links *l, struct bytes sheet_text, struct err *e); // 1: news, 0: known
// All that is known, as lines for links_news_take: for a node that joins, or for the next start.
void links_news(struct links *l, struct buf *out);
void links_news_take(struct links *l, struct bytes lines);
// A removal made here (the authority), or heard: 1: news, spread from here. 0: known.
int links_removal(struct links *l, struct bytes text, struct err *e);
// What the authority knows goes to the other node that holds it (a secret; over its link only).
void links_standby(struct links *l, const char *node, struct bytes authority_text);
bool links_quiet(const struct links *l); // nothing is on its way to another node
void links_renew(struct links *l); // now, not at half life

// One request to a node and its answer's body, at most answer_max. done: once, not from inside.
struct links_ask {
    void (*done)(struct links_ask *a, int status, struct bytes answer, const struct err *e);
    void *user;
    size_t answer_max; // 0: 1 MiB
    struct links_call *call; // the room's
};
int links_ask(struct links *l, struct mesh_node *n, const char *method, const char *target,
              struct bytes body, struct links_ask *a, struct err *e);

// ---- joining: before there are links ------------------------------------------------------------

struct links_join_args {
    struct net *net;
    struct timers *timers;
    struct net_addr addr; // of the authority
    struct bytes token; // copied, wiped
    struct member *member; // made, not joined; borrowed until done
    int64_t wall_ms;
    int64_t timeout_ms;
    // status 0: the member has joined: save it. sheets: texts for links_take, a line each.
    void (*done)(void *user, int status, struct bytes sheets, const struct err *e);
    void *user;
};
struct links_join;
int links_join(struct links_join **ret, const struct links_join_args *args, struct err *e);
void links_join_free(struct links_join *j); // after done, or to give up

#endif
