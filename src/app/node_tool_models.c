// node_tool_models.c: each model that chats as a tool: a question in, its answer out. Asked the way
// that call: model of a flow is. SPDX-License-Identifier: Apache-2.0
#include "app/node_flows_priv.h"
#include "app/node_tools_priv.h"
#include "base/alloc.h"
#include "base/time.h"
#include "mcp/mcp.h"
#include <stdio.h>
#include <string.h>

struct model_tool {
    char name[TOOL_NAME_MAX + 1], model[200], title[260];
    bool cloud;
};
struct model_tools {
    struct tools tools;
    struct node *node;
    struct model_tool *rows;
    size_t count;
    uint64_t seen; // what the rows were made of
    struct val *input;
    struct list calls;
};
struct model_call {
    struct act_req act;
    struct tool_req *req;
    struct model_tools *t;
    struct val *args;
    struct list link;
};

bool node_tool_name(char out[TOOL_NAME_MAX + 1], const char *prefix, struct bytes a, struct bytes b)
{
    int n = snprintf(out, TOOL_NAME_MAX + 1, "%s__%.*s%s%.*s", prefix, BYTES_FMT(a),
                     b.n ? "__" : "", BYTES_FMT(b));
    for (int i = 0; i < n && i < TOOL_NAME_MAX; i++) {
        char c = out[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!word && c != '_' && c != '-' && c != '.')
            out[i] = '_';
    }
    return n > 0 && n <= TOOL_NAME_MAX;
}

static const struct config_model *config_of(const struct node *n, const char *name)
{
    for (size_t i = 0; i < n->config->model_count; i++)
        if (strcmp(n->config->models[i].name, name) == 0)
            return &n->config->models[i];
    return NULL;
}

// Names and kinds as one number: the rows are made anew when it is another one.
static uint64_t look(const struct node *n)
{
    uint64_t h = 14695981039346656037u;
    for (struct model *m = models_each(n->models, NULL); m; m = models_each(n->models, m)) {
        struct model_view v;
        model_view(n->models, m, 0, &v);
        for (const char *c = v.name; *c; c++)
            h = (h ^ (unsigned char)*c) * 1099511628211u;
        for (const char *c = v.kind; c && *c; c++)
            h = (h ^ (unsigned char)*c) * 1099511628211u;
    }
    return h;
}

static void fill(struct model_tools *t)
{
    struct node *n = t->node;
    size_t room = 0;
    uint64_t seen = look(n);
    if (seen == t->seen && t->rows)
        return;
    for (struct model *m = models_each(n->models, NULL); m; m = models_each(n->models, m))
        room++;
    mem_free(t->rows);
    t->count = 0;
    t->rows = mem_alloc((room + 1) * sizeof *t->rows);
    for (struct model *m = models_each(n->models, NULL); t->rows && m;
         m = models_each(n->models, m)) {
        struct model_view v;
        struct model_tool *row = &t->rows[t->count];
        model_view(n->models, m, 0, &v);
        const struct config_model *c = config_of(n, v.name);
        if (!v.kind || strcmp(v.kind, "chat") != 0 || strlen(v.name) >= sizeof row->model ||
            !node_tool_name(row->name, "model", bytes_of(v.name), BYTES_NONE))
            continue;
        (void)snprintf(row->model, sizeof row->model, "%s", v.name);
        (void)snprintf(row->title, sizeof row->title, "Ask %s", v.name);
        row->cloud = v.remote || (c && c->tier && strcmp(c->tier, "cloud") == 0);
        t->count++;
    }
    t->tools.epoch += t->seen != 0;
    t->seen = seen;
}

static void about_of(const struct model_tools *t, const struct model_tool *row,
                     struct tool_about *ret)
{
    const struct config_model *c = config_of(t->node, row->model);
    *ret = (struct tool_about){
        .name = bytes_of(row->name),
        .title = bytes_of(row->title),
        .description = row->cloud ? BYTES("Asks this language model a question and gives its "
                                          "answer. It runs on machines of others.")
                                  : BYTES("Asks this language model a question and gives its "
                                          "answer. It runs on this machine or in its mesh."),
        .input = t->input,
        .source = BYTES("model"),
        .label = c && c->label ? bytes_of(c->label) : BYTES_NONE,
        .effects = row->cloud ? TOOL_NETWORK | TOOL_COSTS : 0,
        .granted = !row->cloud};
}

static void list(struct tools *tools, const struct tool_caller *c,
                 void (*each)(void *user, const struct tool_about *a), void *user)
{
    struct model_tools *t = container_of(tools, struct model_tools, tools);
    struct tool_about about;
    (void)c;
    fill(t);
    for (size_t i = 0; i < t->count; i++) {
        about_of(t, &t->rows[i], &about);
        each(user, &about);
    }
}

static const struct model_tool *row_of(struct model_tools *t, struct bytes name)
{
    fill(t);
    for (size_t i = 0; i < t->count; i++)
        if (bytes_is(name, t->rows[i].name))
            return &t->rows[i];
    return NULL;
}

static bool find(struct tools *tools, struct bytes name, struct tool_about *ret)
{
    struct model_tools *t = container_of(tools, struct model_tools, tools);
    const struct model_tool *row = row_of(t, name);
    if (row)
        about_of(t, row, ret);
    return row != NULL;
}

