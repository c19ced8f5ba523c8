// plan_graph.c: the tasks of a plan as a graph for people.
// SPDX-License-Identifier: Apache-2.0
#include "flow/plan_priv.h"

static const char *const kind_names[] = {
    [FLOW_KIND_CALL] = "call",     [FLOW_KIND_DO] = "do",     [FLOW_KIND_EMIT] = "emit",
    [FLOW_KIND_FOR] = "for",       [FLOW_KIND_FORK] = "fork", [FLOW_KIND_LISTEN] = "listen",
    [FLOW_KIND_RAISE] = "raise",   [FLOW_KIND_RUN] = "run",   [FLOW_KIND_SET] = "set",
    [FLOW_KIND_SWITCH] = "switch", [FLOW_KIND_TRY] = "try",   [FLOW_KIND_WAIT] = "wait",
};

const char *flow_kind_name(enum flow_kind k)
{
    return kind_names[k];
}

// Where a directive leads: a pointer, "exit" (out of the list) or "end".
static const char *target(const struct flow_task *t, const struct flow_go *go)
{
    switch (go->then) {
    case FLOW_THEN_TASK: return go->to->pointer;
    case FLOW_THEN_END: return "end";
    case FLOW_THEN_EXIT: return "exit";
    case FLOW_THEN_CONTINUE: break;
    }
    return t->in && t->place + 1 < t->in->count ? t->in->tasks[t->place + 1]->pointer : "exit";
}

static void put_switch(struct json_w *w, const struct flow_task *t)
{
    bool fallback = false;
    json_w_arr(w, "then");
    for (size_t i = 0; i < t->switch_.count; i++) {
        json_w_cstr(w, NULL, target(t, &t->switch_.cases[i].go));
        fallback = fallback || !t->switch_.cases[i].when;
    }
    if (!fallback)
        json_w_cstr(w, NULL, target(t, &t->go));
    json_w_end(w);
    json_w_arr(w, "case");
    for (size_t i = 0; i < t->switch_.count; i++)
        json_w_str(w, NULL, t->switch_.cases[i].name);
    if (!fallback)
        json_w_cstr(w, NULL, "else");
    json_w_end(w);
}

// Which part of its parent a list is: "try", "catch", "foreach", "do", "branches".
static const char *branch(const struct flow_task *t)
{
    const struct flow_task *up = t->parent;
    if (!up)
        return NULL;
    if (up->kind == FLOW_KIND_TRY)
        return t->in == &up->try_.handler ? "catch" : "try";
    if (up->kind == FLOW_KIND_FORK)
        return "branches";
    return up->kind == FLOW_KIND_LISTEN ? "foreach" : "do";
}

int flow_plan_graph(const struct flow_plan *p, struct buf *out)
{
    struct json_w w;
    json_w_init(&w, out);
    json_w_obj(&w, NULL);
    json_w_arr(&w, "tasks");
    for (size_t i = 0; i < p->task_count; i++) {
        const struct flow_task *t = p->tasks[i];
        json_w_obj(&w, NULL);
        json_w_cstr(&w, "pointer", t->pointer);
        json_w_cstr(&w, "name", t->name);
        json_w_cstr(&w, "kind", kind_names[t->kind]);
        if (t->kind == FLOW_KIND_CALL)
            json_w_cstr(&w, "call", t->call.function);
        if (t->kind == FLOW_KIND_RUN)
            json_w_cstr(&w, "run", t->run.what);
        json_w_u64(&w, "line", t->line);
        json_w_cstr(&w, "parent", t->parent ? t->parent->pointer : NULL);
        json_w_cstr(&w, "branch", branch(t));
        if (t->kind == FLOW_KIND_SWITCH) {
            put_switch(&w, t);
        } else {
            json_w_arr(&w, "then");
            json_w_cstr(&w, NULL, target(t, &t->go));
            json_w_end(&w);
        }
        json_w_end(&w);
    }
    json_w_end(&w);
    json_w_end(&w);
    return out->failed;
}
