// bus_nats.c: the bus over NATS: its client protocol, spoken here: live messages, queue groups,
// requests. Messages are CloudEvents in binary mode. The store is in bus_nats_js.c.
// SPDX-License-Identifier: Apache-2.0
#include "adapters/bus_nats_priv.h"
#include "text/subject.h"
#include <stdio.h>
#include <string.h>

#ifndef PLEXUS_VERSION
#define PLEXUS_VERSION "0"
#endif

#define BEAT_MS 250
#define ALIVE_MS 10000 // a PING; after the third without an answer the connection is given up
#define HEAD_ROOM 16384 // headers of a message, over data_bytes_max
#define ARENA_BYTES ((size_t)64 << 10)

static struct nats_bus *bus_of_link(struct bus_link *l)
{
    return l->user;
}

// ---- events as messages -------------------------------------------------------------------------

int nats_put_msg(struct nats_bus *b, struct bytes subject, const struct bus_msg *m, struct err *e)
{
    struct bus_event v;
    struct buf head, *out = bus_link_out(&b->link);
    size_t before = out->n;
    buf_init(&head, HEAD_ROOM);
    bus_event_of(&b->core, m, &v);
    (void)cloudevent_put_headers(&head, &v.event);
    (void)buf_str(&head, "Nats-Msg-Id: ");
    for (size_t i = 0; i < v.event.id.n; i++) { // as the event's id, by which the server compares
        unsigned char x = (unsigned char)v.event.id.p[i];
        (void)(x <= 0x20 || x >= 0x7f || x == '%' ? buf_fmt(&head, "%%%02X", x)
                                                  : buf_chr(&head, (char)x));
    }
    (void)buf_str(&head, "\r\n");
    int rc = head.failed ? err_set(e, E_TOOBIG, "the message's attributes are too long") : 0;
    if (!rc && b->payload_max && head.n + 16 + m->data.n > b->payload_max)
        rc = err_set(e, E_TOOBIG, "the NATS server takes messages of %zu bytes", b->payload_max);
    if (!rc)
        rc = nats1_put_pub(out, subject, m->reply, buf_bytes(&head), m->data);
    if (rc == E_NOMEM || (rc && out->failed)) { // nothing of it leaves
        out->n = before;
        out->failed = 0;
        (void)err_set(e, rc, "the queue to the NATS server");
    }
    buf_fini(&head);
    bus_link_flush(&b->link);
    return rc;
}

void nats_msg_of(struct nats_bus *b, const struct nats1_op *op, struct bus_msg *m)
{
    struct cloudevent c = {.has_version = false};
    struct bytes name, value;
    arena_reset(b->arena);
    for (size_t at = 0; nats1_header_each(op->headers, &at, &name, &value);)
        (void)cloudevent_header(&c, b->arena, name, value, NULL); // a stranger's may lack things
    *m = (struct bus_msg){
        .subject = op->subject, .data = op->data, .reply = op->reply, .deliveries = 1};
    bus_event_msg(&c, m);
}

// ---- pings: their answers say that all before has arrived ---------------------------------------

int nats_ping_put(struct nats_bus *b, enum nats_ping kind, uint64_t value, struct err *e)
{
    if (b->ping_count == NATS_PINGS_MAX) {
        b->core.stats.full++;
        return err_set(e, E_FULL, "%d flushes are in flight", NATS_PINGS_MAX);
    }
    uint32_t at = (b->ping_first + b->ping_count++) % NATS_PINGS_MAX;
    b->pings[at].kind = kind;
    b->pings[at].value = value;
    (void)buf_str(bus_link_out(&b->link), "PING\r\n");
    bus_link_flush(&b->link);
    return 0;
}

static bool is_up(const struct nats_bus *b)
{
    return b->link.up;
}

void nats_sub_ready(struct nats_sub *s)
{
    if (s->told_ready || s->dead)
        return;
    s->told_ready = true;
    if (s->args.on_ready)
        s->args.on_ready(&s->sub);
}

