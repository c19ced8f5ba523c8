// tools_wasm.c: what a call of a guest costs, without a loop: warm, fresh, through the workers; how
// late a timeout is, how fast cached code starts, what it takes of memory. Prints `name value
// unit`. SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "base/file.h"
#include "enclave/enclave_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct lock *lock;
static bool woken;

static void wake(void *user)
{
    (void)user;
    lock_take(lock);
    woken = true;
    lock_wake(lock);
    lock_give(lock);
}

static void turn(struct sandbox *s) // waits for something, then tells it
{
    lock_take(lock);
    while (!woken)
        lock_wait(lock, 1000);
    woken = false;
    lock_give(lock);
    enclave_turn(s);
}

static void die(const char *what, const struct err *e)
{
    fprintf(stderr, "tools_wasm: %s: %s\n", what, e ? e->text : "");
    exit(1);
}

struct compiled {
    struct sandbox_compile x;
    struct sandbox_mod *mod;
    bool done;
};

static void on_compiled(struct sandbox_compile *x, int status, struct sandbox_mod *m,
                        const struct err *e)
{
    struct compiled *c = x->user;
    if (status != 0)
        die("compile", e);
    c->mod = m;
    c->done = true;
}

static struct sandbox_mod *compile(struct sandbox *s, struct bytes code)
{
    struct err e = {0};
    struct compiled c = {.x = {.code = code, .done = on_compiled}};
    c.x.user = &c;
    if (s->ops->compile(s, &c.x, &e) != 0)
        die("compile", &e);
    while (!c.done)
        turn(s);
    return c.mod;
}

static uint64_t rss_kb(void)
{
    unsigned long size, resident;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%lu %lu", &size, &resident) != 2)
        return 0;
    fclose(f);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE) / 1024;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double at(double *v, size_t n, double part)
{
    qsort(v, n, sizeof *v, by_value);
    return v[(size_t)((double)(n - 1) * part)];
}

static void none(struct sandbox_call *c, int status, struct bytes output, enum sandbox_kind kind,
                 struct bytes text, const struct sandbox_used *used)
{
    (void)output;
    (void)used;
    if (status != 0 && kind != SANDBOX_TIMEOUT) {
        fprintf(stderr, "tools_wasm: %s: %.*s\n", c->function, BYTES_FMT(text));
        exit(1);
    }
    *(bool *)c->user = true;
}

// One call on this thread: us.
static double once(struct sandbox_call *c, enum sandbox_kind expected)
{
    struct wasm_job j;
    uint64_t from = time_mono_ns();
    wasm_job_init(&j, c);
    wasm_call(&j);
    enum sandbox_kind kind = j.kind;
    if (kind != expected)
        fprintf(stderr, "tools_wasm: %s: %s\n", c->function, j.text);
    wasm_job_fini(&j);
    if (kind != expected)
        exit(1);
    return (double)(time_mono_ns() - from) / 1000;
}

static void calls(struct sandbox *s, const char *name, struct sandbox_mod *m, const char *function,
                  struct bytes pool, struct bytes input, size_t n)
{
    double *v = mem_array(n, sizeof *v);
    bool done = false;
    struct sandbox_call c = {
        .mod = m, .function = function, .input = input, .pool = pool, .done = none, .user = &done};
    (void)s;
    for (size_t i = 0; i < n / 10 + 1; i++)
        (void)once(&c, SANDBOX_OK);
    for (size_t i = 0; i < n; i++)
        v[i] = once(&c, SANDBOX_OK);
    printf("%s_p50_us %.2f us\n%s_p99_us %.2f us\n", name, at(v, n, 0.5), name, at(v, n, 0.99));
    mem_free(v);
}

static void through_loop(struct sandbox *s, struct sandbox_mod *m, const char *function, size_t n)
{
    double *v = mem_array(n, sizeof *v);
    bool done = false;
    struct sandbox_call c = {.mod = m,
                             .function = function,
                             .input = BYTES("0123456789abcdef"),
                             .pool = BYTES("bench"),
                             .done = none,
                             .user = &done};
    for (size_t i = 0; i < n; i++) {
        struct err e = {0};
        uint64_t from = time_mono_ns();
        done = false;
        if (s->ops->call(s, &c, &e) != 0)
            die("call", &e);
        while (!done)
            turn(s);
        v[i] = (double)(time_mono_ns() - from) / 1000;
    }
    printf("wasm_call_worker_p50_us %.2f us\n", at(v, n, 0.5));
    mem_free(v);
}

static void timeouts(struct sandbox_mod *m, const char *name, size_t n)
{
    double *v = mem_array(n, sizeof *v);
    bool done = false;
    for (size_t i = 0; i < n; i++) {
        int64_t ms = 3 + (int64_t)(i % 7);
        struct sandbox_call c = {.mod = m,
                                 .function = "loop_forever",
                                 .limits = {.timeout_ms = ms},
                                 .done = none,
                                 .user = &done};
        v[i] = once(&c, SANDBOX_TIMEOUT) / 1000 - (double)ms;
    }
    printf("wasm_timeout_%s_p50_ms %.3f ms\nwasm_timeout_%s_p99_ms %.3f ms\n", name, at(v, n, 0.5),
           name, at(v, n, 0.99));
    mem_free(v);
}

