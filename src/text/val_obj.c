// val_obj.c: objects: members in order, with a hash index when there are many.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "base/rng.h"
#include "text/val.h"
#include "text/val_priv.h"
#include <stdlib.h>
#include <string.h>

#define FEW 16 // so many members are looked through in a row

struct val *val_obj_room(size_t n)
{
    if (n > UINT32_MAX / 4)
        return NULL;
    struct val_obj *o = mem_alloc(sizeof *o + n * sizeof(struct val_member));
    if (!o)
        return NULL;
    o->v = (struct val){.refs = 1, .kind = JSON_OBJ, .depth = 1};
    o->n = 0;
    o->cap = (uint32_t)n;
    o->members = o->first;
    o->slots = NULL;
    o->mask = 0;
    return &o->v;
}

struct val *val_obj(void)
{
    return val_obj_room(4);
}

// ---- the index ----

// Seeded once in each thread: who does not know the seed cannot aim collisions. It decides where a
// member is found, never the order of members.
static uint64_t hash_of(struct bytes key)
{
    static _Thread_local uint64_t seed;
    if (seed == 0) {
        rng_bytes(&seed, sizeof seed);
        seed |= 1;
    }
    uint64_t h = seed ^ (key.n * 0x9e3779b97f4a7c15u);
    for (size_t i = 0; i < key.n; i += 8) {
        uint64_t word = 0;
        memcpy(&word, key.p + i, key.n - i < 8 ? key.n - i : 8);
        __extension__ unsigned __int128 wide =
            (unsigned __int128)(h ^ word) * (0xd6e8feb86659fd93u ^ (seed << 1 | 1));
        h = (uint64_t)wide ^ (uint64_t)(wide >> 64);
    }
    return h ^ (h >> 31);
}

static struct bytes key_of(const struct val_member *m)
{
    return (struct bytes){m->key->p, m->key->n};
}

static void place(struct val_obj *o, uint32_t i)
{
    uint32_t at = (uint32_t)hash_of(key_of(&o->members[i])) & o->mask;
    while (o->slots[at])
        at = (at + 1) & o->mask;
    o->slots[at] = i + 1;
}

static bool index_build(struct val_obj *o)
{
    uint32_t n = 2 * FEW;
    while (n < o->cap * 2)
        n *= 2;
    if (!o->slots || o->mask != n - 1) {
        uint32_t *slots = mem_array(n, sizeof *slots);
        if (!slots)
            return false;
        mem_free(o->slots);
        o->slots = slots;
        o->mask = n - 1;
    } else {
        memset(o->slots, 0, n * sizeof *o->slots);
    }
    for (uint32_t i = 0; i < o->n; i++)
        place(o, i);
    return true;
}

ptrdiff_t val_find(const struct val_obj *o, struct bytes key)
{
    if (!o->slots) {
        for (uint32_t i = 0; i < o->n; i++) {
            const struct val_str *k = o->members[i].key;
            if (k->n == key.n && (key.n == 0 || memcmp(k->p, key.p, key.n) == 0))
                return i;
        }
        return -1;
    }
    for (uint32_t at = (uint32_t)hash_of(key) & o->mask; o->slots[at]; at = (at + 1) & o->mask) {
        const struct val_str *k = o->members[o->slots[at] - 1].key;
        if (k->n == key.n && (key.n == 0 || memcmp(k->p, key.p, key.n) == 0))
            return o->slots[at] - 1;
    }
    return -1;
}

// ---- change ----

static bool obj_grow(struct val_obj *o)
{
    if (o->cap > UINT32_MAX / 8)
        return false;
    uint32_t cap = o->cap < 4 ? 8 : o->cap * 2;
    struct val_member *m = mem_realloc(o->members == o->first ? NULL : o->members, cap * sizeof *m);
    if (!m)
        return false;
    if (o->members == o->first)
        memcpy(m, o->first, o->n * sizeof *m);
    o->members = m;
    o->cap = cap;
    return cap <= FEW || index_build(o);
}

static struct val *obj_copy(const struct val_obj *o, size_t more)
{
    size_t room = o->n + more;
    struct val *copy = val_obj_room(room);
    if (!copy)
        return NULL;
    struct val_obj *b = val_as_obj(copy);
    for (uint32_t i = 0; i < o->n; i++) {
        b->members[i].key = val_as_str(val_keep(&o->members[i].key->v));
        b->members[i].value = val_keep(o->members[i].value);
    }
    b->n = o->n;
    copy->depth = o->v.depth;
    if (room > FEW && !index_build(b)) {
        val_unref(copy);
        return NULL;
    }
    return copy;
}