static void put_sub(struct nats_bus *b, struct nats_sub *s)
{
    if (s->args.from != BUS_LIVE) {
        nats_js_sub(s);
        return;
    }
    (void)nats1_put_sub(bus_link_out(&b->link), s->pattern, bytes_of(s->args.queue), s->sid);
    bus_link_flush(&b->link);
    if (!s->told_ready)
        s->unasked = nats_ping_put(b, NATS_PING_READY, s->sid, NULL) != 0; // the beat tries again
}

static void came_up(struct nats_bus *b)
{
    bus_link_good(&b->link);
    b->greeted = true;
    b->alive_asked = 0;
    list_each_safe (it, &b->subs)
        put_sub(b, container_of(it, struct nats_sub, link));
    nats_js_up(b);
    bus_core_lost(&b->core, b->ever ? BUS_BACK : BUS_CONNECTED, NULL);
    b->core.stats.status = BUS_CONNECTED;
    b->ever = true;
    if (b->below)
        b->below->up(b->below->user);
}

static void on_pong(struct nats_bus *b)
{
    struct nats_sub *s;
    struct bus_req *r;
    if (!b->ping_count)
        return;
    enum nats_ping kind = b->pings[b->ping_first].kind;
    uint64_t value = b->pings[b->ping_first].value;
    b->ping_first = (b->ping_first + 1) % NATS_PINGS_MAX;
    b->ping_count--;
    switch (kind) {
    case NATS_PING_OPEN: came_up(b); break;
    case NATS_PING_ALIVE: b->alive_asked = 0; break;
    case NATS_PING_FLUSH:
        r = bus_core_req(&b->core, value);
        if (r)
            bus_core_req_end(&b->core, r, 0, NULL, NULL);
        break;
    case NATS_PING_READY:
        s = nats_sub_of(b, value);
        if (s)
            nats_sub_ready(s);
        break;
    }
}

// ---- greeting -----------------------------------------------------------------------------------

static void put_connect(struct nats_bus *b)
{
    const struct bus_args *a = &b->core.args;
    struct buf *out = bus_link_out(&b->link);
    struct json_w w;
    (void)buf_str(out, "CONNECT ");
    json_w_init(&w, out);
    json_w_obj(&w, NULL);
    json_w_bool(&w, "verbose", false);
    json_w_bool(&w, "pedantic", false);
    json_w_bool(&w, "headers", true);
    json_w_bool(&w, "no_responders", true);
    json_w_bool(&w, "tls_required", b->link.tls != NULL || b->link.upgraded);
    json_w_cstr(&w, "lang", "plexus");
    json_w_cstr(&w, "version", PLEXUS_VERSION);
    json_w_str(&w, "name", b->core.source);
    json_w_i64(&w, "protocol", 1);
    if (a->user_name)
        json_w_cstr(&w, "user", a->user_name);
    if (a->password)
        json_w_cstr(&w, "pass", a->password);
    if (a->token)
        json_w_cstr(&w, "auth_token", a->token);
    json_w_end(&w);
    (void)buf_str(out, "\r\n");
    char inbox[80];
    int n = snprintf(inbox, sizeof inbox, "%.*s*", (int)b->core.inbox_n, b->core.inbox);
    (void)nats1_put_sub(out, (struct bytes){inbox, (size_t)n}, BYTES_NONE, 1);
    (void)nats_ping_put(b, NATS_PING_OPEN, 0, NULL);
}

static void read_info(struct nats_bus *b, const struct json *root)
{
    int64_t most = json_i64(json_get(root, "max_payload"), 1 << 20);
    b->payload_max = most > 0 && most < INT32_MAX ? (size_t)most : 1 << 20;
    (void)snprintf(b->version, sizeof b->version, "%s", json_cstr(json_get(root, "version"), ""));
    const struct net_addr *at = &b->link.addrs[b->link.addr_at];
    (void)snprintf(b->core.stats.server, sizeof b->core.stats.server, "nats://%.80s:%u %s",
                   at->host, at->port, b->version);
    const struct json *urls = json_get(root, "connect_urls"), *v;
    struct json_iter it = {0};
    while (json_each(urls, &it, NULL, &v)) // the rest of the cluster
        (void)bus_link_add(&b->link, json_str(v), 4222);
    if (json_len(urls))
        b->servers = (uint32_t)json_len(urls);
}

