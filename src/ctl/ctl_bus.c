// ctl_bus.c: the bus over HTTP: publish, store, ask, listen. Events go out as CloudEvents JSON, one
// for each server-sent event.
// SPDX-License-Identifier: Apache-2.0
#include "base/rng.h"
#include "base/time.h"
#include "ctl/ctl_priv.h"
#include "port/bus.h"
#include "text/cloudevent.h"
#include "text/units.h"
#include "text/url.h"
#include <stdio.h>
#include <string.h>

#define BODY_ARENA ((size_t)8 << 20) // of one body, its data decoded
#define REQUEST_MS 5000 // unless the caller says otherwise
#define REQUEST_MS_MOST (10 * 60 * 1000)
#define IN_FLIGHT 64 // messages of a durable on their way to one reader
#define TEXT_MAX 1024
#define HEART_MS 15000

static struct bus *bus_of(struct ctl_call *call)
{
    if (call->c->bus && !call->c->closed)
        return call->c->bus;
    const char *note = call->c->bus_note;
    http_reply_error(call->x, E_UNAVAILABLE,
                     *note ? note : "the bus is not there yet, or not any more", NULL, 1);
    return NULL;
}

// ---- a message out of a body --------------------------------------------------------------------

struct posted {
    struct arena *arena;
    struct json_doc *doc;
    struct buf data; // JSON text of a value
    struct bus_msg m;
    int64_t timeout_ms;
    bool stored;
};

static void posted_fini(struct posted *p)
{
    json_free(p->doc);
    buf_fini(&p->data);
    arena_free(p->arena);
}

static int check_members(const struct json *root, struct err *e)
{
    static const char *const names[] = {"subject", "data",   "data_base64", "datacontenttype",
                                        "type",    "id",     "label",       "about",
                                        "stored",  "timeout"};
    const size_t count = sizeof names / sizeof *names;
    struct json_iter it = {0};
    struct bytes key;
    const struct json *v;
    if (!json_is(root, JSON_OBJ))
        return err_set(e, E_INVALID, "expected a JSON object");
    while (json_each(root, &it, &key, &v)) {
        size_t i = 0;
        while (i < count && !bytes_is(key, names[i]))
            i++;
        if (i == count) {
            int near = units_nearest(key, names, count);
            return err_set(e, E_INVALID,
                           near < 0 ? "unknown member \"%.*s\""
                                    : "unknown member \"%.*s\"; nearest: \"%s\"",
                           BYTES_FMT(bytes_first(key, 100)), near < 0 ? "" : names[near]);
        }
        bool any = bytes_is(key, "data");
        if (!any && !json_is(v, bytes_is(key, "stored") ? JSON_BOOL : JSON_STR))
            return err_set(e, E_INVALID, "%s: expected %s", names[i],
                           bytes_is(key, "stored") ? "true or false" : "a text");
    }
    if (!json_str(json_get(root, "subject")).n)
        return err_set(e, E_INVALID, "subject: expected one such as dev.organs.vision.detect");
    return 0;
}

// A text is sent as it is, another value as its JSON, data_base64 as its bytes.
static int read_data(struct posted *p, const struct json *root, struct err *e)
{
    const struct json *data = json_get(root, "data"), *base64 = json_get(root, "data_base64");
    struct bytes content = json_str(json_get(root, "datacontenttype"));
    if (data && base64)
        return err_set(e, E_INVALID, "data and data_base64 exclude each other");
    p->m.content = content.n                           ? content
                   : json_is(data, JSON_STR)           ? BYTES("text/plain")
                   : data && !json_is(data, JSON_NULL) ? BYTES("application/json")
                                                       : BYTES_NONE;
    if (json_is(data, JSON_STR)) {
        p->m.data = json_str(data);
        return 0;
    }
    if (data && !json_is(data, JSON_NULL)) {
        int rc = json_write(&p->data, data);
        p->m.data = buf_bytes(&p->data);
        return rc ? err_set(e, rc, "data") : 0;
    }
    return base64 ? cloudevent_base64(&p->m.data, p->arena, json_str(base64), e) : 0;
}

