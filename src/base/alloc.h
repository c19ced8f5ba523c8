// alloc.h: the only door to the heap, with a failing mode for tests.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_BASE_ALLOC_H
#define PLEXUS_BASE_ALLOC_H

#include <stddef.h>
#include <stdint.h>

// All return NULL when memory is out (or the fault shim says so); callers answer E_NOMEM.
void *mem_alloc(size_t n);
void *mem_zalloc(size_t n);
void *mem_realloc(void *p, size_t n);
void *mem_array(size_t count, size_t size); // zeroed; checks the product for overflow
char *mem_dup(const char *p, size_t n);     // NUL-terminated copy
char *mem_str(const char *text);            // NULL gives NULL
void mem_free(void *p);
void mem_wipe(void *p, size_t n); // zeroes what was secret, also when nobody reads it again

#define mem_new(type) ((type *)mem_zalloc(sizeof(type)))

// Fault shim for torture tests: the n-th allocation from now fails (0 = never), and all later
// ones too when sticky. Not thread-safe; tests only.
void mem_fail_after(uint64_t n, int sticky);
uint64_t mem_count(void); // allocations so far
uint64_t mem_live(void);  // allocations not yet freed

// Scope-bound cleanup: AUTO(type) needs a function type_auto(struct type **).
#define AUTO(type) __attribute__((cleanup(type##_auto))) struct type *
#define AUTO_MEM __attribute__((cleanup(mem_auto)))
void mem_auto(void *p); // p points at the pointer
// Takes the value out of an owning local, so that its cleanup finds NULL.
#define steal(pp)                                                                                  \
    __extension__({                                                                                \
        __typeof__(*(pp)) stolen_ = *(pp);                                                         \
        *(pp) = NULL;                                                                              \
        stolen_;                                                                                   \
    })

#endif
