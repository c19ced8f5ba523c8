// fault.c: OpenSSL's randomness in test builds.
// SPDX-License-Identifier: Apache-2.0
#include "crypto/fault.h"

#ifdef PLEXUS_FAULTS
#include "base/rng.h"
#include <openssl/rand.h>

static int fill(unsigned char *p, int n)
{
    rng_bytes(p, (size_t)n);
    return 1;
}
static int ready(void)
{
    return 1;
}

void crypto_fault_random(bool on)
{
    static const RAND_METHOD method = {.bytes = fill, .pseudorand = fill, .status = ready};
// Old, and without a successor that needs no provider of its own.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    (void)RAND_set_rand_method(on ? &method : RAND_OpenSSL());
#pragma GCC diagnostic pop
}
#endif
