// bus_memory.c: the bus inside one process: live messages. Publishing appends a record to a queue
// of chunks; the next round of the loop hands the records on. What subject means which subscribers,
// and which label may pass, is remembered per subject (a topic), so that a message costs one
// look-up, two copies of its bytes and the call.
// SPDX-License-Identifier: Apache-2.0
#include "adapters/bus_memory_priv.h"
#include "base/rng.h"
#include "base/time.h"
#include "text/subject.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>

#define CHUNK_BYTES ((size_t)64 << 10)
#define ROUND_RECORDS 8192 // then other work of the loop has its turn
#define LABEL_KEPT 48 // longer labels are asked about each time

struct match {
    struct mem_sub *sub;
    uint64_t stamp; // this label was allowed to it; 0: not known
    uint32_t group_n; // of the first of a queue group: how many; 0: not in one
    uint32_t turn;
};

struct mem_topic {
    struct mem_topic *next; // of its bucket
    uint64_t hash, generation;
    struct match *matches;
    uint32_t match_count, match_room;
    uint32_t pending; // records that point here
    uint64_t stamp; // names the label that was last allowed in; 0: none
    uint8_t label_n, subject_n;
    char label[LABEL_KEPT];
    char subject[SUBJECT_BYTES_MAX + 1];
};

enum { PART_REPLY, PART_LABEL, PART_ID, PART_TYPE, PART_CONTENT, PART_SOURCE, PART_ABOUT, PARTS };

struct record {
    struct mem_topic *topic; // NULL: an answer, its subject is the first part's
    uint64_t number, stamp, ticket;
    int64_t time_ms;
    uint32_t size, data_n;
    uint16_t part_n[PARTS + 1]; // the last: subject of an answer
};

// ---- topics -------------------------------------------------------------------------------------

// Keyed mix over 8 bytes at a time (as base/map.c), for short texts.
static uint64_t hash_of(const struct mem_bus *b, const char *p, size_t n)
{
    uint64_t h = b->seed ^ (n * 0x9e3779b97f4a7c15u);
    while (n) {
        uint64_t word = 0;
        size_t k = n < 8 ? n : 8;
        if (k == 8)
            memcpy(&word, p, 8);
        else
            for (size_t i = 0; i < k; i++)
                word |= (uint64_t)(unsigned char)p[i] << 8 * i;
        __extension__ unsigned __int128 wide =
            (unsigned __int128)(h ^ word) * (0xd6e8feb86659fd93u ^ (b->seed << 1 | 1));
        h = (uint64_t)wide ^ (uint64_t)(wide >> 64);
        p += k;
        n -= k;
    }
    return h ^ (h >> 31);
}

static bool topic_is(const struct mem_topic *t, struct bytes subject)
{
    return t->subject_n == subject.n && !memcmp(t->subject, subject.p, subject.n);
}

static struct mem_topic *topic_find(struct mem_bus *b, struct bytes subject, uint64_t hash)
{
    struct mem_topic *t = b->topics[hash % MEM_BUCKETS];
    while (t && (t->hash != hash || !topic_is(t, subject)))
        t = t->next;
    return t;
}

static void topic_free(struct mem_topic *t)
{
    mem_free(t->matches);
    mem_free(t);
}

// Forgets topics that no record needs.
static void topics_sweep(struct mem_bus *b, bool all)
{
    b->last = NULL;
    for (size_t i = 0; i < MEM_BUCKETS; i++) {
        struct mem_topic **at = &b->topics[i];
        while (*at) {
            struct mem_topic *t = *at;
            if (t->pending && !all) {
                at = &t->next;
                continue;
            }
            *at = t->next;
            b->topic_count--;
            topic_free(t);
        }
    }
}

static struct mem_topic *topic_new(struct mem_bus *b, struct bytes subject, uint64_t hash,
                                   struct err *e)
{
    if (bus_core_admit_subject(&b->core, subject, e))
        return NULL;
    if (b->topic_count >= MEM_TOPICS_MAX)
        topics_sweep(b, false);
    if (b->topic_count >= MEM_TOPICS_MAX) {
        (void)err_set(e, E_FULL, "messages of %d subjects wait on the bus", MEM_TOPICS_MAX);
        return NULL;
    }
    struct mem_topic *t = mem_new(struct mem_topic);
    if (!t) {
        (void)err_set(e, E_NOMEM, "bus");
        return NULL;
    }
    memcpy(t->subject, subject.p, subject.n);
    t->subject_n = (uint8_t)subject.n;
    t->hash = hash;
    t->next = b->topics[hash % MEM_BUCKETS];
    b->topics[hash % MEM_BUCKETS] = t;
    b->topic_count++;
    return t;
}

