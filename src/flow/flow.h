// flow.h: workflows of the CNCF Serverless Workflow DSL 1.0 (1.0.0 to 1.0.3): a document becomes a
// plan; a run of it is a pure state machine: events come in, commands go out. No clock, no chance,
// no I/O: time and everything that was found out arrive in events, so that the same events always
// give the same commands (port/journal.h keeps them; `runs` carries the commands out).
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_FLOW_FLOW_H
#define PLEXUS_FLOW_FLOW_H

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "text/val.h"

// ---- documents ----------------------------------------------------------------------------------

struct flow_plan; // a checked and compiled document; immutable, counted

struct flow_finding { // what is wrong, and where
    uint32_t line, column;  // of the text, from 1; 0: not known
    char task[128];         // the nearest task's name, or empty
    char pointer[256];      // RFC 6901, "/do/0/getPet/with"
    char message[512];      // with the way to mend it
};
#define FLOW_FINDINGS_MAX 32
struct flow_findings {
    struct flow_finding at[FLOW_FINDINGS_MAX];
    size_t count;
};

// Another document that this one needs before it can run: a function of a catalog, an external
// schema. Fetched once, kept with the document in its bundle.
struct flow_need {
    struct bytes uri; // where it is: "https://.../functions/log/1.0.0/function.yaml"
    const struct val
        *endpoint; // the endpoint object as the document says it (authentication), or NULL
    const char *what; // "function log:1.0.0@default", "schema of task getPet"
};

// text: YAML or JSON, or a bundle:
// {"plexus":"flow-bundle/1","document":TEXT,"resources":{URI:TEXT}}. 0: whole. 1: well, but needs
// other documents (flow_plan_need): give their texts in a bundle and make it anew. E_PARSE,
// E_SCHEMA, E_INVALID: the findings say all that is wrong (f may be NULL); e has the first with its
// place. E_TOOBIG: over 4 MiB or 10,000 tasks.
int flow_plan_new(struct flow_plan **ret, struct bytes text, struct flow_findings *f,
                  struct err *e);
struct flow_plan *flow_plan_ref(struct flow_plan *p);
void flow_plan_unref(struct flow_plan *p);
void flow_plan_auto(struct flow_plan **p);
bool flow_plan_need(const struct flow_plan *p, size_t *at, struct flow_need *ret);
// A bundle of the document and more resources (a JSON object URI → text), as its canonical text.
int flow_bundle(struct buf *out, struct bytes text, const struct val *resources, struct err *e);

struct bytes flow_document_schema(void); // schema.json, for editors

struct flow_about {
    const char *namespace, *name, *version, *dsl, *title, *summary; // title, summary may be ""
    const char *hash; // SHA-256 of the bundle's text, hex: names the plan in histories
    struct bytes text; // the document as it was given; bundle: with its resources
    struct bytes bundle;
    const struct val *schedule; // NULL: none
    const struct val *metadata; // NULL: none
    const struct val *input; // JSON Schema that stands in the document; NULL: none
    bool stall; // metadata.plexus.stall: an uncaught error waits for a person instead of ending the
                // run
    size_t tasks;
};
void flow_plan_about(const struct flow_plan *p, struct flow_about *ret);
// The names of its secrets (use.secrets). false at the end.
bool flow_plan_secret(const struct flow_plan *p, size_t *at, struct bytes *ret_name);
// The tasks as a graph for people:
// {"tasks":[{"pointer","name","kind","parent","branch","then":[pointers or "end"], "case":...}]} in
// the order of the document.
int flow_plan_graph(const struct flow_plan *p, struct buf *out);

// The cases that a document brings (metadata.plexus.cases); NULL: none.
const struct val *flow_cases(const struct flow_plan *p);
// Is the end of a run, {"status","output"|"error"}, what the case says? What is wrong is added to
// why; nothing: it passed.
void flow_case_judge(const struct val *one, const struct val *end, struct buf *why);
int64_t flow_case_timeout_ms(const struct val *one); // its own, or the default

// Semantic versions: below 0, 0, above 0. What was built ("+5") does not count.
int flow_version_cmp(struct bytes a, struct bytes b);

// ---- time ---------------------------------------------------------------------------------------

// ISO 8601 duration ("P1DT2H", "PT0.5S"; years and months are refused: their length is not fixed)
// or an object of days, hours, minutes, seconds, milliseconds. E_INVALID.
int flow_duration(const struct val *v, int64_t *ret_ms, struct err *e);
// Cron: five fields (minute hour day month weekday; lists, ranges, steps, names, L is refused), or
// six with seconds first, or @hourly, @daily, @weekly, @monthly, @yearly. UTC.
struct flow_cron {
    uint64_t seconds, minutes;
    uint32_t hours, days, months, weekdays;
    bool any_day, any_weekday;
};
int flow_cron_parse(struct flow_cron *ret, struct bytes text, struct err *e);
int64_t flow_cron_next(const struct flow_cron *c, int64_t after_ms); // wall; TIME_NEVER: never

