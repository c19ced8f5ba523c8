// bus_nats_js.c: JetStream as the bus's store (ADR-13 and the JetStream API reference of NATS): one
// stream for each environment, durables as pull consumers. A message that was tried too often is
// stored as a dead letter before the server is told to let go, so that it is lost at no point.
// SPDX-License-Identifier: Apache-2.0
#include "adapters/bus_nats_priv.h"
#include "base/time.h"
#include "text/subject.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PULL_MAX 256
#define PULL_MS 20000 // the server forgets a pull after that
#define AGAIN_MS 250 // after something failed
#define RESEND_MS 2000 // a stored message without an answer
#define API_MAX 65536

// JetStream's error codes (server/errors.json).
enum { JS_STREAM_NOT_FOUND = NATS_NO_STREAM, JS_CONSUMER_NOT_FOUND = 10014 };

// ---- calls --------------------------------------------------------------------------------------

static void call_end(struct nats_call *c, int status, const struct json *root,
                     const struct nats1_op *op, const struct err *e)
{
    list_del(&c->link);
    c->done(c, status, root, op, e);
    mem_free(c);
}

int nats_call_start(struct nats_bus *b, struct nats_call call, const char *subject,
                    const struct buf *body)
{
    char reply[96];
    struct nats_call *c = body->failed ? NULL : mem_new(struct nats_call);
    if (!c)
        return E_NOMEM;
    *c = call;
    c->bus = b;
    c->number = ++b->call_next;
    c->due_ms = timers_now_ms(b->core.args.timers) + NATS_CALL_MS;
    list_add_tail(&b->calls, &c->link);
    int n = snprintf(reply, sizeof reply, "%.*sj%" PRIu64, (int)b->core.inbox_n, b->core.inbox,
                     c->number);
    (void)nats1_put_pub(bus_link_out(&b->link), bytes_of(subject), (struct bytes){reply, (size_t)n},
                        BYTES_NONE, buf_bytes(body));
    bus_link_flush(&b->link);
    return 0;
}

// {"error":{"code":404,"err_code":10059,"description":"stream not found"}}
int nats_js_error(const struct json *root, int *ret_js, struct err *e)
{
    const struct json *x = json_get(root, "error");
    int64_t code = json_i64(json_get(x, "code"), 500);
    *ret_js = (int)json_i64(json_get(x, "err_code"), 0);
    if (!x)
        return 0;
    return err_set(e,
                   code == 404   ? E_NOTFOUND
                   : code == 503 ? E_UNAVAILABLE
                   : code == 403 ? E_FORBIDDEN
                                 : E_INVALID,
                   "JetStream: %s", json_cstr(json_get(x, "description"), "an error"));
}

void nats_js_answer(struct nats_bus *b, uint64_t number, const struct nats1_op *op)
{
    struct json_doc *doc = NULL;
    struct err e = {0};
    struct nats_call *c = NULL;
    list_each (it, &b->calls) {
        c = container_of(it, struct nats_call, link);
        if (c->number == number)
            break;
        c = NULL;
    }
    if (!c)
        return; // too late
    int status = nats1_status(op->headers, NULL), rc = 0;
    if (status == 503)
        rc = err_set(&e, E_UNAVAILABLE,
                     "no JetStream on the NATS server (nats-server -js), or no "
                     "leader now");
    else if (status == 404)
        rc = err_set(&e, E_NOTFOUND, "JetStream: not found");
    else if (!op->headers.n)
        rc = json_parse(&doc, op->data, 0, &e);
    call_end(c, rc, json_root(doc), op, &e);
    json_free(doc);
}

// ---- the stream ---------------------------------------------------------------------------------

static int64_t dedup_ms(const struct bus_args *a)
{
    return a->dedup_ms < a->keep_ms ? a->dedup_ms : a->keep_ms;
}

