// jq_lex.c: tokens of jq programs.
// SPDX-License-Identifier: Apache-2.0
#include "text/jq_priv.h"
#include <string.h>

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static char peek(const struct jq_lex *x, size_t ahead)
{
    return x->at + ahead < x->all.n ? x->all.p[x->at + ahead] : 0;
}

static void skip_space(struct jq_lex *x)
{
    for (; x->at < x->all.n; x->at++) {
        char c = x->all.p[x->at];
        if (c == '#') {
            while (x->at + 1 < x->all.n && x->all.p[x->at + 1] != '\n')
                x->at++;
            if (x->all.p[x->at] == '\\') // goes on behind the line's end, or not: by the version
                return;
            continue;
        }
        if (c != ' ' && c != '\t' && c != '\n' && c != '\r')
            return;
    }
}

static void take(struct jq_lex *x, enum jq_tok kind, size_t n)
{
    x->kind = kind;
    x->text = (struct bytes){x->all.p + x->at, n};
    x->at += n;
}

static size_t name_len(const struct jq_lex *x, size_t from)
{
    size_t n = 0;
    while (is_letter(peek(x, from + n)) || (n > 0 && is_digit(peek(x, from + n))))
        n++;
    return n;
}

static void take_name(struct jq_lex *x, enum jq_tok kind, size_t skip)
{
    size_t n = name_len(x, skip);
    while (kind != T_FIELD && n > 0 && peek(x, skip + n) == ':' && peek(x, skip + n + 1) == ':' &&
           name_len(x, skip + n + 2) > 0)
        n += 2 + name_len(x, skip + n + 2);
    x->at += skip;
    take(x, kind, n);
}

static void take_number(struct jq_lex *x)
{
    size_t n = 0;
    while (is_digit(peek(x, n)))
        n++;
    if (peek(x, n) == '.') {
        n++;
        while (is_digit(peek(x, n)))
            n++;
    }
    if (peek(x, n) == 'e' || peek(x, n) == 'E') {
        size_t k = n + 1;
        if (peek(x, k) == '+' || peek(x, k) == '-')
            k++;
        if (is_digit(peek(x, k))) {
            n = k;
            while (is_digit(peek(x, n)))
                n++;
        }
    }
    take(x, T_NUM, n);
}

static void take_operator(struct jq_lex *x)
{
    static const char *const operators[] = {
        "?//", "//=", "!=", "==", "//", "|=", "+=", "-=", "*=", "/=", "%=", "<=",
        ">=",  "<",   ">",  "=",  "|",  "+",  "-",  "*",  "/",  "%",  "?",
    };
    struct bytes rest = bytes_from(x->all, x->at);
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++)
        if (bytes_starts(rest, bytes_of(operators[i]))) {
            take(x, T_OP, strlen(operators[i]));
            return;
        }
    x->bad = "no such sign in jq";
    take(x, T_BAD, 1);
}

void jq_lex_next(struct jq_lex *x)
{
    skip_space(x);
    x->from = x->at;
    char c = peek(x, 0);
    if (x->at >= x->all.n)
        take(x, T_END, 0);
    else if (c == '"')
        take(x, T_QUOTE, 1);
    else if (c == '.' && is_digit(peek(x, 1)))
        take_number(x);
    else if (c == '.' && peek(x, 1) == '.')
        take(x, T_DOTDOT, 2);
    else if (c == '.' && is_letter(peek(x, 1)))
        take_name(x, T_FIELD, 1);
    else if (c == '.')
        take(x, T_DOT, 1);
    else if (c == '$' && is_letter(peek(x, 1)))
        take_name(x, T_VAR, 1);
    else if (is_letter(c))
        take_name(x, T_IDENT, 0);
    else if (is_digit(c))
        take_number(x);
    else if (c == '@' && (is_letter(peek(x, 1)) || is_digit(peek(x, 1)))) {
        size_t n = 1;
        while (is_letter(peek(x, n)) || is_digit(peek(x, n)))
            n++;
        x->at++;
        take(x, T_FORMAT, n - 1);
    } else if (c && strchr("[](){},:;", c))
        take(x, T_PUNCT, 1);
    else
        take_operator(x);
}