static void memory_exact(struct sandbox_mod *m)
{
    bool done = false, exact = true;
    for (uint32_t pages = 20; pages < 60; pages++) {
        // The kernel has one page for the input, so the guest may have one less.
        char fits[8], more[8];
        struct sandbox_call c = {
            .mod = m, .function = "grow", .limits = {.pages = pages}, .done = none, .user = &done};
        struct wasm_job j;
        (void)snprintf(fits, sizeof fits, "%u", pages - 1);
        (void)snprintf(more, sizeof more, "%u", pages);
        for (int i = 0; i < 2; i++) {
            c.input = bytes_of(i == 0 ? fits : more);
            wasm_job_init(&j, &c);
            wasm_call(&j);
            exact =
                exact && (j.kind == SANDBOX_OK) == (i == 0) && (i == 1 || j.used.pages == pages);
            wasm_job_fini(&j);
        }
    }
    printf("wasm_memory_exact %d bool\n", exact);
}

static struct sandbox *open_enclave(const char *cache)
{
    struct sandbox *s;
    struct err e = {0};
    if (enclave_new(&s, &(struct enclave_args){.wake = wake, .cache = cache}, &e) != 0)
        die("enclave", &e);
    return s;
}

static struct buf read_guest(const char *path)
{
    struct buf b;
    struct err e = {0};
    buf_init(&b, 64 << 20);
    if (file_read(path, &b, &e) != 0)
        die(path, &e);
    return b;
}

// From bytes and a full cache to the end of a first call, in a process that has the library.
static void cold(struct buf *pdk, const char *cache)
{
    double v[21];
    bool done = false;
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
        struct sandbox *s = open_enclave(cache);
        struct buf echo = read_guest("build/guests/echo.wasm");
        struct sandbox_mod *warm = compile(s, buf_bytes(&echo)); // the library, the worker
        uint64_t from = time_mono_ns();
        struct sandbox_mod *m = compile(s, buf_bytes(pdk));
        struct sandbox_call c = {.mod = m,
                                 .function = "count_vowels",
                                 .input = BYTES("hello"),
                                 .done = none,
                                 .user = &done};
        (void)once(&c, SANDBOX_OK);
        v[i] = (double)(time_mono_ns() - from) / 1000;
        s->ops->drop(m);
        s->ops->drop(warm);
        enclave_free(s);
        buf_fini(&echo);
    }
    printf("wasm_cold_cached_p50_us %.1f us\n", at(v, sizeof v / sizeof *v, 0.5));
}

// Only how late timeouts are: for a run that no other program disturbs (chrt).
static int only_timeouts(void)
{
    struct sandbox *s = open_enclave(NULL);
    struct buf loop = read_guest("build/guests/loop.wasm");
    struct sandbox_mod *m = compile(s, buf_bytes(&loop));
    timeouts(m, "alone", 300);
    s->ops->drop(m);
    enclave_free(s);
    buf_fini(&loop);
    return 0;
}

// usage: tools_wasm PDK-MODULE (has count_vowels) | tools_wasm timeouts
int main(int argc, char **argv)
{
    lock = lock_new();
    if (argc > 1 && strcmp(argv[1], "timeouts") == 0)
        return only_timeouts();
    uint64_t before = rss_kb();
    struct sandbox *s = open_enclave(NULL);
    printf("wasm_rss_unused_kb %llu kB\n", (unsigned long long)(rss_kb() - before));
    struct buf echo = read_guest("build/guests/echo.wasm"),
               loop = read_guest("build/guests/loop.wasm"),
               bad = read_guest("build/guests/bad.wasm"),
               pdk = read_guest(argc > 1 ? argv[1] : "build/guests/code.wasm");
    uint64_t from = time_mono_ns();
    struct sandbox_mod *m_echo = compile(s, buf_bytes(&echo));
    printf("wasm_first_module_ms %.1f ms\n", (double)(time_mono_ns() - from) / 1e6);
    from = time_mono_ns();
    struct sandbox_mod *m_pdk = compile(s, buf_bytes(&pdk));
    printf("wasm_compile_pdk_ms %.1f ms\n", (double)(time_mono_ns() - from) / 1e6);
    struct sandbox_mod *m_loop = compile(s, buf_bytes(&loop)), *m_bad = compile(s, buf_bytes(&bad));
    struct bytes small = BYTES("0123456789abcdef"), pool = BYTES("bench");
    calls(s, "wasm_call", m_echo, "echo", pool, small, 20000);
    calls(s, "wasm_pdk_call", m_pdk, "count_vowels", pool, small, 20000);
    calls(s, "wasm_fresh_small", m_echo, "echo", BYTES_NONE, small, 5000);
    calls(s, "wasm_fresh_pdk", m_pdk, "count_vowels", BYTES_NONE, small, 5000);
    through_loop(s, m_echo, "echo", 5000);
    timeouts(m_loop, "late", 200);
    memory_exact(m_bad);
    printf("wasm_rss_kb %llu kB\n", (unsigned long long)(rss_kb() - before));
    s->ops->drop(m_echo);
    s->ops->drop(m_pdk);
    s->ops->drop(m_loop);
    s->ops->drop(m_bad);
    enclave_free(s);
    char cache[] = "/tmp/plexus-bench-XXXXXX", command[64];
    if (!mkdtemp(cache))
        die("mkdtemp", NULL);
    cold(&pdk, cache);
    (void)snprintf(command, sizeof command, "rm -rf %s", cache);
    return system(command) == 0 ? 0 : 1;
}
