// doc_task.c: tasks of every kind, and the lists that hold them.
// SPDX-License-Identifier: Apache-2.0
#include "flow/doc_priv.h"
#include <stdio.h>
#include <string.h>

#define TASK_DEPTH_MAX 100

struct flow_task *doc_task_new(struct doc_work *w, const struct doc_at *at, struct bytes name)
{
    struct flow_plan *p = w->plan;
    struct flow_task *t = doc_alloc(w, sizeof *t);
    if (!t)
        return NULL;
    if (p->task_count == FLOW_TASKS_MAX) {
        doc_too_many(w, "a workflow has at most 10,000 tasks: begin others by run: workflow");
        return NULL;
    }
    if (p->task_count == p->task_cap) {
        size_t cap = p->task_cap ? p->task_cap * 2 : 32;
        struct flow_task **more = mem_realloc(p->tasks, cap * sizeof(struct flow_task *));
        if (!more) {
            w->failed = E_NOMEM;
            return NULL;
        }
        p->tasks = more;
        p->task_cap = cap;
    }
    t->name = arena_str(w->arena, name);
    t->pointer = doc_pointer_in(w, at);
    if (!t->name || !t->pointer || map_put(p->by_pointer, bytes_of(t->pointer), t, NULL)) {
        w->failed = w->failed ? w->failed : E_NOMEM;
        return NULL;
    }
    t->line = w->yaml && !w->foreign ? yaml_where(w->yaml, bytes_of(t->pointer), true).line : 0;
    t->index = (uint32_t)p->task_count;
    p->tasks[p->task_count++] = t;
    return t;
}

// ---- flow directives ----------------------------------------------------------------------------

static void go(struct doc_work *w, const struct doc_at *at, const struct val *v,
               const struct map *names, struct flow_go *ret)
{
    struct bytes to = val_bytes(v);
    if (!v || bytes_is(to, "continue"))
        return;
    if (bytes_is(to, "exit"))
        ret->then = FLOW_THEN_EXIT;
    else if (bytes_is(to, "end"))
        ret->then = FLOW_THEN_END;
    else if ((ret->to = map_get(names, to)))
        ret->then = FLOW_THEN_TASK;
    else
        doc_find(w, at, false,
                 "no task \"%.*s\" in this list: `then` is continue, exit, end, or the name of a "
                 "task beside this one",
                 BYTES_FMT(bytes_first(to, 128)));
}

static void directives(struct doc_work *w, const struct doc_at *at, struct flow_list *list,
                       const struct map *names)
{
    for (size_t i = 0; i < list->count; i++) {
        struct flow_task *t = list->tasks[i];
        const struct doc_at *here = DOC_NAME(DOC_ITEM(at, t->place), bytes_of(t->name));
        const struct val *cases = val_get_cstr(t->def, "switch");
        w->task = t->name;
        go(w, DOC_KEY(here, "then"), val_get_cstr(t->def, "then"), names, &t->go);
        for (size_t c = 0; t->kind == FLOW_KIND_SWITCH && c < t->switch_.count; c++) {
            const struct val *item = val_get(val_at(cases, c), t->switch_.cases[c].name);
            const struct doc_at *of =
                DOC_NAME(DOC_ITEM(DOC_KEY(here, "switch"), c), t->switch_.cases[c].name);
            go(w, DOC_KEY(of, "then"), val_get_cstr(item, "then"), names, &t->switch_.cases[c].go);
        }
    }
}

static void one_of_list(struct doc_work *w, const struct doc_at *at, const struct val *item,
                        struct flow_task *parent, struct flow_list *list, struct map *names)
{
    size_t i = 0, vars = w->var_count;
    struct bytes name = BYTES_NONE;
    struct val *def = NULL;
    if (!val_each(item, &i, &name, &def) || !name.p)
        return;
    const struct doc_at *here = DOC_NAME(at, name);
    struct flow_task *t = doc_task_new(w, here, name);
    if (!t)
        return;
    t->parent = parent;
    t->in = list;
    t->place = (uint32_t)at->index;
    if (map_get(names, name))
        doc_find(w, here, true, "a second task \"%.*s\" in this list: give it another name",
                 BYTES_FMT(bytes_first(name, 128)));
    else if (map_put(names, name, t, NULL))
        w->failed = E_NOMEM;
    list->tasks[list->count++] = t;
    doc_task(w, here, t, def);
    w->var_count = vars;
}

