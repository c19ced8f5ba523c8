// arena.c: blocks in a row, freed together.
// SPDX-License-Identifier: Apache-2.0
#include "base/arena.h"
#include "base/alloc.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define BLOCK_BYTES 4096
#define ALIGN 16

struct block {
    struct block *next;
    size_t cap, used;
    _Alignas(ALIGN) char bytes[];
};

struct arena {
    size_t max, total; // bytes of all blocks
    struct block *blocks; // newest first
};

struct arena *arena_new(size_t max)
{
    struct arena *a = mem_new(struct arena);
    if (a)
        a->max = max;
    return a;
}

static void free_blocks(struct block *b)
{
    while (b) {
        struct block *next = b->next;
        mem_free(b);
        b = next;
    }
}

void arena_free(struct arena *a)
{
    if (!a)
        return;
    free_blocks(a->blocks);
    mem_free(a);
}

void arena_reset(struct arena *a)
{
    struct block *first = a->blocks;
    while (first && first->next) {
        struct block *next = first->next;
        mem_free(first);
        first = next;
    }
    a->blocks = first;
    a->total = first ? first->cap : 0;
    if (first)
        first->used = 0;
}

void *arena_alloc(struct arena *a, size_t n)
{
    struct block *b = a->blocks;
    if (n > SIZE_MAX / 2)
        return NULL;
    n = (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (!b || b->cap - b->used < n) {
        size_t left = a->max - a->total, cap = n > BLOCK_BYTES ? n : BLOCK_BYTES;
        if (cap > left)
            cap = left;
        if (cap < n)
            return NULL;
        b = mem_alloc(sizeof(*b) + cap);
        if (!b)
            return NULL;
        b->next = a->blocks;
        b->cap = cap;
        b->used = 0;
        a->blocks = b;
        a->total += cap;
    }
    void *p = b->bytes + b->used;
    b->used += n;
    return p;
}

void *arena_zalloc(struct arena *a, size_t n)
{
    void *p = arena_alloc(a, n);
    return p ? memset(p, 0, n) : NULL;
}

char *arena_str(struct arena *a, struct bytes s)
{
    char *p = arena_alloc(a, s.n + 1);
    if (!p)
        return NULL;
    if (s.n)
        memcpy(p, s.p, s.n);
    p[s.n] = 0;
    return p;
}

struct bytes arena_dup(struct arena *a, struct bytes s)
{
    char *p = arena_str(a, s);
    return p ? (struct bytes){p, s.n} : BYTES_NONE;
}

char *arena_fmt(struct arena *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *p = n < 0 ? NULL : arena_alloc(a, (size_t)n + 1);
    if (!p)
        return NULL;
    va_start(ap, fmt);
    (void)vsnprintf(p, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return p;
}

size_t arena_used(const struct arena *a)
{
    size_t used = 0;
    for (const struct block *b = a->blocks; b; b = b->next)
        used += b->used;
    return used;
}

void arena_auto(struct arena **a)
{
    arena_free(*a);
}
