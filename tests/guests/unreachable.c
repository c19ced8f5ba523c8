// unreachable.c: a trap.
// SPDX-License-Identifier: Apache-2.0
#include "plexus_pdk.h"

PDK_TOOL(do_unreachable)
{
    __builtin_trap();
}
