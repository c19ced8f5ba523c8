// usage_fuzz.c: any bytes as an answer, whole and cut in two, must give the same counts.
// SPDX-License-Identifier: Apache-2.0
#include "text/usage.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

// First byte: where to cut.
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    if (!n)
        return 0;
    struct usage_scan a = {0}, b = {0};
    const char *text = (const char *)p + 1;
    size_t cut = *p < n - 1 ? *p : n - 1;
    usage_scan_feed(&a, text, n - 1);
    usage_scan_feed(&b, text, cut);
    usage_scan_feed(&b, text + cut, n - 1 - cut);
    if (a.found != b.found || a.prompt_tokens != b.prompt_tokens ||
        a.total_tokens != b.total_tokens || a.completion_tokens != b.completion_tokens)
        abort();
    return 0;
}