static void end(struct model_call *c)
{
    list_del(&c->link);
    val_unref(c->args);
    mem_free(c);
}

static void done(struct act_req *r, int status, struct val *output, struct val *problem, bool final)
{
    struct model_call *c = r->user;
    struct tool_req *req = c->req;
    struct err e = {0};
    struct val *said = val_get_cstr(output, "content");
    (void) final;
    if (status < 0)
        (void)err_set(&e, status, "%s",
                      val_text(val_get_cstr(problem, "detail"), err_info(status)->text));
    AUTO(val)
    content = status < 0 ? NULL : val_push(val_arr(), mcp_text_block(val_bytes(said)));
    struct tool_result res = {.content = content};
    end(c);
    req->done(req, status < 0 ? status : content ? 0 : E_NOMEM, &res, &e);
}

static void beat(struct act_req *r, struct val *detail)
{
    struct model_call *c = r->user;
    struct bytes text = val_bytes(val_get_cstr(detail, "text"));
    if (c->req->progress)
        c->req->progress(c->req, (double)text.n, 0, text);
}

// A key that is for some models only is held to that here, too.
static int may_use(const struct node *n, struct bytes as, const char *model, struct err *e)
{
    struct key *key = NULL;
    if (!as.n || as.p[0] == '@') // the owner, a node; a guest of the mesh may use each
        return 0;
    int rc = keys_as(n->keys, as, SCOPE_MODELS, time_wall_ms(), &key, e);
    return rc == 0 ? key_model(key, bytes_of(model), e) : rc;
}

static int start(struct tools *tools, const struct tool_args *a, struct tool_req *r, struct err *e)
{
    struct model_tools *t = container_of(tools, struct model_tools, tools);
    const struct model_tool *row = row_of(t, a->name);
    struct node_flows *f = t->node->flows;
    if (!row)
        return err_set(e, E_NOTFOUND, "there is no tool \"%.*s\"", BYTES_FMT(a->name));
    int may = may_use(t->node, a->caller.as, row->model, e);
    if (may < 0)
        return may;
    if (!f || !f->acts)
        return err_set(e, E_UNAVAILABLE, "the activities of flows are off (flows.engine: off)");
    struct model_call *c = mem_new(struct model_call);
    if (!c)
        return err_set(e, E_NOMEM, "out of memory");
    struct val *with =
        val_is(a->input, JSON_OBJ) ? val_ref((struct val *)(uintptr_t)a->input) : val_obj();
    c->args = val_put_cstr(with, "model", val_cstr(row->model));
    c->act = (struct act_req){.done = done, .beat = beat, .user = c};
    c->req = r;
    c->t = t;
    struct act_args args = {.kind = BYTES("model"),
                            .run = a->caller.who,
                            .task = a->name,
                            .key = a->key,
                            .attempt = 1,
                            .timeout_ms = a->timeout_ms,
                            .label = a->caller.label,
                            .args = c->args};
    list_add_tail(&t->calls, &c->link);
    int rc = c->args ? act_start(f->acts, &args, &c->act, e) : err_set(e, E_NOMEM, "out of memory");
    if (rc < 0)
        end(c);
    else
        r->priv = c;
    return rc;
}

static void cancel(struct tools *tools, struct tool_req *r)
{
    struct model_tools *t = container_of(tools, struct model_tools, tools);
    struct model_call *c = r->priv;
    act_cancel(t->node->flows->acts, &c->act);
}

static const struct tools_ops ops = {list, find, start, cancel};

static const char input[] =
    "{\"type\":\"object\",\"properties\":{"
    "\"prompt\":{\"type\":\"string\",\"description\":\"What is asked.\"},"
    "\"system\":{\"type\":\"string\",\"description\":\"How the model is to behave.\"},"
    "\"max_tokens\":{\"type\":\"integer\",\"minimum\":1,\"description\":\"Longest answer.\"},"
    "\"temperature\":{\"type\":\"number\",\"minimum\":0,\"maximum\":2}},"
    "\"required\":[\"prompt\"],\"additionalProperties\":false}";

int node_tool_models_new(struct node *n, struct tools **ret, struct err *e)
{
    struct model_tools *t = mem_new(struct model_tools);
    if (!t)
        return err_set(e, E_NOMEM, "out of memory");
    *t = (struct model_tools){.tools = {.ops = &ops}, .node = n};
    list_init(&t->calls);
    int rc = val_parse(&t->input, BYTES(input), e);
    if (rc < 0)
        mem_free(t);
    else
        *ret = &t->tools;
    return rc;
}

void node_tool_models_changed(struct tools *tools)
{
    if (tools)
        fill(container_of(tools, struct model_tools, tools));
}

void node_tool_models_free(struct tools *tools)
{
    struct model_tools *t = tools ? container_of(tools, struct model_tools, tools) : NULL;
    if (!t)
        return;
    while (!list_empty(&t->calls)) // acts has ended them all before, or never will
        end(container_of(t->calls.next, struct model_call, link));
    val_unref(t->input);
    mem_free(t->rows);
    mem_free(t);
}
