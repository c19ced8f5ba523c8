// sha256.c: SHA-256 as FIPS 180-4 writes it down, and hex.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "crypto/hash.h"
#include <string.h>

// First 32 bits of the fractional parts of the cube roots of the first 64 primes (4.2.2).
static const uint32_t k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t turn(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

static uint32_t load(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void store(uint8_t *p, uint32_t x)
{
    p[0] = (uint8_t)(x >> 24);
    p[1] = (uint8_t)(x >> 16);
    p[2] = (uint8_t)(x >> 8);
    p[3] = (uint8_t)x;
}

static void compress(uint32_t state[8], const uint8_t block[64]) // 6.2.2
{
    uint32_t w[64], v[8];
    for (int t = 0; t < 16; t++)
        w[t] = load(block + t * 4);
    for (int t = 16; t < 64; t++) {
        uint32_t a = w[t - 15], b = w[t - 2];
        w[t] = w[t - 16] + w[t - 7] + (turn(a, 7) ^ turn(a, 18) ^ a >> 3) +
               (turn(b, 17) ^ turn(b, 19) ^ b >> 10);
    }
    memcpy(v, state, sizeof v);
    for (int t = 0; t < 64; t++) {
        uint32_t a = v[0], e = v[4];
        uint32_t t1 = v[7] + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & v[5]) ^ (~e & v[6])) +
                      k[t] + w[t];
        uint32_t t2 =
            (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]));
        memmove(v + 1, v, 7 * sizeof *v);
        v[4] += t1;
        v[0] = t1 + t2;
    }
    for (int i = 0; i < 8; i++)
        state[i] += v[i];
}

void sha256_init(struct sha256 *h)
{
    // Square roots of the first 8 primes (5.3.3).
    static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    memcpy(h->state, start, sizeof start);
    h->bytes = 0;
}

void sha256_add(struct sha256 *h, const void *p, size_t n)
{
    const uint8_t *from = p;
    while (n > 0) {
        size_t at = h->bytes % 64, part = 64 - at < n ? 64 - at : n;
        if (part == 64) {
            compress(h->state, from);
        } else {
            memcpy(h->block + at, from, part);
            if (at + part == 64)
                compress(h->state, h->block);
        }
        h->bytes += part;
        from += part;
        n -= part;
    }
}

void sha256_end(struct sha256 *h, uint8_t ret[SHA256_LEN])
{
    uint64_t bits = h->bytes * 8;
    size_t at = h->bytes % 64;
    h->block[at++] = 0x80; // 5.1.1
    if (at > 56) {
        memset(h->block + at, 0, 64 - at);
        compress(h->state, h->block);
        at = 0;
    }
    memset(h->block + at, 0, 56 - at);
    store(h->block + 56, (uint32_t)(bits >> 32));
    store(h->block + 60, (uint32_t)bits);
    compress(h->state, h->block);
    for (int i = 0; i < 8; i++)
        store(ret + i * 4, h->state[i]);
    mem_wipe(h, sizeof *h);
}

void sha256_sum(struct bytes text, uint8_t ret[SHA256_LEN])
{
    struct sha256 h;
    sha256_init(&h);
    sha256_add(&h, text.p, text.n);
    sha256_end(&h, ret);
}

void crypto_hex(const uint8_t *p, size_t n, char *ret)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        ret[i * 2] = digits[p[i] >> 4];
        ret[i * 2 + 1] = digits[p[i] & 15];
    }
    ret[n * 2] = 0;
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool crypto_unhex(struct bytes text, uint8_t *ret, size_t n)
{
    if (text.n != n * 2)
        return false;
    for (size_t i = 0; i < n; i++) {
        int high = digit(text.p[i * 2]), low = digit(text.p[i * 2 + 1]);
        if (high < 0 || low < 0)
            return false;
        ret[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}
