// bus_redis_stream.c: Redis Streams as the bus's store: one stream for each environment, durables
// as consumer groups, each reader on a connection of its own that blocks. A number of the bus is an
// entry's id: milliseconds, and the count within them in the lower 20 bits.
// SPDX-License-Identifier: Apache-2.0
#include "adapters/bus_redis_priv.h"
#include "base/time.h"
#include "text/subject.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define BLOCK_MS 4000 // then the reader asks anew
#define SILENT_MS 15000 // a reader that hears nothing for so long dials again
#define SWEEP_LEAST_MS 50 // between two looks for what nobody acknowledged
#define SWEEP_MOST_MS 5000
#define TRIM_MS 10000 // between two looks for what is too old
#define HEAD_ROOM 16384

// ---- numbers ------------------------------------------------------------------------------------

static uint64_t seq_of(struct bytes id)
{
    uint64_t ms, n;
    struct bytes rest = id, first = bytes_cut(&rest, '-');
    return bytes_u64(first, &ms) && bytes_u64(rest, &n) ? ms << 20 | (n & 0xfffff) : 0;
}

static void put_id(char *to, struct bytes id)
{
    (void)snprintf(to, REDIS_ID_MAX, "%.*s", BYTES_FMT(bytes_first(id, REDIS_ID_MAX - 1)));
}

// The last possible entry before this time.
static void id_before(char *to, int64_t wall_ms)
{
    if (wall_ms > 0)
        (void)snprintf(to, REDIS_ID_MAX, "%" PRId64 "-18446744073709551615", wall_ms - 1);
    else
        (void)snprintf(to, REDIS_ID_MAX, "0-0");
}

// ---- storing ------------------------------------------------------------------------------------

// Once for each id, and told to who listens live; all or nothing.
static const char script[] = "local was=redis.call('GET',KEYS[2]) "
                             "if was then return {was,1} end "
                             "local id=redis.call('XADD',KEYS[1],'MAXLEN',ARGV[2],'*','s',ARGV[3],"
                             "'e',ARGV[4]) "
                             "redis.call('SET',KEYS[2],id,'PX',ARGV[1]) "
                             "redis.call('PUBLISH',ARGV[3],ARGV[4]) "
                             "return {id,0}";

static void on_stored(struct redis_bus *b, struct redis_call *c, const struct resp *v)
{
    struct bus_req *r = bus_core_req(&b->core, c->ticket);
    struct err e = {0};
    int rc = 0;
    if (!r || !v)
        return; // gone; or the connection is: it is sent again
    if (v->kind == RESP_ERROR)
        rc = err_set(&e, bytes_starts(v->text, BYTES("OOM")) ? E_FULL : E_UNAVAILABLE,
                     "Redis: %.*s", BYTES_FMT(bytes_first(v->text, 200)));
    r->seq = seq_of(resp_text(resp_at(v, 0)));
    r->duplicate = resp_int(resp_at(v, 1), 0) == 1;
    if (!rc && r->duplicate)
        b->core.stats.duplicates++;
    else if (!rc)
        b->core.stats.stored++;
    if (!rc && r->seq > b->core.stats.store_last)
        b->core.stats.store_last = r->seq;
    redis_stream_forget(r);
    bus_core_req_end(&b->core, r, rc, NULL, &e);
}

