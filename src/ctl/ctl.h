// ctl.h: the node's own API below /api/ (docs/API.md): one table of operations, the live events of
// the console, and the log tail. All functions but ctl_log_line belong to the loop thread.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_CTL_CTL_H
#define PLEXUS_CTL_CTL_H

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/log.h"
#include "config/config.h"
#include "host/host.h"
#include "http/http.h"
#include "models/models.h"
#include "port/clock.h"
#include "port/work.h"
#include "text/json.h"
#include "trust/trust.h"

struct ctl;

// ---- what the node tells about itself -----------------------------------------------------------

struct ctl_node {
    const char *version, *address; // "0.1.0", "http://127.0.0.1:8000"
    int64_t started_ms;            // wall
    int64_t uptime_ms;
    bool ready, draining;
};

struct ctl_request { // one request of the model API; slices are read at once
    struct bytes id, model, path, key; // key: the key's name, or empty
    bool running;                      // false: it waits for its model
    bool stream;
    int64_t age_ms;
    int64_t first_byte_ms; // -1: none yet
    uint64_t tokens;
    double tokens_per_s;
};

struct ctl_totals {
    uint64_t requests, errors, tokens_in, tokens_out, connections;
    double requests_per_s;
};

// ---- answers that may come later ----------------------------------------------------------------

// Exactly one of the three functions below ends it, now or later, on the loop thread. Harmless when
// the client has left meanwhile.
struct ctl_answer;
void ctl_answer(struct ctl_answer *a, int status, struct bytes json); // copies json
void ctl_answer_error(struct ctl_answer *a, const struct err *e);
// The client leaves before the answer came: left is called, once. The answer is still to be ended,
// now or later: what it was for may be given up. NULL: no more.
void ctl_answer_left(struct ctl_answer *a, void (*left)(void *user), void *user);
// Has the answer made on the helper pool: run is called there and touches only arg; free_arg (may
// be NULL) is called on the loop thread, whatever happens. run: 0 and JSON text in json, or E_* in
// e.
void ctl_answer_work(struct ctl_answer *a, int (*run)(void *arg, struct buf *json, struct err *e),
                     void *arg, void (*free_arg)(void *arg));

// ---- the node -----------------------------------------------------------------------------------

// Operations of the mesh; docs/API.md has their bodies.
enum ctl_mesh_op {
    CTL_MESH_SHOW,
    CTL_MESH_INIT,
    CTL_MESH_JOIN,
    CTL_MESH_LEAVE,
    CTL_MESH_TOKENS,
    CTL_MESH_TOKEN_NEW,
    CTL_MESH_TOKEN_REMOVE,
    CTL_MESH_SVID,
    CTL_MESH_STANDBY,
    CTL_MESH_NODE_REMOVE,
    CTL_MESH_NODE_DRAIN,
    CTL_MESH_NODE_UNDRAIN,
    CTL_MESH_RESOLVE,
};
struct ctl_mesh_ask {
    enum ctl_mesh_op op;
    struct bytes name;       // of the path, decoded
    struct bytes query;      // undecoded
    const struct json *body; // an object, or NULL; gone when the call returns
};

