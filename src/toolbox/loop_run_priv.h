// loop_run_priv.h: one loop that runs, shared by the driver's files (loop.c, loop_ask.c,
// loop_calls.c, loop_end.c). SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TOOLBOX_LOOP_RUN_PRIV_H
#define PLEXUS_TOOLBOX_LOOP_RUN_PRIV_H

#include "text/sse.h"
#include "toolbox/loop_priv.h"

struct tools_loops {
    struct tools_loops_args args;
    struct http_pool *pool;
    struct list runs;
    size_t running;
    bool freeing;
};

struct loop_run;
struct loop_job { // a call under way; lives until its tool let go of it
    struct tool_req req;
    struct tools *tools;
    struct loop_run *run; // NULL: nobody waits any more
    size_t index;
    struct arena *words; // what the call borrows
    struct val *input;
    struct bytes label; // of what it answers
};

enum loop_fate { LOOP_NEW, LOOP_RUNS, LOOP_TOLD, LOOP_ASKED }; // of a call; ASKED: a person is

struct loop_run {
    struct tools_loops *all;
    struct list link;
    struct http_exchange *x; // NULL: the client left, or has its answer
    struct loop_plan *plan;
    struct loop_turn turn;
    struct loop_guard guard;
    struct timer limit;
    int64_t ends_ms;
    unsigned step;
    uint64_t tokens_in, tokens_out;
    bool began; // the client's stream
    bool slow;  // the client is
    // ---- the present question to the model ----
    struct http_call *call;
    struct sse_parser sse;
    struct buf sent, answer, frame;
    struct bytes part;
    int status;
    bool events; // it answers with them
    int broken;  // E_*: its stream cannot be gone on with
    char retry[24]; // Retry-After
    // ---- the present calls ----
    struct loop_job *jobs[LOOP_CALLS_MAX];
    enum loop_fate fates[LOOP_CALLS_MAX];
    struct val *results[LOOP_CALLS_MAX]; // messages
    size_t running;
    // ---- what was said and done ----
    struct val *head;    // of its chunks
    struct val *done;    // array of calls
    struct val *pending; // array of calls that a person is asked about
    struct buf headers, as, who, label, clearance, answer_label;
    char id[160];
};

// loop.c
void tools_run_free(struct loop_run *r); // all that runs for it is let go of
int tools_run_join(struct loop_run *r, struct buf *label, struct bytes more); // label becomes both
// loop_ask.c
void tools_loop_ask(struct loop_run *r); // the model, for its next answer
void tools_loop_begin(struct loop_run *r); // the client's stream, unless it began
void tools_loop_send(struct loop_run *r, const struct val *chunk);
void tools_loop_tell(struct loop_run *r, struct val *takes_plexus); // an event of the node's own
// loop_calls.c
void tools_loop_calls(struct loop_run *r); // carries out those of the turn
void tools_loop_calls_stop(struct loop_run *r);
// loop_end.c: each ends the run
void tools_loop_next(struct loop_run *r); // the model said all of an answer: calls, or the end
void tools_loop_called(struct loop_run *r); // all calls have their results
void tools_loop_finish(struct loop_run *r, const char *stop);
void tools_loop_fail(struct loop_run *r, int code, const char *why);
void tools_loop_refused(struct loop_run *r); // the model's own answer is an error: as it came

#endif
