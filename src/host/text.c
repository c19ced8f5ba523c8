// text.c: small readers over a probe.
// SPDX-License-Identifier: Apache-2.0
#include "host/host_priv.h"

#include <stdio.h>
#include <string.h>

#define PATH_MAX_ 512

void host_copy(char *to, size_t size, struct bytes from)
{
    size_t n = 0;
    from = bytes_trim(from);
    for (size_t i = 0; i < from.n && n + 1 < size; i++) {
        unsigned char c = (unsigned char)from.p[i];
        if (c >= ' ' && c != 0x7f) // device trees end their texts in NUL
            to[n++] = (char)c;
    }
    while (n && n + 1 == size && ((unsigned char)to[n - 1] & 0xc0) == 0x80)
        n--; // not half a character at the cut
    to[n] = 0;
}

bool host_contains(struct bytes text, const char *part)
{
    size_t n = strlen(part);
    for (size_t i = 0; i + n <= text.n; i++)
        if (bytes_ieq((struct bytes){text.p + i, n}, (struct bytes){part, n}))
            return true;
    return false;
}

typedef int (*ask_fn)(void *self, const char *name, struct buf *out);

static bool ask(ask_fn fn, void *self, struct buf *b, const char *fmt, va_list ap)
{
    char path[PATH_MAX_];
    buf_clear(b);
    int n = vsnprintf(path, sizeof path, fmt, ap);
    return n > 0 && (size_t)n < sizeof path && fn(self, path, b) >= 0;
}

bool host_read(const struct host_probe *p, struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    bool ok = ask(p->read, p->self, b, fmt, ap);
    va_end(ap);
    return ok;
}

bool host_list(const struct host_probe *p, struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    bool ok = ask(p->list, p->self, b, fmt, ap);
    va_end(ap);
    return ok;
}

bool host_fact(const struct host_probe *p, struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    bool ok = ask(p->fact, p->self, b, fmt, ap);
    va_end(ap);
    return ok;
}

static bool into(ask_fn fn, void *self, char *to, size_t size, const char *fmt, va_list ap)
{
    struct buf b;
    buf_init(&b, HOST_FILE_MAX);
    bool ok = ask(fn, self, &b, fmt, ap);
    if (ok)
        host_copy(to, size, buf_bytes(&b));
    buf_fini(&b);
    return ok;
}

bool host_read_into(const struct host_probe *p, char *to, size_t size, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    bool ok = into(p->read, p->self, to, size, fmt, ap);
    va_end(ap);
    return ok;
}

bool host_fact_into(const struct host_probe *p, char *to, size_t size, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    bool ok = into(p->fact, p->self, to, size, fmt, ap);
    va_end(ap);
    return ok;
}

bool host_number(struct bytes text, uint64_t *ret)
{
    text = bytes_trim(text);
    uint64_t v = 0, base = 10;
    size_t i = 0;
    if (bytes_starts(text, BYTES("0x"))) {
        base = 16;
        i = 2;
    }
    size_t from = i;
    for (; i < text.n; i++) {
        char c = text.p[i];
        uint64_t d = c >= '0' && c <= '9'   ? (uint64_t)(c - '0')
                     : c >= 'a' && c <= 'f' ? (uint64_t)(c - 'a' + 10)
                     : c >= 'A' && c <= 'F' ? (uint64_t)(c - 'A' + 10)
                                            : 99;
        if (d >= base)
            break;
        if (v > (UINT64_MAX - d) / base)
            return false;
        v = v * base + d;
    }
    if (i == from)
        return false;
    *ret = v;
    return true;
}

static uint64_t number(ask_fn fn, void *self, uint64_t fallback, const char *fmt, va_list ap)
{
    char text[64];
    uint64_t v;
    return into(fn, self, text, sizeof text, fmt, ap) && host_number(bytes_of(text), &v) ? v
                                                                                         : fallback;
}

uint64_t host_read_u64(const struct host_probe *p, uint64_t fallback, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    uint64_t v = number(p->read, p->self, fallback, fmt, ap);
    va_end(ap);
    return v;
}

uint64_t host_fact_u64(const struct host_probe *p, uint64_t fallback, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    uint64_t v = number(p->fact, p->self, fallback, fmt, ap);
    va_end(ap);
    return v;
}

struct bytes host_field(struct bytes text, const char *key, char sep)
{
    while (text.n) {
        struct bytes value = bytes_cut(&text, '\n');
        if (bytes_chr(value, sep) < 0)
            continue;
        struct bytes name = bytes_cut(&value, sep);
        if (bytes_is(bytes_trim(name), key))
            return bytes_trim(value);
    }
    return BYTES_NONE;
}