static struct val *refuse(struct val *a, struct val *b, struct val *c)
{
    val_unref(a);
    val_unref(b);
    val_unref(c);
    return NULL;
}

// The object to change: itself when it has one owner, else a copy. Takes obj.
static struct val *obj_own(struct val *obj, size_t more)
{
    if (val_sole(obj))
        return obj;
    struct val *copy = obj_copy(val_as_obj(obj), more);
    val_unref(obj);
    return copy;
}

// Takes all three; key NULL: a new string is made of text.
static struct val *put(struct val *obj, struct val *key, struct bytes text, struct val *value)
{
    if (!obj || !value || obj->kind != JSON_OBJ)
        return refuse(obj, key, value);
    ptrdiff_t at = val_find(val_as_obj(obj), text);
    obj = obj_own(obj, at < 0);
    if (!obj || !val_deepen(obj, value))
        return refuse(obj, key, value);
    struct val_obj *o = val_as_obj(obj);
    if (at >= 0) {
        val_unref(o->members[at].value);
        o->members[at].value = value;
        val_unref(key);
        return obj;
    }
    if (!key)
        key = val_str(text);
    if (!key || (o->n == o->cap && !obj_grow(o)))
        return refuse(obj, key, value);
    o->members[o->n] = (struct val_member){val_as_str(key), value};
    o->n++;
    if (o->slots)
        place(o, o->n - 1);
    return obj;
}

struct val *val_put(struct val *takes_obj, struct bytes key, struct val *takes_value)
{
    return put(takes_obj, NULL, key, takes_value);
}

struct val *val_put_cstr(struct val *takes_obj, const char *key, struct val *takes_value)
{
    return put(takes_obj, NULL, bytes_of(key), takes_value);
}

struct val *val_put_key(struct val *takes_obj, struct val *takes_key, struct val *takes_value)
{
    if (!takes_key)
        return refuse(takes_obj, NULL, takes_value);
    return put(takes_obj, takes_key, val_bytes(takes_key), takes_value);
}

struct val *val_del(struct val *takes_obj, struct bytes key)
{
    if (!val_is(takes_obj, JSON_OBJ))
        return refuse(takes_obj, NULL, NULL);
    ptrdiff_t at = val_find(val_as_obj(takes_obj), key);
    if (at < 0)
        return takes_obj;
    struct val *obj = obj_own(takes_obj, 0);
    if (!obj)
        return NULL;
    struct val_obj *o = val_as_obj(obj);
    val_unref(&o->members[at].key->v);
    val_unref(o->members[at].value);
    o->n--;
    memmove(o->members + at, o->members + at + 1, (o->n - (size_t)at) * sizeof *o->members);
    if (o->slots)
        (void)index_build(o); // of the same size: needs no memory
    return obj;
}

struct val *val_lift(struct val *obj, struct bytes key)
{
    struct val_obj *o = val_as_obj(obj);
    ptrdiff_t at = val_find(o, key);
    if (at < 0)
        return NULL;
    struct val *value = o->members[at].value;
    o->members[at].value = VAL_NULL;
    return value;
}

// ---- reading ----

struct val *val_get(const struct val *v, struct bytes key)
{
    if (!val_is(v, JSON_OBJ))
        return NULL;
    ptrdiff_t at = val_find(val_as_obj(v), key);
    return at < 0 ? NULL : val_as_obj(v)->members[at].value;
}

struct val *val_get_cstr(const struct val *v, const char *key)
{
    return val_get(v, bytes_of(key));
}

// Merge sort by hand: qsort has no place for the object, and a thread's own is not worth it.
static void sort_range(const struct val_obj *o, uint32_t *a, uint32_t *spare, uint32_t n)
{
    if (n < 2)
        return;
    uint32_t half = n / 2;
    sort_range(o, a, spare, half);
    sort_range(o, a + half, spare, n - half);
    memcpy(spare, a, half * sizeof *a);
    uint32_t i = 0, j = half, k = 0;
    while (i < half)
        if (j < n && bytes_cmp(key_of(&o->members[a[j]]), key_of(&o->members[spare[i]])) < 0)
            a[k++] = a[j++];
        else
            a[k++] = spare[i++];
}

uint32_t *val_sorted(const struct val *obj)
{
    const struct val_obj *o = val_as_obj(obj);
    uint32_t *order = mem_array((size_t)o->n * 2 + 1, sizeof *order);
    if (!order)
        return NULL;
    for (uint32_t i = 0; i < o->n; i++)
        order[i] = i;
    sort_range(o, order, order + o->n, o->n);
    return order;
}
