// tool_loop.h: the agents' small loop: chat requests with "plexus_tools", in which the model calls
// tools of this node until it has an answer (docs/API.md, "A model that calls tools").
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TOOLBOX_TOOL_LOOP_H
#define PLEXUS_TOOLBOX_TOOL_LOOP_H

#include "base/buf.h"
#include "http/http.h"
#include "port/clock.h"
#include "port/net.h"
#include "port/tool.h"

struct tools_loops; // all that run

struct tools_loop_limits { // what a request may ask for at most, and has when it asks for nothing
    uint32_t steps;  // answers of the model; 0: 16
    uint64_t tokens; // in and out, of all steps; 0: 500,000
    int64_t time_ms; // 0: 10 min
};
struct tools_loops_args {
    struct net *net;
    struct timers *timers;
    struct tools *tools; // all of them (tools_all.h)
    struct net_addr self; // this node's own API, where models are asked: a door that trusts us
    // The label of data that is made of both (trust/label.h); texts, empty: none. NULL: no labels.
    int (*join)(void *user, struct bytes a, struct bytes b, struct buf *out, struct err *e);
    void *user;
    struct tools_loop_limits limits;
    unsigned parallel; // calls of one answer at once; 0: 4
    unsigned running_max; // loops; 0: 64
    size_t result_bytes_max; // of a result as the model gets it; 0: 64 KiB
    int64_t call_timeout_ms; // 0: the loop's time
};
int tools_loops_new(struct tools_loops **ret, const struct tools_loops_args *args, struct err *e);
void tools_loops_free(struct tools_loops *l); // what runs ends with an error before it returns
size_t tools_loops_running(const struct tools_loops *l);

struct tools_loop_ask { // all borrowed until the call returns, but x
    struct http_exchange *x; // taken
    struct bytes body; // of POST /v1/chat/completions, checked by its schema
    struct bytes headers; // lines for the answer's head
    const char *id; // of the request
    struct bytes as; // who is held to it when models are asked (X-Plexus-As); empty: nobody
    struct bytes who; // for records
    struct bytes label, clearance; // texts, or empty
    bool admin; // may say yes to a tool that nobody granted
};
void tools_loops_take(struct tools_loops *l, const struct tools_loop_ask *ask);

#endif
