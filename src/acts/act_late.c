// act_late.c: expressions that read $secrets or $authorization: they come unevaluated, so that no
// secret is ever in a history, and get their values here, right before the work.
// SPDX-License-Identifier: Apache-2.0
#include "acts/acts_priv.h"
#include "text/jq.h"

#include <string.h>

#define TEXT_MAX ((size_t)16 << 20)
#define NODES_MAX 1000

struct act_far { // a program that libjq runs; lives until its answer came
    struct expr_req req;
    struct act *act; // NULL: nobody waits any more
    struct buf program, input, vars;
};

struct act_late {
    struct val *tree;          // what is walked
    struct val *authorization; // or NULL: those that read it stay
    struct val *nodes;         // array of what stands in "$late"
    struct val *values;        // as many as have been evaluated
    struct act_far *far;
    void (*then)(struct act *a, struct val *takes_v);
};

bool act_late_is(const struct val *v)
{
    return val_is(v, JSON_OBJ) && val_len(v) == 1 && val_is(val_get_cstr(v, "$late"), JSON_OBJ);
}

bool act_late_has(const struct val *v)
{
    size_t at = 0;
    struct bytes key;
    struct val *item;
    if (act_late_is(v))
        return true;
    if (!val_is(v, JSON_ARR) && !val_is(v, JSON_OBJ))
        return false;
    while (val_each(v, &at, &key, &item))
        if (act_late_has(item))
            return true;
    return false;
}

static struct bytes program_of(const struct val *node)
{
    return val_bytes(val_get_cstr(node, "program"));
}

static bool waits(const struct act_late *l, const struct val *node)
{
    return !l->authorization && jq_text_uses(program_of(node), "authorization");
}

// ---- secrets -----------------------------------------------------------------------------------

static int hide_all(struct act *a, const struct val *v)
{
    size_t at = 0;
    struct bytes key;
    struct val *item;
    int rc = 0;
    if (val_is(v, JSON_STR))
        return act_hide(a, val_bytes(v));
    while (rc == 0 && (val_is(v, JSON_ARR) || val_is(v, JSON_OBJ)) && val_each(v, &at, &key, &item))
        rc = hide_all(a, item);
    return rc;
}

// Kept with the act, so that its strings are wiped at the end.
static int keep_fresh(struct act *a, struct val *takes_v)
{
    struct val *ref = val_ref(takes_v);
    struct val *list = val_push(a->fresh ? a->fresh : val_arr(), takes_v);
    a->fresh = list;
    return list && hide_all(a, ref) == 0 ? (val_unref(ref), 0) : (val_unref(ref), E_NOMEM);
}

// {"user":"..."} is an object, all else a text (without the newline that files end in).
static struct val *secret_value(struct bytes text)
{
    struct val *v = NULL;
    struct bytes trimmed = bytes_trim(text);
    if (trimmed.n && *trimmed.p == '{' && val_parse(&v, trimmed, NULL) == 0)
        return v;
    while (text.n && (text.p[text.n - 1] == '\n' || text.p[text.n - 1] == '\r'))
        text.n--;
    return val_str(text);
}

// Borrowed; it lives as long as the act.
static int secret_get(struct act *a, struct bytes name, struct val **ret)
{
    struct acts_args *args = &a->room->args;
    struct err e = {0};
    struct buf text;
    if ((*ret = val_get(a->known, name)) != NULL)
        return 0;
    buf_init(&text, (size_t)1 << 20);
    int rc = args->secret ? args->secret(args->user, name, &text, &e)
                          : err_set(&e, E_NOTFOUND, "this node has no secrets");
    struct val *v = rc == 0 ? secret_value(buf_bytes(&text)) : NULL;
    if (text.p)
        mem_wipe(text.p, text.n);
    buf_fini(&text);
    if (rc < 0) { // dsl.md, "Secret"
        act_fail(a, ACT_AUTHORIZATION, 0, true, "secret %.*s: %s", BYTES_FMT(name), e.text);
        return rc;
    }
    *ret = v;
    if (v)
        a->known = val_put(a->known ? a->known : val_obj(), name, val_ref(v));
    if (!v || keep_fresh(a, v) < 0 || !a->known)
        return act_nomem(a), E_NOMEM;
    return 0;
}

