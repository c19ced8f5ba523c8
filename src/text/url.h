// url.h: absolute http, https and unix addresses, host:port pairs, query strings (RFC 3986).
// SPDX-License-Identifier: Apache-2.0
#ifndef PLEXUS_TEXT_URL_H
#define PLEXUS_TEXT_URL_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"

struct url {
    bool tls;            // https
    struct bytes host;   // without brackets for IPv6; slices of the given text
    uint16_t port;       // default filled in
    struct bytes path;   // starts with '/', or empty
    struct bytes query;  // without '?'
};
int url_parse(struct url *ret, struct bytes text, struct err *e);

// "127.0.0.1:8000", "[::1]:8000", "localhost:0", ":8000" (host empty = all), "unix:/path".
struct url_addr {
    bool unix_socket;
    char host[256]; // or the socket's path
    uint16_t port;
};
int url_addr_parse(struct url_addr *ret, struct bytes text, struct err *e);
// "host:80" or "[::1]:80" as Host has it: without port and brackets.
struct bytes url_without_port(struct bytes host);
bool url_is_loopback(struct bytes host); // 127/8, ::1, localhost

// A reference against its base (RFC 3986, section 5.2; strict), with its fragment; in the arena. p
// NULL: no memory. What it is given is not checked.
struct bytes url_resolve(struct arena *a, struct bytes base, struct bytes ref);

// Cuts "#fragment" off; false: there is none.
bool url_cut_fragment(struct bytes *uri, struct bytes *ret_fragment);

// Percent-decoded path; E_INVALID for broken escapes, NUL, or "." and ".." segments.
int url_path_decode(struct buf *out, struct bytes path, struct err *e);
// Value of a query parameter, decoded ('+' = space); false when absent.
bool url_query(struct bytes query, const char *name, struct buf *out);
int url_encode(struct buf *out, struct bytes text); // unreserved characters stay

#endif
