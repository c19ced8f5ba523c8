// resp.c: RESP2: parsed without copies and without recursion, written.
// SPDX-License-Identifier: Apache-2.0
#include "text/resp.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int bad(struct err *e, const char *why)
{
    return err_set(e, E_PARSE, "this is no Redis: %s", why);
}

static bool number(struct bytes text, int64_t *ret)
{
    bool minus = text.n && *text.p == '-';
    uint64_t value;
    if (text.n > 20 || !bytes_u64(bytes_from(text, minus), &value) || value > INT64_MAX)
        return false;
    *ret = minus ? -(int64_t)value : (int64_t)value;
    return true;
}

// One value's head (and a bulk's bytes). >0: bytes it took; 0: more; E_*.
static int64_t one(struct bytes in, size_t bulk_max, struct resp *v, struct err *e)
{
    const char *lf = in.n ? memchr(in.p, '\n', in.n) : NULL;
    if (in.n && !strchr("+-:$*", *in.p))
        return bad(e, "a reply begins with another sign");
    if ((lf ? (size_t)(lf - in.p) : in.n) > RESP_LINE_MAX)
        return err_set(e, E_TOOBIG, "a line of more than %d bytes from Redis", RESP_LINE_MAX);
    if (!lf)
        return 0;
    size_t line_n = (size_t)(lf - in.p);
    if (line_n < 2 || in.p[line_n - 1] != '\r')
        return bad(e, "a line ends without CR LF");
    struct bytes text = {in.p + 1, line_n - 2};
    int64_t n = 0;
    *v = (struct resp){.kind = RESP_TEXT, .text = text, .span = 1};
    if (*in.p == '-')
        v->kind = RESP_ERROR;
    if (*in.p == '+' || *in.p == '-')
        return (int64_t)line_n + 1;
    if (!number(text, &n))
        return bad(e, "a number is none");
    v->text = BYTES_NONE;
    if (*in.p == ':') {
        v->kind = RESP_INT;
        v->number = n;
        return (int64_t)line_n + 1;
    }
    if (n == -1) {
        v->kind = RESP_NULL;
        return (int64_t)line_n + 1;
    }
    if (n < 0)
        return bad(e, "a length is negative");
    if (*in.p == '*') {
        if (n > UINT32_MAX / 2)
            return err_set(e, E_TOOBIG, "an array of %" PRId64 " from Redis", n);
        v->kind = RESP_ARRAY;
        v->count = (uint32_t)n;
        return (int64_t)line_n + 1;
    }
    if ((uint64_t)n > bulk_max)
        return err_set(e, E_TOOBIG, "a value of %" PRId64 " bytes from Redis", n);
    size_t at = line_n + 1;
    if (in.n < at + (size_t)n + 2)
        return 0;
    if (memcmp(in.p + at + n, "\r\n", 2) != 0)
        return bad(e, "a value is longer than it said");
    v->kind = RESP_BULK;
    v->text = (struct bytes){in.p + at, (size_t)n};
    return (int64_t)(at + (size_t)n + 2);
}

int64_t resp_parse(struct bytes in, size_t bulk_max, struct resp *row, size_t row_max,
                   size_t *ret_used, struct err *e)
{
    struct {
        size_t at;
        uint32_t left;
    } open[RESP_DEPTH_MAX];
    size_t used = 0, offset = 0, depth = 0;
    do {
        if (used == row_max)
            return err_set(e, E_TOOBIG, "a reply of more than %zu values from Redis", row_max);
        int64_t n = one(bytes_from(in, offset), bulk_max, &row[used], e);
        if (n <= 0)
            return n;
        offset += (size_t)n;
        if (depth)
            open[depth - 1].left--;
        if (row[used].kind == RESP_ARRAY && row[used].count) {
            if (depth == RESP_DEPTH_MAX)
                return err_set(e, E_TOOBIG, "a reply of more than %d levels from Redis",
                               RESP_DEPTH_MAX);
            open[depth].at = used;
            open[depth++].left = row[used].count;
        }
        used++;
        while (depth && !open[depth - 1].left) {
            depth--;
            row[open[depth].at].span = (uint32_t)(used - open[depth].at);
        }
    } while (depth);
    *ret_used = used;
    return (int64_t)offset;
}

const struct resp *resp_at(const struct resp *array, uint32_t i)
{
    if (!array || array->kind != RESP_ARRAY || i >= array->count)
        return NULL;
    const struct resp *v = array + 1;
    while (i--)
        v += v->span;
    return v;
}

struct bytes resp_text(const struct resp *v)
{
    return v && (v->kind == RESP_TEXT || v->kind == RESP_BULK) ? v->text : BYTES_NONE;
}

int64_t resp_int(const struct resp *v, int64_t fallback)
{
    int64_t n;
    if (v && v->kind == RESP_INT)
        return v->number;
    return number(resp_text(v), &n) ? n : fallback;
}

int resp_put_head(struct buf *out, uint32_t words)
{
    return buf_fmt(out, "*%u\r\n", words);
}

int resp_put(struct buf *out, struct bytes word)
{
    (void)buf_chr(out, '$');
    (void)buf_u64(out, word.n);
    (void)buf_str(out, "\r\n");
    (void)buf_put(out, word);
    return buf_str(out, "\r\n");
}

int resp_put_str(struct buf *out, const char *word)
{
    return resp_put(out, bytes_of(word));
}

int resp_put_i64(struct buf *out, int64_t word)
{
    char text[32];
    int n = snprintf(text, sizeof text, "%" PRId64, word);
    return resp_put(out, (struct bytes){text, (size_t)n});
}
