// diff_fuzz.c: any bytes as a unified diff: no crash, and what is accepted holds together.
// SPDX-License-Identifier: Apache-2.0
#include "prims/diff_priv.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct diff d;
    if (diff_parse(&d, (struct bytes){(const char *)data, size}, NULL) < 0)
        return 0;
    if (d.n == 0 || d.n > DIFF_HUNKS_MAX)
        abort();
    for (size_t i = 0; i < d.n; i++) {
        const struct diff_hunk *h = &d.hunk[i];
        if (h->old_at + h->old_n > d.text.n || h->new_at + h->new_n > d.text.n)
            abort();
        uint64_t lines = 0;
        for (size_t k = 0; k < h->old_n; k++)
            lines += d.text.p[h->old_at + k] == '\n';
        if (lines > h->old_count)
            abort();
    }
    diff_fini(&d);
    return 0;
}