// Operations of flows; docs/API.md has their queries, bodies and answers.
enum ctl_flow_op {
    CTL_FLOW_LIST,
    CTL_FLOW_START,
    CTL_FLOW_CHECK,
    CTL_FLOW_SHOW,
    CTL_FLOW_HISTORY,
    CTL_FLOW_EXPORT,
    CTL_FLOW_EVENTS, // answer as CTL_FLOW_SHOW does: ctl makes the stream of it ("open": false ends
                     // it)
    CTL_FLOW_RETRY,
    CTL_FLOW_SKIP,
    CTL_FLOW_EDIT,
    CTL_FLOW_PAUSE,
    CTL_FLOW_RESUME,
    CTL_FLOW_CANCEL,
    CTL_FLOW_TERMINATE,
    CTL_FLOW_RESET,
    CTL_FLOW_SIGNAL,
    CTL_FLOW_EVENT,
    CTL_FLOW_DOCUMENTS,
    CTL_FLOW_DOCUMENT_ADD,
    CTL_FLOW_DOCUMENT_REMOVE,
    CTL_FLOW_PRUNE,
    CTL_FLOW_STATS,
    CTL_FLOW_DOCUMENT_EVAL,
    CTL_FLOW_DOCUMENT_PROMOTE,
    CTL_FLOW_OPS // how many
};
#define CTL_FLOW_ID_MAX 200
// All gone when the call returns. Members of the body are known ones of the right kind (input,
// output and data: any JSON; durations can be read; signal and event: an object with a type).
struct ctl_flow_ask {
    enum ctl_flow_op op;
    struct bytes id; // of the path, decoded: a run; CTL_FLOW_DOCUMENT_*: the namespace, ...
    struct bytes sub, version; // ... name and version
    struct bytes query; // undecoded
    const struct json *body; // an object, or NULL
    void *
        owner; // whom the exchange belonged to when it came (http_owner): the caller's key, or NULL
};
// The answer to a document that is not well: 400, findings (a JSON array) inside the error.
void ctl_answer_findings(struct ctl_answer *a, const struct err *e, struct bytes findings);

// Operations of tools; docs/API.md has their bodies and answers.
enum ctl_tool_op {
    CTL_TOOL_LIST,
    CTL_TOOL_CALLS,
    CTL_TOOL_SERVERS,
    CTL_TOOL_ADD,
    CTL_TOOL_SHOW,
    CTL_TOOL_REMOVE,
    CTL_TOOL_CALL,
    CTL_TOOL_GRANT,
    CTL_TOOL_REVOKE,
    CTL_TOOL_PUBLISH,
    CTL_TOOL_EVAL,
    CTL_TOOL_PROMOTE,
    CTL_TOOL_OPS // how many
};
// All gone when the call returns. Members of the body are known ones of the right kind.
struct ctl_tool_ask {
    enum ctl_tool_op op;
    struct bytes name; // of the path, decoded
    struct bytes query; // undecoded
    const struct json *body; // an object, or NULL
    const struct http_exchange *x;
    void *owner; // whom the exchange belonged to when it came (http_owner): the caller's key
    unsigned scopes; // what the caller may do
};

struct ctl_ops {
    const struct config *(*config)(void *user); // the one in use
    void (*node)(void *user, struct ctl_node *ret);
    void (*totals)(void *user, struct ctl_totals *ret);
    // Walks the requests in flight: *at is NULL at the start; false: no more.
    bool (*request)(void *user, void **at, struct ctl_request *ret);
    // What this machine is, as last seen; NULL: not yet (ctl_profile_changed says when).
    const struct host_profile *(*profile)(void *user);
    // A model was loaded, unloaded or pinned: drain models_effect.
    void (*after)(void *user);
    // The key table changed: save it. When that fails the change is taken back and the error told.
    int (*keys_changed)(void *user, struct err *e);
    // Reads the config again. changes gets a JSON array [{"what","name","action"}]. E_CONFIG with
    // the findings: nothing was changed. ctl tells its subscribers itself.
    int (*reload)(void *user, struct buf *changes, struct err *e);
    void (*down)(void *user); // the answer is on its way: drain and end
    void (*doctor)(void *user, struct ctl_answer *a); // slow: see ctl_answer_work
    void (*mesh)(void *user, const struct ctl_mesh_ask *ask, struct ctl_answer *a);
    // NULL: flows are off.
    void (*flow)(void *user, const struct ctl_flow_ask *ask, struct ctl_answer *a);
    // NULL: there are none.
    void (*tool)(void *user, const struct ctl_tool_ask *ask, struct ctl_answer *a);
    // The object of GET /api/mesh, for the event; 0 when there is nothing to tell.
    int (*mesh_put)(void *user, struct buf *out);
    // What the caller may know, for who listens to the bus; NULL: everything.
    struct label (*clearance)(void *user, const struct http_exchange *x);
    // May come from any thread: have ctl_wake called soon on the loop thread. NULL: ctl_log_line is
    // called by the loop thread alone.
    void (*wake)(void *user);
};

