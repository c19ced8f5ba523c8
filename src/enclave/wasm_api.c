// wasm_api.c: where wasmtime's library is, and its functions by name.
// SPDX-License-Identifier: Apache-2.0
#include "base/buf.h"
#include "base/file.h"
#include "enclave/enclave.h"
#include "enclave/wasm_api_priv.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef __APPLE__
#define LIBRARY "libwasmtime.dylib"
#else
#define LIBRARY "libwasmtime.so"
#endif

static const struct {
    const char *name;
    size_t at;
} functions[] = {
#define X(type, name, args) {#name, offsetof(struct wasm_api, name)},
    WASM_API(X)
#undef X
};

static struct wasm_api table;
static bool loaded;

const struct wasm_api *wasm_api(void)
{
    return loaded ? &table : NULL;
}

const struct wasm_api *wasm_api_load(const char *path, struct err *e)
{
    if (loaded)
        return &table;
    // RTLD_LAZY: of some thousand functions in it we call a few.
    void *handle = dlopen(path, RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE);
    if (!handle) {
        const char *why = dlerror();
        return (void)err_set(e, E_UNAVAILABLE, "wasmtime's library cannot be loaded: %s",
                             why ? why : path),
               NULL;
    }
    struct wasm_api found = {0};
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        void *fn = dlsym(handle, functions[i].name);
        if (!fn)
            return (void)err_set(e, E_UNAVAILABLE,
                                 "%s has no function %s: plexus needs wasmtime %s", path,
                                 functions[i].name, WASM_VERSION),
                   NULL;
        memcpy((char *)&found + functions[i].at, &fn, sizeof fn);
    }
    table = found;
    loaded = true;
    return &table;
}

static bool there(char *ret, size_t n, const char *folder, const char *below)
{
    int length = snprintf(ret, n, "%s%s%s", folder, below, LIBRARY);
    return length > 0 && (size_t)length < n && access(ret, R_OK) == 0;
}

int enclave_find(char *ret, size_t n, struct err *e)
{
    const char *own = getenv("PLEXUS_WASMTIME");
    if (own && *own) {
        if (access(own, R_OK) != 0)
            return err_set(e, E_UNAVAILABLE, "PLEXUS_WASMTIME names %s, which cannot be read", own);
        return snprintf(ret, n, "%s", own) < (int)n ? 0 : err_set(e, E_INVALID, "path too long");
    }
    char folder[4096];
    (void)snprintf(folder, sizeof folder, "%s", file_self());
    char *slash = strrchr(folder, '/');
    if (slash) {
        *slash = '\0';
        if (there(ret, n, folder, "/engines/") || there(ret, n, folder, "/../libexec/plexus/"))
            return 0;
    }
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (cache && *cache && there(ret, n, cache, "/plexus/lib/"))
        return 0;
    if ((!cache || !*cache) && home && there(ret, n, home, "/.cache/plexus/lib/"))
        return 0;
    *ret = '\0';
    void *handle = dlopen(LIBRARY, RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE);
    if (handle)
        return snprintf(ret, n, "%s", LIBRARY) < (int)n ? 0 : err_set(e, E_INVALID, "no room");
    return err_set(e, E_UNAVAILABLE,
                   "WebAssembly needs wasmtime's library, which is not here: `tools/setup wasm` "
                   "fetches it, or PLEXUS_WASMTIME=PATH names a " LIBRARY
                   " of version " WASM_VERSION
                   " (the package wasmtime of the Python package index has one)");
}
