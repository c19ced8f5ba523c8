// jq_parse_names.c: definitions, calls, patterns of variables; which expressions are paths.
// SPDX-License-Identifier: Apache-2.0
#include "text/jq_parse_priv.h"
#include <string.h>

// ---- patterns ----

static struct jq_pattern *pattern_add(struct jq_parser *s, struct jq_pattern *of,
                                      struct jq_pattern *part, struct jq_node *key, bool binds)
{
    if (!of->parts) {
        of->parts = arena_zalloc(s->p->arena, JQ_VARS_MAX * sizeof(struct jq_pattern *));
        of->keys = arena_zalloc(s->p->arena, JQ_VARS_MAX * sizeof(struct jq_node *));
        of->binds_key = arena_zalloc(s->p->arena, JQ_VARS_MAX * sizeof(bool));
        if (!of->parts || !of->keys || !of->binds_key)
            return jq_parse_no_memory(s);
    }
    if (of->n == JQ_VARS_MAX)
        return jq_parse_fail(s, "a pattern has too many parts");
    of->parts[of->n] = part;
    of->keys[of->n] = key;
    of->binds_key[of->n++] = binds;
    of->vars += (part ? part->vars : 0) + binds;
    if (of->vars > JQ_VARS_MAX)
        return jq_parse_fail(s, "a pattern has too many variables");
    return of;
}

static struct jq_node *pattern_key(struct jq_parser *s)
{
    struct jq_node *key = NULL;
    size_t reads = s->var_reads;
    if (s->lex.kind == T_IDENT) {
        key = jq_node_lit(s, val_str(s->lex.text));
        jq_lex_next(&s->lex);
    } else if (s->lex.kind == T_QUOTE) {
        key = jq_parse_pipe(s, true);
    } else if (jq_parse_accept(s, T_PUNCT, "(")) {
        key = jq_parse_pipe(s, false);
        if (key && !jq_parse_expect(s, T_PUNCT, ")"))
            return NULL;
    } else {
        return jq_parse_fail(s, "a pattern needs a key");
    }
    if (key && (!key->one || s->var_reads != reads))
        jq_parse_unsupported(s, BYTES("a pattern with such keys"));
    return key;
}

static bool pattern_member(struct jq_parser *s, struct jq_pattern *p)
{
    struct jq_node *key = NULL;
    struct jq_pattern *part = NULL;
    bool binds = s->lex.kind == T_VAR;
    if (binds) {
        key = jq_node_lit(s, val_str(s->lex.text));
        if (!jq_scope_open(s, SCOPE_VAR, s->lex.text, NULL, 0))
            return false;
        jq_lex_next(&s->lex);
    } else {
        key = pattern_key(s);
    }
    if (s->rc)
        return false;
    if (jq_parse_accept(s, T_PUNCT, ":"))
        part = jq_parse_pattern(s);
    else if (!binds)
        jq_parse_fail(s, "\":\" is missing");
    return !s->rc && pattern_add(s, p, part, key, binds);
}

// Opens the scopes of its variables, in the order in which the run binds them.
struct jq_pattern *jq_parse_pattern(struct jq_parser *s)
{
    struct jq_pattern *p = arena_zalloc(s->p->arena, sizeof *p);
    if (!p)
        return jq_parse_no_memory(s);
    if (s->nest > 100)
        return jq_parse_fail(s, "nested too deep");
    s->nest++;
    if (s->lex.kind == T_VAR) {
        p->kind = PATTERN_VAR;
        p->vars = 1;
        if (jq_scope_open(s, SCOPE_VAR, s->lex.text, NULL, 0))
            jq_lex_next(&s->lex);
    } else if (jq_parse_accept(s, T_PUNCT, "[")) {
        p->kind = PATTERN_ARR;
        do {
            struct jq_pattern *part = jq_parse_pattern(s);
            if (part)
                (void)pattern_add(s, p, part, NULL, false);
        } while (!s->rc && jq_parse_accept(s, T_PUNCT, ","));
        (void)(s->rc || jq_parse_expect(s, T_PUNCT, "]"));
    } else if (jq_parse_accept(s, T_PUNCT, "{")) {
        p->kind = PATTERN_OBJ;
        while (pattern_member(s, p) && jq_parse_accept(s, T_PUNCT, ","))
            ;
        (void)(s->rc || jq_parse_expect(s, T_PUNCT, "}"));
    } else {
        jq_parse_fail(s, "a pattern is missing");
    }
    s->nest--;
    return s->rc ? NULL : p;
}

// ---- definitions ----

