// echo.c: gives back what it got.
// SPDX-License-Identifier: Apache-2.0
#include "plexus_pdk.h"

PDK_TOOL(echo)
{
    size_t n;
    char *in = pdk_input(&n);
    return in ? pdk_output(in, n) : pdk_error("out of memory");
}
