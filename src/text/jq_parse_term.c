// jq_parse_term.c: terms of jq programs: variables, strings, objects, if, reduce, try, and what
// follows a term.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "text/jq_parse_priv.h"
#include <stdlib.h>
#include <string.h>

static bool is_word(const struct jq_parser *s, const char *text)
{
    return jq_parse_is(s, T_IDENT, text);
}

static bool accept_punct(struct jq_parser *s, const char *text)
{
    return jq_parse_accept(s, T_PUNCT, text);
}

static bool expect_punct(struct jq_parser *s, const char *text)
{
    return jq_parse_expect(s, T_PUNCT, text);
}

static struct jq_node *parse_var(struct jq_parser *s)
{
    struct bytes name = s->lex.text;
    uint32_t up = 0;
    if (bytes_is(name, "ENV")) {
        s->rc = err_set(s->e, E_FORBIDDEN,
                        "jq: $ENV would depend on the environment, which programs may not read");
        return NULL;
    }
    if (bytes_is(name, "__loc__") || bytes_chr(name, ':') >= 0)
        jq_parse_unsupported(s, name);
    struct jq_scope *scope = jq_scope_find(s, SCOPE_VAR, name, &up);
    s->var_reads++;
    struct jq_node *n = jq_node_new(s, scope ? J_VAR : J_GLOBAL);
    if (!n)
        return NULL;
    n->one = true;
    n->index = up;
    jq_lex_next(&s->lex);
    if (scope)
        return n;
    struct jq *p = s->p;
    for (n->index = 0; n->index < p->var_count; n->index++)
        if (bytes_eq(p->vars[n->index], name))
            return n;
    if (p->var_count == p->var_cap) {
        size_t cap = p->var_cap ? p->var_cap * 2 : 4;
        struct bytes *vars = mem_realloc(p->vars, cap * sizeof *vars);
        if (!vars)
            return jq_parse_no_memory(s);
        p->vars = vars;
        p->var_cap = cap;
    }
    p->vars[p->var_count++] = name;
    return n;
}

// ---- strings ----

static int format_of(struct bytes name)
{
    static const char *const names[] = {"text", "json", "csv",    "tsv",    "html",
                                        "uri",  "sh",   "base64", "base64d"};
    for (int i = 0; i < (int)(sizeof names / sizeof *names); i++)
        if (bytes_is(name, names[i]))
            return i;
    return -1;
}

#define PARTS_MAX 250

// The token is the quote.
static struct jq_node *parse_string(struct jq_parser *s, int format)
{
    struct jq_node *parts[PARTS_MAX];
    size_t n = 0;
    bool one = true, more = true;
    struct buf text;
    buf_init(&text, 1 << 24);
    while (more && !s->rc) {
        buf_clear(&text);
        more = jq_lex_piece(&s->lex, &text);
        if (s->lex.kind == T_BAD)
            jq_parse_fail(s, "a string is not right");
        if (n + 2 > PARTS_MAX)
            jq_parse_fail(s, "too many parts in a string");
        if (text.failed)
            jq_parse_no_memory(s);
        if (s->rc)
            break;
        if (text.n > 0 || (!more && n == 0)) {
            parts[n] = jq_node_lit(s, val_str(buf_bytes(&text)));
            if (!parts[n])
                break;
            parts[n++]->sub = JQ_LIT_TEXT;
        }
        if (!more)
            break;
        jq_lex_next(&s->lex);
        parts[n] = jq_parse_pipe(s, false);
        if (!parts[n])
            break;
        if (parts[n]->op == J_LIT)
            parts[n]->sub = 0; // a text of its own, to be formatted
        one = parts[n++]->one && one;
        if (!jq_parse_is(s, T_PUNCT, ")"))
            jq_parse_fail(s, "\")\" is missing");
    }
    buf_fini(&text);
    if (s->rc)
        return NULL;
    jq_lex_next(&s->lex);
    if (n == 1 && parts[0]->sub == JQ_LIT_TEXT && parts[0]->op == J_LIT)
        return parts[0];
    struct jq_node *node = jq_node_make(s, J_STRING, NULL, NULL, one);
    if (!node || !jq_node_kids(s, node, parts, n))
        return NULL;
    node->sub = (uint8_t)format;
    return node;
}

