// mcpd.h: the MCP server: streamable HTTP at one path (POST, and for revisions with sessions GET
// and DELETE), every revision from 2024-11-05 to 2026-07-28 side by side. Tools come from a
// struct tools, resources and prompts from a struct mcpd_more. All on the loop thread.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TOOLBOX_MCPD_H
#define PLEXUS_TOOLBOX_MCPD_H

#include "http/http.h"
#include "mcp/mcp.h"
#include "port/clock.h"
#include "port/tool.h"

struct mcpd;

// ---- resources and prompts ---------------------------------------------------------------------

struct mcpd_resource { // borrowed until each returns
    struct bytes uri;  // of a template: RFC 6570
    struct bytes name, title, description, mime; // all but name may be empty
    int64_t size; // bytes, < 0: not known
};
struct mcpd_prompt { // borrowed until each returns
    struct bytes name, title, description;
    const struct val *arguments; // array of {"name","description","required"}, or NULL
};

struct mcpd_more;
struct mcpd_more_ops { // any may be NULL: nothing of that kind
    void (*resources)(struct mcpd_more *o, const struct tool_caller *c,
                      void (*each)(void *user, const struct mcpd_resource *r), void *user);
    void (*templates)(struct mcpd_more *o, const struct tool_caller *c,
                      void (*each)(void *user, const struct mcpd_resource *r), void *user);
    void (*prompts)(struct mcpd_more *o, const struct tool_caller *c,
                    void (*each)(void *user, const struct mcpd_prompt *p), void *user);
    // These end as a tool's call does (r->done once, later). args->name: the URI; the result's
    // content: an array of resource contents. E_NOTFOUND: no such.
    int (*read)(struct mcpd_more *o, const struct tool_args *args, struct tool_req *r,
                struct err *e);
    // args->input: the arguments; content: an array of messages; structured: {"description"} or
    // NULL. E_NOTFOUND, E_INVALID (an argument).
    int (*prompt)(struct mcpd_more *o, const struct tool_args *args, struct tool_req *r,
                  struct err *e);
    // args->name: the prompt's or the template's; args->input: {"argument":{"name","value"},
    // "arguments":{...}} (what is known so far); content: an array of texts, best first.
    int (*complete)(struct mcpd_more *o, const struct tool_args *args, struct tool_req *r,
                    struct err *e);
    void (*cancel)(struct mcpd_more *o, struct tool_req *r); // done comes with E_CANCELLED
};
struct mcpd_more {
    const struct mcpd_more_ops *ops;
    uint64_t resources_epoch, prompts_epoch; // grow whenever the lists change
};

// ---- the server --------------------------------------------------------------------------------

#define MCPD_WHO_MAX 128
struct mcpd_who { // who a request is from; a session belongs to who made it
    char name[MCPD_WHO_MAX];
    char as[32]; // id of its API key, or empty
    char label[128], clearance[128]; // as in struct tool_caller, or empty
    bool admin; // as there; only such callers may say yes to a tool that nobody granted
    bool hop; // as there
};

struct mcpd_limits { // zero fields: defaults
    size_t sessions_max;      // 1000; over it the longest unused goes, else 503
    size_t sessions_each_max; // of one caller: 64
    int64_t session_idle_ms;  // 30 min without a request or an open stream
    size_t calls_max;         // going on at once: 1024, over it 503
    size_t calls_each_max;    // of one caller: 64, over it 429
    size_t listens_max;       // open streams of subscriptions/listen and GET: 1024
    uint64_t body_bytes;      // a message: 16 MiB, over it 413
    size_t kept_bytes;        // events of one stream that a client may come back for: 256 KiB
    int64_t kept_ms;          // and how long after its end: 60 s
    size_t page;              // items of a list at once: 250
    size_t page_bytes;        // about: 1 MiB
    size_t subscriptions_max; // URIs of one session or stream: 256
    int64_t quiet_ms; // a call that has not said anything by then gets its stream: 500 ms
    int64_t hold_ms; // a stream of a call is held so long, then its client comes back: 5 min
    int64_t ask_ms; // a question to the client: 10 min
    int64_t call_ms; // a tool's call: 1 hour
    int64_t state_ms; // a requestState is taken so long: 15 min
    size_t tasks_max; // kept: 256; each for at most task_ms: 1 hour
    int64_t task_ms;
    int64_t task_poll_ms; // what a client is told: 1 s
};

struct mcpd_args {
    struct timers *timers;
    struct tools *tools;
    struct mcpd_more *more; // or NULL
    struct mcp_info info;
    const char *instructions; // for models, or NULL
    const char *path; // default "/mcp"
    // Who this is: 0, E_UNAUTH (401), E_FORBIDDEN (403, the scope is too small). NULL: anybody.
    int (*who)(void *user, struct http_exchange *x, struct mcpd_who *ret, struct err *e);
    void *user;
    // The door before has looked at Host and Origin. Else (false) both must be loopback, or named
    // in hosts ("name" or "name:port") or origins ("https://name"); NULL-terminated or NULL.
    bool guarded;
    const char *const *hosts, *const *origins;
    // OAuth 2.1 (RFC 9728): authorization servers and scopes that the metadata name; NULL: no
    // OAuth, 401 says "Bearer" only.
    const char *resource; // this server's canonical address; NULL: made of the request's Host
    const char *const *authorization_servers, *const *scopes;
    // A tool that nobody granted: the client's user may say yes to the call, by elicitation. Else
    // such calls go to the tools as they are, which refuse them.
    bool may_confirm;
    // A modern client that can take tasks gets one when its call takes longer. 0: 20 s.
    int64_t task_after_ms;
    struct mcpd_limits limits;
};
int mcpd_new(struct mcpd **ret, const struct mcpd_args *args, struct err *e);
// Ends sessions and streams (their clients see the end) and cancels calls. The memory goes when the
// last call's done came.
void mcpd_free(struct mcpd *m);

// The node is about to end: streams that only listen end now (GET, subscriptions/listen) and none
// begins any more. Calls go on.
void mcpd_drain(struct mcpd *m);

// Is this request for it? args.path, and with OAuth /.well-known/oauth-protected-resource[path].
bool mcpd_mine(const struct mcpd *m, const struct http_head *h);
// From http_routes.on_head and on_request. on_head's answers: as there.
int mcpd_head(struct mcpd *m, struct http_exchange *x);
void mcpd_request(struct mcpd *m, struct http_exchange *x);

void mcpd_updated(struct mcpd *m, struct bytes uri); // a resource has changed: tells subscribers
// The lists are looked at every quarter of a second while somebody listens; now: call this.
void mcpd_changed(struct mcpd *m);

struct mcpd_stats {
    uint64_t requests, refused, calls, errors; // since the start
    size_t sessions, streams, running, tasks; // now
};
void mcpd_stats(const struct mcpd *m, struct mcpd_stats *ret);

#endif