static bool word(char c)
{
    return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static struct bytes skip_space(struct bytes t)
{
    while (t.n && (*t.p == ' ' || *t.p == '\t' || *t.p == '\n' || *t.p == '\r'))
        t = bytes_from(t, 1);
    return t;
}

// What follows $secrets: .name, ."name" or ["name"]. BYTES_NONE: something else.
static struct bytes secret_name(struct bytes t)
{
    bool dot = false, bracket = false;
    t = skip_space(t);
    if (t.n && *t.p == '.') {
        dot = true;
        t = skip_space(bytes_from(t, 1));
    }
    if (t.n && *t.p == '[') {
        bracket = true;
        t = skip_space(bytes_from(t, 1));
    }
    if (t.n && *t.p == '\\') // inside another text's \( )
        t = bytes_from(t, 1);
    if ((dot || bracket) && t.n && *t.p == '"') {
        ptrdiff_t end = bytes_chr(bytes_from(t, 1), '"');
        return end < 0 ? BYTES_NONE : bytes_first(bytes_from(t, 1), (size_t)end);
    }
    size_t n = 0;
    while (dot && !bracket && n < t.n && word(t.p[n]))
        n++;
    return n ? bytes_first(t, n) : BYTES_NONE;
}

static int add_secret(struct act *a, struct bytes name, struct val **secrets)
{
    struct val *v = NULL;
    int rc = secret_get(a, name, &v);
    if (rc == 0)
        *secrets = val_put(*secrets, name, val_ref(v));
    return rc;
}

// $secrets as this program needs it: only those that it names.
static int secrets_for(struct act *a, const struct val *node, struct val **ret)
{
    struct bytes rest = program_of(node);
    const struct val *names = val_get_cstr(node, "secrets");
    struct val *secrets = val_obj();
    ptrdiff_t at;
    int rc = 0;
    while (rc == 0 && (at = bytes_find(rest, BYTES("$secrets"))) >= 0) {
        rest = bytes_from(rest, (size_t)at + 8);
        if (rest.n && word(*rest.p))
            continue; // $secrets_of_mine
        struct bytes name = secret_name(rest);
        if (name.p) {
            rc = add_secret(a, name, &secrets);
            continue;
        }
        if (!val_is(names, JSON_ARR)) {
            act_fail(a, ACT_EXPRESSION, 0, true,
                     "which secret? Write $secrets.NAME or $secrets[\"NAME\"]");
            rc = E_INVALID;
        }
        for (size_t i = 0; rc == 0 && i < val_len(names); i++)
            rc = add_secret(a, val_bytes(val_at(names, i)), &secrets);
    }
    if (rc == 0 && !secrets)
        act_nomem(a), rc = E_NOMEM;
    if (rc < 0)
        val_unref(secrets);
    else
        *ret = secrets;
    return rc;
}

// ---- evaluation --------------------------------------------------------------------------------

static struct val *vars_of(struct act_late *l, const struct val *node, struct val *takes_secrets)
{
    const struct val *given = val_get_cstr(node, "vars");
    struct val *vars = val_obj(), *v;
    struct bytes key;
    size_t at = 0;
    while (val_is(given, JSON_OBJ) && val_each(given, &at, &key, &v))
        vars = val_put(vars, key, val_ref(v));
    vars = val_put_cstr(vars, "secrets", takes_secrets);
    return val_put_cstr(vars, "authorization",
                        l->authorization ? val_ref(l->authorization) : val_null());
}

// Its own copy: what an expression gave may be a part of its input, which is not ours to wipe.
static int take_value(struct act *a, const struct val *v)
{
    struct act_late *l = a->late;
    struct val *copy = NULL;
    struct buf text;
    buf_init(&text, TEXT_MAX);
    (void)val_write(&text, v);
    int rc = text.failed ? text.failed : val_parse(&copy, buf_bytes(&text), NULL);
    if (text.p)
        mem_wipe(text.p, text.n);
    buf_fini(&text);
    if (rc < 0)
        return act_fail(a, ACT_EXPRESSION, 0, true, "an expression gave more than 16 MiB"), rc;
    l->values = val_push(l->values, val_ref(copy));
    if (keep_fresh(a, copy) < 0 || !l->values)
        return act_nomem(a), E_NOMEM;
    return 0;
}

static int run_plain(struct act *a, struct jq *p, const struct val *node, const struct val *vars)
{
    struct acts_args *args = &a->room->args;
    struct jq_var rows[32];
    struct err e = {0};
    AUTO(val) out = NULL;
    size_t n = 0, at = 0;
    while (n < 32 && val_each(vars, &at, &rows[n].name, &rows[n].value))
        n++;
    struct jq_args run = {.input = val_get_cstr(node, "input"),
                          .vars = rows,
                          .var_count = n,
                          .now_ms = args->wall_ms ? args->wall_ms(args->user) : 0};
    int rc = jq_run(p, &run, &out, &e);
    if (rc < 0)
        return act_fail(a, ACT_EXPRESSION, 0, true, "%s", e.text), rc;
    return take_value(a, val_at(out, 0));
}

static void go_on(struct act *a);

static void far_free(struct act_far *f)
{
    struct buf *const bufs[] = {&f->program, &f->input, &f->vars};
    for (size_t i = 0; i < 3; i++) {
        if (bufs[i]->p)
            mem_wipe(bufs[i]->p, bufs[i]->n);
        buf_fini(bufs[i]);
    }
    mem_free(f);
}

static void far_done(struct expr_req *req, int status, struct bytes result, const struct err *e)
{
    struct act_far *f = container_of(req, struct act_far, req);
    struct act *a = f->act;
    AUTO(val) out = NULL;
    if (a) {
        a->late->far = NULL;
        if (status < 0)
            act_fail(a, ACT_EXPRESSION, 0, status != E_TIMEOUT && status != E_UNAVAILABLE, "%s",
                     e && e->text[0] ? e->text : err_info(status)->text);
        else if (val_parse(&out, result, NULL) < 0 || !val_is(out, JSON_ARR))
            act_fail(a, ACT_EXPRESSION, 0, false, "the expression's answer is not JSON");
        else if (take_value(a, val_at(out, 0)) == 0)
            go_on(a);
    }
    far_free(f);
}

static void run_far(struct act *a, const struct val *node, const struct val *vars)
{
    struct acts_args *args = &a->room->args;
    struct err e = {0};
    struct act_far *f = mem_new(struct act_far);
    if (!f) {
        act_nomem(a);
        return;
    }
    buf_init(&f->program, TEXT_MAX);
    buf_init(&f->input, TEXT_MAX);
    buf_init(&f->vars, TEXT_MAX);
    (void)buf_put(&f->program, program_of(node));
    (void)val_write(&f->input, val_get_cstr(node, "input"));
    (void)val_write(&f->vars, vars);
    f->act = a;
    f->req.done = far_done;
    f->req.program = buf_bytes(&f->program);
    f->req.input = buf_bytes(&f->input);
    f->req.vars = buf_bytes(&f->vars);
    f->req.now_ms = args->wall_ms ? args->wall_ms(args->user) : 0;
    int rc = f->program.failed || f->input.failed || f->vars.failed
                 ? err_set(&e, E_TOOBIG, "what an expression reads has more than 16 MiB")
             : args->expr ? expr_run(args->expr, &f->req, &e)
                          : err_set(&e, E_UNAVAILABLE,
                                    "this node cannot run the expression: it "
                                    "needs libjq (apt-get install libjq1)");
    if (rc < 0) {
        act_fail(a, ACT_EXPRESSION, 0, rc != E_FULL, "%s", e.text);
        far_free(f);
    } else {
        a->late->far = f;
    }
}

// The next one. false: it is under way, or the act has ended.
static bool evaluate(struct act *a, const struct val *node)
{
    struct act_late *l = a->late;
    struct val *secrets = NULL;
    struct err e = {0};
    struct jq *p = NULL;
    if (secrets_for(a, node, &secrets) < 0)
        return false;
    AUTO(val) vars = vars_of(l, node, secrets);
    if (!vars) {
        act_nomem(a);
        return false;
    }
    int rc = jq_compile(&p, program_of(node), &e);
    if (rc == E_UNSUPPORTED)
        run_far(a, node, vars);
    else if (rc < 0)
        act_fail(a, ACT_EXPRESSION, 0, true, "%s", e.text);
    else
        rc = run_plain(a, p, node, vars);
    jq_free(p);
    return rc == 0;
}

// ---- the tree ----------------------------------------------------------------------------------

static void collect(struct act_late *l, struct val *v)
{
    size_t at = 0;
    struct bytes key;
    struct val *item;
    if (act_late_is(v)) {
        item = val_get_cstr(v, "$late");
        if (!waits(l, item))
            l->nodes = val_push(l->nodes, val_ref(item));
        return;
    }
    while ((val_is(v, JSON_ARR) || val_is(v, JSON_OBJ)) && val_each(v, &at, &key, &item))
        collect(l, item);
}

static struct val *rebuild(const struct act_late *l, struct val *v, size_t *used)
{
    size_t at = 0;
    struct bytes key;
    struct val *item, *whole;
    if (act_late_is(v))
        return val_ref(waits(l, val_get_cstr(v, "$late")) ? v : val_at(l->values, (*used)++));
    if (!act_late_has(v))
        return v ? val_ref(v) : val_null();
    bool array = val_is(v, JSON_ARR);
    whole = array ? val_arr() : val_obj();
    while (val_each(v, &at, &key, &item)) {
        struct val *made = rebuild(l, item, used);
        whole = array ? val_push(whole, made) : val_put(whole, key, made);
    }
    return whole;
}

static void late_free(struct act_late *l)
{
    if (l->far) {
        l->far->act = NULL; // it frees itself when its answer comes
        l->far = NULL;
    }
    val_unref(l->tree);
    val_unref(l->authorization);
    val_unref(l->nodes);
    val_unref(l->values);
    mem_free(l);
}

static void go_on(struct act *a)
{
    struct act_late *l = a->late;
    while (val_len(l->values) < val_len(l->nodes))
        if (!evaluate(a, val_at(l->nodes, val_len(l->values))))
            return;
    if (a->ended)
        return;
    size_t used = 0;
    struct val *whole = rebuild(l, l->tree, &used);
    void (*then)(struct act *a, struct val *takes_v) = l->then;
    a->late = NULL;
    late_free(l);
    if (!whole)
        act_nomem(a);
    else
        then(a, whole);
}

void act_late(struct act *a, const struct val *v, struct val *takes_authorization,
              void (*then)(struct act *a, struct val *takes_v))
{
    struct act_late *l = mem_new(struct act_late);
    if (!l) {
        val_unref(takes_authorization);
        act_nomem(a);
        return;
    }
    a->late = l;
    l->tree = val_ref((struct val *)(uintptr_t)v);
    l->authorization = takes_authorization;
    l->nodes = val_arr();
    l->values = val_arr();
    l->then = then;
    collect(l, l->tree);
    if (!l->nodes || !l->values)
        act_nomem(a);
    else if (val_len(l->nodes) > NODES_MAX)
        act_fail(a, ACT_EXPRESSION, 0, true, "more than %d expressions read secrets", NODES_MAX);
    else
        go_on(a);
}

void act_late_stop(struct act *a)
{
    struct act_late *l = a->late;
    if (!l)
        return;
    if (l->far) {
        struct act_far *f = l->far;
        f->act = NULL;
        l->far = NULL;
        expr_cancel(a->room->args.expr, &f->req);
    }
    a->late = NULL;
    late_free(l);
}
