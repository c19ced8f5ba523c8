// jq_native_text.c: functions of jq written here: on strings, and dates in UTC.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "text/jq_priv.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct val *swap(struct val *v, struct val *result)
{
    val_unref(v);
    return result;
}

#define NATIVE(name) static struct val *name(struct jq_run *x, struct val *in, struct val **args)
#define UNUSED_ARGS (void)args

NATIVE(do_tostring)
{
    UNUSED_ARGS;
    return jq_tostring(x, in);
}

NATIVE(do_tojson)
{
    UNUSED_ARGS;
    return jq_tojson(x, in);
}

static bool decimal(struct bytes s)
{
    size_t i = 0, digits = 0;
    if (i < s.n && (s.p[i] == '-' || s.p[i] == '+'))
        i++;
    for (; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++)
        digits++;
    if (i < s.n && s.p[i] == '.')
        for (i++; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++)
            digits++;
    if (digits == 0)
        return false;
    if (i < s.n && (s.p[i] == 'e' || s.p[i] == 'E')) {
        i++;
        if (i < s.n && (s.p[i] == '-' || s.p[i] == '+'))
            i++;
        size_t from = i;
        while (i < s.n && s.p[i] >= '0' && s.p[i] <= '9')
            i++;
        if (i == from)
            return false;
    }
    return i == s.n;
}

NATIVE(do_tonumber)
{
    char text[JQ_SHORT];
    UNUSED_ARGS;
    if (in->kind == JSON_NUM)
        return in;
    if (in->kind == JSON_STR && decimal(val_bytes(in))) {
        struct val *v = NULL;
        if (val_parse(&v, val_bytes(in), NULL) == 0)
            return swap(in, v);
        return swap(in, jq_made(x, val_num(strtod(val_text(in, ""), NULL))));
    }
    (void)jq_fail(x, "%s (%s) cannot be parsed as a number", jq_kind_name(in), jq_short(in, text));
    return swap(in, NULL);
}

NATIVE(do_fromjson)
{
    UNUSED_ARGS;
    char text[JQ_SHORT];
    struct err e = {0};
    struct val *v = NULL;
    if (in->kind != JSON_STR) {
        (void)jq_fail(x, "%s (%s) only strings can be parsed", jq_kind_name(in),
                      jq_short(in, text));
    } else if (jq_charge(x, val_bytes(in).n * 8)) {
        int rc = val_parse(&v, val_bytes(in), &e);
        if (rc == E_NOMEM)
            (void)jq_stop(x, rc);
        else if (rc < 0)
            (void)jq_fail(x, "%.200s (while parsing '%.*s')", e.text,
                          BYTES_FMT(bytes_first(val_bytes(in), 64)));
    }
    return swap(in, v);
}

static bool both_strings(struct jq_run *x, struct val *in, struct val *arg, const char *message)
{
    if (in->kind == JSON_STR && arg->kind == JSON_STR)
        return true;
    (void)jq_fail(x, "%s", message);
    return false;
}

NATIVE(do_startswith)
{
    if (!both_strings(x, in, args[0], "startswith() requires string inputs"))
        return swap(in, NULL);
    return swap(in, val_bool(bytes_starts(val_bytes(in), val_bytes(args[0]))));
}

NATIVE(do_endswith)
{
    if (!both_strings(x, in, args[0], "endswith() requires string inputs"))
        return swap(in, NULL);
    return swap(in, val_bool(bytes_ends(val_bytes(in), val_bytes(args[0]))));
}

NATIVE(do_ltrimstr)
{
    struct bytes s = val_bytes(in), t = val_bytes(args[0]);
    if (in->kind != JSON_STR || args[0]->kind != JSON_STR || !bytes_starts(s, t))
        return in;
    return swap(in, jq_str(x, bytes_from(s, t.n)));
}

NATIVE(do_rtrimstr)
{
    struct bytes s = val_bytes(in), t = val_bytes(args[0]);
    if (in->kind != JSON_STR || args[0]->kind != JSON_STR || !bytes_ends(s, t))
        return in;
    return swap(in, jq_str(x, bytes_first(s, s.n - t.n)));
}

NATIVE(do_split)
{
    if (!both_strings(x, in, args[0], "split input and separator must be strings"))
        return swap(in, NULL);
    return swap(in, jq_split(x, val_bytes(in), val_bytes(args[0])));
}

static struct val *join_part(struct jq_run *x, struct val *item)
{
    if (item->kind == JSON_NULL)
        return jq_made(x, val_str(BYTES("")));
    return item->kind == JSON_BOOL || item->kind == JSON_NUM ? jq_tojson(x, val_keep(item))
                                                             : val_keep(item);
}

NATIVE(do_join)
{
    char text[JQ_SHORT];
    struct val *v = NULL;
    if (in->kind != JSON_ARR && in->kind != JSON_OBJ) {
        (void)jq_fail(x, "Cannot iterate over %s (%s)", jq_kind_name(in), jq_short(in, text));
        return swap(in, NULL);
    }
    for (size_t i = 0; i < val_len(in); i++) {
        struct val *part = join_part(x, val_at(in, i));
        if (i == 0)
            v = jq_made(x, val_str(BYTES("")));
        else if (v)
            v = jq_binary(x, BIN_ADD, v, val_keep(args[0]));
        if (v && part)
            v = jq_binary(x, BIN_ADD, v, part);
        else
            v = swap(v, swap(part, NULL));
        if (!v)
            return swap(in, NULL);
    }
    return swap(in, v ? v : jq_made(x, val_str(BYTES(""))));
}

