// schema_domain.c: host names (RFC 1123, RFC 5890), international ones by the rules of IDNA 2008:
// Punycode (RFC 3492), code points and their context (RFC 5892), both directions (RFC 5893).
// Not checked: Unicode normalization; joining types are taken from the script.
// SPDX-License-Identifier: Apache-2.0
#include "text/schema_priv.h"
#include <string.h>

#define LABEL_MAX 63
#define NAME_MAX_BYTES 253
#define POINTS_MAX 256 // code points of one label

struct label {
    uint32_t points[POINTS_MAX];
    size_t n;
};

// ---- Punycode ----

enum { BASE = 36, T_MIN = 1, T_MAX = 26, SKEW = 38, DAMP = 700, BIAS = 72, FIRST = 0x80 };

static uint32_t adapt(uint32_t delta, uint32_t count, bool first)
{
    uint32_t k = 0;
    delta = first ? delta / DAMP : delta / 2;
    delta += delta / count;
    for (; delta > (BASE - T_MIN) * T_MAX / 2; k += BASE)
        delta /= BASE - T_MIN;
    return k + (BASE - T_MIN + 1) * delta / (delta + SKEW);
}

static uint32_t threshold(uint32_t k, uint32_t bias)
{
    return k <= bias + T_MIN ? T_MIN : k >= bias + T_MAX ? T_MAX : k - bias;
}

static int digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0' + 26;
    c |= 0x20;
    return c >= 'a' && c <= 'z' ? c - 'a' : -1;
}

// One generalized variable-length integer; false: broken.
static bool decode_integer(struct bytes *s, uint32_t bias, uint32_t *i)
{
    uint64_t value = *i, weight = 1;
    for (uint32_t k = BASE;; k += BASE) {
        int digit = s->n > 0 ? digit_value(s->p[0]) : -1;
        if (digit < 0)
            return false;
        *s = bytes_from(*s, 1);
        value += (uint64_t)digit * weight;
        uint32_t t = threshold(k, bias);
        if (value > UINT32_MAX)
            return false;
        if ((uint32_t)digit < t)
            break;
        weight *= BASE - t;
        if (weight > UINT32_MAX)
            return false;
    }
    *i = (uint32_t)value;
    return true;
}

static bool decode(struct bytes s, struct label *ret)
{
    size_t basic = s.n;
    ret->n = 0;
    while (basic > 0 && s.p[basic - 1] != '-')
        basic--;
    for (size_t i = 0; i + 1 < basic; i++)
        ret->points[ret->n++] = (unsigned char)s.p[i];
    s = bytes_from(s, basic);
    uint32_t point = FIRST, i = 0, bias = BIAS;
    while (s.n > 0) {
        uint32_t old = i, count = (uint32_t)ret->n + 1;
        if (!decode_integer(&s, bias, &i) || ret->n == POINTS_MAX)
            return false;
        bias = adapt(i - old, count, old == 0);
        if (i / count > 0x10FFFF - point)
            return false;
        point += i / count;
        i %= count;
        memmove(&ret->points[i + 1], &ret->points[i], (ret->n - i) * sizeof *ret->points);
        ret->points[i++] = point;
        ret->n++;
    }
    return true;
}

struct out {
    char p[LABEL_MAX + 1];
    size_t n; // may pass the room: too long
};

static void put(struct out *o, char c)
{
    if (o->n < sizeof o->p)
        o->p[o->n] = c;
    o->n++;
}

static void encode_integer(struct out *o, uint32_t value, uint32_t bias)
{
    for (uint32_t k = BASE;; k += BASE) {
        uint32_t t = threshold(k, bias), digit = value;
        bool last = value < t;
        if (!last) {
            digit = t + (value - t) % (BASE - t);
            value = (value - t) / (BASE - t);
        }
        put(o, (char)(digit < 26 ? 'a' + digit : '0' + digit - 26));
        if (last)
            return;
    }
}

static void encode(const struct label *l, struct out *o)
{
    uint32_t done = 0, point = FIRST, delta = 0, bias = BIAS;
    for (size_t i = 0; i < l->n; i++)
        if (l->points[i] < FIRST) {
            put(o, (char)l->points[i]);
            done++;
        }
    uint32_t basic = done;
    if (basic > 0)
        put(o, '-');
    while (done < l->n) {
        uint32_t next = UINT32_MAX;
        for (size_t i = 0; i < l->n; i++)
            if (l->points[i] >= point && l->points[i] < next)
                next = l->points[i];
        delta += (next - point) * (done + 1); // at most 0x10FFFF * POINTS_MAX
        point = next;
        for (size_t i = 0; i < l->n; i++) {
            delta += l->points[i] < point;
            if (l->points[i] != point)
                continue;
            encode_integer(o, delta, bias);
            bias = adapt(delta, done + 1, done == basic);
            delta = 0;
            done++;
        }
        delta++;
        point++;
    }
}

