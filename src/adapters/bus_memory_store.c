// bus_memory_store.c: the store of the bus in memory: messages in one row by number, with a limit
// of count, bytes and age; cursors over it, with what was delivered and not acknowledged.
// SPDX-License-Identifier: Apache-2.0
#include "adapters/bus_memory_priv.h"
#include "text/subject.h"
#include <stdio.h>
#include <string.h>

#define SEEN_MAX 65536 // ids remembered; the oldest go first
#define CURSORS_MAX 1024
#define STARVED_MS 10 // memory was out: another look
#define SCAN_MAX 65536 // entries of other subjects that one round looks at

struct mem_seen {
    struct list link;
    int64_t time_ms;
    uint64_t seq;
    size_t n;
    char id[];
};

static void on_timer(struct timer *t)
{
    bus_memory_pump_soon(t->user);
}

int bus_memory_store_init(struct mem_bus *b, struct err *e)
{
    struct mem_store *s = &b->store;
    list_init(&s->seen);
    list_init(&s->cursors);
    s->timer = (struct timer){.fn = on_timer, .user = b};
    s->first = s->next = 1;
    s->ids = map_new(SEEN_MAX);
    return s->ids ? 0 : err_set(e, E_NOMEM, "bus");
}

// ---- entries ------------------------------------------------------------------------------------

static struct mem_entry *entry_at(const struct mem_store *s, uint64_t seq)
{
    return seq >= s->first && seq < s->next ? &s->ring[seq % s->cap] : NULL;
}

static void drop_first(struct mem_store *s)
{
    struct mem_entry *x = entry_at(s, s->first);
    s->first++;
    s->bytes -= x->copy->bytes;
    x->copy->next = s->dropped;
    s->dropped = x->copy;
    x->copy = NULL;
}

static void free_dropped(struct mem_store *s)
{
    for (struct bus_copy *c; (c = s->dropped) != NULL; mem_free(c))
        s->dropped = c->next;
}

static void expire(struct mem_bus *b)
{
    struct mem_store *s = &b->store;
    int64_t now = bus_memory_wall(b);
    while (s->first < s->next && entry_at(s, s->first)->time_ms <= now - b->core.args.keep_ms)
        drop_first(s);
    while (!list_empty(&s->seen)) {
        struct mem_seen *x = container_of(s->seen.next, struct mem_seen, link);
        if (x->time_ms > now - b->core.args.dedup_ms && map_count(s->ids) < SEEN_MAX)
            break;
        (void)map_del(s->ids, (struct bytes){x->id, x->n});
        list_del(&x->link);
        mem_free(x);
    }
}

static int make_room(struct mem_store *s, const struct bus_args *a)
{
    uint64_t count = s->next - s->first;
    if (count >= a->keep_msgs) {
        drop_first(s);
        count--;
    }
    if (s->cap > count)
        return 0;
    uint64_t cap = s->cap ? s->cap * 2 : 64;
    struct mem_entry *ring = mem_array(cap, sizeof *ring);
    if (!ring)
        return E_NOMEM;
    for (uint64_t i = s->first; s->cap && i < s->next; i++)
        ring[i % cap] = s->ring[i % s->cap];
    mem_free(s->ring);
    s->ring = ring;
    s->cap = cap;
    return 0;
}

static int remember(struct mem_bus *b, struct bytes id, uint64_t seq)
{
    struct mem_seen *x = mem_alloc(sizeof *x + id.n);
    if (!x)
        return E_NOMEM;
    *x = (struct mem_seen){.time_ms = bus_memory_wall(b), .seq = seq, .n = id.n};
    memcpy(x->id, id.p, id.n);
    int rc = map_put(b->store.ids, id, x, NULL);
    if (rc)
        mem_free(x);
    else
        list_add_tail(&b->store.seen, &x->link);
    return rc;
}

// The id, source, ... that the publisher left out.
static void fill_in(struct mem_bus *b, struct bus_msg *m, struct buf *id)
{
    if (!m->id.n) {
        bus_core_put_made_id(&b->core, id);
        m->id = buf_bytes(id);
    }
    m->source = m->source.n ? m->source : b->core.source;
    m->type = m->type.n ? m->type : BYTES(BUS_TYPE);
    m->content = m->content.n ? m->content : BYTES(BUS_CONTENT);
    m->time_ms = m->time_ms ? m->time_ms : bus_memory_wall(b);
    m->reply = BYTES_NONE;
}

