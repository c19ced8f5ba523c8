// acts_priv.h: what the files of room acts share: one running activity, its end, and the ways out
// that several kinds use: late expressions, HTTP requests, children.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_ACTS_ACTS_PRIV_H
#define PLEXUS_ACTS_ACTS_PRIV_H

#include "acts/acts.h"
#include "base/alloc.h"
#include "base/arena.h"
#include "http/http.h"
#include "text/sse.h"

// ---- the room ----------------------------------------------------------------------------------

struct acts_room {
    struct acts base; // first
    struct acts_args args;
    struct arena *arena; // of the texts in args
    struct bus *bus;     // NULL: none now
    struct tools *tools; // NULL: none
    struct list running; // struct act
    unsigned count;
    struct list origins; // act_fetch.c
    unsigned origin_count;
    struct list tokens; // act_oauth.c
    unsigned token_count;
    struct list chores; // act_container.c: what is to be removed later
    uint64_t serial;
    bool freeing;
};

// ---- one activity ------------------------------------------------------------------------------

// Types of errors, as the DSL names them.
enum act_problem {
    ACT_CONFIGURATION,
    ACT_VALIDATION,
    ACT_EXPRESSION,
    ACT_AUTHENTICATION,
    ACT_AUTHORIZATION,
    ACT_TIMEOUT,
    ACT_COMMUNICATION,
    ACT_RUNTIME,
};

struct act;
struct act_kind {
    const char *name, *what;
    size_t bytes; // of its own memory, zeroed; act->own
    // Begins. May call act_done and act_fail: `done` comes later in any case.
    void (*start)(struct act *a);
    // It has ended, or is not wanted any more: all that runs is let go of; no callback into it.
    void (*stop)(struct act *a);
    bool raw; // start sees the arguments as they came, and calls act_late itself
    bool authorizes; // knows $authorization: expressions that read it come unevaluated
};

struct act {
    struct acts_room *room;
    const struct act_kind *kind;
    struct act_req *req;
    const struct act_args *args; // a copy; what it points to is borrowed until done
    struct act_args args_copy;
    struct list link;
    struct timer timer; // its deadline; after the end: tells it
    int64_t due_ms;     // TIME_NEVER
    int64_t limit_ms;   // what it was given: for the error
    bool ended;
    int status;
    bool final;
    struct val *output, *problem;
    struct val *with; // the arguments, late expressions replaced
    struct act_late *late;
    struct act_secret *secrets; // texts that must not show, of late expressions and authentication
    struct val *known; // secrets that were asked for: name to value
    struct val *fresh; // values that only this act has: wiped at the end
    struct act_source *source; // whose answer comes next
    struct act_rpc *rpc; // the same
    void *own;
};

