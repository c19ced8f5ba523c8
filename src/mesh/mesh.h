// mesh.h: which nodes there are, what each runs, who lives, and where a request goes. Pure state
// machine: events and times in, effects out; no clock, socket, disk or randomness. It never sees a
// key or a signature: what comes in as a sheet was opened and checked before (trust/member.h).
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_MESH_MESH_H
#define PLEXUS_MESH_MESH_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/time.h"
#include "text/json.h"
#include "trust/label.h"

#define MESH_NODES_MAX 256
#define MESH_NAME_MAX 63
#define MESH_ADDRESSES_MAX 4
#define MESH_SHEET_BYTES_MAX (256 * 1024)
#define MESH_SUSPECTS_MAX 32
#define MESH_BEAT_LOADS_MAX 6

struct mesh;
struct mesh_node; // one of them, also this one; valid until MESH_FORGOT of it was taken

// ALIVE: heard. SUSPECT: silent for suspect_ms, or known of only by its sheet so far: no new work.
// DEAD: silent for dead_ms and, where there are three or more, confirmed by most others that are
// heard; without them after 4 x dead_ms by our own view. LEFT: said goodbye. REMOVED: by the
// authority.
enum mesh_state { MESH_ALIVE, MESH_SUSPECT, MESH_DEAD, MESH_LEFT, MESH_REMOVED };
const char *mesh_state_name(enum mesh_state s); // "alive", ...

struct mesh_args {
    const char *self;      // node name
    const char *context;   // "dev.aipc.node1": environment, class, node
    uint64_t boot; // this life's number: wall ms of the start, more than any earlier one's
    int64_t beat_ms; // default 50 (0: the default, also below)
    int64_t suspect_ms; // default 400
    int64_t dead_ms; // default 1300
    int64_t forget_ms; // a dead node's sheet is dropped after this, default 10 min
    struct label_names *names; // borrowed: for clearances in sheets
};
struct mesh *mesh_new(const struct mesh_args *args);
void mesh_free(struct mesh *m);

// ---- sheets: what a node says of itself ---------------------------------------------------------

#define MESH_PRICE_MAX 1000000000000 // a million for a million tokens
struct mesh_model { // a record of kind "model"
    const char *name, *kind; // kind "": not known
    const char *const *aliases; // NULL-terminated or NULL
    const char *state; // "UNLOADED", "LOADING", "WARM", "DRAINING", "FAILED"
    const char *tier; // "node" (default), "edge", "cloud"
    uint64_t context; // tokens, 0: unknown
    uint32_t slots, active, waiting;
    int64_t load_ms; // how long a load takes, -1: unknown
    int64_t eta_ms; // while it loads, -1: unknown
    bool fits; // false: can never be loaded there
    uint32_t replicas_min, replicas_max; // 0: not said
    uint64_t price_in, price_out; // of one token, in 10^-12 of the mesh's currency; 0: none
    struct label clearance; // of data it may get
    struct label label; // of what it knows: joined to its replies
};
struct mesh_record { // kinds "engine", "service", "queue"
    const char *kind, *name, *address; // address may be NULL
};
struct mesh_sheet {
    const char *node, *context, *version, *profile; // profile: "server", "edge"
    uint64_t boot, seq;
    int64_t ttl_ms;
    bool draining, leaving;
    const char *const *addresses; // "host:port", NULL-terminated
    const char *const *roles;
    struct label clearance; // from the grant, never from the sheet's own text
    const struct mesh_model *models;
    size_t model_count;
    const struct mesh_record *records;
    size_t record_count;
};
// The payload (JSON; keys as the fields). Unknown members pass. E_PARSE, E_INVALID, E_TOOBIG.
int mesh_sheet_parse(struct mesh_sheet *ret, struct arena *a, struct label_names *names,
                     struct bytes payload, struct err *e);
void mesh_sheet_put(struct buf *out, const struct label_names *names, const struct mesh_sheet *s);

// ---- beats --------------------------------------------------------------------------------------

