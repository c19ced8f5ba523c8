// mesh_priv.h: inside of room mesh: one node, its marks, the index of models.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_MESH_MESH_PRIV_H
#define PLEXUS_MESH_MESH_PRIV_H

#include "base/list.h"
#include "base/map.h"
#include "mesh/mesh.h"

#define MESH_MODELS_MAX 256   // in one sheet
#define MESH_RECORDS_MAX 256  // in one sheet
#define MESH_ALIASES_MAX 16   // of one model
#define MESH_ROLES_MAX 16     // of one node
#define MESH_MODEL_NAME_MAX 128
#define MESH_NAMES_MAX 65536  // names and aliases of all models together
#define MESH_GRAVES_MAX 1024  // nodes that went, with the number of their last sheet
#define MESH_COPY_BYTES_MAX (4 * MESH_SHEET_BYTES_MAX) // a sheet as values, and its text
#define MESH_VOTER_WORDS ((MESH_NODES_MAX + 63) / 64)

#define MESH_DEAD_BEAT_MS 1000  // pace of beats to a dead node: a partition heals
#define MESH_FETCH_MS 500       // a fetch that brought nothing is asked again after this
#define MESH_SYNC_BEATS 4       // the tables differ for so many beats before all is exchanged
#define MESH_SYNC_MS 1000       // and again after this, doubled up to
#define MESH_SYNC_MS_MAX 30000
#define MESH_UNCONFIRMED 4      // dead by our own view alone after so many times dead_ms
#define MESH_WANT_MS 5000 // a wish for a replica that brought nothing is told again after this
#define MESH_WANT_FIRST_MS 1000 // after the start, time to hear of the others
#define MESH_IDLE_MS 1000 // the clock's pace without a peer

#define MESH_BREAKER_FAILURES 3
#define MESH_BREAKER_MS 1000
#define MESH_BREAKER_MS_MAX 30000
#define MESH_PROBE_MS 60000 // a trial request whose end nobody told is forgotten after this

#define MESH_AFFINITY 1024 // places in the table of prefixes, a power of two

// The number of a sheet: lives are counted by boot, sheets of one life by seq.
struct mesh_number {
    uint64_t boot, seq;
};
int mesh_number_cmp(struct mesh_number a, struct mesh_number b);

// One model on one node, in the list of its name. `name` may be an alias of it.
struct mesh_place {
    struct list of_name;
    struct mesh_place *next; // of the same node
    struct mesh_name *name;
    struct mesh_node *node;
    const struct mesh_model *model;
};
struct mesh_name { // a model's name or alias, with all places that have it
    struct list places;
    struct bytes text; // the map's key is a copy of it
};
struct mesh_mark { // of one model of a sheet
    uint32_t hash; // of its name
    int64_t want_ms; // own models: when it was told that it is wanted, 0: never
    bool want; // to be told
};

struct mesh_node {
    struct list all, fx_link;
    char name[MESH_NAME_MAX + 1];
    uint32_t hash;
    uint32_t slot; // its bit in votes
    uint64_t tie; // order of equal routes, another one on each node
    enum mesh_state state, before;
    unsigned fx; // pending effects, 1 << kind
    bool self, same_environment, draining;
    bool current; // the sheet is of the present life, and its time is not over
    int64_t since_ms, heard_ms;
    int64_t silent_ms; // silence counts from here: heard_ms, moved by our own pauses
    int64_t doubt_ms; // until then: could not be reached, so looked at sooner
    int64_t beat_ms; // next beat to it
    int64_t fetch_ms; // not asked again before
    int64_t ttl_ms; // the sheet counts no more then
    int64_t silence_ms; // at the last change of state
    uint64_t life; // boot, as last heard or read
    struct mesh_number number; // of the sheet here
    struct mesh_number asked; // of the sheet last asked for
    struct mesh_number grave; // sheets up to here are not taken any more

    struct arena *keep; // sheet, raw, places, loads
    struct mesh_sheet sheet;
    bool has_sheet;
    struct bytes raw;
    struct mesh_place *places;
    struct mesh_model *models; // the sheet's; active and waiting follow the beats
    struct mesh_mark *marks; // one for each