static void put_config(struct nats_bus *b, struct buf *out, int64_t replicas)
{
    const struct bus_args *a = &b->core.args;
    char text[128];
    struct json_w w;
    json_w_init(&w, out);
    json_w_obj(&w, NULL);
    json_w_cstr(&w, "name", b->stream);
    json_w_arr(&w, "subjects");
    (void)snprintf(text, sizeof text, NATS_STORE "%s.>", a->environment);
    json_w_cstr(&w, NULL, text);
    json_w_end(&w);
    json_w_cstr(&w, "retention", "limits");
    json_w_cstr(&w, "storage", "file");
    json_w_cstr(&w, "discard", "old");
    json_w_i64(&w, "max_consumers", -1);
    json_w_i64(&w, "max_msgs", (int64_t)a->keep_msgs);
    json_w_i64(&w, "max_bytes", (int64_t)a->keep_bytes);
    json_w_i64(&w, "max_age", a->keep_ms * 1000000);
    json_w_i64(&w, "duplicate_window", dedup_ms(a) * 1000000);
    json_w_i64(&w, "num_replicas", replicas);
    json_w_bool(&w, "allow_direct", true);
    json_w_obj(&w, "republish"); // live listeners hear stored messages too
    json_w_cstr(&w, "src", text);
    json_w_cstr(&w, "dest", text + sizeof NATS_STORE - 1);
    json_w_end(&w);
    json_w_end(&w);
}

static void stream_ready(struct nats_bus *b);
static void stream_ask(struct nats_bus *b);

static void stream_again(struct nats_bus *b, const struct err *e)
{
    if (e && e->code)
        (void)snprintf(b->core.note, sizeof b->core.note, "%.190s", e->text);
    b->js_asking = false;
    b->js_again_ms = timers_now_ms(b->core.args.timers) + AGAIN_MS;
}

static void on_stream_put(struct nats_call *c, int status, const struct json *root,
                          const struct nats1_op *op, const struct err *e)
{
    struct nats_bus *b = c->bus;
    struct err why = {0};
    int js = 0;
    (void)op;
    if (!status && !nats_js_error(root, &js, &why))
        stream_ready(b);
    else
        stream_again(b, status ? e : &why);
}

static void stream_put(struct nats_bus *b, const char *verb, int64_t replicas)
{
    char subject[128];
    struct buf body;
    buf_init(&body, API_MAX);
    put_config(b, &body, replicas);
    (void)snprintf(subject, sizeof subject, "$JS.API.STREAM.%s.%s", verb, b->stream);
    if (nats_call_start(b, (struct nats_call){.done = on_stream_put}, subject, &body))
        stream_again(b, NULL);
    buf_fini(&body);
}

static void on_stream_info(struct nats_call *c, int status, const struct json *root,
                           const struct nats1_op *op, const struct err *e)
{
    struct nats_bus *b = c->bus;
    const struct bus_args *a = &b->core.args;
    const struct json *x = json_get(root, "config");
    struct err why = {0};
    int js = 0;
    (void)op;
    if (status || (nats_js_error(root, &js, &why) && js != JS_STREAM_NOT_FOUND)) {
        stream_again(b, status ? e : &why);
        return;
    }
    if (js) {
        stream_put(b, "CREATE", b->servers >= 3 ? 3 : 1);
        return;
    }
    if (json_i64(json_get(x, "max_msgs"), 0) == (int64_t)a->keep_msgs &&
        json_i64(json_get(x, "max_bytes"), 0) == (int64_t)a->keep_bytes &&
        json_i64(json_get(x, "max_age"), 0) == a->keep_ms * 1000000 &&
        json_i64(json_get(x, "duplicate_window"), 0) == dedup_ms(a) * 1000000 &&
        json_bool(json_get(x, "allow_direct"), false) && json_get(x, "republish"))
        stream_ready(b);
    else
        stream_put(b, "UPDATE", json_i64(json_get(x, "num_replicas"), 1));
}

