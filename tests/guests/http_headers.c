// http_headers.c: the headers of an answer, as JSON.
// SPDX-License-Identifier: Apache-2.0
#include "plexus_pdk.h"

PDK_TOOL(http_get)
{
    size_t n, head_n;
    char *in = pdk_input(&n);
    if (!in)
        return 1;
    pdk_free(pdk_http_request(pdk_block(in, n), 0));
    char *head = pdk_text(pdk_http_headers(), &head_n);
    return head ? pdk_output(head, head_n) : pdk_output("{}", 2);
}