static int read_posted(struct ctl_call *call, struct posted *p, struct err *e)
{
    *p = (struct posted){.timeout_ms = REQUEST_MS};
    buf_init(&p->data, CTL_JSON_MAX);
    p->arena = arena_new(BODY_ARENA);
    if (!p->arena)
        return err_set(e, E_NOMEM, "out of memory");
    int rc = json_parse(&p->doc, http_body(call->x), JSON_UNIQUE, e);
    const struct json *root = json_root(p->doc);
    if (!rc)
        rc = check_members(root, e);
    if (!rc)
        rc = read_data(p, root, e);
    if (!rc && json_get(root, "timeout"))
        rc = units_duration(json_str(json_get(root, "timeout")), &p->timeout_ms, e);
    if (rc)
        return rc;
    if (p->timeout_ms < 1 || p->timeout_ms > REQUEST_MS_MOST)
        return err_set(e, E_INVALID, "timeout: between 1ms and 10m");
    p->m.subject = json_str(json_get(root, "subject"));
    p->m.type = json_str(json_get(root, "type"));
    p->m.id = json_str(json_get(root, "id"));
    p->m.label = json_str(json_get(root, "label"));
    p->m.about = json_str(json_get(root, "about"));
    p->stored = json_bool(json_get(root, "stored"), false);
    return 0;
}

// ---- a message as an event ----------------------------------------------------------------------

static bool is_json(struct bytes content)
{
    return bytes_is(content, "application/json") || bytes_ends(content, BYTES("+json"));
}

// The bus's subject goes as the extension "channel", its number as "sequence" (as CloudEvents' own
// extension of that name: a text).
static void put_event(struct buf *out, const struct bus_msg *m)
{
    struct cloudevent v = {.has_version = true,
                           .id = m->id,
                           .source = m->source,
                           .type = m->type,
                           .subject = m->about,
                           .content = m->content,
                           .data = m->data};
    char time[TIME_TEXT_LEN + 1], seq[32], tries[16];
    struct json_doc *doc = NULL;
    char made[RNG_ID_LEN + 1];
    if (!m->id.n) { // published inside this node, where nobody needed one
        rng_id(made);
        v.id = bytes_of(made);
    }
    time_text(m->time_ms, time);
    v.time = m->time_ms ? bytes_of(time) : BYTES_NONE;
    (void)cloudevent_add(&v, "channel", m->subject);
    if (m->label.n)
        (void)cloudevent_add(&v, "label", m->label);
    if (m->reply.n)
        (void)cloudevent_add(&v, "replyto", m->reply);
    if (m->seq) {
        (void)snprintf(seq, sizeof seq, "%llu", (unsigned long long)m->seq);
        (void)cloudevent_add(&v, "sequence", bytes_of(seq));
    }
    if (m->deliveries > 1) {
        (void)snprintf(tries, sizeof tries, "%u", m->deliveries);
        (void)cloudevent_add(&v, "tries", bytes_of(tries));
    }
    if (!m->data.n)
        v.kind = CLOUDEVENT_NONE;
    else if (is_json(m->content) && json_parse(&doc, m->data, 0, NULL) == 0)
        v.kind = CLOUDEVENT_VALUE;
    else
        v.kind = bytes_starts(m->content, BYTES("text/")) && bytes_is_utf8(m->data)
                     ? CLOUDEVENT_TEXT
                     : CLOUDEVENT_BYTES;
    struct buf compact; // one line of JSON, whatever the sender's was
    buf_init(&compact, CTL_JSON_MAX);
    if (doc && json_write(&compact, json_root(doc)) == 0)
        v.data = buf_bytes(&compact);
    (void)cloudevent_put(out, &v);
    buf_fini(&compact);
    json_free(doc);
}

// ---- publish, store, ask ------------------------------------------------------------------------

struct asking {
    struct bus_req req;
    struct ctl_answer *answer;
    struct posted posted;
};

static void asking_free(struct asking *a)
{
    posted_fini(&a->posted);
    mem_free(a);
}

static void on_stored(struct bus_req *r, int status, const struct bus_msg *reply,
                      const struct err *e)
{
    struct asking *a = r->user;
    char text[128];
    (void)reply;
    if (status) {
        ctl_answer_error(a->answer, e);
    } else {
        int n =
            snprintf(text, sizeof text, "{\"stored\":true,\"sequence\":\"%llu\",\"duplicate\":%s}",
                     (unsigned long long)r->seq, r->duplicate ? "true" : "false");
        ctl_answer(a->answer, 200, (struct bytes){text, (size_t)n});
    }
    asking_free(a);
}

