// bus_redis.c: the bus over Redis: RESP, spoken here: live messages by publish and subscribe. An
// event travels as CloudEvents JSON. Redis's patterns know no tokens, so it is asked for more and
// what is too much is left out here; a queue group is a race for the message's key.
// SPDX-License-Identifier: Apache-2.0
#include "adapters/bus_redis_priv.h"
#include "text/json.h"
#include "text/subject.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define BEAT_MS 50
#define ALIVE_MS 10000 // a PING, when nothing was heard for so long; twice that: given up
#define HEAD_ROOM 16384
#define CLAIM_MS 30000 // how long a group's claim to a message is remembered
#define ARENA_ROOM ((size_t)64 << 10)

// ---- events -------------------------------------------------------------------------------------

// JSON that is read and written again keeps its bytes only when it has no blanks and such.
static bool is_canonical(struct bytes data)
{
    struct json_doc *doc = NULL;
    struct buf b;
    if (json_parse(&doc, data, 0, NULL))
        return false;
    buf_init(&b, data.n + 1);
    bool same = json_write(&b, json_root(doc)) == 0 && bytes_eq(buf_bytes(&b), data);
    buf_fini(&b);
    json_free(doc);
    return same;
}

int redis_put_event(struct redis_bus *b, const struct bus_msg *m, struct buf *out, struct err *e)
{
    struct bus_event v;
    bus_event_of(&b->core, m, &v);
    if (v.event.kind == CLOUDEVENT_VALUE && !is_canonical(m->data))
        v.event.kind = CLOUDEVENT_BYTES;
    if (m->reply.n)
        (void)cloudevent_add(&v.event, "replyto", m->reply);
    int rc = cloudevent_put(out, &v.event);
    return rc ? err_set(e, rc, "the message as an event") : 0;
}

bool redis_read_event(struct redis_bus *b, struct bytes json, struct bus_msg *m)
{
    struct cloudevent c;
    arena_reset(b->arena);
    if (cloudevent_parse(&c, b->arena, json, NULL))
        return false;
    *m = (struct bus_msg){.data = c.data, .deliveries = 1};
    bus_event_msg(&c, m);
    m->reply = cloudevent_find(&c, "replyto");
    return true;
}

// ---- commands -----------------------------------------------------------------------------------

bool redis_is_up(const struct redis_bus *b)
{
    return b->core.stats.status == BUS_CONNECTED;
}

struct buf *redis_begin(struct redis_bus *b, uint32_t words)
{
    if (!b->cmd.greeted || b->call_count >= REDIS_CALLS_MAX)
        return NULL;
    struct buf *out = bus_link_out(&b->cmd.link);
    (void)resp_put_head(out, words);
    return out;
}

int redis_call(struct redis_bus *b, struct redis_call call)
{
    struct redis_call *c = mem_new(struct redis_call);
    if (!c) { // its reply would be taken for another's
        mem_free(call.copy);
        bus_link_fail(&b->cmd.link, E_NOMEM, "out of memory");
        return E_NOMEM;
    }
    *c = call;
    list_add_tail(&b->calls, &c->link);
    b->call_count++;
    bus_link_flush(&b->cmd.link);
    return 0;
}

static void call_end(struct redis_bus *b, struct redis_call *c, const struct resp *v)
{
    list_del(&c->link);
    b->call_count--;
    if (c->done)
        c->done(b, c, v);
    mem_free(c->copy);
    mem_free(c);
}

static void calls_end(struct redis_bus *b)
{
    while (!list_empty(&b->calls))
        call_end(b, container_of(b->calls.next, struct redis_call, link), NULL);
}

// ---- live messages in ---------------------------------------------------------------------------

struct redis_sub *redis_sub_of(struct redis_bus *b, uint64_t sid)
{
    struct redis_sub *s = b->slots[sid % b->core.args.subs_max];
    return s && s->sid == sid && !s->dead ? s : NULL;
}

void redis_sub_ready(struct redis_sub *s)
{
    if (s->told_ready || s->dead)
        return;
    s->told_ready = true;
    if (s->args.on_ready)
        s->args.on_ready(&s->sub);
}

