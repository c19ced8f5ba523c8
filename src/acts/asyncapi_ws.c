// asyncapi_ws.c: AsyncAPI over WebSocket (RFC 6455): a message is a text frame.
// SPDX-License-Identifier: Apache-2.0
#include "acts/asyncapi_priv.h"
#include "base/rng.h"
#include "crypto/md5.h"
#include "text/cloudevent.h"
#include "text/http1.h"

#include <stdio.h>
#include <string.h>

#define MESSAGE_MAX ((size_t)16 << 20)
#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" // section 1.3

enum { WS_TEXT = 1, WS_BYTES = 2, WS_CLOSE = 8, WS_PING = 9, WS_PONG = 10 };
enum { WS_HELLO, WS_OPEN, WS_CLOSING };

// ---- out ---------------------------------------------------------------------------------------

// A client masks each frame (section 5.3).
static int send_frame(struct async_conn *c, unsigned op, struct bytes data)
{
    struct buf out;
    unsigned char mask[4];
    rng_bytes(mask, sizeof mask);
    buf_init(&out, MESSAGE_MAX + 64);
    (void)buf_chr(&out, (char)(0x80 | op));
    if (data.n < 126) {
        (void)buf_chr(&out, (char)(0x80 | data.n));
    } else {
        int bytes = data.n < 65536 ? 2 : 8;
        (void)buf_chr(&out, (char)(0x80 | (bytes == 2 ? 126 : 127)));
        for (int i = bytes - 1; i >= 0; i--)
            (void)buf_chr(&out, (char)((uint64_t)data.n >> (8 * i)));
    }
    (void)buf_add(&out, mask, sizeof mask);
    char *to = buf_room(&out, data.n);
    for (size_t i = 0; to && i < data.n; i++)
        to[i] = (char)(data.p[i] ^ mask[i % 4]);
    out.n += to ? data.n : 0;
    int rc = out.failed ? out.failed : act_async_write(c, buf_bytes(&out));
    if (out.failed)
        act_fail(c->act, ACT_RUNTIME, 0, true, "call: asyncapi: the message is too large");
    buf_fini(&out);
    return rc;
}

static void opened(struct async_conn *c)
{
    struct asyncapi *s = c->act->own;
    unsigned char nonce[16];
    struct buf out, key;
    struct err e = {0};
    struct bytes path = buf_bytes(&s->path), channel = buf_bytes(&s->channel);
    rng_bytes(nonce, sizeof nonce);
    buf_init(&key, 64);
    (void)cloudevent_put_base64(&key, (struct bytes){(const char *)nonce, sizeof nonce});
    (void)snprintf(c->key, sizeof c->key, "%s", buf_cstr(&key));
    buf_init(&out, (size_t)128 << 10);
    (void)buf_str(&out, "GET ");
    while (path.n && path.p[path.n - 1] == '/')
        path.n--;
    (void)act_url_clean(&out, path);
    if (!channel.n || *channel.p != '/')
        (void)buf_chr(&out, '/');
    (void)act_url_clean(&out, channel);
    (void)buf_fmt(&out, " HTTP/1.1\r\nHost: %.*s", BYTES_FMT(buf_bytes(&s->host)));
    if (s->port)
        (void)buf_fmt(&out, ":%u", s->port);
    (void)buf_fmt(&out,
                  "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                  "Sec-WebSocket-Key: %s\r\nUser-Agent: plexus/" PLEXUS_VERSION "\r\n",
                  c->key);
    (void)buf_put(&out, buf_bytes(&s->auth.header));
    int rc = act_headers_put(&out, s->headers, &e); // frames have none
    (void)buf_str(&out, "\r\n");
    if (rc < 0 || out.failed)
        act_fail(c->act, ACT_CONFIGURATION, 0, true, "call: asyncapi: %s",
                 rc < 0 ? e.text : "the address is too long");
    else
        (void)act_async_write(c, buf_bytes(&out));
    if (out.p)
        mem_wipe(out.p, out.n);
    buf_fini(&out);
    buf_fini(&key);
}

// ---- in ----------------------------------------------------------------------------------------