static void stream_ask(struct nats_bus *b)
{
    char subject[128];
    struct buf none;
    buf_init(&none, 1);
    b->js_asking = true;
    b->js_again_ms = 0;
    (void)snprintf(subject, sizeof subject, "$JS.API.STREAM.INFO.%s", b->stream);
    if (nats_call_start(b, (struct nats_call){.done = on_stream_info}, subject, &none))
        stream_again(b, NULL);
}

// ---- storing ------------------------------------------------------------------------------------

static void send_store(struct nats_bus *b, struct bus_req *r)
{
    struct nats_store *x = r->priv;
    struct bus_msg m = x->copy->m;
    char subject[NATS_SUBJECT_MAX], reply[96];
    struct err e = {0};
    int n = snprintf(reply, sizeof reply, "%.*s%" PRIu64, (int)b->core.inbox_n, b->core.inbox,
                     r->ticket);
    m.reply = (struct bytes){reply, (size_t)n};
    n = snprintf(subject, sizeof subject, NATS_STORE "%.*s", BYTES_FMT(m.subject));
    x->sent_ms = timers_now_ms(b->core.args.timers);
    int rc = nats_put_msg(b, (struct bytes){subject, (size_t)n}, &m, &e);
    if (rc == E_TOOBIG && bus_link_out(&b->link)->n < b->core.args.queue_bytes_max) {
        nats_js_forget(r); // larger than the server takes
        bus_core_req_end_soon(&b->core, r, rc, &e);
    } else if (rc) {
        x->sent_ms = 0;
    }
}

// In their order: the beat, and when the stream is there.
static void send_stores(struct nats_bus *b, int64_t older_ms)
{
    list_each_safe (it, &b->stores) {
        struct nats_store *x = container_of(it, struct nats_store, link);
        if (bus_link_queued(&b->link) > b->core.args.queue_bytes_max)
            break;
        if (x->sent_ms <= older_ms)
            send_store(b, x->req);
    }
}

int nats_js_store(struct nats_bus *b, const struct bus_msg *m, struct bus_req *r, struct err *e)
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
    struct bus_copy *copy = bus_copy_new(&with, sizeof(struct nats_store), &block);
    if (!copy) {
        bus_core_req_drop(&b->core, r);
        return err_set(e, E_NOMEM, "bus");
    }
    struct nats_store *x = block;
    *x = (struct nats_store){.copy = copy, .req = r};
    list_add_tail(&b->stores, &x->link);
    r->priv = x;
    if (b->link.up && b->js_ready && bus_link_queued(&b->link) <= b->core.args.queue_bytes_max)
        send_store(b, r);
    return 0;
}

void nats_js_forget(struct bus_req *r)
{
    struct nats_store *x = r->priv;
    list_del(&x->link);
    mem_free(x);
    r->priv = NULL;
}

void nats_js_stored(struct nats_bus *b, struct bus_req *r, const struct nats1_op *op)
{
    struct nats_store *x = r->priv;
    struct json_doc *doc = NULL;
    struct err e = {0};
    int js = 0, rc;
    if (nats1_status(op->headers, NULL)) { // 503: nobody keeps it now; the beat sends it again
        x->sent_ms = timers_now_ms(b->core.args.timers) - RESEND_MS + AGAIN_MS;
        return;
    }
    rc = json_parse(&doc, op->data, 0, &e);
    if (!rc)
        rc = nats_js_error(json_root(doc), &js, &e);
    if (rc == E_UNAVAILABLE) {
        x->sent_ms = timers_now_ms(b->core.args.timers) - RESEND_MS + AGAIN_MS;
        json_free(doc);
        return;
    }
    r->seq = (uint64_t)json_i64(json_get(json_root(doc), "seq"), 0);
    r->duplicate = json_bool(json_get(json_root(doc), "duplicate"), false);
    if (!rc && r->duplicate)
        b->core.stats.duplicates++;
    else if (!rc)
        b->core.stats.stored++;
    if (!rc && r->seq > b->core.stats.store_last)
        b->core.stats.store_last = r->seq;
    json_free(doc);
    nats_js_forget(r);
    bus_core_req_end(&b->core, r, rc, NULL, &e);
}

