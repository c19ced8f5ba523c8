// ctl_priv.h: what the files of this room share.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_CTL_PRIV_H
#define PLEXUS_CTL_PRIV_H

#include "base/alloc.h"
#include "base/list.h"
#include "base/thread.h"
#include "ctl/ctl.h"
#include "text/sse.h"

#define CTL_JSON_MAX ((size_t)8 << 20) // ceiling of one answer
#define CTL_JSON "application/json"
#define CTL_NO_STORE BYTES("Cache-Control: no-store\r\n")

struct log_ring {
    struct lock *lock;
    struct log_entry **entries; // seq % lines_max
    size_t lines_max, bytes_max, bytes;
    uint64_t first, next; // kept lines: [first, next)
    size_t readers;       // how many want to be woken
    bool woken;
};

struct ctl {
    struct ctl_args args;
    const struct ctl_ops *ops;
    struct list subscribers, tails, waits, answers, listeners, flow_readers;
    size_t subscriber_count, tail_count, listener_count, flow_reader_count;
    struct bus *bus; // NULL: not there
    char bus_note[200]; // what it waits for
    struct log_ring ring;
    struct timer flush, second, listen_heart, flow_heart;
    bool flushing; // the flush timer runs
    int64_t flushed_ms, heart_ms;
    uint64_t dropped;
    struct buf scratch; // one burst to one reader
    struct buf stat;    // last figures sent
    bool closed;
    bool mesh_news;      // something changed since the last event ...
    int64_t mesh_ms;     // ... which was then
    int64_t flow_burst_ms; // in the second from then on ...
    size_t flow_burst; // ... so many changes of flows were told
};

// One call of an operation, for the length of its handler.
struct ctl_call {
    struct ctl *c;
    struct http_exchange *x;
    struct bytes query;
    struct bytes name, sub, version; // the path's first {...}, second, third, decoded
    unsigned scopes; // of the caller
};
typedef void (*ctl_run_fn)(struct ctl_call *call);

// ctl_members.c: what the body of an operation may hold
enum { CTL_TEXT, CTL_ANY, CTL_BOOL, CTL_COUNT, CTL_WAIT, CTL_OBJECT, CTL_LIST, CTL_DURATION };
#define CTL_NEEDED 16 // or-ed to the kind
#define CTL_MEMBERS_MAX 8
struct ctl_member {
    const char *name;
    unsigned want;
};
// m: up to CTL_MEMBERS_MAX, then NULL names. open: others may stand there, too.
int ctl_check_members(const struct ctl_member *m, bool open, const struct json *body,
                      struct err *e);
// ctl.c
void ctl_reply(struct http_exchange *x, int status, struct buf *json); // frees json's memory
void ctl_reply_err(struct http_exchange *x, const struct err *e);
bool ctl_query_is(const struct ctl_call *call, const char *name, const char *value);
bool ctl_room(struct ctl_call *call); // for one more reader; else answers 503
// ctl_answer.c
struct ctl_answer *ctl_answer_new(struct ctl_call *call); // NULL: answered with the error
// The same, but what comes is handed over instead of sent: then answers x (NULL: the client left).
// Once, whatever happens.
typedef void (*ctl_then_fn)(void *user, struct http_exchange *x, int status, struct bytes json);
struct ctl_answer *ctl_answer_new_then(struct ctl_call *call, ctl_then_fn then, void *user);
void ctl_answers_detach(struct ctl *c);
// ctl_models.c
void ctl_put_model(struct ctl *c, struct json_w *w, const char *key, const struct model *m);
void ctl_put_models(struct ctl *c, struct json_w *w, const char *key);
void ctl_waits_settle(struct ctl *c, const char *name); // NULL: look at all
void ctl_waits_end(struct ctl *c);
void ctl_waits_detach(struct ctl *c);
// ctl_node.c
void ctl_put_state(struct ctl *c, struct buf *out);
void ctl_put_stat(struct ctl *c, struct buf *out);
void ctl_put_request(struct json_w *w, const char *key, const struct ctl_request *r, bool end);
// ctl_events.c
void ctl_events_flush(struct ctl *c);
void ctl_events_close(struct ctl *c);
void ctl_events_detach(struct ctl *c);
void ctl_flush_soon(struct ctl *c); // logs and events that may wait a moment
void ctl_push_flow(struct ctl *c, struct bytes run, const struct buf *json);
void ctl_flush_timer(struct timer *t);
void ctl_second_timer(struct timer *t);
// ctl_logs.c
int ctl_ring_init(struct log_ring *r, size_t lines_max, size_t bytes_max);
void ctl_ring_fini(struct log_ring *r);
uint64_t ctl_ring_next(struct log_ring *r);
void ctl_ring_readers(struct log_ring *r, size_t readers);
// Adds lines from *at on to out, each between before and after, until room bytes are used or none
// is left. Only those of the model (NULL: all) and from least on. *at is moved; returns how many
// lines were lost because the ring went past *at.
struct log_pick {
    const char *model; // NULL: all
    enum log_level least;
    const char *before, *after;
};
uint64_t ctl_ring_take(struct log_ring *r, uint64_t *at, const struct log_pick *pick,
                       struct buf *out, size_t room);
