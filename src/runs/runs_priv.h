// runs_priv.h: what the parts of the driver share. A run goes event by event: a post is stepped
// (flow_step), the event and its commands are written, and when the write is on the disk its
// commands are carried out. Nothing between two runs is done in one piece: it is a mail, a small
// value that is written with the sender's entry and removed with the receiver's.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_RUNS_RUNS_PRIV_H
#define PLEXUS_RUNS_RUNS_PRIV_H

#include "base/alloc.h"
#include "base/map.h"
#include "runs/runs.h"
#include "runs/worker.h"

#define RUNS_LOADS_MAX 256     // runs read from the journal at once
#define RUNS_WRITES_MAX 8192   // on their way to the disk
#define RUNS_WINDOW_MS 600000  // timers nearer than this are known in memory
#define RUNS_LOOK_MS 1000      // longest sleep of the timer: the wall clock may jump
#define RUNS_DEPTH_MAX 32      // children of children
#define RUNS_OUTPUT_MAX ((size_t)20 << 20) // of an activity, in memory
#define RUNS_PLANS_MAX 512     // compiled documents kept
#define RUNS_TEXT_MAX ((size_t)256 << 20)
#define RUNS_ID_MAX 512

struct run;
struct ask;

// ---- what is known of a run, loaded or not ------------------------------------------------------

struct hears { // filters that some runs wait on, each text once
    struct list link;
    struct val *filters;
    struct list spots;
    struct bytes text; // the map's key is a copy
};
// There is one for each run that is loaded, listens, has a timer soon, or is waited for.
struct spot {
    int64_t wake_ms;
    size_t heap_at; // SIZE_MAX: not in it
    struct hears *hears;
    struct list hears_link;
    struct list waits; // struct ask
    struct run *run;   // NULL: not loaded
    bool mine;         // this node's run: its activities may be begun
    bool open;         // as it is on the disk, of a loaded one
    struct bytes id;
};

enum run_state { RUN_LOADING, RUN_LIVE, RUN_GONE };
struct run {
    struct runs *s;
    struct spot *spot; // NULL: gone
    enum run_state state;
    struct flow_run *flow;
    struct flow_plan *plan;
    struct val *meta; // started's data without input
    int64_t started_ms, at_ms, closed_ms;
    uint64_t last; // entries, those on their way too
    uint64_t chapter;
    struct list link; // of all that are loaded: the longest unused first
    struct list inbox; // struct post
    struct list ready; // it waits for its turn to be stepped
    struct list jobs; // activities and evaluations whose answer is awaited
    struct list children; // the same of children
    struct list line; // jobs that wait for a place
    struct list turn; // of runs with such jobs
    size_t writes, pins;
    struct list unsent; // stepped, but the journal did not take them: in order, to be sent again
    bool yielded, tick; // a tick is wanted after the commit; now
    struct val *roll; // rolled is wanted, with this state
    bool ended, pumping;
    bool creating; // until its beginning is kept: there may be one of this name
    // The row, as it was last written:
    bool row_busy, row_open;
    enum flow_status row_status;
    int64_t wake_ms, row_wake_ms;
    char *listens;
    bool listens_new;
    struct list looks;  // struct ask: they want to see it when it is loaded
    struct val *output; // of the end: {"status","output"|"error"}
    struct val *note;
    struct load *load;
};

// An event on its way to a run. Freed after done.
struct post {
    struct list link;
    struct flow_event ev;
    struct bytes mail; // key of the mail that it came with, or empty
    bool create;
    struct val *puts; // more to be written with it: {KEY: TEXT or null}
    void (*done)(struct post *p, int status, const struct err *e); // kept, or not. May be NULL
    void *user;
};

enum job_where { JOB_HELD, JOB_LINE, JOB_ACT, JOB_EVAL, JOB_QUEUE, JOB_ANSWERED };
struct job {
    struct list link; // the run's
    struct list line;
    struct list written; // of its write
    struct run *run; // NULL: nobody wants it any more
    struct runs *s;
    uint64_t id;
    enum flow_type type; // act, eval, child
    enum job_where where;
    struct val *data;
    char *key; // "RUN/ID"
    struct act_req act;
    struct expr_req expr;
    struct buf input, vars;
    struct bus_req bus;
    struct timer timer;
    struct timers *timers;
    struct timer start; // until somebody begins it
    bool begun;
    bool sending;
};

struct plan_wait {
    struct list link;
    // Once, later or at once. p borrowed.
    void (*done)(struct plan_wait *w, struct flow_plan *p, const struct err *e);
    void *user;
};

