// resp.h: RESP2, the protocol of Redis (redis.io, "Redis serialization protocol specification"):
// replies out of a buffer as a flat row of values, commands into one.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TEXT_RESP_H
#define PLEXUS_TEXT_RESP_H

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"

#define RESP_DEPTH_MAX 8
#define RESP_LINE_MAX 4096

enum resp_kind { RESP_NULL, RESP_TEXT, RESP_ERROR, RESP_INT, RESP_BULK, RESP_ARRAY };

// Of an array the elements follow it in the row, each with its own: span says how many values it
// is with all below it (1 for others).
struct resp {
    enum resp_kind kind;
    struct bytes text; // TEXT, ERROR, BULK: slices of the input
    int64_t number;    // INT
    uint32_t count;    // ARRAY: elements
    uint32_t span;
};
// The first reply in in: how many bytes it takes, *ret_used values of the row are set. 0: more is
// needed; E_PARSE: this is no RESP; E_TOOBIG: over bulk_max, the row, or the depth.
int64_t resp_parse(struct bytes in, size_t bulk_max, struct resp *row, size_t row_max,
                   size_t *ret_used, struct err *e);
// The i-th element of an array, NULL: there is none.
const struct resp *resp_at(const struct resp *array, uint32_t i);
struct bytes resp_text(const struct resp *v); // of TEXT and BULK; else empty
int64_t resp_int(const struct resp *v, int64_t fallback); // of INT, or a decimal text

// A command of so many words: head, then each word.
int resp_put_head(struct buf *out, uint32_t words);
int resp_put(struct buf *out, struct bytes word);
int resp_put_str(struct buf *out, const char *word);
int resp_put_i64(struct buf *out, int64_t word);

#endif
