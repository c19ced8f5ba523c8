// acts.h: the activities of flows that this node can do, over ports (port/activity.h is the way
// in). SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_ACTS_ACTS_H
#define PLEXUS_ACTS_ACTS_H

#include "base/buf.h"
#include "port/activity.h"
#include "port/bus.h"
#include "port/clock.h"
#include "port/expr.h"
#include "port/net.h"
#include "port/proc.h"
#include "port/tool.h"
#include "port/work.h"

// A fixed address for a name that flows call: "10.0.0.7:8080", "unix:/path". Nothing is looked up
// for it and no TLS is spoken there, whatever the flow's address says (a proxy or a stand-in).
struct acts_host {
    const char *name; // "petstore.example", or "petstore.example:8443" for this port alone
    const char *address;
};

struct acts_args { // texts and hosts are copied
    struct net *net;
    struct timers *timers;
    struct procs *procs;
    struct work *work;
    struct expr *expr; // for late expressions that are not plain; may be NULL
    int64_t (*wall_ms)(void *user);
    // The TLS context for https (system roots and the configured ones), made when first needed.
    struct net_tls *(*tls)(void *user, struct err *e);
    // Secret NAME into out (wiped after use); E_NOTFOUND with the mend. NULL: there are none.
    int (*secret)(void *user, struct bytes name, struct buf *out, struct err *e);
    // The node's own API, for models and agents: a unix socket's path or host:port.
    const char *self_address;
    const char *self_key; // API key or NULL (unix socket)
    void (*emit)(
        void *user,
        struct bytes cloudevent); // a flow's event, beside the bus: to this node's own listeners
    void *user;
    const char *environment, *node;
    const char *folder; // for scripts' files; made and emptied by acts, 0700
    const char *python, *node_js; // programs of run: script; NULL: searched on PATH
    const char *container; // program of run: container; NULL: docker or podman, searched on PATH
    const struct acts_host *hosts;
    size_t host_count;
    size_t body_bytes_max; // of an answer, 0: 20 MiB
    size_t output_bytes_max; // of a child, 0: 20 MiB
    uint64_t child_memory_bytes; // of a script or shell command, 0: 2 GiB
    unsigned running_max; // 0: 4096
};
int acts_new(struct acts **ret, const struct acts_args *args, struct err *e);
void acts_set_bus(struct acts *a, struct bus *b);
// All tools of this node (toolbox/tools_all.h), for call: tool; NULL: none where this runs.
void acts_set_tools(struct acts *a, struct tools *t);
void acts_free(struct acts *a); // what runs ends with E_CANCELLED before it returns

struct acts_kind { // one line each in acts.c's table
    const char *name, *what;
};
bool acts_kind(size_t i, struct acts_kind *ret); // for docs and doctor

#endif
