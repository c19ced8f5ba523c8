// plexus_pdk.h: all that a tool in C needs to run inside plexus: it is called with bytes and answers
// with bytes. The functions below are the Extism ABI (extism.org), so the same module runs in any
// Extism host. Compile with: clang --target=wasm32 -O2 -nostdlib -mbulk-memory -Wl,--no-entry
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_PDK_H
#define PLEXUS_PDK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// A function that plexus may call by this name: int32_t name(void), 0 is success.
#define PDK_TOOL(name)                                                                             \
    __attribute__((export_name(#name))) int32_t name(void);                                        \
    int32_t name(void)

// ---- the host's functions: a handle is a block of memory outside of ours; 0 is none -------------

#define PDK_IMPORT(name)                                                                           \
    __attribute__((import_module("extism:host/env"), import_name(#name))) extern
PDK_IMPORT(alloc) uint64_t pdk_alloc(uint64_t bytes);
PDK_IMPORT(free) void pdk_free(uint64_t handle);
PDK_IMPORT(length) uint64_t pdk_length(uint64_t handle);
PDK_IMPORT(load_u8) uint32_t pdk_load_u8(uint64_t at);
PDK_IMPORT(load_u64) uint64_t pdk_load_u64(uint64_t at);
PDK_IMPORT(store_u8) void pdk_store_u8(uint64_t at, uint32_t byte);
PDK_IMPORT(store_u64) void pdk_store_u64(uint64_t at, uint64_t value);
PDK_IMPORT(input_length) uint64_t pdk_input_length(void);
PDK_IMPORT(input_offset) uint64_t pdk_input_offset(void);
PDK_IMPORT(input_load_u8) uint32_t pdk_input_load_u8(uint64_t at);
PDK_IMPORT(input_load_u64) uint64_t pdk_input_load_u64(uint64_t at);
PDK_IMPORT(output_set) void pdk_output_set(uint64_t handle, uint64_t bytes);
PDK_IMPORT(error_set) void pdk_error_set(uint64_t handle);
PDK_IMPORT(config_get) uint64_t pdk_config_get(uint64_t key);
PDK_IMPORT(var_get) uint64_t pdk_var_get(uint64_t key);
PDK_IMPORT(var_set) void pdk_var_set(uint64_t key, uint64_t value);
PDK_IMPORT(http_request) uint64_t pdk_http_request(uint64_t request, uint64_t body);
PDK_IMPORT(http_status_code) int32_t pdk_http_status_code(void);
PDK_IMPORT(http_headers) uint64_t pdk_http_headers(void);
PDK_IMPORT(log_debug) void pdk_log_debug(uint64_t handle);
PDK_IMPORT(log_info) void pdk_log_info(uint64_t handle);
PDK_IMPORT(log_warn) void pdk_log_warn(uint64_t handle);
PDK_IMPORT(log_error) void pdk_log_error(uint64_t handle);

// ---- memory and text, without a C library -------------------------------------------------------

__attribute__((weak)) void *memcpy(void *to, const void *from, size_t n)
{
    return __builtin_memcpy(to, from, n); // one instruction with -mbulk-memory
}
__attribute__((weak)) void *memset(void *to, int byte, size_t n)
{
    return __builtin_memset(to, byte, n);
}
__attribute__((weak)) int memcmp(const void *a, const void *b, size_t n)
{
    const unsigned char *p = a, *q = b;
    for (; n; n--, p++, q++)
        if (*p != *q)
            return *p - *q;
    return 0;
}
static inline size_t pdk_strlen(const char *s)
{
    size_t n = 0;
    while (s[n])
        n++;
    return n;
}

extern unsigned char __heap_base;
static unsigned char *pdk_heap_;
// Memory until the end of the call (pdk_input begins anew). NULL: no more is allowed.
static inline void *pdk_memory(size_t n)
{
    if (!pdk_heap_)
        pdk_heap_ = &__heap_base;
    unsigned char *p = (unsigned char *)(((uintptr_t)pdk_heap_ + 15) & ~(uintptr_t)15);
    uintptr_t end = (uintptr_t)p + n, have = (uintptr_t)__builtin_wasm_memory_size(0) << 16;
    if (end < n)
        return NULL;
    if (end > have && __builtin_wasm_memory_grow(0, (end - have + 65535) >> 16) == (size_t)-1)
        return NULL;
    pdk_heap_ = (unsigned char *)end;
    return p;
}

// ---- in and out ---------------------------------------------------------------------------------

static inline void pdk_load(uint64_t handle, void *to, size_t n)
{
    unsigned char *p = to;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        uint64_t word = pdk_load_u64(handle + i);
        memcpy(p + i, &word, 8);
    }
    for (; i < n; i++)
        p[i] = (unsigned char)pdk_load_u8(handle + i);
}
static inline uint64_t pdk_block(const void *from, size_t n) // 0: no memory, or n is 0
{
    const unsigned char *p = from;
    uint64_t handle = pdk_alloc(n), word;
    size_t i = 0;
    if (!handle)
        return 0;
    for (; i + 8 <= n; i += 8) {
        memcpy(&word, p + i, 8);
        pdk_store_u64(handle + i, word);
    }
    for (; i < n; i++)
        pdk_store_u8(handle + i, p[i]);
    return handle;
}
// The bytes of a block with a NUL behind them; NULL: none, or no memory.
static inline char *pdk_text(uint64_t handle, size_t *ret_n)
{
    size_t n = handle ? (size_t)pdk_length(handle) : 0;
    char *p = handle ? pdk_memory(n + 1) : NULL;
    if (!p)
        return NULL;
    pdk_load(handle, p, n);
    p[n] = 0;
    if (ret_n)
        *ret_n = n;
    return p;
}
// What the tool was called with, and a NUL behind it.
static inline char *pdk_input(size_t *ret_n)
{
    pdk_heap_ = NULL;
    size_t n = (size_t)pdk_input_length();
    char *p = pdk_memory(n + 9);
    if (!p)
        return NULL;
    for (size_t i = 0; i + 8 <= n; i += 8) {
        uint64_t word = pdk_input_load_u64(i);
        memcpy(p + i, &word, 8);
    }
    for (size_t i = n & ~(size_t)7; i < n; i++)
        p[i] = (char)pdk_input_load_u8(i);
    p[n] = 0;
    *ret_n = n;
    return p;
}
static inline int32_t pdk_output(const void *p, size_t n)
{
    uint64_t handle = pdk_block(p, n);
    if (n && !handle)
        return 1;
    pdk_output_set(handle, n);
    return 0;
}
// What went wrong, for who called; `return pdk_error("...")` ends a tool.
static inline int32_t pdk_error(const char *text)
{
    pdk_error_set(pdk_block(text, pdk_strlen(text)));
    return 1;
}
// A value of the configuration, or NULL.
static inline char *pdk_config(const char *key)
{
    return pdk_text(pdk_config_get(pdk_block(key, pdk_strlen(key))), NULL);
}

// ---- text that grows ----------------------------------------------------------------------------

struct pdk_out {
    char *p;
    size_t n, cap;
    bool failed;
};
static inline void pdk_add(struct pdk_out *o, const char *p, size_t n)
{
    if (o->n + n > o->cap) {
        size_t cap = (o->n + n) * 2 + 256;
        char *more = pdk_memory(cap);
        if (!more) {
            o->failed = true;
            return;
        }
        if (o->n)
            memcpy(more, o->p, o->n);
        o->p = more;
        o->cap = cap;
    }
    memcpy(o->p + o->n, p, n);
    o->n += n;
}
static inline void pdk_puts(struct pdk_out *o, const char *text)
{
    pdk_add(o, text, pdk_strlen(text));
}
static inline void pdk_putc(struct pdk_out *o, char c)
{
    pdk_add(o, &c, 1);
}
static inline void pdk_putu(struct pdk_out *o, uint64_t value)
{
    char digits[20];
    size_t n = sizeof digits;
    do
        digits[--n] = (char)('0' + value % 10);
    while (value /= 10);
    pdk_add(o, digits + n, sizeof digits - n);
}
// A JSON string with its quotes.
static inline void pdk_quote(struct pdk_out *o, const char *p, size_t n)
{
    static const char hex[] = "0123456789abcdef";
    pdk_putc(o, '"');
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)p[i];
        if (c == '"' || c == '\\') {
            pdk_putc(o, '\\');
            pdk_putc(o, (char)c);
        } else if (c == '\n') {
            pdk_puts(o, "\\n");
        } else if (c < ' ') {
            pdk_puts(o, "\\u00");
            pdk_putc(o, hex[c >> 4]);
            pdk_putc(o, hex[c & 15]);
        } else {
            pdk_putc(o, (char)c);
        }
    }
    pdk_putc(o, '"');
}
static inline int32_t pdk_done(struct pdk_out *o)
{
    return o->failed ? pdk_error("out of memory") : pdk_output(o->p, o->n);
}

#endif
