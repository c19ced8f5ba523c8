// fault.h: for test builds: OpenSSL's randomness from base/rng.h, so that a simulation is its
// seed's alone.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_CRYPTO_FAULT_H
#define PLEXUS_CRYPTO_FAULT_H

#include <stdbool.h>

#ifdef PLEXUS_FAULTS
// On: keys and signatures are made from rng_bytes (rng_fault_set says from what). Off: as before.
void crypto_fault_random(bool on);
#endif

#endif
