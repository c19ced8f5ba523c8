// doc_expr.c: expressions of a document, and values that have some inside. "${ .a }" is one
// expression; "Hello ${ .name }!" is a text made of its parts. A "${" in the middle of a text
// counts only when a space or one of . $ ( [ { " follows, so that "${HOME}" in a script stays what
// it is. SPDX-License-Identifier: Apache-2.0
#include "flow/doc_priv.h"
#include <string.h>

#define NEST_MAX 200
#define PART_MAX (64u << 10) // bytes of one expression inside a text
#define FALSE_STARTS_MAX 64  // of a text: beyond it, it is no text of parts
#define NOWHERE SIZE_MAX

static size_t code_end(struct bytes t, size_t at, char close, unsigned depth);

// at: after the opening quote. Index of the closing one.
static size_t string_end(struct bytes t, size_t at, unsigned depth)
{
    for (; at < t.n; at++) {
        if (t.p[at] == '"')
            return at;
        if (t.p[at] != '\\')
            continue;
        at++;
        if (at < t.n && t.p[at] == '(') {
            at = code_end(t, at + 1, ')', depth + 1);
            if (at == NOWHERE)
                return at;
        }
    }
    return NOWHERE;
}

// Index of the bracket that closes jq code which begins at `at`.
static size_t code_end(struct bytes t, size_t at, char close, unsigned depth)
{
    if (depth > NEST_MAX)
        return NOWHERE;
    for (; at < t.n; at++) {
        char c = t.p[at];
        if (c == close)
            return at;
        if (c == '"')
            at = string_end(t, at + 1, depth + 1);
        else if (c == '(' || c == '[' || c == '{')
            at = code_end(t, at + 1, c == '(' ? ')' : c == '[' ? ']' : '}', depth + 1);
        else if (c == '#')
            while (at + 1 < t.n && t.p[at + 1] != '\n')
                at++;
        else if (c == ')' || c == ']' || c == '}')
            return NOWHERE;
        if (at == NOWHERE)
            return NOWHERE;
    }
    return NOWHERE;
}

// "${ code }" and nothing else: the code. An unbalanced one counts too: the compiler says what is
// wrong with it.
static bool is_whole(struct bytes text, struct bytes *ret_code)
{
    struct bytes t = bytes_trim(text);
    if (t.n < 3 || t.p[0] != '$' || t.p[1] != '{' || t.p[t.n - 1] != '}')
        return false;
    size_t end = code_end(t, 2, '}', 0);
    if (end != NOWHERE && end != t.n - 1)
        return false;
    *ret_code = bytes_trim((struct bytes){t.p + 2, t.n - 3});
    return true;
}

// The next "${ code }" inside a text, from *at on; its place and end (behind the brace).
static bool next_part(struct bytes t, size_t at, size_t *ret_from, size_t *ret_end)
{
    unsigned failed = 0;
    for (; at + 3 < t.n && failed < FALSE_STARTS_MAX; at++) {
        if (t.p[at] != '$' || t.p[at + 1] != '{' || !strchr(" \t\r\n.$([{\"", t.p[at + 2]))
            continue;
        size_t end = code_end(bytes_first(t, at + PART_MAX), at + 2, '}', 0);
        failed += end == NOWHERE;
        if (end == NOWHERE)
            continue;
        *ret_from = at;
        *ret_end = end + 1;
        return true;
    }
    return false;
}

// ("text" + (code | tostring) + ...). NUL-terminated in the arena; n = 0: the text has no parts.
static struct bytes program_of(struct doc_work *w, struct bytes t)
{
    size_t at = 0, from = 0, end = 0;
    struct buf out;
    struct bytes program = BYTES_NONE;
    if (!next_part(t, 0, &from, &end))
        return BYTES_NONE;
    buf_init(&out, FLOW_TEXT_MAX * 8);
    (void)buf_chr(&out, '(');
    while (next_part(t, at, &from, &end)) {
        (void)buf_json_str(&out, (struct bytes){t.p + at, from - at});
        (void)buf_str(&out, " + ((");
        (void)buf_put(&out, (struct bytes){t.p + from + 2, end - from - 3});
        (void)buf_str(&out, "\n) | tostring) + "); // a comment ends with its line
        at = end;
    }
    (void)buf_json_str(&out, bytes_from(t, at));
    (void)buf_chr(&out, ')');
    if (!out.failed)
        program = arena_dup(w->arena, buf_bytes(&out));
    if (!program.p)
        w->failed = out.failed ? out.failed : E_NOMEM;
    buf_fini(&out);
    return program;
}

