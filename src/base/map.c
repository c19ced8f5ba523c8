// map.c: open addressing over an insertion-ordered entry array.
// SPDX-License-Identifier: Apache-2.0
#include "base/map.h"
#include "base/alloc.h"
#include "base/err.h"
#include "base/rng.h"
#include <string.h>

struct entry {
    char *key; // NULL: removed
    size_t key_len;
    uint64_t hash;
    void *value;
};

struct map {
    uint64_t seed;
    size_t max, live, used, cap; // entries: present, present + removed, allocated
    struct entry *entries;
    uint32_t *slots; // index into entries + 1; 0: free. As many as cap * 2.
};

struct map *map_new(size_t entries_max)
{
    struct map *m = mem_new(struct map);
    if (!m)
        return NULL;
    m->max = entries_max;
    rng_bytes(&m->seed, sizeof(m->seed));
    return m;
}

void map_free(struct map *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->used; i++)
        mem_free(m->entries[i].key);
    mem_free(m->entries);
    mem_free(m->slots);
    mem_free(m);
}

// A keyed mix over 8 bytes at a time: an outsider who does not know the seed cannot aim collisions.
static uint64_t hash_of(const struct map *m, struct bytes key)
{
    uint64_t h = m->seed ^ (key.n * 0x9e3779b97f4a7c15u);
    for (size_t i = 0; i < key.n; i += 8) {
        uint64_t word = 0;
        memcpy(&word, key.p + i, key.n - i < 8 ? key.n - i : 8);
        __extension__ unsigned __int128 wide =
            (unsigned __int128)(h ^ word) * (0xd6e8feb86659fd93u ^ (m->seed << 1 | 1));
        h = (uint64_t)wide ^ (uint64_t)(wide >> 64);
    }
    return h ^ (h >> 31);
}

static struct entry *find(const struct map *m, struct bytes key, uint64_t hash)
{
    if (m->cap == 0)
        return NULL;
    size_t mask = m->cap * 2 - 1;
    for (size_t at = hash & mask;; at = (at + 1) & mask) {
        if (m->slots[at] == 0)
            return NULL;
        struct entry *x = &m->entries[m->slots[at] - 1];
        if (x->key && x->hash == hash && x->key_len == key.n && memcmp(x->key, key.p, key.n) == 0)
            return x;
    }
}

static void place(struct map *m, size_t index)
{
    size_t mask = m->cap * 2 - 1, at = m->entries[index].hash & mask;
    while (m->slots[at])
        at = (at + 1) & mask;
    m->slots[at] = (uint32_t)index + 1;
}

static int rebuild(struct map *m)
{
    size_t cap = 8;
    while (cap < m->live * 2)
        cap *= 2;
    struct entry *entries = mem_array(cap, sizeof(*entries));
    uint32_t *slots = mem_array(cap * 2, sizeof(*slots));
    if (!entries || !slots) {
        mem_free(entries);
        mem_free(slots);
        return E_NOMEM;
    }
    size_t used = 0;
    for (size_t i = 0; i < m->used; i++)
        if (m->entries[i].key)
            entries[used++] = m->entries[i];
    mem_free(m->entries);
    mem_free(m->slots);
    m->entries = entries;
    m->slots = slots;
    m->cap = cap;
    m->used = used;
    for (size_t i = 0; i < used; i++)
        place(m, i);
    return 0;
}

void *map_get(const struct map *m, struct bytes key)
{
    struct entry *x = find(m, key, hash_of(m, key));
    return x ? x->value : NULL;
}

int map_put(struct map *m, struct bytes key, void *value, void **ret_old)
{
    if (!value)
        return E_INVALID;
    uint64_t hash = hash_of(m, key);
    struct entry *x = find(m, key, hash);
    if (ret_old)
        *ret_old = x ? x->value : NULL;
    if (x) {
        x->value = value;
        return 0;
    }
    if (m->live >= m->max)
        return E_FULL;
    if (m->used == m->cap && rebuild(m) != 0)
        return E_NOMEM;
    char *copy = mem_dup(key.p, key.n);
    if (!copy)
        return E_NOMEM;
    m->entries[m->used] = (struct entry){copy, key.n, hash, value};
    place(m, m->used++);
    m->live++;
    return 0;
}

void *map_del(struct map *m, struct bytes key)
{
    struct entry *x = find(m, key, hash_of(m, key));
    if (!x)
        return NULL;
    void *value = x->value;
    mem_free(x->key);
    *x = (struct entry){0};
    m->live--;
    return value;
}

size_t map_count(const struct map *m)
{
    return m->live;
}

bool map_each(const struct map *m, size_t *at, struct bytes *ret_key, void **ret_value)
{
    while (*at < m->used) {
        const struct entry *x = &m->entries[(*at)++];
        if (!x->key)
            continue;
        if (ret_key)
            *ret_key = (struct bytes){x->key, x->key_len};
        if (ret_value)
            *ret_value = x->value;
        return true;
    }
    return false;
}

void map_auto(struct map **m)
{
    map_free(*m);
}
