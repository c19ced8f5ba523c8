// nats1_fuzz.c: any bytes as a NATS server's. Nothing is taken beyond the input; less input never
// gives another operation.
// SPDX-License-Identifier: Apache-2.0
#include "text/nats1.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void inside(struct bytes all, struct bytes part)
{
    if (part.n && (part.p < all.p || part.p + part.n > all.p + all.n))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct bytes in = {(const char *)p, n};
    struct nats1_op op, less;
    struct err e = {0};
    int64_t used;
    while ((used = nats1_parse(in, 512, &op, &e)) > 0) {
        if ((size_t)used > in.n)
            abort();
        struct bytes taken = bytes_first(in, (size_t)used), name, value, text = BYTES_NONE;
        inside(taken, op.text);
        inside(taken, op.subject);
        inside(taken, op.reply);
        inside(taken, op.headers);
        inside(taken, op.data);
        for (size_t at = 0; nats1_header_each(op.headers, &at, &name, &value);) {
            inside(op.headers, name);
            inside(op.headers, value);
        }
        (void)nats1_status(op.headers, &text);
        if (nats1_parse(bytes_first(in, (size_t)used - 1), 512, &less, NULL) > 0)
            abort();
        in = bytes_from(in, (size_t)used);
    }
    if (used < 0 && used != e.code)
        abort();
    return 0;
}