static bool parse_params(struct jq_parser *s, struct jq_func *f)
{
    f->param_names = arena_zalloc(s->p->arena, JQ_ARGS_MAX * sizeof(struct bytes));
    if (!f->param_names)
        return jq_parse_no_memory(s);
    do {
        if (f->params == JQ_ARGS_MAX)
            return jq_parse_fail(s, "a definition has too many parameters");
        if (s->lex.kind != T_IDENT && s->lex.kind != T_VAR)
            return jq_parse_fail(s, "a parameter is missing");
        f->param_is_var[f->params] = s->lex.kind == T_VAR;
        f->param_names[f->params++] = s->lex.text;
        jq_lex_next(&s->lex);
    } while (jq_parse_accept(s, T_PUNCT, ";"));
    return jq_parse_expect(s, T_PUNCT, ")");
}

// name(params): body; The scope of the function itself stays open.
static struct jq_func *parse_func(struct jq_parser *s, struct jq_func *f)
{
    if (s->lex.kind != T_IDENT)
        return jq_parse_fail(s, "a definition needs a name");
    struct bytes name = s->lex.text;
    f->name = name.p;
    f->name_len = name.n;
    jq_lex_next(&s->lex);
    if (jq_parse_accept(s, T_PUNCT, "(") && !parse_params(s, f))
        return NULL;
    if (!jq_parse_expect(s, T_PUNCT, ":") || !jq_scope_open(s, SCOPE_FUNC, name, f, 0))
        return NULL;
    struct jq_scope *own = s->scope;
    for (unsigned i = 0; i < f->params; i++)
        if (!jq_scope_open(s, SCOPE_PARAM, f->param_names[i], f, i))
            return NULL;
    for (unsigned i = 0; i < f->params; i++)
        if (f->param_is_var[i] && !jq_scope_open(s, SCOPE_VAR, f->param_names[i], NULL, 0))
            return NULL;
    f->body = jq_parse_pipe(s, false);
    s->scope = own;
    if (!f->body || !jq_parse_expect(s, T_PUNCT, ";"))
        return NULL;
    f->one = f->body->one;
    f->done = true;
    return f;
}

struct jq_node *jq_parse_def(struct jq_parser *s)
{
    struct jq_scope *outer = s->scope;
    struct jq_func *f = arena_zalloc(s->p->arena, sizeof *f);
    if (!f)
        return jq_parse_no_memory(s);
    if (!parse_func(s, f))
        return NULL;
    struct jq_node *n = jq_node_make(s, J_DEF, jq_parse_pipe(s, s->no_comma), NULL, false);
    s->scope = outer;
    if (!n || !n->a)
        return NULL;
    n->func = f;
    n->one = n->a->one;
    return n;
}

// A function that jq defines in its own language: parsed once for each program that uses it.
static struct jq_func *known_func(struct jq_parser *s, const struct jq_name *name)
{
    for (struct jq_known_def *at = s->known; at; at = at->next)
        if (at->name == name)
            return at->func;
    struct jq_known_def *def = arena_zalloc(s->p->arena, sizeof *def);
    struct jq_func *f = arena_zalloc(s->p->arena, sizeof *f);
    if (!def || !f)
        return jq_parse_no_memory(s);
    *def = (struct jq_known_def){s->known, name, f};
    s->known = def;
    struct jq_lex lex = s->lex;
    struct jq_scope *scope = s->scope;
    bool no_comma = s->no_comma;
    s->lex = (struct jq_lex){.all = bytes_of(name->text)};
    s->scope = NULL;
    jq_lex_next(&s->lex);
    f = parse_func(s, f);
    s->lex = lex;
    s->scope = scope;
    s->no_comma = no_comma;
    return f;
}

// ---- paths ----

static bool all_paths(struct jq_node *const *kids, size_t n)
{
    bool good = true;
    for (size_t i = 0; i < n; i++)
        good = jq_is_path(kids[i]) && good; // each is noted
    return good;
}

