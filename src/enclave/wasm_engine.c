// wasm_engine.c: wasmtime set up for code that nobody trusts, and the functions that such code may
// import. SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "enclave/enclave_priv.h"

#include <string.h>

// Sanitizers own the signals that wasmtime would turn into traps: then it checks each access.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SIGNALS false
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SIGNALS false
#endif
#endif
#ifndef SIGNALS
#define SIGNALS true
#endif

enum { STACK_BYTES = 1 << 20 }; // of a worker's 8 MiB
#define RESERVE (4ull << 30) // all that 32 bits reach, so that no access needs a check ...
#define GUARD (32ull << 20)  // ... nor one with a small offset

int wasm_error_take(const struct wasm_api *a, void *error, int code, const char *what,
                    struct err *e)
{
    struct wasm_vec text = {0};
    a->wasmtime_error_message(error, &text);
    int n = (int)(text.size < ERR_TEXT_MAX ? text.size : ERR_TEXT_MAX);
    (void)err_set(e, code, "%s%.*s", what, n, text.data ? (const char *)text.data : "");
    a->wasm_byte_vec_delete(&text);
    a->wasmtime_error_delete(error);
    return code;
}

// ---- linear memories of our own -----------------------------------------------------------------

static uint8_t *memory_get(void *env, size_t *bytes, size_t *capacity)
{
    struct wasm_slot *s = env;
    *bytes = s->bytes;
    *capacity = s->mapped - GUARD;
    return s->base;
}

static bool over(struct wasm_job *j, size_t bytes)
{
    uint64_t pages = (bytes + WASM_PAGE - 1) / WASM_PAGE;
    return pages + wasm_kernel_size(&j->inst->kernel) / WASM_PAGE > j->limits.pages;
}

static void *memory_grow(void *env, size_t bytes)
{
    struct wasm_slot *s = env;
    struct wasm_job *j = wasm_now();
    if (!over(j, bytes) && wasm_slot_grow(s, bytes))
        return NULL;
    j->refused = true;
    return wasm_api()->wasmtime_error_new("memory limit"); // the guest sees -1
}

static void memory_end(void *env)
{
    wasm_slot_give(env);
}

static void *memory_make(void *env, const void *type, size_t min, size_t max, size_t reserved,
                         size_t guard, struct wasm_linear *ret)
{
    (void)type;
    (void)max;
    struct wasm_job *j = wasm_now();
    if (over(j, min)) {
        j->refused = true;
        return wasm_api()->wasmtime_error_new("memory limit");
    }
    struct wasm_slot *s = wasm_slot_take(env, WASM_SLOT_GUEST, min, reserved, guard);
    if (!s)
        return wasm_api()->wasmtime_error_new("out of address space");
    j->inst->memory = s;
    *ret = (struct wasm_linear){s, memory_get, memory_grow, memory_end};
    return NULL;
}

// ---- functions ----------------------------------------------------------------------------------

static int valtypes(const struct wasm_api *a, const char *from, const char *to,
                    struct wasm_vec *ret)
{
    void *types[16];
    size_t n = 0;
    for (; from < to; from++) {
        if (n == sizeof types / sizeof *types || (*from != 'I' && *from != 'i'))
            return E_INVALID;
        types[n++] = a->wasm_valtype_new(*from == 'I' ? WASM_I64 : WASM_I32);
    }
    a->wasm_valtype_vec_new(ret, n, types);
    return 0;
}

static int define(const struct wasm_api *a, void *linker, const char *space, const char *name,
                  const char *type, wasm_host_fn *fn, void *env, struct err *e)
{
    const char *mid = strchr(type, '>');
    struct wasm_vec params, results;
    if (!mid || strlen(mid) > 2 || valtypes(a, type, mid, &params) != 0 ||
        valtypes(a, mid + 1, mid + strlen(mid), &results) != 0)
        return err_set(e, E_INVALID, "%s: a type is made of I, i and >, not %s", name, type);
    void *of = a->wasm_functype_new(&params, &results);
    void *error = a->wasmtime_linker_define_func_unchecked(linker, space, strlen(space), name,
                                                           strlen(name), of, fn, env, NULL);
    a->wasm_functype_delete(of);
    return error ? wasm_error_take(a, error, E_INTERNAL, "", e) : 0;
}

static int define_all(const struct wasm_api *a, void *linker, const char *space,
                      const struct wasm_host *hosts, bool dirs, struct err *e)
{
    int rc = 0;
    for (; hosts->name && rc == 0; hosts++)
        if (!dirs || hosts->with_dirs)
            rc = define(a, linker, space, hosts->name, hosts->type, hosts->fn, NULL, e);
    return rc;
}