struct mesh_beat {
    uint64_t boot, seq; // of the sender's life; of this beat
    uint64_t sheet; // number of its sheet in that life
    uint64_t sent_us; // the sender's clock, given back by the peer in echo_us
    uint64_t echo_us; // the newest sent_us that came from the receiver, 0: none
    uint32_t echo_age_us; // how long it lay here
    uint32_t active, waiting; // requests on the whole node
    uint64_t memory_free; // of the budget for models
    bool draining;
    uint64_t digest; // of all (node, boot, seq) that the sender knows: when they differ, MESH_SYNC
    uint8_t suspect_count;
    uint32_t suspects[MESH_SUSPECTS_MAX]; // mesh_name_hash of nodes that the sender does not hear
    // Models with requests (hash: mesh_name_hash of the name); loads_all: all others have none.
    bool loads_all;
    uint8_t load_count;
    struct {
        uint32_t hash;
        uint16_t active, waiting;
    } loads[MESH_BEAT_LOADS_MAX];
};
uint32_t mesh_name_hash(struct bytes name);
#define MESH_BEAT_BYTES_MAX 256
int mesh_beat_put(struct buf *out, const struct mesh_beat *b);
int mesh_beat_parse(struct mesh_beat *ret, struct bytes data, struct err *e); // E_PARSE

// ---- events -------------------------------------------------------------------------------------

// This node's own sheet: node, context, boot and seq are set here. seq counts up when anything
// differs but the models' active, waiting and eta_ms: those go out with the beats, so call this as
// often as they change. Returns 1 when it counted up, 0 when not. After 1 the driver signs the
// sheet of mesh_node_view(mesh_self_node), gives the signed text to mesh_self_raw, and does what
// the effects say (MESH_OFFER).
int mesh_self(struct mesh *m, const struct mesh_sheet *s, int64_t now_ms, struct err *e);
int mesh_self_raw(struct mesh *m, struct bytes raw,
                  struct err *e); // copies; for mesh_raw, mesh_newer
void mesh_load(struct mesh *m, uint32_t active, uint32_t waiting, uint64_t memory_free);
// Requests of the i-th model of this node's sheet, when that still has this name: goes out with the
// beats, a new sheet is not needed.
void mesh_model_load(struct mesh *m, size_t i, struct bytes model, uint32_t active,
                     uint32_t waiting);
// A checked sheet of another node, with the signed text as it came (copied; handed on by
// mesh_raw). 1: news, 0: known or older, E_*: refused (other environment's are kept but never
// routed to). E_CONFLICT: it bears our own name. E_FULL: MESH_NODES_MAX, or too many models.
int mesh_put(struct mesh *m, const struct mesh_sheet *s, struct bytes raw, int64_t now_ms,
             struct err *e);
// A checked beat. rtt is learnt from it. Unknown sender or another life: asks for its sheet.
void mesh_heard(struct mesh *m, struct bytes node, const struct mesh_beat *b, int64_t now_ms,
                uint64_t now_us);
void mesh_removed(struct mesh *m, struct bytes node, int64_t now_ms);
// The driver could not reach it (a connection refused, a handshake failed): looks at it sooner.
void mesh_unreachable(struct mesh *m, struct mesh_node *n, int64_t now_ms);
// Call at mesh_next_ms at the latest. A call that comes late by more than a beat is this node's own
// pause: silences are not charged with it.
void mesh_tick(struct mesh *m, int64_t now_ms);
int64_t mesh_next_ms(const struct mesh *m);

enum mesh_effect_kind {
    MESH_BEAT, // send a beat to node (mesh_beat_for makes it)
    MESH_FETCH, // node has a sheet that we lack: ask `from` for the sheet of node
    MESH_OFFER, // our own sheet changed, or node is new here: give it to node
    MESH_SYNC, // node knows other sheets: send it mesh_summary_put, mesh_put what its mesh_newer
               // answers (it asks us the same by itself)
    MESH_STATE, // node went from `before` to its present state; silence_ms: how long unheard
    MESH_CHANGED, // node's sheet changed
    MESH_WANT, // replicas: this node should load the model
    MESH_FORGOT, // node is dropped
};
struct mesh_effect {
    enum mesh_effect_kind kind;
    struct mesh_node *node, *from;
    enum mesh_state before;
    int64_t silence_ms;
    char model[129];
};
bool mesh_effect(struct mesh *m, struct mesh_effect *ret); // drain after every event

