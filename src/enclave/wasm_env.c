// wasm_env.c: the kernel's functions as guests import them from extism:host/env: blocks of memory,
// input, output, error, config, vars, log. Their names, types and meaning are Extism's (its kernel
// and its PDKs); offsets that lie nowhere read as zero and write nothing.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "base/log.h"
#include "enclave/enclave_priv.h"

#include <string.h>

#define HOST(name) static void *name(void *env, void *caller, union wasm_raw *v, size_t n)
#define UNUSED (void)env, (void)caller, (void)n
#define KERNEL (&wasm_now()->inst->kernel)

HOST(f_alloc)
{
    UNUSED;
    struct wasm_job *j = wasm_now();
    v[0].i64 = (int64_t)wasm_kernel_alloc(&j->inst->kernel, (uint64_t)v[0].i64,
                                          wasm_kernel_pages_max(j), &j->refused);
    return NULL;
}

HOST(f_free)
{
    UNUSED;
    wasm_kernel_free(KERNEL, (uint64_t)v[0].i64);
    return NULL;
}

HOST(f_length)
{
    UNUSED;
    v[0].i64 = (int64_t)wasm_kernel_length(KERNEL, (uint64_t)v[0].i64);
    return NULL;
}

static uint64_t load(struct bytes from, uint64_t at, size_t n)
{
    uint64_t value = 0;
    if (at <= from.n && n <= from.n - at)
        memcpy(&value, from.p + at, n); // little-endian, as all hosts that wasmtime compiles for
    return value;
}

static struct bytes all_of(const struct wasm_kernel *k)
{
    return (struct bytes){(const char *)k->slot->base, k->slot->bytes};
}

HOST(f_load_u8)
{
    UNUSED;
    v[0].i64 = (int64_t)load(all_of(KERNEL), (uint64_t)v[0].i64, 1);
    return NULL;
}

HOST(f_load_u64)
{
    UNUSED;
    v[0].i64 = (int64_t)load(all_of(KERNEL), (uint64_t)v[0].i64, 8);
    return NULL;
}

static struct bytes input_of(const struct wasm_kernel *k)
{
    return wasm_kernel_part(k, k->input_at, k->input_n);
}

HOST(f_input_load_u8)
{
    UNUSED;
    v[0].i64 = (int64_t)load(input_of(KERNEL), (uint64_t)v[0].i64, 1);
    return NULL;
}

HOST(f_input_load_u64)
{
    UNUSED;
    v[0].i64 = (int64_t)load(input_of(KERNEL), (uint64_t)v[0].i64, 8);
    return NULL;
}

static void store(struct wasm_kernel *k, uint64_t at, const void *p, size_t n)
{
    size_t size = wasm_kernel_size(k);
    if (at > size || n > size - at)
        return;
    memcpy(k->slot->base + at, p, n);
    if (k->dirty < at + n)
        k->dirty = at + n;
}

HOST(f_store_u8)
{
    UNUSED;
    uint8_t byte = (uint8_t)v[1].i32;
    store(KERNEL, (uint64_t)v[0].i64, &byte, 1);
    return NULL;
}

HOST(f_store_u64)
{
    UNUSED;
    store(KERNEL, (uint64_t)v[0].i64, &v[1].i64, 8);
    return NULL;
}

HOST(f_input_set)
{
    UNUSED;
    struct wasm_kernel *k = KERNEL;
    if (wasm_kernel_part(k, (uint64_t)v[0].i64, (uint64_t)v[1].i64).p) {
        k->input_at = (uint64_t)v[0].i64;
        k->input_n = (uint64_t)v[1].i64;
    }
    return NULL;
}

HOST(f_output_set)
{
    UNUSED;
    struct wasm_job *j = wasm_now();
    struct wasm_kernel *k = &j->inst->kernel;
    uint64_t at = (uint64_t)v[0].i64, length = (uint64_t)v[1].i64;
    if (length > j->limits.output_bytes)
        return wasm_stop(j, SANDBOX_OUTPUT, "the output has %llu bytes, at most %zu are allowed",
                         (unsigned long long)length, j->limits.output_bytes);
    if (!wasm_kernel_part(k, at, length).p)
        return NULL;
    k->output_at = at;
    k->output_n = length;
    return NULL;
}