static void send_store(struct redis_bus *b, struct redis_store *x)
{
    const struct bus_msg *m = &x->copy->m;
    struct buf json, key;
    struct err e = {0};
    buf_init(&json, (size_t)b->core.args.data_bytes_max / 3 * 4 + HEAD_ROOM);
    buf_init(&key, 4096);
    int rc = redis_put_event(b, m, &json, &e);
    (void)buf_fmt(&key, "%sid:%.*s", b->prefix, BYTES_FMT(m->id));
    struct buf *out = rc ? NULL : redis_begin(b, 9);
    if (out) {
        (void)resp_put_str(out, "EVAL");
        (void)resp_put_str(out, script);
        (void)resp_put_str(out, "2");
        (void)resp_put_str(out, b->stream);
        (void)resp_put(out, buf_bytes(&key));
        (void)resp_put_i64(out, b->core.args.dedup_ms);
        (void)resp_put_i64(out, (int64_t)b->core.args.keep_msgs);
        (void)resp_put(out, m->subject);
        (void)resp_put(out, buf_bytes(&json));
        x->sent = true;
        (void)redis_call(b, (struct redis_call){.done = on_stored, .ticket = x->req->ticket});
    } else if (rc) {
        struct bus_req *r = x->req;
        redis_stream_forget(r);
        bus_core_req_end_soon(&b->core, r, rc, &e);
    }
    buf_fini(&json);
    buf_fini(&key);
}

static void send_stores(struct redis_bus *b)
{
    list_each_safe (it, &b->stores) {
        struct redis_store *x = container_of(it, struct redis_store, link);
        if (bus_link_queued(&b->cmd.link) > b->core.args.queue_bytes_max || !redis_is_up(b))
            break;
        if (!x->sent)
            send_store(b, x);
    }
}

int redis_stream_store(struct redis_bus *b, const struct bus_msg *m, struct bus_req *r,
                       struct err *e)
{
    struct bus_msg with = *m;
    char made[64];
    void *block = NULL;
    with.reply = BYTES_NONE;
    with.time_ms = m->time_ms ? m->time_ms : time_wall_ms();
    if (!m->id.n) { // the same at each try
        int n = snprintf(made, sizeof made, "%s%" PRIu64, b->core.made, ++b->core.made_next);
        with.id = (struct bytes){made, (size_t)n};
    }
    int rc = bus_core_req_add(&b->core, r, BUS_REQ_STORE, e);
    if (rc)
        return rc;
    struct bus_copy *copy = bus_copy_new(&with, sizeof(struct redis_store), &block);
    if (!copy) {
        bus_core_req_drop(&b->core, r);
        return err_set(e, E_NOMEM, "bus");
    }
    struct redis_store *x = block;
    *x = (struct redis_store){.copy = copy, .req = r};
    r->priv = x;
    list_add_tail(&b->stores, &x->link);
    if (redis_is_up(b) && bus_link_queued(&b->cmd.link) <= b->core.args.queue_bytes_max)
        send_store(b, x);
    return 0;
}

void redis_stream_forget(struct bus_req *r)
{
    struct redis_store *x = r->priv;
    list_del(&x->link);
    mem_free(x);
    r->priv = NULL;
}

// ---- a subscription begins: its cursor is made or found -----------------------------------------

static void read_more(struct redis_sub *s);
static void sweep(struct redis_sub *s);

static void prepared(struct redis_sub *s)
{
    s->prepared = true;
    redis_sub_ready(s);
    if (!s->dead) {
        s->sweep_ms = 0;
        read_more(s);
    }
}

static bool failed(struct redis_sub *s, const struct resp *v)
{
    struct err e = {0};
    if (v->kind != RESP_ERROR)
        return false;
    (void)err_set(&e, E_UNSUPPORTED, "Redis: %.*s", BYTES_FMT(bytes_first(v->text, 200)));
    redis_sub_fail(s, E_UNSUPPORTED, &e);
    return true;
}

static void on_group(struct redis_bus *b, struct redis_call *c, const struct resp *v)
{
    struct redis_sub *s = redis_sub_of(b, c->ticket);
    if (!s || !v || s->failed)
        return;
    if (v->kind == RESP_ERROR && bytes_starts(v->text, BYTES("BUSYGROUP"))) // it was there
        prepared(s);
    else if (!failed(s, v))
        prepared(s);
}