// ---- compiling ----------------------------------------------------------------------------------

static const char *const known_vars[] = {"context",  "input",         "output",
                                         "secrets",  "authorization", "task",
                                         "workflow", "runtime",       "__loc__"};
#define KNOWN (sizeof known_vars / sizeof known_vars[0])

static bool is_known(const struct doc_work *w, struct bytes name)
{
    for (size_t i = 0; i < KNOWN; i++)
        if (bytes_is(name, known_vars[i]))
            return true;
    for (size_t i = 0; w->var_count != FLOW_VARS_ANY && i < w->var_count; i++)
        if (bytes_eq(name, w->vars[i]))
            return true;
    return w->var_count == FLOW_VARS_ANY;
}

static bool is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

void doc_var_push(struct doc_work *w, const struct doc_at *at, struct bytes name)
{
    bool fits = name.n > 0 && !(name.p[0] >= '0' && name.p[0] <= '9');
    for (size_t i = 0; i < name.n; i++)
        fits = fits && is_name(name.p[i]);
    for (size_t i = 0; i < KNOWN; i++)
        if (bytes_is(name, known_vars[i]))
            doc_find(w, at, false, "$%s has its own meaning: take another name", known_vars[i]);
    if (!fits)
        doc_find(w, at, false,
                 "\"%.*s\" cannot name a variable: letters, digits and _, no digit first",
                 BYTES_FMT(bytes_first(name, 64)));
    if (w->var_count < FLOW_VARS_MAX)
        w->vars[w->var_count++] = name;
    else
        doc_too_many(w, "too many loops around a task");
}

// $secrets.name, $secrets["name"], $secrets."name": is it one of use.secrets?
static void check_secrets(struct doc_work *w, const struct doc_at *at, struct bytes text)
{
    static const struct bytes word = {"$secrets", 8};
    for (ptrdiff_t found; (found = bytes_find(text, word)) >= 0;) {
        text = bytes_from(text, (size_t)found + word.n);
        struct bytes rest = text;
        size_t n = 0;
        bool quoted = false;
        if (rest.n && rest.p[0] == '.')
            rest = bytes_from(rest, 1);
        if (rest.n && rest.p[0] == '[')
            rest = bytes_from(rest, 1);
        if (rest.n && rest.p[0] == '"') {
            rest = bytes_from(rest, 1);
            quoted = true;
        }
        while (n < rest.n && (quoted ? rest.p[n] != '"' && rest.p[n] != '\\' : is_name(rest.p[n])))
            n++;
        struct bytes name = bytes_first(rest, n);
        if (n && rest.p != text.p && !doc_has_secret(w, name))
            doc_find(w, at, false, "secret \"%.*s\" is not listed in use.secrets: add it there",
                     BYTES_FMT(name));
    }
}

static struct flow_expr *keep(struct doc_work *w, struct flow_expr *x)
{
    struct flow_plan *p = w->plan;
    if (p->expr_count == p->expr_cap) {
        size_t cap = p->expr_cap ? p->expr_cap * 2 : 64;
        struct flow_expr **more = mem_realloc(p->exprs, cap * sizeof(struct flow_expr *));
        if (!more) {
            w->failed = E_NOMEM;
            jq_free(x->plain);
            return NULL;
        }
        p->exprs = more;
        p->expr_cap = cap;
    }
    x->index = (uint32_t)p->expr_count;
    p->exprs[p->expr_count++] = x;
    return x;
}

