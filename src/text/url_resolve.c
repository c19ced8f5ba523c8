// url_resolve.c: a reference against its base: RFC 3986, section 5.2.
// SPDX-License-Identifier: Apache-2.0
#include "text/url.h"
#include <string.h>

struct parts { // p NULL: the part is absent
    struct bytes scheme, authority, path, query;
};

static bool is_scheme(struct bytes s)
{
    if (s.n == 0)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool other = (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.';
        if (!letter && (i == 0 || !other))
            return false;
    }
    return true;
}

static struct parts split(struct bytes uri)
{
    struct parts p = {0};
    ptrdiff_t colon = bytes_chr(uri, ':');
    if (colon > 0 && is_scheme(bytes_first(uri, (size_t)colon))) {
        p.scheme = bytes_first(uri, (size_t)colon);
        uri = bytes_from(uri, (size_t)colon + 1);
    }
    ptrdiff_t query = bytes_chr(uri, '?');
    if (query >= 0) {
        p.query = bytes_from(uri, (size_t)query + 1);
        uri = bytes_first(uri, (size_t)query);
    }
    if (bytes_starts(uri, BYTES("//"))) {
        struct bytes rest = bytes_from(uri, 2);
        ptrdiff_t slash = bytes_chr(rest, '/');
        size_t n = slash < 0 ? rest.n : (size_t)slash;
        p.authority = bytes_first(rest, n);
        uri = bytes_from(rest, n);
    }
    p.path = uri;
    return p;
}

bool url_cut_fragment(struct bytes *uri, struct bytes *ret_fragment)
{
    ptrdiff_t hash = bytes_chr(*uri, '#');
    *ret_fragment = hash < 0 ? BYTES_NONE : bytes_from(*uri, (size_t)hash + 1);
    if (hash >= 0)
        *uri = bytes_first(*uri, (size_t)hash);
    return hash >= 0;
}

// RFC 3986, 5.2.4, in place; returns the new length.
static size_t remove_dots(char *path, size_t n)
{
    size_t out = 0, i = 0;
    while (i < n) {
        size_t end = i + 1;
        while (end < n && path[end] != '/')
            end++;
        struct bytes segment = {path + i, end - i}; // with its leading slash, if it has one
        if (bytes_is(segment, "/.") || bytes_is(segment, "/..")) {
            if (segment.n == 3)
                while (out > 0 && path[--out] != '/')
                    continue;
            if (end == n)
                path[out++] = '/';
        } else {
            memmove(path + out, path + i, end - i);
            out += end - i;
        }
        i = end;
    }
    return out;
}

static size_t put(char *to, size_t at, struct bytes s)
{
    if (s.n)
        memcpy(to + at, s.p, s.n);
    return at + s.n;
}

struct bytes url_resolve(struct arena *a, struct bytes base, struct bytes ref)
{
    struct bytes fragment, base_fragment;
    bool has_fragment = url_cut_fragment(&ref, &fragment);
    (void)url_cut_fragment(&base, &base_fragment);
    struct parts b = split(base), r = split(ref);
    char *to = arena_alloc(a, base.n + ref.n + fragment.n + 8);
    if (!to)
        return BYTES_NONE;
    struct bytes scheme = r.scheme.p ? r.scheme : b.scheme;
    struct bytes authority = r.scheme.p || r.authority.p ? r.authority : b.authority;
    size_t n = 0;
    if (scheme.p)
        n = put(to, put(to, n, scheme), BYTES(":"));
    if (authority.p)
        n = put(to, put(to, n, BYTES("//")), authority);
    size_t path = n;
    bool own = r.scheme.p || r.authority.p;
    if (!own && r.path.n == 0) {
        n = put(to, n, b.path);
    } else {
        if (!own && r.path.p[0] != '/') { // merge
            size_t keep = b.path.n;
            while (keep > 0 && b.path.p[keep - 1] != '/')
                keep--;
            if (b.authority.p && b.path.n == 0)
                n = put(to, n, BYTES("/"));
            n = put(to, n, bytes_first(b.path, keep));
        }
        n = put(to, n, r.path);
        n = path + remove_dots(to + path, n - path);
    }
    struct bytes query = !own && r.path.n == 0 && !r.query.p ? b.query : r.query;
    if (query.p)
        n = put(to, put(to, n, BYTES("?")), query);
    if (has_fragment)
        n = put(to, put(to, n, BYTES("#")), fragment);
    return (struct bytes){to, n};
}
