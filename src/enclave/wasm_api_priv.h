// wasm_api_priv.h: wasmtime's C API (wasm.h, wasmtime.h of version 50) as a table of our own,
// filled by dlopen, so that plexus is built and runs without it. Of the API's types only the shapes
// that calls carry are here; wasm_abi_test compares them with what wasmtime's package for Python
// says. SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_ENCLAVE_WASM_API_PRIV_H
#define PLEXUS_ENCLAVE_WASM_API_PRIV_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WASM_VERSION "50.0.1" // what deps/pins.txt has, and what this was written for

struct wasm_vec { // wasm_byte_vec_t, and any other vector: of bytes or of pointers
    size_t size;
    void *data;
};
struct wasm_func { // wasmtime_func_t
    uint64_t store;
    void *of;
};
struct wasm_instance { // wasmtime_instance_t
    uint64_t store;
    size_t of;
};
struct wasm_extern { // wasmtime_extern_t
    uint8_t kind;
    union {
        struct wasm_func func;
        struct {
            uint64_t store;
            uint32_t of[3];
        } other; // global, table, memory, tag: as large as the largest
        void *shared;
    } of;
};
union wasm_raw { // wasmtime_val_raw_t
    int32_t i32;
    int64_t i64;
    float f32;
    double f64;
    uint8_t v128[16];
    void *ref;
};
struct wasm_linear { // wasmtime_linear_memory_t
    void *env;
    uint8_t *(*get)(void *env, size_t *bytes, size_t *capacity);
    void *(*grow)(void *env, size_t bytes); // NULL, or a wasmtime_error_t
    void (*finalizer)(void *env);
};
struct wasm_creator { // wasmtime_memory_creator_t
    void *env;
    void *(*make)(void *env, const void *type, size_t min, size_t max, size_t reserved,
                  size_t guard, struct wasm_linear *ret);
    void (*finalizer)(void *env);
};
enum { // wasm_externkind_t, wasmtime_extern_kind_t
    WASM_FUNC = 0,
    WASM_GLOBAL = 1,
    WASM_TABLE = 2,
    WASM_MEMORY = 3,
};
enum { WASM_I32 = 0, WASM_I64 = 1, WASM_F32 = 2, WASM_F64 = 3 }; // wasm_valkind_t
enum { // wasmtime_trap_code_t, the ones that mean something to us
    WASM_TRAP_STACK = 0,
    WASM_TRAP_BOUNDS = 1,
    WASM_TRAP_UNREACHABLE = 9,
    WASM_TRAP_INTERRUPT = 10,
    WASM_TRAP_FUEL = 11,
};

typedef void *wasm_host_fn(void *env, void *caller, union wasm_raw *args, size_t n);
typedef void *wasm_epoch_fn(void *context, void *data, uint64_t *delta, uint8_t *kind);

