// resp_fuzz.c: any bytes as Redis's replies. Nothing is taken beyond the input; spans fit; less
// input never gives a reply.
// SPDX-License-Identifier: Apache-2.0
#include "text/resp.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct bytes in = {(const char *)p, n};
    struct resp row[64], less[64];
    struct err e = {0};
    size_t used, less_used;
    int64_t taken;
    while ((taken = resp_parse(in, 512, row, 64, &used, &e)) > 0) {
        if ((size_t)taken > in.n || !used || used > 64 || row[0].span != used)
            abort();
        for (size_t i = 0; i < used; i++) {
            struct bytes t = row[i].text;
            if (t.n && (t.p < in.p || t.p + t.n > in.p + taken))
                abort();
            if (row[i].kind == RESP_ARRAY && row[i].count && !resp_at(&row[i], row[i].count - 1))
                abort();
        }
        if (resp_parse(bytes_first(in, (size_t)taken - 1), 512, less, 64, &less_used, NULL) > 0)
            abort();
        in = bytes_from(in, (size_t)taken);
    }
    if (taken < 0 && taken != e.code)
        abort();
    return 0;
}
