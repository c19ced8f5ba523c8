// client.h: one session with an MCP server, seen from the client: which revision, requests and
// their answers, progress, what the server asks back, cancelling. Pure: messages come in and go
// out as values, time and bytes are the owner's. SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_MCP_CLIENT_H
#define PLEXUS_MCP_CLIENT_H

#include "base/list.h"
#include "mcp/mcp.h"

#define MCP_CLIENT_REQUESTS_MAX 1024 // without an answer, at once
#define MCP_CLIENT_ASKS_MAX 16 // of the server's, at once
#define MCP_CLIENT_ROUNDS_MAX 16 // of one request that needs more input each time

struct mcp_client;

struct mcp_request { // caller-owned until done; zeroed, then the first part set
    // Once: 0 and the result (borrowed), or what went wrong. E_INVALID, E_NOTFOUND (no such method
    // or resource), E_FORBIDDEN (it asked for what it may not have), E_UPSTREAM (any other error of
    // the server's; data: its error object), or what mcp_client_lost and mcp_client_end say.
    void (*done)(struct mcp_request *r, int status, struct val *result, const struct err *e);
    void (*progress)(struct mcp_request *r, double done, double total,
                     struct bytes text); // or NULL
    void *user;
    const struct val *schema; // of tools/call: the input schema, for header fields; or NULL
    // The session's:
    const char *method;
    struct val *params; // as given
    struct val *answers; // inputResponses so far
    struct val *state; // requestState to give back
    int64_t id; // of the present round; 0: between two
    int64_t code; // of the server's error, for done; 0: none
    unsigned rounds, open; // asks without an answer
    double progressed;
    bool out, refused;
    struct list link;
};

struct mcp_ask { // of the server: roots/list, sampling/createMessage, elicitation/create
    const char *method;
    struct val *params; // borrowed until answered; may be NULL
    struct mcp_request *of; // whose answer needs it; NULL: the server does not say
    void *user; // the owner's
    // The session's:
    struct mcp_client *client;
    struct val *id; // legacy: of the server's request
    char *key; // modern: in inputRequests
    struct list link;
};

struct mcp_client_args {
    struct mcp_info info; // borrowed as long as the session
    enum mcp_rev first; // what is tried first: the modern one finds legacy servers by itself
    bool fixed; // no other revision
    bool one_channel; // stdio: a request is cancelled by a message in every revision
    struct val *capabilities; // ClientCapabilities, an object; copied as a reference
    // A message to the server. r: the request that it is (also of the handshake); NULL: a
    // notification or an answer. Not from inside may the session be freed.
    void (*send)(void *user, const struct val *message, struct mcp_request *r);
    void (*ready)(void *user); // the handshake is done
    void (*failed)(void *user, int status, const struct err *e); // it did not come about
    void (*note)(void *user, struct bytes method, const struct val *params); // may be NULL
    void (*ask)(void *user, struct mcp_ask *a); // mcp_client_answer now or later
    void (*ask_gone)(void *user, struct mcp_ask *a); // no answer is wanted any more: forget it
    void *user;
};
int mcp_client_new(struct mcp_client **ret, const struct mcp_client_args *args, struct err *e);
void mcp_client_free(struct mcp_client *c); // calls nobody; requests that are out are forgotten
void mcp_client_start(struct mcp_client *c); // the first message

enum mcp_client_state {
    MCP_CLIENT_NEW,
    MCP_CLIENT_PROBES,
    MCP_CLIENT_GREETS,
    MCP_CLIENT_READY,
    MCP_CLIENT_FAILED
};
enum mcp_client_state mcp_client_state(const struct mcp_client *c);
enum mcp_rev mcp_client_rev(const struct mcp_client *c);
bool mcp_client_modern(const struct mcp_client *c);
// From the handshake, borrowed; NULL: not said. "capabilities", "serverInfo", "instructions".
const struct val *mcp_client_said(const struct mcp_client *c, const char *what);
bool mcp_client_is_hello(const struct mcp_client *c, const struct mcp_request *r);

// E_FULL, E_UNAVAILABLE (not ready), E_NOMEM. method: a literal.
int mcp_client_request(struct mcp_client *c, struct mcp_request *r, const char *method,
                       struct val *takes_params_or_null, struct err *e);
void mcp_client_notify(struct mcp_client *c, const char *method, struct val *takes_params_or_null);
// No done comes. Tells the server where the revision wants a message for that.
void mcp_client_cancel(struct mcp_client *c, struct mcp_request *r, const char *reason);
void mcp_client_forget(struct mcp_client *c, struct mcp_request *r); // the same, and tells nobody
// A message of the server, or a batch. of: the request on whose answer it came, NULL: not known.
// 0, or E_INVALID: no message of the protocol. E_NOTFOUND: an answer to nothing.
int mcp_client_take(struct mcp_client *c, const struct val *message, struct mcp_request *of,
                    struct err *e);
// The way of one request broke, or its time is over. other_era: what came (or did not come) is as a
// server without the modern revision does.
void mcp_client_lost(struct mcp_client *c, struct mcp_request *r, int status, const struct err *e,
                     bool other_era);
// The link is gone: all requests end with this.
void mcp_client_end(struct mcp_client *c, int status, const struct err *e);
// By the server's numbering of ours; NULL: none is out.
struct mcp_request *mcp_client_find(struct mcp_client *c, int64_t id);

// Once for each ask. takes_result NULL: refused, with a JSON-RPC code and a text. The ask is gone
// after it.
void mcp_client_answer(struct mcp_ask *a, struct val *takes_result, int code, const char *text);
// An ElicitResult that accepts: what its content leaves out and the schema has a default for, is
// put in (SEP-1034).
struct val *mcp_elicit_fill(const struct val *params, struct val *takes_result);

#endif