// TLS begins after the server's first word, unless it began before.
static int64_t greet(struct nats_bus *b, const struct json *root, int64_t used, struct err *e)
{
    bool must = json_bool(json_get(root, "tls_required"), false);
    bool can = must || json_bool(json_get(root, "tls_available"), false);
    struct net_tls *tls = b->core.args.tls;
    if (b->link.tls || b->link.upgraded || (!tls && !must)) {
        if (!json_bool(json_get(root, "headers"), false))
            return err_set(e, E_UNSUPPORTED, "the NATS server is older than 2.2: no headers");
        put_connect(b);
        return used;
    }
    if (!tls)
        return err_set(e, E_CONFIG, "the NATS server asks for TLS: bus.tls is missing");
    if (!can)
        return err_set(e, E_SECURITY, "the NATS server offers no TLS, which is asked for here");
    int rc = bus_link_upgrade(&b->link, tls, e);
    return rc ? rc : used;
}

static int64_t on_info(struct nats_bus *b, struct bytes text, int64_t used, struct err *e)
{
    struct json_doc *doc = NULL;
    int rc = json_parse(&doc, text, 0, e);
    if (rc)
        return rc;
    read_info(b, json_root(doc));
    if (!b->greeted && !b->ping_count) // later ones bring news of the cluster
        used = greet(b, json_root(doc), used, e);
    json_free(doc);
    return used;
}

// ---- messages -----------------------------------------------------------------------------------

static void on_answer(struct nats_bus *b, const struct nats1_op *op)
{
    struct bytes last = bytes_from(op->subject, b->core.inbox_n);
    struct bus_msg m;
    struct err e = {0};
    uint64_t number;
    if (last.n && *last.p == 'j' && bytes_u64(bytes_from(last, 1), &number)) {
        nats_js_answer(b, number, op);
        return;
    }
    struct bus_req *r = bytes_u64(last, &number) ? bus_core_req(&b->core, number) : NULL;
    if (!r) {
        b->core.stats.dropped++; // too late
        return;
    }
    if (r->kind == BUS_REQ_STORE) {
        nats_js_stored(b, r, op);
        return;
    }
    if (nats1_status(op->headers, NULL) == 503) {
        (void)err_set(&e, E_UNAVAILABLE, "nobody answers on %s",
                      r->priv ? (const char *)r->priv : "this subject");
        mem_free(r->priv);
        r->priv = NULL;
        bus_core_req_end(&b->core, r, E_UNAVAILABLE, NULL, &e);
        return;
    }
    nats_msg_of(b, op, &m);
    m.reply = BYTES_NONE;
    int rc = bus_core_may(&b->core, true, m.subject, m.label, BYTES_NONE, &e);
    b->core.stats.delivered += !rc;
    mem_free(r->priv);
    r->priv = NULL;
    bus_core_req_end(&b->core, r, rc, rc ? NULL : &m, &e);
}

static void on_msg(struct nats_bus *b, const struct nats1_op *op)
{
    struct bus_msg m;
    if (op->sid == 1) {
        on_answer(b, op);
        return;
    }
    if (op->sid >= NATS_BELOW) {
        if (b->below)
            b->below->msg(b->below->user, op);
        return;
    }
    struct nats_sub *s = nats_sub_of(b, op->sid);
    if (!s) {
        nats_js_late(b, op);
        return;
    }
    if (s->args.from != BUS_LIVE) {
        nats_js_msg(s, op);
        return;
    }
    // Answers are for who asked; and what JetStream sends to an inbox has its own subject.
    if (bus_core_is_inbox(&b->core, op->subject) || !subject_match(s->pattern, op->subject))
        return;
    nats_msg_of(b, op, &m);
    if (bus_core_may(&b->core, true, m.subject, m.label, s->who, NULL))
        return;
    b->core.stats.delivered++;
    s->args.on_msg(&s->sub, &m);
}

