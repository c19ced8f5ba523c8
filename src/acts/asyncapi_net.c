// asyncapi_net.c: connections of AsyncAPI's other protocols, and two of them: NATS and Redis.
// SPDX-License-Identifier: Apache-2.0
#include "acts/asyncapi_priv.h"
#include "text/nats1.h"
#include "text/resp.h"

#include <string.h>

#define CONNECT_MS 15000
#define BEAT_MS 20000
#define IN_MAX ((size_t)20 << 20)
#define QUEUE_MAX ((size_t)24 << 20)

// ---- connections -------------------------------------------------------------------------------

static void conn_fail(struct async_conn *c, int status, const struct err *e)
{
    struct act *a = c->act;
    struct asyncapi *s = a ? a->own : NULL;
    struct err own = e ? *e : (struct err){0};
    if (!a || a->ended)
        return;
    if (!e)
        (void)err_set(&own, status, "the connection ended");
    (void)err_wrap(&own, "call: asyncapi: %s at %.*s", c->protocol->name,
                   BYTES_FMT(buf_bytes(&s->host)));
    act_fail_err(a, status, &own);
}

static void on_beat(struct timer *t)
{
    struct async_conn *c = t->user;
    if (!c->act)
        return;
    c->protocol->beat(c);
    (void)timer_start(c->act->room->args.timers, &c->beat, BEAT_MS);
}

static void on_open(struct net_stream *stream, int status, const struct err *e)
{
    struct async_conn *c = stream->user;
    if (!c->act)
        return;
    if (status < 0) {
        conn_fail(c, status, e);
        return;
    }
    net_read(stream, true);
    if (c->protocol->opened)
        c->protocol->opened(c);
    if (c->protocol->beat && c->act) {
        c->beat.fn = on_beat;
        c->beat.user = c;
        (void)timer_start(c->act->room->args.timers, &c->beat, BEAT_MS);
    }
}

static void on_data(struct net_stream *stream, char *p, size_t n)
{
    struct async_conn *c = stream->user;
    struct err e = {0};
    size_t used = 0;
    if (!c->act)
        return;
    int64_t some = buf_add(&c->in, p, n) < 0 ? err_set(&e, E_TOOBIG, "a message is too large") : 1;
    while (c->act && !c->act->ended && some > 0 && used < c->in.n) {
        some = c->protocol->feed(c, bytes_from(buf_bytes(&c->in), used), &e);
        used += some > 0 ? (size_t)some : 0;
    }
    if (c->act && some < 0)
        conn_fail(c, (int)some, &e);
    if (c->act)
        buf_drop(&c->in, used);
}

static void on_end(struct net_stream *stream, int status)
{
    struct async_conn *c = stream->user;
    if (c->act)
        conn_fail(c, status < 0 ? status : E_CLOSED, NULL);
}

static void on_drain(struct net_stream *stream)
{
    (void)stream;
}

static void on_closed(struct net_stream *stream)
{
    struct async_conn *c = stream->user;
    if (c->in.p)
        mem_wipe(c->in.p, c->in.n);
    buf_fini(&c->in);
    mem_free(c);
}

void act_async_leave(struct async_conn *c)
{
    if (!c)
        return;
    timer_stop(c->act->room->args.timers, &c->beat);
    c->act = NULL;
    net_close(c->stream, false); // what is queued still goes
}

int act_async_write(struct async_conn *c, struct bytes data)
{
    int rc = net_write(c->stream, &data, 1);
    if (rc < 0)
        conn_fail(c, rc, NULL);
    return rc < 0 ? rc : 0;
}

void act_async_connect(struct act *a)
{
    static const struct net_handler handler = {.on_open = on_open,
                                               .on_data = on_data,
                                               .on_end = on_end,
                                               .on_drain = on_drain,
                                               .on_closed = on_closed};
    struct asyncapi *s = a->own;
    struct acts_args *room = &a->room->args;
    struct err e = {0};
    struct net_connect_args args = {
        .timeout_ms = CONNECT_MS, .queue_bytes_max = QUEUE_MAX, .handler = &handler};
    uint16_t port = s->port ? s->port : s->tls ? s->protocol->port_tls : s->protocol->port;
    bool tls = s->tls;
    int rc = act_address(a->room, buf_bytes(&s->host), port, &args.addr, &tls, &e);
    if (rc == 0 && tls && (!room->tls || !(args.tls = room->tls(room->user, &e))))
        rc = room->tls ? E_CONFIG : err_set(&e, E_CONFIG, "this node has no TLS");
    struct async_conn *c = rc == 0 ? mem_new(struct async_conn) : NULL;
    if (rc == 0 && !c)
        rc = err_set(&e, E_NOMEM, "out of memory");
    if (c) {
        c->act = a;
        c->protocol = s->protocol;
        buf_init(&c->in, IN_MAX);
        args.user = c;
        rc = net_connect(room->net, &args, &c->stream, &e);
    }
    if (rc < 0) {
        mem_free(c);
        act_fail_err(a, rc, &e);
        return;
    }
    s->conn = c;
}

