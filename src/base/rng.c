// rng.c: randomness.
// SPDX-License-Identifier: Apache-2.0
#include "base/rng.h"
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#ifdef PLEXUS_FAULTS
static void (*fault_fill)(void *p, size_t n);

void rng_fault_set(void (*fill)(void *p, size_t n))
{
    fault_fill = fill;
}
#endif

void rng_bytes(void *p, size_t n)
{
    char *at = p;
#ifdef PLEXUS_FAULTS
    if (fault_fill) {
        fault_fill(p, n);
        return;
    }
#endif
    while (n) {
        size_t part = n < 256 ? n : 256; // getentropy's limit
        if (getentropy(at, part) != 0)
            abort();
        at += part;
        n -= part;
    }
}

static uint64_t rotl(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

void rng_init(struct rng *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++) { // splitmix64
        uint64_t z = (seed += 0x9e3779b97f4a7c15u);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        r->s[i] = z ^ (z >> 31);
    }
}

uint64_t rng_next(struct rng *r)
{
    uint64_t *s = r->s, result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

uint64_t rng_below(struct rng *r, uint64_t n)
{
    uint64_t least = (0 - n) % n, x; // refuses the uneven part
    do
        x = rng_next(r);
    while (x < least);
    return x % n;
}

void rng_id(char id[RNG_ID_LEN + 1])
{
    static _Thread_local unsigned char pool[1024];
    static _Thread_local size_t left;
    static const char hex[] = "0123456789abcdef";
#ifdef PLEXUS_FAULTS
    if (fault_fill)
        left = 0; // nothing is kept from before
#endif
    if (left == 0) {
        rng_bytes(pool, sizeof(pool));
        left = sizeof(pool);
    }
    left -= RNG_ID_LEN / 2;
    for (size_t i = 0; i < RNG_ID_LEN / 2; i++) {
        unsigned char c = pool[left + i];
        id[i * 2] = hex[c >> 4];
        id[i * 2 + 1] = hex[c & 15];
    }
    id[RNG_ID_LEN] = 0;
}