static int put(struct mem_bus *b, const struct bus_msg *m, uint64_t *ret_seq)
{
    struct mem_store *s = &b->store;
    struct bus_copy *copy = bus_copy_new(m, 0, NULL);
    int rc = copy ? make_room(s, &b->core.args) : E_NOMEM;
    if (!rc)
        rc = remember(b, m->id, s->next);
    if (rc) {
        mem_free(copy);
        return rc;
    }
    while (s->first < s->next && s->bytes + copy->bytes > b->core.args.keep_bytes)
        drop_first(s);
    *ret_seq = s->next++;
    s->ring[*ret_seq % s->cap] =
        (struct mem_entry){.seq = *ret_seq, .time_ms = bus_memory_wall(b), .copy = copy};
    s->bytes += copy->bytes;
    return 0;
}

int bus_memory_store_put(struct mem_bus *b, const struct bus_msg *m, struct bus_req *r,
                         struct err *e)
{
    struct bus_msg whole = *m;
    struct buf id;
    uint64_t seq = 0;
    buf_init(&id, 64);
    expire(b);
    fill_in(b, &whole, &id);
    struct mem_seen *seen = map_get(b->store.ids, whole.id);
    int rc = id.failed;
    if (seen) {
        b->core.stats.duplicates++;
        seq = seen->seq;
    } else if (!rc) {
        // The live ones first: when the queue is full nothing is stored.
        rc = bus_memory_queue(b, &whole, 0, e);
        rc = rc > 0 || !r ? 0 : rc; // a dead letter is kept in any case
        if (!rc && (rc = put(b, &whole, &seq)) != 0)
            (void)err_set(e, rc, "the store of the bus");
        b->core.stats.stored += !rc;
    }
    buf_fini(&id);
    if (r && !rc) {
        r->seq = seq;
        r->duplicate = seen != NULL;
    }
    if (!b->pumping)
        free_dropped(&b->store);
    bus_memory_pump_soon(b);
    return rc;
}

// ---- cursors ------------------------------------------------------------------------------------