// ---- events and commands: the history -----------------------------------------------------------

#define FLOW_DECIDER_VERSION 1
#define FLOW_NOT_BEGUN "nobody began the activity in the time of metadata.plexus.start"

// One entry of a history. As JSON: {"t":"done","id":12,"at":1790000000000,"data":{...}}.
// data by type; a member in [] may be missing:
enum flow_type {
    // What happened (in):
    FLOW_STARTED, // {"input","run","namespace","name","version","plan":HASH,"decider":N,"seed":N,["parent":{"run","id"}],["by"],["label"],["chapter_max":N
                  // entries: then a roll; none: never]}
    FLOW_EVALUATED, // id of an eval: {"out":[...]} or {"error":PROBLEM}
    FLOW_DONE, // id of an act or child: {"output",["node"]}
    FLOW_FAILED, // id of an act or child: {"error":PROBLEM,["node"],["final":true: no retry of its
                 // own helps]}
    FLOW_FIRED, // id of a timer
    FLOW_EVENT, // {"event":CLOUDEVENT,["signal":true: sent to this run; is kept until a listen
                // takes it]}
    FLOW_HAND, // {"action":"retry|skip|edit|pause|resume|cancel|terminate",["task":POINTER],["input"],["output"],["by"],["reason"]}
    FLOW_TICK, // after a yield
    FLOW_ROLLED, // first of a chapter: {"state":what flow_save gave,"chapter":N}
    // What shall happen (out). ids are counted from 1 over all commands of a run (cancel's id is
    // that of what it cancels):
    FLOW_ACT, // {"kind":"http","task":POINTER,"name","args",["attempt":N from
    // 1],["queue"],["timeout_ms"],["label"],["start_ms": who does not find a doer in this time
    // answers with FLOW_NOT_BEGUN]}
    FLOW_CHILD, // {"task",["namespace"],"name",["version"],"input","await":BOOL}: not awaited: done
                // comes at once with the child's run
    FLOW_TIMER, // {"due":WALL_MS,"task","why":"wait|retry|timeout|schedule"}
    FLOW_EVAL, // {"program","input","vars":{},"now":WALL_MS}: jq that is not plain
    FLOW_LISTEN, // {"task","filters":[{"type":"...",...}]}: attributes with a constant value; an
                 // event that fits one of them is wanted. [{}]: every event
    FLOW_CANCEL, // id of what is not wanted any more; of a child: it is cancelled; no answer is
                 // needed. At a faulted end all is cancelled, and asked for anew when a person
                 // opens the run again; acts and children that nobody awaits go on after the end
    FLOW_YIELD, // much was done: a tick is wanted after the commit
    FLOW_ROLL, // {"state"}: the history begins anew with rolled
    FLOW_END, // {"status":"completed|faulted|cancelled|terminated",["output"],["error":PROBLEM]}
    FLOW_STALL, // {"task","error":PROBLEM}: a person is wanted
};
// PROBLEM (RFC 7807): {"type":URI,"status":N,["title"],["detail"],["instance":POINTER]}.

struct flow_event {
    enum flow_type type;
    uint64_t id; // 0: none
    int64_t at_ms; // wall; of a command: of the event that caused it
    struct val *data; // owned by whoever owns the event; NULL: none
};
const char *flow_type_name(enum flow_type t); // "done"
bool flow_type_is_command(enum flow_type t);
int flow_event_parse(struct flow_event *ret, struct bytes json, struct err *e);
int flow_event_put(struct buf *out, const struct flow_event *ev);
void flow_event_fini(struct flow_event *ev);

// ---- runs ---------------------------------------------------------------------------------------

struct flow_run;

// What happened to a task, for eyes only (pages, lifecycle events): it is not in the history and
// comes again at a replay.
enum flow_note_kind {
    FLOW_NOTE_STARTED,
    FLOW_NOTE_RETRIED,
    FLOW_NOTE_WAITING,
    FLOW_NOTE_COMPLETED,
    FLOW_NOTE_FAULTED,
    FLOW_NOTE_SKIPPED,
    FLOW_NOTE_CANCELLED,
    FLOW_NOTE_SUSPENDED,
    FLOW_NOTE_RESUMED,
};
struct flow_note {
    enum flow_note_kind kind;
    bool workflow; // of the run, not of a task
    const char *task; // pointer; lives as long as the plan
    const char *name;
    uint32_t attempt;
    int64_t at_ms;
    struct val *data; // output, error, or NULL
};

