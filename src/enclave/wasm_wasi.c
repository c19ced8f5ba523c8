// wasm_wasi.c: WASI preview 1 for guests that have no folder: clocks, random numbers, sleep, exit;
// standard output and error become log lines, input is empty, no arguments, no environment, and
// every descriptor beyond is EBADF. wasmtime's own serves calls with folders, but for what would
// make a guest outlive its time (wasm_engine.c). Numbers: WASI's witx of snapshot_preview1.
// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"
#include "base/rng.h"
#include "enclave/enclave_priv.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define HOST(name) static void *name(void *env, void *caller, union wasm_raw *v, size_t n)
#define UNUSED (void)env, (void)caller, (void)n
#define COUNTED(j)                                                                                 \
    struct wasm_job *j = wasm_now();                                                               \
    void *stop_ = wasm_counted(j);                                                                 \
    if (stop_)                                                                                     \
    return stop_

enum { OK = 0, BADF = 8, FAULT = 21, INVAL = 28, NOTCAPABLE = 76, NOSYS = 52 };
enum { RANDOM_MAX = 1 << 20, IOV_MAX_ = 1024, SUBSCRIPTIONS_MAX = 1024 };

// A part of the guest's memory; NULL: not inside.
static uint8_t *guest(struct wasm_job *j, uint32_t at, uint64_t n)
{
    struct wasm_slot *s = j->inst->memory;
    return s && at <= s->bytes && n <= s->bytes - at ? s->base + at : NULL;
}

static bool put32(struct wasm_job *j, uint32_t at, uint32_t value)
{
    uint8_t *p = guest(j, at, 4);
    if (p)
        memcpy(p, &value, 4);
    return p != NULL;
}

static bool put64(struct wasm_job *j, uint32_t at, uint64_t value)
{
    uint8_t *p = guest(j, at, 8);
    if (p)
        memcpy(p, &value, 8);
    return p != NULL;
}

static void *give(union wasm_raw *v, int code)
{
    v[0].i64 = code;
    return NULL;
}

HOST(w_badf)
{
    UNUSED;
    COUNTED(j);
    return give(v, BADF);
}

HOST(w_nosys)
{
    UNUSED;
    COUNTED(j);
    return give(v, NOSYS);
}

HOST(w_get_none) // args_get, environ_get: there are none
{
    UNUSED;
    COUNTED(j);
    return give(v, OK);
}

HOST(w_sizes_none)
{
    UNUSED;
    COUNTED(j);
    return give(v, put32(j, (uint32_t)v[0].i32, 0) && put32(j, (uint32_t)v[1].i32, 0) ? OK : FAULT);
}

static bool clock_of(uint32_t id, clockid_t *ret)
{
    static const clockid_t ids[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_THREAD_CPUTIME_ID,
                                    CLOCK_THREAD_CPUTIME_ID};
    if (id >= sizeof ids / sizeof *ids)
        return false;
    *ret = ids[id];
    return true;
}

HOST(w_clock_res_get)
{
    UNUSED;
    COUNTED(j);
    clockid_t id;
    struct timespec t;
    if (!clock_of((uint32_t)v[0].i32, &id) || clock_getres(id, &t) != 0)
        return give(v, INVAL);
    uint64_t ns = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
    return give(v, put64(j, (uint32_t)v[1].i32, ns) ? OK : FAULT);
}

HOST(w_clock_time_get)
{
    UNUSED;
    COUNTED(j);
    clockid_t id;
    struct timespec t;
    if (!clock_of((uint32_t)v[0].i32, &id) || clock_gettime(id, &t) != 0)
        return give(v, INVAL);
    uint64_t ns = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
    return give(v, put64(j, (uint32_t)v[2].i32, ns) ? OK : FAULT);
}

HOST(w_random_get)
{
    UNUSED;
    COUNTED(j);
    uint32_t count = (uint32_t)v[1].i32;
    uint8_t *p = guest(j, (uint32_t)v[0].i32, count);
    if (!p)
        return give(v, FAULT);
    if (count > RANDOM_MAX)
        return give(v, INVAL);
    rng_bytes(p, count);
    return give(v, OK);
}

// 0 input, 1 output, 2 error: character devices with the rights to read or write.
HOST(w_fd_fdstat_get)
{
    UNUSED;
    COUNTED(j);
    uint32_t fd = (uint32_t)v[0].i32;
    if (fd > 2)
        return give(v, BADF);
    uint8_t *p = guest(j, (uint32_t)v[1].i32, 24);
    if (!p)
        return give(v, FAULT);
    memset(p, 0, 24);
    p[0] = 2; // character device
    uint64_t rights = fd == 0 ? 1u << 1 : 1u << 6;
    memcpy(p + 8, &rights, 8);
    return give(v, OK);
}

