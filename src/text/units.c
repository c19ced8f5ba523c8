// units.c: durations and sizes as people write them, and the nearest known word.
// SPDX-License-Identifier: Apache-2.0
#include "text/units.h"

#include "base/time.h"

#include <string.h>

struct unit {
    const char *name;
    uint64_t factor;
};

// A decimal number: whole part and up to nine digits after the point.
struct number {
    uint64_t whole, part, scale; // value = whole + part / scale
};

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static struct bytes skip_spaces(struct bytes s)
{
    while (s.n && (*s.p == ' ' || *s.p == '\t'))
        s = bytes_from(s, 1);
    return s;
}

// Reads digits[.digits] from the front. False: no digit, or over UINT64_MAX.
static bool take_number(struct bytes *s, struct number *ret)
{
    struct number v = {.scale = 1};
    size_t i = 0;
    for (; i < s->n && digit(s->p[i]); i++) {
        uint64_t d = (uint64_t)(s->p[i] - '0');
        if (v.whole > (UINT64_MAX - d) / 10)
            return false;
        v.whole = v.whole * 10 + d;
    }
    if (!i)
        return false;
    if (i < s->n && s->p[i] == '.') {
        size_t from = ++i;
        for (; i < s->n && digit(s->p[i]); i++)
            if (v.scale < 1000000000) { // later digits are below any unit's grain
                v.part = v.part * 10 + (uint64_t)(s->p[i] - '0');
                v.scale *= 10;
            }
        if (i == from)
            return false;
    }
    *s = bytes_from(*s, i);
    *ret = v;
    return true;
}

static struct bytes take_word(struct bytes *s)
{
    size_t i = 0;
    while (i < s->n && letter(s->p[i]))
        i++;
    struct bytes word = bytes_first(*s, i);
    *s = bytes_from(*s, i);
    return word;
}

// value * factor, rounded down; false on overflow.
static bool scaled(struct number v, uint64_t factor, uint64_t *ret)
{
    uint64_t whole, part = 0;
    if (__builtin_mul_overflow(v.whole, factor, &whole))
        return false;
    if (v.part)
        part = (uint64_t)((double)v.part / (double)v.scale * (double)factor + 1e-6);
    return !__builtin_add_overflow(whole, part, ret);
}

static const struct unit time_units[] = {
    // from large to small: parts of a duration stand in this order
    {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1},
};
#define TIME_UNITS (sizeof time_units / sizeof *time_units)

static int bad_duration(struct bytes text, struct err *e, const char *why)
{
    return err_set(e, E_INVALID,
                   "expected a duration such as 250ms, 90s, 1h30m or never, found \"%.*s\" (%s)",
                   (int)(text.n < 64 ? text.n : 64), text.p ? text.p : "", why);
}

int units_duration(struct bytes text, int64_t *ret_ms, struct err *e)
{
    struct bytes all = bytes_trim(text), s = all;
    if (bytes_is(s, "never")) {
        *ret_ms = TIME_NEVER;
        return 0;
    }
    if (bytes_is(s, "0")) {
        *ret_ms = 0;
        return 0;
    }
    if (!s.n)
        return bad_duration(text, e, "empty");
    uint64_t sum = 0;
    size_t next = 0; // the first unit that may come now
    while (s.n) {
        struct number v;
        uint64_t part;
        if (!take_number(&s, &v))
            return bad_duration(all, e, "a number is missing or too large");
        s = skip_spaces(s);
        struct bytes word = take_word(&s);
        if (!word.n)
            return bad_duration(all, e, "a unit is missing: ms, s, m, h or d");
        size_t u = 0;
        while (u < TIME_UNITS && !bytes_is(word, time_units[u].name))
            u++;
        if (u == TIME_UNITS)
            return bad_duration(all, e, "unknown unit; known are ms, s, m, h, d");
        if (u < next)
            return bad_duration(all, e, "units go from large to small, each once");
        next = u + 1;
        if (!scaled(v, time_units[u].factor, &part) || __builtin_add_overflow(sum, part, &sum) ||
            sum >= (uint64_t)TIME_NEVER)
            return bad_duration(all, e, "too long; write never");
        s = skip_spaces(s);
    }
    *ret_ms = (int64_t)sum;
    return 0;
}

static const struct unit size_units[] = {
    {"", 1},
    {"B", 1},
    {"K", 1ull << 10},
    {"Ki", 1ull << 10},
    {"KiB", 1ull << 10},
    {"KB", 1000ull},
    {"M", 1ull << 20},
    {"Mi", 1ull << 20},
    {"MiB", 1ull << 20},
    {"MB", 1000000ull},
    {"G", 1ull << 30},
    {"Gi", 1ull << 30},
    {"GiB", 1ull << 30},
    {"GB", 1000000000ull},
    {"T", 1ull << 40},
    {"Ti", 1ull << 40},
    {"TiB", 1ull << 40},
    {"TB", 1000000000000ull},
    {"P", 1ull << 50},
    {"Pi", 1ull << 50},
    {"PiB", 1ull << 50},
    {"PB", 1000000000000000ull},
};