// ---- UTF-8 ----

static bool to_points(struct bytes s, struct label *ret)
{
    ret->n = 0;
    for (size_t i = 0; i < s.n;) {
        unsigned char c = (unsigned char)s.p[i];
        size_t n = c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
        uint32_t point = n == 1 ? c : c & (0x7Fu >> n);
        if (i + n > s.n || ret->n == POINTS_MAX)
            return false;
        for (size_t k = 1; k < n; k++)
            point = point << 6 | ((unsigned char)s.p[i + k] & 0x3F);
        ret->points[ret->n++] = point;
        i += n;
    }
    return true;
}

static size_t to_text(const struct label *l, char text[POINTS_MAX * 4])
{
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++) {
        uint32_t c = l->points[i];
        if (c >= 0xD800 && c <= 0xDFFF)
            return 0;
        if (c < 0x80) {
            text[n++] = (char)c;
            continue;
        }
        int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
        static const unsigned char lead[] = {0, 0xC0, 0xE0, 0xF0};
        text[n++] = (char)(lead[more] | c >> (6 * more));
        while (more-- > 0)
            text[n++] = (char)(0x80 | (c >> (6 * more) & 0x3F));
    }
    return n;
}

// ---- labels ----

// 1, 0, or negative when the pattern cannot run (then the label counts as wrong).
static int matches(const char *pattern, struct bytes text)
{
    struct schema_pattern *all = NULL, *p = NULL;
    int rc = schema_pattern_new(&p, &all, bytes_of(pattern), NULL);
    if (rc == 0)
        rc = schema_pattern_match(p, text);
    schema_patterns_free(all);
    return rc;
}

// Canonical combining class 9.
#define VIRAMA                                                                                     \
    "\\u094d\\u09cd\\u0a4d\\u0acd\\u0b4d\\u0bcd\\u0c4d\\u0ccd\\u0d3b\\u0d3c\\u0d4d\\u0dca\\u0e3a"  \
    "\\u0eba\\u0f84\\u1039\\u103a\\u1714\\u1734\\u17d2\\u1a60\\u1b44\\u1baa\\u1bab\\u1bf2\\u1bf3"  \
    "\\u2d7f\\ua806\\ua8c4\\ua953\\ua9c0\\uaaf6\\uabed"
#define JOINING                                                                                    \
    "\\p{sc=Arabic}\\p{sc=Syriac}\\p{sc=Mandaic}\\p{sc=Mongolian}\\p{sc=Nko}\\p{sc=Phags_Pa}"      \
    "\\p{sc=Manichaean}\\p{sc=Adlam}"
#define RIGHT "\\p{bc:R}\\p{bc:AL}"

static bool code_points_allowed(struct bytes label)
{
    static const char *const never[] = {
        "[^\\p{Ll}\\p{Lo}\\p{Lm}\\p{Mn}\\p{Mc}\\p{Nd}A-Z\\-\\u00b7\\u0375\\u05f3\\u05f4\\u06fd"
        "\\u06fe\\u0f0b\\u200c\\u200d\\u3007\\u30fb]",
        "[\\u0640\\u07fa\\u302e\\u302f\\u3031-\\u3035\\u303b]",
        "[\\uff00-\\uffef\\ufb00-\\ufb4f\\ufe70-\\ufefe]", // compatibility forms
        "^\\p{M}",
        "^-|-$|^..--",
        "(?<!l)\\u00b7|\\u00b7(?!l)",
        "\\u0375(?!\\p{sc=Greek})",
        "(?<!\\p{sc=Hebrew})[\\u05f3\\u05f4]",
        "^(?=.*\\u30fb)(?!.*[\\p{sc=Hiragana}\\p{sc=Katakana}\\p{sc=Han}])",
        "[\\u0660-\\u0669].*[\\u06f0-\\u06f9]|[\\u06f0-\\u06f9].*[\\u0660-\\u0669]",
        "(?<![" VIRAMA "])\\u200d",
        "(?<![" VIRAMA "])(?<![" JOINING "])\\u200c",
        "(?<![" VIRAMA "])\\u200c(?![" JOINING "])",
    };
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        if (matches(never[i], label) != 0)
            return false;
    return true;
}