static void on_reply(struct bus_req *r, int status, const struct bus_msg *reply,
                     const struct err *e)
{
    struct asking *a = r->user;
    struct buf out;
    buf_init(&out, CTL_JSON_MAX);
    if (status)
        ctl_answer_error(a->answer, e);
    else {
        put_event(&out, reply);
        ctl_answer(a->answer, 200, buf_bytes(&out));
    }
    buf_fini(&out);
    asking_free(a);
}

static void ask(struct ctl_call *call, bool request)
{
    struct bus *b = bus_of(call);
    struct err e = {0};
    if (!b)
        return;
    struct asking *a = mem_new(struct asking);
    if (!a) {
        http_reply_error(call->x, E_NOMEM, "out of memory", NULL, 1);
        return;
    }
    int rc = read_posted(call, &a->posted, &e);
    if (!rc && !request && !a->posted.stored) {
        rc = bus_publish(b, &a->posted.m, &e);
        if (rc >= 0)
            http_reply(call->x, 202, CTL_JSON, CTL_NO_STORE, BYTES("{\"stored\":false}"));
    } else if (!rc && (a->answer = ctl_answer_new(call)) != NULL) {
        a->req = (struct bus_req){
            .done = request ? on_reply : on_stored, .user = a, .timeout_ms = a->posted.timeout_ms};
        rc = request ? bus_request(b, &a->posted.m, &a->req, &e)
                     : bus_store(b, &a->posted.m, &a->req, &e);
        if (!rc)
            return;
        ctl_answer_error(a->answer, &e);
        rc = 0;
    }
    if (rc < 0)
        ctl_reply_err(call->x, &e);
    asking_free(a);
}

void ctl_op_bus_publish(struct ctl_call *call)
{
    ask(call, false);
}

void ctl_op_bus_request(struct ctl_call *call)
{
    ask(call, true);
}

// ---- listen -------------------------------------------------------------------------------------

struct listener {
    struct list link;
    struct ctl *c; // NULL: ctl is gone
    struct http_exchange *x; // NULL: the client is gone
    struct bus_sub *sub;
    struct buf out; // waits for the socket
    uint64_t unacked[IN_FLIGHT]; // handed to the socket's queue, not yet taken by it
    uint32_t unacked_count;
    uint64_t dropped;
    bool held, durable;
};

static void take(struct listener *l)
{
    for (uint32_t i = 0; i < l->unacked_count && l->sub; i++)
        (void)bus_ack(l->sub, l->unacked[i], BUS_ACK, 0);
    l->unacked_count = 0;
}

static void flush(struct listener *l)
{
    if (!l->x || l->held || !l->out.n)
        return;
    struct bytes v = buf_bytes(&l->out);
    int rc = http_send(l->x, &v, 1);
    l->held = rc != 0;
    if (rc < 0)
        return; // gone comes
    buf_clear(&l->out);
    if (!l->held)
        take(l);
}

static void on_msg(struct bus_sub *s, const struct bus_msg *m)
{
    struct listener *l = s->user;
    size_t before = l->out.n;
    if (!l->x || !l->c)
        return;
    if (l->dropped && !l->held) {
        (void)buf_fmt(&l->out, ": %llu messages were dropped here, this reader is too slow\n\n",
                      (unsigned long long)l->dropped);
        l->dropped = 0;
    }
    (void)buf_str(&l->out, "event: message\ndata: ");
    put_event(&l->out, m);
    (void)buf_str(&l->out, "\n\n");
    if (l->out.failed) { // a slow reader: live ones are lost, those of a durable come again
        l->out.n = before;
        l->out.failed = 0;
        l->dropped++;
        if (m->ack)
            (void)bus_ack(s, m->ack, BUS_NAK, 1000);
        return;
    }
    if (m->ack && l->unacked_count < IN_FLIGHT)
        l->unacked[l->unacked_count++] = m->ack;
    flush(l);
}

static void on_ready(struct bus_sub *s)
{
    struct listener *l = s->user;
    (void)buf_str(&l->out, "event: ready\ndata: {}\n\n");
    flush(l);
}

