// jq_parse.c: jq programs from text to a tree, by precedence climbing. Names are resolved here:
// to how many scopes up they are.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "text/jq_parse_priv.h"
#include <stdlib.h>
#include <string.h>

#define NEST_MAX 200

void *jq_parse_fail(struct jq_parser *s, const char *what)
{
    if (s->rc)
        return NULL;
    size_t line = 1, column = 1;
    for (size_t i = 0; i < s->lex.from && i < s->lex.all.n; i++) {
        column++;
        if (s->lex.all.p[i] == '\n') {
            line++;
            column = 1;
        }
    }
    if (s->lex.kind == T_BAD && s->lex.bad)
        what = s->lex.bad;
    struct bytes near = bytes_first(bytes_from(s->lex.all, s->lex.from), 24);
    s->rc = err_set(s->e, E_PARSE, "jq, line %zu, column %zu: %s%s%.*s", line, column, what,
                    near.n ? " near: " : "", BYTES_FMT(near));
    return NULL;
}

void *jq_parse_no_memory(struct jq_parser *s)
{
    if (!s->rc)
        s->rc = err_set(s->e, E_NOMEM, "no memory for a jq program");
    return NULL;
}

void jq_parse_unsupported(struct jq_parser *s, struct bytes what)
{
    if (!s->unsupported[0])
        (void)snprintf(s->unsupported, sizeof s->unsupported, "%.*s", BYTES_FMT(what));
}

bool jq_parse_is(const struct jq_parser *s, enum jq_tok kind, const char *text)
{
    return s->lex.kind == kind && bytes_is(s->lex.text, text);
}

static bool is_word(const struct jq_parser *s, const char *text)
{
    return jq_parse_is(s, T_IDENT, text);
}

bool jq_parse_accept(struct jq_parser *s, enum jq_tok kind, const char *text)
{
    if (!jq_parse_is(s, kind, text))
        return false;
    jq_lex_next(&s->lex);
    return true;
}

bool jq_parse_expect(struct jq_parser *s, enum jq_tok kind, const char *text)
{
    if (jq_parse_accept(s, kind, text))
        return true;
    char what[48];
    (void)snprintf(what, sizeof what, "\"%s\" is missing", text);
    jq_parse_fail(s, what);
    return false;
}

static bool accept_punct(struct jq_parser *s, const char *text)
{
    return jq_parse_accept(s, T_PUNCT, text);
}

static bool expect_punct(struct jq_parser *s, const char *text)
{
    return jq_parse_expect(s, T_PUNCT, text);
}

// ---- nodes ----

struct jq_node *jq_node_new(struct jq_parser *s, enum jq_op op)
{
    struct jq_node *n = arena_zalloc(s->p->arena, sizeof *n);
    if (!n)
        return jq_parse_no_memory(s);
    n->op = (uint8_t)op;
    return n;
}

struct jq_node *jq_node_make(struct jq_parser *s, enum jq_op op, struct jq_node *a,
                             struct jq_node *b, bool one)
{
    struct jq_node *n = s->rc ? NULL : jq_node_new(s, op);
    if (!n)
        return NULL;
    n->a = a;
    n->b = b;
    n->one = one;
    return n;
}

struct jq_node *jq_node_lit(struct jq_parser *s, struct val *takes)
{
    struct jq *p = s->p;
    struct jq_node *n = takes ? jq_node_new(s, J_LIT) : jq_parse_no_memory(s);
    if (n && p->lit_count == p->lit_cap) {
        size_t cap = p->lit_cap ? p->lit_cap * 2 : 8;
        struct val **lits = mem_realloc(p->lits, cap * sizeof *lits);
        if (lits) {
            p->lits = lits;
            p->lit_cap = cap;
        } else {
            n = jq_parse_no_memory(s);
        }
    }
    if (!n) {
        val_unref(takes);
        return NULL;
    }
    p->lits[p->lit_count++] = takes;
    n->lit = takes;
    n->one = true;
    return n;
}

struct jq_node *jq_node_dot(struct jq_parser *s)
{
    return jq_node_make(s, J_DOT, NULL, NULL, true);
}

// ---- scopes ----

bool jq_scope_open(struct jq_parser *s, enum jq_scope_kind kind, struct bytes name,
                   struct jq_func *func, unsigned param)
{
    struct jq_scope *scope = arena_zalloc(s->p->arena, sizeof *scope);
    if (!scope)
        return jq_parse_no_memory(s);
    *scope = (struct jq_scope){s->scope, kind, name, func, param};
    s->scope = scope;
    return true;
}

