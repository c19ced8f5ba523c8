// asyncapi_http.c: AsyncAPI over HTTP: a message is a POST; a subscription reads server-sent
// events, or one answer. SPDX-License-Identifier: Apache-2.0
#include "acts/asyncapi_priv.h"

#include <string.h>

#define SILENCE_MS ((int64_t)24 * 3600 * 1000) // of a stream of events

static void put_url(struct asyncapi *s, struct buf *url)
{
    struct bytes host = buf_bytes(&s->host), channel = buf_bytes(&s->channel);
    (void)buf_fmt(url, "%s://%.*s", s->tls ? "https" : "http", BYTES_FMT(host));
    if (s->port)
        (void)buf_fmt(url, ":%u", s->port);
    struct bytes path = buf_bytes(&s->path);
    while (path.n && path.p[path.n - 1] == '/')
        path.n--;
    (void)buf_put(url, path);
    if (!channel.n || *channel.p != '/')
        (void)buf_chr(url, '/');
    (void)buf_put(url, channel);
}

static void published(struct act *a, struct act_fetch *f)
{
    (void)f;
    act_async_sent(a);
}

// ---- a subscription ----------------------------------------------------------------------------

static void on_event(void *user, const struct sse_event *ev)
{
    struct act *a = user;
    struct val *headers = val_obj();
    if (ev->id.n)
        headers = val_put_cstr(headers, "id", val_str(ev->id));
    if (ev->event.n)
        headers = val_put_cstr(headers, "event", val_str(ev->event));
    act_async_take(a, ev->data, BYTES_NONE, headers);
}

static bool on_part(struct act *a, struct bytes part)
{
    struct asyncapi *s = a->own;
    if (!s->made) {
        struct bytes first = bytes_trim(part);
        s->made = true;
        s->json = first.n && (*first.p == '{' || *first.p == '[' || *first.p == '"');
        sse_parser_init(&s->sse, (size_t)4 << 20);
        buf_init(&s->whole, a->room->args.body_bytes_max);
    }
    int rc = s->json ? buf_put(&s->whole, part) : sse_parser_feed(&s->sse, part, on_event, a);
    if (rc < 0)
        act_fail(a, ACT_RUNTIME, 0, true, "call: asyncapi: a message is too large");
    return rc >= 0 && !s->over;
}

static void ended(struct act *a, struct act_fetch *f)
{
    struct asyncapi *s = a->own;
    if (s->json)
        act_async_take(a, buf_bytes(&s->whole), act_fetch_header(f, "Content-Type"), NULL);
    if (!a->ended && !s->over && !s->looking && !s->end.fn)
        act_fail(a, ACT_COMMUNICATION, 0, false,
                 "call: asyncapi: the stream ended after %zu messages", val_len(s->taken));
}

// ---- both --------------------------------------------------------------------------------------

void act_async_http(struct act *a)
{
    struct asyncapi *s = a->own;
    struct buf url, lines;
    struct err e = {0};
    buf_init(&url, (size_t)64 << 10);
    buf_init(&lines, (size_t)64 << 10);
    put_url(s, &url);
    int rc = act_headers_put(&lines, s->headers, &e);
    if (s->publish)
        (void)buf_str(&lines, "Content-Type: application/json\r\n");
    else
        (void)buf_str(&lines, "Accept: text/event-stream, application/json\r\n");
    const char *method = val_text(val_get_cstr(s->binding, "method"), s->publish ? "POST" : "GET");
    if (rc < 0)
        act_fail(a, ACT_CONFIGURATION, 0, true, "call: asyncapi: %s", e.text);
    else
        act_web(a, &s->web,
                &(struct act_web_args){.method = bytes_of(method),
                                       .url = buf_bytes(&url),
                                       .headers = buf_bytes(&lines),
                                       .body = s->publish ? &s->payload : NULL,
                                       .auth = &s->auth,
                                       .redirect = true,
                                       .once = true,
                                       .then = s->publish ? published : ended,
                                       .on_part = s->publish ? NULL : on_part,
                                       .silence_ms = s->publish ? 0 : SILENCE_MS});
    buf_fini(&url);
    buf_fini(&lines);
}
