// step_expr.c: expressions and templates where a frame stands. Plain ones are run here; for the
// others an eval is asked for, and the phase is run again from its start when the result came.
// SPDX-License-Identifier: Apache-2.0
#include "flow/run_priv.h"
#include <assert.h>
#include <string.h>

#define VARS_MAX 64
#define VALUE_BYTES_MAX ((size_t)64 << 20)

// ---- variables ----

static struct val *time_descriptor(int64_t ms)
{
    char text[TIME_TEXT_LEN + 1];
    time_text(ms, text);
    struct val *epoch = val_put_cstr(val_obj(), "seconds", val_int(ms / 1000));
    epoch = val_put_cstr(epoch, "milliseconds", val_int(ms));
    struct val *v = val_put_cstr(val_obj(), "iso8601", val_cstr(text));
    return val_put_cstr(v, "epoch", epoch);
}

static struct val *workflow_var(struct flow_run *r)
{
    if (r->workflow)
        return val_ref(r->workflow);
    struct val *v = val_put_cstr(val_obj(), "id", val_ref(val_get_cstr(r->started, "run")));
    v = val_put_cstr(v, "definition", val_ref(r->plan->doc));
    v = val_put_cstr(v, "input", val_ref(r->raw_input));
    v = val_put_cstr(v, "startedAt", time_descriptor(r->started_ms));
    r->workflow = val_ref(v);
    return v;
}

static struct val *own_or_null(struct val *v)
{
    return v ? val_ref(v) : val_null();
}

// Inside an extension $task is the task that it extends, as the standard's examples have it; with
// the definition's members beside the descriptor's, for its `when`.
static struct val *task_var(const struct frame *f)
{
    const struct frame *at = f;
    while (at->extension && at->parent)
        at = at->parent;
    struct val *v = val_obj(), *item;
    struct bytes key;
    const struct flow_task *t = at->task;
    if (!t)
        return v;
    if (at != f || at->part != PART_BODY)
        for (size_t i = 0; val_is(t->def, JSON_OBJ) && val_each(t->def, &i, &key, &item);)
            v = val_put(v, key, val_ref(item));
    v = val_put_cstr(v, "name", val_cstr(t->name));
    v = val_put_cstr(v, "reference", val_cstr(t->pointer));
    v = val_put_cstr(v, "definition",
                     t->def ? val_ref((struct val *)(uintptr_t)t->def) : val_null());
    v = val_put_cstr(v, "input", at->raw ? val_ref(at->raw) : val_null());
    v = val_put_cstr(v, "output",
                     own_or_null(at->phase > PHASE_OUTPUT && at->got ? at->got : at->out));
    return val_put_cstr(v, "startedAt", time_descriptor(at->started_ms));
}

static struct val *runtime_var(void)
{
    struct val *v = val_put_cstr(val_obj(), "name", val_cstr("plexus"));
    v = val_put_cstr(v, "version", val_cstr(PLEXUS_VERSION));
    return val_put_cstr(v, "metadata", val_obj());
}

// The names that a frame gives to what is inside it: a loop to its item and index, a catch to its
// error.
static size_t names_of(const struct frame *f, struct bytes names[2])
{
    const struct flow_task *t = f->task;
    if (!t || f->part == PART_BEFORE || f->part == PART_AFTER)
        return 0;
    if (t->kind == FLOW_KIND_FOR) {
        names[0] = t->for_.each;
        names[1] = t->for_.at;
    } else if (t->kind == FLOW_KIND_LISTEN && t->listen.each) {
        names[0] = t->listen.item;
        names[1] = t->listen.at;
    } else if (t->kind == FLOW_KIND_CALL && t->call.each) {
        names[0] = t->call.each->item;
        names[1] = t->call.each->at;
    } else if (t->kind == FLOW_KIND_TRY) {
        names[0] = t->try_.as;
        return f->error ? 1 : 0;
    } else {
        return 0;
    }
    return f->item ? 2 : 0;
}

static struct val *frame_var(const struct frame *f, struct bytes name)
{
    struct bytes names[2];
    size_t count = names_of(f, names);
    if (count > 0 && bytes_eq(name, names[0]))
        return val_ref(count == 1 ? f->error : f->item);
    return count == 2 && bytes_eq(name, names[1]) ? val_int((int64_t)f->index) : NULL;
}

// A function does not see who calls it.
static bool closed(const struct frame *f)
{
    const struct frame *up = f->parent;
    return up && up->task && up->task->kind == FLOW_KIND_CALL && up->task->call.task &&
           up->part == PART_BODY;
}

