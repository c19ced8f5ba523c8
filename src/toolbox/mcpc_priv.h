// mcpc_priv.h: what the files of the MCP clients share. SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TOOLBOX_MCPC_PRIV_H
#define PLEXUS_TOOLBOX_MCPC_PRIV_H

#include "base/alloc.h"
#include "base/arena.h"
#include "crypto/hash.h"
#include "text/schema.h"
#include "toolbox/mcpc.h"

struct mcpc_srv;

struct mcpc_def { // a tool as a server described it at one time; counted
    unsigned refs;
    struct mcpc_srv *srv; // NULL: it is gone
    char *name, *theirs;
    struct val *item; // as listed
    struct buf title, description; // shown text
    struct json_doc *in_doc, *out_doc;
    struct schema *in, *out;
    char hash[2 * SHA256_LEN + 1];
    char why[256];
    enum mcpc_pin pin;
    unsigned effects;
    bool granted, named, flagged, usable, told; // told: that it changed, or hides something
};

struct mcpc_call { // tools/call, prompts/get, resources/read
    struct mcp_request req;
    struct mcpc_srv *srv;
    struct list link; // srv->calls
    struct timer timer; // its deadline, then its end
    struct tool_req *tool; // one of the two waits
    struct mcpc_req *other;
    struct mcpc_def *def;
    const char *method;
    struct val *params; // of a call that waits for the server
    char *who, *label, *clearance;
    uint64_t began_ns;
    bool sent, ended;
    unsigned agains, questions;
    struct list asks; // its server's questions that its host was asked
    int status;
    struct err err;
    struct val *result;
};

struct mcpc_way { // a transport
    const char *name;
    int (*open)(struct mcpc_srv *s, struct err *e); // then mcpc_begin
    void (*send)(struct mcpc_srv *s, const struct val *message, struct mcp_request *r);
    void (*drop)(struct mcpc_srv *s, struct mcp_request *r); // its answer is not wanted any more
    bool (*bye)(struct mcpc_srv *s); // a good end; true: mcpc_gone comes
    void (*close)(struct mcpc_srv *s); // at once; nothing comes any more
    void (*status)(struct mcpc_srv *s, struct mcpc_status *ret); // may be NULL
    void (*free)(struct mcpc_srv *s);
};
extern const struct mcpc_way mcpc_stdio, mcpc_web;

enum mcpc_state { MCPC_STARTING, MCPC_IS_READY, MCPC_WAITING, MCPC_LOGS_IN, MCPC_STOPPED };
enum { MCPC_LISTS = 4 }; // tools, prompts, resources, templates

struct mcpc_srv {
    struct mcpc *m;
    struct arena *memory; // of conf
    struct mcpc_server conf;
    const struct mcpc_way *way;
    void *own; // the transport's
    struct mcpc_login *login; // OAuth
    struct mcp_client *client; // NULL: down
    struct val *capabilities;
    enum mcpc_state state;
    struct timer timer;  // the start's limit, or the pause
    struct timer probe;  // a child's answer to server/discover
    struct timer falls;  // a fall is carried out by itself, not under its cause
    struct timer fresh;  // lists are read again
    bool falling, freed, told_flood, saying_bye;
    int fall_status;
    struct err fall;
    unsigned fall_count, fall_row;
    int64_t ready_at, due_at, listed_at;
    // Lists
    unsigned dirty; // bit: of MCPC_LISTS
    int listing;    // -1: none
    struct mcp_request list_req, listen;
    bool listening, relists;
    struct val *got;
    struct buf cursor;
    size_t got_bytes, pages;
    struct val *items[MCPC_LISTS];
    struct mcpc_def **defs;
    size_t def_count, left_out;
    // Calls
    struct list calls;
    size_t call_count;
    unsigned silent; // calls in a row that ran out of time
    // What it sends
    int64_t window_at;
    size_t window_bytes, window_notes, garbage;
    uint64_t calls_all, calls_failed, calls_refused, bytes_in;
    struct buf server, words;
};

