// http1_fuzz.c: any bytes as requests or answers: cut anywhere, they give the same heads, bodies
// and errors; slices stay inside the data. SPDX-License-Identifier: Apache-2.0
#include "base/buf.h"
#include "base/rng.h"
#include "text/http1.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct side { // one reader of the bytes
    bool answers, in_body, stopped;
    struct http1 parser;
    struct http1_fields fields;
    struct buf in, told;
};

static void must(bool ok)
{
    if (!ok)
        abort();
}

static bool inside(struct bytes all, struct bytes part)
{
    return !part.p || part.n == 0 || (part.p >= all.p && part.p + part.n <= all.p + all.n);
}

static void tell_head(struct side *s, const struct http1_head *h, struct bytes data)
{
    struct buf *t = &s->told;
    (void)buf_fmt(t, "[%.*s %.*s ? %.*s @ %.*s %d %d%d%d%d%d%d %llu", BYTES_FMT(h->method),
                  BYTES_FMT(h->path), BYTES_FMT(h->query), BYTES_FMT(h->host), h->status, h->http10,
                  h->keep_alive, h->chunked, h->has_length, h->upgrade, h->until_close,
                  (unsigned long long)h->length);
    must(h->count <= HTTP1_HEADERS_MAX && !(h->chunked && h->has_length && !s->answers));
    must(inside(data, h->target) && inside(data, h->host));
    for (size_t i = 0; i < h->count; i++) {
        struct bytes name = h->headers[i].name, value = h->headers[i].value;
        must(inside(data, name) && inside(data, value));
        must(bytes_chr(value, '\n') < 0 && bytes_chr(value, '\0') < 0);
        (void)buf_fmt(t, " %.*s=%.*s", BYTES_FMT(name), BYTES_FMT(value));
    }
    (void)buf_chr(t, ']');
}

// One header line too many that is broken as well: which of both is seen first depends on the cut.
static void stop(struct side *s, int code)
{
    (void)buf_fmt(&s->told, "!%s", err_info(code == E_HEAD_TOOBIG ? E_PARSE : code)->symbol);
    s->stopped = true;
}

// One event more; false when there is nothing to do until more bytes come.
static bool go_on(struct side *s)
{
    struct bytes data = buf_bytes(&s->in), part = BYTES_NONE;
    struct http1_head head;
    struct err e = {0};
    size_t used = 0;
    if (s->in_body) {
        int event = http1_body(&s->parser, data, &used, &part, &e);
        must(used <= data.n && (event >= 0 || e.code == event));
        if (event < 0)
            stop(s, event);
        else if (event == HTTP1_BODY && inside(data, part))
            (void)buf_put(&s->told, part);
        s->in_body = event != HTTP1_END;
        if (!s->in_body)
            (void)buf_str(&s->told, "[end]");
        buf_drop(&s->in, used);
        return event != HTTP1_MORE && !s->stopped;
    }
    if (data.n == 0)
        return false;
    int event = s->answers ? http1_response(&s->parser, &s->fields, data, &head, &used, &e)
                           : http1_request(&s->parser, &s->fields, data, &head, &used, &e);
    if (event < 0)
        stop(s, event);
    if (event != HTTP1_HEAD)
        return false;
    must(used > 0 && used <= data.n);
    tell_head(s, &head, data);
    buf_drop(&s->in, used);
    s->in_body = !s->answers || head.status >= 200 || head.status == 101;
    return true;
}

static void feed(struct side *s, struct bytes piece)
{
    if (s->stopped)
        return;
    (void)buf_put(&s->in, piece);
    while (go_on(s))
        ;
}

static void open_side(struct side *s, bool answers)
{
    *s = (struct side){.answers = answers};
    buf_init(&s->in, 1 << 20);
    buf_init(&s->told, 4 << 20);
}

static void close_side(struct side *s)
{
    if (!s->stopped && s->in_body)
        (void)buf_fmt(&s->told, "eof %d", http1_eof(&s->parser) == HTTP1_END);
}

// First byte: odd for answers; it is also the seed of the cuts.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct side whole, cut;
    struct rng rng;
    if (size < 1 || size > 65536)
        return 0;
    struct bytes all = {(const char *)data + 1, size - 1};
    rng_init(&rng, data[0]);
    open_side(&whole, data[0] & 1);
    open_side(&cut, data[0] & 1);
    feed(&whole, all);
    for (size_t at = 0; at < all.n;) {
        size_t n = 1 + rng_below(&rng, 1 + rng_below(&rng, 64));
        feed(&cut, bytes_first(bytes_from(all, at), n));
        at += n;
    }
    close_side(&whole);
    close_side(&cut);
    must(bytes_eq(buf_bytes(&whole.told), buf_bytes(&cut.told)));
    buf_fini(&whole.in);
    buf_fini(&whole.told);
    buf_fini(&cut.in);
    buf_fini(&cut.told);
    return 0;
}