// RFC 5893, section 2; only names with some right-to-left label are judged.
static bool direction_allowed(struct bytes label)
{
    if (matches("^[" RIGHT "]", label) == 1)
        return matches("^[" RIGHT "\\p{bc:AN}\\p{bc:EN}\\p{bc:ES}\\p{bc:CS}\\p{bc:ET}\\p{bc:ON}"
                       "\\p{bc:BN}\\p{bc:NSM}]*[" RIGHT "\\p{bc:EN}\\p{bc:AN}]\\p{bc:NSM}*$",
                       label) == 1 &&
               matches("\\p{bc:EN}.*\\p{bc:AN}|\\p{bc:AN}.*\\p{bc:EN}", label) == 0;
    return matches(
               "^\\p{bc:L}[\\p{bc:L}\\p{bc:EN}\\p{bc:ES}\\p{bc:CS}\\p{bc:ET}\\p{bc:ON}\\p{bc:BN}"
               "\\p{bc:NSM}]*$",
               label) == 1 &&
           matches("[\\p{bc:L}\\p{bc:EN}]\\p{bc:NSM}*$", label) == 1;
}

static bool ascii_label(struct bytes s)
{
    if (s.n == 0 || s.n > LABEL_MAX || s.p[0] == '-' || s.p[s.n - 1] == '-')
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
            c != '-')
            return false;
    }
    return true;
}

static bool is_ascii(struct bytes s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] >= 0x80)
            return false;
    return true;
}

struct name {
    size_t length; // in ASCII form
    bool right_to_left;
    bool wrong_direction; // in some label; matters when right_to_left
};

static bool unicode_label(struct bytes text, struct name *name)
{
    if (!code_points_allowed(text))
        return false;
    if (matches("[" RIGHT "\\p{bc:AN}]", text) != 0)
        name->right_to_left = true;
    if (!direction_allowed(text))
        name->wrong_direction = true;
    return true;
}

static bool a_label(struct bytes s, struct name *name)
{
    struct label l;
    struct out again = {.n = 0};
    char text[POINTS_MAX * 4];
    if (!ascii_label(s))
        return false;
    struct bytes code = bytes_from(s, 4);
    if (!decode(code, &l))
        return false;
    encode(&l, &again);
    size_t n = to_text(&l, text);
    struct bytes decoded = {text, n};
    if (n == 0 || is_ascii(decoded) ||
        !bytes_ieq(code, bytes_first((struct bytes){again.p, sizeof again.p}, again.n)))
        return false;
    return unicode_label(decoded, name);
}

static bool u_label(struct bytes s, struct name *name, size_t *ret_length)
{
    struct label l;
    struct out out = {.n = 0};
    if (!to_points(s, &l))
        return false;
    encode(&l, &out);
    *ret_length = out.n + 4;
    return *ret_length <= LABEL_MAX && unicode_label(s, name);
}

static bool check_label(struct bytes s, struct name *name, bool international)
{
    size_t length = s.n;
    bool ok;
    if (s.n > POINTS_MAX * 4)
        return false;
    if (!is_ascii(s))
        ok = international && u_label(s, name, &length);
    else if (s.n >= 4 && bytes_ieq(bytes_first(s, 4), BYTES("xn--")))
        ok = a_label(s, name);
    else
        ok = ascii_label(s);
    if (ok && is_ascii(s) && s.p[0] >= '0' && s.p[0] <= '9')
        name->wrong_direction = true; // begins with a digit
    name->length += length + (name->length > 0);
    return ok;
}

// Length of a separator at the front: a dot, or in international names U+3002, U+FF0E, U+FF61.
static size_t separator(struct bytes s, bool international)
{
    if (s.n > 0 && s.p[0] == '.')
        return 1;
    bool other = bytes_starts(s, BYTES("\xe3\x80\x82")) || bytes_starts(s, BYTES("\xef\xbc\x8e")) ||
                 bytes_starts(s, BYTES("\xef\xbd\xa1"));
    return international && other ? 3 : 0;
}

bool schema_format_domain(struct bytes s, bool international)
{
    struct name name = {0};
    for (bool more = true; more;) {
        size_t n = 0, cut = 0;
        while (n < s.n && (cut = separator(bytes_from(s, n), international)) == 0)
            n++;
        more = n < s.n;
        if (!check_label(bytes_first(s, n), &name, international) || name.length > NAME_MAX_BYTES)
            return false;
        s = bytes_from(s, n + (more ? cut : 0));
    }
    return !(name.right_to_left && name.wrong_direction);
}