// ---- consumers ----------------------------------------------------------------------------------

static void sub_again(struct nats_sub *s)
{
    s->state = NATS_IDLE;
    s->asked = 0;
    s->again_ms = timers_now_ms(s->bus->core.args.timers) + AGAIN_MS;
}

static void pull(struct nats_sub *s)
{
    struct nats_bus *b = s->bus;
    char subject[256], reply[96], body[96];
    uint32_t credit = s->args.durable ? s->args.max_in_flight - s->in_flight : PULL_MAX;
    if (s->state != NATS_PULLING || s->asked || !credit || s->dead || !b->link.up)
        return;
    s->asked = credit < PULL_MAX ? credit : PULL_MAX;
    s->asked_ms = timers_now_ms(b->core.args.timers);
    (void)snprintf(subject, sizeof subject, "$JS.API.CONSUMER.MSG.NEXT.%s.%s", b->stream,
                   s->consumer);
    (void)snprintf(reply, sizeof reply, "%.*sp.%" PRIu64, (int)b->core.inbox_n, b->core.inbox,
                   s->sid);
    (void)snprintf(body, sizeof body, "{\"batch\":%u,\"expires\":%" PRId64 "}", s->asked,
                   (int64_t)PULL_MS * 1000000);
    (void)nats1_put_pub(bus_link_out(&b->link), bytes_of(subject), bytes_of(reply), BYTES_NONE,
                        bytes_of(body));
    bus_link_flush(&b->link);
}

static void consumer_good(struct nats_sub *s)
{
    s->state = NATS_PULLING;
    s->asked = 0;
    nats_sub_ready(s);
    pull(s);
}

static void on_consumer_put(struct nats_call *c, int status, const struct json *root,
                            const struct nats1_op *op, const struct err *e)
{
    struct nats_sub *s = nats_sub_of(c->bus, c->sid);
    struct err why = {0};
    int js = 0, rc = status ? status : nats_js_error(root, &js, &why);
    (void)op;
    (void)e;
    if (!s)
        return;
    if (rc == E_INVALID || rc == E_FORBIDDEN) {
        nats_sub_fail(s, rc, &why);
        s->state = NATS_IDLE;
    } else if (rc) {
        sub_again(s);
    } else {
        (void)snprintf(s->consumer, sizeof s->consumer, "%s",
                       json_cstr(json_get(root, "name"), s->consumer));
        consumer_good(s);
    }
}

static void put_start(struct json_w *w, const struct nats_sub *s)
{
    char time[TIME_TEXT_LEN + 1];
    if (!s->args.durable && s->last_seq) { // goes on after a loss
        json_w_cstr(w, "deliver_policy", "by_start_sequence");
        json_w_u64(w, "opt_start_seq", s->last_seq + 1);
    } else if (s->args.from == BUS_TIME) {
        time_text(s->args.from_ms, time);
        json_w_cstr(w, "deliver_policy", "by_start_time");
        json_w_cstr(w, "opt_start_time", time);
    } else {
        json_w_cstr(w, "deliver_policy", s->args.from == BUS_NEW ? "new" : "all");
    }
}