void redis_sub_fail(struct redis_sub *s, int status, const struct err *e)
{
    if (s->failed || s->dead)
        return;
    s->failed = true;
    if (s->args.on_failed)
        s->args.on_failed(&s->sub, status, e);
}

static void hand(struct redis_bus *b, struct redis_sub *s, const struct bus_msg *m)
{
    if (bus_core_may(&b->core, true, m->subject, m->label, s->who, NULL))
        return;
    b->core.stats.delivered++;
    s->args.on_msg(&s->sub, m);
}

static void on_claimed(struct redis_bus *b, struct redis_call *c, const struct resp *v)
{
    struct redis_sub *s = redis_sub_of(b, c->ticket);
    if (v && v->kind == RESP_TEXT && s) // OK: ours; else another member was first
        hand(b, s, &c->copy->m);
}

// SET claim:GROUP:ID:TIME 1 NX PX ...: who sets it has the message.
static void claim(struct redis_bus *b, struct redis_sub *s, const struct bus_msg *m)
{
    struct bus_copy *copy = bus_copy_new(m, 0, NULL);
    struct buf *out = copy ? redis_begin(b, 6) : NULL;
    struct buf key;
    if (!out) {
        b->core.stats.dropped++;
        mem_free(copy);
        return;
    }
    buf_init(&key, 4096);
    (void)buf_fmt(&key, "%sclaim:%s:%.*s:%" PRId64, b->prefix, s->args.queue, BYTES_FMT(m->id),
                  m->time_ms);
    (void)resp_put_str(out, "SET");
    (void)resp_put(out, buf_bytes(&key));
    (void)resp_put_str(out, "1");
    (void)resp_put_str(out, "NX");
    (void)resp_put_str(out, "PX");
    (void)resp_put_i64(out, CLAIM_MS);
    buf_fini(&key);
    (void)redis_call(b, (struct redis_call){.done = on_claimed, .ticket = s->sid, .copy = copy});
}

static void on_answer(struct redis_bus *b, const struct bus_msg *m)
{
    struct bus_req *r = bus_core_inbox(&b->core, m->subject);
    struct err e = {0};
    if (!r) {
        b->core.stats.dropped++;
        return;
    }
    int rc = bus_core_may(&b->core, true, m->subject, m->label, BYTES_NONE, &e);
    b->core.stats.delivered += !rc;
    bus_core_req_end(&b->core, r, rc, rc ? NULL : m, &e);
}

// A message by this glob (empty: by its exact channel).
static void on_message(struct redis_bus *b, struct bytes glob, struct bytes channel,
                       struct bytes json)
{
    struct bus_msg m;
    if (!redis_read_event(b, json, &m)) {
        b->core.stats.dropped++; // a stranger's, and no event
        return;
    }
    m.subject = channel;
    if (bus_core_is_inbox(&b->core, channel)) {
        if (bytes_starts(glob, (struct bytes){b->core.inbox, b->core.inbox_n}))
            on_answer(b, &m);
        return; // answers are for who asked
    }
    uint32_t n = 0; // by number: who is called may end others
    list_each (it, &b->subs) {
        struct redis_sub *s = container_of(it, struct redis_sub, link);
        if (s->args.from == BUS_LIVE &&
            (glob.n ? !s->exact && bytes_is(glob, s->glob) && subject_match(s->pattern, channel)
                    : s->exact && bytes_eq(s->pattern, channel)))
            b->hits[n++] = s->sid;
    }
    for (uint32_t i = 0; i < n; i++) {
        struct redis_sub *s = redis_sub_of(b, b->hits[i]);
        if (s && s->args.queue)
            claim(b, s, &m);
        else if (s)
            hand(b, s, &m);
    }
}

static void told_subscribed(struct redis_bus *b, struct bytes what, bool exact)
{
    uint32_t n = 0;
    list_each (it, &b->subs) {
        struct redis_sub *s = container_of(it, struct redis_sub, link);
        if (s->args.from == BUS_LIVE && s->exact == exact && !s->told_ready &&
            (exact ? bytes_eq(s->pattern, what) : bytes_is(what, s->glob)))
            b->hits[n++] = s->sid;
    }
    for (uint32_t i = 0; i < n; i++) {
        struct redis_sub *s = redis_sub_of(b, b->hits[i]);
        if (s)
            redis_sub_ready(s);
    }
}

