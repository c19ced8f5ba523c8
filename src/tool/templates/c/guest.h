// guest.h: the host's functions as the Extism plugin ABI has them (extism:host/env), and as much
// JSON as a small tool needs. No libc.
// SPDX-License-Identifier: Apache-2.0
#ifndef GUEST_H
#define GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HOST(name) __attribute__((import_module("extism:host/env"), import_name(#name))) extern
#define EXPORT(name) __attribute__((export_name(name)))

HOST(input_length) uint64_t host_input_length(void);
HOST(input_load_u8) uint32_t host_input_load_u8(uint64_t at);
HOST(alloc) uint64_t host_alloc(uint64_t bytes);
HOST(store_u8) void host_store_u8(uint64_t at, uint32_t byte);
HOST(output_set) void host_output_set(uint64_t at, uint64_t bytes);
HOST(error_set) void host_error_set(uint64_t at);

// ---- bytes ----

static inline char input_at(size_t i) // 0 behind its end
{
    return i < host_input_length() ? (char)host_input_load_u8(i) : 0;
}

static inline uint64_t to_host(const char *p, size_t n)
{
    uint64_t at = host_alloc(n);
    for (size_t i = 0; i < n; i++)
        host_store_u8(at + i, (uint8_t)p[i]);
    return at;
}

static inline size_t length(const char *text)
{
    size_t n = 0;
    while (text[n])
        n++;
    return n;
}

// The answer. Return 0 after it.
static inline int answer(const char *p, size_t n)
{
    host_output_set(to_host(p, n), n);
    return 0;
}

// The call failed, and why: what the caller reads.
static inline int failure(const char *why)
{
    host_error_set(to_host(why, length(why)));
    return 1;
}

static inline char *put_text(char *to, const char *text)
{
    while (*text)
        *to++ = *text++;
    return to;
}

static inline char *put_number(char *to, uint64_t n)
{
    char digits[20];
    size_t k = 0;
    do
        digits[k++] = (char)('0' + n % 10);
    while (n /= 10);
    while (k)
        *to++ = digits[--k];
    return to;
}

// ---- a string inside the input ----

struct text { // read byte by byte with text_next, escapes undone
    size_t at;
    int32_t rest[3], rests; // bytes of a \u escape that wait
};

static inline int32_t hex4(size_t at)
{
    int32_t n = 0;
    for (size_t i = 0; i < 4; i++) {
        char c = input_at(at + i);
        n = n * 16 + (c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
    }
    return n;
}

// The string member of the outermost object. The host has checked the input by its schema, so it
// is well-formed.
static inline bool text_find(struct text *t, const char *name)
{
    int depth = 0;
    for (size_t i = 0; input_at(i); i++) {
        char c = input_at(i);
        depth += (c == '{' || c == '[') - (c == '}' || c == ']');
        if (c != '"')
            continue;
        size_t from = ++i, n = length(name), same = 0;
        for (; input_at(i) && input_at(i) != '"'; i++)
            i += input_at(i) == '\\';
        while (same < n && input_at(from + same) == name[same])
            same++;
        size_t colon = i + 1;
        while (input_at(colon) == ' ')
            colon++;
        if (depth != 1 || same != n || i - from != n || input_at(colon) != ':')
            continue;
        for (colon++; input_at(colon) == ' ';)
            colon++;
        *t = (struct text){.at = colon + 1};
        return input_at(colon) == '"';
    }
    return false;
}

static inline int32_t text_next(struct text *t) // -1: its end
{
    if (t->rests)
        return t->rest[--t->rests];
    char c = input_at(t->at);
    if (!c || c == '"')
        return -1;
    t->at++;
    if (c != '\\')
        return (uint8_t)c;
    c = input_at(t->at++);
    if (c != 'u')
        return c == 'n'   ? '\n'
               : c == 't' ? '\t'
               : c == 'r' ? '\r'
               : c == 'b' ? '\b'
               : c == 'f' ? '\f'
                          : c;
    int32_t n = hex4(t->at);
    t->at += 4;
    if (n >= 0xd800 && n < 0xdc00) {
        n = 0x10000 + ((n - 0xd800) << 10) + (hex4(t->at + 2) - 0xdc00);
        t->at += 6;
    }
    if (n < 0x80)
        return n;
    int more = n < 0x800 ? 1 : n < 0x10000 ? 2 : 3;
    for (t->rests = 0; t->rests < more; t->rests++, n >>= 6)
        t->rest[t->rests] = 0x80 | (n & 0x3f);
    return (more == 1 ? 0xc0 : more == 2 ? 0xe0 : 0xf0) | n;
}

#endif
