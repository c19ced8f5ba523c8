// sse.c: server-sent events: frame boundaries for the relay, a parser for clients.
// SPDX-License-Identifier: Apache-2.0
#include "text/sse.h"

#include "base/err.h"

#include <string.h>

enum {
    AT_START,    // at the start of a line (and of a stream)
    IN_LINE,     // somewhere after the first byte of a line
    AFTER_CR,    // a line ended in CR: an LF now would be its second half
    AFTER_BLANK, // as AFTER_CR, and that line was blank: the LF still belongs to the ended frame
};
#define OTHER_LINE 255

static const char *next(const char *p, const char *end, char c)
{
    const char *at = memchr(p, c, (size_t)(end - p));
    return at ? at : end;
}

// The next LF and CR from a place on. No byte is looked at twice for the same sign, so a feed costs
// two memchr over its length at most.
struct ends {
    const char *end, *lf, *cr;
};

static const char *line_end(struct ends *ends, const char *p)
{
    if (ends->lf < p)
        ends->lf = next(p, ends->end, '\n');
    if (ends->cr < p)
        ends->cr = next(p, ends->end, '\r');
    return ends->lf < ends->cr ? ends->lf : ends->cr;
}

// Matches "data:" at the start of a line, also when it comes in pieces.
static void match_data(struct sse_cut *c, const char *p, size_t n)
{
    static const char name[] = "data:";
    if (c->line_at == 0 && n >= 5) { // the usual case in one comparison
        c->line_at = OTHER_LINE;
        if (!memcmp(p, name, 5)) {
            c->line_at = 5;
            c->has_data = true;
        }
        return;
    }
    for (size_t i = 0; i < n && c->line_at < 5; i++) {
        c->line_at = p[i] == name[c->line_at] ? (uint8_t)(c->line_at + 1) : OTHER_LINE;
        if (c->line_at == 5)
            c->has_data = true;
    }
}

static void end_frame(struct sse_cut *c)
{
    c->frames += c->has_data;
    c->has_data = false;
}

size_t sse_cut_feed(struct sse_cut *c, const char *p, size_t n)
{
    if (!n)
        return 0;
    const char *end = p + n, *at = p, *cut = p;
    struct ends ends = {end, next(p, end, '\n'), next(p, end, '\r')};
    while (at < end) {
        if (c->state == AFTER_CR || c->state == AFTER_BLANK) {
            if (*at == '\n') {
                at++;
                if (c->state == AFTER_BLANK)
                    cut = at;
            }
            c->state = AT_START;
            continue;
        }
        if (c->state == AT_START && (*at == '\n' || *at == '\r')) {
            end_frame(c);
            c->state = *at == '\r' ? AFTER_BLANK : AT_START;
            cut = ++at;
            continue;
        }
        if (c->state == AT_START)
            c->line_at = 0;
        const char *stop = line_end(&ends, at);
        if (c->line_at < 5)
            match_data(c, at, (size_t)(stop - at));
        if (stop == end) {
            c->state = IN_LINE;
            break;
        }
        c->state = *stop == '\r' ? AFTER_CR : AT_START;
        at = stop + 1;
    }
    return (size_t)(cut - p);
}

void sse_parser_init(struct sse_parser *p, size_t event_bytes_max)
{
    memset(p, 0, sizeof *p);
    buf_init(&p->line, event_bytes_max);
    buf_init(&p->data, event_bytes_max + 1); // each line's LF is kept until the event ends
    buf_init(&p->event, event_bytes_max);
    buf_init(&p->id, event_bytes_max);
}

void sse_parser_fini(struct sse_parser *p)
{
    buf_fini(&p->line);
    buf_fini(&p->data);
    buf_fini(&p->event);
    buf_fini(&p->id);
}

static void set(struct buf *field, struct bytes value)
{
    buf_clear(field);
    (void)buf_put(field, value);
}

static void take_field(struct sse_parser *p, struct bytes line)
{
    struct bytes value = line;
    struct bytes name = bytes_cut(&value, ':');
    if (value.n && *value.p == ' ')
        value = bytes_from(value, 1);
    if (bytes_is(name, "data")) {
        (void)buf_put(&p->data, value);
        (void)buf_chr(&p->data, '\n');
    } else if (bytes_is(name, "event")) {
        set(&p->event, value);
    } else if (bytes_is(name, "id") && (!value.n || !memchr(value.p, 0, value.n))) {
        set(&p->id, value); // stays for the events that follow
    } else if (bytes_is(name, "retry")) {
        uint64_t ms;
        if (bytes_u64(value, &ms))
            p->retry_ms = ms;
    }
}

static void take_line(struct sse_parser *p, struct bytes line, sse_event_fn fn, void *arg)
{
    if (!p->bom_done && bytes_starts(line, BYTES("\xef\xbb\xbf")))
        line = bytes_from(line, 3);
    p->bom_done = true;
    if (line.n) {
        if (*line.p != ':') // a comment
            take_field(p, line);
        return;
    }
    if (p->data.n) {
        struct sse_event event = {.event = buf_bytes(&p->event),
                                  .data = bytes_first(buf_bytes(&p->data), p->data.n - 1),
                                  .id = buf_bytes(&p->id)};
        fn(arg, &event);
    }
    buf_clear(&p->data);
    buf_clear(&p->event);
}

static int failure(const struct sse_parser *p)
{
    const struct buf *all[] = {&p->line, &p->data, &p->event, &p->id};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i]->failed)
            return all[i]->failed;
    return 0;
}

int sse_parser_feed(struct sse_parser *p, struct bytes data, sse_event_fn fn, void *arg)
{
    if (failure(p))
        return failure(p);
    if (p->last_cr && data.n) {
        p->last_cr = false;
        if (*data.p == '\n')
            data = bytes_from(data, 1);
    }
    if (!data.n)
        return 0;
    const char *at = data.p, *end = data.p + data.n;
    struct ends ends = {end, next(at, end, '\n'), next(at, end, '\r')};
    while (at < end) {
        const char *stop = line_end(&ends, at);
        struct bytes line = {at, (size_t)(stop - at)};
        if (stop == end || p->line.n || line.n > p->line.max) { // in pieces, or over the ceiling
            (void)buf_put(&p->line, line);
            line = buf_bytes(&p->line);
        }
        if (stop == end || failure(p))
            break;
        take_line(p, line, fn, arg);
        if (failure(p))
            break;
        buf_clear(&p->line);
        at = stop + 1;
        if (*stop == '\r') {
            p->last_cr = at == end;
            at += at < end && *at == '\n';
        }
    }
    return failure(p);
}

int sse_put_error(struct buf *out, const char *message, const char *type, const char *code)
{
    (void)buf_str(out, "data: {\"error\":{\"message\":");
    (void)buf_json_str(out, bytes_of(message));
    (void)buf_str(out, ",\"type\":");
    (void)buf_json_str(out, bytes_of(type));
    (void)buf_str(out, ",\"param\":null,\"code\":");
    if (code)
        (void)buf_json_str(out, bytes_of(code));
    else
        (void)buf_str(out, "null");
    return buf_str(out, "}}\n\n");
}
