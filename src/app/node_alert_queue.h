// node_alert_queue.h: alerts that wait to be told. Pure: times in, alerts out. Equal ones within a
// minute become one with a count; over the limit the oldest goes, and is counted.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_APP_NODE_ALERT_QUEUE_H
#define PLEXUS_APP_NODE_ALERT_QUEUE_H

#include "base/err.h"
#include "base/list.h"
#include "base/rng.h"
#include "base/time.h"

#define NODE_ALERTS_MAX 256
#define NODE_ALERTS_RECENT 64 // of so many kinds it is known when they were told
#define NODE_ALERT_MERGE_MS 60000

struct node_alert {
    struct list node;
    char id[RNG_ID_LEN + 1]; // the same at each try, so that a receiver sees what it has
    const char *type, *severity; // static texts
    char subject[160], text[ERR_TEXT_MAX];
    int64_t first_ms, last_ms; // wall
    uint32_t count; // equal ones, this one included
    int64_t made_ms, due_ms; // mono
    bool begun; // it is on its way: what comes now is another one
};

struct node_alert_queue {
    struct list all; // oldest first
    size_t count;
    uint64_t dropped;
    struct {
        uint64_t sign;
        int64_t told_ms;
    } recent[NODE_ALERTS_RECENT];
    size_t recent_at;
};

void node_alert_queue_init(struct node_alert_queue *q);
void node_alert_queue_fini(struct node_alert_queue *q);
// Two alerts are equal when type and subject are; the first one's text is kept.
void node_alert_put(struct node_alert_queue *q, const struct node_alert *a, int64_t now_ms,
                    int64_t wall_ms);
// The oldest that is due, begun from now on; NULL: none. It stays until it is taken.
struct node_alert *node_alert_begin(struct node_alert_queue *q, int64_t now_ms);
void node_alert_take(struct node_alert_queue *q, struct node_alert *a); // told, or given up: freed
int64_t node_alert_due(const struct node_alert_queue *q); // of the first; TIME_NEVER: none

#endif