// NULL: no such variable (or no memory: then the maker that takes it says so).
static struct val *variable(struct step *s, const struct place *p, struct bytes name)
{
    struct flow_run *r = s->r;
    assert(p->scope);
    if (p->value && bytes_eq(name, p->name))
        return val_ref(p->value);
    for (const struct frame *f = p->scope; f; f = closed(f) ? NULL : f->parent) {
        struct val *v = frame_var(f, name);
        if (v)
            return v;
    }
    if (bytes_is(name, "context"))
        return own_or_null(r->context);
    if (bytes_is(name, "input"))
        return own_or_null(p->scope->input ? p->scope->input : p->scope->raw);
    if (bytes_is(name, "output"))
        return own_or_null(p->output);
    if (bytes_is(name, "task"))
        return task_var(p->scope);
    if (bytes_is(name, "workflow"))
        return workflow_var(r);
    if (bytes_is(name, "runtime"))
        return runtime_var();
    return NULL;
}

// ---- one expression ----

static int bind(struct step *s, struct place *p, const struct jq *j, struct jq_var *vars,
                size_t *count)
{
    struct bytes name;
    for (size_t at = 0; jq_each_var(j, &at, &name);) {
        struct val *v = variable(s, p, name);
        if (!v) // jq's own error would name the place in the program only
            return flow_problem(s, PROBLEM_EXPRESSION, "$%.*s is not defined here",
                                BYTES_FMT(name));
        if (*count == VARS_MAX) {
            val_unref(v);
            return flow_problem(s, PROBLEM_EXPRESSION, "more than %d variables", VARS_MAX);
        }
        vars[(*count)++] = (struct jq_var){.name = name, .value = v};
    }
    return 0;
}

static int run_plain(struct step *s, struct place *p, const struct flow_expr *x, struct val **ret)
{
    struct jq_var vars[VARS_MAX];
    struct jq_args args = {.input = p->dot, .vars = vars, .now_ms = s->at_ms};
    struct err e = {0};
    AUTO(val) all = NULL;
    args.bytes_max = VALUE_BYTES_MAX;
    int rc = bind(s, p, x->plain, vars, &args.var_count);
    if (rc == 0)
        rc = jq_run(x->plain, &args, &all, &e);
    for (size_t i = 0; i < args.var_count; i++)
        val_unref(vars[i].value);
    if (rc == E_NOMEM || rc > 0)
        return rc;
    if (rc < 0)
        return flow_problem(s, PROBLEM_EXPRESSION, "%s", e.text);
    *ret = val_len(all) > 0 ? val_ref(val_at(all, 0)) : val_null();
    return *ret ? 0 : E_NOMEM;
}

// For libjq: all that the text may name.
static struct val *vars_for(struct step *s, struct place *p, struct bytes text)
{
    static const char *const known[] = {"context", "input",    "output",
                                        "task",    "workflow", "runtime"};
    char name[128];
    struct val *vars = val_obj();
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (jq_text_uses(text, known[i]))
            vars = val_put_cstr(vars, known[i], variable(s, p, bytes_of(known[i])));
    for (const struct frame *f = p->scope; f; f = closed(f) ? NULL : f->parent) {
        struct bytes names[2];
        size_t count = names_of(f, names);
        for (size_t i = 0; i < count; i++) {
            if (names[i].n >= sizeof name || val_get(vars, names[i]))
                continue;
            memcpy(name, names[i].p, names[i].n);
            name[names[i].n] = '\0';
            if (jq_text_uses(text, name))
                vars = val_put(vars, names[i], variable(s, p, names[i]));
        }
    }
    if (p->value)
        vars = val_put(vars, p->name, val_ref(p->value));
    return vars;
}

static int answered(struct step *s, const struct val *data, struct val **ret)
{
    struct val *error = val_get_cstr(data, "error"), *all = val_get_cstr(data, "out");
    if (error) {
        flow_set(&s->problem, val_ref(error));
        return TURN_RAISED;
    }
    *ret = val_len(all) > 0 ? val_ref(val_at(all, 0)) : val_null();
    return *ret ? 0 : E_NOMEM;
}

