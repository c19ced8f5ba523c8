// gguf_fuzz.c: any bytes as a GGUF header. A wish for more must lie beyond the text.
// SPDX-License-Identifier: Apache-2.0
#include "text/gguf.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct gguf g;
    struct err e = {0};
    uint64_t need = 0;
    int rc = gguf_parse(&g, (struct bytes){(const char *)p, n}, &need, &e);
    if (rc != e.code || (rc == E_TOOBIG && need <= n) || (rc && rc != E_TOOBIG && rc != E_PARSE))
        abort();
    if (!rc && (!gguf_kind(&g) || gguf_kv_bytes(&g, 0)))
        abort();
    return 0;
}
