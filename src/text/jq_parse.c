// jq_parse.c: jq programs from text to a tree, by precedence climbing. Names are resolved here:
// to how many scopes up they are.
// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "text/jq_parse_priv.h"
#include <stdlib.h>
#include <string.h>

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

bool jq_node_kids(struct jq_parser *s, struct jq_node *node, struct jq_node **kids, size_t n)
{
    node->kids = arena_alloc(s->p->arena, (n + 1) * sizeof *kids);
    if (!node->kids)
        return jq_parse_no_memory(s);
    for (size_t i = 0; i < n; i++)
        node->kids[i] = kids[i];
    node->kid_count = (uint8_t)n;
    if (n > JQ_PARTS_MAX && (!node->one || node->op == J_STRING))
        jq_parse_unsupported(s, BYTES("an object or string of so many parts"));
    return true;
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

struct jq_scope *jq_scope_find(struct jq_parser *s, enum jq_scope_kind kind, struct bytes name,
                               uint32_t *ret_up)
{
    *ret_up = 0;
    for (struct jq_scope *at = s->scope; at; at = at->up, ++*ret_up)
        if (at->kind == kind && bytes_eq(at->name, name))
            return at;
    return NULL;
}

// ---- operators ----

struct operator {
    const char *text;
    uint8_t prec, op, sub;
    enum { LEFT, RIGHT, NONE } side;
};
static const struct operator operators[] = {
    {"//", 2, J_ALT, 0, RIGHT},         {"=", 3, J_ASSIGN, 0, NONE},
    {"|=", 3, J_MODIFY, 0, NONE},       {"+=", 3, J_UPDATE, BIN_ADD, NONE},
    {"-=", 3, J_UPDATE, BIN_SUB, NONE}, {"*=", 3, J_UPDATE, BIN_MUL, NONE},
    {"/=", 3, J_UPDATE, BIN_DIV, NONE}, {"%=", 3, J_UPDATE, BIN_MOD, NONE},
    {"//=", 3, J_ALTSET, 0, NONE},      {"or", 4, J_OR, 0, LEFT},
    {"and", 5, J_AND, 0, LEFT},         {"==", 6, J_BINARY, BIN_EQ, NONE},
    {"!=", 6, J_BINARY, BIN_NE, NONE},  {"<", 6, J_BINARY, BIN_LT, NONE},
    {"<=", 6, J_BINARY, BIN_LE, NONE},  {">", 6, J_BINARY, BIN_GT, NONE},
    {">=", 6, J_BINARY, BIN_GE, NONE},  {"+", 7, J_BINARY, BIN_ADD, LEFT},
    {"-", 7, J_BINARY, BIN_SUB, LEFT},  {"*", 8, J_BINARY, BIN_MUL, LEFT},
    {"/", 8, J_BINARY, BIN_DIV, LEFT},  {"%", 8, J_BINARY, BIN_MOD, LEFT},
};

static const struct operator *operator_at(const struct jq_parser *s)
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
    struct jq_node *n = jq_parse_term(s);
    if (n && jq_parse_accept(s, T_IDENT, "as"))
        return parse_bind(s, n);
    return n;
}

static struct jq_node *parse_operation(struct jq_parser *s, const struct operator *o,
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
    if (s->nest >= JQ_NEST_MAX)
        return jq_parse_fail(s, "nested too deep");
    s->nest++;
    struct jq_node *left = parse_prefix(s);
    const struct operator *o;
    while (left && !s->rc && (o = operator_at(s)) != NULL && o->prec >= prec_min) {
        jq_lex_next(&s->lex);
        struct jq_node *right = parse_binary(s, o->side == RIGHT ? o->prec : o->prec + 1u);
        if (!right)
            break;
        left = parse_operation(s, o, left, right);
        const struct operator *next = operator_at(s);
        if (o->side == NONE && next && next->prec == o->prec)
            jq_parse_fail(s, "operators of one rank need parentheses");
    }
    s->nest--;
    return s->rc ? NULL : left;
}

static struct jq_node *parse_comma(struct jq_parser *s)
{
    struct jq_node *left = parse_binary(s, 0);
    while (left && !s->no_comma && jq_parse_accept(s, T_PUNCT, ",")) {
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
    if (jq_parse_is(&s, T_IDENT, "module"))
        return err_set(e, E_FORBIDDEN, "jq: programs cannot be modules");
    p->root = s.lex.kind == T_END ? jq_node_dot(&s) : jq_parse_pipe(&s, false);
    if (!s.rc && s.lex.kind != T_END)
        jq_parse_fail(&s, "not expected");
    if (!s.rc && s.unsupported[0])
        return err_set(e, E_UNSUPPORTED, "jq: %s needs libjq", s.unsupported);
    return s.rc;
}
