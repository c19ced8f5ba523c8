// bus_memory_priv.h: what the two halves of the bus in memory share: live messages
// (bus_memory.c) and the store (bus_memory_store.c).
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_ADAPTERS_BUS_MEMORY_PRIV_H
#define PLEXUS_ADAPTERS_BUS_MEMORY_PRIV_H

#include "adapters/bus_priv.h"
#include "base/map.h"

struct mem_cursor;

struct mem_sub {
    struct bus_sub sub; // first
    struct bus_sub_args args;
    struct bytes pattern, who;
    struct list link;   // all, or those that wait for their end
    struct list by;     // of its bucket of exact patterns, or of the wild ones
    struct list member; // of its cursor
    uint64_t since;     // first record that is its
    uint32_t in_flight; // of a durable
    bool dead, told_ready;
    struct mem_cursor *cursor; // NULL: live
};

struct mem_entry { // of the store
    uint64_t seq;
    int64_t time_ms; // when it came, wall
    struct bus_copy *copy;
};

struct mem_flight { // delivered, not acknowledged
    struct list link;
    uint64_t seq;
    uint32_t deliveries;
    int64_t due_ms;
    struct mem_sub *sub;
};

struct mem_cursor {
    struct list link;
    char *name; // NULL: of one subscription
    struct bytes pattern;
    uint64_t next; // first not yet looked at
    struct list members;
    struct list flights; // by due time
    struct list again;   // flights that wait to be delivered again
    bool gone;           // freed when its flights are
};

struct mem_store {
    struct mem_entry *ring; // seq % cap
    uint64_t cap, first, next, bytes;
    struct map *ids; // id → struct mem_seen
    struct list seen; // oldest first
    struct list cursors;
    uint32_t cursor_count;
    struct timer timer; // the next redelivery
    bool starved;
    struct bus_copy *dropped; // during a round, which may be reading them
};

#define MEM_BUCKETS 1024 // of exact patterns, of topics
#define MEM_TOPICS_MAX 8192

struct mem_chunk { // of records
    struct mem_chunk *next;
    size_t size, used, read;
    char *p;
};

struct mem_bus {
    struct bus_core core; // first
    struct list subs, ending, wild, exact[MEM_BUCKETS];
    struct mem_topic **topics; // buckets
    uint32_t topic_count, untold; // untold: subscriptions that wait for on_ready
    uint64_t generation, stamp, seed;
    struct mem_topic *last; // the topic of the last publish
    struct mem_chunk *head, *tail, *spare;
    uint64_t record; // number of the next
    uint64_t queued_bytes;
    int64_t wall_ms;
    bool pumping, pump_armed, want_drain;
    struct timer pump;
    struct mem_store store;
};

static inline struct mem_bus *mem_of(struct bus *b)
{
    return (struct mem_bus *)(void *)b;
}

void bus_memory_pump_soon(struct mem_bus *b);
int64_t bus_memory_wall(struct mem_bus *b);
// Live: puts it into the queue. The checks are done.
int bus_memory_queue(struct mem_bus *b, const struct bus_msg *m, uint64_t ticket, struct err *e);

// bus_memory_store.c
int bus_memory_store_init(struct mem_bus *b, struct err *e);
void bus_memory_store_fini(struct mem_bus *b);
int bus_memory_store_put(struct mem_bus *b, const struct bus_msg *m, struct bus_req *r,
                         struct err *e);
int bus_memory_store_sub(struct mem_bus *b, struct mem_sub *s, struct err *e);
void bus_memory_store_unsub(struct mem_sub *s);
int bus_memory_store_ack(struct mem_sub *s, uint64_t ack, enum bus_ack_how how, int64_t delay_ms);
bool bus_memory_store_pump(struct mem_bus *b, unsigned *budget); // true: there is more
void bus_memory_store_stats(struct mem_bus *b, struct bus_stats *ret);

#endif