bool jq_is_path(const struct jq_node *n)
{
    bool good;
    if (!n)
        return true;
    switch (n->op) {
    case J_DOT:
    case J_EMPTY:
    case J_ERROR:
    case J_BREAK:
    case J_GETPATH: return true;
    case J_RECURSE:
    case J_FIELD:
    case J_INDEX:
    case J_SLICE:
    case J_ITER:
    case J_FIRST:
    case J_LABEL:
    case J_DEF: return jq_is_path(n->a);
    case J_PIPE:
    case J_COMMA:
    case J_ALT:
    case J_TRY: return all_paths((struct jq_node *const[]){n->a, n->b}, 2);
    case J_IF: return all_paths((struct jq_node *const[]){n->b, n->c}, 2);
    case J_BIND: return jq_is_path(n->b);
    case J_CALL:
        for (unsigned i = 0; i < n->func->params; i++)
            if (!n->func->param_is_var[i] && !jq_is_path(n->kids[i]))
                return false;
        if (n->func->looked) // calls itself
            return true;
        n->func->looked = true;
        good = n->func->done && jq_is_path(n->func->body);
        n->func->looked = false;
        return good;
    case J_PARAM: n->func->param_is_path[n->sub] = true; return true;
    default: return false;
    }
}

// ---- calls ----

static bool parse_args(struct jq_parser *s, struct jq_node **args, unsigned *n)
{
    if (!jq_parse_accept(s, T_PUNCT, "("))
        return true;
    do {
        if (*n == JQ_ARGS_MAX)
            return jq_parse_fail(s, "too many arguments");
        args[*n] = jq_parse_pipe(s, false);
        if (!args[(*n)++])
            return false;
    } while (jq_parse_accept(s, T_PUNCT, ";"));
    return jq_parse_expect(s, T_PUNCT, ")");
}

static bool all_one(struct jq_node **args, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (!args[i]->one)
            return false;
    return true;
}

static struct jq_node *func_call(struct jq_parser *s, struct jq_func *f, uint32_t up,
                                 struct jq_node **args)
{
    struct jq_node *n = jq_node_make(s, J_CALL, NULL, NULL, f->done && f->one);
    if (!n || !jq_node_kids(s, n, args, f->params))
        return NULL;
    n->func = f;
    n->index = up;
    for (unsigned i = 0; i < f->params; i++) {
        if (f->param_is_var[i])
            n->one = n->one && args[i]->one;
        if ((f->param_is_path[i] || !f->done) && !jq_is_path(args[i]) && !f->param_is_var[i])
            jq_parse_unsupported(s, BYTES("a path that is not plain"));
    }
    return n;
}

static struct jq_node *op1(struct jq_parser *s, enum jq_op op, struct jq_node *a, bool one,
                           unsigned sub)
{
    struct jq_node *n = jq_node_make(s, op, a, NULL, one);
    if (n)
        n->sub = (uint8_t)sub;
    return n;
}

static struct jq_node *path_op(struct jq_parser *s, enum jq_op op, struct jq_node *a, bool one)
{
    if (!jq_is_path(a))
        jq_parse_unsupported(s, BYTES("a path that is not plain"));
    return jq_node_make(s, op, a, NULL, one);
}

static struct jq_node *iterate(struct jq_parser *s)
{
    return jq_node_make(s, J_ITER, jq_node_dot(s), NULL, false);
}

static bool is_one(const struct jq_node *n)
{
    return n && n->one;
}

static struct jq_node *select_node(struct jq_parser *s, struct jq_node *cond)
{
    struct jq_node *n = jq_node_make(s, J_IF, cond, jq_node_dot(s), is_one(cond));
    if (n)
        n->c = jq_node_make(s, J_EMPTY, NULL, NULL, true);
    return n;
}

static struct jq_node *range_node(struct jq_parser *s, struct jq_node *from, struct jq_node *to,
                                  struct jq_node *by)
{
    struct jq_node *n = jq_node_make(s, J_RANGE, from, to, false);
    if (n)
        n->c = by;
    return n;
}