struct mail { // from run to run
    struct list link; // s->mails, or a write's until it is kept
    struct runs *s;
    char *key;
    struct val *value;
    struct mail *then; // to be delivered after it
    struct plan_wait plan;
};

struct row { // as it is after a step; the run may be further on when it is written
    enum flow_status status;
    bool open, busy;
    int64_t closed_ms, wake_ms;
    uint64_t chapter;
    char *listens;
    struct val *note;
};

struct write {
    struct op *op;
    struct runs *s;
    struct run *run;
    struct post *post;
    struct flow_out out;
    uint64_t first;
    bool has_row;
    struct row row;
    struct list link;    // s->writes
    struct list unsent;  // the run's
    struct list jobs;    // by `written`: to be begun
    struct list cancels; // by `link`: not wanted any more
    struct list mails;   // out
    struct val *puts;    // {KEY: TEXT or null}
    struct val *output;  // of the end
};

struct receipt { // of an answer from a queue, until it is kept
    struct list link;
    struct runs *s;
    uint64_t ack;
};

// A journal request under way.
struct op {
    struct journal_req req;
    struct list link;
    struct runs *s;
    void (*done)(struct op *o, int status, const struct err *e); // o is freed after it
    bool again; // it is not: it will be used again
    void *user;
};

// ---- documents and schedules --------------------------------------------------------------------

struct doc { // registered
    struct bytes namespace, name, version, hash; // of value's
    struct val *
        value; // {"namespace","name","version","hash","by","at","title","summary",["input"],["schedule"]}
    struct list link;
};
enum schedule_kind { SCHEDULE_CRON, SCHEDULE_EVERY, SCHEDULE_AFTER, SCHEDULE_ON };
struct schedule { // of the newest version of a document
    struct runs *s;
    struct list link;
    enum schedule_kind kind;
    char *key; // "schedule/NAMESPACE/NAME"
    struct val *doc; // the document's value
    struct val *cursor; // {"at":MS of the last firing,["run"],["ended"],["heard":{INDEX:EVENT}]}
    struct flow_cron cron;
    int64_t period_ms, due_ms;
    struct val *filters; // of `on`
    bool all;
    bool firing; // a write is under way
    bool stale; // another node fired it: its cursor is looked for
    size_t refs; // of what is under way
    bool gone;
    struct timer timer;
    struct list held; // events that came while it fired
};

// ---- requests -----------------------------------------------------------------------------------

struct ask {
    struct list link;
    struct runs *s;
    struct runs_req *r; // NULL: it left
    int status;
    struct err e;
    struct buf json;
    bool done;
    // As the kind needs it:
    struct run *run; // pinned
    struct list wait; // spot->waits
    struct timer timer;
    int64_t wait_ms;
    bool waits, registers, full;
    char *id;
    struct val *input, *by, *label, *otherwise, *names, *resources;
    int (*may)(void *user, struct bytes label, struct err *e);
    void *may_user;
    struct val *event;
    struct flow_plan *plan;
    char *text;
    size_t text_n;
    size_t needs, rounds, count, taken, rows;
    uint64_t n, to;
    bool more;
    struct list mails; // of a reset
    void (*go)(struct ask *a); // when the documents are known
    void (*look)(struct ask *a, struct run *r); // when it is loaded
    struct plan_wait plan_wait;
};

struct runs {
    struct runs_args args;
    char *node, *environment;
    char **queues;
    struct bus *bus;
    struct map *spots; // id → struct spot
    struct map *ears; // text → struct hears
    struct list hears;
    struct map *plans; // hash → struct flow_plan
    struct map *texts; // document → struct flow_plan
    struct list plan_loads;
    struct map *docs; // "NAMESPACE/NAME/VERSION" → struct doc
    struct val *cursors; // key → cursor, of the last life
    struct val *seen; // key → value, of a look
    struct timer look;
    bool looks;
    uint64_t changes, look_change; // of documents and cursors here; when the look began
    struct list doc_list, schedule_list;
    struct list early, early_events; // asks: what is there is not known yet
    struct list loaded, ready, turns, loads, ops, writes, mails, old_mails, orphans, asks, answers,
        left;
    size_t loaded_count, load_count, write_count, ready_count;
    struct spot **heap;
    size_t heap_count, heap_cap;
    int64_t window_ms; // wall; timers before are in the heap
    struct timer wake, soon, refill, again, prune, starting, mail_again;
    void (*start_step)(struct runs *s);
    struct runs_worker *worker;
    size_t workers_closing;
    struct list receipts, firings;
    bool freeing;
    struct bus_sub *answers_sub, *begun_sub;
    struct bucket *buckets; // of queues with a rate
    size_t bucket_count;
    struct runs_rate *rates;
    struct map *tickets; // struct ask by ticket text
    uint64_t next_ticket, event_seq;
    size_t acts_running, acts_waiting, evals_running;
    bool full, held, listed, mails_read, docs_read, ready_told, stopped, closing, closed_told,
        in_pump;
    struct err why;
    struct buf text;
    struct bytes *slices;
    size_t slice_cap;
    // Ids of the last row of the start's listing, of its page before
    char page[RUNS_ID_MAX + 1], page_before[RUNS_ID_MAX + 1];
    size_t page_rows, page_open;
    bool page_failed, wake_armed, again_armed, loading;
    bool looks_again; // at what is open: runs of another node were taken
    uint64_t again_open;
    int64_t wake_due_ms;
    uint64_t prune_count;
    void (*closed)(void *user);
    void *closed_user;
    struct runs_stats stats;
};

