// mcpd_list.c: lists of tools, resources and prompts, in pages. A cursor names the last item of a
// page, so that it stays right while others come and go. SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "toolbox/mcpd_priv.h"

struct lister {
    const struct mcpd_in *in;
    struct buf after; // the last item of the page before; empty: from the start
    bool passed; // that item was seen
    bool more; // items are left
    struct val *items;
    size_t bytes;
    struct buf last;
};

static bool lister_begin(struct lister *l, const struct mcpd_in *in)
{
    const struct val *cursor = val_get_cstr(in->a->m.params, "cursor");
    *l = (struct lister){.in = in, .passed = true, .items = val_arr()};
    buf_init(&l->after, 8192);
    buf_init(&l->last, 8192);
    if (!cursor)
        return true;
    l->passed = false;
    if (val_is(cursor, JSON_STR) && mcp_base64_decode(&l->after, val_bytes(cursor), NULL) == 0)
        return true;
    return false;
}

// Is this item in the page?
static bool lister_wants(struct lister *l, struct bytes name)
{
    const struct mcpd_limits *lim = &l->in->m->lim;
    if (!l->passed) {
        l->passed = bytes_eq(name, buf_bytes(&l->after));
        return false;
    }
    if (l->more || val_len(l->items) >= lim->page || l->bytes >= lim->page_bytes) {
        l->more = true;
        return false;
    }
    buf_clear(&l->last);
    (void)buf_put(&l->last, name);
    return true;
}

static void lister_add(struct lister *l, struct val *takes_item)
{
    if (takes_item)
        l->bytes += val_size(takes_item);
    l->items = val_push(l->items, takes_item);
}

static void lister_end(struct lister *l, const char *member)
{
    const struct mcpd_in *in = l->in;
    struct val *items = steal(&l->items);
    if (!l->passed) {
        val_unref(items);
        mcpd_error(in, JSONRPC_PARAMS, 200, NULL, "Invalid cursor: begin the list again");
    } else {
        struct val *r = val_put_cstr(val_obj(), member, items);
        if (l->more) {
            struct buf cursor;
            buf_init(&cursor, 16384);
            (void)mcp_base64(&cursor, buf_bytes(&l->last));
            r = val_put_cstr(r, "nextCursor", val_str(buf_bytes(&cursor)));
            buf_fini(&cursor);
        }
        if (in->modern) { // a list may differ by who asks
            r = val_put_cstr(r, "ttlMs", val_int(5000));
            r = val_put_cstr(r, "cacheScope", val_cstr("private"));
        }
        mcpd_result(in, r);
    }
    buf_fini(&l->after);
    buf_fini(&l->last);
}

static struct val *put_text(struct val *v, const char *key, struct bytes text)
{
    return text.n ? val_put_cstr(v, key, val_str(text)) : v;
}

// ---- tools -------------------------------------------------------------------------------------

static struct val *annotations(const struct tool_about *a)
{
    bool changes = a->effects & (TOOL_WRITES | TOOL_DESTROYS | TOOL_RUNS);
    struct val *v = val_put_cstr(val_obj(), "readOnlyHint", val_bool(!changes));
    if (changes)
        v = val_put_cstr(v, "destructiveHint",
                         val_bool((a->effects & (TOOL_DESTROYS | TOOL_RUNS)) != 0));
    v = val_put_cstr(v, "idempotentHint", val_bool(!changes || (a->effects & TOOL_IDEMPOTENT)));
    v = val_put_cstr(v, "openWorldHint", val_bool((a->effects & TOOL_NETWORK) != 0));
    return put_text(v, "title", a->title);
}

static struct val *plexus_meta(const struct tool_about *a)
{
    struct val *v = put_text(val_obj(), "plexus/source", a->source);
    v = put_text(v, "plexus/urn", a->urn);
    v = put_text(v, "plexus/label", a->label);
    return val_put_cstr(v, "plexus/granted", val_bool(a->granted));
}