static struct mem_topic *topic_of(struct mem_bus *b, struct bytes subject, struct err *e)
{
    if (b->last && topic_is(b->last, subject))
        return b->last;
    uint64_t hash = hash_of(b, subject.p, subject.n);
    struct mem_topic *t = topic_find(b, subject, hash);
    if (!t)
        t = topic_new(b, subject, hash, e);
    b->last = t;
    return t;
}

static int match_add(struct mem_topic *t, struct mem_sub *s, uint32_t at)
{
    if (t->match_count == t->match_room) {
        uint32_t room = t->match_room ? t->match_room * 2 : 2;
        struct match *more = mem_realloc(t->matches, room * sizeof *more);
        if (!more)
            return E_NOMEM;
        t->matches = more;
        t->match_room = room;
    }
    memmove(t->matches + at + 1, t->matches + at, (t->match_count++ - at) * sizeof *t->matches);
    t->matches[at] = (struct match){.sub = s};
    return 0;
}

// Members of one queue group stand together; the first of them has their number.
static int match_put(struct mem_topic *t, struct mem_sub *s)
{
    if (!s->args.queue)
        return match_add(t, s, t->match_count);
    for (uint32_t i = 0; i < t->match_count;
         i += t->matches[i].group_n ? t->matches[i].group_n : 1) {
        uint32_t n = t->matches[i].group_n;
        if (!n || strcmp(t->matches[i].sub->args.queue, s->args.queue) != 0)
            continue;
        int rc = match_add(t, s, i + n);
        t->matches[i].group_n += !rc;
        return rc;
    }
    int rc = match_add(t, s, t->match_count);
    if (!rc)
        t->matches[t->match_count - 1].group_n = 1;
    return rc;
}

static int topic_match(struct mem_bus *b, struct mem_topic *t)
{
    struct bytes subject = {t->subject, t->subject_n};
    int rc = 0;
    t->match_count = 0;
    list_each (it, &b->exact[t->hash % MEM_BUCKETS]) {
        struct mem_sub *s = container_of(it, struct mem_sub, by);
        if (!rc && bytes_eq(s->pattern, subject))
            rc = match_put(t, s);
    }
    list_each (it, &b->wild) {
        struct mem_sub *s = container_of(it, struct mem_sub, by);
        if (!rc && subject_match(s->pattern, subject))
            rc = match_put(t, s);
    }
    if (!rc)
        t->generation = b->generation;
    return rc;
}

// What was remembered of this pattern's subjects is no longer so.
static void topics_stale(struct mem_bus *b, const struct mem_sub *s)
{
    if (!subject_is_exact(s->pattern)) {
        b->generation++;
        return;
    }
    struct mem_topic *t = topic_find(b, s->pattern, hash_of(b, s->pattern.p, s->pattern.n));
    if (t)
        t->generation = 0;
}

// ---- the queue ----------------------------------------------------------------------------------

int64_t bus_memory_wall(struct mem_bus *b)
{
    if (!b->wall_ms)
        b->wall_ms = time_wall_ms();
    return b->wall_ms; // of this round
}

void bus_memory_pump_soon(struct mem_bus *b)
{
    if (b->pump_armed)
        return;
    b->pump_armed = timer_start(b->core.args.timers, &b->pump, 0) == 0;
    b->wall_ms = 0;
}

static struct mem_chunk *chunk_new(struct mem_bus *b, size_t size)
{
    struct mem_chunk *c = b->spare;
    if (c && size <= c->size) {
        b->spare = c->next;
        c->next = NULL;
        c->used = c->read = 0;
        return c;
    }
    size = size > CHUNK_BYTES ? size : CHUNK_BYTES;
    c = mem_alloc(sizeof *c + size);
    if (c)
        *c = (struct mem_chunk){.size = size, .p = (char *)(c + 1)};
    return c;
}