// runs.c
int64_t runs_wall(struct runs *s);
void runs_soon(struct runs *s); // a round of what was put off
struct op *runs_op(struct runs *s, void (*done)(struct op *o, int status, const struct err *e),
                   void *user);
void runs_op_free(struct op *o);
void runs_stop(struct runs *s, int status, const struct err *e); // the journal stopped
bool runs_down(const struct runs *s, struct err *e); // stopped or closing
bool runs_passing(int status); // the journal may fare better soon
void runs_start_failed(struct runs *s, void (*step)(struct runs *s), int status,
                       const struct err *e); // again, or all stops
void runs_check_closed(struct runs *s);
void runs_check_ready(struct runs *s);

// table.c: spots, wakes, listening
struct spot *runs_spot(struct runs *s, struct bytes id); // NULL: nothing is known
struct spot *runs_spot_make(struct runs *s, struct bytes id);
void runs_spot_tidy(struct runs *s, struct spot *p); // frees it when nobody needs it
void runs_wake(struct runs *s, struct spot *p, int64_t wall_ms);
void runs_wake_arm(struct runs *s);
void runs_wake_due(struct runs *s);
void runs_window_move(struct runs *s);
int runs_hear(struct runs *s, struct spot *p, struct bytes listens);
void runs_table_start(struct runs *s); // the list of what is open
void runs_table_free(struct runs *s);

// load.c: runs in memory
struct run *runs_get(struct runs *s, struct bytes id, struct err *e); // loaded, or it begins
struct run *runs_new_run(struct runs *s, struct spot *p, struct flow_plan *plan); // not loaded
void runs_touch(struct run *r);
void runs_evict(struct runs *s);
void runs_forget(struct run *r, int status, const struct err *e); // posts fail, jobs are let go
void runs_exists(struct run *r, const struct err *e); // there is one of its name already
void runs_unpin(struct run *r);
void runs_free_run(struct run *r); // with all that is on its way: only when all is freed
void runs_load_go(struct runs *s);
int runs_listens_of(struct run *r, char **ret);
void runs_again(struct runs *s, int64_t ms); // in a moment: somebody had no room

// plans.c
struct flow_plan *runs_plan(struct runs *s, struct bytes hash); // borrowed, or NULL
void runs_plan_keep(struct runs *s, struct flow_plan *p);
void runs_plan_load(struct runs *s, struct bytes hash, struct plan_wait *w);
void runs_plans_free(struct runs *s);

// write.c: a step's event and commands on their way to the disk
struct write *runs_write_new(struct run *r, struct post *p);
void runs_write_send(struct write *w); // may forget the run
void runs_write_again(struct run *r); // what is unsent
int runs_row_check(struct write *w);
// drive.c: events in, commands out
void runs_note_of(struct run *r, const struct flow_event *c); // of a stall or an end
struct post *runs_post_new(enum flow_type t, uint64_t id, struct val *takes_data);
void runs_post_free(struct post *p);
void runs_post(struct run *r, struct post *takes_p);
void runs_post_fail(struct runs *s, struct post *takes_p, int status, const struct err *e);
void runs_pump(struct run *r);
void runs_pump_all(struct runs *s);
void runs_write_free(struct write *w);
// Small values alone, {KEY: VALUE or null}. 0: done (may be NULL) will come.
int runs_keys(struct runs *s, struct val *takes_puts,
              void (*done)(struct op *o, int status, const struct err *e), void *user,
              struct err *e);
int runs_put_list(const struct val *puts, struct journal_put *at, size_t max, struct buf *text);

