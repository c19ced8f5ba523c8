// run_priv.h: a run while it goes: a tree of frames, one for each task that is under way, and what
// the parts of the decider share. A step takes one event, marks the frames that it wakes, and
// moves these on until each waits for something; nothing here looks at a clock or waits itself.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_FLOW_RUN_PRIV_H
#define PLEXUS_FLOW_RUN_PRIV_H

#include "base/alloc.h"
#include "base/list.h"
#include "base/time.h"
#include "flow/plan_priv.h"

#define FLOW_DEPTH_MAX 256 // tasks within tasks, functions within functions
#define FLOW_TURNS_MAX 1000 // tasks of one step: then a yield
#define FLOW_SIGNALS_MAX 1000 // kept for a later listen
#define FLOW_HEARD_MAX 100000 // events that one listen gathers
#define FLOW_VALUE_DEPTH_MAX                                                                       \
    400 // of a value: so that what is around it in a history can be read, too
#define FLOW_SEEN_BYTES 16384 // of a task's last input and output, kept for eyes

// What a function of a phase says: go on, wait for an event, an error was raised (in step.problem),
// the frame is gone. Negative: the run is spoilt (no memory).
enum { TURN_ON = 0, TURN_WAIT = 1, TURN_RAISED = 2, TURN_GONE = 3 };

enum phase {
    PHASE_IF,
    PHASE_BEFORE, // of extensions
    PHASE_INPUT,
    PHASE_TIMEOUT,
    PHASE_BODY,
    PHASE_OUTPUT,
    PHASE_EXPORT,
    PHASE_AFTER,
    PHASE_DONE,
    PHASE_RISE, // an error looks for who catches it
    PHASE_FAILED, // nobody did: the run has ended, or it waits for a person
};
// Steps of a body; each kind uses those that it needs.
enum {
    STEP_START,
    STEP_WAIT, // for the answer to `wait`
    STEP_GOT, // it is in `got` (or `error`)
    STEP_LIST, // children are under way
    STEP_LISTED, // their list has ended with `carry`
    STEP_NEXT, // for: the next item; listen: the next event
    STEP_CATCH, // try: an error was caught
    STEP_DELAY, // try: until the next attempt
    STEP_UNTIL, // listen: is it enough?
};
enum part { PART_BODY, PART_HANDLER, PART_BEFORE, PART_AFTER }; // which list the children are of
enum role { ROLE_NONE, ROLE_BODY, ROLE_EVAL, ROLE_TIMEOUT, ROLE_ATTEMPT };
#define ROLES 5

struct answer { // a result of libjq, until its phase is through
    uint32_t expr;
    struct val *data; // of evaluated
};

struct frame {
    const struct flow_task *task; // NULL: the run itself
    struct frame *parent, *first, *last, *next, *prev; // children in order
    struct list ready;
    uint32_t depth, children, slot; // slot: of the last flow_save
    uint8_t phase, step, part, failed; // failed: the phase that did
    bool extension; // inside an extension: is not extended itself
    bool skipped, exited, cut, stalled, faulted;
    bool own; // an error that this try itself may catch (its attempt took too long)
    struct flow_go go;
    struct val *raw, *input, *out; // out: raw output, then transformed
    struct val *carry, *got, *error;
    struct val *items; // for: collection; fork: outputs; listen: what was read
    struct val *inbox, *keys; // listen: events to look at; correlations (call: what each item gave)
    struct val *item; // for, listen: the present one
    uint64_t index, mask, until; // for, listen: of it; listen all: which filters have had theirs
    uint64_t wait[ROLES]; // ids of commands, by role
    int64_t started_ms, due_ms, timeout_ms, first_ms; // first: of a try's first attempt
    uint32_t attempt, left, extensions; // attempt: retries; left: branches of a fork, events of the
                                        // inbox that were looked at; extensions: the next one
    struct frame *rise; // how far the error rose
    struct answer *answers;
    uint32_t answer_count, answer_room, occurrence;
};

struct pend { // a command whose answer is awaited
    struct flow_event ev;
    struct frame *frame; // NULL: nobody waits, but it is under way
    enum role role;
};

enum seen_state {
    SEEN_NONE,
    SEEN_RUNNING,
    SEEN_WAITING,
    SEEN_COMPLETED,
    SEEN_FAULTED,
    SEEN_SKIPPED,
    SEEN_CANCELLED,
    SEEN_STALLED,
};
struct seen { // what people see of a task
    uint8_t state;
    uint32_t count, attempt;
    int64_t started_ms, ended_ms;
    struct val *input, *output, *error;
};

struct flow_run {
    struct flow_plan *plan;
    enum flow_status status; // PENDING, RUNNING or an end
    int spoilt; // E_NOMEM: free it
    struct val *started; // its data without input
    struct val *raw_input, *context, *workflow; // workflow: $workflow
    struct val *output, *error;
    int64_t started_ms, ended_ms;
    uint64_t next_id, entries, chapter_max, seed;
    bool paused, yielded, rolling;
    struct frame *root;
    struct list ready;
    struct pend *pends; // by id
    size_t pend_count, pend_cap, busy, stalled; // busy: acts, children and evals among them
    struct val *signals; // [{"s":SERIAL,"e":EVENT}]
    uint64_t next_signal;
    struct seen *seen; // by task
};

struct step { // one call of flow_step
    struct flow_run *r;
    struct flow_out *out;
    int64_t at_ms;
    struct val *problem; // of TURN_RAISED
    unsigned turns;
    struct err *e;
};

