// alloc.c: the heap, counted, and failing on demand.
// SPDX-License-Identifier: Apache-2.0
#ifdef __APPLE__
#define __STDC_WANT_LIB_EXT1__ 1 // memset_s
#endif
#include "base/alloc.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#ifdef PLEXUS_FAULTS
static _Atomic uint64_t count, live, fail_at;
static _Atomic int fail_sticky;

static bool must_fail(void)
{
    uint64_t now = atomic_fetch_add(&count, 1) + 1;
    uint64_t at = atomic_load(&fail_at);
    return at != 0 && (now == at || (now > at && atomic_load(&fail_sticky)));
}
static void note(void *p)
{
    if (p)
        atomic_fetch_add(&live, 1);
}
#else
static bool must_fail(void)
{
    return false;
}
static void note(void *p)
{
    (void)p;
}
#endif

void *mem_alloc(size_t n)
{
    void *p = must_fail() ? NULL : malloc(n ? n : 1);
    note(p);
    return p;
}

void *mem_zalloc(size_t n)
{
    void *p = must_fail() ? NULL : calloc(1, n ? n : 1);
    note(p);
    return p;
}

void *mem_realloc(void *p, size_t n)
{
    if (must_fail())
        return NULL;
    void *grown = realloc(p, n ? n : 1);
    if (!p)
        note(grown);
    return grown;
}

void *mem_array(size_t items, size_t size)
{
    size_t n;
    return __builtin_mul_overflow(items, size, &n) ? NULL : mem_zalloc(n);
}

char *mem_dup(const char *p, size_t n)
{
    char *copy = mem_alloc(n + 1);
    if (!copy)
        return NULL;
    if (n)
        memcpy(copy, p, n);
    copy[n] = 0;
    return copy;
}

char *mem_str(const char *text)
{
    return text ? mem_dup(text, strlen(text)) : NULL;
}

void mem_free(void *p)
{
#ifdef PLEXUS_FAULTS
    if (p)
        atomic_fetch_sub(&live, 1);
#endif
    free(p);
}

void mem_fail_after(uint64_t n, int sticky)
{
#ifdef PLEXUS_FAULTS
    atomic_store(&fail_sticky, sticky);
    atomic_store(&fail_at, n ? atomic_load(&count) + n : 0);
#else
    (void)n, (void)sticky;
#endif
}

uint64_t mem_count(void)
{
#ifdef PLEXUS_FAULTS
    return atomic_load(&count);
#else
    return 0;
#endif
}

uint64_t mem_live(void)
{
#ifdef PLEXUS_FAULTS
    return atomic_load(&live);
#else
    return 0;
#endif
}

void mem_wipe(void *p, size_t n)
{
#ifdef __APPLE__
    if (n > 0)
        (void)memset_s(p, n, 0, n);
#else
    if (n > 0) // of nothing, p may be NULL
        explicit_bzero(p, n);
#endif
}

void mem_auto(void *p)
{
    mem_free(*(void **)p);
}