static struct val *ascii_case(struct jq_run *x, struct val *in, char from, char to, int by)
{
    if (in->kind != JSON_STR) {
        (void)jq_fail(x, "explode input must be a string");
        return swap(in, NULL);
    }
    struct val *v = jq_str(x, val_bytes(in));
    for (size_t i = 0; v && i < val_as_str(v)->n; i++) {
        char *c = &val_as_str(v)->p[i];
        if (*c >= from && *c <= to)
            *c = (char)(*c + by);
    }
    return swap(in, v);
}

NATIVE(do_ascii_downcase)
{
    UNUSED_ARGS;
    return ascii_case(x, in, 'A', 'Z', 'a' - 'A');
}

NATIVE(do_ascii_upcase)
{
    UNUSED_ARGS;
    return ascii_case(x, in, 'a', 'z', 'A' - 'a');
}

static unsigned point_at(const char *p, size_t *ret_n)
{
    unsigned char c = (unsigned char)p[0];
    size_t n = c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
    unsigned point = n == 1 ? c : c & (0xFFu >> (n + 1));
    for (size_t i = 1; i < n; i++)
        point = point << 6 | ((unsigned char)p[i] & 0x3F);
    *ret_n = n;
    return point;
}

NATIVE(do_explode)
{
    UNUSED_ARGS;
    if (in->kind != JSON_STR) {
        (void)jq_fail(x, "explode input must be a string");
        return swap(in, NULL);
    }
    struct bytes s = val_bytes(in);
    struct val *v = jq_made(x, val_arr());
    for (size_t i = 0, n = 0; v && i < s.n; i += n)
        v = jq_push(x, v, jq_num(x, point_at(s.p + i, &n)));
    return swap(in, v);
}

static void put_point(struct buf *out, double d)
{
    unsigned c = d >= 0 && d <= 0x10FFFF ? (unsigned)d : 0xFFFD;
    if (c >= 0xD800 && c < 0xE000)
        c = 0xFFFD;
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    (void)buf_chr(out, (char)(lead[n] | c >> (6 * (n - 1))));
    for (size_t i = n - 1; i-- > 0;)
        (void)buf_chr(out, (char)(0x80 | (c >> (6 * i) & 0x3F)));
}

NATIVE(do_implode)
{
    UNUSED_ARGS;
    bool good = in->kind == JSON_ARR;
    struct buf out;
    if (!good)
        (void)jq_fail(x, "implode input must be an array");
    buf_init(&out, x->bytes + 8);
    for (size_t i = 0; good && i < val_len(in); i++) {
        good = val_at(in, i)->kind == JSON_NUM && !isnan(val_d(val_at(in, i)));
        if (good)
            put_point(&out, val_d(val_at(in, i)));
        else
            (void)jq_fail(x, "Unicode codepoint must be numeric");
    }
    val_unref(in);
    if (good)
        return jq_buf(x, &out);
    buf_fini(&out);
    return NULL;
}

static struct val *string_indices(struct jq_run *x, struct bytes s, struct bytes part)
{
    struct val *v = jq_made(x, val_arr());
    size_t point = 0, counted = 0;
    for (size_t i = 0; v && part.n > 0 && i + part.n <= s.n; i++) {
        ptrdiff_t at = bytes_find(bytes_from(s, i), part);
        if (at < 0)
            break;
        i += (size_t)at;
        point += jq_points((struct bytes){s.p + counted, i - counted});
        counted = i;
        v = jq_push(x, v, jq_num(x, (double)point));
    }
    return v;
}

NATIVE(do_indices)
{
    struct val *what = args[0];
    if (in->kind == JSON_STR && what->kind == JSON_STR)
        return swap(in, string_indices(x, val_bytes(in), val_bytes(what)));
    if (in->kind == JSON_ARR && what->kind != JSON_ARR) {
        what = jq_made(x, val_push(val_arr(), val_keep(what)));
        return what ? jq_index(x, in, what) : swap(in, NULL);
    }
    return jq_index(x, in, val_keep(what));
}

NATIVE(do_utf8bytelength)
{
    UNUSED_ARGS;
    char text[JQ_SHORT];
    if (in->kind == JSON_STR)
        return swap(in, jq_num(x, (double)val_bytes(in).n));
    (void)jq_fail(x, "%s (%s) only strings have UTF-8 byte length", jq_kind_name(in),
                  jq_short(in, text));
    return swap(in, NULL);
}