void doc_list(struct doc_work *w, const struct doc_at *at, const struct val *list,
              struct flow_task *parent, struct flow_list *ret)
{
    if (!val_is(list, JSON_ARR) || !val_len(list) || w->failed)
        return;
    AUTO(map) names = map_new(FLOW_TASKS_MAX + 1);
    const char *around = w->task;
    ret->tasks = doc_alloc(w, val_len(list) * sizeof(struct flow_task *));
    if (!names)
        w->failed = E_NOMEM;
    else if (w->depth == TASK_DEPTH_MAX)
        doc_too_many(w, "tasks stand at most 100 lists deep in each other");
    w->depth++;
    for (size_t i = 0; i < val_len(list) && !w->failed; i++)
        one_of_list(w, DOC_ITEM(at, i), val_at(list, i), parent, ret, names);
    w->depth--;
    if (!w->failed)
        directives(w, at, ret, names);
    w->task = around;
}

static struct bytes name_or(const struct val *v, const char *fallback)
{
    return val_is(v, JSON_STR) && val_bytes(v).n ? val_bytes(v) : bytes_of(fallback);
}

// For each message of a subscription: names of variables, tasks.
static void iterator(struct doc_work *w, const struct doc_at *at, const struct val *v,
                     struct flow_task *t, struct bytes *item, struct bytes *index,
                     struct flow_list *list)
{
    *item = name_or(val_get_cstr(v, "item"), "item");
    *index = name_or(val_get_cstr(v, "at"), "index");
    doc_var_push(w, DOC_KEY(at, "item"), *item);
    doc_var_push(w, DOC_KEY(at, "at"), *index);
    doc_list(w, DOC_KEY(at, "do"), val_get_cstr(v, "do"), t, list);
}

// ---- kinds --------------------------------------------------------------------------------------

static const char *const builtin[] = {"http", "openapi", "grpc", "asyncapi", "a2a",
                                      "mcp",  "model",   "tool", "agent"};

// What is done with each message that an asyncapi call receives.
static void subscription(struct doc_work *w, const struct doc_at *at, const struct val *with,
                         struct flow_task *t)
{
    const struct val *each = val_get_cstr(val_get_cstr(with, "subscription"), "foreach");
    const struct doc_at *here = DOC_KEY(DOC_KEY(at, "subscription"), "foreach");
    if (!each || !bytes_is(bytes_of(t->call.function), "asyncapi"))
        return;
    t->call.each = doc_alloc(w, sizeof *t->call.each);
    if (!t->call.each)
        return;
    iterator(w, here, each, t, &t->call.each->item, &t->call.each->at, &t->call.each->list);
    doc_io(w, DOC_KEY(here, "output"), val_get_cstr(each, "output"), "as", &t->call.each->output);
    doc_io(w, DOC_KEY(here, "export"), val_get_cstr(each, "export"), "as", &t->call.each->export);
}

static void of_call(struct doc_work *w, const struct doc_at *at, struct flow_task *t,
                    const struct val *def)
{
    struct bytes name = val_bytes(val_get_cstr(def, "call"));
    const struct val *with = val_get_cstr(def, "with");
    t->call.function = name.p ? name.p : "";
    for (size_t i = 0; i < sizeof builtin / sizeof builtin[0]; i++)
        if (bytes_is(name, builtin[i])) {
            t->call.with = doc_with(w, DOC_KEY(at, "with"), builtin[i], with);
            subscription(w, DOC_KEY(at, "with"), with, t);
            if (i == 4 && !val_get_cstr(with, "agentCard") && !val_get_cstr(with, "server"))
                doc_find(w, DOC_KEY(at, "with"), false, "a2a needs an agentCard or a server");
            return;
        }
    t->call.task = doc_function(w, DOC_KEY(at, "call"), name);
    t->call.with = doc_with(w, DOC_KEY(at, "with"), "", with);
}

static void of_do(struct doc_work *w, const struct doc_at *at, struct flow_task *t,
                  const struct val *def)
{
    doc_list(w, DOC_KEY(at, "do"), val_get_cstr(def, "do"), t, &t->do_.list);
}

static void of_emit(struct doc_work *w, const struct doc_at *at, struct flow_task *t,
                    const struct val *def)
{
    const struct doc_at *with = DOC_KEY(DOC_KEY(DOC_KEY(at, "emit"), "event"), "with");
    const struct val *event = val_get_cstr(val_get_cstr(def, "emit"), "event");
    t->emit.event = doc_tmpl(w, with, val_get_cstr(event, "with"));
    if (!val_get_cstr(event, "with"))
        doc_find(w, DOC_KEY(DOC_KEY(at, "emit"), "event"), true,
                 "an event needs `with`: its source and type at least");
}

