// hmac.c: HMAC-SHA256.
// SPDX-License-Identifier: Apache-2.0
#include "crypto/hmac.h"
#include "base/alloc.h"
#include <string.h>

#define BLOCK 64  // SHA-256's
#define MAC_MIN 16

void hmac_key_init(struct hmac_key *k, struct bytes secret)
{
    uint8_t pad[BLOCK] = {0};
    if (secret.n > BLOCK)
        sha256_sum(secret, pad);
    else if (secret.n > 0)
        memcpy(pad, secret.p, secret.n);
    for (int i = 0; i < BLOCK; i++)
        pad[i] ^= 0x36;
    sha256_init(&k->inner);
    sha256_add(&k->inner, pad, BLOCK);
    for (int i = 0; i < BLOCK; i++)
        pad[i] ^= 0x36 ^ 0x5c;
    sha256_init(&k->outer);
    sha256_add(&k->outer, pad, BLOCK);
    mem_wipe(pad, sizeof pad);
}

void hmac_key_fini(struct hmac_key *k)
{
    mem_wipe(k, sizeof *k);
}

void hmac_with(const struct hmac_key *k, struct bytes text, uint8_t ret[HMAC_LEN])
{
    struct sha256 h = k->inner;
    sha256_add(&h, text.p, text.n);
    sha256_end(&h, ret);
    h = k->outer;
    sha256_add(&h, ret, HMAC_LEN);
    sha256_end(&h, ret);
}

void hmac_sum(struct bytes secret, struct bytes text, uint8_t ret[HMAC_LEN])
{
    struct hmac_key k;
    hmac_key_init(&k, secret);
    hmac_with(&k, text, ret);
    hmac_key_fini(&k);
}

bool hmac_fits(const struct hmac_key *k, struct bytes text, struct bytes mac)
{
    uint8_t right[HMAC_LEN];
    if (mac.n < MAC_MIN || mac.n > HMAC_LEN)
        return false;
    hmac_with(k, text, right);
    return bytes_eq_const_time(mac, (struct bytes){(const char *)right, mac.n});
}
