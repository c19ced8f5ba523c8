// consume.c: reads all of its input and answers nothing.
// SPDX-License-Identifier: Apache-2.0
#include "plexus_pdk.h"

PDK_TOOL(consume)
{
    size_t n;
    return pdk_input(&n) ? 0 : 1;
}