HOST(f_input_length)
{
    UNUSED;
    v[0].i64 = (int64_t)KERNEL->input_n;
    return NULL;
}

HOST(f_input_offset)
{
    UNUSED;
    v[0].i64 = (int64_t)KERNEL->input_at;
    return NULL;
}

HOST(f_output_length)
{
    UNUSED;
    v[0].i64 = (int64_t)KERNEL->output_n;
    return NULL;
}

HOST(f_output_offset)
{
    UNUSED;
    v[0].i64 = (int64_t)KERNEL->output_at;
    return NULL;
}

HOST(f_reset)
{
    UNUSED;
    (void)v;
    wasm_kernel_reset(KERNEL);
    return NULL;
}

HOST(f_error_set)
{
    UNUSED;
    struct wasm_kernel *k = KERNEL;
    uint64_t at = (uint64_t)v[0].i64;
    if (at == 0 || wasm_kernel_part(k, at, 1).p)
        k->error_at = at;
    return NULL;
}

HOST(f_error_get)
{
    UNUSED;
    v[0].i64 = (int64_t)KERNEL->error_at;
    return NULL;
}

HOST(f_memory_bytes)
{
    UNUSED;
    v[0].i64 = (int64_t)wasm_kernel_size(KERNEL);
    return NULL;
}

// ---- config, vars, log --------------------------------------------------------------------------

// What a handle stands for; 0 is nothing. false: there is no such block.
static bool block(struct wasm_kernel *k, uint64_t handle, struct bytes *ret)
{
    *ret = wasm_kernel_block(k, handle);
    return handle == 0 || ret->p;
}

static void *bad_handle(struct wasm_job *j, const char *what, uint64_t handle)
{
    return wasm_stop(j, SANDBOX_TRAP, "invalid handle offset for %s: %llu", what,
                     (unsigned long long)handle);
}

HOST(f_config_get)
{
    UNUSED;
    struct wasm_job *j = wasm_now();
    struct wasm_kernel *k = &j->inst->kernel;
    uint64_t handle = (uint64_t)v[0].i64;
    struct bytes key;
    void *stop = wasm_counted(j);
    if (stop)
        return stop;
    if (!block(k, handle, &key))
        return bad_handle(j, "config key", handle);
    const struct val *value = j->call->grants.config ? val_get(j->call->grants.config, key) : NULL;
    wasm_kernel_free(k, handle);
    v[0].i64 = val_is(value, JSON_STR) ? (int64_t)wasm_give(j, val_bytes(value)) : 0;
    return NULL;
}

static void var_free(struct wasm_var *x)
{
    if (x)
        mem_free(x->value);
    mem_free(x);
}

HOST(f_var_get)
{
    UNUSED;
    struct wasm_job *j = wasm_now();
    struct wasm_kernel *k = &j->inst->kernel;
    uint64_t handle = (uint64_t)v[0].i64;
    struct bytes key;
    void *stop = wasm_counted(j);
    if (stop)
        return stop;
    if (!block(k, handle, &key))
        return bad_handle(j, "var key", handle);
    const struct wasm_var *x = j->inst->vars ? map_get(j->inst->vars, key) : NULL;
    wasm_kernel_free(k, handle);
    v[0].i64 = x ? (int64_t)wasm_give(j, (struct bytes){x->value, x->n}) : 0;
    return NULL;
}

enum { VAR_COST = 48, VARS_MAX = 4096 }; // what one takes beside its bytes

static void var_remove(struct wasm_inst *i, struct bytes key)
{
    struct wasm_var *old = i->vars ? map_del(i->vars, key) : NULL;
    if (!old)
        return;
    i->vars_bytes -= VAR_COST + key.n + old->n;
    var_free(old);
}

static int var_put(struct wasm_inst *i, struct bytes key, struct bytes value)
{
    if (!i->vars && !(i->vars = map_new(VARS_MAX)))
        return E_NOMEM;
    struct wasm_var *x = mem_new(struct wasm_var);
    if (!x || !(x->value = mem_dup(value.p, value.n))) {
        mem_free(x);
        return E_NOMEM;
    }
    x->n = value.n;
    var_remove(i, key);
    int rc = map_put(i->vars, key, x, NULL);
    if (rc != 0)
        var_free(x);
    else
        i->vars_bytes += VAR_COST + key.n + value.n;
    return rc;
}