static void chunk_done(struct mem_bus *b, struct mem_chunk *c)
{
    if (c->size == CHUNK_BYTES && (!b->spare || !b->spare->next)) { // two are kept
        c->next = b->spare;
        b->spare = c;
    } else {
        mem_free(c);
    }
}

static char *copy(char *p, struct bytes part)
{
    if (part.n)
        memcpy(p, part.p, part.n);
    return p + part.n;
}

static char *room_for(struct mem_bus *b, size_t size)
{
    struct mem_chunk *c = b->tail;
    if (!c || c->size - c->used < size) {
        c = chunk_new(b, size);
        if (!c)
            return NULL;
        if (b->tail)
            b->tail->next = c;
        else
            b->head = c;
        b->tail = c;
    }
    char *p = c->p + c->used;
    c->used += size;
    b->queued_bytes += size;
    return p;
}

static int append(struct mem_bus *b, struct mem_topic *t, const struct bus_msg *m, uint64_t stamp,
                  uint64_t ticket, struct err *e)
{
    struct bytes answer = t ? BYTES_NONE : m->subject;
    struct bytes id = m->id;
    size_t n = sizeof(struct record) + answer.n + m->reply.n + m->label.n + id.n + m->type.n +
               m->content.n + m->source.n + m->about.n + m->data.n;
    n = (n + 15) & ~(size_t)15;
    struct record *r = NULL;
    bool full = b->queued_bytes + n > b->core.args.queue_bytes_max;
    if (!full)
        r = (struct record *)(void *)room_for(b, n);
    if (!r) {
        b->core.stats.full++;
        b->want_drain = true;
        return err_set(e, full ? E_FULL : E_NOMEM,
                       "%llu bytes of messages wait on the bus, which is its limit",
                       (unsigned long long)b->queued_bytes);
    }
    *r = (struct record){.topic = t,
                         .number = b->record++,
                         .stamp = stamp,
                         .ticket = ticket,
                         .time_ms = m->time_ms ? m->time_ms : bus_memory_wall(b),
                         .size = (uint32_t)n,
                         .data_n = (uint32_t)m->data.n,
                         .part_n = {(uint16_t)m->reply.n, (uint16_t)m->label.n, (uint16_t)id.n,
                                    (uint16_t)m->type.n, (uint16_t)m->content.n,
                                    (uint16_t)m->source.n, (uint16_t)m->about.n,
                                    (uint16_t)answer.n}};
    char *p = copy((char *)(r + 1), m->reply);
    p = copy(p, m->label);
    if (id.n | m->type.n | m->content.n | m->source.n | m->about.n | answer.n) {
        p = copy(copy(p, id), m->type);
        p = copy(copy(p, m->content), m->source);
        p = copy(copy(p, m->about), answer);
    }
    (void)copy(p, m->data);
    if (t)
        t->pending++;
    if (!b->pump_armed)
        bus_memory_pump_soon(b);
    if (b->queued_bytes <= b->core.args.queue_bytes_max / 2)
        return 0;
    b->want_drain = true;
    return 1;
}

// May it come in? Remembered for the subject's last label: *ret_stamp names it.
static int may_publish(struct mem_bus *b, struct mem_topic *t, struct bytes label,
                       uint64_t *ret_stamp, struct err *e)
{
    if (t->stamp && t->label_n == label.n && !memcmp(t->label, label.p ? label.p : "", label.n)) {
        *ret_stamp = t->stamp;
        return 0;
    }
    int rc = bus_core_may(&b->core, false, (struct bytes){t->subject, t->subject_n}, label,
                          BYTES_NONE, e);
    *ret_stamp = 0;
    if (!rc && label.n <= LABEL_KEPT) {
        if (label.n && label.p)
            memcpy(t->label, label.p, label.n);
        t->label_n = (uint8_t)label.n;
        *ret_stamp = t->stamp = ++b->stamp;
    }
    return rc;
}