static void consumer_put(struct nats_sub *s)
{
    struct nats_bus *b = s->bus;
    char subject[256];
    struct buf body;
    struct json_w w;
    buf_init(&body, API_MAX);
    json_w_init(&w, &body);
    json_w_obj(&w, NULL);
    json_w_cstr(&w, "stream_name", b->stream);
    json_w_obj(&w, "config");
    if (s->args.durable)
        json_w_cstr(&w, "durable_name", s->args.durable);
    put_start(&w, s);
    (void)snprintf(subject, sizeof subject, NATS_STORE "%s", s->args.pattern);
    json_w_cstr(&w, "filter_subject", subject);
    json_w_cstr(&w, "replay_policy", "instant");
    json_w_cstr(&w, "ack_policy", s->args.durable ? "explicit" : "none");
    if (s->args.durable) {
        json_w_i64(&w, "ack_wait", s->args.ack_wait_ms * 1000000);
        json_w_i64(&w, "max_deliver", -1); // counted here: see bury
        json_w_i64(&w, "max_ack_pending", 65536);
    } else {
        json_w_i64(&w, "inactive_threshold", (int64_t)300 * 1000000000);
    }
    json_w_end(&w);
    json_w_end(&w);
    if (s->args.durable)
        (void)snprintf(subject, sizeof subject, "$JS.API.CONSUMER.DURABLE.CREATE.%s.%s", b->stream,
                       s->args.durable);
    else
        (void)snprintf(subject, sizeof subject, "$JS.API.CONSUMER.CREATE.%s", b->stream);
    if (nats_call_start(b, (struct nats_call){.done = on_consumer_put, .sid = s->sid}, subject,
                        &body))
        sub_again(s);
    buf_fini(&body);
}

static void on_consumer_info(struct nats_call *c, int status, const struct json *root,
                             const struct nats1_op *op, const struct err *e)
{
    struct nats_sub *s = nats_sub_of(c->bus, c->sid);
    char filter[NATS_SUBJECT_MAX];
    struct err why = {0};
    int js = 0;
    (void)op;
    (void)e;
    if (!s)
        return;
    int rc = status ? status : nats_js_error(root, &js, NULL);
    if (rc && js == JS_CONSUMER_NOT_FOUND) {
        consumer_put(s);
        return;
    }
    if (rc) {
        sub_again(s);
        return;
    }
    const struct json *is = json_get(json_get(root, "config"), "filter_subject");
    (void)snprintf(filter, sizeof filter, NATS_STORE "%s", s->args.pattern);
    if (bytes_is(json_str(is), filter)) {
        consumer_good(s);
        return;
    }
    (void)err_set(&why, E_CONFLICT, "durable %s is of pattern %.*s", s->args.durable,
                  BYTES_FMT(bytes_from(json_str(is), sizeof NATS_STORE - 1)));
    s->state = NATS_IDLE;
    nats_sub_fail(s, E_CONFLICT, &why);
}

// A durable that is there keeps its place; else it is made.
static void consumer_ask(struct nats_sub *s)
{
    struct nats_bus *b = s->bus;
    char subject[256];
    struct buf none;
    s->state = NATS_ASKING;
    s->again_ms = 0;
    if (!s->args.durable) {
        consumer_put(s);
        return;
    }
    buf_init(&none, 1);
    (void)snprintf(s->consumer, sizeof s->consumer, "%s", s->args.durable);
    (void)snprintf(subject, sizeof subject, "$JS.API.CONSUMER.INFO.%s.%s", b->stream, s->consumer);
    if (nats_call_start(b, (struct nats_call){.done = on_consumer_info, .sid = s->sid}, subject,
                        &none))
        sub_again(s);
}

void nats_js_sub(struct nats_sub *s)
{
    struct nats_bus *b = s->bus;
    char inbox[96];
    int n = snprintf(inbox, sizeof inbox, "%.*sp.%" PRIu64, (int)b->core.inbox_n, b->core.inbox,
                     s->sid);
    (void)nats1_put_sub(bus_link_out(&b->link), (struct bytes){inbox, (size_t)n}, BYTES_NONE,
                        s->sid);
    bus_link_flush(&b->link);
    s->state = NATS_IDLE;
    s->asked = 0;
    if (b->js_ready && !s->failed)
        consumer_ask(s);
}

static void stream_ready(struct nats_bus *b)
{
    b->js_asking = false;
    b->js_ready = true;
    b->core.note[0] = 0;
    send_stores(b, INT64_MAX);
    list_each_safe (it, &b->subs) {
        struct nats_sub *s = container_of(it, struct nats_sub, link);
        if (s->args.from != BUS_LIVE && s->state == NATS_IDLE && !s->failed)
            consumer_ask(s);
    }
}