// enclave.h's functions: their arguments as 64 bits, whatever they are.
static void *user_call(void *env, void *caller, union wasm_raw *v, size_t n)
{
    (void)caller;
    const struct enclave_function *f = env;
    struct wasm_job *j = wasm_now();
    void *stop = wasm_counted(j);
    if (stop)
        return stop;
    uint64_t args[16] = {0}, ret = 0;
    struct err e = {0};
    for (size_t i = 0; i < n && f->type[i] != '>' && i < 16; i++)
        args[i] = f->type[i] == 'I' ? (uint64_t)v[i].i64 : (uint32_t)v[i].i32;
    if (f->fn(f->user, (struct enclave_guest *)j, args, &ret, &e) != 0)
        return wasm_stop(j, SANDBOX_TRAP, "%s: %s", f->name, e.text);
    if (n)
        v[0].i64 = (int64_t)ret;
    return NULL;
}

static int define_user(struct enclave *c, void *linker, struct err *e)
{
    int rc = 0;
    for (size_t i = 0; i < c->args.nfunctions && rc == 0; i++) {
        const struct enclave_function *f = &c->args.functions[i];
        rc = define(c->api, linker, f->space ? f->space : "extism:host/user", f->name, f->type,
                    user_call, (void *)(uintptr_t)f, e);
    }
    return rc;
}

static int linker_make(struct enclave *c, void *engine, bool dirs, void **ret, struct err *e)
{
    const struct wasm_api *a = c->api;
    void *l = a->wasmtime_linker_new(engine);
    a->wasmtime_linker_allow_shadowing(l, true);
    void *error = dirs ? a->wasmtime_linker_define_wasi(l) : NULL;
    int rc = error ? wasm_error_take(a, error, E_INTERNAL, "WASI: ", e) : 0;
    if (rc == 0)
        rc = define_all(a, l, "wasi_snapshot_preview1", wasm_wasi_hosts, dirs, e);
    if (rc == 0)
        rc = define_all(a, l, "extism:host/env", wasm_env_hosts, false, e);
    if (rc == 0)
        rc = define_all(a, l, "extism:host/env", wasm_http_hosts, false, e);
    if (rc == 0)
        rc = define_user(c, l, e);
    if (rc == 0)
        *ret = l;
    else
        a->wasmtime_linker_delete(l);
    return rc;
}

static void *engine_make(struct enclave *c, bool fuel)
{
    const struct wasm_api *a = c->api;
    void *config = a->wasm_config_new();
    struct wasm_creator creator = {.env = &c->memories, .make = memory_make};
    a->wasmtime_config_epoch_interruption_set(config, true);
    a->wasmtime_config_consume_fuel_set(config, fuel);
    a->wasmtime_config_max_wasm_stack_set(config, STACK_BYTES);
    a->wasmtime_config_wasm_threads_set(config, false);
    a->wasmtime_config_wasm_memory64_set(config, false);
    a->wasmtime_config_wasm_multi_memory_set(config, false);
    a->wasmtime_config_wasm_custom_page_sizes_set(config, false);
    a->wasmtime_config_wasm_gc_set(config, false); // its heap would be no one's limit
    a->wasmtime_config_signals_based_traps_set(config, SIGNALS && !c->args.no_signals);
    a->wasmtime_config_parallel_compilation_set(config, false); // on the worker, not on all cores
    a->wasmtime_config_memory_init_cow_set(config, false);
    a->wasmtime_config_memory_may_move_set(config, false);
    a->wasmtime_config_memory_reservation_set(config, RESERVE);
    a->wasmtime_config_memory_guard_size_set(config, GUARD);
    a->wasmtime_config_host_memory_creator_set(config, &creator);
    return a->wasm_engine_new_with_config(config); // takes it
}

int wasm_engine_make(struct enclave *c, int variant, struct err *e)
{
    struct wasm_engine *g = &c->engines[variant];
    if (g->linker)
        return 0;
    if (!g->engine) {
        void *engine = engine_make(c, variant == WASM_FUEL);
        if (!engine)
            return err_set(e, E_INTERNAL, "wasmtime refuses its settings");
        lock_take(c->tick); // the ticker looks for it
        g->engine = engine;
        lock_give(c->tick);
    }
    return linker_make(c, g->engine, false, &g->linker, e);
}

int wasm_engine_dirs(struct enclave *c, int variant, struct err *e)
{
    struct wasm_engine *g = &c->engines[variant];
    return g->linker_dirs ? 0 : linker_make(c, g->engine, true, &g->linker_dirs, e);
}

void wasm_engines_fini(struct enclave *c)
{
    for (int i = 0; i < WASM_VARIANTS; i++) {
        struct wasm_engine *g = &c->engines[i];
        if (g->linker)
            c->api->wasmtime_linker_delete(g->linker);
        if (g->linker_dirs)
            c->api->wasmtime_linker_delete(g->linker_dirs);
        if (g->engine)
            c->api->wasm_engine_delete(g->engine);
    }
}
