// schema_props.c: which property a key names: a table that is tried with several seeds when it is
// made, so that a look-up mostly is one hash, one row, one compare.
// SPDX-License-Identifier: Apache-2.0
#include "text/schema_priv.h"
#include <string.h>

#define SEEDS 32

// Ends of the key and its length; keys that differ only in the middle share a slot, which costs a
// few compares. The table holds the schema's keys only, so an instance cannot fill it.
static inline uint64_t key_hash(uint64_t seed, struct bytes key)
{
    uint64_t head = 0, tail = 0;
    if (key.n >= 8) {
        memcpy(&head, key.p, 8);
        memcpy(&tail, key.p + key.n - 8, 8);
    } else if (key.n >= 4) {
        uint32_t a, b;
        memcpy(&a, key.p, 4);
        memcpy(&b, key.p + key.n - 4, 4);
        head = a;
        tail = b;
    } else if (key.n > 0) {
        head = (unsigned char)key.p[0] | (uint64_t)(unsigned char)key.p[key.n / 2] << 8 |
               (uint64_t)(unsigned char)key.p[key.n - 1] << 16;
    }
    uint64_t h = (head ^ (tail << 21 | tail >> 43) ^ key.n) * seed;
    return h ^ h >> 32;
}

static uint32_t fill(struct schema_props *p)
{
    uint32_t longest = 0;
    memset(p->slots, 0, (p->mask + 1) * sizeof *p->slots);
    for (uint32_t i = 0; i < p->count; i++) {
        uint32_t at = (uint32_t)key_hash(p->seed, p->rows[i].key) & p->mask, steps = 0;
        for (; p->slots[at]; steps++)
            at = (at + 1) & p->mask;
        p->slots[at] = i + 1;
        longest = steps > longest ? steps : longest;
    }
    return longest;
}

int schema_props_build(struct arena *a, struct schema_props *p)
{
    uint32_t slots = 8;
    while (slots < p->count * 2)
        slots *= 2;
    p->mask = slots - 1;
    p->slots = arena_alloc(a, slots * sizeof *p->slots);
    if (!p->slots)
        return E_TOOBIG;
    uint64_t best_seed = 0;
    uint32_t best = UINT32_MAX;
    for (uint64_t i = 0; i < SEEDS && best > 0; i++) {
        p->seed = (0x9e3779b97f4a7c15u * (2 * i + 1)) | 1; // odd multiples of the golden ratio
        uint32_t longest = fill(p);
        if (longest < best) {
            best = longest;
            best_seed = p->seed;
        }
    }
    p->seed = best_seed;
    (void)fill(p);
    return 0;
}

const struct schema_prop *schema_props_find(const struct schema_props *p, struct bytes key)
{
    if (p->count == 0)
        return NULL;
    uint32_t at = (uint32_t)key_hash(p->seed, key) & p->mask;
    for (uint32_t i; (i = p->slots[at]) != 0; at = (at + 1) & p->mask) {
        const struct schema_prop *row = &p->rows[i - 1];
        if (row->key.n == key.n && memcmp(row->key.p, key.p, key.n) == 0)
            return row;
    }
    return NULL;
}