// Where an expression is evaluated.
struct place {
    struct frame *f; // answers are kept there, and it waits
    struct frame *scope; // whose variables are seen
    struct val *dot; // `.`
    struct val *output; // $output
    struct bytes name; // one more variable
    struct val *value;
};

// run.c
struct frame *flow_frame_new(struct frame *parent, const struct flow_task *t);
void flow_frame_free(struct flow_run *r, struct frame *f); // without children and commands
struct frame *flow_frame_next(const struct frame *root, const struct frame *f); // depth first
void flow_set(struct val **at, struct val *takes);
void flow_ready(struct flow_run *r, struct frame *f);
void flow_answers_drop(struct frame *f);
struct pend *flow_pend_find(struct flow_run *r, uint64_t id);
int flow_pend_add(struct flow_run *r, const struct pend *p); // refs its data
void flow_pend_del(struct flow_run *r, struct pend *p);
bool flow_small(const struct val *v, size_t max); // at most so many bytes of memory
struct seen *flow_seen(struct flow_run *r, const struct frame *f);
void flow_seen_keep(struct val **at, struct val *v);

// step_out.c: commands and notes
int flow_command(struct step *s, enum flow_type t, struct val *takes_data, uint64_t *ret_id);
int flow_ask(struct step *s, struct frame *f, enum role role, enum flow_type t,
             struct val *takes_data);
int flow_unask(struct step *s, struct frame *f, enum role role); // cancel, where it waits
int flow_ask_timer(struct step *s, struct frame *f, enum role role, int64_t due_ms,
                   const char *why);
int flow_note(struct step *s, enum flow_note_kind k, const struct frame *f, struct val *data);

// problem.c
enum problem_kind {
    PROBLEM_CONFIGURATION,
    PROBLEM_VALIDATION,
    PROBLEM_EXPRESSION,
    PROBLEM_AUTHORIZATION,
    PROBLEM_TIMEOUT,
    PROBLEM_COMMUNICATION,
    PROBLEM_RUNTIME,
};
int flow_problem(struct step *s, enum problem_kind k, const char *fmt, ...)
    __attribute__((format(printf, 3, 4))); // TURN_RAISED
struct val *flow_problem_whole(const struct val *v, const char *instance); // with type, status
bool flow_problem_same_type(struct bytes a, struct bytes b);

// step_expr.c
int flow_eval(struct step *s, struct place *p, const struct flow_expr *x, struct val **ret);
int flow_test(struct step *s, struct place *p, const struct flow_expr *x, bool *ret);
// late: expressions that read secrets stay as {"$late":...}
int flow_fill(struct step *s, struct place *p, const struct flow_tmpl *t, bool late,
              struct val **ret);
bool flow_reserved(const struct val *v);
int flow_unreserved(struct step *s, const struct val *v); // TURN_RAISED: it has "$late" inside
int flow_depth(struct step *s, const struct val *v, const char *what); // TURN_RAISED: too deep
int flow_dur_ms(struct step *s, struct place *p, const struct flow_dur *d, int64_t *ret_ms);
int flow_schema(struct step *s, const struct flow_io *io, const struct val *v, const char *what);

// step_frame.c: the phases
int flow_frames(struct step *s); // moves on what is ready
int flow_spawn(struct step *s, struct frame *parent, const struct flow_task *t, struct val *input);
int flow_list_start(struct step *s, struct frame *f, const struct flow_list *l, enum part part,
                    struct val *input);
int flow_child_done(struct step *s, struct frame *p, const struct flow_task *t,
                    struct val *takes_out, struct flow_go go);
void flow_to(struct frame *f, int step);
int flow_kill(struct step *s, struct frame *f); // with all that is inside
int flow_kill_children(struct step *s, struct frame *f);
int flow_finish(struct step *s, struct val *takes_out); // `end`: the workflow's raw output

// step_kinds.c, step_act.c, step_try.c, step_listen.c: bodies
int flow_body_do(struct step *s, struct frame *f);
int flow_body_set(struct step *s, struct frame *f);
int flow_body_switch(struct step *s, struct frame *f);
int flow_body_for(struct step *s, struct frame *f);
int flow_body_fork(struct step *s, struct frame *f);
int flow_body_raise(struct step *s, struct frame *f);
int flow_body_wait(struct step *s, struct frame *f);
int flow_body_call(struct step *s, struct frame *f);
int flow_body_run(struct step *s, struct frame *f);
int flow_body_emit(struct step *s, struct frame *f);
int flow_body_try(struct step *s, struct frame *f);
int flow_body_listen(struct step *s, struct frame *f);
int flow_raise(struct step *s, struct frame *f, struct val *takes_problem);
int flow_rise(struct step *s, struct frame *f);
int flow_end(struct step *s, enum flow_status how);
int flow_each_done(struct step *s, struct frame *f, const struct flow_io *output,
                   const struct flow_io *export, struct val **list);
int flow_hear(struct step *s, struct val *event, bool signal);

// step_match.c: does this event fit?
int flow_match(struct step *s, struct frame *f, const struct flow_filter *x,
               const struct val *event,
               bool *ret); // may learn a correlation: f->keys
struct val *flow_filters(const struct flow_consume *c); // the constant part, for listen

// step_hand.c
int flow_hand(struct step *s, const struct val *data);

// load.c
int flow_load_into(struct flow_run *r, const struct val *state, struct err *e);

#endif
