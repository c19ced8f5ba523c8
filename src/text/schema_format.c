// schema_format.c: the formats of JSON Schema, each by its RFC.
// SPDX-License-Identifier: Apache-2.0
#include "text/schema_priv.h"
#include <string.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool in_set(char c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

// Takes exactly n digits from the front; -1: they are not there.
static int digits(struct bytes *s, size_t n)
{
    int value = 0;
    if (s->n < n)
        return -1;
    for (size_t i = 0; i < n; i++) {
        if (!is_digit(s->p[i]))
            return -1;
        value = value * 10 + (s->p[i] - '0');
    }
    *s = bytes_from(*s, n);
    return value;
}

static bool take(struct bytes *s, const char *any_of)
{
    if (s->n == 0 || !in_set(s->p[0], any_of))
        return false;
    *s = bytes_from(*s, 1);
    return true;
}

// ---- RFC 3339 ----

static bool cut_date(struct bytes *s)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year = digits(s, 4);
    if (year < 0 || !take(s, "-"))
        return false;
    int month = digits(s, 2);
    if (month < 1 || month > 12 || !take(s, "-"))
        return false;
    int day = digits(s, 2);
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return day >= 1 && day <= days[month - 1] + (month == 2 && leap);
}

static bool is_date(struct bytes s)
{
    return cut_date(&s) && s.n == 0;
}

static bool is_time(struct bytes s)
{
    int hour = digits(&s, 2);
    if (hour < 0 || hour > 23 || !take(&s, ":"))
        return false;
    int minute = digits(&s, 2);
    if (minute < 0 || minute > 59 || !take(&s, ":"))
        return false;
    int second = digits(&s, 2);
    if (second < 0 || second > 60)
        return false;
    if (take(&s, ".")) {
        if (digits(&s, 1) < 0)
            return false;
        while (digits(&s, 1) >= 0)
            continue;
    }
    int offset = 0;
    if (!take(&s, "zZ")) {
        bool minus = s.n > 0 && s.p[0] == '-';
        if (!take(&s, "+-"))
            return false;
        int h = digits(&s, 2);
        if (h < 0 || h > 23 || !take(&s, ":"))
            return false;
        int m = digits(&s, 2);
        if (m < 0 || m > 59)
            return false;
        offset = (h * 60 + m) * (minus ? 1 : -1);
    }
    // A leap second is the last one of a day in UTC.
    int utc = ((hour * 60 + minute + offset) % 1440 + 1440) % 1440;
    return s.n == 0 && (second < 60 || utc == 1439);
}

static bool is_date_time(struct bytes s)
{
    return cut_date(&s) && take(&s, "tT") && is_time(s);
}

// RFC 3339, appendix A: P1Y2M3D, PT4H5M6S, P7W.
static bool is_duration(struct bytes s)
{
    static const char *const units[] = {"YMD", "HMS"};
    if (!take(&s, "P"))
        return false;
    size_t part = 0, next = 0;
    bool any = false;
    while (s.n > 0) {
        if (part == 0 && take(&s, "T")) {
            part = 1;
            next = 0;
            any = false;
            continue;
        }
        if (digits(&s, 1) < 0)
            return false;
        while (digits(&s, 1) >= 0)
            continue;
        if (s.n == 0)
            return false;
        if (s.p[0] == 'W')
            return part == 0 && !any && s.n == 1;
        const char *unit = in_set(s.p[0], units[part]) ? strchr(units[part], s.p[0]) : NULL;
        // Units follow each other without a gap: P1Y2D is not allowed.
        if (!unit || (any && (size_t)(unit - units[part]) != next))
            return false;
        next = (size_t)(unit - units[part]) + 1;
        any = true;
        s = bytes_from(s, 1);
    }
    return any;
}

// ---- addresses ----

bool schema_format_ipv4(struct bytes s) // RFC 2673, 3.2
{
    for (int i = 0; i < 4; i++) {
        int n = 0, value = 0;
        if (i > 0 && !take(&s, "."))
            return false;
        for (; n < 3 && s.n > 0 && is_digit(s.p[0]); n++) {
            value = value * 10 + (s.p[0] - '0');
            if (n == 1 && value < 10)
                return false; // a leading zero
            if (n == 2 && value < 100)
                return false;
            s = bytes_from(s, 1);
        }
        if (n == 0 || value > 255)
            return false;
    }
    return s.n == 0;
}

bool schema_format_ipv6(struct bytes s) // RFC 4291, 2.2
{
    int groups = 0;
    bool gap = false;
    if (bytes_starts(s, BYTES("::"))) {
        gap = true;
        s = bytes_from(s, 2);
    }
    while (s.n > 0) {
        size_t n = 0;
        while (n < s.n && is_hex(s.p[n]))
            n++;
        if (n < s.n && s.p[n] == '.') {
            groups += 2;
            if (!schema_format_ipv4(s))
                return false;
            break;
        }
        if (n == 0 || n > 4)
            return false;
        groups++;
        s = bytes_from(s, n);
        if (s.n == 0)
            break;
        if (bytes_starts(s, BYTES("::"))) {
            if (gap)
                return false;
            gap = true;
            s = bytes_from(s, 2);
        } else if (!take(&s, ":") || s.n == 0) {
            return false;
        }
    }
    return gap ? groups <= 7 : groups == 8;
}