static void on_pattern(struct redis_bus *b, struct redis_call *c, const struct resp *v)
{
    struct redis_sub *s = redis_sub_of(b, c->ticket);
    struct err e = {0};
    if (!s || !v || failed(s, v) || bytes_eq(resp_text(v), s->pattern))
        return;
    (void)err_set(&e, E_CONFLICT, "durable %s is of pattern %.*s", s->args.durable,
                  BYTES_FMT(resp_text(v)));
    redis_sub_fail(s, E_CONFLICT, &e);
}

static void on_last(struct redis_bus *b, struct redis_call *c, const struct resp *v)
{
    struct redis_sub *s = redis_sub_of(b, c->ticket);
    if (!s || !v || failed(s, v))
        return;
    struct bytes id = resp_text(resp_at(resp_at(v, 0), 0));
    put_id(s->last, id.n ? id : BYTES("0-0"));
    prepared(s);
}

static void ignore(struct redis_bus *b, struct redis_call *c, const struct resp *v)
{
    (void)b;
    (void)c;
    (void)v;
}

static void word(struct redis_bus *b, struct buf *out, const char *const *words)
{
    (void)b;
    for (; *words; words++)
        (void)resp_put_str(out, *words);
}

#define WORDS(b, out, ...) word(b, out, (const char *const[]){__VA_ARGS__, NULL})

static void make_group(struct redis_sub *s)
{
    struct redis_bus *b = s->bus;
    char start[REDIS_ID_MAX] = "0-0", key[48];
    if (s->args.from == BUS_NEW)
        (void)snprintf(start, sizeof start, "$");
    else if (s->args.from == BUS_TIME)
        id_before(start, s->args.from_ms);
    (void)snprintf(key, sizeof key, "%sdurables", b->prefix);
    struct buf *out = redis_begin(b, 4);
    if (!out)
        return; // the beat tries again
    WORDS(b, out, "HSETNX", key, s->args.durable, s->args.pattern);
    (void)redis_call(b, (struct redis_call){.done = ignore});
    if ((out = redis_begin(b, 3)) != NULL) {
        WORDS(b, out, "HGET", key, s->args.durable);
        (void)redis_call(b, (struct redis_call){.done = on_pattern, .ticket = s->sid});
    }
    if ((out = redis_begin(b, 6)) != NULL) {
        WORDS(b, out, "XGROUP", "CREATE", b->stream, s->args.durable, start, "MKSTREAM");
        (void)redis_call(b, (struct redis_call){.done = on_group, .ticket = s->sid});
    }
}

// With its connection, and with the one for commands.
static void prepare(struct redis_sub *s)
{
    struct redis_bus *b = s->bus;
    if (!redis_is_up(b) || !s->conn->greeted || s->failed || s->dead)
        return;
    if (s->prepared) {
        read_more(s);
    } else if (s->args.durable) {
        make_group(s);
    } else if (s->args.from == BUS_NEW) {
        struct buf *out = redis_begin(b, 6);
        if (!out)
            return;
        WORDS(b, out, "XREVRANGE", b->stream, "+", "-", "COUNT", "1");
        (void)redis_call(b, (struct redis_call){.done = on_last, .ticket = s->sid});
    } else {
        if (s->args.from == BUS_TIME)
            id_before(s->last, s->args.from_ms);
        else
            put_id(s->last, BYTES("0-0"));
        prepared(s);
    }
}

int redis_stream_sub(struct redis_sub *s, struct err *e)
{
    struct redis_bus *b = s->bus;
    s->conn = mem_new(struct redis_conn);
    if (!s->conn)
        return err_set(e, E_NOMEM, "bus");
    s->conn->bus = b;
    s->conn->reader = s;
    redis_start_conn(s->conn, b->cmd.link.in_bytes_max);
    return 0;
}

void redis_reader_open(struct redis_sub *s)
{
    s->reading = false;
    prepare(s);
}

void redis_reader_down(struct redis_sub *s)
{
    s->reading = false;
}