void ctl_tails_flush(struct ctl *c);
void ctl_tails_close(struct ctl *c);
void ctl_tails_detach(struct ctl *c);

// The operations' handlers.
void ctl_op_index(struct ctl_call *call);
void ctl_op_state(struct ctl_call *call);
void ctl_op_events(struct ctl_call *call);
void ctl_op_models(struct ctl_call *call);
void ctl_op_model(struct ctl_call *call);
void ctl_op_load(struct ctl_call *call);
void ctl_op_unload(struct ctl_call *call);
void ctl_op_pin(struct ctl_call *call);
void ctl_op_unpin(struct ctl_call *call);
void ctl_op_logs(struct ctl_call *call);
void ctl_op_detect(struct ctl_call *call);
void ctl_op_doctor(struct ctl_call *call);
void ctl_op_config(struct ctl_call *call);
void ctl_op_schema(struct ctl_call *call);
void ctl_op_reload(struct ctl_call *call);
void ctl_op_keys(struct ctl_call *call);
void ctl_op_key_new(struct ctl_call *call);
void ctl_op_key_remove(struct ctl_call *call);
void ctl_op_down(struct ctl_call *call);
// ctl_bus.c
void ctl_listeners_close(struct ctl *c);
void ctl_listeners_detach(struct ctl *c);
void ctl_op_bus(struct ctl_call *call);
void ctl_op_bus_publish(struct ctl_call *call);
void ctl_op_bus_request(struct ctl_call *call);
void ctl_op_bus_subscribe(struct ctl_call *call);
// ctl_mesh.c
void ctl_op_mesh(struct ctl_call *call);
void ctl_op_mesh_init(struct ctl_call *call);
void ctl_op_mesh_join(struct ctl_call *call);
void ctl_op_mesh_leave(struct ctl_call *call);
void ctl_op_mesh_tokens(struct ctl_call *call);
void ctl_op_mesh_token_new(struct ctl_call *call);
void ctl_op_mesh_token_remove(struct ctl_call *call);
void ctl_op_mesh_svid(struct ctl_call *call);
void ctl_op_mesh_standby(struct ctl_call *call);
void ctl_op_node_remove(struct ctl_call *call);
void ctl_op_node_drain(struct ctl_call *call);
void ctl_op_node_undrain(struct ctl_call *call);
void ctl_op_resolve(struct ctl_call *call);
// ctl_flow.c
// owner: of the exchange, before the answer became it.
void ctl_flow_ask(struct ctl_call *call, enum ctl_flow_op op, void *owner, struct ctl_answer *a);
void ctl_op_flows(struct ctl_call *call);
void ctl_op_flow_start(struct ctl_call *call);
void ctl_op_flow_check(struct ctl_call *call);
void ctl_op_flow_show(struct ctl_call *call);
void ctl_op_flow_history(struct ctl_call *call);
void ctl_op_flow_export(struct ctl_call *call);
void ctl_op_flow_retry(struct ctl_call *call);
void ctl_op_flow_skip(struct ctl_call *call);
void ctl_op_flow_edit(struct ctl_call *call);
void ctl_op_flow_pause(struct ctl_call *call);
void ctl_op_flow_resume(struct ctl_call *call);
void ctl_op_flow_cancel(struct ctl_call *call);
void ctl_op_flow_terminate(struct ctl_call *call);
void ctl_op_flow_reset(struct ctl_call *call);
void ctl_op_flow_signal(struct ctl_call *call);
void ctl_op_flow_event(struct ctl_call *call);
void ctl_op_flow_documents(struct ctl_call *call);
void ctl_op_flow_document_add(struct ctl_call *call);
void ctl_op_flow_document_remove(struct ctl_call *call);
void ctl_op_flow_document_eval(struct ctl_call *call);
void ctl_op_flow_document_promote(struct ctl_call *call);
void ctl_op_flow_prune(struct ctl_call *call);
void ctl_op_flow_stats(struct ctl_call *call);
// ctl_tool.c
void ctl_op_tools(struct ctl_call *call);
void ctl_op_tool_calls(struct ctl_call *call);
void ctl_op_tool_servers(struct ctl_call *call);
void ctl_op_tool_add(struct ctl_call *call);
void ctl_op_tool_show(struct ctl_call *call);
void ctl_op_tool_remove(struct ctl_call *call);
void ctl_op_tool_call(struct ctl_call *call);
void ctl_op_tool_grant(struct ctl_call *call);
void ctl_op_tool_revoke(struct ctl_call *call);
void ctl_op_tool_publish(struct ctl_call *call);
void ctl_op_tool_eval(struct ctl_call *call);
void ctl_op_tool_promote(struct ctl_call *call);
// ctl_flow_events.c
void ctl_op_flow_events(struct ctl_call *call);
void ctl_flows_flush(struct ctl *c);
void ctl_flows_close(struct ctl *c);
void ctl_flows_detach(struct ctl *c);

#endif