HOST(w_fd_filestat_get)
{
    UNUSED;
    COUNTED(j);
    if ((uint32_t)v[0].i32 > 2)
        return give(v, BADF);
    uint8_t *p = guest(j, (uint32_t)v[1].i32, 64);
    if (!p)
        return give(v, FAULT);
    memset(p, 0, 64);
    p[16] = 2;
    return give(v, OK);
}

HOST(w_fd_close)
{
    UNUSED;
    COUNTED(j);
    return give(v, (uint32_t)v[0].i32 <= 2 ? OK : BADF);
}

HOST(w_fd_read) // the end, at once
{
    UNUSED;
    COUNTED(j);
    if (v[0].i32 != 0)
        return give(v, BADF);
    return give(v, put32(j, (uint32_t)v[3].i32, 0) ? OK : FAULT);
}

// Whole lines go out at once, the rest waits for its end.
static void said(struct wasm_job *j, int which, struct bytes text)
{
    struct buf *b = &j->out[which];
    while (text.n) {
        ptrdiff_t end = bytes_chr(text, '\n');
        struct bytes part = end < 0 ? text : bytes_first(text, (size_t)end);
        size_t room = WASM_LINE_MAX - b->n;
        (void)buf_put(b, bytes_first(part, room)); // what is longer than a line may be is cut
        if (end < 0)
            return;
        wasm_log(j, which == 0 ? LOG_INFO : LOG_ERROR, buf_bytes(b));
        buf_clear(b);
        text = bytes_from(text, (size_t)end + 1);
    }
}

HOST(w_fd_write)
{
    UNUSED;
    COUNTED(j);
    int32_t fd = v[0].i32;
    uint32_t count = (uint32_t)v[2].i32, total = 0;
    if (fd != 1 && fd != 2)
        return give(v, BADF);
    if (count > IOV_MAX_)
        return give(v, INVAL);
    const uint8_t *iov = guest(j, (uint32_t)v[1].i32, (uint64_t)count * 8);
    if (!iov)
        return give(v, FAULT);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t part[2];
        memcpy(part, iov + (size_t)i * 8, 8);
        const uint8_t *p = guest(j, part[0], part[1]);
        if (!p)
            return give(v, FAULT);
        said(j, fd - 1, (struct bytes){(const char *)p, part[1]});
        total += part[1];
    }
    return give(v, put32(j, (uint32_t)v[3].i32, total) ? OK : FAULT);
}

HOST(w_proc_exit)
{
    UNUSED;
    struct wasm_job *j = wasm_now();
    j->exit_code = v[0].i32;
    return wasm_stop(j, SANDBOX_EXIT, "the guest left with exit code %d", (int)v[0].i32);
}

HOST(w_sched_yield)
{
    UNUSED;
    COUNTED(j);
    return give(v, OK);
}

struct subscription { // 48 bytes: userdata, tag, then of a clock: id, timeout, precision, flags
    uint64_t userdata, timeout;
    uint32_t id;
    uint16_t flags;
    uint8_t tag;
};

static struct subscription subscription(const uint8_t *p)
{
    struct subscription s = {.tag = p[8]};
    memcpy(&s.userdata, p, 8);
    memcpy(&s.id, p + 16, 4);
    memcpy(&s.timeout, p + 24, 8);
    memcpy(&s.flags, p + 40, 2);
    return s;
}

// When it is due, by time_mono_ns.
static bool due(const struct subscription *s, uint64_t now, uint64_t *ret)
{
    clockid_t id;
    struct timespec t;
    if (!clock_of(s->id, &id) || clock_gettime(id, &t) != 0)
        return false;
    uint64_t wait = s->timeout;
    if (s->flags & 1) { // at a time, not after one
        uint64_t then = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
        wait = wait > then ? wait - then : 0;
    }
    *ret = wait > UINT64_MAX - now ? UINT64_MAX : now + wait;
    return true;
}

static void event(uint8_t *p, const struct subscription *s, int error)
{
    uint16_t code = (uint16_t)error;
    memset(p, 0, 32);
    memcpy(p, &s->userdata, 8);
    memcpy(p + 8, &code, 2);
    p[10] = s->tag;
}