// jobs.c
struct job *runs_job_new(struct run *r, const struct flow_event *command);
struct job *runs_job_find(struct list *jobs, uint64_t id);
void runs_job_go(struct job *j); // its command is kept
void runs_job_drop(struct job *j); // its answer is not wanted any more
void runs_job_free(struct job *j);
void runs_job_answer(struct job *j, struct val *takes_output, struct val *takes_problem, bool final,
                     struct bytes node);
void runs_job_refuse(struct job *j, int status, const struct err *e); // it cannot be begun
void runs_jobs_go(struct runs *s);
void runs_jobs_mine(struct run *r); // it is this node's: what was held begins
struct val *runs_problem(const char *kind, int status, const char *title, const char *detail);

// queue.c
bool runs_queue_is_own(const struct runs *s, const struct job *j);
void runs_queue_send(struct job *j);
void runs_queue_drop(struct job *j);
void runs_queue_free(struct job *j);
void runs_queue_start(struct runs *s);
void runs_queue_stop(struct runs *s);

// mail.c
int runs_mail_child(struct write *w, const struct flow_event *command);
int runs_mail_cancel(struct write *w, uint64_t id, struct bytes child);
int runs_mail_end(struct write *w, const struct val *data);
void runs_mail_go(struct mail *takes_m);
void runs_mail_free(struct mail *m);
void runs_mails_start(struct runs *s); // those of the last life
void runs_mails_again(struct runs *s); // some could not be delivered
struct mail *runs_mail_hand(struct runs *s, struct bytes run, const char *action);
struct mail *runs_mail_begin(struct runs *s, const struct val *meta, struct bytes run,
                             const struct flow_event *child); // of a run with this meta and id

// begin.c: a new run
struct begin {
    struct flow_plan *plan;
    struct bytes id;
    const struct val *input;
    struct val *parent; // {"run","id","depth","await"}, or NULL
    struct bytes by, label, schedule;
    struct bytes mail;
    struct val *takes_puts;
    void (*done)(struct post *p, int status, const struct err *e);
    void *user;
};
int runs_begin(struct runs *s, const struct begin *b, struct err *e);
struct bytes runs_id_make(struct runs *s, char text[32]);

// docs.c, schedule.c
struct doc *runs_doc_find(struct runs *s, struct bytes namespace, struct bytes name,
                          struct bytes version);
bool runs_doc_has(struct runs *s, struct bytes hash);
void runs_docs_start(struct runs *s);
void runs_docs_free(struct runs *s);
void runs_docs_merge(struct runs *s, const struct val *keys); // "doc/..." as they are now
void runs_doc_keep(struct ask *a, struct flow_plan *plan); // registers it
void runs_schedule_set(struct runs *s, struct bytes namespace, struct bytes name); // changed
void runs_schedules_start(struct runs *s);
void runs_schedule_event(struct runs *s, struct val *event, struct ask *a);
struct val *runs_schedule_end(struct runs *s, struct run *r); // puts of the end, or NULL
void runs_schedule_ended(struct runs *s, struct run *r);
void runs_schedules_free(struct runs *s);
void runs_schedules_merge(struct runs *s, const struct val *keys); // "schedule/..."
// limits.c
int runs_rates_new(struct runs *s, const struct runs_rate *rates, size_t count);
void runs_rates_free(struct runs *s);
bool runs_rate_holds(struct job *j); // it waits for its queue's rate: its line is the rate's
void runs_start_limit(struct job *j);
void runs_begun_listen(struct runs *s);
void runs_job_begin(struct job *j); // jobs.c
bool runs_jobs_room(const struct runs *s); // for an activity
void runs_queue_withdraw(struct job *j); // queue.c: who has it is told that nobody wants it
// shared.c
void runs_look_start(struct runs *s);
void runs_look_soon(struct runs *s);
void runs_look_stop(struct runs *s);

// asks.c
void runs_ask_go(struct ask *a, void (*go)(struct ask *a)); // now, or when documents are known
struct ask *runs_ask(struct runs *s, struct runs_req *r);
void runs_ask_done(struct ask *a, int status, const struct err *e); // json is in a->json
void runs_ask_nomem(struct ask *a);
void runs_asks_round(struct runs *s);
void runs_status_json(struct buf *out, const struct run *r); // {"id","status","output"|"error"}
void runs_ask_free(struct ask *a);
void runs_ended(struct run *r); // its end is kept: who waits is told
void runs_ask_wait(struct ask *a, struct run *r);
void runs_loaded(struct run *r); // who wanted to look at it may

// hands.c
void runs_event_taken(struct ask *a, int status, const struct err *e);
void runs_events_go(struct runs *s);

// notes.c
void runs_notes(struct write *w);

#endif
