// rng.h: random bytes from the kernel, and a fast seeded generator for everything else.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_BASE_RNG_H
#define PLEXUS_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

void rng_bytes(void *p, size_t n); // getrandom(2); aborts when the kernel cannot

// xoshiro256** (Blackman, Vigna 2018), seeded by splitmix64. Deterministic: not for secrets.
struct rng {
    uint64_t s[4];
};
void rng_init(struct rng *r, uint64_t seed);
uint64_t rng_next(struct rng *r);
uint64_t rng_below(struct rng *r, uint64_t n); // uniform in [0, n), n > 0

// 32 lower-case hex digits of 128 random bits + NUL; fast (reads the kernel in blocks).
#define RNG_ID_LEN 32
void rng_id(char id[RNG_ID_LEN + 1]);

#ifdef PLEXUS_FAULTS
// Of test builds: bytes from here instead of the kernel, also for rng_id; NULL: from the kernel.
void rng_fault_set(void (*fill)(void *p, size_t n));
#endif

#endif
