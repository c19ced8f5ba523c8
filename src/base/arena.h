// arena.h: memory for one piece of work, freed at once, with a ceiling.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_BASE_ARENA_H
#define PLEXUS_BASE_ARENA_H

#include "base/bytes.h"

struct arena;

struct arena *arena_new(size_t max); // ceiling in bytes for all blocks together; NULL: no memory
void arena_free(struct arena *a);    // NULL is harmless
void arena_reset(struct arena *a);   // forgets all, keeps the first block
// 16-byte aligned, not zeroed / zeroed; NULL at the ceiling or when memory is out.
void *arena_alloc(struct arena *a, size_t n);
void *arena_zalloc(struct arena *a, size_t n);
char *arena_str(struct arena *a, struct bytes s); // NUL-terminated copy
struct bytes arena_dup(struct arena *a, struct bytes s);
char *arena_fmt(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
size_t arena_used(const struct arena *a);

void arena_auto(struct arena **a); // for AUTO(arena)

#endif
