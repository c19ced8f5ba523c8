// jq.c: programs of jq: compiled once, run many times.
// SPDX-License-Identifier: Apache-2.0
#include "text/jq.h"
#include "base/alloc.h"
#include "text/jq_priv.h"
#include <string.h>

#define PROGRAM_MAX ((size_t)64 * 1024)    // text of a program
#define TREE_MAX ((size_t)16 * 1024 * 1024) // memory of its tree

void jq_free(struct jq *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->lit_count; i++)
        val_unref(p->lits[i]);
    mem_free(p->lits);
    mem_free(p->vars);
    arena_free(p->arena);
    mem_free(p);
}

void jq_auto(struct jq **p)
{
    jq_free(*p);
}

int jq_compile(struct jq **ret, struct bytes text, struct err *e)
{
    if (text.n > PROGRAM_MAX)
        return err_set(e, E_PARSE, "jq: the program is longer than %zu bytes", PROGRAM_MAX);
    AUTO(jq) p = mem_new(struct jq);
    if (p)
        p->arena = arena_new(TREE_MAX);
    if (p && p->arena)
        p->text = arena_dup(p->arena, text);
    if (!p || !p->arena || (text.n && !p->text.p))
        return err_set(e, E_NOMEM, "no memory for a jq program");
    int rc = jq_parse_program(p, e);
    if (rc < 0)
        return rc;
    *ret = steal(&p);
    return 0;
}

struct bytes jq_text(const struct jq *p)
{
    return p->text;
}

int jq_check(struct bytes text, struct err *e)
{
    AUTO(jq) p = NULL;
    struct err inner = {0};
    int rc = jq_compile(&p, text, &inner);
    if (rc == 0 || rc == E_UNSUPPORTED)
        return 0;
    return err_set(e, rc, "%s", inner.text);
}

bool jq_each_var(const struct jq *p, size_t *at, struct bytes *ret_name)
{
    if (*at >= p->var_count)
        return false;
    *ret_name = p->vars[(*at)++];
    return true;
}

// ---- run ----

struct outputs {
    struct jq_run *x;
    struct val *arr;
    size_t max;
    bool only_first;
};

static int output(void *arg, struct val *value)
{
    struct outputs *o = arg;
    if (val_len(o->arr) == o->max) {
        val_unref(value);
        (void)jq_stop(o->x, E_TOOBIG);
        return o->x->flow;
    }
    o->arr = val_push(o->arr, value);
    if (!o->arr)
        (void)jq_stop(o->x, E_TOOBIG);
    return o->arr ? o->only_first ? jq_break_to(o->x, o) : 0 : o->x->flow;
}

// Numbers that JSON does not have become what jq writes for them. Takes v.
static struct val *made_finite(struct val *v)
{
    if (!v)
        return NULL;
    if (v->kind == JSON_NUM && v->sub) {
        struct val *n = val_num(val_d(v));
        val_unref(v);
        return n;
    }
    for (size_t i = 0; v && i < val_len(v); i++) {
        struct val *part = made_finite(val_keep(val_at(v, i)));
        if (part == val_at(v, i))
            val_unref(part);
        else if (v->kind == JSON_ARR)
            v = val_set_at(v, i, part);
        else
            v = val_put_key(v, val_keep(&val_as_obj(v)->members[i].key->v), part);
    }
    return v;
}

static int bind_globals(const struct jq *p, const struct jq_args *args, struct val **globals,
                        struct err *e)
{
    for (size_t i = 0; i < p->var_count; i++) {
        size_t k = 0;
        while (k < args->var_count && !bytes_eq(args->vars[k].name, p->vars[i]))
            k++;
        if (k == args->var_count)
            return err_set(e, E_INVALID, "jq: $%.*s is not defined", BYTES_FMT(p->vars[i]));
        globals[i] = args->vars[k].value ? args->vars[k].value : VAL_NULL;
    }
    return 0;
}

static int failure(struct jq_run *x, struct err *e)
{
    if (x->status != E_INVALID)
        return err_set(e, x->status,
                       x->status == E_NOMEM ? "no memory for a jq program's values"
                                            : "jq: the program does more than it may");
    struct buf text;
    buf_init(&text, 512);
    if (!val_is(x->error, JSON_STR))
        (void)val_write(&text, x->error);
    struct bytes message = val_is(x->error, JSON_STR) ? val_bytes(x->error) : buf_bytes(&text);
    int rc = err_set(e, E_INVALID, "jq: %s%.*s",
                     val_is(x->error, JSON_STR) ? "" : "error (not a string): ",
                     BYTES_FMT(bytes_first(message, 800)));
    buf_fini(&text);
    return rc;
}

#define GLOBALS_FEW 8

int jq_run(const struct jq *p, const struct jq_args *args, struct val **ret, struct err *e)
{
    struct val *few[GLOBALS_FEW];
    AUTO_MEM struct val **many = NULL;
    struct jq_run x = {
        .steps = args->steps_max ? args->steps_max : 1000000,
        .bytes = args->bytes_max ? args->bytes_max : (size_t)64 * 1024 * 1024,
        .now_ms = args->now_ms,
        .globals = few,
    };
    if (p->var_count > GLOBALS_FEW)
        // NOLINTNEXTLINE(clang-analyzer-deadcode.DeadStores): its cleanup reads it
        x.globals = many = mem_array(p->var_count, sizeof *many);
    struct outputs o = {&x, val_arr(), args->outputs_max ? args->outputs_max : 1, false};
    o.only_first = o.max == 1 && args->outputs_max == 0;
    if (!x.globals || !o.arr) {
        val_unref(o.arr);
        return err_set(e, E_NOMEM, "no memory for a jq program's values");
    }
    int rc = bind_globals(p, args, x.globals, e);
    if (rc == 0) {
        struct val *in = args->input ? val_keep(args->input) : val_null();
        (void)jq_many(&x, p->root, NULL, in, output, &o);
        (void)jq_broken_to(&x, &o);
        rc = x.flow == 0           ? 0
             : x.flow == JQ_BROKEN ? err_set(e, E_INVALID, "jq: break")
                                   : failure(&x, e);
    }
    if (rc == 0 && x.not_finite)
        o.arr = made_finite(o.arr);
    if (rc == 0 && !o.arr)
        rc = err_set(e, E_NOMEM, "no memory for a jq program's values");
    val_unref(x.error);
    if (rc == 0)
        *ret = o.arr;
    else
        val_unref(o.arr);
    return rc;
}
