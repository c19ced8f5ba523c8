// http1.h: HTTP/1.1 messages (RFC 9112) taken apart, strictly, by llhttp. No I/O.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TEXT_HTTP1_H
#define PLEXUS_TEXT_HTTP1_H

#include "base/bytes.h"
#include "base/err.h"

#define HTTP1_HEADERS_MAX 100

struct http1_header {
    struct bytes name, value; // value without spaces around it
};

struct http1_head {
    struct bytes method, target, path, query; // of a request; target = path [? query]
    struct bytes host; // of a request: Host, or the host of an absolute target
    int status; // of an answer
    bool http10, keep_alive, chunked, has_length, upgrade;
    bool until_close; // of an answer: its body ends with the connection
    uint64_t length; // Content-Length
    size_t count;
    const struct http1_header *headers;
};
struct bytes http1_find(const struct http1_head *h, const char *name);

// Where a head's slices are put while it is parsed: one for many connections.
struct http1_fields {
    struct http1_header rows[HTTP1_HEADERS_MAX];
    struct bytes url;
    size_t count;
    bool too_many;
};

struct http1 {
    uint64_t state_[16]; // llhttp's
    struct bytes body_;
    uint8_t event_;
};

enum http1_event { HTTP1_MORE, HTTP1_HEAD, HTTP1_BODY, HTTP1_END };

// Parses a head from its first byte: data must hold the message from its start (when HTTP1_MORE
// comes, call again with more bytes behind the same ones: nothing is kept).
// HTTP1_HEAD: *ret_head (slices of data and of fields), *ret_used bytes were the head.
// HTTP1_MORE: not whole yet. E_PARSE, E_HEAD_TOOBIG (over HTTP1_HEADERS_MAX lines), E_VERSION,
// E_UNSUPPORTED (transfer coding): why in e.
int http1_request(struct http1 *p, struct http1_fields *fields, struct bytes data,
                  struct http1_head *ret_head, size_t *ret_used, struct err *e);
int http1_response(struct http1 *p, struct http1_fields *fields, struct bytes data,
                   struct http1_head *ret_head, size_t *ret_used, struct err *e);
// After a head that answers HEAD: whatever length it names, no body follows. http1_body, with
// nothing, says HTTP1_END.
void http1_no_body(struct http1 *p);
// After a head: takes the body apart. HTTP1_BODY: *ret_body is a slice of it (*ret_used bytes were
// used, also with the slice); HTTP1_END: the message is whole; HTTP1_MORE: all used. E_PARSE.
// A message without a body gives HTTP1_END for the first call, also with no data.
int http1_body(struct http1 *p, struct bytes data, size_t *ret_used, struct bytes *ret_body,
               struct err *e);
// The connection ended: HTTP1_END when that ends the message well, else E_CLOSED.
int http1_eof(struct http1 *p);

#endif