static int run_far(struct step *s, struct place *p, const struct flow_expr *x, struct val **ret)
{
    struct frame *f = p->f;
    uint32_t n = f->occurrence++;
    if (n < f->answer_count && f->answers[n].expr == x->index)
        return answered(s, f->answers[n].data, ret);
    if (n == f->answer_count && n < f->answer_room && f->answers[n].expr == x->index &&
        f->wait[ROLE_EVAL] > 0)
        return TURN_WAIT; // woken by something else
    while (f->answer_count > n) // something else than the last time: what comes after is stale
        val_unref(f->answers[--f->answer_count].data);
    struct answer *more = mem_realloc(f->answers, (n + 1) * sizeof *more);
    if (!more)
        return E_NOMEM;
    f->answers = more;
    f->answer_room = n + 1;
    f->answers[n] = (struct answer){.expr = x->index};
    struct val *data = val_put_cstr(val_obj(), "program", val_str(x->text));
    data = val_put_cstr(data, "input", own_or_null(p->dot));
    data = val_put_cstr(data, "vars", vars_for(s, p, x->text));
    data = val_put_cstr(data, "now", val_int(s->at_ms));
    int rc = flow_ask(s, f, ROLE_EVAL, FLOW_EVAL, data);
    return rc < 0 ? rc : TURN_WAIT;
}

int flow_depth(struct step *s, const struct val *v, const char *what)
{
    if (val_depth(v) <= FLOW_VALUE_DEPTH_MAX)
        return 0;
    return flow_problem(s, PROBLEM_EXPRESSION, "%s has more than %d levels of objects and arrays",
                        what, FLOW_VALUE_DEPTH_MAX);
}

// The value, unless it is too deep.
static int shallow(struct step *s, int rc, struct val **ret)
{
    if (rc == 0 && val_depth(*ret) > FLOW_VALUE_DEPTH_MAX) {
        rc = flow_depth(s, *ret, "the result of an expression");
        flow_set(ret, NULL);
    }
    return rc;
}

int flow_eval(struct step *s, struct place *p, const struct flow_expr *x, struct val **ret)
{
    if (x->secret)
        return flow_problem(
            s, PROBLEM_AUTHORIZATION,
            "$secrets and $authorization can be read in the arguments of an activity "
            "only: a function reads them itself, they cannot be handed over");
    int rc = x->plain ? run_plain(s, p, x, ret) : run_far(s, p, x, ret);
    return shallow(s, rc, ret);
}

int flow_test(struct step *s, struct place *p, const struct flow_expr *x, bool *ret)
{
    AUTO(val) v = NULL;
    int rc = flow_eval(s, p, x, &v);
    if (rc == 0)
        *ret = val_truthy(v);
    return rc;
}

// ---- templates ----

// "$late" in the arguments of an activity is ours alone: in data (an event, an answer, the input)
// it would make whoever does the work evaluate a stranger's program, with secrets in reach.
bool flow_reserved(const struct val *v)
{
    struct bytes key;
    struct val *item;
    if (!val_is(v, JSON_ARR) && !val_is(v, JSON_OBJ))
        return false;
    for (size_t at = 0; val_each(v, &at, &key, &item);)
        if (bytes_is(key, "$late") || flow_reserved(item))
            return true;
    return false;
}

int flow_unreserved(struct step *s, const struct val *v)
{
    return flow_reserved(v) ? flow_problem(s, PROBLEM_EXPRESSION,
                                           "the name \"$late\" is reserved in what an activity is "
                                           "given")
                            : 0;
}

// RFC 6570, simple string expansion: all but unreserved characters is escaped.
static void expand(struct buf *out, struct bytes text)
{
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
            (c && strchr("-._~", c)))
            (void)buf_chr(out, c);
        else
            (void)buf_fmt(out, "%%%02X", (unsigned)(unsigned char)c);
    }
}

static int fill_name(struct step *s, const struct val *input, struct bytes name, struct buf *out)
{
    struct val *v = val_get(input, name);
    if (val_is(v, JSON_ARR) || val_is(v, JSON_OBJ))
        return flow_problem(s, PROBLEM_EXPRESSION,
                            "{%.*s} in an address stands for text, a number, true or false, not "
                            "for an object or an array",
                            BYTES_FMT(name));
    if (val_is(v, JSON_STR))
        expand(out, val_bytes(v));
    else if (v && !val_is(v, JSON_NULL))
        (void)val_write(out, v);
    return 0;
}

