// node_tool_flows.c: registered documents as tools: the newest version of each is run, and its
// output is the answer. SPDX-License-Identifier: Apache-2.0
#include "app/node_flows_priv.h"
#include "app/node_tools_priv.h"
#include "base/alloc.h"
#include "mcp/mcp.h"
#include <stdio.h>
#include <string.h>

struct flow_tool {
    char name[TOOL_NAME_MAX + 1];
    const struct val *doc; // of the list: namespace, name, version, title, summary, input
    const struct val *input;
};
struct flow_tools {
    struct tools tools;
    struct node *node;
    struct val *docs, *any; // any: the schema of what says nothing of its input
    struct flow_tool *rows;
    size_t count;
    struct runs_req req;
    bool asking, again;
    struct list calls;
};
struct flow_call {
    struct runs_req run;
    struct tool_req *req;
    struct list link;
    bool left; // the caller has cancelled
    char id[CTL_FLOW_ID_MAX + 1]; // of the run, from the call's key; or ""
};

static struct bytes word(const struct val *v, const char *key)
{
    return val_bytes(val_get_cstr(v, key));
}

// ---- the list -----------------------------------------------------------------------------------

static struct flow_tool *same(struct flow_tools *t, const struct val *doc)
{
    for (size_t i = 0; i < t->count; i++)
        if (bytes_eq(word(t->rows[i].doc, "name"), word(doc, "name")) &&
            bytes_eq(word(t->rows[i].doc, "namespace"), word(doc, "namespace")))
            return &t->rows[i];
    return NULL;
}

static void take(struct flow_tools *t, struct val *takes_docs)
{
    size_t n = val_len(takes_docs);
    struct flow_tool *rows = mem_alloc((n + 1) * sizeof *rows);
    if (!rows) {
        val_unref(takes_docs);
        return;
    }
    mem_free(t->rows);
    t->rows = rows;
    t->count = 0;
    for (size_t i = 0; i < n; i++) {
        const struct val *doc = val_at(takes_docs, i), *input = val_get_cstr(doc, "input");
        struct flow_tool *row = same(t, doc);
        bool fresh = !row;
        if (row && flow_version_cmp(word(doc, "version"), word(row->doc, "version")) <= 0)
            continue;
        row = row ? row : &t->rows[t->count];
        bool usual = bytes_is(word(doc, "namespace"), "default");
        if (!node_tool_name(row->name, "flow", word(doc, usual ? "name" : "namespace"),
                            usual ? BYTES_NONE : word(doc, "name")))
            continue;
        row->doc = doc;
        // An MCP tool takes an object: other inputs are not offered their schema.
        row->input = bytes_is(word(input, "type"), "object") ? input : t->any;
        t->count += fresh;
    }
    val_unref(t->docs);
    t->docs = takes_docs;
    t->tools.epoch++;
}

static void ask(struct flow_tools *t);

static void listed(struct runs_req *r, int status, struct bytes json, const struct err *e)
{
    struct flow_tools *t = r->user;
    AUTO(val) v = NULL;
    (void)e;
    t->asking = false;
    if (status >= 0 && val_parse(&v, json, NULL) == 0 && val_get_cstr(v, "documents"))
        take(t, val_ref(val_get_cstr(v, "documents")));
    if (t->again)
        ask(t);
}

static void ask(struct flow_tools *t)
{
    struct node_flows *f = t->node->flows;
    struct buf json;
    t->again = t->asking;
    if (t->asking || !f || f->closing)
        return;
    if (node_temporal_of(f)) {
        AUTO(val) v = NULL;
        buf_init(&json, 8u << 20);
        if (node_flow_documents(t->node, &json) == 0 && val_parse(&v, buf_bytes(&json), NULL) == 0)
            take(t, val_ref(val_get_cstr(v, "documents")));
        buf_fini(&json);
    } else if (f->runs) {
        t->asking = true;
        t->req = (struct runs_req){.done = listed, .user = t};
        runs_documents(f->runs, &t->req);
    }
}

static void about_of(const struct flow_tool *row, struct tool_about *ret)
{
    struct bytes title = word(row->doc, "title"), summary = word(row->doc, "summary");
    *ret = (struct tool_about){
        .name = bytes_of(row->name),
        .title = title.n ? title : word(row->doc, "name"),
        .description = summary.n ? summary
                       : title.n ? title
                                 : BYTES("A durable workflow; its output is the answer."),
        .input = row->input,
        .source = BYTES("flow"),
        .effects = TOOL_READS | TOOL_WRITES | TOOL_NETWORK | TOOL_RUNS | TOOL_COSTS};
}

static void list(struct tools *tools, const struct tool_caller *c,
                 void (*each)(void *user, const struct tool_about *a), void *user)
{
    struct flow_tools *t = container_of(tools, struct flow_tools, tools);
    struct tool_about about;
    (void)c;
    for (size_t i = 0; i < t->count; i++) {
        about_of(&t->rows[i], &about);
        each(user, &about);
    }
}

static const struct flow_tool *row_of(const struct flow_tools *t, struct bytes name)
{
    for (size_t i = 0; i < t->count; i++)
        if (bytes_is(name, t->rows[i].name))
            return &t->rows[i];
    return NULL;
}

