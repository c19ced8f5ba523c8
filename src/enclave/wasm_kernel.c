// wasm_kernel.c: the kernel's memory: blocks behind one another in a space of its own, their list
// beside it, where no guest can write. Freed blocks are used again: the last one at once, others by
// their size.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "enclave/enclave_priv.h"

#include <string.h>

enum { FIRST = 16, FREE = -1, PROBES = 8, KEPT_BLOCKS = 1024 };
#define IS_FREE UINT32_MAX

int wasm_kernel_init(struct wasm_kernel *k, struct wasm_memories *m)
{
    *k = (struct wasm_kernel){.top = FIRST};
    k->slot =
        wasm_slot_take(m, WASM_SLOT_KERNEL, 0, (size_t)ENCLAVE_PAGES_MAX * WASM_PAGE, WASM_PAGE);
    return k->slot ? 0 : E_NOMEM;
}

void wasm_kernel_fini(struct wasm_kernel *k)
{
    if (k->slot) {
        k->slot->bytes = k->dirty;
        wasm_slot_give(k->slot);
    }
    mem_free(k->blocks);
    *k = (struct wasm_kernel){0};
}

void wasm_kernel_reset(struct wasm_kernel *k)
{
    (void)wasm_slot_clear(k->slot, k->dirty);
    if (k->cap > KEPT_BLOCKS) {
        mem_free(k->blocks);
        k->blocks = NULL;
        k->cap = 0;
    }
    struct wasm_kernel empty = {.slot = k->slot, .top = FIRST, .blocks = k->blocks, .cap = k->cap};
    *k = empty;
}

static unsigned bin_of(uint32_t size) // size >= 8
{
    return 31u - (unsigned)__builtin_clz(size);
}

// A free block of at least so many bytes, out of its bin. NULL: none.
static struct wasm_block *take_free(struct wasm_kernel *k, uint32_t size)
{
    for (unsigned bin = bin_of(size); bin < WASM_BINS; bin++) {
        uint32_t *from = &k->bins[bin];
        for (int i = 0; *from && i < PROBES; i++) {
            struct wasm_block *b = &k->blocks[*from - 1];
            if (b->size >= size) {
                *from = b->next;
                b->next = 0;
                return b;
            }
            from = &b->next;
        }
    }
    return NULL;
}

static bool grow(struct wasm_kernel *k, uint64_t bytes, uint32_t pages_max, bool *ret_refused)
{
    uint64_t pages = (bytes + WASM_PAGE - 1) / WASM_PAGE;
    if (pages > pages_max || pages > ENCLAVE_PAGES_MAX) {
        *ret_refused = true;
        return false;
    }
    return wasm_slot_grow(k->slot, (size_t)pages * WASM_PAGE);
}

static bool room_for_block(struct wasm_kernel *k)
{
    if (k->count < k->cap)
        return true;
    uint32_t cap = k->cap ? k->cap * 2 : 64;
    struct wasm_block *more = mem_realloc(k->blocks, cap * sizeof *more);
    if (!more)
        return false;
    k->blocks = more;
    k->cap = cap;
    return true;
}

uint64_t wasm_kernel_alloc(struct wasm_kernel *k, uint64_t n, uint32_t pages_max, bool *ret_refused)
{
    if (n == 0)
        return 0;
    if (n > (uint64_t)pages_max * WASM_PAGE) {
        *ret_refused = true;
        return 0;
    }
    uint32_t size = ((uint32_t)n + 7) & ~7u;
    struct wasm_block *b = NULL;
    // Behind the last block while that costs no page; then what was freed; then a page.
    if ((uint64_t)k->top + size > k->slot->bytes) {
        b = take_free(k, size);
        if (!b && !grow(k, (uint64_t)k->top + size, pages_max, ret_refused))
            return 0;
    }
    if (!b) {
        if (!room_for_block(k))
            return 0;
        b = &k->blocks[k->count++];
        *b = (struct wasm_block){.at = k->top, .size = size};
        k->top += size;
        if (k->dirty < k->top)
            k->dirty = k->top;
    }
    b->used = (uint32_t)n;
    return b->at;
}

static struct wasm_block *find(const struct wasm_kernel *k, uint64_t at)
{
    uint32_t from = 0, to = k->count;
    while (from < to) {
        uint32_t mid = from + (to - from) / 2;
        if (k->blocks[mid].at < at)
            from = mid + 1;
        else
            to = mid;
    }
    if (from == k->count || k->blocks[from].at != at || k->blocks[from].used == IS_FREE)
        return NULL;
    return &k->blocks[from];
}

void wasm_kernel_free(struct wasm_kernel *k, uint64_t at)
{
    struct wasm_block *b = find(k, at);
    if (!b)
        return;
    if (at == k->input_at)
        k->input_n = 0;
    if (b == &k->blocks[k->count - 1]) { // the last one: as if it had never been
        k->top = b->at;
        k->count--;
        return;
    }
    b->used = IS_FREE;
    unsigned bin = bin_of(b->size);
    b->next = k->bins[bin];
    k->bins[bin] = (uint32_t)(b - k->blocks) + 1;
}

uint64_t wasm_kernel_length(const struct wasm_kernel *k, uint64_t at)
{
    const struct wasm_block *b = find(k, at);
    return b ? b->used : 0;
}

struct bytes wasm_kernel_block(const struct wasm_kernel *k, uint64_t at)
{
    const struct wasm_block *b = find(k, at);
    return b ? (struct bytes){(const char *)k->slot->base + b->at, b->used} : BYTES_NONE;
}

struct bytes wasm_kernel_part(const struct wasm_kernel *k, uint64_t at, uint64_t n)
{
    size_t size = wasm_kernel_size(k);
    if (at > size || n > size - at)
        return BYTES_NONE;
    return (struct bytes){(const char *)k->slot->base + at, n};
}
