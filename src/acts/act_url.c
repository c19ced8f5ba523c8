// act_url.c: addresses as authors write them: cleaned, joined, with headers that are safe to send.
// SPDX-License-Identifier: Apache-2.0
#include "acts/acts_priv.h"
#include "base/alloc.h"
#include "text/url.h"

#include <string.h>

static bool hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

int act_url_clean(struct buf *out, struct bytes url)
{
    ptrdiff_t fragment = bytes_chr(url, '#');
    url = bytes_trim(fragment < 0 ? url : bytes_first(url, (size_t)fragment));
    for (size_t i = 0; i < url.n; i++) {
        unsigned char c = (unsigned char)url.p[i];
        bool escape = c == '%' && i + 2 < url.n && hex(url.p[i + 1]) && hex(url.p[i + 2]);
        if (c <= ' ' || c >= 0x7f || strchr("\"<>\\^`{|}", c) || (c == '%' && !escape))
            (void)buf_fmt(out, "%%%02X", c);
        else
            (void)buf_chr(out, (char)c);
    }
    return out->failed;
}

int act_url_join(struct buf *out, struct bytes base, struct bytes ref)
{
    ref = bytes_trim(ref);
    AUTO(arena) a = arena_new(base.n + ref.n + 65536);
    struct bytes uri = a ? url_resolve(a, base, ref) : BYTES_NONE;
    if (!uri.p)
        return E_NOMEM;
    return bytes_find(uri, BYTES("://")) > 0 ? act_url_clean(out, uri) : E_INVALID;
}

int act_header_put(struct buf *out, struct bytes name, struct bytes value, struct err *e)
{
    bool good = name.n > 0;
    for (size_t i = 0; i < name.n; i++) // RFC 9110, section 5.6.2: a token
        good = good && name.p[i] > ' ' && name.p[i] < 0x7f &&
               !strchr("\"(),/:;<=>?@[\\]{}", name.p[i]);
    if (!good)
        return err_set(e, E_INVALID, "\"%.*s\" is no name of a header",
                       (int)(name.n < 80 ? name.n : 80), name.p ? name.p : "");
    value = bytes_trim(value);
    for (size_t i = 0; i < value.n; i++)
        if (((unsigned char)value.p[i] < ' ' && value.p[i] != '\t') || value.p[i] == 0x7f)
            return err_set(e, E_INVALID,
                           "the header %.*s has a line break or a control character in its value",
                           BYTES_FMT(name));
    (void)buf_put(out, name);
    (void)buf_str(out, ": ");
    (void)buf_put(out, value);
    return buf_str(out, "\r\n");
}