static void came_up(struct redis_bus *b);

static void on_push(struct redis_bus *b, const struct resp *v)
{
    struct bytes kind = resp_text(resp_at(v, 0)), what = resp_text(resp_at(v, 1));
    uint64_t ticket;
    if (bytes_is(kind, "message")) {
        on_message(b, BYTES_NONE, what, resp_text(resp_at(v, 2)));
    } else if (bytes_is(kind, "pmessage")) {
        on_message(b, what, resp_text(resp_at(v, 2)), resp_text(resp_at(v, 3)));
    } else if (bytes_is(kind, "subscribe")) {
        told_subscribed(b, what, true);
    } else if (bytes_is(kind, "psubscribe")) {
        if (bytes_starts(what, (struct bytes){b->core.inbox, b->core.inbox_n}))
            came_up(b);
        else
            told_subscribed(b, what, false);
    } else if (bytes_is(kind, "pong") && bytes_u64(what, &ticket)) {
        struct bus_req *r = bus_core_req(&b->core, ticket); // a flush: now the other connection
        struct buf *out = r ? redis_begin(b, 2) : NULL;
        if (!out)
            return;
        (void)resp_put_str(out, "ECHO");
        (void)resp_put(out, what);
        (void)redis_call(b, (struct redis_call){.ticket = ticket});
    }
}

// ---- connections --------------------------------------------------------------------------------

static struct redis_conn *conn_of(struct bus_link *l)
{
    return l->user;
}

static void on_open(struct bus_link *l)
{
    struct redis_conn *c = conn_of(l);
    struct redis_bus *b = c->bus;
    struct buf *out = bus_link_out(l);
    c->greets = 1;
    c->greeted = false;
    c->heard_ms = timers_now_ms(l->timers);
    if (b->password.n) {
        c->greets++;
        (void)resp_put_head(out, b->user.n ? 3 : 2);
        (void)resp_put_str(out, "AUTH");
        if (b->user.n)
            (void)resp_put(out, b->user);
        (void)resp_put(out, b->password);
    }
    if (b->database) {
        c->greets++;
        (void)resp_put_head(out, 2);
        (void)resp_put_str(out, "SELECT");
        (void)resp_put_i64(out, b->database);
    }
    (void)resp_put_head(out, 1);
    (void)resp_put_str(out, "PING");
    bus_link_flush(l);
}

static void put_sub(struct redis_bus *b, struct redis_sub *s)
{
    struct buf *out = bus_link_out(&b->sub.link);
    (void)resp_put_head(out, 2);
    (void)resp_put_str(out, s->exact ? "SUBSCRIBE" : "PSUBSCRIBE");
    (void)resp_put(out, s->exact ? s->pattern : bytes_of(s->glob));
    bus_link_flush(&b->sub.link);
}

static void sub_greeted(struct redis_bus *b)
{
    char inbox[80];
    struct buf *out = bus_link_out(&b->sub.link);
    list_each (it, &b->subs) {
        struct redis_sub *s = container_of(it, struct redis_sub, link);
        if (s->args.from == BUS_LIVE)
            put_sub(b, s);
    }
    int n = snprintf(inbox, sizeof inbox, "%.*s*", (int)b->core.inbox_n, b->core.inbox);
    (void)resp_put_head(out, 2);
    (void)resp_put_str(out, "PSUBSCRIBE");
    (void)resp_put(out, (struct bytes){inbox, (size_t)n});
    bus_link_flush(&b->sub.link);
}

// Both connections are there and the inbox is heard.
static void came_up(struct redis_bus *b)
{
    if (!b->cmd.greeted || !b->sub.greeted || redis_is_up(b))
        return;
    const struct net_addr *at = &b->cmd.link.addrs[b->cmd.link.addr_at];
    (void)snprintf(b->core.stats.server, sizeof b->core.stats.server, "redis://%.80s:%u", at->host,
                   at->port);
    bool was = b->ever;
    b->ever = true;
    b->core.stats.status = BUS_CONNECTED;
    redis_stream_up(b);
    bus_core_lost(&b->core, was ? BUS_BACK : BUS_CONNECTED, NULL);
    b->core.stats.status = BUS_CONNECTED;
}

