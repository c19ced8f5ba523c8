// url.c: absolute http and https addresses, host:port pairs, query strings (RFC 3986).
// SPDX-License-Identifier: Apache-2.0
#include "text/url.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>

#define SHOWN_MAX 80 // so much of a wrong address is shown in an error

static int bad(struct err *e, struct bytes text, const char *why)
{
    return err_set(e, E_INVALID, "bad address \"%.*s\": %s",
                   (int)(text.n < SHOWN_MAX ? text.n : SHOWN_MAX), text.p ? text.p : "", why);
}

static bool alnum(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool unreserved(char c)
{
    return alnum(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

static bool is_ip(int family, struct bytes host, unsigned char addr[16])
{
    char text[INET6_ADDRSTRLEN];
    if (!host.n || host.n >= sizeof text || memchr(host.p, 0, host.n))
        return false;
    memcpy(text, host.p, host.n);
    text[host.n] = 0;
    return inet_pton(family, text, addr) == 1;
}

// Host names as DNS and /etc/hosts have them; '_' because containers use it.
static bool is_name(struct bytes host)
{
    for (size_t i = 0; i < host.n; i++)
        if (!alnum(host.p[i]) && host.p[i] != '-' && host.p[i] != '.' && host.p[i] != '_')
            return false;
    return host.n > 0 && host.n <= 253; // RFC 1035: 255 octets on the wire
}

static bool take_port(struct bytes text, uint16_t *ret)
{
    uint64_t v;
    if (text.n > 5 || !bytes_u64(text, &v) || v > 65535)
        return false;
    *ret = (uint16_t)v;
    return true;
}

// Splits "host:port", "[v6]:port". ret_port is BYTES_NONE when no colon was there. NULL: fine.
static const char *split_host(struct bytes text, struct bytes *ret_host, struct bytes *ret_port)
{
    unsigned char addr[16];
    *ret_port = BYTES_NONE;
    if (text.n && *text.p == '[') {
        ptrdiff_t end = bytes_chr(text, ']');
        if (end < 0)
            return "']' is missing";
        *ret_host = bytes_first(bytes_from(text, 1), (size_t)end - 1);
        struct bytes rest = bytes_from(text, (size_t)end + 1);
        if (rest.n && *rest.p != ':')
            return "only a port may follow ']'";
        if (rest.n)
            *ret_port = bytes_from(rest, 1);
        return is_ip(AF_INET6, *ret_host, addr) ? NULL : "no IPv6 address in the brackets";
    }
    ptrdiff_t colon = bytes_chr(text, ':');
    *ret_host = colon < 0 ? text : bytes_first(text, (size_t)colon);
    if (colon >= 0)
        *ret_port = bytes_from(text, (size_t)colon + 1);
    if (ret_port->n && bytes_chr(*ret_port, ':') >= 0)
        return "an IPv6 address needs brackets";
    return NULL;
}

int url_parse(struct url *ret, struct bytes text, struct err *e)
{
    struct url u = {0};
    struct bytes rest, port;
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c <= ' ' || c >= 0x7f || c == '\\')
            return bad(e, text,
                       "only printable ASCII without spaces and backslashes may stand in it");
    }
    if (text.n >= 8 && bytes_iis(bytes_first(text, 8), "https://")) {
        u.tls = true;
        rest = bytes_from(text, 8);
    } else if (text.n >= 7 && bytes_iis(bytes_first(text, 7), "http://")) {
        rest = bytes_from(text, 7);
    } else {
        return bad(e, text, "it must begin with http:// or https://");
    }
    if (bytes_chr(rest, '#') >= 0)
        return bad(e, text, "a fragment (#) means nothing here");
    size_t end = 0;
    while (end < rest.n && rest.p[end] != '/' && rest.p[end] != '?')
        end++;
    struct bytes authority = bytes_first(rest, end);
    rest = bytes_from(rest, end);
    if (bytes_chr(authority, '@') >= 0)
        return bad(e, BYTES("..."), "a user or password does not belong in an address");
    const char *why = split_host(authority, &u.host, &port);
    if (why)
        return bad(e, text, why);
    if ((!authority.n || *authority.p != '[') && !is_name(u.host))
        return bad(e, text, "no host name");
    u.port = u.tls ? 443 : 80;
    if (port.n && (!take_port(port, &u.port) || !u.port))
        return bad(e, text, "the port must be 1 to 65535");
    ptrdiff_t query = bytes_chr(rest, '?');
    u.path = query < 0 ? rest : bytes_first(rest, (size_t)query);
    if (query >= 0)
        u.query = bytes_from(rest, (size_t)query + 1);
    *ret = u;
    return 0;
}

int url_addr_parse(struct url_addr *ret, struct bytes text, struct err *e)
{
    struct url_addr a;
    struct bytes host, port;
    memset(&a, 0, sizeof a);
    if (text.n && memchr(text.p, 0, text.n))
        return bad(e, text, "a NUL byte");
    if (bytes_starts(text, BYTES("unix:"))) {
        struct bytes path = bytes_from(text, 5);
        if (!path.n || path.n > 107) // unix(7): sun_path holds 108 with the NUL
            return bad(e, text, "the path of a unix socket has 1 to 107 bytes");
        a.unix_socket = true;
        memcpy(a.host, path.p, path.n);
        *ret = a;
        return 0;
    }
    const char *why = split_host(text, &host, &port);
    if (why)
        return bad(e, text, why);
    if (!take_port(port, &a.port))
        return bad(e, text, "expected host:port with a port of 0 to 65535, or unix:/path");
    if (host.n && *text.p != '[' && !is_name(host))
        return bad(e, text, "no host name");
    if (host.n)
        memcpy(a.host, host.p, host.n);
    *ret = a;
    return 0;
}

struct bytes url_without_port(struct bytes host)
{
    if (host.n && host.p[0] == '[') {
        ptrdiff_t end = bytes_chr(host, ']');
        return end > 0 ? (struct bytes){host.p + 1, (size_t)end - 1} : host;
    }
    ptrdiff_t colon = bytes_chr(host, ':');
    return colon >= 0 ? bytes_first(host, (size_t)colon) : host;
}

bool url_is_loopback(struct bytes host)
{
    static const unsigned char six[16] = {[15] = 1};
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    unsigned char a[16];
    if (bytes_iis(host, "localhost") || bytes_iis(host, "localhost."))
        return true;
    if (is_ip(AF_INET, host, a))
        return a[0] == 127;
    if (!is_ip(AF_INET6, host, a))
        return false;
    return !memcmp(a, six, sizeof six) || (!memcmp(a, mapped, sizeof mapped) && a[12] == 127);
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 32);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// The byte that the escape at s.p[i] stands for, or -1.
static int escape_at(struct bytes s, size_t i)
{
    if (s.n - i < 3)
        return -1;
    int high = hex(s.p[i + 1]), low = hex(s.p[i + 2]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

int url_path_decode(struct buf *out, struct bytes path, struct err *e)
{
    size_t start = out->n;
    const char *why = NULL;
    for (size_t i = 0; i < path.n && !why; i++) {
        int c = (unsigned char)path.p[i];
        if (c == '%') {
            c = escape_at(path, i);
            i += 2;
        }
        if (c < 0)
            why = "a broken % escape";
        else if (c == 0)
            why = "a NUL byte";
        else if (buf_chr(out, (char)c))
            return err_set(e, out->failed, "the path is too long");
    }
    struct bytes rest = bytes_from(buf_bytes(out), start);
    while (rest.n && !why) {
        struct bytes segment = bytes_cut(&rest, '/');
        if (bytes_is(segment, ".") || bytes_is(segment, ".."))
            why = "a segment \".\" or \"..\"";
    }
    if (why) {
        out->n = start;
        return err_set(e, E_INVALID, "the path has %s", why);
    }
    return 0;
}

// '+' is a space; a broken escape stands for itself (WHATWG URL, section 5.1).
static int form_at(struct bytes s, size_t *i)
{
    int c = (unsigned char)s.p[(*i)++];
    if (c == '+')
        return ' ';
    if (c == '%') {
        int v = escape_at(s, *i - 1);
        if (v >= 0) {
            *i += 2;
            return v;
        }
    }
    return c;
}

static bool form_is(struct bytes s, const char *name)
{
    size_t i = 0;
    while (i < s.n && *name)
        if (form_at(s, &i) != (unsigned char)*name++)
            return false;
    return i == s.n && !*name;
}

bool url_query(struct bytes query, const char *name, struct buf *out)
{
    while (query.n) {
        struct bytes value = bytes_cut(&query, '&');
        if (!value.n)
            continue;
        struct bytes key = bytes_cut(&value, '=');
        if (!form_is(key, name))
            continue;
        for (size_t i = 0; i < value.n;)
            (void)buf_chr(out, (char)form_at(value, &i));
        return true;
    }
    return false;
}

int url_encode(struct buf *out, struct bytes text)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (unreserved((char)c)) {
            (void)buf_chr(out, (char)c);
        } else {
            char escaped[3] = {'%', digits[c >> 4], digits[c & 15]};
            (void)buf_add(out, escaped, 3);
        }
    }
    return out->failed;
}