static void of_for(struct doc_work *w, const struct doc_at *at, struct flow_task *t,
                   const struct val *def)
{
    const struct val *loop = val_get_cstr(def, "for");
    t->for_.each = name_or(val_get_cstr(loop, "each"), "item");
    t->for_.at = name_or(val_get_cstr(loop, "at"), "index");
    t->for_.in = doc_expr(w, DOC_KEY(DOC_KEY(at, "for"), "in"), val_get_cstr(loop, "in"));
    doc_var_push(w, DOC_KEY(DOC_KEY(at, "for"), "each"), t->for_.each);
    doc_var_push(w, DOC_KEY(DOC_KEY(at, "for"), "at"), t->for_.at);
    t->for_.while_ = doc_expr(w, DOC_KEY(at, "while"), val_get_cstr(def, "while"));
    doc_list(w, DOC_KEY(at, "do"), val_get_cstr(def, "do"), t, &t->for_.list);
}

static void of_fork(struct doc_work *w, const struct doc_at *at, struct flow_task *t,
                    const struct val *def)
{
    const struct val *fork = val_get_cstr(def, "fork");
    t->fork.compete = val_bool_of(val_get_cstr(fork, "compete"), false);
    doc_list(w, DOC_KEY(DOC_KEY(at, "fork"), "branches"), val_get_cstr(fork, "branches"), t,
             &t->fork.branches);
}

static void of_listen(struct doc_work *w, const struct doc_at *at, struct flow_task *t,
                      const struct val *def)
{
    const struct val *listen = val_get_cstr(def, "listen"), *each = val_get_cstr(def, "foreach");
    struct bytes read = val_bytes(val_get_cstr(listen, "read"));
    t->listen.read = bytes_is(read, "envelope") ? FLOW_READ_ENVELOPE
                     : bytes_is(read, "raw")    ? FLOW_READ_RAW
                                                : FLOW_READ_DATA;
    t->listen.to = doc_consume(w, DOC_KEY(DOC_KEY(at, "listen"), "to"), val_get_cstr(listen, "to"));
    t->listen.each = each != NULL;
    iterator(w, DOC_KEY(at, "foreach"), each, t, &t->listen.item, &t->listen.at, &t->listen.list);
    doc_io(w, DOC_KEY(DOC_KEY(at, "foreach"), "output"), val_get_cstr(each, "output"), "as",
           &t->listen.output);
    doc_io(w, DOC_KEY(DOC_KEY(at, "foreach"), "export"), val_get_cstr(each, "export"), "as",
           &t->listen.export);
}

static void of_raise(struct doc_work *w, const struct doc_at *at, struct flow_task *t,
                     const struct val *def)
{
    const struct doc_at *here = DOC_KEY(DOC_KEY(at, "raise"), "error");
    const struct val *error = val_get_cstr(val_get_cstr(def, "raise"), "error");
    const struct doc_at *of = DOC_USED("errors", val_bytes(error));
    if (val_is(error, JSON_STR)) {
        error = doc_use(w, here, "errors", "error", val_bytes(error));
        here = of;
    }
    if (error)
        t->raise.error = doc_tmpl(w, here, error);
}

static void language(struct doc_work *w, const struct doc_at *at, const struct val *script)
{
    static const char *const known[] = {"js", "javascript", "python"};
    struct bytes name = val_bytes(val_get_cstr(script, "language"));
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (bytes_iis(name, known[i]))
            return;
    doc_find(w, DOC_KEY(at, "language"), false,
             "scripts are in js (javascript) or python, not \"%.*s\": run others in a container or "
             "by a shell command",
             BYTES_FMT(bytes_first(name, 64)));
}

static void of_run(struct doc_work *w, const struct doc_at *at, struct flow_task *t,
                   const struct val *def)
{
    static const char *const whats[] = {"container", "script", "shell", "workflow"};
    const struct val *run = val_get_cstr(def, "run");
    t->run.what = "shell";
    t->run.await = val_bool_of(val_get_cstr(run, "await"), true);
    t->run.ret = val_text(val_get_cstr(run, "return"), "stdout");
    for (size_t i = 0; i < sizeof whats / sizeof whats[0]; i++) {
        const struct val *args = val_get_cstr(run, whats[i]);
        if (!args)
            continue;
        t->run.what = whats[i];
        if (i == 1)
            language(w, DOC_KEY(DOC_KEY(at, "run"), whats[i]), args);
        t->run.args = doc_with(w, DOC_KEY(DOC_KEY(at, "run"), whats[i]), whats[i], args);
    }
}

static void of_set(struct doc_work *w, const struct doc_at *at, struct flow_task *t,
                   const struct val *def)
{
    t->set.tmpl = doc_as(w, DOC_KEY(at, "set"), val_get_cstr(def, "set"));
}

