// wasm_module.c: modules: bytes become code, once for each variant; what they export. SPDX-License-
// Identifier: Apache-2.0
#include "base/alloc.h"
#include "enclave/enclave_priv.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <stdio.h>
#include <string.h>

static struct bytes vec(const struct wasm_vec *v)
{
    return (struct bytes){v->data, v->size};
}

// The first 8 bytes: "\0asm", version, layer (1: a component).
static int look(struct bytes code, struct err *e)
{
    if (code.n < 8 || memcmp(code.p, "\0asm", 4) != 0)
        return err_set(e, E_MANIFEST, "this is not a WebAssembly module (no \\0asm at its start)");
    if (code.p[6] == 1)
        return err_set(
            e, E_UNSUPPORTED,
            "this is a WebAssembly component (WASI preview 2); plexus runs core modules: "
            "build it for wasm32-wasip1 or wasm32-unknown-unknown with an Extism PDK");
    if (code.n > ENCLAVE_CODE_BYTES)
        return err_set(e, E_MANIFEST, "the module has %zu bytes, at most %d are taken", code.n,
                       ENCLAVE_CODE_BYTES);
    return 0;
}

static int cached(struct enclave *c, const uint8_t *hash, int variant, void **ret)
{
    struct buf bytes;
    struct err e = {0};
    buf_init(&bytes, (size_t)ENCLAVE_CODE_BYTES * 16);
    int rc = wasm_cache_get(&c->cache, hash, variant, &bytes, &e);
    if (rc == 0) {
        void *error = c->api->wasmtime_module_deserialize(c->engines[variant].engine,
                                                          (const uint8_t *)bytes.p, bytes.n, ret);
        if (error) // another wasmtime's, or another processor's
            rc = wasm_error_take(c->api, error, E_SECURITY, "", &e);
    }
    buf_fini(&bytes);
    lock_take(c->lock);
    c->stats.from_cache += rc == 0;
    c->stats.cache_refused += rc != 0 && rc != E_NOTFOUND;
    lock_give(c->lock);
    return rc;
}

static int compile(struct enclave *c, struct bytes code, const uint8_t *hash, int variant,
                   void **ret, struct err *e)
{
    const struct wasm_api *a = c->api;
    if (cached(c, hash, variant, ret) == 0)
        return 0;
    void *error =
        a->wasmtime_module_new(c->engines[variant].engine, (const uint8_t *)code.p, code.n, ret);
    if (error)
        return wasm_error_take(a, error, E_MANIFEST, "the module cannot be compiled: ", e);
    lock_take(c->lock);
    c->stats.compiled++;
    lock_give(c->lock);
#ifdef __GLIBC__ // the compiler's memory, megabytes for moments, goes back
    (void)malloc_trim(0);
#endif
    if (!c->cache.folder)
        return 0;
    struct wasm_vec out = {0};
    error = a->wasmtime_module_serialize(*ret, &out);
    if (error)
        a->wasmtime_error_delete(error);
    else // a cache that cannot be written is no reason to fail
        (void)wasm_cache_put(&c->cache, hash, variant, vec(&out), NULL);
    if (!error)
        a->wasm_byte_vec_delete(&out);
    return 0;
}

static int link_module(struct enclave *c, void *linker, void *module, void **ret, struct err *e)
{
    void *error = c->api->wasmtime_linker_instantiate_pre(linker, module, ret);
    return error ? wasm_error_take(c->api, error, E_MANIFEST, "the module cannot be linked: ", e)
                 : 0;
}

static bool export_of(const struct wasm_api *a, const void *type, struct wasm_export *ret)
{
    const void *of = a->wasm_exporttype_type(type);
    struct bytes name = vec(a->wasm_exporttype_name(type));
    ret->name = mem_dup(name.p, name.n);
    if (a->wasm_externtype_kind(of) != WASM_FUNC) {
        ret->why = mem_str("is no function");
        return ret->name && ret->why;
    }
    const void *fn = a->wasm_externtype_as_functype_const(of);
    const struct wasm_vec *params = a->wasm_functype_params(fn);
    const struct wasm_vec *results = a->wasm_functype_results(fn);
    ret->result = results->size == 1;
    if (params->size > 0)
        ret->why = mem_str("takes parameters: an Extism function takes none");
    else if (results->size > 1)
        ret->why = mem_str("has more than one result, expected none or an i32");
    else if (results->size == 1 && a->wasm_valtype_kind(((void **)results->data)[0]) != WASM_I32)
        ret->why = mem_str("has a result that is not an i32");
    else
        ret->callable = true;
    return ret->name && (ret->callable || ret->why);
}

