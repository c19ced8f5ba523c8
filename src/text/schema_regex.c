// schema_regex.c: patterns in ECMA-262 syntax (with the u flag) over PCRE2: translated, so that
// each construct means there what it means in ECMA-262, and what ECMA-262 lacks is refused.
// SPDX-License-Identifier: Apache-2.0
#define PCRE2_CODE_UNIT_WIDTH 8
#include "base/alloc.h"
#include "text/schema_priv.h"
#include <pcre2.h>
#include <string.h>

#define PATTERN_MAX ((size_t)64 * 1024)
#define GROUP_DEPTH_MAX 200
#define HEAP_KIB_MAX 8192

struct schema_pattern {
    struct schema_pattern *next;
    pcre2_code *code;     // NULL: a literal prefix
    struct bytes prefix;  // of "^literal", owned
    char *literal;
};

// White space and line ends of ECMA-262, inside a class; and all other code points.
#define SPACES                                                                                     \
    "\\x{9}-\\x{d}\\x{20}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}"  \
    "\\x{3000}\\x{feff}"
#define NO_SPACES                                                                                  \
    "\\x{0}-\\x{8}\\x{e}-\\x{1f}\\x{21}-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}"               \
    "\\x{200b}-\\x{2027}\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}"                 \
    "\\x{3001}-\\x{d7ff}\\x{e000}-\\x{fefe}\\x{ff00}-\\x{10ffff}"

struct translation {
    struct bytes in;
    size_t at;
    struct buf out;
    bool in_class, quantifiable;
    const char *why;
};

static int refuse(struct translation *t, const char *why)
{
    t->why = why;
    return E_PARSE;
}

static char peek(const struct translation *t, size_t ahead)
{
    return t->at + ahead < t->in.n ? t->in.p[t->at + ahead] : '\0';
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// So many hex digits from offset `ahead` on; -1: they are not there.
static long hex_at(const struct translation *t, size_t ahead, size_t count)
{
    long value = 0;
    for (size_t i = 0; i < count; i++) {
        int d = digit_of(peek(t, ahead + i));
        if (d < 0 || t->at + ahead + i >= t->in.n)
            return -1;
        value = value * 16 + d;
    }
    return value;
}

static int put_code(struct translation *t, long code)
{
    if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF))
        return refuse(t, "a lone surrogate or a code point over U+10FFFF");
    return buf_fmt(&t->out, "\\x{%lx}", (unsigned long)code);
}

// \uHHHH, \uHHHH\uHHHH (a surrogate pair), \u{H...}; t->at stands behind the u.
static int put_unicode(struct translation *t)
{
    if (peek(t, 0) == '{') {
        size_t n = 1;
        long value = 0;
        for (int d; (d = digit_of(peek(t, n))) >= 0 && value <= 0x10FFFF; n++)
            value = value * 16 + d;
        if (n == 1 || peek(t, n) != '}')
            return refuse(t, "broken \\u{...}");
        t->at += n + 1;
        return put_code(t, value);
    }
    long high = hex_at(t, 0, 4);
    if (high < 0)
        return refuse(t, "broken \\u escape");
    t->at += 4;
    if (high >= 0xD800 && high <= 0xDBFF && peek(t, 0) == '\\' && peek(t, 1) == 'u') {
        long low = hex_at(t, 2, 4);
        if (low >= 0xDC00 && low <= 0xDFFF) {
            t->at += 6;
            high = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
        }
    }
    return put_code(t, high);
}

