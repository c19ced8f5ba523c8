// http.c: sends its input as a request, answers with the answer's body.
// SPDX-License-Identifier: Apache-2.0
#include "plexus_pdk.h"

PDK_TOOL(http_request)
{
    size_t n, body_n;
    char *in = pdk_input(&n);
    uint64_t answer = in ? pdk_http_request(pdk_block(in, n), 0) : 0;
    char *body = pdk_text(answer, &body_n);
    if (pdk_http_status_code() >= 400)
        return pdk_error("the answer is an error");
    return body ? pdk_output(body, body_n) : pdk_output("", 0);
}

PDK_TOOL(http_post) // the part after the first newline is the body
{
    size_t n, body_n, at = 0;
    char *in = pdk_input(&n);
    if (!in)
        return 1;
    while (at < n && in[at] != '\n')
        at++;
    uint64_t sent = at < n ? pdk_block(in + at + 1, n - at - 1) : 0;
    char *body = pdk_text(pdk_http_request(pdk_block(in, at), sent), &body_n);
    struct pdk_out o = {0};
    pdk_putu(&o, (uint64_t)pdk_http_status_code());
    pdk_putc(&o, ' ');
    pdk_add(&o, body ? body : "", body ? body_n : 0);
    return pdk_done(&o);
}
