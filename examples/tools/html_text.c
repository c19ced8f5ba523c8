// html_text.c: the text of a page of HTML: no tags, no scripts, blanks put together, blocks on lines of
// their own. Not a browser: for models that read. SPDX-License-Identifier: Apache-2.0
#include "plexus_pdk.h"

struct page {
    const char *p, *end;
    struct pdk_out out;
    bool space; // one is due before the next word
    unsigned lines; // so many are
};

static char lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
}

static bool is(const char *p, size_t n, const char *word)
{
    size_t i = 0;
    for (; i < n && word[i]; i++)
        if (lower(p[i]) != word[i])
            return false;
    return i == n && !word[i];
}

static void put(struct page *g, const char *p, size_t n)
{
    if (g->out.n)
        for (; g->lines; g->lines--)
            pdk_putc(&g->out, '\n');
    if (g->space && g->out.n && g->out.p[g->out.n - 1] != '\n')
        pdk_putc(&g->out, ' ');
    g->lines = 0;
    g->space = false;
    pdk_add(&g->out, p, n);
}

static void put_code(struct page *g, uint32_t code) // as UTF-8
{
    char b[4];
    size_t n = 0;
    if (code == 0 || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
        code = 0xfffd;
    if (code < 0x80) {
        b[n++] = (char)code;
    } else if (code < 0x800) {
        b[n++] = (char)(0xc0 | code >> 6);
    } else if (code < 0x10000) {
        b[n++] = (char)(0xe0 | code >> 12);
        b[n++] = (char)(0x80 | (code >> 6 & 63));
    } else {
        b[n++] = (char)(0xf0 | code >> 18);
        b[n++] = (char)(0x80 | (code >> 12 & 63));
        b[n++] = (char)(0x80 | (code >> 6 & 63));
    }
    if (code >= 0x80)
        b[n++] = (char)(0x80 | (code & 63));
    put(g, b, n);
}

static const struct {
    const char *name;
    uint32_t code;
} entities[] = {{"amp", '&'},       {"lt", '<'},       {"gt", '>'},       {"quot", '"'},
                {"apos", '\''},     {"nbsp", ' '},     {"copy", 0xa9},    {"euro", 0x20ac},
                {"ndash", 0x2013},  {"mdash", 0x2014}, {"hellip", 0x2026}, {"auml", 0xe4},
                {"ouml", 0xf6},     {"uuml", 0xfc},    {"szlig", 0xdf},   {"eacute", 0xe9}};

static void entity(struct page *g) // after its &
{
    const char *from = g->p, *end = from;
    while (end < g->end && end - from < 10 && *end != ';' && *end != '&' && *end != '<')
        end++;
    if (end < g->end && *end == ';') {
        uint32_t code = 0;
        if (*from == '#') {
            bool hex = lower(from[1]) == 'x';
            for (const char *p = from + (hex ? 2 : 1); p < end && code < 0x110000; p++) {
                char c = lower(*p);
                uint32_t digit = c >= '0' && c <= '9'          ? (uint32_t)(c - '0')
                                 : hex && c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                                                               : 0;
                code = code * (hex ? 16 : 10) + digit;
            }
            g->p = end + 1;
            put_code(g, code);
            return;
        }
        for (size_t i = 0; i < sizeof entities / sizeof *entities; i++)
            if (is(from, (size_t)(end - from), entities[i].name)) {
                g->p = end + 1;
                put_code(g, entities[i].code);
                return;
            }
    }
    put(g, "&", 1);
}

// Past everything up to </name>.
static void skip_to_end(struct page *g, const char *name)
{
    size_t n = pdk_strlen(name);
    for (; g->p + n + 2 < g->end; g->p++)
        if (g->p[0] == '<' && g->p[1] == '/' && is(g->p + 2, n, name))
            return;
    g->p = g->end;
}

static void tag(struct page *g) // after its <
{
    static const char *const blocks[] = {"p",  "div", "br", "li", "tr", "h1", "h2", "h3", "h4", "h5",
                                         "h6", "ul",  "ol", "table", "section", "article", "header",
                                         "footer", "pre", "blockquote", "title"};
    static const char *const hidden[] = {"script", "style", "noscript", "template", "svg"};
    if (g->p + 2 < g->end && g->p[0] == '!' && g->p[1] == '-' && g->p[2] == '-') {
        for (g->p += 3; g->p + 2 < g->end; g->p++)
            if (g->p[0] == '-' && g->p[1] == '-' && g->p[2] == '>')
                break;
        g->p = g->p + 3 < g->end ? g->p + 3 : g->end;
        return;
    }
    bool closes = g->p < g->end && *g->p == '/';
    const char *name = g->p + closes, *end = name;
    while (end < g->end && ((lower(*end) >= 'a' && lower(*end) <= 'z') || (*end >= '0' && *end <= '9')))
        end++;
    char quote = 0;
    for (; g->p < g->end && (quote || *g->p != '>'); g->p++)
        quote = quote ? (*g->p == quote ? 0 : quote) : *g->p == '"' || *g->p == '\'' ? *g->p : 0;
    g->p += g->p < g->end;
    for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++)
        if (!closes && is(name, (size_t)(end - name), hidden[i]))
            skip_to_end(g, hidden[i]);
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        if (is(name, (size_t)(end - name), blocks[i]))
            g->lines = 1;
}

PDK_TOOL(html_to_text)
{
    size_t n;
    char *in = pdk_input(&n);
    if (!in)
        return pdk_error("out of memory");
    struct page g = {.p = in, .end = in + n};
    while (g.p < g.end) {
        char c = *g.p++;
        bool named = g.p < g.end && ((lower(*g.p) >= 'a' && lower(*g.p) <= 'z') || *g.p == '/' ||
                                     *g.p == '!' || *g.p == '?');
        if (c == '<' && named)
            tag(&g);
        else if (c == '&')
            entity(&g);
        else if (c == ' ' || c == '\n' || c == '\t' || c == '\r')
            g.space = true;
        else
            put(&g, &c, 1);
    }
    return pdk_done(&g.out);
}