// ---- delivery -----------------------------------------------------------------------------------

// "$JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.<consumer seq>.<time>.<pending>"; newer
// servers put domain and account before the stream.
bool nats_read_ack(struct bytes reply, struct nats_place *ret)
{
    struct bytes token[16], rest = reply;
    size_t n = 0;
    while (rest.p && n < 16)
        token[n++] = bytes_cut(&rest, '.');
    size_t at = n == 9 ? 4 : n >= 11 ? 6 : 0;
    return at && bytes_u64(token[at], &ret->deliveries) && bytes_u64(token[at + 1], &ret->seq) &&
           bytes_u64(token[at + 2], &ret->consumer_seq);
}

static void put_ack(struct nats_bus *b, const char *reply, const char *word)
{
    (void)nats1_put_pub(bus_link_out(&b->link), bytes_of(reply), BYTES_NONE, BYTES_NONE,
                        bytes_of(word));
    bus_link_flush(&b->link);
}

static void flight_end(struct nats_sub *s, struct nats_flight *f)
{
    list_del(&f->link);
    s->in_flight--;
    mem_free(f);
    pull(s);
}

static struct nats_flight *flight_of(struct nats_sub *s, uint64_t id)
{
    list_each (it, &s->flights) {
        struct nats_flight *f = container_of(it, struct nats_flight, link);
        if (f->id == id)
            return f;
    }
    return NULL;
}

static struct nats_flight *flight_new(struct nats_sub *s, struct bytes reply, uint64_t seq)
{
    struct nats_flight *f = mem_zalloc(sizeof *f + reply.n + 1);
    if (!f)
        return NULL;
    f->id = ++s->flight_next;
    f->seq = seq;
    memcpy(f->reply, reply.p, reply.n);
    list_add_tail(&s->flights, &f->link);
    s->in_flight++;
    return f;
}

// ---- dead letters: read anew by number, stored under the grave's subject, then let go

struct burial {
    struct bus_req req;
    struct nats_bus *bus;
    uint64_t sid, flight;
};

static void on_buried(struct bus_req *r, int status, const struct bus_msg *reply,
                      const struct err *e)
{
    struct burial *x = r->user;
    struct nats_sub *s = status == E_CANCELLED ? NULL : nats_sub_of(x->bus, x->sid);
    struct nats_flight *f = s ? flight_of(s, x->flight) : NULL;
    (void)reply;
    (void)e;
    if (f && !status) {
        x->bus->core.stats.dead += !r->duplicate;
        put_ack(x->bus, f->reply, "+TERM");
    }
    if (f)
        flight_end(s, f); // else it comes again, and is tried again
    mem_free(x);
}

static void on_corpse(struct nats_call *c, int status, const struct json *root,
                      const struct nats1_op *op, const struct err *e)
{
    struct nats_bus *b = c->bus;
    struct nats_sub *s = nats_sub_of(b, c->sid);
    struct nats_flight *f = s ? flight_of(s, c->flight) : NULL;
    char subject[SUBJECT_BYTES_MAX + 1], id[128];
    struct bus_msg m;
    (void)root;
    (void)e;
    if (!f)
        return;
    struct burial *x = status ? NULL : mem_new(struct burial);
    if (!x) {
        if (status == E_NOTFOUND)
            put_ack(b, f->reply, "+TERM"); // a limit took it meanwhile
        flight_end(s, f);
        return;
    }
    struct bytes was = nats1_header(op->headers, "Nats-Subject");
    nats_msg_of(b, op, &m);
    m.about = bytes_starts(was, BYTES(NATS_STORE)) ? bytes_from(was, sizeof NATS_STORE - 1) : was;
    int n = snprintf(subject, sizeof subject, BUS_DEAD, b->core.args.environment, s->args.durable);
    m.subject = (struct bytes){subject, (size_t)n};
    n = snprintf(id, sizeof id, "dead-%s-%" PRIu64, s->args.durable, f->seq);
    m.id = (struct bytes){id, (size_t)n};
    *x = (struct burial){.bus = b, .sid = s->sid, .flight = f->id};
    x->req = (struct bus_req){.done = on_buried, .user = x, .timeout_ms = NATS_CALL_MS};
    if (nats_js_store(b, &m, &x->req, NULL)) {
        mem_free(x);
        flight_end(s, f);
    }
}