// The end: takes output (NULL: null). The first end counts.
void act_done(struct act *a, struct val *takes_output);
// The end with a problem. status 0: the type's own. Secrets are taken out of the text.
void act_fail(struct act *a, enum act_problem type, int status, bool final, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
// Of an error code: E_TIMEOUT, E_REFUSED...: which type it is, and whether to try again.
void act_fail_err(struct act *a, int code, const struct err *e);
void act_nomem(struct act *a);
void act_beat(struct act *a, struct val *takes_detail);
void act_limit(struct act *a, int64_t ms); // a deadline of its own, when that is earlier
int64_t act_left_ms(const struct act *a); // until its deadline; TIME_NEVER

// The one way to the end: takes both. act_done and act_fail come here.
void act_end(struct act *a, int status, struct val *takes_output, struct val *takes_problem,
             bool final);
struct val *act_problem(enum act_problem type, int status, const char *title, const char *detail);

// Remembers a text that must not show; wiped at the end.
int act_hide(struct act *a, struct bytes text);
// Replaces all of them in out by "***".
void act_scrub(const struct act *a, struct buf *text);
void act_shown_all(struct act *a); // forgets and wipes them
// Wipes the strings of v, which nobody else holds, and lets it go.
void act_wipe(struct val *takes_v);

// ---- late expressions (act_late.c) -------------------------------------------------------------

// Replaces each {"$late":...} in v; then calls then(a, whole) with what came (owned by the callee);
// on failure the act has ended instead. authorization: {"scheme","parameter"} or NULL: expressions
// that read it stay as they are.
void act_late(struct act *a, const struct val *v, struct val *takes_authorization,
              void (*then)(struct act *a, struct val *takes_v));
void act_late_stop(struct act *a);
bool act_late_is(const struct val *v); // this one
bool act_late_has(const struct val *v); // it, or one inside

// ---- arguments ---------------------------------------------------------------------------------

// ISO 8601 duration or an object of days ... milliseconds. E_INVALID.
int act_duration(const struct val *v, int64_t *ret_ms, struct err *e);
// Text of a scalar; BYTES_NONE (p NULL): it is null, an object or an array.
struct bytes act_scalar(const struct val *v, char room[32]);

// ---- HTTP: one request to an address (act_fetch.c) ----------------------------------------------

struct act_header {
    struct bytes name, value;
};

struct act_fetch;
struct act_fetch_args {
    struct bytes method, url;
    struct bytes headers; // lines "Name: value\r\n"
    struct buf *body; // NULL: none; its content is taken over
    unsigned redirects; // followed at most, 0: none
    bool self; // to this node's own API: url is a path
    size_t body_bytes_max; // of the answer, 0: the room's
    int64_t first_byte_ms, silence_ms; // 0: 5 min
    // The answer's body as it comes, once its status is 2xx; NULL: it is kept. false: enough.
    bool (*on_part)(struct act_fetch *f, struct bytes part);
    void (*on_end)(struct act_fetch *f, int status, const struct err *e); // once, later
    void *user;
};
struct act_fetch {
    struct acts_room *room;
    void *user;
    int status; // of HTTP, 0: no answer
    struct act_header *headers;
    size_t header_count;
    struct buf body;
    struct buf url; // the last one
    unsigned hops;
    // The rest is act_fetch.c's.
    struct act_fetch_args args;
    struct arena *arena;
    struct buf method, lines, sent;
    struct act_origin *origin;
    struct http_call *call;
    struct bytes parts[1];
    struct err err;
    bool enough, left;
};
// E_INVALID (address), E_CONFIG (no TLS), E_NOMEM.
int act_fetch(struct acts_room *r, const struct act_fetch_args *args, struct act_fetch **ret,
              struct err *e);
// Where host:port is: its fixed address (then without TLS), or itself.
int act_address(struct acts_room *r, struct bytes host, uint16_t port, struct net_addr *ret,
                bool *tls, struct err *e);
struct bytes act_fetch_header(const struct act_fetch *f, const char *name);
// Lets go of it, running or ended (also from its on_end). NULL is harmless.
void act_fetch_free(struct act_fetch *f);
void act_origins_free(struct acts_room *r);
// Percent-encodes what may not stand in an address, and cuts a fragment off.
int act_url_clean(struct buf *out, struct bytes url);
// Resolves a reference against a base (RFC 3986, section 5).
int act_url_join(struct buf *out, struct bytes base, struct bytes ref);
int act_header_put(struct buf *out, struct bytes name, struct bytes value, struct err *e);

// ---- HTTP: a request as an author says it (act_web.c) -------------------------------------------

struct act_web;
struct act_auth;
struct act_web_args { // all copied, but auth
    struct bytes method; // as the author wrote it; sent in upper case
    struct bytes url; // whole, with its query
    struct bytes shown; // the same for eyes, without secrets; empty: url
    struct bytes headers; // lines
    struct val *shown_headers; // for the output, without secrets; NULL: none
    struct buf *body; // NULL: none; its content is taken over
    struct act_auth *auth; // ready, or NULL; stays until the web is freed
    bool redirect; // 3xx are followed, and are no errors
    bool once; // an Idempotency-Key goes along when the method is not safe
    const char *output; // "content", "raw", "response", "text"; NULL: content
    // Instead of the end with that output: what came, when it is 2xx.
    void (*then)(struct act *a, struct act_fetch *f);
    bool (*on_part)(struct act *a, struct bytes part); // the body of a 2xx, as it comes
    bool any; // every status is given to then
    bool self; // to this node's own API: url is a path
    int64_t silence_ms; // 0: 5 min
};
// Sends it, follows, answers a challenge. *slot is its owner's: freed there at the stop (or by
// another request in it). The act ends with an error where it cannot be done.
void act_web(struct act *a, struct act_web **slot, const struct act_web_args *args);
void act_web_free(struct act_web **slot);
// What a body is by its content type: JSON, text, or base64 of bytes. NULL and e: not so.
struct val *act_web_content(struct bytes content_type, struct bytes body, struct err *e);
struct val *act_base64(struct bytes body);
// The end that a status is: an error with the beginning of the body.
void act_web_status(struct act *a, struct bytes method, struct bytes shown,
                    const struct act_fetch *f);

// ---- authentication (act_auth.c, act_digest.c, act_oauth.c) -------------------------------------

struct act_auth { // of one request
    struct act *act;
    struct val *policy; // the scheme's own object
    struct buf header; // "Authorization: ...\r\n", or empty
    struct val *authorization; // {"scheme","parameter"} for $authorization, or NULL
    bool digest; // a challenge is answered with user and password
    bool token; // from a token server: a 401 is worth a new one
    bool oidc;
    struct buf user, password, nonce;
    uint32_t nonce_count;
    struct act_oauth *oauth; // under way
    struct act_web *web; // that waits for a new token
    char kept[65]; // name of the kept token
    void (*then)(struct act *a, struct act_auth *x);
};
// policy: {"basic":...}, ..., or NULL: none. Calls then, at once or later; on failure the act has
// ended. x was zeroed.
void act_auth(struct act *a, struct act_auth *x, const struct val *policy,
              void (*then)(struct act *a, struct act_auth *x));
// A new token instead of the kept one, which was refused.
void act_auth_again(struct act_auth *x, void (*then)(struct act *a, struct act_auth *x));
void act_auth_fini(struct act_auth *x);
int act_auth_set(struct act_auth *x, const char *scheme, struct bytes parameter);
// The answer to the WWW-Authenticate of a 401: in x->header. E_UNSUPPORTED: none that we know.
int act_digest(struct act_auth *x, const struct act_fetch *f, struct bytes method,
               struct bytes target, struct bytes body, struct err *e);
void act_oauth(struct act_auth *x);
void act_oauth_free(struct act_oauth *o);
void act_tokens_free(struct acts_room *r);
void act_token_drop(struct acts_room *r, const char *name);

// A document by an externalResource, an endpoint or an address; also file: addresses.
struct act_source {
    struct act_web *web;
    struct act_auth auth;
    struct buf url;
    void (*then)(struct act *a, struct bytes text, struct bytes url);
    struct act *act;
};
// then: its text, borrowed until return. On failure the act has ended.
void act_source(struct act *a, struct act_source *s, const struct val *resource,
                void (*then)(struct act *a, struct bytes text, struct bytes url));
void act_source_fini(struct act_source *s);
// The address and the authentication of an endpoint ({"uri","authentication"} or a text).
struct bytes act_endpoint(const struct val *endpoint, const struct val **ret_authentication);

// ---- JSON-RPC (act_rpc.c) -----------------------------------------------------------------------

struct act_rpc {
    struct act *act;
    struct act_web *web;
    struct sse_parser sse;
    struct buf whole;
    bool made, json, enough;
    bool (*on_message)(struct act *a, struct val *message);
    void (*on_end)(struct act *a, struct act_fetch *f);
};
struct act_rpc_args {
    const char *method; // NULL: POST
    struct bytes url, shown, headers;
    struct val *takes_message; // NULL: none
    struct act_auth *auth; // or NULL
    bool (*on_message)(struct act *a, struct val *message); // each one; false: enough
    void (*on_end)(struct act *a, struct act_fetch *f); // after the last, whatever the status
};
void act_rpc_send(struct act *a, struct act_rpc *r, const struct act_rpc_args *args);
void act_rpc_fini(struct act_rpc *r);
struct val *act_rpc_message(int64_t id, const char *method, struct val *takes_params); // id 0: none
bool act_rpc_answers(const struct val *message, int64_t id);
bool act_rpc_failed(struct act *a, const char *what, const struct val *message); // it is an error
void act_rpc_uuid(const struct act *a, char text[37]);

// ---- children (act_child.c) ---------------------------------------------------------------------

struct act_child;
struct act_child_args {
    const char *const *argv;
    const struct val *environment; // object or NULL
    const char *cwd; // or NULL
    struct bytes input;
    bool open; // more input comes: act_child_write
    void (*on_line)(struct act *a, struct bytes line); // instead of keeping stdout
    void (*then)(struct act *a, struct act_child *c); // it has ended
};
struct act_child {
    struct act *act;
    struct proc *proc;
    struct buf out, err;
    struct buf line;
    struct proc_exit exit;
    struct act_child_args args;
    bool over;
};
// The act ends with an error when it cannot be started.
void act_child(struct act *a, struct act_child *c, const struct act_child_args *args);
int act_child_write(struct act_child *c, struct bytes data);
void act_child_fini(struct act_child *c); // kills it with all its descendants
// {"code","stdout","stderr"}, or the error that its end is.
void act_child_end(struct act *a, struct act_child *c, const char *what);
// argv from a list or an object; NULL-terminated, in the arena.
int act_words(struct arena *r, const struct val *arguments, const char *const *first,
              const char *const **ret, struct err *e);
// It did not end by itself (not started, over its memory, a signal): the act has ended.
bool act_child_failed(struct act *a, const struct act_child *c, const char *what);
// What stdin says, as bytes: a text as it is, else JSON. buf_fini after it, also on failure.
int act_input(struct act *a, const struct val *v, struct buf *ret);
// A folder of its own under the room's, 0700, and away with all in it.
int act_folder_make(struct act *a, char *ret, size_t size);
void act_folder_remove(const char *path);
void act_folder_clear(const char *path); // removes what is in it; the folder stays
void act_chores_free(struct acts_room *r);

// ---- the kinds ----------------------------------------------------------------------------------

// Addresses, headers and bodies as arguments say them.
int act_query_put(struct buf *url, struct bytes name, const struct val *v);
int act_headers_put(struct buf *lines, const struct val *headers, struct err *e);
struct val *act_shown(const struct val *v); // "***" where an expression read a secret

extern const struct act_kind act_http, act_emit, act_model, act_shell, act_script, act_container,
    act_openapi, act_grpc, act_a2a, act_mcp, act_asyncapi, act_tool, act_agent;

#endif