static uint64_t seq_at_time(const struct mem_store *s, int64_t wall_ms)
{
    uint64_t low = s->first, high = s->next; // times rise
    while (low < high) {
        uint64_t mid = low + (high - low) / 2;
        if (entry_at(s, mid)->time_ms < wall_ms)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static struct mem_cursor *cursor_new(struct mem_bus *b, const struct mem_sub *s, struct err *e)
{
    struct mem_store *store = &b->store;
    if (store->cursor_count >= CURSORS_MAX) {
        (void)err_set(e, E_FULL, "%d cursors are the limit of the store", CURSORS_MAX);
        return NULL;
    }
    struct mem_cursor *c = mem_new(struct mem_cursor);
    char *pattern = mem_str(s->args.pattern);
    char *name = s->args.durable ? mem_str(s->args.durable) : NULL;
    if (!c || !pattern || (s->args.durable && !name)) {
        mem_free(c);
        mem_free(pattern);
        mem_free(name);
        (void)err_set(e, E_NOMEM, "bus");
        return NULL;
    }
    c->name = name;
    c->pattern = bytes_of(pattern);
    list_init(&c->members);
    list_init(&c->flights);
    list_init(&c->again);
    expire(b);
    c->next = s->args.from == BUS_NEW     ? store->next
              : s->args.from == BUS_START ? store->first
                                          : seq_at_time(store, s->args.from_ms);
    list_add_tail(&store->cursors, &c->link);
    store->cursor_count++;
    return c;
}

static void flights_free(struct list *all)
{
    while (!list_empty(all)) {
        struct mem_flight *f = container_of(all->next, struct mem_flight, link);
        list_del(&f->link);
        mem_free(f);
    }
}

static void cursor_free(struct mem_bus *b, struct mem_cursor *c)
{
    flights_free(&c->flights);
    flights_free(&c->again);
    list_del(&c->link);
    b->store.cursor_count--;
    mem_free((char *)(uintptr_t)c->pattern.p);
    mem_free(c->name);
    mem_free(c);
}

int bus_memory_store_sub(struct mem_bus *b, struct mem_sub *s, struct err *e)
{
    struct mem_cursor *found = NULL;
    struct err own = {0};
    e = e ? e : &own;
    if (s->args.durable)
        list_each (it, &b->store.cursors) {
            struct mem_cursor *c = container_of(it, struct mem_cursor, link);
            if (c->name && !strcmp(c->name, s->args.durable))
                found = c;
        }
    if (found && !bytes_eq(found->pattern, s->pattern))
        return err_set(e, E_CONFLICT, "durable %s is of pattern %.*s", s->args.durable,
                       BYTES_FMT(found->pattern));
    s->cursor = found ? found : cursor_new(b, s, e);
    if (!s->cursor)
        return e->code;
    list_add_tail(&s->cursor->members, &s->member);
    return 0;
}

static void arm(struct mem_bus *b)
{
    int64_t due = TIME_NEVER;
    list_each (it, &b->store.cursors) {
        struct mem_cursor *c = container_of(it, struct mem_cursor, link);
        if (list_empty(&c->flights))
            continue;
        struct mem_flight *f = container_of(c->flights.next, struct mem_flight, link);
        due = f->due_ms < due ? f->due_ms : due;
    }
    int64_t now = timers_now_ms(b->core.args.timers);
    if (b->store.starved)
        due = now + STARVED_MS;
    b->store.starved = false;
    if (due == TIME_NEVER)
        timer_stop(b->core.args.timers, &b->store.timer);
    else
        (void)timer_start(b->core.args.timers, &b->store.timer, due > now ? due - now : 0);
}

static void fly(struct mem_cursor *c, struct mem_flight *f, int64_t due_ms)
{
    struct list *at = c->flights.prev;
    f->due_ms = due_ms;
    while (at != &c->flights && container_of(at, struct mem_flight, link)->due_ms > due_ms)
        at = at->prev;
    list_add_head(at, &f->link);
}

void bus_memory_store_unsub(struct mem_sub *s)
{
    struct mem_cursor *c = s->cursor;
    list_del(&s->member);
    list_each_safe (it, &c->flights) { // to another member, now
        struct mem_flight *f = container_of(it, struct mem_flight, link);
        if (f->sub != s)
            continue;
        f->sub = NULL;
        list_del(&f->link);
        list_add_tail(&c->again, &f->link);
    }
    if (!c->name)
        c->gone = true; // freed by the pump: it may be walking it now
}

// A message that nobody could digest.
static void bury(struct mem_bus *b, const struct mem_cursor *c, const struct mem_entry *x)
{
    char subject[SUBJECT_BYTES_MAX + 1], id[128];
    struct bus_msg m = x->copy->m;
    m.about = m.subject;
    int n = snprintf(subject, sizeof subject, BUS_DEAD, b->core.args.environment, c->name);
    m.subject = (struct bytes){subject, (size_t)n};
    n = snprintf(id, sizeof id, "dead-%s-%llu", c->name, (unsigned long long)x->seq);
    m.id = (struct bytes){id, (size_t)n};
    b->core.stats.dead++;
    (void)bus_memory_store_put(b, &m, NULL, NULL);
}

int bus_memory_store_ack(struct mem_sub *s, uint64_t ack, enum bus_ack_how how, int64_t delay_ms)
{
    struct mem_bus *b = mem_of(s->sub.bus);
    struct mem_flight *f = NULL;
    if (!s->cursor || s->dead)
        return E_NOTFOUND;
    list_each (it, &s->cursor->flights) {
        f = container_of(it, struct mem_flight, link);
        if (f->seq == ack && f->sub == s)
            break;
        f = NULL;
    }
    if (!f)
        return E_NOTFOUND;
    int64_t now = timers_now_ms(b->core.args.timers);
    list_del(&f->link);
    if (how == BUS_WORKING) {
        fly(s->cursor, f, now + s->args.ack_wait_ms);
    } else if (how == BUS_NAK) {
        s->in_flight--;
        f->sub = NULL;
        fly(s->cursor, f, now + (delay_ms > 0 ? delay_ms : 0));
    } else {
        struct mem_entry *x = how == BUS_TERM ? entry_at(&b->store, f->seq) : NULL;
        s->in_flight--;
        mem_free(f);
        if (x)
            bury(b, s->cursor, x);
    }
    bus_memory_pump_soon(b);
    return 0;
}

// ---- delivery -----------------------------------------------------------------------------------

static void hand(struct mem_bus *b, struct mem_sub *s, const struct mem_entry *x,
                 const struct mem_flight *f)
{
    struct bus_msg m = x->copy->m;
    m.seq = x->seq;
    m.ack = f ? f->seq : 0;
    m.deliveries = f ? f->deliveries : 1;
    b->core.stats.delivered++;
    b->core.stats.redelivered += m.deliveries > 1;
    s->args.on_msg(&s->sub, &m);
}

// Whoever is next in turn, has credit and may have it. *ret_refused: nobody may.
static struct mem_sub *pick(struct mem_bus *b, struct mem_cursor *c, const struct mem_entry *x,
                            bool *ret_refused)
{
    *ret_refused = !list_empty(&c->members);
    list_each (it, &c->members) {
        struct mem_sub *s = container_of(it, struct mem_sub, member);
        if (c->name && s->in_flight >= s->args.max_in_flight) {
            *ret_refused = false;
            continue;
        }
        if (bus_core_may(&b->core, true, x->copy->m.subject, x->copy->m.label, s->who, NULL))
            continue;
        list_del(&s->member); // to the end of the row
        list_add_tail(&c->members, &s->member);
        return s;
    }
    return NULL;
}

static bool has_credit(const struct mem_cursor *c)
{
    list_each (it, &c->members) {
        struct mem_sub *s = container_of(it, struct mem_sub, member);
        if (!c->name || s->in_flight < s->args.max_in_flight)
            return true;
    }
    return false;
}

static void send(struct mem_cursor *c, struct mem_bus *b, struct mem_sub *s,
                 const struct mem_entry *x, struct mem_flight *f)
{
    if (f) {
        f->deliveries++;
        f->sub = s;
        s->in_flight++;
        fly(c, f, timers_now_ms(b->core.args.timers) + s->args.ack_wait_ms);
    }
    hand(b, s, x, f);
}

static void overdue(struct mem_bus *b, struct mem_cursor *c)
{
    int64_t now = timers_now_ms(b->core.args.timers);
    while (!list_empty(&c->flights)) {
        struct mem_flight *f = container_of(c->flights.next, struct mem_flight, link);
        if (f->due_ms > now)
            break;
        list_del(&f->link);
        if (f->sub)
            f->sub->in_flight--;
        f->sub = NULL;
        list_add_tail(&c->again, &f->link);
    }
}

static uint32_t tries_of(const struct mem_cursor *c)
{
    const struct mem_sub *s = container_of(c->members.next, struct mem_sub, member);
    return s->args.max_deliver;
}

// What waits to be delivered once more. false: nobody can take it now.
static bool again(struct mem_bus *b, struct mem_cursor *c)
{
    struct mem_flight *f = container_of(c->again.next, struct mem_flight, link);
    const struct mem_entry *x = entry_at(&b->store, f->seq);
    bool refused = false;
    uint32_t tries = tries_of(c);
    struct mem_sub *s = NULL;
    if (x && tries && f->deliveries >= tries) {
        bury(b, c, x);
        x = NULL;
    } else if (x) {
        s = pick(b, c, x, &refused);
        if (!s && !refused)
            return false;
    }
    list_del(&f->link);
    if (s)
        send(c, b, s, x, f);
    else
        mem_free(f);
    return true;
}

static bool next(struct mem_bus *b, struct mem_cursor *c)
{
    const struct mem_entry *x = entry_at(&b->store, c->next);
    bool refused;
    struct mem_sub *s = pick(b, c, x, &refused);
    if (!s) {
        c->next += refused;
        return refused;
    }
    struct mem_flight *f = c->name ? mem_new(struct mem_flight) : NULL;
    if (c->name && !f) {
        b->store.starved = true;
        return false;
    }
    if (f) {
        list_init(&f->link);
        f->seq = x->seq;
    }
    c->next++;
    send(c, b, s, x, f);
    return true;
}

// true: the cursor has more to do now.
static bool pump_cursor(struct mem_bus *b, struct mem_cursor *c, unsigned *budget)
{
    unsigned scanned = 0;
    overdue(b, c);
    while (*budget && !c->gone && has_credit(c)) {
        if (!list_empty(&c->again)) {
            if (!again(b, c))
                return false;
            (*budget)--;
            continue;
        }
        if (c->next < b->store.first)
            c->next = b->store.first;
        if (c->next >= b->store.next)
            return false;
        if (!subject_match(c->pattern, entry_at(&b->store, c->next)->copy->m.subject)) {
            c->next++;
            if (++scanned >= SCAN_MAX)
                return true;
            continue;
        }
        if (!next(b, c))
            return false;
        (*budget)--;
    }
    return !*budget;
}

bool bus_memory_store_pump(struct mem_bus *b, unsigned *budget)
{
    bool more = false;
    if (list_empty(&b->store.cursors)) {
        free_dropped(&b->store);
        return false;
    }
    expire(b);
    list_each_safe (it, &b->store.cursors) {
        struct mem_cursor *c = container_of(it, struct mem_cursor, link);
        if (!c->gone)
            more |= pump_cursor(b, c, budget);
    }
    list_each_safe (it, &b->store.cursors) {
        struct mem_cursor *c = container_of(it, struct mem_cursor, link);
        if (c->gone)
            cursor_free(b, c);
    }
    free_dropped(&b->store);
    arm(b);
    return more;
}

void bus_memory_store_stats(struct mem_bus *b, struct bus_stats *ret)
{
    const struct mem_store *s = &b->store;
    ret->store_msgs = s->next - s->first;
    ret->store_bytes = s->bytes;
    ret->store_first = s->next > s->first ? s->first : 0;
    ret->store_last = s->next - 1;
}

void bus_memory_store_fini(struct mem_bus *b)
{
    struct mem_store *s = &b->store;
    if (!s->cursors.next)
        return; // was never begun
    timer_stop(b->core.args.timers, &s->timer);
    while (!list_empty(&s->cursors))
        cursor_free(b, container_of(s->cursors.next, struct mem_cursor, link));
    while (s->first < s->next)
        drop_first(s);
    free_dropped(s);
    while (!list_empty(&s->seen)) {
        struct mem_seen *x = container_of(s->seen.next, struct mem_seen, link);
        list_del(&x->link);
        mem_free(x);
    }
    map_free(s->ids);
    mem_free(s->ring);
}