static int64_t on_input(struct bus_link *l, struct bytes in, struct err *e)
{
    struct nats_bus *b = bus_of_link(l);
    struct nats1_op op;
    int64_t used =
        nats1_parse(in, (size_t)b->core.args.data_bytes_max + HEAD_ROOM + (1 << 20), &op, e);
    if (used <= 0)
        return used;
    switch (op.kind) {
    case NATS1_INFO: return on_info(b, op.text, used, e);
    case NATS1_MSG: on_msg(b, &op); break;
    case NATS1_PING:
        (void)buf_str(bus_link_out(l), "PONG\r\n");
        bus_link_flush(l);
        break;
    case NATS1_PONG: on_pong(b); break;
    case NATS1_OK: break;
    case NATS1_ERR:
        (void)snprintf(b->said, sizeof b->said, "%.*s", BYTES_FMT(op.text));
        break; // the server closes where it must
    }
    return used;
}

// ---- the link -----------------------------------------------------------------------------------

static void on_open(struct bus_link *l)
{
    struct nats_bus *b = bus_of_link(l);
    b->ping_first = b->ping_count = 0;
    b->greeted = false;
    b->said[0] = 0;
    if (l->upgraded) // TLS came after the server's first word
        put_connect(b);
}

static void on_down(struct bus_link *l, const struct err *e)
{
    struct nats_bus *b = bus_of_link(l);
    struct err why = {0};
    bool was = b->core.stats.status == BUS_CONNECTED;
    bool refused = bytes_starts(bytes_of(b->said), BYTES("Authorization")) ||
                   bytes_starts(bytes_of(b->said), BYTES("User Authentication"));
    (void)err_set(&why, refused ? E_UNAUTH : E_UNAVAILABLE, "%s:%u: %s%s%s",
                  l->addrs[l->addr_at].host, l->addrs[l->addr_at].port, b->said,
                  b->said[0] ? ": " : "", e->text);
    b->ping_first = b->ping_count = 0;
    b->greeted = false;
    nats_js_down(b);
    bus_core_reqs_end(&b->core, BUS_REQ_REQUEST, E_UNAVAILABLE, &why);
    bus_core_reqs_end(&b->core, BUS_REQ_FLUSH, E_UNAVAILABLE, &why);
    if (was || !b->ever)
        bus_core_lost(&b->core, was ? BUS_LOST : BUS_CONNECTING, &why);
}

static void on_drain(struct bus_link *l)
{
    struct nats_bus *b = bus_of_link(l);
    if (!b->want_drain || bus_link_queued(l) > b->core.args.queue_bytes_max / 4)
        return;
    b->want_drain = false;
    if (b->core.args.on_drain)
        b->core.args.on_drain(b->core.args.user);
}

static void finish(struct nats_bus *b);

static void on_link_closed(struct bus_link *l)
{
    struct nats_bus *b = bus_of_link(l);
    b->link_closed = true;
    finish(b);
}

static const struct bus_link_ops link_ops = {.open = on_open,
                                             .input = on_input,
                                             .down = on_down,
                                             .drain = on_drain,
                                             .closed = on_link_closed};

static void on_beat(struct timer *t)
{
    struct nats_bus *b = t->user;
    int64_t now = timers_now_ms(b->core.args.timers);
    (void)timer_start(b->core.args.timers, t, BEAT_MS);
    if (!is_up(b))
        return;
    list_each (it, &b->subs) {
        struct nats_sub *s = container_of(it, struct nats_sub, link);
        if (s->unasked)
            s->unasked = nats_ping_put(b, NATS_PING_READY, s->sid, NULL) != 0;
    }
    nats_js_beat(b, now);
    if (is_up(b) && now - b->alive_ms >= ALIVE_MS) {
        b->alive_ms = now;
        if (++b->alive_asked > 3)
            bus_link_fail(&b->link, E_TIMEOUT, "the server does not answer any more");
        else
            (void)nats_ping_put(b, NATS_PING_ALIVE, 0, NULL);
    }
}

