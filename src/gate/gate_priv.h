// gate_priv.h: what the gate's files share.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_GATE_GATE_PRIV_H
#define PLEXUS_GATE_GATE_PRIV_H

#include "base/log.h"
#include "gate/gate.h"
#include "text/schema.h"
#include "text/sse.h"
#include "text/usage.h"

#define ID_BYTES_MAX 128
#define HOLD_BYTES_MAX (64 * 1024) // longest server-sent event that is held back until whole
#define PARSE_ON_LOOP_BYTES (1024 * 1024) // larger bodies are parsed by a helper thread
#define WAIT_SPEAK_MS 2000

enum endpoint { EP_CHAT, EP_COMPLETION, EP_EMBEDDING, EP_OTHER, EP_COUNT };

enum stage { ST_PARSING, ST_WAITING, ST_RUNNING };

struct greq {
    struct gate *gate;
    struct http_exchange *x; // NULL: the client left
    struct list link; // gate->requests
    struct model *model;
    struct meter_model *meter;
    struct key *key;
    struct http_call *call;
    struct model_ticket ticket;
    enum stage stage;
    enum endpoint endpoint;
    bool granted, waiting, stream, sse, spoke, wrapped, head_given, waited, parsing, aliased;
    bool left; // the client did, or the node ends
    uint8_t tries; // more, after the engine was not there
    // Another node serves it, or did. node[0] == 0: this one.
    bool hop;      // came from another node: goes no further
    bool not_here; // this node was tried
    uint64_t price_in, price_out; // of the node's model
    uint8_t looks; // for a node, while those that have the model are silent
    uint8_t not_count;
    char node[GATE_NODE_MAX];
    char not[GATE_TRIES_MAX][GATE_NODE_MAX];
    char name[129]; // the model as the client said it; only when there are other nodes
    struct label label;        // of the request
    struct label clearance;    // of who asked
    struct label answer;       // joined with what the model knows
    bool labelled;             // the answer says its label
    uint64_t prefix;
    char id[ID_BYTES_MAX + 1];
    struct bytes path; // of the exchange; gone with it
    struct buf body; // rewritten, or taken for the helper thread
    struct buf hold; // start of a frame, or an error answer that becomes an event
    struct sse_cut cut;
    struct usage_scan usage;
    int64_t began_ms;
    uint64_t complete_ns, sent_ns, first_ns, granted_ns, own_ns;
    uint64_t in_bytes, out_bytes, frames;
    int status;
    struct timer speak;
    bool *freed; // set when it is freed while somebody up the stack still looks
};

// A walk over all requests that may end any of them, also others than the present one.
struct greq_walk {
    struct list *next;
    struct greq_walk *outer;
};

struct gate {
    struct gate_args args;
    struct list requests, free;
    struct greq_walk *walks;
    size_t free_count;
    struct gate_door *doors;
    size_t door_count;
    const char *const *hosts, *const *origins;
    struct schema *schemas[EP_COUNT];
    struct json_doc *schema_docs[EP_COUNT];
    struct gate_totals totals;
    struct gate_labels labels;
    struct buf line, extra; // scratch
    struct key *guest; // who came with a token of the mesh
    int64_t denied_second; // ...
    uint32_t denied_logged; // ... and the lines about refusals in it
    bool others; // nodes: requests ask for a route
};

// gate_door.c: 0 = may go on (*ret_scopes), else the answer was given.
int gate_admit(struct gate *g, struct http_exchange *x, unsigned needs, unsigned *ret_scopes,
               struct key **ret_key);
bool gate_is_model_path(const struct http_head *h);
void gate_put_cors(struct gate *g, const struct http_exchange *x, struct buf *extra);
// http_reply_error with the request's id (may be NULL) and what a page of an allowed origin needs.
void gate_reply_error(struct gate *g, struct http_exchange *x, const char *id, int code,
                      const char *message, const char *param, int64_t retry_s);
bool gate_preflight(struct gate *g, struct http_exchange *x);
// gate_request.c
void gate_model_request(struct gate *g, struct http_exchange *x, struct key *key, bool hop);
void greq_start(struct greq *r); // the model is WARM and ours
void greq_fail(struct greq *r, int code, const char *message, const char *param, int64_t retry_s);
void greq_refuse(struct greq *r, const struct err *e); // by the rules of models
void greq_end(struct greq *r);   // answered whole
// No engine at its address: asks again a little later. false: often enough.
bool greq_again(struct greq *r);
int schemas_load(struct gate *g, struct err *e);
struct bytes embed_gate_chat_completions(void); // the files in schemas/v1
struct bytes embed_gate_completions(void);
struct bytes embed_gate_embeddings(void);
void greq_no_model(struct greq *r, const char *name);
void greq_want(struct greq *r); // asks models for it: here
bool greq_prefers_no_wait(const struct greq *r); // "Prefer: wait=0"
void greq_let_go(struct greq *r); // its exchange is another's now
void greq_tell(struct greq *r); // a view of it, for the console
// gate_route.c
// Picks here or another node. true: it is on its way there, or answered; false: here.
bool route_out(struct greq *r);
// After a failure before the first byte: another node, when there is one. true: on its way.
bool route_again(struct greq *r);
void route_end(struct greq *r, bool good); // the node that had it is told
uint64_t route_prefix(const struct json *body);
bool gate_is_hop(const struct gate *g, const struct http_exchange *x);
// gate_label.c: each of the first three: true, or the request was answered.
bool gate_label_take(struct greq *r); // label and clearance of a request; first of all
bool gate_label_may(struct greq *r);  // its model here may be told, its answer be read
// The answer of another node begins; called before anything of it goes on.
bool gate_label_came(struct greq *r, const struct http_head *head);
// The mesh knows no place that may get it (E_SECURITY): event, figure, answer.
void gate_label_nowhere(struct greq *r, const struct err *e);
void gate_label_put(const struct greq *r, struct buf *extra); // a header line, when it is due
struct label gate_label_of(const struct greq *r);             // of the request: for the next hop
void greq_walk_begin(struct gate *g, struct greq_walk *w);
struct greq *greq_walk_next(struct gate *g, struct greq_walk *w); // NULL: all were seen, it ends
// gate_wait.c
void wait_begin(struct greq *r);
void wait_end(struct greq *r);
// gate_tools.c: a request with plexus_tools goes to whoever carries it out; r is gone.
void gate_hand_on(struct greq *r);
#define GATE_AS_GUEST "@guest" // X-Plexus-As of who came with a token of the mesh
// gate_relay.c
void relay_start(struct greq *r);
void relay_to(struct greq *r, const struct gate_route *to); // another node
void relay_fail(struct greq *r, int code, const char *message);
void relay_drain(struct greq *r);
// gate_pages.c
bool gate_page(struct gate *g, struct http_exchange *x); // models, health, metrics
// gate_log.c
void greq_log(struct greq *r, const char *outcome);
void greq_view(const struct greq *r, struct gate_request_view *v);

#endif