HOST(f_var_set)
{
    UNUSED;
    struct wasm_job *j = wasm_now();
    struct wasm_kernel *k = &j->inst->kernel;
    uint64_t key_at = (uint64_t)v[0].i64, value_at = (uint64_t)v[1].i64;
    struct bytes key, value;
    void *stop = wasm_counted(j);
    if (stop)
        return stop;
    if (!block(k, key_at, &key))
        return bad_handle(j, "var key", key_at);
    if (!block(k, value_at, &value))
        return bad_handle(j, "var value", value_at);
    if (value_at == 0) {
        var_remove(j->inst, key);
    } else {
        const struct wasm_var *old = j->inst->vars ? map_get(j->inst->vars, key) : NULL;
        size_t without = j->inst->vars_bytes - (old ? VAR_COST + key.n + old->n : 0);
        if (without + VAR_COST + key.n + value.n > j->limits.vars_bytes)
            return wasm_stop(j, SANDBOX_VARS, "the guest's vars take more than %zu bytes",
                             j->limits.vars_bytes);
        if (var_put(j->inst, key, value) != 0)
            return wasm_stop(j, SANDBOX_VARS, "the guest has more than %d vars", VARS_MAX);
        if (value_at != key_at)
            wasm_kernel_free(k, value_at);
    }
    wasm_kernel_free(k, key_at);
    return NULL;
}

static void *log_line(union wasm_raw *v, int level)
{
    struct wasm_job *j = wasm_now();
    struct wasm_kernel *k = &j->inst->kernel;
    uint64_t handle = (uint64_t)v[0].i64;
    struct bytes line;
    void *stop = wasm_counted(j);
    if (stop)
        return stop;
    if (!block(k, handle, &line))
        return bad_handle(j, "log message", handle);
    wasm_log(j, level, line);
    wasm_kernel_free(k, handle);
    return NULL;
}

#define LOG_HOST(name, level)                                                                      \
    HOST(name)                                                                                     \
    {                                                                                              \
        UNUSED;                                                                                    \
        return log_line(v, level);                                                                 \
    }
LOG_HOST(f_log_trace, LOG_DEBUG)
LOG_HOST(f_log_debug, LOG_DEBUG)
LOG_HOST(f_log_info, LOG_INFO)
LOG_HOST(f_log_warn, LOG_WARN)
LOG_HOST(f_log_error, LOG_ERROR)

HOST(f_get_log_level)
{
    UNUSED;
    v[0].i64 = wasm_now()->call->log ? 1 : INT32_MAX; // 0 trace, 1 debug, ... nobody listens
    return NULL;
}

const struct wasm_host wasm_env_hosts[] = {
    {"alloc", "I>I", f_alloc, false},
    {"free", "I>", f_free, false},
    {"length", "I>I", f_length, false},
    {"length_unsafe", "I>I", f_length, false},
    {"load_u8", "I>i", f_load_u8, false},
    {"load_u64", "I>I", f_load_u64, false},
    {"store_u8", "Ii>", f_store_u8, false},
    {"store_u64", "II>", f_store_u64, false},
    {"input_load_u8", "I>i", f_input_load_u8, false},
    {"input_load_u64", "I>I", f_input_load_u64, false},
    {"input_length", ">I", f_input_length, false},
    {"input_offset", ">I", f_input_offset, false},
    {"input_set", "II>", f_input_set, false},
    {"output_set", "II>", f_output_set, false},
    {"output_length", ">I", f_output_length, false},
    {"output_offset", ">I", f_output_offset, false},
    {"reset", ">", f_reset, false},
    {"error_set", "I>", f_error_set, false},
    {"error_get", ">I", f_error_get, false},
    {"memory_bytes", ">I", f_memory_bytes, false},
    {"config_get", "I>I", f_config_get, false},
    {"var_get", "I>I", f_var_get, false},
    {"var_set", "II>", f_var_set, false},
    {"log_trace", "I>", f_log_trace, false},
    {"log_debug", "I>", f_log_debug, false},
    {"log_info", "I>", f_log_info, false},
    {"log_warn", "I>", f_log_warn, false},
    {"log_error", "I>", f_log_error, false},
    {"get_log_level", ">i", f_get_log_level, false},
    {NULL, NULL, NULL, false},
};
