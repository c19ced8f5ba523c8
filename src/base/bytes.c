// bytes.c: slices of memory.
// SPDX-License-Identifier: Apache-2.0
#include "base/bytes.h"
#include <string.h>
#include <strings.h>

struct bytes bytes_of(const char *text)
{
    return (struct bytes){text, text ? strlen(text) : 0};
}

bool bytes_eq(struct bytes a, struct bytes b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool bytes_is(struct bytes a, const char *text)
{
    return bytes_eq(a, bytes_of(text));
}

bool bytes_ieq(struct bytes a, struct bytes b)
{
    return a.n == b.n && (a.n == 0 || strncasecmp(a.p, b.p, a.n) == 0);
}

bool bytes_iis(struct bytes a, const char *text)
{
    return bytes_ieq(a, bytes_of(text));
}

bool bytes_starts(struct bytes a, struct bytes prefix)
{
    return a.n >= prefix.n && (prefix.n == 0 || memcmp(a.p, prefix.p, prefix.n) == 0);
}

bool bytes_ends(struct bytes a, struct bytes suffix)
{
    return a.n >= suffix.n &&
           (suffix.n == 0 || memcmp(a.p + a.n - suffix.n, suffix.p, suffix.n) == 0);
}

int bytes_cmp(struct bytes a, struct bytes b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int order = n ? memcmp(a.p, b.p, n) : 0;
    if (order != 0)
        return order;
    return a.n < b.n ? -1 : a.n > b.n;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct bytes bytes_trim(struct bytes a)
{
    while (a.n && is_space(a.p[0]))
        a.p++, a.n--;
    while (a.n && is_space(a.p[a.n - 1]))
        a.n--;
    return a;
}

struct bytes bytes_from(struct bytes a, size_t at)
{
    if (at > a.n)
        at = a.n;
    return (struct bytes){a.p ? a.p + at : NULL, a.n - at};
}

struct bytes bytes_first(struct bytes a, size_t n)
{
    return (struct bytes){a.p, n < a.n ? n : a.n};
}

ptrdiff_t bytes_find(struct bytes a, struct bytes needle)
{
    if (needle.n == 0)
        return 0;
    const char *at = a.n ? memmem(a.p, a.n, needle.p, needle.n) : NULL;
    return at ? at - a.p : -1;
}

ptrdiff_t bytes_chr(struct bytes a, char c)
{
    const char *at = a.n ? memchr(a.p, c, a.n) : NULL;
    return at ? at - a.p : -1;
}

struct bytes bytes_cut(struct bytes *rest, char c)
{
    struct bytes all = *rest;
    ptrdiff_t at = bytes_chr(all, c);
    if (at < 0) {
        *rest = BYTES_NONE;
        return all;
    }
    *rest = bytes_from(all, (size_t)at + 1);
    return bytes_first(all, (size_t)at);
}

uint64_t bytes_hash(struct bytes a)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < a.n; i++)
        h = (h ^ (unsigned char)a.p[i]) * 0x100000001b3u;
    h ^= h >> 32;
    h *= 0x9e3779b97f4a7c15u;
    return h ^ (h >> 29);
}

bool bytes_u64(struct bytes a, uint64_t *ret_value)
{
    uint64_t value = 0;
    if (a.n == 0)
        return false;
    for (size_t i = 0; i < a.n; i++) {
        if (a.p[i] < '0' || a.p[i] > '9')
            return false;
        if (__builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, (uint64_t)(a.p[i] - '0'), &value))
            return false;
    }
    *ret_value = value;
    return true;
}

// Length of the UTF-8 sequence at p (1..4), or 0 when it is broken. RFC 3629, section 4.
static size_t utf8_len(const unsigned char *p, size_t n)
{
    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xc2)
        return 0;
    if (p[0] < 0xe0)
        return n >= 2 && (p[1] & 0xc0) == 0x80 ? 2 : 0;
    if (p[0] < 0xf0) {
        if (n < 3 || (p[1] & 0xc0) != 0x80 || (p[2] & 0xc0) != 0x80)
            return 0;
        if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f))
            return 0;
        return 3;
    }
    if (p[0] > 0xf4 || n < 4 || (p[1] & 0xc0) != 0x80 || (p[2] & 0xc0) != 0x80 ||
        (p[3] & 0xc0) != 0x80)
        return 0;
    if ((p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return 4;
}

bool bytes_is_utf8(struct bytes a)
{
    const unsigned char *p = (const unsigned char *)a.p;
    for (size_t i = 0; i < a.n;) {
        size_t n = utf8_len(p + i, a.n - i);
        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

bool bytes_eq_const_time(struct bytes a, struct bytes b)
{
    unsigned char difference = a.n != b.n;
    for (size_t i = 0; i < a.n; i++)
        difference |= (unsigned char)(a.p[i] ^ (b.n ? b.p[i % b.n] : 0));
    return difference == 0;
}