// Returns, name, arguments. void * is a pointer to one of the API's own types.
#define WASM_API(X)                                                                                \
    X(void *, wasm_config_new, (void))                                                             \
    X(void, wasmtime_config_epoch_interruption_set, (void *c, bool on))                            \
    X(void, wasmtime_config_consume_fuel_set, (void *c, bool on))                                  \
    X(void, wasmtime_config_max_wasm_stack_set, (void *c, size_t n))                               \
    X(void, wasmtime_config_wasm_threads_set, (void *c, bool on))                                  \
    X(void, wasmtime_config_wasm_memory64_set, (void *c, bool on))                                 \
    X(void, wasmtime_config_wasm_multi_memory_set, (void *c, bool on))                             \
    X(void, wasmtime_config_wasm_gc_set, (void *c, bool on))                                       \
    X(void, wasmtime_config_wasm_custom_page_sizes_set, (void *c, bool on))                        \
    X(void, wasmtime_config_signals_based_traps_set, (void *c, bool on))                           \
    X(void, wasmtime_config_parallel_compilation_set, (void *c, bool on))                          \
    X(void, wasmtime_config_memory_init_cow_set, (void *c, bool on))                               \
    X(void, wasmtime_config_memory_may_move_set, (void *c, bool on))                               \
    X(void, wasmtime_config_memory_reservation_set, (void *c, uint64_t n))                         \
    X(void, wasmtime_config_memory_guard_size_set, (void *c, uint64_t n))                          \
    X(void, wasmtime_config_host_memory_creator_set, (void *c, const struct wasm_creator *m))      \
    X(void *, wasm_engine_new_with_config, (void *c))                                              \
    X(void, wasm_engine_delete, (void *e))                                                         \
    X(void, wasmtime_engine_increment_epoch, (void *e))                                            \
    X(void *, wasmtime_module_new, (void *e, const uint8_t *p, size_t n, void **ret))              \
    X(void, wasmtime_module_delete, (void *m))                                                     \
    X(void *, wasmtime_module_serialize, (void *m, struct wasm_vec *ret))                          \
    X(void *, wasmtime_module_deserialize, (void *e, const uint8_t *p, size_t n, void **ret))      \
    X(void, wasmtime_module_imports, (const void *m, struct wasm_vec *ret))                        \
    X(void, wasmtime_module_exports, (const void *m, struct wasm_vec *ret))                        \
    X(void, wasm_importtype_vec_delete, (struct wasm_vec * v))                                     \
    X(void, wasm_exporttype_vec_delete, (struct wasm_vec * v))                                     \
    X(const struct wasm_vec *, wasm_importtype_module, (const void *t))                            \
    X(const struct wasm_vec *, wasm_importtype_name, (const void *t))                              \
    X(const void *, wasm_importtype_type, (const void *t))                                         \
    X(const struct wasm_vec *, wasm_exporttype_name, (const void *t))                              \
    X(const void *, wasm_exporttype_type, (const void *t))                                         \
    X(uint8_t, wasm_externtype_kind, (const void *t))                                              \
    X(const void *, wasm_externtype_as_functype_const, (const void *t))                            \
    X(const struct wasm_vec *, wasm_functype_params, (const void *t))                              \
    X(const struct wasm_vec *, wasm_functype_results, (const void *t))                             \
    X(uint8_t, wasm_valtype_kind, (const void *t))                                                 \
    X(void *, wasm_valtype_new, (uint8_t kind))                                                    \
    X(void, wasm_valtype_vec_new, (struct wasm_vec * ret, size_t n, void *const *p))               \
    X(void *, wasm_functype_new,                                                                   \
      (struct wasm_vec * takes_params, struct wasm_vec * takes_results))                           \
    X(void, wasm_functype_delete, (void *t))                                                       \
    X(void, wasm_byte_vec_delete, (struct wasm_vec * v))                                           \
    X(void *, wasmtime_linker_new, (void *e))                                                      \
    X(void, wasmtime_linker_delete, (void *l))                                                     \
    X(void, wasmtime_linker_allow_shadowing, (void *l, bool on))                                   \
    X(void *, wasmtime_linker_define_wasi, (void *l))                                              \
    X(void *, wasmtime_linker_define_func_unchecked,                                               \
      (void *l, const char *module, size_t module_n, const char *name, size_t name_n,              \
       const void *type, wasm_host_fn *fn, void *env, void (*finalizer)(void *)))                  \
    X(void *, wasmtime_linker_instantiate_pre, (const void *l, const void *m, void **ret))         \
    X(void, wasmtime_instance_pre_delete, (void *p))                                               \
    X(void *, wasmtime_instance_pre_instantiate,                                                   \
      (const void *p, void *context, struct wasm_instance *ret, void **ret_trap))                  \
    X(bool, wasmtime_instance_export_get,                                                          \
      (void *context, const struct wasm_instance *i, const char *name, size_t n,                   \
       struct wasm_extern *ret))                                                                   \
    X(void *, wasmtime_store_new, (void *e, void *data, void (*finalizer)(void *)))                \
    X(void *, wasmtime_store_context, (void *s))                                                   \
    X(void, wasmtime_store_limiter,                                                                \
      (void *s, int64_t memory, int64_t elements, int64_t instances, int64_t tables,               \
       int64_t memories))                                                                          \
    X(void, wasmtime_store_delete, (void *s))                                                      \
    X(void, wasmtime_store_epoch_deadline_callback,                                                \
      (void *s, wasm_epoch_fn *fn, void *data, void (*finalizer)(void *)))                         \
    X(void, wasmtime_context_set_epoch_deadline, (void *context, uint64_t ticks))                  \
    X(void *, wasmtime_context_set_fuel, (void *context, uint64_t fuel))                           \
    X(void *, wasmtime_context_get_fuel, (void *context, uint64_t *ret))                           \
    X(void *, wasmtime_context_set_wasi, (void *context, void *takes_config))                      \
    X(void *, wasmtime_func_call_unchecked,                                                        \
      (void *context, const struct wasm_func *f, union wasm_raw *args, size_t n, void **ret_trap)) \
    X(void *, wasmtime_error_new, (const char *text))                                              \
    X(void, wasmtime_error_delete, (void *e))                                                      \
    X(void, wasmtime_error_message, (const void *e, struct wasm_vec *ret))                         \
    X(bool, wasmtime_error_exit_status, (const void *e, int *ret))                                 \
    X(void *, wasmtime_trap_new, (const char *text, size_t n))                                     \
    X(bool, wasmtime_trap_code, (const void *t, uint8_t *ret))                                     \
    X(void, wasm_trap_message, (const void *t, struct wasm_vec *ret))                              \
    X(void, wasm_trap_delete, (void *t))                                                           \
    X(void *, wasi_config_new, (void))                                                             \
    X(void, wasi_config_delete, (void *c))                                                         \
    X(bool, wasi_config_preopen_dir, (void *c, const char *host, const char *guest, bool write))   \
    X(void, wasi_config_set_stdout_custom,                                                         \
      (void *c, ptrdiff_t (*fn)(void *data, const uint8_t *p, size_t n), void *data,               \
       void (*finalizer)(void *)))                                                                 \
    X(void, wasi_config_set_stderr_custom,                                                         \
      (void *c, ptrdiff_t (*fn)(void *data, const uint8_t *p, size_t n), void *data,               \
       void (*finalizer)(void *)))

struct wasm_api {
#define X(type, name, args) type(*name) args;
    WASM_API(X)
#undef X
};

// Loads the library once for the process; it is never unloaded (its signal handlers stay). NULL and
// E_UNAVAILABLE: the library cannot be loaded, or lacks a function: e says which.
const struct wasm_api *wasm_api_load(const char *path, struct err *e);
// The same, from where it is already loaded; NULL: it is not.
const struct wasm_api *wasm_api(void);

#endif
