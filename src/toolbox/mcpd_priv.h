// mcpd_priv.h: what the MCP server's files share. in: one request being served; out: where its
// answer goes (an exchange, or the stream that a client may come back for); call: a tool's call,
// a resource's or a prompt's; session: of revisions with a handshake.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TOOLBOX_MCPD_PRIV_H
#define PLEXUS_TOOLBOX_MCPD_PRIV_H

#include "base/list.h"
#include "base/map.h"
#include "base/rng.h"
#include "crypto/hmac.h"
#include "toolbox/mcpd.h"

#define MCPD_TICK_MS 250
#define MCPD_ALIVE_MS 15000   // a comment on a stream that is silent for so long
#define MCPD_RETRY_MS 500     // a client that is to come back does so after this
#define MCPD_PROGRESS_MS 10   // between two reports of one call
#define MCPD_STATE_MAX ((size_t)256 << 10)
#define MCPD_MESSAGE_MAX ((size_t)64 << 20) // of an answer

struct mcpd_event {
    struct list link;
    uint64_t seq;
    size_t n;
    bool lossy;
    char text[];
};

enum mcpd_out_kind {
    OUT_ANSWERS, // to the requests of a POST
    OUT_SESSION, // what belongs to no request: GET
    OUT_LISTEN,  // subscriptions/listen
};

struct mcpd_out {
    struct list link; // session->outs, or mcpd->outs
    struct mcpd *m;
    struct mcpd_session *s;  // NULL: modern
    struct http_exchange *x; // NULL: nobody reads now
    enum mcpd_out_kind kind;
    enum mcp_rev rev;
    uint32_t id;
    uint64_t next, unsent; // numbers of events: of the next; of the first not handed out
    size_t part;           // bytes of that one that are handed out
    struct list events;
    size_t bytes;
    struct list calls;
    unsigned pending;  // requests not yet answered
    struct val *batch; // answers so far: a batch is answered whole
    bool json, sse;    // what the client takes
    bool begun;        // the stream's head is out
    bool held;         // its client is slow
    bool over;         // no event comes any more
    int64_t opened_ms, said_ms, over_ms;
    char extra[96]; // header lines of the answer
    // OUT_LISTEN
    struct val *listen_id;
    bool tools, prompts, resources;
    struct map *uris, *tasks; // NULL: none
};

struct mcpd_session {
    struct list link; // mcpd->sessions, the longest unused first
    struct mcpd *m;
    char id[RNG_ID_LEN + 1];
    struct mcpd_who who;
    enum mcp_rev rev;
    struct val *capabilities;
    enum mcp_level level;
    struct map *uris; // subscribed; NULL: none yet
    struct list outs, asks;
    struct mcpd_out *own;
    uint32_t next_out;
    int64_t next_ask;
    size_t calls;
    int64_t used_ms;
};

enum mcpd_call_state { CALL_CONFIRMS, CALL_RUNS, CALL_OVER };

struct mcpd_call {
    struct tool_req req;
    struct tool_host host;
    struct list link; // out->calls; of a task: its own
    struct list all;  // mcpd->calls
    struct list soon; // mcpd->soon: asks to be looked at
    struct mcpd *m;
    struct mcpd_out *out; // NULL: a task's, or nobody waits any more
    struct mcpd_session *s;
    struct mcpd_task *task;
    struct mcpd_who who;
    struct val *id, *params, *token, *capabilities, *input;
    struct val *answers; // modern: what the client has answered so far
    enum mcp_rev rev;
    enum mcp_method method;
    enum mcp_level level;
    enum mcpd_call_state state;
    bool modern, started, silent; // silent: no answer is wanted any more
    bool looking, dead;           // its asks are looked at: it goes after that
    bool bad_answer;              // the client's answer does not fit its question
    const char *missing;          // the capability that a question needs
    struct list asks;             // struct mcpd_asking
    struct tool_ask confirm;
    struct val *confirm_params;
    double progress;
    int64_t began_ms, progress_ms;
};

struct mcpd_asking { // a question on its way
    struct list link;         // call->asks
    struct list session_link; // session->asks
    struct tool_ask *ask;
    struct mcpd_call *call;
    struct val *answer; // come, to be told
    bool ready;
    int status;
    int64_t id, due_ms;
};

enum mcpd_task_state { TASK_WORKING, TASK_INPUT, TASK_DONE, TASK_FAILED, TASK_CANCELLED };

struct mcpd_task {
    struct list link; // mcpd->tasks
    struct mcpd *m;
    char id[RNG_ID_LEN + 1];
    struct mcpd_who who;
    bool modern;
    enum mcpd_task_state state;
    struct mcpd_call *call; // NULL: over
    struct val *result, *error;
    struct list waiters; // of tasks/result: struct mcpd_waiter
    int64_t created_wall_ms, updated_wall_ms, ttl_ms, due_ms;
};

struct mcpd_waiter {
    struct list link;
    struct mcpd_out *out;
    struct val *id;
};

struct mcpd {
    struct mcpd_args args;
    struct mcpd_limits lim;
    struct hmac_key state_key;
    struct map *by_id; // sessions
    struct list sessions, outs, calls, soon, now, tasks;
    size_t session_count, call_count, listen_count, task_count;
    struct timer tick, soon_timer;
    bool ticking, draining, closing, may_go;
    uint64_t tools_epoch, resources_epoch, prompts_epoch;
    struct mcpd_stats stats;
};

struct mcpd_in { // one request, while it is looked at
    struct mcpd *m;
    struct mcpd_out *out;
    struct mcpd_session *s; // NULL: modern
    const struct mcp_asked *a;
    const struct mcpd_who *who;
    enum mcp_rev rev;
    bool modern;
};

