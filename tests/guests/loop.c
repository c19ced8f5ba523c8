// loop.c: never ends.
// SPDX-License-Identifier: Apache-2.0
#include "plexus_pdk.h"

PDK_TOOL(loop_forever)
{
    for (volatile uint32_t i = 0;; i++)
        ;
}