static struct jq_scope *scope_find(struct jq_parser *s, enum jq_scope_kind kind, struct bytes name,
                                   uint32_t *ret_up)
{
    *ret_up = 0;
    for (struct jq_scope *at = s->scope; at; at = at->up, ++*ret_up)
        if (at->kind == kind && bytes_eq(at->name, name))
            return at;
    return NULL;
}

// ---- variables ----

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
    struct jq_scope *scope = scope_find(s, SCOPE_VAR, name, &up);
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
    static const char *const names[] = {"text", "json", "csv", "tsv", "html", "uri", "sh", "base64",
                                        "base64d"};
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

bool jq_node_kids(struct jq_parser *s, struct jq_node *node, struct jq_node **kids, size_t n)
{
    node->kids = arena_alloc(s->p->arena, (n + 1) * sizeof *kids);
    if (!node->kids)
        return jq_parse_no_memory(s);
    for (size_t i = 0; i < n; i++)
        node->kids[i] = kids[i];
    node->kid_count = (uint8_t)n;
    if (n > JQ_PARTS_MAX && !node->one)
        jq_parse_unsupported(s, BYTES("so many parts with several outputs"));
    return true;
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

static struct jq_node *parse_postfix(struct jq_parser *s);

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
    struct jq_node *n = jq_node_make(s, each ? J_FOREACH : J_REDUCE, parse_postfix(s), NULL, !each);
    if (!n || !n->a || !jq_parse_expect(s, T_IDENT, "as"))
        return NULL;
    struct jq_scope *inner = outer;
    n->pattern = jq_parse_pattern(s);
    inner = s->scope;
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
    struct jq_node *n = jq_node_make(s, J_TRY, parse_postfix(s), NULL, false);
    if (!n || s->rc)
        return NULL;
    if (jq_parse_accept(s, T_IDENT, "catch"))
        n->b = parse_postfix(s);
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
    if (s->lex.kind != T_VAR || !scope_find(s, SCOPE_LABEL, s->lex.text, &up))
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
    static const char *const words[] = {"then", "else", "elif", "end", "as", "catch", "and", "or",
                                        "import", "include", "module", "__loc__"};
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

static struct jq_node *parse_postfix(struct jq_parser *s)
{
    struct jq_node *n = s->nest < NEST_MAX ? NULL : jq_parse_fail(s, "nested too deep");
    if (s->rc)
        return NULL;
    s->nest++;
    n = parse_primary(s);
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
            n = jq_node_make(s, J_TRY, of, NULL, of->one);
        } else {
            break;
        }
    }
    s->nest--;
    return s->rc ? NULL : n;
}

// ---- operators ----

struct operator{
    const char *text;
    uint8_t prec, op, sub;
    enum { LEFT, RIGHT, NONE } side;
};
static const struct operator operators[] = {
    {"//", 2, J_ALT, 0, RIGHT},
    {"=", 3, J_ASSIGN, 0, NONE},
    {"|=", 3, J_MODIFY, 0, NONE},
    {"+=", 3, J_UPDATE, BIN_ADD, NONE},
    {"-=", 3, J_UPDATE, BIN_SUB, NONE},
    {"*=", 3, J_UPDATE, BIN_MUL, NONE},
    {"/=", 3, J_UPDATE, BIN_DIV, NONE},
    {"%=", 3, J_UPDATE, BIN_MOD, NONE},
    {"//=", 3, J_ALTSET, 0, NONE},
    {"or", 4, J_OR, 0, LEFT},
    {"and", 5, J_AND, 0, LEFT},
    {"==", 6, J_BINARY, BIN_EQ, NONE},
    {"!=", 6, J_BINARY, BIN_NE, NONE},
    {"<", 6, J_BINARY, BIN_LT, NONE},
    {"<=", 6, J_BINARY, BIN_LE, NONE},
    {">", 6, J_BINARY, BIN_GT, NONE},
    {">=", 6, J_BINARY, BIN_GE, NONE},
    {"+", 7, J_BINARY, BIN_ADD, LEFT},
    {"-", 7, J_BINARY, BIN_SUB, LEFT},
    {"*", 8, J_BINARY, BIN_MUL, LEFT},
    {"/", 8, J_BINARY, BIN_DIV, LEFT},
    {"%", 8, J_BINARY, BIN_MOD, LEFT},
};

static const struct operator* operator_at(const struct jq_parser *s)
{
    if (s->lex.kind != T_OP && s->lex.kind != T_IDENT)
        return NULL;
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++)
        if (bytes_is(s->lex.text, operators[i].text))
            return &operators[i];
    return NULL;
}

static struct jq_node *parse_binary(struct jq_parser *s, unsigned prec_min);