// mcpd.c
void mcpd_wake(struct mcpd *m); // the tick runs while there is something to look after
void mcpd_soon(struct mcpd_call *c);
void mcpd_maybe_gone(struct mcpd *m);
void mcpd_notify(struct mcpd *m, const char *method, struct bytes uri); // to all who want it

// mcpd_out.c
struct mcpd_out *mcpd_out_new(struct mcpd *m, struct mcpd_session *s, struct http_exchange *x,
                              enum mcpd_out_kind kind);
void mcpd_out_free(struct mcpd_out *o);
void mcpd_out_say(struct mcpd_out *o, struct val *takes_message, bool lossy);
void mcpd_out_answer(struct mcpd_out *o, struct val *takes_message, int http);
void mcpd_out_skip(struct mcpd_out *o); // a request that gets no answer
void mcpd_out_batch_end(struct mcpd_out *o);
void mcpd_out_end(struct mcpd_out *o);  // the stream is whole
void mcpd_out_open(struct mcpd_out *o); // the stream's head, if it is not out
void mcpd_out_attach(struct mcpd_out *o, struct http_exchange *x, uint64_t after);
void mcpd_out_detach(struct mcpd_out *o, bool retry); // ends the exchange, not the stream
// True: o is gone.
bool mcpd_out_tick(struct mcpd_out *o, int64_t now_ms);
void mcpd_reply(struct http_exchange *x, int http, const char *extra, struct val *takes_message);
void mcpd_refuse(struct http_exchange *x, int http, int code, struct val *id, struct bytes text,
                 struct val *takes_data, const char *extra);

// mcpd_session.c
int mcpd_session_new(struct mcpd *m, const struct mcpd_who *who, enum mcp_rev rev,
                     struct val *capabilities, struct mcpd_session **ret);
void mcpd_session_end(struct mcpd_session *s);
struct mcpd_session *mcpd_session_find(struct mcpd *m, struct bytes id, const struct mcpd_who *who);
bool mcpd_session_busy(const struct mcpd_session *s);
void mcpd_session_tick(struct mcpd *m, int64_t now_ms);

// mcpd_serve.c
void mcpd_serve(struct mcpd_in *in);
void mcpd_result(const struct mcpd_in *in, struct val *takes_result);
__attribute__((format(printf, 5, 6))) void mcpd_error(const struct mcpd_in *in, int code, int http,
                                                      struct val *takes_data, const char *fmt, ...);
struct val *mcpd_capabilities(const struct mcpd *m, bool modern, enum mcp_rev rev);
struct val *mcpd_finish_result(const struct mcpd *m, bool modern, struct val *takes_result);
struct tool_caller mcpd_caller(const struct mcpd_who *who);

// mcpd_list.c
void mcpd_list_tools(struct mcpd_in *in);
void mcpd_list_resources(struct mcpd_in *in, bool templates);
void mcpd_list_prompts(struct mcpd_in *in);

// mcpd_call.c
void mcpd_call_tool(struct mcpd_in *in);
void mcpd_call_read(struct mcpd_in *in);
void mcpd_call_prompt(struct mcpd_in *in);
void mcpd_call_complete(struct mcpd_in *in);
void mcpd_call_cancel(struct mcpd_call *c, bool silent);
void mcpd_calls_of_out_cancel(struct mcpd_out *o);
struct mcpd_call *mcpd_call_find(struct mcpd_session *s, const struct val *id);
void mcpd_call_answer(struct mcpd_call *c, struct val *takes_result, int code, int http,
                      struct bytes text, struct val *takes_data);
void mcpd_call_end(struct mcpd_call *c);
struct val *mcpd_tool_result(const struct mcpd_call *c, int status, const struct tool_result *res,
                             const struct err *e);

// mcpd_ask.c
extern const struct tool_host_ops mcpd_host_ops;
void mcpd_asks_look(struct mcpd_call *c);
void mcpd_asks_drop(struct mcpd_call *c);
void mcpd_asking_orphan(struct mcpd_asking *q); // its session is gone
bool mcpd_answered(struct mcpd_session *s, const struct jsonrpc *answer);
void mcpd_asks_tick(struct mcpd_session *s, int64_t now_ms);
struct val *mcpd_asks_open(const struct mcpd_call *c); // InputRequests
void mcpd_asks_take(struct mcpd_call *c, const struct val *responses);

// mcpd_state.c
// The client's answers, as it brought them back: checked state and the new ones together.
int mcpd_state_read(struct mcpd_call *c, struct err *e);
int mcpd_state_write(const struct mcpd_call *c, struct buf *out);

// mcpd_task.c
bool mcpd_task_make(struct mcpd_call *c, int64_t ttl_ms); // and answers the request with it
void mcpd_task_done(struct mcpd_task *t, struct val *takes_result, struct val *takes_error);
void mcpd_task_lost(struct mcpd_task *t); // its call ended without a result
void mcpd_task_changed(struct mcpd_task *t);
void mcpd_task_serve(struct mcpd_in *in, enum mcp_method method);
void mcpd_task_free(struct mcpd_task *t);
void mcpd_task_out_gone(struct mcpd *m, struct mcpd_out *o);
void mcpd_tasks_tick(struct mcpd *m, int64_t now_ms);

// mcpd_auth.c
bool mcpd_well_known(const struct mcpd *m, const struct http_head *h);
void mcpd_metadata(struct mcpd *m, struct http_exchange *x);
bool mcpd_door(struct mcpd *m, struct http_exchange *x, struct mcpd_who *ret); // false: answered

#endif