int bus_memory_queue(struct mem_bus *b, const struct bus_msg *m, uint64_t ticket, struct err *e)
{
    struct err own;
    uint64_t stamp;
    if (!e) {
        own.code = 0;
        e = &own;
    }
    struct mem_topic *t = topic_of(b, m->subject, e);
    if (!t)
        return e->code;
    int rc = may_publish(b, t, m->label, &stamp, e);
    return rc ? rc : append(b, t, m, stamp, ticket, e);
}

static inline int check_parts(struct mem_bus *b, const struct bus_msg *m, struct err *e)
{
    if (b->core.closed)
        return err_set(e, E_CLOSED, "the bus is closed");
    if (m->data.n > b->core.args.data_bytes_max ||
        (m->content.n | m->type.n | m->id.n | m->source.n | m->label.n | m->about.n) >=
            BUS_TEXT_MAX) // a cheap guess; then exactly
        return bus_core_admit_size(&b->core, m, e);
    return 0;
}

static int op_publish(struct bus *base, const struct bus_msg *m, struct err *e)
{
    struct mem_bus *b = mem_of(base);
    int rc = check_parts(b, m, e);
    if (!rc && m->reply.n)
        rc = bus_core_admit_subject(&b->core, m->reply, e);
    if (rc)
        return rc;
    if (m->subject.n > b->core.inbox_n && bus_core_is_inbox(&b->core, m->subject)) {
        rc = bus_core_admit(&b->core, m, e);
        if (!rc)
            rc = append(b, NULL, m, 0, 0, e);
    } else {
        rc = bus_memory_queue(b, m, 0, e);
    }
    b->core.stats.published += rc >= 0;
    return rc;
}

// ---- delivery -----------------------------------------------------------------------------------

static void message_of(struct mem_bus *b, const struct record *r, struct bus_msg *m)
{
    const char *p = (const char *)(r + 1);
    *m = (struct bus_msg){.time_ms = r->time_ms, .deliveries = 1};
    m->reply = (struct bytes){p, r->part_n[PART_REPLY]};
    p += r->part_n[PART_REPLY];
    m->label = (struct bytes){p, r->part_n[PART_LABEL]};
    p += r->part_n[PART_LABEL];
    m->id = (struct bytes){p, r->part_n[PART_ID]};
    p += r->part_n[PART_ID];
    m->type = (struct bytes){p, r->part_n[PART_TYPE]};
    p += r->part_n[PART_TYPE];
    m->content = (struct bytes){p, r->part_n[PART_CONTENT]};
    p += r->part_n[PART_CONTENT];
    m->source = (struct bytes){p, r->part_n[PART_SOURCE]};
    p += r->part_n[PART_SOURCE];
    m->about = (struct bytes){p, r->part_n[PART_ABOUT]};
    p += r->part_n[PART_ABOUT];
    m->subject = r->topic ? (struct bytes){r->topic->subject, r->topic->subject_n}
                          : (struct bytes){p, r->part_n[PARTS]};
    p += r->part_n[PARTS];
    m->data = (struct bytes){p, r->data_n};
    if (!m->source.n)
        m->source = b->core.source;
    if (!m->type.n)
        m->type = BYTES(BUS_TYPE);
    if (!m->content.n)
        m->content = BYTES(BUS_CONTENT);
}

static bool hand(struct mem_bus *b, struct match *x, const struct record *r,
                 const struct bus_msg *m)
{
    struct mem_sub *s = x->sub;
    if (s->dead || r->number < s->since)
        return false;
    if (!r->stamp || x->stamp != r->stamp) {
        if (bus_core_may(&b->core, true, m->subject, m->label, s->who, NULL))
            return false;
        x->stamp = r->stamp;
    }
    b->core.stats.delivered++;
    s->args.on_msg(&s->sub, m);
    return true;
}

static unsigned deliver(struct mem_bus *b, const struct record *r, const struct bus_msg *m)
{
    struct mem_topic *t = r->topic;
    unsigned hands = 0;
    if (t->generation != b->generation && topic_match(b, t)) {
        b->core.stats.dropped++; // no memory to know its subscribers
        return 1;
    }
    for (uint32_t i = 0; i < t->match_count;) {
        struct match *x = &t->matches[i];
        if (!x->group_n) {
            hands += hand(b, x, r, m);
            i++;
            continue;
        }
        uint32_t n = x->group_n, turn = x->turn++;
        for (uint32_t k = 0; k < n; k++) // who may not have it passes it on
            if (hand(b, &t->matches[i + (turn + k) % n], r, m)) {
                hands++;
                break;
            }
        i += n;
    }
    return hands;
}

