// registry.h: who is there, kept where all nodes can look: each node puts one text of its own under
// its name (its signed sheet), and hears those of the others. What comes out is a stranger's word:
// the text carries its own proof, and who reads it must check it (links_take). All calls and
// callbacks happen on the loop thread; nothing is told from inside a call.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_PORT_REGISTRY_H
#define PLEXUS_PORT_REGISTRY_H

#include "base/bytes.h"
#include "base/err.h"
#include "port/clock.h"
#include "port/net.h"

#define REGISTRY_NAME_MAX 63

// CONNECTING with e: it did not come about yet, more tries follow. CONNECTED: the watch stands;
// once, then LOST (e: why) and BACK. CLOSED: the last callback, after it the registry's memory is
// gone.
enum registry_status {
    REGISTRY_CONNECTING,
    REGISTRY_CONNECTED,
    REGISTRY_LOST,
    REGISTRY_BACK,
    REGISTRY_CLOSED
};

struct registry_table; // of registries in one process (adapters/registry_memory.h)

struct registry_args {
    struct timers *timers;
    struct net *net;
    const char *node; // this one: letters, digits, '-', '_', single dots inside
    const char *environment; // dev, staging or prod: each has a table of its own
    // Another node's text: all that are there at first, then each put and each renewal. It may be
    // told again after a loss.
    void (*seen)(void *user, struct bytes node, struct bytes text);
    // Its text was taken away, or (expired) was not renewed for ttl_ms. Once, after seen.
    void (*gone)(void *user, struct bytes node, bool expired);
    void (*on_status)(void *user, enum registry_status status, const struct err *e);
    void *user;
    int64_t ttl_ms; // 1 s to 1 h, 0: 30 s; the same on every node
    // Limits; 0: the default. What is over them is dropped and counted.
    uint32_t nodes_max; // others, 4096
    uint32_t text_bytes_max; // 352 KiB
    struct registry_table *table; // in memory
    // A server.
    const char *url; // as bus_args.url
    const char *user_name, *password, *token; // or NULL; copied, wiped at the end
    struct net_tls *tls;
    int64_t connect_ms, retry_ms; // as bus_args'
};

struct registry_stats {
    enum registry_status status;
    uint64_t puts; // that arrived there, renewals too
    uint64_t failed; // that did not
    uint64_t seen, deleted, expired;
    uint64_t dropped; // over a limit, or under a name that is none
    uint64_t lost; // connections
    uint64_t watches; // begun: more than 1: news might have been missed, all was read anew
    uint32_t nodes; // others that are there now
    char server[128];
    char note[200]; // why the last put or try failed, or empty
};

struct registry;
struct registry_ops {
    int (*put)(struct registry *r, struct bytes text, struct err *e);
    void (*remove)(struct registry *r);
    void (*stats)(const struct registry *r, struct registry_stats *ret);
    void (*close)(struct registry *r);
};
struct registry {
    const struct registry_ops *ops;
};

// This node's text (copied) is there from soon on: renewed each third of ttl_ms, and after a loss,
// until it is put anew or removed. E_INVALID: empty, E_TOOBIG, E_CLOSED.
static inline int registry_put(struct registry *r, struct bytes text, struct err *e)
{
    return r->ops->put(r, text, e);
}
static inline void registry_remove(struct registry *r) // at once, where there is a connection
{
    r->ops->remove(r);
}
static inline void registry_stats(const struct registry *r, struct registry_stats *ret)
{
    r->ops->stats(r, ret);
}
// What was removed just now still leaves. What was put stays until its time is over.
static inline void registry_close(struct registry *r)
{
    r->ops->close(r);
}

struct registry_engine {
    const char *name; // as in config
    const char *what;
    int (*open)(const struct registry_args *args, struct registry **ret, struct err *e);
};
const struct registry_engine *registry_engines(void); // ends with a NULL name
const struct registry_engine *registry_engine_find(const char *name); // NULL: unknown

#endif
