// jq_sort.c: sort, group_by and the rest of that family: stable, in jq's order of values.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "text/jq_priv.h"
#include <string.h>

// Merge sort of indices by the keys in arr. Steps are counted: comparisons are the work.
static bool sort_range(struct jq_run *x, struct val **keys, uint32_t *a, uint32_t *spare, size_t n)
{
    if (n < 2)
        return true;
    size_t half = n / 2, i = 0, j = half, k = 0;
    if (!sort_range(x, keys, a, spare, half) || !sort_range(x, keys, a + half, spare, n - half))
        return false;
    if (x->steps < n) {
        (void)jq_stop(x, E_TOOBIG);
        return false;
    }
    x->steps -= n / 8;
    memcpy(spare, a, half * sizeof *a);
    while (i < half)
        a[k++] = j < n && val_cmp(keys[a[j]], keys[spare[i]]) < 0 ? a[j++] : spare[i++];
    return true;
}

// Order of keys; mem_free. NULL: failed.
static uint32_t *order_of(struct jq_run *x, const struct val *keys)
{
    size_t n = val_len(keys);
    uint32_t *order = mem_array(n * 2 + 1, sizeof *order);
    if (!order) {
        (void)jq_stop(x, E_NOMEM);
        return NULL;
    }
    for (size_t i = 0; i < n; i++)
        order[i] = (uint32_t)i;
    if (sort_range(x, val_as_arr(keys)->items, order, order + n, n))
        return order;
    mem_free(order);
    return NULL;
}

static struct val *grouped(struct jq_run *x, struct val *arr, struct val *keys,
                           const uint32_t *order, bool unique)
{
    struct val *v = jq_made(x, val_arr()), *group = NULL;
    size_t n = val_len(arr);
    for (size_t i = 0; i < n && v; i++) {
        bool first = i == 0 || val_cmp(val_at(keys, order[i]), val_at(keys, order[i - 1])) != 0;
        struct val *item = val_keep(val_at(arr, order[i]));
        if (unique) {
            if (first)
                v = jq_push(x, v, item);
            else
                val_unref(item);
            continue;
        }
        if (first && group)
            v = jq_push(x, v, group);
        if (first)
            group = jq_made(x, val_arr());
        group = v && group ? jq_push(x, group, item) : (val_unref(item), NULL);
        if (!group) {
            val_unref(v);
            v = NULL;
        }
    }
    return v && group ? jq_push(x, v, group) : v;
}

static struct val *extreme(struct val *arr, struct val *keys, bool max)
{
    size_t best = 0, n = val_len(arr);
    for (size_t i = 1; i < n; i++) {
        int order = val_cmp(val_at(keys, i), val_at(keys, best));
        if (max ? order >= 0 : order < 0)
            best = i;
    }
    return n ? val_keep(val_at(arr, best)) : val_null();
}

struct val *jq_by_keys(struct jq_run *x, enum jq_by by, struct val *arr, struct val *keys)
{
    struct val *v = NULL;
    if (by == BY_MIN || by == BY_MAX) {
        v = extreme(arr, keys, by == BY_MAX);
    } else {
        AUTO_MEM uint32_t *order = order_of(x, keys);
        size_t n = val_len(arr);
        if (order && by != BY_SORT)
            v = grouped(x, arr, keys, order, by == BY_UNIQUE);
        else if (order && jq_charge(x, 32 + n * 8))
            v = jq_made(x, val_arr_room(n));
        for (size_t i = 0; i < n && v && by == BY_SORT; i++)
            v = jq_made(x, val_push(v, val_keep(val_at(arr, order[i]))));
    }
    val_unref(arr);
    val_unref(keys);
    return v;
}

struct val *jq_sort(struct jq_run *x, struct val *arr)
{
    char text[JQ_SHORT];
    if (arr->kind == JSON_ARR)
        return jq_by_keys(x, BY_SORT, arr, val_keep(arr));
    (void)jq_fail(x, "%s (%s) cannot be sorted, as it is not an array", jq_kind_name(arr),
                  jq_short(arr, text));
    val_unref(arr);
    return NULL;
}