    uint64_t beat_seq, echo_us, echo_at_us, digest;
    uint32_t rtt_us, active, waiting;
    uint64_t memory_free;
    uint64_t pair; // our digest and its digest, as last compared
    int64_t sync_ms, sync_pause_ms;
    uint8_t suspect_count;
    uint32_t suspects[MESH_SUSPECTS_MAX];
    uint64_t voters[MESH_VOTER_WORDS]; // who does not hear it

    uint32_t in_flight, fresh; // sent from here; of them since its last beat
    uint64_t requests, failures;
    uint32_t failed; // in a row
    int64_t open_ms, open_pause_ms; // breaker: closed when pause is 0
    bool probing;
    int64_t probe_ms;
    void *user;
};

struct mesh_grave { // what is known of a node that was forgotten
    uint32_t hash;
    bool ended; // left or removed: a beat of that life does not bring it back
    char name[MESH_NAME_MAX + 1];
    struct mesh_number number;
};

struct mesh_affinity {
    uint64_t key;
    uint32_t hash; // of the node's name
};

struct mesh {
    struct mesh_args args;
    char context[192];
    size_t environment, group; // bytes of context: "dev", "dev.aipc"
    struct mesh_node *self;
    struct list all, fx;
    struct list gone; // forgotten, freed when that was told and the next effect is asked for
    struct mesh_node *told;
    struct mesh_node *slots[MESH_NODES_MAX];
    size_t count;
    struct map *by_name, *by_model;
    struct buf self_text; // of the own sheet, without its number and loads
    uint64_t beat_seq;
    uint64_t digest;
    struct mesh_beat beat; // what all beats of one tick have in common
    uint32_t suspect_at, load_at; // turn on when a beat has no room for all
    int64_t now_ms, due_ms, start_ms, want_ms;
    bool want_look, want_told;
    struct mesh_grave graves[MESH_GRAVES_MAX];
    size_t grave_count, grave_at;
    struct mesh_affinity affinity[MESH_AFFINITY];
};

// sheet.c
bool mesh_node_name_ok(struct bytes name);
// loads: with what changes all the time (active, waiting, eta).
void mesh_sheet_write(struct buf *out, const struct label_names *names, const struct mesh_sheet *s,
                      bool loads);
// sheet_copy.c
int mesh_sheet_copy(struct mesh_sheet *ret, struct arena *a, const struct mesh_sheet *s);

// nodes.c
int mesh_node_make(struct mesh *m, struct bytes name, int64_t now_ms, struct mesh_node **ret,
                   struct err *e);
void mesh_node_forget(struct mesh *m, struct mesh_node *n);
void mesh_node_free(struct mesh_node *n);
void mesh_fx(struct mesh *m, struct mesh_node *n, enum mesh_effect_kind kind);
void mesh_turn(struct mesh *m, struct mesh_node *n, enum mesh_state state, int64_t now_ms);
void mesh_new_life(struct mesh *m, struct mesh_node *n, uint64_t boot, int64_t now_ms);
void mesh_digest_count(struct mesh *m);
bool mesh_same(const struct mesh *m, const char *context, size_t n); // n: m->environment or group
bool mesh_ended(const struct mesh_node *n); // left or removed

void mesh_clock(struct mesh *m, int64_t now_ms); // the newest time that was seen

// life.c
void mesh_look(struct mesh *m, struct mesh_node *n, int64_t now_ms);
void mesh_beat_soon(struct mesh *m, struct mesh_node *n, int64_t now_ms);

// index.c
int mesh_sheet_keep(struct mesh *m, struct mesh_node *n, const struct mesh_sheet *s,
                    struct bytes raw, struct err *e);
void mesh_sheet_drop(struct mesh *m, struct mesh_node *n);

// graves.c
void mesh_grave_put(struct mesh *m, const struct mesh_node *n);
struct mesh_grave *mesh_grave_find(struct mesh *m, struct bytes name);

// votes.c
void mesh_votes_take(struct mesh *m, struct mesh_node *voter, const struct mesh_beat *b);
void mesh_votes_clear(struct mesh *m, struct mesh_node *n);
bool mesh_votes_confirm(const struct mesh *m, const struct mesh_node *n);

// replicas.c
void mesh_replicas_look(struct mesh *m, int64_t now_ms);
bool mesh_replicas_effect(struct mesh *m, struct mesh_effect *ret);

// breaker.c
bool mesh_breaker_closed(const struct mesh_node *n, int64_t now_ms); // a request may go there
void mesh_breaker_reset(struct mesh_node *n);

#endif
