// buf.h: a growing byte buffer that cannot be made without its ceiling.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_BASE_BUF_H
#define PLEXUS_BASE_BUF_H

#include "base/bytes.h"
#include <stdarg.h>

// Errors are sticky: after a failed add (ceiling or memory) the buffer keeps what it had, `failed`
// is set, later adds do nothing and return the same code. So a writer may add many things and
// check once.
struct buf {
    char *p;
    size_t n, cap, max;
    int failed; // 0, E_TOOBIG or E_NOMEM
};

void buf_init(struct buf *b, size_t max); // allocates nothing yet
void buf_fini(struct buf *b);
void buf_clear(struct buf *b); // keeps the memory, forgets the failure
int buf_add(struct buf *b, const void *p, size_t n);
int buf_put(struct buf *b, struct bytes s);
int buf_str(struct buf *b, const char *text);
int buf_chr(struct buf *b, char c);
int buf_fmt(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int buf_vfmt(struct buf *b, const char *fmt, va_list ap);
int buf_u64(struct buf *b, uint64_t value);
int buf_i64(struct buf *b, int64_t value);
// JSON string with quotes; broken UTF-8 becomes U+FFFD, control characters are escaped.
int buf_json_str(struct buf *b, struct bytes s);
// Room for n more bytes; returns where to write them (NULL: failed). Then add to b->n what was
// used.
char *buf_room(struct buf *b, size_t n);
void buf_drop(struct buf *b, size_t n); // removes the first n bytes
struct bytes buf_bytes(const struct buf *b);
const char *buf_cstr(struct buf *b); // NUL-terminated; "" when empty or failed
char *buf_take(struct buf *b); // gives the memory (NUL-terminated; mem_free), buffer is empty

#endif