// ---- NATS --------------------------------------------------------------------------------------

enum { NATS_HELLO, NATS_WAITS, NATS_LISTENS };

static struct bytes token_of(const struct asyncapi *s)
{
    return val_bytes(val_get_cstr(s->auth.authorization, "parameter"));
}

// Words of a subject: what is sent must be one, not a pattern.
static bool nats_subject(struct bytes name)
{
    for (size_t i = 0; i < name.n; i++)
        if ((unsigned char)name.p[i] <= ' ')
            return false;
    return name.n > 0;
}

static void nats_connect(struct async_conn *c, struct buf *out)
{
    struct asyncapi *s = c->act->own;
    bool basic = s->auth.user.n > 0;
    (void)buf_str(out,
                  "CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"c\",\"name\":"
                  "\"plexus\",\"version\":\"" PLEXUS_VERSION "\",\"protocol\":1,\"headers\":true,"
                  "\"no_responders\":false");
    if (basic) {
        (void)buf_str(out, ",\"user\":");
        (void)buf_json_str(out, buf_bytes(&s->auth.user));
        (void)buf_str(out, ",\"pass\":");
        (void)buf_json_str(out, buf_bytes(&s->auth.password));
    } else if (token_of(s).n) {
        (void)buf_str(out, ",\"auth_token\":");
        (void)buf_json_str(out, token_of(s));
    }
    (void)buf_str(out, "}\r\n");
}

static int nats_headers(struct asyncapi *s, struct buf *lines, struct err *e)
{
    return act_headers_put(lines, s->headers, e);
}

static int nats_hello(struct async_conn *c, const struct nats1_op *op, struct err *e)
{
    struct asyncapi *s = c->act->own;
    struct buf out, lines;
    AUTO(val) info = NULL;
    (void)val_parse(&info, op->text, NULL);
    if (val_bool_of(val_get_cstr(info, "tls_required"), false) && !s->tls)
        return err_set(e, E_CONFIG,
                       "the server wants TLS: write protocol tls or tls:// in the "
                       "document");
    if (!nats_subject(buf_bytes(&s->channel)))
        return err_set(e, E_INVALID, "the channel's address is no subject");
    buf_init(&out, QUEUE_MAX);
    buf_init(&lines, (size_t)64 << 10);
    int rc = nats_headers(s, &lines, e);
    nats_connect(c, &out);
    if (s->publish)
        (void)nats1_put_pub(&out, buf_bytes(&s->channel), BYTES_NONE, buf_bytes(&lines),
                            buf_bytes(&s->payload));
    else
        (void)nats1_put_sub(&out, buf_bytes(&s->channel), BYTES_NONE, 1);
    (void)buf_str(&out, "PING\r\n"); // its answer says that all before it was taken
    c->step = NATS_WAITS;
    if (rc == 0)
        rc = out.failed ? err_set(e, E_TOOBIG, "the message is too large")
                        : act_async_write(c, buf_bytes(&out));
    if (out.p)
        mem_wipe(out.p, out.n);
    buf_fini(&out);
    buf_fini(&lines);
    return rc;
}

static struct val *nats_header_val(struct bytes headers)
{
    struct val *v = val_obj();
    struct bytes name, value;
    size_t at = 0;
    while (headers.n && nats1_header_each(headers, &at, &name, &value))
        v = val_put(v, name, val_str(value));
    return v;
}

