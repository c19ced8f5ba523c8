// map.h: hash map from byte strings to pointers, seeded against hostile keys.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_BASE_MAP_H
#define PLEXUS_BASE_MAP_H

#include "base/bytes.h"

struct map;

struct map *map_new(size_t entries_max); // NULL: no memory
void map_free(struct map *m);            // keys are freed, values are the caller's
void *map_get(const struct map *m, struct bytes key); // NULL: absent
// Copies the key. Replaces a present value (old one in *ret_old when not NULL).
// 0, E_FULL at entries_max, E_NOMEM, E_INVALID for a NULL value.
int map_put(struct map *m, struct bytes key, void *value, void **ret_old);
void *map_del(struct map *m, struct bytes key); // gives back the value, NULL: absent
size_t map_count(const struct map *m);
// Walks in insertion order: start with *at = 0; false at the end. The map must not change
// meanwhile.
bool map_each(const struct map *m, size_t *at, struct bytes *ret_key, void **ret_value);

void map_auto(struct map **m);

#endif
