// gate.h: the model API: admission, honest waiting, streaming. One request is parsed and checked
// once, its original bytes go to the engine, the engine's bytes come back unaltered.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_GATE_GATE_H
#define PLEXUS_GATE_GATE_H

#include "http/http.h"
#include "meter/meter.h"
#include "models/models.h"
#include "port/work.h"
#include "trust/label.h"
#include "trust/trust.h"

struct gate;

// Where a model that is WARM is reached.
struct gate_upstream {
    struct http_pool *pool;
    const char *auth;      // header lines for it, or ""
    const char *base_path; // replaces "/v1"
    const char *model;     // the name it knows the model by; NULL: no rewrite
    int64_t first_byte_ms, silence_ms;
};

// One listener, by the tag of http_server_listen.
struct gate_door {
    bool keys_required, trusted; // trusted: the unix socket of the node's owner
    bool mesh; // other nodes come in here: gate_args.peer says who; only /v1/ and `other`
    const char *host;            // its own host name or address, allowed as Host
};

#define GATE_NODE_MAX 64  // a node's name, with its NUL
#define GATE_TRIES_MAX 3  // nodes that one request is given to, at most

// Where a request could go, when there are other nodes.
struct gate_want {
    struct bytes model;   // as the client said it
    struct model *here;   // of that name, configured here; NULL: none
    const char *kind;     // "embedding" or NULL: any
    struct label label;   // of the request
    uint64_t prefix;      // hash of the prompt's start; 0: none
    bool not_here;        // this node was tried
    const char (*not)[GATE_NODE_MAX]; // nodes that were tried
    size_t not_count;
};
struct gate_route {
    bool here;
    bool soon; // with E_UNAVAILABLE: who has it is silent for a moment; asking again may help
    char node[GATE_NODE_MAX];
    char model[129]; // its own name there
    uint64_t price_in, price_out; // as meter_model has them
    struct gate_upstream up;
    struct bytes headers; // for the hop, borrowed until the next call
};

struct gate_request_view {
    const char *id, *model, *path, *key, *state; // state: "waiting" or "running"
    const char *node; // that serves it; "": this one
    bool stream, end;
    int status;
    int64_t age_ms, first_byte_ms; // -1: not yet
    uint64_t tokens;
    double tokens_per_s;
};

// What a model knows (joined to its answers) and may be told.
struct gate_model_labels {
    struct label label, clearance;
    bool cloud;
};

// Labels as configured; all borrowed until the next gate_labels.
struct gate_labels {
    struct label_names *names; // NULL: no labels here: a request that brings one is refused
    struct label standard;     // of a request that brings none
    struct label own;          // clearance of this node
    bool in_use; // every model's answer says its label, not only when asked with one
    // Whose signature a declassification bears (label_declass_args.verify).
    int (*verify)(void *user, struct bytes who, struct bytes signed_text,
                  const uint8_t sig[LABEL_SIG_LEN], struct label *ret_clearance, struct err *e);
    void *verify_user;
};

// A chat request that lets its model call tools of this node ("plexus_tools"), for whoever carries
// that out by requests of its own to this gate. All borrowed until the hook returns, but x.
struct gate_tools {
    struct http_exchange *x; // the hook's from now on
    struct bytes body;       // checked by its schema
    struct bytes headers;    // lines for the answer's head: its id, what a page needs
    const char *id;
    // Header X-Plexus-As for the requests that come of it, at a door that is trusted: who is held
    // to it, with its models, labels and limits. Empty: nobody in particular.
    struct bytes as;
    struct bytes who;        // "owner", "key NAME"
    struct bytes label, clearance; // texts; empty: no labels here
    bool admin;
};