static int64_t greeting(struct redis_conn *c, const struct resp *v, int64_t used, struct err *e)
{
    if (v->kind == RESP_ERROR)
        return err_set(e, bytes_starts(v->text, BYTES("LOADING")) ? E_LOADING : E_UNAUTH,
                       "Redis: %.*s", BYTES_FMT(bytes_first(v->text, 200)));
    if (--c->greets)
        return used;
    c->greeted = true;
    bus_link_good(&c->link);
    if (c->reader)
        redis_reader_open(c->reader);
    else if (c == &c->bus->sub)
        sub_greeted(c->bus);
    else if (c->bus->sub.greeted) // the inbox may be heard already
        sub_greeted(c->bus);
    return used;
}

static void on_echo(struct redis_bus *b, uint64_t ticket)
{
    struct bus_req *r = bus_core_req(&b->core, ticket);
    if (r && r->kind == BUS_REQ_FLUSH)
        bus_core_req_end(&b->core, r, 0, NULL, NULL);
}

static int64_t on_input(struct bus_link *l, struct bytes in, struct err *e)
{
    struct redis_conn *c = conn_of(l);
    struct redis_bus *b = c->bus;
    size_t n;
    int64_t used = resp_parse(in, l->in_bytes_max, b->row, REDIS_ROW, &n, e);
    if (used <= 0)
        return used;
    c->heard_ms = timers_now_ms(l->timers);
    if (!c->greeted)
        return greeting(c, b->row, used, e);
    if (c->reader) {
        redis_reader_reply(c->reader, b->row);
    } else if (c == &b->sub) {
        on_push(b, b->row);
    } else if (!list_empty(&b->calls)) {
        struct redis_call *call = container_of(b->calls.next, struct redis_call, link);
        if (call->done)
            call_end(b, call, b->row);
        else {
            uint64_t ticket = call->ticket;
            call_end(b, call, NULL);
            if (ticket)
                on_echo(b, ticket);
        }
    }
    return used;
}

static void on_down(struct bus_link *l, const struct err *e)
{
    struct redis_conn *c = conn_of(l);
    struct redis_bus *b = c->bus;
    struct err why = {0};
    c->greeted = false;
    if (c->reader) {
        redis_reader_down(c->reader);
        return;
    }
    (void)err_set(&why, e->code == E_UNAUTH ? E_UNAUTH : E_UNAVAILABLE, "%s:%u: %s",
                  l->addrs[l->addr_at].host, l->addrs[l->addr_at].port, e->text);
    if (c == &b->cmd)
        calls_end(b);
    bool was = redis_is_up(b);
    if (!was && b->ever)
        return; // the other connection told it
    b->core.stats.status = BUS_LOST;
    redis_stream_down(b);
    bus_core_reqs_end(&b->core, BUS_REQ_REQUEST, E_UNAVAILABLE, &why);
    bus_core_reqs_end(&b->core, BUS_REQ_FLUSH, E_UNAVAILABLE, &why);
    bus_core_lost(&b->core, was ? BUS_LOST : BUS_CONNECTING, &why);
}

static void on_drain(struct bus_link *l)
{
    struct redis_bus *b = conn_of(l)->bus;
    if (l != &b->cmd.link || !b->want_drain ||
        bus_link_queued(l) > b->core.args.queue_bytes_max / 4)
        return;
    b->want_drain = false;
    if (b->core.args.on_drain)
        b->core.args.on_drain(b->core.args.user);
}

static void finish(struct redis_bus *b);

static void on_link_closed(struct bus_link *l)
{
    struct redis_conn *c = conn_of(l);
    struct redis_bus *b = c->bus;
    c->closed = true;
    b->conns--;
    if (c != &b->cmd && c != &b->sub)
        mem_free(c);
    if (b->core.closed)
        finish(b);
}

