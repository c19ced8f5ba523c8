// guest_http_rules.c: which hosts and addresses a guest may reach. SPDX-License-Identifier:
// Apache-2.0
#include "toolbox/guest_http.h"

#include <arpa/inet.h>
#include <string.h>

// A pattern's host and port; port 0: the scheme's own.
static struct bytes split(struct bytes pattern, uint16_t *ret_port)
{
    *ret_port = 0;
    ptrdiff_t bracket = bytes_chr(pattern, ']');
    struct bytes host = pattern, port = BYTES_NONE;
    if (pattern.n && pattern.p[0] == '[' && bracket > 0) {
        host = bytes_first(bytes_from(pattern, 1), (size_t)bracket - 1);
        port = bytes_from(pattern, (size_t)bracket + 1);
        if (port.n && port.p[0] == ':')
            port = bytes_from(port, 1);
    } else if (bytes_chr(pattern, ':') == (ptrdiff_t)pattern.n - 1) {
        host = bytes_first(pattern, pattern.n - 1);
    } else if (bytes_chr(pattern, ':') >= 0) {
        struct bytes rest = pattern;
        host = bytes_cut(&rest, ':');
        if (bytes_chr(rest, ':') >= 0) // an IPv6 address without brackets
            host = pattern;
        else
            port = rest;
    }
    uint64_t number = 0;
    if (port.n && bytes_u64(port, &number) && number > 0 && number <= UINT16_MAX)
        *ret_port = (uint16_t)number;
    return host;
}

static bool fits(struct bytes pattern, struct bytes host)
{
    if (bytes_is(pattern, "*"))
        return true;
    if (pattern.n > 2 && pattern.p[0] == '*' && pattern.p[1] == '.') {
        struct bytes end = bytes_from(pattern, 1);
        return host.n > end.n && bytes_ieq(bytes_from(host, host.n - end.n), end);
    }
    return bytes_ieq(pattern, host);
}

bool guest_http_granted(const struct bytes *hosts, size_t n, struct bytes host, uint16_t port,
                        bool tls)
{
    if (host.n > 1 && host.p[host.n - 1] == '.') // the same host, said absolutely
        host = bytes_first(host, host.n - 1);
    for (size_t i = 0; i < n; i++) {
        uint16_t want;
        struct bytes pattern = split(hosts[i], &want);
        if (fits(pattern, host) && port == (want ? want : tls ? 443 : 80))
            return true;
    }
    return false;
}

struct range {
    uint32_t net;
    unsigned bits;
};

static bool private_v4(uint32_t a)
{
    static const struct range ranges[] = {
        {0x00000000, 8},  {0x0a000000, 8},  {0x64400000, 10}, {0x7f000000, 8},  {0xa9fe0000, 16},
        {0xac100000, 12}, {0xc0000000, 24}, {0xc0000200, 24}, {0xc0586300, 24}, {0xc0a80000, 16},
        {0xc6120000, 15}, {0xc6336400, 24}, {0xcb007100, 24}, {0xe0000000, 4},  {0xf0000000, 4}};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if ((a ^ ranges[i].net) >> (32 - ranges[i].bits) == 0)
            return true;
    return false;
}

static uint32_t v4_in(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool private_v6(const unsigned char *p)
{
    static const unsigned char zeros[16];
    static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    static const unsigned char nat64[12] = {0, 0x64, 0xff, 0x9b};
    if (memcmp(p, mapped, 12) == 0 || memcmp(p, nat64, 12) == 0)
        return private_v4(v4_in(p + 12));
    if (p[0] == 0x20 && p[1] == 0x02) // 6to4
        return private_v4(v4_in(p + 2));
    return memcmp(p, zeros, 12) == 0 ||                          // ::, ::1, and old v4 forms
           (p[0] & 0xfe) == 0xfc ||                              // unique local
           (p[0] == 0xfe && (p[1] & 0x80) == 0x80) ||            // link-local, site-local
           p[0] == 0xff ||                                       // multicast
           (p[0] == 0x20 && p[1] == 0x01 && p[2] == 0 && p[3] == 0) || // Teredo
           (p[0] == 0x20 && p[1] == 0x01 && p[2] == 0x0d && p[3] == 0xb8) || // documentation
           (p[0] == 0 && p[1] == 0x64 && p[2] == 0xff && p[3] == 0x9b) || // local NAT64
           (p[0] == 0x01 && p[1] == 0);                          // discard
}

bool guest_http_private(const char *address)
{
    unsigned char p[16];
    if (inet_pton(AF_INET, address, p) == 1)
        return private_v4(v4_in(p));
    if (inet_pton(AF_INET6, address, p) == 1)
        return private_v6(p);
    return true; // not an address
}
