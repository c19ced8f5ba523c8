// act_url.c: addresses as authors write them: cleaned, joined, with headers that are safe to send.
// SPDX-License-Identifier: Apache-2.0
#include "acts/acts_priv.h"

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

// Where the path begins: after "scheme://authority". 0: there is no scheme.
static size_t path_at(struct bytes url)
{
    ptrdiff_t at = bytes_find(url, BYTES("://"));
    if (at < 0)
        return 0;
    size_t i = (size_t)at + 3;
    while (i < url.n && url.p[i] != '/' && url.p[i] != '?')
        i++;
    return i;
}

static bool has_scheme(struct bytes ref)
{
    size_t i = 0;
    while (i < ref.n &&
           ((ref.p[i] >= 'a' && ref.p[i] <= 'z') || (ref.p[i] >= 'A' && ref.p[i] <= 'Z') ||
            (i > 0 && ((ref.p[i] >= '0' && ref.p[i] <= '9') || strchr("+-.", ref.p[i])))))
        i++;
    return i > 0 && i < ref.n && ref.p[i] == ':';
}

// RFC 3986, section 5.2.4, over out from `from` on (the path only).
static void remove_dots(struct buf *out, size_t from)
{
    struct bytes rest = bytes_from(buf_bytes(out), from);
    struct buf path;
    buf_init(&path, out->max);
    while (rest.n) {
        struct bytes part = rest; // "/segment"
        ptrdiff_t end = bytes_chr(bytes_from(rest, 1), '/');
        if (end >= 0)
            part = bytes_first(rest, (size_t)end + 1);
        rest = bytes_from(rest, part.n);
        if (bytes_is(part, "/.") || bytes_is(part, "/..")) {
            size_t n = path.n;
            while (part.n == 3 && n > 0 && path.p[n - 1] != '/')
                n--;
            path.n = part.n == 3 && n > 0 ? n - 1 : path.n;
            if (!rest.n)
                (void)buf_chr(&path, '/');
        } else {
            (void)buf_put(&path, part);
        }
    }
    if (!path.failed && path.n <= out->n - from) {
        if (path.n)
            memcpy(out->p + from, path.p, path.n);
        out->n = from + path.n;
    }
    buf_fini(&path);
}

int act_url_join(struct buf *out, struct bytes base, struct bytes ref)
{
    size_t at = path_at(base);
    ref = bytes_trim(ref);
    if (has_scheme(ref))
        return act_url_clean(out, ref);
    if (!at)
        return E_INVALID;
    if (bytes_starts(ref, BYTES("//"))) {
        ptrdiff_t colon = bytes_chr(base, ':');
        (void)buf_put(out, bytes_first(base, (size_t)colon + 1));
        return act_url_clean(out, ref);
    }
    (void)buf_put(out, bytes_first(base, at));
    struct bytes path = bytes_from(base, at), query, old = BYTES_NONE;
    ptrdiff_t q = bytes_chr(path, '?'), fragment = bytes_chr(ref, '#');
    if (q >= 0) {
        old = bytes_from(path, (size_t)q);
        path = bytes_first(path, (size_t)q);
    }
    if (fragment >= 0)
        ref = bytes_first(ref, (size_t)fragment);
    size_t from = out->n;
    ptrdiff_t rq = bytes_chr(ref, '?');
    struct bytes rpath = rq < 0 ? ref : bytes_first(ref, (size_t)rq);
    query = rq >= 0 ? bytes_from(ref, (size_t)rq) : rpath.n ? BYTES_NONE : old;
    if (!rpath.n) {
        (void)buf_put(out, path.n ? path : BYTES("/"));
    } else if (*rpath.p != '/') {
        while (rpath.n && path.n && path.p[path.n - 1] != '/')
            path.n--;
        (void)buf_put(out, path.n ? path : BYTES("/"));
    }
    (void)act_url_clean(out, rpath);
    remove_dots(out, from);
    return act_url_clean(out, query);
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
