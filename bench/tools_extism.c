// tools_extism.c: the same modules by libextism (its C API, by dlopen), to be measured beside
// tools_wasm. usage: tools_extism LIBRARY PDK-MODULE. Prints `name value unit`.
// SPDX-License-Identifier: Apache-2.0
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct {
    void *(*compiled_new)(const uint8_t *wasm, uint64_t n, const void **functions, uint64_t count,
                          bool wasi, char **error);
    void *(*plugin_new)(const void *compiled, char **error);
    int32_t (*call)(void *plugin, const char *name, const uint8_t *data, uint64_t n);
    const uint8_t *(*output)(void *plugin);
    uint64_t (*output_length)(void *plugin);
    const char *(*error)(void *plugin);
    void (*free)(void *plugin);
} x;

static void find(void *library, const char *name, void *to)
{
    void *fn = dlsym(library, name);
    if (!fn) {
        fprintf(stderr, "tools_extism: no function %s\n", name);
        exit(1);
    }
    memcpy(to, &fn, sizeof fn);
}

static uint8_t *read_file(const char *path, size_t *ret_n)
{
    FILE *f = fopen(path, "rb");
    uint8_t *p = malloc(16 << 20);
    if (!f || !p) {
        perror(path);
        exit(1);
    }
    *ret_n = fread(p, 1, 16 << 20, f);
    fclose(f);
    return p;
}

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int by_value(const void *a, const void *b)
{
    double p = *(const double *)a, q = *(const double *)b;
    return p < q ? -1 : p > q;
}

static void *plugin(const void *compiled)
{
    char *why = NULL;
    void *p = x.plugin_new(compiled, &why);
    if (!p) {
        fprintf(stderr, "tools_extism: %s\n", why ? why : "no plugin");
        exit(1);
    }
    return p;
}

static void call(void *p, const char *function)
{
    if (x.call(p, function, (const uint8_t *)"0123456789abcdef", 16) != 0) {
        fprintf(stderr, "tools_extism: %s\n", x.error(p));
        exit(1);
    }
    if (!x.output(p) && x.output_length(p))
        exit(1);
}

// Warm calls of one plugin, then fresh ones of the compiled code.
static void measure(const char *name, const char *path, const char *function)
{
    enum { WARM = 5000, FRESH = 500 };
    static double v[WARM];
    size_t n;
    char *why = NULL;
    uint8_t *wasm = read_file(path, &n);
    void *compiled = x.compiled_new(wasm, n, NULL, 0, true, &why);
    if (!compiled) {
        fprintf(stderr, "tools_extism: %s: %s\n", path, why ? why : "");
        exit(1);
    }
    void *p = plugin(compiled);
    for (int i = -200; i < WARM; i++) {
        double from = now_us();
        call(p, function);
        if (i >= 0)
            v[i] = now_us() - from;
    }
    x.free(p);
    qsort(v, WARM, sizeof *v, by_value);
    printf("libextism_%s_call_p50_us %.2f us\n", name, v[WARM / 2]);
    for (int i = -20; i < FRESH; i++) {
        double from = now_us();
        p = plugin(compiled);
        call(p, function);
        x.free(p);
        if (i >= 0)
            v[i] = now_us() - from;
    }
    qsort(v, FRESH, sizeof *v, by_value);
    printf("libextism_%s_fresh_p50_us %.2f us\n", name, v[FRESH / 2]);
    free(wasm);
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        fprintf(stderr, "tools_extism: %s\n", dlerror());
        return 1;
    }
    find(library, "extism_compiled_plugin_new", &x.compiled_new);
    find(library, "extism_plugin_new_from_compiled", &x.plugin_new);
    find(library, "extism_plugin_call", &x.call);
    find(library, "extism_plugin_output_data", &x.output);
    find(library, "extism_plugin_output_length", &x.output_length);
    find(library, "extism_plugin_error", &x.error);
    find(library, "extism_plugin_free", &x.free);
    measure("echo", "build/guests/echo.wasm", "echo");
    measure("pdk", argv[2], "count_vowels");
    return 0;
}
