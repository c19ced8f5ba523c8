// registry_priv.h: what the implementations of the registry share: arguments, the others that are
// there and until when, this node's own text.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_ADAPTERS_REGISTRY_PRIV_H
#define PLEXUS_ADAPTERS_REGISTRY_PRIV_H

#include "base/alloc.h"
#include "base/buf.h"
#include "base/map.h"
#include "port/registry.h"

struct registry_core {
    struct registry base; // first
    struct registry_args args; // its texts are ours
    struct map *nodes;         // name: struct registry_node
    struct buf own;
    bool has_own, closed, ever;
    int64_t renew_ms; // when the own one is put again
    struct registry_stats stats;
};

int registry_core_init(struct registry_core *c, const struct registry_ops *ops,
                       const struct registry_args *args, struct err *e);
void registry_core_fini(struct registry_core *c);
int registry_core_put(struct registry_core *c, struct bytes text, struct err *e); // keeps it
bool registry_core_due(struct registry_core *c, int64_t now); // put it now; counts from here again
// News of another (or of this one: nothing). They may close the registry from inside.
void registry_core_seen(struct registry_core *c, struct bytes node, struct bytes text);
void registry_core_gone(struct registry_core *c, struct bytes node);
void registry_core_expire(struct registry_core *c);
void registry_core_status(struct registry_core *c, enum registry_status status,
                          const struct err *e); // and tells
void registry_core_note(struct registry_core *c, const struct err *e);
bool registry_name_good(struct bytes name); // may be a key

int registry_memory_open(const struct registry_args *args, struct registry **ret, struct err *e);
int registry_nats_open(const struct registry_args *args, struct registry **ret, struct err *e);

#endif