// ---- the port -----------------------------------------------------------------------------------

static int check_open(struct nats_bus *b, struct err *e)
{
    return b->core.closed ? err_set(e, E_CLOSED, "the bus is closed") : 0;
}

static int check_up(struct nats_bus *b, const struct bus_msg *m, struct err *e)
{
    if (!is_up(b))
        return err_set(e, E_UNAVAILABLE, "there is no connection to NATS now");
    if (bus_link_queued(&b->link) + bus_msg_bytes(m) + 256 > b->core.args.queue_bytes_max) {
        b->core.stats.full++;
        b->want_drain = true;
        return err_set(e, E_FULL, "%zu bytes wait for the NATS server", bus_link_queued(&b->link));
    }
    return 0;
}

static int op_publish(struct bus *base, const struct bus_msg *m, struct err *e)
{
    struct nats_bus *b = nats_of(base);
    int rc = check_open(b, e);
    if (!rc)
        rc = bus_core_admit(&b->core, m, e);
    if (!rc)
        rc = check_up(b, m, e);
    if (!rc)
        rc = nats_put_msg(b, m->subject, m, e);
    if (rc)
        return rc;
    b->core.stats.published++;
    if (bus_link_queued(&b->link) <= b->core.args.queue_bytes_max / 2)
        return 0;
    b->want_drain = true;
    return 1;
}

static int op_store(struct bus *base, const struct bus_msg *m, struct bus_req *r, struct err *e)
{
    struct nats_bus *b = nats_of(base);
    int rc = check_open(b, e);
    if (!rc)
        rc = bus_core_admit(&b->core, m, e);
    return rc ? rc : nats_js_store(b, m, r, e);
}

static int op_request(struct bus *base, const struct bus_msg *m, struct bus_req *r, struct err *e)
{
    struct nats_bus *b = nats_of(base);
    struct bus_msg with = *m;
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
    int n = snprintf(reply, sizeof reply, "%.*s%llu", (int)b->core.inbox_n, b->core.inbox,
                     (unsigned long long)r->ticket);
    with.reply = (struct bytes){reply, (size_t)n};
    rc = nats_put_msg(b, m->subject, &with, e);
    if (rc) {
        bus_core_req_drop(&b->core, r);
        return rc;
    }
    r->priv = mem_dup(m->subject.p, m->subject.n); // for the message; NULL does
    b->core.stats.published++;
    return 0;
}

static int op_flush(struct bus *base, struct bus_req *r, struct err *e)
{
    struct nats_bus *b = nats_of(base);
    int rc = check_open(b, e);
    if (!rc && !is_up(b))
        rc = err_set(e, E_UNAVAILABLE, "there is no connection to NATS now");
    if (!rc)
        rc = bus_core_req_add(&b->core, r, BUS_REQ_FLUSH, e);
    if (rc)
        return rc;
    rc = nats_ping_put(b, NATS_PING_FLUSH, r->ticket, e);
    if (rc)
        bus_core_req_drop(&b->core, r);
    return rc;
}

static void op_cancel(struct bus *base, struct bus_req *r)
{
    bus_core_req_cancel(bus_core_of(base), r);
}

static void forget(struct bus_core *c, struct bus_req *r)
{
    (void)c;
    if (r->kind == BUS_REQ_STORE) {
        nats_js_forget(r);
    } else {
        mem_free(r->priv);
        r->priv = NULL;
    }
}

struct nats_sub *nats_sub_of(struct nats_bus *b, uint64_t sid)
{
    struct nats_sub *s = b->slots[sid % b->core.args.subs_max];
    return s && s->sid == sid && !s->dead ? s : NULL;
}

