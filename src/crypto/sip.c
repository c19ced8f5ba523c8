// sip.c: SipHash-2-4 with 128 bits of result.
// SPDX-License-Identifier: Apache-2.0
#include "crypto/hash.h"

struct sip {
    uint64_t a, b, c, d;
};

static uint64_t turn(uint64_t x, int n)
{
    return x << n | x >> (64 - n);
}

static void rounds(struct sip *s, int n)
{
    while (n-- > 0) {
        s->a += s->b;
        s->c += s->d;
        s->b = turn(s->b, 13) ^ s->a;
        s->d = turn(s->d, 16) ^ s->c;
        s->a = turn(s->a, 32) + s->d;
        s->c += s->b;
        s->d = turn(s->d, 21) ^ s->a;
        s->b = turn(s->b, 17) ^ s->c;
        s->c = turn(s->c, 32);
    }
}

static uint64_t little(const uint8_t *p, size_t n)
{
    uint64_t x = 0;
    for (size_t i = 0; i < n; i++)
        x |= (uint64_t)p[i] << (8 * i);
    return x;
}

static void put(uint8_t *p, uint64_t x)
{
    for (int i = 0; i < 8; i++)
        p[i] = (uint8_t)(x >> (8 * i));
}

void crypto_sip128(const struct crypto_sip_key *key, struct bytes text, uint8_t ret[CRYPTO_SIP_LEN])
{
    const uint8_t *p = (const uint8_t *)text.p;
    // "somepseudorandomlygeneratedbytes"; 0xee and 0xdd mark the 128-bit form.
    struct sip s = {key->a ^ 0x736f6d6570736575, key->b ^ 0x646f72616e646f6d ^ 0xee,
                    key->a ^ 0x6c7967656e657261, key->b ^ 0x7465646279746573};
    size_t whole = text.n & ~(size_t)7;
    for (size_t i = 0; i < whole; i += 8) {
        uint64_t word = little(p + i, 8);
        s.d ^= word;
        rounds(&s, 2);
        s.a ^= word;
    }
    uint64_t last = (uint64_t)text.n << 56;
    if (text.n > whole)
        last |= little(p + whole, text.n - whole);
    s.d ^= last;
    rounds(&s, 2);
    s.a ^= last;
    s.c ^= 0xee;
    rounds(&s, 4);
    put(ret, s.a ^ s.b ^ s.c ^ s.d);
    s.b ^= 0xdd;
    rounds(&s, 4);
    put(ret + 8, s.a ^ s.b ^ s.c ^ s.d);
}