static const struct bus_link_ops link_ops = {.open = on_open,
                                             .input = on_input,
                                             .down = on_down,
                                             .drain = on_drain,
                                             .closed = on_link_closed};

void redis_start_conn(struct redis_conn *c, size_t in_bytes_max)
{
    struct redis_bus *b = c->bus;
    const struct bus_args *a = &b->core.args;
    c->link.ops = &link_ops;
    c->link.user = c;
    c->link.net = a->net;
    c->link.timers = a->timers;
    c->link.connect_ms = a->connect_ms;
    c->link.retry_ms = a->retry_ms;
    c->link.queue_bytes_max = a->queue_bytes_max;
    c->link.in_bytes_max = in_bytes_max;
    c->link.tls = b->cmd.link.tls;
    memcpy(c->link.addrs, b->cmd.link.addrs, sizeof c->link.addrs);
    c->link.addr_count = b->cmd.link.addr_count;
    b->conns++;
    bus_link_start(&c->link);
}

void redis_close_conn(struct redis_conn *c)
{
    c->greeted = false;
    bus_link_close(&c->link);
}

static void watch(struct redis_bus *b, struct redis_conn *c, int64_t now)
{
    if (!c->greeted || now - c->heard_ms < ALIVE_MS)
        return;
    if (now - c->heard_ms > 2 * ALIVE_MS) {
        bus_link_fail(&c->link, E_TIMEOUT, "the server does not answer any more");
    } else if (c == &b->sub) {
        (void)resp_put_head(bus_link_out(&c->link), 1);
        (void)resp_put_str(bus_link_out(&c->link), "PING");
        bus_link_flush(&c->link);
    } else if (list_empty(&b->calls)) {
        (void)resp_put_str(redis_begin(b, 1), "PING");
        (void)redis_call(b, (struct redis_call){.ticket = 0});
    }
}

static void on_beat(struct timer *t)
{
    struct redis_bus *b = t->user;
    int64_t now = timers_now_ms(b->core.args.timers);
    (void)timer_start(b->core.args.timers, t, BEAT_MS);
    watch(b, &b->cmd, now);
    watch(b, &b->sub, now);
    if (redis_is_up(b))
        redis_stream_beat(b, now);
}

// ---- the port -----------------------------------------------------------------------------------

static int check_open(struct redis_bus *b, struct err *e)
{
    return b->core.closed ? err_set(e, E_CLOSED, "the bus is closed") : 0;
}

static int check_up(struct redis_bus *b, const struct bus_msg *m, struct err *e)
{
    size_t queued = bus_link_queued(&b->cmd.link);
    if (!redis_is_up(b))
        return err_set(e, E_UNAVAILABLE, "there is no connection to Redis now");
    if (queued + m->data.n / 3 * 4 + 1024 > b->core.args.queue_bytes_max ||
        b->call_count >= REDIS_CALLS_MAX) {
        b->core.stats.full++;
        b->want_drain = true;
        return err_set(e, E_FULL, "%zu bytes wait for Redis", queued);
    }
    return 0;
}

static int put_publish(struct redis_bus *b, const struct bus_msg *m, struct redis_call call,
                       struct err *e)
{
    struct buf json;
    buf_init(&json, (size_t)b->core.args.data_bytes_max / 3 * 4 + HEAD_ROOM);
    int rc = redis_put_event(b, m, &json, e);
    struct buf *out = rc ? NULL : redis_begin(b, 3);
    if (!rc && !out)
        rc = err_set(e, E_UNAVAILABLE, "there is no connection to Redis now");
    if (!rc) {
        (void)resp_put_str(out, "PUBLISH");
        (void)resp_put(out, m->subject);
        (void)resp_put(out, buf_bytes(&json));
        rc = redis_call(b, call);
    }
    buf_fini(&json);
    return rc;
}

static void on_published(struct redis_bus *b, struct redis_call *c, const struct resp *v)
{
    (void)b;
    (void)c;
    (void)v;
}

