// play_priv.h: what the files of a play share.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_SIM_PLAY_PRIV_H
#define PLEXUS_SIM_PLAY_PRIV_H

#include "gate/gate.h"
#include "links/links.h"
#include "sim/play.h"
#include "sim/sim_priv.h"

enum {
    PLAY_NODES_MAX = 64,
    PLAY_ENGINES_MAX = 2, // of a node
    PLAY_MODELS = 5,
    PLAY_REQUESTS_MAX = 2000,
    PLAY_FAULTS_MAX = 200,
    PLAY_CLIENT_PORT = 8000,
    PLAY_MESH_PORT = 8001,
    PLAY_ENGINE_PORT = 9000,
    TAG_CLIENTS = 0,
    TAG_MESH = 1,
};

struct play;
struct play_node;

// One model of one node, and the process that serves it: on a host of its own, so that it can live
// on while its node is paused.
struct play_engine {
    struct play_node *node;
    struct play *play;
    struct sim_host *host;
    unsigned model; // its number
    char name[16];
    int64_t load_ms;
    // the node's side
    struct model *m;
    struct http_pool *pool; // while it is WARM
    struct http_pool *old[8]; // of earlier lives: closed with the node
    unsigned old_count;
    struct timer load;
    bool wanted;
    struct sim_event died; // the node hears that the process has ended
    // the process's side
    struct http_server *http;
    struct list answers;
    unsigned life;
    bool hangs;
};

struct play_node {
    struct play *play;
    struct sim_host *host;
    unsigned index;
    char name[16], context[32], environment[16], clearance[16];
    struct play_engine engines[PLAY_ENGINES_MAX];
    unsigned engine_count;
    // this life
    bool running;
    struct http_server *server;
    struct gate *gate;
    void *slot;
    struct models *models;
    struct keys *keys;
    struct meter *meter;
    struct label_names *names;
    struct member *member;
    struct authority *authority;
    struct mesh *mesh;
    struct links *links, *old_links;
    struct mesh *old_mesh;
    struct links_join *join;
    struct timer models_due, tick, tell, join_again, ending;
    bool heard[PLAY_NODES_MAX]; // was alive to this one once
    bool peers_read, telling, draining, leaving, effects;
    struct buf hop;
    uint64_t boot, up_at, peers_sign;
    // the truth, known to the play alone
    bool stays_down;  // until the end: others must not see it alive
    bool removed;     // by the authority
    bool drained;     // a drain was asked for
    uint64_t removed_at, drained_at;
    uint64_t boots; // lives so far
    int64_t true_wall_ms; // the error that its clock had before a jump
    bool clock_off;   // its clock is far off
    uint64_t down_since;
    uint64_t healthy_since[PLAY_NODES_MAX]; // of the way from each other node, and of both
    uint64_t way_since[PLAY_NODES_MAX]; // the same without this node's own pauses
};

struct play_request {
    struct play *play;
    unsigned id, entry, model, tokens;
    bool stream, cancel, slow;
    const char *label; // NULL: none
    char *body;
    struct http_call *call;
    struct timer again;
    bool began, ended, quiet; // quiet: after the faults: it must be served
    int status, code;
    uint64_t began_at, ended_at;
    struct buf got;
    int engine; // that answered: node * 2 + engine, -1: none said so
    bool sse;
    unsigned asked; // engines that were given it
    unsigned entry_life;
};

enum play_fault_kind {
    FAULT_LOSS,
    FAULT_DELAY,
    FAULT_SPLIT,
    FAULT_CUT,
    FAULT_PAUSE,
    FAULT_FREEZE,
    FAULT_EXIT,
    FAULT_POWER,
    FAULT_CLOCK,
    FAULT_DISK,
    FAULT_DRAIN,
    FAULT_REMOVE,
    FAULT_ENGINE_DIES,
    FAULT_ENGINE_HANGS,
    FAULT_ROTATE,
    FAULT_LEAVE,
    FAULT_DGRAMS,
    FAULT_KINDS
};
struct play_fault {
    struct play *play;
    enum play_fault_kind kind;
    uint64_t at, lasts; // lasts 0: until the end of the faults
    unsigned node, other;
    int64_t amount;
    bool over;
};

struct play {
    struct play_args args;
    struct sim *w;
    struct rng rng;
    struct play_node nodes[PLAY_NODES_MAX];
    unsigned count;
    struct sim_host *client;
    struct http_pool *pools[PLAY_NODES_MAX];
    struct play_request requests[PLAY_REQUESTS_MAX];
    unsigned request_count, ended;
    struct sim_link link; // as good as it gets
    struct play_fault faults[PLAY_FAULTS_MAX];
    unsigned fault_count;
    uint64_t faults_from, faults_until; // then all is mended
    int64_t svid_ttl_ms;
    bool mended;
    unsigned deaths;
    struct play_report *report;
};

// node.c
void play_node_up(struct play_node *n);
void play_node_down(struct play_node *n, enum sim_how how); // from the world only
void play_models_run(struct play_node *n);
int64_t play_now_ms(const struct play_node *n);
// node_mesh.c
int play_remove(struct play_node *authority, const char *node, struct err *e);
int play_authority_make(struct play_node *n, struct err *e);
void play_mesh_load(struct play_node *n); // from its disk
int play_mesh_start(struct play_node *n, struct err *e);
void play_mesh_end(struct play_node *n);
void play_join(struct play_node *n);
void play_tell(struct play_node *n);
void play_gate_args(struct gate_args *args);
// engine.c
void play_engine_init(struct play_engine *x, struct play_node *n, unsigned k, unsigned model);
void play_engine_start(struct play_engine *x); // as models asks
void play_engine_stop(struct play_engine *x);
void play_engine_forget(struct play_engine *x); // its node ends
void play_engine_kill(struct play_engine *x, enum sim_how how); // from the world only
bool play_engine_upstream(const struct play_engine *x, struct gate_upstream *ret);
// clients.c
void play_clients_up(struct play *p);
void play_clients_down(struct play *p);
void play_request_at(struct play *p, uint64_t at, unsigned entry, bool quiet);
unsigned play_frame(unsigned id, unsigned k, char ret[96]); // the k-th event of an answer
// faults.c
void play_faults_make(struct play *p);
void play_mend(struct play *p);
void play_fault_put(const struct play_fault *f, FILE *out);
// checks.c
void play_check_state(struct play_node *n, struct mesh_node *other, enum mesh_state before,
                      int64_t silence_ms);
void play_check_route(struct play_node *n, const struct gate_want *w, const char *to);
void play_check_asked(struct play_engine *x, unsigned id);
void play_check_answer(struct play_request *r);
bool play_converged(struct play *p, char *why, size_t size);
void play_check_end(struct play *p);

#endif
