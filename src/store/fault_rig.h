// fault_rig.h: for tests that use the faults of store.h: without PLEXUS_FAULTS (the second compiler
// builds tests so) there are none, and those tests say that they were skipped.
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_STORE_FAULT_RIG_H
#define PLEXUS_STORE_FAULT_RIG_H

#include "store/store.h"

#ifdef PLEXUS_FAULTS
#define FAULTS_HERE 1
#else
#define FAULTS_HERE 0

static inline void store_fault_set(int (*fault)(void *user, const char *step, const char *path,
                                                uint64_t at, size_t n, size_t *torn),
                                   void *user)
{
    (void)fault;
    (void)user;
}
static inline void store_fault_cut(uint64_t (*random)(void *user), void *user)
{
    (void)random;
    (void)user;
}

#endif

#define FAULTS_OR_SKIP()                                                                           \
    do {                                                                                           \
        if (!FAULTS_HERE)                                                                          \
            skip();                                                                                \
    } while (0)

#endif