static void deliver_answer(struct mem_bus *b, const struct bus_msg *m)
{
    struct bus_req *q = bus_core_inbox(&b->core, m->subject);
    struct err e = {0};
    if (!q) {
        b->core.stats.dropped++; // too late, or the second one
        return;
    }
    int rc = bus_core_may(&b->core, true, m->subject, m->label, BYTES_NONE, &e);
    if (!rc)
        b->core.stats.delivered++;
    bus_core_req_end(&b->core, q, rc, rc ? NULL : m, &e);
}

static void nobody(struct mem_bus *b, const struct record *r, const struct bus_msg *m)
{
    struct bus_req *q = bus_core_req(&b->core, r->ticket);
    struct err e = {0};
    if (!q)
        return;
    (void)err_set(&e, E_UNAVAILABLE, "nobody answers on %.*s", BYTES_FMT(m->subject));
    bus_core_req_end(&b->core, q, E_UNAVAILABLE, NULL, &e);
}

static void deliver_record(struct mem_bus *b, const struct record *r)
{
    struct bus_msg m;
    struct mem_topic *t = r->topic;
    message_of(b, r, &m);
    if (!t) {
        deliver_answer(b, &m);
        return;
    }
    unsigned hands = deliver(b, r, &m);
    if (!hands && r->ticket)
        nobody(b, r, &m);
    t->pending--;
}

static bool pump_queue(struct mem_bus *b)
{
    for (unsigned i = 0; b->head && i < ROUND_RECORDS; i++) {
        struct mem_chunk *c = b->head;
        if (c->read == c->used) {
            if (!c->next)
                break;
            b->head = c->next;
            chunk_done(b, c);
            continue;
        }
        struct record *r = (struct record *)(void *)(c->p + c->read);
        c->read += r->size;
        b->queued_bytes -= r->size;
        deliver_record(b, r);
    }
    if (b->queued_bytes)
        return true;
    if (b->head && b->head->next == NULL && b->head->size == CHUNK_BYTES) {
        b->head->used = b->head->read = 0; // again from its start, which is warm
    } else if (b->head) {
        chunk_done(b, b->head);
        b->head = b->tail = NULL;
    }
    return false;
}

static void end_subs(struct mem_bus *b)
{
    while (!list_empty(&b->ending)) {
        struct mem_sub *s = container_of(b->ending.next, struct mem_sub, link);
        list_del(&s->link);
        if (s->args.on_closed)
            s->args.on_closed(&s->sub);
        bus_sub_args_fini(&s->args);
        mem_free(s);
    }
}

static void tell_ready(struct mem_bus *b)
{
    for (struct list *it = b->subs.next; b->untold && it != &b->subs;) {
        struct mem_sub *s = container_of(it, struct mem_sub, link);
        it = it->next;
        if (s->told_ready)
            continue;
        s->told_ready = true;
        b->untold--;
        if (s->args.on_ready)
            s->args.on_ready(&s->sub);
        it = b->subs.next; // who was told may have ended others
    }
}

static void end_flushes(struct mem_bus *b)
{
    list_each_safe (it, &b->core.waiting) {
        struct bus_req *r = container_of(it, struct bus_req, link);
        if (r->kind == BUS_REQ_FLUSH)
            bus_core_req_end_soon(&b->core, r, 0, NULL);
    }
}

static void finish(struct mem_bus *b);

static void on_pump(struct timer *t)
{
    struct mem_bus *b = t->user;
    unsigned budget = ROUND_RECORDS;
    b->pump_armed = false;
    b->wall_ms = 0;
    if (b->core.closed) {
        finish(b);
        return;
    }
    if (b->core.stats.status == BUS_CONNECTING)
        bus_core_lost(&b->core, BUS_CONNECTED, NULL);
    tell_ready(b);
    b->pumping = true;
    bool more = pump_queue(b);
    more |= bus_memory_store_pump(b, &budget);
    b->pumping = false;
    end_subs(b);
    if (b->core.stats.reqs && !b->queued_bytes)
        end_flushes(b);
    if (b->want_drain && b->queued_bytes <= b->core.args.queue_bytes_max / 4) {
        b->want_drain = false;
        if (b->core.args.on_drain)
            b->core.args.on_drain(b->core.args.user);
    }
    if (more || b->core.closed)
        bus_memory_pump_soon(b);
}