static struct jq_node *parse_format(struct jq_parser *s)
{
    int format = format_of(s->lex.text);
    if (format < 0) {
        jq_parse_unsupported(s, s->lex.text);
        format = FORMAT_TEXT;
    }
    jq_lex_next(&s->lex);
    if (s->lex.kind == T_QUOTE)
        return parse_string(s, format);
    struct jq_node *n = jq_node_make(s, J_FORMAT, NULL, NULL, true);
    if (n)
        n->sub = (uint8_t)format;
    return n;
}

// ---- objects ----

static struct jq_node *parse_object_key(struct jq_parser *s, struct jq_node **ret_short)
{
    struct bytes name = s->lex.text;
    struct jq_node *key = NULL;
    *ret_short = NULL;
    if (s->lex.kind == T_VAR) {
        *ret_short = parse_var(s);
        return jq_node_lit(s, val_str(name));
    }
    if (s->lex.kind == T_IDENT) {
        jq_lex_next(&s->lex);
        key = jq_node_lit(s, val_str(name));
    } else if (s->lex.kind == T_QUOTE) {
        key = parse_string(s, FORMAT_TEXT);
    } else if (s->lex.kind == T_FORMAT) {
        key = parse_format(s);
        if (key && key->op == J_FORMAT)
            return jq_parse_fail(s, "an object needs a key");
    } else if (accept_punct(s, "(")) {
        key = jq_parse_pipe(s, false);
        if (!key || !expect_punct(s, ")"))
            return NULL;
        if ((key->op == J_LIT && key->lit->kind != JSON_STR) || key->op == J_ARR ||
            key->op == J_OBJ)
            return jq_parse_fail(s, "the key of an object must be a string");
        return key;
    } else {
        return jq_parse_fail(s, "an object needs a key");
    }
    if (!key)
        return NULL;
    struct jq_node *value = jq_node_make(s, J_INDEX, jq_node_dot(s), key, key->one);
    if (value && key->op == J_LIT) {
        value->op = J_FIELD;
        value->b = NULL;
        value->lit = key->lit;
    }
    *ret_short = value;
    return key;
}

static struct jq_node *parse_object(struct jq_parser *s)
{
    struct jq_node *kids[PARTS_MAX];
    size_t n = 0;
    bool one = true;
    while (!s->rc && !jq_parse_is(s, T_PUNCT, "}")) {
        if (n + 2 > PARTS_MAX)
            return jq_parse_fail(s, "an object has too many members");
        struct jq_node *value = NULL;
        struct jq_node *key = parse_object_key(s, &value);
        if (s->rc)
            return NULL;
        if (!value && !jq_parse_is(s, T_PUNCT, ":"))
            return jq_parse_fail(s, "\":\" is missing");
        if (accept_punct(s, ":"))
            value = jq_parse_pipe(s, true);
        if (s->rc || !key || !value)
            return NULL;
        kids[n++] = key;
        kids[n++] = value;
        one = one && key->one && value->one;
        if (!accept_punct(s, ","))
            break;
    }
    if (s->rc || !expect_punct(s, "}"))
        return NULL;
    struct jq_node *node = jq_node_make(s, J_OBJ, NULL, NULL, one);
    return node && jq_node_kids(s, node, kids, n) ? node : NULL;
}

// ---- terms ----

static struct jq_node *parse_if(struct jq_parser *s)
{
    struct jq_node *cond = jq_parse_pipe(s, false);
    if (!cond || !jq_parse_expect(s, T_IDENT, "then"))
        return NULL;
    struct jq_node *n = jq_node_make(s, J_IF, cond, jq_parse_pipe(s, false), false);
    if (!n || s->rc)
        return NULL;
    bool elif = jq_parse_accept(s, T_IDENT, "elif");
    if (elif)
        n->c = parse_if(s); // and its end, which is ours
    else if (jq_parse_accept(s, T_IDENT, "else"))
        n->c = jq_parse_pipe(s, false);
    else if (!is_word(s, "end"))
        return jq_parse_fail(s, "\"end\" is missing");
    if (s->rc)
        return NULL;
    if (!elif && !jq_parse_expect(s, T_IDENT, "end"))
        return NULL;
    n->one = cond->one && n->b->one && (!n->c || n->c->one);
    return n;
}