static int64_t nats_feed(struct async_conn *c, struct bytes in, struct err *e)
{
    struct nats1_op op;
    struct act *a = c->act;
    struct asyncapi *s = a->own;
    int64_t used = nats1_parse(in, IN_MAX, &op, e);
    int rc = 0;
    if (used <= 0)
        return used;
    switch (op.kind) {
    case NATS1_INFO:
        if (c->step == NATS_HELLO)
            rc = nats_hello(c, &op, e);
        break;
    case NATS1_PING: rc = act_async_write(c, BYTES("PONG\r\n")); break;
    case NATS1_PONG:
        if (c->step == NATS_WAITS && s->publish)
            act_async_sent(a);
        c->step = NATS_LISTENS;
        break;
    case NATS1_MSG:
        act_async_take(a, op.data, nats1_header(op.headers, "Content-Type"),
                       nats_header_val(op.headers));
        break;
    case NATS1_ERR:
        rc = err_set(e, bytes_find(op.text, BYTES("uthorization")) >= 0 ? E_UNAUTH : E_UPSTREAM,
                     "%.*s", BYTES_FMT(op.text));
        break;
    case NATS1_OK: break;
    }
    return rc < 0 ? rc : used;
}

static void nats_beat(struct async_conn *c)
{
    (void)act_async_write(c, BYTES("PING\r\n"));
}

const struct async_protocol act_async_nats = {
    .name = "nats", .port = 4222, .port_tls = 4222, .feed = nats_feed, .beat = nats_beat};

// ---- Redis -------------------------------------------------------------------------------------

enum { REDIS_AUTH, REDIS_WAITS };

static void redis_ask(struct async_conn *c)
{
    struct asyncapi *s = c->act->own;
    struct buf out;
    buf_init(&out, QUEUE_MAX);
    (void)resp_put_head(&out, s->publish ? 3 : 2);
    (void)resp_put_str(&out, s->publish ? "PUBLISH" : "SUBSCRIBE");
    (void)resp_put(&out, buf_bytes(&s->channel));
    if (s->publish)
        (void)resp_put(&out, buf_bytes(&s->payload));
    c->step = REDIS_WAITS;
    if (out.failed)
        act_nomem(c->act);
    else
        (void)act_async_write(c, buf_bytes(&out));
    buf_fini(&out);
}

static void redis_opened(struct async_conn *c)
{
    struct asyncapi *s = c->act->own;
    struct bytes word = s->auth.user.n ? buf_bytes(&s->auth.password) : token_of(s);
    struct buf out;
    if (s->headers && val_len(s->headers) > 0) {
        act_fail(c->act, ACT_CONFIGURATION, 0, true,
                 "call: asyncapi: a message of redis has no headers");
        return;
    }
    if (!word.n) {
        redis_ask(c);
        return;
    }
    buf_init(&out, (size_t)64 << 10);
    (void)resp_put_head(&out, s->auth.user.n ? 3 : 2);
    (void)resp_put_str(&out, "AUTH");
    if (s->auth.user.n)
        (void)resp_put(&out, buf_bytes(&s->auth.user));
    (void)resp_put(&out, word);
    c->step = REDIS_AUTH;
    (void)act_async_write(c, buf_bytes(&out));
    if (out.p)
        mem_wipe(out.p, out.n);
    buf_fini(&out);
}

static int64_t redis_feed(struct async_conn *c, struct bytes in, struct err *e)
{
    struct resp row[64];
    struct act *a = c->act;
    struct asyncapi *s = a->own;
    size_t n = 0;
    int64_t used = resp_parse(in, IN_MAX, row, 64, &n, e);
    if (used <= 0)
        return used;
    if (row[0].kind == RESP_ERROR)
        return err_set(e,
                       bytes_starts(row[0].text, BYTES("WRONGPASS")) ||
                               bytes_starts(row[0].text, BYTES("NOAUTH"))
                           ? E_UNAUTH
                           : E_UPSTREAM,
                       "%.*s", BYTES_FMT(row[0].text));
    if (c->step == REDIS_AUTH)
        redis_ask(c);
    else if (s->publish)
        act_async_sent(a);
    else if (row[0].kind == RESP_ARRAY && row[0].count == 3 &&
             bytes_is(resp_text(resp_at(row, 0)), "message"))
        act_async_take(a, resp_text(resp_at(row, 2)), BYTES_NONE, NULL);
    return used;
}

static void redis_beat(struct async_conn *c)
{
    (void)act_async_write(c, BYTES("*1\r\n$4\r\nPING\r\n")); // allowed while subscribed
}

const struct async_protocol act_async_redis = {.name = "redis",
                                               .port = 6379,
                                               .port_tls = 6379,
                                               .opened = redis_opened,
                                               .feed = redis_feed,
                                               .beat = redis_beat};