struct mcpc {
    struct mcpc_args args;
    struct tools tools;
    struct mcpc_srv *servers[MCPC_SERVERS_MAX]; // by name
    size_t count;
    struct mcpc_def **rows; // of all servers, by name
    size_t row_count;
    uint64_t says; // what they say, as one number
    struct val *pins;
    struct buf scratch[2];
    void (*stopped)(void *user);
    void *stopped_user;
    struct timer stop;
    bool stopping;
};

#define MCPC_LIST_PAGES_MAX 100
#define MCPC_LIST_BYTES_MAX MAX_ALLOCATION_BYTES
#define MCPC_NOTES_PER_S 2000
#define MCPC_BYTES_PER_S ((size_t)64 << 20)
#define MCPC_GARBAGE_MAX 100

// mcpc_server.c
void mcpc_srv_start(struct mcpc_srv *s);
int mcpc_begin(struct mcpc_srv *s, bool one_channel, struct err *e); // the transport is open
void mcpc_fall(struct mcpc_srv *s, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void mcpc_fall_err(struct mcpc_srv *s, int status, const struct err *e);
void mcpc_gone(struct mcpc_srv *s); // after bye
void mcpc_srv_free(struct mcpc_srv *s);
// Bytes came. False: too many, the server falls.
bool mcpc_heard(struct mcpc_srv *s, size_t bytes);
// A message's text came. of: on whose answer.
void mcpc_message(struct mcpc_srv *s, struct bytes text, struct mcp_request *of);
void mcpc_event(struct mcpc_srv *s, enum mcpc_event ev, struct bytes text);
void mcpc_relist(struct mcpc_srv *s, unsigned lists, int64_t delay_ms);

// mcpc_list.c
void mcpc_fetch(struct mcpc_srv *s); // reads what is dirty, one after the other
void mcpc_list_clear(struct mcpc_srv *s);
void mcpc_listen(struct mcpc_srv *s);
void mcpc_ready(struct mcpc_srv *s); // all lists are there for the first time

// mcpc_defs.c
int mcpc_defs_take(struct mcpc_srv *s, const struct val *items);
void mcpc_def_unref(struct mcpc_def *d);
void mcpc_defs_free(struct mcpc_srv *s);
void mcpc_defs_judge(struct mcpc_srv *s); // pins and grants anew
int mcpc_rows_make(struct mcpc *m);
struct mcpc_def *mcpc_row(const struct mcpc *m, struct bytes name);

// mcpc_pins.c
int mcpc_pins_load(struct mcpc *m, struct err *e);
int mcpc_pins_save(struct mcpc *m, struct err *e);
void mcpc_tool_hash(const struct val *item, char hash[2 * SHA256_LEN + 1]);

// mcpc_call.c
extern const struct tools_ops mcpc_tools_ops;
void mcpc_calls_send(struct mcpc_srv *s); // those that wait
void mcpc_calls_end(struct mcpc_srv *s, bool waiting_too, int status, const struct err *e);
void mcpc_calls_free(struct mcpc_srv *s);
bool mcpc_call_again(struct mcpc_srv *s, struct mcp_request *r); // its session was gone
struct mcpc_call *mcpc_call_of(struct mcpc_srv *s, struct mcp_request *r); // NULL: no call

// mcpc_ask.c
struct val *mcpc_capabilities(const struct mcpc_srv *s);
void mcpc_asked(void *user, struct mcp_ask *a);
void mcpc_ask_gone(void *user, struct mcp_ask *a);
// The call is over: nobody answers its questions any more. tell: its server hears of it.
void mcpc_asks_over(struct mcpc_call *c, bool tell);

// mcpc_oauth.c. The token for the next request, or BYTES_NONE.
struct bytes mcpc_token(struct mcpc_srv *s);
// An answer refused us. True: a login goes on, then the server begins anew; false: it has none.
bool mcpc_login(struct mcpc_srv *s, int http_status, struct bytes www_authenticate);
void mcpc_login_free(struct mcpc_srv *s);
const char *mcpc_login_page(const struct mcpc_srv *s); // or ""

static inline int64_t mcpc_now(const struct mcpc *m)
{
    return timers_now_ms(m->args.timers);
}

#endif
