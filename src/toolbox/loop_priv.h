// loop_priv.h: a model that calls tools until it has an answer: what decides, without input and
// output (loop_plan.c, loop_turn.c, loop_say.c), and what the driver's files share.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TOOLBOX_LOOP_PRIV_H
#define PLEXUS_TOOLBOX_LOOP_PRIV_H

#include "base/alloc.h"
#include "base/arena.h"
#include "toolbox/tool_loop.h"

#define LOOP_CALLS_MAX 32 // of one answer; what is more is forgotten
#define LOOP_TOOLS_MAX 128 // OpenAI's limit of a request
#define LOOP_NAME_MAX 64   // OpenAI's limit of a function's name
#define LOOP_ID_MAX 96
#define LOOP_SAME_MAX 2     // calls with the same arguments that are carried out
#define LOOP_REPEATS_MAX 8  // calls that were not, because of that: then it ends
#define LOOP_ANSWER_MAX ((size_t)16 << 20)
#define LOOP_SHOWN_MAX 4096 // bytes of a result in an event

// ---- a request (loop_plan.c) --------------------------------------------------------------------

struct loop_name {
    struct bytes function; // as the model is told
    struct bytes tool; // its whole name here; empty: the client's own
};
struct loop_plan {
    struct arena *words;
    struct val *body; // what goes to the model, without messages
    struct val *messages; // all of them
    size_t given; // so many came with the request
    struct loop_name names[LOOP_TOOLS_MAX * 2];
    size_t name_count;
    bool stream, usage; // the client wants: events, and a last one with the numbers of tokens
    bool confirms; // somebody is there who can be asked
    struct val *confirm; // {"id of a call": true or false}, or NULL
    struct bytes model;
    uint32_t steps_max;
    uint64_t tokens_max;
    int64_t time_ms;
};
struct loop_plan_args {
    struct bytes request; // its body
    struct tools *tools; // the node's: they are listed for it
    const struct tool_caller *caller;
    const struct tools_loop_limits *most;
    bool admin; // may confirm
};
// E_INVALID, E_FORBIDDEN: *ret_param is the field.
int tools_plan_new(struct loop_plan **ret, const struct loop_plan_args *args,
                   const char **ret_param, struct err *e);
void tools_plan_free(struct loop_plan *p);
const struct loop_name *tools_loop_name(const struct loop_plan *p,
                                        struct bytes function); // NULL: none
// What is sent for the next answer (gives). again: after calls; last: it must be an answer.
struct val *tools_plan_body(const struct loop_plan *p, bool again, bool last);
int tools_plan_add(struct loop_plan *p, struct val *takes_message);
struct val *tools_plan_added(const struct loop_plan *p); // messages since the request (gives)

// ---- an answer of the model (loop_turn.c) -------------------------------------------------------

struct loop_call { // as the model says it, in pieces
    struct buf id, name, arguments;
    bool known, ours; // whose it is, once its name is there
    size_t out; // the client's: its index there
    bool told; // the client's: it has its beginning
    bool renamed; // its id is not the engine's
};
struct loop_turn {
    const struct loop_plan *plan;
    unsigned step; // 1: the first answer
    struct loop_call calls[LOOP_CALLS_MAX];
    bool failed; // memory was out
    size_t count, ours, theirs;
    struct buf text;
    char finish[24];
    bool role, finished, usage_told; // the client heard them
    uint64_t tokens_in, tokens_out;
    struct val *last; // the chunk with the end, held back
    struct val *usage; // the chunk with nothing else
    struct val *error; // the engine's
    struct val *whole; // an answer that is no stream
};
void tools_turn_init(struct loop_turn *t, const struct loop_plan *p, unsigned step);
void tools_turn_fini(struct loop_turn *t);
// A chunk of the stream. *head: {"id","object","created","model"} of all chunks; NULL: it gives
// them. *ret: what the client gets instead of it (gives; chunk itself: unchanged; NULL: nothing).
int tools_turn_chunk(struct loop_turn *t, struct val *chunk, struct val **head, struct val **ret);
int tools_turn_whole(struct loop_turn *t, struct val *answer, struct err *e); // no stream
// What it said, for the next request (gives). Calls without a good id have got one.
struct val *tools_turn_message(const struct loop_turn *t);

// ---- pending calls, guards (loop_plan.c) --------------------------------------------------------

// Calls of the last message that have no answer yet, as a turn of their own. false: none.
bool tools_plan_pending(const struct loop_plan *p, struct loop_turn *t);

struct loop_guard { // calls that were made
    uint64_t hash[256];
    uint8_t times[256];
    size_t count;
    unsigned repeats;
};
bool tools_guard_may(struct loop_guard *g, struct bytes name, struct bytes arguments);

// ---- words (loop_say.c) -------------------------------------------------------------------------

// A result as a text for the model, at most max bytes: head and tail are kept (appends).
void tools_say_result(struct buf *out, const struct tool_result *r, size_t max);
void tools_say_cut(struct buf *out, struct bytes text, size_t max);
// A chunk that is no answer of the model, with a member "plexus" (gives).
struct val *tools_say_chunk(const struct val *head, const char *finish, struct val *takes_plexus);
struct val *tools_say_head(const struct loop_plan *p, const char *id, int64_t wall_ms);
struct val *tools_say_tool(const char *id, struct bytes name, struct bytes content); // a message
struct val *tools_say_usage(uint64_t in, uint64_t out);
struct val *tools_say_effects(unsigned effects);

#endif