// ---- reading ------------------------------------------------------------------------------------

static void read_more(struct redis_sub *s)
{
    struct redis_bus *b = s->bus;
    char count[16], block[16];
    uint32_t credit = s->args.durable ? s->args.max_in_flight - s->in_flight : REDIS_READ;
    if (s->reading || s->dead || s->failed || !s->prepared || !s->conn->greeted || !credit)
        return;
    struct buf *out = bus_link_out(&s->conn->link);
    (void)snprintf(count, sizeof count, "%u", credit < REDIS_READ ? credit : REDIS_READ);
    (void)snprintf(block, sizeof block, "%d", BLOCK_MS);
    (void)resp_put_head(out, s->args.durable ? 11 : 8);
    if (s->args.durable)
        WORDS(b, out, "XREADGROUP", "GROUP", s->args.durable, b->consumer, "COUNT", count, "BLOCK",
              block, "STREAMS", b->stream, ">");
    else
        WORDS(b, out, "XREAD", "COUNT", count, "BLOCK", block, "STREAMS", b->stream, s->last);
    s->reading = true;
    bus_link_flush(&s->conn->link);
}

static struct redis_flight *flight_of(struct redis_sub *s, uint64_t token)
{
    list_each (it, &s->flights) {
        struct redis_flight *f = container_of(it, struct redis_flight, link);
        if (f->token == token)
            return f;
    }
    return NULL;
}

static void flight_end(struct redis_sub *s, struct redis_flight *f)
{
    list_del(&f->link);
    s->in_flight--;
    mem_free(f);
    read_more(s);
}

static struct redis_flight *flight_new(struct redis_sub *s, struct bytes id)
{
    list_each_safe (it, &s->flights) { // an earlier try of the same one is over
        struct redis_flight *f = container_of(it, struct redis_flight, link);
        if (bytes_is(id, f->id)) {
            list_del(&f->link);
            s->in_flight--;
            mem_free(f);
        }
    }
    struct redis_flight *f = mem_new(struct redis_flight);
    if (!f)
        return NULL;
    f->token = ++s->token_next;
    f->seq = seq_of(id);
    f->due_ms = timers_now_ms(s->bus->core.args.timers) + s->args.ack_wait_ms;
    put_id(f->id, id);
    list_add_tail(&s->flights, &f->link);
    s->in_flight++;
    return f;
}

static void put_ack(struct redis_sub *s, const char *id)
{
    struct redis_bus *b = s->bus;
    struct buf *out = redis_begin(b, 4);
    if (!out)
        return; // it comes again
    WORDS(b, out, "XACK", b->stream, s->args.durable, id);
    (void)redis_call(b, (struct redis_call){.done = ignore});
}

// The entry's idle time becomes so long: it is looked for when that reaches ack_wait.
static void put_idle(struct redis_sub *s, const char *id, int64_t idle_ms)
{
    struct redis_bus *b = s->bus;
    char idle[32];
    struct buf *out = redis_begin(b, 9);
    if (!out)
        return;
    (void)snprintf(idle, sizeof idle, "%" PRId64, idle_ms > 0 ? idle_ms : 0);
    WORDS(b, out, "XCLAIM", b->stream, s->args.durable, b->consumer, "0", id, "IDLE", idle,
          "JUSTID");
    (void)redis_call(b, (struct redis_call){.done = ignore});
}

// [id, [name, value, ...]]; false: not ours.
static bool read_entry(struct redis_sub *s, const struct resp *entry, struct bytes *ret_id,
                       struct bus_msg *m)
{
    const struct resp *fields = resp_at(entry, 1);
    struct bytes subject = BYTES_NONE, json = BYTES_NONE;
    *ret_id = resp_text(resp_at(entry, 0));
    for (uint32_t i = 0; fields && fields->kind == RESP_ARRAY && i + 1 < fields->count; i += 2) {
        struct bytes name = resp_text(resp_at(fields, i));
        if (bytes_is(name, "s"))
            subject = resp_text(resp_at(fields, i + 1));
        else if (bytes_is(name, "e"))
            json = resp_text(resp_at(fields, i + 1));
    }
    if (!subject.n || !subject_match(s->pattern, subject) || !redis_read_event(s->bus, json, m))
        return false;
    m->subject = subject;
    m->seq = seq_of(*ret_id);
    return true;
}