static struct jq_node *known_node(struct jq_parser *s, enum jq_node_id id, struct jq_node **arg)
{
    struct jq_node *n;
    switch (id) {
    case ID_EMPTY: return jq_node_make(s, J_EMPTY, NULL, NULL, true);
    case ID_ERROR0: return jq_node_make(s, J_ERROR, NULL, NULL, true);
    case ID_ERROR: return jq_node_make(s, J_ERROR, arg[0], NULL, is_one(arg[0]));
    case ID_PATH: return path_op(s, J_PATH, arg[0], false);
    case ID_SELECT: return select_node(s, arg[0]);
    case ID_RECURSE0: return jq_node_make(s, J_RECURSE, NULL, NULL, false);
    case ID_RECURSE: return jq_node_make(s, J_RECURSE, arg[0], NULL, false);
    case ID_RECURSE2:
        n = jq_node_make(s, J_PIPE, arg[0], select_node(s, arg[1]), false);
        return jq_node_make(s, J_RECURSE, n, NULL, false);
    case ID_MAP:
        return jq_node_make(s, J_ARR, jq_node_make(s, J_PIPE, iterate(s), arg[0], false), NULL,
                            true);
    case ID_MAP_VALUES: return jq_node_make(s, J_MODIFY, iterate(s), arg[0], true);
    case ID_DEL: return path_op(s, J_DEL, arg[0], true);
    case ID_FIRST: return jq_node_make(s, J_FIRST, arg[0], NULL, true);
    case ID_LAST: return jq_node_make(s, J_LAST, arg[0], NULL, true);
    case ID_LIMIT: return jq_node_make(s, J_LIMIT, arg[0], arg[1], false);
    case ID_RANGE1: return range_node(s, jq_node_lit(s, val_int(0)), arg[0], NULL);
    case ID_RANGE2: return range_node(s, arg[0], arg[1], NULL);
    case ID_RANGE3: return range_node(s, arg[0], arg[1], arg[2]);
    case ID_UNTIL:
        return jq_node_make(s, J_UNTIL, arg[0], arg[1], is_one(arg[0]) && is_one(arg[1]));
    case ID_ANY2: return jq_node_make(s, J_ANY, arg[0], arg[1], true);
    case ID_ALL2: return jq_node_make(s, J_ALL, arg[0], arg[1], true);
    case ID_SORT_BY: return op1(s, J_BY, arg[0], true, BY_SORT);
    case ID_GROUP_BY: return op1(s, J_BY, arg[0], true, BY_GROUP);
    case ID_UNIQUE_BY: return op1(s, J_BY, arg[0], true, BY_UNIQUE);
    case ID_MIN_BY: return op1(s, J_BY, arg[0], true, BY_MIN);
    case ID_MAX_BY: return op1(s, J_BY, arg[0], true, BY_MAX);
    case ID_GETPATH: return jq_node_make(s, J_GETPATH, arg[0], NULL, is_one(arg[0]));
    case ID_NULL: return jq_node_lit(s, val_null());
    case ID_TRUE: return jq_node_lit(s, val_bool(true));
    case ID_FALSE: return jq_node_lit(s, val_bool(false));
    }
    return NULL;
}

static struct jq_node *known_call(struct jq_parser *s, struct bytes name, struct jq_node **args,
                                  unsigned n)
{
    char what[128];
    const struct jq_name *known = jq_name_find(name, n);
    struct jq_func *f;
    struct jq_node *node;
    switch (known ? (int)known->known : (int)KNOWN_NOT) {
    case KNOWN_NODE: return known_node(s, (enum jq_node_id)known->id, args);
    case KNOWN_NATIVE:
        node = jq_node_make(s, J_NATIVE, NULL, NULL, all_one(args, n));
        if (!node || !jq_node_kids(s, node, args, n))
            return NULL;
        node->fn = known->fn;
        return node;
    case KNOWN_DEF: f = known_func(s, known); return f ? func_call(s, f, UINT32_MAX, args) : NULL;
    case KNOWN_FORBIDDEN:
        s->rc = err_set(s->e, E_FORBIDDEN, "jq: %s would depend on more than the input: %s",
                        known->name, known->text);
        return NULL;
    case KNOWN_UNSUPPORTED:
        jq_parse_unsupported(s, name);
        return jq_node_make(s, J_EMPTY, NULL, NULL, true);
    default: break; // KNOWN_NOT
    }
    if (bytes_chr(name, ':') >= 0) {
        s->rc = err_set(s->e, E_FORBIDDEN, "jq: programs cannot use modules");
        return NULL;
    }
    (void)snprintf(what, sizeof what, "%.*s/%u is not defined", BYTES_FMT(bytes_first(name, 64)),
                   n);
    return jq_parse_fail(s, what);
}

struct jq_node *jq_parse_call(struct jq_parser *s, struct bytes name)
{
    struct jq_node *args[JQ_ARGS_MAX] = {NULL};
    unsigned n = 0;
    if (!parse_args(s, args, &n))
        return NULL;
    uint32_t up = 0;
    for (struct jq_scope *at = s->scope; at; at = at->up, up++) {
        if (!bytes_eq(at->name, name))
            continue;
        if (at->kind == SCOPE_FUNC && at->func->params == n)
            return func_call(s, at->func, up, args);
        if (at->kind == SCOPE_PARAM && n == 0) {
            struct jq_node *node = jq_node_make(s, J_PARAM, NULL, NULL, false);
            if (!node)
                return NULL;
            node->index = up;
            node->func = at->func;
            node->sub = (uint8_t)at->param;
            return node;
        }
    }
    return known_call(s, name, args, n);
}