HOST(w_poll_oneoff)
{
    UNUSED;
    COUNTED(j);
    uint32_t count = (uint32_t)v[2].i32, ret_at = (uint32_t)v[3].i32, given = 0;
    if (count == 0 || count > SUBSCRIPTIONS_MAX)
        return give(v, INVAL);
    uint8_t *in = guest(j, (uint32_t)v[0].i32, (uint64_t)count * 48);
    uint8_t *out = guest(j, (uint32_t)v[1].i32, (uint64_t)count * 32);
    if (!in || !out || !guest(j, ret_at, 4))
        return give(v, FAULT);
    uint64_t now = time_mono_ns(), first = UINT64_MAX, at;
    for (uint32_t i = 0; i < count; i++) { // a descriptor is ready at once: so is all of it
        struct subscription s = subscription(in + (size_t)i * 48);
        if (s.tag != 0 || !due(&s, now, &at))
            first = now;
        else if (at < first)
            first = at;
    }
    if (first > now) {
        void *stop = wasm_sleep(j, first);
        if (stop)
            return stop;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct subscription s = subscription(in + (size_t)i * 48);
        if (s.tag != 0 || !due(&s, now, &at))
            event(out + (size_t)given++ * 32, &s, s.tag == 0 ? INVAL : OK);
        else if (at <= first)
            event(out + (size_t)given++ * 32, &s, OK);
    }
    return give(v, put32(j, ret_at, given) ? OK : FAULT);
}

const struct wasm_host wasm_wasi_hosts[] = {
    {"args_get", "ii>i", w_get_none, false},
    {"args_sizes_get", "ii>i", w_sizes_none, false},
    {"environ_get", "ii>i", w_get_none, false},
    {"environ_sizes_get", "ii>i", w_sizes_none, false},
    {"clock_res_get", "ii>i", w_clock_res_get, true},
    {"clock_time_get", "iIi>i", w_clock_time_get, true},
    {"random_get", "ii>i", w_random_get, true},
    {"fd_advise", "iIIi>i", w_badf, false},
    {"fd_allocate", "iII>i", w_badf, false},
    {"fd_close", "i>i", w_fd_close, false},
    {"fd_datasync", "i>i", w_badf, false},
    {"fd_fdstat_get", "ii>i", w_fd_fdstat_get, false},
    {"fd_fdstat_set_flags", "ii>i", w_badf, false},
    {"fd_fdstat_set_rights", "iII>i", w_badf, false},
    {"fd_filestat_get", "ii>i", w_fd_filestat_get, false},
    {"fd_filestat_set_size", "iI>i", w_badf, false},
    {"fd_filestat_set_times", "iIIi>i", w_badf, false},
    {"fd_pread", "iiiIi>i", w_badf, false},
    {"fd_prestat_get", "ii>i", w_badf, false},
    {"fd_prestat_dir_name", "iii>i", w_badf, false},
    {"fd_pwrite", "iiiIi>i", w_badf, false},
    {"fd_read", "iiii>i", w_fd_read, false},
    {"fd_readdir", "iiiIi>i", w_badf, false},
    {"fd_renumber", "ii>i", w_badf, false},
    {"fd_seek", "iIii>i", w_badf, false},
    {"fd_sync", "i>i", w_badf, false},
    {"fd_tell", "ii>i", w_badf, false},
    {"fd_write", "iiii>i", w_fd_write, false},
    {"path_create_directory", "iii>i", w_badf, false},
    {"path_filestat_get", "iiiii>i", w_badf, false},
    {"path_filestat_set_times", "iiiiIIi>i", w_badf, false},
    {"path_link", "iiiiiii>i", w_badf, false},
    {"path_open", "iiiiiIIii>i", w_badf, false},
    {"path_readlink", "iiiiii>i", w_badf, false},
    {"path_remove_directory", "iii>i", w_badf, false},
    {"path_rename", "iiiiii>i", w_badf, false},
    {"path_symlink", "iiiii>i", w_badf, false},
    {"path_unlink_file", "iii>i", w_badf, false},
    {"poll_oneoff", "iiii>i", w_poll_oneoff, true},
    {"proc_exit", "i>", w_proc_exit, true},
    {"proc_raise", "i>i", w_nosys, true},
    {"sched_yield", ">i", w_sched_yield, true},
    {"sock_accept", "iii>i", w_badf, true},
    {"sock_recv", "iiiiii>i", w_badf, true},
    {"sock_send", "iiiii>i", w_badf, true},
    {"sock_shutdown", "ii>i", w_badf, true},
    {NULL, NULL, NULL, false},
};
