// mcpc.h: MCP servers as sources of tools: children that speak on their standard streams, servers
// over streamable HTTP, and the /mcp of another node over the mesh (the master gateway). Every one
// of them is untrusted: names get a prefix, arguments and answers are held against the schemas,
// bytes are counted before they are decoded, what a tool says of itself is pinned, labels decide
// what goes there. SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TOOLBOX_MCPC_H
#define PLEXUS_TOOLBOX_MCPC_H

#include "http/http.h"
#include "mcp/client.h"
#include "port/clock.h"
#include "port/proc.h"
#include "port/tool.h"

struct mcpc; // all servers of one node

#define MCPC_SERVERS_MAX 64
#define MCPC_NAME_MAX 32     // of a server: a-z 0-9 - _
#define MCPC_TOOLS_MAX 1000  // of one server; what is more is left out, and counted
#define MCPC_CALLS_MAX 64    // at once, of one server: E_FULL

struct mcpc_oauth { // OAuth 2.1 (2026-07-28, "Authorization"); only for url
    bool on;
    const char *client_id, *client_secret; // known beforehand, or NULL: by metadata document or
                                           // registered
    const char *metadata_url; // https address of the client's own metadata document, or NULL
    const char *redirect_uri; // where the browser comes back to
    const char *scope;        // or NULL: what the server says
};

struct mcpc_server { // as configured; all copied
    const char *name;
    const char *prefix; // of its tools' names: PREFIX__tool. NULL: name; "": none
    // One of three:
    const char *const *argv; // NULL-terminated
    const char *url;         // http or https
    // Asked for each request: the way to the other node, or NULL with E_UNAVAILABLE. The pool is
    // borrowed for that request, and ends it when it goes. path: the peer's MCP endpoint.
    struct http_pool *(*dial)(void *user, struct err *e);
    void *dial_user;
    const char *path; // NULL: "/mcp"
    const char *source; // for tool_about; NULL: "mcp:NAME"
    // Of a child:
    const char *const *env; // "K=V", beside PATH, HOME, LANG, TZ, TMPDIR; may be NULL
    const char *cwd;
    struct proc_limits limits;
    // Of HTTP: lines "Name: value\r\n" of each request (a secret's place). Or OAuth.
    const char *headers;
    struct mcpc_oauth oauth;

    const char *const *grants; // "*", "read_*", "echo"; NULL: none. Tools of others are listed, and
                               // called only when a person confirms
    const char *clearance; // up to which label it may be told; NULL: the node's default
    const char *label; // of what it answers
    unsigned effects; // enum tool_effect that its tools have at least; what a server says of its
                      // own tools only adds to them
    int64_t start_ms, timeout_ms; // until it is ready (30 s), longest time of a call (60 s)
    size_t answer_bytes_max; // 0: MAX_ALLOCATION_BYTES, never more
    const char *const *roots; // folders that it may be told of, as absolute paths; NULL: none
    bool sampling, elicitation; // what it may ask for
    int revision; // enum mcp_rev, or -1: what it speaks
};

struct mcpc_asked { // a server wants a model's answer or a person's
    const char *server;
    const struct val *params; // CreateMessageRequest's or ElicitRequest's, borrowed until answered
    bool sampling; // else elicitation
    struct tool_caller caller; // whose call needs it; who empty: the server asks by itself
    void *user; // the taker's
};
// Once for each, unless gone came; takes the result (CreateMessageResult, ElicitResult). NULL:
// refused, text says why.
void mcpc_answer(struct mcpc_asked *a, struct val *takes_result, const char *text);

enum mcpc_event { // for the log, and for whoever watches
    MCPC_READY, // text: "NAME VERSION, revision R"
    MCPC_DOWN, // text: why; it comes again by itself
    MCPC_CHANGED, // a tool is not what it was: text is its name
    MCPC_FLAGGED, // a tool's texts hold hidden characters: text is its name
    MCPC_LOG, // what the server logs (notifications/message): shown text, never more than 1 KiB
    MCPC_LIST, // its lists changed
    MCPC_LOGIN, // a person must open this address (OAuth)
    MCPC_UPDATED, // a resource that is watched changed: text is its address
};

