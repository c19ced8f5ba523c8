// allocations.c: takes and gives back blocks of the kernel's memory.
// SPDX-License-Identifier: Apache-2.0
#include "plexus_pdk.h"

PDK_TOOL(allocations)
{
    for (int i = 0; i < 1000; i++) {
        uint64_t a = pdk_alloc(100), b = pdk_alloc(8);
        pdk_free(a);
        if (!a || !b || pdk_length(b) != 8 || pdk_length(a) != 0)
            return pdk_error("a block is not what it was made");
        pdk_free(b);
    }
    return 0;
}