static void of_switch(struct doc_work *w, const struct doc_at *at, struct flow_task *t,
                      const struct val *def)
{
    const struct val *cases = val_get_cstr(def, "switch");
    bool fallback = false;
    t->switch_.cases = doc_alloc(w, (val_len(cases) + 1) * sizeof *t->switch_.cases);
    for (size_t i = 0; t->switch_.cases && i < val_len(cases); i++) {
        size_t first = 0;
        struct flow_case *c = &t->switch_.cases[t->switch_.count++];
        struct val *item = NULL;
        (void)val_each(val_at(cases, i), &first, &c->name, &item);
        const struct doc_at *here = DOC_NAME(DOC_ITEM(DOC_KEY(at, "switch"), i), c->name);
        const struct val *when = val_get_cstr(item, "when");
        c->when = doc_expr(w, DOC_KEY(here, "when"), when);
        if (!when && fallback)
            doc_find(w, here, true, "a second case without `when`: only one can be the default");
        fallback = fallback || !when;
    }
}

static void of_try(struct doc_work *w, const struct doc_at *at, struct flow_task *t,
                   const struct val *def)
{
    const struct doc_at *here = DOC_KEY(at, "catch");
    const struct val *catch = val_get_cstr(def, "catch"), *with;
    doc_list(w, DOC_KEY(at, "try"), val_get_cstr(def, "try"), t, &t->try_.list);
    t->try_.as = name_or(val_get_cstr(catch, "as"), "error");
    doc_var_push(w, DOC_KEY(here, "as"), t->try_.as);
    with = val_get_cstr(val_get_cstr(catch, "errors"), "with");
    if (with)
        t->try_.errors = doc_tmpl(w, DOC_KEY(DOC_KEY(here, "errors"), "with"), with);
    t->try_.when = doc_expr(w, DOC_KEY(here, "when"), val_get_cstr(catch, "when"));
    t->try_.except_when =
        doc_expr(w, DOC_KEY(here, "exceptWhen"), val_get_cstr(catch, "exceptWhen"));
    t->try_.retry = doc_retry(w, DOC_KEY(here, "retry"), val_get_cstr(catch, "retry"));
    doc_list(w, DOC_KEY(here, "do"), val_get_cstr(catch, "do"), t, &t->try_.handler);
}

static void of_wait(struct doc_work *w, const struct doc_at *at, struct flow_task *t,
                    const struct val *def)
{
    doc_dur(w, DOC_KEY(at, "wait"), val_get_cstr(def, "wait"), &t->wait.dur);
}

// `for` before `do`: a for task has both.
static const struct {
    const char *key;
    enum flow_kind kind;
    void (*compile)(struct doc_work *w, const struct doc_at *at, struct flow_task *t,
                    const struct val *def);
} kinds[] = {
    {"call", FLOW_KIND_CALL, of_call},    {"for", FLOW_KIND_FOR, of_for},
    {"do", FLOW_KIND_DO, of_do},          {"emit", FLOW_KIND_EMIT, of_emit},
    {"fork", FLOW_KIND_FORK, of_fork},    {"listen", FLOW_KIND_LISTEN, of_listen},
    {"raise", FLOW_KIND_RAISE, of_raise}, {"run", FLOW_KIND_RUN, of_run},
    {"set", FLOW_KIND_SET, of_set},       {"switch", FLOW_KIND_SWITCH, of_switch},
    {"try", FLOW_KIND_TRY, of_try},       {"wait", FLOW_KIND_WAIT, of_wait},
};

void doc_task(struct doc_work *w, const struct doc_at *at, struct flow_task *t,
              const struct val *def)
{
    size_t vars = w->var_count;
    w->task = t->name;
    t->def = def;
    t->metadata = val_get_cstr(def, "metadata");
    t->when = doc_expr(w, DOC_KEY(at, "if"), val_get_cstr(def, "if"));
    doc_io(w, DOC_KEY(at, "input"), val_get_cstr(def, "input"), "from", &t->input);
    doc_timeout(w, DOC_KEY(at, "timeout"), val_get_cstr(def, "timeout"), &t->timeout);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (!val_get_cstr(def, kinds[i].key))
            continue;
        t->kind = kinds[i].kind;
        kinds[i].compile(w, at, t, def);
        break;
    }
    w->var_count = vars;
    w->task = t->name;
    doc_io(w, DOC_KEY(at, "output"), val_get_cstr(def, "output"), "as", &t->output);
    doc_io(w, DOC_KEY(at, "export"), val_get_cstr(def, "export"), "as", &t->export);
}