// ---- mail (RFC 5321, 4.1.2) ----

static bool is_local_part(struct bytes s, bool international)
{
    if (s.n >= 2 && s.p[0] == '"') {
        for (size_t i = 1; i + 1 < s.n; i++) {
            unsigned char c = (unsigned char)s.p[i];
            if (c == '\\' && i + 2 < s.n)
                c = (unsigned char)s.p[++i];
            else if (c == '"' || c == '\\')
                return false;
            if (c < 0x20 || c == 0x7F || (c >= 0x80 && !international))
                return false;
        }
        return s.p[s.n - 1] == '"';
    }
    bool dot = true; // one may not stand first, last or twice
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool beyond = (unsigned char)c >= 0x80;
        if (c == '.' && dot)
            return false;
        dot = c == '.';
        if (!dot && !is_alpha(c) && !is_digit(c) && !in_set(c, "!#$%&'*+-/=?^_`{|}~") &&
            !(beyond && international))
            return false;
    }
    return s.n > 0 && !dot;
}

static bool is_mail_domain(struct bytes s, bool international)
{
    if (s.n > 2 && s.p[0] == '[' && s.p[s.n - 1] == ']') {
        s = (struct bytes){s.p + 1, s.n - 2};
        if (bytes_starts(s, BYTES("IPv6:")))
            return schema_format_ipv6(bytes_from(s, 5));
        return schema_format_ipv4(s);
    }
    return schema_format_domain(s, international);
}

static bool is_mail(struct bytes s, bool international)
{
    size_t at = s.n;
    while (at > 0 && s.p[at - 1] != '@')
        at--;
    return at > 0 && is_local_part(bytes_first(s, at - 1), international) &&
           is_mail_domain(bytes_from(s, at), international);
}

static bool is_email(struct bytes s)
{
    return is_mail(s, false);
}

static bool is_idn_email(struct bytes s)
{
    return is_mail(s, true);
}

static bool is_hostname(struct bytes s)
{
    return schema_format_domain(s, false);
}

static bool is_idn_hostname(struct bytes s)
{
    return schema_format_domain(s, true);
}

// ---- URI (RFC 3986) and IRI (RFC 3987) ----

static bool uri_chars(struct bytes s, const char *extra, bool international)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '%') {
            if (i + 2 >= s.n || !is_hex(s.p[i + 1]) || !is_hex(s.p[i + 2]))
                return false;
            i += 2;
        } else if ((unsigned char)c >= 0x80) {
            if (!international)
                return false;
        } else if (!is_alpha(c) && !is_digit(c) && !in_set(c, "-._~!$&'()*+,;=") &&
                   !in_set(c, extra)) {
            return false;
        }
    }
    return true;
}

static bool is_authority(struct bytes s, bool international)
{
    ptrdiff_t at = bytes_chr(s, '@');
    if (at >= 0) {
        if (!uri_chars(bytes_first(s, (size_t)at), ":", international))
            return false;
        s = bytes_from(s, (size_t)at + 1);
    }
    if (s.n > 0 && s.p[0] == '[') {
        ptrdiff_t end = bytes_chr(s, ']');
        if (end < 0)
            return false;
        struct bytes inner = {s.p + 1, (size_t)end - 1};
        bool future = inner.n > 3 && (inner.p[0] | 0x20) == 'v' && uri_chars(inner, ":", false);
        if (!future && !schema_format_ipv6(inner))
            return false;
        s = bytes_from(s, (size_t)end + 1);
    } else {
        ptrdiff_t colon = bytes_chr(s, ':');
        size_t n = colon < 0 ? s.n : (size_t)colon;
        if (!uri_chars(bytes_first(s, n), "", international))
            return false;
        s = bytes_from(s, n);
    }
    if (s.n > 0 && s.p[0] != ':')
        return false;
    for (size_t i = 1; i < s.n; i++)
        if (!is_digit(s.p[i]))
            return false;
    return true;
}

static size_t scheme_length(struct bytes s)
{
    size_t n = 0;
    while (n < s.n && (is_alpha(s.p[n]) || (n > 0 && (is_digit(s.p[n]) || in_set(s.p[n], "+-.")))))
        n++;
    return n > 0 && n < s.n && s.p[n] == ':' ? n : 0;
}