// tries: with this one.
static void take_entry(struct redis_sub *s, const struct resp *entry, uint64_t tries)
{
    struct redis_bus *b = s->bus;
    struct bytes id;
    struct bus_msg m;
    char text[REDIS_ID_MAX];
    bool good = read_entry(s, entry, &id, &m);
    if (!id.n)
        return;
    put_id(text, id);
    if (!s->args.durable)
        put_id(s->last, id);
    if (good && bus_core_may(&b->core, true, m.subject, m.label, s->who, NULL))
        good = false; // not for this one, and not later
    if (!good) {
        if (s->args.durable)
            put_ack(s, text);
        return;
    }
    if (s->args.durable) {
        struct redis_flight *f = flight_new(s, id);
        if (!f)
            return; // no memory: it comes again
        m.ack = f->token;
    }
    m.deliveries = (uint32_t)tries;
    b->core.stats.delivered++;
    b->core.stats.redelivered += tries > 1;
    s->args.on_msg(&s->sub, &m);
}

// [[stream, [entry, ...]]], or nothing after BLOCK_MS.
void redis_reader_reply(struct redis_sub *s, const struct resp *v)
{
    const struct resp *entries = resp_at(resp_at(v, 0), 1);
    struct redis_bus *b = s->bus;
    uint64_t sid = s->sid;
    s->reading = false;
    if (v->kind == RESP_ERROR) { // the group or the stream is gone: made anew
        s->prepared = false;
        bus_link_fail(&s->conn->link, E_UNAVAILABLE, "Redis has lost the stream");
        return;
    }
    for (uint32_t i = 0; entries && i < entries->count; i++) {
        take_entry(s, resp_at(entries, i), 1);
        if (redis_sub_of(b, sid) != s)
            return; // it left
    }
    read_more(s);
}

// ---- what nobody acknowledged, and dead letters -------------------------------------------------

struct burial {
    struct bus_req req;
    struct redis_bus *bus;
    uint64_t sid;
    char id[REDIS_ID_MAX];
};

static void let_go(struct redis_sub *s, const char *id)
{
    list_each (it, &s->flights) {
        struct redis_flight *f = container_of(it, struct redis_flight, link);
        if (!strcmp(f->id, id)) {
            flight_end(s, f);
            return;
        }
    }
}

static void on_buried(struct bus_req *r, int status, const struct bus_msg *reply,
                      const struct err *e)
{
    struct burial *x = r->user;
    struct redis_sub *s = status == E_CANCELLED ? NULL : redis_sub_of(x->bus, x->sid);
    (void)reply;
    (void)e;
    if (s && !status) {
        x->bus->core.stats.dead += !r->duplicate;
        put_ack(s, x->id);
    }
    if (s)
        let_go(s, x->id); // else it comes again, and is tried again
    mem_free(x);
}