static void end(struct listener *l)
{
    struct http_exchange *x = l->x;
    l->x = NULL;
    if (x)
        http_finish(x);
    if (l->sub) {
        struct bus_sub *s = l->sub;
        l->sub = NULL;
        bus_unsubscribe(s); // on_closed frees it
    }
}

static void on_failed(struct bus_sub *s, int status, const struct err *e)
{
    struct listener *l = s->user;
    (void)buf_str(&l->out, "event: error\n");
    (void)sse_put_error(&l->out, e->text, err_info(status)->type, err_info(status)->symbol);
    flush(l);
    end(l);
}

static void on_closed(struct bus_sub *s)
{
    struct listener *l = s->user;
    l->sub = NULL;
    if (l->x) // the bus has ended
        end(l);
    if (l->c) {
        if (!--l->c->listener_count)
            timer_stop(l->c->args.timers, &l->c->listen_heart);
    }
    list_del(&l->link);
    buf_fini(&l->out);
    mem_free(l);
}

static void drain(struct http_exchange *x, void *user)
{
    struct listener *l = user;
    (void)x;
    l->held = false;
    take(l);
    flush(l);
}

static void gone(struct http_exchange *x, void *user, int status)
{
    struct listener *l = user;
    (void)x;
    (void)status;
    l->x = NULL;
    end(l);
}

// "new", "start", or a time.
static int read_from(struct bus_sub_args *a, const char *text, struct err *e)
{
    if (!*text && !a->durable)
        return 0; // live
    if (!*text || !strcmp(text, "new")) {
        a->from = BUS_NEW;
    } else if (!strcmp(text, "start")) {
        a->from = BUS_START;
    } else {
        int64_t ago;
        a->from = BUS_TIME;
        a->from_ms = cloudevent_time(bytes_of(text));
        if (a->from_ms)
            return 0;
        if (units_duration(bytes_of(text), &ago, NULL) || ago == TIME_NEVER)
            return err_set(e, E_INVALID,
                           "from: expected new, start, a time such as 2026-01-31T12:00:00Z, or a "
                           "duration ago such as 10m");
        a->from_ms = time_wall_ms() - ago;
    }
    return 0;
}

static const char *query(const struct ctl_call *call, const char *name, struct buf *b)
{
    buf_init(b, TEXT_MAX);
    return url_query(call->query, name, b) ? buf_cstr(b) : "";
}

static int subscribe(struct ctl_call *call, struct bus *b, struct listener *l, struct err *e)
{
    struct buf pattern, group, durable, from, who;
    struct bus_sub_args a = {.on_msg = on_msg,
                             .on_ready = on_ready,
                             .on_failed = on_failed,
                             .on_closed = on_closed,
                             .max_in_flight = IN_FLIGHT,
                             .user = l};
    const char *q = query(call, "queue", &group), *d = query(call, "durable", &durable);
    a.pattern = query(call, "pattern", &pattern);
    a.queue = *q ? q : NULL;
    a.durable = *d ? d : NULL;
    l->durable = a.durable != NULL;
    buf_init(&who, TEXT_MAX * 2);
    if (call->c->ops->clearance) {
        label_put(&who, keys_names_of(call->c->args.keys),
                  call->c->ops->clearance(call->c->args.user, call->x));
        a.who = buf_cstr(&who);
    }
    int rc = read_from(&a, query(call, "from", &from), e);
    if (!rc)
        rc = bus_subscribe(b, &a, &l->sub, e);
    buf_fini(&pattern);
    buf_fini(&group);
    buf_fini(&durable);
    buf_fini(&from);
    buf_fini(&who);
    return rc;
}

// Proxies and readers see life.
static void on_heart(struct timer *t)
{
    struct ctl *c = t->user;
    list_each_safe (it, &c->listeners) {
        struct listener *l = container_of(it, struct listener, link);
        if (l->held || !l->x)
            continue;
        (void)buf_str(&l->out, ":\n\n");
        flush(l);
    }
    if (c->listener_count)
        (void)timer_start(c->args.timers, t, HEART_MS);
}