static struct jq_node *parse_fold(struct jq_parser *s, bool each)
{
    struct jq_scope *outer = s->scope;
    struct jq_node *n = jq_node_make(s, each ? J_FOREACH : J_REDUCE, jq_parse_term(s), NULL, !each);
    if (!n || !n->a || !jq_parse_expect(s, T_IDENT, "as"))
        return NULL;
    n->pattern = jq_parse_pattern(s);
    struct jq_scope *inner = s->scope;
    s->scope = outer;
    if (s->rc || !expect_punct(s, "(") || !(n->b = jq_parse_pipe(s, false)) ||
        !expect_punct(s, ";"))
        return NULL;
    s->scope = inner;
    n->c = jq_parse_pipe(s, false);
    if (each && n->c && accept_punct(s, ";"))
        n->d = jq_parse_pipe(s, false);
    s->scope = outer;
    if (s->rc || !expect_punct(s, ")"))
        return NULL;
    if (!n->b->one)
        jq_parse_unsupported(s, BYTES("a reduce or foreach with several beginnings"));
    return n;
}

static struct jq_node *parse_try(struct jq_parser *s)
{
    struct jq_node *n = jq_node_make(s, J_TRY, jq_parse_term(s), NULL, false);
    if (!n || s->rc)
        return NULL;
    if (jq_parse_accept(s, T_IDENT, "catch"))
        n->b = jq_parse_term(s);
    if (s->rc)
        return NULL;
    n->one = n->a->one && (!n->b || n->b->one);
    return n;
}

static struct jq_node *parse_label(struct jq_parser *s)
{
    if (s->lex.kind != T_VAR)
        return jq_parse_fail(s, "a label needs a name");
    struct jq_scope *outer = s->scope;
    if (!jq_scope_open(s, SCOPE_LABEL, s->lex.text, NULL, 0))
        return NULL;
    jq_lex_next(&s->lex);
    if (!jq_parse_expect(s, T_OP, "|"))
        return NULL;
    struct jq_node *n = jq_node_make(s, J_LABEL, jq_parse_pipe(s, s->no_comma), NULL, false);
    s->scope = outer;
    if (n && n->a)
        n->one = n->a->one;
    return n;
}

static struct jq_node *parse_break(struct jq_parser *s)
{
    uint32_t up = 0;
    if (s->lex.kind != T_VAR || !jq_scope_find(s, SCOPE_LABEL, s->lex.text, &up))
        return jq_parse_fail(s, "break without such a label");
    jq_lex_next(&s->lex);
    struct jq_node *n = jq_node_make(s, J_BREAK, NULL, NULL, true);
    if (n)
        n->index = up;
    return n;
}

static struct jq_node *parse_number(struct jq_parser *s)
{
    char text[400];
    struct bytes t = s->lex.text;
    if (t.n >= sizeof text)
        return jq_parse_fail(s, "a number is too long");
    memcpy(text, t.p, t.n);
    text[t.n] = 0;
    struct val *v = NULL;
    if (val_parse(&v, t, NULL) < 0) // ".5", "1.", "007"
        v = val_num(strtod(text, NULL));
    jq_lex_next(&s->lex);
    return jq_node_lit(s, v);
}

static struct jq_node *parse_ident(struct jq_parser *s)
{
    static const char *const words[] = {"then", "else", "elif",   "end",     "as",     "catch",
                                        "and",  "or",   "import", "include", "module", "__loc__"};
    struct bytes name = s->lex.text;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (!bytes_is(name, words[i]))
            continue;
        if (bytes_is(name, "import") || bytes_is(name, "include")) {
            s->rc = err_set(s->e, E_FORBIDDEN, "jq: %s would read files, which programs may not",
                            words[i]);
            return NULL;
        }
        return jq_parse_fail(s, "not expected");
    }
    jq_lex_next(&s->lex);
    if (bytes_is(name, "if"))
        return parse_if(s);
    if (bytes_is(name, "reduce") || bytes_is(name, "foreach"))
        return parse_fold(s, bytes_is(name, "foreach"));
    if (bytes_is(name, "try"))
        return parse_try(s);
    if (bytes_is(name, "label"))
        return parse_label(s);
    if (bytes_is(name, "break"))
        return parse_break(s);
    if (bytes_is(name, "def"))
        return jq_parse_def(s);
    return jq_parse_call(s, name);
}

static struct jq_node *parse_punct(struct jq_parser *s)
{
    if (accept_punct(s, "(")) {
        struct jq_node *n = jq_parse_pipe(s, false);
        return n && expect_punct(s, ")") ? n : NULL;
    }
    if (accept_punct(s, "[")) {
        struct jq_node *n = jq_node_make(s, J_ARR, NULL, NULL, true);
        if (!n || accept_punct(s, "]"))
            return n;
        n->a = jq_parse_pipe(s, false);
        return n->a && expect_punct(s, "]") ? n : NULL;
    }
    if (accept_punct(s, "{"))
        return parse_object(s);
    return jq_parse_fail(s, "not expected");
}

