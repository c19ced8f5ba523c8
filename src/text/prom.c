// prom.c: Prometheus text exposition format 0.0.4, writer side.
// SPDX-License-Identifier: Apache-2.0
#include "text/prom.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

// HELP text escapes backslash and newline; label values the double quote too. Text that is not
// UTF-8 would make a scraper refuse the whole page, so its high bytes become '?'.
static void put_escaped(struct buf *out, struct bytes s, bool quote)
{
    bool utf8 = bytes_is_utf8(s);
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '\\')
            (void)buf_str(out, "\\\\");
        else if (c == '\n')
            (void)buf_str(out, "\\n");
        else if (c == '"' && quote)
            (void)buf_str(out, "\\\"");
        else
            (void)buf_chr(out, !utf8 && (unsigned char)c >= 0x80 ? '?' : c);
    }
}

// Whole numbers without exponent as long as a double is exact; else the shortest text that reads
// back the same.
static void put_number(struct buf *out, double v)
{
    char text[40];
    if (isnan(v)) {
        (void)buf_str(out, "NaN");
        return;
    }
    if (isinf(v)) {
        (void)buf_str(out, v < 0 ? "-Inf" : "+Inf");
        return;
    }
    if (fabs(v) < 9007199254740992.0 && v == floor(v)) { // 2^53
        (void)buf_i64(out, (int64_t)v);
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, v);
        if (digits == 17 || strtod(text, NULL) == v)
            break;
    }
    (void)buf_str(out, text);
}

int prom_head(struct buf *out, const char *name, const char *type, const char *help)
{
    (void)buf_fmt(out, "# HELP %s ", name);
    put_escaped(out, bytes_of(help), false);
    return buf_fmt(out, "\n# TYPE %s %s\n", name, type);
}

int prom_value(struct buf *out, const char *name, const char *suffix,
               const struct prom_label *labels, size_t count, double value)
{
    (void)buf_str(out, name);
    if (suffix)
        (void)buf_str(out, suffix);
    for (size_t i = 0; i < count; i++) {
        (void)buf_chr(out, i ? ',' : '{');
        (void)buf_fmt(out, "%s=\"", labels[i].name);
        put_escaped(out, labels[i].value, true);
        (void)buf_chr(out, '"');
    }
    if (count)
        (void)buf_chr(out, '}');
    (void)buf_chr(out, ' ');
    put_number(out, value);
    return buf_chr(out, '\n');
}
