// bus_priv.h: what the implementations of the bus share: checks at the door, requests with their
// deadlines, ids, copies of messages.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_ADAPTERS_BUS_PRIV_H
#define PLEXUS_ADAPTERS_BUS_PRIV_H

#include "base/alloc.h"
#include "base/buf.h"
#include "port/bus.h"

#define BUS_TEXT_MAX 1024 // an id, type, source, label ...
#define BUS_TYPE "plexus.message"
#define BUS_CONTENT "application/octet-stream"

enum bus_req_kind { BUS_REQ_NONE, BUS_REQ_STORE, BUS_REQ_REQUEST, BUS_REQ_FLUSH };

struct bus_core {
    struct bus bus; // first
    struct bus_args args; // its texts are ours
    struct bytes environment, source;
    char inbox[64]; // "dev.nervous.inbox.0123456789abcdef."
    size_t inbox_n;
    char made[24];      // ids that are made: this and a number
    uint64_t made_next, ticket_next;
    struct bus_req **slots; // by ticket % reqs_max
    uint32_t *free, free_count;
    struct list waiting; // requests by their deadline
    struct list ended;   // to be told in the next round
    struct timer deadline, soon;
    struct bus_stats stats;
    char note[200]; // why the store does not answer, for those who waited in vain
    bool closed;
    // The engine forgets a request that ends by itself (deadline, cancel, close).
    void (*forget)(struct bus_core *c, struct bus_req *r);
};

static inline struct bus_core *bus_core_of(struct bus *b)
{
    return (struct bus_core *)(void *)b;
}
static inline const struct bus_core *bus_core_in(const struct bus *b)
{
    return (const struct bus_core *)(const void *)b;
}

int bus_core_init(struct bus_core *c, const struct bus_ops *ops, const struct bus_args *args,
                  struct err *e);
void bus_core_fini(struct bus_core *c);

// Subject (checked, of this environment), sizes, label. Counts what it refuses.
int bus_core_admit(struct bus_core *c, const struct bus_msg *m, struct err *e);
int bus_core_admit_subject(struct bus_core *c, struct bytes subject, struct err *e);
int bus_core_admit_size(struct bus_core *c, const struct bus_msg *m, struct err *e);
int bus_core_admit_sub(struct bus_core *c, const struct bus_sub_args *a, struct err *e);
int bus_core_may(struct bus_core *c, bool deliver, struct bytes subject, struct bytes label,
                 struct bytes who, struct err *e);
bool bus_core_is_inbox(const struct bus_core *c, struct bytes subject); // anybody's
// The request that an answer on this subject is for, or NULL.
struct bus_req *bus_core_inbox(struct bus_core *c, struct bytes subject);

int bus_core_req_add(struct bus_core *c, struct bus_req *r, enum bus_req_kind kind, struct err *e);
struct bus_req *bus_core_req(struct bus_core *c, uint64_t ticket); // NULL: it has ended
void bus_core_req_end(struct bus_core *c, struct bus_req *r, int status,
                      const struct bus_msg *reply, const struct err *e); // calls done now
void bus_core_req_end_soon(struct bus_core *c, struct bus_req *r, int status, const struct err *e);
void bus_core_req_drop(struct bus_core *c, struct bus_req *r); // its start fails: no done
void bus_core_req_cancel(struct bus_core *c, struct bus_req *r);
// All of them (kind BUS_REQ_NONE) or all of one kind, soon.
void bus_core_reqs_end(struct bus_core *c, enum bus_req_kind kind, int status, const struct err *e);
void bus_core_put_made_id(struct bus_core *c, struct buf *out);
void bus_core_lost(struct bus_core *c, enum bus_status status, const struct err *e); // and tells

// A message in one block (mem_free); extra: bytes of the caller's own in front of it.
struct bus_copy {
    struct bus_msg m;
    size_t bytes; // of the whole block
    struct bus_copy *next;
};
struct bus_copy *bus_copy_new(const struct bus_msg *m, size_t extra, void **ret_extra);
size_t bus_msg_bytes(const struct bus_msg *m); // of all its slices

// The subscription's arguments with texts of its own.
int bus_sub_args_copy(struct bus_sub_args *to, const struct bus_sub_args *from);
void bus_sub_args_fini(struct bus_sub_args *a);

int bus_memory_open(const struct bus_args *args, struct bus **ret, struct err *e);
int bus_nats_open(const struct bus_args *args, struct bus **ret, struct err *e);
int bus_redis_open(const struct bus_args *args, struct bus **ret, struct err *e);

#endif