static void bury(struct nats_sub *s, struct nats_flight *f)
{
    struct nats_bus *b = s->bus;
    char subject[128];
    struct buf body;
    buf_init(&body, 64);
    f->burying = true;
    (void)buf_fmt(&body, "{\"seq\":%" PRIu64 "}", f->seq);
    (void)snprintf(subject, sizeof subject, "$JS.API.DIRECT.GET.%s", b->stream);
    if (nats_call_start(b, (struct nats_call){.done = on_corpse, .sid = s->sid, .flight = f->id},
                        subject, &body))
        flight_end(s, f);
    buf_fini(&body);
}

static void on_pull_status(struct nats_sub *s, int status, struct bytes text)
{
    if (status == 100)
        return; // still there
    s->asked = 0;
    if (status == 404 || status == 408) {
        pull(s);
    } else { // 409: deleted, too many waiting; 503: no leader now
        (void)text;
        sub_again(s);
    }
}

static void deliver(struct nats_sub *s, const struct nats1_op *op, uint64_t deliveries,
                    uint64_t seq)
{
    struct nats_bus *b = s->bus;
    struct bus_msg m;
    struct nats_flight *f = NULL;
    if (s->args.durable && !(f = flight_new(s, op->reply, seq)))
        return; // no memory: it comes again
    if (f && s->args.max_deliver && deliveries > s->args.max_deliver) {
        bury(s, f);
        return;
    }
    nats_msg_of(b, op, &m);
    m.subject = bytes_from(op->subject, sizeof NATS_STORE - 1);
    m.reply = BYTES_NONE;
    m.seq = seq;
    m.ack = f ? f->id : 0;
    m.deliveries = (uint32_t)deliveries;
    if (bus_core_may(&b->core, true, m.subject, m.label, s->who, NULL)) {
        if (f) { // not for this one, and not later
            put_ack(b, f->reply, "+TERM");
            flight_end(s, f);
        }
        return;
    }
    b->core.stats.delivered++;
    b->core.stats.redelivered += deliveries > 1;
    s->args.on_msg(&s->sub, &m);
}

void nats_js_msg(struct nats_sub *s, const struct nats1_op *op)
{
    struct bytes text = BYTES_NONE;
    struct nats_place place;
    int status = nats1_status(op->headers, &text);
    if (status) {
        on_pull_status(s, status, text);
        return;
    }
    if (!nats_read_ack(op->reply, &place) || !bytes_starts(op->subject, BYTES(NATS_STORE)))
        return;
    s->asked -= s->asked > 0;
    s->last_seq = place.seq;
    uint64_t sid = s->sid;
    struct nats_bus *b = s->bus;
    deliver(s, op, place.deliveries, place.seq);
    if (nats_sub_of(b, sid) == s && b->link.up) // it may have left
        pull(s);
}

// It was on its way when its subscription left: somebody else gets it now, not after ack_wait.
void nats_js_late(struct nats_bus *b, const struct nats1_op *op)
{
    struct nats_place place;
    if (!nats_read_ack(op->reply, &place))
        return;
    (void)nats1_put_pub(bus_link_out(&b->link), op->reply, BYTES_NONE, BYTES_NONE, BYTES("-NAK"));
    bus_link_flush(&b->link);
}

