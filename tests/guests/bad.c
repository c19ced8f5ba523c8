// bad.c: what guests should not do.
// SPDX-License-Identifier: Apache-2.0
#include "plexus_pdk.h"

#define WASI(name)                                                                                 \
    __attribute__((import_module("wasi_snapshot_preview1"), import_name(#name))) extern
WASI(proc_exit) void proc_exit(int32_t code);
WASI(poll_oneoff)
int32_t poll_oneoff(const void *in, void *out, size_t n, size_t *ret);
WASI(fd_write) int32_t fd_write(int32_t fd, const void *iov, size_t n, size_t *ret);
WASI(random_get) int32_t random_get(void *p, size_t n);

static uint64_t number(void) // of the input
{
    size_t n;
    uint64_t value = 0;
    for (const char *p = pdk_input(&n); p && *p >= '0' && *p <= '9'; p++)
        value = value * 10 + (uint64_t)(*p - '0');
    return value;
}

PDK_TOOL(bomb) // all memory that there is, until there is no more
{
    for (;;) {
        size_t at = __builtin_wasm_memory_grow(0, 16);
        if (at == (size_t)-1)
            __builtin_trap();
        memset((void *)(at << 16), 1, 16 << 16);
    }
}

PDK_TOOL(grow) // to so many pages; 0 when it may
{
    size_t want = (size_t)number(), have = __builtin_wasm_memory_size(0);
    if (want > have && __builtin_wasm_memory_grow(0, want - have) == (size_t)-1)
        return 2;
    *(volatile char *)((want << 16) - 1) = 1;
    return 0;
}

PDK_TOOL(kernel_bomb)
{
    for (;;) {
        uint64_t at = pdk_alloc(1 << 20);
        if (!at)
            __builtin_trap();
        pdk_store_u64(at, 1);
    }
}

PDK_TOOL(output) // so many bytes
{
    uint64_t n = number(), at = pdk_alloc(n);
    if (!at)
        return pdk_error("no memory");
    pdk_output_set(at, n);
    return 0;
}

PDK_TOOL(claims) // an output that is longer than its block
{
    pdk_output_set(pdk_alloc(8), 1u << 31);
    return 0;
}

PDK_TOOL(calls) // so many calls to the host
{
    for (uint64_t n = number(); n; n--)
        (void)pdk_config_get(pdk_block("x", 1));
    return 0;
}

static uint32_t bottom; // never reached
__attribute__((noinline)) static uint32_t deeper(uint32_t n, uint32_t a)
{
    if (n == bottom)
        return a;
    uint32_t b = deeper(n + 1, a ^ n);
    return b * n + deeper(n + 2, b);
}
PDK_TOOL(deep)
{
    bottom = (uint32_t)number() - 1;
    return (int32_t)deeper(1, 3);
}

PDK_TOOL(outside)
{
    return *(volatile int32_t *)0xfffffff0;
}

PDK_TOOL(divide)
{
    volatile uint32_t a = 1000, b = (uint32_t)number();
    return (int32_t)(a / b);
}

PDK_TOOL(leave)
{
    proc_exit((int32_t)number());
    return 0;
}

PDK_TOOL(error) // says so, and returns success
{
    (void)pdk_error("the guest's own words");
    return 0;
}

PDK_TOOL(error_trap)
{
    (void)pdk_error("before the trap");
    __builtin_trap();
}

PDK_TOOL(returns)
{
    return (int32_t)number();
}

PDK_TOOL(sleep) // so many ms
{
    struct {
        uint64_t user, tag;
        uint32_t id, pad;
        uint64_t timeout, precision, flags;
    } in = {.timeout = number() * 1000000, .id = 1};
    char event[32];
    size_t got = 0;
    if (sizeof in != 48 || poll_oneoff(&in, event, 1, &got) != 0 || got != 1)
        return pdk_error("poll_oneoff");
    return 0;
}

PDK_TOOL(vars) // fills them
{
    char key[8] = "k0000000";
    for (uint32_t i = 0;; i++) {
        for (uint32_t d = 7, x = i; d > 0; d--, x /= 10)
            key[d] = (char)('0' + x % 10);
        pdk_var_set(pdk_block(key, 8), pdk_block(key, 8));
    }
}

PDK_TOOL(logs) // so many lines
{
    for (uint64_t n = number(); n; n--)
        pdk_log_info(pdk_block("line", 4));
    return 0;
}

PDK_TOOL(prints) // lines on standard output, the last one without an end
{
    struct {
        const char *p;
        size_t n;
    } v[2] = {{"one\ntw", 6}, {"o\nthree", 7}};
    size_t got;
    return fd_write(1, v, 2, &got) == 0 && got == 13 ? 0 : 1;
}

PDK_TOOL(random)
{
    char p[16];
    return random_get(p, sizeof p) == 0 ? pdk_output(p, sizeof p) : 1;
}

PDK_TOOL(bad_handle)
{
    (void)pdk_config_get(12345);
    return 0;
}

PDK_TOOL(everywhere) // reads and writes of the kernel's memory at places that are not there
{
    static const uint64_t places[] = {0,     1,          7,          65528,          65529,
                                      65536, 1ull << 31, 1ull << 32, UINT64_MAX - 7, UINT64_MAX};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        pdk_store_u64(places[i], 0x4141414141414141);
        pdk_store_u8(places[i], 0x42);
        (void)pdk_load_u64(places[i]);
        (void)pdk_load_u8(places[i]);
        (void)pdk_length(places[i]);
        pdk_free(places[i]);
        pdk_output_set(places[i], 8);
        pdk_error_set(places[i]);
    }
    pdk_error_set(0);
    return pdk_output("whole", 5);
}

PDK_TOOL(untouched) // does a fresh instance begin with zeros?
{
    static char big[1 << 16];
    for (size_t i = 0; i < sizeof big; i++)
        if (big[i])
            return pdk_error("somebody was here");
    memset(big, 7, sizeof big);
    uint64_t at = pdk_alloc(4096);
    for (uint64_t i = 0; i < 4096; i++)
        if (pdk_load_u8(at + i))
            return pdk_error("the kernel's memory is not empty");
    for (uint64_t i = 0; i < 4096; i++)
        pdk_store_u8(at + i, 9);
    return 0;
}

__attribute__((export_name("takes"))) int32_t takes(int32_t a);
int32_t takes(int32_t a)
{
    return a;
}
__attribute__((export_name("gives_long"))) int64_t gives_long(void);
int64_t gives_long(void)
{
    return 1;
}
