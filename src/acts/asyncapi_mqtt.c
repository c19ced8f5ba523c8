// asyncapi_mqtt.c: AsyncAPI over MQTT 3.1.1 (OASIS): published and subscribed with QoS 1.
// SPDX-License-Identifier: Apache-2.0
#include "acts/asyncapi_priv.h"

#include <string.h>

#define PACKET_MAX ((size_t)20 << 20)
#define KEEP_ALIVE_S 60

enum { // section 2.2.1
    MQTT_CONNECT = 1,
    MQTT_CONNACK = 2,
    MQTT_PUBLISH = 3,
    MQTT_PUBACK = 4,
    MQTT_SUBSCRIBE = 8,
    MQTT_SUBACK = 9,
    MQTT_PINGREQ = 12,
    MQTT_PINGRESP = 13,
    MQTT_DISCONNECT = 14,
};

static void put_u16(struct buf *out, size_t n)
{
    (void)buf_chr(out, (char)(n >> 8));
    (void)buf_chr(out, (char)n);
}

static void put_text(struct buf *out, struct bytes text)
{
    if (text.n > 65535)
        out->failed = E_TOOBIG;
    put_u16(out, text.n);
    (void)buf_put(out, text);
}

// Fixed header (section 2.2) and body.
static int send_packet(struct async_conn *c, unsigned first, const struct buf *body)
{
    struct buf out;
    size_t n = body->n;
    buf_init(&out, PACKET_MAX + 16);
    (void)buf_chr(&out, (char)first);
    do {
        (void)buf_chr(&out, (char)((n & 0x7f) | (n > 0x7f ? 0x80 : 0)));
        n >>= 7;
    } while (n > 0);
    (void)buf_put(&out, buf_bytes(body));
    int rc = body->failed ? body->failed : out.failed;
    if (rc == 0)
        rc = act_async_write(c, buf_bytes(&out));
    else
        act_fail(c->act, ACT_CONFIGURATION, 0, true, "call: asyncapi: the message is too large");
    if (out.p)
        mem_wipe(out.p, out.n);
    buf_fini(&out);
    return rc;
}

static void opened(struct async_conn *c)
{
    struct asyncapi *s = c->act->own;
    struct bytes word = s->auth.user.n
                            ? buf_bytes(&s->auth.password)
                            : val_bytes(val_get_cstr(s->auth.authorization, "parameter"));
    struct buf b;
    char id[37];
    if (s->headers && val_len(s->headers) > 0) {
        act_fail(c->act, ACT_CONFIGURATION, 0, true,
                 "call: asyncapi: a message of MQTT 3.1.1 has no headers");
        return;
    }
    act_rpc_uuid(c->act, id);
    buf_init(&b, (size_t)256 << 10);
    put_text(&b, BYTES("MQTT"));
    (void)buf_chr(&b, 4); // 3.1.1
    (void)buf_chr(&b, (char)(0x02 | (word.n ? 0x80 | 0x40 : 0))); // clean session
    put_u16(&b, KEEP_ALIVE_S);
    put_text(&b, (struct bytes){id, 23}); // as long as each server must take
    if (word.n) { // a token goes as the password of nobody
        put_text(&b, s->auth.user.n ? buf_bytes(&s->auth.user) : BYTES("token"));
        put_text(&b, word);
    }
    (void)send_packet(c, MQTT_CONNECT << 4, &b);
    if (b.p)
        mem_wipe(b.p, b.n);
    buf_fini(&b);
}

static int connected(struct async_conn *c, struct bytes body, struct err *e)
{
    static const char *const why[] = {"",
                                      "it does not speak MQTT 3.1.1",
                                      "it refuses the client's id",
                                      "it is not available",
                                      "wrong user or password",
                                      "not authorized"};
    struct asyncapi *s = c->act->own;
    unsigned code = body.n >= 2 ? (unsigned char)body.p[1] : 3;
    struct buf b;
    if (code != 0)
        return err_set(e, code == 4 || code == 5 ? E_UNAUTH : E_UPSTREAM, "%s",
                       code < sizeof why / sizeof *why ? why[code] : "it refuses the connection");
    buf_init(&b, PACKET_MAX);
    if (s->publish) {
        put_text(&b, buf_bytes(&s->channel));
        put_u16(&b, 1);
        (void)buf_put(&b, buf_bytes(&s->payload));
    } else {
        put_u16(&b, 1);
        put_text(&b, buf_bytes(&s->channel));
        (void)buf_chr(&b, 1);
    }
    // QoS 1; a second attempt is not marked: the server forgot this session
    int rc = send_packet(c, s->publish ? MQTT_PUBLISH << 4 | 2 : MQTT_SUBSCRIBE << 4 | 2, &b);
    buf_fini(&b);
    return rc;
}

static int published(struct async_conn *c, unsigned flags, struct bytes body, struct err *e)
{
    size_t topic =
        body.n >= 2 ? (size_t)(unsigned char)body.p[0] << 8 | (unsigned char)body.p[1] : SIZE_MAX;
    unsigned qos = flags >> 1 & 3;
    if (topic > body.n - 2 || (qos && body.n - 2 - topic < 2))
        return err_set(e, E_PARSE, "a broken message came");
    struct bytes name = bytes_first(bytes_from(body, 2), topic);
    struct bytes rest = bytes_from(body, 2 + topic);
    int rc = 0;
    if (qos) {
        struct buf ack;
        buf_init(&ack, 4);
        (void)buf_put(&ack, bytes_first(rest, 2));
        rest = bytes_from(rest, 2);
        rc = send_packet(c, MQTT_PUBACK << 4, &ack);
        buf_fini(&ack);
    }
    act_async_take(c->act, rest, BYTES_NONE, val_put_cstr(val_obj(), "topic", val_str(name)));
    return rc;
}

static int take(struct async_conn *c, unsigned first, struct bytes body, struct err *e)
{
    struct asyncapi *s = c->act->own;
    switch (first >> 4) {
    case MQTT_CONNACK: return connected(c, body, e);
    case MQTT_PUBLISH: return published(c, first & 15, body, e);
    case MQTT_PUBACK:
        if (s->publish)
            act_async_sent(c->act);
        return 0;
    case MQTT_SUBACK:
        return body.n >= 3 && (unsigned char)body.p[2] <= 2
                   ? 0
                   : err_set(e, E_FORBIDDEN, "it refuses the subscription");
    default: return 0; // PINGRESP
    }
}

static int64_t feed(struct async_conn *c, struct bytes in, struct err *e)
{
    size_t length = 0, i = 1;
    for (unsigned shift = 0;; shift += 7, i++) {
        if (i > 4)
            return err_set(e, E_PARSE, "this is no MQTT");
        if (i >= in.n)
            return 0;
        length |= (size_t)(in.p[i] & 0x7f) << shift;
        if (!(in.p[i] & 0x80))
            break;
    }
    i++;
    if (length > PACKET_MAX)
        return err_set(e, E_TOOBIG, "a message is too large");
    if (in.n - i < length)
        return 0;
    int rc = take(c, (unsigned char)in.p[0], bytes_first(bytes_from(in, i), length), e);
    return rc < 0 ? rc : (int64_t)(i + length);
}

static void beat(struct async_conn *c)
{
    struct buf none;
    buf_init(&none, 1);
    (void)send_packet(c, MQTT_PINGREQ << 4, &none);
}

const struct async_protocol act_async_mqtt = {
    .name = "mqtt", .port = 1883, .port_tls = 8883, .opened = opened, .feed = feed, .beat = beat};