struct ctl_args {
    struct timers *timers;
    struct work *work;
    struct models *models;
    struct keys *keys;
    const struct ctl_ops *ops; // borrowed; all functions but flow, tool, wake are needed
    void *user;
    size_t readers_max; // streams of events and logs at once, default 64: over it 503
    size_t queue_bytes_max; // waiting frames of one slow reader of events, default 256 KiB
    size_t log_lines_max; // default 2000
    size_t log_bytes_max; // default 1 MiB
};
int ctl_new(struct ctl **ret, const struct ctl_args *args, struct err *e);
struct bus;
void ctl_set_bus(struct ctl *c, struct bus *b); // NULL: there is none any more
void ctl_set_bus_note(struct ctl *c, const char *note); // what it waits for; "": nothing
// The node drains: readers get a last snapshot and their streams end, waiting loads get their
// error.
void ctl_close(struct ctl *c);
void ctl_free(struct ctl *c); // exchanges may outlive it (their owners let go)

// The door: call with the whole request. 1: the path is ours (/api, /api/...) and is answered or
// owned; 0: not ours. scopes: what the caller may do (SCOPE_*; the unix socket: SCOPE_ALL); key,
// Host and Origin were checked before.
int ctl_handle(struct ctl *c, struct http_exchange *x, unsigned scopes);

// One operation of the table, for docs and GET /api; false at the end.
struct ctl_operation {
    const char *method, *path, *scope, *what;
};
bool ctl_operation(size_t i, struct ctl_operation *ret);

// ---- events: push them when they happen; cheap when nobody listens ------------------------------

bool ctl_watched(const struct ctl *c); // somebody reads /api/events
void ctl_model_changed(struct ctl *c, const struct model *m); // also ends load?wait=1
void ctl_request_event(struct ctl *c, const struct ctl_request *r, bool end);
void ctl_stat(struct ctl *c); // figures now; ctl does it each second while somebody listens
void ctl_mesh_changed(struct ctl *c); // readers get it soon, at most 4 times a second
// After a reload that did not come through the API (SIGHUP): the same array as ops.reload gives.
void ctl_config_changed(struct ctl *c, struct bytes changes);
void ctl_profile_changed(struct ctl *c); // ops.profile has news: readers get a snapshot
// Of flows. One run's readers (/api/flows/ID/events) get the lifecycle CloudEvents and the progress
// of its activities (a model's text so far, as JSON); all readers of /api/events what changed.
bool ctl_flow_watched(const struct ctl *c);
void ctl_flow_event(struct ctl *c, struct bytes run, struct bytes cloudevent);
void ctl_flow_progress(struct ctl *c, struct bytes run, struct bytes task, struct bytes detail);
struct ctl_flow_change {
    struct bytes run, status; // "running"
    struct bytes task, kind; // pointer and what happened to it ("started"); or empty
    bool open; // false: it has ended, and so do the streams of its readers
};
void ctl_flow_changed(struct ctl *c, const struct ctl_flow_change *f);
// A call of a tool began or ended, or the list changed: a JSON object, told under the name.
void ctl_tool_event(struct ctl *c, struct bytes id, const struct buf *json);
// Any thread: fits log_watch. Keeps the line for /api/logs and sends it to the readers. The tag is
// the line's own "model" member.
void ctl_log_line(void *ctl, enum log_level level, struct bytes line);
// The last lines, one JSON object each, oldest first.
void ctl_log_last(struct ctl *c, uint64_t lines, struct buf *out);
void ctl_wake(struct ctl *c); // the loop's answer to ops.wake

struct ctl_stats {
    size_t event_readers, log_readers;
    uint64_t frames_dropped; // for slow readers, who got a snapshot instead
    uint64_t log_lines, log_bytes;
};
void ctl_stats(const struct ctl *c, struct ctl_stats *ret);

#endif
