// empty.c: a text of no bytes, as output and as log line.
// SPDX-License-Identifier: Apache-2.0
#include "plexus_pdk.h"

PDK_TOOL(test)
{
    pdk_log_info(pdk_block("", 0));
    return pdk_output("", 0);
}
