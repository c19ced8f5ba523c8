// buf.c: the growing buffer.
// SPDX-License-Identifier: Apache-2.0
#include "base/buf.h"
#include "base/alloc.h"
#include "base/err.h"
#include <stdio.h>
#include <string.h>

#define FIRST_BYTES 64

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max};
}

void buf_fini(struct buf *b)
{
    mem_free(b->p);
    *b = (struct buf){.max = b->max};
}

void buf_clear(struct buf *b)
{
    b->n = 0;
    b->failed = 0;
}

// Makes room for n more bytes and a NUL behind them.
static int buf_grow(struct buf *b, size_t n)
{
    if (b->failed)
        return b->failed;
    if (n > b->max || b->n > b->max - n)
        return b->failed = E_TOOBIG;
    size_t need = b->n + n + 1;
    if (need <= b->cap)
        return 0;
    size_t cap = b->cap ? b->cap : FIRST_BYTES;
    while (cap < need)
        cap *= 2;
    if (cap - 1 > b->max) // max + 1 may be 0
        cap = b->max + 1;
    char *p = mem_realloc(b->p, cap);
    if (!p)
        return b->failed = E_NOMEM;
    b->p = p;
    b->cap = cap;
    return 0;
}

char *buf_room(struct buf *b, size_t n)
{
    return buf_grow(b, n) == 0 ? b->p + b->n : NULL;
}

int buf_add(struct buf *b, const void *p, size_t n)
{
    int status = buf_grow(b, n);
    if (status == 0 && n) {
        memcpy(b->p + b->n, p, n);
        b->n += n;
    }
    return status;
}

int buf_put(struct buf *b, struct bytes s)
{
    return buf_add(b, s.p, s.n);
}

int buf_str(struct buf *b, const char *text)
{
    return buf_add(b, text, strlen(text));
}

int buf_chr(struct buf *b, char c)
{
    return buf_add(b, &c, 1);
}

int buf_vfmt(struct buf *b, const char *fmt, va_list ap)
{
    char small[256];
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(small, sizeof(small), fmt, ap);
    int status = E_INTERNAL;
    if (n >= 0 && (size_t)n < sizeof(small)) {
        status = buf_add(b, small, (size_t)n);
    } else if (n >= 0) {
        char *at = buf_room(b, (size_t)n);
        status = b->failed;
        if (at) {
            (void)vsnprintf(at, (size_t)n + 1, fmt, again);
            b->n += (size_t)n;
            status = 0;
        }
    }
    va_end(again);
    return status;
}

int buf_fmt(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int status = buf_vfmt(b, fmt, ap);
    va_end(ap);
    return status;
}

int buf_u64(struct buf *b, uint64_t value)
{
    char text[20];
    size_t at = sizeof(text);
    do
        text[--at] = (char)('0' + value % 10);
    while (value /= 10);
    return buf_add(b, text + at, sizeof(text) - at);
}

int buf_i64(struct buf *b, int64_t value)
{
    if (value >= 0)
        return buf_u64(b, (uint64_t)value);
    (void)buf_chr(b, '-');
    return buf_u64(b, 0 - (uint64_t)value);
}

static void put_escaped(struct buf *b, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    switch (c) {
    case '"': (void)buf_str(b, "\\\""); return;
    case '\\': (void)buf_str(b, "\\\\"); return;
    case '\n': (void)buf_str(b, "\\n"); return;
    case '\r': (void)buf_str(b, "\\r"); return;
    case '\t': (void)buf_str(b, "\\t"); return;
    case '\b': (void)buf_str(b, "\\b"); return;
    case '\f': (void)buf_str(b, "\\f"); return;
    default: {
        char text[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
        (void)buf_add(b, text, sizeof(text));
    }
    }
}

// Bytes of the valid UTF-8 character at p, or 0.
static size_t utf8_at(const char *p, size_t n)
{
    for (size_t len = 2; len <= 4 && len <= n; len++)
        if (bytes_is_utf8((struct bytes){p, len}))
            return len;
    return 0;
}

int buf_json_str(struct buf *b, struct bytes s)
{
    (void)buf_chr(b, '"');
    size_t from = 0;
    for (size_t i = 0; i < s.n;) {
        unsigned char c = (unsigned char)s.p[i];
        size_t len = 1;
        bool plain = c >= 0x20 && c != '"' && c != '\\' && c < 0x80;
        if (c >= 0x80)
            plain = (len = utf8_at(s.p + i, s.n - i)) != 0;
        if (!plain) {
            (void)buf_add(b, s.p + from, i - from);
            if (c >= 0x80)
                (void)buf_str(b, "\xef\xbf\xbd");
            else
                put_escaped(b, c);
            len = 1;
            from = i + 1;
        }
        i += len;
    }
    if (s.n > from)
        (void)buf_add(b, s.p + from, s.n - from);
    return buf_chr(b, '"');
}

void buf_drop(struct buf *b, size_t n)
{
    if (n > b->n)
        n = b->n;
    b->n -= n;
    if (b->n && n)
        memmove(b->p, b->p + n, b->n);
}

struct bytes buf_bytes(const struct buf *b)
{
    return (struct bytes){b->p, b->n};
}

const char *buf_cstr(struct buf *b)
{
    if (!b->p)
        return "";
    b->p[b->n] = 0; // buf_grow keeps a byte for it
    return b->p;
}

char *buf_take(struct buf *b)
{
    char *p = b->p ? b->p : mem_zalloc(1);
    if (p)
        p[b->n] = 0;
    *b = (struct buf){.max = b->max};
    return p;
}