void ctl_op_bus_subscribe(struct ctl_call *call)
{
    struct ctl *c = call->c;
    struct bus *b = bus_of(call);
    struct err e = {0};
    if (!b || !ctl_room(call))
        return;
    struct listener *l = mem_new(struct listener);
    if (!l) {
        http_reply_error(call->x, E_NOMEM, "out of memory", NULL, 1);
        return;
    }
    buf_init(&l->out, c->args.queue_bytes_max > 2 << 20 ? c->args.queue_bytes_max : 2 << 20);
    l->c = c;
    if (subscribe(call, b, l, &e)) {
        buf_fini(&l->out);
        mem_free(l);
        ctl_reply_err(call->x, &e);
        return;
    }
    l->x = call->x;
    list_add_tail(&c->listeners, &l->link);
    if (!c->listener_count++) {
        c->listen_heart = (struct timer){.fn = on_heart, .user = c};
        (void)timer_start(c->args.timers, &c->listen_heart, HEART_MS);
    }
    http_own(call->x, l, drain, gone);
    http_begin(call->x, 200, "text/event-stream",
               BYTES("Cache-Control: no-store\r\nX-Accel-Buffering: no\r\n"), HTTP_CHUNKED);
    if (http_flush(call->x) == 1)
        l->held = true;
}

void ctl_listeners_close(struct ctl *c)
{
    list_each_safe (it, &c->listeners)
        end(container_of(it, struct listener, link));
}

void ctl_listeners_detach(struct ctl *c)
{
    timer_stop(c->args.timers, &c->listen_heart);
    list_each_safe (it, &c->listeners) {
        struct listener *l = container_of(it, struct listener, link);
        l->c = NULL;
        list_del(&l->link);
    }
}

// ---- what it is ---------------------------------------------------------------------------------

static const char *status_name(enum bus_status status)
{
    switch (status) {
    case BUS_CONNECTING: return "connecting";
    case BUS_CONNECTED: return "connected";
    case BUS_LOST: return "lost";
    case BUS_BACK: return "connected";
    case BUS_CLOSED: break;
    }
    return "closed";
}

void ctl_op_bus(struct ctl_call *call)
{
    const struct ctl *c = call->c;
    struct bus_stats st = {.status = BUS_CONNECTING};
    struct buf out;
    struct json_w w;
    bool waits = !c->bus && !c->closed && *c->bus_note;
    struct bus *b = waits ? NULL : bus_of(call);
    if (!b && !waits)
        return;
    if (b)
        bus_stats(b, &st);
    buf_init(&out, CTL_JSON_MAX);
    json_w_init(&w, &out);
    json_w_obj(&w, NULL);
    json_w_cstr(&w, "engine", c->ops->config(c->args.user)->bus_engine);
    json_w_cstr(&w, "environment", c->ops->config(c->args.user)->environment);
    json_w_cstr(&w, "status", status_name(st.status));
    json_w_cstr(&w, "server", *st.server ? st.server : NULL);
    json_w_cstr(&w, "note", *c->bus_note ? c->bus_note : NULL);
    json_w_u64(&w, "subscriptions", st.subs);
    json_w_u64(&w, "requests", st.reqs);
    json_w_u64(&w, "queue_bytes", st.queue_bytes);
    json_w_obj(&w, "totals");
    json_w_u64(&w, "published", st.published);
    json_w_u64(&w, "stored", st.stored);
    json_w_u64(&w, "duplicates", st.duplicates);
    json_w_u64(&w, "delivered", st.delivered);
    json_w_u64(&w, "redelivered", st.redelivered);
    json_w_u64(&w, "dead", st.dead);
    json_w_u64(&w, "refused", st.refused);
    json_w_u64(&w, "dropped", st.dropped);
    json_w_u64(&w, "full", st.full);
    json_w_u64(&w, "lost", st.lost);
    json_w_end(&w);
    json_w_obj(&w, "store");
    json_w_u64(&w, "messages", st.store_msgs);
    json_w_u64(&w, "bytes", st.store_bytes);
    json_w_end(&w);
    json_w_end(&w);
    ctl_reply(call->x, 200, &out);
}

void ctl_set_bus(struct ctl *c, struct bus *b)
{
    c->bus = b;
}

void ctl_set_bus_note(struct ctl *c, const char *note)
{
    (void)snprintf(c->bus_note, sizeof(c->bus_note), "%s", note);
}