struct flow_out { // of one step; zeroed first, flow_out_fini after
    struct flow_event *commands;
    size_t command_count, command_cap;
    struct flow_note *notes; // NULL and 0 when not wanted
    size_t note_count, note_cap;
    bool want_notes;
};
void flow_out_clear(struct flow_out *o); // keeps the memory
void flow_out_fini(struct flow_out *o);

enum flow_status {
    FLOW_PENDING,
    FLOW_RUNNING,
    FLOW_WAITING,
    FLOW_SUSPENDED,
    FLOW_STALLED,
    FLOW_COMPLETED,
    FLOW_FAULTED,
    FLOW_CANCELLED,
    FLOW_TERMINATED,
};
const char *flow_status_name(enum flow_status s);

int flow_run_new(struct flow_run **ret, struct flow_plan *plan, struct err *e); // refs plan
void flow_run_free(struct flow_run *r);
void flow_run_auto(struct flow_run **r);
// The one function. ev is borrowed. Commands are added to out in their order; they and the event
// belong into one commit. 0. E_INVALID: an event that cannot be (an id that nobody waits for is not
// that: late and double answers are taken and change nothing), E_CONFLICT: a hand that has nothing
// to act on, E_FULL: too many signals or events that wait to be looked at, E_TOOBIG: an input,
// output or event with more than 400 levels, E_UNSUPPORTED: a history of a newer decider: then
// nothing has changed, and the event does not belong into the history. E_NOMEM: the run is spoilt
// (each later step says E_NOMEM, too): free it and fold its history anew, or load its state. What
// an expression makes is limited to 64 MiB: beyond, it is an expression error of the flow, as is
// whatever else a document does wrong. After FLOW_END a run takes only hand "retry", "skip", "edit"
// (a faulted one goes on from the failed task) and ignores what comes late. After FLOW_ROLL the
// next event is FLOW_ROLLED with the same state, first of the new chapter: a live run takes it as
// well as a new one, and gives no commands.
int flow_step(struct flow_run *r, const struct flow_event *ev, struct flow_out *out, struct err *e);
// Folds what is in a history: events are stepped, commands compared with what the steps gave.
// E_CONFLICT: "entry 17: the history says act 4 http, this plexus decides act 4 shell". Call for
// each entry in order, then flow_replay_end.
struct flow_replay;
int flow_replay_new(struct flow_replay **ret, struct flow_plan *plan, struct err *e);
int flow_replay_entry(struct flow_replay *p, const struct flow_event *ev, struct err *e);
// Gives the run; E_CONFLICT when commands are missing that the history's last event must have given
// (cut: allowed; they are in out).
int flow_replay_end(struct flow_replay *p, struct flow_run **ret, struct flow_out *out,
                    struct err *e);
void flow_replay_free(struct flow_replay *p);

enum flow_status flow_run_status(const struct flow_run *r);
uint64_t flow_run_entries(const struct flow_run *r); // of this chapter: events and commands
// Commands whose answer is still awaited (act, child, timer, eval, listen), borrowed; in order of
// their ids. false at the end.
bool flow_run_pending(const struct flow_run *r, size_t *at, const struct flow_event **ret);
int64_t flow_run_wake_ms(const struct flow_run *r); // earliest timer, TIME_NEVER
// The whole state as JSON and back; flow_load + the same events = the same commands.
struct val *flow_save(const struct flow_run *r);
int flow_load(struct flow_run **ret, struct flow_plan *plan, const struct val *state,
              struct err *e);
// For people:
// {"status","input","output","error","context","started","ended","tasks":[{"task":POINTER,"name","kind","state",
// "count":times,"attempt","started","ended","due","input","output","error","iteration"}]}; values
// over 4 KiB are cut to {"$cut":bytes,"preview":"..."} unless full.
int flow_run_view(const struct flow_run *r, bool full, struct buf *out);

// Lifecycle CloudEvent of a note ("io.serverlessworkflow.task.completed.v1" with the spec's data),
// as JSON. id and source make it unique. 0, or 1: this note has none.
int flow_lifecycle(struct buf *out, const struct flow_run *r, const struct flow_note *n,
                   const char *run, const char *source, uint64_t seq);

// A coarse question for who has many listeners: may this CloudEvent (JSON object) fit these
// filters?
bool flow_filter_fits(const struct val *filters, const struct val *event);

#endif