static bool find(struct tools *tools, struct bytes name, struct tool_about *ret)
{
    const struct flow_tool *row = row_of(container_of(tools, struct flow_tools, tools), name);
    if (row)
        about_of(row, ret);
    return row != NULL;
}

// ---- calls --------------------------------------------------------------------------------------

// The output as text, and as it is when it is an object.
static int result_of(struct val *answer, struct tool_result *ret)
{
    struct val *error = val_get_cstr(answer, "error"), *output = val_get_cstr(answer, "output");
    struct val *said = error ? error : output;
    struct buf text;
    buf_init(&text, MAX_ALLOCATION_BYTES);
    int rc = val_is(said, JSON_STR) ? buf_put(&text, val_bytes(said)) : val_write(&text, said);
    ret->content = val_push(val_arr(), rc < 0 ? NULL : mcp_text_block(buf_bytes(&text)));
    buf_fini(&text);
    ret->structured = !error && val_is(output, JSON_OBJ) ? output : NULL;
    ret->is_error = error != NULL;
    return rc < 0 ? rc : ret->content ? 0 : E_NOMEM;
}

static void ended(struct runs_req *r, int status, struct bytes json, const struct err *e)
{
    struct flow_call *c = r->user;
    struct tool_req *req = c->req;
    struct tool_result res = {0};
    struct err why = {0};
    AUTO(val) v = NULL;
    bool left = c->left;
    list_del(&c->link);
    mem_free(c);
    if (status < 0)
        (void)err_set(&why, status, "%s", e && e->n ? e->text : err_info(status)->text);
    else if ((status = val_parse(&v, json, &why)) == 0 && (status = result_of(v, &res)) < 0)
        (void)err_set(&why, status, "the flow's output is too large for an answer");
    if (left)
        status = err_set(&why, E_CANCELLED, "cancelled; the flow itself goes on");
    req->done(req, status < 0 ? status : 0, &res, &why);
    val_unref(res.content);
}

static int start(struct tools *tools, const struct tool_args *a, struct tool_req *r, struct err *e)
{
    struct flow_tools *t = container_of(tools, struct flow_tools, tools);
    const struct flow_tool *row = row_of(t, a->name);
    struct node_flows *f = t->node->flows;
    if (!row)
        return err_set(e, E_NOTFOUND, "there is no tool \"%.*s\"", BYTES_FMT(a->name));
    if (!f || f->closing || (!f->runs && !f->temporal))
        return err_set(e, E_UNAVAILABLE, "flows are off (flows.engine: off)");
    struct flow_call *c = mem_new(struct flow_call);
    if (!c)
        return err_set(e, E_NOMEM, "out of memory");
    *c = (struct flow_call){.run = {.done = ended, .user = c}, .req = r};
    for (size_t i = 0; i < a->key.n && i < CTL_FLOW_ID_MAX; i++)
        c->id[i] =
            a->key.p[i] > ' ' && a->key.p[i] != '/' && a->key.p[i] != 0x7f ? a->key.p[i] : '.';
    struct runs_start s = {.namespace = word(row->doc, "namespace"),
                           .name = word(row->doc, "name"),
                           .version = word(row->doc, "version"),
                           .id = bytes_of(c->id), // the same key: the same run, started once
                           .input = a->input,
                           .by = a->caller.who,
                           .label = a->caller.label,
                           .wait = true,
                           .wait_ms = a->timeout_ms};
    r->priv = c;
    list_add_tail(&t->calls, &c->link);
    if (node_temporal_of(f))
        temporal_start(node_temporal_of(f), &s, &c->run);
    else
        runs_start(f->runs, &s, &c->run);
    return 0;
}

static void cancel(struct tools *tools, struct tool_req *r)
{
    struct flow_tools *t = container_of(tools, struct flow_tools, tools);
    struct flow_call *c = r->priv;
    struct node_flows *f = t->node->flows;
    c->left = true;
    if (f->runs)
        runs_cancel(f->runs, &c->run);
    else
        temporal_cancel(node_temporal_of(f), &c->run);
}

static const struct tools_ops ops = {list, find, start, cancel};

int node_tool_flows_new(struct node *n, struct tools **ret, struct err *e)
{
    struct flow_tools *t = mem_new(struct flow_tools);
    if (!t)
        return err_set(e, E_NOMEM, "out of memory");
    *t = (struct flow_tools){.tools = {.ops = &ops}, .node = n};
    list_init(&t->calls);
    t->any = val_put_cstr(val_obj(), "type", val_cstr("object"));
    if (!t->any) {
        mem_free(t);
        return err_set(e, E_NOMEM, "out of memory");
    }
    *ret = &t->tools;
    return 0;
}

void node_tool_flows_changed(struct tools *tools)
{
    if (tools)
        ask(container_of(tools, struct flow_tools, tools));
}

void node_tool_flows_free(struct tools *tools)
{
    struct flow_tools *t = tools ? container_of(tools, struct flow_tools, tools) : NULL;
    if (!t)
        return;
    while (!list_empty(&t->calls)) { // the driver is gone
        struct flow_call *c = container_of(t->calls.next, struct flow_call, link);
        list_del(&c->link);
        mem_free(c);
    }
    val_unref(t->docs);
    val_unref(t->any);
    mem_free(t->rows);
    mem_free(t);
}