static bool uri(struct bytes s, bool absolute, bool international)
{
    size_t scheme = scheme_length(s);
    if (absolute && scheme == 0)
        return false;
    s = scheme ? bytes_from(s, scheme + 1) : s;
    struct bytes rest = s, fragment = {0}, query = {0};
    ptrdiff_t hash = bytes_chr(rest, '#');
    if (hash >= 0) {
        fragment = bytes_from(rest, (size_t)hash + 1);
        rest = bytes_first(rest, (size_t)hash);
    }
    ptrdiff_t mark = bytes_chr(rest, '?');
    if (mark >= 0) {
        query = bytes_from(rest, (size_t)mark + 1);
        rest = bytes_first(rest, (size_t)mark);
    }
    if (!uri_chars(fragment, ":@/?", international) || !uri_chars(query, ":@/?", international))
        return false;
    if (bytes_starts(rest, BYTES("//"))) {
        rest = bytes_from(rest, 2);
        ptrdiff_t slash = bytes_chr(rest, '/');
        size_t n = slash < 0 ? rest.n : (size_t)slash;
        if (!is_authority(bytes_first(rest, n), international))
            return false;
        rest = bytes_from(rest, n);
    } else if (scheme == 0) { // the first segment of a relative path has no colon
        ptrdiff_t colon = bytes_chr(rest, ':'), slash = bytes_chr(rest, '/');
        if (colon >= 0 && (slash < 0 || colon < slash))
            return false;
    }
    return uri_chars(rest, ":@/", international);
}

static bool is_uri(struct bytes s)
{
    return uri(s, true, false);
}

static bool is_uri_reference(struct bytes s)
{
    return uri(s, false, false);
}

static bool is_iri(struct bytes s)
{
    return uri(s, true, true);
}

static bool is_iri_reference(struct bytes s)
{
    return uri(s, false, true);
}

// ---- URI templates (RFC 6570) ----

static bool is_variable(struct bytes s)
{
    ptrdiff_t colon = bytes_chr(s, ':');
    if (s.n > 0 && s.p[s.n - 1] == '*') {
        s.n--;
    } else if (colon >= 0) {
        struct bytes length = bytes_from(s, (size_t)colon + 1);
        uint64_t n;
        if (!bytes_u64(length, &n) || n == 0 || n > 9999 || length.p[0] == '0')
            return false;
        s = bytes_first(s, (size_t)colon);
    }
    bool dot = true;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '.' && dot)
            return false;
        dot = c == '.';
        if (c == '%') {
            if (i + 2 >= s.n || !is_hex(s.p[i + 1]) || !is_hex(s.p[i + 2]))
                return false;
            i += 2;
        } else if (!dot && !is_alpha(c) && !is_digit(c) && c != '_') {
            return false;
        }
    }
    return s.n > 0 && !dot;
}

static bool is_expression(struct bytes s)
{
    (void)take(&s, "+#./;?&=,!@|");
    bool more = true;
    while (more) {
        struct bytes variable = bytes_cut(&s, ',');
        more = s.p != NULL;
        if (!is_variable(variable))
            return false;
    }
    return true;
}

static bool is_uri_template(struct bytes s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '{') {
            struct bytes rest = bytes_from(s, i + 1);
            ptrdiff_t end = bytes_chr(rest, '}');
            if (end < 0 || !is_expression(bytes_first(rest, (size_t)end)))
                return false;
            i += (size_t)end + 1;
        } else if (c == '%') {
            if (i + 2 >= s.n || !is_hex(s.p[i + 1]) || !is_hex(s.p[i + 2]))
                return false;
            i += 2;
        } else if ((unsigned char)c <= 0x20 || c == 0x7F || in_set(c, "\"<>\\^`|}")) {
            return false;
        }
    }
    return true;
}

// ---- pointers, UUID, regex ----

static bool is_json_pointer(struct bytes s) // RFC 6901
{
    if (s.n > 0 && s.p[0] != '/')
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] == '~' && (i + 1 >= s.n || (s.p[i + 1] != '0' && s.p[i + 1] != '1')))
            return false;
    return true;
}

static bool is_relative_json_pointer(struct bytes s)
{
    size_t n = 0;
    while (n < s.n && is_digit(s.p[n]))
        n++;
    if (n == 0 || (n > 1 && s.p[0] == '0'))
        return false;
    s = bytes_from(s, n);
    return bytes_is(s, "#") || is_json_pointer(s);
}

static bool is_uuid(struct bytes s) // RFC 4122
{
    if (s.n != 36)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? s.p[i] != '-' : !is_hex(s.p[i]))
            return false;
    }
    return true;
}

static const struct {
    const char *name;
    bool (*fits)(struct bytes text);
} formats[] = {
    {"date-time", is_date_time},
    {"date", is_date},
    {"time", is_time},
    {"duration", is_duration},
    {"email", is_email},
    {"idn-email", is_idn_email},
    {"hostname", is_hostname},
    {"idn-hostname", is_idn_hostname},
    {"ipv4", schema_format_ipv4},
    {"ipv6", schema_format_ipv6},
    {"uri", is_uri},
    {"uri-reference", is_uri_reference},
    {"iri", is_iri},
    {"iri-reference", is_iri_reference},
    {"uri-template", is_uri_template},
    {"uuid", is_uuid},
    {"json-pointer", is_json_pointer},
    {"relative-json-pointer", is_relative_json_pointer},
    {"regex", schema_pattern_valid},
};

int schema_format_find(struct bytes name)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (bytes_is(name, formats[i].name))
            return (int)i;
    return -1;
}

const char *schema_format_name(int format)
{
    return formats[format].name;
}

bool schema_format_check(int format, struct bytes text)
{
    return formats[format].fits(text);
}