static int op_publish(struct bus *base, const struct bus_msg *m, struct err *e)
{
    struct redis_bus *b = redis_of(base);
    int rc = check_open(b, e);
    if (!rc)
        rc = bus_core_admit(&b->core, m, e);
    if (!rc)
        rc = check_up(b, m, e);
    if (!rc)
        rc = put_publish(b, m, (struct redis_call){.done = on_published}, e);
    if (rc)
        return rc;
    b->core.stats.published++;
    if (bus_link_queued(&b->cmd.link) <= b->core.args.queue_bytes_max / 2)
        return 0;
    b->want_drain = true;
    return 1;
}

static int op_store(struct bus *base, const struct bus_msg *m, struct bus_req *r, struct err *e)
{
    struct redis_bus *b = redis_of(base);
    int rc = check_open(b, e);
    if (!rc)
        rc = bus_core_admit(&b->core, m, e);
    return rc ? rc : redis_stream_store(b, m, r, e);
}

static void on_asked(struct redis_bus *b, struct redis_call *c, const struct resp *v)
{
    struct bus_req *r = bus_core_req(&b->core, c->ticket);
    struct err e = {0};
    if (!r || !v || resp_int(v, 0) > 0)
        return;
    (void)err_set(&e, E_UNAVAILABLE, "nobody answers on %.*s", BYTES_FMT(c->copy->m.subject));
    bus_core_req_end(&b->core, r, E_UNAVAILABLE, NULL, &e);
}

static int op_request(struct bus *base, const struct bus_msg *m, struct bus_req *r, struct err *e)
{
    struct redis_bus *b = redis_of(base);
    struct bus_msg with = *m, about = {.subject = m->subject};
    char reply[SUBJECT_BYTES_MAX + 1];
    int rc = check_open(b, e);
    if (!rc)
        rc = bus_core_admit(&b->core, m, e);
    if (!rc)
        rc = check_up(b, m, e);
    if (!rc)
        rc = bus_core_req_add(&b->core, r, BUS_REQ_REQUEST, e);
    if (rc)
        return rc;
    int n = snprintf(reply, sizeof reply, "%.*s%" PRIu64, (int)b->core.inbox_n, b->core.inbox,
                     r->ticket);
    with.reply = (struct bytes){reply, (size_t)n};
    struct bus_copy *copy = bus_copy_new(&about, 0, NULL);
    rc = copy
             ? put_publish(b, &with,
                           (struct redis_call){.done = on_asked, .ticket = r->ticket, .copy = copy},
                           e)
             : err_set(e, E_NOMEM, "bus");
    if (rc && bus_core_req(&b->core, r->ticket) == r)
        bus_core_req_drop(&b->core, r);
    b->core.stats.published += !rc;
    return rc;
}

static int op_flush(struct bus *base, struct bus_req *r, struct err *e)
{
    struct redis_bus *b = redis_of(base);
    int rc = check_open(b, e);
    if (!rc && !redis_is_up(b))
        rc = err_set(e, E_UNAVAILABLE, "there is no connection to Redis now");
    if (!rc)
        rc = bus_core_req_add(&b->core, r, BUS_REQ_FLUSH, e);
    if (rc)
        return rc;
    struct buf *out = bus_link_out(&b->sub.link);
    (void)resp_put_head(out, 2);
    (void)resp_put_str(out, "PING");
    (void)resp_put_i64(out, (int64_t)r->ticket);
    bus_link_flush(&b->sub.link);
    return 0;
}

static void op_cancel(struct bus *base, struct bus_req *r)
{
    bus_core_req_cancel(bus_core_of(base), r);
}

static void forget(struct bus_core *c, struct bus_req *r)
{
    (void)c;
    if (r->kind == BUS_REQ_STORE)
        redis_stream_forget(r);
}

// "dev.organs.*.x" and "dev.organs.>" as globs: a `*` of Redis runs over dots, so more comes.
static void put_glob(struct redis_sub *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->pattern.n && n < sizeof s->glob - 1; i++)
        s->glob[n++] = (char)(s->pattern.p[i] == '>' ? '*' : s->pattern.p[i]);
    s->glob[n] = 0;
}

