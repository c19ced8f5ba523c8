// node_alert_queue.c: a bounded queue that says each thing once a minute.
// SPDX-License-Identifier: Apache-2.0
#include "app/node_alert_queue.h"
#include "base/alloc.h"
#include "base/bytes.h"
#include <string.h>

void node_alert_queue_init(struct node_alert_queue *q)
{
    *q = (struct node_alert_queue){0};
    list_init(&q->all);
}

void node_alert_queue_fini(struct node_alert_queue *q)
{
    list_each_safe (it, &q->all)
        node_alert_take(q, container_of(it, struct node_alert, node));
}

static uint64_t sign_of(const struct node_alert *a)
{
    uint64_t sign = bytes_hash(bytes_of(a->type)) * 0x9e3779b97f4a7c15u;
    sign ^= bytes_hash(bytes_of(a->subject));
    return sign ? sign : 1; // 0 is an empty place
}

static bool equal(const struct node_alert *a, const struct node_alert *b)
{
    return strcmp(a->type, b->type) == 0 && strcmp(a->subject, b->subject) == 0;
}

// When an equal one was begun less than a minute ago, this one waits until that minute is over:
// more of them are counted into it.
static int64_t due_of(const struct node_alert_queue *q, const struct node_alert *a, int64_t now_ms)
{
    uint64_t sign = sign_of(a);
    for (size_t i = 0; i < NODE_ALERTS_RECENT; i++)
        if (q->recent[i].sign == sign && now_ms - q->recent[i].told_ms < NODE_ALERT_MERGE_MS)
            return q->recent[i].told_ms + NODE_ALERT_MERGE_MS;
    return now_ms;
}

static void told(struct node_alert_queue *q, const struct node_alert *a, int64_t now_ms)
{
    uint64_t sign = sign_of(a);
    size_t at = 0;
    while (at < NODE_ALERTS_RECENT && q->recent[at].sign != sign)
        at++;
    if (at == NODE_ALERTS_RECENT)
        at = q->recent_at++ % NODE_ALERTS_RECENT;
    q->recent[at].sign = sign;
    q->recent[at].told_ms = now_ms;
}

static void make_room(struct node_alert_queue *q)
{
    if (q->count < NODE_ALERTS_MAX)
        return;
    list_each (it, &q->all) {
        struct node_alert *x = container_of(it, struct node_alert, node);
        if (x->begun)
            continue;
        node_alert_take(q, x);
        q->dropped++;
        return;
    }
}

void node_alert_put(struct node_alert_queue *q, const struct node_alert *a, int64_t now_ms,
                    int64_t wall_ms)
{
    list_each (it, &q->all) {
        struct node_alert *x = container_of(it, struct node_alert, node);
        if (x->begun || !equal(x, a) ||
            (x->due_ms <= now_ms && now_ms - x->made_ms >= NODE_ALERT_MERGE_MS))
            continue;
        x->count++;
        x->last_ms = wall_ms;
        return;
    }
    struct node_alert *x = mem_new(struct node_alert);
    if (!x) {
        q->dropped++;
        return;
    }
    make_room(q);
    *x = *a;
    rng_id(x->id);
    x->first_ms = x->last_ms = wall_ms;
    x->count = 1;
    x->made_ms = now_ms;
    x->due_ms = due_of(q, a, now_ms);
    x->begun = false;
    list_init(&x->node);
    list_add_tail(&q->all, &x->node);
    q->count++;
}

struct node_alert *node_alert_begin(struct node_alert_queue *q, int64_t now_ms)
{
    list_each (it, &q->all) {
        struct node_alert *x = container_of(it, struct node_alert, node);
        if (x->begun || x->due_ms > now_ms)
            continue;
        x->begun = true;
        told(q, x, now_ms);
        return x;
    }
    return NULL;
}

void node_alert_take(struct node_alert_queue *q, struct node_alert *a)
{
    list_del(&a->node);
    q->count--;
    mem_free(a);
}

int64_t node_alert_due(const struct node_alert_queue *q)
{
    int64_t due = TIME_NEVER;
    list_each (it, &q->all) {
        const struct node_alert *x = container_of(it, struct node_alert, node);
        if (!x->begun && x->due_ms < due)
            due = x->due_ms;
    }
    return due;
}
