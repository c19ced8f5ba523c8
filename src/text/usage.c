// usage.c: finds the "usage" object in an answer that passes by.
// SPDX-License-Identifier: Apache-2.0
#include "text/usage.h"

#include <string.h>

enum { SEARCH, NAME, COLON, VALUE, OBJECT };
enum { WANT_KEY, WANT_COLON, WANT_VALUE };
enum { PROMPT, COMPLETION, TOTAL };

static const char name[] = "\"usage\"";
#define NAME_LEN 7
#define DEPTH_MAX 64 // nested deeper than this is no usage object of any known server

static const struct {
    const char *key;
    uint8_t field;
} keys[] = {
    {"prompt_tokens", PROMPT},     {"input_tokens", PROMPT}, {"completion_tokens", COMPLETION},
    {"output_tokens", COMPLETION}, {"total_tokens", TOTAL},
};

// Sixteen bytes in one register; the compiler makes it SSE2 or NEON, or splits it where neither is.
typedef uint8_t block __attribute__((vector_size(16)));
typedef uint64_t halves __attribute__((vector_size(16)));

static block load(const char *p)
{
    block b;
    memcpy(&b, p, sizeof b);
    return b;
}

// First place from p on where a quote and a 'u' stand side by side, or end - 1. Both are common in
// JSON, the pair is not: so hardly any block is looked at twice.
static const char *find_pair(const char *p, const char *end)
{
    const block quote = {0}, u = {0};
    while (end - p >= 33) {
        block hit = (load(p) == (quote + '"')) & (load(p + 1) == (u + 'u'));
        block hit2 = (load(p + 16) == (quote + '"')) & (load(p + 17) == (u + 'u'));
        halves any = (halves)(hit | hit2);
        if (any[0] | any[1])
            break;
        p += 32;
    }
    while (p < end - 1 && !(p[0] == '"' && p[1] == 'u'))
        p++;
    return p;
}

// Looks for the name; returns where to go on. The byte before an opening quote must not be a
// backslash, else the quote stands inside a string.
static const char *search(struct usage_scan *s, const char *p, const char *end)
{
    const char *start = p;
    while (p < end) {
        const char *at = find_pair(p, end);
        bool escaped = at > start ? at[-1] == '\\' : s->escaped;
        if (*at == '"' && !escaped) {
            s->matched = 1;
            s->state = NAME;
            return at + 1;
        }
        p = at + 1;
    }
    s->escaped = end[-1] == '\\';
    return end;
}

// Back to searching from the byte at p, which may itself open the name.
static void give_up(struct usage_scan *s, bool escaped)
{
    s->state = SEARCH;
    s->matched = 0;
    s->escaped = escaped;
}

static const char *match_name(struct usage_scan *s, const char *p, const char *end)
{
    while (p < end && s->matched < NAME_LEN && *p == name[s->matched]) {
        s->matched++;
        p++;
    }
    if (s->matched == NAME_LEN)
        s->state = COLON;
    else if (p < end)
        give_up(s, false); // all that was matched are quote and letters
    return p;
}

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void open_object(struct usage_scan *s)
{
    s->state = OBJECT;
    s->depth = 1;
    s->part = WANT_KEY;
    s->in_string = s->escaped = s->digits = s->bad = false;
    s->keylen = s->seen = 0;
    s->number = 0;
}

static const char *expect(struct usage_scan *s, const char *p, const char *end)
{
    while (p < end && blank(*p))
        p++;
    if (p == end)
        return p;
    if (s->state == COLON && *p == ':') {
        s->state = VALUE;
        return p + 1;
    }
    if (s->state == VALUE && *p == '{') {
        open_object(s);
        return p + 1;
    }
    give_up(s, false);
    return p;
}

static void end_value(struct usage_scan *s)
{
    if (s->digits && !s->bad && s->part == WANT_VALUE)
        for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
            if (s->keylen == strlen(keys[i].key) && !memcmp(s->keybuf, keys[i].key, s->keylen)) {
                s->fields[keys[i].field] = s->number;
                s->seen |= (uint8_t)(1u << keys[i].field);
            }
    s->digits = s->bad = false;
    s->number = 0;
    s->keylen = 0;
    s->part = WANT_KEY;
}

static void end_object(struct usage_scan *s)
{
    give_up(s, false);
    if (!s->seen)
        return;
    s->found = true;
    if (s->seen & 1u << PROMPT)
        s->prompt_tokens = s->fields[PROMPT];
    if (s->seen & 1u << COMPLETION)
        s->completion_tokens = s->fields[COMPLETION];
    s->total_tokens =
        s->seen & 1u << TOTAL ? s->fields[TOTAL] : s->prompt_tokens + s->completion_tokens;
}

static void string_byte(struct usage_scan *s, char c)
{
    bool key = s->depth == 1 && s->part == WANT_KEY;
    if (!s->escaped && c == '"') {
        s->in_string = false;
        if (key)
            s->part = WANT_COLON;
        return;
    }
    s->escaped = !s->escaped && c == '\\';
    if (!key)
        return;
    if (s->keylen < sizeof s->keybuf)
        s->keybuf[s->keylen] = c;
    if (s->keylen < UINT8_MAX)
        s->keylen++;
}

// A byte of a number or of another bare word at the object's own level.
static void value_byte(struct usage_scan *s, char c)
{
    unsigned d = (unsigned char)c - (unsigned)'0';
    if (d > 9 || s->number > (UINT64_MAX - d) / 10) {
        s->bad = true; // a fraction, an exponent, a sign, a word, or over 64 bits
        return;
    }
    s->number = s->number * 10 + d;
    s->digits = true;
}

static void object_byte(struct usage_scan *s, char c)
{
    bool own = s->depth == 1;
    switch (c) {
    case '"':
        s->in_string = true;
        s->escaped = false;
        s->bad = s->bad || (own && s->part == WANT_VALUE);
        break;
    case '{':
    case '[':
        s->bad = true;
        if (++s->depth > DEPTH_MAX)
            give_up(s, false);
        break;
    case '}':
    case ']':
        if (own)
            end_value(s);
        if (--s->depth == 0)
            end_object(s);
        break;
    case ',':
        if (own)
            end_value(s);
        break;
    case ':':
        if (own && s->part == WANT_COLON)
            s->part = WANT_VALUE;
        break;
    default:
        if (own && s->part == WANT_VALUE && !blank(c))
            value_byte(s, c);
    }
}

static const char *read_object(struct usage_scan *s, const char *p, const char *end)
{
    while (p < end && s->state == OBJECT) {
        if (s->in_string)
            string_byte(s, *p);
        else
            object_byte(s, *p);
        p++;
    }
    return p;
}

void usage_scan_feed(struct usage_scan *u, const char *p, size_t n)
{
    const char *end = p + n;
    while (p < end) {
        switch (u->state) {
        case SEARCH: p = search(u, p, end); break;
        case NAME: p = match_name(u, p, end); break;
        case COLON:
        case VALUE: p = expect(u, p, end); break;
        default: p = read_object(u, p, end);
        }
    }
}