static int op_subscribe(struct bus *base, const struct bus_sub_args *args, struct bus_sub **ret,
                        struct err *e)
{
    struct redis_bus *b = redis_of(base);
    int rc = check_open(b, e);
    if (!rc)
        rc = bus_core_admit_sub(&b->core, args, e);
    if (rc)
        return rc;
    struct redis_sub *s = mem_new(struct redis_sub);
    if (!s || bus_sub_args_copy(&s->args, args)) {
        mem_free(s);
        return err_set(e, E_NOMEM, "bus");
    }
    s->sub = (struct bus_sub){base, args->user};
    s->bus = b;
    s->pattern = bytes_of(s->args.pattern);
    s->who = bytes_of(s->args.who);
    s->exact = subject_is_exact(s->pattern);
    put_glob(s);
    list_init(&s->flights);
    if (args->from != BUS_LIVE && (rc = redis_stream_sub(s, e)) != 0) {
        bus_sub_args_fini(&s->args);
        mem_free(s);
        return rc;
    }
    do
        s->sid = ++b->sid_next;
    while (b->slots[s->sid % b->core.args.subs_max]);
    b->slots[s->sid % b->core.args.subs_max] = s;
    list_add_tail(&b->subs, &s->link);
    b->core.stats.subs++;
    if (args->from == BUS_LIVE && b->sub.greeted)
        put_sub(b, s);
    *ret = &s->sub;
    return 0;
}

static void on_soon(struct timer *t)
{
    struct redis_bus *b = t->user;
    while (!list_empty(&b->ending)) {
        struct redis_sub *s = container_of(b->ending.next, struct redis_sub, link);
        list_del(&s->link);
        if (s->args.on_closed)
            s->args.on_closed(&s->sub);
        bus_sub_args_fini(&s->args);
        mem_free(s);
    }
    if (b->core.closed)
        finish(b);
}

static bool is_shared(struct redis_bus *b, const struct redis_sub *s)
{
    list_each (it, &b->subs) {
        struct redis_sub *x = container_of(it, struct redis_sub, link);
        if (x != s && x->args.from == BUS_LIVE && x->exact == s->exact &&
            !strcmp(x->exact ? x->args.pattern : x->glob, s->exact ? s->args.pattern : s->glob))
            return true;
    }
    return false;
}

static void op_unsubscribe(struct bus_sub *sub)
{
    struct redis_sub *s = (struct redis_sub *)(void *)sub;
    struct redis_bus *b = s->bus;
    if (s->dead)
        return;
    if (s->args.from != BUS_LIVE) {
        redis_stream_unsub(s);
    } else if (b->sub.greeted && !is_shared(b, s)) {
        struct buf *out = bus_link_out(&b->sub.link);
        (void)resp_put_head(out, 2);
        (void)resp_put_str(out, s->exact ? "UNSUBSCRIBE" : "PUNSUBSCRIBE");
        (void)resp_put(out, s->exact ? s->pattern : bytes_of(s->glob));
        bus_link_flush(&b->sub.link);
    }
    s->dead = true;
    b->slots[s->sid % b->core.args.subs_max] = NULL;
    list_del(&s->link);
    list_add_tail(&b->ending, &s->link);
    b->core.stats.subs--;
    (void)timer_start(b->core.args.timers, &b->soon, 0);
}

static int op_ack(struct bus_sub *s, uint64_t ack, enum bus_ack_how how, int64_t delay_ms)
{
    return redis_stream_ack((struct redis_sub *)(void *)s, ack, how, delay_ms);
}

static void op_policy_changed(struct bus *b)
{
    (void)b; // nothing is remembered here
}

static void op_stats(const struct bus *base, struct bus_stats *ret)
{
    const struct redis_bus *b = (const struct redis_bus *)(const void *)base;
    *ret = b->core.stats;
    ret->queue_bytes = bus_link_queued(&b->cmd.link);
}

static void op_close(struct bus *base)
{
    struct redis_bus *b = redis_of(base);
    if (b->core.closed)
        return;
    bus_core_reqs_end(&b->core, BUS_REQ_NONE, E_CANCELLED, NULL);
    b->core.closed = true;
    while (!list_empty(&b->subs))
        op_unsubscribe(&container_of(b->subs.next, struct redis_sub, link)->sub);
    calls_end(b);
    timer_stop(b->core.args.timers, &b->beat);
    redis_close_conn(&b->cmd);
    redis_close_conn(&b->sub);
}