static void on_corpse(struct redis_bus *b, struct redis_call *c, const struct resp *v)
{
    struct redis_sub *s = redis_sub_of(b, c->ticket);
    char subject[SUBJECT_BYTES_MAX + 1], id[128];
    struct bytes was;
    struct bus_msg m;
    if (!s || !v)
        return;
    if (!read_entry(s, resp_at(v, 0), &was, &m)) { // a limit took it meanwhile
        put_ack(s, c->id);
        let_go(s, c->id);
        return;
    }
    struct burial *x = mem_new(struct burial);
    if (!x)
        return;
    m.about = m.subject;
    int n = snprintf(subject, sizeof subject, BUS_DEAD, b->core.args.environment, s->args.durable);
    m.subject = (struct bytes){subject, (size_t)n};
    n = snprintf(id, sizeof id, "dead-%s-%" PRIu64, s->args.durable, m.seq);
    m.id = (struct bytes){id, (size_t)n};
    *x = (struct burial){.bus = b, .sid = s->sid};
    put_id(x->id, was);
    x->req = (struct bus_req){.done = on_buried, .user = x, .timeout_ms = 10000};
    if (redis_stream_store(b, &m, &x->req, NULL))
        mem_free(x);
}

static void bury(struct redis_sub *s, const char *id)
{
    struct redis_bus *b = s->bus;
    struct buf *out = redis_begin(b, 4);
    struct redis_call call = {.done = on_corpse, .ticket = s->sid};
    if (!out)
        return; // the next sweep
    put_id(call.id, bytes_of(id));
    WORDS(b, out, "XRANGE", b->stream, id, id);
    (void)redis_call(b, call);
}

static void on_claimed(struct redis_bus *b, struct redis_call *c, const struct resp *v)
{
    struct redis_sub *s = redis_sub_of(b, c->ticket);
    if (!s || !v || v->kind != RESP_ARRAY)
        return;
    if (v->count) // another member was not quicker
        take_entry(s, resp_at(v, 0), c->tries + 1);
}

// [[id, consumer, idle, deliveries], ...]: over ack_wait.
static void on_pending(struct redis_bus *b, struct redis_call *c, const struct resp *v)
{
    struct redis_sub *s = redis_sub_of(b, c->ticket);
    char wait[32];
    if (!s)
        return;
    s->sweeping = false;
    if (!v || v->kind != RESP_ARRAY)
        return;
    (void)snprintf(wait, sizeof wait, "%" PRId64, s->args.ack_wait_ms);
    for (uint32_t i = 0; i < v->count; i++) {
        const struct resp *row = resp_at(v, i);
        struct redis_call call = {.done = on_claimed, .ticket = s->sid};
        call.tries = (uint64_t)resp_int(resp_at(row, 3), 1);
        put_id(call.id, resp_text(resp_at(row, 0)));
        if (s->args.max_deliver && call.tries >= s->args.max_deliver) {
            bury(s, call.id);
            continue;
        }
        struct buf *out = redis_begin(b, 6);
        if (!out)
            return;
        WORDS(b, out, "XCLAIM", b->stream, s->args.durable, b->consumer, wait, call.id);
        (void)redis_call(b, call);
    }
}

static void sweep(struct redis_sub *s)
{
    struct redis_bus *b = s->bus;
    char wait[32], count[16];
    int64_t now = timers_now_ms(b->core.args.timers), pause = s->args.ack_wait_ms / 4;
    pause = pause < SWEEP_LEAST_MS ? SWEEP_LEAST_MS : pause > SWEEP_MOST_MS ? SWEEP_MOST_MS : pause;
    s->sweep_ms = now + pause;
    // What is overdue here is no longer its flight; it may be given to another member.
    list_each_safe (it, &s->flights) {
        struct redis_flight *f = container_of(it, struct redis_flight, link);
        if (f->due_ms > now || f->burying)
            continue;
        list_del(&f->link);
        s->in_flight--;
        mem_free(f);
    }
    uint32_t credit = s->args.max_in_flight - s->in_flight;
    struct buf *out = credit ? redis_begin(b, 8) : NULL;
    if (!out)
        return;
    (void)snprintf(wait, sizeof wait, "%" PRId64, s->args.ack_wait_ms);
    (void)snprintf(count, sizeof count, "%u", credit < REDIS_READ ? credit : REDIS_READ);
    WORDS(b, out, "XPENDING", b->stream, s->args.durable, "IDLE", wait, "-", "+", count);
    s->sweeping = true;
    (void)redis_call(b, (struct redis_call){.done = on_pending, .ticket = s->sid});
    read_more(s);
}