static int fill_uri(struct step *s, struct place *p, const struct flow_tmpl *t, struct val **ret)
{
    struct bytes rest = val_bytes(t->value);
    struct buf out;
    int rc = 0;
    buf_init(&out, (size_t)1 << 20);
    while (rc == 0 && rest.n > 0) {
        ptrdiff_t open = bytes_chr(rest, '{');
        ptrdiff_t end = open < 0 ? -1 : bytes_chr(bytes_from(rest, (size_t)open), '}');
        if (end < 0) {
            (void)buf_put(&out, rest);
            break;
        }
        (void)buf_put(&out, bytes_first(rest, (size_t)open));
        rc = fill_name(s, p->dot, (struct bytes){rest.p + open + 1, (size_t)end - 1}, &out);
        rest = bytes_from(rest, (size_t)(open + end) + 1);
    }
    if (rc == 0 && out.failed == E_TOOBIG)
        rc = flow_problem(s, PROBLEM_EXPRESSION, "an address is longer than 1 MiB");
    else if (rc == 0 && out.failed)
        rc = out.failed;
    if (rc == 0) {
        *ret = val_str(buf_bytes(&out));
        rc = *ret ? 0 : E_NOMEM;
    }
    buf_fini(&out);
    return rc;
}

static int fill_expr(struct step *s, struct place *p, const struct flow_tmpl *t, bool late,
                     struct val **ret)
{
    if (t->secret && late) {
        struct val *v = val_put_cstr(val_obj(), "program", val_str(t->expr->text));
        v = val_put_cstr(v, "input", own_or_null(p->dot));
        v = val_put_cstr(v, "vars", vars_for(s, p, t->expr->text));
        *ret = val_put_cstr(val_obj(), "$late", v);
        return *ret ? 0 : E_NOMEM;
    }
    int rc = flow_eval(s, p, t->expr, ret);
    if (rc == TURN_RAISED && t->value) { // loose: what fails is a text
        *ret = val_ref(t->value);
        rc = 0;
    }
    if (rc == 0 && late) {
        rc = flow_unreserved(s, *ret);
        if (rc != 0)
            flow_set(ret, NULL);
    }
    return rc;
}

// As deep as the document is, which the plan limits.
static int fill(struct step *s, struct place *p, const struct flow_tmpl *t, bool late,
                struct val **ret)
{
    if (t->kind == FLOW_TMPL_EXPR)
        return fill_expr(s, p, t, late, ret);
    if (t->kind == FLOW_TMPL_URI)
        return fill_uri(s, p, t, ret);
    if (t->kind == FLOW_TMPL_VALUE) {
        int rc = late ? flow_unreserved(s, t->value) : 0;
        if (rc == 0)
            *ret = t->value ? val_ref(t->value) : val_null();
        return rc != 0 ? rc : *ret ? 0 : E_NOMEM;
    }
    AUTO(val) whole = t->kind == FLOW_TMPL_ARR ? val_arr() : val_obj();
    for (size_t i = 0; i < t->count; i++) {
        struct val *item = NULL;
        int rc = fill(s, p, t->items[i], late, &item);
        if (rc != 0)
            return rc;
        whole = t->kind == FLOW_TMPL_ARR ? val_push(whole, item) : val_put(whole, t->keys[i], item);
    }
    *ret = steal(&whole);
    return *ret ? 0 : E_NOMEM;
}

int flow_fill(struct step *s, struct place *p, const struct flow_tmpl *t, bool late,
              struct val **ret)
{
    return shallow(s, fill(s, p, t, late, ret), ret);
}

int flow_dur_ms(struct step *s, struct place *p, const struct flow_dur *d, int64_t *ret_ms)
{
    struct err e = {0};
    AUTO(val) v = NULL;
    if (!d->tmpl) {
        *ret_ms = d->fixed_ms;
        return 0;
    }
    int rc = flow_fill(s, p, d->tmpl, false, &v);
    if (rc != 0)
        return rc;
    rc = flow_duration(v, ret_ms, &e);
    if (rc < 0 && rc != E_NOMEM)
        return flow_problem(s, PROBLEM_EXPRESSION, "%s", e.text);
    return rc;
}

int flow_schema(struct step *s, const struct flow_io *io, const struct val *v, const char *what)
{
    struct schema_error why = {0};
    struct json_doc *doc = NULL;
    struct err e = {0};
    if (!io->schema.schema)
        return 0;
    int rc = val_to_json(&doc, v, &e);
    if (rc == 0)
        rc = schema_check(io->schema.schema, json_root(doc), &why);
    json_free(doc);
    if (rc == E_NOMEM || rc == 0)
        return rc;
    if (rc != E_SCHEMA)
        return flow_problem(s, PROBLEM_VALIDATION, "%s could not be checked: %s", what, e.text);
    return flow_problem(s, PROBLEM_VALIDATION, "%s does not fit its schema: %s%s%s", what,
                        why.instance, *why.instance ? ": " : "", why.message);
}