static bool accepted(const struct async_conn *c, struct bytes said)
{
    char text[96];
    uint8_t sum[CRYPTO_SHA1_LEN];
    struct buf want;
    (void)snprintf(text, sizeof text, "%s" GUID, c->key);
    crypto_sha1(bytes_of(text), sum);
    buf_init(&want, 64);
    (void)cloudevent_put_base64(&want, (struct bytes){(const char *)sum, sizeof sum});
    bool good = bytes_eq(said, buf_bytes(&want));
    buf_fini(&want);
    return good;
}

static int64_t hello(struct async_conn *c, struct bytes in, struct err *e)
{
    struct asyncapi *s = c->act->own;
    struct http1 parser = {0};
    struct http1_fields fields;
    struct http1_head head;
    size_t used = 0;
    int what = http1_response(&parser, &fields, in, &head, &used, e);
    if (what < 0)
        return what;
    if (what != HTTP1_HEAD)
        return in.n > 65536 ? err_set(e, E_TOOBIG, "its answer has no end") : 0;
    if (head.status != 101)
        return err_set(e, head.status == 401 ? E_UNAUTH : E_UPSTREAM,
                       "it answered %d instead of a WebSocket", head.status);
    if (!accepted(c, http1_find(&head, "Sec-WebSocket-Accept")))
        return err_set(e, E_UPSTREAM, "its handshake is wrong");
    c->step = WS_OPEN;
    if (s->publish && send_frame(c, WS_TEXT, buf_bytes(&s->payload)) == 0 &&
        send_frame(c, WS_CLOSE, (struct bytes){"\x03\xe8", 2}) == 0)
        c->step = WS_CLOSING; // its close says that it read what came before
    return (int64_t)used;
}

static int take(struct async_conn *c, unsigned first, struct bytes data, struct err *e)
{
    struct asyncapi *s = c->act->own;
    unsigned op = first & 15;
    bool last = first & 0x80;
    if (op == WS_PING) // after our close nothing more may be said
        return c->step == WS_CLOSING ? 0 : send_frame(c, WS_PONG, data);
    if (op == WS_CLOSE && s->publish) {
        act_async_sent(c->act);
        return 0;
    }
    if (op == WS_CLOSE)
        return err_set(e, E_CLOSED, "it closed the connection");
    if (op > WS_BYTES)
        return op == WS_PONG ? 0 : err_set(e, E_PARSE, "a frame of no known kind");
    if (!s->made) {
        s->made = true;
        sse_parser_init(&s->sse, 1); // only `whole` is used
        buf_init(&s->whole, MESSAGE_MAX);
    }
    if (op != 0)
        buf_clear(&s->whole);
    if (buf_put(&s->whole, data) < 0)
        return err_set(e, E_TOOBIG, "a message has more than 16 MiB");
    if (last)
        act_async_take(c->act, buf_bytes(&s->whole), BYTES_NONE, NULL);
    return 0;
}

static int64_t feed(struct async_conn *c, struct bytes in, struct err *e)
{
    if (c->step == WS_HELLO)
        return hello(c, in, e);
    if (in.n < 2)
        return 0;
    size_t head = 2;
    uint64_t length = (unsigned char)in.p[1] & 0x7f;
    int bytes = length == 126 ? 2 : length == 127 ? 8 : 0;
    if (in.p[1] & 0x80)
        return err_set(e, E_PARSE, "a server's frame is masked");
    head += (size_t)bytes;
    if (in.n < head)
        return 0;
    if (bytes)
        length = 0;
    for (int i = 0; i < bytes; i++)
        length = length << 8 | (unsigned char)in.p[2 + i];
    if (length > MESSAGE_MAX)
        return err_set(e, E_TOOBIG, "a message has more than 16 MiB");
    if (in.n - head < length)
        return 0;
    int rc = take(c, (unsigned char)in.p[0], bytes_first(bytes_from(in, head), (size_t)length), e);
    return rc < 0 ? rc : (int64_t)(head + length);
}

static void beat(struct async_conn *c)
{
    if (c->step == WS_OPEN)
        (void)send_frame(c, WS_PING, BYTES("plexus"));
}

const struct async_protocol act_async_ws = {
    .name = "ws", .port = 80, .port_tls = 443, .opened = opened, .feed = feed, .beat = beat};