struct mcpc_args {
    struct net *net;
    struct timers *timers;
    struct procs *procs; // NULL: no children
    const char *folder; // data/tools: mcp-pins.json, mcp-tokens.json; NULL: nothing is kept
    const char *client_version; // NULL: PLEXUS_VERSION
    // https: the node's client context; borrowed. NULL: https does not work.
    struct net_tls *(*tls)(void *user, struct err *e);
    // Puts the sandbox before a child's command: what to run instead (borrowed until it returns to
    // the loop). NULL: it runs as it is.
    const char *const *(*confine)(void *user, const struct mcpc_server *s, struct err *e);
    // Did a person allow this tool, beside what the grants name? It still has to be what was
    // pinned. When that changes: mcpc_judge. NULL: nobody does.
    bool (*allowed)(void *user, const char *tool);
    // May data with this label go to a server of this clearance? 0 or E_SECURITY. NULL: label and
    // clearance must both be empty or the same.
    int (*crossing)(void *user, const char *server, struct bytes label, struct bytes clearance,
                    struct err *e);
    // A server asks (only where its configuration allows it). NULL: refused, declined. A person is
    // asked through the host of the call (tool_req.host), when that can; then this does not come.
    void (*ask)(void *user, struct mcpc_asked *a);
    void (*ask_gone)(void *user, struct mcpc_asked *a);
    void (*event)(void *user, const char *server, enum mcpc_event ev, struct bytes text); // or NULL
    void *user;
    int64_t backoff_ms; // first pause after a fall, doubled up to 64 times that; 0: 1 s
};
int mcpc_new(struct mcpc **ret, const struct mcpc_args *args, struct err *e);
// Ends sessions in good order (DELETE, end of input), at most 2 s; then done. Once.
void mcpc_stop(struct mcpc *m, void (*done)(void *user), void *user);
void mcpc_free(struct mcpc *m); // calls that are out end with nothing: stop before
// Starts it at once. E_INVALID, E_EXISTS, E_FULL.
int mcpc_add(struct mcpc *m, const struct mcpc_server *s, struct err *e);
int mcpc_remove(struct mcpc *m, const char *name, struct err *e); // its calls end with E_CANCELLED
int mcpc_restart(struct mcpc *m, const char *name, struct err *e); // now, without a pause
struct tools *mcpc_tools(struct mcpc *m); // the source; lives as long as m

// ---- what a person sees and decides ------------------------------------------------------------

struct mcpc_status { // borrowed until the next call
    const char *name, *transport; // "stdio", "http", "mesh"
    const char *state; // "starting", "ready", "waiting" (for its next try), "login", "stopped"
    const char *why; // of the last fall, or ""
    const char *server, *revision; // "server-everything 2.0.0", "2025-11-25"; "" before
    const char *login; // the address that a person is to open, or ""
    const char *last_words; // of a child's standard error, shown text
    unsigned tools, granted, changed, flagged, left_out, prompts, resources;
    unsigned falls; // since it was added
    uint64_t calls, failed, refused, bytes_in;
    int64_t pid, ready_ms; // -1; how long it is ready
    uint64_t memory_bytes;
    unsigned in_flight;
};
void mcpc_each(struct mcpc *m, void (*each)(void *user, const struct mcpc_status *s), void *user);

enum mcpc_pin { MCPC_PINNED, MCPC_NEW, MCPC_DIFFERS };
struct mcpc_tool { // borrowed until the next call
    const char *server, *name; // as it is called here, and
    struct bytes theirs; // as the server calls it
    struct bytes title, description; // shown text: hidden characters stand as \u{...}
    const char *hash; // SHA-256 in hex of name, title, description and schemas
    enum mcpc_pin pin;
    bool granted, flagged, usable;
    const char *why; // it is not usable (a schema that does not compile), or ""
};
// server NULL: all.
void mcpc_review(struct mcpc *m, const char *server,
                 void (*each)(void *user, const struct mcpc_tool *t), void *user);
// What it says now is good: pinned, and called where a grant names it. tool: as called here; hash:
// what the person saw, E_CONFLICT when it is another by now.
int mcpc_approve(struct mcpc *m, const char *tool, const char *hash, struct err *e);
void mcpc_judge(struct mcpc *m); // args.allowed says something else by now
int mcpc_unpin(struct mcpc *m, const char *tool, struct err *e);
// Text of strangers for people: control, format, private and unassigned-looking characters, bidi
// marks and tags as \u{...}. Returns how many there were.
size_t mcpc_show(struct buf *out, struct bytes text);

// ---- prompts and resources ---------------------------------------------------------------------

enum mcpc_kind { MCPC_PROMPTS, MCPC_RESOURCES, MCPC_TEMPLATES };
// item: the server's own (Prompt, Resource, ResourceTemplate); name: PREFIX__name of a prompt, the
// address of a resource. In the server's order; what this caller may have (NULL: all).
void mcpc_items(struct mcpc *m, enum mcpc_kind kind, const struct tool_caller *caller,
                void (*each)(void *user, const char *server, struct bytes name,
                             const struct val *item),
                void *user);
struct mcpc_req { // caller-owned until done
    // The server's result (GetPromptResult, ReadResourceResult), borrowed. As tool_req's.
    void (*done)(struct mcpc_req *r, int status, struct val *result, const struct err *e);
    void *user;
    void *priv;
    struct list link;
};
// prompts/get with PREFIX__name. arguments: an object, or NULL.
int mcpc_prompt(struct mcpc *m, struct bytes name, const struct val *arguments,
                const struct tool_caller *caller, struct mcpc_req *r, struct err *e);
// resources/read from this server; server NULL: the first that lists the address.
int mcpc_read(struct mcpc *m, const char *server, struct bytes uri,
              const struct tool_caller *caller, struct mcpc_req *r, struct err *e);
void mcpc_cancel(struct mcpc *m, struct mcpc_req *r); // done comes with E_CANCELLED

// ---- OAuth -------------------------------------------------------------------------------------

// The browser came back to redirect_uri with this query.
int mcpc_redirected(struct mcpc *m, struct bytes query, struct err *e);

#endif
