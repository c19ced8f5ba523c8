// version.c: which of two versions of a document is newer (semver.org, section 11).
// SPDX-License-Identifier: Apache-2.0
#include "flow/flow.h"

static int cmp_part(struct bytes a, struct bytes b)
{
    uint64_t x, y;
    bool na = bytes_u64(a, &x), nb = bytes_u64(b, &y);
    if (na && nb)
        return x < y ? -1 : x > y;
    if (na != nb)
        return na ? -1 : 1; // numbers before words
    return bytes_cmp(a, b);
}

static int cmp_parts(struct bytes a, struct bytes b)
{
    while (a.n && b.n) {
        int c = cmp_part(bytes_cut(&a, '.'), bytes_cut(&b, '.'));
        if (c)
            return c;
    }
    return a.n ? 1 : b.n ? -1 : 0;
}

int flow_version_cmp(struct bytes a, struct bytes b)
{
    a = bytes_cut(&a, '+'); // what was built does not count
    b = bytes_cut(&b, '+');
    int c = cmp_parts(bytes_cut(&a, '-'), bytes_cut(&b, '-'));
    if (c)
        return c;
    if (!a.n != !b.n)
        return a.n ? -1 : 1; // a pre-release is before
    return cmp_parts(a, b);
}
