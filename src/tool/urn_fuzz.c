// urn_fuzz.c: any bytes as a name: refused with words, or its parts make the same name again.
// SPDX-License-Identifier: Apache-2.0
#include "tool/tool.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct bytes text = {(const char *)p, n};
    struct urn u;
    struct err e = {0};
    struct buf again;
    int rc = urn_parse(&u, text, &e);
    if (rc) {
        if (rc != E_INVALID || !e.n)
            abort();
        return 0;
    }
    buf_init(&again, URN_MAX);
    if (urn_put(&again, &u) || !bytes_eq(buf_bytes(&again), text) || !u.version)
        abort();
    buf_fini(&again);
    return 0;
}