int nats_js_ack(struct nats_sub *s, uint64_t ack, enum bus_ack_how how, int64_t delay_ms)
{
    struct nats_flight *f = s->dead ? NULL : flight_of(s, ack);
    char nak[64];
    if (!f || f->burying || !s->bus->link.up)
        return E_NOTFOUND;
    switch (how) {
    case BUS_WORKING: put_ack(s->bus, f->reply, "+WPI"); return 0;
    case BUS_TERM: bury(s, f); return 0;
    case BUS_NAK:
        (void)snprintf(nak, sizeof nak, "-NAK {\"delay\":%" PRId64 "}", delay_ms * 1000000);
        put_ack(s->bus, f->reply, delay_ms > 0 ? nak : "-NAK");
        break;
    case BUS_ACK: put_ack(s->bus, f->reply, "+ACK"); break;
    }
    flight_end(s, f);
    return 0;
}

static void flights_drop(struct nats_sub *s, bool give_back)
{
    while (!list_empty(&s->flights)) {
        struct nats_flight *f = container_of(s->flights.next, struct nats_flight, link);
        if (give_back && !f->burying)
            put_ack(s->bus, f->reply, "-NAK");
        list_del(&f->link);
        mem_free(f);
    }
    s->in_flight = 0;
}

void nats_js_unsub(struct nats_sub *s)
{
    struct nats_bus *b = s->bus;
    char subject[256];
    struct buf none;
    flights_drop(s, b->link.up);
    if (!b->link.up || s->args.durable || s->state != NATS_PULLING)
        return;
    (void)snprintf(subject, sizeof subject, "$JS.API.CONSUMER.DELETE.%s.%s", b->stream,
                   s->consumer);
    buf_init(&none, 1);
    (void)nats1_put_pub(bus_link_out(&b->link), bytes_of(subject), BYTES_NONE, BYTES_NONE,
                        buf_bytes(&none));
    bus_link_flush(&b->link);
}

// ---- life ---------------------------------------------------------------------------------------

void nats_js_up(struct nats_bus *b)
{
    b->js_ready = false;
    if (!b->below)
        stream_ask(b);
}

static void calls_end(struct nats_bus *b, int64_t due_ms, int status)
{
    struct err e = {0};
    (void)err_set(&e, status, "no answer from JetStream");
    list_each_safe (it, &b->calls) {
        struct nats_call *c = container_of(it, struct nats_call, link);
        if (c->due_ms <= due_ms)
            call_end(c, status, NULL, NULL, &e);
    }
}

void nats_js_down(struct nats_bus *b)
{
    b->js_ready = b->js_asking = false;
    calls_end(b, INT64_MAX, E_CLOSED);
    b->js_asking = false;
    b->js_again_ms = 0;
    list_each (it, &b->subs) {
        struct nats_sub *s = container_of(it, struct nats_sub, link);
        s->state = NATS_IDLE;
        s->asked = 0;
        s->again_ms = 0;
        flights_drop(s, false); // the server gives them to somebody else in time
    }
    list_each (it, &b->stores)
        container_of(it, struct nats_store, link)->sent_ms = 0;
}

void nats_js_beat(struct nats_bus *b, int64_t now)
{
    calls_end(b, now, E_TIMEOUT);
    if (b->below)
        return;
    if (!b->js_ready && !b->js_asking && now >= b->js_again_ms)
        stream_ask(b);
    if (!b->js_ready)
        return;
    send_stores(b, now - RESEND_MS);
    list_each_safe (it, &b->subs) {
        struct nats_sub *s = container_of(it, struct nats_sub, link);
        if (s->args.from == BUS_LIVE || s->failed)
            continue;
        if (s->state == NATS_IDLE && now >= s->again_ms) {
            consumer_ask(s);
        } else if (s->state == NATS_PULLING && s->asked && now - s->asked_ms > PULL_MS + 5000) {
            s->asked = 0; // its end got lost
            pull(s);
        }
    }
}

void nats_js_close(struct nats_bus *b)
{
    calls_end(b, INT64_MAX, E_CANCELLED);
}
