// sse.h: server-sent events (WHATWG HTML, section 9.2): frame boundaries for the relay, and a
// parser for clients. LF, CRLF and CR line ends.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TEXT_SSE_H
#define PLEXUS_TEXT_SSE_H

#include "base/buf.h"
#include "base/bytes.h"

// Relay side: finds the end of the last whole frame in data that follows what was seen before.
// Zeroed at the start of a stream. The LF of a CRLF that ends a frame belongs to that frame, also
// when it comes in a later feed. However a stream is cut into feeds, the last boundary and the
// counts come out the same.
struct sse_cut {
    uint8_t state;   // where in a line the last feed ended
    uint8_t line_at; // 0..5 characters of "data:" matched at line start, 255: other line
    bool has_data;   // a "data:" line stood in the frame that is not yet whole
    uint64_t frames; // whole frames with at least one data: line start seen so far
};
// Returns how many of the n bytes belong to whole frames (0..n); the rest is the start of a frame.
size_t sse_cut_feed(struct sse_cut *c, const char *p, size_t n);

// Client side.
struct sse_event {
    struct bytes event, data, id; // valid during the callback; event is empty for "message"
};
typedef void (*sse_event_fn)(void *arg, const struct sse_event *event);
struct sse_parser {
    struct buf line, data, event, id; // id: of the last event, also of one without data
    uint64_t retry_ms; // how long to wait before coming again, as the server said last; 0: not said
    bool last_cr, bom_done;
};
void sse_parser_init(struct sse_parser *p, size_t event_bytes_max);
void sse_parser_fini(struct sse_parser *p);
// 0, E_TOOBIG (a line or an event's data over the ceiling) or E_NOMEM; after a failure every feed
// fails. An event without its closing blank line is never handed on (the standard says so).
int sse_parser_feed(struct sse_parser *p, struct bytes data, sse_event_fn fn, void *arg);

// data: {"error":...} frame with OpenAI's error object; code NULL writes null.
int sse_put_error(struct buf *out, const char *message, const char *type, const char *code);

#endif