// \p{...}: PCRE2 knows the short names of the general categories, ECMA-262 the long ones too.
static const char *category(struct bytes name)
{
    static const char *const names[][2] = {
        {"Letter", "L"},
        {"Cased_Letter", "L&"},
        {"LC", "L&"},
        {"Uppercase_Letter", "Lu"},
        {"Lowercase_Letter", "Ll"},
        {"Titlecase_Letter", "Lt"},
        {"Modifier_Letter", "Lm"},
        {"Other_Letter", "Lo"},
        {"Mark", "M"},
        {"Combining_Mark", "M"},
        {"Nonspacing_Mark", "Mn"},
        {"Spacing_Mark", "Mc"},
        {"Enclosing_Mark", "Me"},
        {"Number", "N"},
        {"Decimal_Number", "Nd"},
        {"digit", "Nd"},
        {"Letter_Number", "Nl"},
        {"Other_Number", "No"},
        {"Punctuation", "P"},
        {"punct", "P"},
        {"Connector_Punctuation", "Pc"},
        {"Dash_Punctuation", "Pd"},
        {"Open_Punctuation", "Ps"},
        {"Close_Punctuation", "Pe"},
        {"Initial_Punctuation", "Pi"},
        {"Final_Punctuation", "Pf"},
        {"Other_Punctuation", "Po"},
        {"Symbol", "S"},
        {"Math_Symbol", "Sm"},
        {"Currency_Symbol", "Sc"},
        {"Modifier_Symbol", "Sk"},
        {"Other_Symbol", "So"},
        {"Separator", "Z"},
        {"Space_Separator", "Zs"},
        {"Line_Separator", "Zl"},
        {"Paragraph_Separator", "Zp"},
        {"Other", "C"},
        {"Control", "Cc"},
        {"cntrl", "Cc"},
        {"Format", "Cf"},
        {"Surrogate", "Cs"},
        {"Private_Use", "Co"},
        {"Unassigned", "Cn"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (bytes_is(name, names[i][0]))
            return names[i][1];
    return NULL;
}

static int put_property(struct translation *t, char letter)
{
    struct bytes rest = bytes_from(t->in, t->at);
    ptrdiff_t end = bytes_chr(rest, '}');
    if (peek(t, 0) != '{' || end < 2)
        return refuse(t, "broken \\p{...}");
    struct bytes name = {rest.p + 1, (size_t)end - 1};
    t->at += (size_t)end + 1;
    if (bytes_starts(name, BYTES("General_Category=")))
        name = bytes_from(name, sizeof "General_Category=" - 1);
    else if (bytes_starts(name, BYTES("gc=")))
        name = bytes_from(name, 3);
    bool script = bytes_starts(name, BYTES("Script=")) || bytes_starts(name, BYTES("sc="));
    bool extended =
        bytes_starts(name, BYTES("Script_Extensions=")) || bytes_starts(name, BYTES("scx="));
    if (script || extended) {
        (void)bytes_cut(&name, '=');
        return buf_fmt(&t->out, "\\%c{%s:%.*s}", letter, script ? "sc" : "scx", BYTES_FMT(name));
    }
    const char *other = category(name);
    if (other)
        name = bytes_of(other);
    return buf_fmt(&t->out, "\\%c{%.*s}", letter, BYTES_FMT(name));
}

static int put_back_reference(struct translation *t)
{
    if (t->in_class)
        return refuse(t, "a back reference inside a class");
    (void)buf_str(&t->out, "\\g{");
    for (t->at--; peek(t, 0) >= '0' && peek(t, 0) <= '9'; t->at++)
        (void)buf_chr(&t->out, peek(t, 0));
    return buf_chr(&t->out, '}');
}

static int put_control(struct translation *t, char c)
{
    static const char letters[] = "tnvfr";
    static const char *const codes[] = {"\\x{9}", "\\x{a}", "\\x{b}", "\\x{c}", "\\x{d}"};
    return buf_str(&t->out, codes[strchr(letters, c) - letters]);
}

// t->at stands behind the backslash.
static int put_escape(struct translation *t)
{
    char c = peek(t, 0);
    if (t->at >= t->in.n)
        return refuse(t, "a backslash at the end");
    t->at++;
    t->quantifiable = true;
    switch (c) {
    case 'd':
    case 'D':
    case 'w':
    case 'W': return buf_fmt(&t->out, "\\%c", c);
    case 's': return buf_str(&t->out, t->in_class ? SPACES : "[" SPACES "]");
    case 'S': return buf_str(&t->out, t->in_class ? NO_SPACES : "[" NO_SPACES "]");
    case 'b':
    case 'B':
        if (t->in_class)
            return c == 'b' ? put_code(t, 8) : refuse(t, "\\B inside a class");
        t->quantifiable = false;
        return buf_fmt(&t->out, "\\%c", c);
    case 't':
    case 'n':
    case 'v':
    case 'f':
    case 'r': return put_control(t, c);
    case 'c': {
        char letter = peek(t, 0) | 0x20;
        if (letter < 'a' || letter > 'z')
            return refuse(t, "broken \\c escape");
        t->at++;
        return put_code(t, letter - 'a' + 1);
    }
    case 'x': {
        long code = hex_at(t, 0, 2);
        t->at += 2;
        return code < 0 ? refuse(t, "broken \\x escape") : put_code(t, code);
    }
    case 'u': return put_unicode(t);
    case 'p':
    case 'P': return put_property(t, c);
    case 'k':
        if (t->in_class || peek(t, 0) != '<')
            return refuse(t, "broken \\k<name>");
        return buf_str(&t->out, "\\k");
    default: break;
    }
    if (c == '0' && digit_of(peek(t, 0)) < 0)
        return put_code(t, 0);
    if (c >= '1' && c <= '9')
        return put_back_reference(t);
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '0';
    if (letter)
        return refuse(t, "an escape that ECMA-262 does not have");
    if ((unsigned char)c >= 0x80)
        return buf_chr(&t->out, c); // an escaped character beyond ASCII stands for itself
    return buf_fmt(&t->out, "\\%c", c);
}

// t->at stands behind "(".
static int put_group(struct translation *t)
{
    (void)buf_chr(&t->out, '(');
    t->quantifiable = false;
    if (peek(t, 0) == '*')
        return refuse(t, "nothing to repeat");
    if (peek(t, 0) != '?')
        return 0;
    char a = peek(t, 1), b = peek(t, 2);
    size_t n = a == ':' || a == '=' || a == '!' ? 2 : 0;
    if (a == '<')
        n = b == '=' || b == '!' ? 3 : 2;
    if (n == 0)
        return refuse(t, "a kind of group that ECMA-262 does not have");
    int rc = buf_add(&t->out, t->in.p + t->at, n);
    t->at += n;
    if (a == '<' && n == 2) // the name; PCRE2 checks it
        for (char c = 0; rc >= 0 && c != '>';) {
            if (t->at >= t->in.n)
                return refuse(t, "a group name without end");
            c = t->in.p[t->at++];
            rc = buf_chr(&t->out, c);
        }
    return rc;
}

// "{2}", "{2,}", "{2,3}": its length at t->at (behind the brace), or 0.
static size_t braces(const struct translation *t)
{
    size_t n = 0;
    while (peek(t, n) >= '0' && peek(t, n) <= '9')
        n++;
    if (n == 0)
        return 0;
    if (peek(t, n) == ',')
        for (n++; peek(t, n) >= '0' && peek(t, n) <= '9';)
            n++;
    return peek(t, n) == '}' ? n + 1 : 0;
}

static int put_quantifier(struct translation *t, char c)
{
    size_t n = c == '{' ? braces(t) : 0;
    if (c == '{' && n == 0) // a literal brace (ECMA-262, annex B)
        return t->quantifiable = true, buf_str(&t->out, "\\{");
    if (!t->quantifiable)
        return refuse(t, "nothing to repeat");
    t->quantifiable = false;
    (void)buf_chr(&t->out, c);
    (void)buf_add(&t->out, t->in.p + t->at, n);
    t->at += n;
    if (peek(t, 0) == '?' && t->at < t->in.n) {
        t->at++;
        return buf_chr(&t->out, '?');
    }
    return 0;
}

static int put_class_char(struct translation *t, char c)
{
    if (c == '\\')
        return put_escape(t);
    if (c == '[')
        return buf_str(&t->out, "\\[");
    if (c == ']')
        t->in_class = false;
    t->quantifiable = true;
    return buf_chr(&t->out, c);
}

static int put_char(struct translation *t, char c)
{
    switch (c) {
    case '\\': return put_escape(t);
    case '(': return put_group(t);
    case '*':
    case '+':
    case '?':
    case '{': return put_quantifier(t, c);
    case '.': t->quantifiable = true; return buf_str(&t->out, "[^\\x{a}\\x{d}\\x{2028}\\x{2029}]");
    case '[':
        t->in_class = true;
        (void)buf_chr(&t->out, '[');
        if (peek(t, 0) == '^' && t->at < t->in.n) {
            t->at++;
            return buf_chr(&t->out, '^');
        }
        return 0;
    case '^':
    case '$':
    case '|': t->quantifiable = false; return buf_chr(&t->out, c);
    case ']':
    case '}': // literal (annex B)
        t->quantifiable = true;
        return buf_fmt(&t->out, "\\%c", c);
    default: t->quantifiable = true; return buf_chr(&t->out, c);
    }
}

static int translate(struct translation *t)
{
    int rc = 0;
    while (rc >= 0 && t->at < t->in.n) {
        char c = t->in.p[t->at++];
        if (c == '\0')
            rc = put_code(t, 0);
        else
            rc = t->in_class ? put_class_char(t, c) : put_char(t, c);
    }
    return rc;
}

// ---- PCRE2 ----

static void *pcre_malloc(size_t n, void *arg)
{
    (void)arg;
    return mem_alloc(n);
}

static void pcre_free(void *p, void *arg)
{
    (void)arg;
    mem_free(p);
}

static pcre2_code *compile(struct bytes text, const char **ret_why, char why[128])
{
    pcre2_general_context *general = pcre2_general_context_create(pcre_malloc, pcre_free, NULL);
    pcre2_compile_context *context = general ? pcre2_compile_context_create(general) : NULL;
    pcre2_code *code = NULL;
    int rc = 0;
    PCRE2_SIZE at = 0;
    if (context) {
        (void)pcre2_set_parens_nest_limit(context, GROUP_DEPTH_MAX);
        code = pcre2_compile((PCRE2_SPTR)(text.p ? text.p : ""), text.n,
                             PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_ALLOW_EMPTY_CLASS |
                                 PCRE2_MATCH_UNSET_BACKREF | PCRE2_NEVER_BACKSLASH_C,
                             &rc, &at, context);
    }
    *ret_why = "no memory";
    if (context && !code && pcre2_get_error_message(rc, (PCRE2_UCHAR *)why, 128) > 0)
        *ret_why = why;
    pcre2_compile_context_free(context);
    pcre2_general_context_free(general);
    return code;
}

// "^abc-": only an anchored literal, the commonest pattern for keys.
static bool is_prefix(struct bytes source)
{
    if (source.n == 0 || source.p[0] != '^')
        return false;
    for (size_t i = 1; i < source.n; i++)
        if (!source.p[i] || strchr("\\^$.*+?()[]{}|", source.p[i]))
            return false;
    return true;
}

static int pattern_compile(struct schema_pattern *p, struct bytes source, struct err *e)
{
    char why[128];
    if (is_prefix(source)) {
        p->literal = mem_dup(source.p + 1, source.n - 1);
        p->prefix = (struct bytes){p->literal, source.n - 1};
        return p->literal ? 0 : err_set(e, E_NOMEM, "no memory for a pattern");
    }
    if (source.n > PATTERN_MAX)
        return err_set(e, E_TOOBIG, "a pattern over %zu bytes", PATTERN_MAX);
    struct translation t = {.in = source};
    buf_init(&t.out, PATTERN_MAX * 64);
    int rc = translate(&t);
    if (rc >= 0 && t.out.failed)
        rc = t.out.failed;
    if (rc >= 0)
        p->code = compile(buf_bytes(&t.out), &t.why, why);
    buf_fini(&t.out);
    if (rc < 0 || !p->code)
        return err_set(e, E_PARSE, "bad pattern \"%.*s\": %s", BYTES_FMT(bytes_first(source, 100)),
                       t.why ? t.why : "too long");
    return 0;
}

static void pattern_free(struct schema_pattern *p)
{
    pcre2_code_free(p->code);
    mem_free(p->literal);
    mem_free(p);
}

int schema_pattern_new(struct schema_pattern **ret, struct schema_pattern **all,
                       struct bytes source, struct err *e)
{
    struct schema_pattern *p = mem_new(struct schema_pattern);
    if (!p)
        return err_set(e, E_NOMEM, "no memory for a pattern");
    int rc = pattern_compile(p, source, e);
    if (rc < 0) {
        pattern_free(p);
        return rc;
    }
    p->next = *all;
    *all = *ret = p;
    return 0;
}

void schema_patterns_free(struct schema_pattern *all)
{
    while (all) {
        struct schema_pattern *next = all->next;
        pattern_free(all);
        all = next;
    }
}

int schema_pattern_match(const struct schema_pattern *p, struct bytes text)
{
    if (!p->code)
        return bytes_starts(text, p->prefix);
    int rc = PCRE2_ERROR_NOMEMORY;
    pcre2_general_context *general = pcre2_general_context_create(pcre_malloc, pcre_free, NULL);
    pcre2_match_context *context = general ? pcre2_match_context_create(general) : NULL;
    pcre2_match_data *data = general ? pcre2_match_data_create(1, general) : NULL;
    if (context && data) {
        (void)pcre2_set_match_limit(context, SCHEMA_PATTERN_STEPS);
        (void)pcre2_set_heap_limit(context, HEAP_KIB_MAX);
        rc = pcre2_match(p->code, (PCRE2_SPTR)(text.p ? text.p : ""), text.n, 0, PCRE2_NO_UTF_CHECK,
                         data, context);
    }
    pcre2_match_data_free(data);
    pcre2_match_context_free(context);
    pcre2_general_context_free(general);
    if (rc >= 0)
        return 1;
    return rc == PCRE2_ERROR_NOMATCH ? 0 : rc == PCRE2_ERROR_NOMEMORY ? E_NOMEM : E_TOOBIG;
}

bool schema_pattern_valid(struct bytes source)
{
    struct schema_pattern *p = NULL;
    if (schema_pattern_new(&p, &p, source, NULL) < 0)
        return false;
    pattern_free(p);
    return true;
}