int units_size(struct bytes text, uint64_t *ret_bytes, struct err *e)
{
    struct bytes s = bytes_trim(text);
    struct number v;
    const char *why = "a number is missing or too large";
    if (take_number(&s, &v)) {
        s = skip_spaces(s);
        why = "unknown unit; known are B, KB, KiB, MB, MiB, GB, GiB, TB, TiB";
        for (size_t i = 0; i < sizeof size_units / sizeof *size_units; i++)
            if (bytes_iis(s, size_units[i].name)) {
                uint64_t bytes;
                if (scaled(v, size_units[i].factor, &bytes)) {
                    *ret_bytes = bytes;
                    return 0;
                }
                why = "too large";
                break;
            }
    }
    return err_set(e, E_INVALID,
                   "expected a size such as 512, 64KiB, 8 GiB or 1.5GB, found \"%.*s\" (%s)",
                   (int)(text.n < 64 ? text.n : 64), text.p ? text.p : "", why);
}

// Two neighbouring units: "1h 30m"; the second is left out when it is zero.
static void put_pair(struct buf *out, uint64_t big, const char *big_unit, uint64_t small,
                     const char *small_unit)
{
    (void)buf_fmt(out, "%llu%s", (unsigned long long)big, big_unit);
    if (small)
        (void)buf_fmt(out, " %llu%s", (unsigned long long)small, small_unit);
}

// tenths = value * 10; a zero after the point is not written.
static void put_tenths(struct buf *out, uint64_t tenths, const char *unit)
{
    (void)buf_u64(out, tenths / 10);
    if (tenths % 10)
        (void)buf_fmt(out, ".%u", (unsigned)(tenths % 10));
    (void)buf_fmt(out, " %s", unit);
}

void units_put_duration(struct buf *out, int64_t ms)
{
    if (ms == TIME_NEVER) {
        (void)buf_str(out, "never");
        return;
    }
    uint64_t v = ms < 0 ? 0 - (uint64_t)ms : (uint64_t)ms;
    if (ms < 0)
        (void)buf_chr(out, '-');
    uint64_t s = v / 1000, m = s / 60, h = m / 60, d = h / 24;
    if (d)
        put_pair(out, d, "d", h % 24, "h");
    else if (h)
        put_pair(out, h, "h", m % 60, "m");
    else if (m)
        put_pair(out, m, "m", s % 60, "s");
    else if (s)
        put_tenths(out, v / 100, "s");
    else
        (void)buf_fmt(out, "%u ms", (unsigned)v);
}

void units_put_size(struct buf *out, uint64_t bytes)
{
    static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    size_t u = 0;
    uint64_t whole = bytes, rest = 0; // bytes = (whole + rest / 1024) * 1024^u, cut
    while (whole >= 1024) {
        rest = whole % 1024;
        whole /= 1024;
        u++;
    }
    uint64_t tenths = whole * 10 + (rest * 10 + 512) / 1024;
    if (tenths >= 10240 && u + 1 < sizeof names / sizeof *names) { // 1023.96 KiB is 1 MiB
        tenths = 10;
        u++;
    }
    put_tenths(out, tenths, names[u]);
}

#define WORD_MAX 64

static unsigned lower(char c)
{
    unsigned v = (unsigned char)c;
    return v >= 'A' && v <= 'Z' ? v + 32 : v;
}

// Edit distance where a swap of neighbours counts one (optimal string alignment), without case.
static unsigned distance(struct bytes a, struct bytes b)
{
    unsigned rows[3][WORD_MAX + 1];
    unsigned *before = rows[0], *last = rows[1], *now = rows[2];
    for (size_t j = 0; j <= b.n; j++)
        before[j] = last[j] = (unsigned)j;
    for (size_t i = 1; i <= a.n; i++) {
        now[0] = (unsigned)i;
        for (size_t j = 1; j <= b.n; j++) {
            unsigned differ = lower(a.p[i - 1]) != lower(b.p[j - 1]);
            unsigned best = last[j - 1] + differ;
            if (last[j] + 1 < best)
                best = last[j] + 1;
            if (now[j - 1] + 1 < best)
                best = now[j - 1] + 1;
            if (i > 1 && j > 1 && lower(a.p[i - 1]) == lower(b.p[j - 2]) &&
                lower(a.p[i - 2]) == lower(b.p[j - 1]) && before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            now[j] = best;
        }
        unsigned *spare = before;
        before = last;
        last = now;
        now = spare;
    }
    return last[b.n];
}

int units_nearest(struct bytes word, const char *const *candidates, size_t count)
{
    int found = -1;
    unsigned least = WORD_MAX + 1;
    if (!word.n || word.n > WORD_MAX)
        return -1;
    for (size_t i = 0; i < count; i++) {
        struct bytes c = bytes_of(candidates[i]);
        if (!c.n || c.n > WORD_MAX)
            continue;
        unsigned d = distance(word, c);
        if (d <= c.n / 3 && d < least) {
            least = d;
            found = (int)i;
        }
    }
    return found;
}
