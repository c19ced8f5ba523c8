// globals.c: counts its calls in a global.
// SPDX-License-Identifier: Apache-2.0
#include "plexus_pdk.h"

static uint64_t calls, begun;

__attribute__((export_name("_initialize"))) void initialize(void);
void initialize(void)
{
    begun++;
}

PDK_TOOL(globals)
{
    struct pdk_out o = {0};
    if (begun != 1)
        return pdk_error("_initialize did not run once");
    pdk_heap_ = NULL;
    pdk_puts(&o, "{\"count\":");
    pdk_putu(&o, calls++);
    pdk_puts(&o, "}");
    return pdk_done(&o);
}
