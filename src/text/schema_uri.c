// schema_uri.c: percent-encoded fragments of references between schemas.
// SPDX-License-Identifier: Apache-2.0
#include "text/schema_priv.h"
#include <string.h>

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

struct bytes schema_uri_decode(struct arena *a, struct bytes text)
{
    char *to = arena_alloc(a, text.n + 1);
    size_t n = 0;
    if (!to)
        return BYTES_NONE;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (c == '%') {
            int high = i + 2 < text.n ? hex(text.p[i + 1]) : -1;
            int low = i + 2 < text.n ? hex(text.p[i + 2]) : -1;
            if (high < 0 || low < 0)
                return BYTES_NONE;
            c = (char)(high * 16 + low);
            i += 2;
        }
        to[n++] = c;
    }
    return (struct bytes){to, n};
}