// What sheets are known here: {"NAME":[boot,seq],...}, at most MESH_SUMMARY_BYTES_MAX.
#define MESH_SUMMARY_BYTES_MAX 32768
void mesh_summary_put(const struct mesh *m, struct buf *out);
// Calls each(arg, node, signed text) for every sheet that is newer here than the summary of a peer
// says, the own one (mesh_self_raw) among them. Returns their number; E_PARSE, E_TOOBIG.
int mesh_newer(const struct mesh *m, struct bytes summary,
               void (*each)(void *arg, struct mesh_node *n, struct bytes raw), void *arg,
               struct err *e);
void mesh_beat_for(struct mesh *m, struct mesh_node *n, uint64_t now_us, struct mesh_beat *ret);

// ---- routes -------------------------------------------------------------------------------------

struct mesh_want {
    struct bytes model; // name or alias as the client said it; or a NAME for mesh_resolve
    const char *kind; // "chat", "completion", "embedding"; NULL: any
    uint64_t context; // tokens that it needs at least; 0: not known
    struct label label; // of the request
    const char *role; // a role that the node must have; NULL: any
    uint64_t prefix; // hash of the prompt's start, 0: none
    struct mesh_node *const * not; // tried already
    size_t not_count;
    bool no_cloud; // tier cloud is not allowed
};
struct mesh_here { // this node's own way, as the model's state is now
    bool have; // a model of this name is configured here
    bool may; // label and role allow it
    bool fits, warm;
    bool cloud, edge; // its tier
    uint32_t slots, active, waiting;
    int64_t wait_ms; // until it is warm; 0: is, -1: not known
};
struct mesh_choice {
    struct mesh_node *node; // NULL: here
    const char *model; // its own name there, NULL: not known; until that node's sheet changes
    int64_t cost_us; // reckoned; for `why`
};
// E_NOTFOUND: nobody has it. E_UNAVAILABLE: those who have it are gone, full or draining.
// E_SECURITY: labels forbid every place (text has both labels).
int mesh_route(struct mesh *m, const struct mesh_want *w, const struct mesh_here *here,
               int64_t now_ms, struct mesh_choice *ret, struct err *e);
// What became of a request that was sent there: opens and closes the breaker.
void mesh_sent(struct mesh *m, struct mesh_node *n);
void mesh_outcome(struct mesh *m, struct mesh_node *n, bool good, int64_t now_ms);
bool mesh_any(const struct mesh *m,
              struct bytes model); // some living node of our environment has it

// registry.local.hostname → registry.context.cluster → registry.type.default. Writes
// {"name","found":[{"node","kind","address","step"}],"steps":[{"step","looked","result"}]}.
int mesh_resolve(struct mesh *m, struct bytes name, const char *kind, int64_t now_ms,
                 struct buf *json, struct err *e);

// ---- views --------------------------------------------------------------------------------------

struct mesh_node *mesh_find(const struct mesh *m, struct bytes name);
struct mesh_node *mesh_each(const struct mesh *m, struct mesh_node *after); // NULL first
struct mesh_node *mesh_self_node(const struct mesh *m);
bool mesh_raw(const struct mesh *m, const struct mesh_node *n, struct bytes *ret); // signed text
struct mesh_node_view {
    const struct mesh_sheet *sheet; // NULL: none yet
    const char *name;
    enum mesh_state state;
    bool self, same_environment, draining;
    int64_t since_ms, heard_ms; // mono
    uint32_t rtt_us, active, waiting, in_flight; // in_flight: sent from here
    uint64_t memory_free, requests, failures;
    uint64_t boot, seq; // this life; the sheet of it that is here, 0: none
    bool breaker_open;
};
void mesh_node_view(const struct mesh *m, const struct mesh_node *n, int64_t now_ms,
                    struct mesh_node_view *ret);
void *mesh_user(const struct mesh_node *n); // the driver's
void mesh_set_user(struct mesh_node *n, void *user);
size_t mesh_count(const struct mesh *m, enum mesh_state s);

#endif