static void fini(struct redis_bus *b)
{
    timer_stop(b->core.args.timers, &b->beat);
    timer_stop(b->core.args.timers, &b->soon);
    arena_free(b->arena);
    mem_free(b->row);
    mem_free(b->hits);
    mem_free(b->slots);
    bus_core_fini(&b->core);
    mem_free(b);
}

static void finish(struct redis_bus *b)
{
    if (b->conns || !list_empty(&b->ending))
        return;
    if (!list_empty(&b->core.ended)) {
        (void)timer_start(b->core.args.timers, &b->soon, 0);
        return;
    }
    void (*on_status)(void *, enum bus_status, const struct err *) = b->core.args.on_status;
    void *user = b->core.args.user;
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

static int take_url(struct redis_bus *b, struct err *e)
{
    static const char *const schemes[] = {"redis://", "rediss://", NULL};
    struct bus_args *a = &b->core.args;
    struct bus_url url;
    uint64_t database = 0;
    int rc = bus_link_url(&b->cmd.link, a->url ? a->url : "redis://127.0.0.1:6379", schemes, 6379,
                          &url, e);
    if (rc)
        return rc;
    if (url.tls && !a->tls)
        return err_set(e, E_INVALID, "bus.url says rediss://, but there is no TLS for it");
    if (url.path.n && (!bytes_u64(url.path, &database) || database > 1024))
        return err_set(e, E_INVALID, "bus.url: after the slash stands the database's number");
    b->database = (int)database;
    b->cmd.link.tls = url.tls ? a->tls : NULL;
    b->user = a->user_name ? bytes_of(a->user_name) : url.user;
    b->password = a->password ? bytes_of(a->password) : url.password;
    return 0;
}

static void names(struct redis_bus *b)
{
    struct buf consumer;
    (void)snprintf(b->prefix, sizeof b->prefix, REDIS_KEY, b->core.args.environment);
    (void)snprintf(b->stream, sizeof b->stream, "%sstore", b->prefix);
    buf_init(&consumer, sizeof b->consumer);
    (void)subject_put_token(&consumer, bytes_first(b->core.source, sizeof b->consumer - 1));
    (void)snprintf(b->consumer, sizeof b->consumer, "%s", buf_cstr(&consumer));
    buf_fini(&consumer);
}

int bus_redis_open(const struct bus_args *args, struct bus **ret, struct err *e)
{
    struct redis_bus *b = mem_new(struct redis_bus);
    if (!b)
        return err_set(e, E_NOMEM, "bus");
    list_init(&b->subs);
    list_init(&b->ending);
    list_init(&b->calls);
    list_init(&b->stores);
    b->beat = (struct timer){.fn = on_beat, .user = b};
    b->soon = (struct timer){.fn = on_soon, .user = b};
    b->cmd.bus = b->sub.bus = b;
    int rc = bus_core_init(&b->core, &ops, args, e);
    if (rc && !b->core.bus.ops) {
        mem_free(b);
        return rc;
    }
    b->core.forget = forget;
    if (!rc) {
        b->slots = mem_array(b->core.args.subs_max, sizeof(struct redis_sub *));
        b->hits = mem_array(b->core.args.subs_max, sizeof *b->hits);
        b->row = mem_array(REDIS_ROW, sizeof *b->row);
        b->arena = arena_new((size_t)b->core.args.data_bytes_max * 4 + ARENA_ROOM);
        if (!b->slots || !b->hits || !b->row || !b->arena)
            rc = err_set(e, E_NOMEM, "bus");
    }
    if (!rc)
        rc = take_url(b, e);
    if (rc) {
        fini(b);
        return rc;
    }
    names(b);
    size_t in = (size_t)b->core.args.data_bytes_max / 2 * 3 * REDIS_READ + ((size_t)1 << 20);
    redis_start_conn(&b->cmd, in);
    redis_start_conn(&b->sub, in);
    (void)timer_start(args->timers, &b->beat, BEAT_MS);
    *ret = &b->core.bus;
    return 0;
}
