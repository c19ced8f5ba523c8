// md5.c: MD5 (RFC 1321) and SHA-1 (FIPS 180-4).
// SPDX-License-Identifier: Apache-2.0
#include "crypto/md5.h"
#include "base/alloc.h"

#include <string.h>

static const uint8_t shifts[4][4] = {
    {7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}};

// floor(2^32 * abs(sin(i + 1))), section 3.4.
static const uint32_t sines[64] = {
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
    0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
    0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
    0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
    0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
    0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
    0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
    0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391,
};

static uint32_t left(uint32_t x, unsigned n)
{
    return x << n | x >> (32 - n);
}

static uint32_t mix(int i, uint32_t b, uint32_t c, uint32_t d, int *word)
{
    switch (i / 16) {
    case 0: *word = i; return (b & c) | (~b & d);
    case 1: *word = (5 * i + 1) % 16; return (d & b) | (~d & c);
    case 2: *word = (3 * i + 5) % 16; return b ^ c ^ d;
    default: *word = 7 * i % 16; return c ^ (b | ~d);
    }
}

static void block(uint32_t *state, const uint8_t *p)
{
    uint32_t w[16], a = state[0], b = state[1], c = state[2], d = state[3];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)p[4 * i] | (uint32_t)p[4 * i + 1] << 8 | (uint32_t)p[4 * i + 2] << 16 |
               (uint32_t)p[4 * i + 3] << 24;
    for (int i = 0; i < 64; i++) {
        int word;
        uint32_t f = mix(i, b, c, d, &word) + a + sines[i] + w[word];
        a = d;
        d = c;
        c = b;
        b += left(f, shifts[i / 16][i % 4]);
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    mem_wipe(w, sizeof w);
}

typedef void (*block_fn)(uint32_t *state, const uint8_t *p);

// Whole blocks, then the rest with its padding and the length, low or high byte first.
static void digest(uint32_t *state, struct bytes text, bool high_first, block_fn fn)
{
    uint8_t tail[128] = {0};
    size_t whole = text.n / 64 * 64, rest = text.n - whole;
    for (size_t i = 0; i < whole; i += 64)
        fn(state, (const uint8_t *)text.p + i);
    if (rest)
        memcpy(tail, text.p + whole, rest);
    tail[rest] = 0x80;
    size_t end = rest < 56 ? 64 : 128;
    for (int i = 0; i < 8; i++)
        tail[end - 8 + (size_t)i] =
            (uint8_t)((uint64_t)text.n * 8 >> (8 * (high_first ? 7 - i : i)));
    for (size_t i = 0; i < end; i += 64)
        fn(state, tail + i);
    mem_wipe(tail, sizeof tail);
}

void crypto_md5(struct bytes text, uint8_t ret[CRYPTO_MD5_LEN])
{
    uint32_t state[4] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};
    digest(state, text, false, block);
    for (int i = 0; i < CRYPTO_MD5_LEN; i++)
        ret[i] = (uint8_t)(state[i / 4] >> (8 * (i % 4)));
}

static void block_sha1(uint32_t *state, const uint8_t *p)
{
    static const uint32_t k[4] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
    uint32_t w[80], a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 |
               (uint32_t)p[4 * i + 2] << 8 | (uint32_t)p[4 * i + 3];
    for (int i = 16; i < 80; i++)
        w[i] = left(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    for (int i = 0; i < 80; i++) {
        uint32_t f = i < 20              ? (b & c) | (~b & d)
                     : i >= 40 && i < 60 ? (b & c) | (b & d) | (c & d)
                                         : b ^ c ^ d;
        uint32_t sum = left(a, 5) + f + e + k[i / 20] + w[i];
        e = d;
        d = c;
        c = left(b, 30);
        b = a;
        a = sum;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
    mem_wipe(w, sizeof w);
}

void crypto_sha1(struct bytes text, uint8_t ret[CRYPTO_SHA1_LEN])
{
    uint32_t state[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    digest(state, text, true, block_sha1);
    for (int i = 0; i < CRYPTO_SHA1_LEN; i++)
        ret[i] = (uint8_t)(state[i / 4] >> (8 * (3 - i % 4)));
}