// ---- strings ----

static int hex4(const struct jq_lex *x)
{
    int value = 0;
    for (size_t i = 0; i < 4; i++) {
        char c = peek(x, i);
        int digit = is_digit(c)            ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

static void put_utf8(struct buf *out, unsigned c)
{
    if (c < 0x80) {
        (void)buf_chr(out, (char)c);
        return;
    }
    if (c < 0x800) {
        (void)buf_chr(out, (char)(0xC0 | c >> 6));
    } else {
        if (c < 0x10000) {
            (void)buf_chr(out, (char)(0xE0 | c >> 12));
        } else {
            (void)buf_chr(out, (char)(0xF0 | c >> 18));
            (void)buf_chr(out, (char)(0x80 | (c >> 12 & 0x3F)));
        }
        (void)buf_chr(out, (char)(0x80 | (c >> 6 & 0x3F)));
    }
    (void)buf_chr(out, (char)(0x80 | (c & 0x3F)));
}

// Behind "\u": one code point, of a pair of surrogates too.
static bool put_unicode(struct jq_lex *x, struct buf *out)
{
    int c = hex4(x);
    if (c < 0)
        return false;
    x->at += 4;
    if (c >= 0xD800 && c < 0xDC00 && peek(x, 0) == '\\' && peek(x, 1) == 'u') {
        x->at += 2;
        int low = hex4(x);
        if (low >= 0xDC00 && low < 0xE000) {
            x->at += 4;
            put_utf8(out, 0x10000u + (((unsigned)c - 0xD800u) << 10) + ((unsigned)low - 0xDC00u));
            return true;
        }
        x->at -= 2;
    }
    put_utf8(out, c >= 0xD800 && c < 0xE000 ? 0xFFFD : (unsigned)c);
    return true;
}

bool jq_lex_piece(struct jq_lex *x, struct buf *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    for (;;) {
        size_t n = 0;
        while (x->at + n < x->all.n && peek(x, n) != '"' && peek(x, n) != '\\')
            n++;
        (void)buf_add(out, x->all.p + x->at, n);
        x->at += n;
        if (x->at >= x->all.n)
            break;
        char c = peek(x, 0), next = peek(x, 1);
        x->at++;
        if (c == '"')
            return false;
        x->at++;
        if (next == '(')
            return true;
        if (next == 'u') {
            if (!put_unicode(x, out))
                break;
            continue;
        }
        const char *at = next ? strchr(from, next) : NULL;
        if (!at)
            break;
        (void)buf_chr(out, to[at - from]);
    }
    x->at = x->at < x->all.n ? x->at : x->all.n;
    x->bad = "a string is not right or not closed";
    x->kind = T_BAD;
    return false;
}

bool jq_text_uses(struct bytes text, const char *variable)
{
    struct jq_lex x = {.all = text};
    unsigned open[64] = {0}; // parentheses open in each interpolation
    unsigned level = 0;
    struct buf none;
    buf_init(&none, SIZE_MAX / 4);
    bool found = false;
    for (jq_lex_next(&x); x.kind != T_END && x.kind != T_BAD && !found; jq_lex_next(&x)) {
        bool in_string = x.kind == T_QUOTE;
        found = x.kind == T_VAR && bytes_is(x.text, variable);
        if (x.kind == T_PUNCT && x.text.p[0] == '(')
            open[level]++;
        if (x.kind == T_PUNCT && x.text.p[0] == ')') {
            in_string = level > 0 && open[level] == 0;
            if (in_string)
                level--;
            else if (open[level] > 0)
                open[level]--;
        }
        if (in_string && jq_lex_piece(&x, &none)) {
            if (level + 1 == 64)
                break;
            open[++level] = 0;
        }
        buf_clear(&none);
        if (x.kind == T_BAD)
            break;
    }
    // What cannot be read to its end might use anything.
    found = found || x.kind == T_BAD || level + 1 == 64;
    buf_fini(&none);
    return found;
}