static struct jq_node *parse_primary(struct jq_parser *s)
{
    struct jq_node *n = NULL;
    switch (s->lex.kind) {
    case T_DOT:
        jq_lex_next(&s->lex);
        if (s->lex.kind != T_QUOTE)
            return jq_node_dot(s);
        n = parse_string(s, FORMAT_TEXT);
        return n ? jq_node_make(s, J_INDEX, jq_node_dot(s), n, n->one) : NULL;
    case T_DOTDOT: jq_lex_next(&s->lex); return jq_node_make(s, J_RECURSE, NULL, NULL, false);
    case T_FIELD:
        n = jq_node_lit(s, val_str(s->lex.text));
        if (!n)
            return NULL;
        n->op = J_FIELD;
        n->a = jq_node_dot(s);
        jq_lex_next(&s->lex);
        return n;
    case T_VAR: return parse_var(s);
    case T_NUM: return parse_number(s);
    case T_QUOTE: return parse_string(s, FORMAT_TEXT);
    case T_FORMAT: return parse_format(s);
    case T_IDENT: return parse_ident(s);
    case T_PUNCT: return parse_punct(s);
    case T_OP:
    case T_END:
    case T_BAD: break;
    }
    return jq_parse_fail(s, s->lex.kind == T_END ? "the program ends too early" : "not expected");
}

// Behind "[".
static struct jq_node *parse_bracket(struct jq_parser *s, struct jq_node *of)
{
    if (accept_punct(s, "]"))
        return jq_node_make(s, J_ITER, of, NULL, false);
    struct jq_node *from = NULL, *to = NULL;
    if (!jq_parse_is(s, T_PUNCT, ":"))
        from = jq_parse_pipe(s, false);
    if (s->rc)
        return NULL;
    if (!accept_punct(s, ":")) {
        struct jq_node *n = jq_node_make(s, J_INDEX, of, from, of->one && from && from->one);
        return expect_punct(s, "]") ? n : NULL;
    }
    if (!jq_parse_is(s, T_PUNCT, "]"))
        to = jq_parse_pipe(s, false);
    if (!from && !to)
        return jq_parse_fail(s, "a slice needs a number");
    struct jq_node *n = jq_node_make(s, J_SLICE, of, from, false);
    if (!n || !expect_punct(s, "]"))
        return NULL;
    n->c = to;
    n->one = of->one && (!from || from->one) && (!to || to->one);
    return n;
}

struct jq_node *jq_parse_term(struct jq_parser *s)
{
    if (s->nest >= JQ_NEST_MAX)
        return jq_parse_fail(s, "nested too deep");
    s->nest++;
    bool access = s->lex.kind == T_FIELD || s->lex.kind == T_DOT; // not in parentheses
    struct jq_node *n = parse_primary(s);
    while (n && !s->rc) {
        struct jq_node *of = n;
        if (s->lex.kind == T_FIELD) {
            n = jq_node_lit(s, val_str(s->lex.text));
            if (!n)
                break;
            n->op = J_FIELD;
            n->a = of;
            n->one = of->one;
            jq_lex_next(&s->lex);
        } else if (s->lex.kind == T_DOT) {
            jq_lex_next(&s->lex);
            if (s->lex.kind == T_QUOTE) {
                struct jq_node *key = parse_string(s, FORMAT_TEXT);
                n = key ? jq_node_make(s, J_INDEX, of, key, of->one && key->one) : NULL;
            } else if (accept_punct(s, "[")) {
                n = parse_bracket(s, of);
            } else {
                n = jq_parse_fail(s, "not expected");
            }
        } else if (accept_punct(s, "[")) {
            n = parse_bracket(s, of);
        } else if (jq_parse_accept(s, T_OP, "?")) {
            bool step = access && (n->op == J_FIELD || n->op == J_INDEX || n->op == J_SLICE ||
                                   n->op == J_ITER);
            if (step)
                n->sub = JQ_OPTIONAL;
            else
                n = jq_node_make(s, J_TRY, of, NULL, of->one);
            access = false;
            continue;
        } else {
            break;
        }
        access = true;
    }
    s->nest--;
    return s->rc ? NULL : n;
}
