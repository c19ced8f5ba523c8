// wasm_inst.c: an instance of a module: its store, its memory, its kernel; started and initialized
// as PDKs expect (Extism: hs_init, __wasm_call_ctors or _initialize before the first call).
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "base/log.h"
#include "enclave/enclave_priv.h"
#include "enclave/wasm_run_priv.h"

#include <string.h>

enum { TABLE_ELEMENTS_MAX = 100000, TABLES_MAX = 16 };

uint32_t wasm_guest_pages(const struct wasm_inst *i)
{
    return i->memory ? (uint32_t)((i->memory->bytes + WASM_PAGE - 1) / WASM_PAGE) : 0;
}

uint32_t wasm_kernel_pages_max(const struct wasm_job *j)
{
    uint32_t guest = wasm_guest_pages(j->inst);
    return guest < j->limits.pages ? j->limits.pages - guest : 0;
}

uint64_t wasm_give(struct wasm_job *j, struct bytes data)
{
    struct wasm_kernel *k = &j->inst->kernel;
    uint64_t at = wasm_kernel_alloc(k, data.n, wasm_kernel_pages_max(j), &j->refused);
    if (at)
        memcpy(k->slot->base + at, data.p, data.n);
    return at;
}

static ptrdiff_t said(void *data, const uint8_t *p, size_t n)
{
    (void)data;
    struct wasm_job *j = wasm_now();
    if (j)
        wasm_log(j, LOG_INFO, bytes_trim((struct bytes){(const char *)p, n}));
    return (ptrdiff_t)n;
}

static int folders(struct wasm_job *j, struct err *e)
{
    const struct wasm_api *a = j->enclave->api;
    const struct sandbox_grants *g = &j->call->grants;
    void *config = a->wasi_config_new();
    a->wasi_config_set_stdout_custom(config, said, NULL, NULL);
    a->wasi_config_set_stderr_custom(config, said, NULL, NULL);
    for (size_t i = 0; i < g->ndirs; i++)
        if (!a->wasi_config_preopen_dir(config, g->dirs[i].host, g->dirs[i].guest,
                                        g->dirs[i].write)) {
            a->wasi_config_delete(config);
            return err_set(e, E_NOTFOUND, "the granted folder %s cannot be opened",
                           g->dirs[i].host);
        }
    void *error = a->wasmtime_context_set_wasi(j->inst->context, config); // takes it
    return error ? wasm_error_take(a, error, E_INTERNAL, "WASI: ", e) : 0;
}

static void var_free_all(struct map *vars)
{
    size_t at = 0;
    struct bytes key;
    void *value;
    while (vars && map_each(vars, &at, &key, &value)) {
        mem_free(((struct wasm_var *)value)->value);
        mem_free(value);
    }
    map_free(vars);
}

void wasm_inst_shed(struct wasm_inst *i)
{
    if (i->store)
        i->mod->enclave->api->wasmtime_store_delete(i->store); // its memory goes by memory_end
    i->store = i->context = NULL;
    i->memory = NULL;
    var_free_all(i->vars);
    i->vars = NULL;
}

void wasm_inst_free(struct wasm_inst *i)
{
    if (!i)
        return;
    wasm_inst_shed(i);
    wasm_kernel_fini(&i->kernel);
    mem_free(i->pool);
    mem_free(i);
}

int wasm_inst_new(struct wasm_job *j, struct err *e)
{
    const struct wasm_api *a = j->enclave->api;
    struct wasm_inst *i = mem_new(struct wasm_inst);
    if (!i)
        return err_set(e, E_NOMEM, "no memory for an instance");
    i->mod = j->mod;
    i->variant = j->limits.fuel ? WASM_FUEL : WASM_PLAIN;
    i->dirs = j->call->grants.ndirs > 0;
    list_init(&i->link);
    list_init(&i->lru);
    j->inst = i;
    int rc = wasm_kernel_init(&i->kernel, &j->enclave->memories);
    if (rc != 0)
        return err_set(e, rc, "no memory for an instance");
    i->store = a->wasmtime_store_new(j->enclave->engines[i->variant].engine, NULL, NULL);
    i->context = a->wasmtime_store_context(i->store);
    a->wasmtime_store_limiter(i->store, -1, TABLE_ELEMENTS_MAX, 1, TABLES_MAX, 1);
    a->wasmtime_store_epoch_deadline_callback(i->store, wasm_epoch, NULL, NULL);
    return i->dirs ? folders(j, e) : 0;
}

// An exported function without parameters, if there is one. false: none.
static bool function(struct wasm_inst *i, const char *name, struct wasm_func *ret)
{
    struct wasm_extern found;
    if (!i->mod->enclave->api->wasmtime_instance_export_get(i->context, &i->of, name, strlen(name),
                                                            &found) ||
        found.kind != WASM_FUNC)
        return false;
    *ret = found.of.func;
    return true;
}

bool wasm_inst_function(struct wasm_inst *i, const struct wasm_export *x, struct wasm_func *ret)
{
    if (i->last != x) {
        if (!function(i, x->name, &i->last_func))
            return false;
        i->last = x;
    }
    *ret = i->last_func;
    return true;
}

// Runs an initializer if the module has it. hs_init takes two numbers, the others nothing.
static bool init_by(struct wasm_job *j, const char *name, size_t params)
{
    struct wasm_func f;
    union wasm_raw args[2] = {{.i64 = 0}, {.i64 = 0}};
    const struct wasm_export *x = wasm_module_export(j->mod, name);
    if (!x || (params == 0 && (!x->callable || x->result)) || !function(j->inst, name, &f))
        return true;
    return wasm_enter(j, &f, args, 2);
}

bool wasm_inst_start(struct wasm_job *j)
{
    const struct wasm_api *a = j->enclave->api;
    struct wasm_inst *i = j->inst;
    const struct wasm_code *k = &i->mod->code[i->variant];
    void *trap = NULL;
    void *error = a->wasmtime_instance_pre_instantiate(i->dirs ? k->pre_dirs : k->pre, i->context,
                                                       &i->of, &trap);
    if (error || trap) {
        wasm_ended(j, error, trap);
        return false;
    }
    bool haskell = wasm_module_export(i->mod, "hs_init") != NULL;
    bool ctors = !haskell && wasm_module_export(i->mod, "__wasm_call_ctors") != NULL;
    if (strcmp(j->call->function, "_start") != 0 &&
        !(ctors ? init_by(j, "__wasm_call_ctors", 0) : init_by(j, "_initialize", 0)))
        return false;
    if (haskell && !init_by(j, "hs_init", 2))
        return false;
    i->ready = true;
    return true;
}