void nats_sub_fail(struct nats_sub *s, int status, const struct err *e)
{
    if (s->failed || s->dead)
        return;
    s->failed = true;
    if (s->args.on_failed)
        s->args.on_failed(&s->sub, status, e);
}

static int op_subscribe(struct bus *base, const struct bus_sub_args *args, struct bus_sub **ret,
                        struct err *e)
{
    struct nats_bus *b = nats_of(base);
    int rc = check_open(b, e);
    if (!rc)
        rc = bus_core_admit_sub(&b->core, args, e);
    if (rc)
        return rc;
    struct nats_sub *s = mem_new(struct nats_sub);
    if (!s || bus_sub_args_copy(&s->args, args)) {
        mem_free(s);
        return err_set(e, E_NOMEM, "bus");
    }
    s->sub = (struct bus_sub){base, args->user};
    s->bus = b;
    s->pattern = bytes_of(s->args.pattern);
    s->who = bytes_of(s->args.who);
    list_init(&s->flights);
    do // there is a free one: subs_max was checked; 0 and 1 are not subscriptions'
        s->sid = ++b->sid_next;
    while (s->sid < 2 || b->slots[s->sid % b->core.args.subs_max]);
    b->slots[s->sid % b->core.args.subs_max] = s;
    list_add_tail(&b->subs, &s->link);
    b->core.stats.subs++;
    if (is_up(b))
        put_sub(b, s);
    *ret = &s->sub;
    return 0;
}

static void on_soon(struct timer *t)
{
    struct nats_bus *b = t->user;
    while (!list_empty(&b->ending)) {
        struct nats_sub *s = container_of(b->ending.next, struct nats_sub, link);
        list_del(&s->link);
        if (s->args.on_closed)
            s->args.on_closed(&s->sub);
        bus_sub_args_fini(&s->args);
        mem_free(s);
    }
    if (b->core.closed)
        finish(b);
}

static void op_unsubscribe(struct bus_sub *sub)
{
    struct nats_sub *s = (struct nats_sub *)(void *)sub;
    struct nats_bus *b = s->bus;
    if (s->dead)
        return;
    if (is_up(b)) { // first, so that what it gives back does not come here again
        (void)nats1_put_unsub(bus_link_out(&b->link), s->sid);
        bus_link_flush(&b->link);
    }
    if (s->args.from != BUS_LIVE)
        nats_js_unsub(s);
    s->dead = true;
    b->slots[s->sid % b->core.args.subs_max] = NULL;
    list_del(&s->link);
    list_add_tail(&b->ending, &s->link);
    b->core.stats.subs--;
    (void)timer_start(b->core.args.timers, &b->soon, 0);
}

static int op_ack(struct bus_sub *s, uint64_t ack, enum bus_ack_how how, int64_t delay_ms)
{
    return nats_js_ack((struct nats_sub *)(void *)s, ack, how, delay_ms);
}

static void op_policy_changed(struct bus *b)
{
    (void)b; // nothing is remembered here
}

static void op_stats(const struct bus *base, struct bus_stats *ret)
{
    const struct nats_bus *b = (const struct nats_bus *)(const void *)base;
    *ret = b->core.stats;
    ret->queue_bytes = bus_link_queued(&b->link);
}

static void op_close(struct bus *base)
{
    struct nats_bus *b = nats_of(base);
    if (b->core.closed)
        return;
    bus_core_reqs_end(&b->core, BUS_REQ_NONE, E_CANCELLED, NULL);
    b->core.closed = true;
    while (!list_empty(&b->subs))
        op_unsubscribe(&container_of(b->subs.next, struct nats_sub, link)->sub);
    nats_js_close(b);
    timer_stop(b->core.args.timers, &b->beat);
    bus_link_close(&b->link);
}

static void fini(struct nats_bus *b)
{
    timer_stop(b->core.args.timers, &b->beat);
    timer_stop(b->core.args.timers, &b->soon);
    arena_free(b->arena);
    mem_free(b->slots);
    bus_core_fini(&b->core);
    mem_free(b);
}

