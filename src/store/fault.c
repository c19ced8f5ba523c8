// fault.c: of test builds: what SQLite reads and writes goes through here, where disks may be full,
// fail, tear a write, or lose their power.
// SPDX-License-Identifier: Apache-2.0
#include "store/store_priv.h"

#ifndef PLEXUS_FAULTS

const char *store_vfs(void)
{
    return NULL;
}

#else

const char *store_vfs(void)
{
    return NULL;
}

#endif