int redis_stream_ack(struct redis_sub *s, uint64_t ack, enum bus_ack_how how, int64_t delay_ms)
{
    struct redis_flight *f = s->dead ? NULL : flight_of(s, ack);
    int64_t now = timers_now_ms(s->bus->core.args.timers);
    if (!f || f->burying || !redis_is_up(s->bus))
        return E_NOTFOUND;
    switch (how) {
    case BUS_WORKING:
        f->due_ms = now + s->args.ack_wait_ms;
        put_idle(s, f->id, 0);
        return 0;
    case BUS_TERM:
        f->burying = true;
        bury(s, f->id);
        return 0;
    case BUS_NAK:
        put_idle(s, f->id, s->args.ack_wait_ms - delay_ms);
        if (s->sweep_ms > now + delay_ms)
            s->sweep_ms = now + delay_ms;
        break;
    case BUS_ACK: put_ack(s, f->id); break;
    }
    flight_end(s, f);
    return 0;
}

static void flights_drop(struct redis_sub *s, bool give_back)
{
    while (!list_empty(&s->flights)) {
        struct redis_flight *f = container_of(s->flights.next, struct redis_flight, link);
        if (give_back && !f->burying)
            put_idle(s, f->id, s->args.ack_wait_ms);
        list_del(&f->link);
        mem_free(f);
    }
    s->in_flight = 0;
}

void redis_stream_unsub(struct redis_sub *s)
{
    flights_drop(s, redis_is_up(s->bus));
    s->conn->reader = NULL;
    redis_close_conn(s->conn);
    s->conn = NULL;
}

// ---- life ---------------------------------------------------------------------------------------

void redis_stream_up(struct redis_bus *b)
{
    send_stores(b);
    list_each_safe (it, &b->subs) {
        struct redis_sub *s = container_of(it, struct redis_sub, link);
        s->sweeping = false;
        s->sweep_ms = 0;
    }
}

void redis_stream_down(struct redis_bus *b)
{
    list_each (it, &b->stores)
        container_of(it, struct redis_store, link)->sent = false;
    list_each (it, &b->subs)
        flights_drop(container_of(it, struct redis_sub, link), false);
}

static void trim(struct redis_bus *b, int64_t now)
{
    char least[32];
    struct buf *out = redis_begin(b, 5);
    b->trim_ms = now + TRIM_MS;
    if (!out)
        return;
    (void)snprintf(least, sizeof least, "%" PRId64, time_wall_ms() - b->core.args.keep_ms);
    WORDS(b, out, "XTRIM", b->stream, "MINID", "~", least);
    (void)redis_call(b, (struct redis_call){.done = ignore});
}

void redis_stream_beat(struct redis_bus *b, int64_t now)
{
    uint32_t n = 0;
    send_stores(b);
    list_each (it, &b->subs) {
        struct redis_sub *s = container_of(it, struct redis_sub, link);
        if (s->args.from != BUS_LIVE && !s->failed && s->conn->greeted)
            b->hits[n++] = s->sid;
    }
    for (uint32_t i = 0; i < n; i++) { // by number: who is told may end others
        struct redis_sub *s = redis_sub_of(b, b->hits[i]);
        if (!s)
            continue;
        if (s->reading && now - s->conn->heard_ms > SILENT_MS) {
            bus_link_fail(&s->conn->link, E_TIMEOUT, "the server does not answer any more");
            continue;
        }
        if (!s->prepared && now >= s->sweep_ms) {
            s->sweep_ms = now + 1000; // asked again then
            prepare(s);
        } else if (s->prepared && s->args.durable && !s->sweeping && now >= s->sweep_ms) {
            sweep(s);
        }
    }
    if (now >= b->trim_ms)
        trim(b, now);
}
