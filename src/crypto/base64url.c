// base64url.c: RFC 4648, section 5.
// SPDX-License-Identifier: Apache-2.0
#include "crypto/base64url.h"
#include "base/err.h"

int base64url_put(struct buf *out, struct bytes data)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint32_t bits = 0;
    int count = 0;
    for (size_t i = 0; i < data.n; i++) {
        bits = bits << 8 | (uint8_t)data.p[i];
        for (count += 8; count >= 6; count -= 6)
            (void)buf_chr(out, digits[bits >> (count - 6) & 63]);
    }
    if (count > 0)
        (void)buf_chr(out, digits[bits << (6 - count) & 63]);
    return out->failed;
}

static int value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

int base64url_parse(struct buf *out, struct bytes text)
{
    uint32_t bits = 0;
    int count = 0;
    if (text.n % 4 == 1)
        return E_PARSE;
    for (size_t i = 0; i < text.n; i++) {
        int v = value(text.p[i]);
        if (v < 0)
            return E_PARSE;
        bits = bits << 6 | (uint32_t)v;
        count += 6;
        if (count >= 8) {
            count -= 8;
            (void)buf_chr(out, (char)(bits >> count & 255));
        }
    }
    if (bits & ((1u << count) - 1))
        return E_PARSE;
    return out->failed;
}