// 0, E_PARSE, E_FORBIDDEN with the reason, or a failure.
static int build(struct doc_work *w, struct bytes program, struct flow_expr **ret, struct err *e)
{
    struct flow_expr *x = doc_alloc(w, sizeof *x);
    if (!x)
        return err_set(e, E_NOMEM, "no memory");
    x->text = program;
    int rc = jq_compile(&x->plain, program, e);
    if (rc == E_UNSUPPORTED)
        rc = jq_check(program, e);
    if (rc)
        return rc;
    x->secret = jq_text_uses(program, "secrets") || jq_text_uses(program, "authorization");
    *ret = keep(w, x);
    return *ret ? 0 : E_NOMEM;
}

static void unknown_var(struct doc_work *w, const struct doc_at *at, struct bytes name)
{
    struct val *names = val_arr();
    for (size_t i = 0; i < KNOWN; i++)
        names = val_push(names, val_cstr(known_vars[i]));
    for (size_t i = 0; i < w->var_count; i++)
        names = val_push(names, val_str(w->vars[i]));
    const char *near = doc_nearest(w, names, name);
    name = bytes_first(name, 64);
    if (near)
        doc_find(w, at, false, "no variable $%.*s here, nearest: $%s", BYTES_FMT(name), near);
    else
        doc_find(w, at, false,
                 "no variable $%.*s here: there are $context, $input, $output, $task, $workflow, "
                 "$runtime, and those of the loops and catches around it",
                 BYTES_FMT(name));
    val_unref(names);
}

static void check(struct doc_work *w, const struct doc_at *at, const struct flow_expr *x)
{
    size_t i = 0;
    struct bytes name;
    while (x->plain && jq_each_var(x->plain, &i, &name))
        if (!is_known(w, name))
            unknown_var(w, at, name);
    if (!x->secret)
        return;
    check_secrets(w, at, x->text);
    if (!w->late)
        doc_find(w, at, false,
                 "$secrets and $authorization can be read only in the arguments of call and run, "
                 "so that no history ever holds them: use them there");
}

static struct flow_expr *compile(struct doc_work *w, const struct doc_at *at, struct bytes program)
{
    struct flow_expr *x = NULL;
    struct err e = {0};
    int rc = build(w, program, &x, &e);
    if (!rc)
        check(w, at, x);
    else if (rc == E_NOMEM)
        w->failed = w->failed ? w->failed : rc;
    else
        doc_find(w, at, false,
                 rc == E_FORBIDDEN ? "the expression is not allowed: %s"
                                   : "the expression does not compile: %s",
                 e.text);
    return x;
}

struct flow_expr *doc_expr(struct doc_work *w, const struct doc_at *at, const struct val *v)
{
    struct bytes text = val_bytes(v), code;
    if (!v)
        return NULL;
    if (!val_is(v, JSON_STR)) {
        doc_find(w, at, false, "an expression is a text");
        return NULL;
    }
    return compile(w, at, is_whole(text, &code) ? code : text);
}

// ---- templates ----------------------------------------------------------------------------------

struct flow_tmpl *doc_tmpl_value(struct doc_work *w, const struct val *v)
{
    struct flow_tmpl *t = doc_alloc(w, sizeof *t);
    if (t)
        t->value = (struct val *)(uintptr_t)v; // of the document, which the plan owns
    return t;
}

struct flow_tmpl *doc_tmpl_obj(struct doc_work *w, size_t count)
{
    struct flow_tmpl *t = doc_alloc(w, sizeof *t);
    if (!t)
        return NULL;
    t->kind = FLOW_TMPL_OBJ;
    t->keys = doc_alloc(w, (count + 1) * sizeof *t->keys);
    t->items = doc_alloc(w, (count + 1) * sizeof(struct flow_tmpl *));
    return t->keys && t->items ? t : NULL;
}

static struct flow_tmpl *of_expr(struct doc_work *w, struct flow_expr *x)
{
    struct flow_tmpl *t = x ? doc_alloc(w, sizeof *t) : NULL;
    if (!t)
        return NULL;
    t->kind = FLOW_TMPL_EXPR;
    t->expr = x;
    t->secret = x->secret;
    return t;
}

struct flow_tmpl *doc_tmpl_program(struct doc_work *w, const struct doc_at *at,
                                   struct bytes program)
{
    return of_expr(w, compile(w, at, program));
}