static int exports(struct sandbox_mod *m, struct err *e)
{
    const struct wasm_api *a = m->enclave->api;
    struct wasm_vec all = {0};
    bool good = true;
    a->wasmtime_module_exports(m->code[WASM_PLAIN].module, &all);
    m->exports = mem_array(all.size ? all.size : 1, sizeof *m->exports);
    good = m->exports != NULL;
    for (size_t i = 0; good && i < all.size; i++) {
        good = export_of(a, ((void **)all.data)[i], &m->exports[i]);
        m->nexports++;
    }
    a->wasm_exporttype_vec_delete(&all);
    return good ? 0 : err_set(e, E_NOMEM, "no memory for a module");
}

const struct wasm_export *wasm_module_export(const struct sandbox_mod *m, const char *name)
{
    for (size_t i = 0; i < m->nexports; i++)
        if (strcmp(m->exports[i].name, name) == 0)
            return &m->exports[i];
    return NULL;
}

static struct sandbox_mod *known(struct enclave *c, const uint8_t *hash)
{
    struct sandbox_mod *found = NULL;
    lock_take(c->lock);
    list_each (it, &c->mods) {
        struct sandbox_mod *m = container_of(it, struct sandbox_mod, link);
        if (memcmp(m->hash, hash, sizeof m->hash) == 0) {
            m->refs++;
            found = m;
            break;
        }
    }
    lock_give(c->lock);
    return found;
}

int wasm_module_make(struct enclave *c, struct bytes code, struct sandbox_mod **ret, struct err *e)
{
    uint8_t hash[CRYPTO_SIP_LEN];
    int rc = look(code, e);
    if (rc != 0)
        return rc;
    wasm_cache_hash(&c->cache, code, hash);
    if ((*ret = known(c, hash)))
        return 0;
    struct sandbox_mod *m = mem_new(struct sandbox_mod);
    if (!m || !(m->wasm = mem_dup(code.p, code.n))) {
        mem_free(m);
        return err_set(e, E_NOMEM, "no memory for a module");
    }
    m->enclave = c;
    m->refs = 1;
    m->wasm_n = code.n;
    memcpy(m->hash, hash, sizeof hash);
    list_init(&m->idle);
    list_init(&m->link);
    rc = compile(c, code, hash, WASM_PLAIN, &m->code[WASM_PLAIN].module, e);
    if (rc == 0)
        rc = link_module(c, c->engines[WASM_PLAIN].linker, m->code[WASM_PLAIN].module,
                         &m->code[WASM_PLAIN].pre, e);
    if (rc == 0)
        rc = exports(m, e);
    if (rc != 0) {
        wasm_module_free(m);
        return rc;
    }
    lock_take(c->lock); // another worker may have made the same: then there are two for a while
    list_add_tail(&c->mods, &m->link);
    c->nmods++;
    lock_give(c->lock);
    *ret = m;
    return 0;
}

int wasm_module_variant(struct sandbox_mod *m, int variant, bool dirs, struct err *e)
{
    struct enclave *c = m->enclave;
    struct wasm_code *k = &m->code[variant];
    struct bytes code = {m->wasm, m->wasm_n};
    lock_take(c->make);
    int rc = wasm_engine_make(c, variant, e);
    if (rc == 0 && !k->module)
        rc = compile(c, code, m->hash, variant, &k->module, e);
    if (rc == 0 && !k->pre)
        rc = link_module(c, c->engines[variant].linker, k->module, &k->pre, e);
    if (rc == 0 && dirs && !k->pre_dirs) {
        rc = wasm_engine_dirs(c, variant, e);
        if (rc == 0)
            rc = link_module(c, c->engines[variant].linker_dirs, k->module, &k->pre_dirs, e);
    }
    lock_give(c->make);
    return rc;
}

void wasm_module_free(struct sandbox_mod *m)
{
    const struct wasm_api *a = m->enclave->api;
    for (int i = 0; i < WASM_VARIANTS; i++) {
        struct wasm_code *k = &m->code[i];
        if (k->pre)
            a->wasmtime_instance_pre_delete(k->pre);
        if (k->pre_dirs)
            a->wasmtime_instance_pre_delete(k->pre_dirs);
        if (k->module)
            a->wasmtime_module_delete(k->module);
    }
    for (size_t i = 0; i < m->nexports; i++) {
        mem_free(m->exports[i].name);
        mem_free(m->exports[i].why);
    }
    mem_free(m->exports);
    mem_free(m->wasm);
    mem_free(m);
}
