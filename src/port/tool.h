// tool.h: something that a model, a flow or a person calls by name with a JSON object: a WASM
// capability, a primitive, a tool of an external MCP server, a flow, a model. Whatever it is, it
// is listed and called this way, and only this way (MCP's tools/list and tools/call are its shape:
// modelcontextprotocol.io, revision 2025-11-25). SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_PORT_TOOL_H
#define PLEXUS_PORT_TOOL_H

#include "base/bytes.h"
#include "base/err.h"
#include "base/list.h"
#include "text/val.h"

#define TOOL_NAME_MAX 128         // bytes; A-Z a-z 0-9 _ - . (MCP)
#define MAX_ALLOCATION_BYTES 10485760 // of a raw answer, measured before any decoding

enum tool_effect { // what a call may do outside; none of them: it only computes
    TOOL_READS = 1,        // reads files or state that is not in its arguments
    TOOL_WRITES = 2,       // changes something
    TOOL_DESTROYS = 4,     // may overwrite or delete (MCP destructiveHint)
    TOOL_NETWORK = 8,      // talks to other machines (MCP openWorldHint)
    TOOL_RUNS = 16,        // runs programs
    TOOL_IDEMPOTENT = 32,  // a second call with the same arguments changes nothing more
    TOOL_COSTS = 64,       // spends tokens or money
};

struct tool_about { // all borrowed until the next call of the source
    struct bytes name;        // unique within its source
    struct bytes title;       // for people, or empty
    struct bytes description; // for models
    const struct val *input;  // JSON Schema of the arguments, an object; never NULL
    const struct val *output; // JSON Schema of the structured answer, or NULL
    struct bytes source; // "capability", "primitive", "mcp:NAME", "flow", "model", "mesh:NODE"
    struct bytes urn; // or empty
    struct bytes label; // of what it answers (trust/label.h), or empty
    unsigned effects; // enum tool_effect
    bool granted; // a person allowed it; else a call is refused or must be confirmed
};

struct tool_caller {
    struct bytes who; // key's name, "uid 1000", "flow ID", "node NAME"; for records
    struct bytes label; // of the data in the arguments, or empty
    struct bytes as; // the id of its API key, which models it may use; empty: the owner, a node
    struct bytes clearance; // up to which label it may be answered, or empty: the default
    bool confirmed; // a person said yes to this very call
    bool admin; // may look at the node itself: the calls of others
    bool hop; // came from another node of the mesh: is not handed on to one again
};

struct tool_args { // all borrowed until done
    struct bytes name;
    const struct val *input; // an object
    struct tool_caller caller;
    int64_t timeout_ms; // TIME_NEVER: the tool's own
    struct bytes key; // idempotency: the same for each attempt, or empty
};

struct tool_result { // borrowed until done returns
    struct val *content; // array of MCP content blocks ({"type":"text","text":...} ...)
    struct val *structured; // object, checked against the output schema; or NULL
    bool is_error; // the tool itself says that it failed: content says why
    uint64_t took_us, memory_bytes; // 0: not known
};

// The other side of a call that goes on: the MCP client it came from, a person at a terminal. A
// source that calls another one hands the pointer on.
struct tool_ask { // the source's; kept until it is answered or the call's done was called
    struct bytes key; // names the question within the call; the same when the call is made again
    struct bytes method; // MCP: "elicitation/create", "sampling/createMessage", "roots/list"
    const struct val *params;
    // Once, later; never after the call's done. result: as MCP has it for the method.
    // E_UNSUPPORTED, E_TIMEOUT, E_CANCELLED, E_UPSTREAM (it answered with an error).
    void (*answered)(struct tool_ask *a, int status, const struct val *result, const struct err *e);
    void *user;
    void *priv; // the host's
    struct list link;
};
struct tool_host;
struct tool_host_ops {
    bool (*can)(struct tool_host *h, struct bytes method); // it would be asked
    // A call may be ended (tool_cancel) by the question and made again with the answer: ask before
    // anything is changed.
    int (*ask)(struct tool_host *h, struct tool_ask *a, struct err *e);
    // level: RFC 5424's, 0 debug to 7 emergency.
    void (*log)(struct tool_host *h, int level, struct bytes logger, const struct val *data);
};
struct tool_host {
    const struct tool_host_ops *ops;
};

struct tool_req { // caller-owned; zeroed, then the first part set
    // Once, later, on the loop thread. 0: result. E_* else (the call did not come about, or was
    // ended): E_NOTFOUND, E_INVALID (arguments against the schema: text names the place),
    // E_FORBIDDEN (no grant), E_SECURITY (label), E_TIMEOUT, E_CANCELLED, E_TOOBIG, E_MANIFEST
    // (trap, limit, bad output).
    void (*done)(struct tool_req *r, int status, const struct tool_result *res,
                 const struct err *e);
    void (*progress)(struct tool_req *r, double done, double total, struct bytes text); // or NULL
    struct tool_host *host; // whom the source may ask and tell while the call goes on, or NULL
    void *user;
    void *priv; // the source's
    struct list link;
};

struct tools;
struct tools_ops {
    // Calls each(user, about) for every tool that this caller may see, in order of names.
    void (*list)(struct tools *t, const struct tool_caller *c,
                 void (*each)(void *user, const struct tool_about *a), void *user);
    bool (*find)(struct tools *t, struct bytes name, struct tool_about *ret);
    int (*start)(struct tools *t, const struct tool_args *args, struct tool_req *r, struct err *e);
    void (*cancel)(struct tools *t, struct tool_req *r); // done comes with E_CANCELLED
};
struct tools { // a source of tools, or all of them together (room toolbox)
    const struct tools_ops *ops;
    uint64_t epoch; // grows whenever the list changes (MCP list_changed)
};

static inline int tool_start(struct tools *t, const struct tool_args *args, struct tool_req *r,
                             struct err *e)
{
    return t->ops->start(t, args, r, e);
}
static inline void tool_cancel(struct tools *t, struct tool_req *r)
{
    t->ops->cancel(t, r);
}

#endif