// ---- requests, subscriptions, life --------------------------------------------------------------

static int op_store(struct bus *base, const struct bus_msg *m, struct bus_req *r, struct err *e)
{
    struct mem_bus *b = mem_of(base);
    int rc = check_parts(b, m, e);
    if (!rc)
        rc = bus_core_admit(&b->core, m, e);
    if (!rc)
        rc = bus_core_req_add(&b->core, r, BUS_REQ_STORE, e);
    if (rc)
        return rc;
    struct err why = {0};
    rc = bus_memory_store_put(b, m, r, &why);
    bus_core_req_end_soon(&b->core, r, rc, &why);
    return 0;
}

static int op_request(struct bus *base, const struct bus_msg *m, struct bus_req *r, struct err *e)
{
    struct mem_bus *b = mem_of(base);
    struct bus_msg with = *m;
    char reply[SUBJECT_BYTES_MAX + 1];
    int rc = check_parts(b, m, e);
    if (!rc)
        rc = bus_core_req_add(&b->core, r, BUS_REQ_REQUEST, e);
    if (rc)
        return rc;
    int n = snprintf(reply, sizeof reply, "%.*s%llu", (int)b->core.inbox_n, b->core.inbox,
                     (unsigned long long)r->ticket);
    with.reply = (struct bytes){reply, (size_t)n};
    rc = bus_memory_queue(b, &with, r->ticket, e);
    if (rc >= 0) {
        b->core.stats.published++;
        return 0;
    }
    bus_core_req_drop(&b->core, r); // not taken: as if it had never begun
    return rc;
}

static int op_flush(struct bus *base, struct bus_req *r, struct err *e)
{
    struct mem_bus *b = mem_of(base);
    int rc = bus_core_req_add(&b->core, r, BUS_REQ_FLUSH, e);
    if (!rc)
        bus_memory_pump_soon(b);
    return rc;
}

static void op_cancel(struct bus *base, struct bus_req *r)
{
    bus_core_req_cancel(bus_core_of(base), r);
}

static int op_subscribe(struct bus *base, const struct bus_sub_args *args, struct bus_sub **ret,
                        struct err *e)
{
    struct mem_bus *b = mem_of(base);
    int rc = b->core.closed ? err_set(e, E_CLOSED, "the bus is closed")
                            : bus_core_admit_sub(&b->core, args, e);
    if (rc)
        return rc;
    struct mem_sub *s = mem_new(struct mem_sub);
    if (!s || bus_sub_args_copy(&s->args, args)) {
        mem_free(s);
        return err_set(e, E_NOMEM, "bus");
    }
    s->sub = (struct bus_sub){base, args->user};
    s->pattern = bytes_of(s->args.pattern);
    s->who = bytes_of(s->args.who);
    s->since = b->record;
    list_init(&s->by);
    list_init(&s->member);
    if (args->from != BUS_LIVE) {
        rc = bus_memory_store_sub(b, s, e);
    } else if (subject_is_exact(s->pattern)) {
        list_add_tail(&b->exact[hash_of(b, s->pattern.p, s->pattern.n) % MEM_BUCKETS], &s->by);
        topics_stale(b, s);
    } else {
        list_add_tail(&b->wild, &s->by);
        topics_stale(b, s);
    }
    if (rc) {
        bus_sub_args_fini(&s->args);
        mem_free(s);
        return rc;
    }
    list_add_tail(&b->subs, &s->link);
    b->core.stats.subs++;
    b->untold++;
    bus_memory_pump_soon(b);
    *ret = &s->sub;
    return 0;
}

static void op_unsubscribe(struct bus_sub *sub)
{
    struct mem_sub *s = (struct mem_sub *)(void *)sub;
    struct mem_bus *b = mem_of(sub->bus);
    if (s->dead)
        return;
    s->dead = true;
    b->untold -= !s->told_ready;
    if (s->cursor)
        bus_memory_store_unsub(s);
    else
        topics_stale(b, s);
    list_del(&s->by);
    list_del(&s->link);
    list_add_tail(&b->ending, &s->link);
    b->core.stats.subs--;
    bus_memory_pump_soon(b);
}

