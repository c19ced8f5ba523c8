// mcpc_show.c: texts of strangers for people and models: what cannot be seen, or changes how the
// rest is read, stands as \u{...}. SPDX-License-Identifier: Apache-2.0
#include "toolbox/mcpc.h"

struct range {
    uint32_t from, to;
};

// Unicode 15: category Cc without tab and newline, Cf, Zl, Zp, private use, noncharacters, and
// what looks like nothing (fillers, variation selectors, tags: instructions hide in them).
static const struct range hidden[] = {
    {0x00, 0x08},       {0x0b, 0x1f},       {0x7f, 0x9f},       {0xad, 0xad},
    {0x034f, 0x034f},   {0x0600, 0x0605},   {0x061c, 0x061c},   {0x06dd, 0x06dd},
    {0x070f, 0x070f},   {0x0890, 0x0891},   {0x08e2, 0x08e2},   {0x115f, 0x1160},
    {0x17b4, 0x17b5},   {0x180b, 0x180f},   {0x200b, 0x200f},   {0x2028, 0x202e},
    {0x2060, 0x206f},   {0x2800, 0x2800},   {0x3164, 0x3164},   {0xe000, 0xf8ff},
    {0xfdd0, 0xfdef},   {0xfe00, 0xfe0e},   {0xfeff, 0xfeff},   {0xffa0, 0xffa0},
    {0xfff0, 0xfffb},   {0xfffe, 0xffff},   {0x110bd, 0x110bd}, {0x110cd, 0x110cd},
    {0x13430, 0x1343f}, {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a}, {0xe0000, 0x10ffff}};

static bool is_hidden(uint32_t c)
{
    size_t low = 0, high = sizeof hidden / sizeof *hidden;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (c > hidden[mid].to)
            low = mid + 1;
        else if (c < hidden[mid].from)
            high = mid;
        else
            return true;
    }
    return false;
}

// One character: how many bytes, 0: no UTF-8.
static size_t next(struct bytes s, uint32_t *ret)
{
    const unsigned char *p = (const unsigned char *)s.p;
    size_t n = p[0] < 0x80 ? 1 : p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : p[0] >= 0xc0 ? 2 : 0;
    if (!n || n > s.n || !bytes_is_utf8(bytes_first(s, n)))
        return 0;
    uint32_t c = n == 1 ? p[0] : p[0] & (0x7fU >> n);
    for (size_t i = 1; i < n; i++)
        c = c << 6 | (p[i] & 0x3fU);
    *ret = c;
    return n;
}

size_t mcpc_show(struct buf *out, struct bytes text)
{
    size_t found = 0, plain = 0;
    while (plain < text.n) {
        uint32_t c = 0;
        struct bytes rest = bytes_from(text, plain);
        size_t i = 0;
        while (i < rest.n &&
               ((rest.p[i] >= 0x20 && rest.p[i] < 0x7f) || rest.p[i] == '\n' || rest.p[i] == '\t'))
            i++;
        (void)buf_put(out, bytes_first(rest, i));
        plain += i;
        if (plain == text.n)
            break;
        rest = bytes_from(text, plain);
        size_t n = next(rest, &c);
        if (!n) {
            (void)buf_str(out, "\xef\xbf\xbd"); // U+FFFD
            found++;
            plain++;
            continue;
        }
        if (is_hidden(c)) {
            (void)buf_fmt(out, "\\u{%x}", c);
            found++;
        } else {
            (void)buf_put(out, bytes_first(rest, n));
        }
        plain += n;
    }
    return found;
}