// Loose mode: what compiles is an expression, and itself when it cannot be evaluated.
static struct flow_tmpl *of_loose(struct doc_work *w, const struct doc_at *at, const struct val *v)
{
    struct flow_expr *x = NULL;
    struct err e = {0};
    if (build(w, val_bytes(v), &x, &e) || !x)
        return doc_tmpl_value(w, v);
    check(w, at, x);
    struct flow_tmpl *t = of_expr(w, x);
    if (t)
        t->value = (struct val *)(uintptr_t)v;
    return t;
}

static struct flow_tmpl *of_text(struct doc_work *w, const struct doc_at *at, const struct val *v)
{
    struct bytes text = val_bytes(v), code;
    if (is_whole(text, &code))
        return doc_tmpl_program(w, at, code);
    code = program_of(w, text);
    if (code.n)
        return doc_tmpl_program(w, at, code);
    return w->plan->strict || !text.n ? doc_tmpl_value(w, v) : of_loose(w, at, v);
}

static struct flow_tmpl *of_items(struct doc_work *w, const struct doc_at *at, const struct val *v)
{
    struct flow_tmpl *t = doc_tmpl_obj(w, val_len(v));
    bool fixed = true;
    size_t i = 0;
    struct bytes key;
    struct val *item;
    if (!t)
        return NULL;
    t->kind = val_is(v, JSON_ARR) ? FLOW_TMPL_ARR : FLOW_TMPL_OBJ;
    while (val_each(v, &i, &key, &item)) {
        const struct doc_at here = {at, key, t->count};
        struct flow_tmpl *one = doc_tmpl(w, &here, item);
        if (!one)
            return NULL;
        t->keys[t->count] = key;
        t->items[t->count++] = one;
        fixed = fixed && one->kind == FLOW_TMPL_VALUE;
        t->secret = t->secret || one->secret;
    }
    return fixed ? doc_tmpl_value(w, v) : t;
}

struct flow_tmpl *doc_tmpl(struct doc_work *w, const struct doc_at *at, const struct val *v)
{
    if (val_is(v, JSON_STR))
        return of_text(w, at, v);
    if (val_is(v, JSON_ARR) || val_is(v, JSON_OBJ))
        return of_items(w, at, v);
    return doc_tmpl_value(w, v);
}

struct flow_tmpl *doc_as(struct doc_work *w, const struct doc_at *at, const struct val *v)
{
    struct bytes code;
    if (!v)
        return NULL;
    if (!val_is(v, JSON_STR))
        return doc_tmpl(w, at, v);
    if (!is_whole(val_bytes(v), &code) && program_of(w, val_bytes(v)).n)
        return of_text(w, at, v);
    return of_expr(w, doc_expr(w, at, v));
}

// A URI: an expression, a text with {names} of the input's top level members, or fixed.
struct flow_tmpl *doc_uri(struct doc_work *w, const struct doc_at *at, const struct val *v)
{
    struct flow_tmpl *t = doc_tmpl(w, at, v);
    struct bytes rest = val_bytes(v);
    if (!t || t->kind != FLOW_TMPL_VALUE || bytes_chr(rest, '{') < 0)
        return t;
    t->kind = FLOW_TMPL_URI;
    while ((void)bytes_cut(&rest, '{'), rest.p) {
        struct bytes name = bytes_cut(&rest, '}');
        if (!rest.p || !name.n || strchr("+#./;?&=,!@|", name.p[0]) || bytes_chr(name, ',') >= 0 ||
            bytes_chr(name, '*') >= 0 || bytes_chr(name, ':') >= 0)
            doc_find(w, at, false,
                     "{%.*s}: in addresses of workflows only {name} is known, without operators",
                     BYTES_FMT(bytes_first(name, 64)));
    }
    return t;
}

void doc_dur(struct doc_work *w, const struct doc_at *at, const struct val *v, struct flow_dur *ret)
{
    struct err e = {0};
    if (!v)
        return;
    ret->there = true;
    struct flow_tmpl *t = doc_tmpl(w, at, v);
    if (t && t->kind != FLOW_TMPL_VALUE)
        ret->tmpl = t;
    else if (t && flow_duration(v, &ret->fixed_ms, &e))
        doc_find(w, at, false, "%s", e.text);
}