struct gate_args {
    struct http_server *server;
    struct timers *timers;
    struct work *work;
    struct models *models;
    struct keys *keys;
    struct meter *meter;
    struct log_sink *access_log; // or NULL
    // After each call into models: runs what they decided.
    void (*after)(void *user);
    bool (*upstream)(void *user, struct model *m, struct gate_upstream *ret);
    // What the engine said last, when it died (NULL: nothing); for the client's error. May be NULL.
    const char *(*why)(void *user, struct model *m);
    // Everything that is not the model API, /health or /metrics. true: answered or owned. Its
    // http_owner is the caller's struct key, or NULL.
    bool (*other)(void *user, struct http_exchange *x, unsigned scopes);
    // The head of such a request, before its body: as http_routes.on_head. May be NULL.
    int (*other_head)(void *user, struct http_exchange *x);
    // Chat requests with "plexus_tools". NULL: there are no tools here, they are refused.
    void (*tools)(void *user, const struct gate_tools *t);
    // A request began, got its first byte, or ended (only the console needs it); may be NULL.
    void (*on_request)(void *user, const struct gate_request_view *v);
    // ---- other nodes; all NULL: none ----
    // E_NOTFOUND: nobody has the model; E_UNAVAILABLE, E_SECURITY: nobody may or can.
    int (*route)(void *user, const struct gate_want *w, struct gate_route *ret, struct err *e);
    void (*sent)(void *user, const char *node, const char *model); // a request goes there now
    void (*outcome)(void *user, const char *node, const char *model, bool good); // it ended
    // Who came in through a mesh door: 0, or E_* (not, or no longer, a member).
    int (*peer)(void *user, const struct net_peer *peer, struct err *e);
    // A bearer token that is a JWT-SVID of the mesh with one of these scopes: 0; E_UNAUTH,
    // E_FORBIDDEN, E_SECURITY. NULL: no such tokens.
    int (*jwt)(void *user, struct bytes token, unsigned scope, struct err *e);
    // What a node that came in through a mesh door may know; NULL: everything.
    int (*peer_clearance)(void *user, const struct net_peer *peer, struct label *ret,
                          struct err *e);
    // Models that only other nodes have, for GET /v1/models: rows into the open array.
    void (*others)(void *user, struct json_w *w, const struct key *key);
    // ---- labels; NULL: models know nothing and may be told everything ----
    void (*model_labels)(void *user, const struct model *m, struct gate_model_labels *ret);
    bool (*ready)(void *user); // for /health/ready
    void (*before_metrics)(void *user); // fills gauges
    // A flow that labels forbid was refused, and told to the log. May be NULL.
    void (*violation)(void *user, const char *operation, const char *who, const char *why);
    void *user;
};

int gate_new(struct gate **ret, const struct gate_args *args, struct err *e);
void gate_free(struct gate *g);
// Routes to give to http_server_new (user: the gate, set by gate_routes_bind).
struct http_routes gate_routes(void **gate_slot);
void gate_doors(struct gate *g, const struct gate_door *doors, size_t count); // by tag; copies
// Host names allowed beside loopback, addresses and the door's own; origins for CORS. Borrowed.
void gate_names(struct gate *g, const char *const *hosts, const char *const *origins);

void gate_labels(struct gate *g, const struct gate_labels *l);

// From the driver of models.
void gate_granted(struct gate *g, struct model_ticket *t);
void gate_refused(struct gate *g, struct model_ticket *t, const struct err *e);
// Ends all requests of this model (NULL: of all) with an error event or a 503.
void gate_close(struct gate *g, struct model *m, int code, const char *why);

// The node is dead: its requests go elsewhere, or end with an error event when they had begun.
void gate_node_gone(struct gate *g, const char *node, const char *why);

// Whether there may be other nodes: without, no request asks for a route.
void gate_others(struct gate *g, bool there);
void gate_close_nodes(struct gate *g, const char *why); // the same for all other nodes

// Walks the requests in flight: *at is NULL at the start; false: no more.
bool gate_next(struct gate *g, void **at, struct gate_request_view *ret);
struct gate_totals {
    uint64_t requests, errors, tokens_in, tokens_out, active;
};
void gate_totals(const struct gate *g, struct gate_totals *ret);

#endif