static void finish(struct nats_bus *b)
{
    if (!b->link_closed || !list_empty(&b->ending))
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

static const char *const schemes[] = {"nats://", "tls://", NULL};

static int op_server(struct bus *base, const char *url, struct net_tls *tls, struct err *e)
{
    struct nats_bus *b = nats_of(base);
    struct bus_link fresh = {0}; // for its addresses alone
    struct bus_url parts;
    int rc = url ? bus_link_url(&fresh, url, schemes, 4222, &parts, e) : 0;
    if (!rc && url && parts.tls && !tls)
        rc = err_set(e, E_INVALID, "the address says tls://, but there is no TLS for it");
    if (rc)
        return rc;
    b->core.args.tls = tls;
    if (b->core.args.tls_first)
        b->link.tls = tls;
    if (!url)
        return 0;
    memcpy(b->link.addrs, fresh.addrs, sizeof b->link.addrs);
    b->link.addr_count = fresh.addr_count;
    b->link.addr_at = 0;
    bus_link_fail(&b->link, E_UNAVAILABLE, "the server is at another address now");
    b->link.addr_at = 0;
    return 0;
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
    .server = op_server,
};

// What the URL says of who we are, where the arguments say nothing.
static int take_url(struct nats_bus *b, struct err *e)
{
    struct bus_args *a = &b->core.args;
    struct bus_url url;
    int rc =
        bus_link_url(&b->link, a->url ? a->url : "nats://127.0.0.1:4222", schemes, 4222, &url, e);
    if (rc)
        return rc;
    if (url.tls && !a->tls)
        return err_set(e, E_INVALID, "bus.url says tls://, but there is no TLS for it");
    if (url.user.n && !a->user_name && !a->token)
        a->user_name = mem_dup(url.user.p, url.user.n);
    if (url.password.n && !a->password && !a->token)
        a->password = mem_dup(url.password.p, url.password.n);
    return 0;
}

int bus_nats_open(const struct bus_args *args, struct bus **ret, struct err *e)
{
    struct nats_bus *b = mem_new(struct nats_bus);
    if (!b)
        return err_set(e, E_NOMEM, "bus");
    list_init(&b->subs);
    list_init(&b->ending);
    list_init(&b->calls);
    list_init(&b->stores);
    b->beat = (struct timer){.fn = on_beat, .user = b};
    b->soon = (struct timer){.fn = on_soon, .user = b};
    int rc = bus_core_init(&b->core, &ops, args, e);
    if (rc && !b->core.bus.ops) {
        mem_free(b);
        return rc;
    }
    b->core.forget = forget;
    b->slots = rc ? NULL : mem_array(b->core.args.subs_max, sizeof(struct nats_sub *));
    b->arena = rc ? NULL : arena_new(ARENA_BYTES);
    if (!rc && (!b->slots || !b->arena))
        rc = err_set(e, E_NOMEM, "bus");
    if (!rc)
        rc = take_url(b, e);
    if (rc) {
        fini(b);
        return rc;
    }
    (void)snprintf(b->stream, sizeof b->stream, NATS_STREAM, b->core.args.environment);
    struct bus_link *l = &b->link;
    l->ops = &link_ops;
    l->user = b;
    l->net = args->net;
    l->timers = args->timers;
    l->tls = b->core.args.tls_first ? b->core.args.tls : NULL;
    l->connect_ms = b->core.args.connect_ms;
    l->retry_ms = b->core.args.retry_ms;
    l->queue_bytes_max = b->core.args.queue_bytes_max;
    l->in_bytes_max = (size_t)b->core.args.data_bytes_max + HEAD_ROOM + ((size_t)2 << 20);
    b->alive_ms = timers_now_ms(args->timers);
    bus_link_start(l);
    (void)timer_start(args->timers, &b->beat, BEAT_MS);
    *ret = &b->core.bus;
    return 0;
}
