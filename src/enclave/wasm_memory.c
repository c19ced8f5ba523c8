// wasm_memory.c: address space for guests' linear memories and for the kernels': reserved once,
// opened as far as it is used, emptied and used again. wasmtime leaves bounds checks to the closed
// space behind a memory, so what is beyond a guest's size must fault.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "enclave/enclave_priv.h"

#include <string.h>
#include <sys/mman.h>

// Up to here writing zeros is cheaper than giving the pages back and taking faults again.
#define WIPE_BYTES (16u << 10)
#define KEPT_MAX 32 // free slots of each kind
#define OPEN_STEP (256u << 10)

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

int wasm_memories_init(struct wasm_memories *m)
{
    for (int i = 0; i < 2; i++)
        list_init(&m->free[i]);
    m->lock = lock_new();
    return m->lock ? 0 : E_NOMEM;
}

static void slot_free(struct wasm_slot *s)
{
    (void)munmap(s->base, s->mapped);
    mem_free(s);
}

void wasm_memories_fini(struct wasm_memories *m)
{
    for (int i = 0; i < 2 && m->lock; i++)
        list_each_safe (it, &m->free[i])
            slot_free(container_of(it, struct wasm_slot, link));
    lock_free(m->lock);
}

static struct wasm_slot *slot_map(size_t bytes)
{
    struct wasm_slot *s = mem_new(struct wasm_slot);
    if (!s)
        return NULL;
    s->mapped = bytes;
    s->base = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (s->base == MAP_FAILED) {
        mem_free(s);
        return NULL;
    }
    return s;
}

// Content away; what was open may stay so.
static bool slot_clear(struct wasm_slot *s, size_t dirty)
{
    if (dirty > s->open)
        dirty = s->open;
    if (dirty <= WIPE_BYTES) {
        memset(s->base, 0, dirty);
        return true;
    }
#ifdef __linux__
    return madvise(s->base, dirty, MADV_DONTNEED) == 0; // private, anonymous: zeros from now on
#else
    if (mmap(s->base, s->open, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED,
             -1, 0) == MAP_FAILED)
        return false;
    s->open = 0;
    return true;
#endif
}

static bool slot_open(struct wasm_slot *s, size_t bytes, bool exact)
{
    if (exact && s->open > bytes) {
        if (mprotect(s->base + bytes, s->open - bytes, PROT_NONE) != 0)
            return false;
        s->open = bytes;
    }
    if (bytes <= s->open)
        return true;
    size_t to = exact ? bytes : (bytes + OPEN_STEP - 1) / OPEN_STEP * OPEN_STEP;
    if (to > s->mapped)
        to = s->mapped;
    if (mprotect(s->base + s->open, to - s->open, PROT_READ | PROT_WRITE) != 0)
        return false;
    s->open = to;
    return true;
}

struct wasm_slot *wasm_slot_take(struct wasm_memories *m, int kind, size_t bytes, size_t reserve,
                                 size_t guard)
{
    struct wasm_slot *s = NULL;
    int seen = 0;
    lock_take(m->lock);
    list_each (it, &m->free[kind]) { // the last ones given, one that is open as far if there is
        struct wasm_slot *one = container_of(it, struct wasm_slot, link);
        if (one->mapped < reserve + guard)
            continue;
        if (!s || one->open == bytes)
            s = one;
        if (s->open == bytes || ++seen == 8)
            break;
    }
    if (s) {
        list_del(&s->link);
        m->count[kind]--;
    }
    lock_give(m->lock);
    if (!s && !(s = slot_map(reserve + guard)))
        return NULL;
    s->from = m;
    s->bytes = bytes;
    s->exact = kind == WASM_SLOT_GUEST;
    if (slot_open(s, bytes, s->exact))
        return s;
    slot_free(s);
    return NULL;
}

bool wasm_slot_grow(struct wasm_slot *s, size_t bytes)
{
    if (bytes > s->mapped || !slot_open(s, bytes, s->exact))
        return false;
    s->bytes = bytes;
    return true;
}

bool wasm_slot_clear(struct wasm_slot *s, size_t dirty)
{
    s->bytes = 0;
    return slot_clear(s, dirty);
}

void wasm_slot_give(struct wasm_slot *s)
{
    if (!s)
        return;
    struct wasm_memories *m = s->from;
    int kind = s->exact ? WASM_SLOT_GUEST : WASM_SLOT_KERNEL;
    bool good = slot_clear(s, s->bytes);
    lock_take(m->lock);
    good = good && m->count[kind] < KEPT_MAX;
    if (good) {
        m->count[kind]++;
        list_add_head(&m->free[kind], &s->link);
    }
    lock_give(m->lock);
    if (!good)
        slot_free(s);
}