// Term as pattern | body
static struct jq_node *parse_bind(struct jq_parser *s, struct jq_node *source)
{
    struct jq_scope *outer = s->scope;
    struct jq_node *n = jq_node_make(s, J_BIND, source, NULL, false);
    if (!n)
        return NULL;
    n->pattern = jq_parse_pattern(s);
    if (jq_parse_is(s, T_OP, "?//")) {
        jq_parse_unsupported(s, BYTES("?//"));
        while (!s->rc && jq_parse_accept(s, T_OP, "?//"))
            (void)jq_parse_pattern(s);
    }
    if (s->rc || !jq_parse_expect(s, T_OP, "|"))
        return NULL;
    n->b = jq_parse_pipe(s, s->no_comma);
    s->scope = outer;
    if (!n->b)
        return NULL;
    n->one = source->one && n->b->one;
    return n;
}

static struct jq_node *parse_prefix(struct jq_parser *s)
{
    if (jq_parse_accept(s, T_OP, "-")) {
        struct jq_node *n = parse_binary(s, 8);
        if (!n)
            return NULL;
        if (n->op == J_LIT && n->lit->kind == JSON_NUM)
            return jq_node_lit(s, val_real(-val_d(n->lit)));
        return jq_node_make(s, J_NEG, n, NULL, n->one);
    }
    struct jq_node *n = parse_postfix(s);
    if (n && jq_parse_accept(s, T_IDENT, "as"))
        return parse_bind(s, n);
    return n;
}

static struct jq_node *parse_operation(struct jq_parser *s, const struct operator*o,
                                       struct jq_node *left, struct jq_node *right)
{
    struct jq_node *n = jq_node_make(s, (enum jq_op)o->op, left, right, left->one && right->one);
    if (!n)
        return NULL;
    n->sub = o->sub;
    if (o->prec == 3) {
        n->one = o->op == J_MODIFY || right->one;
        if (!jq_is_path(left))
            jq_parse_unsupported(s, BYTES("an assignment to something that is no plain path"));
    }
    return n;
}

static struct jq_node *parse_binary(struct jq_parser *s, unsigned prec_min)
{
    if (s->nest >= NEST_MAX)
        return jq_parse_fail(s, "nested too deep");
    s->nest++;
    struct jq_node *left = parse_prefix(s);
    const struct operator*o;
    while (left && !s->rc && (o = operator_at(s)) != NULL && o->prec >= prec_min) {
        jq_lex_next(&s->lex);
        struct jq_node *right = parse_binary(s, o->side == RIGHT ? o->prec : o->prec + 1u);
        if (!right)
            break;
        left = parse_operation(s, o, left, right);
        const struct operator*next = operator_at(s);
        if (o->side == NONE && next && next->prec == o->prec)
            jq_parse_fail(s, "operators of one rank need parentheses");
    }
    s->nest--;
    return s->rc ? NULL : left;
}

static struct jq_node *parse_comma(struct jq_parser *s)
{
    struct jq_node *left = parse_binary(s, 0);
    while (left && !s->no_comma && accept_punct(s, ",")) {
        struct jq_node *right = parse_binary(s, 0);
        left = right ? jq_node_make(s, J_COMMA, left, right, false) : NULL;
    }
    return left;
}

#define PIPES_MAX 256

struct jq_node *jq_parse_pipe(struct jq_parser *s, bool no_comma)
{
    struct jq_node *parts[PIPES_MAX];
    size_t n = 0;
    bool before = s->no_comma;
    s->no_comma = no_comma;
    do {
        if (n == PIPES_MAX)
            jq_parse_fail(s, "too many pipes");
        else
            parts[n++] = parse_comma(s);
    } while (!s->rc && jq_parse_accept(s, T_OP, "|"));
    s->no_comma = before;
    if (s->rc)
        return NULL;
    struct jq_node *right = parts[--n];
    while (n-- > 0 && right)
        right = jq_node_make(s, J_PIPE, parts[n], right, parts[n]->one && right->one);
    return right;
}

int jq_parse_program(struct jq *p, struct err *e)
{
    struct jq_parser s = {.p = p, .e = e, .lex = {.all = p->text}};
    if (!bytes_is_utf8(p->text) || bytes_chr(p->text, 0) >= 0)
        return err_set(e, E_PARSE, "jq: the program is not UTF-8 text");
    jq_lex_next(&s.lex);
    if (is_word(&s, "module"))
        return err_set(e, E_FORBIDDEN, "jq: programs cannot be modules");
    p->root = s.lex.kind == T_END ? jq_node_dot(&s) : jq_parse_pipe(&s, false);
    if (!s.rc && s.lex.kind != T_END)
        jq_parse_fail(&s, "not expected");
    if (!s.rc && s.unsupported[0])
        return err_set(e, E_UNSUPPORTED, "jq: %s needs libjq", s.unsupported);
    return s.rc;
}