static int op_ack(struct bus_sub *s, uint64_t ack, enum bus_ack_how how, int64_t delay_ms)
{
    return bus_memory_store_ack((struct mem_sub *)(void *)s, ack, how, delay_ms);
}

static void op_policy_changed(struct bus *base)
{
    struct mem_bus *b = mem_of(base);
    for (size_t i = 0; i < MEM_BUCKETS; i++)
        for (struct mem_topic *t = b->topics[i]; t; t = t->next) {
            t->stamp = 0;
            for (uint32_t k = 0; k < t->match_count; k++)
                t->matches[k].stamp = 0;
        }
}

static void op_stats(const struct bus *base, struct bus_stats *ret)
{
    struct mem_bus *b = mem_of((struct bus *)(uintptr_t)base);
    *ret = b->core.stats;
    ret->queue_bytes = b->queued_bytes;
    bus_memory_store_stats(b, ret);
}

static void op_close(struct bus *base)
{
    struct mem_bus *b = mem_of(base);
    if (b->core.closed)
        return;
    bus_core_reqs_end(&b->core, BUS_REQ_NONE, E_CANCELLED, NULL);
    b->core.closed = true;
    while (!list_empty(&b->subs))
        op_unsubscribe(&container_of(b->subs.next, struct mem_sub, link)->sub);
    bus_memory_pump_soon(b);
}

static void fini(struct mem_bus *b)
{
    timer_stop(b->core.args.timers, &b->pump);
    bus_memory_store_fini(b);
    for (struct mem_chunk *c; (c = b->head) != NULL; mem_free(c))
        b->head = c->next;
    for (struct mem_chunk *c; (c = b->spare) != NULL; mem_free(c))
        b->spare = c->next;
    if (b->topics)
        topics_sweep(b, true);
    mem_free(b->topics);
    bus_core_fini(&b->core);
    mem_free(b);
}

static void finish(struct mem_bus *b)
{
    void (*on_status)(void *, enum bus_status, const struct err *) = b->core.args.on_status;
    void *user = b->core.args.user;
    end_subs(b);
    if (!list_empty(&b->core.ended)) { // their done comes before
        bus_memory_pump_soon(b);
        return;
    }
    fini(b);
    if (on_status)
        on_status(user, BUS_CLOSED, NULL);
}

static const struct bus_ops ops = {
    .publish = op_publish,
    .store = op_store,
    .request = op_request,
    .flush = op_flush,
    .cancel = op_cancel,
    .subscribe = op_subscribe,
    .unsubscribe = op_unsubscribe,
    .ack = op_ack,
    .policy_changed = op_policy_changed,
    .stats = op_stats,
    .close = op_close,
};

int bus_memory_open(const struct bus_args *args, struct bus **ret, struct err *e)
{
    struct mem_bus *b = mem_new(struct mem_bus);
    if (!b)
        return err_set(e, E_NOMEM, "bus");
    list_init(&b->subs);
    list_init(&b->ending);
    list_init(&b->wild);
    for (size_t i = 0; i < MEM_BUCKETS; i++)
        list_init(&b->exact[i]);
    b->pump = (struct timer){.fn = on_pump, .user = b};
    b->generation = 1;
    b->record = 1;
    rng_bytes(&b->seed, sizeof b->seed);
    struct bus_args own = *args;
    own.keep_bytes = own.keep_bytes ? own.keep_bytes : (uint64_t)64 << 20;
    int rc = bus_core_init(&b->core, &ops, &own, e);
    b->topics = rc ? NULL : mem_array(MEM_BUCKETS, sizeof *b->topics);
    if (!rc && !b->topics)
        rc = err_set(e, E_NOMEM, "bus");
    if (!rc)
        rc = bus_memory_store_init(b, e);
    if (rc) {
        if (b->core.bus.ops)
            fini(b);
        else
            mem_free(b);
        return rc;
    }
    bus_memory_pump_soon(b);
    *ret = &b->core.bus;
    return 0;
}