static struct val *tool_val(const struct mcpd_in *in, const struct tool_about *a)
{
    struct val *v = val_put_cstr(val_obj(), "name", val_str(a->name));
    if (in->rev >= MCP_2025_06_18)
        v = put_text(v, "title", a->title);
    v = put_text(v, "description", a->description);
    v = val_put_cstr(v, "inputSchema", val_ref((struct val *)a->input));
    if (a->output && in->rev >= MCP_2025_06_18)
        v = val_put_cstr(v, "outputSchema", val_ref((struct val *)a->output));
    if (in->rev >= MCP_2025_03_26)
        v = val_put_cstr(v, "annotations", annotations(a));
    if (in->rev == MCP_2025_11_25)
        v = val_put_cstr(v, "execution",
                         val_put_cstr(val_obj(), "taskSupport", val_cstr("optional")));
    return val_put_cstr(v, "_meta", plexus_meta(a));
}

static void each_tool(void *user, const struct tool_about *a)
{
    struct lister *l = user;
    if (mcp_marks_check(a->input, NULL) == 0 && lister_wants(l, a->name))
        lister_add(l, tool_val(l->in, a));
}

static bool begun(struct lister *l, struct mcpd_in *in)
{
    if (lister_begin(l, in))
        return true;
    lister_end(l, NULL);
    return false;
}

void mcpd_list_tools(struct mcpd_in *in)
{
    struct tool_caller caller = mcpd_caller(in->who);
    struct lister l;
    if (!begun(&l, in))
        return;
    in->m->args.tools->ops->list(in->m->args.tools, &caller, each_tool, &l);
    lister_end(&l, "tools");
}

// ---- resources and prompts ---------------------------------------------------------------------

static void each_of(struct lister *l, const struct mcpd_resource *r, const char *uri_key)
{
    if (!lister_wants(l, r->uri))
        return;
    struct val *v = val_put_cstr(val_obj(), uri_key, val_str(r->uri));
    v = val_put_cstr(v, "name", val_str(r->name));
    if (l->in->rev >= MCP_2025_06_18)
        v = put_text(v, "title", r->title);
    v = put_text(v, "description", r->description);
    v = put_text(v, "mimeType", r->mime);
    if (r->size >= 0 && uri_key[3] == 0)
        v = val_put_cstr(v, "size", val_int(r->size));
    lister_add(l, v);
}

static void each_resource(void *user, const struct mcpd_resource *r)
{
    each_of(user, r, "uri");
}

static void each_template(void *user, const struct mcpd_resource *r)
{
    each_of(user, r, "uriTemplate");
}

void mcpd_list_resources(struct mcpd_in *in, bool templates)
{
    struct tool_caller caller = mcpd_caller(in->who);
    struct mcpd_more *more = in->m->args.more;
    struct lister l;
    if (!begun(&l, in))
        return;
    if (templates && more->ops->templates)
        more->ops->templates(more, &caller, each_template, &l);
    else if (!templates && more->ops->resources)
        more->ops->resources(more, &caller, each_resource, &l);
    lister_end(&l, templates ? "resourceTemplates" : "resources");
}

static void each_prompt(void *user, const struct mcpd_prompt *p)
{
    struct lister *l = user;
    if (!lister_wants(l, p->name))
        return;
    struct val *v = val_put_cstr(val_obj(), "name", val_str(p->name));
    if (l->in->rev >= MCP_2025_06_18)
        v = put_text(v, "title", p->title);
    v = put_text(v, "description", p->description);
    if (p->arguments)
        v = val_put_cstr(v, "arguments", val_ref((struct val *)p->arguments));
    lister_add(l, v);
}

void mcpd_list_prompts(struct mcpd_in *in)
{
    struct tool_caller caller = mcpd_caller(in->who);
    struct mcpd_more *more = in->m->args.more;
    struct lister l;
    if (!begun(&l, in))
        return;
    if (more->ops->prompts)
        more->ops->prompts(more, &caller, each_prompt, &l);
    lister_end(&l, "prompts");
}
