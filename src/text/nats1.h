// nats1.h: the client protocol of NATS (docs.nats.io, "Client Protocol"): operations of a server,
// one after the other out of a buffer; lines for it. Headers are ADR-4 of nats-architecture.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TEXT_NATS1_H
#define PLEXUS_TEXT_NATS1_H

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"

#define NATS1_LINE_MAX 4096     // an operation's line, without INFO (the server's own: 4096)
#define NATS1_INFO_MAX 65536    // a cluster's list of addresses is in it

enum nats1_kind { NATS1_INFO, NATS1_MSG, NATS1_PING, NATS1_PONG, NATS1_OK, NATS1_ERR };

struct nats1_op { // slices of the input
    enum nats1_kind kind;
    struct bytes text; // INFO: JSON; ERR: without its quotes
    struct bytes subject, reply, headers, data; // MSG; headers: from "NATS/1.0" to the blank line
    uint64_t sid;
};
// How many bytes of in the first operation takes (then *ret is set); 0: more is needed; E_PARSE:
// this is no NATS; E_TOOBIG: a line or a message over the ceiling (payload_max: headers and data).
int64_t nats1_parse(struct bytes in, size_t payload_max, struct nats1_op *ret, struct err *e);

// "NATS/1.0 503 No Responders": the number, or 0: none. ret_text may be NULL.
int nats1_status(struct bytes headers, struct bytes *ret_text);
// Walks the header lines: start with *at = 0. Names are as sent; values without spaces around.
bool nats1_header_each(struct bytes headers, size_t *at, struct bytes *ret_name,
                       struct bytes *ret_value);
struct bytes nats1_header(struct bytes headers, const char *name); // without case; p NULL: absent

// PUB, or HPUB when there are header lines ("Name: value\r\n"...).
int nats1_put_pub(struct buf *out, struct bytes subject, struct bytes reply, struct bytes lines,
                  struct bytes data);
int nats1_put_sub(struct buf *out, struct bytes subject, struct bytes queue, uint64_t sid);
int nats1_put_unsub(struct buf *out, uint64_t sid);

#endif