static struct val *trim(struct jq_run *x, struct val *in, bool left, bool right)
{
    char text[JQ_SHORT];
    if (in->kind != JSON_STR) {
        (void)jq_fail(x, "%s (%s) cannot be trimmed", jq_kind_name(in), jq_short(in, text));
        return swap(in, NULL);
    }
    struct bytes s = val_bytes(in);
    while (left && s.n > 0 && strchr(" \t\n\v\f\r", s.p[0]) && s.p[0])
        s = bytes_from(s, 1);
    while (right && s.n > 0 && strchr(" \t\n\v\f\r", s.p[s.n - 1]) && s.p[s.n - 1])
        s.n--;
    return swap(in, jq_str(x, s));
}

NATIVE(do_trim)
{
    UNUSED_ARGS;
    return trim(x, in, true, true);
}

NATIVE(do_ltrim)
{
    UNUSED_ARGS;
    return trim(x, in, true, false);
}

NATIVE(do_rtrim)
{
    UNUSED_ARGS;
    return trim(x, in, false, true);
}

// ---- dates ----

// Days since 1970-01-01 of a date, and back (Howard Hinnant's civil_from_days, in the public
// domain).
static int64_t days_of(int64_t year, unsigned month, unsigned day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t of_era = year - era * 400;
    int64_t of_year = (153 * ((int64_t)month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static void date_of(int64_t days, int64_t *year, unsigned *month, unsigned *day)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t of_era = days - era * 146097;
    int64_t y = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * y + y / 4 - y / 100);
    int64_t m = (5 * of_year + 2) / 153;
    *day = (unsigned)(of_year - (153 * m + 2) / 5 + 1);
    *month = (unsigned)(m < 10 ? m + 3 : m - 9);
    *year = y + era * 400 + (*month <= 2);
}

NATIVE(do_todate)
{
    UNUSED_ARGS;
    double d = val_dbl(in, 0);
    if (in->kind != JSON_NUM || !(d >= 0 && d < 253402300800.0)) { // years 1970 to 9999
        (void)jq_fail(x, in->kind == JSON_NUM
                             ? "error converting number of seconds since epoch to datetime"
                             : "strftime/1 requires parsed datetime inputs");
        return swap(in, NULL);
    }
    int64_t s = (int64_t)d, year;
    unsigned month, day;
    char text[48];
    date_of(s / 86400, &year, &month, &day);
    (void)snprintf(text, sizeof text, "%04d-%02u-%02uT%02d:%02d:%02dZ", (int)year, month, day,
                   (int)(s / 3600 % 24), (int)(s / 60 % 60), (int)(s % 60));
    return swap(in, jq_str(x, bytes_of(text)));
}

static bool digits(const char *p, size_t n, unsigned *ret)
{
    *ret = 0;
    for (size_t i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9')
            return false;
        *ret = *ret * 10 + (unsigned)(p[i] - '0');
    }
    return true;
}

NATIVE(do_fromdate)
{
    UNUSED_ARGS;
    char text[JQ_SHORT];
    unsigned year, month, day, hour, minute, second;
    struct bytes s = val_bytes(in);
    if (in->kind != JSON_STR) {
        (void)jq_fail(x, "strptime/1 requires string inputs and arguments");
        return swap(in, NULL);
    }
    const char *p = s.p;
    bool good = s.n == 20 && digits(p, 4, &year) && p[4] == '-' && digits(p + 5, 2, &month) &&
                p[7] == '-' && digits(p + 8, 2, &day) && p[10] == 'T' && digits(p + 11, 2, &hour) &&
                p[13] == ':' && digits(p + 14, 2, &minute) && p[16] == ':' &&
                digits(p + 17, 2, &second) && p[19] == 'Z' && month >= 1 && month <= 12 &&
                day >= 1 && day <= 31 && hour <= 23 && minute <= 59 && second <= 60;
    if (good)
        return swap(in, jq_num(x, (double)(days_of(year, month, day) * 86400 + hour * 3600 +
                                           minute * 60 + second)));
    (void)jq_fail(x, "date %s does not match format \"%%Y-%%m-%%dT%%H:%%M:%%SZ\"",
                  jq_short(in, text));
    return swap(in, NULL);
}

#define ROW(n, a, f) {n, a, KNOWN_NATIVE, f, NULL, 0}
const struct jq_name jq_names_text[] = {
    ROW("tostring", 0, do_tostring),
    ROW("tojson", 0, do_tojson),
    ROW("tonumber", 0, do_tonumber),
    ROW("fromjson", 0, do_fromjson),
    ROW("startswith", 1, do_startswith),
    ROW("endswith", 1, do_endswith),
    ROW("ltrimstr", 1, do_ltrimstr),
    ROW("rtrimstr", 1, do_rtrimstr),
    ROW("split", 1, do_split),
    ROW("join", 1, do_join),
    ROW("ascii_downcase", 0, do_ascii_downcase),
    ROW("ascii_upcase", 0, do_ascii_upcase),
    ROW("explode", 0, do_explode),
    ROW("implode", 0, do_implode),
    ROW("indices", 1, do_indices),
    ROW("utf8bytelength", 0, do_utf8bytelength),
    ROW("trim", 0, do_trim),
    ROW("ltrim", 0, do_ltrim),
    ROW("rtrim", 0, do_rtrim),
    ROW("todateiso8601", 0, do_todate),
    ROW("fromdateiso8601", 0, do_fromdate),
    {0},
};
